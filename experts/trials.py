"""Puts versions on trial beside those that serve, watches them, and says when a trial is over.

What a trial judges by is `Trial`'s to say, and what follows from its end the writer's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .instance import Instance
from .plan import State
from .policy import Policy
from .trial import Trial
from .view import Slot

# How often a version on trial is looked at from outside: its process, its memory, its time.
LOOK_EVERY_S = 0.25

Conclude = Callable[[Instance, Trial, str | None], None]


class Trials:
    """post, spawn: the writer's. conclude: called by the writer when a trial is over, with what spoke against it.

    requests, probation_s: a probation ends well after so many, or after so long.
    """

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        *,
        conclude: Conclude,
        requests: int,
        probation_s: float,
    ) -> None:
        self._post = post
        self._spawn = spawn
        self._conclude = conclude
        self._requests = requests
        self._probation_s = probation_s
        self._on_trial: dict[Slot, tuple[Instance, Trial]] = {}

    def begin(self, item: Instance, serving: Instance, stage: State, policy: Policy) -> None:
        """A stage beside the version that serves."""
        if item.slot is None or serving.slot is None:
            raise AssertionError("a trial needs two versions in memory")
        shadow = stage is State.SHADOW
        needed = policy.shadow_requests if shadow else policy.canary_requests
        trial = self._trial(item, serving, stage, needed, share=policy.canary_share)
        item.slot.fallback = serving.slot
        serving.slot.challenger = item.slot
        self._follow(item, trial)

    def on_probation(self, item: Instance, predecessor: Instance) -> bool:
        """Puts a version that has just begun to serve on probation, its predecessor kept at hand; whether it did."""
        if not self._requests or item.slot is None or predecessor.slot is None or predecessor.servable is None:
            return False
        trial = self._trial(item, predecessor, State.SERVING, self._requests)
        trial.baseline = trial.baseline.frozen()
        predecessor.slot.hold()
        item.slot.fallback = predecessor.slot
        self._follow(item, trial)
        return True

    def end(self, item: Instance, serving: Instance | None) -> None:
        """Whatever it was on trial for, it no longer is."""
        if item.slot is None:
            return
        item.slot.trial = item.slot.fallback = None
        self._on_trial.pop(item.slot, None)
        if serving is not None and serving.slot is not None and serving.slot.challenger is item.slot:
            serving.slot.challenger = None

    def judge(self, slot: Slot) -> None:
        """It has answered, or feedback came: is there something to conclude?"""
        found = self._on_trial.get(slot)
        if found is None or slot.trial is not found[1]:
            return
        item, trial = found
        problem = trial.problem()
        if problem is not None or trial.passed:
            self._over(item, trial, problem)

    def _over(self, item: Instance, trial: Trial, problem: str | None) -> None:
        self._post(lambda: self._conclude(item, trial, problem))

    @staticmethod
    def _trial(item: Instance, beside: Instance, stage: State, needed: int, *, share: float = 0.0) -> Trial:
        resources = item.bundle.manifest.resources
        if beside.slot is None:
            raise AssertionError("compared with a version that never served")
        return Trial(
            stage,
            needed,
            beside.slot.tally,
            share=share,
            declared_s=resources.latency_ms / 1000,
            declared_bytes=int(resources.memory_mb * 1e6),
        )

    def _follow(self, item: Instance, trial: Trial) -> None:
        if item.slot is None:
            raise AssertionError("on trial without a slot")
        item.slot.trial = trial
        self._on_trial[item.slot] = (item, trial)
        self._spawn(self._watch(item, item.slot, trial))

    async def _watch(self, item: Instance, slot: Slot, trial: Trial) -> None:
        """What no request tells: a process that dies or grows, a probation whose time is up."""
        servable = item.servable
        began, deaths, process = time.monotonic(), 0, 0
        while slot.trial is trial and servable is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            resident = 0
            if pid := servable.worker_pid():
                deaths += process not in (0, pid)
                process = pid
                resident = servable.resident_bytes()
            problem = trial.problem(resident, deaths)
            late = trial.stage is State.SERVING and time.monotonic() - began > self._probation_s
            if problem is not None or late:
                self._over(item, trial, problem)
                break
        if self._on_trial.get(slot) == (item, trial):
            del self._on_trial[slot]
