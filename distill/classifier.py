"""The common recipe of a `linear` expert: labelled sentences in, a sealed bundle out.

    RECIPE = Recipe(name="mood", labels=("sad", "glad"), …)

    def read(data: Path) -> Splits: …            # rows of text and label: training, validation, tests

    if __name__ == "__main__":
        raise SystemExit(command(RECIPE, read))  # python -m expertd.distill.mood [--trunk DIR] [--data DIR]

Logistic regression over the trunk's vector beside hashed character n-grams. The strength of the weights against the
penalty is chosen on validation; the probabilities are calibrated on rows outside the fit, with a slope and a shift for
each label ("bias-corrected temperature scaling", Alexandari et al., 2020; for two labels that of Platt, 1999); the
threshold for abstaining is chosen on validation; and only then are the tests read. The same rows give the same bytes on
one machine.

Where short and long texts are different trades the head has two sets of weights, each the sum of a part learnt from all
texts and a part learnt from its own ("frustratingly easy domain adaptation", Daumé, 2007). Where labels are many, the
n-grams share the strongest directions of their weights (a truncated singular value decomposition).

Knows no expert and no data set: `expertd.distill.<name>` brings both. Intents and golden examples are written by hand
and lie in the bundle already; weights, manifest and card are written anew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expertd.experts.bundle import CARD, MANIFEST, seal
from expertd.experts.errors import BundleError
from expertd.experts.kinds.linear import WEIGHTS, LinearServable, ngram_bins, words
from expertd.experts.kinds.signals import SETS
from expertd.router.encoder import DIMENSIONS, Encoder, TrunkError

from . import datasets, measure
from .recipe import Figures, Recipe, card, manifest
from .rows import DataError, Encodes, Row, Splits, Vector, digest, encoded, parted

ROOT = Path(__file__).resolve().parents[1]
BUNDLES = ROOT / "experts" / "bundles"
# More change the figures by less than chance does.
MAX_ROUNDS = 120

Floats = npt.NDArray[np.floating[Any]]
# The tensors of head.safetensors.
Tensors = dict[str, npt.NDArray[Any]]
Say = Callable[[str], object]


def command(recipe: Recipe, read: Callable[[Path], Splits], arguments: Sequence[str] | None = None) -> int:
    """The command line of `python -m expertd.distill.<name>`; the exit status."""
    module = recipe.name.replace("-", "_")
    parser = argparse.ArgumentParser(prog=f"python -m expertd.distill.{module}", description=f"Trains {recipe.name}.")
    state = Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "expertd" / "trunk"
    parser.add_argument("--trunk", type=Path, default=state, help="folder of the trunk (%(default)s)")
    parser.add_argument("--data", type=Path, default=datasets.folder(), help="folder of the data sets (%(default)s)")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "distill", help="kept vectors (%(default)s)")
    parser.add_argument("--out", type=Path, default=BUNDLES / recipe.name, help="folder of the bundle (%(default)s)")
    parser.add_argument("--choices-only", action="store_true", help="stop before the tests are read")
    options = parser.parse_args(arguments)
    try:
        encoder = Encoder.open(options.trunk, threads=os.cpu_count() or 1)
        splits = read(options.data)
        make(recipe, splits, encoder, options.out, options.cache, choices_only=options.choices_only)
    except (OSError, DataError, BundleError, TrunkError) as error:
        sys.stderr.write(f"{recipe.name}: {error}\n")
        return 1
    return 0


def make(
    recipe: Recipe,
    splits: Splits,
    encoder: Encodes,
    home: Path,
    cache: Path,
    *,
    choices_only: bool = False,
    say: Say = lambda line: sys.stdout.write(f"{line}\n"),
) -> Figures:
    """Fits, chooses, measures, and writes the bundle to `home`; the figures of validation and of every test.

    home: holds intents.jsonl and golden.jsonl. cache: a folder for vectors, so that a text is encoded once.
    choices_only: stop before the tests are read; nothing is written.

    Raises: DataError for rows that break a rule, BundleError where what lies in `home` does.
    """
    splits = parted(recipe.labels, splits)
    tests = {} if choices_only else splits.tests
    every = [row.text for rows in (splits.train, splits.validation, *tests.values()) for row in rows]
    say(f"{recipe.name}: {len(splits.train):,} rows to fit, {len(splits.validation):,} to choose by")
    known = encoded(every, encoder, cache)
    train, validation = Rows.of(recipe, splits.train, known), Rows.of(recipe, splits.validation, known)

    tensors, strength = choose(recipe, train, validation, say)
    line = calibration(recipe, train, validation, tensors, strength)
    if recipe.prevalence:
        share = float((validation.labels == 1).mean())
        line[:, 2] += np.log(recipe.prevalence / (1 - recipe.prevalence)) - np.log(share / (1 - share))
    judged = probabilities(recipe, calibrated(tensors, line), validation)
    threshold = measure.threshold(judged, validation.labels, recipe.wanted_accuracy, recipe.most_abstained)
    if recipe.columns == 1:
        threshold = max(threshold, measure.quiet_threshold(judged, validation.labels, recipe.most_false_alarms))
    # Fitted on everything it has no row left to be calibrated on, and takes the calibration of the first fit.
    final = calibrated(fit(recipe, train.joined(validation), strength) if recipe.refit else tensors, line)

    def figures(rows: Sequence[Row], found: Floats) -> dict[str, float]:
        return measure.figures(recipe.labels, found, [row.label for row in rows], threshold)

    measured = {"validation": figures(splits.validation, judged)}
    for name, rows in tests.items():
        measured[name] = figures(rows, probabilities(recipe, final, Rows.of(recipe, rows, known)))
    for name, found in measured.items():
        say(f"{recipe.name} {recipe.version}: C = {strength:g}, threshold {threshold:g}: {name}: {json.dumps(found)}")
    if not choices_only:
        told = card(recipe, measured, strength, threshold, len(train.texts))
        write(home, final, manifest(recipe, threshold, encoder.id, final), told)
    return measured


# --- Rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """What is fitted and judged, n rows. texts: as a caller sends them. labels: int64 (n,), places in the recipe's
    labels. vectors: float32 (n, 384). weights: float64 (n,). folds: int64 (n,), a number that its group shares."""

    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    vectors: Vector
    weights: Floats
    folds: npt.NDArray[np.int64]

    @classmethod
    def of(cls, recipe: Recipe, rows: Sequence[Row], known: Mapping[str, Vector]) -> Rows:
        place = {label: number for number, label in enumerate(recipe.labels)}
        return cls(
            tuple(row.text for row in rows),
            np.array([place[row.label] for row in rows], np.int64),
            np.array([known[row.text] for row in rows], np.float32).reshape(len(rows), DIMENSIONS),
            np.array([row.weight for row in rows], np.float64),
            np.array([digest(row.group or row.text)[0] for row in rows], np.int64),
        )

    def only(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        texts = tuple(text for text, wanted in zip(self.texts, chosen, strict=True) if wanted)
        return Rows(texts, self.labels[chosen], self.vectors[chosen], self.weights[chosen], self.folds[chosen])

    def joined(self, other: Rows) -> Rows:
        return Rows(
            self.texts + other.texts,
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.folds, other.folds]),
        )


def _sets_of(recipe: Recipe, rows: Rows) -> npt.NDArray[np.int64]:
    """int64 (n,): by which set of weights each row is judged."""
    if recipe.sets == 1:
        return np.zeros(len(rows.texts), np.int64)
    lengths = [len(words(text, recipe.parameters)) for text in rows.texts]
    return (np.array(lengths) > recipe.short_characters).astype(np.int64)


# --- Fitting ---------------------------------------------------------------------------------------------------------


def choose(recipe: Recipe, train: Rows, validation: Rows, say: Say) -> tuple[Tensors, float]:
    """The fit on the training rows that is best on validation, and its strength.

    Each is judged at its best calibration, so that the one that is merely bolder has no advantage.
    """
    fits: list[Tensors] = []
    losses = []
    for strength in recipe.strengths:
        fits.append(fit(recipe, train, strength))
        judged = probabilities(recipe, calibrated(fits[-1], _lines(recipe, fits[-1], validation)), validation)
        rows = np.arange(len(validation.labels))
        losses.append(float(-np.log(np.maximum(judged[rows, validation.labels], 1e-12)).mean()))
        accuracy = (judged.argmax(axis=1) == validation.labels).mean()
        say(f"{recipe.name}: C = {strength:g}: log loss {losses[-1]:.5f}, accuracy {accuracy:.4f} on validation")
    best = int(np.argmin(losses))
    return fits[best], recipe.strengths[best]


def fit(recipe: Recipe, rows: Rows, strength: float) -> Tensors:
    """Logistic regression on vectors and n-grams."""
    shares = np.bincount(rows.labels, minlength=len(recipe.labels)) / len(rows.labels)
    weights = rows.weights * np.maximum(shares, 1e-9)[rows.labels] ** -recipe.balance
    solve = _binary if recipe.columns == 1 else _multinomial
    vectors, ngrams = _features(recipe, rows)
    coefficients, bias = solve(vectors, ngrams, rows.labels, weights / weights.mean(), strength)
    # Of two sets of weights each is the sum of what all texts taught and what its own did.
    parts = 3 if recipe.sets == 2 else 1
    dense = vectors.shape[1] // parts
    head, tail = (np.split(part, parts) for part in np.split(coefficients, [parts * dense]))
    common, *own = (np.concatenate(pair) for pair in zip(head, tail, strict=True))
    found = np.stack([common + part for part in own] or [common])
    tensors: Tensors = {
        "bias": np.tile(bias.astype(np.float32), (recipe.sets, 1)),
        "vector": found[:, :DIMENSIONS].astype(np.float16),
    }
    if recipe.signals:
        tensors["signals"] = found[:, DIMENSIONS:dense].astype(np.float16)
    if recipe.grams is None:
        return tensors
    weighed = found[:, dense:] * recipe.emphasis
    if recipe.factors:
        # The right singular vectors, from the small product: ngrams ≈ (ngrams · axes) · axesᵀ.
        axes = np.linalg.eigh(weighed.transpose(0, 2, 1) @ weighed)[1][:, :, -recipe.factors :]
        tensors["layer"] = axes.transpose(0, 2, 1).astype(np.float32)
        weighed = weighed @ axes
    scale = np.maximum(np.abs(weighed).max(axis=1, keepdims=True), 1e-12) / 127
    tensors["ngrams"] = np.rint(weighed / scale).astype(np.int8)
    tensors["ngrams_scale"] = scale[:, 0].astype(np.float32)
    return tensors


def _features(recipe: Recipe, rows: Rows) -> tuple[Vector, Any]:
    """(float32 (n, 384 + signals), sparse float32 (n, bins)): the texts as the servable reads them; each thrice where
    there are two sets of weights: for all texts, for short, for long ones."""
    from scipy import sparse

    vectors, ngrams = rows.vectors, sparse.csr_matrix((len(rows.texts), 0), dtype=np.float32)
    if recipe.signals:
        found = [SETS[recipe.signals].read(text).values for text in rows.texts]
        vectors = np.hstack([vectors, np.array(found, np.float32)])
    if recipe.grams is not None:
        hashed = [ngram_bins(words(text, recipe.parameters), recipe.grams) for text in rows.texts]
        starts = np.cumsum([0, *(len(bins) for bins, _ in hashed)])
        columns, values = (np.concatenate(part) for part in zip(*hashed, strict=True))
        shape = (len(hashed), 2**recipe.grams.bits)
        ngrams = sparse.csr_matrix((values * np.float32(recipe.emphasis), columns, starts), shape=shape)
    if recipe.sets == 2:
        sets = _sets_of(recipe, rows)
        own = [(sets == part).astype(np.float32) for part in (0, 1)]
        vectors = np.hstack([vectors, *(part[:, None] * vectors for part in own)])
        ngrams = sparse.hstack([ngrams, *(sparse.diags(part) @ ngrams for part in own)]).tocsr()
        ngrams.eliminate_zeros()
    return vectors, ngrams


# Both: vectors and n-grams as above, labels int64 (n,), weights float64 (n,) of mean 1 → coefficients (features, k) and
# bias (k,), under a penalty of |coefficients|² / 2 against `strength` times the loss of all rows.


def _binary(
    vectors: Vector, ngrams: Any, labels: npt.NDArray[np.int64], weights: Floats, strength: float
) -> tuple[Floats, Floats]:
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, solver="liblinear", max_iter=MAX_ROUNDS, random_state=0)
    model.fit(sparse.hstack([sparse.csr_matrix(vectors), ngrams]).tocsr(), labels, weights)
    return model.coef_.T, model.intercept_


def _multinomial(
    vectors: Vector, ngrams: Any, labels: npt.NDArray[np.int64], weights: Floats, strength: float
) -> tuple[Floats, Floats]:
    """By L-BFGS, as scikit-learn does it; vectors apart from n-grams, a third of the time."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    rows, count, dense = np.arange(len(labels)), int(labels.max()) + 1, vectors.shape[1]
    width, transposed, shares = dense + ngrams.shape[1], ngrams.T.tocsr(), (weights / len(labels)).astype(np.float32)
    penalty = 1 / (strength * len(labels))

    def loss(flat: Floats) -> tuple[float, Floats]:
        found = flat.astype(np.float32).reshape(width + 1, count)
        logs = log_softmax(vectors @ found[:dense] + ngrams @ found[dense:width] + found[width], axis=1)
        wrong = np.exp(logs)
        wrong[rows, labels] -= 1
        wrong *= shares[:, None]
        gradient = np.vstack([vectors.T @ wrong, transposed @ wrong, wrong.sum(axis=0)]).astype(np.float64)
        kept = flat[: width * count]
        gradient.reshape(-1)[: width * count] += penalty * kept
        return float(penalty * (kept @ kept) / 2 - shares @ logs[rows, labels]), gradient.reshape(-1)

    limits = {"maxiter": MAX_ROUNDS, "gtol": 1e-5, "ftol": 1e-6}
    best = minimize(loss, np.zeros((width + 1) * count), jac=True, method="L-BFGS-B", options=limits).x
    found = best.reshape(width + 1, count)
    return found[:width], found[width]


def probabilities(recipe: Recipe, tensors: Tensors, rows: Rows) -> Floats:
    """float64 (n, labels), by the code that serves them."""
    servable = LinearServable(recipe.name, recipe.parameters, tensors, 0.0)
    pairs = zip(rows.texts, rows.vectors, strict=True)
    return np.array([servable.probabilities(text, vector) for text, vector in pairs])


# --- Calibration -----------------------------------------------------------------------------------------------------


def calibration(recipe: Recipe, train: Rows, validation: Rows, tensors: Tensors, strength: float) -> Floats:
    """float64 (sets, 1 + labels): of each set of weights the slope, and the shift of each label.

    By the validation rows, or by training rows from fits on the other folds.
    """
    if not recipe.folds:
        return _lines(recipe, tensors, validation)
    found = np.zeros((len(train.texts), len(recipe.labels)))
    for fold in range(recipe.folds):
        inside = train.folds % recipe.folds == fold
        found[inside] = probabilities(recipe, fit(recipe, train.only(~inside), strength), train.only(inside))
    sets = _sets_of(recipe, train)
    return np.stack([_line(found[sets == part], train.labels[sets == part]) for part in range(recipe.sets)])


def calibrated(tensors: Tensors, lines: Floats) -> Tensors:
    """The same weights, slopes and shifts folded into them."""
    slope, shift = lines[:, :1], lines[:, 1:]
    if tensors["bias"].shape[1] == 1:
        shift = shift[:, 1:] - shift[:, :1]
    changed: Tensors = {
        "bias": (tensors["bias"] * slope + shift).astype(np.float32),
        "vector": (tensors["vector"].astype(np.float32) * slope[:, :, None]).astype(np.float16),
    }
    if "signals" in tensors:
        changed["signals"] = (tensors["signals"].astype(np.float32) * slope[:, :, None]).astype(np.float16)
    if "layer" in tensors:
        changed["layer"] = (tensors["layer"] * slope[:, :, None]).astype(np.float32)
    elif "ngrams_scale" in tensors:
        changed["ngrams_scale"] = (tensors["ngrams_scale"] * slope).astype(np.float32)
    return tensors | changed


def _lines(recipe: Recipe, tensors: Tensors, rows: Rows) -> Floats:
    found, sets = probabilities(recipe, tensors, rows), _sets_of(recipe, rows)
    return np.stack([_line(found[sets == part], rows.labels[sets == part]) for part in range(recipe.sets)])


def _line(found: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """float64 (1 + labels,): slope and shifts of the scores under which the labels are likeliest; 1 and 0 without rows.

    A breath of a penalty keeps the shift of a label finite that never is.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    if not len(found):
        return np.asarray(np.eye(1, 1 + found.shape[1])[0])
    scores, rows = np.log(np.maximum(found, 1e-12)), np.arange(len(found))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        slope, shift = np.exp(parameters[0]), parameters[1:]
        logs = log_softmax(slope * scores + shift, axis=1)
        wrong = np.exp(logs)
        wrong[rows, labels] -= 1
        gradient = np.concatenate([[slope * (wrong * scores).sum()], wrong.sum(axis=0) + 0.1 * shift])
        return float(0.05 * shift @ shift - logs[rows, labels].sum()) / len(rows), gradient / len(rows)

    best = minimize(loss, np.zeros(1 + found.shape[1]), jac=True, method="L-BFGS-B").x
    return np.asarray(np.concatenate([[np.exp(best[0])], best[1:]]))


# --- Writing ---------------------------------------------------------------------------------------------------------


def write(home: Path, tensors: Tensors, manifest: str, card: str) -> None:
    """Raises: BundleError where the bundle breaks a rule; it is then not sealed."""
    from safetensors.numpy import save_file

    home.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, home / WEIGHTS)
    (home / MANIFEST).write_text(manifest, "utf-8")
    (home / CARD).write_text(card, "utf-8")
    (home / WEIGHTS).chmod(0o644)
    seal(home)
