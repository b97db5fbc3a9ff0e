"""The units: in order, clean, tight, and in step with the program that they start."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from expertd.daemon import config
from expertd.daemon.config import ShutdownConfig, default_socket

FOLDER = Path(__file__).parent.parent / "systemd"
UNITS = sorted(FOLDER.glob("*/*.service"))
SERVICES = [unit for unit in UNITS if "@" not in unit.name]
SCOPES = ("system", "user")
# What systemd-analyze says of each: 0 is locked away, 10 wide open. A user's services count as root's there, and have
# no bound on IP addresses, which user managers cannot set.
MOST_EXPOSURE = {
    "system/expertd": 0.3,
    "system/expertd-companion": 1.2,
    "user/expertd": 1.1,
    "user/expertd-companion": 1.8,
}


def directives(unit: Path) -> Iterator[tuple[str, str, str]]:
    """(section, key, value) of each line that is neither empty nor a comment."""
    section = ""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield section, key, value


def service(unit: Path) -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for section, key, value in directives(unit):
        if section == "Service":
            settings.setdefault(key, []).append(value)
    return settings


def label(unit: Path) -> str:
    return f"{unit.parent.name}/{unit.stem}"


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with a program that is on every machine, since verifying looks for it."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = re.sub(r"^(ExecStart=)\S*/bin/python", rf"\1{sys.executable}", unit.read_text(), flags=re.MULTILINE)
        (folder / unit.parent.name).mkdir(exist_ok=True)
        (folder / unit.parent.name / unit.name).write_text(text)
    return folder


def analyze(*arguments: str | Path, runtime: Path) -> "subprocess.CompletedProcess[str]":
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    environ = os.environ | {"XDG_RUNTIME_DIR": str(runtime), "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("unit", UNITS, ids=label)
def test_directives_stand_in_alphabetical_order(unit: Path) -> None:
    keys = [(section, key.lower()) for section, key, _ in directives(unit)]
    by_section = {name: [key for section, key in keys if section == name] for name, _ in keys}
    assert by_section == {name: sorted(names) for name, names in by_section.items()}


@pytest.mark.parametrize("scope", SCOPES)
def test_systemd_finds_no_fault_with_the_units(copies: Path, tmp_path: Path, scope: str) -> None:
    files = sorted((copies / scope).glob("*.service"))
    done = analyze(f"--{scope}", "verify", "--man=no", *files, runtime=tmp_path)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("unit", SERVICES, ids=label)
def test_the_units_give_away_little(
    copies: Path, tmp_path: Path, unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = analyze("security", "--offline=true", copies / unit.parent.name / unit.name, runtime=tmp_path)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout
    with capsys.disabled():
        print(f"\nexposure of {label(unit)}: {found[1]} (at most {MOST_EXPOSURE[label(unit)]})")
    assert float(found[1]) <= MOST_EXPOSURE[label(unit)]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_daemon_has_no_network_and_its_companion_has(scope: str) -> None:
    daemon = service(FOLDER / scope / "expertd.service")
    companion = service(FOLDER / scope / "expertd-companion.service")
    assert daemon["PrivateNetwork"] == ["yes"]
    assert daemon["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert "PrivateNetwork" not in companion
    assert companion["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_daemon_is_told_where_its_companion_listens(scope: str, tmp_path: Path) -> None:
    [command] = service(FOLDER / scope / "expertd-companion.service")["ExecStart"]
    socket = command.split(" --socket ")[1]
    environment = dict(item.split("=", 1) for item in service(FOLDER / scope / "expertd.service")["Environment"])
    assert environment["EXPERTD_COMPANION_SOCKET"] == socket
    file = tmp_path / "expertd.toml"
    file.touch()
    environ = {"HOME": str(tmp_path)} | {key: value.replace("%t", "/run") for key, value in environment.items()}
    assert config.load(file, environ).titan.socket == Path("/run/expertd-companion/companion.sock")


@pytest.mark.parametrize("unit", SERVICES, ids=label)
def test_the_units_start_modules_that_exist(unit: Path) -> None:
    [command] = service(unit)["ExecStart"]
    module = command.split(" -m ")[1].split()[0]
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("scope", SCOPES)
def test_the_daemons_unit_knows_how_it_ends(scope: str) -> None:
    main = pytest.importorskip("expertd.daemon.main")
    settings = service(FOLDER / scope / "expertd.service")
    not_again = {int(status) for status in settings["RestartPreventExitStatus"][0].split()}
    assert not_again == {main.EXIT_ALREADY_RUNNING, main.EXIT_CONFIG}
    assert int(settings["TimeoutStopSec"][0].removesuffix("s")) > ShutdownConfig().grace_s
    assert settings["Type"] == ["notify"]
    assert "WatchdogSec" in settings
    # Workers are ended by the daemon, after its requests; and one that ran out of memory must not take it along.
    assert settings["KillMode"] == ["mixed"]
    assert settings["OOMPolicy"] == ["continue"]


def test_apps_look_where_the_services_listen() -> None:
    wire = pytest.importorskip("expertd.client.wire")
    [folder] = service(FOLDER / "system" / "expertd.service")["RuntimeDirectory"]
    assert default_socket({"RUNTIME_DIRECTORY": f"/run/{folder}"}) == wire.SYSTEM_SOCKET
    [folder] = service(FOLDER / "user" / "expertd.service")["RuntimeDirectory"]
    runtime = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert default_socket(runtime) == default_socket(runtime | {"RUNTIME_DIRECTORY": f"/run/user/7/{folder}"})


# PR_SET_MDWE, the kernel's own form of MemoryDenyWriteExecute=.
LOCKED_MEMORY = """
import ctypes, mmap, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    sys.exit("memory is not locked")
except PermissionError:
    pass
import numpy as np, onnxruntime
from onnx import TensorProto, helper
product = helper.make_node("MatMul", ["x", "x"], ["y"])
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 8]) for name in "xy")
model = helper.make_model(
    helper.make_graph([product], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
)
session = onnxruntime.InferenceSession(model.SerializeToString())
assert session.run(None, {"x": np.ones((8, 8), np.float32)})[0][0, 0] == 8
import llama_cpp
llama_cpp.llama_backend_init()
import asyncio, grpc, tokenizers
async def serve():
    server = grpc.aio.server()
    server.add_insecure_port("unix:" + sys.argv[1])
    await server.start()
    await server.stop(0)
asyncio.run(serve())
"""


def test_the_libraries_run_where_memory_is_never_writable_and_executable(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOCKED_MEMORY, str(tmp_path / "s")], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this kernel cannot lock memory by prctl (Linux 6.3)")
    assert done.returncode == 0, done.stderr


def test_account_and_folders_are_made_as_the_service_needs_them(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None or shutil.which("systemd-tmpfiles") is None:
        pytest.skip("systemd is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root makes accounts and gives folders away")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    subprocess.run(["systemd-sysusers", f"--root={root}", str(FOLDER / "sysusers.d" / "expertd.conf")], check=True)
    subprocess.run(
        ["systemd-tmpfiles", f"--root={root}", "--create", str(FOLDER / "tmpfiles.d" / "expertd.conf")], check=True
    )
    name, _, uid, _, _, home, _ = (root / "etc" / "passwd").read_text().strip().split(":")
    assert (name, home) == ("expertd", "/var/lib/expertd")
    state, settings = (root / "var/lib/expertd").stat(), (root / "etc/expertd").stat()
    assert (state.st_uid, state.st_mode & 0o777) == (int(uid), 0o700)
    assert (settings.st_uid, settings.st_mode & 0o777) == (0, 0o750)
