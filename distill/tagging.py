"""Fits the weights of a learned tagger to marked texts.

A linear-chain conditional random field (Lafferty et al., 2001), fitted by gradient with features left out by chance
(Srivastava et al., 2014), those that know the word itself most often: names that nobody listed are to be found by their
form and by their neighbours. Knows no expert.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from expertd.experts.kinds.tagger import Finder, labels
from expertd.experts.tagging.sequence import (
    FEATURES,
    LEXICAL,
    MAX_TOKENS,
    SequenceTagger,
    Vocabulary,
    features,
    known_types,
    tokens,
)

from .span_measure import Marked


@dataclass(frozen=True)
class Recipe:
    """How to fit. rate, decay: of AdamW (Loshchilov and Hutter, 2019). dropped, dropped_lexical: the share of features
    left out. unlisted: of sentences read as if no list had their names. bits: of the bins. outside: see
    `SequenceTagger`."""

    epochs: int = 3
    rate: float = 0.015
    decay: float = 0.02
    dropped: float = 0.15
    dropped_lexical: float = 0.3
    unlisted: float = 0.35
    batch: int = 64
    bits: int = 16
    outside: float = 0.3
    seed: int = 7


class Example(NamedTuple):
    """bins: int64 (n, FEATURES); tags: int64 (n,), the label of each word."""

    bins: npt.NDArray[np.int64]
    tags: npt.NDArray[np.int64]


def examples(
    texts: Iterable[Marked], learned: Sequence[str], known: Finder, vocabulary: Vocabulary, recipe: Recipe
) -> list[Example]:
    """Each text as the tagger reads it. known: the recognisers, all that they find."""
    blind = Vocabulary(vocabulary.common, {})
    chance = random.Random(recipe.seed)  # noqa: S311 (no secret)
    names = {label: number for number, label in enumerate(labels(learned))}
    found = []
    for text, spans in texts:
        these = tokens(text)[:MAX_TOKENS]
        if not these:
            continue
        seen = blind if chance.random() < recipe.unlisted else vocabulary
        tags = np.zeros(len(these), np.int64)
        for start, end, type_ in spans:
            if type_ in learned:
                inside = [place for place, word in enumerate(these) if start <= word.start < end]
                for place in inside:
                    tags[place] = names[f"{'B' if place == inside[0] else 'I'}-{type_}"]
        found.append(Example(features(text, these, known_types(these, known.spans(text)), seen, recipe.bits), tags))
    return found


def fit(
    texts: Sequence[Marked],
    learned: Sequence[str],
    known: Finder,
    vocabulary: Vocabulary,
    recipe: Recipe,
    *,
    told: Callable[[str], None],
) -> SequenceTagger:
    """The tagger that makes the tags of the texts likeliest, its weights rounded to int8."""
    import torch

    # One thread: the sums are always taken in one order, and the steps are too small to share.
    torch.set_num_threads(1)
    given = examples(texts, learned, known, vocabulary, recipe)
    told(f"{len(given):,} sentences, {sum(len(each.tags) for each in given):,} words")
    names = labels(learned)
    count = len(names)
    emissions = torch.zeros(2**recipe.bits, count, requires_grad=True)
    steps = torch.zeros(count, count, requires_grad=True)
    first = torch.zeros(count, requires_grad=True)
    # I-x follows B-x and I-x alone.
    closed = torch.zeros(count, count)
    for place, name in enumerate(names):
        if name.startswith("I-"):
            closed[:, place] = -20.0
            closed[names.index(f"B-{name[2:]}"), place] = closed[place, place] = 0.0
    closed_first = torch.tensor([-20.0 if name.startswith("I-") else 0.0 for name in names])
    optimiser = torch.optim.AdamW([emissions, steps, first], lr=recipe.rate, weight_decay=recipe.decay)
    chance = np.random.default_rng(recipe.seed)
    kept = np.full(FEATURES, 1 - recipe.dropped, np.float32)
    kept[list(LEXICAL)] = 1 - recipe.dropped_lexical
    kept[0] = 1.0
    rounds = recipe.epochs * -(-len(given) // recipe.batch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, rounds)
    for epoch in range(recipe.epochs):
        # Batches of like length, in an order of chance.
        order = sorted(range(len(given)), key=lambda place: (len(given[place].tags) + chance.integers(0, 6), place))
        batches = [order[place : place + recipe.batch] for place in range(0, len(order), recipe.batch)]
        total = 0.0
        for number in chance.permutation(len(batches)):
            some = [given[place] for place in batches[number]]
            bins = np.concatenate([each.bins for each in some])
            weights = (chance.random(bins.shape, np.float32) < kept) / kept
            scores = torch.nn.functional.embedding_bag(
                torch.from_numpy(bins), emissions, mode="sum", per_sample_weights=torch.from_numpy(weights)
            )
            loss = _loss(scores, some, steps + closed, first + closed_first)
            optimiser.zero_grad()
            (loss / len(some)).backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        told(f"epoch {epoch + 1}: {total / len(given):.4f}")
    weights = emissions.detach().numpy()
    # The few greatest are cut, so that the many small ones keep their digits.
    scale = np.maximum(np.quantile(np.abs(weights), 0.99999, axis=0), 1e-6).astype(np.float32) / 127
    return SequenceTagger(
        names,
        np.clip(np.rint(weights / scale), -127, 127).astype(np.int8),
        scale,
        (steps + closed).detach().numpy().astype(np.float32),
        (first + closed_first).detach().numpy().astype(np.float32),
        vocabulary,
        recipe.outside,
    )


def _loss(scores: Any, some: Sequence[Example], steps: Any, first: Any) -> Any:
    """The negative log-likelihood of the tags of a batch. scores: (words of all, k), one sentence after the other."""
    import torch

    lengths = [len(each.tags) for each in some]
    padded = torch.nn.utils.rnn.pad_sequence(list(torch.split(scores, lengths)))
    tags = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each.tags) for each in some])
    real = torch.arange(max(lengths))[:, None] < torch.tensor(lengths)[None]
    said = padded.gather(2, tags[:, :, None])[:, :, 0] * real
    path = said.sum() + first[tags[0]].sum() + (steps[tags[:-1], tags[1:]] * real[1:]).sum()
    ahead = first + padded[0]
    for place in range(1, max(lengths)):
        onward = torch.logsumexp(ahead[:, :, None] + steps[None], 1) + padded[place]
        ahead = torch.where(real[place][:, None], onward, ahead)
    return torch.logsumexp(ahead, 1).sum() - path
