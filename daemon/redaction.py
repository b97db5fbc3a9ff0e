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
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from typing import cast

from expertd.experts.kinds.tagger import SHORT_CHARACTERS, Finder
from expertd.experts.servable import Emit
from expertd.experts.tagging.credentials import CREDENTIALS
from expertd.experts.tagging.registry import RECOGNISERS
from expertd.experts.tagging.spans import Span
from expertd.experts.values import Answer, Document, Json, Outcome, Query, Text

log = logging.getLogger(__name__)

# Recognisers whose findings stay here.
KEPT = (
    *("bank-account", "credit-card", "driver-licence", "email", "iban", "ip", "mac-address", "national-id", "passport"),
    *("phone", "us-ssn", "wallet", *CREDENTIALS),
)
# How sure a finding must be; the experts' own threshold.
THRESHOLD = 0.5
# So many values are looked for again where the words around do not give them away; of more, those that need such words.
MOST_AGAIN = 64

_NAME = re.compile(r"\[[A-Z][A-Z0-9-]*-\d+\]")
# The end of a piece in which a name may have begun.
_BEGUN = re.compile(r"\[[A-Z0-9-]{0,60}$")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What one request keeps back. values: name, brackets and all → what it stands for. texts: what the request says →
    what goes out instead."""

    values: Mapping[str, str]
    texts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, query: Query) -> Redaction:
        """Looks through all that the query says; off the event loop where that is much."""
        texts = _texts(query)
        if sum(map(len, texts)) > SHORT_CHARACTERS:
            return await asyncio.to_thread(cls._found, texts)
        return cls._found(texts)

    @classmethod
    def _found(cls, texts: Sequence[str]) -> Redaction:
        # A text that speaks of [EMAIL-1] itself means no value of ours.
        taken = {name for text in texts for name in _NAME.findall(text)}
        spans = {text: _finder().spans(text) for text in texts}
        names: dict[str, str] = {}
        numbers: Counter[str] = Counter()
        for text, found in spans.items():
            for span in found:
                value, type_ = text[span.start : span.end], span.type.upper()
                while value not in names:
                    numbers[type_] += 1
                    if (name := f"[{type_}-{numbers[type_]}]") not in taken:
                        names[value] = name
        if names:
            log.info("kept from the titan: %s", ", ".join(f"{count} × {type_}" for type_, count in numbers.items()))
        again = _again(names)
        return cls(
            {name: value for value, name in names.items()},
            {text: _hidden(text, found, names, again) for text, found in spans.items()} if names else {},
        )

    def hide(self, query: Query) -> Query:
        """The query with names in place of the values."""
        if not self.values:
            return query

        def hidden(text: str) -> str:
            return self.texts.get(text, text)

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


def _again(names: Mapping[str, str]) -> re.Pattern[str] | None:
    """Finds values where nothing around gives them away: "the password is bluefin88", and later "bluefin88" alone."""
    few = len(names) <= MOST_AGAIN
    hinted = (value for value in names if few or not _finder().spans(value))
    values = sorted(islice(hinted, MOST_AGAIN), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, values))})(?![A-Za-z0-9])") if values else None


def _hidden(text: str, spans: Sequence[Span], names: Mapping[str, str], again: re.Pattern[str] | None) -> str:
    """The text with names in place of its spans, and of what `again` finds between them."""

    def between(part: str) -> str:
        if again is None:
            return part
        # Line by line: one search through a long text would hold up everybody else.
        return "".join(again.sub(lambda found: names[found[0]], line) for line in part.splitlines(keepends=True))

    parts, done = [], 0
    for span in spans:
        parts += [between(text[done : span.start]), names[text[span.start : span.end]]]
        done = span.end
    return "".join([*parts, between(text[done:])])


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
