"""The life cycle of every expert's versions: from the store to the view, and back out.

One task writes: orders and finished work arrive as messages in its queue, `plan` decides, and what takes time (loading,
examining, indexing) runs in tasks of its own whose results come back as messages. Readers take `Fleet.view`, one frozen
reference, and lease a slot of it. Knows no router (the index in a view is opaque here) and no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic

from . import golden
from .bundle import Bundle
from .errors import BundleError, ExpertError, FleetError, StoreError, UnavailableError
from .plan import UNDER_WAY, Abandon, Action, Load, Publish, Retire, Snapshot, State, VersionSnapshot, Warm, plan
from .servable import Host, Loader, Servable
from .store import Store
from .values import Abstention, Answer, FloatArray
from .view import Index, Slot, Usage, View

log = logging.getLogger(__name__)

# Sentences → float32 (n, 384), unit length.
Encode = Callable[[Sequence[str]], Awaitable[FloatArray]]


@dataclass(frozen=True, slots=True)
class Limits:
    """warm_timeout_s bounds loading and examining each; drain_timeout_s: after that a version closes regardless."""

    load_timeout_s: float = 120.0
    warm_timeout_s: float = 60.0
    drain_timeout_s: float = 60.0
    keep_versions: int = 3


@dataclass(frozen=True, slots=True)
class VersionStatus:
    expert: str
    version: int
    state: State
    reason: str
    changed: datetime


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


@dataclass(slots=True)
class _Instance:
    """One loading of one version, written by the fleet's task alone.

    examined: passed its golden examples, now or when it was first installed.
    """

    bundle: Bundle
    state: State
    changed: datetime
    examined: bool = False
    reason: str = ""
    ready: bool = False
    busy: bool = False
    slot: Slot | None = None
    servable: Servable | None = None
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.bundle.manifest.name

    @property
    def version(self) -> int:
        return self.bundle.manifest.version

    @property
    def status(self) -> VersionStatus:
        return VersionStatus(self.name, self.version, self.state, self.reason, self.changed)


class Fleet(Generic[Index]):
    """The experts that are installed and the view that serves them.

    loaders: kind → loader. workers: the kinds that a process of their own serves. encode: the trunk. reindex: bundles →
    the index for a view. observe: told of each state that is entered, after it holds.
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
        observe: Callable[[VersionStatus], None] = lambda status: None,
        limits: Limits | None = None,
    ) -> None:
        self.view: View[Index] = View(0, empty, MappingProxyType({}))
        self._store = store
        self._host = host
        self._loaders = loaders
        self._workers = workers
        self._encode = encode
        self._reindex = reindex
        self._observe = observe
        self._limits = limits or Limits()
        self._instances: dict[int, _Instance] = {}
        self._numbers = itertools.count(1)
        self._aspired: dict[str, int] = {}
        self._absent: dict[str, tuple[Bundle, UnavailableError]] = {}
        self._usage: dict[str, Usage] = {}
        self._pinned: set[str] = set()
        self._publishing = False
        self._dirty = False
        self._round = asyncio.Event()
        self._inbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.Task[None] | None = None

    # --- Orders ------------------------------------------------------------------------------------------------------

    async def start(self, bundles: Sequence[Bundle]) -> None:
        """Serves these, one version per expert; returns when the first view is out, workers maybe still loading.

        A bundle that fails is put into quarantine and the version before it serves instead, if there is one.
        """
        self._writer = asyncio.create_task(self._write(), name="fleet")
        orders = [(bundle, self._aspire(bundle, expected=True)) for bundle in bundles]
        if all(bundle.manifest.kind in self._workers for bundle in bundles):
            # Nobody publishes soon: the first view shows who is expected.
            self._post(self._mark_dirty)
        followed = [self._spawn(self._settle(bundle, done)) for bundle, done in orders]
        quick = [task for (b, _), task in zip(orders, followed, strict=True) if b.manifest.kind not in self._workers]
        await asyncio.gather(*quick)
        await self._until(lambda: self.view.number > 0)

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
        await asyncio.shield(self._aspire(bundle))

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
                self._post(lambda: self._withdraw(name))
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
        """Withdraws the expert, waits for its leases and deletes it from the store. Raises: FleetError."""
        self.slot(name)
        self._post(lambda: self._withdraw(name))
        await self._until(lambda: name not in self.view.slots and not self._in_memory(name))
        await asyncio.to_thread(self._store.remove, name)

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
            self._post(lambda: self._put_to_sleep(slot.bundle))
            await self._until(lambda: self.slot(name).absence is not None and not self._in_memory(name))

    def pin(self, name: str, pinned: bool) -> None:
        """Raises: FleetError."""
        self.slot(name)
        (self._pinned.add if pinned else self._pinned.discard)(name)

    async def close(self) -> None:
        """Waits for leases, at most `drain_timeout_s`, and closes every servable."""
        slots = self.view.slots.values()
        for slot in slots:
            slot.idle = lambda: self._post(_nothing)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_timeout_s):
                await self._until(lambda: not any(slot.leases for slot in slots))
        tasks = [*self._tasks, *([self._writer] if self._writer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        servables = [item.servable for item in self._instances.values() if item.servable is not None]
        await asyncio.gather(*(servable.close() for servable in servables), return_exceptions=True)

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
        instances = [item for item in self._instances.values() if item.name == name]
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

    # --- The one writer ----------------------------------------------------------------------------------------------

    def _post(self, change: Callable[[], None]) -> None:
        self._inbox.put_nowait(change)

    async def _write(self) -> None:
        while True:
            (await self._inbox.get())()
            while not self._inbox.empty():
                self._inbox.get_nowait()()
            for action in plan(self._snapshot()):
                self._execute(action)
            if self._dirty and not self._publishing:
                self._execute(Publish(frozenset(), frozenset()))
            self._round.set()
            self._round = asyncio.Event()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that the writer brings about."""
        while not condition():
            await self._round.wait()

    def _in_memory(self, name: str) -> bool:
        return any(item.name == name and item.servable is not None for item in self._instances.values())

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            versions=tuple(
                VersionSnapshot(
                    instance=number,
                    expert=item.name,
                    version=item.version,
                    state=item.state,
                    ready=item.ready,
                    busy=item.busy,
                    slow=item.bundle.manifest.kind in self._workers,
                    leases=0 if item.slot is None else item.slot.leases,
                )
                for number, item in self._instances.items()
            ),
            aspired=dict(self._aspired),
            publishing=self._publishing,
        )

    def _execute(self, action: Action) -> None:
        match action:
            case Publish(serve, withdraw):
                self._publishing = True
                self._dirty = False
                self._spawn(self._publish([self._instances[n] for n in serve], [self._instances[n] for n in withdraw]))
            case Load(number):
                self._begin(number, State.LOADING, self._load)
            case Warm(number):
                self._begin(number, State.WARMING, self._warm)
            case Retire(number):
                self._instances[number].busy = True
                self._spawn(self._retire(number))
            case Abandon(number):
                item = self._instances[number]
                self._fail(item, FleetError(f"{item.name} {item.version}: superseded", reason="SUPERSEDED"))

    def _begin(self, number: int, state: State, work: Callable[[_Instance], Coroutine[Any, Any, None]]) -> None:
        item = self._instances[number]
        item.busy = True
        self._enter(item, state)
        self._spawn(work(item))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _enter(self, item: _Instance, state: State, reason: str = "") -> None:
        item.state, item.reason, item.changed = state, reason, self._host.clock()
        log.info("%s %d: %s%s", item.name, item.version, state, f": {reason}" if reason else "")
        self._observe(item.status)

    # --- Changes, each applied by the writer -------------------------------------------------------------------------

    def _aspire(self, bundle: Bundle, *, expected: bool = False) -> asyncio.Future[None]:
        """expected: it is part of the set that the daemon starts with, and has its place in the view at once."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever gave the order may have gone; an error that nobody awaits is in the log already.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())

        def change() -> None:
            name, version = bundle.manifest.name, bundle.manifest.version
            self._aspired[name] = version
            mine = [item for item in self._instances.values() if (item.name, item.version) == (name, version)]
            if any(item.state is State.SERVING and not item.busy for item in mine):
                done.set_result(None)
                return
            item = next((item for item in mine if item.state in UNDER_WAY), None)
            if item is None:
                for number in [n for n, old in self._instances.items() if old in mine and old.state is State.FAILED]:
                    del self._instances[number]
                item = _Instance(bundle, State.ASPIRED, self._host.clock())
                item.examined = self._store.current(name) == version
                self._instances[next(self._numbers)] = item
                self._enter(item, State.ASPIRED)
            item.waiters.append(done)
            if expected and name not in self.view.slots:
                loading = UnavailableError(f"{name} {version} is loading", reason="LOADING", retryable=True)
                self._absent[name] = (bundle, loading)

        self._post(change)
        return done

    def _mark_dirty(self) -> None:
        self._dirty = True

    def _withdraw(self, name: str) -> None:
        self._aspired.pop(name, None)
        self._absent.pop(name, None)
        for number in [n for n, item in self._instances.items() if item.name == name and item.state is State.FAILED]:
            del self._instances[number]
        self._dirty = True

    def _put_to_sleep(self, bundle: Bundle) -> None:
        name = bundle.manifest.name
        asleep = UnavailableError(f"{name} is unloaded; it loads on demand", reason="UNLOADED", retryable=True)
        self._aspired.pop(name, None)
        self._absent[name] = (bundle, asleep)

    def _fail(self, item: _Instance, error: ExpertError) -> None:
        item.busy = item.ready = False
        if item.servable is not None:
            self._spawn(item.servable.close())
            item.servable = None
        serving = next(
            (other for other in self._instances.values() if other.name == item.name and other.state is State.SERVING),
            None,
        )
        if self._aspired.get(item.name) == item.version:
            if serving is not None:
                self._aspired[item.name] = serving.version
            else:
                del self._aspired[item.name]
        if serving is None:
            absence = (
                error
                if isinstance(error, UnavailableError)
                else UnavailableError(f"{item.name} cannot serve: {error}", reason="FAILED")
            )
            self._absent[item.name] = (item.bundle, absence)
            self._dirty = True
        if serving is None and isinstance(error, UnavailableError) and error.reason != "FAILED":
            # It has not failed: it waits for what it lacks, and is loaded anew when that has come.
            self._enter(item, State.ASPIRED, str(error))
            self._instances = {number: other for number, other in self._instances.items() if other is not item}
        else:
            self._enter(item, State.FAILED, str(error))
        for waiter in item.waiters:
            if not waiter.done():
                waiter.set_exception(error)
        item.waiters.clear()

    # --- Work, each in a task of its own -----------------------------------------------------------------------------

    async def _load(self, item: _Instance) -> None:
        kind = item.bundle.manifest.kind
        try:
            if kind not in self._loaders:
                known = ", ".join(sorted(self._loaders))
                raise BundleError(f"{item.name} {item.version}: kind {kind!r} is not served here; known: {known}")
            async with asyncio.timeout(self._limits.load_timeout_s):
                servable = await self._loaders[kind](item.bundle, self._host)
        except Exception as error:
            problem = _as_expert_error(item, "loading", error)
            self._post(lambda: self._fail(item, problem))
            return

        def loaded() -> None:
            item.servable = servable
            item.busy = False
            item.ready = item.examined
            item.state = State.WARMING

        self._post(loaded)

    async def _warm(self, item: _Instance) -> None:
        try:
            async with asyncio.timeout(self._limits.warm_timeout_s):
                await self._examine(item)
        except Exception as error:
            problem = _as_expert_error(item, "warming", error)
            self._post(lambda: self._fail(item, problem))
            return

        def examined() -> None:
            item.busy = False
            item.examined = item.ready = True

        self._post(examined)

    async def _examine(self, item: _Instance) -> None:
        """Every golden example must pass. Raises: BundleError naming the example and what differed."""
        servable = item.servable
        if servable is None:
            raise AssertionError("examined before it was loaded")
        examples = item.bundle.golden()
        queries = [golden.to_query(example) for example in examples]
        if servable.needs_vector and queries:
            vectors = await self._encode([query.subject for query in queries])
            queries = [replace(query, vector=vector) for query, vector in zip(queries, vectors, strict=True)]
        for number, (example, query) in enumerate(zip(examples, queries, strict=True), 1):
            outcome: Answer | Abstention | ExpertError
            try:
                outcome = await servable.answer(query, _discard)
            except ExpertError as error:
                outcome = error
            problem = golden.check(outcome, example.expect)
            if problem is not None:
                raise BundleError(
                    f"{item.name} {item.version}: golden.jsonl line {number} ({query.text[:60]!r}): {problem}"
                )

    async def _publish(self, served: Sequence[_Instance], leaving: Sequence[_Instance]) -> None:
        slots: dict[str, Slot] = {}
        for item in self._instances.values():
            if item.state is State.SERVING and item.slot is not None and item not in leaving:
                slots[item.name] = item.slot
        for item in served:
            slots[item.name] = Slot(item.bundle, self._usage_of(item.name), item.servable, None)
        for name, (bundle, absence) in self._absent.items():
            if name not in slots:
                slots[name] = Slot(bundle, self._usage_of(name), None, absence)
        try:
            # An expert that is merely absent keeps its sentences; one that failed must not attract requests.
            index = await self._reindex([slots[name].bundle for name in sorted(slots) if not _failed(slots[name])])
        except Exception as error:
            problems = [_as_expert_error(item, "indexing", error) for item in served]

            def failed() -> None:
                self._publishing = False
                for item in leaving:
                    item.busy = False
                if self.view.number == 0:
                    # Better a daemon that knows nobody, and can be asked why, than one that never comes up.
                    self.view = View(1, self.view.index, self.view.slots)
                for item, problem in zip(served, problems, strict=True):
                    self._fail(item, problem)

            self._post(failed)
            return

        def publish() -> None:
            self._publishing = False
            # DRAINING is reported before it is removed, SERVING after it is reachable.
            for item in leaving:
                item.busy = False
                self._enter(item, State.DRAINING)
            self.view = View(self.view.number + 1, index, MappingProxyType(slots))
            for item in served:
                item.slot = slots[item.name]
                item.ready = item.busy = False
                self._absent.pop(item.name, None)
                self._enter(item, State.SERVING)
                for waiter in item.waiters:
                    if not waiter.done():
                        waiter.set_result(None)
                item.waiters.clear()
            for item in leaving:
                self._watch_drain(item)

        self._post(publish)

    def _usage_of(self, name: str) -> Usage:
        return self._usage.setdefault(name, Usage())

    def _watch_drain(self, item: _Instance) -> None:
        """Has the writer look again when the last lease ends, and ends the wait at its bound."""
        if item.slot is None:
            raise AssertionError("drains without having served")
        slot = item.slot
        slot.idle = lambda: self._post(_nothing)

        def bound() -> None:
            if item.state is State.DRAINING and slot.leases:
                log.warning("%s %d: %d requests outlived the drain; closing", item.name, item.version, slot.leases)
                slot.leases = 0

        asyncio.get_running_loop().call_later(self._limits.drain_timeout_s, lambda: self._post(bound))

    async def _retire(self, number: int) -> None:
        item = self._instances[number]
        if item.slot is not None:
            item.slot.closed = True
        if item.servable is not None:
            with contextlib.suppress(Exception):
                await item.servable.close()

        def retired() -> None:
            item.servable = None
            self._enter(item, State.RETIRED)
            del self._instances[number]

        self._post(retired)


def _failed(slot: Slot) -> bool:
    return slot.absence is not None and slot.absence.reason == "FAILED"


def _as_expert_error(item: _Instance, step: str, error: Exception) -> ExpertError:
    if isinstance(error, ExpertError):
        return error
    # Only a rule that the bundle breaks is the bundle's fault, and sends it into quarantine. A full machine, a torn
    # disk or a mistake of ours is not: the version stays in the store, and the next start tries again.
    problem = f"{type(error).__name__}: {error}"
    if isinstance(error, TimeoutError):
        problem = "it took longer than the fleet's limit"
    else:
        log.error("%s %d: %s", item.name, item.version, step, exc_info=error)
    return UnavailableError(f"{item.name} {item.version}: {step} failed: {problem}", reason="FAILED")


async def _discard(_delta: str) -> None:
    pass


def _nothing() -> None:
    """Changes nothing; the writer looks again."""
