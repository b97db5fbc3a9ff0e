"""The drop-in folder: a complete bundle that is put there is installed while the daemon runs.

A copy that is still on its way is no bundle yet: it is waited for, and never judged. What was judged is left alone
until its files change. Knows no wire, and no life cycle: what is admitted is handed on.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import signal
import stat
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from expertd.experts.bundle import CARD, GOLDEN, INTENTS, MANIFEST, Bundle, Limits
from expertd.experts.contents import check_path, check_toml
from expertd.experts.errors import BundleError, ExpertError, StoreError, UnavailableError
from expertd.experts.store import Store, claimed
from expertd.experts.upload import read_below

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
# A copy that lacks something for so long has perhaps been given up.
TELL_AFTER_S = 60.0
# A full disk is not the bundle's fault: it is tried again though none of its files changed.
TRY_AGAIN_AFTER_S = 60.0
# More than any bundle has: so much of a folder is looked at.
MAX_ENTRIES = 512

BEING_WRITTEN = f"{MANIFEST} is being written"

Files = Mapping[str, os.stat_result]
# Path, bytes, inode and last change of every file: equal twice means that nothing happened in between.
Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(slots=True)
class _Seen:
    """What is known of one folder. lacks: what its copy still lacks; None: not looked into yet."""

    signature: Signature
    since: float
    lacks: str | None = None
    told: str = ""
    judged: bool = False
    again_at: float = float("inf")


class DropIn:
    """folder: need not be there. install: serves what the store has admitted. unwanted: whom the operator removed."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        install: Callable[[Bundle], Awaitable[object]],
        *,
        unwanted: Callable[[str], bool] = lambda name: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._store = store
        self._install = install
        self._unwanted = unwanted
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    async def watch(self) -> None:
        """Looks every two seconds until it is cancelled; one bundle is installed at a time."""
        while True:
            for folder in await asyncio.to_thread(self.look):
                await self._take(folder)
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> list[Path]:
        """The folders that became complete bundles, each once; cheap as long as no file changes."""
        now = self._clock()
        found = dict(self._scan())
        self._seen = {name: seen for name, seen in self._seen.items() if name in found}
        complete = []
        for name, files in found.items():
            signature = _signature(files)
            seen = self._seen.get(name)
            if seen is None or seen.signature != signature:
                since = now if seen is None or seen.judged else seen.since
                self._seen[name] = _Seen(signature, since)
            elif not seen.judged or now >= seen.again_at:
                try:
                    if not self._is_complete(name, seen, files, now):
                        continue
                    complete.append(self._folder / name)
                except Exception:  # A mistake of ours; the other folders are no worse for it.
                    log.exception("%s cannot be looked into", _plain(self._folder / name))
                seen.judged, seen.again_at = True, float("inf")
        return complete

    def _scan(self) -> Iterator[tuple[str, Files]]:
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                with suppress(OSError):
                    if not entry.name.startswith(".") and entry.is_dir():
                        yield entry.name, _files(entry.path)

    def _is_complete(self, name: str, seen: _Seen, files: Files, now: float) -> bool:
        """Tells, once, what has been lacking for long."""
        folder = self._folder / name
        # That a writer closes a file is no change of it.
        if seen.lacks in (None, BEING_WRITTEN):
            if is_here(self._store, folder):
                seen.judged = True
                return False
            seen.lacks = lacking(folder, files)
        if seen.lacks and now - seen.since >= TELL_AFTER_S:
            self._tell(seen, f"{_plain(folder)} is not complete, and waited for: {seen.lacks}")
        return not seen.lacks

    async def _take(self, folder: Path) -> None:
        """Whatever becomes of it is told once; nothing that a bundle does ends the watch."""
        seen = self._seen[folder.name]
        try:
            bundle = await asyncio.to_thread(self._admit, folder)
            if bundle is None:
                self._tell(seen, f"{_plain(folder)} is not taken in: the expert was removed; `expertctl install` it")
                return
            log.info("%s: %s is admitted", _plain(folder), bundle)
            # The order stands, even if the watch ends: half an installation is none.
            await asyncio.shield(asyncio.ensure_future(self._install(bundle)))
        except StoreError as error:
            seen.again_at = self._clock() + TRY_AGAIN_AFTER_S
            self._tell(seen, f"{_plain(folder)} is not taken in, and tried again: {error}")
        except UnavailableError as error:
            self._tell(seen, f"{_plain(folder)} is taken in, and waits: {error}")
        except ExpertError as error:
            self._tell(seen, f"{_plain(folder)} is not taken in: {error}")
        except Exception:
            log.exception("%s is not taken in", _plain(folder))

    def _admit(self, folder: Path) -> Bundle | None:
        """None: nobody wants it. Raises: BundleError, StoreError."""
        claim = claimed(folder)
        if claim is not None and self._unwanted(claim[0]):
            return None
        return self._store.admit(folder)

    def _tell(self, seen: _Seen, message: str) -> None:
        if message != seen.told:
            log.warning("%s", message)
        seen.told = message


def is_here(store: Store, folder: Path) -> bool:
    """Whether the store has or had the version in `folder`; one with other bytes than the store's own is not it."""
    claim = claimed(folder)
    if claim is None or claim[1] > store.highest(claim[0]):
        return False
    with suppress(OSError):
        own = store.layout.version(*claim) / MANIFEST
        return not own.exists() or own.read_bytes() == (folder / MANIFEST).read_bytes()
    return False


def lacking(folder: Path, files: Files | None = None) -> str:
    """What a copy that is still on its way lacks, in words; "": every file of its manifest is there with its hash.

    What breaks a rule lacks nothing: to refuse it is the store's to do.
    """
    try:
        files = _files(folder) if files is None else files
        if MANIFEST not in files:
            return f"{MANIFEST} is not there"
        limits = Limits()
        odd = [path for path, status in files.items() if not stat.S_ISREG(status.st_mode)]
        if odd or len(files) > limits.max_files or files[MANIFEST].st_size > limits.max_manifest_bytes:
            return ""
        if _is_being_written(folder / MANIFEST):
            return BEING_WRITTEN
        listed = _listed(b"".join(read_below(folder, MANIFEST, files[MANIFEST].st_size, limits)))
        if listed is None:
            return f"{MANIFEST} ends early, or is not sealed: it has no whole table [files]"
        for path in listed:
            check_path(path)
        missing = [path for path in listed if path not in files]
        missing += [f"{path} (not listed)" for path in files if path != MANIFEST and path not in listed]
        missing = missing or [path for path in listed if not _has_hash(folder, path, files, listed[path], limits)]
    except BundleError:
        return ""
    except OSError as error:
        return f"{_plain(error.filename or folder)} cannot be read ({error.strerror})"
    return ", ".join(map(_plain, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")


def _listed(manifest: bytes) -> dict[str, str] | None:
    """The table [files]; None while it is not whole. Raises: BundleError."""
    check_toml(manifest, MANIFEST)
    try:
        files = tomllib.loads(manifest.decode("utf-8")).get("files")
    except (ValueError, RecursionError):
        return None
    # The files that every bundle has; and a sealed manifest ends with its last line.
    if not isinstance(files, dict) or not {CARD, INTENTS, GOLDEN} <= files.keys() or not manifest.endswith(b"\n"):
        return None
    return files


def _has_hash(folder: Path, path: str, files: Files, expected: str, limits: Limits) -> bool:
    digest = hashlib.sha256()
    try:
        for chunk in read_below(folder, path, files[path].st_size, limits):
            digest.update(chunk)
    except BundleError:  # It changed meanwhile.
        return False
    return digest.hexdigest() == expected


def _is_being_written(path: Path) -> bool:
    """Whether somebody holds the file open for writing: the manifest alone has no hash to know it whole by.

    Asked by a lease (fcntl(2)), which nobody is granted while there is a writer; where there are no leases, no.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        # Who opens it for writing meanwhile has us sent a signal: one that is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _files(folder: str | Path) -> dict[str, os.stat_result]:
    """Path → status of everything below that is no folder, links not followed, and no end of it read."""
    files: dict[str, os.stat_result] = {}
    waiting = [""]
    for prefix in waiting:
        with os.scandir(f"{folder}/{prefix}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{prefix}{entry.name}/")
                else:
                    files[prefix + entry.name] = entry.stat(follow_symlinks=False)
                if len(files) + len(waiting) > MAX_ENTRIES:
                    return files
    return files


def _signature(files: Files) -> Signature:
    return tuple((path, it.st_size, it.st_ino, it.st_ctime_ns) for path, it in sorted(files.items()))


def _plain(name: object) -> str:
    return ascii(str(name))[1:-1]
