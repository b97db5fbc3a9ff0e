"""What routing costs over gRPC, beside an empty RPC of the same server on the same socket, and in process.

    python -m bench.route [--calls 3000]

Echo and Route calls take turns in shuffled order, so that whatever else the machine does meets all alike; the ratios
are of their medians.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import grpc

from expertd.router.encoder import Encoder
from expertd.router.index import RouteIndex
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

from .house import house
from .report import percentiles, report

VERBS = ("set a timer for", "wake me in", "remind me to stretch in", "what is the time in", "how long is")


def sentences(count: int) -> list[str]:
    """All different, so that no cache answers; all short, as requests are."""
    return [f"{VERBS[number % len(VERBS)]} {number} minutes please" for number in range(1, count + 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000)
    calls = parser.parse_args().calls
    asked = sentences(calls)
    with house() as built:
        built.start()
        built.first_answer("what is 18% of 2450")
        with grpc.insecure_channel(f"unix:{built.socket}") as channel:
            stub = assistant_pb2_grpc.AssistantStub(channel)
            seconds: dict[str, list[float]] = {"echo": [], "route": [], "exact": []}
            for text in asked[:100]:
                stub.Echo(pb.EchoRequest())
                stub.Route(pb.RouteRequest(text="warm up: " + text))
            order = list(seconds)
            chance = random.Random(0)
            for text in asked:
                # In any order: what a call leaves in the processor's caches meets each kind alike.
                chance.shuffle(order)
                for kind in order:
                    if kind == "echo":
                        seconds[kind].append(timed(lambda: stub.Echo(pb.EchoRequest())))
                    else:
                        said = pb.RouteRequest(text=text if kind == "route" else asked[0])
                        seconds[kind].append(timed(lambda said=said: stub.Route(said)))
        built.stop()
        seconds["inprocess"] = in_process(built.folder / "state", asked[: min(calls, 2000)])
    figures: dict[str, float] = {}
    for name, measured in seconds.items():
        figures |= {f"{name}_{key}": value for key, value in percentiles(measured).items()}
    figures["ratio_p50"] = round(figures["route_p50_us"] / figures["echo_p50_us"], 2)
    figures["ratio_exact_p50"] = round(figures["exact_p50_us"] / figures["echo_p50_us"], 2)
    report(
        "route",
        figures,
        notes=[
            f"{calls} calls of each kind, one caller, in shuffled turns",
            "route: sentences never seen before, encoder tier; exact: one that was seen",
            "in process: encode and decide, no wire",
        ],
    )


def timed(call: object) -> float:
    began = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - began


def in_process(state: Path, asked: list[str]) -> list[float]:
    encoder = Encoder.open(state / "trunk")
    index = RouteIndex.load(next((state / "cache").glob("index-*.npz")))
    for text in asked[:50]:
        index.decide(encoder.encode([text])[0], text)
    return [timed(lambda text=text: index.decide(encoder.encode([text])[0], text)) for text in asked]


if __name__ == "__main__":
    main()
