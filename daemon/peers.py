"""Other processes that answer: asks them over a socket. What they do, and who keeps them alive, is not known here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2

from expertd.experts.errors import QueryError, StoreError, UnavailableError
from expertd.experts.servable import Emit
from expertd.experts.values import Outcome
from expertd.v1 import worker_pb2, worker_pb2_grpc

from . import wire
from .child import CHANNEL_OPTIONS, Child, Line, Patience
from .status import DETAILS_KEY, DOMAIN

__all__ = ["Child", "Distant", "Line", "Patience", "Peer", "SilentError", "ask", "ask_peer", "refusal_of"]


class SilentError(Exception):
    """A call got no sign of life for as long as it waits for one."""


class _Counting:
    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.pieces = 0

    async def __call__(self, piece: str) -> None:
        self.pieces += 1
        await self._emit(piece)


async def ask_peer(
    peer: Peer,
    request: worker_pb2.WorkerAnswerRequest,
    emit: Emit,
    *,
    timeout_s: float | None = None,
    silence_s: float | None = None,
) -> Outcome:
    """Asks another process; once more when it died before it said anything, for then nothing took effect.

    silence_s: a peer that gives no sign of life for so long is killed. None: it gives none, and is waited for.

    Raises: QueryError, UnavailableError: as it says, or WORKER_DIED, WORKER_STUCK, WORKER_FAILED, or as `Child.line`;
    TimeoutError after `timeout_s`.
    """
    retried = False
    while True:
        line = await peer.line()
        listener = _Counting(emit)
        try:
            outcome = await ask(
                line.channel, request, listener, timeout_s=timeout_s, silence_s=silence_s, name=peer.name
            )
            peer.answered()
            return outcome
        except SilentError as error:
            why = f"it gave no sign of life for {silence_s:g} s"
            peer.kill(line, why)
            await peer.death(line)
            problem = UnavailableError(
                f"{peer.name} was stuck ({why}); ask again", reason="WORKER_STUCK", retryable=True
            )
            problem.__cause__ = error
        except grpc.aio.AioRpcError as error:
            death = await peer.death(line)
            if death is None:
                raise UnavailableError(
                    f"{peer.name} failed ({error.details()}); its log says more", reason="WORKER_FAILED"
                ) from error
            problem = UnavailableError(
                f"{peer.name} died while it answered ({death}); ask again", reason="WORKER_DIED", retryable=True
            )
            problem.__cause__ = error
        if listener.pieces or retried:
            raise problem
        retried = True


async def ask(
    channel: grpc.aio.Channel,
    request: worker_pb2.WorkerAnswerRequest,
    emit: Emit,
    *,
    timeout_s: float | None = None,
    silence_s: float | None = None,
    name: str = "the worker",
) -> Outcome:
    """One question to a worker; cancelling it cancels the call. name: what errors call it.

    Raises: QueryError, UnavailableError: the worker refused; TimeoutError after `timeout_s`; SilentError after
    `silence_s` without a word; grpc.aio.AioRpcError: the call broke.
    """
    stub = worker_pb2_grpc.WorkerStub(channel)
    call = stub.Answer(request, timeout=timeout_s)
    last = worker_pb2.WorkerAnswerResponse()
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(silence_s) as silence:
            async for last in call:
                if last.delta:
                    # However long the listener takes, that is not the worker's silence.
                    silence.reschedule(None)
                    await emit(last.delta)
                if silence_s is not None:
                    silence.reschedule(clock() + silence_s)
        return wire.outcome_from_worker(last)
    except TimeoutError:
        if silence.expired():
            raise SilentError from None
        raise
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise TimeoutError from None
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from None
    except ValueError as error:
        raise UnavailableError(f"{name} broke the contract: {error}", reason="WORKER_FAILED") from error
    finally:
        call.cancel()


def refusal_of(error: grpc.aio.AioRpcError) -> QueryError | UnavailableError | StoreError | None:
    """What the other side refused with; None when the status is none of ours: the connection broke, say."""
    raw = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    if not isinstance(raw, bytes):
        return None
    status = status_pb2.Status.FromString(raw)
    info, bad, retryable = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), False
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        retryable = retryable or detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    match error.code() if info.domain == DOMAIN else None:
        case grpc.StatusCode.INVALID_ARGUMENT:
            field = bad.field_violations[0].field if bad.field_violations else "text"
            return QueryError(status.message, reason=info.reason, field=field)
        case grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(status.message, reason=info.reason, retryable=retryable)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return StoreError(status.message)
        case _:
            return None


class Distant:
    """A process that somebody else keeps alive, on a socket that is known."""

    def __init__(self, name: str, socket: Path) -> None:
        self.name = name
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS)

    async def line(self) -> Line:
        return Line(self._channel)

    async def death(self, _: Line) -> str | None:
        """Nobody here can tell."""
        return None

    def kill(self, line: Line, why: str) -> None:
        """That is for others to do."""

    def answered(self) -> None:
        """Nobody here counts."""

    async def close(self) -> None:
        await self._channel.close()


Peer = Child | Distant
