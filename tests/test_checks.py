"""What the daemon finds when it examines itself, each with a way out."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expertd.daemon.checks import Check, Checks
from expertd.daemon.workers import WorkerServable
from expertd.experts.errors import UnavailableError
from expertd.experts.fleet import MemoryStatus, Undone

NOW = datetime.now(UTC)


class Fleet:
    """One expert that serves in this process, on a machine with memory to spare."""

    def __init__(self) -> None:
        self.budget, self.taken, self.pressure = 1_000_000_000, 100_000_000, 0.0
        self.undone: Undone | None = None
        self.worker_pid = 0
        self.serving: int | None = 4
        self.slot = SimpleNamespace(version=4, absence=None, servable=None)
        self.view = SimpleNamespace(slots={"spam": self.slot})

    def status(self, name: str) -> Any:
        return SimpleNamespace(name=name, undone=self.undone, worker_pid=self.worker_pid, serving=self.serving)

    def memory(self) -> MemoryStatus:
        return MemoryStatus(self.budget, self.taken, 121_000_000, self.pressure)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


Found = Callable[[], Any]


@pytest.fixture
def found(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Found:
    """Gives what is found now, by name."""
    monkeypatch.setattr(
        "expertd.daemon.checks.psutil.virtual_memory", lambda: SimpleNamespace(available=8 * 2**30), raising=True
    )
    sqlite3.connect(tmp_path / "expertd.db").close()
    (tmp_path / "expertd.db").touch()
    config: Any = SimpleNamespace(
        database=tmp_path / "expertd.db",
        state_dir=tmp_path,
        quarantine_root=tmp_path / "quarantine",
        titan=SimpleNamespace(model="large", base_url="https://example.org"),
    )
    traces: Any = SimpleNamespace(dropped=0)
    anything: Any = fleet
    checks = Checks(
        config=config,
        fleet=anything,
        traces=traces,
        trunk_id="0123456789abcdef",
        titan=lambda: "",
        missing=lambda: ["clock"],
        started=NOW,
    )

    async def look() -> dict[str, Check]:
        return {check.name: check for check in (await checks.status()).checks}

    return look


async def test_a_model_that_several_experts_lack_is_told_once(fleet: Fleet, found: Found) -> None:
    for name in ("title", "chat"):
        absence = UnavailableError(f"{name} needs the model tiny: pull it", reason="NO_MODEL")
        fleet.view.slots[name] = SimpleNamespace(version=1, absence=absence, servable=None)
    checks = await found()
    assert checks["2 experts"].message == "chat, title need the model tiny: pull it"
    assert not {"expert chat", "expert title"} & set(checks)
    assert checks["experts"].message == "1 of 3 serve"


async def test_the_memory_of_experts_is_told_beside_their_budget(fleet: Fleet, found: Found) -> None:
    memory = (await found())["memory"]
    assert memory.level == Check.LEVEL_OK
    assert memory.message.startswith("experts 100 MB of a budget of 1,000 MB; daemon 121 MB (PSS); 8.0 GiB available")
    assert not memory.remedy
    fleet.taken = 950_000_000
    memory = (await found())["memory"]
    assert memory.level == Check.LEVEL_WARNING
    assert "unload or unpin one" in memory.remedy
    fleet.budget = 0
    memory = (await found())["memory"]
    assert (memory.level, "without a budget" in memory.message) == (Check.LEVEL_OK, True)


async def test_a_machine_with_little_memory_is_told_of(
    fleet: Fleet, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expertd.daemon.checks.psutil.virtual_memory", lambda: SimpleNamespace(available=10**8))
    memory = (await found())["memory"]
    assert (memory.level, memory.remedy) == (Check.LEVEL_WARNING, "unload an expert: expertctl unload NAME")


@pytest.mark.parametrize(
    ("pressure", "level", "message", "remedy"),
    [
        (-1.0, "LEVEL_NOTE", "unknown", ""),
        (0.0, "LEVEL_OK", "none", ""),
        (0.05, "LEVEL_NOTE", "in 5 % of the last ten seconds", ""),
        (0.34, "LEVEL_WARNING", "in 34 % of the last ten seconds", "unload experts"),
    ],
)
async def test_memory_pressure_is_told_as_a_share_of_time(
    fleet: Fleet, found: Found, pressure: float, level: str, message: str, remedy: str
) -> None:
    fleet.pressure = pressure
    check = (await found())["memory pressure"]
    assert Check.Level.Name(check.level) == level
    assert message in check.message
    assert remedy in check.remedy
    assert bool(remedy) == bool(check.remedy)


async def test_a_version_that_was_undone_is_told_for_a_day(fleet: Fleet, found: Found) -> None:
    fleet.undone = Undone(5, "spam 5: 7 of 9 requests failed", NOW - timedelta(hours=23))
    check = (await found())["expert spam"]
    assert check.level == Check.LEVEL_WARNING
    assert check.message.endswith(" UTC: 7 of 9 requests failed; version 4 serves")
    assert "install a higher version" in check.remedy
    fleet.serving = None
    assert "no version of it serves" in (await found())["expert spam"].message
    fleet.undone = Undone(5, "spam 5: 7 of 9 requests failed", NOW - timedelta(hours=25))
    assert "expert spam" not in await found()


async def test_a_worker_that_is_not_there_is_told_with_what_to_do(fleet: Fleet, found: Found) -> None:
    child: Any = SimpleNamespace(deaths=1)
    fleet.slot.servable = WorkerServable(child)
    check = (await found())["worker spam"]
    assert check.level == Check.LEVEL_WARNING
    assert check.message.startswith("the process that serves spam 4 died 1 time since it was loaded, and is not there")
    assert "`expertctl rollback spam`" in check.remedy
    fleet.worker_pid = 17
    assert "worker spam" not in await found()
    child.deaths = 5
    check = (await found())["worker spam"]
    assert check.level == Check.LEVEL_NOTE
    assert check.message == "the process that serves spam 4 died 5 times since it was loaded"


async def test_an_expert_that_failed_is_an_error_and_one_that_waits_a_note(fleet: Fleet, found: Found) -> None:
    fleet.slot.absence = UnavailableError("spam cannot serve: golden 3", reason="FAILED")
    checks = await found()
    assert checks["experts"].level == Check.LEVEL_ERROR
    assert checks["expert spam"].level == Check.LEVEL_ERROR
    assert "expertctl show spam" in checks["expert spam"].remedy
    fleet.slot.absence = UnavailableError("spam needs a model", reason="NO_MODEL")
    assert (await found())["expert spam"].level == Check.LEVEL_NOTE


async def test_a_shipped_expert_without_a_version_is_missed(found: Found) -> None:
    assert (await found())["expert clock"].level == Check.LEVEL_WARNING
