"""From text to words, and from single words to what they may mean.

Knows spelling ("tmrw", "wknd") and numbers in words; knows no grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from . import holidays, numbers, spelling, zones
from .chart import Phrase
from .meaning import (
    FEAST,
    IN_MONTH,
    SEASON,
    SPAN,
    WEEKDAY,
    Context,
    Num,
    Time,
    Word,
    latent,
    time_of_day,
)
from .notations import NOTATIONS
from .periods import months, seasons
from .periods import weekdays as every_weekday
from .periods import weekends as every_weekend
from .series import DAY, HOUR, MINUTE, MONTH, QUARTER, SECOND, WEEK, YEAR, Yearly

# What is read of a text: no request is longer, and a text pasted in ends here, at a white space.
MAX_CHARACTERS = 4000
_TOKEN = re.compile(r"o'? ?clock|[ap]\.\s?m\b\.?|a\.d\.|b\.c\.(?:e\.)?|e\.o\.[dmy]\.?|[a-z]+|'s\b|\d+|\S", re.ASCII)
_ABBREVIATIONS = frozenset([
    "mon", "tue", "tues", "wed", "weds", "thu", "thur", "thurs", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "st", "jr", "min", "mins", "sec", "secs", "hr", "hrs", "wk",
    "wks", "mo", "mos", "yr", "yrs", "approx", "p", "a", "pm", "am",
])  # fmt: skip
WEEKDAYS = {
    "monday": 0, "mon": 0, "mondays": 0, "tuesday": 1, "tue": 1, "tues": 1, "tuesdays": 1, "wednesday": 2, "wed": 2,
    "weds": 2, "wednesdays": 2, "wednesdy": 2, "wensday": 2, "thursday": 3, "thu": 3, "thur": 3, "thurs": 3,
    "thursdays": 3,
    "friday": 4, "fri": 4, "fridays": 4, "saturday": 5, "sat": 5, "saturdays": 5, "sunday": 6, "sun": 6, "sundays": 6,
}  # fmt: skip
MONTHS = {
    "january": 1, "jan": 1, "february": 2, "feb": 2, "febuary": 2, "march": 3, "mar": 3, "april": 4, "apr": 4, "may": 5,
    "june": 6, "jun": 6, "july": 7, "jul": 7, "august": 8, "aug": 8, "september": 9, "sept": 9, "sep": 9,
    "october": 10, "oct": 10, "november": 11, "nov": 11, "december": 12, "dec": 12,
}  # fmt: skip
UNITS = {
    "second": SECOND, "seconds": SECOND, "sec": SECOND, "secs": SECOND, "minute": MINUTE, "minutes": MINUTE,
    "min": MINUTE, "mins": MINUTE, "hour": HOUR, "hours": HOUR, "hr": HOUR, "hrs": HOUR,
    "day": DAY, "days": DAY, "week": WEEK, "weeks": WEEK, "wk": WEEK, "wks": WEEK, "month": MONTH, "months": MONTH,
    "mo": MONTH, "mos": MONTH, "mth": MONTH, "mths": MONTH, "quarter": QUARTER, "quarters": QUARTER, "qtr": QUARTER,
    "qtrs": QUARTER, "year": YEAR, "years": YEAR, "yr": YEAR, "yrs": YEAR,
}  # fmt: skip
LETTER_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK, "y": YEAR, "'": MINUTE, '"': SECOND}
SEASONS = {"spring": 0, "summer": 1, "autumn": 2, "fall": 2, "winter": 3}
# Words that mean other things at least as often.
_WEAK = frozenset(["may", "march", "sun", "sat", "wed", "mon", "fri", "spring", "fall", "mar", "dec", "second", "weds"])
_CLASSES: dict[str, tuple[str, ...]] = {
    "AMPM": ("am", "pm"),
    "NEXT": ("next", "upcoming", "coming", "following", "nxt", "subsequent"),
    "LAST": ("last", "past", "previous", "prior", "preceding"),
    "ABOUT": ("about", "around", "approximately", "approx", "circa", "roughly", "near", "exactly", "precisely",
              "almost", "nearly", "just"),
    "TO": ("to", "till", "til", "until", "thru", "through", "-", "–", "—", "~", "untill"),
    "EVERY": ("every", "each", "evry", "ev"),
    "AGO": ("ago", "back", "earlier"),
}  # fmt: skip
# "afternoonish"
_VAGUE_ENDS = frozenset(
    ["morning", "noon", "afternoon", "evening", "night", "midnight", "lunch", "dinner", "early", "late"]
)
_GREETINGS = ("good", "gud")
_GREETED = frozenset(["morning", "afternoon", "evening", "night", "day"])
# A number before one of these counts something else than time.
_OTHER_UNITS = frozenset([
    "percent", "pct", "dollars", "dollar", "usd", "euro", "euros", "eur", "pounds", "gbp", "km", "kilometers",
    "kilometres", "miles", "mile", "kg", "kilos", "degrees", "degree", "meters", "metres", "cm", "mm", "inches",
    "inch", "feet",
    "ft", "lb", "lbs", "mb", "gb", "kb", "tb", "people", "persons", "adults", "adult", "children", "times",
])  # fmt: skip
# Figures joined by hyphens that are neither a date nor a range: telephone and account numbers.
_HYPHENATED = re.compile(r"\d+(?:-\d+)+", re.ASCII)
_HYPHENATED_TIME = re.compile(
    r"\d{4}-\d{1,2}(-\d{1,2})?|\d{1,2}-\d{1,2}(-(\d{4}|\d{2}))?|\d{1,2}-\d{4}|\d{4}-\d{4}|\d{3}-\d{3}|\d{1,2}-\d{3}"
)


class Tokens(NamedTuple):
    words: list[str]
    starts: list[int]
    ends: list[int]
    text: str


def tokenise(text: str) -> Tokens:
    """Words, runs of digits and single signs, in lower case; a full stop after an abbreviation is part of it."""
    if len(text) > MAX_CHARACTERS:
        cut = text.rfind(" ", 0, MAX_CHARACTERS)
        text = text[: cut if cut > 0 else MAX_CHARACTERS]
    lowered = text.lower()
    if len(lowered) != len(text):
        # A few letters grow in lower case; spans must stay those of the given text.
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    lowered = lowered.replace("’", "'").replace("‘", "'").replace("−", "-").replace("”", '"').replace("“", '"')
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(lowered):
        word = match.group()
        if word == "." and words and words[-1] in _ABBREVIATIONS and ends[-1] == match.start():
            continue
        if len(word) > 1 and "." in word:
            word = re.sub(r"[.\s]", "", word)
        if words and words[-1] in _GREETINGS and word in _GREETED:
            # "good morning" greets; it says no time.
            word = f"good {word}"
        elif word in ("a", "an") and words and words[-1] in ("twice", "thrice", "times"):
            # "twice a day" is no duration.
            word = "per"
        elif word.endswith("ish") and word[:-3] in _VAGUE_ENDS:
            word = word[:-3]
        words.append(spelling.right(word))
        starts.append(match.start())
        ends.append(match.end())
    return Tokens(words, starts, ends, lowered)


Lexical = list[list[tuple[tuple[str, ...], Phrase]]]


def look_up(tokens: Tokens, context: Context) -> Lexical:
    """Per word, the phrases that begin there."""
    words = tokens.words
    table = _table()
    lexical: Lexical = []
    blobs = [m for m in _HYPHENATED.finditer(tokens.text) if not _HYPHENATED_TIME.fullmatch(m[0])]
    dead = {position for blob in blobs for position in range(*blob.span())}
    at_char = {start: index for index, start in enumerate(tokens.ends, 1)}
    for index, word in enumerate(words):
        found: list[tuple[tuple[str, ...], Phrase]] = [((word,), Phrase(index + 1, None, 0.0))]
        if word in numbers.VULGAR:
            found.append((("NUM",), Phrase(index + 1, Num(numbers.VULGAR[word], -1), 0.5)))
        if word[0].isdigit():
            if not word.isascii() or tokens.starts[index] in dead:
                lexical.append([])
                continue
            found.extend(_figures(tokens, index, context, at_char))
        else:
            glued = (
                word.isalpha()
                and index > 0
                and tokens.starts[index] == tokens.ends[index - 1]
                and words[index - 1].isalpha()
            )
            if not glued:
                found.extend((cats, Phrase(index + 1, value, score)) for cats, value, score in table.get(word, ()))
                found.extend(_spoken(words, index))
        if word in zones.FIRST_WORDS or word in "+-":
            found.extend(_zones(tokens, index, at_char))
        found.extend(_feasts(words, index))
        lexical.append(found)
    return lexical


@cache
def _table() -> dict[str, list[tuple[tuple[str, ...], Any, float]]]:
    table: dict[str, list[tuple[tuple[str, ...], Any, float]]] = {}

    def put(word: str, value: Any, score: float, *cats: str) -> None:
        table.setdefault(word, []).append((cats, value, score))

    for word, number in WEEKDAYS.items():
        cats = ("TIME", "DAY", "DOW", "KIND")
        day = Time(every_weekday(number), DAY, WEEKDAY, cats, immediate=False, number=number, weak=word in _WEAK)
        if word.endswith("days"):
            put(word, Word(number, word), 0.0, "DOWS")
            put(word, day, 0.0, "KIND")
            continue
        put(word, day, 0.0, *cats)
        put(word, Word(number, word), 0.0, "DOWNAME")
    for word, number in MONTHS.items():
        month = Time(months(number), MONTH, IN_MONTH, number=number, weak=word in _WEAK)
        put(word, month, 0.0, "TIME", "MONTH", "PERIOD", "KIND")
    for word, grain in UNITS.items():
        put(word, Word(grain, word), 0.0, "UNIT")
    for word, grain in LETTER_UNITS.items():
        put(word, Word(grain, word), 0.0, "LETTER")
    for word, which in SEASONS.items():
        season = Time(seasons(which), DAY, SEASON, number=which, weak=word in _WEAK)
        put(word, season, 0.0, "TIME", "SEASON", "PERIOD", "KIND")
    weekend = Time(every_weekend(), HOUR, SPAN)
    put("weekend", weekend, 0.0, "TIME", "WEEKEND", "KIND")
    put("weekends", weekend, 0.0, "KIND")
    for category, members in _CLASSES.items():
        for number, word in enumerate(members):
            put(word, Word(number, word) if category == "AMPM" else None, 0.0, category)
    return table


def _figures(
    tokens: Tokens, index: int, context: Context, at_char: dict[int, int]
) -> Iterator[tuple[tuple[str, ...], Phrase]]:
    """What begins with a digit."""
    text, start = tokens.text, tokens.starts[index]
    before = text[start - 1] if start else " "
    if index > 1 and tokens.words[index - 1] in ("by", "x") and tokens.words[index - 2].isdigit():
        # "4 by 4"
        return
    if (
        (index and tokens.words[index - 1] in "$€£¥#")
        or before in "+=&"
        or (index + 1 < len(tokens.words) and tokens.words[index + 1] in _OTHER_UNITS)
        or (
            before in ".,:/"
            and start > 1
            and text[start - 2].isdigit()
            and not (before == "/" and tokens.ends[index] - start == 4)
        )
    ):
        # Inside of a longer figure; but a range "9-11" and a list "9, 11" begin anew.
        return
    if before.isalpha():
        word = tokens.words[index - 1]
        if word not in MONTHS and word not in ("q", "at", "in", "t", "h") and tokens.text[start - 1] != "'":
            return
        if word == "h":
            return
    for pattern, build in NOTATIONS:
        match = pattern.match(text, start)
        if match is None:
            continue
        end = at_char.get(match.end())
        if end is None:
            continue
        for cats, value, score in build(match, context):
            yield cats, Phrase(end, value, score)


def _spoken(words: list[str], index: int) -> Iterator[tuple[tuple[str, ...], Phrase]]:
    """Numbers in words."""
    word = words[index]
    if word in numbers.ORDINALS or word in numbers.TENS:
        found = numbers.ordinal(words, index)
        if found is not None:
            yield ("ORD",), Phrase(found[1], Num(found[0], 0), 0.0)
    if word in numbers.UNITS or word in numbers.TENS:
        if word in ("nil", "naught", "nought"):
            return
        cardinal = numbers.cardinal(words, index)
        if cardinal is not None:
            value, end = cardinal
            yield ("NUM",), Phrase(end, Num(value, 0), 0.0)
            if end > index + 1 and value < 100 and words[index + 1] != "-":
                yield ("NUM",), Phrase(index + 1, Num(numbers.TENS.get(word, 0), 0), -1.0)
            if value < 24:
                yield ("LTOD",), Phrase(end, latent(time_of_day(value, twelve=0 < value <= 12)), 0.0)
            if 1000 <= value < 3000:
                yield ("SPOKENYEAR",), Phrase(end, Num(value, 4), 0.0)
            elif 10 <= value < 100 and end < len(words):
                # "nineteen eighty four", "twenty twenty", "nineteen oh five"
                follow = end + 1 if words[end] == "-" else end
                rest = numbers.cardinal(words, follow) if follow < len(words) else None
                if rest is not None and 10 <= rest[0] < 100:
                    yield ("SPOKENYEAR",), Phrase(rest[1], Num(value * 100 + rest[0], 4), 0.0)
                elif words[follow : follow + 1] in (["oh"], ["o"]) and follow + 1 < len(words):
                    rest = numbers.cardinal(words, follow + 1)
                    if rest is not None and rest[0] < 10:
                        yield ("SPOKENYEAR",), Phrase(rest[1], Num(value * 100 + rest[0], 4), 0.0)
                elif words[end] == "hundred":
                    yield ("SPOKENYEAR",), Phrase(end + 1, Num(value * 100, 4), 0.0)
    vague = {"couple": 2, "few": 3, "several": 3, "some": 3, "dozen": 12}.get(word)
    if vague is not None:
        first = index
        end = first + 2 if words[first + 1 : first + 2] == ["of"] else first + 1
        yield ("VAGUE",), Phrase(end, Num(vague, -1), 0.0)


def _feasts(words: list[str], index: int) -> Iterator[tuple[tuple[str, ...], Phrase]]:
    for end, holiday in holidays.match(words, index):
        days = Yearly(holiday.find)
        cats = ("TIME", "HOLIDAY", "KIND", *(() if holiday.is_interval else ("DAY",)))
        time = Time(days, holiday.grain, FEAST | (SPAN if holiday.is_interval else 0), cats, weak=holiday.weak)
        yield cats, Phrase(end, time, 0.5)


def _zones(tokens: Tokens, index: int, at_char: dict[int, int]) -> Iterator[tuple[tuple[str, ...], Phrase]]:
    if tokens.words[index] in "+-":
        match = _OFFSET.match(tokens.text, tokens.starts[index])
        clock = index > 1 and tokens.ends[index - 1] == tokens.starts[index] and tokens.words[index - 2] == ":"
        end = at_char.get(match.end()) if match and clock else None
        if match and end is not None:
            minutes = int(match[2]) * 60 + int(match[3])
            yield ("ZONE",), Phrase(end, zones.fixed(-minutes if match[1] == "-" else minutes), 0.0)
        return
    for end, place, zone in zones.match(tokens.words, index):
        yield ("PLACE" if place else "ZONE",), Phrase(end, zone, 0.0)


_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)(?!\d)")
