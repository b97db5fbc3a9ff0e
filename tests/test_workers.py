"""Experts in processes of their own: real processes, killed for real."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import numpy as np
import psutil
import pytest
import pytest_asyncio
from onnx import TensorProto, helper

from bench.gguf_files import write_adapter, write_chain_model, write_random_model, write_slow_model
from bench.onnx_files import save, write_bundle
from expertd.daemon import wire, worker
from expertd.daemon.nursery import Nursery
from expertd.daemon.peers import Child, Patience, SilentError, ask, ask_peer
from expertd.daemon.worker import WorkerService
from expertd.daemon.workers import WorkerServable, WorkerSettings, gguf_loader, onnx_loader
from expertd.experts.bundle import Bundle, open_bundle, seal
from expertd.experts.errors import BundleError, QueryError, UnavailableError
from expertd.experts.golden import check, to_query
from expertd.experts.models import Models
from expertd.experts.servable import Servable
from expertd.experts.values import Abstention, Answer, Document, Outcome, Query, Series, Structured, Text
from expertd.v1 import worker_pb2_grpc
from tests.listeners import Heard, begun, call_off, ignore
from tests.outcomes import outcome_or_refusal

# One event loop for all: the nursery outlives a test.
pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).resolve().parent.parent
WORDS = ("Here", "is", "a", "short", "answer", "from", "one", "very", "small", "model", "and", "no", "thought.")
SAID = " ".join(WORDS)
QUICK = Patience(start_timeout_s=30.0, first_backoff_s=0.01, longest_backoff_s=0.05, crash_loop_pause_s=30.0)

NO_HOST: Any = None  # of which no worker knows

Maker = Callable[..., Any]


def query(text: str, **fields: Any) -> Query:
    return Query(text, datetime(2026, 3, 2, 9, tzinfo=UTC), ZoneInfo("UTC"), **fields)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chain_model(tmp_path_factory.mktemp("gguf") / "chain.gguf", WORDS)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes half a minute and more for what the bundle lets it say."""
    return write_slow_model(tmp_path_factory.mktemp("gguf") / "slow.gguf")


def make_text_bundle(folder: Path, file: Path) -> Bundle:
    data = file.read_bytes()
    folder.mkdir()
    (folder / "expert.toml").write_text(
        f"""
name = "text"
version = 1
kind = "gguf"
summary = "Writes."
licence = "Apache-2.0"
[resources]
memory_mb = 100
latency_ms = 100
[model]
name = "tiny"
repository = "somebody/tiny"
revision = "main"
file = "tiny.gguf"
sha256 = "{hashlib.sha256(data).hexdigest()}"
size_bytes = {len(data)}
licence = "Apache-2.0"
[parameters]
default = "chat"
[parameters.prompts.chat]
system = "Be brief."
max_tokens = 3000
[parameters.prompts.summarise]
system = "Summarise."
min_words = 10
"""
    )
    (folder / "CARD.md").write_text("# text\n")
    (folder / "intents.jsonl").write_text(json.dumps({"intent": "chat", "text": "hello"}) + "\n")
    (folder / "golden.jsonl").write_text("")
    seal(folder)
    return open_bundle(folder)


def make_adapted_bundle(folder: Path, file: Path, **fields: Any) -> Bundle:
    """With an adapter that begins at "small"."""
    bundle = make_text_bundle(folder, file)
    write_adapter(bundle.path / "adapter.gguf", "small", WORDS, **fields)
    return seal(bundle.path)


def hand_over(models: Models, bundle: Bundle, file: Path) -> None:
    """Puts the file where the bundle's model goes, looked at by nobody."""
    model = bundle.manifest.model
    assert model is not None
    shutil.copy(file, models.destination(model))


def adopt(models: Models, bundle: Bundle, file: Path) -> None:
    assert bundle.manifest.model is not None
    data = file.read_bytes()
    with models.adoption(bundle.manifest.model, len(data)) as adoption:
        adoption.write(data)
        adoption.finish()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Nursery]:
    nursery = Nursery(fork_timeout_s=30.0)
    yield nursery
    await nursery.close()


@pytest.fixture
def nursery(shared: Nursery) -> Nursery:
    """Where the workers of a test come from."""
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def started() -> AsyncIterator[list[WorkerServable]]:
    """What is in it is closed after the test."""
    servables: list[WorkerServable] = []
    yield servables
    for servable in servables:
        await servable.close()


@pytest.fixture
def serve(tmp_path: Path, runtime: Path, nursery: Nursery, started: list[WorkerServable]) -> Maker:
    """Adopts a model file and serves a bundle on it. nursery: None, and the worker is run as a program."""

    async def make(file: Path, *, nursery: Nursery | None = nursery, **settings: Any) -> WorkerServable:
        bundle = make_text_bundle(tmp_path / "text-1", file)
        models = Models.open(tmp_path / "models")
        hand_over(models, bundle, file)
        settings = {"threads": 1, "max_tokens": 3000, "patience": QUICK, **settings}
        servable = await gguf_loader(WorkerSettings(runtime, **settings), models, nursery)(bundle, NO_HOST)
        assert isinstance(servable, WorkerServable)
        started.append(servable)
        return servable

    return make


@pytest.fixture
def network(runtime: Path, nursery: Nursery, started: list[WorkerServable]) -> Maker:
    """Serves a bundle of kind onnx in a worker."""

    async def make(bundle: Bundle, *, patience: Patience = QUICK) -> WorkerServable:
        servable = await onnx_loader(WorkerSettings(runtime, patience=patience), nursery)(bundle, NO_HOST)
        assert isinstance(servable, WorkerServable)
        started.append(servable)
        return servable

    return make


@asynccontextmanager
async def served(bundle: Bundle, models: Models, runtime: Path, nursery: Nursery) -> AsyncIterator[Servable]:
    """A bundle of kind gguf, in a worker."""
    servable = await gguf_loader(WorkerSettings(runtime, threads=1), models, nursery)(bundle, NO_HOST)
    try:
        yield servable
    finally:
        await servable.close()


async def speaks(servable: Servable) -> None:
    """Returns once a call has heard something; the rest is called off."""
    await call_off(await begun(servable, query("hello")))


def apart(folder: Path, **fields: Any) -> Bundle:
    """A small network that is served in a process of its own."""
    return write_bundle(folder, **{"given": "bytes", **fields, "parameters": {"process": "worker"}})


async def gone(pid: int) -> None:
    """Returns once the process is no more; the test's own time limit is the limit."""
    await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)] if psutil.pid_exists(pid) else [])


def footprint(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().pss)


def oom_score_adj(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


# --- Answering -------------------------------------------------------------------------------------------------------


async def test_a_worker_answers_piece_by_piece(serve: Maker, chain: Path) -> None:
    servable = await serve(chain)
    heard = Heard()
    answer = await servable.answer(query("hello"), heard)
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Text)
    assert answer.text == SAID == "".join(heard.pieces)
    assert len(heard.pieces) == len(WORDS)
    assert (answer.result.finish, answer.result.model) == ("stop", "tiny")


@pytest.mark.parametrize("forked", [True, False])
async def test_a_worker_is_a_process_of_its_own_with_a_private_socket(
    serve: Maker, nursery: Nursery, chain: Path, runtime: Path, forked: bool
) -> None:
    servable = await serve(chain, nursery=nursery if forked else None)
    process = psutil.Process(servable.worker_pid())
    assert process.ppid() == (nursery.pid if forked else os.getpid())
    assert os.getpgid(process.pid) == process.pid
    assert servable.resident_bytes() > 10_000_000
    assert oom_score_adj(process.pid) > 0
    (socket,) = (runtime / "workers").iterdir()
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    status = Path(f"/proc/{process.pid}/status").read_text()  # noqa: ASYNC240
    assert "Umask:\t0077" in status
    assert "NoNewPrivs:\t1" in status
    assert process.rlimit(psutil.RLIMIT_FSIZE) == process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_DATA)[1] < 6 * 10**9


async def test_a_workers_memory_is_measured_where_waiting_is_allowed_and_remembered_elsewhere(
    network: Maker, tmp_path: Path
) -> None:
    servable = await network(apart(tmp_path / "probe-1"))
    measured = await asyncio.to_thread(servable.resident_bytes)
    assert measured == servable.resident_bytes() == pytest.approx(footprint(servable.worker_pid()), rel=0.5)


async def test_a_worker_that_asks_back_or_refuses_is_understood(serve: Maker, chain: Path) -> None:
    servable = await serve(chain)
    outcome = await servable.answer(query("summarise this", intent="summarise"), ignore)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "needs_input"
    with pytest.raises(QueryError, match="no intent 'sing'") as caught:
        await servable.answer(query("hello", intent="sing"), ignore)
    assert (caught.value.reason, caught.value.field) == ("UNKNOWN_INTENT", "intent")


async def test_a_document_of_a_million_characters_reaches_the_worker(serve: Maker, chain: Path) -> None:
    servable = await serve(chain)
    answer = await servable.answer(query("sum up", document=Document("€ " * 500_000)), ignore)
    assert isinstance(answer, Answer)
    assert "this covers the first" in answer.text


async def test_calls_wait_for_one_another_and_too_many_are_turned_away(serve: Maker, slow: Path) -> None:
    servable = await serve(slow, queue=1)
    later = Heard()
    running = await begun(servable, query("hello"))
    others = {asyncio.create_task(servable.answer(query("hello"), later)) for _ in range(3)}
    waiting, refused = others, []
    while len(waiting) > 1:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        refused += [task.exception() for task in done]
    assert [getattr(error, "reason", error) for error in refused] == ["WORKER_BUSY"] * 2
    assert later.pieces == []
    running.cancel()
    await later.first()
    (last,) = waiting
    last.cancel()
    await asyncio.gather(running, last, return_exceptions=True)


async def test_a_cancelled_call_frees_the_model(serve: Maker, slow: Path) -> None:
    servable = await serve(slow)
    task = await begun(servable, query("hello"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await speaks(servable)


async def test_a_call_cancelled_while_its_prompt_is_read_frees_the_model(serve: Maker, slow: Path) -> None:
    servable = await serve(slow)
    task = asyncio.create_task(servable.answer(query("sum up", document=Document("And more. " * 150)), ignore))
    await asyncio.sleep(0.3)
    await call_off(task)
    await speaks(servable)


async def test_a_deadline_that_passes_frees_the_model(serve: Maker, slow: Path) -> None:
    servable = await serve(slow)
    request = wire.query_to_worker(query("hello"))
    line = await servable._child.line()
    with pytest.raises(TimeoutError):
        await ask(line.channel, request, ignore, timeout_s=0.3)
    await speaks(servable)


@pytest.mark.parametrize("name", ["chat", "extract", "rewrite", "summarise", "title", "translate"])
async def test_the_shipped_bundles_pass_their_examples_on_any_model(
    name: str, runtime: Path, nursery: Nursery, chain: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(ROOT / "experts" / "bundles" / name)
    models = Models.open(tmp_path / "models")
    adopt(models, bundle, chain)
    async with served(bundle, models, runtime, nursery) as servable:
        assert len(bundle.golden()) >= 10
        for example in bundle.golden():
            outcome = await outcome_or_refusal(servable.answer(to_query(example), ignore))
            assert check(outcome, example.expect) is None
            if isinstance(outcome, Answer) and isinstance(outcome.result, Text):
                assert bundle.manifest.model is not None
                present = models.find(bundle.manifest.model)
                assert present is not None
                assert outcome.result.model == present.title == f"{present.name} (adopted, {present.sha256[:8]})"


async def test_one_model_serves_all_shipped_text_experts() -> None:
    named = [open_bundle(ROOT / "experts" / "bundles" / name).manifest.model for name in ("chat", "extract", "title")]
    assert named[0] is not None
    assert named == [named[0]] * 3


async def test_a_schema_travels_to_the_worker_and_data_back(runtime: Path, nursery: Nursery, tmp_path: Path) -> None:
    bundle = open_bundle(ROOT / "experts" / "bundles" / "extract")
    models = Models.open(tmp_path / "models")
    shape = {"layers": 2, "dim": 256, "feed_forward": 256, "heads": 8, "heads_kv": 2, "vocabulary": 600}
    adopt(models, bundle, write_random_model(tmp_path / "random.gguf", **shape))
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"]}
    async with served(bundle, models, runtime, nursery) as servable:
        heard = Heard()
        answer = await servable.answer(query("read it", document=Document("Ana."), schema=schema), heard)
        assert isinstance(answer, Answer)
        assert isinstance(answer.result, Structured)
        assert list(answer.result.data) == ["name"]
        assert heard.pieces == [answer.text]
        assert json.loads(answer.text) == answer.result.data
        with pytest.raises(QueryError, match="pattern") as caught:
            await servable.answer(query("read it", document=Document("Ana."), schema=schema | {"pattern": "a"}), ignore)
        assert (caught.value.reason, caught.value.field) == ("BAD_SCHEMA", "input.schema")


async def test_a_bundles_adapter_is_applied_by_its_worker(
    runtime: Path, nursery: Nursery, chain: Path, tmp_path: Path
) -> None:
    bundle = make_adapted_bundle(tmp_path / "text-1", chain)
    models = Models.open(tmp_path / "models")
    hand_over(models, bundle, chain)
    async with served(bundle, models, runtime, nursery) as servable:
        answer = await servable.answer(query("hello"), ignore)
        assert isinstance(answer, Answer)
        assert answer.text == "small model and no thought."


async def test_an_adapter_of_another_model_keeps_its_expert_from_serving_and_says_why(
    runtime: Path, nursery: Nursery, chain: Path, tmp_path: Path
) -> None:
    bundle = make_adapted_bundle(tmp_path / "text-1", chain, architecture="qwen2")
    models = Models.open(tmp_path / "models")
    hand_over(models, bundle, chain)
    with pytest.raises(UnavailableError, match=r"no adapter of this model.*arch mismatch"):
        await gguf_loader(WorkerSettings(runtime, threads=1), models, nursery)(bundle, NO_HOST)


# --- Dying -----------------------------------------------------------------------------------------------------------


async def test_a_worker_killed_mid_stream_tells_its_caller_and_the_next_call_works(serve: Maker, slow: Path) -> None:
    servable = await serve(slow)
    task = await begun(servable, query("hello"))
    before = servable.worker_pid()
    os.kill(before, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="SIGKILL") as caught:
        await task
    assert (caught.value.reason, caught.value.retryable) == ("WORKER_DIED", True)
    task = await begun(servable, query("hello"))
    assert servable.worker_pid() not in (0, before)
    await call_off(task)


async def test_a_call_that_had_heard_nothing_yet_is_asked_again(serve: Maker, slow: Path) -> None:
    servable = await serve(slow, max_tokens=3)
    asked = query("sum up", document=Document("And more. " * 40))
    heard = Heard()
    task = asyncio.create_task(servable.answer(asked, heard))
    await asyncio.sleep(0.1)
    assert heard.pieces == []
    os.kill(servable.worker_pid(), signal.SIGKILL)
    answer = await task
    assert isinstance(answer, Answer)
    assert answer.text.startswith(" ".join(WORDS[:3]))
    assert answer.text == "".join(heard.pieces)


async def test_an_idle_worker_that_is_killed_comes_back(serve: Maker, chain: Path) -> None:
    servable = await serve(chain)
    for _ in range(QUICK.most_deaths + 1):  # with an answer between them, no deaths are in a row
        os.kill(servable.worker_pid(), signal.SIGKILL)
        answer = await servable.answer(query("hello"), ignore)
        assert isinstance(answer, Answer)


async def test_no_process_outlives_the_daemon(runtime: Path, tmp_path: Path) -> None:
    bundle = apart(tmp_path / "probe-1")
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DAEMON, str(runtime), str(bundle.path)), stdout=subprocess.PIPE, cwd=ROOT
    )
    assert daemon.stdout is not None
    pids = [int(pid) for pid in (await daemon.stdout.readline()).split()]
    assert len(pids) == 3
    assert all(psutil.pid_exists(pid) for pid in pids)
    daemon.kill()
    await daemon.wait()
    for pid in pids:
        await gone(pid)


DAEMON = """
import asyncio, pathlib, sys
from expertd.daemon.nursery import Nursery
from expertd.daemon.workers import WorkerSettings, onnx_loader
from expertd.experts.bundle import open_bundle
async def main():
    runtime, bundle = map(pathlib.Path, sys.argv[1:])
    nursery = Nursery()
    forked = await onnx_loader(WorkerSettings(runtime), nursery)(open_bundle(bundle), None)
    run = await onnx_loader(WorkerSettings(runtime / "b"))(open_bundle(bundle), None)
    print(nursery.pid, forked.worker_pid(), run.worker_pid(), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


async def test_a_closed_worker_is_gone_and_so_is_its_socket(serve: Maker, chain: Path, runtime: Path) -> None:
    servable = await serve(chain)
    pid = servable.worker_pid()
    await servable.close()
    assert not psutil.pid_exists(pid)
    assert list((runtime / "workers").iterdir()) == []
    assert (servable.worker_pid(), servable.resident_bytes()) == (0, 0)
    with pytest.raises(UnavailableError) as caught:
        await servable.answer(query("hello"), ignore)
    assert caught.value.reason == "WORKER_CLOSED"


async def test_a_worker_that_is_asked_to_load_and_then_no_more_is_gone(runtime: Path, tmp_path: Path) -> None:
    nursery = Nursery()
    load = onnx_loader(WorkerSettings(runtime), nursery)
    bundle = apart(tmp_path / "probe-1")
    try:
        for pause_s in (0.05, 0.4, 0.02, 0.01, 0.0):
            task = asyncio.create_task(load(bundle, NO_HOST))
            await asyncio.sleep(pause_s)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await task).close()
        for process in psutil.Process(nursery.pid).children():
            await gone(process.pid)
        assert list((runtime / "workers").glob("*")) == []
    finally:
        await nursery.close()


# --- The nursery -----------------------------------------------------------------------------------------------------


async def test_workers_come_back_when_the_nursery_is_killed(
    serve: Maker, network: Maker, nursery: Nursery, chain: Path, tmp_path: Path
) -> None:
    servables = [await serve(chain), await network(apart(tmp_path / "probe-1"))]
    before = {nursery.pid, *(servable.worker_pid() for servable in servables)}
    os.kill(nursery.pid, signal.SIGKILL)
    for pid in before:
        await gone(pid)
    for servable in servables:
        assert isinstance(await servable.answer(query("hello"), ignore), Answer)
        assert servable.deaths == 1
    assert before.isdisjoint({nursery.pid, *(servable.worker_pid() for servable in servables)})


async def test_a_nursery_that_hangs_is_replaced(runtime: Path, tmp_path: Path) -> None:
    nursery = Nursery(fork_timeout_s=3.0)
    load = onnx_loader(WorkerSettings(runtime, patience=QUICK), nursery)
    bundle = apart(tmp_path / "probe-1")
    try:
        first = await load(bundle, NO_HOST)
        before = nursery.pid
        os.kill(before, signal.SIGSTOP)
        second = await load(bundle, NO_HOST)
        assert nursery.pid not in (0, before)
        for servable in (first, second):
            assert isinstance(await servable.answer(query("hello"), ignore), Answer)
            await servable.close()
    finally:
        await nursery.close()
    await gone(before)


@pytest.mark.parametrize(
    "trouble",
    [
        # A fork of several threads would be unsafe.
        "import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
        "import os, sys; 'expertd.daemon.nursery' in sys.orig_argv and os._exit(1)",
    ],
)
async def test_where_none_can_be_forked_the_worker_is_run_as_a_program(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(trouble)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    nursery = Nursery(fork_timeout_s=30.0)
    servable = await onnx_loader(WorkerSettings(runtime), nursery)(apart(tmp_path / "probe-1"), NO_HOST)
    try:
        assert isinstance(await servable.answer(query("hello"), ignore), Answer)
        assert psutil.Process(servable.worker_pid()).ppid() == os.getpid() != nursery.pid
    finally:
        await servable.close()
        await nursery.close()


# --- Networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["vector", "bytes", "series"])
async def test_a_network_answers_in_a_worker_as_it_does_in_the_daemon(
    network: Maker, runtime: Path, tmp_path: Path, given: Any
) -> None:
    here = await onnx_loader(WorkerSettings(runtime))(write_bundle(tmp_path / "here", given=given), NO_HOST)
    there = await network(apart(tmp_path / "there", given=given))
    assert (here.worker_pid(), here.needs_vector) == (0, there.needs_vector) == (0, given == "vector")
    vector = np.random.default_rng(7).standard_normal(384).astype(np.float32)
    asked = query("hello", vector=vector, series=Series(np.sin(np.arange(50.0))))
    expected, found = await here.answer(asked, ignore), await there.answer(asked, ignore)
    assert isinstance(expected, Answer)
    assert isinstance(found, Answer)
    assert found.text == expected.text
    assert found.result == expected.result


async def test_a_vector_of_broken_numbers_is_refused(network: Maker, tmp_path: Path) -> None:
    servable = await network(apart(tmp_path / "probe-1", given="vector"))
    request = wire.query_to_worker(query("hello"))
    request.vector = b"12345"
    line = await servable._child.line()
    with pytest.raises(QueryError, match="4 bytes") as caught:
        await ask(line.channel, request, ignore)
    assert (caught.value.reason, caught.value.field) == ("BAD_VECTOR", "vector")


async def test_a_network_that_does_not_fit_its_bundle_is_the_bundles_fault(network: Maker, tmp_path: Path) -> None:
    bundle = apart(tmp_path / "probe-1")
    text = (bundle.path / "expert.toml").read_text()
    (bundle.path / "expert.toml").write_text(text.replace('"high"]', '"high", "highest"]'))
    with pytest.raises(BundleError, match=r"4 labels|scores"):
        await network(open_bundle(seal(bundle.path).path))


async def test_a_network_cannot_take_more_memory_than_its_bundle_lets_it(network: Maker, tmp_path: Path) -> None:
    """Its series says how many numbers it makes."""
    bundle = apart(tmp_path / "greedy-1", given="series", labels=())
    nodes = [
        helper.make_node("ReduceMax", ["series"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["most"], ["count"], to=TensorProto.INT64),
        helper.make_node("Abs", ["count"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["many"]),
        helper.make_node("ReduceSum", ["many", "axes"], ["sum"], keepdims=1),
        helper.make_node("Reshape", ["sum", "row"], ["scores"]),
    ]
    save(
        bundle.path / "model.onnx",
        nodes,
        {"axes": np.array([0]), "row": np.array([1, 1])},
        helper.make_tensor_value_info("series", TensorProto.FLOAT, [1, "length"]),
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1])],
    )
    servable = await network(seal(bundle.path))
    with pytest.raises(UnavailableError, match=r"alloc|memory"):
        await servable.answer(query("how many", series=Series(np.array([4e9]))), ignore)
    modest = await servable.answer(query("how many", series=Series(np.array([1000.0]))), ignore)
    assert isinstance(modest, Answer)
    assert modest.result == Structured({"values": [0.0]})


# --- Hanging ---------------------------------------------------------------------------------------------------------

IMPATIENT = dataclasses.replace(QUICK, heartbeat_s=0.1, silence_s=1.0)


async def test_a_worker_that_stands_still_is_killed_and_comes_back(network: Maker, tmp_path: Path) -> None:
    servable = await network(apart(tmp_path / "probe-1"), patience=IMPATIENT)
    before = servable.worker_pid()
    os.kill(before, signal.SIGSTOP)
    await gone(before)
    assert isinstance(await servable.answer(query("hello"), ignore), Answer)
    assert servable.deaths == 1


async def test_a_call_to_a_worker_that_stands_still_is_asked_again(network: Maker, tmp_path: Path) -> None:
    patience = dataclasses.replace(IMPATIENT, heartbeat_s=1000.0)
    servable = await network(apart(tmp_path / "probe-1"), patience=patience)
    os.kill(servable.worker_pid(), signal.SIGSTOP)
    assert isinstance(await servable.answer(query("hello"), ignore), Answer)
    assert servable.deaths == 1


async def test_a_worker_that_stands_still_amid_an_answer_is_told_as_stuck(serve: Maker, slow: Path) -> None:
    servable = await serve(slow, patience=dataclasses.replace(QUICK, heartbeat_s=1000.0, silence_s=2.0))
    task = await begun(servable, query("hello"))
    before = servable.worker_pid()
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(UnavailableError, match="no sign of life for 2 s") as caught:
        await task
    assert (caught.value.reason, caught.value.retryable) == ("WORKER_STUCK", True)
    await gone(before)


class Thinker:
    """Says nothing for a while; asking `cancelled` meanwhile, or not."""

    def __init__(self, seconds: float, *, asks: bool) -> None:
        self._seconds = seconds
        self._asks = asks

    def answer(self, query: Query, emit: Callable[[str], None], cancelled: Callable[[], bool]) -> Outcome:
        until = time.monotonic() + self._seconds
        while time.monotonic() < until and not (self._asks and cancelled()):
            time.sleep(0.01)
        return Answer("At last.", Text("At last."))

    def close(self) -> None:
        pass


@asynccontextmanager
async def thinking(socket: Path, model: Thinker, *, stepwise: bool = True) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    worker_pb2_grpc.add_WorkerServicer_to_server(WorkerService(model, queue=8, stepwise=stepwise), server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield channel
    await server.stop(0)


async def test_whoever_waits_for_a_model_that_gets_on_is_told_so(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_BEAT_S", 0.05)
    heard = Heard()
    async with thinking(runtime / "s", Thinker(1.5, asks=True)) as channel:
        request = wire.query_to_worker(query("hello"))
        # The second one waits for the first one's end before it is even begun.
        calls = [ask(channel, request, heard, silence_s=1.0) for _ in range(2)]
        outcomes = await asyncio.gather(*calls)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert heard.pieces == []


@pytest.mark.parametrize(("asks", "stepwise"), [(False, True), (True, False)])
async def test_a_model_that_shows_no_progress_gives_no_sign_of_life(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, asks: bool, stepwise: bool
) -> None:
    monkeypatch.setattr(worker, "_BEAT_S", 0.05)
    async with thinking(runtime / "s", Thinker(1.5, asks=asks), stepwise=stepwise) as channel:
        with pytest.raises(SilentError):
            await ask(channel, wire.query_to_worker(query("hello")), ignore, silence_s=0.3)


async def test_a_listener_who_takes_his_time_is_no_silence_of_the_worker(serve: Maker, chain: Path) -> None:
    servable = await serve(chain, patience=dataclasses.replace(QUICK, silence_s=0.5))
    heard: list[str] = []

    async def listen(piece: str) -> None:
        if not heard:
            await asyncio.sleep(1.0)
        heard.append(piece)

    answer = await servable.answer(query("hello"), listen)
    assert isinstance(answer, Answer)
    assert "".join(heard) == SAID
    assert servable.deaths == 0


# --- Not starting ----------------------------------------------------------------------------------------------------


def child(runtime: Path, program: str, patience: Patience = QUICK) -> Child:
    return Child("odd 1", [sys.executable, "-c", program], runtime / "workers" / "odd", patience)


async def test_a_worker_that_keeps_dying_is_left_alone_for_a_while(runtime: Path) -> None:
    odd = child(runtime, "import sys; sys.exit('I cannot go on')")
    with pytest.raises(
        UnavailableError, match=r"^odd 1 died 5 times in a row \(exit status 1: I cannot go on\)"
    ) as caught:
        await odd.start()
    assert caught.value.reason == "WORKER_CRASH_LOOP"


async def test_calls_are_told_of_a_crash_loop_at_once_until_it_serves_again(network: Maker, tmp_path: Path) -> None:
    patience = dataclasses.replace(QUICK, most_deaths=3, crash_loop_pause_s=1.0)
    servable = await network(apart(tmp_path / "probe-1"), patience=patience)
    for _ in range(patience.most_deaths):
        line = await servable._child.line()
        assert line.life is not None
        os.kill(line.life.pid, signal.SIGKILL)
        assert await servable._child.death(line) == "killed by SIGKILL"
    for _ in range(3):
        with pytest.raises(UnavailableError, match=r"died 3 times in a row \(killed by SIGKILL\)") as caught:
            await servable.answer(query("hello"), ignore)
        assert caught.value.reason == "WORKER_CRASH_LOOP"
    reasons: list[str] = []
    while True:
        try:
            assert isinstance(await servable.answer(query("hello"), ignore), Answer)
            break
        except UnavailableError as error:
            reasons.append(error.reason)
            await asyncio.sleep(0.01)
    assert set(reasons) == {"WORKER_CRASH_LOOP"}


async def test_a_worker_that_leaks_ends_and_starts_anew(runtime: Path) -> None:
    leaky = child(runtime, LEAKY)
    await leaky.start()
    try:
        before = leaky.pid
        with pytest.raises(UnavailableError, match="exit status 71") as caught:
            await ask_peer(leaky, wire.query_to_worker(query("hello")), ignore)
        assert caught.value.reason == "WORKER_DIED"
        await leaky.line()
        assert leaky.pid not in (0, before)
        assert leaky.deaths == 2  # it was asked twice
    finally:
        await leaky.close()


LEAKY = """
import argparse, asyncio
from expertd.daemon.worker import WorkerService, confine, serve
from expertd.v1 import worker_pb2_grpc
class Leaky:
    def answer(self, query, emit, cancelled):
        kept = []
        while True:
            kept.append(bytes(10**7))
parser = argparse.ArgumentParser()
parser.add_argument("--socket")
parser.add_argument("--parent")
confine(6 * 10**8)
service = WorkerService(Leaky(), queue=1)
add = lambda server: worker_pb2_grpc.add_WorkerServicer_to_server(service, server)
asyncio.run(serve(parser.parse_args().socket, add))
"""


async def test_a_worker_that_never_serves_is_given_up_and_killed(runtime: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
    odd = child(runtime, stubborn, Patience(start_timeout_s=1.0, stop_timeout_s=0.1))
    with pytest.raises(UnavailableError) as caught:
        await odd.start()
    assert caught.value.reason == "WORKER_START_TIMEOUT"
    assert not [child for child in psutil.Process().children() if "time.sleep(1000)" in " ".join(child.cmdline())]


async def test_a_worker_sees_no_secret_of_the_daemons(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    odd = child(runtime, "import os, sys; sys.exit(' '.join(os.environ))")
    with pytest.raises(UnavailableError, match="PATH") as caught:
        await odd.start()
    assert "OPENAI_API_KEY" not in str(caught.value)


async def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    odd = child(tmp_path / ("x" * 100), "")
    with pytest.raises(UnavailableError, match="shorter path"):
        await odd.start()


async def test_without_its_model_an_expert_says_how_to_get_it(tmp_path: Path, runtime: Path, chain: Path) -> None:
    bundle = make_text_bundle(tmp_path / "text-1", chain)
    load = gguf_loader(WorkerSettings(runtime), Models.open(tmp_path / "models"))
    with pytest.raises(UnavailableError, match=r"expertctl models pull tiny.*expertctl models adopt FILE") as caught:
        await load(bundle, NO_HOST)
    assert caught.value.reason == "NO_MODEL"


async def test_a_model_that_cannot_be_loaded_is_not_tried_again_and_again(
    serve: Maker, tmp_path: Path, chain: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and then nothing of use")
    with pytest.raises(UnavailableError, match=r"no model that llama\.cpp can load") as caught:
        await serve(broken)
    assert caught.value.reason == "WORKER_CANNOT_START"
