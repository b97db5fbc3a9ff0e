"""The entry point of `expertctl`. Says what is missing where the command line's own packages are not installed."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


def main() -> None:
    if find_spec("click") is None or find_spec("rich") is None:
        sys.stderr.write('expertctl needs: pip install "expertd[cli]"\n')
        sys.exit(2)
    if sys.stderr is None:  # closed by the caller: what would be said there is lost
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, open to the end
    if sys.stdout is None:
        sys.stderr.write("expertctl: standard output is closed; give it one, /dev/null for none\n")
        sys.exit(1)
    try:
        command_line()(prog_name="expertctl")
    except OSError as error:
        where = error.filename or "standard output"
        # What is still buffered goes nowhere, or the interpreter would stumble over it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write(f"expertctl: {where}: {error.strerror or error}\n")
        sys.exit(1)


def command_line() -> click.Group:
    """expertctl with all of its commands."""
    from . import commands, doctor, intents, models, operate, policy
    from .invocation import expertctl

    rooms = (commands, operate, policy, models, doctor, intents)
    for command in (command for room in rooms for command in room.COMMANDS):
        expertctl.add_command(command)
    return expertctl


if __name__ == "__main__":
    main()
