"""Quantities in a text: "5 foot 11", "seventy two fahrenheit", "1/2 cup", "6.5 l/100km" → exact values and their units.

Numbers are fractions, never floats. Knows no questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .measure_numbers import ARTICLES, NUMBER_WORDS, SIGNS, number_at
from .measure_units import CUES, Piece, Unit, compatible, pieces_of, unit_named, units_at

MAX_QUANTITIES = 8


@dataclass(frozen=True, slots=True)
class Quantity:
    """units: what its letters may mean, the likeliest first; values are in these. low: the lower end of a range.
    parts: of "5 foot 11", as they were said; `value` is then in the last one's unit. span: in the text; said: whether
    a number was there at all."""

    value: Fraction
    units: tuple[Unit, ...]
    span: tuple[int, int]
    low: Fraction | None = None
    parts: tuple[tuple[Fraction, Unit], ...] = ()
    said: bool = True


@dataclass(frozen=True, slots=True)
class Mention:
    """A unit without a number."""

    units: tuple[Unit, ...]
    span: tuple[int, int]


# What a number without a unit counts after these: "5 foot 11", "11 stone 6".
_SMALLER = {
    "foot": "inch",
    "stone": "pound",
    "pound": "ounce",
    "hour": "minute",
    "minute": "second",
    "metre": "centimetre",
}
# Of these the next number may follow without a space: "2h30", "6ft2", 5'11.
_JOINED = frozenset(["hour", "foot", "minute"])
_BETWEEN = frozenset(["of", "a", "an", "the", "full", "whole", "level", "heaped", "about"])
_OPENING = {"[": "]", "<": ">", "(": ")"}
_RANGE = frozenset([*SIGNS, "—", "to", "or", "and"])
_SCALES_ALONE = frozenset(["c", "f", "k"])
_AFTER_SCALE_WORDS = """
    and or is are be equals of than vs versus what how please for from at on right convert flour sugar butter milk rice
"""
_AFTER_SCALE = CUES | frozenset(_AFTER_SCALE_WORDS.split())
_COMPOUND = frozenset(
    [
        (1, 0, 0, 0, 0, 0),
        (0, 1, 0, 0, 0, 0),
        (0, 0, 1, 0, 0, 0),
        (3, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 1, 0),
    ]
)


def find_quantities(text: str, region: str = "") -> tuple[list[Quantity], list[Mention]]:
    """The quantities of a text, and its units without a number, each in order. At most eight quantities are read.

    Raises: OutOfRangeError for a number beyond ±60 powers of ten.
    """
    pieces = pieces_of(text)
    quantities: list[Quantity] = []
    mentions: list[Mention] = []
    at = 0
    while at < len(pieces) and len(quantities) < MAX_QUANTITIES:
        found = _quantity_at(text, pieces, at, region)
        if found is not None:
            at, quantity = found
            quantities.append(quantity)
            continue
        unit = units_at(pieces, at, region) if _may_be_unit(pieces, at) else None
        if unit is not None:
            mentions.append(Mention(unit[1], (pieces[at].start, pieces[unit[0] - 1].end)))
            at = unit[0]
        else:
            at += 1
    return quantities, mentions


def _may_be_unit(pieces: Sequence[Piece], at: int) -> bool:
    """Short words and signs are units beside a number or after "in" and "to" alone."""
    word = pieces[at].text
    if pieces[at].is_number or word.lower() in ("in", "as", "are", "second", "hand", "hands", "stick", "point", "turn"):
        return at > 0 and pieces[at - 1].text.lower() in CUES and word.lower() not in ("in", "as", "are")
    if at > 0 and pieces[at - 1].is_number and pieces[at - 1].end == pieces[at].start:
        return False
    if len(word) == 1 and word.isalpha():
        return at > 0 and pieces[at - 1].text.lower() in (*CUES, "many", "and", "degrees")
    return word[0].isalpha() or word in "°º℃℉"


def _quantity_at(text: str, pieces: Sequence[Piece], at: int, region: str) -> tuple[int, Quantity] | None:
    if pieces[at].is_number and (_is_of_name(pieces, at) or (at > 0 and pieces[at - 1].text in "$€£¥₹")):
        return None
    number = number_at(text, pieces, at)
    if number is None:
        return None
    end, value = number
    low: Fraction | None = None
    unit = _unit_after(pieces, end, region)
    if unit is None or (unit[1][0].name == "inch" and pieces[end].text.lower() == "in" and not unit[2]):
        # "3-5 km", "from 2 to 7 g": the unit comes with the second number.
        upper = number_at(text, pieces, end + 1) if end < len(pieces) and pieces[end].text.lower() in _RANGE else None
        if upper is None or pieces[at].text.lower() in ARTICLES:
            return None
        low, (end, value) = value, upper
        unit = _unit_after(pieces, end, region)
        if unit is None:
            return None
    end, units, _ = unit
    parts = [(value, units[0])]
    last = pieces[at].text.lower() in ARTICLES
    while len(parts) < 4 and low is None:
        more = _next_part(text, pieces, end, parts[-1][1], region)
        if more is None:
            break
        end, added, smaller = more
        value = value * parts[-1][1].factor / smaller.factor + added
        parts.append((added, smaller))
        units = (smaller,)
    if low is None and len(parts) == 1:
        # "3 km to 5 km", "3km-5km": the same unit twice is one range.
        upper_at = end + 1 if end < len(pieces) and pieces[end].text in SIGNS else len(pieces)
        upper = number_at(text, pieces, upper_at)
        second = _unit_after(pieces, upper[0], region) if upper else None
        if upper and second and second[1][0] == units[0]:
            low, value, end = value, upper[1], second[0]
    span = (pieces[at].start, pieces[end - 1].end)
    return end, Quantity(value, units, span, low, tuple(parts) if len(parts) > 1 else (), not last)


def _is_of_name(pieces: Sequence[Piece], at: int) -> bool:
    """ "scp173m" and "scp-173m" are names."""
    before = at - 1
    if before > 0 and pieces[before].text in SIGNS and pieces[before].end == pieces[at].start:
        at, before = before, before - 1
    return before >= 0 and pieces[before].end == pieces[at].start and pieces[before].text[-1].isalpha()


def _unit_after(pieces: Sequence[Piece], at: int, region: str) -> tuple[int, tuple[Unit, ...], bool] | None:
    """(index after it, what it may mean, whether it surely is one) of the unit that a number before `at` counts."""
    for _ in range(3):
        if at < len(pieces) and (pieces[at].text.lower() in _BETWEEN or _joins(pieces, at)):
            at += 1
    if at >= len(pieces):
        return None
    closing = _OPENING.get(pieces[at].text)
    found = units_at(pieces, at + bool(closing), region)
    if found is None:
        return None
    end, units = found
    if closing:
        if end >= len(pieces) or pieces[end].text != closing:
            return None
        return end + 1, units, True
    if pieces[end - 1].end < (pieces[end].start if end < len(pieces) else 0) or end >= len(pieces):
        joined = False
    else:
        joined = pieces[end].text[0].isalnum() and not (pieces[end].is_number and units[0].name in _JOINED)
    if joined:
        return None
    if (
        end == at + 1
        and pieces[at].text.lower() in _SCALES_ALONE
        and end < len(pieces)
        and not _may_follow(pieces, end)
    ):
        return None
    if pieces[at].text.lower() != "in" or end != at + 1:
        return end, units, True
    # "in" is an inch where it ends the phrase, or another "in" or "to" follows.
    following = pieces[end].text.lower() if end < len(pieces) else ""
    sure = not following or following in CUES or not following[0].isalpha() or following in ("and", "or", "x", "by")
    return (end, units, True) if sure else None


def _may_follow(pieces: Sequence[Piece], at: int) -> bool:
    """Whether "72 f" can end there: "a 13F filing", "800,000 F-Series" and "14.7C/" are no temperatures."""
    following = pieces[at]
    if following.text[0].isalpha():
        return following.text.lower() in _AFTER_SCALE or bool(NUMBER_WORDS & {following.text.lower()})
    return following.start > pieces[at - 1].end or following.text in ".,;:?!)=→\"'"


def _joins(pieces: Sequence[Piece], at: int) -> bool:
    """The dash of "68-ounce"."""
    return pieces[at].text in SIGNS and at > 0 and pieces[at - 1].end == pieces[at].start


def _next_part(
    text: str, pieces: Sequence[Piece], at: int, larger: Unit, region: str
) -> tuple[int, Fraction, Unit] | None:
    """(index after it, value, unit) of what follows in "3 lb 4 oz", "7 feet, 10 inches", "2 hours and 5 minutes"."""
    if larger.dimension not in _COMPOUND:
        return None
    if at + 1 < len(pieces) and pieces[at].text == "." and pieces[at + 1].is_number:
        # "5 lb. 4 oz".
        at += 1
    if at < len(pieces) and pieces[at].text in (",", "and", "&"):
        at += 1
        if at < len(pieces) and pieces[at].text == "and":
            at += 1
    elif at < len(pieces) and not (pieces[at].is_number or pieces[at].text.lower() in NUMBER_WORDS):
        return None
    number = number_at(text, pieces, at)
    if number is None or number[1] < 0:
        return None
    end, value = number
    unit = _unit_after(pieces, end, region)
    if unit is not None:
        for candidate in unit[1]:
            if compatible(candidate, larger) and candidate.factor < larger.factor and not larger.offset:
                return unit[0], value, candidate
        if pieces[end].text.lower() not in CUES:
            return None
    smaller = _SMALLER.get(larger.name)
    if smaller is None or pieces[at].text.lower() in ARTICLES or pieces[at - 1].text in (",", "and", "&"):
        return None
    if value * unit_named(smaller).factor >= larger.factor:
        return None
    if end < len(pieces) and pieces[end].text.lower() in ("-", "/", ":"):
        return None
    return end, value, unit_named(smaller)
