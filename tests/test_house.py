"""The house keeps its order: arrows between rooms, packages, links, imports, and what is in no file."""

import os
import pickle
import pickletools
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {
    "client": "client",
    "daemon": "daemon",
    "distill": "distill",
    "experts": "experts",
    "router": "router",
    "v1": "proto/expertd/v1",
}
# Written by tools, for this machine alone.
NOT_OURS = {"build", "dist", "__pycache__"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def entries() -> Iterator[Path]:
    """Everything in the project, folders and links too, but for environments, caches and builds."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in NOT_OURS
            and not name.endswith((".egg-info", "_cache"))
            and (not name.startswith(".") or name in {".ci", ".types"})
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        ]
        yield from (Path(folder) / name for name in (*names, *folders))


def files() -> Iterator[Path]:
    return (path for path in entries() if path.is_file() and not path.is_symlink())


def fresh(program: str, *options: str) -> str:
    """What a program says in a process of its own."""
    done = subprocess.run(
        [sys.executable, *options, "-c", program], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- Rooms and arrows ------------------------------------------------------------------------------------------------


def test_the_arrows_between_the_rooms_hold() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_installed(project: dict[str, Any]) -> None:
    found = {
        ".".join(["expertd", room, *init.parent.relative_to(ROOT / folder).parts])
        for room, folder in ROOMS.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    setuptools = project["tool"]["setuptools"]
    assert sorted(setuptools["packages"]) == sorted(found)
    assert setuptools["package-dir"] == {f"expertd.{room}": folder for room, folder in ROOMS.items()}


def test_every_module_lies_in_a_package() -> None:
    astray = [
        path
        for folder in ROOMS.values()
        for path in (ROOT / folder).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    ]
    assert astray == []


def test_no_room_is_in_another_ones_place() -> None:
    """`expertd` is a namespace, and `proto` a folder: an __init__.py there would hide the rooms."""
    assert not (ROOT / "proto" / "__init__.py").exists()
    assert not (ROOT / "proto" / "expertd" / "__init__.py").exists()


def test_type_checkers_find_the_rooms() -> None:
    links = {link.name: os.readlink(link) for link in (ROOT / ".types" / "expertd").iterdir()}
    assert links == {room: f"../../{folder}" for room, folder in ROOMS.items()}
    assert all((ROOT / ".types" / "expertd" / room).is_dir() for room in ROOMS)


def test_the_arrows_are_held_for_every_room(project: dict[str, Any]) -> None:
    assert sorted(project["tool"]["importlinter"]["root_packages"]) == sorted(f"expertd.{room}" for room in ROOMS)


# --- What a process carries ------------------------------------------------------------------------------------------

HEAVY = ("torch", "transformers", "sentence_transformers", "sklearn", "scipy", "pandas", "llama_cpp", "openai", "httpx")


def test_the_daemon_carries_nothing_heavy() -> None:
    if not (ROOT / "daemon" / "main.py").exists():
        pytest.skip("the daemon's main module is not there")
    loaded = fresh("import sys, expertd.daemon.main; print(*sorted(sys.modules))").split()
    assert "onnxruntime" in loaded or "grpc" in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize("room", ["router", "experts", "client"])
def test_importing_a_room_does_nothing_heavy(room: str) -> None:
    loaded = fresh(f"import sys, expertd.{room}; print(*sorted(sys.modules))").split()
    assert [name for name in (*HEAVY, "onnxruntime") if name in loaded] == []


def test_onnxruntime_is_never_imported_before_its_telemetry_is_off() -> None:
    """From version 1.32 on its import alone writes a device's identity into the user's cache and starts a thread."""
    importers = [path for room in ROOMS.values() for path in (ROOT / room).rglob("*.py") if _imports_at_run_time(path)]
    assert importers
    assert [path for path in importers if "ORT_DISABLE_TELEMETRY" not in path.read_text(encoding="utf-8")] == []


def _imports_at_run_time(path: Path) -> bool:
    return re.search(r"^\s*(import|from) onnxruntime\b", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


# Lets through the standard library, the client and the two packages that it is promised to need.
ONLY_THE_WIRE = """
import importlib.machinery, sys

class Blocker:
    allowed = {"expertd", "grpc", "google", "typing_extensions"}

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in self.allowed or top.startswith("__editable__"):
            if name.startswith("google.") and not name.startswith(("google.protobuf", "google._upb")):
                raise ModuleNotFoundError(f"not of protobuf: {name}", name=name)
            if name.startswith("expertd.") and not name.startswith(("expertd.client", "expertd.v1")):
                raise ModuleNotFoundError(f"another room: {name}", name=name)
            return None
        raise ModuleNotFoundError(f"not promised: {name}", name=name)

sys.meta_path.insert(0, Blocker())
import expertd.client
print(*sorted(vars(expertd.client)))
"""


def test_an_app_needs_grpc_and_protobuf_alone(project: dict[str, Any]) -> None:
    assert "Client" in fresh(ONLY_THE_WIRE).split()
    needed = {requirement.split(">")[0].split("=")[0] for requirement in project["project"]["dependencies"]}
    assert needed == {"grpcio", "protobuf"}


def test_the_version_is_said_once(project: dict[str, Any]) -> None:
    assert fresh("from importlib.metadata import version; print(version('expertd'))") == project["project"]["version"]


# --- What is in no file ----------------------------------------------------------------------------------------------


def is_pickled(path: Path) -> bool:
    """Whether reading this file may run code: a pickle, whatever it is called, or an archive with one inside."""
    if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill"}:
        return True
    if zipfile.is_zipfile(path):
        return any(name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist())
    data = path.read_bytes()
    if data[:1] != b"\x80":
        return False
    try:
        return any(operation.name == "STOP" for operation, _, _ in pickletools.genops(data))
    except ValueError:
        return False


def test_nothing_in_the_house_is_pickled() -> None:
    assert [path for path in files() if is_pickled(path)] == []


def test_a_pickle_is_known_by_its_content(tmp_path: Path) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "weights.safetensors").write_bytes(pickle.dumps({"weights": [1.0]}, protocol))
        assert is_pickled(tmp_path / "weights.safetensors")
    # The length of a header of 640 bytes begins as a pickle does.
    (tmp_path / "weights.safetensors").write_bytes((640).to_bytes(8, "little") + b"{" + b" " * 639)
    assert not is_pickled(tmp_path / "weights.safetensors")


def test_nothing_in_the_house_names_the_machine_it_was_built_on() -> None:
    # Put together here, so that this file passes too.
    marks = [mark.encode() for mark in ("/" + "work/", "/" + "tmp/h/")]
    assert [str(path.relative_to(ROOT)) for path in files() if any(mark in path.read_bytes() for mark in marks)] == []


def test_links_lead_nowhere_outside() -> None:
    assert [path for path in entries() if not path.resolve().is_relative_to(ROOT)] == []


def test_no_file_is_for_its_author_alone() -> None:
    """An installation keeps its files' modes, and the service that reads them runs as somebody else."""
    readable = (ROOT / "pyproject.toml").stat().st_mode & 0o444
    assert [path for path in files() if path.stat().st_mode & readable != readable] == []
