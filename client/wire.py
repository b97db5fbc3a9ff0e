"""Where the daemon listens, and how a call reaches it: one channel, deadlines, statuses turned into errors.

It does not know what the calls mean.
"""

from __future__ import annotations

import os
import socket as sockets
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote

import grpc

from .errors import CancelledError, DaemonDownError, DeadlineError, ExpertdError, InputError, from_rpc, told_by_daemon

if TYPE_CHECKING:
    from expertd.v1.assistant_pb2_grpc import AssistantStub
    from expertd.v1.fleet_pb2_grpc import FleetStub

Q = TypeVar("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

SYSTEM_SOCKET = Path("/run/expertd/expertd.sock")
# Linux: 108, one of them the closing NUL.
MAX_PATH_BYTES = 107

CHANNEL_OPTIONS = (
    # Answers may carry a whole document.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # A daemon that restarts is found again within a second, not after minutes of back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Two clients of one process do not wait for one another's back-off.
    ("grpc.use_local_subchannel_pool", 1),
    # A socket on this machine is never behind a proxy.
    ("grpc.enable_http_proxy", 0),
)


# --- Where -----------------------------------------------------------------------------------------------------------


def default_socket() -> Path:
    """Where the daemon listens: $EXPERTD_SOCKET, else the user's own runtime folder, else the system's socket.

    The user's: $XDG_RUNTIME_DIR/expertd/expertd.sock, else /run/user/<uid>/expertd/expertd.sock if /run/user/<uid>
    exists, else /tmp/expertd-<uid>/expertd.sock. The system's, /run/expertd/expertd.sock, only if it exists and the
    user's does not. The daemon goes by the same rule.

    Raises: DaemonDownError when it would be under /tmp, where anybody may write, in a folder that is not the user's
    alone.
    """
    if named := os.environ.get("EXPERTD_SOCKET"):
        return Path(named).absolute()
    granted = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    own, shared = Path(f"/run/user/{os.getuid()}"), Path(f"/tmp/expertd-{os.getuid()}")  # noqa: S108, checked below
    if granted.is_absolute():  # else it is ignored, as the XDG base directory specification asks
        folder = granted / "expertd"
    elif own.is_dir():
        folder = own / "expertd"
    else:
        folder = shared
    chosen = folder / "expertd.sock"
    # os.path: a folder that may not be looked into counts as one without the socket.
    if not os.path.exists(chosen) and os.path.exists(SYSTEM_SOCKET):
        return SYSTEM_SOCKET
    if folder == shared:
        _refuse_foreign(folder)
    return chosen


def _refuse_foreign(folder: Path) -> None:
    try:
        found = folder.lstat()
    except OSError:
        return
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700:
        return
    raise DaemonDownError(
        f"{folder} is not a folder of yours alone (owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}; "
        f"it must be owner {os.getuid()}, mode 0700): somebody else could listen there; remove it, or set "
        "EXPERTD_SOCKET or XDG_RUNTIME_DIR",
        reason="UNSAFE_SOCKET",
    )


def knock(socket: Path) -> str:
    """Why nobody answers on the socket; "" when somebody does."""
    try:
        with sockets.socket(sockets.AF_UNIX) as door:
            door.settimeout(1.0)
            door.connect(str(socket))
    except FileNotFoundError:
        return f"there is no socket {socket}"
    except PermissionError:
        return f"the socket {socket} is not yours to open"
    except ConnectionRefusedError:
        try:
            if not stat.S_ISSOCK(socket.stat().st_mode):
                return f"{socket} is not a socket"
        except OSError:  # gone in between
            return f"there is no socket {socket}"
        return f"nobody listens on {socket}, left behind by a daemon that is gone"
    except OSError as error:
        return f"the socket {socket} cannot be opened: {error.strerror or error}"
    return ""


def daemon_down(socket: Path, why: str) -> DaemonDownError:
    start = (
        "`sudo systemctl start expertd`"
        if socket == SYSTEM_SOCKET
        else "`systemctl --user start expertd`, or `make run` in a checkout"
    )
    return DaemonDownError(
        f"expertd does not answer: {why}; start it with {start}", reason="DAEMON_DOWN", metadata={"socket": str(socket)}
    )


def target(socket: Path) -> str:
    """The socket as gRPC names it, which is a URI: what is special in one is escaped.

    Raises: DaemonDownError when the path is longer than the system lets a socket's be.
    """
    path = os.fsencode(socket.absolute())
    if len(path) > MAX_PATH_BYTES:
        raise DaemonDownError(
            f"{socket} has {len(path)} bytes; the path of a socket has at most {MAX_PATH_BYTES}: choose a shorter one",
            reason="PATH_TOO_LONG",
        )
    return f"unix:{quote(path)}"


# How gRPC puts it that a connection ended under a call, and that none came about.
_ENDED = ("stream removed", "socket closed", "connection reset", "broken pipe", "goaway")
_UNCONNECTED = "failed to connect to all addresses"


def error_of(
    error: grpc.RpcError, socket: Path, timeout_s: float | None = None, began: float | None = None
) -> ExpertdError:
    """The error that a failed call stands for, told apart: the daemon is gone, or is there and says so itself.

    timeout_s: the call's; began: when it began, by the monotonic clock.
    """
    found = from_rpc(error)
    if told_by_daemon(error):
        if found.reason != "DEADLINE" or timeout_s is None or began is None:
            return found
        if (waited_s := time.monotonic() - began) < timeout_s - 1:
            why = f"no answer within {waited_s:.0f} s, the daemon's own limit; see its configuration"
        else:
            why = f"no answer within {timeout_s:g} s; allow more with --timeout (in a program: timeout_s)"
        return DeadlineError(why, reason=found.reason, metadata=found.metadata)
    text = str(found).lower()
    if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN} and any(end in text for end in _ENDED):
        why = knock(socket)
        now = str(daemon_down(socket, why)) if why else "it answers again: try again"
        return DaemonDownError(
            f"expertd ended while answering; {now}", reason="DAEMON_ENDED", metadata={"socket": str(socket)}
        )
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        if why := knock(socket):
            return daemon_down(socket, why)
        if _UNCONNECTED in text:
            return daemon_down(socket, f"nobody listened on {socket} just now, though somebody does again")
    if isinstance(found, DeadlineError):
        return DeadlineError(
            f"expertd did not answer in time on {socket}; allow more (`timeout_s`, `--timeout`), or see whether it "
            "hangs with `expertctl doctor`"
        )
    return found


# --- How -------------------------------------------------------------------------------------------------------------


class _Call(Protocol):
    def cancel(self) -> object: ...


class _Telling(_Call, Protocol[R_co]):
    def __iter__(self) -> Iterator[R_co]: ...


class _Patience:
    """Cancels a call once nothing has moved on it for `limit_s`. Any thread may say that something moved."""

    def __init__(self, call: _Call, limit_s: float) -> None:
        self.limit_s = limit_s
        self.ran_out = False
        self._call = call
        self._until = time.monotonic() + limit_s
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="expertd-patience", daemon=True).start()

    def moved(self) -> None:
        self._until = time.monotonic() + self.limit_s

    def rest(self) -> None:
        """Nothing is expected until the next `moved`: the caller is busy with what came."""
        self._until = float("inf")

    def stop(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(min(max(self._until - time.monotonic(), 0.01), self.limit_s)):
            if time.monotonic() >= self._until:
                self.ran_out = True
                self._call.cancel()
                return


class _Parts(Iterator[Q]):
    """What is uploaded. gRPC pulls it from a thread of its own and would print what goes wrong there: it is kept."""

    def __init__(self, parts: Iterator[Q]) -> None:
        self.error: Exception | None = None
        self._parts = parts
        self._attached = threading.Event()
        self._call: _Call | None = None
        self._patience: _Patience | None = None

    def attach(self, call: _Call, patience: _Patience) -> None:
        self._call, self._patience = call, patience
        self._attached.set()

    def __next__(self) -> Q:
        if self._patience:
            self._patience.moved()
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            self._attached.wait()
            if self._call:
                self._call.cancel()
            raise StopIteration from None


class Wire:
    """One channel, opened by the first call and shared by all threads."""

    def __init__(self, socket: Path, timeout_s: float) -> None:
        self.socket = socket
        self.timeout_s = timeout_s
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stubs: tuple[AssistantStub, FleetStub] | None = None
        self._closed = False

    @property
    def assistant(self) -> AssistantStub:
        return self._open()[0]

    @property
    def fleet(self) -> FleetStub:
        return self._open()[1]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._channel is not None:
                self._channel.close()

    def unary(self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q, timeout_s: float | None = None) -> R:
        """Raises: ExpertdError."""
        limit_s, began = self.timeout_s if timeout_s is None else timeout_s, time.monotonic()
        try:
            return method(request, timeout=limit_s)
        except grpc.RpcError as error:
            raise error_of(error, self.socket, limit_s, began) from None

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Q, R],
        request: Q,
        *,
        timeout_s: float | None = None,
        patience_s: float | None = None,
        first_s: float | None = None,
    ) -> Iterator[R]:
        """What the daemon tells, message by message. The call starts now; leaving the iterator cancels it.

        timeout_s: for the whole call; patience_s: the longest silence; first_s: the longest wait for the first message.
        None: without limit.

        Raises: ExpertdError, while iterating.
        """
        began = time.monotonic()
        call = method(request, timeout=timeout_s)
        limit_s = patience_s or first_s
        patience = _Patience(call, limit_s) if limit_s else None
        return self._told(call, patience, only_first=patience_s is None, timeout_s=timeout_s, began=began)

    def exchange(
        self, method: grpc.StreamStreamMultiCallable[Q, R], parts: Iterator[Q], *, patience_s: float
    ) -> Iterator[R]:
        """Uploads `parts`, and gives what the daemon tells meanwhile and after.

        Raises: ExpertdError, and whatever `parts` raises, while iterating.
        """
        upload = _Parts(parts)
        call = method(upload)
        patience = _Patience(call, patience_s)
        upload.attach(call, patience)
        return self._told(call, patience, upload=upload)

    def upload(self, method: grpc.StreamUnaryMultiCallable[Q, R], parts: Iterator[Q], *, patience_s: float) -> R:
        """Uploads `parts`, and gives the reply. Raises: ExpertdError, and whatever `parts` raises."""
        upload = _Parts(parts)
        call = method.future(upload)
        patience = _Patience(call, patience_s)
        upload.attach(call, patience)
        try:
            return call.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise self._why(error, patience, upload) from None
        finally:
            patience.stop()
            call.cancel()

    def _told(
        self,
        call: _Telling[R],
        patience: _Patience | None,
        *,
        only_first: bool = False,
        upload: _Parts[Q] | None = None,
        timeout_s: float | None = None,
        began: float | None = None,
    ) -> Iterator[R]:
        try:
            for message in call:
                if patience:
                    patience.rest()
                yield message
                if patience and not only_first:
                    patience.moved()
        except grpc.RpcError as error:
            raise self._why(error, patience, upload, timeout_s, began) from None
        finally:
            if patience:
                patience.stop()
            call.cancel()

    def _why(
        self,
        error: Exception,
        patience: _Patience | None,
        upload: _Parts[Q] | None,
        timeout_s: float | None = None,
        began: float | None = None,
    ) -> Exception:
        if upload and upload.error:
            return upload.error
        if patience and patience.ran_out:
            return DeadlineError(
                f"expertd on {self.socket} has said nothing for {patience.limit_s:g} s; see whether it hangs with "
                "`expertctl doctor`"
            )
        if isinstance(error, grpc.RpcError):
            return error_of(error, self.socket, timeout_s, began)
        return CancelledError("the call was called off")

    def _open(self) -> tuple[AssistantStub, FleetStub]:
        if self._stubs is not None and not self._closed:
            return self._stubs
        with self._lock:
            if self._closed:
                raise InputError("this client is closed; make a new one")
            if self._stubs is None:
                from expertd.v1.assistant_pb2_grpc import AssistantStub
                from expertd.v1.fleet_pb2_grpc import FleetStub

                self._channel = grpc.insecure_channel(target(self.socket), options=CHANNEL_OPTIONS)
                self._stubs = AssistantStub(self._channel), FleetStub(self._channel)
            return self._stubs
