"""Anomaly detection by NAB's own scoring (Lavin & Ahmad, 2015), the expert beside detectors from the literature.

    python -m bench.experts anomaly [--data DIR] [--results DIR]

DIR holds either series as JSON lines ({file, timestamps, values}, gzipped or not) with combined_windows.json, or NAB's
own layout, data/**/*.csv with labels/combined_windows.json. `--results` takes the folder of score files that NAB brings
(DETECTOR/CATEGORY/DETECTOR_FILE.csv) and scores each detector in it on the same series.

What counts is the first alarm within a window, the earlier the more; every alarm outside costs, less right after a
window; the first 15 % of a series (750 points at most) count for nothing. One threshold per detector and profile, the
best for the whole corpus, as NAB chooses it. 0 is a detector that never speaks, 100 one that speaks at the first point
of every window. Because that threshold is chosen on the very windows it is scored on, the expert stands twice: with
its best threshold, like all others, and with the one that it ships with.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .anomaly_peers import PEERS
from .report import data_folder

Floats = NDArray[np.float64]
# From the values to a score of 0 to 1 per point. probation: points that count for nothing; NAB tells detectors.
Detector = Callable[[Floats, int], Floats]

_PROBATION_SHARE = 0.15
_PROBATION_POINTS = 5000


@dataclass(frozen=True)
class Profile:
    """What a hit, a miss and a false alarm weigh."""

    hit: float = 1.0
    miss: float = 1.0
    false_alarm: float = 0.11


PROFILES = {
    "standard": Profile(),
    "low FP": Profile(false_alarm=0.22),
    "low FN": Profile(miss=2.0),
}


@dataclass(frozen=True)
class Labelled:
    """name: as the windows' file names it. windows: (first, last) indices of each, rising."""

    name: str
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Points at the beginning that count for nothing."""
        return int(min(np.floor(_PROBATION_SHARE * self.values.size), _PROBATION_SHARE * _PROBATION_POINTS))


# --- The series -------------------------------------------------------------------------------------------------------


def read(folder: Path) -> list[Labelled]:
    """Raises: OSError where the folder holds no series or no windows."""
    found = sorted([*folder.rglob("combined_windows.json")])
    if not found:
        raise FileNotFoundError(ENOENT, "no combined_windows.json in it, with the windows of every series", str(folder))
    windows = json.loads(found[0].read_text("utf-8"))
    series = [_labelled(name, times, values, windows.get(name, ())) for name, times, values in _series(folder)]
    if not series:
        raise FileNotFoundError(ENOENT, "neither *.jsonl, *.jsonl.gz nor data/**/*.csv in it", str(folder))
    return series


def _series(folder: Path) -> Iterable[tuple[str, list[str], list[float]]]:
    for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]):
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield row["file"], row["timestamps"], row["values"]
    for path in sorted((folder / "data").rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        name = path.relative_to(folder / "data").as_posix()
        yield name, [row["timestamp"] for row in rows], [float(row["value"]) for row in rows]


def _labelled(name: str, times: Sequence[str], values: Sequence[float], windows: Iterable[Sequence[str]]) -> Labelled:
    index: dict[str, int] = {}
    for at, moment in enumerate(times):
        index.setdefault(_whole_seconds(moment), at)
    places = sorted((index[_whole_seconds(first)], index[_whole_seconds(last)]) for first, last in windows)
    return Labelled(name, np.array(values, dtype=np.float64), tuple(places))


def _whole_seconds(moment: str) -> str:
    return moment.replace("T", " ").partition(".")[0]


# --- The score --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """The corpus' raw score at every threshold: thresholds, falling, and the score where alarms are all above or at."""

    thresholds: Floats
    raw: Floats
    null: float
    perfect: float

    def best(self) -> tuple[float, float]:
        """(score, threshold)."""
        at = int(self.raw.argmax())
        return self._normed(float(self.raw[at])), float(self.thresholds[at])

    def at(self, threshold: float) -> float:
        """The score with this threshold."""
        above = int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1
        return self._normed(float(self.raw[max(above, 0)]))

    def _normed(self, raw: float) -> float:
        return 100 * (raw - self.null) / (self.perfect - self.null) if self.perfect > self.null else 0.0


def sweep(corpus: Sequence[Labelled], scores: Sequence[Floats], profile: Profile) -> Sweep:
    """What every threshold would be worth over the whole corpus.

    Each point has a worth: within a window what an alarm there gains, which counts once, for the best of them; outside
    what it costs, which adds up. Going down through the thresholds, every point brings a change of the whole.
    """
    marks: list[Floats] = []
    changes: list[Floats] = []
    windows = 0
    for series, score in zip(corpus, scores, strict=True):
        worth, window = _worth(series, profile)
        counted = np.arange(score.size) >= series.probation
        outside = counted & (window < 0)
        marks.append(score[outside])
        changes.append(worth[outside])
        for number in np.unique(window[counted & (window >= 0)]):
            windows += 1
            inside = np.flatnonzero(counted & (window == number))
            order = inside[np.argsort(-score[inside], kind="stable")]
            best = np.maximum.accumulate(np.maximum(worth[order], -profile.miss))
            marks.append(score[order])
            changes.append(np.diff(best, prepend=-profile.miss))
    mark, change = np.concatenate(marks), np.concatenate(changes)
    order = np.argsort(-mark, kind="stable")
    falling, total = mark[order], np.cumsum(change[order])
    last = np.flatnonzero(np.diff(falling, append=-np.inf))
    null = -profile.miss * windows
    return Sweep(
        thresholds=np.concatenate([[1.1], falling[last]]),
        raw=np.concatenate([[0.0], total[last]]) + null,
        null=null,
        perfect=profile.hit * windows,
    )


def _worth(series: Labelled, profile: Profile) -> tuple[Floats, NDArray[np.int64]]:
    """What an alarm at each point is worth, and the number of the window it lies in, -1: none."""
    n = series.values.size
    at = np.arange(n)
    position = np.full(n, 3.0)
    window = np.full(n, -1)
    for number, (first, last) in enumerate(series.windows):
        width = last - first + 1
        after = at > last
        position[after] = (at[after] - last) / max(width - 1, 1)
        position[first : last + 1] = -(last - at[first : last + 1] + 1) / width
        window[first : last + 1] = number
    curve = np.where(position >= 3, -1.0, _sigmoid(position))
    worth = np.where(window >= 0, curve * profile.hit / _sigmoid(np.float64(-1.0)), curve * profile.false_alarm)
    return worth, window


def _sigmoid(position: Any) -> Any:
    return 2 / (1 + np.exp(5 * position)) - 1


# --- The run ----------------------------------------------------------------------------------------------------------


def expert(values: Floats, probation: int) -> Floats:
    """It is told nothing but the numbers: neither how many points are on trial, nor the range of what comes."""
    from expertd.experts.series import find_anomalies

    return find_anomalies(values).scores


def add(commands: Any) -> None:
    command = commands.add_parser("anomaly", help="anomaly detection: NAB's score on a folder of series and windows")
    command.add_argument("--data", type=Path, metavar="DIR")
    command.add_argument("--results", type=Path, metavar="DIR", help="NAB's folder of score files, detectors as peers")
    command.add_argument("--no-peers", action="store_true")
    command.set_defaults(run=run, name="anomaly")


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    from expertd.experts.series.anomaly import THRESHOLD

    folder = chosen.data or data_folder() / "nab"
    corpus = read(folder)
    windows = sum(len(series.windows) for series in corpus)
    print(f"{folder.name}: {len(corpus)} series, {sum(s.values.size for s in corpus):,} points, {windows} windows")
    print(f"  {'':22}" + "".join(f"{name:>11}" for name in PROFILES) + f"{'alarms':>9}{'ms/1,000':>10}", flush=True)
    figures: dict[str, Any] = {}
    detectors: dict[str, Detector] = {"expertd": expert, **({} if chosen.no_peers else PEERS)}
    for name, detector in detectors.items():
        scores, spent = [], []
        for series in corpus:
            began = time.perf_counter()
            scores.append(detector(series.values, series.probation))
            spent.append((time.perf_counter() - began) / series.values.size)
        figures[name] = _score(name, corpus, scores) | {"ms_per_1000_points": 1e6 * statistics.median(spent)}
        print(f"{figures[name]['ms_per_1000_points']:10.1f}", flush=True)
        if name == "expertd":
            shipped = {profile: sweep(corpus, scores, p).at(THRESHOLD) for profile, p in PROFILES.items()}
            figures["expertd, as shipped"] = shipped | {"alarms": _alarms(corpus, scores, THRESHOLD)}
            print(_line("expertd, as shipped", shipped, figures["expertd, as shipped"]["alarms"]), flush=True)
    for name in sorted(path.name for path in chosen.results.iterdir() if path.is_dir()) if chosen.results else ():
        theirs = [_their_scores(chosen.results, name, series) for series in corpus]
        known = [(series, score) for series, score in zip(corpus, theirs, strict=True) if score is not None]
        if known:
            label = f"{name}, {len(known)} series" if len(known) < len(corpus) else name
            figures[name] = _score(label, *zip(*known, strict=True))
            print()
    return figures


def _score(name: str, corpus: Sequence[Labelled], scores: Sequence[Floats]) -> dict[str, Any]:
    """The score by profile, and alarms at the standard profile's threshold; prints them without the line's end."""
    best = {profile: sweep(corpus, scores, weights).best() for profile, weights in PROFILES.items()}
    found: dict[str, Any] = {profile: score for profile, (score, _) in best.items()}
    threshold = best["standard"][1]
    found |= {"threshold": threshold, "alarms": _alarms(corpus, scores, threshold)}
    print(_line(name, found, found["alarms"]), end="", flush=True)
    return found


def _line(name: str, found: dict[str, Any], alarms: int) -> str:
    return f"  {name:22}" + "".join(f"{found[profile]:11.1f}" for profile in PROFILES) + f"{alarms:9}"


def _alarms(corpus: Sequence[Labelled], scores: Sequence[Floats], threshold: float) -> int:
    return sum(
        int((score[series.probation :] >= threshold).sum()) for series, score in zip(corpus, scores, strict=True)
    )


def _their_scores(folder: Path, detector: str, series: Labelled) -> Floats | None:
    category, _, file = series.name.rpartition("/")
    path = folder / detector / category / f"{detector}_{file}"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as lines:
        return np.array([float(row["anomaly_score"]) for row in csv.DictReader(lines)])
