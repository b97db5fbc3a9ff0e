"""The grammar of stretches: "from 3 to 5pm", "July 13-15", "4pm for 30 minutes", "until Friday", "by noon"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .chart import Grammar
from .meaning import (
    CLOCK,
    IN_MONTH,
    IN_YEAR,
    MONTHDAY,
    OFFSET,
    PART,
    RELATIVE_DAY,
    SPAN,
    Context,
    Duration,
    Num,
    Time,
    between,
    first_ahead,
    fixed,
    joined,
    mapped,
    only,
    span,
    surely,
)
from .periods import days_of_month
from .series import BEGINNING, DAY, END, HOUR, MONTH, SECOND, YEAR, Fixed, Occurrence, add, floor

Add = Callable[..., None]
# How an interval opens, what stands between its ends, and the rule's score.
_Form = tuple[str, str, float]


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    _intervals(rule)
    _open(rule)


def _intervals(rule: Add) -> None:
    for opening, link, bonus in (
        ("from ", "TO", 1.5), ("", "TO", 0.8), ("between ", "and|to|till|until|-|–", 2.0), ("from ", "and", 0.2),
    ):  # fmt: skip

        def put(
            pattern: str, action: Callable[..., Any], extra: float = 0.0, form: _Form = (opening, link, bonus)
        ) -> None:
            rule(form[0] + pattern.replace(" TO ", f" {form[1]} ", 1), action, form[2] + extra)

        put("TIME TO TIME", _from_to)
        put("TIME TO the? LDOM", _to_day, 0.2)
        put("TOD TO LTOD", _clock_span, 0.6)
        put("LTOD TO TOD", _clock_span, 0.6)
        put("HALVED TO HALVED", _clock_span, 0.4)
        if opening:
            put("LTOD TO LTOD", _clock_span, 0.2)
        else:
            put("LTOD TO LTOD", _bare_span, 0.0)
        # Days of a month that is named once: "July 13-15", "from the 13th to the 15th of July".
        for first in ("the? NUM", "the? ORD"):
            for last in ("the? NUM", "the? ORD"):
                for of in ("", "of "):
                    put(f"{first} TO {last} {of}MONTH", lambda c, a, b, m: _days(c, m, a, b), 1.6)
                    put(f"{first} TO {last} {of}MONTHYEAR", lambda c, a, b, m: _days(c, m, a, b), 1.8)
                    put(f"{first} TO {last} {of}the? CYCLEMONTH", lambda c, a, b, m: _days(c, m, a, b), 1.6)
                put(f"MONTH from? {first} TO {last}", _days, 1.4)
                put(f"MONTH from? {first} TO {last} ,? YEAR4", _days, 2.6)
        put("the? LDOM TO the? LDOM", _loose_days, 0.2)
        put("YEAR4 TO YEAR4", _years, 0.4)
        put("MONTH TO MONTHYEAR", _months_of_year, 1.5)
        put("DATE TO FULL", _dates_of_year, 1.5)
    rule("FULL / FULL", _from_to, 1.0)
    rule("TIME / TIME", lambda c, a, b: _from_to(c, a, b) if a.says & IN_YEAR and b.says & IN_YEAR else None, 1.0)
    rule("at|@ TODSPAN", lambda c, t: t, 0.4)
    rule("at|@ HOURSPAN", lambda c, t: replace(t, cats=("TIME", "BETWEEN", "TODSPAN"), latent=False), 0.4)
    rule("on? DAY ,? HOURSPAN", lambda c, day, hours: joined(day, replace(hours, cats=("TIME",))), 0.8)
    rule("HOURSPAN on? DAY", lambda c, hours, day: joined(day, replace(hours, cats=("TIME",))), 0.8)
    rule("POD ,? from? HOURSPAN", lambda c, pod, hours: joined(pod, replace(hours, cats=("TIME",))), 0.5)
    for hours in ("HOURSPAN", "TODSPAN"):
        rule(f"{hours} TODAYPART", _span_today, 1.2)
        rule(f"TODAYPART ,? from? {hours}", lambda c, pod, hours: _span_today(c, hours, pod), 1.2)
    rule("HOURSPAN in the POD", lambda c, hours, pod: joined(pod, replace(hours, cats=("TIME",))), 0.8)
    # A beginning and a length.
    for opening in ("", "from ", "starting from|at|on? "):
        rule(f"{opening}TIME FOR", _lasting, 1.2)
        rule(f"{opening}TIME ,? FOR", _lasting, 1.2)
        rule(f"FOR ,? {opening}TIME", lambda c, d, t, o=opening: _lasting(c, t, d) if o else None, 1.5)
    rule("FOR from|starting TODAY", lambda c, d, t: _lasting(c, t, d), 5.0)
    rule("from|at LTOD FOR", lambda c, t, d: _lasting(c, surely(t), d), 1.5)
    rule("FOR from|starting|at LTOD", lambda c, d, t: _lasting(c, surely(t), d), 1.5)
    rule("DURATION starting|beginning from|at|on? TIME", lambda c, d, t: _lasting(c, t, d), 1.6)


def _open(rule: Add) -> None:
    before = "until|till|til|untill|before|through|thru"
    after = "after|from"
    for words, way in ((before, "before"), (after, "after")):
        for time in ("TIME", "LTOD"):
            bonus = 0.8 if time == "TIME" else 0.4
            rule(f"{words.removesuffix('|from')} {time}", lambda c, t, w=way: _opened(t, w), bonus)
            rule(f"anytime|sometime|sometimes|any {words} {time}", lambda c, t, w=way: _opened(t, w), bonus + 0.8)
            rule(f"any time {words} {time}", lambda c, t, w=way: _opened(t, w), bonus + 0.8)
    for time in ("TIME", "LTOD"):
        for words, way in (
            ("up to|until", "before"), ("not|no later than", "before"), ("earlier than", "before"),
            ("prior to", "before"), ("as early as", "after"),
            ("sooner than", "before"), ("on or before", "before"), ("as late as", "before"),
            ("later than", "after"), ("not|no earlier|sooner|before than", "after"), ("not before", "after"),
            ("on or after", "after"),
            ("as of|from", "after"), ("starting from|on|at?", "after"), ("beginning from|on|at?", "after"),
        ):  # fmt: skip
            rule(f"{words} {time}", lambda c, t, w=way: _opened(t, w), 1.0)
        rule(f"{time} or later", lambda c, t: _opened(t, "after") if not t.says & SPAN else None, 1.2)
        rule(f"{time} onwards|onward", lambda c, t: _opened(t, "after"), 1.2)
        rule(f"{time} and later|after|onwards", lambda c, t: _opened(t, "after"), 1.0)
        rule(f"from {time} on|onwards|onward", lambda c, t: _opened(t, "after"), 1.4)
        rule(f"{time} or earlier|before", lambda c, t: _opened(t, "before") if not t.says & SPAN else None, 1.2)
        rule(f"by {time}", _by, 0.8)
        for link in ("but", "and", ",", ", but"):
            for low in ("after", "later than", "since"):
                for high in ("before", "earlier than", "until"):
                    rule(f"{low} TIME {link} {high} {time}", lambda c, a, b: _from_to(c, a, surely(b)), 2.5)
                    rule(f"{low} LTOD {link} {high} {time}", _clock_span, 2.0)
    for so_far in ("to date", "until|till now", "till date", "up to now"):
        rule(f"from|since TIME {so_far}", _until_now, 2.5)
    for since in ("since", "ever since"):
        for time, bonus in (("TIME", 0.9), ("LTOD", 0.5)):
            rule(f"{since} {time}", _since, bonus)
    rule("from TIME", lambda c, t: _opened(t, "after") if not t.says & SPAN else None, -1.0)
    rule("from LTOD", lambda c, t: _opened(t, "after"), -1.2)
    rule("DAY by TIME", _by_on, 1.0)
    rule("DAY by LTOD", _by_on, 0.8)
    rule("OPENED on? DAY", lambda c, t, day: _open_on(t, day), 0.6)
    rule("DAY OPENED", lambda c, day, t: _open_on(t, day), 0.6)
    rule("DAY ,|anytime OPENED", lambda c, day, t: _open_on(t, day), 0.8)


def _from_to(context: Context, first: Time, last: Time) -> Time | None:
    if (first.says == RELATIVE_DAY and last.says == CLOCK and "NOW" not in first.cats) or first.latent or last.latent:
        return None
    return between(context, first, last)


def _clock_span(context: Context, first: Time, last: Time) -> Time | None:
    return between(context, surely(first), surely(last))


def _bare_span(context: Context, first: Time, last: Time) -> Time | None:
    """ "9-11": hours, once a day or a part of the day stands beside it."""
    made = between(context, surely(first), surely(last))
    return replace(made, cats=("HOURSPAN",), latent=True) if made else None


def _span_today(context: Context, hours: Time, pod: Time) -> Time | None:
    """ "8 to 10 tonight": on the half of the clock that the part of the day says."""
    if pod.number < 0:
        return None
    day = context.current(DAY)
    low = day.start.replace(hour=12) if pod.number >= 12 else day.start
    found = next((o for o in hours.series.scan(low, day.end) if o.start >= low), None)
    return fixed(found, SPAN | CLOCK | RELATIVE_DAY, "BETWEEN") if found else None


def _to_day(context: Context, first: Time, last: Time) -> Time | None:
    """ "August 27th to the 29th": the month goes on."""
    if not first.says & MONTHDAY or first.says & SPAN or first.grain != DAY:
        return None
    end = Time(days_of_month(last.number), DAY, MONTHDAY, number=last.number)
    made = between(context, first, end)
    return replace(made, says=first.says | SPAN) if made else None


def _days(context: Context, month: Time, first: Num, last: Num, year: Num | None = None) -> Time | None:
    low, high = first.whole, last.whole
    if not 1 <= low < high <= 31 or max(first.digits, last.digits) > 2:
        return None

    def change(occurrence: Occurrence) -> Occurrence | None:
        start = occurrence.start.replace(day=low)
        return Occurrence(start, start.replace(day=high) + timedelta(days=1), DAY, True)

    made = mapped(month, DAY, SPAN | month.says | MONTHDAY, timedelta(days=1), change, "BETWEEN")
    if year is None:
        return made
    begin = BEGINNING.replace(year=year.whole, month=1, day=1)
    return joined(made, fixed(Occurrence(begin, add(begin, 1, YEAR), YEAR), IN_YEAR))


def _loose_days(context: Context, first: Time, last: Time) -> Time | None:
    """ "from the 13th to the 15th": of this month or the next."""
    if first.number >= last.number:
        return None
    begin = Time(days_of_month(first.number), DAY, MONTHDAY)
    end = Time(days_of_month(last.number), DAY, MONTHDAY)
    made = between(context, begin, end)
    return replace(made, weak=True) if made else None


def _years(context: Context, first: Num, last: Num) -> Time | None:
    if not 1000 <= first.whole < last.whole <= 2999:
        return None
    begin = BEGINNING.replace(year=first.whole, month=1, day=1)
    return span(begin, begin.replace(year=last.whole + 1), YEAR, SPAN | IN_YEAR)


def _months_of_year(context: Context, first: Time, last: Time) -> Time | None:
    end = only(last)
    begin = next((o for o in first.series.scan(BEGINNING, end.start, True) if o.end <= end.start), None)
    return span(begin.start, end.end, MONTH, SPAN | IN_MONTH | IN_YEAR) if begin else None


def _dates_of_year(context: Context, first: Time, last: Time) -> Time | None:
    end = next(iter(last.series.scan(BEGINNING, END)), None)
    begin = next((o for o in first.series.scan(BEGINNING, end.start, True)), None) if end else None
    return span(begin.start, end.end, DAY, SPAN | IN_MONTH | IN_YEAR | MONTHDAY) if begin and end else None


def _lasting(context: Context, time: Time, duration: Duration) -> Time | None:
    """From a time on, for so long; what is named by its unit counts whole: "4pm for 30 minutes" ends with 16:30."""
    if time.open or time.says & SPAN or time.latent:
        return None
    grain = (
        min(time.grain, duration.grain)
        if time.grain < DAY
        else min(DAY, duration.grain)
        if duration.grain < DAY
        else time.grain
    )

    def change(occurrence: Occurrence) -> Occurrence:
        end = duration.shift(occurrence.start)
        return Occurrence(occurrence.start, add(end, 1, grain) if grain < DAY else end, grain, True)

    cats = ("BETWEEN", "TODSPAN") if time.says == CLOCK else ("BETWEEN",)
    return mapped(time, grain, SPAN | time.says, duration.delta + timedelta(days=1), change, *cats)


def _opened(time: Time, way: str) -> Time | None:
    if time.open or "BETWEEN" in time.cats or ("NOW" in time.cats and way == "before"):
        return None
    if time.latent and "LTOD" not in time.cats:
        return None
    sure = surely(time)
    return replace(sure, open=way, cats=("TIME", "OPENED"), weak=False)


def _since(context: Context, time: Time) -> Time | None:
    """ "since March": from the latest one that has begun."""
    opened = _opened(time, "after")
    if opened is None:
        return None
    begun = next((o for o in opened.series.scan(BEGINNING, context.now, True) if o.start <= context.now), None)
    if begun is None or (opened.says == CLOCK and begun.start < floor(context.now, DAY)):
        return opened
    return replace(opened, series=Fixed(begun))


def _until_now(context: Context, time: Time) -> Time | None:
    """ "from March to date": from the latest one that has begun."""
    if time.open or time.latent:
        return None
    begun = next((o for o in time.series.scan(BEGINNING, context.now, True)), None)
    return span(begun.start, context.now, DAY if time.grain >= DAY else SECOND) if begun else None


def _open_on(opened: Time, day: Time) -> Time | None:
    """ "tomorrow after 5pm"."""
    if opened.says & ~(CLOCK | PART) or day.open:
        return None
    met = joined(replace(opened, open=""), day)
    return replace(met, open=opened.open, cats=("TIME", "OPENED")) if met else None


def _by(context: Context, time: Time) -> Time | None:
    """From now until then."""
    if time.open or (time.says & OFFSET and time.exact and time.grain < HOUR):
        return None
    target = surely(time)
    found = first_ahead(target, context.now)
    if found is None:
        return None
    end = found.start
    if time.ends:
        # By the end of the day: before midnight, not before office hours end.
        end = found.end if time.grain >= DAY else add(floor(found.start, DAY), 1, DAY)
    return span(context.now, end, SECOND, SPAN | OFFSET) if end > context.now else None


def _by_on(context: Context, day: Time, time: Time) -> Time | None:
    """ "tomorrow by 5pm": from now until then."""
    sure = surely(time)
    met = joined(day, sure) if sure.says == CLOCK else None
    return _by(context, met) if met else None
