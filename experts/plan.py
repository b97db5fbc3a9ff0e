"""What to do next with the fleet: a pure function of a snapshot. Knows no files, no clock, no event loop.

    ASPIRED → LOADING → WARMING → (SHADOW → CANARY →) SERVING → DRAINING → RETIRED
    FAILED from any before SERVING

The policy keeps every expert available (as TensorFlow Serving's availability-preserving policy does): a version is
withdrawn only by the same publication that serves its successor, or because nobody wants the expert any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    ASPIRED = "ASPIRED"
    LOADING = "LOADING"
    WARMING = "WARMING"
    SHADOW = "SHADOW"
    CANARY = "CANARY"
    SERVING = "SERVING"
    DRAINING = "DRAINING"
    RETIRED = "RETIRED"
    FAILED = "FAILED"


# Versions in these states are on trial: some requests reach them.
ON_TRIAL = frozenset({State.SHADOW, State.CANARY})
# Versions in these states are on their way: not yet serving, and not given up.
UNDER_WAY = frozenset({State.ASPIRED, State.LOADING, State.WARMING, State.SHADOW, State.CANARY})


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    """One loading of one version; the same version may be loaded again while an earlier instance of it drains.

    ready: examined, or through its trial: waits for its next stage; busy: somebody works on it right now, or a
    publication that is being built serves or withdraws it; slow: served by a worker, which may take seconds to load:
    no first view waits for it; stage: of its trial, which comes before it serves where another version does.
    """

    instance: int
    expert: str
    version: int
    state: State
    ready: bool = False
    busy: bool = False
    slow: bool = False
    stage: State | None = None
    leases: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """aspired: the version that each expert should serve. publishing: a new view is being built right now."""

    versions: tuple[VersionSnapshot, ...]
    aspired: Mapping[str, int]
    publishing: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    instance: int


@dataclass(frozen=True, slots=True)
class Warm:
    instance: int


@dataclass(frozen=True, slots=True)
class Try:
    """Puts it on trial beside the version that serves."""

    instance: int
    stage: State


@dataclass(frozen=True, slots=True)
class Abandon:
    """Another version is wanted meanwhile."""

    instance: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Serve these instances and withdraw those, in one assignment of the view."""

    serve: frozenset[int]
    withdraw: frozenset[int]


@dataclass(frozen=True, slots=True)
class Retire:
    instance: int


Action = Load | Warm | Try | Abandon | Publish | Retire


def plan(snapshot: Snapshot) -> tuple[Action, ...]:
    """The actions that may start now, in order. Planning again while they run starts nothing twice."""
    actions: list[Action] = []
    serve: dict[str, int] = {}
    withdraw: set[int] = set()
    more_to_come = False
    served = {item.expert for item in snapshot.versions if item.state is State.SERVING and not item.busy}
    for item in snapshot.versions:
        wanted = snapshot.aspired.get(item.expert) == item.version
        if item.state in UNDER_WAY:
            if not wanted:
                if not item.busy:
                    actions.append(Abandon(item.instance))
            elif item.ready:
                if item.busy:
                    continue
                if item.stage is not None and item.expert in served:
                    actions.append(Try(item.instance, item.stage))
                else:
                    serve[item.expert] = item.instance
            elif item.state not in ON_TRIAL:
                more_to_come = more_to_come or not item.slow
                if item.busy:
                    continue
                step = Load if item.state is State.ASPIRED else Warm
                actions.append(step(item.instance))
        elif item.state is State.SERVING and item.expert not in snapshot.aspired and not item.busy:
            withdraw.add(item.instance)
        elif item.state is State.DRAINING and item.leases == 0 and not item.busy:
            actions.append(Retire(item.instance))
    # One new view for all that are ready; while nothing serves at all, the quick ones are waited for.
    starting = more_to_come and not any(item.state is State.SERVING for item in snapshot.versions)
    if (serve or withdraw) and not snapshot.publishing and not starting:
        replaced = {item.instance for item in snapshot.versions if item.state is State.SERVING and item.expert in serve}
        actions.append(Publish(frozenset(serve.values()), frozenset(withdraw | replaced)))
    return tuple(actions)
