"""Labelled sentences: cut into parts, checked, varied, and encoded once.

Knows no expert and no data set.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

# After so many sentences what was encoded is kept, so that a run that is stopped has not worked for nothing.
ENCODED_AT_ONCE = 2_000

Vector = npt.NDArray[np.float32]


class DataError(ValueError):
    """The rows break a rule; the text names the row, the rule and the way out."""


class Row(NamedTuple):
    """weight: how much it counts in the fit. group: its copies and relatives, kept in one fold; "": it has none."""

    text: str
    label: str
    weight: float = 1.0
    group: str = ""


@dataclass(frozen=True)
class Splits:
    """What is fitted on, chosen by, and measured with: tests, by the name that the card gives them."""

    train: Sequence[Row]
    validation: Sequence[Row]
    tests: Mapping[str, Sequence[Row]]


class Encodes(Protocol):
    """The part of an encoder that is needed here."""

    id: str

    def encode(self, texts: Sequence[str]) -> Vector:
        """float32 (n, 384), unit length."""


def digest(text: str) -> bytes:
    """A hash to cut and fold by: the same on every machine."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def plain(text: str) -> str:
    """Words alone, in lower case: what a text shares with its copies."""
    return " ".join(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower()))


def part_of(text: str, **shares: float) -> str:
    """Which part a text is in, by its hash: part_of(text, train=0.8, validation=0.1, test=0.1). Case and punctuation
    make no difference."""
    place = int.from_bytes(digest(plain(text))[:4], "big") / 2**32 * sum(shares.values())
    for name, share in shares.items():
        place -= share
        if place < 0:
            return name
    return next(reversed(shares))


def varied(rows: Sequence[Row], weight: float = 0.5) -> list[Row]:
    """The rows, and each once more as it is typed in a hurry: in lower case and without punctuation. weight: of the
    second beside the first."""
    found = list(rows)
    for row in rows:
        text = plain(row.text)
        if text and text != row.text:
            found.append(Row(text, row.label, row.weight * weight, row.group or row.text))
    return found


def parted(labels: Sequence[str], splits: Splits) -> Splits:
    """The rows, checked, and none on two sides: a text that is in a test is taken out of validation and training, one
    of validation out of training.

    Raises: DataError for an unknown label, an empty text, and a part that lacks a label.
    """
    for name, rows in {"training": splits.train, "validation": splits.validation, **splits.tests}.items():
        if not rows:
            raise DataError(f"{name} has no rows")
        for number, row in enumerate(rows, 1):
            if row.label not in labels:
                raise DataError(f"{name}, row {number}: label {row.label!r} is none of {', '.join(labels)}")
            if not row.text.strip():
                raise DataError(f"{name}, row {number}: the text is empty; leave the row out")
            if not 0 < row.weight < math.inf:
                raise DataError(f"{name}, row {number}: weight {row.weight}; it is a number above 0")
    tested = {plain(row.text) for rows in splits.tests.values() for row in rows}
    validation = [row for row in splits.validation if plain(row.text) not in tested]
    judged = tested | {plain(row.text) for row in validation}
    train = [row for row in splits.train if plain(row.text) not in judged]
    for name, rows in (("training", train), ("validation", validation)):
        if missing := sorted(set(labels) - {row.label for row in rows}):
            raise DataError(f"{name} has no row of {', '.join(missing)}; every label needs some")
    return Splits(train, validation, splits.tests)


def encoded(texts: Sequence[str], encoder: Encodes, cache: Path) -> dict[str, Vector]:
    """text → float32 (384,); what the same encoder met before is read from the folder `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    distinct = list(dict.fromkeys(texts))
    with closing(sqlite3.connect(cache / f"vectors-{encoder.id[:16]}.db", timeout=60)) as kept:
        kept.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        find = "SELECT vector FROM vectors WHERE text = ?"
        found = {text: kept.execute(find, [digest(text)]).fetchone() for text in distinct}
        missing = [text for text in distinct if found[text] is None]
        for start in range(0, len(missing), ENCODED_AT_ONCE):
            part = missing[start : start + ENCODED_AT_ONCE]
            vectors = [vector.astype(np.float32).tobytes() for vector in encoder.encode(part)]
            found.update((text, (vector,)) for text, vector in zip(part, vectors, strict=True))
            with kept:
                pairs = [(digest(text), vector) for text, vector in zip(part, vectors, strict=True)]
                kept.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", pairs)
    return {text: np.frombuffer(row[0], np.float32) for text, row in found.items()}
