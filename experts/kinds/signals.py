"""Named features that reviewed code reads from a text, for kind `linear` to weigh beside the vector and the n-grams.

A bundle names a set ("links", "injection") and brings a weight for each of its signals; what a signal means is
code in this project. A set also says what the n-grams read in place of the raw text: with its links taken out, or with
what was hidden in it brought to light. Knows no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import injection_signals, link_signals


class Reading(NamedTuple):
    """values: float32 (n,), from 0 to 1, in the order of the set's names. text: what the n-grams read.

    told: signal → what is said of it where it decided ("the link leads to 203.0.113.7, an address in numbers").
    """

    values: npt.NDArray[np.float32]
    text: str
    told: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SignalSet:
    """names: of the signals, in the order of the weights. find: text → (signal → (value, what is said of it), text for
    the n-grams); takes any text, and never raises."""

    names: tuple[str, ...]
    find: Callable[[str], tuple[dict[str, tuple[float, str]], str]]

    def read(self, text: str) -> Reading:
        found, plain = self.find(text)
        values = np.array([found[name][0] if name in found else 0.0 for name in self.names], np.float32)
        return Reading(values, plain, {name: told for name, (_, told) in found.items() if told})


SETS: Mapping[str, SignalSet] = MappingProxyType(
    {
        "injection": SignalSet(injection_signals.NAMES, injection_signals.find),
        "links": SignalSet(link_signals.NAMES, link_signals.find),
    }
)

# Of the signals that spoke for the answer, so many are named.
MOST_TOLD = 3
# What a signal must add to the log-odds to be worth a word.
WORTH_TELLING = 0.4


def because(reading: Reading, names: tuple[str, ...], pull: npt.NDArray[Any]) -> str:
    """ " Why: …; ….", the signals that spoke loudest for the answer; "" where none did.

    pull: (n,), what each adds to the log-odds of the label that was found.
    """
    ranked = [names[place] for place in np.argsort(-pull) if pull[place] >= WORTH_TELLING]
    reasons = dict.fromkeys(reading.told[name] for name in ranked if name in reading.told)
    return f" Why: {'; '.join(list(reasons)[:MOST_TOLD])}." if reasons else ""
