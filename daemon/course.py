"""The course of one request: who is told of it, what it ends with, the trace that it leaves.

Knows no wire, no expert and no router: it is told what happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from expertd.experts.errors import ExpertError, FleetError, QueryError, UnavailableError
from expertd.experts.values import Answer, Outcome, Result

from .reply import Reply, Routed
from .request import Ask
from .traces import Trace, Traces


class OverloadedError(Exception):
    """More requests are in flight than the configuration allows; `retry_after_s` says when to come back."""

    def __init__(self, text: str, retry_after_s: float = 0.5) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Listener(Protocol):
    """Who is told as it happens."""

    async def decided(self, routed: Routed) -> None: ...
    async def delta(self, text: str) -> None: ...


@dataclass(slots=True)
class Course:
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
    # Of a part: which one of which request.
    place: str = ""
    # Around what waits for another process: the daemon goes on with others meanwhile.
    elsewhere: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext

    def reply(self, routed: Routed, outcome: Outcome, expert: str, version: int) -> Reply:
        """What the request ends with: an answer, or a question back."""
        self.expert, self.version = expert, version
        if isinstance(outcome, Answer):
            return self._ended(routed, "answered", outcome.text, result=outcome.result)
        return self._ended(routed, "clarify", outcome.reason)

    def joined(self, routed: Routed, replies: Sequence[Reply]) -> Reply:
        """The replies to the parts of a compound request as one."""
        answered = any(reply.outcome == "answered" for reply in replies)
        text = "\n".join(reply.text for reply in replies)
        return self._ended(routed, "answered" if answered else "clarify", text, parts=tuple(replies))

    def failed(self, routed: Routed, error: ExpertError) -> Reply:
        """What stands in the place of a part's answer."""
        text = f'"{routed.instruction}" was not answered: {error}'
        return self._ended(routed, "failed", text, reason=getattr(error, "reason", ""))

    def _ended(
        self,
        routed: Routed,
        outcome: Literal["answered", "clarify", "failed"],
        text: str,
        *,
        result: Result | None = None,
        reason: str = "",
        parts: tuple[Reply, ...] = (),
    ) -> Reply:
        if outcome != "failed":  # else the error's name is its outcome
            self.outcome = outcome
        return Reply(
            text=text,
            outcome=outcome,
            routed=routed,
            expert=self.expert,
            version=self.version,
            trace_id=self.trace_id,
            total_s=time.perf_counter() - self.started,
            answer_s=self.answer_s,
            result=result,
            reason=reason,
            parts=parts,
        )

    @contextlib.contextmanager
    def traced(self, traces: Traces) -> Iterator[None]:
        """It leaves one trace, however it ends."""
        try:
            yield
        except BaseException as error:
            # The code alone: the message may quote the request, whose words are kept only where the operator says so.
            self.outcome = _outcome_of(error)
            self.reason = getattr(error, "reason", "") or type(error).__name__
            raise
        finally:
            traces.record(self._trace())

    def _trace(self) -> Trace:
        ask, routed = self.ask, self.routed
        return Trace(
            id=self.trace_id,
            time=self.began,
            app=ask.app,
            session=ask.session,
            verdict="invoked" if ask.expert else "" if routed is None else routed.verdict,
            expert=ask.expert if routed is None else routed.expert,
            version=self.version,
            intent=ask.intent if routed is None else routed.intent,
            confidence=1.0 if ask.expert else 0.0 if routed is None else routed.confidence,
            tier="" if routed is None else routed.tier,
            outcome=self.outcome,
            reason="; ".join(filter(None, (self.place, self.fallback, self.reason))),
            route_s=0.0 if routed is None else routed.took_s,
            answer_s=self.answer_s,
            total_s=time.perf_counter() - self.started,
            text=ask.text,
            answered_by=self.expert if self.outcome == "answered" else "",
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


# --- Listeners -------------------------------------------------------------------------------------------------------


class PartListener:
    """Passes on what a part tells, and in the end what it has not told of its text."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told = ""

    async def decided(self, routed: Routed) -> None:
        """The whole's decision has been told, its parts in it."""

    async def delta(self, text: str) -> None:
        self._told += text
        await self._listener.delta(text)

    async def finish(self, text: str) -> None:
        # What broke off half told is told anew, on a line of its own.
        rest = text.removeprefix(self._told) if text.startswith(self._told) else f"\n{text}"
        if rest:
            await self._listener.delta(rest)


class Silent:
    """Listens to nothing: unary calls want the whole answer alone."""

    async def decided(self, routed: Routed) -> None:
        pass

    async def delta(self, text: str) -> None:
        pass
