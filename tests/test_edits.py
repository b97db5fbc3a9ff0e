"""The operator's edits of intents: their rules, and that the disk has wholly the old or wholly the new."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.experts.bundle import Bundle, Intent, Manifest, Resources, open_bundle
from expertd.experts.disk import Disk
from expertd.experts.edits import Edits, Limits, Origin, _applied
from expertd.experts.errors import FleetError, QueryError, StoreError

Survives = Callable[[int, Callable[[Disk], object]], bool]

SENTENCES = {"make": ["make a thing", "build me one"], "break": ["break the thing"]}


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle("maker", sentences=SENTENCES))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "edits"


@pytest.fixture
def edits(folder: Path) -> Edits:
    return Edits.open(folder)


def seen(edits: Edits, bundle: Bundle) -> dict[str, tuple[str, ...]]:
    return dict(edits.apply(bundle))


# --- What an edit does -----------------------------------------------------------------------------------------------


def test_without_edits_the_bundles_intents_are_seen(edits: Edits, bundle: Bundle) -> None:
    assert edits.apply(bundle) == bundle.intents()
    assert {status.origin for status in edits.list(bundle)} == {Origin.BUNDLE}


def test_sentences_are_appended_or_put_in_place_of_those_before(edits: Edits, bundle: Bundle) -> None:
    edits.put(bundle, "make", ["forge one"], append=True)
    assert seen(edits, bundle)["make"] == ("make a thing", "build me one", "forge one")
    edits.put(bundle, "make", ["weld one", "forge one", "make a thing"], append=True)
    assert seen(edits, bundle)["make"] == ("make a thing", "build me one", "forge one", "weld one")
    edits.put(bundle, "make", ["cast one"])
    edits.put(bundle, "make", ["print one"], append=True)
    assert seen(edits, bundle)["make"] == ("cast one", "print one")
    assert seen(edits, bundle)["break"] == ("break the thing",)


def test_an_intent_is_added_and_removed_without_a_trace(edits: Edits, bundle: Bundle, folder: Path) -> None:
    edits.put(bundle, "mend", ["mend it", " mend it ", "repair the thing"], append=True)
    assert seen(edits, bundle)["mend"] == ("mend it", "repair the thing")
    assert [status.origin for status in edits.list(bundle)] == [Origin.BUNDLE, Origin.BUNDLE, Origin.ADDED]
    edits.remove(bundle, "mend")
    assert edits.apply(bundle) == bundle.intents()
    assert list(folder.iterdir()) == []


def test_an_intent_of_the_bundle_goes_and_comes_back(edits: Edits, bundle: Bundle) -> None:
    edits.remove(bundle, "break")
    assert list(seen(edits, bundle)) == ["make"]
    assert [(status.name, status.origin, len(status.sentences)) for status in edits.list(bundle)] == [
        ("make", Origin.BUNDLE, 2),
        ("break", Origin.REMOVED, 0),
    ]
    edits.put(bundle, "break", ["smash it"], append=True)
    assert seen(edits, bundle)["break"] == ("smash it",), "what was taken away stays away"
    assert edits.reset(bundle, "break") == ("break",)
    assert edits.apply(bundle) == bundle.intents()


def test_reset_drops_one_edit_or_all(edits: Edits, bundle: Bundle) -> None:
    edits.put(bundle, "make", ["forge one"], append=True)
    edits.put(bundle, "mend", ["mend it"])
    assert edits.reset(bundle, "make") == ("make",)
    assert seen(edits, bundle)["mend"] == ("mend it",)
    assert edits.reset(bundle, "make") == ()
    edits.remove(bundle, "break")
    assert edits.reset(bundle) == ("mend", "break")
    assert edits.apply(bundle) == bundle.intents()
    assert edits.reset(bundle) == ()


def test_edits_stay_on_top_of_a_new_version(edits: Edits, bundle: Bundle, make_bundle: Callable[..., Path]) -> None:
    edits.put(bundle, "make", ["forge one"], append=True)
    edits.remove(bundle, "break")
    newer = open_bundle(make_bundle("maker", 2, sentences={"make": ["craft one"], "break": ["snap it"], "sell": ["x"]}))
    assert seen(edits, newer) == {"make": ("craft one", "forge one"), "sell": ("x",)}
    bare = open_bundle(make_bundle("maker", 3, sentences={"break": ["snap it"]}))
    edits.reset(bundle, "make")
    assert seen(edits, bare) == {"break": ("snap it",)}, "an expert never loses its last intent to an old edit"


def test_edits_of_one_expert_leave_the_others_alone(
    edits: Edits, bundle: Bundle, make_bundle: Callable[..., Path]
) -> None:
    other = open_bundle(make_bundle("other", sentences=SENTENCES))
    edits.put(bundle, "make", ["forge one"])
    edits.put(other, "make", ["sing one"])
    edits.forget("maker")
    assert edits.apply(bundle) == bundle.intents()
    assert seen(edits, other)["make"] == ("sing one",)


# --- Rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "Make", "9to5", "a b", "a" * 65, "é", "make\n"])
def test_a_name_that_breaks_the_rule_is_refused(edits: Edits, bundle: Bundle, name: str) -> None:
    with pytest.raises(QueryError, match="64 lower-case letters") as caught:
        edits.put(bundle, name, ["hello"])
    assert (caught.value.reason, caught.value.field) == ("BAD_INTENT_NAME", "intent")


@pytest.mark.parametrize("sentence", ["", "  ", "x" * 513, "two\nlines", "bell\x07", "half \ud800 a pair"])
def test_a_sentence_that_breaks_a_rule_is_named_by_its_place(edits: Edits, bundle: Bundle, sentence: str) -> None:
    with pytest.raises(QueryError, match="sentence 2: it") as caught:
        edits.put(bundle, "make", ["fine", sentence])
    assert (caught.value.reason, caught.value.field) == ("BAD_SENTENCE", "sentences[1]")
    assert edits.apply(bundle) == bundle.intents()


def test_none_and_too_many_sentences_are_refused(edits: Edits, bundle: Bundle) -> None:
    with pytest.raises(QueryError, match="at least one"):
        edits.put(bundle, "make", [])
    edits.put(bundle, "make", [f"make thing {number}" for number in range(1000)])
    with pytest.raises(QueryError, match="1,001 sentences of yours; at most 1,000") as caught:
        edits.put(bundle, "make", ["one more"], append=True)
    assert caught.value.reason == "TOO_MANY_SENTENCES"
    with pytest.raises(QueryError, match="1,001 sentences; at most 1,000"):
        edits.put(bundle, "mend", [f"mend thing {number}" for number in range(1001)])


def test_the_last_intent_stays(edits: Edits, bundle: Bundle) -> None:
    edits.remove(bundle, "break")
    with pytest.raises(FleetError, match=r"no intent left without 'make'.*expertctl remove maker") as caught:
        edits.remove(bundle, "make")
    assert caught.value.reason == "LAST_INTENT"
    edits.put(bundle, "mend", ["mend it"])
    edits.remove(bundle, "make")
    with pytest.raises(FleetError, match="no intent left without 'mend'"):
        edits.reset(bundle, "mend")
    assert list(seen(edits, bundle)) == ["mend"]


def test_an_unknown_intent_is_named_with_the_nearest(edits: Edits, bundle: Bundle) -> None:
    for act in (edits.remove, edits.reset):
        with pytest.raises(FleetError, match="maker has no intent 'brake'; did you mean 'break'"):
            act(bundle, "brake")
        with pytest.raises(FleetError, match="it has make, break") as caught:
            act(bundle, "zzz")
        assert caught.value.reason == "UNKNOWN_INTENT"


def test_an_intent_that_a_model_has_no_prompt_for_is_refused(edits: Edits, bundle: Bundle, tmp_path: Path) -> None:
    class Texts(Bundle):
        def intents(self) -> tuple[Intent, ...]:
            return (Intent("summarise", ("sum it up",)),)

    manifest = Manifest(
        name="text", version=1, kind="gguf", summary="s", licence="MIT", resources=Resources(memory_mb=1, latency_ms=1)
    )
    text = Texts(tmp_path, manifest)
    with pytest.raises(QueryError, match="no answer to an intent 'sing'; it answers summarise"):
        edits.put(text, "sing", ["sing it"])
    edits.put(text, "summarise", ["what is the gist"], append=True)
    assert seen(edits, text) == {"summarise": ("sum it up", "what is the gist")}


# --- On disk ---------------------------------------------------------------------------------------------------------


def test_edits_survive_a_restart(edits: Edits, bundle: Bundle, folder: Path) -> None:
    edits.put(bundle, "make", ["forge “one” – now"], append=True)
    edits.remove(bundle, "break")
    again = Edits.open(folder)
    assert again.list(bundle) == edits.list(bundle)
    again.reset(bundle)
    assert Edits.open(folder).apply(bundle) == bundle.intents()


@pytest.mark.parametrize("damage", [b"{", b'{"intent": "make", "action": "eat"}\n', b"\xff\xfe", b'{"intent": 3}\n'])
def test_a_damaged_file_is_set_aside_and_told(
    edits: Edits, bundle: Bundle, folder: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    edits.put(bundle, "make", ["forge one"])
    (folder / "maker.jsonl").write_bytes(damage)
    again = Edits.open(folder)
    assert again.apply(bundle) == bundle.intents()
    assert "maker.jsonl is damaged" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["maker.jsonl.damaged"]


class FullDisk(Disk):
    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_changes_nothing(bundle: Bundle, folder: Path) -> None:
    edits = Edits.open(folder, disk=FullDisk())
    with pytest.raises(StoreError, match=r"nothing is changed: the disk is full"):
        edits.put(bundle, "make", ["forge one"])
    assert edits.apply(bundle) == bundle.intents()


@pytest.mark.parametrize("act", ["put", "reset"])
def test_a_crash_at_any_moment_leaves_the_edits_of_before_or_of_after(
    tmp_path: Path, bundle: Bundle, survives: Survives, act: str
) -> None:
    before = Edits.open(tmp_path / "before")
    before.put(bundle, "mend", ["mend it"])
    old = before.apply(bundle)

    def change(folder: Path, disk: Disk) -> None:
        edits = Edits.open(folder, disk=disk)
        if act == "put":
            edits.put(bundle, "make", ["forge one"], append=True)
        else:
            edits.reset(bundle)

    found: list[Any] = []
    for moment in range(1, 40):
        folder = tmp_path / f"edits-{moment}"
        shutil.copytree(tmp_path / "before", folder)
        ended = survives(moment, partial(change, folder))
        found.append(Edits.open(folder).apply(bundle))
        if ended:
            break
    assert ended
    assert moment > 2
    new = found[-1]
    assert new != old
    assert found == [old] * found.count(old) + [new] * found.count(new), "from old to new, never back, nothing else"
    assert found[0] == old
    assert sorted(path.name for path in folder.iterdir()) == (["maker.jsonl"] if act == "put" else [])


# --- Laws ------------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["make", "break", "mend", "sell"])
ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["append", "replace", "remove", "reset"]),
        NAMES,
        st.lists(st.sampled_from(["one", "two", "three", "make a thing"]), min_size=1, max_size=3),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(orders=ORDERS)
def test_any_row_of_edits_leaves_an_intent_and_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[str, str, list[str]]]
) -> None:
    own = tuple(Intent(name, tuple(sentences)) for name, sentences in SENTENCES.items())

    class Fixed(Bundle):
        def intents(self) -> tuple[Intent, ...]:
            return own

    manifest = Manifest(
        name="maker",
        version=1,
        kind="skill",
        summary="s",
        licence="MIT",
        resources=Resources(memory_mb=1, latency_ms=1),
    )
    bundle = Fixed(Path("/"), manifest)
    folder = tmp_path_factory.mktemp("edits")
    edits = Edits.open(folder, limits=Limits())
    for action, name, sentences in orders:
        with suppress(FleetError):  # no such intent, or the last one
            if action == "remove":
                edits.remove(bundle, name)
            elif action == "reset":
                edits.reset(bundle, name)
            else:
                edits.put(bundle, name, sentences, append=action == "append")
                assert set(sentences) <= set(seen(edits, bundle)[name])
        present = edits.apply(bundle)
        assert present
        assert all(len(set(intent.sentences)) == len(intent.sentences) > 0 for intent in present)
        assert Edits.open(folder).apply(bundle) == present
    edits.reset(bundle)
    assert edits.apply(bundle) == own == _applied(own, {})


# --- What is on the disk is checked as what is given -----------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        '{"intent": "make", "action": "replace"}',
        '{"intent": "make", "action": "append", "sentences": ["forge one", " "]}',
        '{"intent": "make", "action": "append", "sentences": ["forge\\u0000one"]}',
        '{"intent": "Bad name!", "action": "append", "sentences": ["forge one"]}',
    ],
)
def test_a_row_that_breaks_the_rules_is_damage(row: str, bundle: Bundle, folder: Path) -> None:
    folder.mkdir()
    (folder / "maker.jsonl").write_text(row + "\n")
    edits = Edits.open(folder)
    assert edits.apply(bundle) == bundle.intents()
    assert [path.name for path in folder.iterdir()] == ["maker.jsonl.damaged"]


def test_an_intent_that_a_version_has_no_answer_to_waits_for_one_that_has(bundle: Bundle, edits: Edits) -> None:
    edits.put(bundle, "mend", ["mend it"], append=True)
    answering = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, kind="gguf"))
    assert edits.apply(answering) == bundle.intents()
    assert [status.name for status in edits.list(answering)] == ["make", "break"]
    edits.put(answering, "make", ["forge one"], append=True)
    assert seen(edits, bundle)["mend"] == ("mend it",)
