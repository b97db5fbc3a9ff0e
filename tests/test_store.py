"""The store keeps wholly the old or wholly the new, whatever happens in between."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from expertd.experts import bundle as bundle_module
from expertd.experts import quarantine as quarantine_module
from expertd.experts import store as store_module
from expertd.experts.bundle import Limits, seal
from expertd.experts.disk import SPARE_BYTES, Disk
from expertd.experts.errors import BundleError, StoreError
from expertd.experts.store import Store

MANIFEST = """\
name = "{name}"
version = {version}
kind = "skill"
summary = "For tests."
licence = "Apache-2.0"
{trunk}
[resources]
memory_mb = 1
latency_ms = 1
[skill]
name = "echo"
"""

Maker = Callable[..., Path]
Survives = Callable[[int, Callable[[Disk], object]], bool]


def make_bundle(home: Path, version: int, name: str = "spam", text: str = "x", trunk: str = "") -> Path:
    folder = home / f"{name}-{version}-{len(list(home.iterdir()))}"
    (folder / "more").mkdir(parents=True)
    line = f'trunk = "{trunk}"' if trunk else ""
    (folder / "expert.toml").write_text(MANIFEST.format(name=name, version=version, trunk=line))
    (folder / "intents.jsonl").write_text('{"intent": "check", "text": "is it"}\n')
    (folder / "golden.jsonl").write_text('{"query": {"text": "is it"}, "expect": {"abstains": true}}\n')
    (folder / "CARD.md").write_text(f"# {name} {version}\n{text}\n")
    (folder / "more" / "table.csv").write_text("a,b\n" * 500)
    seal(folder)
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Maker:
    home = tmp_path / "made"
    home.mkdir()
    return lambda *arguments, **named: make_bundle(home, *arguments, **named)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


def reopened(store: Store, **named: object) -> Store:
    store.close()
    return Store.open(store.layout.root, **named)  # type: ignore[arg-type]


# --- Admission and the pointer ---------------------------------------------------------------------------------------


def test_an_admitted_version_is_here_and_serves_only_when_promoted(root: Path, made: Maker) -> None:
    store = Store.open(root)
    bundle = store.admit(made(1))
    assert bundle.path == root / "store" / "spam" / "1"
    assert store.versions("spam") == (1,)
    assert store.current("spam") is None
    store.promote("spam", 1)
    store = reopened(store)
    assert store.current("spam") == 1
    assert store.experts() == ("spam",)
    assert store.bundle("spam", 1).card() == "# spam 1\nx\n"
    assert store.repairs == ()


def test_a_version_must_rise(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in (1, 3):
        store.admit(made(version))
    with pytest.raises(BundleError, match=r"spam 2: the version does not rise, 3 is here"):
        store.admit(made(2))
    with pytest.raises(BundleError, match=r"spam 1: .*`promote spam 1` goes back"):
        store.admit(made(1))
    with pytest.raises(BundleError, match=r"spam 3: other bytes .* raise the version"):
        store.admit(made(3, text="other"))
    assert store.versions("spam") == (1, 3)
    assert list((root / "incoming").iterdir()) == []


def test_the_newest_version_again_changes_nothing(root: Path, made: Maker) -> None:
    store = Store.open(root)
    first = store.admit(made(1))
    assert store.admit(made(1)).digest == first.digest
    assert store.versions("spam") == (1,)


def test_a_bad_bundle_leaves_no_trace(root: Path, made: Maker) -> None:
    store = Store.open(root)
    folder = made(1)
    (folder / "CARD.md").write_text("changed")
    with pytest.raises(BundleError, match=r"spam 1: CARD\.md: its sha256"):
        store.admit(folder)
    assert store.experts() == ()
    assert list((root / "incoming").iterdir()) == []
    assert list((root / "store").iterdir()) == []


def test_a_bundle_of_another_trunk_is_not_admitted(root: Path, made: Maker) -> None:
    store = Store.open(root, trunk_id="a")
    store.admit(made(1, trunk="a"))
    with pytest.raises(BundleError, match="trunk b"):
        store.admit(made(2, trunk="b"))


def test_limits_hold(root: Path, made: Maker) -> None:
    with pytest.raises(BundleError, match="at most 100 "):
        Store.open(root, limits=Limits(max_bundle_bytes=100)).admit(made(1))


def test_the_store_keeps_its_own_copy(root: Path, made: Maker) -> None:
    store = Store.open(root)
    folder = made(1)
    bundle = store.admit(folder)
    (folder / "CARD.md").write_text("changed")
    assert bundle.card() == "# spam 1\nx\n"


def test_rolling_back_twice_goes_two_versions_back(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in (1, 2, 3):
        store.admit(made(version))
        store.promote("spam", version)
    for expected in (2, 1):
        assert store.previous("spam") == expected
        store.promote("spam", expected)
        store = reopened(store)
        assert store.current("spam") == expected
    assert store.previous("spam") is None


def test_a_jump_to_an_old_version_can_be_rolled_back(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in (1, 2, 3):
        store.admit(made(version))
        store.promote("spam", version)
    store.promote("spam", 1)
    assert (store.current("spam"), store.previous("spam")) == (1, 3)


def test_a_version_that_is_not_here_cannot_be_promoted(root: Path, made: Maker) -> None:
    store = Store.open(root)
    store.admit(made(1))
    store.promote("spam", 1)
    for version in (2, 0, -1):
        with pytest.raises(StoreError, match=rf"spam {version}: no such version .* there are: 1"):
            store.promote("spam", version)
    with pytest.raises(StoreError, match="no such version"):
        store.promote("../spam", 1)
    assert store.current("spam") == 1


def test_the_pointer_can_be_read_by_people(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in (1, 2):
        store.admit(made(version))
        store.promote("spam", version)
    assert (root / "store" / "spam" / "current").read_text() == "2\n1\n"


# --- Quarantine, removal, collection ---------------------------------------------------------------------------------


def test_a_quarantined_version_is_kept_with_its_reason_and_its_number_is_spent(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in (1, 2):
        store.admit(made(version))
        store.promote("spam", version)
    home = store.quarantine("spam", 2, "golden.jsonl line 1: wrong")
    assert home.name.startswith("spam-2-")
    assert (home / "reason.txt").read_text() == "golden.jsonl line 1: wrong\n"
    assert (home / "bundle" / "CARD.md").is_file()
    assert store.versions("spam") == (1,)
    assert (store.current("spam"), store.previous("spam")) == (None, 1)
    with pytest.raises(BundleError, match=r"spam 2: in quarantine, for: golden\.jsonl line 1: wrong; .*raise"):
        store.admit(made(2))
    assert store.highest("spam") == 2


def test_a_candidate_in_quarantine_leaves_the_pointer_alone(root: Path, made: Maker) -> None:
    store = Store.open(root)
    store.admit(made(1))
    store.promote("spam", 1)
    store.admit(made(2))
    store.quarantine("spam", 2, "slow")
    assert reopened(store).current("spam") == 1


def test_after_a_restart_the_version_before_the_quarantined_one_serves(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in (1, 2):
        store.admit(made(version))
        store.promote("spam", version)
    store.quarantine("spam", 2, "wrong")
    store = reopened(store)
    assert store.current("spam") == 1
    assert store.repairs == ("spam: falling back to version 1",)


def test_removing_an_expert_forgets_it_wholly(root: Path, made: Maker) -> None:
    store = Store.open(root)
    store.admit(made(1))
    store.admit(made(2))
    store.admit(made(1, name="spam-too"))
    store.quarantine("spam", 2, "wrong")
    store.remove("spam")
    assert store.experts() == ("spam-too",)
    assert (store.versions("spam"), store.highest("spam")) == ((), 0)
    with pytest.raises(StoreError, match="spam: no such expert in the store; here are spam-too"):
        store.remove("spam")
    assert store.admit(made(1)).manifest.version == 1


def test_collecting_keeps_the_newest_the_current_and_the_one_to_roll_back_to(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in range(1, 8):
        store.admit(made(version))
        if version in (1, 2):
            store.promote("spam", version)
    assert store.collect(3) == (("spam", 3), ("spam", 4))
    assert store.versions("spam") == (1, 2, 5, 6, 7)
    assert list((root / "incoming").iterdir()) == []


def test_collecting_keeps_the_reasons_of_old_quarantines(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in range(1, 6):
        store.admit(made(version))
        store.quarantine("spam", version, f"wrong {version}")
    store.collect(3)
    homes = sorted((root / "quarantine").iterdir())
    assert [(home / "bundle").exists() for home in homes] == [False, False, True, True, True]
    assert all((home / "reason.txt").exists() for home in homes)
    assert reopened(store).highest("spam") == 5


# --- Uploads ---------------------------------------------------------------------------------------------------------


def sizes(folder: Path) -> list[tuple[str, bytes]]:
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]


def test_an_upload_arrives_piece_by_piece(root: Path, made: Maker) -> None:
    store = Store.open(root)
    with store.receive() as upload:
        for path, data in sizes(made(1)):
            upload.begin(path, len(data))
            for start in range(0, len(data), 100):
                upload.write(data[start : start + 100])
        bundle = upload.finish()
    assert bundle.path == root / "store" / "spam" / "1"
    assert bundle.file("more/table.csv").read_text().startswith("a,b")
    assert list((root / "incoming").iterdir()) == []


def test_an_upload_that_is_given_up_leaves_nothing(root: Path) -> None:
    store = Store.open(root)
    with store.receive() as upload:
        upload.begin("expert.toml", 10)
        upload.write(b"name")
    assert list((root / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../a.txt", "/etc/a.txt", "a\\b.txt", "a\0.txt", "ｅxpert.toml", "run.py", "x" * 70_000]
)
def test_a_bad_path_is_refused_before_a_byte_is_written(root: Path, path: str) -> None:
    store = Store.open(root)
    with store.receive() as upload, pytest.raises(BundleError):
        upload.begin(path, 1)
    assert list((root / "incoming").iterdir()) == []


def test_an_upload_holds_to_the_sizes_it_announced(root: Path) -> None:
    store = Store.open(root, limits=Limits(max_file_bytes=50, max_bundle_bytes=40, max_files=3))
    with store.receive() as upload:
        with pytest.raises(BundleError, match="data came before"):
            upload.write(b"a")
        with pytest.raises(BundleError, match=r"a\.txt: 51 bytes; at most 50"):
            upload.begin("a.txt", 51)
        with pytest.raises(BundleError, match="at most 50"):
            upload.begin("a.txt", -1)
        upload.begin("a.txt", 3)
        upload.write(b"ab")
        with pytest.raises(BundleError, match=r"a\.txt: more than the 3 bytes"):
            upload.write(b"cd")
        with pytest.raises(BundleError, match=r"a\.txt: 1 of the 3 announced bytes are missing"):
            upload.begin("b.txt", 1)
        upload.write(b"c")
        for taken in ("a.txt", "A.txt", "a.txt/b.txt"):
            with pytest.raises(BundleError, match="taken"):
                upload.begin(taken, 1)
        upload.begin("c/d.txt", 0)
        with pytest.raises(BundleError, match="more than 40 bytes in all"):
            upload.begin("e.txt", 38)
        with pytest.raises(BundleError):
            upload.begin("c", 1)
        upload.begin("f.txt", 0)
        with pytest.raises(BundleError, match="at most 3"):
            upload.begin("g.txt", 0)


def test_an_upload_of_nothing_or_of_a_bad_bundle_is_refused(root: Path, made: Maker) -> None:
    store = Store.open(root)
    with store.receive() as upload, pytest.raises(BundleError, match="nothing was sent"):
        upload.finish()
    with store.receive() as upload:
        for path, data in sizes(made(1)):
            upload.begin(path, len(data))
            upload.write(data.upper())
        with pytest.raises(BundleError):
            upload.finish()
    assert store.experts() == ()
    assert list((root / "incoming").iterdir()) == []


# --- One writer ------------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_holds_the_store(root: Path) -> None:
    store = Store.open(root)
    with pytest.raises(StoreError, match=f"process {os.getpid()} holds the store"):
        Store.open(root)
    store.close()
    Store.open(root)


# --- A full disk -----------------------------------------------------------------------------------------------------


class SmallDisk(Disk):
    """A disk with room for so many bytes more; what does not fit fails as a real one does."""

    def __init__(self, room: int, told: int | None = None) -> None:
        self.room = room
        self.told = told

    def free_bytes(self, folder: Path) -> int:
        return self.room if self.told is None else self.told

    def create(self, path: Path) -> BinaryIO:
        return cast("BinaryIO", SmallFile(super().create(path), self))


class SmallFile:
    def __init__(self, file: BinaryIO, disk: SmallDisk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: bytes) -> int:
        if len(data) > self._disk.room:
            raise OSError(errno.ENOSPC, "No space left on device", self._file.name)
        self._disk.room -= len(data)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> SmallFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def test_a_disk_without_room_is_found_before_copying(root: Path, made: Maker) -> None:
    store = Store.open(root, disk=SmallDisk(1000))
    folder = made(1)
    needed = sum(len(data) for _, data in sizes(folder)) + SPARE_BYTES
    with pytest.raises(StoreError, match=rf"cannot admit spam 1: .* 1,000 bytes free, {needed:,} are needed"):
        store.admit(folder)


@pytest.mark.parametrize("room", [0, 100, 1000, 2500])
def test_a_disk_that_fills_up_meanwhile_leaves_nothing_behind(root: Path, made: Maker, room: int) -> None:
    store = Store.open(root, disk=SmallDisk(10**9, 10**9))
    store.admit(made(1))
    store.promote("spam", 1)
    store.close()
    store = Store.open(root, disk=SmallDisk(room, 10**9))
    with pytest.raises(StoreError, match=r"cannot admit spam 2: the disk is full"):
        store.admit(made(2))
    assert list((root / "incoming").iterdir()) == []
    assert (store.versions("spam"), store.current("spam")) == ((1,), 1)


def test_a_full_disk_leaves_the_pointer_as_it_was(root: Path, made: Maker) -> None:
    disk = SmallDisk(10**9)
    store = Store.open(root, disk=disk)
    for version in (1, 2):
        store.admit(made(version))
    store.promote("spam", 1)
    disk.room = 0
    with pytest.raises(StoreError, match="cannot promote spam 2: the disk is full"):
        store.promote("spam", 2)
    assert store.current("spam") == 1
    disk.room = 10**9
    store.promote("spam", 2)
    assert reopened(store).current("spam") == 2


def test_a_file_system_that_is_really_full(tmp_path: Path, made: Maker) -> None:
    folder, mount = made(1), tmp_path / "small"
    mount.mkdir()
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from expertd.experts import disk, store
        disk.SPARE_BYTES = -10**9      # so that the disk itself says no
        root = Path(sys.argv[2]) / "state"
        it = store.Store.open(root)
        (root / "filler").write_bytes(b"x" * 56_000)
        try:
            it.admit(Path(sys.argv[1]))
        except store.StoreError as error:
            print(error)
        print(sorted(path.name for path in (root / "incoming").iterdir()), it.experts())
    """)
    inside = f'mount -t tmpfs -o size=64k tmpfs "{mount}" && exec "$@"'
    separate = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, "sh"]
    ran = subprocess.run(
        [*separate, sys.executable, "-c", script, str(folder), str(mount)], capture_output=True, text=True, check=False
    )
    if ran.returncode and ("unshare" in ran.stderr or "mount" in ran.stderr):
        pytest.skip("this machine lets no one mount a file system of their own")
    assert "cannot admit spam 1: the disk is full" in ran.stdout, ran.stderr
    assert "[] ()" in ran.stdout


# --- Damage ----------------------------------------------------------------------------------------------------------


def three_promoted(root: Path, made: Maker) -> None:
    store = Store.open(root)
    for version in (1, 2, 3):
        store.admit(made(version))
        store.promote("spam", version)
    store.close()


def test_a_damaged_version_goes_into_quarantine_and_the_one_before_serves(root: Path, made: Maker) -> None:
    three_promoted(root, made)
    (root / "store" / "spam" / "3" / "CARD.md").write_text("rot")
    store = Store.open(root)
    assert (store.current("spam"), store.previous("spam"), store.versions("spam")) == (2, 1, (1, 2))
    assert any("spam 3: CARD.md: its sha256" in line for line in store.repairs)
    assert store.repairs[-1] == "spam: falling back to version 2"
    assert reopened(store).repairs == ()


def test_a_missing_version_is_passed_over(root: Path, made: Maker) -> None:
    three_promoted(root, made)
    for version in (2, 3):
        os.rename(root / "store" / "spam" / str(version), root / f"moved-{version}")
    store = Store.open(root)
    assert store.current("spam") == 1
    assert store.repairs[0] == "spam 3: missing from the store"


def test_a_version_that_never_served_is_not_fallen_back_to(root: Path, made: Maker) -> None:
    store = Store.open(root)
    store.admit(made(1))
    store.promote("spam", 1)
    store.admit(made(2))
    store.close()
    (root / "store" / "spam" / "1" / "CARD.md").write_text("rot")
    store = Store.open(root)
    assert (store.current("spam"), store.versions("spam")) == (None, (2,))
    assert store.repairs[-1] == "spam: no version that served is left"


def test_an_expert_with_no_sound_version_is_gone(root: Path, made: Maker) -> None:
    three_promoted(root, made)
    for version in (1, 2, 3):
        (root / "store" / "spam" / str(version) / "expert.toml").write_text("rot")
    store = Store.open(root)
    assert store.experts() == ()
    assert store.repairs[-1] == "spam: no sound version is left"


@pytest.mark.parametrize("rot", [b"", b"\xff", b"three", b"3\nx\n", b"-3\n", b"99999999999999999999999\n"])
def test_an_unreadable_pointer_is_replaced_by_the_newest_sound_version(root: Path, made: Maker, rot: bytes) -> None:
    three_promoted(root, made)
    (root / "store" / "spam" / "current").write_bytes(rot)
    (root / "store" / "spam" / "3" / "CARD.md").write_text("rot")
    store = Store.open(root)
    assert store.current("spam") == 2
    assert "unreadable" in store.repairs[0]
    assert reopened(store).current("spam") == 2


def test_what_is_not_ours_is_left_alone(root: Path, made: Maker) -> None:
    three_promoted(root, made)
    (root / "store" / "Notes").mkdir()
    store = Store.open(root)
    assert store.repairs == ("store/Notes: not an expert; left alone",)
    assert (root / "store" / "Notes").is_dir()


# --- Crashes ---------------------------------------------------------------------------------------------------------


Seen = tuple[tuple[int, ...], int | None, int | None, int]


def seen(root: Path) -> Seen:
    """What the store holds after it is opened again; every version sound, nothing left over."""
    store = Store.open(root)
    found = store.versions("spam"), store.current("spam"), store.previous("spam"), store.highest("spam")
    for version in store.versions("spam"):
        assert store.bundle("spam", version).manifest.version == version
    assert list((root / "incoming").iterdir()) == []
    for home in (root / "quarantine").iterdir():
        assert (home / "reason.txt").read_text() == "wrong\n"
    names = {path.name for path in (root / "store").glob("spam/*")}
    assert names <= {str(version) for version in store.versions("spam")} | {"current"}
    store.close()
    again = Store.open(root)
    assert again.repairs == ()
    again.close()
    return found


def admit(disk: Disk, root: Path, folder: Path) -> None:
    Store.open(root, disk=disk).admit(folder)


def upload(disk: Disk, root: Path, folder: Path) -> None:
    with Store.open(root, disk=disk).receive() as receiving:
        for path, data in sizes(folder):
            receiving.begin(path, len(data))
            receiving.write(data)
        receiving.finish()


def promote(disk: Disk, root: Path, folder: Path) -> None:
    Store.open(root, disk=disk).promote("spam", 2)


def roll_back(disk: Disk, root: Path, folder: Path) -> None:
    Store.open(root, disk=disk).promote("spam", 1)


def quarantine(disk: Disk, root: Path, folder: Path) -> None:
    Store.open(root, disk=disk).quarantine("spam", 2, "wrong")


def remove(disk: Disk, root: Path, folder: Path) -> None:
    Store.open(root, disk=disk).remove("spam")


def collect(disk: Disk, root: Path, folder: Path) -> None:
    Store.open(root, disk=disk).collect(1)


# (what is done, versions promoted before, versions admitted before, what may be found before, after)
CRASHES: list[tuple[Callable[[Disk, Path, Path], None], list[int], list[int], list[Seen]]] = [
    (admit, [], [], [((), None, None, 0), ((3,), None, None, 3)]),
    (admit, [1, 2], [1, 2], [((1, 2), 2, 1, 2), ((1, 2, 3), 2, 1, 3)]),
    (upload, [1, 2], [1, 2], [((1, 2), 2, 1, 2), ((1, 2, 3), 2, 1, 3)]),
    (promote, [1], [1, 2], [((1, 2), 1, None, 2), ((1, 2), 2, 1, 2)]),
    (roll_back, [1, 2], [1, 2], [((1, 2), 2, 1, 2), ((1, 2), 1, None, 2)]),
    # Between the pointer and the move to quarantine the version is no longer current, and still here.
    (quarantine, [1, 2], [1, 2], [((1, 2), 2, 1, 2), ((1, 2), 1, None, 2), ((1,), 1, None, 2)]),
    (remove, [1, 2], [1, 2], [((1, 2), 2, 1, 2), ((), None, None, 0)]),
    (collect, [3], [1, 2, 3], [((1, 2, 3), 3, None, 3), ((2, 3), 3, None, 3), ((3,), 3, None, 3)]),
]


@pytest.mark.parametrize(
    ("act", "promoted", "admitted", "allowed"), CRASHES, ids=[f"{case[0].__name__}-{len(case[2])}" for case in CRASHES]
)
def test_a_crash_at_any_step_leaves_wholly_the_old_or_the_new(
    tmp_path: Path,
    made: Maker,
    survives: Survives,
    act: Callable[[Disk, Path, Path], None],
    promoted: list[int],
    admitted: list[int],
    allowed: list[Seen],
) -> None:
    folders = {version: made(version) for version in {*admitted, 3}}
    store = Store.open(tmp_path / "before")
    for version in admitted:
        store.admit(folders[version])
    for version in promoted:
        store.promote("spam", version)
    store.close()
    found = []
    for moment in range(1, 200):
        root = tmp_path / f"state-{moment}"
        shutil.copytree(tmp_path / "before", root)
        ended = survives(moment, lambda disk, root=root: act(disk, root, folders[3]))  # type: ignore[misc]
        found.append(seen(root))
        assert found[-1] in allowed
        if ended:
            break
    assert ended
    assert moment > 6
    assert found[0] == allowed[0]
    assert found[-1] == allowed[-1]
    # From old to new, never back.
    assert [allowed.index(state) for state in found] == sorted(allowed.index(state) for state in found)


def test_a_crash_while_repairing_is_repaired_by_the_next_opening(
    tmp_path: Path, made: Maker, survives: Survives
) -> None:
    before = tmp_path / "before"
    store = Store.open(before)
    for version in (1, 2):
        store.admit(made(version))
        store.promote("spam", version)
    store.close()
    (before / "store" / "spam" / "2" / "CARD.md").write_text("rot")
    (before / "incoming" / "left").mkdir()
    (before / "incoming" / "left" / "a.txt").write_text("half")
    for moment in range(1, 100):
        root = tmp_path / f"state-{moment}"
        shutil.copytree(before, root)
        ended = survives(moment, lambda disk, root=root: Store.open(root, disk=disk).close())  # type: ignore[misc]
        found = Store.open(root)
        # Killed between the pointer and the move, version 2 is damaged, not current, and found when it is asked for.
        assert found.current("spam") == 1
        assert found.bundle("spam", 1).manifest.version == 1
        found.close()
        if ended:
            break
    assert ended
    assert moment > 10


def test_a_writer_killed_at_random_never_leaves_a_torn_store(tmp_path: Path, made: Maker) -> None:
    root = tmp_path / "state"
    folders = [str(made(version)) for version in range(1, 40)]
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from expertd.experts.store import Store
        store = Store.open(Path(sys.argv[1]))
        for folder in sys.argv[2:]:
            version = int(Path(folder).name.split("-")[1])
            if version > store.highest("spam"):
                store.admit(Path(folder))
            elif version < store.highest("spam") or version not in store.versions("spam"):
                continue
            store.promote("spam", version)
            if version % 3 == 0:
                store.quarantine("spam", version, "wrong")
                store.promote("spam", version - 1)
            store.collect(2)
            print(version, flush=True)
    """)
    chance = random.Random(7)
    last = done = 0
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(root), *folders], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(chance.randint(1, 3)):
            done = int(writer.stdout.readline())
        time.sleep(chance.uniform(0, 0.04))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        versions, current, _, highest = seen(root)
        assert highest >= max(last, done)
        assert current in versions
        last = highest


# --- Quarantine ------------------------------------------------------------------------------------------------------


def test_what_is_in_quarantine_is_told_newest_last(root: Path, made: Maker) -> None:
    store = Store.open(root)
    assert store.quarantined("spam") == ()
    before = datetime.now(UTC)
    for version in (1, 2, 3):
        store.admit(made(version))
        store.quarantine("spam", version, f"wrong\n{version}", damaged=version == 3)
    store.admit(made(1, name="spam-too"))
    store.quarantine("spam-too", 1, "another")
    found = reopened(store).quarantined("spam")
    assert [(item.version, item.reason, item.damaged) for item in found] == [
        (1, "wrong\n1", False),
        (2, "wrong\n2", False),
        (3, "wrong\n3", True),
    ]
    assert [item.time for item in found] == sorted(item.time for item in found)
    assert all(before <= item.time <= datetime.now(UTC) for item in found)


def test_what_only_the_disk_hurt_may_come_again_and_keeps_its_reason_over_a_restart(root: Path, made: Maker) -> None:
    store = Store.open(root)
    store.admit(made(1))
    store.quarantine("spam", 1, "rot", damaged=True)
    assert store.highest("spam") == 0
    store.admit(made(1))
    store = reopened(store)
    assert store.repairs == ()
    assert (store.versions("spam"), [item.reason for item in store.quarantined("spam")]) == ((1,), ["rot"])
    store.collect(1)
    assert reopened(store).repairs == ()


def test_quarantine_is_bounded_in_bytes_and_in_reasons(
    root: Path, made: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sum(len(data) for _, data in sizes(made(1)))
    monkeypatch.setattr(quarantine_module, "KEPT_BYTES", 3 * one)
    monkeypatch.setattr(quarantine_module, "KEPT_REASONS", 5)
    store = Store.open(root)
    for version in range(1, 10):
        store.admit(made(version, text="y" * 100))
        store.quarantine("spam", version, f"wrong {version}")
    whole = [item.version for item in store.quarantined("spam") if (item.home / "bundle").exists()]
    assert 9 in whole
    assert len(whole) <= 4
    assert [item.version for item in store.quarantined("spam")] == [5, 6, 7, 8, 9]
    assert list((root / "incoming").iterdir()) == []
    assert reopened(store).highest("spam") == 9


def test_the_highest_number_is_never_forgotten(root: Path, made: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_module, "KEPT_REASONS", 2)
    store = Store.open(root)
    store.admit(made(9))
    store.quarantine("spam", 9, "wrong")
    for _ in range(4):  # Later, and lower: what only the disk hurt does not count.
        shutil.copytree(made(1), root / "store" / "spam" / "1")
        store.quarantine("spam", 1, "rot", damaged=True)
    store = reopened(store)
    assert store.highest("spam") == 9
    with pytest.raises(BundleError, match="in quarantine, for: wrong"):
        store.admit(made(9))


def test_a_newest_bundle_larger_than_the_bound_stays_until_the_next(
    root: Path, made: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_module, "KEPT_BYTES", 10)
    store = Store.open(root)
    for version in (1, 2):
        store.admit(made(version))
        home = store.quarantine("spam", version, "wrong")
        assert (home / "bundle" / "CARD.md").exists()
    assert [(item.home / "bundle").exists() for item in store.quarantined("spam")] == [False, True]


@pytest.mark.parametrize("room", [0, 10, 30])
def test_a_full_disk_loses_nothing_that_was_to_go_into_quarantine(root: Path, made: Maker, room: int) -> None:
    disk = SmallDisk(10**9)
    store = Store.open(root, disk=disk)
    for version in (1, 2):
        store.admit(made(version))
        store.promote("spam", version)
    disk.room = room
    with pytest.raises(StoreError, match="cannot quarantine spam 2: the disk is full"):
        store.quarantine("spam", 2, "a reason that does not fit")
    assert store.versions("spam") == (1, 2)
    assert store.bundle("spam", 2).card() == "# spam 2\nx\n"
    assert store.quarantined("spam") == ()
    assert (store.current("spam"), store.previous("spam")) == (2, 1)
    disk.room = 10**9
    store.quarantine("spam", 2, "a reason that does not fit")
    assert reopened(store).current("spam") == 1


def test_a_full_disk_does_not_keep_the_store_from_opening(root: Path, made: Maker) -> None:
    three_promoted(root, made)
    (root / "store" / "spam" / "3" / "CARD.md").write_text("rot")
    store = Store.open(root, disk=SmallDisk(0))
    assert store.current("spam") == 2
    assert store.bundle("spam", 2).manifest.version == 2
    assert any("does not serve: cannot quarantine spam 3: the disk is full" in line for line in store.repairs)
    store = reopened(store)
    assert (store.current("spam"), store.versions("spam")) == (2, (1, 2))
    assert reopened(store).repairs == ()


# --- How it is admitted ----------------------------------------------------------------------------------------------


def test_a_bundle_is_verified_once_and_on_the_disk_before_it_is_moved(
    root: Path, made: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    class Watched(Disk):
        def sync(self, file: BinaryIO) -> None:
            super().sync(file)
            steps.append(Path(file.name).name)

        def sync_folder(self, path: Path) -> None:
            super().sync_folder(path)
            steps.append("folder")

        def rename(self, source: Path, target: Path) -> None:
            steps.append("rename")
            super().rename(source, target)

    verified = []

    def open_bundle(folder: Path, *arguments: Any, **named: Any) -> Any:
        verified.append(folder)
        steps.append("verify")
        return bundle_module.open_bundle(folder, *arguments, **named)

    store = Store.open(root, disk=Watched())
    monkeypatch.setattr(store_module, "open_bundle", open_bundle)
    folder = made(1)
    store.admit(folder)
    assert [path.parent for path in verified] == [root / "incoming"]
    files = sorted(path.name for path in folder.rglob("*") if path.is_file())
    move = steps.index("rename")
    assert steps[0] == "verify"
    assert sorted(step for step in steps[1:move] if step != "folder") == files
    assert steps[1:move].count("folder") == 3, "the bundle's own two, and the one that the expert's is in"
    assert steps[move + 1 :] == ["folder"]


def test_an_upload_does_not_hold_up_other_changes(root: Path, made: Maker) -> None:
    store = Store.open(root)
    store.admit(made(1))
    with store.receive() as upload:
        upload.begin("expert.toml", 10)
        upload.write(b"name")
        changing = threading.Thread(target=store.promote, args=("spam", 1))
        changing.start()
        changing.join(30)
        assert not changing.is_alive()
    assert store.current("spam") == 1
