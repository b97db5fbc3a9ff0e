"""A left-corner chart parser: words and rules in, every phrase it finds out.

Rules are written "nth DOW of|in TIME": lower-case words stand for themselves, upper-case ones for categories; `a|b` is
either, `x?` may be missing. Phrases are found from the end of the text to its beginning, so that whatever follows a
phrase is known when it is begun; the rules lie in a trie, so that common beginnings are walked once.

Knows nothing about time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# A phrase longer than this many words is no phrase: it bounds the work on a text of any length.
_MAX_WORDS = 28
# Of phrases with the same category, beginning and end, this many of the best are kept.
_MAX_READINGS = 5


class Phrase(NamedTuple):
    """end: index after its last word. score: sum of its rules' scores."""

    end: int
    value: Any
    score: float


# A phrase with the categories it belongs to.
Found = tuple[Sequence[str], Phrase]


class Rule(NamedTuple):
    """action: called with the context and the values of the categories, in order; its result is a value that has
    `cats` (the categories it belongs to), or None: the rule does not hold here. So do ValueError and OverflowError say.
    """

    action: Callable[..., Any]
    score: float


class Node:
    __slots__ = ("next", "rules")

    def __init__(self) -> None:
        self.next: dict[str, Node] = {}
        self.rules: list[Rule] = []


class Grammar:
    def __init__(self) -> None:
        self.root = Node()

    def add(self, pattern: str, action: Callable[..., Any], score: float = 0.0) -> None:
        """One rule; see the module's head for the pattern."""
        nodes = [self.root]
        for symbol in pattern.split():
            optional = symbol.endswith("?")
            names = symbol.rstrip("?").split("|")
            following = [node.next.setdefault(name, Node()) for node in nodes for name in names]
            nodes = nodes + following if optional else following
        for node in nodes:
            node.rules.append(Rule(action, score))

    def parse(self, context: Any, lexical: Sequence[Sequence[Found]]) -> list[dict[str, list[Phrase]]]:
        """lexical: per word, the phrases that begin there and that the lexicon knows. Returns, per word, the phrases
        that begin there by category."""
        cells: list[dict[str, list[Phrase]]] = [{} for _ in range(len(lexical) + 1)]
        root = self.root.next
        for begin in range(len(lexical) - 1, -1, -1):
            cell = cells[begin]
            step = _Step(context, cells, begin + _MAX_WORDS, list(lexical[begin]))
            while step.agenda:
                categories, phrase = step.agenda.pop()
                for category in categories:
                    if not _insert(cell.setdefault(category, []), phrase):
                        continue
                    node = root.get(category)
                    if node is not None:
                        step.walk(node, phrase.end, () if phrase.value is None else (phrase.value,), phrase.score)
        return cells


class _Step:
    """One beginning: walks the trie along the phrases that follow, and puts what rules make on the agenda."""

    __slots__ = ("agenda", "cells", "context", "limit")

    def __init__(self, context: Any, cells: list[dict[str, list[Phrase]]], limit: int, agenda: list[Found]) -> None:
        self.context, self.cells, self.limit, self.agenda = context, cells, limit, agenda

    def walk(self, node: Node, at: int, values: tuple[Any, ...], score: float) -> None:
        for rule in node.rules:
            try:
                made = rule.action(self.context, *values)
            except (ValueError, OverflowError):
                # Off the calendar: this rule does not hold here.
                continue
            if made is not None:
                self.agenda.append((made.cats, Phrase(at, made, score + rule.score)))
        following = node.next
        if not following:
            return
        cell = self.cells[at]
        for category in cell if len(cell) < len(following) else following:
            child = following.get(category)
            phrases = cell.get(category)
            if child is None or not phrases:
                continue
            for phrase in phrases:
                if phrase.end <= self.limit:
                    more = values if phrase.value is None else (*values, phrase.value)
                    self.walk(child, phrase.end, more, score + phrase.score)


def _insert(known: list[Phrase], phrase: Phrase) -> bool:
    """Keeps the best readings of a stretch; whether this one is among them."""
    same = [other for other in known if other.end == phrase.end]
    if len(same) >= _MAX_READINGS:
        worst = min(same, key=_score)
        if worst.score >= phrase.score:
            return False
        # By identity: values may be equal.
        del known[next(index for index, other in enumerate(known) if other is worst)]
    known.append(phrase)
    return True


def _score(phrase: Phrase) -> float:
    return phrase.score
