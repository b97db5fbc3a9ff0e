"""What a list is called, and where a sentence names one. Knows no verbs, and not which lists there are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

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
    name = re.sub(r"\b(?:check)?lists?\b", " ", TO_DO.sub("to-do", name))
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


# --- Where a sentence names one ---------------------------------------------------------------------------------------

NOUN = r"(?:(?:check)?lists?\b|groceries\b|tasks\b|things to (?:pack|do|buy|take)\b)"
TO_DO = re.compile(r"\bto[ -]?do list|\bto[ -]?do'?s\b|\btodo(?: list)?\b|\bto-do\b(?! list)", re.IGNORECASE)
_DETERMINER = r"(?:my|the|our|your|a|an|this|that|these)"
# Up to four words of a name before its noun.
NAME = (
    r"(?:(?:my|the|our|your|a|an|this|that|whole|entire|new) )*"
    rf"(?:(?!(?:to|on|from|off|into|onto|and|of) )[\w'’-]+ ){{0,4}}?{NOUN}"
)
_PREPOSITION = r"(?:to|on|onto|in|into|from|off(?: of)?|at|of|over to)"
ON_LIST = re.compile(rf"\b(?P<preposition>{_PREPOSITION}) (?P<list>{NAME})", re.IGNORECASE)
_THE_LIST = re.compile(rf"\b{_DETERMINER} (?P<list>(?:(?!{_DETERMINER} )[\w'’-]+ ){{0,4}}?{NOUN})", re.IGNORECASE)
_BARE_LIST = re.compile(
    rf"^(?:(?:please|can|could|you|show|read|open|clear|empty|delete|remove|view|display|check|print|wipe|see|me|out|"
    rf"what's|whats|what|on|is|in|scrap|pull|up|restore|undelete|get) )*"
    rf"(?P<list>(?:(?!(?:to|on|from|off|into|onto|and|of|in|left|still|what|is|are|i) )[\w'’-]+ ){{0,3}}?{NOUN})",
    re.IGNORECASE,
)


def find_named(plain: str) -> str:
    """The list that a sentence names, "" for none."""
    if called := re.search(r"\b(?:check)?lists? (?:called|named) (?P<list>[\w' -]+)$", plain):
        return list_name(called["list"])
    for pattern in (ON_LIST, _THE_LIST, _BARE_LIST):
        names = [list_name(found["list"]) for found in pattern.finditer(plain)]
        if names:
            return next((name for name in reversed(names) if name), "")
        if pattern is ON_LIST and (bare := _ON_BARE.search(plain)):
            return list_name(bare["list"])
    return ""


_ON_BARE = re.compile(r"\b(?:on|to|from|off|in|for) (?:the |my )?(?P<list>shopping|groceries|tasks)\b")
