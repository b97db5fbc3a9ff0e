"""A steady load of all that apps do: named experts, routed requests, streams; and what became of each.

Calls leave at their time whether or not earlier ones are answered, in a process of their own, and a call's latency
counts from the moment at which it was due, not from when it left: a caller that was held up by a stall would else hide
it (coordinated omission; Tene, 2013). Moments are time.perf_counter's, the same in every process.

Callers know what is right. Whoever is given a wrong answer says so to the daemon, as a user would.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import random
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

DEADLINE_S = 10.0
# Of all calls, by way of calling; and those that go to the experts in the spotlight, where there are any.
VERBS = {"invoke": 60, "ask": 25, "stream": 15}
SPOTLIGHT_SHARE = 0.5
# As many apps call; what one of them may have in flight is limited.
APPS = 8
_STOP = 0


@dataclass(frozen=True, slots=True)
class Question:
    """text: for those who name the expert. routed: for those who do not. right: the label that a sound version gives,
    or how its text begins. weight: how often it is asked, beside the others'."""

    expert: str
    text: str
    routed: str
    right: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a call. asked: its expert. due: the moment. seconds: from there to the whole answer. failure: the
    status's name and words, "" when it was answered; wrong: it was answered, and not with what is right."""

    asked: str
    verb: str
    due: float
    seconds: float
    failure: str = ""
    expert: str = ""
    version: int = 0
    said: str = ""
    wrong: bool = False

    @property
    def ended(self) -> float:
        return self.due + self.seconds


class Traffic:
    """The load while it runs. From `traffic`."""

    def __init__(self, control: Any, names: Sequence[str], results: Connection) -> None:
        self._control = control
        self._places = {name: place for place, name in enumerate(names, 1)}
        self._results = results

    def spotlight(self, experts: Collection[str] = ()) -> None:
        """From now on half of all calls go to these experts; (): to nobody in particular."""
        for name, place in self._places.items():
            self._control[place] = name in experts

    def stop(self) -> list[Heard]:
        """No further calls; returns all, when those under way have ended."""
        self._control[_STOP] = 1
        heard: list[Heard] = self._results.recv()
        return heard


@contextmanager
def traffic(socket: Path, questions: Sequence[Question], per_second: float, *, seed: int = 0) -> Iterator[Traffic]:
    """Callers in a process of their own, from now until `stop`."""
    context = multiprocessing.get_context("spawn")
    names = list(dict.fromkeys(question.expert for question in questions))
    # Whether to stop; then for each expert whether it is in the spotlight.
    control = context.Array("b", 1 + len(names), lock=False)
    results, told = context.Pipe(duplex=False)
    process = context.Process(target=_callers, args=(socket, tuple(questions), per_second, seed, control, told))
    process.start()
    told.close()
    try:
        if results.recv() != "ready":
            raise SystemExit("the callers did not start")
        yield Traffic(control, names, results)
    finally:
        process.terminate()
        process.join()


# --- In the callers' process -----------------------------------------------------------------------------------------


def _callers(
    socket: Path, questions: Sequence[Question], per_second: float, seed: int, control: Any, told: Connection
) -> None:
    # A collection in this process would count as the daemon's time.
    gc.disable()
    told.send(asyncio.run(_drive(socket, questions, per_second, random.Random(seed), control, told)))


async def _drive(
    socket: Path,
    questions: Sequence[Question],
    per_second: float,
    chance: random.Random,
    control: Any,
    told: Connection,
) -> list[Heard]:
    own: dict[str, list[Question]] = {}
    for question in questions:
        own.setdefault(question.expert, []).append(question)
    names, weights = list(own), [question.weight for question in questions]
    verbs, shares = list(VERBS), list(VERBS.values())
    made: list[asyncio.Task[Heard]] = []
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        callers = _Callers(assistant_pb2_grpc.AssistantStub(channel))
        await callers.stub.Echo(pb.EchoRequest(), wait_for_ready=True, timeout=DEADLINE_S)
        told.send("ready")
        due = time.perf_counter()
        while not control[_STOP]:
            due += 1 / per_second
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            lit = [name for place, name in enumerate(names, 1) if control[place]]
            if lit and chance.random() < SPOTLIGHT_SHARE:
                question = chance.choice(own[chance.choice(lit)])
            else:
                (question,) = chance.choices(questions, weights)
            (verb,) = chance.choices(verbs, shares)
            context = pb.Context(session=f"session {chance.randrange(10**9)}", app=f"bench {chance.randrange(APPS)}")
            made.append(asyncio.create_task(callers.make(question, verb, context, due)))
        heard = await asyncio.gather(*made)
        await asyncio.gather(*callers.complaints)
        return heard


class _Callers:
    def __init__(self, stub: Any) -> None:
        self.stub = stub
        self.complaints: set[asyncio.Task[None]] = set()

    async def make(self, question: Question, verb: str, context: pb.Context, due: float) -> Heard:
        try:
            answer = await self._answer(question, verb, context)
        except grpc.RpcError as error:
            failure = f"{error.code().name}: {error.details()}"
            return Heard(question.expert, verb, due, time.perf_counter() - due, failure)
        seconds = time.perf_counter() - due
        wrong = not _is_right(question, answer)
        if wrong:
            task = asyncio.create_task(self._complain(answer.trace_id))
            self.complaints.add(task)
            task.add_done_callback(self.complaints.discard)
        return Heard(question.expert, verb, due, seconds, "", answer.expert, answer.version, answer.text, wrong)

    async def _answer(self, question: Question, verb: str, context: pb.Context) -> pb.Answer:
        if verb == "invoke":
            request = pb.InvokeRequest(expert=question.expert, input=pb.Input(text=question.text), context=context)
            invoked: pb.Answer = (await self.stub.Invoke(request, timeout=DEADLINE_S)).answer
            return invoked
        routed = pb.AskRequest(input=pb.Input(text=question.routed), context=context)
        if verb == "ask":
            asked: pb.Answer = (await self.stub.Ask(routed, timeout=DEADLINE_S)).answer
            return asked
        answer = pb.Answer()
        async for part in self.stub.AskStream(routed, timeout=DEADLINE_S):
            if part.HasField("answer"):
                answer = part.answer
        return answer

    async def _complain(self, trace_id: str) -> None:
        request = pb.FeedbackRequest(trace_id=trace_id, verdict=pb.FeedbackRequest.VERDICT_BAD)
        try:
            await self.stub.Feedback(request, timeout=DEADLINE_S)
        except grpc.RpcError:
            return  # Heard or not: the answer was wrong, and is counted as that.


def _is_right(question: Question, answer: pb.Answer) -> bool:
    if answer.expert != question.expert or answer.outcome != pb.Answer.OUTCOME_ANSWERED:
        return False
    if answer.HasField("label"):
        return answer.label.label == question.right
    return answer.text.startswith(question.right)
