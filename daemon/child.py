"""A child process that serves gRPC on a Unix socket, kept alive: when it dies or hangs, it is started again.

What it serves is not known here beyond grpc.health.v1, nor how its life begins (`nursery`).
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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expertd.experts.errors import UnavailableError

from .nursery import Life, lines, spawn
from .worker import BAD_BUNDLE, HOPELESS, MESSAGE_LIMITS

log = logging.getLogger(__name__)

# Each life has a socket of its own, so the first attempt finds it; gRPC's usual second of back-off is for networks.
CHANNEL_OPTIONS = (
    *MESSAGE_LIMITS,
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 200),
)
_LONGEST_SOCKET_PATH = 107  # bytes, of sockaddr_un.sun_path less its NUL
_LOOK_EVERY_S = 0.005  # whether it serves yet
_SECOND_CHANCE_S = 1.0
_MEASURED_FOR_S = 0.5

# Runs a program with these arguments. Raises: OSError.
Start = Callable[[Sequence[str]], Awaitable[Life]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child may take, how often it may die, and for how long it may be silent.

    A child that dies is started again at once, then after `first_backoff_s`, doubled each time up to
    `longest_backoff_s`. After `most_deaths` in a row, with no answer and no `settled_s` of serving between them, it
    is left alone for `crash_loop_pause_s`, and calls are told so at once until it serves again.

    Every `heartbeat_s` it is asked for its health. When that, or a call, gets no sign of life for `silence_s`, it is
    killed.
    """

    start_timeout_s: float = 60.0
    stop_timeout_s: float = 3.0
    first_backoff_s: float = 0.1
    longest_backoff_s: float = 5.0
    most_deaths: int = 5
    settled_s: float = 30.0
    crash_loop_pause_s: float = 60.0
    heartbeat_s: float = 10.0
    silence_s: float = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The connection to one life of a process; `life` is None where somebody else looks after it."""

    channel: grpc.aio.Channel
    life: Life | None = None


class Child:
    """A process that serves gRPC on a Unix socket; when it dies it is started again.

    command: gets `--socket PATH` appended. socket: each life has one of its own, named after this. environment: beside
    the few variables that every child gets. start: how its lives begin; by itself the command is run as a program.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        socket: Path,
        patience: Patience,
        environment: Mapping[str, str] | None = None,
        *,
        start: Start | None = None,
    ) -> None:
        self.name = name
        self.patience = patience
        # Those nobody ordered, since it was made.
        self.deaths = 0
        self._command = tuple(command)
        self._socket = socket
        self._start: Start = start or (lambda arguments: spawn(arguments, environment))
        self._life: Life | None = None
        self._last_lines: deque[str] = deque(maxlen=2)
        self._keeper: asyncio.Task[None] | None = None
        self._hanging_up: set[asyncio.Task[None]] = set()
        self._in_a_row = 0
        self._footprint: _Footprint | None = None
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
        return 0 if self._life is None or self._life.returncode is not None else self._life.pid

    def resident_bytes(self) -> int:
        """Its proportional share of memory (PSS): pages shared with other processes count in part. In a thread: half a
        second old at most; on the event loop: as old as the last call, or heartbeat."""
        return 0 if not self.pid or self._footprint is None else self._footprint.bytes()

    async def line(self) -> Line:
        """The connection, once it serves.

        Raises: UnavailableError (WORKER_START_TIMEOUT, WORKER_CRASH_LOOP, WORKER_CANNOT_START, WORKER_BAD_BUNDLE,
        WORKER_CLOSED).
        """
        try:
            async with asyncio.timeout(self.patience.start_timeout_s):
                while self._state is None:
                    await self._known.wait()
        except TimeoutError:
            raise UnavailableError(
                f"{self.name} does not serve after {self.patience.start_timeout_s:g} s{self._told()}; "
                "raise start_timeout_s if the machine is slow",
                reason="WORKER_START_TIMEOUT",
                retryable=True,
            ) from None
        if isinstance(self._state, UnavailableError):
            raise UnavailableError(str(self._state), reason=self._state.reason, retryable=self._state.retryable)
        return self._state

    async def death(self, line: Line) -> str | None:
        """How that life of the child ended, which may come out a moment after its connection broke; None: it lives."""
        if line.life is None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await line.life.wait()
        if line.life.returncode is None:
            return None
        if self._state is line:
            self._say(None)
        return _death(line.life.returncode)

    def kill(self, line: Line, why: str) -> None:
        """Ends that life of the child, if it has not ended yet; another follows."""
        if line.life is not None and line.life.returncode is None:
            log.warning("%s (pid %d) is killed: %s", self.name, line.life.pid, why)
            _signal(line.life, signal.SIGKILL)

    def answered(self) -> None:
        """It is of use: its deaths are counted anew."""
        self._in_a_row = 0

    async def close(self) -> None:
        """Tells it to stop, waits, and kills it."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self._say(UnavailableError(f"{self.name}: closed", reason="WORKER_CLOSED"))
        await asyncio.gather(*self._hanging_up)

    # --- The keeper --------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Starts a life, waits for its end, and so on."""
        patience = self.patience
        for number in itertools.count(1):
            try:
                served_s, status = await self._live(self._life_socket(number))
            except OSError as error:  # no process, no memory, no file could be had
                served_s, status = 0.0, os.EX_OSERR
                self._last_lines.append(f"it could not be started: {error}")
            log.warning("%s is gone: %s%s", self.name, _death(status), self._told())
            self.deaths += 1
            if status in (BAD_BUNDLE, HOPELESS):
                reason = "WORKER_BAD_BUNDLE" if status == BAD_BUNDLE else "WORKER_CANNOT_START"
                self._say(UnavailableError(f"{self.name}{self._told()}", reason=reason))
                return
            self._in_a_row = deaths = 1 if served_s > patience.settled_s else self._in_a_row + 1
            if deaths >= patience.most_deaths:
                self._say(
                    UnavailableError(
                        f"{self.name} died {deaths} times in a row ({_death(status)}{self._told()}); it "
                        f"is tried again in {patience.crash_loop_pause_s:g} s",
                        reason="WORKER_CRASH_LOOP",
                    )
                )
                await asyncio.sleep(patience.crash_loop_pause_s)
            elif deaths > 1:
                await asyncio.sleep(min(patience.longest_backoff_s, patience.first_backoff_s * 2 ** (deaths - 2)))

    async def _live(self, socket: Path) -> tuple[float, int]:
        """One life, from its start to its end; the seconds that it served, and its exit status.

        Raises: OSError when it cannot begin.
        """
        self._make_room(socket)
        self._last_lines.clear()
        self._life = life = await self._start([*self._command, "--socket", str(socket)])
        listening = asyncio.create_task(self._listen(life))
        channel = grpc.aio.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS)
        line = Line(channel, life)
        served_at = time.monotonic()
        try:
            if await self._serves(life, socket, channel):
                self._footprint = _Footprint(life.pid)
                await asyncio.to_thread(self._footprint.measure)
                served_at = time.monotonic()
                self._say(line)
                watching = asyncio.create_task(self._watch(line))
                try:
                    await life.wait()
                finally:
                    watching.cancel()
        finally:
            if isinstance(self._state, Line):
                self._say(None)
            await self._end(life)
            self._hang_up(channel)
            # Its last words, if nobody whom it started goes on writing.
            await asyncio.wait({listening}, timeout=1.0)
            listening.cancel()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(socket)
        return time.monotonic() - served_at, life.returncode or 0

    async def _serves(self, life: Life, socket: Path, channel: grpc.aio.Channel) -> bool:
        """Waits until it says that it serves; False when it ended, or took longer than a start may."""
        health = health_pb2_grpc.HealthStub(channel)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.patience.start_timeout_s):
                while life.returncode is None:
                    # Before the socket is there, an attempt would only lengthen gRPC's own back-off.
                    if _is_there(socket):
                        with contextlib.suppress(grpc.aio.AioRpcError):
                            reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                                return True
                    await asyncio.sleep(_LOOK_EVERY_S)
        return False

    async def _watch(self, line: Line) -> None:
        """Kills it when it does not even say how it is."""
        health = health_pb2_grpc.HealthStub(line.channel)
        while True:
            await asyncio.sleep(self.patience.heartbeat_s)
            self.resident_bytes()
            # Asked again before the verdict: this process may have stood still itself.
            if await _is_mute(health, self.patience.silence_s) and await _is_mute(health, _SECOND_CHANCE_S):
                self.kill(line, f"it did not say how it is for {self.patience.silence_s:g} s")

    async def _end(self, life: Life) -> None:
        """SIGTERM, a bounded wait, SIGKILL."""
        for number, patience_s in ((signal.SIGTERM, self.patience.stop_timeout_s), (signal.SIGKILL, 5.0)):
            if life.returncode is not None:
                return
            _signal(life, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await life.wait()

    def _hang_up(self, channel: grpc.aio.Channel) -> None:
        """A call on it finds out by itself; closing at once would cancel whoever waits for it. The next life need not
        wait for that."""
        task = asyncio.create_task(channel.close(grace=1.0))
        self._hanging_up.add(task)
        task.add_done_callback(self._hanging_up.discard)

    async def _listen(self, life: Life) -> None:
        """Passes on what it writes to stderr, and keeps the last words."""
        async for line in lines(life.stderr):
            self._last_lines.append(line)
            log.info("%s (pid %d): %s", self.name, life.pid, line)

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


async def _is_mute(health: health_pb2_grpc.HealthStub, timeout_s: float) -> bool:
    try:
        await health.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        # A connection that breaks is a death, which is noticed elsewhere.
        return error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return False


class _Footprint:
    """How much memory a process holds, half a second ago at most where nobody is in a hurry.

    Reading the memory map of a process takes milliseconds (12 per GB). The event loop does not wait for that: it is
    told what was measured when somebody last asked.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._bytes = 0
        self._measured_at = 0.0
        self._measuring: asyncio.Future[None] | None = None

    def bytes(self) -> int:
        if time.monotonic() - self._measured_at > _MEASURED_FOR_S:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # called in a thread, which may wait
                self.measure()
            else:
                if self._measuring is None or self._measuring.done():
                    self._measuring = loop.run_in_executor(None, self.measure)
        return self._bytes

    def measure(self) -> None:
        self._bytes = _resident_bytes(self._pid)
        self._measured_at = time.monotonic()


def _resident_bytes(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        try:
            return int(process.memory_full_info().pss)
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _signal(life: Life, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        life.send_signal(number)


def _death(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    names = {number.value: number.name for number in signal.Signals}
    return f"killed by {names.get(-status, f'signal {-status}')}"


def _is_there(path: Path) -> bool:
    return path.exists()
