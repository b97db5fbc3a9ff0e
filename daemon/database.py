"""The one SQLite file: opened by one rule for all, told who keeps which tables, and replaced when it is damaged.

Several owners keep tables in it (traces here, timers and notes among the experts), so the schema's version is kept per
owner. Knows no owner's tables.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

_log = logging.getLogger(__name__)

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SchemaError(Exception):
    """The tables were written by a newer version of this program."""


def connect(path: Path, *, busy_timeout_s: float = 2.0) -> sqlite3.Connection:
    """A connection in autocommit mode: WAL, so that readers and the writer do not wait for one another.

    Raises: sqlite3.Error when the file cannot be opened.
    """
    with contextlib.suppress(OSError):
        # SQLite would create it readable for all; its -wal and -shm take this file's mode.
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last moments, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, owner: str, steps: Sequence[str]) -> None:
    """Brings one owner's tables up to date: runs the steps that this file has not seen yet, all or none.

    steps: one SQL statement each, only ever appended to; each bears being run again, as it is when damage took the note
    that it was run.

    Raises: SchemaError when the file has seen more steps than these; sqlite3.Error.
    """
    with contextlib.suppress(sqlite3.OperationalError):  # no such table yet
        if _seen(connection, owner) == len(steps):
            return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema (owner TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        seen = _seen(connection, owner)
        if seen > len(steps):
            raise SchemaError(
                f"the tables of {owner} were written by a newer expertd (schema {seen}, this one knows {len(steps)}); "
                "update expertd, or move the database away"
            )
        for step in steps[seen:]:
            connection.execute(step)
        connection.execute("INSERT OR REPLACE INTO schema VALUES (?, ?)", (owner, len(steps)))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _seen(connection: sqlite3.Connection, owner: str) -> int:
    row = connection.execute("SELECT version FROM schema WHERE owner = ?", (owner,)).fetchone()
    return int(row[0]) if row else 0


# --- Damage ----------------------------------------------------------------------------------------------------------


def is_damage(error: BaseException) -> bool:
    """Whether the error says that the file itself is broken, rather than locked, full or forbidden."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED


def suspect(path: Path) -> None:
    """Has the next start look through the whole file."""
    with contextlib.suppress(OSError):
        _mark(path).touch(mode=0o600)


def mend(path: Path) -> Path | None:
    """Moves a damaged file aside, to `<name>.damaged-<time>`, and puts one with all that could be read in its place.

    To be called before anyone opens the file. The whole file is looked through only after an unclean end, or once it
    was suspected; otherwise its head alone. The log says what was lost. Returns where the damaged file is now.

    Raises: OSError when the file cannot be moved.
    """
    if not path.exists():
        return None
    problem = _problem(path, thorough=_mark(path).exists() or _has_wal(path))
    with contextlib.suppress(OSError):
        _mark(path).unlink(missing_ok=True)
    if not problem:
        return None
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    _log.error("%s is damaged (%s); moving it to %s and starting a fresh one", path, problem, aside.name)
    fresh = path.with_name(path.name + ".fresh")
    fresh.unlink(missing_ok=True)
    rescued, lost = _rescue(path, fresh)
    for tail in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + tail).rename(aside.with_name(aside.name + tail))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    fresh.rename(path)
    kept = ", ".join(f"{rows} of {table}" for table, rows in rescued.items()) or "none"
    _log.error("%s: rows brought over: %s; tables read in part or not at all: %s", path, kept, ", ".join(lost) or "-")
    return aside


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")


def _has_wal(path: Path) -> bool:
    """A log that is still there was left by a process that did not close the file."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except OSError:
        return False


def _problem(path: Path, *, thorough: bool) -> str:
    """What is wrong with the file; empty: nothing, or nothing that a new file would cure."""
    try:
        with closing(sqlite3.connect(path, timeout=2.0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if thorough else "ok"
            return "" if verdict == "ok" else str(verdict).replace("\n", " ")
    except sqlite3.Error as error:
        return str(error) if is_damage(error) else ""


def _rescue(damaged: Path, fresh: Path) -> tuple[dict[str, int], list[str]]:
    """Copies what can be read. Returns the rows copied per table, and the tables that could not be read to the end."""
    rescued: dict[str, int] = {}
    lost: list[str] = []
    with closing(sqlite3.connect(damaged)) as source, closing(connect(fresh)) as target:
        source.text_factory = lambda raw: raw.decode("utf-8", "replace")
        try:
            items = source.execute(
                "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
                "ORDER BY type != 'table'"
            ).fetchall()
        except sqlite3.Error:
            return {}, ["all"]
        target.execute("PRAGMA foreign_keys = OFF")
        for kind, name, sql in items:
            target.execute("BEGIN")
            try:
                target.execute(sql)
                if kind == "table":
                    rescued[name] = 0
                    for row in source.execute(f"SELECT * FROM {_quoted(name)}"):  # noqa: S608, a table's own name
                        target.execute(f"INSERT INTO {_quoted(name)} VALUES ({','.join('?' * len(row))})", row)  # noqa: S608
                        rescued[name] += 1
            except sqlite3.Error:
                lost.append(name)
            target.execute("COMMIT")
    return rescued, lost


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
