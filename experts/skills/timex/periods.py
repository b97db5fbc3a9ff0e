"""The series that the calendar and the clock give: every Monday, every 15th, every March, noon, weekends, seasons.

Knows nothing about words.
"""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta

from .series import (
    DAY,
    FIXED,
    HOUR,
    MINUTE,
    MONTH,
    MONTHS_IN,
    QUARTER,
    SECOND,
    SECONDS_IN,
    WEEK,
    YEAR,
    Occurrence,
    Periodic,
    Yearly,
    unit,
)


def weekdays(weekday: int) -> Periodic:
    """Every Monday (0) … Sunday (6)."""

    def at(k: int) -> Occurrence:
        start = datetime.fromordinal(k * 7 + weekday + 1)
        return Occurrence(start, start + FIXED[DAY], DAY)

    return Periodic(SECONDS_IN[WEEK], lambda moment: (moment.toordinal() - 1) // 7, at)


def days_of_month(day: int) -> Periodic:
    """Every 15th; months without such a day are left out."""

    def at(k: int) -> Occurrence | None:
        year, month = divmod(k, 12)
        if day > 28 and day > calendar.monthrange(year, month + 1)[1]:
            return None
        start = datetime(year, month + 1, day)
        return Occurrence(start, start + FIXED[DAY], DAY)

    return Periodic(SECONDS_IN[MONTH], lambda moment: moment.year * 12 + moment.month - 1, at)


def months(month: int) -> Periodic:
    """Every March."""
    return Periodic(SECONDS_IN[YEAR], lambda moment: moment.year, lambda k: unit(datetime(k, month, 1), MONTH))


def quarters(quarter: int) -> Periodic:
    """Every first … fourth quarter of a year."""
    first = quarter * 3 - 2
    return Periodic(SECONDS_IN[YEAR], lambda moment: moment.year, lambda k: unit(datetime(k, first, 1), QUARTER))


def dates(month: int, day: int) -> Yearly:
    """Every 3 March."""

    def find(year: int) -> list[Occurrence]:
        if day > 28 and day > calendar.monthrange(year, month)[1]:
            return []
        return [unit(datetime(year, month, day), DAY)]

    return Yearly(find)


def clock(hour: int, minute: int | None = None, second: int | None = None, twelve: bool = False) -> Periodic:
    """A time of day; twelve: on a twelve-hour clock that does not say which half."""
    grain = HOUR if minute is None else MINUTE if second is None else SECOND
    length = FIXED[grain]
    offset = timedelta(hours=hour % 12 if twelve else hour, minutes=minute or 0, seconds=second or 0)
    hours = 12 if twelve else 24

    def at(k: int) -> Occurrence:
        start = datetime.fromordinal(k * hours // 24) + offset
        if twelve and k % 2:
            start += timedelta(hours=12)
        return Occurrence(start, start + length, grain)

    per_day = 24 // hours
    return Periodic(hours * 3600, lambda moment: moment.toordinal() * per_day + moment.hour // hours, at)


def parts_of_day(begin: float, end: float, grain: int = HOUR) -> Periodic:
    """From one hour of each day to another; an end past 24 is on the next day."""
    first, last = timedelta(hours=begin), timedelta(hours=end)

    def at(k: int) -> Occurrence:
        midnight = datetime.fromordinal(k)
        return Occurrence(midnight + first, midnight + last, grain, True)

    return Periodic(SECONDS_IN[DAY], lambda moment: moment.toordinal(), at)


def units(grain: int, month_count: int = 1) -> Periodic:
    """Every unit: each day, each week, each year."""
    if grain in FIXED:
        length = FIXED[grain]
        seconds = SECONDS_IN[grain]
        origin = datetime(1, 1, 1)

        def at(k: int) -> Occurrence:
            start = origin + length * k
            return Occurrence(start, start + length, grain)

        return Periodic(seconds, lambda moment: int((moment - origin).total_seconds()) // seconds, at)
    count = MONTHS_IN[grain]

    def at_month(k: int) -> Occurrence:
        year, month = divmod(k * count, 12)
        return unit(datetime(year, month + 1, 1), grain)

    return Periodic(SECONDS_IN[grain], lambda moment: (moment.year * 12 + moment.month - 1) // count, at_month)


def weekends() -> Periodic:
    """Friday 18:00 to Monday 0:00."""

    def at(k: int) -> Occurrence:
        monday = datetime.fromordinal(k * 7 + 1)
        return Occurrence(monday + timedelta(days=4, hours=18), monday + timedelta(days=7), HOUR, True)

    return Periodic(SECONDS_IN[WEEK], lambda moment: (moment.toordinal() - 1) // 7, at)


def seasons(which: int) -> Yearly:
    """Spring (0), summer, autumn, winter (3) of the northern half, from solstice to equinox on their usual days."""
    starts = ((3, 21), (6, 21), (9, 24), (12, 21))

    def find(year: int) -> list[Occurrence]:
        month, day = starts[which]
        next_month, next_day = starts[(which + 1) % 4]
        end = datetime(year + (which == 3), next_month, next_day)
        return [Occurrence(datetime(year, month, day), end, DAY, True)]

    return Yearly(find)


def nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth weekday of a month; -1 is the last. Raises: ValueError when the month has no fifth one."""
    length = calendar.monthrange(year, month)[1]
    if nth > 0:
        day = 1 + (weekday - date(year, month, 1).weekday()) % 7 + 7 * (nth - 1)
    else:
        day = length - (date(year, month, length).weekday() - weekday) % 7 + 7 * (nth + 1)
    return date(year, month, day)
