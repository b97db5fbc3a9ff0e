"""Notes: written down, shown, found by their words and their meaning, changed, deleted, and brought back.

They lie in the shared database, so any number of versions may be loaded at once. What a sentence asks for is worked out
in `note_request`; how texts are found in `meaning`; how changes are kept in `ledger`.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from ..errors import QueryError, StoreError
from ..servable import Host
from ..values import Abstention, Action, Answer, Json, Outcome, Query
from .choosing import Choice
from .follow_up import read_in_context
from .ledger import Ledger, Session, iso
from .meaning import Hit, Kept, Meanings, rank
from .note_request import Request, follows_up, is_topic, read_request
from .note_time import find_written, written_words
from .timex import resolve_all
from .wording import spell_moment

OWNER = "notes"
MAX_CHARACTERS = 10_000
MAX_NOTES = 10_000
MAX_SHOWN = 20
# A note is about what is asked when it holds at least this share of its words, or is this close in meaning.
FOUND_WORDS, FOUND_COSINE = 0.5, 0.28
# Below this, and without a word in common, nothing is deleted or changed unasked.
SURE_COSINE = 0.6
# Two notes whose scores differ by less are both meant, or neither.
CLOSE = 0.15
_STEPS = (
    "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, created TEXT NOT "
    "NULL, "
    "changed TEXT, vector BLOB)",
    "CREATE INDEX IF NOT EXISTS notes_by_age ON notes (created, id)",
    *Meanings.steps(OWNER),
)


class Note(msgspec.Struct, frozen=True):
    """created, changed: ISO 8601 in UTC; changed: None where it never was. vector: see `meaning`."""

    id: int
    text: str
    created: str
    changed: str | None
    vector: bytes | None = None

    def slots(self, zone: ZoneInfo) -> dict[str, Json]:
        return {
            "id": self.id,
            "text": self.text,
            "created": _local(self.created, zone).isoformat(timespec="seconds"),
            "changed": None if self.changed is None else _local(self.changed, zone).isoformat(timespec="seconds"),
        }

    @property
    def short(self) -> str:
        line = " ".join(self.text.split())
        return line if len(line) <= 120 else f"{line[:119].rstrip()}…"


class Notes:
    """Answers `Action`: "note.created", "notes.listed", "notes.found", "note.changed", "note.deleted", "note.restored";
    slots as in `Note.slots`, with "items" and "count" where there may be several."""

    def __init__(self, host: Host) -> None:
        # The grammar of times is built on first use, which takes a while: now, not in a request.
        resolve_all("yesterday", datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))
        self._ledger = Ledger(host.database, OWNER, _STEPS)
        self._meanings = Meanings(self._ledger, OWNER, host.encode)

    def close(self) -> None:
        self._ledger.close()

    async def answer(self, query: Query) -> Outcome:
        async def session() -> Session:
            return await self._ledger.look(lambda: self._session(query))

        request, query = await read_in_context(query, session, follows_up, read_request)
        if request is None:
            return _not_mine()
        match request.verb:
            case "add":
                return await self._add(request, query)
            case "show":
                return await self._show(request, query)
            case "search":
                return await self._search(request, query)
            case "change":
                return await self._change(request, query)
            case "delete":
                return await self._delete(request, query)
            case _:
                return await self._undo(request, query)

    # --- Adding -------------------------------------------------------------------------------------------------------

    async def _add(self, request: Request, query: Query) -> Outcome:
        text = request.text
        if query.antecedent >= 0 and (not text or text == query.reference):
            earlier = query.earlier[query.antecedent].answer
            text = earlier.text if earlier is not None else ""
        if not text and query.document is not None:
            text = query.document.text.strip()
        if not text and query.payload and query.payload not in query.text:
            text = query.payload.strip()
        if not text:
            return Abstention("What shall I note?", "needs_input")
        _check_length(text)
        vector = await self._meanings.of(text)
        note = await asyncio.to_thread(self._insert, text, vector, query)
        return Answer(f'Noted: "{note.short}".', Action("note.created", note.slots(query.zone)))

    def _insert(self, text: str, vector: bytes | None, query: Query) -> Note:
        now = iso(query.now)
        with self._ledger.changing("added", query.now, rehearsal=query.rehearsal) as change:
            if change.connection.execute("SELECT count(*) FROM notes").fetchone()[0] >= MAX_NOTES:
                raise StoreError(f"{MAX_NOTES:,} notes are kept and no more fit; delete some first")
            note = Note(change.insert("notes", text=text, created=now, vector=vector), text, now, None)
            self._keep(change.connection, query, [note])
        return note

    # --- Showing and finding ------------------------------------------------------------------------------------------

    async def _show(self, request: Request, query: Query) -> Outcome:
        notes = await self._ledger.look(lambda: self._all(query, request.choice))
        span = find_written(query, anywhere=True)
        if span is not None:
            notes = [note for note in notes if span[0] <= _local(note.created, query.zone) < span[1]]
        slots: dict[str, Json] = {"count": len(notes), "items": [note.slots(query.zone) for note in notes[:MAX_SHOWN]]}
        action = Action("notes.listed", slots)
        if not notes:
            return Answer("There is no such note." if request.choice or span else "You have no notes.", action)
        await asyncio.to_thread(self._remember, query, notes[:MAX_SHOWN])
        if request.count:
            return Answer(f"You have {_count(notes)}{' from then' if span else ''}.", action)
        if len(notes) == 1:
            return Answer(f"{_told(notes[0], query)}: {notes[0].text}", action)
        return Answer(f"You have {_count(notes)}{' from then' if span else ''}:\n{_lines(notes, query)}", action)

    async def _search(self, request: Request, query: Query) -> Outcome:
        span = find_written(query)
        if not is_topic(request.topic.replace(span[2], " ").strip() if span else request.topic):
            if request.choice or request.plural or find_written(query, anywhere=True):
                return await self._show(request, query)
            return Abstention("What shall I look for in your notes?", "needs_input")
        notes = await self._ledger.look(lambda: self._all(query))
        topic = request.topic
        if span is not None:
            then = [note for note in notes if span[0] <= _local(note.created, query.zone) < span[1]]
            notes, topic = then or notes, topic.replace(span[2], " ").strip() or topic
        found = [note for note, _ in await self._found(topic, notes, query)]
        slots: dict[str, Json] = {
            "topic": topic,
            "count": len(found),
            "items": [note.slots(query.zone) for note in found[:MAX_SHOWN]],
        }
        action = Action("notes.found", slots)
        if not found:
            return Answer(f'There is no note about "{topic}".', action)
        await asyncio.to_thread(self._remember, query, found[:MAX_SHOWN])
        if len(found) == 1:
            return Answer(f"{_told(found[0], query)}: {found[0].text}", action)
        return Answer(f'{_count(found)} about "{topic}":\n{_lines(found, query)}', action)

    async def _found(self, topic: str, notes: Sequence[Note], query: Query) -> list[tuple[Note, Hit]]:
        """Those about the topic, the closest first."""
        kept = [Kept(note.id, note.text, note.vector) for note in notes]
        cosines = await self._meanings.cosines(topic, kept, rehearsal=query.rehearsal)
        hits = await asyncio.to_thread(rank, topic, [note.text for note in notes], cosines)
        found = [hit for hit in hits if hit.words >= FOUND_WORDS or hit.cosine >= FOUND_COSINE]
        # Beside a note that holds the very words, one that is about the same at best is none of those that were meant.
        return [(notes[hit.place], hit) for hit in found if hit.score >= found[0].score / 2]

    # --- Changing -----------------------------------------------------------------------------------------------------

    async def _change(self, request: Request, query: Query) -> Outcome:
        chosen = await self._single_out(request, query, "change")
        if isinstance(chosen, Abstention):
            return chosen
        if len(chosen) > 1:
            return await self._ask_which(chosen, query, "change", "")
        note = chosen[0]
        if not request.text:
            await asyncio.to_thread(self._remember, query, chosen)
            doing = "add to" if request.append else "change"
            what = "What shall I add to" if request.append else "What shall the new text be of"
            tail = ': say "add to that note: …"' if doing == "add to" else ': say "change that note to …"'
            return Abstention(f'{what} the note "{note.short}"? Answer{tail}', "needs_input")
        text = _reworded(note.text, request)
        if text is None:
            return Abstention(
                f'The note says nothing of "{request.old}": "{note.short}". What shall it say?', "needs_input"
            )
        _check_length(text)
        vector = await self._meanings.of(text)
        changed = await asyncio.to_thread(self._rewrite, note, text, vector, query)
        if changed is None:
            return Abstention("The note was deleted meanwhile.", "needs_input")
        said = f'The note now says: "{changed.short}".'
        return Answer(said, Action("note.changed", {**changed.slots(query.zone), "before": note.text}))

    def _rewrite(self, note: Note, text: str, vector: bytes | None, query: Query) -> Note | None:
        now = iso(query.now)
        with self._ledger.changing("changed", query.now, rehearsal=query.rehearsal) as change:
            row = change.connection.execute("SELECT text FROM notes WHERE id = ?", (note.id,)).fetchone()
            if row is None or row["text"] != note.text:
                return None
            change.update("notes", note.id, text=text, changed=now, vector=vector)
            changed = msgspec.structs.replace(note, text=text, changed=now)
            self._keep(change.connection, query, [changed])
        return changed

    # --- Deleting -----------------------------------------------------------------------------------------------------

    async def _delete(self, request: Request, query: Query) -> Outcome:
        if _EXCEPT.search(query.text):
            notes = await self._ledger.look(lambda: self._all(query))
            if not notes:
                return Abstention("There is no note to delete.", "needs_input")
            await asyncio.to_thread(self._remember, query, notes[:MAX_SHOWN], "delete note {}")
            return Abstention(f"Say which ones shall go, by their numbers:\n{_lines(notes, query)}", "needs_input")
        several = request.every or request.plural
        if several and not request.choice:
            about = await self._those_about(request, query)
            chosen: Sequence[Note] | Abstention = about
            if about and not request.every:
                which = f'about "{request.topic}"' if request.topic else "from then" if find_written(query) else ""
                pending = (
                    f"delete all notes {f'about {request.topic}' if request.topic else written_words(query)}".strip()
                )
                await asyncio.to_thread(self._remember, query, about[:MAX_SHOWN], pending)
                ask = f"Shall I delete {_count(about)} {which}".strip()
                return Abstention(f'{ask}? Say "{pending}", or which one.\n{_lines(about, query)}', "needs_input")
        else:
            chosen = await self._single_out(request, query, "delete")
        if isinstance(chosen, Abstention):
            return chosen
        if not chosen:
            topic = f' about "{request.topic}"' if request.topic else ""
            return Abstention(f"There is no note{topic} to delete.", "needs_input")
        gone = await asyncio.to_thread(self._remove, chosen, query)
        slots: dict[str, Json] = {"count": len(gone), "items": [note.slots(query.zone) for note in gone]}
        if len(gone) == 1:
            slots |= gone[0].slots(query.zone)
            return Answer(f'Deleted: "{gone[0].short}". Say "undo" to bring it back.', Action("note.deleted", slots))
        return Answer(f'{_count(gone)} deleted. Say "undo" to bring them back.', Action("note.deleted", slots))

    async def _those_about(self, request: Request, query: Query) -> list[Note]:
        """All notes, or all about a topic, or all from some time."""
        notes = await self._ledger.look(lambda: self._all(query))
        span = find_written(query)
        if span is not None:
            notes = [note for note in notes if span[0] <= _local(note.created, query.zone) < span[1]]
        topic = request.topic.replace(span[2], " ").strip() if span else request.topic
        if not topic:
            return notes
        return [
            note for note, hit in await self._found(topic, notes, query) if hit.words > 0 or hit.cosine >= SURE_COSINE
        ]

    def _remove(self, notes: Sequence[Note], query: Query) -> list[Note]:
        gone = []
        with self._ledger.changing("deleted", query.now, rehearsal=query.rehearsal) as change:
            there = {row["id"] for row in change.connection.execute("SELECT id FROM notes")}
            for note in notes:
                if note.id in there:
                    change.delete("notes", note.id)
                    gone.append(note)
        return gone

    async def _undo(self, request: Request, query: Query) -> Outcome:
        kinds = ("deleted",) if _DELETED.search(query.text) else ("changed",) if _CHANGED.search(query.text) else ()
        undone = await asyncio.to_thread(self._ledger.undo, kinds, query.now, rehearsal=query.rehearsal)
        if undone is None:
            what = "No note was deleted" if kinds == ("deleted",) else "Nothing was changed in your notes"
            return Abstention(f"{what} within the last day, so there is nothing to bring back.", "needs_input")
        rows = [before or after or {} for _, before, after in undone.rows]
        notes = [Note(row["id"], row["text"], row["created"], row["changed"]) for row in rows]
        if undone.kind != "added":
            await asyncio.to_thread(self._remember, query, notes)
        slots: dict[str, Json] = {"count": len(notes), "items": [note.slots(query.zone) for note in notes]}
        if len(notes) == 1:
            slots |= notes[0].slots(query.zone)
        one = f'"{notes[0].short}"' if len(notes) == 1 else _count(notes)
        said = {"added": f"Taken back: {one}.", "changed": f"The note says again: {one}."}
        name = "note.deleted" if undone.kind == "added" else "note.restored"
        return Answer(said.get(undone.kind, f"Brought back: {one}."), Action(name, slots))

    # --- Which notes --------------------------------------------------------------------------------------------------

    async def _single_out(self, request: Request, query: Query, verb: str) -> list[Note] | Abstention:
        """The notes that are meant, one or several by their places; or the question which."""
        if request.choice and not request.topic:
            chosen = await self._ledger.look(lambda: self._all(query, request.choice))
            if (
                request.choice.that
                and len(chosen) > 1
                and not request.plural
                and not re.search(r"\b(?:them|those|these)\b", query.text)
            ):
                return await self._ask_which(chosen, query, verb, request.text)
            return chosen or Abstention(f"There is no such note to {verb}.", "needs_input")
        notes = await self._ledger.look(lambda: self._all(query))
        if not notes:
            return Abstention(f"There is no note to {verb}.", "needs_input")
        if not request.topic:
            return notes if len(notes) == 1 else await self._ask_which(notes[:MAX_SHOWN], query, verb, request.text)
        found = await self._found(request.topic, notes, query)
        if not found:
            return Abstention(f'There is no note about "{request.topic}" to {verb}.', "needs_input")
        best = found[0][1]
        close = [note for note, hit in found if best.score - hit.score < CLOSE]
        if len(close) > 1:
            return await self._ask_which(close[:MAX_SHOWN], query, verb, request.text)
        if best.words == 0 and best.cosine < SURE_COSINE:
            pending = _again(verb, request.text, "that note")
            await asyncio.to_thread(self._remember, query, close, pending)
            return Abstention(f'Do you mean the note "{close[0].short}"? Say "{pending}".', "needs_input")
        return close

    async def _ask_which(self, notes: Sequence[Note], query: Query, verb: str, text: str) -> Abstention:
        await asyncio.to_thread(self._remember, query, notes, _again(verb, text, "note {}"))
        return Abstention(f"Which note shall I {verb}?\n{_lines(notes, query)}", "needs_input")

    def _all(self, query: Query, choice: Choice | None = None) -> list[Note]:
        """The newest first; of a choice, those that were chosen: of the last listing, else of all."""
        with self._ledger.reading() as connection:
            rows = connection.execute(
                "SELECT id, text, created, changed, vector FROM notes ORDER BY created DESC, id DESC"
            )
            notes = [Note(*row) for row in rows]
            if not choice:
                return notes
            session = self._ledger.session(connection, query.session, query.now)
        by_id = {note.id: note for note in notes}
        if choice.that:
            return [by_id[note_id] for note_id in session.spoken if note_id in by_id]
        listed = [by_id.get(note_id) for note_id in session.shown]
        if choice.last and not (listed and _OF_LISTING.search(query.text.lower())):
            return notes[: choice.last]
        if not any(listed):
            listed = [*notes]
        return [note for note in choice.among(listed) if note is not None]

    # --- Sessions -----------------------------------------------------------------------------------------------------

    def _session(self, query: Query) -> Session:
        with self._ledger.reading() as connection:
            return self._ledger.session(connection, query.session, query.now)

    def _remember(self, query: Query, notes: Sequence[Note], pending: str = "") -> None:
        if not query.rehearsal:
            with self._ledger.aside() as connection:
                self._keep(connection, query, notes, pending)

    def _keep(self, connection: sqlite3.Connection, query: Query, notes: Sequence[Note], pending: str = "") -> None:
        """What was spoken of. A single note leaves the numbers of the last listing as they are."""
        ids = [note.id for note in notes]
        shown = None if len(ids) == 1 else ids
        self._ledger.keep_session(connection, query.session, query.now, shown=shown, spoken=ids, pending=pending)


# "The last one" is a line of the listing, "the last note" the newest.
_OF_LISTING = re.compile(r"\b(?:last|latest) (?:one|\d+|two|three)\b")
_EXCEPT = re.compile(r"\b(?:except|apart from|other than|all but|everything but|besides)\b", re.IGNORECASE)
_DELETED = re.compile(
    r"\b(?:delet|undelet|remov|restor|recover|eras|threw|throw|bring back|bring .* back|clear|wip|deletion|"
    r"get .* back)",
    re.IGNORECASE,
)
_CHANGED = re.compile(r"\b(?:chang|edit|old version|revert|rewor|append)", re.IGNORECASE)


def _not_mine() -> Abstention:
    return Abstention("this asks for nothing with notes", "not_mine")


def _check_length(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise QueryError(
            f"the note has {len(text):,} characters; {MAX_CHARACTERS:,} fit: split it into several notes",
            reason="TEXT_TOO_LONG",
        )


def _again(verb: str, text: str, which: str) -> str:
    return f"{verb} {which}" if verb == "delete" or not text else f"change {which} to {text}"


def _reworded(before: str, request: Request) -> str | None:
    """The note's new text; None: the words that are to make way are not in it."""
    if request.append:
        return f"{before}\n{request.text}"
    if request.old:
        place = before.lower().find(request.old.lower())
        return None if place < 0 else before[:place] + request.text + before[place + len(request.old) :]
    # Of "change the note about the gate code to 5520", the code alone is new.
    for kind in _VALUES:
        if re.fullmatch(kind, request.text, re.IGNORECASE):
            there = list(re.finditer(kind, before, re.IGNORECASE))
            if len(there) == 1:
                return before[: there[0].start()] + request.text + before[there[0].end() :]
    return request.text


_DAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|tomorrow)"
_VALUES = (r"(?<![\w.])[\w.-]*\d[\w.-]*(?!\w)", rf"\b{_DAY}\b")


# --- What is said -----------------------------------------------------------------------------------------------------


def _local(moment: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(moment).astimezone(zone)


def _count(notes: Sequence[Note]) -> str:
    return f"{len(notes)} note{'s' * (len(notes) != 1)}"


def _told(note: Note, query: Query) -> str:
    return f"Note from {spell_moment(_local(note.created, query.zone), query.now.astimezone(query.zone))}"


def _lines(notes: Sequence[Note], query: Query) -> str:
    now = query.now.astimezone(query.zone)
    lines = [
        f"{place}. {note.short} ({spell_moment(_local(note.created, query.zone), now)})"
        for place, note in enumerate(notes[:MAX_SHOWN], 1)
    ]
    return "\n".join(lines + [f"… and {len(notes) - MAX_SHOWN} more"] * (len(notes) > MAX_SHOWN))
