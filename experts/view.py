"""What requests see of the fleet: a frozen view of slots, each leased while it answers. Knows no life cycle."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from .bundle import Bundle
from .errors import UnavailableError
from .servable import Servable
from .trial import Tally, Trial

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
    """A version that answers, or why none does: an expert's place in a view, or a version on trial beside it.

    tally: what this version did. trial: the one it is on. challenger: who is on trial beside it. fallback: who answers
    where this one, on trial, fails.
    """

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
        self.tally = Tally()
        self.trial: Trial | None = None
        self.challenger: Slot | None = None
        self.fallback: Slot | None = None
        self.leases = 0
        self.last_used = time.monotonic()
        self.closed = False
        self.idle: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return self.bundle.manifest.name

    @property
    def version(self) -> int:
        return self.bundle.manifest.version

    def takes(self, session: str) -> Slot:
        """Who answers a request of this session: the version itself, or the canary beside it."""
        challenger = self.challenger
        if challenger is None or challenger.trial is None:
            return self
        return challenger if challenger.trial.takes(self.name, challenger.version, session) else self

    @property
    def failed(self) -> bool:
        """It will not serve, and must not attract requests; one that is merely absent keeps its sentences."""
        return self.absence is not None and self.absence.reason == "FAILED"

    def hold(self) -> None:
        """Keeps the version from retiring, without a request."""
        self.leases += 1

    def release(self) -> None:
        self.leases -= 1
        if self.leases == 0:
            self.idle()

    @contextlib.asynccontextmanager
    async def lease(self, *, counted: bool = True) -> AsyncIterator[Servable]:
        """Holds the version: it retires when the last lease ends. counted: somebody asked for it.

        Raises: Retired when it was closed meanwhile, UnavailableError when nothing serves.
        """
        if self.absence is not None:
            raise self.absence
        if self.closed or self.servable is None:
            raise Retired(f"{self.name} {self.version}")
        self.hold()
        self.usage.requests += counted
        self.usage.in_flight += counted
        started = time.perf_counter()
        try:
            yield self.servable
        finally:
            if counted:
                self.usage.latencies_s.append(time.perf_counter() - started)
                self.usage.in_flight -= 1
                self.last_used = time.monotonic()
            self.release()


@dataclass(frozen=True, slots=True)
class View(Generic[Index]):
    """What requests see, whole: replaced in one assignment, never changed. number rises by one with each.

    routed: expert → sha256 of the intents that the index knows it by. amended: (expert, intent) of what changed in the
    index since it was fitted whole.
    """

    number: int
    index: Index
    slots: Mapping[str, Slot]
    routed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    amended: frozenset[tuple[str, str]] = frozenset()
