"""One loading of one version, as the writer sees it, and what others are told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from .bundle import Bundle
from .plan import State
from .servable import Servable
from .trial import TrialStatus
from .view import Slot


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """reason: why it is in this state, where there is one to give. examination: what its examination found, in words;
    empty: it was not examined since the daemon started. trial: None where it is on none."""

    expert: str
    version: int
    state: State
    reason: str
    changed: datetime
    resident_bytes: int = 0
    examination: str = ""
    trial: TrialStatus | None = None


class Order:
    """That a version is to serve. served: done when it does, or failed. settled: done when it serves, is on trial or
    failed: from then on it goes its way by itself."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.served: asyncio.Future[None] = loop.create_future()
        self.settled: asyncio.Future[State] = loop.create_future()
        for future in (self.served, self.settled):
            # Whoever gave the order may have gone; an error that nobody awaits is in the log already.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def reached(self, state: State) -> None:
        """It is in a state where some request reaches it."""
        if not self.settled.done():
            self.settled.set_result(state)
        if state is State.SERVING and not self.served.done():
            self.served.set_result(None)

    def failed(self, error: Exception) -> None:
        for future in (self.settled, self.served):
            if not future.done():
                future.set_exception(error)


@dataclass(slots=True, eq=False)
class Instance:
    """Written by the writer alone.

    slow: loading it takes long. proven: it has served before, and needs no trial. examined: passed its examination, now
    or when it was first installed. stages: of its trial, those still to come. held: the predecessor, still in memory
    while this one serves on probation. leaving: why it is to be withdrawn. drain_ends: when its last requests are let
    go of.
    """

    bundle: Bundle
    state: State
    changed: datetime
    slow: bool = False
    proven: bool = False
    examined: bool = False
    examination: str = ""
    reason: str = ""
    ready: bool = False
    busy: bool = False
    slot: Slot | None = None
    servable: Servable | None = None
    stages: tuple[State, ...] = ()
    held: Instance | None = None
    leaving: str = ""
    drain_ends: asyncio.TimerHandle | None = None
    orders: list[Order] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.bundle.manifest.name

    @property
    def version(self) -> int:
        return self.bundle.manifest.version

    @property
    def idles(self) -> bool:
        """It drains, and nobody is left to wait for."""
        return self.state is State.DRAINING and self.slot is not None and self.slot.leases == 0

    @property
    def resident_bytes(self) -> int:
        return 0 if self.servable is None else self.servable.resident_bytes()

    @property
    def status(self) -> VersionStatus:
        return VersionStatus(self.name, self.version, self.state, self.reason, self.changed)

    @property
    def full_status(self) -> VersionStatus:
        """With what takes a look at its process."""
        trial = None if self.slot is None or self.slot.trial is None else self.slot.trial.status
        return VersionStatus(
            self.name,
            self.version,
            self.state,
            self.reason,
            self.changed,
            resident_bytes=self.resident_bytes,
            examination=self.examination,
            trial=trial,
        )

    def reached(self) -> None:
        """Tells those who ordered it."""
        for order in self.orders:
            order.reached(self.state)
        if self.state is State.SERVING:
            self.orders.clear()

    def refused(self, error: Exception) -> None:
        for order in self.orders:
            order.failed(error)
        self.orders.clear()
