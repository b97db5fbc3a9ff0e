"""Many callers at once, in a process of their own: what they cost is not charged to the bench nor to the daemon.

Two ways to call: closed loop (each caller waits for its answer before it asks again, which finds the throughput) and
open loop (requests leave at their time whether or not earlier ones are answered, which finds what a user waits).
Moments are time.perf_counter's, Linux's monotonic clock: the same in every process.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

DEADLINE_S = 10.0
# What a caller asks for when it wants nothing.
ECHO = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One call. text: "" for Echo. sent: the moment. failure: the status's name, "" when it was answered."""

    text: str
    sent: float
    seconds: float
    failure: str = ""
    tier: int = pb.Decision.TIER_UNSPECIFIED
    view: int = 0
    expert: str = ""
    intent: str = ""


@contextmanager
def process() -> Iterator[ProcessPoolExecutor]:
    """One fresh process for callers: `submit(closed_loop, …)` or `submit(open_loop, …)`."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def closed_loop(socket: Path, blocks: Sequence[Sequence[str]], callers: int) -> list[tuple[list[Reply], float]]:
    """Block after block, `callers` at a time; for each its replies and how long it took in seconds."""

    async def run(ask: Ask) -> list[tuple[list[Reply], float]]:
        done: list[tuple[list[Reply], float]] = []
        for block in blocks:
            waiting = iter(block)

            async def caller(waiting: Iterator[str] = waiting) -> list[Reply]:
                return [await ask(text) for text in waiting]

            began = time.perf_counter()
            replies = await asyncio.gather(*(caller() for _ in range(callers)))
            took = time.perf_counter() - began
            done.append(([reply for mine in replies for reply in mine], took))
        return done

    return asyncio.run(_connected(socket, run))


def open_loop(socket: Path, texts: Iterable[str], per_second: float, begin: float) -> list[Reply]:
    """The first text leaves at the moment `begin`, each further one its turn later."""

    async def run(ask: Ask) -> list[Reply]:
        calls = []
        for number, text in enumerate(texts):
            await asyncio.sleep(max(begin + number / per_second - time.perf_counter(), 0))
            calls.append(asyncio.create_task(ask(text)))
        return await asyncio.gather(*calls)

    return asyncio.run(_connected(socket, run))


Ask = Callable[[str], Coroutine[Any, Any, Reply]]


async def _connected(socket: Path, run: Callable[[Ask], Coroutine[Any, Any, Any]]) -> Any:
    # A collection in this process would count as the daemon's time.
    gc.disable()
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub = assistant_pb2_grpc.AssistantStub(channel)
        await stub.Echo(pb.EchoRequest(), wait_for_ready=True, timeout=DEADLINE_S)

        async def ask(text: str) -> Reply:
            sent = time.perf_counter()
            try:
                if text == ECHO:
                    await stub.Echo(pb.EchoRequest(), timeout=DEADLINE_S)
                    return Reply(text, sent, time.perf_counter() - sent)
                response = await stub.Route(pb.RouteRequest(text=text), timeout=DEADLINE_S)
            except grpc.RpcError as error:
                return Reply(text, sent, time.perf_counter() - sent, failure=error.code().name)
            seconds, made = time.perf_counter() - sent, response.decision
            return Reply(text, sent, seconds, "", made.tier, made.view, made.expert, made.intent)

        return await run(ask)


def answered(replies: Iterable[Reply]) -> list[Reply]:
    """Raises: SystemExit when one failed: times of a daemon that refuses are worth nothing."""
    kept = []
    for reply in replies:
        if reply.failure:
            raise SystemExit(f"{reply.text!r}: {reply.failure}; see the daemon's log")
        kept.append(reply)
    return kept
