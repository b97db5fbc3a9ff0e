"""The kind `forecast`: a numeric series and a request in words become what comes next, what is odd, or what changed.

The task stands in the bundle's parameters. Each works off the event loop and says its outcome in a sentence. Knows
nothing of the methods, which are in `series`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..errors import BundleError
from ..series import anomaly, ensemble, find_anomalies, find_changes, forecast
from ..servable import Emit, Host
from ..values import Abstention, Answer, Json, Outcome, Query, Series, Structured
from .series_request import end_of, find_horizon, find_series
from .series_wording import describe_anomalies, describe_changes, describe_forecast, time_of

if TYPE_CHECKING:
    from ..bundle import Bundle

_NEEDED = "I need the numbers {what}: attach a series, oldest value first (with expertctl: --series load.csv)."


class ForecastParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="task", tag="forecast"):
    """The table [parameters] of a bundle that forecasts.

    levels: of the quantiles, rising, between 0 and 1. max_history: of a longer series the last points are used.
    """

    levels: tuple[float, ...] = ensemble.LEVELS
    max_history: int = ensemble.MAX_HISTORY

    def __post_init__(self) -> None:
        rising = all(one < other for one, other in zip(self.levels, self.levels[1:], strict=False))
        if len(self.levels) < 2 or not rising or not self.levels[0] > 0 or not self.levels[-1] < 1:
            raise ValueError("levels are two or more, rising, above 0 and below 1")
        if not 3 <= self.max_history <= 1_000_000:
            raise ValueError(f"max_history is {self.max_history}; it is between 3 and 1000000")


class AnomalyParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="task", tag="anomaly"):
    """The table [parameters] of a bundle that finds anomalies. threshold: the least score of one."""

    threshold: float = anomaly.THRESHOLD

    def __post_init__(self) -> None:
        if not 0.5 <= self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it is from 0.5 to below 1")


class ChangepointParameters(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="task", tag="changepoint"
):
    """The table [parameters] of a bundle that finds changes: nothing to set."""


Parameters = ForecastParameters | AnomalyParameters | ChangepointParameters


async def load(bundle: Bundle, host: Host) -> SeriesServable:
    """Raises: BundleError for parameters that this kind does not know."""
    table = {"task": "forecast", **bundle.manifest.parameters}
    try:
        parameters = msgspec.convert(table, Parameters)
    except msgspec.ValidationError as error:
        raise BundleError(f"{bundle}: expert.toml [parameters]: {error}") from None
    if isinstance(parameters, AnomalyParameters):
        return AnomalyServable(parameters)
    if isinstance(parameters, ChangepointParameters):
        return ChangepointServable()
    return ForecastServable(parameters)


class SeriesServable:
    """Holds no weights: what it knows of a series it learns from that series."""

    needs_vector = False
    what_for = ""

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: QueryError for a series or a horizon that breaks a rule; the reason names it."""
        series = find_series(query)
        if series is None:
            return Abstention(_NEEDED.format(what=self.what_for), code="needs_input")
        return await asyncio.to_thread(self._study, series, query)

    def resident_bytes(self) -> int:
        return 0

    def worker_pid(self) -> int:
        return 0

    async def close(self) -> None:
        return None

    def _study(self, series: Series, query: Query) -> Answer:
        raise NotImplementedError


class ForecastServable(SeriesServable):
    what_for = "to forecast from"

    def __init__(self, parameters: ForecastParameters) -> None:
        self._parameters = parameters

    def _study(self, series: Series, query: Query) -> Answer:
        result = forecast(
            series.values,
            find_horizon(query, series),
            levels=self._parameters.levels,
            step=series.step,
            max_history=self._parameters.max_history,
        )
        result = dataclasses.replace(result, start=end_of(series), step=series.step)
        return Answer(describe_forecast(result, query), result)


class AnomalyServable(SeriesServable):
    """Answers `Structured`: {"scores": one per point, "anomalies": [{index, time, value, expected, score}],
    "threshold"}."""

    what_for = "to look for something odd in them"

    def __init__(self, parameters: AnomalyParameters) -> None:
        self._parameters = parameters

    def _study(self, series: Series, query: Query) -> Answer:
        found = find_anomalies(series.values, self._parameters.threshold)
        told: list[Json] = [
            {
                "index": at,
                "time": _time(series, at, query),
                "value": float(series.values[at]),
                "expected": float(found.expected[at]),
                "score": round(float(found.scores[at]), 5),
            }
            for at in found.places
        ]
        scores = np.round(found.scores, 5).tolist()
        data: dict[str, Json] = {"scores": scores, "anomalies": told, "threshold": found.threshold}
        return Answer(describe_anomalies(found, series, query), Structured(data))


class ChangepointServable(SeriesServable):
    """Answers `Structured`: {"changes": [{index, time, before, after, kind: level | trend | variance, score}]}."""

    what_for = "to see where they change"

    def _study(self, series: Series, query: Query) -> Answer:
        changes = find_changes(series.values, step=series.step)
        told: list[Json] = [
            {
                "index": change.index,
                "time": _time(series, change.index, query),
                "before": change.before,
                "after": change.after,
                "kind": change.kind,
                "score": round(change.score, 5),
            }
            for change in changes
        ]
        return Answer(describe_changes(changes, series, query), Structured({"changes": told}))


def _time(series: Series, at: int, query: Query) -> str | None:
    time = time_of(series.start, series.step, at, query.zone)
    return None if time is None else time.isoformat()
