"""The operator's own edits of intents: sentences added or put in the place of an expert's, an intent taken away.

    edits/<expert>.jsonl     one row per edited intent: {"intent": …, "action": …, "sentences": […]}

A bundle is sealed and stays as it is. What requests see are its intents with the edits applied, and a new version of
the bundle comes under the same edits. An expert's file is replaced whole (contents, fsync, one rename), so a crash
leaves the edits of before or those of after. Knows no index, no fleet and no wire.
"""

from __future__ import annotations

import difflib
import errno
import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from .bundle import Bundle, Intent
from .errors import FleetError, QueryError, StoreError
from .store import Disk

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ENDING = ".jsonl"
_PART = ".part"
_DAMAGED = ".damaged"
# Kinds that answer each intent in a way of its own, which the bundle states: they have no answer to another one.
_ANSWERS_BY_INTENT = frozenset({"gguf"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one edited intent."""

    max_sentences: int = 1000
    max_sentence_characters: int = 512


class Origin(StrEnum):
    """Whose an intent is: the bundle's own, the bundle's but edited, the operator's, the bundle's but taken away."""

    BUNDLE = "BUNDLE"
    EDITED = "EDITED"
    ADDED = "ADDED"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True)
class IntentStatus:
    """sentences: as requests see them; none of an intent that was removed."""

    name: str
    sentences: tuple[str, ...]
    origin: Origin


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One intent's edit. append: after the bundle's own sentences; replace: instead of them; remove: no such intent."""

    intent: str
    action: Literal["append", "replace", "remove"]
    sentences: tuple[str, ...] = ()


_Edits = Mapping[str, Edit]
_NONE: _Edits = {}


class Edits:
    """Every expert's edits. Any thread may call it; readers never wait for a writer."""

    def __init__(self, folder: Path, disk: Disk, limits: Limits) -> None:
        self._folder = folder
        self._disk = disk
        self._limits = limits
        self._changing = threading.Lock()
        # Expert → intent → edit. The inner mappings are replaced, never changed.
        self._edits: dict[str, _Edits] = {}

    @classmethod
    def open(cls, folder: Path, *, disk: Disk | None = None, limits: Limits | None = None) -> Edits:
        """Reads what is in `folder`. A file that is damaged, or breaks the rules of `put`, is set aside and logged:
        its expert's edits are lost.

        Raises: StoreError when the folder cannot be made or read.
        """
        edits = cls(folder, disk or Disk(), limits or Limits())
        try:
            edits._disk.make_folder(folder)
            for path in sorted(folder.iterdir()):
                if path.name.endswith(_PART):
                    edits._disk.delete(path)
                elif path.name.endswith(_ENDING):
                    edits._read(path)
        except OSError as error:
            raise StoreError(f"{folder}: the edits of intents cannot be opened: {error.strerror}") from error
        return edits

    # --- Read --------------------------------------------------------------------------------------------------------

    def apply(self, bundle: Bundle) -> tuple[Intent, ...]:
        """The bundle's intents as requests see them: its own in their order, then those that were added.

        Edits made on another version, which would leave this one no intent at all or one that it has no answer to, are
        not applied.
        """
        own, edits = bundle.intents(), self._of(bundle)
        if bundle.manifest.kind in _ANSWERS_BY_INTENT:
            edits = {name: edit for name, edit in edits.items() if name in dict(own)}
        return _applied(own, edits) or own

    def list(self, bundle: Bundle) -> tuple[IntentStatus, ...]:
        """As `apply`, and with the intents that were removed."""
        edits = self._of(bundle)
        present = {intent.name: intent.sentences for intent in self.apply(bundle)}
        own = dict(bundle.intents())
        found = []
        for name in dict.fromkeys((*own, *present)):
            if name not in present:
                origin = Origin.REMOVED
            elif name not in own:
                origin = Origin.ADDED
            else:
                origin = Origin.BUNDLE if present[name] == own[name] and name not in edits else Origin.EDITED
            found.append(IntentStatus(name, present.get(name, ()), origin))
        return tuple(found)

    # --- Change; when these return, the disk has it ------------------------------------------------------------------

    def put(self, bundle: Bundle, intent: str, sentences: Sequence[str], *, append: bool = False) -> None:
        """Gives the intent these sentences, as its only ones or, with `append`, beside those that it has.

        Raises: QueryError naming the field and its rule; StoreError, and nothing is changed.
        """
        _check_name(intent)
        own = dict(bundle.intents())
        if bundle.manifest.kind in _ANSWERS_BY_INTENT and intent not in own:
            raise QueryError(
                f"{bundle.manifest.name} has no answer to an intent {intent!r}; it answers {', '.join(own)}: add the "
                "sentences to one of these",
                reason="UNANSWERED_INTENT",
                field="intent",
            )
        given = self._checked(sentences)
        with self._changing:
            edits = self._of(bundle)
            before = edits.get(intent)
            action: Literal["append", "replace"] = "append" if append else "replace"
            if append and before is not None:
                action = "append" if before.action == "append" else "replace"
                given = tuple(dict.fromkeys((*before.sentences, *given)))
                if len(given) > self._limits.max_sentences:
                    raise self._too_many(f"{intent} would have {len(given):,} sentences of yours")
            self._write(bundle.manifest.name, {**edits, intent: Edit(intent, action, given)})

    def remove(self, bundle: Bundle, intent: str) -> None:
        """Takes the intent from the expert.

        Raises: FleetError UNKNOWN_INTENT, LAST_INTENT; StoreError, and nothing is changed.
        """
        with self._changing:
            present = [found.name for found in self.apply(bundle)]
            if intent not in present:
                raise _unknown(bundle, intent, present)
            if len(present) == 1:
                raise _last(bundle, intent)
            edits = {name: edit for name, edit in self._of(bundle).items() if name != intent}
            if intent in dict(bundle.intents()):
                edits[intent] = Edit(intent, "remove")
            self._write(bundle.manifest.name, edits)

    def reset(self, bundle: Bundle, intent: str = "") -> tuple[str, ...]:
        """Drops the edit of one intent, or all of the expert's; returns the names of those that had one.

        Raises: FleetError UNKNOWN_INTENT, LAST_INTENT; StoreError, and nothing is changed.
        """
        with self._changing:
            edits, own = self._of(bundle), bundle.intents()
            if intent and intent not in edits:
                if intent not in dict(own):
                    raise _unknown(bundle, intent, [*dict(own), *edits])
                return ()
            kept = {name: edit for name, edit in edits.items() if intent and name != intent}
            if own and not _applied(own, kept):
                raise _last(bundle, intent)
            if edits:
                self._write(bundle.manifest.name, kept)
            return tuple(name for name in edits if name not in kept)

    def forget(self, expert: str) -> None:
        """Drops all edits of an expert that goes. Raises: StoreError."""
        with self._changing:
            if expert in self._edits:
                self._write(expert, _NONE)

    # --- How ---------------------------------------------------------------------------------------------------------

    def _of(self, bundle: Bundle) -> _Edits:
        return self._edits.get(bundle.manifest.name, _NONE)

    def _checked(self, sentences: Sequence[str]) -> tuple[str, ...]:
        """Without surrounding space, each once."""
        most = self._limits.max_sentence_characters
        for number, sentence in enumerate(sentences):
            problem = ""
            if not sentence.strip():
                problem = "it is empty; leave it out"
            elif len(sentence) > most:
                problem = f"it has {len(sentence):,} characters; at most {most} are allowed: shorten it"
            elif any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in sentence):
                problem = "it is one line of valid text, without control characters"
            if problem:
                raise QueryError(
                    f"sentence {number + 1}: {problem}", reason="BAD_SENTENCE", field=f"sentences[{number}]"
                )
        given = tuple(dict.fromkeys(sentence.strip() for sentence in sentences))
        if not given:
            raise QueryError(
                "an intent is known by its sentences: give at least one, better five to ten",
                reason="NO_SENTENCES",
                field="sentences",
            )
        if len(given) > self._limits.max_sentences:
            raise self._too_many(f"{len(given):,} sentences")
        return given

    def _too_many(self, what: str) -> QueryError:
        return QueryError(
            f"{what}; at most {self._limits.max_sentences:,} are allowed for one intent: make a bundle of them",
            reason="TOO_MANY_SENTENCES",
            field="sentences",
        )

    def _read(self, path: Path) -> None:
        try:
            rows = [msgspec.json.decode(line, type=Edit) for line in path.read_bytes().splitlines()]
            for row in rows:
                if row.action != "remove":
                    _check_name(row.intent)
                    self._checked(row.sentences)
        except (msgspec.DecodeError, UnicodeDecodeError, QueryError) as error:
            aside = path.with_name(path.name + _DAMAGED)
            log.error("%s is damaged (%s); it is now %s, and these edits of intents are gone", path, error, aside.name)
            self._disk.rename(path, aside)
            return
        self._edits[path.name.removesuffix(_ENDING)] = {row.intent: row for row in rows}

    def _write(self, expert: str, edits: _Edits) -> None:
        """The disk first, then the readers. Raises: StoreError, and nothing is changed."""
        path = self._folder / f"{expert}{_ENDING}"
        part = path.with_name(path.name + _PART)
        try:
            if edits:
                self._disk.delete(part)
                self._disk.write(part, (msgspec.json.encode(edit) + b"\n" for edit in edits.values()))
                self._disk.rename(part, path)
            else:
                self._disk.delete(path)
            self._disk.sync_folder(self._folder)
        except OSError as error:
            what = f"{path}: the edit cannot be written, nothing is changed"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(f"{what}: the disk is full; free some space and try again") from error
            raise StoreError(f"{what}: {error.strerror or error}") from error
        if edits:
            self._edits[expert] = edits
        else:
            self._edits.pop(expert, None)


def _check_name(intent: str) -> None:
    if not _NAME.fullmatch(intent):
        raise QueryError(
            f"{intent!r} is no name for an intent: it is 1 to 64 lower-case letters, digits, - and _, and begins "
            "with a letter",
            reason="BAD_INTENT_NAME",
            field="intent",
        )


def _applied(own: Iterable[Intent], edits: _Edits) -> tuple[Intent, ...]:
    found: dict[str, tuple[str, ...]] = dict(own)
    for name, edit in edits.items():
        if edit.action == "remove":
            found.pop(name, None)
        elif edit.action == "append":
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), *edit.sentences)))
        else:
            found[name] = edit.sentences
    return tuple(Intent(name, sentences) for name, sentences in found.items())


def _unknown(bundle: Bundle, intent: str, known: Sequence[str]) -> FleetError:
    near = difflib.get_close_matches(intent, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
    return FleetError(f"{bundle.manifest.name} has no intent {intent!r}; {hint}", reason="UNKNOWN_INTENT")


def _last(bundle: Bundle, intent: str) -> FleetError:
    name = bundle.manifest.name
    return FleetError(
        f"{name} would have no intent left without {intent!r}; remove the expert instead: `expertctl remove {name}`",
        reason="LAST_INTENT",
    )
