"""The route index: unit vector → decision. Frozen; a change of experts makes a new one beside it.

Fitting gives three things, all from the experts' own sentences and the background of requests in general:

1. a softmax head over the intents, with one class more for the background;
2. a logistic stack of three signals that a request is in scope: the energy of the experts' logits (Liu et al., 2020),
   the background's logit, and how near the request is to sentences that experts own;
3. the operating point. Every sentence is scored by a head that has not seen it (cross-fitting); the threshold sends
   away at most the stated share of them, and the temperature and the stack make the confidence a probability.

What is out of scope is told to the stack twice: as draws from the background, far away, and as the sentences of experts
that a fold's head was fitted without, close by. The second are real sentences, and without them the stack trusts
nearness too much (CLINC150: area under the curve 0.90 without, 0.98 with).

Knows experts and intents as names alone, and text only to remember it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .background import Background
from .head import fit_logistic, fit_softmax, fit_temperature, log_sum_exp, softmax
from .recall import LONGEST_CHARACTERS, Recall, normalise

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating[Any]]

# Rises whenever the same sentences would give another index.
RECIPE = 1
FOLDS = 4
STEPS = 15
# Vectors drawn from the background, to fit against and, others, to judge by.
DRAWN = 1500
# How many intents the background weighs as much as.
FOIL_INTENTS = 4
# Sentences compared with at each decision; more cost more than they tell.
MOST_NEIGHBOURS = 2048
# How sharply the similarity signal prefers the nearest sentence to many near ones.
SHARPNESS = 20.0
# Intents with fewer sentences are never held out: there would be nothing left to learn them from.
LEAST_HELD_OUT = 3
# With fewer held-out sentences than this the stack is this one and the threshold even odds. Fitted on experts of one to
# nine sentences, each alone against the background: 0.93 to 0.99 under the curve.
LEAST_CALIBRATION = 20
DEFAULT_SCOPE = (2.7, -2.7, 3.1, 5.7)
# What is ten to one out of scope is sent away even if that is more than was asked for: a few odd sentences in a small
# set of examples do not open the door to everything.
LEAST_IN_SCOPE = 0.1
# Of requests that an expert could answer, the share whose expert may be missing from what the caller is offered.
MISSED_EXPERTS = 0.01
# A second expert less likely than this is never worth a question; one more likely than that always is.
CLARIFY_BETWEEN = (0.2, 0.45)


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
    alternatives: likeliest first, without the best; where the verdict is "clarify", the best of each other expert that
    is close. reason: in words. neighbours: the nearest sentence.
    """

    verdict: Literal["routed", "clarify", "titan"]
    expert: str
    intent: str
    confidence: float
    tier: Literal["exact", "static", "encoder"]
    alternatives: tuple[Alternative, ...]
    reason: str
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that a decision rests on.

    margin: log odds of the experts against the background, by the head. similarity: soft maximum of the cosines to the
    experts' sentences. score: log odds of being in scope, from both; in_scope: the same as a probability;
    least_in_scope: below it the titan is asked.
    rival: the second expert's share among experts; clarify_from: from there on the caller is asked back.
    """

    decision: Decision
    margin: float
    similarity: float
    score: float
    in_scope: float
    least_in_scope: float
    rival: float
    clarify_from: float
    candidates: tuple[Alternative, ...]
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, eq=False, repr=False)
class RouteIndex:
    """Made by `fit` or `load`.

    owners: (expert, intent) per class. head: float32 (classes + 1, d) and offset (classes + 1,), the background last.
    known, known_class, known_text: the sentences compared with. scope: factors of margin and similarity, offset.
    threshold: least log odds of being in scope. temperature: on the logits. clarify_from: a share.
    """

    owners: tuple[tuple[str, str], ...]
    head: Vectors
    offset: Vectors
    known: Vectors
    known_class: npt.NDArray[np.int32]
    known_text: tuple[str, ...]
    scope: tuple[float, float, float, float]
    threshold: float
    temperature: float
    clarify_from: float
    _experts: tuple[str, ...] = field(init=False)
    _members: Vectors = field(init=False)
    _own: dict[str, int] = field(init=False)
    _recall: Recall[Decision] = field(init=False, default_factory=Recall)

    def __post_init__(self) -> None:
        experts = tuple(sorted({expert for expert, _ in self.owners}))
        members = np.zeros((len(experts), len(self.owners)), np.float32)
        for number, (expert, _) in enumerate(self.owners):
            members[experts.index(expert), number] = 1
        object.__setattr__(self, "_experts", experts)
        object.__setattr__(self, "_members", members)
        # An expert's own sentence, word for word, needs no weighing; one that two experts claim does.
        own: dict[str, int] = {}
        claimed: dict[str, str] = {}
        for number, text in zip(self.known_class.tolist(), self.known_text, strict=True):
            key, expert = normalise(text), self.owners[number][0]
            if claimed.setdefault(key, expert) == expert:
                own.setdefault(key, number)
            else:
                own.pop(key, None)
        object.__setattr__(self, "_own", own)

    # --- Deciding ----------------------------------------------------------------------------------------------------

    def recall(self, text: str) -> Decision | None:
        """The exact tier: an expert's own sentence, or what was decided for this one before; None: neither."""
        decision = self._recall.get(text)
        if decision is None and len(text) <= LONGEST_CHARACTERS and (own := self._own.get(normalise(text))) is not None:
            expert, intent = self.owners[own]
            reason = f"one of the sentences that {expert} owns"
            decision = Decision("routed", expert, intent, 1.0, "exact", (), reason)
        return decision

    def decide(self, vector: Vectors, text: str = "") -> Decision:
        """vector: float32 (d,), unit length. text: where given, the decision is remembered for `recall`."""
        decision = self._decide(vector)[0]
        if text:
            self._recall.put(text, replace(decision, tier="exact"))
        return decision

    def explain(self, vector: Vectors) -> Explanation:
        """The decision and all that it rests on. vector: float32 (d,), unit length."""
        decision, figures = self._decide(vector)
        margin, similarity, score, rival, chances, cosines = figures
        return Explanation(
            decision=decision,
            margin=margin,
            similarity=similarity,
            score=score,
            in_scope=_sigmoid(score),
            least_in_scope=_sigmoid(self.threshold),
            rival=rival,
            clarify_from=self.clarify_from,
            candidates=tuple(self._alternative(int(number), chances) for number in np.argsort(-chances)[:10]),
            neighbours=tuple(self._neighbour(int(row), cosines) for row in np.argsort(-cosines)[:8]),
        )

    def _decide(self, vector: Vectors) -> tuple[Decision, tuple[float, float, float, float, Floats, Floats]]:
        count = len(self.owners)
        if not count:
            nothing = np.zeros(0, np.float32)
            decision = Decision("titan", "", "", 0.0, "encoder", (), "no expert is installed")
            return decision, (0.0, 0.0, -40.0, 0.0, nothing, nothing)
        logits = self.head @ vector + self.offset
        cosines = self.known @ vector
        energy, foil = float(log_sum_exp(logits[:count])), float(logits[count])
        similarity = float(_similarity(cosines))
        of_energy, of_foil, of_similarity, offset = self.scope
        score = of_energy * energy + of_foil * foil + of_similarity * similarity + offset
        in_scope = _sigmoid(score)
        shares = softmax(self.temperature * logits[:count])
        chances = in_scope * shares

        # The expert first, then its intent: several likely intents of one expert speak for that expert.
        by_expert = self._members @ shares
        winner = int(by_expert.argmax())
        expert = self._experts[winner]
        best = int((shares * self._members[winner]).argmax())
        intent = self.owners[best][1]
        share, by_expert[winner] = float(by_expert[winner]), -1.0
        second = int(by_expert.argmax())
        rival = max(float(by_expert[second]), 0.0)

        confidence = float(chances[best])
        nearest = self._neighbour(int(cosines.argmax()), cosines)
        shown = f"nearest {nearest.sentence!r} ({nearest.expert}, cosine {nearest.similarity:.2f})"
        verdict: Literal["routed", "clarify", "titan"]
        others = [number for number in np.argsort(-shares)[:5].tolist() if number != best and shares[number] >= 0.02]
        if score < self.threshold:
            verdict = "titan"
            reason = f"no expert fits: {in_scope:.0%} in scope, {_sigmoid(self.threshold):.0%} needed; {shown}"
        elif rival >= self.clarify_from:
            verdict = "clarify"
            reason = (
                f"{expert} and {self._experts[second]} are close: {share:.0%} and {rival:.0%} among experts; {shown}"
            )
            close = np.flatnonzero(by_expert >= self.clarify_from)
            others = [int((shares * self._members[number]).argmax()) for number in close[np.argsort(-by_expert[close])]]
        else:
            verdict = "routed"
            reason = f"{expert} {intent} at {confidence:.0%}; {shown}"
        alternatives = tuple(self._alternative(number, chances) for number in others)
        decision = Decision(verdict, expert, intent, confidence, "encoder", alternatives, reason, (nearest,))
        return decision, (energy - foil, similarity, score, rival, chances, cosines)

    def _alternative(self, number: int, chances: Floats) -> Alternative:
        expert, intent = self.owners[number]
        return Alternative(expert, intent, float(chances[number]))

    def _neighbour(self, row: int, cosines: Floats) -> Neighbour:
        expert, intent = self.owners[self.known_class[row]]
        return Neighbour(expert, intent, self.known_text[row], float(cosines[row]))

    @classmethod
    def empty(cls, dimensions: int) -> RouteIndex:
        """Knows no expert: every request is the titan's."""
        none = np.zeros((0, dimensions), np.float32)
        head, offset = np.zeros((1, dimensions), np.float32), np.zeros(1, np.float32)
        return cls((), head, offset, none, np.zeros(0, np.int32), (), DEFAULT_SCOPE, 0.0, 1.0, 1.0)

    # --- Fitting -----------------------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        intents: Sequence[Intent],
        vectors: Vectors,
        background: Background,
        reject_in_scope: float = 0.03,
    ) -> RouteIndex:
        """vectors: float32 (n, d), unit length, one per sentence, intent after intent.

        reject_in_scope: of requests that an expert could answer, the share that may be sent away.

        Raises: ValueError: as many vectors as sentences are needed.
        """
        intents = [intent for intent in intents if intent.sentences]
        texts = tuple(text for intent in intents for text in intent.sentences)
        if len(texts) != len(vectors):
            raise ValueError(f"{len(vectors)} vectors for {len(texts)} sentences; there must be one for each, in order")
        owners = tuple((intent.expert, intent.name) for intent in intents)
        width = len(background.spread)
        if not owners:
            return cls.empty(width)
        classes = np.repeat(np.arange(len(owners), dtype=np.int32), [len(intent.sentences) for intent in intents])
        inside = _inside(vectors, background)
        foil, judge = (background.draw(DRAWN, seed, inside) for seed in (1, 2))

        def head_on(rows: npt.NDArray[Any]) -> tuple[Floats, Floats]:
            chosen = vectors[rows]
            # The background weighs as much as a few intents: enough to be told from, too little to push them about.
            weight = FOIL_INTENTS * max(len(chosen), 1) / len(owners) / max(len(foil), 1)
            weights = np.append(np.ones(len(chosen)), np.full(len(foil), weight))
            labels = np.append(classes[rows], np.full(len(foil), len(owners), np.int32))
            return fit_softmax(np.vstack([chosen, foil]), labels, len(owners) + 1, weights, STEPS)

        head, offset = head_on(np.arange(len(vectors)))
        fold, group = _folds(classes), _groups(owners)[classes]
        held: list[tuple[npt.NDArray[np.int32], Floats, Floats]] = []  # class, logits, signals of held-out sentences
        far: list[Floats] = []  # signals of what is out of scope
        for number in range(FOLDS if (fold >= 0).sum() >= LEAST_CALIBRATION else 0):
            # A quarter of the experts is missing too: what they own is out of scope for this head, and close by.
            rest = np.flatnonzero((fold != number) & (group != number))
            out = np.flatnonzero((fold == number) & (group != number))
            if not len(rest) or not len(out):
                continue
            part_head, part_offset = head_on(rest)
            known = vectors[_spread_out(vectors, classes, rest)]
            strangers = np.vstack([judge[number::FOLDS], vectors[group == number]])
            near_logits, far_logits = (x @ part_head.T + part_offset for x in (vectors[out], strangers))
            held.append((classes[out], near_logits, _signals(near_logits, vectors[out] @ known.T)))
            far.append(_signals(far_logits, strangers @ known.T))

        scope, threshold, temperature, clarify_from = DEFAULT_SCOPE, 0.0, 1.0, CLARIFY_BETWEEN[0]
        if held:
            truth, logits, near = (np.concatenate(part) for part in zip(*held, strict=True))
            away = np.concatenate(far)
            factors = fit_logistic(np.vstack([near, away]), np.arange(len(near) + len(away)) < len(near))
            scope = (float(factors[0]), float(factors[1]), float(factors[2]), float(factors[3]))
            scores = np.sort(near @ np.array(scope[:3]) + scope[3])
            threshold = max(
                float(scores[int(reject_in_scope * len(scores))]), math.log(LEAST_IN_SCOPE / (1 - LEAST_IN_SCOPE))
            )
            temperature = fit_temperature(logits[:, :-1], truth)
            clarify_from = _clarify_from(softmax(temperature * logits[:, :-1]), truth, owners)
        kept = _spread_out(vectors, classes, np.arange(len(vectors)))
        return cls(
            owners=owners,
            head=head.astype(np.float32),
            offset=offset.astype(np.float32),
            known=np.ascontiguousarray(vectors[kept], np.float32),
            known_class=classes[kept],
            known_text=tuple(texts[row] for row in kept),
            scope=scope,
            threshold=threshold,
            temperature=temperature,
            clarify_from=clarify_from,
        )

    # --- On disk -----------------------------------------------------------------------------------------------------

    @staticmethod
    def key(trunk_id: str, intents: Sequence[Intent], reject_in_scope: float = 0.03) -> str:
        """sha256, hex, of all that an index is made from: name a saved one after it, and it is never a stale one."""
        content = [RECIPE, trunk_id, reject_in_scope, [[i.expert, i.name, list(i.sentences)] for i in intents]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Writes beside `path` and renames: whoever reads sees a whole index or none."""
        names = json.dumps({"owners": self.owners, "known_text": self.known_text}).encode()
        figures = [*self.scope, self.threshold, self.temperature, self.clarify_from]
        buffer = io.BytesIO()
        np.savez(
            buffer,
            names=np.frombuffer(names, np.uint8),
            figures=np.array(figures, np.float64),
            head=self.head,
            offset=self.offset,
            known=self.known,
            known_class=self.known_class,
        )
        part = path.with_name(path.name + ".part")
        part.write_bytes(buffer.getvalue())
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> RouteIndex:
        """Raises: ValueError: the file is damaged; fit anew. FileNotFoundError: there is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                names = json.loads(file["names"].tobytes())
                figures = [float(figure) for figure in file["figures"]]
                head, offset, known, known_class = (file[name] for name in ("head", "offset", "known", "known_class"))
            owners = tuple((str(expert), str(intent)) for expert, intent in names["owners"])
            texts = tuple(map(str, names["known_text"]))
            shapes = (head.shape[0], offset.shape, known.shape[0], known_class.shape, len(figures))
            if shapes != (len(owners) + 1, (len(owners) + 1,), len(texts), (len(texts),), 7):
                raise ValueError("its parts do not fit together")
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
            raise ValueError(f"{path}: damaged route index ({error}); delete it, it is made anew") from error
        scope = (figures[0], figures[1], figures[2], figures[3])
        return cls(owners, head, offset, known, known_class, texts, scope, *figures[4:])


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-min(max(score, -40.0), 40.0)))


def _similarity(cosines: Floats) -> Floats:
    """Soft maximum over the last axis: the nearest sentence counts most, several near ones a little more."""
    return np.asarray(log_sum_exp(SHARPNESS * cosines) / SHARPNESS)


def _signals(logits: Floats, cosines: Floats) -> Floats:
    """logits: (n, classes + 1), cosines: (n, known) → (n, 3): energy of the experts, background logit, similarity."""
    return np.stack([log_sum_exp(logits[:, :-1]), logits[:, -1], _similarity(cosines)], axis=1)


def _inside(vectors: Vectors, background: Background) -> npt.NDArray[np.bool_]:
    """Which background clusters lie where an expert is at home; fitting against them would push it off its own ground.

    A cluster does when its centre is as near to a sentence as half of the sentences are to each other.
    """
    if len(vectors) < 2:
        at_home = 0.6
    else:
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -1)
        at_home = max(float(np.median(cosines.max(axis=1))), 0.5)
    return np.asarray((background.directions @ vectors.T).max(axis=1) >= at_home)


def _folds(classes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The fold in which each sentence is held out; −1: in none."""
    fold = np.full(len(classes), -1)
    random = np.random.default_rng(0)
    for number in np.unique(classes):
        rows = np.flatnonzero(classes == number)
        if len(rows) >= LEAST_HELD_OUT:
            # Neighbouring lines of a file are often variants of one another: mixed, each fold has some of each kind.
            fold[rows] = (random.permutation(len(rows)) + number) % FOLDS
    return fold


def _groups(owners: tuple[tuple[str, str], ...]) -> npt.NDArray[np.int64]:
    """The fold in which each class is missing, expert by expert; one expert alone is never missing."""
    experts = sorted({expert for expert, _ in owners})
    if len(experts) < 2:
        return np.full(len(owners), -1)
    return np.array([experts.index(expert) % FOLDS for expert, _ in owners])


def _spread_out(vectors: Vectors, classes: npt.NDArray[np.int32], rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Those of `rows` to compare with: all, or of each class the most different ones (farthest first)."""
    if len(rows) <= MOST_NEIGHBOURS:
        return rows
    labels = classes[rows]
    present = np.unique(labels)
    each = max(4, MOST_NEIGHBOURS // len(present))
    chosen: list[int] = []
    for number in present:
        mine = rows[labels == number]
        group = vectors[mine]
        picked = [int((group @ group.mean(axis=0)).argmax())]
        nearest = group @ group[picked[0]]
        while len(picked) < min(each, len(mine)):
            picked.append(int(nearest.argmin()))
            nearest = np.maximum(nearest, group @ group[picked[-1]])
        chosen += mine[picked].tolist()
    return np.array(sorted(chosen))


def _clarify_from(shares: Floats, truth: npt.NDArray[Any], owners: tuple[tuple[str, str], ...]) -> float:
    """The share from which a second expert is worth a question.

    Conformal (least ambiguous sets, Sadinle et al., 2019): the experts above it hold the right one for all but
    `MISSED_EXPERTS` of the held-out sentences; within bounds, so that a question stays the exception.
    """
    names = np.array([expert for expert, _ in owners])
    right = np.sort([float(row[names == names[number]].sum()) for row, number in zip(shares, truth, strict=True)])
    low, high = CLARIFY_BETWEEN
    return float(np.clip(right[int(MISSED_EXPERTS * len(right))], low, high))
