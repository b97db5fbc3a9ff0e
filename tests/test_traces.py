"""Traces: stored beside the request, never in its way; and the database that they share with timers and notes."""

import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.daemon import database
from expertd.daemon import traces as module
from expertd.daemon.traces import Trace, TraceIds, Traces, TracesError, new_trace_id

Open = Callable[..., Traces]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "expertd.db"


@pytest.fixture
def open_traces(path: Path) -> Iterator[Open]:
    opened: list[Traces] = []

    def open_them(**settings: Any) -> Traces:
        opened.append(Traces.open(path, **settings))
        return opened[-1]

    yield open_them
    for traces in opened:
        traces.close()


def trace(**fields: Any) -> Trace:
    return Trace(**({"id": new_trace_id(), "time": datetime.now(UTC)} | fields))


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name))


# --- Recording -------------------------------------------------------------------------------------------------------


def test_a_trace_comes_back_as_it_was_recorded(open_traces: Open) -> None:
    traces = open_traces(keep_text=True)
    recorded = trace(
        time=datetime(2026, 3, 2, 8, 0, 0, 123456, UTC),
        app="mail",
        session="s1",
        verdict="routed",
        expert="spam",
        version=3,
        intent="check",
        confidence=0.97,
        tier="encoder",
        outcome="answered",
        reason='surely "spam"',
        route_s=0.001,
        answer_s=0.002,
        total_s=0.0035,
        text="is this spam?",
        answered_by="spam",
    )
    traces.record(recorded)
    assert traces.list() == [recorded]
    assert traces.dropped == 0


def test_traces_are_listed_newest_first_by_expert_and_by_id(open_traces: Open) -> None:
    traces = open_traces()
    recorded = [trace(expert=expert) for expert in ("spam", "clock", "spam", "timers")]
    for each in recorded:
        traces.record(each)
    assert traces.list() == recorded[::-1]
    assert traces.list(2) == recorded[:1:-1]
    assert traces.list(expert="spam") == [recorded[2], recorded[0]]
    assert traces.list(0, "clock", recorded[1].id) == [recorded[1]]
    assert traces.list(0, "clock", recorded[0].id) == []


def test_numbers_from_numpy_are_stored_as_numbers(open_traces: Open) -> None:
    import numpy as np

    traces = open_traces()
    traces.record(trace(confidence=np.float32(0.5), version=np.int64(2)))
    [back] = traces.list()
    assert (back.confidence, back.version) == (0.5, 2)


def test_the_requests_words_are_stored_only_if_they_are_to_be_kept(open_traces: Open, path: Path) -> None:
    traces = open_traces()
    traces.record(trace(text="call aunt Philomena", reason='no such time: "half past Philomena", it\'s not a time'))
    [back] = traces.list()
    assert (back.text, back.reason) == ("", "no such time: …, it's not a time")
    traces.close()
    assert b"Philomena" not in on_disk(path)


def test_words_stored_earlier_are_taken_out_once_they_are_not_to_be_kept(open_traces: Open, path: Path) -> None:
    before = open_traces(keep_text=True)
    before.record(trace(text="call aunt Philomena"))
    before.close()
    assert b"Philomena" in on_disk(path)
    after = open_traces(keep_text=False)
    assert after.prune() == 0
    after.close()
    assert b"Philomena" not in on_disk(path)
    assert len(after.list()) == 1


def test_closing_stores_what_was_recorded(open_traces: Open) -> None:
    traces = open_traces()
    for _ in range(3000):
        traces.record(trace())
    traces.close()
    traces.close()
    assert len(open_traces().list(5000)) == 3000


def test_nothing_is_recorded_when_traces_are_off(open_traces: Open) -> None:
    traces = open_traces(enabled=False)
    traces.record(trace())
    assert traces.list() == []


def test_many_threads_record_at_once(open_traces: Open) -> None:
    traces = open_traces()
    threads = [threading.Thread(target=lambda: [traces.record(trace()) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(traces.list(2000)) == 800


# --- Feedback --------------------------------------------------------------------------------------------------------


def test_feedback_is_kept_with_its_trace(open_traces: Open) -> None:
    traces = open_traces()
    good, bad = trace(), trace()
    traces.record(good)
    traces.record(bad)
    assert traces.feedback(good.id, "good")
    assert traces.feedback(bad.id, "bad", "clock")
    assert [each.feedback for each in traces.list()] == ["bad: clock", "good"]


def test_feedback_on_an_unknown_trace_is_told(open_traces: Open) -> None:
    assert not open_traces().feedback(new_trace_id(), "good")


def test_another_verdict_is_refused(open_traces: Open) -> None:
    with pytest.raises(ValueError, match='must be "good" or "bad"'):
        open_traces().feedback(new_trace_id(), "so-so")


# --- Pruning ---------------------------------------------------------------------------------------------------------


def test_old_traces_are_deleted(open_traces: Open) -> None:
    traces = open_traces(keep_days=30)
    now = datetime.now(UTC)
    ages = [timedelta(days=31), timedelta(days=30, minutes=1), timedelta(days=29), timedelta()]
    for age in ages:
        traces.record(trace(id=TraceIds.floor(now - age), time=now - age))
    traces.flush()
    assert traces.prune() == 2
    assert [each.time for each in traces.list()] == [now - age for age in ages[:1:-1]]


def test_of_too_many_traces_the_newest_stay(open_traces: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PRUNE_ROWS", 4)
    traces = open_traces(max_rows=10)
    recorded = [trace() for _ in range(25)]
    for each in recorded:
        traces.record(each)
    traces.flush()
    assert traces.prune() == 15
    assert traces.list() == recorded[:14:-1]
    assert traces.prune() == 0


# --- When the disk does not play along -------------------------------------------------------------------------------


def test_a_locked_database_drops_traces_and_says_so_once(
    open_traces: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    traces = open_traces(busy_timeout_s=0.01)
    traces.record(trace())
    traces.flush()
    with closing(database.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            traces.record(trace())
            assert traces.flush()
        other.execute("ROLLBACK")
    assert traces.dropped == 3
    traces.record(trace())
    assert len(traces.list()) == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"1 traces could not be stored in {path}: database is locked"]
    traces.close()
    assert caplog.records[-1].getMessage().startswith("2 traces could not be stored")


def test_recording_goes_on_while_nothing_can_be_written(open_traces: Open, path: Path) -> None:
    traces = open_traces(busy_timeout_s=0.5)
    traces.flush()
    with closing(database.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2 * module._QUEUE_ROWS):
            traces.record(trace())
        assert traces.dropped > 0
        other.execute("ROLLBACK")
    traces.flush()
    assert traces.dropped + len(traces.list(100_000)) == 2 * module._QUEUE_ROWS


def test_a_full_disk_drops_traces_and_leaves_the_rest_readable(path: Path) -> None:
    # A file-size limit stands in for the disk: the kernel refuses the write, as it does when there is no space.
    program = f"""
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from expertd.daemon.traces import Trace, Traces, new_trace_id
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
traces = Traces.open(Path({str(path)!r}), keep_text=True)
for _ in range(400):
    traces.record(Trace(id=new_trace_id(), time=datetime.now(UTC), text="x" * 1000))
    if _ % 20 == 0:
        traces.flush()
traces.close()
print(traces.dropped, len(traces.list(1000)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    dropped, stored = map(int, done.stdout.split())
    assert dropped > 0
    assert stored > 0
    assert dropped + stored == 400
    assert "traces could not be stored" in done.stderr


def test_a_folder_that_is_not_there_is_no_reason_to_stop(tmp_path: Path) -> None:
    traces = Traces.open(tmp_path / "none" / "expertd.db")
    traces.record(trace())
    assert traces.flush()
    assert traces.dropped == 1
    with pytest.raises(TracesError, match=r"none/expertd\.db: traces cannot be read: unable to open"):
        traces.list()
    traces.close()


def test_tables_of_a_newer_program_are_left_alone(open_traces: Open, path: Path) -> None:
    open_traces().list()
    with closing(database.connect(path)) as connection:
        connection.execute("UPDATE schema SET version = 99 WHERE owner = 'traces'")
    traces = open_traces()
    traces.record(trace())
    with pytest.raises(TracesError, match="written by a newer expertd"):
        traces.list()
    assert traces.dropped == 1


def test_the_file_is_readable_for_its_owner_alone(open_traces: Open, path: Path) -> None:
    open_traces().list()
    assert path.stat().st_mode & 0o777 == 0o600


# --- A damaged file --------------------------------------------------------------------------------------------------


def timers_and_traces(path: Path) -> None:
    """A database with a timer, then many traces; its later pages are traces' alone."""
    with closing(database.connect(path)) as connection:
        connection.execute("CREATE TABLE timers (id TEXT PRIMARY KEY, due TEXT)")
        connection.execute("INSERT INTO timers VALUES ('tea', '2026-03-02T09:00:00Z')")
    traces = Traces.open(path, keep_text=True)
    for _ in range(2000):
        traces.record(trace(text="x" * 100))
    traces.close()


def test_a_file_that_is_no_database_is_moved_aside_and_the_log_says_so(
    open_traces: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"this was a database once" * 1000)
    traces = open_traces()
    traces.record(trace())
    assert len(traces.list()) == 1
    [aside] = path.parent.glob("expertd.db.damaged-*")
    assert aside.read_bytes().startswith(b"this was")
    assert "is damaged (file is not a database)" in caplog.text


def test_what_can_be_read_of_a_damaged_file_is_brought_over(
    open_traces: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    timers_and_traces(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 40_960] = b"\xff" * 40_960
    path.write_bytes(content)
    database.suspect(path)
    traces = open_traces()
    assert 0 < len(traces.list(5000)) < 2000
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM timers").fetchall() == [("tea", "2026-03-02T09:00:00Z")]
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    assert "1 of timers" in caplog.text
    assert "tables read in part or not at all: traces" in caplog.text
    assert len(list(path.parent.glob("expertd.db.damaged-*"))) == 1


def test_damage_met_while_writing_is_mended_at_the_next_start(open_traces: Open, path: Path) -> None:
    timers_and_traces(path)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    broken = open_traces()
    broken.record(trace())
    broken.flush()
    assert broken.dropped == 1
    broken.close()
    mended = open_traces()
    mended.record(trace())
    mended.flush()
    assert mended.dropped == 0
    assert len(list(path.parent.glob("expertd.db.damaged-*"))) == 1


def test_a_sound_file_stays_after_an_unclean_end(open_traces: Open, path: Path) -> None:
    program = f"""
import os
from datetime import UTC, datetime
from pathlib import Path
from expertd.daemon.traces import Trace, Traces, new_trace_id
traces = Traces.open(Path({str(path)!r}))
traces.record(Trace(id=new_trace_id(), time=datetime.now(UTC)))
traces.flush()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert path.with_name("expertd.db-wal").stat().st_size > 0
    assert len(open_traces().list()) == 1
    assert list(path.parent.glob("expertd.db.damaged-*")) == []


def test_a_locked_file_is_not_taken_for_a_damaged_one(path: Path) -> None:
    timers_and_traces(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert database.mend(path) is None
    assert path.exists()


def test_schema_steps_run_once_each_and_all_or_none(path: Path) -> None:
    steps = ["CREATE TABLE one (x)", "CREATE TABLE two (x)"]
    with closing(database.connect(path)) as connection:
        database.migrate(connection, "notes", steps[:1])
        with pytest.raises(sqlite3.OperationalError):
            database.migrate(connection, "notes", [*steps, "CREATE TABLE one (x)"])
        database.migrate(connection, "notes", steps)
        database.migrate(connection, "notes", steps)
        assert connection.execute("SELECT * FROM schema").fetchall() == [("notes", 2)]


# --- Ids -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(min_value=0, max_value=2**48 - 1), min_size=1, max_size=50))
def test_ids_rise_whatever_the_clock_does(milliseconds: list[int]) -> None:
    ids = TraceIds()
    made = []
    clock = iter(milliseconds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "time_ns", lambda: next(clock) * 1_000_000)
        made = [ids.next() for _ in milliseconds]
    assert made == sorted(set(made))
    assert {len(each) for each in made} == {26}


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1)), st.integers(min_value=1, max_value=10**9))
def test_ids_sort_as_their_times_do(moment: datetime, later_ms: int) -> None:
    early = moment.replace(tzinfo=UTC)
    assert TraceIds.floor(early) < TraceIds.floor(early + timedelta(milliseconds=later_ms + 1))


def test_an_id_holds_its_time() -> None:
    before = TraceIds.floor(datetime.now(UTC))
    made = new_trace_id()
    assert before <= made < TraceIds.floor(datetime.now(UTC) + timedelta(milliseconds=2))


def test_ids_made_by_many_threads_are_all_different() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_trace_id() for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000
