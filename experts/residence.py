"""Who is in memory, what each takes, and who leaves so that another fits. `memory` decides; the writer has it done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from . import memory
from .instance import Instance
from .plan import UNDER_WAY, State
from .policy import Policies


class Residence:
    """instances: every one of the fleet's. budget_bytes: 0 for as much as there is.

    unload: has experts leave, with the reason that is told of them, and returns when they have. let_go: the same of
    predecessors that are merely at hand.
    """

    def __init__(
        self,
        instances: Callable[[], Sequence[Instance]],
        policies: Policies,
        budget_bytes: int,
        *,
        unload: Callable[[Sequence[str], str], Awaitable[None]],
        let_go: Callable[[], Awaitable[None]],
    ) -> None:
        self._instances = instances
        self._policies = policies
        self._budget_bytes = budget_bytes
        self._unload = unload
        self._let_go = let_go
        # What an expert's latest version took when it was last looked at, for the next time that it is loaded.
        self._weighed: dict[str, tuple[int, int]] = {}
        self._making_room = asyncio.Lock()

    def weigh(self, item: Instance, resident_bytes: int) -> None:
        self._weighed[item.name] = (item.version, resident_bytes)

    def residents(self) -> list[memory.Resident]:
        """Everything in memory, and who of it could leave."""
        items = self._instances()
        under_way = {item.name for item in items if item.state in UNDER_WAY}
        found = []
        for item in items:
            if item.servable is None:
                continue
            slot = item.slot
            quiet = item.state is State.SERVING and item.held is None and not item.busy
            found.append(
                memory.Resident(
                    item.name,
                    item.resident_bytes,
                    quiet and slot is not None and slot.leases == 0 and item.name not in under_way,
                    self._policies.of(item.name).pinned,
                    time.monotonic() if slot is None else slot.last_used,
                    item.bundle.manifest.resources.reload_s,
                )
            )
        return found

    async def make_room(self, item: Instance) -> None:
        """Returns when the version may be loaded. Raises: UnavailableError NO_MEMORY."""
        if not self._budget_bytes:
            return
        needed = self._needed(item)
        async with self._making_room:
            if sum(each.bytes for each in self.residents()) + needed > self._budget_bytes:
                await self._let_go()
            loading = [
                memory.Resident(other.name, self._needed(other), False, False, time.monotonic(), 0.0)
                for other in self._instances()
                if other is not item and other.servable is None and other.state is State.LOADING
            ]
            names = memory.room_for(
                needed, self._budget_bytes, [*self.residents(), *loading], time.monotonic(), wanted=item.name
            )
            await self._unload(names, f"to make room for {item.name}")

    def _needed(self, item: Instance) -> int:
        """What it took when it was last looked at, else what it declares."""
        version, weighed = self._weighed.get(item.name, (0, 0))
        return weighed if version == item.version else int(item.bundle.manifest.resources.memory_mb * 1e6)
