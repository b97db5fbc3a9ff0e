"""Forecasts of anyone's series: `python -m bench.experts forecast --data F.jsonl`.

Rows are {id, train, test, period}; where a row names no period, peers are told the season that the expert found. The
expert itself is told nothing but the numbers. Beside it always the seasonal naive forecast, and AutoETS, AutoTheta and
MSTL where statsforecast can be installed. Scores are those of `bench.forecast`; "worse" counts the series on which the
quantile loss is above the seasonal naive forecast's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from expertd.experts.series.history import filled, find_seasons

from .forecast import LEVELS, Method, Row, expert, m4_hourly, measure, seasonal_naive, statsforecast_peers
from .report import read_rows


def add(commands: Any) -> None:
    command = commands.add_parser("forecast", help="forecasts: rows {id, train, test, period}")
    command.add_argument("--data", type=Path, metavar="FILE", help="JSON lines; M4 hourly without it")
    command.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th row")
    command.add_argument("--no-peers", action="store_true", help="leave statsforecast out")
    command.set_defaults(run=run, name="forecast")


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    rows = (list(_rows(chosen.data)) if chosen.data else m4_hourly())[:: chosen.every]
    methods: dict[str, Method] = {"expertd": expert, "seasonal naive": seasonal_naive}
    peers = {} if chosen.no_peers else statsforecast_peers()
    for name, peer in peers.items():
        # Told one season where the row names it; a second one is M4's.
        if name != "MSTL 24, 168" or not chosen.data:
            methods[name.removesuffix(" 24") if chosen.data else name] = peer
    with threadpool_limits(1):
        table: dict[str, Any] = measure(chosen.data.stem if chosen.data else "m4_hourly", rows, methods)
        worse = [row.name for row in rows if _loss(expert, row) > _loss(seasonal_naive, row)]
    print(f"  {len(worse)} of {len(rows)} series with a higher quantile loss than seasonal naive")
    return table | {"worse_than_seasonal_naive": len(worse), "series": len(rows)}


def _rows(path: Path) -> Iterator[Row]:
    for row in read_rows(path):
        train, test = (np.array(row[part], dtype=np.float64) for part in ("train", "test"))
        season = row.get("period") or next(iter(find_seasons(filled(train))), 1)
        yield Row(str(row["id"]), train, test, int(season))


def _loss(method: Method, row: Row) -> float:
    error = row.test - method(row.train, row.test.size, row.season)
    return float(np.maximum(LEVELS[:, None] * error, (LEVELS[:, None] - 1) * error).sum())
