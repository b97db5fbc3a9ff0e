"""What kind of thing a sentence leaves to chance, if any: a coin, dice, a number, a card … Reads no amounts."""

from __future__ import annotations

import re

from .chance_options import find_options

INTENTS = ("coin", "dice", "number", "pick", "shuffle", "card", "decide", "letter", "colour", "secret")
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
NOTATION = re.compile(
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
UUID = re.compile(r"\b(?:uuids?|guids?|uuid ?v?4)\b")
PIN = re.compile(
    rf"\b(?:pins?|pin ?codes?|pin numbers?|pass ?codes?|digit (?:security |access |unlock )?codes?|"
    rf"{_RANDOM} (?:\w+ )?codes?)\b"
)
KEY = re.compile(r"\b(?:hex|random|api|secret|encryption)(?: hex)? (?:keys?|tokens?|strings?)\b")
PASSWORD = re.compile(r"\b(?:pass ?words?|pass ?phrases?|passwort|pwd|login secret)\b")
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
TEAMS = re.compile(r"\b(?:teams?|groups?|pairs|squads)\b")
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


def find_topic(plain: str, intent: str) -> str:
    """One of INTENTS, "" for none of them. intent: the router's word, "" for none."""
    if (PASSWORD.search(plain) or PIN.search(plain) or UUID.search(plain) or KEY.search(plain)) and (
        intent == "secret" or (_MAKES.search(plain) and not _NO_SECRET.search(plain))
    ):
        return "secret"
    if NOTATION.search(plain) and (
        intent == "dice"
        or re.search(r"\b(?:roll|throw|dice|give me|please)\b", plain)
        or NOTATION.fullmatch(re.sub(r"\s*[+-]\s*\d+$", "", plain))
    ):
        return "dice"
    listed = len(find_options(plain)) > 1
    if _COIN.search(plain) and not (listed and re.search(r"\bfor it\b", plain)):
        return "coin"
    if _SHUFFLE.search(plain) and "deck" not in plain:
        return "shuffle" if intent or re.search(r",| and |\bthese\b|\bthis\b|\bthe\b|\bthem\b", plain) else ""
    if TEAMS.search(plain) and _TEAMING.search(plain) and (intent or _RANDOM_WORD.search(plain) or listed):
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
