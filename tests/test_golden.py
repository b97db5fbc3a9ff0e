"""Golden examples become rehearsals, and what differs is told in words."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.experts.errors import QueryError, UnavailableError
from expertd.experts.golden import Golden, check, to_query
from expertd.experts.values import Abstention, Action, Answer, Forecast, Label, Structured


def golden(query: dict[str, Any], expect: dict[str, Any] | None = None) -> Golden:
    return msgspec.convert({"query": query, "expect": expect or {"abstains": True}}, Golden)


def structured(data: dict[str, Any]) -> Answer:
    return Answer("said", Structured(data))


def test_a_golden_query_is_a_rehearsal_with_every_field() -> None:
    query = to_query(
        golden(
            {
                "text": "plan it",
                "intent": "create",
                "payload": "tea",
                "document": "leaves",
                "now": "2026-03-02T09:00:00+01:00",
                "zone": "Europe/Berlin",
                "series": [1, None, 2.5],
                "locale": "en-GB",
            }
        )
    )
    assert query.rehearsal
    assert (query.text, query.intent, query.payload, query.locale) == ("plan it", "create", "tea", "en-GB")
    assert query.document is not None
    assert query.document.text == "leaves"
    assert query.now.isoformat() == "2026-03-02T09:00:00+01:00"
    assert query.zone.key == "Europe/Berlin"
    assert query.series is not None
    assert np.array_equal(query.series.values, [1, math.nan, 2.5], equal_nan=True)


def test_a_series_may_say_when_it_was() -> None:
    series = to_query(
        golden({"text": "go on", "series": {"values": [1, 2], "start": "2026-03-02T00:00:00Z", "step_s": 3600}})
    ).series
    assert series is not None
    assert series.start is not None
    assert series.step is not None
    assert (series.start.year, series.step.total_seconds()) == (2026, 3600)


def test_an_answer_may_hold_more_than_is_expected() -> None:
    answer = Answer("set", Action("timer.created", {"id": "7", "seconds": 600}))
    assert check(answer, {"type": "action", "slots": {"seconds": 600}}) is None


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"type": "label"}, "type: 'structured' where 'label' was expected"),
        ({"data": {"b": 1}}, "data.b: missing, 1 was expected"),
        ({"data": {"a": [1, 2]}}, "data.a: 3 items where 2 were expected"),
        ({"data": {"a": [1, 2, 4]}}, "data.a[2]: 3 where 4 was expected"),
        ({"data": {"a": 1}}, "data.a: [1, 2, 3] where 1 was expected"),
        ({"data": {"a": {"x": 1}}}, "data.a: [1, 2, 3] where an object was expected"),
        ({"data": {"yes": 1}}, "data.yes: True where 1 was expected"),
        ({"data": {"none": False}}, "data.none: None where False was expected"),
        ({"text": "other"}, "text: 'said' where 'other' was expected"),
        ({"abstains": True}, "answered 'said' where an abstention was expected"),
        ({"refuses": "TIME_IN_PAST"}, "answered 'said' where a refusal (TIME_IN_PAST) was expected"),
    ],
)
def test_what_differs_is_told_in_words(expect: dict[str, Any], told: str) -> None:
    assert check(structured({"a": [1, 2, 3], "yes": True, "none": None}), expect) == told


def test_numbers_agree_within_a_millionth_unless_a_tolerance_is_given() -> None:
    answer = Answer("", Label("spam", 0.91, {"spam": 0.91, "ham": 0.09}))
    assert check(answer, {"probability": 0.9100001}) is None
    assert check(answer, {"probability": 0.92}) == "probability: 0.91 where 0.92 was expected"
    assert check(answer, {"probability": 0.92, "tolerance": 0.05}) is None
    assert check(structured({"n": 1000.0}), {"data": {"n": 1040}, "tolerance": 0.05}) is None
    assert check(structured({"n": 1000.0}), {"data": {"n": 1060}, "tolerance": 0.05}) is not None


def test_arrays_are_compared_as_lists() -> None:
    answer = Answer("", Forecast((0.5,), np.array([[1.0, 2.0]]), "naive"))
    assert check(answer, {"type": "forecast", "quantiles": [[1, 2]]}) is None
    assert check(answer, {"quantiles": [[1, 3]]}) == "quantiles[0][1]: 2.0 where 3 was expected"


def test_a_number_that_is_none_agrees_with_nothing() -> None:
    assert check(structured({"n": math.nan}), {"data": {"n": 1.0}}) is not None
    assert check(structured({"n": math.nan}), {"data": {"n": 1.0}, "tolerance": 5}) is not None


def test_abstentions_and_refusals_are_expected_by_name() -> None:
    assert check(Abstention("which?", "needs_input"), {"abstains": True}) is None
    assert check(Abstention("which?", "needs_input"), {"abstains": True, "code": "needs_input"}) is None
    assert "'unsure'" in (check(Abstention("which?", "needs_input"), {"abstains": True, "code": "unsure"}) or "")
    past = QueryError("that was yesterday", reason="TIME_IN_PAST")
    assert check(past, {"refuses": "TIME_IN_PAST"}) is None
    assert check(past, {"refuses": "OTHER"}) == "refused with TIME_IN_PAST where OTHER was expected"
    assert check(past, {"text": "x"}) == ("refused with TIME_IN_PAST (that was yesterday) where an answer was expected")
    broken = UnavailableError("gone", reason="WORKER_DIED")
    assert check(broken, {"refuses": "WORKER_DIED"}) is not None
    assert check(broken, {"abstains": True}) is not None
    assert check(ValueError("x"), {"text": "x"}) == "failed with ValueError (x) where an answer was expected"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), json_values, min_size=1))
def test_an_answer_always_agrees_with_itself(data: dict[str, Any]) -> None:
    assert check(structured(data), {"data": data}) is None
