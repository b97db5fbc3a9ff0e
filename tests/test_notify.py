"""Telling the service manager and the desktop; against a real datagram socket and a real bus."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jeepney import HeaderFields, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.asyncio import DBusConnection, DBusRouter, Proxy, open_dbus_connection

from expertd.daemon.notify import Desktop, Supervisor

NOTIFICATIONS = "org.freedesktop.Notifications"


# --- The service manager ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as the service manager has it, and what NOTIFY_SOCKET says of it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(address.replace("@", "\0", 1))
        door.settimeout(5)
        yield door, address


def test_the_manager_hears_of_ready_status_and_stopping(manager: tuple[socket.socket, str]) -> None:
    door, address = manager
    supervisor = Supervisor({"NOTIFY_SOCKET": address})
    supervisor.ready("7 experts\nserve")
    supervisor.status("8 experts serve")
    supervisor.stopping()
    assert [door.recv(1000) for _ in range(3)] == [
        b"READY=1\nSTATUS=7 experts serve",
        b"STATUS=8 experts serve",
        b"STOPPING=1",
    ]


async def test_the_watchdog_hears_from_the_turning_loop(manager: tuple[socket.socket, str]) -> None:
    door, address = manager
    supervisor = Supervisor({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    assert supervisor.watchdog_interval_s == 0.02
    alive = asyncio.create_task(supervisor.keep_alive())
    heard = [await asyncio.to_thread(door.recv, 1000) for _ in range(3)]
    alive.cancel()
    assert heard == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
    ],
)
async def test_without_a_watchdog_of_ours_nothing_is_sent(environ: dict[str, str]) -> None:
    supervisor = Supervisor(environ)
    assert supervisor.watchdog_interval_s is None
    await supervisor.keep_alive()


def test_without_a_manager_nothing_happens() -> None:
    Supervisor({}).ready("here")


def test_a_manager_that_is_gone_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "none")}).ready()
    assert "cannot be told" in caplog.text


# --- The desktop -----------------------------------------------------------------------------------------------------


class Bus:
    """A session bus of its own, that can be started and ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = f"unix:path={path}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--print-address", f"--address={self.address}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self.path.unlink(missing_ok=True)
            self._process = None


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")
    bus = Bus(tmp_path / "bus")
    bus.start()
    yield bus
    bus.end()


@asynccontextmanager
async def notification_server(
    bus: Bus, shown: list[tuple[Any, ...]], *, markup: bool = False, mute: bool = False, refuse: bool = False
) -> AsyncIterator[None]:
    """What a desktop runs: owns the well-known name and answers the two calls that matter."""
    connection = await open_dbus_connection(bus.address)
    async with DBusRouter(connection) as router:
        await Proxy(message_bus, router).RequestName(NOTIFICATIONS)
    serving = asyncio.create_task(_serve(connection, shown, markup, mute, refuse))
    try:
        yield
    finally:
        serving.cancel()
        await connection.close()


async def _serve(
    connection: DBusConnection, shown: list[tuple[Any, ...]], markup: bool, mute: bool, refuse: bool
) -> None:
    while True:
        message = await connection.receive()
        if message.header.message_type is not MessageType.method_call or mute:
            continue
        member = message.header.fields[HeaderFields.member]
        if refuse:
            await connection.send(new_error(message, "org.example.Error.No", "s", ("no",)))
        elif member == "GetCapabilities":
            capabilities = ["body", "body-markup"] if markup else ["body"]
            await connection.send(new_method_return(message, "as", (capabilities,)))
        elif member == "Notify":
            shown.append(message.body)
            await connection.send(new_method_return(message, "u", (len(shown),)))


@pytest.fixture
async def desktop(bus: Bus) -> AsyncIterator[Desktop]:
    desktop = Desktop({"DBUS_SESSION_BUS_ADDRESS": bus.address}, timeout_s=5.0)
    yield desktop
    await desktop.close()
    await desktop.close()


async def test_a_notification_arrives_as_it_was_sent(bus: Bus, desktop: Desktop) -> None:
    shown: list[tuple[Any, ...]] = []
    async with notification_server(bus, shown):
        assert await desktop.notify("Tea", "is ready <now>", urgent=True, sound="alarm-clock-elapsed")
        assert await desktop.notify("Post")
    assert shown == [
        (
            "expertd",
            0,
            "",
            "Tea",
            "is ready <now>",
            [],
            {"urgency": ("y", 2), "sound-name": ("s", "alarm-clock-elapsed")},
            -1,
        ),
        ("expertd", 0, "", "Post", "", [], {"urgency": ("y", 1)}, -1),
    ]
    assert desktop.available()


async def test_words_are_not_taken_for_markup(bus: Bus, desktop: Desktop) -> None:
    shown: list[tuple[Any, ...]] = []
    async with notification_server(bus, shown, markup=True):
        assert await desktop.notify("a < b", '<a href="x">tea</a> & cake')
    assert shown[0][3:5] == ("a < b", '&lt;a href="x"&gt;tea&lt;/a&gt; &amp; cake')


async def test_words_that_a_bus_would_refuse_are_mended(bus: Bus, desktop: Desktop) -> None:
    shown: list[tuple[Any, ...]] = []
    async with notification_server(bus, shown):
        assert await desktop.notify("nul\0", "half \ud83d of a pair")
    assert shown[0][3:5] == ("nul", "half ? of a pair")


async def test_a_restarted_bus_is_found_again(bus: Bus, desktop: Desktop) -> None:
    shown: list[tuple[Any, ...]] = []
    async with notification_server(bus, shown):
        assert await desktop.notify("one")
    bus.end()
    assert not await desktop.notify("lost")
    assert not desktop.available()
    bus.start()
    async with notification_server(bus, shown):
        assert await desktop.notify("two")
    bus.end()
    bus.start()
    async with notification_server(bus, shown):
        assert await desktop.notify("three"), desktop.problem
    assert [each[3] for each in shown] == ["one", "two", "three"]
    assert desktop.available()


async def test_a_bus_where_nobody_shows_notifications_is_reported(bus: Bus, desktop: Desktop) -> None:
    assert not await desktop.notify("Tea")
    assert desktop.problem == "no program on this desktop shows notifications"


async def test_a_desktop_that_refuses_is_reported(bus: Bus, desktop: Desktop) -> None:
    async with notification_server(bus, [], refuse=True):
        assert not await desktop.notify("Tea")
    assert desktop.problem == "the session bus refuses: org.example.Error.No"


async def test_a_desktop_that_does_not_answer_is_waited_for_only_so_long(bus: Bus) -> None:
    desktop = Desktop({"DBUS_SESSION_BUS_ADDRESS": bus.address}, timeout_s=0.2)
    async with notification_server(bus, [], mute=True):
        assert not await desktop.notify("Tea")
    assert desktop.problem == "the desktop did not answer within 0.2 s"
    await desktop.close()


async def test_many_notifications_at_once_all_arrive(bus: Bus, desktop: Desktop) -> None:
    shown: list[tuple[Any, ...]] = []
    async with notification_server(bus, shown):
        assert all(await asyncio.gather(*(desktop.notify(str(number)) for number in range(20))))
    assert sorted(int(each[3]) for each in shown) == list(range(20))


async def test_the_bus_of_the_runtime_folder_is_found(bus: Bus) -> None:
    desktop = Desktop({"XDG_RUNTIME_DIR": str(bus.path.parent)}, timeout_s=5.0)
    shown: list[tuple[Any, ...]] = []
    async with notification_server(bus, shown):
        assert await desktop.notify("Tea")
    await desktop.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_RUNTIME_DIR": "/nonexistent"},
        {"DBUS_SESSION_BUS_ADDRESS": "tcp:host=localhost,port=1"},
        {"DBUS_SESSION_BUS_ADDRESS": "nonsense"},
    ],
)
async def test_without_a_bus_notifications_are_off(environ: dict[str, str]) -> None:
    desktop = Desktop(environ)
    assert not desktop.available()
    assert desktop.problem == "there is no session bus"
    assert not await desktop.notify("Tea")
    await desktop.close()
