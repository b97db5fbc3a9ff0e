"""When the seasons begin: by the Sun, to the minute or so, and by the months of the weather services.

From the Sun's longitude in `timex.calendars` (J. Meeus, Astronomical Algorithms, 2nd ed., chapter 25).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from .timex.calendars import sun_longitude

NORTHERN = ("spring", "summer", "autumn", "winter")
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_TROPICAL_YEAR = 365.2422
_SOLSTICE = re.compile(
    r"\b(?P<season>spring|summer|autumn|autumnal|fall|winter|vernal|march|june|september|"
    r"december)\b(?:'s)? (?P<kind>solstice|equinox)\b"
)
_QUARTERS = {
    "spring": 0, "vernal": 0, "march": 0, "summer": 1, "june": 1, "autumn": 2, "autumnal": 2, "fall": 2, "september": 2,
    "winter": 3, "december": 3,
}  # fmt: skip


@lru_cache(256)
def sun_reaches(year: int, quarter: int) -> datetime:
    """When the Sun stands at 0°, 90°, 180° or 270° in that year: March equinox, June solstice, and so on; in UTC."""
    target = 90.0 * quarter
    moment = (year - 2000) * _TROPICAL_YEAR + 79.3 + quarter * 91.3
    for _ in range(6):
        behind = (target - sun_longitude(moment) + 180) % 360 - 180
        moment += behind * _TROPICAL_YEAR / 360
    return _J2000 + timedelta(days=moment)


def season_days(year: int, quarter: int, zone: ZoneInfo) -> tuple[date, date]:
    """(by the Sun, in that zone; by the months) of the beginning of spring 0, summer 1, autumn 2 or winter 3."""
    return sun_reaches(year, quarter).astimezone(zone).date(), date(year, 3 + 3 * quarter, 1)


def solstice(phrase: str, now: datetime, zone: ZoneInfo) -> date | None:
    """The next "summer solstice" or "vernal equinox" that a phrase names; None where it names none."""
    found = _SOLSTICE.search(phrase.lower())
    if found is None:
        return None
    quarter = _QUARTERS[found["season"]]
    if (found["kind"] == "solstice") != (quarter % 2 == 1):
        return None
    said = re.search(r"\b(\d{4})\b", phrase, re.ASCII)
    years = [int(said[1])] if said else [now.year, now.year + 1]
    days = [season_days(year, quarter, zone)[0] for year in years if 1 < year < 9999]
    return next((day for day in days if said or day >= now.date()), None)
