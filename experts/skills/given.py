"""What a request about texts brings: the instruction, and the texts that it is about.

"give me five keywords: The central bank…" holds both. Where a request was routed, they were told apart already; an
expert that is named directly gets them as one, and may get a bare text as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..values import Document, Query

# An instruction is at most this long, as for requests that are routed.
_MOST_INSTRUCTION_CHARS = 200
# Shorter, and in one sentence, it is no text that anybody would have worked on.
_FEWEST_WORDS = 15


@dataclass(frozen=True, slots=True)
class Given:
    """instruction: "" where there is a bare text only. texts: none of them blank; () where none was given."""

    instruction: str
    texts: tuple[Document, ...]


def given(query: Query, asks: re.Pattern[str]) -> Given | None:
    """None where the request is neither an instruction for this expert nor a text to work on.

    asks: found in an instruction for the expert that was named, and in hardly any text.
    """
    if query.documents:
        return Given(query.text.strip(), _filled(query.documents))
    if query.intent and query.payload is None:
        return Given(query.text.strip(), ())
    whole = (query.text if query.payload is None else query.payload).strip()
    instruction = query.text.replace(whole, " ", 1).strip(' :\n\t"“”') if query.payload is not None else ""
    if query.intent or instruction:
        return Given(instruction, _filled((Document(whole),)))
    for mark in ("\n", ":"):
        head, found, rest = whole.partition(mark)
        if found and rest.strip() and len(head) <= _MOST_INSTRUCTION_CHARS and asks.search(head):
            return Given(head.strip(), (Document(rest.strip()),))
    if len(whole) <= _MOST_INSTRUCTION_CHARS and asks.search(whole):
        return Given(whole, ())
    if len(whole.split()) < _FEWEST_WORDS:
        return None
    return Given("", (Document(whole),))


def _filled(documents: tuple[Document, ...]) -> tuple[Document, ...]:
    return tuple(document for document in documents if document.text.strip())


_COUNTED = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_NUMBERS = {word: number for number, word in enumerate(_COUNTED, 1)} | {"couple of": 2, "few": 3, "dozen": 12}
_NUMBER = rf"(?P<number>\d{{1,4}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"


def number_asked(instruction: str, of: str) -> int | None:
    """How many of them an instruction wants: "top 10", "in two short sentences". of: a pattern of what is counted."""
    lower = instruction.lower()
    found = re.search(rf"\b{_NUMBER}\b(?:[\s-]+(?:\w+)){{0,2}}?[\s-]+(?:{of})", lower)
    found = found or re.search(rf"\b(?:top|best|first|exactly|only|just)\s+{_NUMBER}\b", lower)
    if found is None:
        return None
    number = found["number"]
    return int(number) if number.isdigit() else _NUMBERS[number]
