"""Tables of a skill's own in the shared database; every change is one transaction, kept for a while to be undone.

    with ledger.changing("deleted", now) as change:     BEGIN IMMEDIATE
        change.delete("notes", 7)                       the row as it was is kept
                                                        COMMIT; on any error, and in a rehearsal, ROLLBACK

Beside the skill's tables, which `steps` make, lie two: the last changes, and per session what was shown last, so that
"delete the second one" means something. There are two connections, opened on first use: a reader, which in WAL never
waits for a writer and so may be used on the event loop (`look`), and a writer, which waits for the disk: from a thread.
Knows no skill's rows; names of tables and columns come from code, a request's words are only ever values.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..errors import StoreError

BUSY_TIMEOUT_S = 5.0
_TRIES = 100
# What can be undone: so many changes, and for so long. What was deleted is on the disk as long as that.
KEPT_CHANGES = 20
KEPT_FOR = timedelta(days=1)
# How long after a listing "the second one" still means its second line.
SESSION_LASTS = timedelta(minutes=30)
MAX_SESSIONS = 100
# A look that takes this much of the processor is taken in a thread the next time.
QUICK_S = 0.001
# Of each connection, in KiB.
_CACHE_KIB = 256

_Row = dict[str, Any]
_T = TypeVar("_T")


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a conversation was last about.

    shown: rows by their place in the last listing, the first first. spoken: the rows that were spoken of last.
    within: the row that holds them, 0 for none. pending: the sentence that does what was asked back about, "{}" where
    the answer belongs; "" for none.
    """

    shown: tuple[int, ...] = ()
    spoken: tuple[int, ...] = ()
    within: int = 0
    pending: str = ""


class Undone(msgspec.Struct, frozen=True):
    """A change that was taken back. rows: (table, the row as it was before the change or None, and as it was after)."""

    kind: str
    rows: tuple[tuple[str, _Row | None, _Row | None], ...]


class Change:
    """The writes of one transaction. Tables have a column `id`; a column that holds bytes is not brought back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.before: list[tuple[str, int, _Row | None]] = []

    def insert(self, table: str, **values: Any) -> int:
        """Returns the new row's id."""
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        cursor = self.connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - names from code
            tuple(values.values()),
        )
        row_id = int(cursor.lastrowid or 0)
        self.before.append((table, row_id, None))
        return row_id

    def update(self, table: str, row_id: int, **values: Any) -> None:
        self._keep(table, row_id)
        names = ", ".join(f"{name} = ?" for name in values)
        self.connection.execute(f"UPDATE {table} SET {names} WHERE id = ?", (*values.values(), row_id))  # noqa: S608

    def delete(self, table: str, row_id: int) -> None:
        self._keep(table, row_id)
        self.connection.execute(f"DELETE FROM {table} WHERE id = ?", (row_id,))  # noqa: S608

    def _keep(self, table: str, row_id: int) -> None:
        self.before.append((table, row_id, _row(self.connection, table, row_id)))


class Ledger:
    """The tables of one owner. Safe to use from any number of threads at once, and beside another ledger of theirs."""

    def __init__(self, database: Path, owner: str, steps: Sequence[str]) -> None:
        """steps: one SQL statement each, only ever appended to; they make tables named after the owner."""
        self._path = database
        self._owner = owner
        self._steps = (
            f"CREATE TABLE IF NOT EXISTS {owner}_changes (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, "
            "at TEXT NOT NULL, before TEXT NOT NULL)",
            f"CREATE TABLE IF NOT EXISTS {owner}_sessions (session TEXT PRIMARY KEY, at TEXT NOT NULL, "
            "state TEXT NOT NULL)",
            *steps,
        )
        self._reader, self._writer = _Line(), _Line()
        self._quick = False  # the first look opens the file, which takes a while

    async def look(self, read: Callable[[], _T]) -> _T:
        """Calls what reads, and writes nothing: here as long as that is quick, else in a thread.

        Raises: StoreError, and what `read` raises.
        """

        def timed() -> _T:
            started = time.thread_time()
            try:
                return read()
            finally:
                self._quick = self._reader.fits and time.thread_time() - started < QUICK_S

        return timed() if self._quick and not self._reader.lock.locked() else await asyncio.to_thread(timed)

    def close(self) -> None:
        """Lets go of the file; a later call opens it again."""
        for line in (self._reader, self._writer):
            with line.lock:
                line.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent look.

        Raises: StoreError when the database cannot be read.
        """
        with self._transaction(self._reader, "DEFERRED", kept=False) as connection:
            yield connection

    @contextmanager
    def changing(self, kind: str, now: datetime, *, rehearsal: bool = False) -> Iterator[Change]:
        """What is written inside is there as a whole, or not at all; `undo` takes it back as a whole.

        rehearsal: it is rolled back at the end.

        Raises: StoreError when it cannot be written; nothing has changed then.
        """
        with self._transaction(self._writer, "IMMEDIATE", kept=not rehearsal) as connection:
            change = Change(connection)
            yield change
            if change.before:
                connection.execute(
                    f"INSERT INTO {self._owner}_changes (kind, at, before) VALUES (?, ?, ?)",  # noqa: S608
                    (kind, iso(now), msgspec.json.encode(change.before).decode()),
                )
            connection.execute(
                f"DELETE FROM {self._owner}_changes WHERE at < ? OR id <= "  # noqa: S608
                f"(SELECT max(id) - ? FROM {self._owner}_changes)",
                (iso(now - KEPT_FOR), KEPT_CHANGES),
            )

    def undo(self, kinds: Sequence[str], now: datetime, *, rehearsal: bool = False) -> Undone | None:
        """Takes the last change of these kinds back, as far as any is kept; () for any kind.

        Raises: StoreError.
        """
        with self._transaction(self._writer, "IMMEDIATE", kept=not rehearsal) as connection:
            marks = ", ".join("?" * len(kinds))
            among = f"AND kind IN ({marks})" if kinds else ""
            found = connection.execute(
                f"SELECT id, kind, before FROM {self._owner}_changes WHERE at >= ? {among} "  # noqa: S608
                "ORDER BY id DESC LIMIT 1",
                (iso(now - KEPT_FOR), *kinds),
            ).fetchone()
            if found is None:
                return None
            rows = []
            for table, row_id, before in reversed(msgspec.json.decode(found["before"])):
                after = _row(connection, table, row_id)
                if before is None:
                    connection.execute(f"DELETE FROM {table} WHERE id = ?", (row_id,))  # noqa: S608
                else:
                    names, marks = ", ".join(before), ", ".join("?" * len(before))
                    connection.execute(
                        f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
                        tuple(before.values()),
                    )
                rows.append((table, before, after))
            connection.execute(f"DELETE FROM {self._owner}_changes WHERE id = ?", (found["id"],))  # noqa: S608
            return Undone(found["kind"], tuple(reversed(rows)))

    @contextmanager
    def aside(self) -> Iterator[sqlite3.Connection]:
        """For what can be worked out or asked again: it is not undone, and a power cut may lose the last of it.

        Raises: StoreError.
        """
        with self._transaction(self._writer, "IMMEDIATE", kept=True, durable=False) as connection:
            yield connection

    # --- Sessions -----------------------------------------------------------------------------------------------------

    def session(self, connection: sqlite3.Connection, name: str, now: datetime) -> Session:
        """What the session was last about; an empty one where that was long ago."""
        found = connection.execute(
            f"SELECT state FROM {self._owner}_sessions WHERE session = ? AND at >= ?",  # noqa: S608
            (name, iso(now - SESSION_LASTS)),
        ).fetchone()
        return Session() if found is None else msgspec.json.decode(found["state"], type=Session)

    def remember(
        self,
        name: str,
        now: datetime,
        *,
        shown: Sequence[int] | None = None,
        spoken: Sequence[int] = (),
        within: int = 0,
        pending: str = "",
    ) -> None:
        """Keeps it, for the last so many sessions. shown: None leaves the last listing as it is. Raises: StoreError."""
        with self.aside() as connection:
            self.keep_session(connection, name, now, shown=shown, spoken=spoken, within=within, pending=pending)

    def keep_session(
        self,
        connection: sqlite3.Connection,
        name: str,
        now: datetime,
        *,
        shown: Sequence[int] | None = None,
        spoken: Sequence[int] = (),
        within: int = 0,
        pending: str = "",
    ) -> None:
        """As `remember`, as a part of a change."""
        listing = self.session(connection, name, now).shown if shown is None else tuple(shown)
        session = Session(listing, tuple(spoken), within, pending)
        connection.execute(
            f"INSERT OR REPLACE INTO {self._owner}_sessions VALUES (?, ?, ?)",  # noqa: S608
            (name, iso(now), msgspec.json.encode(session).decode()),
        )
        count = connection.execute(f"SELECT count(*) FROM {self._owner}_sessions").fetchone()[0]  # noqa: S608
        if count > MAX_SESSIONS:
            connection.execute(
                f"DELETE FROM {self._owner}_sessions WHERE session NOT IN "  # noqa: S608
                f"(SELECT session FROM {self._owner}_sessions ORDER BY at DESC LIMIT ?)",
                (MAX_SESSIONS,),
            )

    # --- The file -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, line: _Line, mode: str, *, kept: bool, durable: bool = True) -> Iterator[sqlite3.Connection]:
        with line.lock:
            try:
                connection = line.connection = line.connection or self._connect()
                if line is self._writer:
                    # FULL: a commit survives a power cut too, which WAL's usual NORMAL does not promise.
                    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                connection.execute(f"BEGIN {mode}")
                try:
                    fits = line.fits or self._version(connection) == len(self._steps)
                    if not fits:
                        connection.execute("ROLLBACK")
                        connection.execute("BEGIN IMMEDIATE")
                        self._migrate(connection)
                    yield connection
                    connection.execute("COMMIT" if kept else "ROLLBACK")
                    line.fits = fits or kept
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                line.close()
                raise StoreError(
                    f"{self._path}: the tables of {self._owner} cannot be read or written ({error}), nothing was "
                    "changed; see that there is space left and that the file is writable"
                ) from error

    def _connect(self) -> sqlite3.Connection:
        with contextlib.suppress(OSError):
            # SQLite would create it readable for all.
            os.close(os.open(self._path, os.O_CREAT | os.O_CLOEXEC, 0o600))
        # A line's lock sees to it that one thread at a time uses it.
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            _to_wal(connection)
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _version(self, connection: sqlite3.Connection) -> int:
        with contextlib.suppress(sqlite3.OperationalError):  # no such table yet
            row = connection.execute("SELECT version FROM schema WHERE owner = ?", (self._owner,)).fetchone()
            return int(row[0]) if row else 0
        return 0

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS schema (owner TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        seen = self._version(connection)
        if seen > len(self._steps):
            raise StoreError(
                f"{self._path}: the tables of {self._owner} were written by a newer expertd (schema {seen}, this one "
                f"knows {len(self._steps)}); update expertd, or move the database away"
            )
        for step in self._steps[seen:]:
            connection.execute(step)
        connection.execute("INSERT OR REPLACE INTO schema VALUES (?, ?)", (self._owner, len(self._steps)))


def _to_wal(connection: sqlite3.Connection) -> None:
    """Where two connections find a new file, SQLite refuses one of them at once instead of having it wait."""
    for patience in range(_TRIES, -1, -1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not patience:
                raise
            time.sleep(0.01)


class _Line:
    """A connection that one thread at a time may use; None until it is needed, and after an error.

    fits: whether the tables that it found are those that this version knows.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.fits = False

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection, self.fits = None, False


def _row(connection: sqlite3.Connection, table: str, row_id: int) -> _Row | None:
    found = connection.execute(f"SELECT * FROM {table} WHERE id = ?", (row_id,)).fetchone()  # noqa: S608
    if found is None:
        return None
    return {name: None if isinstance(value, bytes) else value for name, value in dict(found).items()}


def iso(moment: datetime) -> str:
    """In UTC, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
