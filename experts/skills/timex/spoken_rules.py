"""The grammar of times as they are spoken: "oh five hundred", "eighteen forty five hours", "first thing tomorrow"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .chart import Grammar
from .clock_rules import in_part, part, part_of
from .date_rules import day_beside
from .meaning import CLOCK, PART, Context, Num, Time, half_day, joined, latent, time_of_day

Add = Callable[..., None]
# By the number that `part` gives to a part of the day.
_NAMES = {
    ("early", 0): "early morning", ("late", 0): "late morning", ("early", 12): "early afternoon",
    ("late", 12): "late afternoon", ("early", 18): "early evening", ("late", 18): "late evening",
    ("early", 20): "early evening", ("late", 20): "late night",
}  # fmt: skip


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    _military(rule)
    _mornings(rule)


def _military(rule: Add) -> None:
    """Times of 24 hours; without "hours" they count only where nothing else is said or a day stands beside them."""
    rule("oh|o|zero NUM", lambda c, n: _hundreds(n, 9), 0.8)
    rule("oh|o|zero NUM NUM", lambda c, hour, minute: _hour_minutes(hour, minute, 9), 0.8)
    rule("oh|o|zero NUM oh|zero NUM", lambda c, hour, minute: _hour_minutes(hour, minute, 9, low=1), 0.8)
    rule("oh|o|zero oh|zero NUM", lambda c, minute: _hour_minutes(Num(0, 0), minute, 0, low=1), 0.8)
    for hours in ("hours", "hrs"):
        rule(f"MILITARY {hours}", lambda c, time: _sure(time), 2.0)
        rule(f"NUM {hours}", lambda c, n: _sure(_hundreds(n, 23)) if n.value >= 1000 else None, 2.0)
        rule(f"NUM NUM {hours}", lambda c, hour, minute: _sure(_hour_minutes(hour, minute, 23)), 2.0)
    rule("MILITARY on? DAY", lambda c, time, day: joined(day, _sure(time) or time), 1.0)
    rule("DAY at? MILITARY", lambda c, day, time: joined(day, _sure(time) or time), 1.0)


def _mornings(rule: Add) -> None:
    rule("first thing on? DAY", lambda c, day: joined(day, part("before work")), 1.5)
    rule("first thing on? DAYPART", lambda c, day: _first_thing(day), 1.5)
    rule("first thing in the morning", lambda c: part("before work"), 1.5)
    for time in ("TOD", "LTOD"):
        rule(f"{time} in|on the POD of|on TIME", _at_in_part_of, 1.5)
    rule("early|small hours of DAY", lambda c, day: joined(day, part("early morning")), 1.0)
    rule("the early|small hours of DAY", lambda c, day: joined(day, part("early morning")), 1.2)
    for when in ("early", "late"):
        # "late Monday night"
        rule(f"{when} on? DAYPART", lambda c, day, w=when: _narrowed(w, day), 1.2)
        rule(f"{when} in? TODAYPART", lambda c, pod, w=when: _narrowed_today(c, w, pod), 0.8)
    for half, afternoon in (("am", False), ("pm", True)):
        # "6 30 pm", as it is heard.
        rule(f"NUM NUM {half}", lambda c, hour, minute, p=afternoon: _heard(hour, minute, p), 1.5)
    rule("on the POD of TIME", lambda c, pod, day: joined(day, pod), 0.8)
    rule("on? the? POD before DAY", lambda c, pod, day: _eve(day, pod), 1.2)


def _hundreds(number: Num, last: int) -> Time | None:
    """ "five hundred", "fifteen hundred"."""
    hour, rest = divmod(number.whole, 100)
    if number.digits != 0 or rest or not 0 < hour <= last:
        return None
    return replace(latent(time_of_day(hour, 0)), cats=("LTOD", "MILITARY", "LATE"))


def _hour_minutes(hour: Num, minute: Num, last: int, *, low: int = 10) -> Time | None:
    if hour.digits != 0 or minute.digits != 0 or not 0 <= hour.whole <= last or not low <= minute.whole < 60:
        return None
    return replace(latent(time_of_day(hour.whole, minute.whole)), cats=("LTOD", "MILITARY", "LATE"))


def _sure(time: Time | None) -> Time | None:
    return replace(time, cats=("TIME", "TOD"), latent=False) if time is not None else None


def _eve(day: Time, pod: Time) -> Time | None:
    """ "the night before Christmas"."""
    before = day_beside(day, -1)
    return joined(before, pod) if before is not None and pod.says == PART else None


def _narrowed(when: str, day_part: Time) -> Time | None:
    if day_part.halves is None:
        return None
    name = _NAMES.get((when, day_part.halves[1].number))
    return joined(day_part.halves[0], part(name)) if name else None


def _narrowed_today(context: Context, when: str, pod: Time) -> Time | None:
    name = _NAMES.get((when, pod.number))
    return part_of(context, part(name), 0) if name else None


def _heard(hour: Num, minute: Num, afternoon: bool) -> Time | None:
    if hour.digits < 1 or minute.digits != 2 or not 1 <= hour.whole <= 12 or not 0 <= minute.whole < 60:
        return None
    return half_day(time_of_day(hour.whole, minute.whole, twelve=True), afternoon)


def _first_thing(day_part: Time) -> Time | None:
    if day_part.halves is None or day_part.halves[1].number >= 12:
        return None
    return joined(day_part.halves[0], part("before work"))


def _at_in_part_of(context: Context, time: Time, pod: Time, day: Time) -> Time | None:
    named = in_part(context, pod, time)
    return joined(day, replace(named, says=CLOCK)) if named else None
