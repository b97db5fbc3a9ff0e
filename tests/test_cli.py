"""expertctl against a real gRPC server on a real Unix socket: in this process, in others, on a terminal."""

# ruff: noqa: N802, the contract names its methods so

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from expertd.client.cli import command_line
from expertd.client.plot import plot
from expertd.client.render import number, percent, size, span, trace_row
from expertd.client.terminal import plain
from expertd.v1 import assistant_pb2 as assistant
from expertd.v1 import fleet_pb2 as fleet
from expertd.v1.assistant_pb2_grpc import AssistantServicer, add_AssistantServicer_to_server
from expertd.v1.fleet_pb2_grpc import FleetServicer, add_FleetServicer_to_server

EXPERTCTL = Path(sys.executable).with_name("expertctl")
EVIL = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]52;c;ZXZpbA==\x1b\\bell\x07 back\x08 \x9b2J\u202efdp.exe\r"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
GGUF = b"GGUF" + bytes(600_000)


class Simulator(AssistantServicer, FleetServicer):
    """Both services in memory: a handful of experts with versions, one model, traces, and answers by keyword."""

    def __init__(self) -> None:
        self.asked: list[assistant.Input] = []
        self.contexts: list[assistant.Context] = []
        self.verdicts: dict[str, assistant.FeedbackRequest] = {}
        self.checks = [fleet.GetStatusResponse.Check(name="trunk", level="LEVEL_OK", message="loaded")]
        self.experts = {
            name: fleet.Expert(
                name=name,
                summary=summary,
                kind=kind,
                serving_version=1,
                availability=availability,
                reason=reason,
                resident_bytes=1_500_000,
                requests=1234,
                p50={"nanos": 850_000},
                intents=["create", "cancel"],
                versions=[fleet.Version(version=1, state="STATE_SERVING", disk_bytes=2048)],
            )
            for name, summary, kind, availability, reason in (
                ("timers", "timers and alarms", "skill", "AVAILABILITY_READY", ""),
                ("spam", "is it spam", "linear", "AVAILABILITY_READY", ""),
                ("text", "writes", "gguf", "AVAILABILITY_DOWNLOADABLE", "run `expertctl models pull small`"),
            )
        }
        self.model = fleet.Model(
            name="small", availability="AVAILABILITY_DOWNLOADABLE", size_bytes=1000, licence="MIT", experts=["text"]
        )
        self.pulled_to = 1000
        self.received = 0

    # --- Assistant

    def Ask(self, request, context):
        self._note(request)
        answer = self._answer(request.input, context)
        answer.decision.CopyFrom(self._decision(request.input.text))
        return assistant.AskResponse(answer=answer)

    def AskStream(self, request, context):
        self._note(request)
        yield assistant.AskStreamResponse(decision=self._decision(request.input.text))
        if request.input.text == "tell":
            for word in ("one ", "two ", "three"):
                yield assistant.AskStreamResponse(delta=word)
        if request.input.text in {"break", "hang"}:
            yield assistant.AskStreamResponse(delta="it begins")
        if request.input.text == "mend":
            yield assistant.AskStreamResponse(delta="wrong")
        if request.input.text == "two":
            for word in ("Timer ", "set.", "\n", '"what" was not answered: no key'):
                yield assistant.AskStreamResponse(delta=word)
        answer = self._answer(request.input, context)
        answer.decision.CopyFrom(self._decision(request.input.text))
        yield assistant.AskStreamResponse(answer=answer)

    def Invoke(self, request, context):
        self._note(request)
        self._known(request.expert, context)
        answer = self._answer(request.input, context)
        answer.decision.verdict = assistant.Decision.VERDICT_INVOKED
        return assistant.InvokeResponse(answer=answer)

    def Route(self, request, context):
        decision = self._decision(request.text)
        if not request.explain or "older" in request.text:
            return assistant.RouteResponse(decision=decision)
        told = explanation(request.text)
        told.parts.extend(explanation(part.text) for part in decision.parts)
        return assistant.RouteResponse(decision=decision, explanation=told)

    def Events(self, request, context):
        yield assistant.EventsResponse(time=START, subscribed=assistant.EventsResponse.Subscribed())
        fired = assistant.Fired(id="1", kind="timer", name="tea", text="tea is ready", late={"seconds": 90})
        yield assistant.EventsResponse(time=START, fired=fired)
        changed = assistant.ExpertChanged(expert="spam", version=2, state="FAILED", reason=f"golden 3{EVIL}")
        yield assistant.EventsResponse(time=START, expert_changed=changed)

    def Feedback(self, request, context):
        self.verdicts[request.trace_id] = request
        return assistant.FeedbackResponse()

    def _note(self, request) -> None:
        self.asked.append(request.input)
        self.contexts.append(request.context)

    def _decision(self, text: str) -> assistant.Decision:
        if text == "two":
            decision = assistant.Decision(verdict="VERDICT_COMPOUND", confidence=0.974, reason="2 requests in one")
            decision.parts.add(text="set a timer", decision=self._decision("wake me"))
            what = decision.parts.add(text="what is it", reference="it", decision=self._decision("Hanse"))
            what.antecedent = 0
            return decision
        if "spät" in text:
            why = "written in German; the experts here speak English"
            return assistant.Decision(verdict="VERDICT_TITAN", tier="TIER_STATIC", reason=why, language="de")
        verdict = "VERDICT_TITAN" if "Hanse" in text else "VERDICT_ROUTED"
        return assistant.Decision(
            verdict=verdict,
            expert="timers",
            intent="create",
            confidence=0.974,
            tier="TIER_ENCODER",
            reason="far above its threshold",
            view=7,
            alternatives=[assistant.Decision.Alternative(expert="spam", intent="check", confidence=0.02)],
        )

    def _answer(self, given: assistant.Input, context) -> assistant.Answer:
        answer = assistant.Answer(
            expert="timers", version=1, trace_id="01JTRACE", timings={"total": {"nanos": 2_100_000}}, text=given.text
        )
        match given.text:
            case "tell":
                answer.text = "one two three"
            case "mend":
                answer.text = "right"
            case "two":
                answer.text, answer.expert, answer.version = 'Timer set.\n"what" was not answered: no key', "", 0
                first = answer.parts.add(text="Timer set.", expert="timers", version=1, trace_id="01JFIRST")
                first.decision.CopyFrom(self._decision("wake me"))
                second = answer.parts.add(text='"what" was not answered: no key', expert="titan", trace_id="01JSECOND")
                second.outcome, second.reason = assistant.Answer.OUTCOME_FAILED, "TITAN_NO_KEY"
            case "evil":
                answer.text = EVIL
            case "wide":
                answer.text = "日本語のテキスト 🎉"
            case "spam?":
                answer.text = "spam"
                answer.label.label = "spam"
                answer.label.probability = 0.93
                answer.label.probabilities.update({"spam": 0.93, "ham": 0.07})
            case "forecast":
                answer.text = "rising"
                answer.forecast.CopyFrom(rising(given.series.values[-1], START))
            case "titan":
                refuse(context, grpc.StatusCode.UNAVAILABLE, "no titan: no key; set OPENAI_API_KEY", "NO_TITAN")
            case "bad":
                refuse(context, grpc.StatusCode.INVALID_ARGUMENT, f"31 February{EVIL}; mend it", "NO_SUCH_DAY")
            case "break":
                refuse(context, grpc.StatusCode.UNAVAILABLE, "the worker is gone; try again", "WORKER_DIED")
            case "slow":
                refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded", "DEADLINE")
            case "hang":
                while context.is_active():
                    time.sleep(0.01)
        return answer

    # --- Fleet

    def _known(self, name: str, context) -> fleet.Expert:
        if name not in self.experts:
            refuse(context, grpc.StatusCode.NOT_FOUND, f'no expert "{name}"; did you mean "spam"?', "UNKNOWN_EXPERT")
        return self.experts[name]

    def ListExperts(self, request, context):
        return fleet.ListExpertsResponse(experts=self.experts.values())

    def GetExpert(self, request, context):
        card = f"# Card\n\nSee [here](https://example.org/card) and **bold**.{EVIL}\n"
        return fleet.GetExpertResponse(expert=self._known(request.name, context), card=card)

    def Install(self, request_iterator, context):
        manifest = b""
        for part in request_iterator:
            self.received += len(part.data)
            manifest = manifest or part.data
        if b"serves already" in manifest:
            yield fleet.InstallResponse(message="verifying")
            return
        while b"slow" in manifest and context.is_active():
            yield fleet.InstallResponse(message="verifying")
            time.sleep(0.05)
        for state in ("STATE_LOADING", "STATE_WARMING"):
            yield fleet.InstallResponse(expert="spam", version=2, state=state)
        if b"broken" in manifest:
            message = "spam 2: golden 3 failed"
            yield fleet.InstallResponse(expert="spam", version=2, state="STATE_FAILED", message=message)
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "spam 2: golden 3 failed", "GOLDEN_FAILED")
        self._serve("spam", 2)
        yield fleet.InstallResponse(expert="spam", version=2, state="STATE_SERVING", message="serves")

    def Promote(self, request, context):
        self._known(request.name, context)
        return fleet.PromoteResponse(expert=self._serve(request.name, request.version))

    def Rollback(self, request, context):
        expert = self._known(request.name, context)
        if expert.serving_version == 1:
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "nothing to roll back to", "NOTHING_TO_ROLL_BACK_TO")
        return fleet.RollbackResponse(expert=self._serve(request.name, 1))

    def Pin(self, request, context):
        expert = self._known(request.name, context)
        expert.pinned = request.pinned
        return fleet.PinResponse(expert=expert)

    def Unload(self, request, context):
        expert = self._known(request.name, context)
        expert.resident_bytes = 0
        return fleet.UnloadResponse(expert=expert)

    def Remove(self, request, context):
        self._known(request.name, context)
        del self.experts[request.name]
        return fleet.RemoveResponse()

    def Watch(self, request, context):
        for expert in self.experts.values():
            yield fleet.WatchResponse(expert=expert)
        yield fleet.WatchResponse(expert=fleet.Expert(name="old"), removed=True)

    def ListModels(self, request, context):
        return fleet.ListModelsResponse(models=[self.model])

    def PullModel(self, request, context):
        if request.name != self.model.name:
            refuse(context, grpc.StatusCode.NOT_FOUND, f"no model {request.name}", "UNKNOWN_MODEL")
        for present in range(0, self.pulled_to + 1, 100):
            self.model.present_bytes = present
            yield fleet.PullModelResponse(model=self.model, message="downloading")
        while self.pulled_to < 1000 and context.is_active():
            time.sleep(0.01)
        self.model.availability = fleet.AVAILABILITY_READY
        yield fleet.PullModelResponse(model=self.model, message="checked")

    def AdoptModel(self, request_iterator, context):
        next(request_iterator)
        self.received = sum(len(part.data) for part in request_iterator)
        self.model.availability = fleet.AVAILABILITY_READY
        return fleet.AdoptModelResponse(model=self.model)

    def ListTraces(self, request, context):
        traces = [
            fleet.Trace(
                id=f"01J{index}",
                time=START,
                verdict="routed",
                expert=expert,
                version=1,
                confidence=0.9,
                outcome="answered",
                text=f"wake\nme{EVIL}",
            )
            for index, expert in enumerate(["timers", "spam", "timers"])
        ]
        chosen = [trace for trace in traces if request.expert in {"", trace.expert} and request.id in {"", trace.id}]
        return fleet.ListTracesResponse(traces=chosen[: request.limit])

    def GetStatus(self, request, context):
        return fleet.GetStatusResponse(checks=self.checks, version="0.1.0", pid=42, started=START)

    def _serve(self, name: str, version: int) -> fleet.Expert:
        expert = self.experts[name]
        del expert.versions[:]
        for each in sorted({1, version}):
            state = "STATE_SERVING" if each == version else "STATE_RETIRED"
            expert.versions.append(fleet.Version(version=each, state=state))
        expert.serving_version = version
        return expert


def rising(last: float, start: datetime | None = None, steps: int = 24) -> assistant.Forecast:
    forecast = assistant.Forecast(levels=[0.1, 0.5, 0.9], method="drift", step=timedelta(hours=1), start=start)
    for spread in (-1, 0, 1):
        values = [last + step + spread * (step + 1) / 2 for step in range(1, steps + 1)]
        forecast.quantiles.append(assistant.Forecast.Quantile(values=values))
    return forecast


def explanation(text: str) -> assistant.Explanation:
    told = assistant.Explanation(
        text=text, in_scope=0.98, least_in_scope=0.2, rival=0.01, clarify_from=0.25, language={"code": "en"}
    )
    told.language.probability = told.language.english = 0.99
    told.tiers.add(tier="TIER_EXACT", asked=True, needed=1, note="not a sentence that was seen before")
    told.tiers.add(tier="TIER_STATIC", asked=True, confidence=0.61, needed=0.9, in_scope=0.8, note="61 %, 90 % needed")
    told.tiers.add(tier="TIER_ENCODER", asked=True, answered=True, confidence=0.974, needed=0.2, in_scope=0.98)
    told.neighbours.add(expert="timers", intent="create", sentence=f"wake me up{EVIL}", similarity=0.87)
    told.signals.add(name="energy of the experts", value=4.25, weight=3.5)
    told.others.add(expert="spam", intent="check", confidence=0.02, why="2 % against 97 %")
    return told


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, text: str, reason: str) -> None:
    status = status_pb2.Status(code=code.value[0], message=text)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="expertd"))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, text)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="expertd-") as name:
        yield Path(name)


@pytest.fixture
def daemon(folder: Path) -> Iterator[Simulator]:
    server, simulator = grpc.server(futures.ThreadPoolExecutor(8)), Simulator()
    add_AssistantServicer_to_server(simulator, server)
    add_FleetServicer_to_server(simulator, server)
    server.add_insecure_port(f"unix:{folder / 's'}")
    server.start()
    yield simulator
    server.stop(0).wait()


@pytest.fixture
def run(folder: Path) -> Callable[..., Result]:
    """expertctl in this process, as on a pipe."""

    def call(*arguments: str, stdin: bytes | str | None = None) -> Result:
        command = ["--socket", str(folder / "s"), *arguments]
        return CliRunner().invoke(command_line(), command, input=stdin, prog_name="expertctl", catch_exceptions=False)

    return call


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM", "COLUMNS"}}
    path = f"{EXPERTCTL.parent}:{kept['PATH']}"
    return kept | {"EXPERTD_SOCKET": str(folder / "s"), "PATH": path, "TERM": "xterm-256color", "TZ": "UTC"}


@pytest.fixture
def load(tmp_path: Path) -> Path:
    rows = [f"{(START - timedelta(hours=47 - hour)).isoformat()},{hour % 24}" for hour in range(48)]
    path = tmp_path / "load.csv"
    path.write_text("time,load\n" + "\n".join(rows) + "\n")
    return path


def on_a_terminal(arguments: list[str], environment: dict[str, str], columns: int = 100) -> tuple[str, int]:
    """What expertctl writes on a terminal of its own, and its exit code."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen([EXPERTCTL, *arguments], stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    written = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the last writer has closed its end
            break
        written += chunk
    os.close(ours)
    return written.decode(errors="replace"), process.wait(30)


def without_style(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# --- ask -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
def test_an_answer_on_a_pipe_is_its_text_alone(run: Callable[..., Result]) -> None:
    result = run("ask", "wake", "me", "at", "7")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "wake me at 7\n", "")


@pytest.mark.usefixtures("daemon")
def test_a_streamed_answer_is_printed_once(run: Callable[..., Result]) -> None:
    assert run("ask", "tell").stdout == "one two three\n"


@pytest.mark.usefixtures("daemon")
def test_an_answer_that_differs_from_what_was_told_is_printed_whole(run: Callable[..., Result]) -> None:
    assert run("ask", "mend").stdout == "wrong\n\nright\n"


@pytest.mark.usefixtures("daemon")
def test_a_stream_that_breaks_leaves_what_came_and_says_why(run: Callable[..., Result]) -> None:
    result = run("ask", "break")
    assert result.exit_code == 4
    assert result.stdout == "it begins\n"
    assert "the worker is gone; try again" in result.stderr


def test_ask_sends_series_document_session_and_the_wish_to_stay_local(
    daemon: Simulator, run: Callable[..., Result], load: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("grüße")
    options = ["--series", str(load), "--file", str(tmp_path / "notes.txt"), "--session", "s1", "--local-only"]
    assert run("ask", "hello", *options).exit_code == 0
    assert list(daemon.asked[0].series.values) == [hour % 24 for hour in range(48)]
    assert daemon.asked[0].series.step.ToTimedelta() == timedelta(hours=1)
    assert daemon.asked[0].document.text == "grüße"
    assert daemon.contexts[0] == assistant.Context(app="expertctl", session="s1", local_only=True)


def test_series_and_documents_come_from_standard_input(daemon: Simulator, run: Callable[..., Result]) -> None:
    run("ask", "hello", "--series", "-", "--column", "b", stdin="a,b\n1,2\n3,4\n")
    assert list(daemon.asked[0].series.values) == [2, 4]
    run("ask", "hello", "--file", "-", stdin="a note\n")
    assert daemon.asked[1].document.text == "a note\n"


@pytest.mark.usefixtures("daemon")
def test_json_is_one_document_with_the_contracts_names(run: Callable[..., Result]) -> None:
    for arguments in (("ask", "--json", "spam?"), ("--json", "ask", "spam?")):
        answer = json.loads(run(*arguments).stdout)
        assert answer["label"]["probabilities"] == {"spam": 0.93, "ham": 0.07}
        assert answer["trace_id"] == "01JTRACE"
        assert answer["decision"]["tier"] == "TIER_ENCODER"


@pytest.mark.usefixtures("daemon")
def test_a_forecast_on_a_pipe_is_a_table_of_its_quantiles(run: Callable[..., Result], load: Path) -> None:
    lines = run("ask", "forecast", "--series", str(load)).stdout.splitlines()
    assert lines[0] == "rising"
    assert lines[1].split() == ["time", "0.1", "0.5", "0.9"]
    assert len(lines) == 2 + 24
    assert lines[2].split()[-3:] == ["23", "24", "25"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("", "is empty"),
        ("load\nmany\n", "no column holds numbers"),
        ("load\n1\nmany\n", "line 3"),
        ("a,b\n1,2\n3\n", "line 3"),
        ("time,load\n2026-01-01,1\n2026-01-02,2\n2026-01-02T05:00,3\n2026-01-03,3\n", "line 4"),
    ],
)
def test_a_file_that_cannot_be_a_series_is_refused_before_sending(
    daemon: Simulator, run: Callable[..., Result], tmp_path: Path, content: str, rule: str
) -> None:
    (tmp_path / "bad.csv").write_text(content)
    result = run("ask", "forecast", "--series", str(tmp_path / "bad.csv"))
    assert result.exit_code == 2
    assert "bad.csv" in result.stderr
    assert rule in result.stderr
    assert not daemon.asked


def test_missing_rows_are_filled_with_a_note(daemon: Simulator, run: Callable[..., Result]) -> None:
    text = "time,load\n2026-01-01,1\n2026-01-02,2\n2026-01-04,4\n"
    result = run("ask", "hello", "--series", "-", stdin=text)
    assert "1 missing rows taken as gaps" in result.stderr
    assert len(daemon.asked[0].series.values) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "x", "--series", "-", "--file", "-"],
        ["ask", "x", "--column", "a"],
        ["ask", "x", "--series", "/nowhere.csv"],
        ["ask", "x", "--file", "/"],
        ["ask", "x", "--nonsense"],
        ["--timeout", "0", "ps"],
        ["route"],
        ["feedback", "01J", "soso"],
        ["promote", "spam", "zero"],
        ["promote", "spam", "0"],
        ["install", "/nowhere"],
        ["models", "adopt", "/nowhere.gguf"],
        ["completion", "tcsh"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(daemon: Simulator, run: Callable[..., Result], arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert not daemon.asked


# --- What may go wrong -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ask", "bad"], 1, "31 February"),
        (["rollback", "spam"], 1, "nothing to roll back to"),
        (["ask", "titan"], 4, "set OPENAI_API_KEY"),
        (["invoke", "sapm", "x"], 5, 'did you mean "spam"?'),
        (["models", "pull", "huge"], 5, "no model huge"),
    ],
)
def test_a_refusal_says_why_and_has_its_exit_code(
    run: Callable[..., Result], arguments: list[str], code: int, words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stdout == ""
    as_json = run("--json", *arguments)
    assert as_json.exit_code == code
    assert words in json.loads(as_json.stderr)["message"]


@pytest.mark.parametrize("arguments", [["ask", "x"], ["ps"], ["events"], ["watch"], ["models", "pull", "small"]])
def test_a_daemon_that_is_down_exits_with_3_and_says_how_to_start_it(
    run: Callable[..., Result], folder: Path, arguments: list[str]
) -> None:
    result = run(*arguments)
    assert result.exit_code == 3
    assert str(folder / "s") in result.stderr
    assert "systemctl --user start expertd" in result.stderr
    (folder / "s").write_text("a plain file")
    result = run(*arguments)
    assert result.exit_code == 3
    assert "is not a socket" in result.stderr


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_hangs_is_given_up_after_the_timeout(run: Callable[..., Result]) -> None:
    result = run("--timeout", "0.3", "ask", "hang")
    assert result.exit_code == 4
    assert "--timeout" in result.stderr


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_answer_that_takes_too_long_is_told_with_the_time_allowed(
    run: Callable[..., Result], options: tuple[str, ...]
) -> None:
    result = run("--timeout", "1", *options, "ask", "slow")
    assert result.exit_code == 4
    assert "no answer within 1 s; allow more with --timeout" in result.stderr
    own = run("--timeout", "50", *options, "ask", "slow")
    assert "the daemon's own limit" in own.stderr


@pytest.mark.usefixtures("daemon")
def test_nothing_of_an_escape_sequence_reaches_the_terminal(
    run: Callable[..., Result], environment: dict[str, str], tmp_path: Path
) -> None:
    for arguments in (["ask", "evil"], ["ask", "bad"], ["show", "spam"], ["traces"], ["events"]):
        result = run(*arguments)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.output), arguments
        assert "ZXZpbA" not in result.output
        written, _ = on_a_terminal(arguments, environment)
        assert "\x1b]" not in written, arguments
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1a\x7f-\x9f\u202e]", written), arguments


@given(st.text(), st.text(alphabet="\x1b[]()0;1m\x07\\P\x9b\x9dAh \n\t", max_size=30))
def test_plain_text_holds_no_control_character_and_stays_as_it_is(text: str, noise: str) -> None:
    for given_text in (text, noise, text + noise + text):
        cleaned = plain(given_text)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", cleaned)
        assert plain(cleaned) == cleaned


def test_ordinary_text_of_any_script_is_left_alone() -> None:
    text = "naïve Ω 日本語 עברית العربية 👩‍👩‍👧 1 < 2 [bold]x[/bold]\n\ttab"
    assert plain(text) == text


# --- The fleet -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
def test_route_says_who_and_explains(run: Callable[..., Result]) -> None:
    assert run("route", "wake me").stdout == "timers create 97.4 % (encoder)\n"
    assert "titan (no expert fits; closest: timers" in run("route", "the Hanseatic League").stdout
    explained = run("route", "--explain", "wake me").stdout
    for word in ("routed", "far above its threshold", "spam", "check", "2 %"):
        assert word in explained


@pytest.mark.usefixtures("daemon")
def test_an_explanation_is_read_tier_by_tier(run: Callable[..., Result]) -> None:
    lines = [" ".join(line.split()) for line in run("route", "--explain", "wake me").stdout.splitlines()]
    for line in (
        "language en 99 %",
        "tier asked answered sure in scope needed why",
        "exact yes no seen before not a sentence that was seen before",
        "static yes no 61 % 80 % 90 % sure 61 %, 90 % needed",
        "encoder yes yes 97.4 % 98 % 20 % in scope",
        " ".join(f"wake me up{plain(EVIL)} timers create 0.87".split()),
        "energy of the experts 4.25 +3.50",
        "an expert can answer 98 % 20 % an expert",
        "share of the second expert 1 % 25 % no question",
        "spam check 2 % 2 % against 97 %",
    ):
        assert line in lines, lines


def test_an_explanation_on_a_terminal_is_whole(daemon: Simulator, environment: dict[str, str]) -> None:
    shown, code = on_a_terminal(["route", "--explain", "wake me"], environment, columns=80)
    shown = without_style(shown)
    assert code == 0
    for word in ("exact", "static", "encoder", "nearest sentence", "threshold", "why not", "2 % against 97 %"):
        assert word in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.usefixtures("daemon")
def test_an_explanation_is_given_whole_to_programs(run: Callable[..., Result]) -> None:
    response = json_format.Parse(run("route", "--explain", "--json", "wake me").stdout, assistant.RouteResponse())
    assert response.explanation == explanation("wake me")
    assert response.decision.expert == "timers"
    assert "explanation" not in json.loads(run("route", "--json", "wake me").stdout)


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_explains_nothing_still_offers_its_alternatives(run: Callable[..., Result]) -> None:
    lines = [" ".join(line.split()) for line in run("route", "--explain", "an older one").stdout.splitlines()]
    assert lines[-1] == "spam check 2 %"
    assert not any(line.startswith("threshold") for line in lines)


@pytest.mark.usefixtures("daemon")
def test_route_shows_every_part_and_what_it_points_back_to(run: Callable[..., Result]) -> None:
    assert run("route", "two").stdout.splitlines() == [
        "1. set a timer: timers create 97.4 % (encoder)",
        '2. what is it ("it": from 1): titan (no expert fits; closest: timers 97.4 %)',
    ]
    explained = run("route", "--explain", "two").stdout
    assert "compound" in explained
    assert explained.count("encoder  yes") == 2
    decision = json_format.Parse(run("route", "--json", "two").stdout, assistant.Decision())
    assert decision.parts[1].HasField("antecedent")
    assert not decision.parts[0].HasField("antecedent")


@pytest.mark.usefixtures("daemon")
def test_route_says_which_language_sends_a_request_away(run: Callable[..., Result]) -> None:
    told = "written in German; the experts here speak English"
    assert run("route", "wie spät ist es").stdout == f"titan ({told})\n"
    assert json.loads(run("route", "--json", "wie spät ist es").stdout)["language"] == "de"


@pytest.mark.usefixtures("daemon")
def test_every_part_is_answered_on_a_line_of_its_own(run: Callable[..., Result]) -> None:
    assert run("ask", "two").stdout == 'Timer set.\n"what" was not answered: no key\n'
    answer = json.loads(run("ask", "--json", "two").stdout)
    assert [part["trace_id"] for part in answer["parts"]] == ["01JFIRST", "01JSECOND"]
    assert (answer["parts"][1]["outcome"], answer["parts"][1]["reason"]) == ("OUTCOME_FAILED", "TITAN_NO_KEY")


@pytest.mark.usefixtures("daemon")
def test_on_a_terminal_every_part_says_who_answered_it(environment: dict[str, str]) -> None:
    shown, code = on_a_terminal(["ask", "two"], environment)
    assert code == 0
    assert without_style(shown).replace("\r", "").splitlines() == [
        "Timer set.",
        '"what" was not answered: no key',
        "1. timers 1 · encoder · 97.4 % · trace 01JFIRST",
        "2. titan · failed TITAN_NO_KEY · trace 01JSECOND",
    ]


@pytest.mark.usefixtures("daemon")
def test_ps_lists_every_expert_with_what_it_costs(run: Callable[..., Result]) -> None:
    lines = run("ps").stdout.splitlines()
    titles, spam = " ".join(lines[0].split()), " ".join(lines[1].split())
    assert titles == "expert version state kind available memory requests p50 in flight reason"
    assert spam == "spam 1 serving linear ready 1.5 MB 1234 850 µs 0"
    assert "expertctl models pull small" in lines[2]
    assert [expert["name"] for expert in json.loads(run("ps", "--json").stdout)["experts"]] == [
        "timers",
        "spam",
        "text",
    ]


@pytest.mark.usefixtures("daemon")
def test_show_prints_details_versions_and_the_card(run: Callable[..., Result]) -> None:
    text = run("show", "spam").stdout
    for words in ("is it spam", "create, cancel", "serving", "# Card", "https://example.org/card"):
        assert words in text
    assert json.loads(run("show", "spam", "--json").stdout)["expert"]["name"] == "spam"


def test_install_tells_each_step_and_a_failure_exits_with_1(
    daemon: Simulator, run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "expert.toml").write_text('name = "spam"\n')
    result = run("install", str(tmp_path))
    assert result.stdout == "spam 2 loading\nspam 2 warming\nspam 2 serving: serves\n"
    assert daemon.received == len('name = "spam"\n')
    states = [json.loads(line)["state"] for line in run("install", str(tmp_path), "--json").stdout.splitlines()]
    assert states == ["STATE_LOADING", "STATE_WARMING", "STATE_SERVING"]
    (tmp_path / "expert.toml").write_text("broken")
    failed = run("install", str(tmp_path))
    assert failed.exit_code == 1
    assert "spam 2: golden 3 failed" in failed.stderr
    assert "spam 2 failed: golden 3 failed\n" in failed.stdout


@pytest.mark.usefixtures("daemon")
def test_installing_what_serves_says_so(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "expert.toml").write_text('name = "spam"\nversion = 1\n# serves already\n')
    assert run("install", str(tmp_path)).stdout == "verifying\nspam 1 serves already\n"
    last = json.loads(run("install", str(tmp_path), "--json").stdout.splitlines()[-1])
    assert last["message"] == "serves already"


@pytest.mark.usefixtures("daemon")
def test_an_interrupted_install_says_that_the_daemon_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "expert.toml").write_text("slow")
    code, written = interrupt_after(["install", str(tmp_path)], b"verifying", environment)
    assert code == 130
    assert "see `expertctl ps`" in written


def test_versions_are_promoted_rolled_back_pinned_unloaded_and_removed(
    daemon: Simulator, run: Callable[..., Result]
) -> None:
    assert run("promote", "spam", "2").stdout == "spam 2 serving\n"
    assert run("rollback", "spam").stdout == "spam 1 serving\n"
    assert run("pin", "spam").stdout == "spam pinned\n"
    assert daemon.experts["spam"].pinned
    assert "spam (pinned)" in run("ps").stdout
    assert run("unpin", "spam").stdout == "spam no longer pinned\n"
    assert not daemon.experts["spam"].pinned
    assert run("unload", "spam").stdout == "spam unloaded\n"
    assert run("remove", "spam").stdout == "spam removed\n"
    assert "spam" not in daemon.experts
    assert run("remove", "spam").exit_code == 5


@pytest.mark.usefixtures("daemon")
def test_watch_and_events_are_lines(run: Callable[..., Result]) -> None:
    watched = run("watch").stdout.splitlines()
    assert watched[0] == "timers 1 serving"
    assert watched[2] == "text 1 serving downloadable: run `expertctl models pull small`"
    assert watched[3] == "old removed"
    assert json.loads(run("watch", "--json").stdout.splitlines()[3])["removed"] is True
    fired, changed = run("events").stdout.splitlines()
    assert fired.endswith("timer tea fired (1 min 30 s late): tea is ready")
    assert "spam 2 failed: golden 3" in changed
    kinds = [set(json.loads(line)) - {"time"} for line in run("events", "--json").stdout.splitlines()]
    assert kinds == [{"subscribed"}, {"fired"}, {"expert_changed"}]


def test_models_are_listed_pulled_and_adopted(daemon: Simulator, run: Callable[..., Result], tmp_path: Path) -> None:
    for arguments in (["models"], ["models", "list"]):
        assert "small  downloadable  1.0 kB  MIT      text" in run(*arguments).stdout
    for arguments in (["models", "--json"], ["models", "list", "--json"]):
        assert json.loads(run(*arguments).stdout)["models"][0]["name"] == "small"
    pulled = run("models", "pull", "small")
    assert pulled.stdout == "small is ready\n"
    assert "small: 50 % downloading" in pulled.stderr
    steps = [json.loads(line) for line in run("models", "pull", "small", "--json").stdout.splitlines()]
    assert steps[-1]["model"]["present_bytes"] == "1000"
    (tmp_path / "m.gguf").write_bytes(GGUF)
    assert run("models", "adopt", str(tmp_path / "m.gguf"), "--name", "small").stdout == "small is ready\n"
    assert daemon.received == len(GGUF)


@pytest.mark.usefixtures("daemon")
def test_traces_are_chosen_by_expert_number_and_id(run: Callable[..., Result]) -> None:
    assert len(run("traces").stdout.splitlines()) == 1 + 3
    assert len(run("traces", "--expert", "spam").stdout.splitlines()) == 1 + 1
    assert len(json.loads(run("traces", "--limit", "2", "--json").stdout)["traces"]) == 2
    assert "01J2" in run("traces", "--id", "01J2").stdout
    assert run("traces", "--id", "none").stdout == "no traces\n"


@pytest.mark.usefixtures("daemon")
def test_a_terminal_of_100_columns_shows_times_and_reasons_whole(environment: dict[str, str]) -> None:
    written = without_style(on_a_terminal(["traces"], environment, 100)[0])
    assert "…" not in written
    assert "03-02 09:00:00" in written
    assert "2026-" not in written
    assert "01J0: wake me" in written


def test_a_trace_that_went_to_the_titan_says_titan() -> None:
    row = trace_row(fleet.Trace(id="01J", verdict="titan", expert="timers", answered_by="titan"))
    assert row[2] == "titan"


def test_feedback_keeps_the_correction(daemon: Simulator, run: Callable[..., Result]) -> None:
    assert run("feedback", "01J", "bad", "--correction", "spam").stdout == "noted: 01J was bad\n"
    assert daemon.verdicts["01J"].verdict == assistant.FeedbackRequest.VERDICT_BAD
    assert daemon.verdicts["01J"].correction == "spam"


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_shows_its_own_findings_and_the_daemons(
    daemon: Simulator, run: Callable[..., Result], folder: Path
) -> None:
    folder.chmod(0o700)
    healthy = run("doctor")
    assert healthy.exit_code == 0
    for words in ("folder", "socket", "daemon  ok       answers", "trunk", "expertd 0.1.0, process 42"):
        assert words in healthy.stdout
    folder.chmod(0o755)
    assert "chmod 700" in run("doctor").stdout
    daemon.checks.append(
        fleet.GetStatusResponse.Check(name="disk", level="LEVEL_ERROR", message="full", remedy="free 2 GB")
    )
    ill = run("doctor")
    assert ill.exit_code == 1
    assert "free 2 GB" in ill.stdout
    report = run("doctor", "--json")
    assert report.exit_code == 1
    assert json.loads(report.stdout)["checks"][-1] == {
        "name": "disk",
        "level": "LEVEL_ERROR",
        "message": "full",
        "remedy": "free 2 GB",
    }


def test_doctor_says_what_to_do_where_nobody_listens(run: Callable[..., Result], folder: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    assert "there is no socket" in result.stdout
    assert "systemctl --user start expertd" in result.stdout
    folder.chmod(0o777)
    assert f"chmod 700 {folder}" in run("doctor").stdout


def test_doctor_tells_a_daemon_whose_socket_is_gone(run: Callable[..., Result], folder: Path) -> None:
    (folder / "s.lock").write_text(f"{os.getpid()}\n")
    assert f"the socket file is gone although expertd runs as process {os.getpid()}" in run("doctor").stdout
    ended = subprocess.Popen(["true"])
    ended.wait()
    (folder / "s.lock").write_text(f"{ended.pid}\n")
    assert "there is no socket" in run("doctor").stdout


# --- Processes and terminals -----------------------------------------------------------------------------------------


def call(arguments: Sequence[str | bytes], environment: dict[str, str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EXPERTCTL, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False, **options
    )


@pytest.mark.usefixtures("daemon")
def test_a_process_of_its_own_has_the_exit_codes(environment: dict[str, str], folder: Path) -> None:
    assert call(["ask", "hello"], environment).stdout == "hello\n"
    assert call(["ask"], environment).returncode == 2
    undecodable = call(["ask", b"wake me \xff"], environment)
    assert (undecodable.returncode, undecodable.stdout) == (2, "")
    assert "not valid UTF-8 at character 8" in undecodable.stderr
    assert call(["ask", "titan"], environment).returncode == 4
    assert call(["show", "nobody"], environment).returncode == 5
    down = call(["ask", "hello"], environment | {"EXPERTD_SOCKET": str(folder / "nobody")})
    assert down.returncode == 3
    assert "Traceback" not in down.stderr
    assert call(["--version"], environment).stdout.startswith("expertctl, version ")
    assert "130  interrupted" in call(["--help"], environment).stdout


@pytest.mark.usefixtures("daemon")
def test_an_answer_on_a_terminal_ends_with_who_and_how(environment: dict[str, str]) -> None:
    written, code = on_a_terminal(["ask", "wake me"], environment)
    assert code == 0
    assert written.startswith("wake me\r\n")
    assert "timers 1 · encoder · 97.4 % · 2.1 ms · trace 01JTRACE" in without_style(written)
    assert "\x1b[2m" in written
    for quiet in (environment | {"NO_COLOR": "1"}, environment | {"TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(["ask", "wake me"], quiet)[0]
    assert "\x1b" not in on_a_terminal(["--no-color", "ask", "wake me"], environment)[0]


@pytest.mark.usefixtures("daemon")
def test_a_label_on_a_terminal_has_a_bar(environment: dict[str, str]) -> None:
    written = without_style(on_a_terminal(["ask", "spam?"], environment)[0])
    assert "spam  ██████████████████████░░  93 %" in written
    ascii_only = environment | {"PYTHONIOENCODING": "ascii"}
    assert "spam  ######################--  93 %" in without_style(on_a_terminal(["ask", "spam?"], ascii_only)[0])


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("columns", [60, 200])
def test_a_forecast_on_a_terminal_is_a_plot_of_its_width(environment: dict[str, str], load: Path, columns: int) -> None:
    arguments = ["ask", "forecast", "--series", str(load)]
    written = without_style(on_a_terminal(arguments, environment, columns)[0])
    drawn = [line for line in written.split("\r\n") if "│" in line]
    assert len(drawn) == 10
    assert max(map(len, drawn)) <= columns
    assert any("░" in line for line in drawn)
    assert any(re.search("[\u2801-\u28ff]", line) for line in drawn)
    assert "2026-03-02 09:00" in written
    plain_ascii = environment | {"PYTHONIOENCODING": "ascii"}
    written = without_style(on_a_terminal(arguments, plain_ascii, columns)[0])
    assert any("*" in line and ":" in line for line in written.split("\r\n"))


@pytest.mark.usefixtures("daemon")
def test_wide_characters_are_printed_whole_and_columns_stay_in_line(environment: dict[str, str]) -> None:
    assert call(["ask", "wide"], environment).stdout == "日本語のテキスト 🎉\n"
    ascii_only = call(["ask", "wide"], environment | {"PYTHONIOENCODING": "ascii"})
    assert (ascii_only.returncode, ascii_only.stdout) == (0, "???????? ?\n")


def test_tables_fit_a_terminal_and_count_wide_characters(daemon: Simulator, environment: dict[str, str]) -> None:
    daemon.experts["spam"].kind = "日本"
    lines = call(["ps"], environment).stdout.splitlines()
    column = lines[0].index("available")
    assert lines[1].index("ready") == column - 2  # two characters of two cells each
    assert lines[3].index("ready") == column
    written = without_style(on_a_terminal(["ps"], environment, 70)[0])
    assert max(len(line.rstrip()) for line in written.split("\r\n")) <= 70


@pytest.mark.usefixtures("daemon")
def test_a_card_is_rendered_and_its_links_are_spelled_out(environment: dict[str, str]) -> None:
    written, _ = on_a_terminal(["show", "spam"], environment)
    assert "https://example.org/card" in written
    assert "\x1b]8" not in written
    assert "**" not in written


def interrupt_after(arguments: list[str], words: bytes, environment: dict[str, str]) -> tuple[int, str]:
    process = subprocess.Popen(
        [EXPERTCTL, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        # A background job of a shell ignores the signal, and so would all that the tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    seen = b""
    while words not in seen:
        more = os.read(process.stdout.fileno(), 4096)
        assert more, f"it ended with {process.wait()} and said {seen!r}"
        seen += more
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    return process.returncode, (seen + rest).decode()


@pytest.mark.usefixtures("daemon")
def test_an_interrupt_ends_an_answer_with_130(environment: dict[str, str]) -> None:
    code, written = interrupt_after(["ask", "hang"], b"it begins", environment)
    assert code == 130
    assert written == "it begins\ninterrupted\n"


def test_an_interrupted_pull_says_that_it_will_be_resumed(daemon: Simulator, environment: dict[str, str]) -> None:
    daemon.pulled_to = 300
    code, written = interrupt_after(["models", "pull", "small"], b"30 %", environment)
    assert code == 130
    assert "interrupted with 300 B of 1.0 kB here; `expertctl models pull small` resumes it" in written


def test_a_pull_on_a_terminal_draws_a_bar(daemon: Simulator, environment: dict[str, str]) -> None:
    written, code = on_a_terminal(["models", "pull", "small"], environment)
    assert code == 0
    assert "small is ready" in written
    assert "━" in written


@pytest.mark.usefixtures("daemon")
def test_a_reader_that_leaves_early_causes_no_traceback(environment: dict[str, str]) -> None:
    shell = "expertctl traces --json | head -c 1; expertctl events | head -n 1"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("expertctl ps > /dev/full", "expertctl: standard output: No space left on device\n"),
        ("expertctl --help > /dev/full", "expertctl: standard output: No space left on device\n"),
        ("expertctl ask hello >&-", "expertctl: standard output is closed; give it one, /dev/null for none\n"),
        ("expertctl ask hello --series - > /dev/null <&-", "standard input is closed; give a file\n"),
    ],
)
def test_an_output_that_takes_nothing_is_told_in_one_line(environment: dict[str, str], shell: str, words: str) -> None:
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.returncode == (2 if "<&-" in shell else 1)
    assert done.stderr.endswith(words)
    assert done.stderr.count("\n") == 1


def test_adopting_a_pipe_is_refused_at_once(run: Callable[..., Result], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.gguf")
    result = run("models", "adopt", str(tmp_path / "m.gguf"))
    assert result.exit_code == 2
    assert "not a regular file" in result.stderr


@pytest.mark.usefixtures("daemon")
def test_bash_completes_commands_options_and_experts(environment: dict[str, str]) -> None:
    lines = ["expertctl pro", "expertctl ask --ser", "expertctl show s", "expertctl models pull sm"]
    script = "source <(expertctl completion bash)\n" + "".join(
        f"COMP_WORDS=({line}); COMP_CWORD={line.count(' ')}; _expertctl_completion expertctl; "
        'echo "${COMPREPLY[@]}"; COMPREPLY=()\n'
        for line in lines
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert done.stdout.splitlines() == ["promote", "--series", "spam", "small"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_scripts(run: Callable[..., Result], shell: str) -> None:
    script = run("completion", shell).stdout
    assert f"_EXPERTCTL_COMPLETE={shell}_complete" in script


def test_completion_gives_nothing_while_the_daemon_is_down(environment: dict[str, str], folder: Path) -> None:
    asked = environment | {"_EXPERTCTL_COMPLETE": "bash_complete", "COMP_WORDS": "expertctl show s", "COMP_CWORD": "2"}
    done = call([], asked | {"EXPERTD_SOCKET": str(folder / "nobody")})
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_without_its_extra_expertctl_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None; from expertd.client.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, 'expertctl needs: pip install "expertd[cli]"\n')


@pytest.mark.usefixtures("daemon")
def test_ask_imports_neither_rich_nor_what_the_daemon_needs(folder: Path) -> None:
    code = (
        "import sys; from expertd.client.cli import command_line; "
        f"command_line()(['--socket', '{folder / 's'}', 'ask', 'x'], standalone_mode=False); "
        "heavy = {'rich.table', 'rich.markdown', 'rich.console', 'numpy', 'msgspec'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- What numbers look like ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (size(0), ""),
        (size(999), "999 B"),
        (size(1500), "1.5 kB"),
        (size(999_999), "1.0 MB"),
        (size(986_000_000), "986 MB"),
        (percent(0.5), "50 %"),
        (percent(0.99999), "99.9 %"),
        (percent(1.0), "100 %"),
        (percent(0.00001), "<0.1 %"),
        (percent(0.0), "0 %"),
        (number(12345.6), "12,346"),
        (number(0.01234), "0.0123"),
        (span(assistant.Timings(total={"nanos": 85_000}).total), "85 µs"),
        (span(assistant.Timings(total={"nanos": 9_960_000}).total), "10.0 ms"),
        (span(assistant.Timings(total={"seconds": 7500}).total), "2 h 05 min"),
    ],
)
def test_units_are_short(found: str, expected: str) -> None:
    assert found == expected


finite = st.floats(min_value=-1e12, max_value=1e12)


@given(
    history=st.lists(st.one_of(finite, st.just(float("nan"))), max_size=80),
    ahead=st.lists(st.one_of(finite, st.just(float("nan"))), min_size=1, max_size=60),
    width=st.integers(min_value=1, max_value=200),
    unicode=st.booleans(),
)
def test_a_plot_of_any_numbers_keeps_its_width_and_height(
    history: list[float], ahead: list[float], width: int, unicode: bool
) -> None:
    forecast = assistant.Forecast(levels=[0.1, 0.5, 0.9])
    for spread in (-1, 0, 1):
        forecast.quantiles.append(assistant.Forecast.Quantile(values=[value + spread for value in ahead]))
    lines = ["".join(text for text, _ in line) for line in plot(history, forecast, width, unicode=unicode)]
    assert len(lines) in {0, 11}
    assert all(len(line) <= width for line in lines)
    if width >= 40 and any(value == value for value in [*history[-max(24, 2 * len(ahead)) :], *ahead]):
        assert lines
        assert {len(line) for line in lines[:-1]} == {width}


def test_a_plot_of_a_flat_line_and_of_a_broken_forecast() -> None:
    flat = assistant.Forecast(levels=[0.5], quantiles=[assistant.Forecast.Quantile(values=[5.0] * 10)])
    assert plot([5.0] * 20, flat, 80, unicode=True)
    assert plot([1.0, 2.0], assistant.Forecast(), 80, unicode=True) == []
    lying = assistant.Forecast(levels=[0.1, 0.9], quantiles=[assistant.Forecast.Quantile(values=[1.0])])
    assert plot([1.0, 2.0], lying, 80, unicode=True) == []


def test_several_invocations_share_one_process(run: Callable[..., Result], daemon: Simulator) -> None:
    """Each has its own connection and its own options: nothing is left from the one before."""
    json.loads(run("ps", "--json").stdout)
    assert run("ps").stdout.startswith("expert")
