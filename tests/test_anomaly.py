"""The expert that finds what is odd in a series: what it flags, what it leaves alone, and what it must not know."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.experts_anomaly import PROFILES, Labelled, Profile, read, sweep
from expertd.experts.errors import BundleError, QueryError
from expertd.experts.kinds.forecast import AnomalyParameters, AnomalyServable, SeriesServable, load
from expertd.experts.series import find_anomalies
from expertd.experts.values import Abstention, Answer, Document, Query, Series, Structured
from tests.listeners import ignore
from tests.outcomes import abstention_code
from tests.series_experts import check_golden_examples, each_refused_series

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def wave(n: int, season: int = 24) -> np.ndarray:
    return 10 * np.sin(2 * np.pi * np.arange(n) / season)


def query(text: str, series: Series | None = None, document: str | None = None) -> Query:
    return Query(
        text=text,
        now=NOW,
        zone=ZoneInfo("Europe/Berlin"),
        series=series,
        document=None if document is None else Document(document),
        rehearsal=True,
    )


async def ask(text: str, series: Series | None = None, document: str | None = None) -> Answer | Abstention:
    return await AnomalyServable(AnomalyParameters()).answer(query(text, series, document), ignore)


# --- The method ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    y=arrays(np.float64, st.integers(3, 150), elements=st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 5.0])),
    share=st.floats(0.1, 1.0),
)
def test_a_score_knows_nothing_of_what_comes_after(y: np.ndarray, share: float) -> None:
    part = max(3, int(share * y.size))
    assert (find_anomalies(y[:part]).scores == find_anomalies(y).scores[:part]).all()


def test_a_long_series_scores_as_its_beginning_did() -> None:
    y = noise(1500) + wave(1500)
    whole = find_anomalies(y).scores
    for part in (65, 100, 449, 1000):
        assert (find_anomalies(y[:part]).scores == whole[:part]).all()


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(3, 120), elements=st.floats(allow_infinity=False, allow_nan=False)))
def test_scores_are_shares_whatever_the_numbers(y: np.ndarray) -> None:
    found = find_anomalies(y)
    assert found.scores.shape == y.shape
    assert ((found.scores >= 0) & (found.scores < 1)).all()
    assert np.isfinite(found.expected).all()
    assert found.places == tuple(np.flatnonzero(found.scores >= found.threshold))


@pytest.mark.parametrize("n", [20, 100, 1000, 3000])
def test_a_spike_is_found_in_noise(n: int) -> None:
    y = noise(n)
    y[n // 2] += 20
    assert n // 2 in find_anomalies(y).places


def test_a_spike_is_found_though_an_alarm_came_shortly_before() -> None:
    y = noise(2000)
    y[1500] += 12
    y[1510] += 60
    assert {1500, 1510} <= set(find_anomalies(y).places)


def test_one_long_event_is_one_alarm() -> None:
    y = noise(2000)
    y[1500:1600] += 25
    assert len([at for at in find_anomalies(y).places if 1500 <= at < 1600]) == 1


def test_what_breaks_the_rhythm_is_found_though_no_value_is_new() -> None:
    y = wave(1500) + 0.2 * noise(1500)
    y[1037:1049] = y[1037] + 0.2 * noise(12, 3)
    assert any(1037 <= at < 1061 for at in find_anomalies(y).places)


def test_noise_and_waves_raise_few_alarms() -> None:
    alarms = points = 0
    for seed in range(5):
        for y in (noise(2000, seed), noise(2000, seed) + wave(2000)):
            alarms += len(find_anomalies(y).places)
            points += y.size
    assert alarms <= points / 500


def test_what_often_happens_is_not_odd() -> None:
    y = noise(2000)
    y[::20] += 15
    late = [at for at in find_anomalies(y).places if at > 500]
    assert len(late) <= 3


@pytest.mark.parametrize("value", [0.0, -3.25, 1e300, 5e-324])
def test_a_constant_series_has_nothing_odd(value: float) -> None:
    found = find_anomalies(np.full(300, value))
    assert found.places == ()
    assert (found.scores == 0).all()


def test_gaps_are_passed_over() -> None:
    y = noise(300)
    y[200] += 20
    holes = y.copy()
    holes[[0, 1, 50, 51, 199, 299]] = math.nan
    found = find_anomalies(holes)
    assert 200 in found.places
    assert (found.scores[np.isnan(holes)] == 0).all()
    assert np.isnan(found.expected[np.isnan(holes)]).all()


def test_the_unit_does_not_matter() -> None:
    y = noise(400)
    y[300] += 15
    once, again = find_anomalies(y), find_anomalies(y * 2.0**500)
    assert (once.scores == again.scores).all()
    assert find_anomalies(y * 1e-300).places == once.places


@each_refused_series
def test_a_series_that_breaks_a_rule_is_refused_with_it(values: list[float], reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        find_anomalies(np.array(values))
    assert caught.value.reason == reason
    assert caught.value.field == "series"


# --- The servable ----------------------------------------------------------------------------------------------------


async def test_the_answer_names_value_time_and_what_was_expected() -> None:
    y = wave(240) + 0.1 * noise(240)
    y[200] = 60.0
    start = datetime(2026, 3, 1, tzinfo=UTC)
    answer = await ask("was there a spike", Series(y, start, timedelta(hours=1)))
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Structured)
    told = answer.to_json()["data"]
    (one,) = [anomaly for anomaly in told["anomalies"] if anomaly["index"] == 200]
    assert one["time"] == "2026-03-09T09:00:00+01:00"
    assert one["value"] == 60.0
    assert abs(one["expected"]) < 20
    assert one["score"] >= told["threshold"]
    assert len(told["scores"]) == 240
    assert "around 09:00 on Mon 9 March" in answer.text


async def test_numbers_may_be_typed_or_lie_in_a_document() -> None:
    typed = await ask("which one is off: 12, 13, 12, 14, 95, 13, 12")
    written = await ask("any outliers in this file", document="12\n13\n12\n14\n95\n13\n12\n")
    assert isinstance(typed, Answer)
    assert isinstance(written, Answer)
    assert "95 at point 5" in typed.text
    assert typed.result == written.result


async def test_the_last_value_is_judged_where_it_is_asked_about() -> None:
    y = noise(100)
    y[-1] = 30.0
    odd = await ask("how unusual is the last reading", Series(y))
    plain = await ask("is the latest value normal", Series(noise(100)))
    assert isinstance(odd, Answer)
    assert isinstance(plain, Answer)
    assert "is odd" in odd.text
    assert "is ordinary" in plain.text


async def test_without_a_series_it_asks_for_one() -> None:
    for text in ("spot outliers", "", "!" * 30_000, "ist hier etwas ungewöhnlich?", "1, 2"):
        assert abstention_code(await ask(text)) == "needs_input"


async def test_the_largest_numbers_and_times_are_said_without_overflow() -> None:
    y = np.array([1.7e308, -1.7e308] * 20 + [1e308])
    answer = await ask("any outliers", Series(y, datetime(9999, 12, 31, tzinfo=UTC), timedelta(days=400)))
    assert isinstance(answer, Answer)
    assert "inf" not in answer.text
    assert "nan" not in answer.text


async def test_the_task_is_chosen_by_the_parameters() -> None:
    class Sealed:
        def __init__(self, parameters: dict[str, object]) -> None:
            self.manifest = type("Manifest", (), {"parameters": parameters})

    async def loaded(**parameters: object) -> SeriesServable:
        return await load(Sealed(parameters), None)  # type: ignore[arg-type]

    assert isinstance(await loaded(task="anomaly", threshold=0.9), AnomalyServable)
    for wrong in ({"task": "anomaly", "threshold": 1.5}, {"task": "anomaly", "levels": [0.1, 0.9]}, {"task": "other"}):
        with pytest.raises(BundleError):
            await loaded(**wrong)


async def test_the_shipped_golden_examples_hold() -> None:
    await check_golden_examples("anomaly")


# --- NAB's score -----------------------------------------------------------------------------------------------------


def labelled(n: int, *windows: tuple[int, int]) -> Labelled:
    return Labelled("series", np.zeros(n), windows)


def alarms(n: int, *places: int) -> np.ndarray:
    scores = np.zeros(n)
    scores[list(places)] = 1.0
    return scores


def test_silence_is_worth_nothing_and_the_first_point_of_every_window_all() -> None:
    corpus = [labelled(1000, (400, 499), (800, 899)), labelled(500)]
    for profile in PROFILES.values():
        assert sweep(corpus, [np.full(1000, 0.5), np.full(500, 0.5)], profile).at(0.9) == 0
        assert sweep(corpus, [alarms(1000, 400, 800), alarms(500)], profile).at(0.9) == pytest.approx(100)


def test_the_first_alarm_in_a_window_counts_once_and_the_earlier_the_more() -> None:
    def worth(*places: int) -> float:
        return sweep([labelled(1000, (400, 499))], [alarms(1000, *places)], Profile()).at(0.9)

    assert worth(400) > worth(440) > worth(490) > 0
    assert worth(440, 441, 490) == pytest.approx(worth(440))


def test_false_alarms_cost_by_their_weight_and_less_right_after_a_window() -> None:
    def worth(place: int, profile: str) -> float:
        return sweep([labelled(1000, (400, 499))], [alarms(1000, 400, place)], PROFILES[profile]).at(0.9)

    # A window is worth 2 (a hit instead of a miss): 0.11 of that is 5.5 points.
    assert worth(900, "standard") == pytest.approx(100 - 5.5)
    assert worth(900, "low FP") == pytest.approx(100 - 11)
    assert worth(505, "standard") > worth(900, "standard")
    assert worth(100, "standard") == pytest.approx(100)  # still on probation


def test_both_layouts_of_the_data_are_read_alike(tmp_path: Path) -> None:
    times = [f"2026-01-01 00:{minute:02}:00" for minute in range(20)]
    windows = json.dumps({"kind/one.csv": [[f"{times[5]}.000000", f"{times[8]}.000000"]]})
    lines, tables = tmp_path / "lines", tmp_path / "tables"
    lines.mkdir()
    (lines / "combined_windows.json").write_text(windows)
    row = {"file": "kind/one.csv", "timestamps": times, "values": list(range(20))}
    (lines / "series.jsonl").write_text(json.dumps(row) + "\n")
    (tables / "data" / "kind").mkdir(parents=True)
    (tables / "labels").mkdir()
    (tables / "labels" / "combined_windows.json").write_text(windows)
    cells = "".join(f"{time},{value}\n" for value, time in enumerate(times))
    (tables / "data" / "kind" / "one.csv").write_text(f"timestamp,value\n{cells}")
    for folder in (lines, tables):
        (series,) = read(folder)
        assert (series.name, series.windows) == ("kind/one.csv", ((5, 8),))
        assert series.values.tolist() == list(range(20))
    with pytest.raises(OSError, match="combined_windows"):
        read(tmp_path / "nothing")


def test_the_threshold_is_the_best_for_the_whole_corpus() -> None:
    corpus = [labelled(1000, (400, 499)), labelled(1000)]
    scores = [alarms(1000, 400) * 0.7, alarms(1000, 600) * 0.6]
    assert sweep(corpus, scores, Profile()).best() == (pytest.approx(100), 0.7)
