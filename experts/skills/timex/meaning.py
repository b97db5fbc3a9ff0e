"""What phrases mean while they are being read: times, durations, rules that repeat, and the present they hang on.

Knows series; knows no words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import floor as whole
from typing import NamedTuple
from zoneinfo import ZoneInfo

from .periods import clock
from .series import (
    BEGINNING,
    DAY,
    END,
    HOUR,
    MINUTE,
    MONTH,
    QUARTER,
    SECOND,
    WEEK,
    YEAR,
    Between,
    Fixed,
    Mapped,
    Meeting,
    Occurrence,
    Series,
    add,
    floor,
    unit,
)
from .values import Recurrence, localise

# What a time says; two times that say different things may be joined ("Thursday" + "5pm"), like and like may not.
CLOCK, PART, WEEKDAY, MONTHDAY, IN_MONTH, IN_YEAR, RELATIVE_DAY, IN_WEEK, FEAST, SEASON, SPAN, OFFSET, ZONED = (
    1 << bit for bit in range(13)
)
_UTC = ZoneInfo("UTC")
# Zones are at most 26 hours apart.
_ZONES_REACH = timedelta(hours=27)
Change = Callable[[Occurrence], Occurrence | None]


class Num(NamedTuple):
    """value; digits: how many it was written with, 0 for words, -1 for vague ones ("a couple")."""

    value: float
    digits: int

    @property
    def whole(self) -> int:
        """The value as a whole number, or -1."""
        return int(self.value) if self.value == int(self.value) else -1


class Word(NamedTuple):
    """A plain value of the lexicon: a unit, a weekday's number, a zone."""

    value: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """The present. now: naive wall-clock time in `zone`, without microseconds."""

    reference: datetime
    zone: ZoneInfo
    now: datetime
    month_first: bool

    def current(self, grain: int, count: int = 0) -> Occurrence:
        """This unit, or the one `count` ahead."""
        return unit(add(floor(self.now, grain), count, grain), grain)


@dataclass(frozen=True, slots=True)
class Duration:
    """months and days are calendar steps, seconds are physical ones; grain, coarsest: of the units named."""

    months: float = 0
    days: float = 0
    seconds: float = 0
    grain: int = SECOND
    coarsest: int = SECOND
    cats: tuple[str, ...] = ("DURATION",)

    @property
    def delta(self) -> timedelta:
        """Whole years count 365 days each, any other number of months 30 days each. Raises: OverflowError."""
        days = self.months // 12 * 365 if self.months % 12 == 0 else self.months * 30
        return timedelta(days=days + self.days, seconds=self.seconds)

    def shift(self, moment: datetime, sign: int = 1) -> datetime:
        """A wall-clock time this much later (or earlier). Raises: OverflowError, ValueError off the calendar."""
        months = whole(self.months)
        rest = (self.months - months) * 30
        moved = add(moment, sign * months, MONTH) if months else moment
        return moved + sign * timedelta(days=self.days + rest, seconds=self.seconds)

    def from_reference(self, context: Context, sign: int = 1) -> datetime:
        """The aware moment this far from the present: calendar steps on the wall clock, seconds in physical time."""
        wall = context.now.replace(microsecond=context.reference.microsecond)
        if not self.months and not self.days:
            moved = context.reference.astimezone(_UTC) + sign * timedelta(seconds=self.seconds)
            return moved.astimezone(context.zone)
        calendar_part = replace(self, seconds=0).shift(wall, sign)
        moved = localise(calendar_part, context.zone).astimezone(_UTC) + sign * timedelta(seconds=self.seconds)
        return moved.astimezone(context.zone)


@dataclass(frozen=True, slots=True)
class Time:
    """A phrase that tells a time; see the fields.

    series: its occurrences. says: the bits above. immediate: the occurrence that holds the present may be meant.
    open: "after" (from its beginning on) or "before". hour, minute, second, twelve: of a time of day; twelve: on a
    clock of twelve hours, and which half was not said. number, month: weekday, day of the month or month, for rules
    that combine them. weak: a word that means other things too ("may", "sun"). checked: weekday and date were both
    given, so the nearest year in which they agree is meant. exact: the moment itself, for offsets. latent: a time
    only where something else says so. problem: why there is no such date. halves: the day and the part of it that it
    was made of. elsewhere: a time of day on another zone's clock, and the way from there to here. day_first: a day
    with a time of day after it. ends: "until" it means until its end.
    """

    series: Series
    grain: int
    says: int
    cats: tuple[str, ...] = ("TIME",)
    immediate: bool = True
    open: str = ""
    hour: int = -1
    minute: int | None = None
    second: int | None = None
    twelve: bool = False
    number: int = -1
    month: int = 0
    weak: bool = False
    checked: bool = False
    exact: datetime | None = None
    note: str = ""
    latent: bool = False
    problem: str = ""
    halves: tuple[Time, Time] | None = None
    elsewhere: tuple[Series, Change] | None = None
    day_first: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence on the way. part: the hours of the day that were named; they say which half of the clock a bare hour
    means. start: "starting next Monday"."""

    recurrence: Recurrence
    grain: int = DAY
    part: tuple[int, int] | None = None
    weak: bool = False
    note: str = ""
    start: Time | None = None
    cats: tuple[str, ...] = ("RECUR",)


# --- Making times ----------------------------------------------------------------------------------------------------


def fixed(occurrence: Occurrence, says: int, *cats: str) -> Time:
    return Time(Fixed(occurrence), occurrence.grain, says, ("TIME", *cats))


def span(start: datetime, end: datetime, grain: int, says: int = SPAN, *cats: str) -> Time:
    return Time(Fixed(Occurrence(start, end, grain, True)), grain, says, ("TIME", *cats))


def time_of_day(hour: int, minute: int | None = None, second: int | None = None, *, twelve: bool = False) -> Time:
    """A time of day that is surely meant as one."""
    grain = HOUR if minute is None else MINUTE if second is None else SECOND
    return Time(
        clock(hour, minute, second, twelve), grain, CLOCK, ("TIME", "TOD"),
        hour=hour, minute=minute, second=second, twelve=twelve,
    )  # fmt: skip


def latent(time: Time) -> Time:
    """A bare number that may be a time of day, once something says so."""
    return replace(time, cats=("LTOD",), latent=True)


def surely(time: Time) -> Time:
    """The opposite of `latent`."""
    return replace(time, cats=("TIME", "TOD"), latent=False) if time.latent else time


def half_day(time: Time, afternoon: bool) -> Time | None:
    """The time of day with "am" or "pm" said; None when that makes no sense ("15 am")."""
    if time.hour > 12:
        return surely(time) if afternoon else None
    if time.hour == 0:
        return None if afternoon else surely(time)
    return time_of_day(time.hour % 12 + (12 if afternoon else 0), time.minute, time.second)


def lower(grain: int) -> int:
    """How exact a step of such a unit is: "in three weeks" means a day, "in an hour" a minute."""
    return (SECOND, SECOND, MINUTE, HOUR, DAY, DAY, MONTH, MONTH)[grain]


def joined(one: Time, other: Time) -> Time | None:
    """Two times that say different things about one moment: "Thursday" and "5pm", "July 18" and "2014"."""
    if one.says & other.says or one.open or other.open:
        return None
    both = one.says | other.says
    if both & SPAN and both & OFFSET:
        return None
    if any(time.exact is not None and time.grain < DAY for time in (one, other)) and both & IN_WEEK:
        # "30 minutes later" says all; "this week" is another matter.
        return None
    if one.hour == 12 or other.hour == 12:
        one, other = _at_noon(one, other), _at_noon(other, one)
    for day, time in ((one, other), (other, one)):
        if time.elsewhere is not None and day.grain == DAY and not day.says & SPAN:
            # The day is that zone's day too: "march 9 at 11pm PST".
            series, change = time.elsewhere
            made = mapped(replace(day, series=Meeting(day.series, series)), time.grain, both, _ZONES_REACH, change)
            return replace(made, cats=("TIME", "JOINED"))
    checked = bool(both & WEEKDAY and both & MONTHDAY and both & IN_MONTH and not both & (IN_YEAR | RELATIVE_DAY))
    grain = min(one.grain, other.grain)
    cats = ("TIME", "JOINED", "DAY") if grain == DAY and not both & SPAN else ("TIME", "JOINED")
    halves = None
    for day, part in ((one, other), (other, one)):
        if part.says == PART and day.grain == DAY and not day.says & SPAN:
            halves, cats = (day, part), ("TIME", "JOINED", "DAYPART")
    return Time(
        Meeting(one.series, other.series), grain, both, cats,
        checked=checked, note=one.note or other.note, problem=one.problem or other.problem,
        halves=halves, day_first=other.says == CLOCK and not one.says & CLOCK, twelve=one.twelve or other.twelve,
    )  # fmt: skip


def _at_noon(time: Time, day: Time) -> Time:
    """ "tomorrow at 12:30" is not at night, unless that is said."""
    if time.hour != 12 or not time.twelve or time.says != CLOCK or day.grain != DAY or day.says & SPAN:
        return time
    return time_of_day(12, time.minute, time.second)


def near(context: Context, days: int) -> Time:
    return replace(fixed(context.current(DAY, days), RELATIVE_DAY, "DAY", "TODAY"), number=days)


def cycle(context: Context, grain: int, count: int) -> Time:
    """This unit, the next, the last."""
    says = {DAY: RELATIVE_DAY, WEEK: IN_WEEK, MONTH: IN_MONTH | IN_YEAR, QUARTER: IN_MONTH | IN_YEAR, YEAR: IN_YEAR}
    cats = {MONTH: ("CYCLE", "CYCLEMONTH"), DAY: ("DAY",)}.get(grain, ("CYCLE",))
    return fixed(context.current(grain, count), says.get(grain, OFFSET), *cats)


def between(context: Context, first: Time, last: Time, *, closed: bool = True) -> Time | None:
    """From one to the other. A bare hour takes the half of the day that the other one says."""
    if first.open or last.open:
        return None
    if first.says & CLOCK and first.says & ~(CLOCK | PART) and last.says == CLOCK:
        # "Monday 9am to 5pm" is Monday's "9am to 5pm".
        return None
    if first.says == CLOCK and last.says & CLOCK and last.says & ~PART != CLOCK and not last.day_first:
        # The date beside the later one is meant for both: "1pm to 2pm tomorrow".
        return None
    if first.hour >= 0 and last.hour >= 0:
        if first.twelve and not last.twelve:
            begin = first.hour % 12
            ends = (last.hour, last.minute or 0)
            later = (begin + 12, first.minute or 0)
            first = time_of_day(begin + 12 if later < ends or ends < (begin, first.minute or 0) else begin,
                                first.minute, first.second)  # fmt: skip
        grain = min(first.grain, last.grain)
    else:
        grain = min(first.grain, last.grain)
        # "from Monday to 5pm" and "from 5pm to March" join what does not go together.
        if (first.says & CLOCK) != (last.says & CLOCK) and not (first.grain <= HOUR and last.grain <= HOUR):
            return None
    series = Between(first.series, last.series, grain, closed)
    says = SPAN | first.says | last.says
    if says & CLOCK:
        says &= ~PART
    return Time(
        series, grain, says, ("TIME", "BETWEEN", "TODSPAN") if says == SPAN | CLOCK else ("TIME", "BETWEEN"),
        twelve=first.twelve and last.twelve, note=first.note or last.note, problem=first.problem or last.problem,
    )  # fmt: skip


def offset(context: Context, duration: Duration, sign: int = 1) -> Time | None:
    """ "in …" and "… ago"."""
    moment = duration.from_reference(context, sign)
    grain = lower(duration.grain)
    occurrence = unit(floor(moment.replace(tzinfo=None), grain), grain)
    says = OFFSET | (RELATIVE_DAY if grain <= DAY else 0) | (CLOCK if grain < HOUR else 0)
    return replace(fixed(occurrence, says, "OFFSET"), exact=moment)


def shifted(time: Time, duration: Duration, sign: int = 1) -> Time:
    """ "two days after Christmas"."""
    grain = min(time.grain, lower(duration.grain)) if duration.coarsest < WEEK else lower(duration.grain)
    if time.grain <= HOUR:
        grain = min(time.grain, duration.grain)
    elif duration.grain == DAY:
        grain = min(time.grain, DAY)

    def change(occurrence: Occurrence) -> Occurrence:
        return unit(floor(duration.shift(occurrence.start, sign), grain), grain)

    reach = duration.delta + timedelta(days=40)
    return Time(Mapped(time.series, change, reach), grain, time.says | OFFSET, immediate=True, problem=time.problem)


def mapped(time: Time, grain: int, says: int, reach: timedelta, change: Change, *cats: str) -> Time:
    return Time(Mapped(time.series, change, reach), grain, says, ("TIME", *cats), problem=time.problem)


# --- Choosing occurrences --------------------------------------------------------------------------------------------


def first_ahead(time: Time, now: datetime) -> Occurrence | None:
    """The next occurrence, the present one included where the time allows; else the latest one past."""
    for occurrence in time.series.scan(now, END):
        if not time.immediate and occurrence.start <= now:
            continue
        return occurrence
    past = next(iter(time.series.scan(BEGINNING, now, True)), None)
    if past is not None and time.twelve and time.says & ~(CLOCK | SPAN):
        # Of the two halves of a day gone by, the first: "at 10:30 on 1 January 2015".
        return next(iter(time.series.scan(floor(past.start, DAY), past.end)), past)
    return past


def nearest_checked(time: Time, now: datetime) -> Occurrence | None:
    """Weekday and date, but no year: the nearest year where both agree. The past counts three times as far."""
    ahead = next(iter(time.series.scan(now, END)), None)
    behind = next(iter(time.series.scan(BEGINNING, now, True)), None)
    if ahead is None or behind is None or behind == ahead:
        return ahead or behind
    return behind if (now - behind.start) * 3 < ahead.start - now else ahead


def only(time: Time) -> Occurrence:
    """The first occurrence of all, for times that have but one. Raises: ValueError when there is none."""
    for occurrence in time.series.scan(datetime.min, datetime.max):
        return occurrence
    raise ValueError("this time never comes")


def nth_ahead(time: Time, now: datetime, count: int, *, immediate: bool = False) -> Occurrence | None:
    """The count-th (1 is the first) occurrence that begins after `now`."""
    for occurrence in time.series.scan(now, END):
        if occurrence.start > now or (immediate and occurrence.start == now):
            count -= 1
            if count == 0:
                return occurrence
    return None


def nth_behind(time: Time, now: datetime, count: int) -> Occurrence | None:
    """The count-th occurrence that ended by `now`, counted backwards."""
    for occurrence in time.series.scan(BEGINNING, now, True):
        if occurrence.end <= now:
            count -= 1
            if count == 0:
                return occurrence
    return None


def nth_inside(time: Time, outer: Occurrence, count: int) -> Occurrence | None:
    """The count-th occurrence that begins inside another; -1 is the last."""
    for occurrence in time.series.scan(outer.start, outer.end, count < 0):
        if outer.start <= occurrence.start < outer.end:
            count += 1 if count < 0 else -1
            if count == 0:
                return occurrence
    return None
