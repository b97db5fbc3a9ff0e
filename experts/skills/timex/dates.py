"""Dates of the calendar: a day of one year, a day of every year, and why some do not exist.

Knows no words.
"""

from __future__ import annotations

import calendar
from datetime import datetime

from .meaning import (
    IN_MONTH,
    IN_YEAR,
    MONTHDAY,
    Context,
    Time,
    fixed,
)
from .periods import dates
from .series import BEGINNING, DAY, YEAR, Series, Yearly, unit


def year_of(value: int, digits: int, now_year: int) -> int:
    """A year as written: with two digits, the one within 50 years behind and 49 ahead."""
    if digits > 2 or value > 99:
        return value
    century = now_year // 100 * 100
    year = century + value
    return year - 100 if year - now_year >= 50 else year + 100 if now_year - year > 50 else year


def full_date(year: int, month: int, day: int) -> Time:
    """A day of one year; an impossible one carries its `problem`."""
    problem = impossible(month, day, year)
    if problem:
        nowhere = Yearly(lambda _year: [])
        return Time(nowhere, DAY, MONTHDAY | IN_MONTH | IN_YEAR, ("TIME", "DAY", "FULL"), problem=problem)
    return fixed(unit(datetime(year, month, day), DAY), MONTHDAY | IN_MONTH | IN_YEAR, "DAY", "FULL")


def impossible(month: int, day: int, year: int, *, year_said: bool = True) -> str:
    """Why there is no such date; "" when there is. year_said: whether the year was named, or is the one it would be."""
    if not 1 <= month <= 12:
        return f"there is no month {month}; months run from 1 to 12"
    if not 1 <= year <= 9999:
        return f"year {year} is off the calendar, which runs from 1 to 9999"
    length = calendar.monthrange(year, month)[1]
    if 1 <= day <= length:
        return ""
    name = calendar.month_name[month]
    return f"{day} {name}{f' {year}' if year_said else ''} does not exist; {name} {year} has {length} days"


def never(month: int, day: int) -> bool:
    """Whether no year has that day."""
    return not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(2000, month)[1]


def month_date(context: Context, month: int, day: int) -> Time:
    """A day of every year; one that no year has carries its `problem`, told by the next such month."""
    series: Series = dates(month, day) if not never(month, day) else Yearly(lambda _year: [])
    problem = ""
    if never(month, day):
        problem = impossible(month, day, context.now.year + (month < context.now.month), year_said=False)
    return Time(series, DAY, MONTHDAY | IN_MONTH, ("TIME", "DAY", "DATE"), number=day, month=month, problem=problem)


def whole_year(year: int) -> Time | None:
    """The year, or None off the calendar."""
    if not 1 <= year <= 9998:
        return None
    start = BEGINNING.replace(year=year, day=1)
    return fixed(unit(start, YEAR), IN_YEAR, "PERIOD", "YEAR")
