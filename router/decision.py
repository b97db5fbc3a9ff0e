"""What the router says: a decision, and everything that it rests on. Values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Intent:
    """Example sentences that an expert owns."""

    expert: str
    name: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    expert: str
    intent: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A sentence that an expert owns, and its cosine to the request."""

    expert: str
    intent: str
    sentence: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Decision:
    """expert, intent: the best candidate, also where the verdict is "titan"; "" where there is none.

    confidence: calibrated probability that the request is in scope and that this expert and intent are right.
    alternatives: likeliest first, without the best: the conformal set, which holds the right one for 99 % of the
    requests that are in scope; where the verdict is "clarify", the best of each other expert that is close. reason: in
    words. neighbours: the nearest sentence. language: where the request was sent away because no expert speaks it, its
    ISO 639-1 code.
    """

    verdict: Literal["routed", "clarify", "titan"]
    expert: str
    intent: str
    confidence: float
    tier: Literal["exact", "static", "encoder"]
    alternatives: tuple[Alternative, ...]
    reason: str
    neighbours: tuple[Neighbour, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class TierReport:
    """What one tier makes of a request. asked: it got this far. needed: the confidence (exact, static) or the
    probability of being in scope (encoder) from which the tier answers. note: why it answered, or did not."""

    tier: str
    asked: bool
    answered: bool
    confidence: float
    needed: float
    in_scope: float
    candidates: tuple[Alternative, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Signal:
    """What speaks for or against being in scope. weight: its share of the log odds."""

    name: str
    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that a decision rests on.

    neighbours: nearest first. in_scope: a probability; below least_in_scope the titan is asked. rival: the second
    expert's share among experts; from clarify_from on the caller is asked back. language: code of the likeliest one;
    english: probability that it is English.
    """

    decision: Decision
    tiers: tuple[TierReport, ...]
    neighbours: tuple[Neighbour, ...]
    signals: tuple[Signal, ...]
    in_scope: float
    least_in_scope: float
    rival: float
    clarify_from: float
    language: str = ""
    language_probability: float = 0.0
    english: float = 1.0
