"""The public data sets that models are fitted on: where they lie, and their rows. Knows none of them by name."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO


def folder() -> Path:
    """`../shared/data` as seen from the project; `EXPERTD_DATA` names another place. It may not be there."""
    root = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("EXPERTD_DATA", root.parent / "shared" / "data"))


def opened(path: Path) -> TextIO:
    """The text of a file, gzipped or not. Raises: OSError."""
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """One JSON object a line. Raises: OSError, ValueError for a line that is not JSON."""
    with opened(path) as file:
        yield from map(json.loads, file)
