"""One daemon per socket, in a folder that nobody else can write to.

The lock is an flock on `<socket>.lock`: the kernel lets go of it when its holder ends, however it ends, so a socket
without a lock is stale for certain. Knows nothing of what is served.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

# The kernel's bound on a Unix socket's path, less its closing zero.
_MOST_PATH_BYTES = 107


class AlreadyRunningError(Exception):
    """Another daemon serves this socket; the text names it. pid: the other's, 0: unknown."""

    def __init__(self, message: str, *, pid: int) -> None:
        super().__init__(message)
        self.pid = pid


def private_folder(folder: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Makes the folder, for its owner alone; or sees that the one that is there is so.

    A folder that systemd made for this service may be open to its group, for the unit says so. Returns the folder.

    Raises: PermissionError when it is another user's, a link, or open to others; OSError when it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    mode = stat.S_IMODE(found.st_mode)
    granted = (os.environ if environ is None else environ).get("RUNTIME_DIRECTORY", "").split(":")
    most = 0o750 if str(folder) in granted else 0o700
    if not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{folder} is a link; anybody could turn it elsewhere: use the folder that it leads to")
    if found.st_uid != os.geteuid():
        raise PermissionError(
            f"{folder} belongs to user {found.st_uid}, not to user {os.geteuid()} who runs this: choose another folder"
        )
    if mode & ~most & 0o777:
        raise PermissionError(
            f"{folder} is open to others (mode {mode:04o}, at most {most:04o}): choose a folder of its own, "
            f"or close it with: chmod {most:o} {folder}"
        )
    return folder


class SocketLock:
    """The right to serve one socket; held until `release`, the end of the `with`, or the end of the process."""

    @classmethod
    def acquire(cls, socket: Path, environ: Mapping[str, str] | None = None) -> SocketLock:
        """Takes the lock and clears away the socket of a daemon that is gone.

        Raises: AlreadyRunningError when another process holds the lock; PermissionError when the socket's folder is
        not ours alone; OSError when something else than a socket is in the way, or the path is too long for one.
        """
        if len(os.fsencode(socket)) > _MOST_PATH_BYTES:
            raise OSError(
                f"{socket}: {len(os.fsencode(socket))} bytes; a socket's path has at most {_MOST_PATH_BYTES}: "
                "choose a shorter one"
            )
        private_folder(socket.parent, environ)
        path = socket.with_name(socket.name + ".lock")
        # Not inherited by workers (Python opens so), or one that outlives us would hold the lock in our place.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            _lock(descriptor, socket)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            _clear(socket)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(socket, descriptor)

    def __init__(self, socket: Path, descriptor: int) -> None:
        self._socket = socket
        self._descriptor = descriptor

    def release(self) -> None:
        """Removes the socket and lets go. May be called twice.

        The lock's file stays: between opening it and locking it, another daemon may be holding the very same file.
        """
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                _clear(self._socket)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> SocketLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(descriptor: int, socket: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        digits = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        pid = int(digits) if digits.isdecimal() else 0
        raise AlreadyRunningError(
            f"{socket}: another expertd serves it already (pid {pid or 'unknown'}); stop that one, "
            "or give this one a socket of its own: EXPERTD_SOCKET=PATH, or `socket` in the configuration",
            pid=pid,
        ) from None


def _clear(socket: Path) -> None:
    try:
        mode = socket.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{socket}: there is something else than a socket; move it away, or choose another path")
    socket.unlink()
