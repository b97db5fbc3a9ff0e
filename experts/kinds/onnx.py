"""The kind `onnx`: any small network in one ONNX file, with declared input and output.

Small networks run in the daemon: on the event loop where an answer takes less than a millisecond, in a thread else.
Large ones, and those whose operators may take any time or memory, want a process of their own (`apart`), where
`OnnxModel` serves as well. Importing this module is cheap; onnxruntime is loaded with the first network. Knows nothing
of that process and nothing of training.

    model.onnx     one input, one output, every weight inside
    [parameters]   as `Parameters` below
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import BundleError, QueryError, UnavailableError
from ..servable import Emit, Host
from ..values import Abstention, Answer, Outcome, Query, Structured
from .labelling import Labelling, check_labels, subject

if TYPE_CHECKING:
    import onnxruntime

    from ..bundle import Bundle

MODEL = "model.onnx"

# Larger files are served by a process of their own, unless their bundle says otherwise.
APART_BYTES = 32 * 2**20
# An answer that takes longer leaves the event loop.
INLINE_S = 0.001
# An inline one that took so many times longer than was expected is the last of its network.
SURPRISE_TIMES = 3
# One that takes longer is watched: it ends early when nobody waits for it any more.
WATCHED_S = 0.05

_DIMENSIONS = 384
_MAX_OUTPUTS = 10_000
# Standard operators, and the ones that onnxruntime itself brings.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
# Their time or their output's size is decided by numbers, not by the file's size or the input's: which branch is taken,
# too. And a division of whole numbers can end the process: by 0, or of the lowest one by -1.
_RISKY = frozenset(
    {
        "Div",
        "Mod",
        "If",
        "Loop",
        "Scan",
        "ConstantOfShape",
        "EyeLike",
        "Expand",
        "OneHot",
        "Pad",
        "RandomNormal",
        "RandomUniform",
    }
    | {"Range", "Resize", "Tile", "Upsample", "CropAndResize", "ImageDecoder", "BeamSearch", "GreedySearch", "Sampling"}
)
# What all networks in the daemon may take together while they answer: one that would take more fails.
SCRATCH_BYTES = 128 * 2**20
# What a session takes beside its weights once freed memory is given back: onnxruntime 1.32, mean over 30 sessions.
_SESSION_BYTES = 36 * 2**10
_NODE_BYTES = 4 * 2**10


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """[parameters] of the manifest.

    input: "vector", the trunk's unit vector, float32 (1, 384); "bytes", the text in UTF-8, int64 (1, n), of which the
    first `max_bytes` are read; "series", float32 (1, n), of which the last `max_values` are read.
    output: "label", logits float32 (1, k), one for each of `labels`; "values", float32 (1, m).
    process: which process serves it; "auto": a worker where the file is large or an operator is risky.
    needs_input: what is asked back when there is nothing to judge. phrases, temperature: as in kind linear.
    """

    input: Literal["vector", "bytes", "series"]
    output: Literal["label", "values"]
    needs_input: str
    process: Literal["daemon", "worker", "auto"] = "auto"
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 1_024
    max_values: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4_096
    labels: Annotated[tuple[str, ...], msgspec.Meta(max_length=1_000)] = ()
    phrases: dict[str, str] = {}
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_labels(self.labels, self.phrases, self.temperature)
        if self.output == "label" and len(self.labels) < 2:
            raise ValueError('output = "label" needs two "labels" or more')
        if self.output == "values" and self.labels:
            raise ValueError('output = "values" has no use for "labels"')

    @property
    def longest(self) -> int:
        """n of the longest input."""
        return {"vector": _DIMENSIONS, "bytes": self.max_bytes, "series": self.max_values}[self.input]


def read_parameters(parameters: Mapping[str, Any], *, bundle: str) -> Parameters:
    """Checks a manifest's [parameters]. Raises: BundleError."""
    try:
        return msgspec.convert(parameters, Parameters)
    except msgspec.ValidationError as error:
        raise BundleError(f"{bundle}: expert.toml: [parameters]: {error}") from None


def apart(bundle: Bundle) -> bool:
    """Whether it wants a process of its own. Reads the file's index, no weights.

    Raises: BundleError for parameters that this kind does not know, or operators that may not run where they want to.
    """
    process = read_parameters(bundle.manifest.parameters, bundle=str(bundle)).process
    file = bundle.file(MODEL)
    risky = sorted(_survey(file, str(bundle)).operators & _RISKY)
    if process == "daemon" and risky:
        raise BundleError(
            f"{bundle}: {MODEL}: the operator {risky[0]} may take any time or memory, or end the process, and does "
            'not run in the daemon; set process = "worker"'
        )
    return process == "worker" or (process == "auto" and (bool(risky) or file.stat().st_size > APART_BYTES))


def _never() -> bool:
    return False


# --- The model -------------------------------------------------------------------------------------------------------


class OnnxModel:
    """A network in memory. Answers from any number of threads at a time."""

    def __init__(
        self, path: Path, parameters: Parameters, *, name: str, threshold: float = 0.0, lean: bool = False
    ) -> None:
        """Loads it. path: the file, or the folder of its bundle. name: of the expert, as answers and errors give it.

        lean: for the daemon's process. Weights are not packed a second time for speed, which would take half as much
        memory again, and what answers take meanwhile is bounded, for all lean networks together, by SCRATCH_BYTES.

        Raises: BundleError where the network does not fit the parameters.
        """
        file = path / MODEL if path.is_dir() else path
        self.parameters = parameters
        self._name = name
        self._lean = lean
        self._labelling = Labelling(name, parameters.labels, parameters.phrases, parameters.temperature, threshold)
        survey = _survey(file, name)
        self._session: onnxruntime.InferenceSession | None = _open_session(file, name, lean)
        self._input, self._output = self._check(self._session)
        self.resident_bytes = file.stat().st_size + _SESSION_BYTES + _NODE_BYTES * survey.nodes
        # Seconds that each value of the input takes: nobody knows before `rehearse`.
        self._pace_s = math.inf

    def answer(
        self, query: Query, emit: Callable[[str], None] = lambda _: None, cancelled: Callable[[], bool] = _never
    ) -> Outcome:
        """A `Label`, or the values as `Structured`; nothing is emitted before.

        Raises: QueryError for a series with gaps, UnavailableError when the network fails or gives no finite numbers.
        """
        given = self._read(query)
        if isinstance(given, Abstention):
            return given
        found = self._run(given, cancelled)
        if self.parameters.output == "label":
            return self._labelling.outcome(self._labelling.probabilities(found))
        values = found.tolist()
        shown = ", ".join(f"{value:.4g}" for value in values[:8])
        return Answer(f"{shown}, … ({len(values)} values)" if values[8:] else shown, Structured({"values": values}))

    def seconds(self, query: Query) -> float:
        """About how long an answer takes; infinite before `rehearse`."""
        match self.parameters.input:
            case "bytes":
                length = min(len(subject(query)), self.parameters.max_bytes)
            case "series":
                length = min(0 if query.series is None else query.series.values.size, self.parameters.max_values)
            case _:
                length = _DIMENSIONS
        return self._pace_s * length

    def rehearse(self, cancelled: Callable[[], bool] = _never) -> None:
        """Runs the network on the shortest and the longest input, and times it.

        Raises: BundleError where it fails, or gives anything but finite numbers of the right count.
        """
        longest = self.parameters.longest
        try:
            for length in sorted({1 if self.parameters.input != "vector" else longest, longest}):
                given = self._example(length)
                took: list[float] = []
                # The first run of a kind makes ready what later ones find.
                while len(took) < 3 and sum(took) < WATCHED_S:
                    began = time.perf_counter()
                    self._run(given, cancelled)
                    took.append(time.perf_counter() - began)
                self._pace_s = min(took) / length
        except UnavailableError as error:
            raise BundleError(f"{error} (tried on an example of length {length:,})") from error

    def close(self) -> None:
        """Lets go of the network; answers that are being made end well."""
        self._session = None

    def _read(self, query: Query) -> npt.NDArray[Any] | Abstention:
        """What the network is given, (1, n)."""
        parameters = self.parameters
        if parameters.input == "series":
            if query.series is None or query.series.values.size == 0:
                return Abstention(parameters.needs_input, "needs_input")
            with np.errstate(over="ignore"):
                values = query.series.values[-parameters.max_values :].astype(np.float32)
            if not np.isfinite(values).all():
                raise QueryError(
                    f"{self._name} reads series without gaps, of numbers up to 3e38; fill the gaps first",
                    reason="SERIES_HAS_GAPS",
                    field="series",
                )
            return values[None]
        text = subject(query)
        if not text.strip():
            return Abstention(parameters.needs_input, "needs_input")
        if parameters.input == "vector":
            if query.vector is None:
                raise ValueError(f"{self._name} reads the trunk's vector, and the query brought none")
            return np.asarray(query.vector, np.float32)[None]
        read = text[: parameters.max_bytes].encode("utf-8", "replace")[: parameters.max_bytes]
        return np.frombuffer(read, np.uint8).astype(np.int64)[None]

    def _example(self, length: int) -> npt.NDArray[Any]:
        match self.parameters.input:
            case "vector":
                return np.full((1, length), length**-0.5, np.float32)
            case "bytes":
                return np.resize(np.frombuffer(b"How does this sound? ", np.uint8).astype(np.int64), (1, length))
            case _:
                return np.sin(np.arange(length, dtype=np.float32) / 4)[None]

    def _run(self, given: npt.NDArray[Any], cancelled: Callable[[], bool]) -> npt.NDArray[np.float32]:
        """The network's output, (m,), finite."""
        session = self._session
        if session is None:
            raise UnavailableError(f"{self._name} is closed", reason="CLOSED", retryable=True)
        try:
            options = _run_options(self._lean)
            with _watched(options, cancelled) if self._pace_s * given.shape[1] >= WATCHED_S else nullcontext():
                found = session.run([self._output], {self._input: given}, options)[0]
        except Exception as error:  # onnxruntime's own exceptions share no base
            reason = "CANCELLED" if cancelled() else "MODEL_FAILED"
            raise UnavailableError(f"{self._name}: {MODEL}: onnxruntime: {error}", reason=reason) from error
        expected = len(self.parameters.labels) if self.parameters.output == "label" else None
        if found.ndim != 2 or found.shape[0] != 1 or not 1 <= found.shape[1] <= _MAX_OUTPUTS:
            problem = f"an output of shape {found.shape} where (1, m) was expected, m at most {_MAX_OUTPUTS:,}"
        elif expected is not None and found.shape[1] != expected:
            problem = f"{found.shape[1]} logits for {expected} labels"
        elif not np.isfinite(found).all():
            problem = "a number that is not finite"
        else:
            return np.asarray(found[0], np.float32)
        raise UnavailableError(f"{self._name}: {MODEL}: gave {problem}", reason="BAD_OUTPUT")

    def _check(self, session: onnxruntime.InferenceSession) -> tuple[str, str]:
        """The names of input and output, once they are as the parameters say."""
        parameters = self.parameters
        wanted = {
            "input": (
                session.get_inputs(),
                "tensor(int64)" if parameters.input == "bytes" else "tensor(float)",
                _DIMENSIONS if parameters.input == "vector" else None,
            ),
            "output": (
                session.get_outputs(),
                "tensor(float)",
                len(parameters.labels) if parameters.output == "label" else 0,
            ),
        }
        names = []
        for side, (nodes, dtype, columns) in wanted.items():
            declared = f'{side} = "{getattr(parameters, side)}"'
            if len(nodes) != 1:
                raise BundleError(f"{self._name}: {MODEL}: {len(nodes)} {side}s; {declared} needs exactly one")
            node = nodes[0]
            if node.type != dtype:
                raise BundleError(f"{self._name}: {MODEL}: {side} {node.name!r} is {node.type}; {declared} is {dtype}")
            # A name, or nothing, stands for any length.
            shape = [size if isinstance(size, int) else None for size in node.shape]
            fits = len(shape) == 2 and shape[0] in (1, None)
            if fits and columns is None:
                fits = shape[1] is None
            elif fits and columns:
                fits = shape[1] in (columns, None)
            if not fits:
                expected = f"(1, {'any n' if columns is None else columns or 'm'})"
                raise BundleError(
                    f"{self._name}: {MODEL}: {side} {node.name!r} has the shape {node.shape}; {declared} is {expected}"
                )
            names.append(node.name)
        return names[0], names[1]


def _open_session(file: Path, name: str, lean: bool) -> onnxruntime.InferenceSession:
    """Raises: BundleError."""
    # From 1.32 on, importing it writes a device identity into the user's cache and starts a thread, unless told so.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Answers come at irregular times: a pattern, or an arena of its own, would keep the largest one's memory for good.
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if lean:
        _bound_scratch()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.add_session_config_entry("session.disable_prepacking", "1")
        # Nothing is computed before the first answer: that would not be bounded.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    else:
        options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base
        raise BundleError(f"{name}: {file.name}: onnxruntime refuses it: {error}") from error


@cache
def _bound_scratch() -> None:
    """Makes the one arena of which every lean session's answers take their memory. onnxruntime keeps it for good."""
    import onnxruntime
    from onnxruntime.capi import _pybind_state

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    where = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    sizes = {"arena_extend_strategy": 1, "initial_chunk_size_bytes": 2**16, "max_dead_bytes_per_chunk": 2**16}
    _pybind_state.create_and_register_allocator(where, onnxruntime.OrtArenaCfg({"max_mem": SCRATCH_BYTES, **sizes}))


def _run_options(lean: bool) -> onnxruntime.RunOptions:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    if lean:
        # Gives back what the arena does not hold for somebody else.
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


@contextmanager
def _watched(options: onnxruntime.RunOptions, cancelled: Callable[[], bool]) -> Iterator[None]:
    """A run under these options ends after its present operator once `cancelled` says so."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if cancelled():
                options.terminate = True
                return

    watcher = threading.Thread(target=watch, name="onnx-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


# --- The servable ----------------------------------------------------------------------------------------------------


class OnnxServable:
    """Serves a network in the daemon's process."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._inline = True

    @property
    def needs_vector(self) -> bool:
        return self._model.parameters.input == "vector"

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: QueryError, UnavailableError: as `OnnxModel.answer`."""
        if self._inline and self._model.seconds(query) < INLINE_S:
            began = time.thread_time()
            try:
                return self._model.answer(query)
            finally:
                # What a network does may depend on what it reads: one surprise, and it leaves the event loop for good.
                self._inline = time.thread_time() - began < SURPRISE_TIMES * INLINE_S
        gone = threading.Event()
        try:
            return await asyncio.to_thread(self._model.answer, query, cancelled=gone.is_set)
        finally:
            gone.set()

    def resident_bytes(self) -> int:
        return self._model.resident_bytes

    def worker_pid(self) -> int:
        return 0

    async def close(self) -> None:
        self._model.close()


async def load(bundle: Bundle, host: Host) -> OnnxServable:
    """Raises: BundleError when the network does not fit its parameters, wants a process of its own, or fails when it
    is tried."""
    manifest = bundle.manifest
    parameters = read_parameters(manifest.parameters, bundle=str(bundle))
    if parameters.input == "vector" and not manifest.trunk:
        raise BundleError(
            f'{bundle}: expert.toml: "trunk" is missing; a network that reads the trunk\'s vector names the trunk that '
            "it was fitted on"
        )

    gone = threading.Event()

    def work() -> OnnxModel:
        if apart(bundle):
            raise BundleError(f"{bundle}: {MODEL}: wants a worker (it is large, or an operator is risky)")
        model = OnnxModel(
            bundle.file(MODEL), parameters, name=str(bundle), threshold=manifest.threshold or 0.0, lean=True
        )
        model.rehearse(gone.is_set)
        return model

    try:
        return OnnxServable(await asyncio.to_thread(work))
    finally:
        gone.set()


# --- What a file says of its graph -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Graph:
    nodes: int
    operators: frozenset[str]


# The fields that lead to nodes, as onnx.proto numbers them.
_MODEL, _GRAPH, _FUNCTION, _ATTRIBUTE = (
    {7: "graph", 25: "function"},
    {1: "node"},
    {7: "node"},
    {6: "graph", 11: "graph"},
)
_INNER: Mapping[str, Mapping[int, str]] = {
    "model": _MODEL,
    "graph": _GRAPH,
    "function": _FUNCTION,
    "node": {5: "attribute"},
    "attribute": _ATTRIBUTE,
}
_OP_TYPE, _DOMAIN = 4, 7


def _survey(path: Path, name: str) -> _Graph:
    """Every operator in the file, those of nested graphs too. Raises: BundleError for one that is not known here."""
    operators: list[str] = []

    def walk(end: int, message: str) -> None:
        operator, domain = "", ""
        for number, stop in _spans(file, end):
            if inner := _INNER[message].get(number):
                walk(stop, inner)
            elif message == "node" and number in (_OP_TYPE, _DOMAIN):
                text = file.read(stop - file.tell()).decode("utf-8", "replace")
                operator, domain = (text, domain) if number == _OP_TYPE else (operator, text)
            else:
                file.seek(stop)
        if message == "node":
            if domain not in _DOMAINS:
                raise BundleError(
                    f"{name}: {path.name}: the operator {operator} is of the domain {domain!r}; only standard ones and "
                    "onnxruntime's own are served (functions must be inlined)"
                )
            operators.append(operator)

    with path.open("rb") as file:
        walk(path.stat().st_size, "model")
    return _Graph(len(operators), frozenset(operators))


def _spans(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """(field number, where it ends) of the fields that hold bytes, up to byte `end`. The receiver moves to that end.

    The file's form was checked when its bundle was opened.
    """

    def varint() -> int:
        result = shift = 0
        while byte := file.read(1):
            result |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                break
        return result

    while file.tell() < end:
        key = varint()
        if key & 7 == 2:
            yield key >> 3, min(varint() + file.tell(), end)
        elif key & 7 == 0:
            varint()
        else:
            file.seek(8 if key & 7 == 1 else 4, os.SEEK_CUR)
