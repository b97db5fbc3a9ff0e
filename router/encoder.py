"""The trunk at work: text → unit vector, with onnxruntime and tokenizers alone.

Sentences are encoded one at a time, never in padded batches. The network quantises its activations per call, so a
sentence in a batch would get a vector that depends on its neighbours; alone, the same text gives the same vector
every time, and on one core a batch is no faster. Many sentences run on several threads instead.

Knows nothing about intents or decisions, nor how the trunk was made (`expertd.distill.trunk` makes it).
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime

Vectors = npt.NDArray[np.float32]

# A trunk on disk: `<state>/trunk/<trunk id>/` with these files.
MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
TOKENIZER_FILE = "tokenizer.json"
STATIC_FILE = "static.npy"
STATIC_SCALE_FILE = "static.scale.npy"
TRUNK_FILES = (MODEL_FILE, WEIGHTS_FILE, TOKENIZER_FILE, STATIC_FILE, STATIC_SCALE_FILE)
MANIFEST_FILE = "trunk.toml"
# Rises when the files or what the graph gives change, while vectors stay what they are.
LAYOUT = 2

DIMENSIONS = 384
# What the static tier reads of a text, and what the encoder tier does: blocks of 384, see `Encoder.features`.
SKETCH = 2 * DIMENSIONS
FEATURES = 4 * DIMENSIONS
# What the encoder was trained with; longer texts are cut.
MAX_TOKENS = 256
# More is never read: 256 tokens of any ordinary text end long before, and splitting a whole book into words is slow.
MAX_CHARACTERS = 16_384
# Words whose tokens are remembered; about 1 MB when full.
REMEMBERED_WORDS = 4096
REMEMBERED_CHARACTERS = 32


class TrunkError(Exception):
    """The trunk on disk breaks a rule; the text names the file, the rule and the way out."""


class TrunkMissingError(TrunkError):
    """There is no trunk in the folder; the text names the command that makes one."""


@dataclass(frozen=True, slots=True)
class TrunkSpec:
    """Which encoder the trunk is made from, by name, revision and hashes."""

    name: str
    repository: str
    revision: str
    licence: str
    recipe: int
    sha256: dict[str, str]  # file name → lower-case hex

    @property
    def id(self) -> str:
        """sha256, hex, of what determines the vectors: weights, tokenizer, export recipe. The same on every machine."""
        parts = (self.sha256["model.safetensors"], self.sha256["tokenizer.json"], f"recipe {self.recipe}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def pinned() -> TrunkSpec:
    """The trunk that this release is fitted on."""
    with (Path(__file__).parent / "data" / MANIFEST_FILE).open("rb") as file:
        return TrunkSpec(**tomllib.load(file))


class Encoder:
    """text → vector. Safe to use from any number of threads at once."""

    def __init__(
        self,
        trunk_id: str,
        tokens: Tokens,
        session: onnxruntime.InferenceSession,
        table: npt.NDArray[np.int8],
        scale: Vectors,
        *,
        threads: int,
    ) -> None:
        self.id = trunk_id
        self.dimensions = DIMENSIONS
        self._tokens = tokens
        self._session = session
        self._table = table
        self._scale = scale
        self._threads = threads

    @classmethod
    def open(cls, folder: Path, threads: int = 1) -> Encoder:
        """Opens the pinned trunk under `folder`, or the one that lies in `folder` itself, after checking its hashes.

        threads: how many sentences may be encoded at once when many are given; each takes one core.

        Raises:
            TrunkMissingError: there is none.
            TrunkError: a file is missing or altered.
        """
        home = folder if (folder / MANIFEST_FILE).is_file() else folder / pinned().id
        trunk_id = _verify(home)
        # Mapped: of 23 MB, only the tokens that people use ever reach memory.
        table = np.load(home / STATIC_FILE, mmap_mode="r", allow_pickle=False)
        scale = np.load(home / STATIC_SCALE_FILE, allow_pickle=False)
        return cls(trunk_id, Tokens(home), open_session(home), table, scale, threads=threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 (n, 384), unit length, in the order of `texts`; each text is cut at 256 tokens."""
        return self._each(texts, DIMENSIONS, lambda text: self._run("vector", self.tokens(text)))

    def features(self, texts: Sequence[str]) -> Vectors:
        """What the router decides by: float32 (n, 1536), four blocks of 384, none normalised.

        The text's `sketch` (two blocks), and the means over its tokens of layer 4 and of the last layer. `vectors`
        makes of the last block what `encode` gives.
        """
        return self._each(texts, FEATURES, lambda text: self.complete(ids := self.tokens(text), self.sketch(ids)))

    def tokens(self, text: str) -> list[int]:
        """The token ids that the encoder sees: the marks of begin and end included, cut at 256."""
        return self._tokens.ids(text)

    def rank(self, word: str) -> int | None:
        """The place of a lower-case word in the vocabulary, where words stand in about the order of how often they are
        used; None where it is not there whole."""
        return self._tokens.rank(word)

    def sketch(self, ids: Sequence[int]) -> Vectors:
        """What a text says token by token, without the encoder: float32 (768,), the mean of the static table's rows."""
        own = ids[1:-1]
        if not own:
            return np.zeros(SKETCH, np.float32)
        total = self._table[own].sum(axis=0, dtype=np.int32)
        return np.asarray(total * (self._scale / len(own)), np.float32)

    def complete(self, ids: Sequence[int], sketch: Vectors) -> Vectors:
        """The features of a text, float32 (1536,), of which the sketch is known already."""
        return np.concatenate([sketch, self._run("states", ids) / np.float32(len(ids))])

    def _run(self, output: str, ids: Sequence[int]) -> Vectors:
        found: Vectors = self._session.run([output], {"ids": np.array([ids], np.int64)})[0][0]
        return found

    def _each(self, texts: Sequence[str], width: int, describe: Callable[[str], Vectors]) -> Vectors:
        described = np.empty((len(texts), width), np.float32)
        if self._threads == 1 or len(texts) < 2 * self._threads:
            for row, text in enumerate(texts):
                described[row] = describe(text)
            return described
        # Long ones first, so that no thread is left with them at the end.
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        with ThreadPoolExecutor(self._threads, thread_name_prefix="encode") as pool:
            for row, found in zip(order, pool.map(describe, (texts[row] for row in order)), strict=True):
                described[row] = found
        return described


def vectors(features: Vectors) -> Vectors:
    """float32 (n, 1536), from `Encoder.features` → (n, 384), unit length, as from `Encoder.encode`."""
    last = features[:, -DIMENSIONS:]
    return np.asarray(last / np.maximum(np.linalg.norm(last, axis=1, keepdims=True), 1e-12))


def open_session(home: Path) -> onnxruntime.InferenceSession:
    """The network of the trunk in `home`. Raises: TrunkError: onnxruntime refuses it."""
    # From 1.32 on, importing it writes a device identity into the user's cache and starts a thread, unless told so.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Short sentences at irregular times: an arena would keep the largest one's memory for good.
    options.enable_cpu_mem_arena = False
    # The graph is written with fused operators already.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(home / MODEL_FILE), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base
        raise TrunkError(f"{home / MODEL_FILE}: onnxruntime refuses it: {error}; {_remedy(home)}") from error


class Tokens:
    """text → token ids, exactly the tokenizer's. Safe to use from any number of threads at once.

    BERT's uncased tokenizer cuts at spaces and around marks before it looks words up, so in plain ASCII text each word
    has the tokens that it has alone. They are remembered: a sentence of known words takes a few microseconds instead of
    thirty. Any other text, and any other kind of tokenizer, goes through the tokenizer whole.
    """

    _words = re.compile(r"[0-9a-z]+|[^ ]")

    def __init__(self, home: Path) -> None:
        from tokenizers import Tokenizer
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        tokenizer = Tokenizer.from_file(str(home / TOKENIZER_FILE))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer = tokenizer
        self.rank: Callable[[str], int | None] = tokenizer.token_to_id
        self._known: dict[str, tuple[int, ...]] = {}
        normalizer = tokenizer.normalizer
        marks = tokenizer.encode("").ids
        self._by_word = (
            isinstance(normalizer, BertNormalizer)
            and normalizer.lowercase
            and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
            and len(marks) == 2
            # Added tokens are found before words are cut; what has no bracket has none of them.
            and all(added.content.startswith("[") for added in tokenizer.get_added_tokens_decoder().values())
        )
        self._begin, self._end = marks if self._by_word else (0, 0)

    def ids(self, text: str) -> list[int]:
        text = text[:MAX_CHARACTERS]
        if not (self._by_word and text.isascii() and text.isprintable() and "[" not in text):
            return self._whole(text)
        ids = [self._begin]
        for word in self._words.findall(text.lower()):
            ids += self._known.get(word) or self._of(word)
        del ids[MAX_TOKENS - 1 :]
        ids.append(self._end)
        return ids

    def _of(self, word: str) -> tuple[int, ...]:
        ids = tuple(self._tokenizer.encode(word, add_special_tokens=False).ids)
        if len(self._known) < REMEMBERED_WORDS and len(word) <= REMEMBERED_CHARACTERS:
            self._known[word] = ids
        return ids

    def _whole(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids


def is_prepared(folder: Path) -> bool:
    """Whether the pinned trunk lies under `folder`, as this release reads it. Cheap: no hash is checked."""
    try:
        stated = tomllib.loads((folder / pinned().id / MANIFEST_FILE).read_text())
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # `Encoder.open` says what is wrong with it
    return bool(stated.get("layout", 1) == LAYOUT)


def _verify(home: Path) -> str:
    """The id of the trunk in `home`, after its files' hashes are found right."""
    manifest = home / MANIFEST_FILE
    if not manifest.is_file():
        raise TrunkMissingError(f"{home}: no trunk here; {_remedy(home)}")
    try:
        with manifest.open("rb") as file:
            stated = tomllib.load(file)
        trunk_id, hashes, layout = str(stated["id"]), dict(stated["files"]), stated.get("layout", 1)
        if layout != LAYOUT:
            raise TrunkError(f"{manifest}: layout {layout}, from another release; {LAYOUT} is needed; {_remedy(home)}")
        wanted = [(name, str(hashes[name])) for name in TRUNK_FILES]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise TrunkError(f"{manifest}: not a trunk's manifest ({error!r}); {_remedy(home)}") from error
    for name, expected in wanted:
        path = home / name
        try:
            with path.open("rb") as file:
                seen = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise TrunkError(f"{path}: cannot be read ({error}); {_remedy(home)}") from error
        if seen != expected:
            raise TrunkError(f"{path}: sha256 is {seen}, {MANIFEST_FILE} says {expected}; {_remedy(home)}")
    return trunk_id


def _remedy(home: Path) -> str:
    return f"make it anew with `python -m expertd.distill.trunk --out {home.parent}`"
