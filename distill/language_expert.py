"""Trains the language expert from sentences, word pairs and words of 75 languages, and writes its sealed bundle.

    python -m expertd.distill.language_expert [--data DIR] [--choices-only]

The router has a recogniser of its own (`expertd.distill.language`), small and tuned to leave English requests alone;
this one has one task, to name the language, and more room for it. The way to fit is the same: hashed character n-grams
with a few factors each, a softmax over them, half of the n-grams left out while learning. So is the cut by a hash of
the text into train, valid and test: temperature and threshold come from valid, the figures from test. The same data
give the same bytes on one kind of machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expertd.experts.kinds.linear import Grams, LinearServable, ngram_bins, words
from expertd.router.encoder import pinned
from expertd.router.language import NAMES

from . import datasets, measure
from .classifier import BUNDLES, Tensors, write
from .language import SEED, Row, factors, fragments, labelled
from .recipe import Figures, Recipe, manifest

GRAMS = Grams(shortest=1, longest=5, bits=17, characters=1_000, lower=True, letters=True)
WIDTH = 24
ROUNDS = 6
# What a row counts when learning, by its kind.
WEIGHTS = {"sentence": 1.0, "fragment": 0.6, "word-pairs": 0.5, "single-words": 0.5, "request": 0.3}
FRAGMENTS = 3
KINDS = {
    "sentence": "sentences",
    "fragment": "1 to 8 words",
    "word-pairs": "word pairs",
    "single-words": "single words",
}

RECIPE = Recipe(
    name="language",
    summary="Tells which of 75 languages a text is written in.",
    labels=tuple(sorted(NAMES)),
    needs_input="Which text? Give it after a colon, or as a file.",
    licence="Apache-2.0 AND CC-BY-4.0 AND CC-BY-3.0",
    phrases={code: f"This is {NAMES[code]} ({{percent}} sure)." for code in sorted(NAMES)},
    does="""
Tells which of 75 languages a text is written in. Give it the text after a colon ("which language is this: …") or as a
file.
""",
    data="""
- Test data of lingua (Peter M. Stahl, Apache 2.0): up to a thousand sentences, word pairs and words for each of 75
  languages, from the Leipzig Corpora Collection (CC BY). Cut by a hash of the text: 80 % to learn from, 10 % to choose
  by, 10 % to measure with.
- CLINC150 (Larson et al., 2019), CC BY 3.0: every other training row, English as it is typed, in a small share.

No sentence of these sets is in this bundle.
""",
    limits="""
- It knows these 75 languages, each in the script that it is mostly written in; a text in another one, in code or in
  made-up words gets the nearest name or none. Hindi in Latin letters is not known.
- Near relatives are mixed up most: Bosnian, Croatian and Serbian; Norwegian Bokmål, Nynorsk and Danish; Indonesian and
  Malay; Xhosa and Zulu. A single word often belongs to several languages.
- A text in two languages gets the name of the one that prevails, or none: it is not cut into parts.
- It reads the first 1,000 characters, letters alone; numbers, links and punctuation say nothing to it.
""",
    grams=GRAMS,
    english=False,
    factors=WIDTH,
    wanted_accuracy=0.95,
    most_abstained=0.15,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m expertd.distill.language_expert", description="Trains the language expert."
    )
    parser.add_argument("--data", type=Path, default=datasets.folder(), help="folder of the data sets (%(default)s)")
    parser.add_argument("--out", type=Path, default=BUNDLES / RECIPE.name, help="folder of the bundle (%(default)s)")
    parser.add_argument("--choices-only", action="store_true", help="stop before the test rows are read")
    options = parser.parse_args(arguments)
    try:
        train, valid = rows_of(options.data, "train"), rows_of(options.data, "valid")
        tensors = calibrated(fit(train), valid)
        judged = [row for row in valid if row.kind in ("sentence", "fragment")]
        threshold = measure.threshold(probabilities(tensors, judged), _places(judged), 0.95, 0.15)
        measured = figures(tensors, valid, threshold)
        sys.stdout.write(f"language: threshold {threshold:g}, validation: {json.dumps(measured)}\n")
        if options.choices_only:
            return 0
        measured = figures(tensors, rows_of(options.data, "test"), threshold)
        sys.stdout.write(f"language: test: {json.dumps(measured)}\n")
        told = card(measured, threshold, len(train))
        write(options.out, tensors, manifest(RECIPE, threshold, pinned().id, tensors), told)
    except OSError as error:
        sys.stderr.write(f"language: {error}\n")
        return 1
    return 0


def rows_of(data: Path, part: str) -> list[Row]:
    """Sentences, pairs, words, and parts of sentences; to learn from, English requests too."""
    random = np.random.default_rng(SEED)
    rows = labelled(data, part)
    rows += fragments([row for row in rows if row.kind == "sentence"], FRAGMENTS if part == "train" else 1, random)
    if part == "train":
        known = datasets.rows(data / "clinc150" / "data_full.jsonl.gz")
        rows += [Row(row["text"], "en", "request") for row in known if "train" in row["split"]][::2]
    return [replace(row, weight=WEIGHTS[row.kind]) for row in rows if words(row.text, RECIPE.parameters)]


def fit(rows: Sequence[Row], rounds: int = ROUNDS) -> Tensors:
    """The tensors of kind `linear`, not calibrated yet."""
    weights = np.array([row.weight for row in rows], np.float32)
    table, layer, bias = factors(_counts(rows), _places(rows), weights, WIDTH, rounds)
    scale = np.maximum(np.abs(table).max(axis=0), 1e-9) / 127
    return {
        "ngrams": np.rint(table / scale).astype(np.int8)[None],
        "ngrams_scale": scale.astype(np.float32)[None],
        "layer": layer[None],
        "bias": bias[None],
    }


def calibrated(tensors: Tensors, rows: Sequence[Row]) -> Tensors:
    """With the temperature that makes the rows likeliest folded into layer and bias (Guo et al., 2017)."""
    logs = np.log(np.maximum(probabilities(tensors, rows), 1e-30))
    truth = _places(rows)
    weights = np.array([row.weight for row in rows])

    def loss(slope: float) -> float:
        scores = slope * logs
        best = scores.max(axis=1)
        sums = best + np.log(np.exp(scores - best[:, None]).sum(axis=1))
        return float((weights * (sums - scores[np.arange(len(truth)), truth])).mean())

    slope = np.float32(min(np.geomspace(0.2, 5, 65), key=loss))
    return tensors | {"layer": tensors["layer"] * slope, "bias": tensors["bias"] * slope}


def probabilities(tensors: Tensors, rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """float64 (n, 75), by the code that serves them."""
    servable = LinearServable(RECIPE.name, RECIPE.parameters, tensors, 0.0)
    return np.array([servable.probabilities(row.text, None) for row in rows])


def figures(tensors: Tensors, rows: Sequence[Row], threshold: float) -> Figures:
    """By kind of row; 1 to 8 words are parts of the sentences."""
    found: Figures = {}
    for kind, name in KINDS.items():
        of = [row for row in rows if row.kind == kind]
        found[name] = measure.figures(RECIPE.labels, probabilities(tensors, of), [row.code for row in of], threshold)
    return found


def _places(rows: Sequence[Row]) -> npt.NDArray[np.int64]:
    known = {code: place for place, code in enumerate(RECIPE.labels)}
    return np.array([known[row.code] for row in rows], np.int64)


def _counts(rows: Sequence[Row]) -> Any:
    """scipy CSR float32 (n, bins), as the servable reads the texts."""
    from scipy.sparse import csr_matrix

    grams = RECIPE.grams or GRAMS
    hashed = [ngram_bins(words(row.text, RECIPE.parameters), grams) for row in rows]
    ends = np.cumsum([0, *(len(bins) for bins, _ in hashed)])
    bins = np.concatenate([each.astype(np.int32) for each, _ in hashed])
    return csr_matrix((np.concatenate([values for _, values in hashed]), bins, ends), (len(rows), 1 << grams.bits))


_TOLD = {
    "rows": "rows",
    "accuracy": "accuracy, every row answered",
    "accuracy_low": "from, with 95 % confidence (Wilson)",
    "accuracy_high": "to",
    "macro_f1": "macro F1",
    "ece": f"expected calibration error ({measure.BINS} bins)",
    "answered": "share answered (above the threshold)",
    "accuracy_answered": "accuracy of those",
}


def card(measured: Figures, threshold: float, rows: int) -> str:
    """CARD.md."""
    table = [f"| | {' | '.join(measured)} |", "|---" * (len(measured) + 1) + "|"]
    for figure, told in _TOLD.items():
        table.append(f"| {told} | {' | '.join(f'{found[figure]:g}' for found in measured.values())} |")
    names = ", ".join(f"{NAMES[code]} (`{code}`)" for code in RECIPE.labels)
    return f"""\
# language, version {RECIPE.version}

{RECIPE.does.strip()}

The answer names the language in English; its label is the code of ISO 639-1, with a calibrated probability of each.
Below {threshold:.0%} it abstains, and so it does for a text without letters. Asked without a text, it asks back.

It knows {names}.

## How it was made

Hashed character n-grams (length {GRAMS.shortest} to {GRAMS.longest}, 2^{GRAMS.bits} bins, int8, {WIDTH} factors each)
of the text in lower case, letters alone, through one layer (Joulin et al., 2017, "Bag of Tricks for Efficient Text
Classification", on n-grams alone). Fitted on {rows:,} rows: sentences, parts of them, word pairs, words. Temperature
and threshold were chosen on validation rows. It does not read the trunk's vector.
`python -m expertd.distill.language_expert` makes it anew, the same bytes on the same machine.

## Data and licence

{RECIPE.data.strip()}

## Measured

On the test rows, which neither the weights nor a choice has seen. Rows of 1 to 8 words are parts of the test sentences.

{chr(10).join(table)}

On the same rows lingua 2.1.1 (all its 75 languages, high accuracy) tells 0.9627 of the sentences, 0.8787 of the word
pairs and 0.7388 of the single words, and its process takes 1,363 MB (PSS) where one with this expert alone takes 32:
`python -m bench.experts language`.

## Limits

{RECIPE.limits.strip()}
"""


if __name__ == "__main__":
    raise SystemExit(main())
