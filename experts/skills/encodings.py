"""Vectors of texts by the trunk, remembered: who asks again about the same text does not wait for it again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..servable import Encode

Vectors = npt.NDArray[np.float32]

# At 384 half floats and their key: about 2 MB when full.
MOST_REMEMBERED = 2_048
# So many go to the trunk at once; between two lots a request that was cancelled ends.
_LOT = 64
# Of one vector: 384 half floats, its array, its key and their place in the dictionary.
_VECTOR_BYTES = 2 * 384 + 112 + 49 + 100


class Encodings:
    """Bounded; what was used longest ago is forgotten first. For one event loop."""

    def __init__(self, encode: Encode, most: int = MOST_REMEMBERED) -> None:
        self._encode = encode
        self._most = most
        self._known: OrderedDict[bytes, npt.NDArray[np.float16]] = OrderedDict()

    def resident_bytes(self) -> int:
        return len(self._known) * _VECTOR_BYTES

    async def of(self, texts: Sequence[str]) -> Vectors:
        """float32 (n, 384), unit length to three digits, in the order of `texts`."""
        keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
        found = {key: self._known[key] for key in keys if key in self._known}
        for key in found:
            self._known.move_to_end(key)
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in found}.items())
        for start in range(0, len(missing), _LOT):
            lot = missing[start : start + _LOT]
            encoded = await self._encode([text for _, text in lot])
            for (key, _), vector in zip(lot, encoded, strict=True):
                found[key] = self._known[key] = vector.astype(np.float16)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return np.array([found[key] for key in keys], np.float32)
