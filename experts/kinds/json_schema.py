"""JSON Schemas that a text model is held to: which are taken, their grammar, and whether an answer keeps one.

Of JSON Schema (draft 2020-12) a subset is taken, and of that subset every word is kept; whatever else a schema says is
refused by name, for to pass over it in silence would be to break a promise. From the schema a grammar is made (GBNF, as
llama.cpp reads it) of which every sentence is an answer that keeps the schema. All the same the answer is validated in
the end, by a library that knows nothing of this grammar.

llama.cpp's own converter, in its binding for Python, is not used: it passes over bounds and formats that it does not
know, mixes up two definitions of one name, and lets control characters and numbers through that JSON readers refuse.

Knows no model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import QueryError
from ..values import Json

# Of a schema.
MAX_CHARACTERS = 65_536
MAX_DEPTH = 16
MAX_RULES = 1_000
MAX_ENUM_VALUES = 1_000
# Of an answer, where the schema sets no bound of its own: without one, a model that has lost its way never ends.
MAX_STRING = 500
MAX_ITEMS = 50
# What a grammar can count to.
_MOST_TIMES = 1_500
_MOST_ITEMS = 200

_ANNOTATIONS = frozenset(
    {"$comment", "$defs", "default", "definitions", "deprecated", "description", "examples", "readOnly", "title"}
) | {"writeOnly"}
_AT_THE_ROOT = frozenset({"$id", "$schema"})
_OF_TYPE = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_WAYS_OUT = {
    "pattern": 'say what is wanted in "description", or list the values in "enum"',
    "oneOf": 'write "anyOf"',
    "allOf": "write its parts as one object",
    "uniqueItems": "leave it out",
    "multipleOf": "leave it out",
    "prefixItems": "give each place a name: an object with properties",
}

# Whole numbers of up to fifteen digits, and up to six places after nine: all that a double holds exactly enough.
_MOST = 10**15 - 1
_MOST_WITH_PLACES = 10**9 - 1
_PLACES, _PLACES_NOT_ZERO = '("." [0-9]{1,6})?', '"." [0-9]{0,5} [1-9]'

# No control characters, no halves of surrogate pairs, and no escapes of code points, of which UTF-8 has no need.
_CHARACTER = r'[\x20-\x21\x23-\x5B\x5D-\x7E\u00A0-\uD7FF\uE000-\U0010FFFF] | "\\" ["\\nt]'
_DAY = (
    '[12] [0-9]{3} "-" (("01" | "03" | "05" | "07" | "08" | "10" | "12") "-" ("0" [1-9] | [12] [0-9] | "3" [01])'
    ' | ("04" | "06" | "09" | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))'
)
# Every fourth year has one day more, and of those that end in 00 every fourth.
_LEAP_DAY = '([12] [0-9] ("0" [48] | [2468] [048] | [13579] [26]) | ("1" [26] | "2" [048]) "00") "-02-29"'
_DATE = f"({_DAY} | {_LEAP_DAY})"
_TIME = '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f'{_DATE} "T" {_TIME}',
    "uuid": ' "-" '.join(f"[0-9a-f]{{{digits}}}" for digits in (8, 4, 4, 4, 12)),
}


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """One that is taken. text: as JSON on one line; grammar: GBNF, its first rule "root"."""

    schema: Mapping[str, Json]
    text: str
    grammar: str

    def problem(self, answer: str) -> str:
        """Why the answer does not keep the schema; "": it does."""
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match

        try:
            data = json.loads(answer)
        except (ValueError, RecursionError) as error:
            return f"it is no JSON ({error})"
        if not isinstance(data, dict):
            return "it is no object"
        validator = Draft202012Validator(self.schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        worst = best_match(validator.iter_errors(data))
        return "" if worst is None else f"{worst.json_path}: {worst.message[:200]}"


def take(schema: Mapping[str, Json]) -> AnswerSchema:
    """Checks a schema, in milliseconds whatever it is, and makes its grammar.

    Raises: QueryError (BAD_SCHEMA) naming the place in the schema, the rule and the way out.
    """
    if not isinstance(schema, Mapping):
        _refuse("", f'it is a {type(schema).__name__}; a schema is an object: {{"type": "object", "properties": …}}')
    try:
        plain = {word: value for word, value in schema.items() if word not in _AT_THE_ROOT}
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
        plain = json.loads(text)
    except RecursionError:
        _refuse("", f"it is nested more than {MAX_DEPTH} deep; make it flatter")
    except (ValueError, TypeError) as error:
        _refuse("", f"it is no JSON ({error})")
    if size > MAX_CHARACTERS:
        _refuse("", f"it has {size:,} bytes; at most {MAX_CHARACTERS:,} are read: say less in it")
    return AnswerSchema(plain, text, str(_Grammar(plain)))


def _refuse(where: str, rule: str) -> NoReturn:
    place = f" at {where if len(where) <= 100 else f'…{where[-99:]}'}" if where else ""
    raise QueryError(f"schema{place}: {rule}", reason="BAD_SCHEMA", field="input.schema")


class _Grammar:
    """Rules as they come up. A rule's name is given for each schema that is met; equal rules share one."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._rules: dict[str, str] = {}
        self._names: dict[str, str] = {}
        # Pointer → the rule made of what it points to; "" while that is being made.
        self._pointed: dict[str, str] = {}
        self._schemas = 0
        self._enumerated = 0
        # The rules of which every sentence is an object.
        self._objects: set[str] = set()
        self._rules["root"] = ""  # It stands first.
        self._rules["root"] = root = self._visit(schema, "", 0)
        if root not in self._objects:
            _refuse("", 'the answer is an object: "type" is "object" at the top, with what is wanted in "properties"')

    def __str__(self) -> str:
        return "".join(f"{name} ::= {rule}\n" for name, rule in self._rules.items())

    def _rule(self, rule: str) -> str:
        if rule not in self._names:
            if len(self._rules) >= MAX_RULES:
                _refuse("", f"it takes more than {MAX_RULES:,} rules to keep; ask for less at a time")
            name = f"r{len(self._rules)}"
            self._names[rule], self._rules[name] = name, rule
        return self._names[rule]

    # --- Schemas -----------------------------------------------------------------------------------------------------

    def _visit(self, schema: Any, where: str, depth: int) -> str:
        """The name of the rule for it. where: the place of it, for errors."""
        if not isinstance(schema, Mapping):
            _refuse(where, f'{_shown(schema)} says nothing of what is wanted; name a "type"')
        self._schemas += 1
        if depth > MAX_DEPTH:
            _refuse(where, f"it is nested more than {MAX_DEPTH} deep; make it flatter")
        if self._schemas > MAX_RULES:
            _refuse(where, f"it holds more than {MAX_RULES:,} schemas; ask for less at a time")
        words = {word for word in schema if word not in _ANNOTATIONS and not word.startswith("x-")}
        if "$ref" in words:
            self._alone("$ref", words, where)
            return self._follow(schema["$ref"], where, depth)
        if "anyOf" in words:
            self._alone("anyOf", words, where)
            options = schema["anyOf"]
            if not isinstance(options, Sequence) or isinstance(options, str) or not options:
                _refuse(where, '"anyOf" is a list of schemas')
            rules = [self._visit(option, f"{where}.anyOf[{n}]", depth + 1) for n, option in enumerate(options)]
            union = self._rule(" | ".join(rules))
            if self._objects.issuperset(rules):
                self._objects.add(union)
            return union
        if values := words & {"enum", "const"}:
            self._alone(values.pop(), words - {"type"}, where)
            return self._values(schema, where)
        types = self._types(schema, words, where)
        for word in sorted(words - {"type"} - frozenset().union(*(_OF_TYPE[name] for name in types))):
            way_out = _WAYS_OUT.get(word, "leave it out")
            _refuse(where, f"{_shown(word)}{_with(types, word)} is not kept here; {way_out}")
        rules = [self._typed(name, schema, where, depth) for name in types]
        return rules[0] if len(rules) == 1 else self._rule(" | ".join(rules))

    def _alone(self, word: str, words: set[str], where: str) -> None:
        if others := sorted(words - {word}):
            _refuse(where, f'"{word}" beside {_shown(others[0])} is not kept here; write one of them')

    def _types(self, schema: Mapping[str, Any], words: set[str], where: str) -> list[str]:
        told = schema.get("type", "object" if "properties" in words else "array" if "items" in words else None)
        types = [told] if isinstance(told, str) else told
        if not isinstance(types, Sequence) or not types:
            word = next(iter(sorted(words & _WAYS_OUT.keys())), "")
            _refuse(where, f'"{word}" is not kept here; {_WAYS_OUT[word]}' if word else 'no "type" says what is wanted')
        if unknown := [name for name in types if not isinstance(name, str) or name not in _OF_TYPE]:
            _refuse(where, f'"type" is {_shown(unknown[0])}; there are {", ".join(_OF_TYPE)}')
        return list(types)

    def _typed(self, name: str, schema: Mapping[str, Any], where: str, depth: int) -> str:
        match name:
            case "object":
                return self._object(schema, where, depth)
            case "array":
                return self._array(schema, where, depth)
            case "string":
                return self._string(schema, where)
            case "integer":
                return self._rule(_integer(schema, where))
            case "number":
                return self._rule(_number(schema, where))
            case "boolean":
                return self._rule('"true" | "false"')
        return self._rule('"null"')

    def _find(self, pointer: Any, where: str) -> Any:
        if not isinstance(pointer, str) or not pointer.startswith("#/"):
            _refuse(where, f'"$ref" is {_shown(pointer)}; one within the schema is read: "#/$defs/…"')
        found: Any = self._schema
        for part in pointer[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                _refuse(where, f'"$ref" is {_shown(pointer)}, and nothing is there')
            found = found[key]
        return found

    def _follow(self, pointer: Any, where: str, depth: int) -> str:
        schema = self._find(pointer, where)
        if pointer not in self._pointed:
            self._pointed[pointer] = ""
            self._pointed[pointer] = self._visit(schema, where or str(pointer), depth + 1)
        if not self._pointed[pointer]:
            _refuse(where, f'"$ref" leads back to {pointer}; an answer without end is not made: write out its levels')
        return self._pointed[pointer]

    def _values(self, schema: Mapping[str, Any], where: str) -> str:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            _refuse(where, '"enum" is a list of one value at least')
        self._enumerated += len(values)
        if self._enumerated > MAX_ENUM_VALUES:
            _refuse(where, f"enums of more than {MAX_ENUM_VALUES:,} values in all; leave some out, or ask for a string")
        types = self._types(schema, set(), where) if "type" in schema else list(_OF_TYPE)
        fitting = [value for value in values if any(_is_of_type(value, name) for name in types)]
        if not fitting:
            _refuse(where, f'no value of it is of "type" {_shown(schema["type"])}')
        return self._rule(" | ".join(_literal(json.dumps(value, ensure_ascii=False)) for value in fitting))

    # --- Types -------------------------------------------------------------------------------------------------------

    def _object(self, schema: Mapping[str, Any], where: str, depth: int) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        others = schema.get("additionalProperties")
        if not isinstance(properties, Mapping):
            _refuse(where, '"properties" is an object: name → schema')
        if not isinstance(required, Sequence) or isinstance(required, str):
            _refuse(where, '"required" is a list of names')
        if missing := [name for name in required if not isinstance(name, str) or name not in properties]:
            _refuse(where, f'"required" names {_shown(missing[0])}, which "properties" does not')
        if not properties and isinstance(others, Mapping):
            value = self._visit(others, f"{where}.additionalProperties", depth + 1)
            pair = self._rule(f'{self._string({}, where)} ": " {value}')
            return self._objects_of(f'"{{" ({pair} (", " {pair}){{0,{MAX_ITEMS - 1}}})? "}}"')
        if not properties and others is not False:
            _refuse(where, 'an object of which nothing is said; name its "properties"')
        pairs = [
            (self._rule(f"{_literal(json.dumps(name, ensure_ascii=False) + ': ')} {value}"), name in required)
            for name, value in (
                (name, self._visit(each, f"{where}.{name}".lstrip("."), depth + 1)) for name, each in properties.items()
            )
        ]
        # From the last to the first: what may follow once something stands there, and while nothing does.
        after, before = '"}"', '"}"'
        for pair, needed in reversed(pairs):
            before = self._rule(f"{pair} {after}" if needed else f"{pair} {after} | {before}")
            after = self._rule(f'", " {pair} {after}' if needed else f'(", " {pair})? {after}')
        return self._objects_of(f'"{{" {before}')

    def _objects_of(self, rule: str) -> str:
        name = self._rule(rule)
        self._objects.add(name)
        return name

    def _array(self, schema: Mapping[str, Any], where: str, depth: int) -> str:
        if "items" not in schema:
            _refuse(where, 'an array of which nothing is said; give its "items" a schema')
        least, most = _counts(schema, where, "minItems", "maxItems", usual=MAX_ITEMS, bound=_MOST_ITEMS)
        item = self._visit(schema["items"], f"{where}[]", depth + 1)
        if most == 0:
            return self._rule('"[]"')
        some = f'{item} (", " {item}){{{max(0, least - 1)},{most - 1}}}'
        return self._rule(f'"[" {some} "]"' if least else f'"[" ({some})? "]"')

    def _string(self, schema: Mapping[str, Any], where: str) -> str:
        if "format" in schema:
            told = schema["format"]
            if not isinstance(told, str) or told not in _FORMATS:
                _refuse(where, f'"format" {_shown(told)} is not kept here; {", ".join(_FORMATS)} are: leave it out')
            if others := sorted(schema.keys() & {"minLength", "maxLength"}):
                _refuse(where, f'"format" beside "{others[0]}" is not kept here; write one of them')
            return self._rule(rf'"\"" {_FORMATS[told]} "\""')
        least, most = _counts(schema, where, "minLength", "maxLength", usual=MAX_STRING, bound=_MOST_TIMES)
        if most == 0:
            return self._rule(r'"\"\""')
        return self._rule(rf'"\"" {self._rule(_CHARACTER)}{{{least},{most}}} "\""')


def _shown(value: Any) -> str:
    """For messages: whatever a schema says, short."""
    told = json.dumps(value, ensure_ascii=False)
    return told if len(told) <= 80 else f"{told[:79]}…"


def _with(types: Sequence[str], word: str) -> str:
    """For a word that is known, in the wrong place."""
    known = any(word in words for words in _OF_TYPE.values())
    return f" of type {' or '.join(types)}" if known else ""


def _is_of_type(value: Any, name: str) -> bool:
    if isinstance(value, bool) or value is None:
        return name == ("null" if value is None else "boolean")
    if isinstance(value, (int, float)):
        return name == "number" or (name == "integer" and value == int(value))
    kinds: dict[str, Any] = {"string": str, "object": Mapping, "array": list}
    return name in kinds and isinstance(value, kinds[name])


def _literal(text: str) -> str:
    """A text as a grammar writes it; it holds no line break, as JSON escapes those."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _counts(
    schema: Mapping[str, Any], where: str, least_word: str, most_word: str, *, usual: int, bound: int
) -> tuple[int, int]:
    """How few and how many, from the words that say so."""
    for word in (least_word, most_word):
        value = schema.get(word, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            _refuse(where, f'"{word}" is {_shown(value)}; it is a whole number from 0 up')
    least: int = schema.get(least_word, 0)
    most: int = schema.get(most_word, max(usual, least))
    if least > bound:
        _refuse(where, f'"{least_word}" is {least:,}; answers here have {bound:,} at most')
    if least > most:
        _refuse(where, f'"{least_word}" is {least:,} and "{most_word}" {most:,}; nothing is between them')
    return least, min(most, bound)


# --- Numbers ---------------------------------------------------------------------------------------------------------


def _integer(schema: Mapping[str, Any], where: str) -> str:
    least, least_out, most, most_out = _bounds(schema, where)
    low = max(-_MOST, math.floor(least) + 1 if least_out else math.ceil(least))
    high = min(_MOST, math.ceil(most) - 1 if most_out else math.floor(most))
    if low > high:
        _refuse(where, "no whole number is within its bounds")
    parts = []
    if high >= 0:
        parts.append(_between(max(low, 0), high))
    if low < 0:
        parts.append(f'"-" ({_between(max(-high, 1), -low)})')
    return " | ".join(parts)


def _number(schema: Mapping[str, Any], where: str) -> str:
    least, least_out, most, most_out = _bounds(schema, where)
    low, high = max(-_MOST, least), min(_MOST, most)
    if low != int(low) or high != int(high):
        _refuse(where, "for numbers with decimal places, bounds are whole numbers; widen them")
    if low > high or (low == high and (least_out or most_out)):
        _refuse(where, "no number is within its bounds")
    parts: list[str] = []
    if high > 0 or (high == 0 and not most_out):
        parts += _magnitudes(max(int(low), 0), int(high), least_out and low >= 0, most_out)
    if low < 0:
        below = _magnitudes(max(-int(high), 0), -int(low), most_out and high <= 0, least_out)
        parts += [f'"-" ({part})' for part in below]
    if not parts:
        _refuse(where, "no number that can be written here is within its bounds")
    return " | ".join(parts)


def _bounds(schema: Mapping[str, Any], where: str) -> tuple[float, bool, float, bool]:
    """The least and whether it is itself out of bounds, the most and whether that is."""
    for word in _OF_TYPE["number"] & schema.keys():
        value = schema[word]
        if not isinstance(value, (int, float)) or isinstance(value, bool) or abs(value) > _MOST:
            _refuse(where, f'"{word}" is {_shown(value)}; it is a number of at most fifteen digits')
    least, above = schema.get("minimum", -_MOST), schema.get("exclusiveMinimum", -_MOST - 1)
    most, below = schema.get("maximum", _MOST), schema.get("exclusiveMaximum", _MOST + 1)
    return max(least, above), above >= least, min(most, below), below <= most


def _magnitudes(low: int, high: int, low_out: bool, high_out: bool) -> Iterator[str]:
    """Rules for low … high, from 0 up, each end left out on demand."""
    if low_out and low < min(high, _MOST_WITH_PLACES + 1):
        yield f'"{low}" {_PLACES_NOT_ZERO}'
    first = low + 1 if low_out else low
    if first <= (last := min(high - 1, _MOST_WITH_PLACES)):
        yield f"({_between(first, last)}) {_PLACES}"
    first = max(first, last + 1)
    if first <= (last := high - 1 if high_out else high):
        yield _between(first, last)


def _between(low: int, high: int) -> str:
    """The whole numbers low … high, from 0 up, digit by digit."""
    parts: list[str] = []
    while low <= high:
        digits = len(str(low))
        last = min(high, 10**digits - 1)
        parts += _same_length(str(low), str(last))
        low = last + 1
    return " | ".join(parts)


def _same_length(low: str, high: str) -> Iterator[str]:
    """The same for two numbers of as many digits, both written with all of them."""
    if not low:
        yield ""
        return
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    if first == last:
        yield from (f'"{first}" {part}'.rstrip() for part in _same_length(low[1:], high[1:]))
        return
    if low[1:].strip("0"):
        yield from (f'"{first}" {part}'.rstrip() for part in _same_length(low[1:], "9" * rest))
        first += 1
    whole = not high[1:].strip("9")
    if first <= (last if whole else last - 1):
        yield f"[{first}-{last if whole else last - 1}]" + (f" [0-9]{{{rest}}}" if rest else "")
    if not whole:
        yield from (f'"{last}" {part}'.rstrip() for part in _same_length("0" * rest, high[1:]))
