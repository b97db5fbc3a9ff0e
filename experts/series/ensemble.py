"""A zero-shot forecaster: simple methods, weighted by what each would have been worth on the very series.

    1  the series is checked, its gaps are bridged, its seasons found                       (history.py)
    2  every member forecasts from up to 12 past origins and from the end, as is and in logarithms (members.py)
    3  members are averaged, weighted by 1 / error⁶ at the past origins (Bates & Granger, 1969, with a higher power)
    4  what the average missed there, step by step ahead, becomes the quantiles (split conformal in spirit: Vovk et al.,
       2005; without its guarantee, since the weights have seen the same errors)
    5  where the average hardly gained on the naive forecasts there, it is drawn towards the better of them

Members: naive and seasonal naive; ridge autoregressions shrunk towards the seasonal naive forecast, with four sets of
lags; profiles of one and two seasons; analogues; damped exponential smoothing with Akaike weights; theta. Nothing is
trained beforehand, and nothing is random: the same series gives the same forecast.

Knows no query text and no bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np

from ..errors import QueryError
from ..values import FloatArray, Forecast
from . import members
from .history import filled, find_seasons, prepare
from .members import IntArray

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MAX_HISTORY = 10_000
MAX_HORIZON = 10_000

_DEFAULT_HORIZON = 24
_ORIGINS = 12
_POWER = 6.0
_LOG_POINTS = 10
# Theta and smoothing look at no more than that. They go step by step in Python, and forget what is older anyhow; with a
# long history and a season the autoregressions know more, and seasonal smoothing is left out.
_RECENT = 512
_SMOOTHED_SEASON = 60
# Errors of one step ahead weigh against those of all steps as so many errors would.
_STEP_PRIOR = 6.0
# Where the past shows no gain over the naive forecasts, so much of the answer is theirs; with such a gain, nothing is.
_MOST_NAIVE = 0.8
_PLAIN_GAIN = 0.15
# A shape of so many errors counts as much as the normal distribution's.
_SHAPE_PRIOR = 20.0


def forecast(
    values: FloatArray,
    horizon: int | None = None,
    season: int | None = None,
    levels: Sequence[float] = LEVELS,
    *,
    step: timedelta | None = None,
    max_history: int = MAX_HISTORY,
) -> Forecast:
    """Quantiles of the next `horizon` values of an evenly spaced series.

    values: float64 (n,), oldest first, NaN marks a gap; of more than `max_history` the last ones are used. horizon:
    None: one season where there is one, else 24. season: in steps; None: found, 1: none. levels: of the quantiles,
    rising, between 0 and 1. step: time between two values, a hint where to look for seasons.
    Where the known history is nowhere negative, neither is the forecast.

    Raises: QueryError (`SERIES_EMPTY`, `SERIES_NOT_FINITE`, `SERIES_ALL_GAPS`, `SERIES_TOO_SHORT`, `HORIZON_EMPTY`,
    `HORIZON_TOO_LONG`).
    """
    history = prepare(values, max_history)
    y = history.values
    if horizon is not None:
        _check_horizon(horizon, y.size)
    known = y[~np.isnan(y)]
    low, high = float(known.min()), float(known.max())
    if low == high:
        steps = min(_DEFAULT_HORIZON, 10 * y.size) if horizon is None else horizon
        return Forecast(tuple(levels), np.full((len(levels), steps), low), "constant")

    # Calculated with numbers around one, whatever the unit: squares of the largest floats would overflow.
    unit = max(abs(low), abs(high))
    y = y / unit
    seasons = find_seasons(filled(y), step, season)
    y = filled(y, seasons[0] if seasons else 1)
    if horizon is None:
        horizon = seasons[0] if seasons else min(_DEFAULT_HORIZON, 10 * y.size)
    ahead = horizon + history.trailing_gap
    origins = _origins(y.size, ahead, seasons)
    names, paths = _run(y, origins, ahead, seasons)

    at = origins[:-1, None] + np.arange(ahead)
    actual = np.where(at < y.size, y[np.minimum(at, y.size - 1)], np.nan)
    weights = _weights(paths[:, :-1], actual)
    blend = np.tensordot(weights, paths, 1)
    logarithmic = sum(w for name, w in zip(names, weights, strict=True) if name.endswith("log")) > 0.5
    quantiles = _quantiles(blend, actual, y, levels, tested=y.size - int(origins[0]), logarithmic=bool(logarithmic))
    quantiles = _leaning(quantiles, blend, actual, y, origins=origins, levels=levels, seasons=seasons)
    quantiles = quantiles[:, history.trailing_gap :]
    if low >= 0:
        quantiles = np.maximum(quantiles, 0.0)
    with np.errstate(over="ignore"):
        quantiles = np.clip(quantiles * unit, -np.finfo(np.float64).max, np.finfo(np.float64).max)
    return Forecast(
        levels=tuple(levels),
        quantiles=quantiles,
        method=_describe(names, weights),
        season=seasons[0] if seasons else 0,
    )


def _check_horizon(horizon: int, points: int) -> None:
    most = min(MAX_HORIZON, 10 * points)
    if horizon < 1:
        raise QueryError(
            f"{horizon} steps ahead is no forecast; ask for 1 at least", reason="HORIZON_EMPTY", field="text"
        )
    if horizon > most:
        raise QueryError(
            f"{horizon:,} steps ahead are too many for {points:,} points; at most ten times the history and "
            f"{MAX_HORIZON:,}, here {most:,}",
            reason="HORIZON_TOO_LONG",
            field="text",
        )


# --- The past, asked again -------------------------------------------------------------------------------------------


def _origins(n: int, horizon: int, seasons: tuple[int, ...]) -> IntArray:
    """Where to forecast from, rising, the last the end of the series.

    A long seasonal series is asked at the same phase again and again, so that an error at step h tells about step h.
    """
    season = seasons[0] if seasons else 1
    least = max(3, 2 * season + 2) if n > 3 * season + 3 else max(2, season + 1)
    if len(seasons) > 1:
        least = max(least, 2 * seasons[1])
    if season >= 7 and n >= 10 * season:
        stride = season
    else:
        span = min(max(2 * horizon, 3 * season, 12), n - least)
        stride = max(1, -(-span // _ORIGINS))
    count = max(0, min(_ORIGINS, (n - least) // stride))
    return n - stride * np.arange(count, -1, -1)


def _run(y: FloatArray, origins: IntArray, horizon: int, seasons: tuple[int, ...]) -> tuple[list[str], FloatArray]:
    """Names of the members that fit this history, and their paths, float64 (m, r, horizon)."""
    names: list[str] = []
    paths: list[FloatArray] = []
    for name, path in _members(y, origins, horizon, seasons):
        names.append(name)
        paths.append(path)
    low, high = y.min(), y.max()
    # Logarithms tell another story only where the values differ by a fair share of themselves.
    if (
        y.size >= _LOG_POINTS
        and low > 0.02 * np.median(y)
        and low > 0
        and np.percentile(y, 95) > 1.2 * np.percentile(y, 5)
    ):
        logarithms = np.log(y)
        for name, path in _members(logarithms, origins, horizon, seasons):
            names.append(f"{name}-log")
            paths.append(np.exp(np.minimum(path, logarithms.max() + 3)))
    # Trends end somewhere: a path may leave the history's range by twice that range.
    leash = 2 * (high - low)
    return names, np.clip(np.stack(paths), low - leash, high + leash)


def _members(
    y: FloatArray, origins: IntArray, horizon: int, seasons: tuple[int, ...]
) -> Iterator[tuple[str, FloatArray]]:
    first, n = int(origins[0]), y.size
    season = seasons[0] if seasons else 1
    yield "naive", members.seasonal_naive(y, origins, horizon, 1)
    for length in seasons:
        if length <= first:
            yield "seasonal-naive", members.seasonal_naive(y, origins, horizon, length)

    for lags, prior, half_life in _autoregressions(first, seasons):
        yield (
            "autoregression",
            members.autoregression(y, origins, horizon, lags, prior=prior, shrinkage=0.01, half_life=half_life),
        )
    if season > 1 and first >= 3 * season:
        held = seasons if len(seasons) > 1 and first >= 2 * seasons[1] else seasons[:1]
        for half_life in (6.0, 20.0):
            yield "profile", members.profile(y, origins, horizon, held, half_life=half_life)
        if season >= 7:
            yield "analogues", members.analogues(y, origins, horizon, season)

    start = max(0, n - _RECENT)
    recent, then = y[start:], origins - start
    if then[0] >= 3 * season or start == 0:
        yield "theta", members.theta(recent, then, horizon, season)
    if season == 1 or start == 0:
        yield "smoothing", members.smoothing(recent, then, horizon, 1)
    if season <= _SMOOTHED_SEASON and start == 0 and first >= season > 1:
        yield "smoothing", members.smoothing(recent, then, horizon, season)


def _autoregressions(first: int, seasons: tuple[int, ...]) -> Iterator[tuple[set[int], dict[int, float], float | None]]:
    """Lags, prior and half-life of each autoregression that `first` points can feed."""
    season = seasons[0] if seasons else 1
    near = set(range(1, min(season if season > 1 else 8, 24, max(1, first // 5)) + 1))
    if season == 1:
        if first >= 12:
            yield near, {1: 1.0}, max(60.0, first / 4)
        return
    if first < 2 * season + 8:
        return
    cycles = {season, season + 1}
    if first > 6 * season:
        cycles |= {2 * season, 2 * season + 1}
    if first > 12 * season:
        cycles |= {3 * season}
    around = {1, 2, 3, season - 1, season, season + 1} - {0}
    if len(seasons) > 1 and first > 1.5 * seasons[1]:
        long = seasons[1]
        cycles |= set(range(3 * season, long, season)) | {long - 1, long, long + 1}
        around |= {2 * season - 1, 2 * season, 2 * season + 1, *range(3 * season, long - season, season)}
        around |= {k + d for k in (long - season, long) for d in (-1, 0, 1)}
    half_life = max(60.0, 10.0 * season)
    yield near | cycles, {season: 1.0}, half_life
    yield near | cycles, {1: 0.7, season: 1.0, season + 1: -0.7}, None
    yield around, {season: 1.0}, None
    if len(seasons) > 1 and season <= 48:
        yield set(range(1, 2 * season + 1)), {season: 1.0}, half_life


def _weights(paths: FloatArray, actual: FloatArray) -> FloatArray:
    """One per member, sum 1. paths: (m, r, h); actual: (r, h), NaN where the series ends before."""
    known = ~np.isnan(actual)
    if not known.any():
        return np.full(len(paths), 1 / len(paths))
    # The mean of roots, squared: one origin where everything went wrong should not decide alone.
    error = np.sqrt(np.abs(paths[:, known] - actual[known])).mean(1) ** 2
    share = np.maximum(error, 1e-9 * max(error.max(), 1e-300))
    weights = (share.min() / share) ** _POWER
    normed: FloatArray = weights / weights.sum()
    return normed


def _describe(names: list[str], weights: FloatArray) -> str:
    """The methods that carry the forecast, heaviest first: "autoregression+theta"."""
    total: dict[str, float] = {}
    for name, weight in zip(names, weights, strict=True):
        family = name.removesuffix("-log")
        total[family] = total.get(family, 0.0) + float(weight)
    heaviest = sorted(total, key=lambda family: -total[family])
    return "+".join(family for family in heaviest[:3] if total[family] >= 0.1)


# --- Quantiles -------------------------------------------------------------------------------------------------------


def _quantiles(
    blend: FloatArray, actual: FloatArray, y: FloatArray, levels: Sequence[float], *, tested: int, logarithmic: bool
) -> FloatArray:
    """Quantiles (q, h) around the last row of `blend` (r + 1, h), from what its other rows missed of `actual` (r, h).

    Each step has a scale of its own, drawn towards a smooth curve over the steps; the shape is one for all, drawn
    towards the normal distribution where errors are few.
    """
    from statistics import NormalDist

    path = blend[-1]
    if logarithmic:
        floor = 0.25 * y.min()
        miss = np.log(np.maximum(actual, floor) / np.maximum(blend[:-1], floor))
        roughness = float(np.mean(np.abs(np.diff(np.log(y)))))
    else:
        miss = actual - blend[:-1]
        roughness = float(np.mean(np.abs(np.diff(y))))
    scale = _scale(miss, roughness)
    shape = np.array([NormalDist(0, 1.2533).inv_cdf(level) for level in levels])
    known = ~np.isnan(miss)
    count = int(known.sum())
    if count >= 5:
        standard = np.sort((miss / scale)[known])
        # Without their own median: that the forecast was too low on the way here is no reason to expect it again.
        seen = np.quantile(standard, levels, method="median_unbiased") - np.median(standard)
        share = count / (count + _SHAPE_PRIOR)
        shape = share * seen + (1 - share) * shape
    # The weights were chosen to make these very errors small, and overlapping ones tell less than as many others would:
    # what few horizons' worth of past shows is widened.
    asked = tested / miss.shape[1]
    widening = 1 + min(1.0, 0.8 / max(asked, 0.8))
    spread = np.maximum.accumulate(shape)[:, None] * scale * widening
    quantiles: FloatArray = path * np.exp(np.clip(spread, -3, 3)) if logarithmic else path + spread
    return quantiles


def _leaning(
    quantiles: FloatArray,
    blend: FloatArray,
    actual: FloatArray,
    y: FloatArray,
    *,
    origins: IntArray,
    levels: Sequence[float],
    seasons: tuple[int, ...],
) -> FloatArray:
    """Drawn towards the naive or the seasonal naive forecast, the more, the less the blend gained on the better of them
    at the past origins; of a random walk nobody knows more than these."""
    from statistics import NormalDist

    horizon = blend.shape[1]
    ahead = np.arange(horizon)
    known = ~np.isnan(actual)
    lags = [lag for lag in {1, *seasons[:1]} if lag <= origins[0] and lag < y.size]
    missed = {
        lag: float(np.abs(members.seasonal_naive(y, origins[:-1], horizon, lag) - actual)[known].sum()) for lag in lags
    }
    if not lags or not all(missed.values()):
        share = 0.0 if lags and known.any() else _MOST_NAIVE
        lag = 1
    else:
        lag = min(lags, key=missed.__getitem__)
        gain = 1 - float(np.abs(blend[:-1] - actual)[known].sum()) / missed[lag]
        share = _MOST_NAIVE * min(max(1 - gain / _PLAIN_GAIN, 0.0), 1.0)
    changes = y[lag:] - y[:-lag]
    usual = float(np.median(np.abs(changes))) / 0.6745
    if share == 0 or usual == 0:
        return quantiles
    # A few jumps must not make all of it wide.
    spread = min(float(changes.std()), 2 * usual) * np.sqrt(ahead // lag + 1)
    naive = (
        y[y.size - lag + ahead % lag] + np.array([NormalDist().inv_cdf(level) for level in levels])[:, None] * spread
    )
    leaning: FloatArray = (1 - share) * quantiles + share * naive
    return leaning


def _scale(miss: FloatArray, roughness: float) -> FloatArray:
    """Mean absolute error expected at each step ahead, float64 (h,), > 0.

    A curve c · h^b over all steps, b between 0 and 1, and around it what each step showed by itself.
    """
    horizon = miss.shape[1]
    ahead = np.arange(1, horizon + 1)
    known = ~np.isnan(miss)
    count = known.sum(0)
    size = np.where(known, np.abs(miss), 0.0).sum(0)
    floor = 1e-9 * max(roughness, 1e-300)
    if not count.any():
        return max(roughness, floor) * np.sqrt(ahead)
    seen = count > 0
    mean = np.maximum(size[seen] / count[seen], floor)
    # Slope of log error on log step, drawn towards one half: that of a random walk.
    x = np.log(ahead[seen])
    w = count[seen] / count[seen].sum()
    x = x - w @ x
    slope = (w @ (x * np.log(mean)) * count.sum() + 5.0 * 0.3) / (w @ (x * x) * count.sum() + 5.0)
    curve = ahead ** np.clip(slope, 0.0, 1.0)
    curve = curve * (size.sum() / (curve[None] * known).sum())
    scale: FloatArray = np.maximum((size + _STEP_PRIOR * curve) / (count + _STEP_PRIOR), floor)
    return scale
