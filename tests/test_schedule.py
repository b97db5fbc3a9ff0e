"""Durable jobs: real SQLite files, a real scheduler, a real process that is killed."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import apscheduler.schedulers.base
import pytest

from expertd.experts import schedule
from expertd.experts.errors import StoreError
from expertd.experts.journal import Job, Rule
from expertd.experts.schedule import Scheduler
from expertd.experts.skills.timex import Recurrence

BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = timedelta(milliseconds=30)


class Heard:
    """An owner's callback that keeps what it was told."""

    def __init__(self) -> None:
        self.firings: asyncio.Queue[tuple[Job, datetime, timedelta]] = asyncio.Queue()

    async def __call__(self, job: Job, due: datetime, late: timedelta) -> None:
        self.firings.put_nowait((job, due, late))

    async def next(self) -> tuple[Job, datetime, timedelta]:
        return await asyncio.wait_for(self.firings.get(), 20)

    def silent(self) -> bool:
        return self.firings.empty()


@asynccontextmanager
async def running(database: Path, heard: Callable[..., Awaitable[None]] | None = None) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(database)
    if heard is not None:
        scheduler.on_fire("timers", heard)
    await scheduler.start()
    try:
        yield scheduler
    finally:
        await scheduler.stop()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "expertd.db"


def rows(database: Path, table: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


def soon() -> datetime:
    return datetime.now(UTC) + MOMENT


def later(hours: float = 1) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for something that comes by itself."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_a_job_fires_with_its_payload_and_is_gone(database: Path) -> None:
    heard = Heard()
    async with running(database, heard) as scheduler:
        due = soon()
        await scheduler.add("timers", "a", due, {"name": "pasta", "numbers": [1, 2.5, None]})
        job, was_due, late = await heard.next()
        assert (job.id, job.payload) == ("a", {"name": "pasta", "numbers": [1, 2.5, None]})
        assert was_due == due
        assert late >= timedelta()
        assert scheduler.jobs("timers") == []
        assert [firing.job.id for firing in scheduler.fired("timers")] == ["a"]
    assert rows(database, "schedule_jobs") == []
    assert [(row[0], row[1], row[-1]) for row in rows(database, "schedule_fired")] == [("timers", "a", 1)]


async def test_an_added_job_is_on_disk_when_add_returns(database: Path) -> None:
    async with running(database) as scheduler:
        await scheduler.add("timers", "a", later(), {"name": "tea"})
        assert [row[:2] for row in rows(database, "schedule_jobs")] == [("timers", "a")]


async def test_jobs_survive_a_restart_with_their_rules(database: Path) -> None:
    rule = Rule(Recurrence("weekly", weekdays=(0, 4), hour=8), BERLIN)
    async with running(database) as scheduler:
        once = await scheduler.add("timers", "once", later(30 * 24), {"n": 1})
        weekly = await scheduler.add("timers", "weekly", rule, {"n": 2})
    async with running(database) as scheduler:
        assert sorted(scheduler.jobs("timers"), key=lambda job: job.id) == [once, weekly]
        assert scheduler.jobs("notes") == []


async def test_a_job_missed_while_off_fires_late_once_and_says_how_late(database: Path) -> None:
    async with running(database) as scheduler:
        due = datetime.now(UTC) + timedelta(seconds=1)
        await scheduler.add("timers", "a", due, {})
    await asyncio.sleep((due - datetime.now(UTC)).total_seconds() + 0.3)
    heard = Heard()
    async with running(database, heard):
        job, was_due, late = await heard.next()
        assert (job.id, was_due) == ("a", due)
        assert late >= timedelta(milliseconds=250)
    async with running(database, heard):
        await asyncio.sleep(0.05)
        assert heard.silent()


async def test_a_rule_missed_many_times_fires_once_for_the_last_time_and_moves_on(database: Path) -> None:
    rule = Rule(Recurrence("minutely", anchor=datetime(2020, 1, 1)), BERLIN)
    async with running(database) as scheduler:
        await scheduler.add("timers", "a", rule, {})
    connection = sqlite3.connect(database)
    connection.execute("UPDATE schedule_jobs SET due = '2021-01-01T00:00:00.000000+00:00'")
    connection.commit()
    connection.close()
    heard = Heard()
    async with running(database, heard) as scheduler:
        _, due, late = await heard.next()
        assert timedelta() <= late < timedelta(minutes=1, seconds=1)
        assert due.second == 0
        (job,) = scheduler.jobs("timers")
        assert job.due is not None
        assert timedelta() < job.due - due <= timedelta(minutes=2)
        assert heard.silent()


async def test_a_daily_rule_missed_for_days_is_late_by_its_last_time_only(database: Path) -> None:
    now = datetime.now(UTC)
    rule = Rule(Recurrence("daily", hour=now.hour, minute=now.minute), ZoneInfo("UTC"))
    async with running(database) as scheduler:
        await scheduler.add("timers", "a", rule, {})
    connection = sqlite3.connect(database)
    start = (now - timedelta(days=5)).replace(second=0, microsecond=0)
    connection.execute("UPDATE schedule_jobs SET due = ?", (start.isoformat(timespec="microseconds"),))
    connection.commit()
    connection.close()
    heard = Heard()
    async with running(database, heard):
        _, due, late = await heard.next()
        assert late < timedelta(minutes=3)
        assert due == start + timedelta(days=5)


async def test_a_repeating_job_keeps_firing(database: Path) -> None:
    heard = Heard()
    async with running(database, heard) as scheduler:
        await scheduler.add("timers", "tick", Rule(Recurrence("secondly"), BERLIN), {})
        _, first, _ = await heard.next()
        _, second, _ = await heard.next()
        assert second > first
        assert [job.id for job in scheduler.jobs("timers")] == ["tick"]


async def test_daylight_saving_moves_a_daily_job_with_the_wall_clock() -> None:
    rule = Rule(Recurrence("daily", hour=8), BERLIN)
    before = rule.next_after(datetime(2026, 3, 28, 0, 0, tzinfo=BERLIN))
    assert before == datetime(2026, 3, 28, 7, 0, tzinfo=UTC)
    assert rule.next_after(before) == datetime(2026, 3, 29, 6, 0, tzinfo=UTC)


async def test_a_job_that_was_removed_or_moved_does_not_fire_at_its_old_time(database: Path) -> None:
    heard = Heard()
    async with running(database, heard) as scheduler:
        due = datetime.now(UTC) + timedelta(seconds=1)
        for job_id in ("removed", "moved", "paused"):
            await scheduler.add("timers", job_id, due, {})
        assert [job.id for job in await scheduler.remove("timers", "removed", "unknown")] == ["removed"]
        moved_to = later()
        await scheduler.update("timers", "moved", when=moved_to)
        await scheduler.update("timers", "paused", paused=True)
        await asyncio.sleep((due - datetime.now(UTC)).total_seconds() + 0.1)
        assert heard.silent()
        assert [(job.id, job.due) for job in scheduler.jobs("timers")] == [("moved", moved_to), ("paused", None)]
        await scheduler.update("timers", "paused", when=soon(), payload={"again": True})
        job, _, _ = await heard.next()
        assert (job.id, job.payload) == ("paused", {"again": True})


async def test_orders_that_make_no_sense_change_nothing(database: Path) -> None:
    async with running(database) as scheduler:
        await scheduler.add("timers", "a", later(), {"n": 1})
        with pytest.raises(StoreError, match="exists already"):
            await scheduler.add("timers", "a", later(), {"n": 2})
        with pytest.raises(StoreError, match="not scheduled"):
            await scheduler.update("timers", "b", when=later())
        with pytest.raises(StoreError, match="never fire"):
            await scheduler.add("timers", "c", Rule(Recurrence("yearly", month=2, day_of_month=31), BERLIN), {})
        with pytest.raises(StoreError, match="payload of"):
            await scheduler.add("timers", "d", later(), {"text": "x" * 100_000})
        with pytest.raises(ValueError, match="aware"):
            await scheduler.add("timers", "e", datetime(2030, 1, 1), {})
        assert [(job.id, job.payload) for job in scheduler.jobs("timers")] == [("a", {"n": 1})]
    assert [row[1] for row in rows(database, "schedule_jobs")] == ["a"]


async def test_what_fired_with_nobody_listening_is_told_when_somebody_listens(database: Path) -> None:
    async with running(database) as scheduler:
        await scheduler.add("timers", "a", soon(), {})
        await until(lambda: scheduler.jobs("timers") == [])
        heard = Heard()
        scheduler.on_fire("timers", heard)
        assert (await heard.next())[0].id == "a"


async def test_a_firing_that_its_owner_failed_to_handle_comes_again_at_the_next_start(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(job: Job, due: datetime, late: timedelta) -> None:
        raise RuntimeError("no bus")

    async with running(database, fails) as scheduler:
        await scheduler.add("timers", "a", soon(), {"n": 1})
        await until(lambda: "failed to handle" in caplog.text)
    heard = Heard()
    async with running(database, heard):
        job, _, late = await heard.next()
        assert (job.id, job.payload) == ("a", {"n": 1})
        assert late > timedelta()


async def test_a_cancelled_caller_leaves_disk_and_memory_alike(database: Path) -> None:
    async with running(database) as scheduler:
        adding = asyncio.ensure_future(scheduler.add("timers", "a", later(), {}))
        await asyncio.sleep(0)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        await scheduler.add("timers", "b", later(), {})  # the writer has passed "a" when this is done
        in_memory = sorted(job.id for job in scheduler.jobs("timers"))
        assert in_memory == [row[1] for row in rows(database, "schedule_jobs")]


async def test_a_full_disk_refuses_a_job_whole_and_still_fires_the_others(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    async with running(database, heard) as scheduler:
        await scheduler.add("timers", "early", datetime.now(UTC) + timedelta(seconds=1), {})
        connection = scheduler._journal._connection
        assert connection is not None

        def fill() -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        await scheduler._write(fill)

        async def add_until_it_fails() -> None:
            for number in range(1000):
                await scheduler.add("timers", f"n{number}", later(), {"text": "x" * 3000})

        with pytest.raises(StoreError, match=r"nothing was changed; .*space left"):
            await add_until_it_fails()
        kept = {job.id for job in scheduler.jobs("timers")}
        assert kept == {row[1] for row in rows(database, "schedule_jobs")}
        # Not a byte can be written: the alarm goes off all the same.
        await scheduler._write(lambda: connection.execute("PRAGMA query_only = ON"))
        assert (await heard.next())[0].id == "early"
        assert "could not be recorded" in caplog.text
    again = Heard()
    async with running(database, again) as scheduler:
        assert (await again.next())[0].id == "early"
        assert {job.id for job in scheduler.jobs("timers")} == kept - {"early"}


async def test_firings_that_a_full_disk_refused_are_recorded_when_there_is_space(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "RETRY_S", 0.05)
    heard = Heard()
    async with running(database, heard) as scheduler:
        await scheduler.add("timers", "a", soon(), {})
        connection = scheduler._journal._connection
        assert connection is not None
        await scheduler._write(lambda: connection.execute("PRAGMA query_only = ON"))
        await heard.next()
        await scheduler._write(lambda: connection.execute("PRAGMA query_only = OFF"))
        await until(lambda: [row[-1] for row in rows(database, "schedule_fired")] == [1])
        assert rows(database, "schedule_jobs") == []


async def test_a_clock_that_jumps_ahead_fires_at_the_next_look(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a suspend: the wall clock is an hour on, the event loop's own clock is not."""
    monkeypatch.setattr(schedule, "LONGEST_NAP_S", 0.1)
    heard = Heard()
    async with running(database, heard) as scheduler:
        await scheduler.add("timers", "a", later(0.5), {})
        await asyncio.sleep(0.15)
        assert heard.silent()

        class Ahead(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:
                return datetime.now(UTC) + timedelta(hours=1)

        monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Ahead)
        monkeypatch.setattr(schedule, "datetime", Ahead)
        job, _, late = await heard.next()
        assert job.id == "a"
        assert timedelta(minutes=29) < late < timedelta(minutes=31)


async def test_rows_that_cannot_be_read_do_not_hold_up_the_others(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(database) as scheduler:
        await scheduler.add("timers", "good", later(), {})
    connection = sqlite3.connect(database)
    connection.executemany(
        "INSERT INTO schedule_jobs VALUES ('timers', ?, ?, ?, ?)",
        [
            ("bad payload", "2030-01-01T00:00:00+00:00", None, "{"),
            ("bad shape", "2030-01-01T00:00:00+00:00", None, "[1]"),
            ("bad time", "sometime", None, "{}"),
            ("bad rule", "2030-01-01T00:00:00+00:00", '{"recurrence": {"frequency": "often"}, "zone": "UTC"}', "{}"),
            (
                "bad zone",
                "2030-01-01T00:00:00+00:00",
                '{"recurrence": {"frequency": "daily"}, "zone": "Mars/X"}',
                "{}",
            ),
        ],
    )
    connection.commit()
    connection.close()
    async with running(database) as scheduler:
        assert [job.id for job in scheduler.jobs("timers")] == ["good"]
    assert caplog.text.count("cannot be read") == 5


@pytest.fixture
def damaged(database: Path) -> Path:
    database.write_bytes(b"not a database, " * 100)
    return database


async def test_a_file_that_is_no_database_is_refused(damaged: Path) -> None:
    scheduler = Scheduler(damaged)
    with pytest.raises(StoreError, match=r"expertd\.db"):
        await scheduler.start()
    await scheduler.stop()


async def test_housekeeping_runs_again_and_again_in_memory_only(database: Path) -> None:
    ran = asyncio.Queue[int]()

    async def work() -> None:
        ran.put_nowait(1)

    async with running(database) as scheduler:
        scheduler.every("traces", timedelta(milliseconds=20), work)
        await asyncio.wait_for(ran.get(), 10)
        await asyncio.wait_for(ran.get(), 10)
        assert scheduler.jobs("traces") == []
    assert rows(database, "schedule_jobs") == []


async def test_a_database_that_others_write_to_as_well(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("CREATE TABLE traces (id TEXT)")
    async with running(database) as scheduler:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO traces VALUES ('x')")
        adding = asyncio.ensure_future(scheduler.add("timers", "a", later(), {}))
        await asyncio.sleep(0.1)
        assert not adding.done()
        other.execute("COMMIT")
        await adding
    other.close()
    assert len(rows(database, "traces")) == 1


async def test_jobs_survive_a_kill_of_the_process(database: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, sys
        from datetime import UTC, datetime, timedelta
        from pathlib import Path
        from expertd.experts.schedule import Scheduler

        async def main():
            scheduler = Scheduler(Path(sys.argv[1]))
            await scheduler.start()
            now = datetime.now(UTC)
            await scheduler.add("timers", "short", now + timedelta(seconds=1.5), {"name": "pasta"})
            await scheduler.add("timers", "long", now + timedelta(hours=1), {"name": "bread"})
            print("added", flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(database), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"added\n"
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    heard = Heard()
    async with running(database, heard) as scheduler:
        job, _, late = await heard.next()
        assert job.payload == {"name": "pasta"}
        assert late >= timedelta()
        assert [job.payload for job in scheduler.jobs("timers")] == [{"name": "bread"}]
