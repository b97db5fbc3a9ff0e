"""The life of a request: view → trunk → index → lease → answer, or abstention → titan → trace. Knows no wire.

Forward only. "No route", "not sure" and "abstained" are ordinary values; only a broken promise raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from expertd.experts.errors import FleetError, QueryError, UnavailableError
from expertd.experts.fleet import Encode, Fleet
from expertd.experts.servable import Emit
from expertd.experts.values import Abstention, Answer, Outcome, Query, Result
from expertd.experts.view import Retired, Slot, View
from expertd.router.index import Decision, RouteIndex

from . import request
from .config import LimitsConfig
from .request import Ask
from .traces import Trace, TraceIds, Traces

TITAN = "titan"


class OverloadedError(Exception):
    """More requests are in flight than the configuration allows; `retry_after_s` says when to come back."""

    retry_after_s = 0.5


class Titan(Protocol):
    """What the engine needs of the titan."""

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: UnavailableError saying which of key, network, budget or patience is missing."""


class Listener(Protocol):
    """Who is told as it happens."""

    async def decided(self, routed: Routed) -> None: ...
    async def delta(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Routed:
    """The decision on one request. decision: None where the caller named the expert. instruction: what was routed."""

    view: int
    expert: str
    intent: str
    instruction: str
    decision: Decision | None = None
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """outcome "clarify": `text` asks back, and there is no result."""

    text: str
    outcome: Literal["answered", "clarify"]
    routed: Routed
    expert: str
    version: int
    trace_id: str
    total_s: float
    answer_s: float
    result: Result | None = None


@dataclass(slots=True)
class _Course:
    """One request on its way, and what its trace will say."""

    ask: Ask
    listener: Listener
    trace_id: str
    began: datetime
    started: float = field(default_factory=time.perf_counter)
    routed: Routed | None = None
    expert: str = ""
    version: int = 0
    outcome: str = ""
    reason: str = ""
    answer_s: float = 0.0
    fallback: str = ""


class Engine:
    """Answers requests with the fleet's experts, else with the titan; each leaves one trace."""

    def __init__(
        self,
        *,
        fleet: Fleet[RouteIndex],
        encode: Encode,
        titan: Titan,
        traces: Traces,
        clock: Callable[[], datetime],
        limits: LimitsConfig,
    ) -> None:
        self._fleet = fleet
        self._encode = encode
        self._titan = titan
        self._traces = traces
        self._clock = clock
        self._limits = limits
        self._trace_ids = TraceIds()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def ask(self, ask: Ask, listener: Listener) -> Reply:
        """Answers a request, routed or to a named expert.

        Raises: QueryError, FleetError UNKNOWN_EXPERT, UnavailableError, OverloadedError, TimeoutError.
        """
        async with self._traced(ask, listener) as course:
            request.check(ask, self._limits)
            async with asyncio.timeout(self._limits.default_deadline_s):
                if ask.expert:
                    return await self._invoke(course)
                return await self._route_and_answer(course)

    async def route(self, ask: Ask) -> Routed:
        """The decision alone. Raises: QueryError."""
        request.check(ask, self._limits)
        instruction, payload = request.split(ask.text)
        _, routed = await self._decide(instruction, payload, ask.text)
        return routed

    async def drained(self) -> None:
        """Returns when no request is in flight."""
        await self._idle.wait()

    # --- Routed ------------------------------------------------------------------------------------------------------

    async def _route_and_answer(self, course: _Course) -> Reply:
        instruction, payload = request.split(course.ask.text)
        view, routed = await self._decide(instruction, payload, course.ask.text)
        course.routed = routed
        await course.listener.decided(routed)
        decision = routed.decision
        if decision is None:
            raise AssertionError("routed without a decision")
        if decision.verdict == "clarify":
            return self._reply(course, routed, Abstention(_ask_back(decision, view), "needs_input"), "", 0)
        query = self._query(course.ask, routed, payload)
        if decision.verdict == "titan":
            nearest = f" (nearest: {decision.expert}, {decision.confidence:.0%} sure)" if decision.expert else ""
            return await self._ask_titan(course, routed, query, f"no expert fits{nearest}")
        return await self._answer(course, routed, query)

    async def _decide(self, instruction: str, payload: str | None, text: str) -> tuple[View[RouteIndex], Routed]:
        started = time.perf_counter()
        view = self._fleet.view
        decision = await self._decide_one(view, instruction)
        if decision.verdict == "titan" and payload is not None:
            # What looked like an instruction was none; the whole may still be one.
            whole = await self._decide_one(view, text)
            if whole.verdict == "routed":
                decision, instruction = whole, text
        took = time.perf_counter() - started
        return view, Routed(view.number, decision.expert, decision.intent, instruction, decision, took)

    async def _decide_one(self, view: View[RouteIndex], sentence: str) -> Decision:
        remembered = view.index.recall(sentence)
        if remembered is not None:
            return remembered
        (vector,) = await self._encode([sentence])
        return view.index.decide(vector, sentence)

    # --- Answering ---------------------------------------------------------------------------------------------------

    async def _invoke(self, course: _Course) -> Reply:
        ask = course.ask
        slot = self._fleet.slot(ask.expert)
        if ask.intent and ask.intent not in slot.intents:
            raise QueryError(
                f"{ask.expert} has no intent {ask.intent!r}; it has {', '.join(slot.intents)}",
                reason="UNKNOWN_INTENT",
                field="intent",
            )
        routed = Routed(self._fleet.view.number, ask.expert, ask.intent, ask.text)
        course.routed = routed
        await course.listener.decided(routed)
        query = self._query(ask, routed, ask.text if ask.document is None and ask.text else None)
        return await self._answer(course, routed, query)

    async def _answer(self, course: _Course, routed: Routed, query: Query) -> Reply:
        """Lets the expert answer. Where it abstains or cannot serve, a routed request takes the titan's road."""
        started = time.perf_counter()
        try:
            slot, outcome = await self._lease_and_answer(course, routed.expert, query)
        except UnavailableError as error:
            # A worker that died mid-answer has told half of it already: the caller must know, and decide.
            if routed.decision is None or error.retryable:
                raise
            return await self._ask_titan(course, routed, query, str(error), error.reason)
        finally:
            course.answer_s = time.perf_counter() - started
        if isinstance(outcome, Abstention) and outcome.code != "needs_input":
            if routed.decision is None:
                raise UnavailableError(f"{routed.expert} abstains: {outcome.reason}", reason="ABSTAINED")
            course.fallback = f"{routed.expert} abstained ({outcome.code})"
            return await self._ask_titan(course, routed, query, f"{routed.expert} abstained: {outcome.reason}")
        return self._reply(course, routed, outcome, slot.name, slot.version)

    async def _lease_and_answer(self, course: _Course, name: str, query: Query) -> tuple[Slot, Outcome]:
        while True:
            slot = await self._fleet.present(name)
            course.expert, course.version = slot.name, slot.version
            try:
                async with slot.lease() as servable:
                    if servable.needs_vector and query.vector is None:
                        (vector,) = await self._encode([query.subject])
                        query = replace(query, vector=vector)
                    return slot, await servable.answer(query, course.listener.delta)
            except Retired:
                # Replaced between the look and the lease: its successor is in the present view.
                continue

    async def _ask_titan(self, course: _Course, routed: Routed, query: Query, why: str, reason: str = "") -> Reply:
        """why: no expert of this machine answers. reason: the machine-readable form of it, if it has one."""
        course.fallback = course.fallback or (reason if reason else "no expert fits")
        course.expert, course.version = TITAN, 0
        started = time.perf_counter()
        try:
            if course.ask.local_only:
                raise UnavailableError("the request is to stay on this machine", reason="LOCAL_ONLY")
            outcome = await self._titan.answer(query, course.listener.delta)
        except UnavailableError as error:
            raise UnavailableError(
                f"{why}; and the titan cannot help: {error}",
                reason=reason or error.reason,
                retryable=error.retryable,
            ) from error
        finally:
            course.answer_s += time.perf_counter() - started
        if isinstance(outcome, Abstention):
            raise UnavailableError(f"{why}; and the titan abstains: {outcome.reason}", reason="ABSTAINED")
        return self._reply(course, routed, outcome, TITAN, 0)

    def _query(self, ask: Ask, routed: Routed, payload: str | None) -> Query:
        return Query(
            text=ask.text,
            now=self._clock().astimezone(ask.zone),
            zone=ask.zone,
            intent=routed.intent,
            payload=payload,
            series=ask.series,
            document=ask.document,
            locale=ask.locale,
            session=ask.session,
        )

    def _reply(self, course: _Course, routed: Routed, outcome: Outcome, expert: str, version: int) -> Reply:
        answered = isinstance(outcome, Answer)
        course.expert, course.version = expert, version
        course.outcome = "answered" if answered else "clarify"
        return Reply(
            text=outcome.text if isinstance(outcome, Answer) else outcome.reason,
            outcome="answered" if answered else "clarify",
            routed=routed,
            expert=expert,
            version=version,
            trace_id=course.trace_id,
            total_s=time.perf_counter() - course.started,
            answer_s=course.answer_s,
            result=outcome.result if isinstance(outcome, Answer) else None,
        )

    # --- Counting and tracing ----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _traced(self, ask: Ask, listener: Listener) -> AsyncIterator[_Course]:
        if self._in_flight >= self._limits.max_in_flight:
            raise OverloadedError(
                f"{self._in_flight} requests are in flight, the most that [limits] max_in_flight allows; try again soon"
            )
        course = _Course(ask, listener, self._trace_ids.next(), self._clock())
        self._in_flight += 1
        self._idle.clear()
        try:
            yield course
        except BaseException as error:
            # The code alone: the message may quote the request, whose words are kept only where the operator says so.
            course.outcome = _outcome_of(error)
            course.reason = getattr(error, "reason", "") or type(error).__name__
            raise
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()
            self._traces.record(_trace(course))


def _trace(course: _Course) -> Trace:
    ask = course.ask
    routed = course.routed
    decision = None if routed is None else routed.decision
    return Trace(
        id=course.trace_id,
        time=course.began,
        app=ask.app,
        session=ask.session,
        verdict="invoked" if ask.expert else "" if decision is None else decision.verdict,
        expert=ask.expert if routed is None else routed.expert,
        version=course.version,
        intent=ask.intent if routed is None else routed.intent,
        confidence=1.0 if ask.expert else 0.0 if decision is None else decision.confidence,
        tier="" if decision is None else decision.tier,
        outcome=course.outcome,
        reason="; ".join(filter(None, (course.fallback, course.reason))),
        route_s=0.0 if routed is None else routed.took_s,
        answer_s=course.answer_s,
        total_s=time.perf_counter() - course.started,
        text=ask.text,
        answered_by=course.expert if course.outcome == "answered" else "",
    )


def _outcome_of(error: BaseException) -> str:
    """The name of the gRPC status that the error becomes, in lower case."""
    match error:
        case QueryError():
            return "invalid_argument"
        case FleetError():
            return "not_found"
        case UnavailableError():
            return "unavailable"
        case OverloadedError():
            return "resource_exhausted"
        case TimeoutError():
            return "deadline_exceeded"
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return "internal"


def _ask_back(decision: Decision, view: View[RouteIndex]) -> str:
    names = [decision.expert, *(other.expert for other in decision.alternatives)]
    experts = list(dict.fromkeys(name for name in names if name in view.slots))[:2]
    offers = [f"{name} ({view.slots[name].bundle.manifest.summary.rstrip('.')})" for name in experts]
    return f"Did you mean {' or '.join(offers)}?"


class Silent:
    """Listens to nothing: unary calls want the whole answer alone."""

    async def decided(self, routed: Routed) -> None:
        pass

    async def delta(self, text: str) -> None:
        pass
