"""How this machine is doing: memory, disks, processor, battery, uptime, processes, network, temperatures.

Reads and never changes anything; says so where the machine has no such sensor. What takes longer than a moment to read
(all processes, disks, a rate over time) is read away from the event loop.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import socket
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import QueryError
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from .wording import spell_moment, spell_span

TOPICS = (
    "memory", "disk", "cpu", "battery", "uptime", "processes", "network", "temperature", "machine", "overview",
)  # fmt: skip
SAMPLE_S = 0.25  # how long a rate is measured
MAX_TEXT = 1_000
_SHOWN_PROCESSES = 5
# File systems that hold no one's files: images mounted read-only, memory.
_NO_DISK = frozenset({"squashfs", "tmpfs", "devtmpfs", "overlay", "iso9660", "ramfs", "efivarfs", "autofs"})
_USED = r"(?:eat|eats|eating|us(?:e|es|ing|ed)|hog|hogs|hogging|tak(?:e|es|ing)(?: up)?|consum\w+|slow\w*)"
_TOPICS = tuple(
    (topic, re.compile(pattern))
    for topic, pattern in (
        ("processes", rf"\b(?:process(?:es)?|task manager)\b|\b(?:what(?:'?s)?|which|who(?:'?s)?)\b.*\b{_USED}\b.*"
                      r"\b(?:ram|memory|cpu|processor|resources|computer|machine|laptop|pc|system)\b|"
                      rf"\b(?:which|what) (?:app|apps|application|applications|program|programs)\b.*\b{_USED}\b|"
                      r"\b(?:memory|ram|cpu) hogs?\b|\b(?:apps|programs|applications)\b.*\bmost\b|\btop (?:apps|"
                      r"programs|processes)\b"),
        ("battery", r"\bbattery\b|\bcharge\b.*\b(?:have|left|laptop)\b|\bcharge (?:do i|is)\b|\bplugged in\b|\b(?:is|"
                    r"am) .*\bcharg(?:ing|ed)\b|\bon (?:ac|mains) power\b|"
                    r"\bpower (?:left|level)\b"),
        ("temperature", r"\b(?:cpu|gpu|processor)\b.*\b(?:hot|warm|cool)\b|\btemperatures?\b.*\b(?:cpu|gpu|processor|"
                        r"core|computer|laptop|machine|pc|system|ssd|disk|"
                        r"sensors?)\b|"
                        r"\b(?:cpu|gpu|processor|core|computer|laptop|machine|pc|system|ssd)(?:'s)? (?:temp|temps|"
                        r"temperatures?)\b|"
                        r"\bhow (?:hot|warm) (?:is|are|does) .*\b(?:cpu|computer|laptop|machine|pc|processor|system|"
                        r"it running)\b|"
                        r"\boverheat\w*\b|\bthermal\b|\b(?:cpu|laptop|computer|machine|pc)\b.*\b(?:too )?hot\b|"
                        r"\bsensors\b"),
        ("uptime", r"\buptime\b|\bsince when\b.*\b(?:up|on|running)\b|\bwhen\b.*\bstarted\b|"
                   r"\bhow long .*\b(?:computer|machine|laptop|pc|system|server|this) .*\b(?:on|up|"
                   r"running)\b|"
                   r"\bhow long (?:have|has) (?:i|it|you|we) been (?:up|on|running|online)\b|\bbeen (?:up|running)\b|"
                   r"\b(?:last|when).*\b(?:boot\w*|reboot\w*|restart\w*|start up|started up|turned on|switched on)\b"),
        ("disk", r"\b(?:disks?|drives?|storage|ssd|hdd|hard ?disks?|hard ?drives?|partitions?|file ?systems?)\b|"
                 r"\b(?:disk )?space\b.*\b(?:left|free|remain\w*|available|have|used|full|low|on)\b|\b(?:free|enough|"
                 r"much) space\b|"
                 r"\b(?:root|home) (?:folder|directory|partition)\b.*\b(?:full|space)\b"),
        ("network", r"\b(?:ip|ipv4|ipv6)\b|\bmac address\b|\bnetwork(?:'s)? (?:address\w*|traffic|usage|interfaces?|"
                    r"status|speed|load|use)\b|"
                    r"\bon the network\b|\b(?:wi-?fi|ethernet)\b|\bbandwidth\b|\bhostname\b|\b(?:internet|"
                    r"network) (?:connection|traffic)\b|"
                    r"\b(?:am i|are we|is (?:this|the|my) \w+) (?:online|offline|connected)\b|"
                    r"\b(?:download|upload)\w* (?:speed|rate|traffic|so far)\b|\bdata .*\b(?:downloaded|uploaded|"
                    r"received|sent)\b"),
        ("machine", r"\b(?:what|which) (?:cpu|processor)\b.*\b(?:in|have|inside)\b|\b(?:which|what) (?:os|"
                    r"operating system|kernel|distro|distribution|linux|version of linux|"
                    r"computer|hardware)\b|"
                    r"\b(?:kernel|os|linux) version\b|\b(?:machine|computer|laptop|system|hardware) (?:specs?|"
                    r"info\w*|details)\b|"
                    r"\bspecs\b|\babout this (?:computer|machine|pc)\b"),
        ("memory", r"\b(?:ram|swap)\b|\b(?:free|used?|using|usage|much|left|available|enough|low|out|system|full|"
                   r"total|check|the) .*\bmemory\b|"
                   r"\bmemory\b.*\b(?:free|used?|usage|left|available|full|low|have|status|consumption|load|running|"
                   r"is there)\b|^memory$"),
        ("cpu", r"\b(?:cpus?|processors?|cores?)\b|\bload average\b|\bsystem load\b|\bhow (?:busy|loaded) is\b|"
                r"\bwhat(?:'s| is) the load\b|\bunder load\b"),
        ("overview", r"\b(?:system|computer|machine|laptop|pc|server)\b.*\bhealthy\b|\bsummary of\b.*\b(?:system|"
                     r"computer|machine|laptop|pc|server)\b|\b(?:system|computer|machine|laptop|pc|server) (?:status|"
                     r"health|report|overview|summary|"
                     r"stats)\b|"
                     r"\bhow(?:'s| is| are)\b.*\b(?:my |the |this )(?:system|computer|machine|laptop|pc|server)\b.*"
                     r"\b(?:doing|running|holding up|feeling)\b|\bstatus of (?:my|the|this) (?:system|computer|"
                     r"machine|laptop|pc)\b|"
                     r"\b(?:computer|laptop|machine|pc|system)\b.*\bslow\b"),
    )
)  # fmt: skip
_OTHERS = re.compile(
    r"^\W*(?:(?:please|can you|could you|would you|how do i|how can i|i want to|let's|help me) )*(?:kill|close|quit|"
    r"end|"
    r"terminate|restart|reboot|shut ?down|suspend|install|uninstall|format|delete|clean|clear|buy|recommend|explain|"
    r"upgrade|define|translate|write|download|update|fix|remind|set)\b|"
    r"\b(?:cheapest|best|history|invented|human|brain|memories|childhood|memory (?:card|lane|foam|is (?:bad|good|"
    r"fading))|"
    r"phone|car|ship|electric|rom memory|poem)\b|"
    r"\bwhat (?:is|are) (?:an? )?(?:cpu|ram|battery|ssd|ip address|swap|kernel|process|core)s?\b\W*$|"
    r"\bhow (?:do|does|can) (?:an?|i|you)\b"
)


class System:
    """Answers `Structured`: {"topic": …} and the readings, sizes in bytes, times in seconds, shares in percent."""

    def __init__(self, sensors: Any = None) -> None:
        """sensors: psutil, or what stands for it."""
        if sensors is None:
            import psutil

            sensors = psutil
        self._sensors = sensors

    async def answer(self, query: Query) -> Outcome:
        text = query.text.lower().replace("’", "'")
        topic = find_topic(text, query.intent)
        if topic is None:
            return Abstention("this asks nothing about this machine", "not_mine")
        match topic:
            case "memory":
                said, data = self._memory(text)
            case "disk":
                said, data = await asyncio.to_thread(self._disk, _path(query.text))
            case "cpu":
                said, data = await self._cpu()
            case "battery":
                said, data = self._battery()
            case "uptime":
                said, data = self._uptime(query)
            case "processes":
                said, data = await self._processes("cpu" if _by_cpu(text) else "memory")
            case "network":
                said, data = await self._network(text)
            case "temperature":
                said, data = await asyncio.to_thread(self._temperature)
            case "machine":
                said, data = await asyncio.to_thread(self._machine)
            case _:
                said, data = await self._overview(query)
        return Answer(said, Structured({"topic": topic, **data}))

    # --- Readings -----------------------------------------------------------------------------------------------------

    def _memory(self, text: str = "") -> tuple[str, dict[str, Json]]:
        memory, swap = self._sensors.virtual_memory(), self._sensors.swap_memory()
        data: dict[str, Json] = {
            "total": memory.total,
            "available": memory.available,
            "used": memory.total - memory.available,
            "percent": round(100 * (memory.total - memory.available) / memory.total, 1),
            "swap_total": swap.total,
            "swap_used": swap.used,
        }
        if "swap" in text and not re.search(r"\b(?:ram|memory)\b", text):
            if not swap.total:
                return "This machine has no swap.", data
            share = _share(100 * swap.used / swap.total)
            return f"{_size(swap.used)} of {_size(swap.total)} swap is used ({share}).", data
        free = f"{_size(memory.available)} of {_size(memory.total)} memory is free"
        swapped = f"; {_size(swap.used)} of {_size(swap.total)} swap is used" if swap.total else ""
        return f"{free} ({_share(data['percent'])} used){swapped}.", data

    def _disk(self, path: str | None) -> tuple[str, dict[str, Json]]:
        """Raises: QueryError(NO_SUCH_PATH)."""
        if path is not None:
            try:
                usage = self._sensors.disk_usage(path)
            except (OSError, ValueError):
                raise QueryError(f"{path} does not exist here, or cannot be read", reason="NO_SUCH_PATH") from None
            disks = [_Disk(path, usage)]
        else:
            disks = self._disks()
        if not disks:
            return "No disk is visible from here.", {"disks": []}
        data: dict[str, Json] = {"disks": [disk.data() for disk in disks]}
        if len(disks) == 1:
            return f"{disks[0].line()}.", data
        return "\n".join(f"- {disk.line()}" for disk in disks), data

    def _disks(self) -> list[_Disk]:
        found: dict[str, _Disk] = {}
        for part in sorted(self._sensors.disk_partitions(all=False), key=lambda part: len(part.mountpoint)):
            if part.fstype in _NO_DISK or part.device in found:
                continue  # the same disk bound to a second place
            try:
                usage = self._sensors.disk_usage(part.mountpoint)
            except OSError:
                continue  # gone, or not ours to look at
            if usage.total:
                found[part.device] = _Disk(part.mountpoint, usage)
        # In a container the root is an overlay, which is no partition.
        return list(found.values()) or [_Disk("/", self._sensors.disk_usage("/"))]

    async def _cpu(self) -> tuple[str, dict[str, Json]]:
        before = self._sensors.cpu_times()
        await asyncio.sleep(SAMPLE_S)
        after = self._sensors.cpu_times()
        busy = _busy_percent(before, after)
        count = self._sensors.cpu_count() or 1
        load = [round(number, 2) for number in self._sensors.getloadavg()]
        frequency = self._sensors.cpu_freq() if hasattr(self._sensors, "cpu_freq") else None
        data: dict[str, Json] = {"percent": busy, "load": load, "cores": count}
        if frequency is not None and frequency.current:
            data["mhz"] = round(frequency.current)
        cores = f"{count} core{'s' * (count != 1)}"
        loads = f"load {load[0]:.2f}, {load[1]:.2f}, {load[2]:.2f} over 1, 5 and 15 minutes"
        return f"The processor is {_share(busy)} busy; {loads} on {cores}.", data

    def _battery(self) -> tuple[str, dict[str, Json]]:
        battery = self._sensors.sensors_battery() if hasattr(self._sensors, "sensors_battery") else None
        if battery is None:
            return "This machine reports no battery.", {"present": False}
        # psutil: -1 unknown, -2 unlimited.
        left = battery.secsleft if battery.secsleft is not None and battery.secsleft > 0 else None
        data: dict[str, Json] = {
            "present": True,
            "percent": round(battery.percent, 1),
            "plugged": battery.power_plugged,
            "left_s": left,
        }
        state = {True: ", plugged in", False: ", discharging", None: ""}[battery.power_plugged]
        if battery.power_plugged and battery.percent >= 99:
            state = " and full"
        ahead = f", about {spell_span(timedelta(seconds=left))} left" if left and not battery.power_plugged else ""
        return f"The battery is at {_share(battery.percent)}{state}{ahead}.", data

    def _uptime(self, query: Query) -> tuple[str, dict[str, Json]]:
        boot = datetime.fromtimestamp(self._sensors.boot_time(), UTC).astimezone(query.zone)
        now = query.now.astimezone(query.zone)
        up = max(query.now - boot.astimezone(UTC), timedelta())
        return (
            f"This machine has been up for {spell_span(up)}, since {spell_moment(boot, now)}.",
            {"boot": boot.isoformat(timespec="seconds"), "seconds": int(up.total_seconds())},
        )

    async def _processes(self, by: str) -> tuple[str, dict[str, Json]]:
        if by == "memory":
            taken = await asyncio.to_thread(self._memory_by_name)
        else:
            before, start = await asyncio.to_thread(self._cpu_by_process), time.monotonic()
            await asyncio.sleep(2 * SAMPLE_S)
            after, end = await asyncio.to_thread(self._cpu_by_process), time.monotonic()
            taken = defaultdict(lambda: (0.0, 0))
            for key, seconds in after.items():
                share = 100 * max(seconds - before.get(key, seconds), 0.0) / (end - start)
                total, count = taken[key[1]]
                taken[key[1]] = (total + share, count + 1)
        top = sorted(taken.items(), key=lambda item: -item[1][0])[:_SHOWN_PROCESSES]
        top = [item for item in top if item[1][0] > 0] or top[:1]
        unit = "bytes" if by == "memory" else "percent"
        data: dict[str, Json] = {
            "by": by,
            "processes": [{"name": name, unit: round(amount, 1), "count": count} for name, (amount, count) in top],
        }
        if not top:
            return "No process is visible from here.", data
        shown = _size if by == "memory" else _share_of_core
        lines = [
            f"{name} {shown(amount)}{f' ({count} processes)' if count > 1 else ''}" for name, (amount, count) in top
        ]
        return f"Most {'memory' if by == 'memory' else 'processor time'} is used by {', '.join(lines)}.", data

    def _memory_by_name(self) -> dict[str, tuple[float, int]]:
        taken: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        for process in self._sensors.process_iter(["name", "memory_info"]):
            memory, name = process.info["memory_info"], process.info["name"]
            if memory is not None and memory.rss and name:
                total, count = taken[name]
                taken[name] = (total + memory.rss, count + 1)
        return taken

    def _cpu_by_process(self) -> dict[tuple[int, str], float]:
        return {
            (process.pid, process.info["name"]): process.info["cpu_times"].user + process.info["cpu_times"].system
            for process in self._sensors.process_iter(["name", "cpu_times"])
            if process.info["cpu_times"] is not None and process.info["name"]
        }

    async def _network(self, text: str) -> tuple[str, dict[str, Json]]:
        try:
            states = self._sensors.net_if_stats()
        except OSError as error:
            # A service that is cut off from the network may not even ask which interfaces there are.
            return "The network cannot be seen from here: this service is cut off from it.", {"problem": str(error)}
        names = [name for name, state in states.items() if state.isup and not _is_loopback(name, state)]
        addresses = self._sensors.net_if_addrs()
        interfaces: list[dict[str, Json]] = []
        for name in names:
            found = [
                _address(each.address)
                for each in addresses.get(name, ())
                if each.family in (socket.AF_INET, socket.AF_INET6)
            ]
            shown = [each for each in found if not each.startswith("fe80:")]
            if shown:
                interfaces.append({"name": name, "addresses": shown})
        before = self._sensors.net_io_counters()
        data: dict[str, Json] = {"interfaces": interfaces, "hostname": platform.node()}
        traffic = ""
        if before is not None and re.search(r"traffic|speed|rate|bandwidth|usage|download|upload|much", text):
            await asyncio.sleep(2 * SAMPLE_S)
            after = self._sensors.net_io_counters()
            down, up = (
                (getattr(after, each) - getattr(before, each)) / (2 * SAMPLE_S) for each in ("bytes_recv", "bytes_sent")
            )
            data |= {"received": after.bytes_recv, "sent": after.bytes_sent, "down_per_s": down, "up_per_s": up}
            traffic = (
                f" Now {_size(down)}/s in and {_size(up)}/s out; since the start {_size(after.bytes_recv)} in and "
                f"{_size(after.bytes_sent)} out."
            )
        if not interfaces:
            return f"No network interface is up with an address.{traffic}", data
        lines = ", ".join(f"{each['name']} {' '.join(map(str, _list(each['addresses'])))}" for each in interfaces)
        public = (
            " The address that the internet sees is not known here." if re.search(r"public|external|ip\b", text) else ""
        )
        return f"{platform.node()} is connected: {lines}.{traffic}{public}", data

    def _temperature(self) -> tuple[str, dict[str, Json]]:
        chips = self._sensors.sensors_temperatures() if hasattr(self._sensors, "sensors_temperatures") else {}
        readings = [
            {"sensor": each.label or chip, "chip": chip, "celsius": round(each.current, 1), "critical": each.critical}
            for chip, found in chips.items()
            for each in found
            if each.current is not None and -40 < each.current < 150
        ]
        if not readings:
            return "This machine reports no temperature sensors.", {"sensors": []}
        hottest = sorted(readings, key=lambda each: -each["celsius"])
        critical = hottest[0]["critical"]
        limit = f" (critical from {critical:.0f} °C)" if critical else ""
        rest = f"; {', '.join(_celsius(each) for each in hottest[1:4])}" if len(hottest) > 1 else ""
        return f"{_celsius(hottest[0])}{limit}{rest}.", {"sensors": readings}

    def _machine(self) -> tuple[str, dict[str, Json]]:
        try:
            system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
        except OSError:
            system = platform.system()
        count, memory = self._sensors.cpu_count() or 1, self._sensors.virtual_memory().total
        model = _processor()
        data: dict[str, Json] = {
            "hostname": platform.node(),
            "system": system,
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "processor": model,
            "cores": count,
            "memory": memory,
        }
        cores = f"{count} core{'s' * (count != 1)}"
        return (
            f"{platform.node()}: {system}, kernel {platform.release()}, {model or platform.machine()} with {cores}, "
            f"{_size(memory)} memory.",
            data,
        )

    async def _overview(self, query: Query) -> tuple[str, dict[str, Json]]:
        parts = [await self._cpu(), self._memory(), await asyncio.to_thread(self._disk, None), self._uptime(query)]
        names = ["cpu", "memory", "disk", "uptime"]
        battery = self._battery()
        if battery[1]["present"]:
            parts.append(battery)
            names.append("battery")
        return " ".join(said for said, _ in parts), {name: data for name, (_, data) in zip(names, parts, strict=True)}


class _Disk:
    def __init__(self, place: str, usage: Any) -> None:
        self.place = place
        self.usage = usage

    def line(self) -> str:
        free = f"{_size(self.usage.free)} of {_size(self.usage.total)} is free on {self.place}"
        return f"{free} ({_share(self.usage.percent)} used)"

    def data(self) -> dict[str, Json]:
        usage = self.usage
        return {
            "mount": self.place,
            "total": usage.total,
            "used": usage.used,
            "free": usage.free,
            "percent": usage.percent,
        }


# --- What is asked ----------------------------------------------------------------------------------------------------


def find_topic(text: str, intent: str = "") -> str | None:
    """One of TOPICS; None when the sentence asks about something else. intent: the router's word, where it is one."""
    if len(text) > MAX_TEXT:
        return None
    if _OTHERS.search(text):
        return None
    if intent in TOPICS:
        return intent
    return next((topic for topic, pattern in _TOPICS if pattern.search(text)), None)


def _by_cpu(text: str) -> bool:
    return re.search(r"\b(?:cpu|processor|slow\w*|busy|load)\b", text) is not None


def _path(text: str) -> str | None:
    """A folder that is named: "/home", "~"."""
    match = re.search(r"(?:^|\s)(~?/[^\s?,;\0]*|~)", text)
    return os.path.expanduser(match[1].rstrip(".")) or "/" if match else None


# --- In words ---------------------------------------------------------------------------------------------------------


def _size(count: float) -> str:
    """Bytes in binary units, three digits: "15.6 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1000 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" or abs(count) >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def _share(percent: Any) -> str:
    return f"{percent:.0f} %"


def _share_of_core(percent: float) -> str:
    return f"{_share(percent)} of a core"


def _celsius(reading: Mapping[str, Any]) -> str:
    return f"{reading['sensor']} {reading['celsius']:.0f} °C"


def _busy_percent(before: Any, after: Any) -> float:
    """Share of the time between two readings that was spent working, iowait counting as idle."""
    spent = {
        name: getattr(after, name) - getattr(before, name) for name in after._fields if not name.startswith("guest")
    }
    total = sum(spent.values())
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    return round(min(max(100 * (total - idle) / total, 0.0), 100.0), 1) if total > 0 else 0.0


def _address(address: str) -> str:
    return address.partition("%")[0]


def _is_loopback(name: str, state: Any) -> bool:
    return name == "lo" or "loopback" in getattr(state, "flags", "")


def _list(value: Any) -> list[Any]:
    return list(value)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor()
