"""Telling those around the daemon: the service supervisor that it lives, the desktop that a timer fired.

Both are silent where there is nobody to tell, and neither ever raises into its caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jeepney.io.asyncio import DBusConnection, DBusRouter

_log = logging.getLogger(__name__)


class Supervisor:
    """The service manager's notification protocol (sd_notify(3)), in the few words that a daemon needs."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_interval_s = self._interval_s(environ)

    def ready(self, status: str = "") -> None:
        """From here on requests are answered."""
        self._send("READY=1" + (f"\nSTATUS={_one_line(status)}" if status else ""))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={_one_line(text)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    async def keep_alive(self) -> None:
        """Tells the watchdog that the event loop turns, twice per its interval; returns at once if there is none."""
        while self.watchdog_interval_s is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_interval_s / 2)

    @staticmethod
    def _interval_s(environ: Mapping[str, str]) -> float | None:
        """None: no watchdog, or it watches another process."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        pid = environ.get("WATCHDOG_PID", "")
        if not microseconds.isdecimal() or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
            return None
        return int(microseconds) / 1e6

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # "@" stands for the zero byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
                door.setblocking(False)
                door.sendto(message.encode(), address)
        except OSError as error:
            _log.warning("the service manager at %s cannot be told: %s", self._address, error)


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Desktop:
    """Notifications on the desktop, over the session bus (org.freedesktop.Notifications).

    Connects at the first one and again whenever the bus went away. timeout_s: for one notification, all told.
    """

    def __init__(self, environ: Mapping[str, str], *, name: str = "expertd", timeout_s: float = 2.0) -> None:
        self._environ = environ
        self._name = name
        self._timeout_s = timeout_s
        self._problem = ""
        self._connection: DBusConnection | None = None
        self._router: DBusRouter | None = None
        self._takes_markup = False
        self._lock = asyncio.Lock()

    def available(self) -> bool:
        """Whether notifications can be shown, as far as is known: there is a bus, and the last one was shown."""
        return not self.problem

    @property
    def problem(self) -> str:
        """Why notifications are not shown; "": they are."""
        return self._problem if _session_bus(self._environ) else "there is no session bus"

    async def notify(self, summary: str, body: str = "", *, urgent: bool = False, sound: str = "") -> bool:
        """Shows one notification; False: it could not be shown, and `problem` says why.

        urgent: stays until somebody sees to it. sound: a name of the freedesktop sound theme, "alarm-clock-elapsed".
        """
        if not _session_bus(self._environ):
            return False
        try:
            async with asyncio.timeout(self._timeout_s), self._lock:
                try:
                    await self._show(summary, body, urgent, sound)
                except (OSError, EOFError, KeyError, _router_closed()):
                    # The bus was restarted since the last notification (jeepney may say so with a KeyError, from
                    # taking a reply back twice): one more try, on a new connection.
                    await self._disconnect()
                    await self._show(summary, body, urgent, sound)
        except Exception as error:  # a notification that is not shown is never a reason to fail
            await self._disconnect()
            problem = _in_words(error, self._timeout_s)
            if problem != self._problem:
                _log.info("no desktop notifications: %s", problem)
            self._problem = problem
            return False
        self._problem = ""
        return True

    async def close(self) -> None:
        """Leaves the bus. May be called twice."""
        async with self._lock:
            await self._disconnect()

    async def _show(self, summary: str, body: str, urgent: bool, sound: str) -> None:
        if self._router is None:
            await self._connect()
        hints: dict[str, tuple[str, Any]] = {"urgency": ("y", 2 if urgent else 1)}
        if sound:
            hints["sound-name"] = ("s", sound)
        # Where the body may hold markup, ours must not be taken for it.
        shown = html.escape(_bus_text(body), quote=False) if self._takes_markup else _bus_text(body)
        arguments: tuple[Any, ...] = (self._name, 0, "", _bus_text(summary), shown, [], hints, -1)
        await self._call("Notify", "susssasa{sv}i", arguments)

    async def _connect(self) -> None:
        from jeepney.io.asyncio import DBusRouter, open_dbus_connection

        self._connection = await open_dbus_connection(_session_bus(self._environ))
        self._router = DBusRouter(self._connection)
        (capabilities,) = await self._call("GetCapabilities")
        self._takes_markup = "body-markup" in capabilities

    async def _call(
        self, method: str, signature: str | None = None, arguments: tuple[Any, ...] = ()
    ) -> tuple[Any, ...]:
        from jeepney import DBusAddress, new_method_call
        from jeepney.wrappers import unwrap_msg

        assert self._router is not None, "connected first"  # noqa: S101
        server = DBusAddress(
            "/org/freedesktop/Notifications",
            bus_name="org.freedesktop.Notifications",
            interface="org.freedesktop.Notifications",
        )
        reply = await self._router.send_and_get_reply(new_method_call(server, method, signature, arguments))
        body: tuple[Any, ...] = unwrap_msg(reply)
        return body

    async def _disconnect(self) -> None:
        connection, router = self._connection, self._router
        self._connection = self._router = None
        with contextlib.suppress(Exception):
            if router is not None:
                await router.__aexit__(None, None, None)
        with contextlib.suppress(Exception):
            if connection is not None:
                await connection.close()


def _session_bus(environ: Mapping[str, str]) -> str:
    """The session bus's address; "": there is none. Looked for anew each time: a session may begin after us."""
    from jeepney.bus import get_connectable_addresses

    address = environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    if not address:
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        bus = Path(runtime) / "bus"
        return f"unix:path={bus}" if runtime and bus.is_socket() else ""
    try:
        next(get_connectable_addresses(address))
    except (RuntimeError, ValueError, StopIteration):
        return ""
    return address


def _router_closed() -> type[Exception]:
    from jeepney.io.common import RouterClosed

    closed: type[Exception] = RouterClosed
    return closed


def _bus_text(text: str) -> str:
    """What D-Bus takes as a string: valid UTF-8 without NUL. A bus cuts off whoever sends another."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _in_words(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"the desktop did not answer within {timeout_s:g} s"
    name = getattr(error, "name", "")
    if name == "org.freedesktop.DBus.Error.ServiceUnknown":
        return "no program on this desktop shows notifications"
    return f"the session bus refuses: {name or str(error) or type(error).__name__}"
