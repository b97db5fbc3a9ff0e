"""The base models on disk: files too large for a bundle, each named by its hash.

    <root>/<sha256>.gguf         a model, whole and checked
    <root>/<sha256>.gguf.part    one that is being downloaded
    <root>/adopting-*.part       one that is being received
    <root>/models.json           which file serves under which name

A pulled file has the hash that the bundle names. Any GGUF that the user hands over under a model's name is taken, and
recorded with its own hash: the user vouches for it, and it is never taken for the one that the bundle names. Knows no
network.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from .bundle import BaseModel
from .errors import BundleError, StoreError
from .weights import check_gguf

_INDEX = "models.json"


class _Known(msgspec.Struct, frozen=True):
    """One entry of models.json. adopted: handed over by the user, rather than downloaded."""

    sha256: str
    size_bytes: int
    adopted: bool


@dataclass(frozen=True, slots=True)
class Present:
    """A model's file that is here. adopted: it is the user's own, and not the one that the bundle names."""

    name: str
    path: Path
    sha256: str
    size_bytes: int
    adopted: bool

    @property
    def title(self) -> str:
        """What answers say they come from."""
        return f"{self.name} (adopted, {self.sha256[:8]})" if self.adopted else self.name


class Models:
    """Answers which models are here, and takes in new ones."""

    def __init__(self, root: Path, known: dict[str, _Known]) -> None:
        self._root = root
        self._known = known

    @classmethod
    def open(cls, root: Path) -> Models:
        """root: the folder, made if it is not there. Leftovers of interrupted adoptions are deleted.

        Raises: StoreError when the folder cannot be used.
        """
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in root.glob("adopting-*.part"):
                leftover.unlink(missing_ok=True)
            index = root / _INDEX
            raw = index.read_bytes() if index.exists() else b"{}"
        except OSError as error:
            raise StoreError(
                f"{root}: cannot be used for models: {error.strerror}; check its owner and mode"
            ) from error
        try:
            known = msgspec.json.decode(raw, type=dict[str, _Known])
        except msgspec.DecodeError:
            # Names can be given again; the files, which took hours to fetch, are still there under their hashes.
            known = {}
        return cls(root, known)

    def find(self, model: BaseModel) -> Present | None:
        """The file to load; None: it is not here, or not whole. What was handed over under its name goes first."""
        known = self._known.get(model.name)
        if known is not None and known.adopted and known.sha256 != model.sha256:
            path = self._file(known.sha256)
            if _has_size(path, known.size_bytes):
                return Present(model.name, path, known.sha256, known.size_bytes, adopted=True)
        path = self.destination(model)
        if _has_size(path, model.size_bytes):
            return Present(model.name, path, model.sha256, model.size_bytes, adopted=False)
        return None

    def path(self, model: BaseModel) -> Path | None:
        """Of the file that `find` finds."""
        present = self.find(model)
        return None if present is None else present.path

    def has_named(self, model: BaseModel) -> bool:
        """Whether the very file that the bundle names is here, whole; it may stand behind an adopted one."""
        return _has_size(self.destination(model), model.size_bytes)

    def present_bytes(self, model: BaseModel) -> int:
        """Of it, or of the download of it so far."""
        for path in (self.path(model), self.part(model)):
            if path is not None:
                with contextlib.suppress(FileNotFoundError):
                    return path.stat().st_size
        return 0

    def destination(self, model: BaseModel) -> Path:
        """Where a download of it goes; while it grows, "<destination>.part"."""
        return self._file(model.sha256)

    def part(self, model: BaseModel) -> Path:
        destination = self.destination(model)
        return destination.with_name(destination.name + ".part")

    def admit(self, model: BaseModel) -> Path:
        """Takes in a download that is at its destination, whole and with the right hash; returns its path.

        From then on it goes before what was adopted under its name.

        Raises: BundleError when it is no sound GGUF; it is deleted then. StoreError when it cannot be recorded.
        """
        path = self.destination(model)
        try:
            _check(path, model.name)
        except BundleError:
            path.unlink(missing_ok=True)
            raise
        except OSError as error:
            raise StoreError(f"{model.name}: {path.name} cannot be read: {error.strerror}") from error
        self._record(model.name, _Known(model.sha256, path.stat().st_size, adopted=False))
        return path

    def adoption(self, model: BaseModel, size_bytes: int) -> Adoption:
        """Begins to take in a file under this model's name; it is received in pieces, within a `with`.

        Raises: StoreError when the disk has no room for it.
        """
        free = os.statvfs(self._root)
        if size_bytes > free.f_bavail * free.f_frsize:
            raise StoreError(
                f"{model.name}: {size_bytes:,} bytes do not fit: {free.f_bavail * free.f_frsize:,} are free in "
                f"{self._root}; make room and adopt it again"
            )
        return Adoption(self, model, size_bytes)

    def _file(self, sha256: str) -> Path:
        return self._root / f"{sha256}.gguf"

    def _record(self, name: str, known: _Known) -> None:
        """Raises: StoreError."""
        before = self._known
        changed = {**before, name: known}
        try:
            with tempfile.NamedTemporaryFile(dir=self._root, prefix="adopting-", suffix=".part", delete=False) as file:
                file.write(msgspec.json.format(msgspec.json.encode(changed)))
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self._root / _INDEX)
            _sync_folder(self._root)
        except OSError as error:
            raise StoreError(f"{name}: {self._root / _INDEX} cannot be written: {error.strerror}") from error
        self._known = changed


class Adoption:
    """A file on its way in. Leaving the `with` before `finish` leaves nothing behind."""

    def __init__(self, models: Models, model: BaseModel, size_bytes: int) -> None:
        self._models = models
        self._model = model
        self._size_bytes = size_bytes
        self._received = 0
        self._hash = hashlib.sha256()
        try:
            descriptor, name = tempfile.mkstemp(dir=models._root, prefix="adopting-", suffix=".part")
        except OSError as error:
            raise StoreError(f"{model.name}: {models._root} cannot be written: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "wb")
        self._part = Path(name)

    def __enter__(self) -> Adoption:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """The next piece. Raises: StoreError when the disk is full, or more comes than was said."""
        self._received += len(data)
        if self._received > self._size_bytes:
            raise StoreError(f"{self._model.name}: more than the {self._size_bytes:,} bytes that were announced")
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error
        self._hash.update(data)

    def finish(self) -> Path:
        """Checks the whole file and puts it in its place; from then on it serves under the model's name.

        Raises: BundleError when it is no sound GGUF, StoreError when it is not whole or cannot be kept.
        """
        if self._received < self._size_bytes:
            raise StoreError(
                f"{self._model.name}: {self._received:,} of {self._size_bytes:,} bytes arrived; adopt it again"
            )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            _check(self._part, self._model.name)
            sha256 = self._hash.hexdigest()
            path = self._models._file(sha256)
            os.replace(self._part, path)
            _sync_folder(path.parent)
        except OSError as error:
            raise self._failed(error) from error
        adopted = sha256 != self._model.sha256
        self._models._record(self._model.name, _Known(sha256, self._received, adopted))
        return path

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self._model.name}: writing it failed after {self._received:,} bytes: {error.strerror}; "
            "make room and adopt it again"
        )


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def _check(path: Path, name: str) -> None:
    """Raises: BundleError, which gives the model's name: nobody knows the file's."""
    try:
        check_gguf(path)
    except BundleError as error:
        raise BundleError(f"{name}{str(error).removeprefix(path.name)}") from None


def _sync_folder(folder: Path) -> None:
    """Makes a rename in it last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
