"""The store: every version of every expert on disk, and one pointer per expert that says which of them serves.

    store/<expert>/<version>/…           bundles, verified, never changed
    store/<expert>/current               the pointer: its first line serves, the lines below are what served before
    incoming/<token>/…                   what is being received, copied or deleted; emptied on opening
    quarantine/<expert>-<version>-<time>/reason.txt, bundle/…
    lock                                 held by the one process that writes

Crash safety is an ordering: contents, fsync, then one rename. Whatever is half done lies in incoming/, where no reader
looks; `Store.open` removes it, and an expert whose serving version is damaged falls back to the newest sound one that
has served before. The store decides nothing: when a version is fit to serve is the fleet's to say.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import tomllib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from .bundle import MANIFEST, Bundle, Limits, open_bundle, survey
from .contents import check_toml
from .disk import Disk, Layout
from .errors import BundleError, StoreError
from .quarantine import Quarantine, Quarantined
from .upload import Upload, read_below

__all__ = ["Disk", "Layout", "Quarantined", "Store", "Upload", "claimed"]

# How many earlier promotions the pointer remembers.
HISTORY = 16
# Letters of a refusal.
MAX_MESSAGE = 400

_NONE = "none"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


class Store:
    """Opened once per process; any thread may call it. repairs: what opening it had to mend, in words."""

    def __init__(self, layout: Layout, limits: Limits, trunk_id: str | None, disk: Disk, lock: BinaryIO) -> None:
        self.layout = layout
        self.limits = limits
        self.repairs: tuple[str, ...] = ()
        self._trunk_id = trunk_id
        self._disk = disk
        self._quarantine = Quarantine(layout, disk)
        self._lock_file = lock
        self._changing = threading.RLock()
        # Expert → what serves (None: nothing) and what served before it, newest first.
        self._pointers: dict[str, tuple[int | None, ...]] = {}
        # Verified while opening, handed out once without verifying again.
        self._verified: dict[tuple[str, int], Bundle] = {}

    @classmethod
    def open(
        cls, root: Path, *, limits: Limits | None = None, trunk_id: str | None = None, disk: Disk | None = None
    ) -> Store:
        """Takes the lock, undoes what a crash left half done, and verifies every version that is to serve.

        trunk_id: the trunk that serves here; versions fitted on another do not count as sound.

        Raises: StoreError when another process holds the store, or the folder cannot be written.
        """
        layout, disk = Layout(root), disk or Disk()
        try:
            for folder in (layout.store, layout.incoming, layout.quarantine):
                disk.make_folder(folder)
            store = cls(layout, limits or Limits(), trunk_id, disk, _lock(layout.lock))
        except OSError as error:
            raise StoreError(f"{root}: the store cannot be opened: {error.strerror}") from error
        try:
            with store._writing("open the store"):
                store.repairs = tuple(store._repair())
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._lock_file.close()

    # --- What is there -----------------------------------------------------------------------------------------------

    def experts(self) -> tuple[str, ...]:
        """The names of all experts with a version here."""
        return tuple(sorted(self._pointers))

    def versions(self, name: str) -> tuple[int, ...]:
        """Every version in the store, rising."""
        with suppress(OSError):
            return tuple(sorted(int(entry) for entry in os.listdir(self.layout.expert(name)) if _is_version(entry)))
        return ()

    def current(self, name: str) -> int | None:
        """The version that is to serve; None: none was promoted, or it went into quarantine."""
        return self._pointers.get(name, (None,))[0]

    def previous(self, name: str) -> int | None:
        """The version that served before the current one and is still here."""
        here = self.versions(name)
        return next((v for v in self._pointers.get(name, ())[1:] if v in here), None)

    def highest(self, name: str) -> int:
        """The highest version that was ever taken here, in quarantine too; a new one must rise above it. 0: none."""
        remembered = (v for v in self._pointers.get(name, ()) if v is not None)
        return max((*self.versions(name), *remembered, self._quarantine.spent(name)), default=0)

    def quarantined(self, name: str) -> tuple[Quarantined, ...]:
        """The versions of an expert that are kept aside, each with the reason, the newest last."""
        return self._quarantine.of(name)

    def bundle(self, name: str, version: int) -> Bundle:
        """Verified now, or a moment ago by opening the store.

        Raises: StoreError when there is no such version; BundleError when it is damaged.
        """
        with self._changing:
            fresh = self._verified.pop((name, version), None)
        if fresh is not None:
            return fresh
        folder = self._folder(name, version)
        return open_bundle(folder, self.limits, trunk_id=self._trunk_id)

    def admitted_at(self, name: str, version: int) -> datetime:
        """Raises: StoreError when there is no such version."""
        return datetime.fromtimestamp(self._folder(name, version).stat().st_mtime, UTC)

    def disk_bytes(self, name: str, version: int) -> int:
        """What the version takes on disk; 0 when it is not here."""
        with suppress(OSError):
            return sum(entry.stat().st_size for entry in self.layout.version(name, version).rglob("*"))
        return 0

    # --- Changes -----------------------------------------------------------------------------------------------------

    def admit(self, folder: Path) -> Bundle:
        """Copies the bundle in `folder` and verifies the copy: what `folder` holds meanwhile or later is of no account.

        It does not serve yet. The newest version again changes nothing.

        Raises: BundleError when it breaks a rule or its version does not rise; StoreError when the disk is full.
        """
        shown = ascii(folder.name)[1:-1]
        with _about(shown):
            sizes = survey(folder, self.limits)
        if claim := claimed(folder):
            shown = "{} {}".format(*claim)
        what = f"admit {shown}"
        with self._disk.refusals(what, self.layout.root):
            self._disk.demand_space(what, self.layout.root, sum(sizes.values()))
        with Upload(self.layout.token(), self.limits, self._disk, partial(self._settle, shown=shown), what) as upload:
            with _about(shown):
                for path, size_bytes in sizes.items():
                    upload.begin(path, size_bytes)
                    for chunk in read_below(folder, path, size_bytes, self.limits):
                        upload.write(chunk)
            return upload.finish()

    def receive(self) -> Upload:
        """Takes a bundle file by file; nothing of it is admitted before `Upload.finish`."""
        return Upload(self.layout.token(), self.limits, self._disk, partial(self._settle, shown="the upload"))

    def promote(self, name: str, version: int) -> None:
        """From now on, and after every restart, this version serves.

        Going back to the version that served before is a rollback: the one it leaves is not remembered as what to
        roll back to.

        Raises: StoreError when there is no such version; the pointer is as it was.
        """
        with self._writing(f"promote {name} {version}"):
            self._folder(name, version)
            history = self._pointers.get(name, (None,))
            if version == history[0]:
                return
            older = history[1:] if version == self.previous(name) else history
            self._point(name, (version, *(v for v in older if v not in (None, version))))

    def quarantine(self, name: str, version: int, reason: str, *, damaged: bool = False) -> Path:
        """Takes a version out of the store and keeps it with the reason. If it was current, none is until `promote`.

        damaged: the disk hurt it, it did not fail by itself; sound bytes may be admitted under its number again.

        Raises: StoreError when there is no such version, or no room for the reason: all is then as it was.
        """
        with self._writing(f"quarantine {name} {version}"):
            folder = self._folder(name, version)

            def withdraw() -> None:
                history = self._pointers.get(name, (None,))
                if version in history:
                    now = None if history[0] == version else history[0]
                    self._point(name, (now, *(v for v in history[1:] if v != version)))

            home = self._quarantine.put(name, version, folder, reason, damaged=damaged, withdraw=withdraw)
            with suppress(OSError):
                self._quarantine.trim()
            return home

    def remove(self, name: str) -> None:
        """Deletes every version of an expert and all that the store knows of it. Raises: StoreError: no such expert."""
        with self._writing(f"remove {name}"):
            if name not in self._pointers:
                raise StoreError(f"{name}: no such expert in the store; here are {', '.join(self.experts()) or 'none'}")
            self._delete(self.layout.expert(name))
            del self._pointers[name]
            self._quarantine.forget(name)

    def collect(self, keep: int = 3, in_use: Collection[tuple[str, int]] = ()) -> tuple[tuple[str, int], ...]:
        """Deletes what is neither current, nor next to roll back to, nor among the newest `keep`; says what went.

        in_use: expert and version of what is loaded, or on its way: it stays too.

        Of what is in quarantine the newest `keep` stay whole, of the others the reasons.
        """
        gone: list[tuple[str, int]] = []
        with self._writing("collect old versions"):
            for name in self.experts():
                kept = {*self.versions(name)[-keep:], self.current(name), self.previous(name)}
                for version in self.versions(name):
                    if version not in kept and (name, version) not in in_use:
                        self._delete(self.layout.version(name, version))
                        gone.append((name, version))
            self._quarantine.trim(keep)
        return tuple(gone)

    # --- How ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """One change at a time; what the disk refuses comes out as a StoreError."""
        with self._changing, self._disk.refusals(what, self.layout.root):
            yield

    def _folder(self, name: str, version: int) -> Path:
        if version not in self.versions(name):
            here = ", ".join(map(str, self.versions(name))) or "none"
            raise StoreError(f"{name} {version}: no such version in the store; of {name} there are: {here}")
        return self.layout.version(name, version)

    def _known(self, bundle: Bundle) -> Bundle | None:
        """The same bytes, when the newest version is installed again.

        Raises: BundleError when the version does not rise.
        """
        name, version = bundle.manifest.name, bundle.manifest.version
        highest = self.highest(name)
        if version > highest:
            return None
        if version == highest and version in self.versions(name):
            known = self.bundle(name, version)
            if known.digest == bundle.digest:
                return known
            raise BundleError(f"{bundle}: other bytes under a version that is here already; raise the version")
        for failed in self.quarantined(name):
            if failed.version == version and not failed.damaged:
                raise BundleError(f"{bundle}: in quarantine, for: {failed.reason}; mend it and raise the version")
        back = f"; `promote {name} {version}` goes back to it" if version in self.versions(name) else ""
        raise BundleError(f"{bundle}: the version does not rise, {highest} is here already{back}")

    def _settle(self, staged: Path, shown: str) -> Bundle:
        """Verifies what lies in incoming/, once, and moves it to its place in one step; it is gone from there then.

        shown: what it is called as long as its manifest has not been read.
        """
        try:
            try:
                bundle = open_bundle(staged, self.limits, trunk_id=self._trunk_id)
            except BundleError as error:
                message = str(error)
                if message.startswith(f"{staged.name}:"):
                    message = shown + message.removeprefix(staged.name)
                raise BundleError(_plain(message)) from None
            with self._disk.refusals(f"admit {bundle}", self.layout.root):
                # The slow part, outside the lock: all written by now, they share the file system's journal.
                for path in (MANIFEST, *bundle.manifest.files):
                    self._disk.sync_file(staged / path)
                for folder in sorted({above for path in bundle.manifest.files for above in Path(path).parents}):
                    self._disk.sync_folder(staged / folder)
            with self._writing(f"admit {bundle}"):
                return self._known(bundle) or self._place(staged, bundle)
        finally:
            with suppress(OSError):  # What stays is removed by the next opening.
                self._disk.delete(staged)

    def _place(self, staged: Path, bundle: Bundle) -> Bundle:
        name, version = bundle.manifest.name, bundle.manifest.version
        home = self.layout.version(name, version)
        if not home.parent.exists():
            self._disk.make_folder(home.parent)
            self._disk.sync_folder(self.layout.store)
        self._disk.rename(staged, home)
        self._disk.sync_folder(home.parent)
        self._pointers.setdefault(name, (None,))
        return replace(bundle, path=home)

    def _point(self, name: str, history: tuple[int | None, ...]) -> None:
        lines = [_NONE if version is None else str(version) for version in history[: HISTORY + 1]]
        beside = self.layout.next_pointer(name)
        self._disk.delete(beside)
        self._disk.write(beside, ["\n".join([*lines, ""]).encode()])
        self._disk.rename(beside, self.layout.pointer(name))
        self._disk.sync_folder(self.layout.expert(name))
        self._pointers[name] = history[: HISTORY + 1]

    def _delete(self, path: Path) -> None:
        self._disk.take_away(path, self.layout.token())

    # --- Opening -----------------------------------------------------------------------------------------------------

    def _repair(self) -> Iterator[str]:
        for entry in os.listdir(self.layout.incoming):
            self._disk.delete(self.layout.incoming / entry)
            yield f"incoming/{entry}: left half done by a crash; removed"
        yield from self._quarantine.undo_half_done(self.versions)
        for name in sorted(os.listdir(self.layout.store)):
            yield from self._repair_expert(name)

    def _repair_expert(self, name: str) -> Iterator[str]:
        folder = self.layout.expert(name)
        if not _NAME.fullmatch(name) or not folder.is_dir():
            yield f"store/{name}: not an expert; left alone"
            return
        if self.layout.next_pointer(name).exists():
            self._disk.delete(self.layout.next_pointer(name))
            yield f"{name}: a promotion was left half done by a crash; undone"
        if not self.versions(name):
            self._disk.delete(folder)
            yield f"{name}: an admission was left half done by a crash; removed"
            return
        history, readable = _read_pointer(self.layout.pointer(name))
        self._pointers[name] = history
        if not readable:
            yield f"{name}: the pointer is unreadable; taking the newest sound version"
            history = (None, *reversed(self.versions(name)))
        elif history == (None,):
            return  # Admitted, never promoted: the fleet decides.
        yield from self._fall_back(name, history)

    def _fall_back(self, name: str, history: tuple[int | None, ...]) -> Iterator[str]:
        """Points to the first sound version of `history`; what is damaged on the way goes into quarantine."""
        sound: int | None = None
        for version in dict.fromkeys(v for v in history if v is not None):
            try:
                self._verified[(name, version)] = self.bundle(name, version)
            except StoreError:
                yield f"{name} {version}: missing from the store"
            except BundleError as error:
                yield f"{error}; {self._put_away_damaged(name, version, error)}"
            else:
                sound = version
                break
        if sound == history[0]:
            return
        if not self.versions(name):
            self._delete(self.layout.expert(name))
            del self._pointers[name]
            yield f"{name}: no sound version is left"
            return
        older = history[history.index(sound) + 1 :] if sound is not None else ()
        mended = (sound, *(v for v in older if v is not None))
        try:
            self._point(name, mended)
        except OSError as error:
            # A full disk is no reason not to serve; the next opening mends it.
            self._pointers[name] = mended
            yield f"{name}: the pointer cannot be written ({error.strerror})"
        yield f"{name}: {'no version that served is left' if sound is None else f'falling back to version {sound}'}"

    def _put_away_damaged(self, name: str, version: int, error: BundleError) -> str:
        try:
            # It was sound when it was admitted.
            self.quarantine(name, version, str(error), damaged=True)
        except StoreError as refusal:
            return f"it stays where it is, and does not serve: {refusal}"
        return "now in quarantine"


def claimed(folder: Path) -> tuple[str, int] | None:
    """(name, version) as the manifest in `folder` claims them, for a quick look; nothing is verified. None: unclear."""
    with suppress(OSError, ValueError, RecursionError, BundleError):
        # A pipe of that name would keep us waiting.
        with open(folder / MANIFEST, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            head = file.read(Limits().max_manifest_bytes)
        check_toml(head, MANIFEST)
        # What a bundle is called stands before the first table.
        table = tomllib.loads(re.split(rb"\n\s*\[", head, maxsplit=1)[0].decode("utf-8"))
        name, version = table.get("name"), table.get("version")
        if isinstance(name, str) and _NAME.fullmatch(name) and isinstance(version, int) and _is_version(str(version)):
            return name, version
    return None


@contextmanager
def _about(bundle: str) -> Iterator[None]:
    """Refusals come out with the bundle's name before them, and so do files that cannot be read."""
    try:
        yield
    except BundleError as error:
        raise BundleError(_plain(f"{bundle}: {error}")) from None
    except OSError as error:
        raise BundleError(f"{bundle}: {error.filename or ''}: cannot be read ({error.strerror})") from error


def _plain(message: str) -> str:
    """What a hostile bundle had quoted may neither flood a log nor steer a terminal."""
    if len(message) > MAX_MESSAGE:  # The name stands at the beginning, the rule at the end.
        message = f"{message[: MAX_MESSAGE // 2]} … {message[-MAX_MESSAGE // 2 :]}"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message)


def _is_version(entry: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,18}", entry) is not None


def _read_pointer(path: Path) -> tuple[tuple[int | None, ...], bool]:
    """(history, whether the pointer is readable); a pointer that is not there says that nothing was promoted."""
    try:
        lines = path.read_text("ascii").split()
    except FileNotFoundError:
        return (None,), True
    except (OSError, UnicodeDecodeError):
        return (None,), False
    if not lines or not all(_is_version(line) for line in lines[1:]):
        return (None,), False
    if lines[0] != _NONE and not _is_version(lines[0]):
        return (None,), False
    return (None if lines[0] == _NONE else int(lines[0]), *map(int, lines[1:])), True


def _lock(path: Path) -> BinaryIO:
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(32).decode("ascii", "replace").strip()
        file.close()
        raise StoreError(f"{path.parent}: process {holder} holds the store; one at a time may change it") from None
    # For people; a disk that is full keeps nobody from reading the store.
    with suppress(OSError):
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
    return file
