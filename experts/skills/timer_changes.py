"""What is done to timers, alarms and reminders that are set: snoozed, paused, moved, renamed, left out.

Which one is meant the board says, when `timer_time`. Each function answers, or asks back; it raises QueryError for a
time that cannot be, and StoreError when the disk does not take the change.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

from ..errors import QueryError
from ..journal import Rule
from ..values import Abstention, Action, Answer, Json, Outcome
from .timer_board import Board
from .timer_items import Asked, Item, capital, enumerate_items, names_all, without_length
from .timer_request import find_new_name
from .timer_time import find_when
from .timex import find_duration
from .wording import spell_moment, spell_rule, spell_span

SNOOZE = timedelta(minutes=9)
MAX_NAMED = 200


async def snooze(board: Board, asked: Asked) -> Outcome:
    """Once more, later; said again of the same one, that is moved on."""
    fired = board.gone_off(asked)
    if fired is None:
        return Abstention("Nothing has gone off lately that could be snoozed. When shall the alarm be?", "needs_input")
    when = find_when(asked.text, "timer", asked.query.now, asked.query.zone, asked.query.locale)
    if isinstance(when, Abstention):
        return when
    due = when.due if when is not None else (asked.now.astimezone(UTC) + SNOOZE).astimezone(asked.query.zone)
    item = Item(fired.job)
    of = f"{fired.job.id} {fired.due.astimezone(UTC).isoformat()}"
    waiting = next((each for each in board.items() if each.payload.snoozes == of), None)
    if waiting is not None:
        snoozed = await board.update(asked, waiting, when=due)
    else:
        snoozed = await board.add(asked, due, msgspec.structs.replace(item.payload, snoozes=of))
    text = f"{capital(item.title)} is snoozed until {spell_moment(due, asked.now)}, for {spell_span(due - asked.now)}."
    return Answer(text, Action(f"{item.payload.kind}.snoozed", snoozed.slots()))


async def pause(board: Board, asked: Asked) -> Outcome:
    running = [item for item in board.meant(asked) if item.due is not None]
    if names_all(asked, running) and len(running) > 1:
        paused = [await _paused(board, asked, item) for item in running]
        return _told_all(asked, "paused", f"{len(paused)} paused: {enumerate_items(running)}.", paused)
    item = board.choose(asked, running, "pause")
    if isinstance(item, Abstention):
        return item
    paused_item = await _paused(board, asked, item)
    left = paused_item.payload.left_s
    rest = "" if left is None else f" with {spell_span(timedelta(seconds=left))} left"
    action = Action(f"{item.payload.kind}.paused", paused_item.slots())
    return Answer(f"{capital(item.title)} is paused{rest}.", action)


async def _paused(board: Board, asked: Asked, item: Item) -> Item:
    assert item.due is not None  # noqa: S101 - chosen among those
    left = None if item.job.rule else (item.due - asked.now).total_seconds()
    return await board.update(asked, item, payload=msgspec.structs.replace(item.payload, left_s=left), paused=True)


async def resume(board: Board, asked: Asked) -> Outcome:
    paused = [item for item in board.meant(asked) if item.due is None]
    if not paused and board.meant(asked):
        return Abstention("None is paused; which one shall run on?", "needs_input")
    if names_all(asked, paused) and len(paused) > 1:
        resumed = [await _resumed(board, asked, item) for item in paused]
        return _told_all(asked, "resumed", f"{len(resumed)} run on: {enumerate_items(resumed)}.", resumed)
    item = board.choose(asked, paused, "resume")
    if isinstance(item, Abstention):
        return item
    item = await _resumed(board, asked, item)
    at = spell_moment(item.due, asked.now) if item.due else ""
    text = f"{capital(item.title)} runs on; it goes off at {at}."
    return Answer(text, Action(f"{item.payload.kind}.resumed", item.slots()))


async def _resumed(board: Board, asked: Asked, item: Item) -> Item:
    due = (asked.now.astimezone(UTC) + timedelta(seconds=item.payload.left_s or 0)).astimezone(asked.query.zone)
    payload = msgspec.structs.replace(item.payload, left_s=None)
    return await board.update(asked, item, when=item.job.rule or due, payload=payload)


def _told_all(asked: Asked, verb: str, text: str, items: list[Item]) -> Outcome:
    slots: dict[str, Json] = {"count": len(items), "items": [item.slots() for item in items]}
    return Answer(text, Action(f"{asked.kind or 'timer'}.{verb}", slots))


async def skip(board: Board, asked: Asked, item: Item, until: datetime) -> Outcome:
    """ "Don't wake me tomorrow" leaves a repeating alarm out up to then, and keeps it."""
    skipped = await board.update(asked, item, skip_to=until)
    following = f"; next at {spell_moment(skipped.due, asked.now)}" if skipped.due else ""
    text = f"{capital(item.title)} is left out this once{following}."
    return Answer(text, Action(f"{item.payload.kind}.skipped", skipped.slots()))


_LESS = re.compile(r"\b(?:shorten|shorter|reduce|less|knock|take|off|subtract)\b", re.IGNORECASE)


async def extend(board: Board, asked: Asked) -> Outcome:
    found = find_duration(without_length(asked.text))
    if found is None:
        return Abstention("By how much?", "needs_input")
    by = -found[0] if _LESS.search(asked.text) else found[0]
    item = board.choose(asked, board.meant(asked), "change", duration_names=False)
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
    changed = await board.update(asked, item, when=due, payload=payload, paused=due is None)
    at = f"; it goes off at {spell_moment(due, asked.now.astimezone(due.tzinfo))}" if due else ""
    text = f"{capital(changed.title)} now has {spell_span(left)} left{at}."
    return Answer(text, Action(f"{payload.kind}.extended", {**changed.slots(), "left_s": left.total_seconds()}))


async def change(board: Board, asked: Asked) -> Outcome:
    """ "Move my 7 o'clock alarm to 8": what stands before the "to" says which, what stands after it says when."""
    if (naming := find_new_name(asked.text)) is not None:
        return await _rename(board, asked, *naming)
    before, after = _parted(asked.text)
    after = f"at {after}" if after[:1].isdigit() else after
    when = find_when(after, asked.kind, asked.query.now, asked.query.zone, asked.query.locale) if after else None
    if isinstance(when, Abstention):
        return when
    if when is None:
        return Abstention("To what time?", "needs_input")
    narrowed = Asked(before, asked.query, asked.kinds)
    item = board.choose(narrowed, board.meant(asked), "change")
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
    changed = await board.update(asked, item, when=rule or due, payload=payload)
    repeats = f", {spell_rule(rule.recurrence)}" if rule else ""
    local = due.astimezone(asked.query.zone)
    ahead = spell_span(local - asked.now)
    text = f"{capital(item.title)} is moved to {spell_moment(local, asked.now)}{repeats}, in {ahead}."
    return Answer(text, Action(f"{payload.kind}.changed", changed.slots()))


async def _rename(board: Board, asked: Asked, which: str, name: str) -> Outcome:
    if not name:
        return Abstention("What shall it be called?", "needs_input")
    item = board.choose(Asked(which, asked.query, asked.kinds), board.meant(asked), "rename")
    if isinstance(item, Abstention):
        return item
    place = "text" if item.payload.kind == "reminder" else "name"
    renamed = await board.update(
        asked, item, payload=msgspec.structs.replace(item.payload, **{place: name[:MAX_NAMED]})
    )
    action = Action(f"{item.payload.kind}.renamed", renamed.slots())
    return Answer(f"{capital(item.title)} is now {renamed.title}.", action)


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
