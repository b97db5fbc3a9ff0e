"""Golden examples: a query, and what a sound version must answer to it.

They are a bundle's health check and the floor of the gate. This module turns one into a query and compares what came
back; it runs nothing and knows no expert.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from .errors import QueryError
from .values import Abstention, Document, Outcome, Query, Series

log = logging.getLogger(__name__)

# Numbers agree within this much of the expected one, unless `expect` brings its own "tolerance".
RELATIVE_TOLERANCE = 1e-6

_ANSWER_TYPES = ("action", "label", "forecast", "text", "structured")


class SeriesFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A series with its times; where they do not matter, the bare list of values will do. `null` marks a gap."""

    values: list[float | None]
    start: datetime | None = None
    step_s: float | None = None
    name: str = ""


class QueryFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query as golden.jsonl writes it."""

    text: str = ""
    intent: str = ""
    payload: str | None = None
    document: str | None = None
    further: list[str] = []
    schema: dict[str, Any] | None = None
    now: str = "2026-03-02T09:00:00+00:00"
    zone: str = "UTC"
    series: list[float | None] | SeriesFields | None = None
    locale: str = "en"


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of golden.jsonl.

    expect: a subset of `Answer.to_json()`, with "tolerance" where numbers may differ by more than 1e-6 of themselves;
    or {"abstains": true}, with "code" where it matters; or {"refuses": "TIME_IN_PAST"}, the reason of a QueryError.
    """

    query_fields: QueryFields = msgspec.field(name="query")
    expect: dict[str, Any]

    def __post_init__(self) -> None:
        _check_query(self.query_fields)
        _check_expect(self.expect)


def read(path: Path) -> tuple[Golden, ...]:
    """The rows of a file of this machine's own; none where there is no file. A line that is none is told, and passed
    over.

    What a bundle brings is read, and held to stricter rules, by the bundle.
    """
    rows = []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        log.warning("%s cannot be read (%s): nothing is compared with it", path, error)
        return ()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(msgspec.json.decode(line, type=Golden))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("%s line %d: %s; passed over", path, number, error)
    return tuple(rows)


def to_query(golden: Golden) -> Query:
    """The query, as a rehearsal: nothing takes effect. `vector` is left to whoever holds the trunk."""
    fields = golden.query_fields
    return Query(
        text=fields.text,
        now=datetime.fromisoformat(fields.now),
        zone=ZoneInfo(fields.zone),
        intent=fields.intent,
        payload=fields.payload,
        series=_series(fields.series),
        document=None if fields.document is None else Document(fields.document),
        further=tuple(map(Document, fields.further)),
        schema=fields.schema,
        locale=fields.locale,
        rehearsal=True,
    )


def check(outcome: Outcome | Exception, expect: Mapping[str, Any]) -> str | None:
    """None when the outcome is as expected; else what differs, in words.

    outcome: the answer, the abstention, or the error that was raised.
    """
    if "refuses" in expect:
        if not isinstance(outcome, QueryError):
            return f"{_told(outcome)} where a refusal ({expect['refuses']}) was expected"
        if outcome.reason != expect["refuses"]:
            return f"refused with {outcome.reason} where {expect['refuses']} was expected"
        return None
    if "abstains" in expect:
        if not isinstance(outcome, Abstention):
            return f"{_told(outcome)} where an abstention was expected"
        if outcome.code != expect.get("code", outcome.code):
            return f"abstained as {outcome.code!r} where {expect['code']!r} was expected"
        return None
    if isinstance(outcome, (Abstention, Exception)):
        return f"{_told(outcome)} where an answer was expected"
    wanted = {key: value for key, value in expect.items() if key != "tolerance"}
    return _difference(outcome.to_json(), wanted, "", expect.get("tolerance"))


def _difference(actual: Any, wanted: Any, where: str, tolerance: float | None) -> str | None:
    """Where `actual` first fails to hold what `wanted` names: objects may hold more, lists may not."""
    if isinstance(wanted, Mapping):
        if not isinstance(actual, Mapping):
            return f"{where or 'the answer'}: {_short(actual)} where an object was expected"
        for key, value in wanted.items():
            name = f"{where}.{key}" if where else str(key)
            if key not in actual:
                return f"{name}: missing, {_short(value)} was expected"
            if difference := _difference(actual[key], value, name, tolerance):
                return difference
        return None
    if isinstance(wanted, list):
        if not isinstance(actual, list):
            return f"{where}: {_short(actual)} where a list was expected"
        if len(actual) != len(wanted):
            return f"{where}: {len(actual)} items where {len(wanted)} were expected"
        for index, (one, other) in enumerate(zip(actual, wanted, strict=True)):
            if difference := _difference(one, other, f"{where}[{index}]", tolerance):
                return difference
        return None
    if _agree(actual, wanted, tolerance):
        return None
    return f"{where}: {_short(actual)} where {_short(wanted)} was expected"


def _agree(actual: Any, wanted: Any, tolerance: float | None) -> bool:
    if _is_number(actual) and _is_number(wanted):
        if tolerance is None:
            return math.isclose(actual, wanted, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12)
        # Of the number itself where it is large, of one where it is small: 0.05 serves for probabilities and prices.
        return bool(abs(actual - wanted) <= tolerance * max(1.0, abs(wanted)))
    return type(actual) is type(wanted) and bool(actual == wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _told(outcome: Outcome | Exception) -> str:
    if isinstance(outcome, QueryError):
        return f"refused with {outcome.reason} ({outcome})"
    if isinstance(outcome, Exception):
        return f"failed with {type(outcome).__name__} ({outcome})"
    if isinstance(outcome, Abstention):
        return f"abstained as {outcome.code!r} ({outcome.reason})"
    return f"answered {_short(outcome.text)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _series(fields: list[float | None] | SeriesFields | None) -> Series | None:
    if fields is None:
        return None
    if not isinstance(fields, SeriesFields):
        fields = SeriesFields(fields)
    values = np.array([math.nan if value is None else value for value in fields.values], dtype=np.float64)
    step = None if fields.step_s is None else timedelta(seconds=fields.step_s)
    return Series(values, fields.start, step, fields.name)


def _check_query(fields: QueryFields) -> None:
    if not fields.text.strip() and fields.payload is None and fields.document is None and fields.series is None:
        raise ValueError('"query" holds nothing to ask; give it "text", "payload", "document" or "series"')
    try:
        now = datetime.fromisoformat(fields.now)
    except ValueError:
        raise ValueError(f'"now" is {fields.now!r}; it is an ISO 8601 time like 2026-03-02T09:00:00+01:00') from None
    if now.tzinfo is None:
        raise ValueError(f'"now" is {fields.now!r}, without an offset; write it like 2026-03-02T09:00:00+01:00')
    try:
        ZoneInfo(fields.zone)
    except (ValueError, OSError, LookupError):
        raise ValueError(f'"zone" is {fields.zone!r}; it is an IANA name like Europe/Berlin') from None
    values = fields.series.values if isinstance(fields.series, SeriesFields) else fields.series
    if values is not None and not values:
        raise ValueError('"series" is empty; a series has one value at least')


def _check_expect(expect: Mapping[str, Any]) -> None:
    if "refuses" in expect:
        if set(expect) != {"refuses"} or not isinstance(expect["refuses"], str):
            raise ValueError('"expect" with "refuses" holds the reason of the refusal and nothing else')
        return
    if "abstains" in expect:
        if not set(expect) <= {"abstains", "code"} or expect["abstains"] is not True:
            raise ValueError('"expect" with "abstains" holds true, a "code" if that matters, and nothing else')
        return
    tolerance = expect.get("tolerance", 0)
    if not _is_number(tolerance) or not 0 <= tolerance < math.inf:
        raise ValueError(f'"tolerance" is {tolerance!r}; it is a number from 0 up')
    if not set(expect) - {"tolerance"}:
        raise ValueError('"expect" is empty; an example that any answer passes examines nothing')
    if "type" in expect and expect["type"] not in _ANSWER_TYPES:
        raise ValueError(f'"type" is {expect["type"]!r}; it is one of {", ".join(_ANSWER_TYPES)}')
