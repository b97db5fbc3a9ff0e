"""Schemas for answers: what is taken, what is refused by name, and how soon."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.experts.errors import QueryError
from expertd.experts.kinds.json_schema import MAX_ENUM_VALUES, _between, _integer, _number, take


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def refusal(of: Any) -> str:
    with pytest.raises(QueryError) as caught:
        take(of)
    assert (caught.value.reason, caught.value.field) == ("BAD_SCHEMA", "input.schema")
    return str(caught.value)


# --- What is taken ---------------------------------------------------------------------------------------------------


def test_a_schema_as_data_classes_write_it_is_taken() -> None:
    taken = take(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.org/invoice",
            "title": "Invoice",
            "description": "A bill.",
            "type": "object",
            "properties": {
                "number": {"title": "Number", "type": "string", "examples": ["R-1"]},
                "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
                "first": {"$ref": "#/$defs/Line", "description": "of the lines"},
                "paid": {"type": "boolean", "x-order": 3},
            },
            "required": ["number", "lines"],
            "additionalProperties": False,
            "$defs": {"Line": {"type": "object", "properties": {"price": {"type": "number", "minimum": 0}}}},
        }
    )
    assert taken.problem('{"number": "R-1", "due": null, "lines": [{"price": 2.5}, {}]}') == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('{"name": "Ana"', "no JSON"),
        ('{"name": "Ana\n"}', "no JSON"),
        ('["Ana"]', "no object"),
        ("{}", "required"),
        ('{"name": 5}', "not of type"),
        ('{"name": "Anastasia"}', "too long"),
        ('{"name": "Ana", "day": "2026-02-30"}', "not a 'date'"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_an_answer_that_does_not_keep_the_schema_is_told(answer: str, why: str) -> None:
    wanted = {
        "properties": {"name": {"type": "string", "maxLength": 4}, "day": {"type": "string", "format": "date"}},
        "required": ["name"],
    }
    assert why in take(wanted).problem(answer)


def test_equal_schemas_share_their_rules() -> None:
    line = schema(what={"type": "string"}, price={"type": "number"})
    one, many = (take(schema(**{f"line {n}": line for n in range(count)})).grammar for count in (1, 100))
    assert len(many.splitlines()) - len(one.splitlines()) < 100 * 4


def test_a_definition_that_is_used_often_is_written_once() -> None:
    """Each level has ten of the level below: ten million, were they written out."""
    levels: dict[str, Any] = {"l0": {"type": "string"}}
    for n in range(1, 7):
        levels[f"l{n}"] = {"properties": {f"p{m}": {"$ref": f"#/$defs/l{n - 1}"} for m in range(10)}}
    grammar = take({"$ref": "#/$defs/l6", "$defs": levels}).grammar
    assert len(grammar) < 100_000


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"type": "array", "items": {"type": "string"}}, "the answer is an object"),
        ({"type": "string"}, "the answer is an object"),
        ({"type": ["object", "null"], "properties": {"a": {"type": "null"}}}, "the answer is an object"),
        ({}, 'no "type"'),
        ({"type": "object"}, 'name its "properties"'),
        (schema(a={}), 'schema at a: no "type" says what is wanted'),
        (schema(a=True), 'name a "type"'),
        (schema(a={"type": "text"}), 'there are object, array, string'),
        (schema(a={"type": [{"type": "string"}]}), '"type" is'),
        (schema(a={"type": "string", "pattern": "^(a+)+$"}), '"pattern" is not kept here; say what is wanted in'),
        (schema(a={"type": "string", "format": "email"}), "date, time, date-time, uuid are: leave it out"),
        (schema(a={"type": "string", "minLength": 3, "maxLength": 1}), "nothing is between them"),
        (schema(a={"type": "string", "minLength": 10**9}), "answers here have 1,500 at most"),
        (schema(a={"type": "string", "maxLength": -1}), "a whole number from 0 up"),
        (schema(a={"type": "string", "minLength": "3"}), "a whole number from 0 up"),
        (schema(a={"type": "string", "minimum": 3}), '"minimum" of type string is not kept here'),
        (schema(a={"type": "array"}), 'give its "items" a schema'),
        (schema(a={"type": "array", "items": {"type": "null"}, "uniqueItems": True}), '"uniqueItems" is not kept'),
        (schema(a={"type": "integer", "multipleOf": 5}), '"multipleOf" is not kept here; leave it out'),
        (schema(a={"type": "integer", "minimum": 3.2, "maximum": 3.8}), "no whole number"),
        (schema(a={"type": "number", "minimum": 0.5}), "bounds are whole numbers"),
        (schema(a={"type": "number", "exclusiveMinimum": 3, "maximum": 3}), "no number is within"),
        (schema(a={"type": "number", "minimum": "3"}), "a number of at most fifteen digits"),
        (schema(a={"type": "number", "exclusiveMinimum": True}), "a number of at most fifteen digits"),
        (schema(a={"oneOf": [{"type": "null"}]}), '"oneOf" is not kept here; write "anyOf"'),
        (schema(a={"not": {"type": "null"}, "type": "string"}), '"not" is not kept here'),
        (schema(a={"anyOf": []}), '"anyOf" is a list of schemas'),
        (schema(a={"anyOf": [{"type": "null"}], "type": "null"}), '"anyOf" beside "type"'),
        (schema(a={"enum": []}), '"enum" is a list of one value at least'),
        (schema(a={"enum": ["a"], "type": "integer"}), 'no value of it is of "type"'),
        (schema(a={"enum": ["a"], "maxLength": 3}), '"enum" beside "maxLength"'),
        ({"properties": {}, "required": ["a"]}, '"required" names "a"'),
        ({"properties": {"a": {"type": "null"}}, "required": [["a"]]}, '"required" names'),
        ({"properties": [], "type": "object"}, '"properties" is an object'),
        (schema(a={"$ref": "https://example.org/schema"}), "one within the schema is read"),
        (schema(a={"$ref": "#/$defs/none"}), "nothing is there"),
        (schema(a={"$ref": {"$ref": "#"}}), "one within the schema is read"),
        ([], "it is a list"),
        ("{}", "it is a str"),
    ],
)  # fmt: skip
def test_what_is_not_kept_is_refused_by_name_and_with_a_way_out(bad: Any, told: str) -> None:
    assert told in refusal(bad)


def _nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        inner = schema(a=inner)
    return inner


@pytest.mark.parametrize(
    ("hostile", "told"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": schema(next={"$ref": "#/$defs/a"})}}, "leads back to"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}] * 9}}},
            "leads back to",
        ),
        (_nested(17), "more than 16 deep"),
        (_nested(900), "deep"),
        (schema(a={"enum": [str(n) for n in range(MAX_ENUM_VALUES + 1)]}), "more than 1,000 values"),
        (schema(**{f"p{n}": {"type": "string", "maxLength": n} for n in range(600)}), "more than 1,000 rules"),
        (schema(a={"const": "x" * 70_000}), "at most 65,536"),
        (schema(a={"anyOf": [{"type": "null"}] * 1_100}), "more than 1,000 schemas"),
        (schema(a={"enum": [float("inf")]}), "no JSON"),
        (schema(**{"\ud800": {"type": "null"}}), "no JSON"),
        (schema(a={"x" * 60_000: 1, "type": "null"}), "is not kept here"),
    ],
    ids=["loop", "loops", "deep", "deeper", "enum", "rules", "size", "options", "infinity", "surrogate", "keyword"],
)
def test_hostile_schemas_are_refused(hostile: Any, told: str) -> None:
    message = refusal(hostile)
    assert told in message
    assert len(message) < 400


def test_a_schema_deeper_than_the_stack_is_refused() -> None:
    inner: dict[str, Any] = {}
    outer = inner
    for _ in range(100_000):
        inner["items"] = {}
        inner = inner["items"]
    try:
        assert "deep" in refusal(outer)
    finally:
        while "items" in outer:  # or Python would take it apart recursively
            outer = outer.pop("items")


def test_a_schema_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {"type": "object"}
    endless["properties"] = {"a": endless}
    assert "no JSON" in refusal(endless)


WORDS = ("type", "properties", "items", "anyOf", "enum", "const", "$ref", "required", "maxItems", "minimum", "format")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(("object", "array", "string")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(ANYTHING)
def test_whatever_comes_is_taken_or_refused(anything: Any) -> None:
    with contextlib.suppress(QueryError):
        assert take(anything).grammar.startswith("root ::= r")


# --- Numbers ---------------------------------------------------------------------------------------------------------


def as_pattern(rule: str) -> re.Pattern[str]:
    """A rule of digits, quoted letters and groups, as a regular expression."""
    parts = re.findall(r'"([^"]*)"|(\[[^\]]*\])|([()|?]|\{[^}]*\})', rule)
    return re.compile(
        "".join(re.escape(quoted) or other for quoted, letters, mark in parts for other in [letters + mark])
    )


WHOLE = st.integers(-(10**15) + 1, 10**15 - 1) | st.integers(-1200, 1200)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_whole_numbers_are_within_their_bounds_exactly(low: int, high: int, number: int) -> None:
    low, high = sorted((low, high))
    matched = as_pattern(_between(low, high)).fullmatch(str(number)) is not None
    assert matched is (low <= number <= high)
    assert as_pattern(_between(low, high)).fullmatch(str(low))
    assert as_pattern(_between(low, high)).fullmatch(str(high))


@settings(deadline=None)
@given(WHOLE, WHOLE, WHOLE, st.booleans(), st.booleans())
def test_integers_keep_their_bounds(low: int, high: int, number: int, low_out: bool, high_out: bool) -> None:
    low, high = sorted((low, high))
    words = {"exclusiveMinimum" if low_out else "minimum": low, "exclusiveMaximum" if high_out else "maximum": high}
    within = (low < number if low_out else low <= number) and (number < high if high_out else number <= high)
    try:
        rule = _integer(words, "")
    except QueryError:
        assert not within
        return
    assert (as_pattern(rule).fullmatch(str(number)) is not None) is within


@settings(deadline=None)
@given(
    st.integers(-1200, 1200),
    st.integers(-1200, 1200),
    st.decimals(-1300, 1300, places=6),
    st.booleans(),
    st.booleans(),
)
def test_numbers_keep_their_bounds(low: int, high: int, number: Any, low_out: bool, high_out: bool) -> None:
    low, high = sorted((low, high))
    words = {"exclusiveMinimum" if low_out else "minimum": low, "exclusiveMaximum" if high_out else "maximum": high}
    within = (low < number if low_out else low <= number) and (number < high if high_out else number <= high)
    try:
        pattern = as_pattern(_number(words, ""))
    except QueryError:
        assert not within or (low == high)
        return
    written = f"{number:f}".rstrip("0").rstrip(".")
    assert (pattern.fullmatch(written) is not None) is within, written


def test_every_day_of_the_calendar_can_be_written_and_no_other() -> None:
    from datetime import date, timedelta

    rule = take(schema(d={"type": "string", "format": "date"})).grammar
    days = next(line for line in rule.splitlines() if "-02-29" in line).partition("::=")[2].replace('"\\""', "")
    pattern = as_pattern(days)
    day = date(1895, 1, 1)
    while day < date(2105, 1, 1):
        assert pattern.fullmatch(day.isoformat())
        day += timedelta(days=1)
    for wrong in ("2026-02-29", "1900-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-32", "0999-01-01"):
        assert not pattern.fullmatch(wrong)
    assert pattern.fullmatch("2000-02-29")


def test_the_schema_that_the_model_reads_is_the_one_that_was_given() -> None:
    wanted = schema(größe={"type": "string", "description": "in cm"})
    assert json.loads(take({"$id": "x", **wanted}).text) == wanted
