"""Holidays and observances by name, and the day of each in any year.

Every line of the table is `names = rule`. In a name, `[x]` may be missing and `{x|y}` is either; an apostrophe, a
hyphen and a final s do not matter. Rules, each with an optional `+n` days and `xN` for an interval of N days:

    3/17            every 17 March                    11:thu4     the fourth Thursday of November; `-1` is the last
    easter-2        from Western Easter               orthodox-2  from Orthodox Easter
    hebrew:7/15     a date of the Hebrew calendar     islamic:9/1 of the Islamic one (months count from Muharram)
    chinese:1/1     of the Chinese one                tithi:…     of the Hindu one, see `calendars`
    sun:270         the sun enters a sign             =name       a function below
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from . import calendars
from .holiday_names import TABLE
from .periods import nth_weekday
from .series import DAY, MINUTE, Occurrence

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SKIPPED = frozenset(["'", "'s", "-", ".", "’"])
# Names that are everyday words: they count only where something else says that a time is meant.
_WEAK = frozenset(["lent", "epiphany", "boss", "maghi", "purim"])


@dataclass(frozen=True, slots=True)
class Holiday:
    """find: year → its occurrences in that year, in order of time."""

    name: str
    find: Callable[[int], list[Occurrence]]
    grain: int = DAY
    is_interval: bool = False
    weak: bool = False


def match(words: list[str], index: int) -> Iterator[tuple[int, Holiday]]:
    """(index after it, holiday) for the names that begin at `index`; the longest last."""
    node: Any = _tree().get(_stem(words[index]))
    position = index + 1
    while node is not None:
        holiday = node.get("")
        if holiday is not None:
            end = position + 1 if words[position : position + 1] == ["'s"] else position
            yield end, holiday
        while position < len(words) and words[position] in _SKIPPED:
            position += 1
        if position >= len(words):
            return
        node = node.get(_stem(words[position]))
        position += 1


@cache
def _tree() -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for line in TABLE.strip().splitlines():
        if not line:
            continue
        names, rule = line.rsplit(" = ", 1)
        holiday: Holiday | None = None
        for pattern in names.split(", "):
            for name in _spelled(pattern):
                holiday = holiday or _holiday(name, rule.strip())
                node = tree
                stems = [_stem(word) for word in re.findall("[a-z]+", name.replace("'s", ""))]
                for stem in stems:
                    node = node.setdefault(stem, {})
                node[""] = Holiday(holiday.name, holiday.find, holiday.grain, holiday.is_interval, name in _WEAK)
    return tree


def _spelled(pattern: str) -> list[str]:
    """Every name that a pattern stands for, the fullest first."""
    found = re.search(r"\[([^][{}]*)\]|\{([^][{}]*)\}", pattern)
    if found is None:
        return [" ".join(pattern.split())]
    choices = [*found[1].split("|"), ""] if found[1] is not None else found[2].split("|")
    return [name for choice in choices for name in _spelled(pattern[: found.start()] + choice + pattern[found.end() :])]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == "s" else word


def _holiday(name: str, rule: str) -> Holiday:
    base, *rest = rule.split()
    shift = next((int(part) for part in rest if part[0] in "+-"), 0)
    days = next((int(part[1:]) for part in rest if part[0] == "x"), 0)
    if base == "=earth_hour":
        return Holiday(name, lru_cache(256)(_earth_hour), MINUTE, True)
    first = _first_days(base)

    @lru_cache(256)
    def find(year: int) -> list[Occurrence]:
        # A shift may carry a day over the end of the year.
        around = (year - 1, year, year + 1) if abs(shift) > 0 else (year,)
        found = [day + timedelta(days=shift) for each in around for day in first(each)]
        return [_days(day, days) for day in sorted(found) if day.year == year]

    if base == "=ramadan":
        return Holiday(name, lru_cache(256)(_ramadan), DAY, True)
    return Holiday(name, find, DAY, days > 0)


def _days(day: date, count: int) -> Occurrence:
    start = datetime(day.year, day.month, day.day)
    return Occurrence(start, start + timedelta(days=count or 1), DAY, count > 0)


def _first_days(base: str) -> Callable[[int], list[date]]:
    if base.startswith("="):
        return _FUNCTIONS[base[1:]]
    kind, _, rest = base.partition(":")
    if not rest:
        if base.startswith("easter"):
            offset = int(base[6:] or 0)
            return lambda year: [calendars.easter(year) + timedelta(days=offset)]
        if base.startswith("orthodox"):
            offset = int(base[8:] or 0)
            return lambda year: [calendars.orthodox_easter(year) + timedelta(days=offset)]
        month, day = (int(part) for part in base.split("/"))
        return lambda year: [date(year, month, day)]
    if kind in ("hebrew", "islamic", "chinese"):
        month, day = (int(part) for part in rest.split("/"))
        calendar_days = {
            "hebrew": calendars.hebrew, "islamic": calendars.islamic, "chinese": calendars.chinese,
        }[kind]  # fmt: skip
        return lambda year: calendar_days(year, month, day)
    if kind == "tithi":
        lunar_month, tithi, moment = rest.split("/")
        return lambda year: calendars.tithi(year, int(lunar_month), int(tithi), float(moment))
    if kind == "sun":
        return lambda year: calendars.sun_enters(year, float(rest))
    month, weekday, nth = int(kind), _WEEKDAYS.index(rest[:3]), int(rest[3:])
    return lambda year: [nth_weekday(year, month, weekday, nth)]


# --- Days with a rule of their own -----------------------------------------------------------------------------------


def _boss(year: int) -> list[date]:
    """16 October, or the working day nearest to it."""
    day = date(year, 10, 16)
    return [day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))]


def _kings_day(year: int) -> list[date]:
    """27 April, or the day before when that is a Sunday; the queen's, before 2014, was 30 April."""
    day = date(year, 4, 27) if year >= 2014 else date(year, 4, 30)
    return [day - timedelta(days=day.weekday() == 6)]


def _victoria(year: int) -> list[date]:
    """The Monday before 25 May."""
    day = date(year, 5, 24)
    return [day - timedelta(days=day.weekday())]


def _election(year: int) -> list[date]:
    """The Tuesday after the first Monday of November."""
    return [nth_weekday(year, 11, 0, 1) + timedelta(days=1)]


def _administrative(year: int) -> list[date]:
    """Wednesday of April's last full week (Sunday to Saturday)."""
    saturday = nth_weekday(year, 4, 5, -1)
    return [saturday - timedelta(days=3)]


def _tax_day(year: int) -> list[date]:
    """15 April, or the next working day, Emancipation Day (16 April) not being one."""
    day = date(year, 4, 15)
    while day.weekday() >= 5 or (day.month, day.day) == (4, 16) or (day.weekday() == 0 and day.day == 17):
        day += timedelta(days=1)
    return [day]


def _spouse(year: int) -> list[date]:
    """The Friday before Mother's Day."""
    return [nth_weekday(year, 5, 6, 2) - timedelta(days=2)]


def _global_youth(year: int) -> list[date]:
    """Three days from the Friday before the last Sunday of April on; the weekend may reach into it."""
    return [nth_weekday(year, 4, 4, -1)]


def _parsi_new_year(year: int) -> list[date]:
    """The Shahenshahi year has 365 days and no leap day: a day earlier every four years."""
    return [date(2022, 8, 16) + timedelta(days=365 * (year - 2022))] if 1900 <= year <= 2100 else []


def _rabindra(year: int) -> list[date]:
    """25 Boishakh as West Bengal keeps it."""
    return [date(year, 5, 8 if year % 4 == 0 else 9)]


def _last_friday_of_ramadan(year: int) -> list[date]:
    found = []
    for occurrence in _ramadan(year):
        last = (occurrence.end - timedelta(days=1)).date()
        found.append(last - timedelta(days=(last.weekday() - 4) % 7))
    return found


def _ramadan(year: int) -> list[Occurrence]:
    found = []
    for first in calendars.islamic(year, 9, 1):
        ends = [day for each in (year, year + 1) for day in calendars.islamic(each, 10, 1) if day > first]
        found.append(Occurrence(_midnight(first), _midnight(min(ends)), DAY, True))
    return found


def _earth_hour(year: int) -> list[Occurrence]:
    """20:30 to 21:30 on the last Saturday of March, a week earlier when that is the one before Easter."""
    day = nth_weekday(year, 3, 5, -1)
    if day == calendars.easter(year) - timedelta(days=1):
        day -= timedelta(days=7)
    start = _midnight(day) + timedelta(hours=20, minutes=30)
    return [Occurrence(start, start + timedelta(hours=1, minutes=1), MINUTE, True)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def _onam(year: int) -> list[date]:
    """The day of the star Shravana (280° to 293°20' sidereal) in the month of Chingam (the Sun in Leo), as it begins;
    the later one where there are two."""
    first = calendars.moon_reaches(calendars.sun_enters(year, 120.0)[0], 280.0)
    again = calendars.moon_reaches(first + timedelta(days=20), 280.0)
    return [again if again < calendars.sun_enters(year, 150.0)[0] else first]


_FUNCTIONS: dict[str, Callable[[int], list[date]]] = {
    "administrative": _administrative,
    "boss": _boss,
    "election": _election,
    "global_youth": _global_youth,
    "jumuatul_wida": _last_friday_of_ramadan,
    "kings_day": _kings_day,
    "onam": _onam,
    "parsi_new_year": _parsi_new_year,
    "rabindra": _rabindra,
    "ramadan": lambda year: calendars.islamic(year, 9, 1),
    "spouse": _spouse,
    "tax_day": _tax_day,
    "victoria": _victoria,
}
