"""Which of the things that can be done with lists a sentence asks for. Knows no items."""

from __future__ import annotations

import re

from .list_naming import NAME, NOUN

VERBS = ("add", "show", "check", "tick", "remove", "move", "change", "create", "clear", "undo")

ASKING = (
    r"(?:(?:please|pls|hey|hi|ok|okay|so|oh|oops|no|um|and|also|now|just|quickly|can|could|would|will|you|kindly|"
    r"go ahead and|"
    r"i(?:'d| would)? (?:like|want|need|have)(?: you)?(?: to)?|let me|let's|lets|help me|mind)[ ,]+)*"
)
_OURS = re.compile(rf"\b{NOUN}|\bshopping\b|\bnew task\b|\badd a task\b|\bticked\b|\btick off\b", re.IGNORECASE)
_OTHERS = re.compile(
    r"\b(?:linked|mailing|price|waiting|contact|distribution|block|black|white|access|play|cast|track|set|word|"
    r"python|hit|short|best[- ]seller)[- ]?lists?\b(?! of (?:things|books|films|movies|gifts))"
    r"|^\W*(?:please )?list (?!(?:all |every |out )?(?:my|the|our|all|of|lists|to-?dos?|todos|tasks|items|what)\b)"
    r"|^\W*(?:please )?list (?:all |the |my |of )*(?:files|processes|folders|countries|timers|alarms|reminders|notes|"
    r"holidays|apps|programs|cities|capitals|planets|steps|numbers|options|ways|names of)\b"
    r"|\b(?:give|show|tell|write|generate|send) me (?:a|the) list of (?!(?:things|items|books|films|movies|gifts) )|"
    r"\b(?:sort|shuffle|reverse|comprehension|alphabetically)\b"
)
_QUESTION = re.compile(
    rf"^{ASKING}(?:what|whats|what's|which|is|are|do|does|did|have|has|how|any|see (?:if|whether|what)|check (?:if|"
    rf"whether)|who|where|when|was|were|tell me (?:if|whether|what))\b"
)
_UNDO = re.compile(
    r"\b(?:undo|undelete|un-delete|restore|recover|revert|retrieve|undoing)\b|\b(?:bring|get|want) .*\bback\b|"
    r"\bput (?:back\b|it back\b|that back\b|them back\b|.+ back (?:on|to|onto|in)\b)|"
    r"\b(?:didn'?t|did not) (?:mean|want|intend)\b|\bby (?:mistake|accident)\b|\bshould(?:n'?t| not)? have (?:been|"
    r"stayed)\b|\bwrong item\b"
)
_MOVE = re.compile(
    r"\b(?:take|get) .+ (?:off|from|out of) .+ and (?:put|add|move) (?:it|them) (?:on|in|to)|\b(?:move|transfer|"
    r"shift|switch|relocate|push|migrate|reassign)\b|\bput .* first\b|\bto the (?:top|bottom|end|front|start|"
    r"beginning)\b|"
    r"\b(?:put|add|take) .* (?:list|shopping|todos?|to-?do|groceries)\b.* (?:instead|and put (?:it|them) (?:on|"
    r"in)to? .*)|\b(?:belongs?|goes|should be|should go) (?:on|to|in) .*(?:list|shopping)"
)
_CHANGE = re.compile(
    r"\b(?:rename|change|edit|correct|replace|swap|update|set .* to (?!done)|amend|modify|substitute)\b|"
    r"\bshould be called\b|^(?:please |can you |i want to )*call (?:my|the) .*list\b|\bi meant\b|\bmake (?:it|that|"
    r"them) .*\b(?:instead|on|list)\b|\bnot? .* but\b"
)
_TICK = re.compile(
    r"\b(?:un)?tick(?:ed)?\b|\b(?:un)?check(?:ed)? off\b|\b(?:un)?check .* off\b|\bcross(?:ed)? .*|\bmark .*|"
    r"\bcomplete(?:d)?\b|\bdone\b|\bfinished\b|\bi'?(?:ve)? (?:just |already )?(?:bought|got|did|have got|picked up|"
    r"packed)\b|"
    r"\b(?:is|are|has been|have been) (?:bought|done|packed|finished|paid)\b|^(?:got|bought|did) (?:the|my|some)?\b|"
    r"\buncheck\b|\bset .* to (?:done|complete|bought)\b|\bpacked\b|\bstrike through\b"
)
_CLEAR = re.compile(
    r"\b(?:clear|empty|wipe|clean out|reset|start .* over|purge)\b(?! of)|\b(?:delete|remove|erase|get rid of|"
    r"throw out|scrap|drop|trash|bin|discard|destroy)\b (?:(?:my|the|that|this|our) )?(?:whole |entire |"
    r"old )?(?:(?!(?:from|off|on|it|to|in|them|that) )[\w'-]+ ){0,3}?(?:(?:check)?lists?\b(?! item)|tasks$)"
    r"|\b(?:remove|delete|erase|take|clear|drop|throw) (?:all|everything|every|each)\b|\bdon'?t need (?:my|the|"
    r"that) (?:[\w'-]+ ){0,3}list\b|\b(?:delete|remove|erase) all (?:my |the )?lists\b"
)
_REMOVE = re.compile(
    r"\b(?:remove|delete|erase|scratch|strike|drop|forget|lose|kick|pull(?! up)|discard|eliminate|scrap)\b|"
    r"\bget rid of\b|\btake\b.*\b(?:off|out|from)\b|\bno more\b|\bdon'?t need\b|\bno longer need\b|\bthrow out\b"
)
_CREATE = re.compile(
    rf"\b(?:create|make|start|begin|set up|open|build|new|need|want|initiate|prepare|begin)\b(?: me| us|"
    rf" up)?(?: (?:a|an|another|my|new|fresh|empty|the|separate|simple))* (?:[\w'’-]+ ){{0,3}}?{NOUN}|"
    rf"^new (?:[\w'-]+ ){{0,3}}list\b|\bwant (?:a|another) list\b"
)
_CREATES_FIRST = re.compile(
    rf"^{ASKING}(?:create|make|start|begin|set up|open|build|initiate|prepare)\b(?: me| us| up)? (?:a|an|another|"
    rf"new|my own)\b.*{NOUN}|^(?:a )?new (?!task)(?:[\w'-]+ ){{0,3}}list\b"
    rf"|^(?:please )?(?:i|we) (?:want|need|would like) (?:a|an|another) (?:new )?(?:[\w'-]+ ){{0,2}}list\b(?! item)"
)
_ADD = re.compile(
    r"\b(?:add|put|append|include|stick|throw|pop|write|get|jot|place|insert|toss|chuck|enter|need|needs|new task|"
    r"add a task|note)\b|\bout of\b|\blow on\b"
)
_SHOW = re.compile(
    r"\b(?:show|read|list|display|open|view|see|hear|pull up|bring up|go through|tell me|print|review|what|what's|"
    r"whats|which|how many|anything|something|give me|left|still|empty|count|check)\b"
)
_WHAT_IS_ON = re.compile(
    r"\b(?:what|whats|what's|how many|how much|anything|something|nothing|which (?:lists|items|tasks)|"
    r"any(?:thing)? (?:items|tasks|things))\b|\bis (?:my|the) .*list (?:empty|finished|done|long|complete)\b|"
    r"^which lists\b"
)
_CHECK_ITEM = re.compile(r"\b(?:do|does|did|have|has|is|are|was|were)\b.+|\bwhich list\b|\b(?:if|whether)\b")
TASK = re.compile(
    rf"^{ASKING}(?:(?:add|create|make|set up) )?(?:a |another )?(?:new )?(?:task|to-?do)(?: item)?(?: to| that|:|,|"
    rf" -)* (?P<items>(?!list\b|lists\b).+)$",
    re.IGNORECASE,
)


def is_ours(plain: str) -> bool:
    """Whether it speaks of lists at all, with nobody having said that it does."""
    return _OURS.search(plain) is not None and not _OTHERS.search(plain)


def find_verb(plain: str, intent: str) -> str | None:
    """One of VERBS, or None. intent: the router's word, "" for none."""
    if _UNDO.search(plain):
        return "undo"
    asks = _QUESTION.match(plain) is not None
    if asks:
        if _CHECK_ITEM.search(plain) and not _WHAT_IS_ON.search(plain):
            return "check"
        return intent if intent in ("create", "add", "tick") and not _WHAT_IS_ON.search(plain) else "show"
    if TASK.match(plain):
        return "add"
    if _CREATES_FIRST.match(plain) and not plain.endswith(" over"):
        return "create"
    for verb, pattern in (("move", _MOVE), ("change", _CHANGE), ("clear", _CLEAR)):
        if (
            pattern.search(plain)
            and not (verb == "change" and intent in ("tick", "add"))
            and not (verb == "clear" and intent == "tick")
        ):
            return verb
    if re.match(
        rf"^{ASKING}(?:add|put|append|include|stick|throw|pop|jot|write)\b|.*\b(?:add|put) (?:it|them|that|those|"
        rf"some) (?:on|to|onto|in)\b",
        plain,
    ) and not _REMOVE.match(plain):
        return "add"
    if intent in ("tick", "remove", "create", "add", "show", "check"):
        if intent == "add" and re.match(rf"^{ASKING}(?:remove|delete|take|tick|check|cross)\b", plain):
            intent = ""
        elif intent == "remove" and re.match(rf"^{ASKING}(?:tick|check off|cross|mark)\b", plain):
            intent = "tick"
        if intent:
            return intent
    for verb, pattern in (("tick", _TICK), ("remove", _REMOVE), ("create", _CREATE), ("add", _ADD), ("show", _SHOW)):
        if pattern.search(plain):
            return verb
    if intent:
        return intent
    return "show" if re.fullmatch(rf"(?:{NAME})(?: please)?", plain) else None
