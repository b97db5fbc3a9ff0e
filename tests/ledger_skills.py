"""What tests of the skills with a ledger share: a person who speaks to one, and a look at its database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from zoneinfo import ZoneInfo

import pytest

from expertd.experts.schedule import Scheduler
from expertd.experts.servable import Encode, Host
from expertd.experts.skills.ledger import Ledger
from expertd.experts.skills.registry import Skill
from expertd.experts.values import Outcome, Query

BERLIN = ZoneInfo("Europe/Berlin")
# A Monday.
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=BERLIN)

SkillT = TypeVar("SkillT", bound=Skill)


class Speaker(Generic[SkillT]):
    """Says sentences to the skill, a minute after one another."""

    def __init__(self, database: Path, make: Callable[[Host], SkillT], encode: Encode) -> None:
        self.database = database
        self.now = NOW
        self._make, self._encode = make, encode
        self.skill = self.another()

    def another(self) -> SkillT:
        scheduler = cast("Scheduler", None)
        return self._make(Host(self.database.parent, self.database, scheduler, lambda: self.now, self._encode))

    async def says(self, text: str, intent: str = "", **more: Any) -> Outcome:
        self.now += timedelta(minutes=1)
        return await self.skill.answer(Query(text, self.now, BERLIN, intent=intent, **{"session": "s", **more}))

    async def says_at_once(self, texts: Sequence[str]) -> None:
        """To the skill and to another one on its database in turn, each in a session of its own."""
        skills = [self.skill, self.another()]
        queries = [Query(text, NOW, BERLIN, session=str(at)) for at, text in enumerate(texts)]
        await asyncio.gather(*(skills[at % 2].answer(query) for at, query in enumerate(queries)))

    def dump(self) -> list[str]:
        """The database, as SQL."""
        with sqlite3.connect(self.database) as connection:
            return list(connection.iterdump())


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers that are opened from now on have no page more than they need."""
    connect = Ledger._connect

    def small(ledger: Ledger) -> sqlite3.Connection:
        connection = connect(ledger)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(Ledger, "_connect", small)
