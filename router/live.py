"""A new intent at once: a row of each tier's head from a handful of sentences, in closed form.

The sentences are told from what the index knows already (one mean per intent, and the background's clusters) by ridge
regression in its dual form, a system of a few hundred equations (regularised least-squares classification, Rifkin, Yeo
& Poggio, 2003; the idea of setting a class's weights from its examples: Qi, Brown & Lowe, 2018). Each sentence's own
score is then taken as if it had been left out, which the ridge gives for nothing, and a straight line maps these scores
to what a sentence's own logit and the other intents' logits usually are.

Knows features and class numbers alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .background import Background
from .encoder import FEATURES
from .tier import Tier

Vectors = npt.NDArray[np.float32]

# Strength of the ridge. Chosen on CLINC150's validation rows, 15 intents out of 150 added anew.
RIDGE = 10.0
# The new sentences together weigh as much as so many anchors each.
POSITIVE_WEIGHT = 8.0
# The left-out scores of an intent's own sentences and of the others are taken to be at least so far apart. One or two
# sentences say nothing of each other: their gap is near none, and a line through it would claim whatever is a little
# like them. Of shipped intents added anew, five sentences were never nearer.
LEAST_GAP = 0.3
# With many intents, the nearest ones alone are told from.
MOST_ANCHORS = 256


@dataclass(frozen=True, eq=False)
class Anchors:
    """What new sentences are told from. means: float16 (classes, 1536), each intent's mean features; strangers: float16
    (k, 1536), the background's centres."""

    means: npt.NDArray[np.float16]
    strangers: npt.NDArray[np.float16]

    @classmethod
    def none(cls) -> Anchors:
        nothing = np.zeros((0, FEATURES), np.float16)
        return cls(nothing, nothing)

    @classmethod
    def of(cls, features: Vectors, classes: npt.NDArray[np.int32], background: Background) -> Anchors:
        """classes: (n,), rising."""
        _, starts, counts = np.unique(classes, return_index=True, return_counts=True)
        means = np.add.reduceat(features, starts, axis=0) / counts[:, None]
        return cls(means.astype(np.float16), background.centres.astype(np.float16))

    def all(self) -> Vectors:
        """float32 (k, 1536)."""
        return np.vstack([self.means, self.strangers]).astype(np.float32)

    def joined(self, features: Vectors) -> Anchors:
        return Anchors(np.vstack([self.means, features.mean(axis=0, keepdims=True).astype(np.float16)]), self.strangers)

    def without(self, numbers: npt.NDArray[np.bool_]) -> Anchors:
        return Anchors(self.means[~numbers], self.strangers)


def imprint(
    tier: Tier, features: Vectors, anchors: Vectors, usual: tuple[float, float, float]
) -> tuple[Vectors, float]:
    """The new row of the tier's head, float32 (d,), and its offset.

    features: float32 (n, 1536), of the new intent's sentences. anchors: float32 (k, 1536), see `Anchors.all`. usual:
    what a sentence's own logit usually is, and the other intents' logits.
    """
    shots = tier.read(features)
    others = tier.read(anchors)
    if len(others) > MOST_ANCHORS:
        nearest = np.argsort(-(others @ shots.mean(axis=0)))[:MOST_ANCHORS]
        others = others[nearest]
    rows = np.vstack([shots, others])
    wanted = np.append(np.ones(len(shots), np.float32), -np.ones(len(others), np.float32))
    weights = np.append(np.full(len(shots), np.float32(POSITIVE_WEIGHT)), np.ones(len(others), np.float32))
    # About a weighted centre, so that no offset need be fitted; weighted ridge in the dual: (K + λ/w) a = y.
    centre = weights @ rows / weights.sum()
    seen = rows - centre
    level = float(weights @ wanted / weights.sum())
    system: npt.NDArray[Any] = seen @ seen.T + np.diag(np.float32(RIDGE) / weights)
    # One solution for the factors, and the columns of the inverse that belong to the new sentences.
    count = len(shots)
    solved = np.linalg.solve(system, np.hstack([(wanted - level)[:, None], np.eye(len(rows), count, dtype=np.float32)]))
    factors, inverse = solved[:, 0], np.diag(solved[:count, 1:])
    row = seen.T @ factors
    # What each new sentence would score, had it been left out (Rifkin & Lippert, 2007); what the others do score.
    left_out = wanted[:count] - factors[:count] / inverse
    others_score = wanted[count:] - np.float32(RIDGE) * factors[count:]
    own, rest, _ = usual
    high, low = float(left_out.mean()), float(others_score.mean()) if len(others) else -1.0
    slope = (own - rest) / max(high - low, LEAST_GAP)
    offset = rest + slope * (level - low - float(row @ centre))
    return (slope * row).astype(np.float32), offset
