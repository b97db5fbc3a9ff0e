"""Edits of intents while requests flow: written down, encoded, shown in the next view; the fit follows by itself.

Introduces the edits to the index. Knows no wire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from expertd.experts.edits import Edits, IntentStatus
from expertd.experts.errors import FleetError
from expertd.experts.fleet import Fleet
from expertd.experts.view import Slot
from expertd.router.index import RouteIndex

from .routing import Indexer


@dataclass(frozen=True, slots=True)
class Shown:
    """view: the number of the first view with the change. encoding_s: for its sentences' features; update_s: from there
    until requests saw it."""

    view: int
    encoding_s: float
    update_s: float


class Intents:
    """One edit at a time, each whole: what a call returned is on the disk and in the view."""

    def __init__(self, fleet: Fleet[RouteIndex], edits: Edits, indexer: Indexer) -> None:
        self._fleet = fleet
        self._edits = edits
        self._indexer = indexer
        self._editing = asyncio.Lock()

    def list(self, expert: str) -> tuple[tuple[IntentStatus, bool], ...]:
        """Each with whether the present index was fitted with it as it is. Raises: FleetError UNKNOWN_EXPERT."""
        slot, amended = self._fleet.slot(expert), self._fleet.view.amended
        return tuple((found, (expert, found.name) not in amended) for found in self._edits.list(slot.bundle))

    async def put(self, expert: str, intent: str, sentences: Sequence[str], *, append: bool) -> Shown:
        """Raises: FleetError UNKNOWN_EXPERT; QueryError, StoreError as `Edits.put`."""

        def write(slot: Slot) -> tuple[str, ...]:
            self._edits.put(slot.bundle, intent, sentences, append=append)
            return (intent,)

        return await self._edit(expert, write)

    async def remove(self, expert: str, intent: str) -> Shown:
        """Raises: FleetError UNKNOWN_EXPERT, UNKNOWN_INTENT, LAST_INTENT; StoreError."""

        def write(slot: Slot) -> tuple[str, ...]:
            self._edits.remove(slot.bundle, intent)
            return (intent,)

        return await self._edit(expert, write)

    async def reset(self, expert: str, intent: str = "") -> Shown:
        """Raises: FleetError UNKNOWN_EXPERT, UNKNOWN_INTENT, LAST_INTENT; StoreError."""
        return await self._edit(expert, lambda slot: self._edits.reset(slot.bundle, intent))

    async def _edit(self, expert: str, write: Callable[[Slot], Iterable[str]]) -> Shown:
        """write: makes the edit and returns the names of the intents that it touched."""
        async with self._editing:
            slot = self._fleet.slot(expert)
            names = await asyncio.to_thread(write, slot)
            try:
                return await self._show(slot, tuple(names))
            except FleetError:
                # It was removed meanwhile, and what goes takes its edits along.
                await asyncio.to_thread(self._edits.forget, expert)
                raise

    async def _show(self, slot: Slot, names: Sequence[str]) -> Shown:
        if not names:
            return Shown(self._fleet.view.number, 0, 0)
        began = time.perf_counter()
        edited = [(name, await self._indexer.intent(slot.bundle, name)) for name in names]
        encoded = time.perf_counter()

        def change(index: RouteIndex) -> RouteIndex:
            for name, found in edited:
                index = index.without(slot.name, name) if found is None else index.with_intent(*found)
            return index

        view = await self._fleet.amend(slot.name, names, change)
        return Shown(view, encoded - began, time.perf_counter() - encoded)
