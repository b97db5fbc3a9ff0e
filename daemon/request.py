"""What is asked: checked, taken apart, put into words for the titan. Knows no expert, no wire, no router."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from expertd.experts.errors import QueryError
from expertd.experts.values import Document, Json, Query, Series

from .config import LimitsConfig

MAX_FURTHER_DOCUMENTS = 63
MAX_SCHEMA_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. expert: set when the caller names it; `text` may be empty then. local_only: it never leaves here."""

    text: str
    zone: ZoneInfo
    locale: str
    expert: str = ""
    intent: str = ""
    series: Series | None = None
    document: Document | None = None
    further: tuple[Document, ...] = ()
    schema: Mapping[str, Json] | None = None
    session: str = ""
    app: str = ""
    local_only: bool = False
    priority: Literal["interactive", "background"] = "interactive"


def check(ask: Ask, limits: LimitsConfig) -> None:
    """Raises: QueryError naming the field, the rule and the way out."""
    if not ask.text.strip() and not (ask.expert and (ask.series is not None or ask.document is not None)):
        raise QueryError("the text is empty; say what is wanted, in words", reason="EMPTY_TEXT", field="input.text")
    _check_text(ask.text, "input.text", limits.max_text_chars, "send long texts as a document")
    if ask.document is not None:
        _check_text(ask.document.text, "input.document.text", limits.max_document_chars, "send it in parts")
    if ask.further:
        _check_further(ask, limits.max_document_chars)
    if ask.series is not None:
        _check_series(ask.series, limits.max_series_points)


def _check_text(text: str, field: str, most_chars: int, way_out: str) -> None:
    if len(text) > most_chars:
        raise QueryError(
            f"{field}: {len(text):,} characters; at most {most_chars:,} are read; {way_out}",
            reason="TEXT_TOO_LONG",
            field=field,
        )
    if "\0" in text:
        raise QueryError(
            f"{field}: holds a NUL character at {text.index(chr(0))}; text has none, is it a binary file?",
            reason="NUL_IN_TEXT",
            field=field,
        )


def _check_further(ask: Ask, most_chars: int) -> None:
    field = "input.further_documents"
    if ask.document is None:
        raise QueryError(
            f"{field}: {len(ask.further)} without a first one; the first goes into input.document",
            reason="DOCUMENT_MISSING",
            field=field,
        )
    if len(ask.further) > MAX_FURTHER_DOCUMENTS:
        raise QueryError(
            f"{field}: {len(ask.further)} documents; at most {MAX_FURTHER_DOCUMENTS} are read beside the first: ask "
            "about some of them at a time",
            reason="TOO_MANY_DOCUMENTS",
            field=field,
        )
    whole = len(ask.document.text) + sum(len(document.text) for document in ask.further)
    if whole > most_chars:
        raise QueryError(
            f"the documents have {whole:,} characters together; at most {most_chars:,} are read: ask about some of "
            "them at a time",
            reason="TEXT_TOO_LONG",
            field=field,
        )
    for number, document in enumerate(ask.further):
        _check_text(document.text, f"{field}[{number}].text", most_chars, "send it in parts")


def read_schema(text: str) -> Mapping[str, Json] | None:
    """A JSON Schema as it came; None for "". Which keywords it may hold, the expert that fills it in knows.

    Raises: QueryError where it is no JSON object, or a long one.
    """
    if not text:
        return None
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise QueryError(
            f"input.schema: {len(text):,} characters; at most {MAX_SCHEMA_CHARACTERS:,} are read: ask for fewer fields",
            reason="SCHEMA_TOO_LONG",
            field="input.schema",
        )
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise QueryError(
            f"input.schema: no JSON ({error}); give a JSON Schema, an object like "
            '{"type": "object", "properties": {"name": {"type": "string"}}}',
            reason="BAD_SCHEMA",
            field="input.schema",
        ) from None
    if not isinstance(schema, dict):
        raise QueryError(
            f"input.schema: {text[:40]!r} is no JSON object; a JSON Schema is one",
            reason="BAD_SCHEMA",
            field="input.schema",
        )
    return schema


def _check_series(series: Series, most_points: int) -> None:
    field = "input.series.values"
    if len(series.values) == 0:
        raise QueryError("the series is empty; give at least one number", reason="SERIES_EMPTY", field=field)
    if len(series.values) > most_points:
        raise QueryError(
            f"the series has {len(series.values):,} points; at most {most_points:,} are read: send the newest ones",
            reason="SERIES_TOO_LONG",
            field=field,
        )
    infinite = np.isinf(series.values)
    if infinite.any():
        raise QueryError(
            f"the series holds an infinity at point {int(np.argmax(infinite)) + 1}; use NaN for a gap",
            reason="SERIES_NOT_FINITE",
            field=field,
        )


# --- The instruction and what it is about ----------------------------------------------------------------------------

# Before a payload stands an instruction, at most this long: "check this message for spam".
_MOST_INSTRUCTION_CHARS = 200
_QUOTED = re.compile(r"[\"“„«](?P<payload>[^\"“”„«»]{15,})[\"”“»]")
# A colon before a blank ends an instruction of two words or more; in "7:30" and "http://" none follows.
_COLON = re.compile(r"^(?P<instruction>\S+(?:\s+\S+)+?)\s*:\s+(?P<payload>\S.*)$", re.DOTALL)
# "- what time is it", "2. set a timer".
_LISTED = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+\S")


def split(text: str) -> tuple[str, str | None]:
    """The instruction, which is routed, and the payload that it is about, if one is set apart.

    A payload stands after a colon, in quotation marks, or on the lines after the first: in "is this spam: you have won"
    the instruction is "is this spam". Hundreds of words of payload would otherwise drown three of instruction. Where
    every line has a list's mark, none is about another.
    """
    text = text.strip()
    if "\n" in text and all(_LISTED.match(line) for line in text.splitlines() if line.strip()):
        return text, None
    first, _, rest = text.partition("\n")
    if rest.strip() and len(first) <= _MOST_INSTRUCTION_CHARS:
        return first.strip().rstrip(":").rstrip(), rest.strip()
    if quoted := _QUOTED.search(text):
        instruction = " ".join((text[: quoted.start()] + " " + text[quoted.end() :]).split()).rstrip(" :")
        if 0 < len(instruction) <= _MOST_INSTRUCTION_CHARS:
            return instruction, quoted["payload"].strip()
    if (parts := _COLON.match(text)) and len(parts["instruction"]) <= _MOST_INSTRUCTION_CHARS:
        return parts["instruction"], parts["payload"].strip()
    return text, None


# --- A part and what came before it ----------------------------------------------------------------------------------


def in_context(query: Query) -> Query:
    """The query with what was asked and answered before it in its text, for a reader of plain text.

    A query that is no part of a compound request stays as it is.
    """
    if not query.earlier:
        return query
    lines = ["This is one part of a larger request. The parts before it, dealt with already:"]
    for number, part in enumerate(query.earlier, start=1):
        lines += [f"{number}. {part.text}", f"   Answer: {'none' if part.answer is None else part.answer.text}"]
    lines += ["", "Answer this part alone:", query.text]
    if query.antecedent >= 0:
        lines += ["", f'Here "{query.reference}" points back to part {query.antecedent + 1}.']
    return replace(query, text="\n".join(lines))
