"""Units: a quantity in another unit, which of two is more, an amount of money at the rate of a stated day.

`measures` reads the quantities; here is what is asked of them and how it is told. Sizes of shoes and clothes, and how
long or heavy things are, are not for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from ..errors import QueryError
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from . import currency
from .measure_numbers import OutOfRangeError
from .measure_units import Unit, compatible, dimension_name, inverse, region_of, unit_named
from .measures import Mention, Quantity, find_quantities
from .timex import resolve
from .units_table import CUSTOMARY, DENSITIES, METRIC

INTENTS = ("convert", "compare", "currency")
MAX_TEXT = 500
# What is not exact is told with so many digits, temperatures with so many decimals.
SHOWN_DIGITS = 5
SHOWN_DECIMALS = 1
_MASS, _VOLUME, _TEMPERATURE = (0, 1, 0, 0, 0, 0), (3, 0, 0, 0, 0, 0), (0, 0, 0, 1, 0, 0)


class Units:
    """Answers `Structured`: {"topic": "convert" | "compare" | "currency", …}; units by their names in the table."""

    def __init__(self) -> None:
        # The lexicon and the grammar of dates are built on first use: now, not in a request.
        find_quantities("1 km")
        resolve("tomorrow", datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")), ZoneInfo("UTC"))

    async def answer(self, query: Query) -> Outcome:
        text = " ".join((query.text if query.payload is None else f"{query.text} {query.payload}").split())
        if len(text) > MAX_TEXT:
            return _not_mine()
        exchange = currency.find(text, query.locale)
        if exchange is not None:
            return await currency.answer(exchange, query)
        return convert(text, query.locale, query.intent)


def convert(text: str, locale: str, intent: str = "") -> Outcome:
    """What a text asks of its quantities.

    Raises: QueryError: TOO_LARGE, DIFFERENT_DIMENSIONS, BELOW_ABSOLUTE_ZERO.
    """
    region = region_of(locale)
    if _NOT_MINE.search(text.lower()):
        return _not_mine()
    try:
        quantities, mentions = find_quantities(text, region)
    except OutOfRangeError as error:
        if not _CONVERTS.search(text.lower()):
            return _not_mine()
        raise QueryError(
            f"{error} is beyond what is reckoned here; use a number below 10^60", reason="TOO_LARGE"
        ) from None
    if len(quantities) >= 2 and _COMPARES.search(text.lower()):
        return _compare(text, quantities, intent)
    return _convert(text, quantities, mentions, region, intent)


def _not_mine() -> Abstention:
    return Abstention("this asks for no quantity in another unit", "not_mine")


_NOT_MINE = re.compile(
    r"\b(?:timers?|alarms?|remind\w*|wake me|snooze|shoes?|dress|clothing|clothes|ring size|until|till|ago|from now|"
    r"o'?clock)\b"
)
_CONVERTS = re.compile(r"\b(?:convert|in|to|into|as|how (?:many|much))\b")
_COMPARES = re.compile(
    r"\b(?:\w+er|more|less|same|equal|identical)\b.*\b(?:than|as|or|,)|\b(?:which|"
    r"what)\b.*\b(?:\w+er|\w+est|more|less|most|"
    r"least)\b|\bcompare\b|\bvs\b|\bversus\b"
)


# --- One quantity in another unit -------------------------------------------------------------------------------------

# What may stand before the unit that is asked for.
_CUE = re.compile(r"(?:\b(?:in|to|into|as|many|much|of|terms of|equals?|is)|[=→]|->|\b(?:the|some)) ?$")
_STRONG_CUE = re.compile(r"(?:\b(?:in|to|into|as|many|much)(?: the)?|[=→]|->) ?$")
# What may stand between the two units: "feet in a mile", "teaspoons make a tablespoon".
_LINK = re.compile(
    r"\s*(?:(?:are|is|there|go|in|to|into|per|make|makes|one|the|each|every|a|an|equals?|=|->|→|:|,)\s*)*"
)
_SYSTEM = re.compile(
    r"\b(?:in|to|into|as|go)\s+(?:the )?(?:(?P<metric>metric|si)|(?P<us>us|u\.s\.|american|customary)|"
    r"(?P<imperial>imperial|british|uk|english))(?: (?:units?|system|measures?|equivalent))*(?=\W*$|"
    r"\W*:|,| please| for| units?)"
)
_DIFFERENCE = re.compile(
    r"\b(?:rise|drop|fall|increase|decrease|difference|range|span|change of|warming|rose by|fell by)\b"
)
_FILLER_WORDS = """
    a about all amount an and approximately are around as at be big by calculate can cold come comes contain
    contains convert converted conversion converter could deep degree degrees difference do does drop each equal
    equals equivalent exactly express expressed fall far fast feet find fit fits for from get give given go goes
    have heavy hello hey hi high hold holds hot how i if in increase into is it its just know large like long make
    makes many me measure measured measurement much my need number of ok okay old one out over please pls put quick
    quickly range rise roughly same show size small so speed switch system take tall tell temperature than thanks
    that the their them then there they thing this to translate transform turn unit units up us value volume want
    was we weigh weighs weight were what whats when which wide will with work worth would write you your height
    length distance area change changing says say metric imperial american british uk si customary decrease warming
    reading figure oven room body outside
"""
_FILLER = frozenset(_FILLER_WORDS.split())


def _convert(
    text: str, quantities: Sequence[Quantity], mentions: Sequence[Mention], region: str, intent: str
) -> Outcome:
    lower = text.lower()
    targets = _targets(text, quantities, mentions)
    source = _source(text, quantities, mentions, targets)
    if source is None:
        return _not_mine()
    system = None if targets else _SYSTEM.search(lower)
    if not targets and system is None and intent not in ("", "convert"):
        return _not_mine()
    used = [source.span, *(target.span for target in targets)]
    ingredient = _ingredient(lower)
    strange = _strange(lower, used, ingredient)
    if strange and not (intent == "convert" and len(strange) <= 2 and targets and source.said):
        return _not_mine()
    if targets:
        pair = _pair(source, targets[0])
        if pair is None and ingredient:
            return _through_density(source, targets[0], ingredient)
        if pair is None:
            return _refuse(source, targets[0], strange)
        if len(targets) > 1:
            return _mixed(source, pair[0], [pair[1], *(unit for target in targets[1:] for unit in target.units[:1])])
    else:
        found = _counterpart(source, system, region, bool(_CONVERTS.search(lower)))
        if found is None:
            return _not_mine()
        pair = found
    difference = pair[0].dimension == _TEMPERATURE and bool(_DIFFERENCE.search(lower))
    return _told(source, *pair, _note(lower, pair, difference=difference), difference=difference)


def _targets(text: str, quantities: Sequence[Quantity], mentions: Sequence[Mention]) -> list[Mention]:
    """The units that are asked for: one, or several of one kind ("feet and inches")."""
    if not mentions:
        return []
    cued = [m for m in mentions if _STRONG_CUE.search(text[: m.span[0]].lower())]
    counted = [m for m in cued if re.search(r"\b(?:many|much) ?$", text[: m.span[0]].lower())]
    first = next(iter(counted or cued), None)
    if first is None:
        # "square feet in an acre", "kilos 12 lb", "12 lb kilos".
        first = mentions[0]
        beside = quantities[0].span if quantities else mentions[-1].span
        between = text[first.span[1] : beside[0]] if first.span[0] < beside[0] else text[beside[1] : first.span[0]]
        if not _LINK.fullmatch(between.lower()) or beside == first.span:
            return []
    found = [first]
    for mention in mentions[mentions.index(first) + 1 :]:
        if re.fullmatch(r"\s*(?:,|and|&|\+)\s*", text[found[-1].span[1] : mention.span[0]].lower()):
            found.append(mention)
    return found


def _source(
    text: str, quantities: Sequence[Quantity], mentions: Sequence[Mention], targets: Sequence[Mention]
) -> Quantity | None:
    """What is to be converted; "how many feet in a mile" and "feet to metres" mean one."""
    said = [quantity for quantity in quantities if quantity.said] or list(quantities)
    if len(said) == 1:
        return said[0]
    if said:
        return None
    other = next((mention for mention in mentions if mention not in targets), None)
    if other is None or not targets:
        return None
    between = text[min(other.span[1], targets[0].span[1]) : max(other.span[0], targets[0].span[0])].lower()
    if not _LINK.fullmatch(between) or not between.strip():
        return None
    return Quantity(Fraction(1), other.units, other.span, said=False)


def _pair(source: Quantity, target: Mention) -> tuple[Unit, Unit] | None:
    """The first readings of the two that go together."""
    pairs = [(one, other) for one in source.units for other in target.units]
    return next((pair for pair in pairs if compatible(*pair)), None) or next(
        (pair for pair in pairs if inverse(*pair)), None
    )


def _counterpart(source: Quantity, system: re.Match[str] | None, region: str, asked: bool) -> tuple[Unit, Unit] | None:
    """The obvious unit of the other system; of a bare quantity too."""
    to_metric = system is not None and system["metric"] is not None
    if system is not None and not to_metric:
        region = "US" if system["us"] else "GB"
    if source.units[0].name == "degree":
        # Of which scale, or of an angle: that was not said.
        return None
    for unit in source.units:
        name = METRIC.get(unit.name) if to_metric or system is None else None
        if name is None and not to_metric:
            name = CUSTOMARY.get(unit.name)
        if name is not None:
            return unit, unit_named(name, region)
    if system is not None and asked:
        unit = source.units[0]
        raise QueryError(
            f"no unit of that system is the obvious one for {unit.plural}; name the unit", reason="NO_OBVIOUS_UNIT"
        )
    return None


def _strange(lower: str, used: Sequence[tuple[int, int]], ingredient: str) -> list[str]:
    """Words of the text that no conversion needs."""
    letters = list(lower)
    for start, end in used:
        letters[start:end] = " " * (end - start)
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", "".join(letters).replace("what's", "what").replace("i'd", "i"))
    return [word for word in words if word not in _FILLER and word not in ingredient.split() and word != "s"]


def _refuse(source: Quantity, target: Mention, strange: Sequence[str]) -> Outcome:
    unit, wanted = source.units[0], target.units[0]
    if strange or not source.said:
        return _not_mine()
    if {unit.dimension, wanted.dimension} == {_MASS, _VOLUME}:
        known = ", ".join(sorted({name for name in _densities() if " " not in name})[:12])
        return Abstention(
            f"{unit.plural} are a mass or a volume and {wanted.plural} the other: that depends on what is measured; "
            f"say of what (known here: {known}, …)",
            "needs_input",
        )
    raise QueryError(
        f"{unit.plural} measure {dimension_name(unit.dimension)}, {wanted.plural} {dimension_name(wanted.dimension)}; "
        "one cannot become the other",
        reason="DIFFERENT_DIMENSIONS",
    )


# --- In the kitchen ---------------------------------------------------------------------------------------------------


@cache
def _densities() -> dict[str, tuple[str, Fraction]]:
    """Name → (its first name, grams in a millilitre)."""
    found = {}
    for line in DENSITIES.strip().splitlines():
        names, density = line.split(" = ")
        for name in names.split(", "):
            found[name] = names.split(", ")[-1 if names.startswith("flour") else 0], Fraction(density)
    return found


def _ingredient(lower: str) -> str:
    """The longest known ingredient that the text names, "" for none."""
    found = [name for name in _densities() if re.search(rf"\b{name}\b", lower)]
    return max(found, key=len, default="")


def _through_density(source: Quantity, target: Mention, ingredient: str) -> Outcome:
    density = _densities()[ingredient][1] * 1000
    for unit in source.units:
        for wanted in target.units:
            if (unit.dimension, wanted.dimension) == (_MASS, _VOLUME):
                result = source.value * unit.factor / density / wanted.factor
            elif (unit.dimension, wanted.dimension) == (_VOLUME, _MASS):
                result = source.value * unit.factor * density / wanted.factor
            else:
                continue
            told = (
                f"{_shown(source.value, unit)} of {ingredient} is about {_amount(result, 3)} {_word(result, wanted, 3)}"
            )
            data: dict[str, Json] = {
                **_data(source, unit, result, wanted, exact=False),
                "ingredient": ingredient,
                "grams_per_ml": float(density / 1000),
            }
            return Answer(f"{told} (at {float(density / 1000):g} g/ml, spooned and levelled).", Structured(data))
    return _not_mine()


# --- Comparing --------------------------------------------------------------------------------------------------------

_LESS = re.compile(
    r"\b(?:less|least|smaller|smallest|shorter|shortest|lighter|lightest|colder|cooler|coldest|slower|lower|fewer)\b"
)
_ADJECTIVES_WORDS = """
    more less longer shorter heavier lighter bigger smaller larger warmer colder hotter cooler faster slower higher
    lower taller greater further farther same equal identical compare versus vs or fewer wider deeper thicker
    biggest largest longest heaviest smallest
"""
_ADJECTIVES = frozenset(_ADJECTIVES_WORDS.split())


def _compare(text: str, quantities: Sequence[Quantity], intent: str) -> Outcome:
    one, other = quantities[:2]
    strange = [word for word in _strange(text.lower(), [q.span for q in quantities], "") if word not in _ADJECTIVES]
    if len(quantities) > 2 or len(strange) > (1 if intent == "compare" else 0):
        return _not_mine()
    pair = _pair(one, Mention(other.units, other.span))
    if pair is None:
        return _refuse(one, Mention(other.units, other.span), strange)
    sizes = [_si(one.value, pair[0]), _si(other.value, pair[1])]
    if inverse(*pair) and not compatible(*pair):
        return _not_mine()
    shown = [_shown_source(one, pair[0]), _shown_source(other, pair[1])]
    here = _from_si(sizes[1], pair[0])
    as_one = f"{shown[1]} {_sign(here, pair[0])} {_shown(here, pair[0])}"
    data: dict[str, Json] = {
        "topic": "compare",
        "values": [float(one.value), float(other.value)],
        "units": [pair[0].name, pair[1].name],
        "second_in_first": float(here),
        "more": "equal" if sizes[0] == sizes[1] else "first" if sizes[0] > sizes[1] else "second",
    }
    if sizes[0] == sizes[1]:
        return Answer(f"They are the same: {as_one}.", Structured(data))
    more = 0 if sizes[0] > sizes[1] else 1
    if _LESS.search(text.lower()):
        return Answer(f"{shown[1 - more]} is less than {shown[more]}: {as_one}.", Structured(data))
    return Answer(f"{shown[more]} is more than {shown[1 - more]}: {as_one}.", Structured(data))


# --- Reckoning and telling --------------------------------------------------------------------------------------------


def _si(value: Fraction, unit: Unit, *, difference: bool = False) -> Fraction:
    return (value + (0 if difference else unit.offset)) * unit.factor


def _from_si(value: Fraction, unit: Unit, *, difference: bool = False) -> Fraction:
    return value / unit.factor - (0 if difference else unit.offset)


def _reckon(value: Fraction, unit: Unit, wanted: Unit, *, difference: bool) -> Fraction:
    size = _si(value, unit, difference=difference)
    if unit.dimension == _TEMPERATURE and size < 0 and not difference:
        raise QueryError(
            f"{_shown(value, unit)} is below absolute zero ({_shown(_from_si(Fraction(0), unit), unit)}); "
            f"there is no such "
            "temperature",
            reason="BELOW_ABSOLUTE_ZERO",
        )
    if not compatible(unit, wanted):
        if not size:
            raise QueryError(f"0 {unit.plural} have no equivalent in {wanted.plural}", reason="DIVISION_BY_ZERO")
        size = 1 / size
    return _from_si(size, wanted, difference=difference)


def _told(source: Quantity, unit: Unit, wanted: Unit, note: str, *, difference: bool) -> Answer:
    result = _reckon(source.value, unit, wanted, difference=difference)
    data = _data(source, unit, result, wanted, exact=unit.exact and wanted.exact)
    low = ""
    if source.low is not None:
        lowest = _reckon(source.low, unit, wanted, difference=difference)
        data = {**data, "low": float(source.low), "result_low": float(lowest)}
        low = f"{_amount(lowest, _digits(wanted))} to "
    approximate = low or not (unit.exact and wanted.exact)
    sign = "≈" if approximate else _sign(result, wanted)
    text = f"{_shown_source(source, unit)} {sign} {low}{_shown(result, wanted)}"
    if (
        wanted.name == "foot"
        and unit.dimension == (1, 0, 0, 0, 0, 0)
        and result.denominator > 1
        and 1 <= result < 100
        and not low
    ):
        text += f" ({_shown_parts(_split(result, [wanted, unit_named('inch')], 1))})"
    return Answer(f"{text}{note}.", Structured(data))


def _mixed(source: Quantity, unit: Unit, units: Sequence[Unit]) -> Outcome:
    """In several units: whole numbers of all but the last."""
    ordered = sorted(dict.fromkeys(units), key=lambda each: -each.factor)
    if any(not compatible(unit, each) or each.offset for each in ordered):
        return _not_mine()
    result = _from_si(_si(source.value, unit), ordered[0])
    parts = _split(result, ordered, 2)
    exact = sum((value * part.factor for value, part in parts), Fraction(0)) == result * ordered[0].factor
    data: dict[str, Json] = {
        **_data(source, unit, result, ordered[0], exact=unit.exact),
        "parts": [{"value": float(value), "unit": part.name} for value, part in parts],
    }
    text = f"{_shown_source(source, unit)} {'=' if exact else '≈'} {_shown_parts(parts)}."
    return Answer(text, Structured(data))


def _split(value: Fraction, units: Sequence[Unit], decimals: int) -> list[tuple[Fraction, Unit]]:
    """value: in the first of `units`, the largest first; the last part is rounded."""
    rest = round(value * units[0].factor / units[-1].factor, decimals)
    sign, rest = (-1 if rest < 0 else 1), abs(rest)
    parts = []
    for unit in units[:-1]:
        whole = rest * units[-1].factor // unit.factor
        rest -= whole * unit.factor / units[-1].factor
        parts.append((Fraction(sign * whole), unit))
        sign = 1 if whole else sign
    return [*parts, (sign * rest, units[-1])]


def _data(source: Quantity, unit: Unit, result: Fraction, wanted: Unit, *, exact: bool) -> dict[str, Json]:
    return {
        "topic": "convert",
        "value": float(source.value),
        "unit": unit.name,
        "result": float(result),
        "result_unit": wanted.name,
        "decimal": _decimal(result),
        "exact": exact,
    }


def _decimal(value: Fraction) -> str:
    """Fifteen digits, all of it where that is enough."""
    return f"{Context(prec=15).divide(Decimal(value.numerator), Decimal(value.denominator)).normalize()}"


def _note(lower: str, pair: tuple[Unit, Unit], *, difference: bool) -> str:
    names = {pair[0].name, pair[1].name}
    notes = []
    if names & {"year", "decade", "century", "millennium", "month"}:
        notes.append("counting 365 days to a year")
    if "kilocalorie" in names and re.search(r"\bcalories?\b", lower) and "kilocalor" not in lower:
        notes.append("calories of food are kilocalories")
    if difference:
        notes.append("as a difference")
    return f" ({', '.join(notes)})" if notes else ""


def _sign(value: Fraction, unit: Unit) -> str:
    return "=" if _rounded(value, _digits(unit)) == value else "≈"


def _digits(unit: Unit) -> int:
    return 0 if unit.dimension == _TEMPERATURE else SHOWN_DIGITS


def _rounded(value: Fraction, digits: int) -> Fraction:
    """As it is told. digits: significant ones, 0 for so many decimals as temperatures have."""
    if value.denominator == 1 and abs(value) < 10**15:
        return value
    plain = Context(prec=30).divide(Decimal(value.numerator), Decimal(value.denominator))
    if Fraction(plain) == value and len(plain.normalize().as_tuple().digits) <= (7 if digits else 4):
        return value
    if not digits:
        return round(value, SHOWN_DECIMALS)
    # A whole part that is not too long is told whole.
    kept = max(digits, plain.adjusted() + 1 if plain.adjusted() < 9 and digits == SHOWN_DIGITS else 0)
    return Fraction(Context(prec=kept).plus(plain))


def _amount(value: Fraction, digits: int) -> str:
    rounded = _rounded(value, digits)
    plain = Context(prec=30).divide(Decimal(rounded.numerator), Decimal(rounded.denominator)).normalize()
    if plain and not -7 < plain.adjusted() < 15:
        exponent = plain.adjusted()
        return f"{_minus(plain.scaleb(-exponent).normalize())}×10^{exponent}"
    return _minus(plain)


def _minus(plain: Decimal) -> str:
    return f"{plain:,f}".replace("-", "−")


def _word(value: Fraction, unit: Unit, digits: int) -> str:
    return unit.name if abs(_rounded(value, digits)) == 1 else unit.plural


def _shown(value: Fraction, unit: Unit) -> str:
    return f"{_amount(value, _digits(unit))} {_word(value, unit, _digits(unit))}"


def _shown_source(source: Quantity, unit: Unit) -> str:
    if source.parts:
        return _shown_parts(source.parts)
    value = source.value
    plain = _amount(value, 12)
    if Fraction(plain.replace(",", "").replace("−", "-")) != value if "×" not in plain else False:
        plain = f"{value}" if value.denominator < 100 else plain
    low = f"{_amount(source.low, 12)} to " if source.low is not None else ""
    return f"{low}{plain} {unit.name if value == 1 and not low else unit.plural}"


def _shown_parts(parts: Sequence[tuple[Fraction, Unit]]) -> str:
    return " ".join(_shown(value, unit) for value, unit in parts)
