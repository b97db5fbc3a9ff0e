"""One daemon per socket, in a folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from expertd.daemon import singleton
from expertd.daemon.singleton import AlreadyRunningError, SocketLock, private_folder

HOLDER = """
import sys, time
from pathlib import Path
from expertd.daemon.singleton import SocketLock
import socket
lock = SocketLock.acquire(Path(sys.argv[1]))
door = socket.socket(socket.AF_UNIX)
door.bind(sys.argv[1])
door.listen()
print("holds", flush=True)
sys.stdin.readline()
lock.release()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "expertd.sock"


@pytest.fixture
def holder(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that serves the socket."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        yield process
        process.kill()


def test_a_second_daemon_is_refused_and_told_of_the_first(path: Path, holder: "subprocess.Popen[str]") -> None:
    with pytest.raises(AlreadyRunningError, match=f"expertd.sock: another expertd .*pid {holder.pid}") as caught:
        SocketLock.acquire(path)
    assert caught.value.pid == holder.pid
    assert path.is_socket()


def test_the_socket_of_a_killed_daemon_is_taken_over(path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert path.is_socket()
    with SocketLock.acquire(path):
        assert not path.exists()
        assert path.with_name("expertd.sock.lock").read_text() == f"{os.getpid()}\n"


def test_after_an_orderly_end_nothing_is_in_the_way(path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.communicate("\n")
    assert holder.returncode == 0
    assert not path.exists()
    SocketLock.acquire(path).release()


def test_the_lock_goes_with_the_daemon_though_a_child_outlives_it(path: Path) -> None:
    program = HOLDER.replace(
        "print(", "import subprocess; child = subprocess.Popen(['sleep', '60'])\nprint(child.pid); print("
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
    try:
        SocketLock.acquire(path).release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_releasing_twice_does_no_harm(path: Path) -> None:
    first = SocketLock.acquire(path)
    first.release()
    with SocketLock.acquire(path):
        first.release()
        with pytest.raises(AlreadyRunningError):
            SocketLock.acquire(path)


def test_what_is_no_socket_is_not_removed(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="something else than a socket"):
        SocketLock.acquire(path)
    assert path.read_text() == "mine"


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="at most 107"):
        SocketLock.acquire(tmp_path / ("x" * 108) / "expertd.sock")


# --- The folder ------------------------------------------------------------------------------------------------------


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    assert private_folder(tmp_path / "a").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o777, 0o701])
def test_a_folder_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(PermissionError, match=f"open to others .mode {mode:04o}"):
        private_folder(folder)
    assert folder.stat().st_mode & 0o777 == mode


def test_a_folder_that_systemd_made_may_be_open_to_its_group_and_no_further(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": f"{tmp_path / 'other'}:{tmp_path / 'run'}"}
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o750)
    private_folder(folder, environ)
    for mode in (0o755, 0o770):
        folder.chmod(mode)
        with pytest.raises(PermissionError, match="open to others"):
            private_folder(folder, environ)


def test_a_link_is_refused(tmp_path: Path) -> None:
    private_folder(tmp_path / "real")
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError, match="is a link"):
        private_folder(tmp_path / "run")


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = private_folder(tmp_path / "run")
    monkeypatch.setattr(singleton.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match=f"belongs to user {os.getuid()}"):
        private_folder(folder)
