"""Finding kept texts: by the words that they share with a query, and by what both mean.

    score = cosine of the trunk's vectors + half the share of the query's words that the text holds

A rare word weighs more than one that is in every text (inverse document frequency, Spärck Jones 1972); words count by
their stem. A vector is kept beside its text as float16, after a hash of the text that it was computed from; where one
is missing, or of an older wording, it is computed when it is first needed. Vectors of two trunks cannot be compared:
the vector of one fixed sentence is kept too, and where the present trunk puts that elsewhere, all are computed anew.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UnavailableError
from ..servable import Encode
from ..values import FloatArray
from .ledger import Ledger

WORD_WEIGHT = 0.5
_HASH_BYTES = 8
_PROBE = "a fixed sentence that tells one encoder from another"
_SAME_TRUNK = 0.99
_ENCODED_AT_ONCE = 64

_STOPWORDS = frozenset(
    """
    a an the my our your his her its their this that these those some any all every each no i me we us you he she it
    they them mine ours is are was were be been being am do does did done have has had having will would can could
    shall should may might must of in on at to for from by with about into onto off over under and or but nor so if
    then than as what which who whom whose where when why how there here not don't didn't i've i'm it's that's just
    also too please again one ones thing things something anything stuff get got
    """.split()  # noqa: SIM905 - a list of a hundred strings is no easier to read
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A row whose text can be found. vector: the hash of a text and the float16 vector of it, None: not computed."""

    id: int
    text: str
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """place: of the text among those ranked. words: the share of the query's words that it holds, 0 to 1."""

    place: int
    score: float
    words: float
    cosine: float


# --- Words ------------------------------------------------------------------------------------------------------------


def content_words(text: str) -> tuple[str, ...]:
    """The stems of the words that carry meaning, each once, in order."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text.lower())
    return tuple(dict.fromkeys(stem(word) for word in words if word.replace("’", "'") not in _STOPWORDS))


@functools.lru_cache(4096)
def stem(word: str) -> str:
    """Without the endings of plural, past and present participle: "batteries" → "battery", "serviced" → "servic".

    The first steps of Porter's stemmer (1980), simplified.
    """
    word = re.sub(r"['’]s?$", "", word)
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(?:ss|sh|ch|x|z|o)es$", word):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    shorter = re.sub(r"(?:ed|ing)$", "", word)
    if len(shorter) >= 3 and re.search(r"[aeiouy]", shorter) and shorter != word:
        word = shorter[:-1] if re.search(r"([bdfgmnprt])\1$", shorter) else shorter
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def shares(query: str, texts: Sequence[str]) -> FloatArray:
    """float64 (n,): of each text, the share of the query's content words that it holds, the rare ones weighing more."""
    wanted = content_words(query)
    held = [set(content_words(text)) for text in texts]
    if not wanted or not held:
        return np.zeros(len(texts))
    weights = [math.log(1 + len(held) / (1 + sum(word in each for each in held))) for word in wanted]
    found = [sum(weight for word, weight in zip(wanted, weights, strict=True) if word in each) for each in held]
    return np.array(found) / sum(weights)


def rank(query: str, texts: Sequence[str], cosines: FloatArray | None = None) -> list[Hit]:
    """All texts, the best first; of equals, the earlier one. cosines: (n,), None: by words alone."""
    words = shares(query, texts)
    cosine = np.zeros(len(texts)) if cosines is None else cosines
    score = cosine + WORD_WEIGHT * words
    order = np.argsort(-score, kind="stable")
    return [Hit(int(at), float(score[at]), float(words[at]), float(cosine[at])) for at in order]


# --- Vectors ----------------------------------------------------------------------------------------------------------


class Meanings:
    """The vectors of the rows of one table, with the columns id, text and vector."""

    def __init__(self, ledger: Ledger, table: str, encode: Encode) -> None:
        self._ledger = ledger
        self._table = table
        self._encode = encode
        self._same_trunk = False

    @staticmethod
    def steps(table: str) -> tuple[str, ...]:
        """The SQL that makes the table of the fixed sentence's vector."""
        return (f"CREATE TABLE IF NOT EXISTS {table}_trunk (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",)

    async def of(self, text: str) -> bytes | None:
        """What is to be kept beside a text; None where the trunk cannot serve now."""
        try:
            return _packed(text, (await self._encode([text]))[0])
        except UnavailableError:
            return None

    async def cosines(self, query: str, rows: Sequence[Kept], *, rehearsal: bool = False) -> FloatArray | None:
        """float32 (n,): of the query with each row; None where the trunk cannot serve now.

        Computes the vectors that are missing and, but for a rehearsal, keeps them.
        """
        if not rows:
            return np.zeros(0, dtype=np.float32)
        try:
            wanted = (await self._encode([query]))[0]
            rows = await self._of_this_trunk(rows, rehearsal=rehearsal)
            missing = [row for row in rows if row.vector is None or row.vector[:_HASH_BYTES] != _hash(row.text)]
            fresh: dict[int, bytes] = {}
            for start in range(0, len(missing), _ENCODED_AT_ONCE):
                some = missing[start : start + _ENCODED_AT_ONCE]
                vectors = await self._encode([row.text for row in some])
                fresh |= {row.id: _packed(row.text, vector) for row, vector in zip(some, vectors, strict=True)}
        except UnavailableError:
            return None
        if fresh and not rehearsal:
            await asyncio.to_thread(self._keep, fresh)
        packed = [fresh.get(row.id) or row.vector or b"" for row in rows]
        return await asyncio.to_thread(_products, packed, wanted)

    async def _of_this_trunk(self, rows: Sequence[Kept], *, rehearsal: bool) -> Sequence[Kept]:
        """The rows, without their vectors where another trunk made them."""
        if self._same_trunk:
            return rows
        probe = (await self._encode([_PROBE]))[0]
        if await asyncio.to_thread(self._compare, probe, rehearsal):
            self._same_trunk = not rehearsal
            return rows
        return [Kept(row.id, row.text) for row in rows]

    def _compare(self, probe: FloatArray, rehearsal: bool) -> bool:
        with self._ledger.reading() as connection:
            row = connection.execute(f"SELECT vector FROM {self._table}_trunk WHERE id = 1").fetchone()  # noqa: S608
        if row is not None and float(_products([row["vector"]], probe)[0]) >= _SAME_TRUNK:
            return True
        if not rehearsal:
            with self._ledger.aside() as connection:
                if row is not None:
                    connection.execute(f"UPDATE {self._table} SET vector = NULL")  # noqa: S608
                connection.execute(
                    f"INSERT OR REPLACE INTO {self._table}_trunk VALUES (1, ?)",  # noqa: S608
                    (_packed(_PROBE, probe),),
                )
        return row is None

    def _keep(self, fresh: dict[int, bytes]) -> None:
        with self._ledger.aside() as connection:
            connection.executemany(
                f"UPDATE {self._table} SET vector = ? WHERE id = ?",  # noqa: S608
                [(vector, row_id) for row_id, vector in fresh.items()],
            )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_HASH_BYTES]


def _packed(text: str, vector: FloatArray) -> bytes:
    return _hash(text) + vector.astype(np.float16).tobytes()


def _products(packed: Sequence[bytes], wanted: FloatArray) -> FloatArray:
    joined = b"".join(each[_HASH_BYTES:] for each in packed)
    vectors = np.frombuffer(joined, dtype=np.float16).reshape(len(packed), -1).astype(np.float32)
    return vectors @ wanted.astype(np.float32)
