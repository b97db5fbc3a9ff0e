"""Which of thousands of classes has the highest logit, without the whole product.

A head of 10,000 classes is 46 MB; reading it takes several milliseconds at every decision. Here each class has a coarse
logit, from the directions in which classes differ most, and a bound on what the other directions may add. The best
coarse ones are computed exactly, and then every class whose bound still reaches the best: at worst all of them. So the
best class is always the one that the whole product gives; only the effort depends on the numbers. The bound is Cauchy
and Schwarz's, band by band of directions, after FEXIPRO (Li et al., 2017); one band alone lets three times as many
through. A library of 8-bit dot products would read three times the bytes, and takes twice the time.

It is quick where classes differ in few directions, as heads over sentence vectors do; rows drawn at random do not.

Knows a matrix and a vector; nothing of intents, text or decisions.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .head import log_sum_exp

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

# Directions of the coarse logit; directions known in all, the rest is one more band; bands between the two.
COARSE = 96
KNOWN = 256
BANDS = 3
# Directions are found on this many classes at most; fewer would do.
SAMPLED = 4096
# With more classes to look at than this share of all, the whole product is quicker than picking rows.
WHOLE = 0.2
EPSILON = float(np.finfo(np.float32).eps)
# Of a vector's squared length, what rounding may hide.
LEFT_OVER = 1e-5
NEGLIGIBLE = 18.0


@dataclass(frozen=True, slots=True)
class Shortlisted:
    """numbers: int64 (k,), the classes with the highest logits, highest first, the lower number first among equals; the
    first is certain to be the best of all. logits: float32 (k,), theirs, exact. scores: float32 (classes,), all logits,
    coarse ones among them, exact wherever `numbers` is."""

    numbers: Rows
    logits: Vectors
    scores: Vectors

    @property
    def energy(self) -> float:
        """Log-sum-exp of all logits."""
        return self.energy_at(1.0)

    def energy_at(self, temperature: float) -> float:
        """Log-sum-exp of `temperature` times all logits. What is e⁻¹⁸ of the best, or less, is left out: ten thousand
        of them would not show."""
        near = self.scores[self.scores > self.logits[0] - NEGLIGIBLE / temperature]
        return float(log_sum_exp(temperature * near)) if len(near) else float(temperature * self.logits[0])


@dataclass(frozen=True, eq=False, repr=False)
class Shortlist:
    """Made by `of`. Safe to use from any number of threads at once.

    head: (classes, d), as given, not copied: float32 or float16, in memory or mapped. offset: float32 (classes,).
    basis: float32 (≤ 256, d), orthonormal rows. coarse: float32 (≤ 96, classes), each class along the first of them.
    edges: where in `basis` each band begins, and where the last one ends. lengths: float32 (bands + 3, classes), each
    class's norm within each band and within the rest; how far off rounding may be, per unit of the vector's norm and
    by the offset.
    """

    head: npt.NDArray[np.floating[Any]]
    offset: Vectors
    basis: Vectors
    coarse: Vectors
    edges: Rows
    lengths: Vectors

    @classmethod
    def of(cls, head: npt.NDArray[np.floating[Any]], offset: Vectors) -> Shortlist:
        """head: (classes, d), offset: (classes,); at least one class. A second or two for 10,000 classes, and a
        tenth of the head's memory.

        Raises: ValueError: there is no class, or the two do not fit together.
        """
        classes, width = head.shape
        if not classes or offset.shape != (classes,):
            raise ValueError(
                f"head {head.shape} and offset {offset.shape}: one offset per class, and one class at least"
            )
        some = np.asarray(head[:: (classes - 1) // SAMPLED + 1], np.float64)
        some = some / (np.abs(some).max() or 1.0)
        directions = np.linalg.eigh(some.T @ some)[1][:, ::-1]
        known = np.ascontiguousarray(directions[:, : min(KNOWN, width)].T, np.float32)
        coarse = min(COARSE, len(known))
        edges = np.unique(np.linspace(coarse, len(known), BANDS + 1).astype(np.int64))
        along, lengths = _measured(head, offset, known, edges)
        return cls(head, np.asarray(offset, np.float32), known, along, edges, lengths)

    def follow(self, head: npt.NDArray[np.floating[Any]], offset: Vectors, source: Rows) -> Shortlist:
        """The same for a head that differs in a few classes, in the time of a copy. source: int64 (classes,), for each
        row of the new head the row of the old one that it equals; -1: it is new."""
        coarse, lengths = self.coarse[:, source], self.lengths[:, source]
        new = np.flatnonzero(source < 0)
        coarse[:, new], lengths[:, new] = _measured(head[new], offset[new], self.basis, self.edges)
        return Shortlist(head, np.asarray(offset, np.float32), self.basis, coarse, self.edges, lengths)

    def logits(self, x: Vectors, keep: int = 32) -> Shortlisted:
        """x: float32 (d,). keep: how many classes to give, or all that there are; at least one."""
        seen: Vectors = np.asarray(self.basis @ x, np.float32)
        scores: Vectors = np.asarray(seen[: len(self.coarse)] @ self.coarse, np.float32)
        scores += self.offset
        sizes = self._sizes(x, seen)
        reach = sizes @ self.lengths
        reach += scores
        rows = largest(scores, keep)
        found = self._exactly(rows, x)
        reach[rows] = -np.inf
        # Said this way, what is not a number is looked at as well.
        missed = np.flatnonzero(~(reach < found.max()))
        if len(missed):
            rows, found = np.append(rows, missed), np.append(found, self._exactly(missed, x))

        # What rounding alone may have put in order is computed with twice the digits.
        doubt = sizes[-2:] @ self.lengths[-2:, rows]
        top = int(found.argmax())
        close = np.flatnonzero(found + doubt >= found[top] - doubt[top])
        if len(close) > 1:
            twice = np.asarray(self.head[rows[close]], np.float64)
            found[close] = (twice @ np.asarray(x, np.float64) + self.offset[rows[close]]).astype(np.float32)
        scores[rows] = found
        order = np.lexsort((rows, -found))[:keep]
        return Shortlisted(rows[order], found[order], scores)

    def _sizes(self, x: Vectors, seen: Vectors) -> Vectors:
        """float32 (bands + 3,): what `lengths` is multiplied with."""
        whole = float(x @ x)
        # What is left of the norm is a difference; the small share keeps rounding from making it too short.
        rest = math.sqrt(max(whole - float(seen @ seen), 0.0) + LEFT_OVER * whole)
        bands = np.sqrt(np.add.reduceat(seen * seen, self.edges[:-1])) if len(self.edges) > 1 else ()
        return np.array([*bands, rest, math.sqrt(whole), 1.0], np.float32)

    def _exactly(self, rows: Rows, x: Vectors) -> Vectors:
        """float32 (len(rows),): their logits."""
        if len(rows) > WHOLE * len(self.head) and self.head.dtype == np.float32:
            return np.asarray((self.head @ x)[rows] + self.offset[rows], np.float32)
        return np.asarray(np.asarray(self.head[rows], np.float32) @ x + self.offset[rows], np.float32)


def _measured(
    head: npt.NDArray[np.floating[Any]], offset: Vectors, basis: Vectors, edges: Rows
) -> tuple[Vectors, Vectors]:
    """Of a `Shortlist`: coarse and lengths of the rows of `head`."""
    coarse, along = int(edges[0]), basis.T.astype(np.float64)
    seen = np.empty((coarse, len(head)), np.float32)
    lengths = np.empty((len(edges) + 2, len(head)), np.float32)
    for first in range(0, len(head), 1024):
        rows = np.asarray(head[first : first + 1024], np.float64)
        places = rows @ along
        part = slice(first, first + len(rows))
        seen[:, part] = places[:, :coarse].T
        for band, (low, high) in enumerate(itertools.pairwise(edges)):
            lengths[band, part] = np.linalg.norm(places[:, low:high], axis=1)
        lengths[-3, part] = np.linalg.norm(rows - places @ along.T, axis=1)
        lengths[-2, part] = np.linalg.norm(rows, axis=1)
    # A sum of d float32 products is off by less than d roundings (Higham, 2002, section 3.1); twice: both sides.
    lengths[-2] *= 2 * (basis.shape[1] + 64) * EPSILON
    lengths[-1] = 4 * EPSILON * np.abs(offset)
    return seen, lengths


def largest(values: Vectors, count: int) -> Rows:
    """Where the largest are, `count` or more, in no order. Much quicker than a partition: the count-th highest of the
    maxima of groups is no higher than the count-th highest value."""
    group = len(values) // (4 * count)
    if group < 2:
        return np.arange(len(values)) if count >= len(values) else np.argpartition(values, -count)[-count:]
    maxima = values[: len(values) // group * group].reshape(-1, group).max(axis=1)
    return np.flatnonzero(values >= np.partition(maxima, -count)[-count])
