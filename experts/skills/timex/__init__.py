"""English time understanding: `resolve(text, reference, zone)` → a stretch of time, its grain and where it stands.

A grammar in pure Python; no clock of its own: every answer depends on the given reference alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from .numbers import Number, find_number
from .values import GRAINS, Frequency, Grain, Recurrence, Resolution, TimeError, localise

__all__ = [
    "GRAINS",
    "Frequency",
    "Grain",
    "Number",
    "Recurrence",
    "Resolution",
    "TimeError",
    "find_duration",
    "find_number",
    "localise",
    "resolve",
    "resolve_all",
]


def resolve(text: str, reference: datetime, zone: ZoneInfo, locale: str = "en") -> list[Resolution]:
    """The readings of the most telling time expression in `text`, best first; [] when it holds none.

    reference: aware, "now". zone: in which wall-clock times are meant. locale: "en", "en-US", "en-PH" (month first) or
    any other English ("en-GB": day first). Raises: TimeError for a date or time that is meant but cannot be.
    """
    from .reading import read

    found = read(text, reference, zone, locale)
    return max(found, key=lambda readings: readings[0].score) if found else []


def resolve_all(text: str, reference: datetime, zone: ZoneInfo, locale: str = "en") -> list[list[Resolution]]:
    """The same for each separate expression, in the order of the text."""
    from .reading import read

    return read(text, reference, zone, locale)


def find_duration(text: str) -> tuple[timedelta, tuple[int, int]] | None:
    """The first duration in `text` and its span: "an hour and a half", "90 secs", "2h30". A month counts 30 days, a
    year 365."""
    from .reading import duration

    return duration(text)
