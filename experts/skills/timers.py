"""Timers, alarms and reminders: set, told, snoozed, paused, moved and cancelled, as durable jobs of the scheduler.

The jobs are the only state, so any number of versions may be loaded at once. What a sentence asks for is worked out in
`timer_request` and `timer_time`; who hears of what fires is the daemon's business: `subscribe`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from ..errors import QueryError
from ..journal import Firing, Job, Rule
from ..schedule import Scheduler
from ..values import Abstention, Action, Answer, Json, Outcome, Query
from .timer_items import (
    Asked,
    Item,
    Payload,
    announce,
    capital,
    enumerate_items,
    named_day,
    single_out,
    speaks_of,
    time_spans,
    title_of_new,
    unmatched_time,
)
from .timer_request import ends, find_kinds, find_name, find_task, find_verb, forbids
from .timer_time import When, find_several, find_when, spelled_out
from .timex import find_duration, resolve
from .wording import spell_date, spell_moment, spell_rule, spell_span

OWNER = "timers"
SNOOZE = timedelta(minutes=9)
# How long after it went off an alarm may still be snoozed or stopped.
SNOOZABLE = timedelta(hours=1)
MAX_TEXT = 1_000
MAX_NAMED = 200


@dataclass(frozen=True, slots=True)
class Fired:
    """A timer, an alarm or a reminder went off. kind: which of them; text: for people; due: when it was to."""

    id: str
    kind: str
    name: str
    text: str
    due: datetime
    late: timedelta


def warm() -> None:
    """Builds the grammar of times, a tenth of a second that the first request would wait for otherwise."""
    resolve("tomorrow at 7", datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))


def subscribe(scheduler: Scheduler, publish: Callable[[Fired], Awaitable[None]]) -> None:
    """Calls `publish` for whatever goes off; once, at start, before any version of the skill is loaded."""

    async def on_fire(job: Job, due: datetime, late: timedelta) -> None:
        item = Item(job)
        moment = due.astimezone(ZoneInfo(item.payload.zone))
        await publish(Fired(job.id, item.payload.kind, item.payload.name, announce(item, moment, late), moment, late))

    scheduler.on_fire(OWNER, on_fire)


class Timers:
    """Answers `Action`: "timer.created", "alarm.cancelled", "timers.listed", …; slots as in `Item.slots`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def answer(self, query: Query) -> Outcome:
        if len(query.text) > MAX_TEXT:
            return Abstention(f"a sentence of more than {MAX_TEXT} characters sets no timer", "not_mine")
        text = spelled_out(query.text)
        if forbids(text) and find_kinds(text):
            return Abstention("Then nothing is set. What shall I do?", "needs_input")
        verb = find_verb(text, query.intent)
        if verb is None:
            return Abstention("this asks for no timer, alarm or reminder", "not_mine")
        asked = Asked(text, query, find_kinds(text))
        if verb != "create" and not asked.kinds and not self._is_ours(asked):
            return Abstention("this speaks of no timer, alarm or reminder", "not_mine")
        match verb:
            case "create":
                return await self._create(asked)
            case "list":
                return self._list(asked)
            case "remaining":
                return self._remaining(asked)
            case "cancel":
                return await self._cancel(asked)
            case "snooze":
                return await self._snooze(asked)
            case "pause":
                return await self._pause(asked)
            case "resume":
                return await self._resume(asked)
            case "extend":
                return await self._extend(asked)
            case _:
                return await self._change(asked)

    # --- The verbs ----------------------------------------------------------------------------------------------------

    async def _create(self, asked: Asked) -> Outcome:
        query, text = asked.query, asked.text
        if ends(text):
            return Abstention(
                "A repetition that ends by itself cannot be set. Shall it repeat until you cancel it?", "needs_input"
            )
        when = find_when(text, asked.kind, query.now, query.zone, query.locale)
        if isinstance(when, Abstention):
            return when
        if when is None and not asked.kind:
            return Abstention("this names neither a time nor a timer", "not_mine")
        if when is None:
            return Abstention(_ask_when(asked), "needs_input")
        kind = asked.kind or ("timer" if when.span is not None else "alarm")
        several = find_several(text, kind, query.now, query.zone, query.locale) if when.rule is None else []
        if several:
            spans = tuple(span for each in several for span in each.spans)
            name = find_name(text, spans)
            made = [await self._set(asked, kind, each, name, "") for each in several]
            texts = " ".join(item_text for _, item_text in made)
            return Answer(texts, Action(f"{kind}.created", {**made[0][0].slots(), "all": [i.slots() for i, _ in made]}))
        if kind == "reminder":
            item, said = await self._set(asked, kind, when, "", find_task(text, when.spans))
        else:
            item, said = await self._set(asked, kind, when, find_name(text, when.spans), "")
        return Answer(said, Action(f"{kind}.created", {**item.slots(), "note": when.note}))

    async def _set(self, asked: Asked, kind: str, when: When, name: str, task: str) -> tuple[Item, str]:
        span = when.span.total_seconds() if when.span is not None and kind == "timer" else None
        if kind == "timer" and span is None and when.rule is None:
            span = (when.due - asked.now).total_seconds()
        payload = Payload(kind, asked.query.zone.key, name[:MAX_NAMED], task[:MAX_NAMED], span)
        job = Job(OWNER, "", when.due.astimezone(UTC), msgspec.to_builtins(payload), when.rule)
        if not asked.query.rehearsal:
            job = await self._scheduler.add(OWNER, secrets.token_hex(4), when.rule or when.due, job.payload)
        item = Item(job)
        return item, _told_set(item, when, asked.now)

    def _list(self, asked: Asked) -> Outcome:
        items = self._meant(asked)
        things = f"{asked.kind}s" if asked.kind else "timers, alarms or reminders"
        chosen = items
        if re.search(r"\bnext\b|\bupcoming one\b", asked.text.lower()):
            chosen = items[:1]
        else:
            day = named_day(asked)
            if day is not None:
                chosen = [item for item in items if item.due is not None and day[0] <= item.due < day[1]]
            elif find_name(asked.text, time_spans(asked)):
                # "The pasta timer" is one of them; a name that none has leaves all of them to be told.
                chosen = single_out(items, asked) or items
        slots: dict[str, Json] = {"items": [item.slots() for item in chosen], "count": len(chosen)}
        action = Action(f"{asked.kind or 'timer'}s.listed", slots)
        if not chosen:
            when = " then" if items else ""
            return Answer(f"You have no {things}{when}.", action)
        if len(chosen) == 1:
            line = chosen[0].line(asked.now)
            return Answer(f"{line[0].upper()}{line[1:]}.", action)
        lines = "\n".join(f"- {item.line(asked.now)}" for item in chosen)
        return Answer(f"You have {len(chosen)} {things if asked.kind else 'set'}:\n{lines}", action)

    def _remaining(self, asked: Asked) -> Outcome:
        items = self._meant(asked)
        if not items:
            return self._list(asked)
        named = single_out(items, asked)
        name = find_name(asked.text, time_spans(asked))
        if name and not named:
            return Abstention(
                f'There is no {asked.kind} called "{name}". There is {enumerate_items(items)}.', "needs_input"
            )
        if not named and (missing := unmatched_time(asked, anywhere=False)):
            return _none_such(asked, items, missing)
        chosen = named[:1] if named else items[:1]
        if asked.kind == "timer" and not named and len(items) > 1:
            return self._list(asked)
        item = chosen[0]
        slots = item.slots()
        if item.due is None:
            left = timedelta(seconds=item.payload.left_s or 0)
            text = f"{capital(item.title)} is paused with {spell_span(left)} left."
        else:
            left = item.due - asked.now
            at = spell_moment(item.due, asked.now.astimezone(item.due.tzinfo))
            text = f"{capital(item.title)} goes off in {spell_span(left)}, at {at}."
        return Answer(text, Action(f"{item.payload.kind}.remaining", {**slots, "left_s": left.total_seconds()}))

    async def _cancel(self, asked: Asked) -> Outcome:
        kind, lower = asked.kind, asked.text.lower()
        items = self._meant(asked)
        things = f"{kind}s" if kind else "timers, alarms or reminders"
        exception = _EXCEPT.search(asked.text)
        if exception and _OF_MANY.search(asked.text[: exception.start()].lower()):
            return await self._cancel_but(asked, exception)
        if re.search(r"\b(?:all|every|everything|both)\b", lower) or (
            re.search(r"\b(?:timers|alarms|reminders)\b", lower) and not single_out(items, asked)
        ):
            day = named_day(asked)
            gone = [item for item in items if day is None or (item.due is not None and day[0] <= item.due < day[1])]
            text = f"{len(gone)} cancelled: {enumerate_items(gone)}." if gone else f"You have no {things}."
        else:
            found = self._choose(asked, items, "cancel")
            if isinstance(found, Abstention):
                recent = self._gone_off(asked)
                if not items and recent is not None:
                    item = Item(recent.job)
                    text = f"{capital(item.title)} has gone off already; nothing is left to cancel."
                    return Answer(text, Action(f"{item.payload.kind}.stopped", item.slots()))
                return found
            day = named_day(asked)
            if found.job.rule is not None and found.due is not None and day is not None:
                if found.due < day[0]:
                    return Abstention(
                        f"{capital(found.title)} can only be left out the next time, on "
                        f"{spell_date(found.due.date(), asked.now.date())}. Shall it be?",
                        "needs_input",
                    )
                return await self._skip(asked, found, day[1])
            gone = [found]
            text = f"{capital(found.title)} is cancelled."
        return await self._cancelled(asked, gone, text)

    async def _cancel_but(self, asked: Asked, exception: re.Match[str]) -> Outcome:
        """ "Cancel all my alarms except the 8 o'clock one": each that stays must be known, or it is asked for."""
        head, tail = asked.text[: exception.start()], asked.text[exception.end() :]
        narrowed = Asked(head, asked.query, find_kinds(head))
        items, day, kept = self._meant(narrowed), named_day(narrowed), []
        for part in re.split(r",? and |, ", tail):
            staying = Asked(part, asked.query, find_kinds(part))
            found = single_out(items, staying)
            if not found and re.search(r"\b(?:timers|alarms|reminders)\b", part.lower()):
                found = [item for item in items if item.payload.kind in staying.kinds]
            if not found and items:
                return Abstention(f"Which one shall stay: {enumerate_items(items, 'or')}?", "needs_input")
            kept += found
        gone = [
            item
            for item in items
            if item not in kept and (day is None or (item.due is not None and day[0] <= item.due < day[1]))
        ]
        stays = f"; {enumerate_items(kept)} stay{'s' * (len(kept) == 1)}" if kept else ""
        text = f"{len(gone)} cancelled: {enumerate_items(gone)}{stays}." if gone else f"Nothing is cancelled{stays}."
        return await self._cancelled(narrowed, gone, text)

    async def _cancelled(self, asked: Asked, gone: list[Item], text: str) -> Outcome:
        kind = asked.kind
        if not asked.query.rehearsal and gone:
            await self._scheduler.remove(OWNER, *(item.job.id for item in gone))
        slots: dict[str, Json] = {"count": len(gone), "items": [item.slots() for item in gone]}
        if len(gone) == 1:
            slots |= gone[0].slots()
            kind = gone[0].payload.kind
        return Answer(text, Action(f"{kind or 'timer'}.cancelled", slots))

    async def _skip(self, asked: Asked, item: Item, end: datetime) -> Outcome:
        """ "Don't wake me tomorrow" leaves a repeating alarm out once, and keeps it."""
        assert item.job.rule is not None  # noqa: S101 - the caller looked
        until = end - timedelta(microseconds=1)
        job = replace(item.job, due=item.job.rule.next_after(until))
        if not asked.query.rehearsal:
            job = await self._scheduler.update(OWNER, item.job.id, skip_to=until)
        skipped = Item(job)
        following = f"; next at {spell_moment(skipped.due, asked.now)}" if skipped.due else ""
        text = f"{capital(item.title)} is left out this once{following}."
        return Answer(text, Action(f"{item.payload.kind}.skipped", skipped.slots()))

    async def _snooze(self, asked: Asked) -> Outcome:
        fired = self._gone_off(asked)
        if fired is None:
            return Abstention(
                "Nothing has gone off lately that could be snoozed. When shall the alarm be?", "needs_input"
            )
        when = find_when(asked.text, "timer", asked.query.now, asked.query.zone, asked.query.locale)
        if isinstance(when, Abstention):
            return when
        due = when.due if when is not None else (asked.now.astimezone(UTC) + SNOOZE).astimezone(asked.query.zone)
        item = Item(fired.job)
        job = Job(OWNER, "", due.astimezone(UTC), fired.job.payload)
        if not asked.query.rehearsal:
            job = await self._scheduler.add(OWNER, secrets.token_hex(4), due, fired.job.payload)
        snoozed = Item(job)
        text = (
            f"{capital(item.title)} is snoozed until {spell_moment(due, asked.now)}, for {spell_span(due - asked.now)}."
        )
        return Answer(text, Action(f"{item.payload.kind}.snoozed", snoozed.slots()))

    async def _pause(self, asked: Asked) -> Outcome:
        running = [item for item in self._meant(asked) if item.due is not None]
        item = self._choose(asked, running, "pause")
        if isinstance(item, Abstention):
            return item
        assert item.due is not None  # noqa: S101 - chosen among those
        left = item.due - asked.now
        payload = msgspec.structs.replace(item.payload, left_s=None if item.job.rule else left.total_seconds())
        job = Job(OWNER, item.job.id, None, msgspec.to_builtins(payload), item.job.rule)
        if not asked.query.rehearsal:
            job = await self._scheduler.update(OWNER, item.job.id, payload=job.payload, paused=True)
        rest = "" if item.job.rule else f" with {spell_span(left)} left"
        return Answer(f"{capital(item.title)} is paused{rest}.", Action(f"{payload.kind}.paused", Item(job).slots()))

    async def _resume(self, asked: Asked) -> Outcome:
        paused = [item for item in self._meant(asked) if item.due is None]
        if not paused and self._meant(asked):
            return Abstention("None is paused; which one shall run on?", "needs_input")
        item = self._choose(asked, paused, "resume")
        if isinstance(item, Abstention):
            return item
        due = (asked.now.astimezone(UTC) + timedelta(seconds=item.payload.left_s or 0)).astimezone(asked.query.zone)
        payload = msgspec.structs.replace(item.payload, left_s=None)
        rule = item.job.rule
        following = rule.next_after(asked.now) if rule else due
        job = Job(OWNER, item.job.id, following, msgspec.to_builtins(payload), rule)
        if not asked.query.rehearsal:
            job = await self._scheduler.update(OWNER, item.job.id, when=rule or due, payload=job.payload)
        resumed = Item(job)
        at = spell_moment(resumed.due, asked.now) if resumed.due else ""
        text = f"{capital(resumed.title)} runs on; it goes off at {at}."
        return Answer(text, Action(f"{payload.kind}.resumed", resumed.slots()))

    async def _extend(self, asked: Asked) -> Outcome:
        found = find_duration(asked.text)
        if found is None:
            return Abstention("By how much?", "needs_input")
        less = (
            re.search(
                r"\b(?:shorten|shorter|reduce|less|knock|take|off|"
                r"subtract)\b",
                asked.text.lower(),
            )
            is not None
        )
        by = -found[0] if less else found[0]
        item = self._choose(asked, self._meant(asked), "change", duration_names=False)
        if isinstance(item, Abstention):
            return item
        if item.job.rule is not None:
            return Abstention(f"{capital(item.title)} repeats; at what time shall it go off?", "needs_input")
        payload = item.payload
        if item.due is None:
            left = timedelta(seconds=payload.left_s or 0) + by
            due = None
        else:
            due = (item.due.astimezone(UTC) + by).astimezone(item.due.tzinfo)
            left = due - asked.now
        if left <= timedelta():
            raise QueryError(
                f"{item.title} has {spell_span(left - by)} left and cannot be {spell_span(-by)} shorter; cancel it",
                reason="TIME_IN_PAST",
            )
        payload = msgspec.structs.replace(
            payload,
            span_s=payload.span_s + by.total_seconds() if payload.span_s is not None else None,
            left_s=left.total_seconds() if due is None else None,
        )
        job = Job(OWNER, item.job.id, due.astimezone(UTC) if due else None, msgspec.to_builtins(payload))
        if not asked.query.rehearsal:
            job = await self._scheduler.update(OWNER, item.job.id, when=due, payload=job.payload, paused=due is None)
        changed = Item(job)
        at = f"; it goes off at {spell_moment(due, asked.now.astimezone(due.tzinfo))}" if due else ""
        text = f"{capital(item.title)} now has {spell_span(left)} left{at}."
        return Answer(text, Action(f"{payload.kind}.extended", {**changed.slots(), "left_s": left.total_seconds()}))

    async def _change(self, asked: Asked) -> Outcome:
        """ "Move my 7 o'clock alarm to 8": what stands before the "to" says which, what stands after it says when."""
        before, after = _parted(asked.text)
        after = f"at {after}" if after[:1].isdigit() else after
        when = find_when(after, asked.kind, asked.query.now, asked.query.zone, asked.query.locale) if after else None
        if isinstance(when, Abstention):
            return when
        if when is None:
            return Abstention("To what time?", "needs_input")
        narrowed = Asked(before, asked.query, asked.kinds)
        item = self._choose(narrowed, self._meant(asked), "change")
        if isinstance(item, Abstention):
            return item
        payload = item.payload
        if payload.kind == "timer":
            payload = msgspec.structs.replace(payload, span_s=(when.due - asked.now).total_seconds(), left_s=None)
        rule = when.rule
        due = when.due
        if rule is None and item.job.rule is not None and item.job.rule.recurrence.hour is not None:
            # A repeating alarm that gets a new time of day goes on repeating.
            rule = _at_clock(item.job.rule, due)
            due = rule.next_after(asked.now) or due
        elif rule is None and item.due is not None and when.note.startswith("no time of day"):
            # "Move it to tomorrow" keeps its time of day.
            due = due.replace(hour=item.due.hour, minute=item.due.minute, second=item.due.second)
        elif rule is None and item.due is not None and not _names_day(after):
            # "Move friday's alarm to 8" stays on friday.
            kept = item.due.replace(hour=due.hour, minute=due.minute, second=due.second)
            due = kept if kept > asked.now else due
        job = Job(OWNER, item.job.id, due.astimezone(UTC), msgspec.to_builtins(payload), rule)
        if not asked.query.rehearsal:
            job = await self._scheduler.update(OWNER, item.job.id, when=rule or due, payload=job.payload)
        changed = Item(job)
        repeats = f", {spell_rule(rule.recurrence)}" if rule else ""
        local = due.astimezone(asked.query.zone)
        ahead = spell_span(local - asked.now)
        text = f"{capital(item.title)} is moved to {spell_moment(local, asked.now)}{repeats}, in {ahead}."
        return Answer(text, Action(f"{payload.kind}.changed", changed.slots()))

    # --- Which one ----------------------------------------------------------------------------------------------------

    def _is_ours(self, asked: Asked) -> bool:
        """Whether a sentence that names no timer, alarm or reminder can mean one: "cancel it", "five more minutes"."""
        if len(asked.text.split()) <= 3 or find_duration(asked.text) is not None:
            return True
        lower = asked.text.lower()
        if re.search(r"\b(?:it|that|this|them|everything|all of them|that one|left|remaining|snooz\w*)\b", lower):
            return True
        return bool(single_out(self._items(), asked))

    def _items(self) -> list[Item]:
        return [Item(job) for job in self._scheduler.jobs(OWNER)]

    def _meant(self, asked: Asked) -> list[Item]:
        """Those of the kinds that the sentence speaks of; all of them where it speaks of none."""
        return [item for item in self._items() if item.payload.kind in asked.kinds or not asked.kinds]

    def _gone_off(self, asked: Asked) -> Firing | None:
        """What went off last, if that was lately, of the kind that is spoken of."""
        for firing in self._scheduler.fired(OWNER):
            if asked.now - firing.fired > SNOOZABLE:
                return None
            if asked.kind in ("", Item(firing.job).payload.kind) or "snooz" in asked.text.lower():
                return firing
        return None

    def _choose(self, asked: Asked, items: list[Item], verb: str, *, duration_names: bool = True) -> Item | Abstention:
        kind = asked.kind or "timer, alarm or reminder"
        name = find_name(asked.text, time_spans(asked))
        if not items:
            which = f' called "{name}"' if name else ""
            return Abstention(f"There is no {kind}{which} to {verb}.", "needs_input")
        chosen = single_out(items, asked, duration_names=duration_names)
        if len(chosen or items) == 1 and not speaks_of(asked, (chosen or items)[0]):
            return Abstention(f"There is no such reminder. There is {enumerate_items(items)}.", "needs_input")
        if len(chosen) == 1:
            return chosen[0]
        if not chosen and name:
            return Abstention(f'There is no {kind} called "{name}". There is {enumerate_items(items)}.', "needs_input")
        if not chosen and duration_names and (missing := unmatched_time(asked, anywhere=verb == "cancel")):
            return _none_such(asked, items, missing)
        if not chosen and len(items) == 1:
            return items[0]
        return Abstention(f"Which one shall I {verb}: {enumerate_items(chosen or items, 'or')}?", "needs_input")


_OF_MANY = re.compile(r"\b(?:all|every|everything|both|any|timers|alarms|reminders)\b")
_EXCEPT = re.compile(
    r",?\s*\b(?:except(?:ing|ed)?(?: for)?|but(?: not| for)?|apart from|other than|besides|save for|"
    r"leaving(?: out)?|without)\b",
    re.IGNORECASE,
)


def _none_such(asked: Asked, items: list[Item], missing: str) -> Abstention:
    kind = asked.kind or "timer, alarm or reminder"
    there = f"there {'is' if len(items) == 1 else 'are'} {enumerate_items(items)}"
    return Abstention(f"There is no {kind} {missing}; {there}.", "needs_input")


def _names_day(text: str) -> bool:
    return re.search(r"\b(?:today|tomorrow|\w+day|in|next|this|\d+(?:st|nd|rd|th))\b", text.lower()) is not None


def _parted(text: str) -> tuple[str, str]:
    """Around the last "to", "for" or "until" that a time can follow."""
    cuts = list(re.finditer(r"\b(?:to|until|till|for|by)\b", text, re.IGNORECASE))
    cuts = cuts or list(re.finditer(r"\bat\b", text, re.IGNORECASE))
    if not cuts:
        return text, ""
    return text[: cuts[-1].start()], text[cuts[-1].end() :].strip()


def _at_clock(rule: Rule, moment: datetime) -> Rule:
    """The same rule at another time of day."""
    plain = {**rule.recurrence.to_json(), "hour": moment.hour, "minute": moment.minute, "second": moment.second}
    return Rule(type(rule.recurrence).from_json(plain), rule.zone)


# --- What is said -----------------------------------------------------------------------------------------------------


def _told_set(item: Item, when: When, now: datetime) -> str:
    payload = item.payload
    at = spell_moment(when.due, now)
    note = f" ({when.note})" if when.note else ""
    if when.rule is not None:
        what = title_of_new(payload)
        return f"{what} set {spell_rule(when.rule.recurrence)}, first at {at}, in {spell_span(when.due - now)}{note}."
    if payload.kind == "timer" and payload.span_s is not None:
        length = spell_span(timedelta(seconds=payload.span_s))
        return f"{title_of_new(payload)} set for {length}; it goes off at {at}{note}."
    return f"{title_of_new(payload)} set for {at}, in {spell_span(when.due - now)}{note}."


def _ask_when(asked: Asked) -> str:
    match asked.kind:
        case "timer":
            return "For how long?"
        case "reminder":
            task = find_task(asked.text, ())
            return f'When shall I remind you: "{task}"?' if task else "What shall I remind you of, and when?"
        case _:
            return "For what time?"
