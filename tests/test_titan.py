"""The titan: a real companion process, against llama.cpp's own OpenAI-compatible server and a real file server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bench.gguf_files import write_chain_model, write_slow_model
from expertd.daemon.model_operations import ModelOperations
from expertd.daemon.operations import FleetService
from expertd.daemon.peers import Patience
from expertd.daemon.titan import Titan, TitanSettings
from expertd.experts.bundle import BaseModel
from expertd.experts.errors import BundleError, QueryError, StoreError, UnavailableError
from expertd.experts.models import Models
from expertd.experts.values import Answer, Document, Query, Text
from expertd.v1 import fleet_pb2 as pb
from tests.listeners import Heard, begun, ignore

WORDS = ("Here", "is", "a", "short", "answer", "from", "one", "very", "large", "model", "far", "away.")
SAID = " ".join(WORDS)
KEY = "the-right-key"

Maker = Callable[..., Titan]


def query(text: str, **fields: Any) -> Query:
    return Query(text, datetime(2026, 3, 2, 9, tzinfo=UTC), ZoneInfo("Europe/Berlin"), **fields)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def llama_server(folder: Path, models: dict[str, Path]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """llama.cpp's own server, which asks for a key; its process and base URL."""
    port = free_port()
    config = folder / f"server-{port}.json"
    hosted = [
        {"model": str(file), "model_alias": name, "n_ctx": 2048, "n_threads": 1, "n_threads_batch": 1}
        for name, file in models.items()
    ]
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "api_key": KEY, "models": hosted}))
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", "--config_file", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "llama_cpp.server ended"
            time.sleep(0.05)
        yield process, f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("gguf")
    return {
        "large": write_chain_model(folder / "large.gguf", WORDS),
        "slow": write_slow_model(folder / "slow.gguf"),
    }


@pytest.fixture(scope="module")
def endpoint(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with llama_server(tmp_path_factory.mktemp("server"), files) as (_, base_url):
        yield base_url


@pytest.fixture
async def titan(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Maker]:
    monkeypatch.setenv("TITAN_KEY", KEY)
    made: list[Titan] = []

    def make(base_url: str = "http://127.0.0.1:9/v1", **settings: Any) -> Titan:
        settings = {"model": "large", "api_key_env": "TITAN_KEY", "max_retries": 0, **settings}
        made.append(Titan(TitanSettings(runtime, base_url=base_url, **settings)))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def companions() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "expertd.daemon.companion" in child.cmdline()]


async def reason_of(titan: Titan, asked: Query | None = None) -> str:
    with pytest.raises(UnavailableError) as caught:
        await titan.answer(asked or query("why is the sky blue"), ignore)
    assert KEY not in str(caught.value)
    return caught.value.reason


# --- Answering -------------------------------------------------------------------------------------------------------


async def test_the_titan_answers_piece_by_piece(titan: Maker, endpoint: str) -> None:
    heard = Heard()
    answer = await titan(endpoint).answer(query("why is the sky blue"), heard)
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Text)
    assert answer.text.strip() == SAID
    assert "".join(heard.pieces) == answer.text
    assert len(heard.pieces) >= len(WORDS)
    assert (answer.result.finish, answer.result.model) == ("stop", "large")


async def test_the_key_is_in_no_argument_and_no_log(
    titan: Maker, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await titan(endpoint).answer(query("hello"), ignore)
    (companion,) = companions()
    assert KEY not in " ".join(companion.cmdline())
    assert KEY not in caplog.text


async def test_a_cancelled_question_leaves_the_titan_free(titan: Maker, endpoint: str) -> None:
    asked = titan(endpoint, model="slow")
    for _ in range(2):
        task = await begun(asked, query("hello"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_titan_that_takes_too_long_is_given_up(titan: Maker, endpoint: str) -> None:
    assert await reason_of(titan(endpoint, model="slow", timeout_s=2.0)) == "TITAN_DEADLINE"


async def test_a_request_that_the_titan_cannot_take_is_the_requests_fault(titan: Maker) -> None:
    def refuse(_: Request) -> Response:
        return JSONResponse({"error": {"message": "maximum context length exceeded"}}, 400)

    with (
        serving(Route("/v1/chat/completions", refuse, methods=["POST"])) as url,
        pytest.raises(QueryError, match=r"maximum context length.*shorten it") as caught,
    ):
        await titan(f"{url}/v1").answer(query("sum up", document=Document("And more.")), ignore)
    assert caught.value.reason == "TITAN_BAD_REQUEST"


async def test_an_answer_that_ends_without_saying_why_is_none(titan: Maker, endpoint: str) -> None:
    # This server opens its stream before it finds that the request is too long for the model.
    asked = query("sum up", document=Document("And more. " * 2000))
    assert await reason_of(titan(endpoint), asked) == "TITAN_UNREACHABLE"


async def test_the_key_may_come_from_a_file_and_change_at_any_time(titan: Maker, endpoint: str, runtime: Path) -> None:
    file = runtime / "key"
    file.write_text("an old key\n")
    asked = titan(endpoint, api_key_file=file)
    assert await reason_of(asked) == "TITAN_REFUSED"
    file.write_text(f"{KEY}\n")
    assert isinstance(await asked.answer(query("hello"), ignore), Answer)
    assert asked.problem() == ""


# --- Refusals, each with its way out ---------------------------------------------------------------------------------


async def test_a_titan_that_is_switched_off_says_so(titan: Maker) -> None:
    asked = titan(enabled=False)
    assert await reason_of(asked) == "TITAN_OFF"
    assert "[titan] enabled" in asked.problem()
    assert companions() == []


async def test_without_a_key_nothing_is_sent(titan: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TITAN_KEY")
    asked = titan("https://titan.invalid/v1")
    assert "set TITAN_KEY" in asked.problem()
    assert await reason_of(asked) == "TITAN_NO_KEY"
    assert companions() == []


async def test_a_key_file_that_cannot_be_read_is_named(titan: Maker, runtime: Path) -> None:
    asked = titan(api_key_file=runtime / "missing")
    assert "api_key_file" in asked.problem()
    assert await reason_of(asked) == "TITAN_NO_KEY"
    assert companions() == []


async def test_a_server_on_this_machine_may_be_asked_without_a_key(
    titan: Maker, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TITAN_KEY")
    # This one wants a key, and it is the one to say so.
    assert await reason_of(titan(endpoint)) == "TITAN_REFUSED"


async def test_a_wrong_key_is_refused(titan: Maker, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITAN_KEY", "a-wrong-key")
    asked = titan(endpoint)
    assert await reason_of(asked) == "TITAN_REFUSED"
    assert "TITAN_KEY" in asked.problem()
    assert "a-wrong-key" not in asked.problem()


async def test_an_address_that_is_no_endpoint_is_refused(titan: Maker, endpoint: str) -> None:
    assert await reason_of(titan(endpoint.replace("/v1", "/v7"))) == "TITAN_REFUSED"


async def test_nothing_that_listens_is_unreachable(titan: Maker) -> None:
    asked = titan(f"http://127.0.0.1:{free_port()}/v1")
    assert await reason_of(asked) == "TITAN_UNREACHABLE"
    assert "base_url" in asked.problem()


@pytest.mark.parametrize(("status", "reason"), [(429, "TITAN_RATE_LIMITED"), (403, "TITAN_REFUSED")])
async def test_a_status_of_the_endpoint_becomes_a_reason(titan: Maker, status: int, reason: str) -> None:
    def refuse(_: Request) -> Response:
        return JSONResponse({"error": {"message": "not now"}}, status)

    with serving(Route("/v1/chat/completions", refuse, methods=["POST"])) as url:
        assert await reason_of(titan(f"{url}/v1")) == reason


@pytest.mark.parametrize(
    "sent",
    ["{", "\xff", "[1]", "null", '{"choices": null}', '{"choices": [{"delta": {"content": 5}}]}', '{"choices": [7]}'],
)
async def test_what_is_not_the_protocol_is_told_as_such(titan: Maker, sent: str) -> None:
    def babble(_: Request) -> Response:
        return Response(f"data: {sent}\n\n".encode("latin-1"), media_type="text/event-stream")

    with serving(Route("/v1/chat/completions", babble, methods=["POST"])) as url:
        asked = titan(f"{url}/v1")
        assert await reason_of(asked) == "TITAN_REFUSED"
    assert "not the protocol" in asked.problem()


async def test_an_endpoint_that_fails_is_not_called_out_of_reach(titan: Maker) -> None:
    def fail(_: Request) -> Response:
        return JSONResponse({"error": {"message": "out of memory"}}, 500)

    with serving(Route("/v1/chat/completions", fail, methods=["POST"])) as url:
        asked = titan(f"{url}/v1")
        assert await reason_of(asked) == "TITAN_UNREACHABLE"
    assert "failed (500)" in asked.problem()
    assert "cannot be reached" not in asked.problem()


async def test_retries_ride_out_a_short_trouble(titan: Maker, endpoint: str) -> None:
    asked: list[str] = []

    def stumble(request: Request) -> Response:
        asked.append(request.url.path)
        if len(asked) < 3:
            return JSONResponse({"error": {"message": "busy"}}, 503)
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "large"}
        choice = {"index": 0, "delta": {"content": "at last"}, "finish_reason": "stop"}
        return Response(
            f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\ndata: [DONE]\n\n", media_type="text/event-stream"
        )

    with serving(Route("/v1/chat/completions", stumble, methods=["POST"])) as url:
        answer = await titan(f"{url}/v1", max_retries=3).answer(query("hello"), ignore)
    assert isinstance(answer, Answer)
    assert answer.text == "at last"
    assert len(asked) == 3


@pytest.mark.parametrize("redact", [True, False])
async def test_what_identifies_somebody_stays_here_and_comes_back_in_the_answer(titan: Maker, redact: bool) -> None:
    bodies: list[str] = []

    async def answer(request: Request) -> Response:
        bodies.append((await request.body()).decode())
        name = "[EMAIL-1]" if redact else "ann@example.org"
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "large"}
        pieces = ["Dear ", name[:5], name[5:], ", all is well."]
        finished = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
        finished[-1]["finish_reason"] = "stop"
        lines = [f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n" for choice in finished]
        return Response("".join([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream")

    heard = Heard()
    with serving(Route("/v1/chat/completions", answer, methods=["POST"])) as url:
        asked = query("write to her", document=Document("My address is ann@example.org. Yours, Ann"))
        said = await titan(f"{url}/v1", redact=redact).answer(asked, heard)
    assert isinstance(said, Answer)
    assert said.text == "".join(heard.pieces) == "Dear ann@example.org, all is well."
    assert ("ann@example.org" in bodies[0]) != redact


async def test_a_server_killed_mid_stream_is_told(titan: Maker, files: dict[str, Path], tmp_path: Path) -> None:
    with llama_server(tmp_path, {"slow": files["slow"]}) as (server, base_url):
        task = await begun(titan(base_url, model="slow"), query("hello"))
        server.kill()
        with pytest.raises(UnavailableError) as caught:
            await task
    assert caught.value.reason == "TITAN_UNREACHABLE"


async def test_after_some_failures_in_a_row_the_titan_is_left_alone_for_a_while(titan: Maker) -> None:
    attempts: list[str] = []

    def fail(request: Request) -> Response:
        attempts.append(request.url.path)
        return JSONResponse({"error": {"message": "down"}}, 500)

    with serving(Route("/v1/chat/completions", fail, methods=["POST"])) as url:
        asked = titan(f"{url}/v1", most_failures=2, pause_s=60.0)
        for _ in range(4):
            assert await reason_of(asked) == "TITAN_UNREACHABLE"
        assert len(attempts) == 2
        with pytest.raises(UnavailableError, match="tried again in"):
            await asked.answer(query("hello"), ignore)
        again = titan(f"{url}/v1", most_failures=1, pause_s=0.0)
        for _ in range(2):
            await reason_of(again)
        assert len(attempts) == 4


# --- The companion's process -----------------------------------------------------------------------------------------


async def test_a_companion_that_is_killed_comes_back(titan: Maker, endpoint: str) -> None:
    asked = titan(endpoint)
    await asked.answer(query("hello"), ignore)
    (before,) = companions()
    before.kill()
    assert isinstance(await asked.answer(query("hello"), ignore), Answer)
    (after,) = companions()
    assert after.pid != before.pid


async def test_a_companion_that_runs_by_itself_is_asked_on_its_socket(
    titan: Maker, endpoint: str, runtime: Path
) -> None:
    place = runtime / "companion.sock"
    asked = titan(endpoint, socket=place)
    assert await reason_of(asked) == "TITAN_UNREACHABLE"
    (runtime / "expertd.toml").write_text(
        f'[titan]\nbase_url = "{endpoint}"\nmodel = "large"\napi_key_env = "TITAN_KEY"\n'
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "expertd.daemon.companion"),
        *("--socket", str(place), "--config", str(runtime / "expertd.toml")),
    )
    try:
        answer = None
        while answer is None:
            try:
                answer = await titan(endpoint, socket=place).answer(query("hello"), ignore)
            except UnavailableError:
                await asyncio.sleep(0.1)
        assert isinstance(answer, Answer)
        assert answer.text.strip() == SAID
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_companion_that_cannot_start_is_told_as_the_titans_trouble(titan: Maker) -> None:
    patience = Patience(start_timeout_s=0.01, stop_timeout_s=1.0)
    asked = titan(patience=patience)
    assert await reason_of(asked) == "TITAN_UNREACHABLE"
    assert asked.problem().startswith("the titan's companion does not serve")
    assert "worker" not in asked.problem()


# --- Downloading -----------------------------------------------------------------------------------------------------


@contextmanager
def serving(*routes: Route) -> Iterator[str]:
    """A real HTTP server in a thread; its URL."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=list(routes)), port=port, log_level="error", timeout_graceful_shutdown=0)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Hub:
    """Serves one file as `behave` says, and remembers the ranges that it was asked for."""

    file: Path
    behave: Callable[[Request, Path, int], Response] = lambda _request, file, _number: FileResponse(file)
    ranges: list[str] = field(default_factory=list)

    @property
    def route(self) -> Route:
        return Route("/somebody/large/resolve/r1/large.gguf", self._answer)

    def _answer(self, request: Request) -> Response:
        self.ranges.append(request.headers.get("Range", ""))
        return self.behave(request, self.file, len(self.ranges))

    @property
    def model(self) -> BaseModel:
        data = self.file.read_bytes()
        return BaseModel(
            name="large",
            repository="somebody/large",
            revision="r1",
            file="large.gguf",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            licence="Apache-2.0",
        )


def half(file: Path, then: float | None) -> Response:
    """The first half, then silence for `then` seconds, or an end that is none."""
    data = file.read_bytes()

    async def body() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        if then is None:
            raise ConnectionError("the server is gone")
        await asyncio.sleep(then)

    return StreamingResponse(body(), headers={"Content-Length": str(len(data))})


def wait_for_half(models: Models, model: BaseModel) -> None:
    while models.present_bytes(model) < model.size_bytes // 2:
        time.sleep(0.02)


async def pulled(titan: Titan, hub: Hub, models: Models) -> list[int]:
    return [present async for present in titan.pull(hub.model, models)]


async def test_a_model_is_pulled_checked_and_taken_in(titan: Maker, files: dict[str, Path], tmp_path: Path) -> None:
    hub, models = Hub(files["large"]), Models.open(tmp_path)
    with serving(hub.route) as url:
        progress = await pulled(titan(hub=url), hub, models)
    path = models.path(hub.model)
    assert path is not None
    assert path.read_bytes() == files["large"].read_bytes()
    assert progress[-1] == hub.model.size_bytes
    assert progress == sorted(progress)
    assert not models.part(hub.model).exists()


class OneExpert:
    """A fleet of one, serving on a model; remembers what it is told."""

    def __init__(self, model: BaseModel) -> None:
        bundle = SimpleNamespace(manifest=SimpleNamespace(model=model))
        self.view = SimpleNamespace(slots={"text": SimpleNamespace(bundle=bundle, absence=None)})
        self.told: list[str] = []

    async def unload(self, _: str, *, although_pinned: bool = False) -> None:
        assert although_pinned, "a pinned expert cannot be unloaded"
        self.told.append("unload")

    async def retry(self, _: str) -> None:
        self.told.append("retry")


class Several(OneExpert):
    """Of three experts on one model, the second cannot serve on it."""

    def __init__(self, model: BaseModel) -> None:
        super().__init__(model)
        slot = self.view.slots.pop("text")
        self.view.slots.update(dict.fromkeys(("chat", "extract", "title"), slot))

    async def retry(self, name: str) -> None:
        self.told.append(name)
        if name == "extract":
            raise BundleError("extract 1: golden.jsonl line 1: missing")


async def test_one_expert_that_fails_on_a_model_keeps_no_other_from_serving(
    files: dict[str, Path], tmp_path: Path
) -> None:
    own = files["slow"].read_bytes()
    fleet: Any = Several(Hub(files["large"]).model)
    no_titan: Any = None

    async def handed_over() -> AsyncIterator[pb.AdoptModelRequest]:
        yield pb.AdoptModelRequest(file=pb.AdoptModelRequest.File(size_bytes=len(own)))
        yield pb.AdoptModelRequest(data=own)

    operations = ModelOperations(fleet, Models.open(tmp_path), no_titan)
    with pytest.raises(BundleError, match="extract 1"):
        await operations.adopt(handed_over())
    assert [name for name in fleet.told if name != "unload"] == ["chat", "extract", "title"]
    (listed,) = operations.list()
    assert list(listed.experts) == ["chat", "extract", "title"]


async def test_an_adopted_model_is_shown_as_such_and_gives_way_to_the_one_that_is_pulled(
    titan: Maker, files: dict[str, Path], tmp_path: Path
) -> None:
    own = files["slow"].read_bytes()
    hub, models = Hub(files["large"]), Models.open(tmp_path)
    fleet: Any = OneExpert(hub.model)

    async def handed_over() -> AsyncIterator[pb.AdoptModelRequest]:
        yield pb.AdoptModelRequest(file=pb.AdoptModelRequest.File(size_bytes=len(own)))
        for start in range(0, len(own), 2**20):
            yield pb.AdoptModelRequest(data=own[start : start + 2**20])

    nothing: Any = None
    with serving(hub.route) as url:
        service = FleetService(
            fleet=fleet,
            titan=titan(hub=url),
            models=models,
            **dict.fromkeys(("store", "shipped", "traces", "events", "check", "intents"), nothing),
        )
        adopted = (await service.AdoptModel(handed_over(), nothing)).model
        assert (adopted.name, adopted.licence, adopted.repository, adopted.file) == ("large", "unknown", "adopted", "")
        assert (adopted.size_bytes, adopted.sha256) == (len(own), hashlib.sha256(own).hexdigest())
        assert (await service.ListModels(pb.ListModelsRequest(), nothing)).models == [adopted]
        steps = [step async for step in service.PullModel(pb.PullModelRequest(name="large"), nothing)]
    assert steps[0].model.availability == pb.AVAILABILITY_DOWNLOADING
    assert (steps[-1].model.sha256, steps[-1].model.licence) == (hub.model.sha256, "Apache-2.0")
    assert models.path(hub.model) == models.destination(hub.model)
    assert fleet.told == ["unload", "retry"] * 2
    again = [step async for step in service.PullModel(pb.PullModelRequest(name="large"), nothing)]
    assert [step.model.availability for step in again] == [pb.AVAILABILITY_READY]
    assert len(hub.ranges) == 1


async def test_a_model_can_be_pulled_while_the_titan_is_off(
    titan: Maker, files: dict[str, Path], tmp_path: Path
) -> None:
    hub, models = Hub(files["large"]), Models.open(tmp_path)
    with serving(hub.route) as url:
        await pulled(titan(hub=url, enabled=False), hub, models)
    assert models.path(hub.model) is not None


@pytest.mark.parametrize("silence", [None, 30.0], ids=["broken off", "silent"])
async def test_a_download_that_ends_half_way_goes_on_from_there(
    titan: Maker, files: dict[str, Path], tmp_path: Path, silence: float | None
) -> None:
    def behave(_: Request, file: Path, number: int) -> Response:
        return half(file, silence) if number == 1 else FileResponse(file)

    hub, models = Hub(files["large"], behave), Models.open(tmp_path)
    with serving(hub.route) as url:
        await pulled(titan(hub=url, stall_timeout_s=1.0), hub, models)
    assert hub.ranges == ["", f"bytes={hub.model.size_bytes // 2}-"]
    assert models.path(hub.model) is not None


async def test_a_companion_killed_half_way_leaves_what_came_and_the_next_pull_goes_on(
    titan: Maker, files: dict[str, Path], tmp_path: Path
) -> None:
    def behave(_: Request, file: Path, number: int) -> Response:
        return half(file, 60.0) if number == 1 else FileResponse(file)

    hub, models = Hub(files["large"], behave), Models.open(tmp_path)
    with serving(hub.route) as url:
        asked = titan(hub=url)
        task = asyncio.create_task(pulled(asked, hub, models))
        await asyncio.to_thread(wait_for_half, models, hub.model)
        os.kill(companions()[0].pid, signal.SIGKILL)
        with pytest.raises(UnavailableError, match="goes on from there") as caught:
            await task
        assert caught.value.reason == "PULL_UNREACHABLE"
        await pulled(asked, hub, models)
    assert hub.ranges == ["", f"bytes={hub.model.size_bytes // 2}-"]
    assert models.path(hub.model) is not None


async def test_a_server_that_knows_no_ranges_sends_it_all_again(
    titan: Maker, files: dict[str, Path], tmp_path: Path
) -> None:
    hub = Hub(files["large"], lambda _request, file, _number: Response(file.read_bytes()))
    models = Models.open(tmp_path)
    models.part(hub.model).write_bytes(files["large"].read_bytes()[:1000])
    with serving(hub.route) as url:
        await pulled(titan(hub=url), hub, models)
    assert hub.ranges == ["bytes=1000-"]
    assert models.path(hub.model) is not None


async def test_a_beginning_that_the_server_does_not_know_is_thrown_away(
    titan: Maker, files: dict[str, Path], tmp_path: Path
) -> None:
    hub = Hub(
        files["large"], lambda _request, file, number: Response(status_code=416) if number == 1 else FileResponse(file)
    )
    models = Models.open(tmp_path)
    models.part(hub.model).write_bytes(b"not the beginning of anything")
    with serving(hub.route) as url:
        await pulled(titan(hub=url), hub, models)
    assert hub.ranges == ["bytes=29-", ""]
    assert models.path(hub.model) is not None


async def test_a_file_with_another_hash_is_not_kept(titan: Maker, files: dict[str, Path], tmp_path: Path) -> None:
    def swap_a_byte(_: Request, file: Path, __: int) -> Response:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        return Response(bytes(data))

    hub, models = Hub(files["large"], swap_a_byte), Models.open(tmp_path)
    with serving(hub.route) as url, pytest.raises(UnavailableError, match="sha256") as caught:
        await pulled(titan(hub=url), hub, models)
    assert caught.value.reason == "PULL_WRONG_FILE"
    assert os.listdir(tmp_path) == []


async def test_a_file_longer_than_it_should_be_is_not_kept(
    titan: Maker, files: dict[str, Path], tmp_path: Path
) -> None:
    hub = Hub(files["large"], lambda _request, file, _number: Response(file.read_bytes() + b"and more"))
    models = Models.open(tmp_path)
    with serving(hub.route) as url, pytest.raises(UnavailableError, match="more than") as caught:
        await pulled(titan(hub=url), hub, models)
    assert caught.value.reason == "PULL_WRONG_FILE"
    assert os.listdir(tmp_path) == []


async def test_a_model_that_the_hub_does_not_have_says_what_to_do(
    titan: Maker, files: dict[str, Path], tmp_path: Path
) -> None:
    hub = Hub(files["large"])
    with serving() as url, pytest.raises(UnavailableError, match="expertctl models adopt FILE") as caught:
        await pulled(titan(hub=url), hub, Models.open(tmp_path))
    assert caught.value.reason == "PULL_REFUSED"


async def test_a_hub_out_of_reach_is_told(titan: Maker, files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="Check the network") as caught:
        await pulled(titan(hub=f"http://127.0.0.1:{free_port()}"), Hub(files["large"]), Models.open(tmp_path))
    assert caught.value.reason == "PULL_UNREACHABLE"


async def test_a_folder_that_cannot_be_written_is_told(titan: Maker, files: dict[str, Path], tmp_path: Path) -> None:
    hub, models = Hub(files["large"]), Models.open(tmp_path / "models")
    models.part(hub.model).mkdir()
    with serving(hub.route) as url, pytest.raises(StoreError, match="cannot be written"):
        await pulled(titan(hub=url), hub, models)
