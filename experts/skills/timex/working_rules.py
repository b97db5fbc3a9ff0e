"""The grammar of working days, Monday to Friday: "in 3 working days", "the last business day of the month".

Knows no public holidays.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from .chart import Grammar
from .meaning import IN_WEEK, OFFSET, RELATIVE_DAY, SPAN, Context, Num, Time, fixed, mapped, span
from .series import DAY, MONTH, WEEK, Occurrence, add, floor, unit

Add = Callable[..., None]
_DAYS = "business|working|work day|days"


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    for count in ("NUM", "VAGUE", "a VAGUE"):
        rule(f"in {count} {_DAYS}", lambda c, n: _from_now(c, n, 1), 3.0)
        rule(f"in {count} {_DAYS} time", lambda c, n: _from_now(c, n, 1), 3.0)
        rule(f"{count} {_DAYS} from now|today", lambda c, n: _from_now(c, n, 1), 3.0)
        rule(f"{count} {_DAYS} later|hence", lambda c, n: _from_now(c, n, 1), 3.0)
        rule(f"{count} {_DAYS} AGO", lambda c, n: _from_now(c, n, -1), 3.0)
        rule(f"{count} {_DAYS} after|from|following TIME", lambda c, n, t: _beside(n, t, 1), 3.0)
        rule(f"{count} {_DAYS} before TIME", lambda c, n, t: _beside(n, t, -1), 3.0)
    rule("the? NEXT business|working|work day", lambda c: _from_now(c, Num(1, 0), 1), 1.5)
    rule("the? LAST business|working|work day", lambda c: _from_now(c, Num(1, 0), -1), 1.5)
    for outer in ("TIME", "THEUNIT"):
        rule(f"the? first business|working|work day of|in the? {outer}", lambda c, t: _inside(t, 1), 3.0)
        rule(f"the? last business|working|work day of|in the? {outer}", lambda c, t: _inside(t, -1), 3.0)
        rule(f"the? ORD business|working|work day of|in the? {outer}", lambda c, n, t: _inside(t, n.whole), 2.5)
    for week in ("work|working week", "workweek"):
        for words, ahead in (("this", 0), ("the? NEXT", 1), ("the? LAST", -1)):
            rule(f"{words} {week}", lambda c, n=ahead: _week(c, n), 1.5)


def _step(day: datetime, count: int) -> datetime:
    """So many working days later, or earlier."""
    sign = 1 if count > 0 else -1
    while count:
        day += timedelta(days=sign)
        count -= sign if day.weekday() < 5 else 0
    return day


def _counts(count: Num) -> bool:
    return 0 < count.whole <= 1000


def _from_now(context: Context, count: Num, sign: int) -> Time | None:
    if not _counts(count):
        return None
    return fixed(unit(_step(floor(context.now, DAY), sign * count.whole), DAY), RELATIVE_DAY | OFFSET, "DAY")


def _beside(count: Num, time: Time, sign: int) -> Time | None:
    if not _counts(count) or time.grain != DAY or time.says & SPAN or time.open:
        return None

    def change(occurrence: Occurrence) -> Occurrence:
        return unit(_step(occurrence.start, sign * count.whole), DAY)

    return mapped(time, DAY, RELATIVE_DAY | OFFSET, timedelta(days=2 * count.whole + 3), change, "DAY")


def _inside(outer: Time, count: int) -> Time | None:
    if outer.grain < MONTH or outer.says & SPAN or outer.open or not 0 < abs(count) <= 262:
        return None

    def change(occurrence: Occurrence) -> Occurrence | None:
        edge = occurrence.start - timedelta(days=1) if count > 0 else occurrence.end
        day = _step(edge, count)
        return unit(day, DAY) if occurrence.start <= day < occurrence.end else None

    return mapped(outer, DAY, outer.says | RELATIVE_DAY, timedelta(days=1), change, "DAY")


def _week(context: Context, ahead: int) -> Time:
    monday = add(floor(context.now, WEEK), ahead, WEEK)
    return span(monday, monday + timedelta(days=5), DAY, SPAN | IN_WEEK)
