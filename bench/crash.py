"""What a crash costs: workers killed under load, and the daemon killed in the middle of installing a version.

    python -m bench.crash [--kills 500] [--worker-kills 60]

Workers: SIGKILL for a random one, ONNX or text, every second and a half, under an open-loop load of all experts. Who
notices, and how long until the killed expert answers again?

The daemon: SIGKILL at a moment drawn evenly from the time that an install takes, which is measured first; one time in
ten once more while it starts again. Before and after each restart the store is read as any other program would read it:
the pointer, and every file of every version. The expert must answer, wholly as the old or wholly as the new version, as
the new one for sure where the install had been confirmed; and timers that were set before must all be there.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from expertd.client import Client, ExpertdError
from expertd.client.wire import knock
from expertd.experts.bundle import open_bundle
from expertd.experts.errors import BundleError

from .candidates import LINEAR, ONNX, TEXT, WORKER, Expert, Workshop, said_by
from .house import House, house
from .report import open_encoder, report, trunk_folder
from .swap import open_home
from .traffic import Heard, traffic

PER_SECOND = 50.0
BETWEEN_KILLS_S = 1.5
# How long a killed expert may take to answer again before the bench gives it up.
GIVE_UP_S = 30.0
BYSTANDERS = (*(Expert(name, "linear") for name in LINEAR[:6]), *(Expert(name, "onnx") for name in ONNX[:2]))
VICTIMS = (*(Expert(name, "worker") for name in WORKER[:2]), *(Expert(name, "gguf") for name in TEXT))
# The goals: a small ONNX network's worker, and one with a text model.
KINDS = {"worker": "onnx", "gguf": "gguf"}

INSTALLED = Expert(LINEAR[0], "linear")
TRIAL_INSTALLS = 10
# Kills come between the begin of an install and so many times its usual length.
BEYOND = 1.3
KILLED_AT_START_SHARE, START_S = 0.1, 0.5
TIMERS = ("bread", "laundry", "parking")


# --- Workers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kill:
    expert: Expert
    moment: float
    # Of its next answer.
    back: float


def workers(kills: int) -> tuple[dict[str, Any], list[str]]:
    chance, killed = random.Random(0), list[Kill]()
    experts = (*BYSTANDERS, *VICTIMS)
    questions = [question for expert in experts for question in expert.questions()]
    with ExitStack() as stack:
        home = open_home(stack, experts)
        with traffic(home.built.socket, questions, PER_SECOND) as load:
            for number in range(kills):
                time.sleep(BETWEEN_KILLS_S * chance.uniform(0.5, 1.5))
                killed.append(_kill(home.client, VICTIMS[number % len(VICTIMS)]))
            time.sleep(BETWEEN_KILLS_S)
            heard = load.stop()
    return _judge_workers(heard, killed)


def _kill(client: Client, expert: Expert) -> Kill:
    """Kills the expert's worker and asks until it answers again."""
    pid = client.fleet.get(expert.name).expert.worker_pid
    if not pid:
        raise SystemExit(f"{expert.name} has no worker")
    question = expert.questions()[0]
    os.kill(pid, signal.SIGKILL)
    moment = time.perf_counter()
    while time.perf_counter() < moment + GIVE_UP_S:
        try:
            client.invoke(expert.name, question.text, timeout_s=GIVE_UP_S)
            return Kill(expert, moment, time.perf_counter())
        except ExpertdError:
            time.sleep(0.005)
    raise SystemExit(f"{expert.name} does not answer {GIVE_UP_S:g} s after its worker was killed")


def _judge_workers(heard: Sequence[Heard], killed: Sequence[Kill]) -> tuple[dict[str, Any], list[str]]:
    own, others = list[Heard](), list[Heard]()
    for call in heard:
        if call.failure or call.wrong:
            mine = (kill for kill in killed if kill.expert.name == call.asked)
            by_kill = any(call.due <= kill.back and kill.moment <= call.ended for kill in mine)
            (own if by_kill else others).append(call)
    figures: dict[str, Any] = {
        "worker_kills": len(killed),
        "calls_meanwhile": len(heard),
        "lost_bystanders": len(others),
        "lost_own": len(own),
    }
    for kind, told in KINDS.items():
        took = [kill.back - kill.moment for kill in killed if kill.expert.kind == kind]
        if took:
            figures[f"recover_p50_s_{told}"] = round(float(np.median(took)), 3)
            figures[f"recover_p95_s_{told}"] = round(float(np.percentile(took, 95)), 3)
    counted = Counter(f"{whose}: {call.failure or 'a wrong answer'}" for whose, calls in (
        ("a bystander's call", others), ("a call of the killed", own),
    ) for call in calls)  # fmt: skip
    return figures, [f"lost: {count} × {told[:200]}" for told, count in counted.most_common(5)]


# --- The daemon ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """What came of all kills. torn: in words, each state that is neither wholly the old nor wholly the new one."""

    recover_s: list[float] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    lost_timers: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


class Installing:
    """A daemon that is killed while it installs version after version of one expert."""

    def __init__(self, built: House, workshop: Workshop) -> None:
        self._built = built
        self._workshop = workshop
        self._store = built.folder / "state" / "store" / INSTALLED.name
        self._incoming = built.folder / "state" / "incoming"
        self._question = INSTALLED.questions()[0]
        self._version = 0
        # The one that answers, and those that may after the next restart.
        self._serving = 0
        self._allowed: set[int] = set()
        self.seen = Seen()

    def prepare(self) -> list[float]:
        """Starts the daemon, installs a few versions, sets the timers; returns how long each install took, seconds."""
        self._built.start()
        self._built.first_answer("what is 18% of 2450")
        took = []
        with Client(self._built.socket) as client:
            for _ in range(TRIAL_INSTALLS + 1):
                folder = self._next()
                began = time.perf_counter()
                client.fleet.install(folder)
                took.append(time.perf_counter() - began)
            for name in TIMERS:
                client.ask(f"set a timer for 20 hours called {name}")
            if lost := self._missing_timers(client):
                raise SystemExit(f"the timers {lost} were not set")
        self._serving = self._version
        # The first fits the router for the new expert; every other finds it fitted.
        return took[1:]

    def kill_during_install(self, after_s: float) -> None:
        """Begins an install, kills the daemon that long after, and looks what it left behind."""
        folder, confirmed = self._next(), threading.Event()
        with Client(self._built.socket) as client:
            client.echo()

            def install() -> None:
                try:
                    client.fleet.install(folder)
                except ExpertdError:
                    return
                confirmed.set()

            installing = threading.Thread(target=install)
            installing.start()
            time.sleep(after_s)
            self._kill()
            installing.join()
        self._examine("before the restart", {self._serving, self._version})
        self._allowed = {self._version} if confirmed.is_set() else {self._serving, self._version}

    def kill_during_start(self, after_s: float) -> None:
        """Starts the daemon and kills it that long after: what it was to mend is half mended now."""
        self._built.start()
        time.sleep(after_s)
        self._kill()
        self._examine("after a kill at the start", self._allowed)

    def restart(self) -> None:
        """Starts the daemon, waits for the expert's first answer, and looks at all that must have survived."""
        began = self._built.start()
        with Client(self._built.socket) as client:
            answer = self._first_answer(client)
            self.seen.recover_s.append(time.perf_counter() - began)
            if answer.version not in self._allowed:
                self._torn(f"version {answer.version} serves where {sorted(self._allowed)} might")
            elif not answer.text.startswith(said_by(INSTALLED.name, answer.version)):
                self._torn(f"version {answer.version} says {answer.text!r}")
            self.seen.lost_timers += len(self._missing_timers(client))
        self.seen.outcomes["new" if answer.version == self._version else "old"] += 1
        self._serving = answer.version
        self._examine("after the restart", {answer.version})
        if left := list(self._incoming.iterdir()):
            self._torn(f"incoming/ holds {[path.name for path in left]} after the restart")

    # --- How ---------------------------------------------------------------------------------------------------------

    def _next(self) -> Path:
        self._version += 1
        return self._workshop.make(INSTALLED, self._version)

    def _kill(self) -> None:
        process = self._built.process
        assert process is not None
        if process.poll() is not None:
            raise SystemExit(f"the daemon ended by itself:\n{(self._built.folder / 'daemon.log').read_text()[-4000:]}")
        process.kill()
        process.wait()

    def _first_answer(self, client: Client) -> Any:
        deadline = time.perf_counter() + GIVE_UP_S
        while time.perf_counter() < deadline:
            if not knock(self._built.socket):
                try:
                    return client.invoke(INSTALLED.name, self._question.text)
                except ExpertdError:
                    pass
            time.sleep(0.002)
        raise SystemExit(f"no answer {GIVE_UP_S:g} s after a restart; see {self._built.folder / 'daemon.log'}")

    def _examine(self, when: str, allowed: set[int]) -> None:
        """The store as it lies on the disk: the pointer names one of `allowed`, and every version is whole."""
        try:
            lines = (self._store / "current").read_text("ascii").split()
            if not lines or int(lines[0]) not in allowed:
                self._torn(f"{when}: the pointer says {lines}, one of {sorted(allowed)} was expected")
        except (OSError, ValueError) as error:
            self._torn(f"{when}: the pointer cannot be read: {error}")
        for folder in self._store.iterdir():
            if folder.is_dir():
                try:
                    bundle = open_bundle(folder)
                    if str(bundle.manifest.version) != folder.name:
                        self._torn(f"{when}: {folder.name} holds {bundle}")
                except BundleError as error:
                    self._torn(f"{when}: {error}")

    def _missing_timers(self, client: Client) -> list[str]:
        text = client.invoke("timers", "list my timers").text
        return [name for name in TIMERS if name not in text]

    def _torn(self, told: str) -> None:
        self.seen.torn.append(f"install of {self._version}: {told}")


def daemon(kills: int) -> tuple[dict[str, Any], list[str]]:
    chance = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="expertd-bundles-") as folder, house() as built:
        installing = Installing(built, Workshop(Path(folder), open_encoder(trunk_folder())))
        took = installing.prepare()
        # A little beyond the usual end, so that the last step is met too.
        longest_s = BEYOND * float(np.median(took))
        for number in range(kills):
            installing.kill_during_install(chance.uniform(0, longest_s))
            if chance.random() < KILLED_AT_START_SHARE:
                installing.kill_during_start(chance.uniform(0, START_S))
            installing.restart()
            if (number + 1) % 50 == 0:
                print(f"  {number + 1} kills, {len(installing.seen.torn)} torn states", flush=True)
        seen = installing.seen
    recover = np.percentile(seen.recover_s, [50, 95, 100])
    return {
        "daemon_kills": kills,
        "torn_states": len(seen.torn),
        "lost_timers": seen.lost_timers,
        **{f"recover_{mark}_s": round(float(at), 3) for mark, at in zip(("p50", "p95", "max"), recover, strict=True)},
        "old_after": seen.outcomes["old"],
        "new_after": seen.outcomes["new"],
        "install_p50_s": round(float(np.median(took)), 3),
    }, [f"torn: {told}" for told in seen.torn[:10]]


def _notes() -> Iterator[str]:
    yield (
        f"workers: {len(VICTIMS)} killed in turn, {len(BYSTANDERS)} experts without a worker beside them, "
        f"{PER_SECOND:g} calls a second, open loop; recover: from the kill to the killed expert's next answer"
    )
    yield "lost: failed, or answered wrongly; own: calls of the killed expert that were due before it answered again"
    yield (
        f"the daemon: kill moments drawn evenly over {BEYOND:g} times the median of {TRIAL_INSTALLS} installs; "
        "recover: from the start of the new process to the expert's first answer; torn: a pointer that cannot be read "
        "or names neither version, a version whose files do not verify, an answer of neither version or with "
        "another's words, a confirmed install that is gone, leftovers in incoming/"
    )
    yield "one kill in ten is followed by a second one, within the first half second of the restart"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500, help="of the daemon; 0: not measured")
    parser.add_argument("--worker-kills", type=int, default=60, help="of workers; 0: not measured")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    notes = list(_notes())
    for measure, amount in ((workers, options.worker_kills), (daemon, options.kills)):
        if amount:
            measured, said = measure(amount)
            figures |= measured
            notes += said
    report("crash", figures, notes=notes)


if __name__ == "__main__":
    main()
