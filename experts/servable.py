"""A servable is a bundle in memory, ready to answer; a loader makes one. The whole contract of a kind fits here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .values import FloatArray, Outcome, Query

if TYPE_CHECKING:
    from .bundle import Bundle
    from .schedule import Scheduler

# Hands a piece of text to the caller as soon as it is there; waiting on it is the back-pressure.
Emit = Callable[[str], Awaitable[None]]


class Servable(Protocol):
    """Answers queries, any number at a time, on the event loop.

    Work of more than about a millisecond leaves the loop (`asyncio.to_thread`, a worker process). Cancelling the
    coroutine stops the work.
    """

    @property
    def needs_vector(self) -> bool:
        """Whether `Query.vector` must be set: the trunk's encoding of `Query.subject`."""

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Answers, or abstains.

        Raises: QueryError when the request breaks a rule, UnavailableError when the expert cannot serve now.
        """

    def resident_bytes(self) -> int:
        """Memory that this servable holds, in this process or in its worker's."""

    def worker_pid(self) -> int:
        """The process that serves it; 0: this one."""

    async def close(self) -> None:
        """Lets go of everything. Called once, after the last answer."""


# Sentences → float32 (n, 384), unit length.
Encode = Callable[[Sequence[str]], Awaitable[FloatArray]]


@dataclass(frozen=True, slots=True)
class Host:
    """What an expert may reach beside its bundle.

    state: the folder for files that outlive a version. database: the SQLite file, for tables of the expert's own,
    named after it. scheduler: durable jobs. clock: the present as an aware datetime. encode: the trunk: sentences →
    float32 (n, 384), unit length; about a millisecond each, off the event loop where they are many.
    """

    state: Path
    database: Path
    scheduler: Scheduler
    clock: Callable[[], datetime]
    encode: Encode


# Raises BundleError when the bundle cannot be served as this kind, UnavailableError when its weights are not there yet.
Loader = Callable[["Bundle", Host], Awaitable[Servable]]
