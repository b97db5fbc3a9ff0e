"""The life of a request: view → router → lease → answer, or abstention → titan → trace. Knows no wire.

A request that asks for several things is taken apart; its parts live that life one after the other, in order, and come
back as one answer.

Forward only. "No route", "not sure" and "abstained" are ordinary values; only a broken promise raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from expertd.experts.errors import ExpertError, QueryError, UnavailableError
from expertd.experts.fleet import Fleet
from expertd.experts.servable import Emit
from expertd.experts.values import Abstention, Answer, Earlier, Outcome, Query
from expertd.experts.view import Slot, View
from expertd.router import compound
from expertd.router.decision import Decision, Explanation
from expertd.router.index import RouteIndex

from . import request
from .admission import Admission
from .config import LimitsConfig
from .course import Course, Listener, PartListener
from .reply import Reply, Routed, RoutedPart, all_failed
from .request import Ask
from .traces import TraceIds, Traces

TITAN = "titan"

Decide = Callable[[RouteIndex, str], Awaitable[Decision]]


class Router(Protocol):
    """What the engine needs of the router: one sentence in, through every tier that it takes."""

    async def decide(self, index: RouteIndex, text: str) -> Decision: ...
    async def explain(self, index: RouteIndex, text: str) -> Explanation: ...


class Titan(Protocol):
    """What the engine needs of the titan."""

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: UnavailableError saying which of key, network, budget or patience is missing."""


class Engine:
    """Answers requests with the fleet's experts, else with the titan; each leaves one trace."""

    def __init__(
        self,
        *,
        fleet: Fleet[RouteIndex],
        router: Router,
        titan: Titan,
        traces: Traces,
        clock: Callable[[], datetime],
        limits: LimitsConfig,
    ) -> None:
        self._fleet = fleet
        self._router = router
        self._titan = titan
        self._traces = traces
        self._clock = clock
        self._limits = limits
        self._trace_ids = TraceIds()
        self._admission = Admission(limits)

    async def ask(self, ask: Ask, listener: Listener) -> Reply:
        """Answers a request, routed or to a named expert.

        Raises: QueryError, FleetError UNKNOWN_EXPERT, UnavailableError, OverloadedError, TimeoutError.
        """
        course = self._course(ask, listener)
        async with self._admission.admit(ask.app, ask.priority) as place:
            course.elsewhere = place.elsewhere
            with course.traced(self._traces):
                request.check(ask, self._limits)
                async with asyncio.timeout(self._limits.default_deadline_s - place.waited_s):
                    if ask.expert:
                        return await self._invoke(course)
                    return await self._route_and_answer(course)

    async def route(self, ask: Ask) -> Routed:
        """The decision alone. Raises: QueryError, OverloadedError, TimeoutError."""
        request.check(ask, self._limits)
        async with self._admission.admit(ask.app, ask.priority):
            _, routed, _ = await self._decide(ask, self._router.decide)
        return routed

    async def explain(self, ask: Ask) -> tuple[Routed, Mapping[str, Explanation]]:
        """The decision, and all that it rests on, by the text that was routed.

        Raises: QueryError, OverloadedError, TimeoutError.
        """
        request.check(ask, self._limits)
        explanations: dict[str, Explanation] = {}

        async def decide(index: RouteIndex, text: str) -> Decision:
            explanations[text] = await self._router.explain(index, text)
            return explanations[text].decision

        async with self._admission.admit(ask.app, ask.priority):
            _, routed, _ = await self._decide(ask, decide)
        return routed, explanations

    def feedback(self, expert: str, version: int, *, good: bool) -> None:
        """What somebody says of an answer that this version gave."""
        self._fleet.feedback(expert, version, good)

    async def drained(self) -> None:
        """Returns when no request is in flight."""
        await self._admission.drained()

    # --- Routed ------------------------------------------------------------------------------------------------------

    async def _route_and_answer(self, course: Course) -> Reply:
        view, routed, payload = await self._decide(course.ask, self._router.decide)
        course.routed = routed
        await course.listener.decided(routed)
        if routed.parts:
            return await self._answer_parts(course, routed, view)
        return await self._follow(course, routed, self._query(course.ask, routed, payload), view)

    async def _decide(self, ask: Ask, decide: Decide) -> tuple[View[RouteIndex], Routed, str | None]:
        """The view that decided, the decision, and the payload that was set apart."""
        started = time.perf_counter()
        view = self._fleet.view
        instruction, payload = request.split(ask.text)
        decision = await decide(view.index, instruction)
        if decision.verdict == "titan" and payload is not None:
            # What looked like an instruction was none; the whole may still be one.
            whole = await decide(view.index, ask.text)
            if whole.verdict == "routed":
                decision, instruction = whole, ask.text
        parts: tuple[RoutedPart, ...] = ()
        if payload is None and not decision.language:
            parts = await self._parts(view, instruction, decision, decide)
        expert, intent = ("", "") if parts else (decision.expert, decision.intent)
        took = time.perf_counter() - started
        return view, Routed(view.number, expert, intent, instruction, decision, took, parts), payload

    async def _parts(
        self, view: View[RouteIndex], text: str, whole: Decision, decide: Decide
    ) -> tuple[RoutedPart, ...]:
        """What a compound request asks for, each routed; () where it is one request."""
        offered = compound.candidates(text)
        if not offered:
            return ()
        decided: dict[str, Routed] = {}

        async def route(part: compound.Part) -> Decision:
            started = time.perf_counter()
            made = await decide(view.index, part.text)
            took = time.perf_counter() - started
            decided[part.text] = Routed(view.number, made.expert, made.intent, part.text, made, took)
            return made

        kept = compound.judge(text, whole, offered, [await route(part) for part in offered])
        if len(kept) == 1:
            return ()
        for part in kept:
            if part.text not in decided:  # merged from several
                await route(part)
        return tuple(RoutedPart(part, decided[part.text]) for part in kept)

    async def _follow(self, course: Course, routed: Routed, query: Query, view: View[RouteIndex]) -> Reply:
        """Answers as was decided."""
        decision = routed.decision
        if decision is None:
            raise AssertionError("routed without a decision")
        if decision.verdict == "clarify":
            return course.reply(routed, Abstention(_ask_back(decision, view), "needs_input"), "", 0)
        if decision.verdict == "routed":
            return await self._answer(course, routed, query)
        if decision.language:
            course.fallback = f"language {decision.language}"
            return await self._ask_titan(course, routed, query, decision.reason)
        nearest = f" (nearest: {decision.expert}, {decision.confidence:.0%} sure)" if decision.expert else ""
        return await self._ask_titan(course, routed, query, f"no expert fits{nearest}")

    # --- In parts ----------------------------------------------------------------------------------------------------

    async def _answer_parts(self, course: Course, routed: Routed, view: View[RouteIndex]) -> Reply:
        """One after the other, each with what came before it; one that fails leaves the others alone.

        Raises: QueryError, UnavailableError: every part failed.
        """
        replies: list[Reply] = []
        errors: list[ExpertError] = []
        earlier: list[Earlier] = []
        for number, step in enumerate(routed.parts, start=1):
            part, listener = step.part, PartListener(course.listener)
            mine = self._course(replace(course.ask, text=part.text), listener)
            mine.elsewhere = course.elsewhere
            mine.routed, mine.place = step.routed, f"part {number} of {len(routed.parts)} of {course.trace_id}"
            query = replace(
                self._query(mine.ask, step.routed, None),
                earlier=tuple(earlier),
                reference=part.reference,
                antecedent=part.antecedent,
            )
            if number > 1:
                await course.listener.delta("\n")
            try:
                with mine.traced(self._traces):
                    reply = await self._follow(mine, step.routed, query, view)
            except ExpertError as error:
                errors.append(error)
                reply = mine.failed(step.routed, error)
            await listener.finish(reply.text)
            replies.append(reply)
            said = None if reply.result is None else Answer(reply.text, reply.result)
            earlier.append(Earlier(part.text, reply.expert, step.routed.intent, said))
        course.answer_s = sum(reply.answer_s for reply in replies)
        if len(errors) == len(replies):
            raise all_failed(replies, errors)
        return course.joined(routed, replies)

    # --- Answering ---------------------------------------------------------------------------------------------------

    async def _invoke(self, course: Course) -> Reply:
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

    async def _answer(self, course: Course, routed: Routed, query: Query) -> Reply:
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
        return course.reply(routed, outcome, slot.name, slot.version)

    async def _lease_and_answer(self, course: Course, name: str, query: Query) -> tuple[Slot, Outcome]:
        def leased(slot: Slot) -> None:
            course.expert, course.version = slot.name, slot.version

        slot = self._fleet.view.slots.get(name)
        # It is to be loaded first, or answers from a process of its own.
        away = slot is not None and (slot.servable is None or slot.servable.worker_pid() != 0)
        with course.elsewhere() if away else contextlib.nullcontext():
            return await self._fleet.answer(name, query, course.listener.delta, leased)

    async def _ask_titan(self, course: Course, routed: Routed, query: Query, why: str, reason: str = "") -> Reply:
        """why: no expert of this machine answers. reason: the machine-readable form of it, if it has one."""
        course.fallback = course.fallback or (reason if reason else "no expert fits")
        course.expert, course.version = TITAN, 0
        started = time.perf_counter()
        try:
            if course.ask.local_only:
                raise UnavailableError("the request is to stay on this machine", reason="LOCAL_ONLY")
            with course.elsewhere():
                outcome = await self._titan.answer(request.in_context(query), course.listener.delta)
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
        return course.reply(routed, outcome, TITAN, 0)

    def _query(self, ask: Ask, routed: Routed, payload: str | None) -> Query:
        return Query(
            text=ask.text,
            now=self._clock().astimezone(ask.zone),
            zone=ask.zone,
            intent=routed.intent,
            payload=payload,
            series=ask.series,
            document=ask.document,
            further=ask.further,
            schema=ask.schema,
            locale=ask.locale,
            session=ask.session,
        )

    def _course(self, ask: Ask, listener: Listener) -> Course:
        return Course(ask, listener, self._trace_ids.next(), self._clock())


def _ask_back(decision: Decision, view: View[RouteIndex]) -> str:
    names = [decision.expert, *(other.expert for other in decision.alternatives)]
    experts = list(dict.fromkeys(name for name in names if name in view.slots))[:2]
    offers = [f"{name} ({view.slots[name].bundle.manifest.summary.rstrip('.')})" for name in experts]
    return f"Did you mean {' or '.join(offers)}?"
