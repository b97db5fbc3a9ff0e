"""Where a series changed for good: its level, its trend or its spread. Offline: every point is known at once.

    1  gaps are bridged, seasons taken off                                                   (history.py)
    2  spread: how far each point lies from the middle of its neighbours, in logarithms, is cut into pieces of one mean
    3  level and trend: the series, weighted by its spread, is cut into constant pieces and into straight ones; the
       description that is worth its parameters wins
    4  a cut between straight pieces of the same slope is a change of level, any other one of trend

Cuts are the optimum of penalised weighted least squares, found by PELT (Killick et al., 2012) over a grid of at most
350 places and then moved, point by point, to where they fit best: memory is O(n), and time hardly more. A single spike
is no change: values are first drawn to within three deviations of the running median. Noise that remembers (an
autoregression of order one) weighs less: the penalty counts in long-run variances, estimated from how the series bends
at several lags, which neither lines nor a few jumps disturb.

Knows no query text and no bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..values import FloatArray
from .history import filled, find_seasons, prepare, seasonal_profile

MAX_POINTS = 100_000

_GRID = 350
_MIN_PIECE = 3
# What one more piece must save, in long-run variances, times log n: a place and a mean, or a mean and a slope.
_LEVEL_PENALTY = 4.0
_TREND_PENALTY = 5.0
_SPREAD_PENALTY = 3.0
# Of two neighbouring straight pieces, another slope must save so much times log n; else only their levels differ.
_SLOPE_PENALTY = 2.0
_MEDIAN_POINTS = 9
# How far a change of spread may be from where logarithms see it.
_SHARPENING = 30
_LAGS = 8
# What one value may keep of the one before. The last is nearly a random walk, of which no change is ever certain.
_MEMORIES = (*np.linspace(-0.5, 0.9, 29), 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True, slots=True)
class Change:
    """One change. index: of the first point that belongs to what is new.

    before, after: mean values (level), slopes per step (trend) or standard deviations (spread) at either side.
    score: 0.5: barely worth its parameters, 1: beyond doubt.
    """

    index: int
    before: float
    after: float
    kind: Literal["level", "trend", "variance"]
    score: float


def find_changes(values: FloatArray, *, step: timedelta | None = None) -> tuple[Change, ...]:
    """The changes of a series, by index.

    values: float64 (n,), oldest first, NaN marks a gap. step: time between two values, a hint where to look for
    seasons.

    Raises: QueryError (`SERIES_EMPTY`, `SERIES_NOT_FINITE`, `SERIES_ALL_GAPS`, `SERIES_TOO_SHORT`, `SERIES_TOO_LONG`).
    """
    history = prepare(values, MAX_POINTS, whole=True)
    known = history.values
    unit = float(np.nanmax(np.abs(known))) or 1.0
    y = known / unit
    y = y - np.nanmedian(y)
    if np.nanmax(y) == np.nanmin(y) or y.size < 2 * _MIN_PIECE:
        return ()
    y = _without_seasons(filled(y), step)
    spread, spread_changes = _spreads(y)
    tame = _tamed(y, spread)
    changes = _level_or_trend(tame, spread)
    near = max(5, y.size // 50)
    places = [change.index for change in changes]
    found = [
        *changes,
        *(one for one in spread_changes if all(abs(one.index - place) > near for place in places)),
    ]
    level = float(np.nanmedian(known / unit))
    return tuple(_in_units(change, unit, level, history.skipped) for change in sorted(found, key=lambda one: one.index))


def _in_units(change: Change, unit: float, level: float, skipped: int) -> Change:
    offset = level if change.kind == "level" else 0.0
    with np.errstate(over="ignore"):
        before, after = np.clip(
            np.array([change.before + offset, change.after + offset]) * unit, -np.finfo(float).max, np.finfo(float).max
        )
    return Change(change.index + skipped, float(before), float(after), change.kind, change.score)


def _without_seasons(y: FloatArray, step: timedelta | None) -> FloatArray:
    """Without the seasons' mean shapes, where these explain how it bends."""
    for season in find_seasons(y, step):
        rest = y - seasonal_profile(y, season)
        half = season // 2
        if _scale(_bends(rest, half)) < 0.95 * _scale(_bends(y, half)):
            y = rest
    return y


# --- Noise ------------------------------------------------------------------------------------------------------------


def _scale(values: FloatArray) -> float:
    """Standard deviation of the bulk: from the smallest three quarters of |values - median|, or, where these are all
    zero and there are many, from 95 %; 0 where nearly all are equal."""
    size = np.sort(np.abs(values - np.median(values)))
    # Shares of a normal distribution's variance that lie within its inner 75 % and 95 %.
    for share, kept, least in ((0.75, 0.3686, 1), (0.95, 0.759, 40)):
        inner = size[: max(1, int(share * size.size))]
        if size.size >= least and inner[-1] > 0:
            return float(np.sqrt(np.mean(inner**2) / kept))
    return 0.0


def _bends(y: FloatArray, lag: int) -> FloatArray:
    """How far each point lies from the middle of its neighbours `lag` steps away, (n - 2 lag,): no line shows in it."""
    bends: FloatArray = y[lag:-lag] - (y[: -2 * lag] + y[2 * lag :]) / 2
    return bends


def _noise(z: FloatArray) -> float:
    """Long-run variance of what is left of `z` when it neither jumps nor drifts, > 0.

    Of an autoregression of order one, the variance of bends at lag k is γ (3/2 - 2 φ^k + φ^2k / 2); γ and φ are fitted
    to robust estimates of it. The long-run variance is γ (1 + φ) / (1 - φ).
    """
    lags = np.arange(1, min(_LAGS, z.size // 15) + 1)
    floor = (1e-4 * float(np.ptp(z))) ** 2 or 1e-300
    if lags.size < 3:
        return max(_scale(_bends(z, 1)) ** 2 / 1.5, floor)
    seen = np.array([_scale(_bends(z, lag)) ** 2 for lag in lags.tolist()])
    best, long_run = np.inf, 0.0
    for phi in _MEMORIES:
        shape = 1.5 - 2 * phi**lags + phi ** (2 * lags) / 2
        gamma = (seen @ shape) / (shape @ shape)
        miss = float(np.sum((seen - gamma * shape) ** 2))
        if miss < best:
            best, long_run = miss, float(gamma * (1 + phi) / (1 - phi))
    return max(long_run, floor)


def _tamed(y: FloatArray, spread: FloatArray) -> FloatArray:
    """Drawn to within three deviations of the running median, so that a spike is none any more and a jump stays."""
    width = min(_MEDIAN_POINTS, y.size // 2 * 2 - 1)
    half = width // 2
    padded = np.pad(y, half, mode="reflect")
    median = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    reach = 3 * np.maximum(spread, 1e-12)
    tame: FloatArray = np.clip(y, median - reach, median + reach)
    return tame


# --- Spread -----------------------------------------------------------------------------------------------------------


def _spreads(y: FloatArray) -> tuple[FloatArray, list[Change]]:
    """The standard deviation of the noise at each point, (n,), and where it changes."""
    bends = _bends(y, 1) / np.sqrt(1.5)
    whole = _scale(bends)
    if whole == 0:
        return np.full(y.size, 1e-3 * float(np.ptp(y))), []
    size = np.log(np.maximum(np.abs(bends - np.median(bends)), 0.05 * whole))
    variance = max(_noise(size), float(np.var(size)) * 0.5)
    sums = _Sums(size / np.sqrt(variance), np.ones(size.size), straight=False)
    cuts = _sharpened(bends, _cuts(sums, _SPREAD_PENALTY * np.log(y.size), least=2 * _MIN_PIECE))
    spread = np.empty(y.size)
    deviations = []
    for start, stop in _pieces(cuts, size.size):
        deviations.append(_scale(bends[start:stop]))
        spread[start : stop + 2] = deviations[-1]
    floor = 1e-6 * float(np.ptp(y))
    spread = np.maximum(spread, max(floor, 0.05 * whole))
    changes = []
    for place, before, after in zip(cuts, deviations, deviations[1:], strict=False):
        gain = sums.gain(cuts, place)
        score = _score(gain, _SPREAD_PENALTY * np.log(y.size))
        changes.append(Change(place + 1, before, after, "variance", score))
    return spread, changes


def _sharpened(bends: FloatArray, cuts: list[int]) -> list[int]:
    """Each cut where normal noise of one deviation before and another after is likeliest: logarithms find that a spread
    changed, and squares tell better where."""
    edges = [0, *cuts, bends.size]
    for at in range(1, len(edges) - 1):
        start, cut, stop = edges[at - 1 : at + 2]
        louder = max(_scale(bends[start:cut]), _scale(bends[cut:stop]))
        squares = np.cumsum(np.minimum(bends[start:stop] ** 2, (3 * louder) ** 2))
        low, high = (
            max(2 * _MIN_PIECE, cut - start - _SHARPENING),
            min(stop - 2 * _MIN_PIECE, cut + _SHARPENING) - start,
        )
        places = np.arange(low, min(high, squares.size - 2 * _MIN_PIECE) + 1)
        if places.size:
            before, after = squares[places - 1], squares[-1] - squares[places - 1]
            floor = 1e-12 * squares[-1] + 1e-300
            left = squares.size - places
            price = places * np.log((before + floor) / places) + left * np.log((after + floor) / left)
            edges[at] = start + int(places[price.argmin()])
    return edges[1:-1]


# --- Level and trend --------------------------------------------------------------------------------------------------


def _level_or_trend(y: FloatArray, spread: FloatArray) -> list[Change]:
    n = y.size
    # In units of the spread around it, all noise is alike.
    weights = 1 / (spread**2 * _noise(y / spread))
    log_n = np.log(n)
    constant = _Sums(y, weights, straight=False)
    straight = _Sums(y, weights, straight=True)
    flat = _cuts(constant, _LEVEL_PENALTY * log_n, least=_MIN_PIECE)
    bent = _cuts(straight, _TREND_PENALTY * log_n, least=2 * _MIN_PIECE)
    flat_price = constant.total(flat) + _LEVEL_PENALTY * log_n * len(flat)
    bent_price = straight.total(bent) + _TREND_PENALTY * log_n * len(bent) + _SLOPE_PENALTY * log_n
    if flat_price <= bent_price:
        means = [constant.mean(start, stop) for start, stop in _pieces(flat, n)]
        return [
            Change(place, before, after, "level", _score(constant.gain(flat, place), _LEVEL_PENALTY * log_n))
            for place, before, after in zip(flat, means, means[1:], strict=False)
        ]
    changes = []
    for (start, place), (_, stop) in zip(_pieces(bent, n), _pieces(bent, n)[1:], strict=False):
        score = _score(straight.gain(bent, place), _TREND_PENALTY * log_n)
        saved = straight.shared_slope(start, place, stop) - straight.cost(start, place) - straight.cost(place, stop)
        (before, slope_before), (after, slope_after) = straight.line(start, place), straight.line(place, stop)
        if saved < _SLOPE_PENALTY * log_n:
            at_end, at_start = before + slope_before * (place - 0.5), after + slope_after * (place - 0.5)
            changes.append(Change(place, at_end, at_start, "level", score))
        else:
            changes.append(Change(place, slope_before, slope_after, "trend", score))
    return changes


def _score(gain: float, penalty: float) -> float:
    return float(1 / (1 + np.exp(-min(max((gain - penalty) / 2, 0.0), 50.0))))


# --- The best cuts ----------------------------------------------------------------------------------------------------

Places = Any  # one place in the series, or an array of them


class _Sums:
    """Weighted squares about the mean, or about the line, of any stretch of a series, from cumulated sums."""

    def __init__(self, y: FloatArray, weights: FloatArray, *, straight: bool) -> None:
        self.size = y.size
        self.straight = straight
        time = np.arange(y.size) / y.size
        columns = [weights, weights * y, weights * y * y]
        if straight:
            columns += [weights * time, weights * time * time, weights * time * y]
        self._sums = np.zeros((y.size + 1, len(columns)))
        np.cumsum(np.stack(columns, 1), axis=0, out=self._sums[1:])

    def cost(self, start: Places, stop: Places) -> Any:
        """Of the stretches [start, stop): single places, or arrays of them that go together."""
        total, time, along = self._moments(start, stop)
        if not self.straight:
            return total
        return np.maximum(total - along * along / np.maximum(time, 1e-18), 0.0)

    def total(self, cuts: list[int]) -> float:
        return sum(float(self.cost(start, stop)) for start, stop in _pieces(cuts, self.size))

    def gain(self, cuts: list[int], place: int) -> float:
        """What the cut at `place` saves."""
        edges = [0, *cuts, self.size]
        at = edges.index(place)
        start, stop = edges[at - 1], edges[at + 1]
        return float(self.cost(start, stop) - self.cost(start, place) - self.cost(place, stop))

    def mean(self, start: int, stop: int) -> float:
        weight, sum_y = (self._sums[stop] - self._sums[start])[:2]
        return float(sum_y / weight)

    def line(self, start: int, stop: int) -> tuple[float, float]:
        """Level at the series' beginning, and slope per step, of the line through a stretch."""
        weight, _, _, sum_time, *_ = self._sums[stop] - self._sums[start]
        _, time, along = self._moments(start, stop)
        slope = float(along / max(time, 1e-18))
        return self.mean(start, stop) - slope * float(sum_time / weight), slope / self.size

    def shared_slope(self, start: int, place: int, stop: int) -> float:
        """The cost of both stretches where they have levels of their own and one slope."""
        one, other = self._moments(start, place), self._moments(place, stop)
        total, time, along = (float(a + b) for a, b in zip(one, other, strict=True))
        return max(total - along * along / max(time, 1e-18), 0.0)

    def _moments(self, start: Places, stop: Places) -> tuple[Any, Any, Any]:
        """Squares about the mean of the values, of the times, and their products."""
        weight, sum_y, sum_yy, *rest = (self._sums[stop] - self._sums[start]).T
        total = np.maximum(sum_yy - sum_y * sum_y / weight, 0.0)
        if not rest:
            return total, 0.0, 0.0
        sum_time, sum_squares, sum_products = rest
        return total, sum_squares - sum_time * sum_time / weight, sum_products - sum_time * sum_y / weight


def _pieces(cuts: list[int], n: int) -> list[tuple[int, int]]:
    return list(zip([0, *cuts], [*cuts, n], strict=True))


def _cuts(sums: _Sums, penalty: float, *, least: int) -> list[int]:
    """Where to cut so that the pieces' costs and `penalty` per cut are least; no piece is shorter than `least`."""
    n = sums.size
    stride = -(-n // _GRID)
    # So short a line, so far from the beginning, is lost in rounding.
    least = max(least, stride) if sums.straight else least
    if n < 2 * least:
        return []
    cuts = _optimum(sums, np.append(np.arange(0, n, stride), n), penalty, least)
    for reach in (2 * stride, 3):
        cuts = _worthwhile(sums, _moved(sums, cuts, reach, least), penalty)
    return cuts


def _optimum(sums: _Sums, grid: NDArray[np.intp], penalty: float, least: int) -> list[int]:
    """PELT (Killick et al., 2012) with cuts at places of `grid` alone."""
    count = grid.size
    best = np.full(count, np.inf)
    best[0] = -penalty
    cut = np.zeros(count, dtype=np.intp)
    open_places = np.zeros(0, dtype=np.intp)
    entering = 0
    for stop in range(1, count):
        eligible = int(np.searchsorted(grid, grid[stop] - least, side="right"))
        if eligible > entering:
            fresh = np.arange(entering, eligible)
            open_places = np.concatenate([open_places, fresh[np.isfinite(best[fresh])]])
            entering = eligible
        if open_places.size == 0:
            continue
        prices = best[open_places] + sums.cost(grid[open_places], grid[stop])
        at = int(prices.argmin())
        best[stop] = prices[at] + penalty
        cut[stop] = open_places[at]
        # With a least length, a place may only be given up where it is worse by a whole penalty.
        open_places = open_places[prices <= best[stop]]
    found: list[int] = []
    place = int(cut[count - 1])
    while place > 0:
        found.append(int(grid[place]))
        place = int(cut[place])
    return found[::-1]


def _moved(sums: _Sums, cuts: list[int], reach: int, least: int) -> list[int]:
    """Each cut at the best place within `reach`, its neighbours standing still."""
    edges = [0, *cuts, sums.size]
    for at in range(1, len(edges) - 1):
        start, stop = edges[at - 1], edges[at + 1]
        low, high = max(start + least, edges[at] - reach), min(stop - least, edges[at] + reach)
        if low < high:
            places = np.arange(low, high + 1)
            edges[at] = int(places[np.argmin(sums.cost(start, places) + sums.cost(places, stop))])
    return edges[1:-1]


def _worthwhile(sums: _Sums, cuts: list[int], penalty: float) -> list[int]:
    """Without the cuts that save less than the penalty, the least first."""
    cuts = list(cuts)
    while cuts:
        gains = [sums.gain(cuts, place) for place in cuts]
        at = int(np.argmin(gains))
        if gains[at] >= penalty:
            break
        del cuts[at]
    return cuts
