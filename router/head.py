"""Fitting, in numpy alone: a softmax head, its temperature, a logistic stack. Small enough to refit on every install.

Knows vectors and class numbers; nothing of experts, text or decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]

# Inverse strength of the ridge on the head's weights, per sample. Chosen on CLINC150's validation split.
PENALTY_C = 10.0


def softmax(logits: Array) -> Array:
    """Row by row."""
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))


def log_sum_exp(logits: Array) -> Array:
    """Row by row."""
    top = logits.max(axis=-1)
    return np.asarray(top + np.log(np.exp(logits - top[..., None]).sum(axis=-1)))


@dataclass(frozen=True, eq=False)
class Basis:
    """Coordinates about the mean in which the loss of a softmax head is about equally curved everywhere: where the
    vectors' covariance (each class's share of it) and the ridge add up to the identity. A fifth of the steps.

    Dear to make and to change to, so heads that are fitted on parts of the same rows share one.
    """

    centre: Array
    matrix: Array
    ridge_matrix: Array  # the ridge's shape in these coordinates

    @classmethod
    def of(cls, vectors: Array, count: int, weights: Array) -> Basis:
        """vectors: float32 (n, d). count: of classes. weights: (n,), how much each row counts."""
        share = (weights / weights.sum()).astype(np.float32)
        centre = share @ vectors
        seen = vectors - centre
        ridge = np.float32(1.0 / (PENALTY_C * float(weights.sum())))
        curvature = (seen * share[:, None]).T @ seen / count + ridge * np.eye(vectors.shape[1], dtype=np.float32)
        matrix = np.linalg.inv(np.linalg.cholesky(curvature)).T.astype(np.float32)
        return cls(centre, matrix, matrix.T @ matrix)

    def rows(self, vectors: Array) -> Array:
        """(n, d) → (n, d)."""
        return np.asarray((vectors - self.centre) @ self.matrix)

    def fit(self, seen: Array, classes: Integers, count: int, weights: Array, steps: int) -> tuple[Array, Array]:
        """A softmax head over what `rows` gave; weights and offsets are for the vectors themselves, see
        `fit_softmax`."""
        width = seen.shape[1]
        share = (weights / weights.sum()).astype(np.float32)
        wanted = np.zeros((len(seen), count), np.float32)
        wanted[np.arange(len(seen)), classes] = share
        ridge = np.float32(1.0 / (PENALTY_C * float(weights.sum())))

        def loss(flat: Array) -> tuple[float, Array]:
            head, offset = flat[: count * width].reshape(count, width), flat[count * width :]
            logits = seen @ head.T
            logits += offset
            logits -= logits.max(axis=1, keepdims=True)
            likelihood = float(np.vdot(logits, wanted))
            np.exp(logits, out=logits)
            total = logits.sum(axis=1)
            pulled = ridge * (head @ self.ridge_matrix)
            value = float(share @ np.log(total)) - likelihood + float(np.vdot(pulled, head)) / 2
            logits *= (share / total)[:, None]
            logits -= wanted
            return value, np.concatenate([(logits.T @ seen + pulled).ravel(), logits.sum(axis=0)])

        flat = _lbfgs(loss, np.zeros(count * (width + 1), np.float32), steps)
        head = flat[: count * width].reshape(count, width) @ self.matrix.T
        return head, flat[count * width :] - head @ self.centre


def fit_softmax(vectors: Array, classes: Integers, count: int, weights: Array, steps: int) -> tuple[Array, Array]:
    """Multinomial logistic regression with a ridge, by L-BFGS.

    vectors: float32 (n, d). classes: (n,), each in 0…count-1. weights: (n,), how much each row counts.
    Returns float32 (count, d) and (count,).
    """
    basis = Basis.of(vectors, count, weights)
    return basis.fit(basis.rows(vectors), classes, count, weights, steps)


def _lbfgs(loss: Callable[[Array], tuple[float, Array]], start: Array, steps: int, memory: int = 8) -> Array:
    """Minimises a smooth convex function: two-loop recursion, backtracking (Nocedal & Wright 2006, algorithm 7.4)."""
    point, (value, slope) = start, loss(start)
    moves: list[tuple[Array, Array, float]] = []
    for _ in range(steps):
        direction = slope.copy()
        kept = []
        for move, change, inner in reversed(moves):
            factor = float(move @ direction) / inner
            direction -= factor * change
            kept.append(factor)
        if moves:
            move, change, inner = moves[-1]
            direction *= inner / float(change @ change)
        else:
            direction /= max(float(np.linalg.norm(slope)), 1e-12)
        for (move, change, inner), factor in zip(moves, reversed(kept), strict=True):
            direction += (factor - float(change @ direction) / inner) * move
        descent = float(slope @ direction)
        if descent <= 1e-9:
            break
        step = 1.0
        while step > 1e-4:
            candidate = point - step * direction
            new_value, new_slope = loss(candidate)
            if new_value <= value - 1e-4 * step * descent:
                break
            step /= 2
        else:
            break
        move, change = candidate - point, new_slope - slope
        inner = float(move @ change)
        if inner > 1e-12:
            moves = [*moves, (move, change, inner)][-memory:]
        settled = value - new_value < 1e-6 * abs(value)
        point, value, slope = candidate, new_value, new_slope
        if settled:
            break
    return point


def fit_logistic(signals: Array, positive: npt.NDArray[np.bool_], ridge: float = 1e-3) -> Array:
    """Binary logistic regression by Newton's method; both sides weigh the same in total, whatever their numbers.

    signals: (n, k). Returns (k + 1,) in float64: a factor per signal, the offset last.
    """
    centre, spread = signals.mean(axis=0), signals.std(axis=0) + 1e-9
    design = np.hstack([(signals - centre) / spread, np.ones((len(signals), 1))]).astype(np.float64)
    weights = np.where(positive, 0.5 / max(positive.sum(), 1), 0.5 / max((~positive).sum(), 1))
    penalty = np.diag([ridge] * signals.shape[1] + [1e-9])
    factors = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ factors, -40, 40)))
        slope = design.T @ (weights * (chance - positive)) + penalty @ factors
        curvature = (design * (weights * chance * (1 - chance))[:, None]).T @ design + penalty
        move = np.linalg.solve(curvature + 1e-9 * np.eye(len(factors)), slope)
        # Far from the solution a full step overshoots.
        factors -= move / max(1.0, float(np.abs(move).max()) / 2)
        if np.abs(move).max() < 1e-6:
            break
    plain = factors[:-1] / spread
    return np.append(plain, factors[-1] - float(plain @ centre))


def fit_temperature(logits: Array, classes: Integers) -> float:
    """The factor on the logits that makes their softmax a probability (Guo et al., 2017): least log loss on a grid."""
    factors = np.geomspace(0.2, 5.0, 65)
    rows = np.arange(len(classes))
    losses = [float((log_sum_exp(factor * logits) - factor * logits[rows, classes]).mean()) for factor in factors]
    return float(factors[int(np.argmin(losses))])


# Of `fit_prototypes`: share of the ball in the spread within classes; length of the class means that it starts from;
# inverse strength of the ridge towards them, per row; weight of the offset beside the features; rows solved at once;
# what counts as broad, in rows of the usual class; how many may be. The first four were chosen on CLINC150's
# validation split, at 100 and at 10 sentences an intent.
ROUNDNESS = 0.7
PROTOTYPE_LENGTH = 8.0
PROTOTYPE_C = 5.0
OFFSET_SHARE = 0.1
BLOCK_ROWS = 32
BROAD = 4
MOST_BROAD = 8
# Böhning's bound is a half, for two classes at even odds; most rows are surer than that, and it converges sooner.
CURVATURE = 0.2
NEVER_WINS = 30.0


def fit_prototypes(
    features: Array,
    classes: Integers,
    count: int,
    weights: Array,
    *,
    rivals: int = 32,
    rounds: int = 6,
) -> tuple[Array, Array]:
    """A softmax head over any number of classes: it starts as the class means, and each class is then told from its
    rivals alone, not from all the others. 10,000 classes of ten rows take seconds a round, and little memory.

    Both in coordinates where the spread within classes, shrunk towards a ball (Friedman, 1989), is the same all around:
    ways of asking that all classes share count less. The ridge pulls towards the means, so a class with few rows, or
    with no rival near, stays close to its own. Solved in the dual, a block of rows of one class at a time (Yu, Huang &
    Lin, 2011); the curvature is bounded by the kernel's, after Böhning (1992), so there is no step length to choose.

    features: float32 (n, d), rows of about the same length. classes: (n,), each in 0…count-1. weights: (n,), how much
    each row counts. rivals: how many classes a block of rows is told from, its own among them. Returns float32
    (count, d) and (count,). A class without rows never wins.

    Raises: ValueError: there is no row, or none that counts.
    """
    if not float(np.sum(weights)) > 0:
        raise ValueError("no row to fit prototypes to; each needs a weight, and one at least above zero")
    features, weights = np.asarray(features, np.float32), np.asarray(weights, np.float32)
    order = np.argsort(classes, kind="stable")
    rows_of = np.bincount(classes, minlength=count)
    weight_of = np.bincount(classes, weights, count)
    ends = np.cumsum(rows_of)
    blocks = [
        (number, order[first : min(first + BLOCK_ROWS, end)])
        for number, end in enumerate(ends.tolist())
        for first in range(end - int(rows_of[number]), end, BLOCK_ROWS)
    ]
    means = np.zeros((count, features.shape[1]), np.float32)
    for number, rows in blocks:
        means[number] += weights[rows] @ features[rows] / weight_of[number]
    centre = weights @ features / weights.sum()
    basis = _rounded(features, classes, weights, means, centre)
    # Half precision keeps the copy small, and is far finer than what tells classes apart.
    seen = np.empty(features.shape, np.float16)
    for first in range(0, len(seen), 4096):
        seen[first : first + 4096] = (features[first : first + 4096] - centre) @ basis
    means = (means - centre) @ basis
    middles = np.stack([weights[rows] @ seen[rows] / weights[rows].sum() for _, rows in blocks])
    present = weight_of > 0
    means[~present] = 0
    head = means * (PROTOTYPE_LENGTH / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9))
    offset = np.where(present, -np.einsum("cd,cd->c", head, means) / 2, -np.inf).astype(np.float32)

    own, broad = [number for number, _ in blocks], _broad(rows_of)
    against = _rivals(middles, head, offset, own, broad=broad, rivals=min(rivals, count))
    dual = np.zeros((len(features), against.shape[1]), np.float32)
    random = np.random.default_rng(0)
    for _ in range(rounds):
        for place in random.permutation(len(blocks)):
            number, rows = blocks[place]
            near = against[place]
            points, share = seen[rows].astype(np.float32), weights[rows, None]
            mine = head[near]
            logits = points @ mine.T + offset[near]
            kernel = PROTOTYPE_C * (points @ points.T + OFFSET_SHARE)
            step = np.linalg.inv(np.eye(len(rows), dtype=np.float32) + CURVATURE * share * kernel)
            wanted = near == number
            moved = np.zeros_like(logits)
            for _ in range(2):
                chances = softmax(logits + kernel @ moved)
                moved += step @ (share * (wanted - chances) - dual[rows] - moved)
            dual[rows] += moved
            moved *= PROTOTYPE_C
            head[near] = mine + moved.T @ points
            offset[near] += OFFSET_SHARE * moved.sum(axis=0)
    head = head @ basis.T
    offset -= head @ centre
    offset[~present] = offset[present].min(initial=0.0) - NEVER_WINS
    return head, offset


def _rounded(features: Array, classes: Integers, weights: Array, means: Array, centre: Array) -> Array:
    """(d, d): to coordinates where the spread within classes is about a ball, and rows are as long as they were."""
    width = features.shape[1]
    within = np.zeros((width, width), np.float32)
    for first in range(0, len(features), 4096):
        rest = features[first : first + 4096] - means[classes[first : first + 4096]]
        within += (rest * weights[first : first + 4096, None]).T @ rest
    ball = max(float(np.trace(within)) / width, 1e-12) * np.eye(width, dtype=np.float32)
    basis = np.linalg.inv(np.linalg.cholesky((1 - ROUNDNESS) * within + ROUNDNESS * ball)).T
    some = features[:: len(features) // 4096 + 1] - centre
    longer = float(np.linalg.norm(some @ basis)) / max(float(np.linalg.norm(some)), 1e-12)
    return np.asarray(basis / max(longer, 1e-12), np.float32)


def _broad(rows_of: Integers) -> list[int]:
    """Classes of many more rows than most, which lie all about, such as a background: every class's rival."""
    usual = max(float(np.median(rows_of[rows_of > 0])) if rows_of.any() else 0.0, 1.0)
    largest = np.argsort(-rows_of, kind="stable")[:MOST_BROAD]
    return [int(number) for number in largest if rows_of[number] > BROAD * usual]


def _rivals(
    middles: Array, head: Array, offset: Array, own: list[int], *, broad: list[int], rivals: int
) -> npt.NDArray[np.int64]:
    """(blocks, rivals): each block's own class, the broad ones and those with the highest logits at its middle."""
    chosen = np.empty((len(middles), rivals), np.int64)
    for first in range(0, len(middles), 512):
        logits = middles[first : first + 512] @ head.T + offset
        logits[:, broad] = np.finfo(np.float32).max
        logits[np.arange(len(logits)), own[first : first + 512]] = np.inf
        chosen[first : first + 512] = np.argpartition(-logits, rivals - 1, axis=1)[:, :rivals]
    chosen.sort(axis=1)
    return chosen
