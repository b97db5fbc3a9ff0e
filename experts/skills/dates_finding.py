"""Which day that is: "what weekday was 14 July 1789", "the last Friday of next month", "first business day of July"."""

from __future__ import annotations

import re
from datetime import date, timedelta

from ..values import Abstention, Answer, Json, Outcome, Structured
from . import dates_holidays
from .dates_reading import WEEKDAY, Asked, Stretch, stretch
from .holiday_calendar import working_day
from .timex import TimeError
from .timex.numbers import find_number, ordinal
from .wording import WEEKDAYS, spell_date

# The Gregorian calendar begins then; days before it are reckoned by the same rules.
_GREGORIAN = date(1582, 10, 15)

_LEAD = re.compile(
    r"^(?:(?:hey|hi|ok|okay|so|and|please|tell me|do you know|can you tell me|could you tell me|"
    r"i wonder|give me)[, ]+)*"
    r"(?:on |in )?(?:(?:what|which)(?:'s| is)? (?:the )?(?:exact )?(?:week ?day|day of the week|date|"
    r"day)(?: of the week)?|"
    r"what(?:'s|s)? (?:is |was )?the (?:date|day|weekday)(?: of| for)?|when|when's|whens|"
    r"(?:the )?(?:date|day of the week|weekday) (?:of|for)|what is|what's|whats|what was)\b"
    r"(?:(?: is| was| will| does| did| do| are| were|'s| of| on)\b)*\s*"
)
_END = re.compile(
    r"\s*\b(?:be|fall|falls|fell|fall on|falls on|fell on|land on|come|land|happen|on what day|begin|"
    r"start|this time|held|celebrated|"
    r"please|which date(?: is that)?|what date(?: is that)?)\W*$"
)
_HOLDS = re.compile(
    rf"^(?:is|was|does|did|will) (?P<x>.+?) (?:be |fall |come |land )?(?:on |in )?(?:an? |"
    rf"the )?(?P<day>{WEEKDAY}|weekend|week ?day)"
    r"(?P<rest> (?:this|next|last) year| in \d{4})?$"
)
_NEXT_TIME = re.compile(
    rf"\b(?:next|first) (?:time|year)\b.*?\b(?P<x>[a-z].*?) (?:is|falls|lands|will be|"
    rf"comes)(?: on)? (?:an? )?(?P<day>{WEEKDAY})$"
)
_WORKING = re.compile(
    r"\b(?P<nth>first|second|third|fourth|fifth|last|1st|2nd|3rd|\dth) (?:working|business|"
    r"work)[ -]?day (?:of|in) (?P<x>.+)$"
)
_VERB = re.compile(
    r"\b(?:fall|falls|fell|begin|begins|began|start|starts|land|lands|come|comes)\b(?= (?:this|next|last|in|on)\b|$)"
)
_TODAY = frozenset(
    ["", "it", "today", "tomorrow", "yesterday", "now", "it today", "it now", "it tomorrow", "today's", "this", "that"]
)


def find(asked: Asked) -> Outcome | None:
    """ "what weekday was 14 July 1789", "the second Thursday after Easter", "does Christmas fall on a weekend"."""
    lower = asked.lower.rstrip(" ?.!")
    if found := _WORKING.search(lower):
        return _working_day_of(asked, found)
    if found := _NEXT_TIME.search(lower):
        return _next_time(asked, found["x"], found["day"])
    if found := _HOLDS.search(lower):
        named = stretch(asked, found["x"] + (found["rest"] or ""), alone=True) if found["x"] not in _TODAY else None
        if named is None or not named.is_day:
            return None
        return _holds(asked, named.first, found["day"])
    lead = _LEAD.match(lower)
    phrase = lower[lead.end() :] if lead else lower
    for _ in range(2):
        phrase = _END.sub("", phrase).strip()
    phrase = _VERB.sub("", phrase)
    if (
        phrase in _TODAY
        or re.match(r"(?:today|tomorrow|yesterday)'?s?\b", phrase)
        or (not lead and asked.query.intent not in ("", "find"))
    ):
        return None
    back = lead is not None and re.search(r"\b(?:was|did|were)\b", lead.group()) is not None
    named = stretch(asked, phrase, back=back, alone=True)
    if (
        named is None
        or named.grain in ("year", "month", "quarter")
        or (named.is_day and named.first == asked.today and not lead)
    ):
        return None
    if not lead and _bare(lower, named.words):
        return None
    if re.search(
        r"\b(?:mothering|mother'?s|father'?s) day\b|\bthanksgiving\b|\blabou?r day\b|\bindependence day\b", phrase
    ):
        return dates_holidays.named(asked, phrase, named)
    if not named.is_day:
        return _told_stretch(named)
    return told_day(asked, named.first)


def _bare(lower: str, words: str) -> bool:
    """A time alone, without a question, is answered where it takes working out: "second Thursday after Easter"."""
    return len(lower) > len(words) + 12 or not re.search(
        r"\b(?:after|before|of|in|from|ago|next|last)\b", words.lower()
    )


def told_day(asked: Asked, day: date) -> Answer:
    week = day.isocalendar()
    data: dict[str, Json] = {
        "topic": "date", "date": day.isoformat(), "weekday": WEEKDAYS[day.weekday()], "week": week.week,
        "days": (day - asked.today).days,
    }  # fmt: skip
    verb = "is" if day >= asked.today else "was"
    note = " (in today's calendar, reckoned back)" if day < _GREGORIAN else ""
    return Answer(f"That {verb} {spell_date(day)}{note}.", Structured(data))


def _told_stretch(named: Stretch) -> Answer:
    data: dict[str, Json] = {
        "topic": "date", "date": named.first.isoformat(), "weekday": WEEKDAYS[named.first.weekday()],
        "from": named.first.isoformat(), "to": named.last.isoformat(),
    }  # fmt: skip
    return Answer(f"That is from {spell_date(named.first)} to {spell_date(named.last)}.", Structured(data))


def _holds(asked: Asked, day: date, wanted: str) -> Answer:
    weekday = WEEKDAYS[day.weekday()]
    is_end = day.weekday() >= 5
    holds = (
        is_end
        if wanted == "weekend"
        else not is_end
        if wanted.replace(" ", "") == "weekday"
        else weekday.lower() == wanted
    )
    verb = "is" if day >= asked.today else "was"
    data: dict[str, Json] = {"topic": "date", "date": day.isoformat(), "weekday": weekday, "holds": holds}
    return Answer(f"{'Yes' if holds else 'No'}: that {verb} {spell_date(day)}.", Structured(data))


def _next_time(asked: Asked, phrase: str, wanted: str) -> Outcome | None:
    """The first year from now on in which a day of the year is that weekday; twelve are looked through."""
    phrase = re.sub(r"^(?:that |when |the )", "", phrase)
    for year in range(asked.today.year, min(asked.today.year + 13, 9999)):
        try:
            named = stretch(asked, f"{phrase} {year}")
        except TimeError:
            # 29 February of a year that has none.
            continue
        if named is None or not named.is_day:
            return None
        if named.first > asked.today and WEEKDAYS[named.first.weekday()].lower() == wanted:
            return told_day(asked, named.first)
    return Abstention("that does not come about within twelve years", "unsure")


def _working_day_of(asked: Asked, found: re.Match[str]) -> Outcome | None:
    period = stretch(asked, found["x"].removesuffix(" please"))
    if period is None or period.is_day:
        return None
    place = dates_holidays.place(asked)
    if found["nth"] == "last":
        day = working_day(place, period.last + timedelta(days=1), -1)
    else:
        number = find_number(found["nth"])
        spoken = ordinal([found["nth"]], 0)
        day = working_day(
            place, period.first - timedelta(days=1), spoken[0] if spoken else int(number.value) if number else 1
        )
    if not period.first <= day <= period.last:
        return Abstention("that time has not so many working days", "unsure")
    data: dict[str, Json] = {
        "topic": "date",
        "date": day.isoformat(),
        "weekday": WEEKDAYS[day.weekday()],
        "country": place.code if place else None,
    }
    note = f"without the public holidays of {place.name}" if place else "Monday to Friday, no public holidays left out"
    return Answer(f"That is {spell_date(day)} ({note}).", Structured(data))
