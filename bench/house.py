"""A daemon of the bench's own: fresh folders, the user's prepared trunk, no titan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from expertd.router.encoder import is_prepared
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

from .report import trunk_folder


@dataclass
class House:
    """Where one daemon keeps its things, and its process while it runs."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "expertd.sock"

    def start(self) -> float:
        """Starts the daemon; returns the moment just before, by time.perf_counter."""
        with (self.folder / "daemon.log").open("ab") as log:
            began = time.perf_counter()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "expertd.daemon.main", "--config", str(self.folder / "expertd.toml")],
                stdout=log,
                stderr=log,
                # As an installed daemon runs: Python keeps what it compiled.
                env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
            )
        return began

    def first_answer(self, text: str, *, timeout_s: float = 120.0) -> float:
        """Asks until the first answer is there; returns that moment."""
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise SystemExit(f"the daemon ended:\n{(self.folder / 'daemon.log').read_text()}")
            if self.socket.exists():
                with suppress(grpc.RpcError), grpc.insecure_channel(f"unix:{self.socket}") as channel:
                    stub = assistant_pb2_grpc.AssistantStub(channel)
                    stub.Ask(pb.AskRequest(input=pb.Input(text=text)), timeout=10)
                    return time.perf_counter()
            time.sleep(0.002)
        raise SystemExit("the daemon did not answer in time")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


@contextmanager
def house(settings: str = "") -> Iterator[House]:
    """A house that is not started yet; its trunk is made first if nobody made it before."""
    state = trunk_folder()
    if not is_prepared(state):
        subprocess.run([sys.executable, "-m", "expertd.distill.trunk", "--out", str(state)], check=True)
    with tempfile.TemporaryDirectory(prefix="expertd-bench-") as name:
        folder = Path(name)
        for part in ("state", "run"):
            (folder / part).mkdir(mode=0o700)
        (folder / "state" / "trunk").symlink_to(state)
        (folder / "expertd.toml").write_text(
            f'state_dir = "{folder / "state"}"\nsocket = "{folder / "run" / "expertd.sock"}"\n{settings}'
        )
        built = House(folder)
        try:
            yield built
        finally:
            built.stop()
