"""What routing costs: over gRPC beside an empty RPC of the same server on the same socket, step by step in process, and
beside aurelio's semantic-router with the same encoder and the same sentences.

    python -m bench.route [--calls 3000]

One caller: Echo and Route calls take turns in shuffled order, so that whatever else the machine does meets all alike;
calls are sorted by the tier that answered. Many callers: short blocks of one tier's sentences alone, in shuffled order,
for a call that waits behind another tier's would tell of both. All ratios are of medians. Requests come from a grammar
(`bench/sentences.py`), none asked twice unless the exact tier is meant.

The peer is measured where it is installed, in a folder of its own: it needs an older `openai` than the daemon.

    python -m pip install --target build/peers semantic-router
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from expertd.router.decision import Decision
from expertd.router.encoder import Encoder, vectors
from expertd.router.index import RouteIndex
from expertd.router.language import Recogniser
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

from .callers import ECHO, answered, closed_loop, process
from .house import House, house
from .report import ROOT, data_folder, percentiles, report, trunk_folder
from .router import REJECT_IN_SCOPE, SETS, Reader, Rows, Split, background_without, fitted, without_out_of_scope
from .sentences import sentences

CALLERS = 16
# From fewer calls no percentile is told, and no ratio.
LEAST = 100
# Calls of one tier in a row, where many call.
BLOCK = 200
PEERS = ROOT / "build" / "peers"
PEER_ROWS = 500
# A request that is found to be several has no tier of its own; it is counted, not timed.
TIERS: dict[int, str] = {
    pb.Decision.TIER_UNSPECIFIED: "compound",
    pb.Decision.TIER_EXACT: "exact",
    pb.Decision.TIER_STATIC: "static",
    pb.Decision.TIER_ENCODER: "encoder",
}
KINDS = ("echo", "exact", "static", "encoder")
Seconds = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000, help="of each kind, by one caller and by many")
    calls = parser.parse_args().calls
    # Each part of the bench asks what no other part has asked.
    fresh = sentences(5 * calls + LEAST)
    warm, alone, pool = fresh[:LEAST], fresh[LEAST : LEAST + calls], fresh[LEAST + calls :]
    with house() as built:
        built.start()
        built.first_answer("what is 18% of 2450")
        seconds = one_caller(built, warm, alone)
        router = Cascade(built.folder / "state")
        crowd, per_second = many_callers(built, router.by_tier(pool), calls)
        built.stop()
    figures: dict[str, Any] = {}
    notes = [
        f"one caller: {calls} calls of each kind in shuffled turns; {CALLERS} callers: an asyncio client in a process "
        f"of its own, closed loop, blocks of {BLOCK} calls, its own cost included",
        "ratios: medians over the echo's, same server, same number of callers; ratio_p50 is the encoder's",
        "in process: each step of the cascade; static and encoder are the sums of the steps they take",
    ]
    for suffix, measured in (("", seconds), (str(CALLERS), crowd)):
        for tier in KINDS:
            times = measured[tier]
            figures[f"{tier}{suffix}_calls"] = len(times)
            if len(times) < LEAST:
                notes.append(f"{tier}, {suffix or 1} at a time: {len(times)} calls, too few to tell")
                continue
            figures |= {f"{tier}{suffix}_{key}": value for key, value in percentiles(times).items()}
            figures[f"{tier}{suffix}_per_s"] = round(per_second[tier] if suffix else len(times) / sum(times))
            if tier != "echo":
                ratio = figures[f"{tier}{suffix}_p50_us"] / figures[f"echo{suffix}_p50_us"]
                figures[f"ratio{suffix}_{tier}_p50"] = round(ratio, 2)
    if "ratio_encoder_p50" in figures:
        figures["ratio_p50"] = figures["ratio_encoder_p50"]
    figures["compound_calls"] = len(seconds["compound"])
    for step, times in router.steps(alone).items():
        if len(times) >= LEAST:
            figures |= {f"inprocess_{step}_{key}": value for key, value in percentiles(times).items()}
    peers, told = peer()
    report("route", figures, peers=peers, notes=[*notes, *told])


# --- Over the wire ---------------------------------------------------------------------------------------------------


def one_caller(built: House, warm: Sequence[str], asked: Sequence[str]) -> Seconds:
    """Tier, or echo → seconds per call."""
    seconds: Seconds = {kind: [] for kind in (*KINDS, "compound")}
    chance = random.Random(0)
    with grpc.insecure_channel(f"unix:{built.socket}") as channel:
        stub = assistant_pb2_grpc.AssistantStub(channel)
        for text in warm:
            stub.Echo(pb.EchoRequest())
            stub.Route(pb.RouteRequest(text=text))
        for text in asked:
            # In any order: what a call leaves in the processor's caches meets each kind alike.
            for said in chance.sample([ECHO, text, warm[0]], 3):
                began = time.perf_counter()
                if said == ECHO:
                    stub.Echo(pb.EchoRequest())
                    seconds["echo"].append(time.perf_counter() - began)
                else:
                    response = stub.Route(pb.RouteRequest(text=said))
                    seconds[TIERS[response.decision.tier]].append(time.perf_counter() - began)
    return seconds


def many_callers(built: House, pools: dict[str, list[str]], calls: int) -> tuple[Seconds, dict[str, float]]:
    """Tier, or echo → seconds per call, and calls per second. pools: fresh sentences that the tier answers."""
    seen = "what is 18% of 2450"
    kinds: dict[str, list[str]] = {"echo": [ECHO] * calls, "exact": [seen] * calls}
    kinds |= {tier: pools[tier][:calls] for tier in ("static", "encoder")}
    blocks = [
        (kind, texts[start : start + BLOCK]) for kind, texts in kinds.items() for start in range(0, len(texts), BLOCK)
    ]
    random.Random(1).shuffle(blocks)
    # The first finds everything cold.
    blocks.insert(0, ("warm", [ECHO, seen] * CALLERS))
    with process() as pool:
        done = pool.submit(closed_loop, built.socket, [texts for _, texts in blocks], CALLERS).result()
    seconds: Seconds = {kind: [] for kind in KINDS}
    spent = dict.fromkeys(seconds, 0.0)
    for (kind, _), (replies, took) in list(zip(blocks, done, strict=True))[1:]:
        mine = [reply.seconds for reply in answered(replies) if kind == "echo" or TIERS[reply.tier] == kind]
        seconds[kind] += mine
        spent[kind] += took * len(mine) / len(replies)
    return seconds, {kind: len(times) / spent[kind] for kind, times in seconds.items() if times}


# --- In process ------------------------------------------------------------------------------------------------------


class Cascade:
    """The daemon's tiers without the daemon, on the index that it left in `state`."""

    def __init__(self, state: Path) -> None:
        self._encoder = Encoder.open(state / "trunk")
        self._index = RouteIndex.load(max((state / "cache").glob("index-*.npz"), key=lambda path: path.stat().st_mtime))
        self._recogniser = Recogniser.load()

    def by_tier(self, texts: Sequence[str]) -> dict[str, list[str]]:
        """Which of them the static tier answers, and which are left to the encoder."""
        found: dict[str, list[str]] = {"static": [], "encoder": []}
        for text in texts:
            if self._index.recall(text) is None and self._recogniser.foreign(text, self._index.languages) is None:
                sure = self._index.glance(self._encoder.sketch(self._encoder.tokens(text)))
                found["encoder" if sure is None else "static"].append(text)
        return found

    def steps(self, texts: Sequence[str]) -> Seconds:
        """Seconds per step: every step for every sentence, whichever tier would have answered it."""
        clock, encoder, index = time.perf_counter, self._encoder, self._index
        seconds: Seconds = {}

        def note(step: str, took: float) -> None:
            seconds.setdefault(step, []).append(took)

        for number, text in enumerate(texts):
            moments = [clock()]
            index.recall(text)
            moments.append(clock())
            self._recogniser.foreign(text, index.languages)
            moments.append(clock())
            ids = encoder.tokens(text)
            moments.append(clock())
            sketch = encoder.sketch(ids)
            moments.append(clock())
            sure = index.glance(sketch)
            moments.append(clock())
            features = encoder.complete(ids, sketch)
            moments.append(clock())
            index.decide(features, text)
            moments.append(clock())
            known = index.recall(text)
            moments.append(clock())
            if number < LEAST or known is None:
                continue
            took = np.diff(moments).tolist()
            for step, cost in zip(
                ("unknown", "language", "tokens", "sketch", "glance", "complete", "decide", "recall"), took, strict=True
            ):
                note(step, cost)
            note("static" if sure is not None else "encoder", sum(took[:5] if sure is not None else took[:7]))
        return seconds


# --- The peer --------------------------------------------------------------------------------------------------------


def peer() -> tuple[dict[str, Any], list[str]]:
    """semantic-router and this router, sentence by sentence in turns, on CLINC150; figures and notes."""
    # At the end of the path: what both need is taken from the environment.
    sys.path.append(str(PEERS))
    if find_spec("semantic_router") is None:
        install = f"python -m pip install --target {PEERS.relative_to(ROOT)} semantic-router"
        return {}, [f"semantic-router is not installed: `{install}`"]
    try:
        data = data_folder()
    except SystemExit as missing:
        return {}, [f"no peer: {missing}"]
    encoder = Encoder.open(trunk_folder(), threads=os.cpu_count() or 1)
    reader = Reader(encoder)
    split = SETS["clinc_full"](data)
    train, test = without_out_of_scope(split.train), without_out_of_scope(split.test)
    background = background_without(data, reader, "clinc150")
    index, _ = fitted(Split(split.name, train, Rows(), test), reader, background, REJECT_IN_SCOPE)
    theirs = semantic_router(encoder, train, vectors(reader.features(train.texts)))

    def ours(text: str) -> str:
        return cascade(encoder, index, text).intent

    asked = list(zip(test.texts, test.intents, strict=True))
    random.Random(0).shuffle(asked)
    asked, warm = asked[:PEER_ROWS], asked[PEER_ROWS : PEER_ROWS + 20]
    seconds: Seconds = {"ours": [], "semantic_router": []}
    right = dict.fromkeys(seconds, 0)
    routers: list[tuple[str, Callable[[str], str]]] = [("ours", ours), ("semantic_router", theirs)]
    for text, _ in warm:
        for _, router in routers:
            router(text)
    chance = random.Random(1)
    for text, wanted in asked:
        for name, router in chance.sample(routers, 2):
            began = time.perf_counter()
            intent = router(text)
            seconds[name].append(time.perf_counter() - began)
            right[name] += intent == wanted
    figures: dict[str, Any] = {}
    for name, times in seconds.items():
        figures |= {f"{name}_{key}": value for key, value in percentiles(times).items()}
        figures[f"{name}_acc"] = round(right[name] / PEER_ROWS, 4)
    figures["ratio_to_ours"] = round(figures["semantic_router_p50_us"] / figures["ours_p50_us"], 1)
    return figures, [
        f"peer: CLINC150 full, {len(train.texts):,} training sentences, {len(index.owners)} routes, {PEER_ROWS} "
        "in-scope test rows, in process, same encoder, text to intent; neither may refuse; ours answers from its "
        "static tier where that is sure, and its background has seen no row of CLINC150",
    ]


def cascade(encoder: Encoder, index: RouteIndex, text: str) -> Decision:
    if (known := index.recall(text)) is not None:
        return known
    ids = encoder.tokens(text)
    sketch = encoder.sketch(ids)
    return index.glance(sketch, text) or index.decide(encoder.complete(ids, sketch), text)


def semantic_router(encoder: Encoder, train: Rows, own: Any) -> Callable[[str], str]:
    """aurelio's router with its defaults: the mean cosine of the five nearest sentences. own: the rows' vectors.

    Vectors are handed over as float32: half the work for it of the lists of floats that its own encoders give.
    """
    library, encoders = import_module("semantic_router"), import_module("semantic_router.encoders")
    known = dict(zip(train.texts, own, strict=True))
    by_intent: dict[str, list[str]] = {}
    for text, intent in zip(train.texts, train.intents, strict=True):
        by_intent.setdefault(intent, []).append(text)

    class Ours(encoders.DenseEncoder):  # type: ignore[misc, name-defined]
        def __call__(self, docs: list[Any]) -> list[Any]:
            return [known[doc] for doc in docs] if len(docs) > 1 else list(encoder.encode(docs))

    routes = [library.Route(name=name, utterances=texts) for name, texts in by_intent.items()]
    router = library.IndexedRouter(encoder=Ours(name="ours"), routes=routes)
    return lambda text: str(router(text).name)


if __name__ == "__main__":
    main()
