"""The kind `tagger`: finds spans of named types in a text, and gives the text back without them.

Two sources are joined: recognisers, reviewed code that a bundle chooses by name, and where the bundle brings weights a
learned tagger. What is proved by a checksum stands before what was learned, and that before what merely looks like it
(`tagging.spans`). Long texts are read piece by piece off the event loop. Knows no recogniser and no type by name.

    tagger.safetensors   optional: emissions int8 (2**bits, k), scale float32 (k,), transitions float32 (k, k),
                         start float32 (k,), common uint8 (2**n,), names uint8 (m,), as `Vocabulary` reads them;
                         k labels: O, then B- and I- of each of `learned`
    [parameters]         as `Parameters` below
"""

from __future__ import annotations

import asyncio
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np

from ..bundle import Bundle
from ..errors import BundleError, QueryError
from ..servable import Emit, Host
from ..tagging.recogniser import Recogniser
from ..tagging.registry import RECOGNISERS
from ..tagging.sequence import SequenceTagger, Vocabulary
from ..tagging.spans import Span, mask, redact, resolve
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from ..weights import read_safetensors
from .labelling import subject

WEIGHTS = "tagger.safetensors"

MAX_CHARACTERS = 2_000_000
# A longer text leaves the event loop, and is read in pieces of this many characters.
SHORT_CHARACTERS = 1_200
_PIECE = 32_768
# How far into the next piece a span may reach: a private key is the longest.
_REACH = 10_240
_OBJECT_BYTES = 65_536
# In the sentence for people; programs get all.
_MOST_TOLD = 6


class Nouns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is counted ("piece of personal data", "pieces of personal data"), and what was not found."""

    one: str
    many: str
    none: str


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[parameters] of the manifest.

    recognisers: of `tagging.registry`, by name. learned: the types of the weights, in their order. outside: how likely
    a word is ordinary at most where the learned tagger takes it for a part of a span. nouns, names: how findings are
    called, names by type where a type's own name is no word. asked: type → words for it, for "redact only the names".
    """

    recognisers: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    nouns: Nouns
    needs_input: str
    learned: Annotated[list[str], msgspec.Meta(max_length=40)] = []
    outside: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    names: dict[str, str] = {}
    asked: dict[str, list[str]] = {}


def labels(learned: Sequence[str]) -> tuple[str, ...]:
    """The labels of the weights, in the order of their columns."""
    return ("O", *(f"{prefix}-{type_}" for type_ in learned for prefix in "BI"))


# --- Finding ---------------------------------------------------------------------------------------------------------

# Characters that take no room: a reader does not see them, and a pattern must not stumble over them.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]+"
)
# Full-width forms, and other signs for "@", "." and "-" of one character each.
_PLAIN = {0xFF01 + place: 0x21 + place for place in range(94)} | {
    0x3000: 0x20,
    0x2024: 0x2E,
    0xFE6B: 0x40,
    0x3002: 0x2E,
}


class Finder:
    """Recognisers and a learned tagger over one text. Spans below the threshold are left out."""

    def __init__(self, recognisers: Sequence[Recogniser], tagger: SequenceTagger | None, threshold: float) -> None:
        self._recognisers = recognisers
        self._tagger = tagger
        self._threshold = threshold

    def spans(self, text: str) -> list[Span]:
        """In the order of the text, none overlapping."""
        *_, found = self.steps(text)
        return found

    def steps(self, text: str) -> Iterator[list[Span]]:
        """The same in steps of a tenth of a second or less; the last gives what stands."""
        seen, places = _seen(text)
        lower = seen.lower()
        digits = sum(map(lower.count, "0123456789")) if seen.isascii() else sum(map(str.isdigit, seen))
        useful = [each for each in self._recognisers if each.may_find(lower, digits)]
        found: list[Span] = []
        for first, last in _pieces(seen):
            limit = min(len(seen), last + _REACH)
            here = [span for each in useful for span in each.find(seen, first, last, limit)]
            if self._tagger is not None:
                here += self._tagger.spans(seen, resolve(here), first, last)
            found += [span for span in here if span.score >= self._threshold]
            yield []
        standing = resolve(found)
        if places is not None:
            standing = [
                Span(places[span.start], places[span.end - 1] + 1, span.type, span.score, span.evidence)
                for span in standing
            ]
        yield standing


def _seen(text: str) -> tuple[str, list[int] | None]:
    """The text as its reader sees it, and where in the text each character stands; None: where it stands here."""
    if text.isascii():
        return text, None
    text = text.translate(_PLAIN)
    if not _UNSEEN.search(text):
        return text, None
    places: list[int] = []
    parts = []
    first = 0
    for match in _UNSEEN.finditer(text):
        parts.append(text[first : match.start()])
        places += range(first, match.start())
        first = match.end()
    places += range(first, len(text))
    return "".join([*parts, text[first:]]), places


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """(first, last) of each piece, broken at the end of a line or word where there is one."""
    first = 0
    while len(text) - first > _PIECE:
        last = first + _PIECE
        for separator in ("\n\n", "\n", " "):
            place = text.rfind(separator, first + _PIECE // 2, last)
            if place >= 0:
                last = place + len(separator)
                break
        yield first, last
        first = last
    yield first, len(text)


# --- The servable ----------------------------------------------------------------------------------------------------

_REDACT = re.compile(
    r"(?i)\b(?:redact|anonymi[sz]|de-?identif|pseudonymi[sz]|mask|censor|black out|blank|scrub|strip|remov|hide|"
    r"saniti[sz]|obfuscat|take out|get rid|clean|replace|without|delete|wipe)"
)
_ONLY = re.compile(r"(?i)\b(?:only|just|nothing but)\b")


class TaggerServable:
    """Answers with `Structured`: spans with their types, and the text with [TYPE] in their place."""

    def __init__(self, parameters: Parameters, finder: Finder, resident_bytes: int) -> None:
        self._parameters = parameters
        self._finder = finder
        self._bytes = resident_bytes

    @property
    def needs_vector(self) -> bool:
        return False

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: QueryError for a text of more than MAX_CHARACTERS: half of it would pass for the whole."""
        text = subject(query)
        if not text.strip():
            return Abstention(self._parameters.needs_input, "needs_input")
        if len(text) > MAX_CHARACTERS:
            raise QueryError(
                f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read: send it in parts",
                reason="TEXT_TOO_LONG",
                field="input.text",
            )
        if len(text) <= SHORT_CHARACTERS:
            spans = self._finder.spans(text)
        else:
            spans = []
            steps = self._finder.steps(text)
            while (step := await asyncio.to_thread(next, steps, None)) is not None:
                spans = step
        instruction = "" if text == query.text else query.text
        if types := self._only(instruction):
            spans = [span for span in spans if span.type in types]
        redacted = redact(text, spans)
        data: dict[str, Json] = {
            "spans": [
                {
                    "start": span.start,
                    "end": span.end,
                    "type": span.type,
                    "text": text[span.start : span.end],
                    "score": round(span.score, 3),
                }
                for span in spans
            ],
            "redacted": redacted,
        }
        wants_redacted = query.intent == "redact" or (query.intent == "" and _REDACT.search(instruction) is not None)
        return Answer(redacted if wants_redacted and spans else self._told(text, spans), Structured(data))

    def _only(self, instruction: str) -> set[str]:
        """The types that alone are asked for; none: all. "anonymise this email" says what the text is, not what to
        look for: a restriction must be spoken."""
        if not _ONLY.search(instruction):
            return set()
        words = set(re.findall(r"[\w-]+", instruction.lower()))
        return {type_ for type_, asked in self._parameters.asked.items() if not words.isdisjoint(asked)}

    def _told(self, text: str, spans: Sequence[Span]) -> str:
        """How many, and each masked: the sentence may be shown, logged and read aloud."""
        nouns = self._parameters.nouns
        if not spans:
            return f"I found no {nouns.none} in this text."
        told = [
            f"{self._parameters.names.get(span.type, span.type)} {mask(text[span.start : span.end])}"
            for span in spans[:_MOST_TOLD]
        ]
        if len(spans) > _MOST_TOLD:
            counts = Counter(self._parameters.names.get(span.type, span.type) for span in spans)
            told = [f"{name} ({count})" for name, count in counts.most_common()]
        return f"{len(spans):,} {nouns.one if len(spans) == 1 else nouns.many}: {', '.join(told)}."

    def resident_bytes(self) -> int:
        return self._bytes

    def worker_pid(self) -> int:
        return 0

    async def close(self) -> None:
        """Nothing to let go of: the arrays go with the object."""


# --- Loading ---------------------------------------------------------------------------------------------------------


async def load(bundle: Bundle, host: Host) -> TaggerServable:
    """Raises: BundleError when parameters or weights do not fit together, or a recogniser is unknown."""
    parameters, finder, resident_bytes = await asyncio.to_thread(open_finder, bundle)
    return TaggerServable(parameters, finder, resident_bytes)


def open_finder(bundle: Bundle) -> tuple[Parameters, Finder, int]:
    """The bundle's parameters, its finder, and the bytes that it holds. Raises: BundleError."""
    try:
        parameters = msgspec.convert(bundle.manifest.parameters, Parameters)
    except msgspec.ValidationError as error:
        raise BundleError(f"{bundle}: expert.toml: [parameters]: {error}") from None
    recognisers = [each for name in parameters.recognisers for each in _recognisers(bundle, name)]
    tagger = None
    if WEIGHTS in bundle.manifest.files:
        tagger = _tagger(bundle, parameters)
    elif parameters.learned:
        raise BundleError(
            f'{bundle}: expert.toml: "learned" names types, and there is no {WEIGHTS}; add it or drop them'
        )
    finder = Finder(recognisers, tagger, bundle.manifest.threshold or 0.0)
    # Compiles the patterns, which takes a tenth of a second.
    for recogniser in recognisers:
        next(recogniser.find("", 0, 0, 0), None)
    return parameters, finder, _OBJECT_BYTES + (tagger.resident_bytes() if tagger else 0)


def _recognisers(bundle: Bundle, name: str) -> tuple[Recogniser, ...]:
    found = RECOGNISERS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, RECOGNISERS, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise BundleError(
            f'{bundle}: expert.toml: "recognisers": "{name}" is none of this expertd{hint}; '
            f"known are {', '.join(sorted(RECOGNISERS))}"
        )
    return found


_DTYPES = {"emissions": np.int8, "common": np.uint8, "names": np.uint8}


def _tagger(bundle: Bundle, parameters: Parameters) -> SequenceTagger:
    weights = read_safetensors(bundle.file(WEIGHTS))
    names = labels(parameters.learned)
    count = len(names)
    shapes: Mapping[str, tuple[int, ...]] = {
        "emissions": (weights["emissions"].shape[0] if "emissions" in weights else 0, count),
        "scale": (count,),
        "transitions": (count, count),
        "start": (count,),
        "common": (weights["common"].size if "common" in weights else 0,),
        "names": (weights["names"].size if "names" in weights else 0,),
    }
    for name, shape in shapes.items():
        if name not in weights:
            raise BundleError(f"{bundle}: {WEIGHTS}: the tensor {name!r} is missing")
        array = weights[name]
        if array.shape != shape:
            raise BundleError(f"{bundle}: {WEIGHTS}: tensor {name!r} is {array.shape}, {shape} was expected")
        if array.dtype != _DTYPES.get(name, np.float32):
            raise BundleError(f"{bundle}: {WEIGHTS}: tensor {name!r} holds {array.dtype}")
        if array.dtype.kind == "f" and not (np.isfinite(array).all() and np.abs(array).max(initial=0) < 1e3):
            raise BundleError(f"{bundle}: {WEIGHTS}: tensor {name!r} holds a number that is no weight")
    if unknown := set(weights) - set(shapes):
        raise BundleError(f"{bundle}: {WEIGHTS}: unknown tensors {sorted(unknown)}; it holds {', '.join(shapes)}")
    for name in ("emissions", "common"):
        rows = shapes[name][0]
        if rows & (rows - 1) or not 2**8 <= rows <= 2**20:
            raise BundleError(
                f"{bundle}: {WEIGHTS}: tensor {name!r} has {rows} rows; a power of two from 2**8 to 2**20"
            )
    try:
        vocabulary = Vocabulary.read(np.asarray(weights["common"]), np.asarray(weights["names"]))
    except ValueError as error:
        raise BundleError(f"{bundle}: {WEIGHTS}: tensor 'names': {error}") from None
    return SequenceTagger(
        names,
        np.asarray(weights["emissions"]),
        np.array(weights["scale"]),
        np.array(weights["transitions"]),
        np.array(weights["start"]),
        vocabulary,
        parameters.outside,
    )
