"""Traces: one row per request in the database, written beside the request's own life and never in its way.

`record` puts the row into a bounded queue and returns; one thread writes what has come together. Where that fails
(a full disk, a locked database) rows are dropped, counted, and the log says so once a minute. Requests' own words are
stored only if the configuration asks for it. Knows nothing of the wire, nor of what the fields mean.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import database

_log = logging.getLogger(__name__)

_STEPS = [
    """CREATE TABLE IF NOT EXISTS traces (
        id TEXT PRIMARY KEY, time REAL, app TEXT, session TEXT, verdict TEXT, expert TEXT, version INTEGER,
        intent TEXT, confidence REAL, tier TEXT, outcome TEXT, reason TEXT, route_s REAL, answer_s REAL, total_s REAL,
        text TEXT, feedback TEXT, correction TEXT, answered_by TEXT)""",
    "CREATE INDEX IF NOT EXISTS traces_by_expert ON traces (expert, id)",
    # Where requests' words are, so that taking them out again needs no walk through the whole table.
    "CREATE INDEX IF NOT EXISTS traces_with_text ON traces (id) WHERE text <> ''",
]
_QUEUE_ROWS = 4096
_BATCH_ROWS = 512
# How long a batch waits for company: short enough for nobody to notice, long enough to spare the disk.
_LINGER_S = 0.05
_PRUNE_EVERY_S = 6 * 3600.0
_FIRST_PRUNE_S = 30.0
_PRUNE_ROWS = 2000
_REPORT_EVERY_S = 60.0


class TracesError(Exception):
    """Traces cannot be read or changed now; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One request. The fields are the contract's (`fleet.proto`, Trace); durations in seconds.

    verdict: "routed", "clarify", "titan", "invoked", "compound". outcome: "answered", "clarify", "abstained", or a gRPC
    status in lower case. text: the request's words; unless the configuration keeps them, they and what `reason` quotes
    are not stored. feedback: "good", "bad", with the correction after a colon; set by `Traces.feedback` alone.
    """

    id: str
    time: datetime
    app: str = ""
    session: str = ""
    verdict: str = ""
    expert: str = ""
    version: int = 0
    intent: str = ""
    confidence: float = 0.0
    tier: str = ""
    outcome: str = ""
    reason: str = ""
    route_s: float = 0.0
    answer_s: float = 0.0
    total_s: float = 0.0
    text: str = ""
    feedback: str = ""
    answered_by: str = ""


class TraceIds:
    """Makes trace ids: 26 characters that sort by time, as in the ULID specification: 48 bits of milliseconds and 80
    random ones, in Crockford's base 32. Rising strictly, also within a millisecond and when the clock steps back."""

    _DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> str:
        """A new id; from any thread."""
        fresh = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
        with self._lock:
            # Only the next number can follow the last one if the time is not later than that one's.
            self._last = fresh if fresh >> 80 > self._last >> 80 else self._last + 1
            number = self._last
        return self.encode(number)

    @classmethod
    def floor(cls, moment: datetime) -> str:
        """The smallest id that could have been made at that time."""
        return cls.encode(max(0, int(moment.timestamp() * 1000)) << 80)

    @classmethod
    def encode(cls, number: int) -> str:
        return "".join([cls._DIGITS[number >> shift & 31] for shift in range(125, -1, -5)])


# One row of numbers for the process: ids rise whoever makes them.
new_trace_id = TraceIds().next


@dataclass(frozen=True, slots=True)
class _Reached:
    """A mark in the queue: everything before it has been written or dropped."""

    event: threading.Event


class Traces:
    """The traces in one database file. Every method may be called from any thread; all but `record` may wait."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        keep_text: bool = False,
        keep_days: int = 30,
        max_rows: int = 200_000,
        enabled: bool = True,
        busy_timeout_s: float = 2.0,
    ) -> Traces:
        """Mends the file if it is damaged (so: before anyone else opens it) and starts the writer.

        keep_text: whether requests' words are stored; False also takes out those that were stored before.
        keep_days, max_rows: what is older, or more, is deleted now and then. enabled: False records nothing.

        Raises: OSError when a damaged file cannot be moved aside. A database that cannot be opened is no error here.
        """
        database.mend(path)
        traces = cls(
            path,
            keep_text=keep_text,
            keep_days=keep_days,
            max_rows=max_rows,
            enabled=enabled,
            busy_timeout_s=busy_timeout_s,
        )
        traces._thread.start()
        return traces

    def __init__(
        self, path: Path, *, keep_text: bool, keep_days: int, max_rows: int, enabled: bool, busy_timeout_s: float
    ) -> None:
        self._path = path
        self._keep_text = keep_text
        self._keep_days = keep_days
        self._max_rows = max_rows
        self._enabled = enabled
        self._busy_timeout_s = busy_timeout_s
        self._queue: queue.Queue[Trace | _Reached | None] = queue.Queue(_QUEUE_ROWS)
        self._thread = threading.Thread(target=self._write, name="traces", daemon=True)
        self._lock = threading.Lock()
        self._dropped = 0
        self._reported = 0
        self._last_report_s = float("-inf")
        self._last_problem = ""

    # --- Writing, from the request's side ---

    def record(self, trace: Trace) -> None:
        """Takes the trace on; never waits and never raises. It is stored within moments, or dropped and counted."""
        if not self._enabled:
            return
        try:
            self._queue.put_nowait(trace)
        except queue.Full:
            self._drop(1, "more requests than the disk takes in")

    @property
    def dropped(self) -> int:
        """Traces that could not be stored since the start."""
        with self._lock:
            return self._dropped

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything recorded so far is stored or dropped; False: it took longer than that."""
        reached = _Reached(threading.Event())
        try:
            self._queue.put(reached, timeout=timeout_s)
        except queue.Full:
            return False
        return self._thread.is_alive() and reached.event.wait(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Stores what was recorded and ends the writer. May be called twice."""
        if self._thread.is_alive():
            try:
                self._queue.put(None, timeout=timeout_s)
            except queue.Full:
                return
            self._thread.join(timeout_s)

    # --- Reading and amending ---

    def list(self, limit: int = 50, expert: str = "", trace_id: str = "") -> Sequence[Trace]:
        """Traces, newest first. limit: 0 means 50. expert, trace_id: only theirs; "" means any.

        Raises: TracesError.
        """
        self.flush()
        query = f"SELECT {_COLUMNS} FROM traces"  # noqa: S608, the columns are a constant
        wanted = {"expert = ?": expert, "id = ?": trace_id}
        conditions = [condition for condition, value in wanted.items() if value]
        if conditions:
            query += " WHERE " + " AND ".join(conditions)
        values = [value for value in wanted.values() if value]
        try:
            with closing(self._connect()) as connection:
                rows = connection.execute(
                    query + " ORDER BY id DESC LIMIT ?", (*values, limit if limit > 0 else 50)
                ).fetchall()
        except (sqlite3.Error, database.SchemaError) as error:
            raise TracesError(f"{self._path}: traces cannot be read: {error}") from error
        return [_trace(row) for row in rows]

    def feedback(self, trace_id: str, verdict: str, correction: str = "") -> tuple[str, int] | None:
        """Keeps a verdict ("good" or "bad") with a trace, and what would have been right; returns the expert that
        answered then and its version, None: no such trace.

        Raises: TracesError when it cannot be stored, ValueError for another verdict.
        """
        if verdict not in {"good", "bad"}:
            raise ValueError(f'verdict "{verdict}": must be "good" or "bad"')
        self.flush()
        try:
            with closing(self._connect()) as connection:
                rows = connection.execute(
                    "UPDATE traces SET feedback = ?, correction = ? WHERE id = ? RETURNING answered_by, version",
                    (verdict, correction, trace_id),
                ).fetchall()
        except (sqlite3.Error, database.SchemaError) as error:
            raise TracesError(f"{self._path}: feedback on trace {trace_id} cannot be stored: {error}") from error
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def prune(self) -> int:
        """Deletes traces past their days or their number, and requests' words if they are not to be kept.

        The writer does it by itself every few hours. Returns the number of deleted traces. Raises: TracesError.
        """
        try:
            with closing(self._connect()) as connection:
                # What is deleted is gone from the file too, not only from view.
                connection.execute("PRAGMA secure_delete = ON")
                if not self._keep_text:
                    connection.execute("UPDATE traces SET text = '' WHERE text <> ''")
                horizon = TraceIds.floor(datetime.now(UTC) - timedelta(days=self._keep_days))
                surplus = connection.execute(
                    "SELECT id FROM traces ORDER BY id DESC LIMIT 1 OFFSET ?", (self._max_rows,)
                ).fetchone()
                last = max(horizon, surplus[0]) if surplus else horizon
                deleted = 0
                # In steps, so that the writer gets its turn in between.
                while step := connection.execute(
                    "DELETE FROM traces WHERE id IN (SELECT id FROM traces WHERE id <= ? ORDER BY id LIMIT ?)",
                    (last, _PRUNE_ROWS),
                ).rowcount:
                    deleted += step
                return deleted
        except (sqlite3.Error, database.SchemaError) as error:
            raise TracesError(f"{self._path}: old traces cannot be deleted: {error}") from error

    # --- The writer's thread ---

    def _write(self) -> None:
        connection: sqlite3.Connection | None = None
        next_prune_s = time.monotonic() + _FIRST_PRUNE_S
        ending = False
        while not ending:
            batch, marks, ending = self._gather(min(_REPORT_EVERY_S, max(0.0, next_prune_s - time.monotonic())))
            if batch:
                try:
                    connection = connection or self._connect()
                    self._insert(connection, batch)
                except Exception as error:  # whatever it is, the next batch gets its try
                    self._drop(len(batch), str(error))
                    if database.is_damage(error):
                        database.suspect(self._path)
                    if connection is not None:
                        connection.close()
                        connection = None
            for mark in marks:
                mark.event.set()
            if time.monotonic() >= next_prune_s and not ending:
                next_prune_s = time.monotonic() + _PRUNE_EVERY_S
                try:
                    self.prune()
                except TracesError as error:
                    _log.warning("%s", error)
            self._report(at_once=ending)
        if connection is not None:
            connection.close()

    def _gather(self, timeout_s: float) -> tuple[Sequence[Trace], Sequence[_Reached], bool]:
        """What has come together: traces, marks that somebody waits at, and whether it is the end."""
        batch: list[Trace] = []
        marks: list[_Reached] = []
        until_s = time.monotonic() + timeout_s
        while len(batch) < _BATCH_ROWS:
            try:
                item = self._queue.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return batch, marks, True
            if isinstance(item, _Reached):
                marks.append(item)
                break
            if not batch:
                until_s = time.monotonic() + _LINGER_S
            batch.append(item)
        return batch, marks, False

    def _insert(self, connection: sqlite3.Connection, batch: Sequence[Trace]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                f"INSERT OR REPLACE INTO traces ({_COLUMNS}) VALUES ({','.join('?' * len(_FIELDS))}, '')",  # noqa: S608
                [_row(trace if self._keep_text else _wordless(trace)) for trace in batch],
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = database.connect(self._path, busy_timeout_s=self._busy_timeout_s)
        try:
            database.migrate(connection, "traces", _STEPS)
        except BaseException:
            connection.close()
            raise
        return connection

    # --- What was lost ---

    def _drop(self, rows: int, problem: str) -> None:
        with self._lock:
            self._dropped += rows
            self._last_problem = problem

    def _report(self, *, at_once: bool) -> None:
        now_s = time.monotonic()
        with self._lock:
            lost = self._dropped - self._reported
            if not lost or (now_s - self._last_report_s < _REPORT_EVERY_S and not at_once):
                return
            self._reported, self._last_report_s = self._dropped, now_s
            problem = self._last_problem
        _log.warning("%d traces could not be stored in %s: %s", lost, self._path, problem)


_FIELDS = tuple(field.name for field in dataclasses.fields(Trace))
_COLUMNS = ", ".join((*_FIELDS, "correction"))

# What an error or an abstention quotes is, as a rule, from the request. An apostrophe quotes nothing.
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|`[^`]*`|(?<!\w)\'[^\']*\'(?!\w)')


def _wordless(trace: Trace) -> Trace:
    return dataclasses.replace(trace, text="", reason=_QUOTED.sub("…", trace.reason))


def _row(trace: Trace) -> tuple[str | int | float, ...]:
    values = {name: getattr(trace, name) for name in _FIELDS} | {"time": trace.time.timestamp()}
    # Numbers may come as numpy's, which SQLite does not take.
    return tuple(value if isinstance(value, (str, int)) else float(value) for value in values.values())


def _trace(row: Sequence[str | float | None]) -> Trace:
    *values, correction = row
    fields: dict[str, Any] = {name: value for name, value in zip(_FIELDS, values, strict=True) if value is not None}
    fields["time"] = datetime.fromtimestamp(fields["time"], UTC)
    if correction:
        fields["feedback"] += f": {correction}"
    return Trace(**fields)
