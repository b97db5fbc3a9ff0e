"""The trunk off the event loop, and route indexes made from bundles; introduces the router to the experts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from expertd.experts.bundle import Bundle
from expertd.experts.values import FloatArray
from expertd.router.background import Background
from expertd.router.encoder import Encoder
from expertd.router.index import Intent, RouteIndex

log = logging.getLogger(__name__)

# A sentence of this length is encoded in about a millisecond. Handing it to a thread and back costs a third as much
# again, so it stays on the event loop; what is longer must not hold the loop up.
SHORT_CHARACTERS = 120


class Trunk:
    """The encoder; long texts in a thread of its own, so that none delays a short request."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trunk")

    async def encode(self, sentences: Sequence[str]) -> FloatArray:
        """float32 (n, 384), unit length."""
        if sum(map(len, sentences)) <= SHORT_CHARACTERS:
            return self.encoder.encode(sentences)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.encoder.encode, sentences)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


class Indexer:
    """Bundles → route index, remembered on disk by what it was made of: a start needs no encoding.

    cache: a folder that may be deleted at any time.
    """

    def __init__(self, trunk: Trunk, cache: Path, *, reject_in_scope: float) -> None:
        self._trunk = trunk
        self._latest: tuple[str, RouteIndex] | None = None
        self._cache = cache
        self._reject_in_scope = reject_in_scope

    async def index(self, bundles: Sequence[Bundle]) -> RouteIndex:
        return await asyncio.to_thread(self._index, bundles)

    def _index(self, bundles: Sequence[Bundle]) -> RouteIndex:
        intents = [
            Intent(bundle.manifest.name, intent.name, intent.sentences)
            for bundle in bundles
            for intent in bundle.intents()
        ]
        key = RouteIndex.key(self._trunk.encoder.id, intents, self._reject_in_scope)
        if self._latest is None or self._latest[0] != key:
            self._latest = (key, self._load_or_fit(self._cache / f"index-{key}.npz", intents))
        return self._latest[1]

    def _load_or_fit(self, path: Path, intents: Sequence[Intent]) -> RouteIndex:
        try:
            return RouteIndex.load(path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("%s: %s; fitting again", path.name, error)
        background = Background.load()
        vectors = [self._vectors(intent.sentences) for intent in intents]
        stacked = np.concatenate(vectors) if vectors else np.zeros((0, self._trunk.encoder.dimensions), np.float32)
        index = RouteIndex.fit(intents, stacked, background, reject_in_scope=self._reject_in_scope)
        self._write(path, index.save)
        return index

    def _vectors(self, sentences: tuple[str, ...]) -> FloatArray:
        """The sentences' vectors, from the cache if they were encoded before."""
        digest = hashlib.sha256("\0".join([self._trunk.encoder.id, *sentences]).encode()).hexdigest()[:32]
        path = self._cache / f"vectors-{digest}.npy"
        try:
            vectors: FloatArray = np.load(path, allow_pickle=False)
            whole = vectors.shape == (len(sentences), self._trunk.encoder.dimensions)
            if whole and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
                return vectors
        except (OSError, ValueError):
            pass
        vectors = self._trunk.encoder.encode(sentences)
        self._write(path, lambda part: np.save(part, vectors))
        return vectors

    def _write(self, path: Path, save: Callable[[Path], None]) -> None:
        """Whole or not at all; a cache that cannot be written costs time at the next start, no more."""
        part = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            save(part)
            part.replace(path)
        except OSError as error:
            log.warning("%s: not cached: %s", path.name, error)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
