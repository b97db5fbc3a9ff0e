"""The ensemble's members. Each forecasts from many origins at once, and at each knows nothing that comes after it.

    member(y, origins, horizon, …) → float64 (r, horizon)

y: float64 (n,), finite. origins: int (r,), rising, each the number of points known there; the last may be n itself,
which is the forecast proper, while the others measure how good it will be. Knows no other member and no quantile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from ..values import FloatArray

IntArray = npt.NDArray[np.intp]

# Parameters that exponential smoothing tries: level, trend (as a share of the level's), damping, season.
_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_TRENDS = ((0.0, 0.0), *((share, damping) for share in (0.05, 0.2, 0.5) for damping in (0.85, 0.95, 1.0)))
_SEASONAL_LEVELS = (0.02, 0.1, 0.3, 0.6, 0.95)
_SEASONAL_TRENDS = ((0.0, 0.0), (0.1, 0.9), (0.1, 0.98))
_SEASONAL_RATES = (0.02, 0.1, 0.3)
_THETA_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# An autoregression may leave the history's range by twice that range: roots outside the unit circle are cut off there.
_LEASH = 2.0


def seasonal_naive(y: FloatArray, origins: IntArray, horizon: int, season: int) -> FloatArray:
    """The last season again; with a season of 1, the last value."""
    path: FloatArray = y[origins[:, None] - season + np.arange(horizon) % season]
    return path


def autoregression(
    y: FloatArray,
    origins: IntArray,
    horizon: int,
    lags: Collection[int],
    *,
    prior: Mapping[int, float],
    shrinkage: float,
    half_life: float | None = None,
) -> FloatArray:
    """Ridge autoregression, shrunk towards `prior` (lag → coefficient) instead of towards zero, and iterated ahead.

    With the prior {24: 1}, the less the data say, the more it is the seasonal naive forecast (the idea of Doan,
    Litterman & Sims, 1984, for one series). Weighted least squares with weights halved every `half_life` steps. The
    normal equations grow from origin to origin, so that all origins cost little more than one.
    """
    lag = np.array(sorted(lags))
    deepest = int(lag[-1])
    known = y[: origins[0]]
    centre, scale = known.mean(), known.std() or 1.0
    z = (y - centre) / scale
    n, count = z.size, lag.size
    design = np.ones((n - deepest, count + 1))
    for column, back in enumerate(lag):
        design[:, column] = z[deepest - back : n - back]
    start = np.zeros(count + 1)
    for back, coefficient in prior.items():
        start[np.searchsorted(lag, back)] = coefficient
    target = z[deepest:] - design @ start

    gram = np.zeros((origins.size, count + 1, count + 1))
    moment = np.zeros((origins.size, count + 1))
    weight = np.zeros(origins.size)
    row = 0
    for k, origin in enumerate(origins):
        stop = int(origin) - deepest
        block, rest = design[row:stop], target[row:stop]
        decay, weighted, mass = 1.0, block, float(stop - row)
        if half_life is not None:
            weights = 0.5 ** (np.arange(stop - row - 1, -1, -1) / half_life)
            decay, weighted, mass = 0.5 ** ((stop - row) / half_life), block * weights[:, None], float(weights.sum())
        gram[k] = decay * gram[k - 1] + weighted.T @ block
        moment[k] = decay * moment[k - 1] + weighted.T @ rest
        weight[k] = decay * weight[k - 1] + mass
        row = stop
    # The constant stays free; else the forecast would be drawn towards the mean of the history.
    penalty = np.diag(np.append(np.full(count, shrinkage), 1e-6))
    system = gram + np.maximum(weight, 1.0)[:, None, None] * penalty
    coefficients = start + np.linalg.solve(system, moment[:, :, None])[:, :, 0]

    path = np.empty((deepest + horizon, origins.size))
    path[:deepest] = z[np.arange(-deepest, 0)[:, None] + origins]
    low, high = np.minimum.accumulate(z)[origins - 1], np.maximum.accumulate(z)[origins - 1]
    low, high = low - _LEASH * (high - low), high + _LEASH * (high - low)
    slopes, constant = np.ascontiguousarray(coefficients[:, :count].T), coefficients[:, count]
    for step in range(deepest, deepest + horizon):
        following = np.einsum("pr,pr->r", path[step - lag], slopes) + constant
        path[step] = np.minimum(np.maximum(following, low), high)
    ahead: FloatArray = path[deepest:].T * scale + centre
    return ahead


def profile(
    y: FloatArray, origins: IntArray, horizon: int, seasons: tuple[int, ...], *, half_life: float
) -> FloatArray:
    """Mean shape of the shorter season, its deviation over the longer one, a first-order autoregression on the rest.

    Shapes are means over past cycles, their weights halved every `half_life` cycles; the longer season's deviation is
    shrunk, since few cycles of it are known.
    """
    short = seasons[0]
    cycles = min(int(origins[0]) // short, 40)
    past = y[origins[:, None] - cycles * short + np.arange(cycles * short)].reshape(origins.size, cycles, short)
    weights = 0.5 ** (np.arange(cycles - 1, -1, -1) / half_life)
    weights /= weights.sum()
    shape = np.einsum("c,rcs->rs", weights, past - past.mean(2, keepdims=True))
    rest = (past - shape[:, None]).reshape(origins.size, -1)
    ahead = shape[:, np.arange(horizon) % short]
    if len(seasons) > 1:
        long = seasons[1]
        rounds = rest.shape[1] // long
        if rounds >= 2:
            again = rest[:, -rounds * long :].reshape(origins.size, rounds, long)
            share = 0.5 ** (np.arange(rounds - 1, -1, -1) / 4)
            share /= share.sum() + 1
            deviation = np.einsum("c,rcs->rs", share, again - again.mean(2, keepdims=True))
            rest = (again - deviation[:, None]).reshape(origins.size, -1)
            ahead = ahead + deviation[:, np.arange(horizon) % long]
    tail = rest[:, -4 * short :]
    level = tail.mean(1, keepdims=True)
    tail = tail - level
    variance = np.einsum("rt,rt->r", tail[:, :-1], tail[:, :-1])
    covariance = np.einsum("rt,rt->r", tail[:, 1:], tail[:, :-1])
    memory = np.clip(covariance / np.where(variance > 0, variance, 1.0), 0.0, 0.999)[:, None]
    path: FloatArray = ahead + level + tail[:, -1:] * memory ** np.arange(1, horizon + 1)
    return path


def analogues(y: FloatArray, origins: IntArray, horizon: int, season: int) -> FloatArray:
    """What came after the past seasons that resemble the last one most, moved to its level (Lorenz, 1969)."""
    cycles = min(int(origins[0]) // season - 1, 28)
    ends = origins[:, None] - season * np.arange(1, cycles + 1)
    window = np.arange(-season, 0)
    last, past = y[origins[:, None] + window], y[ends[:, :, None] + window]
    last_level, past_level = last.mean(1), past.mean(2)
    moved = last_level[:, None] - past_level
    # Likeness of shape counts more than likeness of level, which is moved away anyhow.
    distance = np.abs(past - last[:, None] + moved[:, :, None]).mean(2) + 0.3 * np.abs(moved)
    farthest = distance.max(1, keepdims=True)
    closeness = 1 / (distance / np.where(farthest > 0, farthest, 1.0) + 1e-6) ** 2
    closeness /= closeness.sum(1, keepdims=True)
    # Near the end less is known of what followed than the horizon asks for: it is repeated by whole seasons.
    steps = np.arange(horizon)[None] % (season * np.arange(1, cycles + 1))[:, None]
    path: FloatArray = np.einsum("rc,rch->rh", closeness, y[ends[:, :, None] + steps] + moved[:, :, None])
    return path


def smoothing(y: FloatArray, origins: IntArray, horizon: int, season: int = 1) -> FloatArray:
    """Exponential smoothing, with damped trend and additive season (Gardner & McKenzie, 1985; Hyndman et al., 2008).

    Every setting of a small grid runs side by side; forecasts are averaged by Akaike weights, from one-step errors up
    to the origin (Kolassa, 2011).
    """
    level_rates, trends = (_LEVELS, _TRENDS) if season == 1 else (_SEASONAL_LEVELS, _SEASONAL_TRENDS)
    season_rates = (0.0,) if season == 1 else _SEASONAL_RATES
    grid = np.array(
        [(a, a * share, damping, g * (1 - a)) for a in level_rates for share, damping in trends for g in season_rates]
    )
    alpha, beta, damping, gamma = np.ascontiguousarray(grid.T)
    first = int(origins[0])
    if season == 1:
        slope = float(np.median(np.diff(y[: min(first, 8)]))) if first > 2 else 0.0
        level = np.full(alpha.size, y[0] - slope)
        pattern = np.zeros((1, alpha.size))
    else:
        cycles = y[: season * min(first // season, 2)].reshape(-1, season)
        slope = (cycles[-1].mean() - cycles[0].mean()) / season
        level = np.full(alpha.size, cycles[0].mean() - slope * (season + 1) / 2)
        centred = cycles - cycles.mean(1, keepdims=True) - slope * (np.arange(season) - (season - 1) / 2)
        pattern = np.repeat(centred.mean(0)[:, None], alpha.size, 1)
    trend = np.where(damping > 0, slope, 0.0)
    squares = np.zeros(alpha.size)
    ahead = np.arange(1, horizon + 1)
    reach = np.cumsum(damping ** ahead[:, None], 0)
    spread = float(np.var(y)) or 1.0

    out = np.empty((origins.size, horizon))
    time = 0
    for k, origin in enumerate(origins):
        for value in y[time:origin].tolist():
            base = level + damping * trend
            error = value - base
            if season > 1:
                phase = pattern[time % season]
                error -= phase
                phase += gamma * error
            level = base + alpha * error
            trend = damping * trend + beta * error
            squares += error * error
            time += 1
        criterion = time * np.log(np.maximum(squares / time, 1e-12 * spread)) + 4 * (damping > 0)
        weights = np.exp((criterion.min() - criterion) / 2)
        weights /= weights.sum()
        out[k] = (reach * trend + level) @ weights
        if season > 1:
            out[k] += (pattern @ weights)[(time + ahead - 1) % season]
    return out


def theta(y: FloatArray, origins: IntArray, horizon: int, season: int = 1) -> FloatArray:
    """The theta method (Assimakopoulos & Nikolopoulos, 2000), as smoothing with half the trend's slope as drift
    (Hyndman & Billah, 2003), on the classically adjusted series; the smoothing rate averaged by Akaike weights.
    """
    longest = int(origins[-1])
    columns = np.empty((longest, origins.size))
    pattern = np.zeros((season, origins.size))
    drift = np.zeros((origins.size, 1))
    for k, origin in enumerate(origins.tolist()):
        known = y[:origin]
        if season > 1 and origin > 2 * season:
            pattern[:, k] = _classical_pattern(known, season)
            known = known - pattern[np.arange(origin) % season, k]
        at = np.arange(origin) - (origin - 1) / 2
        drift[k] = (at @ known) / (at @ at) / 2
        # Smoothing with a drift is smoothing without, of the series without that drift. Shorter histories are led in by
        # their first value, which makes no error.
        known = known - drift[k] * np.arange(1 - origin, 1)
        columns[longest - origin :, k] = known
        columns[: longest - origin, k] = known[0]
    level, squares = _simple_smoothing(columns, np.array(_THETA_LEVELS))
    spread = float(np.var(y)) or 1.0
    points = origins[:, None]
    criterion = points * np.log(np.maximum(squares / points, 1e-12 * spread))
    weights = np.exp((criterion.min(1, keepdims=True) - criterion) / 2)
    weights /= weights.sum(1, keepdims=True)
    ahead = np.arange(1, horizon + 1)
    line = (level * weights).sum(1, keepdims=True) + drift * ahead
    path: FloatArray = line + pattern[(points + ahead - 1) % season, np.arange(origins.size)[:, None]]
    return path


def _simple_smoothing(columns: FloatArray, rates: FloatArray, block: int = 32) -> tuple[FloatArray, FloatArray]:
    """Last level and sum of squared one-step errors for each column and rate, both float64 (r, rates).

    columns: (t, r). The errors within a block of steps are a triangular matrix times the block, which saves the walk.
    """
    at = np.arange(block)
    ago = at[:, None] - at - 1
    memory = (1 - rates[:, None, None]) ** np.maximum(ago, 0)
    to_errors = np.eye(block) - np.where(ago >= 0, rates[:, None, None] * memory, 0.0)
    to_level = rates[:, None] * (1 - rates[:, None]) ** at[::-1]
    level = np.repeat(columns[:1], rates.size, 0)
    squares = np.zeros_like(level)
    for start in range(0, columns.shape[0], block):
        part = columns[start : start + block]
        size = part.shape[0]
        away = part - level[:, None]
        squares += ((to_errors[:, :size, :size] @ away) ** 2).sum(1)
        level = level + (to_level[:, None, block - size :] @ away)[:, 0]
    return level.T, squares.T


def _classical_pattern(known: FloatArray, season: int) -> FloatArray:
    """Additive seasonal indices by a centred moving average, (season,), sum 0, by time modulo season."""
    kernel = np.ones(season + 1 - season % 2) / season
    if season % 2 == 0:
        kernel[[0, -1]] /= 2
    half = kernel.size // 2
    detrended = known[half : known.size - half] - np.convolve(known, kernel, "valid")
    phase = np.arange(half, known.size - half) % season
    count = np.bincount(phase, minlength=season)
    pattern = np.bincount(phase, weights=detrended, minlength=season) / np.maximum(count, 1)
    centred: FloatArray = pattern - pattern.mean()
    return centred
