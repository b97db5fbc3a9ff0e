"""What a sentence about lists asks for: the verb, which list, which items, as they were said.

Reads sentences; keeps nothing, and knows neither what lists there are nor how items fall apart.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .choosing import Choice, find_choice, is_choice, is_number

VERBS = ("add", "show", "check", "tick", "remove", "move", "change", "create", "clear", "undo")


@dataclass(frozen=True, slots=True)
class Request:
    """One request about lists.

    verb: one of VERBS. list: its name, "" where none is named; other: where something is moved to, or the new name.
    items: the words that say which; old: of `change`, what makes way for `items`. choice: places in a listing.
    every: all of them, said plainly; done: those that are ticked, or (of `tick`) to be unticked; whole: the list
    itself, not what is on it; lists: several lists are spoken of. top: of `move`, 1 to the front, -1 to the end.
    """

    verb: str
    list: str = ""
    items: str = ""
    other: str = ""
    old: str = ""
    choice: Choice = Choice()  # noqa: RUF009 - frozen
    every: bool = False
    done: bool = False
    whole: bool = False
    lists: bool = False
    top: int = 0


# --- What a list is called --------------------------------------------------------------------------------------------

# Names that mean the same list, where only one of them is there.
_FAMILIES = (
    ("shopping", "grocery", "food", "food shopping", "grocery shopping", "supermarket", "store"),
    ("to-do", "task", "chore"),
    ("packing", "pack"),
)
_TASK_LISTS = re.compile(r"\bto-do\b|\b(?:chores?|jobs?|errands?|tasks?)\b")
_THINGS_TO = {"do": "to-do", "buy": "shopping"}
_FILLERS = re.compile(
    r"\b(?:my|the|our|your|a|an|this|that|these|new|whole|entire|current|old|empty|another|own|please|of|all|named|"
    r"called|just|which|what|every|each|any|deleted|last|wrong|same|tasks on)\b"
)


def list_name(words: str) -> str:
    """The name by which a list is kept: "My To Do List" → "to-do", "things to pack" → "packing", "the list" → ""."""
    name = words.lower().replace("’", "'").strip(" .,:;!?\"'“”")
    name = re.sub(r"\b(?:check)?lists?\b", " ", _TO_DO.sub("to-do", name))
    name = re.sub(r"\bthings to (\w+)", lambda match: _THINGS_TO.get(match[1], f"{match[1]}ing"), name)
    name = re.sub(r"\bgroceries\b", "grocery", name)
    name = " ".join(_FILLERS.sub(" ", name).split())[:60]
    return "to-do" if name in ("task", "tasks") else name


def is_for_tasks(name: str) -> bool:
    return _TASK_LISTS.search(name) is not None


def find_list(name: str, names: Sequence[str]) -> str | None:
    """Which of the lists is meant by a name: itself, one that means the same, or one that is spelled much like it."""
    plain = {each.lower(): each for each in names}
    for one in (name, name.removesuffix("s"), f"{name}s"):
        if one in plain:
            return plain[one]
    for family in _FAMILIES:
        if name.removesuffix("s") in family:
            there = [plain[each] for each in family if each in plain]
            if len(there) == 1:
                return there[0]
            return None
    near = difflib.get_close_matches(name, plain, 1, 0.82) if len(name) > 3 else []
    return plain[near[0]] if near else None


# --- The verb ---------------------------------------------------------------------------------------------------------

_ASKING = (
    r"(?:(?:please|pls|hey|hi|ok|okay|so|oh|oops|no|um|and|also|now|just|quickly|can|could|would|will|you|kindly|"
    r"go ahead and|"
    r"i(?:'d| would)? (?:like|want|need|have)(?: you)?(?: to)?|let me|let's|lets|help me|mind)[ ,]+)*"
)
_NOUN = r"(?:(?:check)?lists?\b|groceries\b|tasks\b|things to (?:pack|do|buy|take)\b)"
_TO_DO = re.compile(r"\bto[ -]?do list|\bto[ -]?do'?s\b|\btodo(?: list)?\b|\bto-do\b(?! list)", re.IGNORECASE)
_DETERMINER = r"(?:my|the|our|your|a|an|this|that|these)"
# Up to four words of a name before its noun.
_NAME = (
    r"(?:(?:my|the|our|your|a|an|this|that|whole|entire|new) )*"
    rf"(?:(?!(?:to|on|from|off|into|onto|and|of) )[\w'’-]+ ){{0,4}}?{_NOUN}"
)
_PREPOSITION = r"(?:to|on|onto|in|into|from|off(?: of)?|at|of|over to)"
_ON_LIST = re.compile(rf"\b(?P<preposition>{_PREPOSITION}) (?P<list>{_NAME})", re.IGNORECASE)
_THE_LIST = re.compile(rf"\b{_DETERMINER} (?P<list>(?:(?!{_DETERMINER} )[\w'’-]+ ){{0,4}}?{_NOUN})", re.IGNORECASE)
_BARE_LIST = re.compile(
    rf"^(?:(?:please|can|could|you|show|read|open|clear|empty|delete|remove|view|display|check|print|wipe|see|me|out|"
    rf"what's|whats|what|on|is|in|scrap|pull|up|restore|undelete|get) )*"
    rf"(?P<list>(?:(?!(?:to|on|from|off|into|onto|and|of|in|left|still|what|is|are|i) )[\w'’-]+ ){{0,3}}?{_NOUN})",
    re.IGNORECASE,
)
_OURS = re.compile(rf"\b{_NOUN}|\bshopping\b|\bnew task\b|\badd a task\b|\bticked\b|\btick off\b", re.IGNORECASE)
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
    rf"^{_ASKING}(?:what|whats|what's|which|is|are|do|does|did|have|has|how|any|see (?:if|whether|what)|check (?:if|"
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
    rf" up)?(?: (?:a|an|another|my|new|fresh|empty|the|separate|simple))* (?:[\w'’-]+ ){{0,3}}?{_NOUN}|"
    rf"^new (?:[\w'-]+ ){{0,3}}list\b|\bwant (?:a|another) list\b"
)
_CREATES_FIRST = re.compile(
    rf"^{_ASKING}(?:create|make|start|begin|set up|open|build|initiate|prepare)\b(?: me| us| up)? (?:a|an|another|"
    rf"new|my own)\b.*{_NOUN}|^(?:a )?new (?!task)(?:[\w'-]+ ){{0,3}}list\b"
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
_EVERY = re.compile(r"\b(?:all|every|everything|whole|entire|completely|both|each)\b")
_DONE = re.compile(
    r"\b(?:ticked|checked|crossed|completed?|done|finished|bought|marked)(?: off| out)?(?: (?:items?|ones?|things?|"
    r"tasks?|stuff))?\b"
)


def read_request(text: str, intent: str = "", *, known: bool = False) -> Request | None:
    """What is asked for; None: it is about something else.

    intent: the router's word, which plain words overrule. known: it is about lists, whether it says so or not.
    """
    text = _TO_DO.sub("to-do list", text.strip().replace("’", "'"))
    head = " ".join(text[:300].split())
    plain = head.lower().strip(" .?!,")
    known = known or intent in VERBS
    if not plain or (not known and (_OTHERS.search(plain) or not _OURS.search(plain))):
        return None
    verb = _find_verb(plain, intent if intent in VERBS else "")
    if verb is None:
        return None
    return _READERS[verb](text, plain)


def _find_verb(plain: str, intent: str) -> str | None:
    if _UNDO.search(plain):
        return "undo"
    asks = _QUESTION.match(plain) is not None
    if asks:
        if _CHECK_ITEM.search(plain) and not _WHAT_IS_ON.search(plain):
            return "check"
        return intent if intent in ("create", "add", "tick") and not _WHAT_IS_ON.search(plain) else "show"
    if _TASK.match(plain):
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
        rf"^{_ASKING}(?:add|put|append|include|stick|throw|pop|jot|write)\b|.*\b(?:add|put) (?:it|them|that|those|"
        rf"some) (?:on|to|onto|in)\b",
        plain,
    ) and not _REMOVE.match(plain):
        return "add"
    if intent in ("tick", "remove", "create", "add", "show", "check"):
        if intent == "add" and re.match(rf"^{_ASKING}(?:remove|delete|take|tick|check|cross)\b", plain):
            intent = ""
        elif intent == "remove" and re.match(rf"^{_ASKING}(?:tick|check off|cross|mark)\b", plain):
            intent = "tick"
        if intent:
            return intent
    for verb, pattern in (("tick", _TICK), ("remove", _REMOVE), ("create", _CREATE), ("add", _ADD), ("show", _SHOW)):
        if pattern.search(plain):
            return verb
    if intent:
        return intent
    return "show" if re.fullmatch(rf"(?:{_NAME})(?: please)?", plain) else None


# --- Asking -----------------------------------------------------------------------------------------------------------

_WHAT_IS_ON = re.compile(
    r"\b(?:what|whats|what's|how many|how much|anything|something|nothing|which (?:lists|items|tasks)|"
    r"any(?:thing)? (?:items|tasks|things))\b|\bis (?:my|the) .*list (?:empty|finished|done|long|complete)\b|"
    r"^which lists\b"
)
_STILL = r"(?:still |already |yet |now |even |also )*"
_CHECKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:do|does) (?:i|we) {_STILL}(?:need|have)(?: to)? {_STILL}(?:get |buy |pick up |any |some |more |"
        rf"do )*(?P<items>.+)$",
        rf"\b(?:did|have|has) (?:i|we) {_STILL}(?:remember(?:ed)? to )?(?:add|put|tick|check|cross|got|get|write|"
        rf"include|pack|buy|bought|ticked|packed|done|do)(?:ed)?(?: off| down)? (?P<items>.+)$",
        r"\bwhich list (?:is|has|are|have) (?P<items>.+?)(?: on)?$",
        rf"\bdoes (?P<list>{_NAME}) (?:have|include|contain)(?: an?| any| some)? (?P<items>.+?)(?: on it| in it)?$",
        rf"\b(?:is|are|was|were)(?: there)?(?: an?| any| some| the)? {_STILL}(?P<items>.+?) {_STILL}(?:on|in|off|"
        rf"ticked|checked|there)\b",
        r"\b(?:see|check) (?:if|whether) (?:there (?:is|are) )?(?P<items>.+?) (?:is|are) ",
    )
)
_CHECK_ITEM = re.compile(r"\b(?:do|does|did|have|has|is|are|was|were)\b.+|\bwhich list\b|\b(?:if|whether)\b")


def _check(text: str, plain: str) -> Request:
    where = _where(plain)
    for pattern in _CHECKS:
        match = pattern.search(plain)
        if match is None:
            continue
        items = _ON_LIST.sub(" ", match["items"]).strip() if _ON_LIST.search(match["items"]) else match["items"]
        items = re.sub(
            r"\s+(?:on|from|off|in|to)\s+(?:the|my)?\s*shopping\b.*$|\s+according to.*$|\s+(?:already|yet|still|"
            r"any ?more|now|left|on it|too|in the end)+$",
            "",
            items,
        ).strip()
        named = match["list"] if "list" in match.groupdict() and match["list"] else None
        return Request("check", list_name(named) if named else where, items=items)
    return Request("show", where)


def _show(text: str, plain: str) -> Request:
    lists = re.search(r"\b(?:lists|which lists?|all (?:of )?(?:my|the) lists)\b", plain) is not None
    done = re.search(r"\b(?:ticked|checked|crossed|completed|done|finished|bought)\b", plain) is not None
    name = _where(plain)
    if not name and re.search(r"\b(?:to buy|to get|from the store|shopping)\b", plain):
        name = "shopping"
    if not name and re.search(r"\b(?:to do|tasks?)\b", plain):
        name = "to-do"
    return Request("show", name, lists=lists, done=done)


# --- Adding and creating ----------------------------------------------------------------------------------------------

_TASK = re.compile(
    rf"^{_ASKING}(?:(?:add|create|make|set up) )?(?:a |another )?(?:new )?(?:task|to-?do)(?: item)?(?: to| that|:|,|"
    rf" -)* (?P<items>(?!list\b|lists\b).+)$",
    re.IGNORECASE,
)
_ADD_VERB = (
    r"(?:add|put|append|include|stick|throw|pop|write|get|jot|place|insert|toss|chuck|enter|note|have|set)"
    r"(?: down| up)?"
)
_ADDS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # "We're out of coffee, put it on the list", "jam, put it on the list"
        rf"^{_ASKING}(?:(?:we(?:'re| are)|i(?:'m| am)) (?:all )?(?:(?:running |almost )?(?:out of|low on|short (?:of|"
        rf"on))) |(?:i|we) (?:need|have|want|ought|must)(?: to)? (?:buy |get |pick up |some |more )*)?(?P<items>.+?)"
        rf",? (?:so |and |please |can you |could you )*{_ADD_VERB} (?:it|them|that|those|this|"
        rf"some)(?: (?:down )?(?:to|on|onto|in|into) (?P<list>{_NAME}|the shopping|.*?))?[\s.!?]*$",
        # "Add to my shopping list: milk"
        rf"^{_ASKING}{_ADD_VERB} (?:to|on|onto|in|into) (?P<list>{_NAME})[:,]?\s*(?P<items>.*)$",
        # "Add milk to my shopping list"
        rf"^{_ASKING}{_ADD_VERB}\s+(?P<items>.+?)\s+(?:down )?(?:to|on|onto|in|into) (?P<list>{_NAME}|(?:the |"
        rf"my )?shopping|things to pack)(?: (?:for me|please|would you|will you|too|as well))*[\s.!?]*$",
        # "Shopping list: add tomatoes", "my todo list needs mow the lawn"
        rf"^(?P<list>{_NAME})\s*(?:[:,-]\s*|\s)(?:please )?(?:{_ADD_VERB}|needs?|should have)?\s*(?P<items>.*)$",
        # "We're out of eggs", "we need more soap on the list"
        rf"^{_ASKING}(?:we(?:'re| are)|i(?:'m| am)) (?:all )?(?:running |almost )?(?:out of|low on|short (?:of|"
        rf"on)) (?P<items>.+)$",
        rf"^{_ASKING}(?:(?:i|we) )?(?:need|have|want)(?: to)? (?:buy |get |pick up |some |"
        rf"more )*(?P<items>.+?)(?: (?:on|to) (?P<list>{_NAME}))?$",
        rf"^{_ASKING}{_ADD_VERB}\s+(?P<items>.+)$",
    )
)
_COURTESY = re.compile(
    r"(?:[\s,.;:!?-]|\b(?:please|pls|thanks|thank you|for me|would you|will you|too|as well)\b)+$", re.IGNORECASE
)
_PRONOUN = re.compile(
    r"^(?:it|that|this|them|those|these|something|some things?|an? (?:new )?items?|a few things|things?|stuff|items?|"
    r"one more thing|more)?$",
    re.IGNORECASE,
)


def _add(text: str, plain: str) -> Request:
    if task := _TASK.match(text):
        where = _ON_LIST.search(task["items"])
        items = task["items"][: where.start()] if where else task["items"]
        return Request("add", list_name(where["list"]) if where else "to-do", items=_COURTESY.sub("", items))
    for pattern in _ADDS:
        match = pattern.match(text)
        if match is None:
            continue
        named = match.groupdict().get("list") or ""
        items = _COURTESY.sub("", match["items"]).strip()
        items = "" if _PRONOUN.match(items) else items
        if named and list_name(named) == "" and "list" not in named.lower():
            named = ""
        return Request("add", list_name(named), items=items)
    return Request("add", _where(plain), items="")


_CREATES_NAMED = re.compile(
    r"\b(?:list|checklist)\b,? (?:called|named|titled|with the name|by the name of) (?P<name>.+?)(?: (?:with|"
    r"containing|and add|and put|that has)\b[:,]? (?P<items>.+)|:\s*(?P<more>.+))?$",
    re.IGNORECASE | re.DOTALL,
)
_CREATES_FOR = re.compile(
    r"\b(?:list|checklist) (?:for|of|about) (?:(?:the|my|our|a|an) )?(?P<name>.+?)(?: (?:with|containing|and add|"
    r"that has)\b[:,]? (?P<items>.+)|:\s*(?P<more>.+))?$",
    re.IGNORECASE | re.DOTALL,
)
_CREATES = re.compile(
    r"(?:\b(?:create|make|start|begin|set up|open|build|new|need|want|prepare)\b)(?: me| us| up|"
    r" list)?(?P<name>(?: [\w'’-]+){0,6}? ?(?:list|checklist|to-?dos?|to do))\b(?:(?: list)?(?: with| containing|"
    r":)\s*(?P<items>.+))?",
    re.IGNORECASE | re.DOTALL,
)


def _create(text: str, plain: str) -> Request:
    text = _COURTESY.sub("", text)
    for pattern in (_CREATES_NAMED, _CREATES_FOR, _CREATES):
        if match := pattern.search(text):
            named = (
                re.sub(r"\b(?:things|stuff) to\b", "to", match["name"]) if pattern is _CREATES_FOR else match["name"]
            )
            name = list_name(re.sub(r"^(?:for|me|us|up)\b", "", named.strip(), flags=re.IGNORECASE))
            found = match.groupdict()
            return Request("create", name, items=found.get("items") or found.get("more") or "")
    after = re.search(r"\blist (?P<name>[\w' -]+)$", text, re.IGNORECASE)
    return Request("create", list_name(after["name"]) if after else _where(plain))


# --- Ticking, removing, moving ----------------------------------------------------------------------------------------

_STRIPPED = re.compile(
    rf"^{_ASKING}(?:(?:i|we)(?:'ve| have)? (?:just |already )?(?:bought|got|did|finished|done|picked up|packed|"
    rf"don'?t need|no longer need)|"
    r"(?:un)?tick(?:ed)?|(?:un)?check(?:ed)?|cross(?:ed)?|mark|complete|done with|finished(?: with)?|got|bought|"
    r"strike|set|"
    r"remove|delete|erase|scratch|drop|forget(?: about)?|lose|kick|pull|discard|scrap|get rid of|take|no more|clear|"
    r"move|transfer|shift|switch|relocate|push|put|add|change)\b(?: off| out| through| over| away)?\s*",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"[\s,.;!?]*(?:\b(?:as (?:done|bought|complete|completed|finished|checked|ticked|packed)|off|out|please|already|"
    r"any ?more|for me|(?:to )?(?:done|complete)|complete|completed|is|are|has been|have been|they had none|"
    r"(?:(?:is|are) )?(?:done|bought|finished|packed|paid|sorted)|instead|over|too|now|which is|it'?s|there|"
    r"(?:,? ?(?:and )?(?:tick|check|mark|cross|take|remove|move|put|strike|delete) (?:it|that|them|this|"
    r"those)(?: all)?(?: off| out| there| done| over| as done| as bought)?(?: (?:on|from|off|to) .*)?))[\s,.;!?]*)+$",
    re.IGNORECASE,
)
_WE_HAVE = re.compile(
    r"^(?:we|i) (?:already )?(?:have|got|'ve got) (?:enough )?(?P<items>[^,]+), ?(?:so )?(?:please )?(?:remove|take|"
    r"delete|drop).*$",
    re.IGNORECASE,
)


def _things(text: str) -> str:
    """The words that say which items: of "please tick off the milk on my shopping list", "the milk"."""
    text = " ".join(text.split())
    if have := _WE_HAVE.match(text):
        return have["items"]
    where = [*_ON_LIST.finditer(text)]
    for found in reversed(where):
        text = f"{text[: found.start()]} {text[found.end() :]}"
    text = re.sub(
        r"\b(?:from|off|on|to|in) (?:the |my )?(?:shopping|groceries|todos)\b", " ", text, flags=re.IGNORECASE
    )
    text = _STRIPPED.sub("", " ".join(text.split()))
    for _ in range(3):
        text = _TRAILING.sub("", text)
    return text.strip(" ,.;:!?")


def _pointed(words: str) -> Choice:
    """The places that the words point at, if they do nothing else: "the second one", "items 2 and 3", "it"."""
    plain = words.lower().strip()
    return find_choice(plain, "(?:items?|tasks?|things?)") if is_choice(plain) else Choice()


def _where(plain: str) -> str:
    """The list that a sentence names, "" for none."""
    if called := re.search(r"\b(?:check)?lists? (?:called|named) (?P<list>[\w' -]+)$", plain):
        return list_name(called["list"])
    for pattern in (_ON_LIST, _THE_LIST, _BARE_LIST):
        names = [list_name(found["list"]) for found in pattern.finditer(plain)]
        if names:
            return next((name for name in reversed(names) if name), "")
        if pattern is _ON_LIST and (bare := _ON_BARE.search(plain)):
            return list_name(bare["list"])
    return ""


_ON_BARE = re.compile(r"\b(?:on|to|from|off|in|for) (?:the |my )?(?P<list>shopping|groceries|tasks)\b")


def _tick(text: str, plain: str) -> Request:
    items = _things(text)
    undone = re.search(r"\bun(?:tick|check|cross|mark)|\bnot done\b|\bundone\b", plain) is not None
    every = (
        _EVERY.search(plain) is not None
        and re.search(r"\b(?:it all|all of (?:it|them)|everything|all items|all of the|all the items|both)\b", plain)
        is not None
    )
    return Request("tick", _where(plain), items=items, choice=_pointed(items), every=every, done=undone)


def _remove(text: str, plain: str) -> Request:
    done = (
        _DONE.search(plain) is not None
        and re.search(r"\b(?:all|every(?:thing)?|the|which|that|what|i've)\b", plain) is not None
    )
    items = _things(text)
    return Request("remove", _where(plain), items=items, choice=_pointed(items), done=done)


_MOVES = re.compile(
    rf"^(?P<items>.+?)(?: (?:from|off|out of) (?P<list>.+?))?(?: and put (?:it|them))? (?:over )?(?:to|onto|on|into|"
    rf"in) (?P<other>{_NAME}|(?:the |my )?[\w' -]{{2,40}})(?:, (?:move|put|switch) (?:it|them|that).*| instead)?$",
    re.IGNORECASE,
)


def _move(text: str, plain: str) -> Request:
    top = (
        1
        if re.search(r"\bto the (?:top|front|start|beginning)\b|\bput .* first\b|\bmove .* (?:first|up)$", plain)
        else -1
        if re.search(r"\bto the (?:bottom|end)\b|\b(?:last|down)$", plain)
        else 0
    )
    every = re.search(r"\b(?:all|everything|every item)\b", plain) is not None
    if top:
        items = re.sub(
            r"\bto the (?:top|bottom|end|front|start|beginning)\b.*$|\b(?:first|last)\b.*$", "", _things(text)
        ).strip()
        return Request("move", _where(plain), items=items, choice=_pointed(items), top=top)
    body = re.sub(r"\b(?:belongs?|goes|should be|should go)\b", "", _STRIPPED.sub("", _COURTESY.sub("", text)), count=1)
    match = _MOVES.match(" ".join(body.split()))
    if match is None:
        return Request("move", _where(plain), items=_things(text), choice=_pointed(_things(text)))
    items = match["items"]
    if every and (
        inner := re.search(
            r"\b(?:all|everything|every item)\b(?: items| things)?(?: that's left)?(?: (?:from|on|off) (?P<list>.+))?$",
            items,
            re.IGNORECASE,
        )
    ):
        return Request(
            "move", list_name(inner["list"] or match["list"] or ""), other=list_name(match["other"]), every=True
        )
    return Request(
        "move", list_name(match["list"] or ""), items=items, other=list_name(match["other"]), choice=_pointed(items)
    )


# --- Changing, clearing, undoing --------------------------------------------------------------------------------------

_RENAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\brename (?P<list>{_NAME}|.+?) (?:to|as|into) (?P<other>.+)$",
        rf"\b(?:change|set) the name of (?P<list>{_NAME})(?: (?:to|into) (?P<other>.+))?$",
        rf"\bcall (?P<list>{_NAME}) (?P<other>.+?)(?: from now on| instead)?$",
        r"\bthe list (?:called |named )?(?P<list>.+?) should be (?:called|named) (?P<other>.+)$",
        rf"\b(?P<list>{_NAME}) should be (?:called|named) (?P<other>.+)$",
        rf"\brename (?P<list>{_NAME})()(?P<other>)$",
    )
)
_CHANGES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bswap (?P<old>.+?) (?:for|with) (?P<items>.+)$",
        r"\b(?:change|correct|edit|update|set|amend|modify) (?P<old>.+?) (?:to|into) (?P<items>.+)$",
        r"\b(?:replace|substitute) (?P<old>.+?) (?:with|by) (?P<items>.+)$",
        r"\bi meant (?P<items>.+?),? (?:and )?not (?P<old>.+)$",
        r"\bmake (?:it|that|them) (?P<items>.+?)(?: instead(?: of (?P<old>.+))?)?$",
        r"\b(?:change|correct|edit|update|amend|modify) (?P<old>.+)$",
    )
)


def _change(text: str, plain: str) -> Request:
    text = _COURTESY.sub("", " ".join(text.split()))
    for pattern in _RENAMES:
        if match := pattern.search(text):
            return Request("change", list_name(match["list"]), other=list_name(match["other"] or ""), whole=True)
    where = _where(plain)
    body = text
    for found in reversed([*_ON_LIST.finditer(text)]):
        body = f"{body[: found.start()]} {body[found.end() :]}"
    body = " ".join(body.split())
    for pattern in _CHANGES:
        if match := pattern.search(body):
            old, new = match.groupdict().get("old") or "", match.groupdict().get("items") or ""
            return Request(
                "change",
                where,
                items=new.strip(" ,.;"),
                old=old.strip(" ,.;"),
                choice=Choice() if is_number(old) else _pointed(old),
            )
    return Request("change", where)


def _clear(text: str, plain: str) -> Request:
    done = _DONE.search(plain) is not None
    every = _EVERY.search(plain) is not None
    lists = (
        re.search(r"\b(?:all|every|each) (?:(?:of )?(?:my|the|our) )?lists?\b|\bdelete (?:my|the) lists\b", plain)
        is not None
    )
    whole = lists or (
        re.search(
            r"\b(?:delete|remove|erase|get rid of|throw out|scrap|drop|trash|bin|discard|destroy|don'?t need)\b", plain
        )
        is not None
        and re.search(
            r"\b(?:items?|everything|all) (?:from|on|off|in|of)\b|\ball (?:the )?items\b|\beverything\b", plain
        )
        is None
    )
    return Request("clear", _where(plain), every=every, done=done and not whole, whole=whole, lists=lists)


def _undo(text: str, plain: str) -> Request:
    return Request("undo", _where(plain))


_READERS = {
    "add": _add, "show": _show, "check": _check, "tick": _tick, "remove": _remove, "move": _move, "change": _change,
    "create": _create, "clear": _clear, "undo": _undo,
}  # fmt: skip


def follows_up(plain: str) -> bool:
    """Whether it can go on with a list that was just spoken of: "undo", "remove the second one", "cross off eggs"."""
    return len(plain) <= 100 and (
        _PLAIN_UNDO.match(plain) is not None or (_STRIPPED.match(plain) is not None and _ENDED.match(plain) is None)
    )


_ENDED = re.compile(r"^(?:i|we) |.*\b(?:notes?|timers?|alarms?|reminders?|files?)\b")
_PLAIN_UNDO = re.compile(
    rf"^{_ASKING}(?:undo|undelete|restore)(?: that| it| this| them| the last change)?$|^(?:bring|put) (?:it|that|"
    rf"them) back$"
)
