"""What the daemon holds in memory: with many small experts, after many swaps, and with a text model of a real size.

    python -m bench.memory [experts] [swaps] [text] [--swaps 1000] [--turns 5]

experts: 25 of kind linear and 25 of kind onnx, of plausible sizes with random weights, beside the shipped ones. What
they take is the difference of two starts of one daemon, with one of each kind (so that code which the first of a kind
brings into memory counts for none) and with all, the router fitted for both; each is asked once before. swaps: random
ones of those 50 get new versions, by Install. text: the shipped expert chat on a GGUF of the shape of its own model,
random weights, beside plain llama-cpp-python in turns.

Without a name all three run. What does not run keeps its earlier figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc
import psutil

from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc, fleet_pb2, fleet_pb2_grpc

from .callers import process
from .house import House, house
from .report import OUT, ROOT, report

PARTS = ("experts", "swaps", "text")
MODEL = ROOT / "build" / "models" / "random-1.5b.gguf"
CHUNK_BYTES = 1 << 20
# Installs at a time, as an update of several experts makes them.
AT_ONCE = 4

# Fifty things that people might want judged; each becomes an expert.
TOPICS = (
    *("recipe", "invoice", "poem", "receipt", "contract", "complaint", "menu", "lyric", "essay", "letter"),
    *("advert", "review", "diary", "memo", "riddle", "proverb", "speech", "toast", "slogan", "headline"),
    *("itinerary", "prescription", "syllabus", "transcript", "minutes", "obituary", "sermon", "haiku", "fable"),
    *("manual", "leaflet", "brochure", "warranty", "petition", "summons", "testament", "anthem", "limerick"),
    *("sonnet", "dialogue", "monologue", "screenplay", "ledger", "inventory", "roster", "timetable", "forecast-note"),
    *("bulletin", "telegram", "postcard"),
)
SENTENCES = (
    *("what do you make of this {}", "judge the {} below", "look over this {} for me", "how good is this {}"),
    *("rate the {} I was sent", "which sort of {} is it", "tell me what kind of {} I have here", "grade my {}"),
    *("is there anything odd about this {}", "check the {} please", "give me a verdict on the {}"),
    *("sort this {} for me", "what would an expert say of that {}", "put the {} into a class", "assess this {}"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5, help="answers of the text model, each of daemon and plain")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    parts = set(options.parts or PARTS)
    figures, notes = earlier(parts)
    if parts & {"experts", "swaps"}:
        small_experts(parts, options.swaps, figures, notes)
    if "text" in parts:
        text_model(options.turns, figures, notes)
    report("memory", figures, notes=notes)


def earlier(parts: set[str]) -> tuple[dict[str, Any], list[str]]:
    """The figures of an earlier run that this one does not measure again, and notes that say so."""
    path = OUT / "memory.json"
    if not path.exists():
        return {}, []
    known = json.loads(path.read_text())["figures"]
    kept = {name: value for name, value in known.items() if _part(name) not in parts}
    left = [part for part in PARTS if part not in parts and any(_part(name) == part for name in kept)]
    when = time.strftime("%Y-%m-%d", time.localtime(path.stat().st_mtime))
    return kept, [f"{part}: not run this time; figures of {when} or before" for part in left]


def _part(figure: str) -> str:
    return "text" if figure.startswith("gguf_") else "swaps" if figure.startswith(("growth", "swap")) else "experts"


# --- The daemon, from outside ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in bytes. pss: pages that other processes map too, the libraries' above all, count in part; it
    changes when those come and go, so what has grown is told by rss, which counts them in full at any time."""

    pss: int
    rss: int

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Once it has come to rest."""
        before, deadline = 0, time.monotonic() + 20
        time.sleep(2)
        while True:
            info = psutil.Process(pid).memory_full_info()
            if abs(info.pss - before) < 2**18 or time.monotonic() > deadline:
                return cls(info.pss, info.rss)
            before = info.pss
            time.sleep(1)


@dataclass(frozen=True, slots=True)
class Stubs:
    assistant: assistant_pb2_grpc.AssistantStub
    fleet: fleet_pb2_grpc.FleetStub


@contextmanager
def running(built: House) -> Iterator[Stubs]:
    """Starts the daemon, waits for its first answer, and stops it at the end."""
    built.start()
    built.first_answer("what is 18% of 2450")
    try:
        with grpc.insecure_channel(f"unix:{built.socket}") as channel:
            yield Stubs(assistant_pb2_grpc.AssistantStub(channel), fleet_pb2_grpc.FleetStub(channel))
    finally:
        built.stop()


def pid(built: House) -> int:
    assert built.process is not None
    return built.process.pid


def listed(stubs: Stubs) -> dict[str, Any]:
    return {expert.name: expert for expert in stubs.fleet.ListExperts(fleet_pb2.ListExpertsRequest()).experts}


def ask_each(stubs: Stubs, names: Sequence[str]) -> None:
    """One question to each expert by name, with whatever it may read."""
    text = pb.Document(text="It was a bright day, and the clocks in the shop all told another time.")
    for name in names:
        given = pb.Input(text="look at this", document=text, series=pb.Series(values=[3.0, 1.0, 4.0, 1.0, 5.0] * 20))
        stubs.assistant.Invoke(pb.InvokeRequest(expert=name, input=given), timeout=60)


# --- Small experts ---------------------------------------------------------------------------------------------------


def small_experts(parts: set[str], swaps: int, figures: dict[str, Any], notes: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="expertd-bench-drop-in-") as name:
        drop_in = Path(name)
        with house(f'[experts]\ndrop_in = "{drop_in}"\n[traces]\nenabled = true\n') as built:
            with running(built) as stubs:
                shipped = sorted(listed(stubs))
            first = TOPICS[:2]
            present(built, drop_in, first)
            with running(built) as stubs:
                ask_each(stubs, first)
                few = Held.of(built, stubs, first)
            names = TOPICS
            present(built, drop_in, names)
            with running(built) as stubs:
                ask_each(stubs, names)
                many = Held.of(built, stubs, names)
                held = many.memory
                if "experts" in parts:
                    figures.update(weighed(few, many, len(names) - len(first), len(shipped)))
                    files = sum(path.stat().st_size for path in drop_in.rglob("*.safetensors"))
                    files += sum(path.stat().st_size for path in drop_in.rglob("*.onnx"))
                    notes.append(
                        "experts, swaps: what has grown is of RSS: PSS depends on who else maps the same libraries"
                    )
                    notes.append(f"experts: weights of {files / len(names) / 2**20:.2f} MB on average")
                if "swaps" in parts:
                    took, failed = swap(built.socket, drop_in, names, swaps)
                    ask_each(stubs, names)
                    # Whoever serves anew has its predecessor at hand for a while.
                    wait_for(
                        lambda: sum(settled(expert) for expert in listed(stubs).values()), len(names) + len(shipped)
                    )
                    after = Memory.of(pid(built))
                    figures["growth"] = round(after.rss / held.rss - 1, 4)
                    figures["growth_mb"] = round((after.rss - held.rss) / 2**20, 1)
                    figures["swaps"] = swaps
                    figures["swaps_failed"] = failed
                    figures["swaps_per_s"] = round(swaps / took, 2)


@dataclass(frozen=True, slots=True)
class Held:
    """What the daemon holds, and what it says that the experts made here hold of it, in bytes."""

    memory: Memory
    claimed: int

    @classmethod
    def of(cls, built: House, stubs: Stubs, names: Sequence[str]) -> Held:
        memory = Memory.of(pid(built))
        return cls(memory, sum(expert.resident_bytes for name, expert in listed(stubs).items() if name in names))


def present(built: House, drop_in: Path, names: Sequence[str]) -> None:
    """Brings these experts into the house, and the router that knows them into its cache."""
    # In a process of its own: the libraries that it maps would count half in the daemon's share.
    with process() as pool:
        pool.submit(make_experts, drop_in, names).result()
    with running(built) as stubs:
        wait_for(
            lambda: sum(listed(stubs)[name].serving_version > 0 for name in names if name in listed(stubs)), len(names)
        )
    # If that start ended before the router was fitted to all of them, this one fits it, and keeps it.
    with running(built):
        pass


def weighed(few: Held, many: Held, more: int, shipped: int) -> dict[str, Any]:
    """more: how many experts `many` has beyond `few`."""
    grown, claimed = many.memory.rss - few.memory.rss, many.claimed - few.claimed
    return {
        "pss_mb": round(many.memory.pss / 2**20, 1),
        "rss_mb": round(many.memory.rss / 2**20, 1),
        "pss_mb_with_two": round(few.memory.pss / 2**20, 1),
        "mb_per_expert": round(grown / more / 2**20, 3),
        "mb_per_expert_claimed": round(claimed / more / 2**20, 3),
        "accounting_error": round(abs(claimed - grown) / grown, 3),
        "experts": len(TOPICS),
        "experts_shipped": shipped,
    }


def settled(expert: Any) -> bool:
    """Whether nothing but its serving version is in memory."""
    loaded = {version.version for version in expert.versions if version.resident_bytes}
    return loaded <= {expert.serving_version}


def wait_for(count: Callable[[], int], wanted: int, timeout_s: float = 300.0) -> None:
    deadline = time.monotonic() + timeout_s
    while (there := count()) < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {there} of {wanted} experts serve; see the daemon's log")
        time.sleep(0.2)


def make_experts(folder: Path, names: Sequence[str]) -> None:
    """A sealed bundle in `folder` for each of these topics that has none yet; half of all topics are linear."""
    from .onnx_files import INPUTS, write_bundle

    inputs = cycle(INPUTS)
    for number, name in enumerate(TOPICS):
        given = next(inputs) if number % 2 else ""
        if name not in names or (folder / name).exists():
            continue
        sentences = {"judge": [sentence.format(name.replace("-", " ")) for sentence in SENTENCES]}
        labels = ("low", "middle", "high", "beyond")[: 2 + number % 3]
        # Beside it first, so that nobody sees half of one.
        made = folder / f".{name}"
        if number % 2:
            width = {"vector": (96, 160, 256), "bytes": (48, 64, 96), "series": (16, 32, 64)}[given][number % 3]
            write_bundle(made, name, given=given, labels=labels, width=width, seed=number, sentences=sentences)
        else:
            write_linear(made, name, labels, bits=(15, 16, 17)[number % 3], sentences=sentences, seed=number)
        made.rename(folder / name)


def write_linear(
    folder: Path, name: str, labels: Sequence[str], *, bits: int, sentences: Mapping[str, Sequence[str]], seed: int
) -> None:
    """A sealed bundle of kind linear with random weights: vector and n-grams, as the shipped one for spam."""
    import numpy as np
    from safetensors.numpy import save_file

    from expertd.experts.bundle import seal
    from expertd.router.encoder import DIMENSIONS, pinned

    generator = np.random.default_rng(seed)
    columns = 1 if len(labels) == 2 else len(labels)
    weights = {
        "vector": generator.standard_normal((1, DIMENSIONS, columns)).astype(np.float16),
        "ngrams": generator.integers(-127, 128, (1, 2**bits, columns), dtype=np.int8),
        "ngrams_scale": np.full((1, columns), 0.01, np.float32),
        "bias": np.zeros((1, columns), np.float32),
    }
    folder.mkdir()
    save_file(weights, folder / "head.safetensors")
    (folder / "expert.toml").write_text(
        f'name = "{name}"\nversion = 1\nkind = "linear"\nsummary = "Random weights for measurements."\n'
        f'licence = "Apache-2.0"\ntrunk = "{pinned().id}"\n\n[resources]\nmemory_mb = 2\nlatency_ms = 20\n\n'
        f'[parameters]\nlabels = {json.dumps(list(labels))}\nneeds_input = "Of what?"\n\n'
        f"[parameters.ngrams]\nbits = {bits}\n"
    )
    (folder / "CARD.md").write_text(f"# {name}\n\nRandom weights, for measurements. It knows nothing.\n")
    golden = {"query": {"text": "judge this", "payload": "a few words"}, "expect": {"type": "label"}}
    (folder / "golden.jsonl").write_text(json.dumps(golden) + "\n")
    rows = [{"intent": intent, "text": text} for intent, texts in sentences.items() for text in texts]
    (folder / "intents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seal(folder)


# --- Swaps -----------------------------------------------------------------------------------------------------------


def swap(socket: Path, folder: Path, names: Sequence[str], count: int) -> tuple[float, int]:
    """Installs `count` new versions of random experts, some at a time; seconds, and how many were refused."""
    chosen = random.Random(0)
    order = [chosen.choice(names) for _ in range(count)]
    # One expert's versions come one after the other: who installs it takes all of them.
    shares: list[list[str]] = [[] for _ in range(AT_ONCE)]
    for name in order:
        shares[names.index(name) % AT_ONCE].append(name)
    began = time.monotonic()
    with grpc.insecure_channel(f"unix:{socket}") as channel, ThreadPoolExecutor(AT_ONCE) as pool:
        stub = fleet_pb2_grpc.FleetStub(channel)
        failed = sum(pool.map(lambda share: sum(install_each(stub, folder, share)), shares))
    return time.monotonic() - began, failed


def install_each(stub: fleet_pb2_grpc.FleetStub, folder: Path, names: Sequence[str]) -> Iterator[bool]:
    """Whether each failed. A version differs from the one before in its number alone."""
    versions = dict.fromkeys(names, 1)
    for name in names:
        versions[name] += 1
        try:
            for _ in stub.Install(parts_of(folder / name, versions[name]), timeout=120):
                pass
            yield False
        except grpc.RpcError as error:
            print(f"{name} {versions[name]}: {error.code().name}: {error.details()}")
            yield True


def parts_of(folder: Path, version: int) -> Iterator[fleet_pb2.InstallRequest]:
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        if path.name == "expert.toml":
            data = data.replace(b"\nversion = 1\n", f"\nversion = {version}\n".encode(), 1)
        yield fleet_pb2.InstallRequest(file=fleet_pb2.InstallRequest.File(path=path.name, size_bytes=len(data)))
        for start in range(0, len(data), CHUNK_BYTES):
            yield fleet_pb2.InstallRequest(data=data[start : start + CHUNK_BYTES])


# --- The text model --------------------------------------------------------------------------------------------------

ANSWER_TOKENS = 64
THREADS = max(1, (psutil.cpu_count(logical=False) or 1) - 1)
REQUEST = "Write a short poem about the {} that somebody left in the hall"


def text_model(turns: int, figures: dict[str, Any], notes: list[str]) -> None:
    if not MODEL.exists():
        from .gguf_files import write_random_model

        MODEL.parent.mkdir(parents=True, exist_ok=True)
        write_random_model(MODEL.with_suffix(".part")).rename(MODEL)
    size = MODEL.stat().st_size
    settings = f"[text]\nthreads = {THREADS}\nmax_tokens = {ANSWER_TOKENS}\ncontext_tokens = 4096\n"
    with house(settings) as built:
        with running(built) as stubs:
            # Others on the same model would each be examined on it, and share its pages.
            for name, expert in listed(stubs).items():
                if expert.kind == "gguf" and name != "chat":
                    stubs.fleet.Remove(fleet_pb2.RemoveRequest(name=name), timeout=60)
            stubs.fleet.AdoptModel(model_parts(), timeout=300)
        with running(built) as stubs, process() as pool:
            wait_for(lambda: int(listed(stubs)["chat"].serving_version > 0), 1)
            warm = [load_s(stubs) for _ in range(3)]
            cold = [load_s(stubs, built) for _ in range(2)]
            answer(stubs, REQUEST.format("umbrella"))
            worker = Memory.of(listed(stubs)["chat"].worker_pid)
            claimed = listed(stubs)["chat"].resident_bytes
            rows = []
            for turn in range(turns):
                request = REQUEST.format(TOPICS[turn])
                rows.append((answer(stubs, request), pool.submit(plain_answer, request).result()))
    daemon, plain = ([row[side] for row in rows] for side in (0, 1))
    figures.update(
        {
            "gguf_file_mb": round(size / 2**20),
            "gguf_rss_over_file": round(worker.rss / size, 3),
            "gguf_pss_over_file": round(worker.pss / size, 3),
            "gguf_accounting_error": round(abs(claimed - worker.pss) / worker.pss, 3),
            "gguf_load_warm_s": round(min(warm), 2),
            "gguf_load_cold_s": round(min(cold), 2),
            "gguf_tokens_ratio": ratio(daemon, plain, lambda one: one.tokens / one.seconds),
            "gguf_decode_ratio": ratio(daemon, plain, lambda one: (one.tokens - 1) / (one.seconds - one.first_s)),
            "gguf_first_token_ratio": ratio(daemon, plain, lambda one: 1 / one.first_s),
            "gguf_tokens_per_s": round(statistics.median(one.tokens / one.seconds for one in daemon), 2),
            "gguf_plain_tokens_per_s": round(statistics.median(one.tokens / one.seconds for one in plain), 2),
            "gguf_plain_load_s": round(plain[0].load_s, 2),
            "gguf_plain_pss_over_file": round(plain[-1].pss / size, 3),
        }
    )
    notes.append(
        f"text: {turns} answers of up to {ANSWER_TOKENS} tokens to prompts of {plain[0].prompt} tokens, {THREADS} "
        "thread(s), daemon and plain in turns; ratios are medians over turns, above 1: the daemon is faster"
    )
    notes.append("the worker was weighed before plain llama-cpp-python mapped the same file")


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. first_s: until its first token; load_s, pss: of a plain model alone."""

    tokens: int
    seconds: float
    first_s: float
    prompt: int = 0
    load_s: float = 0.0
    pss: int = 0


def ratio(daemon: Sequence[Said], plain: Sequence[Said], rate: Callable[[Said], float]) -> float:
    return round(statistics.median(rate(ours) / rate(theirs) for ours, theirs in zip(daemon, plain, strict=True)), 3)


def model_parts() -> Iterator[fleet_pb2.AdoptModelRequest]:
    request = fleet_pb2.AdoptModelRequest
    yield request(file=request.File(file_name=MODEL.name, size_bytes=MODEL.stat().st_size))
    with MODEL.open("rb") as file:
        while chunk := file.read(4 * CHUNK_BYTES):
            yield request(data=chunk)


def load_s(stubs: Stubs, cold: House | None = None) -> float:
    """Seconds from the order to load the expert until it serves. cold: the house whose model leaves the page
    cache first, as far as the kernel lets it."""
    version = listed(stubs)["chat"].serving_version or 1
    stubs.fleet.Unload(fleet_pb2.UnloadRequest(name="chat"), timeout=60)
    if cold is not None:
        for path in (cold.folder / "state" / "models").glob("*.gguf"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.monotonic()
    stubs.fleet.Promote(fleet_pb2.PromoteRequest(name="chat", version=version), timeout=300)
    return time.monotonic() - began


def answer(stubs: Stubs, request: str) -> Said:
    """Through the daemon, as an app hears it."""
    began, first = time.perf_counter(), 0.0
    for part in stubs.assistant.AskStream(pb.AskRequest(input=pb.Input(text=request)), timeout=600):
        if part.delta and not first:
            first = time.perf_counter() - began
        if part.HasField("answer"):
            if part.answer.expert != "chat":
                raise SystemExit(f"{request!r} went to {part.answer.expert or 'nobody'}: {part.answer.text}")
            return Said(part.answer.generated.generated_tokens, time.perf_counter() - began, first)
    raise SystemExit(f"{request!r}: no answer")


def plain_answer(request: str) -> Said:
    """The same by llama-cpp-python alone, in this process."""
    llama, load = _plain()
    manifest = _text_parameters()
    began, first, tokens = time.perf_counter(), 0.0, 0
    for part in llama.create_chat_completion(
        [
            {"role": "system", "content": manifest["prompts"]["write"]["system"].replace("{length}", "")},
            {"role": "user", "content": request},
        ],
        max_tokens=ANSWER_TOKENS,
        stream=True,
        **{name: manifest[name] for name in ("temperature", "top_p", "min_p", "repeat_penalty")},
    ):
        if "content" in part["choices"][0]["delta"]:
            first = first or time.perf_counter() - began
            tokens += 1
    seconds = time.perf_counter() - began
    prompt = llama.n_tokens - tokens
    return Said(tokens, seconds, first, prompt, load, psutil.Process().memory_full_info().pss)


@cache
def _plain() -> tuple[Any, float]:
    import llama_cpp

    os.nice(5)  # as a worker does
    began = time.perf_counter()
    llama = llama_cpp.Llama(str(MODEL), n_ctx=4096, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)
    return llama, time.perf_counter() - began


@cache
def _text_parameters() -> dict[str, Any]:
    import tomllib

    manifest = tomllib.loads((ROOT / "experts" / "bundles" / "chat" / "expert.toml").read_text("utf-8"))
    parameters: dict[str, Any] = manifest["parameters"]
    return parameters


if __name__ == "__main__":
    main()
