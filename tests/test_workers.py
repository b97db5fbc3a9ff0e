"""Experts in processes of their own: real processes, killed for real."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from bench.gguf_files import write_chain_model, write_slow_model
from expertd.daemon import wire
from expertd.daemon.peers import Child, Patience, ask
from expertd.daemon.workers import WorkerServable, WorkerSettings, gguf_loader
from expertd.experts.bundle import Bundle, open_bundle, seal
from expertd.experts.errors import QueryError, UnavailableError
from expertd.experts.golden import check, to_query
from expertd.experts.models import Models
from expertd.experts.values import Abstention, Answer, Document, Query, Text

ROOT = Path(__file__).resolve().parent.parent
WORDS = ("Here", "is", "a", "short", "answer", "from", "one", "very", "small", "model", "and", "no", "thought.")
SAID = " ".join(WORDS)
QUICK = Patience(start_timeout_s=30.0, first_backoff_s=0.01, longest_backoff_s=0.05, crash_loop_pause_s=30.0)

Maker = Callable[..., Any]


def query(text: str, **fields: Any) -> Query:
    return Query(text, datetime(2026, 3, 2, 9, tzinfo=UTC), ZoneInfo("UTC"), **fields)


async def ignore(_: str) -> None:
    pass


class Heard:
    """What a caller has heard so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._more = asyncio.Event()

    async def __call__(self, piece: str) -> None:
        self.pieces.append(piece)
        self._more.set()

    async def first(self) -> None:
        await self._more.wait()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chain_model(tmp_path_factory.mktemp("gguf") / "chain.gguf", WORDS)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes half a minute and more for what the bundle lets it say."""
    return write_slow_model(tmp_path_factory.mktemp("gguf") / "slow.gguf")


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Path(folder)


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


@pytest.fixture
async def serve(tmp_path: Path, runtime: Path) -> AsyncIterator[Maker]:
    """Adopts a model file and serves a bundle on it."""
    started: list[WorkerServable] = []

    async def make(file: Path, **settings: Any) -> WorkerServable:
        bundle = make_text_bundle(tmp_path / "text-1", file)
        models = Models.open(tmp_path / "models")
        hand_over(models, bundle, file)
        settings = {"threads": 1, "max_tokens": 3000, "patience": QUICK, **settings}
        servable = await gguf_loader(WorkerSettings(runtime, **settings), models)(bundle, None)  # type: ignore[arg-type]
        assert isinstance(servable, WorkerServable)
        started.append(servable)
        return servable

    yield make
    for servable in started:
        await servable.close()


async def gone(pid: int) -> None:
    """Returns once the process is no more; the test's own time limit is the limit."""
    await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)] if psutil.pid_exists(pid) else [])


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


async def test_a_worker_is_a_process_of_its_own_with_a_private_socket(serve: Maker, chain: Path, runtime: Path) -> None:
    servable = await serve(chain)
    process = psutil.Process(servable.worker_pid())
    assert process.ppid() == os.getpid()
    assert os.getpgid(process.pid) == process.pid
    assert servable.resident_bytes() > 10_000_000
    assert oom_score_adj(process.pid) > 0
    (socket,) = (runtime / "workers").iterdir()
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert "Umask:\t0077" in Path(f"/proc/{process.pid}/status").read_text()  # noqa: ASYNC240


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
    first, later = Heard(), Heard()
    running = asyncio.create_task(servable.answer(query("hello"), first))
    await first.first()
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
    first, second = Heard(), Heard()
    task = asyncio.create_task(servable.answer(query("hello"), first))
    await first.first()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    task = asyncio.create_task(servable.answer(query("hello"), second))
    await second.first()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_call_cancelled_while_its_prompt_is_read_frees_the_model(serve: Maker, slow: Path) -> None:
    servable = await serve(slow)
    task = asyncio.create_task(servable.answer(query("sum up", document=Document("And more. " * 150)), ignore))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    heard = Heard()
    task = asyncio.create_task(servable.answer(query("hello"), heard))
    await heard.first()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_deadline_that_passes_frees_the_model(serve: Maker, slow: Path) -> None:
    servable = await serve(slow)
    request = wire.query_to_worker(query("hello"))
    line = await servable._child.line()
    with pytest.raises(TimeoutError):
        await ask(line.channel, request, ignore, timeout_s=0.3)
    heard = Heard()
    task = asyncio.create_task(servable.answer(query("hello"), heard))
    await heard.first()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_shipped_bundle_passes_its_examples_on_any_model(runtime: Path, chain: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "experts" / "bundles" / "text", tmp_path / "text")
    bundle = seal(tmp_path / "text")
    models = Models.open(tmp_path / "models")
    adopt(models, bundle, chain)
    servable = await gguf_loader(WorkerSettings(runtime, threads=1), models)(bundle, None)  # type: ignore[arg-type]
    try:
        answer = await servable.answer(query("hello"), ignore)
        assert isinstance(answer, Answer)
        assert isinstance(answer.result, Text)
        assert bundle.manifest.model is not None
        present = models.find(bundle.manifest.model)
        assert present is not None
        assert answer.result.model == present.title == f"{present.name} (adopted, {present.sha256[:8]})"
        for example in bundle.golden():
            outcome: Answer | Abstention | QueryError
            try:
                outcome = await servable.answer(to_query(example), ignore)
            except QueryError as error:
                outcome = error
            assert check(outcome, example.expect) is None
    finally:
        await servable.close()


# --- Dying -----------------------------------------------------------------------------------------------------------


async def test_a_worker_killed_mid_stream_tells_its_caller_and_the_next_call_works(serve: Maker, slow: Path) -> None:
    servable = await serve(slow)
    heard = Heard()
    task = asyncio.create_task(servable.answer(query("hello"), heard))
    await heard.first()
    before = servable.worker_pid()
    os.kill(before, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="SIGKILL") as caught:
        await task
    assert (caught.value.reason, caught.value.retryable) == ("WORKER_DIED", True)
    heard = Heard()
    task = asyncio.create_task(servable.answer(query("hello"), heard))
    await heard.first()
    assert servable.worker_pid() not in (0, before)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_call_that_had_heard_nothing_yet_is_asked_again(serve: Maker, slow: Path) -> None:
    servable = await serve(slow, max_tokens=3)
    asked = query("sum up", document=Document("And more. " * 150))
    heard = Heard()
    task = asyncio.create_task(servable.answer(asked, heard))
    await asyncio.sleep(0.3)
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


async def test_a_worker_dies_with_the_daemon_that_started_it(runtime: Path, chain: Path, tmp_path: Path) -> None:
    bundle = make_text_bundle(tmp_path / "text-1", chain)
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(runtime / "text"), str(bundle.path), str(chain)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    await parent.wait()
    await gone(pid)


PARENT = """
import asyncio, pathlib, sys
from expertd.daemon.peers import Child, Patience
async def main():
    socket, bundle, model = sys.argv[1:]
    command = [sys.executable, "-m", "expertd.daemon.worker", "--bundle", bundle, "--model", model, "--name", "tiny"]
    child = Child("text 1", command, pathlib.Path(socket), Patience())
    await child.start()
    print(child.pid, flush=True)
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
        await load(bundle, None)  # type: ignore[arg-type]
    assert caught.value.reason == "NO_MODEL"


async def test_a_model_that_cannot_be_loaded_is_not_tried_again_and_again(
    serve: Maker, tmp_path: Path, chain: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and then nothing of use")
    with pytest.raises(UnavailableError, match=r"no model that llama\.cpp can load") as caught:
        await serve(broken)
    assert caught.value.reason == "WORKER_CANNOT_START"
