"""Sentences from grammars that we wrote: varied, repeatable, and cut so that a test is no test of memory.

A grammar is a TOML file of named rules, each a list of alternatives:

    [rules]
    high = ["{name}, [please ]call me {now}", "3* the {thing} is (down|on fire)"]
    now = ["at once", "right away"]

    {rule}      an alternative of that rule          [text]     there or not, one as likely as the other
    (a|b|c)     one of these                         3* …       this alternative counts three times
    {1..99}     a whole number                       {letters 8}, {digits 6}, {hex 16}: so many of them
    \\          the next sign is meant itself

Rules may not lead back to themselves. Sentences are drawn in one of two ways. `phrases` cuts the whole grammar: each
alternative of a rule with at least five belongs to training or to validation for good, by a hash of its text, so that
validation meets wordings and fillers that no training row has. `in_turn` uses every template of a rule alike and holds
out every so many-th of them alone; fillers serve both parts. Knows no labels and no data sets.
"""

from __future__ import annotations

import hashlib
import random
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

Part = Literal["train", "validation"]

# A rule with fewer alternatives holds words of grammar ("please"), which every part may use.
CUT_FROM = 5
# One alternative in so many of a rule belongs to validation.
VALIDATION_ONE_IN = 4
# So many expansions in a row without a new sentence: the grammar has no more.
_PATIENCE = 200
# Templates in turn are tried at most so many times the sentences that are wanted.
_ROUNDS = 4

FOLDER = Path(__file__).resolve().parent / "grammars"


class GrammarError(ValueError):
    """A grammar that breaks a rule; the text names the grammar, its rule and the fault."""


class Phrase(NamedTuple):
    """text: the sentence. template: the alternative of the start rule that it came from, equal for its siblings."""

    text: str
    template: str


# --- A grammar -------------------------------------------------------------------------------------------------------

# What an alternative is made of: words; a rule's name; one of several sequences; a piece that chance makes.
_Sequence = tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Words:
    text: str


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    sequences: tuple[_Sequence, ...]


@dataclass(frozen=True, slots=True)
class _Number:
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class _Signs:
    alphabet: str
    count: int


_Node = _Words | _Rule | _Choice | _Number | _Signs
_ALPHABETS = {"letters": "abcdefghijklmnopqrstuvwxyz", "digits": "0123456789", "hex": "0123456789abcdef"}


class _Alternative(NamedTuple):
    source: str
    weight: int
    sequence: _Sequence


# A rule's name → one of its alternatives, by chance.
_Pick = Callable[[str], _Alternative]


@dataclass(frozen=True)
class Grammar:
    """rules: name → alternatives. Made by `read` and `parse`, which check it."""

    name: str
    rules: Mapping[str, tuple[_Alternative, ...]]

    @cached_property
    def _parts(self) -> dict[tuple[str, Part], tuple[list[_Alternative], list[int]]]:
        """(rule, part) → its alternatives there, and their weights."""
        parts: dict[tuple[str, Part], tuple[list[_Alternative], list[int]]] = {}
        for name, alternatives in self.rules.items():
            ranked = sorted(alternatives, key=lambda each: hashlib.sha256(f"{name} {each.source}".encode()).digest())
            aside = {each.source for each in ranked[::VALIDATION_ONE_IN]} if len(ranked) >= CUT_FROM else set()
            for part in ("train", "validation"):
                own = [each for each in alternatives if not aside or (each.source in aside) == (part == "validation")]
                parts[name, part] = (own, [each.weight for each in own])
        return parts

    def templates(self, start: str, part: Part) -> list[str]:
        """The alternatives of `start` that belong to `part`."""
        return [each.source for each in self._parts[start, part][0]]

    def phrases(self, start: str, count: int, part: Part, seed: int) -> list[Phrase]:
        """Up to `count` distinct sentences, each template as often as its weight says: the same for the same seed."""
        chance = random.Random(f"{self.name} {start} {part} {seed}")  # noqa: S311  no secret

        def pick(rule: str) -> _Alternative:
            return chance.choices(*self._parts[rule, part])[0]

        found: dict[str, Phrase] = {}
        tries = 0
        while len(found) < count and tries < _PATIENCE:
            template = pick(start)
            text = _tidy("".join(_expanded(template.sequence, pick, chance)))
            tries = tries + 1 if text in found else 0
            found.setdefault(text, Phrase(text, f"{start}: {template.source}"))
        return list(found.values())

    def in_turn(self, start: str, count: int, part: Part = "train", one_in: int = 0, seed: int = 1) -> list[str]:
        """Up to `count` distinct sentences, the templates of `start` one after the other, all other rules uncut.

        one_in: every so many-th template is validation's; 0: all are training's. Weights count in fillers alone.
        """
        chance = random.Random(f"{seed} {start}")  # noqa: S311  no secret
        aside = set(range(one_in - 1, len(self.rules[start]), one_in)) if one_in else set()
        own = [each for place, each in enumerate(self.rules[start]) if (place in aside) == (part == "validation")]

        def pick(rule: str) -> _Alternative:
            return chance.choice(self._weighed[rule])

        found: dict[str, None] = {}
        for turn in range(count * _ROUNDS if own else 0):
            if len(found) == count:
                break
            found.setdefault(_tidy("".join(_expanded(own[turn % len(own)].sequence, pick, chance))))
        return list(found)

    @cached_property
    def _weighed(self) -> dict[str, list[_Alternative]]:
        """Each alternative as often as it counts."""
        return {name: [each for each in some for _ in range(each.weight)] for name, some in self.rules.items()}


def _expanded(sequence: _Sequence, pick: _Pick, chance: random.Random) -> Iterator[str]:
    for node in sequence:
        match node:
            case _Words(text):
                yield text
            case _Rule(name):
                yield from _expanded(pick(name).sequence, pick, chance)
            case _Choice(sequences):
                yield from _expanded(chance.choice(sequences), pick, chance)
            case _Number(low, high):
                yield str(chance.randint(low, high))
            case _Signs(alphabet, size):
                yield "".join(chance.choices(alphabet, k=size))


def _tidy(text: str) -> str:
    """Blanks that optional parts left behind."""
    text = re.sub(r"[ \t]{2,}", " ", text)
    return re.sub(r" +([,.;!?\n])", r"\1", text).strip()


def read(name: str, folder: Path = FOLDER) -> Grammar:
    """The grammar in `folder`/`name`.toml.

    Raises: GrammarError, OSError.
    """
    return parse(name, (folder / f"{name}.toml").read_text("utf-8"))


def parse(name: str, toml: str) -> Grammar:
    """Raises: GrammarError for what is no TOML, an unknown rule, an unbalanced bracket, a rule that leads to itself."""
    try:
        table = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise GrammarError(f"{name}: not valid TOML ({error})") from None
    rules: dict[str, tuple[_Alternative, ...]] = {}
    for rule, alternatives in table.get("rules", {}).items():
        where = f"{name}: rule {rule!r}"
        if not isinstance(alternatives, list) or not alternatives:
            raise GrammarError(f"{where}: is no list of alternatives; write at least one")
        if len(set(alternatives)) < len(alternatives):
            double = next(each for each in alternatives if alternatives.count(each) > 1)
            raise GrammarError(f"{where}: {double!r} stands there twice; give it a weight (2* …)")
        rules[rule] = tuple(_alternative(each, where) for each in alternatives)
    _check_names(name, rules)
    return Grammar(name, rules)


def _alternative(source: str, where: str) -> _Alternative:
    weight, text = re.fullmatch(r"(?:(\d+)\* )?(.*)", source, re.DOTALL).groups()  # type: ignore[union-attr]
    parser = _Parser(text, f"{where}: {source!r}")
    return _Alternative(source, int(weight or 1), parser.whole())


class _Parser:
    """Recursive descent over one alternative."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._place = 0

    def whole(self) -> _Sequence:
        sequence = self._sequence("")
        if self._place < len(self._text):
            raise GrammarError(f"{self._where}: {self._text[self._place]!r} closes what was never opened")
        return sequence

    def _sequence(self, until: str) -> _Sequence:
        nodes: list[_Node] = []
        words: list[str] = []

        def flush() -> None:
            if words:
                nodes.append(_Words("".join(words)))
                words.clear()

        while self._place < len(self._text):
            sign = self._text[self._place]
            if sign in until or (sign in ")]}" and not until):
                break
            self._place += 1
            if sign == "\\":
                words.append(self._text[self._place : self._place + 1])
                self._place += 1
            elif sign == "{":
                flush()
                nodes.append(self._named())
            elif sign == "[":
                flush()
                nodes.append(_Choice((self._sequence("]"), ())))
                self._close("]")
            elif sign == "(":
                flush()
                branches = [self._sequence("|)")]
                while self._text[self._place : self._place + 1] == "|":
                    self._place += 1
                    branches.append(self._sequence("|)"))
                self._close(")")
                nodes.append(_Choice(tuple(branches)))
            else:
                words.append(sign)
        flush()
        return tuple(nodes)

    def _close(self, sign: str) -> None:
        if self._text[self._place : self._place + 1] != sign:
            raise GrammarError(f"{self._where}: {sign!r} is missing")
        self._place += 1

    def _named(self) -> _Node:
        end = self._text.find("}", self._place)
        if end < 0:
            raise GrammarError(f"{self._where}: '}}' is missing")
        inside, self._place = self._text[self._place : end], end + 1
        if numbers := re.fullmatch(r"(\d+)\.\.(\d+)", inside):
            low, high = map(int, numbers.groups())
            if low > high:
                raise GrammarError(f"{self._where}: {{{inside}}} counts down; write the smaller number first")
            return _Number(low, high)
        if signs := re.fullmatch(r"(letters|digits|hex) (\d+)", inside):
            return _Signs(_ALPHABETS[signs[1]], int(signs[2]))
        return _Rule(inside)


def _check_names(name: str, rules: Mapping[str, tuple[_Alternative, ...]]) -> None:
    """Every rule named is there, and none leads back to itself."""
    done: set[str] = set()

    def visit(rule: str, above: tuple[str, ...]) -> None:
        if rule in above:
            raise GrammarError(f"{name}: rule {rule!r} leads back to itself ({' → '.join([*above, rule])})")
        if rule in done:
            return
        if rule not in rules:
            raise GrammarError(f"{name}: rule {above[-1]!r} names {{{rule}}}, and there is no such rule")
        for alternative in rules[rule]:
            for each in _names(alternative.sequence):
                visit(each, (*above, rule))
        done.add(rule)

    for rule in rules:
        visit(rule, ())


def _names(sequence: _Sequence) -> Iterator[str]:
    for node in sequence:
        if isinstance(node, _Rule):
            yield node.name
        elif isinstance(node, _Choice):
            for each in node.sequences:
                yield from _names(each)


# --- How people really type ------------------------------------------------------------------------------------------

_NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et", "s": "ad", "t": "ry",
    "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
_SHORT = {"you": "u", "your": "ur", "please": "pls", "are": "r", "to": "2", "for": "4", "tomorrow": "tmrw",
          "message": "msg", "because": "cos", "thanks": "thx", "and": "&", "with": "w/", "be": "b"}  # fmt: skip
# Words that a slip would make into something else: links, addresses, markup, codes.
_FRAGILE = re.compile(r"[<>@/\\{}=#$%\d_]|\.\w")


def typed(text: str, chance: random.Random) -> str:
    """`text` as a hurried hand may type it; half of the texts stay as they are. Links and markup are left alone."""
    kind = chance.random()
    if kind < 0.5:
        return text
    if kind < 0.72 and not _FRAGILE.search(text):
        text = text.lower()
    elif kind < 0.75 and not _FRAGILE.search(text):
        text = text.upper()
    if chance.random() < 0.3:
        text = text.rstrip(".!?") + chance.choice(["", "", "!", "!!", "..", "…", " "])
    if chance.random() < 0.25:
        text = text.replace("'", chance.choice(["", "’"]))
    if chance.random() < 0.15:
        text = " ".join(_SHORT.get(word, word) if chance.random() < 0.5 else word for word in text.split(" "))
    if chance.random() < 0.35:
        words = text.split(" ")
        for place in chance.sample(range(len(words)), k=min(len(words), chance.choice([1, 1, 1, 2]))):
            words[place] = _slipped(words[place], chance)
        text = " ".join(words)
    return text.strip() or "ok"


def _slipped(word: str, chance: random.Random) -> str:
    """One letter left out, doubled, swapped with the next, or the key beside it."""
    if len(word) < 4 or _FRAGILE.search(word):
        return word
    place = chance.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    match chance.randrange(4):
        case 0:
            return before + after
        case 1:
            return before + letter * 2 + after
        case 2:
            return before + after[0] + letter + after[1:]
        case _:
            return before + chance.choice(_NEIGHBOURS.get(letter, letter)) + after
