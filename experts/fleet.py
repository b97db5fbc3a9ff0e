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
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from .bundle import Bundle
from .edits import Edits
from .errors import BundleError, ExpertError, FleetError, StoreError, UnavailableError
from .plan import State
from .servable import Host, Loader
from .store import Store
from .view import Index, Slot, Usage, View
from .writer import Amendment, Encode, Limits, VersionStatus, Writer

__all__ = ["Encode", "ExpertStatus", "Fleet", "Limits", "VersionStatus"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExpertStatus:
    """absence: why it does not answer although it is installed; None: it serves."""

    bundle: Bundle
    serving: int | None
    absence: UnavailableError | None
    pinned: bool
    resident_bytes: int
    worker_pid: int
    usage: Usage
    versions: tuple[VersionStatus, ...]

    @property
    def name(self) -> str:
        return self.bundle.manifest.name


class Fleet(Generic[Index]):
    """The experts that are installed and the view that serves them.

    loaders: kind → loader. workers: the kinds that a process of their own serves. encode: the trunk. reindex: bundles →
    the index for a view, fitted whole. edits: what the operator changed of their intents, which `reindex` knows too.
    observe: told of each state that is entered, after it holds.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        *,
        loaders: Mapping[str, Loader],
        workers: frozenset[str],
        encode: Encode,
        reindex: Callable[[Sequence[Bundle]], Awaitable[Index]],
        empty: Index,
        edits: Edits | None = None,
        observe: Callable[[VersionStatus], None] = lambda status: None,
        limits: Limits | None = None,
    ) -> None:
        self._store = store
        self._workers = workers
        self._edits = edits
        self._limits = limits or Limits()
        self._pinned: set[str] = set()
        self._writer: Writer[Index] = Writer(
            store,
            host,
            edits,
            loaders=loaders,
            workers=workers,
            encode=encode,
            reindex=reindex,
            empty=empty,
            observe=observe,
            limits=self._limits,
        )

    @property
    def view(self) -> View[Index]:
        """What requests see now. Take it once for a request."""
        return self._writer.view

    # --- Orders ------------------------------------------------------------------------------------------------------

    async def start(self, bundles: Sequence[Bundle]) -> None:
        """Serves these, one version per expert; returns when the first view is out, workers maybe still loading.

        A bundle that fails is put into quarantine and the version before it serves instead, if there is one.
        """
        self._writer.start()
        orders = [(bundle, self._writer.aspire(bundle, expected=True)) for bundle in bundles]
        if all(bundle.manifest.kind in self._workers for bundle in bundles):
            # Nobody publishes soon: the first view shows who is expected.
            self._writer.publish()
        followed = [self._writer.spawn(self._settle(bundle, done)) for bundle, done in orders]
        quick = [task for (b, _), task in zip(orders, followed, strict=True) if b.manifest.kind not in self._workers]
        await asyncio.gather(*quick)
        await self._writer.until(lambda: self.view.number > 0)

    async def _settle(self, bundle: Bundle, done: asyncio.Future[None]) -> None:
        name, version = bundle.manifest.name, bundle.manifest.version
        try:
            await done
        except BundleError as error:
            await asyncio.to_thread(self._store.quarantine, name, version, str(error))
            fallback = self._store.previous(name)
            if fallback is not None:
                log.warning("%s %d failed; falling back to %d", name, version, fallback)
                with contextlib.suppress(ExpertError):
                    await self.install(self._store.bundle(name, fallback))
        except ExpertError:
            # Told already, where it happened; it stays absent until somebody brings what is missing.
            pass
        else:
            if self._store.current(name) != version:
                await asyncio.to_thread(self._store.promote, name, version)

    async def serve(self, bundle: Bundle) -> None:
        """Loads, examines and serves this version; returns when it is reachable, the predecessor draining.

        Raises: BundleError, UnavailableError when it never serves; the old version goes on serving.
        """
        await asyncio.shield(self._writer.aspire(bundle))

    async def install(self, bundle: Bundle) -> None:
        """Serves a bundle that the store has admitted, and makes it current.

        Raises: BundleError when it fails its examination (it is then in quarantine), UnavailableError when its weights
        are not there yet, StoreError when the pointer cannot be written; the old version goes on serving.
        """
        name, version = bundle.manifest.name, bundle.manifest.version
        before = self._store.current(name)
        try:
            await self.serve(bundle)
        except BundleError as error:
            await asyncio.to_thread(self._store.quarantine, name, version, str(error))
            if before is None:
                self._writer.withdraw(name)
            raise
        try:
            await asyncio.to_thread(self._store.promote, name, version)
        except StoreError:
            if before is not None:
                await self.serve(self._store.bundle(name, before))
            raise
        await asyncio.to_thread(self._store.collect, self._limits.keep_versions)

    async def promote(self, name: str, version: int) -> None:
        """Serves a version that is in the store.

        Raises: FleetError UNKNOWN_EXPERT; StoreError, BundleError, UnavailableError: the old version goes on serving.
        """
        self.slot(name)
        await self.install(await asyncio.to_thread(self._store.bundle, name, version))

    async def rollback(self, name: str) -> int:
        """Serves the version that served before this one, and says which.

        Raises: FleetError NOTHING_TO_ROLL_BACK_TO, and as `promote`.
        """
        slot = self.slot(name)
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
        await asyncio.to_thread(self._store.remove, name)

    async def amend(self, name: str, intents: Iterable[str], change: Callable[[Index], Index]) -> int:
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

    async def unload(self, name: str) -> None:
        """Frees the expert's memory; the next request for it loads it again. Raises: FleetError."""
        slot = self.slot(name)
        if name in self._pinned:
            raise FleetError(f"{name} is pinned; unpin it first", reason="PINNED")
        if slot.absence is None:
            self._writer.put_to_sleep(slot.bundle)
            await self._writer.until(lambda: self.slot(name).absence is not None and not self._writer.in_memory(name))

    def pin(self, name: str, pinned: bool) -> None:
        """Raises: FleetError."""
        self.slot(name)
        (self._pinned.add if pinned else self._pinned.discard)(name)

    async def close(self) -> None:
        """Waits for leases, at most `drain_timeout_s`, and closes every servable."""
        slots = self.view.slots.values()
        for slot in slots:
            slot.idle = self._writer.look
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_timeout_s):
                await self._writer.until(lambda: not any(slot.leases for slot in slots))
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
        known = {item.version: item.status for item in instances}
        if slot.absence is not None and slot.version in set(self._store.versions(name)) - set(known):
            since = self._store.admitted_at(name, slot.version)
            known[slot.version] = VersionStatus(name, slot.version, State.ASPIRED, str(slot.absence), since)
        stored = (
            VersionStatus(name, number, State.RETIRED, "", self._store.admitted_at(name, number))
            for number in self._store.versions(name)
            if number not in known
        )
        return ExpertStatus(
            bundle=slot.bundle,
            serving=None if serving is None else serving.version,
            absence=slot.absence,
            pinned=name in self._pinned,
            resident_bytes=sum(item.servable.resident_bytes() for item in instances if item.servable is not None),
            worker_pid=0 if serving is None or serving.servable is None else serving.servable.worker_pid(),
            usage=slot.usage,
            versions=tuple(sorted((*known.values(), *stored), key=lambda status: status.version)),
        )
