"""New versions on trial in a real fleet: what passes serves, what is worse is undone, and no caller notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from expertd.experts.errors import BundleError, FleetError, QueryError, UnavailableError
from expertd.experts.plan import State
from expertd.experts.policy import Policies, Policy
from expertd.experts.values import Abstention, Outcome, Query
from tests.fleet_house import GOLDEN, House, until

CANARY = Policy(canary_share=0.5, canary_requests=20)
SHADOW = Policy(shadow_requests=20)
# The fixture's bundles are skills, whose requests are not repeated; a real linear or text expert's are.
REPEATABLE = "expertd.experts.serving.REPEATABLE_KINDS"


async def fails(_: Query) -> Outcome:
    raise UnavailableError("out of order", reason="BROKEN")


async def breaks(_: Query) -> Outcome:
    raise ZeroDivisionError("division by zero")


async def hangs(_: Query) -> Outcome:
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits that long")


async def abstains(_: Query) -> Outcome:
    return Abstention("not for me")


async def refuses(_: Query) -> Outcome:
    raise QueryError("in the past", reason="TIME_IN_PAST")


@pytest.fixture
async def house(tmp_path: Path, make_bundle: Any) -> AsyncIterator[House]:
    """Version 1 of echo serves and has answered a while."""
    built = House(tmp_path, probation_requests=40)
    await built.fleet.start([])
    await built.fleet.install(built.store.admit(make_bundle(version=1, parameters={"says": "one"})))
    for _ in range(30):
        assert await built.ask() == "one"
    yield built
    built.gate.set()
    await built.fleet.close()
    built.store.close()


async def install(house: House, make_bundle: Any, version: int = 2, **parameters: Any) -> State:
    bundle = make_bundle(version=version, parameters={"says": {2: "two", 3: "three"}[version], **parameters})
    return await house.fleet.install(house.store.admit(bundle))


def current(house: House) -> int | None:
    return house.store.current("echo")


# --- Shadow ----------------------------------------------------------------------------------------------------------


async def test_a_shadow_answers_nobody_and_serves_after_its_requests(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", SHADOW)
    assert await install(house, make_bundle, says="one") is State.SHADOW
    assert current(house) == 1
    shadow = house.made_of(2)
    for _ in range(20):
        assert house.fleet.slot("echo").version == 1
        await house.ask()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await until(lambda: current(house) == 2)
    assert shadow.asked == 0, "what it answered was a rehearsal, of which nothing takes effect"
    assert house.states(2) == [State.ASPIRED, State.LOADING, State.WARMING, State.SHADOW, State.SERVING]


async def test_a_shadow_that_says_something_else_is_undone_and_nobody_heard_it(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", SHADOW)
    await install(house, make_bundle, data=[2])
    for _ in range(20):
        assert await house.ask() == "one"
        await asyncio.sleep(0.001)
    await until(lambda: house.states(2)[-1] is State.FAILED)
    (told,) = [status for status in house.told if status.state is State.FAILED]
    assert "answers differ from the serving version's" in told.reason
    await until(lambda: 2 not in house.store.versions("echo"))
    assert current(house) == 1


# --- Canary ----------------------------------------------------------------------------------------------------------


async def test_a_canary_answers_its_share_of_sessions_and_serves_after_its_requests(
    house: House, make_bundle: Any
) -> None:
    await house.fleet.set_policy("echo", CANARY)
    assert await install(house, make_bundle) is State.CANARY
    answers: dict[str, set[str]] = {}
    for number in range(400):
        if house.fleet.slot("echo").version == 2:
            break
        session = f"session-{number % 10}"
        answers.setdefault(session, set()).add(await house.ask(session=session))
        await asyncio.sleep(0)
    assert all(len(said) == 1 for said in answers.values()), "a session stays with the version that it began with"
    assert {"one"} in answers.values()
    assert {"two"} in answers.values()
    await until(lambda: current(house) == 2)
    assert State.CANARY in house.states(2)


@pytest.mark.parametrize("misbehaves", [fails, breaks, hangs])
async def test_a_canary_that_fails_is_undone_and_its_callers_are_answered_by_the_version_before(
    house: House, make_bundle: Any, monkeypatch: pytest.MonkeyPatch, misbehaves: Any
) -> None:
    monkeypatch.setattr(REPEATABLE, frozenset({"skill"}))
    monkeypatch.setattr("expertd.experts.trial.LEAST_PATIENCE_S", 0.1)
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    house.made_of(2).misbehave = misbehaves
    answers = await asyncio.gather(*(house.ask() for _ in range(40)))
    assert set(answers) == {"one"}, "the caller of a canary that fails must not notice"
    await until(lambda: house.states(2)[-1] is State.FAILED)
    assert house.made_of(2).asked >= 2
    await until(lambda: 2 not in house.store.versions("echo"))
    status = house.fleet.status("echo")
    assert status.serving == 1
    assert status.undone is not None
    assert "requests failed" in status.undone.reason
    assert house.made_of(2).closed


async def test_a_canary_whose_work_may_have_taken_effect_is_not_asked_twice(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    house.made_of(2).misbehave = fails
    asked = house.made_of(1).asked
    results = await asyncio.gather(*(house.ask() for _ in range(12)), return_exceptions=True)
    failures = [result for result in results if isinstance(result, UnavailableError)]
    assert len(failures) == house.made_of(2).asked
    assert house.made_of(1).asked - asked == 12 - len(failures)


async def test_a_canary_that_abstains_more_than_the_version_before_is_undone(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    house.made_of(2).misbehave = abstains
    for _ in range(60):
        await asyncio.gather(house.ask(), return_exceptions=True)
    await until(lambda: house.states(2)[-1] is State.FAILED)
    assert house.fleet.slot("echo").version == 1


async def test_a_canary_that_refuses_what_breaks_a_rule_is_none_the_worse(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    house.made_of(2).misbehave = refuses
    for _ in range(100):
        await asyncio.gather(house.ask(), return_exceptions=True)
    await until(lambda: current(house) == 2)


async def test_bad_feedback_undoes_a_canary(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", Policy(canary_share=0.5, canary_requests=1000))
    await install(house, make_bundle)
    for _ in range(20):
        await house.ask()
    for _ in range(2):
        house.fleet.feedback("echo", 1, good=False)
    await asyncio.sleep(0.05)
    assert house.states(2)[-1] is State.CANARY, "what the other version did is not its fault"
    for _ in range(8):
        house.fleet.feedback("echo", 2, good=False)
    await until(lambda: house.states(2)[-1] is State.FAILED)
    await until(lambda: (undone := house.fleet.status("echo").undone) is not None and "bad" in undone.reason)


async def test_a_canary_that_grows_is_undone_without_a_request(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    canary = house.made_of(2)
    canary.pid, canary.bytes = 1, 50_000_000
    await until(lambda: house.states(2)[-1] is State.FAILED)
    assert house.fleet.slot("echo").version == 1


async def test_the_operator_ends_a_trial_either_way(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle, 2)
    assert await house.fleet.rollback("echo") == 1
    assert house.states(2)[-1] is State.FAILED
    assert house.fleet.slot("echo").version == 1
    assert 2 in house.store.versions("echo"), "nothing speaks against it"
    await install(house, make_bundle, 3)
    assert await house.fleet.promote("echo", 3) is State.SERVING
    assert await house.ask() == "three"
    assert current(house) == 3


async def test_installing_what_is_on_trial_again_does_not_end_its_trial(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    assert await house.fleet.install(house.store.bundle("echo", 2)) is State.CANARY
    assert house.fleet.slot("echo").version == 1


async def test_closing_does_not_wait_for_an_examination(house: House, make_bundle: Any) -> None:
    hanging = asyncio.Event()

    async def hangs_over_a_rehearsal(_: Query) -> Outcome:
        hanging.set()
        return await hangs(_)

    house.misbehave = hangs_over_a_rehearsal
    order = asyncio.create_task(install(house, make_bundle))
    await hanging.wait()
    async with asyncio.timeout(1):
        await house.fleet.close()
    await asyncio.gather(order, return_exceptions=True)
    assert all(echo.closed for echo in house.made)


async def test_a_newer_version_takes_the_place_of_one_on_trial(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle, 2)
    assert await install(house, make_bundle, 3) is State.CANARY
    await until(lambda: house.states(2)[-1] is State.FAILED)
    challenger = house.fleet.slot("echo").challenger
    assert challenger is not None
    assert challenger.version == 3
    said = {await house.ask() for _ in range(30)}
    assert said <= {"one", "three"}


async def test_removing_an_expert_ends_its_trial(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    await house.fleet.remove("echo")
    assert house.made_of(1).closed
    assert house.made_of(2).closed
    with pytest.raises(FleetError, match="no such expert"):
        await house.ask()


async def test_a_trial_is_told_in_the_status(house: House, make_bundle: Any) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await install(house, make_bundle)
    for _ in range(10):
        await house.ask()
    (status,) = [version for version in house.fleet.status("echo").versions if version.version == 2]
    assert status.trial is not None
    assert (status.trial.stage, status.trial.needed) == (State.CANARY, 20)
    assert status.trial.requests == house.made_of(2).asked
    assert status.examination.startswith("1 golden example; ")


# --- Probation -------------------------------------------------------------------------------------------------------


async def test_a_version_that_fails_once_it_serves_is_undone_without_loading_anything(
    house: House, make_bundle: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(REPEATABLE, frozenset({"skill"}))
    assert await install(house, make_bundle) is State.SERVING
    await until(lambda: current(house) == 2)
    for _ in range(5):
        assert await house.ask() == "two"
    house.made_of(2).misbehave = fails
    for _ in range(20):
        assert await house.ask() in {"one"}
    await until(lambda: current(house) == 1 and 2 not in house.store.versions("echo"))
    assert len(house.made) == 2, "the version before was at hand"
    assert house.made_of(2).closed
    assert not house.made_of(1).closed
    reasons = [status.reason for status in house.told if status.version == 2 and status.state is State.DRAINING]
    assert "requests failed" in reasons[0]
    with pytest.raises(BundleError, match="in quarantine, for: echo 2: "):
        house.store.admit(tmp_path / "bundles" / "echo-2")


async def test_a_version_that_does_well_lets_its_predecessor_go(house: House, make_bundle: Any) -> None:
    await install(house, make_bundle)
    for _ in range(39):
        await house.ask()
    assert not house.made_of(1).closed
    await house.ask()
    await until(lambda: house.made_of(1).closed)
    assert house.states(1)[-1] is State.RETIRED
    house.made_of(2).misbehave = fails
    for _ in range(10):
        await asyncio.gather(house.ask(), return_exceptions=True)
    assert house.fleet.slot("echo").version == 2, "what breaks later is the operator's to decide"


async def test_a_rollback_on_probation_takes_the_version_that_is_at_hand(house: House, make_bundle: Any) -> None:
    await install(house, make_bundle)
    assert await house.fleet.rollback("echo") == 1
    assert await house.ask() == "one"
    assert len(house.made) == 2
    await until(lambda: house.made_of(2).closed)


async def test_requests_in_flight_survive_being_undone(house: House, make_bundle: Any) -> None:
    house.gate.clear()
    old = [asyncio.create_task(house.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    await install(house, make_bundle)
    new = [asyncio.create_task(house.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert await house.fleet.rollback("echo") == 1
    again = [asyncio.create_task(house.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    house.gate.set()
    assert await asyncio.gather(*old, *new, *again) == ["one"] * 3 + ["two"] * 3 + ["one"] * 3
    await until(lambda: house.made_of(2).closed)
    assert not house.made_of(1).closed


async def test_a_newer_version_that_is_under_way_is_told_why_it_does_not_come(house: House, make_bundle: Any) -> None:
    await install(house, make_bundle, 2)
    house.loading.clear()
    newest = asyncio.create_task(install(house, make_bundle, 3))
    await until(lambda: State.LOADING in house.states(3))
    house.made_of(2).misbehave = fails
    await asyncio.gather(*(house.ask() for _ in range(10)), return_exceptions=True)
    await until(lambda: house.fleet.slot("echo").version == 1)
    house.loading.set()
    with pytest.raises(FleetError, match="2 was undone meanwhile"):
        await newest
    assert await house.fleet.promote("echo", 3) is State.SERVING


async def test_of_many_versions_that_fail_one_stays_in_memory(house: House, make_bundle: Any) -> None:
    for version in range(2, 8):
        bundle = make_bundle(version=version, parameters={"says": "nonsense"}, golden=[GOLDEN])
        with pytest.raises(BundleError):
            await house.fleet.install(house.store.admit(bundle))
    held = [item for item in house.fleet._writer.instances.values() if item.state is State.FAILED]
    assert [item.version for item in held] == [7]
    assert [version.version for version in house.fleet.status("echo").versions] == list(range(1, 8))


async def test_a_change_that_breaks_is_told_to_whoever_waits_for_it(house: House) -> None:
    def breaks_down() -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(1):
            await house.fleet._writer.made(breaks_down)
    assert await house.ask() == "one"


# --- Policies and memory ---------------------------------------------------------------------------------------------


async def test_policies_and_pins_outlive_a_restart(house: House, tmp_path: Path) -> None:
    await house.fleet.set_policy("echo", CANARY)
    await house.fleet.pin("echo", True)
    known = Policies.open(tmp_path).of("echo")
    assert known == Policy(pinned=True, canary_share=0.5, canary_requests=20)
    await house.fleet.set_policy("echo", SHADOW)
    assert Policies.open(tmp_path).of("echo").pinned, "a policy of how versions come is none about memory"


@pytest.mark.parametrize(
    "policy",
    [
        Policy(canary_share=0.9, canary_requests=5),
        Policy(canary_share=0.1),
        Policy(shadow_requests=-1),
        Policy(margin=2.0),
    ],
)
async def test_a_policy_that_breaks_a_rule_changes_nothing(house: House, policy: Policy) -> None:
    with pytest.raises(QueryError) as caught:
        await house.fleet.set_policy("echo", policy)
    assert caught.value.reason == "BAD_POLICY"
    assert house.fleet.status("echo").policy == Policy()


def test_damaged_policies_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / "policies.json").write_text("{ torn")
    policies = Policies.open(tmp_path)
    assert policies.of("echo") == Policy()
    assert (tmp_path / "policies.damaged").read_text() == "{ torn"
    policies.put("echo", SHADOW)
    assert Policies.open(tmp_path).of("echo") == SHADOW


@pytest.fixture
async def small_house(tmp_path: Path) -> AsyncIterator[House]:
    """Room for three experts of 1 MB."""
    built = House(tmp_path, probation_requests=40, budget_bytes=3_500_000)
    await built.fleet.start([])
    yield built
    built.gate.set()
    await built.fleet.close()
    built.store.close()


async def fill(house: House, make_bundle: Any, *names: str) -> None:
    for name in names:
        await house.fleet.install(house.store.admit(make_bundle(name, parameters={"bytes": 1_000_000})))


async def test_the_least_recently_used_makes_room_and_is_loaded_again_when_asked(
    small_house: House, make_bundle: Any
) -> None:
    house = small_house
    await fill(house, make_bundle, "ant", "bee", "cat")
    for name in ("bee", "cat", "ant"):
        await house.ask(name)
        await asyncio.sleep(0.01)
    await fill(house, make_bundle, "dog")
    absence = house.fleet.slot("bee").absence
    assert absence is not None
    assert absence.reason == "UNLOADED"
    assert "to make room for dog" in str(absence)
    assert house.fleet.memory().experts_bytes <= 3_500_000
    answers = await asyncio.gather(*(house.ask("bee") for _ in range(5)))
    assert answers == ["hello"] * 5
    assert len([echo for echo in house.made if echo.name == "bee"]) == 2, "one load for all who wait"


async def test_busy_and_pinned_experts_stay_and_what_cannot_fit_is_told_what_would_have_to_go(
    small_house: House, make_bundle: Any
) -> None:
    house = small_house
    await fill(house, make_bundle, "ant", "bee", "cat")
    await house.fleet.pin("ant", True)
    await house.fleet.pin("bee", True)
    house.gate.clear()
    busy = asyncio.create_task(house.ask("cat"))
    await asyncio.sleep(0.01)
    with pytest.raises(UnavailableError) as caught:
        await fill(house, make_bundle, "dog")
    assert caught.value.reason == "NO_MEMORY"
    assert "unpin ant (1.0 MB), or wait until cat (1.0 MB) is idle" in str(caught.value)
    house.gate.set()
    assert await busy == "hello"


async def test_a_predecessor_at_hand_leaves_before_anybody_else(small_house: House, make_bundle: Any) -> None:
    house = small_house
    await fill(house, make_bundle, "ant", "bee")
    await house.fleet.install(house.store.admit(make_bundle("ant", 2, parameters={"bytes": 1_000_000})))
    assert not house.made_of(1, "ant").closed
    await fill(house, make_bundle, "cat")
    await until(lambda: house.made_of(1, "ant").closed)
    assert all(house.fleet.slot(name).absence is None for name in ("ant", "bee", "cat"))


async def test_pressure_unloads_large_idle_experts(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle("whale")))
    house.made_of(1, "whale").bytes = 100_000_000
    await house.fleet.shed(0.9)
    assert house.fleet.slot("whale").absence is not None
    assert house.fleet.slot("echo").absence is None, "a small one relieves nobody"
    assert await house.ask("whale") == "hello"
