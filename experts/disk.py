"""Where the store's things lie, and the one place that changes them. Decides nothing, and knows no bundle."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from .errors import StoreError

# Kept free for the database and the system, and for what a file system takes beside the contents.
SPARE_BYTES = 4 * 2**20


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
    """Each call is a step that is done or not done when the power fails."""

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

    def sync_file(self, path: Path) -> None:
        """For a file that was written and closed: many of them written first and synced after share the journal."""
        with path.open("rb") as file:
            self.sync(file)

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

    def take_away(self, path: Path, aside: Path) -> None:
        """Deletes in one step for whoever looks: it is moved to `aside`, where nobody does, and deleted there."""
        self.rename(path, aside)
        self.sync_folder(path.parent)
        self.delete(aside)

    @contextmanager
    def refusals(self, what: str, folder: Path, needed_bytes: int = 0) -> Iterator[None]:
        """What the disk that `folder` lies on refuses comes out as a StoreError: "cannot <what>: …"."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                told = f"{error.strerror or error} ({error.filename or folder})"
                raise StoreError(f"cannot {what}: {told}") from error
            free = self.free_bytes(folder)
            needed = f", {needed_bytes:,} are needed" if needed_bytes else ""
            raise StoreError(
                f"cannot {what}: the disk is full ({free:,} bytes free{needed}); free some and try again"
            ) from error

    def demand_space(self, what: str, folder: Path, needed_bytes: int) -> None:
        """Raises: StoreError where there is not room for so many bytes, and for those that are kept free."""
        free = self.free_bytes(folder)
        if free < needed_bytes + SPARE_BYTES:
            raise StoreError(
                f"cannot {what}: the disk has {free:,} bytes free, {needed_bytes + SPARE_BYTES:,} are needed; "
                "free some and try again"
            )
