"""What each expert gets right on rows that anyone may bring: `python -m bench.experts time --data F.jsonl`.

One module a subcommand. Each prints a table; its figures stand in build/bench/experts.json under the subcommand's name.
"""

from __future__ import annotations

import argparse
import json
import sys

from . import experts_command, experts_time
from .report import OUT, Row, report

SUBCOMMANDS = (experts_time, experts_command)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.experts", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="what")
    for module in SUBCOMMANDS:
        module.add(commands)
    chosen = parser.parse_args(arguments)
    try:
        figures = chosen.run(chosen)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    _save(chosen.name, figures)
    return 0


def _save(name: str, figures: Row) -> None:
    """Beside what other subcommands found before."""
    path = OUT / "experts.json"
    known: Row = json.loads(path.read_text()).get("figures", {}) if path.exists() else {}
    report("experts", known | {name: figures})


if __name__ == "__main__":
    raise SystemExit(main())
