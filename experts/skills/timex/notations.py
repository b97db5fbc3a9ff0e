"""What a figure may mean: "3:18am", "15h00", "2015-03-28", "2/15", "0930", "1,200", "3rd", "18q4".

A notation is tried where a digit begins; several may fit, and the grammar chooses.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from . import numbers
from .dates import full_date, impossible, month_date, never, year_of
from .meaning import (
    IN_MONTH,
    IN_WEEK,
    IN_YEAR,
    Context,
    Num,
    fixed,
    latent,
    time_of_day,
)
from .series import (
    DAY,
    MONTH,
    QUARTER,
    WEEK,
    unit,
)

Built = list[tuple[tuple[str, ...], Any, float]]


def _iso(match: re.Match[str], context: Context) -> Built:
    made = full_date(int(match[1]), int(match[2]), int(match[3]))
    return [(made.cats, made, 2.0)]


def _three_part(match: re.Match[str], context: Context) -> Built:
    one, other, digits = int(match[1]), int(match[3]), len(match[4])
    year = year_of(int(match[4]), digits, context.now.year)
    month_first = context.month_first and match[2] != "."
    if one > 12 >= other:
        month_first = False
    elif other > 12 >= one:
        month_first = True
    made = full_date(year, *((one, other) if month_first else (other, one)))
    return [(made.cats, made, 1.5)]


def _two_part(match: re.Match[str], context: Context) -> Built:
    one, other = int(match[1]), int(match[3])
    month_first = context.month_first
    if one > 12 >= other:
        month_first = False
    elif other > 12 >= one:
        month_first = True
    month, day = (one, other) if month_first else (other, one)
    if never(month, day) and (match[2] == "-" or one > 31 or other > 31):
        return []
    made = month_date(context, month, day)
    if match[2] == "-" or (one, other) == (24, 7):
        # "3-2" is rather a score, "24/7" is always.
        made = replace(made, weak=True)
    return [(made.cats, made, 0.5 if match[2] == "/" else -2.5)]


def _year_month(match: re.Match[str], context: Context) -> Built:
    year, month = int(match["year"]), int(match["month"])
    if not 1 <= month <= 12 or not 1 <= year <= 9998:
        return []
    made = fixed(unit(datetime(year, month, 1), MONTH), IN_MONTH | IN_YEAR, "PERIOD")
    return [(made.cats, made, 0.5)]


def _clock(match: re.Match[str], context: Context) -> Built:
    hour, minute, sign = int(match[1]), int(match[3]), match[2]
    second = int(match[4]) if match[4] else None
    twelve = 0 < hour <= 12 and match[1][0] != "0"
    if sign == "h":
        # "3h18" is written where the day has 24 hours.
        twelve = False
    if hour == 24 and minute == 0:
        hour = 0
    if hour > 24 or minute > 59 or (second or 0) > 59:
        if sign != ":":
            return []
        made = time_of_day(0)
        return [
            (("NOTIME",), replace(made, problem=f"there is no time {match[0]}; a day runs from 0:00 to 23:59"), 0.0)
        ]
    made = time_of_day(hour, minute, second, twelve=twelve)
    if sign == ".":
        return [(("LTOD",), latent(made), 0.3)]
    if sign != "h":
        return [(made.cats, made, 1.0)]
    hours: Built = [(("HOURMINUTES",), Num(hour * 60 + minute, 0), 0.0)]
    # "1h30m" is a length alone.
    return hours if match.string[match.end() : match.end() + 1].isalpha() else [(made.cats, made, 1.0), *hours]


def _clock_hour(match: re.Match[str], context: Context) -> Built:
    hour = int(match[1])
    if hour > 23:
        return []
    made = time_of_day(hour)
    # "16h" is a time of day, "3h" as likely a duration.
    return [(("LTOD",), latent(made), 0.2)] if hour < 13 else [(made.cats, made, 0.2)]


def _four_digits(match: re.Match[str], context: Context) -> Built:
    hour, minute = int(match[1]), int(match[2])
    built: Built = []
    # 2015 is rather a year than a quarter past eight.
    score = -3.0 if 1900 <= int(match[0]) <= 2100 else -0.5
    if hour < 24 and minute < 60:
        built.append(
            (("LTOD", "HHMM"), latent(time_of_day(hour, minute, twelve=0 < hour <= 12 and match[1][0] != "0")), score)
        )
    if len(match[1]) == 2 and 1000 <= int(match[0]) <= 2999:
        built.append((("YEAR4",), Num(int(match[0]), 4), 0.0))
    return built


def _number(match: re.Match[str], context: Context) -> Built:
    written = match[0].replace(",", "")
    if len(written) > 9:
        return []
    value = float(written)
    whole = value.is_integer() and "." not in written
    built: Built = [(("NUM",), Num(int(written) if whole else value, len(written) if whole else -1), 0.0)]
    if whole and value < 25 and len(written) < 3:
        hour = int(written) % 24
        built.append((("LTOD",), latent(time_of_day(hour, twelve=0 < hour <= 12 and written[0] != "0")), 0.0))
    return built


def _fraction(match: re.Match[str], context: Context) -> Built:
    below = int(match["below"])
    above = int(match["above"])
    if not 0 < above < below <= 12:
        return []
    return [(("NUM",), Num(int(match["whole"] or 0) + above / below, -1), 0.2)]


def _vulgar(match: re.Match[str], context: Context) -> Built:
    return [(("NUM",), Num(int(match["whole"] or 0) + numbers.VULGAR[match["vulgar"]], -1), 0.5)]


def _compact(match: re.Match[str], context: Context) -> Built:
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if not 1900 <= year <= 2100 or impossible(month, day, year):
        return []
    made = full_date(year, month, day)
    return [(made.cats, made, 0.5)]


def _iso_week(match: re.Match[str], context: Context) -> Built:
    """ "2026-W15", "2026-W15-3"."""
    start = datetime.fromisocalendar(int(match[1]), int(match[2]), int(match[3] or 1))
    if match[3]:
        made = fixed(unit(start, DAY), IN_WEEK | IN_YEAR, "DAY", "FULL")
    else:
        made = fixed(unit(start, WEEK), IN_WEEK | IN_YEAR, "PERIOD")
    return [(made.cats, made, 1.0)]


def _ordinal(match: re.Match[str], context: Context) -> Built:
    value = int(match[1])
    return [(("ORD",), Num(value, len(match[1])), 0.5)] if 0 < value < 1000 else []


def _year_quarter(match: re.Match[str], context: Context) -> Built:
    year = year_of(int(match[1]), len(match[1]), context.now.year)
    made = fixed(unit(datetime(year, int(match[2]) * 3 - 2, 1), QUARTER), IN_MONTH | IN_YEAR, "PERIOD")
    return [(made.cats, made, 1.0)]


# Letters that may follow a number without a space.
_GLUED = (
    r"(?![a-z])|(?=(?:am?|pm?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?|d|days?|w|wks?|weeks?|mo|mos|mths?|months?"
    r"|y|yrs?|years?|ish|q|oclock|o'clock|t|z|ad|bc|ce|jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|january|february|march"
    r"|april|june|july|august|september|october|november|december|utc|gmt|[ecmp][sd]t|cet|cest|bst)(?![a-z]))"
)
_AFTER = r"(?!\d|[.,:]\d|/\d(?!\d{3}-)|%)"
# Several may fit at one place; the grammar and the scores choose.
NOTATIONS = [
    (re.compile(pattern + _AFTER, re.ASCII), build)
    for pattern, build in (
        (r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", _iso),
        (r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!-\d+(?!\d|[/.]\d))", _three_part),
        (r"(\d{1,2})\s?(/)\s?(\d{1,2})(?!/\d)", _two_part),
        (r"(\d{1,2})\s?(-)\s?(\d{1,2})(?![-/]\d)", _two_part),
        (r"(\d{4})-?w(\d{2})(?:-?([1-7]))?(?![a-z-])", _iso_week),
        (r"(?P<year>\d{4})[-/](?P<month>\d{1,2})(?![-/]\d)", _year_month),
        (r"(?P<month>\d{1,2})[-/](?P<year>\d{4})", _year_month),
        (r"(\d{1,2})([:.h])(\d{2})(?::(\d{2})(?:\.\d+)?)?(?!\d|[:.h]\d)", _clock),
        (r"(\d{1,2})\s?h(?![a-z0-9])", _clock_hour),
        (rf"(\d{{1,2}})(\d{{2}})(?:{_GLUED})", _four_digits),
        (r"(\d{4})(\d{2})(\d{2})", _compact),
        (r"(\d{4})\s(\d{2})\s(\d{2})", _compact),
        (rf"(?:\d{{1,3}}(?:,\d{{3}})+|\d+(?:\.\d+)?)(?:{_GLUED})", _number),
        (r"(?P<whole>\d+)?\s?(?P<vulgar>[½¼¾])", _vulgar),
        (r"(?:(?P<whole>\d+)\s)?(?P<above>\d{1,2})/(?P<below>\d{1,2})", _fraction),
        (r"(\d{1,3})\s?(?:st|nd|rd|th)(?![a-z])", _ordinal),
        (r"(\d{2}|\d{4})\s?q([1-4])", _year_quarter),
    )
]
