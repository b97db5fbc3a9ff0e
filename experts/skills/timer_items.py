"""What is set: a job of the scheduler read as a timer, an alarm or a reminder; its names, and which one is meant."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from ..journal import Job
from ..values import Json, Query
from .timer_days import called_by, days_of
from .timer_request import without_times
from .timer_time import DATED, HALF_DAY
from .timex import Resolution, TimeError, find_duration, resolve
from .wording import spell_clock, spell_date, spell_moment, spell_rule, spell_span

NOTABLY_LATE = timedelta(seconds=5)


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept with a job. span_s: of a timer, as it was set. left_s: of one that is paused.
    snoozes: what went off and is snoozed, by the job's id and the time it was due."""

    kind: str
    zone: str
    name: str = ""
    text: str = ""
    span_s: float | None = None
    left_s: float | None = None
    snoozes: str = ""


class Item:
    """A job, its payload read."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.payload = msgspec.convert(job.payload, Payload)

    @property
    def title(self) -> str:
        """ "the pasta timer", "the 07:30 alarm", 'the reminder "call mum"'."""
        payload = self.payload
        if payload.kind == "reminder":
            return f'the reminder "{payload.text}"' if payload.text else f"the {self._clock()} reminder"
        if payload.name:
            return (
                f'the {payload.kind} "{payload.name}"' if " " in payload.name else f"the {payload.name} {payload.kind}"
            )
        if payload.kind == "timer" and payload.span_s:
            return f"the {spell_span(timedelta(seconds=payload.span_s))} timer"
        return f"the {self._clock()} {payload.kind}"

    def _clock(self) -> str:
        rule = self.job.rule
        if rule is not None and rule.recurrence.hour is not None:
            return f"{rule.recurrence.hour:02}:{rule.recurrence.minute:02}"
        return spell_clock(self.due) if self.due else ""

    @property
    def due(self) -> datetime | None:
        return self.job.due.astimezone(ZoneInfo(self.payload.zone)) if self.job.due else None

    def slots(self) -> dict[str, Json]:
        payload, rule = self.payload, self.job.rule
        return {
            "id": self.job.id,
            "kind": payload.kind,
            "name": payload.name,
            "text": payload.text,
            "due": self.due.isoformat(timespec="seconds") if self.due else None,
            "zone": payload.zone,
            "recurrence": rule.recurrence.to_json() if rule else None,
            "seconds": payload.span_s,
            "paused": self.job.due is None,
        }

    def line(self, now: datetime) -> str:
        """For a list: 'pasta timer, 8 min 20 s left', "alarm, 07:30 tomorrow (…), every weekday at 07:30"."""
        payload = self.payload
        words = f'reminder "{payload.text}"' if payload.text else f"{payload.name} {payload.kind}".strip()
        if self.due is None:
            left = f", {spell_span(timedelta(seconds=payload.left_s))} left" if payload.left_s else ""
            return f"{words}, paused{left}"
        if payload.kind == "timer" and self.job.rule is None:
            return f"{words}, {spell_span(self.due - now)} left"
        repeats = f", {spell_rule(self.job.rule.recurrence)}" if self.job.rule else ""
        return f"{words}, {spell_moment(self.due, now.astimezone(self.due.tzinfo))}{repeats}"


def announce(item: Item, due: datetime, late: timedelta) -> str:
    payload = item.payload
    if payload.kind == "reminder":
        said = payload.text or "This is your reminder"
    elif payload.kind == "timer":
        length = spell_span(timedelta(seconds=payload.span_s)) if payload.span_s else ""
        said = f"{payload.name or length} timer is up".strip().capitalize()
    else:
        said = f"{spell_clock(due)}: {payload.name}" if payload.name else f"It is {spell_clock(due)}"
    return f"{said} ({spell_span(late)} late, due at {spell_moment(due, due + late)})" if late > NOTABLY_LATE else said


def title_of_new(payload: Payload) -> str:
    if payload.kind == "reminder":
        return f'Reminder "{payload.text}"' if payload.text else "Reminder"
    return f'{payload.kind.capitalize()} "{payload.name}"' if payload.name else payload.kind.capitalize()


def enumerate_items(items: list[Item], joining: str = "and") -> str:
    """Their titles; where two would read the same, with the time at which each is due."""
    often = Counter(item.title for item in items)
    titles = [item.title if often[item.title] == 1 else f"{item.title} ({_due_words(item)})" for item in items[:10]]
    if len(items) > 10:
        titles.append(f"{len(items) - 10} more")
    return ", ".join(titles[:-1]) + f" {joining} {titles[-1]}" if len(titles) > 1 else "".join(titles)


def _due_words(item: Item) -> str:
    if item.due is None:
        return "paused"
    return (
        spell_clock(item.due)
        if item.payload.kind == "timer"
        else f"{spell_date(item.due.date(), item.due.date())}, {item.due:%H:%M}"
    )


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- Which one is meant -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A sentence, the query that it came with, and the kinds that it speaks of."""

    text: str
    query: Query
    kinds: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The one kind that is spoken of; "" for none or several."""
        return self.kinds[0] if len(self.kinds) == 1 else ""

    @property
    def now(self) -> datetime:
        return self.query.now.astimezone(self.query.zone)


def single_out(items: list[Item], asked: Asked, *, duration_names: bool = True) -> list[Item]:
    """Those that the sentence singles out by name, length, time or place in the row; [] when it singles out none."""
    words = " " + " ".join(re.findall(r"[^\W_]+", asked.text.lower())) + " "
    named = [item for item in items if (title := _title_words(item)) and f" {title} " in words]
    if named:
        longest = max(len(_title_words(item)) for item in named)
        named = [item for item in named if len(_title_words(item)) == longest]
        return (_by_time(named, asked) or named) if duration_names and len(named) > 1 else named
    wanted = set(words.split())
    shared = [(len(wanted & set(_title_words(item).split()) - _COMMON), item) for item in items]
    most = max((count for count, _ in shared), default=0)
    if most:
        sharing = [item for count, item in shared if count == most]
        return (_by_time(sharing, asked) or sharing) if duration_names and len(sharing) > 1 else sharing
    if (length := named_length(asked)) is not None:
        return [item for item in items if item.payload.span_s == length.total_seconds()]
    if (length := named_length(asked)) is not None:
        return [item for item in items if item.payload.span_s == length.total_seconds()]
    if duration_names and (found := find_duration(asked.text)) is not None:
        matching = [item for item in items if item.payload.span_s == found[0].total_seconds()]
        if matching:
            return matching
    if re.search(r"\b(?:next|first|soonest|earliest)\b", asked.text.lower()):
        return items[:1]
    if re.search(r"\b(?:last|latest)\b", asked.text.lower()):
        return items[-1:]
    if days := called_by(asked.text):
        repeating = [(days_of(item.job.rule.recurrence), item) for item in items if item.job.rule is not None]
        called = [item for its, item in repeating if its == days]
        if called:
            return called
    return _by_time(items, asked) if duration_names else []


def names_all(asked: Asked, items: list[Item]) -> bool:
    """Whether it speaks of all of them: "all my timers", "everything", "the alarms"."""
    lower = asked.text.lower()
    if called_by(asked.text):
        return False
    if _EVERY_ONE.search(lower):
        return True
    return _PLURAL.search(lower) is not None and not single_out(items, asked)


_EVERY_ONE = re.compile(r"\b(?:all|every(?! ?day)|everything|both)\b")
_PLURAL = re.compile(r"\b(?:timers|alarms|reminders)\b")
_OF_LENGTH = re.compile(
    r"\b(?:my|the|that|this) (?P<length>(?:[\w.-]+ ){0,4}?[\w.-]*(?:second|sec|minute|min|hour|hr)s?)(?: long)?"
    r" (?:timer|countdown|count ?down|one)\b",
    re.IGNORECASE,
)


def named_length(asked: Asked) -> timedelta | None:
    """Of "add two minutes to my 10 minute timer", ten minutes."""
    match = _OF_LENGTH.search(asked.text)
    found = find_duration(match["length"].replace("-", " ")) if match else None
    return found[0] if found else None


def without_length(text: str) -> str:
    """The sentence without such a length, so that another one that it names is found."""
    return _OF_LENGTH.sub("the timer", text)


_TASK = re.compile(r"\breminder\s+(?:to|about|for)\s+(?P<task>.+)", re.IGNORECASE)


def speaks_of(asked: Asked, item: Item) -> bool:
    """Whether "the reminder to …" may mean this one: it is silent about the task, or shares most of its words."""
    if (match := _TASK.search(without_times(asked.text, time_spans(asked)))) is None:
        return True
    task = set(re.findall(r"[^\W_]+", match["task"].lower())) - _COMMON
    return 2 * len(task & set(_title_words(item).split())) > len(task) or not task


def _by_time(items: list[Item], asked: Asked) -> list[Item]:
    """Those that go off when the sentence says; [] where it says nothing of the kind, or none does."""
    for reading in _readings(asked):
        if reading.start is None or reading.duration is not None:
            continue
        words = asked.text[slice(*reading.span)]
        start, end = reading.start.astimezone(asked.query.zone), reading.end
        matching = [item for item in items if item.due is not None and item.due == start]
        if not matching and _at_clock(reading):
            # "The 7 o'clock alarm" may be the one at 19:00; "the 7 am alarm" may not.
            hours = 24 if HALF_DAY.search(words) else 12
            matching = [
                item
                for item in items
                if item.due is not None
                and (item.due.hour % hours, item.due.minute) == (start.hour % hours, start.minute)
                and (item.due.date() == start.date() or not DATED.search(words))
            ]
        elif not matching and end is not None:
            matching = [item for item in items if goes_off(item, start, end)]
        if matching:
            return matching
    return []


def unmatched_time(asked: Asked, *, anywhere: bool) -> str:
    """What a sentence that singles nothing out names all the same: "at 06:30", "of 10 min", "on Friday 6 March"; "" for
    nothing. anywhere: not only before the noun, as in "the 6:30 alarm"."""

    def names(span: tuple[int, int]) -> bool:
        return anywhere or re.match(r"\W*(?:long )?(?:timer|alarm|reminder|one)\b", asked.text[span[1] :]) is not None

    found = find_duration(asked.text)
    if found is not None and names(found[1]):
        return f"of {spell_span(found[0])}"
    for reading in _readings(asked)[:1]:
        words = asked.text[slice(*reading.span)].lower()
        if reading.start is None or reading.duration is not None or not names(reading.span) or "now" in words.split():
            continue
        start = reading.start.astimezone(asked.query.zone)
        if _at_clock(reading):
            hour = start.hour if HALF_DAY.search(words) else start.hour % 12 or 12
            return f"at {hour:02}:{start.minute:02}"
        if reading.recurrence is None and DATED.search(words):
            return f"on {spell_date(start.date(), asked.now.date())}" if reading.grain == "day" else f'for "{words}"'
    return ""


def _readings(asked: Asked) -> list[Resolution]:
    try:
        return resolve(asked.text, asked.query.now, asked.query.zone, asked.query.locale)
    except TimeError:
        return []


def _at_clock(reading: Resolution) -> bool:
    return reading.grain in ("hour", "minute", "second") and not reading.is_interval


def goes_off(item: Item, start: datetime, end: datetime) -> bool:
    """Whether it does so in a stretch of time, also later than next time where it repeats."""
    if item.due is None:
        return False
    due: datetime | None = item.due
    if item.due < start and item.job.rule is not None:
        due = item.job.rule.next_after(start - timedelta(microseconds=1))
    return due is not None and start <= due < end


_COMMON = frozenset(
    [
        "a",
        "an",
        "the",
        "to",
        "for",
        "of",
        "my",
        "me",
        "at",
        "on",
        "in",
        "and",
        "timer",
        "alarm",
        "reminder",
        "up",
        "with",
    ]
)


def _title_words(item: Item) -> str:
    return " ".join(re.findall(r"[^\W_]+", (item.payload.name or item.payload.text).lower()))


def time_spans(asked: Asked) -> tuple[tuple[int, int], ...]:
    try:
        readings = resolve(asked.text, asked.query.now, asked.query.zone, asked.query.locale)
    except TimeError:
        return ()
    return (readings[0].span,) if readings else ()


def named_day(asked: Asked) -> tuple[datetime, datetime] | None:
    """The day, week or part of a day that a list is confined to."""
    try:
        readings = resolve(asked.text, asked.query.now, asked.query.zone, asked.query.locale)
    except TimeError:
        return None
    for reading in readings[:1]:
        coarse = reading.grain not in ("hour", "minute", "second") or reading.is_interval
        if coarse and reading.start is not None and reading.end is not None and reading.recurrence is None:
            return reading.start, reading.end
    return None
