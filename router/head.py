"""Fitting, in numpy alone: a softmax head, its temperature, a logistic stack. Small enough to refit on every install.

Knows vectors and class numbers; nothing of experts, text or decisions.
"""

from __future__ import annotations

from collections.abc import Callable
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


def fit_softmax(vectors: Array, classes: Integers, count: int, weights: Array, steps: int) -> tuple[Array, Array]:
    """Multinomial logistic regression with a ridge, by L-BFGS.

    vectors: float32 (n, d). classes: (n,), each in 0…count-1. weights: (n,), how much each row counts.
    Returns float32 (count, d) and (count,).
    """
    rows, width = vectors.shape
    share = (weights / weights.sum()).astype(np.float32)
    wanted = np.zeros((rows, count), np.float32)
    wanted[np.arange(rows), classes] = share
    ridge = 1.0 / (PENALTY_C * float(weights.sum()))

    # Preconditioned: about the mean, and in coordinates where the loss is about equally curved everywhere, where
    # the vectors' covariance (each class's share of it) and the ridge add up to the identity. A fifth of the steps.
    centre = share @ vectors
    seen = vectors - centre
    curvature = (seen * share[:, None]).T @ seen / count + ridge * np.eye(width, dtype=np.float32)
    basis = np.linalg.inv(np.linalg.cholesky(curvature)).T.astype(np.float32)
    seen = seen @ basis
    bent = basis.T @ basis

    def loss(flat: Array) -> tuple[float, Array]:
        head, offset = flat[: count * width].reshape(count, width), flat[count * width :]
        logits = seen @ head.T
        logits += offset
        logits -= logits.max(axis=1, keepdims=True)
        likelihood = float(np.vdot(logits, wanted))
        np.exp(logits, out=logits)
        total = logits.sum(axis=1)
        pulled = ridge * (head @ bent)
        value = float(share @ np.log(total)) - likelihood + float(np.vdot(pulled, head)) / 2
        logits *= (share / total)[:, None]
        logits -= wanted
        return value, np.concatenate([(logits.T @ seen + pulled).ravel(), logits.sum(axis=0)])

    flat = _lbfgs(loss, np.zeros(count * (width + 1), np.float32), steps)
    head = flat[: count * width].reshape(count, width) @ basis.T
    return head, flat[count * width :] - head @ centre


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
