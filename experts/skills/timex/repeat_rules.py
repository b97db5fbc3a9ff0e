"""The grammar of what repeats: "every Monday at 9", "weekdays at 8", "every other week", "the 1st of every month"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .chart import Grammar
from .meaning import FEAST, MONTHDAY, PART, WEEKDAY, Context, Rule, Time, Word, half_day, surely
from .series import DAY, HOUR, MINUTE, MONTH, QUARTER, SECOND, WEEK, YEAR, add
from .values import Frequency, Recurrence

Add = Callable[..., None]
_FREQUENCIES: dict[int, tuple[Frequency, int]] = {
    SECOND: ("secondly", 1), MINUTE: ("minutely", 1), HOUR: ("hourly", 1), DAY: ("daily", 1), WEEK: ("weekly", 1),
    MONTH: ("monthly", 1), QUARTER: ("monthly", 3), YEAR: ("yearly", 1),
}  # fmt: skip
_WORKDAYS = (0, 1, 2, 3, 4)
_WEEKEND = (5, 6)
_PLURAL = ("RECUR", "PLURAL")
# When nothing but the part of the day is said.
_PART_HOURS = {0: 9, 6: 8, 10: 11, 12: 15, 18: 19, 20: 21, 21: 21}


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    rule("EVERY UNIT", lambda c, u: _every(u, 1), 1.5)
    rule("EVERY single UNIT", lambda c, u: _every(u, 1), 1.5)
    rule("semi -? annually|yearly", lambda c: _every(Word(MONTH), 6), 0.8)
    rule("semiannually|biannually", lambda c: _every(Word(MONTH), 6), 0.5)
    rule("bi -? weekly", lambda c: _every(Word(WEEK), 2), 0.8)
    rule("bi -? monthly", lambda c: _every(Word(MONTH), 2), 0.8)
    rule("EVERY NUM UNIT", lambda c, n, u: _every(u, n.whole), 2.0)
    rule("every VAGUE UNIT", lambda c, n, u: _every(u, n.whole), 2.0)
    rule("every NUM LETTER", lambda c, n, u: _every(u, n.whole) if n.digits else None, 1.5)
    rule("every other|second|alternate UNIT", lambda c, u: _every(u, 2), 2.5)
    rule("every ORD UNIT", lambda c, n, u: _every(u, n.whole), 2.0)
    rule("every half an? hour", lambda c: Rule(Recurrence("minutely", 30), MINUTE), 2.5)
    rule("every half - hour", lambda c: Rule(Recurrence("minutely", 30), MINUTE), 2.5)
    rule("every quarter of an hour", lambda c: Rule(Recurrence("minutely", 15), MINUTE), 2.5)
    rule("every fortnight", lambda c: _every(Word(WEEK), 2), 1.5)
    rule("once|one|1 x? a|an|per|every|each UNIT", lambda c, u: _every(u, 1), 1.5)
    rule("once every? NUM UNIT", lambda c, n, u: _every(u, n.whole), 2.0)
    for words, grain, count in (
        ("daily", DAY, 1), ("everyday", DAY, 1), ("weekly", WEEK, 1), ("monthly", MONTH, 1), ("quarterly", QUARTER, 1),
        ("yearly|annually", YEAR, 1), ("hourly", HOUR, 1), ("biweekly|fortnightly", WEEK, 2), ("bimonthly", MONTH, 2),
    ):  # fmt: skip
        rule(words, lambda c, g=grain, n=count: _every(Word(g), n), 0.5)
    for word in ("nightly", "every night|nite", "each night"):
        rule(word, lambda c: Rule(Recurrence("daily", hour=21), HOUR, (18, 24)), 1.5)
    rule("EVERY POD", lambda c, pod: _parts(pod), 1.5)
    rule("EVERY DOW POD", lambda c, dow, pod: _days_and_part((dow.number,), pod), 2.0)
    rule("EVERY WEEKDAYS POD", lambda c, days, pod: _days_and_part(days.value, pod), 2.0)
    for pod, hour, low in (("mornings", 9, 0), ("evenings", 19, 18), ("afternoons", 15, 12), ("nights", 21, 18)):
        rule(f"in the {pod}", lambda c, h=hour, low=low: Rule(Recurrence("daily", hour=h), HOUR, (low, low + 12)), 1.0)
        rule(
            f"{pod}",
            lambda c, h=hour, low=low: Rule(Recurrence("daily", hour=h), HOUR, (low, low + 12), weak=True),
            0.5,
        )
        rule(
            f"DOWNAME {pod}",
            lambda c, d, h=hour, low=low: Rule(_weekly((d.value,), hour=h), HOUR, (low, low + 12)),
            1.5,
        )
        rule(
            f"on? DAYLIST {pod}",
            lambda c, d, h=hour, low=low: Rule(_weekly(d.value, hour=h), HOUR, (low, low + 12)),
            1.2,
        )
    # Lists of weekdays: "Monday, Wednesday and Friday".
    rule("DOWNAME", lambda c, d: _Days((d.value,)), 0.0)
    rule("DAYLIST ,|and|&|/ DOWNAME", lambda c, days, d: _Days((*days.value, d.value)), 0.3)
    rule("DAYLIST , and DOWNAME", lambda c, days, d: _Days((*days.value, d.value)), 0.3)
    rule("DOWNAME DOWNAME", lambda c, one, two: _Days((one.value, two.value)), -0.5)
    rule("DOWNAME TO DOWNAME", lambda c, one, two: _day_range(one.value, two.value), 0.5)
    rule("weekdays|workdays|weekday|workday", lambda c: _Days(_WORKDAYS, ("WEEKDAYS",)), 0.0)
    rule("business|working|work|school day|days", lambda c: _Days(_WORKDAYS, ("WEEKDAYS",)), 0.2)
    rule("week day|days", lambda c: _Days(_WORKDAYS, ("WEEKDAYS",)), 0.2)
    rule("weekend|weekends|weekend day|days?", lambda c: _Days(_WEEKEND, ("WEEKENDS",)), 0.0)
    for each in ("EVERY", "on|EVERY EVERY"):
        rule(f"{each} DAYLIST", lambda c, days: Rule(_weekly(days.value)), 1.5)
        rule(f"{each} DAYSPAN", lambda c, days: Rule(_weekly(days.value)), 2.0)
        rule(f"{each} WEEKDAYS", lambda c, days: Rule(_weekly(days.value)), 1.5)
        rule(f"{each} WEEKENDS", lambda c, days: Rule(_weekly(days.value)), 1.2)
        rule(f"{each} single DOWNAME", lambda c, d: Rule(_weekly((d.value,))), 1.5)
    rule("every other|second|alternate DOWNAME", lambda c, d: Rule(_weekly((d.value,), interval=2)), 2.5)
    for words in ("biweekly|fortnightly on?", "alternate", "every other|second|alternate"):
        rule(f"{words} DOWS", lambda c, d: Rule(_weekly((d.value,), interval=2)), 2.5)
    rule("biweekly|fortnightly on? DAYLIST", lambda c, days: Rule(_weekly(days.value, interval=2)), 2.5)
    for but in ("except|but", "except on|for", "but not? on?"):
        rule(f"EVERY day {but} DAYLIST", lambda c, days: _but(range(7), days.value), 3.0)
        rule(f"EVERY WEEKDAYS {but} DAYLIST", lambda c, week, days: _but(week.value, days.value), 3.0)
        for some in ("DOWS", "WEEKENDS"):
            rule(f"EVERY day {but} {some}", lambda c, days: _but(range(7), _numbers(days)), 3.0)
    rule("every NUM DOWNAME", lambda c, n, d: Rule(_weekly((d.value,), interval=n.whole)) if n.whole > 0 else None, 2.0)
    rule("every ORD DOWNAME", lambda c, n, d: Rule(_weekly((d.value,), interval=n.whole)) if n.whole > 0 else None, 1.5)
    rule("on WEEKDAYS", lambda c, days: Rule(_weekly(days.value), weak=True), 0.4)
    rule("WEEKDAYS", lambda c, days: Rule(_weekly(days.value), weak=True, cats=_PLURAL), 0.4)
    rule("weekends", lambda c: Rule(_weekly(_WEEKEND), weak=True, cats=_PLURAL), 0.1)
    rule("on|any|all weekends|weekend", lambda c: Rule(_weekly(_WEEKEND)), 1.0)
    rule("on DOWS", lambda c, d: Rule(_weekly((d.value,))), 0.8)
    rule("DOWS", lambda c, d: Rule(_weekly((d.value,)), cats=_PLURAL), 0.8)
    rule("on? DOWS and DOWS", lambda c, d, e: Rule(_weekly((d.value, e.value))), 2.0)
    rule("on? DOWS , DOWS ,? and DOWS", lambda c, d, e, f: Rule(_weekly((d.value, e.value, f.value))), 3.0)
    # Days of the month and of the year.
    for of in ("of|in EVERY month", "of the month every month", "EVERY month", "of each and every month"):
        rule(f"on? the? ORD day? {of}", lambda c, n: _monthly(n.whole), 2.5)
        rule(f"on? the? last day {of}", lambda c: _monthly(-1), 2.8)
        rule(f"on? the? first day {of}", lambda c: _monthly(1), 2.8)
        rule(f"on? the? ORD DOWNAME {of}", lambda c, n, d: _nth(n.whole, d.value), 2.5)
        rule(f"on? the? last DOWNAME {of}", lambda c, d: _nth(-1, d.value), 2.8)
    rule("every ORD of the? month", lambda c, n: _monthly(n.whole), 2.5)
    rule("every ORD day of the? month", lambda c, n: _monthly(n.whole), 2.8)
    rule("every ORD DOWNAME of|in the? month", lambda c, n, d: _nth(n.whole, d.value), 2.8)
    rule("every last DOWNAME of|in the? month", lambda c, d: _nth(-1, d.value), 2.8)
    rule("every last day of the? month", lambda c: _monthly(-1), 2.8)
    for month in ("EVERY month", "monthly", "once a month"):
        rule(f"{month} on the? ORD day?", lambda c, n: _monthly(n.whole), 2.5)
        rule(f"{month} on the? last day", lambda c: _monthly(-1), 2.5)
        rule(f"{month} on the? ORD DOWNAME", lambda c, n, d: _nth(n.whole, d.value), 2.5)
        rule(f"{month} on the? last DOWNAME", lambda c, d: _nth(-1, d.value), 2.5)
    for week in ("EVERY week", "weekly", "once a week"):
        rule(f"{week} on? DOWS", lambda c, d: Rule(_weekly((d.value,))), 2.5)
        rule(f"{week} on DAYLIST", lambda c, days: Rule(_weekly(days.value)), 2.5)
    rule("every other week on DAYLIST", lambda c, days: Rule(_weekly(days.value, interval=2)), 3.0)
    rule(
        "every NUM UNIT on DAYLIST",
        lambda c, n, u, days: Rule(_weekly(days.value, interval=n.whole)) if u.value == WEEK and n.whole > 0 else None,
        3.0,
    )
    for year in ("EVERY year", "yearly", "annually", "once a year"):
        rule(f"{year} on|in|at? DATE", _yearly, 2.5)
        rule(f"on? DATE {year}", _yearly, 2.5)
    rule("EVERY DATE", _yearly, 1.5)
    rule("EVERY MONTH", lambda c, month: Rule(Recurrence("yearly", month=month.number, day_of_month=1), MONTH), 1.0)
    rule("EVERY HOLIDAY", _yearly, 1.2)
    # A rule and a time of day.
    for time in ("TOD", "at LTOD", "LTOD"):
        bonus = 1.0 if time != "LTOD" else -0.3
        rule(f"RECUR ,? {time}", lambda c, r, t: _at(r, t), bonus)
        # "three weekends" and "5 weekdays" are counted, unless the time is surely one.
        rule(f"{time} RECUR", lambda c, t, r: _at(r, t) if not (t.latent and "PLURAL" in r.cats) else None, bonus)
    rule("RECUR ,? from|after TOD", lambda c, r, t: _at(r, t), 0.8)
    # "mon-fri at 9": a time of day on several days in a row comes on each of them.
    for time in ("TOD", "at|@ LTOD"):
        rule(f"DAYSPAN ,? {time}", lambda c, days, t: _at(Rule(_weekly(days.value)), t), 1.5)
    rule("TOD ,? DAYSPAN", lambda c, t, days: _at(Rule(_weekly(days.value)), t), 1.5)
    # "9 to 5 on weekdays": each begins then.
    for hours in ("TODSPAN", "HOURSPAN"):
        rule(f"{hours} RECUR", lambda c, t, r: _from_hour(c, r, t), 0.8)
        rule(f"RECUR from? {hours}", _from_hour, 0.8)
    rule("RECUR POD", lambda c, r, pod: _in_part(r, pod), 0.8)
    rule("POD RECUR", lambda c, pod, r: _in_part(r, pod), 0.6)
    rule("RECUR RECUR", _both, 0.3)
    for start in ("starting", "beginning", "as of", "starting from|on|at", "beginning on|at"):
        rule(f"RECUR ,? {start} TIME", lambda c, r, t: _starting(r, t), 1.8)
    rule("the RECUR", lambda c, r: r, 0.0)


class _Days:
    """Weekdays on their way into a rule."""

    __slots__ = ("cats", "value")

    def __init__(self, value: tuple[int, ...], cats: tuple[str, ...] = ("DAYLIST",)) -> None:
        self.value = tuple(sorted(set(value)))
        self.cats = cats


def _weekly(days: tuple[int, ...], *, interval: int = 1, hour: int | None = None) -> Recurrence:
    return Recurrence("weekly", interval, tuple(sorted(set(days))), hour=hour)


def _every(word: Word, count: int) -> Rule | None:
    if not 0 < count < 100_000:
        return None
    frequency, times = _FREQUENCIES[word.value]
    return Rule(Recurrence(frequency, count * times), word.value)


def _monthly(day: int) -> Rule | None:
    return Rule(Recurrence("monthly", day_of_month=day)) if day == -1 or 1 <= day <= 31 else None


def _nth(count: int, weekday: int) -> Rule | None:
    return Rule(Recurrence("monthly", weekdays=(weekday,), nth=count)) if count == -1 or 1 <= count <= 5 else None


def _yearly(context: Context, date: Time) -> Rule | None:
    if not date.says & (MONTHDAY | FEAST) or date.problem:
        return None
    found = next(iter(date.series.scan(context.now.replace(year=2000), context.now.replace(year=2009))), None)
    if found is None:
        return None
    if date.says & FEAST:
        # Only feasts of a fixed date can be told by a rule of this kind.
        days = {
            (o.start.month, o.start.day)
            for o in date.series.scan(context.now.replace(year=2000), context.now.replace(year=2009))
        }
        if len(days) > 1:
            return None
    return Rule(Recurrence("yearly", month=found.start.month, day_of_month=found.start.day))


def _numbers(days: Any) -> tuple[int, ...]:
    return days.value if isinstance(days, _Days) else (days.value,)


def _but(days: Iterable[int], without: tuple[int, ...]) -> Rule | None:
    """ "every day except Sunday"."""
    left = tuple(day for day in days if day not in without)
    return Rule(_weekly(left)) if left else None


def _day_range(first: int, last: int) -> _Days | None:
    return (
        _Days(tuple((first + step) % 7 for step in range((last - first) % 7 + 1)), ("DAYSPAN",))
        if first != last
        else None
    )


def _parts(pod: Time) -> Rule | None:
    if pod.says != PART:
        return None
    return Rule(Recurrence("daily", hour=_PART_HOURS.get(pod.number, pod.number)), HOUR, (pod.number, pod.number + 12))


def _days_and_part(days: tuple[int, ...], pod: Time) -> Rule | None:
    made = _parts(pod)
    return replace(made, recurrence=_weekly(days, hour=made.recurrence.hour)) if made else None


def _in_part(rule: Rule, pod: Time) -> Rule | None:
    made = _parts(pod)
    if made is None or rule.recurrence.hour is not None or rule.grain < DAY:
        return None
    return replace(rule, recurrence=replace(rule.recurrence, hour=made.recurrence.hour), grain=HOUR, part=made.part)


def _at(rule: Rule, time: Time) -> Rule | None:
    """The rule at a time of day; a bare hour is in the part of the day that the rule says, else of the waking day."""
    if (rule.grain < DAY and rule.part is None) or time.says & WEEKDAY:
        return None
    sure = surely(time)
    if sure.hour < 0:
        return None
    if sure.twelve:
        if rule.part is not None:
            sure = half_day(sure, afternoon=rule.part[0] >= 12) or sure
        elif sure.hour < 6:
            # "every day at 5": nobody means the night.
            sure = half_day(sure, afternoon=True) or sure
    recurrence = replace(rule.recurrence, hour=sure.hour, minute=sure.minute or 0, second=sure.second or 0)
    return Rule(recurrence, sure.grain, start=rule.start)


def _from_hour(context: Context, rule: Rule, hours: Time) -> Rule | None:
    """The rule at the beginning of a stretch of hours; its end is told in the note."""
    if rule.grain < DAY or rule.recurrence.hour is not None:
        return None
    day = context.current(DAY, 1)
    found = next((o for o in hours.series.scan(day.start, day.end) if o.start >= day.start + timedelta(hours=6)), None)
    if found is None:
        return None
    recurrence = replace(rule.recurrence, hour=found.start.hour, minute=found.start.minute)
    until = add(found.end, -1, found.grain)
    return Rule(recurrence, found.grain, start=rule.start, note=f"until {until:%H:%M}")


def _both(context: Context, one: Rule, other: Rule) -> Rule | None:
    """ "every day in the mornings"."""
    if (
        other.recurrence.frequency != "daily"
        or other.part is None
        or one.recurrence.hour is not None
        or one.grain < DAY
    ):
        return None
    return replace(one, recurrence=replace(one.recurrence, hour=other.recurrence.hour), grain=HOUR, part=other.part)


def _starting(rule: Rule, time: Time) -> Rule | None:
    if time.open or rule.start is not None:
        return None
    return replace(rule, start=time)
