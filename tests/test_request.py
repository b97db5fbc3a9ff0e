"""A request's text taken apart: the instruction, and what it is about."""

from __future__ import annotations

import pytest

from expertd.daemon.request import split

REQUESTS = (
    "- what time is it\n- set a timer for 5 minutes",
    "1. cancel the alarm\n\n 2) how full is the disk",
    "* one\n• two",
)


@pytest.mark.parametrize("text", REQUESTS)
def test_a_list_of_requests_has_no_payload(text: str) -> None:
    assert split(f" {text}\n") == (text, None)


def test_lines_below_an_instruction_are_what_it_is_about() -> None:
    assert split("summarise this\n- milk rose\n- bread fell") == ("summarise this", "- milk rose\n- bread fell")
    assert split("- is this spam\nyou have won") == ("- is this spam", "you have won")
    assert split("- is this spam: you have won a car") == ("- is this spam", "you have won a car")
