"""Numbers in digits and in words, cardinal and ordinal: "two hundred and five", "1,200.5", "twenty-first".

Knows nothing about time. Indian units (lakh, crore) count too.
"""

from __future__ import annotations

import re
from typing import NamedTuple

UNITS = {
    "zero": 0, "nought": 0, "naught": 0, "nil": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
SCALES = {
    "thousand": 10**3, "thousands": 10**3, "lakh": 10**5, "lakhs": 10**5, "lac": 10**5, "lacs": 10**5, "lkh": 10**5,
    "million": 10**6, "millions": 10**6, "mil": 10**6, "crore": 10**7, "crores": 10**7, "cr": 10**7,
    "koti": 10**7, "krore": 10**7, "krores": 10**7,
    "billion": 10**9, "billions": 10**9, "trillion": 10**12, "trillions": 10**12,
}  # fmt: skip
ORDINALS = {
    "zeroth": 0, "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "twelveth": 12, "thirteenth": 13, "fourteenth": 14,
    "fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20,
    "thirtieth": 30, "fortieth": 40, "fiftieth": 50, "sixtieth": 60, "seventieth": 70, "eightieth": 80,
    "ninetieth": 90, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
# Words for a few: (value, whether "of" may follow).
GROUPS = {"couple": 2, "pair": 2, "dozen": 12, "dozens": 12, "score": 20}
FRACTIONS = {"half": 0.5, "halves": 0.5, "quarter": 0.25, "quarters": 0.25, "third": 1 / 3, "thirds": 1 / 3,
             "fifth": 0.2, "fifths": 0.2, "tenth": 0.1, "tenths": 0.1}  # fmt: skip
VULGAR = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3}
_SUFFIXES = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_DIGITS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d])|\d+(?:\.\d+)?(?!\d)|\.\d+", re.ASCII)
_WORD = re.compile(r"[a-z]+")
_MAX_DIGITS = 30
_MAX_CHARACTERS = 4000


_FIGURES = "0123456789"


class Number(NamedTuple):
    """value: int where it is whole, else float; span: in the text."""

    value: int | float
    span: tuple[int, int]


def cardinal(words: list[str], at: int) -> tuple[int, int] | None:
    """The longest cardinal in words that begins at index `at`: (value, index after it). Hyphens count as words."""
    total, last_scale, position = 0, 10**18, at
    while True:
        group = _below_thousand(words, position)
        if group is None:
            break
        value, end = group
        scale = SCALES.get(words[end]) if end < len(words) else None
        if scale is not None and scale < last_scale:
            total, last_scale, position = total + value * scale, scale, end + 1
            # "two hundred thousand million" is no number of this world, "three crore twelve lakh" is.
            follow = _skip(words, position)
            if _below_thousand(words, follow) is None:
                return total, position
            position = follow
            continue
        if last_scale < 10**18 and value >= last_scale:
            break
        return total + value, end
    return (total, _unskip(words, position)) if position > at else None


def ordinal(words: list[str], at: int) -> tuple[int, int] | None:
    """The ordinal in words that begins at index `at`: "third", "twenty-first", "hundred and fifth"."""
    plain = ORDINALS.get(words[at])
    if plain is not None:
        return plain, at + 1
    tens = TENS.get(words[at])
    if tens is None:
        return None
    follow = at + 2 if at + 1 < len(words) and words[at + 1] == "-" else at + 1
    unit = ORDINALS.get(words[follow]) if follow < len(words) else None
    return (tens + unit, follow + 1) if unit is not None and 1 <= unit <= 9 else None


def find_number(text: str, start: int = 0) -> Number | None:
    """The first number at or after `start`, in digits or in words: "two hundred and five", "3.5", "1,200", "minus ten",
    "two and a half", "a dozen", "1/2", "100k". The 4,000 characters from `start` on are looked at."""
    part = text[start : start + _MAX_CHARACTERS]
    # A few letters grow in lower case; the places must stay those of the given text.
    lowered = part.lower() if len(part.lower()) == len(part) else part
    pieces = [(m.group(), start + m.start(), start + m.end()) for m in _PIECE.finditer(lowered)]
    words = [piece[0] for piece in pieces]
    for index in range(len(pieces)):
        found = _number_at(words, index, pieces)
        if found is not None:
            value, end, first = found
            whole = int(value) if float(value).is_integer() and abs(value) < 10**_MAX_DIGITS else value
            return Number(whole, (pieces[first][1], pieces[end - 1][2]))
    return None


_PIECE = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d*\.\d+|\d+|[a-z]+|\S", re.ASCII)


def _number_at(words: list[str], at: int, pieces: list[tuple[str, int, int]]) -> tuple[float, int, int] | None:
    """(value, index after it, index of its first piece)"""
    sign, index = 1, at
    if words[at] in ("minus", "negative") or (words[at] in "-−" and (at == 0 or pieces[at - 1][2] < pieces[at][1])):
        sign, index = -1, at + 1
        if index >= len(words) or (words[at] in "-−" and pieces[at][2] != pieces[index][1]):
            return None
    found = _unsigned(words, index, pieces)
    if found is None:
        return None
    value, end = found
    return sign * value, end, at


def _unsigned(words: list[str], at: int, pieces: list[tuple[str, int, int]]) -> tuple[float, int] | None:
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word[0] in _FIGURES or (word[0] == "." and len(word) > 1):
        if len(word) > 300:
            return None
        value: float = float(word.replace(",", "")) if "." in word else int(word.replace(",", ""))
        end = at + 1
        joined = end < len(words) and pieces[end][1] == pieces[at][2]
        if joined and following in _SUFFIXES:
            return value * _SUFFIXES[following], end + 1
        if joined and following == "/" and end + 1 < len(words) and _is_figure(words[end + 1]) and int(words[end + 1]):
            return value / int(words[end + 1]), end + 2
        if following in SCALES and not joined:
            value, end = value * SCALES[following], end + 1
            rest = cardinal(words, end) if end < len(words) else None
            if rest is not None and rest[0] < SCALES[following]:
                value, end = value + rest[0], rest[1]
        if following in ("dozen", "dozens"):
            return value * 12, end + 1
        if following == "point" and end + 1 < len(words) and _is_figure(words[end + 1]):
            return float(f"{word}.{words[end + 1]}"), end + 2
        return _with_fraction(words, value, end)
    if word in VULGAR:
        return VULGAR[word], at + 1
    if word == "point" and _is_figure(following):
        return float(f"0.{following}"), at + 2
    if word in ("a", "an"):
        if following in GROUPS:
            return GROUPS[following], at + 2
        if following == "few":
            return 3, at + 2
        if following in FRACTIONS and following not in ("second", "third", "fifth", "tenth"):
            return FRACTIONS[following], at + 2
        if following in ("hundred", *SCALES):
            return cardinal(words, at) or None
        return None
    if word == "half":
        return 0.5, at + 1
    found = cardinal(words, at)
    if found is None:
        return None
    number, end = found
    if end < len(words) and words[end] in ("dozen", "dozens"):
        return number * 12, end + 1
    if end < len(words) and words[end] in FRACTIONS and words[end] not in ("second",) and number < 20:
        return number * FRACTIONS[words[end]], end + 1
    if end + 1 < len(words) and words[end] == "point":
        digits = ""
        position = end + 1
        while position < len(words) and (words[position] in UNITS or words[position] in ("oh", "o")):
            spoken = UNITS.get(words[position], 0)
            digits += str(spoken)
            position += 1
        if digits:
            return float(f"{number}.{digits}"), position
    # "one twenty two" and "nine eleven", as numbers are read out.
    if number < 10 and end == at + 1 and end < len(words) and words[end] in TENS:
        rest = cardinal(words, end)
        if rest is not None and rest[0] < 100:
            return number * 100 + rest[0], rest[1]
    return _with_fraction(words, number, end)


def _with_fraction(words: list[str], value: float, end: int) -> tuple[float, int]:
    """value, or value and a half, and three quarters, ½."""
    if end < len(words) and words[end] in VULGAR:
        return value + VULGAR[words[end]], end + 1
    if end + 2 < len(words) and words[end] == "and":
        if words[end + 1] in ("a", "an", "one") and words[end + 2] in ("half", "quarter", "third"):
            return value + FRACTIONS[words[end + 2]], end + 3
        if words[end + 1] in ("two", "three") and words[end + 2] in ("quarters", "thirds", "quarter"):
            return value + UNITS[words[end + 1]] * FRACTIONS[words[end + 2]], end + 3
    return value, end


def _below_thousand(words: list[str], at: int) -> tuple[int, int] | None:
    if at >= len(words):
        return None
    if words[at] in ("a", "an") and at + 1 < len(words) and words[at + 1] in ("hundred", *SCALES):
        value, end = 1, at + 1
    elif words[at] == "hundred":
        value, end = 1, at
    elif (
        _is_figure(words[at]) and len(words[at]) <= 3 and at + 1 < len(words) and words[at + 1] in ("hundred", *SCALES)
    ):
        value, end = int(words[at]), at + 1
    else:
        small = _below_hundred(words, at)
        if small is None:
            return None
        value, end = small
    if end < len(words) and words[end] in ("hundred", "hundreds"):
        value, end = value * 100, end + 1
        rest = _below_hundred(words, _skip(words, end))
        if rest is not None:
            return value + rest[0], rest[1]
    return value, end


def _below_hundred(words: list[str], at: int) -> tuple[int, int] | None:
    if at >= len(words):
        return None
    if words[at] in UNITS:
        return UNITS[words[at]], at + 1
    tens = TENS.get(words[at])
    if tens is None:
        return None
    follow = at + 2 if at + 1 < len(words) and words[at + 1] == "-" else at + 1
    unit = UNITS.get(words[follow], 0) if follow < len(words) else 0
    return (tens + unit, follow + 1) if 1 <= unit <= 9 else (tens, at + 1)


def _skip(words: list[str], at: int) -> int:
    return at + 1 if at < len(words) and words[at] in ("and", ",", "-") else at


def _unskip(words: list[str], at: int) -> int:
    return at - 1 if words[at - 1] in ("and", ",", "-") else at


def _is_figure(word: str) -> bool:
    return word.isascii() and word.isdigit()
