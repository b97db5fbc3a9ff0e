"""The recipe of linear experts: equal rows give equal bytes, probabilities mean what they say, bad rows are refused."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.distill import classifier, measure
from expertd.distill.classifier import make
from expertd.distill.recipe import Recipe
from expertd.distill.rows import DataError, Row, Splits, encoded, part_of, parted, plain, varied
from expertd.experts.bundle import open_bundle
from expertd.experts.kinds.linear import Grams, LinearServable, load
from expertd.experts.servable import Host

WORDS = {
    "sad": ("rain again", "i miss him", "lost the key", "nobody came", "such a grey day"),
    "glad": ("hooray", "what a party", "we won", "love the cake", "sunshine at last"),
    "calm": ("the bus is blue", "page two", "at nine", "on the table", "next to the door"),
}


class FakeEncoder:
    """Vectors from letters alone: equal texts have equal vectors."""

    id = "0" * 64

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.encoded += texts
        seeds = [sum(map(ord, text)) for text in texts]
        vectors = np.array([np.random.default_rng(seed).normal(size=384) for seed in seeds], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(labels: Sequence[str], count: int, seed: int, *, wrong: float = 0.0) -> list[Row]:
    """wrong: the share of rows whose label is not what their words say."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        label = chance.choice(labels)
        text = " ".join(chance.choice(WORDS[label]) for _ in range(2)) + f" {seed} {number}"
        found.append(Row(text, chance.choice(labels) if chance.random() < wrong else label))
    return found


def splits(labels: Sequence[str], *, wrong: float = 0.0) -> Splits:
    train, validation, later = (rows(labels, 300, seed, wrong=wrong) for seed in (1, 2, 3))
    return Splits(train, validation, {"later": later})


def recipe(labels: tuple[str, ...] = ("sad", "glad", "calm"), **changed: Any) -> Recipe:
    usual = Recipe(
        name="mood",
        summary="Tells the mood.",
        labels=labels,
        phrases={"glad": 'Sounds "glad" ({percent} sure) 😀.'},
        needs_input="Which text?",
        licence="Apache-2.0",
        does="Tells the mood of a text.",
        data="Made up.",
        limits="Knows fifteen phrases.",
        grams=Grams(bits=10, lower=True),
        strengths=(1.0, 10.0),
    )
    return dataclasses.replace(usual, **changed)


def home(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "intents.jsonl").write_text('{"intent": "check", "text": "how does this sound"}\n')
    (folder / "golden.jsonl").write_text('{"query": {"text": "hooray"}, "expect": {"label": "glad"}}\n')
    return folder


def made(folder: Path, chosen: Recipe, data: Splits, **named: Any) -> dict[str, dict[str, float]]:
    return make(chosen, data, FakeEncoder(), home(folder), folder.with_suffix(".cache"), say=lambda line: None, **named)


VARIANTS = {
    "many labels": recipe(),
    "two labels": recipe(("sad", "glad")),
    "two sets of weights": recipe(("sad", "glad"), short_characters=20, folds=3, refit=True),
    "shared factors": recipe(factors=2),
    "the vector alone": recipe(grams=None),
    "even labels": recipe(balance=1.0, emphasis=2.0),
}


@pytest.mark.parametrize("chosen", VARIANTS.values(), ids=VARIANTS)
def test_the_same_rows_give_the_same_sealed_bytes(chosen: Recipe, tmp_path: Path) -> None:
    data = splits(chosen.labels)
    digests = []
    for turn in ("a", "b"):
        made(tmp_path / turn, chosen, data)
        digests.append(open_bundle(tmp_path / turn, trunk_id=FakeEncoder.id).digest)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "the vector alone"])
async def test_what_is_written_is_served_and_right(name: str, tmp_path: Path) -> None:
    chosen = VARIANTS[name]
    figures = made(tmp_path / "mood", chosen, splits(chosen.labels))
    assert figures["later"]["accuracy"] > 0.9
    servable = await load(open_bundle(tmp_path / "mood"), cast(Host, None))
    assert isinstance(servable, LinearServable)
    (vector,) = FakeEncoder().encode(["hooray we won"])
    found = servable.probabilities("hooray we won", vector)
    assert chosen.labels[int(found.argmax())] == "glad"


def test_probabilities_mean_what_they_say_where_labels_are_often_wrong(tmp_path: Path) -> None:
    """A third of the labels are drawn by lot: whoever is sure of everything is wrong too often."""
    for name, chosen in (("many", recipe()), ("two", recipe(("sad", "glad")))):
        figures = made(tmp_path / name, chosen, splits(chosen.labels, wrong=0.33))
        assert figures["later"]["accuracy"] < 0.9
        assert figures["later"]["ece"] < 0.08


def test_calibrating_moves_the_scores_by_slope_and_shift() -> None:
    chosen = recipe(("sad", "glad"))
    known = encoded_rows(chosen, splits(chosen.labels).train)
    tensors = classifier.fit(chosen, known, 1.0)
    before = classifier.probabilities(chosen, tensors, known)
    moved = classifier.calibrated(tensors, np.array([[0.5, 0.0, 1.0]]))
    after = classifier.probabilities(chosen, moved, known)
    odds = [np.log(found[:, 1] / found[:, 0]) for found in (before, after)]
    assert odds[1] == pytest.approx(0.5 * odds[0] + 1.0, abs=0.02)


def encoded_rows(chosen: Recipe, found: Sequence[Row]) -> classifier.Rows:
    vectors = FakeEncoder().encode([row.text for row in found])
    return classifier.Rows.of(chosen, found, {row.text: vector for row, vector in zip(found, vectors, strict=True)})


def test_the_card_and_the_manifest_tell_what_was_made(tmp_path: Path) -> None:
    figures = made(tmp_path / "mood", recipe(), splits(recipe().labels))
    bundle = open_bundle(tmp_path / "mood")
    assert bundle.manifest.parameters["phrases"] == {"glad": 'Sounds "glad" ({percent} sure) 😀.'}
    for told in ("Tells the mood of a text.", "Made up.", "Knows fifteen phrases.", "| later |", "## Measured"):
        assert told in bundle.card()
    assert f"| {figures['later']['accuracy']:g} |" in bundle.card()


def test_choosing_alone_reads_no_test_and_writes_nothing(tmp_path: Path) -> None:
    data, encoder = splits(recipe().labels), FakeEncoder()
    folder = home(tmp_path / "mood")
    figures = make(recipe(), data, encoder, folder, tmp_path / "cache", choices_only=True, say=lambda line: None)
    assert list(figures) == ["validation"]
    assert not {row.text for row in data.tests["later"]} & set(encoder.encoded)
    assert sorted(path.name for path in folder.iterdir()) == ["golden.jsonl", "intents.jsonl"]


# --- Rows ------------------------------------------------------------------------------------------------------------


def test_no_text_stays_on_two_sides() -> None:
    train = [*rows(("sad", "glad"), 20, 1), Row("The END, today!", "sad"), Row("we won", "glad")]
    validation = [*rows(("sad", "glad"), 20, 2), Row("We won.", "glad")]
    found = parted(("sad", "glad"), Splits(train, validation, {"later": [Row("the end today", "sad")]}))
    assert len(found.train) == 20
    assert len(found.validation) == 21


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"train": [Row("hooray", "gald")]}, r"training, row 1: label 'gald' is none of sad, glad"),
        ({"validation": [Row(" \n", "sad")]}, r"validation, row 1: the text is empty"),
        ({"tests": {"later": [Row("hooray", "glad"), Row("rain", "")]}}, r"later, row 2: label ''"),
        ({"train": [Row("hooray", "glad")]}, r"training has no row of sad"),
        ({"tests": {"later": []}}, r"later has no rows"),
        ({"train": [Row("hooray", "glad", 0.0)]}, r"weight 0.0; it is a number above 0"),
        ({"train": [Row("hooray", "glad", float("nan"))]}, r"weight nan"),
    ],
)
def test_bad_rows_are_refused_by_name(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        parted(("sad", "glad"), dataclasses.replace(splits(("sad", "glad")), **changed))


@given(st.text(max_size=60))
def test_a_text_and_its_variants_are_in_one_part(text: str) -> None:
    parts = {part_of(each, train=0.8, test=0.2) for each in (text.lower(), f"  {text.lower()}!?", plain(text))}
    assert len(parts) == 1


def test_parts_have_the_shares_that_they_were_given() -> None:
    found = [part_of(f"sentence {number}", train=3, validation=1, test=1) for number in range(4_000)]
    assert {name: round(found.count(name) / len(found), 1) for name in ("train", "validation", "test")} == {
        "train": 0.6,
        "validation": 0.2,
        "test": 0.2,
    }


def test_rows_are_varied_as_people_type() -> None:
    found = varied([Row("Don't WAIT, call!", "glad", 2.0), Row("ok", "sad")], 0.25)
    assert found[2:] == [Row("don't wait call", "glad", 0.5, "Don't WAIT, call!")]


def test_a_text_is_encoded_once_ever(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    first = encoded(["a", "b", "a"], encoder, tmp_path)
    again = encoded(["b", "c"], encoder, tmp_path)
    assert encoder.encoded == ["a", "b", "c"]
    assert np.array_equal(first["b"], again["b"])


# --- Figures ---------------------------------------------------------------------------------------------------------


def test_figures_count_silence_as_wrong_and_as_unanswered() -> None:
    found = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.0, 0.0], [0.3, 0.3, 0.4]])
    figures = measure.figures(("a", "b", "c"), found, ["a", "a", "a", "b"], 0.5)
    assert figures["accuracy"] == 0.25
    assert figures["answered"] == 0.5
    assert figures["accuracy_answered"] == 0.5
    # The truth is a or b: of the last row, which says c, a and b are equal, and the first is taken.
    assert figures["accuracy_among"] == 0.25
    assert json.dumps(figures["rows"]) == "4"


def test_the_threshold_is_the_lowest_that_reaches_the_accuracy_within_the_share_that_may_be_left() -> None:
    sure = np.linspace(0.5, 1.0, 101)
    found, truth = np.stack([sure, 1 - sure], axis=1), np.where(sure < 0.7, 1, 0)
    assert measure.threshold(found, truth, 1.0, 0.5) == pytest.approx(0.7)
    assert measure.threshold(found, truth, 1.0, 0.1) == pytest.approx(0.55)
    assert measure.threshold(found, truth, 0.5, 0.5) == 0.0
