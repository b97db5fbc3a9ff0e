"""The operators' service on a fleet of a few lines: what is told of installations, trials, policies and memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expertd.daemon import fleet_wire, operations
from expertd.daemon.events import Broker, ExpertChangedEvent
from expertd.daemon.operations import FleetService
from expertd.experts.errors import BundleError, FleetError
from expertd.experts.fleet import ExpertStatus, MemoryStatus, Undone, VersionStatus
from expertd.experts.plan import State
from expertd.experts.policy import Policy
from expertd.experts.trial import Tally, TrialStatus
from expertd.experts.view import Usage
from expertd.v1 import fleet_pb2 as pb

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOTHING: Any = None


class SpamFleet:
    """One expert whose version 1 serves; `becomes` is what an installed version 2 comes to, state by state."""

    def __init__(self, events: Broker) -> None:
        self.events = events
        manifest = SimpleNamespace(
            name="spam", version=1, summary="", kind="linear", licence="MIT", model=None, memory_mb=1
        )
        self.bundle = SimpleNamespace(manifest=manifest, card=lambda: "# Card")
        self.view = SimpleNamespace(slots={"spam": SimpleNamespace(bundle=self.bundle, intents=("check",))})
        self.versions = {1: VersionStatus("spam", 1, State.SERVING, "", NOW)}
        self.policy = Policy(pinned=True)
        self.undone: Undone | None = None
        self.becomes: tuple[State, ...] = (State.LOADING, State.WARMING, State.SERVING)
        self.ends = asyncio.Event()
        self.ends.set()
        self.ordered: list[int] = []

    def slot(self, name: str) -> Any:
        if name not in self.view.slots:
            raise FleetError(f"{name!r}: no such expert", reason="UNKNOWN_EXPERT")
        return self.view.slots[name]

    def status(self, name: str) -> ExpertStatus:
        self.slot(name)
        bundle: Any = self.bundle
        serving = next((number for number, each in self.versions.items() if each.state is State.SERVING), None)
        versions = tuple(self.versions.values())
        return ExpertStatus(bundle, serving, None, self.policy, 1_500_000, 0, Usage(), versions, self.undone)

    def memory(self) -> MemoryStatus:
        return MemoryStatus(12_000_000_000, 1_500_000, 121_000_000, 0.25)

    async def install(self, bundle: Any) -> State:
        self.ordered.append(bundle.manifest.version)
        for state in self.becomes:
            self.enter(bundle.manifest.version, state)
            await asyncio.sleep(0)
        if self.becomes[-1] is State.FAILED:
            raise BundleError("spam 2: golden 3 failed")
        await self.ends.wait()
        return self.becomes[-1]

    async def set_policy(self, name: str, policy: Policy) -> None:
        self.slot(name)
        policy.checked()
        self.policy = Policy(
            pinned=self.policy.pinned,
            shadow_requests=policy.shadow_requests,
            canary_share=policy.canary_share,
            canary_requests=policy.canary_requests,
            margin=policy.margin,
        )

    def enter(self, version: int, state: State, reason: str = "", trial: TrialStatus | None = None) -> None:
        self.versions[version] = VersionStatus("spam", version, state, reason, NOW, trial=trial)
        self.events.publish(ExpertChangedEvent(expert="spam", version=version, state=str(state), reason=reason))


class OneUpload:
    def __init__(self, version: int) -> None:
        self.version = version
        self.written = b""

    def begin(self, path: str, size_bytes: int) -> None:
        assert path == "expert.toml"

    def write(self, data: bytes) -> None:
        self.written += data

    def finish(self) -> Any:
        return SimpleNamespace(manifest=SimpleNamespace(name="spam", version=self.version))


class House:
    """The service with its fleet, and a store that takes everything in as `version`."""

    def __init__(self) -> None:
        self.events = Broker()
        self.fleet = SpamFleet(self.events)
        self.version = 2
        self.restored: list[str] = []
        store: Any = SimpleNamespace(
            receive=lambda: contextlib.nullcontext(OneUpload(self.version)),
            versions=lambda name: tuple(self.fleet.versions),
            disk_bytes=lambda name, version: 100 * version,
        )
        shipped: Any = SimpleNamespace(restore=self.restored.append)
        fleet: Any = self.fleet
        self.service = FleetService(
            fleet=fleet,
            store=store,
            shipped=shipped,
            events=self.events,
            **dict.fromkeys(("models", "titan", "traces", "intents", "check"), NOTHING),
        )

    async def install(self) -> list[pb.InstallResponse]:
        async def parts() -> AsyncIterator[pb.InstallRequest]:
            yield pb.InstallRequest(file=pb.InstallRequest.File(path="expert.toml", size_bytes=3))
            yield pb.InstallRequest(data=b"abc")

        async with asyncio.timeout(10):
            return [step async for step in self.service.Install(parts(), NOTHING)]


@pytest.fixture
async def house() -> House:
    return House()


def states(steps: list[pb.InstallResponse]) -> list[str]:
    return [pb.State.Name(step.state).removeprefix("STATE_") for step in steps if step.state]


# --- Install ---------------------------------------------------------------------------------------------------------


async def test_an_installation_is_told_until_the_version_serves(house: House) -> None:
    steps = await house.install()
    assert [step.message for step in steps[:2]] == ["receiving", "verifying"]
    assert states(steps) == ["LOADING", "WARMING", "SERVING"]
    assert house.restored == ["spam"]


@pytest.mark.parametrize(
    ("last", "policy", "words"),
    [
        (State.SHADOW, Policy(shadow_requests=200), "200 of its answers are compared"),
        (
            State.SHADOW,
            Policy(shadow_requests=20, canary_share=0.1, canary_requests=50),
            "then it answers 10 % of sessions until it has answered 50 requests",
        ),
        (State.CANARY, Policy(canary_share=0.25, canary_requests=50), "it answers 25 % of sessions until"),
    ],
    ids=["shadow", "shadow then canary", "canary"],
)
async def test_an_installation_ends_on_trial_with_what_comes_next(
    house: House, last: State, policy: Policy, words: str
) -> None:
    house.fleet.policy = policy
    house.fleet.becomes = (State.LOADING, State.WARMING, last)
    house.fleet.ends.clear()  # the fleet itself waits for the trial's end
    steps = await house.install()
    assert states(steps) == ["LOADING", "WARMING", last.name]
    assert words in steps[-1].message
    assert "`expertctl promote spam 2` accepts it now, `expertctl rollback spam` gives it up" in steps[-1].message


async def test_a_trial_whose_beginning_was_not_heard_of_is_told_all_the_same(house: House) -> None:
    house.fleet.policy = Policy(canary_share=0.1, canary_requests=5)
    house.events.close()  # nobody hears anything any more
    house.fleet.becomes = (State.CANARY,)
    steps = await house.install()
    assert states(steps) == ["CANARY"]
    assert "`expertctl rollback spam` gives it up" in steps[-1].message


async def test_a_version_that_fails_is_told_with_its_reason(house: House) -> None:
    house.fleet.becomes = (State.LOADING, State.FAILED)
    with pytest.raises(BundleError, match="golden 3 failed"):
        await house.install()
    assert house.restored == []


async def test_what_serves_already_or_is_on_trial_already_is_said_to_be(house: House) -> None:
    house.version, house.fleet.becomes = 1, ()
    house.fleet.becomes = (State.SERVING,)
    house.fleet.install = _does_nothing  # type: ignore[method-assign]
    steps = await house.install()
    assert (states(steps), steps[-1].message) == (["SERVING"], "serves already")
    house.version = 2
    house.fleet.enter(2, State.CANARY)
    steps = await house.install()
    assert states(steps) == ["CANARY"]
    assert house.fleet.ordered == []


async def _does_nothing(_: Any) -> State:
    return State.SERVING


# --- What is told of an expert ---------------------------------------------------------------------------------------


async def test_everything_that_is_known_of_an_expert_is_told(house: House) -> None:
    trial = TrialStatus(State.SHADOW, 30, 200, 28, Tally(30, 1, 2, 0), Tally(110, 0, 3, 1))
    house.fleet.policy = Policy(pinned=True, shadow_requests=200)
    house.fleet.versions[2] = VersionStatus(
        "spam", 2, State.SHADOW, "", NOW, resident_bytes=700, examination="12 golden examples", trial=trial
    )
    house.fleet.versions[3] = VersionStatus("spam", 3, State.FAILED, "x" * 5000, NOW)
    house.fleet.undone = Undone(3, "spam 3: golden 3 failed", NOW)
    told = (await house.service.ListExperts(pb.ListExpertsRequest(), NOTHING)).experts[0]
    assert told == (await house.service.GetExpert(pb.GetExpertRequest(name="spam"), NOTHING)).expert
    first, second, third = told.versions
    assert (told.serving_version, told.pinned, told.policy.shadow_requests) == (1, True, 200)
    assert (first.disk_bytes, first.HasField("trial")) == (100, False)
    assert (second.resident_bytes, second.examination) == (700, "12 golden examples")
    assert (second.trial.stage, second.trial.agreed, second.trial.needed) == (pb.STATE_SHADOW, 28, 200)
    assert (second.trial.candidate.errors, second.trial.baseline.abstentions) == (1, 3)
    assert (third.state, len(third.reason)) == (pb.STATE_FAILED, fleet_wire.MAX_REASON_CHARS + 1)
    assert (told.undone.version, told.undone.reason) == (3, "spam 3: golden 3 failed")


async def test_the_list_tells_what_memory_there_is(house: House) -> None:
    memory = (await house.service.ListExperts(pb.ListExpertsRequest(), NOTHING)).memory
    assert (memory.budget_bytes, memory.experts_bytes, memory.daemon_bytes) == (12_000_000_000, 1_500_000, 121_000_000)
    assert memory.pressure == 0.25


async def test_a_policy_is_set_whole_and_without_one_it_is_the_default_again(house: House) -> None:
    policy = pb.Policy(shadow_requests=5, canary_share=0.1, canary_requests=7, margin=0.01)
    set_policy: Callable[..., Any] = house.service.SetPolicy
    told = (await set_policy(pb.SetPolicyRequest(name="spam", policy=policy), NOTHING)).expert
    assert told.policy == policy
    assert told.pinned
    told = (await set_policy(pb.SetPolicyRequest(name="spam"), NOTHING)).expert
    assert fleet_wire.policy_from_proto(told.policy) == Policy()
    with pytest.raises(FleetError):
        await set_policy(pb.SetPolicyRequest(name="nobody"), NOTHING)


# --- Watch -----------------------------------------------------------------------------------------------------------


async def test_who_watches_is_told_of_changes_and_of_a_trial_that_counts_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "TRIAL_LOOK_S", 0.01)
    async with asyncio.timeout(10), contextlib.aclosing(house.service.Watch(pb.WatchRequest(), NOTHING)) as watched:
        assert (await anext(watched)).expert.serving_version == 1
        following = asyncio.ensure_future(anext(watched))
        house.fleet.enter(2, State.CANARY, trial=TrialStatus(State.CANARY, 0, 50, 0, Tally(), Tally()))
        assert (await following).expert.versions[1].trial.requests == 0
        following = asyncio.ensure_future(anext(watched))
        await asyncio.sleep(0.05)
        assert not following.done()  # nothing was counted
        counted = TrialStatus(State.CANARY, 1, 50, 0, Tally(1), Tally())
        house.fleet.versions[2] = VersionStatus("spam", 2, State.CANARY, "", NOW, trial=counted)
        assert (await following).expert.versions[1].trial.requests == 1
        house.fleet.view.slots = {}
        house.fleet.enter(2, State.RETIRED)
        gone = await anext(watched)
        assert (gone.removed, gone.expert.name) == (True, "spam")
        house.events.close()
        with pytest.raises(StopAsyncIteration):
            await anext(watched)


async def test_a_path_of_a_card_that_is_gone_leaves_the_card_out(house: House, tmp_path: Path) -> None:
    house.fleet.bundle.card = (tmp_path / "CARD.md").read_text
    assert (await house.service.GetExpert(pb.GetExpertRequest(name="spam"), NOTHING)).card == ""
