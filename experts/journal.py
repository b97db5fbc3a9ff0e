"""The schedule on disk: two tables of plain data, one transaction per change.

Says what a job is. Knows nothing of when it is now, nor of who is waiting for it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from .errors import StoreError
from .skills.timex import Recurrence, TimeError
from .values import Json

_log = logging.getLogger(__name__)

KEPT_FIRED_DAYS = 30
MAX_PAYLOAD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence, and the zone whose wall clock it follows."""

    recurrence: Recurrence
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime | None:
        """The first occurrence after `moment`, in UTC; None: there is none before the calendar ends."""
        try:
            return self.recurrence.next_after(moment, self.zone).astimezone(UTC)
        except (TimeError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Job:
    """due: in UTC; None while paused. rule: None for a job that fires once."""

    owner: str
    id: str
    due: datetime | None
    payload: Mapping[str, Json]
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """A job that fired. due: when it should have, for a rule that was missed more than once the last time."""

    job: Job
    due: datetime
    fired: datetime

    @property
    def late(self) -> timedelta:
        return max(self.fired - self.due, timedelta())


_SCHEMA = """
CREATE TABLE IF NOT EXISTS schedule_jobs (
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    due TEXT,                  -- ISO 8601 in UTC; NULL: paused
    rule TEXT,                 -- JSON {"recurrence": …, "zone": …}; NULL: fires once
    payload TEXT NOT NULL,     -- JSON
    PRIMARY KEY (owner, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS schedule_fired (
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    due TEXT NOT NULL,
    fired TEXT NOT NULL,
    rule TEXT,
    payload TEXT NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, id, due)
) WITHOUT ROWID;
"""


class Journal:
    """The tables. Every method runs in the writer's thread, as one transaction, and raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def open(self) -> tuple[list[Job], list[Firing], list[Firing]]:
        """Jobs, what was fired lately (oldest first), and what of it was never delivered."""
        try:
            connection = sqlite3.connect(self._path, timeout=5, isolation_level=None)
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit survives a power cut too, which WAL's usual NORMAL does not promise.
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_SCHEMA)
            job_rows = connection.execute("SELECT owner, id, due, rule, payload FROM schedule_jobs").fetchall()
            fired_rows = connection.execute(
                "SELECT owner, id, due, rule, payload, fired, delivered FROM schedule_fired ORDER BY fired, due"
            ).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: cannot be opened as the schedule's database: {error}") from error
        old = _iso(datetime.now(UTC) - timedelta(days=KEPT_FIRED_DAYS))
        with suppress(StoreError), self._transaction() as now:  # tidying up can wait for a disk with space
            now.execute("DELETE FROM schedule_fired WHERE fired < ? AND delivered", (old,))
        jobs = [job for row in job_rows if (job := _read(row)) is not None]
        fired, undelivered = [], []
        for row in fired_rows:
            job = _read(row[:5])
            if job is not None and job.due is not None:
                firing = Firing(job, job.due, datetime.fromisoformat(row[5]))
                fired.append(firing)
                if not row[6]:
                    undelivered.append(firing)
        return jobs, fired, undelivered

    def insert(self, job: Job) -> None:
        with self._transaction() as now:
            now.execute("INSERT INTO schedule_jobs (owner, id, due, rule, payload) VALUES (?, ?, ?, ?, ?)", _row(job))

    def replace(self, job: Job) -> None:
        owner, job_id, due, rule, payload = _row(job)
        with self._transaction() as now:
            changed = now.execute(
                "UPDATE schedule_jobs SET due = ?, rule = ?, payload = ? WHERE owner = ? AND id = ?",
                (due, rule, payload, owner, job_id),
            )
            if changed.rowcount == 0:
                raise StoreError(f"job {job.owner}/{job.id} is not scheduled; it may have fired already")

    def remove(self, jobs: list[Job]) -> None:
        with self._transaction() as now:
            now.executemany(
                "DELETE FROM schedule_jobs WHERE owner = ? AND id = ?", [(job.owner, job.id) for job in jobs]
            )

    def settle(self, firing: Firing, armed: datetime, following: datetime | None) -> None:
        """Records the firing, and removes the job, or moves it on. armed: the time in its row; a row that says another
        was changed meanwhile and stays."""
        owner, job_id, due, rule, payload = _row(firing.job)
        row = (owner, job_id, _iso(armed))
        with self._transaction() as now:
            now.execute(
                "INSERT OR REPLACE INTO schedule_fired (owner, id, due, rule, payload, fired) VALUES (?,?,?,?,?,?)",
                (owner, job_id, due, rule, payload, _iso(firing.fired)),
            )
            if following is None:
                now.execute("DELETE FROM schedule_jobs WHERE owner = ? AND id = ? AND due = ?", row)
            else:
                now.execute(
                    "UPDATE schedule_jobs SET due = ? WHERE owner = ? AND id = ? AND due = ?", (_iso(following), *row)
                )

    def delivered(self, firing: Firing) -> None:
        with self._transaction() as now:
            now.execute(
                "UPDATE schedule_fired SET delivered = 1 WHERE owner = ? AND id = ? AND due = ?",
                (firing.job.owner, firing.job.id, _iso(firing.due)),
            )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection is None:
            raise StoreError("the schedule is not open; start it first")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError):
                raise StoreError(f"{self._path}: such a job exists already; update it, or choose another id") from error
            if isinstance(error, sqlite3.Error):
                raise StoreError(
                    f"{self._path}: the schedule cannot be written ({error}), nothing was changed; "
                    "see that there is space left and that the file is writable"
                ) from error
            raise


def _row(job: Job) -> tuple[str, str, str | None, str | None, str]:
    payload = msgspec.json.encode(job.payload)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise StoreError(f"job {job.owner}/{job.id}: payload of {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are allowed")
    rule = None
    if job.rule is not None:
        plain = {"recurrence": job.rule.recurrence.to_json(), "zone": job.rule.zone.key}
        rule = msgspec.json.encode(plain).decode()
    return job.owner, job.id, _iso(job.due) if job.due else None, rule, payload.decode()


def _read(row: tuple[str, str, str | None, str | None, str]) -> Job | None:
    """The job in a row; None (and a word in the log) for one that cannot be read: it must not hold up the others."""
    owner, job_id, due, rule_text, payload = row
    try:
        rule = None
        if rule_text is not None:
            plain = msgspec.json.decode(rule_text)
            rule = Rule(Recurrence.from_json(plain["recurrence"]), ZoneInfo(plain["zone"]))
        when = datetime.fromisoformat(due) if due is not None else None
        return Job(owner, job_id, when, msgspec.json.decode(payload, type=dict[str, Any]), rule)
    except (ValueError, TypeError, KeyError, msgspec.MsgspecError, ZoneInfoNotFoundError) as error:
        _log.error("job %s/%s in the database cannot be read and is left alone: %s", owner, job_id, error)
        return None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
