"""The key words and phrases of a text: no list of topics, no language model.

Candidates come from the text's own statistics (after YAKE; Campos et al., 2020): a word matters when it is often
written with a capital, comes early, comes often, keeps few different neighbours and is spread over the sentences; a
phrase matters when its words do. The best of them are ranked by their nearness to the text by the trunk's vectors as
well (EmbedRank; Bennani-Smires et al., 2018). What repeats a better phrase is left out. What a text is about without
saying so is not found.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..servable import Encode
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from .encodings import Encodings
from .given import given, number_asked
from .sentences import split
from .words import ADDRESS, WORD, function_words, lower, stem, word_list

DEFAULT_COUNT = 8
MOST_COUNT = 50
# Of longer texts, the beginning is read: about thirty pages.
MAX_CHARACTERS = 100_000
# Longer than this, a text leaves the event loop.
_QUICK_CHARACTERS = 400
MAX_WORDS = 3
# So many candidates are encoded for each phrase that is asked for, and some at least, beside the beginning of the text.
ENCODED = 4
_FEWEST_ENCODED = 16
_BEGINNING = 1_000
# How much of a candidate's rank its statistics are; the rest is its nearness to the text. Chosen on validation mails.
STATISTICS = 1 / 8

_ASKS = re.compile(
    r"\bkey ?-?(?:words?|phrases?|terms?)\b|\btags?\b|\bhashtags?\b|\bbuzzwords?\b|\bindex terms?\b|"
    r"\b(?:main|important|central|relevant|salient|significant|characteristic|defining|essential) (?:\w+ )?"
    r"(?:words?|terms?|phrases?)\b|\b(?:words?|terms?|phrases?) (?:that|which|to|stand|matter|sum)",
    re.IGNORECASE,
)
_UNITS = r"(?:key ?-?)?(?:words?|phrases?|terms?|tags?|hashtags?|keys|labels|expressions|ones)\b"
_SINGLE = re.compile(r"\bsingle[ -]words?\b|\bone[ -]word\b|\bunigrams?\b|\bno phrases\b|\b(?:only|just) words\b")
_PHRASES = re.compile(r"\bkey ?-?phrases?\b|\bphrases\b|\bmulti[ -]?word\b|\bexpressions\b")


@dataclass(frozen=True, slots=True)
class Keyword:
    """phrase: as the text writes it most often. score: from 1 for the best one down to 0."""

    phrase: str
    score: float


class Keywords:
    """Answers `Structured`: {"keywords": [{"phrase", "score"}, …]}, the best first."""

    def __init__(self, encode: Encode) -> None:
        self._encodings = Encodings(encode)

    def resident_bytes(self) -> int:
        return self._encodings.resident_bytes()

    async def answer(self, query: Query) -> Outcome:
        brought = given(query, _ASKS)
        if brought is None:
            return Abstention("this asks for no key words, and is too short to have any", "not_mine")
        if not brought.texts:
            return Abstention("Key words of which text? Give it after a colon, or as a file.", "needs_input")
        instruction = brought.instruction.lower()
        count = min(max(number_asked(instruction, _UNITS) or DEFAULT_COUNT, 1), MOST_COUNT)
        fewest, most = 1, MAX_WORDS
        if _SINGLE.search(instruction):
            most = 1
        elif _PHRASES.search(instruction) and not re.search(r"\bwords?\b", instruction):
            fewest = 2
        text = "\n\n".join(document.text for document in brought.texts)[:MAX_CHARACTERS]
        found = await key_phrases(text, count, self._encodings, fewest, most)
        if not found:
            return Abstention("the text holds no word that could be a key word", "unsure")
        data: list[Json] = [{"phrase": each.phrase, "score": round(each.score, 4)} for each in found]
        return Answer(", ".join(each.phrase for each in found), Structured({"keywords": data}))


async def key_phrases(
    text: str, count: int, encodings: Encodings, fewest_words: int = 1, most_words: int = MAX_WORDS
) -> list[Keyword]:
    """At most `count` phrases of so many words each, the best first; fewer words where the text has no such phrase."""
    if len(text) <= _QUICK_CHARACTERS:
        found = candidates(text, most_words)
    else:
        found = await asyncio.to_thread(candidates, text, most_words)
    longer = [each for each in found if len(each.stems) >= fewest_words]
    kept = (longer or found)[: max(ENCODED * count, _FEWEST_ENCODED)]
    if not kept:
        return []
    vectors = await encodings.of([text[:_BEGINNING], *(each.phrase for each in kept)])
    nearness = vectors[1:] @ vectors[0]
    worth = {each: float(near) - STATISTICS * math.log(each.weight) for each, near in zip(kept, nearness, strict=True)}
    best = unlike(sorted(kept, key=lambda each: -worth[each]), count)
    return [Keyword(each.phrase, math.exp(worth[each] - worth[best[0]])) for each in best]


def candidates(text: str, most_words: int = MAX_WORDS) -> list[Candidate]:
    """Phrases of at most so many words, the best first by the statistics of the text alone."""
    chunks = _chunks(text)
    empty = function_words(word.lower for chunk in chunks for word in chunk.words)
    return sorted(_candidates(chunks, _weights(chunks, empty), empty, most_words), key=lambda each: each.weight)


# --- Words and where they stand ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Word:
    """raw: as written, without a possessive. lower: in lower case. stem: what plural and singular share."""

    raw: str
    lower: str
    stem: str


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Words between marks of punctuation. sentence: its number. begins: whether the sentence begins with it."""

    words: tuple[_Word, ...]
    sentence: int
    begins: bool


def _chunks(text: str) -> list[_Chunk]:
    chunks = []
    sentences = [each for each in split(text, own=True) if each.kind != "greeting"]
    for number, sentence in enumerate(sentences):
        plain = ADDRESS.sub(" | ", sentence.text)
        begins, last = True, 0
        words: list[_Word] = []
        for match in WORD.finditer(plain):
            if words and plain[last : match.start()].strip():
                chunks.append(_Chunk(tuple(words), number, begins))
                begins, words = False, []
            last = match.end()
            raw = match.group().removesuffix("'s").removesuffix("’s")
            low = lower(raw)
            words.append(_Word(raw, low, stem(low)))
        if words:
            chunks.append(_Chunk(tuple(words), number, begins))
    return chunks


@dataclass(slots=True)
class _Uses:
    """How a word is used: how often, how often with a capital inside a sentence, as an acronym, where, beside what."""

    count: int = 0
    capitals: int = 0
    acronyms: int = 0
    sentences: list[int] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)


def _weights(chunks: Sequence[_Chunk], empty: frozenset[str]) -> dict[str, float]:
    """Of each stem; the smaller, the more it matters. The five features of YAKE, combined as there."""
    uses: defaultdict[str, _Uses] = defaultdict(_Uses)
    for chunk in chunks:
        for place, word in enumerate(chunk.words):
            use = uses[word.stem]
            use.count += 1
            if len(word.raw) > 1 and word.raw.isupper():
                use.acronyms += 1
            elif word.raw[0].isupper() and not (chunk.begins and place == 0):
                use.capitals += 1
            if not use.sentences or use.sentences[-1] != chunk.sentence:
                use.sentences.append(chunk.sentence)
            if place:
                before = chunk.words[place - 1].stem
                use.left[before] += 1
                uses[before].right[word.stem] += 1
    content = [use.count for word, use in uses.items() if word not in empty]
    if not content:
        return {}
    mean = sum(content) / len(content)
    usual = mean + math.sqrt(sum((count - mean) ** 2 for count in content) / len(content))
    most = max(content)
    sentences = chunks[-1].sentence + 1
    return {stem: _weight(use, usual, most, sentences) for stem, use in uses.items()}


def _weight(use: _Uses, usual: float, most: int, sentences: int) -> float:
    case = max(use.capitals, use.acronyms) / (1 + math.log(use.count))
    # Where it comes first; YAKE takes the median, which did worse on validation mails.
    position = math.log(math.log(3 + use.sentences[0]))
    frequency = use.count / usual
    related = 1 + (_variety(use.left) + _variety(use.right)) * use.count / most
    spread = len(use.sentences) / sentences
    return related * position / (case + frequency / related + spread / related)


def _variety(neighbours: Counter[str]) -> float:
    """Different neighbours among all: near 1 for a word that stands beside anything."""
    total = neighbours.total()
    return len(neighbours) / total if total else 0.0


# --- Phrases ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """stems: of its words. weight: above 0; the smaller, the more it matters."""

    phrase: str
    stems: tuple[str, ...]
    weight: float


def _candidates(
    chunks: Sequence[_Chunk], weights: dict[str, float], empty: frozenset[str], most_words: int
) -> list[Candidate]:
    """Runs of content words; a phrase is written as the text does most often."""
    written: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for chunk in chunks:
        for run in _runs(chunk.words, empty):
            for length in range(1, most_words + 1):
                for start in range(len(run) - length + 1):
                    part = run[start : start + length]
                    written[tuple(word.stem for word in part)][" ".join(word.raw for word in part)] += 1
    found = []
    counts = {stems: forms.total() for stems, forms in written.items()}
    for stems, forms in written.items():
        # "Harbour Bank announced" once, "Harbour Bank" twice: the shorter one is the phrase.
        is_part = len(stems) > 2 and max(counts[stems[1:]], counts[stems[:-1]]) > counts[stems]
        if is_part or len(set(stems)) < len(stems):
            continue
        product, total = 1.0, 0.0
        for each in stems:
            product *= weights[each]
            total += weights[each]
        phrase = max(forms, key=lambda form: (forms[form], sum(map(str.islower, form))))
        found.append(Candidate(phrase, stems, product / (counts[stems] * (1 + total))))
    return found


# Days, and forms that are verbs alone: no key words, and where they stand a phrase ends.
_IDLE = word_list(
    """monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag
    sonntag add adds added allow allows allowed appear appears appeared ask asks asked become becomes begin begins
    began bring brings brought called caused changed contain contains contained costs decide decides decided expect
    expects expected fell feel feels felt find finds found follow follows followed happen happens happened hear
    heard helps helped holds held include includes included increased keep keeps kept kostet led leaves left lies
    lives lived lose loses lost mean means meant meet meets met moved need needs needed opens opened pays paid plays
    played raise raises raised reached reads remain remains remained runs ran send sends sent shows showed shown
    starts started stays stayed stopped talked tells told turned understand waited want wants wanted won works
    worked"""
)


def _runs(words: Sequence[_Word], empty: frozenset[str]) -> Iterator[list[_Word]]:
    run: list[_Word] = []
    for word in words:
        if word.lower in empty or word.lower in _IDLE or len(word.lower) < 2 or not any(map(str.isalpha, word.raw)):
            if run:
                yield run
            run = []
        else:
            run.append(word)
    if run:
        yield run


def unlike(ranked: Iterable[Candidate], count: int) -> list[Candidate]:
    """The first `count` of which none says again what a better one says."""
    best: list[Candidate] = []
    for candidate in ranked:
        own = set(candidate.stems)
        if not any(own <= set(other.stems) or own >= set(other.stems) for other in best):
            best.append(candidate)
            if len(best) == count:
                break
    return best
