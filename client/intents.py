"""expertctl intents: what an expert is asked for, and how to change that while requests flow."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from expertd.v1 import fleet_pb2 as fleet

from . import render
from .client import Client, document_from_bytes
from .errors import ExpertdError, InputError
from .invocation import Invocation, complete_expert, json_option, pass_invocation

Origin = fleet.Intent.Origin


def complete_intent(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the chosen expert's intents for the shell; none if the daemon does not answer at once."""
    try:
        with Client(timeout_s=0.5) as client:
            found = client.fleet.intents(context.params.get("expert") or "")
            return [intent.name for intent in found if intent.name.startswith(incomplete)]
    except ExpertdError:
        return []


expert_argument = click.argument("expert", shell_complete=complete_expert)
intent_argument = click.argument("intent", shell_complete=complete_intent)


class _Intents(click.Group):
    """What is no command is an expert whose intents are listed: `expertctl intents timers`."""

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if arguments and arguments[0] not in self.commands and not arguments[0].startswith("-"):
            arguments = ["list", *arguments]
        return super().resolve_command(context, arguments)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        experts = [CompletionItem(name) for name in complete_expert(context, self.params[0], incomplete)]
        return [*super().shell_complete(context, incomplete), *experts]


@click.group(cls=_Intents, subcommand_metavar="EXPERT | COMMAND [ARGS]...")
@json_option
def intents() -> None:
    """See and change what an expert is asked for; EXPERT alone lists its intents.

    \b
    expertctl intents calculator
    expertctl intents add calculator split-bill "split the bill four ways" "what does each of us pay"
    expertctl intents add calculator split-bill --file sentences.txt
    expertctl intents remove calculator split-bill

    Requests see a change at once; all intents are fitted anew in the background soon after. Changes outlast a restart
    and a new version of the expert.
    """


@intents.command("list")
@expert_argument
@json_option
@pass_invocation
def list_intents(invocation: Invocation, expert: str) -> None:
    """List the intents of EXPERT, whose they are, and whether they are fitted already."""
    terminal = invocation.terminal
    found = invocation.client.fleet.intents(expert)
    if terminal.json:
        terminal.document(fleet.ListIntentsResponse(intents=found))
        return
    rows = [
        [item.name, str(item.sentences), render.word(Origin, item.origin), "" if item.refined else "not yet"]
        for item in found
    ]
    terminal.table(("intent", "sentences", "origin", "fitted"), rows, right=frozenset({"sentences"}))


@intents.command()
@expert_argument
@intent_argument
@click.argument("sentences", nargs=-1)
@click.option("--file", metavar="FILE", help="Sentences, one on each line: a text file, or - for standard input.")
@click.option("--replace", is_flag=True, help="Instead of the sentences that it has, not beside them.")
@json_option
@pass_invocation
def add(
    invocation: Invocation, expert: str, intent: str, sentences: tuple[str, ...], *, file: str | None, replace: bool
) -> None:
    """Have requests like SENTENCES go to INTENT of EXPERT; a new intent if it has none of the name.

    Five sentences are enough to begin with; ten are better.
    """
    given = [*sentences, *([] if file is None else _lines(file))]
    if not given:
        raise click.UsageError("no sentence: give SENTENCES, each in quotes, or --file")
    done = invocation.client.fleet.put_intent(expert, intent, given, append=not replace)
    if invocation.terminal.json:
        invocation.terminal.document(done)
    else:
        took = f"encoded in {render.span(done.encoding)}, shown in {render.span(done.update)}"
        invocation.terminal.say(f"{expert} {intent}: requests see it from view {done.view} on ({took})")


@intents.command()
@expert_argument
@intent_argument
@json_option
@pass_invocation
def remove(invocation: Invocation, expert: str, intent: str) -> None:
    """Take INTENT from EXPERT. `reset` brings one of the bundle's own back."""
    view = invocation.client.fleet.remove_intent(expert, intent)
    if invocation.terminal.json:
        invocation.terminal.document(fleet.RemoveIntentResponse(view=view))
    else:
        invocation.terminal.say(f"{expert} {intent}: gone from view {view} on")


@intents.command()
@expert_argument
@click.argument("intent", default="", shell_complete=complete_intent)
@json_option
@pass_invocation
def reset(invocation: Invocation, expert: str, intent: str) -> None:
    """Bring back what the bundle of EXPERT says, of INTENT or of all."""
    view = invocation.client.fleet.reset_intents(expert, intent)
    if invocation.terminal.json:
        invocation.terminal.document(fleet.ResetIntentsResponse(view=view))
    else:
        invocation.terminal.say(
            f"{expert} {intent or 'intents'}: brought back as the bundle has them, from view {view} on"
        )


def _lines(name: str) -> list[str]:
    """Raises: InputError when it cannot be read as text."""
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed; give a file")
        data, label = sys.stdin.buffer.read(), "standard input"
    else:
        try:
            data, label = Path(name).read_bytes(), Path(name).name
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror}") from None
    return [line.strip() for line in document_from_bytes(data, label).text.splitlines() if line.strip()]


COMMANDS = (intents,)
