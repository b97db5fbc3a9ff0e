"""Rows of the Recognizers-Text specifications as expectations for a reader of time.

A row is a sentence, a reference and the entities in it, each with the values that it may have. Where the two sides
follow other conventions by design the entity is left out or both are held right, as `entities` tells. Knows the
format alone; who reads the sentence is the caller's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .report import Row, read_rows

if TYPE_CHECKING:
    from expertd.experts.skills.timex import Recurrence, Resolution

FILES = ("datetime_DateTimeModel.jsonl", "datetime_DurationParser.jsonl", "datetime_SetParser.jsonl")
HALVES = ("working", "held-out")
_ANY_DAY = "2016-11-07T00:00:00"
_INSTANT = r"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d:\d\d))?|(\d\d:\d\d:\d\d)"
# Hours of the day's parts, of a weekend's beginning and thirds of a month are each library's own choice.
_OWN_CONVENTION = re.compile(r"T(?:MO|AF|EV|NI|DT|BF|LU|DI|ME[BDL]|MI)|-WE|-(?:SP|SU|FA|WI)|FY|WB|\bREF_UNDEF\b")
_OWN_WORDS = re.compile(
    r"\b(?:weekend|work ?week|fiscal|later|earlier|end of (?:the )?day|eod|eom|eoy|business|work(?:ing)? ?days?)\b|"
    r"\bweekdays?\b|"
    # Whole units beside the present one, or as long from the present on.
    r"\b(?:last|past|previous|next|coming|following|upcoming) (?:\w+ ){0,2}\w+s\b|"
    r"\b(?:last|past|next) (?:hour|fortnight)"
)
_LEFT_MODIFIERS = ("start", "mid", "end", "ref_undef", "more", "less")
_PERIOD = re.compile(r"P(?:T)?(\d+)([YMWDHS])")
_PERIODS = {
    "Y": ("yearly", 1), "W": ("weekly", 1), "D": ("daily", 1), "M": ("monthly", 1),
    "TH": ("hourly", 1), "TM": ("minutely", 1), "TS": ("secondly", 1),
}  # fmt: skip
_CLOCK = re.compile(r"(.*?)T(\d\d)(?::(\d\d))?(?::\d\d)?")


@dataclass(frozen=True, slots=True)
class Entity:
    """One expected expression. kind: date, daterange, datetime, datetimerange, time, timerange, duration, set; or
    "none": nothing is to be found. span: of `text` in the sentence. values: (start, end), "" where open or not told; of
    a duration its seconds, of a set its rule. modifier: "before", "after", "since", "until" or ""."""

    sentence: str
    reference: datetime
    kind: str
    text: str
    span: tuple[int, int]
    values: tuple[tuple[str, str], ...]
    modifier: str = ""


def entities(folder: Path, half: str) -> tuple[list[Entity], int]:
    """The comparable entities of one half of the sentences, and how many were left out.

    The halves are cut by a hash of the sentence. Left out: values "not resolved", zones alone, parts of the day,
    weekends, working days, seasons, and beginnings, middles and ends of longer times.
    """
    kept: list[Entity] = []
    left = 0
    for name in FILES:
        for row in read_rows(folder / name):
            if HALVES[hashlib.sha256(row["input"].encode()).digest()[0] % 2] != half:
                continue
            for entity in _entities(row):
                if entity is None:
                    left += 1
                else:
                    kept.append(entity)
    return kept, left


def _entities(row: Row) -> Iterator[Entity | None]:
    sentence, reference = row["input"], datetime.fromisoformat((row["reference"] or _ANY_DAY)[:19])
    if not row["results"]:
        yield Entity(sentence, reference, "none", "", (0, len(sentence)), ())
    for result in row["results"]:
        begin = result["Start"]
        end = begin + result["Length"] if "Length" in result else result["End"] + 1
        kind = (result.get("TypeName") or result.get("Typename") or result["Type"]).removeprefix("datetimeV2.")
        values = (result.get("Resolution") or {}).get("values") or [_parsed(result.get("Value") or {})]
        yield _entity(Entity(sentence, reference, kind, result["Text"], (begin, end), ()), values)


def _parsed(value: Row) -> Row:
    """The parsers' form of a value in the model's."""
    found = value.get("FutureResolution") or {}
    return {"timex": value.get("Timex", ""), "value": found.get("duration") or found.get("set", "")}


def _entity(bare: Entity, values: list[Row]) -> Entity | None:
    timexes = " ".join(value.get("timex", "") for value in values)
    modifier = next((value["Mod"] for value in values if value.get("Mod")), "")
    if bare.kind == "timezone" or any("timezone" in value for value in values):
        return None
    if _OWN_CONVENTION.search(timexes) or _OWN_WORDS.search(bare.text.lower()):
        return None
    if modifier.split("-")[-1] in _LEFT_MODIFIERS or modifier in _LEFT_MODIFIERS:
        return None
    modifier = modifier.removesuffix("-approx") if modifier != "approx" else ""
    if bare.kind == "set":
        rules = tuple((value["timex"], "") for value in values if _rule(value["timex"]) is not None)
        return _with(bare, rules, modifier) if rules else None
    if any(value.get("value") == "not resolved" for value in values):
        return None
    pairs = tuple((value.get("start") or value.get("value", ""), value.get("end", "")) for value in values)
    if bare.kind == "duration":
        return _with(bare, pairs, modifier)
    if not all(re.fullmatch(_INSTANT, each) for pair in pairs for each in pair if each) or not any(map(any, pairs)):
        return None
    return _with(bare, pairs, modifier)


def _with(bare: Entity, values: tuple[tuple[str, str], ...], modifier: str) -> Entity:
    return Entity(bare.sentence, bare.reference, bare.kind, bare.text, bare.span, values, modifier)


def _rule(timex: str) -> dict[str, Any] | None:
    """The rule of a set's timex, as far as it can be compared."""
    rule: dict[str, Any] = {}
    clock = _CLOCK.fullmatch(timex)
    if clock and not timex.startswith("P"):
        rule = {"hour": int(clock[2]), "minute": int(clock[3] or 0)}
        timex = clock[1]
        if not timex:
            return {"frequency": "daily", **rule}
    period = _PERIOD.fullmatch(timex)
    if period:
        frequency, times = _PERIODS[("T" if timex.startswith("PT") else "") + period[2]]
        return {"frequency": frequency, "interval": int(period[1]) * times}
    week = re.fullmatch(r"XXXX-WXX-(\d)", timex)
    if week:
        return {"frequency": "weekly", "weekdays": (int(week[1]) - 1,), **rule}
    date = re.fullmatch(r"XXXX-(\d\d)-(\d\d)", timex)
    if date:
        return {"frequency": "yearly", "month": int(date[1]), "day_of_month": int(date[2]), **rule}
    return None


# --- Judging ---------------------------------------------------------------------------------------------------------


def is_right(entity: Entity, found: Iterable[list[Resolution]]) -> bool:
    """Whether the best reading of the expression that overlaps the entity says what is expected of it."""
    groups = [readings for readings in found if _overlap(readings[0].span, entity.span) > 0]
    if entity.kind == "none":
        return not groups
    if not groups:
        return False
    best = max(groups, key=lambda readings: _overlap(readings[0].span, entity.span))[0]
    if entity.kind == "duration":
        return best.duration is not None and best.duration.total_seconds() == float(entity.values[0][0])
    if entity.kind == "set":
        return best.recurrence is not None and any(_is_rule(best.recurrence, timex) for timex, _ in entity.values)
    if best.recurrence is not None or best.duration is not None:
        return False
    return any(_is_time(best, entity, start, end) for start, end in entity.values)


def is_start(entity: Entity, found: datetime | None) -> bool:
    """For readers that know moments alone: whether this is where the expression begins (or ends, where it is open)."""
    if entity.kind == "none":
        return found is None
    if found is None:
        return False
    return any(_same(found, start or end) for start, end in entity.values)


def _is_time(best: Resolution, entity: Entity, start: str, end: str) -> bool:
    low, high, last, exact = (
        each.replace(tzinfo=None) if each is not None else None
        for each in (best.start, best.end, best.last, best.exact)
    )
    if entity.modifier in ("before", "until", "before-start") and low is None:
        # "until Friday" ends before Friday for the one, with it for the other.
        return _near(high, end or start, best.grain)
    if entity.modifier in ("after", "since", "after-start") and high is None:
        # "after 2012" begins with 2012 or behind it.
        return _near(low, start or end, best.grain)
    if entity.kind in ("date", "datetime", "time"):
        return low is not None and (_same(low, start) or (exact is not None and _same(exact, start)))
    if low is None or high is None:
        return False
    begins = _same(low, start) or (exact is not None and _same(exact, start))
    # The last thing named is part of the interval or is not.
    return begins and (_same(high, end) or (last is not None and _same(last, end)))


def _near(moment: datetime | None, expected: str, grain: str) -> bool:
    if moment is None:
        return False
    step = {"second": 1 / 86400, "minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "month": 31, "year": 366}
    steps = {timedelta(), *(timedelta(days=sign * step.get(grain, 92) - less) for sign in (1, -1) for less in range(4))}
    return any(_same(moment + each, expected) for each in steps)


def _same(moment: datetime, expected: str) -> bool:
    """A date is compared as a date, a time of day as one, and both to the second."""
    if not expected:
        return False
    if len(expected) == 8:
        return moment.time().replace(microsecond=0) == time.fromisoformat(expected)
    there = datetime.fromisoformat(expected)
    return moment.date() == there.date() if len(expected) == 10 else moment.replace(microsecond=0) == there


def _is_rule(recurrence: Recurrence, timex: str) -> bool:
    expected = _rule(timex) or {}
    return all(getattr(recurrence, key) == value for key, value in expected.items())


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> int:
    return min(one[1], other[1]) - max(one[0], other[0])
