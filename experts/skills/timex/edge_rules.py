"""The grammar of parts of longer times ("the end of the month") and of times laid side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from .chart import Grammar
from .dates import whole_year
from .meaning import (
    FEAST,
    OFFSET,
    RELATIVE_DAY,
    SPAN,
    WEEKDAY,
    Context,
    Time,
    Word,
    cycle,
    joined,
    mapped,
    near,
    only,
    span,
)
from .series import (
    DAY,
    HOUR,
    MONTH,
    QUARTER,
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
    _parts(rule)
    _edges(rule)
    _joining(rule)


def _parts(rule: Add) -> None:
    rule("all week", lambda c: _rest(c, Word(WEEK), whole=True), 0.8)
    rule("all this week", lambda c: _rest(c, Word(WEEK), whole=True), 0.8)
    rule("later this UNIT", lambda c, u: span(c.now, c.current(u.value).end, SECOND) if u.value > DAY else None, 0.8)
    rule("later in THEUNIT", lambda c, t: span(c.now, only(t).end, SECOND), 0.8)
    rule("earlier this UNIT", _earlier, 0.8)
    rule("earlier in THEUNIT", lambda c, t: _earlier(c, Word(max(t.grain, DAY))), 0.8)
    rule("earlier today", lambda c: _earlier(c, Word(DAY)), 0.8)
    rule("for THEUNIT", lambda c, t: cycle(c, t.grain, 0) if t.grain > DAY else None, 0.3)
    for words, which in (("first", 0), ("second|last", 1)):
        rule(f"the? {words} half of the? PERIOD", lambda c, t, w=which: _half(t, w), 1.5)
        rule(f"the? {words} half of the? CYCLE", lambda c, t, w=which: _half(t, w), 1.5)
    for n in (1, 2):
        rule(f"YEAR4 -? h {n}", lambda c, y, n=n: _half(whole_year(y.whole), n - 1), 1.0)
        rule(f"h {n} of? YEAR4", lambda c, y, n=n: _half(whole_year(y.whole), n - 1), 1.0)
    rule("rest of the|this UNIT", _rest, 0.8)
    rule("the rest of the|this UNIT", _rest, 1.0)
    rule("all day", lambda c: near(c, 0), 0.2)


def _edges(rule: Add) -> None:
    for words, which in (
        ("beginning|start|begining", "begin"), ("middle|mid", "mid"), ("end", "end"),
    ):  # fmt: skip
        # "by the end" is from now until then: see `span_rules`.
        for at in ("", "at|in|on|towards? the " if which == "end" else "at|in|by|on|towards? the "):
            bonus = 1.4
            rule(f"{at}{words} of the? PERIOD", lambda c, t, w=which: _edge(c, t, w), bonus)
            rule(f"{at}{words} of the? around|about? CYCLE", lambda c, t, w=which: _edge(c, t, w), bonus)
            rule(f"{at}{words} of the? day", lambda c, w=which: _edge_of_day(c, w, 0), bonus)
            for grain, name in ((MONTH, "month"), (YEAR, "year"), (WEEK, "week"), (QUARTER, "quarter")):
                rule(
                    f"{at}{words} of the|this? {name}",
                    lambda c, w=which, g=grain: _edge(c, cycle(c, g, 0), w),
                    bonus,
                )
            rule(f"{at}{words} of the? DAY", lambda c, t, w=which: _edge_in_day(t, w), bonus)
            rule(f"{at}{words} of YEAR4", lambda c, y, w=which: _edge(c, whole_year(y.whole), w), bonus)
    rule("early in? PERIOD", lambda c, t: _edge(c, t, "begin"), 0.8)
    rule("early in? CYCLE", lambda c, t: _edge(c, t, "begin"), 0.8)
    rule("mid PERIOD", lambda c, t: _edge(c, t, "mid"), 0.8)
    rule("mid - PERIOD", lambda c, t: _edge(c, t, "mid"), 0.8)
    rule("mid CYCLE", lambda c, t: _edge(c, t, "mid"), 0.8)
    rule("mid - CYCLE", lambda c, t: _edge(c, t, "mid"), 0.8)
    rule("late in? PERIOD", lambda c, t: _edge(c, t, "end"), 0.8)
    rule("late in? CYCLE", lambda c, t: _edge(c, t, "end"), 0.8)
    for short, grain in (("eom", MONTH), ("eoy", YEAR), ("eow", WEEK)):
        rule(f"at? the? {short}", lambda c, g=grain: _edge(c, cycle(c, g, 0), "end"), 0.5)
    rule("at? the? bom", lambda c: _edge(c, cycle(c, MONTH, 0), "begin"), 0.5)
    rule("at the boy", lambda c: _edge(c, cycle(c, YEAR, 0), "begin"), 0.5)
    rule("eod", lambda c: _edge_of_day(c, "end", 0), 0.5)
    rule("at the? eod", lambda c: _edge_of_day(c, "end", 0), 0.6)
    rule("eod DAY", lambda c, day: _edge_in_day(day, "end"), 0.6)
    rule("DAY eod", lambda c, day: _edge_in_day(day, "end"), 0.6)
    rule("tomorrow eod", lambda c: _edge_of_day(c, "end", 1), 1.0)


def _joining(rule: Add) -> None:
    """Two times laid side by side say both: "Thursday" + "at 5pm"; the right one is never itself joined."""
    for link in ("", ", ", "of ", "on ", "in ", "'s ", "from ", "- "):
        bonus = {"": 0.3, ", ": 0.2, "of ": 0.4, "on ": 0.5, "in ": 0.4, "'s ": 0.5, "from ": 0.1, "- ": -1.0}[link]
        rule(
            f"TIME {link}TIME", lambda c, one, other: joined(one, other) if "JOINED" not in other.cats else None, bonus
        )
    rule(
        "TIME , on|in|of|at TIME", lambda c, one, other: joined(one, other) if "JOINED" not in other.cats else None, 0.4
    )
    rule("on TIME", lambda c, t: _on(t), 0.4)
    rule("on the? DOW", lambda c, dow: dow, 0.3)
    rule("on a|the DOW", lambda c, dow: dow, 0.3)
    rule("over|on|during|for|at the WEEKEND", lambda c, w: w, 0.4)
    rule("over|during the? HOLIDAY", lambda c, t: t, 0.2)
    rule("in|during|over|throughout the? PERIOD", lambda c, t: replace(t, weak=False) if t.says != FEAST else None, 0.4)
    rule("in|during|over|throughout the? CYCLE", lambda c, t: t if t.grain >= WEEK else None, 0.3)
    rule("for|over|during the? TIME", lambda c, t: t if not t.open and t.grain >= HOUR else None, 0.1)
    rule("at DAY", lambda c, t: t, 0.1)
    rule("at HOLIDAY", lambda c, t: t, 0.2)
    rule("of|in|the month of MONTH", lambda c, month: replace(month, weak=False), 0.2)
    rule("FULL t TOD", lambda c, day, time: joined(day, time), 1.0)
    rule("TIME ( TIME )", lambda c, one, other: joined(one, other), 0.0)


def _rest(context: Context, word: Word, *, whole: bool = False) -> Time:
    """What is left of this unit; of a week, its last day is not counted."""
    this = context.current(word.value)
    end = this.end - timedelta(days=1) if word.value == WEEK else this.end
    start = this.start if whole else floor(context.now, DAY)
    return span(min(start, end - timedelta(days=1)) if word.value >= DAY else start, end, min(DAY, word.value))


def _earlier(context: Context, word: Word) -> Time | None:
    start = context.current(word.value).start
    return span(start, context.now, SECOND) if word.value >= DAY and start < context.now else None


def _half(period: Time | None, which: int) -> Time | None:
    """The first or the second half of a month, a quarter or a year."""
    if period is None or period.grain not in (MONTH, QUARTER, YEAR) or period.says & SPAN:
        return None

    def change(outer: Occurrence) -> Occurrence:
        middle = (
            add(outer.start, 6, MONTH)
            if period.grain == YEAR
            else floor(outer.start + (outer.end - outer.start) / 2, DAY)
        )
        low, high = ((outer.start, middle), (middle, outer.end))[which]
        return Occurrence(low, high, MONTH if period.grain == YEAR else DAY, True)

    return mapped(period, DAY, SPAN, timedelta(days=1), change)


def _edge(context: Context, period: Time | None, which: str) -> Time | None:
    """The beginning, middle or end of a week, a month, a quarter or a year."""
    if period is None or period.grain not in (WEEK, MONTH, QUARTER, YEAR) or period.says & SPAN:
        return None
    grain = period.grain

    def change(occurrence: Occurrence) -> Occurrence | None:
        start, end = occurrence.start, occurrence.end
        if grain == WEEK:
            day = timedelta(days=1)
            cut = {
                "begin": (start, start + 3 * day),
                "mid": (start + 2 * day, start + 4 * day),
                "end": (end - 3 * day, end),
            }
        elif grain == MONTH:
            tenth, twentieth = start.replace(day=11), start.replace(day=21)
            cut = {"begin": (start, tenth), "mid": (tenth, twentieth), "end": (twentieth, end)}
        elif grain == QUARTER:
            one, two = add(start, 1, MONTH), add(start, 2, MONTH)
            cut = {"begin": (start, one), "mid": (one, two), "end": (two, end)}
        else:
            cut = {
                "begin": (start, start.replace(month=4)), "mid": (start.replace(month=5), start.replace(month=9)),
                "end": (start.replace(month=9), end),
            }  # fmt: skip
        return Occurrence(*cut[which], DAY if grain in (WEEK, MONTH) else MONTH, True)

    made = mapped(period, DAY if grain in (WEEK, MONTH) else MONTH, SPAN, timedelta(days=1), change, "EDGE")
    return replace(made, number=("begin", "mid", "end").index(which), ends=which == "end")


def _edge_of_day(context: Context, which: str, days: int) -> Time | None:
    return _edge_in_day(near(context, days), which)


def _edge_in_day(day: Time, which: str) -> Time | None:
    if day.grain != DAY or day.says & SPAN:
        return None
    hours = {"begin": (0, 9), "mid": (11, 14), "end": (17, 21)}[which]

    def change(occurrence: Occurrence) -> Occurrence:
        start = occurrence.start
        return Occurrence(start + timedelta(hours=hours[0]), start + timedelta(hours=hours[1]), HOUR, True)

    made = mapped(day, HOUR, SPAN, timedelta(days=1), change, "EDGE")
    return replace(made, number=("begin", "mid", "end").index(which), ends=which == "end")


def _on(time: Time) -> Time | None:
    """ "on" goes before days, and what begins with one."""
    if time.says & (RELATIVE_DAY | OFFSET) and not time.says & WEEKDAY:
        return None
    return replace(time, weak=False) if time.grain <= DAY and time.says & ~0b11 else None
