"""Units: names and symbols in a text → what they stand for, with dimension and exact factor.

A unit has a dimension, so that rates and powers ("km per ms", "cubic feet") need no entry of their own. Letters that
mean several units keep all of them; who asks decides. The table is `units_table`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise

from .units_table import ALSO, BY_REGION, TABLE

# What stands before a unit that is asked for.
CUES = frozenset(["in", "to", "into", "as"])
# Exponents of length, mass, time, temperature, data, angle.
Dimension = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """(value + offset) × factor is the value in the coherent SI unit; exact: whether the factor is a definition."""

    name: str
    plural: str
    dimension: Dimension
    factor: Fraction
    offset: Fraction = Fraction(0)
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    start: int
    end: int
    is_number: bool


_PIECE = re.compile(
    r"(?P<number>(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?: \d{3})+(?:\.\d+)?|"
    r"\d+,\d{1,2}(?=\s*[A-Za-z°])|\d+\.\d+|\d+|\.\d+)"
    r"(?!\d)(?:[eE][+-]?\d+)?)|(?:[A-Za-z]\.){2,}(?:[A-Za-z](?![A-Za-z]))?|[A-Za-z]{2,4}\.(?= ?[A-Za-z])|"
    r"[A-Za-zÀ-ÖØ-öø-ÿµμÅ]+|\S",
    re.ASCII,
)


def pieces_of(text: str) -> list[Piece]:
    """Words, numbers and signs; abbreviations ("k.g.") without their dots."""
    found = []
    for match in _PIECE.finditer(text):
        is_number = match["number"] is not None
        part = match.group() if is_number else match.group().replace(".", "") or "."
        found.append(Piece(part, match.start(), match.end(), is_number))
    return found


def region_of(locale: str) -> str:
    """The country of a locale: "GB" of "en-GB", "" of "en"."""
    parts = locale.replace("_", "-").split("-")
    return next((part.upper() for part in parts[1:] if len(part) == 2 and part.isalpha()), "")


def unit_named(name: str, region: str = "") -> Unit:
    """The unit that a name stands for. Raises: KeyError."""
    pieces = pieces_of(name)
    found = units_at(pieces, 0, region)
    if found is None or found[0] < len(pieces):
        raise KeyError(name)
    return found[1][0]


def compatible(one: Unit, other: Unit) -> bool:
    return one.dimension == other.dimension


def inverse(one: Unit, other: Unit) -> bool:
    """Litres per kilometre and kilometres per litre, minutes per kilometre and kilometres per hour."""
    return one.dimension == tuple(-exponent for exponent in other.dimension) and one.dimension in _INVERTIBLE


_INVERTIBLE = frozenset({(-2, 0, 0, 0, 0, 0), (2, 0, 0, 0, 0, 0), (1, 0, -1, 0, 0, 0), (-1, 0, 1, 0, 0, 0)})


def dimension_name(dimension: Dimension) -> str:
    """ "a length", "a speed"; "another kind of quantity" for one without a name."""
    name = _lexicon().dimensions.get(dimension)
    if name is None:
        return "another kind of quantity"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}" if name not in ("data", "time") else f"an amount of {name}"


# --- The lexicon -----------------------------------------------------------------------------------------------------

_PREFIXES = (
    ("tera", "T", 12), ("giga", "G", 9), ("mega", "M", 6), ("kilo", "k", 3), ("hecto", "h", 2), ("deca", "da", 1),
    ("deka", "", 1), ("deci", "d", -1), ("centi", "c", -2), ("milli", "m", -3), ("micro", "µ", -6), ("nano", "n", -9),
    ("pico", "p", -12),
)  # fmt: skip
_LONGEST = 6
_NO_UNIT = frozenset(["pm", "am", "as", "us", "M"])
_US = frozenset(["US", "LR", "MM"])
_BRITISH = frozenset(["GB", "UK", "IE"])


class _Lexicon:
    """names: in lower case, symbols: exactly as written → ids of units; regional: ids in the US, Britain, elsewhere."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.dimensions: dict[Dimension, str] = {}
        self._names: dict[str, list[str]] = {}
        self._symbols: dict[str, list[str]] = {}
        self._regional: dict[str, tuple[str, str, str]] = {}
        prefixed: list[tuple[Unit, list[str], list[str]]] = []
        dimension: Dimension = ()
        for line in TABLE.strip().splitlines():
            if line.startswith("["):
                name, *exponents = line.strip("[]").rsplit(" ", 6)
                dimension = tuple(int(exponent) for exponent in exponents)
                self.dimensions[dimension] = name
                continue
            spelled, rule = line.removeprefix("@").rsplit(" = ", 1)
            long, _, short = spelled.partition(" | ")
            unit = self._define(long.split(", ")[0], rule, dimension)
            names, symbols = long.split(", "), [symbol for symbol in short.split(", ") if symbol]
            self._enter(unit.name, names, symbols)
            if line.startswith("@"):
                prefixed.append((unit, names, symbols))
        for unit, names, symbols in prefixed:
            self._prefix(unit, names, symbols)
        for line in BY_REGION.strip().splitlines():
            long, rule = line.split(" = ")
            us, british, elsewhere = rule.split(", ")
            for name in long.split(", "):
                for form in _forms(name):
                    self._regional[_key(form).lower()] = (us, british, elsewhere)
        self._also = {
            _key(letters): others.split(", ")
            for letters, _, others in (line.partition(" = ") for line in ALSO.strip().splitlines())
        }
        self._folded = {key.lower(): ids for key, ids in reversed(self._symbols.items())}

    def find(self, key: str, region: str) -> tuple[Unit, ...]:
        """What the letters may mean, the likeliest first. Raises: KeyError where they are no unit."""
        if key in _NO_UNIT:
            raise KeyError(key)
        ids = self._symbols.get(key)
        lower = key.lower()
        if ids is None and lower in self._regional:
            ids = [self._regional[lower][0 if region in _US else 1 if region in _BRITISH else 2]]
            if region == "AU" and ids == ["metric tablespoon"]:
                ids = ["Australian tablespoon"]
        ids = list(ids or self._names.get(lower) or self._folded[lower])
        for other in self._also.get(lower.removesuffix("s") if lower not in self._also else lower, ()):
            regional = self._regional.get(other)
            ids.append(regional[0 if region in _US else 1 if region in _BRITISH else 2] if regional else other)
        return tuple(self.units[name] for name in dict.fromkeys(ids))

    def _define(self, name: str, rule: str, dimension: Dimension) -> Unit:
        singular, _, plural = name.partition("/")
        if singular in self.units:
            return self.units[singular]
        factor, _, offset = rule.lstrip("~").partition(" + ")
        unit = Unit(
            singular, plural or f"{singular}s", dimension, _reckon(factor), Fraction(offset or 0), rule[0] != "~"
        )
        self.units[singular] = unit
        return unit

    def _enter(self, unit: str, names: Sequence[str], symbols: Sequence[str]) -> None:
        for name in names:
            for form in _forms(name):
                self._names.setdefault(_key(form).lower(), [unit])
        for symbol in symbols:
            self._symbols.setdefault(_key(symbol), [unit])

    def _prefix(self, unit: Unit, names: Sequence[str], symbols: Sequence[str]) -> None:
        for prefix, letter, power in _PREFIXES:
            long = [f"{prefix}{form}" for name in names if len(name) > 2 and " " not in name for form in [name]]
            made = f"{prefix if prefix != 'deka' else 'deca'}{unit.name}"
            if made not in self.units:
                plural = made if unit.plural == unit.name else f"{made}s"
                factor = unit.factor * Fraction(10) ** power
                self.units[made] = Unit(made, plural, unit.dimension, factor, exact=unit.exact)
            short = [
                f"{each}{symbol}" for symbol in symbols for each in ((letter, "μ", "u") if power == -6 else (letter,))
            ]
            self._enter(made, long, [symbol for symbol in short if letter and symbol not in _NO_UNIT])


@cache
def _lexicon() -> _Lexicon:
    return _Lexicon()


def _forms(name: str) -> list[str]:
    """Singular and plural."""
    singular, _, plural = name.partition("/")
    return [singular, plural or f"{singular}s"]


def _key(name: str) -> str:
    return " ".join(piece.text for piece in pieces_of(name))


def _reckon(rule: str) -> Fraction:
    value = Fraction(1)
    for sign, number in re.findall(r"([*/]?)([^*/]+)", rule):
        value = value / Fraction(number) if sign == "/" else value * Fraction(number)
    return value


# --- Units in the text -----------------------------------------------------------------------------------------------

_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "²": 2, "cubed": 3, "³": 3}


def units_at(pieces: Sequence[Piece], at: int, region: str) -> tuple[int, tuple[Unit, ...]] | None:
    """(index after it, what it may mean) of the unit that begins at `at`, the longest one."""
    found = _factor_at(pieces, at, region)
    if found is None:
        return None
    end, units = found
    if end + 1 < len(pieces) and pieces[end].text in ("per", "/"):
        below = _factor_at(pieces, end + 1, region)
        if below is not None:
            return below[0], (_per(units[0], below[1][0]),)
    return end, units


def _factor_at(pieces: Sequence[Piece], at: int, region: str) -> tuple[int, tuple[Unit, ...]] | None:
    if at >= len(pieces):
        return None
    power = _POWERS.get(pieces[at].text.lower())
    named = named_at(pieces, at, region)
    if power is not None and named is None:
        base = named_at(pieces, at + 1, region)
        if base is None or base[1][0].dimension != (1, 0, 0, 0, 0, 0):
            return None
        return base[0], (_raised(base[1][0], power),)
    if named is None:
        return None
    end, units = named
    if units[0].dimension == (1, 0, 0, 0, 0, 0) and end < len(pieces):
        power, after = _AFTER.get(pieces[end].text.lower()), end + 1
        joined = pieces[end].start == pieces[end - 1].end
        if power is None and joined and pieces[end].text == "^" and end + 1 < len(pieces):
            power, after = {"2": 2, "3": 3}.get(pieces[end + 1].text), end + 2
        elif power is None and joined and pieces[end - 1].text.isalpha() and _stands_alone(pieces, end):
            power = {"2": 2, "3": 3}.get(pieces[end].text)
        if power is not None:
            return after, (_raised(units[0], power),)
    return end, units


def named_at(pieces: Sequence[Piece], at: int, region: str) -> tuple[int, tuple[Unit, ...]] | None:
    lexicon = _lexicon()
    for end in range(min(at + _LONGEST, len(pieces)), at, -1):
        part = pieces[at:end]
        # "m2" is one unit, "m 2" is not; in "l/100 km" the number is a part of the name.
        if any(
            piece.is_number and piece.text != "100" and piece.start != before.end for before, piece in pairwise(part)
        ) or (part[-1].is_number and not _stands_alone(pieces, end - 1) and part[-1].text != "100"):
            continue
        try:
            return end, lexicon.find(" ".join(piece.text for piece in part), region)
        except KeyError:
            continue
    return None


def _stands_alone(pieces: Sequence[Piece], at: int) -> bool:
    return at + 1 >= len(pieces) or pieces[at + 1].start > pieces[at].end or not pieces[at + 1].text[0].isalnum()


def _raised(unit: Unit, power: int) -> Unit:
    word = "square" if power == 2 else "cubic"
    dimension = tuple(exponent * power for exponent in unit.dimension)
    return Unit(f"{word} {unit.name}", f"{word} {unit.plural}", dimension, unit.factor**power, exact=unit.exact)


def _per(above: Unit, below: Unit) -> Unit:
    dimension = tuple(one - other for one, other in zip(above.dimension, below.dimension, strict=True))
    exact = above.exact and below.exact
    name = f"{above.name} per {below.name}"
    return Unit(name, f"{above.plural} per {below.name}", dimension, above.factor / below.factor, exact=exact)
