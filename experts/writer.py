"""The one task that writes the fleet's state, and the work that it has others do.

Orders and finished work arrive as messages in its queue, `plan` decides, and what takes time (loading, examining,
indexing) runs in tasks of its own whose results come back as messages. A view is replaced in one of two ways: a
publication fits the index anew and may change slots; an amendment changes the index alone, in milliseconds. One that
comes while an index is being fitted is made again on that index before it is published, so none is lost, and a fit
follows that knows it. Knows no orders' meaning beyond a step, no router (the index is opaque here) and no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from . import golden
from .bundle import Bundle
from .edits import Edits
from .errors import BundleError, ExpertError, FleetError, UnavailableError
from .plan import UNDER_WAY, Abandon, Action, Load, Publish, Retire, Snapshot, State, VersionSnapshot, Warm, plan
from .servable import Host, Loader, Servable
from .store import Store
from .values import Abstention, Answer, FloatArray
from .view import Index, Slot, Usage, View

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Sentences → float32 (n, 384), unit length.
Encode = Callable[[Sequence[str]], Awaitable[FloatArray]]


@dataclass(frozen=True, slots=True)
class Limits:
    """warm_timeout_s bounds loading and examining each; drain_timeout_s: after that a version closes regardless.

    refit_after_s: how long no amendment must come before the index is fitted anew; refit_at_latest_s: how long it waits
    at most while they keep coming.
    """

    load_timeout_s: float = 120.0
    warm_timeout_s: float = 60.0
    drain_timeout_s: float = 60.0
    keep_versions: int = 3
    refit_after_s: float = 1.0
    refit_at_latest_s: float = 10.0


@dataclass(frozen=True, slots=True)
class VersionStatus:
    expert: str
    version: int
    state: State
    reason: str
    changed: datetime


@dataclass(slots=True)
class Instance:
    """One loading of one version, written by the writer alone.

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


@dataclass(frozen=True, slots=True)
class Amendment(Generic[Index]):
    """A change of some of an expert's intents. change: from an index the one with it; called in a thread, and again on
    each index that was being fitted when it came: made twice, it is as if made once."""

    expert: str
    intents: frozenset[str]
    change: Callable[[Index], Index]


class Writer(Generic[Index]):
    """Holds the view and every instance. Others read; what changes anything is posted.

    As `Fleet`, which gives it all of its parts.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        edits: Edits | None,
        *,
        loaders: Mapping[str, Loader],
        workers: frozenset[str],
        encode: Encode,
        reindex: Callable[[Sequence[Bundle]], Awaitable[Index]],
        empty: Index,
        observe: Callable[[VersionStatus], None],
        limits: Limits,
    ) -> None:
        self.view: View[Index] = View(0, empty, MappingProxyType({}))
        self.instances: dict[int, Instance] = {}
        self._store = store
        self._host = host
        self._edits = edits
        self._loaders = loaders
        self._workers = workers
        self._encode = encode
        self._reindex = reindex
        self._observe = observe
        self._limits = limits
        self._numbers = itertools.count(1)
        self._aspired: dict[str, int] = {}
        self._absent: dict[str, tuple[Bundle, UnavailableError]] = {}
        self._usage: dict[str, Usage] = {}
        self._publishing = False
        self._dirty = False
        # Held from the present index to the one that replaces it: two changes at once would lose one of them.
        self._replacing = asyncio.Lock()
        # Came since the fit that is under way began.
        self._late: list[Amendment[Index]] = []
        self._refit: asyncio.TimerHandle | None = None
        self._refit_at_latest = 0.0
        self._round = asyncio.Event()
        self._inbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._write(), name="fleet")

    async def close(self) -> None:
        """Ends all work under way and closes every servable."""
        if self._refit is not None:
            self._refit.cancel()
        tasks = [*self._tasks, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        servables = [item.servable for item in self.instances.values() if item.servable is not None]
        await asyncio.gather(*(servable.close() for servable in servables), return_exceptions=True)

    # --- The queue ---------------------------------------------------------------------------------------------------

    def post(self, change: Callable[[], None]) -> None:
        """Has the writer make a change, and look what it makes possible."""
        self._inbox.put_nowait(change)

    def look(self) -> None:
        """Has the writer look what there is to do; something outside has changed."""
        self.post(lambda: None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that the writer brings about."""
        while not condition():
            await self._round.wait()

    def in_memory(self, name: str) -> bool:
        return any(item.name == name and item.servable is not None for item in self.instances.values())

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
                for number, item in self.instances.items()
            ),
            aspired=dict(self._aspired),
            publishing=self._publishing,
        )

    def _execute(self, action: Action) -> None:
        match action:
            case Publish(serve, withdraw):
                self._publishing = True
                self._dirty = False
                self._late.clear()
                self.spawn(self._publish([self.instances[n] for n in serve], [self.instances[n] for n in withdraw]))
            case Load(number):
                self._begin(number, State.LOADING, self._load)
            case Warm(number):
                self._begin(number, State.WARMING, self._warm)
            case Retire(number):
                self.instances[number].busy = True
                self.spawn(self._retire(number))
            case Abandon(number):
                item = self.instances[number]
                self._fail(item, FleetError(f"{item.name} {item.version}: superseded", reason="SUPERSEDED"))

    def _begin(self, number: int, state: State, work: Callable[[Instance], Coroutine[Any, Any, None]]) -> None:
        item = self.instances[number]
        item.busy = True
        self._enter(item, state)
        self.spawn(work(item))

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _enter(self, item: Instance, state: State, reason: str = "") -> None:
        item.state, item.reason, item.changed = state, reason, self._host.clock()
        log.info("%s %d: %s%s", item.name, item.version, state, f": {reason}" if reason else "")
        self._observe(item.status)

    # --- Orders, each a change that the writer makes -----------------------------------------------------------------

    def aspire(self, bundle: Bundle, *, expected: bool = False) -> asyncio.Future[None]:
        """Has this version serve; done when it does, or when it failed.

        expected: it is part of the set that the daemon starts with, and has its place in the view at once.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever gave the order may have gone; an error that nobody awaits is in the log already.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())

        def change() -> None:
            name, version = bundle.manifest.name, bundle.manifest.version
            self._aspired[name] = version
            mine = [item for item in self.instances.values() if (item.name, item.version) == (name, version)]
            if any(item.state is State.SERVING and not item.busy for item in mine):
                done.set_result(None)
                return
            item = next((item for item in mine if item.state in UNDER_WAY), None)
            if item is None:
                for number in [n for n, old in self.instances.items() if old in mine and old.state is State.FAILED]:
                    del self.instances[number]
                item = Instance(bundle, State.ASPIRED, self._host.clock())
                item.examined = self._store.current(name) == version
                self.instances[next(self._numbers)] = item
                self._enter(item, State.ASPIRED)
            item.waiters.append(done)
            if expected and name not in self.view.slots:
                loading = UnavailableError(f"{name} {version} is loading", reason="LOADING", retryable=True)
                self._absent[name] = (bundle, loading)

        self.post(change)
        return done

    def publish(self) -> None:
        """Has the index fitted anew, and a view published, even if no version changes."""

        def change() -> None:
            self._dirty = True

        self.post(change)

    def withdraw(self, name: str) -> None:
        """Has the expert leave the view; its version retires when its leases have ended."""

        def change() -> None:
            self._aspired.pop(name, None)
            self._absent.pop(name, None)
            for number in [n for n, item in self.instances.items() if item.name == name and item.state is State.FAILED]:
                del self.instances[number]
            self._dirty = True

        self.post(change)

    def put_to_sleep(self, bundle: Bundle) -> None:
        """Has the expert free its memory, and keep its place in the view."""

        def change() -> None:
            name = bundle.manifest.name
            asleep = UnavailableError(f"{name} is unloaded; it loads on demand", reason="UNLOADED", retryable=True)
            self._aspired.pop(name, None)
            self._absent[name] = (bundle, asleep)

        self.post(change)

    async def amend(self, amendment: Amendment[Index]) -> int:
        """Changes the view's index and nothing else; returns the number of the first view that shows it.

        An expert that failed has no intents in the index: there is nothing to change until it serves.
        """
        # Once begun it is made, whole, even if the caller goes.
        return await asyncio.shield(self.spawn(self._amend(amendment)))

    async def _amend(self, amendment: Amendment[Index]) -> int:
        async with self._replacing:
            slot = self.view.slots.get(amendment.expert)
            if slot is None or _failed(slot):
                return self.view.number
            index = await asyncio.to_thread(amendment.change, self.view.index)

            def change() -> None:
                changed = frozenset((amendment.expert, intent) for intent in amendment.intents)
                slot.intents = self._intents(slot.bundle)
                self.view = replace(
                    self.view, number=self.view.number + 1, index=index, amended=self.view.amended | changed
                )
                if self._publishing:
                    self._late.append(amendment)
                self._refit_soon()

            await self._made(change)
            return self.view.number

    async def _made(self, change: Callable[[], None]) -> None:
        """Returns when the writer has made the change."""
        done = asyncio.Event()

        def change_and_tell() -> None:
            change()
            done.set()

        self.post(change_and_tell)
        await done.wait()

    def _refit_soon(self) -> None:
        """One fit for all amendments that come close after each other."""
        now = asyncio.get_running_loop().time()
        if self._refit is None:
            self._refit_at_latest = now + self._limits.refit_at_latest_s
        else:
            self._refit.cancel()

        def refit() -> None:
            self._refit = None
            if self.view.amended:  # else another publication was fitted with all of them meanwhile
                self.publish()

        when = min(now + self._limits.refit_after_s, self._refit_at_latest)
        self._refit = asyncio.get_running_loop().call_at(when, refit)

    def _intents(self, bundle: Bundle) -> tuple[str, ...]:
        """The names of the bundle's intents, as edited."""
        # Asked while the bundle lies where it does: one that failed is moved into quarantine.
        with contextlib.suppress(OSError):
            found = bundle.intents() if self._edits is None else self._edits.apply(bundle)
            return tuple(intent.name for intent in found)
        return ()

    def _fail(self, item: Instance, error: ExpertError) -> None:
        item.busy = item.ready = False
        if item.servable is not None:
            self.spawn(item.servable.close())
            item.servable = None
        # The newest that serves, or will as soon as the publication under way is out.
        staying = [
            other
            for other in self.instances.values()
            if other.name == item.name and (other.state is State.SERVING or (other.ready and other.busy))
        ]
        serving = staying[-1] if staying else None
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
            self.instances = {number: other for number, other in self.instances.items() if other is not item}
        else:
            self._enter(item, State.FAILED, str(error))
        for waiter in item.waiters:
            if not waiter.done():
                waiter.set_exception(error)
        item.waiters.clear()

    # --- Work, each in a task of its own -----------------------------------------------------------------------------

    async def _load(self, item: Instance) -> None:
        kind = item.bundle.manifest.kind
        try:
            if kind not in self._loaders:
                known = ", ".join(sorted(self._loaders))
                raise BundleError(f"{item.name} {item.version}: kind {kind!r} is not served here; known: {known}")
            async with asyncio.timeout(self._limits.load_timeout_s):
                servable = await self._loaders[kind](item.bundle, self._host)
        except Exception as error:
            problem = _as_expert_error(item, "loading", error)
            self.post(lambda: self._fail(item, problem))
            return

        def loaded() -> None:
            item.servable = servable
            item.busy = False
            item.ready = item.examined
            item.state = State.WARMING

        self.post(loaded)

    async def _warm(self, item: Instance) -> None:
        try:
            async with asyncio.timeout(self._limits.warm_timeout_s):
                await self._examine(item)
        except Exception as error:
            problem = _as_expert_error(item, "warming", error)
            self.post(lambda: self._fail(item, problem))
            return

        def examined() -> None:
            item.busy = False
            item.examined = item.ready = True

        self.post(examined)

    async def _examine(self, item: Instance) -> None:
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

    async def _publish(self, served: Sequence[Instance], leaving: Sequence[Instance]) -> None:
        slots: dict[str, Slot] = {}
        for item in self.instances.values():
            if item.state is State.SERVING and item.slot is not None and item not in leaving:
                slots[item.name] = item.slot
        for item in served:
            slots[item.name] = self._slot(item.bundle, item.servable, None)
        for name, (bundle, absence) in self._absent.items():
            if name not in slots:
                slots[name] = self._slot(bundle, None, absence)
        amended: set[tuple[str, str]] = set()

        def failed(error: Exception) -> None:
            self._publishing = False
            if not served:
                log.error("the route index could not be fitted anew; the present one stays", exc_info=error)
            for item in leaving:
                item.busy = False
            if self.view.number == 0:
                # Better a daemon that knows nobody, and can be asked why, than one that never comes up.
                self.view = View(1, self.view.index, self.view.slots)
            for item in served:
                self._fail(item, _as_expert_error(item, "indexing", error))

        def publish() -> None:
            self._publishing = False
            # DRAINING is reported before it is removed, SERVING after it is reachable.
            for item in leaving:
                item.busy = False
                self._enter(item, State.DRAINING)
            self.view = View(self.view.number + 1, index, MappingProxyType(slots), frozenset(amended))
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

        async with contextlib.AsyncExitStack() as held:
            try:
                # An expert that is merely absent keeps its sentences; one that failed must not attract requests.
                index = await self._reindex([slots[name].bundle for name in sorted(slots) if not _failed(slots[name])])
                await held.enter_async_context(self._replacing)
                for late in self._late:
                    if late.expert in slots and not _failed(slots[late.expert]):
                        index = await asyncio.to_thread(late.change, index)
                        slots[late.expert].intents = self._intents(slots[late.expert].bundle)
                        amended |= {(late.expert, intent) for intent in late.intents}
            except Exception as error:
                problem = error
                self.post(lambda: failed(problem))
                return
            await self._made(publish)

    def _slot(self, bundle: Bundle, servable: Servable | None, absence: UnavailableError | None) -> Slot:
        usage = self._usage.setdefault(bundle.manifest.name, Usage())
        return Slot(bundle, self._intents(bundle), usage, servable, absence)

    def _watch_drain(self, item: Instance) -> None:
        """Has the writer look again when the last lease ends, and ends the wait at its bound."""
        if item.slot is None:
            raise AssertionError("drains without having served")
        slot = item.slot
        slot.idle = self.look

        def bound() -> None:
            if item.state is State.DRAINING and slot.leases:
                log.warning("%s %d: %d requests outlived the drain; closing", item.name, item.version, slot.leases)
                slot.leases = 0

        asyncio.get_running_loop().call_later(self._limits.drain_timeout_s, lambda: self.post(bound))

    async def _retire(self, number: int) -> None:
        item = self.instances[number]
        if item.slot is not None:
            item.slot.closed = True
        if item.servable is not None:
            with contextlib.suppress(Exception):
                await item.servable.close()

        def retired() -> None:
            item.servable = None
            self._enter(item, State.RETIRED)
            del self.instances[number]

        self.post(retired)


def _failed(slot: Slot) -> bool:
    return slot.absence is not None and slot.absence.reason == "FAILED"


def _as_expert_error(item: Instance, step: str, error: Exception) -> ExpertError:
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
