"""The sentences of a text that say the most, word for word and in their order; nothing is written anew.

A sentence is central when it is near the mean of all by the trunk's vectors (the centroid; Radev et al., 2004); the
beginning of a text counts for more, and what was said already for less (maximal marginal relevance; Carbonell and
Goldstein, 1998). Of a mail, replies that it quotes, greetings and signatures are no candidates. Whether the sentences
make sense without those between them, it cannot know.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..servable import Encode
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from .encodings import Encodings, Vectors
from .given import given, number_asked
from .sentences import Sentence, split
from .words import content_stems, function_words

Floats = npt.NDArray[np.float64]

DEFAULT_COUNT = 3
MOST_COUNT = 100
# More sentences than these are not encoded: the ones with the text's frequent words are.
MOST_ENCODED = 256
MAX_CHARACTERS = 1_000_000

_ASKS = re.compile(
    r"\b(?:sentences?|highlights?|tl;?dr|quotes?|quote me|verbatim|gist|abridged?|extractive|takeaways?|skim|digest)\b|"
    r"\b(?:key|main|important|core|central|essential) (?:points?|parts?|passages?|statements?|lines?|bits?|ideas?)\b",
    re.IGNORECASE,
)
_SHARE = re.compile(
    r"\b(?P<percent>\d{1,3}(?:\.\d+)?)\s*(?:%|per ?cent\b)|"
    r"\b(?P<word>half|(?:a|one|two)[ -](?:third|quarter|fifth|tenth)s?|"
    r"(?:ten|fifteen|twenty|thirty|forty|fifty) per ?cent)\b",
    re.IGNORECASE,
)
_SHARES = {
    "half": 1 / 2, "third": 1 / 3, "quarter": 1 / 4, "fifth": 1 / 5, "tenth": 1 / 10, "ten": 0.1, "fifteen": 0.15,
    "twenty": 0.2, "thirty": 0.3, "forty": 0.4, "fifty": 0.5,
}  # fmt: skip
_ONE = re.compile(
    r"\b(?:(?:the|a|which|core|thesis|topic|key|main|best|single) (?:\w+ ){0,2}(?:sentence|quote)|in a sentence)\b"
)
_UNITS = r"(?:sentences?|(?:bullet )?points?|lines?|bullets?|highlights?|quotes?|statements?|passages?|takeaways?)\b"
_LISTED = re.compile(r"\bbullets?\b|\bpoints\b|\bhighlights\b")


class ExtractSummary:
    """Answers `Structured`: {"sentences": [{"text", "start", "end", "score"}, …]} in the order of the text.

    start, end: the place in the document, end exclusive; "document" is its number, from 0 on, where there are several.
    score: from 1 for the best down to 0.
    """

    def __init__(self, encode: Encode) -> None:
        self._encodings = Encodings(encode)

    def resident_bytes(self) -> int:
        return self._encodings.resident_bytes()

    async def answer(self, query: Query) -> Outcome:
        brought = given(query, _ASKS)
        if brought is None:
            return Abstention("this asks for no sentences, and is too short to choose from", "not_mine")
        if not brought.texts:
            return Abstention("The main sentences of which text? Give it after a colon, or as a file.", "needs_input")
        texts = [document.text for document in brought.texts]
        if sum(map(len, texts)) > 5_000:
            found = await asyncio.to_thread(candidates, texts)
        else:
            found = candidates(texts)
        if not found:
            return Abstention("the text holds no sentence", "unsure")
        chosen = await select(found, _count(brought.instruction, len(found)), self._encodings)
        data: list[Json] = []
        for pick in chosen:
            number: dict[str, Json] = {"document": pick.document} if len(texts) > 1 else {}
            place: dict[str, Json] = {"start": pick.sentence.start, "end": pick.sentence.end}
            data.append({**number, "text": pick.sentence.text, **place, "score": round(pick.score, 4)})
        mark, gap = ("• ", "\n") if _LISTED.search(brought.instruction.lower()) else ("", " ")
        return Answer(gap.join(mark + pick.sentence.text for pick in chosen), Structured({"sentences": data}))


def _count(instruction: str, sentences: int) -> int:
    lower = instruction.lower()
    if share := _SHARE.search(lower):
        if share["percent"]:
            part = float(share["percent"]) / 100
        else:
            words = re.split(r"[ -]", share["word"])
            part = _SHARES[words[0] if words[0] in _SHARES else words[1].removesuffix("s")] * (
                2 if words[0] == "two" else 1
            )
        return max(1, math.ceil(part * sentences - 1e-9))
    number = number_asked(lower, _UNITS) or (1 if _ONE.search(lower) else None)
    return min(max(number or min(DEFAULT_COUNT, math.ceil(sentences / 3)), 1), MOST_COUNT)


@dataclass(frozen=True, slots=True)
class Pick:
    """document: the number of the text. place: among all sentences. score: from 1 for the best down to 0."""

    document: int
    place: int
    sentence: Sentence
    score: float = 0.0


def candidates(texts: Sequence[str]) -> list[Pick]:
    """Those that can stand in a summary; all there are where none can."""
    room = MAX_CHARACTERS
    found = []
    for number, text in enumerate(texts):
        found += [(number, sentence) for sentence in split(text[:room], own=True)]
        room -= min(len(text), room)
    worth = [(number, sentence) for number, sentence in found if _can_stand(sentence)]
    return [Pick(number, place, sentence) for place, (number, sentence) in enumerate(worth or found)]


def _can_stand(sentence: Sentence) -> bool:
    if sentence.kind in ("heading", "greeting"):
        return False
    letters = sum(map(str.isalpha, sentence.text))
    return len(sentence.text) >= 12 and letters >= 0.6 * len(sentence.text) and not sentence.text.endswith(":")


# --- Choosing ---------------------------------------------------------------------------------------------------------

# Chosen on validation mails: `python -m bench.experts extract-summary`.
POSITION = 0.5
REPETITION = 0.4


async def select(found: Sequence[Pick], count: int, encodings: Encodings) -> list[Pick]:
    """`count` of them, or all where they are no more, in the order of the text, with their scores."""
    kept = found
    if len(found) > MOST_ENCODED:
        kept = await asyncio.to_thread(_telling, found)
    vectors = await encodings.of([pick.sentence.text for pick in kept])
    scores = _scores(vectors, np.array([pick.place for pick in kept]))
    order = _diverse(vectors, scores, min(count, len(kept)))
    best = float(scores.max())
    return [replace(kept[row], score=max(float(scores[row]) / best, 0.0)) for row in sorted(order)]


def _telling(found: Sequence[Pick]) -> list[Pick]:
    """The `MOST_ENCODED` with the most frequent content words of the whole, and early rather than late."""
    empty = function_words(word for pick in found[:200] for word in pick.sentence.text.lower().split())
    stems = [set(content_stems(pick.sentence.text, empty=empty)) for pick in found]
    counts = Counter(stem for each in stems for stem in each)
    weight = [
        sum(math.log1p(counts[stem]) for stem in each) / (len(each) + 5) + 1 / (1 + place)
        for place, each in enumerate(stems)
    ]
    best = sorted(range(len(found)), key=lambda place: -weight[place])[:MOST_ENCODED]
    return [found[place] for place in sorted(best)]


def _scores(vectors: Vectors, places: npt.NDArray[Any]) -> Floats:
    """float64 (n,): how central each sentence is, from 0 for the last to 1, and a bonus for the beginning."""
    near = (vectors @ vectors.mean(axis=0)).astype(np.float64)
    central = (near - near.min()) / max(np.ptp(near), 1e-9)
    return np.asarray((1 - POSITION) * central + POSITION / np.sqrt(1 + places), np.float64)


def _diverse(vectors: Vectors, scores: Floats, count: int) -> list[int]:
    """The rows of `count` sentences, each good and unlike those before it."""
    chosen: list[int] = []
    worth = scores.copy()
    nearest = np.zeros(len(scores))
    for _ in range(count):
        row = int(np.argmax(worth - REPETITION * nearest))
        chosen.append(row)
        worth[row] = -np.inf
        nearest = np.maximum(nearest, vectors @ vectors[row])
    return chosen
