"""Fits `router/data/background.safetensors`: the statistics of requests in general, from public data sets.

    python -m expertd.distill.background --trunk DIR [--data DIR]

The same data and trunk give the same bytes. Only data sets whose licence lets the fitted model be shipped are read, and
only their training rows; what is kept are cluster centres and one covariance, no sentence. CARD.md beside the file
names the sources.

`outside.txt` holds sentences of our own: what people ask an assistant in the very words that timers, clocks and
calculators are asked in, and that none of these can do ("pause the film"). Each is a cluster of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expertd.router.background import BACKGROUND_FILE, Background
from expertd.router.encoder import Encoder, TrunkError, vectors

from . import datasets

Vectors = npt.NDArray[np.float32]
Row = dict[str, Any]

CLUSTERS = 320
RANK = 160
ROUNDS = 25
SEED = 20260101
OUTSIDE = Path(__file__).parent / "outside.txt"
OUTSIDE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Source:
    """One file of rows. most: take at most so many, evenly spaced; wanted: which rows."""

    file: str
    text: Callable[[Row], str]
    most: int
    wanted: Callable[[Row], bool] = lambda row: True


# Their licences and what was taken stand in CARD.md.
SOURCES = (
    Source("clinc150/data_full.jsonl.gz", itemgetter("text"), 20_000, lambda row: "train" in row["split"]),
    Source("banking77/train.jsonl", itemgetter("text"), 2_000),
    Source("self_instruct/seed_tasks.jsonl", itemgetter("instruction"), 200),
    Source("gsm8k/train.jsonl.gz", itemgetter("question"), 1_000),
    Source("strategyqa/train.jsonl", itemgetter("question"), 2_100),
    Source("routellm/mt_bench_questions.jsonl", lambda row: str(row["turns"][0]), 100),
    Source("abuse_prompts/advbench_behaviors.jsonl", itemgetter("text"), 300),
    Source("abuse_prompts/harmbench_text.jsonl", itemgetter("text"), 200),
    Source("goemotions/train.jsonl.gz", itemgetter("text"), 2_000),
)


def sentences(data: Path, leave_out: str = "") -> list[str]:
    """Every source's rows, in order; leave_out: skip sources whose path starts so."""
    found: list[str] = []
    for source in SOURCES:
        if leave_out and source.file.startswith(leave_out):
            continue
        rows = [row for row in datasets.rows(data / source.file) if source.wanted(row)]
        step = max(1.0, len(rows) / source.most)
        found += [source.text(rows[int(number * step)]) for number in range(min(source.most, len(rows)))]
    return found


def fit(features: Vectors, clusters: int = CLUSTERS, rank: int = RANK) -> tuple[Vectors, Vectors, Vectors, Vectors]:
    """features: float32 (n, d), from `Encoder.features` → centres (k, d), shares (k,), spread (rank, d), noise (d,).

    Spherical k-means on the sentence vectors (Dhillon & Modha, 2001). The covariance is that of all features around
    their own centre: its strongest directions, and what is left in each dimension for itself.
    """
    found = vectors(features)
    random = np.random.default_rng(SEED)
    directions = found[random.permutation(len(found))[:clusters]].copy()
    for _ in range(ROUNDS):
        nearest = (found @ directions.T).argmax(axis=1)
        sums = np.zeros_like(directions)
        np.add.at(sums, nearest, found)
        empty = np.flatnonzero(np.bincount(nearest, minlength=len(directions)) == 0)
        sums[empty] = found[random.integers(0, len(found), len(empty))]
        directions = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    nearest = (found @ directions.T).argmax(axis=1)
    counts = np.bincount(nearest, minlength=len(directions))
    filled = counts > 0
    centres = np.zeros((len(directions), features.shape[1]), np.float64)
    np.add.at(centres, nearest, features)
    centres /= np.maximum(counts, 1)[:, None]
    rest = features - centres[nearest]
    covariance = rest.T @ rest / len(rest)
    strengths, axes = np.linalg.eigh(covariance)
    spread = (axes[:, -rank:] * np.sqrt(np.maximum(strengths[-rank:], 0))).T
    noise = np.sqrt(np.maximum(np.diag(covariance) - (spread**2).sum(axis=0), 1e-9))
    return (
        centres[filled].astype(np.float32),
        (counts[filled] / len(found)).astype(np.float32),
        spread.astype(np.float32),
        noise.astype(np.float32),
    )


def write(path: Path, background: Background) -> None:
    """Half precision."""
    from safetensors.numpy import save_file

    names = ("centres", "shares", "spread", "noise")
    tensors = {name: getattr(background, name).astype(np.float16) for name in names}
    # One key alone: safetensors writes several in no fixed order.
    save_file(tensors, path, {"trunk": background.trunk})
    path.chmod(0o644)


def main(arguments: list[str] | None = None) -> int:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(
        prog="python -m expertd.distill.background", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--trunk", type=Path, required=True, metavar="DIR", help="where trunks are kept")
    parser.add_argument("--data", type=Path, default=datasets.folder(), metavar="DIR", help="the public data sets")
    parser.add_argument("--out", type=Path, default=root / "router" / "data" / BACKGROUND_FILE, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        encoder = Encoder.open(options.trunk, threads=os.cpu_count() or 1)
        texts = sentences(options.data)
    except (TrunkError, OSError) as error:
        print(f"background: {error}", file=sys.stderr)
        return 1
    near = OUTSIDE.read_text(encoding="utf-8").splitlines()
    print(f"encoding {len(texts) + len(near):,} sentences", flush=True)
    general = Background(encoder.id, *fit(encoder.features(texts)))
    write(options.out, general.joined(encoder.features(near), share=OUTSIDE_SHARE))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
