"""expertctl models: the large text models that experts are built on, downloaded or adopted from a file."""

from __future__ import annotations

from pathlib import Path

import click

from expertd.v1 import fleet_pb2 as fleet

from . import render, render_fleet
from .invocation import Invocation, complete_model, json_option, pass_invocation


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
        terminal.table(titles, [render_fleet.model_row(model) for model in found], right=render_fleet.NUMBERS)


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


COMMANDS = (models,)
