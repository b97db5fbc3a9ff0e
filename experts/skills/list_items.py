"""What goes on a list: a run of words taken apart into items, and each item into quantity, unit and name.

Commas, line ends and "and" part items, but for these rules:

- "mac and cheese" and a few more pairs are one thing that is sold as one; "salt and pepper" are two;
- "red and green apples": where a colour or a size alone stands before "and", it goes with what follows;
- in tasks ("call mum and dad and book a table") "and" parts only where what follows begins with a verb of its own, and
  so does a comma after a verb that takes several things ("buy milk, eggs");
- what stands in quotation marks is one.

Knows no list.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from ..values import Json
from .meaning import content_words
from .timex import find_number

MAX_ITEM = 200


@dataclass(frozen=True, slots=True)
class Item:
    """text: as said, "two loaves of bread"; name: "bread"; quantity: 2; unit: "loaves"; None where none is said."""

    text: str
    name: str
    quantity: int | float | None = None
    unit: str | None = None

    @property
    def key(self) -> str:
        """Equal for what is the same thing: "egg", "Eggs"."""
        return key(self.name)

    def slots(self) -> dict[str, Json]:
        return {"text": self.text, "item": self.name, "quantity": self.quantity, "unit": self.unit}


@functools.lru_cache(2048)
def key(name: str) -> str:
    """Equal for what is the same thing."""
    return " ".join(content_words(name)) or " ".join(name.lower().split())


def split_items(text: str, *, tasks: bool = False) -> list[Item]:
    """The items of a run of words, each once, in order. tasks: they are things to do, so they have no quantities."""
    parts = _lines(text) or _parts(text, tasks=tasks)
    items = [read_item(part, task=tasks) for part in parts]
    return list({item.key: item for item in reversed(items) if item.name}.values())[::-1]


def is_task(text: str) -> bool:
    """Whether it begins with a verb that something follows: "call mum"."""
    return _VERB.match(text.strip()) is not None


def read_item(text: str, *, task: bool = False) -> Item:
    """One item: of "two loaves of bread", two loaves, and bread."""
    text = " ".join(_MARK.sub("", text).strip(" .,;:!?\"'“”").split())[:MAX_ITEM]
    if task:
        text = _TASK_LEAD.sub("", text)
        return Item(text, text)
    text = _LEAD.sub("", text)
    if after := _AFTER.search(text):
        return Item(text, text[: after.start()].strip(), int(after["times"] or after["brackets"]))
    if not _NO_QUANTITY.match(text):
        glued = _GLUED.match(text)
        found = None if glued else find_number(text)
        if glued and glued["rest"].strip():
            number = float(glued["number"].replace(",", "."))
            unit = None if glued["unit"].lower() in ("x", "×") else glued["unit"]
            return Item(text, glued["rest"].strip(), int(number) if number.is_integer() else number, unit)
        if found is not None and found.span[0] == 0 and (rest := text[found.span[1] :].strip()):
            return _measured(text, found.value, rest)
        if one := _ONE.match(text):
            return _measured(text, 0.5 if one["half"] else 1, text[one.end() :])
    name = _SOME.sub("", text)
    return Item(name, name)  # "some milk" is milk


def _measured(text: str, number: int | float, rest: str) -> Item:
    unit = _UNIT.match(re.sub(r"^(?:x|×|of|a|an)\s+", "", rest))
    if unit and unit["rest"].strip():
        return Item(text, unit["rest"].strip(), number, unit["unit"])
    return Item(text, re.sub(r"^(?:x|×|of|more)\s+", "", rest), number)


# --- Taking apart -----------------------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if len(lines) > 1 else []


def _parts(text: str, *, tasks: bool) -> list[str]:
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\x01{len(kept) - 1}\x01"

    guarded = _WHOLE.sub(keep, text)
    pieces = _SEPARATOR.split(guarded)
    parts = [pieces[0]]
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if not piece.strip() or _joins(parts[-1], mark, piece, tasks=tasks):
            parts[-1] += f"{mark}{piece}"
        else:
            parts.append(piece)
    return [re.sub(r"\x01(\d+)\x01", lambda match: kept[int(match[1])], part) for part in parts]


def _joins(before: str, mark: str, after: str, *, tasks: bool) -> bool:
    """Whether what a mark stands between is one item all the same."""
    if not before.strip():
        return False
    conjunction = re.search(r"\w|&|\+", mark) is not None
    if tasks:
        if is_task(after):
            return False
        return is_task(before) and (conjunction or _TAKES_SEVERAL.match(before.strip()) is not None)
    return conjunction and _ADJECTIVE.fullmatch(before.strip()) is not None


_SEPARATOR = re.compile(
    r"(\s*[,;]\s*(?:and\b|then\b|plus\b|also\b|&)?\s*(?:also\b|then\b)?\s*|\s+(?:and(?: also| then)?|plus|as well as|"
    r"also|then)\s+|\s+&\s+|\s+\+\s+)",
    re.IGNORECASE,
)
_PAIRS = (
    "mac and cheese|macaroni and cheese|fish and chips|half and half|bangers and mash|gin and tonic|rum and coke|"
    "bubble and squeak|cookies and cream|pork and beans|sweet and sour|salt and vinegar|cheese and onion|"
    "sour cream and onion|bread and butter pickles?|oil and vinegar dressing|ham and cheese|peanut butter and jelly|"
    "bacon and egg|black and white|trial and error|bed and breakfast|lost and found|bits and pieces|nuts and bolts|"
    "pros and cons|terms and conditions|rock and roll|hook and eye|salt and pepper (?:mill|grinder|shaker|set)s?|"
    "shampoo and conditioner set|arts and crafts|health and safety"
)
_WHOLE = re.compile(
    rf"[\"“][^\"”]+[\"”]|\b(?:{_PAIRS.replace(' and ', ' (?:and|&|n) ')})\b|\band (?:a |one )?(?:half|quarter)\b|\d,\d",
    re.IGNORECASE,
)
_ADJECTIVE = re.compile(
    r"(?:(?:a|an|the|some|both|\d+|two|three|four|five|six) )?(?:red|green|yellow|white|black|blue|brown|orange|pink|"
    r"purple|"
    r"large|small|medium|big|little|hot|cold|sweet|dark|light|fresh|frozen|dry|wet|full[- ]fat|skimmed|long|short|"
    r"old|new)",
    re.IGNORECASE,
)
_VERBS = """
    answer apply arrange ask assemble back bake bathe begin book borrow bring brush build buy call cancel change
    charge check claim clean clear close collect complete confirm contact cook cut decide defrost deliver
    deposit do donate download draft drive drop dust email empty exercise feed fetch file fill find finish fix
    fold get give go groom hang hoover hug inspect install invite iron learn lend lock look mail make measure
    meet mend message mop move mow oil open order organise organize pack paint park pay phone pick plan plant
    polish post practice practise prepare print put rake read recycle refill register remind renew repair
    replace reply research reserve return review ring run scan schedule search see sell send service set sew
    sharpen shave sign sort start study submit sweep swim take talk tell test text thank throw tidy transfer
    trim try turn unpack update upload vacuum visit walk wash watch water weed wipe withdraw wrap write
""".split()  # noqa: SIM905 - a list of a hundred strings is no easier to read
_VERB = re.compile(rf"(?:to )?(?:{'|'.join(_VERBS)})\s+\S", re.IGNORECASE)
_TAKES_SEVERAL = re.compile(
    r"(?:to )?(?:buy|get|pick up|fetch|bring|pack|call|phone|ring|invite|ask|tell|email|text|message|send|order|"
    r"collect|thank|meet|visit|"
    r"wash|clean|water|feed|take|find|return|talk|write)\b",
    re.IGNORECASE,
)

# --- Quantities -------------------------------------------------------------------------------------------------------

_UNITS = (
    r"loaf|loaves|bottles?|cans?|tins?|jars?|packs?|packets?|packages?|box(?:es)?|bags?|bunch(?:es)?|heads?|cloves?|"
    r"slices?|pieces?|"
    r"lit(?:re|er)s?|l|ml|cl|dl|g|grams?|kg|kgs|kilos?|kilograms?|lbs?|pounds?|oz|ounces?|cups?|tbsps?|tsps?|"
    r"tablespoons?|"
    r"teaspoons?|gallons?|pints?|quarts?|cartons?|rolls?|tubs?|bars?|sticks?|tubes?|sheets?|pairs?|punnets?|crates?|"
    r"six[- ]?packs?|"
    r"dozens?|sacks?|nets?|blocks?|wedges?|balls?|bulbs?|sprigs?|stalks?|fillets?|sachets?|portions?|meters?|metres?|"
    r"yards?|stack|pots?"
)
_UNIT = re.compile(rf"(?P<unit>(?:(?:small|large|big|little) )?(?:{_UNITS}))(?: of)? (?P<rest>.+)$", re.IGNORECASE)
_GLUED = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)?)\s?(?P<unit>x|×|kg|g|mg|ml|cl|dl|l|lbs?|oz)\.?\s+(?:of )?(?P<rest>\S.*)$",
    re.IGNORECASE,
)
_ONE = re.compile(
    rf"(?:an? (?:(?P<half>half) )?|(?P<none>another ))(?=(?:(?:small|large|big|little) )?(?:{_UNITS}) (?:of )?\S)",
    re.IGNORECASE,
)
_AFTER = re.compile(r"\s+(?:[x×]\s?(?P<times>\d{1,4})|\((?P<brackets>\d{1,4})\))$", re.IGNORECASE)
_NO_QUANTITY = re.compile(
    r"\d+ ?(?:%|percent|up\b|in \d|th\b|st\b|nd\b|rd\b|-)|(?:one|first|second|third) (?:of|way|more time)\b",
    re.IGNORECASE,
)
_SOME = re.compile(
    r"^(?:an?|some(?: more)?|any|more|a few(?: more)?|a couple(?: of)?|a bit of|a little|lots of|plenty of|enough|"
    r"another|extra)\s+(?=\S\S)",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^(?:(?:please|also|and|then|the|to|buy|get|pick up|that|for|my|our)\s+)+(?=\S)", re.IGNORECASE)
_TASK_LEAD = re.compile(
    r"^(?:(?:please|also|and|then|to|that i (?:have|need) to|i (?:have|need) to)\s+)+(?=\S)", re.IGNORECASE
)
_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)]|\[[ x]?\])\s+")
