"""Compound requests: where one text asks for several things, in which order, and which part speaks of which.

Two steps, both pure. `candidates` looks at the form alone and is cheap enough for every request; it offers parts only
where each side of a connective or a sentence end could stand by itself. `judge` looks at what the router made of the
whole and of each part, and keeps only the cuts that the router bears out. Whoever calls them does the routing between
the two.

When in doubt a text stays whole: half of a request, routed alone, is a wrong answer, while an expert or the titan that
gets two requests at once can still see both. So a statement stays with the request that it explains, a condition with
what it governs, an errand ("remind me to …", "tell her that …") with everything it may contain; two parts for the titan
stay together, and so do two parts for the same ability unless each says all that it needs.

What an English clause looks like is in `clauses`. Knows no expert, no wire; of the router it knows verdicts, names and
confidences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from . import clauses

if TYPE_CHECKING:
    from .decision import Decision

LONGEST_CHARACTERS = 600
MOST_PARTS = 5
# A text with more connectives and marks than this is a list of things or prose, and not worth the time.
MOST_DELIMITERS = 20
# The least confidence in each of two neighbouring parts for the cut between them to stand, by how clearly the form
# shows it: two whole clauses at a sentence end or "and then"; two whole clauses at a bare "and" or comma; less.
LEAST_CONFIDENCE = {"clear": 0.05, "likely": 0.1, "possible": 0.4}
# The same where one of the two is for the titan: of the other.
LEAST_BESIDE_TITAN = {"clear": 0.6, "likely": 0.7, "possible": 0.95}
# The router is this sure of the whole, and not this sure of a part: the part only adds to the rest.
WHOLE_SURE, PART_SURE = 0.9, 0.5

Cut = Literal["clear", "likely", "possible"]


@dataclass(frozen=True, slots=True)
class Part:
    """One request out of several.

    text: routable by itself, connectives and courtesies off. reference: the word in it that points back ("it"), "" if
    none; antecedent: index of the part that it points to, -1: none.
    start, end: where it lies in the whole text. cut: how clearly the form separates it from the part before.
    carried: its verb, or more, is the earlier part's ("… and another for 10").
    """

    text: str
    reference: str = ""
    antecedent: int = -1
    start: int = 0
    end: int = 0
    cut: Cut = "clear"
    carried: bool = False


def candidates(text: str) -> tuple[Part, ...]:
    """The parts that the form of a text allows, in order; () where it can only be one request.

    A text over 600 characters, or one with more than five parts, is left whole.
    """
    if len(text) > LONGEST_CHARACTERS or _HINT.search(text) is None:
        return ()
    pieces = _pieces(text)
    if not 1 < len(pieces) <= MOST_PARTS:
        return ()
    return _referring(pieces)


def judge(text: str, whole: Decision, parts: Sequence[Part], decisions: Sequence[Decision]) -> tuple[Part, ...]:
    """The parts that stand, given what the router says of the whole and of each; one part: it is one request.

    text, parts: as `candidates` took and gave them; decisions: one per part, in order. A part that was merged from
    several has a text that was not routed yet; every other keeps its text, and so its decision.

    Raises: ValueError: a decision for each part is needed.
    """
    if len(parts) != len(decisions):
        raise ValueError(f"{len(decisions)} decisions for {len(parts)} parts; there must be one for each, in order")
    groups: list[list[int]] = []
    for number, part in enumerate(parts):
        if groups and not _stands(part, parts[number - 1], decisions[number - 1], decisions[number], whole):
            groups[-1].append(number)
        else:
            groups.append([number])
    if len(groups) <= 1:
        return (_whole(text),)
    if len(groups) == len(parts):
        return tuple(parts)
    return tuple(_merged(text, [parts[number] for number in group], group[0], groups) for group in groups)


def split(text: str, decide: Callable[[str], Decision]) -> tuple[Part, ...]:
    """Both steps at once, for a caller that can route in place. decide: the router on one sentence."""
    parts = candidates(text)
    if not parts:
        return (_whole(text),)
    return judge(text, decide(text), parts, [decide(part.text) for part in parts])


def _merged(text: str, members: Sequence[Part], first: int, groups: Sequence[Sequence[int]]) -> Part:
    """One part of several neighbours. first: the number of the first; groups: the numbers that go together."""
    pointing = next((member for member in members if 0 <= member.antecedent < first), None)
    reference, antecedent = "", -1
    if pointing:
        reference = pointing.reference
        antecedent = next(place for place, group in enumerate(groups) if pointing.antecedent in group)
    part = replace(members[0], reference=reference, antecedent=antecedent)
    if len(members) == 1:
        return part
    # It reads as it was written: a carried verb goes back to where it came from.
    start, end = part.start, members[-1].end
    return replace(part, text=_bare(text[start:end]), end=end, carried=False)


def _whole(text: str) -> Part:
    return Part(text, end=len(text))


# --- What the router bears out ---------------------------------------------------------------------------------------


def _stands(part: Part, before: Part, left: Decision, right: Decision, whole: Decision) -> bool:
    """Whether the cut between two neighbours stands."""
    titans = (left.verdict == "titan") + (right.verdict == "titan")
    if titans == 2:
        return False
    if titans:
        local = right if left.verdict == "titan" else left
        return local.confidence >= LEAST_BESIDE_TITAN[part.cut] and not (part.cut == "possible" and part.reference)
    if (left.expert, left.intent) == (right.expert, right.intent):
        # Twice the same ability: only where each says all that it needs.
        return part.cut != "possible" and not part.reference and (part.carried or _alike(before.text, part.text))
    weaker = min(left.confidence, right.confidence)
    if weaker < LEAST_CONFIDENCE[part.cut]:
        return False
    # The whole is surely what one of its parts is, and the other is nothing sure: it only adds to it.
    same = (whole.expert, whole.intent) in ((left.expert, left.intent), (right.expert, right.intent))
    adds = same and whole.verdict == "routed" and whole.confidence >= WHOLE_SURE and weaker < PART_SURE
    return part.cut == "clear" or not adds


def _alike(first: str, second: str) -> bool:
    """Two commands with the same verb and about the same length: "set a timer for 5 minutes", "set a timer for 9"."""
    one, other = first.casefold().split(), second.casefold().split()
    return len(other) >= 4 and one[0] == other[0] and len(other) + 1 >= len(one)


# --- Where a text may be cut -----------------------------------------------------------------------------------------

# What every delimiter holds one of: all that an ordinary request is searched for.
_HINT = re.compile(r"[,;\n]|[.!?…]\s|\s(?:and|&|plus|then|also|after\w*)\s", re.IGNORECASE)
# The other patterns are text: `re` compiles them when a request first needs them, not at the start.

# These join nouns as well as requests; every other connective joins requests alone.
_PLAIN = frozenset({"and", "&", "plus", "oh"})
_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "st", "vs", "etc", "e.g", "i.e", "no", "nr", "prof", "approx", "a.m", "p.m", "jr", "sr"}
)
# After a colon stands what the request is about; in "7:30" and "http://" no blank follows.
_COLON = r":(?:\s|$)"
_NUMBERED = r"^\d{1,2}[.)]\s+(?=\S)"
_MARKS = " \t\n,;.!"
_COURTESY = (
    r"(?:please|kindly|now|just|also|then|and|&|next|finally|lastly|afterwards?|quickly|hey|hi|hello|okay|ok|oh|well|so|"
    r"actually|first|firstly|second|secondly|third|thirdly|alright|thanks|thank you|sorry|after that|plus)"
)
_PRELUDE = rf"(?i)(?:[\s,;.!?&\-*•]|{_COURTESY}(?![\w'’\-]))+"
_CODA = ("please", "as well", "too", "also", "thanks", "thank you", "a lot", "afterwards", "after that", "and", "then")


def _bare(clause: str) -> str:
    """Without connectives and courtesies at either end."""
    lead = re.match(_PRELUDE, clause)
    clause = clause[lead.end() if lead else 0 :].rstrip(_MARKS)
    while clause.casefold().endswith(_CODA):
        ending = next(ending for ending in _CODA if clause.casefold().endswith(ending))
        shorter = clause[: -len(ending)].rstrip(_MARKS)
        if len(shorter) + len(ending) == len(clause):
            break  # a longer word: "tattoo"
        clause = shorter
    return clause


def _pieces(text: str) -> list[Part]:
    """The text cut at every delimiter whose two sides stand by themselves."""
    colon = re.search(_COLON, text)
    limit = colon.start() if colon else len(text)
    delimiters = list(re.compile(clauses.DELIMITER).finditer(text, 0, limit))
    if len(delimiters) > MOST_DELIMITERS:
        return []
    shut = [match.span() for match in re.finditer(clauses.QUOTED, text)]
    pieces: list[Part] = []
    start = since = 0  # where the present part, and its last clause, begin
    full = inside = False  # whether a clause of the part opens as a request; whether the last one follows a bare "and"
    told = wish = False  # whether a sentence so far only tells something; whether the last request is put as a wish
    present = Part("")
    for number, match in enumerate(delimiters, start=1):
        if any(begin < match.end() and match.start() < end for begin, end in shut) or _abbreviates(text, match):
            continue
        clause, left, right = (
            _bare(text[begin:end])
            for begin, end in ((since, match.start()), (start, match.start()), (match.end(), limit))
        )
        if number < len(delimiters) and not _bare(text[match.end() : delimiters[number].start()]):
            continue  # a courtesy between two delimiters: "…, please; after that …"
        opens = clauses.opens(clause, inside)
        if opens:
            wish = clauses.wishes(clauses.tokens(clause), inside)
        told = told or (not opens and not inside and clause.count(" ") >= 3)
        full = full or opens
        since, inside = match.end(), match["stop"] is None and not _sequence(match)
        if not right or not left or clauses.dangles(left):
            continue
        if full and match["stop"] is None and match["after"] != "" and (carried := _carry(left, right)):
            following = Part(carried, carried=True)
        elif cut := _cut(left, clause, right, match, full=full, told=told, wish=wish):
            following = Part("", cut=cut)
        else:
            continue
        pieces.append(_closed(present, text, start, match.start()))
        start, full, inside, present = match.end(), following.carried, False, following
    if pieces:
        pieces.append(_closed(present, text, start, len(text)))
    return pieces


def _closed(part: Part, text: str, start: int, end: int) -> Part:
    words = _bare(text[start:end])
    if part.carried:
        words = part.text + words[len(clauses.first_clause(words)) :]
    elif not start:
        words = re.sub(_NUMBERED, "", words)
    return replace(part, text=words, start=start, end=end)


def _abbreviates(text: str, match: re.Match[str]) -> bool:
    """Whether what looks like a sentence end closes an abbreviation, an initial or a list's number."""
    if match["stop"] != ".":
        return False
    words = text[: match.start("stop")].rsplit(None, 1)
    return bool(words) and (
        words[-1].casefold() in _ABBREVIATIONS
        or (len(words[-1]) == 1 and words[-1].isalpha())
        or (len(words) == 1 and words[0].isdigit())
    )


def _sequence(match: re.Match[str]) -> bool:
    """Whether a delimiter holds a connective that joins requests alone, or a request's "please" follows it."""
    words = (match["more"] or match["after"] or match["joined"] or "").casefold().replace(",", " ").split()
    please = match.string[match.end() :][:6].casefold() == "please"
    return any(word not in _PLAIN for word in words) or bool(words and please)


def _cut(left: str, clause: str, right: str, match: re.Match[str], *, full: bool, told: bool, wish: bool) -> Cut | None:
    """How clearly a delimiter parts two requests; None: it does not. clause: the last one of the left."""
    stop, sequence = match["stop"] is not None, _sequence(match)
    apart = stop or sequence
    comma = match["after"] == ""  # and nothing else
    near = clauses.first_clause(right)
    if clauses.conditional(right) or clauses.belongs(left, clause, near, stop=stop, comma=comma):
        return None
    opens = clauses.opens(right, inside=not apart)
    if opens and full and not (comma and wish):
        # What is asked beside a story is mostly about the story; so is a question that points back, and a need beside a
        # request is mostly its reason.
        words, points = clauses.tokens(near), clauses.points_back(near)
        wishes = clauses.wishes(words, inside=not apart)
        leans = wish or wishes or (points and clauses.asks(words, inside=False))
        if not sequence and (told or (wish and wishes) or (stop and leans)):
            return "possible"
        # A question and a command are never halves of one clause.
        question, asked = clauses.asks(words, inside=True), clauses.asks(clauses.tokens(clause), inside=False)
        mixed = question != asked and not (comma or points or wish or wishes)
        return "clear" if apart or mixed else "likely"
    if clauses.continues(right) or len(left.split()) < 2 or len(near.split()) < 2:
        return None
    if not apart:
        # Something told, and then a request: the router must see two different things, surely.
        surely = opens and not comma and not clauses.continues(left) and not clauses.points_back(near)
        return "possible" if surely else None
    # A statement explains the request beside it, unless the connective says that it is another matter.
    statement = (not full and clauses.tells(left)) or (not opens and clauses.tells(right))
    return None if statement and not sequence else "possible"


def _referring(pieces: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with what points back in each, and where to."""
    referring: list[Part] = []
    for number, part in enumerate(pieces):
        reference, antecedent = "", -1
        if number and not part.carried:
            reference, antecedent = clauses.reference(part.text, [piece.text for piece in pieces[:number]])
        referring.append(replace(part, reference=reference, antecedent=antecedent))
    return tuple(referring)


# --- What a later part leaves out ------------------------------------------------------------------------------------

_ARRANGED = (
    r"(?i)(?P<verb>(?:(?:can|could|would|will)\s+you\s+)?(?:please\s+)?"
    r"(?:set(?:\s+up)?|start|book|order|create|make|add|give\s+me|show\s+me|tell\s+me|get\s+me|play|find\s+me|reserve|"
    r"schedule|what['’]?s|what\s+is)(?:\s+me)?)\s+(?P<article>an?|the)\s+(?P<noun>[a-z]+(?:\s+[a-z]+)?)\s+"
    r"(?P<preposition>for|at|in|to|of|on|from|about)\s+(?P<rest>.+)"
)
_ANOTHER = (
    r"(?i)(?:another(?:\s+one)?|one\s+more|a\s+second(?:\s+one)?|a\s+third(?:\s+one)?)\s+"
    r"(?P<preposition>for|at|in|to|of|on|from|about)\s+(?P<rest>.+)"
)
_OTHER_NOUN = r"(?i)(?:an?|the|my)\s+(?P<noun>[a-z]+(?:\s+[a-z]+)?)\s+(?:for|at|in|to|of|on|from|about)\s+\S"
_SWITCHED = r"(?i)(?P<verb>(?:please\s+)?(?:turn|switch))\s+(?:on|off|up|down)\s+\S"
_PARTICLE = r"(?i)(?:on|off|up|down)\s+(?:the|my|all|that|this)\s+\S"
_UNIT = r"(?i)[\w.]+\s+(?P<unit>(?:second|minute|hour|day|week)s?)\W*$"


def _carry(left: str, right: str) -> str:
    """The right part with the verb, noun and unit that it takes from the left one; "" where that is not sound."""
    near = clauses.first_clause(right)
    if (switched := re.match(_SWITCHED, left)) and re.match(_PARTICLE, near):
        return f"{switched['verb']} {near}"
    if not (arranged := re.match(_ARRANGED, left)):
        return ""
    verb, article, noun = arranged["verb"], arranged["article"], arranged["noun"]
    if article.casefold() != "the" and (another := re.match(_ANOTHER, near)):
        if another["preposition"].casefold() != arranged["preposition"].casefold():
            return ""
        rest = another["rest"]
        unit = re.match(_UNIT, arranged["rest"])
        bare_number = len(rest.split()) == 1 and another["preposition"].casefold() in ("for", "in")
        carried = f"{verb} {article} {noun} {another['preposition']} {rest}"
        return f"{carried} {unit['unit']}" if unit and bare_number else carried
    if (other := re.match(_OTHER_NOUN, near)) and other["noun"].casefold() != noun.casefold():
        return f"{verb} {near}"
    return ""
