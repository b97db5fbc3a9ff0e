"""How odd each point of a series is, as a stream sees it: score i knows the points up to i and nothing after it.

    1  three looks at each point: how far it lies from what was expected, and how unlike any earlier stretch the last 5
       and the last 24 values are (mean distance to the nearest of the past stretches: Burnaev & Ishimtsev, 2016)
    2  each look becomes a conformal p-value, the share of earlier points that looked at least as odd (Vovk et al.,
       2005; Laxhammar & Falkman, 2014), so that nothing is assumed of the noise: what often happens is not odd
    3  the mean of -log10 p, over the looks, is the surprise, less what a long history brings by chance; after an alarm
       the series rests for a while, since what follows is one event with it and no news, unless it is larger by far

Of the first points too few came before for shares to say anything: they are judged by distances in robust deviations.
Only the last 5,000 points are remembered, so memory is bounded and 100,000 points take seconds.

Knows no query text and no bundle, and no cause: a holiday is odd to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..values import FloatArray
from .history import prepare

MAX_POINTS = 100_000
# The least score of an alarm.
THRESHOLD = 0.986

_LENGTHS = (5, 24)
_NEIGHBOURS = 30
_REFERENCE = 500
_MEMORY = 5000
_BLOCK = 64
# Among more points there are more that look odd by chance: with every tenfold history, beyond so many points, an alarm
# takes so much more.
_LONG = 1000
_CHANCE = 0.5
# How long a rest is: so many points, or of a short history this share. It ends for an error so many times the largest.
_REST = 140
_REST_SHARE = 1 / 15
_BREAKING = 1.3
# So many points in, shares take over from distances; a stretch is looked at once so many came before it.
_EARLY = 64
# Beyond so many deviations all is equally far.
_FAR = 1e9
_LEVEL_RATE = 0.3
_SCALE_RATE = 0.01


@dataclass(frozen=True, slots=True)
class Anomalies:
    """scores: float64 (n,), 0…1, 0 at gaps. expected: float64 (n,), what the points before made likely.

    places: indices of the alarms, rising.
    """

    scores: FloatArray
    expected: FloatArray
    places: tuple[int, ...]
    threshold: float


def find_anomalies(values: FloatArray, threshold: float = THRESHOLD) -> Anomalies:
    """Scores every point of a series.

    values: float64 (n,), oldest first, NaN marks a gap. threshold: the least score of an alarm.

    Raises: QueryError (`SERIES_EMPTY`, `SERIES_NOT_FINITE`, `SERIES_ALL_GAPS`, `SERIES_TOO_SHORT`, `SERIES_TOO_LONG`).
    """
    history = prepare(values, MAX_POINTS, whole=True)
    known = np.flatnonzero(~np.isnan(history.values))
    y = history.values[known]
    # A power of two changes no digit, so that what comes later leaves earlier scores alone; squares stay finite.
    unit = 2.0 ** np.frexp(np.abs(y).max())[1].clip(-1000, 1000)
    y = y / unit
    expected, errors = _errors(y)
    surprise = _rested(_surprise(y, errors), errors, -np.log10(1 - threshold))
    scores, likely = np.zeros(len(values)), np.full(len(values), np.nan)
    places = known + history.skipped
    scores[places] = 1 - 10.0**-surprise
    likely[places] = expected * unit
    return Anomalies(scores, likely, tuple(int(at) for at in np.flatnonzero(scores >= threshold)), threshold)


def _surprise(y: FloatArray, errors: FloatArray) -> FloatArray:
    """Mean over the looks of -log10 p, (n,)."""
    looks = [_ranked(errors)]
    looks[0][:_EARLY] = _first_surprise(y[:_EARLY])
    seen = np.ones(y.size)
    total = looks[0].copy()
    for length in _LENGTHS:
        first = _EARLY + length
        if y.size > first:
            total[first:] += _ranked(_unlikeness(y, length, first))[first:]
            seen[first:] += 1
    chance = _CHANCE * np.log10(np.maximum(np.arange(y.size) / _LONG, 1.0))
    surprise: FloatArray = np.maximum(total / seen - chance, 0.0)
    return surprise


def _rested(surprise: FloatArray, errors: FloatArray, alarm: float) -> FloatArray:
    """After an alarm, surprise is held at half of what makes one, for a while."""
    rested = surprise.copy()
    largest = np.maximum.accumulate(errors)
    until = -1
    for at in np.flatnonzero(surprise >= alarm / 2).tolist():
        alarming = surprise[at] >= alarm
        breaking = alarming and errors[at] > _BREAKING * largest[at - 1]
        if at <= until and not breaking:
            rested[at] = alarm / 2
        elif alarming:
            until = at + int(min(_REST, at * _REST_SHARE))
    return rested


# --- The looks --------------------------------------------------------------------------------------------------------


def _errors(y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What was expected of each point, an exponentially weighted mean of those before, and how far off that was in mean
    absolute errors so far; both (n,)."""
    expected, errors = np.empty(y.size), np.empty(y.size)
    level, scale = float(y[0]), 0.0
    floor = 1e-300
    for at, value in enumerate(y.tolist()):
        expected[at] = level
        away = abs(value - level)
        floor = max(floor, 1e-9 * abs(value))
        errors[at] = away / max(scale, floor) if at > 1 else 0.0
        level += max(_LEVEL_RATE, 1 / (at + 1)) * (value - level)
        scale += max(_SCALE_RATE, 1 / (at + 1)) * (away - scale)
    return expected, errors


def _unlikeness(y: FloatArray, length: int, first: int) -> FloatArray:
    """Root mean square distance of the `length` values up to each point to the nearest earlier stretches, (n,); 0
    before `first`. Of more than 500 remembered stretches so many are compared, evenly chosen."""
    found = np.zeros(y.size)
    windows = np.lib.stride_tricks.sliding_window_view(y, length)
    for start in range(first, y.size, _BLOCK):
        stop = min(start + _BLOCK, y.size)
        last = start - length
        oldest = max(0, last - _MEMORY)
        chosen = np.linspace(oldest, last, min(_REFERENCE, last - oldest + 1)).astype(np.intp)
        past = windows[chosen]
        centre, deviation = past.mean(), past.std()
        if deviation == 0:
            deviation = abs(centre) or 1.0
        past = (past - centre) / deviation
        new = np.clip((windows[start - length + 1 : stop - length + 1] - centre) / deviation, -_FAR, _FAR)
        apart = (new * new).sum(1)[:, None] + (past * past).sum(1) - 2 * new @ past.T
        nearest = np.partition(apart, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS].mean(1)
        # What differs by rounding alone is the same.
        found[start:stop] = np.where(nearest > 1e-9, np.sqrt(np.maximum(nearest, 0.0)), 0.0) * deviation
    return found


def _ranked(oddness: FloatArray) -> FloatArray:
    """-log10 of the share of remembered points, itself among them, that were as odd or odder, (n,)."""
    p = np.empty(oddness.size)
    for start in range(0, oddness.size, _BLOCK):
        stop = min(start + _BLOCK, oddness.size)
        past = np.sort(oddness[max(0, start - _MEMORY) : start])
        new = oddness[start:stop]
        as_odd = past.size - np.searchsorted(past, new, side="left")
        within = np.tril(new[None, :] >= new[:, None], -1).sum(1)
        p[start:stop] = (1 + as_odd + within) / (past.size + np.arange(1, stop - start + 1))
    surprise: FloatArray = -np.log10(p)
    return surprise


def _first_surprise(y: FloatArray) -> FloatArray:
    """Of the first points, from the tail of Student's distribution of what was seen so far, (n,).

    A point is as odd as it is beside the kindest expectation: the median so far, the last value, or that and the usual
    step. About a factor of sixteen is taken off, for there are many points and three expectations.
    """
    surprise = np.zeros(y.size)
    for at in range(3, y.size):
        past = y[:at]
        steps = np.diff(past)
        freedom = at - 1
        kindest = np.inf
        for expected, spread in (
            (float(np.median(past)), float(np.std(past, ddof=1))),
            (float(past[-1]), float(np.sqrt(np.mean(steps**2)))),
            (float(past[-1] + np.median(steps)), float(np.std(steps, ddof=1))),
        ):
            away = abs(y[at] - expected)
            if away <= 1e-9 * max(abs(expected), abs(y[at])):
                kindest = 0.0
            elif spread <= 1e-9 * abs(expected):
                kindest = min(kindest, 3 * np.log10(at + 1))
            else:
                kindest = min(kindest, freedom / 2 * np.log10(1 + min(away / spread, _FAR) ** 2 / freedom))
        surprise[at] = min(max(kindest - 1.2, 0.0), 4.0)
    return surprise
