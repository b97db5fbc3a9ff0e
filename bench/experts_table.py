"""All shipped experts, one row each: figure, the peer's on the same rows, latency, size on disk and in memory.

    python -m bench.experts table

Latency is the median over the golden examples, each asked several times in process, without the routing and without the
encoding that the router has done already; experts that encode sentences of a document pay for it here, and what they
remember from the first time is used. Memory is what the servable says that it holds. The figures are those that the
other subcommands left in build/bench/experts.json; an expert whose bench has not run has none. Text experts need a
model, which is not here: they have no latency.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from expertd.experts.bundle import Bundle, open_bundle
from expertd.experts.errors import ExpertError
from expertd.experts.golden import to_query
from expertd.experts.kinds import forecast, linear, skill, tagger
from expertd.experts.schedule import Scheduler
from expertd.experts.servable import Host, Loader
from expertd.router.encoder import Encoder

from .report import OUT, ROOT, Row, open_encoder, print_table, trunk_folder

LOADERS: dict[str, Loader] = {
    "forecast": forecast.load, "linear": linear.load, "skill": skill.load, "tagger": tagger.load,
}  # fmt: skip
ROUNDS = 5
BUNDLES = ROOT / "experts" / "bundles"


def add(commands: Any) -> None:
    command = commands.add_parser("table", help="one row an expert, from what the others left")
    command.add_argument("--trunk", type=Path, default=trunk_folder())
    command.set_defaults(run=run, name="table")


def run(options: argparse.Namespace) -> Row:
    encoder = open_encoder(options.trunk)
    path = OUT / "experts.json"
    known: Row = json.loads(path.read_text()).get("figures", {}) if path.exists() else {}
    table: Row = {}
    for folder in sorted(BUNDLES.iterdir()):
        bundle = open_bundle(folder)
        name = bundle.manifest.name
        row: Row = {"kind": bundle.manifest.kind, "disk_bytes": bundle.disk_bytes}
        if bundle.manifest.kind in LOADERS:
            row |= asyncio.run(_measured(bundle, encoder))
        row["figure"], row["peer"] = figure(name, known)
        table[name] = row
    print_table(
        ["expert", "kind", "figure", "beside", "p50 ms", "on disk", "in memory"],
        [
            [
                name, row["kind"], row["figure"], row["peer"], row.get("p50_ms", ""), _size(row["disk_bytes"]),
                _size(row["resident_bytes"]) if "resident_bytes" in row else "",
            ]
            for name, row in table.items()
        ],
    )  # fmt: skip
    return table


async def _measured(bundle: Bundle, encoder: Encoder) -> Row:
    async def encode(texts: Sequence[str]) -> Any:
        return await asyncio.to_thread(encoder.encode, texts)

    with tempfile.TemporaryDirectory() as folder:
        scheduler = Scheduler(Path(folder) / "expertd.db")
        await scheduler.start()
        host = Host(Path(folder), Path(folder) / "expertd.db", scheduler, lambda: datetime.now(UTC), encode)
        servable = await LOADERS[bundle.manifest.kind](bundle, host)
        queries = [to_query(example) for example in bundle.golden()]
        if servable.needs_vector:
            vectors = encoder.encode([query.subject for query in queries])
            queries = [replace(query, vector=vector) for query, vector in zip(queries, vectors, strict=True)]
        took: list[float] = []
        for turn in range(ROUNDS + 1):
            for query in queries:
                began = time.perf_counter()
                with contextlib.suppress(ExpertError):  # a golden example may be one that is refused
                    await servable.answer(query, _nobody)
                if turn:
                    took.append(time.perf_counter() - began)
        row = {"p50_ms": round(1e3 * statistics.median(took), 3), "resident_bytes": servable.resident_bytes()}
        await servable.close()
        await scheduler.stop()
        return row


async def _nobody(piece: str) -> None:
    """The answer is waited for whole."""


# --- What the other subcommands found ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """Where an expert's figure stands. bench: the subcommand's name. words: what the number is. path: from the
    subcommand's figures to the columns, ours first and the peers' after it; key: from a column to the number.
    columns: where they are named, these alone. own: variants of ours, which are no peers. least: the best is the least.
    """

    bench: str
    words: str
    key: tuple[str, ...]
    path: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    least: bool = False


_TIME = Told("time", "right, expressions of time", ("accuracy",))
FIGURES = {
    "timers": _TIME,
    "clock": _TIME,
    "dates": _TIME,
    "units": Told("units", "right, quantities", ("right", "all")),
    "spam": Told("label spam on sms_spam/dedup_test.jsonl", "macro F1, SMS", ("macro_f1",)),
    "language": Told("language", "right, sentences", ("sentences_accuracy",)),
    "pii": Told("spans pii", "F1, types that both know", ("all", "f1"), columns=("ours_alike", "peer")),
    "secrets": Told("spans secrets", "F1", ("all", "f1"), columns=("ours_alike", "peer")),
    "keywords": Told("keywords", "recall of subjects", ("recall",), own=("its statistics alone",)),
    "extract-summary": Told("extract-summary", "recall of subjects", ("recall",)),
    "search": Told("search", "recall@1", ("recall@1",), own=("both, reciprocal ranks", "vectors alone")),
    "forecast": Told("forecast", "MASE, M4 hourly", ("mase",), least=True),
    "anomaly": Told("anomaly", "NAB standard", ("standard",), own=("expertd, as shipped",)),
    "changepoint": Told("changepoint", "mean F1", ("mean F1",)),
    **{
        name: Told(f"label {name} on its tests", "right", ("accuracy",))
        for name in ("sentiment", "emotion", "toxicity", "topic")
    },
    **{
        name: Told("signals", "right, hand-written", ("every row answered",), (name,))
        for name in ("urgency", "question-type", "prompt-attack", "phishing")
    },
}


def figure(name: str, known: Mapping[str, Any]) -> tuple[str, str]:
    """What the expert's own bench found, and its best peer's, in words; "" where it has not run."""
    told = FIGURES.get(name)
    found = known.get(told.bench) if told else None
    if told is None or found is None:
        return "", ""
    for step in told.path:
        found = found[step]
    numbers = {
        column: number
        for column in told.columns or found
        if column not in told.own and isinstance(number := _at(found.get(column), told.key), int | float)
    }
    if not numbers:
        return "", ""
    (_, ours), *others = numbers.items()
    best = (min if told.least else max)(others, key=itemgetter(1), default=None)
    return f"{ours:.3g} {told.words}", f"{best[1]:.3g} {best[0]}" if best else ""


def _at(value: Any, key: Sequence[str]) -> Any:
    for step in key:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"
