"""From text to resolutions: words, phrases, the choice among them, and the choice of an occurrence.

Knows zones and daylight saving: phrases speak of wall-clock time, resolutions are aware.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from . import (
    clock_rules,
    date_rules,
    duration_rules,
    edge_rules,
    era_rules,
    relative_rules,
    repeat_rules,
    span_rules,
    spoken_rules,
    working_rules,
)
from .chart import Grammar
from .lexicon import Tokens, look_up, tokenise
from .meaning import CLOCK, Context, Duration, Rule, Time, first_ahead, nearest_checked
from .series import DAY, HOUR, Occurrence, add, unit
from .values import GRAINS, Recurrence, Resolution, TimeError, localise

_MONTH_FIRST = ("en", "en-US", "en_US", "en-PH", "en_PH", "en-us")
# One more word read is worth more than any rule's score.
_WORD = 4.0
_MAX_READINGS = 6
# Readings that are looked at, and expressions of one text: a request has a few.
_MAX_TRIES = 12
_MAX_GROUPS = 40
_SILENT = frozenset([".", ",", "!", "?", ";", ":", '"', "the", "please", "on", "at", "in", "a", "(", ")"])


# "march on" and "sat in" are no dates.
_SILENT_ENDS = _SILENT - {"on", "at", "in", "a", "the"}


class Candidate:
    __slots__ = ("begin", "end", "score", "value")

    def __init__(self, begin: int, end: int, value: Time | Duration | Rule, score: float) -> None:
        self.begin, self.end, self.value, self.score = begin, end, value, score


@cache
def grammar() -> Grammar:
    """Every rule; built once, at the first request."""
    made = Grammar()
    for rules in (
        clock_rules, spoken_rules, date_rules, relative_rules, edge_rules, era_rules, duration_rules, span_rules,
        working_rules, repeat_rules,
    ):  # fmt: skip
        rules.add_rules(made)
    return made


def context_of(reference: datetime, zone: ZoneInfo, locale: str) -> Context:
    if reference.tzinfo is None:
        raise ValueError("the reference time has no zone; give an aware datetime")
    local = reference.astimezone(zone)
    return Context(reference, zone, local.replace(tzinfo=None, microsecond=0), locale in _MONTH_FIRST)


def read(text: str, reference: datetime, zone: ZoneInfo, locale: str) -> list[list[Resolution]]:
    """Each separate expression's readings, best first, in the order of the text. Raises: TimeError."""
    context = context_of(reference, zone, locale)
    tokens = tokenise(text)
    if not tokens.words:
        return []
    groups = _separate(_candidates(tokens, context))[:_MAX_GROUPS]
    found: list[list[Resolution]] = []
    problems: list[TimeError] = []
    for group in groups:
        resolved: list[Resolution] = []
        tries = 0
        for candidate in group:
            if resolved and (candidate.begin > group[0].begin or candidate.end < group[0].end):
                # A part of what has been read already is no other reading of it.
                continue
            for resolution in _resolve(candidate, tokens, context, problems):
                if all(
                    (r.start, r.end, r.grain) != (resolution.start, resolution.end, resolution.grain) for r in resolved
                ):
                    resolved.append(resolution)
            tries += 1
            if len(resolved) >= _MAX_READINGS or tries >= _MAX_TRIES:
                break
        if problems:
            raise problems[0]
        if resolved:
            resolved.sort(key=lambda r: -r.score)
            found.append(resolved)
    return found


def duration(text: str) -> tuple[timedelta, tuple[int, int]] | None:
    """The first duration, the longest one that begins there, and its span."""
    context = context_of(datetime(2000, 1, 1, tzinfo=UTC), ZoneInfo("UTC"), "en")
    tokens = tokenise(text)
    cells = grammar().parse(context, look_up(tokens, context))
    for begin, cell in enumerate(cells):
        phrases = cell.get("DURATION")
        if phrases:
            best = max(phrases, key=lambda phrase: (phrase.end, phrase.score))
            try:
                return best.value.delta, (tokens.starts[begin], tokens.ends[best.end - 1])
            except OverflowError:
                continue
    return None


def _candidates(tokens: Tokens, context: Context) -> list[Candidate]:
    cells = grammar().parse(context, look_up(tokens, context))
    found: list[Candidate] = []
    count = len(tokens.words)
    first = next((i for i, word in enumerate(tokens.words) if word not in _SILENT), 0)
    last = next((i for i in range(count, 0, -1) if tokens.words[i - 1] not in _SILENT_ENDS), count)
    for begin, cell in enumerate(cells):
        for category in ("TIME", "RECUR", "DURATION", "LATE"):
            for phrase in cell.get(category, ()):
                value = phrase.value
                everything = begin <= first and phrase.end >= last
                if (getattr(value, "weak", False) or category == "LATE") and not everything:
                    continue
                score = (
                    phrase.score
                    + _WORD * (phrase.end - begin)
                    - (6.0 if category == "DURATION" and "FOR" not in value.cats else 0.0)
                )
                found.append(Candidate(begin, phrase.end, value, score))
    return found


def _separate(candidates: list[Candidate]) -> list[list[Candidate]]:
    """Groups of readings, one per expression: the best candidates win their stretch of the text."""
    candidates.sort(key=lambda c: (c.begin - c.end, -c.score))
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        for group in groups:
            head = group[0]
            if candidate.begin < head.end and candidate.end > head.begin:
                if candidate.begin >= head.begin and candidate.end <= head.end:
                    group.append(candidate)
                break
        else:
            groups.append([candidate])
    for group in groups:
        group.sort(key=lambda c: -c.score)
    groups.sort(key=lambda group: group[0].begin)
    return groups


def _resolve(candidate: Candidate, tokens: Tokens, context: Context, problems: list[TimeError]) -> list[Resolution]:
    span = (tokens.starts[candidate.begin], tokens.ends[candidate.end - 1])
    value = candidate.value
    try:
        if isinstance(value, Duration):
            # "0 minutes" is no stretch of time.
            return [_duration(value, context, span, candidate.score)] if value.delta else []
        if isinstance(value, Rule):
            return [_recurrence(value, context, span, candidate.score)]
        if value.problem:
            problems.append(
                TimeError(value.problem, reason="NO_SUCH_TIME" if value.says == CLOCK else "NO_SUCH_DATE", span=span)
            )
            return []
        readings = _time(value, context, span, candidate.score)
        return [r for r in readings if r.start is None or r.end is None or r.start.timestamp() < r.end.timestamp()]
    except (ValueError, OverflowError):
        return []


def _time(value: Time, context: Context, span: tuple[int, int], score: float) -> list[Resolution]:
    choose = nearest_checked if value.checked else first_ahead
    found = choose(value, context.now)
    if found is None:
        return []
    readings = [_resolution(value, found, context, span, score)]
    if value.twelve and not value.open:
        # The other half of the clock, where it was not said which.
        other = next(
            (o for o in value.series.scan(found.end, found.start + timedelta(hours=13)) if o.start > found.start), None
        )
        if other is not None:
            readings.append(_resolution(value, other, context, span, score - 1.0))
    return readings


def _resolution(value: Time, found: Occurrence, context: Context, span: tuple[int, int], score: float) -> Resolution:
    start, note = _aware(found.start, context.zone, value)
    end, _ = _aware(found.end, context.zone, value)
    last = None
    grain = GRAINS[value.grain if not found.is_interval else found.grain]
    if value.open == "after":
        return Resolution(start, None, grain, span, score=score, note=note or value.note, is_interval=True)
    if value.open == "before":
        stop = end if value.ends else start
        return Resolution(None, stop, grain, span, score=score, note=note or value.note, is_interval=True)
    if found.is_interval:
        last, _ = _aware(add(found.end, -1, found.grain), context.zone, value)
    return Resolution(
        start, end, GRAINS[found.grain], span, score=score, note=note or value.note, is_interval=found.is_interval,
        exact=value.exact, last=last,
    )  # fmt: skip


def _aware(wall: datetime, zone: ZoneInfo, value: Time | None) -> tuple[datetime, str]:
    """The wall-clock time in its zone, and what is to be said where daylight saving changes just then."""
    if (
        value is not None
        and value.exact is not None
        and abs(value.exact.replace(tzinfo=None) - wall) < timedelta(hours=1)
    ):
        there = wall.replace(tzinfo=zone, fold=value.exact.fold)
        return there, ""
    moved = localise(wall, zone)
    if moved.replace(tzinfo=None) != wall:
        return moved, f"{wall:%H:%M} does not exist on {wall:%Y-%m-%d} in {zone.key}; {moved:%H:%M} is meant"
    again = wall.replace(tzinfo=zone, fold=1)
    if again.utcoffset() != moved.utcoffset() and wall.minute + wall.hour > 0:
        return moved, f"{wall:%H:%M} comes twice on {wall:%Y-%m-%d} in {zone.key}; the first is meant"
    return moved, ""


def _duration(value: Duration, context: Context, span: tuple[int, int], score: float) -> Resolution:
    start = context.reference.astimezone(context.zone)
    end = value.from_reference(context)
    return Resolution(start, end, GRAINS[value.grain], span, duration=value.delta, score=score, is_interval=True)


def _recurrence(value: Rule, context: Context, span: tuple[int, int], score: float) -> Resolution:
    rule = value.recurrence
    after = context.reference
    if value.start is not None:
        begin = first_ahead(value.start, context.now)
        if begin is not None:
            after = max(after, localise(begin.start, context.zone) - timedelta(seconds=1), key=datetime.timestamp)
            if rule.hour is None and value.start.hour >= 0:
                rule = replace(rule, hour=value.start.hour, minute=value.start.minute or 0)
    needs_anchor = rule.interval > 1 or rule.frequency in ("secondly", "minutely", "hourly")
    if (
        needs_anchor
        or (rule.frequency == "weekly" and not rule.weekdays)
        or (rule.frequency in ("monthly", "yearly") and rule.day_of_month is None and not rule.weekdays)
    ):
        local = after.astimezone(context.zone).replace(tzinfo=None)
        if value.start is not None:
            local += timedelta(seconds=1)
        rule = _anchored(rule, local, context.zone, after)
    first = rule.next_after(after, context.zone)
    grain = value.grain
    end = localise(unit(first.replace(tzinfo=None), min(grain, DAY)).end, context.zone)
    return Resolution(
        first, end, GRAINS[min(grain, DAY) if grain > HOUR else grain], span, rule, score=score + 1.0, note=value.note
    )


def _anchored(rule: Recurrence, local: datetime, zone: ZoneInfo, after: datetime) -> Recurrence:
    """Periods are counted from the first occurrence."""
    if rule.frequency in ("secondly", "minutely", "hourly"):
        return replace(rule, anchor=local.replace(microsecond=0))
    once = replace(rule, interval=1)
    if rule.frequency in ("weekly", "monthly", "yearly") and not rule.weekdays and rule.day_of_month is None:
        # "every week": this weekday; "every month": this day of the month; not before a whole period has passed.
        once = replace(once, anchor=local.replace(microsecond=0))
        if rule.hour is None:
            return replace(rule, anchor=local.replace(microsecond=0))
    first = once.next_after(after, zone)
    return replace(rule, anchor=first.replace(tzinfo=None))
