"""expertctl doctor: what is seen of the daemon from outside, what it says of its own health, and what to do."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import click

from expertd.v1 import fleet_pb2 as fleet

from . import render
from .errors import ExpertdError
from .invocation import Invocation, json_option, pass_invocation
from .wire import SYSTEM_SOCKET, daemon_down, default_socket, knock

Check = fleet.GetStatusResponse.Check
Level = fleet.GetStatusResponse.Check.Level


@click.command()
@json_option
@pass_invocation
def doctor(invocation: Invocation) -> None:
    """Examine socket, trunk, models, database, disk and memory, and say what to do. Exit code 1 on an error."""
    terminal = invocation.terminal
    checks, status = _examine(invocation)
    if terminal.json:
        report = fleet.GetStatusResponse(checks=checks)
        if status is not None:
            report.version, report.pid = status.version, status.pid
            report.started.CopyFrom(status.started)
        terminal.document(report)
    else:
        rows = [[check.name, render.word(Level, check.level), check.message, check.remedy] for check in checks]
        terminal.table(("check", "finding", "what", "do"), rows)
        if status is not None:
            terminal.say(f"expertd {status.version}, process {status.pid}, up since {render.clock(status.started)}")
    if any(check.level == Level.Value("LEVEL_ERROR") for check in checks):
        raise click.exceptions.Exit(1)


def _examine(invocation: Invocation) -> tuple[Sequence[Check], fleet.GetStatusResponse | None]:
    """What is seen from here, and what the daemon says of itself if it answers."""
    try:
        socket = invocation.socket or default_socket()
    except ExpertdError as error:
        return [Check(name="socket", level="LEVEL_ERROR", message=str(error))], None
    checks = [_folder_check(socket.absolute().parent)]
    if why := knock(socket):
        remedy = str(daemon_down(socket, why)).rpartition("; ")[2]
        if not os.path.lexists(socket) and (pid := _holder(socket)):
            why = f"the socket file is gone although expertd runs as process {pid}"
            how = "sudo systemctl" if socket == SYSTEM_SOCKET else "systemctl --user"
            remedy = f"restart it: `{how} restart expertd`"
        return [*checks, Check(name="socket", level="LEVEL_ERROR", message=why, remedy=remedy)], None
    checks.append(Check(name="socket", level="LEVEL_OK", message=f"somebody listens on {socket}"))
    try:
        status = invocation.client.fleet.status()
    except ExpertdError as error:
        restart = "`systemctl --user restart expertd`, and see its journal"
        return [*checks, Check(name="daemon", level="LEVEL_ERROR", message=str(error), remedy=restart)], None
    answers = Check(name="daemon", level="LEVEL_OK", message="answers")
    return [*checks, answers, *status.checks], status


def _holder(socket: Path) -> int:
    """The living process that the lock file beside the socket names; 0: none."""
    try:
        pid = int(socket.with_name(f"{socket.name}.lock").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return pid if pid > 0 and Path(f"/proc/{pid}").exists() else 0


def _folder_check(folder: Path) -> Check:
    try:
        found = folder.stat()
    except OSError as error:
        return Check(
            name="folder",
            level="LEVEL_ERROR",
            message=f"{folder}: {error.strerror}",
            remedy="the daemon makes it when it starts",
        )
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == os.getuid() and mode & 0o077:
        return Check(
            name="folder",
            level="LEVEL_WARNING",
            message=f"{folder} is open to others (mode {mode:04o})",
            remedy=f"chmod 700 {folder}",
        )
    if mode & 0o002:
        return Check(
            name="folder",
            level="LEVEL_ERROR",
            message=f"anybody may write in {folder} (mode {mode:04o}), and listen in the daemon's place",
            remedy="use a folder of the daemon's alone",
        )
    return Check(name="folder", level="LEVEL_OK", message=f"{folder} (mode {mode:04o})")


COMMANDS = (doctor,)
