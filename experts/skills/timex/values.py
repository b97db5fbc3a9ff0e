"""What the time expert says: a stretch of time, a rule that repeats, or why there is no such time.

Knows the calendar's clock arithmetic; knows nothing about language.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

Grain = Literal["second", "minute", "hour", "day", "week", "month", "quarter", "year"]
GRAINS: tuple[Grain, ...] = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
Frequency = Literal["secondly", "minutely", "hourly", "daily", "weekly", "monthly", "yearly"]
_STEPS = {"secondly": timedelta(seconds=1), "minutely": timedelta(minutes=1), "hourly": timedelta(hours=1)}
# Leap days recur after 8 years at most (1896, 1904); 31-day months and fifth weekdays far sooner. Past this many
# periods without a match the rule never happens.
_MAX_PERIODS = 20_000
_UTC = ZoneInfo("UTC")


class TimeError(ValueError):
    """A time is meant that cannot be; the text says why and, where there is one, the way out.

    reason: stable, upper snake case: `NO_SUCH_DATE` ("31 February"), `NO_SUCH_TIME` ("25:70"), `OUT_OF_RANGE` (before
    year 1 or after 9999). span: of the expression in the text.
    """

    def __init__(self, message: str, *, reason: str, span: tuple[int, int] = (0, 0)) -> None:
        super().__init__(message)
        self.reason = reason
        self.span = span


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A rule that repeats, in the terms of RFC 5545.

    interval: every n-th period, counted from `anchor`. weekdays: Monday is 0. nth: with `weekdays` in a month (or in
    `month`), which of them; -1 is the last. day_of_month: 1…31, or -1 for the last; months without that day are left
    out, as RFC 5545 has it. hour, minute, second: wall-clock time of day; hour None: the whole day (midnight), and for
    frequencies below a day they are not used. anchor: local time from which an interval is counted.
    """

    frequency: Frequency
    interval: int = 1
    weekdays: tuple[int, ...] = ()
    day_of_month: int | None = None
    month: int | None = None
    nth: int | None = None
    hour: int | None = None
    minute: int = 0
    second: int = 0
    anchor: datetime | None = None

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first occurrence after `moment` (aware), as an aware time in `zone`.

        A wall-clock time that daylight saving skips is moved ahead by what was skipped; one that happens twice is
        taken the first time. Raises: TimeError(NO_SUCH_DATE) for a rule that never happens, such as every 31 February.
        """
        step = _STEPS.get(self.frequency)
        if step is not None:
            anchor = (self.anchor or datetime.combine(moment.astimezone(zone).date(), time())).replace(tzinfo=zone)
            stride = step * self.interval
            passed = (moment.astimezone(_UTC) - anchor.astimezone(_UTC)) // stride
            return (anchor.astimezone(_UTC) + (max(passed, -1) + 1) * stride).astimezone(zone)
        local = moment.astimezone(zone)
        clock = time(self.hour or 0, self.minute, self.second)
        # One day early: daylight saving may have moved yesterday's late occurrence past midnight.
        for day in self._days(max(local.date(), date(1, 1, 2)) - timedelta(days=1)):
            found = localise(datetime.combine(day, clock), zone)
            # Compared in physical time: aware times of one zone compare by the wall clock, which runs back in autumn.
            if found.astimezone(_UTC) > moment.astimezone(_UTC) and (self.anchor is None or day >= self.anchor.date()):
                return found
        raise TimeError("this rule never comes to pass: no month has that day", reason="NO_SUCH_DATE")

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the defaults; `anchor` as ISO 8601."""
        plain: dict[str, Any] = {"frequency": self.frequency}
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value != default:
                plain[name] = value.isoformat() if name == "anchor" else list(value) if name == "weekdays" else value
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Recurrence:
        """The opposite of `to_json`. Raises: TypeError for an unknown key, ValueError for a wrong value."""
        known = dict(plain)
        if known.get("frequency") not in Frequency.__args__:  # type: ignore[attr-defined]
            raise ValueError(f'"frequency" is {known.get("frequency")!r}; it must be one of daily, weekly, …')
        if "weekdays" in known:
            known["weekdays"] = tuple(known["weekdays"])
        if known.get("anchor") is not None:
            known["anchor"] = datetime.fromisoformat(known["anchor"])
        return cls(**known)

    def _days(self, first: date) -> Iterator[date]:
        """The rule's days from `first` on."""
        anchor = self.anchor.date() if self.anchor else first
        day = first
        if self.frequency == "daily":
            day += timedelta(days=(anchor - day).days % self.interval)
            while True:
                if not self.weekdays or day.weekday() in self.weekdays:
                    yield day
                day += timedelta(days=self.interval)
        if self.frequency == "weekly":
            weekdays = self.weekdays or (anchor.weekday(),)
            base = anchor - timedelta(days=anchor.weekday())
            while True:
                if day.weekday() in weekdays and (day - base).days // 7 % self.interval == 0:
                    yield day
                day += timedelta(days=1)
        month = first.year * 12 + first.month - 1
        origin = anchor.year * 12 + anchor.month - 1
        for ahead in range(_MAX_PERIODS):
            year, index = divmod(month + ahead, 12)
            if year > date.max.year:
                return
            if self.frequency == "yearly":
                fits = index + 1 == (self.month or anchor.month) and (year - anchor.year) % self.interval == 0
            else:
                fits = (month + ahead - origin) % self.interval == 0
            if fits:
                yield from (found for found in self._days_in(year, index + 1, anchor) if found >= first)

    def _days_in(self, year: int, month: int, anchor: date) -> list[date]:
        length = calendar.monthrange(year, month)[1]
        if self.weekdays:
            days = [date(year, month, d) for d in range(1, length + 1)]
            days = [found for found in days if found.weekday() in self.weekdays]
            if self.nth is None:
                return days
            index = self.nth if self.nth < 0 else self.nth - 1
            return days[index : index + 1 or None] if -len(days) <= index < len(days) else []
        wanted = self.day_of_month if self.day_of_month is not None else anchor.day
        number = length if wanted == -1 else wanted
        return [date(year, month, number)] if 1 <= number <= length else []


_DEFAULTS: dict[str, Any] = {
    "interval": 1,
    "weekdays": (),
    "day_of_month": None,
    "month": None,
    "nth": None,
    "hour": None,
    "minute": 0,
    "second": 0,
    "anchor": None,
}


@dataclass(frozen=True, slots=True)
class Resolution:
    """One reading of one expression.

    start: aware, inclusive; None: open ("until Friday"). end: aware, exclusive; None: open ("after 5pm"). The end
    includes the last thing named, whole: "from 3 to 5pm" ends at 18:00, since the hour of five is part of it, and
    "July 13 to 15" ends with the 15th; `last` is the beginning of that last thing. grain: how exact it is. span: of the
    expression in the text. recurrence: the rule of "every Monday at 9"; start is then the first occurrence after the
    reference. duration: set when the expression is a bare duration ("for ten minutes"), start is then the reference.
    score: rank among competing readings, higher is better. note: what the reader should be told. is_interval: two ends
    were meant ("from … to", "this weekend", "last 3 weeks"), not one unit ("tomorrow"). exact: the moment itself where
    the expression counts from the reference ("in an hour", "three days ago"), not cut to the grain; timers want this.
    """

    start: datetime | None
    end: datetime | None
    grain: Grain
    span: tuple[int, int]
    recurrence: Recurrence | None = None
    duration: timedelta | None = None
    score: float = 0.0
    note: str = ""
    is_interval: bool = False
    exact: datetime | None = None
    last: datetime | None = field(default=None, compare=False)


def localise(wall: datetime, zone: ZoneInfo) -> datetime:
    """A naive wall-clock time as an aware one; a time that daylight saving skips is moved ahead by what was skipped."""
    there = wall.replace(tzinfo=zone)
    back = there.astimezone(_UTC).astimezone(zone)
    return back if back.replace(tzinfo=None) != wall else there
