"""What the daemon knows of its own health, in the words of `expertctl doctor`."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version

import psutil

from expertd.experts.fleet import Fleet
from expertd.router.index import RouteIndex
from expertd.v1 import fleet_pb2 as pb

from .config import Config
from .traces import Traces
from .wire import timestamp

Check = pb.GetStatusResponse.Check

_LITTLE_DISK_BYTES = 512 * 2**20
_LITTLE_MEMORY_BYTES = 512 * 2**20


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

    def status(self) -> pb.GetStatusResponse:
        return pb.GetStatusResponse(
            checks=list(self._checks()),
            version=version("expertd"),
            pid=os.getpid(),
            started=timestamp(self._started),
        )

    def _checks(self) -> Iterator[Check]:
        yield Check(name="trunk", level=Check.LEVEL_OK, message=f"all-MiniLM-L6-v2, {self._trunk_id[:12]}")
        yield from self._experts()
        yield self._database()
        yield self._disk()
        yield self._memory()
        problem = self._titan()
        yield Check(
            name="titan",
            level=Check.LEVEL_NOTE if problem else Check.LEVEL_OK,
            message=problem or f"{self._config.titan.model} at {self._config.titan.base_url}",
            remedy="without it, what no expert can answer is refused" if problem else "",
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
        for name in self._missing():
            yield Check(
                name=f"expert {name}",
                level=Check.LEVEL_WARNING,
                message=f"is shipped and was not removed, but no version of it can serve; see {self._quarantine()}",
                remedy="restart the daemon: it takes the shipped one in again",
            )
        for name, absence in sorted(absent.items()):
            level = Check.LEVEL_ERROR if absence.reason == "FAILED" else Check.LEVEL_NOTE
            yield Check(name=f"expert {name}", level=level, message=str(absence))

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

    def _memory(self) -> Check:
        mine = psutil.Process().memory_full_info()
        available = psutil.virtual_memory().available
        little = available < _LITTLE_MEMORY_BYTES
        return Check(
            name="memory",
            level=Check.LEVEL_WARNING if little else Check.LEVEL_OK,
            message=f"daemon {mine.pss / 1e6:.0f} MB (PSS), {_gib(available)} available on the machine",
            remedy="unload an expert: expertctl unload NAME" if little else "",
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
