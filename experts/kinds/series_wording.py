"""What was found in a series, said to people in a sentence or two."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from ..series.anomaly import Anomalies
from ..series.changepoint import Change
from ..values import FloatArray, Forecast, Query, Series
from .series_request import LENGTHS

# So many are told; the rest are counted.
_TOLD = 3
_LAST = (
    r"(?i)\b(?:last|latest|newest|most recent|current|today'?s) (?:\w+ )?"
    r"(?:value|reading|point|number|measurement|sample)\b"
)


def describe_forecast(result: Forecast, query: Query) -> str:
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
            unit = LENGTHS[name]
            count, rest = divmod(span, unit)
            if count and not rest and (name != "day" or step >= unit or count > 2):
                return f"Next {count:,} {name}s" if count > 1 else f"Next {name}"
    return f"Next {steps:,} steps" if steps > 1 else "Next step"


def _when(result: Forecast, at: int, query: Query) -> str:
    if result.step is None or (time := time_of(result.start, result.step, at, query.zone)) is None:
        return f"at step {at + 1}"
    whole_day = result.step * (result.quantiles.shape[1] - 1) < timedelta(days=1)
    return _spell(time, result.step, day=not whole_day)


def time_of(start: datetime | None, step: timedelta | None, at: int, zone: ZoneInfo) -> datetime | None:
    """The time of a point, in the asker's zone where the series has one; None where it is unknown."""
    if start is None or step is None:
        return None
    try:
        time = start + step * at
        return time.astimezone(zone) if time.tzinfo is not None else time
    except OverflowError:
        return None


def _spell(time: datetime, step: timedelta, *, day: bool = True) -> str:
    date = f"on {time:%a} {time.day} {time:%B}"
    if step >= timedelta(days=1):
        return date
    return f"around {time:%H:%M} {date}" if day else f"around {time:%H:%M}"


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


# --- Anomalies and changes --------------------------------------------------------------------------------------------


def describe_anomalies(found: Anomalies, series: Series, query: Query) -> str:
    """The strongest first: "2 anomalies in 4,032 points: 95 at point 5 (expected 13), …"."""
    values = series.values
    show = _plain_rounding(values)
    count = len(found.places)
    last = ""
    if re.search(_LAST, query.text):
        known = int(np.flatnonzero(~np.isnan(values))[-1])
        odd = "odd" if found.scores[known] >= found.threshold else "ordinary"
        last = f"The last value, {show(values[known])}, is {odd} (expected {show(found.expected[known])}). "
    if not count:
        return f"{last}Nothing unusual in {values.size:,} points."
    strongest = sorted(found.places, key=lambda at: (-found.scores[at], at))[:_TOLD]
    told = [
        f"{show(values[at])} {_where(series, at, query)} (expected {show(found.expected[at])})"
        for at in sorted(strongest)
    ]
    more = f", and {count - len(told):,} more" if count > len(told) else ""
    noun = "anomaly" if count == 1 else "anomalies"
    return f"{last}{count:,} {noun} in {values.size:,} points: {', '.join(told)}{more}."


def describe_changes(changes: tuple[Change, ...], series: Series, query: Query) -> str:
    """In order: "1 change in 300 points: the level went from 5.1 to 12.4 at point 121."."""
    if not changes:
        return f"No lasting change in {series.values.size:,} points."
    show = _plain_rounding(series.values)
    told = []
    for change in changes[:_TOLD]:
        if change.kind == "level":
            what = f"the level went from {show(change.before)} to {show(change.after)}"
        elif change.kind == "trend":
            what = f"the trend turned from {change.before:+.3g} to {change.after:+.3g} per step"
        else:
            what = f"the spread went from {change.before:.3g} to {change.after:.3g}"
        told.append(f"{what} {_where(series, change.index, query)}")
    more = f"; and {len(changes) - len(told):,} more" if len(changes) > len(told) else ""
    noun = "change" if len(changes) == 1 else "changes"
    return f"{len(changes):,} {noun} in {series.values.size:,} points: {'; '.join(told)}{more}."


def _where(series: Series, at: int, query: Query) -> str:
    time = time_of(series.start, series.step, at, query.zone)
    return f"at point {at + 1:,}" if time is None or series.step is None else _spell(time, series.step)


def _plain_rounding(values: FloatArray) -> Callable[[float], str]:
    known = values[~np.isnan(values)]
    return _rounding(np.percentile(known, [5.0]), np.percentile(known, [95.0]), known)
