"""What can go wrong between an app and the daemon, and how a gRPC status becomes one of these.

    ExpertdError
    ├── InputError               refused here, before anything was sent: a file, a series, a text that breaks a rule
    ├── DaemonDownError          nobody answers on the socket
    ├── InvalidError             the daemon refused the request: the caller can mend it
    ├── NotFoundError            no such expert, version, model or trace
    ├── FailedPreconditionError  makes no sense in the present state
    ├── UnavailableError         nobody can answer now: no titan, no model, a worker gone
    ├── ExhaustedError           too much: size, memory, disk, requests in flight, budget
    ├── DeadlineError            not in time
    ├── CancelledError           called off
    ├── DeniedError              this caller may not
    └── InternalError            a broken promise of the daemon's

It does not know which call failed or how to try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

import grpc

_NONE: Mapping[str, str] = MappingProxyType({})


class ExpertdError(Exception):
    """The base of every error that the client raises; its text names the thing, the rule and the way out.

    reason: stable, upper snake case, for programs (`TIME_IN_PAST`); "" when the daemon gave none, or when the package
    `googleapis-common-protos`, which decodes it, is not installed. metadata: what belongs to the reason
    (`{"nearest": "timers"}`). fields: the parts of the request at fault, each with what is wrong with it.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] = _NONE,
        fields: Mapping[str, str] = _NONE,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = metadata
        self.fields = fields


class InputError(ExpertdError):
    """What was given breaks a rule, and was not sent."""


class DaemonDownError(ExpertdError):
    """Nobody answers on the socket; the text names it and says how to start the daemon."""


class InvalidError(ExpertdError):
    """The daemon refused the request as it is (INVALID_ARGUMENT, OUT_OF_RANGE)."""


class NotFoundError(ExpertdError):
    """There is no such expert, version, model or trace (NOT_FOUND)."""


class FailedPreconditionError(ExpertdError):
    """The order makes no sense in the present state (FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED)."""


class UnavailableError(ExpertdError):
    """The daemon is there, but nobody can answer now (UNAVAILABLE)."""


class ExhaustedError(ExpertdError):
    """A limit was met (RESOURCE_EXHAUSTED)."""


class DeadlineError(ExpertdError):
    """The answer did not come in time (DEADLINE_EXCEEDED)."""


class CancelledError(ExpertdError):
    """The call was called off (CANCELLED)."""


class DeniedError(ExpertdError):
    """This caller may not do that (PERMISSION_DENIED, UNAUTHENTICATED)."""


class InternalError(ExpertdError):
    """The daemon broke a promise (INTERNAL, UNKNOWN, DATA_LOSS), or is too old to know the call (UNIMPLEMENTED)."""


# Codes that are not here become an InternalError.
_OF_CODE: Mapping[grpc.StatusCode, type[ExpertdError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ALREADY_EXISTS: FailedPreconditionError,
    grpc.StatusCode.ABORTED: FailedPreconditionError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.CANCELLED: CancelledError,
    grpc.StatusCode.PERMISSION_DENIED: DeniedError,
    grpc.StatusCode.UNAUTHENTICATED: DeniedError,
}

_DETAILS_KEY = "grpc-status-details-bin"


def from_rpc(error: grpc.RpcError) -> ExpertdError:
    """The error that a failed call stands for. error: as raised by grpc or grpc.aio."""
    call = cast("grpc.Call", error)
    code, text = call.code(), call.details() or ""
    kind = _OF_CODE.get(code, InternalError)
    details = _details(call.trailing_metadata() or ())
    if code is grpc.StatusCode.UNIMPLEMENTED:
        text = f"the daemon does not know this call ({text}); it is older than this client: update and restart it"
    return kind(
        text or f"the daemon gave no reason ({code.name})",
        reason=details.reason,
        metadata=details.metadata,
        fields=details.fields,
    )


def told_by_daemon(error: grpc.RpcError) -> bool:
    """Whether the daemon itself sent this status; otherwise the wire made it up."""
    trailing = cast("grpc.Call", error).trailing_metadata() or ()
    return any(key == _DETAILS_KEY for key, _ in trailing)


@dataclass(frozen=True, slots=True)
class _Details:
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


def _details(trailing: Iterable[tuple[str, str | bytes]]) -> _Details:
    raw = next((value for key, value in trailing if key == _DETAILS_KEY), None)
    if not isinstance(raw, bytes):
        return _Details()
    try:
        from google.rpc import error_details_pb2, status_pb2
    except ImportError:
        # The client alone does without it: the status and its text are enough for people.
        return _Details()
    from google.protobuf.message import DecodeError

    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    try:
        for detail in status_pb2.Status.FromString(raw).details:
            # Each takes the detail that is of its type, and leaves the others.
            _ = detail.Unpack(info) or detail.Unpack(request)
    except DecodeError:
        return _Details()
    return _Details(
        reason=info.reason,
        metadata=dict(info.metadata),
        fields={violation.field: violation.description for violation in request.field_violations},
    )
