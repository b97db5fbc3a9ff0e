"""The one road into the store: a bundle, file by file, into a folder where no reader looks.

`Upload` believes nobody: paths and sizes are checked before the first byte is written. `read_below` is how a folder
takes that road: it never follows a link, and never waits for a pipe. Knows no manifest.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO

from .bundle import MANIFEST, Bundle, Limits
from .contents import check_ending, check_path
from .disk import Disk
from .errors import BundleError

COPY_CHUNK_BYTES = 2**20


class Upload:
    """A bundle on its way in.

    with store.receive() as upload:
        upload.begin("expert.toml", 512)
        upload.write(data)              # as often as it takes
        bundle = upload.finish()
    """

    def __init__(
        self, folder: Path, limits: Limits, disk: Disk, settle: Callable[[Path], Bundle], what: str = "receive a bundle"
    ) -> None:
        """folder: where it is gathered, not there yet. settle: takes it from there. what: for refusals of the disk."""
        self._folder = folder
        self._limits = limits
        self._disk = disk
        self._settle = settle
        self._what = what
        self._sizes: dict[str, int] = {}
        # Files, and the folders above them: names in lower case → as they are.
        self._taken: set[str] = set()
        self._folders: dict[str, str] = {}
        self._all_bytes = 0
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
        above = {str(parent).lower(): str(parent) for parent in Path(path).parents if parent.name}
        if path.lower() in self._taken or above.keys() & self._taken:
            raise BundleError(f"{path}: the name is taken by an earlier file")
        if path.lower() in self._folders or any(self._folders.get(low, name) != name for low, name in above.items()):
            raise BundleError(f"{path}: the name, or that of a folder above it, is taken by a folder")
        with self._refusals(size_bytes):
            self._disk.demand_space(self._what, self._folder.parent, size_bytes)
            target = self._folder / path
            if not self._sizes or not above.keys() <= self._folders.keys():
                self._disk.make_folder(target.parent)
            self._file = self._disk.create(target)
        self._path, self._missing_bytes = path, size_bytes
        self._sizes[path] = size_bytes
        self._all_bytes += size_bytes
        self._taken.add(path.lower())
        self._folders.update(above)

    def write(self, data: bytes) -> None:
        """Raises: BundleError for more bytes than were announced; StoreError when the disk is full."""
        if self._file is None:
            raise BundleError("data came before the name of its file")
        if len(data) > self._missing_bytes:
            raise BundleError(f"{self._path}: more than the {self._sizes[self._path]:,} bytes that were announced")
        with self._refusals(self._missing_bytes):
            self._file.write(data)
        self._missing_bytes -= len(data)

    def finish(self) -> Bundle:
        """Admits what was received. Raises: as `Store.admit`."""
        self._end()
        if not self._sizes:
            raise BundleError("nothing was sent; a bundle has an expert.toml and its files")
        return self._settle(self._folder)

    def abort(self) -> None:
        """Forgets what was received; after `finish` it does nothing."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        with suppress(OSError):  # What stays is removed by the store's next opening.
            self._disk.delete(self._folder)

    def _check_size(self, path: str, size_bytes: int) -> None:
        limits = self._limits
        if not 0 <= size_bytes <= limits.max_file_bytes:
            raise BundleError(f"{path}: {size_bytes:,} bytes; at most {limits.max_file_bytes:,} are allowed")
        if len(self._sizes) >= limits.max_files:
            raise BundleError(f"{path}: one file too many; at most {limits.max_files} are allowed")
        if self._all_bytes + size_bytes > limits.max_bundle_bytes:
            raise BundleError(f"{path}: more than {limits.max_bundle_bytes:,} bytes in all")

    def _end(self) -> None:
        if self._file is None:
            return
        if self._missing_bytes:
            announced = self._sizes[self._path]
            raise BundleError(f"{self._path}: {self._missing_bytes:,} of the {announced:,} announced bytes are missing")
        # On the disk it need not be before it is verified: the store sees to that.
        with self._refusals(0):
            self._file.close()
        self._file = None

    def _refusals(self, needed_bytes: int) -> AbstractContextManager[None]:
        return self._disk.refusals(self._what, self._folder.parent, needed_bytes)


def read_below(folder: Path, path: str, size_bytes: int, limits: Limits) -> Iterator[bytes]:
    """The bytes of the plain file `path` in `folder`, which somebody else may be changing at this moment.

    size_bytes: what it had when it was looked at.

    Raises: BundleError when it is something else by now, or has another size; OSError when it cannot be read.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *above, name = path.split("/")
        for part in above:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        # A pipe that was put in its place would keep us waiting for its other end.
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.ENXIO):  # A link, nothing, a socket by now.
            raise _changed(path) from None
        raise
    finally:
        os.close(descriptor)
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > limits.max_links or found.st_size != size_bytes:
            raise _changed(path)
        left = size_bytes
        while chunk := os.read(opened, min(COPY_CHUNK_BYTES, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise _changed(path)
            yield chunk
        if left:
            raise _changed(path)
    finally:
        os.close(opened)


def _changed(path: str) -> BundleError:
    return BundleError(f"{path}: changed while it was being copied; try again when whoever writes it is done")
