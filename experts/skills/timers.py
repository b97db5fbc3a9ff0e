"""Timers, alarms and reminders: set, told, cancelled, and changed (`timer_changes`), as durable jobs of the scheduler.

The jobs are the only state, so any number of versions may be loaded at once. What a sentence asks for is worked out in
`timer_request` and `timer_time`, which one it means by the `timer_board`; who hears of what fires is the daemon's
business: `subscribe`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ..journal import Job, Rule
from ..schedule import Scheduler
from ..values import Abstention, Action, Answer, Json, Outcome, Query
from . import timer_changes
from .timer_board import OWNER, Board, none_such
from .timer_changes import MAX_NAMED
from .timer_days import called_by, days_of, find_lasting, leave_out
from .timer_items import (
    Asked,
    Item,
    Payload,
    announce,
    capital,
    enumerate_items,
    goes_off,
    named_day,
    names_all,
    single_out,
    time_spans,
    title_of_new,
    unmatched_time,
)
from .timer_request import ends, find_kinds, find_name, find_task, find_verb, forbids
from .timer_time import When, find_several, find_when, spelled_out
from .timex import resolve
from .wording import spell_date, spell_moment, spell_rule, spell_span

MAX_TEXT = 1_000


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
        self._board = Board(scheduler)

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
        if verb != "create" and not asked.kinds and not self._board.is_ours(asked):
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
            case "skip":
                return await self._skip(asked)
            case "snooze":
                return await timer_changes.snooze(self._board, asked)
            case "pause":
                return await timer_changes.pause(self._board, asked)
            case "resume":
                return await timer_changes.resume(self._board, asked)
            case "extend":
                return await timer_changes.extend(self._board, asked)
            case _:
                return await timer_changes.change(self._board, asked)

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
        item = await self._board.add(asked, when.rule or when.due, payload)
        return item, _told_set(item, when, asked.now)

    def _list(self, asked: Asked) -> Outcome:
        items = self._board.meant(asked)
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
        items = self._board.meant(asked)
        if not items:
            return self._list(asked)
        named = single_out(items, asked)
        name = find_name(asked.text, time_spans(asked))
        if name and not named:
            return Abstention(
                f'There is no {asked.kind} called "{name}". There is {enumerate_items(items)}.', "needs_input"
            )
        if not named and (missing := unmatched_time(asked, anywhere=False)):
            return none_such(asked, items, missing)
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
        kind = asked.kind
        items = self._board.meant(asked)
        things = f"{kind}s" if kind else "timers, alarms or reminders"
        exception = _EXCEPT.search(asked.text)
        if exception and _OF_MANY.search(asked.text[: exception.start()].lower()):
            return await self._cancel_but(asked, exception)
        lasting = find_lasting(asked.text)
        if lasting and (some := [item for item in items if lasting & _days(item)]):
            return await self._cancel_days(asked, some, lasting)
        if names_all(asked, items):
            day = named_day(asked)
            gone = [item for item in items if day is None or (item.due is not None and day[0] <= item.due < day[1])]
            text = f"{len(gone)} cancelled: {enumerate_items(gone)}." if gone else f"You have no {things}."
        else:
            found = self._board.choose(asked, items, "cancel")
            if isinstance(found, Abstention):
                recent = self._board.gone_off(asked)
                if not items and recent is not None:
                    item = Item(recent.job)
                    text = f"{capital(item.title)} has gone off already; nothing is left to cancel."
                    return Answer(text, Action(f"{item.payload.kind}.stopped", item.slots()))
                return found
            day = None if _is_called_by_its_days(asked, found) else named_day(asked)
            if found.job.rule is not None and found.due is not None and day is not None:
                return await self._skip_day(asked, found, day)
            gone = [found]
            text = f"{capital(found.title)} is cancelled."
        return await self._cancelled(asked, gone, text)

    async def _cancel_but(self, asked: Asked, exception: re.Match[str]) -> Outcome:
        """ "Cancel all my alarms except the 8 o'clock one": each that stays must be known, or it is asked for."""
        head, tail = asked.text[: exception.start()], asked.text[exception.end() :]
        narrowed = Asked(head, asked.query, find_kinds(head))
        items, day, kept = self._board.meant(narrowed), named_day(narrowed), []
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

    async def _cancel_days(self, asked: Asked, items: list[Item], weekdays: frozenset[int]) -> Outcome:
        """ "Don't wake me on weekends": what goes off on those days and on others stays for the others."""
        if names_all(asked, items):
            gone = [item for item in items if _days(item) <= weekdays]
            if len(gone) == len(items):
                return await self._cancelled(asked, gone, f"{len(gone)} cancelled: {enumerate_items(gone)}.")
        found = self._board.choose(asked, items, "cancel")
        if isinstance(found, Abstention):
            return found
        rule = found.job.rule
        recurrence = leave_out(rule.recurrence, weekdays) if rule is not None else None
        if rule is None or recurrence is None:
            return await self._cancelled(asked, [found], f"{capital(found.title)} is cancelled.")
        changed = await self._board.update(asked, found, when=Rule(recurrence, rule.zone))
        following = f"; next at {spell_moment(changed.due, asked.now)}" if changed.due else ""
        text = f"{capital(found.title)} now goes off {spell_rule(recurrence)}{following}."
        return Answer(text, Action(f"{found.payload.kind}.changed", changed.slots()))

    async def _cancelled(self, asked: Asked, gone: list[Item], text: str) -> Outcome:
        kind = asked.kind
        await self._board.remove(asked, gone)
        slots: dict[str, Json] = {"count": len(gone), "items": [item.slots() for item in gone]}
        if len(gone) == 1:
            slots |= gone[0].slots()
            kind = gone[0].payload.kind
        return Answer(text, Action(f"{kind or 'timer'}.cancelled", slots))

    async def _skip(self, asked: Asked) -> Outcome:
        """ "Skip tomorrow's alarm", "skip the next one": once, where it repeats; for good, where it does not."""
        items, day = [item for item in self._board.meant(asked) if item.due is not None], named_day(asked)
        if day is not None:
            items = [item for item in items if goes_off(item, *day)] or items
        elif re.search(r"\bnext\b|\bupcoming\b", asked.text.lower()):
            # "The next one" of no kind that is named is one that comes again.
            items = [item for item in items if asked.kind or item.job.rule is not None][:1]
        found = self._board.choose(asked, items, "skip")
        if isinstance(found, Abstention):
            return found
        if found.job.rule is None or found.due is None:
            return await self._cancelled(asked, [found], f"{capital(found.title)} is cancelled; it was set once.")
        if day is not None:
            return await self._skip_day(asked, found, day)
        return await timer_changes.skip(self._board, asked, found, found.due)

    async def _skip_day(self, asked: Asked, item: Item, day: tuple[datetime, datetime]) -> Outcome:
        if item.due is not None and not day[0] <= item.due < day[1]:
            return Abstention(
                f"{capital(item.title)} can only be left out the next time, on "
                f"{spell_date(item.due.date(), asked.now.date())}. Shall it be?",
                "needs_input",
            )
        return await timer_changes.skip(self._board, asked, item, day[1] - timedelta(microseconds=1))


def _days(item: Item) -> frozenset[int]:
    return frozenset() if item.job.rule is None else days_of(item.job.rule.recurrence)


def _is_called_by_its_days(asked: Asked, item: Item) -> bool:
    """Whether a day in the sentence is the alarm's name rather than the day on which it is left out."""
    return called_by(asked.text) == _days(item) != frozenset()


_OF_MANY = re.compile(r"\b(?:all|every|everything|both|any|timers|alarms|reminders)\b")
_EXCEPT = re.compile(
    r",?\s*\b(?:except(?:ing|ed)?(?: for)?|but(?: not| for)?|apart from|other than|besides|save for|"
    r"leaving(?: out)?|without)\b",
    re.IGNORECASE,
)


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
