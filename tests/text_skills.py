"""What tests of the skills that read texts share: queries, and a stand-in for the trunk."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from expertd.experts.servable import Encode
from expertd.experts.skills.words import content_stems
from expertd.experts.values import Query


async def encode(texts: Sequence[str]) -> Any:
    """A stand-in for the trunk: texts that share words are near each other."""
    vectors = np.full((len(texts), 384), 1e-3, np.float32)
    for row, text in enumerate(texts):
        for each in content_stems(text):
            vectors[row, zlib.crc32(each.encode()) % 384] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def encode_into(seen: list[str]) -> Encode:
    """The stand-in, which adds to `seen` what it is given."""

    async def counting(texts: Sequence[str]) -> Any:
        seen.extend(texts)
        return await encode(texts)

    return counting


def query(text: str, **fields: Any) -> Query:
    return Query(text, datetime(2026, 3, 2, 9, tzinfo=UTC), ZoneInfo("UTC"), rehearsal=True, **fields)
