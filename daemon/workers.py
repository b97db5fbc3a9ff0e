"""Experts in processes of their own: the loader of kind `gguf`, and what it makes."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from expertd.experts.bundle import BaseModel, Bundle
from expertd.experts.errors import BundleError, UnavailableError
from expertd.experts.kinds.gguf import read_parameters
from expertd.experts.models import Models
from expertd.experts.servable import Emit, Host, Loader
from expertd.experts.values import Outcome, Query

from . import wire
from .peers import Child, Patience, ask_peer


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """runtime_dir: where sockets go. threads: 0 means the physical cores less one. queue: how many calls may wait."""

    runtime_dir: Path
    threads: int = 0
    context_tokens: int = 4096
    max_tokens: int = 512
    queue: int = 8
    patience: Patience = field(default_factory=Patience)


def gguf_loader(settings: WorkerSettings, models: Models) -> Loader:
    """The loader of the kind `gguf`: one worker per bundle, on the base model that the bundle names."""
    numbers = itertools.count(1)

    async def load(bundle: Bundle, _: Host) -> WorkerServable:
        model = bundle.manifest.model
        if model is None:
            raise BundleError(f"{bundle}: expert.toml: no [model]; kind gguf names the base model it runs on")
        read_parameters(bundle.manifest.parameters, bundle=str(bundle))
        present = models.find(model)
        if present is None:
            raise no_model(bundle.manifest.name, model)
        child = Child(
            str(bundle),
            [
                *(sys.executable, "-m", "expertd.daemon.worker"),
                *("--bundle", str(bundle.path)),
                *("--model", str(present.path)),
                *("--name", present.title),
                *("--context-tokens", str(settings.context_tokens)),
                *("--max-tokens", str(settings.max_tokens)),
                *("--threads", str(settings.threads or _spare_cores())),
                *("--queue", str(settings.queue)),
            ],
            settings.runtime_dir / "workers" / f"{bundle.manifest.name}-{bundle.manifest.version}-{next(numbers)}",
            settings.patience,
        )
        await child.start()
        return WorkerServable(child)

    return load


def no_model(expert: str, model: BaseModel) -> UnavailableError:
    return UnavailableError(
        f"{expert} needs the model {model.name} ({model.size_bytes / 1e9:.1f} GB, {model.licence}), which is not here "
        f"yet: run `expertctl models pull {model.name}`, or `expertctl models adopt FILE` with a GGUF file you have",
        reason="NO_MODEL",
    )


class WorkerServable:
    """An expert whose answers come from a child process."""

    needs_vector = False

    def __init__(self, child: Child) -> None:
        self._child = child

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: QueryError, UnavailableError: as the worker says, or WORKER_DIED when it died over this request."""
        return await ask_peer(self._child, wire.query_to_worker(query), emit)

    def resident_bytes(self) -> int:
        return self._child.resident_bytes()

    def worker_pid(self) -> int:
        return self._child.pid

    async def close(self) -> None:
        await self._child.close()


def _spare_cores() -> int:
    """One core is left to everybody else: llama.cpp's threads wait for each other by spinning."""
    return max(1, min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0))) - 1)
