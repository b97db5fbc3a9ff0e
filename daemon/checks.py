"""What the daemon knows of its own health, in the words of `expertctl doctor`."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import psutil

from expertd.experts.fleet import ExpertStatus, Fleet, Undone
from expertd.router.index import RouteIndex
from expertd.v1 import fleet_pb2 as pb

from .config import Config
from .fleet_wire import clipped
from .traces import Traces
from .wire import timestamp
from .workers import WorkerServable

Check = pb.GetStatusResponse.Check

_LITTLE_DISK_BYTES = 512 * 2**20
_LITTLE_MEMORY_BYTES = 512 * 2**20
# Shares of the budget, and of time that somebody waited for memory, from which on an operator should know.
_NEARLY_FULL = 0.9
_SOME_PRESSURE = 0.01
_MUCH_PRESSURE = 0.1
_RECENTLY = timedelta(days=1)
_MANY_DEATHS = 3


class Checks:
    """Looked at anew each time. titan: why it cannot be asked, with the way out; "" when it can, as far as is known."""

    def __init__(
        self,
        *,
        config: Config,
        fleet: Fleet[RouteIndex],
        traces: Traces,
        trunk_id: str,
        titan: Callable[[], str],
        missing: Callable[[], list[str]],
        started: datetime,
    ) -> None:
        self._config = config
        self._fleet = fleet
        self._traces = traces
        self._trunk_id = trunk_id
        self._titan = titan
        self._missing = missing
        self._started = started

    async def status(self) -> pb.GetStatusResponse:
        # The fleet is asked where it lives; the disk may take its time.
        fleet = [*self._experts(), *self._memory()]
        here = await asyncio.to_thread(lambda: [*self._missing_experts(), self._database(), self._disk()])
        problem = self._titan()
        trunk = Check(name="trunk", level=Check.LEVEL_OK, message=f"all-MiniLM-L6-v2, {self._trunk_id[:12]}")
        titan = Check(
            name="titan",
            level=Check.LEVEL_NOTE if problem else Check.LEVEL_OK,
            message=problem or f"{self._config.titan.model} at {self._config.titan.base_url}",
            remedy="without it, what no expert can answer is refused" if problem else "",
        )
        return pb.GetStatusResponse(
            checks=[trunk, *fleet, *here, titan],
            version=version("expertd"),
            pid=os.getpid(),
            started=timestamp(self._started),
        )

    def _experts(self) -> Iterator[Check]:
        slots = self._fleet.view.slots
        absent = {name: slot.absence for name, slot in slots.items() if slot.absence is not None}
        yield Check(
            name="experts",
            level=Check.LEVEL_OK if len(absent) < len(slots) else Check.LEVEL_ERROR,
            message=f"{len(slots) - len(absent)} of {len(slots)} serve",
            remedy="" if len(absent) < len(slots) else "install one: expertctl install FOLDER",
        )
        # Several experts run on one model: what all of them lack is said once.
        lacking: dict[str, list[str]] = {}
        for name in sorted(name for name, absence in absent.items() if absence.reason == "NO_MODEL"):
            lacking.setdefault(str(absent[name]).removeprefix(f"{name} needs "), []).append(name)
        for what, names in lacking.items():
            if len(names) > 1:
                together = f"{', '.join(names)} need {what}"
                yield Check(name=f"{len(names)} experts", level=Check.LEVEL_NOTE, message=together)
                absent = {name: absence for name, absence in absent.items() if name not in names}
        for name, absence in sorted(absent.items()):
            failed = absence.reason == "FAILED"
            yield Check(
                name=f"expert {name}",
                level=Check.LEVEL_ERROR if failed else Check.LEVEL_NOTE,
                message=str(absence),
                remedy=f"`expertctl show {name}` says what was tried; install a version that works" if failed else "",
            )
        for name in sorted(slots):
            status = self._fleet.status(name)
            if status.undone is not None and datetime.now(UTC) - status.undone.time < _RECENTLY:
                yield self._undone(status, status.undone)
            servable = slots[name].servable
            if isinstance(servable, WorkerServable) and (servable.deaths >= _MANY_DEATHS or not status.worker_pid):
                yield _worker(f"{name} {slots[name].version}", name, servable.deaths, status.worker_pid)

    def _undone(self, status: ExpertStatus, undone: Undone) -> Check:
        serves = f"version {status.serving} serves" if status.serving else "no version of it serves"
        name = status.name
        return Check(
            name=f"expert {name}",
            level=Check.LEVEL_WARNING,
            message=f"{name} {undone.version} was refused or undone at {undone.time:%Y-%m-%d %H:%M} UTC: "
            f"{clipped(undone.reason.removeprefix(f'{name} {undone.version}: '))}; {serves}",
            remedy=f"mend what it says and install a higher version; see {self._quarantine()}",
        )

    def _missing_experts(self) -> Iterator[Check]:
        for name in self._missing():
            yield Check(
                name=f"expert {name}",
                level=Check.LEVEL_WARNING,
                message=f"is shipped and was not removed, but no version of it can serve; see {self._quarantine()}",
                remedy="restart the daemon: it takes the shipped one in again",
            )

    def _quarantine(self) -> str:
        return f"{self._config.quarantine_root}/*/reason.txt"

    def _database(self) -> Check:
        path = self._config.database
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2) as connection:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            return Check(
                name="database", level=Check.LEVEL_ERROR, message=f"{path}: {error}", remedy="check disk and rights"
            )
        if verdict != "ok":
            return Check(
                name="database",
                level=Check.LEVEL_ERROR,
                message=f"{path}: damaged: {verdict}",
                remedy="restart the daemon: it moves the damaged file aside and begins a fresh one",
            )
        if moved := sorted(path.parent.glob(f"{path.name}.damaged-*")):
            return Check(
                name="database",
                level=Check.LEVEL_WARNING,
                message=f"{path}: an earlier one was damaged; what could be read is here, the rest in {moved[-1]}",
                remedy="look at your timers; delete the damaged file to end this warning",
            )
        dropped = self._traces.dropped
        return Check(
            name="database",
            level=Check.LEVEL_WARNING if dropped else Check.LEVEL_OK,
            message=f"{path}" + (f"; {dropped} traces could not be written" if dropped else ""),
            remedy="free some disk space" if dropped else "",
        )

    def _disk(self) -> Check:
        usage = shutil.disk_usage(self._config.state_dir)
        little = usage.free < _LITTLE_DISK_BYTES
        return Check(
            name="disk",
            level=Check.LEVEL_WARNING if little else Check.LEVEL_OK,
            message=f"{_gib(usage.free)} free of {_gib(usage.total)} under {self._config.state_dir}",
            remedy="free some space: installing and pulling need room for a second copy" if little else "",
        )

    def _memory(self) -> Iterator[Check]:
        memory = self._fleet.memory()
        available = psutil.virtual_memory().available
        budget = memory.budget_bytes
        full = bool(budget) and memory.experts_bytes >= _NEARLY_FULL * budget
        little = available < _LITTLE_MEMORY_BYTES
        of = f"of a budget of {_mb(budget)}" if budget else "without a budget"
        yield Check(
            name="memory",
            level=Check.LEVEL_WARNING if little or full else Check.LEVEL_OK,
            message=f"experts {_mb(memory.experts_bytes)} {of}; daemon {_mb(memory.daemon_bytes)} (PSS); "
            f"{_gib(available)} available on the machine",
            remedy="`expertctl ps` shows what each takes: unload or unpin one, or raise memory.budget_mb"
            if full
            else "unload an expert: expertctl unload NAME"
            if little
            else "",
        )
        yield _pressure(memory.pressure)


def _worker(version: str, name: str, deaths: int, pid: int) -> Check:
    died = f"died {deaths} time{'' if deaths == 1 else 's'} since it was loaded"
    gone = "is not there: it is started again, after a pause where it keeps dying"
    return Check(
        name=f"worker {name}",
        level=Check.LEVEL_NOTE if pid else Check.LEVEL_WARNING,
        message=f"the process that serves {version} {died}" + ("" if pid else f", and {gone}"),
        remedy=f"the daemon's log says how it ended; `expertctl rollback {name}` serves the version before",
    )


def _pressure(share: float) -> Check:
    """share: of the last seconds, in which somebody waited for memory."""
    if share < 0:
        message = "unknown: this kernel does not tell it (no /proc/pressure/memory)"
        return Check(name="memory pressure", level=Check.LEVEL_NOTE, message=message)
    waited = f"somebody waited for memory in {100 * share:.0f} % of the last ten seconds"
    return Check(
        name="memory pressure",
        level=Check.LEVEL_WARNING
        if share >= _MUCH_PRESSURE
        else Check.LEVEL_NOTE
        if share >= _SOME_PRESSURE
        else Check.LEVEL_OK,
        message=waited if share >= _SOME_PRESSURE else "none",
        remedy="end what else takes memory, or unload experts: `expertctl ps` shows what each takes"
        if share >= _MUCH_PRESSURE
        else "",
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
