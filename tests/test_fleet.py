"""The life cycle of versions, with the real store and loaders that the tests hold in their hands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from expertd.experts.errors import BundleError, FleetError, UnavailableError
from expertd.experts.plan import State
from expertd.experts.view import Retired
from tests.fleet_house import GOLDEN, House, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    built = House(tmp_path)
    await built.fleet.start([])
    yield built
    built.gate.set()
    built.loading.set()
    built.fitting.set()
    built.adapting.set()
    await built.fleet.close()
    built.store.close()


async def test_an_installed_version_serves_and_told_every_state_on_its_way(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(golden=[GOLDEN])))
    assert await house.ask() == "hello"
    assert house.states(1) == [State.ASPIRED, State.LOADING, State.WARMING, State.SERVING]
    assert house.store.current("echo") == 1


async def test_a_new_version_replaces_the_old_one_which_drains_and_retires(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1, parameters={"says": "one"})))
    house.gate.clear()
    slow = asyncio.create_task(house.ask())
    await asyncio.sleep(0.01)
    await house.fleet.install(house.store.admit(make_bundle(version=2, parameters={"says": "two"})))
    await asyncio.sleep(0.05)
    assert house.states(1)[-1] is State.DRAINING, "a leased version must not retire"
    house.gate.set()
    assert await slow == "one"
    assert await house.ask() == "two"
    await until(lambda: house.states(1)[-1] is State.RETIRED)
    assert house.made[0].closed
    assert not house.made[1].closed


async def test_a_version_whose_golden_examples_fail_never_serves(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1, golden=[GOLDEN])))
    bad = house.store.admit(make_bundle(version=2, parameters={"says": "nonsense"}, golden=[GOLDEN]))
    with pytest.raises(BundleError, match=r"golden\.jsonl line 1.*hello"):
        await house.fleet.install(bad)
    assert await house.ask() == "hello"
    assert State.SERVING not in house.states(2)
    assert house.store.current("echo") == 1
    assert 2 not in house.store.versions("echo"), "it is in quarantine"
    assert house.made[1].closed


async def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1)))
    with pytest.raises(UnavailableError, match="echo 2: loading failed: OSError: the weights are torn"):
        await house.fleet.install(house.store.admit(make_bundle(version=2, parameters={"breaks": True})))
    assert await house.ask() == "hello"
    assert house.states(2)[-1] is State.FAILED
    assert 2 in house.store.versions("echo"), "trouble of the machine is no reason for quarantine"


async def test_a_start_whose_index_cannot_be_built_comes_up_and_says_why(tmp_path: Path, make_bundle: Any) -> None:
    house = House(tmp_path)

    house.index_error = OSError("no space left on device")
    async with asyncio.timeout(5):
        await house.fleet.start([house.store.admit(make_bundle())])
    await until(lambda: "echo" in house.fleet.view.slots)
    absence = house.fleet.slot("echo").absence
    assert absence is not None
    assert "no space left" in str(absence)
    assert house.store.versions("echo") == (1,)
    await house.fleet.close()
    house.store.close()


async def test_a_first_version_that_fails_leaves_no_trace_in_the_view(house: House, make_bundle: Any) -> None:
    with pytest.raises(BundleError):
        await house.fleet.install(house.store.admit(make_bundle(parameters={"says": "nonsense"}, golden=[GOLDEN])))
    await until(lambda: "echo" not in house.fleet.view.slots)
    with pytest.raises(FleetError, match="no such expert"):
        house.fleet.slot("echo")


async def test_rollback_serves_the_version_before(house: House, make_bundle: Any) -> None:
    for version, says in ((1, "one"), (2, "two")):
        await house.fleet.install(house.store.admit(make_bundle(version=version, parameters={"says": says})))
    assert await house.fleet.rollback("echo") == 1
    assert await house.ask() == "one"
    assert house.store.current("echo") == 1


async def test_without_an_earlier_version_there_is_nothing_to_roll_back_to(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    with pytest.raises(FleetError) as caught:
        await house.fleet.rollback("echo")
    assert caught.value.reason == "NOTHING_TO_ROLL_BACK_TO"
    assert await house.ask() == "hello"


async def test_an_unknown_expert_is_named_with_the_nearest_one(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    with pytest.raises(FleetError, match="'ecko': no such expert; did you mean 'echo'"):
        house.fleet.slot("ecko")


async def test_an_expert_without_its_model_is_routable_and_serves_once_it_is_there(
    house: House, make_bundle: Any
) -> None:
    house.missing.add("echo")
    with pytest.raises(UnavailableError):
        await house.fleet.install(house.store.admit(make_bundle()))
    await until(lambda: "echo" in house.fleet.view.slots)
    assert house.fleet.view.index == ("echo 1",)
    with pytest.raises(UnavailableError) as caught:
        await house.fleet.present("echo")
    assert caught.value.reason == "NO_MODEL"
    house.missing.clear()
    await house.fleet.retry("echo")
    assert await house.ask() == "hello"


async def test_an_unloaded_expert_frees_its_memory_and_wakes_on_demand(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    await house.fleet.unload("echo")
    assert house.made[0].closed
    assert house.fleet.status("echo").resident_bytes == 0
    waiting = await asyncio.gather(*(house.fleet.present("echo") for _ in range(5)))
    assert all(slot.absence is None for slot in waiting)
    assert len(house.made) == 2, "one load for all who wait"
    assert await house.ask() == "hello"


async def test_a_pinned_expert_is_not_unloaded(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    await house.fleet.pin("echo", True)
    with pytest.raises(FleetError, match="pinned"):
        await house.fleet.unload("echo")


async def test_removing_an_expert_waits_for_its_leases(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    house.gate.clear()
    asking = asyncio.create_task(house.ask())
    await asyncio.sleep(0.01)
    removing = asyncio.create_task(house.fleet.remove("echo"))
    await asyncio.sleep(0.05)
    assert not removing.done()
    house.gate.set()
    assert await asking == "hello"
    await removing
    assert house.store.versions("echo") == ()
    assert "echo" not in house.fleet.view.slots


async def test_a_slot_of_a_retired_version_says_so(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1)))
    old = house.fleet.slot("echo")
    await house.fleet.install(house.store.admit(make_bundle(version=2)))
    await until(lambda: house.states(1)[-1] is State.RETIRED)
    with pytest.raises(Retired):
        async with old.lease():
            pass


async def test_of_two_orders_at_once_the_later_one_wins(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1, parameters={"says": "one"})))
    house.loading.clear()
    second = asyncio.create_task(
        house.fleet.install(house.store.admit(make_bundle(version=2, parameters={"says": "two"})))
    )
    await asyncio.sleep(0.01)
    third = asyncio.create_task(
        house.fleet.install(house.store.admit(make_bundle(version=3, parameters={"says": "three"})))
    )
    await asyncio.sleep(0.01)
    house.loading.set()
    with pytest.raises(FleetError, match="superseded"):
        await second
    await third
    assert await house.ask() == "three"


async def test_a_fleet_starts_with_what_served_before_and_examines_it_no_more(tmp_path: Path, make_bundle: Any) -> None:
    first = House(tmp_path)
    await first.fleet.start([first.store.admit(make_bundle(golden=[GOLDEN]))])
    assert await first.ask() == "hello"
    assert first.fleet.view.number >= 1
    assert first.store.current("echo") == 1
    await first.fleet.close()
    first.store.close()

    again = House(tmp_path)
    await again.fleet.start([again.store.bundle("echo", 1)])
    assert await again.ask() == "hello"
    assert State.WARMING not in again.states(1)
    await again.fleet.close()
    again.store.close()


async def test_a_damaged_current_version_falls_back_to_the_one_before(tmp_path: Path, make_bundle: Any) -> None:
    first = House(tmp_path)
    await first.fleet.start([])
    for version, says in ((1, "one"), (2, "two")):
        await first.fleet.install(first.store.admit(make_bundle(version=version, parameters={"says": says})))
    await first.fleet.close()
    first.store.close()
    weights = first.store.layout.version("echo", 2) / "intents.jsonl"
    weights.chmod(0o600)
    weights.write_text("{}")

    again = House(tmp_path)
    version = again.store.current("echo")
    assert version == 1
    await again.fleet.start([again.store.bundle("echo", version)])
    assert await again.ask() == "one"
    await again.fleet.close()
    again.store.close()


async def test_leases_under_swaps_are_never_answered_by_a_closed_version(house: House, make_bundle: Any) -> None:
    # As the daemon does: the callers below never let go of the interpreter, and the examination reads in a thread.
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    bundles = [make_bundle(version=version, parameters={"says": str(version)}) for version in range(1, 13)]
    await house.fleet.install(house.store.admit(bundles[0]))
    done = asyncio.Event()
    promoted = {"1"}

    async def caller() -> None:
        while not done.is_set():
            try:
                assert await house.ask() in promoted
            except Retired:
                continue
            await asyncio.sleep(0)

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    for bundle in bundles[1:]:
        promoted.add(bundle.name.partition("-")[2])
        await house.fleet.install(house.store.admit(bundle))
    done.set()
    await asyncio.gather(*callers)
    sys.setswitchinterval(before)
    assert await house.ask() == "12"


async def test_what_waits_for_its_model_is_still_examined_when_the_model_comes(house: House, make_bundle: Any) -> None:
    house.missing.add("echo")
    bundle = house.store.admit(make_bundle(parameters={"says": "nonsense"}, golden=[GOLDEN]))
    with pytest.raises(UnavailableError):
        await house.fleet.install(bundle)
    await until(lambda: "echo" in house.fleet.view.slots)
    house.missing.clear()
    with pytest.raises(BundleError, match="golden"):
        await house.fleet.retry("echo")
    assert State.SERVING not in house.states(1)


# --- Intents that are edited -----------------------------------------------------------------------------------------


async def test_an_edit_is_in_the_next_view_alone_and_the_slots_stay(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    before = house.fleet.view
    house.fitting.clear()
    assert await house.greet() == before.number + 1
    after = house.fleet.view
    assert (after.number, after.index) == (before.number + 1, ("echo 1", "echo/greet"))
    assert after.slots is before.slots
    assert before.index == ("echo 1",), "who took the view of before goes on with it"
    assert after.amended == {("echo", "greet")}
    assert house.fleet.slot("echo").intents == ("repeat", "greet")


async def test_a_fit_follows_an_edit_and_replaces_it(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    number = await house.greet()
    await until(lambda: house.fleet.view.number > number)
    assert house.fleet.view.number == number + 1
    assert house.fleet.view.index == ("echo 1", "echo/greet")
    assert house.fleet.view.amended == frozenset()


@pytest.fixture
async def patient_house(tmp_path: Path) -> AsyncIterator[House]:
    """Its fit waits long enough for what a test does meanwhile, however busy the machine."""
    built = House(tmp_path, refit_after_s=1.0)
    await built.fleet.start([])
    yield built
    await built.fleet.close()
    built.store.close()


async def test_an_installation_and_an_edit_are_followed_by_one_fit(patient_house: House, make_bundle: Any) -> None:
    house = patient_house
    await house.fleet.install(house.store.admit(make_bundle()))
    fits = house.fits
    await house.greet()
    await house.fleet.install(house.store.admit(make_bundle("other")))
    assert house.fleet.view.amended == {("echo", "greet"), ("other", "repeat")}
    await until(lambda: house.fleet.view.amended == frozenset())
    await asyncio.sleep(0.1)
    assert house.fits == fits + 1
    assert set(house.fleet.view.index) == {"echo 1", "echo/greet", "other 1"}


async def test_a_version_with_the_intents_of_the_one_before_needs_no_change_of_the_index(
    house: House, make_bundle: Any
) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1)))
    fits, adaptations, index = house.fits, house.adaptations, house.fleet.view.index
    house.fitting.clear()
    house.adapting.clear()
    async with asyncio.timeout(2):
        await house.fleet.install(house.store.admit(make_bundle(version=2)))
        await house.fleet.rollback("echo")
    assert (house.fits, house.adaptations) == (fits, adaptations)
    assert house.fleet.view.index is index


async def test_other_intents_are_routed_by_at_once_and_fitted_afterwards(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1)))
    house.fitting.clear()
    async with asyncio.timeout(2):
        await house.fleet.install(house.store.admit(make_bundle(version=2, sentences={"sing": ["sing this to me"]})))
    assert house.fleet.view.index == ("echo 2",)
    assert house.fleet.slot("echo").intents == ("sing",)
    assert house.fleet.view.amended == {("echo", "sing")}
    house.fitting.set()
    await until(lambda: house.fleet.view.amended == frozenset())


async def test_intents_that_cannot_be_learnt_leave_the_old_version_serving(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle(version=1)))
    house.adapt_error = OSError("no space left on device")
    with pytest.raises(UnavailableError, match="no space left"):
        await house.fleet.install(house.store.admit(make_bundle(version=2, sentences={"sing": ["sing this to me"]})))
    assert house.fleet.slot("echo").version == 1
    assert await house.ask() == "hello"


async def test_several_edits_are_followed_by_one_fit(patient_house: House, make_bundle: Any) -> None:
    house = patient_house
    await house.fleet.install(house.store.admit(make_bundle()))
    fits = house.fits
    numbers = [await house.greet(intent=f"greet-{number}") for number in range(5)]
    assert numbers == list(range(numbers[0], numbers[0] + 5)), "each in a view of its own, none skipped"
    await until(lambda: house.fleet.view.amended == frozenset())
    await asyncio.sleep(0.15)
    assert house.fits == fits + 1
    assert set(house.fleet.view.index) == {"echo 1", *(f"echo/greet-{number}" for number in range(5))}


async def test_an_edit_during_a_fit_is_seen_at_once_and_not_lost_by_it(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    house.fitting.clear()
    fits = house.fits
    await house.fleet.install(house.store.admit(make_bundle("other")))
    await until(lambda: house.fits > fits)
    async with asyncio.timeout(2):
        await house.greet()
    assert set(house.fleet.view.index) == {"echo 1", "other 1", "echo/greet"}, "it does not wait for the fit"
    house.fitting.set()
    await until(lambda: house.fleet.view.amended == {("echo", "greet")})
    assert set(house.fleet.view.index) == {"echo 1", "other 1", "echo/greet"}


async def test_an_expert_that_comes_or_goes_during_a_fit_is_in_the_index_as_it_should_be(
    house: House, make_bundle: Any
) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    await house.fleet.install(house.store.admit(make_bundle("leaving")))
    await until(lambda: house.fleet.view.amended == frozenset())
    house.fitting.clear()
    fits = house.fits
    await house.greet()
    await until(lambda: house.fits > fits)
    await house.fleet.remove("leaving")
    await house.fleet.install(house.store.admit(make_bundle("coming")))
    assert set(house.fleet.view.index) == {"echo 1", "echo/greet", "coming 1"}
    number = house.fleet.view.number
    house.fitting.set()
    await until(lambda: house.fleet.view.number > number)
    assert set(house.fleet.view.index) == {"echo 1", "echo/greet", "coming 1"}


async def test_an_edit_during_its_experts_new_version_is_not_lost(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    house.adapting.clear()
    other = {"repeat": ["say after me"], "sing": ["sing this to me"]}
    installing = asyncio.create_task(house.fleet.install(house.store.admit(make_bundle(version=2, sentences=other))))
    await until(lambda: house.adaptations > 0)
    greeting = asyncio.create_task(house.greet())
    await asyncio.sleep(0.02)
    house.adapting.set()
    await installing
    await greeting
    assert set(house.fleet.view.index) == {"echo 2", "echo/greet"}
    assert house.fleet.slot("echo").intents == ("repeat", "sing", "greet")
    await until(lambda: house.fleet.view.amended == frozenset())
    assert set(house.fleet.view.index) == {"echo 2", "echo/greet"}


async def test_a_fit_that_fails_leaves_the_edit_serving(
    house: House, make_bundle: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    house.index_error = OSError("no space left on device")
    number = await house.greet()
    await until(lambda: "could not be fitted anew" in caplog.text)
    await asyncio.sleep(0.05)
    assert house.fleet.view.number == number
    assert house.fleet.view.index == ("echo 1", "echo/greet")
    assert house.fleet.view.amended == {("echo", "greet")}
    assert await house.ask() == "hello"
    house.index_error = None
    await house.greet(intent="bid")
    await until(lambda: house.fleet.view.amended == frozenset())


async def test_an_edit_that_cannot_be_made_changes_nothing(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    before = house.fleet.view

    def broken(index: tuple[str, ...]) -> tuple[str, ...]:
        raise ValueError("as many rows as sentences are needed")

    with pytest.raises(ValueError, match="as many rows"):
        await house.fleet.amend("echo", ["greet"], broken)
    assert house.fleet.view is before
    await house.greet()


async def test_a_removed_expert_takes_its_edits_along(house: House, make_bundle: Any) -> None:
    bundle = house.store.admit(make_bundle())
    await house.fleet.install(bundle)
    await house.greet()
    await house.fleet.remove("echo")
    with pytest.raises(FleetError, match="no such expert"):
        await house.fleet.amend("echo", ["greet"], lambda index: (*index, "echo/greet"))
    assert house.edits.apply(bundle) == bundle.intents()
    assert house.fleet.view.index == ()


async def test_an_edit_while_its_expert_is_being_removed_brings_nothing_back(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    await house.fleet.install(house.store.admit(make_bundle("other")))
    house.adapting.clear()
    before = house.adaptations
    removing = asyncio.create_task(house.fleet.remove("echo"))
    await until(lambda: house.adaptations > before)
    greeting = asyncio.create_task(house.greet())
    await asyncio.sleep(0.02)
    house.adapting.set()
    await removing
    with pytest.raises(FleetError, match="no such expert"):
        await greeting
    assert house.fleet.view.index == ("other 1",), "no request may be sent to somebody who is gone"


async def test_an_absent_expert_is_edited_and_one_that_failed_gets_its_edits_when_it_serves(
    house: House, make_bundle: Any
) -> None:
    house.missing.add("echo")
    with pytest.raises(UnavailableError):
        await house.fleet.install(house.store.admit(make_bundle()))
    await until(lambda: "echo" in house.fleet.view.slots)
    await house.greet()
    assert house.fleet.view.index == ("echo 1", "echo/greet")
    with pytest.raises(UnavailableError, match="torn"):
        await house.fleet.install(house.store.admit(make_bundle("frail", parameters={"breaks": True})))
    await until(lambda: "frail" in house.fleet.view.slots)
    number = house.fleet.view.number
    assert await house.greet("frail") in {number, number + 1}
    assert not any(mark.startswith("frail") for mark in house.fleet.view.index), "it must not attract requests"


async def test_edits_serve_again_after_a_restart(tmp_path: Path, make_bundle: Any) -> None:
    for start in range(2):
        house = House(tmp_path)
        bundle = house.store.admit(make_bundle()) if start == 0 else house.store.bundle("echo", 1)
        await house.fleet.start([bundle])
        if start == 0:
            await house.greet()
        assert house.fleet.view.index == ("echo 1", "echo/greet")
        assert house.fleet.slot("echo").intents == ("repeat", "greet")
        await house.fleet.close()
        house.store.close()


async def test_edits_under_swaps_are_all_there_and_views_rise_by_one(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    done = asyncio.Event()
    seen: dict[int, tuple[str, ...]] = {}

    async def watcher() -> None:
        while not done.is_set():
            view = house.fleet.view
            assert seen.setdefault(view.number, view.index) == view.index
            await asyncio.sleep(0)

    async def editor() -> list[int]:
        return [await house.greet(intent=f"greet-{number}") for number in range(40)]

    watching, editing = asyncio.create_task(watcher()), asyncio.create_task(editor())
    for version in range(2, 9):
        await house.fleet.install(house.store.admit(make_bundle(version=version)))
    shown = await editing
    assert shown == sorted(set(shown))
    await until(lambda: house.fleet.view.amended == frozenset())
    done.set()
    await watching
    assert sorted(seen) == list(range(min(seen), max(seen) + 1))
    expected = {f"echo/greet-{number}" for number in range(40)}
    # Whose sentences the index knows matters, not which version brought the same ones.
    assert {mark for mark in house.fleet.view.index if "/" in mark} == expected
    assert sum(mark.startswith("echo ") for mark in house.fleet.view.index) == 1
    edits = [sum(mark.startswith("echo/") for mark in index) for _, index in sorted(seen.items())]
    assert edits == sorted(edits), "an edit that was seen is never unseen again"


async def test_an_edit_whose_caller_goes_is_made_all_the_same(house: House, make_bundle: Any) -> None:
    await house.fleet.install(house.store.admit(make_bundle()))
    house.adapting.clear()
    installing = asyncio.create_task(house.fleet.install(house.store.admit(make_bundle("other"))))
    await until(lambda: house.adaptations > 0)
    greeting = asyncio.create_task(house.greet())
    await asyncio.sleep(0)
    greeting.cancel()
    house.adapting.set()
    await installing
    await until(lambda: "echo/greet" in house.fleet.view.index)
    assert "other 1" in house.fleet.view.index
