"""Apps that flood the daemon, each in a process of its own with the real client; they import little, to start fast.

A flooder keeps so many calls outstanding on one connection, none twice, and puts the next in place of each that ends:
at once where it was answered, and after `stubborn_s` where it was refused, whatever the daemon advised.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Literal

from expertd.client.aio import AsyncClient
from expertd.client.errors import ExhaustedError, ExpertdError

DEADLINE_S = 30.0
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Flood:
    """apps: processes. outstanding: calls of each. priority: what they say; "": nothing. names: each call under a new
    name instead of the app's."""

    apps: int = 10
    outstanding: int = 100
    priority: Literal["", "interactive", "background"] = ""
    names: bool = False
    stubborn_s: float = 0.0


def question(chance: random.Random) -> str:
    """Answered in the daemon itself, without effect, and most of them never asked before."""
    return f"what is {chance.randint(2, 99)}% of {chance.randint(100, 99_999)}"


@contextlib.contextmanager
def flooding(socket: Path, flood: Flood) -> Iterator[Counter[str]]:
    """The flood is on within; afterwards what became of its calls: answered, refused, another error's name."""
    context = multiprocessing.get_context("spawn")
    ready, go, stop = context.Semaphore(0), context.Event(), context.Event()
    told: Queue[Counter[str]] = context.Queue()
    processes = [
        context.Process(target=_app, args=(socket, flood, number, ready, go, stop, told), daemon=True)
        for number in range(flood.apps)
    ]
    for process in processes:
        process.start()
    try:
        for _ in processes:
            if not ready.acquire(timeout=START_S):
                raise SystemExit("a flooder did not start; is the machine overloaded?")
        go.set()
        became: Counter[str] = Counter()
        yield became
        stop.set()
        for _ in processes:
            became.update(told.get(timeout=START_S))
        for process in processes:
            process.join(START_S)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()


def _app(
    socket: Path,
    flood: Flood,
    number: int,
    ready: multiprocessing.synchronize.Semaphore,
    go: Event,
    stop: Event,
    told: Queue[Counter[str]],
) -> None:
    told.put(asyncio.run(_flood(socket, flood, number, ready, go, stop)))


async def _flood(
    socket: Path,
    flood: Flood,
    number: int,
    ready: multiprocessing.synchronize.Semaphore,
    go: Event,
    stop: Event,
) -> Counter[str]:
    became: Counter[str] = Counter()
    chance = random.Random(number)
    over = asyncio.Event()

    async def one(client: AsyncClient) -> None:
        while True:
            try:
                if flood.priority:
                    await client.ask(question(chance), timeout_s=DEADLINE_S, priority=flood.priority)
                else:
                    await client.ask(question(chance), timeout_s=DEADLINE_S)
                became["answered"] += 1
            except ExhaustedError:
                became["refused"] += 1
                await asyncio.sleep(flood.stubborn_s)
            except ExpertdError as error:
                became[type(error).__name__] += 1

    async with contextlib.AsyncExitStack() as stack:
        # A client's name is the connection's; a new name is had by a new client on the side.
        def named(each: int) -> AsyncClient:
            return AsyncClient(socket, app=f"crowd-{number}-{each}" if flood.names else f"crowd-{number}")

        clients = [
            await stack.enter_async_context(named(each)) for each in range(flood.outstanding if flood.names else 1)
        ]
        for client in clients:
            await client.route("what time is it")
        ready.release()
        await asyncio.to_thread(go.wait)
        calls = [asyncio.create_task(one(clients[each % len(clients)])) for each in range(flood.outstanding)]
        watch = asyncio.create_task(asyncio.to_thread(stop.wait))
        watch.add_done_callback(lambda _: over.set())
        await over.wait()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    return became
