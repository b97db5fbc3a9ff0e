"""The grammar of durations, "an hour and a half", and of steps: "in ten minutes", "the last 3 weeks"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from .chart import Grammar
from .meaning import (
    CLOCK,
    IN_YEAR,
    OFFSET,
    PART,
    RELATIVE_DAY,
    SPAN,
    WEEKDAY,
    Context,
    Duration,
    Num,
    Time,
    Word,
    first_ahead,
    fixed,
    mapped,
    near,
    offset,
    only,
    shifted,
    span,
)
from .series import (
    BEGINNING,
    DAY,
    END,
    HOUR,
    MINUTE,
    MONTH,
    MONTHS_IN,
    SECOND,
    WEEK,
    YEAR,
    Occurrence,
    add,
    floor,
)

Add = Callable[..., None]


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    _durations(rule)
    _offsets(rule)
    _counted_units(rule)


def _durations(rule: Add) -> None:
    more = "more|additional|extra|less|fewer|full|whole|-"
    rule("NUM UNIT", lambda c, n, u: _length(n.value, u), 1.0)
    rule(f"NUM {more} UNIT", lambda c, n, u: _length(n.value, u), 1.0)
    rule("NUM LETTER", lambda c, n, u: _length(n.value, u) if n.digits else None, 0.3)
    rule("VAGUE UNIT", lambda c, n, u: _length(n.value, u), 1.0)
    rule(f"VAGUE {more} UNIT", lambda c, n, u: _length(n.value, u), 1.0)
    rule("a VAGUE UNIT", lambda c, n, u: _length(n.value, u), 1.2)
    rule(f"a VAGUE {more} UNIT", lambda c, n, u: _length(n.value, u), 1.2)
    # "a second opinion" is no length of time, "in a second" is.
    rule("a|an UNIT", lambda c, u: _length(1, u) if u.name != "second" else None, 0.8)
    rule("in a second", lambda c: offset(c, Duration(seconds=1)), 1.0)
    rule("for a second", lambda c: Duration(seconds=1, cats=("FOR", "DURATION")), 1.0)
    # Of a range the longer end is told.
    rule("NUM TO|or NUM UNIT", lambda c, low, n, u: _length(n.value, u) if low.value < n.value else None, 5.0)
    rule("between NUM and NUM UNIT", lambda c, low, n, u: _length(n.value, u) if low.value < n.value else None, 2.0)
    rule("a|an UNIT or two", lambda c, u: _length(2, u), 2.0)
    rule("a|an more|additional|extra|full|whole|single UNIT", lambda c, u: _length(1, u), 0.8)
    rule("the|all|full|whole|entire whole|entire|- UNIT", lambda c, u: _length(1, u) if u.value >= HOUR else None, 0.8)
    rule("full|whole UNIT", lambda c, u: _length(1, u) if u.value >= HOUR else None, 0.3)
    rule("for all UNIT", lambda c, u: replace(d, cats=("FOR", "DURATION")) if (d := _length(1, u)) else None, 1.0)
    rule("another UNIT", lambda c, u: _length(1, u), 0.8)
    rule("another NUM UNIT", lambda c, n, u: _length(n.value, u), 1.2)
    rule("half a|an? UNIT", lambda c, u: _length(0.5, u), 1.5)
    rule("half - a|an? - UNIT", lambda c, u: _length(0.5, u), 1.5)
    rule("half - UNIT", lambda c, u: _length(0.5, u), 1.5)
    rule("a half UNIT", lambda c, u: _length(0.5, u), 1.5)
    rule("a half - UNIT", lambda c, u: _length(0.5, u), 1.5)
    rule("fortnight", lambda c: _length(14, Word(DAY)), 0.5)
    rule("a|one fortnight", lambda c: _length(14, Word(DAY)), 1.0)
    rule("NUM fortnights", lambda c, n: _length(n.value * 14, Word(DAY)), 1.0)
    rule("NUM decades", lambda c, n: _length(n.value * 10, Word(YEAR)), 1.0)
    rule("a|one decade", lambda c: _length(10, Word(YEAR)), 1.0)
    rule("a|one century", lambda c: _length(100, Word(YEAR)), 1.0)
    rule("NUM nights", lambda c, n: _length(n.value, Word(DAY)), 0.3)
    quarters = {"a? quarter": 0.25, "one quarter": 0.25, "two quarter|quarters": 0.5, "three -? quarter|quarters": 0.75}
    for words, part in quarters.items():
        rule(f"{words} of a|an? UNIT", lambda c, u, p=part: _length(p, u) if u.value == HOUR else None, 1.8)
        rule(f"{words} UNIT", lambda c, u, p=part: _length(p, u) if u.value == HOUR else None, 1.8)
        rule(f"NUM and a? {words} of? a|an? UNIT", lambda c, n, u, p=part: _length(n.value + p, u), 2.0)
        rule(f"NUM UNIT and {words}", lambda c, n, u, p=part: _length(n.value + p, u), 1.8)
    rule("NUM and a|an? half UNIT", lambda c, n, u: _length(n.value + 0.5, u), 2.0)
    rule("NUM and a|an? half of? a|an UNIT", lambda c, n, u: _length(n.value + 0.5, u), 2.0)
    rule("NUM UNIT and a|an? half", lambda c, n, u: _length(n.value + 0.5, u), 2.0)
    rule("a|an UNIT and a|an? half", lambda c, u: _length(1.5, u), 2.0)
    rule("a|an UNIT and a quarter", lambda c, u: _length(1.25, u), 2.0)
    rule("a|an UNIT and three quarters", lambda c, u: _length(1.75, u), 2.0)
    rule("NUM point NUM UNIT", lambda c, n, m, u: _point(n, m, u), 1.5)
    rule("HOURMINUTES", lambda c, n: Duration(seconds=n.whole * 60, grain=MINUTE, coarsest=HOUR), -0.5)
    rule(
        "HOURMINUTES LETTER",
        lambda c, n, u: Duration(seconds=n.whole * 60, grain=MINUTE, coarsest=HOUR) if u.name == "m" else None,
        0.5,
    )
    rule("HOURMINUTES min|mins|minutes", lambda c, n: Duration(seconds=n.whole * 60, grain=MINUTE, coarsest=HOUR), 0.5)
    rule("DURATION ,? and? DURATION", _together, 0.8)
    rule("DURATION , and DURATION", _together, 0.8)
    rule("DURATION and? NUM", _and_finer, 0.2)
    rule("ABOUT DURATION", lambda c, d: d, 0.3)
    rule("at least|most DURATION", lambda c, d: d, 0.3)
    rule("less|more than DURATION", lambda c, d: d, 0.3)
    rule("up to DURATION", lambda c, d: d, 0.3)
    rule("only|maybe|say DURATION", lambda c, d: d, 0.2)
    rule("DURATION or so", lambda c, d: d, 0.3)
    rule("for|lasting DURATION", lambda c, d: replace(d, cats=("FOR", "DURATION")), 0.5)
    rule("for the? next DURATION", lambda c, d: replace(d, cats=("FOR",)), -2.0)


def _offsets(rule: Add) -> None:
    rule("in a? DURATION", _in, 1.0)
    rule("after DURATION", lambda c, d: replace(made, open="after") if (made := _in(c, d)) else None, 1.5)
    rule("in another DURATION", _in, 1.0)
    rule("DURATION from now|today|here", _in, 1.5)
    rule("DURATION from right now", _from_now, 1.5)
    rule("DURATION from tomorrow", lambda c, d: _from_day(c, d, 1), 1.6)
    rule("DURATION from yesterday", lambda c, d: _from_day(c, d, -1), 1.6)
    rule("DURATION hence|later", offset, 1.2)
    rule("DURATION ago|back|earlier|prior", lambda c, d: offset(c, d, -1), 1.2)
    for more in ("more|longer than", "over", "at least"):
        rule(f"{more} DURATION ago|back", lambda c, d: _opened(offset(c, d, -1), "before"), 3.0)
        rule(f"{more} DURATION before TIME", lambda c, d, t: _opened(_shift(c, t, d, -1), "before"), 3.0)
        rule(f"{more} DURATION after|from TIME", lambda c, d, t: _opened(_shift(c, t, d, 1), "after"), 3.0)
        rule(f"in {more} DURATION", lambda c, d: _opened(offset(c, d), "after"), 3.0)
    for less in ("less|fewer than", "under", "at most"):
        rule(f"{less} DURATION ago|back", _since, 3.0)
        rule(f"in? {less} DURATION from now", _within, 3.0)
        rule(f"in {less} DURATION", _within, 3.0)
    # "a year ago today", "this day last year", "this time next week": exact to the day or the minute.
    rule("DURATION ago|back TODAY", lambda c, d, day: _to_the_day(day, d, -1), 2.5)
    rule("DURATION from|after TODAY", lambda c, d, day: _to_the_day(day, d, 1), 2.5)
    rule("DURATION ago to the day", lambda c, d: _to_the_day(near(c, 0), d, -1), 2.5)
    rule("this|same day|date on|in? LAST UNIT", lambda c, u: _to_the_day(near(c, 0), _length(1, u), -1), 2.5)
    rule("the? same day|date on|in? LAST UNIT", lambda c, u: _to_the_day(near(c, 0), _length(1, u), -1), 2.5)
    rule("the? same day|date on|in? NEXT UNIT", lambda c, u: _to_the_day(near(c, 0), _length(1, u), 1), 2.5)
    rule("this day|date NEXT UNIT", lambda c, u: _to_the_day(near(c, 0), _length(1, u), 1), 2.5)
    for same in ("this time", "the? same time"):
        rule(f"{same} NEXT UNIT", lambda c, u: _at_this_time(c, _length(1, u), 1), 2.5)
        rule(f"{same} LAST UNIT", lambda c, u: _at_this_time(c, _length(1, u), -1), 2.5)
        rule(f"{same} in DURATION", lambda c, d: _at_this_time(c, d, 1), 2.5)
        rule(f"{same} DURATION ago", lambda c, d: _at_this_time(c, d, -1), 2.5)
    rule("DURATION in the past", lambda c, d: offset(c, d, -1), 1.2)
    rule("in DURATION time", offset, 1.5)
    rule("in DURATION 's|' time", offset, 1.5)
    rule(
        "in NUM",
        lambda c, n: (
            offset(c, Duration(seconds=n.whole * 60, grain=MINUTE)) if 0 < n.whole < 60 and n.digits in (1, 2) else None
        ),
        -1.5,
    )
    rule("within the? next? DURATION", _within, 1.5)
    rule("DURATION after|from|past|following TIME", lambda c, d, t: _shift(c, t, d, 1), 1.3)
    rule("DURATION before|prior|preceding to? TIME", lambda c, d, t: _shift(c, t, d, -1), 1.3)
    rule("TIME plus DURATION", lambda c, t, d: _shift(c, t, d, 1), 1.0)
    rule("TIME minus DURATION", lambda c, t, d: _shift(c, t, d, -1), 1.0)
    rule("TODAY in DURATION", lambda c, t, d: None if d.grain <= DAY else _shift(c, t, d, 1), 1.5)
    for kind in ("HOLIDAY", "MONTH", "SEASON"):
        rule(f"{kind} in DURATION", lambda c, t, d: _nearest_to(c, t, offset(c, d)), 1.8)
        rule(f"{kind} DURATION from now|today", lambda c, t, d: _nearest_to(c, t, offset(c, d)), 1.8)
        rule(f"{kind} DURATION hence", lambda c, t, d: _nearest_to(c, t, offset(c, d)), 1.8)
        rule(f"{kind} DURATION ago|back", lambda c, t, d: _nearest_to(c, t, offset(c, d, -1)), 1.8)
    rule("DOW in DURATION", _weekday_in, 1.8)
    rule("DURATION from|after DOW", _from_weekday, 2.0)
    rule("DURATION before DOW", lambda c, d, t: _from_weekday(c, d, t, -1), 2.0)
    rule("a week on? DOW", lambda c, t: _day_week(c, t, 7), 1.0)
    rule("a fortnight on? DOW", lambda c, t: _day_week(c, t, 14), 1.0)
    for words, days in (("week", 7), ("fortnight", 14)):
        rule(f"DAY {words}", lambda c, t, n=days: _day_week(c, t, n), 0.2)


def _counted_units(rule: Add) -> None:
    """ "the last two weeks", "next 3 days": whole units beside the present one."""
    rule("the? LAST fortnight", lambda c: _row(c, Word(DAY), -14), 1.0)
    rule("the? next|coming|following fortnight", lambda c: _row(c, Word(DAY), 14), 1.0)
    for count in ("NUM", "VAGUE", "a VAGUE"):
        rule(f"the? LAST {count} UNIT", lambda c, n, u: _row(c, u, -n.whole), 1.5)
        rule(f"in|over|during|for|within the? LAST {count} UNIT", lambda c, n, u: _row(c, u, -n.whole), 1.8)
        rule(f"{count} LAST UNIT", lambda c, n, u: _row(c, u, -n.whole) if u.name.endswith("s") else None, 1.0)
        rule(f"the? next|following|coming {count} UNIT", lambda c, n, u: _row(c, u, n.whole), 1.5)
        rule(
            f"in|over|during|for|within the? next|following|coming {count} UNIT",
            lambda c, n, u: _row(c, u, n.whole),
            1.8,
        )
        rule(
            f"{count} next|following|coming UNIT",
            lambda c, n, u: _row(c, u, n.whole) if u.name.endswith("s") else None,
            1.0,
        )
    rule("in|over|during|within the LAST UNIT", lambda c, u: _row(c, u, -1) if u.value < WEEK else None, 1.2)
    rule("in|over|during|within the next|coming UNIT", lambda c, u: _row(c, u, 1) if u.value < WEEK else None, 1.2)
    for outer in ("TIME", "THEUNIT"):
        rule(f"the? first NUM UNIT of|in {outer}", lambda c, n, u, t: _first_units(t, u, n.whole), 1.5)
        rule(f"the? last NUM UNIT of|in {outer}", lambda c, n, u, t: _first_units(t, u, -n.whole), 3.0)


def _length(count: float, word: Word) -> Duration | None:
    grain = word.value
    if not 0 <= count < 1e9:
        return None
    # A fraction of a unit is as exact as the unit below: half a day is twelve hours, 1.5 hours ninety minutes.
    fine = max(SECOND, (SECOND, SECOND, MINUTE, HOUR, DAY, DAY, MONTH, MONTH)[grain]) if count != int(count) else grain
    if grain in MONTHS_IN:
        months = count * MONTHS_IN[grain]
        rest = months - int(months)
        return Duration(months=int(months), days=round(rest * 30), grain=fine, coarsest=grain)
    if grain in (DAY, WEEK):
        days = count * (7 if grain == WEEK else 1)
        rest = days - int(days)
        return Duration(days=int(days), seconds=round(rest * 86400), grain=HOUR if rest else fine, coarsest=grain)
    return Duration(
        seconds=round(count * (3600 if grain == HOUR else 60 if grain == MINUTE else 1)), grain=fine, coarsest=grain
    )


def _point(whole: Num, part: Num, word: Word) -> Duration | None:
    if whole.whole < 0 or not 0 <= part.whole < 100:
        return None
    return _length(float(f"{whole.whole}.{part.whole}"), word)


def _together(context: Context, one: Duration, other: Duration) -> Duration | None:
    """ "2 hours and 5 minutes": what follows is finer."""
    if other.coarsest >= one.grain or "FOR" in one.cats or "FOR" in other.cats:
        return None
    return Duration(
        one.months + other.months, one.days + other.days, one.seconds + other.seconds, other.grain, one.coarsest
    )


def _and_finer(context: Context, one: Duration, count: Num) -> Duration | None:
    """ "2 hours ten", "an hour and thirty": minutes."""
    if one.grain != HOUR or not 0 < count.whole < 60 or "FOR" in one.cats:
        return None
    return replace(one, seconds=one.seconds + count.whole * 60, grain=MINUTE)


def _in(context: Context, duration: Duration) -> Time | None:
    return offset(context, duration) if "FOR" not in duration.cats else None


def _from_now(context: Context, duration: Duration) -> Time | None:
    """ "a day from right now" is exact to the second."""
    return offset(context, replace(duration, grain=SECOND))


def _from_day(context: Context, duration: Duration, days: int) -> Time | None:
    if duration.grain < DAY:
        return None
    return shifted(fixed(context.current(DAY, days), RELATIVE_DAY), duration)


def _shift(context: Context, time: Time, duration: Duration, sign: int) -> Time | None:
    if time.open or "FOR" in duration.cats or (time.says & OFFSET and time.exact):
        return None
    if "NOW" in time.cats:
        return offset(context, replace(duration, grain=SECOND), sign)
    if (time.says == CLOCK and duration.grain > HOUR) or time.says == PART or (time.weak and time.says & CLOCK):
        return None
    made = shifted(time, duration, sign)
    cats = ("TIME", "TOD") if time.says == CLOCK and duration.grain < HOUR and not time.twelve else ("TIME",)
    if time.says == CLOCK and time.grain == HOUR and duration.grain < HOUR:
        made = replace(made, grain=MINUTE)
    return replace(made, cats=cats, problem=time.problem)


def _nearest_to(context: Context, kind: Time, target: Time | None) -> Time | None:
    """ "Thanksgiving in nine months": the one nearest to then."""
    if target is None:
        return None
    then = only(target).start
    near = [next(iter(kind.series.scan(then, END)), None), next(iter(kind.series.scan(BEGINNING, then, True)), None)]
    found = [o for o in near if o is not None]
    return fixed(min(found, key=lambda o: abs(o.start - then)), kind.says | IN_YEAR) if found else None


def _from_weekday(context: Context, duration: Duration, day: Time, sign: int = 1) -> Time | None:
    """ "two weeks from Monday": from the next one."""
    if duration.grain < DAY or "FOR" in duration.cats:
        return None
    found = first_ahead(day, context.now)
    return shifted(fixed(found, WEEKDAY), duration, sign) if found else None


def _day_week(context: Context, day: Time, days: int) -> Time | None:
    """ "Friday week", "tomorrow fortnight"."""
    length = Duration(days=days, grain=WEEK, coarsest=WEEK)
    if day.says == WEEKDAY:
        return _from_weekday(context, length, day)
    return _shift(context, day, length, 1) if day.says == RELATIVE_DAY else None


def _to_the_day(day: Time, length: Duration | None, sign: int) -> Time | None:
    if length is None or length.grain < DAY:
        return None
    moved = floor(length.shift(only(day).start, sign), DAY)
    return fixed(Occurrence(moved, add(moved, 1, DAY), DAY), RELATIVE_DAY, "DAY")


def _at_this_time(context: Context, length: Duration | None, sign: int) -> Time | None:
    if length is None or length.grain < DAY:
        return None
    return offset(context, replace(length, grain=MINUTE), sign)


def _opened(time: Time | None, way: str) -> Time | None:
    return replace(time, open=way, cats=("TIME", "OPENED")) if time is not None and not time.open else None


def _since(context: Context, duration: Duration) -> Time | None:
    """ "less than an hour ago"."""
    start = duration.from_reference(context, -1).replace(tzinfo=None, microsecond=0)
    return span(start, context.now, SECOND) if start < context.now else None


def _weekday_in(context: Context, day: Time, duration: Duration) -> Time | None:
    """ "Monday in two weeks": that weekday of that week."""
    if duration.grain != WEEK:
        return None
    week = floor(duration.shift(context.now), WEEK)
    return fixed(
        Occurrence(week + timedelta(days=day.number), week + timedelta(days=day.number + 1), DAY),
        WEEKDAY | RELATIVE_DAY,
        "DAY",
    )


def _within(context: Context, duration: Duration) -> Time | None:
    end = duration.from_reference(context).replace(tzinfo=None)
    return span(context.now, end.replace(microsecond=0), SECOND) if end > context.now else None


def _row(context: Context, word: Word, count: int) -> Time | None:
    if not 0 < abs(count) < 10_000:
        return None
    grain = word.value
    here = floor(context.now, grain)
    low, high = (add(here, count, grain), here) if count < 0 else (add(here, 1, grain), add(here, 1 + count, grain))
    return span(low, high, grain)


def _first_units(time: Time, word: Word, count: int) -> Time | None:
    grain = word.value
    if time.open or time.grain <= grain or time.says & SPAN or not 0 < abs(count) < 1000:
        return None

    def change(outer: Occurrence) -> Occurrence:
        if grain == WEEK:
            # Whole weeks, inside.
            first = (
                floor(outer.start + timedelta(days=6), WEEK)
                if count > 0
                else floor(outer.end, WEEK) + timedelta(weeks=count)
            )
            return Occurrence(first, first + timedelta(weeks=abs(count)), WEEK, True)
        if count > 0:
            return Occurrence(outer.start, add(outer.start, count, grain), grain, True)
        return Occurrence(add(outer.end, count, grain), outer.end, grain, True)

    return mapped(time, grain, SPAN, timedelta(days=1), change)
