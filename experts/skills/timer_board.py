"""What is set: the scheduler's jobs read as items, changed and removed, and the one of them that a sentence means."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec

from ..journal import Firing, Job, Rule
from ..schedule import Scheduler
from ..values import Abstention
from .timer_items import (
    Asked,
    Item,
    Payload,
    enumerate_items,
    named_length,
    single_out,
    speaks_of,
    time_spans,
    unmatched_time,
)
from .timer_request import find_name
from .timex import find_duration
from .wording import spell_span

OWNER = "timers"
# How long after it went off an alarm may still be snoozed or stopped.
SNOOZABLE = timedelta(hours=1)


class Board:
    """Every change is durable when it returns; in a rehearsal it only says what would be. Raises: StoreError."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    # --- Changing -----------------------------------------------------------------------------------------------------

    async def add(self, asked: Asked, when: datetime | Rule, payload: Payload) -> Item:
        plain = msgspec.to_builtins(payload)
        if not asked.query.rehearsal:
            return Item(await self._scheduler.add(OWNER, secrets.token_hex(4), when, plain))
        return Item(_timed(Job(OWNER, "", None, plain), when, asked.now))

    async def update(
        self,
        asked: Asked,
        item: Item,
        *,
        when: datetime | Rule | None = None,
        payload: Payload | None = None,
        paused: bool = False,
        skip_to: datetime | None = None,
    ) -> Item:
        """As `Scheduler.update`."""
        plain = item.job.payload if payload is None else msgspec.to_builtins(payload)
        if not asked.query.rehearsal:
            return Item(
                await self._scheduler.update(
                    OWNER, item.job.id, when=when, payload=plain, paused=paused, skip_to=skip_to
                )
            )
        job = replace(item.job, payload=plain)
        if when is not None:
            job = _timed(job, when, asked.now)
        if skip_to is not None and job.rule is not None:
            job = replace(job, due=job.rule.next_after(skip_to))
        return Item(replace(job, due=None) if paused else job)

    async def remove(self, asked: Asked, items: list[Item]) -> None:
        if items and not asked.query.rehearsal:
            await self._scheduler.remove(OWNER, *(item.job.id for item in items))

    # --- Which ones ---------------------------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        """All, the next one first, paused ones last."""
        return [Item(job) for job in self._scheduler.jobs(OWNER)]

    def meant(self, asked: Asked) -> list[Item]:
        """Those of the kinds that the sentence speaks of; all of them where it speaks of none."""
        return [item for item in self.items() if item.payload.kind in asked.kinds or not asked.kinds]

    def is_ours(self, asked: Asked) -> bool:
        """Whether a sentence that names no timer, alarm or reminder can mean one: "cancel it", "five more minutes"."""
        if len(asked.text.split()) <= 3 or find_duration(asked.text) is not None:
            return True
        lower = asked.text.lower()
        if re.search(r"\b(?:it|that|this|them|everything|all of them|that one|left|remaining|snooz\w*)\b", lower):
            return True
        return bool(single_out(self.items(), asked))

    def gone_off(self, asked: Asked) -> Firing | None:
        """What went off last, if that was lately, of the kind that is spoken of."""
        for firing in self._scheduler.fired(OWNER):
            if asked.now - firing.fired > SNOOZABLE:
                return None
            if asked.kind in ("", Item(firing.job).payload.kind) or "snooz" in asked.text.lower():
                return firing
        return None

    def choose(self, asked: Asked, items: list[Item], verb: str, *, duration_names: bool = True) -> Item | Abstention:
        """The one of the items that is meant, or the question which. duration_names: a length of time says which."""
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
        if not chosen and (length := named_length(asked)) is not None:
            return none_such(asked, items, f"of {spell_span(length)}")
        if not chosen and duration_names and (missing := unmatched_time(asked, anywhere=verb == "cancel")):
            return none_such(asked, items, missing)
        if not chosen and len(items) == 1:
            return items[0]
        return Abstention(f"Which one shall I {verb}: {enumerate_items(chosen or items, 'or')}?", "needs_input")


def none_such(asked: Asked, items: list[Item], missing: str) -> Abstention:
    kind = asked.kind or "timer, alarm or reminder"
    there = f"there {'is' if len(items) == 1 else 'are'} {enumerate_items(items)}"
    return Abstention(f"There is no {kind} {missing}; {there}.", "needs_input")


def _timed(job: Job, when: datetime | Rule, now: datetime) -> Job:
    if isinstance(when, Rule):
        return replace(job, due=when.next_after(now), rule=when)
    return replace(job, due=when.astimezone(UTC), rule=None)
