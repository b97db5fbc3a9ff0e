"""What a text model is told for a request: a bundle's prompts, and what the request says of length, language and form.

"translate this into French" says the language, "in three bullet points" the length, "extract name and date" the fields.
Requests are read in English; what they are about may be in any language. Knows no model, and counts no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..errors import BundleError, QueryError
from ..values import Abstention, Query
from . import extraction, translation
from .json_schema import AnswerSchema, take

ADAPTER = "adapter.gguf"

_LENGTH, _LANGUAGE, _SCHEMA = "{length}", "{language}", "{schema}"
_MAX_GRAMMAR_BYTES = 65_536


# --- What a bundle says of it ----------------------------------------------------------------------------------------


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one intent is put to the model.

    system: what the model is told. In it stand for what the request says: "{length}" for a sentence on the length of
    the answer (without one the value of `length`), "{language}" for the language to translate into, "{schema}" for the
    JSON Schema that the answer is held to; a prompt with the last answers with data, whatever the request holds. ask:
    the question that is asked back where there is no text to work on. long: what becomes of a text that does not fit
    the context. "cut": its beginning is read; "join": it is worked on part by part and the answers stand one after the
    other; "merge": each part is answered, then the answers together are. min_words: a typed request of fewer words that
    carries no text beside it is asked what it is about.
    """

    system: str
    ask: str = "Which text is it about? Write it after a colon, or give a document."
    length: str = ""
    long: Literal["cut", "join", "merge"] = "cut"
    max_tokens: int = 512
    min_words: int = 0

    @property
    def fills_in(self) -> bool:
        return _SCHEMA in self.system

    @property
    def translates(self) -> bool:
        return _LANGUAGE in self.system


class TextParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [parameters] of a bundle of kind gguf.

    prompts: per intent; default: the intent of a request that names none. template: Jinja, instead of the model's
    own. grammar: GBNF that every answer keeps whose prompt has no schema, or the name of a file of the bundle
    ("title.gbnf") that holds it. stop: strings that end an answer and are not part of it. max_parts: of a long text,
    what is beyond is left out.
    """

    prompts: dict[str, Prompt]
    default: str
    template: str = ""
    grammar: str = ""
    stop: tuple[str, ...] = ()
    temperature: float = 0.4
    top_p: float = 0.9
    min_p: float = 0.05
    repeat_penalty: float = 1.05
    max_parts: int = 8

    def __post_init__(self) -> None:
        if self.default not in self.prompts:
            raise ValueError(f"default = {self.default!r} is none of the prompts {', '.join(sorted(self.prompts))}")
        if not 0 <= self.temperature <= 2 or self.max_parts < 1 or "" in self.stop:
            raise ValueError("temperature is between 0 and 2, max_parts at least 1, and no stop string empty")
        for name, prompt in self.prompts.items():
            if not 1 <= prompt.max_tokens <= 32768:
                raise ValueError(f"prompts.{name}: max_tokens is {prompt.max_tokens}; it is between 1 and 32768")
            if prompt.fills_in and prompt.long != "cut":
                raise ValueError(f"prompts.{name}: long = {prompt.long!r}, and data is made of one part: long is cut")


def read_parameters(parameters: Mapping[str, Any], folder: Path, *, bundle: str) -> TextParameters:
    """Checks a manifest's [parameters], and reads the grammar from its file where they name one.

    folder: the bundle's. Raises: BundleError.
    """
    try:
        read = msgspec.convert(parameters, TextParameters)
    except msgspec.ValidationError as error:
        raise BundleError(f"{bundle}: expert.toml [parameters]: {error}") from None
    if not re.fullmatch(r"[\w.-]+\.gbnf", read.grammar):
        return read
    try:
        grammar = (folder / read.grammar).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{bundle}: {read.grammar}: the grammar cannot be read ({error})") from None
    if len(grammar) > _MAX_GRAMMAR_BYTES:
        raise BundleError(f"{bundle}: {read.grammar}: a grammar has at most {_MAX_GRAMMAR_BYTES:,} letters")
    return msgspec.structs.replace(read, grammar=grammar)


# --- A request -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Brief:
    """One request as the model gets it. schema: what the answer is held to; subject: the text that it is about."""

    system: str
    instruction: str
    subject: str
    long: Literal["cut", "join", "merge"]
    max_tokens: int
    schema: AnswerSchema | None = None


def brief(parameters: TextParameters, query: Query, *, name: str, max_tokens: int) -> Brief | Abstention:
    """What the model is told, or what the user is asked back.

    name: of the model, for errors. max_tokens: of one answer, whatever the prompt allows.

    Raises: QueryError for an intent that the bundle does not have, and a schema that is not taken.
    """
    intent = query.intent or parameters.default
    prompt = parameters.prompts.get(intent)
    if prompt is None:
        known = ", ".join(sorted(parameters.prompts))
        raise QueryError(f"{name}: no intent {intent!r}; there are {known}", reason="UNKNOWN_INTENT", field="intent")
    schema = take(_schema(query)) if prompt.fills_in else None
    instruction, subject = set_apart(query)
    bare = not query.documents and query.payload is None
    system = prompt.system
    if prompt.translates:
        wish = translation.wish(query.text if bare else instruction)
        if wish.unknown:
            return Abstention(
                f"Into which language? I know none that is called {wish.unknown[:60]!r}; I know English, French,"
                f" German, Spanish, Chinese and {len(translation.LANGUAGES) - 5} more.",
                code="needs_input",
            )
        if bare:
            # What a request of this kind holds beside the words is said by the prompt.
            instruction, subject, bare = "", wish.words, False
        system = system.replace(_LANGUAGE, " and ".join(wish.languages) or "English")
    if not subject.strip() or (bare and len(subject.split()) < prompt.min_words):
        return Abstention(prompt.ask, code="needs_input")
    system = system.replace(_LENGTH, length(query.text if bare else instruction) or prompt.length)
    if schema is not None:
        system = system.replace(_SCHEMA, schema.text)
    return Brief(system, instruction, subject, prompt.long, min(prompt.max_tokens, max_tokens), schema)


def set_apart(query: Query) -> tuple[str, str]:
    """The instruction and what it is about; without a document or a payload the request is its own subject."""
    if not query.documents and query.payload is None:
        return "", query.text
    instruction = query.text
    if query.payload and not query.documents:
        instruction = instruction.replace(query.payload, " ")
    subject = "\n\n".join(document.text for document in query.documents) if query.documents else query.subject
    return instruction.strip(" \t\n:;,-–—\"'"), subject


def _schema(query: Query) -> Mapping[str, Any]:
    if query.schema is not None:
        return query.schema
    instruction, _ = set_apart(query)
    return extraction.schema_of(extraction.fields(instruction or query.text))


# --- How long an answer is wanted ------------------------------------------------------------------------------------

_NUMBERS = {
    word: number
    for number, words in enumerate(
        ("one a an single", "two couple", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
    )
    for word in words.split()
}
_COUNTED = re.compile(
    rf"\b(?P<number>\d{{1,3}}|{'|'.join(_NUMBERS)})(?:\s+of)?[\s-]+"
    r"(?:(?:short|brief|crisp|key|main|bullet|most|important|or\s+\w+)[\s-]+)*"
    r"(?P<unit>sentences?|bullets?|points?|takeaways?|lines?|words|paragraphs?)\b",
    re.IGNORECASE,
)
_BULLETED = re.compile(r"\b(?:bullet(?:s|ed)?|bullet[\s-]points?|as\s+(?:a|points)\b.*\blist)\b", re.IGNORECASE)
_BRIEF = re.compile(
    r"\b(?:tl;?dr|nutshell|gist|in\s+short|in\s+brief|briefly|short\s+version|upshot|very\s+short|as\s+short)\b",
    re.IGNORECASE,
)
_AT_LENGTH = re.compile(r"\b(?:in\s+detail|detailed|thorough(?:ly)?|at\s+length|long\s+summary)\b", re.IGNORECASE)
_MAX_CHARACTERS = 300  # of an instruction; numbers further on are the text's own


def length(instruction: str) -> str:
    """What an instruction says of the length of the answer, as a sentence to the model; "": nothing."""
    text = instruction[:_MAX_CHARACTERS]
    if counted := _COUNTED.search(text):
        told = counted["number"].lower()
        number = int(told) if told.isdigit() else _NUMBERS[told]
        unit = counted["unit"].lower()
        if number == 0:
            return ""
        if unit == "words":
            return f"Use at most {number} words."
        if unit.startswith(("bullet", "point", "takeaway")):
            return f'Give exactly {number} point{"" if number == 1 else "s"}, each on a line of its own after "- ".'
        return f"Write exactly {number} {unit.rstrip('s')}{'' if number == 1 else 's'}."
    if _BULLETED.search(text):
        return 'Give the points as a list, each on a line of its own after "- ".'
    if _BRIEF.search(text):
        return "Write one or two short sentences."
    return "Go into detail." if _AT_LENGTH.search(text) else ""
