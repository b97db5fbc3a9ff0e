"""The expert that finds lasting changes: of level, trend and spread, and none where nothing changes."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.experts_changepoint import hits
from bench.experts_changepoint import series as made
from expertd.experts.errors import QueryError
from expertd.experts.kinds.forecast import ChangepointServable
from expertd.experts.series import find_changes
from expertd.experts.values import Abstention, Answer, Query, Series
from tests.listeners import ignore
from tests.outcomes import abstention_code
from tests.series_experts import check_golden_examples, each_refused_series

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def noise(n: int, seed: int = 0, memory: float = 0.0) -> np.ndarray:
    shocks = np.random.default_rng(seed).normal(size=n)
    for at in range(1, n):
        shocks[at] += memory * shocks[at - 1]
    return shocks


async def ask(text: str, series: Series | None = None) -> Answer | Abstention:
    asked = Query(text=text, now=NOW, zone=ZoneInfo("UTC"), series=series, rehearsal=True)
    return await ChangepointServable().answer(asked, ignore)


# --- The method ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [60, 300, 3000])
def test_a_step_is_found_with_the_levels_at_either_side(n: int) -> None:
    y = noise(n) + np.where(np.arange(n) < n // 3, 5.0, 15.0)
    (change,) = find_changes(y)
    assert change.kind == "level"
    assert abs(change.index - n // 3) <= 1
    assert change.before == pytest.approx(5, abs=1)
    assert change.after == pytest.approx(15, abs=1)
    assert change.score > 0.99


def test_a_bend_is_a_change_of_trend_with_both_slopes() -> None:
    at = np.arange(300)
    (change,) = find_changes(noise(300) + 0.1 * at - 0.5 * np.maximum(at - 180, 0))
    assert change.kind == "trend"
    assert abs(change.index - 180) <= 6
    assert change.before == pytest.approx(0.1, abs=0.03)
    assert change.after == pytest.approx(-0.4, abs=0.03)


def test_a_line_is_no_change_and_a_step_on_it_is_one_of_level() -> None:
    line = noise(300) + 0.1 * np.arange(300)
    assert find_changes(line) == ()
    (change,) = find_changes(line + np.where(np.arange(300) < 120, 0.0, 8.0))
    assert (change.kind, abs(change.index - 120) <= 1) == ("level", True)


def test_louder_noise_is_a_change_of_spread() -> None:
    y = 50 + noise(400) * np.where(np.arange(400) < 250, 1.0, 5.0)
    (change,) = find_changes(y)
    assert change.kind == "variance"
    assert abs(change.index - 250) <= 8
    assert change.before == pytest.approx(1, abs=0.4)
    assert change.after == pytest.approx(5, abs=1.5)


def test_a_season_hides_no_step_and_is_none() -> None:
    wave = 8 * np.sin(2 * np.pi * np.arange(360) / 24) + noise(360)
    assert find_changes(wave) == ()
    (change,) = find_changes(wave + np.where(np.arange(360) < 200, 0.0, 6.0))
    assert abs(change.index - 200) <= 2


def test_single_spikes_are_no_changes() -> None:
    y = noise(300)
    y[[50, 51, 150, 250]] += 40
    assert find_changes(y) == ()


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_noise_rarely_looks_like_a_change_even_where_it_remembers(memory: float) -> None:
    assert sum(len(find_changes(noise(400, seed, memory))) for seed in range(12)) <= 1


def test_steps_under_noise_that_remembers_are_found() -> None:
    rows = made("level, AR 0.5", 12, seed=3)
    found = [[change.index for change in find_changes(row.values)] for row in rows]
    right = sum(hits(places, row.changes) for places, row in zip(found, rows, strict=True))
    assert right >= 0.8 * sum(len(row.changes) for row in rows)


def test_a_step_is_found_among_100_000_points_to_the_point() -> None:
    y = noise(100_000)
    y[40_123:] += 3
    (change,) = find_changes(y)
    assert abs(change.index - 40_123) <= 2


def test_gaps_are_bridged_and_counted() -> None:
    y = noise(200) + np.where(np.arange(200) < 120, 0.0, 9.0)
    y[[0, 1, 2, 30, 31, 119, 199]] = math.nan
    (change,) = find_changes(y)
    assert abs(change.index - 120) <= 1


def test_the_unit_does_not_matter() -> None:
    y = noise(200) + np.where(np.arange(200) < 120, 0.0, 9.0)
    (plain,), (huge,), (tiny,) = find_changes(y), find_changes(y * 1e300), find_changes(y * 1e-300)
    assert plain.index == huge.index == tiny.index
    assert huge.after == pytest.approx(plain.after * 1e300)


@pytest.mark.parametrize(
    "y",
    [[1, 2, 3], [7.5] * 50, [0.0] * 5, [1e308, -1e308, 1e308], [5e-324] * 9, [1, 1, 1, 1, 1, 9, 1, 1, 1, 1]],
)
def test_too_little_to_tell_is_no_change(y: list[float]) -> None:
    assert find_changes(np.array(y, float)) == ()


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(3, 120), elements=st.floats(allow_infinity=False, allow_nan=False)))
def test_changes_lie_inside_in_order_and_are_finite(y: np.ndarray) -> None:
    changes = find_changes(y)
    places = [change.index for change in changes]
    assert places == sorted(set(places))
    assert all(0 < place < y.size for place in places)
    assert all(np.isfinite([change.before, change.after]).all() and 0.5 <= change.score <= 1 for change in changes)


@each_refused_series
def test_a_series_that_breaks_a_rule_is_refused_with_it(values: list[float], reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        find_changes(np.array(values))
    assert caught.value.reason == reason


# --- The servable ----------------------------------------------------------------------------------------------------


async def test_the_answer_says_what_changed_and_when() -> None:
    y = noise(100) + np.where(np.arange(100) < 60, 20.0, 40.0)
    answer = await ask("since when is it higher", Series(y, datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)))
    assert isinstance(answer, Answer)
    (change,) = answer.to_json()["data"]["changes"]
    assert change["index"] == 60
    assert change["kind"] == "level"
    assert change["time"] == "2026-03-02T00:00:00+00:00"
    assert answer.text.startswith("1 change in 100 points: the level went from ")
    assert answer.text.endswith("on Mon 2 March.")


async def test_no_change_is_said_as_such() -> None:
    answer = await ask("did it change", Series(noise(100)))
    assert isinstance(answer, Answer)
    assert answer.text == "No lasting change in 100 points."
    assert answer.to_json()["data"] == {"changes": []}


async def test_numbers_may_be_typed() -> None:
    answer = await ask("where does 5 6 5 5 6 12 12 11 12 12 change")
    assert isinstance(answer, Answer)
    assert "from 5.4 to 11.8 at point 6" in answer.text


async def test_without_a_series_it_asks_for_one() -> None:
    for text in ("when did it change", "", "7" * 30_000, "wann hat sich das geändert"):
        assert abstention_code(await ask(text)) == "needs_input"


async def test_the_shipped_golden_examples_hold() -> None:
    await check_golden_examples("changepoint")


# --- The bench's judge ------------------------------------------------------------------------------------------------


def test_a_found_change_counts_once_and_only_near_a_true_one() -> None:
    assert hits([100, 103], [101]) == 1
    assert hits([100], [98, 103]) == 1
    assert hits([90, 200], [100, 206]) == 0
    assert hits([], [5]) == 0
    assert [row.changes for row in made("level", 3)] == [row.changes for row in made("level", 3)]
