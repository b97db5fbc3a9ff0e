"""What live edits cost and whether they hold: a daemon at 200 requests a second while intents and a whole expert come
and go; and, without a daemon, how well an intent added in closed form does beside a full refit.

    python -m bench.live [--seconds 120] [--seeds 5]

Under load. Blocks with and without edits take turns; requests leave on time whether or not earlier ones are answered.
One request in five is a sentence of an intent that comes and goes, the others are fresh requests for the shipped
experts. Every reply is stamped with the view that decided, and each edit is known by the views before and after it: a
reply that names what its view did not have, or overlooks what its view had, is counted as mixed. A block with edits
ends with a pause for the refit in the background, which is charged to the edits.

In process. CLINC150 full: 15 of the 150 intents are held out, the index is fitted on the others with all their
sentences, and the 15 are added live with 5 or 10 random sentences each. The background has seen no in-scope row of
CLINC150. Decided as a daemon does: static tier where it is sure, else the encoder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from expertd.client import Client
from expertd.experts.bundle import seal
from expertd.router.decision import Intent
from expertd.router.encoder import SKETCH
from expertd.router.index import RouteIndex
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

from .callers import Reply, open_loop, process
from .house import House, house
from .report import OUT, data_folder, open_encoder, percentiles, report, trunk_folder
from .router import OUT_OF_SCOPE, SETS, Reader, background_without, without_out_of_scope
from .sentences import sentences

PER_SECOND = 200
# A median above this without any edit: more was asked than the machine can do.
KEEPS_UP_US = 20_000
BLOCK_S = 10.0
# How long a block with edits goes on after its last edit, so that the refit falls into it; the daemon waits for a
# second without an edit before it fits.
SETTLE_S = 4.0
BETWEEN_EDITS_S = 0.25
# Of the requests, those that ask for what comes and goes.
EDITED_SHARE = 0.2
HELD_OUT, SHOTS = 15, (5, 10)

# An installed expert that is given intents and loses them again.
HOST = "clock"
# Those intents, far from what the shipped experts own. The last sentence of each is not taught: is it understood?
TOPICS: dict[str, tuple[str, ...]] = {
    "glaze": (
        "which glaze is food safe",
        "mix a celadon glaze",
        "my pot cracked in the kiln",
        "fire the stoneware to cone ten",
        "how thick should the slip on the vase be",
        "what glaze goes on a porcelain bowl",
    ),
    "orchard": (
        "when do I prune the pear trees",
        "graft a plum onto a wild rootstock",
        "the apple leaves have scab",
        "thin out the quinces",
        "which rootstock for a dwarf cherry tree",
        "is it time to prune the cherry tree",
    ),
    "fencing": (
        "book a lane for foil practice",
        "my epee blade is bent",
        "what is a parry in sixte",
        "rewire the sabre lame",
        "who is on the piste next",
        "my foil blade is bent",
    ),
    "lighthouse": (
        "which lighthouse flashes twice in ten seconds",
        "is the fog horn sounding at the point",
        "look up the buoy off the headland",
        "when was the lens of the lighthouse lit",
        "list the beacons along the skerries",
        "which lighthouse stands on the headland",
    ),
    "astronomy": (
        "where is Saturn in the sky tonight",
        "point the telescope at Andromeda",
        "when does the Perseid shower peak",
        "which filter shows the nebula best",
        "collimate the mirror of the telescope",
        "where is Jupiter in the sky tonight",
    ),
}
STABLE = "stable"
STABLE_TEXTS = (
    "saddle the grey mare",
    "which hoof did the farrier trim",
    "how much hay does a pony eat",
    "muck out the third box",
    "lunge the gelding before the lesson",
    "when was the foal wormed",
)

Owner = tuple[str, str]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Edit:
    """owner came (present) or went. before: a view that the edit has not reached yet; after: one that it has."""

    owner: Owner
    present: bool
    before: int
    after: int


def had(edits: Sequence[Edit], owner: Owner, view: int) -> bool | None:
    """Whether the view had that intent; None: the view lies between an edit's before and its after."""
    known = False
    for edit in edits:
        if edit.owner == owner and edit.before < view:
            if view < edit.after:
                return None
            known = edit.present
    return known


def mixed(reply: Reply, edits: Sequence[Edit], shipped: frozenset[Owner], owners: dict[str, Owner]) -> str:
    """What is wrong with the reply's view, in words; "": nothing. owners: sentence → the intent that teaches it."""
    named = (reply.expert, reply.intent)
    if named not in shipped and had(edits, named, reply.view) is False:
        return f"view {reply.view} did not have {named}, yet it answered {reply.text!r}"
    owner = owners.get(reply.text)
    if owner is not None and owner != named and had(edits, owner, reply.view):
        return f"view {reply.view} had {owner}, yet {named} answered {reply.text!r}"
    return ""


# --- Under load ------------------------------------------------------------------------------------------------------


class Editor:
    """Makes one edit after another and notes which views it lies between."""

    def __init__(self, built: House, stub: Any, client: Client, workshop: Path) -> None:
        self._built, self._stub, self._client, self._workshop = built, stub, client, workshop
        self._version = 0
        self.edits: list[Edit] = []
        self.visible_s: list[float] = []
        self.update_s: list[float] = []
        self.install_s: list[float] = []
        self.understood: list[bool] = []

    def route(self, text: str) -> pb.Decision:
        decision: pb.Decision = self._stub.Route(pb.RouteRequest(text=text)).decision
        return decision

    def view(self) -> int:
        return int(self.route("what time is it").view)

    def put(self, topic: str) -> None:
        *taught, untaught = TOPICS[topic]
        began = time.perf_counter()
        put = self._client.fleet.put_intent(HOST, topic, taught)
        while self.route(taught[0]).intent != topic:
            if time.perf_counter() - began > 10:
                raise SystemExit(f"{topic}: not routed to ten seconds after it was put; see the daemon's log")
        self.visible_s.append(time.perf_counter() - began - put.encoding.ToNanoseconds() / 1e9)
        self.update_s.append(put.update.ToNanoseconds() / 1e9)
        self.edits.append(Edit((HOST, topic), True, put.view - 1, put.view))
        self.understood.append(self.route(untaught).intent == topic)

    def remove(self, topic: str) -> None:
        view = self._client.fleet.remove_intent(HOST, topic)
        self.edits.append(Edit((HOST, topic), False, view - 1, view))

    def install(self) -> None:
        self._version += 1
        folder = bundle(self._workshop / str(self._version), self._version)
        before, began = self.view(), time.perf_counter()
        self._client.fleet.install(folder)
        self.install_s.append(time.perf_counter() - began)
        self.edits.append(Edit((STABLE, "care"), True, before, self.view()))

    def uninstall(self) -> None:
        before = self.view()
        self._client.fleet.remove(STABLE)
        self.edits.append(Edit((STABLE, "care"), False, before, self.view()))

    def topics(self) -> Iterator[None]:
        """One edit of an intent per step: one comes, the oldest goes, so that one to three are there."""
        here: list[str] = []
        for number in itertools.count():
            if len(here) < 3 and (number % 2 == 0 or not here):
                absent = [topic for topic in TOPICS if topic not in here]
                here.append(absent[number % len(absent)])
                self.put(here[-1])
            else:
                self.remove(here.pop(0))
            yield

    def experts(self) -> Iterator[None]:
        """One edit of the whole expert per step."""
        while True:
            self.install()
            yield
            self.uninstall()
            yield


def bundle(folder: Path, version: int) -> Path:
    """An expert of its own with sentences that no other has. It calculates: what matters is that it comes and goes."""
    folder.mkdir(parents=True)
    (folder / "expert.toml").write_text(
        f'name = "{STABLE}"\nversion = {version}\nkind = "skill"\nsummary = "Comes and goes."\n'
        'licence = "Apache-2.0"\n\n[resources]\nmemory_mb = 1.0\nlatency_ms = 1.0\n\n[skill]\nname = "calculator"\n'
    )
    (folder / "CARD.md").write_text(f"# {STABLE}\n\nOf the bench of live edits.\n")
    rows = [{"intent": "care", "text": text} for text in STABLE_TEXTS]
    (folder / "intents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    example = {"query": {"text": "12 times 12"}, "expect": {"type": "structured"}}
    (folder / "golden.jsonl").write_text(json.dumps(example) + "\n")
    seal(folder)
    return folder


def under_load(seconds: float) -> tuple[dict[str, Any], list[str]]:
    """Figures and notes. seconds: of load, half of it with edits."""
    pairs = max(1, round(seconds / (2 * BLOCK_S)))
    # The first block warms up and is not counted.
    blocks = ["", *(kind for _ in range(pairs) for kind in ("quiet", "edits"))]
    owners = {text: (HOST, topic) for topic, texts in TOPICS.items() for text in texts[:-1]}
    owners |= dict.fromkeys(STABLE_TEXTS, (STABLE, "care"))
    count = int(len(blocks) * BLOCK_S * PER_SECOND)
    chance = random.Random(0)
    asked = [
        chance.choice(list(owners)) if chance.random() < EDITED_SHARE else text for text in sentences(count, seed=1)
    ]
    with (
        running() as (built, stub, client),
        tempfile.TemporaryDirectory() as workshop,
        process() as pool,
        ThreadPoolExecutor(1) as beside,
    ):
        shipped = frozenset((expert.name, intent) for expert in client.fleet.list() for intent in expert.intents)
        editor = Editor(built, stub, client, Path(workshop))
        begin = time.perf_counter() + 3
        load = pool.submit(open_loop, built.socket, asked, PER_SECOND, begin)
        topics, experts = editor.topics(), editor.experts()
        for number, kind in enumerate(blocks):
            start = begin + number * BLOCK_S
            time.sleep(max(start - time.perf_counter(), 0))
            if kind != "edits":
                continue
            # Intents are edited while the index is fitted for the expert.
            expert = beside.submit(next, experts)
            while time.perf_counter() < start + BLOCK_S - SETTLE_S:
                turn = time.perf_counter() + BETWEEN_EDITS_S
                next(topics)
                time.sleep(max(turn - time.perf_counter(), 0))
            expert.result()
        replies: list[Reply] = load.result()
    return judge(replies, editor, blocks, begin, shipped | {("", "")}, owners)


def judge(
    replies: Sequence[Reply],
    editor: Editor,
    blocks: Sequence[str],
    begin: float,
    shipped: frozenset[Owner],
    owners: dict[str, Owner],
) -> tuple[dict[str, Any], list[str]]:
    at = [min(max(int((reply.sent - begin) / BLOCK_S), 0), len(blocks) - 1) for reply in replies]
    failures = Counter(reply.failure for reply in replies if reply.failure)
    wrong = [told for reply in replies if not reply.failure and (told := mixed(reply, editor.edits, shipped, owners))]
    certain = sum(had(editor.edits, owners[r.text], r.view) is not None for r in replies if r.text in owners)
    quiet_views = sum(
        len({reply.view for reply, block in zip(replies, at, strict=True) if block == number and not reply.failure}) - 1
        for number, kind in enumerate(blocks)
        if kind == "quiet"
    )
    figures: dict[str, Any] = {
        "requests": len(replies),
        "edits": len(editor.edits),
        "failed": sum(failures.values()),
        "mixed": len(wrong),
        "replies_checked_against_an_edit": certain,
    }
    for kind in ("quiet", "edits"):
        times = [r.seconds for r, block in zip(replies, at, strict=True) if blocks[block] == kind and not r.failure]
        figures |= {f"{kind}_{key}": value for key, value in percentiles(times).items()}
    figures["ratio_p50"] = round(figures["edits_p50_us"] / figures["quiet_p50_us"], 2)
    figures["ratio_p99"] = round(figures["edits_p99_us"] / figures["quiet_p99_us"], 2)
    for name, times in (("visible", editor.visible_s), ("update", editor.update_s)):
        p50, p99, most = np.percentile(np.array(times) * 1e3, [50, 99, 100])
        figures |= {f"{name}_{key}_ms": round(float(at), 2) for key, at in (("p50", p50), ("p99", p99), ("max", most))}
    figures["untaught_sentence_understood"] = round(float(np.mean(editor.understood)), 3)
    if editor.install_s:
        figures["install_p50_ms"] = round(float(np.median(editor.install_s)) * 1e3, 1)
    figures["views_changed_in_quiet_blocks"] = quiet_views
    notes = [
        f"load: {PER_SECOND} requests a second, open loop, blocks of {BLOCK_S:g} s in turns; an edit every "
        f"{BETWEEN_EDITS_S * 1e3:g} ms and a whole expert beside them, the last {SETTLE_S:g} s of a block with edits "
        "left to the refit",
        "visible: from the call of PutIntent to the reply of a Route that the new intent answers, less the time that "
        "encoding took; both round trips included; update: what the daemon says it took once they were encoded",
    ]
    if figures["quiet_p50_us"] > KEEPS_UP_US:
        notes.append("the daemon did not keep up with the load on this machine: latencies are those of its queue")
    notes += [f"failed: {count} × {name}" for name, count in failures.items()]
    return figures, [*notes, *wrong[:5]]


@contextmanager
def running() -> Iterator[tuple[House, Any, Client]]:
    with house() as built:
        built.start()
        built.first_answer("what is 18% of 2450")
        with grpc.insecure_channel(f"unix:{built.socket}") as channel, Client(built.socket) as client:
            yield built, assistant_pb2_grpc.AssistantStub(channel), client
        built.stop()


# --- In process ------------------------------------------------------------------------------------------------------


def few_shots(seeds: int) -> tuple[dict[str, Any], list[str]]:
    """Accuracy of intents added live beside a full refit, and of 150 intents that have few sentences from the start."""
    data = data_folder()
    reader = Reader(open_encoder(trunk_folder(), threads=os.cpu_count() or 1))
    split = SETS["clinc_full"](data)
    train, test = without_out_of_scope(split.train), without_out_of_scope(split.test)
    strangers = split.train.where(lambda intent: intent == OUT_OF_SCOPE)
    background = background_without(data, reader, "clinc150").joined(reader.features(strangers.texts))
    features, asked, truth = reader.features(train.texts), reader.features(test.texts), np.array(test.intents)
    names = np.array(train.intents)
    own = {str(name): np.flatnonzero(names == name) for name in np.unique(names)}

    def intent(name: str, chosen: Numbers) -> Intent:
        return Intent(name, name, tuple(train.texts[row] for row in chosen))

    def fitted(chosen: dict[str, Numbers]) -> RouteIndex:
        intents = [intent(name, mine) for name, mine in chosen.items()]
        return RouteIndex.fit(intents, features[np.concatenate(list(chosen.values()))], background)

    def decided(index: RouteIndex) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Per test row: the right intent was named; the request was sent away."""
        made = [index.glance(row[:SKETCH]) or index.decide(row) for row in asked]
        right = np.array([d.intent for d in made]) == truth
        return right, np.array([d.verdict == "titan" for d in made])

    told: dict[str, list[float]] = {}
    for seed in range(seeds):
        chance = np.random.default_rng(seed)
        held = [str(name) for name in chance.choice(sorted(own), HELD_OUT, replace=False)]
        order = {name: chance.permutation(mine) for name, mine in own.items()}
        base = fitted({name: mine for name, mine in own.items() if name not in held})
        new = np.isin(truth, held)
        for shots in SHOTS:
            few = {name: mine[:shots] for name, mine in order.items()}
            live = base
            for name in held:
                live = live.with_intent(intent(name, few[name]), features[few[name]])
            refit = fitted({name: few[name] if name in held else mine for name, mine in own.items()})
            for kind, index in (("live", live), ("refit", refit), ("all", fitted(few))):
                right, away = decided(index)
                key = f"{kind}_{shots}shot"
                if kind != "all":
                    told.setdefault(f"{key}_new_acc", []).append(float(right[new].mean()))
                    told.setdefault(f"{key}_new_sent_away", []).append(float(away[new].mean()))
                told.setdefault(f"{key}_acc", []).append(float(right.mean()))
                told.setdefault(f"{key}_sent_away", []).append(float(away.mean()))
        print(f"  seed {seed}: " + ", ".join(f"{key} {values[-1]:.3f}" for key, values in told.items()), flush=True)
    figures: dict[str, Any] = {key: round(float(np.mean(values)), 4) for key, values in told.items()}
    figures |= {f"{key}_worst": round(min(values), 4) for key, values in told.items() if key.endswith("new_acc")}
    return figures, [
        f"few shots: CLINC150 full, {HELD_OUT} of {len(own)} intents added with 5 or 10 random sentences, means over "
        f"{seeds} seeds; new: test rows of the added intents; refit: the same sentences fitted whole; all: every "
        "intent has as few sentences",
        "acc: the best candidate is the right intent, whatever the verdict; sent away: the verdict is titan",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of load, half of it with edits; 0: none")
    parser.add_argument("--seeds", type=int, default=5, help="of the choice of intents and sentences; 0: not measured")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    notes: list[str] = []
    if not (options.seconds and options.seeds) and (OUT / "live.json").is_file():
        # The half that is not measured now stays what it was.
        before = json.loads((OUT / "live.json").read_text())
        figures, notes = before["figures"], [f"one half measured before: {note}" for note in before["notes"]]
    for measure, amount in ((under_load, options.seconds), (few_shots, options.seeds)):
        if amount:
            measured, said = measure(amount)
            figures |= measured
            notes += said
    report("live", figures, notes=notes)


if __name__ == "__main__":
    main()
