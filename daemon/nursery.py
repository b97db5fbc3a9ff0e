"""How the life of a process begins: as a program of its own, or forked off a warm one.

Python and its libraries take longer to import than a worker may be away. So one process, the nursery, imports what
workers need and forks one whenever it is asked to, as Android's zygote does. It runs a single thread and opens no
connection while it does so: a fork keeps the forking thread alone, and a lock that another one held would stay shut.
A worker dies with the nursery, and the nursery with the daemon.

    daemon → nursery    {number, kind, arguments} and the pipe for what the worker has to say
    nursery → daemon    the worker's pid and a handle on it, or why there is none; later, how it ended

What a worker does is not known here.

    python -m expertd.daemon.nursery --control FD --parent PID
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import importlib
import itertools
import logging
import os
import selectors
import signal
import socket
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NoReturn, Protocol

import msgspec

log = logging.getLogger(__name__)

# All that a child gets to see of the environment; keys and tokens stay here.
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TZ")
# Of a worker's libraries, none may start a thread when it is imported, nor write into the user's folders.
_SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
# What a kind's workers need beside what all of them do; imported once the first is asked for.
_LIBRARIES = {
    "gguf": ("llama_cpp", "llama_cpp.llama_chat_format", "expertd.experts.kinds.gguf"),
    "onnx": ("onnxruntime", "expertd.experts.kinds.onnx"),
}
_MOST_BYTES = 2**16  # of a message
_MOST_LOST = 2  # nurseries, over one kind
_TELL_TIMEOUT_S = 1.0  # from a worker's end to the nursery's word of how
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NAME = 15


# --- A life ----------------------------------------------------------------------------------------------------------


class Life(Protocol):
    """A process, from its start to its end. `asyncio.subprocess.Process` is one."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """None while it lives; -n: killed by signal n."""

    @property
    def stderr(self) -> asyncio.StreamReader | None: ...

    async def wait(self) -> int:
        """Returns its exit status, once it has ended."""

    def send_signal(self, number: int, /) -> None: ...


async def spawn(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, handles: Sequence[int] = ()
) -> asyncio.subprocess.Process:
    """Runs a program, which is told by `--parent PID` whom to die with.

    environment: beside the few variables that every child gets. handles: open files that it inherits.

    Raises: OSError.
    """
    return await asyncio.create_subprocess_exec(
        *command,
        *("--parent", str(os.getpid())),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ} | _SETTINGS | dict(environment or {}),
        process_group=0,  # Ctrl-C in the daemon's terminal is the daemon's to handle
        pass_fds=handles,
    )


async def lines(stream: asyncio.StreamReader | None) -> AsyncIterator[str]:
    """What a process writes, line by line; of an overlong line the end."""
    rest = b""
    while stream is not None and (chunk := await stream.read(4096)):
        *whole, rest = (rest + chunk).split(b"\n")
        rest = rest[-4096:]
        for line in whole:
            if text := line.decode(errors="replace").rstrip():
                yield text


class Forked:
    """A worker that the nursery forked: no child of this process, so a handle on it (pidfd) tells of its end."""

    def __init__(self, pid: int, handle: int, stderr: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stderr = stderr
        self.returncode: int | None = None
        self._handle = handle
        self._ended = asyncio.Event()
        self._tell_timeout_s = _TELL_TIMEOUT_S
        asyncio.get_running_loop().add_reader(handle, self._is_dead)

    async def wait(self) -> int:
        await self._ended.wait()
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            signal.pidfd_send_signal(self._handle, number)

    def ended(self, status: int) -> None:
        """The nursery's word of how it ended."""
        if self.returncode is None:
            self.returncode = status
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._ended.set()

    def orphaned(self) -> None:
        """Nobody will tell how it ends: it is killed, like the nursery."""
        self._tell_timeout_s = 0.0

    def _is_dead(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._handle)
        loop.call_later(self._tell_timeout_s, self.ended, -signal.SIGKILL)


# --- The daemon's side -----------------------------------------------------------------------------------------------


class Order(msgspec.Struct, frozen=True):
    number: int
    kind: str
    arguments: list[str]


class Born(msgspec.Struct, frozen=True, tag=True):
    number: int
    pid: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    number: int
    reason: str


class Ended(msgspec.Struct, frozen=True, tag=True):
    pid: int
    status: int


Word = Born | Refused | Ended


class Nursery:
    """Starts workers. Its process starts with the first of them, stays, and is started anew when it died.

    fork_timeout_s: how long a fork may take, with the import of what the kind's first worker needs. A nursery that
    takes longer hangs: it is killed, and its workers with it. A kind over which it was lost twice is forked no more.
    """

    def __init__(self, *, fork_timeout_s: float = 10.0) -> None:
        self._fork_timeout_s = fork_timeout_s
        self._house: _House | None = None
        self._opening = asyncio.Lock()
        # Times in a row, per kind: what its libraries do to the nursery, they do to every other worker.
        self._lost: Counter[str] = Counter()

    @property
    def pid(self) -> int:
        """0: it is not running now."""
        return 0 if self._house is None or self._house.gone else self._house.process.pid

    async def start(self, kind: str, arguments: Sequence[str]) -> Life:
        """A worker of this kind, forked; run as a program of its own, which takes longer, where that cannot be had.

        Raises: OSError.
        """
        while self._lost[kind] < _MOST_LOST:
            try:
                house = await self._open()
                worker = await house.fork(kind, arguments, self._fork_timeout_s)
            except (ConnectionError, TimeoutError) as error:
                self._lost[kind] += 1
                log.warning("the nursery was lost over a worker of kind %s (%s)", kind, str(error) or "it hung")
            except OSError as error:
                log.warning("the nursery forks no worker of kind %s: %s", kind, error)
                break
            else:
                self._lost[kind] = 0
                return worker
        return await spawn([sys.executable, "-m", "expertd.daemon.worker", "--kind", kind, *arguments])

    async def close(self) -> None:
        """Ends it, and the workers that are left."""
        async with self._opening:
            if self._house is not None:
                await self._house.close()

    async def _open(self) -> _House:
        async with self._opening:
            if self._house is not None and self._house.gone:
                await self._house.close()
                self._house = None
            if self._house is None:
                self._house = await _House.open()
            return self._house


class _House:
    """One life of the nursery's process, and the workers that it has."""

    def __init__(self, process: Life, control: socket.socket) -> None:
        self.process = process
        self.gone = False
        self._control = control
        self._numbers = itertools.count(1)
        self._orders: dict[int, tuple[asyncio.Future[Forked], asyncio.StreamReader]] = {}
        self._workers: dict[int, Forked] = {}
        self._listening = asyncio.create_task(self._listen())
        asyncio.get_running_loop().add_reader(control, self._hear)

    @classmethod
    async def open(cls) -> _House:
        """Raises: OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            command = [sys.executable, "-m", "expertd.daemon.nursery", "--control", str(theirs.fileno())]
            try:
                return cls(await spawn(command, handles=[theirs.fileno()]), ours)
            except BaseException:
                ours.close()
                raise

    async def fork(self, kind: str, arguments: Sequence[str], timeout_s: float) -> Forked:
        """Raises: OSError when it refuses or is gone, TimeoutError when it does not answer; it is gone then."""
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        stderr = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stderr), os.fdopen(read, "rb", buffering=0))
        order = Order(next(self._numbers), kind, list(arguments))
        birth: asyncio.Future[Forked] = loop.create_future()
        self._orders[order.number] = (birth, stderr)
        try:
            try:
                socket.send_fds(self._control, [msgspec.json.encode(order)], [write])
            finally:
                os.close(write)
            async with asyncio.timeout(timeout_s):
                return await birth
        except TimeoutError:
            self._leave()
            raise
        except asyncio.CancelledError:
            # Born at the very moment that nobody wants it any more.
            if birth.done() and not birth.cancelled() and birth.exception() is None:
                birth.result().send_signal(signal.SIGKILL)
            raise
        finally:
            del self._orders[order.number]

    async def close(self) -> None:
        self._leave()
        await self.process.wait()
        await self._listening

    def _leave(self) -> None:
        if self.gone:
            return
        self.gone = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        for birth, _ in self._orders.values():
            if not birth.done():
                birth.set_exception(ConnectionResetError("it is gone"))
        for worker in self._workers.values():
            worker.orphaned()

    def _hear(self) -> None:
        try:
            data, handles, _, _ = socket.recv_fds(self._control, _MOST_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            data, handles = b"", []
        if not data:
            self._leave()
            return
        match msgspec.json.decode(data, type=Word):
            case Born(number, pid):
                birth, stderr = self._orders.get(number, (None, asyncio.StreamReader()))
                worker = self._workers[pid] = Forked(pid, handles[0], stderr)
                if birth is None or birth.done():  # nobody waits for it any more
                    worker.send_signal(signal.SIGKILL)
                else:
                    birth.set_result(worker)
            case Refused(number, reason):
                birth, _ = self._orders.get(number, (None, None))
                if birth is not None and not birth.done():
                    birth.set_exception(OSError(reason))
            case Ended(pid, status):
                if pid in self._workers:
                    self._workers.pop(pid).ended(status)

    async def _listen(self) -> None:
        async for line in lines(self.process.stderr):
            log.info("the nursery (pid %d): %s", self.process.pid, line)


# --- The nursery's process -------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(prog="expertd-nursery", description="Forks workers for the daemon.")
    parser.add_argument("--control", type=int, required=True, help="the daemon's socket, inherited")
    parser.add_argument("--parent", type=int, required=True, help="the process to die with")
    options = parser.parse_args()
    # What every worker needs; nobody else does, so nobody who imports this module pays for it.
    from . import status, worker  # noqa: F401

    worker.harden(options.parent)
    _leave_the_network()
    # Collecting garbage would write to pages that are shared with every worker.
    gc.disable()
    with socket.socket(fileno=options.control) as control, contextlib.suppress(ConnectionError):
        _serve(control)


def _leave_the_network() -> None:
    """For good, and for every worker, where the kernel lets an ordinary process do so; their sockets are files."""
    libc = ctypes.CDLL(None)
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _serve(control: socket.socket) -> None:
    """Forks on demand and tells of every end, until the daemon hangs up."""
    workers: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    selector.unregister(key.fd)
                    pid = workers.pop(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(pid, 0)
                    control.send(msgspec.json.encode(Ended(pid, os.waitstatus_to_exitcode(status))))
                    continue
                data, handles, _, _ = socket.recv_fds(control, _MOST_BYTES, 1)
                if not data:
                    return
                order = msgspec.json.decode(data, type=Order)
                _import(order.kind)
                if (threads := len(os.listdir("/proc/self/task"))) > 1:
                    os.close(handles[0])
                    reason = f"a library that kind {order.kind} needs started {threads - 1} threads; a fork is unsafe"
                    control.send(msgspec.json.encode(Refused(order.number, reason)))
                    continue
                nursery = os.getpid()
                try:
                    pid = os.fork()
                except OSError as error:
                    os.close(handles[0])
                    control.send(msgspec.json.encode(Refused(order.number, str(error))))
                    continue
                if pid == 0:
                    selector.close()
                    for handle in (control.detach(), *workers):
                        os.close(handle)
                    _become_worker(order, handles[0], nursery)
                os.close(handles[0])
                handle = os.pidfd_open(pid)
                workers[handle] = pid
                selector.register(handle, selectors.EVENT_READ)
                socket.send_fds(control, [msgspec.json.encode(Born(order.number, pid))], [handle])


def _import(kind: str) -> None:
    for name in _LIBRARIES.get(kind, ()):
        # The worker meets the same trouble, and says it.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()


def _become_worker(order: Order, stderr: int, nursery: int) -> NoReturn:
    """What follows the fork, in the child. It never returns into the nursery's loop."""
    status = 1
    try:
        from . import worker

        os.setpgid(0, 0)
        os.dup2(stderr, 2)
        os.close(stderr)
        gc.enable()
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"expertd-{order.kind}".encode(), 0, 0, 0)  # as `top` shows it
        worker.main(["--kind", order.kind, *order.arguments, "--parent", str(nursery)])
        status = 0
    except SystemExit as last:
        if isinstance(last.code, str):
            sys.stderr.write(f"{last.code}\n")
        status = last.code if isinstance(last.code, int) else int(last.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
