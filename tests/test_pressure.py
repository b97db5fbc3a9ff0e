"""How short of memory the machine is, read from files that a test writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from expertd.daemon.pressure import UNKNOWN, Pressure, memory_limit, own_pss

GIB = 2**30


class Machine:
    """The kernel's files in a folder, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.cgroups = folder / "cgroup"
        self.stalls = self.proc / "pressure/memory"
        self.now = 1000.0
        # What happens at each look at the clock.
        self.tick: Callable[[], None] = lambda: None
        self.write(self.proc / "self/cgroup", "0::/\n")
        self.cgroups.mkdir()
        self.available(0.1)
        self.waited(50.0)

    def clock(self) -> float:
        self.tick()
        return self.now

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def waited(self, seconds: float, average: float = 0.0, path: Path | None = None) -> None:
        line = f"avg10={100 * average:.2f} avg60=0.00 avg300=0.00 total={seconds * 1e6:.0f}\n"
        self.write(path or self.stalls, f"some {line}full {line}")

    def available(self, share: float) -> None:
        total = 16 * GIB // 1024
        self.write(
            self.proc / "meminfo",
            f"MemTotal:     {total} kB\nMemAvailable: {int(share * total)} kB\nHugePages_Total:  0\n",
        )

    def group(self, name: str, **files: str) -> Path:
        """Puts this process into a control group of version 2."""
        self.write(self.cgroups / "cgroup.controllers", "memory\n")
        self.write(self.proc / "self/cgroup", f"1:name=systemd:/elsewhere\n0::{name}\n")
        folder = self.cgroups / name.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            self.write(folder / f"memory.{file}", text + "\n")
        return folder

    def pressure(self) -> Pressure:
        return Pressure(self.proc, self.cgroups, self.clock)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_share_is_what_was_waited_between_two_looks(machine: Machine) -> None:
    pressure = machine.pressure()
    assert pressure.share() == 0.0
    machine.now += 1
    machine.waited(50.3)
    assert pressure.share() == pytest.approx(0.3)


def test_the_first_look_tells_the_average_of_the_kernel(machine: Machine) -> None:
    machine.waited(50.0, average=0.25)
    assert machine.pressure().share() == pytest.approx(0.25)


def test_two_looks_at_once_tell_the_same(machine: Machine) -> None:
    machine.waited(50.0, average=0.25)
    pressure = machine.pressure()
    assert pressure.share() == pressure.share() == pytest.approx(0.25)


def test_several_who_look_share_one_window(machine: Machine) -> None:
    pressure = machine.pressure()
    pressure.share()
    for step in range(1, 21):
        machine.now += 0.1
        machine.waited(50.0 + 0.05 * step)
        share = pressure.share()
        assert share == pytest.approx(0.5), "a look took something from the next"
        assert pressure.share() == share
    machine.now += 2.0
    assert pressure.share() < 0.1, "what was waited more than two seconds ago still counts"


def test_after_a_long_time_without_a_look_the_average_of_the_kernel_counts(machine: Machine) -> None:
    pressure = machine.pressure()
    pressure.share()
    machine.now += 3600
    machine.waited(80.0, average=0.5)
    assert pressure.share() == pytest.approx(0.5)


@pytest.mark.parametrize(
    "torn",
    ["", "some avg10=1.00 avg60=0.00 avg300=0.00 total=5", "some avg10=0.00\n", "some total=x avg10=1.00\n", "no\n"],
)
def test_a_torn_file_tells_nothing_and_does_not_spoil_the_next_look(machine: Machine, torn: str) -> None:
    (machine.proc / "meminfo").unlink()
    pressure = machine.pressure()
    assert pressure.share() == 0.0
    machine.now += 1
    machine.stalls.write_text(torn)
    assert pressure.share() == UNKNOWN
    assert pressure.average() == UNKNOWN
    machine.now += 1
    machine.waited(50.4)
    assert pressure.share() == pytest.approx(0.2)


def test_a_counter_that_begins_anew_is_no_pressure(machine: Machine) -> None:
    pressure = machine.pressure()
    pressure.share()
    machine.now += 1
    machine.waited(0.0)
    assert pressure.share() == 0.0
    machine.now += 1
    machine.waited(0.5)
    assert pressure.share() == pytest.approx(0.5)


@pytest.mark.parametrize(("available", "share"), [(0.5, 0.0), (0.05, 0.0), (0.04, 0.2), (0.0, 1.0)])
def test_without_the_counters_little_available_memory_is_pressure(
    machine: Machine, available: float, share: float
) -> None:
    machine.stalls.unlink()
    machine.available(available)
    assert machine.pressure().share() == pytest.approx(share, abs=1e-6)


def test_a_machine_that_tells_nothing_is_unknown(tmp_path: Path) -> None:
    pressure = Pressure(tmp_path / "none", tmp_path / "neither")
    assert pressure.share() == UNKNOWN
    assert pressure.average() == UNKNOWN


def test_others_at_their_own_limit_are_no_pressure_while_the_machine_has_plenty(machine: Machine) -> None:
    pressure = machine.pressure()
    pressure.share()
    machine.now += 1
    machine.waited(50.9)
    machine.available(0.6)
    assert pressure.share() == 0.0
    machine.available(0.1)
    assert pressure.share() == pytest.approx(0.9)


def test_a_limited_group_waits_although_the_machine_has_plenty(machine: Machine) -> None:
    machine.available(0.9)
    group = machine.group("/app.slice/expertd.service", max=str(GIB))
    machine.waited(7.0, path=group / "memory.pressure")
    pressure = machine.pressure()
    pressure.share()
    machine.now += 1
    machine.waited(7.6, average=0.06, path=group / "memory.pressure")
    assert pressure.share() == pytest.approx(0.6)
    assert pressure.average() == pytest.approx(0.06)


def test_a_group_without_a_limit_is_not_asked(machine: Machine) -> None:
    group = machine.group("/expertd.service", max="max")
    machine.waited(7.0, average=0.9, path=group / "memory.pressure")
    assert machine.pressure().share() == 0.0


def test_the_machine_counts_for_a_limited_group_as_well(machine: Machine) -> None:
    group = machine.group("/expertd.service", max=str(GIB))
    machine.waited(7.0, path=group / "memory.pressure")
    machine.waited(50.0, average=0.4)
    assert machine.pressure().share() == pytest.approx(0.4)


@contextlib.asynccontextmanager
async def watching(pressure: Pressure, relieve: Callable[[float], None]) -> AsyncIterator[asyncio.Task[None]]:
    async def call(share: float) -> None:
        relieve(share)

    task = asyncio.create_task(pressure.watch(call, every_s=0.001))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_rise_calls_for_relief_and_calm_does_not(machine: Machine) -> None:
    shares: list[float] = []
    relieved = asyncio.Event()

    def relieve(share: float) -> None:
        shares.append(share)
        relieved.set()

    looks = 0

    def tick() -> None:
        # Calm for ten looks, then half of the time is waited for memory.
        nonlocal looks
        looks += 1
        machine.now += 0.5
        machine.waited(50.0 + max(0, looks - 10) * 0.25)

    machine.tick = tick
    async with watching(machine.pressure(), relieve):
        await relieved.wait()
    assert looks > 10
    assert 0.1 <= shares[0] <= 0.5


async def test_reliefs_lie_two_seconds_apart_and_what_was_waited_before_does_not_count(machine: Machine) -> None:
    times: list[float] = []
    done = asyncio.Event()
    waited = 50.0

    def relieve(_share: float) -> None:
        nonlocal waited
        times.append(machine.now)
        waited += 100.0  # what the relief itself takes is no reason for another
        if len(times) == 3:
            done.set()

    def tick() -> None:
        nonlocal waited
        machine.now += 0.25
        # After the second relief it is calm for a long time.
        waited += 0.0 if len(times) == 2 and machine.now < times[1] + 60 else 0.2
        machine.waited(waited)

    machine.tick = tick
    async with watching(machine.pressure(), relieve):
        await done.wait()
    assert times[1] - times[0] >= 2
    assert times[2] - times[1] >= 60


async def test_files_that_vanish_or_tear_and_reliefs_that_fail_do_not_end_the_watch(machine: Machine) -> None:
    calls = 0
    twice = asyncio.Event()

    def relieve(_share: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            twice.set()
        raise RuntimeError("nobody may leave")

    looks = 0

    def tick() -> None:
        nonlocal looks
        looks += 1
        machine.now += 0.5
        match looks % 4:
            case 0:
                machine.stalls.unlink(missing_ok=True)
            case 1:
                machine.write(machine.stalls, "some avg10=")
            case _:
                machine.waited(50.0 + looks * 0.4)
        if looks == 3:
            (machine.proc / "meminfo").unlink()

    machine.tick = tick
    async with watching(machine.pressure(), relieve) as task:
        await twice.wait()
        assert not task.done()


def test_this_process_takes_about_what_others_say_it_takes() -> None:
    assert own_pss() == pytest.approx(psutil.Process().memory_full_info().pss, rel=0.1)


def test_where_the_kernel_hides_the_share_what_is_resident_counts(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/statm").write_text("40000 2500 300 1 0 900 0\n")
    assert own_pss(tmp_path) == 2500 * os.sysconf("SC_PAGE_SIZE")
    assert own_pss(tmp_path / "none") == 0


def test_without_a_limit_the_machine_is_the_limit(machine: Machine) -> None:
    assert memory_limit(machine.proc, machine.cgroups) == 16 * GIB
    machine.group("/expertd.service", max="max", high="max")
    assert memory_limit(machine.proc, machine.cgroups) == 16 * GIB


def test_the_least_limit_of_all_groups_above_is_the_limit(machine: Machine) -> None:
    machine.group("/user.slice", max=str(3 * GIB), high=str(2 * GIB))
    machine.group("/user.slice/expertd.service", max=str(4 * GIB))
    assert memory_limit(machine.proc, machine.cgroups) == 2 * GIB
    machine.group("/user.slice/expertd.service", max=str(GIB))
    assert memory_limit(machine.proc, machine.cgroups) == GIB


def test_a_container_whose_group_lies_outside_of_what_it_sees_has_the_limit_of_its_mount(machine: Machine) -> None:
    machine.group("/", max=str(GIB))
    machine.write(machine.cgroups.parent / "0123/memory.max", "5\n")  # not ours, though a path leads there
    for name in ("/docker/0123", "/../0123"):
        machine.write(machine.proc / "self/cgroup", f"0::{name}\n")
        assert memory_limit(machine.proc, machine.cgroups) == GIB


def test_limits_of_the_first_version_of_control_groups_count(machine: Machine) -> None:
    machine.write(machine.proc / "self/cgroup", "4:cpu,memory:/box\n3:cpuset:/\n0::/\n")
    machine.write(machine.cgroups / "memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine.write(machine.cgroups / "memory/box/memory.limit_in_bytes", f"{GIB}\n")
    assert memory_limit(machine.proc, machine.cgroups) == GIB


def test_this_machine_tells_a_share_or_that_it_knows_none() -> None:
    share = Pressure().share()
    assert share == UNKNOWN or 0 <= share <= 1


def test_this_machine_has_a_limit_that_is_no_more_than_its_memory() -> None:
    assert 0 < memory_limit() <= psutil.virtual_memory().total
