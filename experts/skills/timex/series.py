"""Series: the occurrences of something in wall-clock time, forwards and backwards: every Monday, every 3 March, noon.

An expression is read into a series, and a series meets another ("Thursday" and "the 15th") by looking for the finer
one inside the coarser one. All times here are naive wall-clock times; zones and daylight saving are the caller's.
Knows nothing about words.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator
from datetime import MAXYEAR, datetime, timedelta
from typing import NamedTuple, Protocol

SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR = range(8)
BEGINNING = datetime(1, 1, 2)
END = datetime(MAXYEAR - 1, 12, 31)
FIXED = {SECOND: timedelta(seconds=1), MINUTE: timedelta(minutes=1), HOUR: timedelta(hours=1), DAY: timedelta(days=1),
          WEEK: timedelta(weeks=1)}  # fmt: skip
MONTHS_IN = {MONTH: 1, QUARTER: 3, YEAR: 12}
# Seconds in a unit, roughly for months and up: only to tell coarse from fine.
SECONDS_IN = (1, 60, 3600, 86400, 7 * 86400, 30 * 86400, 91 * 86400, 365 * 86400)
# How many occurrences in a row may lead to nothing before a series is taken to be empty: 29 February on a Friday comes
# once in 28 years, a weekday with a day of the month within 14 months.
_MAX_MISSES = 30
# A series that is this long without an occurrence has none (leap days have gaps of eight years).
_MAX_GAP = 12


class Occurrence(NamedTuple):
    """end: exclusive. grain: an index (SECOND…YEAR). is_interval: its ends were named, it is not one unit."""

    start: datetime
    end: datetime
    grain: int
    is_interval: bool = False


class Series(Protocol):
    @property
    def period(self) -> int:
        """Seconds between occurrences, roughly: the coarser of two series is the one that comes more rarely."""

    def scan(self, low: datetime, high: datetime, back: bool = False) -> Iterator[Occurrence]:
        """What overlaps [low, high), in order of time, or against it."""


def floor(moment: datetime, grain: int) -> datetime:
    """The beginning of the unit that holds `moment`. Weeks begin on Monday."""
    if grain <= HOUR:
        if grain == SECOND:
            return moment.replace(microsecond=0)
        if grain == MINUTE:
            return moment.replace(second=0, microsecond=0)
        return moment.replace(minute=0, second=0, microsecond=0)
    day = datetime(moment.year, moment.month, moment.day)
    if grain == DAY:
        return day
    if grain == WEEK:
        return day - timedelta(days=day.weekday())
    if grain == MONTH:
        return day.replace(day=1)
    if grain == QUARTER:
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day.replace(month=1, day=1)


def add(moment: datetime, count: int, grain: int) -> datetime:
    """`count` units later; in a shorter month the day becomes its last. Raises: OverflowError, ValueError."""
    step = FIXED.get(grain)
    if step is not None:
        return moment + step * count
    index = moment.year * 12 + moment.month - 1 + count * MONTHS_IN[grain]
    year, month = divmod(index, 12)
    if not 1 <= year <= MAXYEAR:
        raise OverflowError(f"year {year} is off the calendar")
    if moment.day <= 28:
        return moment.replace(year=year, month=month + 1)
    length = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, length))


def unit(start: datetime, grain: int, count: int = 1) -> Occurrence:
    """`count` whole units from `start` on."""
    return Occurrence(start, add(start, count, grain), grain)


class Fixed:
    """One occurrence."""

    __slots__ = ("occurrence",)
    period = 10**12

    def __init__(self, occurrence: Occurrence) -> None:
        self.occurrence = occurrence

    def scan(self, low: datetime, high: datetime, back: bool = False) -> Iterator[Occurrence]:
        if self.occurrence.end > low and self.occurrence.start < high:
            yield self.occurrence


class Periodic:
    """The k-th occurrence is at(k), None when there is none; index(moment) is the k of about that time."""

    __slots__ = ("at", "index", "period")

    def __init__(self, period: int, index: Callable[[datetime], int], at: Callable[[int], Occurrence | None]) -> None:
        self.period = period
        self.index = index
        self.at = at

    def scan(self, low: datetime, high: datetime, back: bool = False) -> Iterator[Occurrence]:
        k, step = (self.index(high) + 1, -1) if back else (self.index(low) - 1, 1)
        gap = 0
        while gap < _MAX_GAP:
            try:
                found = self.at(k)
            except (ValueError, OverflowError):
                found = None
            k += step
            if found is None:
                gap += 1
                continue
            gap = 0
            if back:
                if found.end <= low:
                    return
                if found.start < high:
                    yield found
            else:
                if found.start >= high:
                    return
                if found.end > low:
                    yield found


class Yearly:
    """What a function finds in each year: none, one or several occurrences in order (Ramadan may come twice)."""

    __slots__ = ("find", "span_years")
    period = SECONDS_IN[YEAR]

    def __init__(self, find: Callable[[int], list[Occurrence]]) -> None:
        self.find = find

    def scan(self, low: datetime, high: datetime, back: bool = False) -> Iterator[Occurrence]:
        first, last = max(low.year - 1, 1), min(high.year + 1, MAXYEAR - 1)
        gap = 0
        for year in range(last, first - 1, -1) if back else range(first, last + 1):
            try:
                found = self.find(year)
            except (ValueError, OverflowError):
                found = []
            gap = 0 if found else gap + 1
            if gap > _MAX_GAP:
                return
            for occurrence in reversed(found) if back else found:
                if back and occurrence.end <= low:
                    return
                if not back and occurrence.start >= high:
                    return
                if occurrence.end > low and occurrence.start < high:
                    yield occurrence


class Meeting:
    """Where two series overlap: the finer one inside each occurrence of the coarser one."""

    __slots__ = ("coarse", "fine", "period")

    def __init__(self, one: Series, other: Series) -> None:
        self.coarse, self.fine = (one, other) if one.period >= other.period else (other, one)
        self.period = max(one.period, other.period)

    def scan(self, low: datetime, high: datetime, back: bool = False) -> Iterator[Occurrence]:
        misses = 0
        for outer in self.coarse.scan(low, high, back):
            misses += 1
            if misses > _MAX_MISSES:
                return
            for inner in self.fine.scan(outer.start, outer.end, back):
                if inner.is_interval and inner.grain <= HOUR:
                    # Hours that began the day before are not this day's; today's may last into the night.
                    met = inner if outer.start <= inner.start < outer.end else None
                else:
                    met = meet(outer, inner)
                if met is not None and met.end > low and met.start < high:
                    misses = 0
                    yield met


def meet(one: Occurrence, other: Occurrence) -> Occurrence | None:
    """The overlap of two occurrences, as fine as the finer; None when they do not touch."""
    if other.start < one.start:
        one, other = other, one
    if one.end <= other.start:
        return None
    grain = min(one.grain, other.grain)
    if one.end < other.end:
        return Occurrence(other.start, one.end, grain, True)
    return Occurrence(other.start, other.end, grain, other.is_interval)


class Between:
    """From each occurrence of one series to the next of another. closed: the last one is part of it, whole."""

    __slots__ = ("closed", "first", "grain", "last", "period")

    def __init__(self, first: Series, last: Series, grain: int, closed: bool = True) -> None:
        self.first, self.last, self.grain, self.closed = first, last, grain, closed
        self.period = max(first.period, min(last.period, 10**11))

    def scan(self, low: datetime, high: datetime, back: bool = False) -> Iterator[Occurrence]:
        # An interval that began earlier may still last: look one period of the last end back.
        reach = timedelta(seconds=min(self.last.period, 2 * SECONDS_IN[YEAR]))
        early = low - reach if low - BEGINNING > reach else BEGINNING
        for opening, closing in self._backwards(early, high) if back else self._forwards(early, high):
            end = closing.start
            if self.closed:
                whole = closing.is_interval or closing.grain >= DAY
                end = closing.end if whole else add(end, 1, self.grain)
            if end > low and opening.start < high and end > opening.start:
                yield Occurrence(opening.start, end, self.grain, True)

    def _forwards(self, low: datetime, high: datetime) -> Iterator[tuple[Occurrence, Occurrence]]:
        position = low
        while True:
            opening = next(iter(self.first.scan(position, high)), None)
            closing = self._closing(opening)
            if opening is None or closing is None:
                return
            # Of several beginnings before one end, the last is meant.
            latest = next(iter(self.first.scan(opening.start, closing.start, True)), opening)
            if latest.start > opening.start and latest.start < high:
                opening, closing = latest, self._closing(latest) or closing
            yield opening, closing
            position = opening.end

    def _backwards(self, low: datetime, high: datetime) -> Iterator[tuple[Occurrence, Occurrence]]:
        misses = 0
        later: Occurrence | None = None
        for opening in self.first.scan(low, high, True):
            closing = self._closing(opening)
            if closing is not None and (later is None or later.start > closing.start):
                misses = 0
                yield opening, closing
            misses += 1
            if misses > _MAX_MISSES:
                return
            later = opening

    def _closing(self, opening: Occurrence | None) -> Occurrence | None:
        """The first end that is not before this beginning."""
        if opening is None:
            return None
        return next((c for c in self.last.scan(opening.start, END) if c.start >= opening.start), None)


class Mapped:
    """Another series, each occurrence changed: shifted by a duration, widened to its weekend, cut to its beginning.

    reach: how far a change may move an occurrence, so that the scan looks there too.
    """

    __slots__ = ("change", "period", "reach", "series")

    def __init__(self, series: Series, change: Callable[[Occurrence], Occurrence | None], reach: timedelta) -> None:
        self.series, self.change, self.reach, self.period = series, change, reach, series.period

    def scan(self, low: datetime, high: datetime, back: bool = False) -> Iterator[Occurrence]:
        early = low - self.reach if low - BEGINNING > self.reach else BEGINNING
        late = high + self.reach if END - high > self.reach else END
        misses = 0
        for occurrence in self.series.scan(early, late, back):
            try:
                changed = self.change(occurrence)
            except (ValueError, OverflowError):
                changed = None
            misses = misses + 1 if changed is None else 0
            if misses > _MAX_MISSES:
                return
            if changed is not None and changed.end > low and changed.start < high:
                yield changed
