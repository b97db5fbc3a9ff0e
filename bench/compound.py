"""How well compound requests are split: requests that are one and stay one, and two or three in one that are found.

    python -m bench.compound [--half tune] [--trunk DIR]

The router is fitted on CLINC150's training rows, each intent an expert of its own. The form's rules and the thresholds
were chosen on every second validation row, and on training rows of CLINC150 and BANKING77 (`--half tune`); reported are
the other validation rows and the test rows. Compound requests are made of validation rows of different intents, joined
in eight ways; MixSNIPS is split by form alone, since no expert here owns its intents.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expertd.distill import datasets
from expertd.router.compound import candidates, split
from expertd.router.decision import Decision
from expertd.router.encoder import pinned
from expertd.router.index import RouteIndex

from .report import ROOT, data_folder, open_encoder, percentiles, report, trunk_folder
from .router import (
    REJECT_IN_SCOPE,
    SETS,
    Reader,
    Rows,
    Split,
    background_without,
    fitted,
    without_out_of_scope,
)

JOINTS = (" and ", " and then ", ". ", ", also ", "; after that ", "? ", ", and ", ". also, ")
# Compound requests per joint.
PAIRS, TRIPLES = 60, 20


@dataclass(frozen=True, slots=True)
class Compound:
    """text: rows joined. joints: where each join lies, (start, end). truth: (row, intent), in order."""

    text: str
    joints: tuple[tuple[int, int], ...]
    truth: tuple[tuple[str, str], ...]


def joined(rows: Sequence[tuple[str, str]], joint: str, size: int, count: int, seed: int) -> list[Compound]:
    """rows: (text, intent). A triple's first join is a comma where the joint is "and", as people write lists."""
    draw = random.Random(seed)
    made: list[Compound] = []
    while len(made) < count:
        chosen = draw.sample(rows, size)
        if len({intent for _, intent in chosen}) < size:
            continue
        text, joints = chosen[0][0].rstrip(" .?!"), []
        for number, (row, _) in enumerate(chosen[1:], start=1):
            between = ", " if joint.strip(", ") == "and" and number < size - 1 else joint
            joints.append((len(text), len(text) + len(between)))
            text += between + row.rstrip(" .?!")
        made.append(Compound(text, tuple(joints), tuple(chosen)))
    return made


class Router:
    """One sentence → decision by the encoder tier; no sentence is encoded twice."""

    def __init__(self, index: RouteIndex, reader: Reader) -> None:
        self._index, self._reader = index, reader

    def prepare(self, texts: Iterable[str]) -> None:
        self._reader.features(list(texts))

    def __call__(self, text: str) -> Decision:
        return self._index.decide(self._reader.features([text])[0])


def false_splits(texts: Sequence[str], decide: Router) -> tuple[dict[str, Any], list[str]]:
    """Single requests that were split."""
    offered = [text for text in texts if candidates(text)]
    decide.prepare([part for text in offered for part in (text, *(part.text for part in candidates(text)))])
    wrong = [text for text in offered if len(split(text, decide)) > 1]
    figures = {
        "rows": len(texts),
        "offered": round(len(offered) / len(texts), 4),
        "false_splits": round(len(wrong) / len(texts), 4),
    }
    return figures, wrong


def found(compounds: Sequence[Compound], decide: Router) -> tuple[dict[str, float], list[str]]:
    """offered: cut at the right places by form; split: with the router's word; routed: and every part to its intent."""
    decide.prepare([c.text for c in compounds])
    decide.prepare([part.text for c in compounds for part in candidates(c.text)])
    offered = parted = routed = whole = 0
    missed: list[str] = []
    for compound in compounds:
        offered += _at_joints(compound, candidates(compound.text))
        parts = split(compound.text, decide)
        if right := _at_joints(compound, parts):
            told = [decide(part.text) for part in parts]
            pairs = zip(told, compound.truth, strict=True)
            routed += all(d.verdict != "titan" and d.intent == intent for d, (_, intent) in pairs)
        else:
            missed.append(compound.text)
        parted += right
        whole += decide(compound.text).intent in {intent for _, intent in compound.truth}
    count = len(compounds)
    figures = {
        "offered": round(offered / count, 4),
        "split": round(parted / count, 4),
        "split_and_routed": round(routed / count, 4),
        "unsplit_finds_one": round(whole / count, 4),
    }
    return figures, missed


def _at_joints(compound: Compound, parts: Sequence[Any]) -> bool:
    """Whether the parts end and begin within the joins."""
    return len(parts) == len(compound.truth) and all(
        begin <= left.end and right.start <= end
        for (begin, end), left, right in zip(compound.joints, parts, parts[1:], strict=False)
    )


def measure(half: str, data: Path, rows: Sequence[dict[str, Any]], decide: Router) -> tuple[dict[str, Any], list[str]]:
    """Every figure on one half of the rows, and what went wrong, in words."""
    val = [(row["text"], row["intent"]) for row in rows if row["split"] == "val"]
    half_of_banking = "train.jsonl" if half == "tune" else "test.jsonl"
    banking = [row["text"] for row in datasets.rows(data / "banking77" / half_of_banking)]
    mix = list(datasets.rows(data / "multi_intent" / "mixsnips_clean_dev.jsonl"))
    bundles = sorted((ROOT / "experts/bundles").glob("*/intents.jsonl"))
    own = [row["text"] for path in bundles for row in datasets.rows(path)]
    if half == "tune":
        mine, singles = val[::2], {"clinc_val": [text for text, _ in val[::2]], "banking": banking[::4]}
        mix = mix[::2]
    else:
        mine = val[1::2]
        test = [row["text"] for row in rows if row["split"] == "test"]
        singles = {"clinc_val": [text for text, _ in mine], "clinc_test": test, "banking": banking}
        mix = mix[1::2]
    singles["shipped"] = own

    figures: dict[str, Any] = {}
    wrong: list[str] = []
    for name, texts in singles.items():
        told, mistaken = false_splits(texts, decide)
        figures |= {f"single_{name}_{key}": value for key, value in told.items()}
        wrong += [f"split: {text}" for text in mistaken]
    for size, count in ((2, PAIRS), (3, TRIPLES)):
        every: list[Compound] = []
        for number, joint in enumerate(JOINTS):
            made = joined(mine, joint, size, count, seed=number)
            every += made
            if size == 2:
                figures[f"pairs_{joint.strip()!r}{number}_split"] = found(made, decide)[0]["split"]
        told, missed = found(every, decide)
        wrong += [f"missed: {text}" for text in missed]
        figures |= {f"{'pairs' if size == 2 else 'triples'}_{key}": value for key, value in told.items()}
    counted = [(len(row["intents"]), len(candidates(row["text"])) or 1, row["text"]) for row in mix]
    for size in (1, 2, 3):
        of_size = [got == size for asked, got, _ in counted if asked == size]
        figures[f"mixsnips_{size}_by_form"] = round(sum(of_size) / len(of_size), 4)
    wrong += [f"mixsnips {asked} as {got}: {text}" for asked, got, text in counted if asked != got]

    for name, sample in (("single", [text for text, _ in mine[:1000]]), ("triple", [c.text for c in every[:200]])):
        took = []
        for text in sample * 3:
            began = time.perf_counter()
            candidates(text)
            took.append(time.perf_counter() - began)
        figures |= {f"candidates_{name}_{key}": value for key, value in percentiles(took).items()}
    return figures, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("tune", "report"), default="report")
    parser.add_argument("--trunk", type=Path, default=trunk_folder(), metavar="DIR", help="where trunks are kept")
    options = parser.parse_args()
    data = data_folder()
    reader = Reader(open_encoder(options.trunk, threads=os.cpu_count() or 1))
    rows = list(datasets.rows(data / "clinc150" / "data_full.jsonl.gz"))
    split_of = SETS["clinc_full"](data)
    bare = Split("clinc_full", without_out_of_scope(split_of.train), Rows(), Rows())
    # On the training rows, against a background that has seen no row of this data set.
    index, _ = fitted(bare, reader, background_without(data, reader, "clinc150"), REJECT_IN_SCOPE)
    decide = Router(index, reader)
    figures, wrong = measure(options.half, data, rows, decide)
    if options.half == "tune":
        print("\n".join(wrong))
    report(
        "compound" if options.half == "report" else "compound-tune",
        figures,
        notes=(
            f"CLINC150 validation, every second row; {PAIRS} pairs and {TRIPLES} triples per joint; "
            f"trunk {pinned().name} int8, {reader.encoder.id[:12]}",
            "offered: by form alone; split: with the router's word, at exactly the right places",
        ),
    )


if __name__ == "__main__":
    main()
