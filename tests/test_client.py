"""The client against a real gRPC server on a real Unix socket, with a few lines of behaviour behind it."""

# ruff: noqa: N802, the contract names its methods so

import io
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from expertd.client import (
    AsyncClient,
    Client,
    DaemonDownError,
    DeadlineError,
    DeniedError,
    ExhaustedError,
    FailedPreconditionError,
    InputError,
    InternalError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    default_socket,
    read_series,
    wire,
)
from expertd.client import fleet as fleet_module
from expertd.daemon import config
from expertd.v1 import assistant_pb2 as assistant
from expertd.v1 import fleet_pb2 as fleet
from expertd.v1.assistant_pb2_grpc import AssistantServicer, add_AssistantServicer_to_server
from expertd.v1.fleet_pb2_grpc import FleetServicer, add_FleetServicer_to_server


class Peer(AssistantServicer, FleetServicer):
    """Answers with what it was asked, and keeps what it was sent."""

    def __init__(self) -> None:
        self.asked: list[assistant.AskRequest] = []
        self.files: dict[str, bytes] = {}
        self.largest = 0
        self.adopted = b""
        self.cancelled = threading.Event()
        self.noted = False
        self.release = threading.Event()  # what hangs, hangs until then

    def Ask(self, request, context):
        self.asked.append(request)
        if request.input.text.startswith("refuse "):
            refuse(context, grpc.StatusCode[request.input.text.split()[1]], "refused; mend it", "NO_GOOD")
        if request.input.text == "hang":
            self.release.wait(30)
        return assistant.AskResponse(answer=assistant.Answer(text=f"said {request.input.text}", expert="echo"))

    def AskStream(self, request, context):
        self.asked.append(request)
        context.add_callback(self.cancelled.set)
        yield assistant.AskStreamResponse(decision=assistant.Decision(expert="echo", confidence=0.9))
        for word in request.input.text.split():
            yield assistant.AskStreamResponse(delta=word)
            if word == "refuse":
                refuse(context, grpc.StatusCode.UNAVAILABLE, "the worker is gone", "WORKER_DIED")
            if word == "hang":
                self.release.wait(30)
            if word == "cut":
                return
        yield assistant.AskStreamResponse(answer=assistant.Answer(text="".join(request.input.text.split())))
        time.sleep(0.05)
        self.noted = context.is_active()

    def Invoke(self, request, context):
        if request.expert != "echo":
            refuse(context, grpc.StatusCode.NOT_FOUND, "no such expert", "UNKNOWN_EXPERT", nearest="echo")
        return assistant.InvokeResponse(answer=assistant.Answer(text=f"{request.intent}: {request.input.text}"))

    def Route(self, request, context):
        return assistant.RouteResponse(decision=assistant.Decision(expert="echo", instruction=request.text))

    def Events(self, request, context):
        yield assistant.EventsResponse(subscribed=assistant.EventsResponse.Subscribed())
        time.sleep(0.4)  # longer than the client's patience for a first message
        yield assistant.EventsResponse(fired=assistant.Fired(id="1", kind="timer"))

    def Feedback(self, request, context):
        if not request.trace_id:
            refuse(context, grpc.StatusCode.NOT_FOUND, "no such trace", "UNKNOWN_TRACE")
        return assistant.FeedbackResponse()

    def Install(self, request_iterator, context):
        path = ""
        for part in request_iterator:
            if part.HasField("file"):
                path = part.file.path
                self.files[path] = b""
                if path == "refused.bin":
                    refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "refused.bin: not in the manifest", "BAD_BUNDLE")
            else:
                self.largest = max(self.largest, len(part.data))
                self.files[path] += part.data
        yield fleet.InstallResponse(expert="spam", version=2, state=fleet.STATE_LOADING)
        if b"hang" in self.files["expert.toml"]:
            self.release.wait(30)
        if b"canary" in self.files["expert.toml"]:
            yield fleet.InstallResponse(expert="spam", version=2, state=fleet.STATE_CANARY, message="on trial")
            return
        failed = b"fail" in self.files["expert.toml"]
        state = fleet.STATE_FAILED if failed else fleet.STATE_SERVING
        yield fleet.InstallResponse(expert="spam", version=2, state=state, message="golden 3" if failed else "")

    def ListExperts(self, request, context):
        return fleet.ListExpertsResponse(experts=[fleet.Expert(name="spam")], memory={"budget_bytes": 7})

    def SetPolicy(self, request, context):
        policy = request.policy if request.HasField("policy") else fleet.Policy(margin=0.05)
        return fleet.SetPolicyResponse(expert=fleet.Expert(name=request.name, policy=policy))

    def AdoptModel(self, request_iterator, context):
        first = next(request_iterator)
        self.adopted = b"".join(part.data for part in request_iterator)
        return fleet.AdoptModelResponse(model=fleet.Model(name=first.file.name or first.file.file_name))

    def PullModel(self, request, context):
        for present in (0, 50, 100):
            yield fleet.PullModelResponse(model=fleet.Model(name=request.name, present_bytes=present, size_bytes=100))


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, text: str, reason: str, **metadata: str) -> None:
    status = status_pb2.Status(code=code.value[0], message=text)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="expertd", metadata=metadata))
    violation = error_details_pb2.BadRequest.FieldViolation(field="input.text", description="too odd")
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, text)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="expertd-") as name:
        yield Path(name)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Peer]]:
    running: list[tuple[grpc.Server, Peer]] = []

    def start(path: Path) -> Peer:
        server, peer = grpc.server(futures.ThreadPoolExecutor(8)), Peer()
        add_AssistantServicer_to_server(peer, server)
        add_FleetServicer_to_server(peer, server)
        server.add_insecure_port(wire.target(path))
        server.start()
        running.append((server, peer))
        peer.stop = lambda: server.stop(0).wait()
        return peer

    yield start
    for server, peer in running:
        peer.release.set()
        server.stop(0).wait()


@pytest.fixture
def peer(serve: Callable[..., Peer], folder: Path) -> Peer:
    return serve(folder / "s")


@pytest.fixture
def client(peer: Peer, folder: Path) -> Iterator[Client]:
    with Client(folder / "s", timeout_s=5, app="tests") as client:
        yield client


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "spam-2"
    (folder / "data").mkdir(parents=True)
    (folder / "expert.toml").write_text('name = "spam"\n')
    (folder / "data" / "weights.bin").write_bytes(os.urandom(600_000))
    (folder / "CARD.md").write_text("# spam\n")
    return folder


# --- The verbs -------------------------------------------------------------------------------------------------------


def test_ask_sends_everything_that_goes_with_the_request(client: Client, peer: Peer) -> None:
    answer = client.ask(
        "grüße", series=[1, 2.5], document="a note", session="s1", time_zone="Asia/Tokyo", locale="de", local_only=True
    )
    assert answer.text == "said grüße"
    (sent,) = peer.asked
    assert list(sent.input.series.values) == [1.0, 2.5]
    assert sent.input.document.text == "a note"
    assert sent.context == assistant.Context(
        app="tests", session="s1", time_zone="Asia/Tokyo", locale="de", local_only=True
    )


def test_ask_tells_pieces_as_they_come_and_gives_the_whole(client: Client, peer: Peer) -> None:
    pieces: list[str] = []
    assert client.ask("one two", on_delta=pieces.append).text == "onetwo"
    assert pieces == ["one", "two"]
    assert peer.noted  # what the daemon does after the answer was not called off


def test_stream_gives_the_decision_then_pieces_then_the_answer(client: Client) -> None:
    kinds = [type(part).__name__ for part in client.stream("one two")]
    assert kinds == ["Decision", "str", "str", "Answer"]


def test_leaving_a_stream_calls_the_work_off(client: Client, peer: Peer) -> None:
    stream = client.stream("one hang")
    assert next(stream).expert == "echo"
    stream.close()
    assert peer.cancelled.wait(5)


def test_a_stream_that_ends_without_an_answer_is_an_error(client: Client) -> None:
    with pytest.raises(UnavailableError, match="before it had answered") as caught:
        list(client.stream("cut"))
    assert caught.value.reason == "CUT_SHORT"


def test_a_stream_that_fails_midway_says_why_after_its_pieces(client: Client) -> None:
    stream = client.stream("a refuse")
    assert [next(stream) for _ in range(3)][1:] == ["a", "refuse"]
    with pytest.raises(UnavailableError, match="worker is gone") as caught:
        next(stream)
    assert caught.value.reason == "WORKER_DIED"


def test_route_invoke_feedback(client: Client) -> None:
    assert client.route("who").instruction == "who"
    assert client.invoke("echo", "hello", intent="greet").text == "greet: hello"
    client.feedback("01J", good=True)
    with pytest.raises(NotFoundError):
        client.feedback("", good=False)


def test_events_outlast_the_timeout_of_other_calls(peer: Peer, folder: Path) -> None:
    with Client(folder / "s", timeout_s=0.3) as client:
        kinds = [event.WhichOneof("event") for event in client.events()]
    assert kinds == ["subscribed", "fired"]


def test_threads_share_one_client(client: Client) -> None:
    with futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: client.ask(str(number)).text, range(200)))
    assert answers == [f"said {number}" for number in range(200)]


def test_a_closed_client_refuses_calls(client: Client) -> None:
    client.ask("once")
    client.close()
    with pytest.raises(InputError, match="closed"):
        client.ask("twice")


async def test_the_asynchronous_twin_speaks_the_same(peer: Peer, folder: Path) -> None:
    async with AsyncClient(folder / "s", timeout_s=5, app="tests") as client:
        assert (await client.ask("hello", session="s1")).text == "said hello"
        assert peer.asked[-1].context == assistant.Context(app="tests", session="s1")
        assert [part async for part in client.stream("one two")][1:3] == ["one", "two"]
        pieces: list[str] = []
        assert (await client.ask("a b", on_delta=pieces.append)).text == "ab"
        assert pieces == ["a", "b"]
        assert (await client.route("who")).expert == "echo"
        assert (await client.invoke("echo", "hello", intent="greet")).text == "greet: hello"
        await client.feedback("01J", good=True)
        assert [event.WhichOneof("event") async for event in client.events()] == ["subscribed", "fired"]
        with pytest.raises(NotFoundError) as caught:
            await client.invoke("eco")
        assert caught.value.metadata == {"nearest": "echo"}
        with pytest.raises(UnavailableError, match="before it had answered"):
            await client.ask("cut", on_delta=pieces.append)


async def test_the_asynchronous_twin_knows_a_daemon_that_is_down(folder: Path) -> None:
    async with AsyncClient(folder / "nobody") as client:
        with pytest.raises(DaemonDownError, match="there is no socket"):
            await client.ask("hello")


# --- Errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_ARGUMENT", InvalidError),
        ("NOT_FOUND", NotFoundError),
        ("FAILED_PRECONDITION", FailedPreconditionError),
        ("UNAVAILABLE", UnavailableError),
        ("RESOURCE_EXHAUSTED", ExhaustedError),
        ("DEADLINE_EXCEEDED", DeadlineError),
        ("PERMISSION_DENIED", DeniedError),
        ("INTERNAL", InternalError),
        ("DATA_LOSS", InternalError),
    ],
)
def test_a_status_of_the_daemon_becomes_an_error_with_its_reason(client: Client, code: str, kind: type) -> None:
    with pytest.raises(kind, match="refused; mend it") as caught:
        client.ask(f"refuse {code}")
    assert caught.value.reason == "NO_GOOD"
    assert caught.value.fields == {"input.text": "too odd"}


def test_without_the_details_package_an_error_still_has_its_text(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.rpc", None)
    with pytest.raises(UnavailableError, match="refused; mend it") as caught:
        client.ask("refuse UNAVAILABLE")
    assert caught.value.reason == ""


def test_a_call_that_an_old_daemon_does_not_know_says_so(client: Client) -> None:
    with pytest.raises(InternalError, match="older than this client"):
        client.echo()


def test_text_that_is_not_utf8_is_refused_before_sending(client: Client, peer: Peer) -> None:
    with pytest.raises(InputError, match="not valid UTF-8 at character 3"):
        client.ask("abc\udcff")
    assert not peer.asked


def test_a_daemon_that_is_down_is_named_with_the_way_to_start_it(folder: Path) -> None:
    with Client(folder / "nobody") as client, pytest.raises(DaemonDownError) as caught:
        client.ask("hello")
    assert str(folder / "nobody") in str(caught.value)
    assert "systemctl --user start expertd" in str(caught.value)
    assert "make run" in str(caught.value)


def test_a_plain_file_is_not_taken_for_a_daemon(folder: Path) -> None:
    (folder / "s").write_text("not a socket")
    with Client(folder / "s") as client, pytest.raises(DaemonDownError, match="is not a socket"):
        client.ask("hello")


def test_a_socket_that_was_left_behind_is_told_from_one_that_is_missing(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s"))
    with Client(folder / "s") as client, pytest.raises(DaemonDownError, match="left behind"):
        client.ask("hello")


def test_a_socket_that_goes_while_it_is_looked_at_is_a_daemon_down(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(socket.socket):
        def connect(self, address: object) -> None:
            raise ConnectionRefusedError

    monkeypatch.setattr(wire.sockets, "socket", Refusing)
    assert wire.knock(folder / "s") == f"there is no socket {folder / 's'}"


class Failed(grpc.RpcError):
    """What gRPC raises when the wire, not the daemon, ends a call."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__()
        self.code, self.details, self.trailing_metadata = lambda: code, lambda: text, lambda: ()


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN", "nobody listened"),
        ("UNKNOWN", "Stream removed", "expertd ended while answering"),
        ("UNAVAILABLE", "Socket closed", "expertd ended while answering"),
    ],
)
@pytest.mark.usefixtures("peer")
def test_a_daemon_that_went_and_came_back_is_still_a_daemon_down(
    folder: Path, code: str, text: str, words: str
) -> None:
    error = wire.error_of(Failed(grpc.StatusCode[code], text), folder / "s")
    assert isinstance(error, DaemonDownError)
    assert words in str(error)


def test_a_path_too_long_for_a_socket_is_a_daemon_down_not_a_crash(folder: Path) -> None:
    with Client(folder / ("x" * 120)) as client, pytest.raises(DaemonDownError, match="at most 107"):
        client.ask("hello")


def test_a_server_that_accepts_and_says_nothing_runs_into_the_deadline(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(folder / "s"))
        mute.listen()
        with Client(folder / "s", timeout_s=0.3) as client:
            with pytest.raises(DeadlineError, match="did not answer in time"):
                client.ask("hello")
            with pytest.raises(DeadlineError, match="did not answer in time"):
                list(client.stream("hello"))
            with pytest.raises(DeadlineError, match="said nothing"):
                next(client.events())


def test_an_answer_that_hangs_runs_into_the_deadline_of_its_call(client: Client) -> None:
    with pytest.raises(DeadlineError, match="timeout"):
        client.ask("hang", timeout_s=0.2)


def test_a_daemon_that_comes_back_is_found_again(serve: Callable[..., Peer], folder: Path) -> None:
    first = serve(folder / "s")
    with Client(folder / "s", timeout_s=5) as client:
        client.ask("one")
        first.stop()
        with pytest.raises(DaemonDownError):
            client.ask("two")
        serve(folder / "s")
        deadline = time.monotonic() + 5
        while True:
            try:
                assert client.ask("three").text == "said three"
                break
            except (DaemonDownError, UnavailableError):
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_socket_path_with_odd_characters_is_reached(serve: Callable[..., Peer], folder: Path) -> None:
    path = folder / "ä b%20?#"
    serve(path)
    with Client(path) as client:
        assert client.ask("hello").text == "said hello"


# --- Uploads and downloads -------------------------------------------------------------------------------------------


def test_install_sends_the_manifest_first_and_every_byte_in_chunks(client: Client, peer: Peer, bundle: Path) -> None:
    steps: list[int] = []
    last = client.fleet.install(bundle, lambda step: steps.append(step.state))
    assert last.state == fleet.STATE_SERVING
    assert steps == [fleet.STATE_LOADING, fleet.STATE_SERVING]
    assert next(iter(peer.files)) == "expert.toml"
    assert peer.files == {
        path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()
    }
    assert peer.largest == 256 * 1024


def test_a_bundle_that_fails_its_examination_raises_with_the_reason(client: Client, bundle: Path) -> None:
    (bundle / "expert.toml").write_text("fail")
    with pytest.raises(FailedPreconditionError, match="golden 3"):
        client.fleet.install(bundle)


def test_a_bundle_that_is_refused_midway_gives_the_daemons_words(client: Client, bundle: Path) -> None:
    (bundle / "refused.bin").write_bytes(b"x" * 3_000_000)
    with pytest.raises(InvalidError, match="not in the manifest") as caught:
        client.fleet.install(bundle)
    assert caught.value.reason == "BAD_BUNDLE"


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda folder: (folder / "expert.toml").unlink(), "holds no expert.toml"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "is a link"),
        (lambda folder: os.mkfifo(folder / "pipe"), "is not a plain file"),
        (lambda folder: folder.rename(folder.with_name("gone")), "is not a folder"),
    ],
)
def test_what_is_not_a_bundle_is_refused_before_sending(
    client: Client, peer: Peer, bundle: Path, spoil: Callable[[Path], object], rule: str
) -> None:
    spoil(bundle)
    with pytest.raises(InputError, match=rule):
        client.fleet.install(bundle)
    assert not peer.files


def test_a_file_that_vanishes_while_it_is_sent_is_told_and_nothing_is_printed(
    client: Client, bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    honest = fleet_module._chunks

    def vanishing(path: Path) -> Iterator[bytes]:
        if path.name == "weights.bin":
            path.unlink()
        return honest(path)

    monkeypatch.setattr(fleet_module, "_chunks", vanishing)
    with pytest.raises(InputError, match=r"weights\.bin cannot be read"):
        client.fleet.install(bundle)
    assert "Traceback" not in capfd.readouterr().err


def test_an_install_that_ends_on_trial_has_not_failed(client: Client, bundle: Path) -> None:
    (bundle / "expert.toml").write_text("canary")
    assert client.fleet.install(bundle).state == fleet.STATE_CANARY


def test_a_policy_is_sent_whole_and_none_asks_for_the_default(client: Client, peer: Peer) -> None:
    policy = fleet.Policy(shadow_requests=5, canary_share=0.1, canary_requests=7, margin=0.02)
    assert client.fleet.set_policy("spam", policy).policy == policy
    assert client.fleet.set_policy("spam", None).policy == fleet.Policy(margin=0.05)


def test_the_overview_has_the_experts_and_their_memory(client: Client, peer: Peer) -> None:
    assert client.fleet.overview().memory.budget_bytes == 7
    assert [expert.name for expert in client.fleet.list()] == ["spam"]


def test_an_install_that_falls_silent_is_given_up(
    client: Client, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "PATIENCE_S", 0.3)
    (bundle / "expert.toml").write_text("hang")
    with pytest.raises(DeadlineError, match=r"said nothing for 0\.3 s"):
        client.fleet.install(bundle)


def test_patience_is_not_lost_while_the_caller_is_busy(
    client: Client, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "PATIENCE_S", 0.2)
    assert client.fleet.install(bundle, lambda step: time.sleep(0.4)).state == fleet.STATE_SERVING


def test_adopt_sends_a_gguf_file_with_progress(client: Client, peer: Peer, tmp_path: Path) -> None:
    content = b"GGUF" + os.urandom(700_000)
    (tmp_path / "small.gguf").write_bytes(content)
    told: list[tuple[int, int]] = []
    model = client.fleet.adopt(tmp_path / "small.gguf", "qwen", lambda sent, size: told.append((sent, size)))
    assert model.name == "qwen"
    assert peer.adopted == content
    assert told[-1] == (len(content), len(content))


@pytest.mark.parametrize(("content", "rule"), [(b"PK\x03\x04", "not a GGUF"), (b"", "not a GGUF"), (None, "read")])
def test_adopt_refuses_what_is_not_gguf(client: Client, tmp_path: Path, content: bytes | None, rule: str) -> None:
    if content is not None:
        (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(InputError, match=rule):
        client.fleet.adopt(tmp_path / "m.gguf")


def test_pull_tells_how_far_it_is(client: Client) -> None:
    told: list[int] = []
    assert client.fleet.pull("qwen", lambda step: told.append(step.model.present_bytes)).present_bytes == 100
    assert told == [0, 50, 100]


# --- Documents and series --------------------------------------------------------------------------------------------


def test_a_document_is_read_from_its_path(client: Client, peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "note.md").write_bytes("\ufeff# größe".encode())
    client.ask("summarise this", document=tmp_path / "note.md")
    assert peer.asked[0].input.document == assistant.Document(
        name="note.md", media_type="text/markdown", text="# größe"
    )


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"abc\xff", "not UTF-8 text at byte 3"), (b"x" * 1_000_001, "at most 1,000,000"), (b"x" * 4_000_001, "longer")],
)
def test_a_document_that_cannot_be_sent_is_refused(client: Client, tmp_path: Path, content: bytes, rule: str) -> None:
    (tmp_path / "d").write_bytes(content)
    with pytest.raises(InputError, match=rule):
        client.ask("summarise this", document=tmp_path / "d")


@pytest.mark.parametrize(
    ("values", "rule"),
    [([], "empty"), ([1.0, float("inf")], "value 1 .* infinite"), ((1.0 for _ in range(10_000_000)), "1,000,000")],
)
def test_a_series_that_breaks_a_rule_is_refused(client: Client, peer: Peer, values: object, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        client.ask("forecast", series=values)  # type: ignore[arg-type]
    assert not peer.asked


@pytest.mark.parametrize("schema", [{"type": {1, 2}}, {"default": b"bytes"}, "\udcff"])
def test_a_schema_that_is_no_json_is_refused(client: Client, peer: Peer, schema: str | dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the schema"):
        client.ask("fill this in", schema=schema)
    assert not peer.asked


def csv(text: str, column: str = ""):
    return read_series(io.BytesIO(text.encode()), "load.csv", column)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1\n2\n3\n", [1, 2, 3]),
        ("load\n1\n2\n", [1, 2]),
        ("\ufeffload\r\n1\r\n2\r\n", [1, 2]),  # byte order mark, Windows line ends
        ("name,load\na,1\nb,2\n", [1, 2]),
        ("name;load\na;1,5\nb;2.5\n", [1.5, 2.5]),  # semicolons, decimal comma
        ("a\tb\nx\t1\ny\t2\n", [1, 2]),
        (",load\n0,7\n1,8\n", [7, 8]),  # row numbers without a name
        ("timestamp,load\n1700000000,7\n1700003600,8\n", [7, 8]),
        ('"lo,ad"\n1\n', [1]),
        ("5", [5]),
        ("load\n1e3\n-2\n", [1000, -2]),
        ("1\n2\n\n\n", [1, 2]),
        ("id,temp,hum\n4,7,1\n9,8,1\n", [7, 8]),  # row numbers by their name
        ("t\tv\n0\t7\n5\t9\n6\t8\n", [7, 9, 8]),
        ("time,load\n0,7\n1,8\n", [7, 8]),  # too small for seconds since 1970
        ("10,7\n20,9\n30,8\n", [7, 9, 8]),  # rises by one step
        ("10,7\n20,9\n40,8\n", [10, 20, 40]),
        ("id\n1\n2\n3\n", [1, 2, 3]),  # nothing else is there
        ('"1,059"\n"2,001,000.5"\n', [1059, 2001000.5]),  # thousands
        ("a;b\nx;1.059,5\ny;2,5\n", [1059.5, 2.5]),
    ],
)
def test_the_first_column_of_numbers_is_read(text: str, values: list[float]) -> None:
    assert list(csv(text).series.values) == values


def test_gaps_are_kept_as_nan() -> None:
    values = list(
        csv("time,load\n2026-01-01,1\n2026-01-02,\n2026-01-03,NaN\n2026-01-04,n/a\n2026-01-05,5\n").series.values
    )
    assert [value if value == value else None for value in values] == [1, None, None, None, 5]


def test_a_blank_line_in_a_single_column_is_a_gap() -> None:
    values = list(csv("1\n\n3\n").series.values)
    assert values[0] == 1
    assert values[1] != values[1]
    assert values[2] == 3


@pytest.mark.parametrize(("column", "values"), [("b", [3, 4]), ("B", [3, 4]), ("3", [3, 4]), ("a", [1, 2])])
def test_a_column_is_chosen_by_name_or_number(column: str, values: list[float]) -> None:
    assert list(csv("x,a,b\np,1,3\nq,2,4\n", column).series.values) == values


@pytest.mark.parametrize(
    ("text", "column", "rule"),
    [
        ("", "", "is empty"),
        ("load\n", "", "no column holds numbers"),
        ("a,b\nx,y\n", "", "no column holds numbers"),
        ("load\n\n\n", "", "no column holds numbers"),
        ("nan\nnan\n", "", "no column holds numbers"),
        ("load\n1\nmany\n", "", r'line 3: "many" in column "load" is not a number'),
        ("load\n1\n1_000\n", "", "line 3"),
        ("load\n1\ninf\n", "", "line 3: infinite"),
        ("a,b\n1,2\n3\n", "", "line 3: 1 cells where the first row has 2"),
        ("a,b\n1,2\n3,4,5\n", "", "line 3: 3 cells"),
        ("a,b\n1,2\n\n3,4\n", "", "line 3: 1 cells"),
        ("load,cost\n1,2\n", "laod", 'did you mean "load"'),
        ("load\n1\n", "7", "no column"),
        ("time,load\n2026-01-01,1\nsoon,2\n", "", 'line 3: "soon" is not an ISO 8601 time'),
        ("time,load\n2026-01-02,1\n2026-01-01,2\n", "", "line 3: .* sort the rows"),
        ("time,load\n2026-01-01,1\n2026-01-01,2\n", "", "line 3: .* comes twice"),
        ("time,load\n2026-01-01T00:00,1\n2026-01-01T01:00Z,2\n", "", "some times have a zone"),
        (
            "time,load\n2026-01-01T00:00,1\n2026-01-01T01:00,2\n2026-01-01T02:00,3\n2026-01-01T02:25,4\n",
            "",
            "line 5: .* comes 0:25:00 after the row before, where 1:00:00 is usual",
        ),
    ],
)
def test_a_file_that_could_only_be_guessed_at_is_refused_with_its_line(text: str, column: str, rule: str) -> None:
    with pytest.raises(InputError, match=rule) as caught:
        csv(text, column)
    assert str(caught.value).startswith("load.csv")


def test_a_file_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        read_series(io.BytesIO(b"gr\xf6\xdfe\n1\n"), "load.csv")


def test_ten_million_rows_are_refused_after_the_first_row_too_many() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            line = b"1.5\n" * (len(buffer) // 4)
            buffer[: len(line)] = line
            self.given += len(line)
            return len(line)

    endless = Endless()
    with pytest.raises(InputError, match="more than 1,000,000 rows"):
        read_series(io.BufferedReader(endless), "load.csv")
    assert endless.given < 4_200_000


def test_times_give_start_and_step() -> None:
    series = csv("time,load\n2026-03-01T00:00Z,1\n2026-03-01T00:15Z,2\n2026-03-01T00:30Z,3\n").series
    assert series.start.ToDatetime(tzinfo=UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert series.step.ToTimedelta() == timedelta(minutes=15)


@pytest.mark.parametrize("title", ["ts", "time", "timestamp", "unix", "epoch"])
@pytest.mark.parametrize("unit", ["", "000"])
def test_seconds_and_milliseconds_since_1970_give_start_and_step(title: str, unit: str) -> None:
    reading = csv(f"{title},v\n1772323200{unit},7\n1772326800{unit},9\n1772330400{unit},8\n")
    assert list(reading.series.values) == [7, 9, 8]
    assert reading.series.start.ToDatetime(tzinfo=UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert reading.series.step.ToTimedelta() == timedelta(hours=1)
    assert not reading.notes


def test_days_written_day_first_give_start_and_step() -> None:
    series = csv("day;load\n1.03.2026;1\n02.03.2026;2\n03.03.2026;3\n").series
    assert series.step.ToTimedelta() == timedelta(days=1)
    assert csv("1.03.2026 9:00,1\n1.03.2026 09:30,2\n").series.step.ToTimedelta() == timedelta(minutes=30)


def test_a_year_and_month_is_a_time() -> None:
    assert "calendar" in csv("month,load\n1950-01,1\n1950-02,2\n1950-03,3\n").notes[0]


@pytest.mark.parametrize("text", ["date,load\n11/21/2026,1\n11/22/2026,2\n", "time,load\n0,7\n1,8\n"])
def test_times_that_are_not_understood_are_told(text: str) -> None:
    assert "were not understood, steps are counted" in csv(text).notes[-1]


def test_which_column_was_taken_of_several_is_told() -> None:
    text = "id,temp,hum\n4,7,1\n9,8,1\n"
    assert csv(text).notes == ('load.csv: took column "temp"; name another to take it instead (--column): "id", "hum"',)
    assert not csv(text, "hum").notes


def test_missing_rows_become_gaps_and_are_told() -> None:
    reading = csv("time,load\n2026-03-01,1\n2026-03-02,2\n2026-03-05,5\n2026-03-06,6\n")
    assert [value if value == value else None for value in reading.series.values] == [1, 2, None, None, 5, 6]
    assert reading.series.step.ToTimedelta() == timedelta(days=1)
    assert "2 missing rows" in reading.notes[0]


@pytest.mark.parametrize("days", [("01-01", "02-01", "03-01", "04-01"), ("01-31", "02-28", "03-31", "04-30")])
def test_months_are_sent_without_times_and_that_is_told(days: tuple[str, ...]) -> None:
    reading = csv("time,load\n" + "".join(f"2026-{day},{index}\n" for index, day in enumerate(days)))
    assert list(reading.series.values) == [0, 1, 2, 3]
    assert not reading.series.HasField("step")
    assert "calendar" in reading.notes[0]


def test_local_times_are_counted_back_from_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Berlin moves its clocks between the rows: what comes next is placed by the last of them."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        series = csv("time,load\n2026-03-28,1\n2026-03-29,2\n2026-03-30,3\n").series
    finally:
        monkeypatch.undo()
        time.tzset()
    last = series.start.ToDatetime(tzinfo=UTC) + 2 * series.step.ToTimedelta()
    assert last == datetime(2026, 3, 29, 22, tzinfo=UTC)


def test_the_stream_stays_open_for_its_owner() -> None:
    stream = io.BytesIO(b"1\n2\n")
    read_series(stream)
    assert not stream.closed


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1, max_size=50))
def test_what_is_written_is_read_back(values: list[float]) -> None:
    text = "load\n" + "".join(f"{value!r}\n" for value in values)
    if all(value != value for value in values):
        with pytest.raises(InputError):
            csv(text)
        return
    assert [repr(value) for value in csv(text).series.values] == [repr(value) for value in values]


# --- Where the daemon is ---------------------------------------------------------------------------------------------


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    for name in ("EXPERTD_SOCKET", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wire, "SYSTEM_SOCKET", folder / "system.sock")
    return folder


def test_the_environment_names_the_socket(bare_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(bare_environment))
    assert default_socket() == bare_environment / "expertd" / "expertd.sock"
    monkeypatch.setenv("EXPERTD_SOCKET", "here.sock")
    assert default_socket() == Path.cwd() / "here.sock"


def test_the_systems_socket_is_used_only_where_the_users_is_missing(
    bare_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(bare_environment))
    (bare_environment / "system.sock").touch()
    assert default_socket() == bare_environment / "system.sock"
    own = bare_environment / "expertd" / "expertd.sock"
    own.parent.mkdir()
    own.touch()
    assert default_socket() == own


def test_a_shared_folder_is_used_only_if_it_is_the_users_alone(
    bare_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = 4_000_000_000 + os.getpid() % 1_000_000  # nobody's: neither folder exists
    monkeypatch.setattr(os, "getuid", lambda: user)
    folder = Path(f"/tmp/expertd-{user}")
    assert default_socket() == folder / "expertd.sock"
    folder.mkdir(mode=0o700)
    try:
        with pytest.raises(DaemonDownError, match="not a folder of yours alone"):
            default_socket()  # it is another user's
    finally:
        folder.rmdir()


@pytest.mark.parametrize("named", [None, "", "here.sock", "/abs/x.sock"])
@pytest.mark.parametrize("runtime", [None, "", "relative", "/run/user/77", "/tmp"])
@pytest.mark.usefixtures("bare_environment")
def test_client_and_daemon_go_by_the_same_rule(
    monkeypatch: pytest.MonkeyPatch, named: str | None, runtime: str | None
) -> None:
    for name, value in (("EXPERTD_SOCKET", named), ("XDG_RUNTIME_DIR", runtime)):
        if value is not None:
            monkeypatch.setenv(name, value)
    environment = {name: os.environ[name] for name in ("EXPERTD_SOCKET", "XDG_RUNTIME_DIR") if name in os.environ}
    assert default_socket() == config.default_socket(environment)


def test_an_open_folder_under_tmp_is_refused(folder: Path) -> None:
    folder.chmod(0o700)
    wire._refuse_foreign(folder)
    wire._refuse_foreign(folder / "missing")
    folder.chmod(0o755)
    with pytest.raises(DaemonDownError, match="mode 0755"):
        wire._refuse_foreign(folder)
    folder.chmod(0o700)
    (folder / "link").symlink_to(folder)
    with pytest.raises(DaemonDownError):
        wire._refuse_foreign(folder / "link")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_client_needs_grpcio_and_protobuf_alone() -> None:
    code = """
import sys
for name in ("click", "rich", "google.rpc", "numpy", "msgspec", "yaml"):
    sys.modules[name] = None
import expertd.client
foreign = {name.split(".")[0] for name in sys.modules} & {"onnxruntime", "psutil", "tokenizers", "apscheduler"}
assert not foreign, foreign
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
