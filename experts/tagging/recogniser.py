"""A recogniser: a pattern for one type, what else must hold, and the words that make it likelier.

Every pattern is linear in the text: its repetitions are bounded, and a lookbehind keeps it from starting in the middle
of a run. Patterns are compiled when first used. Knows no type by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from .spans import Evidence, Span

# How far from a span a word still speaks for it.
CONTEXT_BEFORE, CONTEXT_AFTER = 48, 16


def starting(first: str, rest: str, before: str = r"\w") -> str:
    """A pattern that begins with `first` where no `before` stands ahead of it; both match one character.

    Told in this order, most of a text is passed over at the speed of a search for one character.
    """
    return rf"{first}(?<!{before}{first}){rest}"


# The value found (group "value", else the whole match) → its score, None where it is none after all.
Check = Callable[["re.Match[str]"], "float | None"]


@dataclass(frozen=True)
class Recogniser:
    """Finds spans of one type.

    pattern: a regular expression; the group "value", where it has one, is the span. score: of a span without more.
    check: gives the score instead, or None. triggers: a text that has none of these, in lower case, is not searched;
    digits: nor is one with fewer digits. context: a regular expression for words near the span; they add `boost` to
    the score. bare: False where a span without such a word is none. evidence: of a span; with `proves`, a span beside
    such a word is proved; beside: its type, where that is another.
    """

    type: str
    pattern: str
    score: float = 0.9
    check: Check | None = None
    triggers: tuple[str, ...] = ()
    digits: int = 0
    context: str = ""
    boost: float = 0.35
    bare: bool = True
    evidence: Evidence = Evidence.PATTERN
    proves: bool = False
    beside: str = ""

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    @cached_property
    def _context(self) -> re.Pattern[str] | None:
        return re.compile(rf"(?i)(?<!\w)(?:{self.context})") if self.context else None

    def may_find(self, lower: str, digits: int) -> bool:
        """Whether a text is worth searching. lower: it in lower case; digits: how many it has."""
        return digits >= self.digits and (not self.triggers or any(trigger in lower for trigger in self.triggers))

    def find(self, text: str, first: int, last: int, limit: int) -> Iterator[Span]:
        """Spans that begin in text[first:last]; nothing behind `limit` is read."""
        for match in self._compiled.finditer(text, first, limit):
            if match.start() >= last:
                return
            score = self.score if self.check is None else self.check(match)
            if score is None:
                continue
            start, end = match.span("value" if "value" in self._compiled.groupindex else 0)
            type_, evidence = self.type, self.evidence
            if self._context is not None:
                if _is_spoken_of(self._context, text, start, end):
                    score = min(0.99, score + self.boost)
                    evidence = Evidence.PROVED if self.proves else evidence
                    type_ = self.beside or type_
                elif not self.bare:
                    continue
            yield Span(start, end, type_, score, evidence)


def _is_spoken_of(context: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Whether a word of the context stands near, in the same paragraph."""
    before = text[max(0, start - CONTEXT_BEFORE) : start].rpartition("\n\n")[2]
    after = text[end : end + CONTEXT_AFTER].partition("\n")[0]
    return context.search(before) is not None or context.search(after) is not None
