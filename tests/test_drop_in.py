"""The drop-in folder: what is complete is installed, what is on its way is waited for, what is wrong is told once."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from expertd.daemon import drop_in
from expertd.daemon.drop_in import DropIn, is_here, lacking
from expertd.daemon.shipped import Shipped
from expertd.experts.bundle import Bundle, seal
from expertd.experts.errors import BundleError, StoreError, UnavailableError
from expertd.experts.store import Store

Maker = Callable[..., Path]


class House:
    """A store, a drop-in folder, a clock that is moved by hand, and what was handed on to be installed."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "drop-in"
        self.folder.mkdir()
        self.store = Store.open(root / "state")
        self.now = 0.0
        self.installed: list[str] = []
        self.arrived = asyncio.Event()
        self.failure: Exception | None = None
        self.removed: set[str] = set()
        self.watched = DropIn(
            self.folder,
            self.store,
            self.install,
            unwanted=lambda name: name in self.removed,
            clock=lambda: self.now,
        )

    async def install(self, bundle: Bundle) -> None:
        assert bundle.path.is_relative_to(self.store.layout.store)
        self.installed.append(str(bundle))
        self.arrived.set()
        if self.failure is not None:
            raise self.failure

    async def look(self, times: int = 1) -> list[str]:
        """What is installed by so many looks."""
        before = len(self.installed)
        for _ in range(times):
            self.now += drop_in.LOOK_EVERY_S
            for folder in self.watched.look():
                await self.watched._take(folder)
        return self.installed[before:]

    def quarantined(self) -> list[str]:
        return os.listdir(self.store.layout.quarantine)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING)

    def read() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return read


async def test_a_complete_bundle_is_installed_at_the_second_look_and_once(house: House, make_bundle: Maker) -> None:
    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    assert await house.look() == []
    assert await house.look() == ["echo 1"]
    assert await house.look(5) == []


async def test_a_folder_that_goes_changes_nothing_and_a_new_version_comes(house: House, make_bundle: Maker) -> None:
    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    await house.look(2)
    shutil.rmtree(house.folder / "echo")
    assert await house.look(3) == []
    assert house.store.versions("echo") == (1,)
    shutil.copytree(make_bundle("echo", 2), house.folder / "echo")
    assert await house.look(2) == ["echo 2"]


async def test_the_whole_folder_may_go_and_come_back(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    await house.look(2)
    house.folder.rename(house.folder.with_name("away"))
    assert await house.look(3) == []
    house.folder.with_name("away").rename(house.folder)
    shutil.copytree(make_bundle("sing"), house.folder / "sing")
    assert await house.look(3) == ["sing 1"]
    assert told() == []


async def test_a_copy_on_its_way_is_never_judged(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    source, target = make_bundle("echo"), house.folder / "echo"
    target.mkdir()
    for path in sorted(source.iterdir(), key=lambda path: path.name != "expert.toml"):
        data = path.read_bytes()
        for end in (0, len(data) // 3, len(data) - 1):
            (target / path.name).write_bytes(data[:end])
            assert await house.look(3) == []
        (target / path.name).write_bytes(data)
        if len(list(target.iterdir())) < len(list(source.iterdir())):
            assert await house.look(3) == []
    assert await house.look(2) == ["echo 1"]
    assert house.quarantined() == []
    assert [line for line in told() if "not complete" not in line] == []


async def test_a_manifest_cut_at_the_end_of_any_line_is_not_taken_for_whole(house: House, make_bundle: Maker) -> None:
    target = house.folder / "echo"
    shutil.copytree(make_bundle("echo"), target)
    lines = (target / "expert.toml").read_text().splitlines(keepends=True)
    for end in range(len(lines)):
        (target / "expert.toml").write_text("".join(lines[:end]))
        assert await house.look(2) == []
    (target / "expert.toml").write_text("".join(lines))
    assert await house.look(2) == ["echo 1"]
    assert house.quarantined() == []


async def test_what_is_missing_is_told_once_after_a_minute(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    target = house.folder / "echo"
    shutil.copytree(make_bundle("echo"), target)
    (target / "CARD.md").rename(house.folder.parent / "CARD.md")
    (target / "golden.jsonl").write_text("{}\n")
    await house.look(20)
    assert told() == []
    await house.look(60)
    (message,) = told()
    assert "not complete" in message
    assert "CARD.md" in message
    (house.folder.parent / "CARD.md").rename(target / "CARD.md")
    await house.look(60)
    (message,) = told()
    assert "golden.jsonl" in message
    assert house.quarantined() == []


async def test_what_breaks_a_rule_is_told_once_and_tried_again_when_it_changes(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    target = house.folder / "echo"
    shutil.copytree(make_bundle("echo"), target)
    manifest = target / "expert.toml"
    sound = manifest.read_text()
    manifest.write_text(sound.replace('licence = "Apache-2.0"\n', ""))
    assert await house.look(10) == []
    (message,) = told()
    assert '"licence" is missing' in message
    assert str(target) in message
    manifest.write_text(sound)
    assert await house.look(10) == ["echo 1"]
    assert told() == []


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
async def test_what_is_no_manifest_is_neither_read_nor_leaked(
    house: House, make_bundle: Maker, make: Callable[[Path], object]
) -> None:
    target = house.folder / "echo"
    shutil.copytree(make_bundle("echo"), target)
    (target / "expert.toml").unlink()
    make(target / "expert.toml")
    await house.look(2)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        (target / "CARD.md").write_text(f"# {number}\n")
        assert await house.look(2) == []
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("attack", ["symbolic link", "not a plain file", "straight down"])
async def test_a_hostile_folder_is_refused_and_never_read(
    house: House, make_bundle: Maker, told: Callable[[], list[str]], attack: str
) -> None:
    target = house.folder / "echo"
    shutil.copytree(make_bundle("echo"), target)
    if attack == "symbolic link":
        (target / "more.txt").symlink_to("/etc/passwd")
    elif attack == "not a plain file":
        os.mkfifo(target / "more.txt")
    else:
        with (target / "expert.toml").open("a") as file:
            file.write(f'"../../secret.txt" = "{"0" * 64}"\n')
    assert await house.look(5) == []
    (message,) = told()
    assert attack in message


async def test_a_version_that_is_here_is_passed_over_in_silence(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    first, second = make_bundle("echo"), make_bundle("echo", 2)
    for folder in (first, second):
        house.store.admit(folder)
    house.store.quarantine("echo", 2, "wrong")
    shutil.copytree(first, house.folder / "one")
    shutil.copytree(second, house.folder / "two")
    assert await house.look(5) == []
    assert told() == []
    assert is_here(house.store, house.folder / "two")


async def test_other_bytes_under_a_version_that_is_here_are_told(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    source = make_bundle("echo")
    house.store.admit(source)
    shutil.copytree(source, house.folder / "echo")
    (house.folder / "echo" / "CARD.md").write_text("# another\n")
    seal(house.folder / "echo")
    assert await house.look(5) == []
    (message,) = told()
    assert "other bytes under a version that is here already" in message


async def test_a_removed_expert_stays_away(house: House, make_bundle: Maker, told: Callable[[], list[str]]) -> None:
    house.removed = {"echo"}
    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    assert await house.look(5) == []
    (message,) = told()
    assert "was removed" in message
    assert house.store.experts() == ()


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (BundleError("echo 1: golden.jsonl line 1: wrong"), "golden.jsonl line 1"),
        (UnavailableError("echo 1: its model is not here", reason="NO_MODEL"), "and waits"),
        (RuntimeError("a mistake of ours"), "is not taken in"),
    ],
)
async def test_a_failed_examination_is_told_once_and_does_not_end_the_watch(
    house: House, make_bundle: Maker, told: Callable[[], list[str]], failure: Exception, words: str
) -> None:
    house.failure = failure
    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    assert await house.look(10) == ["echo 1"]
    (message,) = told()
    assert words in message
    house.failure = None
    shutil.copytree(make_bundle("sing"), house.folder / "sing")
    assert await house.look(2) == ["sing 1"]


async def test_what_the_disk_refused_is_tried_again(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    house.failure = StoreError("cannot promote echo 1: the disk is full")
    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    assert await house.look(4) == ["echo 1"]
    await house.look(100)
    assert 1 < len(house.installed) < 6
    assert len(told()) == 1
    house.failure = None
    await house.look(40)
    count = len(house.installed)
    assert await house.look(100) == []
    assert len(house.installed) == count


async def test_links_of_folders_loose_files_and_hidden_folders_do_not_disturb(
    house: House, make_bundle: Maker, told: Callable[[], list[str]]
) -> None:
    (house.folder / "notes.txt").write_text("mine")
    (house.folder / ".part").mkdir()
    (house.folder / "loop").symlink_to(house.folder)
    (house.folder / "dangling").symlink_to(house.folder / "nowhere")
    (house.folder / "far").symlink_to(make_bundle("echo"))
    assert await house.look(3) == ["echo 1"]
    assert told() == []


async def test_a_file_written_slowly_by_another_process_is_waited_for(
    house: House, make_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest comes first, in pieces that end with a line, its writer pausing for longer than two looks."""
    monkeypatch.setattr(drop_in, "LOOK_EVERY_S", 0.02)
    source = make_bundle("echo")
    script = (
        "import pathlib, sys, time\n"
        "source, target = map(pathlib.Path, sys.argv[1:])\n"
        "target.mkdir()\n"
        "for path in sorted(source.iterdir(), key=lambda path: path.name != 'expert.toml'):\n"
        "    with (target / path.name).open('wb', buffering=0) as file:\n"
        "        lines = path.read_bytes().splitlines(keepends=True)\n"
        "        for start in range(0, len(lines), 4):\n"
        "            file.write(b''.join(lines[start : start + 4])); time.sleep(0.1)\n"
        "    time.sleep(0.1)\n"
    )
    target = house.folder / "echo"
    watching = asyncio.create_task(house.watched.watch())
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, source, target)
    while process.returncode is None:
        assert house.quarantined() == []
        installed = bool(house.installed)
        whole = target.exists() and {path.name: path.stat().st_size for path in target.iterdir()} == {
            path.name: path.stat().st_size for path in source.iterdir()
        }
        assert whole or not installed
        await asyncio.sleep(0.01)
    await asyncio.wait_for(house.arrived.wait(), 10)
    assert house.installed == ["echo 1"]
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_a_manifest_that_is_still_open_for_writing_is_not_whole(house: House, make_bundle: Maker) -> None:
    target = house.folder / "echo"
    shutil.copytree(make_bundle("echo"), target)
    script = "import sys; f = open(sys.argv[1], 'a'); print(flush=True); sys.stdin.read()"
    pipe = asyncio.subprocess.PIPE
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, target / "expert.toml", stdin=pipe, stdout=pipe
    )
    assert writer.stdout is not None
    await writer.stdout.readline()
    assert lacking(target) == "expert.toml is being written"
    assert await house.look(5) == []
    await writer.communicate(b"")
    assert lacking(target) == ""
    assert await house.look(1) == ["echo 1"], "closing it changed nothing else"


async def test_the_watch_ends_at_once_and_finishes_the_order_it_gave(
    house: House, make_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop_in, "LOOK_EVERY_S", 0.01)
    begun, done = asyncio.Event(), asyncio.Event()

    async def install(bundle: Bundle) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        done.set()

    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    watching = asyncio.create_task(DropIn(house.folder, house.store, install).watch())
    await asyncio.wait_for(begun.wait(), 10)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert not done.is_set()
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")] == []


def test_at_the_start_a_partial_copy_is_left_to_the_watch(
    house: House, make_bundle: Maker, told: Callable[[], list[str]], tmp_path: Path
) -> None:
    shutil.copytree(make_bundle("echo"), house.folder / "echo")
    shutil.copytree(make_bundle("sing"), house.folder / "sing")
    (house.folder / "sing" / "golden.jsonl").unlink()
    shipped = Shipped(house.store, (house.folder,), tmp_path)
    assert [str(bundle) for bundle in shipped.bundles()] == ["echo 1"]
    assert "golden.jsonl" in told()[0]
    assert house.quarantined() == []
    shipped.remove("echo")
    assert shipped.is_removed("echo")
    assert not shipped.is_removed("sing")
