"""expertctl in processes of its own, on a terminal, on a pipe; what numbers and plots look like."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from expertd.client.plot import plot
from expertd.client.render import number, percent, size, span
from expertd.v1 import assistant_pb2 as assistant

Run = Callable[..., Result]
OnATerminal = Callable[..., tuple[str, int]]
Interrupt = Callable[..., tuple[int, str]]
Call = Callable[..., subprocess.CompletedProcess[str]]


def without_style(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# --- Processes and terminals -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("daemon")
def test_a_process_of_its_own_has_the_exit_codes(call: Call, environment: dict[str, str], folder: Path) -> None:
    assert call(["ask", "hello"], environment).stdout == "hello\n"
    assert call(["ask"], environment).returncode == 2
    undecodable = call(["ask", b"wake me \xff"], environment)
    assert (undecodable.returncode, undecodable.stdout) == (2, "")
    assert "not valid UTF-8 at character 8" in undecodable.stderr
    assert call(["ask", "titan"], environment).returncode == 4
    assert call(["show", "nobody"], environment).returncode == 5
    down = call(["ask", "hello"], environment | {"EXPERTD_SOCKET": str(folder / "nobody")})
    assert down.returncode == 3
    assert "Traceback" not in down.stderr
    assert call(["--version"], environment).stdout.startswith("expertctl, version ")
    assert "130  interrupted" in call(["--help"], environment).stdout


@pytest.mark.usefixtures("daemon")
def test_an_answer_on_a_terminal_ends_with_who_and_how(on_a_terminal: OnATerminal, environment: dict[str, str]) -> None:
    written, code = on_a_terminal(["ask", "wake me"], environment)
    assert code == 0
    assert written.startswith("wake me\r\n")
    assert "timers 1 · encoder · 97.4 % · 2.1 ms · trace 01JTRACE" in without_style(written)
    assert "\x1b[2m" in written
    for quiet in (environment | {"NO_COLOR": "1"}, environment | {"TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(["ask", "wake me"], quiet)[0]
    assert "\x1b" not in on_a_terminal(["--no-color", "ask", "wake me"], environment)[0]


@pytest.mark.usefixtures("daemon")
def test_a_label_on_a_terminal_has_a_bar(on_a_terminal: OnATerminal, environment: dict[str, str]) -> None:
    written = without_style(on_a_terminal(["ask", "spam?"], environment)[0])
    assert "spam  ██████████████████████░░  93 %" in written
    ascii_only = environment | {"PYTHONIOENCODING": "ascii"}
    assert "spam  ######################--  93 %" in without_style(on_a_terminal(["ask", "spam?"], ascii_only)[0])


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("columns", [60, 200])
def test_a_forecast_on_a_terminal_is_a_plot_of_its_width(
    on_a_terminal: OnATerminal, environment: dict[str, str], load: Path, columns: int
) -> None:
    arguments = ["ask", "forecast", "--series", str(load)]
    written = without_style(on_a_terminal(arguments, environment, columns)[0])
    drawn = [line for line in written.split("\r\n") if "│" in line]
    assert len(drawn) == 10
    assert max(map(len, drawn)) <= columns
    assert any("░" in line for line in drawn)
    assert any(re.search("[\u2801-\u28ff]", line) for line in drawn)
    assert "2026-03-02 09:00" in written
    plain_ascii = environment | {"PYTHONIOENCODING": "ascii"}
    written = without_style(on_a_terminal(arguments, plain_ascii, columns)[0])
    assert any("*" in line and ":" in line for line in written.split("\r\n"))


@pytest.mark.usefixtures("daemon")
def test_wide_characters_are_printed_whole_and_columns_stay_in_line(call: Call, environment: dict[str, str]) -> None:
    assert call(["ask", "wide"], environment).stdout == "日本語のテキスト 🎉\n"
    ascii_only = call(["ask", "wide"], environment | {"PYTHONIOENCODING": "ascii"})
    assert (ascii_only.returncode, ascii_only.stdout) == (0, "???????? ?\n")


def test_tables_fit_a_terminal_and_count_wide_characters(
    on_a_terminal: OnATerminal, call: Call, daemon: Any, environment: dict[str, str]
) -> None:
    daemon.experts["spam"].kind = "日本"
    lines = call(["ps"], environment).stdout.splitlines()
    column = lines[0].index("available")
    assert lines[1].index("ready") == column - 2  # two characters of two cells each
    assert lines[3].index("ready") == column
    written = without_style(on_a_terminal(["ps"], environment, 70)[0])
    assert max(len(line.rstrip()) for line in written.split("\r\n")) <= 70


@pytest.mark.usefixtures("daemon")
def test_a_card_is_rendered_and_its_links_are_spelled_out(
    on_a_terminal: OnATerminal, environment: dict[str, str]
) -> None:
    written, _ = on_a_terminal(["show", "spam"], environment)
    assert "https://example.org/card" in written
    assert "\x1b]8" not in written
    assert "**" not in written


@pytest.mark.usefixtures("daemon")
def test_an_interrupt_ends_an_answer_with_130(interrupt_after: Interrupt, environment: dict[str, str]) -> None:
    code, written = interrupt_after(["ask", "hang"], b"it begins", environment)
    assert code == 130
    assert written == "it begins\ninterrupted\n"


@pytest.mark.usefixtures("daemon")
def test_a_reader_that_leaves_early_causes_no_traceback(environment: dict[str, str]) -> None:
    shell = "expertctl traces --json | head -c 1; expertctl events | head -n 1"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("expertctl ps > /dev/full", "expertctl: standard output: No space left on device\n"),
        ("expertctl --help > /dev/full", "expertctl: standard output: No space left on device\n"),
        ("expertctl ask hello >&-", "expertctl: standard output is closed; give it one, /dev/null for none\n"),
        ("expertctl ask hello --series - > /dev/null <&-", "standard input is closed; give a file\n"),
    ],
)
def test_an_output_that_takes_nothing_is_told_in_one_line(environment: dict[str, str], shell: str, words: str) -> None:
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.returncode == (2 if "<&-" in shell else 1)
    assert done.stderr.endswith(words)
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("daemon")
def test_bash_completes_commands_options_and_experts(environment: dict[str, str]) -> None:
    lines = ["expertctl pro", "expertctl ask --ser", "expertctl show s", "expertctl models pull sm"]
    lines += ["expertctl poli", "expertctl policy s", "expertctl policy --sh", "expertctl watch s"]
    script = "source <(expertctl completion bash)\n" + "".join(
        f"COMP_WORDS=({line}); COMP_CWORD={line.count(' ')}; _expertctl_completion expertctl; "
        'echo "${COMPREPLY[@]}"; COMPREPLY=()\n'
        for line in lines
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert done.stdout.splitlines() == [
        *("promote", "--series", "spam", "small"),
        *("policy", "spam", "--shadow", "spam"),
    ]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_scripts(run: Run, shell: str) -> None:
    script = run("completion", shell).stdout
    assert f"_EXPERTCTL_COMPLETE={shell}_complete" in script


def test_completion_gives_nothing_while_the_daemon_is_down(
    call: Call, environment: dict[str, str], folder: Path
) -> None:
    asked = environment | {"_EXPERTCTL_COMPLETE": "bash_complete", "COMP_WORDS": "expertctl show s", "COMP_CWORD": "2"}
    done = call([], asked | {"EXPERTD_SOCKET": str(folder / "nobody")})
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_without_its_extra_expertctl_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None; from expertd.client.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, 'expertctl needs: pip install "expertd[cli]"\n')


@pytest.mark.usefixtures("daemon")
def test_ask_imports_neither_rich_nor_what_the_daemon_needs(folder: Path) -> None:
    code = (
        "import sys; from expertd.client.cli import command_line; "
        f"command_line()(['--socket', '{folder / 's'}', 'ask', 'x'], standalone_mode=False); "
        "heavy = {'rich.table', 'rich.markdown', 'rich.console', 'numpy', 'msgspec'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (size(0), ""),
        (size(999), "999 B"),
        (size(1500), "1.5 kB"),
        (size(999_999), "1.0 MB"),
        (size(986_000_000), "986 MB"),
        (percent(0.5), "50 %"),
        (percent(0.99999), "99.9 %"),
        (percent(1.0), "100 %"),
        (percent(0.00001), "<0.1 %"),
        (percent(0.0), "0 %"),
        (number(12345.6), "12,346"),
        (number(0.01234), "0.0123"),
        (span(assistant.Timings(total={"nanos": 85_000}).total), "85 µs"),
        (span(assistant.Timings(total={"nanos": 9_960_000}).total), "10.0 ms"),
        (span(assistant.Timings(total={"seconds": 7500}).total), "2 h 05 min"),
    ],
)
def test_units_are_short(found: str, expected: str) -> None:
    assert found == expected


finite = st.floats(min_value=-1e12, max_value=1e12)


@given(
    history=st.lists(st.one_of(finite, st.just(float("nan"))), max_size=80),
    ahead=st.lists(st.one_of(finite, st.just(float("nan"))), min_size=1, max_size=60),
    width=st.integers(min_value=1, max_value=200),
    unicode=st.booleans(),
)
def test_a_plot_of_any_numbers_keeps_its_width_and_height(
    history: list[float], ahead: list[float], width: int, unicode: bool
) -> None:
    forecast = assistant.Forecast(levels=[0.1, 0.5, 0.9])
    for spread in (-1, 0, 1):
        forecast.quantiles.append(assistant.Forecast.Quantile(values=[value + spread for value in ahead]))
    lines = ["".join(text for text, _ in line) for line in plot(history, forecast, width, unicode=unicode)]
    assert len(lines) in {0, 11}
    assert all(len(line) <= width for line in lines)
    if width >= 40 and any(value == value for value in [*history[-max(24, 2 * len(ahead)) :], *ahead]):
        assert lines
        assert {len(line) for line in lines[:-1]} == {width}


def test_a_plot_of_a_flat_line_and_of_a_broken_forecast() -> None:
    flat = assistant.Forecast(levels=[0.5], quantiles=[assistant.Forecast.Quantile(values=[5.0] * 10)])
    assert plot([5.0] * 20, flat, 80, unicode=True)
    assert plot([1.0, 2.0], assistant.Forecast(), 80, unicode=True) == []
    lying = assistant.Forecast(levels=[0.1, 0.9], quantiles=[assistant.Forecast.Quantile(values=[1.0])])
    assert plot([1.0, 2.0], lying, 80, unicode=True) == []


def test_several_invocations_share_one_process(run: Run, daemon: Any) -> None:
    """Each has its own connection and its own options: nothing is left from the one before."""
    json.loads(run("ps", "--json").stdout)
    assert run("ps").stdout.startswith("expert")
