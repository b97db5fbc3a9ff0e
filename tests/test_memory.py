"""Who leaves memory when room is needed, and what is said when nobody may."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.experts.errors import UnavailableError
from expertd.experts.memory import Resident, Shedding, default_budget, room_for, shed

MB = 1_000_000
NOW = 10_000.0


def resident(
    expert: str,
    megabytes: float,
    *,
    idle: bool = True,
    pinned: bool = False,
    age_s: float = 100.0,
    reload_s: float = 1.0,
) -> Resident:
    return Resident(expert, round(megabytes * MB), idle, pinned, NOW - age_s, reload_s)


@st.composite
def fleets(draw: st.DrawFn) -> list[Resident]:
    """Up to eight residents of different names: few enough to try every choice."""
    size = draw(st.integers(0, 8))
    return [
        Resident(
            expert=f"expert_{number}",
            bytes=draw(st.integers(0, 50)),
            idle=draw(st.booleans()),
            pinned=draw(st.sampled_from([False, False, False, True])),
            last_used=NOW - draw(st.floats(-1, 1000)),
            reload_s=draw(st.floats(0, 30)),
        )
        for number in range(size)
    ]


def held(residents: list[Resident]) -> int:
    return sum(item.bytes for item in residents)


def loss(residents: tuple[Resident, ...]) -> float:
    return sum(item.reload_s / max(NOW - item.last_used, 1.0) for item in residents)


@given(fleets(), st.integers(0, 100), st.integers(0, 300))
def test_room_is_made_by_idle_unpinned_ones_alone_and_by_no_more_than_it_takes(
    fleet: list[Resident], needed: int, budget: int
) -> None:
    movable = [item for item in fleet if item.idle and not item.pinned]
    try:
        leaving = room_for(needed, budget, fleet, NOW)
    except UnavailableError:
        assert held(fleet) - held(movable) + needed > budget, "refused though there was a way"
        return
    victims = [item for item in movable if item.expert in leaving]
    assert len(victims) == len(leaving), "somebody busy, pinned or unknown, or one twice"
    staying = held(fleet) - held(victims)
    assert staying + needed <= budget
    for victim in victims:
        assert staying + victim.bytes + needed > budget, f"{victim.expert} left for nothing"


@given(fleets(), st.integers(1, 100), st.integers(0, 300))
def test_no_more_than_twice_the_least_possible_is_lost(fleet: list[Resident], needed: int, budget: int) -> None:
    try:
        leaving = room_for(needed, budget, fleet, NOW)
    except UnavailableError:
        return
    movable = [item for item in fleet if item.idle and not item.pinned]
    least = min(
        loss(choice)
        for count in range(len(movable) + 1)
        for choice in itertools.combinations(movable, count)
        if held(fleet) - held(list(choice)) + needed <= budget
    )
    assert loss(tuple(item for item in fleet if item.expert in leaving)) <= 2 * least + 1e-9


@given(st.permutations(range(7)), st.integers(1, 7))
def test_among_equals_the_least_recently_used_leave_oldest_first(ages: list[int], count: int) -> None:
    fleet = [resident(f"expert_{age}", 10, age_s=10.0 + age) for age in ages]
    leaving = room_for(count * 10 * MB, 70 * MB, fleet, NOW)
    assert leaving == tuple(f"expert_{age}" for age in sorted(ages, reverse=True)[:count])


def refusal(needed: int, budget: int, fleet: list[Resident]) -> UnavailableError | None:
    try:
        room_for(needed, budget, fleet, NOW)
    except UnavailableError as error:
        return error
    return None


@given(fleets(), st.integers(0, 100), st.integers(0, 300))
def test_every_way_that_a_refusal_names_is_one(fleet: list[Resident], needed: int, budget: int) -> None:
    # In megabytes, so that what is to be raised is a whole number of them.
    large = [replace(item, bytes=item.bytes * MB) for item in fleet]
    error = refusal(needed * MB, budget * MB, large)
    if error is None:
        return
    assert error.reason == "NO_MEMORY"
    *ways, last = str(error).rpartition("; ")[2].split(", or ")
    for way in ways:
        named = [item for item in large if f"{item.expert} (" in way]
        assert all(item.pinned or not item.idle for item in named)
        for spared in [None, *named]:
            mended = [
                replace(item, idle=True, pinned=False) if item in named and item is not spared else item
                for item in large
            ]
            # All that are named are enough, and none of them is named for nothing.
            assert (refusal(needed * MB, budget * MB, mended) is None) == (spared is None)
    raised = int(last.removeprefix("raise [memory] budget_mb to "))
    assert refusal(needed * MB, raised * MB, large) is None
    assert refusal(needed * MB, (raised - 1) * MB, large) is not None


@given(fleets(), st.integers(0, 100), st.integers(0, 300))
def test_trying_again_helps_exactly_where_waiting_for_busy_ones_suffices(
    fleet: list[Resident], needed: int, budget: int
) -> None:
    error = refusal(needed, budget, fleet)
    if error is not None:
        assert error.retryable == (held([item for item in fleet if item.pinned]) + needed <= budget)


def test_whatever_fits_unloads_nobody() -> None:
    assert room_for(5 * MB, 100 * MB, [resident("chat", 95)], NOW) == ()


def test_old_and_cheap_to_load_again_leaves_before_old_and_expensive() -> None:
    fleet = [resident("slow", 50, reload_s=5), resident("quick", 50, reload_s=0.1)]
    assert room_for(10 * MB, 100 * MB, fleet, NOW) == ("quick",)


def test_long_unused_leaves_before_recently_used_even_if_it_takes_longer_to_load() -> None:
    fleet = [resident("slow", 50, reload_s=5, age_s=36_000), resident("quick", 50, reload_s=0.1, age_s=5)]
    assert room_for(10 * MB, 100 * MB, fleet, NOW) == ("slow",)


def test_where_loading_again_costs_nothing_the_oldest_leaves() -> None:
    fleet = [resident("new", 50, reload_s=0, age_s=20), resident("old", 40, reload_s=0, age_s=900)]
    assert room_for(10 * MB, 90 * MB, fleet, NOW) == ("old",)


def test_a_text_model_stays_when_a_small_one_makes_room_enough() -> None:
    # Per byte the text model is worth the less of the two.
    fleet = [resident("chat", 4000, reload_s=5), resident("spam", 10, reload_s=0.05)]
    assert room_for(8 * MB, 4010 * MB, fleet, NOW) == ("spam",)


def test_a_small_one_stays_when_the_big_one_must_leave_anyway() -> None:
    fleet = [resident("chat", 4000, reload_s=5), resident("spam", 10, reload_s=0.001)]
    assert room_for(3000 * MB, 4010 * MB, fleet, NOW) == ("chat",)


def test_the_present_version_stays_while_its_successor_is_loaded() -> None:
    fleet = [resident("chat", 60, age_s=3600), resident("title", 40, age_s=1)]
    assert room_for(30 * MB, 100 * MB, fleet, NOW, wanted="chat") == ("title",)
    with pytest.raises(UnavailableError, match=r"60 MB by its present version.*raise \[memory\] budget_mb to 110"):
        room_for(50 * MB, 100 * MB, fleet, NOW, wanted="chat")


def test_the_refusal_tells_what_is_needed_what_is_held_and_every_way_out() -> None:
    fleet = [
        resident("title", 1200, pinned=True),
        resident("chat", 800, idle=False),
        resident("notes", 3, idle=False),
        resident("spam", 200),
    ]
    with pytest.raises(UnavailableError) as caught:
        room_for(900 * MB, 2300 * MB, fleet, NOW, wanted="summarise")
    assert str(caught.value) == (
        "no room for summarise: it needs 900 MB; of the budget of 2.3 GB 2.2 GB are held, and unloading all that is "
        "idle and not pinned frees 200 MB; unpin title (1.2 GB), or wait until chat (800 MB) is idle, or raise "
        "[memory] budget_mb to 2903"
    )
    assert caught.value.retryable


def test_where_neither_unpinning_nor_waiting_suffices_alone_both_are_asked_for() -> None:
    fleet = [resident("title", 50, pinned=True), resident("chat", 50, idle=False)]
    with pytest.raises(
        UnavailableError, match=r"unpin title \(50 MB\) and wait until chat \(50 MB\) is idle"
    ) as caught:
        room_for(80 * MB, 100 * MB, fleet, NOW)
    assert not caught.value.retryable


def test_what_is_larger_than_the_budget_asks_for_a_larger_budget_alone() -> None:
    with pytest.raises(UnavailableError, match=r"frees 50 MB; raise .* to 300$") as caught:
        room_for(300 * MB, 200 * MB, [resident("chat", 50)], NOW)
    assert not caught.value.retryable


def test_a_lowered_budget_is_met_without_loading_anything() -> None:
    assert room_for(0, 50 * MB, [resident("old", 40, age_s=900), resident("new", 40, age_s=20)], NOW) == ("old",)


@given(fleets(), st.floats(-1, 1))
def test_pressure_unloads_idle_unpinned_ones_alone_and_more_of_them_as_it_rises(
    fleet: list[Resident], pressure: float
) -> None:
    rules = Shedding(worth_bytes=8)
    leaving = shed(pressure, fleet, NOW, rules)
    by_name = {item.expert: item for item in fleet}
    assert all(by_name[name].idle and not by_name[name].pinned and by_name[name].bytes >= 8 for name in leaving)
    assert [by_name[name].bytes for name in leaving] == sorted((by_name[name].bytes for name in leaving), reverse=True)
    assert set(leaving) <= set(shed(1.0, fleet, NOW, rules))


def test_mild_pressure_unloads_one_at_a_time_the_largest_that_rests() -> None:
    fleet = [resident("chat", 4000, age_s=2), resident("title", 900), resident("tone", 300), resident("spam", 2)]
    assert shed(0.05, fleet, NOW) == ()
    assert shed(0.2, fleet, NOW) == ("title",)


def test_severe_pressure_unloads_all_that_is_worth_it_even_what_was_just_used() -> None:
    fleet = [resident("title", 900), resident("chat", 4000, age_s=2), resident("tone", 300), resident("spam", 2)]
    assert shed(0.7, fleet, NOW) == ("chat", "title", "tone")


def test_unknown_pressure_unloads_nobody() -> None:
    assert shed(-1.0, [resident("chat", 4000)], NOW) == ()


def test_half_of_the_machine_is_the_budget() -> None:
    assert default_budget(16_000_000_001) == 8_000_000_000
