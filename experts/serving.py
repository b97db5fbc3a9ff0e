"""How a request meets a version: it leases the one that serves, or the one on trial, and what became of it is noted.

A canary that fails, or takes too long, has its request answered by the version that it is compared with, where
answering twice does no harm: nobody but the trial sees it. A shadow answers after the request has been answered, as a
rehearsal. Knows no router, no life cycle (the writer judges what is noted here) and no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from .errors import QueryError, UnavailableError
from .plan import State
from .servable import Emit, Encode
from .trial import Trial
from .values import Abstention, Outcome, Query
from .view import Retired, Slot

log = logging.getLogger(__name__)

# Asking twice does the same as asking once; a skill may have acted before it failed.
REPEATABLE_KINDS = frozenset({"linear", "tagger", "onnx", "gguf", "forecast"})
# Reasons of an UnavailableError that say nothing against a version.
NOT_ITS_FAULT = frozenset({"WORKER_BUSY"})


class Serving:
    """present: the slot of an expert once it serves. judge: a trial has something new to be judged by."""

    def __init__(
        self, present: Callable[[str], Awaitable[Slot]], encode: Encode, judge: Callable[[Slot], None]
    ) -> None:
        self._present = present
        self._encode = encode
        self._judge = judge
        self._shadows: set[asyncio.Task[None]] = set()

    async def answer(
        self, name: str, query: Query, emit: Emit, leased: Callable[[Slot], None] = lambda slot: None
    ) -> tuple[Slot, Outcome]:
        """The expert's answer and the version that gave it. leased: told of each version that is asked.

        Raises: FleetError UNKNOWN_EXPERT, QueryError, UnavailableError.
        """
        while True:
            slot = await self._present(name)
            asked, told = slot.takes(query.session), _Told(emit)
            on_trial = asked.trial is not None
            leased(asked)
            try:
                outcome = await self._ask(asked, query, told)
            except Retired:
                # Replaced between the look and the lease: its successor is in the present view.
                continue
            except (UnavailableError, TimeoutError, _BrokenError) as error:
                if not on_trial or told.anything or slot.bundle.manifest.kind not in REPEATABLE_KINDS:
                    raise _unavailable(asked, error) from error
                # It may have been undone over another request while this one waited.
                other = asked.fallback or await self._present(name)
                if other is asked:
                    raise _unavailable(asked, error) from error
                log.info("%s %d: %s; asking %d", name, asked.version, error, other.version)
                try:
                    leased(other)
                    return other, await self._ask(other, query, told)
                except Retired:
                    continue
            if slot.challenger is not None and asked is slot:
                self._shadow(slot, slot.challenger, query, outcome)
            return asked, outcome

    async def _ask(self, slot: Slot, query: Query, emit: Emit) -> Outcome:
        """Raises: Retired, QueryError, UnavailableError; TimeoutError where it is on trial and takes too long."""
        async with slot.lease(counted=not query.rehearsal) as servable:
            if servable.needs_vector and query.vector is None:
                (vector,) = await self._encode([query.subject])
                query = replace(query, vector=vector)
            trial = slot.trial
            started = time.perf_counter()
            failed = abstained = False
            try:
                async with asyncio.timeout(None if trial is None else trial.patience_s):
                    outcome = await servable.answer(query, emit)
                abstained = isinstance(outcome, Abstention) and outcome.code != "needs_input"
                return outcome
            except QueryError:
                raise
            except asyncio.CancelledError:
                trial = None  # The caller has gone: nobody knows how it would have ended.
                raise
            except UnavailableError as error:
                failed = error.reason not in NOT_ITS_FAULT
                raise
            except TimeoutError:
                failed = True
                raise
            except Exception as error:
                failed = True
                log.exception("%s %d failed in a way that it must not", slot.name, slot.version)
                raise _BrokenError(f"{type(error).__name__}: {error}") from error
            finally:
                took = time.perf_counter() - started
                slot.tally.note(took, failed=failed, abstained=abstained)
                if trial is not None:
                    trial.note(took, failed=failed, abstained=abstained)
                    self._judge(slot)

    # --- Shadows -----------------------------------------------------------------------------------------------------

    def _shadow(self, slot: Slot, shadow: Slot, query: Query, served: Outcome) -> None:
        """Has the shadow answer too, one request at a time: a flood of them would be felt by who is answered."""
        trial = shadow.trial
        if trial is None or trial.stage is not State.SHADOW or self._shadows:
            return
        task = asyncio.create_task(self._rehearse(shadow, trial, replace(query, rehearsal=True), served))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _rehearse(self, shadow: Slot, trial: Trial, query: Query, served: Outcome) -> None:
        with contextlib.suppress(QueryError, UnavailableError, TimeoutError, _BrokenError, Retired):
            outcome = await self._ask(shadow, query, _nobody)
            trial.compare(served, outcome)
            self._judge(shadow)

    async def close(self) -> None:
        for task in self._shadows:
            task.cancel()
        await asyncio.gather(*self._shadows, return_exceptions=True)


class _BrokenError(Exception):
    """The expert raised what no expert may raise."""


class _Told:
    """Passes on, and knows whether there was anything."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.anything = False

    async def __call__(self, piece: str) -> None:
        self.anything = True
        await self._emit(piece)


def _unavailable(slot: Slot, error: Exception) -> Exception:
    if isinstance(error, UnavailableError):
        return error
    if isinstance(error, TimeoutError):
        return UnavailableError(
            f"{slot.name} {slot.version} took too long for a version on trial; ask again",
            reason="EXPERT_STUCK",
            retryable=True,
        )
    return UnavailableError(f"{slot.name} {slot.version} failed ({error}); the log says more", reason="EXPERT_FAILED")


async def _nobody(_: str) -> None:
    pass
