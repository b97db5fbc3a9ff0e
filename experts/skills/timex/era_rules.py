"""The grammar of decades and centuries: "the 90s", "the late nineteen sixties", "the 19th century", "last decade"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from .chart import Grammar
from .meaning import IN_YEAR, SPAN, Context, Num, Time, only, span
from .series import YEAR

Add = Callable[..., None]
_TENS = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")
# Parts of ten years: 1990–93, 1994–96, 1997–99; of a hundred, tenfold.
_PARTS = {"early": (0, 4), "mid": (4, 7), "late": (7, 10)}


def add_rules(grammar: Grammar) -> None:
    rule = grammar.add
    rule("NUM s", _decade, 0.3)
    rule("' NUM s", _decade, 0.3)
    for mark in ("s", "' s", "'s"):
        rule(f"YEAR4 {mark}", _decade, 0.5)
    for number, word in enumerate(_TENS, 2):
        # "in my thirties" is an age.
        rule(f"the {word}", lambda c, n=number: _decade(c, Num(n * 10, 2)), 0.5)
        rule(f"in|during {word}", lambda c, n=number: _decade(c, Num(n * 10, 2)), 0.5)
        rule(f"NUM {word}", lambda c, hundreds, n=number: _of_century(c, hundreds, n), 0.8)
        for name in _PARTS:
            rule(f"the {name} -? {word}", lambda c, n=number, p=name: _part(_decade(c, Num(n * 10, 2)), p), 0.8)
    rule("ORD century", lambda c, n: _span(n.whole * 100 - 100, 100) if 0 < n.whole <= 30 else None, 0.8)
    for name, ahead in (("this", 0), ("the? current", 0), ("the? NEXT", 1), ("the? LAST", -1)):
        rule(f"{name} century", lambda c, n=ahead: _span((c.now.year // 100 + n) * 100, 100), 0.8)
        rule(f"{name} decade", lambda c, n=ahead: _span((c.now.year // 10 + n) * 10, 10), 0.8)
    rule("the ERA", lambda c, era: era, 0.3)
    rule("in|during|over|throughout the? ERA", lambda c, era: era, 0.6)
    for name in _PARTS:
        rule(f"the? {name} -? ERA", lambda c, era, p=name: _part(era, p), 0.8)
        rule(f"in|during the? {name} -? ERA", lambda c, era, p=name: _part(era, p), 1.2)


def _decade(context: Context, years: Num) -> Time | None:
    if years.whole % 10 or years.digits not in (2, 4):
        return None
    return _span(years.whole if years.digits == 4 else (1900 if years.whole > 20 else 2000) + years.whole, 10)


def _of_century(context: Context, hundreds: Num, tens: int) -> Time | None:
    """ "nineteen sixties"."""
    return _span(hundreds.whole * 100 + tens * 10, 10) if hundreds.digits == 0 and 10 <= hundreds.whole <= 20 else None


def _span(first: int, years: int) -> Time | None:
    if not 1 <= first <= 2990:
        return _span(1, years - 1) if first == 0 else None
    made = span(datetime(first, 1, 1), datetime(first + years, 1, 1), YEAR, SPAN | IN_YEAR, "ERA")
    return replace(made, number=years)


def _part(era: Time | None, name: str) -> Time | None:
    """Its beginning, middle or end."""
    if era is None or era.number % 10:
        return None
    start = only(era).start
    low, high = (start.replace(year=start.year + step * era.number // 10) for step in _PARTS[name])
    return span(low, high, YEAR, SPAN | IN_YEAR)
