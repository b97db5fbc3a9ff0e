"""The two journeys of the design, whole: a request from the command line to its answer, and a version from its folder
to serving and back; with the real daemon, the real client, real models."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from expertd.client import Client, ExpertdError
from expertd.client.aio import AsyncClient
from expertd.experts.bundle import seal
from expertd.v1 import assistant_pb2 as pb

ROOT = Path(__file__).resolve().parent.parent
SPAM_2 = ROOT / "bundles" / "spam-2"
WON = "Congratulations! You have been chosen for a FREE holiday, claim now by calling 0906 555 0199, 150p/min"


def answer_of(daemon: Any, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(daemon.expertctl(*arguments, "--json").stdout)
    return document.get("answer", document)


@pytest.fixture
def load_csv(tmp_path: Path) -> Path:
    rows = [
        f"2026-03-{day + 1:02d}T{hour:02d}:00:00,{500 + 200 * math.sin(hour / 24 * 2 * math.pi) + 3 * (day % 3):.1f}"
        for day in range(14)
        for hour in range(24)
    ]
    path = tmp_path / "load.csv"
    path.write_text("time,load\n" + "\n".join(rows) + "\n")
    return path


# --- The journey of a request ----------------------------------------------------------------------------------------


def test_an_alarm_is_scheduled_and_listed_and_cancelled(daemon: Any) -> None:
    made = answer_of(daemon, "ask", "wake me at 7:30 tomorrow")
    assert made["expert"] == "timers"
    assert made["action"]["name"] == "alarm.created"
    assert "07:30" in made["action"]["slots"]["due"]
    assert made["decision"]["confidence"] > 0.5
    assert len(made["trace_id"]) == 26
    assert "07:30" in answer_of(daemon, "ask", "which alarms are set")["text"]
    assert answer_of(daemon, "ask", "cancel all my alarms")["action"]["name"] == "alarm.cancelled"


def test_spam_is_told_from_what_is_wanted(daemon: Any) -> None:
    spam = answer_of(daemon, "ask", f"is this spam: {WON}")
    assert (spam["expert"], spam["label"]["label"]) == ("spam", "spam")
    assert spam["label"]["probability"] > 0.9
    ham = answer_of(daemon, "ask", "is this spam: Running ten minutes late, could you order me a coffee please?")
    assert (ham["expert"], ham["label"]["label"]) == ("spam", "ham")


def test_a_series_is_forecast_with_quantiles_and_drawn(daemon: Any, load_csv: Path) -> None:
    answer = answer_of(daemon, "ask", "forecast the next 24 hours", "--series", str(load_csv))
    assert answer["expert"] == "forecast"
    levels, quantiles = answer["forecast"]["levels"], answer["forecast"]["quantiles"]
    assert len(levels) == len(quantiles)
    assert all(len(row["values"]) == 24 for row in quantiles)
    median = quantiles[levels.index(0.5)]["values"]
    assert max(median) > 650
    assert min(median) < 350, "the daily season goes on"
    assert answer["forecast"]["season"] == 24
    shown = daemon.expertctl("ask", "forecast the next 24 hours", "--series", str(load_csv)).stdout
    assert len(shown.splitlines()) > 5, "a plot stands under the text"


def test_the_calculator_and_the_system_answer(daemon: Any) -> None:
    assert "441" in answer_of(daemon, "ask", "what's 18% of 2450")["text"]
    memory = answer_of(daemon, "ask", "how much memory is free")
    assert memory["expert"] == "system"
    assert any(unit in memory["text"] for unit in ("GB", "GiB", "MB", "MiB"))


def test_the_clock_knows_other_zones(daemon: Any) -> None:
    answer = answer_of(daemon, "ask", "what time is it in Tokyo")
    assert answer["expert"] == "clock"
    assert ":" in answer["text"]


def test_what_no_expert_can_do_is_refused_honestly_without_a_titan(daemon: Any) -> None:
    done = daemon.expertctl("ask", "explain the politics of the Hanseatic League", check=False)
    assert done.returncode == 4
    assert done.stdout == ""
    assert "titan" in done.stderr
    assert "OPENAI_API_KEY" in done.stderr or "api_key" in done.stderr, "the way out is named"


def test_a_text_without_a_model_says_how_to_get_one(daemon: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("We met on Monday. The roof leaks. Ana calls the roofer, Tom pays, we meet again in May.\n" * 5)
    done = daemon.expertctl("ask", "summarise this", "--file", str(notes), check=False)
    assert done.returncode == 4
    assert "expertctl models pull" in done.stderr
    assert "expertctl models adopt" in done.stderr
    models = json.loads(daemon.expertctl("models", "list", "--json").stdout)["models"]
    assert models[0]["availability"] == "AVAILABILITY_DOWNLOADABLE"


def test_the_decision_alone_has_no_effect(daemon: Any) -> None:
    decision = json.loads(daemon.expertctl("route", "set a timer for ten minutes", "--json").stdout)
    assert (decision["expert"], decision["verdict"]) == ("timers", "VERDICT_ROUTED")
    with Client(daemon.socket) as client:
        answer = client.ask("list my timers")
    assert "no" in answer.text.lower()


def test_a_stream_tells_the_decision_first_and_the_whole_answer_last(daemon: Any) -> None:
    with Client(daemon.socket) as client:
        parts = [type(part).__name__ for part in client.stream("what is 6 times 7")]
    assert parts[0] == "Decision"
    assert parts[-1] == "Answer"


def test_every_request_leaves_a_trace_without_its_words(daemon: Any) -> None:
    answer = answer_of(daemon, "ask", "what is the square root of 1764")
    (trace,) = json.loads(daemon.expertctl("traces", "--id", answer["trace_id"], "--json").stdout)["traces"]
    assert (trace["expert"], trace["outcome"], trace["verdict"]) == ("calculator", "answered", "routed")
    assert not trace.get("text")
    daemon.expertctl("feedback", answer["trace_id"], "good")
    (trace,) = json.loads(daemon.expertctl("traces", "--id", answer["trace_id"], "--json").stdout)["traces"]
    assert trace["feedback"].startswith("good")
    for path in daemon.state.glob("expertd.db*"):
        assert b"square root of 1764" not in path.read_bytes()


def test_a_timer_fires_as_an_event(daemon: Any) -> None:
    fired: list[pb.EventsResponse] = []
    listening = threading.Event()

    def listen() -> None:
        with Client(daemon.socket) as client:
            for event in client.events():
                if event.WhichOneof("event") == "subscribed":
                    listening.set()
                if event.WhichOneof("event") == "fired":
                    fired.append(event)
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert listening.wait(10)
    daemon.expertctl("ask", "set a timer for 1 second called pasta")
    listener.join(15)
    assert fired, "the timer never fired"
    assert (fired[0].fired.kind, fired[0].fired.name) == ("timer", "pasta")


def test_two_requests_in_one_are_both_answered_in_order_and_take_effect_once(daemon: Any) -> None:
    answer = answer_of(daemon, "ask", "set a timer for 10 minutes and tell me what 18% of 2450 is", "--session", "s")
    first, second = answer["parts"]
    assert (first["expert"], first["action"]["name"]) == ("timers", "timer.created")
    assert (second["expert"], second["structured"]["value"]) == ("calculator", 441)
    assert answer["text"] == f"{first['text']}\n{second['text']}"
    assert answer["decision"]["verdict"] == "VERDICT_COMPOUND"
    with Client(daemon.socket) as client:
        assert client.ask("list my timers").text.startswith("Timer"), "one, not a list of several"
        client.ask("cancel all my timers")
    traces = json.loads(daemon.expertctl("traces", "--json").stdout)["traces"]
    mine = {trace["id"]: trace for trace in traces if trace.get("session") == "s"}
    assert set(mine) == {answer["trace_id"], first["trace_id"], second["trace_id"]}
    assert mine[answer["trace_id"]]["verdict"] == "compound"


def test_a_stream_of_two_answers_is_told_in_order(daemon: Any) -> None:
    with Client(daemon.socket) as client:
        decision, *deltas, answer = client.stream("what is 6 times 7 and what time is it in Tokyo")
    assert isinstance(decision, pb.Decision)
    assert [part.decision.expert for part in decision.parts] == ["calculator", "clock"]
    assert isinstance(answer, pb.Answer)
    assert "".join(map(str, deltas)) == answer.text
    assert [part.expert for part in answer.parts] == ["calculator", "clock"]
    assert "42" in answer.text.splitlines()[0]


def test_one_errand_with_two_things_is_one_reminder(daemon: Any) -> None:
    made = answer_of(daemon, "ask", "remind me to buy bread and butter at 6pm tomorrow")
    assert "parts" not in made
    assert made["action"]["name"] == "reminder.created"
    listed = answer_of(daemon, "ask", "list my reminders")["text"]
    assert listed.count("bread and butter") == listed.lower().count("reminder") == 1
    answer_of(daemon, "ask", "cancel all my reminders")


def test_a_part_that_cannot_be_done_leaves_the_other_done(daemon: Any) -> None:
    done = daemon.expertctl("ask", "wake me on 31 February at 7 and tell me what 2 plus 2 is")
    first, second = done.stdout.splitlines()
    assert "31 February does not exist" in first
    assert "4" in second
    answer = answer_of(daemon, "ask", "what is 2 plus 2. Explain the politics of the Hanseatic League.")
    assert [part["outcome"] for part in answer["parts"]] == ["OUTCOME_ANSWERED", "OUTCOME_FAILED"]
    assert answer["parts"][1]["reason"] == "TITAN_NO_KEY"
    assert answer["outcome"] == "OUTCOME_ANSWERED"


def test_another_language_is_recognised_and_said_so(daemon: Any) -> None:
    question = "Wie wird das Wetter morgen in Hamburg?"
    decision = json.loads(daemon.expertctl("route", question, "--json").stdout)
    assert (decision["verdict"], decision["language"]) == ("VERDICT_TITAN", "de")
    for option in ((), ("--local-only",)):
        refused = daemon.expertctl("ask", question, *option, check=False)
        assert refused.returncode == 4
        assert "German" in refused.stderr
        assert "English" in refused.stderr


def test_a_decision_is_explained_tier_by_tier(daemon: Any) -> None:
    question = "could you work out 12 percent of 80 for me"
    told = json_format.Parse(daemon.expertctl("route", "--explain", "--json", question).stdout, pb.RouteResponse())
    assert told.decision.expert == "calculator"
    tiers = {pb.Decision.Tier.Name(tier.tier): tier for tier in told.explanation.tiers}
    assert list(tiers) == ["TIER_EXACT", "TIER_STATIC", "TIER_ENCODER"]
    (answered,) = [tier for tier in tiers.values() if tier.answered]
    assert answered.tier == told.decision.tier
    assert {near.expert for near in told.explanation.neighbours} == {"calculator"}
    assert "calculator" not in {other.expert for other in told.explanation.others}
    assert told.explanation.in_scope > told.explanation.least_in_scope
    shown = daemon.expertctl("route", "--explain", question).stdout
    for word in ("exact", "static", "encoder", "nearest sentence", "threshold", "why not", "language"):
        assert word in shown
    again = json.loads(daemon.expertctl("route", "--explain", "--json", question).stdout)
    assert again["decision"]["tier"] == json.loads(json_format.MessageToJson(told))["decision"]["tier"], (
        "explaining leaves nothing behind"
    )


async def test_every_client_can_have_it_explained(daemon: Any) -> None:
    with Client(daemon.socket) as client:
        told = client.explain("what time is it")
    async with AsyncClient(daemon.socket) as other:
        again = await other.explain("what time is it")
    assert told == again
    assert told.explanation.tiers[0].answered, "it is word for word what an expert owns"


def test_a_compound_request_is_explained_part_by_part(daemon: Any) -> None:
    shown = daemon.expertctl("route", "--explain", "what is 6 times 7 and what time is it in Tokyo").stdout
    for line in ("part 1: what is 6 times 7", "part 2: what time is it in Tokyo"):
        assert line in shown
    assert shown.count("signal of being in scope") == 2


# --- The journey of a version ----------------------------------------------------------------------------------------


def serving(daemon: Any, name: str) -> int:
    return int(json.loads(daemon.expertctl("show", name, "--json").stdout)["expert"]["serving_version"])


def test_a_new_version_replaces_the_old_one_under_load_and_rolls_back(daemon: Any) -> None:
    """Callers never stop; none of their calls fails, and each answer names a version that was promoted."""
    done = threading.Event()
    versions: set[int] = set()
    failures: list[Exception] = []

    def call() -> None:
        with Client(daemon.socket) as client:
            while not done.is_set():
                try:
                    versions.add(client.ask(f"is this spam: {WON}").version)
                except ExpertdError as error:
                    failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        daemon.expertctl("install", str(SPAM_2))
        assert serving(daemon, "spam") == 2
        for _ in range(5):
            daemon.expertctl("rollback", "spam")
            assert serving(daemon, "spam") == 1
            daemon.expertctl("promote", "spam", "2")
            assert serving(daemon, "spam") == 2
        daemon.expertctl("rollback", "spam")
    finally:
        done.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert versions == {1, 2}


def altered_spam(folder: Path, version: int) -> Path:
    target = folder / f"spam-{version}"
    shutil.copytree(SPAM_2, target)
    manifest = target / "expert.toml"
    manifest.write_text(manifest.read_text().replace("version = 2", f"version = {version}"))
    return target


def test_a_version_whose_golden_examples_fail_never_serves(daemon: Any, tmp_path: Path) -> None:
    before = serving(daemon, "spam")
    bundle = altered_spam(tmp_path, 7)
    golden = bundle / "golden.jsonl"
    rows = [json.loads(line) for line in golden.read_text().splitlines()]
    rows[0]["expect"] = {"type": "label", "label": "neither"}
    golden.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seal(bundle)
    done = daemon.expertctl("install", str(bundle), check=False)
    assert done.returncode == 1
    assert "golden.jsonl line 1" in done.stderr
    assert serving(daemon, "spam") == before


def test_a_version_with_a_wrong_hash_never_serves(daemon: Any, tmp_path: Path) -> None:
    before = serving(daemon, "spam")
    bundle = altered_spam(tmp_path, 8)
    seal(bundle)
    with (bundle / "intents.jsonl").open("a") as file:
        file.write('{"intent": "check", "text": "slipped in afterwards"}\n')
    done = daemon.expertctl("install", str(bundle), check=False)
    assert done.returncode == 1
    assert "intents.jsonl" in done.stderr
    assert "sha256" in done.stderr
    assert serving(daemon, "spam") == before
    assert not list((daemon.state / "incoming").iterdir())


def test_what_serves_survives_a_restart_and_so_do_timers(start_daemon: Any) -> None:
    daemon = start_daemon()
    daemon.expertctl("install", str(SPAM_2))
    daemon.expertctl("ask", "remind me to water the plants in 3 hours")
    assert daemon.stop() == 0
    daemon.start()
    assert serving(daemon, "spam") == 2
    assert "plants" in answer_of(daemon, "ask", "list my reminders")["text"]


def test_a_killed_daemon_comes_back_whole_and_fires_what_it_missed(start_daemon: Any) -> None:
    daemon = start_daemon()
    daemon.expertctl("ask", "set a timer for 2 seconds called missed")
    daemon.expertctl("ask", "wake me at 6 tomorrow")
    daemon.stop(9)
    time.sleep(2.5)
    daemon.start()
    with sqlite3.connect(daemon.state / "expertd.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert "06:00" in answer_of(daemon, "ask", "which alarms do I have")["text"]
    deadline = time.monotonic() + 20
    while "missed" in answer_of(daemon, "ask", "list my timers")["text"]:
        assert time.monotonic() < deadline, "the missed timer never fired"
        time.sleep(0.2)


# --- Text and titan: the same journey through other processes ---------------------------------------------------------


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bench.gguf_files import write_chain_model

    return write_chain_model(tmp_path_factory.mktemp("models") / "small.gguf")


def test_an_adopted_model_summarises_and_a_killed_worker_comes_back(
    start_daemon: Any, small_model: Path, tmp_path: Path
) -> None:
    daemon = start_daemon()
    notes = tmp_path / "notes.txt"
    notes.write_text("We met on Monday. The roof leaks. Ana calls the roofer.\n")
    daemon.expertctl("models", "adopt", str(small_model))
    summary = answer_of(daemon, "ask", "summarise this", "--file", str(notes))
    assert summary["expert"] == "summarise"
    assert summary["text"].startswith("Here is a short answer")
    streamed = daemon.expertctl("ask", "summarise this", "--file", str(notes)).stdout
    assert streamed.startswith("Here is a short answer")

    shown = json.loads(daemon.expertctl("show", "summarise", "--json").stdout)["expert"]
    pid = int(shown["worker_pid"])
    assert pid != daemon.process.pid
    os.kill(pid, signal.SIGKILL)
    assert answer_of(daemon, "ask", "what is 3 plus 4")["text"], "nobody else notices"
    again = answer_of(daemon, "ask", "summarise this", "--file", str(notes))
    assert again["text"].startswith("Here is a short answer")
    daemon.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_what_no_expert_can_do_goes_to_the_titan(start_daemon: Any, small_model: Path) -> None:
    """The titan is llama.cpp's own server: a real OpenAI-compatible endpoint that nobody here wrote."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", "--model", str(small_model), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        daemon = start_daemon(
            f'[titan]\nbase_url = "http://127.0.0.1:{port}/v1"\nmodel = "small"\n', OPENAI_API_KEY="any"
        )
        question = "explain the politics of the Hanseatic League"
        answer = answer_of(daemon, "ask", question)
        assert answer["expert"] == "titan"
        assert answer["text"].strip().startswith("Here is a short answer")
        assert answer["decision"]["verdict"] == "VERDICT_TITAN"
        foreign = answer_of(daemon, "ask", "Wie wird das Wetter morgen in Hamburg?")
        assert (foreign["expert"], foreign["decision"]["language"]) == ("titan", "de")
        both = answer_of(daemon, "ask", "what is 3 plus 4. Explain the politics of the Hanseatic League.")
        assert [part["expert"] for part in both["parts"]] == ["calculator", "titan"]
        local = daemon.expertctl("ask", question, "--local-only", check=False)
        assert local.returncode == 4
        assert "stay on this machine" in local.stderr
        server.terminate()
        server.wait(20)
        gone = daemon.expertctl("ask", question, check=False)
        assert gone.returncode == 4
        assert str(port) in gone.stderr, "it says where nobody listened"
        assert answer_of(daemon, "ask", "what is 3 plus 4")["text"]
    finally:
        server.kill()
        server.wait()


def test_a_worker_killed_mid_stream_fails_its_own_caller_alone(start_daemon: Any, tmp_path: Path) -> None:
    from bench.gguf_files import write_slow_model
    from expertd.client import UnavailableError

    daemon = start_daemon("[text]\nmax_tokens = 64\n")
    for name in ("chat", "extract", "rewrite", "title", "translate"):
        daemon.expertctl("remove", name)  # the model takes its time over each expert's examples
    daemon.expertctl("models", "adopt", str(write_slow_model(tmp_path / "slow.gguf")))
    pid = int(json.loads(daemon.expertctl("show", "summarise", "--json").stdout)["expert"]["worker_pid"])
    with Client(daemon.socket) as client:
        stream = client.stream("summarise this: We met on Monday, and the roof leaks again.")
        for part in stream:
            if isinstance(part, str):
                break
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(UnavailableError) as caught:
            for _ in stream:
                pass
    assert caught.value.reason == "WORKER_DIED"
    assert answer_of(daemon, "ask", "what is 3 plus 4")["text"]
