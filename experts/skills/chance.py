"""Chance: coins, dice, numbers, one of several, an order, cards, yes or no, letters, colours, passwords, PINs, UUIDs.

Every draw comes from the operating system's source (`secrets.SystemRandom`), so that what is made for a lock is as good
as what is made for a game. Keeps nothing: what was drawn before has no part in it. What a sentence asks for is worked
out in `chance_request`.
"""

from __future__ import annotations

import math
import secrets
import string
import uuid
from random import Random

from ..errors import QueryError
from ..values import Abstention, Answer, Json, Outcome, Query, Structured
from .chance_request import Dice, Numbers, Order, Pick, Secret, Several, read_request

MAX_TEXT = 4_000
MAX_DRAWS = 1_000
MAX_SIDES = 1_000_000
MAX_NUMBER = 10**18
MAX_SECRET = 256
# Of a listing for people; the result holds all.
MAX_TOLD = 50

RANKS = ("ace", "2", "3", "4", "5", "6", "7", "8", "9", "10", "jack", "queen", "king")
SUITS = ("clubs", "diamonds", "hearts", "spades")
COLOURS = {
    "black": "#000000", "white": "#ffffff", "grey": "#808080", "red": "#ff0000", "crimson": "#dc143c",
    "orange": "#ffa500", "gold": "#ffd700", "yellow": "#ffff00", "olive": "#808000", "lime": "#00ff00",
    "green": "#008000", "teal": "#008080", "turquoise": "#40e0d0", "cyan": "#00ffff", "blue": "#0000ff",
    "navy": "#000080", "indigo": "#4b0082", "purple": "#800080", "violet": "#ee82ee", "magenta": "#ff00ff",
    "pink": "#ffc0cb", "brown": "#a52a2a", "beige": "#f5f5dc", "maroon": "#800000",
}  # fmt: skip
# Without letters and figures that look like others, where a person has to copy it.
_LETTERS = "".join(letter for letter in string.ascii_letters if letter not in "lIO")
_FIGURES = "23456789"
_SYMBOLS = "!#$%&*+-=?@_"
_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aeiou"


class Chance:
    """Answers `Structured`: {"topic": "coin" | "dice" | "number" | "pick" | "order" | "teams" | "card" | "decision" |
    "letter" | "colour" | "password" | "pin" | "uuid" | "key", …}; what was drawn in "results", and in "result" if it
    is one."""

    def __init__(self, source: Random | None = None) -> None:
        """source: of all draws; None: the operating system's."""
        self._source: Random = secrets.SystemRandom() if source is None else source

    async def answer(self, query: Query) -> Outcome:
        if len(query.text) > MAX_TEXT:
            return Abstention(f"a sentence of more than {MAX_TEXT:,} characters asks for no draw", "not_mine")
        more = query.payload or (query.document.text if query.document is not None else "")
        request = read_request(query.text, query.intent, more[:MAX_TEXT])
        match request:
            case None:
                return Abstention("this asks for nothing that is left to chance", "not_mine")
            case Abstention():
                return request
            case Dice():
                return self._dice(request)
            case Numbers():
                return self._numbers(request)
            case Pick():
                return self._pick(request)
            case Order():
                return self._order(request)
            case Secret():
                return self._secret(request)
            case Several(kind="coin"):
                return self._coins(request.count)
            case Several(kind="card"):
                return self._cards(request.count)
            case Several(kind="letter"):
                return self._letters(request)
            case Several(kind="colour"):
                return self._colours(request)
            case Several():
                said = self._source.choice(("yes", "no"))
                return _answer(f"{said.capitalize()}.", "decision", result=said)

    # --- Games --------------------------------------------------------------------------------------------------------

    def _coins(self, count: int) -> Answer:
        _within(count, 1, MAX_DRAWS, "coins")
        results = [self._source.choice(("heads", "tails")) for _ in range(count)]
        heads = results.count("heads")
        if count == 1:
            return _answer(f"{results[0].capitalize()}.", "coin", result=results[0], results=results, heads=heads)
        said = f"{_listed(results).capitalize()}: {heads} heads, {count - heads} tails."
        return _answer(said, "coin", results=results, heads=heads, tails=count - heads)

    def _dice(self, request: Dice) -> Answer:
        _within(sum(abs(group.count) for group in request.groups), 1, MAX_DRAWS, "dice")
        groups: list[Json] = []
        told, total = [], request.bonus
        for group in request.groups:
            _within(group.sides, 2, MAX_SIDES, "sides of a die")
            rolls = [self._source.randint(1, group.sides) for _ in range(group.count)]
            kept = sorted(rolls, reverse=group.keep >= 0)[: abs(group.keep)] if group.keep else rolls
            total += group.sign * sum(kept)
            groups.append({"dice": group.notation, "rolls": rolls, "kept": kept, "sum": group.sign * sum(kept)})
            of_kept = f", of which {_listed(kept)} count{'s' * (len(kept) == 1)}" if group.keep else ""
            told.append(f"{group.notation}: {_listed(rolls)}{of_kept}")
        single = len(request.groups) == 1 and request.groups[0].count == 1 and not request.bonus
        said = (
            f"{total}." if single else f"{total} ({'; '.join(told)}{f'; {request.bonus:+d}' if request.bonus else ''})."
        )
        return _answer(said, "dice", result=total, groups=groups, bonus=request.bonus)

    def _cards(self, count: int) -> Answer:
        _within(count, 1, 52, "cards of one deck")
        deck = [f"{rank} of {suit}" for suit in SUITS for rank in RANKS]
        cards = self._source.sample(deck, count)
        results: list[Json] = [*cards]
        said = f"The {cards[0]}." if count == 1 else f"{_listed(cards).capitalize()}."
        return _answer(said, "card", results=results, **({"result": cards[0]} if count == 1 else {}))

    def _letters(self, request: Several) -> Answer:
        _within(request.count, 1, MAX_DRAWS, "letters")
        among = request.among or string.ascii_uppercase
        letters = [self._source.choice(among) for _ in range(request.count)]
        return _answer(f"{_listed(letters)}.", "letter", results=letters, **_single(letters))

    def _colours(self, request: Several) -> Answer:
        _within(request.count, 1, len(COLOURS), "different colours")
        if request.among == "rgb":
            codes = [f"#{self._source.getrandbits(24):06x}" for _ in range(request.count)]
            colours: list[Json] = [{"hex": code} for code in codes]
            told = [f"{code} (rgb {', '.join(str(int(code[at : at + 2], 16)) for at in (1, 3, 5))})" for code in codes]
        else:
            told = self._source.sample(sorted(COLOURS), request.count)
            colours = [{"name": name, "hex": COLOURS[name]} for name in told]
        return _answer(f"{_listed(told).capitalize()}.", "colour", results=colours, **_single(colours))

    # --- Numbers ------------------------------------------------------------------------------------------------------

    def _numbers(self, request: Numbers) -> Answer:
        low, high = sorted((request.low, request.high))
        for bound in (low, high):
            _within(bound, -MAX_NUMBER, MAX_NUMBER, "size of a number")
        _within(request.count, 1, MAX_DRAWS, "numbers")
        if request.decimals:
            values: list[float | int] = [
                min(max(round(self._source.uniform(low, high), request.decimals), low), high)
                for _ in range(request.count)
            ]
        else:
            first = math.ceil(low)
            first += (first - request.remainder) % request.step and request.step - (
                first - request.remainder
            ) % request.step
            there = (math.floor(high) - first) // request.step + 1
            if there < 1 or (request.distinct and there < request.count):
                raise QueryError(
                    f"from {_plain(low)} to {_plain(high)} there are only {max(there, 0)} such numbers; widen the "
                    f"range",
                    reason="OUT_OF_RANGE",
                )
            if request.distinct:
                drawn = sorted(self._source.sample(range(there), request.count))
            else:
                drawn = [self._source.randrange(there) for _ in range(request.count)]
            values = [first + at * request.step for at in drawn]
        span = (
            f"from {_plain(low)} to {_plain(high)}, both included"
            if not request.decimals
            else f"from {_plain(low)} to {_plain(high)}"
        )
        results: list[Json] = [*values]
        return _answer(
            f"{_listed([_plain(value) for value in values])} ({span}).",
            "number",
            results=results,
            **{"from": _whole(low), "to": _whole(high)},
            **_single(results),
        )

    # --- Choices ------------------------------------------------------------------------------------------------------

    def _pick(self, request: Pick) -> Answer:
        options: list[Json] = [*request.options]
        if request.count > len(options):
            raise QueryError(
                f"{request.count} of {len(options)} cannot be picked; name more, or ask for fewer",
                reason="OUT_OF_RANGE",
            )
        _within(request.count, 1, MAX_DRAWS, "picks")
        chosen = self._source.sample(options, request.count)
        said = _listed([str(each) for each in chosen])
        return _answer(f"{said[:1].upper()}{said[1:]}.", "pick", results=chosen, options=options, **_single(chosen))

    def _order(self, request: Order) -> Answer:
        options = [*request.options]
        self._source.shuffle(options)
        if not request.teams:
            ordered: list[Json] = [*options]
            lines = "\n".join(f"{place}. {option}" for place, option in enumerate(options[:MAX_TOLD], 1))
            return _answer(lines, "order", results=ordered)
        if request.teams > len(options):
            raise QueryError(
                f"{len(options)} cannot be parted into {request.teams} teams; name more, or ask for fewer teams",
                reason="OUT_OF_RANGE",
            )
        teams = [options[at :: request.teams] for at in range(request.teams)]
        said = "\n".join(f"Team {number}: {_listed(team)}" for number, team in enumerate(teams, 1))
        return _answer(said, "teams", results=[[*team] for team in teams])

    # --- For locks ----------------------------------------------------------------------------------------------------

    def _secret(self, request: Secret) -> Answer:
        _within(request.count, 1, 20, "secrets at once")
        made, bits = [], 0.0
        for _ in range(request.count):
            word, bits = self._make(request)
            made.append(word)
        text = "\n".join(made)
        strength = f" ({bits:.0f} bits)" if request.kind in ("password", "pin", "key") else ""
        return _answer(f"{text}{strength}", request.kind, results=[*made], bits=round(bits, 1), **_single(made))

    def _make(self, request: Secret) -> tuple[str, float]:
        """A secret, and the bits that it takes to guess it: log2 of how many equally likely ones there are."""
        draw = self._source
        if request.kind == "uuid":
            return str(uuid.UUID(int=draw.getrandbits(128), version=4)), 122.0
        length = request.length
        if request.kind == "pin":
            _within(length, 3, MAX_SECRET, "figures of a PIN")
            return "".join(draw.choice(string.digits) for _ in range(length)), length * math.log2(10)
        if request.kind == "key":
            _within(length, 8, MAX_SECRET, "figures of a key")
            return "".join(draw.choice("0123456789abcdef") for _ in range(length)), length * 4.0
        if request.spoken:
            _within(length, 3, 20, "words of a passphrase")
            shape = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)
            words = ["".join(draw.choice(letters) for letters in shape) for _ in range(length)]
            return "-".join(words), length * sum(math.log2(len(letters)) for letters in shape)
        _within(length, 8, MAX_SECRET, "characters of a password")
        kinds = [_LETTERS, *([_FIGURES] if request.figures else []), *([_SYMBOLS] if request.symbols else [])]
        alphabet = "".join(kinds)
        while True:
            # Drawn anew as a whole until each kind is there: every password that has them all is equally likely.
            word = "".join(draw.choice(alphabet) for _ in range(length))
            if all(any(letter in kind for letter in word) for kind in kinds):
                return word, math.log2(_with_all(kinds, length))


def _with_all(kinds: list[str], length: int) -> int:
    """How many words of that length hold a letter of each kind: by inclusion and exclusion."""
    total = 0
    for left_out in range(2 ** len(kinds)):
        letters = sum(len(kind) for at, kind in enumerate(kinds) if not left_out >> at & 1)
        total += (-1) ** left_out.bit_count() * letters**length
    return total


# --- What is said -----------------------------------------------------------------------------------------------------


def _answer(said: str, topic: str, **fields: Json) -> Answer:
    return Answer(said, Structured({"topic": topic, **fields}))


def _single(results: list[Json] | list[str]) -> dict[str, Json]:
    return {"result": results[0]} if len(results) == 1 else {}


def _listed(items: list[str] | list[int]) -> str:
    told = [str(item) for item in items[:MAX_TOLD]]
    return ", ".join(told + [f"… and {len(items) - MAX_TOLD} more"] * (len(items) > MAX_TOLD))


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _plain(value: float) -> str:
    return str(_whole(value))


def _within(value: float, low: int, high: int, what: str) -> None:
    if not low <= value <= high:
        raise QueryError(f"{what}: {value:,} asked for, from {low:,} to {high:,} can be had", reason="OUT_OF_RANGE")
