"""Kind `linear`: a head over the trunk's vector, beside hashed character n-grams of the text itself.

The vector knows what a text means, the n-grams how it is written; together they beat either. The vector is there
already when the expert is asked, so an answer costs tens of microseconds. Feature hashing: Weinberger et al., 2009;
calibration by temperature: Guo et al., 2017. Knows nothing of training (`expertd.distill` fits the weights with the
functions here, so that both read a text in the same way).

    head.safetensors   vector float16 (s, 384, k), ngrams int8 (s, bins, k) with ngrams_scale float32 (s, k),
                       bias float32 (s, k). k: 1 for two labels (the log-odds of the second), else a column per label;
                       s: 1, or 2 where short and long texts are weighed differently: short ones by the first set.
                       Where labels are many, n-grams have d < k factors that they share: ngrams (s, bins, d) with
                       ngrams_scale (s, d), and layer float32 (s, d, k). signals float16 (s, n, k): of the set of
                       signals that [parameters] name, as `signals` reads them
    [parameters]       as `Parameters` below
"""

from __future__ import annotations

import asyncio
import math
import mmap
import re
import unicodedata
from html.parser import HTMLParser
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..bundle import Bundle
from ..errors import BundleError
from ..servable import Emit, Host
from ..values import Abstention, Answer, Label, Outcome, Query
from ..weights import read_safetensors
from .english import is_english
from .labelling import Labelling, check_labels, subject
from .signals import SETS, Reading, because

WEIGHTS = "head.safetensors"

# More of a text is not read; markup takes room, so more of it is looked through than is judged.
MAX_MARKUP_CHARACTERS = 32_768
# What objects, names and the mapping take beside the numbers.
_OBJECT_BYTES = 8_192
# Texts longer than this are prepared in a thread: it may take more than a millisecond.
LONG_CHARACTERS = 2_000

Floats = npt.NDArray[np.float32]


class Grams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Character n-grams: lengths `shortest` to `longest` of the first `characters`, hashed into 2**`bits` bins.

    lower: upper case counts as lower case; else shouting says something. letters: letters and their marks are read
    alone, all else parts words; a text without any is left unjudged.
    """

    shortest: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    longest: Annotated[int, msgspec.Meta(ge=1, le=8)] = 5
    bits: Annotated[int, msgspec.Meta(ge=8, le=22)] = 18
    characters: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 4_096
    lower: bool = False
    letters: bool = False

    def __post_init__(self) -> None:
        if self.shortest > self.longest:
            raise ValueError('"shortest" is greater than "longest"')


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[parameters] of the manifest.

    phrases: what is said for each label, {percent} standing for the probability; needs_input: what is asked back when
    there is nothing to judge; markup: read HTML as its reader sees it; short_characters: texts up to this length are
    weighed by the first of two sets of weights, 0: there is one set; english: abstain where a text is no English;
    signals: the set of named features that are weighed too, "": none.
    """

    labels: Annotated[list[str], msgspec.Meta(min_length=2, max_length=1_000)]
    needs_input: str
    phrases: dict[str, str] = {}
    temperature: float = 1.0
    markup: bool = False
    short_characters: Annotated[int, msgspec.Meta(ge=0)] = 0
    english: bool = False
    signals: str = ""
    ngrams: Grams | None = None

    def __post_init__(self) -> None:
        check_labels(self.labels, self.phrases, self.temperature)
        if self.signals and self.signals not in SETS:
            raise ValueError(f'"signals" is {self.signals!r}; it is one of {", ".join(SETS)}')


# --- How a text is read ----------------------------------------------------------------------------------------------

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
# Everything that is no letter and no mark on one; the apostrophe stays: "l'", "don't".
_NO_LETTERS = re.compile(
    "[\\s\\x00-&(-@\\[-`{-\\xa9\\xab-\\xb4\\xb6-\\xb9\\xbb-\\xbf\\xd7\\xf7\\u2000-\\u200b\\u200e-\\u2bff\\u3000-\\u3004"
    "\\u3007-\\u303f\\ud800-\\udfff\\ue000-\\uf8ff\\ufe00-\\ufe0f\\ufeff\\ufffd\\U0001f000-\\U0001ffff]+"
)
_HTML = re.compile(r"<\s*(?:!doctype|html|head|body|table|div|p|br|font|a|img|center)\b", re.IGNORECASE)


def words(text: str, parameters: Parameters) -> str:
    """What is judged of a text: as its reader sees it, words parted by one blank, and no more than is read."""
    return _words(SETS[parameters.signals].find(text)[1] if parameters.signals else text, parameters)


def _words(text: str, parameters: Parameters) -> str:
    seen = visible_text(text) if parameters.markup else text[:MAX_MARKUP_CHARACTERS]
    grams = parameters.ngrams
    plain = " ".join(seen.split())[: grams.characters if grams else MAX_MARKUP_CHARACTERS]
    if grams and grams.lower:
        plain = plain.lower()
    if grams and grams.letters:
        plain = _NO_LETTERS.sub(" ", unicodedata.normalize("NFC", plain).replace("\u2019", "'")).strip(" '")
    return plain


def ngram_bins(text: str, grams: Grams) -> tuple[npt.NDArray[np.int64], Floats]:
    """(bins, values) of the n-grams in `text`: each bin once, rising; values ln(1 + count), as a vector of length 1.

    text: as `words` gives it. A blank stands at either end, so that n-grams see where words begin and end. The
    arithmetic is on whole numbers: the same bins on every machine.
    """
    codes = np.frombuffer(f" {text} ".encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    rolling = np.zeros(len(codes), np.uint64)
    hashes = []
    for length in range(1, min(grams.longest, len(codes)) + 1):
        rolling = rolling[: len(codes) - length + 1] * _MULTIPLIER + codes[length - 1 :] + np.uint64(length)
        if length >= grams.shortest:
            mixed = rolling ^ (rolling >> np.uint64(29))
            hashes.append((mixed * _MIX) >> np.uint64(64 - grams.bits))
    if not hashes:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    bins, counts = np.unique(np.concatenate(hashes), return_counts=True)
    values = np.log1p(counts)
    return bins.astype(np.int64), (values / math.sqrt(float(values @ values))).astype(np.float32)


def visible_text(text: str) -> str:
    """What a reader of an HTML page or mail sees, and where its links lead; other text as it is."""
    text = text[:MAX_MARKUP_CHARACTERS]
    if not _HTML.search(text):
        return text
    page = _Page()
    page.feed(text)
    return "".join(page.parts)


class _Page(HTMLParser):
    """Collects text and link targets; what is cut off in the middle of a tag is dropped."""

    _INLINE = frozenset({"a", "b", "i", "u", "em", "strong", "font", "span", "small", "big", "sup", "sub"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        if tag not in self._INLINE:
            self.parts.append(" ")
        if tag == "a":
            self.parts.extend(f" {value[:80]} " for name, value in attrs if name == "href" and value)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


# --- The servable ----------------------------------------------------------------------------------------------------


class LinearServable:
    """Answers with a `Label`; abstains below the manifest's threshold, and where there is nothing to judge."""

    def __init__(
        self, name: str, parameters: Parameters, weights: dict[str, npt.NDArray[Any]], threshold: float
    ) -> None:
        self._name = name
        self._parameters = parameters
        self._labelling = Labelling(name, parameters.labels, parameters.phrases, parameters.temperature, threshold)
        self._bias: Floats = np.asarray(weights["bias"], np.float32)
        self._vector: Floats | None = np.asarray(weights["vector"], np.float32) if "vector" in weights else None
        # Stays mapped to the file: of each text a few hundred of its rows are read.
        self._ngrams: npt.NDArray[np.int8] | None = weights.get("ngrams")
        self._scale: Floats = np.asarray(weights.get("ngrams_scale", 1.0), np.float32)
        self._layer: Floats | None = np.asarray(weights["layer"], np.float32) if "layer" in weights else None
        self._signals: Floats | None = np.asarray(weights["signals"], np.float32) if "signals" in weights else None

    @property
    def needs_vector(self) -> bool:
        return self._vector is not None

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        text = subject(query)
        if not text.strip():
            return Abstention(self._parameters.needs_input, "needs_input")
        if self._parameters.english and not is_english(text):
            return Abstention(f"{self._name} judges English only, and this does not look like English", "unsure")
        grams = self._parameters.ngrams
        if grams and grams.letters and not any(map(str.isalpha, text[:MAX_MARKUP_CHARACTERS])):
            return Abstention(f"{self._name} reads letters, and there is none in this text", "unsure")
        if len(text) > LONG_CHARACTERS:
            return await asyncio.to_thread(self.judged, text, query.vector)
        return self.judged(text, query.vector)

    def judged(self, text: str, vector: npt.NDArray[Any] | None) -> Outcome:
        """The label of `text`, and which signals spoke for it; or an abstention below the threshold."""
        reading = self._reading(text)
        scores, part = self._scores(text, vector, reading)
        outcome = self._labelling.outcome(self._labelling.probabilities(scores))
        if reading is None or self._signals is None or isinstance(outcome, Abstention):
            return outcome
        label = self._parameters.labels.index(outcome.result.label) if isinstance(outcome.result, Label) else 0
        weights = self._signals[part]
        pull = weights[:, 0] * (2 * label - 1) if weights.shape[1] == 1 else weights[:, label] - weights.mean(axis=1)
        why = because(reading, SETS[self._parameters.signals].names, reading.values * pull)
        return Answer(outcome.text + why, outcome.result)

    def probabilities(self, text: str, vector: npt.NDArray[Any] | None) -> npt.NDArray[np.float64]:
        """Calibrated, of each label, sum 1. vector: float32 (384,), the trunk's encoding of `text`."""
        return self._labelling.probabilities(self._scores(text, vector, self._reading(text))[0])

    def _reading(self, text: str) -> Reading | None:
        return SETS[self._parameters.signals].read(text) if self._parameters.signals else None

    def _scores(
        self, text: str, vector: npt.NDArray[Any] | None, reading: Reading | None
    ) -> tuple[npt.NDArray[np.float64], int]:
        """(float64 (k,), which set of weights they come from)."""
        text = _words(text if reading is None else reading.text, self._parameters)
        part = int(self._parameters.short_characters > 0 and len(text) > self._parameters.short_characters)
        scores = self._bias[part].astype(np.float64)
        if self._signals is not None and reading is not None:
            scores = scores + reading.values @ self._signals[part]
        if self._vector is not None:
            if vector is None:
                raise ValueError(f"{self._name} reads the trunk's vector, and the query brought none")
            scores = scores + vector @ self._vector[part]
        if self._ngrams is not None and self._parameters.ngrams is not None:
            bins, values = ngram_bins(text, self._parameters.ngrams)
            found = (values @ self._ngrams[part][bins].astype(np.float32)) * self._scale[part]
            scores = scores + (found if self._layer is None else found @ self._layer[part])
        return scores, part

    def resident_bytes(self) -> int:
        arrays = (self._bias, self._vector, self._scale, self._layer, self._signals)
        held = sum(array.nbytes for array in arrays if array is not None)
        return _OBJECT_BYTES + held + (0 if self._ngrams is None else _resident_bytes(self._ngrams))

    def worker_pid(self) -> int:
        return 0

    async def close(self) -> None:
        """Nothing to let go of: the arrays go with the object."""


async def load(bundle: Bundle, host: Host) -> LinearServable:
    """Raises: BundleError when parameters or weights do not fit together."""
    manifest = bundle.manifest
    try:
        parameters = msgspec.convert(manifest.parameters, Parameters)
    except msgspec.ValidationError as error:
        raise BundleError(f"{bundle}: expert.toml: [parameters]: {error}") from None
    weights = read_safetensors(bundle.file(WEIGHTS))
    columns = 1 if len(parameters.labels) == 2 else len(parameters.labels)
    sets = 2 if parameters.short_characters else 1
    bins = 2**parameters.ngrams.bits if parameters.ngrams else 0
    # Any number of factors will do, as long as all agree on it.
    factors = weights["layer"].shape[1] if "layer" in weights and weights["layer"].ndim == 3 else columns
    shapes = {
        "bias": (sets, columns),
        "vector": (sets, 384, columns),
        "ngrams": (sets, bins, factors),
        "ngrams_scale": (sets, factors),
        "layer": (sets, factors, columns),
        "signals": (sets, len(SETS[parameters.signals].names) if parameters.signals else 0, columns),
    }
    for name, array in weights.items():
        if array.shape != shapes.get(name):
            raise BundleError(f"{bundle}: {WEIGHTS}: tensor {name!r} is {array.shape}, {shapes.get(name)} was expected")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BundleError(f"{bundle}: {WEIGHTS}: tensor {name!r} holds a number that is not finite")
    if "bias" not in weights or not {"vector", "ngrams"} & set(weights):
        raise BundleError(f"{bundle}: {WEIGHTS}: needs the tensor 'bias', and 'vector' or 'ngrams'")
    if ("ngrams" in weights) != ("ngrams_scale" in weights) or ("ngrams" in weights) != (parameters.ngrams is not None):
        raise BundleError(f"{bundle}: {WEIGHTS}: 'ngrams', 'ngrams_scale' and [parameters.ngrams] come together")
    if ("signals" in weights) != bool(parameters.signals):
        raise BundleError(f"{bundle}: {WEIGHTS}: the tensor 'signals' and \"signals\" in [parameters] come together")
    if "layer" in weights and "ngrams" not in weights:
        raise BundleError(f"{bundle}: {WEIGHTS}: 'layer' is of n-grams, and there is no tensor 'ngrams'")
    if "ngrams" in weights and weights["ngrams"].dtype != np.int8:
        raise BundleError(f"{bundle}: {WEIGHTS}: 'ngrams' is {weights['ngrams'].dtype}, int8 was expected")
    return LinearServable(manifest.name, parameters, weights, manifest.threshold or 0.0)


def _resident_bytes(mapped: npt.NDArray[Any]) -> int:
    """How much of a mapped array is in memory: pages that no text ever read are not. Bit 63 of a page's entry in
    /proc/self/pagemap says whether it is."""
    page = mmap.PAGESIZE
    first, last = mapped.ctypes.data // page, (mapped.ctypes.data + mapped.nbytes - 1) // page
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            file.seek(8 * first)
            entries = np.frombuffer(file.read(8 * (last - first + 1)), np.uint64)
    except OSError:
        return mapped.nbytes
    return min(mapped.nbytes, page * int(np.count_nonzero(entries >> np.uint64(63))))
