"""The grammar of the clock: "half past seven", "quarter to 9", "3ish", "tonight at 8", "in the morning", "5pm EST"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from .chart import Grammar
from .meaning import (
    CLOCK,
    PART,
    RELATIVE_DAY,
    SPAN,
    ZONED,
    Context,
    Num,
    Time,
    fixed,
    half_day,
    joined,
    latent,
    mapped,
    only,
    span,
    surely,
    time_of_day,
)
from .periods import parts_of_day
from .series import DAY, HOUR, MINUTE, SECOND, Occurrence, unit
from .zones import Zone

# Part of the day → its hours; past 24 is the next day.
PARTS: dict[str, tuple[float, float]] = {
    "morning": (0, 12), "early morning": (0, 9), "afternoon": (12, 19), "evening": (18, 24), "night": (18, 24),
    "late night": (21, 24), "lunch": (12, 14), "breakfast": (6, 10), "brunch": (10, 14), "dinner": (18, 21),
    "after lunch": (13, 17), "before lunch": (11, 12), "after work": (17, 21), "after school": (15, 21),
    "before school": (7, 9), "before work": (6, 9), "late morning": (9, 12), "late afternoon": (15, 19),
    "early afternoon": (12, 16), "early evening": (18, 21), "late evening": (21, 24), "mid morning": (9, 11),
    "mid afternoon": (14, 17), "dawn": (4, 7), "dusk": (18, 20), "business hours": (9, 17),
}  # fmt: skip
_SPOKEN_PARTS = {
    "morning": "morning|mornin", "afternoon": "afternoon|arvo", "evening": "evening", "night": "night|nite",
    "lunch": "lunch|lunchtime", "breakfast": "breakfast", "brunch": "brunch", "dinner": "dinner|supper|dinnertime",
}  # fmt: skip
_WAKING = (*range(5, 12), *range(13, 20))
_MEALS = ("breakfast", "brunch", "lunch", "dinner")
_WHOLE_NAMES = ("after lunch", "before lunch", "after work", "after school", "before school", "before work",
                "business hours")  # fmt: skip


def part(name: str) -> Time:
    """A part of every day."""
    begin, end = PARTS[name]
    # The number tells parts apart for rules that repeat: a night is later than the evening it begins as.
    number = 20 if name == "night" else int(begin)
    return Time(parts_of_day(begin, end), HOUR, PART, ("TIME", "POD"), number=number)


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    _times_of_day(rule)
    _parts(rule)
    _zones(rule)


Add = Callable[..., None]


def _times_of_day(rule: Add) -> None:
    rule("at|@ NOTIME", lambda c, time: time, 1.0)
    rule("at|@ LTOD", lambda c, time: surely(time), 1.0)
    rule("at|@ TOD", lambda c, time: time, 0.2)
    rule("for TOD", lambda c, time: time, -1.0)
    rule(
        "at|@ about|around|approximately|approx|roughly|exactly|precisely|nearly|almost|just LTOD",
        lambda c, t: surely(t),
        1.0,
    )
    rule("ABOUT LTOD", lambda c, time: surely(time), 0.0)
    rule("ABOUT HHMM", lambda c, time: surely(time), -1.5)
    rule("ABOUT TIME", lambda c, time: time if "TOD" not in time.cats else None, 0.0)
    rule("ABOUT TOD", lambda c, time: time, 0.2)
    rule("LTOD sharp|exactly|precisely|ish|oclock", lambda c, time: surely(time), 1.0)
    rule("HHMM hours|hrs|h", lambda c, time: surely(time), 1.5)
    rule("LTOD - ish", lambda c, time: surely(time), 1.0)
    rule("TOD sharp|exactly|precisely|ish|approximately|approx", lambda c, time: time, 0.5)
    rule("TOD or so", lambda c, time: time, 0.5)
    rule("TOD - ish", lambda c, time: time, 0.5)
    rule("TOD oclock", lambda c, time: time, 0.5)
    rule("HHOUR", lambda c, time: time, 0.3)
    for half, afternoon in (("am", False), ("pm", True)):
        say = _saying(afternoon)
        rule(f"LTOD {half}", say, 1.0)
        rule(f"TOD {half}", say, 1.0)
        rule(f"LTOD {half[0]} m", say, 1.0)
        rule(f"LTOD ( {half} )", say, 1.0)
        rule(f"TOD ( {half} )", say, 1.0)
        rule(f"LTOD in the {half}", say, 1.2)
        rule(f"TOD in the {half}", say, 1.2)
        # "7p", "at 3p.", "from 9a to 11a": surely a time of day once something says so.
        rule(f"LTOD {half[0]}", lambda c, time, say=say, h=half: _still_latent(say(c, time), h), 0.2)
    rule("LTOD NUM", _hour_and_minutes, 0.5)
    rule("LTOD - NUM", _hyphenated, 0.3)
    rule("LTOD oh|o|zero NUM", _hour_oh_minutes, 0.5)
    rule("LTOD - oh|o - NUM", _hour_oh_minutes, 0.6)
    rule("zero NUM", lambda c, minutes: _zero_hour(minutes), 0.5)
    for hour in ("LTOD", "TOD"):
        rule(f"half past|after? {hour}", lambda c, time: _after_hour(time, 30), 1.0)
        rule(f"half past {hour}", lambda c, time: _after_hour(time, 30), 1.2)
        rule(f"half - past {hour}", lambda c, time: _after_hour(time, 30), 1.2)
        # "5 of 10" is a share, unless nothing else is said.
        rule(
            f"NUM of {hour}",
            lambda c, n, time: replace(t, weak=True) if (t := _minutes_off(n, time, -1)) else None,
            0.6,
        )
        for words, sign in (("past|after", 1), ("to|till|before|til", -1)):
            quarter = f"{words}|of" if sign < 0 else words
            rule(f"a|the? quarter {quarter} {hour}", lambda c, time, sign=sign: _after_hour(time, 15 * sign), 1.2)
            rule(
                f"NUM {words} {hour}",
                lambda c, n, time, sign=sign: _minutes_off(n, time, sign) if n.digits > 0 and n.value < 13 else None,
                0.6,
            )
            rule(
                f"NUM {words} {hour}",
                lambda c, n, time, sign=sign: _minutes_off(n, time, sign) if n.digits == 0 or n.value > 12 else None,
                1.8,
            )
            rule(f"NUM minute|minutes|min|mins {quarter} {hour}",
                 lambda c, n, time, sign=sign: _minutes_off(n, time, sign, said=True), 1.4)  # fmt: skip
    rule("noon|midday|noonish", lambda c: time_of_day(12), 0.0)
    rule("mid day", lambda c: time_of_day(12), 0.0)
    rule("mid - day", lambda c: time_of_day(12), 0.0)
    rule("12|twelve noon", lambda c: time_of_day(12), 1.0)
    rule("midnight", lambda c: time_of_day(0), 0.0)
    rule("mid night", lambda c: time_of_day(0), 0.0)
    rule("12|twelve midnight", lambda c: time_of_day(0), 1.0)
    rule("the TOD", lambda c, time: time if time.minute is None and time.hour in (0, 12) else None, 0.0)
    rule("this|same time on? DAY", _this_time, 1.0)
    rule("the same time on? DAY", _this_time, 1.0)
    rule("sometime|sometimes TIME", lambda c, time: time, 0.2)
    rule("some time TIME", lambda c, time: time, 0.2)


def _parts(rule: Add) -> None:
    for name, words in _SPOKEN_PARTS.items():
        if name in _MEALS:
            # What one eats, unless a time is said beside it.
            rule(words, lambda c, name=name: replace(part(name), cats=("MEAL", "LATE")), 0.0)
            rule(f"{words} time", lambda c, name=name: part(name), 0.5)
        else:
            rule(words, lambda c, name=name: part(name), 0.0)
        for when in ("early", "late", "mid"):
            full = f"{when} {name}"
            if full in PARTS:
                rule(f"{when} in? the? {words}", lambda c, full=full: part(full), 0.5)
                if when == "mid":
                    rule(f"mid - {words}", lambda c, full=full: part(full), 0.5)
    for name in _WHOLE_NAMES:
        rule(name, lambda c, name=name: part(name), 2.0)
    for name, also in (("dawn", "sunrise"), ("dusk", "sunset")):
        rule(name, lambda c, name=name: replace(part(name), weak=True), 0.0)
        rule(f"at|before|after|by {name}|{also}", lambda c, name=name: part(name), 0.5)
    for before in ("at", "around", "before", "by", "this|today's"):
        rule(f"{before} MEAL", lambda c, meal: replace(meal, cats=("TIME", "POD")), 0.5)
    rule("DAY ,|at? MEAL", lambda c, day, meal: joined(day, meal), 0.5)
    rule("early hours of? the? morning", lambda c: part("early morning"), 0.8)
    rule("in|during|over the? POD", lambda c, pod: _in_the(pod), 0.6)
    rule("later in the POD", lambda c, pod: _in_the(pod), 0.8)
    rule("by the POD", lambda c, pod: replace(pod, weak=False), 0.3)
    rule("DAY AMPM", lambda c, day, half: joined(day, part(("morning", "afternoon")[half.value])), 0.2)
    for time in ("TOD", "LTOD"):
        rule(f"{time} at night", lambda c, time: in_part(c, part("night"), time), 1.5)
    rule("close|end of business", lambda c: time_of_day(17), 1.0)
    rule("cob", lambda c: time_of_day(17), 0.5)
    rule("at night", lambda c: part("night"), 0.6)
    rule("this POD", lambda c, pod: part_of(c, pod, 0), 0.8)
    rule("later this POD", lambda c, pod: part_of(c, pod, 0), 0.8)
    for when in ("late", "early"):
        for name, words in _SPOKEN_PARTS.items():
            full = f"{when} {name}"
            if full in PARTS:
                rule(f"{when} this|in {words}", lambda c, full=full: part_of(c, part(full), 0), 1.2)
    rule("later today", _rest_of_today, 0.8)
    rule("tonight", lambda c: part_of(c, part("night"), 0), 0.4)
    rule("late tonight", lambda c: part_of(c, part("late night"), 0), 1.0)
    rule("later tonight", lambda c: part_of(c, part("late night"), 0), 1.0)
    rule("early tonight", lambda c: part_of(c, part("early evening"), 0), 1.0)
    rule("last night", lambda c: part_of(c, part("night"), -1), 1.0)
    rule("last POD", lambda c, pod: part_of(c, pod, -1), 0.4)
    rule("next POD", lambda c, pod: part_of(c, pod, 1), 0.2)
    rule("late last night", lambda c: part_of(c, part("late night"), -1), 1.5)
    rule("early last night", lambda c: part_of(c, part("early evening"), -1), 1.5)
    rule(
        "late|later yesterday POD",
        lambda c, pod: part_of(c, part("late evening"), -1) if pod.number >= 18 else None,
        1.0,
    )
    for said in ("TODAYPART", "INPART"):
        # "this evening at 7": the part of the day says which half of the clock a bare hour means.
        rule(f"{said} at|@|around|about|,? LTOD", in_part, 1.2)
        rule(f"{said} at|@|around|about|,? TOD", in_part, 1.2)
        rule(f"LTOD ,? {said}", lambda c, time, pod: in_part(c, pod, time), 1.0)
        rule(f"TOD ,? {said}", lambda c, time, pod: in_part(c, pod, time), 1.0)
    rule("TOD POD", lambda c, time, pod: in_part(c, pod, time), 0.8)
    rule("POD at|@|around|about|,? TOD", in_part, 0.8)
    rule("POD at|@ LTOD", in_part, 0.8)
    # "tomorrow evening at 7": the day and its part, each for itself.
    for time in ("TOD", "LTOD"):
        rule(f"DAYPART at|@|around|about|,? {time}", _in_day_part, 1.2)
        rule(f"{time} on? DAYPART", lambda c, time, day: _in_day_part(c, day, time), 1.2)
    for hours in ("TODSPAN", "HOURSPAN"):
        rule(f"DAYPART ,? {hours}", _span_in_day_part, 0.8)
        rule(f"{hours} on? DAYPART", lambda c, hours, day: _span_in_day_part(c, day, hours), 0.8)


def _zones(rule: Add) -> None:
    for time in ("TOD", "TODSPAN", "LTOD"):
        bonus = 1.0 if time != "LTOD" else -0.5
        rule(f"{time} ZONE time?", _in_zone, bonus)
        rule(f"{time} ( ZONE )", _in_zone, bonus)
        rule(f"{time} in? PLACE time", _in_zone, bonus + 0.5)
        rule(f"{time} in PLACE", _in_zone, bonus + 0.2)


def _this_time(context: Context, day: Time) -> Time | None:
    return joined(day, time_of_day(context.now.hour, context.now.minute))


def _saying(afternoon: bool) -> Callable[[Context, Time], Time | None]:
    return lambda context, time: half_day(time, afternoon)


def _still_latent(time: Time | None, half: str) -> Time | None:
    """ "7p" alone is a time of day; "4a" is rather an article or a sheet of paper."""
    cats = ("LTOD", "HALVED", "LATE") if half == "pm" else ("LTOD", "HALVED")
    return replace(time, cats=cats, latent=True) if time is not None and time.minute is None else None


def _hour_and_minutes(context: Context, hour: Time, minutes: Num) -> Time | None:
    """ "seven thirty", in words alone: "7 30" may be anything."""
    if hour.minute is not None or minutes.digits != 0 or not 10 <= minutes.whole < 60 or hour.hour > 24:
        return None
    return latent(time_of_day(hour.hour, minutes.whole, twelve=hour.twelve))


def _hyphenated(context: Context, hour: Time, minutes: Num) -> Time | None:
    made = _hour_and_minutes(context, hour, minutes)
    return replace(made, cats=("LTOD", "LATE")) if made else None


def _hour_oh_minutes(context: Context, hour: Time, minutes: Num) -> Time | None:
    if hour.minute is not None or minutes.digits not in (0, 1) or not 0 < minutes.whole < 10:
        return None
    made = latent(time_of_day(hour.hour, minutes.whole, twelve=hour.twelve))
    return replace(made, cats=("LTOD", "LATE"))


def _zero_hour(minutes: Num) -> Time | None:
    return latent(time_of_day(0, minutes.whole)) if 10 <= minutes.whole < 60 and minutes.digits == 0 else None


def _after_hour(time: Time, minutes: int) -> Time | None:
    """So many minutes after (or before) a full hour."""
    if time.minute is not None:
        return None
    hour, minute = divmod(time.hour * 60 + minutes, 60)
    hour %= 24
    if time.twelve:
        return time_of_day(hour % 12 or 12, minute, twelve=True)
    return time_of_day(hour, minute)


def _minutes_off(count: Num, time: Time, sign: int, *, said: bool = False) -> Time | None:
    if not 0 < count.whole < 60 or (count.digits == -1 and not said):
        return None
    if not said and time.latent and count.whole not in (5, 10, 15, 20, 25, 30) and sign > 0:
        return None
    if not said and time.latent and sign < 0 and count.whole not in (5, 10, 15, 20, 25):
        return None
    return _after_hour(time, sign * count.whole)


def _in_the(pod: Time) -> Time | None:
    return replace(pod, weak=False, cats=("TIME", "POD", "INPART")) if pod.says == PART else None


def _in_day_part(context: Context, day_part: Time, time: Time) -> Time | None:
    if day_part.halves is None:
        return None
    day, pod = day_part.halves
    named = in_part(context, pod, time)
    return joined(day, replace(named, says=CLOCK)) if named else None


def _span_in_day_part(context: Context, day_part: Time, hours: Time) -> Time | None:
    if day_part.halves is None:
        return None
    day, pod = day_part.halves
    if hours.twelve:
        return joined(joined(day, pod) or day, replace(hours, cats=("TIME",), says=SPAN))
    return joined(day, replace(hours, cats=("TIME",)))


def part_of(context: Context, pod: Time, days: int) -> Time | None:
    """A part of today, or of another day near."""
    if pod.says & RELATIVE_DAY or not pod.says & PART:
        return None
    day = context.current(DAY, days)
    found = next((o for o in pod.series.scan(day.start, day.end) if o.start >= day.start), None)
    if found is None:
        return None
    made = span(found.start, found.end, HOUR, PART | RELATIVE_DAY, "TODAYPART")
    return replace(made, number=pod.number if days == 0 else -2 - pod.number)


def _rest_of_today(context: Context) -> Time:
    return span(context.now, context.current(DAY).end, SECOND, SPAN | RELATIVE_DAY)


def in_part(context: Context, pod: Time, time: Time) -> Time | None:
    """A time of day in a part of the day, named or relative to today."""
    if not pod.says & PART:
        return None
    named = time
    if time.twelve:
        begin = pod.number if pod.number >= 0 else -2 - pod.number
        # "tonight at 3" is the night's small hours.
        made = half_day(time, afternoon=begin >= 12 and not (begin == 20 and 0 < time.hour < 5))
        if made is None:
            return None
        if begin >= 18 and time.hour == 12:
            made = time_of_day(0, time.minute, time.second)
        named = made
    elif time.latent:
        named = surely(time)
    named = replace(named, says=CLOCK | PART, cats=("TIME", "TOD"))
    if not pod.says & RELATIVE_DAY:
        return named
    if pod.number <= -2:
        # "last night at 11": of that day alone.
        night = only(pod)
        whole = Occurrence(night.start.replace(hour=0), night.end + timedelta(hours=6), HOUR)
        found = next((o for o in named.series.scan(night.start, whole.end)), None)
        return fixed(found, CLOCK | PART | RELATIVE_DAY) if found else None
    if pod.number < 18 and named.hour in _WAKING:
        # "this morning at 8" is today's, gone by or not.
        today = next((o for o in named.series.scan(context.current(DAY).start, context.current(DAY).end)), None)
        return fixed(today, CLOCK | PART | RELATIVE_DAY) if today else None
    # This evening's if that is still ahead; after midnight of a night when it is not.
    ahead = next(named.series.scan(context.now, context.now + timedelta(days=2)), None)
    if (
        pod.number >= 18
        and time.twelve
        and time.hour < 6
        and ahead is not None
        and ahead.start.date() > context.now.date()
    ):
        ahead = next(
            time_of_day(time.hour, time.minute).series.scan(context.now, context.now + timedelta(days=2)), None
        )
    return fixed(ahead, CLOCK | PART | RELATIVE_DAY) if ahead else None


def _in_zone(context: Context, time: Time, zone: Zone) -> Time | None:
    """A time of day on another zone's clock, in ours. Which day it falls on follows our calendar."""
    if time.says & ZONED:
        return None
    there = zone.info()

    def change(occurrence: Occurrence) -> Occurrence:
        here = occurrence.start.replace(tzinfo=there).astimezone(context.zone).replace(tzinfo=None)
        length = occurrence.end - occurrence.start
        if occurrence.is_interval:
            extra = timedelta(minutes=1) - timedelta(hours=1) if occurrence.grain == HOUR else timedelta()
            return Occurrence(here, here + length + extra, min(MINUTE, occurrence.grain), True)
        return unit(here, min(MINUTE, occurrence.grain))

    if time.says & PART:
        return None
    # With a zone the clock is read as written: "8:00 PST" is in the morning.
    sure = time_of_day(time.hour % 24, time.minute, time.second) if time.twelve and time.hour >= 0 else surely(time)
    made = mapped(sure, min(MINUTE, time.grain), time.says | ZONED, timedelta(hours=27), change)
    made = replace(made, elsewhere=(sure.series, change))
    if time.says & SPAN:
        return replace(made, cats=("TIME", "TODSPAN", "BETWEEN"))
    today = next(made.series.scan(context.now, context.now + timedelta(days=2)), None)
    hour, minute = (today.start.hour, today.start.minute) if today else (-1, None)
    return replace(made, cats=("TIME", "TOD"), hour=hour, minute=minute)
