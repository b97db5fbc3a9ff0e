"""Other processes that answer: asks them over a socket, and keeps alive those that are our own.

What they do is not known here; any process that speaks `worker.proto` and grpc.health.v1 will do.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expertd.experts.errors import QueryError, StoreError, UnavailableError
from expertd.experts.servable import Emit
from expertd.experts.values import Outcome
from expertd.v1 import worker_pb2, worker_pb2_grpc

from . import wire
from .status import DETAILS_KEY, DOMAIN
from .worker import HOPELESS, MESSAGE_LIMITS

log = logging.getLogger(__name__)

# Each life has a socket of its own, so the first attempt finds it; gRPC's usual second of back-off is for networks.
_CHANNEL_OPTIONS = (
    *MESSAGE_LIMITS,
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 200),
)
_LONGEST_SOCKET_PATH = 107  # bytes, of sockaddr_un.sun_path less its NUL
# All that a worker gets to see of the environment; keys and tokens stay here.
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TZ")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child may take, and how often it may die.

    A child that dies is started again at once, then after `first_backoff_s`, doubled each time up to
    `longest_backoff_s`. After `most_deaths` in a row, with no answer and no `settled_s` of serving between them, it
    is left alone for `crash_loop_pause_s`, and calls are told so at once.
    """

    start_timeout_s: float = 60.0
    stop_timeout_s: float = 3.0
    first_backoff_s: float = 0.1
    longest_backoff_s: float = 5.0
    most_deaths: int = 5
    settled_s: float = 30.0
    crash_loop_pause_s: float = 60.0


# --- Asking -----------------------------------------------------------------------------------------------------------


class _Counting:
    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.pieces = 0

    async def __call__(self, piece: str) -> None:
        self.pieces += 1
        await self._emit(piece)


async def ask_peer(
    peer: Peer, request: worker_pb2.WorkerAnswerRequest, emit: Emit, *, timeout_s: float | None = None
) -> Outcome:
    """Asks another process; once more when it died before it said anything, for then nothing took effect.

    Raises: QueryError, UnavailableError: as it says, or WORKER_DIED, WORKER_FAILED; TimeoutError after `timeout_s`.
    """
    retried = False
    while True:
        line = await peer.line()
        listener = _Counting(emit)
        try:
            outcome = await ask(line.channel, request, listener, timeout_s=timeout_s, name=peer.name)
            peer.answered()
            return outcome
        except grpc.aio.AioRpcError as error:
            death = await peer.death(line)
            if death is None:
                raise UnavailableError(
                    f"{peer.name} failed ({error.details()}); its log says more", reason="WORKER_FAILED"
                ) from error
            if listener.pieces == 0 and not retried:
                retried = True
                continue
            raise UnavailableError(
                f"{peer.name} died while it answered ({death}); ask again",
                reason="WORKER_DIED",
                retryable=True,
            ) from error


async def ask(
    channel: grpc.aio.Channel,
    request: worker_pb2.WorkerAnswerRequest,
    emit: Emit,
    *,
    timeout_s: float | None = None,
    name: str = "the worker",
) -> Outcome:
    """One question to a worker; cancelling it cancels the call. name: what errors call it.

    Raises: QueryError, UnavailableError: the worker refused; TimeoutError after `timeout_s`; grpc.aio.AioRpcError: the
    call broke.
    """
    stub = worker_pb2_grpc.WorkerStub(channel)
    call = stub.Answer(request, timeout=timeout_s)
    last = worker_pb2.WorkerAnswerResponse()
    try:
        async for last in call:
            if last.WhichOneof("part") == "delta":
                await emit(last.delta)
        return wire.outcome_from_worker(last)
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


# --- A child process, kept alive -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The connection to one life of a process; `process` is None where somebody else looks after it."""

    channel: grpc.aio.Channel
    process: asyncio.subprocess.Process | None = None


class Child:
    """A process that serves gRPC on a Unix socket; when it dies it is started again.

    command: gets `--socket PATH --parent PID` appended. socket: each life has one of its own, named after this.
    environment: beside the few variables that every child gets.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        socket: Path,
        patience: Patience,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._command = tuple(command)
        self._socket = socket
        self._patience = patience
        self._environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ} | dict(
            environment or {}
        )
        self._process: asyncio.subprocess.Process | None = None
        self._last_lines: deque[str] = deque(maxlen=2)
        self._keeper: asyncio.Task[None] | None = None
        self._deaths = 0  # in a row
        # What `line` says; None while it is being started, and then `_known` is not set.
        self._state: Line | UnavailableError | None = None
        self._known = asyncio.Event()

    async def start(self) -> None:
        """Returns when it serves.

        Raises: UnavailableError when it does not in time, or cannot; it is closed then.
        """
        longest = os.fsencode(self._life_socket(10**6))
        if len(longest) > _LONGEST_SOCKET_PATH:
            raise UnavailableError(
                f"{self.name}: the socket's path {longest.decode()} has {len(longest)} bytes, at most "
                f"{_LONGEST_SOCKET_PATH} are possible; put the daemon's socket into a folder with a shorter path",
                reason="WORKER_CANNOT_START",
            )
        self._keeper = asyncio.create_task(self._keep(), name=f"keeper of {self.name}")
        try:
            await self.line()
        except BaseException:
            await self.close()
            raise

    @property
    def pid(self) -> int:
        """0: it is not running now."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    def resident_bytes(self) -> int:
        """Its proportional share of memory (PSS): pages shared with other processes count in part."""
        if not self.pid:
            return 0
        try:
            process = psutil.Process(self.pid)
            try:
                return int(process.memory_full_info().pss)
            except psutil.AccessDenied:
                return int(process.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    async def line(self) -> Line:
        """The connection, once it serves.

        Raises: UnavailableError (WORKER_START_TIMEOUT, WORKER_CRASH_LOOP, WORKER_CANNOT_START, WORKER_CLOSED).
        """
        try:
            async with asyncio.timeout(self._patience.start_timeout_s):
                while self._state is None:
                    await self._known.wait()
        except TimeoutError:
            raise UnavailableError(
                f"{self.name} does not serve after {self._patience.start_timeout_s:g} s{self._told()}; "
                "raise start_timeout_s if the machine is slow",
                reason="WORKER_START_TIMEOUT",
                retryable=True,
            ) from None
        if isinstance(self._state, UnavailableError):
            raise UnavailableError(str(self._state), reason=self._state.reason, retryable=self._state.retryable)
        return self._state

    async def death(self, line: Line) -> str | None:
        """How that life of the child ended, which may come out a moment after its connection broke; None: it lives."""
        if line.process is None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await line.process.wait()
        if line.process.returncode is None:
            return None
        if self._state is line:
            self._say(None)
        return _death(line.process.returncode)

    def answered(self) -> None:
        """It is of use: its deaths are counted anew."""
        self._deaths = 0

    async def close(self) -> None:
        """Tells it to stop, waits, and kills it."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self._say(UnavailableError(f"{self.name}: closed", reason="WORKER_CLOSED"))

    # --- The keeper --------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Starts a life, waits for its end, and so on."""
        patience = self._patience
        for life in itertools.count(1):
            served_s = await self._live(self._life_socket(life))
            status = 0 if self._process is None else self._process.returncode or 0
            log.warning("%s is gone: %s%s", self.name, _death(status), self._told())
            if status == HOPELESS:
                self._say(UnavailableError(f"{self.name}{self._told()}", reason="WORKER_CANNOT_START"))
                return
            self._deaths = deaths = 1 if served_s > patience.settled_s else self._deaths + 1
            if deaths >= patience.most_deaths:
                self._say(
                    UnavailableError(
                        f"{self.name} died {deaths} times in a row ({_death(status)}{self._told()}); it "
                        f"is tried again in {patience.crash_loop_pause_s:g} s",
                        reason="WORKER_CRASH_LOOP",
                    )
                )
                await asyncio.sleep(patience.crash_loop_pause_s)
                self._say(None)
            elif deaths > 1:
                await asyncio.sleep(min(patience.longest_backoff_s, patience.first_backoff_s * 2 ** (deaths - 2)))

    async def _live(self, socket: Path) -> float:
        """One life, from its start to its end; the seconds that it served."""
        self._make_room(socket)
        self._last_lines.clear()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *("--socket", str(socket), "--parent", str(os.getpid())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            process_group=0,  # Ctrl-C in the daemon's terminal is the daemon's to handle
        )
        self._process = process
        listening = asyncio.create_task(self._listen(process))
        channel = grpc.aio.insecure_channel(f"unix:{socket}", options=_CHANNEL_OPTIONS)
        served_at = time.monotonic()
        try:
            if await self._serves(process, socket, channel):
                served_at = time.monotonic()
                self._say(Line(channel, process))
                await process.wait()
        finally:
            self._say(None)
            await self._end(process)
            # A call on it finds out by itself; closing at once would cancel whoever waits for it.
            await channel.close(grace=1.0)
            await listening
            with contextlib.suppress(FileNotFoundError):
                os.unlink(socket)
        return time.monotonic() - served_at

    async def _serves(self, process: asyncio.subprocess.Process, socket: Path, channel: grpc.aio.Channel) -> bool:
        """Waits until it says that it serves; False when it ended, or took longer than a start may."""
        health = health_pb2_grpc.HealthStub(channel)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.start_timeout_s):
                while process.returncode is None:
                    # Before the socket is there, an attempt would only lengthen gRPC's own back-off.
                    if _is_there(socket):
                        with contextlib.suppress(grpc.aio.AioRpcError):
                            reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                                return True
                    await asyncio.sleep(0.01)
        return False

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM, a bounded wait, SIGKILL."""
        for number, patience_s in ((signal.SIGTERM, self._patience.stop_timeout_s), (signal.SIGKILL, 5.0)):
            if process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Passes on what it writes to stderr, line by line, and keeps the last words."""
        if process.stderr is None:
            return
        rest = b""
        while chunk := await process.stderr.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-4096:]
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._last_lines.append(text)
                    log.info("%s (pid %d): %s", self.name, process.pid, text)

    def _say(self, state: Line | UnavailableError | None) -> None:
        self._state = state
        if state is None:
            self._known.clear()
        else:
            self._known.set()

    def _told(self) -> str:
        return f": {' / '.join(self._last_lines)}" if self._last_lines else ""

    def _life_socket(self, life: int) -> Path:
        return self._socket.with_name(f"{self._socket.name}.{life}.sock")

    def _make_room(self, socket: Path) -> None:
        """A private folder, without what an earlier daemon may have left there."""
        socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket.parent.chmod(0o700)
        socket.unlink(missing_ok=True)


class Distant:
    """A process that somebody else keeps alive, on a socket that is known."""

    def __init__(self, name: str, socket: Path) -> None:
        self.name = name
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=_CHANNEL_OPTIONS)

    async def line(self) -> Line:
        return Line(self._channel)

    async def death(self, _: Line) -> str | None:
        """Nobody here can tell."""
        return None

    def answered(self) -> None:
        """Nobody here counts."""

    async def close(self) -> None:
        await self._channel.close()


Peer = Child | Distant


def _death(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    names = {number.value: number.name for number in signal.Signals}
    return f"killed by {names.get(-status, f'signal {-status}')}"


def _is_there(path: Path) -> bool:
    return path.exists()
