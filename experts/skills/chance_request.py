"""What a sentence leaves to chance: how many dice of how many sides, between which numbers, one of which things.

Reads sentences; draws nothing.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

from ..values import Abstention
from .timex import find_number

INTENTS = ("coin", "dice", "number", "pick", "shuffle", "card", "decide", "letter", "colour", "secret")


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

_RANDOM = r"(?:random(?:ly|i[sz]ed?)?|at random|by chance|arbitrary|lottery)"
_DRAWS = (
    r"(?:pick|choose|select|draw|give|get|generate|make|create|produce|think of|tell|name|say|deal|take|pull|flip|toss|"
    r"roll|throw|spit out|come up with|suggest|surprise|need|want)"
)
_COIN = re.compile(
    r"\b(?:flip|toss|throw|spin)(?:ped|ping|ed|ing)?\b.*\b(?:coins?|quarters?|penn(?:y|ies)|dimes?|it)\b|"
    r"\bcoins?[ -]?(?:flip|toss)\w*|"
    r"\bheads? or tails?\b|\b(?:toss|flip) for it\b|\bcoins? (?:flipped|tossed|thrown)\b|\bwith a coin\b|^(?:flip|"
    r"toss)$"
)
_NOTATION = re.compile(
    r"(?<![\w.])(?P<sign>[+-])?\s*(?P<count>\d*)\s?d\s?(?P<sides>\d+|%)(?:(?P<keep>k|kh|kl|dl|"
    r"dh)(?P<kept>\d*))?(?![\w.]|-\d)"
)
_DICE = re.compile(
    r"\bdice\b|\bdie\b(?! (?:of|from|in|young|for|out|down|hard|if|soon)\b)|\broll(?:ing|ed)? (?:with |"
    r"at )?(?:dis)?advantage\b|"
    r"\b(?:dis)?advantage roll\b|\broll initiative\b|\bpercentile\b"
)
_NUMBER = re.compile(
    rf"\b{_RANDOM}\b.*\b(?:numbers?|integers?|digits?|decimals?|floats?|figures?)\b|\blottery numbers?\b|"
    rf"\b(?:numbers?|integers?|decimals?|digits?)\b.*\b(?:between|from|under|below|up to|less than|smaller than)\b.*\w|"
    rf"\b{_DRAWS}\b(?: me| us| of)? (?:\w+ ){{0,3}}?numbers?\b(?! of)"
)
_CARD = re.compile(
    rf"\b{_DRAWS}\b.*\bcards?\b|\b(?:random|playing) cards?\b|\bcards? (?:from|off) (?:a|the) deck\b|\b(?:deal|"
    rf"draw)\b.*\bhand\b|\bdeck of cards\b|\bshuffle the deck\b|\bpoker hand\b"
)
_NO_CARD = re.compile(
    r"\b(?:credit|sim|gift|birthday|greeting|business|debit|graphics|sd|memory|report|post|id|score|christmas|"
    r"bank)[ -]?cards?\b"
)
_DECISION = re.compile(
    r"\byes[ ,/]*(?:or|and)?[ ,/]*no\b|\b(?:magic )?(?:8|eight)[ -]?ball\b|\bthumbs up or (?:thumbs )?down\b|"
    r"\btrue or false\b"
)
_LETTER = re.compile(
    rf"\b(?:{_RANDOM}|{_DRAWS}|any)\b(?: me| us)?.{{0,24}}\b(?:letters?|vowels?|consonants?)\b(?! (?:to|"
    rf"of (?!the alphabet)|for (?:my|the) (?:boss|landlord)|about|from my|[\w']+ing)\b)|"
    r"^letters? please\b|\b(?:which|what) letter do we\b"
)
_NO_LETTER = re.compile(
    r"\b(?:cover|love|open|thank|resignation|newsletter|capital of|business|complaint) ?letters?\b|\bwrite\b|\bdraft\b"
)
_COLOUR = re.compile(
    rf"\b(?:{_RANDOM}|{_DRAWS}|any)\b.*\b(?:colou?rs?|rgb|hex colou?r)\b|\bcolou?rs?\b.*\b{_RANDOM}\b|"
    rf"\bwhat colou?r\b.*\b(?:pick|choose)\b|\bsurprise me with a colou?r\b|^(?:any )?colou?r please$"
)
_UUID = re.compile(r"\b(?:uuids?|guids?|uuid ?v?4)\b")
_PIN = re.compile(
    rf"\b(?:pins?|pin ?codes?|pin numbers?|pass ?codes?|digit (?:security |access |unlock )?codes?|"
    rf"{_RANDOM} (?:\w+ )?codes?)\b"
)
_KEY = re.compile(r"\b(?:hex|random|api|secret|encryption)(?: hex)? (?:keys?|tokens?|strings?)\b")
_PASSWORD = re.compile(r"\b(?:pass ?words?|pass ?phrases?|passwort|pwd|login secret)\b")
_MAKES = re.compile(
    rf"\b(?:{_DRAWS}|new|random|strong|secure|safe|another|fresh|make up|need|set up|{_RANDOM})\b|"
    rf"^(?:a )?(?:pass ?word|pass ?phrase|pin|uuid|guid)s?\b(?!.*\b(?:is|was|are|wrong|leak\w*|reset|strong enough|"
    rf"safe)\b)"
)
# "My password", "is this password safe": a password that there is already.
_NO_SECRET = re.compile(
    r"\b(?:forgot|forgotten|reset|chang(?:e|ed|ing)|wrong|leaked?|find|in this (?:text|file|code)|contain\w*|hack\w*|"
    r"stol\w*|note|remember (?:my|the|that)|"
    r"write down|what(?:'s| is| was)(?: my| the)|is (?:my|this|the|it)|save|store|check|manager|hash|show me (?:my|"
    r"the)|reminder|pin (?:it|this|that|to)|push ?pin)\b"
)
_SHUFFLE = re.compile(
    r"\b(?:shuffle|scramble|jumble|randomi[sz]e)\b|\brandom(?:ly)? (?:order|sort\w*|arrange\w*|sequence)\b|\b(?:mix|"
    r"mixed) (?:up|these|them|this)\b|\brandom order\b|"
    r"\b(?:sort|order|arrange|rank|put) .*\b(?:randomly|at random|in (?:a |any )?random)\b|\bdraw lots\b"
)
_TEAMS = re.compile(r"\b(?:teams?|groups?|pairs|squads)\b")
_TEAMING = re.compile(r"\b(?:split|divide|make|form|assign|sort|put|part|random(?:ly)?|create|draw|build)\b")
_PICKS = re.compile(
    r"\b(?:pick|choose|select|decide|draw|choosing|pick out|settle)\b|\b(?:flip|toss) for it\b|"
    r"\brock,? paper,? scissors\b|\been[ie]y? mee?n[iey]+\b|"
    r"\bcan'?t (?:decide|choose)\b|\bone of (?:these|those|them|the following)\b|\bwho (?:should|has to|gets to|"
    r"is going to|does)\b.* or \b"
)
# Without one of these in the sentence or the router's word, "choose …" may ask for advice.
_PICK_WITHOUT_ROUTER = re.compile(
    rf"\b(?:pick|choose|select|decide|draw)\b.* (?:or|,) .*|\b{_RANDOM}\b|\b(?:pick|choose|select|"
    rf"draw)\b (?:me )?(?:one|\d+|two|three|four|five|a winner|someone|a name)?\b.*\b(?:of|from|out of|between|"
    rf"among)\b.*(?:,| and | or )"
)
_CHANCE_ORDER = re.compile(r"\bwho goes first\b")


def read_request(text: str, intent: str = "", more: str = "") -> Request | Abstention | None:
    """What is left to chance; None: the sentence is about something else; an abstention asks for what is missing.

    intent: the router's word, which plain words overrule. more: what stands apart from the sentence.
    """
    text = text.replace("’", "'")
    plain = " ".join(text.lower().split()).strip(" .?!")
    if not plain:
        return None
    topic = _topic(plain, intent if intent in INTENTS else "")
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


def _topic(plain: str, intent: str) -> str:
    if (_PASSWORD.search(plain) or _PIN.search(plain) or _UUID.search(plain) or _KEY.search(plain)) and (
        intent == "secret" or (_MAKES.search(plain) and not _NO_SECRET.search(plain))
    ):
        return "secret"
    if _NOTATION.search(plain) and (
        intent == "dice"
        or re.search(r"\b(?:roll|throw|dice|give me|please)\b", plain)
        or _NOTATION.fullmatch(re.sub(r"\s*[+-]\s*\d+$", "", plain))
    ):
        return "dice"
    listed = len(_options(plain)) > 1
    if _COIN.search(plain) and not (listed and re.search(r"\bfor it\b", plain)):
        return "coin"
    if _SHUFFLE.search(plain) and "deck" not in plain:
        return "shuffle" if intent or re.search(r",| and |\bthese\b|\bthis\b|\bthe\b|\bthem\b", plain) else ""
    if _TEAMS.search(plain) and _TEAMING.search(plain) and (intent or _RANDOM_WORD.search(plain) or listed):
        return "shuffle"
    if _CARD.search(plain) and not _NO_CARD.search(plain):
        return "card"
    if _DECISION.search(plain) and not (listed and re.search(r"\bpick (?:tea|one of)\b", plain)):
        return "decide" if intent or len(plain) < 120 else ""
    if _COLOUR.search(plain) and (not listed or plain.startswith(("what colo", "which colo"))):
        return "colour"
    if _LETTER.search(plain) and not _NO_LETTER.search(plain):
        return "letter"
    if _NUMBER.search(plain) and not re.search(
        r"\b(?:phone|telephone|account|order|tracking|room|house|customer|serial|invoice) numbers?\b", plain
    ):
        return "number"
    if _DICE.search(plain) and (intent or re.search(r"\b(?:roll|throw|toss|cast|dice)\b", plain)):
        return "dice"
    if intent:
        return intent
    if _PICK_WITHOUT_ROUTER.search(plain) and _PICKS.search(plain) and listed:
        return "pick"
    return ""


_RANDOM_WORD = re.compile(rf"\b{_RANDOM}\b")


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
    for found in _NOTATION.finditer(plain):
        sides = 100 if found["sides"] == "%" else int(found["sides"][:9])
        keep = int(found["kept"] or 1) if found["keep"] else 0
        count = int(found["count"][:9] or 1) if found["count"] else _word_before(plain, found.start())
        if found["keep"] in ("kl", "dh"):
            keep = -keep if found["keep"] == "kl" else -(count - keep)
        elif found["keep"] == "dl":
            keep = count - keep
        groups.append(DiceGroup(count, sides, keep, -1 if found["sign"] == "-" else 1))
    bonus = 0
    for found in _BONUS.finditer(_NOTATION.sub(" die ", plain)):
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
    if _UUID.search(plain):
        return Secret("uuid", count=count)
    if not _PASSWORD.search(plain) and (_PIN.search(plain) or re.search(r"\bdigit\b.*\bcode\b", plain)):
        return Secret("pin", size or 4, count)
    if not _PASSWORD.search(plain) and _KEY.search(plain):
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

_LEAD = re.compile(
    r"^(?:(?:please|pls|hey|ok|okay|so|just|now|can|could|would|will|you|help me|i|need|want|to|let's|randomly|"
    r"for me|me|us|at random|"
    r"quickly|hmm|um)[ ,]+)*"
    r"(?:should (?:i|we) (?:(?:wear|eat|have|order|buy|get|take|choose|pick|drink|watch|play|use|visit|"
    r"read) )?(?=\S+(?: \S+)* or )|i can'?t (?:decide|choose) between|(?:pick|choose|select|decide|draw|settle|"
    r"shuffle|scramble|jumble|mix|randomi[sz]e|"
    r"sort|order|put|split|divide|arrange|flip for it|toss for it|flip|toss|rock,? paper,? scissors|who|make|"
    r"draw lots|eeny meeny miny moe|eeny meeny|give)\b"
    r"(?:(?:\s+|(?=:))(?:out|up|me|us|for me|for us|at random|randomly|between|among|amongst|from|of|one|either|any|"
    r"some|a|an|the|these|those|them|this|"
    r"order of|names?|options?|things?|items?|following|winners?|person|people|someone|somebody|random|lots|all|on|"
    r"by|teams?|groups?|into|two|three|four|five|six|\d+|"
    r"goes first|out of|should \w+(?: the \w+)?|has to \w+(?: the \w+)?|gets to \w+(?: the \w+)?|does the \w+|"
    r"the four|in)\b)*)?[\s:,-]*",
    re.IGNORECASE,
)
_TRAIL = re.compile(
    r"[\s,;.?!-]*(?:\b(?:for me|for us|please|pls|you (?:pick|choose|decide)|(?:just )?pick one|choose one|at random|"
    r"randomly|thanks?|thank you|"
    r"in (?:a |any )?random order|(?:give me )?a random order|into (?:\w+ )?(?:random )?(?:teams?|groups?|pairs)|"
    r"for the \w+|which one|help me (?:choose|pick|decide)|"
    r"and tell me|to (?:go first|start|win|do (?:it|the dishes)))\b[\s,;.?!]*)+$",
    re.IGNORECASE,
)
_APART = re.compile(r"\s*(?:,\s*(?:and|or)\s|,|;|\n|\s(?:or|and|vs\.?|versus|oder|/)\s|\s&\s)\s*", re.IGNORECASE)
_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s*")
# What can stand where an option does, and is none.
_NO_OPTION = re.compile(
    r"^(?:these|those|them|this|that|it|one|one of (?:these|those|them)|of (?:these|those|them|this)|something|"
    r"anything|me|us|for me|the list|this list|these names|"
    r"names|these options|the options|someone|somebody|a winner|you|from this|list|one of these names|the speakers|"
    r"the following|)$",
    re.IGNORECASE,
)


def _options(text: str) -> tuple[str, ...]:
    """The things among which to choose: of "pick tea or coffee, please", ("tea", "coffee")."""
    body = text.strip()
    head, colon, tail = body.partition(":")
    if colon and tail.strip() and not re.search(r"\d$", head):
        body = tail if len(_split(_TRAIL.sub("", tail))) > 1 else body
    elif named := re.search(
        r"\b(?:among|amongst|out of|between|from|of) (?P<rest>[^,]+(?:,| and | or ).+)$", body, re.IGNORECASE
    ):
        body = named["rest"]
    elif asked := re.search(r"^(?P<who>(?:who|which|what)\b[^,]*?), (?P<rest>.+ or .+)$", body, re.IGNORECASE):
        body = asked["rest"]
    stripped = _TRAIL.sub("", body)
    match = _LEAD.match(stripped)
    stripped = _TRAIL.sub("", stripped[match.end() :] if match else stripped)
    return _split(stripped)


def _split(body: str) -> tuple[str, ...]:
    parts = [_MARK.sub("", part).strip(" .?!\"'“”") for part in _APART.split(body)]
    return tuple(dict.fromkeys(part for part in parts if not _NO_OPTION.match(part)))


def _offered(text: str, more: str) -> tuple[str, ...]:
    if more.strip():
        lines = [_MARK.sub("", line).strip() for line in more.splitlines() if line.strip()]
        return tuple(dict.fromkeys(lines)) if len(lines) > 1 else _split(more)
    return _options(text)


def _pick(text: str, more: str) -> Pick | Abstention | None:
    options = _offered(text, more)
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
    options, plain = _offered(text, more), text.lower()
    if len(options) < 2:
        return Abstention("Which things? Name at least two.", "needs_input")
    if not _TEAMS.search(plain):
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
