"""What a sentence leaves to chance: how many dice of how many sides, between which numbers, one of which things.

Reads sentences; draws nothing.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

from ..values import Abstention
from .chance_options import find_offered
from .chance_topic import INTENTS, KEY, NOTATION, PASSWORD, PIN, TEAMS, UUID, find_topic
from .timex import find_number


@dataclass(frozen=True, slots=True)
class DiceGroup:
    """count dice of `sides`. keep: so many of the highest count, of the lowest where negative; 0: all. sign: ±1."""

    count: int
    sides: int
    keep: int = 0
    sign: int = 1

    @property
    def notation(self) -> str:
        keep = f"k{'h' if self.keep > 0 else 'l'}{abs(self.keep)}" if self.keep else ""
        return f"{'-' if self.sign < 0 else ''}{self.count}d{self.sides}{keep}"


@dataclass(frozen=True, slots=True)
class Dice:
    groups: tuple[DiceGroup, ...]
    bonus: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """From low to high, both included. decimals: 0 for whole numbers. step and remainder: 2 and 0 for even ones."""

    low: float
    high: float
    count: int = 1
    distinct: bool = False
    decimals: int = 0
    step: int = 1
    remainder: int = 0


@dataclass(frozen=True, slots=True)
class Pick:
    options: tuple[str, ...]
    count: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    """teams: 0 for one row."""

    options: tuple[str, ...]
    teams: int = 0


@dataclass(frozen=True, slots=True)
class Secret:
    """kind: "password", "pin", "uuid" or "key". length: in characters; spoken: in words that can be said aloud."""

    kind: str
    length: int = 20
    count: int = 1
    symbols: bool = True
    figures: bool = True
    spoken: bool = False


@dataclass(frozen=True, slots=True)
class Several:
    """kind: "coin", "card", "letter", "colour" or "decision". among: of these letters; "rgb": any of 16 million."""

    kind: str
    count: int = 1
    among: str = ""


Request = Dice | Numbers | Pick | Order | Secret | Several


def read_request(text: str, intent: str = "", more: str = "") -> Request | Abstention | None:
    """What is left to chance; None: the sentence is about something else; an abstention asks for what is missing.

    intent: the router's word, which plain words overrule. more: what stands apart from the sentence.
    """
    text = text.replace("’", "'")
    plain = " ".join(text.lower().split()).strip(" .?!")
    if not plain:
        return None
    topic = find_topic(plain, intent if intent in INTENTS else "")
    match topic:
        case "coin":
            return Several(
                "coin", _how_many(plain, r"(?:coins?|times|quarters?|penn(?:y|ies)|flips|tosses|coin (?:flips|tosses))")
            )
        case "dice":
            return _dice(plain)
        case "number":
            return _numbers(plain)
        case "card":
            hand = 5 if "poker hand" in plain else 1
            return (
                Several(
                    "card",
                    _how_many(plain, r"(?:random |playing )*cards?")
                    if not (of := re.search(r"\bhand of (\w+)", plain))
                    else _count(of[1], hand),
                )
                if hand == 1
                else Several("card", hand)
            )
        case "decide":
            return Several("decision")
        case "letter":
            return _letters(plain)
        case "colour":
            kind = "rgb" if re.search(r"\b(?:rgb|hex)\b", plain) else ""
            return Several("colour", _how_many(plain, r"(?:random |different |\w+ )?colou?rs?"), kind)
        case "secret":
            return _secret(plain)
        case "shuffle":
            return _order(text, more)
        case "pick":
            return _pick(text, more)
        case _:
            return None


def _how_many(plain: str, things: str) -> int:
    """Of "flip three coins", three; 1 where none is named."""
    counts = re.finditer(rf"(?=\b(?P<count>\d[\d,]*|[a-z]+(?:[ -][a-z]+)?) (?:{things})\b)", plain)
    return next((count for match in counts if (count := _count(match["count"], 1)) != 1), 1)


def _count(words: str, otherwise: int) -> int:
    for part in (words, *words.rsplit(maxsplit=1)[-1:], *words.split(maxsplit=1)[:1]):
        found = find_number(part)
        if found is not None and isinstance(found.value, int) and found.span == (0, len(part)):
            return found.value
        if part in ("couple", "pair", "both"):
            return 2
    return otherwise


# --- Dice -------------------------------------------------------------------------------------------------------------

_SIDED = re.compile(
    r"(?P<sides>\w+(?:[ -]\w+)?)[ -]?sided|\b(?P<face>four|six|eight|ten|twelve|twenty|hundred)[ -]faced"
)
_BONUS = re.compile(
    r"(?P<sign>\+|-|\bplus\b|\bminus\b|\bwith a bonus of\b)\s*(?P<value>\d+|one|two|three|four|five|six|seven|eight|"
    r"nine|ten)\b(?!\s?d\d)"
)
_KEEP = re.compile(
    r"\b(?P<verb>keep|drop|discard)(?:ping)? (?:the )?(?P<count>\w+ )?(?P<which>highest|lowest|best|worst|high|"
    r"low)(?: (?P<after>two|three|four|\d+))?\b"
)


def _dice(plain: str) -> Dice | Abstention:
    groups = []
    for found in NOTATION.finditer(plain):
        sides = 100 if found["sides"] == "%" else int(found["sides"][:9])
        keep = int(found["kept"] or 1) if found["keep"] else 0
        count = int(found["count"][:9] or 1) if found["count"] else _word_before(plain, found.start())
        if found["keep"] in ("kl", "dh"):
            keep = -keep if found["keep"] == "kl" else -(count - keep)
        elif found["keep"] == "dl":
            keep = count - keep
        groups.append(DiceGroup(count, sides, keep, -1 if found["sign"] == "-" else 1))
    bonus = 0
    for found in _BONUS.finditer(NOTATION.sub(" die ", plain)):
        bonus += (-1 if found["sign"] in ("-", "minus") else 1) * _count(found["value"], 0)
    if not groups:
        sides = (
            20
            if re.search(r"\badvantage|\bdisadvantage|\binitiative\b", plain)
            else 100
            if "percentile" in plain
            else 6
        )
        if sided := _SIDED.search(plain):
            words = sided["sides"] or sided["face"]
            sides = next((value for part in (words, words.split()[-1]) if (value := _count(part, 0))), sides)
        groups.append(
            DiceGroup(_how_many(plain, r"(?:[\w-]+[ -]?sided |fair |normal |regular )?(?:dice|die|dices|d6)"), sides)
        )
        if "percentile" in plain:
            groups = [DiceGroup(1, 100)]
    first = groups[0]
    if "disadvantage" in plain:
        groups[0] = DiceGroup(2, first.sides, -1)
    elif "advantage" in plain:
        groups[0] = DiceGroup(2, first.sides, 1)
    elif rule := _KEEP.search(plain):
        number = _count((rule["count"] or rule["after"] or "one").strip(), 1)
        high = rule["which"] in ("highest", "best", "high")
        if rule["verb"] == "keep":
            groups[0] = DiceGroup(first.count, first.sides, number if high else -number, first.sign)
        else:
            left = first.count - number
            groups[0] = DiceGroup(first.count, first.sides, -left if high else left, first.sign)
    return Dice(tuple(groups), bonus)


def _word_before(plain: str, at: int) -> int:
    """Of "two d6", two."""
    words = plain[:at].split()
    return _count(words[-1], 1) if words and words[-1] not in ("a", "one") else 1


# --- Numbers ----------------------------------------------------------------------------------------------------------

_BETWEEN = re.compile(r"\b(?:between|from|in(?: the)? range(?: of)?|out of|within)\b(?: the numbers?)?")
_UNDER = re.compile(r"\b(?P<word>under|below|less than|smaller than|lower than|up to|at most|max(?:imum)?|not above)\b")
_DIGITS = re.compile(r"\b(?P<count>\d+|[a-z]+)[ -](?:digit|figure)s?\b")


def _numbers(plain: str) -> Numbers | Abstention:
    things = (
        r"(?:(?:random|different|unique|distinct|whole|even|odd|lottery|other|new) )*"
        r"(?:numbers?|integers?|decimals?|digits)"
    )
    count = _how_many(_DIGITS.sub(" ", plain), things)
    decimals = 2 if re.search(r"\b(?:decimals?|fraction|floating|float|real) ?", plain) else 0
    step, remainder = (2, 0) if re.search(r"\beven\b", plain) else (2, 1) if re.search(r"\bodd\b", plain) else (1, 0)
    distinct = re.search(r"\b(?:different|distinct|unique|lottery|without repeat\w*|no repeat\w*)\b", plain) is not None
    low, high = 1.0, 100.0
    if "lottery" in plain and not re.search(r"\d", plain):
        low, high = 1.0, 49.0
        count = 6 if count == 1 else count
    if digits := _DIGITS.search(plain):
        length = _count(digits["count"], 0)
        if 1 <= length <= 18:
            low, high = (0.0, 9.0) if length == 1 else (float(10 ** (length - 1)), float(10**length - 1))
    bounds = _bounds(plain)
    if bounds is not None:
        low, high = bounds
    elif re.search(r"\bbetween\b", plain):
        return Abstention("Between which two numbers?", "needs_input")
    if not (low.is_integer() and high.is_integer()) or (bounds in ((0.0, 1.0), (1.0, 0.0)) and "integer" not in plain):
        # Nobody who says "between 0 and 1" means one of two numbers.
        decimals = max(decimals, 2)
    if (low, high) == (0.0, 1.0) and decimals:
        decimals = 6
    return Numbers(low, high, count, distinct, decimals, step, remainder)


def _bounds(plain: str) -> tuple[float, float] | None:
    if between := _BETWEEN.search(plain):
        first = find_number(plain, between.end())
        if first is not None and re.fullmatch(r"\W*", plain[between.end() : first.span[0]].replace("-", "")):
            rest = first.span[1]
            second = find_number(plain, rest)
            if second is not None and re.fullmatch(
                r"\s*(?:and|to|through|-|–|until|up to|or)\s*", plain[rest : second.span[0]]
            ):
                return float(first.value), float(second.value)
            joined = re.match(r"\s*(?:-|–)\s*(?=\d)", plain[rest:])
            if joined and (second := find_number(plain, rest + joined.end())) is not None:
                return float(first.value), float(second.value)
    if under := _UNDER.search(plain):
        bound = find_number(plain, under.end())
        if bound is None and plain[under.end() :].strip().startswith("a hundred"):
            return 1.0, 99.0
        if bound is not None:
            excluded = under["word"] in ("under", "below", "less than", "smaller than", "lower than")
            return 1.0, float(bound.value) - excluded
    if span := re.search(
        r"(?<![\w.-])(-?\d+(?:\.\d+)?)\s*(?:-|–|to|and|\.\.)\s*(-?\d+(?:\.\d+)?)\b(?!\s*digit)", plain
    ):
        return float(span[1]), float(span[2])
    return None


def _letters(plain: str) -> Several:
    among = string.ascii_uppercase
    if re.search(r"\bvowels?\b", plain):
        among = "AEIOU"
    elif re.search(r"\bconsonants?\b", plain):
        among = "".join(letter for letter in among if letter not in "AEIOU")
    elif span := re.search(r"\b(?:from|between) ([a-z]) (?:to|and|through) ([a-z])\b", plain):
        first, last = sorted((span[1].upper(), span[2].upper()))
        among = among[among.index(first) : among.index(last) + 1]
    if re.search(r"\blower ?case\b|\bsmall letter", plain):
        among = among.lower()
    return Several(
        "letter", _how_many(plain, r"(?:random |different |capital |lower ?case )*(?:letters|vowels|consonants)"), among
    )


# --- Secrets ----------------------------------------------------------------------------------------------------------


def _secret(plain: str) -> Secret:
    count = _how_many(
        plain,
        r"(?:(?:new|random|strong|secure|different|safe) )*(?:passwords|pass ?phrases|pins|pin ?codes|uuids|guids|"
        r"keys|tokens)",
    )
    length = re.search(
        r"\b(?:(?P<length>\d+)[ -]?|(?P<words>[a-z]+(?:[ -](?:one|two|three|four|five|six|seven|eight|"
        r"nine))?)[ -])(?P<unit>digits?|characters?|chars?|letters?|signs|symbols|words?|long|figures?)\b",
        plain,
    )
    size = _count(length["length"] or length["words"], 0) if length else 0
    spoken = (
        re.search(
            r"\bpass ?phrases?\b|\b(?:easy|easily)\b.*\b(?:remember|say|type|memor)|\bmemorable\b|\bpronounce|"
            r"\bwords\b",
            plain,
        )
        is not None
    )
    if UUID.search(plain):
        return Secret("uuid", count=count)
    if not PASSWORD.search(plain) and (PIN.search(plain) or re.search(r"\bdigit\b.*\bcode\b", plain)):
        return Secret("pin", size or 4, count)
    if not PASSWORD.search(plain) and KEY.search(plain):
        return Secret("key", size or 32, count)
    if spoken:
        return Secret(
            "password", size if size and length and length["unit"].startswith("word") else 5, count, spoken=True
        )
    bare = re.search(r"\b(?:only letters|letters only|just letters|no numbers|without numbers|without digits)\b", plain)
    plain_signs = re.search(
        r"\b(?:without|no|excluding|minus)(?: any)? (?:special|symbols?|signs|punctuation)|\b(?:only|"
        r"just) (?:letters and (?:numbers|digits)|letters|numbers|alphanumeric)|"
        r"\balphanumeric\b|\bletters and (?:numbers|digits) only\b|\bletters only\b",
        plain,
    )
    return Secret("password", size or 20, count, symbols=plain_signs is None, figures=bare is None)


# --- Choices ----------------------------------------------------------------------------------------------------------


def _pick(text: str, more: str) -> Pick | Abstention | None:
    options = find_offered(text, more)
    if len(options) < 2:
        if re.search(r"\brock,? paper,? scissors\b", text, re.IGNORECASE):
            return Pick(("rock", "paper", "scissors"))
        return Abstention("Between what? Name at least two things.", "needs_input")
    plain = text.lower()
    count = re.search(
        r"\b(?:pick|choose|select|draw)(?: out)?(?: me| us)? (?P<count>\d+|two|three|four|five|six|seven|eight|nine|"
        r"ten)\b",
        plain,
    )
    return Pick(options, _count(count["count"], 1) if count else 1)


def _order(text: str, more: str) -> Order | Abstention:
    options, plain = find_offered(text, more), text.lower()
    if len(options) < 2:
        return Abstention("Which things? Name at least two.", "needs_input")
    if not TEAMS.search(plain):
        return Order(options)
    if "pairs" in plain:
        return Order(options, max(len(options) // 2, 1))
    size = re.search(r"\b(?:teams|groups) of (\d+|two|three|four|five|six)\b", plain)
    if size:
        return Order(options, max(len(options) // max(_count(size[1], 2), 1), 1))
    return Order(
        options,
        _how_many(plain, r"(?:random |equal |fair )*(?:teams|groups|squads)")
        if re.search(r"\b(?:teams|groups|squads)\b", plain)
        and _how_many(plain, r"(?:random |equal |fair )*(?:teams|groups|squads)") > 1
        else 2,
    )
