"""One level of the cascade: features → logits over the intents, and over the background.

Features come in blocks of 384, see `Encoder.features`; a tier reads some of them, each about its own centre and at unit
length, so that none outweighs the others. Knows class numbers; nothing of experts, text or decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .encoder import DIMENSIONS
from .head import log_sum_exp, softmax
from .shortlist import Shortlist

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating[Any]]

# Tokens as embedded and tokens encoded alone; tokens as embedded, layer 4 and the last one.
STATIC_BLOCKS = (0, 1)
ENCODER_BLOCKS = (0, 2, 3)
# With more intents than this the whole product takes longer than a shortlist.
MOST_WHOLE = 1000


@dataclass(frozen=True, slots=True)
class Scored:
    """What a tier makes of one request.

    numbers: int64 (k,), the classes worth a look: all, or the shortlist's. shares: (k,), the probability of each, given
    that one of all classes is right. energy: log-sum-exp of all logits. foil: the background's logit.
    """

    numbers: npt.NDArray[np.int64]
    shares: Floats
    energy: float
    foil: float


@dataclass(frozen=True, eq=False, repr=False)
class Tier:
    """centre: float32 (blocks, 384). head: float32 (classes + 1, blocks · 384), offset: (classes + 1,), the background
    last. temperature: the factor on the logits that makes their softmax a probability. shortlist: of all but the
    background, where there are very many, see `with_shortlist`."""

    blocks: tuple[int, ...]
    centre: Vectors
    head: Vectors
    offset: Vectors
    temperature: float = 1.0
    shortlist: Shortlist | None = None

    def read(self, features: Vectors) -> Vectors:
        """(…, 384 · k) → (…, d): this tier's blocks."""
        return prepare(features, self.blocks, self.centre)

    def with_shortlist(self) -> Tier:
        """Scores in less time, if there are many intents; itself otherwise. Takes a second or two."""
        if len(self.head) <= MOST_WHOLE:
            return self
        return replace(self, shortlist=Shortlist.of(self.head[:-1], self.offset[:-1]))

    def score(self, point: Vectors) -> Scored:
        """point: float32 (d,), from `read`."""
        if self.shortlist is not None:
            best = self.shortlist.logits(point)
            total = best.energy_at(self.temperature)
            foil = float(self.head[-1] @ point + self.offset[-1])
            return Scored(best.numbers, np.exp(self.temperature * best.logits - total), best.energy, foil)
        logits = self.head @ point
        logits += self.offset
        inside = logits[:-1]
        return Scored(np.arange(len(inside)), self.shares(inside), float(log_sum_exp(inside)), float(logits[-1]))

    def shares(self, logits: Floats) -> Floats:
        """(…, classes) → each class's probability, given that one of them is right."""
        return softmax(self.temperature * logits)

    def with_class(self, weights: Vectors, offset: float, number: int) -> Tier:
        """Class `number` new, or one that replaces it."""
        count = len(self.head) - 1
        keep = [row for row in range(count) if row != number]
        order = [*keep[:number], count + 1, *keep[number:], count]
        head = np.vstack([self.head, weights[None]])[order]
        offsets = np.append(self.offset, np.float32(offset))[order]
        source = np.array([row if row <= count else -1 for row in order[:-1]])
        return replace(self, head=head, offset=offsets, shortlist=self._followed(head, offsets, source))

    def without(self, numbers: npt.NDArray[np.bool_]) -> Tier:
        """numbers: (classes,), True for each class to forget."""
        keep = np.append(~numbers, True)
        head, offset = self.head[keep], self.offset[keep]
        return replace(self, head=head, offset=offset, shortlist=self._followed(head, offset, np.flatnonzero(~numbers)))

    def _followed(self, head: Vectors, offset: Vectors, source: npt.NDArray[np.int64]) -> Shortlist | None:
        if self.shortlist is None or not len(source):
            return None
        return self.shortlist.follow(head[:-1], offset[:-1], source)


def prepare(features: Vectors, blocks: tuple[int, ...], centre: Vectors) -> Vectors:
    """(…, 384 · k) → (…, 384 · len(blocks)): each block about its centre, then at unit length."""
    shape = (*features.shape[:-1], -1, DIMENSIONS)
    points = features.reshape(shape)[..., blocks, :] - centre
    points /= np.maximum(np.sqrt(np.einsum("...d,...d->...", points, points))[..., None], 1e-9)
    return np.asarray(points.reshape(*features.shape[:-1], len(blocks) * DIMENSIONS))
