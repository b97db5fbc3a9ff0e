"""Fine-tunes the trunk on intents and exports it like the pinned one: int8, with an id of its own.

    python -m expertd.distill.finetune --train FILE [--split NAME] [--valid FILE] [--valid-split NAME] --out DIR
        [--background DATA [--leave-out NAME]] [--epochs N] [--seed N] [--weights FILE] [--blend SHARE]

Rows are {"text", "intent"}, one JSON object a line, gzipped or not; a file that also has a "split" column is read one
split at a time. Rows of the intent "oos" are foils: sentences that belong to no intent.

What is minimised, on the very vector that is exported (mean over tokens, unit length):

1. cross-entropy of a cosine softmax: each intent has a prototype of unit length;
2. beside it the supervised contrastive loss (Khosla et al., 2020); a batch is made of pairs of one intent;
3. outlier exposure (Hendrycks et al., 2019): a foil shall be as near to one prototype as to any other.

The loop is plain torch and not a Trainer: sentences lie end to end, so nothing is spent on padding; products are in
bfloat16; of the word table only the rows that occur are trained (`network`). Seeded; with one thread the same machine
gives the same weights to the bit.

The tuned weights tell the intents apart and forget much else. Half way back to the pinned ones (WiSE-FT, Wortsman et
al., 2022) CLINC150's intents are told apart as well, and heads for other tasks lose less: that is what is exported
unless `blend` says otherwise.

Knows nothing about routing or thresholds. A head or a calibration fitted on sentences that were trained on here takes
them for easier than new ones: calibrate on others.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expertd.router.encoder import DIMENSIONS, MAX_TOKENS, TrunkError, TrunkSpec, pinned

from . import background, datasets, trunk
from .network import Array, Ids, Network

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    Tensor = torch.Tensor

OUT_OF_SCOPE = "oos"
# Of each intent, to place its prototype before the first step.
SENTENCES_TO_START = 16
# Share of the tuned weights beside the pinned ones.
HALF_WAY = 0.5
STEPS_BETWEEN_MEMBERS = 10
STEPS_BETWEEN_REPORTS = 50


class RowError(ValueError):
    """A row breaks a rule; the text names the file, the line, the rule."""


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    intent: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. Chosen on CLINC150's validation rows.

    batch: sentences of intents a step; foils: other sentences beside them. rate: of the topmost layer at its peak; each
    layer below gets `decay` times the rate of the one above. dropped_words: share of the tokens left out of every
    second sentence. scale: of the cosines before the softmax. contrast, exposure: weights of losses 2 and 3. averaged:
    the mean of the weights over this last share of the steps is kept. most_foil_tokens: longer foils are cut.

    members: trainings with the seeds `seed`, `seed` + 1, …; the mean of their weights is kept. threads: with more than
    one the sums' order, and the last bits, may vary.
    """

    epochs: float = 3.5
    batch: int = 64
    foils: int = 8
    rate: float = 2.5e-4
    prototype_rate: float = 5e-3
    decay: float = 0.9
    weight_decay: float = 0.01
    warm_up: float = 1 / 12
    dropout: float = 0.1
    dropped_words: float = 0.1
    scale: float = 20.0
    contrast: float = 0.3
    contrast_temperature: float = 0.1
    exposure: float = 0.5
    averaged: float = 0.25
    most_foils: int = 4000
    most_foil_tokens: int = 16
    members: int = 2
    seed: int = 1
    threads: int = 1


# --- The whole of it -------------------------------------------------------------------------------------------------


def train(
    examples: Sequence[Example],
    foils: Sequence[str] = (),
    recipe: Recipe | None = None,
    *,
    valid: Sequence[Example] = (),
    folder: Path | None = None,
    hub: str = trunk.HUB,
    say: trunk.Say = print,
) -> dict[str, Array]:
    """The pinned trunk's weights, fine-tuned, float32, by the names of their file.

    examples: of at least two intents; those of the intent "oos" are foils too. foils: sentences of no intent. valid:
    judged after every training, told to `say`. folder, hub: where the pinned weights may be, as in `trunk.find`.

    Raises:
        RowError: fewer than two intents.
        TrunkError: the pinned weights are nowhere.
    """
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    recipe = recipe or Recipe()
    path, tokenizer = trunk.find(pinned(), folder, hub, say)
    frozen = load_file(path)
    members = []
    for number in range(recipe.members):
        say(f"member {number + 1} of {recipe.members}")
        one = dataclasses.replace(recipe, seed=recipe.seed + number)
        words = Tokenizer.from_file(str(tokenizer))
        members.append(tune(frozen, words, examples, foils, one, valid=valid, say=say))
    return mixed(members, [1 / len(members)] * len(members))


def export(
    out: Path,
    tuned: Mapping[str, Array],
    blend: float = HALF_WAY,
    *,
    folder: Path | None = None,
    hub: str = trunk.HUB,
    say: trunk.Say = print,
) -> TrunkSpec:
    """Writes fine-tuned weights, as `train` gives them, to the folder `out`, which `Encoder.open` opens.

    blend: their share beside the pinned trunk's own weights. Returns what names the new trunk.

    Raises: TrunkError: the pinned weights are nowhere, or the exported graph is wrong on this machine.
    """
    from safetensors.numpy import load_file, save

    path, tokenizer = trunk.find(pinned(), folder, hub, say)
    weights = mixed([tuned, load_file(path)], [blend, 1 - blend])
    named = {**pinned().sha256, trunk.SOURCE_WEIGHTS: hashlib.sha256(save(weights)).hexdigest()}
    spec = dataclasses.replace(pinned(), name=f"{pinned().name}, fine-tuned", sha256=named)
    trunk.export(spec, weights, tokenizer, out, say)
    say(f"trunk {spec.id} is ready: {out}")
    return spec


def mixed(members: Sequence[Mapping[str, Array]], shares: Sequence[float]) -> dict[str, Array]:
    """The weighted mean of networks that were trained from one start: a soup (Wortsman et al., 2022, "Model soups"),
    or, with the start itself among them, WiSE-FT (Wortsman et al., 2022, "Robust fine-tuning")."""
    return {
        name: np.sum([np.float32(share) * member[name] for member, share in zip(members, shares, strict=True)], axis=0)
        for name in members[0]
    }


# --- Rows ------------------------------------------------------------------------------------------------------------


def read(path: Path, split: str = "") -> list[Example]:
    """The rows of a file; split: of those with a "split" column, only these, and the foils `oos_<split>`.

    Raises: RowError: a row is not an object with text and intent, or none is left; names file and line.
    """
    found: list[Example] = []
    with datasets.opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise RowError(f"{path} line {number}: not JSON ({error}); every line is one row") from error
            if not isinstance(row, dict):
                raise RowError(f'{path} line {number}: not an object; a row is {{"text": …, "intent": …}}')
            if "split" in row and row["split"] not in (split, f"{OUT_OF_SCOPE}_{split}"):
                if not split:
                    raise RowError(f'{path} line {number}: the file has a "split" column; say which one is meant')
                continue
            for key in ("text", "intent"):
                if not isinstance(row.get(key), str) or not row[key].strip():
                    raise RowError(f'{path} line {number}: "{key}" is missing or empty; every row needs both')
            found.append(Example(row["text"], row["intent"]))
    if not found:
        raise RowError(f"{path}: no row" + (f' of the split "{split}"' if split else ""))
    return found


# --- Training --------------------------------------------------------------------------------------------------------


def tune(
    weights: Mapping[str, Array],
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    foils: Sequence[str],
    recipe: Recipe,
    *,
    valid: Sequence[Example] = (),
    say: trunk.Say = print,
) -> dict[str, Array]:
    """The fine-tuned weights, float32, by the names of the source file.

    examples: of at least two intents; those of the intent "oos" are foils too. valid: judged at the end, told to `say`.

    Raises: RowError: fewer than two intents.
    """
    import torch
    from torch.nn import functional

    names = sorted({row.intent for row in examples} - {OUT_OF_SCOPE})
    if len(names) < 2:
        raise RowError(f"{len(names)} intent among {len(examples)} rows; fine-tuning tells intents apart: give two")
    number = {name: place for place, name in enumerate(names)}
    inside = [row for row in examples if row.intent != OUT_OF_SCOPE]
    classes = torch.tensor([number[row.intent] for row in inside])
    sentences = _ids(tokenizer, [row.text for row in inside], MAX_TOKENS)
    given = _ids(tokenizer, [row.text for row in examples if row.intent == OUT_OF_SCOPE], recipe.most_foil_tokens)
    chance = random.Random(recipe.seed)  # noqa: S311  training, not secrets
    found = _ids(tokenizer, chance.sample(foils, min(len(foils), recipe.most_foils)), recipe.most_foil_tokens)

    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            words = {token for group in (sentences, given, found) for ids in group for token in ids}
            network = Network(weights, sorted(words), recipe.dropout)
            prototypes, usual = _prototypes(network, sentences, classes)
            if found:
                # A foil nearer to an intent than half of the intent's own sentences are is no foil.
                near = (network.encode(found) @ prototypes.detach().T).max(dim=1)
                apart = (near.values < usual[near.indices]).tolist()
                found = [ids for ids, kept in zip(found, apart, strict=True) if kept]
                say(f"{len(found)} foils, {apart.count(False)} left out because they read like an intent")
            strangers = [group for group in (given, found, found, found) if group]
            lessons = _lessons(sentences, classes, strangers, recipe, chance)
            steps = max(1, math.ceil(recipe.epochs * math.ceil(len(sentences) / recipe.batch)))
            _descend(network, prototypes, lessons, steps, recipe=recipe, say=say)
        if valid:
            known = [row for row in valid if row.intent in number]
            cosines = network.encode(_ids(tokenizer, [row.text for row in known], MAX_TOKENS))
            cosines = cosines @ functional.normalize(prototypes.detach(), dim=1).T
            right = cosines.argmax(dim=1) == torch.tensor([number[row.intent] for row in known])
            say(f"validation: {float(right.float().mean()):.4f} of {len(known)} nearest to their intent's prototype")
    finally:
        torch.set_num_threads(threads)
    return network.weights()


def _descend(
    network: Network,
    prototypes: Tensor,
    lessons: Iterator[tuple[list[Ids], Tensor]],
    steps: int,
    *,
    recipe: Recipe,
    say: trunk.Say,
) -> None:
    """Trains both; the network is left at the mean of its last steps."""
    optimiser, rates = _optimiser(network, prototypes, recipe)
    mean, members = dict[str, Any](), 0
    losses, began = list[list[float]](), time.monotonic()
    for step in range(steps):
        # Linear warm-up, then half a cosine down to nothing.
        warm = min(1.0, (step + 1) / max(1.0, recipe.warm_up * steps))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        seen, classes = next(lessons)
        loss, parts = _loss(network(seen), classes, prototypes, recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        losses.append(parts)
        if (step >= (1 - recipe.averaged) * steps and step % STEPS_BETWEEN_MEMBERS == 0) or step == steps - 1:
            members += 1
            for name, parameter in network.parameters.items():
                mean.setdefault(name, parameter.detach().clone()).lerp_(parameter.detach(), 1 / members)
        if (step + 1) % STEPS_BETWEEN_REPORTS == 0 or step == steps - 1:
            told = ", ".join(f"{value:.3f}" for value in np.mean(losses[-STEPS_BETWEEN_REPORTS:], axis=0))
            say(f"step {step + 1} of {steps}, {time.monotonic() - began:.0f} s; intents, contrast, foils: {told}")
    for name, parameter in network.parameters.items():
        parameter.data.copy_(mean[name])


def _prototypes(network: Network, sentences: Sequence[Ids], classes: Tensor) -> tuple[Tensor, Tensor]:
    """Per intent the direction of the mean of its first sentences, and the median of their cosines to it.

    From there the first steps spoil nothing.
    """
    import torch
    from torch.nn import functional

    count = int(classes.max()) + 1
    first = torch.cat([(classes == number).nonzero()[:SENTENCES_TO_START, 0] for number in range(count)])
    vectors, owners = network.encode([sentences[row] for row in first]), classes[first]
    means = functional.normalize(torch.zeros(count, DIMENSIONS).index_add(0, owners, vectors), dim=1)
    cosines = (vectors * means[owners]).sum(dim=1)
    usual = torch.stack([cosines[owners == number].median() for number in range(count)])
    return means.requires_grad_(True), usual


def _ids(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> list[Ids]:
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def _optimiser(network: Network, prototypes: Tensor, recipe: Recipe) -> tuple[torch.optim.Optimizer, list[float]]:
    """AdamW, and the peak rate of each of its groups."""
    import torch

    groups: list[dict[str, Any]] = []
    for name, parameter in network.parameters.items():
        depth = int(name.split(".")[2]) if name.startswith("encoder.") else -1
        # Biases, norms and embeddings are not pulled to zero.
        pull = recipe.weight_decay if parameter.ndim > 1 and depth >= 0 else 0.0
        rate = recipe.rate * recipe.decay ** (trunk.LAYERS - 1 - depth)
        groups.append({"params": [parameter], "lr": rate, "weight_decay": pull})
    groups.append({"params": [prototypes], "lr": recipe.prototype_rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True), [group["lr"] for group in groups]


def _lessons(
    sentences: Sequence[Ids],
    classes: Tensor,
    strangers: Sequence[Sequence[Ids]],
    recipe: Recipe,
    chance: random.Random,
) -> Iterator[tuple[list[Ids], Tensor]]:
    """Batch upon batch: sentences with their classes first, then foils, each from a group that is drawn first."""
    for rows in _batches(classes.tolist(), recipe.batch, chance):
        beside = [chance.choice(chance.choice(strangers)) for _ in range(recipe.foils)] if strangers else []
        both = [*(sentences[row] for row in rows), *beside]
        yield [_thinned(ids, recipe.dropped_words, chance) for ids in both], classes[rows]


def _batches(classes: Sequence[int], size: int, chance: random.Random) -> Iterator[list[int]]:
    """Rows, each once an epoch, in pairs of one intent; without end."""
    of_class: dict[int, list[int]] = {}
    for row, number in enumerate(classes):
        of_class.setdefault(number, []).append(row)
    while True:
        pairs: list[list[int]] = []
        for rows in of_class.values():
            chance.shuffle(rows)
            pairs += [rows[start : start + 2] for start in range(0, len(rows), 2)]
        chance.shuffle(pairs)
        order = [row for pair in pairs for row in pair]
        yield from (order[start : start + size] for start in range(0, len(order), size))


def _thinned(ids: Ids, share: float, chance: random.Random) -> Ids:
    """Every second sentence loses a share of its words, never the marks at its ends, never all."""
    if not share or chance.random() < 0.5:
        return ids
    kept = [token for token in ids[1:-1] if chance.random() >= share]
    return [ids[0], *kept, ids[-1]] if len(kept) > 1 else ids


def _loss(vectors: Tensor, classes: Tensor, prototypes: Tensor, recipe: Recipe) -> tuple[Tensor, list[float]]:
    """vectors: (n + foils, d), unit length; classes: (n,). Returns the loss and its three parts."""
    import torch
    from torch.nn import functional

    count = len(classes)
    logits = recipe.scale * vectors @ functional.normalize(prototypes, dim=1).T
    right = functional.cross_entropy(logits[:count], classes)

    oneself = torch.eye(count, len(vectors), dtype=torch.bool)
    similar = (vectors[:count] @ vectors.T / recipe.contrast_temperature).masked_fill(oneself, -1e9)
    same = (classes[:, None] == classes) & ~oneself[:, :count]
    pulls = -(similar.log_softmax(dim=1)[:, :count] * same).sum(dim=1) / same.sum(dim=1).clamp(min=1)
    contrast = pulls.mean()

    # Cross-entropy to the uniform distribution, less its least value.
    uniform = (
        -logits[count:].log_softmax(dim=1).mean() - math.log(len(prototypes)) if len(vectors) > count else 0 * right
    )
    loss = right + recipe.contrast * contrast + recipe.exposure * uniform
    return loss, [float(part.detach()) for part in (right, contrast, uniform)]


def main(arguments: list[str] | None = None) -> int:
    usual = Recipe()
    parser = argparse.ArgumentParser(
        prog="python -m expertd.distill.finetune", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new trunk's own folder")
    parser.add_argument("--train", type=Path, metavar="FILE", help='rows {"text", "intent"}')
    parser.add_argument("--split", default="train", help='which rows of a file with a "split" column')
    parser.add_argument("--valid", type=Path, metavar="FILE", help="rows to judge by; may be the same file")
    parser.add_argument("--valid-split", default="val", metavar="SPLIT")
    parser.add_argument("--background", type=Path, metavar="DIR", help="public data sets whose sentences are foils")
    parser.add_argument("--leave-out", default="", metavar="NAME", help="the data set there that --train comes from")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="keep the float32 weights here; without --train export these"
    )
    parser.add_argument("--blend", type=float, default=HALF_WAY, metavar="SHARE", help="the rest is the pinned trunk")
    parser.add_argument("--epochs", type=float, default=usual.epochs, metavar="N")
    parser.add_argument("--members", type=int, default=usual.members, metavar="N", help="trainings to average")
    parser.add_argument("--seed", type=int, default=usual.seed, metavar="N")
    parser.add_argument("--threads", type=int, default=usual.threads, metavar="N")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="look here first for the pinned encoder's files")
    parser.add_argument("--hub", default=os.environ.get("HF_ENDPOINT", trunk.HUB), metavar="URL", help="the model hub")
    options = parser.parse_args(arguments)
    if options.train is None and options.weights is None:
        parser.error("give --train, or --weights of an earlier training")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save_file

    chosen = {name: getattr(options, name) for name in ("epochs", "members", "seed", "threads")}
    where = {"folder": options.folder, "hub": options.hub, "say": lambda line: print(line, flush=True)}
    try:
        if options.train is None:
            tuned = load_file(options.weights)
        else:
            examples = read(options.train, options.split)
            valid = read(options.valid, options.valid_split) if options.valid else []
            foils = background.sentences(options.background, options.leave_out) if options.background else []
            tuned = train(examples, foils, dataclasses.replace(usual, **chosen), valid=valid, **where)
            if options.weights is not None:
                options.weights.parent.mkdir(parents=True, exist_ok=True)
                save_file(tuned, options.weights)
        export(options.out, tuned, options.blend, **where)
    except (RowError, TrunkError, SafetensorError, OSError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
