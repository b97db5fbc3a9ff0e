"""What an operator does with expertctl: see the experts, change which version serves, look after models, examine."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import click

from expertd.v1 import fleet_pb2 as fleet

from . import render
from .errors import ExpertdError
from .invocation import Invocation, complete_expert, complete_model, json_option, pass_invocation
from .terminal import Terminal
from .wire import SYSTEM_SOCKET, daemon_down, default_socket, knock

expert_argument = click.argument("expert", shell_complete=complete_expert)
Check = fleet.GetStatusResponse.Check
Level = fleet.GetStatusResponse.Check.Level


# --- See -------------------------------------------------------------------------------------------------------------


@click.command()
@json_option
@pass_invocation
def ps(invocation: Invocation) -> None:
    """List the experts: what serves, in which state, at which cost."""
    experts = invocation.client.fleet.list()
    if invocation.terminal.json:
        invocation.terminal.document(fleet.ListExpertsResponse(experts=experts))
    elif not experts:
        invocation.terminal.say("no experts; `expertctl install FOLDER` brings one")
    else:
        rows = [render.ps_row(expert) for expert in sorted(experts, key=lambda expert: expert.name)]
        # Reasons are sentences: on a terminal they stand below, where there is room for them.
        *columns, reason = render.PS_TITLES
        below = [f"{row[0]}: {row[-1]}" for row in rows if row[-1]] if invocation.terminal.tty else []
        if below:
            invocation.terminal.table(columns, [row[:-1] for row in rows], right=render.NUMBERS)
            invocation.terminal.say("\n".join(["", *below]))
        else:
            invocation.terminal.table([*columns, reason], rows, right=render.NUMBERS)


@click.command()
@expert_argument
@json_option
@pass_invocation
def show(invocation: Invocation, expert: str) -> None:
    """Show one EXPERT: details, versions, card."""
    terminal = invocation.terminal
    found = invocation.client.fleet.get(expert)
    if terminal.json:
        terminal.document(found)
        return
    for name, value in render.expert_rows(found.expert):
        terminal.say(f"{name:<10} {value}")
    if found.expert.versions:
        terminal.say()
        newest_first = sorted(found.expert.versions, key=lambda version: -version.version)
        titles = ("version", "state", "since", "disk", "reason")
        terminal.table(titles, [render.version_row(version) for version in newest_first], right=render.NUMBERS)
    if found.card:
        terminal.say()
        terminal.markdown(found.card)


@click.command()
@json_option
@pass_invocation
def watch(invocation: Invocation) -> None:
    """Print every expert as it is now, then each change. Ends with Ctrl-C."""
    for change in invocation.client.fleet.watch():
        if invocation.terminal.json:
            invocation.terminal.line(change)
        else:
            invocation.terminal.say(render.watch_line(change))


@click.command()
@click.option("--expert", default="", shell_complete=complete_expert, help="Only those that went to this expert.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--id", "trace_id", default="", help="Only this one.")
@json_option
@pass_invocation
def traces(invocation: Invocation, expert: str, limit: int, trace_id: str) -> None:
    """List recorded requests, newest first."""
    terminal = invocation.terminal
    found = invocation.client.fleet.traces(limit=limit, expert=expert, trace_id=trace_id)
    if terminal.json:
        terminal.document(fleet.ListTracesResponse(traces=found))
    elif not found:
        terminal.say("no traces")
    else:
        titles = ("trace", "time", "expert", "intent", "by", "sure", "outcome", "total", "feedback", "text or reason")
        rows = [render.trace_row(trace) for trace in found]
        if not terminal.tty:
            terminal.table(titles, rows, right=render.NUMBERS)
            return
        # As in `ps`, sentences stand below; year and version go without saying, and where it is narrow, the tier.
        short = []
        for trace, time, name, intent, tier, sure, outcome, *rest, _ in rows:
            how = tier if terminal.width >= 120 else ""
            when, who, end = time.partition("-")[2], name.partition(" ")[0], outcome.replace("_", " ")
            short.append([trace, when, who, intent, how, sure, end, *rest])
        terminal.table(titles[:-1], short, right=render.NUMBERS, whole=frozenset({"trace", "time", "expert"}))
        if below := [f"{row[0]}: {row[-1]}" for row in rows if row[-1]]:
            terminal.say()
            for line in below:
                terminal.say(line.replace("\n", " "))


# --- Change ----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@pass_invocation
def install(invocation: Invocation, folder: Path) -> None:
    """Upload the bundle in FOLDER, examine it, and serve it. The version before it serves until then."""
    terminal = invocation.terminal

    def told(step: fleet.InstallResponse) -> None:
        if terminal.json:
            terminal.line(step)
        else:
            state = render.word(fleet.State, step.state) if step.state else ""
            head = " ".join(part for part in (step.expert, str(step.version or ""), state) if part)
            message = step.message.removeprefix(f"{step.expert} {step.version}: ")  # the line begins with it already
            terminal.say(": ".join(part for part in (head, message) if part))

    try:
        last = invocation.client.fleet.install(folder, told)
    except KeyboardInterrupt:
        terminal.warn("interrupted; expertd goes on with a bundle that has arrived: see `expertctl ps`")
        raise click.exceptions.Exit(130) from None
    if not last.state:
        _tell_unchanged(invocation, folder)


def _tell_unchanged(invocation: Invocation, folder: Path) -> None:
    """No state was told: what was installed is what serves."""
    import tomllib

    manifest = tomllib.loads((folder / "expert.toml").read_text(encoding="utf-8"))
    name, version = str(manifest.get("name")), manifest.get("version")
    if invocation.client.fleet.get(name).expert.serving_version != version:
        return
    if invocation.terminal.json:
        already = fleet.InstallResponse(expert=name, version=version, state="STATE_SERVING", message="serves already")
        invocation.terminal.line(already)
    else:
        invocation.terminal.say(f"{name} {version} serves already")


@click.command()
@expert_argument
@click.argument("version", type=click.IntRange(min=1))
@json_option
@pass_invocation
def promote(invocation: Invocation, expert: str, version: int) -> None:
    """Serve a VERSION of EXPERT that is in the store."""
    _print_expert(invocation.terminal, invocation.client.fleet.promote(expert, version))


@click.command()
@expert_argument
@json_option
@pass_invocation
def rollback(invocation: Invocation, expert: str) -> None:
    """Serve the version of EXPERT that served before this one."""
    _print_expert(invocation.terminal, invocation.client.fleet.rollback(expert))


@click.command()
@expert_argument
@json_option
@pass_invocation
def pin(invocation: Invocation, expert: str) -> None:
    """Never unload EXPERT to make room."""
    _print_expert(invocation.terminal, invocation.client.fleet.pin(expert), "pinned")


@click.command()
@expert_argument
@json_option
@pass_invocation
def unpin(invocation: Invocation, expert: str) -> None:
    """Let EXPERT be unloaded to make room."""
    _print_expert(invocation.terminal, invocation.client.fleet.pin(expert, False), "no longer pinned")


@click.command()
@expert_argument
@json_option
@pass_invocation
def unload(invocation: Invocation, expert: str) -> None:
    """Free the memory of EXPERT; the next request for it loads it again."""
    _print_expert(invocation.terminal, invocation.client.fleet.unload(expert), "unloaded")


@click.command()
@expert_argument
@json_option
@pass_invocation
def remove(invocation: Invocation, expert: str) -> None:
    """Stop serving EXPERT, and delete it from the store."""
    invocation.client.fleet.remove(expert)
    if invocation.terminal.json:
        invocation.terminal.document({"removed": expert})
    else:
        invocation.terminal.say(f"{expert} removed")


def _print_expert(terminal: Terminal, expert: fleet.Expert, what: str = "") -> None:
    if terminal.json:
        terminal.document(expert)
        return
    version, state = render.expert_state(expert)
    terminal.say(f"{expert.name} {what or f'{version} {state}'}".rstrip())


# --- Models ----------------------------------------------------------------------------------------------------------


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context) -> None:
    """Look after the large text models; without a subcommand, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@models.command("list")
@json_option
@pass_invocation
def list_models(invocation: Invocation) -> None:
    """List the models that installed experts name."""
    terminal = invocation.terminal
    found = invocation.client.fleet.models()
    if terminal.json:
        terminal.document(fleet.ListModelsResponse(models=found))
    elif not found:
        terminal.say("no installed expert names a model")
    else:
        titles = ("model", "available", "size", "licence", "experts", "source")
        terminal.table(titles, [render.model_row(model) for model in found], right=render.NUMBERS)


@models.command()
@click.argument("name", shell_complete=complete_model)
@json_option
@pass_invocation
def pull(invocation: Invocation, name: str) -> None:
    """Download the model NAME; what an interrupted download left is used."""
    terminal = invocation.terminal
    last = fleet.PullModelResponse()
    try:
        with terminal.progress(name) as moved:

            def told(step: fleet.PullModelResponse) -> None:
                last.CopyFrom(step)
                if terminal.json:
                    terminal.line(step)
                else:
                    moved(step.model.present_bytes, step.model.size_bytes, step.message)

            model = invocation.client.fleet.pull(name, told)
    except KeyboardInterrupt:
        here, whole = render.size(last.model.present_bytes) or "nothing", render.size(last.model.size_bytes)
        there = f"{here} of {whole}" if whole else here
        terminal.warn(f"interrupted with {there} here; `expertctl models pull {name}` resumes it")
        raise click.exceptions.Exit(130) from None
    if not terminal.json:
        terminal.say(f"{model.name} is {render.word(fleet.Availability, model.availability)}")


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--name",
    default="",
    shell_complete=complete_model,
    help="The model it is to serve as.  [default: the only one there is]",
)
@json_option
@pass_invocation
def adopt(invocation: Invocation, file: Path, name: str) -> None:
    """Give the daemon a GGUF FILE that is on this machine."""
    terminal = invocation.terminal
    if terminal.json:
        terminal.document(invocation.client.fleet.adopt(file, name))
        return
    with terminal.progress(file.name) as moved:
        model = invocation.client.fleet.adopt(file, name, lambda sent, size: moved(sent, size, ""))
    terminal.say(f"{model.name} is {render.word(fleet.Availability, model.availability)}")


# --- Examine ---------------------------------------------------------------------------------------------------------


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


COMMANDS = (ps, show, watch, traces, install, promote, rollback, pin, unpin, unload, remove, models, doctor)
