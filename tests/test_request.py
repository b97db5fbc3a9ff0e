"""A request's text taken apart: the instruction, and what it is about."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from expertd.daemon.config import LimitsConfig
from expertd.daemon.request import MAX_FURTHER_DOCUMENTS, Ask, check, read_schema, split
from expertd.experts.errors import QueryError
from expertd.experts.values import Document

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


# --- Several documents, and a schema ---------------------------------------------------------------------------------


def asked(*texts: str, first: str | None = "one") -> Ask:
    document = None if first is None else Document(first)
    return Ask("find the fee", ZoneInfo("UTC"), "en", document=document, further=tuple(map(Document, texts)))


def test_several_documents_are_taken_together() -> None:
    check(asked("two", "three"), LimitsConfig())


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (asked("two", first=None), "DOCUMENT_MISSING"),
        (asked(*["x"] * (MAX_FURTHER_DOCUMENTS + 1)), "TOO_MANY_DOCUMENTS"),
        (asked("x" * 400_000, "y" * 700_000), "TEXT_TOO_LONG"),
        (asked("fine", "bro\0ken"), "NUL_IN_TEXT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_documents_that_are_too_many_or_too_long_are_refused_by_name(ask: Ask, reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        check(ask, LimitsConfig())
    assert caught.value.reason == reason
    assert caught.value.field.startswith("input.further_documents")


def test_a_schema_is_read_as_json() -> None:
    assert read_schema("") is None
    assert read_schema('{"type": "object"}') == {"type": "object"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "BAD_SCHEMA"),
        ("[1]", "BAD_SCHEMA"),
        ("true", "BAD_SCHEMA"),
        ('{"a":' * 9_000 + "1" + "}" * 9_000, "BAD_SCHEMA"),
        ('{"title": "' + "x" * 70_000 + '"}', "SCHEMA_TOO_LONG"),
    ],
    ids=["cut off", "a list", "a boolean", "too deep", "too long"],
)
def test_what_is_no_schema_is_refused_with_an_example(text: str, reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        read_schema(text)
    assert caught.value.reason == reason
    assert caught.value.field == "input.schema"
