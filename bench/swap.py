"""Swaps of random experts under load: does anybody notice, and what becomes of bad candidates?

    python -m bench.swap [--swaps 1000] [--every 0.4] [--per-second 100] [--no-peers]

A daemon with 26 experts (small heads, networks in its process and in workers, text models) under a steady open-loop
load. Blocks with swaps take turns with quiet ones that are alike in all else. One swap in ten installs a bad candidate
(see `candidates`); of all experts, a third have no trial beside the gate, a third a canary, a third a shadow and then a
canary. Half of all calls go to whoever is about to be swapped or being swapped; in quiet blocks, to whoever would be.

Nothing is taken on trust: each answer's version is held against the states that the daemon's own events tell, and its
words against its version. MLServer and Ray Serve at the same: see `swap_peers`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil

from expertd.client import Client, ExpertdError
from expertd.v1 import assistant_pb2, assistant_pb2_grpc, fleet_pb2

from .candidates import Expert, Fault, Workshop, bad_ones, cast
from .house import House, house
from .report import open_encoder, report, trunk_folder
from .swap_verdict import OUT, Block, Change, Memory, Run, Swap, Version, judge
from .traffic import Traffic, traffic

SWAPS_PER_BLOCK = 40
BAD_SHARE = 0.1
WARM_UP_S = 10.0
# How long a block waits for its last swaps, and a swap for the end of its trial.
PATIENCE_S, TRIAL_S = 150.0, 30.0
# How long a bad candidate that serves may take to be found out, before the bench takes it back itself.
PROBATION_S = 10.0
# What hangs as it starts is given up soon, so that a run does not wait for it.
SETTINGS = "[text]\nstart_timeout_s = 10\n"
# Back to back and without load, at the end.
BURST = 40

# --- What the daemon says --------------------------------------------------------------------------------------------


class Watcher:
    """Everything that `Events` tells of versions, from `start` on."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._stream = assistant_pb2_grpc.AssistantStub(self._channel).Events(assistant_pb2.EventsRequest())
        self._subscribed = threading.Event()
        self._told = threading.Condition()
        self._latest: dict[Version, Change] = {}
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.changes: list[Change] = []
        self.problem = ""

    def start(self) -> None:
        self._thread.start()
        if not self._subscribed.wait(30):
            raise SystemExit(f"Events told nothing: {self.problem}")

    def stop(self) -> None:
        self._stream.cancel()
        self._thread.join()
        self._channel.close()

    def wait_for(self, version: Version, states: Collection[str], timeout_s: float) -> str:
        """Which of these states the version is in, as soon as it is; "": in none of them after that time."""

        def latest() -> str:
            state = self._latest[version].state if version in self._latest else ""
            return state if state in states else ""

        with self._told:
            self._told.wait_for(latest, timeout_s)
            return latest()

    def _listen(self) -> None:
        # The daemon's clock is this machine's, and so is ours: events tell the time of day, answers the monotonic one.
        offset = time.time() - time.perf_counter()
        try:
            for event in self._stream:
                if event.HasField("subscribed"):
                    self._subscribed.set()
                elif event.HasField("expert_changed"):
                    told = event.expert_changed
                    moment = event.time.ToNanoseconds() / 1e9 - offset
                    change = Change(moment, told.expert, told.version, told.state, told.reason)
                    with self._told:
                        self.changes.append(change)
                        self._latest[told.expert, told.version] = change
                        self._told.notify_all()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                self.problem = f"Events broke off: {error}"


# --- Swapping --------------------------------------------------------------------------------------------------------


class Swapper:
    """Installs versions, any number of experts at a time, one version of each."""

    def __init__(self, client: Client, watcher: Watcher, workshop: Workshop, experts: Sequence[Expert]) -> None:
        self._client = client
        self._watcher = watcher
        self._workshop = workshop
        self._versions = dict.fromkeys((expert.name for expert in experts), 1)
        self._turns = {expert.name: threading.Lock() for expert in experts}
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(len(experts), thread_name_prefix="swap")
        self.swaps: list[Swap] = []

    def start(self, expert: Expert, fault: Fault | None) -> Future[None]:
        swap = Swap(expert, fault)
        self.swaps.append(swap)
        return self._threads.submit(self._swap, swap)

    def stop(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _swap(self, swap: Swap) -> None:
        name = swap.expert.name
        with self._turns[name]:
            with self._making:
                self._versions[name] += 1
                swap.version = self._versions[name]
                folder = self._workshop.make(swap.expert, swap.version, swap.fault)
            swap.began = time.perf_counter()
            try:
                self._client.fleet.install(folder)
            except ExpertdError as error:
                swap.error = f"{type(error).__name__}: {error}"
            else:
                self._see_it_through(swap)
            swap.ended = time.perf_counter()

    def _see_it_through(self, swap: Swap) -> None:
        """Waits for the end of its trial, and of a bad one until the daemon has found out that what serves is bad;
        takes it back if the daemon does not."""
        version = (swap.expert.name, swap.version)
        state = self._watcher.wait_for(version, {"SERVING", *OUT}, TRIAL_S)
        if state == "SERVING" and swap.fault is not None:
            state = self._watcher.wait_for(version, OUT, PROBATION_S)
        if state in OUT:
            swap.error = "undone"
        elif swap.fault is not None or not state:
            swap.stayed = True
            with suppress(ExpertdError):
                self._client.fleet.rollback(swap.expert.name)
            self._watcher.wait_for(version, OUT, PROBATION_S)


def planned(experts: Sequence[Expert], swaps: int, chance: random.Random) -> list[tuple[Expert, Fault | None]]:
    bad: list[tuple[Expert, Fault | None]] = list(bad_ones(experts, round(swaps * BAD_SHARE), chance))
    plan = bad + [(chance.choice(experts), None) for _ in range(swaps - len(bad))]
    chance.shuffle(plan)
    return plan


def set_policies(client: Client, experts: Sequence[Expert]) -> str:
    """A third each: the gate alone, a canary, a shadow and a canary. Text models answer too seldom for a trial."""
    policies = (
        None,
        fleet_pb2.Policy(canary_share=0.5, canary_requests=6, margin=0.05),
        fleet_pb2.Policy(shadow_requests=6, canary_share=0.5, canary_requests=6, margin=0.05),
    )
    for number, expert in enumerate(expert for expert in experts if expert.kind != "gguf"):
        if (policy := policies[number % len(policies)]) is not None:
            client.fleet.set_policy(expert.name, policy)
    return "policies: of the experts but the text models, a third each have no trial, a canary, a shadow and a canary"


# --- The run ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Home:
    """A daemon that serves every expert of the bench."""

    built: House
    client: Client
    workshop: Workshop
    pid: int


def open_home(stack: ExitStack, experts: Sequence[Expert]) -> Home:
    """Starts a daemon with version 1 of each of these experts."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="expertd-bundles-")))
    workshop = Workshop(folder, open_encoder(trunk_folder()))
    dropped = folder / "drop-in"
    dropped.mkdir()
    for expert in experts:
        workshop.make(expert, 1).rename(dropped / expert.name)
    built = stack.enter_context(house(f'[experts]\ndrop_in = "{dropped}"\n{SETTINGS}'))
    built.start()
    built.first_answer("what is 18% of 2450")
    client = stack.enter_context(Client(built.socket))
    if any(expert.kind == "gguf" for expert in experts):
        client.fleet.adopt(workshop.base_model, "chain")
    for expert in experts:
        for question in expert.questions():
            answer = client.ask(question.routed)
            if answer.expert != expert.name or not answer.version:
                raise SystemExit(f"{question.routed!r} went to {answer.expert!r}; {built.folder / 'daemon.log'}")
    assert built.process is not None
    return Home(built, client, workshop, built.process.pid)


def run(swaps: int, every_s: float, per_second: float) -> Run:
    """every_s: from the begin of one swap to that of the next."""
    seen, chance = Run(cast()), random.Random(0)
    plan = planned(seen.experts, swaps, chance)
    questions = [question for expert in seen.experts for question in expert.questions()]
    with ExitStack() as stack:
        home = open_home(stack, seen.experts)
        seen.notes.append(set_policies(home.client, seen.experts))
        watcher = Watcher(home.built.socket)
        watcher.start()
        stack.callback(watcher.stop)
        seen.begin = time.perf_counter()
        seen.serving = {expert.name: expert.serving_version for expert in home.client.fleet.list()}
        swapper = Swapper(home.client, watcher, home.workshop, seen.experts)
        stack.callback(swapper.stop)
        with traffic(home.built.socket, questions, per_second) as load:
            time.sleep(WARM_UP_S)
            _measure_memory(home.pid, seen)
            for first in range(0, swaps, SWAPS_PER_BLOCK):
                block = plan[first : first + SWAPS_PER_BLOCK]
                seen.blocks.append(_block("quiet", load, block, every_s, None))
                seen.blocks.append(_block("swaps", load, block, every_s, swapper))
                _say(seen.blocks[-1], swapper.swaps)
                _check_alive(home.built, swapper.swaps)
                _measure_memory(home.pid, seen)
            seen.heard = load.stop()
        swapper.stop()
        seen.swaps = list(swapper.swaps)
        seen.burst_s = _burst(home.client, home.workshop, swapper)
        time.sleep(0.2)
        seen.changes = list(watcher.changes)
        if watcher.problem:
            raise SystemExit(watcher.problem)
    return seen


def _block(
    kind: str, load: Traffic, plan: Sequence[tuple[Expert, Fault | None]], every_s: float, swapper: Swapper | None
) -> Block:
    """Goes through the plan; without a swapper, only the load does."""
    start, pending = time.perf_counter(), list[Future[None]]()
    swaps = [] if swapper is None else swapper.swaps
    for number, (expert, fault) in enumerate(plan):
        time.sleep(max(start + number * every_s - time.perf_counter(), 0))
        load.spotlight(_lit(expert, swaps))
        # A little later, so that the calls before, during and after it are dense.
        time.sleep(every_s / 4)
        if swapper is not None:
            pending.append(swapper.start(expert, fault))
    time.sleep(every_s)
    end = time.perf_counter()
    while not all(future.done() for future in pending):
        if time.perf_counter() > end + PATIENCE_S:
            raise SystemExit(f"swaps that do not end: {[swap for swap in swaps if not swap.ended]}")
        load.spotlight(_lit(None, swaps))
        time.sleep(every_s)
    for future in pending:
        future.result()
    load.spotlight()
    return Block(kind, start, end)


def _lit(expert: Expert | None, swaps: Sequence[Swap]) -> set[str]:
    """Who is about to be swapped or being swapped, but text models: they could not answer so many."""
    swapped = [swap.expert for swap in swaps if swap.began and not swap.ended]
    return {each.name for each in (expert, *swapped) if each is not None and each.kind != "gguf"}


def _check_alive(built: House, swaps: Sequence[Swap]) -> None:
    """Raises: SystemExit naming what was under way when the daemon died."""
    assert built.process is not None
    if (status := built.process.poll()) is not None:
        died = min((swap.ended for swap in swaps if "DaemonDown" in swap.error), default=0.0)
        suspects = [f"{s.expert.name} {s.version} ({s.expert.kind}): {s.fault or 'sound'}" for s in swaps
                    if s.overlaps(died - 2, died)]  # fmt: skip
        log = (built.folder / "daemon.log").read_text()[-2000:]
        raise SystemExit(f"{log}\nthe daemon died with status {status}; under way were {'; '.join(suspects)}")


def _burst(client: Client, workshop: Workshop, swapper: Swapper) -> float:
    """Seconds of one swap of a small expert without a trial, back to back, with nothing else to do."""
    plain = cast()[0]
    version = max((swap.version for swap in swapper.swaps if swap.expert == plain), default=1)
    folders = [workshop.make(plain, version + 1 + number) for number in range(BURST)]
    began = time.perf_counter()
    for folder in folders:
        client.fleet.install(folder)
    return (time.perf_counter() - began) / BURST


def _measure_memory(pid: int, seen: Run) -> None:
    process = psutil.Process(pid)
    own = process.memory_full_info()
    workers = 0.0
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            workers += child.memory_full_info().pss
    seen.memory.append(Memory(own.pss / 1e6, own.uss / 1e6, workers / 1e6))


def _say(block: Block, swaps: Sequence[Swap]) -> None:
    bad = [swap for swap in swaps if swap.fault is not None]
    print(
        f"  {len(swaps)} swaps, {len(bad)} of them bad: {sum(bool(swap.error) for swap in bad)} refused or undone, "
        f"{sum(swap.stayed for swap in bad)} stayed",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--every", type=float, default=0.4, help="seconds from one swap's begin to the next one's")
    parser.add_argument("--per-second", type=float, default=100.0, help="calls, of all callers together")
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="MLServer and Ray Serve too; installs them if need be",
    )
    options = parser.parse_args()
    figures, notes = judge(run(options.swaps, options.every, options.per_second))
    peers: dict[str, Any] = {}
    if options.peers:
        from .swap_peers import measure

        peers, said = measure()
        notes += said
    report("swap", figures, peers=peers, notes=notes)


if __name__ == "__main__":
    main()
