"""The service that apps call: decodes, sets the deadline, and lets the engine do the rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import grpc

from expertd.experts.errors import FleetError, QueryError
from expertd.experts.values import Answer as ExpertAnswer
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

from . import wire
from .course import Silent
from .engine import Engine
from .events import Broker, ExpertChangedEvent, FiredEvent
from .explanation import TIERS, explanation
from .reply import Reply, Routed
from .request import Ask as Asked
from .request import read_schema
from .traces import Traces

Context = grpc.aio.ServicerContext[Any, Any]

_VERDICTS = {
    "routed": pb.Decision.VERDICT_ROUTED,
    "clarify": pb.Decision.VERDICT_CLARIFY,
    "titan": pb.Decision.VERDICT_TITAN,
    "invoked": pb.Decision.VERDICT_INVOKED,
    "compound": pb.Decision.VERDICT_COMPOUND,
}
_OUTCOMES = {
    "answered": pb.Answer.OUTCOME_ANSWERED,
    "clarify": pb.Answer.OUTCOME_CLARIFY,
    "failed": pb.Answer.OUTCOME_FAILED,
}
# The caller's own deadline, less what the way back takes.
_MARGIN_S = 0.002


class AssistantService(assistant_pb2_grpc.AssistantServicer):
    """zone: of the machine, asked anew for each request, for it may travel."""

    def __init__(
        self, engine: Engine, events: Broker, traces: Traces, *, zone: Callable[[], ZoneInfo], locale: str
    ) -> None:
        self._engine = engine
        self._events = events
        self._traces = traces
        self._zone = zone
        self._locale = locale

    async def Ask(self, request: pb.AskRequest, context: Context) -> pb.AskResponse:
        async with _deadline(context):
            reply = await self._engine.ask(self._ask(request.input, request.context), Silent())
        return pb.AskResponse(answer=answer(reply))

    async def AskStream(self, request: pb.AskRequest, context: Context) -> AsyncIterator[pb.AskStreamResponse]:
        listener = _Parts()
        ask = self._ask(request.input, request.context)
        async with _deadline(context):
            work = asyncio.create_task(self._engine.ask(ask, listener))
            work.add_done_callback(lambda _: listener.end())
            try:
                async for part in listener:
                    yield part
                yield pb.AskStreamResponse(answer=answer(await work))
            finally:
                work.cancel()

    async def Route(self, request: pb.RouteRequest, context: Context) -> pb.RouteResponse:
        ask = self._ask(pb.Input(text=request.text), pb.Context())
        async with _deadline(context):
            if not request.explain:
                return pb.RouteResponse(decision=decision(await self._engine.route(ask)))
            routed, explanations = await self._engine.explain(ask)
        whole = explanation(routed.instruction, explanations[routed.instruction])
        for step in routed.parts:
            whole.parts.append(explanation(step.part.text, explanations[step.part.text]))
        return pb.RouteResponse(decision=decision(routed), explanation=whole)

    async def Invoke(self, request: pb.InvokeRequest, context: Context) -> pb.InvokeResponse:
        if not request.expert:
            raise QueryError("no expert is named; name one, or use Ask", reason="NO_EXPERT", field="expert")
        ask = self._ask(request.input, request.context, request.expert, request.intent)
        async with _deadline(context):
            reply = await self._engine.ask(ask, Silent())
        return pb.InvokeResponse(answer=answer(reply))

    async def Events(self, request: pb.EventsRequest, context: Context) -> AsyncIterator[pb.EventsResponse]:
        async with self._events.subscribe() as subscription:
            first = pb.EventsResponse(subscribed=pb.EventsResponse.Subscribed())
            first.time.GetCurrentTime()
            yield first
            async for event in subscription:
                yield _event(event)

    async def Feedback(self, request: pb.FeedbackRequest, context: Context) -> pb.FeedbackResponse:
        verdicts = {pb.FeedbackRequest.VERDICT_GOOD: "good", pb.FeedbackRequest.VERDICT_BAD: "bad"}
        if request.verdict not in verdicts:
            raise QueryError("no verdict is given; say good or bad", reason="NO_VERDICT", field="verdict")
        verdict = verdicts[request.verdict]
        answered = await asyncio.to_thread(self._traces.feedback, request.trace_id, verdict, request.correction)
        if answered is None:
            raise FleetError(
                f"{request.trace_id!r}: no such trace; the ids are in every answer and in `expertctl traces`",
                reason="UNKNOWN_TRACE",
            )
        self._engine.feedback(*answered, good=verdict == "good")
        return pb.FeedbackResponse()

    async def Echo(self, request: pb.EchoRequest, context: Context) -> pb.EchoResponse:
        return pb.EchoResponse()

    def _ask(self, message: pb.Input, context: pb.Context, expert: str = "", intent: str = "") -> Asked:
        try:
            zone = ZoneInfo(context.time_zone) if context.time_zone else self._zone()
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise QueryError(
                f'{context.time_zone!r} is no time zone; give an IANA name such as "Europe/Berlin"',
                reason="UNKNOWN_TIME_ZONE",
                field="context.time_zone",
            ) from None
        return Asked(
            text=message.text,
            zone=zone,
            locale=context.locale or self._locale,
            expert=expert,
            intent=intent,
            series=wire.series_from_proto(message.series) if message.HasField("series") else None,
            document=wire.document_from_proto(message.document) if message.HasField("document") else None,
            further=tuple(map(wire.document_from_proto, message.further_documents)),
            schema=read_schema(message.schema),
            session=context.session,
            app=context.app,
            local_only=context.local_only,
            # What a newer client may say beside these counts as interactive, as silence does.
            priority="background" if context.priority == pb.Context.PRIORITY_BACKGROUND else "interactive",
        )


class _Parts:
    """Decision and deltas on their way from the engine to the stream; a slow reader holds the writer back."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[pb.AskStreamResponse | None] = asyncio.Queue(maxsize=64)

    async def decided(self, routed: Routed) -> None:
        await self._queue.put(pb.AskStreamResponse(decision=decision(routed)))

    async def delta(self, text: str) -> None:
        await self._queue.put(pb.AskStreamResponse(delta=text))

    def end(self) -> None:
        # Full: whoever drains it sees the end after what is queued.
        if self._queue.full():
            asyncio.get_running_loop().call_later(0.01, self.end)
        else:
            self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[pb.AskStreamResponse]:
        while (part := await self._queue.get()) is not None:
            yield part


@contextlib.asynccontextmanager
async def _deadline(context: Context) -> AsyncIterator[None]:
    """The caller's deadline, if it has one. Raises: TimeoutError."""
    remaining = context.time_remaining()
    async with asyncio.timeout(None if remaining is None else max(remaining - _MARGIN_S, 0)):
        yield


def decision(routed: Routed) -> pb.Decision:
    message = pb.Decision(
        verdict=_VERDICTS[routed.verdict],
        expert=routed.expert,
        intent=routed.intent,
        confidence=routed.confidence,
        view=routed.view,
        instruction=routed.instruction,
    )
    if routed.parts:
        message.reason = f"{len(routed.parts)} requests in one, answered in order"
        for step in routed.parts:
            part = message.parts.add(text=step.part.text, reference=step.part.reference, decision=decision(step.routed))
            if step.part.antecedent >= 0:
                part.antecedent = step.part.antecedent
    elif (made := routed.decision) is not None:
        message.tier = TIERS[made.tier]
        message.reason = made.reason
        message.language = made.language
        for other in made.alternatives:
            message.alternatives.add(expert=other.expert, intent=other.intent, confidence=other.confidence)
    return message


def answer(reply: Reply) -> pb.Answer:
    if reply.result is None:
        message = pb.Answer(text=reply.text, outcome=_OUTCOMES[reply.outcome], reason=reply.reason)
    else:
        message = wire.answer_to_proto(ExpertAnswer(reply.text, reply.result))
    message.decision.CopyFrom(decision(reply.routed))
    message.expert = reply.expert
    message.version = reply.version
    message.trace_id = reply.trace_id
    message.timings.total.CopyFrom(wire.duration(reply.total_s))
    message.timings.route.CopyFrom(wire.duration(reply.routed.took_s))
    message.timings.answer.CopyFrom(wire.duration(reply.answer_s))
    message.parts.extend(answer(part) for part in reply.parts)
    return message


def _event(event: FiredEvent | ExpertChangedEvent) -> pb.EventsResponse:
    message = pb.EventsResponse(time=wire.timestamp(event.time))
    match event:
        case FiredEvent():
            message.fired.CopyFrom(
                pb.Fired(
                    id=event.id,
                    kind=event.kind,
                    name=event.name,
                    text=event.text,
                    due=wire.timestamp(event.due),
                    late=wire.duration(event.late),
                )
            )
        case ExpertChangedEvent():
            message.expert_changed.CopyFrom(
                pb.ExpertChanged(expert=event.expert, version=event.version, state=event.state, reason=event.reason)
            )
    return message
