"""Fitting an index: the experts' own sentences and the background of requests in general → tiers and thresholds.

Each tier gets a softmax head over the intents, with one class more for the background. Every sentence is then scored
by heads that have not seen it (cross-fitting), and so is what is out of scope, in two kinds: draws from the background,
far away, and the sentences of experts that a fold's heads were fitted without, close by. The second are real sentences,
and without them the router trusts nearness too much (CLINC150: area under the curve 0.90 without, 0.98 with).

From these scores come: the temperature of each tier (Guo et al., 2017); a logistic stack of signals that a request is
in scope, the energies of the heads (Liu et al., 2020), the background's logits and how near the nearest sentences are;
the operating point; the confidence from which the static tier is as safe as the encoder; and when to ask back.

Knows features and class numbers; nothing of experts' names, text or decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .background import Background
from .encoder import DIMENSIONS, vectors
from .head import Basis, fit_logistic, fit_prototypes, fit_temperature, log_sum_exp
from .tier import ENCODER_BLOCKS, STATIC_BLOCKS, Tier, prepare

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating[Any]]
Classes = npt.NDArray[np.int32]

FOLDS = 4
# With more intents than this, both heads are fitted against rivals alone (`fit_prototypes`), and one fold with so many
# rows of each kind is enough to calibrate on: each has a logit for every intent.
MANY = 500
# With more sentences than this the encoder tier's head is fitted against rivals, too: 97.0 % of CLINC150's validation
# rows are right instead of 96.7 %, and of what the shipped experts cannot do they keep a third as much. With few
# sentences it knows too little of what is out of scope.
MANY_SENTENCES = 2000
# Of no more sentences than this, each is told from so many rivals in so many rounds, which takes a third of the time
# and finds as good a head. Of CLINC150's 15,000 it would find a worse one: 95.8 % right instead of 96.5 %.
BRIEF_SENTENCES = 5000
RIVALS, ROUNDS = 16, 3
JUDGED = 2048
# Rows that tell what logits usually are.
USUAL = 1000
STEPS = 15
# A fold's heads are for judging by: they need not be as exact.
FOLD_STEPS = 10
# How far intents of few sentences are weighed up: 0 not at all, 1 until every intent weighs the same. Of CLINC150's
# intents, 15 with 5 sentences beside 135 with 100 were found in 52 % at 0 and 79 % at 1, the others in 97 % at either.
BALANCE = 1.0
# Rows drawn from the background, to fit against and, others, to judge by: so many a sentence, within bounds.
DRAWN = (500, 1500)
DRAWN_PER_SENTENCE = 3
# How many intents the background weighs as much as.
FOIL_INTENTS = 4
# The centre of a few sentences is that of requests in general; each such sentence moves it by a share of so many.
CENTRE_INERTIA = 200
# Sentences kept to compare with, in all, and of each intent at least.
MOST_KNOWN = 8192
LEAST_KNOWN = 2
# A request is compared with the sentences of so many intents, the likeliest.
COMPARED = 4
# Intents with fewer sentences are never held out: there would be nothing left to learn them from.
LEAST_HELD_OUT = 3
# With fewer held-out sentences than this the stacks are these, the threshold is even odds, and the static tier answers
# nothing. Fitted on the shipped experts, each alone with one to nine of its sentences, told from the other experts' and
# from the background: 0.97 under the curve; 88 % of its further sentences kept, and 8 % of what is not its own.
LEAST_CALIBRATION = 20
# The static tier is trusted only where it has shown so many times that it may be.
LEAST_GLANCED = 100
DEFAULT_SCOPE = (1.70, -1.70, 1.37, 4.04)
DEFAULT_STATIC_SCOPE = (1.65, -1.65, 4.18)
DEFAULT_OFFER_FROM = 0.02
NEVER = 2.0
# Which way energy, background and nearness speak.
SIGNS = np.array([1.0, -1.0, 1.0])
# Of all requests, the share that no expert can answer: what "in scope" is a probability under.
OUT_OF_SCOPE = 0.2
# What is ten to one out of scope is sent away even if that is more than was asked for: a few odd sentences in a small
# set of examples do not open the door to everything.
LEAST_IN_SCOPE = 0.1
# Of requests that an expert could answer, the share whose expert may be missing from what the caller is asked, and the
# share whose intent may be missing from the decision and its alternatives.
MISSED_EXPERTS = 0.01
MISSED_INTENTS = 0.01
LEAST_OFFERED = 0.001
# A second expert less likely than this is never worth a question; one more likely than that always is.
CLARIFY_BETWEEN = (0.2, 0.45)
# The static tier may decide wrongly where the encoder does not for one request in so many.
STATIC_MARGIN = 0.001


@dataclass(frozen=True, eq=False)
class Fitted:
    """Everything but the names.

    known: rows of the features that are kept to compare with, class after class. scope: factors of energy, foil and
    nearness, offset; static_scope: of energy and foil, offset. threshold: least log odds of being in scope.
    glance_from: least confidence of the static tier. clarify_from, offer_from: shares, of an expert from which the
    caller is asked back, of an intent from which it is among the alternatives. usual: per tier, static first, what a
    held-out sentence's own logit usually is, the others', and the background's.
    """

    static: Tier
    encoder: Tier
    known: npt.NDArray[np.int64]
    scope: tuple[float, ...]
    static_scope: tuple[float, ...]
    threshold: float
    glance_from: float
    clarify_from: float
    offer_from: float
    usual: tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows kept apart to calibrate on. classes: −1 for what is out of scope."""

    features: Vectors
    classes: Classes


@dataclass(slots=True)
class _Scores:
    """Of rows whose heads have not seen them. classes: −1: out of scope. nearness: cosine to the nearest sentence."""

    classes: Classes
    static: Floats
    encoder: Floats
    nearness: Floats

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        return self.classes >= 0

    def signals(self) -> Floats:
        return np.stack([log_sum_exp(self.encoder[:, :-1]), self.encoder[:, -1], self.nearness], axis=1)

    def static_signals(self) -> Floats:
        return np.stack([log_sum_exp(self.static[:, :-1]), self.static[:, -1]], axis=1)


def fit(
    features: Vectors,
    classes: Classes,
    expert_of: npt.NDArray[np.int64],
    background: Background,
    *,
    reject_in_scope: float,
    validation: Labelled | None = None,
) -> Fitted:
    """features: float32 (n, 1536). classes: (n,), class after class. expert_of: (classes,), the expert's number.

    validation: where given, the last word on temperature, threshold and stack; it was in nobody's training.
    """
    count = len(expert_of)
    drawn, at_home = int(np.clip(DRAWN_PER_SENTENCE * len(features), *DRAWN)), _at_home(features, background)
    foil, judge = (background.draw(drawn, seed, at_home) for seed in (1, 2))
    blocks = features.reshape(len(features), -1, DIMENSIONS)
    general = background.shares @ background.centres.reshape(len(background.centres), -1)
    mean = (blocks.sum(axis=0) + CENTRE_INERTIA * general.reshape(-1, DIMENSIONS)) / (len(blocks) + CENTRE_INERTIA)
    centre = mean.astype(np.float32)

    # An intent of few sentences would be drowned by those of many.
    sizes = np.bincount(classes, minlength=count)
    own_weights = (sizes.mean() / np.maximum(sizes, 1))[classes] ** BALANCE

    def tier_fitter(wanted: tuple[int, ...], *, rivals: bool) -> Callable[[npt.NDArray[Any], int], Tier]:
        """Rows and steps → a tier fitted on these rows and on the background."""
        own = centre[list(wanted)]
        points = np.vstack([prepare(features, wanted, own), prepare(foil, wanted, own)])
        labels = np.append(classes, np.full(len(foil), count, np.int32))

        def weights_of(rows: npt.NDArray[Any]) -> Floats:
            # The background weighs as much as a few intents: enough to be told from, too little to push them about.
            inside = own_weights[rows]
            away = FOIL_INTENTS * max(float(inside.sum()), 1.0) / count / max(len(foil), 1)
            return np.append(inside, np.full(len(foil), away))

        basis = Basis.of(points, count + 1, weights_of(np.arange(len(features)))) if not rivals else None
        seen = points if basis is None else basis.rows(points)
        foil_rows = np.arange(len(features), len(points))

        def fitted(rows: npt.NDArray[Any], steps: int) -> Tier:
            every = np.append(rows, foil_rows)
            if basis is None:
                few = {} if count > MANY or len(features) > BRIEF_SENTENCES else {"rivals": RIVALS, "rounds": ROUNDS}
                head, offset = fit_prototypes(seen[every], labels[every], count + 1, weights_of(rows), **few)
            else:
                head, offset = basis.fit(seen[every], labels[every], count + 1, weights_of(rows), steps)
            return Tier(wanted, own, head.astype(np.float32), offset.astype(np.float32))

        return fitted

    every = np.arange(len(features))
    fitters = (
        tier_fitter(STATIC_BLOCKS, rivals=count > MANY),
        tier_fitter(ENCODER_BLOCKS, rivals=count > MANY or len(features) > MANY_SENTENCES),
    )
    static, encoder = (fitter(every, STEPS) for fitter in fitters)
    known = spread_out(vectors(features), classes, every)

    held: list[_Scores] = []
    for rest, left_out, missing in _held_out(classes, expert_of):
        tiers = fitters[0](rest, FOLD_STEPS), fitters[1](rest, FOLD_STEPS)
        fold = len(held) % FOLDS
        out, strangers = (_some(part) if count > MANY else part for part in (left_out, missing))
        rows = np.vstack([features[out], features[strangers], judge[fold::FOLDS]])
        truth = np.append(classes[out], np.full(len(rows) - len(out), -1)).astype(np.int32)
        kept = spread_out(vectors(features), classes, rest)
        held.append(_score(tiers, rows, truth, vectors(features[kept]), classes[kept]))
        if count > MANY:
            break
    if not held:
        return Fitted(
            static,
            encoder,
            known,
            DEFAULT_SCOPE,
            DEFAULT_STATIC_SCOPE,
            0.0,
            NEVER,
            CLARIFY_BETWEEN[0],
            DEFAULT_OFFER_FROM,
            (_usual_at_first(static, features, classes, judge), _usual_at_first(encoder, features, classes, judge)),
        )
    scores = _joined(held)
    scope = _stack(scores.signals(), scores.inside)
    static_scope = _stack(scores.static_signals(), scores.inside)
    if validation is not None:
        near = vectors(features[known])
        asked = _score((static, encoder), validation.features, validation.classes, near, classes[known])
        if (~asked.inside).any():
            scope = _refit(scope, asked.signals(), asked.inside)
            static_scope = _refit(static_scope, asked.static_signals(), asked.inside)
        scores = asked
    # The stack weighs both sides alike; requests do not come so.
    prior = math.log((1 - OUT_OF_SCOPE) / OUT_OF_SCOPE)
    scope[-1] += prior
    static_scope[-1] += prior
    within = np.flatnonzero(scores.inside)
    truth = scores.classes[within]
    odds = scores.signals() @ scope[:-1] + scope[-1]
    ordered = np.sort(odds[within])
    threshold = max(
        float(ordered[int(reject_in_scope * len(ordered))]), math.log(LEAST_IN_SCOPE / (1 - LEAST_IN_SCOPE))
    )
    temperatures = [fit_temperature(part[within, :-1], truth) for part in (scores.static, scores.encoder)]
    static = Tier(static.blocks, static.centre, static.head, static.offset, temperatures[0])
    encoder = Tier(encoder.blocks, encoder.centre, encoder.head, encoder.offset, temperatures[1])
    shares = encoder.shares(scores.encoder[within, :-1])
    return Fitted(
        static,
        encoder,
        known,
        tuple(map(float, scope)),
        tuple(map(float, static_scope)),
        threshold,
        _glance_from(scores, static, static_scope, odds >= threshold),
        _clarify_from(shares, truth, expert_of),
        max(_missing(shares[np.arange(len(truth)), truth], MISSED_INTENTS), LEAST_OFFERED),
        (_usual(scores.static[within], truth), _usual(scores.encoder[within], truth)),
    )


def nearness(points: Vectors, logits: Floats, known: Vectors, known_class: Classes) -> Floats:
    """Cosine of each row of `points` (n, 384) to the nearest known sentence of its likeliest intents, (n,)."""
    nearest = np.full(len(points), -1.0, np.float32)
    for first in range(0, len(points), 512):
        part = slice(first, first + 512)
        likely = np.argsort(-logits[part], axis=1)[:, :COMPARED]
        cosines = points[part] @ known.T
        wanted = (known_class[None, :, None] == likely[:, None, :]).any(axis=2)
        nearest[part] = np.where(wanted, cosines, -1.0).max(axis=1)
    return nearest


def spread_out(points: Vectors, classes: Classes, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Those of `rows` to compare with: all, or of each class the most different ones (farthest first)."""
    if len(rows) <= MOST_KNOWN:
        return rows
    labels = classes[rows]
    present, starts = np.unique(labels, return_index=True)
    each = max(LEAST_KNOWN, MOST_KNOWN // len(present))
    chosen: list[npt.NDArray[np.int64]] = []
    for mine in np.split(rows, starts[1:]):
        if len(mine) <= each:
            chosen.append(mine)
            continue
        group = points[mine]
        picked = [int((group @ group.mean(axis=0)).argmax())]
        nearest = group @ group[picked[0]]
        while len(picked) < each:
            picked.append(int(nearest.argmin()))
            nearest = np.maximum(nearest, group @ group[picked[-1]])
        chosen.append(mine[np.sort(picked)])
    return np.concatenate(chosen)


# --- Parts -----------------------------------------------------------------------------------------------------------


def _at_home(features: Vectors, background: Background) -> npt.NDArray[np.bool_]:
    """Which background clusters lie where an expert is at home; fitting against them would push it off its own ground.

    A cluster does when its centre is as near to a sentence as half of the sentences are to each other.
    """
    points = vectors(features)
    near = 0.6
    if len(points) > 1:
        some = np.random.default_rng(0).permutation(len(points))[:3000]
        cosines = points[some] @ points[some].T
        np.fill_diagonal(cosines, -1)
        near = max(float(np.median(cosines.max(axis=1))), 0.5)
    return np.asarray((background.directions @ points.T).max(axis=1) >= near)


def _held_out(
    classes: Classes, expert_of: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Fold by fold, rows: to fit on, held out, and of experts that are missing altogether.

    A quarter of the experts is missing in each fold: what they own is out of scope for its heads, and close by.
    """
    fold = np.full(len(classes), -1)
    random = np.random.default_rng(0)
    for number in np.unique(classes):
        rows = np.flatnonzero(classes == number)
        if len(rows) >= LEAST_HELD_OUT:
            # Neighbouring lines of a file are often variants of one another: mixed, each fold has some of each kind.
            fold[rows] = (random.permutation(len(rows)) + number) % FOLDS
    experts = int(expert_of.max()) + 1
    group = expert_of[classes] % FOLDS if experts > 1 else np.full(len(classes), -1)
    if (fold >= 0).sum() < LEAST_CALIBRATION:
        return
    for number in range(FOLDS):
        rest = np.flatnonzero((fold != number) & (group != number))
        out = np.flatnonzero((fold == number) & (group != number))
        if len(rest) and len(out):
            yield rest, out, np.flatnonzero(group == number)


def _some(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).permutation(rows)[:JUDGED])


def _score(tiers: tuple[Tier, Tier], rows: Vectors, truth: Classes, known: Vectors, known_class: Classes) -> _Scores:
    static, encoder = (tier.read(rows) @ tier.head.T + tier.offset for tier in tiers)
    return _Scores(truth, static, encoder, nearness(vectors(rows), encoder[:, :-1], known, known_class))


def _joined(parts: list[_Scores]) -> _Scores:
    return _Scores(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("classes", "static", "encoder", "nearness")
        )
    )


def _stack(signals: Floats, inside: npt.NDArray[np.bool_]) -> Floats:
    """Factors of the signals, and an offset. A signal that would count the wrong way round, as happens with few
    sentences, does not count."""
    factors = np.zeros(signals.shape[1] + 1)
    used = np.arange(signals.shape[1])
    while len(used):
        found = fit_logistic(signals[:, used], inside)
        right_way = found[:-1] * SIGNS[used] > 0
        if right_way.all():
            factors[used], factors[-1] = found[:-1], found[-1]
            break
        used = used[right_way]
    return factors


def _refit(scope: Floats, signals: Floats, inside: npt.NDArray[np.bool_]) -> Floats:
    """The stack on validation rows, which are few: one slope and one offset on the cross-fitted stack's odds."""
    slope, offset = fit_logistic((signals @ scope[:-1] + scope[-1])[:, None], inside)
    return np.append(scope[:-1] * slope, scope[-1] * slope + offset)


def _usual(logits: Floats, truth: Classes) -> tuple[float, float, float]:
    own = logits[np.arange(len(truth)), truth]
    # The median: intents that a fold's head has never seen stand far below all others.
    others = np.median(logits[:USUAL, :-1], axis=1)
    return float(np.median(own)), float(np.median(others)), float(np.median(logits[:, -1]))


def _usual_at_first(tier: Tier, features: Vectors, classes: Classes, judge: Vectors) -> tuple[float, float, float]:
    """With nothing held out: from the sentences themselves, and from rows of the background for the others' logits."""
    own, far = (tier.read(rows) @ tier.head.T + tier.offset for rows in (features, judge))
    mine = own[np.arange(len(classes)), classes]
    return float(np.median(mine)), float(np.median(far[:, :-1])), float(np.median(own[:, -1]))


def _glance_from(scores: _Scores, static: Tier, scope: Floats, kept: npt.NDArray[np.bool_]) -> float:
    """The least confidence from which on the static tier sends no more requests wrong than the encoder does.

    kept: what the encoder tier would not send away.
    """
    inside = 1 / (1 + np.exp(-np.clip(scores.static_signals() @ scope[:-1] + scope[-1], -40, 40)))
    shares = static.shares(scores.static[:, :-1])
    confidence = inside * shares.max(axis=1)
    wrong = scores.static[:, :-1].argmax(axis=1) != scores.classes
    wrong_encoder = kept & (scores.encoder[:, :-1].argmax(axis=1) != scores.classes)
    order = np.argsort(-confidence)
    more_wrong = np.cumsum(wrong[order].astype(int) - wrong_encoder[order])
    safe = more_wrong <= STATIC_MARGIN * np.arange(1, len(order) + 1)
    if not safe.any():
        return NEVER
    last = int(np.flatnonzero(safe)[-1])
    return float(confidence[order[last]]) if last + 1 >= LEAST_GLANCED else NEVER


def _missing(shares: Floats, most: float) -> float:
    """The share that all but `most` of the right answers have: the edge of a conformal set (least ambiguous sets,
    Sadinle et al., 2019)."""
    ordered = np.sort(shares)
    return float(ordered[int(most * len(ordered))])


def _clarify_from(shares: Floats, truth: Classes, expert_of: npt.NDArray[np.int64]) -> float:
    """The share from which a second expert is worth a question: conformal, within bounds, so that a question stays the
    exception."""
    mine = expert_of[None, :] == expert_of[truth][:, None]
    return float(np.clip(_missing((shares * mine).sum(axis=1), MISSED_EXPERTS), *CLARIFY_BETWEEN))
