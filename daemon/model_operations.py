"""The large text models, as operators see them: listed, downloaded, adopted; whoever waits for one serves then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from expertd.experts.bundle import BaseModel
from expertd.experts.errors import ExpertError, FleetError, QueryError
from expertd.experts.fleet import Fleet
from expertd.experts.models import Models
from expertd.router.index import RouteIndex
from expertd.v1 import fleet_pb2 as pb

from .titan import Titan

log = logging.getLogger(__name__)


class ModelOperations:
    """titan: whose companion downloads, as it alone has network access."""

    def __init__(self, fleet: Fleet[RouteIndex], models: Models, titan: Titan) -> None:
        self._fleet = fleet
        self._models = models
        self._titan = titan
        # Name → bytes here so far.
        self._pulling: dict[str, int] = {}

    def list(self) -> list[pb.Model]:
        return [self._model(model) for model in self._known().values()]

    def is_pulling(self, name: str) -> bool:
        return name in self._pulling

    async def pull(self, name: str) -> AsyncGenerator[pb.PullModelResponse, None]:
        """Tells how far the download has come; at the end, everybody who runs on the model does so.

        Raises: FleetError, UnavailableError, ExpertError.
        """
        model = self._named(name)
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

    async def adopt(self, parts: AsyncIterator[pb.AdoptModelRequest]) -> pb.Model:
        """Raises: FleetError, QueryError, StoreError, ExpertError."""
        first = await anext(aiter(parts), None)
        if first is None or first.WhichOneof("part") != "file":
            raise QueryError("the first message names the file", reason="NO_FILE", field="file")
        model = self._named(first.file.name) if first.file.name else self._only()
        before = self._models.path(model)
        with self._models.adoption(model, first.file.size_bytes) as adoption:
            async for request in parts:
                await asyncio.to_thread(adoption.write, request.data)
            await asyncio.to_thread(adoption.finish)
        await self._wake(model, before)
        return self._model(model)

    async def _wake(self, model: BaseModel, before: Path | None) -> None:
        """Serves the experts that waited for the model, and those that run on the file `before`, on the present one.

        Raises: ExpertError when the model is there and one of them fails: the first; the others serve all the same.
        """
        problem: ExpertError | None = None
        changed = self._models.path(model) != before
        for name, slot in list(self._fleet.view.slots.items()):
            base = slot.bundle.manifest.model
            if base is not None and base.name == model.name:
                try:
                    await asyncio.shield(self._serve_anew(name, changed))
                except ExpertError as error:
                    log.warning("%s does not serve on %s: %s", name, model.name, error)
                    problem = problem or error
        if problem is not None:
            raise problem

    async def _serve_anew(self, name: str, changed: bool) -> None:
        if changed:
            # Pinned means: not unloaded to save memory. Another model is another matter.
            await self._fleet.unload(name, although_pinned=True)
        await self._fleet.retry(name)

    def _known(self) -> dict[str, BaseModel]:
        return {
            base.name: base
            for slot in self._fleet.view.slots.values()
            if (base := slot.bundle.manifest.model) is not None
        }

    def _named(self, name: str) -> BaseModel:
        known = self._known()
        if name not in known:
            raise FleetError(
                f"{name!r}: no installed expert names such a model; known: {', '.join(sorted(known)) or 'none'}",
                reason="UNKNOWN_MODEL",
            )
        return known[name]

    def _only(self) -> BaseModel:
        known = self._known()
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
