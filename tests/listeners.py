"""Who listens to an answer that comes piece by piece."""

from __future__ import annotations

import asyncio
from typing import Protocol

from expertd.experts.servable import Emit
from expertd.experts.values import Outcome, Query


class Answers(Protocol):
    async def answer(self, query: Query, emit: Emit) -> Outcome: ...


async def ignore(_: str) -> None:
    pass


class Heard:
    """What a caller has heard so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._more = asyncio.Event()

    async def __call__(self, piece: str) -> None:
        self.pieces.append(piece)
        self._more.set()

    async def first(self) -> None:
        await self._more.wait()


async def begun(expert: Answers, asked: Query) -> asyncio.Task[Outcome]:
    """A call of which the first piece has been heard."""
    heard = Heard()
    task = asyncio.create_task(expert.answer(asked, heard))
    await heard.first()
    return task


async def call_off(task: asyncio.Task[Outcome]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
