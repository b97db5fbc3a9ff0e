"""The trunk off the event loop, and route indexes made from bundles; introduces the router to the experts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from expertd.experts.bundle import Bundle
from expertd.experts.edits import Edits
from expertd.experts.values import FloatArray
from expertd.router.decision import Decision, Explanation, Intent
from expertd.router.encoder import FEATURES, Encoder
from expertd.router.index import RouteIndex
from expertd.router.language import ENGLISH, Recogniser
from expertd.router.spelling import Lexicon, Speller

from .fitter import FitError, Job, fit, fit_apart

Result = TypeVar("Result")

log = logging.getLogger(__name__)

# A sentence of this length is encoded in about a millisecond. Handing it to a thread and back costs a third as much
# again, so it stays on the event loop; what is longer must not hold the loop up.
SHORT_CHARACTERS = 120
# Of the indexes that were made of other sentences, so many are kept: who goes back finds his.
KEPT_INDEXES = 2
# What else nobody has written for so long is deleted.
KEPT_DAYS = 30


class Trunk:
    """The encoder, and the router's cascade on it; long texts in a thread, so that none delays a short request."""

    def __init__(self, encoder: Encoder, recogniser: Recogniser) -> None:
        self.encoder = encoder
        self._recogniser = recogniser
        self._speller = Speller(encoder.rank)
        self._lexicons: WeakKeyDictionary[RouteIndex, Lexicon] = WeakKeyDictionary()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trunk")
        # On Linux, being nice is a thread's own affair.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="trunk-aside", initializer=os.nice, initargs=(10,))

    async def encode(self, sentences: Sequence[str]) -> FloatArray:
        """float32 (n, 384), unit length."""
        return await self._run(sum(map(len, sentences)), self.encoder.encode, sentences)

    async def encode_aside(self, sentences: Sequence[str]) -> FloatArray:
        """As `encode`, for whoever can wait: never on the event loop, and one sentence after the other."""
        loop = asyncio.get_running_loop()
        return np.vstack(
            [await loop.run_in_executor(self._aside, self.encoder.encode, [sentence]) for sentence in sentences]
        )

    async def decide(self, index: RouteIndex, text: str) -> Decision:
        """Each tier where the one before is not sure: exact, static, the language, encoder. Where words are strange the
        language is asked first, and the text is read as it was meant, see `Speller`."""
        if (decision := index.recall(text)) is not None:
            return decision
        plain = text.isascii() and not self._speller.suspects(text)
        if plain and (decision := index.glance(self._sketch(text), text)) is not None:
            return decision
        if (language := self._recogniser.foreign(text, index.languages)) is not None:
            return index.foreign(text, language.code, language.name)
        read = text if plain else await self._meant(index, text)
        ids = self.encoder.tokens(read)
        sketch = self.encoder.sketch(ids)
        decision = None if plain else index.glance(sketch, text)
        if decision is None:
            decision = index.decide(await self._run(len(read), self.encoder.complete, ids, sketch), text)
        return decision if read == text else replace(decision, reason=f'read as "{read}": {decision.reason}')

    async def explain(self, index: RouteIndex, text: str) -> Explanation:
        """Every tier's view of the request, whether or not it would have been asked."""
        language = self._recogniser.recognise(text)
        plain = text.isascii() and not self._speller.suspects(text)
        glanced = plain and index.glance(self._sketch(text)) is not None
        foreign = not glanced and self._recogniser.foreign(text, index.languages) is not None
        read = text if plain or foreign else await self._meant(index, text)
        (features,) = await self._run(len(read), self.encoder.features, [read])
        explanation = index.explain(features, text, (language.code, language.name) if foreign else None)
        decision = explanation.decision
        if read != text and decision.tier != "exact":
            decision = replace(decision, reason=f'read as "{read}": {decision.reason}')
        return replace(
            explanation,
            decision=decision,
            language=language.code,
            language_probability=language.probability,
            english=language.english,
        )

    def close(self) -> None:
        for thread in (self._thread, self._aside):
            thread.shutdown(wait=False, cancel_futures=True)

    def _sketch(self, text: str) -> FloatArray:
        return self.encoder.sketch(self.encoder.tokens(text))

    async def _meant(self, index: RouteIndex, text: str) -> str:
        """What the text was meant to say. The experts' words are counted when a text first has one that is strange."""
        if index.languages != ENGLISH:
            return text
        lexicon = self._lexicons.get(index)
        if lexicon is None:
            lexicon = self._lexicons[index] = await asyncio.get_running_loop().run_in_executor(
                self._thread, Lexicon, index.own
            )
        return await self._run(len(text), self._speller.repair, text, lexicon)

    async def _run(self, characters: int, work: Callable[..., Result], *arguments: Any) -> Result:
        if characters <= SHORT_CHARACTERS:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


class Indexer:
    """Bundles, under the operator's edits → route index; remembered on disk by what it was made of, so that a start
    needs no encoding and no fitting.

    cache: a folder that may be deleted at any time.
    """

    def __init__(self, encoder: Encoder, edits: Edits, cache: Path, *, reject_in_scope: float) -> None:
        self._encoder = encoder
        self._edits = edits
        self._latest: tuple[str, RouteIndex] | None = None
        self._cache = cache
        self._reject_in_scope = reject_in_scope

    async def index(self, bundles: Sequence[Bundle]) -> RouteIndex:
        """Fitted whole, with the edits as they are now; those that come while it is fitted are the caller's to add."""
        sources, key = await asyncio.to_thread(self._survey, bundles)
        if self._latest is None or self._latest[0] != key:
            path = self._cache / f"index-{key}.npz"
            index = await asyncio.to_thread(self._load, path)
            if index is None:
                index = await self._fit(sources)
                await asyncio.to_thread(self._keep, path, index, sources)
            self._latest = (key, index)
        return self._latest[1]

    async def adapt(self, expert: str, bundle: Bundle | None) -> Callable[[RouteIndex], RouteIndex]:
        """The change of an index after which it knows the expert by this bundle's intents under the edits, in closed
        form; None: after which it does not know the expert."""
        if bundle is None:
            return lambda index: index.without(expert)
        found = await asyncio.to_thread(
            lambda: [(source.intent, self._features(source).astype(np.float32)) for source in self._sources(bundle)]
        )

        def change(index: RouteIndex) -> RouteIndex:
            index = index.without(expert)
            for intent, features in found:
                index = index.with_intent(intent, features)
            return index

        return change

    async def intent(self, bundle: Bundle, name: str) -> tuple[Intent, FloatArray] | None:
        """The intent under the edits, and its sentences' features, float32 (n, 1536); None where it has no such one."""
        return await asyncio.to_thread(self._intent, bundle, name)

    def _survey(self, bundles: Sequence[Bundle]) -> tuple[list[_Source], str]:
        """All that an index of these bundles is made of, and what it is called in the cache."""
        sources = [source for bundle in bundles for source in self._sources(bundle)]
        return sources, RouteIndex.key(self._encoder.id, [source.intent for source in sources], self._reject_in_scope)

    def _sources(self, bundle: Bundle) -> Iterator[_Source]:
        own = dict(bundle.intents())
        for name, sentences in self._edits.apply(bundle):
            first = len(own.get(name, ()))
            added = sentences[:first] == own.get(name) and len(sentences) > first
            parts = (sentences[:first], sentences[first:]) if added else (sentences,)
            yield _Source(Intent(bundle.manifest.name, name, sentences), parts)

    def _intent(self, bundle: Bundle, name: str) -> tuple[Intent, FloatArray] | None:
        for source in self._sources(bundle):
            if source.intent.name == name:
                return source.intent, self._features(source).astype(np.float32)
        return None

    def _load(self, path: Path) -> RouteIndex | None:
        try:
            return RouteIndex.load(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s: %s; fitting again", path.name, error)
            return None

    async def _fit(self, sources: Sequence[_Source]) -> RouteIndex:
        intents = tuple(source.intent for source in sources)
        job = Job(intents, self._reject_in_scope, polite=self._latest is not None)
        features = await asyncio.to_thread(self._stacked, sources)
        try:
            return await fit_apart(job, features)
        except (FitError, OSError) as error:
            log.warning("%s; fitting in the daemon itself", error)
        return await asyncio.to_thread(fit, job, features)

    def _keep(self, path: Path, index: RouteIndex, sources: Sequence[_Source]) -> None:
        self._write(path, index.save)
        self._tidy({path, *(self._path(part) for source in sources for part in source.parts)})

    def _stacked(self, sources: Sequence[_Source]) -> npt.NDArray[np.float16]:
        """float16 (n, 1536), every sentence's."""
        stacked = np.empty((sum(len(source.intent.sentences) for source in sources), FEATURES), np.float16)
        row = 0
        # Before the first index nobody is served, and every core may encode; later, requests go first.
        cores = 1 if self._latest is not None else os.cpu_count() or 1
        with ThreadPoolExecutor(cores, thread_name_prefix="encode") as pool:
            for features in pool.map(self._features, sources):
                stacked[row : row + len(features)] = features
                row += len(features)
        return stacked

    def _features(self, source: _Source) -> npt.NDArray[np.float16]:
        """float16 (n, 1536); of each part from the cache if it was encoded before."""
        return np.concatenate([self._encoded(part) for part in source.parts])

    def _path(self, sentences: tuple[str, ...]) -> Path:
        digest = hashlib.sha256("\0".join([self._encoder.id, *sentences]).encode()).hexdigest()[:32]
        return self._cache / f"vectors-{digest}.npy"

    def _encoded(self, sentences: tuple[str, ...]) -> npt.NDArray[np.float16]:
        path = self._path(sentences)
        try:
            stored: npt.NDArray[np.float16] = np.load(path, allow_pickle=False)
            if stored.shape == (len(sentences), FEATURES) and stored.dtype == np.float16 and np.isfinite(stored).all():
                return stored
        except (OSError, ValueError):
            pass
        features = self._encoder.features(sentences).astype(np.float16)
        self._write(path, lambda part: np.save(part, features))
        return features

    def _write(self, path: Path, save: Callable[[Path], None]) -> None:
        """Whole or not at all; a cache that cannot be written costs time at the next start, no more."""
        part = path.with_name(f".{os.getpid()}-{threading.get_ident()}-{path.name}")
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            save(part)
            part.replace(path)
        except OSError as error:
            log.warning("%s: not cached: %s", path.name, error)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _tidy(self, used: Set[Path]) -> None:
        """Deletes what no index of late was made of: each edit leaves an index behind that nobody asks for again."""
        with contextlib.suppress(OSError):
            found = {path: path.stat().st_mtime for path in self._cache.iterdir() if path not in used}
            indexes = sorted((path for path in found if path.suffix == ".npz"), key=lambda path: -found[path])
            old = time.time() - KEPT_DAYS * 86_400
            for path in {*indexes[KEPT_INDEXES:], *(path for path in found if found[path] < old)}:
                path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Source:
    """parts: the intent's sentences, cut where those of the bundle end and the added ones begin: an edit costs the
    encoding of what is new alone."""

    intent: Intent
    parts: tuple[tuple[str, ...], ...]
