"""The forecast expert: the method, how far ahead a text asks for, and what is said."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import experts_forecast
from bench.forecast import seasonal_naive
from expertd.experts import golden
from expertd.experts.bundle import Golden, Manifest
from expertd.experts.errors import BundleError, QueryError
from expertd.experts.kinds.forecast import ForecastParameters, ForecastServable, load
from expertd.experts.kinds.series_request import find_horizon, typed_series
from expertd.experts.series import forecast, members
from expertd.experts.series.history import filled, find_seasons
from expertd.experts.values import Abstention, Answer, Forecast, Query, Series

BUNDLE = Path(__file__).parent.parent / "experts" / "bundles" / "forecast"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def wave(n: int, season: int = 24, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 100 + 10 * np.sin(2 * np.pi * np.arange(n) / season) + noise * random.normal(size=n)


def query(text: str, series: Series | None = None) -> Query:
    return Query(text=text, now=NOW, zone=ZoneInfo("Europe/Berlin"), series=series, rehearsal=True)


async def nothing(_: str) -> None:
    return None


async def ask(text: str, series: Series | None = None) -> Answer | Abstention:
    return await ForecastServable(ForecastParameters()).answer(query(text, series), nothing)


# --- The method ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -3.25, 1e300, 5e-324])
def test_a_constant_series_stays_exactly_what_it_was(value: float) -> None:
    result = forecast(np.full(40, value), 7)
    assert (result.quantiles == value).all()
    assert result.quantiles.shape == (9, 7)


def test_a_perfect_wave_goes_on_and_its_season_is_found() -> None:
    y = wave(264)
    result = forecast(y[:240], 24)
    assert result.season == 24
    assert np.abs(result.quantiles[4] - y[240:]).max() < 0.1


def test_a_straight_line_goes_on() -> None:
    result = forecast(3.0 * np.arange(60.0), 10, 1)
    assert np.abs(result.quantiles[4] - 3.0 * np.arange(60, 70)).max() < 1.0


def test_two_seasons_at_once_are_both_carried_on() -> None:
    at = np.arange(960)
    weekend = np.where(at // 24 % 7 >= 5, -30.0, 0.0)
    y = wave(960, noise=1.0) + weekend
    friday = 840
    result = forecast(y[:friday], 48)
    naive = np.abs(y[friday - 24 + np.arange(48) % 24] - y[friday : friday + 48]).mean()
    assert np.abs(result.quantiles[4] - y[friday : friday + 48]).mean() < naive / 10


def test_the_middle_band_holds_most_of_what_comes() -> None:
    inside = []
    for seed in range(20):
        y = wave(360, noise=3.0, seed=seed)
        result = forecast(y[:336], 24)
        inside.append(((result.quantiles[0] <= y[336:]) & (y[336:] <= result.quantiles[-1])).mean())
    assert 0.7 <= np.mean(inside) <= 0.9


def test_of_a_random_walk_it_knows_about_as_much_as_the_naive_forecast() -> None:
    levels = np.arange(1, 10)[:, None] / 10
    ours = naive = 0.0
    for seed in range(30):
        y = np.random.default_rng(seed).normal(size=212).cumsum()
        rest = y[200:] - forecast(y[:200], 12).quantiles
        ours += np.maximum(levels * rest, (levels - 1) * rest).sum()
        rest = y[200:] - seasonal_naive(y[:200], 12, 1)
        naive += np.maximum(levels * rest, (levels - 1) * rest).sum()
    assert ours < 1.1 * naive


def test_gaps_are_bridged_along_the_season() -> None:
    y = wave(288)
    holes = y.copy()
    holes[[0, 50, 51, 52, 53, 54, 55, 100, 200]] = np.nan
    result = forecast(holes[:264], 24)
    assert result.season == 24
    assert np.abs(result.quantiles[4] - y[264:]).max() < 1.5
    assert not np.isnan(filled(holes[1:], 24)).any()


def test_a_gap_at_the_end_is_forecast_over_and_not_counted_as_a_step() -> None:
    y = wave(288)
    late = y[:264].copy()
    late[-6:] = np.nan
    result = forecast(late, 24)
    assert result.quantiles.shape == (9, 24)
    assert np.abs(result.quantiles[4] - y[264:]).max() < 0.5


def test_counts_never_go_below_zero() -> None:
    counts = np.random.default_rng(3).poisson(0.4, 120).astype(float)
    assert forecast(counts, 24).quantiles.min() >= 0


def test_the_same_series_gives_the_same_forecast_in_any_unit() -> None:
    y = wave(200, noise=4.0)
    once, again = forecast(y, 24), forecast(y, 24)
    assert (once.quantiles == again.quantiles).all()
    assert np.allclose(forecast(y * 1e150, 24).quantiles, once.quantiles * 1e150, rtol=1e-6)


@pytest.mark.parametrize("n", [3, 4, 5, 7, 9, 12, 25, 49, 60, 73, 337, 400])
def test_any_length_from_three_points_is_forecast(n: int) -> None:
    result = forecast(wave(n, noise=2.0), 24)
    assert np.isfinite(result.quantiles).all()


def test_of_a_million_points_the_last_ones_count() -> None:
    y = np.zeros(1_000_000)
    y[-5_000:] = wave(5_000)
    result = forecast(y, 24, max_history=2_000)
    assert (result.quantiles == forecast(y[-2_000:], 24).quantiles).all()


@settings(max_examples=60, deadline=None)
@given(
    y=arrays(np.float64, st.integers(3, 60), elements=st.floats(allow_infinity=False, allow_nan=False)),
    horizon=st.integers(1, 30),
    season=st.sampled_from([None, 1, 4, 7, 12]),
)
def test_quantiles_are_finite_and_never_cross(y: np.ndarray, horizon: int, season: int | None) -> None:
    result = forecast(y, horizon, season, (0.02, 0.1, 0.5, 0.9, 0.98))
    assert result.quantiles.shape == (5, horizon)
    assert np.isfinite(result.quantiles).all()
    assert (result.quantiles[1:] >= result.quantiles[:-1]).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "SERIES_EMPTY"),
        ([1.0], "SERIES_TOO_SHORT"),
        ([1.0, 2.0], "SERIES_TOO_SHORT"),
        ([1.0, math.nan, 2.0], "SERIES_TOO_SHORT"),
        ([math.nan] * 9, "SERIES_ALL_GAPS"),
        ([1.0, math.inf, 2.0, 3.0], "SERIES_NOT_FINITE"),
    ],
)
def test_a_series_that_says_too_little_is_refused_with_the_rule(values: list[float], reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        forecast(np.array(values), 5)
    assert caught.value.reason == reason
    assert caught.value.field == "series"
    if reason == "SERIES_TOO_SHORT":
        assert "at least 3" in str(caught.value)


@pytest.mark.parametrize(("horizon", "reason"), [(0, "HORIZON_EMPTY"), (-1, "HORIZON_EMPTY"), (51, "HORIZON_TOO_LONG")])
def test_a_horizon_without_sense_is_refused(horizon: int, reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        forecast(np.arange(5.0), horizon)
    assert caught.value.reason == reason


# --- Its parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("season", [4, 7, 12, 24, 52])
def test_a_season_is_found_under_noise_and_trend(season: int) -> None:
    y = wave(8 * season + 3, season, noise=3.0) + 0.2 * np.arange(8 * season + 3)
    assert find_seasons(y)[:1] == (season,)


def test_no_season_is_seen_in_noise_or_in_a_random_walk() -> None:
    random = np.random.default_rng(5)
    noise = sum(bool(find_seasons(random.normal(size=150))) for _ in range(60))
    walks = sum(bool(find_seasons(random.normal(size=150).cumsum())) for _ in range(60))
    assert noise <= 9
    assert walks <= 9


def test_the_step_of_a_series_suggests_its_seasons() -> None:
    y = wave(900, noise=2.0)
    assert find_seasons(y, HOUR) == (24, 168)
    assert find_seasons(wave(60, 12, noise=2.0), timedelta(days=30)) == (12,)


def test_a_member_knows_nothing_after_its_origin() -> None:
    y = wave(500, noise=2.0)
    origins = np.array([420, 444, 468])
    changed = y.copy()
    changed[420:] = -1000.0
    for run in (
        lambda z: members.seasonal_naive(z, origins, 24, 24),
        lambda z: members.autoregression(z, origins, 24, {1, 2, 24}, prior={24: 1.0}, shrinkage=0.01),
        lambda z: members.autoregression(z, origins, 24, {1, 2, 24}, prior={24: 1}, shrinkage=0.01, half_life=60.0),
        lambda z: members.profile(z, origins, 24, (24, 168), half_life=6.0),
        lambda z: members.analogues(z, origins, 24, 24),
        lambda z: members.smoothing(z, origins, 24, 24),
        lambda z: members.theta(z, origins, 24, 24),
    ):
        assert np.allclose(run(y)[0], run(changed)[0], rtol=1e-3)


def test_an_autoregression_learns_its_own_process() -> None:
    random = np.random.default_rng(1)
    y = np.zeros(600)
    for k in range(1, 600):
        y[k] = 0.8 * y[k - 1] + random.normal()
    y[-1] = 10.0
    path = members.autoregression(y, np.array([600]), 3, {1}, prior={1: 1.0}, shrinkage=0.001)[0]
    assert np.allclose(path, [8.0, 6.4, 5.1], atol=1.2)


# --- How far ahead ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("forecast the next 24 hours", 24),
        ("next 24h please", 24),
        ("predict next week", 168),
        ("the coming two days", 48),
        ("Forecast the next twenty-four hours.", 24),
        ("a fortnight ahead", 336),
        ("12 steps", 12),
        ("give me the next 10 values", 10),
        ("next 7", 7),
        ("a couple of days", 48),
        ("half an hour", 1),
        ("the next hour", 1),
        ("from the last 30 days predict the next 3 hours", 3),
        ("what comes next", None),
        ("1,000 steps", 1000),
        ("9,000 values from 1 2 3 4", 9000),
        ("forecast 12 14 13 15 three ahead", 3),
        ("Predict the next couple of days", 48),
        ("PREDICT THE NEXT 5 POINTS", 5),
        ("naechste 24 Stunden", None),
    ],
)
def test_the_text_says_how_far_ahead(text: str, steps: int | None) -> None:
    series = Series(wave(240), step=HOUR)
    assert find_horizon(query(text), series) == steps


@pytest.mark.parametrize(
    ("text", "steps"), [("next 24 hours", 24), ("next two weeks", 2), ("next week", None), ("tomorrow", None)]
)
def test_without_a_step_amounts_count_as_steps(text: str, steps: int | None) -> None:
    assert find_horizon(query(text), Series(wave(240))) == steps


def test_tomorrow_reaches_to_its_midnight() -> None:
    # The series ends at 10:00 in Berlin; tomorrow ends 38 hours later.
    series = Series(wave(240), start=NOW - 240 * HOUR, step=HOUR)
    assert find_horizon(query("what will tomorrow be like"), series) == 38
    old = Series(wave(240), start=NOW - 2400 * HOUR, step=HOUR)
    assert find_horizon(query("what will tomorrow be like"), old) == 24


def test_too_far_ahead_is_refused() -> None:
    with pytest.raises(QueryError, match="10,000") as caught:
        find_horizon(query("the next 50 years"), Series(wave(240), step=HOUR))
    assert caught.value.reason == "HORIZON_TOO_LONG"


@pytest.mark.parametrize("piece", ["1,", "1h ", "1 ", "1-", "next ", "one hundred ", "1.", "1 ,; ", "\t"])
def test_a_long_hostile_text_is_read_at_once(piece: str) -> None:
    text = (piece * 33_000)[:32_768]
    typed_series(text)
    find_horizon(query(text), Series(wave(240), step=HOUR))


def test_any_time_above_nothing_is_a_step_at_least() -> None:
    assert find_horizon(query("the next 5 seconds"), Series(wave(240), step=HOUR)) == 1
    assert find_horizon(query("the next 0 hours"), Series(wave(240), step=HOUR)) == 0


def test_numbers_may_be_typed() -> None:
    series = typed_series("predict 2 more of 1, 2.5, -3, 4")
    assert series is not None
    assert series.values.tolist() == [1, 2.5, -3, 4]
    assert typed_series("forecast the next 24 hours") is None
    assert typed_series("forecast the next 1,000,000 hours") is None
    listed = typed_series("3,5,7,9")
    assert listed is not None
    assert listed.values.tolist() == [3, 5, 7, 9]


# --- The servable ----------------------------------------------------------------------------------------------------


async def test_the_answer_says_range_peak_and_season() -> None:
    start = NOW - 240 * HOUR
    answer = await ask("forecast the next 24 hours", Series(wave(240), start, HOUR))
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Forecast)
    assert answer.result.start == NOW
    assert answer.result.step == HOUR
    assert answer.text.startswith("Next 24 hours: between ")
    assert "season of 24 found" in answer.text
    # 240 hours are ten whole waves: the peak is a quarter wave after 10:00 in Berlin.
    assert "around 16:00" in answer.text


async def test_without_a_series_it_asks_for_one() -> None:
    outcome = await ask("forecast the next 24 hours")
    assert isinstance(outcome, Abstention)
    assert outcome.code == "needs_input"
    assert "--series" in outcome.reason


async def test_without_a_horizon_one_season_is_forecast() -> None:
    answer = await ask("what comes next", Series(wave(100, 7, noise=0.5)))
    assert isinstance(answer, Answer)
    assert answer.to_json()["season"] == 7
    assert len(answer.to_json()["quantiles"][0]) == 7
    plain = await ask("what comes next", Series(np.random.default_rng(0).normal(size=50)))
    assert isinstance(plain, Answer)
    assert len(plain.to_json()["quantiles"][0]) == 24


async def test_levels_without_a_half_still_have_a_middle() -> None:
    servable = ForecastServable(ForecastParameters(levels=(0.05, 0.4, 0.95)))
    answer = await servable.answer(query("next step", Series(wave(100, noise=1.0))), nothing)
    assert isinstance(answer, Answer)
    assert "(90 %)" in answer.text


async def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(QueryError) as caught:
        await ask("forecast", Series(wave(50), step=timedelta(0)))
    assert caught.value.reason == "STEP_NOT_POSITIVE"


async def test_the_largest_numbers_and_times_are_said_without_overflow() -> None:
    far = datetime(9999, 12, 31, tzinfo=UTC)
    answer = await ask("next 5 steps", Series(np.array([1.7e308, -1.7e308, 1e308, 5.0]), far, timedelta(days=400)))
    assert isinstance(answer, Answer)
    assert "inf" not in answer.text
    assert "nan" not in answer.text


async def test_the_event_loop_goes_on_meanwhile() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await ask("next 500 steps", Series(wave(4000, noise=1.0)))
    ticking.cancel()
    assert ticks > 3


@pytest.mark.parametrize("parameters", [{"levels": [0.5]}, {"levels": [0.9, 0.1]}, {"max_history": 1}, {"other": 1}])
async def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, object]) -> None:
    class Sealed:
        manifest = Manifest(
            name="forecast",
            version=1,
            kind="forecast",
            summary="a",
            licence="Apache-2.0",
            resources={"memory_mb": 1, "latency_ms": 1},  # type: ignore[arg-type]
            parameters=parameters,
        )

    with pytest.raises(BundleError):
        await load(Sealed(), None)  # type: ignore[arg-type]


async def test_the_shipped_golden_examples_hold() -> None:
    servable = ForecastServable(ForecastParameters())
    for line in (BUNDLE / "golden.jsonl").read_text("utf-8").splitlines():
        row = msgspec.json.decode(line, type=Golden)
        outcome: Answer | Abstention | Exception
        try:
            outcome = await servable.answer(golden.to_query(row), nothing)
        except QueryError as error:
            outcome = error
        assert golden.check(outcome, row.expect) is None


# --- The bench --------------------------------------------------------------------------------------------------------


def test_anyones_series_are_scored_beside_the_seasonal_naive_forecast(tmp_path: Path) -> None:
    rows = [
        {"id": "wave", "train": wave(96).tolist(), "test": wave(120)[96:].tolist(), "period": 24},
        {"id": "short", "train": [3, 4, 5], "test": [6, 7]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parser = argparse.ArgumentParser()
    experts_forecast.add(parser.add_subparsers())
    chosen = parser.parse_args(["forecast", "--data", str(tmp_path / "rows.jsonl"), "--no-peers"])
    found = chosen.run(chosen)
    assert chosen.name == "forecast"
    assert found["series"] == 2
    for method in ("expertd", "seasonal naive"):
        assert set(found[method]) >= {"smape", "mase", "wql", "coverage_80"}
        assert np.isfinite(list(found[method].values())).all()
