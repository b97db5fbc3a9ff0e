"""statsforecast at work on the series of `bench.forecast`.

Run by the interpreter of an environment of its own, which knows nothing of expertd: JSON lines on standard input,
{"model", "train", "horizon", "season"}, each answered by one on standard output: the quantiles 0.1 to 0.9, a list of
`horizon` numbers each.
"""

from __future__ import annotations

import json
import sys
from typing import Any

NAMES = ("lo-80", "lo-60", "lo-40", "lo-20", "mean", "hi-20", "hi-40", "hi-60", "hi-80")


def model(name: str, season: int) -> Any:
    from statsforecast.models import MSTL, AutoETS, AutoTheta  # type: ignore[import-not-found]

    match name:
        case "AutoTheta":
            return AutoTheta(season_length=season)
        case "MSTL 24":
            return MSTL(season_length=season)
        case "MSTL 24, 168":
            return MSTL(season_length=[season, 7 * season])
    return AutoETS(season_length=season)


def main() -> None:
    import numpy as np

    for line in sys.stdin:
        asked = json.loads(line)
        train = np.array(asked["train"], float)
        found = model(asked["model"], asked["season"]).forecast(y=train, h=asked["horizon"], level=[20, 40, 60, 80])
        print(json.dumps([np.asarray(found[name], float).tolist() for name in NAMES]), flush=True)


if __name__ == "__main__":
    main()
