"""Sentences out of a grammar: templates with slots, filled by chance, the same for the same seed.

    [positive]
    the {thing} was {good}
    # remarks and empty lines are passed over

    {thing} = film; song; service
    {good} = lovely; very {better}

A `{slot}` stands for one of its phrases, and phrases may hold slots. Lines under `[label]` are templates of that label.
Knows no expert: what a grammar says is for whoever wrote it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SLOT = re.compile(r"\{([a-z_]+)\}")
_DEPTH = 8


class GrammarError(ValueError):
    """A grammar breaks a rule; the text names the line or the slot."""


@dataclass(frozen=True)
class Grammar:
    """templates: label → sentences with slots; slots: name → phrases, which may hold slots."""

    templates: Mapping[str, Sequence[str]]
    slots: Mapping[str, Sequence[str]]

    @classmethod
    def parse(cls, text: str) -> Grammar:
        """Raises: GrammarError for a template before the first label, and for a slot that nobody fills."""
        templates: dict[str, list[str]] = {}
        slots: dict[str, list[str]] = {}
        label = ""
        for number, line in enumerate(map(str.strip, text.splitlines()), 1):
            if not line or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]"):
                label = line[1:-1]
                templates.setdefault(label, [])
            elif filled := re.match(r"\{([a-z_]+)\}\s*=\s*(.*)$", line):
                slots.setdefault(filled[1], []).extend(part.strip() for part in filled[2].split(";") if part.strip())
            elif not label:
                raise GrammarError(f"line {number}: a template before the first [label]")
            else:
                templates[label].append(line)
        for phrase in (part for parts in (*templates.values(), *slots.values()) for part in parts):
            if missing := set(_SLOT.findall(phrase)) - set(slots):
                raise GrammarError(f"{phrase!r}: nothing fills {sorted(missing)}")
        return cls(templates, slots)

    def sentences(self, label: str, count: int, seed: int = 1) -> list[str]:
        """At most `count` different sentences of one label; fewer where the grammar has no more to say.

        Every template is used about as often as any other.
        """
        chance = random.Random(f"{seed} {label}")  # noqa: S311 (no secret)
        templates = self.templates[label]
        found: dict[str, None] = {}
        for turn in range(count * 4):
            if len(found) == count:
                break
            found.setdefault(self._filled(templates[turn % len(templates)], chance, _DEPTH))
        return list(found)

    def _filled(self, phrase: str, chance: random.Random, depth: int) -> str:
        if depth == 0:
            raise GrammarError(f"{phrase!r}: slots within slots, more than {_DEPTH} deep")
        return _SLOT.sub(lambda slot: self._filled(chance.choice(self.slots[slot[1]]), chance, depth - 1), phrase)
