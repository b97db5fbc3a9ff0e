"""Experts in processes of their own: the loaders of the kinds `gguf` and `onnx`, and what they make."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from expertd.experts.bundle import BaseModel, Bundle
from expertd.experts.errors import BundleError, UnavailableError
from expertd.experts.kinds import onnx, prompting
from expertd.experts.models import Models
from expertd.experts.servable import Emit, Host, Loader, Servable
from expertd.experts.values import Outcome, Query

from . import wire
from .child import Child, Patience
from .nursery import Nursery
from .peers import ask_peer

# What a worker of kind onnx that never served tells of its bundle: there is nothing else that it depends on.
_TELLING = frozenset({"WORKER_BAD_BUNDLE", "WORKER_CRASH_LOOP"})


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """runtime_dir: where sockets go. threads: 0 means the physical cores less one. queue: how many calls may wait."""

    runtime_dir: Path
    threads: int = 0
    context_tokens: int = 4096
    max_tokens: int = 512
    queue: int = 8
    patience: Patience = field(default_factory=Patience)


def gguf_loader(settings: WorkerSettings, models: Models, nursery: Nursery | None = None) -> Loader:
    """The loader of the kind `gguf`: one worker per bundle, on the base model that the bundle names.

    nursery: where workers come from; without one each is a program of its own, and takes longer to start.
    """
    numbers = itertools.count(1)

    async def load(bundle: Bundle, _: Host) -> Servable:
        model = bundle.manifest.model
        if model is None:
            raise BundleError(f"{bundle}: expert.toml: no [model]; kind gguf names the base model it runs on")
        prompting.read_parameters(bundle.manifest.parameters, bundle.path, bundle=str(bundle))
        present = models.find(model)
        if present is None:
            raise no_model(bundle.manifest.name, model)
        arguments = [
            *("--model", str(present.path)),
            *("--name", present.title),
            *("--context-tokens", str(settings.context_tokens)),
            *("--max-tokens", str(settings.max_tokens)),
            *("--threads", str(settings.threads or _spare_cores())),
        ]
        child = _child(bundle, arguments, settings, nursery, numbers)
        await child.start()
        return WorkerServable(child)

    return load


def onnx_loader(settings: WorkerSettings, nursery: Nursery | None = None) -> Loader:
    """The loader of the kind `onnx`: in the daemon, or in a worker for a bundle that wants a process of its own.

    nursery: as for `gguf_loader`.
    """
    numbers = itertools.count(1)

    async def load(bundle: Bundle, host: Host) -> Servable:
        if not await asyncio.to_thread(onnx.apart, bundle):
            return await onnx.load(bundle, host)
        needs_vector = onnx.read_parameters(bundle.manifest.parameters, bundle=str(bundle)).input == "vector"
        if needs_vector and not bundle.manifest.trunk:
            raise BundleError(f"{bundle}: expert.toml: no trunk; name the one that its vectors are of")
        child = _child(bundle, ["--name", str(bundle)], settings, nursery, numbers)
        try:
            await child.start()
        except UnavailableError as error:
            if error.reason in _TELLING:
                raise BundleError(str(error)) from error
            raise
        return WorkerServable(child, needs_vector=needs_vector)

    return load


def _child(
    bundle: Bundle,
    arguments: Sequence[str],
    settings: WorkerSettings,
    nursery: Nursery | None,
    numbers: Iterator[int],
) -> Child:
    manifest = bundle.manifest
    arguments = [
        *("--bundle", str(bundle.path)),
        *("--memory-mb", str(manifest.resources.memory_mb)),
        *("--queue", str(settings.queue)),
        *arguments,
    ]
    socket = settings.runtime_dir / "workers" / f"{manifest.name}-{manifest.version}-{next(numbers)}"
    if nursery is not None:
        return Child(str(bundle), arguments, socket, settings.patience, start=partial(nursery.start, manifest.kind))
    command = [sys.executable, "-m", "expertd.daemon.worker", "--kind", manifest.kind, *arguments]
    return Child(str(bundle), command, socket, settings.patience)


def no_model(expert: str, model: BaseModel) -> UnavailableError:
    return UnavailableError(
        f"{expert} needs the model {model.name} ({model.size_bytes / 1e9:.1f} GB, {model.licence}), which is not here "
        f"yet: run `expertctl models pull {model.name}`, or `expertctl models adopt FILE` with a GGUF file you have",
        reason="NO_MODEL",
    )


class WorkerServable:
    """An expert whose answers come from a child process."""

    def __init__(self, child: Child, *, needs_vector: bool = False) -> None:
        self.needs_vector = needs_vector
        self._child = child

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: QueryError, UnavailableError: as the worker says, or WORKER_DIED when it died over this request,
        WORKER_STUCK when it hung, WORKER_CRASH_LOOP while it is left alone."""
        request = wire.query_to_worker(query, vector=self.needs_vector)
        return await ask_peer(self._child, request, emit, silence_s=self._child.patience.silence_s)

    @property
    def deaths(self) -> int:
        """How often the worker died, or had to be killed, since it was loaded."""
        return self._child.deaths

    def resident_bytes(self) -> int:
        return self._child.resident_bytes()

    def worker_pid(self) -> int:
        return self._child.pid

    async def close(self) -> None:
        await self._child.close()


def _spare_cores() -> int:
    """One core is left to everybody else: llama.cpp's threads wait for each other by spinning."""
    return max(1, min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0))) - 1)
