"""Numbers beside units, as exact fractions: "2,5", "5 1/2", "1e3", "10k", "two and a half", "minus ten".

What is said in words is read by `timex.numbers`. Digits are read here, since a letter after them may be a unit ("5m").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from .measure_units import CUES, Piece, named_at
from .timex.numbers import FRACTIONS, GROUPS, SCALES, TENS, UNITS, VULGAR, find_number

# Beyond these powers of ten nothing is reckoned: no quantity of this world needs them.
MAX_EXPONENT = 60


class OutOfRangeError(ValueError):
    """A number too large or too small to be reckoned with; the text is the number."""


NUMBER_WORDS = frozenset([*UNITS, *TENS, *GROUPS, "half", "hundred", "a", "an"])
_PARTS = {word: Fraction(value).limit_denominator(20) for word, value in FRACTIONS.items()}
_HALVES = {sign: Fraction(value).limit_denominator(20) for sign, value in VULGAR.items()} | {
    sign: Fraction(eighths, 8) for sign, eighths in (("⅛", 1), ("⅜", 3), ("⅝", 5), ("⅞", 7))
}
SIGNS = frozenset("-−–")
ARTICLES = frozenset(["a", "an"])
_AFTER_ARTICLE = frozenset(["few", "hundred", *FRACTIONS, *GROUPS, *SCALES])


def number_at(text: str, pieces: Sequence[Piece], at: int) -> tuple[int, Fraction] | None:
    """(index after it, value) of the number that begins at `at`: "2,5", "5 1/2", "two and a half", "minus ten", "1e3".

    Raises: OutOfRangeError.
    """
    if at >= len(pieces):
        return None
    word = pieces[at].text.lower()
    if word in ("minus", "negative") or (word in SIGNS and not _is_bound(pieces, at)):
        found = number_at(text, pieces, at + 1) if pieces[at + 1 : at + 2] and not _is_sign(pieces[at + 1]) else None
        return (found[0], -found[1]) if found else None
    if pieces[at].is_number:
        return _in_digits(pieces, at)
    if word in _HALVES:
        return at + 1, _HALVES[word]
    following = pieces[at + 1].text.lower() if at + 1 < len(pieces) else ""
    if word in _PARTS and following == "of":
        return at + 1, _PARTS[word]
    if word not in NUMBER_WORDS and word not in SCALES:
        return None
    if word in ARTICLES and following not in _AFTER_ARTICLE:
        return at + 1, Fraction(1)
    start = pieces[at].start
    spoken = find_number(text[start : start + 120].replace("-", " "))
    if spoken is None or spoken.span[0] != 0:
        return (at + 1, Fraction(1)) if word in ARTICLES else None
    end = at + 1
    while end < len(pieces) and pieces[end].end <= start + spoken.span[1]:
        end += 1
    return end, Fraction(spoken.value).limit_denominator(1000)


def _in_digits(pieces: Sequence[Piece], at: int) -> tuple[int, Fraction]:
    value, end = _value(pieces[at].text), at + 1

    def piece(offset: int) -> str:
        return pieces[end + offset].text.lower() if end + offset < len(pieces) else ""

    def ratio(offset: int) -> Fraction | None:
        """ "3/4" from there on."""
        over = piece(offset + 2)
        if not (_is_short(piece(offset)) and piece(offset + 1) == "/" and _is_short(over) and int(over)):
            return None
        return Fraction(int(piece(offset)), int(over))

    if piece(0) == "/" and _is_short(piece(1)) and int(piece(1)) and value.denominator == 1:
        return end + 2, value / int(piece(1))
    if piece(0) in _HALVES:
        return end + 1, value + _HALVES[piece(0)]
    if (part := ratio(0)) and part < 1:
        return end + 3, value + part
    if piece(0) in SIGNS and (part := ratio(1)) and part < 1:
        return end + 4, value + part
    if piece(0) == "k" and pieces[end].start == pieces[at].end and _counts_thousands(pieces, end + 1):
        return end + 1, value * 1000
    while piece(0) in SCALES and piece(0) != "mil":
        value, end = value * SCALES[piece(0)], end + 1
    if piece(0) == "hundred":
        value, end = value * 100, end + 1
    if piece(0) in ("dozen", "dozens"):
        return end + 1, value * 12
    if piece(0) == "and" and piece(1) in ("a", "one") and piece(2) in ("half", "quarter", "third"):
        return end + 3, value + _PARTS[piece(2)]
    return end, value


def _is_short(figures: str) -> bool:
    return figures.isascii() and figures.isdigit() and len(figures) < 5


def _counts_thousands(pieces: Sequence[Piece], at: int) -> bool:
    """Whether a unit follows the k: "10k miles"; in "10k in miles" it is one."""
    return at < len(pieces) and pieces[at].text.lower() not in CUES and named_at(pieces, at, "") is not None


def _value(digits: str) -> Fraction:
    plain = digits.lower().replace(" ", "")
    # A single comma before one or two digits is a decimal one; others part thousands.
    plain = plain.replace(",", ".") if re.fullmatch(r"\d+,\d{1,2}", plain) else plain.replace(",", "")
    mantissa, _, exponent = plain.partition("e")
    if len(mantissa) > MAX_EXPONENT or len(exponent) > 4 or abs(int(exponent or 0)) > MAX_EXPONENT:
        raise OutOfRangeError(digits if len(digits) <= 20 else f"{digits[:20]}…")
    return Fraction(plain)


def _is_sign(piece: Piece) -> bool:
    return piece.text in SIGNS or piece.text.lower() in ("minus", "negative")


def _is_bound(pieces: Sequence[Piece], at: int) -> bool:
    """Whether a dash ties what is before it to what follows: "68-ounce", "3 - 5 km"."""
    if at == 0:
        return False
    return pieces[at - 1].end == pieces[at].start or pieces[at - 1].is_number
