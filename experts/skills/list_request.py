"""What a sentence about lists asks for: the verb, which list, which items, as they were said.

Reads sentences; keeps nothing, and knows neither what lists there are nor how items fall apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .choosing import Choice, find_choice, is_choice, is_number
from .list_naming import NAME, ON_LIST, TO_DO, find_named, list_name
from .list_verbs import ASKING, TASK, VERBS, find_verb, is_ours

_EVERY = re.compile(r"\b(?:all|every|everything|whole|entire|completely|both|each)\b")
_DONE = re.compile(
    r"\b(?:ticked|checked|crossed|completed?|done|finished|bought|marked)(?: off| out)?(?: (?:items?|ones?|things?|"
    r"tasks?|stuff))?\b"
)


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


def read_request(text: str, intent: str = "", *, known: bool = False) -> Request | None:
    """What is asked for; None: it is about something else.

    intent: the router's word, which plain words overrule. known: it is about lists, whether it says so or not.
    """
    text = TO_DO.sub("to-do list", text.strip().replace("’", "'"))
    head = " ".join(text[:300].split())
    plain = head.lower().strip(" .?!,")
    known = known or intent in VERBS
    if not plain or (not known and not is_ours(plain)):
        return None
    verb = find_verb(plain, intent if intent in VERBS else "")
    if verb is None:
        return None
    return _READERS[verb](text, plain)


# --- Asking -----------------------------------------------------------------------------------------------------------

_STILL = r"(?:still |already |yet |now |even |also )*"
_CHECKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:do|does) (?:i|we) {_STILL}(?:need|have)(?: to)? {_STILL}(?:get |buy |pick up |any |some |more |"
        rf"do )*(?P<items>.+)$",
        rf"\b(?:did|have|has) (?:i|we) {_STILL}(?:remember(?:ed)? to )?(?:add|put|tick|check|cross|got|get|write|"
        rf"include|pack|buy|bought|ticked|packed|done|do)(?:ed)?(?: off| down)? (?P<items>.+)$",
        r"\bwhich list (?:is|has|are|have) (?P<items>.+?)(?: on)?$",
        rf"\bdoes (?P<list>{NAME}) (?:have|include|contain)(?: an?| any| some)? (?P<items>.+?)(?: on it| in it)?$",
        rf"\b(?:is|are|was|were)(?: there)?(?: an?| any| some| the)? {_STILL}(?P<items>.+?) {_STILL}(?:on|in|off|"
        rf"ticked|checked|there)\b",
        r"\b(?:see|check) (?:if|whether) (?:there (?:is|are) )?(?P<items>.+?) (?:is|are) ",
    )
)


def _check(text: str, plain: str) -> Request:
    where = find_named(plain)
    for pattern in _CHECKS:
        match = pattern.search(plain)
        if match is None:
            continue
        items = ON_LIST.sub(" ", match["items"]).strip() if ON_LIST.search(match["items"]) else match["items"]
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
    name = find_named(plain)
    if not name and re.search(r"\b(?:to buy|to get|from the store|shopping)\b", plain):
        name = "shopping"
    if not name and re.search(r"\b(?:to do|tasks?)\b", plain):
        name = "to-do"
    return Request("show", name, lists=lists, done=done)


# --- Adding and creating ----------------------------------------------------------------------------------------------

_ADD_VERB = (
    r"(?:add|put|append|include|stick|throw|pop|write|get|jot|place|insert|toss|chuck|enter|note|have|set)"
    r"(?: down| up)?"
)
_ADDS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # "We're out of coffee, put it on the list", "jam, put it on the list"
        rf"^{ASKING}(?:(?:we(?:'re| are)|i(?:'m| am)) (?:all )?(?:(?:running |almost )?(?:out of|low on|short (?:of|"
        rf"on))) |(?:i|we) (?:need|have|want|ought|must)(?: to)? (?:buy |get |pick up |some |more )*)?(?P<items>.+?)"
        rf",? (?:so |and |please |can you |could you )*{_ADD_VERB} (?:it|them|that|those|this|"
        rf"some)(?: (?:down )?(?:to|on|onto|in|into) (?P<list>{NAME}|the shopping|.*?))?[\s.!?]*$",
        # "Add to my shopping list: milk"
        rf"^{ASKING}{_ADD_VERB} (?:to|on|onto|in|into) (?P<list>{NAME})[:,]?\s*(?P<items>.*)$",
        # "Add milk to my shopping list"
        rf"^{ASKING}{_ADD_VERB}\s+(?P<items>.+?)\s+(?:down )?(?:to|on|onto|in|into) (?P<list>{NAME}|(?:the |"
        rf"my )?shopping|things to pack)(?: (?:for me|please|would you|will you|too|as well))*[\s.!?]*$",
        # "Shopping list: add tomatoes", "my todo list needs mow the lawn"
        rf"^(?P<list>{NAME})\s*(?:[:,-]\s*|\s)(?:please )?(?:{_ADD_VERB}|needs?|should have)?\s*(?P<items>.*)$",
        # "We're out of eggs", "we need more soap on the list"
        rf"^{ASKING}(?:we(?:'re| are)|i(?:'m| am)) (?:all )?(?:running |almost )?(?:out of|low on|short (?:of|"
        rf"on)) (?P<items>.+)$",
        rf"^{ASKING}(?:(?:i|we) )?(?:need|have|want)(?: to)? (?:buy |get |pick up |some |"
        rf"more )*(?P<items>.+?)(?: (?:on|to) (?P<list>{NAME}))?$",
        rf"^{ASKING}{_ADD_VERB}\s+(?P<items>.+)$",
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
    if task := TASK.match(text):
        where = ON_LIST.search(task["items"])
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
    return Request("add", find_named(plain), items="")


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
    return Request("create", list_name(after["name"]) if after else find_named(plain))


# --- Ticking, removing, moving ----------------------------------------------------------------------------------------

_STRIPPED = re.compile(
    rf"^{ASKING}(?:(?:i|we)(?:'ve| have)? (?:just |already )?(?:bought|got|did|finished|done|picked up|packed|"
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
    where = [*ON_LIST.finditer(text)]
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


def _tick(text: str, plain: str) -> Request:
    items = _things(text)
    undone = re.search(r"\bun(?:tick|check|cross|mark)|\bnot done\b|\bundone\b", plain) is not None
    every = (
        _EVERY.search(plain) is not None
        and re.search(r"\b(?:it all|all of (?:it|them)|everything|all items|all of the|all the items|both)\b", plain)
        is not None
    )
    return Request("tick", find_named(plain), items=items, choice=_pointed(items), every=every, done=undone)


def _remove(text: str, plain: str) -> Request:
    done = (
        _DONE.search(plain) is not None
        and re.search(r"\b(?:all|every(?:thing)?|the|which|that|what|i've)\b", plain) is not None
    )
    items = _things(text)
    return Request("remove", find_named(plain), items=items, choice=_pointed(items), done=done)


_MOVES = re.compile(
    rf"^(?P<items>.+?)(?: (?:from|off|out of) (?P<list>.+?))?(?: and put (?:it|them))? (?:over )?(?:to|onto|on|into|"
    rf"in) (?P<other>{NAME}|(?:the |my )?[\w' -]{{2,40}})(?:, (?:move|put|switch) (?:it|them|that).*| instead)?$",
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
        return Request("move", find_named(plain), items=items, choice=_pointed(items), top=top)
    body = re.sub(r"\b(?:belongs?|goes|should be|should go)\b", "", _STRIPPED.sub("", _COURTESY.sub("", text)), count=1)
    match = _MOVES.match(" ".join(body.split()))
    if match is None:
        return Request("move", find_named(plain), items=_things(text), choice=_pointed(_things(text)))
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
        rf"\brename (?P<list>{NAME}|.+?) (?:to|as|into) (?P<other>.+)$",
        rf"\b(?:change|set) the name of (?P<list>{NAME})(?: (?:to|into) (?P<other>.+))?$",
        rf"\bcall (?P<list>{NAME}) (?P<other>.+?)(?: from now on| instead)?$",
        r"\bthe list (?:called |named )?(?P<list>.+?) should be (?:called|named) (?P<other>.+)$",
        rf"\b(?P<list>{NAME}) should be (?:called|named) (?P<other>.+)$",
        rf"\brename (?P<list>{NAME})()(?P<other>)$",
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
    where = find_named(plain)
    body = text
    for found in reversed([*ON_LIST.finditer(text)]):
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
    return Request("clear", find_named(plain), every=every, done=done and not whole, whole=whole, lists=lists)


def _undo(text: str, plain: str) -> Request:
    return Request("undo", find_named(plain))


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
    rf"^{ASKING}(?:undo|undelete|restore)(?: that| it| this| them| the last change)?$|^(?:bring|put) (?:it|that|"
    rf"them) back$"
)
