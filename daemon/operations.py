"""The service that operators call: what runs, and how to change it. Decodes; fleet, store and models do the rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc

from expertd.experts.edits import Origin
from expertd.experts.errors import FleetError
from expertd.experts.fleet import ExpertStatus, Fleet, VersionStatus
from expertd.experts.models import Models
from expertd.experts.plan import ON_TRIAL, State
from expertd.experts.policy import Policy
from expertd.experts.store import Store
from expertd.router.index import RouteIndex
from expertd.v1 import fleet_pb2 as pb
from expertd.v1 import fleet_pb2_grpc

from . import fleet_wire, wire
from .events import Broker, Event, ExpertChangedEvent, SlowSubscriberError, Subscription
from .intents import Intents
from .model_operations import ModelOperations
from .shipped import Shipped
from .titan import Titan
from .traces import Traces

Context = grpc.aio.ServicerContext[Any, Any]

# How often a trial's counts are told to who watches.
TRIAL_LOOK_S = 0.5

_ORIGINS: dict[Origin, pb.Intent.Origin] = {origin: getattr(pb.Intent, f"ORIGIN_{origin.name}") for origin in Origin}
_AVAILABILITIES: dict[str, pb.Availability] = {
    "NO_MODEL": pb.AVAILABILITY_DOWNLOADABLE,
    "DOWNLOADING": pb.AVAILABILITY_DOWNLOADING,
}


class FleetService(fleet_pb2_grpc.FleetServicer):
    """check: what `GetStatus` reports."""

    def __init__(
        self,
        *,
        fleet: Fleet[RouteIndex],
        store: Store,
        shipped: Shipped,
        models: Models,
        titan: Titan,
        traces: Traces,
        events: Broker,
        intents: Intents,
        check: Callable[[], Awaitable[pb.GetStatusResponse]],
    ) -> None:
        self._fleet = fleet
        self._store = store
        self._shipped = shipped
        self._models = ModelOperations(fleet, models, titan)
        self._traces = traces
        self._events = events
        self._intents = intents
        self._check = check

    # --- See ---------------------------------------------------------------------------------------------------------

    async def ListExperts(self, request: pb.ListExpertsRequest, context: Context) -> pb.ListExpertsResponse:
        return pb.ListExpertsResponse(
            experts=await self._experts(sorted(self._fleet.view.slots)), memory=fleet_wire.memory(self._fleet.memory())
        )

    async def GetExpert(self, request: pb.GetExpertRequest, context: Context) -> pb.GetExpertResponse:
        slot = self._fleet.slot(request.name)
        card = ""
        with contextlib.suppress(OSError):
            card = await asyncio.to_thread(slot.bundle.card)
        return pb.GetExpertResponse(expert=await self._expert(request.name), card=card)

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        trials: dict[str, list[pb.Trial]] = {}
        async with self._events.subscribe() as changes:
            for expert in await self._experts(sorted(self._fleet.view.slots)):
                trials[expert.name] = fleet_wire.trials(expert)
                yield pb.WatchResponse(expert=expert)
            async for event in _with_pauses(changes, lambda: TRIAL_LOOK_S if any(trials.values()) else None):
                if event is None:
                    # Nothing has changed its state: a trial counts on.
                    for name in [name for name, known in trials.items() if known]:
                        change = await self._change(name)
                        if fleet_wire.trials(change.expert) != trials[name]:
                            trials[name] = fleet_wire.trials(change.expert)
                            yield change
                elif isinstance(event, ExpertChangedEvent):
                    change = await self._change(event.expert)
                    trials[event.expert] = fleet_wire.trials(change.expert)
                    yield change

    async def _change(self, name: str) -> pb.WatchResponse:
        with contextlib.suppress(FleetError):
            return pb.WatchResponse(expert=await self._expert(name))
        return pb.WatchResponse(expert=pb.Expert(name=name), removed=True)

    # --- Change ------------------------------------------------------------------------------------------------------

    async def Install(
        self, request_iterator: AsyncIterator[pb.InstallRequest], context: Context
    ) -> AsyncIterator[pb.InstallResponse]:
        yield pb.InstallResponse(message="receiving")
        with self._store.receive() as upload:
            async for request in request_iterator:
                if request.WhichOneof("part") == "file":
                    await asyncio.to_thread(upload.begin, request.file.path, request.file.size_bytes)
                else:
                    await asyncio.to_thread(upload.write, request.data)
            yield pb.InstallResponse(message="verifying")
            bundle = await asyncio.to_thread(upload.finish)
        name, version = bundle.manifest.name, bundle.manifest.version
        before = self._known(name, version)
        already = None if before is None else before.state
        told = None
        if already not in ON_TRIAL:
            async with self._events.subscribe() as changes:
                install = asyncio.create_task(self._fleet.install(bundle))
                # The order stands, even if the caller goes: half an installation is none.
                install.add_done_callback(lambda task: task.cancelled() or task.exception())
                async with contextlib.aclosing(_states(changes, install, name, version)) as states:
                    async for told, reason in states:
                        yield self._step(name, version, told, reason)
                        if told in ON_TRIAL:
                            break
                if told not in ON_TRIAL:
                    await asyncio.shield(install)
            await asyncio.to_thread(self._shipped.restore, name)
        now = self._known(name, version)
        # Where nothing had to be done, and where the end of it was not heard of.
        if now is not None and told not in ON_TRIAL and now.state is not told:
            serves = "serves already" if already is now.state is State.SERVING else ""
            yield self._step(name, version, now.state, now.reason or serves)

    def _step(self, name: str, version: int, state: State, reason: str) -> pb.InstallResponse:
        if state in ON_TRIAL:
            reason = "; ".join(part for part in (reason, self._prospect(name, version, state)) if part)
        return pb.InstallResponse(expert=name, version=version, state=fleet_wire.STATES[state], message=reason)

    def _prospect(self, name: str, version: int, state: State) -> str:
        """What a version on trial has before it, and how to end that."""
        policy = self._fleet.status(name).policy
        canary = (
            f"{100 * policy.canary_share:.3g} % of sessions until it has answered {policy.canary_requests} requests"
        )
        if state is State.SHADOW:
            stages = f"{policy.shadow_requests} of its answers are compared with those of the version that serves"
            stages += f", then it answers {canary}" if policy.canary_requests else ""
        else:
            stages = f"it answers {canary}"
        return (
            f"{stages}; `expertctl watch {name}` follows, `expertctl promote {name} {version}` accepts it now, "
            f"`expertctl rollback {name}` gives it up"
        )

    async def Promote(self, request: pb.PromoteRequest, context: Context) -> pb.PromoteResponse:
        await asyncio.shield(self._fleet.promote(request.name, request.version))
        return pb.PromoteResponse(expert=await self._expert(request.name))

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.RollbackResponse:
        await asyncio.shield(self._fleet.rollback(request.name))
        return pb.RollbackResponse(expert=await self._expert(request.name))

    async def Pin(self, request: pb.PinRequest, context: Context) -> pb.PinResponse:
        await asyncio.shield(self._fleet.pin(request.name, request.pinned))
        return pb.PinResponse(expert=await self._expert(request.name))

    async def SetPolicy(self, request: pb.SetPolicyRequest, context: Context) -> pb.SetPolicyResponse:
        policy = fleet_wire.policy_from_proto(request.policy) if request.HasField("policy") else Policy()
        await asyncio.shield(self._fleet.set_policy(request.name, policy))
        return pb.SetPolicyResponse(expert=await self._expert(request.name))

    async def Unload(self, request: pb.UnloadRequest, context: Context) -> pb.UnloadResponse:
        await asyncio.shield(self._fleet.unload(request.name))
        return pb.UnloadResponse(expert=await self._expert(request.name))

    async def Remove(self, request: pb.RemoveRequest, context: Context) -> pb.RemoveResponse:
        await asyncio.shield(self._fleet.remove(request.name))
        await asyncio.to_thread(self._shipped.remove, request.name)
        return pb.RemoveResponse()

    # --- What is told of an expert -----------------------------------------------------------------------------------

    async def _expert(self, name: str) -> pb.Expert:
        """Raises: FleetError UNKNOWN_EXPERT."""
        self._fleet.slot(name)
        sizes = await asyncio.to_thread(self._sizes, [name])
        return self._told(name, sizes[name])

    async def _experts(self, names: list[str]) -> list[pb.Expert]:
        sizes = await asyncio.to_thread(self._sizes, names)
        # Some may have been removed meanwhile.
        return [self._told(name, sizes[name]) for name in names if name in self._fleet.view.slots]

    def _sizes(self, names: Iterable[str]) -> dict[str, dict[int, int]]:
        """Name → version → bytes on disk."""
        return {
            name: {version: self._store.disk_bytes(name, version) for version in self._store.versions(name)}
            for name in names
        }

    def _told(self, name: str, sizes: dict[int, int]) -> pb.Expert:
        status = self._fleet.status(name)
        return fleet_wire.expert(status, self._availability(status), self._fleet.slot(name).intents, sizes)

    def _availability(self, status: ExpertStatus) -> pb.Availability:
        if status.absence is None:
            return pb.AVAILABILITY_READY
        model = status.bundle.manifest.model
        if model is not None and self._models.is_pulling(model.name):
            return pb.AVAILABILITY_DOWNLOADING
        return _AVAILABILITIES.get(status.absence.reason, pb.AVAILABILITY_UNAVAILABLE)

    def _known(self, name: str, version: int) -> VersionStatus | None:
        """None: the fleet does not know of it."""
        with contextlib.suppress(FleetError):
            return next((each for each in self._fleet.status(name).versions if each.version == version), None)
        return None

    # --- Intents -----------------------------------------------------------------------------------------------------

    async def ListIntents(self, request: pb.ListIntentsRequest, context: Context) -> pb.ListIntentsResponse:
        return pb.ListIntentsResponse(
            intents=[
                pb.Intent(
                    name=found.name, sentences=len(found.sentences), origin=_ORIGINS[found.origin], refined=refined
                )
                for found, refined in self._intents.list(request.expert)
            ]
        )

    async def PutIntent(self, request: pb.PutIntentRequest, context: Context) -> pb.PutIntentResponse:
        shown = await asyncio.shield(
            self._intents.put(request.expert, request.intent, tuple(request.sentences), append=request.append)
        )
        return pb.PutIntentResponse(
            view=shown.view, encoding=wire.duration(shown.encoding_s), update=wire.duration(shown.update_s)
        )

    async def RemoveIntent(self, request: pb.RemoveIntentRequest, context: Context) -> pb.RemoveIntentResponse:
        shown = await asyncio.shield(self._intents.remove(request.expert, request.intent))
        return pb.RemoveIntentResponse(view=shown.view)

    async def ResetIntents(self, request: pb.ResetIntentsRequest, context: Context) -> pb.ResetIntentsResponse:
        shown = await asyncio.shield(self._intents.reset(request.expert, request.intent))
        return pb.ResetIntentsResponse(view=shown.view)

    # --- Models, traces, health --------------------------------------------------------------------------------------

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=self._models.list())

    async def PullModel(self, request: pb.PullModelRequest, context: Context) -> AsyncIterator[pb.PullModelResponse]:
        async with contextlib.aclosing(self._models.pull(request.name)) as steps:
            async for step in steps:
                yield step

    async def AdoptModel(
        self, request_iterator: AsyncIterator[pb.AdoptModelRequest], context: Context
    ) -> pb.AdoptModelResponse:
        return pb.AdoptModelResponse(model=await self._models.adopt(request_iterator))

    async def ListTraces(self, request: pb.ListTracesRequest, context: Context) -> pb.ListTracesResponse:
        traces = await asyncio.to_thread(self._traces.list, request.limit or 50, request.expert, request.id)
        return pb.ListTracesResponse(traces=[fleet_wire.trace(trace) for trace in traces])

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        return await self._check()


# --- Waiting ---------------------------------------------------------------------------------------------------------


async def _with_pauses(changes: Subscription, pause_s: Callable[[], float | None]) -> AsyncIterator[Event | None]:
    """The events; None whenever there was none for so long. Raises: SlowSubscriberError."""
    following = asyncio.ensure_future(anext(changes))
    try:
        while True:
            await asyncio.wait({following}, timeout=pause_s())
            if not following.done():
                yield None
                continue
            try:
                event = following.result()
            except StopAsyncIteration:
                return
            following = asyncio.ensure_future(anext(changes))
            yield event
    finally:
        following.cancel()


async def _states(
    changes: Subscription, install: asyncio.Task[Any], name: str, version: int
) -> AsyncGenerator[tuple[State, str], None]:
    """The states that this version goes through until the installation ends, as far as is heard of them."""
    following = asyncio.ensure_future(anext(changes))
    try:
        while True:
            await asyncio.wait({following, install}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                try:
                    event = following.result()
                except (StopAsyncIteration, SlowSubscriberError):
                    # Nothing more is heard; the installation goes on.
                    await asyncio.wait({install})
                    return
                if isinstance(event, ExpertChangedEvent) and (event.expert, event.version) == (name, version):
                    yield State(event.state), event.reason
                following = asyncio.ensure_future(anext(changes))
            elif install.done():
                return
    finally:
        following.cancel()
