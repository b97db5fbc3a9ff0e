"""How short of memory the machine is, how much of it this process takes, and how much it may take.

Short is measured by what it costs: the share of time in which somebody waited for memory, as the kernel counts it
(pressure stall information, PSI; Weiner, 2018), of the machine and of the control group that limits us. Knows no
expert: what relieves the pressure is the caller's to do.

Cost: a look reads one or two small files (20 µs each), once a second. `own_pss` has the kernel walk all pages of this
process, 1.0 to 1.5 ms at 150 MB, with its memory map held against changes: once a second and for an account after a
load is fine, for every request is not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

log = logging.getLogger(__name__)

UNKNOWN = -1.0

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")

_WINDOW_S = 2.0
# The kernel's own average; better than a difference over longer.
_AVERAGED_S = 10.0
_RELIEF_EVERY_S = 2.0
# A difference over less time than this says more of the clock than of the machine.
_SHORTEST_S = 0.1
# Without PSI: pressure begins where less than this share of memory is available.
_LITTLE = 0.05
# With more than this available, those who wait on the machine wait for a limit of their own.
_PLENTY = 0.25


class Pressure:
    """For one thread.

    proc, cgroups: where the kernel's files are; clock: monotonic seconds.
    """

    def __init__(
        self,
        proc: Path = _PROC,
        cgroups: Path = _CGROUPS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc = proc
        self._clock = clock
        self._machine = _Stalls(proc / "pressure/memory")
        # Where our own group has a limit, we may wait although the machine has memory left.
        group = _limited_group(proc, cgroups)
        self._group = None if group is None else _Stalls(group / "memory.pressure")
        self._sources = [source for source in (self._machine, self._group) if source is not None]

    def share(self) -> float:
        """Share of the last two seconds in which somebody waited for memory that we could give back, 0 to 1.

        The greater of what the machine and our own group tell; waiting on a machine that has plenty available is left
        out, as it is some other group at its limit. Without PSI it grows from 0 at 5 % of memory available to 1 at
        none. Below 0: unknown.
        """
        now = self._clock()
        group = UNKNOWN if self._group is None else self._group.share(now)
        machine = self._machine.share(now)
        if machine == UNKNOWN:
            available = self._available()
            machine = UNKNOWN if available == UNKNOWN else max(0.0, 1 - available / _LITTLE)
        elif machine > 0 and self._available() > _PLENTY:
            machine = 0.0
        return max(group, machine)

    def average(self) -> float:
        """As the kernel averages it over ten seconds, of whoever waits; for a status. Below 0: unknown."""
        return max(source.average() for source in self._sources)

    async def watch(
        self, relieve: Callable[[float], Awaitable[None]], every_s: float = 1.0, threshold: float = 0.1
    ) -> None:
        """Awaits `relieve(share)` whenever the share is at the threshold or above, until it is cancelled.

        At least two seconds lie between one relief and the next, and what was waited before a relief does not count
        towards the next. A relief that fails is told of in the log, and tried again.
        """
        last = self._clock() - _RELIEF_EVERY_S
        while True:
            share = self.share()
            if share >= threshold and self._clock() - last >= _RELIEF_EVERY_S:
                try:
                    await relieve(share)
                except Exception:
                    log.exception("memory could not be relieved")
                last = self._clock()
                for source in self._sources:
                    source.forget(last)
            await asyncio.sleep(every_s)

    def _available(self) -> float:
        """Share of the machine's memory that could be had without swapping."""
        sizes = _meminfo(self._proc)
        total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", -1)
        return available / total if total > 0 and available >= 0 else UNKNOWN


class _Stalls:
    """One pressure file: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, total in µs; then a line `full`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # (when, waited by then), both in seconds, oldest first.
        self._seen: deque[tuple[float, float]] = deque()
        self._latest = UNKNOWN

    def share(self, now: float) -> float:
        read = self._read()
        if read is None:
            return UNKNOWN
        average, waited = read
        seen = self._seen
        if not seen or waited < seen[-1][1]:  # the first look, or the counter began anew
            seen.clear()
            seen.append((now, waited))
            self._latest = average
            return average
        while len(seen) > 1 and now - seen[1][0] >= _WINDOW_S:
            seen.popleft()
        elapsed = now - seen[0][0]
        if elapsed > _AVERAGED_S:
            self._latest = average
        elif elapsed >= _SHORTEST_S:
            self._latest = _between_0_and_1((waited - seen[0][1]) / elapsed)
        if now - seen[-1][0] >= _SHORTEST_S:
            seen.append((now, waited))
        return self._latest

    def average(self) -> float:
        read = self._read()
        return UNKNOWN if read is None else read[0]

    def forget(self, now: float) -> None:
        """What was waited until now no longer counts."""
        self._seen.clear()
        self.share(now)
        self._latest = 0.0

    def _read(self) -> tuple[float, float] | None:
        """Share of the last ten seconds, seconds waited since the beginning; None if there is no whole line."""
        line, end, _ = _text(self._path).partition("\n")
        kind, *fields = line.split() or [""]
        if not end or kind != "some":
            return None
        values = dict(field.partition("=")[::2] for field in fields)
        try:
            return _between_0_and_1(float(values["avg10"]) / 100), int(values["total"]) / 1e6
        except (KeyError, ValueError):
            return None


def own_pss(proc: Path = _PROC) -> int:
    """Bytes of memory that this process takes: pages shared with others count in part (PSS).

    What is resident (RSS) where the kernel does not tell; 0 if it tells nothing.
    """
    for line in _text(proc / "self/smaps_rollup").splitlines():
        match line.split():
            case ["Pss:", size, "kB"] if size.isdecimal():
                return int(size) * 1024
    match _text(proc / "self/statm").split():
        case [_, pages, *_] if pages.isdecimal():
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return 0


def memory_limit(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Bytes that we may take at most: the machine's memory, or the least limit of the control groups that we are in."""
    machine = _meminfo(proc).get("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(limit for _, limit in _limits(proc, cgroups))])


def _limited_group(proc: Path, cgroups: Path) -> Path | None:
    """The nearest group with a memory limit that tells its pressure."""
    return next((group for group, _ in _limits(proc, cgroups) if (group / "memory.pressure").exists()), None)


def _limits(proc: Path, cgroups: Path) -> list[tuple[Path, int]]:
    """The groups that this process is in and that have a memory limit, in bytes; nearest first.

    Above memory.high nothing is refused, but whoever takes more is made to wait: it is a limit to us.
    """
    limits: list[tuple[Path, int]] = []
    for line in _text(proc / "self/cgroup").splitlines():
        number, controllers, name = [*line.split(":", 2), "", ""][:3]
        if number == "0":  # version 2, alone or beside version 1
            root = cgroups if (cgroups / "cgroup.controllers").exists() else cgroups / "unified"
            files: tuple[str, ...] = ("memory.max", "memory.high")
        elif "memory" in controllers.split(","):
            root, files = cgroups / "memory", ("memory.limit_in_bytes",)
        else:
            continue
        # From within a container our group may lie outside of what is mounted; then the mount is the container's own.
        group = root / name.lstrip("/")
        if ".." in group.parts or not group.is_dir():
            group = root
        for folder in [group, *group.parents]:
            sizes = [int(size) for file in files if (size := _text(folder / file).strip()).isdecimal()]
            if sizes:
                limits.append((folder, min(sizes)))
            if folder == root:
                break
    return limits


def _meminfo(proc: Path) -> dict[str, int]:
    """Sizes in bytes by name."""
    sizes: dict[str, int] = {}
    for line in _text(proc / "meminfo").splitlines():
        match line.split():
            case [name, size, "kB"] if size.isdecimal():
                sizes[name.removesuffix(":")] = int(size) * 1024
    return sizes


def _text(path: Path) -> str:
    """Empty where there is none: hidden from us, gone, or not of this kernel."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _between_0_and_1(value: float) -> float:
    return min(1.0, max(0.0, value))
