"""One interactive caller beside ten apps that flood the daemon: what it waits, quiet and flooded, in the same run.

    python -m bench.flood [--seconds 200] [--apps 10] [--outstanding 100]

The caller is an app of its own that asks at random moments, so many times a second on average, one call at a time, and
counts how long each took. The flooders (`bench/crowd.py`) are processes that ask without pause and ask again at once
when they are refused; they run at the caller's own nice level. Quiet and flooded blocks take turns, each kind of flood
with a daemon of its own: apps that say nothing of their priority, as a flood would (the headline), apps that call
themselves background, and the first once more with admission set so wide that it holds nobody back.

Each block is compared with the quiet blocks around it: the ratios are of percentiles over all blocks of a kind.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from expertd.client import Client
from expertd.client.errors import ExpertdError

from .crowd import Flood, flooding, question
from .house import House, house
from .report import percentiles, report

PER_SECOND = 25.0
BLOCK_S = 20.0
# How long a flood's begin is, which is told apart; so long a pause follows the flood, after which its apps are known as
# ones that rest: the next one begins with the best of names.
ONSET_S = 5.0
WIDE = "[limits]\nconcurrent = 100000\nmax_in_flight = 100000\nmax_in_flight_per_app = 100000\ncrowd_share = 1.0\n"


@dataclass
class Measured:
    """Of all blocks of a kind. seconds: of the caller's answered calls; failed: its others. became: of the flood's."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    lasted_s: float = 0.0
    busy_s: float = 0.0
    became: Counter[str] = field(default_factory=Counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=200.0, help="of each kind of flood, half of them quiet")
    parser.add_argument("--apps", type=int, default=10)
    parser.add_argument("--outstanding", type=int, default=100)
    options = parser.parse_args()
    block_s = min(BLOCK_S, options.seconds / 2)
    pairs = round(options.seconds / (2 * block_s))
    silent = Flood(options.apps, options.outstanding)
    figures: dict[str, Any] = {}
    for name, flood, settings, turns in (
        ("", silent, "", pairs),
        ("background", Flood(options.apps, options.outstanding, "background"), "", pairs),
        ("wide", silent, WIDE, 1),
    ):
        figures |= told(f"{name}_" if name else "", *beside(flood, settings, turns, block_s))
    report(
        "flood",
        figures,
        notes=[
            f"{options.apps} apps flood, each with {options.outstanding} calls outstanding on one connection, refused "
            "ones repeated at once; caller and flooders: the real client, one nice level, processes of their own",
            f"the caller: {PER_SECOND:g} calls a second at random moments, one at a time, a fresh calculation each",
            "background_: the flooders say so. wide_: no bound, no order, no share: what admission is for",
            f"the first {ONSET_S:g} s of each flood, while its calls pour in, are told as onset and not in the ratios",
            "a call of the caller's that failed counts in failed, not in the percentiles",
        ],
    )


def beside(flood: Flood, settings: str, pairs: int, block_s: float) -> tuple[Measured, Measured, Measured]:
    """Quiet, flooded, quiet, flooded, …, quiet: what was measured quiet, at the floods' onset, and flooded."""
    quiet, onset, flooded = Measured(), Measured(), Measured()
    with house(settings) as built:
        built.start()
        built.first_answer("what is 18% of 2450")
        with Client(built.socket, app="desk") as client:
            block(client, built, Measured(), ONSET_S)
            for _ in range(pairs):
                block(client, built, quiet, block_s)
                with flooding(built.socket, flood) as became:
                    block(client, built, onset, ONSET_S)
                    block(client, built, flooded, block_s)
                flooded.became += became
                time.sleep(ONSET_S)
            block(client, built, quiet, block_s)
        built.stop()
    return quiet, onset, flooded


def block(client: Client, built: House, measured: Measured, lasts_s: float) -> None:
    """The caller's calls, for so long."""
    chance = random.Random(len(measured.seconds))
    assert built.process is not None
    process = psutil.Process(built.process.pid)
    busy, began = sum(process.cpu_times()[:2]), time.perf_counter()
    # A collection in this process would count as the daemon's time.
    gc.disable()
    while time.perf_counter() < began + lasts_s:
        time.sleep(chance.expovariate(PER_SECOND))
        asked = time.perf_counter()
        try:
            client.ask(question(chance))
            measured.seconds.append(time.perf_counter() - asked)
        except ExpertdError:
            measured.failed += 1
    gc.enable()
    measured.lasted_s += time.perf_counter() - began
    measured.busy_s += sum(process.cpu_times()[:2]) - busy


def told(prefix: str, quiet: Measured, onset: Measured, flooded: Measured) -> dict[str, Any]:
    lasted_s = onset.lasted_s + flooded.lasted_s
    calls = sum(flooded.became.values())
    figures: dict[str, Any] = {}
    if quiet.seconds and flooded.seconds:
        before, beside = (np.percentile(each.seconds, [50, 99]) for each in (quiet, flooded))
        figures[f"{prefix}interactive_p50_ratio"] = round(float(beside[0] / before[0]), 2)
        figures[f"{prefix}interactive_p99_ratio"] = round(float(beside[1] / before[1]), 2)
    for kind, each in (("quiet", quiet), ("flooded", flooded)):
        figures[f"{prefix}{kind}_calls"] = len(each.seconds)
        figures[f"{prefix}{kind}_failed"] = each.failed
        if each.seconds:
            figures |= {f"{prefix}{kind}_{key}": value for key, value in percentiles(each.seconds).items()}
        figures[f"{prefix}{kind}_daemon_cpu"] = round(each.busy_s / (each.lasted_s or 1.0), 2)
    if onset.seconds:
        figures[f"{prefix}onset_p50_us"] = percentiles(onset.seconds)["p50_us"]
        figures[f"{prefix}onset_longest_s"] = round(max(onset.seconds), 2)
    return figures | {
        f"{prefix}flood_answered_per_s": round(flooded.became["answered"] / lasted_s, 1),
        f"{prefix}flood_refused_per_s": round(flooded.became["refused"] / lasted_s, 1),
        f"{prefix}flood_refused_share": round(flooded.became["refused"] / calls, 3) if calls else 0.0,
        f"{prefix}flood_other_errors": calls - flooded.became["answered"] - flooded.became["refused"],
    }


if __name__ == "__main__":
    main()
