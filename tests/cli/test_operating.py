"""expertctl, as an operator has it: experts and their versions, trials and policies, models, traces, doctor."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from expertd.client.render_fleet import trace_row
from expertd.v1 import fleet_pb2 as fleet

Run = Callable[..., Result]
Call = Callable[..., subprocess.CompletedProcess[str]]
OnATerminal = Callable[..., tuple[str, int]]
Interrupt = Callable[..., tuple[int, str]]

GGUF = b"GGUF" + bytes(600_000)


def without_style(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# --- See and change --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
def test_ps_lists_every_expert_with_what_it_costs(run: Run) -> None:
    lines = run("ps").stdout.splitlines()
    titles, spam = " ".join(lines[0].split()), " ".join(lines[1].split())
    assert titles == "expert version state kind available memory requests p50 in flight reason"
    assert spam == "spam 1 serving linear ready 1.5 MB 1234 850 µs 0"
    assert "expertctl models pull small" in lines[2]
    assert [expert["name"] for expert in json.loads(run("ps", "--json").stdout)["experts"]] == [
        "timers",
        "spam",
        "text",
    ]


@pytest.mark.usefixtures("daemon")
def test_show_prints_details_versions_and_the_card(run: Run) -> None:
    text = run("show", "spam").stdout
    for words in ("is it spam", "create, cancel", "serving", "# Card", "https://example.org/card"):
        assert words in text
    assert json.loads(run("show", "spam", "--json").stdout)["expert"]["name"] == "spam"


def test_install_tells_each_step_and_a_failure_exits_with_1(daemon: Any, run: Run, tmp_path: Path) -> None:
    (tmp_path / "expert.toml").write_text('name = "spam"\n')
    result = run("install", str(tmp_path))
    assert result.stdout == "spam 2 loading\nspam 2 warming\nspam 2 serving: serves\n"
    assert daemon.received == len('name = "spam"\n')
    states = [json.loads(line)["state"] for line in run("install", str(tmp_path), "--json").stdout.splitlines()]
    assert states == ["STATE_LOADING", "STATE_WARMING", "STATE_SERVING"]
    (tmp_path / "expert.toml").write_text("broken")
    failed = run("install", str(tmp_path))
    assert failed.exit_code == 1
    assert "spam 2: golden 3 failed" in failed.stderr
    assert "spam 2 failed: golden 3 failed\n" in failed.stdout


@pytest.mark.usefixtures("daemon")
def test_installing_what_serves_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "expert.toml").write_text('name = "spam"\nversion = 1\n# serves already\n')
    assert run("install", str(tmp_path)).stdout == "verifying\nspam 1 serving: serves already\n"
    last = json.loads(run("install", str(tmp_path), "--json").stdout.splitlines()[-1])
    assert last["message"] == "serves already"


@pytest.mark.usefixtures("daemon")
def test_an_interrupted_install_says_that_the_daemon_goes_on(
    interrupt_after: Interrupt, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "expert.toml").write_text("slow")
    code, written = interrupt_after(["install", str(tmp_path)], b"verifying", environment)
    assert code == 130
    assert "see `expertctl ps`" in written


def test_versions_are_promoted_rolled_back_pinned_unloaded_and_removed(daemon: Any, run: Run) -> None:
    assert run("promote", "spam", "2").stdout == "spam 2 serving\n"
    assert run("rollback", "spam").stdout == "spam 1 serving\n"
    assert run("pin", "spam").stdout == "spam pinned\n"
    assert daemon.experts["spam"].pinned
    assert "spam (pinned)" in run("ps").stdout
    assert run("unpin", "spam").stdout == "spam no longer pinned\n"
    assert not daemon.experts["spam"].pinned
    assert run("unload", "spam").stdout == "spam unloaded\n"
    assert run("remove", "spam").stdout == "spam removed\n"
    assert "spam" not in daemon.experts
    assert run("remove", "spam").exit_code == 5


@pytest.mark.usefixtures("daemon")
def test_watch_and_events_are_lines(run: Run) -> None:
    watched = run("watch").stdout.splitlines()
    assert watched[0] == "timers 1 serving"
    assert watched[2] == "text 1 serving downloadable: run `expertctl models pull small`"
    assert watched[3] == "old removed"
    assert json.loads(run("watch", "--json").stdout.splitlines()[3])["removed"] is True
    fired, changed = run("events").stdout.splitlines()
    assert fired.endswith("timer tea fired (1 min 30 s late): tea is ready")
    assert "spam 2 failed: golden 3" in changed
    kinds = [set(json.loads(line)) - {"time"} for line in run("events", "--json").stdout.splitlines()]
    assert kinds == [{"subscribed"}, {"fired"}, {"expert_changed"}]


def test_models_are_listed_pulled_and_adopted(daemon: Any, run: Run, tmp_path: Path) -> None:
    for arguments in (["models"], ["models", "list"]):
        assert "small  downloadable  1.0 kB  MIT      text" in run(*arguments).stdout
    for arguments in (["models", "--json"], ["models", "list", "--json"]):
        assert json.loads(run(*arguments).stdout)["models"][0]["name"] == "small"
    pulled = run("models", "pull", "small")
    assert pulled.stdout == "small is ready\n"
    assert "small: 50 % downloading" in pulled.stderr
    steps = [json.loads(line) for line in run("models", "pull", "small", "--json").stdout.splitlines()]
    assert steps[-1]["model"]["present_bytes"] == "1000"
    (tmp_path / "m.gguf").write_bytes(GGUF)
    assert run("models", "adopt", str(tmp_path / "m.gguf"), "--name", "small").stdout == "small is ready\n"
    assert daemon.received == len(GGUF)


@pytest.mark.usefixtures("daemon")
def test_traces_are_chosen_by_expert_number_and_id(run: Run) -> None:
    assert len(run("traces").stdout.splitlines()) == 1 + 3
    assert len(run("traces", "--expert", "spam").stdout.splitlines()) == 1 + 1
    assert len(json.loads(run("traces", "--limit", "2", "--json").stdout)["traces"]) == 2
    assert "01J2" in run("traces", "--id", "01J2").stdout
    assert run("traces", "--id", "none").stdout == "no traces\n"


@pytest.mark.usefixtures("daemon")
def test_a_terminal_of_100_columns_shows_times_and_reasons_whole(
    on_a_terminal: OnATerminal, environment: dict[str, str]
) -> None:
    written = without_style(on_a_terminal(["traces"], environment, 100)[0])
    assert "…" not in written
    assert "03-02 09:00:00" in written
    assert "2026-" not in written
    assert "01J0: wake me" in written


def test_a_trace_that_went_to_the_titan_says_titan() -> None:
    row = trace_row(fleet.Trace(id="01J", verdict="titan", expert="timers", answered_by="titan"))
    assert row[2] == "titan"


def test_an_interrupted_pull_says_that_it_will_be_resumed(
    interrupt_after: Interrupt, daemon: Any, environment: dict[str, str]
) -> None:
    daemon.pulled_to = 300
    code, written = interrupt_after(["models", "pull", "small"], b"30 %", environment)
    assert code == 130
    assert "interrupted with 300 B of 1.0 kB here; `expertctl models pull small` resumes it" in written


def test_a_pull_on_a_terminal_draws_a_bar(on_a_terminal: OnATerminal, daemon: Any, environment: dict[str, str]) -> None:
    written, code = on_a_terminal(["models", "pull", "small"], environment)
    assert code == 0
    assert "small is ready" in written
    assert "━" in written


def test_adopting_a_pipe_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.gguf")
    result = run("models", "adopt", str(tmp_path / "m.gguf"))
    assert result.exit_code == 2
    assert "not a regular file" in result.stderr


# --- Trials, policies, what was undone --------------------------------------------------------------------------------


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("state", "told"), [("STATE_CANARY", "canary 12/50"), ("STATE_SHADOW", "shadow 12/50")], ids=["canary", "shadow"]
)
def test_ps_counts_a_trial_beneath_the_version_that_serves(daemon: Any, run: Run, state: str, told: str) -> None:
    daemon.put_on_trial("spam", 2, state, 12, 50)
    lines = squeezed(run("ps").stdout)
    assert lines[1] == "spam 1 serving linear ready 1.5 MB 1234 850 µs 0"
    assert lines[2] == f"spam 2 {told} 700 kB 12 1.2 ms"


def test_ps_tells_what_is_on_probation_and_what_memory_is_left(daemon: Any, run: Run) -> None:
    daemon.experts["spam"].versions[0].trial.needed = 200
    lines = squeezed(run("ps").stdout)
    assert lines[1].startswith("spam 1 serving (on probation) linear")
    assert lines[-1] == "experts 12.0 MB of 12.0 GB; daemon 121 MB; memory pressure none"
    daemon.memory.pressure = 0.34
    assert run("ps").stdout.endswith("; memory pressure 34 %\n")
    daemon.memory.pressure = -1
    assert run("ps").stdout.endswith("; memory pressure unknown\n")
    assert json.loads(run("ps", "--json").stdout)["memory"]["experts_bytes"] == "12000000"


def test_ps_tells_what_was_undone_until_something_newer_serves(
    on_a_terminal: OnATerminal, daemon: Any, run: Run, environment: dict[str, str]
) -> None:
    spam = daemon.experts["spam"]
    spam.undone.version, spam.undone.reason = 5, "spam 5: undone on probation: 7 of 9 requests failed"
    spam.versions.add(version=5, state="STATE_FAILED", reason=spam.undone.reason)
    assert squeezed(run("ps").stdout)[1].endswith("0 5 undone on probation: 7 of 9 requests failed")
    written, _ = on_a_terminal(["ps"], environment)
    assert "\x1b[2mspam: 5 undone on probation: 7 of 9 requests failed" in written
    daemon.put_on_trial("spam", 6, "STATE_SHADOW", 0, 10)
    assert "undone" not in run("ps").stdout
    del spam.versions[-1]
    spam.serving_version = 6
    spam.versions.add(version=6, state="STATE_SERVING")
    assert "undone" not in run("ps").stdout


def test_a_version_that_never_served_is_told_as_failed(daemon: Any, run: Run) -> None:
    daemon.experts["spam"].versions.add(version=2, state="STATE_FAILED", reason="spam 2: golden 3 failed")
    assert squeezed(run("ps").stdout)[1].endswith("2 failed: golden 3 failed")
    daemon.experts["spam"].undone.version, daemon.experts["spam"].undone.reason = 2, "spam 2: golden 3 failed"
    assert squeezed(run("ps").stdout)[1].endswith("2 failed: golden 3 failed")


def test_show_lays_a_candidate_beside_its_baseline(daemon: Any, run: Run) -> None:
    daemon.put_on_trial("spam", 2, "STATE_SHADOW", 30, 200)
    spam = daemon.experts["spam"]
    spam.policy.shadow_requests, spam.policy.canary_share, spam.policy.canary_requests = 200, 0.1, 50
    lines = squeezed(run("show", "spam").stdout)
    for line in (
        "policy shadow for 200 requests, then canary with 10 % of sessions for 50 requests, then serves; margin 5 %",
        "version state since memory disk",
        "version 2 is on trial in shadow: 30 of 200 requests",
        "on trial requests errors abstentions disliked p50 agreed",
        "2 (shadow) 30 1 (3.33 %) 0 0 1.2 ms 28 of 30",
        "1 (baseline) 110 0 2 (1.82 %) 0 1.1 ms",
        "version 2 examined: 12 golden examples; held-out 98.2 % right of 500, the serving version 97.9 %; 0.1 ms",
    ):
        assert line in lines, lines
    assert next(line for line in lines if line.startswith("2 shadow 30/200")).endswith("700 kB 4.1 kB")


def test_show_tells_what_lies_in_quarantine_and_why(daemon: Any, run: Run) -> None:
    spam = daemon.experts["spam"]
    spam.versions.add(version=5, state="STATE_FAILED", reason="spam 5: weights.safetensors: trailing bytes")
    spam.undone.version, spam.undone.reason = 5, "spam 5: weights.safetensors: trailing bytes"
    spam.undone.time.FromSeconds(1_790_000_000)
    lines = squeezed(run("show", "spam").stdout)
    assert "5 failed weights.safetensors: trailing bytes" in lines
    undone = next(line for line in lines if line.startswith("undone"))
    assert undone.startswith("undone version 5, 2026-09-21")
    assert undone.endswith(": weights.safetensors: trailing bytes")


def test_a_version_on_probation_is_compared_with_the_one_before(daemon: Any, run: Run) -> None:
    serving = daemon.experts["spam"].versions[0]
    serving.trial.stage, serving.trial.requests, serving.trial.needed = fleet.STATE_SERVING, 3, 200
    lines = squeezed(run("show", "spam").stdout)
    assert "version 1 serves on probation: 3 of 200 requests" in lines
    assert "the one before (baseline) 0 0 0 0" in lines


def test_an_install_that_ends_on_trial_succeeds_and_says_how_to_go_on(daemon: Any, run: Run, tmp_path: Path) -> None:
    (tmp_path / "expert.toml").write_text("on trial")
    result = run("install", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("spam 2 canary: it answers 0.1 of sessions; `expertctl promote")
    assert json.loads(run("install", str(tmp_path), "--json").stdout.splitlines()[-1])["state"] == "STATE_CANARY"


def test_a_rollback_while_a_version_is_on_trial_says_what_it_did(daemon: Any, run: Run) -> None:
    daemon.put_on_trial("spam", 2, "STATE_CANARY", 12, 50)
    assert (
        run("rollback", "spam").stdout == "spam 2 was on trial (canary 12/50) and is given up\nspam 1 goes on serving\n"
    )
    daemon.put_on_trial("spam", 2, "STATE_CANARY", 12, 50)
    assert json.loads(run("rollback", "spam", "--json").stdout)["serving_version"] == "1"


def test_a_policy_is_shown_and_changed_field_by_field(daemon: Any, run: Run) -> None:
    policy = daemon.experts["spam"].policy
    assert run("policy", "spam").stdout == "spam: serves at once; margin 5 %\n"
    assert run("policy", "spam", "--shadow", "200").stdout == "spam: shadow for 200 requests, then serves; margin 5 %\n"
    for share in ("10%", "10 %", "0.1"):
        policy.canary_share = 0
        told = run("policy", "spam", "--canary", share, "--requests", "50").stdout
        assert "then canary with 10 % of sessions for 50 requests, then serves; margin 5 %" in told
        assert (policy.shadow_requests, policy.canary_share, policy.canary_requests) == (200, 0.1, 50)
    assert run("policy", "spam", "--margin", "2%").stdout.endswith("margin 2 %\n")
    assert policy.margin == 0.02
    assert run("policy", "spam", "--canary", "20%").exit_code == 0
    assert (policy.canary_share, policy.canary_requests) == (0.2, 50)
    run("policy", "spam", "--canary", "0")
    assert (policy.canary_share, policy.canary_requests, policy.shadow_requests) == (0, 0, 200)
    as_json = json.loads(run("policy", "spam", "--json").stdout)
    assert as_json == {"name": "spam", "policy": {"shadow_requests": 200, "margin": 0.02}}
    assert run("policy", "spam", "--reset").stdout == "spam: serves at once; margin 5 %\n"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--canary", "10"], "write 10% or 0.1"),
        (["--canary", "60%"], "between 0 and 50 %"),
        (["--canary", "many"], "is no share; write 10% or 0.1"),
        (["--canary", "10%%"], "is no share"),
        (["--canary", "nan"], "between 0 and 50 %"),
        (["--margin", "-1%"], "between 0 and 100 %"),
        (["--canary", "10%"], "Give --requests too"),
        (["--requests", "50"], "give --canary too"),
        (["--canary", "0", "--requests", "50"], "leave --requests out"),
        (["--shadow", "-1"], "0<=x"),
        (["--reset", "--shadow", "5"], "leave the other options out"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_the_rule(
    daemon: Any, run: Run, options: list[str], rule: str
) -> None:
    result = run("policy", "spam", *options)
    assert result.exit_code == 2
    assert rule in result.stderr
    assert daemon.experts["spam"].policy == fleet.Policy(margin=0.05)


@pytest.mark.usefixtures("daemon")
def test_what_the_daemon_refuses_of_a_policy_is_told(run: Run) -> None:
    result = run("policy", "spam", "--canary", "10%", "--requests", "13")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "canary_requests is 13" in result.stderr
    assert run("policy", "nobody").exit_code == 5


def test_watch_tells_each_change_of_a_trial_in_a_line_and_none_twice(daemon: Any, run: Run) -> None:
    trial = daemon.put_on_trial("spam", 2, "STATE_CANARY", 0, 50)
    daemon.changes = []
    for requests in (0, 7, 7, 50):
        trial.trial.requests = requests
        daemon.changes.append(fleet.WatchResponse(expert=daemon.experts["spam"]))
    trial.trial.requests = 0
    lines = run("watch", "spam").stdout.splitlines()
    assert lines == [f"spam 1 serving, 2 canary {count}/50" for count in (0, 7, 50)]
    assert len(run("watch", "spam", "--json").stdout.splitlines()) == 1 + 4
    assert run("watch", "nobody").exit_code == 5


def test_watch_on_a_terminal_is_a_table_that_keeps_itself_up_to_date(
    on_a_terminal: OnATerminal, daemon: Any, environment: dict[str, str]
) -> None:
    daemon.put_on_trial("spam", 2, "STATE_CANARY", 12, 50)
    later = fleet.Expert()
    later.CopyFrom(daemon.experts["spam"])
    later.versions[1].trial.requests = 13
    daemon.changes = [
        fleet.WatchResponse(expert=later),
        fleet.WatchResponse(expert=daemon.experts["timers"], removed=True),
    ]
    written, code = on_a_terminal(["watch"], environment)
    assert code == 0
    assert "\x1b[1A" in written  # it goes back up, to draw over what it drew
    screens = without_style(written).split("expert  ")
    assert "canary 12/50" in screens[-4]
    assert "canary 13/50" in screens[-3]
    assert "timers" in screens[-3]
    assert "timers" not in screens[-1]
    assert "───" in screens[-1]
    assert "text: run `expertctl models pull small`" in screens[-1]
    dumb, _ = on_a_terminal(["watch"], environment | {"TERM": "dumb"})
    assert "\x1b" not in dumb
    assert "spam 1 serving, 2 canary 13/50" in dumb


def test_colour_marks_a_trial_on_a_terminal_alone(
    on_a_terminal: OnATerminal, call: Call, daemon: Any, environment: dict[str, str]
) -> None:
    daemon.put_on_trial("spam", 2, "STATE_CANARY", 12, 50)
    assert "\x1b[36mcanary 12/50" in on_a_terminal(["ps"], environment)[0]
    assert "\x1b" not in on_a_terminal(["ps"], environment | {"NO_COLOR": "1"})[0]
    assert "\x1b" not in call(["ps"], environment).stdout


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_shows_its_own_findings_and_the_daemons(daemon: Any, run: Run, folder: Path) -> None:
    folder.chmod(0o700)
    healthy = run("doctor")
    assert healthy.exit_code == 0
    for words in ("folder", "socket", "daemon  ok       answers", "trunk", "expertd 0.1.0, process 42"):
        assert words in healthy.stdout
    folder.chmod(0o755)
    assert "chmod 700" in run("doctor").stdout
    daemon.checks.append(
        fleet.GetStatusResponse.Check(name="disk", level="LEVEL_ERROR", message="full", remedy="free 2 GB")
    )
    ill = run("doctor")
    assert ill.exit_code == 1
    assert "free 2 GB" in ill.stdout
    report = run("doctor", "--json")
    assert report.exit_code == 1
    assert json.loads(report.stdout)["checks"][-1] == {
        "name": "disk",
        "level": "LEVEL_ERROR",
        "message": "full",
        "remedy": "free 2 GB",
    }


def test_doctor_says_what_to_do_where_nobody_listens(run: Run, folder: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    assert "there is no socket" in result.stdout
    assert "systemctl --user start expertd" in result.stdout
    folder.chmod(0o777)
    assert f"chmod 700 {folder}" in run("doctor").stdout


def test_doctor_tells_a_daemon_whose_socket_is_gone(run: Run, folder: Path) -> None:
    (folder / "s.lock").write_text(f"{os.getpid()}\n")
    assert f"the socket file is gone although expertd runs as process {os.getpid()}" in run("doctor").stdout
    ended = subprocess.Popen(["true"])
    ended.wait()
    (folder / "s.lock").write_text(f"{ended.pid}\n")
    assert "there is no socket" in run("doctor").stdout
