"""Durable jobs: at a time, or by a rule that repeats, and still there after a crash.

APScheduler holds the jobs in memory and wakes when one is due; the rows in SQLite are ours. (Its own stores pickle a
job, and a row in a database must never be code; and they write on the event loop, where a commit to disk would stop
every request.) A job is data: whose it is, when, and a payload. What to do when it is due its owner says in code, with
`on_fire`.

    add ── commit ──▶ armed ── due ──▶ one transaction: firing recorded, job removed or moved to its next time
        ── commit ──▶ callback ──▶ marked delivered

A crash anywhere in between fires again at the next start: at least once, and owner, id and due together tell duplicates
apart. Knows nothing about timers, language or the wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.executors.base import BaseExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from .errors import StoreError
from .journal import Firing, Job, Journal, Rule
from .values import Json

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

# The event loop's timers count a clock that stands still while the machine sleeps and that nobody corrects. Looking at
# the wall clock this often bounds how late a job can be after a suspend, or after the clock was set.
LONGEST_NAP_S = 15.0
RETRY_S = 30.0
STOP_TIMEOUT_S = 5.0
RECENT_PER_OWNER = 32
MAX_JOBS_PER_OWNER = 10_000


# Called with the job, the time it was due and how late it fires. Raising leaves it undelivered: it comes again when the
# scheduler starts the next time.
OnFire = Callable[[Job, datetime, timedelta], Awaitable[None]]


class Scheduler:
    """Jobs of all owners. Every method is called on one event loop; writing happens in a thread of its own."""

    def __init__(self, database: Path) -> None:
        """database: the SQLite file, created when absent; other modules may keep tables of theirs in it."""
        self._journal = Journal(database)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="schedule")
        self._alarms = _Alarms(
            timezone=UTC,
            job_defaults={"coalesce": True, "misfire_grace_time": None},
            executors={"default": AsyncIOExecutor(), "inline": _Inline()},
        )
        self._jobs: dict[tuple[str, str], Job] = {}
        self._callbacks: dict[str, OnFire] = {}
        self._recent: dict[str, deque[Firing]] = {}
        self._undelivered: list[Firing] = []
        self._unsettled: deque[tuple[Firing, datetime, datetime | None]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._retry: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the jobs and begins to fire, first what was missed meanwhile.

        Raises: StoreError when the database cannot be opened or read.
        """
        jobs, recent, self._undelivered = await self._write(self._journal.open)
        for firing in recent:
            self._remember(firing)
        self._alarms.start()
        for job in sorted(jobs, key=lambda job: job.due or datetime.max.replace(tzinfo=UTC)):
            self._jobs[job.owner, job.id] = job
            self._arm(job)
        for owner in self._callbacks:
            self._deliver_again(owner)

    async def stop(self) -> None:
        """Lets what is firing finish, a few seconds at most, and closes the database."""
        if self._alarms.running:
            self._alarms.shutdown(wait=False)
            await asyncio.sleep(0)  # its shutdown takes place on the loop's next turn
        if self._retry is not None:
            self._retry.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S)
        await self._write(self._journal.close)
        self._writer.shutdown(wait=False)

    # --- Jobs ---------------------------------------------------------------------------------------------------------

    async def add(self, owner: str, job_id: str, when: datetime | Rule, payload: Mapping[str, Json]) -> Job:
        """Schedules a job; it is on disk when this returns. A time in the past fires at once, late.

        Raises: StoreError when the id is taken, the payload too large, the rule never happens, or the disk is full;
        nothing is scheduled then.
        """
        if (owner, job_id) in self._jobs:
            raise StoreError(f"job {owner}/{job_id} exists already; update it, or choose another id")
        if sum(job.owner == owner for job in self._jobs.values()) >= MAX_JOBS_PER_OWNER:
            raise StoreError(f"{owner}: {MAX_JOBS_PER_OWNER:,} jobs are scheduled and no more fit; remove some first")
        job = _dated(Job(owner, job_id, None, payload), when)
        await self._commit(lambda: self._journal.insert(job), lambda: self._hold(job))
        return job

    async def update(
        self,
        owner: str,
        job_id: str,
        *,
        when: datetime | Rule | None = None,
        payload: Mapping[str, Json] | None = None,
        paused: bool = False,
        skip_to: datetime | None = None,
    ) -> Job:
        """Changes what is given, durably. paused: keep it, but do not fire it until a later update gives `when`.
        skip_to: of a rule, leave out the occurrences up to then.

        Raises: StoreError when there is no such job (it may just have fired) or it cannot be written.
        """
        old = self._jobs.get((owner, job_id))
        if old is None:
            raise StoreError(f"job {owner}/{job_id} is not scheduled; it may have fired already")
        job = old if payload is None else replace(old, payload=payload)
        if when is not None:
            job = _dated(job, when)
        if skip_to is not None and job.rule is not None:
            job = replace(job, due=job.rule.next_after(skip_to))
        if paused:
            job = replace(job, due=None)
        await self._commit(lambda: self._journal.replace(job), lambda: self._hold(job))
        return job

    async def remove(self, owner: str, *job_ids: str) -> list[Job]:
        """Removes those of the jobs that are there, all of them or (on a StoreError) none; says which."""
        gone = [self._jobs[owner, each] for each in dict.fromkeys(job_ids) if (owner, each) in self._jobs]
        if gone:
            await self._commit(lambda: self._journal.remove(gone), lambda: self._drop(gone))
        return gone

    def jobs(self, owner: str) -> list[Job]:
        """The owner's jobs, the next one first, paused ones last."""
        mine = [job for job in self._jobs.values() if job.owner == owner]
        return sorted(mine, key=lambda job: (job.due is None, job.due or datetime.min.replace(tzinfo=UTC), job.id))

    def fired(self, owner: str) -> list[Firing]:
        """What fired lately, the last one first; a few dozen at most, and none older than a month."""
        return [*reversed(self._recent.get(owner, ()))]

    # --- Who is told --------------------------------------------------------------------------------------------------

    def on_fire(self, owner: str, callback: OnFire) -> None:
        """Calls `callback` for each job of `owner` that fires, and for those that fired undelivered before.

        One callback an owner: a second one takes the first one's place.
        """
        self._callbacks[owner] = callback
        if self._alarms.running:
            self._deliver_again(owner)

    def every(self, name: str, interval: timedelta, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` periodically until the scheduler stops; never twice at once, and not durable."""

        async def run() -> None:
            await work()

        trigger = IntervalTrigger(seconds=interval.total_seconds(), timezone=UTC)
        self._alarms.add_job(run, trigger, id=f"every {name}", name=name, replace_existing=True)

    # --- In memory ----------------------------------------------------------------------------------------------------

    def _hold(self, job: Job) -> None:
        self._jobs[job.owner, job.id] = job
        self._arm(job)

    def _drop(self, jobs: list[Job]) -> None:
        for job in jobs:
            if self._jobs.pop((job.owner, job.id), None) is not None:
                self._disarm(job)

    def _arm(self, job: Job) -> None:
        if job.due is None:
            self._disarm(job)
            return
        key, trigger = f"{job.owner}/{job.id}", DateTrigger(job.due, UTC)
        self._alarms.add_job(self._fire, trigger, (job,), id=key, name=key, replace_existing=True, executor="inline")

    def _disarm(self, job: Job) -> None:
        with suppress(JobLookupError):  # it was paused, or is firing
            self._alarms.remove_job(f"{job.owner}/{job.id}")

    def _remember(self, firing: Firing) -> None:
        self._recent.setdefault(firing.job.owner, deque(maxlen=RECENT_PER_OWNER)).append(firing)

    # --- Firing -------------------------------------------------------------------------------------------------------

    def _fire(self, job: Job) -> None:
        """Called inside APScheduler's round; everything that touches its jobs waits for the next turn."""
        self._begin(self._settle(job))

    async def _settle(self, job: Job) -> None:
        key = (job.owner, job.id)
        if self._jobs.get(key) is not job or job.due is None:
            return  # changed or removed while its turn came
        now = datetime.now(UTC)
        following = job.rule.next_after(max(now, job.due)) if job.rule else None
        due = _last_missed(job.rule, job.due, now) if job.rule else job.due
        firing = Firing(replace(job, due=due), due, now)
        if following is None:
            del self._jobs[key]
        else:
            self._hold(replace(job, due=following))
        self._remember(firing)
        try:
            await self._write(self._journal.settle, firing, job.due, following)
        except StoreError as error:
            # A full disk must not silence an alarm. Should the daemon end before this is written, it fires once more.
            _log.warning("%s/%s fires although it could not be recorded: %s", job.owner, job.id, error)
            self._unsettled.append((firing, job.due, following))
            if self._retry is None or self._retry.done():
                self._retry = self._begin(self._settle_later())
        await self._deliver(firing)

    async def _settle_later(self) -> None:
        while self._unsettled:
            await asyncio.sleep(RETRY_S)
            try:
                while self._unsettled:
                    firing, due, following = self._unsettled[0]
                    await self._write(self._journal.settle, firing, due, following)
                    if firing not in self._undelivered:
                        await self._write(self._journal.delivered, firing)
                    self._unsettled.popleft()
            except StoreError as error:
                _log.warning("%d fired jobs still unrecorded: %s", len(self._unsettled), error)

    async def _deliver(self, firing: Firing) -> None:
        job = firing.job
        callback = self._callbacks.get(job.owner)
        if callback is None:
            self._undelivered.append(firing)
            return
        try:
            await callback(job, firing.due, firing.late)
        except Exception:
            _log.exception("%s/%s fired, but its owner failed to handle it", job.owner, job.id)
            return
        try:
            await self._write(self._journal.delivered, firing)
        except StoreError as error:
            _log.warning("%s/%s may fire again at the next start: %s", job.owner, job.id, error)

    def _deliver_again(self, owner: str) -> None:
        waiting = [firing for firing in self._undelivered if firing.job.owner == owner]
        self._undelivered = [firing for firing in self._undelivered if firing.job.owner != owner]
        now = datetime.now(UTC)
        for firing in waiting:
            self._begin(self._deliver(replace(firing, fired=now)))

    # --- Writing ------------------------------------------------------------------------------------------------------

    async def _commit(self, write: Callable[[], None], then: Callable[[], None]) -> None:
        """Both, or on an error neither, and both too when the caller is cancelled halfway."""

        async def both() -> None:
            await self._write(write)
            then()

        await asyncio.shield(self._begin(both()))

    async def _write(self, write: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, write, *args)

    def _begin(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        return task


def _dated(job: Job, when: datetime | Rule) -> Job:
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise ValueError("a job's time must be aware of its zone")
        return replace(job, due=when.astimezone(UTC), rule=None)
    due = when.next_after(datetime.now(UTC))
    if due is None:
        raise StoreError(f"job {job.owner}/{job.id} would never fire: its rule has no occurrence")
    return replace(job, due=due, rule=when)


def _last_missed(rule: Rule, due: datetime, now: datetime) -> datetime:
    """The last occurrence up to `now`, `due` being one of them."""
    stride = {"secondly": 1, "minutely": 60, "hourly": 3600}.get(rule.recurrence.frequency)
    if stride is not None:
        step = timedelta(seconds=stride * rule.recurrence.interval)
        return due + (now - due) // step * step if now > due else due
    while True:
        following = rule.next_after(due)
        if following is None or following > now:
            return due
        due = following


class _Alarms(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler ships no types
    def _start_timer(self, wait_seconds: float | None) -> None:
        super()._start_timer(None if wait_seconds is None else min(wait_seconds, LONGEST_NAP_S))


class _Inline(BaseExecutor):  # type: ignore[misc]  # APScheduler ships no types
    """Calls the job's function at once, on the loop. It does not count instances: no firing is ever skipped."""

    def submit_job(self, job: Any, run_times: Any) -> None:
        self._do_submit_job(job, run_times)

    def _do_submit_job(self, job: Any, run_times: Any) -> None:
        job.func(*job.args)
