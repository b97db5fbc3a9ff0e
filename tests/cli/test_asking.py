"""expertctl, as the user of an app has it: ask, route, invoke, feedback, and what may go wrong."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from expertd.client.terminal import plain
from expertd.v1 import assistant_pb2 as assistant

Run = Callable[..., Result]
OnATerminal = Callable[..., tuple[str, int]]


def without_style(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# --- ask -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
def test_an_answer_on_a_pipe_is_its_text_alone(run: Run) -> None:
    result = run("ask", "wake", "me", "at", "7")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "wake me at 7\n", "")


@pytest.mark.usefixtures("daemon")
def test_a_streamed_answer_is_printed_once(run: Run) -> None:
    assert run("ask", "tell").stdout == "one two three\n"


@pytest.mark.usefixtures("daemon")
def test_an_answer_that_differs_from_what_was_told_is_printed_whole(run: Run) -> None:
    assert run("ask", "mend").stdout == "wrong\n\nright\n"


@pytest.mark.usefixtures("daemon")
def test_a_stream_that_breaks_leaves_what_came_and_says_why(run: Run) -> None:
    result = run("ask", "break")
    assert result.exit_code == 4
    assert result.stdout == "it begins\n"
    assert "the worker is gone; try again" in result.stderr


def test_ask_sends_series_document_session_and_the_wish_to_stay_local(
    daemon: Any, run: Run, load: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("grüße")
    options = ["--series", str(load), "--file", str(tmp_path / "notes.txt"), "--session", "s1", "--local-only"]
    assert run("ask", "hello", *options).exit_code == 0
    assert list(daemon.asked[0].series.values) == [hour % 24 for hour in range(48)]
    assert daemon.asked[0].series.step.ToTimedelta() == timedelta(hours=1)
    assert daemon.asked[0].document.text == "grüße"
    assert daemon.contexts[0] == assistant.Context(app="expertctl", session="s1", local_only=True)
    assert run("ask", "hello", "--background").exit_code == 0
    assert daemon.contexts[1].priority == assistant.Context.PRIORITY_BACKGROUND


def test_series_and_documents_come_from_standard_input(daemon: Any, run: Run) -> None:
    run("ask", "hello", "--series", "-", "--column", "b", stdin="a,b\n1,2\n3,4\n")
    assert list(daemon.asked[0].series.values) == [2, 4]
    run("ask", "hello", "--file", "-", stdin="a note\n")
    assert daemon.asked[1].document.text == "a note\n"


def test_ask_sends_several_documents_in_their_order_and_a_schema(daemon: Any, run: Run, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "fields.json").write_text('{"type": "object"}')
    files = [option for name in ("a.txt", "b.txt", "c.txt") for option in ("--file", str(tmp_path / name))]
    assert run("ask", "find the fee", *files, "--schema", str(tmp_path / "fields.json")).exit_code == 0
    sent = daemon.asked[0]
    assert [sent.document.text, *(document.text for document in sent.further_documents)] == ["a.txt", "b.txt", "c.txt"]
    assert sent.schema == '{"type": "object"}'


@pytest.mark.usefixtures("daemon")
def test_standard_input_is_one_thing_only(run: Run) -> None:
    for options in (["--file", "-", "--file", "-"], ["--series", "-", "--schema", "-"]):
        result = run("ask", "hello", *options, stdin="x")
        assert result.exit_code == 2
        assert "standard input is one thing" in result.stderr


@pytest.mark.usefixtures("daemon")
def test_json_is_one_document_with_the_contracts_names(run: Run) -> None:
    for arguments in (("ask", "--json", "spam?"), ("--json", "ask", "spam?")):
        answer = json.loads(run(*arguments).stdout)
        assert answer["label"]["probabilities"] == {"spam": 0.93, "ham": 0.07}
        assert answer["trace_id"] == "01JTRACE"
        assert answer["decision"]["tier"] == "TIER_ENCODER"


@pytest.mark.usefixtures("daemon")
def test_a_forecast_on_a_pipe_is_a_table_of_its_quantiles(run: Run, load: Path) -> None:
    lines = run("ask", "forecast", "--series", str(load)).stdout.splitlines()
    assert lines[0] == "rising"
    assert lines[1].split() == ["time", "0.1", "0.5", "0.9"]
    assert len(lines) == 2 + 24
    assert lines[2].split()[-3:] == ["23", "24", "25"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("", "is empty"),
        ("load\nmany\n", "no column holds numbers"),
        ("load\n1\nmany\n", "line 3"),
        ("a,b\n1,2\n3\n", "line 3"),
        ("time,load\n2026-01-01,1\n2026-01-02,2\n2026-01-02T05:00,3\n2026-01-03,3\n", "line 4"),
    ],
)
def test_a_file_that_cannot_be_a_series_is_refused_before_sending(
    daemon: Any, run: Run, tmp_path: Path, content: str, rule: str
) -> None:
    (tmp_path / "bad.csv").write_text(content)
    result = run("ask", "forecast", "--series", str(tmp_path / "bad.csv"))
    assert result.exit_code == 2
    assert "bad.csv" in result.stderr
    assert rule in result.stderr
    assert not daemon.asked


def test_missing_rows_are_filled_with_a_note(daemon: Any, run: Run) -> None:
    text = "time,load\n2026-01-01,1\n2026-01-02,2\n2026-01-04,4\n"
    result = run("ask", "hello", "--series", "-", stdin=text)
    assert "1 missing rows taken as gaps" in result.stderr
    assert len(daemon.asked[0].series.values) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "x", "--series", "-", "--file", "-"],
        ["ask", "x", "--column", "a"],
        ["ask", "x", "--series", "/nowhere.csv"],
        ["ask", "x", "--file", "/"],
        ["ask", "x", "--nonsense"],
        ["--timeout", "0", "ps"],
        ["route"],
        ["feedback", "01J", "soso"],
        ["promote", "spam", "zero"],
        ["promote", "spam", "0"],
        ["install", "/nowhere"],
        ["models", "adopt", "/nowhere.gguf"],
        ["completion", "tcsh"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(daemon: Any, run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert not daemon.asked


# --- route, and requests of several parts ----------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
def test_route_says_who_and_explains(run: Run) -> None:
    assert run("route", "wake me").stdout == "timers create 97.4 % (encoder)\n"
    assert "titan (no expert fits; closest: timers" in run("route", "the Hanseatic League").stdout
    explained = run("route", "--explain", "wake me").stdout
    for word in ("routed", "far above its threshold", "spam", "check", "2 %"):
        assert word in explained


def test_an_explanation_is_read_tier_by_tier(daemon: Any, run: Run) -> None:
    lines = [" ".join(line.split()) for line in run("route", "--explain", "wake me").stdout.splitlines()]
    for line in (
        "language en 99 %",
        "tier asked answered sure in scope needed why",
        "exact yes no seen before not a sentence that was seen before",
        "static yes no 61 % 80 % 90 % sure 61 %, 90 % needed",
        "encoder yes yes 97.4 % 98 % 20 % in scope",
        " ".join(f"wake me up{plain(daemon.EVIL)} timers create 0.87".split()),
        "energy of the experts 4.25 +3.50",
        "an expert can answer 98 % 20 % an expert",
        "share of the second expert 1 % 25 % no question",
        "spam check 2 % 2 % against 97 %",
    ):
        assert line in lines, lines


def test_an_explanation_on_a_terminal_is_whole(
    on_a_terminal: OnATerminal, daemon: Any, environment: dict[str, str]
) -> None:
    shown, code = on_a_terminal(["route", "--explain", "wake me"], environment, columns=80)
    shown = without_style(shown)
    assert code == 0
    for word in ("exact", "static", "encoder", "nearest sentence", "threshold", "why not", "2 % against 97 %"):
        assert word in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_an_explanation_is_given_whole_to_programs(daemon: Any, run: Run) -> None:
    response = json_format.Parse(run("route", "--explain", "--json", "wake me").stdout, assistant.RouteResponse())
    assert response.explanation == daemon.explanation("wake me")
    assert response.decision.expert == "timers"
    assert "explanation" not in json.loads(run("route", "--json", "wake me").stdout)


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_explains_nothing_still_offers_its_alternatives(run: Run) -> None:
    lines = [" ".join(line.split()) for line in run("route", "--explain", "an older one").stdout.splitlines()]
    assert lines[-1] == "spam check 2 %"
    assert not any(line.startswith("threshold") for line in lines)


@pytest.mark.usefixtures("daemon")
def test_route_shows_every_part_and_what_it_points_back_to(run: Run) -> None:
    assert run("route", "two").stdout.splitlines() == [
        "1. set a timer: timers create 97.4 % (encoder)",
        '2. what is it ("it": from 1): titan (no expert fits; closest: timers 97.4 %)',
    ]
    explained = run("route", "--explain", "two").stdout
    assert "compound" in explained
    assert explained.count("encoder  yes") == 2
    decision = json_format.Parse(run("route", "--json", "two").stdout, assistant.Decision())
    assert decision.parts[1].HasField("antecedent")
    assert not decision.parts[0].HasField("antecedent")


@pytest.mark.usefixtures("daemon")
def test_route_says_which_language_sends_a_request_away(run: Run) -> None:
    told = "written in German; the experts here speak English"
    assert run("route", "wie spät ist es").stdout == f"titan ({told})\n"
    assert json.loads(run("route", "--json", "wie spät ist es").stdout)["language"] == "de"


@pytest.mark.usefixtures("daemon")
def test_every_part_is_answered_on_a_line_of_its_own(run: Run) -> None:
    assert run("ask", "two").stdout == 'Timer set.\n"what" was not answered: no key\n'
    answer = json.loads(run("ask", "--json", "two").stdout)
    assert [part["trace_id"] for part in answer["parts"]] == ["01JFIRST", "01JSECOND"]
    assert (answer["parts"][1]["outcome"], answer["parts"][1]["reason"]) == ("OUTCOME_FAILED", "TITAN_NO_KEY")


@pytest.mark.usefixtures("daemon")
def test_on_a_terminal_every_part_says_who_answered_it(on_a_terminal: OnATerminal, environment: dict[str, str]) -> None:
    shown, code = on_a_terminal(["ask", "two"], environment)
    assert code == 0
    assert without_style(shown).replace("\r", "").splitlines() == [
        "Timer set.",
        '"what" was not answered: no key',
        "1. timers 1 · encoder · 97.4 % · trace 01JFIRST",
        "2. titan · failed TITAN_NO_KEY · trace 01JSECOND",
    ]


def test_feedback_keeps_the_correction(daemon: Any, run: Run) -> None:
    assert run("feedback", "01J", "bad", "--correction", "spam").stdout == "noted: 01J was bad\n"
    assert daemon.verdicts["01J"].verdict == assistant.FeedbackRequest.VERDICT_BAD
    assert daemon.verdicts["01J"].correction == "spam"


# --- What may go wrong -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ask", "bad"], 1, "31 February"),
        (["rollback", "spam"], 1, "nothing to roll back to"),
        (["ask", "titan"], 4, "set OPENAI_API_KEY"),
        (["invoke", "sapm", "x"], 5, 'did you mean "spam"?'),
        (["models", "pull", "huge"], 5, "no model huge"),
    ],
)
def test_a_refusal_says_why_and_has_its_exit_code(run: Run, arguments: list[str], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stdout == ""
    as_json = run("--json", *arguments)
    assert as_json.exit_code == code
    assert words in json.loads(as_json.stderr)["message"]


@pytest.mark.parametrize("arguments", [["ask", "x"], ["ps"], ["events"], ["watch"], ["models", "pull", "small"]])
def test_a_daemon_that_is_down_exits_with_3_and_says_how_to_start_it(
    run: Run, folder: Path, arguments: list[str]
) -> None:
    result = run(*arguments)
    assert result.exit_code == 3
    assert str(folder / "s") in result.stderr
    assert "systemctl --user start expertd" in result.stderr
    (folder / "s").write_text("a plain file")
    result = run(*arguments)
    assert result.exit_code == 3
    assert "is not a socket" in result.stderr


@pytest.mark.usefixtures("daemon")
def test_a_daemon_that_hangs_is_given_up_after_the_timeout(run: Run) -> None:
    result = run("--timeout", "0.3", "ask", "hang")
    assert result.exit_code == 4
    assert "--timeout" in result.stderr


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_answer_that_takes_too_long_is_told_with_the_time_allowed(run: Run, options: tuple[str, ...]) -> None:
    result = run("--timeout", "1", *options, "ask", "slow")
    assert result.exit_code == 4
    assert "no answer within 1 s; allow more with --timeout" in result.stderr
    own = run("--timeout", "50", *options, "ask", "slow")
    assert "the daemon's own limit" in own.stderr


@pytest.mark.usefixtures("daemon")
def test_nothing_of_an_escape_sequence_reaches_the_terminal(
    on_a_terminal: OnATerminal, run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    for arguments in (["ask", "evil"], ["ask", "bad"], ["show", "spam"], ["traces"], ["events"]):
        result = run(*arguments)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.output), arguments
        assert "ZXZpbA" not in result.output
        written, _ = on_a_terminal(arguments, environment)
        assert "\x1b]" not in written, arguments
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1a\x7f-\x9f\u202e]", written), arguments


@given(st.text(), st.text(alphabet="\x1b[]()0;1m\x07\\P\x9b\x9dAh \n\t", max_size=30))
def test_plain_text_holds_no_control_character_and_stays_as_it_is(text: str, noise: str) -> None:
    for given_text in (text, noise, text + noise + text):
        cleaned = plain(given_text)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", cleaned)
        assert plain(cleaned) == cleaned


def test_ordinary_text_of_any_script_is_left_alone() -> None:
    text = "naïve Ω 日本語 עברית العربية 👩‍👩‍👧 1 < 2 [bold]x[/bold]\n\ttab"
    assert plain(text) == text
