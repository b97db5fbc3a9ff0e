"""expertctl against a real gRPC server on a real Unix socket, with a fleet in memory behind it."""

# ruff: noqa: N802, the contract names its methods so

import fcntl
import os
import pty
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
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from google.rpc import error_details_pb2, status_pb2

from expertd.client.cli import command_line
from expertd.v1 import assistant_pb2 as assistant
from expertd.v1 import fleet_pb2 as fleet
from expertd.v1.assistant_pb2_grpc import AssistantServicer, add_AssistantServicer_to_server
from expertd.v1.fleet_pb2_grpc import FleetServicer, add_FleetServicer_to_server

EXPERTCTL = Path(sys.executable).with_name("expertctl")
EVIL = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]52;c;ZXZpbA==\x1b\\bell\x07 back\x08 \x9b2J\u202efdp.exe\r"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Simulator(AssistantServicer, FleetServicer):
    """Both services in memory: a handful of experts with versions, one model, traces, and answers by keyword."""

    EVIL = EVIL

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
                policy=fleet.Policy(margin=0.05),
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
        self.memory = fleet.Memory(budget_bytes=12_000_000_000, experts_bytes=12_000_000, daemon_bytes=121_000_000)
        # What `Watch` tells after everybody has been told of.
        self.changes = [fleet.WatchResponse(expert=fleet.Expert(name="old"), removed=True)]

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
        changed = assistant.ExpertChanged(expert="spam", version=2, state="FAILED", reason=f"spam 2: golden 3{EVIL}")
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
        return fleet.ListExpertsResponse(experts=self.experts.values(), memory=self.memory)

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
            yield fleet.InstallResponse(expert="spam", version=1, state="STATE_SERVING", message="serves already")
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
        if b"on trial" in manifest:
            self.put_on_trial("spam", 2, "STATE_CANARY", 0, 50)
            message = "it answers 0.1 of sessions; `expertctl promote spam 2` accepts it now"
            yield fleet.InstallResponse(expert="spam", version=2, state="STATE_CANARY", message=message)
            return
        self._serve("spam", 2)
        yield fleet.InstallResponse(expert="spam", version=2, state="STATE_SERVING", message="serves")

    def Promote(self, request, context):
        self._known(request.name, context)
        return fleet.PromoteResponse(expert=self._serve(request.name, request.version))

    def Rollback(self, request, context):
        expert = self._known(request.name, context)
        if expert.versions[-1].HasField("trial"):
            del expert.versions[-1]
            return fleet.RollbackResponse(expert=expert)
        if expert.serving_version == 1:
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "nothing to roll back to", "NOTHING_TO_ROLL_BACK_TO")
        return fleet.RollbackResponse(expert=self._serve(request.name, 1))

    def Pin(self, request, context):
        expert = self._known(request.name, context)
        expert.pinned = request.pinned
        return fleet.PinResponse(expert=expert)

    def SetPolicy(self, request, context):
        expert = self._known(request.name, context)
        if request.HasField("policy") and request.policy.canary_requests == 13:
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "canary_requests is 13; it is not", "BAD_POLICY")
        expert.policy.CopyFrom(request.policy if request.HasField("policy") else fleet.Policy(margin=0.05))
        return fleet.SetPolicyResponse(expert=expert)

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
        yield from self.changes

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

    def put_on_trial(self, name: str, version: int, state: str, requests: int, needed: int) -> fleet.Version:
        found = self.experts[name].versions.add(version=version, state=state, resident_bytes=700_000, disk_bytes=4096)
        found.changed.FromDatetime(START)
        found.examination = "12 golden examples; held-out 98.2 % right of 500, the serving version 97.9 %; 0.1 ms"
        trial = found.trial
        trial.stage, trial.requests, trial.needed = found.state, requests, needed
        trial.candidate.requests = requests
        trial.candidate.errors = 1 if requests else 0
        trial.candidate.p50.FromMicroseconds(1200)
        trial.baseline.requests, trial.baseline.abstentions = 110, 2
        trial.baseline.p50.FromMicroseconds(1100)
        if state == "STATE_SHADOW":
            trial.agreed = requests - 2
        return found

    def explanation(self, text: str) -> assistant.Explanation:
        return explanation(text)

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


@pytest.fixture
def on_a_terminal() -> Callable[..., tuple[str, int]]:
    """Gives a function: what expertctl writes on a terminal of its own, and its exit code."""

    def call(arguments: list[str], environment: dict[str, str], columns: int = 100) -> tuple[str, int]:
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

    return call


@pytest.fixture
def call() -> Callable[..., subprocess.CompletedProcess[str]]:
    """expertctl in a process of its own, on pipes."""

    def start(
        arguments: Sequence[str | bytes], environment: dict[str, str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [EXPERTCTL, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False, **options
        )

    return start


@pytest.fixture
def interrupt_after() -> Callable[..., tuple[int, str]]:
    """Gives a function: expertctl's exit code, and all it wrote, when it gets a SIGINT once it has written `words`."""

    def call(arguments: list[str], words: bytes, environment: dict[str, str]) -> tuple[int, str]:
        # A background job of a shell ignores the signal, and so would all that it starts. Not by `preexec_fn`: that
        # makes a fork, in which the threads of the server in this process may leave gRPC's handlers hanging.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(
                [EXPERTCTL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
            )
        finally:
            signal.signal(signal.SIGINT, before)
        seen = b""
        while words not in seen:
            more = os.read(process.stdout.fileno(), 4096)
            assert more, f"it ended with {process.wait()} and said {seen!r}"
            seen += more
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        return process.returncode, (seen + rest).decode()

    return call
