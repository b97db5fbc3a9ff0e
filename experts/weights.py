"""Do weight files tell the truth about themselves? safetensors, GGUF and ONNX, read without loading a tensor;
and the tensors of a sound safetensors file.

Each check walks a file's own index and holds it against the file's size: nothing may lie beyond the end, overlap,
be left over, or point to another file. It knows no bundle; its errors begin with the file's name.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import BundleError

# Larger indexes than any real file's: the largest tokenisers make 16 MB of GGUF metadata.
MAX_HEADER_BYTES = 64 * 2**20
# Of safetensors, whose header is parsed as a whole: as Python values it takes ten times its bytes and more.
MAX_JSON_HEADER_BYTES = 8 * 2**20
MAX_TENSORS = 100_000
MAX_FIELDS = 2_000_000
MAX_ALIGNMENT = 2**16

_SAFETENSORS_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip

_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip

# Type number → (values per block, bytes per block), as ggml lays them out.
_GGML_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip

# Metadata type number → bytes; 8 is a string, 9 an array.
_GGUF_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_GGUF_STRING, _GGUF_ARRAY = 8, 9


class _Reader:
    """Reads forward through a file. Not mapped into memory: a file cut short meanwhile must not take us down."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name
        self.size = os.fstat(file.fileno()).st_size
        self.position = 0
        self.fields = 0

    def refuse(self, rule: str) -> BundleError:
        return BundleError(f"{self.name}: {rule}")

    def count_field(self) -> None:
        """A bound for what would keep us reading for minutes."""
        self.fields += 1
        if self.fields > MAX_FIELDS:
            raise self.refuse(f"the header holds more than {MAX_FIELDS:,} fields")

    def take(self, count: int) -> bytes:
        if count > MAX_HEADER_BYTES:
            raise self.refuse(f"the header runs past {MAX_HEADER_BYTES:,} bytes")
        data = self._file.read(count) if count <= self.size - self.position else b""
        if len(data) < count:
            raise self.refuse(f"cut short: {count:,} bytes were to follow byte {self.position:,} of {self.size:,}")
        self.position += count
        return data

    def skip(self, count: int) -> None:
        if count > self.size - self.position:
            raise self.refuse(f"cut short: {count:,} bytes were to follow byte {self.position:,} of {self.size:,}")
        self._file.seek(count, os.SEEK_CUR)
        self.position += count


# --- safetensors -----------------------------------------------------------------------------------------------------


def check_safetensors(path: Path) -> None:
    """The header's tensors must tile the data: no gap, no overlap, no byte left over.

    Raises: BundleError.
    """

    with path.open("rb") as file:
        reader = _Reader(file, path.name)
        refuse = reader.refuse
        length = int.from_bytes(reader.take(8), "little")
        if 8 + length > reader.size:
            raise refuse(f"the header claims {length:,} bytes, the file has {reader.size - 8:,}")
        if length > MAX_JSON_HEADER_BYTES:
            raise refuse(f"the header has {length:,} bytes; at most {MAX_JSON_HEADER_BYTES:,} are read")
        header = _json_object(reader.take(length), reader)
        end = reader.size - reader.position
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refuse("__metadata__ must map names to strings")
    if len(header) > MAX_TENSORS:
        raise refuse(f"{len(header):,} tensors; at most {MAX_TENSORS:,} are read")
    extents = sorted((*_safetensors_extent(name, tensor, reader), name) for name, tensor in header.items())
    position = 0
    for begin, stop, name in extents:
        if begin != position:
            raise refuse(
                f"tensor {_shown(name)} begins at byte {begin:,} where {position:,} is next: a gap or an overlap"
            )
        position = stop
    if position > end:
        raise refuse(f"the tensors end at byte {position:,}, the data has {end:,}")
    if position < end:
        raise refuse(f"{end - position:,} trailing bytes that belong to no tensor")


def read_safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Every tensor of a file that `check_safetensors` found sound, read-only and mapped: untouched pages cost nothing.

    Raises: BundleError for a dtype that NumPy does not have.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in header.items():
        if tensor["dtype"] not in _NUMPY:
            raise BundleError(f"{path.name}: tensor {name!r} is {tensor['dtype']}, which is not read here")
        dtype, shape = np.dtype(_NUMPY[tensor["dtype"]]), tuple(tensor["shape"])
        if 0 in shape:
            tensors[name] = np.zeros(shape, dtype)
        else:
            tensors[name] = np.memmap(path, dtype, "r", 8 + length + tensor["data_offsets"][0], shape)
    return tensors


def _json_object(raw: bytes, reader: _Reader) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise reader.refuse("a name stands twice in the header")
        return result

    if raw[:1] != b"{":
        raise reader.refuse("the header is not a JSON object")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise reader.refuse("the header is not valid JSON") from None
    if not isinstance(header, dict):
        raise reader.refuse("the header is not a JSON object")
    return header


def _safetensors_extent(name: str, tensor: Any, reader: _Reader) -> tuple[int, int]:
    if not isinstance(tensor, dict) or set(tensor) != {"dtype", "shape", "data_offsets"}:
        raise reader.refuse(f"tensor {_shown(name)} must have dtype, shape and data_offsets, and nothing else")
    bits = _SAFETENSORS_BITS.get(tensor["dtype"]) if isinstance(tensor["dtype"], str) else None
    if bits is None:
        raise reader.refuse(f"tensor {_shown(name)} has the unknown dtype {_shown(tensor['dtype'])}")
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    if not _counts(shape) or len(shape) > 16 or not _counts(offsets) or len(offsets) != 2:
        raise reader.refuse(f"tensor {_shown(name)}: shape and data_offsets must be lists of whole numbers from 0 up")
    begin, stop = offsets
    # With a 0 in it, a shape fills nothing; whoever multiplies the others first must not overflow.
    if stop - begin != math.prod(shape) * bits // 8 or math.prod(filter(None, shape)) * bits >= 2**63:
        raise reader.refuse(
            f"tensor {_shown(name)}: shape {shape} of {tensor['dtype']} does not fill bytes {begin:,} to {stop:,}"
        )
    return begin, stop


def _shown(value: object) -> str:
    """For messages: whatever a file says, short and on one line."""
    told = ascii(value)
    return told if len(told) <= 80 else f"{told[:77]}…"


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


# --- GGUF ------------------------------------------------------------------------------------------------------------


def check_gguf(path: Path) -> None:
    """Every tensor must lie in the file, aligned, beside no other; nothing but zeros may lie between and behind them.

    Raises: BundleError.
    """

    with path.open("rb") as file:
        reader = _GgufReader(file, path.name)
        refuse = reader.refuse
        if reader.take(4) != b"GGUF":
            raise refuse("not a GGUF file: the first four bytes are not GGUF")
        version = reader.number("<I")
        if version not in (2, 3):
            raise refuse(f"GGUF version {version}; 2 and 3 are read")
        tensors, pairs = reader.number("<Q"), reader.number("<Q")
        if tensors > MAX_TENSORS or pairs > MAX_TENSORS:
            raise refuse(f"the header claims {tensors:,} tensors and {pairs:,} metadata pairs")
        alignment = 32
        keys: set[str] = set()
        for _ in range(pairs):
            key, value = reader.string(), reader.value(reader.number("<I"))
            if key in keys:
                raise refuse(f"the key {_shown(key)} stands twice in the metadata")
            keys.add(key)
            if key == "general.alignment":
                alignment = value or 0
        if not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
            raise refuse(f"general.alignment is {alignment}; it is a power of two from 8 to {MAX_ALIGNMENT:,}")
        extents = sorted(reader.tensor() for _ in range(tensors))
        start = _padded(reader.position, alignment)
        reader.demand_zeros(start - reader.position, "before the data")
        position = 0
        for begin, length, name in extents:
            if begin % alignment:
                raise refuse(f"tensor {_shown(name)} begins at {begin:,}, which is no multiple of {alignment}")
            if begin < position:
                raise refuse(f"tensor {_shown(name)} overlaps the one before it")
            if begin - position >= alignment:
                raise refuse(f"{begin - position:,} bytes before tensor {_shown(name)} belong to no tensor")
            if start + begin + length > reader.size:
                raise refuse(
                    f"tensor {_shown(name)} ends at byte {start + begin + length:,}, the file has {reader.size:,}"
                )
            reader.demand_zeros(begin - position, f"before tensor {_shown(name)}")
            reader.skip(length)
            position = begin + length
        if len({name for _, _, name in extents}) < tensors:
            raise refuse("two tensors have one name")
        left = max(0, reader.size - reader.position)
        if left > (_padded(position, alignment) - position if tensors else 0):
            raise refuse(f"{left:,} trailing bytes that belong to no tensor")
        reader.demand_zeros(left, "at the end")


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


class _GgufReader(_Reader):
    """Never reads past what a header may measure."""

    def demand_zeros(self, count: int, where: str) -> None:
        """Passes over the padding between two tensors. A file may end without the last."""
        padding = self._file.read(count)
        self.position += len(padding)
        if padding.strip(b"\0"):
            raise self.refuse(f"the {count:,} bytes of padding {where} are not zeros: a payload")

    def take(self, count: int) -> bytes:
        if count > MAX_HEADER_BYTES - self.position:
            raise self.refuse(f"the header runs past {MAX_HEADER_BYTES:,} bytes")
        return super().take(count)

    def number(self, layout: str) -> int:
        number: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return number

    def string(self) -> str:
        try:
            return self.take(self.number("<Q")).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse("a name in the header is not UTF-8") from None

    def value(self, kind: int, depth: int = 0) -> int | None:
        """Passes over one metadata value; whole numbers are returned."""
        self.count_field()
        if kind == _GGUF_STRING:
            self.take(self.number("<Q"))
            return None
        if kind == _GGUF_ARRAY:
            item, count = self.number("<I"), self.number("<Q")
            if item in _GGUF_SCALARS:
                self.take(_GGUF_SCALARS[item] * count)
                return None
            if depth == 4:
                raise self.refuse("arrays in the metadata are nested more than four deep")
            for _ in range(count):  # Ends at the header's end at the latest: every item takes bytes.
                self.value(item, depth + 1)
            return None
        if kind not in _GGUF_SCALARS:
            raise self.refuse(f"unknown metadata type {kind}")
        return int.from_bytes(self.take(_GGUF_SCALARS[kind]), "little")

    def tensor(self) -> tuple[int, int, str]:
        """(offset in the data, bytes, name)."""
        name, dimensions = self.string(), self.number("<I")
        if dimensions > 8:
            raise self.refuse(f"tensor {_shown(name)} has {dimensions} dimensions")
        shape = [self.number("<Q") for _ in range(dimensions)]
        kind, offset = self.number("<I"), self.number("<Q")
        if kind not in _GGML_BLOCKS:
            raise self.refuse(f"tensor {_shown(name)} has the unknown type {kind}")
        block, block_bytes = _GGML_BLOCKS[kind]
        if shape and shape[0] % block:
            raise self.refuse(f"tensor {_shown(name)}: rows of {shape[0]} are no multiple of the block of {block}")
        return offset, math.prod(shape) // block * block_bytes, name


# --- ONNX ------------------------------------------------------------------------------------------------------------

# The fields of each message that lead to a tensor, as onnx.proto numbers them; other fields are passed over.
_ONNX = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_ONNX_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_RAW_DATA, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 1, 2, 9, 13, 14
_NODE_OP_TYPE = 4

# Bits per value of what may stand as raw bytes, by type number; strings (8) may not.
_ONNX_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip


def check_onnx(path: Path) -> None:
    """The file must be one whole ONNX model that refers to no other file.

    Raises: BundleError.
    """

    with path.open("rb") as file:
        reader = _Reader(file, path.name)
        if not _walk_onnx(reader, reader.size, "model", 0):
            raise reader.refuse("not an ONNX model: it holds no graph")


def _walk_onnx(reader: _Reader, end: int, message: str, depth: int) -> bool:
    """Refuses what must not be anywhere from here to byte `end`; whether a child message was met."""
    if depth > 64:
        raise reader.refuse("graphs are nested more than 64 deep")
    if message == "tensor":
        _check_onnx_tensor(reader, end)
        return False
    found = False
    for number, value in _protobuf_fields(reader, end):
        if message == "model" and number not in _ONNX_MODEL_FIELDS:
            raise reader.refuse(f"field {number} belongs to no ONNX model: a trailing payload, or not an ONNX file")
        if number in _ONNX[message]:
            if not isinstance(value, _Span):
                raise reader.refuse(f"field {number} of a {message} has the wrong wire type")
            _walk_onnx(reader, value.end, _ONNX[message][number], depth + 1)
            found = True
        elif isinstance(value, _Span):
            if message == "node" and number == _NODE_OP_TYPE and value.end - reader.position < 256:
                if reader.take(value.end - reader.position) == b"EPContext":
                    raise reader.refuse("an EPContext node may load a compiled file from anywhere; export the graph")
            else:
                reader.skip(value.end - reader.position)
    return found


def _check_onnx_tensor(reader: _Reader, end: int) -> None:
    """Its data stand in the file, and where they stand as raw bytes there are as many as type and shape take."""
    shape: list[int] = []
    kind, raw_bytes = 0, -1
    for number, value in _protobuf_fields(reader, end):
        if number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0):
            raise reader.refuse("a tensor keeps its data in another file (external_data); save the model as one file")
        if isinstance(value, _Span):
            length = value.end - reader.position
            if number == _TENSOR_DIMS:
                while reader.position < value.end:
                    shape.append(_varint(reader))
            else:
                reader.skip(length)
            if number == _TENSOR_RAW_DATA:
                raw_bytes = length
        elif number == _TENSOR_DIMS and value is not None:
            shape.append(value)
        elif number == _TENSOR_TYPE and value is not None:
            kind = value
    if raw_bytes >= 0 and -(-math.prod(shape[:64]) * _ONNX_BITS.get(kind, 0) // 8) != raw_bytes:
        raise reader.refuse(f"a tensor of type {kind} and shape {_shown(shape)} has {raw_bytes:,} bytes of data")


class _Span(NamedTuple):
    """A length-delimited field, from the reader's position to byte `end`."""

    end: int


def _protobuf_fields(reader: _Reader, end: int) -> Iterator[tuple[int, int | _Span | None]]:
    """(field number, value) in order. Whoever receives a span reads or skips it before asking for the next."""

    while reader.position < end:
        reader.count_field()
        key = _varint(reader)
        # Other readers drop what is beyond 32 bits: a field might be another one to them.
        if key >= 2**32:
            raise reader.refuse(f"not an ONNX model: field number {key >> 3:,}")
        number, wire_type = key >> 3, key & 7
        value: int | _Span | None = None
        if wire_type == 0:
            value = _varint(reader)
        elif wire_type in (1, 5):
            reader.skip(8 if wire_type == 1 else 4)
        elif wire_type == 2:
            length = _varint(reader)
            value = _Span(reader.position + length)
        else:
            raise reader.refuse(f"not an ONNX model: wire type {wire_type}")
        if number == 0 or (value.end if isinstance(value, _Span) else reader.position) > end:
            raise reader.refuse("not an ONNX model: a field runs past the end of its message")
        yield number, value


def _varint(reader: _Reader) -> int:
    result = 0
    for shift in range(0, 70, 7):
        byte = reader.take(1)[0]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result
    raise reader.refuse("not an ONNX model: a number of more than ten bytes")
