"""Rows of specifications as expectations: which are comparable, and when a reading meets one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bench import time_recognizers
from expertd.experts.skills import timex


def entities(folder: Path, *rows: dict[str, Any]) -> list[time_recognizers.Entity]:
    for name in time_recognizers.FILES:
        lines = [json.dumps(row) for row in rows] if name == time_recognizers.FILES[0] else []
        (folder / name).write_text("".join(line + "\n" for line in lines))
    return [each for half in time_recognizers.HALVES for each in time_recognizers.entities(folder, half)[0]]


def row(sentence: str, text: str, kind: str, **value: str) -> dict[str, Any]:
    begin = sentence.index(text)
    result = {
        "Text": text,
        "Start": begin,
        "End": begin + len(text) - 1,
        "TypeName": f"datetimeV2.{kind}",
        "Resolution": {"values": [{"type": kind, **value}]},
    }
    return {"input": sentence, "reference": "2026-03-11T10:20:00", "results": [result]}


def judged(entity: time_recognizers.Entity) -> bool:
    found = timex.resolve_all(entity.sentence, entity.reference.replace(tzinfo=UTC), ZoneInfo("UTC"))
    return time_recognizers.is_right(entity, found)


@pytest.mark.parametrize(
    ("given", "is_met"),
    [
        (row("see you tomorrow", "tomorrow", "date", timex="2026-03-12", value="2026-03-12"), True),
        (row("see you tomorrow", "tomorrow", "date", timex="2026-03-13", value="2026-03-13"), False),
        (row("busy in may", "may", "daterange", timex="XXXX-05", start="2026-05-01", end="2026-06-01"), True),
        (row("it took two hours", "two hours", "duration", timex="PT2H", value="7200"), True),
        (row("rent is due every monday", "every monday", "set", timex="XXXX-WXX-1", value="not resolved"), True),
        (row("rent is due every monday", "every monday", "set", timex="XXXX-WXX-2", value="not resolved"), False),
        ({"input": "two dogs", "reference": "2026-03-11T10:20:00", "results": []}, True),
        ({"input": "come tomorrow", "reference": "2026-03-11T10:20:00", "results": []}, False),
    ],
)
def test_a_reading_meets_what_is_expected_of_it(tmp_path: Path, given: dict[str, Any], is_met: bool) -> None:
    (entity,) = entities(tmp_path, given)
    assert judged(entity) is is_met


def test_other_conventions_are_left_out(tmp_path: Path) -> None:
    own = row(
        "this weekend then", "this weekend", "daterange", timex="2026-W11-WE", start="2026-03-14", end="2026-03-16"
    )
    assert entities(tmp_path, own) == []


def test_a_reader_of_moments_is_right_where_the_expression_begins(tmp_path: Path) -> None:
    (entity,) = entities(tmp_path, row("busy in may", "may", "daterange", start="2026-05-01", end="2026-06-01"))
    assert time_recognizers.is_start(entity, datetime(2026, 5, 1, 9))
    assert not time_recognizers.is_start(entity, None)
