"""The state of the machine: this one for real, and others that stand in for it."""

from __future__ import annotations

import socket
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from expertd.experts.errors import QueryError
from expertd.experts.skills import system
from expertd.experts.skills.system import TOPICS, System
from expertd.experts.values import Abstention, Answer, Query, Structured

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=BERLIN)
GIB = 2**30
Times = namedtuple("Times", "user system idle iowait")


class Laptop:
    """What psutil says on a laptop with a battery, sensors, two disks and a busy browser."""

    def __init__(self) -> None:
        self.battery: Any = SimpleNamespace(percent=64.0, secsleft=5400, power_plugged=False)
        self.looks = 0

    def virtual_memory(self) -> Any:
        return SimpleNamespace(total=16 * GIB, available=4 * GIB)

    def swap_memory(self) -> Any:
        return SimpleNamespace(total=8 * GIB, used=1 * GIB)

    def disk_partitions(self, all: bool = False) -> list[Any]:  # noqa: A002 - psutil's name
        part = lambda device, mountpoint, fstype: SimpleNamespace(device=device, mountpoint=mountpoint, fstype=fstype)  # noqa: E731
        return [
            part("/dev/nvme0n1p2", "/", "ext4"),
            part("/dev/nvme0n1p2", "/var/lib/bound", "ext4"),
            part("/dev/loop1", "/snap/tool", "squashfs"),
            part("/dev/sda1", "/media/usb", "exfat"),
            part("/dev/sdb1", "/media/gone", "ext4"),
        ]

    def disk_usage(self, path: str) -> Any:
        if path == "/media/gone":
            raise OSError("stale")
        total = 500 * GIB if path == "/" else 64 * GIB
        return SimpleNamespace(total=total, used=total // 4, free=total - total // 4, percent=25.0)

    def cpu_times(self) -> Any:
        self.looks += 1
        return Times(10.0, 5.0, 85.0, 0.0) if self.looks % 2 else Times(10.6, 5.2, 86.0, 0.2)

    def cpu_count(self) -> int:
        return 8

    def getloadavg(self) -> tuple[float, float, float]:
        return 1.5, 1.25, 0.75

    def sensors_battery(self) -> Any:
        return self.battery

    def boot_time(self) -> float:
        return (NOW - timedelta(days=3, hours=4)).astimezone(UTC).timestamp()

    def sensors_temperatures(self) -> dict[str, list[Any]]:
        core = SimpleNamespace(label="Package id 0", current=71.0, high=90.0, critical=100.0)
        disk = SimpleNamespace(label="", current=38.0, high=None, critical=None)
        broken = SimpleNamespace(label="wild", current=-128.0, high=None, critical=None)
        return {"coretemp": [core], "nvme": [disk], "acpi": [broken]}

    def process_iter(self, fields: list[str]) -> Iterator[Any]:
        self.looks += 1
        for pid, (name, rss, busy) in enumerate(
            (("browser", 3 * GIB, 0.5), ("browser", 1 * GIB, 0.0), ("editor", GIB, 0.1), ("hidden", None, None))
        ):
            times = None if busy is None else SimpleNamespace(user=1.0 + busy * (self.looks % 2), system=0.0)
            memory = None if rss is None else SimpleNamespace(rss=rss)
            yield SimpleNamespace(pid=pid, info={"name": name, "memory_info": memory, "cpu_times": times})

    def net_if_stats(self) -> dict[str, Any]:
        up = SimpleNamespace(isup=True, flags="up")
        return {"lo": up, "wlan0": up, "eth0": SimpleNamespace(isup=False, flags="")}

    def net_if_addrs(self) -> dict[str, list[Any]]:
        four = SimpleNamespace(family=socket.AF_INET, address="192.0.2.7")
        link = SimpleNamespace(family=socket.AF_INET6, address="fe80::1%wlan0")
        return {"lo": [SimpleNamespace(family=socket.AF_INET, address="127.0.0.1")], "wlan0": [four, link]}

    def net_io_counters(self) -> Any:
        self.looks += 1
        return SimpleNamespace(bytes_recv=10_000 * self.looks, bytes_sent=1_000 * self.looks)


@pytest.fixture(autouse=True)
def _short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "SAMPLE_S", 0.01)


async def ask(machine: System, text: str, intent: str = "") -> Any:
    return await machine.answer(Query(text, NOW, BERLIN, intent=intent))


async def told(machine: System, text: str, intent: str = "") -> dict[str, Any]:
    outcome = await ask(machine, text, intent)
    assert isinstance(outcome, Answer), outcome
    assert isinstance(outcome.result, Structured)
    return {**outcome.result.data, "text": outcome.text}


@pytest.fixture
def laptop() -> Laptop:
    return Laptop()


@pytest.mark.parametrize("text", ["how much swap is used", "how much swap is in use"])
async def test_who_asks_of_swap_hears_of_swap(laptop: Laptop, text: str) -> None:
    assert (await told(System(laptop), text, "memory"))["text"] == "1.0 GiB of 8.0 GiB swap is used (12 %)."
    laptop.swap_memory = lambda: SimpleNamespace(total=0, used=0)  # type: ignore[method-assign]
    assert (await told(System(laptop), text, "memory"))["text"] == "This machine has no swap."


async def test_memory(laptop: Laptop) -> None:
    found = await told(System(laptop), "how much memory is free")
    assert found["text"] == "4.0 GiB of 16.0 GiB memory is free (75 % used); 1.0 GiB of 8.0 GiB swap is used."
    assert (found["topic"], found["available"], found["percent"]) == ("memory", 4 * GIB, 75.0)


async def test_disks_are_told_once_each_without_images_and_ghosts(laptop: Laptop) -> None:
    found = await told(System(laptop), "how much space is left on my disk")
    assert [disk["mount"] for disk in found["disks"]] == ["/", "/media/usb"]
    assert "375 GiB of 500 GiB is free on /" in found["text"]


async def test_a_folder_that_is_not_there_is_refused(laptop: Laptop) -> None:
    with pytest.raises(QueryError) as caught:
        await ask(System(laptop), "how much space is left on /media/gone")
    assert caught.value.reason == "NO_SUCH_PATH"


async def test_the_processor_is_measured_and_waiting_is_not_work(laptop: Laptop) -> None:
    found = await told(System(laptop), "how busy is the cpu")
    assert found["percent"] == 40.0
    assert found["text"].endswith("load 1.50, 1.25, 0.75 over 1, 5 and 15 minutes on 8 cores.")


async def test_a_battery_is_told_with_what_is_left_and_a_missing_one_is_admitted(laptop: Laptop) -> None:
    assert (await told(System(laptop), "battery level"))["text"] == (
        "The battery is at 64 %, discharging, about 1 h 30 min left."
    )
    laptop.battery = SimpleNamespace(percent=100.0, secsleft=-2, power_plugged=True)
    assert (await told(System(laptop), "am I plugged in"))["text"] == "The battery is at 100 % and full."
    laptop.battery = None
    found = await told(System(laptop), "how much battery is left")
    assert found["text"] == "This machine reports no battery."
    assert found["present"] is False


async def test_uptime(laptop: Laptop) -> None:
    found = await told(System(laptop), "how long has this computer been running")
    assert found["text"] == "This machine has been up for 3 days 4 h, since 05:00 on Friday 27 February."


async def test_what_eats_memory_is_summed_by_program(laptop: Laptop) -> None:
    found = await told(System(laptop), "what is eating my memory")
    assert found["processes"] == [
        {"name": "browser", "bytes": 4.0 * GIB, "count": 2},
        {"name": "editor", "bytes": 1.0 * GIB, "count": 1},
    ]
    assert found["text"] == "Most memory is used by browser 4.0 GiB (2 processes), editor 1.0 GiB."


async def test_what_eats_the_processor_is_measured(laptop: Laptop) -> None:
    laptop.looks = 1
    found = await told(System(laptop), "which process uses the most cpu")
    assert found["by"] == "cpu"
    assert found["processes"][0]["name"] == "browser"


async def test_network(laptop: Laptop) -> None:
    found = await told(System(laptop), "what's my ip address")
    assert found["interfaces"] == [{"name": "wlan0", "addresses": ["192.0.2.7"]}]
    assert "not known here" in found["text"]
    assert (await told(System(laptop), "network traffic"))["down_per_s"] > 0


async def test_temperatures_and_none(laptop: Laptop) -> None:
    found = await told(System(laptop), "how hot is the cpu")
    assert found["text"] == "Package id 0 71 °C (critical from 100 °C); nvme 38 °C."
    laptop.sensors_temperatures = dict  # type: ignore[method-assign]
    assert (await told(System(laptop), "cpu temperature"))["text"] == "This machine reports no temperature sensors."


@pytest.mark.parametrize("topic", TOPICS)
async def test_every_topic_is_answered_on_this_very_machine(topic: str) -> None:
    outcome = await System(psutil).answer(Query("tell me", datetime.now(BERLIN), BERLIN, intent=topic))
    assert isinstance(outcome, Answer)
    assert outcome.text
    assert isinstance(outcome.result, Structured)
    assert outcome.result.data["topic"] == topic


@pytest.mark.parametrize(
    "text",
    [
        "what is a cpu",
        "who invented ram",
        "kill firefox",
        "restart the computer",
        "how much memory does a human brain have",
        "my childhood memories",
        "what's the weather",
        "delete everything on my disk",
        "",
    ],
)
async def test_what_asks_nothing_about_this_machine_is_not_ours(laptop: Laptop, text: str) -> None:
    outcome = await ask(System(laptop), text)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "not_mine"
