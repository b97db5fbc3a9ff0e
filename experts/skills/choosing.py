"""Which lines of a listing a sentence points at: "the second one", "notes 2 and 4", "the last three", "both", "it".

Knows neither notes nor lists; whoever made the listing knows its lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")

_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10,
}  # fmt: skip
_CARDINALS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "couple": 2,
}  # fmt: skip
_NTH = rf"(?:{'|'.join(_ORDINALS)}|\d{{1,3}}(?:st|nd|rd|th))"
_COUNT = rf"(?:\d{{1,3}}|{'|'.join(_CARDINALS)})"
_AND = r"(?:,? and |, ?| & | or )"
_LATEST = r"(?:last|latest|newest|most recent|recent)"
_PURE = re.compile(
    r"^(?:(?:the|my|numbers?|no|notes?|items?|tasks?|things?|entr(?:y|ies)|both|all|of|them|it|that|this|those|these|"
    r"ones?|please|"
    rf"and|{_LATEST}|{_NTH}|{_COUNT})\b[ ,.]*|#)+$"
)
_POINTS = re.compile(rf"\b(?:both|all|them|it|that|this|those|these|one|ones|{_LATEST}|{_NTH}|{_COUNT})\b")


@dataclass(frozen=True, slots=True)
class Choice:
    """places: from 1, in the order that they were named. last: so many of the last ones; every: "both", "all of them".
    that: "it", "that one", "those": what was spoken of last."""

    places: tuple[int, ...] = ()
    last: int = 0
    every: bool = False
    that: bool = False

    def __bool__(self) -> bool:
        return bool(self.places or self.last or self.every or self.that)

    def among(self, shown: Sequence[_T]) -> list[_T]:
        """The chosen lines of those that were shown; places that there are not are left out."""
        if self.places:
            return [shown[place - 1] for place in self.places if 0 < place <= len(shown)]
        if self.last:
            return list(shown[-self.last :])
        return list(shown) if self.every or self.that else []


def find_choice(plain: str, noun: str) -> Choice:
    """plain: the sentence in lower case. noun: a pattern of what the lines are called, "notes?"."""
    thing = rf"(?:{noun}|ones?|entr(?:y|ies)|lines?|points?)"
    pure = is_choice(plain)
    numbered = re.search(
        rf"(?:\b{noun}|\bnumbers?|\bno\.?|#) ?(?P<all>{_COUNT}(?:{_AND}(?:number )?{_COUNT})*)(?! {thing})\b", plain
    )
    if numbered and not re.search(rf"\b{noun} one$", plain):
        return Choice(tuple(_value(word) for word in re.findall(rf"\b{_COUNT}\b", numbered["all"])))
    if some := re.search(rf"\b(?P<count>{_COUNT}) {_LATEST} {thing}\b|\b{_LATEST} (?P<more>{_COUNT})\b", plain):
        return Choice(last=_value(some["count"] or some["more"]))
    if first := re.search(rf"\bfirst (?P<count>{_COUNT})\b(?! of)", plain):
        return Choice(tuple(range(1, _value(first["count"]) + 1)))
    if named := re.search(rf"\b(?P<all>{_NTH}(?:{_AND}(?:the )?{_NTH})*)(?: {thing}\b|$| (?:on|from|off|in) )", plain):
        return Choice(tuple(_value(word) for word in re.findall(rf"\b{_NTH}\b", named["all"])))
    if re.search(
        rf"\b{_LATEST} (?:\w+ )?{thing}\b|\bjust (?:made|wrote|took|added|noted)\b|\b(?:thing|"
        rf"what) i (?:last )?(?:wrote|noted)(?: down)? last\b",
        plain,
    ):
        return Choice(last=1)
    if re.search(r"\blast thing i\b", plain) or (pure and re.search(rf"\b{_LATEST}\b", plain)):
        return Choice(last=1)
    if re.search(r"\bboth(?: of (?:them|those))?$|\b(?:both|all) of (?:them|those|these)\b", plain) or (
        pure and re.search(r"\b(?:both|all)\b", plain)
    ):
        return Choice(every=True)
    if pure and (counts := re.findall(rf"\b{_COUNT}\b", plain)):
        return Choice(tuple(_value(word) for word in counts))
    if re.search(rf"\b(?:that|this|those|these) {thing}\b|\b(?:it|them|those|these)\b|\b(?:that|this)$", plain):
        return Choice(that=True)
    return Choice()


def is_choice(plain: str) -> bool:
    """Whether it is nothing but an answer to "which one?": "the second one please", "2", "both"."""
    return 0 < len(plain) <= 60 and _PURE.match(plain) is not None and _POINTS.search(plain) is not None


def is_number(words: str) -> bool:
    """Whether it is a bare number, which counts things as often as it points at one."""
    return re.fullmatch(_COUNT, words.strip().lower()) is not None


def _value(word: str) -> int:
    if word in _ORDINALS:
        return _ORDINALS[word]
    if word in _CARDINALS:
        return _CARDINALS[word]
    return int(re.sub(r"\D", "", word))
