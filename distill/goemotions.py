"""The remarks of GoEmotions (Demszky et al., 2020): what people write under others' posts, with what they felt.

Published in three parts, of which the training rows are fitted on and chosen by (a tenth of them, by hash), and the
development rows are the test. Knows no expert.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import datasets
from .rows import Row, Splits, part_of

TEST = "GoEmotions, published development rows"

# Row of the data set → label, None: leave it out.
Labelled = Callable[[dict[str, Any]], str | None]


def splits(data: Path, labelled: Labelled) -> Splits:
    """Raises: OSError where the data set is not there."""
    parts: dict[str, list[Row]] = {"train": [], "validation": []}
    for row in _rows(data / "goemotions" / "train.jsonl.gz", labelled):
        parts[part_of(row.text, train=0.9, validation=0.1)].append(row)
    return Splits(parts["train"], parts["validation"], {TEST: _rows(data / "goemotions" / "dev.jsonl", labelled)})


def _rows(file: Path, labelled: Labelled) -> list[Row]:
    pairs = ((row["text"], labelled(row)) for row in datasets.rows(file))
    return [Row(text, label) for text, label in pairs if label is not None and text.strip()]
