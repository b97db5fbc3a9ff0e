"""How well expressions of time are read, beside other readers: `python -m bench.experts time --data F.jsonl`."""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time as clock
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from . import time_recognizers
from .report import Row, data_folder, print_table, read_rows


@dataclass
class _Tally:
    """right of all, in all and by kind and grain; seconds per row."""

    name: str
    right: int = 0
    total: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[tuple[Row, str]] = field(default_factory=list)

    def add(self, row: Row, kinds: list[str], answer: str, is_right: bool, seconds: float) -> None:
        self.total += 1
        self.right += is_right
        self.seconds.append(seconds)
        for kind in kinds:
            self.kinds[kind] += 1
            self.by_kind[kind] += is_right
        if not is_right:
            self.wrong.append((row, answer))


# A reader of time: (text, reference) → (start, end, grain, is interval) as wall-clock times, or None: no time in it.
Reading = tuple[datetime | None, datetime | None, str, bool]
Reader = Callable[[str, datetime], Reading | None]


def add(commands: Any) -> None:
    command = commands.add_parser(
        "time", help="time expressions: rows {text, reference, expected: {value | from, to, grain}}"
    )
    command.add_argument("--data", type=Path, nargs="+")
    command.add_argument("--rows", type=Path, help="a JSON list of row numbers: measure these alone")
    command.add_argument("--wrong", action="store_true", help="print every row that is read otherwise than expected")
    command.add_argument("--locale", default="en")
    command.add_argument("--format", choices=("duckling", "recognizers"), default="duckling")
    command.add_argument("--half", choices=time_recognizers.HALVES, default="working", help="of the recognizers rows")
    command.set_defaults(run=_time, name="time")


def _time(chosen: argparse.Namespace) -> Row:
    if chosen.format == "recognizers":
        return _recognizers(chosen)
    paths = chosen.data or [data_folder() / "duckling_time" / "time_en.jsonl"]
    rows = [row for path in paths for row in read_rows(path)]
    if chosen.rows:
        rows = [rows[number] for number in json.loads(chosen.rows.read_text())]
    durations = [row for row in rows if "reference" not in row]
    times = [row for row in rows if "reference" in row]
    ours = _Tally("timex")
    tallies = [ours]
    _expert(times, durations, ours, chosen.locale)
    for name, reader in _peers():
        if reader is None:
            print(f"{name}: not installed, left out")
            continue
        tally = _Tally(name)
        for row in times:
            _judge(row, reader, tally)
        tallies.append(tally)
    _show(tallies)
    if chosen.wrong:
        for row, answer in ours.wrong:
            print(f"{row['text']!r}\n    expected {_expected_text(row)}\n    read as  {answer}")
    return _figures(tallies)


def _show(tallies: list[_Tally]) -> None:
    ours = tallies[0]
    kinds = [kind for kind, _ in ours.kinds.most_common()]
    print_table(
        ["", *[tally.name for tally in tallies], "rows"],
        [
            ["all", *[_share(tally.right, tally.total) for tally in tallies], ours.total],
            *[[kind, *[_share(t.by_kind[kind], t.kinds[kind]) for t in tallies], ours.kinds[kind]] for kind in kinds],
            ["p50 ms", *[f"{statistics.median(tally.seconds) * 1e3:.3f}" for tally in tallies], ""],
            ["p95 ms", *[f"{_quantile(tally.seconds, 0.95) * 1e3:.3f}" for tally in tallies], ""],
        ],
    )


def _figures(tallies: list[_Tally]) -> Row:
    return {
        tally.name: {
            "accuracy": tally.right / max(tally.total, 1),
            "rows": tally.total,
            "by_kind": {kind: tally.by_kind[kind] / tally.kinds[kind] for kind in tally.kinds},
            "p50_ms": statistics.median(tally.seconds) * 1e3,
            "p95_ms": _quantile(tally.seconds, 0.95) * 1e3,
        }
        for tally in tallies
    }


def _recognizers(chosen: argparse.Namespace) -> Row:
    """The specifications of Recognizers-Text: one row an expression. The peers are given the expression alone."""
    from expertd.experts.skills import timex

    folder = chosen.data[0] if chosen.data else data_folder() / "recognizers_text"
    rows, left = time_recognizers.entities(folder, chosen.half)
    print(f"{chosen.half} half: {len(rows)} expressions, {left} left out (other conventions, or not resolved)")
    zone = ZoneInfo("UTC")
    ours = _Tally("timex")
    timex.resolve("tomorrow", datetime.now(zone), zone)  # the grammar is built once
    for row in rows:
        began = clock.perf_counter()
        try:
            found = timex.resolve_all(row.sentence, row.reference.replace(tzinfo=zone), zone, chosen.locale)
        except timex.TimeError:
            found = []
        took = clock.perf_counter() - began
        said = "; ".join(f"{row.sentence[slice(*best.span)]!r} {_said(best)}" for best, *_ in found) or "no time"
        expected: Row = {"text": row.sentence, "expected": f"{row.text!r} {row.kind} {row.modifier} {row.values}"}
        ours.add(expected, [row.kind], said, time_recognizers.is_right(row, found), took)
    tallies = [ours]
    for name, reader in _peers():
        if reader is None:
            print(f"{name}: not installed, left out")
            continue
        tally = _Tally(name)
        for row in rows:
            if row.kind in ("duration", "set"):
                continue
            began = clock.perf_counter()
            answer = reader(row.text or row.sentence, row.reference.replace(tzinfo=zone))
            took = clock.perf_counter() - began
            moment = answer[0] if answer else None
            tally.add({}, [row.kind], str(moment), time_recognizers.is_start(row, moment), took)
        tallies.append(tally)
    _show(tallies)
    if chosen.wrong:
        for wrong, answer in ours.wrong:
            print(f"{wrong['text']}\n    expected {wrong['expected']}\n    read as  {answer}")
    return {"half": chosen.half, "left_out": left, **_figures(tallies)}


def _said(best: Any) -> str:
    if best.recurrence is not None:
        return str(best.recurrence.to_json())
    if best.duration is not None:
        return f"{best.duration.total_seconds():.0f} s"
    start, end = (each.replace(tzinfo=None) if each else "…" for each in (best.start, best.end))
    return f"{start} .. {end} {best.grain}"


def _expert(times: list[Row], durations: list[Row], tally: _Tally, locale: str) -> None:
    from expertd.experts.skills import timex

    def reader(text: str, reference: datetime) -> Reading | None:
        zone = _zone_of(reference)
        try:
            found = timex.resolve(text, reference.astimezone(zone), zone, locale)
        except timex.TimeError:
            return None
        # A bare duration is no time.
        best = next((each for each in found if each.duration is None), None)
        if best is None:
            return None
        start, end = (each.replace(tzinfo=None) if each else None for each in (best.start, best.end))
        return start, end, best.grain, best.is_interval

    reader("tomorrow", datetime.fromisoformat("2013-02-12T04:30:00-02:00"))  # the grammar is built once
    for row in times:
        _judge(row, reader, tally)
    for row in durations:
        expected = row["expected"]
        began = clock.perf_counter()
        found = timex.find_duration(row["text"])
        took = clock.perf_counter() - began
        if expected is None:
            tally.add(row, ["no duration"], str(found), found is None, took)
        else:
            whole = found is not None and found[1] == (0, len(row["text"]))
            is_right = whole and found is not None and found[0] == timedelta(seconds=expected["seconds"])
            tally.add(row, ["duration"], str(found), is_right, took)


def _judge(row: Row, reader: Reader, tally: _Tally) -> None:
    reference = datetime.fromisoformat(row["reference"])
    began = clock.perf_counter()
    found = reader(row["text"], reference)
    took = clock.perf_counter() - began
    answer = "no time" if found is None else f"{found[0] or '…'} .. {found[1] or '…'} {found[2]}"
    expected = row["expected"]
    if expected is None:
        tally.add(row, ["no time"], answer, found is None, took)
        return
    value, low, high = (
        datetime.fromisoformat(expected[key]) if expected.get(key) else None for key in ("value", "from", "to")
    )
    if value is not None:
        # Some readers know no grain: theirs is empty, and only the beginning is compared.
        is_right = found is not None and found[0] == value and found[2] in ("", expected["grain"]) and not found[3]
        kind = "value"
    else:
        is_right = found is not None and found[:2] == (low, high) and found[2] in ("", expected["grain"])
        kind = "interval" if low and high else "open interval"
    tally.add(row, [kind, f"grain {expected['grain']}"], answer, is_right, took)


def _zone_of(reference: datetime) -> ZoneInfo:
    """The zone of a whole number of hours beside Greenwich; the tz database counts them westwards."""
    offset = reference.utcoffset() or timedelta()
    hours = round(offset.total_seconds() / 3600)
    return ZoneInfo(f"Etc/GMT{-hours:+d}" if hours else "Etc/UTC")


def _expected_text(row: Row) -> str:
    expected = row["expected"]
    if expected is None:
        return "no time"
    if "seconds" in expected:
        return f"{expected['seconds']} s"
    if expected.get("value"):
        return f"{expected['value']} {expected['grain']}"
    return f"{expected.get('from') or '…'} .. {expected.get('to') or '…'} {expected['grain']}"


def _peers() -> list[tuple[str, Reader | None]]:
    """Other readers of time, where they are installed. They know no grain and no interval."""
    return [("dateparser", _dateparser()), ("parsedatetime", _parsedatetime())]


def _dateparser() -> Reader | None:
    try:
        dateparser = importlib.import_module("dateparser")
    except ImportError:
        return None

    def reader(text: str, reference: datetime) -> Reading | None:
        settings = {"RELATIVE_BASE": reference.replace(tzinfo=None), "PREFER_DATES_FROM": "future"}
        found = dateparser.parse(text, languages=["en"], settings=settings)
        return (found.replace(tzinfo=None, microsecond=0), None, "", False) if found else None

    return reader


def _parsedatetime() -> Reader | None:
    try:
        parsedatetime = importlib.import_module("parsedatetime")
    except ImportError:
        return None
    calendar = parsedatetime.Calendar()

    def reader(text: str, reference: datetime) -> Reading | None:
        found, status = calendar.parseDT(text, reference.replace(tzinfo=None))
        return (found.replace(microsecond=0), None, "", False) if status else None

    return reader


def _share(right: int, total: int) -> str:
    return f"{100 * right / total:.1f} %" if total else "-"


def _quantile(values: list[float], level: float) -> float:
    return sorted(values)[min(int(level * len(values)), len(values) - 1)]
