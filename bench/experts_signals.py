"""Experts whose data we wrote, on rows that we wrote by hand and on real ones: `python -m bench.experts signals`.

urgency, question-type, prompt-attack and phishing, by the code that serves them: macro F1 and AUROC on the hand-written
rows of their bundles; false alarms, at the shipped threshold, on real texts that hold no attack and no fraud. Beside
them, fitted on the very rows that the expert was fitted on: a logistic head on the trunk's vector alone; character
n-grams alone (phishing); and the first word, by rule (question-type). For the peer in float32: `bench.experts label
--expert NAME --peer`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from expertd.distill import measure, written
from expertd.distill.recipe import Recipe
from expertd.distill.rows import Splits, encoded, parted
from expertd.experts.bundle import open_bundle
from expertd.experts.values import Abstention, Answer, Label, Outcome
from expertd.router.encoder import Encoder

from .experts_label import asked
from .report import ROOT, Row, data_folder, open_encoder, print_table, trunk_folder

NAMES = ("urgency", "question-type", "prompt-attack", "phishing")
CACHE = ROOT / "build" / "distill"
# What counts as crying wolf.
ALARMS = {"urgency": "high", "prompt-attack": "attack", "phishing": "phishing"}
REAL_ROWS = 500
_FIRST_WORDS = (
    (r"how (?:many|much|old|far|long|tall|often|big|fast)\b", "how-many"),
    (r"how\b", "how-to"),
    (r"(?:who|whose|whom)\b", "who"),
    (r"(?:when|what time)\b", "when"),
    (r"where\b", "where"),
    (r"why\b", "why"),
    (r"(?:what|which|define)\b", "what"),
    (r".*\bor\b", "choice"),
    (r"should|do you think", "opinion"),
    (r"(?:is|are|was|were|do|does|did|can|could|will|would|has|have|am|may)\b", "yes-no"),
)


def add(commands: Any) -> None:
    command = commands.add_parser("signals", help="urgency, question-type, prompt-attack, phishing")
    command.add_argument("--expert", choices=NAMES, nargs="*", default=NAMES)
    command.add_argument("--no-peers", action="store_true")
    command.add_argument("--wrong", action="store_true", help="print every hand-written row that is labelled otherwise")
    command.add_argument("--trunk", type=Path, default=trunk_folder())
    command.set_defaults(run=_signals, name="signals")


def _signals(chosen: argparse.Namespace) -> Row:
    encoder = open_encoder(chosen.trunk)
    data = data_folder()
    real = {
        "requests": written.requests(data)["test"],
        "messages": written.messages(data)["test"],
        "mails": written.mails(data)["test"],
        "comments": written.comments(data)["test"],
    }
    figures: Row = {}
    for name in chosen.expert:
        rows = written.held_out(name)
        texts, truth = [row.text for row in rows], [row.label for row in rows]
        module = importlib.import_module(f"expertd.distill.{name.replace('-', '_')}")
        recipe = cast(Recipe, module.RECIPE)
        outcomes, milliseconds = _asked(name, texts, encoder)
        # Peers answer every row; so does the expert without its threshold.
        pressed, _ = _asked(name, texts, encoder, threshold=0.0)
        columns = {name: _figures(recipe.labels, outcomes, truth)}
        columns[name]["every row answered"] = _scored(recipe.labels, [_label(each) for each in pressed], truth)[
            "accuracy"
        ]
        columns[name]["p50_ms"] = milliseconds
        if chosen.wrong:
            _print_wrong(texts, truth, outcomes)
        if label := ALARMS.get(name):
            for kind, every in real.items():
                some = written.chosen(every, REAL_ROWS)
                said, _ = _asked(name, some, encoder)
                columns[name][f"false alarms, {kind}"] = round(_alarms(said, label), 4)
        if not chosen.no_peers:
            splits = parted(recipe.labels, module.read(data))
            columns |= _peers(name, recipe, splits, texts, truth, encoder)
        keys = dict.fromkeys(key for column in columns.values() for key in column)
        print_table(
            [f"{len(texts)} rows", *columns],
            [[key, *(column.get(key, "") for column in columns.values())] for key in keys],
        )
        figures[name] = columns
    return figures


def _asked(
    name: str, texts: Sequence[str], encoder: Encoder, threshold: float | None = None
) -> tuple[list[Outcome], float]:
    """What the shipped expert answers, at its own threshold or another; the median time of an answer in ms, the
    encoding apart."""
    known = encoded(texts, encoder, CACHE)
    bundle = open_bundle(ROOT / "experts" / "bundles" / name)
    if threshold is not None:
        bundle = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, threshold=threshold))
    outcomes, row = asyncio.run(asked(bundle, lambda some: [known[text] for text in some], texts))
    return outcomes, row["p50_ms"]


def _figures(labels: Sequence[str], outcomes: Sequence[Outcome], truth: Sequence[str]) -> Row:
    """Of what is answered and of what is not: an abstention counts as wrong in accuracy and macro F1."""
    said = [_label(outcome) for outcome in outcomes]
    answered = [label == wanted for label, wanted in zip(said, truth, strict=True) if label]
    return _scored(labels, said, truth) | {
        "abstained": round(said.count("") / len(said), 4),
        "accuracy answered": round(float(np.mean(answered)), 4) if answered else 0.0,
    }


def _label(outcome: Outcome) -> str:
    return outcome.result.label if isinstance(outcome, Answer) and isinstance(outcome.result, Label) else ""


def _alarms(outcomes: Sequence[Outcome], label: str) -> float:
    return sum(_label(outcome) == label for outcome in outcomes) / len(outcomes)


def _print_wrong(texts: Sequence[str], truth: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    for text, label, outcome in zip(texts, truth, outcomes, strict=True):
        if (said := _label(outcome)) != label:
            why = outcome.reason if isinstance(outcome, Abstention) else outcome.text
            print(f"{label:>12} taken for {said or '-':<12} {text[:110]!r} ({why[:120]})")


# --- Peers -----------------------------------------------------------------------------------------------------------


def _peers(
    name: str, recipe: Recipe, splits: Splits, texts: Sequence[str], truth: Sequence[str], encoder: Any
) -> dict[str, Row]:
    """Each answers every row."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    known = encoded([*(row.text for row in splits.train), *texts], encoder, CACHE)
    labels, weights = [row.label for row in splits.train], [row.weight for row in splits.train]
    head = LogisticRegression(C=10.0, max_iter=2_000)
    head.fit(np.array([known[row.text] for row in splits.train]), labels, weights)
    found = {"head on the trunk": head.predict(np.array([known[text] for text in texts]))}
    if name == "phishing":
        grams = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
            LogisticRegression(C=10.0, max_iter=2_000),
        )
        found["character n-grams"] = grams.fit([row.text for row in splits.train], labels).predict(texts)
    if name == "question-type":
        found["first word"] = np.array([_first_word(text) for text in texts])
    scored = {peer: _scored(recipe.labels, said.tolist(), truth) for peer, said in found.items()}
    return {peer: row | {"every row answered": row["accuracy"]} for peer, row in scored.items()}


def _first_word(text: str) -> str:
    plain = text.lower().strip()
    return next((label for pattern, label in _FIRST_WORDS if re.match(pattern, plain)), "none")


def _scored(labels: Sequence[str], said: Sequence[str], truth: Sequence[str]) -> Row:
    """said: "" for an abstention, which is wrong."""
    from sklearn.metrics import f1_score

    right = sum(one == other for one, other in zip(said, truth, strict=True))
    low, high = measure.interval(right, len(truth))
    return {
        "accuracy": round(right / len(truth), 4),
        "95 % from": round(low, 4),
        "95 % to": round(high, 4),
        "macro F1": round(float(f1_score(truth, said, labels=list(labels), average="macro", zero_division=0.0)), 4),
    }
