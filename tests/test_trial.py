"""Whether a version on trial is worse: the rules alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from expertd.experts.plan import State
from expertd.experts.trial import CHANCE, Tally, Trial, alike, unlikely
from expertd.experts.values import Abstention, Action, Answer, Forecast, Label, Text


def baseline(requests: int = 100, errors: int = 0, abstentions: int = 0, took_s: float = 0.001) -> Tally:
    tally = Tally()
    for number in range(requests):
        tally.note(took_s, failed=number < errors, abstained=errors <= number < errors + abstentions)
    return tally


def trial(stage: State = State.CANARY, needed: int = 50, base: Tally | None = None, **more: float) -> Trial:
    return Trial(stage, needed, base or baseline(), **more)  # type: ignore[arg-type]


def test_a_version_that_does_as_well_as_the_one_before_passes() -> None:
    good = trial()
    for _ in range(50):
        assert good.problem() is None
        assert not good.passed
        good.note(0.001)
    assert good.passed
    assert good.problem() is None


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"failed": True}, r"of \d requests failed"),
        ({"abstained": True}, r"of \d requests were not answered"),
        ({"took_s": 0.5}, r"of \d requests were slow: 500 ms p50, the version before takes 1 ms"),
    ],
)
def test_a_regression_shows_within_a_handful_of_requests(bad: dict[str, float], says: str) -> None:
    worse = trial()
    for _ in range(6):
        worse.note(**{"took_s": 0.001, **bad})  # type: ignore[arg-type]
    assert re.search(says, worse.problem() or "")


def test_one_failure_is_an_accident() -> None:
    unlucky = trial()
    unlucky.note(0.001, failed=True)
    assert unlucky.problem() is None


def test_what_the_baseline_does_as_often_is_held_against_nobody() -> None:
    shy = trial(base=baseline(abstentions=40))
    for number in range(50):
        shy.note(0.001, abstained=number % 5 < 2)
        assert shy.problem() is None


def test_bad_feedback_counts() -> None:
    disliked = trial()
    for _ in range(10):
        disliked.note(0.001)
    disliked.candidate.disliked = 5
    assert "5 of 10 requests were called bad" in (disliked.problem() or "")


def test_a_version_that_grows_or_whose_process_dies_is_found_without_a_request() -> None:
    grown = trial(declared_bytes=10_000_000)
    assert grown.problem(resident_bytes=12_000_000) is None
    assert "it takes 40 MB, 10 MB were declared" in (grown.problem(resident_bytes=40_000_000) or "")
    assert "died 3 times" in (grown.problem(deaths=3) or "")


def test_a_shadow_may_differ_now_and_then_and_not_mostly() -> None:
    same, other = (Answer("", Label(name, 0.9, {name: 0.9})) for name in ("spam", "ham"))
    now_and_then, mostly = trial(State.SHADOW), trial(State.SHADOW)
    for number in range(30):
        for shadow, differs in ((now_and_then, number % 5 == 0), (mostly, number % 5 != 0)):
            shadow.note(0.001)
            shadow.compare(same, other if differs else same)
    assert now_and_then.problem() is None
    assert "answers differ from the serving version's" in (mostly.problem() or "")


def test_a_canary_takes_its_share_of_sessions_and_each_of_them_always() -> None:
    canary = trial(share=0.2)
    sessions = [f"session-{number}" for number in range(2_000)]
    taken = [session for session in sessions if canary.takes("spam", 2, session)]
    assert 0.15 < len(taken) / len(sessions) < 0.25
    assert all(canary.takes("spam", 2, session) for session in taken)
    assert taken != [session for session in sessions if canary.takes("spam", 3, session)], "another version, others"


def test_a_shadow_and_a_version_on_probation_take_no_session_away() -> None:
    for stage in (State.SHADOW, State.SERVING):
        assert not trial(stage, share=0.5).takes("spam", 2, "session-1")


def test_a_slow_expert_has_the_patience_that_it_declares() -> None:
    assert trial(base=baseline(0), declared_s=4.0).patience_s == 80.0
    assert trial().patience_s == 1.0


@given(st.integers(0, 200), st.floats(0.005, 0.5))
def test_unlikely_means_less_than_by_chance(trials: int, rate: float) -> None:
    for count in range(trials + 1):
        tail = float(binom.sf(count - 1, trials, rate))
        if abs(tail - CHANCE) > 1e-9:
            assert unlikely(count, trials, rate) == (tail < CHANCE and count > rate * trials)


@given(st.lists(st.booleans(), max_size=300))
def test_the_same_luck_for_both_is_never_held_against_one(fates: list[bool]) -> None:
    mine, base = trial(base=Tally()), Tally()
    mine.baseline = base
    for failed in fates:
        base.note(0.001, failed=failed)
        mine.note(0.001, failed=failed)
    if sum(fates) <= 0.5 * len(fates):
        assert mine.problem() is None


def test_answers_are_alike_by_what_they_say_and_not_by_their_words() -> None:
    def label(name: str, p: float) -> Answer:
        return Answer(f"{name} {p}", Label(name, p, {name: p}))

    def forecast(shift: float) -> Answer:
        return Answer("", Forecast((0.5,), np.array([[1.0, 2.0, 3.0]]) + shift, "theta"))

    assert alike(label("spam", 0.9), label("spam", 0.6))
    assert not alike(label("spam", 0.9), label("ham", 0.9))
    assert alike(
        Answer("a", Action("timer.created", {"id": "1", "s": 5})),
        Answer("b", Action("timer.created", {"id": "2", "s": 5})),
    )
    assert not alike(Answer("a", Action("timer.created", {"s": 6})), Answer("a", Action("timer.created", {"s": 5})))
    assert alike(forecast(0.0), forecast(0.1))
    assert not alike(forecast(0.0), forecast(1.0))
    assert alike(Answer("a", Text("a")), Answer("b", Text("b")))
    assert not alike(label("spam", 0.9), Abstention("unsure"))
    assert alike(Abstention("one"), Abstention("other"))
