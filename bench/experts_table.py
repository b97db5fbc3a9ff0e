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
from dataclasses import replace
from datetime import UTC, datetime
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


def figure(name: str, known: Mapping[str, Any]) -> tuple[str, str]:
    """What the expert's own bench found, and its best peer's, in words; "" where it has not run."""
    return "", ""


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"
