"""The service that operators call: what runs, and how to change it. Decodes; fleet, store and models do the rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc

from expertd.experts.bundle import BaseModel
from expertd.experts.edits import Origin
from expertd.experts.errors import FleetError, QueryError
from expertd.experts.fleet import ExpertStatus, Fleet, VersionStatus
from expertd.experts.models import Models
from expertd.experts.plan import State
from expertd.experts.store import Store
from expertd.router.index import RouteIndex
from expertd.v1 import fleet_pb2 as pb
from expertd.v1 import fleet_pb2_grpc

from . import wire
from .events import Broker, ExpertChangedEvent
from .intents import Intents
from .shipped import Shipped
from .titan import Titan
from .traces import Trace, Traces

Context = grpc.aio.ServicerContext[Any, Any]

_STATES: dict[State, pb.State] = {state: getattr(pb, f"STATE_{state.name}") for state in State}
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
        check: Callable[[], pb.GetStatusResponse],
    ) -> None:
        self._fleet = fleet
        self._store = store
        self._shipped = shipped
        self._models = models
        self._titan = titan
        self._traces = traces
        self._events = events
        self._intents = intents
        self._check = check
        self._pulling: dict[str, int] = {}

    # --- Experts -----------------------------------------------------------------------------------------------------

    async def ListExperts(self, request: pb.ListExpertsRequest, context: Context) -> pb.ListExpertsResponse:
        return pb.ListExpertsResponse(experts=[self._expert(name) for name in sorted(self._fleet.view.slots)])

    async def GetExpert(self, request: pb.GetExpertRequest, context: Context) -> pb.GetExpertResponse:
        slot = self._fleet.slot(request.name)
        card = ""
        with contextlib.suppress(OSError):
            card = slot.bundle.card()
        return pb.GetExpertResponse(expert=self._expert(request.name), card=card)

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
        async with self._events.subscribe() as changes:
            install = asyncio.create_task(self._fleet.install(bundle))
            # The order stands, even if the caller goes: half an installation is none.
            install.add_done_callback(lambda task: task.cancelled() or task.exception())
            async for state, reason in _until_done(changes, install, name, version):
                yield pb.InstallResponse(expert=name, version=version, state=_STATES[state], message=reason)
            await asyncio.shield(install)
        await asyncio.to_thread(self._shipped.restore, name)

    async def Promote(self, request: pb.PromoteRequest, context: Context) -> pb.PromoteResponse:
        await asyncio.shield(self._fleet.promote(request.name, request.version))
        return pb.PromoteResponse(expert=self._expert(request.name))

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.RollbackResponse:
        await asyncio.shield(self._fleet.rollback(request.name))
        return pb.RollbackResponse(expert=self._expert(request.name))

    async def Pin(self, request: pb.PinRequest, context: Context) -> pb.PinResponse:
        self._fleet.pin(request.name, request.pinned)
        return pb.PinResponse(expert=self._expert(request.name))

    async def Unload(self, request: pb.UnloadRequest, context: Context) -> pb.UnloadResponse:
        await asyncio.shield(self._fleet.unload(request.name))
        return pb.UnloadResponse(expert=self._expert(request.name))

    async def Remove(self, request: pb.RemoveRequest, context: Context) -> pb.RemoveResponse:
        await asyncio.shield(self._fleet.remove(request.name))
        await asyncio.to_thread(self._shipped.remove, request.name)
        return pb.RemoveResponse()

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        async with self._events.subscribe() as changes:
            for name in sorted(self._fleet.view.slots):
                yield pb.WatchResponse(expert=self._expert(name))
            async for event in changes:
                if isinstance(event, ExpertChangedEvent):
                    yield self._change(event.expert)

    def _change(self, name: str) -> pb.WatchResponse:
        with contextlib.suppress(FleetError):
            return pb.WatchResponse(expert=self._expert(name))
        return pb.WatchResponse(expert=pb.Expert(name=name), removed=True)

    def _expert(self, name: str) -> pb.Expert:
        status = self._fleet.status(name)
        manifest = status.bundle.manifest
        return pb.Expert(
            name=name,
            summary=manifest.summary,
            kind=manifest.kind,
            licence=manifest.licence,
            serving_version=status.serving or 0,
            availability=self._availability(status),
            reason="" if status.absence is None else str(status.absence),
            pinned=status.pinned,
            resident_bytes=status.resident_bytes,
            requests=status.usage.requests,
            in_flight=status.usage.in_flight,
            p50=wire.duration(status.usage.p50_s),
            versions=[self._version(version) for version in status.versions],
            intents=self._fleet.slot(name).intents,
            worker_pid=status.worker_pid,
        )

    def _availability(self, status: ExpertStatus) -> pb.Availability:
        if status.absence is None:
            return pb.AVAILABILITY_READY
        model = status.bundle.manifest.model
        if model is not None and model.name in self._pulling:
            return pb.AVAILABILITY_DOWNLOADING
        return _AVAILABILITIES.get(status.absence.reason, pb.AVAILABILITY_UNAVAILABLE)

    def _version(self, status: VersionStatus) -> pb.Version:
        return pb.Version(
            version=status.version,
            state=_STATES[status.state],
            reason=status.reason,
            changed=wire.timestamp(status.changed),
            disk_bytes=self._store.disk_bytes(status.expert, status.version),
        )

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

    # --- Models ------------------------------------------------------------------------------------------------------

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[self._model(model) for model in self._known_models().values()])

    async def PullModel(self, request: pb.PullModelRequest, context: Context) -> AsyncIterator[pb.PullModelResponse]:
        model = self._named_model(request.name)
        before = self._models.path(model)
        if not self._models.has_named(model):
            if model.name in self._pulling:
                raise FleetError(f"{model.name} is being downloaded already", reason="DOWNLOADING")
            self._pulling[model.name] = 0
            try:
                async for present in self._titan.pull(model, self._models):
                    self._pulling[model.name] = present
                    yield pb.PullModelResponse(model=self._model(model))
            finally:
                del self._pulling[model.name]
        elif before != self._models.destination(model):
            await asyncio.to_thread(self._models.admit, model)
        await self._wake(model, before)
        yield pb.PullModelResponse(model=self._model(model), message="ready")

    async def AdoptModel(
        self, request_iterator: AsyncIterator[pb.AdoptModelRequest], context: Context
    ) -> pb.AdoptModelResponse:
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("part") != "file":
            raise QueryError("the first message names the file", reason="NO_FILE", field="file")
        model = self._named_model(first.file.name) if first.file.name else self._only_model()
        before = self._models.path(model)
        with self._models.adoption(model, first.file.size_bytes) as adoption:
            async for request in request_iterator:
                await asyncio.to_thread(adoption.write, request.data)
            await asyncio.to_thread(adoption.finish)
        await self._wake(model, before)
        return pb.AdoptModelResponse(model=self._model(model))

    async def _wake(self, model: BaseModel, before: Path | None) -> None:
        """Serves the experts that waited for the model, and those that run on the file `before`, on the present one.

        Raises: ExpertError when the model is there and they fail.
        """
        changed = self._models.path(model) != before
        for name, slot in list(self._fleet.view.slots.items()):
            base = slot.bundle.manifest.model
            if base is not None and base.name == model.name:
                await asyncio.shield(self._serve_anew(name, changed))

    async def _serve_anew(self, name: str, changed: bool) -> None:
        if changed:
            # Pinned means: not unloaded to save memory. Another model is another matter.
            pinned = self._fleet.status(name).pinned
            self._fleet.pin(name, False)
            try:
                await self._fleet.unload(name)
            finally:
                self._fleet.pin(name, pinned)
        await self._fleet.retry(name)

    def _known_models(self) -> dict[str, BaseModel]:
        return {
            base.name: base
            for slot in self._fleet.view.slots.values()
            if (base := slot.bundle.manifest.model) is not None
        }

    def _named_model(self, name: str) -> BaseModel:
        known = self._known_models()
        if name not in known:
            raise FleetError(
                f"{name!r}: no installed expert names such a model; known: {', '.join(sorted(known)) or 'none'}",
                reason="UNKNOWN_MODEL",
            )
        return known[name]

    def _only_model(self) -> BaseModel:
        known = self._known_models()
        if len(known) != 1:
            raise QueryError(
                f"which model is it to be? Name one of: {', '.join(sorted(known)) or 'none is known'}",
                reason="WHICH_MODEL",
                field="file.name",
            )
        return next(iter(known.values()))

    def _model(self, model: BaseModel) -> pb.Model:
        experts = [
            name
            for name, slot in sorted(self._fleet.view.slots.items())
            if slot.bundle.manifest.model is not None and slot.bundle.manifest.model.name == model.name
        ]
        pulling = self._pulling.get(model.name)
        present = self._models.find(model)
        if present is not None and present.adopted and pulling is None:
            # Whatever the bundle says of the model it names is not said of this file.
            return pb.Model(
                name=model.name,
                availability=pb.AVAILABILITY_READY,
                repository="adopted",
                sha256=present.sha256,
                size_bytes=present.size_bytes,
                licence="unknown",
                present_bytes=present.size_bytes,
                experts=experts,
            )
        availability = pb.AVAILABILITY_DOWNLOADABLE
        if pulling is not None:
            availability = pb.AVAILABILITY_DOWNLOADING
        elif present is not None:
            availability = pb.AVAILABILITY_READY
        return pb.Model(
            name=model.name,
            availability=availability,
            repository=model.repository,
            revision=model.revision,
            file=model.file,
            sha256=model.sha256,
            size_bytes=model.size_bytes,
            licence=model.licence,
            present_bytes=self._models.present_bytes(model) if pulling is None else pulling,
            experts=experts,
        )

    # --- Traces and state --------------------------------------------------------------------------------------------

    async def ListTraces(self, request: pb.ListTracesRequest, context: Context) -> pb.ListTracesResponse:
        traces = await asyncio.to_thread(self._traces.list, request.limit or 50, request.expert, request.id)
        return pb.ListTracesResponse(traces=[_trace(trace) for trace in traces])

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        return await asyncio.to_thread(self._check)


async def _until_done(
    changes: Any, install: asyncio.Task[None], name: str, version: int
) -> AsyncIterator[tuple[State, str]]:
    """The states that this version goes through until the installation ends."""
    following = asyncio.create_task(anext(changes))
    try:
        while True:
            await asyncio.wait({following, install}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                event = following.result()
                if isinstance(event, ExpertChangedEvent) and (event.expert, event.version) == (name, version):
                    yield State(event.state), event.reason
                following = asyncio.create_task(anext(changes))
            elif install.done():
                return
    finally:
        following.cancel()


def _trace(trace: Trace) -> pb.Trace:
    return pb.Trace(
        id=trace.id,
        time=wire.timestamp(trace.time),
        app=trace.app,
        session=trace.session,
        verdict=trace.verdict,
        expert=trace.expert,
        version=trace.version,
        intent=trace.intent,
        confidence=trace.confidence,
        tier=trace.tier,
        outcome=trace.outcome,
        reason=trace.reason,
        route=wire.duration(timedelta(seconds=trace.route_s)),
        answer=wire.duration(timedelta(seconds=trace.answer_s)),
        total=wire.duration(timedelta(seconds=trace.total_s)),
        text=trace.text,
        feedback=trace.feedback,
        answered_by=trace.answered_by,
    )
