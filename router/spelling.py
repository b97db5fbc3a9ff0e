"""What a text was meant to say: decoration dropped, slips of the keyboard mended, words that run together cut apart.

A noisy channel (Kernighan, Church and Gale, 1990): the reading that costs least is taken, where a word costs what it is
rare and each slip costs a constant. Words come from two places: the experts' own sentences, and the vocabulary of the
trunk's tokenizer, which stands in about the order of frequency. A text of known words is never touched, nor is a word
that the experts use; what no word explains well stays as it is: a name bent into a word does more harm than a slip.

Knows no grammar and no neighbours: a slip that makes another common word ("form" for "from") is not seen. English
alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

# A word's rank in the vocabulary; None where the vocabulary does not have it whole.
Rank = Callable[[str], int | None]

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Costs are natural logarithms of odds. Chosen on CLINC150's validation rows with slips added to them.
SLIP = 5.5
# More for a letter replaced (but by a neighbour on the keyboard, in a word of five letters or more), for the first or
# last letter, and in a word of three letters for all but two letters swapped.
FAR_KEY, OUTER_LETTER, THREE_LETTERS = 6.0, 2.0, 3.0
# A word that no expert uses is what was meant only where it is one of the commonest.
COMMON = 10_000
# A space left out; each further one in the same run.
SPACE, NEXT_SPACE = 5.0, 1.0
# A word that nobody knows: this much, and so much for each letter. In a run of this length words are missed spaces.
STRANGE, STRANGE_LETTER = 8.0, 1.8
RUN_LETTERS, RUN_LETTER = 12, 2.6
# A word of the vocabulary that no expert uses, in a text that has slips elsewhere: so much is in its favour.
TRUST = 3.0
# The first entries of the vocabulary are marks and letters; its words begin about here.
FIRST_RANK = 1990
VOCABULARY = 30_000
# Of the words in a request, the share that come from the experts' sentences rather than from the language at large.
OWN_SHARE = 0.7
# Below, words are too alike to tell what was meant.
LEAST_LETTERS = 3
LEAST_LETTERS_TWO_SLIPS = 8
LEAST_LETTERS_CUT = 5
# Above, a run of letters is no word with a slip in it; or no words either.
MOST_LETTERS = 24
MOST_LETTERS_CUT = 256
LONGEST_WORD = 18
# Pieces of one or two letters are words only where they are these.
SHORT_WORDS = frozenset({
    "a", "i", "am", "an", "as", "at", "be", "by", "do", "go", "he", "hi", "if", "in", "is", "it", "me", "my", "no",
    "of", "on", "or", "so", "to", "tv", "up", "us", "we",
})  # fmt: skip
# What follows an apostrophe.
ENDINGS = frozenset({"s", "t", "m", "d", "ll", "re", "ve"})
# Of inflected words, the longest first.
ENDED = ("ings", "ing", "ers", "ors", "er", "or", "ed", "es", "ly", "s")
LEAST_STEM = 4
# Longer texts, and those with more strange words, are something else than a request with slips in it.
MOST_CHARACTERS = 2000
MOST_STRANGE_WORDS = 16
REMEMBERED_WORDS = 4096
KEYS = {
    "q": "wa", "w": "qeas", "e": "wrsd", "r": "etdf", "t": "ryfg", "y": "tugh", "u": "yihj", "i": "uojk", "o": "ipkl",
    "p": "ol", "a": "qwsz", "s": "weadzx", "d": "ersfxc", "f": "rtdgcv", "g": "tyfhvb", "h": "yugjbn", "j": "uihknm",
    "k": "iojlm", "l": "opk", "z": "asx", "x": "zsdc", "c": "xdfv", "v": "cfgb", "b": "vghn", "n": "bhjm", "m": "njk",
}  # fmt: skip
# Of so many sentences the words are counted, evenly chosen.
MOST_SENTENCES = 20_000

_WORD = re.compile(r"[a-z]+")
_RUN = re.compile(r"[A-Za-z]+")
# Addresses, paths and code are left alone.
_CODE = re.compile(r"[@/\\_{}<>=#|~^`\[\]]|\w[.:]\w")
_PIECES = re.compile(r"\s+|\S+")
_HIDDEN = re.compile("[\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u20e3\U000e0000-\U000e0fff]+")
# Pictures and ornaments. Arrows, mathematical signs and those of arithmetic among the dingbats mean something.
_PICTURES = re.compile("[\u2300-\u23ff\u2500-\u2715\u2717-\u2794\u2798-\u27bf\u2b00-\u2bff\U0001f000-\U0001fbff]+")
_MARKS = re.compile(r"([!?])\1{2,}|(\.\.\.)\.+")
# "10minutes", but neither "5pm" nor "mp3"; repeated marks.
_AMISS = re.compile(r"[0-9][A-Za-z]{3}|[A-Za-z]{3}[0-9]|([!?])\1\1|\.{4}")
_REPEATED = re.compile(r"([a-z])\1{2,}")


def undecorated(text: str) -> str:
    """Without pictures, hidden characters and repeated marks; as it is where nothing else would be left."""
    bare = text
    if not text.isascii():
        seen = _HIDDEN.sub("", text)
        bare = _PICTURES.sub(" ", seen)
        bare = " ".join(bare.split()) if bare != seen else seen
    bare = _MARKS.sub(lambda found: found[1] or found[2], bare)
    return bare if any(character.isalnum() for character in bare) else text


class Lexicon:
    """How often the experts' sentences use each word. Read from many sentences, it takes some 2 ms per thousand."""

    def __init__(self, sentences: Iterable[str]) -> None:
        kept = list(sentences)
        kept = kept[:: 1 + len(kept) // MOST_SENTENCES]
        self.counts = Counter(word for text in kept for word in _WORD.findall(text.lower()))
        self.total = max(self.counts.total(), 1)

    def near(self, word: str) -> Iterator[str]:
        """Its longer words that may be two slips away: those with nearly the same letters."""
        words, letters = self._long
        if words:
            apart = np.abs(letters - _letters(word)).sum(axis=1)
            yield from (words[place] for place in np.flatnonzero(apart <= 3).tolist())

    @cached_property
    def _long(self) -> tuple[list[str], npt.NDArray[np.int8]]:
        words = [word for word in self.counts if LEAST_LETTERS_TWO_SLIPS <= len(word) <= MOST_LETTERS]
        return words, np.array([_letters(word) for word in words], np.int8).reshape(-1, 26)


class Speller:
    """rank: a word's rank in the vocabulary, as `Encoder.rank` gives it. Safe to use from several threads at once."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._sound: set[str] = set()

    def suspects(self, text: str) -> bool:
        """Whether there may be something to mend; False, within microseconds, for a text of known plain words."""
        if len(text) > MOST_CHARACTERS:
            return False
        if _AMISS.search(text) or not (text.isascii() or undecorated(text) == text):
            return True
        return not self._sound.issuperset(words := _WORD.findall(text.lower())) and any(map(self._strange, words))

    def repair(self, text: str, lexicon: Lexicon) -> str:
        """The text as it was meant; the same where nothing is amiss. Repairing what was repaired changes nothing."""
        if not self.suspects(text):
            return text
        text = undecorated(text)
        if sum(map(self._strange, set(_WORD.findall(text.lower())))) > MOST_STRANGE_WORDS:
            return text
        reading = _Reading(self._rank, lexicon)
        # Each turn leaves a text whose words cost less, so there is an end.
        while (better := reading.of(text)) != text:
            text = better
        return text

    def _has(self, word: str) -> bool:
        return self._rank(word) is not None

    def _strange(self, word: str) -> bool:
        if word not in self._sound:
            if not is_word(word, self._has):
                return True
            if len(self._sound) < REMEMBERED_WORDS and len(word) <= MOST_LETTERS:
                self._sound.add(word)
        return False


def is_word(word: str, has: Callable[[str], bool]) -> bool:
    """Whether it is one that `has` tells of, or an inflection of one."""
    if has(word):
        return True
    for ending in ENDED:
        if word.endswith(ending):
            stem = word[: -len(ending)]
            if len(stem) >= LEAST_STEM and stem[-1] != "s":
                doubled = stem[-1] == stem[-2] and has(stem[:-1])
                return has(stem) or (ending != "s" and (doubled or has(stem + "e")))
    return False


class _Reading:
    """One text against one lexicon."""

    def __init__(self, rank: Rank, lexicon: Lexicon) -> None:
        self._rank = rank
        self._lexicon = lexicon
        self._costs: dict[str, float] = {}
        self._mended: dict[tuple[str, bool, bool], str] = {}

    def of(self, text: str) -> str:
        pieces = _PIECES.findall(text)
        shouted = text.isupper()
        begins = True
        for place, piece in enumerate(pieces):
            if piece.isspace():
                continue
            if piece.isascii() and not _CODE.search(piece):
                pieces[place] = self._piece(piece, names=not (begins or shouted))
            begins = piece[-1] in ".?!"
        self._shift(pieces)
        return "".join(pieces)

    def _piece(self, piece: str, *, names: bool) -> str:
        """What stands between two spaces: runs of letters with marks and digits around. names: a capital is a name."""
        numbered = any(character.isdigit() for character in piece)

        def mend(found: re.Match[str]) -> str:
            run = found[0]
            if names and not run.islower():
                return run
            before, after = piece[: found.start()][-1:], piece[found.end() :][:1]
            mended = self.word(run.lower(), ending=before == "'", slips=not numbered)
            if len(run) < 3 or not self._known(mended.split()[0]):
                return run
            shown = run if mended == run.lower() else mended.upper() if run.isupper() else mended
            return f"{' ' * before.isdigit()}{shown}{' ' * after.isdigit()}"

        return _RUN.sub(mend, piece)

    def word(self, run: str, *, ending: bool = False, slips: bool = True) -> str:
        """Lower-case letters → the words that they most likely are. ending: of a word with an apostrophe before it."""
        if len(run) < LEAST_LETTERS or run in self._lexicon.counts or (ending and run in ENDINGS):
            return run
        if (squeezed := self._squeezed(run)) is not None:
            return squeezed
        key = (run, ending, slips)
        if key not in self._mended:
            self._mended[key] = self._best(run, ending=ending, slips=slips and not ending)
        return self._mended[key]

    def _best(self, run: str, *, ending: bool, slips: bool) -> str:
        known = self._has(run)
        if not known and is_word(run, self._has):
            return run
        best, least = run, self._cost(run) - TRUST if known else STRANGE + STRANGE_LETTER * len(run)
        if slips and len(run) <= MOST_LETTERS:
            for word, cost in self._slips(run):
                if cost < least:
                    best, least = word, cost
        if not known and LEAST_LETTERS_CUT <= len(run) <= MOST_LETTERS_CUT:
            if best == run and len(run) >= RUN_LETTERS:
                least = STRANGE + RUN_LETTER * len(run)
            words, cost = self._cut(run, ending)
            if cost < least and len(words) > 1:
                best = " ".join(words)
        return best

    def _known(self, word: str) -> bool:
        return is_word(word, self._has)

    def _has(self, word: str) -> bool:
        return word in self._lexicon.counts or self._rank(word) is not None

    def _cost(self, word: str) -> float:
        """Minus the logarithm of its probability; infinite for what is no word."""
        if (cost := self._costs.get(word)) is None:
            used = OWN_SHARE * self._lexicon.counts[word] / self._lexicon.total
            if (rank := self._rank(word)) is not None and len(word) > 1:
                # Zipf's law; the harmonic number of the vocabulary's size makes it a probability.
                used += (1 - OWN_SHARE) / (max(rank - FIRST_RANK, 1) + 10) / math.log(VOCABULARY / 10)
            cost = self._costs[word] = -math.log(used) if used > 0 else math.inf
        return cost

    def _squeezed(self, run: str) -> str | None:
        """Of "sooo" "so", of "pleeease" "please"."""
        if _REPEATED.search(run) and not self._known(run):
            for kept in (r"\1\1", r"\1"):
                shorter = _REPEATED.sub(kept, run)
                if self._known(shorter) and len(shorter) > 1:
                    return shorter
        return None

    def _slips(self, run: str) -> Iterator[tuple[str, float]]:
        counts, rank, found = self._lexicon.counts, self._rank, False
        for word, slip in _one_slip(run):
            if len(word) < 3 and word not in SHORT_WORDS:
                continue
            if word in counts or ((place := rank(word)) is not None and place < COMMON):
                found = True
                yield word, self._cost(word) + slip
        if not found and len(run) >= LEAST_LETTERS_TWO_SLIPS:
            for word in self._lexicon.near(run):
                if word[0] == run[0] and abs(len(word) - len(run)) <= 2 and distance(run, word) == 2:
                    yield word, self._cost(word) + 2 * SLIP

    def _cut(self, run: str, ending: bool) -> tuple[list[str], float]:
        """The cheapest words that the run is made of, and their cost (Viterbi); none where there are no such words.

        In a long run a strange word among them is allowed; a short one, which may be a compound, must be words that the
        experts use.
        """
        long, own = len(run) >= RUN_LETTERS, self._lexicon.counts
        least = [0.0] + [math.inf] * len(run)
        begin = [0] * (len(run) + 1)
        for stop in range(1, len(run) + 1):
            for start in range(max(0, stop - LONGEST_WORD), stop):
                word = run[start:stop]
                if (len(word) > 2 or word in SHORT_WORDS) and (long or word in own):
                    cost = self._cost(word)
                elif ending and not start and word in ENDINGS:
                    cost = 1.0
                else:
                    cost = math.inf
                if long and len(word) > 3:
                    cost = min(cost, STRANGE + RUN_LETTER * len(word))
                cost += least[start] + (NEXT_SPACE if start else SPACE)
                if cost < least[stop]:
                    least[stop], begin[stop] = cost, start
        words: list[str] = []
        stop = len(run)
        while stop and least[-1] < math.inf:
            words.append(run[begin[stop] : stop])
            stop = begin[stop]
        return words[::-1], least[-1]

    def _shift(self, pieces: list[str]) -> None:
        """Mends spaces that came a letter too early or too late: "se tan alarm"."""
        for place in range(len(pieces) - 2):
            left, space, right = pieces[place : place + 3]
            if space != " " or not (_plain(left) and _plain(right)) or (self._known(left) and self._known(right)):
                continue
            least = self._price(left) + self._price(right)
            for one, other in ((left + right[0], right[1:]), (left[:-1], left[-1] + right)):
                sound = all(len(word) > 2 or word in SHORT_WORDS for word in (one, other))
                if sound and (cost := self._cost(one) + self._cost(other) + SLIP) < least:
                    pieces[place], pieces[place + 2], least = one, other, cost

    def _price(self, word: str) -> float:
        return min(self._cost(word), STRANGE + STRANGE_LETTER * len(word))


def distance(one: str, other: str) -> int:
    """Slips from one to the other: a letter left out, put in, replaced, or two neighbours swapped (optimal string
    alignment; Damerau, 1964)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(last[column] + 1, now[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and wanted == one[row - 2]:
                cost = min(cost, before[column - 2] + 1)
            now.append(cost)
        before, last = last, now
    return last[-1]


def _one_slip(word: str) -> Iterator[tuple[str, float]]:
    """All that one slip may have made this of, with the slip's cost."""
    other = SLIP + THREE_LETTERS * (len(word) <= 3)
    for place in range(len(word) + 1):
        head, tail = word[:place], word[place:]
        cost = other + OUTER_LETTER * (place == 0 or place >= len(word) - 1)
        if tail:
            first, rest = tail[0], tail[1:]
            yield head + rest, cost
            if rest and rest[0] != first:
                yield head + rest[0] + first + rest[1:], SLIP
            near = KEYS[first] if len(word) > 4 else ""
            for letter in LETTERS:
                yield head + letter + rest, cost if letter in near else cost + FAR_KEY
        for letter in LETTERS:
            yield head + letter + tail, cost


def _letters(word: str) -> npt.NDArray[np.int8]:
    return np.bincount(np.frombuffer(word.encode(), np.uint8) - 97, minlength=26).astype(np.int8)


def _plain(piece: str) -> bool:
    return piece.isascii() and piece.isalpha() and piece.islower()
