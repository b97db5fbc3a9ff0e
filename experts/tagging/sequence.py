"""A learned tagger: which words of a sentence belong to a name, an address, a title.

A linear-chain conditional random field (Lafferty et al., 2001) over hashed features (Weinberger et al., 2009): the
word, its shape, its ends, its neighbours, and what a recogniser takes it for. Labels are B-type, I-type and O (Ramshaw
and Marcus, 1995). Decoded by the probability of each label at its word, from the forward-backward pass, which also
gives the score; sentences run side by side, so a long text costs little more a word than its features. Knows nothing of
training.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .spans import Evidence, Span

Floats = npt.NDArray[np.float32]
Bins = npt.NDArray[np.int64]

MAX_TOKENS = 192
_SIDE_BY_SIDE = 64
_RESCALED = 6  # steps after which small numbers are made larger: with weights in bounds none becomes 0 in between
_MOST_GROWN = 4  # characters of a word that is only in part of a span
_ENTRY_BYTES = 160  # of one word in a dictionary

# Letters with their marks and inner apostrophes (but not the one of a genitive), digits, or one other character.
_LETTERS = r"[^\W\d_]+(?:[\u0300-\u036f]+[^\W\d_]*)*"
_TOKEN = re.compile(rf"{_LETTERS}(?:['’](?![sS]\b){_LETTERS})*|\d+|['’][sS]\b|[^\w\s]|_")


class Token(NamedTuple):
    start: int
    end: int
    text: str


def tokens(text: str, first: int = 0, last: int | None = None) -> list[Token]:
    """The words, numbers and signs of text[first:last]."""
    matches = _TOKEN.finditer(text, first, len(text) if last is None else last)
    return [Token(match.start(), match.end(), match[0]) for match in matches]


def sentences(text: str, words: Sequence[Token]) -> list[Sequence[Token]]:
    """Runs of at most MAX_TOKENS, broken where a paragraph, else a line or a sentence ends."""
    runs = []
    first = 0
    while len(words) - first > MAX_TOKENS:
        end = first + MAX_TOKENS
        for break_ in range(end, first + MAX_TOKENS // 2, -1):
            between = text[words[break_ - 1].end : words[break_].start]
            if "\n" in between or (between and words[break_ - 1].text in ".!?"):
                end = break_
                break
        runs.append(words[first:end])
        first = end
    return [*runs, words[first:]] if first < len(words) else runs


# --- Ordinary words --------------------------------------------------------------------------------------------------

_PROBES = 3


class Lexicon:
    """A set of words in a few bits each (Bloom, 1970): it has every word of the set, and one other in a hundred.

    bits: uint8 (2**n,), eight bits a byte. A capital at the beginning of a sentence says little; that the word is an
    ordinary one says that it is no name.
    """

    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        self.bits = bits
        self._bytes = bits.tobytes()
        self._mask = 8 * len(self._bytes) - 1

    @classmethod
    def of(cls, words: Iterable[str], size: int = 2**15) -> Lexicon:
        """Of words in lower case. size: in bytes, a power of two."""
        bits = np.zeros(size, np.uint8)
        for word in words:
            for place in cls._places(word, 8 * size - 1):
                bits[place >> 3] |= 1 << (place & 7)
        return cls(bits)

    def __contains__(self, word: str) -> bool:
        held = self._bytes
        return all(held[place >> 3] >> (place & 7) & 1 for place in self._places(word, self._mask))

    @staticmethod
    def _places(word: str, mask: int) -> list[int]:
        data = word.encode("utf-8", "replace")
        first, step = zlib.crc32(data), zlib.adler32(data) | 1
        return [(first + turn * step * 0x9E3779B1) & mask for turn in range(_PROBES)]


@dataclass(frozen=True)
class Vocabulary:
    """What is known of words beforehand. common: ordinary ones; names: word in lower case → which lists of names have
    it, as letters."""

    common: Lexicon
    names: Mapping[str, str]

    @classmethod
    def read(cls, common: npt.NDArray[np.uint8], names: npt.NDArray[np.uint8]) -> Vocabulary:
        """Of two tensors. Raises: ValueError where `names` is not UTF-8 of lines "letters word"."""
        lines = names.tobytes().decode("utf-8").splitlines()
        return cls(Lexicon(common), {word: letters for letters, word in (line.split(" ") for line in lines)})

    def names_tensor(self) -> npt.NDArray[np.uint8]:
        lines = [f"{letters} {word}\n" for word, letters in sorted(self.names.items())]
        return np.frombuffer("".join(lines).encode(), np.uint8)


# --- Features --------------------------------------------------------------------------------------------------------

_SHAPE = str.maketrans("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "x" * 26 + "X" * 26 + "0" * 10)
# Columns of what is read off one word.
_WORD, _LOWER, _LONG, _SHORT, _P2, _P3, _S1, _S2, _S3, _S4, _GAP, _KNOWN, _LIST = range(13)
_COLUMNS = 13


def _template(*parts: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return parts


# Each feature joins up to three columns, each of this word or of the neighbour so many places on. Fewer first.
_TEMPLATES = sorted(
    [
        *(_template((_WORD, place)) for place in (-1, 0, 1)),
        *(_template((_LOWER, place)) for place in (-2, -1, 0, 1, 2)),
        *(_template((_SHORT, place)) for place in (-2, -1, 0, 1, 2)),
        *(_template((column, 0)) for column in (_LONG, _P2, _P3, _S1, _S2, _S3, _S4)),
        *(_template((_S3, place)) for place in (-1, 1)),
        *(_template((_KNOWN, place)) for place in (-1, 0, 1)),
        _template((_LOWER, -1), (_LOWER, 0)),
        _template((_LOWER, 0), (_LOWER, 1)),
        _template((_LOWER, -1), (_SHORT, 0)),
        _template((_LOWER, 1), (_SHORT, 0)),
        _template((_LOWER, -2), (_LOWER, -1), (_SHORT, 0)),
        _template((_LOWER, -1), (_SHORT, 0), (_SHORT, 1)),
        _template((_LOWER, 1), (_SHORT, 0), (_SHORT, -1)),
        _template((_LOWER, -2), (_SHORT, -1), (_SHORT, 0)),
        _template((_LOWER, 2), (_SHORT, 0), (_SHORT, 1)),
        _template((_SHORT, -1), (_SHORT, 0)),
        _template((_SHORT, 0), (_SHORT, 1)),
        _template((_SHORT, -1), (_SHORT, 0), (_SHORT, 1)),
        _template((_SHORT, -2), (_SHORT, -1), (_SHORT, 0)),
        _template((_SHORT, 0), (_SHORT, 1), (_SHORT, 2)),
        _template((_GAP, 0), (_GAP, 1), (_SHORT, 0)),
        _template((_S3, 0), (_SHORT, 0)),
        _template((_S3, 0), (_SHORT, 0), (_SHORT, 1)),
        _template((_S3, 0), (_SHORT, -1), (_SHORT, 0)),
        *(_template((_LIST, place)) for place in (-1, 0, 1)),
        _template((_LIST, 0), (_SHORT, 0)),
        _template((_LIST, -1), (_LIST, 0)),
        _template((_LIST, 0), (_LIST, 1)),
        _template((_LIST, 0), (_LOWER, -1)),
        _template((_KNOWN, 0), (_LOWER, -1)),
        _template((_KNOWN, 0), (_SHORT, -1), (_SHORT, 0)),
    ],
    key=len,
)
FEATURES = len(_TEMPLATES) + 1
# Those that know a word, or a neighbour, by its letters: left out more often than others in training, so that form and
# place learn to do without them.
LEXICAL = tuple(
    index + 1 for index, parts in enumerate(_TEMPLATES) if any(column in (_WORD, _LOWER) for column, _ in parts)
)
# Where the first, second and third part of each feature lies in a table of columns, from the word's row; only the last
# features have a second and a third.
_PARTS = [
    np.array([parts[part][1] * _COLUMNS + parts[part][0] for parts in _TEMPLATES if len(parts) > part])
    for part in range(3)
]
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_SEEDS = (np.arange(1, len(_TEMPLATES) + 1, dtype=np.uint64) * np.uint64(0xD6E8FEB86659FD93))[None, :]
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_MARGIN = 3


def _columns(text: str, words: Sequence[Token], known: Sequence[str], vocabulary: Vocabulary) -> list[list[int]]:
    common, names = vocabulary.common, vocabulary.names
    rows = []
    end_before = words[0].start if words else 0
    for word, type_ in zip(words, known, strict=True):
        value, lower, short = word.text, word.text.lower(), word.text
        long = value.translate(_SHAPE)
        if not value.isascii():
            long = "".join("X" if letter.isupper() else "x" if letter.isalpha() else letter for letter in long)
        if long[0] == "0":
            short = long[:6]
            # Numbers are alike, but for years and the smallest.
            lower = value if len(value) < 3 or (len(value) == 4 and value[:2] in ("19", "20")) else long[:9]
        elif long[0] in "xX":
            tail = long[1:]
            kind = "" if not tail else "x" if tail.islower() else "X" if tail.isupper() else "m"
            short = f"{long[0]}{kind}{'+' if lower in common else ''}"
        between = text[end_before : word.start]
        gap = "" if not between else "\n\n" if between.count("\n") > 1 else "\n" if "\n" in between else " "
        end_before = word.end
        rows.append(
            [
                zlib.crc32(each.encode("utf-8", "replace"))
                for each in (
                    value, lower, long[:12], short, lower[:2], lower[:3], lower[-1:], lower[-2:], lower[-3:],
                    lower[-4:], gap, type_, names.get(lower, ""),
                )
            ]
        )  # fmt: skip
    return rows


def features(text: str, words: Sequence[Token], known: Sequence[str], vocabulary: Vocabulary, bits: int) -> Bins:
    """int64 (n, FEATURES): the bins, below 2**bits, of each word's features. known: what a recogniser takes each word
    for, "" for nothing. Whole numbers alone: the same bins on every machine."""
    count = len(words)
    table = np.zeros((count + 2 * _MARGIN, _COLUMNS), np.uint64)
    table[_MARGIN : _MARGIN + count] = _columns(text, words, known, vocabulary)
    # Beyond either end stands a word of its own.
    table[:_MARGIN], table[_MARGIN + count :] = 1, 2
    flat, rows = table.reshape(-1), ((np.arange(count) + _MARGIN) * _COLUMNS)[:, None]
    mixed = flat.take(rows + _PARTS[0]) * _MULTIPLIERS[0] + _SEEDS
    for part in (1, 2):
        mixed[:, -len(_PARTS[part]) :] += flat.take(rows + _PARTS[part]) * _MULTIPLIERS[part]
    mixed ^= mixed >> np.uint64(31)
    mixed *= _MIX
    bins = np.zeros((count, FEATURES), np.int64)
    bins[:, 1:] = mixed >> np.uint64(64 - bits)
    return bins


# --- Decoding --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SequenceTagger:
    """The weights, ready to read texts.

    labels: "O" first, then B- and I- of each type. emissions: int8 (2**bits, k), scale: float32 (k,), of one unit;
    transitions: float32 (k, k), from label to label; start: float32 (k,). outside: a word is of a type where its
    probability of O is below this; a half is neutral, more finds more.
    """

    labels: tuple[str, ...]
    emissions: npt.NDArray[np.int8]
    scale: Floats
    transitions: Floats
    start: Floats
    vocabulary: Vocabulary
    outside: float = 0.5

    @property
    def bits(self) -> int:
        return int(self.emissions.shape[0]).bit_length() - 1

    def spans(self, text: str, known: Sequence[Span], first: int = 0, last: int | None = None) -> list[Span]:
        """Spans in text[first:last]. known: what recognisers found in it, none overlapping."""
        words = tokens(text, first, last)
        if not words:
            return []
        types = known_types(words, known)
        found: list[Span] = []
        runs = sentences(text, words)
        offset = 0
        for batch in range(0, len(runs), _SIDE_BY_SIDE):
            some = runs[batch : batch + _SIDE_BY_SIDE]
            bins = []
            for run in some:
                bins.append(features(text, run, types[offset : offset + len(run)], self.vocabulary, self.bits))
                offset += len(run)
            for run, probabilities in zip(some, self.probabilities(bins), strict=True):
                whole = (_whole(text, span) for span in self._read(run, probabilities))
                found += [span for span in whole if span is not None]
        return found

    def probabilities(self, bins: Sequence[Bins]) -> list[npt.NDArray[np.float64]]:
        """float64 (n, k) for each sentence: of each label at each word."""
        longest, count, labels = max(map(len, bins)), len(bins), len(self.labels)
        scores = np.zeros((longest, count, labels))
        real = np.zeros((longest, count, 1))
        for index, each in enumerate(bins):
            # Summed as whole numbers: the order does not matter, so the same on every machine.
            scores[: len(each), index] = self.emissions.take(each, axis=0).sum(1, dtype=np.int32) * self.scale
            real[: len(each), index] = 1.0
        np.exp(scores - scores.max(2, keepdims=True), out=scores)
        step = np.exp(self.transitions.astype(np.float64))
        back = np.ascontiguousarray(step.T)
        forward, backward = np.empty_like(scores), np.ones_like(scores)
        np.multiply(scores[0], np.exp(self.start.astype(np.float64)), out=forward[0])
        for place in range(1, longest):
            np.matmul(forward[place - 1], step, out=forward[place])
            forward[place] *= scores[place]
            if place % _RESCALED == 0:
                forward[place] /= forward[place].sum(1, keepdims=True)
        for place in range(longest - 2, -1, -1):
            np.matmul(backward[place + 1] * scores[place + 1], back, out=backward[place])
            if count > 1:  # behind the end of a shorter sentence nothing is known
                backward[place] = np.where(real[place + 1], backward[place], 1.0)
            if place % _RESCALED == 0:
                backward[place] /= backward[place].sum(1, keepdims=True)
        forward *= backward
        forward /= forward.sum(2, keepdims=True)
        return [forward[: len(each), index] for index, each in enumerate(bins)]

    def _read(self, words: Sequence[Token], probabilities: npt.NDArray[np.float64]) -> list[Span]:
        """Neighbouring words of one type, from a B or from whatever begins it; the score is the least sure word's."""
        inside = probabilities[:, 0] < self.outside
        if not inside.any():
            return []
        best = probabilities[:, 1:].argmax(1) + 1
        sure = 1.0 - probabilities[:, 0]
        found: list[Span] = []
        for place in np.flatnonzero(inside).tolist():
            prefix, _, type_ = self.labels[best[place]].partition("-")
            score, word = float(sure[place]), words[place]
            last = found[-1] if found else None
            if (
                prefix == "I"
                and last
                and place
                and inside[place - 1]
                and last.type == type_
                and last.end == words[place - 1].end
            ):
                found[-1] = Span(last.start, word.end, type_, min(last.score, score), Evidence.LEARNED)
            else:
                found.append(Span(word.start, word.end, type_, score, Evidence.LEARNED))
        return found

    def resident_bytes(self) -> int:
        arrays: tuple[npt.NDArray[Any], ...] = (self.emissions, self.scale, self.transitions, self.start)
        held = sum(array.nbytes for array in arrays) + 2 * self.vocabulary.common.bits.nbytes
        return held + _ENTRY_BYTES * len(self.vocabulary.names)


def _whole(text: str, span: Span) -> Span | None:
    """The span up to where its first and last word end, letters and digits alike; None where it is a small part of one,
    as of a hash."""
    start, end = span.start, span.end
    while start > 0 and span.start - start <= _MOST_GROWN and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and end - span.end <= _MOST_GROWN and text[end].isalnum():
        end += 1
    return None if max(span.start - start, end - span.end) > _MOST_GROWN else replace(span, start=start, end=end)


def known_types(words: Sequence[Token], spans: Sequence[Span]) -> list[str]:
    """For each word the type of a span that covers its start."""
    types = [""] * len(words)
    if not spans:
        return types
    starts = [word.start for word in words]
    for span in spans:
        for place in range(bisect_left(starts, span.start), len(words)):
            if starts[place] >= span.end:
                break
            types[place] = span.type
    return types
