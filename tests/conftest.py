"""What several test files use: a maker of small bundles, a disk that dies, a short folder for sockets, the trunk, and a
real daemon in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

# As the daemon does: before numpy is imported, which what follows does.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")

import pytest

from expertd.experts.bundle import seal
from expertd.experts.disk import Disk
from expertd.experts.schedule import Scheduler
from expertd.experts.servable import Encode, Host

ROOT = Path(__file__).resolve().parent.parent

BundleMaker = Callable[..., Path]
Survives = Callable[[int, Callable[[Disk], object]], bool]


@pytest.fixture
def make_bundle(tmp_path: Path) -> BundleMaker:
    """Writes and seals a bundle of kind `skill`; `parameters` and `golden` are what tests vary."""

    def make(
        name: str = "echo",
        version: int = 1,
        *,
        parameters: Mapping[str, Any] | None = None,
        golden: Sequence[Mapping[str, Any]] = ({"query": {"text": "hi"}, "expect": {"type": "structured"}},),
        sentences: Mapping[str, Sequence[str]] | None = None,
        skill: str = "echo",
    ) -> Path:
        folder = tmp_path / "bundles" / f"{name}-{version}"
        folder.mkdir(parents=True)
        values = "\n".join(f"{key} = {json.dumps(value)}" for key, value in (parameters or {}).items())
        (folder / "expert.toml").write_text(
            f'name = "{name}"\nversion = {version}\nkind = "skill"\nsummary = "Repeats what it hears."\n'
            f'licence = "Apache-2.0"\n\n[resources]\nmemory_mb = 1.0\nlatency_ms = 1.0\n\n'
            f'[skill]\nname = "{skill}"\n\n[parameters]\n{values}\n'
        )
        (folder / "CARD.md").write_text(f"# {name}\n\nA bundle for tests.\n")
        rows = [
            {"intent": intent, "text": text}
            for intent, texts in (sentences or {"repeat": [f"repeat after me {name}", f"say it again {name}"]}).items()
            for text in texts
        ]
        (folder / "intents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in golden))
        seal(folder)
        return folder

    return make


class _DyingDisk(Disk):
    """Ends the process at the n-th moment: before a step, in the middle of it where it has one, or after it."""

    def __init__(self, moment: int) -> None:
        self.moments_left = moment

    def pass_moment(self) -> None:
        self.moments_left -= 1
        if self.moments_left == 0:
            os._exit(9)

    def make_folder(self, path: Path) -> None:
        self.pass_moment()
        super().make_folder(path)

    def create(self, path: Path) -> BinaryIO:
        self.pass_moment()
        return cast("BinaryIO", _DyingFile(super().create(path), self))

    def sync(self, file: BinaryIO) -> None:
        super().sync(file)
        self.pass_moment()

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.pass_moment()

    def rename(self, source: Path, target: Path) -> None:
        self.pass_moment()
        super().rename(source, target)
        self.pass_moment()

    def delete(self, path: Path) -> None:
        self.pass_moment()
        if path.is_dir():
            for inner in sorted(path.rglob("*"))[:1]:
                super().delete(inner)
            self.pass_moment()
        super().delete(path)
        self.pass_moment()


class _DyingFile:
    """Writes half, may die, and writes the other half."""

    def __init__(self, file: BinaryIO, disk: _DyingDisk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        self._disk.pass_moment()
        return len(data) // 2 + self._file.write(data[len(data) // 2 :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _DyingFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


@pytest.fixture
def survives() -> Survives:
    """Runs an act, given a disk that dies at the n-th moment, in a process of its own; whether it came to its end."""

    def run(moment: int, act: Callable[[Disk], object]) -> bool:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                act(_DyingDisk(moment))
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (0, 9)
        return os.waitstatus_to_exitcode(status) == 0

    return run


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="e") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def trunk_root() -> Path:
    """The folder that holds the prepared trunk: the user's own if it is there, else made now, once."""
    from expertd.router.encoder import is_prepared

    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "expertd" / "trunk"
    if not is_prepared(state):
        subprocess.run([sys.executable, "-m", "expertd.distill.trunk", "--out", str(state)], check=True)
    return state


@pytest.fixture(scope="session")
def encode(trunk_root: Path) -> Encode:
    """The trunk, as experts are given it."""
    from expertd.router.encoder import Encoder

    encoder = Encoder.open(trunk_root)

    async def with_the_trunk(sentences: Sequence[str]) -> Any:
        return await asyncio.to_thread(encoder.encode, sentences)

    return with_the_trunk


@pytest.fixture
async def host(tmp_path: Path, encode: Encode) -> AsyncIterator[Host]:
    """What an expert may reach beside its bundle, in a folder of this test's own."""
    scheduler = Scheduler(tmp_path / "expertd.db")
    await scheduler.start()
    yield Host(tmp_path, tmp_path / "expertd.db", scheduler, lambda: datetime.now(UTC), encode)
    await scheduler.stop()


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, trunk_root: Path) -> Path:
    """What a daemon's first start leaves in its cache: the sentences of the shipped experts encoded, the index fitted.

    Later daemons begin with it, as a user's second start does; the first one fits for ten seconds.
    """
    folder = tmp_path_factory.mktemp("fitted")
    with running_daemon(folder, trunk_root):
        pass
    return folder / "state" / "cache"


@dataclass
class Daemon:
    """A real daemon: its process, its folders, how to start it again."""

    state: Path
    runtime: Path
    environment: dict[str, str]
    config: Path
    log: Path
    # What the daemon's command line is put behind: a small disk, say.
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.runtime / "expertd.sock"

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Starts it and waits until it answers."""
        from expertd.client import Client, ExpertdError

        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "expertd.daemon.main", "--config", str(self.config)],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()}")
            if self.socket.exists():
                try:
                    with Client(self.socket, timeout_s=5) as client:
                        client.route("what time is it")
                    return
                except ExpertdError:
                    pass
            time.sleep(0.02)
        raise AssertionError(f"the daemon did not answer in {timeout_s} s:\n{self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM, *, timeout_s: float = 30.0) -> int:
        """Sends the signal and returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon did not stop:\n{self.log.read_text()}") from None

    def expertctl(
        self, *arguments: str, check: bool = True, typed: str | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """The real command line, against this daemon."""
        done = subprocess.run(
            [sys.executable, "-m", "expertd.client.cli", "--socket", str(self.socket), *arguments],
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"expertctl {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}\n"
                f"{self.log.read_text()}"
            )
        return done


@contextmanager
def running_daemon(
    folder: Path,
    trunk_root: Path,
    settings: str = "",
    disk_mb: int = 0,
    fitted: Path | None = None,
    **environment: str,
) -> Iterator[Daemon]:
    """disk_mb: the daemon sees its state folder as a file system of its own, of that size; 0: an ordinary folder.

    fitted: a cache to begin with.
    """
    state, runtime = folder / "state", Path(f"/tmp/expertd-test-{os.getpid()}-{folder.name[-20:]}")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    runtime.mkdir(mode=0o700, exist_ok=True)
    link_trunk = f"ln -sfn '{trunk_root}' '{state}/trunk'"
    if fitted is not None:
        link_trunk += f" && cp -r '{fitted}' '{state}/cache'"
    prefix: tuple[str, ...] = ()
    if disk_mb:
        script = f"mount -t tmpfs -o size={disk_mb}m tmpfs '{state}' && {link_trunk} && exec \"$@\""
        prefix = ("unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh")
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
            pytest.skip("this machine does not let us mount a small file system")
    else:
        subprocess.run(["sh", "-c", link_trunk], check=True)
    config = folder / "expertd.toml"
    config.write_text(f'state_dir = "{state}"\nsocket = "{runtime / "expertd.sock"}"\n{settings}')
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OPENAI_", "EXPERTD_", "XDG_", "NOTIFY_")) and key != "DBUS_SESSION_BUS_ADDRESS"
    }
    daemon = Daemon(state, runtime, {**inherited, **environment}, config, folder / "daemon.log", prefix)
    try:
        daemon.start()
        yield daemon
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.process.terminate()
            try:
                daemon.process.wait(20)
            except subprocess.TimeoutExpired:
                daemon.process.kill()
                daemon.process.wait()
        for path in runtime.rglob("*"):
            if not path.is_dir():
                path.unlink(missing_ok=True)


@pytest.fixture
def start_daemon(tmp_path: Path, trunk_root: Path, fitted: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts a daemon of this test's own: `start_daemon(settings="…toml…", ENVIRONMENT="…")`."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(settings: str = "", disk_mb: int = 0, **environment: str) -> Daemon:
            return stack.enter_context(running_daemon(tmp_path, trunk_root, settings, disk_mb, fitted, **environment))

        yield start


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, trunk_root: Path, fitted: Path) -> Iterator[Daemon]:
    """One daemon that a file's tests share, with the shipped experts and no titan."""
    with running_daemon(tmp_path_factory.mktemp("daemon"), trunk_root, fitted=fitted) as running:
        yield running
