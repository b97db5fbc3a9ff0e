"""How long the daemon takes from its process's start to its first answer, and what it holds in memory then.

    python -m bench.start [--runs 10]

The first start of a house installs the shipped experts and fits the router; it is measured apart.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import psutil

from .house import House, house
from .report import report

QUESTION = "what is 18% of 2450"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    with house() as built:
        began = built.start()
        first_ever = built.first_answer(QUESTION) - began
        built.stop()
        rows = [measure(built) for _ in range(runs)]
    ready, answer, rss, pss = (list(column) for column in zip(*rows, strict=True))
    report(
        "start",
        {
            "ready_s": round(statistics.median(ready), 3),
            "ready_s_min": round(min(ready), 3),
            "ready_s_max": round(max(ready), 3),
            "first_answer_s": round(statistics.median(answer), 3),
            "first_answer_s_min": round(min(answer), 3),
            "first_answer_s_max": round(max(answer), 3),
            "first_start_ever_s": round(first_ever, 3),
            "rss_mb": round(statistics.median(rss), 1),
            "pss_mb": round(statistics.median(pss), 1),
            "runs": runs,
        },
        notes=[
            f"medians of {runs} starts; trunk prepared, experts installed, router cached; page cache warm",
            "memory of the daemon's process after the first answer; no text worker runs",
        ],
    )


def measure(built: House) -> tuple[float, float, float, float]:
    """ready_s, first_answer_s, rss_mb, pss_mb of one start."""
    ready: list[float] = []
    began = built.start()

    def watch() -> None:
        # The socket appears when it is bound; the log's "ready" line comes when READY is told.
        log = built.folder / "daemon.log"
        offset = log.stat().st_size
        while not ready and time.perf_counter() - began < 60:
            with log.open("rb") as file:
                file.seek(offset)
                if b"ready on" in file.read():
                    ready.append(time.perf_counter() - began)
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    answer = built.first_answer(QUESTION) - began
    watcher.join()
    assert built.process is not None
    memory = psutil.Process(built.process.pid).memory_full_info()
    built.stop()
    return ready[0], answer, memory.rss / 1e6, memory.pss / 1e6


if __name__ == "__main__":
    main()
