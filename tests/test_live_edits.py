"""Intents that come and go under a real daemon while requests flow."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from expertd.client import Client, FailedPreconditionError, InvalidError, NotFoundError
from expertd.v1 import assistant_pb2 as assistant
from expertd.v1 import fleet_pb2 as fleet

BILL = (
    "divide the check between five people",
    "what does each of us pay for dinner",
    "how much is my share of the restaurant bill",
    "we are six at the table, what does everyone owe",
    "split the bill four ways",
)
UNSEEN = "split the restaurant bill among the seven of us"
ROUTED = assistant.Decision.VERDICT_ROUTED


@pytest.fixture
def client(daemon: Any) -> Iterator[Client]:
    with Client(daemon.socket, timeout_s=30) as client:
        yield client
        client.fleet.reset_intents("calculator")


@contextmanager
def asked_meanwhile(daemon: Any) -> Iterator[list[assistant.Decision]]:
    """Requests from two threads at once, all along; one that fails ends the test."""
    decisions: list[assistant.Decision] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        try:
            with Client(daemon.socket, timeout_s=30) as client:
                while not done.is_set():
                    decisions.append(client.route(UNSEEN))
                    client.route("set a timer for ten minutes")
                    time.sleep(0.002)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield decisions
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
    assert errors == []


def place(decision: assistant.Decision) -> tuple[str, str]:
    return (decision.expert, decision.intent) if decision.verdict == ROUTED else ("", "")


def refined(client: Client, name: str, timeout_s: float = 120) -> fleet.Intent:
    """The intent once the fit that follows an edit has replaced the quick update."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = next(intent for intent in client.fleet.intents("calculator") if intent.name == name)
        if found.refined:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{name} was not fitted within {timeout_s} s")


def test_a_new_intent_works_at_once_outlasts_its_fit_and_a_restart_and_goes_again(daemon: Any, client: Client) -> None:
    assert place(client.route(UNSEEN)) != ("calculator", "split-bill")
    with asked_meanwhile(daemon) as decisions:
        put = client.fleet.put_intent("calculator", "split-bill", BILL)
        first = client.route(UNSEEN)
        assert place(first) == ("calculator", "split-bill")
        assert put.encoding.ToNanoseconds() > 0 < put.update.ToNanoseconds()
        fitted = refined(client, "split-bill")
        assert (fitted.sentences, fitted.origin) == (5, fleet.Intent.ORIGIN_ADDED)
        assert place(client.route(UNSEEN)) == ("calculator", "split-bill")
    assert first.view >= put.view
    assert {place(decision) for decision in decisions if decision.view >= put.view} == {("calculator", "split-bill")}
    assert ("calculator", "split-bill") not in {place(d) for d in decisions if d.view < put.view}, "a mixed answer"

    daemon.stop()
    daemon.start()
    with Client(daemon.socket, timeout_s=30) as again, asked_meanwhile(daemon) as decisions:
        assert place(again.route(UNSEEN)) == ("calculator", "split-bill")
        gone = again.fleet.remove_intent("calculator", "split-bill")
        assert place(again.route(UNSEEN)) != ("calculator", "split-bill")
        assert "split-bill" not in {intent.name for intent in again.fleet.intents("calculator")}
    assert {place(d) for d in decisions if d.view < gone} <= {("calculator", "split-bill")}
    assert ("calculator", "split-bill") not in {place(d) for d in decisions if d.view >= gone}, "a mixed answer"


def test_the_command_line_lists_adds_removes_and_resets(daemon: Any, client: Client, tmp_path: Path) -> None:
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("\n".join((*BILL[1:], "", "  ")), "utf-8")
    said = daemon.expertctl("intents", "add", "calculator", "split-bill", BILL[0], "--file", str(sentences)).stdout
    assert said.startswith("calculator split-bill: requests see it from view ")
    own = next(intent for intent in client.fleet.intents("calculator") if intent.name != "split-bill")
    table = daemon.expertctl("intents", "calculator").stdout
    assert [line.split()[:3] for line in table.splitlines() if "split-bill" in line] == [["split-bill", "5", "added"]]
    daemon.expertctl("intents", "add", "calculator", own.name, "sum up the receipt for me")
    listed = json.loads(daemon.expertctl("intents", "list", "calculator", "--json").stdout)["intents"]
    assert {row["name"]: row["origin"] for row in listed}[own.name] == "ORIGIN_EDITED"
    assert {row["name"]: row["sentences"] for row in listed}[own.name] == own.sentences + 1
    daemon.expertctl("intents", "remove", "calculator", own.name)
    assert place(client.route(UNSEEN)) == ("calculator", "split-bill")
    assert "brought back" in daemon.expertctl("intents", "reset", "calculator").stdout
    back = {intent.name: intent for intent in client.fleet.intents("calculator")}
    assert back[own.name].sentences == own.sentences
    assert {intent.origin for intent in back.values()} == {fleet.Intent.ORIGIN_BUNDLE}
    assert place(client.route(UNSEEN)) != ("calculator", "split-bill")


def test_the_shell_completes_experts_and_their_intents(daemon: Any, client: Client) -> None:
    def completed(words: str) -> str:
        environment = {
            "_EXPERTCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "EXPERTD_SOCKET": str(daemon.socket),
        }
        return subprocess.run(
            [sys.executable, "-c", "from expertd.client.cli import main; main()"],
            env={**daemon.environment, **environment, "COMP_CWORD": str(len(words.split(" ")) - 1)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert "plain,calculator" in completed("expertctl intents cal")
    assert "plain,remove" in completed("expertctl intents rem")
    own = client.fleet.intents("calculator")[0].name
    assert f"plain,{own}" in completed(f"expertctl intents remove calculator {own[:2]}")


def test_what_breaks_a_rule_is_refused_with_its_reason(client: Client) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'calculator'") as caught:
        client.fleet.put_intent("calculater", "split-bill", BILL)
    assert caught.value.reason == "UNKNOWN_EXPERT"
    with pytest.raises(InvalidError) as refused:
        client.fleet.put_intent("calculator", "Split bill", BILL)
    assert (refused.value.reason, list(refused.value.fields)) == ("BAD_INTENT_NAME", ["intent"])
    with pytest.raises(InvalidError) as refused:
        client.fleet.put_intent("calculator", "split-bill", [*BILL, ""])
    assert (refused.value.reason, list(refused.value.fields)) == ("BAD_SENTENCE", ["sentences[5]"])
    with pytest.raises(NotFoundError) as caught:
        client.fleet.remove_intent("calculator", "split-bill")
    assert caught.value.reason == "UNKNOWN_INTENT"
    names = [intent.name for intent in client.fleet.intents("calculator")]
    for name in names[1:]:
        client.fleet.remove_intent("calculator", name)
    with pytest.raises(FailedPreconditionError, match="expertctl remove calculator") as last:
        client.fleet.remove_intent("calculator", names[0])
    assert last.value.reason == "LAST_INTENT"
