"""What each expert gets right: `make bench-experts`, or on anyone's rows `python -m bench.experts time --data F.jsonl`.

One module a subcommand; --help tells the form of its rows. Each prints a table, and its figures stand in
build/bench/experts.json under the subcommand's name. Without a subcommand every one runs, and then all experts are
told, one row each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from . import (
    experts_anomaly,
    experts_changepoint,
    experts_command,
    experts_documents,
    experts_forecast,
    experts_label,
    experts_language,
    experts_signals,
    experts_spans,
    experts_table,
    experts_time,
    experts_units,
)
from .report import OUT, Row, data_folder, report

SUBCOMMANDS = (
    experts_time, experts_units, experts_label, experts_signals, experts_spans, experts_language, experts_documents,
    experts_forecast, experts_anomaly, experts_changepoint, experts_command, experts_table,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.experts", description=__doc__)
    commands = parser.add_subparsers(metavar="what")
    for module in SUBCOMMANDS:
        module.add(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    failed = [line for line in ([given] if given else whole()) if not _ran(parser, line)]
    return 2 if failed else 0


def whole() -> list[list[str]]:
    """Every subcommand, as it is run without a word more."""
    data = data_folder()
    labels = ["--peer", "--expert"]
    return [
        ["time"],
        ["units"],
        *(["label", *labels, name] for name in ("sentiment", "emotion", "toxicity", "topic")),
        ["label", *labels, "sentiment", "--data", str(data / "sst2" / "dev.jsonl"), "--map", "1=positive,0=negative"],
        ["label", "--expert", "spam", "--data", str(data / "sms_spam" / "dedup_test.jsonl")],
        ["signals"],
        ["spans", "--expert", "pii"],
        ["spans", "--expert", "secrets"],
        ["language"],
        ["keywords"],
        ["extract-summary"],
        ["search"],
        ["forecast"],
        ["anomaly"],
        ["changepoint"],
        ["command"],
        ["table"],
    ]


def _ran(parser: argparse.ArgumentParser, line: Sequence[str]) -> bool:
    chosen = parser.parse_args(line)
    try:
        figures = chosen.run(chosen)
    except OSError as error:
        print(f"{' '.join(line)}: {error.filename}: {error.strerror}", file=sys.stderr)
        return False
    _save(chosen.name, figures)
    return True


def _save(name: str, figures: Row) -> None:
    """Beside what other subcommands found before."""
    path = OUT / "experts.json"
    known: Row = json.loads(path.read_text()).get("figures", {}) if path.exists() else {}
    report("experts", known | {name: figures})


if __name__ == "__main__":
    raise SystemExit(main())
