"""Named lists: items added, shown, looked for, ticked off, removed, moved and changed; lists made, cleared, deleted.

They lie in the shared database, so any number of versions may be loaded at once. What a sentence asks for is worked out
in `list_request`, what an item is in `list_items`, which lines are meant in `list_store`; what is done about it, here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from ..errors import StoreError
from ..servable import Host
from ..values import Abstention, Action, Answer, Json, Outcome, Query
from .follow_up import read_in_context
from .ledger import Change, Session, Undone, iso
from .list_items import Item, is_task, read_item, split_items
from .list_naming import find_list, is_for_tasks
from .list_request import Request, follows_up, read_request
from .list_store import Entry, Found, List, Shelf, State, only_quantity
from .list_wording import count_items, enumerate_entries, is_or_are, listing, sentence, told_missing, told_slots

MAX_TEXT = 4_000
MAX_LISTS = 200
MAX_ITEMS = 500
DEFAULT, DEFAULT_FOR_TASKS = "shopping", "to-do"


class Lists:
    """Answers `Action`: "list.created", "list.item_added", "list.shown", "lists.shown", "list.checked",
    "list.item_ticked", "list.item_unticked", "list.item_removed", "list.item_moved", "list.item_changed",
    "list.renamed", "list.cleared", "list.deleted", "list.restored".

    Slots: list, items (each as in `Entry.slots`), count, and missing: what was not found.
    """

    def __init__(self, host: Host) -> None:
        self._shelf = Shelf(host.database, host.encode)

    async def answer(self, query: Query) -> Outcome:
        if len(query.text) > MAX_TEXT:
            return _not_mine()

        async def session() -> Session:
            return (await self._shelf.load(query)).session

        request, query = await read_in_context(query, session, follows_up, read_request)
        if request is None:
            return _not_mine()
        state = await self._shelf.load(query)
        match request.verb:
            case "add":
                return await self._add(request, query, state)
            case "create":
                return await self._create(request, query, state)
            case "show":
                return await self._show(request, query, state)
            case "check":
                return await self._check(request, query, state)
            case "tick":
                return await self._tick(request, query, state)
            case "remove":
                return await self._remove(request, query, state)
            case "move":
                return await self._move(request, query, state)
            case "change":
                return await self._change(request, query, state)
            case "clear":
                return await self._clear(request, query, state)
            case _:
                return await self._undo(query)

    def close(self) -> None:
        self._shelf.close()

    # --- Adding -------------------------------------------------------------------------------------------------------

    async def _add(self, request: Request, query: Query, state: State) -> Outcome:
        words = request.items
        if query.antecedent < 0 and not words and query.document is not None:
            words = query.document.text[:MAX_TEXT]
        if not words:
            return Abstention("What shall I add?", "needs_input")
        name = request.list
        if not name:
            within = state.list_of(state.session.within)
            only = state.lists[0] if len(state.lists) == 1 else None
            home = within or only
            name = home.name if home else DEFAULT_FOR_TASKS if is_task(words) and not _BUYS.match(words) else DEFAULT
        name = find_list(name, state.names) or name
        items = split_items(
            words, tasks=is_for_tasks(name) or (name != DEFAULT and is_task(words) and not _BUYS.match(words))
        )
        if not items:
            return Abstention("What shall I add?", "needs_input")
        return await asyncio.to_thread(self._insert, name, items, query)

    def _insert(self, name: str, items: Sequence[Item], query: Query) -> Outcome:
        added, there, made = [], [], False
        with self._shelf.changing("added", query) as change:
            state = self._shelf.state(change.connection, query.session, query.now)
            home = state.named(name)
            if home is None:
                home, made = self._new_list(change, name, state, query), True
            mine = {entry.key: entry for entry in state.of(home)}
            for item in items:
                old = mine.get(item.key)
                if old is not None and old.done is None and item.quantity in (None, old.quantity):
                    there.append(old)
                    continue
                if old is not None:
                    entry = msgspec.structs.replace(
                        old, text=item.text, quantity=item.quantity, unit=item.unit, done=None
                    )
                    change.update(
                        "lists_items", old.id, text=item.text, quantity=item.quantity, unit=item.unit, done=None
                    )
                else:
                    if len(mine) >= MAX_ITEMS:
                        raise StoreError(
                            f"{home.title}: {MAX_ITEMS} items are on it and no more fit; remove some first"
                        )
                    entry = self._shelf.put(change, home, item, query)
                mine[entry.key] = entry
                added.append(entry)
            self._shelf.keep(change.connection, query, home, added or there)
        told = []
        if added:
            new = "new " * made
            told.append(f"{enumerate_entries(added)} {is_or_are(added)} on the {new}{home.title}.")
        if there:
            told.append(sentence(f"{enumerate_entries(there)} {is_or_are(there)} on the {home.title} already."))
        slots = {**told_slots(home, added), "already": [entry.slots() for entry in there], "new": made}
        return Answer(sentence(" ".join(told)), Action("list.item_added", slots))

    def _new_list(self, change: Change, name: str, state: State, query: Query) -> List:
        if len(state.lists) >= MAX_LISTS:
            raise StoreError(f"{MAX_LISTS} lists are kept and no more fit; delete some first")
        return List(change.insert("lists", name=name, created=iso(query.now)), name)

    async def _create(self, request: Request, query: Query, state: State) -> Outcome:
        if not request.list:
            return Abstention("What shall the list be called?", "needs_input")
        there = state.named(request.list)
        if there is not None:
            count = len(state.of(there))
            return Abstention(
                f"There is a {there.title} already, with {count_items(count)}. What shall go on it?", "needs_input"
            )
        items = split_items(request.items, tasks=is_for_tasks(request.list)) if request.items else []

        def create() -> tuple[List, list[Entry]]:
            with self._shelf.changing("created", query) as change:
                fresh = self._shelf.state(change.connection, query.session, query.now)
                made = fresh.named(request.list) or self._new_list(change, request.list, fresh, query)
                entries = [self._shelf.put(change, made, item, query) for item in items[:MAX_ITEMS]]
                self._shelf.keep(change.connection, query, made, entries)
                return made, entries

        made, entries = await asyncio.to_thread(create)
        tail = f" with {enumerate_entries(entries)}" if entries else ""
        return Answer(f"The {made.title} is made{tail}.", Action("list.created", told_slots(made, entries)))

    # --- Showing ------------------------------------------------------------------------------------------------------

    async def _show(self, request: Request, query: Query, state: State) -> Outcome:
        home = state.named(request.list) if request.list else state.home()
        if request.lists or (home is None and not request.list):
            lists: list[Json] = [
                {"list": each.name, "count": len(state.of(each)), "open": len(state.open(each))} for each in state.lists
            ]
            action = Action("lists.shown", {"lists": lists, "count": len(lists)})
            if not state.lists:
                return Answer("You have no lists.", action)
            lines = "\n".join(f"- {each.name}: {count_items(len(state.open(each)))}" for each in state.lists)
            count = len(state.lists)
            return Answer(f"You have {count} list{'s' * (count != 1)}:\n{lines}", action)
        if home is None:
            empty = Action("list.shown", {"list": request.list, "count": 0, "open": 0, "items": []})
            return Answer(f"There is no {List(0, request.list).title} yet.", empty)
        entries = [entry for entry in state.of(home) if entry.done is not None or not request.done]
        count = len([entry for entry in entries if entry.done is None])
        await asyncio.to_thread(self._shelf.remember, query, home, (), entries)
        action = Action("list.shown", {**told_slots(home, entries), "open": count})
        if not entries:
            return Answer(
                f"{'Nothing is ticked off on' if request.done else 'Nothing is on'} the {home.title}.", action
            )
        ticked = f", {len(entries) - count} ticked off" if count < len(entries) and not request.done else ""
        head = f"{sentence(home.title)}, {count_items(len(entries) if request.done else count)}{ticked}"
        return Answer(f"{head}:\n{listing(entries)}", action)

    async def _check(self, request: Request, query: Query, state: State) -> Outcome:
        name = request.items
        if not name:
            return await self._show(request, query, state)
        home = state.named(request.list) if request.list else None
        matched: Sequence[Entry] = ()
        if request.list and home is None:
            title = List(0, request.list).title
        else:
            title = home.title if home else "any list"
            found = await self._shelf.find(name, state.of(home) if home else state.entries, query)
            matched = found.entries
        item = read_item(name).name
        slots: dict[str, Json] = {
            "item": item,
            "found": bool(matched),
            "list": state.list_named(matched[0]) if matched else request.list,
            "items": [entry.slots() for entry in matched],
        }
        action = Action("list.checked", slots)
        if not matched:
            return Answer(f"No, {item} is not on {'' if title == 'any list' else 'the '}{title}.", action)
        await asyncio.to_thread(self._shelf.remember, query, state.list_of(matched[0].list), matched)
        open_ones = [entry for entry in matched if entry.done is None]
        where = " and ".join(dict.fromkeys(f"the {state.list_named(entry)} list" for entry in open_ones or matched))
        if open_ones:
            return Answer(f"Yes, {enumerate_entries(open_ones)} {is_or_are(open_ones)} on {where}.", action)
        return Answer(f"No, {enumerate_entries(matched)} {is_or_are(matched)} ticked off already on {where}.", action)

    # --- Ticking and removing -----------------------------------------------------------------------------------------

    async def _tick(self, request: Request, query: Query, state: State) -> Outcome:
        found = await self._meant(request, query, state, "untick" if request.done else "tick off")
        if isinstance(found, Abstention):
            return found
        home, moment = state.list_of(found.entries[0].list), None if request.done else iso(query.now)

        def tick() -> list[Entry]:
            with self._shelf.changing("ticked", query) as change:
                there = self._shelf.still(change, found.entries)
                for entry in there:
                    change.update("lists_items", entry.id, done=moment)
                ticked = [msgspec.structs.replace(entry, done=moment) for entry in there]
                self._shelf.keep(change.connection, query, home, ticked)
                return ticked

        ticked = await asyncio.to_thread(tick)
        verb = "no longer ticked" if request.done else "ticked off"
        said = f"{enumerate_entries(ticked)} {is_or_are(ticked)} {verb}.{told_missing(found, home)}"
        name = "list.item_unticked" if request.done else "list.item_ticked"
        return Answer(sentence(said), Action(name, {**told_slots(home, ticked), "missing": found.missing}))

    async def _remove(self, request: Request, query: Query, state: State) -> Outcome:
        if request.done:
            return await self._clear(request, query, state)
        found = await self._meant(request, query, state, "remove")
        if isinstance(found, Abstention):
            return found
        home = state.list_of(found.entries[0].list)
        gone = await asyncio.to_thread(self._shelf.remove, found.entries, home, query)
        title, rest = home.title if home else "list", told_missing(found, home)
        said = f"{enumerate_entries(gone)} {is_or_are(gone)} off the {title}.{rest}"
        return Answer(sentence(said), Action("list.item_removed", {**told_slots(home, gone), "missing": found.missing}))

    async def _clear(self, request: Request, query: Query, state: State) -> Outcome:
        if _EXCEPT.search(query.text):
            entries = state.of(state.named(request.list) if request.list else state.home())
            return Abstention(
                f"Which ones shall I remove? Name them, or their numbers.\n{listing(entries)}", "needs_input"
            )
        if request.lists:
            if not state.lists:
                return Abstention("There are no lists.", "needs_input")
            if not request.every:
                return await self._confirm("delete all my lists", f"Shall I delete {len(state.lists)} lists?", query)
            return await self._deleted(state.lists, query)
        home = state.named(request.list) if request.list else state.home()
        if home is None:
            which = f"There is no {List(0, request.list).title}." if request.list else "Which list?"
            return Abstention(which, "needs_input")
        entries = state.of(home)
        if request.whole:
            if entries and not request.every:
                pending = f"delete the whole {home.title}"
                return await self._confirm(
                    pending, f"Shall I delete the {home.title} with {count_items(len(entries))}?", query
                )
            return await self._deleted([home], query)
        gone = [entry for entry in entries if entry.done is not None] if request.done else entries
        if not gone:
            ticked = "Nothing is ticked off" if request.done else "Nothing is"
            return Abstention(f"{ticked} on the {home.title}.", "needs_input")
        if not request.every and not request.done and state.open(home):
            pending = f"clear everything on the {home.title}"
            return await self._confirm(
                pending, f"Shall I take all {count_items(len(gone))} off the {home.title}?", query
            )
        gone = await asyncio.to_thread(self._shelf.remove, gone, home, query)
        them = "them" if len(gone) > 1 else "it"
        said = f'{count_items(len(gone))} taken off the {home.title}. Say "undo" to bring {them} back.'
        return Answer(said, Action("list.cleared", told_slots(home, gone)))

    async def _confirm(self, pending: str, question: str, query: Query) -> Abstention:
        await asyncio.to_thread(self._shelf.remember, query, None, (), None, pending)
        return Abstention(f'{question} Say "{pending}".', "needs_input")

    async def _deleted(self, lists: Sequence[List], query: Query) -> Outcome:
        gone = await asyncio.to_thread(self._shelf.delete, lists, query)
        slots = {**told_slots(lists[0], gone), "lists": [each.name for each in lists]}
        what = f"The {lists[0].title}" if len(lists) == 1 else f"{len(lists)} lists"
        are = "is" if len(lists) == 1 else "are"
        return Answer(
            f'{what} {are} deleted, {count_items(len(gone))} in all. Say "undo" to bring it back.',
            Action("list.deleted", slots),
        )

    # --- Moving and changing ------------------------------------------------------------------------------------------

    async def _move(self, request: Request, query: Query, state: State) -> Outcome:
        if not request.top and not request.other:
            return Abstention("To which list?", "needs_input")
        if request.every:
            home = state.named(request.list) if request.list else state.home()
            if home is None or not state.of(home):
                return Abstention("There is nothing on that list to move.", "needs_input")
            found = Found(state.of(home))
        else:
            meant = await self._meant(request, query, state, "move")
            if isinstance(meant, Abstention):
                return meant
            found = meant
        source = state.list_of(found.entries[0].list)

        def move() -> tuple[List | None, list[Entry]]:
            with self._shelf.changing("moved", query) as change:
                fresh = self._shelf.state(change.connection, query.session, query.now)
                there = self._shelf.still(change, found.entries)
                if request.top:
                    target = source
                    moved = self._shelf.reorder(change, there, fresh.of(source), request.top)
                else:
                    target = fresh.named(request.other) or self._new_list(change, request.other, fresh, query)
                    moved = self._shelf.move(change, there, target, fresh.of(target))
                self._shelf.keep(change.connection, query, target, moved)
                return target, moved

        target, moved = await asyncio.to_thread(move)
        slots = {**told_slots(target, moved), "from": source.name if source else "", "missing": found.missing}
        place = {1: "now first on", -1: "now last on"}.get(request.top, "moved to")
        title, rest = target.title if target else "list", told_missing(found, source)
        said = f"{enumerate_entries(moved)} {is_or_are(moved)} {place} the {title}.{rest}"
        return Answer(sentence(said), Action("list.item_moved", slots))

    async def _change(self, request: Request, query: Query, state: State) -> Outcome:
        if request.whole:
            home = state.named(request.list)
            if home is None:
                return Abstention(f"There is no {List(0, request.list).title}.", "needs_input")
            if not request.other:
                return Abstention(f"What shall the {home.title} be called?", "needs_input")
            if (other := state.named(request.other)) is not None and other.id != home.id:
                return Abstention(f"There is a {other.title} already. What shall it be called?", "needs_input")

            list_id = home.id

            def rename() -> None:
                with self._shelf.changing("renamed", query) as change:
                    change.update("lists", list_id, name=request.other)

            await asyncio.to_thread(rename)
            slots: dict[str, Json] = {"list": request.other, "before": home.name}
            return Answer(f"The {home.title} is now the {List(0, request.other).title}.", Action("list.renamed", slots))
        old = request.old if request.old and not only_quantity(request.old) else read_item(request.items).name
        if not old or (only_quantity(old) and not request.choice):
            return Abstention("Which item shall I change, and to what?", "needs_input")
        found = await self._meant(replace(request, items=old), query, state, "change")
        if isinstance(found, Abstention):
            return found
        entry = found.entries[0]
        if not request.items:
            return Abstention(f'What shall "{entry.text}" become? Say "change {entry.item} to …".', "needs_input")
        home = state.list_of(entry.list)
        item = read_item(request.items, task=is_for_tasks(home.name if home else ""))
        if quantity := only_quantity(request.items):
            item = Item(f"{request.items.strip()} {entry.item}", entry.item, *quantity)

        def change_it() -> Entry:
            with self._shelf.changing("changed", query) as change:
                change.update(
                    "lists_items",
                    entry.id,
                    text=item.text,
                    item=item.name,
                    quantity=item.quantity,
                    unit=item.unit,
                    vector=None,
                )
                changed = msgspec.structs.replace(
                    entry, text=item.text, item=item.name, quantity=item.quantity, unit=item.unit
                )
                self._shelf.keep(change.connection, query, home, [changed])
                return changed

        changed = await asyncio.to_thread(change_it)
        said = f"{entry.text} is now {changed.text} on the {home.title if home else 'list'}."
        return Answer(
            sentence(said), Action("list.item_changed", {**told_slots(home, [changed]), "before": entry.text})
        )

    # --- Undoing ------------------------------------------------------------------------------------------------------

    async def _undo(self, query: Query) -> Outcome:
        lower = query.text.lower()
        kinds: tuple[str, ...] = ()
        if re.search(r"\b(?:un)?tick|\bcheck", lower):
            kinds = ("ticked",)
        elif re.search(r"delet|remov|clear|recover|restor|\bback\b|eras|wrong item", lower):
            kinds = ("removed", "deleted")
        undone = await asyncio.to_thread(self._shelf.undo, kinds, query)
        if undone is None:
            return Abstention("Nothing of that kind was changed in your lists within the last day.", "needs_input")
        state = await self._shelf.load(query)
        entries, lists = _parted(undone)
        home = lists[0] if lists else state.list_of(entries[0].list) if entries else None
        await asyncio.to_thread(self._shelf.remember, query, home, entries)
        title = home.title if home else "list"
        what = enumerate_entries(entries) if entries else f"The {title}"
        said = {
            "removed": f"Back on the {title}: {what}.",
            "deleted": f"The {title} is back, with {count_items(len(entries))}.",
            "added": f"Taken off the {title} again: {what}.",
            "created": f"The {title} is gone again.",
            "ticked": f"As before on the {title}: {what}.",
            "moved": f"Moved back: {what}.",
        }.get(undone.kind, f"As before: {what}.")
        if len(lists) > 1:
            said = f"{len(lists)} lists are back, with {count_items(len(entries))}."
        return Answer(said, Action("list.restored", {**told_slots(home, entries), "undone": undone.kind}))

    # --- Which items --------------------------------------------------------------------------------------------------

    async def _meant(self, request: Request, query: Query, state: State, verb: str) -> Found | Abstention:
        """The items that are meant, one at least; or the question which."""
        home = state.named(request.list) if request.list else None
        if request.list and home is None:
            return Abstention(f"There is no {List(0, request.list).title}.", "needs_input")
        near = home or state.home()
        if request.choice:
            entries = state.chosen(request.choice, home)
            return Found(entries) if entries else Abstention(f"There is no such item to {verb}.", "needs_input")
        if request.every or re.fullmatch(
            r"(?:everything|all(?: of (?:it|them))?|it all|all (?:the )?items)", request.items
        ):
            entries = state.open(near) if near and verb == "tick off" else state.of(near) if near else []
            return Found(entries) if entries else Abstention(f"There is nothing on it to {verb}.", "needs_input")
        if not request.items:
            return Abstention(f"Which item shall I {verb}?", "needs_input")
        candidates = state.of(near) if near else state.entries
        if _EXCEPT.search(request.items):
            return Abstention(
                f"Which items shall I {verb}? Name them, or their numbers.\n{listing(candidates)}", "needs_input"
            )
        found = await self._shelf.find(request.items, candidates, query)
        if not found.entries and home is None and near is not None:
            # It is not on the list that was spoken of last, and none was named.
            found = await self._shelf.find(request.items, state.entries, query)
        if found.unclear:
            ids = [entry.id for entry in found.unclear]
            await asyncio.to_thread(self._shelf.remember, query, near, (), found.unclear, f"{verb} item {{}}")
            several = len({entry.list for entry in found.unclear}) > 1
            lines = listing(found.unclear, [state.list_named(entry) for entry in found.unclear] if several else ())
            return Abstention(f"Which one shall I {verb}?\n{lines}", "needs_input") if ids else found
        if not found.entries:
            where = f"on the {home.title}" if home else "on your lists"
            return Abstention(f'There is no "{request.items}" {where} to {verb}.', "needs_input")
        return found


_EXCEPT = re.compile(
    r"\b(?:except|apart from|other than|all but|everything but|besides|but (?:not|for))\b", re.IGNORECASE
)
_BUYS = re.compile(r"(?:to )?(?:buy|get|pick up)\b", re.IGNORECASE)


def _not_mine() -> Abstention:
    return Abstention("this asks for nothing with lists", "not_mine")


def _parted(undone: Undone) -> tuple[list[Entry], list[List]]:
    """The items and the lists that a change had touched."""
    rows = [(table, before or after or {}) for table, before, after in undone.rows]
    entries = [Entry.of_row(row) for table, row in rows if table == "lists_items"]
    return entries, [List(row["id"], row["name"]) for table, row in rows if table == "lists"]
