"""The kind `tagger`: which spans stand, what is put in their place, what a loader refuses, and texts of every sort."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from expertd.experts.bundle import open_bundle, seal
from expertd.experts.errors import BundleError, QueryError
from expertd.experts.kinds.tagger import MAX_CHARACTERS, WEIGHTS, Finder, TaggerServable, labels, load
from expertd.experts.servable import Host
from expertd.experts.tagging.recogniser import Recogniser
from expertd.experts.tagging.registry import RECOGNISERS
from expertd.experts.tagging.sequence import (
    FEATURES,
    Lexicon,
    SequenceTagger,
    Vocabulary,
    features,
    sentences,
    tokens,
)
from expertd.experts.tagging.spans import Evidence, Span, mask, redact, resolve
from expertd.experts.values import Abstention, Answer, Document, Query, Structured

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LEARNED = ["person"]
BITS = 14
BINS = 2**BITS
KNOWN_NAMES = {"ana": "g", "oslo": "t"}
VOCABULARY = Vocabulary(Lexicon.of(["my", "friend", "said", "so"], 2**8), KNOWN_NAMES)
SPANS = st.builds(
    lambda start, length, type_, score, evidence: Span(start, start + length, type_, score, evidence),
    st.integers(0, 60),
    st.integers(1, 20),
    st.sampled_from("ab"),
    st.floats(0, 1),
    st.sampled_from(Evidence),
)

MakeTagger = Callable[..., Path]


def query(text: str, **fields: Any) -> Query:
    return Query(text=text, now=NOW, zone=ZoneInfo("UTC"), **fields)


async def silent(text: str) -> None:
    raise AssertionError("a tagger answers whole")


def weights(**changed: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    count = len(labels(LEARNED))
    usual: dict[str, npt.NDArray[Any]] = {
        "emissions": np.zeros((BINS, count), np.int8),
        "scale": np.full(count, 0.1, np.float32),
        "transitions": np.zeros((count, count), np.float32),
        "start": np.zeros(count, np.float32),
        "common": VOCABULARY.common.bits,
        "names": VOCABULARY.names_tensor(),
    }
    return {name: array for name, array in (usual | changed).items() if array.size}


@pytest.fixture
def make_tagger(tmp_path: Path) -> MakeTagger:
    """Writes and seals a bundle; `tensors` None: without weights."""

    def make(tensors: dict[str, npt.NDArray[Any]] | None = None, **parameters: Any) -> Path:
        folder = tmp_path / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        values = {"recognisers": ["email", "phone"], "needs_input": "Which text?"} | parameters
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
        (folder / "expert.toml").write_text(
            'name = "spotter"\nversion = 1\nkind = "tagger"\nsummary = "Spots things."\nlicence = "Apache-2.0"\n'
            f"threshold = 0.5\n\n[resources]\nmemory_mb = 2\nlatency_ms = 1\n\n[parameters]\n{lines}\n\n"
            '[parameters.nouns]\none = "thing"\nmany = "things"\nnone = "things"\n\n'
            '[parameters.asked]\nphone = ["phone", "numbers"]\n'
        )
        (folder / "CARD.md").write_text("# spotter\n")
        (folder / "intents.jsonl").write_text('{"intent": "find", "text": "spot the things"}\n')
        (folder / "golden.jsonl").write_text('{"query": {"text": "hi"}, "expect": {"type": "structured"}}\n')
        if tensors is not None:
            save_file(tensors, folder / WEIGHTS)
        seal(folder)
        return folder

    return make


@pytest.fixture
async def servable(make_tagger: MakeTagger, host: Host) -> TaggerServable:
    return await load(open_bundle(make_tagger()), host)


async def found(servable: TaggerServable, asked: Query) -> tuple[str, dict[str, Any]]:
    outcome = await servable.answer(asked, silent)
    assert isinstance(outcome, Answer)
    assert isinstance(outcome.result, Structured)
    return outcome.text, dict(outcome.result.data)


# --- Spans -----------------------------------------------------------------------------------------------------------


def test_better_evidence_stands_before_length_and_length_before_score() -> None:
    proved = Span(4, 8, "card", 0.6, Evidence.PROVED)
    learned = Span(0, 20, "address", 0.9, Evidence.LEARNED)
    longer = Span(30, 40, "phone", 0.5, Evidence.PATTERN)
    shorter = Span(32, 36, "date", 0.9, Evidence.PATTERN)
    assert resolve([learned, shorter, longer, proved]) == [proved, longer]


@given(st.lists(SPANS, max_size=30))
def test_what_stands_never_overlaps_and_every_other_span_gave_way_to_better(spans: list[Span]) -> None:
    standing = resolve(spans)
    assert all(one.end <= other.start for one, other in pairwise(standing))
    for span in set(spans) - set(standing):
        rivals = [other for other in standing if max(span.start, other.start) < min(span.end, other.end)]
        assert any(other.evidence <= span.evidence for other in rivals)
    assert resolve(reversed(spans)) == standing


@given(st.text(max_size=80), st.lists(SPANS, max_size=8))
def test_redacting_leaves_all_but_the_spans(text: str, spans: list[Span]) -> None:
    standing = resolve(span for span in spans if span.end <= len(text))
    redacted = redact(text, standing)
    outside = len(text) - sum(span.end - span.start for span in standing)
    assert len(redacted) == outside + sum(len(span.type) + 2 for span in standing)


@given(st.text(min_size=1, max_size=100))
def test_a_mask_shows_a_third_at_most(value: str) -> None:
    shown = mask(value).replace("…", "")
    assert len(shown) <= max(1, len(value) // 3)
    assert len(shown) <= 4


# --- Recognisers -----------------------------------------------------------------------------------------------------


def test_context_raises_proves_and_renames() -> None:
    each = Recogniser("number", r"(?<!\d)\d{5}", 0.4, context=r"zip", proves=True, beside="postcode")
    (alone,) = each.find("about 12345 of them", 0, 19, 19)
    (beside,) = each.find("zip: 12345", 0, 10, 10)
    assert (alone.type, alone.evidence) == ("number", Evidence.PATTERN)
    assert (beside.type, beside.evidence) == ("postcode", Evidence.PROVED)
    assert beside.score > alone.score


def test_a_word_in_another_paragraph_is_no_context() -> None:
    each = Recogniser("number", r"\d{5}", context=r"zip", bare=False)
    assert list(each.find("zip\n\n12345", 0, 10, 10)) == []


@pytest.mark.parametrize(
    "piece",
    ["a", "1 ", "@", "a@", "a.", "a@a.", "http://", "www.", "eyJ", "password=", "password is a ", "+1 (2) ", "1.", "1-",
     "0x", "::", "A1", "(at)", "-----BEGIN PRIVATE KEY-----", "sk-", "\n", "é́", "12:34:"],
)  # fmt: skip
def test_no_text_takes_long(piece: str) -> None:
    """100,000 characters of the worst in seconds, on a machine as slow as it likes."""
    finder = Finder([each for some in RECOGNISERS.values() for each in some], None, 0.5)
    text = (piece * 100_000)[:100_000]
    assert all(text[span.start : span.end] for span in finder.spans(text))


def test_a_span_at_the_seam_of_two_pieces_is_found_once() -> None:
    finder = Finder(RECOGNISERS["email"], None, 0.5)
    for before in range(32_750, 32_775):
        text = "x" * before + " ana.lopez@example.org " + "y" * 40_000
        assert [text[span.start : span.end] for span in finder.spans(text)] == ["ana.lopez@example.org"]


def test_offsets_count_code_points_beside_astral_and_unseen_characters() -> None:
    finder = Finder(RECOGNISERS["email"], None, 0.5)
    for text in (
        "🎉🎉 ana@example.org",
        "\u202eana@example.org\u202c",
        "שלום ana@example.org תודה",
        "ana@exa\u200bmple.org",
    ):
        (span,) = finder.spans(text)
        assert text[span.start : span.end].replace("\u200b", "") == "ana@example.org"


def test_full_width_writing_is_read() -> None:
    text = "ａｎａ＠ｅｘａｍｐｌｅ．ｏｒｇ"
    (span,) = Finder(RECOGNISERS["email"], None, 0.5).spans(text)
    assert (span.start, span.end) == (0, len(text))


@given(st.text(max_size=200))
def test_any_text_is_read_and_its_spans_lie_in_it(text: str) -> None:
    spans = Finder([each for some in RECOGNISERS.values() for each in some], None, 0.0).spans(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))


# --- The learned tagger ----------------------------------------------------------------------------------------------


def known(*names: str, outside: float = 0.5) -> SequenceTagger:
    """Knows these names, wherever they stand, and nothing else."""
    tensors = weights()
    emissions = np.zeros((BINS, 3), np.int8)
    emissions[0, 0] = 30

    def bins(frame: str, name: str) -> set[int]:
        words = tokens(frame.format(name))
        rows = features(frame.format(name), words, [""] * len(words), VOCABULARY, BITS)
        return set(rows[[word.text for word in words].index(name)].tolist())

    for name in names:
        # What is of the name alone, and not of its form or its place.
        own = set.intersection(
            *(bins(frame, name) - bins(frame, "Zoltán") for frame in ("so {} said", "{} it", "my {}"))
        )
        emissions[list(own), 1:] = 20
    transitions = np.array([[0, 0, -20], [0, -1, 1], [0, -1, 1]], np.float32)
    start = np.array([0, 0, -20], np.float32)
    return SequenceTagger(labels(LEARNED), emissions, tensors["scale"], transitions, start, VOCABULARY, outside)


def test_words_keep_marks_and_apostrophes_but_not_a_genitive() -> None:
    text = "O'Brien's café, Zoe\u0308 – 12b"
    assert [word.text for word in tokens(text)] == ["O'Brien", "'s", "café", ",", "Zoe\u0308", "–", "12", "b"]
    assert all(text[word.start : word.end] == word.text for word in tokens(text))


def test_long_runs_break_at_line_ends() -> None:
    text = "\n".join(["one two three four five six seven"] * 100)
    runs = sentences(text, tokens(text))
    assert sum(map(len, runs)) == 700
    assert all(run[0].text == "one" for run in runs)


def test_features_are_the_same_everywhere() -> None:
    text = "Call Ana at 5."
    bins = features(text, tokens(text), [""] * 5, VOCABULARY, 16)
    assert bins.shape == (5, FEATURES)
    assert int(bins.sum()) == 9025965


@given(st.lists(st.text("abcdef", min_size=1, max_size=8), max_size=40))
def test_a_lexicon_has_all_its_words(words: list[str]) -> None:
    lexicon = Lexicon.of(words, 2**10)
    assert all(word in lexicon for word in words)


def test_a_lexicon_has_hardly_any_other_word() -> None:
    lexicon = Lexicon.of((f"word{number}" for number in range(10_000)), 2**15)
    assert sum(f"other{number}" in lexicon for number in range(10_000)) < 200


def test_a_vocabulary_survives_its_tensors() -> None:
    read = Vocabulary.read(VOCABULARY.common.bits, VOCABULARY.names_tensor())
    assert read.names == KNOWN_NAMES
    assert "friend" in read.common


def test_probabilities_add_up_and_do_not_depend_on_the_company() -> None:
    tagger = known("Ana", "Eva")
    runs = [tokens("my friend Ana said so"), tokens("yes"), tokens("Ana and Eva " * 20)]
    bins = [features("", run, [""] * len(run), tagger.vocabulary, BITS) for run in runs]
    together = tagger.probabilities(bins)
    for one, alone in zip(together, (tagger.probabilities([each])[0] for each in bins), strict=True):
        np.testing.assert_allclose(one.sum(1), 1.0, rtol=1e-9)
        np.testing.assert_allclose(one, alone, rtol=1e-6)


def test_neighbouring_words_of_one_name_are_one_span() -> None:
    text = "my friend Ana Kim said so"
    assert [text[span.start : span.end] for span in known("Ana", "Kim").spans(text, [])] == ["Ana Kim"]


def test_a_higher_bar_for_ordinary_words_finds_no_less() -> None:
    text = "My friend Ana met Eva In May"
    few, many = (known("Ana", outside=outside).spans(text, []) for outside in (0.1, 0.9))
    assert sum(span.end - span.start for span in few) <= sum(span.end - span.start for span in many)


# --- Answers ---------------------------------------------------------------------------------------------------------


async def test_find_tells_how_many_masked_and_redact_gives_the_text(servable: TaggerServable) -> None:
    text = "write to ana.lopez@example.org"
    told, data = await found(servable, query("find it", intent="find", payload=text))
    assert told.startswith("1 thing: email ")
    assert "lopez@" not in told
    assert data["spans"] == [{"start": 9, "end": 30, "type": "email", "text": "ana.lopez@example.org", "score": 0.98}]
    redacted, _ = await found(servable, query("redact it", intent="redact", payload=text))
    assert redacted == data["redacted"] == "write to [EMAIL]"


async def test_an_expert_that_is_named_reads_the_wish_from_the_words(servable: TaggerServable) -> None:
    asked = query("please anonymise this", document=Document("ana@example.org"))
    assert (await found(servable, asked))[0] == "[EMAIL]"
    assert (await found(servable, query("write to ana@example.org")))[0].startswith("1 thing")


async def test_nothing_found_is_an_answer(servable: TaggerServable) -> None:
    for intent in ("find", "redact"):
        told, data = await found(servable, query("look", intent=intent, payload="nothing to see"))
        assert told == "I found no things in this text."
        assert data == {"spans": [], "redacted": "nothing to see"}


async def test_only_restricts_and_nothing_else_does(servable: TaggerServable) -> None:
    text = "ana@example.org, phone 020 7946 0958"
    only, _ = await found(servable, query("redact only the phone numbers", intent="redact", payload=text))
    assert only == "ana@example.org, phone [PHONE]"
    every, _ = await found(servable, query("redact this phone bill", intent="redact", payload=text))
    assert every == "[EMAIL], phone [PHONE]"


async def test_many_findings_are_told_by_number(servable: TaggerServable) -> None:
    told, data = await found(
        servable, query("find", intent="find", payload=" ".join(f"u{n}@example.org" for n in range(9)))
    )
    assert told == "9 things: email (9)."
    assert len(data["spans"]) == 9


@pytest.mark.parametrize("fields", [{"intent": "find"}, {"payload": "  \n"}, {"document": Document("")}])
async def test_without_a_text_it_asks_back(servable: TaggerServable, fields: dict[str, Any]) -> None:
    assert await servable.answer(query("find it", **fields), silent) == Abstention("Which text?", "needs_input")


async def test_more_than_it_reads_is_refused_whole(servable: TaggerServable) -> None:
    with pytest.raises(QueryError, match="send it in parts") as error:
        await servable.answer(query("x", payload="x" * (MAX_CHARACTERS + 1)), silent)
    assert error.value.reason == "TEXT_TOO_LONG"


async def test_a_long_text_leaves_the_loop_and_loses_nothing(servable: TaggerServable) -> None:
    text = "word ana@example.org\n" * 20_000
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0)
            beats += 1

    heart = asyncio.create_task(beat())
    told, data = await found(servable, query("x", intent="redact", payload=text))
    heart.cancel()
    assert len(data["spans"]) == 20_000
    assert told == "word [EMAIL]\n" * 20_000
    assert beats > 10


# --- Loading ---------------------------------------------------------------------------------------------------------


async def test_weights_are_served(make_tagger: MakeTagger, host: Host) -> None:
    tagger = known("Ana")
    tensors = weights(emissions=tagger.emissions, transitions=tagger.transitions, start=tagger.start)
    served = await load(open_bundle(make_tagger(tensors, learned=LEARNED)), host)
    told, _ = await found(served, query("x", intent="redact", payload="my friend Ana has ana@example.org"))
    assert told == "my friend [PERSON] has [EMAIL]"
    assert served.resident_bytes() > tagger.emissions.nbytes
    assert not served.needs_vector
    assert served.worker_pid() == 0
    await served.close()


async def refused(folder: Path, host: Host, *told: str) -> None:
    with pytest.raises(BundleError) as error:
        await load(open_bundle(folder), host)
    for words in ("spotter 1: ", *told):
        assert words in str(error.value)


async def test_an_unknown_recogniser_is_refused_with_the_nearest(make_tagger: MakeTagger, host: Host) -> None:
    await refused(make_tagger(recognisers=["emial"]), host, '"emial" is none', 'did you mean "email"?')


async def test_unknown_parameters_are_refused(make_tagger: MakeTagger, host: Host) -> None:
    await refused(make_tagger(colour="blue"), host, "[parameters]", "colour")


async def test_learned_types_without_weights_are_refused(make_tagger: MakeTagger, host: Host) -> None:
    await refused(make_tagger(learned=LEARNED), host, WEIGHTS)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"scale": np.zeros(0, np.float32)}, "'scale' is missing"),
        ({"scale": np.zeros(4, np.float32)}, "(3,) was expected"),
        ({"scale": np.full(3, np.nan, np.float32)}, "no weight"),
        ({"transitions": np.full((3, 3), 1e9, np.float32)}, "no weight"),
        ({"emissions": np.zeros((BINS, 3), np.float32)}, "float32"),
        ({"emissions": np.zeros((1_000, 3), np.int8)}, "a power of two"),
        ({"common": np.zeros(300, np.uint8)}, "a power of two"),
        ({"names": np.frombuffer(b"\xff\xfe", np.uint8)}, "tensor 'names'"),
        ({"names": np.frombuffer(b"three words here", np.uint8)}, "tensor 'names'"),
        ({"more": np.zeros(3, np.float32)}, "unknown tensors ['more']"),
    ],
)
async def test_weights_that_do_not_fit_are_refused(
    make_tagger: MakeTagger, host: Host, changed: dict[str, Any], told: str
) -> None:
    await refused(make_tagger(weights(**changed), learned=LEARNED), host, WEIGHTS, told)


def test_every_recogniser_has_a_type_and_compiles() -> None:
    for name, some in RECOGNISERS.items():
        assert some, name
        for each in some:
            assert list(each.find("", 0, 0, 0)) == []
            assert replace(each, score=0.1).score == 0.1
