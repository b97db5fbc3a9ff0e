"""A fleet with the real store, and loaders that a test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from expertd.experts.bundle import Bundle
from expertd.experts.edits import Edits
from expertd.experts.errors import UnavailableError
from expertd.experts.fleet import Fleet, Limits, VersionStatus
from expertd.experts.plan import State
from expertd.experts.schedule import Scheduler
from expertd.experts.servable import Emit, Host
from expertd.experts.store import Store
from expertd.experts.values import Answer, Outcome, Query, Structured

UTC_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GOLDEN = {"query": {"text": "hello", "now": "2026-03-02T09:00:00+00:00", "zone": "UTC"}, "expect": {"text": "hello"}}


class Echo:
    """Answers with what it hears, or with its bundle's `says`; waits for `gate` where a test holds one shut."""

    needs_vector = False

    def __init__(self, bundle: Bundle, gate: asyncio.Event) -> None:
        self.says = bundle.manifest.parameters.get("says")
        self.name, self.version = bundle.manifest.name, bundle.manifest.version
        self.gate = gate
        self.closed = False
        self.data = bundle.manifest.parameters.get("data", {})
        self.pid = 0
        self.asked = 0
        self.rehearsed = 0
        self.bytes = bundle.manifest.parameters.get("bytes", 1000)
        # What a test has it do instead: raise, hang, abstain.
        self.misbehave: Callable[[Query], Awaitable[Outcome]] | None = None

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        if not query.rehearsal:
            await self.gate.wait()
        assert not self.closed, "asked after it was closed"
        self.asked += not query.rehearsal
        self.rehearsed += query.rehearsal
        if self.misbehave is not None:
            return await self.misbehave(query)
        return Answer(self.says or query.text, Structured(self.data))

    def resident_bytes(self) -> int:
        return self.bytes

    def worker_pid(self) -> int:
        return self.pid

    async def close(self) -> None:
        self.closed = True


class House:
    """A fleet with its store, and what it told."""

    def __init__(
        self, folder: Path, refit_after_s: float = 0.05, probation_requests: int = 0, budget_bytes: int = 0
    ) -> None:
        self.store = Store.open(folder / "state")
        self.edits = Edits.open(folder / "state" / "edits")
        self.gate = asyncio.Event()
        self.gate.set()
        self.loading = asyncio.Event()
        self.loading.set()
        self.told: list[VersionStatus] = []
        self.made: list[Echo] = []
        self.missing: set[str] = set()
        # What whatever is loaded from now on does.
        self.misbehave: Callable[[Query], Awaitable[Outcome]] | None = None
        self.index_error: Exception | None = None
        self.adapt_error: Exception | None = None
        self.fitting = asyncio.Event()
        self.fitting.set()
        self.fits = 0
        self.adapting = asyncio.Event()
        self.adapting.set()
        self.adaptations = 0
        host = Host(folder, folder / "expertd.db", Scheduler(folder / "expertd.db"), lambda: UTC_NOW, self.encode)
        self.fleet: Fleet[tuple[str, ...]] = Fleet(
            self.store,
            host,
            loaders={"skill": self.load},
            slow=lambda bundle: False,
            encode=self.encode,
            reindex=self.reindex,
            adapt=self.adapt,
            empty=(),
            edits=self.edits,
            observe=self.told.append,
            machine=lambda: (100_000_000, 0.0),
            limits=Limits(
                load_timeout_s=2,
                warm_timeout_s=2,
                drain_timeout_s=2,
                refit_after_s=refit_after_s,
                probation_requests=probation_requests,
                budget_bytes=budget_bytes,
            ),
        )

    async def load(self, bundle: Bundle, host: Host) -> Echo:
        await self.loading.wait()
        if bundle.manifest.parameters.get("breaks"):
            raise OSError("the weights are torn")
        if bundle.manifest.name in self.missing:
            raise UnavailableError("its model is not here", reason="NO_MODEL")
        self.made.append(Echo(bundle, self.gate))
        self.made[-1].misbehave = self.misbehave
        return self.made[-1]

    async def encode(self, sentences: Sequence[str]) -> Any:
        return np.zeros((len(sentences), 384), np.float32)

    async def reindex(self, bundles: Sequence[Bundle]) -> tuple[str, ...]:
        """The bundles' names, and each of their intents that is not their own: "echo 1", "echo/greet"."""
        found = [str(bundle) for bundle in bundles]
        found += [f"{b.manifest.name}/{i.name}" for b in bundles for i in self.edits.apply(b) if i not in b.intents()]
        self.fits += 1
        await self.fitting.wait()
        if self.index_error is not None and bundles:
            raise self.index_error
        return tuple(found)

    async def adapt(self, expert: str, bundle: Bundle | None) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
        """As `reindex`, for one expert, on what is there."""
        self.adaptations += 1
        await self.adapting.wait()
        if self.adapt_error is not None:
            raise self.adapt_error
        mine: list[str] = []
        if bundle is not None:
            own = bundle.intents()
            mine = [str(bundle), *(f"{expert}/{i.name}" for i in self.edits.apply(bundle) if i not in own)]

        def change(index: tuple[str, ...]) -> tuple[str, ...]:
            kept = (mark for mark in index if mark.replace("/", " ").split()[0] != expert)
            return tuple(sorted((*kept, *mine)))

        return change

    async def greet(self, name: str = "echo", intent: str = "greet") -> int:
        """Adds an intent, as the daemon does it: written down, then shown."""
        self.edits.put(self.fleet.slot(name).bundle, intent, ["hello there"])
        mark = f"{name}/{intent}"
        return await self.fleet.amend(name, [intent], lambda index: (*(m for m in index if m != mark), mark))

    async def ask(self, name: str = "echo", text: str = "hello", session: str = "") -> str:
        """The text that the expert answers."""
        _, outcome = await self.fleet.answer(name, Query(text, UTC_NOW, ZoneInfo("UTC"), session=session), _nobody)
        assert isinstance(outcome, Answer), outcome
        return outcome.text

    def made_of(self, version: int, name: str = "echo") -> Echo:
        """The servable that was loaded last for this version."""
        return next(echo for echo in reversed(self.made) if (echo.name, echo.version) == (name, version))

    def states(self, version: int) -> list[State]:
        return [status.state for status in self.told if status.version == version]


async def _nobody(_: str) -> None:
    pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (the test waits for something outside)
            await asyncio.sleep(0.005)
