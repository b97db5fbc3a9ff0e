"""Makes small ONNX networks and sealed bundles around them, so that tests and benches need no download.

Three networks of the shapes that small experts have, with random weights: a perceptron over the trunk's vector, a
convolution over a text's bytes, and one over a series. The same arguments give the same bytes on every machine.

    python -m bench.onnx_files FOLDER [--input bytes] [--name probe] [--version 1] [--width 64]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from expertd.experts.bundle import Bundle, seal
from expertd.router.encoder import DIMENSIONS, pinned

Input = Literal["vector", "bytes", "series"]
Floats = npt.NDArray[np.float32]

INPUTS: tuple[Input, ...] = ("vector", "bytes", "series")


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, npt.NDArray[Any]],
    given: onnx.ValueInfoProto,
    gives: Sequence[onnx.ValueInfoProto],
    **more: Any,
) -> Path:
    """Writes a model of these nodes, as one file. more: of `helper.make_model`."""
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(list(nodes), "graph", [given], list(gives), initializers)
    usual = {"opset_imports": [helper.make_opsetid("", 17)], "ir_version": 9, "producer_name": "bench"}
    onnx.save(helper.make_model(graph, **{**usual, **more}), path)
    return path


def write_network(path: Path, given: Input = "vector", outputs: int = 3, *, width: int = 64, seed: int = 0) -> Path:
    """A network with random weights that reads `given` and gives float32 (1, outputs), named "scores".

    width: of its hidden layer. "vector": about 1.6 × width KB; "bytes": 12 × width² + 1,024 × width bytes.
    """
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> Floats:
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    gives = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, outputs])
    # A wide spread, so that labels differ from text to text.
    last = {"last": 8 * weights(outputs, width).T, "last_bias": weights(outputs, 1)[:, 0]}
    node = helper.make_node
    if given == "vector":
        nodes = [
            node("Gemm", ["vector", "first", "first_bias"], ["hidden"]),
            node("Relu", ["hidden"], ["bent"]),
            node("Gemm", ["bent", "last", "last_bias"], ["scores"]),
        ]
        info = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, DIMENSIONS])
        first = {"first": 8 * weights(DIMENSIONS, width), "first_bias": weights(width, 1)[:, 0]}
        return save(path, nodes, {**first, **last}, info, [gives])
    if given == "bytes":
        nodes = [
            node("Gather", ["bytes", "table"][::-1], ["rows"]),
            node("Transpose", ["rows"], ["in"], perm=[0, 2, 1]),
        ]
        info = helper.make_tensor_value_info("bytes", TensorProto.INT64, [1, "length"])
        first = {"table": weights(256, width), "kernel": 4 * weights(width, width, 3), "bias": weights(width, 1)[:, 0]}
    else:
        nodes = [node("Unsqueeze", ["series", "axes"], ["in"])]
        info = helper.make_tensor_value_info("series", TensorProto.FLOAT, [1, "length"])
        first = {"axes": np.array([1]), "kernel": weights(width, 1, 3), "bias": weights(width, 1)[:, 0]}
    nodes += [
        node("Conv", ["in", "kernel", "bias"], ["hidden"], pads=[1, 1]),
        node("Relu", ["hidden"], ["bent"]),
        node("GlobalAveragePool", ["bent"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "last", "last_bias"], ["scores"]),
    ]
    return save(path, nodes, {**first, **last}, info, [gives])


def write_bundle(
    folder: Path,
    name: str = "probe",
    version: int = 1,
    *,
    given: Input = "vector",
    labels: Sequence[str] = ("low", "middle", "high"),
    width: int = 64,
    seed: int = 0,
    sentences: Mapping[str, Sequence[str]] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Bundle:
    """A sealed bundle of kind onnx in `folder`. labels: none, and it gives three values. parameters: further ones."""
    folder.mkdir(parents=True, exist_ok=True)
    write_network(folder / "model.onnx", given, len(labels) or 3, width=width, seed=seed)
    size_mb = (folder / "model.onnx").stat().st_size / 2**20
    table: dict[str, Any] = {"input": given, "output": "label" if labels else "values", "needs_input": "Of what?"}
    if labels:
        table["labels"] = list(labels)
    table |= parameters or {}
    (folder / "expert.toml").write_text(
        f'name = "{name}"\nversion = {version}\nkind = "onnx"\nsummary = "A random network for measurements."\n'
        f'licence = "Apache-2.0"\n{f"""trunk = "{pinned().id}"{chr(10)}""" if given == "vector" else ""}\n'
        f"[resources]\nmemory_mb = {size_mb + 1:.1f}\nlatency_ms = 20\n\n"
        "[parameters]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    )
    asked = {"series": [1.0, 2.0, 3.0, 4.0]} if given == "series" else {"payload": "a few words to look at"}
    golden = {
        "query": {"text": f"look at this with {name}", **asked},
        "expect": {"type": "label" if labels else "structured"},
    }
    (folder / "golden.jsonl").write_text(json.dumps(golden) + "\n")
    rows = sentences or {"look": [f"look at this with {name}", f"what does {name} say of this"]}
    (folder / "intents.jsonl").write_text(
        "".join(json.dumps({"intent": intent, "text": text}) + "\n" for intent, texts in rows.items() for text in texts)
    )
    (folder / "CARD.md").write_text(f"# {name}\n\nA network with random weights, for measurements. It knows nothing.\n")
    return seal(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a sealed bundle around a small random network.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--input", choices=INPUTS, default="vector")
    parser.add_argument("--name", default="probe")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    bundle = write_bundle(
        options.folder, options.name, options.version, given=options.input, width=options.width, seed=options.version
    )
    print(f"{bundle}: {bundle.disk_bytes / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
