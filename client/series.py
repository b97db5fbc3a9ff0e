"""Numbers from a CSV file, or from a program, as the contract's series: evenly spaced, oldest first, NaN for a gap.

Knows no terminal and no wire. What could only be guessed is refused, with the line; what was mended is told.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import chain, islice, pairwise
from typing import BinaryIO

from expertd.v1.assistant_pb2 import Series

from .errors import InputError

MAX_POINTS = 1_000_000
# Cells that mean "not measured".
GAPS = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
# Headers of a column of times, where its cells are numbers: seconds, or milliseconds, since 1970.
TIME_HEADERS = frozenset({"time", "timestamp", "ts", "date", "datetime", "ds", "epoch", "unix", "unix_time"})
# Headers of columns that number the rows: not what is measured, where another column of numbers is there.
ROW_HEADERS = frozenset({"", "t", "id", "index", "idx", "no", "nr", "row", "#"})
# Smaller numbers (before 1973, in seconds) count something else than seconds since 1970.
_FIRST_EPOCH = 1e8
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_THOUSANDS_POINTS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+")
_DAY_MONTH_YEAR = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T]+(.+))?")
_YEAR_MONTH = re.compile(r"\d{4}-\d{2}")
# The rows that decide what each column is.
_LOOK_AHEAD = 200
# Instants may be off by this share of the step and still count as even.
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. notes: what was mended or left out on the way, a sentence each."""

    series: Series
    column: str
    notes: tuple[str, ...] = ()


def series_message(values: Series | Iterable[float]) -> Series:
    """values: floats, oldest first, NaN for a gap; an array of shape (n,) will do.

    Raises: InputError when there are none or too many, or one is infinite.
    """
    series = values if isinstance(values, Series) else Series(values=islice(map(float, values), MAX_POINTS + 1))
    if not series.values:
        raise InputError("the series is empty; it needs at least one value", reason="EMPTY_SERIES")
    if len(series.values) > MAX_POINTS:
        raise InputError(
            f"the series has more than {MAX_POINTS:,} values; give its latest ones, or a coarser step",
            reason="TOO_MANY_POINTS",
        )
    if any(map(math.isinf, series.values)):
        index = next(index for index, value in enumerate(series.values) if math.isinf(value))
        raise InputError(f"value {index} of the series is infinite; write a gap as NaN", reason="INFINITE")
    return series


def read_series(stream: BinaryIO, name: str = "series", column: str = "") -> Reading:
    """A column of a CSV file, with its start and step where another column holds times.

    stream: UTF-8, with or without a header; separated by commas, semicolons or tabs, decimal commas beside semicolons
    and tabs; commas between thousands are read where no decimal comma can be meant. column: its header, or its number
    from 1; "": the first that holds numbers, but for times and row numbers. Times are ISO 8601, year-month,
    day.month.year, or seconds or milliseconds since 1970 under a header that says so; those without a zone are in the
    machine's. Rows that are missing become gaps. Reading stops at the first row too many.

    Raises: InputError naming the file, the line and the rule.
    """
    rows = _Rows(stream, name)
    try:
        return _read(rows, name, column)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is not UTF-8 at byte {error.start}; save it as UTF-8", reason="NOT_UTF8") from None
    except csv.Error as error:
        raise InputError(f"{name}: is not CSV: {error}", reason="NOT_CSV") from None
    finally:
        rows.release()


class _Rows:
    """The rows with their line numbers; blank lines at the end are none, elsewhere they are one empty cell."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        self.decimal_comma = False

    def release(self) -> None:
        """The stream stays the caller's to close."""
        self._text.detach()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        first = self._text.readline()
        bare = "".join(first.split('"')[::2])  # outside quotes
        delimiter = next((mark for mark in ";\t" if mark in bare), ",")
        self.decimal_comma = delimiter != ","
        reader = csv.reader(chain([first], self._text), delimiter=delimiter)
        blank: list[int] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells) and len(cells) < 2:
                blank.append(reader.line_num)
                if len(blank) > MAX_POINTS:
                    raise InputError(f"{self._name}: more than {MAX_POINTS:,} blank lines", reason="TOO_MANY_POINTS")
                continue
            for line in blank:
                yield line, [""]
            blank.clear()
            yield reader.line_num, cells


def _read(source: _Rows, name: str, column: str) -> Reading:
    rows = iter(source)
    head = list(islice(rows, _LOOK_AHEAD))
    if not head:
        raise InputError(f"{name}: is empty; it needs a column of numbers", reason="EMPTY_SERIES")
    comma = source.decimal_comma
    width = len(head[0][1])
    header = [] if _is_data(head[0][1], comma) else [cell.strip() for cell in head.pop(0)[1]]
    columns = [[cells[index] for _, cells in head if index < len(cells)] for index in range(width)]
    table = _Table(name, header, columns, [_kind(cells, comma) for cells in columns], comma)
    time_index = _time_column(table)
    index = _named_column(table, column) if column else _value_column(table, time_index)
    label = header[index] if header else ""
    notes = _column_notes(table, time_index, index, chosen=bool(column))

    values: list[float] = []
    times: list[datetime] = []
    lines: list[int] = []
    for line, cells in chain(head, rows):
        if len(cells) != width:
            raise InputError(f"{name} line {line}: {len(cells)} cells where the first row has {width}", reason="RAGGED")
        if len(values) == MAX_POINTS:
            raise InputError(
                f"{name}: more than {MAX_POINTS:,} rows; give the latest ones (`tail -n {MAX_POINTS} FILE`), or a "
                "coarser step",
                reason="TOO_MANY_POINTS",
            )
        value = _number(cells[index], comma)
        if value is None:
            where = f'column "{label}"' if label else f"column {index + 1}"
            raise InputError(
                f'{name} line {line}: "{_short(cells[index])}" in {where} is not a number; write a gap as an empty '
                "cell or NaN",
                reason="NOT_A_NUMBER",
            )
        if math.isinf(value):
            raise InputError(f"{name} line {line}: infinite; write a gap as an empty cell", reason="INFINITE")
        values.append(value)
        if time_index is not None:
            times.append(_time(cells[time_index], f"{name} line {line}"))
            lines.append(line)
    if all(math.isnan(value) for value in values):
        raise InputError(f"{name}: not one number; it needs at least one", reason="EMPTY_SERIES")
    series = Series(values=values, name=label or name)
    if times:
        notes += _place(series, times, lines, name)
    return Reading(series=series, column=label or str(index + 1), notes=tuple(notes))


# --- Which column ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """The first rows, by column. header: empty where there is none; kinds: as `_kind` says."""

    name: str
    header: Sequence[str]
    columns: Sequence[Sequence[str]]
    kinds: Sequence[str]
    comma: bool

    def called(self, index: int) -> str:
        return f'"{_short(self.header[index])}"' if self.header and self.header[index] else str(index + 1)


def _is_data(cells: Sequence[str], comma: bool) -> bool:
    """Whether a first row is data already: a header has names alone."""
    return any(_kind([cell], comma) in {"number", "time"} for cell in cells) or all(
        _kind([cell], comma) == "" for cell in cells
    )


def _kind(cells: Iterable[str], comma: bool) -> str:
    """What the first cell that is not a gap holds: "number", "time", "text"; "" where all are gaps."""
    for cell in cells:
        number = _number(cell, comma)
        if number is None:
            return "time" if _parse_time(cell.strip()) else "text"
        if not math.isnan(number):
            return "number"
    return ""


def _time_column(table: _Table) -> int | None:
    if "time" in table.kinds:
        return table.kinds.index("time")
    if table.kinds.count("number") < 2:
        return None
    for index, title in enumerate(table.header):
        if title.lower() in TIME_HEADERS and table.kinds[index] == "number":
            numbers = _numbers(table.columns[index], table.comma)
            if abs(next(number for number in numbers if not math.isnan(number))) >= _FIRST_EPOCH:
                return index
    return None


def _named_column(table: _Table, column: str) -> int:
    header, count = table.header, len(table.kinds)
    lower = [title.lower() for title in header]
    if column in header:
        return header.index(column)
    if column.lower() in lower:
        return lower.index(column.lower())
    if column.isdecimal() and 1 <= int(column) <= count:
        return int(column) - 1
    near = get_close_matches(column.lower(), lower, n=1)
    guess = f'; did you mean "{header[lower.index(near[0])]}"?' if near else ""
    there = ", ".join(f'"{_short(title)}"' for title in header[:20]) or f"1 to {count}"
    raise InputError(f'{table.name}: no column "{column}"{guess} (there are: {there})', reason="NO_SUCH_COLUMN")


def _value_column(table: _Table, time_index: int | None) -> int:
    header = table.header
    numbers = [index for index, kind in enumerate(table.kinds) if kind == "number" and index != time_index]
    if not numbers:
        raise InputError(f"{table.name}: no column holds numbers; a series needs one", reason="NO_NUMBERS")
    passed_over = TIME_HEADERS | ROW_HEADERS
    measured = [index for index in numbers if not header or header[index].lower() not in passed_over] or numbers
    first = measured[0]
    # Without times, a first column that rises evenly stands in for them.
    if time_index is None and len(measured) > 1 and first == numbers[0] and _counts(table.columns[first], table.comma):
        return measured[1]
    return first


def _counts(cells: Sequence[str], comma: bool) -> bool:
    """Whether the numbers rise, each by the same step."""
    steps = [later - earlier for earlier, later in pairwise(_numbers(cells, comma))]
    return len(steps) > 1 and steps[0] > 0 and all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)


def _column_notes(table: _Table, time_index: int | None, taken: int, *, chosen: bool) -> list[str]:
    """Which column was taken of several, and that a column of times was not understood."""
    notes = []
    name, kinds, called = table.name, table.kinds, table.called
    others = [index for index, kind in enumerate(kinds) if kind == "number" and index not in {time_index, taken}]
    if others and not chosen:
        left = ", ".join(map(called, others[:20]))
        notes.append(f"{name}: took column {called(taken)}; name another to take it instead (--column): {left}")
    if time_index is not None:
        return notes
    for index, cells in enumerate(table.columns):
        first = next((cell.strip() for cell in cells if cell.strip().lower() not in GAPS), "")
        named = bool(table.header) and table.header[index].lower() in TIME_HEADERS
        dated = index == 0 and kinds[index] == "text" and re.match(r"\d+[-/.: ]\d+", first)
        if index != taken and first and (named or dated):
            notes.append(
                f'{name}: the times in column {called(index)} ("{_short(first)}") were not understood, steps are '
                "counted; write them as 2026-03-02T09:00"
            )
            break
    return notes


def _numbers(cells: Iterable[str], comma: bool) -> list[float]:
    """NaN for what is none."""
    return [math.nan if (value := _number(cell, comma)) is None else value for cell in cells]


def _number(cell: str, comma: bool) -> float | None:
    """NaN for a gap, None for what is not a number."""
    if _THOUSANDS.fullmatch(cell.strip()) and (not comma or "." in cell):
        cell = cell.replace(",", "")
    elif comma and _THOUSANDS_POINTS.fullmatch(cell.strip()):
        cell = cell.replace(".", "").replace(",", ".")
    elif comma and "." not in cell:
        cell = cell.replace(",", ".", 1)
    try:
        value = float(cell)
    except ValueError:
        return math.nan if cell.strip().lower() in GAPS else None
    # Python's own underscores in numbers are not CSV's.
    return None if "_" in cell else value


# --- When ------------------------------------------------------------------------------------------------------------


def _parse_time(cell: str) -> datetime | None:
    if _YEAR_MONTH.fullmatch(cell):
        cell += "-01"
    elif found := _DAY_MONTH_YEAR.fullmatch(cell):
        day, month, year, clock = found.groups()
        cell = f"{year}-{month:0>2}-{day:0>2}" + (f"T{clock:0>5}" if clock else "")
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _time(cell: str, where: str) -> datetime:
    cell = cell.strip()
    try:
        epoch = float(cell)
    except ValueError:
        if (moment := _parse_time(cell)) is not None:
            return moment
    else:
        try:
            # Later than the year 5000 in seconds: they are milliseconds.
            return datetime.fromtimestamp(epoch / 1000 if abs(epoch) > 1e11 else epoch, UTC)
        except (ValueError, OverflowError, OSError):
            pass
    raise InputError(f'{where}: "{_short(cell)}" is not an ISO 8601 time (2026-03-02T09:00)', reason="NOT_A_TIME")


def _place(series: Series, times: Sequence[datetime], lines: Sequence[int], name: str) -> list[str]:
    """Sets the series' start and step, and puts gaps where rows are missing. Gives notes."""
    if len({moment.tzinfo is None for moment in times}) > 1:
        raise InputError(f"{name}: some times have a zone and some have none; give all of them one", reason="NO_ZONE")
    if len(times) == 1:
        series.start.FromDatetime(times[0].astimezone(UTC))
        return []
    spans = [later - earlier for earlier, later in pairwise(times)]
    for line, moment, span in zip(lines[1:], times[1:], spans, strict=True):
        if span <= timedelta(0):
            what = "comes twice" if not span else "comes after a later one; sort the rows, oldest first"
            raise InputError(f"{name} line {line}: {moment.isoformat(' ')} {what}", reason="UNORDERED")
    usual = Counter(spans).most_common(1)[0][0]
    counts = [round(span / usual) for span in spans]
    for line, moment, span, count in zip(lines[1:], times[1:], spans, counts, strict=True):
        if count < 1 or abs(span - count * usual) > _TOLERANCE * usual:
            if _by_calendar(times):
                return [f"{name}: rows follow the calendar, not a fixed step; sent without their times"]
            raise InputError(
                f"{name} line {line}: {moment.isoformat(' ')} comes {span} after the row before, where {usual} is "
                "usual; space the rows evenly, or drop the column of times",
                reason="UNEVEN",
            )
    total = sum(counts)
    if total >= MAX_POINTS:
        raise InputError(f"{name}: with its missing rows, more than {MAX_POINTS:,} values", reason="TOO_MANY_POINTS")
    step = (times[-1] - times[0]) / total
    # Counted back from the last row: what comes next starts there, whatever daylight saving did before.
    series.start.FromDatetime(times[-1].astimezone(UTC) - step * total)
    series.step.FromTimedelta(step)
    if total == len(spans):
        return []
    values = list(series.values)
    del series.values[:]
    series.values.append(values[0])
    for value, count in zip(values[1:], counts, strict=True):
        series.values.extend([math.nan] * (count - 1))
        series.values.append(value)
    return [f"{name}: {total - len(spans):,} missing rows taken as gaps"]


def _by_calendar(times: Sequence[datetime]) -> bool:
    """Whether the times are a whole number of months apart, always the same, on the same day or at the month's end."""
    months = [moment.year * 12 + moment.month for moment in times]
    ends = all((moment + timedelta(days=1)).day == 1 for moment in times)
    same = len({moment.day for moment in times}) == 1
    apart = {later - earlier for earlier, later in pairwise(months)}
    return (ends or same) and len(apart) == 1 and min(apart) > 0


def _short(cell: str) -> str:
    return cell if len(cell) <= 40 else f"{cell[:39]}…"
