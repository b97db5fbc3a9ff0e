"""Lists as they are kept: two tables, what a look at them shows, and which items some words mean.

Items are found by their name, then by words that they share, then by meaning. Knows no sentences and answers nothing.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from ..servable import Encode
from ..values import Json, Query
from .choosing import Choice
from .ledger import Change, Ledger, Session, Undone, iso
from .list_items import Item, key, read_item, split_items
from .list_naming import find_list
from .meaning import Kept, Meanings, content_words
from .timex import find_number

OWNER = "lists"
# Of items that share no word with what was asked for, one this close in meaning is meant, if the next one is not.
MEANT_COSINE, MEANT_MARGIN = 0.55, 0.1
_STEPS = (
    "CREATE TABLE IF NOT EXISTS lists (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created TEXT "
    "NOT NULL)",
    "CREATE TABLE IF NOT EXISTS lists_items (id INTEGER PRIMARY KEY AUTOINCREMENT, list INTEGER NOT NULL, text TEXT "
    "NOT NULL, "
    "item TEXT NOT NULL, quantity REAL, unit TEXT, place REAL NOT NULL, added TEXT NOT NULL, done TEXT, vector BLOB)",
    "CREATE INDEX IF NOT EXISTS lists_items_by_list ON lists_items (list)",
    *Meanings.steps("lists_items"),
)


@dataclass(frozen=True, slots=True)
class List:
    id: int
    name: str

    @property
    def title(self) -> str:
        return f"{self.name} list"


class Entry(msgspec.Struct, frozen=True):
    """An item on a list. text: as said; item: without its quantity. place: where it stands. done: when ticked off."""

    id: int
    list: int
    text: str
    item: str
    quantity: int | float | None
    unit: str | None
    place: float
    done: str | None
    vector: bytes | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Entry:
        return cls(*(row[name] for name in cls.__struct_fields__))

    @property
    def key(self) -> str:
        return key(self.item)

    def slots(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "text": self.text,
            "item": self.item,
            "quantity": int(self.quantity) if self.quantity is not None and self.quantity % 1 == 0 else self.quantity,
            "unit": self.unit,
            "done": self.done is not None,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """entries: what is meant. missing: words that mean nothing there. unclear: items that are all meant equally."""

    entries: Sequence[Entry] = ()
    missing: Sequence[str] = ()
    unclear: Sequence[Entry] = ()


@dataclass(frozen=True, slots=True)
class State:
    """One look at all lists. entries: of each list those that are not ticked off first."""

    lists: Sequence[List]
    entries: Sequence[Entry]
    session: Session = field(default_factory=Session)

    @property
    def names(self) -> Sequence[str]:
        return [each.name for each in self.lists]

    def named(self, name: str) -> List | None:
        found = find_list(name, self.names)
        return next((each for each in self.lists if each.name == found), None)

    def list_of(self, list_id: int) -> List | None:
        return next((each for each in self.lists if each.id == list_id), None)

    def list_named(self, entry: Entry) -> str:
        found = self.list_of(entry.list)
        return found.name if found else ""

    def home(self) -> List | None:
        """The list that was spoken of last, or the only one there is."""
        return self.list_of(self.session.within) or (self.lists[0] if len(self.lists) == 1 else None)

    def of(self, home: List | None) -> list[Entry]:
        return [entry for entry in self.entries if home is not None and entry.list == home.id]

    def open(self, home: List | None) -> list[Entry]:
        return [entry for entry in self.of(home) if entry.done is None]

    def chosen(self, choice: Choice, home: List | None) -> list[Entry]:
        """Those of the last listing, unless another list is named; of that one's lines, else."""
        by_id = {entry.id: entry for entry in self.entries}
        if choice.that:
            spoken = self.session.spoken or self.session.shown[: len(self.session.shown) == 1]
            return [by_id[entry_id] for entry_id in spoken if entry_id in by_id]
        listed = [by_id.get(entry_id) for entry_id in self.session.shown]
        if not any(listed) or (home is not None and not any(entry.list == home.id for entry in listed if entry)):
            listed = [*self.of(home or self.home())]
        return [entry for entry in choice.among(listed) if entry is not None]


class Shelf:
    """The tables. What writes may wait for the disk: call it from a thread. Every method raises StoreError."""

    def __init__(self, database: Path, encode: Encode) -> None:
        self._ledger = Ledger(database, OWNER, _STEPS)
        self._meanings = Meanings(self._ledger, "lists_items", encode)

    async def load(self, query: Query) -> State:
        def read() -> State:
            with self._ledger.reading() as connection:
                return self.state(connection, query.session, query.now)

        return await self._ledger.look(read)

    def close(self) -> None:
        self._ledger.close()

    def state(self, connection: sqlite3.Connection, session: str, now: datetime) -> State:
        lists = [List(row["id"], row["name"]) for row in connection.execute("SELECT id, name FROM lists ORDER BY id")]
        rows = connection.execute(
            f"SELECT {', '.join(Entry.__struct_fields__)} FROM lists_items "  # noqa: S608 - names from code
            "ORDER BY list, done IS NOT NULL, place, id"
        )
        return State(lists, [Entry(*row) for row in rows], self._ledger.session(connection, session, now))

    @contextmanager
    def changing(self, kind: str, query: Query) -> Iterator[Change]:
        with self._ledger.changing(kind, query.now, rehearsal=query.rehearsal) as change:
            yield change

    def put(self, change: Change, home: List, item: Item, query: Query) -> Entry:
        place = change.connection.execute(
            "SELECT coalesce(max(place), 0) + 1 FROM lists_items WHERE list = ?", (home.id,)
        )
        entry = Entry(0, home.id, item.text, item.name, item.quantity, item.unit, float(place.fetchone()[0]), None)
        row_id = change.insert(
            "lists_items",
            list=home.id,
            text=item.text,
            item=item.name,
            quantity=item.quantity,
            unit=item.unit,
            place=entry.place,
            added=iso(query.now),
        )
        return replace(entry, id=row_id)

    def still(self, change: Change, entries: Sequence[Entry]) -> list[Entry]:
        """Those that are there still."""
        there = {row["id"] for row in change.connection.execute("SELECT id FROM lists_items")}
        return [entry for entry in entries if entry.id in there]

    def remove(self, entries: Sequence[Entry], home: List | None, query: Query) -> list[Entry]:
        with self.changing("removed", query) as change:
            there = self.still(change, entries)
            for entry in there:
                change.delete("lists_items", entry.id)
            self.keep(change.connection, query, home)
            return there

    def delete(self, lists: Sequence[List], query: Query) -> list[Entry]:
        """The lists themselves. Returns what was on them."""
        gone = []
        with self.changing("deleted", query) as change:
            state = self.state(change.connection, query.session, query.now)
            for each in lists:
                for entry in state.of(each):
                    change.delete("lists_items", entry.id)
                    gone.append(entry)
                if state.list_of(each.id) is not None:
                    change.delete("lists", each.id)
        return gone

    def reorder(self, change: Change, entries: Sequence[Entry], beside: Sequence[Entry], end: int) -> list[Entry]:
        """To the front (end 1) or the end (-1) of their list."""
        places = [entry.place for entry in beside]
        first = min(places, default=1.0) - len(entries) if end > 0 else max(places, default=0.0) + 1
        for offset, entry in enumerate(entries):
            change.update("lists_items", entry.id, place=first + offset)
        return [replace(entry, place=first + offset) for offset, entry in enumerate(entries)]

    def move(self, change: Change, entries: Sequence[Entry], target: List, there: Sequence[Entry]) -> list[Entry]:
        """To another list; what that one holds already is only taken off its old one."""
        mine, moved = {entry.key: entry for entry in there}, []
        place = max((entry.place for entry in there), default=0.0)
        for entry in entries:
            if entry.list == target.id:
                moved.append(entry)
            elif entry.key in mine:
                change.delete("lists_items", entry.id)
                moved.append(mine[entry.key])
            else:
                place += 1
                change.update("lists_items", entry.id, list=target.id, place=place)
                moved.append(replace(entry, list=target.id, place=place))
        return moved

    def undo(self, kinds: Sequence[str], query: Query) -> Undone | None:
        return self._ledger.undo(kinds, query.now, rehearsal=query.rehearsal)

    def remember(
        self,
        query: Query,
        home: List | None,
        spoken: Sequence[Entry] = (),
        shown: Sequence[Entry] | None = None,
        pending: str = "",
    ) -> None:
        """What the session is about now. shown: None leaves the last listing as it is."""
        if not query.rehearsal:
            with self._ledger.aside() as connection:
                self.keep(connection, query, home, spoken, shown, pending)

    def keep(  # noqa: PLR0917 - the places of `remember`
        self,
        connection: sqlite3.Connection,
        query: Query,
        home: List | None,
        spoken: Sequence[Entry] = (),
        shown: Sequence[Entry] | None = None,
        pending: str = "",
    ) -> None:
        """As `remember`, as a part of a change."""
        self._ledger.keep_session(
            connection,
            query.session,
            query.now,
            shown=None if shown is None else [entry.id for entry in shown],
            spoken=[entry.id for entry in spoken],
            within=home.id if home else 0,
            pending=pending,
        )

    # --- Which items --------------------------------------------------------------------------------------------------

    async def find(self, words: str, entries: Sequence[Entry], query: Query) -> Found:
        """What some words mean: one item by all of them, or one by each part that they fall into."""
        whole = _by_words(words, entries)
        if len(whole) == 1 and whole[0].key == key(read_item(words).name):
            return Found(whole)
        found: list[Entry] = []
        missing: list[str] = []
        parts = split_items(words, tasks=False)
        if len(parts) > 1 and whole and all(len(_by_words(part.name, entries)) == 0 for part in parts[1:]):
            parts = [read_item(words)]
        for part in parts:
            matched = _by_words(part.name, entries) or await self._by_meaning(part.name, entries, query)
            if len(matched) > 1 and not all(entry in found for entry in matched):
                return Found(unclear=matched)
            found += [entry for entry in matched if entry not in found]
            if not matched:
                missing.append(part.name)
        return Found(found, missing)

    async def _by_meaning(self, name: str, entries: Sequence[Entry], query: Query) -> list[Entry]:
        kept = [Kept(entry.id, entry.text, entry.vector) for entry in entries]
        cosines = await self._meanings.cosines(name, kept, rehearsal=query.rehearsal)
        if cosines is None or not entries:
            return []
        order = sorted(range(len(entries)), key=lambda at: (-float(cosines[at]), at))
        if cosines[order[0]] < MEANT_COSINE:
            return []
        best = [at for at in order if cosines[order[0]] - cosines[at] < MEANT_MARGIN]
        return [entries[at] for at in best]


def _by_words(name: str, entries: Sequence[Entry]) -> list[Entry]:
    """Those of that very name; else that hold all its words; else whose words it holds; else that share the half."""
    wanted = key(read_item(name).name)
    if exact := [entry for entry in entries if wanted == entry.key or wanted == key(entry.text)]:
        open_ones = [entry for entry in exact if entry.done is None]
        return open_ones or exact
    words = set(content_words(name))
    held = [(entry, set(content_words(entry.text))) for entry in entries]
    for fits in (
        lambda mine: words and words <= mine,
        lambda mine: mine and mine <= words,
        lambda mine: len(words & mine) * 2 >= len(words | mine) > 1 and len(words & mine) > 0,
    ):
        if matched := [entry for entry, mine in held if fits(mine)]:
            return matched
    return []


def only_quantity(words: str) -> tuple[int | float, str | None] | None:
    """Of "two loaves" or "a dozen", the number and the unit; None for anything that names an item."""
    item = read_item(f"{words.strip()} \x02")
    if item.name == "\x02" and item.quantity is not None:
        return item.quantity, item.unit
    number = find_number(words)
    whole = number is not None and re.fullmatch(r"\W*", words[: number.span[0]] + words[number.span[1] :]) is not None
    return (number.value, None) if number is not None and whole else None
