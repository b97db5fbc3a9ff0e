"""Bad input and bad luck, against the real daemon: a clear status, the way out, and everybody else goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from expertd.client import Client, ExpertdError
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc


@pytest.fixture
def stub(daemon: Any) -> Any:
    with grpc.insecure_channel(f"unix:{daemon.socket}", options=[("grpc.max_send_message_length", -1)]) as channel:
        yield assistant_pb2_grpc.AssistantStub(channel)


ROOT = Path(__file__).resolve().parent.parent
SPAM_2 = ROOT / "bundles" / "spam-2"


def refusal(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """code, message, reason."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    raw = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    reason = ""
    if raw is not None:
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(raw).details:
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
                assert info.domain == "expertd"
                reason = info.reason
    return error.code(), error.details(), reason


def ask(stub: Any, text: str = "", **fields: Any) -> Any:
    return lambda: stub.Ask(pb.AskRequest(input=pb.Input(text=text, **fields)), timeout=30)


def test_an_unknown_expert_is_not_found_and_the_nearest_is_offered(stub: Any) -> None:
    code, message, reason = refusal(lambda: stub.Invoke(pb.InvokeRequest(expert="timer", input=pb.Input(text="x"))))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_EXPERT")
    assert "did you mean 'timers'" in message


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_text_is_refused(stub: Any, text: str) -> None:
    code, _, reason = refusal(ask(stub, text))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_TEXT")


def test_a_text_of_a_megabyte_is_refused_with_the_way_out(stub: Any) -> None:
    code, message, reason = refusal(ask(stub, "word " * 200_000))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TEXT_TOO_LONG")
    assert "document" in message


def test_a_nul_is_refused(stub: Any) -> None:
    code, _, reason = refusal(ask(stub, "what time\0is it"))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "NUL_IN_TEXT")


def test_invalid_utf8_is_the_callers_fault_and_said_so(daemon: Any) -> None:
    """No client library sends it, so the bytes are written by hand: field 1 (input) holding field 1 (text)."""
    text = b"\xff\xfewhat time is it"
    inner = b"\x0a" + bytes([len(text)]) + text
    message = b"\x0a" + bytes([len(inner)]) + inner
    with grpc.insecure_channel(f"unix:{daemon.socket}") as channel:
        call = channel.unary_unary("/expertd.v1.Assistant/Ask")
        code, details, reason = refusal(lambda: call(message, timeout=10))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNDECODABLE")
    assert "UTF-8" in details


def test_an_unknown_time_zone_is_refused(stub: Any) -> None:
    request = pb.AskRequest(input=pb.Input(text="what time is it"), context=pb.Context(time_zone="Mars/Olympus"))
    code, message, reason = refusal(lambda: stub.Ask(request))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_TIME_ZONE")
    assert "Europe/Berlin" in message


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "SERIES_EMPTY"),
        ([1.0], "SERIES_TOO_SHORT"),
        ([1.0, float("inf"), 2.0, 3.0], "SERIES_NOT_FINITE"),
        ([1.0] * 1_000_001, "SERIES_TOO_LONG"),
    ],
)
def test_a_series_that_cannot_be_forecast_is_refused(stub: Any, values: list[float], reason: str) -> None:
    series = pb.Series(values=values)
    code, _, told = refusal(ask(stub, "forecast the next 12 steps", series=series))
    assert (code, told) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def test_a_series_with_gaps_is_forecast(stub: Any) -> None:
    values = [float(hour % 24) for hour in range(240)]
    values[30] = values[31] = float("nan")
    answer = ask(stub, "forecast the next 24 steps", series=pb.Series(values=values))().answer
    assert len(answer.forecast.quantiles[0].values) == 24


def test_ten_million_points_are_refused_by_size_and_the_daemon_lives(stub: Any) -> None:
    code, message, _ = refusal(ask(stub, "forecast this", series=pb.Series(values=[0.0] * 10_000_000)))
    assert code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT}
    assert "16777216" in message or "1,000,000" in message
    assert stub.Ask(pb.AskRequest(input=pb.Input(text="what is 2 plus 2"))).answer.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("remind me to call Ana yesterday at 5pm", "TIME_IN_PAST"),
        ("wake me on 31 February at 7", "NO_SUCH_DATE"),
    ],
)
def test_a_time_that_cannot_be_is_refused_with_the_reason(stub: Any, text: str, reason: str) -> None:
    code, message, told = refusal(ask(stub, text))
    assert (code, told) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert message


def test_a_time_that_daylight_saving_skips_is_moved_and_said_so(stub: Any) -> None:
    # On 2027-03-28 clocks in Berlin go from 02:00 to 03:00.
    request = pb.AskRequest(
        input=pb.Input(text="wake me on 28 March 2027 at 2:30"), context=pb.Context(time_zone="Europe/Berlin")
    )
    answer = stub.Ask(request).answer
    assert "T03:30" in answer.action.slots["due"]
    assert "2:30" in answer.text
    assert "03:30" in answer.text
    stub.Ask(pb.AskRequest(input=pb.Input(text="cancel all my alarms")))


def test_a_deadline_reaches_the_expert(stub: Any) -> None:
    series = pb.Series(values=[float(n % 97) for n in range(200_000)])
    request = pb.InvokeRequest(expert="forecast", input=pb.Input(text="forecast 9000 steps", series=series))
    code, _, _ = refusal(lambda: stub.Invoke(request, timeout=0.02))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_client_that_hangs_up_harms_nobody(daemon: Any, stub: Any) -> None:
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(daemon.socket))
            raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage")
    assert stub.Ask(pb.AskRequest(input=pb.Input(text="what is 2 plus 2"))).answer.text


def test_only_the_owner_may_reach_the_socket(daemon: Any) -> None:
    assert daemon.socket.stat().st_mode & 0o777 == 0o600
    assert daemon.socket.parent.stat().st_mode & 0o077 == 0


def test_a_second_daemon_on_the_socket_refuses_and_names_the_first(daemon: Any) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "expertd.daemon.main", "--config", str(daemon.config)],
        env=daemon.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 75
    assert str(daemon.process.pid) in second.stderr
    assert str(daemon.socket) in second.stderr


def test_a_stale_socket_is_taken_over(start_daemon: Any) -> None:
    daemon = start_daemon()
    daemon.stop(signal.SIGKILL)
    assert daemon.socket.exists(), "a killed daemon leaves its socket behind"
    daemon.start()
    assert daemon.expertctl("ask", "what is 2 plus 2").stdout


def test_an_unknown_key_in_the_configuration_is_refused_with_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "expertd.toml"
    config.write_text("[titan]\nbase_ulr = 'http://localhost'\n")
    done = subprocess.run(
        [sys.executable, "-m", "expertd.daemon.main", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert "base_ulr" in done.stderr
    assert "base_url" in done.stderr


def test_torch_is_not_in_the_daemons_process(daemon: Any) -> None:
    """Neither imported nor mapped, after every in-process expert has answered."""
    with Client(daemon.socket) as client:
        client.ask("is this spam: you won a prize, call now")
        client.ask("what is 2 plus 2")
    mapped = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    assert "libtorch" not in mapped
    assert "llama" not in mapped


def test_sigterm_lets_requests_in_flight_finish(start_daemon: Any) -> None:
    daemon = start_daemon()
    values = [float(n % 97) for n in range(300_000)]
    answers: list[Any] = []

    def call() -> None:
        with grpc.insecure_channel(f"unix:{daemon.socket}") as channel:
            stub = assistant_pb2_grpc.AssistantStub(channel)
            request = pb.InvokeRequest(
                expert="forecast", input=pb.Input(text="forecast 500 steps", series=pb.Series(values=values))
            )
            try:
                answers.append(stub.Invoke(request, timeout=30))
            except grpc.RpcError as error:
                answers.append(error)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    time.sleep(0.15)
    assert daemon.stop() == 0
    for caller in callers:
        caller.join()
    assert [type(answer).__name__ for answer in answers] == ["InvokeResponse"] * 3
    assert not daemon.socket.exists()


def test_a_full_disk_while_installing_leaves_the_old_version_serving(start_daemon: Any) -> None:
    daemon = start_daemon(disk_mb=48)
    disk = Path(f"/proc/{daemon.process.pid}/root{daemon.state}")
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        file.truncate(0)
        os.posix_fallocate(file.fileno(), 0, free - 64 * 1024)
    done = daemon.expertctl("install", str(SPAM_2), check=False)
    assert done.returncode == 1
    assert "free" in done.stderr, "it says how much room there is"
    answer = daemon.expertctl("ask", "is this spam: see you at lunch").stdout
    assert answer
    assert list((disk / "incoming").iterdir()) == []
    ballast.unlink()
    daemon.expertctl("install", str(SPAM_2))
    assert '"serving_version": "2"' in daemon.expertctl("show", "spam", "--json").stdout


def test_what_the_disk_damaged_comes_back_from_what_was_shipped(start_daemon: Any) -> None:
    daemon = start_daemon()
    daemon.stop()
    (daemon.state / "store" / "clock" / "1" / "golden.jsonl").unlink()
    with (daemon.state / "store" / "calculator" / "1" / "intents.jsonl").open("a") as file:
        file.write("garbage")
    (daemon.state / "removed.txt").write_bytes(b"\xff\xfe\x00")
    for path in (daemon.state / "cache").iterdir():
        path.write_bytes(b"garbage")
    daemon.start()
    assert daemon.expertctl("ask", "what is 2 plus 2").stdout.strip().startswith("2")
    assert daemon.expertctl("ask", "what time is it in Tokyo").stdout
    assert sorted(path.name.split("-")[0] for path in (daemon.state / "quarantine").iterdir()) == [
        "calculator",
        "clock",
    ]


def test_a_removed_expert_stays_away_until_it_is_installed_again(start_daemon: Any) -> None:
    daemon = start_daemon()
    daemon.expertctl("remove", "clock")
    daemon.stop()
    daemon.start()
    assert daemon.expertctl("show", "clock", check=False).returncode == 5
    daemon.expertctl("install", str(ROOT / "experts" / "bundles" / "clock"))
    assert daemon.expertctl("show", "clock").stdout


def test_what_is_written_is_for_its_owner_alone(daemon: Any) -> None:
    daemon.expertctl("ask", "what is 2 plus 2")
    open_to_others = [
        path.name for path in daemon.state.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_a_listener_does_not_hold_up_the_end(start_daemon: Any) -> None:
    daemon = start_daemon("[shutdown]\ngrace_s = 600\n")
    listening = threading.Event()

    def listen() -> None:
        with Client(daemon.socket) as client:
            try:
                for _ in client.events():
                    listening.set()
            except ExpertdError:
                pass

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert listening.wait(10)
    assert daemon.stop(timeout_s=60) == 0
    listener.join(10)
    assert not listener.is_alive()
