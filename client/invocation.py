"""The root of expertctl: its global options, its exit codes, the group that its commands join.

What an app's user does is in `commands`, what an operator does in `operate`. Start-up counts: rich is imported where a
table is printed, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from .client import Client
from .errors import DaemonDownError, DeadlineError, ExpertdError, InputError, NotFoundError, UnavailableError
from .terminal import Terminal

F = TypeVar("F", bound=Callable[..., Any])

# An answer that a model writes word by word may take longer than any other call.
ANSWER_TIMEOUT_S = 120.0
CALL_TIMEOUT_S = 30.0

EXIT_CODES = (
    (InputError, 2),
    (DaemonDownError, 3),
    (UnavailableError, 4),
    (DeadlineError, 4),
    (NotFoundError, 5),
)


class Invocation:
    """What one call of expertctl works with: its global options, the terminal, the connection."""

    def __init__(self) -> None:
        self.socket: Path | None = None
        self.timeout_s: float | None = None
        self.json = False
        self.colour = True

    @cached_property
    def terminal(self) -> Terminal:
        return Terminal(json=self.json, colour=self.colour)

    @cached_property
    def client(self) -> Client:
        return Client(self.socket, self.timeout_s or CALL_TIMEOUT_S, app="expertctl")


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def json_option(command: F) -> F:
    """`--json`, on every command and before it."""

    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(Invocation).json = True

    option = click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, help="Print JSON, for programs."
    )
    return option(command)


def complete_expert(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of experts for the shell; none if the daemon does not answer at once."""
    try:
        with Client(timeout_s=0.5) as client:
            return [expert.name for expert in client.fleet.list() if expert.name.startswith(incomplete)]
    except ExpertdError:
        return []


def complete_model(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    try:
        with Client(timeout_s=0.5) as client:
            return [model.name for model in client.fleet.models() if model.name.startswith(incomplete)]
    except ExpertdError:
        return []


class _Expertctl(click.Group):
    """Turns errors into a message on standard error and an exit code; lists its commands in their own order."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, context: click.Context) -> Any:
        invocation = context.ensure_object(Invocation)
        try:
            return super().invoke(context)
        except ExpertdError as error:
            _tell(invocation, error)
            context.exit(next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1))
        except KeyboardInterrupt:
            invocation.terminal.warn("interrupted")
            context.exit(130)


def _tell(invocation: Invocation, error: ExpertdError) -> None:
    if invocation.json:
        from json import dumps

        told = {"error": type(error).__name__, "message": str(error), "reason": error.reason}
        click.echo(dumps(told | {"metadata": dict(error.metadata), "fields": dict(error.fields)}), err=True)
        return
    invocation.terminal.warn(f"expertctl: {error}", fg="red")
    for field, what in error.fields.items():
        if what not in str(error):
            invocation.terminal.warn(f"  {field}: {what}")


@click.group(
    cls=_Expertctl,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExit codes:\n"
    "  0  done\n"
    "  1  the daemon refused; standard error says why and what to do\n"
    "  2  usage: an unknown option, or a file that cannot be sent\n"
    "  3  the daemon does not answer\n"
    "  4  nobody can answer now: no titan, no model, a worker gone; or no answer in time\n"
    "  5  no such expert, version, model or trace\n"
    "  130  interrupted",
)
@click.option("--socket", type=click.Path(path_type=Path), help="Where the daemon listens.  [env: EXPERTD_SOCKET]")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help=f"How long to wait for an answer.  [default: {CALL_TIMEOUT_S:g}; {ANSWER_TIMEOUT_S:g} for ask and invoke]",
)
@click.option("--no-color", is_flag=True, help="No colour.  [env: NO_COLOR]")
@json_option
@click.version_option(package_name="expertd", prog_name="expertctl")
@pass_invocation
def expertctl(invocation: Invocation, socket: Path | None, timeout: float | None, no_color: bool) -> None:
    """Ask the experts on this machine, and look after them."""
    invocation.socket = socket
    invocation.timeout_s = timeout
    invocation.colour = not no_color
    click.get_current_context().call_on_close(lambda: _close(invocation))


def _close(invocation: Invocation) -> None:
    if "client" in vars(invocation):
        invocation.client.close()
