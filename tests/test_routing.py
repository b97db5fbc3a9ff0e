"""Indexes made of bundles and edits: what is encoded, what is kept, what happens where a process or a disk fails."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expertd.daemon import fitter, routing
from expertd.daemon.fitter import FitError, Job, fit, fit_apart, spoken
from expertd.daemon.routing import KEPT_INDEXES, Indexer
from expertd.experts.bundle import Bundle, open_bundle
from expertd.experts.edits import Edits
from expertd.router.decision import Intent
from expertd.router.encoder import FEATURES
from expertd.router.index import RouteIndex
from expertd.router.language import Recogniser

PLANTS = ("water the plants", "give the roses water", "the ferns are dry", "sprinkle the lawn", "wet the soil")
SHIPS = ("when does the ferry leave", "is the boat late", "which ship sails first", "the next crossing", "ferry times")


class Encoder:
    """Words as random directions; keeps what it was asked."""

    id = "words"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def features(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        return np.stack([sum(self._word(word) for word in text.split()) for text in texts]).astype(np.float32)

    def _word(self, word: str) -> Any:
        return np.random.default_rng(list(word.encode())).normal(0, 0.1, FEATURES)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def edits(tmp_path: Path) -> Edits:
    return Edits.open(tmp_path / "edits")


@pytest.fixture
def indexer(encoder: Encoder, edits: Edits, tmp_path: Path) -> Indexer:
    return Indexer(encoder, edits, tmp_path / "cache", reject_in_scope=0.03)  # type: ignore[arg-type]


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return open_bundle(make_bundle("garden", sentences={"water": PLANTS, "sail": SHIPS}))


@pytest.fixture
def job(encoder: Encoder) -> tuple[Job, Any]:
    job = Job((Intent("garden", "water", PLANTS), Intent("port", "sail", SHIPS)), 0.03, polite=False)
    return job, encoder.features([*PLANTS, *SHIPS]).astype(np.float16)


async def test_an_index_is_made_under_the_edits(indexer: Indexer, edits: Edits, bundle: Bundle) -> None:
    edits.put(bundle, "mow", ["mow the lawn", "cut the grass"])
    edits.remove(bundle, "sail")
    index = await indexer.index([bundle])
    assert index.owners == (("garden", "water"), ("garden", "mow"))
    assert await indexer.index([bundle]) is index


async def test_an_edit_costs_the_encoding_of_its_own_sentences(
    indexer: Indexer, encoder: Encoder, edits: Edits, bundle: Bundle
) -> None:
    await indexer.index([bundle])
    encoder.asked.clear()
    edits.put(bundle, "water", ["hose the beds"], append=True)
    found = await indexer.intent(bundle, "water")
    assert found is not None
    assert found[0].sentences == (*PLANTS, "hose the beds")
    assert found[1].shape == (6, FEATURES)
    assert encoder.asked == ["hose the beds"]
    await indexer.index([bundle])
    assert encoder.asked == ["hose the beds"], "the fit finds it"
    assert await indexer.intent(bundle, "mow") is None


async def test_a_second_start_neither_encodes_nor_fits(
    indexer: Indexer, encoder: Encoder, edits: Edits, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits.put(bundle, "mow", ["mow the lawn", "cut the grass"])
    first = await indexer.index([bundle])
    encoder.asked.clear()
    monkeypatch.setattr(routing, "fit_apart", None)
    monkeypatch.setattr(routing, "fit", None)
    again = Indexer(encoder, edits, indexer._cache, reject_in_scope=0.03)  # type: ignore[arg-type]
    assert (await again.index([bundle])).owners == first.owners
    assert encoder.asked == []


async def test_what_the_cache_lost_or_another_release_wrote_is_made_anew(
    indexer: Indexer, encoder: Encoder, bundle: Bundle
) -> None:
    await indexer.index([bundle])
    cache = indexer._cache
    for number, path in enumerate(sorted(cache.glob("vectors-*.npy"))):
        if number:
            path.write_bytes(b"torn")
        else:
            np.save(path, np.zeros((5, 384), np.float32))
    for path in cache.glob("index-*.npz"):
        path.write_bytes(b"torn")
    again = Indexer(encoder, indexer._edits, cache, reject_in_scope=0.03)  # type: ignore[arg-type]
    encoder.asked.clear()
    assert len((await again.index([bundle])).owners) == 2
    assert sorted(encoder.asked) == sorted([*PLANTS, *SHIPS])


async def test_the_cache_does_not_grow_with_the_edits(
    indexer: Indexer, edits: Edits, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def quick(job: Job, features: Any) -> RouteIndex:
        return RouteIndex.empty()

    monkeypatch.setattr(routing, "fit_apart", quick)
    await indexer.index([bundle])
    stale, fresh = indexer._cache / "vectors-stale.npy", indexer._cache / "vectors-fresh.npy"
    for path in (stale, fresh):
        path.write_bytes(b"")
    long_ago = time.time() - 40 * 86_400
    for path in [*indexer._cache.glob("vectors-*.npy")]:
        if path != fresh:
            os.utime(path, (long_ago, long_ago))
    for number in range(KEPT_INDEXES + 2):
        edits.put(bundle, "mow", [f"mow lawn {number}"])
        await indexer.index([bundle])
    left = {path.name for path in indexer._cache.iterdir()}
    assert sum(name.endswith(".npz") for name in left) == KEPT_INDEXES + 1
    assert fresh.name in left
    assert stale.name not in left
    assert indexer._path(PLANTS).name in left, "what is in use is kept, however old"


async def test_a_cache_that_cannot_be_written_costs_time_alone(
    encoder: Encoder, edits: Edits, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    indexer = Indexer(encoder, edits, tmp_path / "file" / "cache", reject_in_scope=0.03)  # type: ignore[arg-type]
    assert len((await indexer.index([bundle])).owners) == 2


# --- The fitting process ---------------------------------------------------------------------------------------------


async def test_a_process_of_its_own_gives_the_same_index(job: tuple[Job, Any]) -> None:
    apart, here = await fit_apart(*job), fit(*job)
    assert apart.owners == here.owners == (("garden", "water"), ("port", "sail"))
    (features,) = Encoder().features(["water the ferns"])
    assert apart.decide(features).expert == here.decide(features).expert == "garden"
    assert apart.decide(features).confidence == pytest.approx(here.decide(features).confidence, abs=1e-4)


async def test_a_process_that_fails_says_why_and_the_daemon_fits_by_itself(
    indexer: Indexer, bundle: Bundle, job: tuple[Job, Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    with pytest.raises(FitError, match=r"ended with 1 \(ValueError: 9 rows for 10 sentences"):
        await fit_apart(job[0], job[1][1:])
    monkeypatch.setattr(fitter.sys, "executable", "/nowhere/python")
    assert len((await indexer.index([bundle])).owners) == 2
    assert "fitting in the daemon itself" in caplog.text


async def test_a_fit_that_is_called_off_ends_its_process_and_leaves_nothing(
    job: tuple[Job, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def remember(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        made.append(await start(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    fitting = asyncio.create_task(fit_apart(*job))
    async with asyncio.timeout(10):
        while not made:  # noqa: ASYNC110  (the process is made elsewhere)
            await asyncio.sleep(0.01)
    fitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fitting
    assert made[0].returncode == -9
    assert os.listdir(tmp_path) == []


def test_languages_that_an_expert_owns_sentences_in_are_spoken(trunk_root: Path) -> None:
    german = (
        "stell bitte einen wecker auf sieben uhr",
        "wie viel zeit ist noch auf dem timer",
        "lösche alle meine wecker für morgen",
        "erinnere mich heute abend an die wäsche",
        "wann klingelt der nächste wecker",
    )
    recogniser = Recogniser.load()
    english = Intent("clock", "time", ("what time is it", "how late is it in Vienna"))
    assert spoken([english, Intent("wecker", "stellen", german)], recogniser) == {"en", "de"}
    assert spoken([english, Intent("wecker", "stellen", german[:2])], recogniser) == {"en"}


async def test_what_a_killed_daemon_left_of_a_fit_is_deleted_by_the_next_and_no_other(
    job: tuple[Job, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, busy = tmp_path / f"{fitter.PREFIX}left", tmp_path / f"{fitter.PREFIX}busy"
    for folder in (left, busy):
        folder.mkdir()
        (folder / fitter.JOB).write_text("a sentence")
    with fitter._held(busy):
        await fit_apart(*job)
    assert os.listdir(tmp_path) == [busy.name]
