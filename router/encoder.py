"""The trunk at work: text → unit vector, with onnxruntime and tokenizers alone.

Sentences are encoded one at a time, never in padded batches. The network quantises its activations per call, so a
sentence in a batch would get a vector that depends on its neighbours; alone, the same text gives the same vector
every time, and on one core a batch is no faster. Many sentences run on several threads instead.

Knows nothing about intents or decisions, nor how the trunk was made (`expertd.distill.trunk` makes it).
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

Vectors = npt.NDArray[np.float32]

# A trunk on disk: `<state>/trunk/<trunk id>/` with these files.
MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "trunk.toml"

DIMENSIONS = 384
# What the encoder was trained with; longer texts are cut.
MAX_TOKENS = 256
# More is never read: 256 tokens of any ordinary text end long before, and splitting a whole book into words is slow.
MAX_CHARACTERS = 16_384


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
        self, trunk_id: str, tokenizer: Tokenizer, session: onnxruntime.InferenceSession, threads: int
    ) -> None:
        self.id = trunk_id
        self.dimensions = DIMENSIONS
        self._tokenizer = tokenizer
        self._session = session
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

        # From 1.32 on, importing it writes a device identity into the user's cache and starts a thread, unless told so.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(home / TOKENIZER_FILE))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Short sentences at irregular times: an arena would keep the largest one's memory for good.
        options.enable_cpu_mem_arena = False
        # The graph is written with fused operators already.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(home / MODEL_FILE), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base
            raise TrunkError(f"{home / MODEL_FILE}: onnxruntime refuses it: {error}; {_remedy(home)}") from error
        return cls(trunk_id, tokenizer, session, threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 (n, 384), unit length, in the order of `texts`; each text is cut at 256 tokens."""
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        if self._threads == 1 or len(texts) < 2 * self._threads:
            for row, text in enumerate(texts):
                vectors[row] = self._vector(text)
            return vectors
        # Long ones first, so that no thread is left with them at the end.
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        with ThreadPoolExecutor(self._threads, thread_name_prefix="encode") as pool:
            for row, vector in zip(order, pool.map(self._vector, (texts[row] for row in order)), strict=True):
                vectors[row] = vector
        return vectors

    def _vector(self, text: str) -> Vectors:
        ids = np.array([self._tokenizer.encode(text[:MAX_CHARACTERS]).ids], np.int64)
        vector: Vectors = self._session.run(None, {"ids": ids})[0][0]
        return vector


def _verify(home: Path) -> str:
    """The id of the trunk in `home`, after its files' hashes are found right."""
    manifest = home / MANIFEST_FILE
    if not manifest.is_file():
        raise TrunkMissingError(f"{home}: no trunk here; {_remedy(home)}")
    try:
        with manifest.open("rb") as file:
            stated = tomllib.load(file)
        trunk_id, hashes = str(stated["id"]), dict(stated["files"])
        wanted = [(name, str(hashes[name])) for name in (MODEL_FILE, WEIGHTS_FILE, TOKENIZER_FILE)]
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
