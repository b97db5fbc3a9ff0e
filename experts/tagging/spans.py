"""A span of a text and its type; which of two that overlap stands; the text without what was found.

Offsets count Unicode code points. Knows nothing of how a span was found.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Evidence(IntEnum):
    """Why a span is believed, strongest first.

    PROVED: a checksum holds, or the form is one that nothing else has (an issuer's prefix, an e-mail address).
    LEARNED: a model weighed the words around it. PATTERN: it looks like one.
    """

    PROVED = 0
    LEARNED = 1
    PATTERN = 2


@dataclass(frozen=True, slots=True)
class Span:
    """text[start:end] is of `type`. score: in 0…1, how sure."""

    start: int
    end: int
    type: str
    score: float
    evidence: Evidence


def resolve(spans: Iterable[Span]) -> list[Span]:
    """Those that stand, in the order of the text, none overlapping another.

    Of two that overlap the better evidence stands; then the longer; then the surer; then the earlier.
    """
    starts: list[int] = []
    standing: list[Span] = []
    for span in sorted(spans, key=_precedence):
        place = bisect_right(starts, span.start)
        free_before = place == 0 or standing[place - 1].end <= span.start
        free_after = place == len(starts) or span.end <= starts[place]
        if free_before and free_after:
            starts.insert(place, span.start)
            standing.insert(place, span)
    return standing


def _precedence(span: Span) -> tuple[int, int, float, int, str]:
    return span.evidence, span.start - span.end, -span.score, span.start, span.type


def redact(text: str, spans: Sequence[Span]) -> str:
    """The text with [TYPE] in the place of every span. spans: as `resolve` gives them."""
    parts = []
    done = 0
    for span in spans:
        parts += [text[done : span.start], f"[{span.type.upper()}]"]
        done = span.end
    return "".join([*parts, text[done:]])


def mask(value: str) -> str:
    """Enough of it to know it again, too little to use it: the last digits of a number, else how it begins; at most a
    quarter of it, and four characters."""
    value = " ".join(value.split())
    if sum(letter.isdigit() for letter in value) * 2 > len(value):
        digits = "".join(letter for letter in value if letter.isalnum())
        return f"…{digits[-min(4, len(digits) // 4) :]}" if len(digits) >= 4 else "…"
    return f"{value[: 4 if len(value) >= 20 else 1]}…"
