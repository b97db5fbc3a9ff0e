"""MLServer and Ray Serve at the same thing: a small model is replaced under an open-loop load.

Each is installed from the package index into a folder of its own below build/ (never into the project's environment),
serves a few models of one numpy product each, as its documentation shows, and replaces one of them after the other
while callers go on. Its own HTTP front is called; times are compared within one server alone, loaded with and without
swaps in turns.

MLServer reloads a model when its settings changed and the repository's `load` is called. Ray Serve replaces the
replicas of a deployment when `serve.run` is called again with another version of it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
import numpy as np

from .callers import process
from .peers import installed, plain_environment

BLOCK_S = 12.0
BETWEEN_SWAPS_S = 0.2
START_TIMEOUT_S, CALL_TIMEOUT_S = 90.0, 10.0
DIMENSIONS = 384
NEAR_S = 0.25


# Model → the address of a question to it, and its body.
Requests = dict[str, tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Heard:
    model: str
    due: float
    seconds: float
    failure: str = ""


class Peer(Protocol):
    """A server that is installed, and what its swap is."""

    models: Sequence[str]
    # Calls, of all models together: what it answers with ease on two cores.
    per_second: float

    def request(self, model: str) -> tuple[str, dict[str, Any]]:
        """The address of a question to that model, and its body."""

    def swap(self, model: str, version: int) -> None:
        """Returns when the server says that the version serves. Raises: RuntimeError."""


def measure() -> tuple[dict[str, Any], list[str]]:
    """Figures of those that could be installed and run here; notes on both."""
    figures: dict[str, Any] = {}
    notes: list[str] = []
    for name, packages, start in (
        ("mlserver", ("mlserver", "uvloop<0.22"), mlserver),
        ("ray", ("ray[serve]",), ray_serve),
    ):
        try:
            python = installed(name, packages)
            with tempfile.TemporaryDirectory(prefix=f"peer-{name}-") as folder, start(python, Path(folder)) as peer:
                figures |= {f"{name}_{key}": value for key, value in _compare(peer).items()}
        except (OSError, RuntimeError, subprocess.SubprocessError, httpx2.HTTPError) as error:
            notes.append(f"{name}: not measured: {type(error).__name__}: {str(error)[-400:]}")
        else:
            notes.append(
                f"{name}: {len(peer.models)} models of a {DIMENSIONS} × 2 product, {peer.per_second:g} calls a second"
            )
    return figures, notes


# --- The load and its judgement --------------------------------------------------------------------------------------


def _compare(peer: Peer) -> dict[str, Any]:
    """A block to warm up, then quiet ones and such with swaps in turns; figures as `swap` has them."""
    blocks = ("", "quiet", "swaps", "quiet", "swaps")
    requests = {model: peer.request(model) for model in peer.models}
    swaps: list[tuple[str, float, float]] = []
    chance, version = random.Random(0), 1
    with process() as pool:
        begin = time.perf_counter() + 5
        heard_later = pool.submit(_callers, requests, peer.per_second, begin, len(blocks) * BLOCK_S)
        for number, kind in enumerate(blocks):
            start = begin + number * BLOCK_S
            time.sleep(max(start - time.perf_counter(), 0))
            # A swap that would not end within the block is not begun.
            longest_s = max((ended - began for _, began, ended in swaps), default=1.0)
            while kind == "swaps" and time.perf_counter() + longest_s < start + BLOCK_S:
                model, version, began = chance.choice(peer.models), version + 1, time.perf_counter()
                peer.swap(model, version)
                swaps.append((model, began, time.perf_counter()))
                time.sleep(BETWEEN_SWAPS_S)
        heard: list[Heard] = heard_later.result(len(blocks) * BLOCK_S + 60)
    if not swaps:
        raise RuntimeError("no swap ended within a block")
    return _judged(heard, swaps, begin, blocks)


def _judged(
    heard: Sequence[Heard], swaps: Sequence[tuple[str, float, float]], begin: float, blocks: Sequence[str]
) -> dict[str, Any]:
    answered = [call for call in heard if not call.failure]
    others: dict[str, list[float]] = {"": [], "quiet": [], "swaps": []}
    for call in answered:
        kind = blocks[min(int((call.due - begin) / BLOCK_S), len(blocks) - 1)]
        near = (began <= call.due + call.seconds and call.due <= ended + NEAR_S for m, began, ended in swaps
                if m == call.model)  # fmt: skip
        if kind != "swaps" or not any(near):
            others[kind].append(call.seconds)
    usual = float(np.median(others["quiet"]))
    stalls = []
    for model, began, ended in swaps:
        near_it = (c.seconds for c in answered if c.model == model and began - 0.05 <= c.due <= ended + NEAR_S)
        stalls.append(max(near_it, default=usual) - usual)
    quiet, busy = (np.percentile(others[kind], [99, 99.9]) for kind in ("quiet", "swaps"))
    return {
        "calls": len(heard),
        "swaps": len(swaps),
        "failed": len(heard) - len(answered),
        "p99_ms_quiet": round(float(quiet[0]) * 1e3, 2),
        "p99_ratio_others": round(float(busy[0] / quiet[0]), 2),
        "p999_ratio_others": round(float(busy[1] / quiet[1]), 2),
        "stall_ms_same": round(max(stalls) * 1e3, 1),
        "stall_ms_same_p50": round(float(np.median(stalls)) * 1e3, 1),
        "swap_p50_ms": round(float(np.median([ended - began for _, began, ended in swaps])) * 1e3, 1),
    }


def _callers(requests: Requests, per_second: float, begin: float, seconds: float) -> list[Heard]:
    gc.disable()
    return asyncio.run(_drive(requests, per_second, begin, seconds))


async def _drive(requests: Requests, per_second: float, begin: float, seconds: float) -> list[Heard]:
    chance = random.Random(0)
    models = list(requests)
    async with httpx2.AsyncClient(timeout=CALL_TIMEOUT_S) as client:

        async def make(model: str, due: float) -> Heard:
            address, body = requests[model]
            try:
                reply = await client.post(address, json=body)
                failure = "" if reply.status_code == 200 else f"{reply.status_code}: {reply.text[:100]}"
            except httpx2.HTTPError as error:
                failure = type(error).__name__
            return Heard(model, due, time.perf_counter() - due, failure)

        made = []
        for number in range(int(seconds * per_second)):
            due = begin + number / per_second
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            made.append(asyncio.create_task(make(chance.choice(models), due)))
        return await asyncio.gather(*made)


@contextmanager
def _running(command: Sequence[str], folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process with its input and output in our hands; what it complains of lies in folder/log."""
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            command,
            cwd=folder,
            env={**plain_environment(), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _row() -> list[float]:
    return [round(number, 6) for number in np.random.default_rng(0).standard_normal(DIMENSIONS).tolist()]


# --- MLServer --------------------------------------------------------------------------------------------------------

_MLSERVER_MODEL = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Linear(MLModel):
    async def load(self) -> bool:
        self._version = float(self._settings.parameters.extra["answer"])
        self._head = np.random.default_rng(0).standard_normal((384, 2)).astype(np.float32)
        return True

    async def predict(self, payload):
        row = NumpyCodec.decode_input(payload.inputs[0])
        scores = np.append(row @ self._head, [[self._version]], axis=1)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])
"""


class MlServer:
    models: Sequence[str] = tuple(f"linear-{number}" for number in range(8))
    per_second = 50.0

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.address = f"http://127.0.0.1:{port}/v2"

    def write(self, model: str, version: int) -> None:
        home = self._folder / model
        home.mkdir(exist_ok=True)
        (home / "peer_model.py").write_text(_MLSERVER_MODEL)
        settings = {"name": model, "implementation": "peer_model.Linear", "parameters": {"extra": {"answer": version}}}
        (home / "model-settings.json").write_text(json.dumps(settings))

    def request(self, model: str) -> tuple[str, dict[str, Any]]:
        given = {"name": "row", "shape": [1, DIMENSIONS], "datatype": "FP32", "data": _row()}
        return f"{self.address}/models/{model}/infer", {"inputs": [given]}

    def swap(self, model: str, version: int) -> None:
        self.write(model, version)
        reply = httpx2.post(f"{self.address}/repository/models/{model}/load", timeout=CALL_TIMEOUT_S)
        if reply.status_code != 200:
            raise RuntimeError(f"load: {reply.status_code}: {reply.text}")
        address, body = self.request(model)
        said = httpx2.post(address, json=body, timeout=CALL_TIMEOUT_S).json()["outputs"][0]["data"][-1]
        if said != version:
            raise RuntimeError(f"{model} still answers as version {said:g} after version {version} was loaded")


@contextmanager
def mlserver(python: Path, folder: Path) -> Iterator[MlServer]:
    ports = {name: _free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", **ports}))
    peer = MlServer(folder, ports["http_port"])
    for model in peer.models:
        peer.write(model, 1)
    with _running([str(python.parent / "mlserver"), "start", "."], folder) as running:
        # Nobody reads what it prints, and a full pipe would stop it.
        threading.Thread(target=lambda: [None for _ in running.stdout or ()], daemon=True).start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and running.poll() is None:
            try:
                if httpx2.get(f"{peer.address}/health/ready").status_code == 200:
                    yield peer
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.2)
        raise RuntimeError(f"it does not serve: {(folder / 'log').read_text()[-400:]}")


# --- Ray Serve -------------------------------------------------------------------------------------------------------

_RAY_APP = """
import sys
import numpy as np
import ray
from ray import serve

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0})
class Linear:
    def __init__(self, version):
        self._version = version
        self._head = np.random.default_rng(0).standard_normal((384, 2)).astype(np.float32)

    async def __call__(self, request):
        row = np.array((await request.json())["row"], np.float32)
        return {"scores": (row @ self._head).tolist(), "version": self._version}


for line in sys.stdin:
    model, version = line.split()
    serve.run(Linear.bind(int(version)), name=model, route_prefix=f"/{model}")
    print("serves", model, version, flush=True)
"""


class RayServe:
    models: Sequence[str] = tuple(f"linear-{number}" for number in range(4))
    per_second = 20.0

    def __init__(self, running: subprocess.Popen[str], port: int) -> None:
        self._running = running
        self._address = f"http://127.0.0.1:{port}"

    def request(self, model: str) -> tuple[str, dict[str, Any]]:
        return f"{self._address}/{model}", {"row": _row()}

    def swap(self, model: str, version: int) -> None:
        if self._running.stdin is None or self._running.stdout is None:
            raise AssertionError("started without pipes")
        self._running.stdin.write(f"{model} {version}\n")
        self._running.stdin.flush()
        for line in self._running.stdout:
            if line.split()[:1] == ["serves"]:
                break
        else:
            raise RuntimeError("it ended")
        address, body = self.request(model)
        said = httpx2.post(address, json=body, timeout=CALL_TIMEOUT_S).json()["version"]
        if said != version:
            raise RuntimeError(f"{model} still answers as version {said} after version {version} was deployed")


@contextmanager
def ray_serve(python: Path, folder: Path) -> Iterator[RayServe]:
    (folder / "app.py").write_text(_RAY_APP)
    port = _free_port()
    # It asks nobody on the network who uses it.
    with _running([str(python), "app.py", str(port)], folder, RAY_USAGE_STATS_ENABLED="0") as running:
        peer = RayServe(running, port)
        try:
            for model in peer.models:
                peer.swap(model, 1)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(folder / 'log').read_text()[-400:]}") from error
        yield peer
