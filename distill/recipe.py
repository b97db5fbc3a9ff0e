"""What one trained expert is: its labels, how it is fitted, and what its manifest and card say.

Knows nothing of rows and of fitting: `expertd.distill.classifier` does both by a recipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from expertd.experts.kinds.linear import Grams, Parameters

from . import measure

# Of each set of rows its figures, by name.
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Recipe:
    """One expert.

    labels, phrases, needs_input, markup, short_characters, english: as kind `linear` reads them; of two labels the
    second is the one that is looked for. does, data, limits: Markdown for the card. strengths: of the weights against
    the penalty (C), the best on validation is taken. balance: a row counts by its label's share to the power -balance;
    0: as they come, 1: all labels alike. emphasis: of the n-grams beside the vector. factors: that n-grams share, 0:
    they have a weight for each label. folds: calibrate on the training rows, by fits on the other folds, 0: on
    validation. refit: once everything is chosen, fit on training and validation rows. wanted_accuracy, most_abstained:
    see `measure.threshold`. most_false_alarms: of two labels, the threshold is also so high that no greater share of
    the first one's validation rows is called the second. prevalence: of two labels, how common the second is taken to
    be where the expert is asked; 0: as common as among the validation rows. signals: the set of named features that
    are weighed too.
    """

    name: str
    summary: str
    labels: tuple[str, ...]
    needs_input: str
    licence: str
    does: str
    data: str
    limits: str
    phrases: Mapping[str, str] = field(default_factory=dict)
    version: int = 1
    grams: Grams | None = field(default_factory=lambda: Grams(bits=16, lower=True))
    markup: bool = False
    short_characters: int = 0
    english: bool = True
    strengths: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    balance: float = 0.0
    emphasis: float = 1.0
    factors: int = 0
    folds: int = 0
    refit: bool = False
    wanted_accuracy: float = 0.95
    most_abstained: float = 0.1
    most_false_alarms: float = 1.0
    prevalence: float = 0.0
    signals: str = ""

    @property
    def parameters(self) -> Parameters:
        return Parameters(
            labels=list(self.labels),
            needs_input=self.needs_input,
            phrases=dict(self.phrases),
            markup=self.markup,
            short_characters=self.short_characters,
            english=self.english,
            signals=self.signals,
            ngrams=self.grams,
        )

    @property
    def columns(self) -> int:
        return 1 if len(self.labels) == 2 else len(self.labels)

    @property
    def sets(self) -> int:
        return 2 if self.short_characters else 1


def manifest(recipe: Recipe, threshold: float, trunk_id: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """expert.toml without its hashes."""
    megabytes = sum(tensor.nbytes for tensor in tensors.values()) / 1e6

    def value(anything: object) -> str:
        return json.dumps(anything, ensure_ascii=False)

    lines = [
        f"name = {value(recipe.name)}",
        f"version = {recipe.version}",
        'kind = "linear"',
        f"summary = {value(recipe.summary)}",
        f"licence = {value(recipe.licence)}",
        f"trunk = {value(trunk_id)}",
        f"threshold = {threshold:g}",
        "",
        "[resources]",
        f"memory_mb = {1 + int(megabytes)}",
        "latency_ms = 5",
        "",
        "[parameters]",
        f"labels = {value(recipe.labels)}",
        f"needs_input = {value(recipe.needs_input)}",
        f"markup = {value(recipe.markup)}",
        f"short_characters = {recipe.short_characters}",
        f"english = {value(recipe.english)}",
    ]
    if recipe.signals:
        lines.append(f"signals = {value(recipe.signals)}")
    if recipe.grams is not None:
        grams = recipe.grams
        lines += ["", "[parameters.ngrams]", f"shortest = {grams.shortest}", f"longest = {grams.longest}"]
        lines += [f"bits = {grams.bits}", f"characters = {grams.characters}", f"lower = {value(grams.lower)}"]
        if grams.letters:
            lines.append("letters = true")
    if recipe.phrases:
        lines += ["", "[parameters.phrases]"]
        lines += [f"{value(label)} = {value(phrase)}" for label, phrase in recipe.phrases.items()]
    return "\n".join([*lines, ""])


_TOLD = {
    "rows": "rows",
    "accuracy": "accuracy, every row answered",
    "accuracy_low": "from, with 95 % confidence (Wilson)",
    "accuracy_high": "to",
    "accuracy_among": "accuracy among the labels that the rows have",
    "macro_f1": "macro F1",
    "macro_f1_among": "macro F1 among those labels",
    "f1": "F1 of `{looked_for}`",
    "auroc": "AUROC, one against the rest",
    "ece": f"expected calibration error ({measure.BINS} bins)",
    "answered": "share answered (above the threshold)",
    "accuracy_answered": "accuracy of those",
    "found": "found, of the rows of the label looked for, above the threshold",
    "false_alarms": "false alarms, of the other rows, above the threshold",
}


def card(recipe: Recipe, measured: Figures, strength: float, threshold: float, rows: int) -> str:
    """CARD.md: what it does, how it was made, of what, how good it is, where it ends."""
    grams = recipe.grams
    beside = ""
    if grams is not None:
        each = f", {recipe.factors} factors each" if recipe.factors else ""
        beside = (
            f" beside hashed character n-grams (length {grams.shortest} to {grams.longest}, 2^{grams.bits} bins, "
            f"int8{each})"
        )
    if recipe.signals:
        beside += f" and named signals (`{recipe.signals}`: plain facts that code in this project reads from the text)"
    two = ""
    if recipe.sets == 2:
        two = (
            f" One set of weights serves texts of up to {recipe.short_characters} characters, another longer ones "
            f"(domain adaptation after Daumé, 2007)."
        )
    rare = ""
    if recipe.prevalence:
        rare = (
            f" Tests hold far more of `{recipe.labels[1]}` than life does: the probabilities take it that one text in "
            f"{1 / recipe.prevalence:.0f} is (a shift of the log-odds, Saerens et al., 2002)."
        )
    outside = f"rows outside the fit ({recipe.folds} folds)" if recipe.folds else "the validation rows"
    chosen = f"The penalty (C = {strength:g}) and the threshold were"
    if len(recipe.strengths) == 1:
        chosen = f"The penalty (C = {strength:g}) was given; the threshold was"
    refit = " At last it was fitted on training and validation rows." if recipe.refit else ""
    table = ["| | " + " | ".join(measured) + " |", "|---" * (len(measured) + 1) + "|"]
    for figure, words in _TOLD.items():
        cells = [f"{found[figure]:g}" if figure in found else "" for found in measured.values()]
        if any(cells):
            told = words.replace("{looked_for}", recipe.labels[-1])
            table.append(f"| {told} | {' | '.join(cells)} |")
    return f"""\
# {recipe.name}, version {recipe.version}

{recipe.does.strip()}

The answer is a label ({", ".join(f"`{label}`" for label in recipe.labels)}) with a calibrated probability of each;
below {threshold:.0%} it abstains. Asked without a text, it asks back.

## How it was made

Logistic regression over the trunk's vector{beside}, fitted on {rows:,} rows.{two}
{chosen} chosen on validation rows; the probabilities were calibrated on
{outside}.{rare}{refit}
`python -m expertd.distill.{recipe.name.replace("-", "_")}` makes it anew, the same bytes on the same machine.

## Data and licence

{recipe.data.strip()}

## Measured

On rows that it was not fitted on; by the validation rows it was chosen.

{chr(10).join(table)}

## Limits

{recipe.limits.strip()}
"""
