"""What an app's user does with expertctl: ask, route, invoke, events, feedback; and the shell's completion."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from expertd.v1 import assistant_pb2 as assistant

from .client import About, document_from_bytes, document_message
from .errors import InputError
from .invocation import ANSWER_TIMEOUT_S, Invocation, complete_expert, json_option, pass_invocation
from .series import read_series
from .terminal import Terminal

F = TypeVar("F", bound=Callable[..., Any])


# --- ask, route, invoke ----------------------------------------------------------------------------------------------


def input_options(command: F) -> F:
    """What may go with a request."""
    options = (
        click.option("--series", metavar="FILE", help="Numbers: a CSV file, or - for standard input."),
        click.option("--column", default="", metavar="NAME", help="Which column.  [default: the first of numbers]"),
        click.option(
            "--file",
            "files",
            multiple=True,
            metavar="FILE",
            help="A document: a text file, or - for standard input. May be repeated.",
        ),
        click.option("--schema", metavar="FILE", help="A JSON Schema that the answer has to keep."),
        click.option("--session", default="", metavar="NAME", help="Requests of one conversation share it."),
        click.option("--local-only", is_flag=True, help="Never leave this machine for this request."),
        click.option("--background", is_flag=True, help="Nobody waits for it: what somebody waits for goes first."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("text", nargs=-1)
@input_options
@json_option
@pass_invocation
def ask(invocation: Invocation, /, text: tuple[str, ...], **options: Any) -> None:
    """Ask whoever fits best. TEXT may be several words without quotes.

    \b
    expertctl ask wake me at 7:30 tomorrow
    expertctl ask "forecast the next 24 hours" --series load.csv
    expertctl ask "summarise this" --file notes.txt
    """
    terminal = invocation.terminal
    about = _about(terminal, " ".join(text), **options)
    timeout_s = invocation.timeout_s or ANSWER_TIMEOUT_S
    if terminal.json:
        terminal.document(invocation.client.ask(" ".join(text), timeout_s=timeout_s, **about))
        return
    told = ""
    try:
        for part in invocation.client.stream(" ".join(text), timeout_s=timeout_s, **about):
            if isinstance(part, str):
                told += part
                terminal.say(part, newline=False)
            elif isinstance(part, assistant.Answer):
                _finish(terminal, part, told, about)
                told = ""
    except BaseException:
        if told:
            terminal.say()  # what is said of it begins on a line of its own
        raise


@click.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--explain", is_flag=True, help="Why: tier by tier, nearest sentences, signals, thresholds, the others.")
@json_option
@pass_invocation
def route(invocation: Invocation, text: tuple[str, ...], explain: bool) -> None:
    """Say who would answer, and how sure that is. Nothing takes effect."""
    from .render import decision_lines

    terminal = invocation.terminal
    if explain:
        response = invocation.client.explain(" ".join(text))
        if terminal.json:
            terminal.document(response)
        else:
            _explain(terminal, response)
        return
    decision = invocation.client.route(" ".join(text))
    if terminal.json:
        terminal.document(decision)
        return
    for line in decision_lines(decision):
        terminal.say(line)


def _explain(terminal: Terminal, response: assistant.RouteResponse) -> None:
    """The decision, and what it rests on; of a compound request, part by part."""
    from .render import decision_rows

    if not response.decision.parts:
        _explain_one(terminal, response.decision, response.explanation)
        return
    for name, value in decision_rows(response.decision):
        terminal.say(f"{name:<12} {value}")
    parts = list(response.explanation.parts)
    for number, part in enumerate(response.decision.parts, start=1):
        terminal.say()
        terminal.say(f"part {number}: {part.text}", bold=True)
        told = parts[number - 1] if number <= len(parts) else assistant.Explanation()
        _explain_one(terminal, part.decision, told)


def _explain_one(terminal: Terminal, decision: assistant.Decision, told: assistant.Explanation) -> None:
    from .render import decision_rows, explanation_tables, language_row

    for name, value in [*decision_rows(decision), *language_row(told)]:
        terminal.say(f"{name:<12} {value}")
    for titles, rows, right in explanation_tables(decision, told):
        if rows:
            terminal.say()
            terminal.table(titles, rows, right=right)


@click.command()
@click.argument("expert", shell_complete=complete_expert)
@click.argument("text", nargs=-1)
@click.option("--intent", default="", help='What is wanted of it ("cancel").  [default: it finds out from the text]')
@input_options
@json_option
@pass_invocation
def invoke(invocation: Invocation, /, expert: str, text: tuple[str, ...], intent: str, **options: Any) -> None:
    """Ask a named EXPERT, without routing."""
    terminal = invocation.terminal
    about = _about(terminal, " ".join(text) or intent, **options)
    timeout_s = invocation.timeout_s or ANSWER_TIMEOUT_S
    answer = invocation.client.invoke(expert, " ".join(text), intent=intent, timeout_s=timeout_s, **about)
    if terminal.json:
        terminal.document(answer)
    else:
        _finish(terminal, answer, "", about)


def _about(
    terminal: Terminal,
    text: str,
    *,
    series: str | None,
    column: str,
    files: tuple[str, ...],
    schema: str | None,
    session: str,
    local_only: bool,
    background: bool,
) -> About:
    if not text and series is None and not files:
        raise click.UsageError("nothing to ask: give TEXT, --series or --file")
    if [series, schema, *files].count("-") > 1:
        raise click.UsageError("standard input is one thing: the series, a document or the schema")
    if column and series is None:
        raise click.UsageError("--column chooses from a --series; give one")
    about = About(session=session, local_only=local_only)
    if background:
        about["priority"] = "background"
    if series is not None:
        with _opened(series) as stream:
            reading = read_series(stream, "standard input" if series == "-" else Path(series).name, column)
        for note in reading.notes:
            terminal.warn(f"expertctl: {note}", fg="yellow")
        about["series"] = reading.series
    if files:
        about["document"] = [_document(file) for file in files]
    if schema is not None:
        about["schema"] = _document(schema).text
    return about


def _document(file: str) -> assistant.Document:
    if file != "-":
        return document_message(Path(file))
    with _opened(file) as stream:
        return document_from_bytes(stream.read(4_000_001), "")


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed; give a file")
        yield sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as stream:
            yield stream
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from None


def _finish(terminal: Terminal, answer: assistant.Answer, told: str, about: About) -> None:
    """What is left to print of an answer whose text was told up to here."""
    if told and not answer.text.startswith(told):
        terminal.say("\n")  # what was told is not what it came to
        told = ""
    terminal.say(answer.text[len(told) :])
    if not answer.parts:
        _print_result(terminal, answer, about)
    for number, part in enumerate(answer.parts, start=1):
        _print_result(terminal, part, about, f"{number}. ")


def _print_result(terminal: Terminal, answer: assistant.Answer, about: About, number: str = "") -> None:
    """What there is beside the text, and on a terminal who said it. number: of the part, where there are several."""
    kind = answer.WhichOneof("result")
    if kind == "label" and terminal.tty:
        from .render import label_lines

        for line in label_lines(answer.label, terminal.unicode):
            terminal.say(line)
    elif kind == "forecast":
        _print_forecast(terminal, answer.forecast, about)
    if terminal.tty:
        from .render import footer

        terminal.say(number + footer(answer), dim=True)


def _print_forecast(terminal: Terminal, forecast: assistant.Forecast, about: About) -> None:
    """A plot on a terminal, the numbers elsewhere."""
    if not terminal.tty:
        from .render import forecast_rows

        titles, rows = forecast_rows(forecast)
        terminal.table(titles, rows, right=frozenset(titles[1:]))
        return
    from .plot import plot

    series = about.get("series")
    history = series.values if isinstance(series, assistant.Series) else ()
    for line in plot(history, forecast, terminal.width, unicode=terminal.unicode):
        terminal.spans(line)


# --- events, feedback, completion ------------------------------------------------------------------------------------


@click.command()
@json_option
@pass_invocation
def events(invocation: Invocation) -> None:
    """Print what happens, as it happens: timers that fire, experts that change. Ends with Ctrl-C."""
    from .render import event_line

    terminal = invocation.terminal
    for event in invocation.client.events():
        if terminal.json:
            terminal.line(event)
        elif event.WhichOneof("event") != "subscribed" or terminal.tty:
            terminal.say(event_line(event))


@click.command()
@click.argument("trace")
@click.argument("verdict", type=click.Choice(["good", "bad"]))
@click.option("--correction", default="", help="The answer, or the expert, that would have been right.")
@json_option
@pass_invocation
def feedback(invocation: Invocation, trace: str, verdict: str, correction: str) -> None:
    """Say whether the answer with this TRACE was good."""
    invocation.client.feedback(trace, good=verdict == "good", correction=correction)
    if invocation.terminal.json:
        invocation.terminal.document({"trace_id": trace, "verdict": verdict})
    else:
        invocation.terminal.say(f"noted: {trace} was {verdict}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    source <(expertctl completion bash)                                       # in ~/.bashrc
    source <(expertctl completion zsh)                                        # in ~/.zshrc
    expertctl completion fish > ~/.config/fish/completions/expertctl.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "expertctl", "_EXPERTCTL_COMPLETE").source())


COMMANDS = (ask, route, invoke, events, feedback, completion)
