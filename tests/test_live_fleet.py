"""What an operator sees and does of versions, on a real daemon: trials, policies, what was refused."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from expertd.client import Client
from expertd.experts.bundle import seal
from expertd.v1 import fleet_pb2 as fleet

SPAM = Path(__file__).resolve().parent.parent / "experts" / "bundles" / "spam"
MESSAGE = "is this spam: WINNER!! claim your free prize now, call 0900"
Version = Callable[..., Path]


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """The shipped spam expert under another number. golden: a row that it has to answer too."""

    def make(number: int, golden: str = "") -> Path:
        folder = tmp_path / f"spam-{number}"
        shutil.copytree(SPAM, folder)
        manifest = (folder / "expert.toml").read_text(encoding="utf-8")
        manifest = re.sub(r"^version = \d+", f"version = {number}", manifest, count=1, flags=re.MULTILINE)
        (folder / "expert.toml").write_text(manifest, encoding="utf-8")
        with (folder / "golden.jsonl").open("a", encoding="utf-8") as file:
            file.write(golden)
        seal(folder)
        return folder

    return make


@pytest.fixture
def client(daemon: Any) -> Iterator[Client]:
    with Client(daemon.socket, app="test") as client:
        yield client


def ask_until(client: Client, state: fleet.State) -> None:
    """Asks, each time in another session, until the newest version of spam is in that state."""
    for number in range(500):
        client.invoke("spam", f"{MESSAGE}{number}", session=f"s{number}")
        if client.fleet.get("spam").expert.versions[-1].state == state:
            return
        time.sleep(0.01)
    raise AssertionError("it never came there")


def test_a_new_version_goes_the_road_that_the_policy_says(daemon: Any, client: Client, version: Version) -> None:
    told = daemon.expertctl("policy", "spam", "--shadow", "3", "--canary", "50%", "--requests", "3").stdout
    road = "shadow for 3 requests, then canary with 50 % of sessions for 3 requests, then serves; margin 5 %"
    assert told == f"spam: {road}\n"
    last = daemon.expertctl("install", str(version(2))).stdout.splitlines()[-1]
    assert last.startswith("spam 2 shadow: 3 of its answers are compared with those of the version that serves")
    assert re.search(r"^spam +2 +shadow 0/3", daemon.expertctl("ps").stdout, re.MULTILINE)
    again = daemon.expertctl("install", str(version(3))).stdout.splitlines()[-1]  # takes the other's place
    assert again.startswith("spam 3 shadow")
    assert json.loads(daemon.expertctl("--json", "ps").stdout)["memory"]["budget_bytes"]
    ask_until(client, fleet.STATE_CANARY)
    shown = daemon.expertctl("show", "spam").stdout
    assert "version 3 is on trial as a canary" in shown
    assert "version 3 examined: " in shown
    ask_until(client, fleet.STATE_SERVING)
    assert re.search(r"^spam +3 +serving \(on probation\)", daemon.expertctl("ps").stdout, re.MULTILINE)


def test_a_version_on_trial_is_given_up_or_accepted_at_a_word(daemon: Any, version: Version) -> None:
    daemon.expertctl("policy", "spam", "--shadow", "0", "--canary", "10%", "--requests", "50")
    serving = json.loads(daemon.expertctl("--json", "show", "spam").stdout)["expert"]["serving_version"]
    assert "spam 12 canary" in daemon.expertctl("install", str(version(12))).stdout
    assert daemon.expertctl("rollback", "spam").stdout.splitlines() == [
        "spam 12 was on trial (canary 0/50) and is given up",
        f"spam {serving} goes on serving",
    ]
    daemon.expertctl("install", str(version(13)))
    assert daemon.expertctl("promote", "spam", "13").stdout.startswith("spam 13 serving")
    assert daemon.expertctl("policy", "spam", "--reset").stdout == "spam: serves at once; margin 5 %\n"


def test_a_version_that_is_refused_is_told_with_its_reason_everywhere(daemon: Any, version: Version) -> None:
    row = {"query": {"text": MESSAGE}, "expect": {"type": "label", "label": "porridge"}}
    refused = daemon.expertctl("install", str(version(20, json.dumps(row) + "\n")), check=False)
    assert refused.returncode == 1
    assert "porridge" in refused.stderr
    assert "spam 20 failed: golden.jsonl line" in refused.stdout
    (row,) = [line for line in daemon.expertctl("ps").stdout.splitlines() if "20 failed: golden.jsonl line" in line]
    assert row.startswith("spam")
    assert re.search(r"^ +20  failed .*porridge", daemon.expertctl("show", "spam").stdout, re.MULTILINE)
    assert "spam 20 was refused or undone at" in daemon.expertctl("doctor").stdout
