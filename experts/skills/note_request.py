"""What a sentence about notes asks for: the verb, the text to keep, and which notes are meant.

Reads sentences; keeps nothing, and knows nothing of what is kept: that is `notes`'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .choosing import Choice, find_choice

VERBS = ("add", "show", "search", "change", "delete", "undo")
# Verbs and topics stand within so many characters; a note itself may be longer.
_HEAD = 400


@dataclass(frozen=True, slots=True)
class Request:
    """One request about notes.

    verb: one of VERBS. text: of `add` the note, of `change` the new wording. topic: the words that single notes out.
    choice: places in a list. old: of `change`, the words that make way for `text`; append: `text` is put after what is
    there. every: all that fit, said plainly; plural: more than one is spoken of.
    """

    verb: str
    text: str = ""
    topic: str = ""
    choice: Choice = Choice()  # noqa: RUF009 - frozen
    old: str = ""
    append: bool = False
    every: bool = False
    plural: bool = False
    count: bool = False


_NOTE = r"(?:notes?|memos?|jottings?)"
_MY = r"(?:(?:my|the|a|an|that|this|any|our|all|every|some|another|one|of|me|in) )*"
_ASKING = (
    r"(?:(?:please|pls|hey|hi|ok|okay|so|oh|um|and|also|now|just|quickly|can|could|would|will|you|kindly|"
    r"i(?:'d| would)? (?:like|want|need|have)(?: you)?(?: to)?|let me|let's|lets|help me|"
    r"do me a favou?r and|you mind|mind)[ ,]+)*"
)

# --- What opens a note: the rest of the sentence is its text ----------------------------------------------------------

_KINDS_OF_NOTE = r"(?:(?:a|an|another|one|this|new|quick|short|little|brief|fresh|small|personal|voice|written|text) )*"
_OPENS = re.compile(
    rf"^\W*{_ASKING}(?:"
    # "take a note", "make a note of …", "create a note called …", "record a note saying …"
    r"(?:mak|tak|add|creat|writ|sav|leav|start|open|record|log|put|stor|dictat|begin|draft|keep|jot|get|set)(?:e|ing)?"
    rf"(?: me)?(?: down| up)? {_KINDS_OF_NOTE}(?:note|memo|notes)(?: to self| to myself| for me| for myself| down|"
    rf" here)?"
    r"(?= (?:of|that|to|about|on|saying|says|which|called|named|titled|with|for|regarding|reading|stating|the|my|i|"
    r"we)\b|"
    r"\s*[:,;.!?–-]|\s*\n|\s*$)"
    # "note that …", "note down …", "noting that …"
    r"|not(?:e|ing)(?: (?:down|to self|to myself|this|that|it|the following|something|for me|as well)\b(?! notes?\b)"
    r"|(?= (?:how|the|my|our|[a-z]+'s)\b(?! notes?\b))|\s*[:,-])"
    # "write down …", "jot that down", "put this down in writing"
    r"|(?:writ|jot|scribbl|tak)(?:e|ing|ting)?(?: (?:this|that|it|the following|something|one thing|a thing))? down"
    r"|jot(?:ting)? (?:this|that|something)\b|put(?:ting)? (?:this|that|it|something)? ?(?:down )?in writing"
    # "remember that …", "keep in mind that …", "save this as a note"
    r"|(?:remember(?:ing)?|bear(?:ing)? in mind|keep(?:ing)? in mind|make sure (?:to )?remember)"
    r"(?= (?:that|this|the|my|our|i|we|where|how|which|for me|[a-z]+ (?:is|are|was|has))\b|\s*:)"
    r"|(?:save|store|keep|bookmark|record|log) (?:this|that|it|the following)(?: thought| idea)?"
    r"(?: (?:as|in|into|under|to) (?:a |my |the )?(?:new )?notes?)?(?: for later| for me)?(?=\s*[:,]|\s*$| that\b)"
    rf"|{_KINDS_OF_NOTE}(?:note|memo|reminder) to (?:self|myself)\b"
    rf"|(?:new|quick|short) (?:note|memo)\b|(?:note|memo)\s*[:–-]"
    r"|for the record"
    r")",
    re.IGNORECASE,
)
# What stands between the opening and the text: "… of the fact that", "… saying", ":".
_JOINS = re.compile(
    r"^(?:[\s,:;.–-]|\b(?:that|this|it|down|saying|says|of|about|reading|stating|which says|the following|"
    r"to self|to myself|for me|for later|please|something(?! \w)|with the text|for yourself|called|named|titled|"
    r"thanks?|thank you)\b"
    r"(?! (?:is|was|are)\b))+",
    re.IGNORECASE,
)
_JOINS_TO = re.compile(r"^\s*to(?= \w)", re.IGNORECASE)
# "… , write that down".
_CLOSES = re.compile(
    r"[\s,;.–-]+(?:and |so |please |can you |could you |will you )*"
    r"(?:(?:note|jot|write|put|take) (?:that|this|it)(?: down)?|make a note(?: of (?:that|this|it))?|(?:note|jot) it"
    r"|(?:save|keep) (?:that|this|it) as a note)(?: (?:please|for me|somewhere|in my notes|to my notes))*[\s.!?]*$",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"^(?:\W|\b(?:please|pls|thanks?|thank you|now|for me|of|about|that|this|it|down|to|on|called|you)\b)*$",
    re.IGNORECASE,
)

# --- The other verbs --------------------------------------------------------------------------------------------------

_WROTE = r"(?:not(?:e|ed|ing)|wr(?:ite|ote|itten)|jot(?:ted)?|memo|put|sa(?:y|id)|record(?:ed)?|kept|keep)"
_UNDO = re.compile(
    r"\b(?:undo|undelete|un-delete|unerase|restore|recover|revert|retrieve|undoing)\b|"
    r"\b(?:bring|put|get|want|take|give)\b.* back\b|\bget back\b|"
    r"\b(?:didn'?t|did not|never) (?:mean|want|intend)\b|\bby (?:mistake|accident)\b|\baccidentally\b|"
    r"\bold version\b|\b(?:should(?:n'?t| not)?) (?:not )?(?:have )?(?:been )?(?:delet|remov|eras)|"
    r"\bdeleted the wrong\b|\bscratch that\b"
)
_DELETE = re.compile(
    r"\b(?:delet|remov|eras|discard|trash|scrap|wip|clear|dump|destroy|drop|bin|shred|ditch|purg|eliminat)(?:e|ing)?\b|"
    r"\bget(?:ting)? rid of\b|\b(?:throw|toss|chuck)(?:ing)? (?:\w+ )*?(?:away|out)\b|\bforget\b|\btake out\b|"
    r"\b(?:don'?t|do not|no longer) need\b"
)
_CHANGE = re.compile(
    r"\b(?:chang|edit|updat|replac|correct|rewrit|amend|append|attach|modify|extend|revis|fix|adjust|alter|expand)"
    r"(?:e|ing)?\b|\b(?:add|put|tack|insert|include|write|stick)\b.*\b(?:to|on|onto|in|into)\b.*\bnotes?\b|"
    rf"\bmake (?:my|the|that) .*{_NOTE} say\b|\b{_NOTE}\b.* should (?:say|read|be)\b"
)
_SEARCH = re.compile(
    r"\b(?:find|search|look(?:ing)? (?:up|for|through|in)|dig (?:up|out)|hunt|locate|scan)\b|"
    rf"\b(?:what|where|when|did|have|has|had|everything|anything|something)\b.*\b(?:i|we|i've)\b.*\b{_WROTE}\b|"
    rf"\bwhich {_NOTE}\b|\bwhat (?:do|does|did|was) .*{_NOTE} (?:say|tell)\b|\b(?:in|from) my {_NOTE}\b|"
    rf"\b{_NOTE}\b.*\b(?:about|on|regarding|for|with|mention\w*|concerning|contain\w*|say\w*|that|talk\w*|where)\b"
)
_SHOW = re.compile(
    r"\b(?:show|list|read|display|open|view|see|hear|pull up|bring up|go through|give me|tell me|print|check|review|"
    rf"how many|count|what'?s in|what is in|all)\b|\b(?:what|which|any|have|do i have)\b|"
    rf"^\W*{_MY}(?:\w+ ){{0,2}}{_NOTE}\W*$|"
    rf"\b{_NOTE} (?:from|of|since|please|taken|made|written)\b"
)
_OURS = re.compile(
    rf"\b{_NOTE}\b|\b(?:jot(?:ted)?|wr(?:ote|itten|ite) down|noted(?: down)?)\b|"
    r"\b(?:did|have) i (?:ever )?(?:write|written|wrote|note)\b|\b(?:every|any|some)thing i (?:wrote|noted)\b"
)
# Notes that are none of ours: banknotes, music, a letter that is to be worded.
_OTHERS = re.compile(
    r"\b(?:thank[- ]?you|bank|sticky|musical|sick|release|love|suicide|foot|key|cover|doctor'?s|apology|welcome|"
    r"get[- ]?well|delivery|credit) notes?\b|\bnotes? (?:to my|to the|to our|for my) (?:boss|neighbou?r|teacher|"
    r"landlord|"
    r"colleague|friend|team|customer)\b|\bon a (?:\w+ )?note\b|\bwrite down (?:your|the price)\b"
)

# --- Which notes ------------------------------------------------------------------------------------------------------

_ABOUT = (
    r"(?:about|on|regarding|concerning|for|with|mention(?:s|ing)?|that (?:mentions|says|talks about|contains|has)|"
    r"(?:which|that) (?:mentions|says|talks about|contains)|saying|containing|where i (?:wrote|noted)|of|re|called|"
    r"named|"
    r"talking about|around|relating to|related to|to do with|that i (?:wrote|made|took) (?:about|on))"
)
_TOPICS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:{_WROTE}|written)(?: down)?(?: (?:anything|something|things|stuff|it))? {_ABOUT} (?P<topic>.+)$",
        rf"\b{_NOTE}\b(?: (?:i (?:took|made|wrote|have)|down))? {_ABOUT} (?P<topic>.+)$",
        rf"\b(?:anything|something|everything|stuff|details?)(?: i (?:{_WROTE})(?: down)?)? {_ABOUT} (?P<topic>.+)$",
        rf"\b(?:search|check|scan|look (?:through|in|into)|go through|browse) {_MY}{_NOTE} (?:for )?(?P<topic>.+)$",
        rf"\b(?:where|when|did|have|what|has) (?:do |did |have |had )?(?:i|we) (?:ever )?{_WROTE}(?: down)? "
        r"(?:that |where |what |when |how |who )?(?P<topic>.+)$",
        rf"\b(?:find|look up|look for|dig up|search(?: for)?|locate|pull up|get|is|are) (?:there )?(?P<topic>.+?)"
        rf" (?:in|from|among) {_MY}{_NOTE}\b",
        rf"\b(?:do|does) {_MY}{_NOTE} (?:say|mention|tell|contain)(?: me)?(?: anything| something)?(?: about|"
        rf" on)? (?P<topic>.+)$",
        rf"\b(?:the|my|that|this) (?P<topic>(?:[\w'-]+ ){{1,4}}?){_NOTE}\b",
        r"\b(?:i )?(?:wrote|noted|jotted) (?:down )?(?P<topic>.+?)(?: somewhere| the other day|, can you.*)",
    )
)
# Words that stand where a topic can, and single nothing out.
_NO_TOPIC = re.compile(
    r"^(?:(?:last|latest|newest|most recent|recent|previous|first|oldest|earliest|next|second|third|fourth|fifth|sixth|"
    r"new|old|same|other|wrong|whole|entire|deleted|all|every|of|my|the|three|two|four|five|\d+|i|just|made|down|"
    r"that|this|it|them|today|yesterday|so far|please|any ?more|now|down|anything|something|in|notes?|taken|took|wrote|"
    r"deleted|written|noted|have|removed|me|again|somewhere)\s*)*$",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"(?:[\s,.;:!?-]|\b(?:please|pls|thanks|thank you|thx|for me|will you|would you|can you|if you can|any ?more|"
    r"somewhere|right now|again|instead|anywhere|in my notes|from my notes|at all|is wrong|delete it|remove it|"
    r"where is it)\b)+$",
    re.IGNORECASE,
)
_LEADING = re.compile(r"^(?:(?:the|my|a|an|our|any|some|that|is|are|was|me)\s+)+(?=\w)", re.IGNORECASE)
_EVERY = re.compile(
    rf"\b(?:all|every|everything|each|both|entire|whole)\b(?!.*\b(?:except|but|apart from)\b)|\bany {_NOTE}\b"
)
_PLURAL = re.compile(r"\b(?:notes|memos|everything)\b")
_COUNT = re.compile(r"\bhow many\b|\bcount\b|\bnumber of\b")


def follows_up(plain: str) -> bool:
    """Whether it can go on with notes that were just spoken of: "undo", "delete the second one", "read it"."""
    return (
        len(plain) <= 100
        and _FOLLOWS_UP.match(plain) is not None
        and bool(_PLAIN_UNDO.match(plain) or find_choice(plain, _NOTE))
    )


_FOLLOWS_UP = re.compile(
    rf"^{_ASKING}(?:delet|remov|eras|discard|trash|scrap|drop|bin|chang|edit|read|show|open|undo|un-?delet|restor|"
    rf"bring|get|take|throw)\w*\b"
)
_PLAIN_UNDO = re.compile(
    rf"^{_ASKING}(?:undo|undelete|restore)(?: that| it| this| them| the last change)?$|^bring (?:it|that|them) back$"
)


def read_request(text: str, intent: str = "", *, known: bool = False) -> Request | None:
    """What is asked for; None: it is about something else.

    intent: the router's word, which plain words overrule. known: it is about notes, whether it says so or not.
    """
    head = " ".join(text[:_HEAD].split()).replace("’", "'")
    plain = head.lower().strip(" .?!,")
    known = known or intent in VERBS
    if not plain or (_OTHERS.search(plain) and intent != "add"):
        return None
    verb = _find_verb(plain, intent, known=known)
    if verb is None or not (known or _OURS.search(plain) or (verb == "add" and _OPENS.match(head))):
        return None
    if verb == "add":
        return Request("add", note_text(text))
    request = Request(
        verb,
        choice=find_choice(plain, _NOTE),
        every=_EVERY.search(plain) is not None,
        plural=_PLURAL.search(plain) is not None,
        count=_COUNT.search(plain) is not None,
    )
    if verb == "change":
        return _read_change(text, head, request)
    return replace(request, topic=find_topic(head))


def _find_verb(plain: str, intent: str, *, known: bool) -> str | None:
    opens = _OPENS.match(plain) is not None
    ours = _OURS.search(plain) is not None
    if (opens and not _adds_to(plain)) or (_CLOSES.search(plain) and not plain.startswith(("did", "where", "what"))):
        return "add"
    if ours or known:
        for verb, pattern in (("undo", _UNDO), ("change", _CHANGE), ("delete", _DELETE)):
            if pattern.search(plain) and not (verb == "delete" and intent == "search"):
                # "What did I note about deleting the account" asks; it deletes nothing.
                if _ASKS.match(plain) and verb != "undo":
                    continue
                return verb
    if intent in VERBS:
        return intent
    if ours and _SEARCH.search(plain) and find_topic(plain):
        return "search"
    return "show" if (ours or known) and _SHOW.search(plain) else None


_ASKS = re.compile(
    rf"^{_ASKING}(?:what|where|when|which|who|how many|did|have|has|find|search|look|is there|do i|do my|show)\b"
)


def _adds_to(plain: str) -> bool:
    """ "Add a note to my note about …" and "write this in the boiler note" speak of a note that is there."""
    return (
        re.search(rf"\b(?:to|in|into|onto|on) (?:my|the|that|this) (?:[\w'-]+ ){{0,3}}{_NOTE}\b", plain[:120])
        is not None
        and re.match(rf"^{_ASKING}(?:add|put|write|append|jot|attach)\b", plain) is not None
    )


def note_text(text: str) -> str:
    """What is to be kept of "take a note: …", line breaks and all; "" where nothing is said yet."""
    text = text.strip().replace("’", "'")
    opened = _OPENS.match(text[:_HEAD])
    rest = text[opened.end() :] if opened else text
    if opened is None or _EMPTY.match(rest[:_HEAD]):
        closed = _CLOSES.search(text[-_HEAD:])
        if closed is not None:
            rest = text[: len(text[:-_HEAD]) + closed.start()]
            rest = re.sub(rf"^\W*{_ASKING}(?:remember that )?", "", rest, flags=re.IGNORECASE)
            if re.match(r"^(?:i )?(?:just )?(?:had|have|got) an? (?:idea|thought)\W*$", rest, re.IGNORECASE):
                return ""
    if opened:
        if re.search(rf"{_NOTE}$", opened[0], re.IGNORECASE):
            rest = re.sub(r"^ (?:for|with|on|regarding)(?= )", "", rest, flags=re.IGNORECASE)
        joined = _JOINS.match(rest[:_HEAD])
        rest = rest[joined.end() :] if joined else rest
        rest = _JOINS_TO.sub("", rest) if re.match(r"^\s*to (?!(?:the|my|a|an|all)\b)", rest) else rest
    rest = rest.strip().strip('"“”').strip()
    rest = re.sub(r"(?:,? (?:please|pls|thanks|thank you|for me))+[.!]*$", "", rest, flags=re.IGNORECASE)
    return "" if _EMPTY.match(rest[:_HEAD]) and len(rest) < _HEAD else rest


def find_topic(head: str) -> str:
    """The words that single a note out: of "delete the note about the boiler, please", "boiler"."""
    for pattern in _TOPICS:
        match = pattern.search(head)
        if match is not None:
            topic = _LEADING.sub("", _COURTESY.sub("", match["topic"].strip()))
            if is_topic(topic):
                return topic
    return ""


def is_topic(words: str) -> bool:
    """Whether they single something out: "boiler" does, "all of the last three" does not."""
    return bool(words) and _NO_TOPIC.match(words) is None


# --- Changing ---------------------------------------------------------------------------------------------------------

_WHICH_NOTE = rf"(?:my|the|that|this) (?:[\w'-]+ ){{0,4}}?{_NOTE}(?: (?:about|on|regarding|for|with|called) .+?)?"
_APPENDS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # "Add to my note about the boiler that …", "add a line to my last note: …"
        rf"\b(?:add|append|attach|tack on|put|write|insert|stick)(?: (?:another|a|one|one more|some)? ?(?:line|"
        rf"sentence|word|bit|text|remark))?"
        rf" (?:to|on|onto|in|into) (?P<which>{_WHICH_NOTE})\s*(?:[:,]\s*(?:that )?|\bthat\b|"
        rf"\bsaying\b)\s*(?P<text>.+)$",
        rf"\b(?:extend|expand|complete) (?P<which>{_WHICH_NOTE}) (?:with|by)\s+(?P<text>.+)$",
        # "Append buy primer to the paint note"
        rf"\b(?:add|append|attach|tack on|put|write|insert|stick|include)\s+(?P<text>.+?)\s+(?:to|on|onto|in|"
        rf"into) (?P<which>{_WHICH_NOTE})\W*$",
    )
)
_SWAPS = re.compile(
    rf"\b(?:change|replace|correct|swap) (?P<old>.+?) (?:to|with|by|for|into) (?P<text>.+?) (?:in|on|of|"
    rf"within) (?P<which>{_WHICH_NOTE})\W*$",
    re.IGNORECASE | re.DOTALL,
)
_REPLACES = re.compile(
    rf"(?P<which>{_WHICH_NOTE})(?: is wrong)?\s*(?:,? ?(?:it |that )?(?:should |to |must )?(?:say|read|be)(?! (?:to|"
    rf"about|regarding))\b"
    r"|,? ?change it to\b|\b(?:to|with|by|into)\b(?: say\b| read\b)?|:)\s*(?P<text>.+)$",
    re.IGNORECASE | re.DOTALL,
)  # fmt: skip
_NO_TEXT = re.compile(
    r"^(?:(?:another|a|one|one more|some|more|a new) )?(?:line|sentence|word|bit|text|remark|something)?s?\W*$",
    re.IGNORECASE,
)
_APPENDING = re.compile(r"\b(?:add|append|attach|tack|put|extend|expand|insert|include)\b", re.IGNORECASE)


def _read_change(text: str, head: str, request: Request) -> Request:
    whole = text.strip().replace("’", "'")
    appends = _APPENDING.search(head[:60]) is not None
    for pattern in _APPENDS if appends else (_SWAPS, _REPLACES):
        match = pattern.search(whole)
        if match is None:
            continue
        which, said = match["which"], _COURTESY.sub("", match["text"]).strip().strip('"“”')
        old = match["old"].strip() if pattern is _SWAPS else ""
        if pattern is _SWAPS and re.search(rf"\b{_NOTE}\b", old):
            continue
        said = "" if _NO_TEXT.match(said) else said
        return replace(
            request,
            text=said,
            old=old,
            append=appends,
            topic=find_topic(which),
            choice=find_choice(which.lower(), _NOTE),
        )
    return replace(request, append=appends, topic=find_topic(head))
