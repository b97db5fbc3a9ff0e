"""The entry point of `expertctl`. Says what is missing where the command line's own packages are not installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


def main() -> None:
    if find_spec("click") is None or find_spec("rich") is None:
        sys.stderr.write('expertctl needs: pip install "expertd[cli]"\n')
        sys.exit(2)
    command_line()(prog_name="expertctl")


def command_line() -> click.Group:
    """expertctl with all of its commands."""
    from . import commands, operate
    from .invocation import expertctl

    for command in (*commands.COMMANDS, *operate.COMMANDS):
        expertctl.add_command(command)
    return expertctl


if __name__ == "__main__":
    main()
