"""Streaming anomaly detectors from the literature, as NAB runs them, with the settings that are published for it.

Each is told what NAB tells its detectors: how long the probation is, and the smallest and largest value of the whole
series, which the expert is not told. Written anew from the papers; where none says how a score is made of it, from
NAB's description of its detectors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def null(values: Floats, probation: int) -> Floats:
    """Never an alarm."""
    return np.full(values.size, 0.5)


def random(values: Floats, probation: int) -> Floats:
    return np.random.default_rng(42).random(values.size)


def windowed_gaussian(values: Floats, probation: int, window: int = 1000) -> Floats:
    """How far out in the normal distribution of the last `window` values."""
    from scipy.special import ndtr

    scores = np.zeros(values.size)
    for at in range(1, values.size):
        past = values[max(0, at - window) : at]
        deviation = past.std() or 1e-6
        scores[at] = ndtr(abs(values[at] - past.mean()) / deviation)
    return scores


def skyline(values: Floats, probation: int) -> Floats:
    """Etsy's Skyline: the share of simple tests that call the last point odd. Without the test of the first hour of the
    day before, since it is told no times here."""
    n = values.size
    votes = np.zeros(n)
    mean_decay, spread_decay = 1 / 51, 1 / 16
    smooth, square, short = values[0], values[0] ** 2, 0.0
    for at in range(2, n):
        past = values[: at + 1]
        tail = past[-3:].mean()
        mean, deviation = past.mean(), past.std(ddof=1)
        votes[at] += abs(tail - mean) > 3 * deviation
        smooth += mean_decay * (values[at] - smooth)
        square += mean_decay * (values[at] ** 2 - square)
        votes[at] += abs(values[at] - smooth) > 3 * np.sqrt(max(square - smooth**2, 0.0))
        before = past[:-1]
        short += spread_decay * (values[at] - before.mean() - short)
        votes[at] += abs(values[at] - before.mean()) > 3 * before.std(ddof=1)
        if at % 8 == 0 or at == 2:  # the median moves slowly
            median = np.median(past)
            away = np.median(np.abs(past - median))
        votes[at] += bool(away > 0 and abs(values[at] - median) > 6 * away)
        x = np.arange(past.size) - at / 2
        slope = (x @ past) / (x @ x)
        rest = past - mean - slope * x
        votes[at] += abs(rest[-3:].mean()) > 3 * rest.std() > 0
        low, high = past.min(), past.max()
        if high > low:
            counts, edges = np.histogram(past, 15)
            place = min(int((tail - low) / (high - low) * 15), 14)
            votes[at] += counts[place] <= 20 and edges[place] <= tail
    return votes / 6


def relative_entropy(values: Floats, probation: int, window: int = 52, bins: int = 5) -> Floats:
    """Whether the last window's distribution agrees with any seen before (Wang et al., 2011): 0 or 1."""
    from scipy.stats import chi2

    low, high = values.min(), values.max()
    scores = np.zeros(values.size)
    if low == high:
        return scores
    bound = chi2.isf(0.01, bins - 1)
    place = np.ceil((values - low) / (high - low) * bins).astype(int)
    place = np.minimum(place, bins - 1)
    seen: list[Floats] = []
    for at in range(window - 1, values.size):
        share = np.bincount(place[at - window + 1 : at + 1], minlength=bins) / window
        if seen:
            known = np.array(seen)
            with np.errstate(divide="ignore", invalid="ignore"):
                terms = np.where(share > 0, share * np.log(share / known), 0.0)
            if 2 * window * terms.sum(1).min() < bound:
                continue
            scores[at] = 1.0
        seen.append(share)
    return scores


def bayesian_changepoint(values: Floats, probation: int, hazard: float = 1 / 250, longest: int = 500) -> Floats:
    """By how much the likeliest length of the present run fell (Adams & MacKay, 2007)."""
    from scipy.special import gammaln

    alpha0, beta0, kappa0, mu0 = 0.1, 0.001, 1.0, 0.0
    alpha, beta, kappa, mu = (np.array([start]) for start in (alpha0, beta0, kappa0, mu0))
    run = np.array([1.0])
    before, scores = 1, np.zeros(values.size)
    for at, value in enumerate(values):
        freedom, scale = 2 * alpha, beta * (kappa + 1) / (alpha * kappa)
        density = np.exp(
            gammaln((freedom + 1) / 2)
            - gammaln(freedom / 2)
            - 0.5 * np.log(np.pi * freedom * scale)
            - (freedom + 1) / 2 * np.log1p((value - mu) ** 2 / (freedom * scale))
        )
        joint = run * density
        run = np.concatenate([[joint.sum() * hazard], joint * (1 - hazard)])
        run /= run.sum() or 1.0
        beta = np.concatenate([[beta0], beta + kappa * (value - mu) ** 2 / (2 * (kappa + 1))])
        mu = np.concatenate([[mu0], (kappa * mu + value) / (kappa + 1)])
        kappa = np.concatenate([[kappa0], kappa + 1])
        alpha = np.concatenate([[alpha0], alpha + 0.5])
        if run.size > longest + 1:
            run, alpha, beta, kappa, mu = (each[: longest + 1] for each in (run, alpha, beta, kappa, mu))
        likeliest = int(run.argmax())
        scores[at] = 1 - likeliest / before if likeliest < before else 0.0
        before = max(likeliest, 1)
    return scores


def expose(values: Floats, probation: int, decay: float = 0.01, features: int = 2000) -> Floats:
    """Unlikeness to the decaying mean of what came before, in random Fourier features of a Gaussian kernel (Schneider
    et al., 2016)."""
    random_state = np.random.default_rng(290)
    frequency = random_state.normal(size=features)
    phase = random_state.uniform(0, 2 * np.pi, features)
    scores = np.zeros(values.size)
    model = np.zeros(features)
    for at, value in enumerate(values):
        feature = np.sqrt(2 / features) * np.cos(frequency * value + phase)
        model = feature if at == 0 else decay * feature + (1 - decay) * model
        scores[at] = (1 - feature @ model + 0.02) / 1.04
    return np.clip(scores, 0.0, 1.0)


def knn_cad(values: Floats, probation: int, neighbours: int = 27, dimension: int = 19) -> Floats:
    """Conformalised nearest neighbours (Burnaev & Ishimtsev, 2016): the share of earlier windows of 19 values that lay
    nearer, in Mahalanobis distance, to their 27 nearest in a training set; after an alarm it rests for a while."""
    n = values.size
    scores = np.zeros(n)
    if n < dimension + 2 or probation <= dimension + neighbours:
        return scores
    windows = np.lib.stride_tricks.sliding_window_view(values, dimension)
    training = windows[: probation - dimension]
    metric = np.eye(dimension)

    def distance(window: Floats, nearest: int) -> float:
        away = training - window
        every = np.einsum("ij,jk,ik->i", away, metric, away)
        return float(np.partition(every, nearest - 1)[:nearest].sum())

    known = np.array([distance(window, neighbours + 1) for window in training])
    resting = 0
    for at in range(probation - 1, n):
        count = at + 1
        if count % probation in (0, probation // 2):
            try:
                metric = np.linalg.inv(training.T @ training)
            except np.linalg.LinAlgError:
                metric = np.eye(dimension)
        window = windows[at - dimension + 1]
        new = distance(window, neighbours)
        result = float((known < new).mean())
        if count >= 2 * probation:
            start = count - 2 * probation + 1
            training = windows[start : start + probation - dimension]
        known = np.append(known[1:], new)
        if resting > 0:
            resting -= 1
            scores[at] = 0.5
        else:
            scores[at] = result
            resting = probation // 5 if result >= 0.9965 else 0
    return scores


PEERS: dict[str, Callable[[Floats, int], Floats]] = {
    "null": null,
    "random": random,
    "windowed Gaussian": windowed_gaussian,
    "Skyline": skyline,
    "Bayesian changepoint": bayesian_changepoint,
    "EXPoSE": expose,
    "relative entropy": relative_entropy,
    "KNN-CAD": knn_cad,
}
