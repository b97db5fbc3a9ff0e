"""What comes before every method: the series checked, cut and without gaps, and the seasons found in it.

Knows no method of forecasting, and none that finds anomalies or changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ..errors import QueryError
from ..values import FloatArray

MIN_POINTS = 3
# Seasons that a step of so many seconds suggests, shortest first. They are tried, not believed.
_CALENDAR: dict[int, tuple[int, ...]] = {
    60: (60, 1440),
    300: (12, 288, 2016),
    600: (144, 1008),
    900: (96, 672),
    1800: (48, 336),
    3600: (24, 168),
    86400: (7, 365),
    604800: (52,),
}
# Months and quarters have no fixed length: a step between these bounds, in days, is one.
_MONTH_DAYS = (28, 31)
_QUARTER_DAYS = (89, 92)
# A daily season of so many steps is repeated in a week of seven: worth a try wherever the series is long enough.
_DAILY = (24, 48, 96, 144, 288)
# Seasons that people's clocks and calendars make: likelier than their neighbours.
_USUAL = (4, 7, 12, 24, 48, 52, 60, 96, 144, 168, 288, 336, 365, 1440)


@dataclass(frozen=True, slots=True)
class History:
    """values: float64 (n,), n ≥ 3, NaN for a gap, the first and the last observed.

    skipped: points that were cut before the first. trailing_gap: steps that were cut after the last.
    """

    values: FloatArray
    trailing_gap: int
    skipped: int = 0


def prepare(values: FloatArray, max_points: int, *, whole: bool = False) -> History:
    """Checks a series, keeps its last `max_points` and cuts the gaps at its ends; gaps inside stay NaN.

    values: float64 (n,), oldest first, NaN marks a gap. whole: a longer series is refused instead of cut.

    Raises: QueryError (`SERIES_EMPTY`, `SERIES_NOT_FINITE`, `SERIES_ALL_GAPS`, `SERIES_TOO_SHORT`, `SERIES_TOO_LONG`).
    """
    y = np.asarray(values, dtype=np.float64).ravel()
    if y.size == 0:
        raise _fault("the series is empty; at least 3 points are needed", "SERIES_EMPTY")
    infinite = np.isinf(y)
    if infinite.any():
        at = int(infinite.argmax()) + 1
        raise _fault(
            f"point {at} of the series is infinite; every point is a number, or NaN for a gap", "SERIES_NOT_FINITE"
        )
    if whole and y.size > max_points:
        raise _fault(
            f"the series has {y.size:,} points; at most {max_points:,} are read at once: send its last part",
            "SERIES_TOO_LONG",
        )
    before = max(0, y.size - max_points)
    y = y[before:]
    known = np.flatnonzero(~np.isnan(y))
    if known.size == 0:
        which = f"the last {y.size:,} points" if len(values) > y.size else f"all {y.size:,} points"
        raise _fault(f"{which} of the series are gaps; at least 3 known points are needed", "SERIES_ALL_GAPS")
    if known.size < MIN_POINTS:
        raise _fault(
            f"the series has {known.size} known point{'s' if known.size > 1 else ''}; "
            "at least 3 are needed: send a longer history",
            "SERIES_TOO_SHORT",
        )
    first, last = int(known[0]), int(known[-1])
    return History(values=y[first : last + 1].copy(), trailing_gap=y.size - 1 - last, skipped=before + first)


def filled(y: FloatArray, season: int = 1) -> FloatArray:
    """The series with its gaps bridged: along a line, on top of the mean of each phase where there is a season."""
    gaps = np.isnan(y)
    if not gaps.any():
        return y
    at = np.arange(y.size)
    known = ~gaps
    pattern = np.zeros(y.size)
    if season > 1:
        phase = at % season
        count = np.bincount(phase[known], minlength=season)
        total = np.bincount(phase[known], weights=y[known], minlength=season)
        middle = y[known].mean()
        pattern = np.where(count > 0, total / np.maximum(count, 1) - middle, 0.0)[phase]
    out = y.copy()
    out[gaps] = pattern[gaps] + np.interp(at[gaps], at[known], (y - pattern)[known])
    return out


def seasonal_profile(y: FloatArray, season: int) -> FloatArray:
    """The usual shape of a season, at every point, (n,): medians over the cycles, each about its moving mean."""
    n = y.size
    total = np.concatenate([[0.0], np.cumsum(y)])
    means = (total[season:] - total[:-season]) / season
    half = season // 2
    trend = np.concatenate([np.full(half, means[0]), means, np.full(n - half - means.size, means[-1])])
    cycles = -(-n // season)
    table = np.full(cycles * season, np.nan)
    table[:n] = y - trend
    shape = np.nanmedian(table.reshape(cycles, season), axis=0)
    profile: FloatArray = (shape - shape.mean())[np.arange(n) % season]
    return profile


def find_seasons(y: FloatArray, step: timedelta | None = None, season: int | None = None) -> tuple[int, ...]:
    """The seasons of a series without gaps, in steps, shortest first; () where there is none.

    Candidates are the calendar's for the step, where it is known, and the peaks of the periodogram; the
    autocorrelation of the detrended series decides, with Bartlett's standard error (1946) as the bar. A given `season`
    is believed if the series holds it twice; 1 means none. A second season is a whole multiple of the first.
    """
    n = y.size
    if season is not None:
        if season <= 1 or n < 2 * season + 1:
            return ()
        return _with_longer(y, season, step)
    if n < 9 or np.ptp(y) == 0:
        return ()
    # A slow drift hides a season that its differences show, faintly; noise looks seasonal there more often, too.
    found = _likeliest(_detrended(y), step, least=0.2, strictness=0.0)
    found = found or _likeliest(np.diff(y), step, least=0.1, strictness=1.2)
    return _with_longer(y, found, step) if found else ()


def _likeliest(rest: FloatArray, step: timedelta | None, *, least: float, strictness: float) -> int:
    """The season of a series without trend; 0: none. strictness: standard errors more than usual."""
    n = rest.size
    correlation = _autocorrelation(rest)

    def significant(lag: int, deviations: float) -> bool:
        error = np.sqrt((1 + 2 * np.sum(correlation[1:lag] ** 2)) / n)
        # A smooth series correlates with itself at any short lag: a season also stands above what lies between.
        dip = correlation[1:lag].min() if lag > 2 else -1.0
        return bool(correlation[lag] > max(min(deviations * error, 0.6), least) and correlation[lag] - dip > least)

    # A season that is expected needs less evidence than one picked out of the spectrum as the highest of many peaks.
    calendar = [c for c in _calendar(step) if 2 * c + 1 <= n and significant(c, 1.645 + strictness)]
    peaks = {_usual(lag, correlation) for lag in _spectral(rest, correlation)}
    picked = [lag for lag in sorted(peaks) if significant(lag, 2.3 + strictness)]
    best = max((correlation[lag] for lag in (*calendar, *picked)), default=0.0)
    # The shortest that is nearly as good as the best: the longer ones are its multiples.
    for lags, share in ((calendar, 0.5), ([lag for lag in picked if lag in _USUAL], 0.65), (picked, 0.8)):
        for lag in lags:
            if correlation[lag] >= share * best:
                # Within a week there are days.
                day = lag // 7 if lag % 7 == 0 else 0
                nested = day in _DAILY and _is_peak(correlation, day) and significant(day, 0.0)
                return day if nested else lag
    return 0


def _usual(lag: int, correlation: FloatArray) -> int:
    """The usual season next to a lag, where it correlates about as well."""
    near = [c for c in _USUAL if c < correlation.size and abs(c - lag) <= max(1, 0.03 * lag)]
    return next((c for c in near if correlation[c] >= 0.93 * correlation[lag]), lag)


def _with_longer(y: FloatArray, season: int, step: timedelta | None) -> tuple[int, ...]:
    """The season and, where the series is long enough, the one above it."""
    above = [c for c in _calendar(step) if c > season and c % season == 0]
    if season in _DAILY:
        above.append(7 * season)
    for longer in above:
        if y.size >= 2 * longer + 4 * season:
            return (season, longer)
    # Without a calendar: what remains beside the season's profile repeats at one of its multiples.
    n = y.size
    rest = _detrended(y)
    rest = rest - _phase_means(rest, season)[np.arange(n) % season]
    correlation = _autocorrelation(rest)
    most = n // (3 * season)
    multiples = [k * season for k in range(2, most + 1)]
    if not multiples or np.ptp(rest) == 0:
        return (season,)
    best = max(multiples, key=lambda lag: correlation[lag])
    lower = correlation[best - season], correlation[best + season] if best + season < n // 2 else -1.0
    if correlation[best] > 0.5 and correlation[best] > 1.3 * max(lower):
        return (season, best)
    return (season,)


def _calendar(step: timedelta | None) -> tuple[int, ...]:
    if step is None or step <= timedelta(0):
        return ()
    days = step / timedelta(days=1)
    if _MONTH_DAYS[0] <= days <= _MONTH_DAYS[1]:
        return (12,)
    if _QUARTER_DAYS[0] <= days <= _QUARTER_DAYS[1]:
        return (4,)
    return _CALENDAR.get(round(step.total_seconds()), ())


def _spectral(rest: FloatArray, correlation: FloatArray) -> list[int]:
    """Periods at the periodogram's highest peaks, each moved to the autocorrelation's peak nearby."""
    n = rest.size
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(rest * np.hanning(n), size)) ** 2
    found: list[int] = []
    inner = np.flatnonzero((power[1:-1] >= power[:-2]) & (power[1:-1] >= power[2:])) + 1
    for peak in inner[np.argsort(-power[inner])][:6]:
        period = size / peak
        if not 2 <= period <= n / 2:
            continue
        near = range(max(2, int(period * 0.93)), min(n // 2, int(np.ceil(period * 1.07))) + 1)
        lag = max(near, key=lambda k: correlation[k])
        if _is_peak(correlation, lag):
            found.append(lag)
    # Sharp patterns put their power on overtones: a peak at 12 may be the half of a season of 24, or a third of 36.
    return found + [k * lag for lag in found for k in (2, 3, 4) if k * lag <= n // 2 and _is_peak(correlation, k * lag)]


def _is_peak(correlation: FloatArray, lag: int) -> bool:
    return bool(correlation[lag] >= correlation[lag - 1] and correlation[lag] >= correlation[lag + 1])


def _autocorrelation(rest: FloatArray) -> FloatArray:
    """Autocorrelation at lags 0 to n // 2 + 1, (k,)."""
    n = rest.size
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(rest, size)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), size)[: n // 2 + 2]
    if covariance[0] <= 0:
        return np.zeros(n // 2 + 2)
    # Divided by the pairs that each lag has: else a season that fits in only twice would look weak.
    pairs = n / np.maximum(n - np.arange(covariance.size), 1)
    correlation: FloatArray = np.clip(covariance / covariance[0] * pairs, -1.0, 1.0)
    return correlation


def _detrended(y: FloatArray) -> FloatArray:
    """Without its quadratic trend, (n,)."""
    at = np.linspace(-1, 1, y.size)
    basis = np.stack([np.ones_like(at), at, at**2 - 1 / 3], 1)
    rest: FloatArray = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    return rest


def _phase_means(y: FloatArray, season: int) -> FloatArray:
    phase = np.arange(y.size) % season
    means: FloatArray = np.bincount(phase, weights=y, minlength=season) / np.bincount(phase, minlength=season)
    return means


def _fault(message: str, reason: str) -> QueryError:
    return QueryError(message, reason=reason, field="series")
