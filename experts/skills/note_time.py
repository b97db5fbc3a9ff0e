"""When the notes that a sentence means were written: "my notes from last week". A note may be about a time, too."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ..values import Query
from .timex import Resolution, TimeError, localise, resolve_all

_DAYS = re.compile(
    r"\b(?:to-?day|tonight|yesterday|week(?:end)?s?|months?|years?|days?|morning|afternoon|evening|night|(?:mon|tues|"
    r"wednes|"
    r"thurs|fri|satur|sun)day|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*)\b|\d[./-]\d|\d{4}|\bhours?\b",
    re.IGNORECASE,
)
_BEFORE_SPAN = re.compile(r"\b(?:from|of|since|on|in|during|after)\s*$", re.IGNORECASE)


def find_written(query: Query, *, anywhere: bool = False) -> tuple[datetime, datetime, str] | None:
    """The time at which the notes that are meant were written, and its words; None where it names none.

    anywhere: a time in the midst of the sentence counts too; otherwise one at its end alone, since a note may be about
    a time.
    """
    text = query.text[:400].replace("’", "'")
    if not _DAYS.search(text):
        return None
    try:
        groups = resolve_all(text, query.now, query.zone, query.locale)
    except (TimeError, OverflowError):
        return None
    for readings in groups:
        start, end = readings[0].span
        words = text[start:end]
        if not _DAYS.search(words) or not (anywhere or not text[end:].strip(" .?!,")):
            continue
        if (
            not anywhere
            and not _BEFORE_SPAN.search(text[:start])
            and not re.match(r"from|since|of|yesterday|to-?day|last|this", words, re.IGNORECASE)
        ):
            continue
        reading = readings[0]
        if reading.end is None and words.lower().startswith("from "):
            # "The notes from last week" are not those since then.
            inner = resolve_all(words[5:], query.now, query.zone, query.locale)
            reading = inner[0][0] if inner else reading
        found = _past(reading, query)
        if found is not None:
            return *found, words
    return None


def written_words(query: Query) -> str:
    span = find_written(query)
    return f"from {span[2]}".replace("from from", "from").replace("from since", "since") if span else ""


def _past(reading: Resolution, query: Query) -> tuple[datetime, datetime] | None:
    """A stretch of time that has begun; of a bare weekday or month, the last one."""
    if reading.recurrence is not None or reading.duration is not None:
        return None
    start, end = reading.start, reading.end
    now = query.now.astimezone(query.zone)
    if start is None or end is None:
        return None if start is None or start > now else (start, now + timedelta(seconds=1))
    if start > now:
        first, last = (each.astimezone(query.zone).replace(tzinfo=None) for each in (start, end))
        if reading.grain == "day" and start - now <= timedelta(days=7):
            first, last = first - timedelta(days=7), last - timedelta(days=7)
        elif reading.grain == "month":
            first, last = first.replace(year=first.year - 1), last.replace(year=last.year - 1)
        else:
            return None
        return localise(first, query.zone), localise(last, query.zone)
    return start, end
