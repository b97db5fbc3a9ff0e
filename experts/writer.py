"""The one task that writes the fleet's state, and the work that it has others do.

Orders and finished work arrive as messages in its queue, `plan` decides, and what takes time (loading, examining,
indexing) runs in tasks of its own whose results come back as messages. A view is replaced in one assignment; where the
experts' intents stay as they are that is all that a publication takes. Knows no orders' meaning beyond a step, no
router (the index is opaque here) and no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from . import gate, golden
from .bundle import Bundle
from .edits import Edits
from .errors import BundleError, ExpertError, FleetError, UnavailableError
from .instance import Instance, Order, VersionStatus
from .plan import (
    ON_TRIAL,
    UNDER_WAY,
    Abandon,
    Action,
    Load,
    Publish,
    Retire,
    Snapshot,
    State,
    Try,
    VersionSnapshot,
    Warm,
    plan,
)
from .policy import Policies
from .residence import Residence
from .routes import Amendment, Change, Routes
from .servable import Encode, Host, Loader, Servable
from .store import Store
from .trial import Trial
from .trials import Trials
from .view import Index, Slot, Usage, View

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Below the state folder: one file per expert of examples from this machine that no version was made from.
HELD_OUT = "heldout"


@dataclass(frozen=True, slots=True)
class Limits:
    """warm_timeout_s bounds loading and examining each; drain_timeout_s: after that a version closes regardless.

    refit_after_s: how long no change of intents must come before the index is fitted anew; refit_at_latest_s: how long
    it waits at most while they keep coming. probation_requests, probation_s: a version that serves has its predecessor
    at hand until it has answered so many, or has served so long; 0 requests: there is no probation. budget_bytes: of
    all that is loaded; 0: as much as there is.
    """

    load_timeout_s: float = 120.0
    warm_timeout_s: float = 300.0
    drain_timeout_s: float = 60.0
    keep_versions: int = 3
    refit_after_s: float = 1.0
    refit_at_latest_s: float = 10.0
    probation_requests: int = 100
    probation_s: float = 60.0
    budget_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Parts(Generic[Index]):
    """What a writer works with; as `Fleet`, which says what they are."""

    store: Store
    host: Host
    edits: Edits | None
    policies: Policies
    loaders: Mapping[str, Loader]
    slow: Callable[[Bundle], bool]
    encode: Encode
    reindex: Callable[[Sequence[Bundle]], Awaitable[Index]]
    adapt: Callable[[str, Bundle | None], Awaitable[Change[Index]]]
    empty: Index
    observe: Callable[[VersionStatus], None]
    undone: Callable[[Bundle, Bundle, str], None]
    limits: Limits


class Writer(Generic[Index]):
    """Holds the view and every instance. Others read; what changes anything is posted."""

    def __init__(self, parts: Parts[Index]) -> None:
        self.view: View[Index] = View(0, parts.empty, MappingProxyType({}))
        self.instances: dict[int, Instance] = {}
        self._parts = parts
        self._limits = parts.limits
        self._routes: Routes[Index] = Routes(
            self,
            reindex=parts.reindex,
            adapt=parts.adapt,
            refit_after_s=parts.limits.refit_after_s,
            refit_at_latest_s=parts.limits.refit_at_latest_s,
        )
        self._trials = Trials(
            self.post,
            self.spawn,
            conclude=self._concluded,
            requests=parts.limits.probation_requests,
            probation_s=parts.limits.probation_s,
        )
        self.residence = Residence(
            lambda: list(self.instances.values()),
            parts.policies,
            parts.limits.budget_bytes,
            unload=self.unload,
            let_go=self._let_go,
        )
        self._numbers = itertools.count(1)
        self._aspired: dict[str, int] = {}
        self._absent: dict[str, tuple[Bundle, UnavailableError]] = {}
        self._usage: dict[str, Usage] = {}
        self._publishing = False
        self._dirty = False
        self._examining = asyncio.Lock()
        self._round = asyncio.Event()
        self._inbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        # Those of them that load and examine.
        self._work: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._write(), name="fleet")

    async def stop(self) -> None:
        """Nothing is loaded or examined any more."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def close(self) -> None:
        """Ends all work under way and closes every servable."""
        self._routes.close()
        tasks = [*self._tasks, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for item in self.instances.values():
            item.refused(UnavailableError(f"{item.name} {item.version}: the fleet is closed", reason="CLOSED"))
        servables = [item.servable for item in self.instances.values() if item.servable is not None]
        await asyncio.gather(*(servable.close() for servable in servables), return_exceptions=True)

    # --- The queue ---------------------------------------------------------------------------------------------------

    def post(self, change: Callable[[], None]) -> None:
        """Has the writer make a change, and look what it makes possible."""
        self._inbox.put_nowait(change)

    def look(self) -> None:
        """Has the writer look what there is to do; something outside has changed."""
        self.post(lambda: None)

    async def made(self, change: Callable[[], None]) -> None:
        """Returns when the writer has made the change. Raises: what it raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def change_and_tell() -> None:
            try:
                change()
            except Exception as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(None)

        self.post(change_and_tell)
        await done

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that the writer brings about."""
        while not condition():
            await self._round.wait()

    def in_memory(self, name: str) -> bool:
        return any(item.name == name and item.servable is not None for item in self.instances.values())

    def judge(self, slot: Slot) -> None:
        """A version on trial has answered."""
        self._trials.judge(slot)

    async def _write(self) -> None:
        while True:
            self._change(await self._inbox.get())
            while not self._inbox.empty():
                self._change(self._inbox.get_nowait())
            for action in plan(self._snapshot()):
                self._change(partial(self._execute, action))
            if self._dirty and not self._publishing:
                self._change(partial(self._execute, Publish(frozenset(), frozenset())))
            self._round.set()
            self._round = asyncio.Event()

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except Exception:
            # One expert's bad end must not be the end of all changes.
            log.exception("a change of the fleet failed in a way that it must not")

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
                    slow=item.slow,
                    stage=item.stages[0] if item.stages else None,
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
                self._publish([self.instances[n] for n in serve], [self.instances[n] for n in withdraw])
            case Load(number):
                self._begin(number, State.LOADING, self._load)
            case Warm(number):
                self._begin(number, State.WARMING, self._warm)
            case Try(number, stage):
                self._try(self.instances[number], stage)
            case Retire(number):
                self.instances[number].busy = True
                self.spawn(self._retire(number))
            case Abandon(number):
                item = self.instances[number]
                why = item.leaving or "superseded"
                self._fail(item, FleetError(f"{item.name} {item.version}: {why}", reason="SUPERSEDED"))

    def _begin(self, number: int, state: State, work: Callable[[Instance], Coroutine[Any, Any, None]]) -> None:
        item = self.instances[number]
        item.busy = True
        self._enter(item, state)
        self._work.add(task := self.spawn(work(item)))
        task.add_done_callback(self._work.discard)

    def spawn(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _enter(self, item: Instance, state: State, reason: str = "") -> None:
        item.state, item.reason, item.changed = state, reason, self._parts.host.clock()
        log.info("%s %d: %s%s", item.name, item.version, state, f": {reason}" if reason else "")
        self._parts.observe(item.status)

    # --- Orders, each a change that the writer makes -----------------------------------------------------------------

    def aspire(self, bundle: Bundle, *, expected: bool = False, accept: bool = False) -> Order:
        """Has this version serve.

        expected: it is part of the set that the daemon starts with, and has its place in the view at once. accept: if
        it is on trial, that is over.
        """
        order = Order()

        def change() -> None:
            name, version = bundle.manifest.name, bundle.manifest.version
            self._aspired[name] = version
            mine = [item for item in self.instances.values() if (item.name, item.version) == (name, version)]
            serves = next((item for item in mine if item.state is State.SERVING and not item.busy), None)
            if serves is not None:
                serves.leaving = ""
                order.reached(State.SERVING)
                return
            item = next((item for item in mine if item.state in UNDER_WAY), None)
            if item is None:
                for number in [n for n, old in self.instances.items() if old in mine and old.state is State.FAILED]:
                    del self.instances[number]
                serving = self._serving(name)
                if serving is not None and serving.held in mine:
                    serving.leaving = f"rolled back to {version}"
                    item = self._take_back(serving)
                else:
                    item = Instance(bundle, State.ASPIRED, self._parts.host.clock(), self._parts.slow(bundle))
                    store = self._parts.store
                    item.proven = item.examined = version in (store.current(name), store.previous(name))
                    item.stages = () if item.proven else self._stages(name)
                    self.instances[next(self._numbers)] = item
                    self._enter(item, State.ASPIRED)
            elif item.state in ON_TRIAL and accept:
                self._accept(item)
            elif item.state in ON_TRIAL:
                order.reached(item.state)
            item.orders.append(order)
            if expected and name not in self.view.slots:
                loading = UnavailableError(f"{name} {version} is loading", reason="LOADING", retryable=True)
                self._absent[name] = (bundle, loading)

        self.post(change)
        return order

    def publish(self) -> None:
        """Has a view published, even if no version changes."""

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

    async def unload(self, names: Sequence[str], why: str) -> None:
        """Has experts free their memory and keep their place in the view: the next request for one loads it again.
        Returns when they have, or were wanted again meanwhile."""
        leaving: list[Instance] = []

        def change() -> None:
            because = f" ({why})" if why else ""
            for name in names:
                serving = self._serving(name)
                if serving is None or self.under_way(name):
                    continue
                asleep = UnavailableError(
                    f"{name} is unloaded{because}; it loads on demand", reason="UNLOADED", retryable=True
                )
                serving.leaving = why
                self._aspired.pop(name, None)
                self._absent[name] = (serving.bundle, asleep)
                leaving.append(serving)

        await self.made(change)
        await self.until(lambda: all(item.servable is None or item.name in self._aspired for item in leaving))

    def give_up(self, name: str, why: str) -> None:
        """Ends the trial of the expert's candidate; the version that serves goes on."""

        def change() -> None:
            serving = self._serving(name)
            if serving is not None:
                for item in self.instances.values():
                    if item.name == name and item.state in UNDER_WAY:
                        item.leaving = why
                self._aspired[name] = serving.version

        self.post(change)

    async def amend(self, amendment: Amendment[Index]) -> int:
        """Changes the view's index and nothing else; returns the number of the first view that shows it.

        An expert that failed has no intents in the index: there is nothing to change until it serves.
        """
        # Once begun it is made, whole, even if the caller goes.
        return await asyncio.shield(self.spawn(self._amend(amendment)))

    async def _amend(self, amendment: Amendment[Index]) -> int:
        async with self._routes.replacing:
            slot = self.view.slots.get(amendment.expert)
            if slot is None or slot.failed:
                return self.view.number
            index = await self._routes.amend(amendment)

            def change() -> None:
                slot.intents = self._intents(slot.bundle)
                self.view = replace(
                    self.view, number=self.view.number + 1, index=index, amended=self.view.amended | amendment.names
                )
                self._routes.refit_soon()

            await self.made(change)
            return self.view.number

    def _intents(self, bundle: Bundle) -> tuple[str, ...]:
        """The names of the bundle's intents, as edited."""
        # Asked while the bundle lies where it does: one that failed is moved into quarantine.
        with contextlib.suppress(OSError):
            found = bundle.intents() if self._parts.edits is None else self._parts.edits.apply(bundle)
            return tuple(intent.name for intent in found)
        return ()

    def _serving(self, name: str) -> Instance | None:
        return next(
            (item for item in self.instances.values() if item.name == name and item.state is State.SERVING), None
        )

    def under_way(self, name: str) -> bool:
        """Whether a new version of it is being loaded, examined or tried."""
        return any(item.name == name and item.state in UNDER_WAY for item in self.instances.values())

    def _fail(self, item: Instance, error: ExpertError) -> None:
        item.busy = item.ready = False
        self._trials.end(item, self._serving(item.name))
        if item.servable is not None:
            self.spawn(self._close(item.slot, item.servable))
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
            # Of those that failed the last one is kept to be asked about; the others are in quarantine, or forgotten.
            self.instances = {
                number: other
                for number, other in self.instances.items()
                if other is item or other.name != item.name or other.state is not State.FAILED
            }
            self._enter(item, State.FAILED, str(error))
        item.refused(error)

    async def _close(self, slot: Slot | None, servable: Servable) -> None:
        """Lets go of it when the last that it answers is done, at most after the drain's bound."""
        if slot is not None:
            slot.closed = True
            slot.idle = self.look
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.drain_timeout_s):
                    await self.until(lambda: slot.leases == 0)
        with contextlib.suppress(Exception):
            await servable.close()

    # --- Trials ------------------------------------------------------------------------------------------------------

    def _stages(self, name: str) -> tuple[State, ...]:
        policy = self._parts.policies.of(name)
        shadow = (State.SHADOW,) if policy.shadow_requests else ()
        return (*shadow, State.CANARY) if policy.canary_requests else shadow

    def _try(self, item: Instance, stage: State) -> None:
        serving = self._serving(item.name)
        if serving is None or serving.slot is None:
            raise AssertionError("a trial needs a version that serves")
        item.slot = item.slot or self._slot(item.bundle, item.servable, None)
        item.ready, item.stages = False, item.stages[1:]
        self._trials.begin(item, serving, stage, self._parts.policies.of(item.name))
        self._enter(item, stage)
        item.reached()

    def _accept(self, item: Instance) -> None:
        """Whatever its trial has to say: it is to serve."""
        self._trials.end(item, self._serving(item.name))
        item.stages, item.ready = (), True

    def _concluded(self, item: Instance, trial: Trial, problem: str | None) -> None:
        """A trial has come to its end; None: it went well."""
        if item.slot is None or item.slot.trial is not trial:
            return
        if trial.stage is State.SERVING:
            # One that is being replaced already leaves as it is.
            if problem is not None and item.held is not None and not item.busy:
                self._undo(item, problem)
            else:
                if problem is not None:
                    log.warning("%s %d: %s; no version to go back to is at hand", item.name, item.version, problem)
                self._release(item)
            return
        if problem is not None:
            error = BundleError(f"{item.name} {item.version}: undone on trial ({trial.stage.lower()}): {problem}")
            self._fail(item, error)
            return
        self._trials.end(item, self._serving(item.name))
        item.ready = True

    def _undo(self, item: Instance, problem: str) -> None:
        """The predecessor serves again, as it lies in memory."""
        item.leaving = f"undone: {problem}"
        for other in self.instances.values():
            if other.name == item.name and other.state in UNDER_WAY:
                other.leaving = f"{item.version} was undone meanwhile; promote or install this one again"
        back = self._take_back(item)
        self._aspired[item.name] = back.version
        log.warning("%s %d is undone: %s; %d serves again", item.name, item.version, problem, back.version)
        self._parts.undone(item.bundle, back.bundle, problem)

    def _take_back(self, item: Instance) -> Instance:
        """The predecessor of a version on probation as a new instance that is ready to serve."""
        held = item.held
        if held is None or held.servable is None:
            raise AssertionError("nothing is held")
        back = Instance(held.bundle, State.WARMING, self._parts.host.clock(), held.slow)
        back.proven = back.examined = back.ready = True
        back.servable, held.servable = held.servable, None
        self.instances[next(self._numbers)] = back
        self._release(item)
        return back

    async def _let_go(self) -> None:
        """Predecessors that are merely at hand leave memory."""

        def change() -> None:
            for item in list(self.instances.values()):
                if item.held is not None:
                    self._release(item)

        await self.made(change)
        await self.until(lambda: not any(item.idles for item in self.instances.values()))

    def _release(self, item: Instance) -> None:
        """Ends the probation: the predecessor may go."""
        if item.slot is not None:
            item.slot.trial = item.slot.fallback = None
        if item.held is not None and item.held.slot is not None:
            item.held.slot.release()
            self._bound_drain(item.held)
            item.held = None

    # --- Work, each in a task of its own -----------------------------------------------------------------------------

    async def _load(self, item: Instance) -> None:
        kind = item.bundle.manifest.kind
        try:
            if kind not in self._parts.loaders:
                known = ", ".join(sorted(self._parts.loaders))
                raise BundleError(f"{item.name} {item.version}: kind {kind!r} is not served here; known: {known}")
            await self.residence.make_room(item)
            async with asyncio.timeout(self._limits.load_timeout_s):
                servable = await self._parts.loaders[kind](item.bundle, self._parts.host)
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
                await self._routes.prepare(item.bundle)
        except Exception as error:
            problem = _as_expert_error(item, "warming", error)
            self.post(lambda: self._fail(item, problem))
            return

        def examined() -> None:
            item.busy = False
            item.examined = item.ready = True

        self.post(examined)

    async def _examine(self, item: Instance) -> None:
        """Raises: BundleError naming the rule that it broke and what was measured."""
        if item.servable is None:
            raise AssertionError("examined before it was loaded")
        serving = self._serving(item.name)
        async with contextlib.AsyncExitStack() as held:
            if not item.servable.worker_pid():
                # Two at once in this process would each be measured with the other.
                await held.enter_async_context(self._examining)
            if serving is not None and serving.slot is not None:
                serving.slot.hold()
                held.callback(serving.slot.release)
            report = await gate.examine(
                item.servable,
                item.bundle,
                baseline=None if serving is None else serving.servable,
                held_out=await asyncio.to_thread(golden.read, self._parts.host.state / HELD_OUT / f"{item.name}.jsonl"),
                encode=self._parts.encode,
                margin=self._parts.policies.of(item.name).margin,
                polite=self.view.number > 0,
            )
        item.examination = str(report)
        self.residence.weigh(item, report.resident_bytes)

    # --- Publication -------------------------------------------------------------------------------------------------

    def _publish(self, served: Sequence[Instance], leaving: Sequence[Instance]) -> None:
        self._dirty = False
        slots = self._slots(served, leaving)
        if self.view.number and self._routes.follow(slots) and not self._routes.replacing.locked():
            self._show(replace(self.view, number=self.view.number + 1, slots=slots), served, leaving)
            return
        self._publishing = True
        for item in (*served, *leaving):
            item.busy = True
        self.spawn(self._publish_rerouted(slots, served, leaving))

    def _slots(self, served: Sequence[Instance], leaving: Sequence[Instance]) -> Mapping[str, Slot]:
        slots: dict[str, Slot] = {}
        for item in self.instances.values():
            if item.state is State.SERVING and item.slot is not None and item not in leaving:
                slots[item.name] = item.slot
        for item in served:
            slots[item.name] = item.slot or self._slot(item.bundle, item.servable, None)
        for name, (bundle, absence) in self._absent.items():
            if name not in slots:
                slots[name] = self._slot(bundle, None, absence)
        return MappingProxyType(slots)

    async def _publish_rerouted(
        self, slots: Mapping[str, Slot], served: Sequence[Instance], leaving: Sequence[Instance]
    ) -> None:
        """With an index that follows the slots."""

        def failed(error: Exception) -> None:
            self._publishing = False
            if not served:
                log.error("the route index could not follow the experts; the present one stays", exc_info=error)
            for item in leaving:
                item.busy = False
            if self.view.number == 0:
                # Better a daemon that knows nobody, and can be asked why, than one that never comes up.
                self.view = View(1, self.view.index, self.view.slots)
            for item in served:
                self._fail(item, _as_expert_error(item, "indexing", error))

        try:
            async with self._routes.replacing:
                index, routed, amended = await self._routes.following(slots)

                def publish() -> None:
                    self._publishing = False
                    for slot in slots.values():
                        slot.intents = self._intents(slot.bundle)
                    self._show(View(self.view.number + 1, index, slots, routed, amended), served, leaving)
                    if amended:
                        self._routes.refit_soon()

                await self.made(publish)
        except Exception as error:
            problem = error
            self.post(lambda: failed(problem))

    def _show(self, view: View[Index], served: Sequence[Instance], leaving: Sequence[Instance]) -> None:
        # DRAINING is reported before it is removed, SERVING after it is reachable.
        for item in leaving:
            item.busy = False
            self._enter(item, State.DRAINING, item.leaving)
        self.view = view
        for item in served:
            item.slot = view.slots[item.name]
            item.ready = item.busy = False
            self._absent.pop(item.name, None)
            self._enter(item, State.SERVING)
            item.reached()
        for item in leaving:
            self._release(item)
            successor = next((other for other in served if other.name == item.name), None)
            if successor is not None and not successor.proven and self._trials.on_probation(successor, item):
                successor.held = item
            else:
                self._bound_drain(item)
            if item.slot is not None:
                item.slot.idle = self.look
                item.slot.challenger = None
        # What leaves may have nobody to wait for.
        self.look()

    def _slot(self, bundle: Bundle, servable: Servable | None, absence: UnavailableError | None) -> Slot:
        usage = self._usage.setdefault(bundle.manifest.name, Usage())
        return Slot(bundle, self._intents(bundle), usage, servable, absence)

    def _bound_drain(self, item: Instance) -> None:
        """Ends the wait for the last lease at its bound."""
        slot = item.slot
        if slot is None:
            raise AssertionError("drains without having served")

        def bound() -> None:
            if item.state is State.DRAINING and slot.leases:
                log.warning("%s %d: %d requests outlived the drain; closing", item.name, item.version, slot.leases)
                slot.leases = 0

        # Held by the instance, which goes first as a rule: a timer that outlived it would keep it in memory.
        loop = asyncio.get_running_loop()
        item.drain_ends = loop.call_later(self._limits.drain_timeout_s, lambda: self.post(bound))

    async def _retire(self, number: int) -> None:
        item = self.instances[number]
        if item.slot is not None:
            item.slot.closed = True
        if item.servable is not None:
            self.residence.weigh(item, item.resident_bytes)
            with contextlib.suppress(Exception):
                await item.servable.close()

        def retired() -> None:
            item.servable = None
            if item.drain_ends is not None:
                item.drain_ends.cancel()
            del self.instances[number]
            if not any((other.name, other.version) == (item.name, item.version) for other in self.instances.values()):
                # Else it serves again, as another instance, and that has been told.
                self._enter(item, State.RETIRED, item.leaving)

        self.post(retired)


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
