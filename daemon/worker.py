"""A worker's process: serves one bundle on a socket of its own, and dies with the process that started it.

    python -m expertd.daemon.worker --kind gguf|onnx --socket PATH --bundle FOLDER …

One answer is made at a time; others queue. A call that is cancelled, or whose deadline passes, frees the model within a
token. Whoever waits gets a sign of life now and then, as long as there is life. It opens no connection, writes no file,
and is first in line when memory runs out. What it has to say goes to stderr, which the daemon collects.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from expertd.experts.errors import BundleError, ExpertError, UnavailableError
from expertd.experts.values import Outcome, Query
from expertd.v1 import worker_pb2, worker_pb2_grpc

from . import wire

log = logging.getLogger("worker")

# Exit statuses of a worker that can never serve: starting it again would not help.
BAD_BUNDLE = os.EX_DATAERR  # the bundle breaks a rule
HOPELESS = os.EX_UNAVAILABLE  # something else is missing or damaged

# A document of a million characters, a series of a million numbers, and some.
MESSAGE_LIMITS = (
    ("grpc.max_receive_message_length", 32 * 2**20),
    ("grpc.max_send_message_length", 32 * 2**20),
)
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_LAST_WORDS_S = 1.0  # for calls in flight, once told to stop
_BEAT_S = 2.0
_OOM_SCORE = 900  # of 1000
# Beside what a model takes: the libraries, and a stack for each thread.
_SPARE_DATA_BYTES = 512 * 10**6
# llama.cpp may hold a copy of the weights in the order that the processor likes, and takes memory for its context.
_SPARE_TEXT_BYTES = 4 * 2**30


class Model(Protocol):
    """What a worker serves."""

    def answer(self, query: Query, emit: Callable[[str], None], cancelled: Callable[[], bool]) -> Outcome: ...

    def close(self) -> None: ...


# --- The service -----------------------------------------------------------------------------------------------------


class WorkerService(worker_pb2_grpc.WorkerServicer):
    """Puts calls in a queue before one model. queue: how many may wait; more are turned away.

    stepwise: the model asks `cancelled` again and again while it gets on, which is a sign of life to all who wait. One
    that answers in a single step gives none.

    Parts are written to the context, not yielded: a cancel then always lands in the call's own frame.
    """

    def __init__(self, model: Model, *, queue: int, stepwise: bool = True) -> None:
        self._model = model
        self._queue = queue
        self._stepwise = stepwise
        self._steps = 0
        self._waiting = 0
        self._turn = asyncio.Lock()

    async def Answer(  # type: ignore[override]
        self, request: worker_pb2.WorkerAnswerRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        voice = _Voice(context)
        try:
            query = wire.query_from_worker(request)
            if self._waiting > self._queue:
                raise UnavailableError(
                    f"{self._queue} requests wait for this model already; try again soon",
                    reason="WORKER_BUSY",
                    retryable=True,
                )
            beat = asyncio.create_task(self._beat(voice))
            self._waiting += 1
            try:
                async with self._turn:
                    await self._answer(query, voice)
            finally:
                self._waiting -= 1
                await voice.end(beat)
        except (ExpertError, TimeoutError) as error:
            await refuse(context, error)

    async def _answer(self, query: Query, voice: _Voice) -> None:
        remaining = voice.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining
        gone = threading.Event()
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def emit(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def cancelled() -> bool:
            self._steps += 1
            return gone.is_set() or (deadline is not None and time.monotonic() > deadline)

        work = asyncio.ensure_future(asyncio.to_thread(self._model.answer, query, emit, cancelled))
        work.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                await voice.say(worker_pb2.WorkerAnswerResponse(delta=piece))
            try:
                outcome = work.result()
            except MemoryError:
                # What is left is not enough for anything; a new life has all of it.
                sys.stderr.write("it needs more memory than its bundle declares\n")
                sys.stderr.flush()
                os._exit(os.EX_OSERR)
            if cancelled():
                raise TimeoutError("the deadline passed while the answer was made")
            await voice.say(wire.outcome_to_worker(outcome))
        finally:
            # Whoever is next in the queue finds the model idle.
            gone.set()
            await asyncio.wait([work])

    async def _beat(self, voice: _Voice) -> None:
        """A sign of life to one call, now and then, as long as the model gets on."""
        while self._stepwise:
            seen = self._steps
            await asyncio.sleep(_BEAT_S)
            if self._steps != seen:
                with contextlib.suppress(Exception):  # the call has ended; its own frame finds out
                    await voice.say(worker_pb2.WorkerAnswerResponse(delta=""))


class _Voice:
    """Writes to one call, one message at a time."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context
        self._writing = asyncio.Lock()

    def time_remaining(self) -> float | None:
        return self._context.time_remaining()

    async def say(self, message: worker_pb2.WorkerAnswerResponse) -> None:
        async with self._writing:
            await self._context.write(message)

    async def end(self, speaker: asyncio.Task[None]) -> None:
        """Stops one who speaks in the background, between two messages."""
        async with self._writing:
            speaker.cancel()


async def refuse(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """Ends the call with the status that the error means."""
    # Knows the whole daemon's errors, and so brings in much that a worker whose calls go well never needs.
    from .status import abort

    await abort(context, error)


# --- The process -----------------------------------------------------------------------------------------------------


def harden(parent: int) -> None:
    """Ties this process to the one that started it (0: to none), and keeps the harm it can do small."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no setuid program gives it more rights than it has
    if parent:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the process that started this one is gone")
    os.umask(0o077)  # whatever it makes is for this user alone
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def confine(data_bytes: int) -> None:
    """Lets this process write no file, take at most `data_bytes` of memory, and be the first to go when that is out.

    Processes and threads are not counted: the kernel counts those of the whole user.
    """
    Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))


async def serve(path: str, add: Callable[[grpc.aio.Server], None]) -> None:
    """Serves on a Unix socket until SIGTERM or SIGINT. add: registers the services."""
    server = grpc.aio.server(options=[*MESSAGE_LIMITS, ("grpc.so_reuseport", 0)])
    add(server)
    ready = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(ready, server)
    await ready.set("", health_pb2.HealthCheckResponse.SERVING)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    before = os.umask(0o177)
    server.add_insecure_port(f"unix:{path}")
    os.umask(before)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    await stop.wait()
    await server.stop(_LAST_WORDS_S)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until SIGTERM. Raises: SystemExit when it cannot."""
    parser = argparse.ArgumentParser(prog="expertd-worker", description="Serves one bundle on a socket.")
    parser.add_argument("--kind", choices=("gguf", "onnx"), required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--name", required=True, help="of the model, as answers and errors give it")
    parser.add_argument("--memory-mb", type=float, default=0.0, help="as the bundle declares; half as much more is let")
    parser.add_argument("--queue", type=int, default=8, help="how many calls may wait")
    parser.add_argument("--parent", type=int, default=0, help="the process to die with; 0: none")
    text = parser.add_argument_group("kind gguf")
    text.add_argument("--model", type=Path, help="the GGUF file")
    text.add_argument("--context-tokens", type=int, default=4096)
    text.add_argument("--max-tokens", type=int, default=512, help="of one answer, whatever the bundle allows")
    text.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    harden(options.parent)
    os.nice(5)  # routing comes before working, and before beginning to
    try:
        manifest = tomllib.loads((options.bundle / "expert.toml").read_text("utf-8"))
        model = _text_model(options, manifest) if options.kind == "gguf" else _network(options, manifest)
    except ModuleNotFoundError as error:
        extra = {"gguf": "text", "onnx": "daemon"}[options.kind]
        _give_up(f"{error.name} is not installed; {options.kind} experts need `pip install 'expertd[{extra}]'`")
    except BundleError as error:
        _give_up(str(error), BAD_BUNDLE)
    except (ExpertError, OSError) as error:
        _give_up(str(error))
    except MemoryError:
        declared = f"{options.memory_mb:g} MB, as its bundle declares, and half as much more"
        _give_up(f"{options.name}: it does not fit in {declared}", BAD_BUNDLE)
    service = WorkerService(model, queue=options.queue, stepwise=options.kind == "gguf")
    asyncio.run(serve(options.socket, lambda server: worker_pb2_grpc.add_WorkerServicer_to_server(service, server)))
    model.close()


def _text_model(options: argparse.Namespace, manifest: Mapping[str, Any]) -> Model:
    from expertd.experts.kinds.gguf import TextModel
    from expertd.experts.kinds.prompting import ADAPTER, read_parameters

    confine(max(_let(options.memory_mb), options.model.stat().st_size + _SPARE_TEXT_BYTES))
    return TextModel(
        options.model,
        read_parameters(manifest.get("parameters", {}), options.bundle, bundle=options.bundle.name),
        name=options.name,
        adapter=adapter if (adapter := options.bundle / ADAPTER).is_file() else None,
        context_tokens=options.context_tokens,
        max_tokens=options.max_tokens,
        threads=options.threads,
    )


def _network(options: argparse.Namespace, manifest: Mapping[str, Any]) -> Model:
    from expertd.experts.kinds.onnx import OnnxModel, read_parameters

    confine(_let(options.memory_mb))
    model = OnnxModel(
        options.bundle,
        read_parameters(manifest.get("parameters", {}), bundle=options.name),
        name=options.name,
        threshold=manifest.get("threshold") or 0.0,
        lean=True,
    )
    model.rehearse()
    return model


def _let(memory_mb: float) -> int:
    """Bytes of memory for a bundle that declares so much."""
    return int(memory_mb * 1.5e6) + _SPARE_DATA_BYTES


def _give_up(problem: str, status: int = HOPELESS) -> NoReturn:
    sys.stderr.write(f"{problem}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
