"""How every bench tells what it measured: a table for people, a JSON file for programs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expertd.router.encoder import MANIFEST_FILE, Encoder, is_prepared

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench"


def data_folder() -> Path:
    """The benchmark data; `EXPERTD_DATA` names another place. Raises: SystemExit when it is not there."""
    folder = Path(os.environ.get("EXPERTD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"{folder}: the benchmark data is not there; set EXPERTD_DATA to its folder")
    return folder


def trunk_folder() -> Path:
    """Where the user's trunks are kept."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "expertd" / "trunk"


def open_encoder(folder: Path, threads: int = 1) -> Encoder:
    """The trunk that lies in `folder` itself, or the pinned one under it, which is made first if nobody did."""
    if not (folder / MANIFEST_FILE).is_file() and not is_prepared(folder):
        subprocess.run([sys.executable, "-m", "expertd.distill.trunk", "--out", str(folder)], check=True)
    return Encoder.open(folder, threads)


def machine() -> str:
    """The processor, its cores, and what else the machine was doing."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and p99.9 in microseconds."""
    p50, p99, p999 = np.percentile(np.asarray(seconds) * 1e6, [50, 99, 99.9])
    return {"p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1), "p999_us": round(float(p999), 1)}


def report(
    name: str, figures: Mapping[str, Any], *, peers: Mapping[str, Any] | None = None, notes: Sequence[str] = ()
) -> Path:
    """Prints the figures and writes them; returns the file."""
    width = max(map(len, [*figures, *(peers or {}), "figure"]))
    print(f"\n{name}, {time.strftime('%Y-%m-%d %H:%M')}, {machine()}")
    for title, rows in (("figures", figures), ("peers", peers or {})):
        if rows:
            print(f"  {title}")
        for key, value in rows.items():
            print(f"    {key:<{width}}  {value}")
    for note in notes:
        print(f"  note: {note}")
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    content = {
        "bench": name,
        "figures": dict(figures),
        "peers": dict(peers or {}),
        "machine": machine(),
        "notes": list(notes),
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(f"  written to {path.relative_to(ROOT)}")
    return path


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """One JSON object a line. Raises: OSError."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def print_table(head: Iterable[str], lines: Iterable[Iterable[object]]) -> None:
    cells = [[str(cell) for cell in line] for line in (head, *lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
