"""An answer in the making: what is too long is cut or split, pieces are passed on as they come, and data is checked.

Knows no model: whoever counts and generates will do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from ..values import Abstention, Answer, Outcome, Structured, Text
from .json_schema import AnswerSchema
from .prompting import Brief

_CHARACTERS_PER_TOKEN = 12  # hardly any text has longer tokens on average: what is beyond is not even counted
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


class Piece(NamedTuple):
    """A piece of generated text; the last one says why it ended (stop, length, cancelled) and counts."""

    text: str
    finish: str = ""
    prompt_tokens: int = 0
    generated_tokens: int = 0


class Generator(Protocol):
    """What a reply is made with."""

    @property
    def name(self) -> str: ...

    @property
    def max_parts(self) -> int: ...

    def count(self, text: str) -> int:
        """Tokens in it."""

    def room(self, brief: Brief) -> int:
        """Tokens of subject that fit beside the rest of the brief and its answer. Raises: QueryError: hardly any."""

    def generate(self, brief: Brief, subject: str) -> Iterator[Piece]:
        """Pieces as they come, at least one. subject: in the place of the brief's."""


# --- Text ------------------------------------------------------------------------------------------------------------


class Reply:
    """A text, which is passed on piece by piece."""

    def __init__(self, model: Generator, brief: Brief, emit: Callable[[str], None]) -> None:
        self._model = model
        self._brief = brief
        self._emit = emit
        self._said: list[str] = []
        self._prompt_tokens = 0
        self._generated_tokens = 0

    def answer(self) -> Outcome:
        """Raises: QueryError when the request leaves no room to answer."""
        brief = self._brief
        room, count = self._model.room(brief), self._model.count
        # A translation is about as long as its original: a part must leave its answer the room.
        limit = min(room, brief.max_tokens * 3 // 4) if brief.long == "join" else room
        parts, share = split_up(brief.subject, count, limit, 1 if brief.long == "cut" else self._model.max_parts)
        finish = "stop"
        if brief.long == "merge":
            while len(parts) > 1 and finish != "cancelled":
                answers = []
                for part in parts:
                    piece, finish = self._generate(part, emit=False)
                    answers.append(piece)
                    if finish == "cancelled":
                        break
                # Answers as long as their parts would never come down to one: the second half of each is let go.
                parts, _ = split_up("\n\n".join(answers), count, room, max(1, len(parts) // 2))
        if finish != "cancelled":
            for number, part in enumerate(parts):
                if number:
                    self._say("\n\n")
                _, finish = self._generate(part, emit=True)
                if finish == "cancelled":
                    break
        text = "".join(self._said)
        if not text.strip() and finish != "cancelled":
            return Abstention(f"{self._model.name} had nothing to say to this.")
        if share < 1 and finish != "cancelled":
            self._say(_covered(share))
        result = Text(text, finish, self._model.name, self._prompt_tokens, self._generated_tokens)
        return Answer("".join(self._said), result)

    def _generate(self, subject: str, *, emit: bool) -> tuple[str, str]:
        """The text and why it ended."""
        said, finish = "", ""
        for piece in self._model.generate(self._brief, subject):
            # Models open with a blank or a line break as often as not.
            shown = piece.text if said else piece.text.lstrip()
            said += shown
            if emit and shown:
                self._say(shown)
            finish = piece.finish
            self._prompt_tokens += piece.prompt_tokens
            self._generated_tokens += piece.generated_tokens
        return said, finish

    def _say(self, piece: str) -> None:
        self._said.append(piece)
        self._emit(piece)


# --- Data ------------------------------------------------------------------------------------------------------------


class Filling:
    """Data that keeps a schema, or none at all; nothing of it is passed on before it is whole."""

    def __init__(self, model: Generator, brief: Brief, schema: AnswerSchema, emit: Callable[[str], None]) -> None:
        self._model = model
        self._brief = brief
        self._schema = schema
        self._emit = emit

    def answer(self) -> Outcome:
        """Raises: QueryError when the request leaves no room to answer."""
        # The second attempt has twice the room.
        room = self._model.room(replace(self._brief, max_tokens=2 * self._brief.max_tokens))
        (subject,), share = split_up(self._brief.subject, self._model.count, room, 1)
        problem = ""
        for max_tokens in (self._brief.max_tokens, 2 * self._brief.max_tokens):
            said, finish = self._generate(replace(self._brief, subject=subject, max_tokens=max_tokens))
            if finish == "cancelled":
                return Abstention("It was cancelled before it was whole.")
            if finish != "length":
                problem = self._schema.problem(said)
                if not problem:
                    return self._whole(said, share)
        if problem:
            return Abstention(f"{self._model.name} gave data that does not keep the schema: {problem}")
        return Abstention(
            f"The data did not fit into {2 * self._brief.max_tokens:,} tokens: ask for fewer fields, or bound the lists"
            " and strings of the schema."
        )

    def _generate(self, brief: Brief) -> tuple[str, str]:
        """The text and why it ended."""
        said, finish = [], ""
        for piece in self._model.generate(brief, brief.subject):
            said.append(piece.text)
            finish = piece.finish
        return "".join(said).strip(), finish

    def _whole(self, said: str, share: float) -> Answer:
        data = json.loads(said)
        text = json.dumps(data, ensure_ascii=False) + (_covered(share) if share < 1 else "")
        self._emit(text)
        return Answer(text, Structured(data))


# --- Long texts and stop words ---------------------------------------------------------------------------------------


def split_up(text: str, tokens: Callable[[str], int], limit: int, count: int) -> tuple[list[str], float]:
    """At most `count` parts of at most `limit` tokens, cut between sentences, and the share of the text in them."""
    readable = text[: limit * count * _CHARACTERS_PER_TOKEN]
    whole = max(1, len(text))
    found, start, end, used = [], 0, 0, 0
    for unit_end in _unit_ends(readable, tokens, limit):
        unit = tokens(readable[end:unit_end])
        if used + unit > limit and end > start:
            found.append(readable[start:end])
            if len(found) == count:
                return found, end / whole
            start, used = end, 0
        end, used = unit_end, used + unit
    found.append(readable[start:end])
    return found, end / whole


def _covered(share: float) -> str:
    return f"\n\n(The text is longer than this model reads: this covers the first {max(1, int(share * 100))} %.)"


def _unit_ends(text: str, count: Callable[[str], int], limit: int) -> Iterator[int]:
    """Offsets after each sentence; after each bit of at most `limit` tokens where a sentence is longer than that."""
    start = 0
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    for end in [*ends, len(text)]:
        while end > start:
            # Every halving leaves a blank at the end where there is one.
            step = min(end, start + limit * _CHARACTERS_PER_TOKEN)
            while count(text[start:step]) > limit and step - start > 1:
                middle = (start + step) // 2
                blank = text.rfind(" ", start + 1, middle)
                step = blank + 1 if blank > start else middle
            yield step
            start = step


class StopWords:
    """Cuts a stream of text before the first stop word, holding back only what could be the beginning of one."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._held = ""
        self.met = False

    def push(self, piece: str) -> str:
        """What may be passed on by now."""
        if self.met:
            return ""
        text = self._held + piece
        found = min((at for word in self._words if (at := text.find(word)) >= 0), default=-1)
        if found >= 0:
            self.met, self._held = True, ""
            return text[:found]
        longest = max((len(word) for word in self._words), default=1) - 1
        kept = next(
            (n for n in range(min(longest, len(text)), 0, -1) if any(w.startswith(text[-n:]) for w in self._words)), 0
        )
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """What was held back, once nothing follows."""
        held, self._held = self._held, ""
        return held
