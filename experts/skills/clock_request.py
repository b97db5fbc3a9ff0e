"""What the clock is asked for: the time, the date, a zone, a conversion or a difference; or what is not its own.

Knows the words of questions; answers none.
"""

from __future__ import annotations

import re

from ..values import Query
from .places import Place
from .timex import resolve_all

INTENTS = ("time", "date", "zone", "convert", "difference")
_TIME = re.compile(
    r"\btimes?\b|\bo'?clock\b|\bclock\b|\bhow late is it\b|\bwhat hour\b|\bis it (?:late|early|morning|night|noon)\b|"
    r"^now$"
)
WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DATE = re.compile(
    r"\b(?:date|dates)\b|\b(?:what|which|whats|what's) (?:is )?(?:the )?(?:current )?(?:week ?day|day|month|year|"
    r"quarter|week)\b|"
    r"\bday (?:is it|of the (?:week|month|year))\b|\bweek number\b|\bcalendar week\b|\b(?:is|was|will) .*\b(?:a |"
    rf"on a ){WEEKDAY}\b|"
    r"\btoday\b.*\bday\b|\bweekday\b|\bday is (?:it|today)\b|\b(?:is|was) (?:it|today|tomorrow|yesterday) "
    rf"(?:already |still |a )?{WEEKDAY}\b|\bwhat'?s today\b|"
    r"\bwhat is today\b"
)
_DIFFERENCE = re.compile(
    r"\btime ?(?:zone)? (?:difference|gap|offset)\b|\bdifference\b.*\btime\b|\b(?:hours?|far|much|"
    r"time)\b.*\b(?:ahead|behind|apart)\b|"
    r"\b(?:ahead|behind|earlier|later)\b.*\b(?:of|than)?\b|\bhours? (?:are |is |lie )?(?:between|difference)\b|"
    r"\btime difference\b"
)
_ZONE = re.compile(
    r"\btime ?zones?\b|\b(?:utc|gmt) offset\b|\boffset\b.*\b(?:utc|gmt)\b|\b(?:summer|daylight|winter) (?:saving |"
    r"savings )?time\b|"
    r"\bdaylight savings?\b|\bdst\b"
)
_NOT_MINE = re.compile(
    r"\b(?:timers?|alarms?|remind\w*|wake me|schedule|meeting|appointment|flight|movie|train|bus|game|match|open|"
    r"opens|opening|"
    r"close[sd]?|closing|sunrise|sunset|weather|forecast|complexity|prime time|save the date|dates? (?:fruit|palm)|"
    r"how long|how many (?:days|weeks|months|years|minutes|seconds)|history|once upon|best time|first time|last time|"
    r"next time|"
    r"birthday|release[sd]?|deliver\w*|arriv\w*|leav\w*|due|cook\w*|take|takes|half ?time|overtime|show ?time|"
    r"real ?time|"
    r"weekends?|until|till|changes?|clocks? (?:go|move|turn)(?:es|s)? (?:back|forwards?|ahead)|"
    r"tide|prayer|kick ?off|start|starts|begin|begins|end|ends|countdown)\b|^\W*(?:please )?(?:delete|set|change|"
    r"cancel|snooze)\b"
)
IS_IT = re.compile(
    r"\W*(?:(?:hey|so|and|ok|okay)\W+)*(?:is|was|will)\s+(?P<day>.*?)\s*\b(?:be )?(?:already |still |on )?(?:a )?"
    rf"(?<!next )(?<!last )(?<!this )(?P<name>{WEEKDAY})\b(?P<rest>.*)"
)
# Questions of the calendar, whatever day they name.
_UNITS = r"(?:days?|weeks?|months?|years?)"
_CALENDAR = re.compile(
    r"\b(?:day|week|month)s? of (?:the|this|next|last) (?:year|quarter)\b|\bday number\b|\bordinal day\b|"
    r"\b(?:\w+th|first|second|third|last|next) (?:day|weekday|week|month|date)\b|\b\d{1,2}(?:st|nd|rd|th)\b|"
    r"\b(?:in|of|does|dates?|start\w*) (?:the )?(?:iso |calendar )?week (?:no\.? |number )?\d|"
    rf"\b{_UNITS} (?:until|till|between|before|after|since|from|left|remain\w*|ago|past|passed|later|hence)\b|"
    r"\b(?:until|till|between|before|after|since) (?:now|today|tomorrow)\b|"
    rf"\b{_UNITS} (?:have|has|does)\b|\bha(?:ve|s) \d+ {_UNITS}\b|\bday off\b|"
    r"\b(?:plus|minus|add|subtract)\b|\bholidays?\b|\bleap\b|\bq[1-4]\b|\bborn\b"
)
# The days that are the clock's own, in the words of an expression that `timex` finds.
_PRESENT = re.compile(
    r"(?:(?:on|for|of|in|the|right|just|as of|date|day|late|later|early|all) )*(?:now|todays?|todays? date|"
    r"today's date|date today|the current date|current date|tonight|tomorrow|yesterday|asap|present|"
    r"(?:this|current|present) (?:very )?(?:moment|instant|time|day|date|week|month|year|quarter|morning|afternoon|"
    r"evening|weekday)|at the (?:moment|minute)|last night|(?:tomorrow|yesterday|today) (?:morning|afternoon|evening|"
    r"night))\W*"
)

_CLOCK_TIME = (
    r"\bconvert\b|\d ?(?:[ap]m|h|o'?clock)\b|\d:\d\d|\bnoon\b|\bmidnight\b|\b(?:half|quarter) (?:past|to)\b|"
    r"\bin the (?:morning|afternoon|evening)\b|\bo'?clock\b"
)


def topic_of(lower: str, intent: str, places: list[Place]) -> str | None:
    """One of INTENTS; None: the text is not for the clock. intent: the router's guess, or ""."""
    if _NOT_MINE.search(lower) or (re.search(r"\bbetween\b", lower) and not places):
        return None
    if _DIFFERENCE.search(lower) and places:
        return "difference"
    if intent == "time" and not places and _DATE.search(lower) and not _TIME.search(lower):
        return "date"
    if intent in INTENTS:
        return intent
    if _ZONE.search(lower):
        return "zone"
    if places and re.search(_CLOCK_TIME, lower):
        return "convert"
    if _DATE.search(lower):
        return "date"
    return "time" if _TIME.search(lower) else None


def names_another_day(text: str, lower: str, places: list[Place], query: Query, topic: str) -> bool:
    """Whether the text names another day than yesterday, today and tomorrow, or counts with dates.

    Raises: TimeError for a date that cannot be.
    """
    if _CALENDAR.search(lower):
        return True
    asked = IS_IT.match(lower) is not None
    for best, *_ in resolve_all(without(text, places), query.now, query.zone, query.locale):
        # An hour or a minute of any day is a time; a bare length says no day.
        is_time = topic == "time" and best.recurrence is None and best.grain in ("second", "minute", "hour")
        if best.duration is not None or is_time:
            continue
        words = " ".join(text[slice(*best.span)].lower().split())
        if not _PRESENT.fullmatch(words) and not (asked and _IS_ASKED.fullmatch(words)):
            return True
    return False


# "is it monday", "was yesterday a saturday": the weekday that is asked about.
_IS_ASKED = re.compile(
    rf"(?:(?:already|still|on|a|today|tomorrow|yesterday),? )*(?:a )?{WEEKDAY}"
    r"(?:,? (?:already|today|tomorrow|yesterday|now|right now))?\W*"
)


def without(text: str, places: list[Place]) -> str:
    """The text with blanks for the places, so that spans hold in both."""
    blank = list(text)
    for place in places:
        blank[slice(*place.span)] = " " * (place.span[1] - place.span[0])
    return "".join(blank)
