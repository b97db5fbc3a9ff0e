"""Errors as gRPC statuses with google.rpc details, at the edge and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from expertd.experts.errors import BundleError, FleetError, QueryError, StoreError, UnavailableError

from .course import OverloadedError
from .events import SlowSubscriberError
from .wire import duration

log = logging.getLogger(__name__)

DOMAIN = "expertd"
DETAILS_KEY = "grpc-status-details-bin"
# Details travel in HTTP/2 headers, which clients bound (8 KiB by default for all of them).
_MOST_MESSAGE_CHARS = 1500

_FLEET_CODES = {
    "UNKNOWN_EXPERT": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_INTENT": grpc.StatusCode.NOT_FOUND,
    "UNKNOWN_MODEL": grpc.StatusCode.NOT_FOUND,
}
_UNAVAILABLE_CODES = {"NO_MEMORY": grpc.StatusCode.RESOURCE_EXHAUSTED}


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """Ends the call with the status that the error means."""
    code, reason, more = _meaning(error)
    message = str(error)[:_MOST_MESSAGE_CHARS] or code.name.lower()
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN), *more):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    try:
        await context.abort(code, message, ((DETAILS_KEY, status.SerializeToString()),))
    except grpc.aio.AbortError as aborted:
        # Not by a callback of the context, which would be a circle of its own.
        asyncio.get_running_loop().call_later(1.0, _forget, aborted)
        raise
    raise AssertionError("abort returns to nobody")


def _forget(aborted: grpc.aio.AbortError) -> None:
    """The call keeps the error, and the error's traceback the call: what a flood's refusals left in such circles, the
    garbage collector would take away all at once, while everybody waits."""
    aborted.__traceback__ = aborted.__context__ = None


def _meaning(error: Exception) -> tuple[grpc.StatusCode, str, list[Message]]:
    match error:
        case QueryError():
            violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
            bad_request = error_details_pb2.BadRequest(field_violations=[violation])
            return grpc.StatusCode.INVALID_ARGUMENT, error.reason, [bad_request]
        case FleetError():
            return _FLEET_CODES.get(error.reason, grpc.StatusCode.FAILED_PRECONDITION), error.reason, []
        case BundleError():
            return grpc.StatusCode.INVALID_ARGUMENT, "BAD_BUNDLE", []
        case StoreError():
            return grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE", []
        case UnavailableError():
            retry = [error_details_pb2.RetryInfo(retry_delay=duration(1.0))] if error.retryable else []
            return _UNAVAILABLE_CODES.get(error.reason, grpc.StatusCode.UNAVAILABLE), error.reason, list(retry)
        case OverloadedError():
            retry = [error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after_s))]
            return grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_IN_FLIGHT", list(retry)
        case SlowSubscriberError():
            return grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_SUBSCRIBER", []
        case TimeoutError():
            return grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE", []
        case _:
            log.error("a request failed in a way that it must not", exc_info=error)
            return grpc.StatusCode.INTERNAL, "BUG", []


class Undecodable:
    """Stands for a message whose bytes are none: the handler refuses it with a clear status instead of INTERNAL."""

    def __init__(self, kind: str, error: Exception) -> None:
        self.error = QueryError(
            f"not a valid {kind} ({error}); text must be valid UTF-8 and the message must fit the contract",
            reason="UNDECODABLE",
            field="",
        )


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Every handler's errors become statuses, and so do requests that cannot be decoded."""

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(details)
        if handler is None or not details.method.startswith("/expertd."):
            return handler
        decode = _safe(handler.request_deserializer)
        if handler.request_streaming:
            return (
                grpc.stream_stream_rpc_method_handler(
                    _stream(handler.stream_stream), decode, handler.response_serializer
                )
                if handler.response_streaming
                else grpc.stream_unary_rpc_method_handler(
                    _unary(handler.stream_unary), decode, handler.response_serializer
                )
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream), decode, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary), decode, handler.response_serializer)


def _safe(deserialize: Any) -> Any:
    kind = getattr(getattr(deserialize, "__self__", None), "__name__", "request")

    def decode(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception as error:
            return Undecodable(kind, error)

    return decode


def _unary(handle: Any) -> Any:
    async def behaviour(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            if isinstance(request, Undecodable):
                raise request.error
            return await handle(request, context)
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:
            await abort(context, error)

    return behaviour


def _stream(handle: Any) -> Any:
    async def behaviour(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            if isinstance(request, Undecodable):
                raise request.error
            async for response in handle(request, context):
                yield response
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:
            await abort(context, error)

    return behaviour
