"""What an operator does with expertctl: see the experts, and change which version serves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from expertd.v1 import fleet_pb2 as fleet

from . import render, render_fleet
from .invocation import Invocation, complete_expert, json_option, pass_invocation
from .terminal import Terminal

expert_argument = click.argument("expert", shell_complete=complete_expert)


# --- See -------------------------------------------------------------------------------------------------------------


@click.command()
@json_option
@pass_invocation
def ps(invocation: Invocation) -> None:
    """List the experts: what serves, in which state, at which cost."""
    terminal = invocation.terminal
    found = invocation.client.fleet.overview()
    if terminal.json:
        terminal.document(found)
        return
    experts = sorted(found.experts, key=lambda expert: expert.name)
    if experts:
        rows = [row for expert in experts for row in render_fleet.ps_rows(expert)]
        # Reasons are sentences: on a terminal they stand below, where there is room for them.
        *columns, why = render_fleet.PS_TITLES
        if terminal.tty:
            terminal.table(columns, [row[:-1] for row in rows], right=render_fleet.NUMBERS)
            terminal.say()
        else:
            terminal.table([*columns, why], rows, right=render_fleet.NUMBERS)
        for line, over in render_fleet.below(experts) if terminal.tty else ():
            terminal.say(line, dim=over)
    else:
        terminal.say("no experts; `expertctl install FOLDER` brings one")
    if found.HasField("memory"):
        terminal.say(render_fleet.memory_line(found.memory))


@click.command()
@expert_argument
@json_option
@pass_invocation
def show(invocation: Invocation, expert: str) -> None:
    """Show one EXPERT: details, versions, what is on trial, card."""
    terminal = invocation.terminal
    found = invocation.client.fleet.get(expert)
    if terminal.json:
        terminal.document(found)
        return
    for name, value in render_fleet.expert_rows(found.expert):
        terminal.say(f"{name:<10} {value}")
    newest_first = sorted(found.expert.versions, key=lambda version: -version.version)
    if newest_first:
        terminal.say()
        rows = [render_fleet.version_row(found.expert, version) for version in newest_first]
        terminal.table(render_fleet.VERSION_TITLES, rows, right=render_fleet.NUMBERS)
    for version in newest_first:
        if version.HasField("trial"):
            terminal.say()
            terminal.say(render_fleet.trial_line(version))
            rows = render_fleet.trial_rows(found.expert, version)
            terminal.table(render_fleet.TRIAL_TITLES, rows, right=render_fleet.NUMBERS)
    if examined := [version for version in newest_first if version.examination]:
        terminal.say()
        for version in examined:
            terminal.say(f"version {version.version} examined: {version.examination}")
    if found.card:
        terminal.say()
        terminal.markdown(found.card)


@click.command()
@click.argument("expert", default="", shell_complete=complete_expert)
@json_option
@pass_invocation
def watch(invocation: Invocation, expert: str) -> None:
    """Show the experts as they are now, then each change.

    On a terminal a table that keeps itself up to date, elsewhere a line for each change. With EXPERT: of that one
    alone. Ends with Ctrl-C.
    """
    terminal = invocation.terminal
    if expert:
        invocation.client.fleet.get(expert)  # a name that nobody has would be waited for in vain
    changes = (change for change in invocation.client.fleet.watch() if not expert or change.expert.name == expert)
    if terminal.json:
        for change in changes:
            terminal.line(change)
    elif terminal.redraws:
        _watch_live(terminal, changes)
    else:
        last: dict[str, str] = {}
        for change in changes:
            line = render_fleet.watch_line(change)
            # What changed may be nothing that a line shows.
            if last.get(change.expert.name) != line:
                last[change.expert.name] = line
                terminal.say(line)


def _watch_live(terminal: Terminal, changes: Iterable[fleet.WatchResponse]) -> None:
    known: dict[str, fleet.Expert] = {}
    *columns, _ = render_fleet.PS_TITLES
    with terminal.live() as draw:
        for change in changes:
            if change.removed:
                known.pop(change.expert.name, None)
            else:
                known[change.expert.name] = change.expert
            experts = [known[name] for name in sorted(known)]
            rows = [row[:-1] for expert in experts for row in render_fleet.ps_rows(expert)]
            draw(columns, rows, render_fleet.NUMBERS, [("", False), *render_fleet.below(experts)])


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
        rows = [render_fleet.trace_row(trace) for trace in found]
        if not terminal.tty:
            terminal.table(titles, rows, right=render_fleet.NUMBERS)
            return
        # As in `ps`, sentences stand below; year and version go without saying, and where it is narrow, the tier.
        short = []
        for trace, time, name, intent, tier, sure, outcome, *rest, _ in rows:
            how = tier if terminal.width >= 120 else ""
            when, who, end = time.partition("-")[2], name.partition(" ")[0], outcome.replace("_", " ")
            short.append([trace, when, who, intent, how, sure, end, *rest])
        terminal.table(titles[:-1], short, right=render_fleet.NUMBERS, whole=frozenset({"trace", "time", "expert"}))
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
    """Upload a bundle, examine it, and serve it.

    FOLDER holds it. Where `expertctl policy` has it so, a trial comes first; the version before serves until then. Ends
    with 0 when the version serves or is on trial, with 1 when it failed.
    """
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
        invocation.client.fleet.install(folder, told)
    except KeyboardInterrupt:
        terminal.warn("interrupted; expertd goes on with a bundle that has arrived: see `expertctl ps`")
        raise click.exceptions.Exit(130) from None


@click.command()
@expert_argument
@click.argument("version", type=click.IntRange(min=1))
@json_option
@pass_invocation
def promote(invocation: Invocation, expert: str, version: int) -> None:
    """Serve a VERSION of EXPERT that is in the store.

    One that is on trial is accepted by it: it serves at once.
    """
    after = invocation.client.fleet.promote(expert, version)
    promoted = next((each for each in after.versions if each.version == version), None)
    if promoted is None or invocation.terminal.json:
        _print_expert(invocation.terminal, after)
    else:
        # Which need not be the one that serves: a policy may put it on trial.
        invocation.terminal.say(f"{expert} {version} {render_fleet.version_state(promoted)}")


@click.command()
@expert_argument
@json_option
@pass_invocation
def rollback(invocation: Invocation, expert: str) -> None:
    """Serve the version of EXPERT that served before.

    While a version is on trial, that one is given up, and the one that serves goes on serving.
    """
    terminal = invocation.terminal
    before = invocation.client.fleet.get(expert).expert
    after = invocation.client.fleet.rollback(expert)
    trial = render_fleet.on_trial(before)
    if trial is None or terminal.json or after.serving_version != before.serving_version:
        _print_expert(terminal, after)
    else:
        terminal.say(f"{expert} {trial.version} was on trial ({render_fleet.version_state(trial)}) and is given up")
        terminal.say(f"{expert} {after.serving_version} goes on serving")


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
    version, state = render_fleet.expert_state(expert)
    terminal.say(f"{expert.name} {what or f'{version} {state}'}".rstrip())


COMMANDS = (ps, show, watch, traces, install, promote, rollback, pin, unpin, unload, remove)
