"""How well the language of a text is told, beside lingua: `python -m bench.experts language`.

Without --data: sentences, word pairs and words of lingua's own test data, the tenth that neither the weights nor a
choice has seen; lingua in its high-accuracy mode with all its 75 languages, loaded before it is asked. With --data:
anyone's rows {text, lang}, lang the code of ISO 639-1. Each works in a process of its own, one after the other, whose
memory (PSS) is read when all rows are done; ours is made to answer every row, as lingua does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from expertd.distill import language as lessons

from .peers import installed
from .report import ROOT, Row, data_folder, print_table, read_rows

PEERS = ("lingua-language-detector",)
KINDS = {"sentence": "sentences", "word-pairs": "word pairs", "single-words": "single words"}


def add(commands: Any) -> None:
    command = commands.add_parser("language", help="languages of texts: rows {text, lang}")
    command.add_argument("--data", type=Path, nargs="+", help="rows of your own (otherwise: lingua's, held out)")
    command.add_argument("--rows", type=int, default=0, help="of each kind measure so many, drawn at random (all)")
    command.add_argument("--bundle", type=Path, default=ROOT / "experts" / "bundles" / "language")
    command.add_argument("--no-peers", action="store_true")
    command.add_argument("--wrong", action="store_true", help="print every row that ours tells wrong")
    command.set_defaults(run=_language, name="language")


def _language(chosen: argparse.Namespace) -> Row:
    rows = _rows(chosen)
    tellers = {"ours": sys.executable}
    if not chosen.no_peers:
        try:
            tellers["lingua"] = str(installed("language", PEERS))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            print(f"lingua is left out: {error}")
    figures: Row = {}
    for teller, python in tellers.items():
        answer = _asked(teller, python, chosen.bundle, [text for text, _, _ in rows])
        figures[answer["told"]] = _figures(rows, answer)
        if chosen.wrong and teller == "ours":
            for (text, code, _), found in zip(rows, answer["found"], strict=True):
                if found != code:
                    print(f"{code} taken for {found or 'none'}: {text[:120]!r}")
    names = list(next(iter(figures.values())))
    print_table(
        [f"{len(rows):,} rows", *figures],
        [[name.replace("_", " "), *(each.get(name, "") for each in figures.values())] for name in names],
    )
    return figures


def _rows(chosen: argparse.Namespace) -> list[tuple[str, str, str]]:
    """(text, code, kind)."""
    if chosen.data:
        rows = [(row["text"], row["lang"], "given") for path in chosen.data for row in read_rows(path)]
    else:
        rows = [(row.text, row.code, KINDS[row.kind]) for row in lessons.labelled(data_folder(), "test")]
    if not chosen.rows:
        return rows
    order = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    kinds = dict.fromkeys(kind for _, _, kind in rows)
    return [row for kind in kinds for row in [row for row in order if row[2] == kind][: chosen.rows]]


def _asked(teller: str, python: str, bundle: Path, texts: list[str]) -> dict[str, Any]:
    script = str(Path(__file__).with_name("language_peers.py"))
    request = json.dumps({"texts": texts, "bundle": str(bundle)})
    done = subprocess.run([python, script, teller], input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{teller} came to nothing: {done.stderr[-400:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _figures(rows: list[tuple[str, str, str]], answer: dict[str, Any]) -> Row:
    figures: Row = {}
    for kind in dict.fromkeys(kind for _, _, kind in rows):
        of = [place for place, row in enumerate(rows) if row[2] == kind]
        right = [answer["found"][place] == rows[place][1] for place in of]
        figures[f"{kind}_rows"] = len(of)
        figures[f"{kind}_accuracy"] = round(statistics.mean(right), 4)
        figures[f"{kind}_p50_ms"] = round(statistics.median(answer["seconds"][place] for place in of) * 1e3, 4)
    figures["load_s"] = round(answer["load_s"], 3)
    figures["process_pss_mb"] = round(answer["pss_bytes"] / 1e6, 1)
    return figures


if __name__ == "__main__":
    from .experts import main

    raise SystemExit(main(["language", *sys.argv[1:]]))
