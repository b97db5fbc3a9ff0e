"""The kind `forecast`: a numeric series and a request in words become quantiles of what comes next.

Reads how far ahead from the text ("the next 24 hours", "tomorrow", "12 steps"), forecasts off the event loop, and says
the outcome in a sentence. Knows nothing of the methods, which are in `forecasting`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..errors import BundleError, QueryError
from ..forecasting import forecast
from ..forecasting.ensemble import LEVELS, MAX_HISTORY, MAX_HORIZON
from ..servable import Emit, Host
from ..values import Abstention, Answer, FloatArray, Forecast, Outcome, Query, Series

if TYPE_CHECKING:
    from ..bundle import Bundle

_NO_SERIES = (
    "I need the numbers to forecast from: attach a series, oldest value first (with expertctl: --series load.csv)."
)


class ForecastParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [parameters] of a bundle of kind forecast.

    levels: of the quantiles, rising, between 0 and 1. max_history: of a longer series the last points are used.
    """

    levels: tuple[float, ...] = LEVELS
    max_history: int = MAX_HISTORY

    def __post_init__(self) -> None:
        rising = all(one < other for one, other in zip(self.levels, self.levels[1:], strict=False))
        if len(self.levels) < 2 or not rising or not self.levels[0] > 0 or not self.levels[-1] < 1:
            raise ValueError("levels are two or more, rising, above 0 and below 1")
        if not 3 <= self.max_history <= 1_000_000:
            raise ValueError(f"max_history is {self.max_history}; it is between 3 and 1000000")


async def load(bundle: Bundle, host: Host) -> ForecastServable:
    """Raises: BundleError for parameters that this kind does not know."""
    try:
        parameters = msgspec.convert(bundle.manifest.parameters, ForecastParameters)
    except msgspec.ValidationError as error:
        raise BundleError(f"{bundle}: expert.toml [parameters]: {error}") from None
    return ForecastServable(parameters)


class ForecastServable:
    """Holds no weights: what it knows of a series it learns from that series."""

    needs_vector = False

    def __init__(self, parameters: ForecastParameters) -> None:
        self._parameters = parameters

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: QueryError for a series or a horizon that cannot be forecast; the reason names the rule."""
        return await asyncio.to_thread(self._answer, query)

    def resident_bytes(self) -> int:
        return 0

    def worker_pid(self) -> int:
        return 0

    async def close(self) -> None:
        return None

    def _answer(self, query: Query) -> Outcome:
        series = query.series or typed_series(query.text if query.payload is None else query.payload)
        if series is None:
            return Abstention(_NO_SERIES, code="needs_input")
        if series.step is not None and series.step <= timedelta(0):
            raise QueryError(
                f"the series' step is {series.step}; the time between two values is above 0",
                reason="STEP_NOT_POSITIVE",
                field="series",
            )
        result = forecast(
            series.values,
            find_horizon(query, series),
            levels=self._parameters.levels,
            step=series.step,
            max_history=self._parameters.max_history,
        )
        result = dataclasses.replace(result, start=_end(series), step=series.step)
        return Answer(describe(result, query), result)


# --- How far ahead ---------------------------------------------------------------------------------------------------

_LENGTHS = {
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
    return next((length for name, length in _LENGTHS.items() if found[name]), None)


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
    end = _end(series)
    if end is not None and end.tzinfo is not None:
        midnight = query.now.astimezone(query.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        until = (midnight + timedelta(days=days)).replace(tzinfo=query.zone) - end
        if timedelta(0) < until <= timedelta(days=3):
            return _steps(1, until, step)
    return _steps(1, timedelta(days=1), step)


def _end(series: Series) -> datetime | None:
    """The time of the first step ahead; None where it is unknown."""
    if series.start is None or series.step is None:
        return None
    try:
        return series.start + series.step * series.values.size
    except OverflowError:
        return None


# --- What is said ----------------------------------------------------------------------------------------------------


def describe(result: Forecast, query: Query) -> str:
    """The forecast in a sentence: "Next 24 hours: between 412 and 911 (80 %), middle path 508 on average, …"."""
    low, high = result.quantiles[0], result.quantiles[-1]
    middle = _middle(result)
    share = round(100 * (result.levels[-1] - result.levels[0]))
    show = _rounding(low, high, middle)
    ahead = _ahead(middle.size, result.step)
    if result.method == "constant":
        return f"{ahead}: {show(middle[0])}, as all along; the series is constant."
    season = f"; season of {result.season} found." if result.season else "; no season found."
    if middle.size == 1:
        return f"{ahead}: {show(middle[0])}, between {show(low[0])} and {show(high[0])} ({share} %){season}"
    peak = int(middle.argmax())
    average = (middle / middle.size).sum()  # not mean(): a sum of numbers near the largest float is none
    return (
        f"{ahead}: between {show(low.min())} and {show(high.max())} ({share} %), middle path {show(average)} on "
        f"average, peak {show(middle[peak])} {_when(result, peak, query)}{season}"
    )


def _middle(result: Forecast) -> FloatArray:
    """The quantile at one half, (h,): between its neighbours where it is no level itself."""
    above = min(max(int(np.searchsorted(result.levels, 0.5)), 1), len(result.levels) - 1)
    lower, upper = result.levels[above - 1], result.levels[above]
    share = min(max((0.5 - lower) / (upper - lower), 0.0), 1.0)
    path: FloatArray = result.quantiles[above - 1] * (1 - share) + result.quantiles[above] * share
    return path


def _ahead(steps: int, step: timedelta | None) -> str:
    if step is not None:
        span = step * steps if steps * step.total_seconds() < 3e9 else timedelta(0)
        for name in ("day", "hour", "minute"):
            unit = _LENGTHS[name]
            count, rest = divmod(span, unit)
            if count and not rest and (name != "day" or step >= unit or count > 2):
                return f"Next {count:,} {name}s" if count > 1 else f"Next {name}"
    return f"Next {steps:,} steps" if steps > 1 else "Next step"


def _when(result: Forecast, at: int, query: Query) -> str:
    if result.start is None or result.step is None:
        return f"at step {at + 1}"
    try:
        time = result.start + result.step * at
    except OverflowError:
        return f"at step {at + 1}"
    if time.tzinfo is not None:
        time = time.astimezone(query.zone)
    if result.step >= timedelta(days=1):
        return f"on {time:%a} {time.day} {time:%B}"
    whole_day = result.step * (result.quantiles.shape[1] - 1) < timedelta(days=1)
    return f"around {time:%H:%M}" if whole_day else f"around {time:%H:%M} on {time:%a} {time.day} {time:%B}"


def _rounding(low: FloatArray, high: FloatArray, middle: FloatArray) -> Callable[[float], str]:
    """Writes numbers with as many decimals as the width of the forecast can tell apart."""
    size = float(max(abs(low.min()), abs(high.max()), abs(middle[0])))
    if size >= 1e12 or 0 < size < 1e-6:
        return "{:.4g}".format
    width = float(np.median(high - low))
    width = width if width > 1e-7 * size else 1e-4 * size
    decimals = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 0

    def show(value: float) -> str:
        text = f"{value:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text

    return show
