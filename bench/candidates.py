"""Versions of experts to install by the thousand, good and bad ones. A bench's workshop: data only, no code.

Each expert judges notes about one thing (a kiln, an orchard): fine or faulty. Its weights are solved for, from its own
few sentences, so that what it will say to each of them is known: a sound version is right everywhere, a bad one is
wrong exactly where it is meant to be. Every phrase names its version. Making a version takes a millisecond.

What is wrong with a bad one can show early, on its golden examples, or late: only on what real callers ask. Late ones
pass every examination that their bundle brings, as a careless maker's would. How each sort is made:

    wrong      the weights' signs: on golden examples; on held-out ones; on what callers ask; or so weak an answer to
               callers that it falls below the threshold, and the expert abstains
               (a text model is cut short by a stop word of its own)
    slow       products of matrices, some 0.3 s of them, where 20 or 50 ms are declared
    crashing   the lowest 64-bit integer divided by -1: the processor refuses, and SIGFPE ends the process
    hanging    the same products, 2^62 times round a loop
    leaking    tensors of hundreds of megabytes where a few are declared. A graph keeps no state from call to call, so
               this is as near to a leak as data comes: with each text of another size, memory that was not there before

All but the first are ONNX graphs, in which a switch, a linear function of the trunk's vector, tells callers' texts from
the others. Where loops are not let into the daemon's process, the same is written out: a branch with hundreds of
products, or a tensor that is joined to itself until it is large enough.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from expertd.experts.bundle import MANIFEST
from expertd.router.encoder import DIMENSIONS, Encoder

from .gguf_files import WORDS, write_chain_model
from .traffic import Question

Floats = npt.NDArray[np.float32]
Sort = Literal["wrong", "slow", "crashing", "hanging", "leaking"]
# onnx: a small network in the daemon's process; worker: in a process of its own.
Kind = Literal["linear", "onnx", "worker", "gguf"]

LINEAR = (
    *("kiln", "orchard", "sabre", "lighthouse", "telescope", "saddle", "beehive", "violin", "canoe"),
    *("anvil", "loom", "tractor", "aquarium", "sundial", "windmill", "trombone"),
)
ONNX = ("vineyard", "chimney", "parachute", "submarine")
WORKER = ("glacier", "puppet", "typewriter", "ferry")
TEXT = ("ballad", "fable")

FINE, FAULTY = LABELS = ("fine", "faulty")
# By who gets to see it: the gate twice, then callers.
SENTENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "golden": {
        FINE: ("the {} works as it should", "nothing is wrong with the {}"),
        FAULTY: ("the {} is broken again", "the {} has failed completely"),
    },
    "held-out": {
        FINE: (
            "the {} has never been in better shape",
            "we are all happy with the {}",
            "the repaired {} does its duty well",
        ),
        FAULTY: (
            "somebody damaged the {} badly",
            "the {} is in a terrible state",
            "the old {} cannot be used any more",
        ),
    },
    "callers": {
        FINE: ("everybody who tried the {} today loved it", "not one complaint about the {} so far"),
        FAULTY: ("the {} gave up today and nobody can mend it", "hardly a part of the {} is without a crack"),
    },
}
INSTRUCTIONS = (
    "look over the {} note",
    "judge this {} note",
    "is this {} note good or bad news",
    "what does the {} note say",
    "read the {} note and rate it",
    "give me a verdict on the {} note",
)

# Log-odds that a version is made to give: sure, and below the threshold of 0.8.
SURE, UNSURE = 6.0, 0.3
# Of a product of 256 × 256 matrices, so many take some 0.3 s on an idle machine.
SLOW_ROUNDS, ENDLESS_ROUNDS = 2_000, 2**62


@dataclass(frozen=True, slots=True)
class Fault:
    """shows: on whose texts: "golden", "held-out" or "callers". abstains: it does not answer them wrongly but not."""

    sort: Sort
    shows: str
    abstains: bool = False

    def __str__(self) -> str:
        return f"{self.sort}, {'abstaining from' if self.abstains else 'on'} {self.shows}"


@dataclass(frozen=True, slots=True)
class Expert:
    name: str
    kind: Kind

    def faults(self) -> tuple[Fault, ...]:
        """What can be wrong with a version of it. A text model is cut short by its own stop word."""
        if self.kind == "gguf":
            return (Fault("wrong", "golden"), Fault("wrong", "callers"))
        wrong = (*(Fault("wrong", shows) for shows in SENTENCES), Fault("wrong", "callers", abstains=True))
        sorts: dict[Kind, tuple[Sort, ...]] = {
            "onnx": ("slow", "crashing", "leaking"),
            "worker": ("slow", "crashing", "hanging", "leaking"),
        }
        network = (Fault(sort, shows) for sort in sorts.get(self.kind, ()) for shows in ("golden", "callers"))
        return (*wrong, *network)

    def questions(self) -> tuple[Question, ...]:
        """What callers ask it, in every way in which they put it."""
        if self.kind == "gguf":
            asked = [(f"Once upon a time there was a {self.name} that nobody had ever written down.", WORDS_SAID)]
        else:
            texts = SENTENCES["callers"].items()
            asked = [(text.format(self.name), label) for label, spoken in texts for text in spoken]
        ways = [instruction.format(self.name) for instruction in INSTRUCTIONS]
        # Text models take a hundred times longer, so they are asked less.
        weight = (0.2 if self.kind == "gguf" else 1.0) / len(asked) / len(ways)
        return tuple(
            Question(self.name, text, f"{way}: {text}", right, weight) for text, right in asked for way in ways
        )


WORDS_SAID = " ".join(WORDS)


def cast(linear: int = len(LINEAR)) -> tuple[Expert, ...]:
    """Every expert of the bench; linear: how many of the small ones."""
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("linear", LINEAR[:linear]),
        ("onnx", ONNX),
        ("worker", WORKER),
        ("gguf", TEXT),
    )
    return tuple(Expert(name, kind) for kind, names in kinds for name in names)


class Workshop:
    """Makes bundles below `folder`, each in a folder of its own. Not for several threads at a time."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._folder = folder
        self._encoder = encoder
        self._contents: dict[tuple[Expert, Fault | None], dict[str, bytes]] = {}
        self._numbers = itertools.count(1)

    @cached_property
    def base_model(self) -> Path:
        """The GGUF file under every text expert: some 0.5 MB; it says `WORDS_SAID` to everything."""
        return write_chain_model(self._folder / "chain.gguf")

    def make(self, expert: Expert, version: int, fault: Fault | None = None) -> Path:
        key = (expert, fault)
        if key not in self._contents:
            self._contents[key] = self._files(expert, fault)
        files = self._contents[key]
        home = self._folder / f"{next(self._numbers)}-{expert.name}-{version}"
        home.mkdir()
        for name, content in files.items():
            (home / name).write_bytes(content)
        hashes = "".join(f'"{name}" = "{hashlib.sha256(files[name]).hexdigest()}"\n' for name in sorted(files))
        (home / MANIFEST).write_text(f"{self._manifest(expert, version, fault)}\n[files]\n{hashes}")
        return home

    # --- The files of a bundle ---------------------------------------------------------------------------------------

    def _files(self, expert: Expert, fault: Fault | None) -> dict[str, bytes]:
        rows = [{"intent": "note", "text": text.format(expert.name)} for text in INSTRUCTIONS]
        files = {
            "CARD.md": f"# {expert.name}\n\nOf a bench. What is wrong with it: {fault or 'nothing'}.\n".encode(),
            "intents.jsonl": _lines(rows),
        }
        if expert.kind == "gguf":
            expected = {"type": "text"} | ({} if fault else {"text": WORDS_SAID})
            text = f"a {expert.name} that somebody wrote"
            if fault is not None and fault.shows == "golden":
                expected["text"] = WORDS_SAID
            return files | {"golden.jsonl": _lines([{"query": {"text": text}, "expect": expected}])}
        for name, audience in (("golden.jsonl", "golden"), ("heldout.jsonl", "held-out")):
            files[name] = _lines(
                {"query": {"text": text.format(expert.name)}, "expect": {"type": "label", "label": label}}
                for label, texts in SENTENCES[audience].items()
                for text in texts
            )
        head, switch = self._weights(expert, fault)
        if expert.kind == "linear":
            files["head.safetensors"] = save(
                {"vector": head[None, :, None].astype(np.float16), "bias": np.zeros((1, 1), np.float32)}
            )
        else:
            sort = None if fault is None or fault.sort == "wrong" else fault.sort
            files["model.onnx"] = network(head, sort, switch, loops=expert.kind == "worker")
        return files

    def _weights(self, expert: Expert, fault: Fault | None) -> tuple[Floats, Floats]:
        """(head, switch), float32 (384,) each: the log-odds of "faulty", and what is above 0 where the fault shows."""
        texts, odds, switched = [], [], []
        for audience, labelled in SENTENCES.items():
            shown = fault is not None and _reaches(fault, audience)
            for label, sentences in labelled.items():
                sign = 1.0 if label == FAULTY else -1.0
                if shown and fault is not None and fault.sort == "wrong":
                    sign *= UNSURE / SURE if fault.abstains else -1.0
                for sentence in sentences:
                    texts.append(sentence.format(expert.name))
                    odds.append(SURE * sign)
                    switched.append(1.0 if shown else -1.0)
        vectors = self._encoder.encode(texts)
        # Fewer sentences than dimensions: the least weights that give exactly these values.
        solved = np.linalg.lstsq(vectors, np.column_stack([odds, switched]), rcond=None)[0]
        return solved[:, 0].astype(np.float32), solved[:, 1].astype(np.float32)

    def _manifest(self, expert: Expert, version: int, fault: Fault | None) -> str:
        kind = {"worker": "onnx"}.get(expert.kind, expert.kind)
        head = (
            f'name = "{expert.name}"\nversion = {version}\nkind = "{kind}"\nsummary = "Judges {expert.name} notes."\n'
        )
        head += 'licence = "Apache-2.0"\n'
        if expert.kind == "gguf":
            return head + self._text_tables(fault)
        head += f'trunk = "{self._encoder.id}"\nthreshold = 0.8\n\n[resources]\n'
        # A network that divides whole numbers is given a worker, whoever wants to have it.
        served = "worker" if fault is not None and fault.sort == "crashing" else expert.kind
        head += f"memory_mb = {_DECLARED_MB[served]}\nlatency_ms = {_DECLARED_MS[served]}\n\n[parameters]\n"
        if expert.kind != "linear":
            head += 'input = "vector"\noutput = "label"\n' + ('process = "worker"\n' if expert.kind == "worker" else "")
        phrases = "".join(f'{label} = "{said_by(expert.name, version)} {label}"\n' for label in LABELS)
        return f'{head}labels = {json.dumps(LABELS)}\nneeds_input = "Which note?"\n\n[parameters.phrases]\n{phrases}'

    def _text_tables(self, fault: Fault | None) -> str:
        model, stop = self.base_model, [WORDS[4]] if fault else []
        content = model.read_bytes()
        return (
            f'\n[resources]\nmemory_mb = 200\nlatency_ms = 2000\n\n[model]\nname = "chain"\n'
            'repository = "bench/chain"\nrevision = "1"\nfile = "chain.gguf"\n'
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nsize_bytes = {len(content)}\nlicence = "Apache-2.0"\n\n'
            f'[parameters]\ndefault = "note"\nstop = {json.dumps(stop)}\n\n'
            '[parameters.prompts.note]\nsystem = "You retell the note."\nmax_tokens = 40\n'
        )


# A worker takes Python, gRPC and the runtime beside its graph, and some way there and back.
_DECLARED_MS: Mapping[Kind, float] = {"linear": 20.0, "onnx": 20.0, "worker": 50.0}
_DECLARED_MB: Mapping[Kind, float] = {"linear": 1.0, "onnx": 4.0, "worker": 120.0}


def said_by(name: str, version: int) -> str:
    """How every phrase of that version begins."""
    return f"{name} v{version}:"


def bad_ones(experts: Sequence[Expert], count: int, chance: random.Random) -> Iterator[tuple[Expert, Fault]]:
    """`count` bad candidates, as many of each sort as of the others; within a sort, each way to be bad in turn."""
    by_sort: dict[Sort, dict[Fault, list[Expert]]] = {}
    for expert in experts:
        for fault in expert.faults():
            by_sort.setdefault(fault.sort, {}).setdefault(fault, []).append(expert)
    turns = {sort: itertools.cycle(faults) for sort, faults in by_sort.items()}
    for sort in itertools.islice(itertools.cycle(by_sort), count):
        fault = next(turns[sort])
        yield chance.choice(by_sort[sort][fault]), fault


def _reaches(fault: Fault, audience: str) -> bool:
    """What is wrong on golden examples is wrong everywhere; what the gate could see, callers see too."""
    order = list(SENTENCES)
    return order.index(audience) >= order.index(fault.shows)


def _lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# --- Networks --------------------------------------------------------------------------------------------------------


def network(head: Floats, sort: Sort | None, switch: Floats, *, loops: bool) -> bytes:
    """vector float32 (1, 384) → scores float32 (1, 2), as the linear head gives them; and what `sort` does where
    vector · switch > 0, which changes no score. loops: operators without bounds may be in it."""
    weights: dict[str, npt.NDArray[Any]] = {"head": np.column_stack([-head / 2, head / 2]).astype(np.float32)}
    nodes = [helper.make_node("MatMul", ["vector", "head"], ["sound" if sort else "scores"])]
    if sort is not None:
        added, more = _FAULTS[sort, loops]()
        nodes += [
            helper.make_node("MatMul", ["vector", "switch"], ["turned"]),
            helper.make_node("Reshape", ["turned", "flat"], ["turn"]),
            helper.make_node("Greater", ["turn", "nought"], ["shows"]),
            *added,
            # Times nought: what was computed changes nothing, and is computed nevertheless.
            helper.make_node("Mul", ["effect", "nought"], ["nothing"]),
            helper.make_node("Add", ["sound", "nothing"], ["scores"]),
        ]
        weights |= {"switch": switch[:, None], "nought": np.zeros(1, np.float32), "flat": np.array([-1]), **more}
    graph = helper.make_graph(
        nodes,
        "note",
        [_tensor("vector", [1, DIMENSIONS])],
        [_tensor("scores", [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="bench")
    content: bytes = model.SerializeToString()
    return content


# Nodes from "shows" bool (1,) and "vector" to "effect" float32, of one number; and their weights.
Part = tuple[list[onnx.NodeProto], dict[str, npt.NDArray[Any]]]


def _tensor(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _crash() -> Part:
    """lowest / -1 where it shows, lowest / 1 where it does not."""
    return [
        helper.make_node("Where", ["shows", "minus", "one"], ["divisor"]),
        helper.make_node("Div", ["lowest", "divisor"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["effect"], to=TensorProto.FLOAT),
    ], {"minus": np.array([-1]), "one": np.array([1]), "lowest": np.array([np.iinfo(np.int64).min])}


def _grow() -> Part:
    """Tensors of 100 to 500 MB where it shows, of the text's own size; of a few bytes where it does not."""
    node = helper.make_node
    return [
        # One number of the vector, about -0.2 to 0.2, makes the size the text's own.
        node("Slice", ["vector", "first", "second", "axis"], ["number"]),
        node("Reshape", ["number", "flat"], ["own"]),
        node("Mul", ["own", "spread"], ["further"]),
        node("Add", ["further", "middle"], ["many"]),
        node("Clip", ["many", "least", "most"], ["floats"]),
        node("Where", ["shows", "floats", "few"], ["length"]),
        node("Cast", ["length"], ["shape"], to=TensorProto.INT64),
        node("Expand", ["own", "shape"], ["large"]),
        node("Sigmoid", ["large"], ["larger"]),
        node("ReduceMean", ["larger"], ["effect"], keepdims=0),
    ], {
        "first": np.array([0]),
        "second": np.array([1]),
        "axis": np.array([1]),
        "spread": np.array([4e8], np.float32),
        "middle": np.array([5e7], np.float32),
        "least": np.array(2.5e7, np.float32),
        "most": np.array(1.2e8, np.float32),
        "few": np.ones(1, np.float32),
    }


def _loop(rounds: int) -> Part:
    """So many products of matrices where it shows, none where it does not."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("MatMul", ["state", "square"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
        ],
        "round",
        [
            _tensor("round", [], TensorProto.INT64),
            _tensor("go_on", [], TensorProto.BOOL),
            _tensor("state", [256, 256]),
        ],
        [_tensor("still", [], TensorProto.BOOL), _tensor("next", [256, 256])],
    )
    square = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32) / 16
    return [
        helper.make_node("Where", ["shows", "rounds", "none"], ["times"]),
        helper.make_node("Squeeze", ["times"], ["trips"]),
        helper.make_node("Loop", ["trips", "", "square"], ["state_after"], body=body),
        helper.make_node("ReduceMean", ["state_after"], ["effect"], keepdims=0),
    ], {"square": square, "rounds": np.array([rounds]), "none": np.array([0])}


def _branch(steps: Sequence[tuple[str, Sequence[int], dict[str, Any]]]) -> Part:
    """A branch that takes these steps one after the other where it shows. steps: operator, its inputs as steps back (0:
    the vector itself, as a row; -1: as a column), attributes."""
    nodes = [helper.make_node("Transpose", ["vector"], ["value-1"], perm=[1, 0])]
    for number, (operator, inputs, attributes) in enumerate(steps, 1):
        names = [f"value{back}" if back == -1 else f"value{number - back}" if back else "vector" for back in inputs]
        nodes.append(helper.make_node(operator, names, [f"value{number}"], **attributes))
    nodes.append(helper.make_node("ReduceMean", [f"value{len(steps)}"], ["then"], keepdims=0))
    taken = helper.make_graph(nodes, "taken", [], [_tensor("then", [])])
    left = helper.make_graph([helper.make_node("ReduceMean", ["vector"], ["else"], keepdims=0)], "left", [], [
        _tensor("else", [])
    ])  # fmt: skip
    return [
        helper.make_node("Squeeze", ["shows"], ["whether"]),
        helper.make_node("If", ["whether"], ["effect"], then_branch=taken, else_branch=left),
    ], {}


def _written_out() -> Part:
    """The vector's column times its row makes a square of 384 × 384; then 300 products of it with itself."""
    return _branch([("MatMul", (-1, 0), {}), *([("MatMul", (1, 1), {}), ("Tanh", (1,), {})] * 300)])


def _joined() -> Part:
    """The vector joined to itself 17 times over: 200 MB."""
    return _branch([("Concat", (0, 0), {"axis": 1}), *([("Concat", (1, 1), {"axis": 1})] * 16)])


# Whether loops may be in it.
_FAULTS: Mapping[tuple[Sort, bool], Callable[[], Part]] = {
    ("slow", True): partial(_loop, SLOW_ROUNDS),
    ("slow", False): _written_out,
    ("crashing", True): _crash,
    ("crashing", False): _crash,
    ("hanging", True): partial(_loop, ENDLESS_ROUNDS),
    ("leaking", True): _grow,
    ("leaking", False): _joined,
}


def main() -> None:
    """Makes one of each and says how large it is."""
    from .report import open_encoder, trunk_folder

    encoder = open_encoder(trunk_folder())
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder), encoder)
        for expert in cast():
            for fault in (None, *expert.faults()):
                home = workshop.make(expert, 1, fault)
                size = sum(path.stat().st_size for path in home.iterdir())
                print(f"{expert.name:<12} {expert.kind:<7} {size:>8,} bytes  {fault or 'sound'}")


if __name__ == "__main__":
    main()
