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

import errno
import fcntl
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from .bundle import MANIFEST, Bundle, Limits, open_bundle
from .contents import check_ending, check_path
from .errors import BundleError, StoreError

# Kept free for the database and the system, and for what a file system takes beside the contents.
SPARE_BYTES = 4 * 2**20
COPY_CHUNK_BYTES = 2**20
# How many earlier promotions the pointer remembers.
HISTORY = 16

_NONE = "none"
# Beside what the disk hurt: its version number is not spent.
DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies below `root`; no other line of code joins these names."""

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    def expert(self, name: str) -> Path:
        return self.store / name

    def version(self, name: str, version: int) -> Path:
        return self.store / name / str(version)

    def pointer(self, name: str) -> Path:
        return self.store / name / "current"

    def next_pointer(self, name: str) -> Path:
        return self.store / name / "current.next"

    def token(self) -> Path:
        return self.incoming / secrets.token_hex(8)

    def quarantined(self, name: str, version: int, time: datetime) -> Path:
        return self.quarantine / f"{name}-{version}-{time:%Y%m%dT%H%M%S.%fZ}"


class Disk:
    """The one place that changes the disk. Each call is a step that is done or not done when the power fails."""

    def free_bytes(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        """A new file, on the disk when this returns."""
        with self.create(path) as file:
            for chunk in chunks:
                file.write(chunk)
            self.sync(file)

    def create(self, path: Path) -> BinaryIO:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")

    def sync(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())

    def sync_folder(self, path: Path) -> None:
        """The names in a folder are contents of their own, with an fsync of their own."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def delete(self, path: Path) -> None:
        """A file or a folder with all that is in it; nothing where there is nothing."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class Store:
    """Opened once per process; any thread may call it. repairs: what opening it had to mend, in words."""

    def __init__(self, layout: Layout, limits: Limits, trunk_id: str | None, disk: Disk, lock: BinaryIO) -> None:
        self.layout = layout
        self.limits = limits
        self.repairs: tuple[str, ...] = ()
        self._trunk_id = trunk_id
        self._disk = disk
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
        quarantined = (v for expert, v, home in self._quarantined() if expert == name and not (home / DAMAGED).exists())
        return max((*self.versions(name), *remembered, *quarantined), default=0)

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
        """Verifies the bundle in `folder` and copies it in; it does not serve yet. The newest again changes nothing.

        Raises: BundleError when it breaks a rule or its version does not rise; StoreError when the disk is full.
        """
        bundle = open_bundle(folder, self.limits, trunk_id=self._trunk_id)
        with self._writing(f"admit {bundle}", bundle.disk_bytes):
            if (known := self._known(bundle)) is not None:
                return known
            self._demand_space(f"admit {bundle}", bundle.disk_bytes)
            staged = self.layout.token()
            try:
                self._disk.make_folder(staged)
                for name in (MANIFEST, *bundle.manifest.files):
                    self._disk.make_folder((staged / name).parent)
                    self._disk.write(staged / name, _chunks(folder / name))
                return self._settle(staged)
            except BaseException:
                self._discard(staged)
                raise

    def receive(self) -> Upload:
        """Takes a bundle file by file; nothing of it is admitted before `Upload.finish`."""
        return Upload(self, self.layout.token(), self._disk)

    def admit_received(self, staged: Path) -> Bundle:
        """Admits a folder below incoming/ without a copy. Raises: as `admit`; the folder is gone then."""
        try:
            with self._writing(f"admit {staged.name}"):
                bundle = open_bundle(staged, self.limits, trunk_id=self._trunk_id)
                return self._known(bundle) or self._settle(staged)
        finally:
            self._discard(staged)

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

        Raises: StoreError when there is no such version.
        """
        with self._writing(f"quarantine {name} {version}"):
            folder = self._folder(name, version)
            history = self._pointers.get(name, (None,))
            if version in history:
                self._point(name, (None if history[0] == version else history[0], *_without(history[1:], version)))
            home = self.layout.quarantined(name, version, datetime.now(UTC))
            self._disk.make_folder(home)
            self._disk.write(home / "reason.txt", [reason.encode("utf-8", "replace"), b"\n"])
            if damaged:
                self._disk.write(home / DAMAGED, [])
            self._disk.sync_folder(home)
            self._disk.sync_folder(self.layout.quarantine)
            self._disk.rename(folder, home / "bundle")
            self._disk.sync_folder(home)
            self._disk.sync_folder(self.layout.expert(name))
            return home

    def remove(self, name: str) -> None:
        """Deletes every version of an expert and all that the store knows of it. Raises: StoreError: no such expert."""
        with self._writing(f"remove {name}"):
            if name not in self._pointers:
                raise StoreError(f"{name}: no such expert in the store; here are {', '.join(self.experts()) or 'none'}")
            self._delete(self.layout.expert(name))
            del self._pointers[name]
            for expert, _, home in self._quarantined():
                if expert == name:
                    self._delete(home)

    def collect(self, keep: int = 3) -> tuple[tuple[str, int], ...]:
        """Deletes what is neither current, nor next to roll back to, nor among the newest `keep`; says what went.

        Of what is in quarantine, the newest `keep` stay whole; of the others the reasons stay.
        """
        gone: list[tuple[str, int]] = []
        with self._writing("collect old versions"):
            for name in self.experts():
                kept = {*self.versions(name)[-keep:], self.current(name), self.previous(name)}
                for version in self.versions(name):
                    if version not in kept:
                        self._delete(self.layout.version(name, version))
                        gone.append((name, version))
            for _, _, home in sorted(self._quarantined(), key=lambda entry: entry[2].stat().st_mtime)[:-keep]:
                if (home / "bundle").exists():
                    self._delete(home / "bundle")
        return tuple(gone)

    # --- How ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, what: str, needed_bytes: int = 0) -> Iterator[None]:
        """One change at a time; what the disk refuses comes out as a StoreError."""
        with self._changing:
            try:
                yield
            except OSError as error:
                raise self._failed(what, error, needed_bytes) from error

    def _failed(self, what: str, error: OSError, needed_bytes: int = 0) -> StoreError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = self._disk.free_bytes(self.layout.root)
            needed = f", {needed_bytes:,} are needed" if needed_bytes else ""
            return StoreError(f"cannot {what}: the disk is full ({free:,} bytes free{needed}); free some and try again")
        return StoreError(f"cannot {what}: {error.strerror or error} ({error.filename or self.layout.root})")

    def _demand_space(self, what: str, needed_bytes: int) -> None:
        free = self._disk.free_bytes(self.layout.root)
        if free < needed_bytes + SPARE_BYTES:
            raise StoreError(
                f"cannot {what}: the disk has {free:,} bytes free, {needed_bytes + SPARE_BYTES:,} are needed; "
                "free some and try again"
            )

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
        for expert, number, home in self._quarantined():
            if (expert, number) == (name, version) and not (home / DAMAGED).exists():
                reason = (home / "reason.txt").read_text("utf-8").strip()
                raise BundleError(f"{bundle}: in quarantine, for: {reason}; mend it and raise the version")
        back = f"; `promote {name} {version}` goes back to it" if version in self.versions(name) else ""
        raise BundleError(f"{bundle}: the version does not rise, {highest} is here already{back}")

    def _settle(self, staged: Path) -> Bundle:
        """Verifies what lies in incoming/ and moves it to its place in one step."""
        bundle = open_bundle(staged, self.limits, trunk_id=self._trunk_id)
        name, version = bundle.manifest.name, bundle.manifest.version
        folders = {folder for file in bundle.manifest.files for folder in Path(file).parents}
        for folder in sorted(folders, reverse=True):
            self._disk.sync_folder(staged / folder)
        home = self.layout.version(name, version)
        if not home.parent.exists():
            self._disk.make_folder(home.parent)
            self._disk.sync_folder(self.layout.store)
        self._disk.rename(staged, home)
        self._disk.sync_folder(home.parent)
        self._pointers.setdefault(name, (None,))
        return Bundle(home, bundle.manifest)

    def _point(self, name: str, history: tuple[int | None, ...]) -> None:
        lines = [_NONE if version is None else str(version) for version in history[: HISTORY + 1]]
        beside = self.layout.next_pointer(name)
        self._disk.delete(beside)
        self._disk.write(beside, ["\n".join([*lines, ""]).encode()])
        self._disk.rename(beside, self.layout.pointer(name))
        self._disk.sync_folder(self.layout.expert(name))
        self._pointers[name] = history[: HISTORY + 1]

    def _delete(self, path: Path) -> None:
        """In one step for whoever looks: it moves to incoming/ and is deleted there."""
        aside = self.layout.token()
        self._disk.rename(path, aside)
        self._disk.sync_folder(path.parent)
        self._disk.delete(aside)

    def _discard(self, staged: Path) -> None:
        with suppress(OSError):  # What stays is removed by the next opening.
            self._disk.delete(staged)

    def _quarantined(self) -> list[tuple[str, int, Path]]:
        matches = (re.fullmatch(r"([a-z][a-z0-9-]*)-([0-9]+)-[0-9T.]+Z", e) for e in os.listdir(self.layout.quarantine))
        return [(match[1], int(match[2]), self.layout.quarantine / match[0]) for match in matches if match]

    # --- Opening -----------------------------------------------------------------------------------------------------

    def _repair(self) -> Iterator[str]:
        for entry in os.listdir(self.layout.incoming):
            self._disk.delete(self.layout.incoming / entry)
            yield f"incoming/{entry}: left half done by a crash; removed"
        for name, version, home in self._quarantined():
            if not (home / "bundle").exists() and version in self.versions(name):
                self._disk.delete(home)
                yield f"quarantine/{home.name}: left half done by a crash; undone"
        for name in sorted(os.listdir(self.layout.store)):
            yield from self._repair_expert(name)

    def _repair_expert(self, name: str) -> Iterator[str]:
        folder = self.layout.expert(name)
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name) or not folder.is_dir():
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
                # It was sound when it was admitted.
                self.quarantine(name, version, str(error), damaged=True)
                yield f"{error}; now in quarantine"
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
        self._point(name, (sound, *(v for v in older if v is not None)))
        yield f"{name}: {'no version that served is left' if sound is None else f'falling back to version {sound}'}"


class Upload:
    """A bundle on its way in. Paths and sizes are checked before the first byte is written.

    with store.receive() as upload:
        upload.begin("expert.toml", 512)
        upload.write(data)              # as often as it takes
        bundle = upload.finish()
    """

    def __init__(self, store: Store, folder: Path, disk: Disk) -> None:
        self._store = store
        self._folder = folder
        self._disk = disk
        self._sizes: dict[str, int] = {}
        self._file: BinaryIO | None = None
        self._path = ""
        self._missing_bytes = 0

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()

    def begin(self, path: str, size_bytes: int) -> None:
        """Opens the next file; exactly `size_bytes` follow.

        Raises: BundleError when path or size break a rule or the file before is short; StoreError: the disk is full.
        """
        self._end()
        check_path(path)
        if path != MANIFEST:
            check_ending(path)
        self._check_size(path, size_bytes)
        taken = {name.lower() for name in self._sizes}
        if path.lower() in taken or any(str(parent).lower() in taken for parent in Path(path).parents):
            raise BundleError(f"{path}: the name is taken by an earlier file")
        target = self._folder / path
        if target.is_dir():
            raise BundleError(f"{path}: the name is taken by a folder")
        with self._writing(size_bytes):
            self._store._demand_space(f"receive {path}", size_bytes)
            self._disk.make_folder(target.parent)
            self._file = self._disk.create(target)
        self._path, self._missing_bytes = path, size_bytes
        self._sizes[path] = size_bytes

    def write(self, data: bytes) -> None:
        """Raises: BundleError for more bytes than were announced; StoreError when the disk is full."""
        if self._file is None:
            raise BundleError("data came before the name of its file")
        if len(data) > self._missing_bytes:
            raise BundleError(f"{self._path}: more than the {self._sizes[self._path]:,} bytes that were announced")
        with self._writing(self._missing_bytes):
            self._file.write(data)
        self._missing_bytes -= len(data)

    def finish(self) -> Bundle:
        """Admits what was received. Raises: as `Store.admit`."""
        self._end()
        if not self._sizes:
            raise BundleError("nothing was sent; a bundle has an expert.toml and its files")
        return self._store.admit_received(self._folder)

    def abort(self) -> None:
        """Forgets what was received; after `finish` it does nothing."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        self._store._discard(self._folder)

    def _check_size(self, path: str, size_bytes: int) -> None:
        limits = self._store.limits
        if not 0 <= size_bytes <= limits.max_file_bytes:
            raise BundleError(f"{path}: {size_bytes:,} bytes; at most {limits.max_file_bytes:,} are allowed")
        if len(self._sizes) >= limits.max_files:
            raise BundleError(f"{path}: one file too many; at most {limits.max_files} are allowed")
        if sum(self._sizes.values()) + size_bytes > limits.max_bundle_bytes:
            raise BundleError(f"{path}: more than {limits.max_bundle_bytes:,} bytes in all")

    def _end(self) -> None:
        if self._file is None:
            return
        if self._missing_bytes:
            announced = self._sizes[self._path]
            raise BundleError(f"{self._path}: {self._missing_bytes:,} of the {announced:,} announced bytes are missing")
        with self._writing(0):
            self._disk.sync(self._file)
            self._file.close()
        self._file = None

    def _writing(self, needed_bytes: int) -> AbstractContextManager[None]:
        return self._store._writing("receive a bundle", needed_bytes)


def _without(history: Iterable[int | None], version: int) -> tuple[int | None, ...]:
    return tuple(v for v in history if v != version)


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


def _chunks(path: Path) -> Iterator[bytes]:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        while chunk := file.read(COPY_CHUNK_BYTES):
            yield chunk


def _lock(path: Path) -> BinaryIO:
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(32).decode("ascii", "replace").strip()
        file.close()
        raise StoreError(f"{path.parent}: process {holder} holds the store; one at a time may change it") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())
    file.flush()
    return file
