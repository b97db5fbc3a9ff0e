"""What is asked about a series, read from the words: the numbers themselves where they are typed, and how far ahead."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

import numpy as np

from ..errors import QueryError
from ..series.ensemble import MAX_HORIZON
from ..values import Query, Series

_MAX_DOCUMENT = 100_000


def find_series(query: Query) -> Series | None:
    """The series that came along, else three or more numbers in a row in the text or in the document.

    Raises: QueryError (`STEP_NOT_POSITIVE`).
    """
    if query.series is None:
        found = typed_series(query.text if query.payload is None else query.payload)
        if found is None and query.document is not None and len(query.document.text) <= _MAX_DOCUMENT:
            found = typed_series(query.document.text)
        return found
    if query.series.step is not None and query.series.step <= timedelta(0):
        raise QueryError(
            f"the series' step is {query.series.step}; the time between two values is above 0",
            reason="STEP_NOT_POSITIVE",
            field="series",
        )
    return query.series


def end_of(series: Series) -> datetime | None:
    """The time of the first step ahead; None where it is unknown."""
    if series.start is None or series.step is None:
        return None
    try:
        return series.start + series.step * series.values.size
    except OverflowError:
        return None


# --- How far ahead ---------------------------------------------------------------------------------------------------

LENGTHS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "fortnight": timedelta(weeks=2),
    "month": timedelta(days=365.25 / 12),
    "quarter": timedelta(days=365.25 / 4),
    "year": timedelta(days=365.25),
}
_UNIT = (
    r"(?:(?P<second>seconds?|secs?|s)|(?P<minute>minutes?|mins?)|(?P<hour>hours?|hrs?|h)|(?P<day>days?|d)|"
    r"(?P<week>weeks?|wks?|w)|(?P<fortnight>fortnights?)|(?P<month>months?)|(?P<quarter>quarters?)|"
    r"(?P<year>years?|yrs?|y)|(?P<step>(?:time )?steps?|periods?|(?:data ?)?points?|values?|numbers?|samples?|"
    r"observations?|readings?|entries|intervals?|ticks?))\b"
)
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_PHRASES = {"half an": 0.5, "half a dozen": 6, "half a": 0.5, "a couple of": 2, "couple of": 2, "a dozen": 12}
_PHRASES |= {"a hundred": 100, "one hundred": 100, "a single": 1, "an": 1, "a": 1}
# Patterns are compiled when first used, and bounded where they repeat: a long text must not take long to read.
_NUMBER = (
    rf"(?P<number>\d[\d,]{{0,12}}(?:\.\d{{1,9}})?|{'|'.join(_PHRASES)}|"
    rf"(?:{'|'.join(_TENS)})(?:[ -](?:{'|'.join(_SMALL[1:10])}))?|{'|'.join(reversed(_SMALL))})"
)
_AMOUNT = rf"(?i)\b{_NUMBER}[\s-]*(?:more |further |additional )?(?:business |full |whole )?{_UNIT}"
_NEXT = rf"(?i)\b(?:next|coming|following|upcoming|this)\s+{_UNIT}"
_NEXT_NUMBER = rf"(?i)\b(?:next|following|coming)\s+{_NUMBER}\b"
_NUMBER_AHEAD = rf"(?i)\b{_NUMBER}\s+(?:ahead|more)\b"
_PAST = r"(?i)\b(?:last|past|previous|prior|recent|since|from|every|each|per)\s+(?:the\s+)?$"
_TOWARDS = r"(?i)\b(?:next|coming|following|upcoming)\s+$"
_TOMORROW = r"(?i)\b(?:tomorrow|tomorow|tmrw|tmr)\b"
_TODAY = r"(?i)\b(?:today|tonight|rest of the day)\b"
# Three numbers or more in a row, typed instead of attached; 1,000,000 is one.
_TYPED = (
    r"(?<![\w.,])(?!\d{1,3}(?:,\d{3})+(?![\d,]))(?:[-+]?\d+(?:\.\d+)?(?:\s*[,;]\s*|\s+)){2,}[-+]?\d+(?:\.\d+)?(?!\w)"
)


def find_horizon(query: Query, series: Series) -> int | None:
    """Steps ahead that the text asks for; None where it does not say.

    A duration counts in the series' step; where that is unknown, the number itself counts as steps.

    Raises: QueryError (`HORIZON_EMPTY`, `HORIZON_TOO_LONG`).
    """
    text = re.sub(_TYPED, " ", query.text)
    amounts = [found for found in re.finditer(_AMOUNT, text) if not re.search(_PAST, _before(found))]
    if amounts:
        # "with a week of data, the next 3 days": the amount that follows "next" is the one asked for.
        amount = next((one for one in amounts if re.search(_TOWARDS, _before(one))), amounts[0])
        return _steps(_value(amount["number"]), _unit(amount), series.step)
    if found := re.search(_NEXT, text):
        length = _unit(found)
        if length is None:
            return 1
        return _steps(1, length, series.step) if series.step is not None else None
    if found := re.search(_NEXT_NUMBER, text) or re.search(_NUMBER_AHEAD, text):
        return _steps(_value(found["number"]), None, None)
    if series.step is not None and (days := 2 if re.search(_TOMORROW, text) else 1 if re.search(_TODAY, text) else 0):
        return _until_midnight(query, series, series.step, days)
    return None


def typed_series(text: str) -> Series | None:
    """Three or more numbers in a row within the text."""
    found = re.search(_TYPED, text)
    if found is None:
        return None
    return Series(np.array([float(number) for number in re.split(r"[,;\s]+", found[0])], dtype=np.float64))


def _before(found: re.Match[str]) -> str:
    return found.string[max(0, found.start() - 30) : found.start()]


def _unit(found: re.Match[str]) -> timedelta | None:
    return next((length for name, length in LENGTHS.items() if found[name]), None)


def _value(number: str) -> float:
    number = number.lower()
    if number[0].isdigit():
        return float(number.replace(",", ""))
    if number in _PHRASES:
        return float(_PHRASES[number])
    words = number.replace("-", " ").split()
    return float(sum(_SMALL.index(word) if word in _SMALL else 10 * _TENS.index(word) + 20 for word in words))


def _steps(amount: float, unit: timedelta | None, step: timedelta | None) -> int:
    steps = amount if unit is None or step is None else amount * (unit / step)
    if steps > MAX_HORIZON:
        raise QueryError(
            f"that is {steps:,.0f} steps ahead; at most {MAX_HORIZON:,} can be forecast",
            reason="HORIZON_TOO_LONG",
        )
    # A little over a whole number is that number: a month is not exactly 30 days of steps.
    return max(1, math.ceil(steps - 0.05)) if amount > 0 else 0


def _until_midnight(query: Query, series: Series, step: timedelta, days: int) -> int:
    """Steps to the end of today (1) or tomorrow (2), or a day's worth where the series does not end about now."""
    end = end_of(series)
    if end is not None and end.tzinfo is not None:
        midnight = query.now.astimezone(query.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        until = (midnight + timedelta(days=days)).replace(tzinfo=query.zone) - end
        if timedelta(0) < until <= timedelta(days=3):
            return _steps(1, until, step)
    return _steps(1, timedelta(days=1), step)
