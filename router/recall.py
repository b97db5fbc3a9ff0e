"""The exact tier: sentences seen before and what was decided, the least recently used forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")

CAPACITY = 4096
# A long text is not asked twice, and would only fill memory.
LONGEST_CHARACTERS = 256


def normalise(text: str) -> str:
    """What two spellings of one sentence have in common: case, spacing and closing marks do not count."""
    return " ".join(text.casefold().split()).rstrip(".?! ")


class Recall(Generic[Value]):
    """sentence → value, bounded. Safe to use from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[str, Value] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> Value | None:
        if len(text) > LONGEST_CHARACTERS:
            return None
        key = normalise(text)
        with self._lock:
            value = self._kept.get(key)
            if value is not None:
                self._kept.move_to_end(key)
            return value

    def put(self, text: str, value: Value) -> None:
        key = normalise(text)
        if not key or len(text) > LONGEST_CHARACTERS:
            return
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
