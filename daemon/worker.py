"""A worker's process: serves one bundle on a socket of its own, and dies with the daemon that started it.

    python -m expertd.daemon.worker --socket PATH --bundle FOLDER --model FILE …

One answer is made at a time; others queue. A call that is cancelled, or whose deadline passes, frees the model within a
token. It opens no connection, writes no file, and is first in line when memory runs out. What it has to say goes to
stderr, which the daemon collects.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from expertd.experts.errors import ExpertError, UnavailableError
from expertd.experts.values import Outcome, Query
from expertd.v1 import worker_pb2, worker_pb2_grpc

from . import wire

log = logging.getLogger("worker")

# Exit status of a worker that can never serve: starting it again would not help (EX_DATAERR of sysexits.h).
HOPELESS = 65

# A document of a million characters, a series of a million numbers, and some.
MESSAGE_LIMITS = (
    ("grpc.max_receive_message_length", 32 * 2**20),
    ("grpc.max_send_message_length", 32 * 2**20),
)
_PR_SET_PDEATHSIG = 1
_LAST_WORDS_S = 1.0  # for calls in flight, once told to stop
_OOM_SCORE = 900  # of 1000
_SPARE_DATA_BYTES = 4 * 2**30


class Model(Protocol):
    """What a worker serves."""

    def answer(self, query: Query, emit: Callable[[str], None], cancelled: Callable[[], bool]) -> Outcome: ...


# --- The service -----------------------------------------------------------------------------------------------------


class WorkerService(worker_pb2_grpc.WorkerServicer):
    """Puts calls in a queue before one model. queue: how many may wait; more are turned away.

    Parts are written to the context, not yielded: a cancel then always lands in the call's own frame.
    """

    def __init__(self, model: Model, *, queue: int) -> None:
        self._model = model
        self._queue = queue
        self._waiting = 0
        self._turn = asyncio.Lock()

    async def Answer(  # type: ignore[override]
        self, request: worker_pb2.WorkerAnswerRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        try:
            query = wire.query_from_worker(request)
            if self._waiting > self._queue:
                raise UnavailableError(
                    f"{self._queue} requests wait for this model already; try again soon",
                    reason="WORKER_BUSY",
                    retryable=True,
                )
            self._waiting += 1
            try:
                async with self._turn:
                    await self._answer(query, context)
            finally:
                self._waiting -= 1
        except (ExpertError, TimeoutError) as error:
            await refuse(context, error)

    async def _answer(self, query: Query, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        remaining = context.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining
        gone = threading.Event()
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def emit(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def cancelled() -> bool:
            return gone.is_set() or (deadline is not None and time.monotonic() > deadline)

        work = asyncio.ensure_future(asyncio.to_thread(self._model.answer, query, emit, cancelled))
        work.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                await context.write(worker_pb2.WorkerAnswerResponse(delta=piece))
            outcome = work.result()
            if cancelled():
                raise TimeoutError("the deadline passed while the answer was made")
            await context.write(wire.outcome_to_worker(outcome))
        finally:
            # Whoever is next in the queue finds the model idle.
            gone.set()
            await asyncio.wait([work])


async def refuse(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """Ends the call with the status that the error means."""
    # Knows the whole daemon's errors, and so brings in much that a worker whose calls go well never needs.
    from .status import abort

    await abort(context, error)


# --- The process -----------------------------------------------------------------------------------------------------


def harden(parent: int) -> None:
    """Ties this process to the one that started it (0: to none), and keeps the harm it can do small."""
    if parent:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the process that started this one is gone")
    os.umask(0o077)  # whatever it makes is for this user alone
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def confine(data_bytes: int) -> None:
    """Lets this process write no file, take at most `data_bytes` of memory, and be the first to go when that is out."""
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="expertd-worker", description="Serves one bundle of kind gguf on a socket.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--name", required=True, help="of the model, as answers give it")
    parser.add_argument("--context-tokens", type=int, default=4096)
    parser.add_argument("--max-tokens", type=int, default=512, help="of one answer, whatever the bundle allows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queue", type=int, default=8, help="how many calls may wait")
    parser.add_argument("--parent", type=int, default=0, help="the process to die with; 0: none")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    harden(arguments.parent)
    try:
        from expertd.experts.kinds.gguf import TextModel, read_parameters

        confine(arguments.model.stat().st_size + _SPARE_DATA_BYTES)
        manifest = tomllib.loads((arguments.bundle / "expert.toml").read_text("utf-8"))
        model = TextModel(
            arguments.model,
            read_parameters(manifest.get("parameters", {}), bundle=arguments.bundle.name),
            name=arguments.name,
            context_tokens=arguments.context_tokens,
            max_tokens=arguments.max_tokens,
            threads=arguments.threads,
        )
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error.name} is not installed; text experts need `pip install 'expertd[text]'`\n")
        sys.exit(HOPELESS)
    except (ExpertError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(HOPELESS)
    os.nice(5)  # from here on: routing comes before writing
    service = WorkerService(model, queue=arguments.queue)
    asyncio.run(serve(arguments.socket, lambda server: worker_pb2_grpc.add_WorkerServicer_to_server(service, server)))
    model.close()


if __name__ == "__main__":
    main()
