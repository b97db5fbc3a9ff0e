"""How good the forecast expert is, beside seasonal naive and statsforecast, on the same rows in the same run.

    python -m bench.forecast [--every N] [--no-peers]

M4 hourly: 414 series, 48 hours ahead, season 24, from the whole training part. ETTh1: 7 columns, 10 origins each in the
last four of its twenty months, 1,008 hours of history, 48 ahead. Quantiles 0.1 to 0.9.

    sMAPE   of the median, in percent, mean over series
    MASE    of the median, scaled by the seasonal naive error within the history, mean over series
    wQL     2 · pinball loss over all quantiles, steps and series, divided by the sum of |actual|
    cover   share of actual values between the 0.1 and the 0.9 quantile; 0.8 is right

"expertd" is told nothing but the numbers; "told the step" an hour, as a series with times tells it; "told the season"
24, as the peers are told. Latency is of one 1,000-point hourly series, 24 ahead. Everything runs on one core. Data:
../shared/data, or the folder in EXPERTD_DATA; without it the bench says so and ends. Prints a table; a whole run also
writes build/bench/forecast.json.
"""

from __future__ import annotations

import argparse
import atexit
import csv
import gzip
import io
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from expertd.experts.series import forecast
from expertd.experts.values import FloatArray

from .peers import installed, plain_environment

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("EXPERTD_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "build" / "bench" / "forecast.json"
LEVELS = np.arange(1, 10) / 10
SEASON = 24
HORIZON = 48

# From history, horizon and season to quantiles (9, horizon).
Method = Callable[[FloatArray, int, int], FloatArray]


@dataclass(frozen=True)
class Row:
    """season: what the peers are told, and what MASE is scaled by."""

    name: str
    train: FloatArray
    test: FloatArray
    season: int = SEASON


def m4_hourly() -> list[Row]:
    with gzip.open(DATA / "m4" / "hourly.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    return [Row(row["id"], np.array(row["train"], float), np.array(row["test"], float)) for row in found]


def etth1() -> list[Row]:
    with gzip.open(DATA / "ett" / "ETTh1.csv.gz", "rb") as raw:
        table = list(csv.reader(io.TextIOWrapper(raw)))
    numbers = np.array([[float(cell) for cell in line[1:]] for line in table[1:]])
    origins = np.linspace(11520, 14400 - HORIZON, 10).astype(int)
    return [
        Row(
            f"{table[0][column + 1]}@{origin}",
            numbers[origin - 1008 : origin, column],
            numbers[origin : origin + HORIZON, column],
        )
        for column in range(numbers.shape[1])
        for origin in origins
    ]


# --- Methods ---------------------------------------------------------------------------------------------------------


def expert(train: FloatArray, horizon: int, season: int) -> FloatArray:
    return forecast(train, horizon).quantiles


def expert_told_the_step(train: FloatArray, horizon: int, season: int) -> FloatArray:
    return forecast(train, horizon, step=timedelta(hours=1)).quantiles


def expert_told_the_season(train: FloatArray, horizon: int, season: int) -> FloatArray:
    return forecast(train, horizon, season).quantiles


def seasonal_naive(train: FloatArray, horizon: int, season: int) -> FloatArray:
    """The last season again, with normal intervals from the seasonal differences, wider with every season ahead; where
    no whole season is known, the last value."""
    season = season if train.size > season else 1
    normal = statistics.NormalDist()
    ahead = np.arange(horizon)
    path = train[train.size - season + ahead % season]
    spread = np.std(train[season:] - train[:-season]) * np.sqrt(ahead // season + 1)
    return path + np.array([normal.inv_cdf(level) for level in LEVELS])[:, None] * spread


def statsforecast_peers() -> dict[str, Method]:
    """AutoETS, AutoTheta and MSTL in a process of their own, see `forecast_peers`; nothing where they cannot be had."""
    try:
        python = installed("forecast", ["statsforecast==2.1.1"])
    except (RuntimeError, subprocess.SubprocessError, OSError) as error:
        print(f"  statsforecast cannot be had: {error}")
        return {}
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    server = subprocess.Popen(
        [python, Path(__file__).with_name("forecast_peers.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=plain_environment() | alone,
    )
    atexit.register(server.kill)

    def method(name: str) -> Method:
        def run(train: FloatArray, horizon: int, season: int) -> FloatArray:
            assert server.stdin is not None
            assert server.stdout is not None
            asked = {"model": name, "train": train.tolist(), "horizon": horizon, "season": season}
            server.stdin.write(json.dumps(asked) + "\n")
            server.stdin.flush()
            return np.array(json.loads(server.stdout.readline()), np.float64)

        return run

    return {name: method(name) for name in ("AutoTheta", "MSTL 24", "MSTL 24, 168", "AutoETS")}


# --- Scores ----------------------------------------------------------------------------------------------------------


def scores(rows: list[Row], method: Method) -> dict[str, float]:
    smape, mase, inside, loss, size, spent = [], [], [], 0.0, 0.0, []
    for row in rows:
        began = time.perf_counter()
        quantiles = method(row.train, row.test.size, row.season)
        spent.append(time.perf_counter() - began)
        median = quantiles[4]
        total = np.abs(row.test) + np.abs(median)
        smape.append(200 * np.mean(np.abs(row.test - median) / np.where(total > 0, total, 1)))
        lag = row.season if row.train.size > row.season else 1
        scale = np.mean(np.abs(row.train[lag:] - row.train[:-lag]))
        if scale > 0:
            mase.append(np.mean(np.abs(row.test - median)) / scale)
        error = row.test - quantiles
        loss += 2 * np.maximum(LEVELS[:, None] * error, (LEVELS[:, None] - 1) * error).sum() / LEVELS.size
        size += np.abs(row.test).sum()
        inside.append(np.mean((quantiles[0] <= row.test) & (row.test <= quantiles[-1])))
    return {
        "smape": float(np.mean(smape)),
        "mase": float(np.mean(mase)),
        "wql": float(loss / size),
        "coverage_80": float(np.mean(inside)),
        "ms_per_series": 1e3 * statistics.median(spent),
    }


def latency_ms() -> tuple[float, float]:
    """Median of 60 forecasts of 1,000 hourly points, 24 ahead, as they come to the servable: wall clock and CPU."""
    at = np.arange(1000)
    random = np.random.default_rng(0)
    y = 500 + 100 * np.sin(2 * np.pi * at / 24) - 60 * (at // 24 % 7 >= 5) + random.normal(0, 20, at.size)
    wall, cpu = [], []
    for _ in range(60):
        began, used = time.perf_counter(), time.thread_time()
        forecast(y, 24)
        wall.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - used)
    return 1e3 * statistics.median(wall), 1e3 * statistics.median(cpu)


def measure(name: str, rows: list[Row], methods: dict[str, Method]) -> dict[str, dict[str, float]]:
    ahead = sorted({row.test.size for row in rows})
    print(f"\n{name}: {len(rows)} series, {' to '.join(f'{size}' for size in {ahead[0], ahead[-1]})} ahead", flush=True)
    print(f"  {'':24}{'sMAPE':>8}{'MASE':>8}{'wQL':>9}{'cover':>8}{'ms/series':>11}", flush=True)
    found = {}
    for method, run in methods.items():
        s = found[method] = scores(rows, run)
        print(
            f"  {method:24}{s['smape']:8.2f}{s['mase']:8.3f}{s['wql']:9.4f}{s['coverage_80']:8.3f}"
            f"{s['ms_per_series']:11.1f}",
            flush=True,
        )
    return found


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measures the forecast expert beside its peers.")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th series, of every set")
    parser.add_argument("--no-peers", action="store_true", help="leave statsforecast out (minutes)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if not (DATA / "m4" / "hourly.jsonl.gz").exists():
        print(f"skipped: no data in {DATA}; set EXPERTD_DATA to the folder that holds m4/ and ett/")
        return
    notes = []
    ours: dict[str, Method] = {
        "expertd": expert,
        "expertd, told the step": expert_told_the_step,
        "expertd, told the season": expert_told_the_season,
    }
    peers: dict[str, Method] = {"seasonal naive": seasonal_naive}
    if options.no_peers:
        notes.append("statsforecast left out on request")
    elif not (found := statsforecast_peers()):
        notes.append("statsforecast cannot be had: AutoETS, AutoTheta and MSTL skipped")
    else:
        peers |= found
    if options.every > 1:
        notes.append(f"each {options.every}th series only")
    sets = {"m4_hourly": m4_hourly()[:: options.every], "etth1": etth1()[:: options.every]}
    with threadpool_limits(1):
        wall, cpu = latency_ms()
        busy = os.getloadavg()[0]
        notes.append(
            f"load average {busy:.1f} on {os.cpu_count()} cores at the latency figure: the clock counts waiting"
        )
        table = {name: measure(name, rows, ours | peers) for name, rows in sets.items()}
    print(f"\n1,000 points, 24 ahead: {wall:.1f} ms by the clock, {cpu:.1f} ms of CPU (median of 60)")
    for note in notes:
        print(f"note: {note}")
    if options.every > 1 or options.no_peers:
        return
    figures = {
        f"{name}_{figure}": scored["expertd"][figure]
        for name, scored in table.items()
        for figure in ("smape", "mase", "wql", "coverage_80")
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(
        json.dumps(
            {
                "bench": "forecast",
                "figures": figures | {"ms_per_1000_points": wall, "cpu_ms_per_1000_points": cpu},
                "peers": {
                    name: {method: s for method, s in scored.items() if method != "expertd"}
                    for name, scored in table.items()
                },
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
                "notes": notes,
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
