"""Compound requests: where one text asks for several things, in which order, and which part speaks of which.

Two steps, both pure. `candidates` looks at the form alone and is cheap enough for every request; it offers parts only
where each side of a connective or a sentence end could stand by itself. `judge` looks at what the router made of the
whole and of each part, and keeps only the cuts that the router bears out. Whoever calls them does the routing between
the two.

When in doubt a text stays whole: half of a request, routed alone, is a wrong answer, while an expert or the titan that
gets two requests at once can still see both. So a statement stays with the request that it explains, a condition with
what it governs, an errand ("remind me to …", "tell her that …") with everything it may contain; two parts for the titan
stay together, and so do two parts for the same ability unless each says all that it needs.

Knows English forms, no expert, no wire; of the router it knows verdicts, names and confidences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .index import Decision

LONGEST_CHARACTERS = 600
MOST_PARTS = 5
# A text with more connectives and marks than this is a list of things or prose, and not worth the time.
MOST_DELIMITERS = 20
# The least confidence in each of two neighbouring parts for the cut between them to stand, by how clearly the form
# shows it: two whole clauses at a sentence end or "and then"; two whole clauses at a bare "and" or comma; less.
LEAST_CONFIDENCE = {"clear": 0.05, "likely": 0.1, "possible": 0.4}
# The same where one of the two is for the titan: of the other.
LEAST_BESIDE_TITAN = {"clear": 0.3, "likely": 0.4, "possible": 0.9}
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


# --- Form: where a text may be cut -----------------------------------------------------------------------------------

_CONNECTIVE = (
    r"(?:and|&|plus|then|also|finally|lastly|afterwards?|after (?:that|this)|following that|in addition|additionally|"
    r"besides|oh|next|at the same time|(?:while|when|once) (?:you're|you are) (?:at it|done)|"
    r"(?:when|once) (?:that|it|this)(?:'s| is) done|secondly|thirdly)\b"
)
# What every delimiter holds one of: all that an ordinary request is searched for.
_HINT = re.compile(r"[,;\n]|[.!?…]\s|\s(?:and|&|plus|then|also|after\w*)\s", re.IGNORECASE)
# A sentence end; a connective, with or without a comma; a comma.
_DELIMITER = (
    rf"(?i)\s*(?:(?P<stop>[.!?…]+(?=\s+\S)|;(?=\s)|\n)[\s\-*•]*(?:\d{{1,2}}[.)]\s+)?(?P<more>(?:{_CONNECTIVE}[\s,]+)*)"
    rf"|,\s*(?P<after>(?:{_CONNECTIVE}[\s,]+)*)(?<=\s)"
    rf"|\s(?P<joined>(?:and|&|plus|then|also|afterwards|after that)\s(?:\s*{_CONNECTIVE}[\s,]+)*))"
)
# The patterns above and below are text: `re` compiles them when a request first needs them, not at the start.

# These join nouns as well as requests; every other connective joins requests alone.
_PLAIN = frozenset({"and", "&", "plus", "oh"})
_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "st", "vs", "etc", "e.g", "i.e", "no", "nr", "prof", "approx", "a.m", "p.m", "jr", "sr"}
)
_QUOTED = r"[\"“”„«»][^\"“”„«»]*[\"“”„«»]|(?<!\w)['‘][^'‘’]*['’](?!\w)|`[^`]*`|\([^()]*\)"
# After a colon stands what the request is about; in "7:30" and "http://" no blank follows.
_COLON = r":(?:\s|$)"

_NUMBERED = r"^\d{1,2}[.)]\s+(?=\S)"
_MARKS = " \t\n,;.!"
_COURTESY = (
    r"(?:please|kindly|now|just|also|then|and|&|next|finally|lastly|afterwards?|quickly|hey|hi|hello|okay|ok|oh|well|so|"
    r"actually|first|firstly|second|secondly|third|thirdly|alright|thanks|thank you|sorry|after that|plus)"
)
_LEADING = rf"(?i)(?:[\s,;.!?&\-*•]|{_COURTESY}(?![\w'’\-]))+"
_TRAILING = (
    "please",
    "as well",
    "too",
    "also",
    "thanks",
    "thank you",
    "a lot",
    "afterwards",
    "after that",
    "and",
    "then",
)


def _bare(clause: str) -> str:
    """Without connectives and courtesies at either end."""
    lead = re.match(_LEADING, clause)
    clause = clause[lead.end() if lead else 0 :].rstrip(_MARKS)
    while clause.casefold().endswith(_TRAILING):
        ending = next(ending for ending in _TRAILING if clause.casefold().endswith(ending))
        shorter = clause[: -len(ending)].rstrip(_MARKS)
        if len(shorter) + len(ending) == len(clause):
            break  # a longer word: "tattoo"
        clause = shorter
    return clause


def _pieces(text: str) -> list[Part]:
    """The text cut at every delimiter whose two sides stand by themselves."""
    colon = re.search(_COLON, text)
    limit = colon.start() if colon else len(text)
    delimiters = list(re.compile(_DELIMITER).finditer(text, 0, limit))
    if len(delimiters) > MOST_DELIMITERS:
        return []
    shut = [match.span() for match in re.finditer(_QUOTED, text)]
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
        opens = _opens(clause, inside)
        if opens:
            wish = _wishes(_tokens(clause), inside)
        told = told or (not opens and not inside and clause.count(" ") >= 3)
        full = full or opens
        since, inside = match.end(), match["stop"] is None and not _sequence(match)
        if not right or not left or left.rsplit(None, 1)[-1].casefold() in _DANGLING:
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
        words = part.text + words[len(_first_clause(words)) :]
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
    near = _first_clause(right)
    if re.match(_CONDITION, right) or _belongs(left, clause, near, stop) or (comma and re.search(_ANNOUNCED, left)):
        return None
    opens = _opens(right, inside=not apart)
    if opens and full and not (comma and wish):
        # What is asked beside a story is mostly about the story; so is a question that points back, and a need beside a
        # request is mostly its reason.
        words, points = _tokens(near), _reference(near, [Part(left)])[0] != ""
        wishes = _wishes(words, inside=not apart)
        if not sequence and (
            told or (wish and wishes) or (stop and (wish or wishes or (points and _asks(words, False))))
        ):
            return "possible"
        # A question and a command are never halves of one clause.
        mixed = (
            not comma and not points and not (wish or wishes) and _asks(words, True) != _asks(_tokens(clause), False)
        )
        return "clear" if apart or mixed else "likely"
    if re.match(_PREPOSITION, right) or len(left.split()) < 2 or len(near.split()) < 2:
        return None
    if not apart:
        # Something told, and then a request: the router must see two different things, surely.
        surely = opens and not comma and not re.match(_PREPOSITION, left) and not _reference(near, [Part(left)])[0]
        return "possible" if surely else None
    # A statement explains the request beside it, unless the connective says that it is another matter.
    statement = (not full and re.match(_STATEMENT, left)) or (not opens and re.match(_STATEMENT, right))
    return None if statement and not sequence else "possible"


# --- Form: how a clause begins ---------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WH = _words("what who whom whose where when why which how")
_WH_SHORT = _words("what's who's where's when's why's how's whats whos wheres hows what're who're what'll what'd how'd")
_BE = _words("is are was were am isn't aren't wasn't isnt")
_AUXILIARY = _BE | _words(
    "do does did don't doesn't didn't can can't could will won't would should shall may might must has have had"
)
_DEFINITE = _words("i you we he she it they there the my your our his her their its this that these those")
_SUBJECT = _DEFINITE | _words("any a an some all anyone anything everyone everything someone something")
# Words that begin a command wherever they stand, if anything follows.
_VERBS = _words(
    """accept activate add adjust analyse analyze announce apply approve arrange ask assign attach avoid bake begin
    book bring browse buy calculate call cancel capture change check choose classify clear close compare compile
    complete compose compute condense confirm connect continue convert correct create cut deactivate decide
    decline decrease define delete describe determine dictate dim disable discard disconnect discover display
    divide download draft draw drop edit email empty enable end enter erase evaluate examine exit explain extend
    extract fetch figure fill find finish fix flip forecast format forward freeze generate get give go google
    grab guess hang help hide identify ignore include increase inform insert install interpret invite join keep
    launch learn leave let list listen locate lock log look lower make mark measure merge message move multiply
    mute name navigate notify open order organise organize paraphrase pause pay pick place play post predict
    prepare print proofread provide pull purchase put queue quit raise rate read recite recommend redial reduce
    refill register reject remember remind remove rename reopen repeat rephrase replace reply report request
    reschedule reserve reset resolve restart restore resume retrieve return reverse revert review rewrite ring
    roll round run save say scan schedule search see select sell send set share shorten show shuffle shut
    simplify sing skip snooze solve sort speak spell split start stop submit subscribe subtract suggest
    summarise summarize switch take talk teach tell terminate test text throw toggle track transfer translate
    try turn type unblock undo uninstall unlock unmute unpause unsubscribe update upgrade upload use verify
    visit wake warn watch engage wipe write"""
)
# Verbs that are nouns at least as often: inside a sentence they begin a command only before one of _COMPLEMENT.
_NOUNS = _words(
    """alarm alert answer archive back balance bill block board boost brew chart chat charge cook copy count cover crop
    date defrost design dial document drive dust feed file film flag float focus heat hold host import iron lift light
    link load mail map mix mop water note nudge page paint park phone photograph pin ping plan plot point pop power
    preheat press program project push quiz quote rank record remark research route rule score screenshot ship sign star
    store stream study sum swap sync tag time title touch trace train trim tune vacuum value view wash work wrap zip"""
)
_COMPLEMENT = _SUBJECT - _words("there i he she they we") | _words(
    """me us them him every each both another on off up down out in back for to with at from about by one two three four
    five ten new how what mum mom dad whether if more"""
)
# Two nouns: "the order and check number".
_SECOND_NOUN = _words(
    """of and or is was are were has had number numbers history log logs list date dates status name names type types
    rate rates fee fees limit limits balance balances info information details price prices code codes size level values
    amount amounts usage space"""
)
# Any other word before these is a verb by its place ("defrost the chicken"), unless it is one of _NEVER.
_OBJECT = _words("the a an my me us it them him this these those all every another our your")
_NEVER = (
    _AUXILIARY
    | _SUBJECT
    | _WH
    | _words(
        """and or but nor not me us in on at to of for from by with about as than into onto over under off up down out
        after before during since until till while if whether because though although so here been both half only even
        maybe perhaps also too very today tomorrow yesterday tonight later once twice every each yes like unlike near
        between among through without within around across behind beside except plus minus times per via got made paid
        bought lost went sent found took gave came saw told said knew thought kept left spent never always usually still
        already given unless despite soon again instead anyway however therefore regarding then just now please against
        bring ai hey siri alexa yet"""
    )
)
_ALONE = _words("stop pause resume mute unmute cancel undo continue skip repeat help")
_WANT = _words("want need wanna wish looking wondering needing")
_FILLED = _words("would really also will am do just like to be")
_I = _words("i we i'd we'd i'm we're i'll we'll id im")
_AT_WHICH = _words("at in on to for from with by about of")
# A condition governs all that follows it in its sentence.
_CONDITION = (
    r"(?i)(?:if|unless|once|while|because|since|although|though|after|before|until|till|whenever|as\s+soon\s+as|in\s+case|"
    r"as\s+long\s+as|even\s+if|suppos\w+|assuming|say\s+(?:that\s+)?i\b|(?:every|each|the\s+next)\s+time|"
    r"when(?!['’]?s\b|\s+(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have)\b))\b"
)
_STATEMENT = (
    r"(?i)(?:i|we|he|she|it|they|you|there|this|that|these|those|some(?:one|body)|my|our|the|his|her|their|i['’]\w+)\b"
)
_PREPOSITION = r"(?i)(?:at|in|on|by|for|to|from|with|within|during|about|as|of|or|but|not|because|which|than)\b"
# Words of which a clause that only asks back consists: "can you help me with that", "what is it", "are you".
_EMPTY = (
    _WH
    | _WH_SHORT
    | _AUXILIARY
    | _SUBJECT
    | _words(
        """me us him them help understand please possible so to if out about for with on know check double doing done
        tell explain okay ok right correct true work happen happened happening mean going wrong think sure fix and see
        find be one look into hi hello hey up guys not or like want need try again now more tails heads thanks thank
        yes no"""
    )
)
_WORD = r"[\w'$£€#+\-]+"


def _tokens(clause: str) -> list[str]:
    """Its first eight words, in lower case."""
    return re.findall(_WORD, clause[:120].casefold().replace("’", "'"))[:8]


def _opens(clause: str, inside: bool = False) -> bool:
    """Whether a clause begins as a request does: a command, a question, a wish.

    inside: it stands after a bare "and" or a comma, where a noun or a second verb may stand as well.
    """
    words = _tokens(clause)
    return _commands(words, inside) or _asks(words, inside) or _wishes(words, inside)


def _commands(words: Sequence[str], inside: bool) -> bool:
    first, second = (*words, "", "")[:2]
    if not second:
        return first in _ALONE
    if first in ("don't", "dont"):
        return second not in _SUBJECT
    if first in ("do", "be", "have"):
        return second in _OBJECT and second not in ("i", "you", "your") and first != "have"
    if second in _SECOND_NOUN:
        return False
    if first in _VERBS:
        return True
    if first in _NOUNS:
        return not inside or second in _COMPLEMENT or second[0].isdigit()
    shape = len(first) > 2 and first.isalpha() and not first.endswith(("ed", "ing", "ly", "ss"))
    return shape and second in _OBJECT and first not in _NEVER


def _asks(words: Sequence[str], inside: bool) -> bool:
    """A question by itself puts the verb first ("what is it"); one inside a clause does not ("what it is")."""
    if len(words) > 2 and words[0] in _AT_WHICH and words[1] in _WH:
        words = words[1:]
    first, second = (*words, "", "")[:2]
    if not second:
        return False
    if first in _WH_SHORT:
        return True
    if first in _WH:
        if second in _AUXILIARY or (first == "who" and len(words) > 2 and second not in _SUBJECT):
            return True
        if first in ("what", "which", "whose", "how"):
            for word in words[1:6]:
                if word in _AUXILIARY:
                    return True
                if word in _DEFINITE or word == "to":
                    break
        return (first, second) in (("why", "not"), ("how", "come")) or (not inside and (first, second) == ("how", "to"))
    if first not in _AUXILIARY or second == "not":
        return False
    if first in ("have", "had", "must"):
        return second in ("i", "you", "we", "they", "he", "she")
    if first in ("do", "did", "does"):
        return second in _DEFINITE or second.startswith("any") or (second not in _SUBJECT and first != "do")
    return second in _SUBJECT or not inside


def _wishes(words: Sequence[str], inside: bool) -> bool:
    if not words:
        return False
    first, rest = words[0], words[1:5]
    if first in ("let's", "lets") or (first == "let" and rest[:1] in (["me"], ["us"])):
        return len(words) > 1
    if first in ("like", "wish", "want", "need", "would", "wanna") and not (first == "would" and rest[:1] != ["like"]):
        return not inside and "to" in words[1:3]
    if first not in _I:
        return False
    polite = first in ("i'd", "we'd", "id")
    for number, word in enumerate(rest):
        if word in _WANT or (word in ("like", "love") and (polite or "would" in rest[:number])):
            return True
        if word not in _FILLED:
            return False
    return False


def _empty(clause: str) -> bool:
    return all(word in _EMPTY for word in re.findall(_WORD, clause.casefold().replace("’", "'")))


# --- Form: what belongs together -------------------------------------------------------------------------------------

_DANGLING = _words("the a an my your our their his its and or both between than because if whether not very")
# What leads up to a command, and says nothing alone: "go ahead and …", "can you find and …", "do me a favour and …".
_RUN_UP = (
    r"(?i)(?:(?:let['’]?s|(?:can|could|would|will)\s+you|(?:i\s+(?:want|need|would\s+like)|i['’]?d\s+like)\s+(?:you\s+)?to|"
    r"help\s+me)\b\s*)?(?:please\s+)?(?:go(?:\s+(?:ahead|on|back|in|online))?|come(?:\s+on)?|be\s+\w+(?:\s+\w+)?|"
    r"do\s+me\s+a\s+favou?r|hurry\s+up|sit\s+down|tell\s+me|help(?:\s+me)?|excuse\s+me|(?:i\s+)?wanna\s+try|stop\s+by|use\s+(?:the|my|your)\s+\w+|"
    r"[a-z]+(?:\s+(?:up|out|through|over|down))?)?\W*$"
)
_CONTACT = (
    r"(?i)\b(?:call|text|phone|ring|message|e-?mail|mail|write|contact|ping|dm|reach|notify|alert|inform|tell|ask|meet|visit|"
    r"let|invite|find|send|thank)\b"
)
_TELL_THEM = (
    r"(?i)(?:(?:tell|ask|let|inform|invite|warn|wish|thank|remind|give)\s+(?:him|her|them)|say\s+(?:hi|hello|that|i)|"
    r"see\s+if\s+(?:they|he|she)|ask\s+(?:if|whether|what|when|where|who|how))\b"
)
_TAKE = r"(?i)(?:\w+\s+){0,4}?(?:take|move|get|grab|pull|copy|cut|transfer)\b"
_PUT_IT = r"(?i)(?:put|paste|move|place|deposit|add|transfer|flip|roll|toss)\s+(?:it|them|that)\b"
# What only says how the thing before is wanted: "and make it short", "and call it pasta", "and read it to me".
_MANNER = (
    r"(?i)(?:(?:make|call|name|label|title|mark|tag|keep|leave|do|have|let|try|get|need|want)\s+(?:it|that|them|these|those)\b"
    r"|(?:tell|show|read|give|bring|hand|say|state|list)\s+(?:it|that|them)(?:\s+(?:back|out|aloud|loud|all|up))?"
    r"(?:\s+to\s+(?:me|us))?\W*$"
    r"|(?:tell|show|give|read|get|see)\s+(?:me\s+)?the\s+(?:results?|outcome|answers?|steps|total|list|details)\W*$"
    r"|(?:let|tell|show)\s+(?:me|us)(?:\s+know)?(?:\s+about\s+it)?\W*$|(?:show|give|get)\s+me\s+(?:suggestions|options|directions)\W*$|(?:go\s+to|play)\s+the\s+next\b"
    r"|(?:i\s+)?(?:just\s+)?(?:want|need|would\s+like)\s+to\s+(?:make|be)\s+sure\b"
    r"|(?:be\s|don['’]?t\s+be|make\s+sure|try\s+to|don['’]?t\s+forget|keep\s+in\s+mind|use\s+(?:only|no|at\s+most))\b)"
)
_LOOK = (
    r"(?i)\b(?:look\s+(?:at|through|into|in|up|over)|check|go\s+(?:through|over|to|into|on|in)|read|(?:take|have)\s+a\s+look|"
    r"open|listen\s+to|see|scan|analy[sz]e|examine|inspect|review|study|consider|search|find\s+out)\b"
)
_SAY_WHAT = (
    r"(?i)(?:(?:tell|show|let|give)\s+(?:me|us)\s+(?:know|if|whether|about|what|who|where|when|why|which|how)|say|state|see|"
    r"find\s+out|explain)\b"
)
# "Wake me at 7 and tell me to …" is one alert, unless the second has a time of its own.
_ALERT = r"(?i)(?:wake|nudge|ping|remind|get\s+me\s+up)\b|.*\b(?:alarm|timer|reminder)\b"
_TELL_ME = r"(?i)(?:tell|remind|notify|alert|warn|let)\s+(?:me|us)\s+(?:to|that|about|know|it['’]?s|when)\b"
_TIME = (
    r"(?i)\b(?:(?:at|in|by|on|every|around)\s+(?:\d|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon|"
    r"midnight|half|quarter|an?\s+(?:hour|minute)|(?:mon|tues|wednes|thurs|fri|satur|sun)day)|tomorrow|tonight|today)\b"
)
# Words to be taken as they are: "how do you say open the door and come in".
_VERBATIM = (
    r"(?i)(?:(?:translate|say|spell|type|dictate|repeat|pronounce|define)\s+(?!(?:this|that|it|these|those|the|my|them|again)\b)"
    r"|how\s+(?:do|would|can|should)\s+(?:you|i|we|one)\s+(?:say|spell|write|pronounce)\b"
    r"|.*\bthat\s+goes\b)"
)
# "Add a reminder, pay the rent": the comma is a colon.
_ANNOUNCED = r"(?i)\b(?:reminder|note|task|memo|message|entry|event)\W*$"
# "… to my list and remove the eggs": the same list.
_LIST = r"(?i)\b(?:list|calendar|playlist|cart|basket)\b"
_ON_LIST = r"(?i)(?:add|remove|delete|drop|put|take)\b"
_WHICH_LIST = r"(?i)\b(?:list|calendar|playlist|cart|basket|to|from|on|in|off)\b"
_WHAT_DOES, _MEAN = r"(?i)what\s+(?:does|do)\b", r"(?i).*\bmean\W*$"
_PAIRED = r"(?i)\b(?:between|both|either|neither|combine|mix)\b(?!.*\band\b)"
# An errand holds whatever follows: "remind me to buy bread and call mum".
_ERRAND = (
    r"(?i)(?:\bremind\s+(?:me|us|him|her|them)\b(?!\s+(?:about|of)\b)"
    r"|\b(?:tell|ask|text|message|e-?mail|warn|inform|notify|write|let|teach)\s+(?:(?!me\b)[\w'’]+\s+){1,4}?"
    r"(?:to|that|if|whether|know|i['’]?m|i)\b"
    r"|\b(?:tell|nudge|ping|ask|poke|get|wake)\s+me\s+(?:(?!how\b|wh)[\w:]+\s+){0,4}?to\s+(?!\d|the\b|my\b|a\b)"
    r"|\b(?:reminder|alarm|alert|note|task|to-?do|memo|entry|event)\s+(?:[\w:]+\s+){0,4}?(?:to|that|saying)\s+"
    r"(?!my\b|me\b|the\b|\d)"
    r"|\b(?:mark|note|write|jot)\s+(?:it\s+)?(?:down\s+)?that\b|\b(?:forget|remember)\s+to\b|\bmake\s+sure\b|\bsaying\b)"
)
# What is said to the assistant cannot be inside an errand or a condition.
_TO_ASSISTANT = r"(?i)(?:(?:can|could|will|would)\s+you|\w+\s+(?:me|us))\b"


def _belongs(left: str, clause: str, right: str, stop: bool) -> bool:
    """Whether the right clause is part of the left request although it could stand by itself."""
    if re.match(_RUN_UP, left) and not (stop and left.casefold() in _ALONE):
        return True
    if re.match(_MANNER, right) or _empty(right):
        return True
    if (re.match(_TELL_THEM, right) and re.search(_CONTACT, left)) or (
        re.match(_PUT_IT, right) and re.match(_TAKE, left)
    ):
        return True
    if stop:
        return False
    if (re.search(_LOOK, left) and re.match(_SAY_WHAT, right)) or re.match(_VERBATIM, left) or re.search(_PAIRED, left):
        return True
    if re.match(_SAY_WHAT, right) and _reference(right, [Part(left)])[0]:
        return True
    if re.search(_LIST, left) and re.match(_ON_LIST, right) and not re.search(_WHICH_LIST, right):
        return True
    if re.match(_WHAT_DOES, left) and re.match(_MEAN, right):
        return True
    if re.match(_ALERT, left) and re.match(_TELL_ME, right) and not re.search(_TIME, right):
        return True
    question = _asks(_tokens(right), inside=True)
    if re.search(_ERRAND, left):
        return not (question or re.match(_TO_ASSISTANT, right))
    return bool(re.match(_CONDITION, left) and not (question and clause != left)) or bool(re.match(_CONDITION, clause))


def _first_clause(text: str) -> str:
    """Up to the first delimiter; past a bare "and" where nothing was said before it ("can you check and tell me …")."""
    end = re.search(_DELIMITER, text)
    if end and end["joined"] and _empty(text[: end.start()]):
        end = re.compile(_DELIMITER).search(text, end.end())
    return text[: end.start()] if end else text


# --- Form: what a later part leaves out ------------------------------------------------------------------------------

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
    near = _first_clause(right)
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


# --- Form: what points back ------------------------------------------------------------------------------------------

_POINTER = (
    r"(?i)\b(?:(?P<it>it|them|they|those|these|its|their)"
    r"|(?P<that>that)(?=\W*$|\s+(?:to|in|on|for|at|with|by|into|from|is|was|as|too|again|now|and|or|one|back|up|down|"
    r"off|out|over)\b)"
    r"|(?P<there>there)"
    r"|(?P<person>him|her|his|he|she|hers)"
    r"|(?P<one>(?<=another )one|(?<=second )one|(?<=first )one|(?<=last )one|(?<=other )one|(?<=new )one|"
    r"one(?=\W*$|\s+(?:for|at|to|too|on)\b)))\b"
)
# "What time is it", "is it raining", "is there any milk": these words stand for nothing.
_EXPLETIVE = (
    r"(?i)(?:(?:what\s+(?:time|day|date|year|month|weekday|week|hour)|how\s+(?:late|hot|cold|warm|early|far|windy|humid|long))\s+"
    r"(?:is|was|will|does)\s+it\b|(?:what|which)\s+\w+\s+it\s+is\b"
    r"|(?:is|was|will|does|did|if|when|whether|that|how\s+likely\s+is)\s+it(?:['’]s|\s+is|\s+be|\s+will|\s+going\s+to|\s+gonna)*"
    r"(?:\s+be)?\s+(?:rain\w*|snow\w*|hot|cold|warm\w*|cool\w*|sunny|windy|cloudy|humid|freez\w*|storm\w*|dark|late|night|"
    r"noon|midnight|time|possible|true|(?:mon|tues|wednes|thurs|fri|satur|sun)day|take|cost|\d)"
    r"|it['’]s\s+(?:raining|snowing|hot|cold|late|time|\d)"
    r"|(?:how\s+(?:long|much)\s+(?:does|will|would)\s+it\s+(?:take|cost))"
    r"|(?:is|are|was|were|will|can|could|if)\s+there\b|there\s+(?:is|are|was|were|will|might)\b|there['’]s\b|\bover\s+there\b)"
)
# A thing named before the pronoun, in the same part, is what it means.
_NAMED = (
    r"(?i)\b(?:the|a|an|my|our|your|this|some|any|every)\s+\w+(?:\s+\w+)*?\s+"
    r"(?:and|if|when|while|until|that|before|after|so|because|who|which)\b"
)
_PLACE = (
    r"(?i)\b(?:in|at|to|near|from|around)\s+(?!\d|me\b|my\s+(?:list|account)|the\s+(?:list|morning|evening)|do\b)\w+"
)


def _referring(pieces: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with what points back in each, and where to."""
    referring: list[Part] = []
    for number, part in enumerate(pieces):
        reference, antecedent = ("", -1) if number == 0 or part.carried else _reference(part.text, pieces[:number])
        referring.append(replace(part, reference=reference, antecedent=antecedent))
    return tuple(referring)


def _reference(text: str, earlier: Sequence[Part]) -> tuple[str, int]:
    blank = [match.span() for match in (*re.finditer(_EXPLETIVE, text), *re.finditer(_QUOTED, text))]
    for match in re.finditer(_POINTER, text):
        if any(begin <= match.start() < end for begin, end in blank) or re.search(_NAMED, text[: match.start()]):
            continue
        word, last = match[0], len(earlier) - 1
        fits = _PLACE if match["there"] else _CONTACT if match["person"] else None
        if match["one"] and text[: match.start()].rstrip().casefold().endswith("first"):
            return word, 0
        if fits is None:
            return word, last
        return word, next((number for number in range(last, -1, -1) if re.search(fits, earlier[number].text)), last)
    return "", -1
