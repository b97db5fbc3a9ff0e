"""Scores become a label: calibrated probabilities, a phrase for people, or an abstention.

Shared by the kinds that tell which of a few labels fits a text. Calibration by temperature: Guo et al., 2017. Knows
nothing of where the scores come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..values import Abstention, Answer, Label, Outcome, Query


def subject(query: Query) -> str:
    """What is to be judged, "" where there is nothing: a request that was routed here by its words, and brings neither
    a document nor a payload, is an instruction about a text that is missing."""
    named = query.intent == ""
    return query.subject if named or query.payload is not None or query.document is not None else ""


def check_labels(labels: Sequence[str], phrases: Mapping[str, str], temperature: float) -> None:
    """Raises: ValueError where a bundle's labels, phrases and temperature do not go together."""
    if len(set(labels)) != len(labels):
        raise ValueError('"labels" has one label twice')
    if unknown := set(phrases) - set(labels):
        raise ValueError(f'"phrases" has {sorted(unknown)}, which "labels" has not')
    if not 0 < temperature < math.inf:
        raise ValueError(f'"temperature" is {temperature}; it is a number above 0')


@dataclass(frozen=True, slots=True)
class Labelling:
    """How one expert names what it found.

    expert: its name, as abstentions give it. phrases: label → what is said for it, {percent} standing for the
    probability. threshold: abstain below it.
    """

    expert: str
    labels: Sequence[str]
    phrases: Mapping[str, str]
    temperature: float
    threshold: float

    def probabilities(self, scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Calibrated, of each label, sum 1. scores: (k,), finite; or (1,), the log-odds of the second of two labels."""
        scores = scores.astype(np.float64)
        if len(scores) == 1:
            scores = np.array([0.0, scores[0]])
        # The greatest becomes 0 first: whatever the temperature, nothing overflows that matters.
        with np.errstate(over="ignore"):
            powers = np.exp((scores - scores.max()) / self.temperature)
        return np.asarray(powers / powers.sum(), np.float64)

    def outcome(self, probabilities: npt.NDArray[np.float64]) -> Outcome:
        """A `Label`, or an abstention below the threshold."""
        best = int(probabilities.argmax())
        label, probability = self.labels[best], float(probabilities[best])
        if probability < self.threshold:
            return Abstention(
                f"{self.expert} takes this for {label} with {_percent(probability)} only, less than its threshold of "
                f"{_percent(self.threshold)}",
                "unsure",
            )
        # Not str.format: a phrase is data from a bundle, and format reaches into objects.
        phrase = self.phrases.get(label, f"{label} ({{percent}})").replace("{percent}", _percent(probability))
        named = dict(zip(self.labels, map(float, probabilities), strict=True))
        return Answer(phrase, Label(label, probability, named))


def _percent(probability: float) -> str:
    return "over 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"
