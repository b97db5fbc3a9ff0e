"""Public holidays and working days of a country or region, from the tables of the library `holidays`.

The library is loaded at the first question (0.1 s, some 5 MB), and of its 250 countries the one that is asked for.
Knows no words: what is asked is made out elsewhere.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from .countries import Place

# Years for which holidays are worth telling: the law of other times is not in the tables.
FIRST_YEAR, LAST_YEAR = 1950, 2100
# Of a country that is cut into more, the regions are not looked through.
MAX_REGIONS = 40
MAX_WORKING_DAYS = 10_000
_ENGLISH = ("en_GB", "en_US", "en_IN", "en_CA")
_SATURDAY_AND_SUNDAY = frozenset([5, 6])


class UnknownCalendarError(LookupError):
    """No public holidays are known of that place; the text says of which."""


@dataclass(frozen=True, slots=True)
class Holiday:
    day: date
    name: str


@dataclass(frozen=True, slots=True)
class Year:
    """holidays: in order; weekend: 0 is Monday; regional: whether parts of the country have more of their own."""

    holidays: tuple[Holiday, ...]
    weekend: frozenset[int]
    regional: bool

    def on(self, day: date) -> Holiday | None:
        return next((holiday for holiday in self.holidays if holiday.day == day), None)


@lru_cache(256)
def year_of(place: Place, year: int) -> Year:
    """Takes 0.3 ms, and a tenth of a second the first time: call it in a thread.

    Raises: UnknownCalendarError.
    """
    holidays = _library()
    try:
        empty = holidays.country_holidays(place.code, subdiv=place.region or None)
    except NotImplementedError:
        raise UnknownCalendarError(f"the public holidays of {place.name}") from None
    first, last = max(FIRST_YEAR, empty.start_year), min(LAST_YEAR, empty.end_year)
    if not first <= year <= last:
        raise UnknownCalendarError(f"the public holidays of {place.name} in {year} (known: {first} to {last})")
    spoken = next((name for name in _ENGLISH if name in empty.supported_languages), None)
    made = holidays.country_holidays(place.code, subdiv=place.region or None, years=year, expand=False, language=spoken)
    days = tuple(Holiday(day, made[day].replace("; ", " and ")) for day in sorted(made))
    return Year(days, frozenset(made.weekend), not place.region and bool(made.subdivisions))


def regions_of(place: Place) -> tuple[str, ...]:
    """The codes of a country's regions whose holidays differ; () of a region."""
    if place.region:
        return ()
    regions = tuple(_library().country_holidays(place.code).subdivisions)
    return regions if len(regions) <= MAX_REGIONS else ()


def between(place: Place, first: date, last: date) -> list[Holiday]:
    """The holidays of those days, both ends counted. Raises: UnknownCalendarError."""
    return [
        holiday
        for year in range(first.year, last.year + 1)
        for holiday in year_of(place, year).holidays
        if first <= holiday.day <= last
    ]


def is_working(place: Place | None, day: date) -> bool:
    """place: None counts Monday to Friday and knows no holidays. Raises: UnknownCalendarError."""
    if place is None:
        return day.weekday() not in _SATURDAY_AND_SUNDAY
    year = year_of(place, day.year)
    return day.weekday() not in year.weekend and year.on(day) is None


def working_days(place: Place | None, first: date, last: date) -> int:
    """How many there are, both ends counted. Raises: UnknownCalendarError, OverflowError for more than 40 years."""
    if (last - first).days > MAX_WORKING_DAYS * 3 // 2:
        raise OverflowError("working days are counted over 40 years at most")
    return sum(is_working(place, first + timedelta(days=ahead)) for ahead in range((last - first).days + 1))


def working_day(place: Place | None, start: date, count: int) -> date:
    """The count-th working day after `start`; before it where count is negative. Raises: as `working_days`."""
    if abs(count) > MAX_WORKING_DAYS:
        raise OverflowError(f"working days are counted up to {MAX_WORKING_DAYS:,}")
    day, step, left = start, (1 if count > 0 else -1), abs(count)
    while left:
        day += timedelta(days=step)
        left -= is_working(place, day)
    return day


def _library() -> Any:
    """The module `holidays`, its package of countries set up without running it: that would load all 250 of them."""
    import holidays

    name = "holidays.countries"
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            sys.modules[name] = importlib.util.module_from_spec(spec)
    return holidays
