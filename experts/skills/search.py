"""Search in given documents: the passages that a question is about, or that there are none.

Passages of a few sentences are ranked by their words (BM25; Robertson and Zaragoza, 2009) and by the trunk's vectors,
which find what is said in other words. Both make one probability that the passage is about the question; below
`THRESHOLD` it says that nothing is there. Knows nothing of the user's notes or of the web, and answers no question: it
shows where to read.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..servable import Encode
from ..values import Abstention, Answer, Document, Json, Outcome, Query, Structured
from .encodings import Encodings, Vectors
from .given import given, number_asked
from .sentences import Sentence, split
from .words import content_stems

Floats = npt.NDArray[np.float64]

DEFAULT_COUNT = 3
MOST_COUNT = 20
# A passage ends when it has so many words, or so many sentences; the next begins with its last sentence.
PASSAGE_WORDS = 40
PASSAGE_SENTENCES = 3
# Of more passages than these, those with the words of the question and some from everywhere are encoded.
MOST_ENCODED = 256
_FROM_EVERYWHERE = 64
# Documents whose passages are remembered, by their characters in all.
_REMEMBERED_CHARACTERS = 1_000_000
_MOST_SHOWN = 1_000
# Of a longer question, the beginning is read.
_MOST_QUESTION = 500

_WHICH = "Search in which document? Give its text on the lines below, or send it."
# "search the contract for “notice period”": what is set apart and so short is what is looked for, and no document.
_SHORT = 60

# Beside the characters of a passage: it and its text as objects. Of a stem: its word, its pair of arrays, its place.
_PASSAGE_BYTES, _STEM_BYTES = 250, 480

_K1, _B = 1.2, 0.75


class Search:
    """Answers `Structured`: {"passages": [{"document", "start", "end", "text", "score"}, …]}, the best first.

    document: the number of the document, from 0 on, beside its "name" where it has one. score: the probability that the
    passage is about the question.
    """

    def __init__(self, encode: Encode) -> None:
        self._encodings = Encodings(encode)
        self._indices: OrderedDict[bytes, Index] = OrderedDict()

    def resident_bytes(self) -> int:
        return self._encodings.resident_bytes() + sum(index.resident_bytes for index in list(self._indices.values()))

    async def answer(self, query: Query) -> Outcome:
        brought = given(query, ASKS)
        if brought is None or (not brought.texts and _ELSEWHERE.search(brought.instruction)):
            return Abstention("this asks for nothing in a document", "not_mine")
        if not brought.texts:
            return Abstention(_WHICH, "needs_input")
        question = topic(brought.instruction)
        if not question:
            if not query.documents and len(brought.texts[0].text) < _SHORT:
                return Abstention(_WHICH, "needs_input")
            return Abstention("What shall be looked for? Say it in a word or a question.", "needs_input")
        index = await self._index(brought.texts)
        if not index.passages:
            return Abstention("the document holds no words to search in", "unsure")
        hits = await find(question, index, self._encodings)
        wanted = number_asked(brought.instruction, r"(?:passages?|hits?|results?|places|matches|paragraphs?|parts?)\b")
        count = wanted or (MOST_COUNT if _EVERY.search(brought.instruction) else DEFAULT_COUNT)
        hits = [hit for hit in hits if hit.score >= THRESHOLD][: min(max(count, 1), MOST_COUNT)]
        if not hits:
            where = "the document" if len(brought.texts) == 1 else "the documents"
            return Abstention(f"nothing in {where} is about “{question[:100]}”", "unsure")
        return _told(hits, brought.texts)

    async def _index(self, documents: tuple[Document, ...]) -> Index:
        digest = hashlib.blake2b(digest_size=16)
        for document in documents:
            digest.update(hashlib.blake2b(document.text.encode("utf-8", "replace")).digest())
        key = digest.digest()
        index = self._indices.pop(key, None)
        if index is None:
            texts = [document.text for document in documents]
            small = sum(map(len, texts)) < 2_000
            index = Index(texts) if small else await asyncio.to_thread(Index, texts)
        self._indices[key] = index
        while sum(each.characters for each in self._indices.values()) > _REMEMBERED_CHARACTERS and self._indices:
            self._indices.popitem(last=False)
        return index


def _told(hits: Sequence[Hit], documents: Sequence[Document]) -> Answer:
    data: list[Json] = []
    lines = []
    for hit in hits:
        passage, document = hit.passage, documents[hit.passage.document]
        name: dict[str, Json] = {"name": document.name} if document.name else {}
        data.append(
            {
                "document": passage.document,
                **name,
                "start": passage.start,
                "end": passage.end,
                "text": passage.text,
                "score": round(hit.score, 4),
            }
        )
        source = document.name or (f"document {passage.document + 1}" if len(documents) > 1 else "")
        shown = passage.text if len(passage.text) <= _MOST_SHOWN else f"{passage.text[:_MOST_SHOWN]}…"
        lines.append(f"{source}: {shown}" if source else shown)
    return Answer("\n\n".join(lines), Structured({"passages": data}))


# --- The question -----------------------------------------------------------------------------------------------------

_NOUNS = (
    r"(?:pdf|documents?|docs?|texts?|files?|pages?|attachments?|contracts?|agreements?|lease|manual|handbook|reports?|"
    r"papers?|articles?|e?mails?|letters?|minutes|notes?(?: from the meeting)?|story|book|chapter|transcript|"
    r"polic(?:y|ies)|menu|things?|brochure|terms|statement|guide|essay|thread|conversation|chat|logs?)"
)
_CONTAINER = (
    r"(?:(?:(?:any |all |which )?of )?(?:the |my |our |all |these |this |those |that |her |his |an? )*"
    rf"(?:attached |following |above |given |uploaded |whole )?{_NOUNS}|"
    r"(?:which )?(?:of )?(?:this|these|those|them|that)|it|here|they)"
)
_PLACE = (
    r"(?:parts?|bits?|passages?|sections?|paragraphs?|sentences?|clauses?|places?|lines?|pages?|spots?|chapters?|"
    r"mentions?)"
)
ASKS = re.compile(
    r"\b(?:search|look|find|locate|scan|query|retrieve|check|go through|dig out|jump|take me|point me|show|get|give)\b"
    rf".{{0,80}}\b(?:{_PLACE}|documents?|files?|text|pages?|pdf|attachments?|contract|manual|lease|report|where|this|these)\b|"
    r"\bwhere (?:do|does|did|in|is|can)\b.{0,40}\b(?:say|mention|talk|discuss|state|define|described|read|this|text)|"
    r"\bwhat (?:do|does|did)\b.{0,60}\bsay\b|\b(?:does|do|did|whether|if)\b.{0,50}\b(?:mention|contain|say)\b|"
    r"\b(?:which|what) (?:of these \w+|part|section|paragraph|passage|page)\b|\bpassages? (?:about|on)\b|"
    r"\baccording to (?:this|the)\b|\b(?:any|every) mentions?\b",
    re.IGNORECASE,
)
# "search my notes", "find my keys online": what others look for.
_ELSEWHERE = re.compile(
    r"\bmy (?:notes?|lists?|shopping|to-?do)\b|\b(?:web|internet|online|google)\b|\b(?:timers?|alarms?|reminders?)\b",
    re.IGNORECASE,
)
_EVERY = re.compile(
    r"\b(?:every|all|each|any) (?:the )?(?:mentions?|passages?|places|parts|hits|occurrences)\b", re.IGNORECASE
)
_POLITE = re.compile(
    r"^(?:(?:hey|hi|ok|okay|so|now|please|and|well|just|um|uh)\b[\s,]*|(?:can|could|would|will) you (?:please )?|"
    r"i(?:'d| would)? (?:need|want|like|wonder|can't|remember|am looking for|'m looking for)(?: to)?(?: know)?\s|"
    r"i'm looking for\s|help me (?:to )?|let me know |tell me |(?:check|look|see) (?=if|whether))+",
    re.IGNORECASE,
)
_ABOUT = r"(?:about|on|regarding|concerning|of|with|for|to)"
_SAYS = (
    r"(?:says?|said|mentions?|mentioned|contains?|includes?|discuss(?:es)?|describes?|defines?|states?|explains?|covers?|"
    r"deals? with|talks? (?:about|of)|speaks? (?:about|of))"
)
_ANYTHING = r"(?:(?:anything|something|everything|what is relevant|mentions?|that)\b\s*)"
# In order; the first that fits gives the topic.
_FRAMES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:what|anything|something|all)(?: that)? (?:do|does|did)? ?{_CONTAINER}\s+(?:say|says|tell us|have to say)"
        r"(?: to me)?(?:\s+(?:about|on|regarding|concerning))?\s+(?P<topic>.+)",
        rf"^(?:where|whether|if|does|do|did|which)\b(?:\s+in {_CONTAINER})?(?:\s+(?:do|does|did))?\s*"
        rf"(?:any )?(?:{_CONTAINER}|{_PLACE}|he|she)?\s+{_SAYS}\s+{_ANYTHING}?(?:(?:about|on|regarding|concerning)\s+)?"
        r"(?P<topic>.+)",
        rf"^(?:is|are) there (?:anything|something|a {_PLACE}|any {_PLACE})\s+(?:in {_CONTAINER}\s+)?{_ABOUT}\s+"
        r"(?P<topic>.+)",
        r"^(?:is|are|does) the words? (?P<topic>.+)",
        rf"^(?:search|look|scan|check|query|go|comb|browse)\b(?:\s+(?:in|through|at|into|over))?\s+{_CONTAINER}"
        rf"(?:\s+and\s+find(?:\s+the\s+{_PLACE})?)?\s+{_ABOUT}\s+(?:(?:the|an?)\s+(?:word|phrase|term|{_PLACE})\s+)?"
        rf"(?:{_ANYTHING}?{_ABOUT}\s+)?(?P<topic>.+)",
        rf"^(?:.{{0,40}}?\b)?(?:where|what)\s+(?:she|he|{_CONTAINER})\s+{_SAYS}\s+{_ANYTHING}?(?:(?:about|on)\s+)?"
        r"(?P<topic>.+)",
        rf"^(?:it|they|this|she|he) {_SAYS} {_ANYTHING}?(?:(?:about|on)\s+)?(?P<topic>.+)",
        rf"^(?:.{{0,40}}?\b)?(?:the|a|any|every|all|which|relevant|some)?\s*{_PLACE}\s+(?:in {_CONTAINER}\s+)?"
        rf"(?:that|where|which)?\s*(?:is|are|it|they|she|he|talks?)?\s*(?:{_SAYS}|{_ABOUT})\s+(?P<topic>.+)",
        rf"^(?:where|which {_CONTAINER}|which {_PLACE})\s+(?:in {_CONTAINER}\s+)?(?:is|are|can i read about|was)\s+"
        r"(?:(?:about|on)\s+)?(?P<topic>.+)",
        rf"^(?:according to|based on|from|in|use|answer from)\s+{_CONTAINER}(?:\s+(?:to\s+)?(?:tell me|where|say))?"
        r"[\s,:]+(?P<topic>.+)",
        r"^(?:.{0,30}\b)?(?:search|look|find|locate|get|give me|show me|show|retrieve|spot)\s+(?:for\s+|up\s+|me\s+)?"
        rf"(?:in {_CONTAINER}\s+for\s+|{_ANYTHING}{_ABOUT}\s+)?(?P<topic>.+)",
        rf"^(?:anything|something)\s+(?:in {_CONTAINER}\s+)?{_ABOUT}\s+(?P<topic>.+)",
    )
]
_TAIL = re.compile(
    rf"[\s,]*\b(?:(?:anywhere )?(?:in|from|of|inside|within|among) {_CONTAINER}|please|anywhere|in here|in there|"
    r"for me|here|can you|where was that)\s*$",
    re.IGNORECASE,
)
# Possessive: nested repetition must not try every way to read "the text the text".
_BARE = re.compile(
    rf"^(?>that answers this|{_CONTAINER}\s*|{_PLACE}\s*|(?:for|in|about|on|the|a|full|semantic|search)\b\s*)++$",
    re.IGNORECASE,
)


def topic(instruction: str) -> str:
    """What is looked for: "find where it talks about the deposit" → "the deposit"; "" where nothing is named."""
    said = " ".join(instruction[:_MOST_QUESTION].replace(": ", " ").split()).strip(" ?.!:")
    found = _POLITE.sub("", said)
    for frame in _FRAMES:
        if match := frame.match(found):
            found = match["topic"]
            break
    while (shorter := _TAIL.sub("", found).strip(' ?.!:,"“”')) != found and shorter:
        found = shorter
    return "" if _BARE.match(found) or not any(map(str.isalnum, found)) else found


# --- Passages and their words -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """document: its number. start, end: its place in the document, end exclusive."""

    document: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    passage: Passage
    score: float


class Index:
    """The passages of some documents and where their words are; no vectors."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.passages = [passage for number, text in enumerate(texts) for passage in _passages(number, split(text))]
        self.characters = sum(map(len, texts))
        places: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        lengths = []
        for number, passage in enumerate(self.passages):
            stems = content_stems(passage.text)
            lengths.append(len(stems))
            for stem, count in Counter(stems).items():
                places[stem][0].append(number)
                places[stem][1].append(count)
        self._postings = {
            stem: (np.array(numbers, np.int32), np.array(counts, np.float32))
            for stem, (numbers, counts) in places.items()
        }
        self._lengths = np.array(lengths, np.float64)
        held = sum(_PASSAGE_BYTES + len(passage.text) for passage in self.passages)
        held += sum(_STEM_BYTES + numbers.nbytes + counts.nbytes for numbers, counts in self._postings.values())
        self.resident_bytes = held + self._lengths.nbytes

    def bm25(self, stems: Sequence[str]) -> tuple[Floats, Floats]:
        """(scores, coverage), float64 (passages,) each. coverage: which share of the question's weight in rare words a
        passage holds, from 0 to 1."""
        total = len(self.passages)
        scores, coverage = np.zeros(total), np.zeros(total)
        norms = _K1 * (1 - _B + _B * self._lengths / max(self._lengths.sum() / max(total, 1), 1.0))
        weight = 0.0
        for stem in set(stems):
            numbers, counts = self._postings.get(stem, (_NONE, _NONE))
            rarity = math.log(1 + (total - len(numbers) + 0.5) / (len(numbers) + 0.5))
            weight += rarity
            if len(numbers):
                scores[numbers] += rarity * counts * (_K1 + 1) / (counts + norms[numbers])
                coverage[numbers] += rarity
        return scores, coverage / weight if weight else coverage


_NONE = np.array([], np.int32)


def _passages(document: int, sentences: Sequence[Sentence]) -> list[Passage]:
    """A heading begins a passage, and belongs to what follows it."""
    passages = []
    first = 0
    while first < len(sentences):
        last, words, told = first, 0, 0
        while last < len(sentences) and words < PASSAGE_WORDS and told < PASSAGE_SENTENCES:
            words += len(sentences[last].text.split())
            told += sentences[last].kind != "heading"
            last += 1
            if _begins(sentences, last):
                break
        part = sentences[first:last]
        text = " ".join(sentence.text for sentence in part)
        passages.append(Passage(document, part[0].start, part[-1].end, text))
        apart = last == len(sentences) or len(part) == 1 or _begins(sentences, last)
        first = last if apart else last - 1
    return passages


def _begins(sentences: Sequence[Sentence], number: int) -> bool:
    return 0 < number < len(sentences) and sentences[number].kind == "heading" != sentences[number - 1].kind


# --- Ranking ----------------------------------------------------------------------------------------------------------


async def find(question: str, index: Index, encodings: Encodings) -> list[Hit]:
    """All passages that were looked at, the best first, none of which shares a sentence with a better one."""
    scores, coverage = index.bm25(content_stems(question))
    chosen = _worth_encoding(scores)
    vectors = await encodings.of([question, *(index.passages[number].text for number in chosen)])
    return _ranked(index, chosen, scores[chosen], coverage[chosen], vectors)


def _worth_encoding(scores: Floats) -> npt.NDArray[np.int64]:
    """The numbers of at most `MOST_ENCODED` passages, rising."""
    total = len(scores)
    if total <= MOST_ENCODED:
        return np.arange(total)
    best = np.argsort(-scores, kind="stable")[: MOST_ENCODED - _FROM_EVERYWHERE]
    everywhere = np.linspace(0, total - 1, _FROM_EVERYWHERE).astype(np.int64)
    return np.unique(np.concatenate([best[scores[best] > 0], everywhere]))


def _ranked(
    index: Index, chosen: npt.NDArray[np.int64], scores: Floats, coverage: Floats, vectors: Vectors
) -> list[Hit]:
    nearness = (vectors[1:] @ vectors[0]).astype(np.float64)
    chances = probability(nearness, coverage)
    hits: list[Hit] = []
    for place in np.argsort(-chances, kind="stable"):
        passage = index.passages[chosen[place]]
        if not any(
            passage.document == better.passage.document
            and passage.start < better.passage.end
            and better.passage.start < passage.end
            for better in hits[-MOST_COUNT:]
        ):
            hits.append(Hit(passage, float(chances[place])))
    return hits


# Logistic regression on validation questions: `python -m bench.experts search --fit`.
_BIAS, _NEARNESS, _COVERAGE = -6.57, 10.36, 1.66
# Chosen there, between showing what is not about the question and hiding what is.
THRESHOLD = 0.25
# Passages that a question had before it there. One of fewer is likelier to be the one.
_USUAL, _FEWEST = 25, 5


def probability(nearness: Floats, coverage: Floats) -> Floats:
    """Of being about the question, for all passages that are before it.

    nearness: cosines with it; coverage: as `Index.bm25` gives it; float64 (n,) each. What holds every word of the
    question is never below the threshold.
    """
    fewer = math.log(_USUAL / min(max(len(nearness), _FEWEST), _USUAL))
    chances = 1 / (1 + np.exp(-(_BIAS + fewer + _NEARNESS * nearness + _COVERAGE * coverage)))
    return np.where(coverage > 0.999, np.maximum(chances, THRESHOLD), chances)
