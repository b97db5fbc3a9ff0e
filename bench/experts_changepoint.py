"""Changes found in series that a seeded script makes, the expert beside the package `ruptures` on the same series.

    python -m bench.experts changepoint [--series N] [--no-peers]

Of each kind of series: F1 over all its series, a found change counting once and within 5 points of a true one; where
nothing changes, false alarms per series. ruptures (Truong et al., 2020) comes into an environment of its own,
build/peers-ruptures; its costs are penalised with 2 p σ² log n as is usual, σ from the differences' median deviation
("PELT l2" is its compiled linear kernel, the same optimum).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .peers import installed

Floats = NDArray[np.float64]
MARGIN = 5
_SEED = 20


@dataclass(frozen=True)
class Made:
    values: Floats
    changes: tuple[int, ...]


# --- The series -------------------------------------------------------------------------------------------------------


def series(kind: str, count: int, seed: int = _SEED) -> list[Made]:
    """`count` series of a kind, the same for the same seed; 200 to 1,000 points, up to 4 changes 40 points apart."""
    random = np.random.default_rng([seed, *kind.encode()])
    return [KINDS[kind](random, int(random.choice([200, 400, 1000]))) for _ in range(count)]


def _places(random: np.random.Generator, n: int, apart: int = 40) -> tuple[int, ...]:
    while True:
        count = int(random.integers(1, 5 if n > 300 else 3))
        places = np.sort(random.integers(apart, n - apart, count))
        if (np.diff(places) >= apart).all():
            return tuple(int(place) for place in places)


def _noise(random: np.random.Generator, n: int, memory: float = 0.0) -> Floats:
    shocks = random.normal(size=n + 100)
    for at in range(1, shocks.size):
        shocks[at] += memory * shocks[at - 1]
    noise: Floats = shocks[100:]
    return noise


def _levels(random: np.random.Generator, n: int, places: Sequence[int], size: float = 1.0) -> Floats:
    """Steps of 2 to 5 times `size`, up or down."""
    line = np.zeros(n)
    for place in places:
        line[place:] += size * random.uniform(2, 5) * random.choice([-1, 1])
    return line


def _level(random: np.random.Generator, n: int, *, memory: float = 0.0, season: float = 0.0) -> Made:
    places = _places(random, n)
    wave = season * np.sin(2 * np.pi * np.arange(n) / random.choice([7, 12, 24]))
    size = 1 / (1 - memory)
    return Made(_levels(random, n, places, size) + wave + _noise(random, n, memory), places)


def _heavy(random: np.random.Generator, n: int) -> Made:
    """Steps under noise with long tails, and single spikes."""
    places = _places(random, n)
    noise = random.standard_t(3, n)
    noise[random.integers(0, n, n // 100)] += 15
    return Made(_levels(random, n, places, 1.5) + noise, places)


def _trend(random: np.random.Generator, n: int) -> Made:
    """A line that bends: the slope changes by so much that 40 points later it shows as 8 to 16 deviations."""
    places = _places(random, n, 60)
    at = np.arange(n)
    line = random.uniform(-0.1, 0.1) * at
    for place in places:
        line = line + random.choice([-1, 1]) * random.uniform(0.2, 0.4) * np.maximum(at - place, 0)
    return Made(line + _noise(random, n), places)


def _variance(random: np.random.Generator, n: int) -> Made:
    """The deviation grows or shrinks three- to fivefold."""
    places = _places(random, n, 60)
    spread = np.ones(n)
    loud = bool(random.random() < 0.5)
    for place in places:
        spread[place:] *= random.uniform(3, 5) ** (-1 if loud else 1)
        loud = not loud
    return Made(10 + spread * _noise(random, n), places)


def _still(random: np.random.Generator, n: int, make: Callable[[np.random.Generator, int], Floats]) -> Made:
    return Made(make(random, n), ())


KINDS: dict[str, Callable[[np.random.Generator, int], Made]] = {
    "level": _level,
    "level, AR 0.5": lambda random, n: _level(random, n, memory=0.5),
    "level, seasonal": lambda random, n: _level(random, n, season=4.0),
    "level, spikes": _heavy,
    "trend": _trend,
    "variance": _variance,
    "still": lambda random, n: _still(random, n, _noise),
    "still, AR 0.5": lambda random, n: _still(random, n, lambda r, m: _noise(r, m, 0.5)),
    "still, AR 0.8": lambda random, n: _still(random, n, lambda r, m: _noise(r, m, 0.8)),
    "still, seasonal": lambda random, n: _still(
        random, n, lambda r, m: 4 * np.sin(2 * np.pi * np.arange(m) / 24) + _noise(r, m)
    ),
    "still, trend": lambda random, n: _still(random, n, lambda r, m: 0.05 * np.arange(m) + _noise(r, m)),
    "still, spikes": lambda random, n: _still(random, n, lambda r, m: r.standard_t(3, m)),
    "still, counts": lambda random, n: _still(random, n, lambda r, m: r.poisson(0.7, m).astype(float)),
}


# --- The run ----------------------------------------------------------------------------------------------------------


def hits(found: Sequence[int], true: Sequence[int]) -> int:
    """How many true changes have a found one of their own within the margin."""
    left, count = sorted(found), 0
    for place in true:
        near = [one for one in left if abs(one - place) <= MARGIN]
        if near:
            left.remove(min(near, key=lambda one: abs(one - place)))
            count += 1
    return count


def figures(made: dict[str, list[Made]], found: dict[str, list[list[int]]]) -> dict[str, float]:
    """F1 of the kinds that change, false alarms per series of those that do not, and the mean of either."""
    table = {}
    for kind, rows in made.items():
        right = sum(hits(places, row.changes) for row, places in zip(rows, found[kind], strict=True))
        said, true = sum(map(len, found[kind])), sum(len(row.changes) for row in rows)
        table[kind] = 2 * right / max(said + true, 1) if true else said / len(rows)
    return table | {
        "mean F1": statistics.fmean(value for kind, value in table.items() if not kind.startswith("still")),
        "mean false alarms": statistics.fmean(value for kind, value in table.items() if kind.startswith("still")),
    }


def add(commands: Any) -> None:
    command = commands.add_parser("changepoint", help="changes in series that a seeded script makes")
    command.add_argument("--series", type=int, default=40, metavar="N", help="of each kind")
    command.add_argument("--seed", type=int, default=_SEED)
    command.add_argument("--no-peers", action="store_true")
    command.set_defaults(run=run, name="changepoint")


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    from expertd.experts.series import find_changes

    made = {kind: series(kind, chosen.series, chosen.seed) for kind in KINDS}
    began = time.perf_counter()
    ours = {
        kind: [[change.index for change in find_changes(row.values)] for row in rows] for kind, rows in made.items()
    }
    spent = time.perf_counter() - began
    points = sum(row.values.size for rows in made.values() for row in rows)
    table = {"expertd": figures(made, ours) | {"ms per 1,000 points": 1e6 * spent / points}}
    if not chosen.no_peers:
        try:
            table |= _ruptures(made)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"ruptures: left out ({error})")
    for row in next(iter(table.values())):
        if row == next(iter(made)):
            print(f"  {chosen.series} series of each kind; F1, or false alarms per series where nothing changes")
            print(f"  {'':22}" + "".join(f"{name:>18}" for name in table))
        print(f"  {row:22}" + "".join(f"{found[row]:18.3f}" for found in table.values()))
    return table


# --- ruptures, in an environment of its own ---------------------------------------------------------------------------

_SCRIPT = """
import json, sys, time
import numpy as np
import ruptures

def l2(y):
    sigma = np.median(np.abs(np.diff(y) - np.median(np.diff(y)))) * 1.4826 / 2**0.5 or 1e-9
    return ruptures.KernelCPD("linear", min_size=3).fit(y).predict(pen=2 * 2 * sigma**2 * np.log(y.size))

def normal(y):
    return ruptures.Pelt("normal", min_size=6).fit(y).predict(pen=3 * np.log(y.size))

def kernel(y):
    return ruptures.KernelCPD("rbf", min_size=3).fit(y).predict(pen=2 * np.log(y.size))

def lines(y):
    sigma = np.median(np.abs(np.diff(y) - np.median(np.diff(y)))) * 1.4826 / 2**0.5 or 1e-9
    return ruptures.BottomUp("clinear", min_size=6).fit(y).predict(pen=3 * 2 * sigma**2 * np.log(y.size))

methods = {"PELT l2": l2, "PELT normal": normal, "kernel rbf": kernel, "BottomUp clinear": lines}
rows = json.load(sys.stdin)
found = {}
for name, method in methods.items():
    began = time.perf_counter()
    places = [[int(place) for place in method(np.array(row))[:-1]] for row in rows]
    found[name] = {"places": places, "seconds": time.perf_counter() - began}
json.dump(found, sys.stdout)
"""


def _ruptures(made: dict[str, list[Made]]) -> dict[str, dict[str, float]]:
    """Raises: OSError, SubprocessError where it cannot be installed or fails."""
    python = installed("ruptures", ("ruptures",))
    rows = [row.values.tolist() for each in made.values() for row in each]
    done = subprocess.run(
        [str(python), "-c", _SCRIPT], input=json.dumps(rows), capture_output=True, text=True, check=True, timeout=1800
    )
    points = sum(map(len, rows))
    table = {}
    for name, answer in json.loads(done.stdout).items():
        left = iter(answer["places"])
        found = {kind: [next(left) for _ in each] for kind, each in made.items()}
        table[name] = figures(made, found) | {"ms per 1,000 points": 1e6 * answer["seconds"] / points}
    return table
