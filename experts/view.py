"""What requests see of the fleet: a frozen view of slots, each leased while it answers. Knows no life cycle."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from .bundle import Bundle
from .errors import UnavailableError
from .servable import Servable

Index = TypeVar("Index")


class Usage:
    """What one expert was asked, over all its versions. latencies_s: of the last thousand answers."""

    def __init__(self) -> None:
        self.requests = 0
        self.in_flight = 0
        self.latencies_s: deque[float] = deque(maxlen=1000)

    @property
    def p50_s(self) -> float:
        return statistics.median(self.latencies_s) if self.latencies_s else 0.0


class Retired(Exception):  # noqa: N818  (no error: the caller takes the present view and goes on)
    """The slot's version is gone since the view was taken."""


class Slot:
    """An expert's place in a view: a version that answers, or the reason why none does."""

    def __init__(
        self,
        bundle: Bundle,
        intents: tuple[str, ...],
        usage: Usage,
        servable: Servable | None,
        absence: UnavailableError | None,
    ) -> None:
        self.bundle = bundle
        # Names, as edited; they change along with the view.
        self.intents = intents
        self.usage = usage
        self.servable = servable
        # Why nothing serves: no weights yet, still loading. The request may wait or take the titan's road.
        self.absence = absence
        self.leases = 0
        self.closed = False
        self.idle: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return self.bundle.manifest.name

    @property
    def version(self) -> int:
        return self.bundle.manifest.version

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Servable]:
        """Holds the version: it retires when the last lease ends.

        Raises: Retired when it was closed meanwhile, UnavailableError when nothing serves.
        """
        if self.absence is not None:
            raise self.absence
        if self.closed or self.servable is None:
            raise Retired(f"{self.name} {self.version}")
        self.leases += 1
        self.usage.requests += 1
        self.usage.in_flight += 1
        started = time.perf_counter()
        try:
            yield self.servable
        finally:
            self.usage.latencies_s.append(time.perf_counter() - started)
            self.usage.in_flight -= 1
            self.leases -= 1
            if self.leases == 0:
                self.idle()


@dataclass(frozen=True, slots=True)
class View(Generic[Index]):
    """What requests see, whole: replaced in one assignment, never changed. number rises by one with each.

    amended: (expert, intent) of what changed in the index since it was fitted whole.
    """

    number: int
    index: Index
    slots: Mapping[str, Slot]
    amended: frozenset[tuple[str, str]] = frozenset()
