"""The same verbs as `Client`, for coroutines. The operator's verbs are left to `Client.fleet`, in a thread."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import grpc

from expertd.v1 import assistant_pb2 as assistant

from .client import About, ask_request, checked_text, cut_short, feedback_request, invoke_request, part_of
from .wire import CHANNEL_OPTIONS, default_socket, error_of, target

if TYPE_CHECKING:
    from expertd.v1.assistant_pb2_grpc import AssistantAsyncStub

R = TypeVar("R")


class AsyncClient:
    """A connection to the daemon for one event loop; parameters, results and errors as in `Client`.

    Cancelling the coroutine, or leaving the iterator, calls the work off.
    """

    def __init__(self, socket: Path | str | None = None, timeout_s: float = 30.0, *, app: str = "") -> None:
        self.socket = default_socket() if socket is None else Path(socket)
        self._timeout_s = timeout_s
        self._app = app

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def ask(
        self,
        text: str = "",
        *,
        on_delta: Callable[[str], None] | None = None,
        timeout_s: float | None = None,
        **about: Unpack[About],
    ) -> assistant.Answer:
        if on_delta is None:
            request = ask_request(text, self._app, about)
            limit_s = timeout_s or self._timeout_s
            return (await self._reply(self._stub.Ask(request, timeout=limit_s), limit_s)).answer
        answer = assistant.Answer()
        # To the end, beyond the answer: leaving early would call off what the daemon still has to note down.
        async for part in self.stream(text, timeout_s=timeout_s, **about):
            if isinstance(part, str):
                on_delta(part)
            elif isinstance(part, assistant.Answer):
                answer = part
        return answer

    async def stream(
        self, text: str = "", *, timeout_s: float | None = None, **about: Unpack[About]
    ) -> AsyncIterator[assistant.Decision | str | assistant.Answer]:
        limit_s, began = timeout_s or self._timeout_s, time.monotonic()
        call = self._stub.AskStream(ask_request(text, self._app, about), timeout=limit_s)
        answered = False
        try:
            async for message in call:
                part = part_of(message)
                yield part
                answered = isinstance(part, assistant.Answer)
        except grpc.RpcError as error:
            raise error_of(error, self.socket, limit_s, began) from None
        finally:
            call.cancel()
        if not answered:
            raise cut_short()

    async def invoke(
        self,
        expert: str,
        text: str = "",
        *,
        intent: str = "",
        timeout_s: float | None = None,
        **about: Unpack[About],
    ) -> assistant.Answer:
        request = invoke_request(expert, text, intent, self._app, about)
        limit_s = timeout_s or self._timeout_s
        return (await self._reply(self._stub.Invoke(request, timeout=limit_s), limit_s)).answer

    async def route(self, text: str) -> assistant.Decision:
        request = assistant.RouteRequest(text=checked_text(text))
        return (await self._reply(self._stub.Route(request, timeout=self._timeout_s))).decision

    async def explain(self, text: str) -> assistant.RouteResponse:
        request = assistant.RouteRequest(text=checked_text(text), explain=True)
        return await self._reply(self._stub.Route(request, timeout=self._timeout_s))

    async def feedback(self, trace_id: str, good: bool, correction: str = "") -> None:
        await self._reply(self._stub.Feedback(feedback_request(trace_id, good, correction), timeout=self._timeout_s))

    async def events(self) -> AsyncIterator[assistant.EventsResponse]:
        call = self._stub.Events(assistant.EventsRequest())
        try:
            async for event in call:
                yield event
        except grpc.RpcError as error:
            raise error_of(error, self.socket) from None
        finally:
            call.cancel()

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(target(self.socket), options=CHANNEL_OPTIONS)

    @cached_property
    def _stub(self) -> AssistantAsyncStub:
        from expertd.v1.assistant_pb2_grpc import AssistantStub

        return AssistantStub(self._channel)

    async def _reply(self, call: Awaitable[R], limit_s: float | None = None) -> R:
        began = time.monotonic()
        try:
            return await call
        except grpc.RpcError as error:
            raise error_of(error, self.socket, limit_s, began) from None
