"""The linear kind reads texts the same way everywhere, answers with probabilities, and knows when not to."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from expertd.experts.bundle import open_bundle, seal
from expertd.experts.errors import BundleError
from expertd.experts.kinds.linear import Grams, LinearServable, Parameters, load, ngram_bins, visible_text, words
from expertd.experts.servable import Host
from expertd.experts.values import Abstention, Answer, Document, Label, Query
from expertd.experts.weights import read_safetensors

GRAMS = Grams(bits=10, characters=200)
VECTOR = np.eye(384, dtype=np.float32)[0]

MANIFEST = """\
name = "mood"
version = 1
kind = "linear"
summary = "For tests."
licence = "Apache-2.0"
trunk = "trunk-a"
threshold = 0.7

[resources]
memory_mb = 1
latency_ms = 1

[parameters]
labels = ["sad", "glad"]
needs_input = "Which text?"
temperature = 2.0
short_characters = 20

[parameters.phrases]
glad = "Sounds glad ({percent} sure) {0.__class__}."

[parameters.ngrams]
bits = 10
characters = 200
"""


async def nobody(text: str) -> None:
    raise AssertionError(text)


def query(text: str, **named: Any) -> Query:
    fields = {"text": text, "now": datetime(2026, 3, 2, tzinfo=UTC), "zone": ZoneInfo("UTC"), "vector": VECTOR}
    return Query(**{**fields, **named})


def tensors(**changed: Any) -> dict[str, Any]:
    """Glad is whoever writes like this: "hooray". Short and long texts differ in their bias alone."""
    bins, _ = ngram_bins("hooray", GRAMS)
    ngrams = np.full((2, 1024, 1), -20, np.int8)
    ngrams[:, bins] = 100
    usual = {
        "bias": np.array([[0.0], [-9.0]], np.float32),
        "vector": np.zeros((2, 384, 1), np.float16),
        "ngrams": ngrams,
        "ngrams_scale": np.full((2, 1), 0.05, np.float32),
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def write(folder: Path, weights: dict[str, Any], old: str = "", new: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "expert.toml").write_text(MANIFEST.replace(old, new) if old else MANIFEST)
    (folder / "intents.jsonl").write_text('{"intent": "check", "text": "how does this sound"}\n')
    (folder / "golden.jsonl").write_text('{"query": {"text": "hooray"}, "expect": {"label": "glad"}}\n')
    (folder / "CARD.md").write_text("# mood\n")
    save_file(weights, folder / "head.safetensors")
    seal(folder)
    return folder


async def served(folder: Path, weights: dict[str, Any] | None = None, old: str = "", new: str = "") -> LinearServable:
    bundle = open_bundle(write(folder / "mood", weights or tensors(), old, new))
    return await load(bundle, cast(Host, None))


# --- Answers ---------------------------------------------------------------------------------------------------------


async def test_it_answers_with_a_label_and_every_probability(tmp_path: Path) -> None:
    mood = await served(tmp_path)
    assert mood.needs_vector
    answer = await mood.answer(query("how does this sound", intent="check", payload="hooray"), nobody)
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Label)
    assert answer.result.label == "glad"
    assert answer.result.probability == answer.result.probabilities["glad"] > 0.7
    assert sum(answer.result.probabilities.values()) == pytest.approx(1)
    # The phrase is data: nothing in it is looked up but the percentage.
    assert answer.text.startswith("Sounds glad (")
    assert answer.text.endswith(" sure) {0.__class__}.")


@pytest.mark.parametrize(
    "asked",
    [
        {"intent": "check"},
        {"intent": "check", "payload": " \n"},
        {"intent": "check", "document": Document("")},
        {"payload": ""},
    ],
)
async def test_it_asks_back_when_there_is_nothing_to_judge(tmp_path: Path, asked: dict[str, Any]) -> None:
    outcome = await (await served(tmp_path)).answer(query("how does this sound", **asked), nobody)
    assert outcome == Abstention("Which text?", "needs_input")


async def test_named_directly_it_judges_the_text_itself(tmp_path: Path) -> None:
    assert isinstance(await (await served(tmp_path)).answer(query("hooray"), nobody), Answer)


async def test_the_document_goes_before_the_instruction(tmp_path: Path) -> None:
    asked = query("how does this sound", intent="check", document=Document("hooray"))
    assert isinstance(await (await served(tmp_path)).answer(asked, nobody), Answer)


async def test_below_the_threshold_it_abstains_and_says_how_unsure_it_is(tmp_path: Path) -> None:
    outcome = await (await served(tmp_path)).answer(query("qqq"), nobody)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "unsure"
    assert "70 %" in outcome.reason


async def test_a_higher_temperature_makes_it_less_sure_of_the_same_label(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    cool = (await served(tmp_path / "a", None, "temperature = 2.0", "temperature = 1.0")).probabilities(
        "hooray", VECTOR
    )
    warm = (await served(tmp_path / "b")).probabilities("hooray", VECTOR)
    assert cool[1] > warm[1] > 0.5
    log_odds = np.log(cool[1] / cool[0]), np.log(warm[1] / warm[0])
    assert log_odds[0] == pytest.approx(2 * log_odds[1])


async def test_short_and_long_texts_have_weights_of_their_own(tmp_path: Path) -> None:
    mood = await served(tmp_path)
    short, long = mood.probabilities("x" * 20, VECTOR), mood.probabilities("x" * 21, VECTOR)
    assert short[1] > 10 * long[1]


async def test_the_vector_counts(tmp_path: Path) -> None:
    weights = tensors(vector=np.zeros((2, 384, 1), np.float16))
    weights["vector"][:, 0, 0] = 4
    mood = await served(tmp_path, weights)
    assert mood.probabilities("qqq", VECTOR)[1] > mood.probabilities("qqq", -VECTOR)[1]
    with pytest.raises(ValueError, match="vector"):
        mood.probabilities("qqq", None)


async def test_more_than_two_labels_have_a_column_each(tmp_path: Path) -> None:
    weights = {"bias": np.array([[0.0, 3.0, 1.0]], np.float32), "vector": np.zeros((1, 384, 3), np.float16)}
    folder = write(tmp_path / "mood", tensors())
    text = (folder / "expert.toml").read_text().partition("[parameters]")[0]
    (folder / "expert.toml").write_text(text + '[parameters]\nlabels = ["a", "b", "c"]\nneeds_input = "?"\n')
    save_file(weights, folder / "head.safetensors")
    mood = await load(seal(folder), cast(Host, None))
    probabilities = mood.probabilities("any", VECTOR)
    assert probabilities.argmax() == 1
    assert probabilities.sum() == pytest.approx(1)
    answer = await mood.answer(query("any"), nobody)
    assert isinstance(answer, Answer)
    assert answer.text.startswith("b (")


async def test_it_says_how_much_memory_it_holds_and_needs_no_process(tmp_path: Path) -> None:
    mood = await served(tmp_path)
    assert mood.resident_bytes() > 2 * 1024
    assert mood.worker_pid() == 0
    await mood.close()


async def test_pages_that_no_text_ever_read_are_not_counted(tmp_path: Path) -> None:
    ngrams = np.zeros((2, 2**20, 1), np.int8)
    mood = await served(tmp_path, tensors(ngrams=ngrams), "bits = 10", "bits = 20")
    before = mood.resident_bytes()
    mood.probabilities("hooray", VECTOR)
    assert before < 64 * 1024 < mood.resident_bytes() < ngrams.nbytes


# --- Loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"bias": None}, "bias"),
        ({"bias": np.zeros(2, np.float32)}, r"tensor 'bias' is \(2,\)"),
        ({"vector": np.zeros((2, 768, 1), np.float16)}, "tensor 'vector'"),
        ({"ngrams": np.zeros((2, 512, 1), np.int8)}, "tensor 'ngrams'"),
        ({"ngrams": np.zeros((2, 1024, 1), np.float32)}, "int8 was expected"),
        ({"ngrams_scale": None}, "come together"),
        ({"ngrams": None, "ngrams_scale": None, "vector": None}, "'vector' or 'ngrams'"),
        ({"vector": np.full((2, 384, 1), np.nan, np.float16)}, "not finite"),
        ({"more": np.zeros(1, np.float32)}, "tensor 'more'"),
    ],
)
async def test_weights_that_do_not_fit_are_refused(tmp_path: Path, changed: dict[str, Any], rule: str) -> None:
    with pytest.raises(BundleError, match=rule) as error:
        await served(tmp_path, tensors(**changed))
    assert str(error.value).startswith("mood 1: head.safetensors: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("temperature = 2.0", "temperature = 0.0"),
        ("temperature = 2.0", "temperature = nan"),
        ('labels = ["sad", "glad"]', 'labels = ["sad"]'),
        ('labels = ["sad", "glad"]', 'labels = ["sad", "sad"]'),
        ("bits = 10", "bits = 60"),
        ("bits = 10", "bits = 10\nlongest = 9"),
        ("bits = 10", "bits = 10\nshortest = 6"),
        ("temperature", "temprature"),
        ("glad =", "mad ="),
    ],
)
async def test_parameters_that_make_no_sense_are_refused(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(BundleError, match=r"mood 1: expert\.toml: \[parameters\]"):
        await served(tmp_path, None, old, new)


def test_tensors_are_mapped_and_never_changed(tmp_path: Path) -> None:
    stored = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.zeros((0, 2), np.int8), "c": np.array([True])}
    save_file(stored, tmp_path / "a.safetensors")
    read = read_safetensors(tmp_path / "a.safetensors")
    for name, array in stored.items():
        assert np.array_equal(read[name], array)
        assert read[name].dtype == array.dtype
    with pytest.raises(ValueError, match="read-only"):
        read["a"][0, 0] = 1


# --- How a text is read ----------------------------------------------------------------------------------------------


def bins_in_whole_numbers(text: str, grams: Grams) -> set[int]:
    """The hash as it is defined, one n-gram at a time, in whole numbers modulo 2**64."""
    padded, found = f" {text} ", set()
    for length in range(grams.shortest, grams.longest + 1):
        for start in range(len(padded) - length + 1):
            value = 0
            for place, letter in enumerate(padded[start : start + length], 1):
                value = (value * 0x9E3779B97F4A7C15 + ord(letter) + place) % 2**64
            value ^= value >> 29
            found.add(value * 0xD6E8FEB86659FD93 % 2**64 >> (64 - grams.bits))
    return found


@given(st.text(max_size=30), st.integers(8, 22))
def test_bins_are_the_same_on_every_machine(text: str, bits: int) -> None:
    grams = Grams(bits=bits)
    assert set(ngram_bins(text, grams)[0].tolist()) == bins_in_whole_numbers(text, grams)


def test_blanks_at_either_end_are_part_of_the_ngrams() -> None:
    whole, inner = (set(ngram_bins(text, Grams())[0].tolist()) for text in ("cat", "concatenate"))
    assert whole - inner


@given(st.text(max_size=300))
def test_any_text_has_bins_in_range_and_values_of_length_one(text: str) -> None:
    bins, values = ngram_bins(words(text, Parameters(["a", "b"], "?", ngrams=GRAMS)), GRAMS)
    assert (np.diff(bins) > 0).all()
    assert len(bins) == 0 or (bins[0] >= 0 and bins[-1] < 1024)
    assert float(values @ values) == pytest.approx(1)


def test_lone_surrogates_and_nul_are_read_like_any_letter() -> None:
    bins, _ = ngram_bins("\ud800\0", GRAMS)
    assert len(bins) > 0


def test_only_so_much_of_a_text_is_read() -> None:
    parameters = Parameters(["a", "b"], "?", ngrams=GRAMS, markup=True)
    assert words("ab " * 400_000, parameters) == words("ab " * 70, parameters)[:200]


def test_a_page_is_read_as_its_reader_sees_it() -> None:
    page = (
        "<HTML><head><style>p {color: red}</style><script>run()</script></head>"
        "<p>Big&nbsp;<b>s</b>ale &amp; more<br>today<a href='http://x.example/a'>here</a></p><!-- hidden -->"
    )
    seen = " ".join(visible_text(page).split())
    assert seen == "Big sale & more today http://x.example/a here"


def test_what_is_no_page_is_left_as_it_is() -> None:
    text = "if a < b and c > d, then a<c & all is well"
    assert visible_text(text) == text


@pytest.mark.parametrize(
    "piece", ["<!--", "<a ", "<![CDATA[", "</", "&", "&#", "<!", "<?", "<a b='", "<", "<script>", "<p><", "< \n"]
)
def test_broken_markup_of_a_megabyte_is_bounded(piece: str) -> None:
    parameters = Parameters(["a", "b"], "?", ngrams=GRAMS, markup=True)
    started = time.process_time()
    words("<p>" + piece * (1_000_000 // len(piece)), parameters)
    # Not a measurement: something quadratic in the whole text would take minutes.
    assert time.process_time() - started < 10


async def test_many_answers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    import asyncio

    mood = await served(tmp_path)
    long = query("x", payload="hooray " * 2000)
    outcomes = await asyncio.gather(*(mood.answer(dataclasses.replace(long), nobody) for _ in range(8)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
