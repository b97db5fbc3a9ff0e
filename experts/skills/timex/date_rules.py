"""The grammar of dates: "tomorrow", "the 3rd of March", "Thursday the 15th", "Q3 2018", "in 2027"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from .chart import Grammar
from .dates import full_date, month_date, whole_year, year_of
from .meaning import (
    IN_MONTH,
    IN_YEAR,
    MONTHDAY,
    RELATIVE_DAY,
    SPAN,
    Context,
    Num,
    Time,
    cycle,
    fixed,
    joined,
    mapped,
    near,
)
from .periods import days_of_month, quarters
from .series import BEGINNING, DAY, MONTH, QUARTER, SECOND, Occurrence, add, unit

Add = Callable[..., None]


_YEARS_ONE_MAY_MEAN = range(1900, 2101)


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    _near_days(rule)
    _dates(rule)
    _years(rule)


def _near_days(rule: Add) -> None:
    rule("atm", _now)
    rule("at present", _now, 0.5)
    rule("today 's date", lambda c: near(c, 0), 0.5)
    rule("the? current date", lambda c: near(c, 0), 0.5)
    rule("now|immediately", _now)
    rule("asap", _from_now_on)
    rule("right|just now", _now, 0.5)
    rule("at the moment|present|minute", _now, 0.5)
    rule("at this moment|time", _now, 0.5)
    rule("the current moment|time", _now, 0.5)
    rule("at|in? this|the very? moment|instant", _now, 0.5)
    rule("as soon as possible", _from_now_on, 0.5)
    rule("straight|right away", _now, 0.5)
    rule("today", lambda c: near(c, 0))
    rule("tomorrow", lambda c: near(c, 1))
    rule("yesterday", lambda c: near(c, -1))
    rule("the? day after tomorrow", lambda c: near(c, 2), 1.5)
    rule("the? day before yesterday", lambda c: near(c, -2), 1.5)
    rule("overmorrow", lambda c: near(c, 2))
    rule("this very? day", lambda c: near(c, 0), 0.5)
    rule("the next day", lambda c: near(c, 1), 0.5)
    rule("the day after TIME", lambda c, time: day_beside(time, 1), 0.3)
    rule("the day before TIME", lambda c, time: day_beside(time, -1), 0.3)
    rule("day after TIME", lambda c, time: day_beside(time, 1), 0.1)
    rule("day before TIME", lambda c, time: day_beside(time, -1), 0.1)


def _dates(rule: Add) -> None:
    rule("MONTH NUM", _month_day, 0.6)
    rule("MONTH the? ORD", _month_day, 1.0)
    rule("MONTH , the? ORD", _month_day, 0.8)
    rule("ORD MONTH", lambda c, day, month: _month_day(c, month, day), 1.0)
    rule("ORD day? of MONTH", lambda c, day, month: _month_day(c, month, day), 1.2)
    rule("ORD - MONTH", lambda c, day, month: _month_day(c, month, day), 0.8)
    rule("NUM MONTH", lambda c, day, month: _month_day(c, month, day) if day.digits or not month.weak else None, 0.5)
    rule("NUM of MONTH", lambda c, day, month: _month_day(c, month, day), 1.0)
    rule("NUM -|/ MONTH", lambda c, day, month: _month_day(c, month, day), 0.5)
    rule("MONTH -|/ NUM", _month_day, 0.3)
    for between in ("", "-|/|. "):
        rule(f"NUM {between}MONTH {between}YEAR4", lambda c, day, month, year: _full(c, year, month, day), 1.5)
        rule(
            f"NUM {between}MONTH {between}NUM", lambda c, day, month, year: _full(c, year, month, day, loose=True), 0.6
        )
        rule(f"MONTH {between}NUM {between}YEAR4", lambda c, month, day, year: _full(c, year, month, day), 1.5)
    rule("YEAR4 -|/? MONTH -|/? NUM", _full, 1.5)
    rule("DATE ,|of|in? YEAR4", _with_year, 1.5)
    rule("DATE ,|of|in? SPOKENYEAR", _with_year, 1.5)
    rule("DATE ,? ' NUM", _with_year, 1.0)
    rule("DATE of? NUM", lambda c, date, year: _with_year(c, date, year, loose=True), 0.2)
    rule("MONTH of NUM", lambda c, month, year: _month_year(c, month, year) if year.digits == 2 else None, 0.2)
    rule("MONTH ,|of|in|-|/? YEAR4", _month_year, 1.2)
    rule("MONTH ,|of|in? SPOKENYEAR", _month_year, 1.0)
    rule("MONTH ' NUM", _month_year, 0.8)
    rule("MONTH of? the? year YEAR4", _month_year, 1.2)
    rule("the DATE", lambda c, date: date, 0.2)
    rule("the FULL", lambda c, date: date, 0.2)
    rule(
        "ides of MONTH", lambda c, month: month_date(c, month.number, 15 if month.number in (3, 5, 7, 10) else 13), 1.0
    )
    rule(
        "the ides of MONTH",
        lambda c, month: month_date(c, month.number, 15 if month.number in (3, 5, 7, 10) else 13),
        1.2,
    )
    # Days of no month: "on the 15th", "the 15th", "Thursday the 15th", "the 20th of next month".
    rule("on the ORD", lambda c, day: _day_of_month(day), 1.0)
    rule("on the NUM", lambda c, day: _day_of_month(day) if day.digits >= 0 else None, 0.3)
    rule("the ORD", lambda c, day: replace(made, weak=True) if (made := _day_of_month(day)) else None, -0.5)
    rule("ORD", lambda c, day: _latent_day(day), -0.5)
    rule("DOW ,? the? ORD", lambda c, dow, day: _dow_day(dow, day), 1.0)
    rule("DOW NUM", lambda c, dow, day: _dow_day(dow, day) if 13 <= day.whole <= 31 and day.digits == 2 else None, 0.3)
    rule("DOW the NUM", lambda c, dow, day: _dow_day(dow, day), 0.6)
    rule("ORD of? the? CYCLEMONTH", lambda c, day, month: _day_in(month, day), 1.0)
    rule("NUM of the? CYCLEMONTH", lambda c, day, month: _day_in(month, day), 1.0)
    rule("ORD of the? month", lambda c, day: _day_in(cycle(c, MONTH, 0), day), 0.8)
    rule("the? ORD of this? month", lambda c, day: _day_in(cycle(c, MONTH, 0), day), 0.8)


def _years(rule: Add) -> None:
    rule("YEAR4", lambda c, year: _bare_year(year), -0.5)
    rule("SPOKENYEAR", lambda c, year: _bare_year(year), -0.5)
    rule("in|during|by|year the? YEAR4", lambda c, year: whole_year(year.whole), 0.5)
    rule("in|during the? SPOKENYEAR", lambda c, year: whole_year(year.whole), 0.5)
    rule("in? the? year YEAR4", lambda c, year: whole_year(year.whole), 1.0)
    rule("in? the? year SPOKENYEAR", lambda c, year: whole_year(year.whole), 1.0)
    rule("in? the? calendar year YEAR4", lambda c, year: whole_year(year.whole), 1.2)
    for era in ("ad", "ce", "a d"):
        rule(f"in? YEAR4 {era}", lambda c, year: whole_year(year.whole), 1.0)
        rule(f"in? NUM {era}", lambda c, year: whole_year(year.whole) if year.digits > 0 else None, 1.0)
        rule(f"in? {era} YEAR4", lambda c, year: whole_year(year.whole), 1.0)
        rule(f"in? {era} NUM", lambda c, year: whole_year(year.whole) if year.digits > 0 else None, 1.0)
    for quarter in ("quarter", "qtr"):
        rule(f"the? ORD {quarter}", lambda c, n: _quarter(n.whole), 0.5)
        rule(f"the? ORD {quarter} of|in|for|, the? YEAR4", lambda c, n, year: _quarter_of(n.whole, year), 1.5)
        rule(f"the? ORD {quarter} YEAR4", lambda c, n, year: _quarter_of(n.whole, year), 1.5)
        rule(f"{quarter} NUM", lambda c, n: _quarter(n.whole), 0.2)
    for n in (1, 2, 3, 4):
        rule(f"q {n}", lambda c, n=n: _quarter(n), 0.5)
        rule(f"q {n} of|,|-|/? YEAR4", lambda c, year, n=n: _quarter_of(n, year), 1.5)
        rule(f"YEAR4 -|/? q {n}", lambda c, year, n=n: _quarter_of(n, year), 1.5)


def _now(context: Context) -> Time:
    moment = context.reference.astimezone(context.zone)
    return replace(fixed(unit(context.now, SECOND), RELATIVE_DAY, "NOW"), exact=moment)


def _from_now_on(context: Context) -> Time:
    return replace(_now(context), open="after")


def day_beside(time: Time, days: int) -> Time | None:
    if time.grain != DAY or time.says & SPAN or time.open:
        return None

    def change(occurrence: Occurrence) -> Occurrence:
        return unit(add(occurrence.start, days, DAY), DAY)

    return replace(mapped(time, DAY, RELATIVE_DAY, timedelta(days=2), change, "DAY"), immediate=True)


def _month_day(context: Context, month: Time, day: Num) -> Time | None:
    number = day.whole
    if not 1 <= number <= 31 or day.digits > 2 or day.digits == -1:
        return None
    return month_date(context, month.number, number)


def _full(context: Context, year: Num, month: Time, day: Num, *, loose: bool = False) -> Time | None:
    if not 1 <= day.whole <= 31 or day.digits > 2 or day.digits == -1:
        return None
    if loose and (year.digits != 2 or day.digits == 0):
        return None
    return full_date(year_of(year.whole, year.digits, context.now.year), month.number, day.whole)


def _with_year(context: Context, date: Time, year: Num, *, loose: bool = False) -> Time | None:
    """A month's day (from rules above: `DATE`) in a given year."""
    if loose and year.digits != 2:
        return None
    number = year_of(year.whole, year.digits, context.now.year)
    if not 1 <= number <= 9998 or year.digits not in (2, 4):
        return None
    return full_date(number, date.month, date.number)


def _month_year(context: Context, month: Time, year: Num) -> Time | None:
    number = year_of(year.whole, year.digits, context.now.year)
    if not 1 <= number <= 9998 or year.digits not in (2, 4):
        return None
    start = BEGINNING.replace(year=number, month=month.number, day=1)
    return fixed(unit(start, MONTH), IN_MONTH | IN_YEAR, "PERIOD", "MONTHYEAR")


def _day_of_month(day: Num) -> Time | None:
    if not 1 <= day.whole <= 31:
        return None
    return Time(days_of_month(day.whole), DAY, MONTHDAY, ("TIME", "DAY", "DOM"), immediate=True, number=day.whole)


def _latent_day(day: Num) -> Time | None:
    made = _day_of_month(day)
    return replace(made, cats=("LDOM",), latent=True) if made else None


def _dow_day(dow: Time, day: Num) -> Time | None:
    made = _day_of_month(day)
    return joined(dow, made) if made else None


def _day_in(month: Time, day: Num) -> Time | None:
    made = _day_of_month(day)
    met = joined(made, month) if made else None
    return replace(met, cats=("TIME", "DAY")) if met else None


def _bare_year(year: Num) -> Time | None:
    """Four figures are a year only where nothing else speaks against it; alone they are weak."""
    made = whole_year(year.whole) if year.whole in _YEARS_ONE_MAY_MEAN else None
    return replace(made, weak=True) if made else None


def _quarter(which: int) -> Time | None:
    if not 1 <= which <= 4:
        return None
    return Time(quarters(which), QUARTER, IN_MONTH, ("TIME", "PERIOD"), number=which)


def _quarter_of(which: int, year: Num) -> Time | None:
    if not 1 <= which <= 4 or not 1 <= year.whole <= 9998:
        return None
    start = BEGINNING.replace(year=year.whole, month=which * 3 - 2, day=1)
    return fixed(unit(start, QUARTER), IN_MONTH | IN_YEAR, "PERIOD")
