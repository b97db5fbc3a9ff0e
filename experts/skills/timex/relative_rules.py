"""The grammar of "this", "next" and "last", and of which of several: "the second Thursday after Easter"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from .chart import Grammar
from .meaning import (
    FEAST,
    IN_MONTH,
    IN_WEEK,
    IN_YEAR,
    OFFSET,
    RELATIVE_DAY,
    SEASON,
    SPAN,
    WEEKDAY,
    Context,
    Num,
    Time,
    Word,
    cycle,
    first_ahead,
    fixed,
    joined,
    mapped,
    nth_ahead,
    nth_behind,
    nth_inside,
    span,
)
from .periods import units, weekends
from .series import BEGINNING, DAY, END, HOUR, MONTH, WEEK, YEAR, Occurrence, floor, unit

Add = Callable[..., None]


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    _cycles(rule)
    _counted(rule)


def _cycles(rule: Add) -> None:
    for whole in ("", "whole|entire "):
        rule(f"this|current {whole}UNIT", lambda c, u: cycle(c, u.value, 0), 0.6)
    rule("the current|present UNIT", lambda c, u: cycle(c, u.value, 0), 0.6)
    rule("the? NEXT UNIT", lambda c, u: cycle(c, u.value, 1), 0.6)
    rule("this coming|upcoming UNIT", lambda c, u: cycle(c, u.value, 1), 0.8)
    rule("the? LAST UNIT", lambda c, u: cycle(c, u.value, -1), 0.6)
    rule("this past|last UNIT", lambda c, u: cycle(c, u.value, -1), 0.8)
    rule("the? UNIT after next", lambda c, u: cycle(c, u.value, 2), 1.2)
    rule("the? UNIT before last", lambda c, u: cycle(c, u.value, -2), 1.2)
    # "upcoming two weeks" names the second one ahead.
    rule("upcoming NUM UNIT", lambda c, n, u: cycle(c, u.value, n.whole) if n.whole > 0 else None, 0.8)
    rule("NUM upcoming UNIT", lambda c, n, u: cycle(c, u.value, n.whole) if n.whole > 0 else None, 0.8)
    rule("w / c DAY", _week_of, 1.0)
    rule("the UNIT", lambda c, u: replace(cycle(c, u.value, 0), cats=("THEUNIT",)) if u.value >= DAY else None, 0.0)
    rule("this|current calendar UNIT", lambda c, u: cycle(c, u.value, 0), 0.8)
    rule("the? NEXT calendar UNIT", lambda c, u: cycle(c, u.value, 1), 0.8)
    rule("the? LAST calendar UNIT", lambda c, u: cycle(c, u.value, -1), 0.8)
    rule("week|wk NUM", lambda c, n: _iso_week(c.current(YEAR), n), 0.3)
    rule("calendar|iso week NUM", lambda c, n: _iso_week(c.current(YEAR), n), 0.8)
    rule("calendar|iso? week no|number|nr NUM", lambda c, n: _iso_week(c.current(YEAR), n), 0.8)
    rule("in? the? week NUM of|in TIME", lambda c, n, t: _iso_week_of(t, n), 1.5)
    rule("week NUM TIME", lambda c, n, t: _iso_week_of(t, n), 0.8)
    rule("the? week of|commencing|beginning|starting the? DAY", _week_of, 1.0)
    rule("the? week of DOW the? DATE", lambda c, dow, day: _week_of(c, day), 1.2)
    rule("the month|year of? PERIOD", lambda c, period: period, 0.3)
    rule("all SEASON", lambda c, s: s, 0.2)
    rule("this|the? season", lambda c: _this_season(c, 0), 0.4)
    rule("the? current season", lambda c: _this_season(c, 0), 0.5)
    rule("this current season", lambda c: _this_season(c, 0), 0.5)
    rule("the? NEXT season", lambda c: _this_season(c, 1), 0.6)
    rule("this NEXT season", lambda c: _this_season(c, 1), 0.7)
    rule("the? LAST season", lambda c: _this_season(c, -1), 0.6)
    rule("this LAST season", lambda c: _this_season(c, -1), 0.7)
    rule("ytd", lambda c: span(c.current(YEAR).start, c.now, DAY), 0.5)
    rule("the? year to date", lambda c: span(c.current(YEAR).start, c.now, DAY), 0.5)
    rule("month to date", lambda c: span(c.current(MONTH).start, c.now, DAY), 0.5)


def _counted(rule: Add) -> None:
    """Which of several: this, next, last, the second of, the third after, the one before last."""
    rule("this KIND", _this, 0.6)
    rule("this coming|upcoming KIND", _coming, 0.8)
    rule("this next KIND", _next, 0.8)
    rule("this LAST KIND", _last, 0.8)
    rule("the? coming|upcoming KIND", _coming, 0.6)
    rule("the? next|following|nxt KIND", _next, 0.6)
    rule("the? LAST KIND", _last, 0.6)
    rule("next DATE", lambda c, date: _chosen(date, nth_ahead(date, c.now, 1)), 0.8)
    rule("LAST DATE", lambda c, date: _nth_past(c, date, 1), 0.8)
    rule("this DATE", lambda c, date: date, 0.6)
    rule("the? KIND after next", _after_next, 1.2)
    rule("the? KIND before last", lambda c, kind: _nth_past(c, kind, 2), 1.2)
    rule("the? KIND before previous", lambda c, kind: _nth_past(c, kind, 2), 1.2)
    rule("NUM KIND AGO", lambda c, n, kind: _nth_past(c, kind, n.whole), 1.0)
    rule("VAGUE KIND AGO", lambda c, n, kind: _nth_past(c, kind, n.whole), 1.0)
    rule("a VAGUE KIND AGO", lambda c, n, kind: _nth_past(c, kind, n.whole), 1.0)
    rule("NUM KIND from now", lambda c, n, kind: _nth_future(c, kind, n.whole), 1.0)
    rule("NUM KIND hence", lambda c, n, kind: _nth_future(c, kind, n.whole), 1.0)
    rule("NUM KIND from today", lambda c, n, kind: _nth_future(c, kind, n.whole), 1.0)
    rule(
        "in NUM KIND",
        lambda c, n, kind: _nth_future(c, kind, n.whole) if n.digits >= 0 and kind.says != IN_MONTH else None,
        0.3,
    )
    rule("a VAGUE KIND from now", lambda c, n, kind: _nth_future(c, kind, n.whole), 1.0)
    for kind in ("KIND", "UNITKIND"):
        rule(f"the? ORD {kind} of|in month", lambda c, n, k: _nth_of(c, k, cycle(c, MONTH, 0), n.whole), 1.5)
        rule(f"the? last {kind} of|in month", lambda c, k: _nth_of(c, k, cycle(c, MONTH, 0), -1), 1.5)
        for outer in ("of|in|from|during the? TIME", "of|in THEUNIT", "TIME"):
            bonus = 1.5 if outer != "TIME" else 0.4
            rule(f"the? ORD {kind} {outer}", lambda c, n, k, t: _nth_of(c, k, t, n.whole), bonus)
            if outer == "TIME":
                continue
            rule(f"the? last {kind} {outer}", lambda c, k, t: _nth_of(c, k, t, -1), bonus)
            rule(f"the? ORD last {kind} {outer}", lambda c, n, k, t: _nth_of(c, k, t, -n.whole), bonus + 0.3)
            rule(
                f"the? ORD to|from the? last {kind} {outer}", lambda c, n, k, t: _nth_of(c, k, t, -n.whole), bonus + 0.3
            )
            rule(f"the? ORD - to - last {kind} {outer}", lambda c, n, k, t: _nth_of(c, k, t, -n.whole), bonus + 0.3)
            rule(f"the? penultimate {kind} {outer}", lambda c, k, t: _nth_of(c, k, t, -2), bonus)
            rule(f"the? next to last {kind} {outer}", lambda c, k, t: _nth_of(c, k, t, -2), bonus)
        rule(f"the? ORD {kind} after|from|following TIME", lambda c, n, k, t: _nth_beside(k, t, n.whole), 1.6)
        rule(f"the? ORD {kind} before|preceding TIME", lambda c, n, k, t: _nth_beside(k, t, -n.whole), 1.6)
        rule(
            f"the? NUM {kind} after TIME",
            lambda c, n, k, t: _nth_beside(k, t, n.whole) if "UNITKIND" not in k.cats else None,
            0.8,
        )
        rule(f"the? last {kind} before TIME", lambda c, k, t: _nth_beside(k, t, -1), 1.6)
        rule(f"the? first {kind} after|since TIME", lambda c, k, t: _nth_beside(k, t, 1), 1.6)
        rule(f"the? next {kind} after TIME", lambda c, k, t: _nth_beside(k, t, 1), 1.6)
        rule(f"the? {kind} after|following TIME", lambda c, k, t: _nth_beside(k, t, 1), 1.0)
        rule(f"the? {kind} before|preceding TIME", lambda c, k, t: _nth_beside(k, t, -1), 1.0)
        rule(f"the? closest|nearest {kind} to TIME", lambda c, k, t: _closest(c, k, t, 1), 1.6)
        rule(f"the? ORD closest|nearest {kind} to TIME", lambda c, n, k, t: _closest(c, k, t, n.whole), 1.6)
    # "the first Monday 1pm to 3pm of next month"
    for hours in ("TOD", "TODSPAN"):
        for outer in ("TIME", "THEUNIT"):
            rule(
                f"the? ORD KIND at|from? {hours} of|in {outer}",
                lambda c, n, k, h, t: _at(_nth_of(c, k, t, n.whole), h),
                4.0,
            )
            rule(f"the? last KIND at|from? {hours} of|in {outer}", lambda c, k, h, t: _at(_nth_of(c, k, t, -1), h), 4.0)
    rule("UNIT", lambda c, u: _unit_kind(u), 0.0)
    rule("the? LAST WEEKEND", _last, 0.8)
    rule("the? next|coming|following NUM weekends", lambda c, n: _weekends(c, n.whole), 1.5)
    rule("the? LAST NUM weekends", lambda c, n: _weekends(c, -n.whole), 1.5)
    rule("DAY weekend", lambda c, feast: _long_weekend(feast) if feast.says & FEAST else None, 1.2)
    rule("the? weekend of HOLIDAY", lambda c, feast: _long_weekend(feast), 1.2)


def _week_of(context: Context, day: Time) -> Time | None:
    if day.says & SPAN:
        return None

    def change(occurrence: Occurrence) -> Occurrence:
        # A Sunday opens the week that follows: the week "of Sunday the 6th" is not the one that it ends.
        start = occurrence.start + timedelta(days=1) if occurrence.start.weekday() == 6 else occurrence.start
        return unit(floor(start, WEEK), WEEK)

    return mapped(day, WEEK, IN_WEEK, timedelta(days=8), change)


def _iso_week(year: Occurrence, number: Num) -> Time | None:
    """Week 1 is the one with the year's first Thursday."""
    if not 1 <= number.whole <= 53 or number.digits < 1:
        return None
    first = floor(year.start.replace(month=1, day=4), WEEK)
    return fixed(unit(first + timedelta(weeks=number.whole - 1), WEEK), IN_WEEK | IN_YEAR)


def _iso_week_of(year: Time, number: Num) -> Time | None:
    if year.grain != YEAR or year.says & SPAN:
        return None
    found = next(year.series.scan(BEGINNING, END), None)
    return _iso_week(found, number) if found else None


# First days of spring, summer, autumn and winter as almanacs have them.
_SEASONS = ((3, 20), (6, 21), (9, 23), (12, 21))


def _this_season(context: Context, count: int) -> Time:
    """The season that lasts, the one before or after it; its last day is not counted."""
    starts = [
        BEGINNING.replace(year=context.now.year + year, month=month, day=day)
        for year in (-2, -1, 0, 1, 2)
        for month, day in _SEASONS
    ]
    index = max(i for i, start in enumerate(starts) if start <= context.now) + count
    return span(starts[index], starts[index + 1] - timedelta(days=1), DAY, SEASON, "PERIOD")


def _this(context: Context, kind: Time) -> Time | None:
    if kind.says == WEEKDAY:
        # "this Tuesday" on a Tuesday is a week ahead.
        found = nth_ahead(kind, context.now, 1)
        return fixed(found, RELATIVE_DAY | WEEKDAY, "DAY") if found else None
    if kind.says & SPAN and kind.grain == HOUR:
        found = next(iter(kind.series.scan(context.now, END)), None)
        return fixed(found, SPAN, "PERIOD") if found else None
    made = _chosen(kind, next(iter(kind.series.scan(context.now, END)), None))
    # "this may be": a verb, unless nothing else is said.
    return replace(made, weak=kind.weak) if made else None


def _chosen(kind: Time, found: Occurrence | None) -> Time | None:
    if found is None:
        return None
    year = IN_YEAR if kind.says & (IN_MONTH | FEAST | SEASON) else 0
    return fixed(found, kind.says | year, *(cat for cat in kind.cats if cat in ("DAY", "PERIOD", "HOLIDAY")))


def _coming(context: Context, kind: Time) -> Time | None:
    return _chosen(kind, nth_ahead(kind, context.now, 1))


def _next(context: Context, kind: Time) -> Time | None:
    if kind.says == WEEKDAY:
        week = context.current(WEEK, 1)
        return _chosen(kind, nth_inside(kind, week, 1))
    if kind.says == SPAN and kind.grain == HOUR:
        return _chosen(kind, nth_inside(kind, context.current(WEEK, 1), 1))
    return _chosen(kind, nth_ahead(kind, context.now, 1))


def _last(context: Context, kind: Time) -> Time | None:
    return _nth_past(context, kind, 1)


def _after_next(context: Context, kind: Time) -> Time | None:
    return _chosen(kind, nth_ahead(kind, context.now, 2))


def _nth_past(context: Context, kind: Time, count: int) -> Time | None:
    if not 0 < count <= 1000:
        return None
    return _chosen(kind, nth_behind(kind, floor(context.now, DAY) if kind.grain >= DAY else context.now, count))


def _nth_future(context: Context, kind: Time, count: int) -> Time | None:
    if not 0 < count <= 1000:
        return None
    return _chosen(kind, nth_ahead(kind, context.now, count))


def _unit_kind(word: Word) -> Time | None:
    if word.value < HOUR:
        return None
    return Time(units(word.value), word.value, OFFSET, ("UNITKIND",), latent=True)


def _nth_of(context: Context, kind: Time, outer: Time, count: int) -> Time | None:
    """The count-th inside."""
    if outer.open or outer.grain <= kind.grain or count == 0 or abs(count) > 400:
        return None
    if outer.says & SPAN and outer.grain <= DAY:
        return None

    def change(occurrence: Occurrence) -> Occurrence | None:
        if kind.grain == WEEK:
            return _nth_week(occurrence, count)
        return nth_inside(kind, occurrence, count)

    says = kind.says & ~OFFSET | (outer.says & (IN_MONTH | IN_YEAR)) | (RELATIVE_DAY if kind.grain == DAY else 0)
    cats = ("DAY",) if kind.grain == DAY and not kind.says & SPAN else ("PERIOD",) if kind.grain >= WEEK else ()
    made = mapped(outer, kind.grain, says, timedelta(days=8), change, *cats)
    return replace(made, problem="")


def _at(day: Time | None, hours: Time) -> Time | None:
    return joined(day, hours) if day is not None and day.grain == DAY else None


def _nth_week(outer: Occurrence, count: int) -> Occurrence:
    """The count-th of the weeks that lie inside, whole; -1 is the last."""
    if count > 0:
        first = floor(outer.start + timedelta(days=6), WEEK)
        return unit(first + timedelta(weeks=count - 1), WEEK)
    return unit(floor(outer.end, WEEK) + timedelta(weeks=count), WEEK)


def _nth_beside(kind: Time, anchor: Time, count: int) -> Time | None:
    """The count-th after (or before, when negative) a time."""
    if anchor.open or not 0 < abs(count) <= 400 or anchor.latent:
        return None
    if anchor.grain < DAY and not anchor.says & SPAN:
        return None

    def change(occurrence: Occurrence) -> Occurrence | None:
        if count > 0:
            return nth_ahead(kind, occurrence.end - timedelta(seconds=1), count)
        return nth_behind(kind, occurrence.start, -count)

    reach = timedelta(days=400)
    cats = ("DAY",) if kind.grain == DAY else ()
    return mapped(anchor, kind.grain, kind.says | anchor.says & ~SPAN, reach, change, *cats)


def _closest(context: Context, kind: Time, anchor: Time, count: int) -> Time | None:
    target = first_ahead(anchor, context.now)
    if target is None or not 0 < count <= 100:
        return None
    ahead = [o for o in (nth_ahead(kind, target.start, n, immediate=True) for n in range(1, count + 1)) if o]
    behind = [o for o in (nth_behind(kind, target.start, n) for n in range(1, count + 1)) if o]
    ranked = sorted({*ahead, *behind}, key=lambda o: abs(o.start - target.start))
    return _chosen(kind, ranked[count - 1]) if len(ranked) >= count else None


def _weekends(context: Context, count: int) -> Time | None:
    """From the first to the last of so many weekends ahead, or behind."""
    if not 0 < abs(count) <= 100:
        return None
    kind = Time(weekends(), HOUR, SPAN)
    near, far = (
        (nth_ahead(kind, context.now, n) if count > 0 else nth_behind(kind, context.now, n)) for n in (1, abs(count))
    )
    if near is None or far is None:
        return None
    return span(min(near.start, far.start), max(near.end, far.end), HOUR)


def _long_weekend(feast: Time) -> Time | None:
    """Friday evening to Monday or to the end of the feast, when that falls beside the weekend."""
    if feast.says & SPAN:
        return None

    def change(occurrence: Occurrence) -> Occurrence:
        weekday = occurrence.start.weekday()
        if weekday == 0:
            start = occurrence.start - timedelta(days=2, hours=6)
            return Occurrence(start, occurrence.end, HOUR, True)
        friday = occurrence.start - timedelta(days=weekday - 4)
        start = min(friday, occurrence.start) + timedelta(hours=18)
        if weekday in (1, 2, 3):
            start = occurrence.start - timedelta(hours=6)
        return Occurrence(start, friday + timedelta(days=3), HOUR, True)

    return mapped(feast, HOUR, FEAST | SPAN, timedelta(days=7), change)
