"""The experts that are installed, the orders that change that, and the view that serves them.

An order goes from the store to the view and back out: what is admitted is served once it has passed its examination,
and becomes current once it serves. The state itself is the writer's; readers take `Fleet.view`, one frozen reference,
and lease a slot of it. Knows no router (the index in a view is opaque here) and no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic

import msgspec

from . import memory
from .bundle import Bundle
from .edits import Edits
from .errors import BundleError, ExpertError, FleetError, StoreError, UnavailableError
from .instance import Order, VersionStatus
from .plan import ON_TRIAL, State
from .policy import Policies, Policy
from .routes import Amendment, Change
from .servable import Emit, Encode, Host, Loader
from .serving import Serving
from .store import Store
from .values import Outcome, Query
from .view import Index, Slot, Usage, View
from .writer import Limits, Parts, Writer

__all__ = ["Encode", "ExpertStatus", "Fleet", "Limits", "VersionStatus"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Undone:
    """A version that was refused, or rolled back by itself; it is in quarantine."""

    version: int
    reason: str
    time: datetime


@dataclass(frozen=True, slots=True)
class ExpertStatus:
    """absence: why it does not answer although it is installed; None: it serves. undone: the newest such version."""

    bundle: Bundle
    serving: int | None
    absence: UnavailableError | None
    policy: Policy
    resident_bytes: int
    worker_pid: int
    usage: Usage
    versions: tuple[VersionStatus, ...]
    undone: Undone | None

    @property
    def name(self) -> str:
        return self.bundle.manifest.name

    @property
    def pinned(self) -> bool:
        return self.policy.pinned


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """budget_bytes: of all experts together; 0: none is set. daemon_bytes: of the daemon's process, experts in it
    included. pressure: share of time in which somebody on this machine waited for memory; below 0: unknown."""

    budget_bytes: int
    experts_bytes: int
    daemon_bytes: int
    pressure: float


class Fleet(Generic[Index]):
    """The experts that are installed and the view that serves them.

    loaders: kind → loader. slow: whether loading a bundle takes long, so that no start waits for it. encode: the trunk;
    encode_aside: the same, for work that no request waits for. reindex: bundles → the index for a view, fitted whole.
    adapt: an expert and the bundle whose intents it is to have (None: it goes) → the change of an index that does it in
    closed form. edits: what the operator changed of their intents, which both know too. policies: what he decided of
    each expert. observe: told of each state that is entered, after it holds. machine: bytes of this process, and the
    pressure of memory, as `MemoryStatus` has them.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        *,
        loaders: Mapping[str, Loader],
        slow: Callable[[Bundle], bool],
        encode: Encode,
        encode_aside: Encode | None = None,
        reindex: Callable[[Sequence[Bundle]], Awaitable[Index]],
        adapt: Callable[[str, Bundle | None], Awaitable[Change[Index]]],
        empty: Index,
        edits: Edits | None = None,
        policies: Policies | None = None,
        observe: Callable[[VersionStatus], None] = lambda status: None,
        machine: Callable[[], tuple[int, float]] = lambda: (0, -1.0),
        limits: Limits | None = None,
    ) -> None:
        self._store = store
        self._slow = slow
        self._machine = machine
        self._edits = edits
        self._limits = limits or Limits()
        self._policies = policies or Policies.open(host.state)
        # One at a time writes down what became of an expert's versions.
        self._recording: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writer: Writer[Index] = Writer(
            Parts(
                store=store,
                host=host,
                edits=edits,
                policies=self._policies,
                loaders=loaders,
                slow=slow,
                encode=encode_aside or encode,
                reindex=reindex,
                adapt=adapt,
                empty=empty,
                observe=observe,
                undone=self._undone,
                limits=self._limits,
            )
        )
        self._serving = Serving(self.present, encode, self._writer.judge)

    @property
    def view(self) -> View[Index]:
        """What requests see now. Take it once for a request."""
        return self._writer.view

    # --- Requests ----------------------------------------------------------------------------------------------------

    async def answer(
        self, name: str, query: Query, emit: Emit, leased: Callable[[Slot], None] = lambda slot: None
    ) -> tuple[Slot, Outcome]:
        """The expert's answer, and the version that gave it: the one that serves, or one on trial. leased: told of each
        version that is asked.

        Raises: FleetError UNKNOWN_EXPERT, QueryError, UnavailableError.
        """
        return await self._serving.answer(name, query, emit, leased)

    def feedback(self, name: str, version: int, good: bool) -> None:
        """What somebody says of an answer; a version on trial is judged by it."""
        slot = self.view.slots.get(name)
        for each in () if slot is None else (slot, slot.challenger):
            if each is not None and each.version == version and not good:
                each.tally.disliked += 1
                if each.trial is not None:
                    each.trial.candidate.disliked += 1
                    self._writer.judge(each)

    # --- Orders ------------------------------------------------------------------------------------------------------

    async def start(self, bundles: Sequence[Bundle]) -> None:
        """Serves these, one version per expert; returns when the first view is out, workers maybe still loading.

        A bundle that fails is put into quarantine and the version before it serves instead, if there is one.
        """
        self._writer.start()
        orders = [(bundle, self._writer.aspire(bundle, expected=True)) for bundle in bundles]
        if all(self._slow(bundle) for bundle in bundles):
            # Nobody publishes soon: the first view shows who is expected.
            self._writer.publish()
        followed = [(bundle, self._writer.spawn(self._settle(bundle, order))) for bundle, order in orders]
        await asyncio.gather(*(task for bundle, task in followed if not self._slow(bundle)))
        await self._writer.until(lambda: self.view.number > 0)

    async def _settle(self, bundle: Bundle, order: Order) -> None:
        name = bundle.manifest.name
        try:
            await self._record(bundle, order)
        except BundleError:
            fallback = self._store.previous(name)
            if fallback is not None:
                log.warning("%s %d failed; falling back to %d", name, bundle.manifest.version, fallback)
                with contextlib.suppress(ExpertError):
                    await self.install(self._store.bundle(name, fallback))
        except ExpertError:
            # Told already, where it happened; it stays absent until somebody brings what is missing.
            pass

    async def serve(self, bundle: Bundle) -> None:
        """Loads, examines and serves this version; returns when it is reachable, the predecessor draining.

        Raises: BundleError, UnavailableError when it never serves; the old version goes on serving.
        """
        await asyncio.shield(self._writer.aspire(bundle).served)

    async def install(self, bundle: Bundle, *, accept: bool = False) -> State:
        """Serves a bundle that the store has admitted, and makes it current; returns when it serves, or is on trial
        (the state says which): what becomes of it then is told by `status`. accept: a trial of it is over.

        Raises: BundleError when it fails its examination (it is then in quarantine), UnavailableError when its weights
        are not there yet, StoreError when the pointer cannot be written; the old version goes on serving.
        """
        name = bundle.manifest.name
        before = self._store.current(name)
        order = self._writer.aspire(bundle, accept=accept)
        record = self._writer.spawn(self._record(bundle, order))
        record.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            state = await asyncio.shield(order.settled)
            if state in ON_TRIAL:
                return state
        except ExpertError:
            pass  # `record` tells it, once it is written down.
        try:
            await asyncio.shield(record)
        except BundleError:
            if before is None:
                self._writer.withdraw(name)
            raise
        except StoreError:
            if before is not None:
                await self.serve(self._store.bundle(name, before))
            raise
        return State.SERVING

    async def _record(self, bundle: Bundle, order: Order) -> None:
        """Waits for what becomes of the version, and writes it down: the pointer, or quarantine.

        Raises: as `install`.
        """
        name, version = bundle.manifest.name, bundle.manifest.version
        try:
            await asyncio.shield(order.served)
        except BundleError as error:
            async with self._recording[name]:
                await asyncio.to_thread(self._store.quarantine, name, version, str(error))
            raise
        async with self._recording[name]:
            if self._serves(name, version) and self._store.current(name) != version:
                try:
                    await asyncio.to_thread(self._store.promote, name, version)
                except StoreError:
                    if self._serves(name, version):
                        raise
                    return  # Newer ones have come and taken its place, on the disk too.
                in_use = {(item.name, item.version) for item in self._writer.instances.values()}
                await asyncio.to_thread(self._store.collect, self._limits.keep_versions, in_use)

    def _serves(self, name: str, version: int) -> bool:
        slot = self.view.slots.get(name)
        return slot is not None and slot.version == version

    def _undone(self, bad: Bundle, good: Bundle, problem: str) -> None:
        """The writer has gone back to `good`: so will every start."""

        async def record() -> None:
            name = bad.manifest.name
            async with self._recording[name]:
                try:
                    await asyncio.to_thread(self._store.promote, name, good.manifest.version)
                    await asyncio.to_thread(
                        self._store.quarantine, name, bad.manifest.version, f"{bad}: undone on probation: {problem}"
                    )
                except StoreError as error:
                    log.error("%s is undone, but the next start will not know it: %s", bad, error)

        self._writer.spawn(record())

    async def promote(self, name: str, version: int) -> State:
        """Serves a version that is in the store; one that is on trial serves without waiting for its end.

        Raises: FleetError UNKNOWN_EXPERT; StoreError, BundleError, UnavailableError: the old version goes on serving.
        """
        self.slot(name)
        return await self.install(await asyncio.to_thread(self._store.bundle, name, version), accept=True)

    async def rollback(self, name: str) -> int:
        """Serves the version that served before this one, and says which. While a version is on trial it is given up
        instead, and the one that serves goes on.

        Raises: FleetError NOTHING_TO_ROLL_BACK_TO, and as `promote`.
        """
        slot = self.slot(name)
        if slot.challenger is not None:
            self._writer.give_up(name, "given up by the operator")
            await self._writer.until(lambda: self.slot(name).challenger is None)
            return self.slot(name).version
        version = self._store.previous(name)
        if version is None:
            raise FleetError(
                f"{name} {slot.version}: no version served before it; there is nothing to roll back to",
                reason="NOTHING_TO_ROLL_BACK_TO",
            )
        await self.promote(name, version)
        return version

    async def remove(self, name: str) -> None:
        """Withdraws the expert, waits for its leases and deletes it from the store, and the edits of its intents.

        Raises: FleetError UNKNOWN_EXPERT, StoreError.
        """
        self.slot(name)
        self._writer.withdraw(name)
        await self._writer.until(lambda: name not in self.view.slots and not self._writer.in_memory(name))
        if self._edits is not None:
            await asyncio.to_thread(self._edits.forget, name)
        await asyncio.to_thread(self._policies.forget, name)
        async with self._recording[name]:
            await asyncio.to_thread(self._store.remove, name)

    async def amend(self, name: str, intents: Iterable[str], change: Change[Index]) -> int:
        """Changes some of the expert's intents in the index that serves, in one assignment of the view; the index is
        fitted anew in the background soon after. Returns the number of the view that shows it.

        change: the present index → the one with the change, in milliseconds, in a thread; called again on an index that
        is being fitted meanwhile.

        Raises: FleetError UNKNOWN_EXPERT; what `change` raises, and nothing is changed.
        """
        self.slot(name)
        number = await self._writer.amend(Amendment(name, frozenset(intents), change))
        self.slot(name)
        return number

    async def retry(self, name: str) -> None:
        """Tries again to serve an expert that is absent: its model has arrived. Raises: as `serve`, FleetError."""
        slot = self.slot(name)
        if slot.absence is not None:
            await self.install(slot.bundle)

    async def unload(self, name: str, *, although_pinned: bool = False) -> None:
        """Frees the expert's memory; the next request for it loads it again.

        Raises: FleetError UNKNOWN_EXPERT, PINNED, UNDER_WAY.
        """
        slot = self.slot(name)
        if self._policies.of(name).pinned and not although_pinned:
            raise FleetError(f"{name} is pinned; unpin it first", reason="PINNED")
        if self._writer.under_way(name):
            raise FleetError(
                f"{name}: a new version is on its way; wait for it, or give it up with a rollback", reason="UNDER_WAY"
            )
        if slot.absence is None:
            await self._writer.unload([name], "")

    async def shed(self, pressure: float) -> None:
        """Unloads whom the machine needs gone, see `memory.shed`. pressure: a share of time."""
        names = memory.shed(pressure, self._writer.residence.residents(), time.monotonic())
        if names:
            log.warning("memory is short (%.0f %% of the time): unloading %s", 100 * pressure, ", ".join(names))
            await self._writer.unload(names, "memory is short")

    async def pin(self, name: str, pinned: bool) -> None:
        """Raises: FleetError, StoreError."""
        self.slot(name)
        policy = msgspec.structs.replace(self._policies.of(name), pinned=pinned)
        await asyncio.to_thread(self._policies.put, name, policy)

    async def set_policy(self, name: str, policy: Policy) -> None:
        """By which road its next versions come to serve; whether it is pinned stays as it is.

        Raises: FleetError, QueryError, StoreError.
        """
        self.slot(name)
        policy = msgspec.structs.replace(policy, pinned=self._policies.of(name).pinned)
        await asyncio.to_thread(self._policies.put, name, policy)

    async def close(self) -> None:
        """Waits for leases, at most `drain_timeout_s`, and closes every servable."""
        await self._writer.stop()
        slots = self.view.slots.values()
        for slot in slots:
            slot.idle = self._writer.look
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_timeout_s):
                await self._writer.until(lambda: not any(slot.leases for slot in slots))
        await self._serving.close()
        await self._writer.close()

    # --- Readers -----------------------------------------------------------------------------------------------------

    def slot(self, name: str) -> Slot:
        """Raises: FleetError UNKNOWN_EXPERT."""
        try:
            return self.view.slots[name]
        except KeyError:
            near = difflib.get_close_matches(name, self.view.slots, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(self.view.slots))}"
            raise FleetError(f"{name!r}: no such expert{hint}", reason="UNKNOWN_EXPERT") from None

    async def present(self, name: str) -> Slot:
        """The expert's slot once its version serves: waits for one that is loading, wakes one that was unloaded.

        Raises: FleetError UNKNOWN_EXPERT; UnavailableError when it cannot serve now.
        """
        slot = self.slot(name)
        if slot.absence is None:
            return slot
        if slot.absence.reason not in {"LOADING", "UNLOADED"}:
            raise slot.absence
        try:
            await self.serve(slot.bundle)
        except BundleError as error:
            raise UnavailableError(str(error), reason="FAILED") from error
        return self.slot(name)

    def status(self, name: str) -> ExpertStatus:
        """Raises: FleetError UNKNOWN_EXPERT."""
        slot = self.slot(name)
        instances = [item for item in self._writer.instances.values() if item.name == name]
        serving = next((item for item in instances if item.state is State.SERVING), None)
        known = {item.version: item.full_status for item in instances}
        here = self._store.versions(name)
        if slot.absence is not None and slot.version in set(here) - set(known):
            with contextlib.suppress(StoreError, OSError):
                since = self._store.admitted_at(name, slot.version)
                known[slot.version] = VersionStatus(name, slot.version, State.ASPIRED, str(slot.absence), since)
        stored = []
        for number in here:
            # One that goes into quarantine, or is collected, at this very moment is not there any more.
            with contextlib.suppress(StoreError, OSError):
                if number not in known:
                    since = self._store.admitted_at(name, number)
                    stored.append(VersionStatus(name, number, State.RETIRED, "", since))
        refused = {
            found.version: VersionStatus(name, found.version, State.FAILED, found.reason, found.time)
            for found in self._store.quarantined(name)
            if found.version not in here
        }
        newest = max(refused.values(), key=lambda status: status.changed, default=None)
        return ExpertStatus(
            bundle=slot.bundle,
            serving=None if serving is None else serving.version,
            absence=slot.absence,
            policy=self._policies.of(name),
            resident_bytes=sum(status.resident_bytes for status in known.values()),
            worker_pid=0 if serving is None or serving.servable is None else serving.servable.worker_pid(),
            usage=slot.usage,
            versions=tuple(sorted((*{**refused, **known}.values(), *stored), key=lambda status: status.version)),
            undone=None if newest is None else Undone(newest.version, newest.reason, newest.changed),
        )

    def memory(self) -> MemoryStatus:
        """What the experts hold, beside what they may hold and how the machine fares."""
        held = sum(resident.bytes for resident in self._writer.residence.residents())
        daemon_bytes, pressure = self._machine()
        return MemoryStatus(self._limits.budget_bytes, held, daemon_bytes, pressure)
