"""When a timer, an alarm or a reminder is to go off: what `timex` reads, made one moment or one rule.

People leave out what is plain to them: who asks to be woken "at seven" means the morning, who wants to phone "on friday
at five" the afternoon. Knows nothing of what is set already.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from ..errors import QueryError
from ..journal import Rule
from ..values import Abstention
from .timer_days import LeftOut, days_of, find_left_out, leave_out
from .timex import Resolution, TimeError, find_duration, localise, resolve, resolve_all
from .wording import spell_date, spell_moment, spell_rule, spell_span

# A day without a time of day: when a reminder goes off.
_DEFAULT_HOUR = 9
_PARTS = {"morning": 9, "lunch": 12, "afternoon": 15, "evening": 19, "tonight": 20, "night": 21}
_SUB_DAILY = ("secondly", "minutely", "hourly")
_FARTHEST = {"timer": timedelta(days=366), "": timedelta(days=3660)}


@dataclass(frozen=True, slots=True)
class When:
    """due: aware, in the asker's zone. rule: where it repeats. span: where a mere length of time was given. note: what
    the asker should be told about it. spans: of the expressions in the text."""

    due: datetime
    spans: tuple[tuple[int, int], ...]
    rule: Rule | None = None
    span: timedelta | None = None
    note: str = ""


# --- Hours written in haste -------------------------------------------------------------------------------------------

_BARE_HOUR = re.compile(
    r"\b(?:for |at |by )?(?P<clock>\d{1,2}(?:[:.]\d\d)?) (?=(?:tomorrow|tmrw?|today|tonight|every|this|on|next|"
    r"in the|and)\b)",
    re.IGNORECASE,
)
_ALARM_HOUR = re.compile(
    r"\b(?P<before>alarms?|wake me up|wake me|get me up)(?: set)?(?: for| at)? (?P<hour>\d{1,2})"
    r"(?=$|[,.;!?]| (?:please|and|to|for|so|called|named)\b)",
    re.IGNORECASE,
)
_SECOND_HOUR = re.compile(r"(?P<before>(?:\band|,) )(?:for )?(?P<hour>\d{1,2})(?=$|[,.;!?])", re.IGNORECASE)
_FOUR_DIGITS = re.compile(
    r"(?P<before>\b(?:alarm|wake me(?: up)?|me)(?: for| at| to)? |\b(?:for|at) )(?P<hour>[01]\d|"
    r"2[0-3])(?P<minute>[0-5]\d)(?!\s*(?:min|sec|h))\b",
    re.IGNORECASE,
)
_THREE_DIGITS = re.compile(r"\b(?P<hour>1[0-2]|[1-9])(?P<minute>[0-5]\d) ?(?P<half>[ap]\.?m\b\.?)", re.IGNORECASE)
_ALL_DAYS = re.compile(r"\b(?:on )?all (?:the )?days\b(?: of the week\b)?", re.IGNORECASE)
# "A weekly reminder for monday" is one for every monday.
_WEEKLY = re.compile(r"\bweekly (?:\w+ )?(?:alarm|reminder)\b", re.IGNORECASE)
_ON_WEEKDAY = re.compile(r"\b(?:for|on) (?=(?:mon|tues|wednes|thurs|fri|satur|sun)day)", re.IGNORECASE)
# Where "10m5s" falls apart.
_RUN_TOGETHER = re.compile(r"(?<=\d[hm])(?=\d+(?:m|s|min|sec)\b)|(?<=\dmin)(?=\d+s(?:ec)?\b)", re.IGNORECASE)
# "Timers for 3 and 5 minutes": the unit counts for both.
_COUNT = r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|fifteen|twenty|thirty|forty|fifty|sixty)"
_SHARED_UNIT = re.compile(
    rf"\b(?P<number>{_COUNT})(?=(?:, {_COUNT})*,? (?:and|&) {_COUNT} (?P<unit>(?:second|sec|minute|min|hour|hr)s?)\b)",
    re.IGNORECASE,
)


def spelled_out(text: str) -> str:
    """The sentence with hours that are written in haste made plain: "alarm 0715", "for 7 tomorrow", "215pm"."""
    text = " ".join(text.replace("’", "'").split())
    text = _RUN_TOGETHER.sub(" ", text)
    if re.search(r"\btimers\b", text, re.IGNORECASE):
        text = _SHARED_UNIT.sub(r"\g<number> \g<unit>", text)
    text = _ALL_DAYS.sub("every day", text)
    if _WEEKLY.search(text):
        text = _ON_WEEKDAY.sub("every ", text)
    text = _THREE_DIGITS.sub(r"\g<hour>:\g<minute> \g<half>", text)
    text = _FOUR_DIGITS.sub(r"\g<before>\g<hour>:\g<minute>", text)
    text, count = _ALARM_HOUR.subn(r"\g<before> at \g<hour>", text)
    if count:
        text = _SECOND_HOUR.sub(r"\g<before>at \g<hour>", text)
    return _BARE_HOUR.sub(r"at \g<clock> ", text)


# --- When ------------------------------------------------------------------------------------------------------------

# Says which half of the day is meant; says on which day.
HALF_DAY = re.compile(
    r"\b(?:[ap]\.?m\b\.?|morning|afternoon|evening|night|tonight|noon|midday|midnight|lunch\w*|breakfast|dinner|hrs|"
    r"hours)|"
    r"\d ?[ap]m?\b|\b0\d|\b(?:1[3-9]|2[0-3])[:.h]?\d\d",
    re.IGNORECASE,
)
DATED = re.compile(
    r"\b(?:today|tonight|tomorrow|tmrw?|tmr|tomorow|tommorow|yesterday|mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|"
    r"may|jun|"
    r"jul|aug|sep|oct|nov|dec|next|this|day|week|month|year|in|\d+(?:st|nd|rd|th))|\d[/.-]\d+[/.-]|\d{4}-",
    re.IGNORECASE,
)
_HALF_OF_DAY = re.compile(r"\bin the (?=morning|afternoon|evening)")
_NAMES_HOUR = re.compile(
    r"\d|o'?clock|\b(?:past|quarter|half|noon|midday|midnight|one|two|three|four|five|six|seven|eight|nine|ten|"
    r"eleven|twelve)\b"
)
_JOINING = re.compile(
    r"\s*(?:\b(?:and|then|plus|another|one|a second|again|also|at|for|an?|other|alarm|set|,)\b|"
    r"[,&+])"
)


def find_when(text: str, kind: str, now: datetime, zone: ZoneInfo, locale: str = "en") -> When | Abstention | None:
    """When something is to go off; an abstention asks for what is missing; None: the text names no time.

    Raises: QueryError: TIME_IN_PAST, NO_SUCH_DATE, NO_SUCH_TIME, OUT_OF_RANGE.
    """
    now = now.astimezone(zone)
    found = find_duration(text)
    if found is not None and _NEGATIVE.search(text[: found[1][0]]):
        raise QueryError(
            f"minus {spell_span(found[0])} is before now; give a length of time above zero", reason="OUT_OF_RANGE"
        )
    left = find_left_out(text, kind)
    when = None if left is None else _without(left, text, kind, now, zone, locale)
    if when is None:
        when = _read(text, kind, now, zone, locale)
    if isinstance(when, When):
        _check_range(when, kind, now)
    return when


def _without(  # noqa: PLR0917 - the places of `_read`
    left: LeftOut, text: str, kind: str, now: datetime, zone: ZoneInfo, locale: str
) -> When | Abstention | None:
    """What repeats, but not on the days that are left out; None where the exception is none of that."""
    start, end = left.span
    # Blanks in its place: "every day except sunday at 7" is one time, and what follows stays where it is.
    when = _read(f"{text[:start]}{' ' * (end - start)}{text[end:]}", kind, now, zone, locale)
    if not isinstance(when, When):
        return when
    if when.rule is None:
        # "Tomorrow at 7, not friday"; in "tomorrow at 7 but not too loud", the exception is about something else.
        return when if left.weekdays else None
    recurrence = leave_out(when.rule.recurrence, left.weekdays) if left.weekdays else None
    if recurrence is None:
        days = days_of(when.rule.recurrence)
        why = 'Only weekdays can be left out, as in "every day at 7 except weekends"'
        if days and days <= left.weekdays:
            why = "No day would be left"
        return Abstention(f"{why}. Shall it be {spell_rule(when.rule.recurrence)}?", "needs_input")
    rule = replace(when.rule, recurrence=recurrence)
    return replace(when, due=recurrence.next_after(now, zone), rule=rule, spans=(*when.spans, left.span))


_NEGATIVE = re.compile(r"(?:(?:^|\s)[-−]|\b(?:minus|negative)\s+)$", re.IGNORECASE)


def _check_range(when: When, kind: str, now: datetime) -> None:
    if when.rule is not None:
        rule = when.rule.recurrence
        if rule.frequency == "secondly" and rule.interval < 60:
            raise QueryError(
                'what repeats does so once a minute at most; say "every minute" or longer', reason="OUT_OF_RANGE"
            )
    elif when.due - now > (farthest := _FARTHEST.get(kind, _FARTHEST[""])):
        most = "a timer runs for 1 year" if farthest is _FARTHEST["timer"] else "what is set lies 10 years ahead"
        raise QueryError(f"{most} at most; name a time that is nearer", reason="OUT_OF_RANGE")


def _read(text: str, kind: str, now: datetime, zone: ZoneInfo, locale: str) -> When | Abstention | None:
    if kind == "timer" and (found := find_duration(text)) is not None and found[0] > timedelta():
        return _after(found[0], (found[1],), now)
    try:
        groups = resolve_all(text, now, zone, locale)
        if not groups:
            return None
        joined = _joined(text, groups, now, zone, locale)
        readings = joined[0] if joined else max(groups, key=lambda readings: readings[0].score)
        read = _repeating if readings[0].recurrence is not None else _single
        words = text[slice(*readings[0].span)] if not joined else " ".join(text[slice(*span)] for span in joined[1])
        when = read(readings, words.lower(), text, kind, now)
        return replace(when, spans=joined[1]) if joined and isinstance(when, When) else when
    except TimeError as error:
        raise QueryError(str(error), reason=error.reason) from None
    except OverflowError:
        raise QueryError("that is beyond the calendar's end; name an earlier time", reason="OUT_OF_RANGE") from None


def find_several(text: str, kind: str, now: datetime, zone: ZoneInfo, locale: str = "en") -> list[When]:
    """The times of "alarms for 6:15 and 7 am": two or more clock times side by side, else []."""
    if kind == "reminder" or not re.search(r"\band\b|,|&|\bthen\b|\bplus\b", text):
        return []
    try:
        groups = resolve_all(text, now.astimezone(zone), zone, locale)
    except TimeError:
        return []
    spans = [readings[0].span for readings in groups]
    if len(spans) < 2 or not all(_JOINING.match(text[end:start]) for (_, end), (start, _) in pairwise(spans)):
        return []
    found = []
    for readings in groups:
        start, end = readings[0].span
        when = find_when(text[start:end], kind, now, zone, locale)
        if not isinstance(when, When) or when.rule is not None:
            return []
        found.append(replace(when, spans=((start, end),)))
    return found


def _after(span: timedelta, spans: tuple[tuple[int, int], ...], now: datetime) -> When:
    return When((now.astimezone(UTC) + span).astimezone(now.tzinfo), spans, span=span)


def _joined(
    text: str, groups: list[list[Resolution]], now: datetime, zone: ZoneInfo, locale: str
) -> tuple[list[Resolution], tuple[tuple[int, int], ...]] | None:
    """The readings of a day and a time that stand apart, "tomorrow, please, at seven", and where both stand."""
    if len(groups) != 2:
        return None
    first, second = (readings[0] for readings in groups)
    coarse = [each.grain not in ("second", "minute", "hour") or each.recurrence is not None for each in (first, second)]
    if coarse[0] == coarse[1]:
        return None
    day, clock = (first, second) if coarse[0] else (second, first)
    if clock.duration is not None or clock.exact is not None:
        return None
    words = text[slice(*clock.span)]
    sentence = f"{text[slice(*day.span)]} at {re.sub(r'^(?:at|for|by) ', '', words)}"
    readings = resolve(sentence, now, zone, locale)
    if not readings or readings[0].span[1] - readings[0].span[0] < len(sentence) - 1:
        return None
    return readings, (first.span, second.span)


def _repeating(readings: list[Resolution], words: str, text: str, kind: str, now: datetime) -> When | Abstention:
    reading, rule, zone = readings[0], readings[0].recurrence, now.tzinfo
    assert rule is not None and isinstance(zone, ZoneInfo)  # noqa: S101, PT018 - the caller looked
    note = reading.note
    if rule.frequency in _SUB_DAILY:
        if rule.anchor is None:
            rule = replace(rule, anchor=now.replace(tzinfo=None, microsecond=0))
    elif rule.hour is None or not _NAMES_HOUR.search(words):
        part = next((hour for word, hour in _PARTS.items() if word in words), None)
        if kind != "reminder":
            return Abstention("At what time of day?", "needs_input")
        rule = replace(rule, hour=_DEFAULT_HOUR if part is None else part)
        note = note or f"no time of day was given, so {rule.hour:02}:00"
    elif not HALF_DAY.search(text) and kind == "reminder" and 1 <= rule.hour <= 6:
        rule = replace(rule, hour=rule.hour + 12)
    if rule.interval > 1 and rule.anchor is None and reading.start is not None:
        rule = replace(rule, anchor=reading.start.astimezone(zone).replace(tzinfo=None))
    return When(rule.next_after(now, zone), (reading.span,), Rule(rule, zone), note=note)


def _single(readings: list[Resolution], words: str, text: str, kind: str, now: datetime) -> When | Abstention:
    best, zone = readings[0], now.tzinfo
    assert isinstance(zone, ZoneInfo)  # noqa: S101 - the caller made it so
    spans = tuple(dict.fromkeys(reading.span for reading in readings[:1]))
    if best.duration is not None:
        return _after(best.duration, spans, now) if best.duration > timedelta() else _how_long(kind)
    if best.exact is not None and best.exact >= now:
        return When(best.exact.astimezone(zone), spans, note=best.note)
    if best.is_interval and re.match(r"(?:by|before|until|till|til)\b", words) and best.end is not None:
        return _until(best, kind, now, zone, spans)
    if best.grain not in ("second", "minute", "hour"):
        return _on_day(best, kind, now, zone, spans)
    part = next((hour for word, hour in _PARTS.items() if word in words), None)
    if best.is_interval and part is not None and best.start is not None and not _NAMES_HOUR.search(words):
        if kind == "alarm":
            return Abstention(f"At what time {words}?", "needs_input")
        due = localise(datetime.combine(best.start.astimezone(zone).date(), time(part)), zone)
        if due <= now:
            due = max(due, _next_hour(now))
            part = due.hour
        return When(due, spans, note=best.note or f"no exact time was given, so {due:%H:%M}")
    candidates = [found for reading in readings if (found := _begins(reading)) is not None]
    future = [found.astimezone(zone) for found in candidates if found >= now - timedelta(seconds=1)]
    if not HALF_DAY.search(text) and not best.is_interval:
        future = _by_half_day(future or [candidates[0].astimezone(zone)], text, kind, now, zone)
    if not future:
        past = candidates[0].astimezone(zone)
        if not best.is_interval and not DATED.search(_HALF_OF_DAY.sub("", words)):
            # At 7:16 "7am" is of the hour that still lasts, but who wants to be woken means the next one.
            due = localise(datetime.combine(now.date() + timedelta(days=1), past.time()), zone)
            return When(due, spans, note=best.note)
        raise QueryError(
            f"that was at {spell_moment(past, now)}, {spell_span(now - past)} ago; give a time to come, such as "
            f'"tomorrow at {past:%H:%M}"',
            reason="TIME_IN_PAST",
        )
    return When(future[0], spans, note=best.note)


def _begins(reading: Resolution) -> datetime | None:
    """The moment that is meant; of "until five", five."""
    return reading.start if reading.start is not None else reading.last or reading.end


def _by_half_day(found: list[datetime], text: str, kind: str, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """Of a bare "at five", the five o'clock that people mean: they wake in the morning and phone in the afternoon.

    found: the parser's choices, the first the one it likes best; may be past.
    """
    first = found[0]
    hour = first.hour % 12
    wakes = re.search(r"\bwak|\bget me up|\brouse", text.lower()) is not None
    undated = not DATED.search(text)
    if first.hour == 0 or (first.hour == 12 and not wakes):
        wanted = first.hour
    elif wakes or (kind == "alarm" and hour >= 4):
        wanted = hour
    elif kind == "reminder" and not undated and 1 <= hour <= 6:
        wanted = hour + 12
    else:
        return [each for each in found if each >= now]
    moved = localise(first.replace(tzinfo=None, hour=wanted), zone)
    if undated:
        today = localise(datetime.combine(now.date(), moved.time()), zone)
        moved = today if today > now else localise(datetime.combine(now.date() + timedelta(days=1), moved.time()), zone)
    return [moved] if moved >= now else [each for each in found if each >= now]


def _on_day(
    reading: Resolution, kind: str, now: datetime, zone: ZoneInfo, spans: tuple[tuple[int, int], ...]
) -> When | Abstention:
    start = _begins(reading)
    if start is None:
        return Abstention("At what time?", "needs_input")
    day = start.astimezone(zone).date()
    if day == now.date() or (day < now.date() and reading.end is not None and reading.end > now):
        return Abstention("At what time today?", "needs_input")
    if day < now.date():
        raise QueryError(
            f"{spell_date(day, now.date())} is past; name a day to come, or a time with it",
            reason="TIME_IN_PAST",
        )
    if kind != "reminder":
        return Abstention(f"At what time on {spell_date(day, now.date())}?", "needs_input")
    due = localise(datetime(day.year, day.month, day.day, _DEFAULT_HOUR), zone)
    return When(due, spans, note=reading.note or f"no time of day was given, so {_DEFAULT_HOUR:02}:00")


def _until(
    reading: Resolution, kind: str, now: datetime, zone: ZoneInfo, spans: tuple[tuple[int, int], ...]
) -> When | Abstention:
    """ "By friday", "until 5pm": the end counts, on its day in the morning where only a day is named."""
    assert reading.end is not None  # noqa: S101 - the caller looked
    end = reading.end.astimezone(zone)
    if end.time() == datetime.min.time():
        if kind != "reminder":
            return Abstention(f"At what time on {spell_date(end.date(), now.date())}?", "needs_input")
        end = localise(datetime(end.year, end.month, end.day, _DEFAULT_HOUR), zone)
    if end <= now:
        raise QueryError(f"that is past: {spell_moment(end, now)}; name a time to come", reason="TIME_IN_PAST")
    return When(end, spans, note=reading.note)


def _how_long(kind: str) -> Abstention:
    return Abstention(f"For how long shall the {kind} run?", "needs_input")


def _next_hour(now: datetime) -> datetime:
    ahead = now.astimezone(UTC) + timedelta(hours=1)
    return ahead.replace(minute=0, second=0, microsecond=0).astimezone(now.tzinfo)
