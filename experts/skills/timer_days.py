"""Weekdays of what repeats: those that it leaves out, "every day at 7 except weekends", and those that it is called by,
"the weekday alarm". Knows no dates and no holidays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .timex import Recurrence

_WORKING, _WEEKEND, _ALL = frozenset(range(5)), frozenset((5, 6)), frozenset(range(7))
_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = (
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:days?)?|week-?ends?|week-?days?|"
    r"work(?:ing)?[ -]?days?)\b(?: (?:mornings?|afternoons?|evenings?|nights?)\b)?"
)
_DAYS = rf"{_DAY}(?:(?:,? (?:and|or|&) |, ?| ?[/&] ?)(?:on |the )?{_DAY})*"
_BUT = (
    r"except(?:ing|ed)?(?: for)?|with the exception of|but(?: not| for)?|apart from|aside from|other than|besides|"
    r"save for|excluding|excl\.?|unless"
)
_LEAVES_OUT = re.compile(
    rf"[\s,;(-]*\b(?:(?:and |just )?(?:{_BUT}|without|not|never|skip(?:ping)?|leav(?:e|ing) out|minus)\s+"
    rf"(?:(?:on|for|the|at|in|it is|it's|not|a|an|if|when) )*(?P<days>{_DAYS})|(?:with )?(?P<off>{_DAYS}) off\b)\)?",
    re.IGNORECASE,
)
_OTHER = re.compile(rf"\b(?:{_BUT})\s+(?P<what>\S.*)", re.IGNORECASE)
# In a reminder, "except" may belong to the task, but hardly before one of these.
_WHEN = re.compile(
    r"(?:(?:on|for|the|at|in|during|a|an|my|all) )*(?:\w+ )?(?:holidays?|vacations?|today|tomorrow|tonight|this|next|"
    r"weeks?|months?|days?|first|last|\d|if|when|while|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|christmas|"
    r"easter|i'm|i am|it's|it is)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An exception. span: where it stands. weekdays: Monday is 0; empty where it is about anything else."""

    span: tuple[int, int]
    weekdays: frozenset[int] = frozenset()


def find_left_out(text: str, kind: str = "") -> LeftOut | None:
    """What a sentence about something that repeats leaves out; None: nothing. A reminder's task may hold "but"."""
    if found := _LEAVES_OUT.search(text):
        return LeftOut(found.span(), _weekdays(found["days"] or found["off"]))
    other = _OTHER.search(text)
    if other is None or (kind == "reminder" and not _WHEN.match(other["what"])):
        return None
    return LeftOut(other.span())


def leave_out(rule: Recurrence, weekdays: frozenset[int]) -> Recurrence | None:
    """The rule without those days; None: it does not go by days, or no day is left."""
    if rule.frequency not in ("daily", "weekly") or not (rule.frequency == "daily" or rule.weekdays):
        return None
    left = tuple(sorted(days_of(rule) - weekdays))
    if not left:
        return None
    weekly = rule.frequency == "weekly" or rule.interval == 1
    return replace(rule, frequency="weekly" if weekly else "daily", weekdays=left)


def days_of(rule: Recurrence) -> frozenset[int]:
    """The weekdays on which it can come; empty for a rule of months, of years or of hours."""
    if rule.frequency == "daily":
        return frozenset(rule.weekdays) or _ALL
    return frozenset(rule.weekdays) if rule.frequency == "weekly" else frozenset()


_CALLED = re.compile(
    rf"\b(?P<days>{_DAY}|daily|every ?day)\s(?:\w+ ){{0,2}}?(?:alarms?|timers?|reminders?|wake[- ]?up|ones?)\b",
    re.IGNORECASE,
)


def called_by(text: str) -> frozenset[int]:
    """Of "the weekday alarm", Monday to Friday; empty where nothing is called by its days."""
    if (found := _CALLED.search(text)) is None or re.search(r"\b(?:next|this)\s$", text[: found.start()].lower()):
        return frozenset()
    return _ALL if found["days"].lower().startswith(("daily", "every")) else _weekdays(found["days"])


_LASTING = re.compile(
    r"\b(?:on|at) (?:the |any |all )?(?P<days>(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days|week-?ends|week-?days)\b"
    rf"(?:(?:,? (?:and|or|&) |, ?)(?:on )?{_DAY})*)",
    re.IGNORECASE,
)


def find_lasting(text: str) -> frozenset[int]:
    """Of "don't wake me on weekends", Saturday and Sunday: all of them, not the next ones; empty for none."""
    found = _LASTING.search(text)
    return frozenset() if found is None or re.search(r"\b(?:this|next)\b", text.lower()) else _weekdays(found["days"])


def _weekdays(words: str) -> frozenset[int]:
    lower = words.lower().replace("-", "")
    found: set[int] = set()
    if "weekend" in lower:
        found |= _WEEKEND
    if re.search(r"weekday|work", lower):
        found |= _WORKING
    found |= {_NAMES.index(name) for name in re.findall(rf"\b({'|'.join(_NAMES)})", lower)}
    return frozenset(found)
