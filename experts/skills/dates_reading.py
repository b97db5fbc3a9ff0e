"""What a question about dates names: days, periods, amounts of time, the present. Times are read by `timex`.

Knows what a phrase must hold to be believed: one expression of time, and no other word that could change it.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction

from ..values import Query
from .countries import find_place
from .measures import find_quantities
from .timex import Resolution, resolve_all

WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
# Of a phrase beside its time: "my exam on 14 june". A word of time that was not read would change the day.
_MAX_OTHER = 4
_TIME_WORDS = re.compile(
    r"\b(?:days?|weeks?|months?|years?|fortnights?|quarters?|decades?|(?:mon|tues|wednes|thurs|fri|"
    r"satur|sun|to)day|next|last|previous|following|after|before|"
    r"ago|from|\d+\w*|first|second|third|fourth|fifth|end|start|beginning|half|leap)\b"
)
_YEAR = re.compile(r"(?:the |in )*(?:year )?(\d{4})", re.ASCII)
_SMALL = frozenset(
    ["a", "at", "birthday", "date", "day", "for", "in", "is", "it", "my", "of", "on", "please", "s", "that", "the"]
)
_DAY_GRAINS = frozenset(["second", "minute", "hour", "day"])


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the day on which it is made. text: single spaces; lower: in lower case."""

    text: str
    lower: str
    query: Query
    now: datetime

    @property
    def today(self) -> date:
        return self.now.date()


@dataclass(frozen=True, slots=True)
class Stretch:
    """What an expression names: its first day and its last; `grain` as in timex."""

    first: date
    last: date
    grain: str
    words: str

    @property
    def is_day(self) -> bool:
        return self.first == self.last


def stretch(asked: Asked, phrase: str, *, back: bool = False, alone: bool = False) -> Stretch | None:
    """The days that a phrase names; None where it names none, several, or holds more than is understood.

    back: "since Monday", "when was": the last one that has been, not the next. alone: nothing may stand beside the time
    but small words; else a few others, "my exam on 14 june". Raises: TimeError.
    """
    phrase = _without_place(phrase)
    found = _reading(phrase, asked, asked.now)
    if found is None:
        return None
    if alone and not set(re.findall(r"\w+", phrase.lower().replace(found.words.lower(), " ", 1))) <= _SMALL:
        return None
    if back and found.first > asked.today:
        # Read as if it were a week, a month or a year ago: the latest that lies behind us.
        for days in (7, 31, 366, 366 * 8):
            earlier = _reading(phrase, asked, asked.now - timedelta(days=days))
            if earlier is not None and earlier.first <= asked.today:
                return earlier
    return found


def day(asked: Asked, phrase: str, *, back: bool = False) -> date | None:
    """The day that a phrase names; of "the end of june" the last one. Raises: TimeError."""
    found = stretch(asked, phrase, back=back)
    if found is None:
        return None
    if found.is_day:
        return found.first
    return found.last if re.search(r"\bend of\b|\bend\b", phrase) else found.first


def amount(phrase: str) -> list[tuple[int, str]] | None:
    """ "2 years and 3 months" → [(2, "year"), (3, "month")]; None where it is no whole number of days."""
    quantities, mentions = find_quantities(phrase)
    if len(quantities) != 1 or mentions:
        return None
    found = quantities[0]
    parts = found.parts or ((found.value, found.units[0]),)
    if found.low is not None or re.sub(r"\W", "", phrase[: found.span[0]] + phrase[found.span[1] :]):
        return None
    if any(unit.name not in _STEPS or value.denominator not in (1, 2) for value, unit in parts):
        return None
    steps = [_whole(value, unit.name) for value, unit in parts]
    return None if any(step is None or abs(step[0]) > 4_000_000 for step in steps) else [s for s in steps if s]


def later(start: date, steps: list[tuple[int, str]], sign: int) -> date:
    """Months and years first, the day of the month kept or cut to the month's length; then days.

    Raises: OverflowError off the calendar, which runs from year 1 to 9999.
    """
    months = sum(
        count * {"year": 12, "decade": 120, "century": 1200}.get(unit, 1) for count, unit in steps if unit in _MONTHS
    )
    days = sum(count * {"week": 7, "fortnight": 14, "day": 1}[unit] for count, unit in steps if unit not in _MONTHS)
    if months:
        year, index = divmod(start.year * 12 + start.month - 1 + sign * months, 12)
        if not 1 <= year <= 9999:
            raise OverflowError
        start = date(year, index + 1, min(start.day, calendar.monthrange(year, index + 1)[1]))
    return start + timedelta(days=sign * days)


_MONTHS = frozenset(["month", "year", "decade", "century"])
_STEPS = _MONTHS | {"day", "week", "fortnight"}
# "half a year", "a year and a half", "two and a half weeks".
_HALF = {"year": (6, "month"), "decade": (5, "year"), "century": (50, "year"), "fortnight": (1, "week")}


def _whole(value: Fraction, unit: str) -> tuple[int, str] | None:
    if value.denominator == 1:
        return int(value), unit
    smaller = _HALF.get(unit)
    return (int(value * 2) * smaller[0], smaller[1]) if smaller else None


def _without_place(phrase: str) -> str:
    """ "15 April 2050 in Germany" is no time of day there."""
    if re.search(r"\b(?:in|of|for) ", phrase) and (named := find_place(phrase)):
        before = re.sub(r"\b(?:in|of|for)(?: the)? $", "", phrase[: named[1][0]])
        if len(before) < named[1][0]:
            return before + phrase[named[1][1] :].lstrip()
    return phrase


def _reading(phrase: str, asked: Asked, reference: datetime) -> Stretch | None:
    if (year := _YEAR.fullmatch(phrase.strip())) and int(year[1]):
        return Stretch(date(int(year[1]), 1, 1), date(int(year[1]), 12, 31), "year", phrase)
    expressions = resolve_all(phrase, reference, asked.query.zone, asked.query.locale)
    if len(expressions) != 1:
        return None
    best = expressions[0][0]
    if best.recurrence is not None or best.duration is not None or best.start is None or best.end is None:
        return None
    around = phrase[: best.span[0]] + " " + phrase[best.span[1] :]
    if len(around.split()) > _MAX_OTHER or _TIME_WORDS.search(around.lower()):
        return None
    return _days(best, phrase[slice(*best.span)], asked)


def _days(best: Resolution, words: str, asked: Asked) -> Stretch | None:
    start, end = best.start, best.end
    assert start is not None  # noqa: S101 - the caller looked
    assert end is not None  # noqa: S101
    if best.exact is None and best.grain in ("hour", "minute", "second"):
        # A time of day is the clock's.
        return None
    start = (best.exact or start).astimezone(asked.query.zone)
    if best.exact is not None or (best.grain in _DAY_GRAINS and not best.is_interval):
        return Stretch(start.date(), start.date(), "day", words)
    last = (end - timedelta(microseconds=1)).astimezone(asked.query.zone).date()
    return Stretch(start.date(), last, best.grain, words)
