"""Words of time as people misspell them: "tmrw", "wendsday", "febuary". Knows single words alone."""

from __future__ import annotations

from functools import cache

SPELLINGS = {
    "tmrw": "tomorrow", "tmr": "tomorrow", "tmw": "tomorrow", "tomoz": "tomorrow", "tommorow": "tomorrow",
    "tommorrow": "tomorrow", "tommarow": "tomorrow", "tomorrows": "tomorrow", "tmrrw": "tomorrow", "2moro": "tomorrow",
    "2day": "today", "todays": "today", "tday": "today", "yday": "yesterday", "yest": "yesterday",
    "yesterdays": "yesterday", "tonite": "tonight", "2nite": "tonight", "tonigt": "tonight", "midnite": "midnight",
    "wkend": "weekend", "wknd": "weekend", "wknds": "weekends", "wkends": "weekends", "weekned": "weekend",
    "o'clock": "oclock", "o clock": "oclock", "oclock": "oclock", "o' clock": "oclock",
    "afternon": "afternoon", "afternoom": "afternoon", "morining": "morning", "mornign": "morning",
    "eveing": "evening", "evning": "evening", "comming": "coming", "everyday's": "everyday", "evry": "every",
    "wendsday": "wednesday", "wensday": "wednesday", "wendesday": "wednesday", "wensdays": "wednesdays",
    "wedsnesday": "wednesday", "thersday": "thursday", "tuseday": "tuesday", "teusday": "tuesday",
    "begining": "beginning", "minuts": "minutes", "minuets": "minutes", "huors": "hours", "weeek": "week",
    "fourty": "forty", "fith": "fifth", "twelth": "twelfth", "nineth": "ninth", "ninty": "ninety", "eigth": "eighth",
}  # fmt: skip
# Long names that no other word is near to.
_NAMES = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "september",
    "october", "november", "december", "tomorrow", "yesterday",
)  # fmt: skip
# Of shorter names a wrong letter makes other words: "sundae", "sundry".
_SHORT = 6


def right(word: str) -> str:
    """The word that is meant: itself, a known misspelling's, or the name that it misses by one letter."""
    known = SPELLINGS.get(word)
    if known is not None:
        return known
    if _SHORT - 1 <= len(word) <= 10 and word[0] in "mtwfsjondy":
        return _near(word)
    return word


def _near(word: str) -> str:
    for shorter in {word, *_shorter(word)}:
        for name in _index().get(shorter, ()):
            if word[0] == name[0] and _is_slip(word, name):
                return name
    return word


@cache
def _index() -> dict[str, list[str]]:
    """By each name and each name without one of its letters (W. Garbe's symmetric deletes, 2012)."""
    index: dict[str, list[str]] = {}
    for name in _NAMES:
        for shorter in {name, *_shorter(name)}:
            index.setdefault(shorter, []).append(name)
    return index


def _shorter(word: str) -> list[str]:
    return [word[:cut] + word[cut + 1 :] for cut in range(len(word))]


def _is_slip(word: str, name: str) -> bool:
    """One letter left out, put in, changed, or two beside one another exchanged. A plural is no slip."""
    if word == name + "s":
        return False
    if len(word) != len(name):
        return abs(len(word) - len(name)) == 1
    at = next(place for place in range(len(name)) if word[place] != name[place]) if word != name else 0
    if word[at] + word[at + 1 : at + 2] == name[at + 1 : at + 2] + name[at] and word[at + 2 :] == name[at + 2 :]:
        return True
    return word[at + 1 :] == name[at + 1 :] and (len(name) > _SHORT or word == name)
