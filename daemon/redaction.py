"""What does not leave this machine: values that identify somebody or open something give way to names for them.

"Mail ann@example.org that …" goes out as "Mail [EMAIL-1] that …"; where the answer says [EMAIL-1], the caller reads the
address again. The same value has the same name throughout one request, so the titan can still tell two of them apart.
What is found is what the experts `pii` and `secrets` recognise by its form: addresses of mail and machines, numbers of
telephones, cards, accounts and documents, keys and passwords. Names of people and places go out: most questions are
about some. Knows no titan.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import cast

from expertd.experts.kinds.tagger import SHORT_CHARACTERS, Finder
from expertd.experts.servable import Emit
from expertd.experts.tagging.credentials import CREDENTIALS
from expertd.experts.tagging.registry import RECOGNISERS
from expertd.experts.values import Answer, Document, Json, Outcome, Query, Text

log = logging.getLogger(__name__)

# Recognisers whose findings stay here.
KEPT = (
    *("bank-account", "credit-card", "driver-licence", "email", "iban", "ip", "mac-address", "national-id", "passport"),
    *("phone", "us-ssn", "wallet", *CREDENTIALS),
)
# How sure a finding must be; the experts' own threshold.
THRESHOLD = 0.5

_NAME = re.compile(r"\[[A-Z][A-Z0-9-]*-\d+\]")
# The end of a piece in which a name may have begun.
_BEGUN = re.compile(r"\[[A-Z0-9-]{0,60}$")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What one request keeps back. values: name, brackets and all → what it stands for."""

    values: Mapping[str, str]

    @classmethod
    async def of(cls, query: Query) -> Redaction:
        """Looks through all that the query says; off the event loop where that is much."""
        texts = _texts(query)
        if sum(map(len, texts)) > SHORT_CHARACTERS:
            return await asyncio.to_thread(cls._found, texts)
        return cls._found(texts)

    @classmethod
    def _found(cls, texts: list[str]) -> Redaction:
        # A text that speaks of [EMAIL-1] itself means no value of ours.
        taken = {name for text in texts for name in _NAME.findall(text)}
        names: dict[str, str] = {}
        numbers: Counter[str] = Counter()
        for text in texts:
            for span in _finder().spans(text):
                value, type_ = text[span.start : span.end], span.type.upper()
                while value not in names:
                    numbers[type_] += 1
                    if (name := f"[{type_}-{numbers[type_]}]") not in taken:
                        names[value] = name
        if names:
            log.info("kept from the titan: %s", ", ".join(f"{count} × {type_}" for type_, count in numbers.items()))
        return cls({name: value for value, name in names.items()})

    def hide(self, query: Query) -> Query:
        """The query with names in place of the values, wherever they stand."""
        if not self.values:
            return query
        names = {value: name for name, value in self.values.items()}
        # The longest first: of two that begin alike, the whole.
        values = sorted(names, key=len, reverse=True)
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, values))})(?!\w)")

        def hidden(text: str) -> str:
            return pattern.sub(lambda found: names[found[0]], text)

        def hidden_document(document: Document) -> Document:
            return replace(document, text=hidden(document.text), name=hidden(document.name))

        series = query.series
        return replace(
            query,
            text=hidden(query.text),
            payload=None if query.payload is None else hidden(query.payload),
            document=None if query.document is None else hidden_document(query.document),
            further=tuple(map(hidden_document, query.further)),
            series=None if series is None else replace(series, name=hidden(series.name)),
            schema=None if query.schema is None else cast("Mapping[str, Json]", _mapped(query.schema, hidden)),
        )

    def show(self, text: str) -> str:
        """The text with the values in place of their names."""
        return _NAME.sub(lambda found: self.values.get(found[0], found[0]), text) if self.values else text

    def shown(self, outcome: Outcome) -> Outcome:
        """The same for an answer."""
        if not self.values or not isinstance(outcome, Answer):
            return outcome
        result = outcome.result
        if isinstance(result, Text):
            result = replace(result, text=self.show(result.text))
        return Answer(self.show(outcome.text), result)


class Shown:
    """Hands pieces of an answer on with the values in place of their names, also of one that two pieces share."""

    def __init__(self, redaction: Redaction, emit: Emit) -> None:
        self._redaction = redaction
        self._emit = emit
        self._held = ""

    async def __call__(self, piece: str) -> None:
        told = self._held + piece
        begun = _BEGUN.search(told) if self._redaction.values else None
        self._held = "" if begun is None else begun[0]
        told = told[: len(told) - len(self._held)]
        if told:
            await self._emit(self._redaction.show(told))

    async def end(self) -> None:
        """After the last piece."""
        if self._held:
            await self._emit(self._held)
            self._held = ""


@cache
def _finder() -> Finder:
    return Finder([each for name in KEPT for each in RECOGNISERS[name]], None, THRESHOLD)


def _texts(query: Query) -> list[str]:
    """All that a request says in words."""
    texts = [query.text, query.payload or "", "" if query.series is None else query.series.name]
    for document in query.documents:
        texts += [document.name, document.text]
    return [text for text in (*texts, *_strings(query.schema)) if text]


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from _strings(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _strings(each)


def _mapped(value: Json, change: Callable[[str], str]) -> Json:
    """The JSON value with each of its strings changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _mapped(each, change) for key, each in value.items()}
    return [_mapped(each, change) for each in value] if isinstance(value, Sequence) else value
