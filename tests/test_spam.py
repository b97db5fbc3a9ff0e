"""The spam expert: its training tells the same story twice, and what is shipped keeps its promises."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.distill import spam
from expertd.distill.classifier import make
from expertd.distill.recipe import Figures, Recipe
from expertd.experts.bundle import GOLDEN, INTENTS, Bundle, open_bundle
from expertd.experts.golden import check, to_query
from expertd.experts.kinds.linear import Grams, LinearServable, load
from expertd.experts.servable import Host
from expertd.experts.values import Answer, Label
from expertd.router.encoder import Encoder, pinned

BAIT = ("win cash now", "free prize call", "claim your reward", "urgent offer text", "cheap pills order")
CHAT = ("see you later", "lunch at noon", "the train is late", "thanks for the book", "call mum tonight")


class FakeEncoder:
    """Vectors from letters alone: equal texts have equal vectors."""

    id = "0" * 64

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.encoded += len(texts)
        vectors = np.array([np.random.default_rng(len(text)).normal(size=384) for text in texts], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets in the form of the real ones, every sentence made up here."""
    folder = tmp_path_factory.mktemp("data")
    chance = random.Random(3)

    def text(label: int, words: int) -> str:
        return " ".join(chance.choice(BAIT if label else CHAT) for _ in range(words))

    (folder / "sms_spam").mkdir()
    for part, count in (("train", 60), ("val", 30), ("test", 30)):
        rows = [{"text": f"{text(n % 2, 3)} {n}", "label": n % 2} for n in range(count)]
        (folder / "sms_spam" / f"dedup_{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "spamassassin").mkdir()
    with gzip.open(folder / "spamassassin" / "spamassassin.jsonl.gz", "wt") as file:
        for n in range(120):
            subject = "".join(chance.choice("abcdefgh") for _ in range(8))
            row = {"subject": subject, "body": text(n % 2, 40), "label": "spam" if n % 2 else "ham"}
            file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def quick() -> Recipe:
    """Few bins and one fit: a second instead of minutes."""
    grams = Grams(shortest=1, longest=4, bits=12, characters=400)
    return dataclasses.replace(spam.RECIPE, grams=grams, strengths=(30.0,), folds=2)


def silent(line: str) -> None:
    """Nobody reads along."""


def made(recipe: Recipe, data: Path, home: Path) -> tuple[Bundle, Figures]:
    home.mkdir()
    for name in (INTENTS, GOLDEN):
        (home / name).write_bytes((spam.FIRST / name).read_bytes())
    figures = make(recipe, spam.read(data), FakeEncoder(), home, home.parent / "cache", say=silent)
    return open_bundle(home, trunk_id=FakeEncoder.id), figures


def test_training_ends_in_a_sealed_bundle_that_judges_short_and_long_texts(
    quick: Recipe, data: Path, tmp_path: Path
) -> None:
    bundle, figures = made(dataclasses.replace(quick, version=7, refit=True), data, tmp_path / "out")
    assert figures["SMS"]["f1"] > 0.9
    assert figures["mail"]["auroc"] > 0.9
    assert bundle.manifest.version == 7
    assert f"{figures['SMS']['f1']:g}" in bundle.card()


def test_training_twice_gives_the_same_bytes(quick: Recipe, data: Path, tmp_path: Path) -> None:
    first, second = (made(quick, data, tmp_path / turn)[0] for turn in ("a", "b"))
    assert first.digest == second.digest


def test_a_campaign_is_one_group() -> None:
    assert spam.plain_subject("Re: [list] Cheap pills 42") == spam.plain_subject("cheap PILLS 7!")


@given(st.text("abcxyz XYZ019-!", max_size=40))
def test_answers_and_copies_of_a_mail_stay_on_its_side(subject: str) -> None:
    for other in (f"Re: {subject}", f"[list] Re: {subject}", f"FWD: re: {subject} 42", subject.upper()):
        assert spam.split_of(other) == spam.split_of(subject)


# --- What is shipped -------------------------------------------------------------------------------------------------

SHIPPED = {1: spam.FIRST, 2: spam.SECOND}


@pytest.fixture(params=SHIPPED)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return open_bundle(SHIPPED[request.param])


@pytest.fixture(scope="module")
def encoder(trunk_root: Path) -> Encoder:
    return Encoder.open(trunk_root)


def test_the_shipped_versions_rise_and_are_fitted_on_the_pinned_trunk(bundle: Bundle) -> None:
    assert bundle.manifest.name == "spam"
    assert SHIPPED[bundle.manifest.version] == bundle.path
    assert bundle.manifest.trunk == pinned().id
    assert bundle.manifest.licence == "CC-BY-4.0"
    assert bundle.disk_bytes < 2**20


def test_the_update_owns_the_same_sentences_and_is_examined_in_the_same_way() -> None:
    for name in (INTENTS, GOLDEN):
        assert (spam.FIRST / name).read_bytes() == (spam.SECOND / name).read_bytes()


def test_the_card_tells_data_licence_quality_and_limits(bundle: Bundle) -> None:
    card = bundle.card()
    for told in ("SMS Spam Collection", "SpamAssassin", "CC BY 4.0", "F1 of `spam`", "AUROC", "## Limits"):
        assert told in card


async def served(bundle: Bundle) -> LinearServable:
    return await load(bundle, cast(Host, None))


async def nobody(text: str) -> None:
    raise AssertionError(text)


async def test_the_golden_examples_pass(bundle: Bundle, encoder: Encoder) -> None:
    servable = await served(bundle)
    for number, golden in enumerate(bundle.golden(), 1):
        query = to_query(golden)
        query = dataclasses.replace(query, vector=encoder.encode([query.subject])[0])
        outcome = await servable.answer(query, nobody)
        assert check(outcome, golden.expect) is None, f"golden.jsonl line {number}"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("WINNER!! You won a £900 voucher, to claim call 09050001234 from a land line. Valid 12 hours only.", "spam"),
        ("Your free month of horoscopes is waiting, txt STARS to 82277 now! £1.50/wk, 18+ only", "spam"),
        ("Hey, are we still on for climbing at six? I might be a bit late because of the dentist.", "ham"),
        ("Please bring the blue folder to the meeting, Jonas needs the signed contract.", "ham"),
    ],
)
async def test_plain_cases_are_judged_right(bundle: Bundle, encoder: Encoder, text: str, label: str) -> None:
    (golden, *_) = bundle.golden()
    query = to_query(golden)
    asked = dataclasses.replace(query, payload=text, vector=encoder.encode([text])[0])
    outcome = await (await served(bundle)).answer(asked, nobody)
    assert isinstance(outcome, Answer)
    assert isinstance(outcome.result, Label)
    assert outcome.result.label == label


def runs_of_words(text: str, length: int = 6) -> Iterator[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return (tuple(found[start : start + length]) for start in range(len(found) - length + 1))


def test_no_sentence_of_the_data_sets_is_in_the_bundles(bundle: Bundle) -> None:
    folder = Path(os.environ.get("EXPERTD_DATA", spam.ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the data sets are not on this machine ({folder})")
    ours = set(runs_of_words((bundle.path / INTENTS).read_text("utf-8").replace("\\n", "\n")))
    for golden in bundle.golden():
        fields = golden.query_fields
        for text in (fields.text, fields.payload, fields.document):
            ours.update(runs_of_words(text or ""))
    texts = [
        json.loads(line)["text"]
        for part in ("train", "val", "test")
        for line in (folder / "sms_spam" / f"dedup_{part}.jsonl").read_text("utf-8").splitlines()
    ]
    with gzip.open(folder / "spamassassin" / "spamassassin.jsonl.gz", "rt", encoding="utf-8") as file:
        texts += [f"{row['subject']} {row['body']}" for row in map(json.loads, file)]
    assert not [run for text in texts for run in runs_of_words(text) if run in ours]
