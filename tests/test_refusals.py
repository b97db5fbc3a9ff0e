"""Hostile bundles: each is refused by the rule it breaks, the file named, on each road into the store that it can take.

The matrix is data: what the attack is called, how it is made, which file is named, which words tell the rule.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import pickle
import re
import shutil
import socket
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from expertd.experts.bundle import Bundle, Limits
from expertd.experts.disk import Disk
from expertd.experts.errors import BundleError, StoreError
from expertd.experts.store import Store

MANIFEST = """\
name = "mark"
version = 2
kind = "linear"
summary = "For tests."
licence = "Apache-2.0"
trunk = "trunk-a"
[resources]
memory_mb = 1
latency_ms = 1
[parameters]
labels = ["no", "yes"]
"""
SOUND = {
    "CARD.md": b"# mark\nA bundle for tests.\n",
    "golden.jsonl": b'{"query": {"text": "mark it"}, "expect": {"abstains": true}}\n',
    "head.safetensors": save({"weights": np.arange(6, dtype=np.float16)}),
    "intents.jsonl": b'{"intent": "mark", "text": "mark it"}\n{"intent": "mark", "text": "put a mark on it"}\n',
}

Make = Callable[[Path], None]


@dataclass(frozen=True)
class Attack:
    """make: spoils a sound folder; it is sealed after. file: whom the error names; rule: what it says, a pattern."""

    name: str
    make: Make
    file: str
    rule: str


def seal_blindly(folder: Path) -> None:
    """Writes the right hashes for whatever is there: what an attacker does."""
    kept = (folder / "expert.toml").read_text().partition("\n[files]")[0].rstrip()
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{json.dumps(name)} = '{hashlib.sha256((folder / name).read_bytes()).hexdigest()}'"
        for name in names
        if name != "expert.toml"
    ]
    (folder / "expert.toml").write_text("\n".join([kept, "", "[files]", *lines, ""]))


def sound(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "expert.toml").write_text(MANIFEST)
    for name, data in SOUND.items():
        (folder / name).write_bytes(data)
    seal_blindly(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sound(tmp_path / "given" / "mark")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state", trunk_id="trunk-a")
    yield opened
    opened.close()


def by_folder(store: Store, folder: Path) -> Bundle:
    return store.admit(folder)


def by_upload(store: Store, folder: Path) -> Bundle:
    with store.receive() as upload:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            data = path.read_bytes()
            upload.begin(str(path.relative_to(folder)), len(data))
            upload.write(data)
        return upload.finish()


ROADS = pytest.mark.parametrize("road", [by_folder, by_upload])


def refused(store: Store, act: Callable[[], object], file: str, rule: str) -> None:
    """Refused in one printable line that names the file and the rule; and the store is as it was."""
    before = {name: (store.versions(name), store.current(name)) for name in store.experts()}
    with pytest.raises(BundleError) as caught:
        act()
    message = str(caught.value)
    assert file in message
    assert re.search(rule, message), message
    assert message.isprintable()
    assert len(message) < 500
    assert {name: (store.versions(name), store.current(name)) for name in store.experts()} == before
    assert os.listdir(store.layout.incoming) == []
    assert os.listdir(store.layout.quarantine) == []


@ROADS
def test_the_sound_bundle_that_all_attacks_begin_with_is_admitted(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle]
) -> None:
    assert str(road(store, folder)) == "mark 2"


# --- Contents --------------------------------------------------------------------------------------------------------


def put(name: str, data: bytes) -> Make:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    return make


def edit(old: str, new: str) -> Make:
    def make(folder: Path) -> None:
        path = folder / "expert.toml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return make


class Payload:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.getcwd, ()


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return packed.getvalue()


TORCH = zipped("archive/data.pkl", pickle.dumps(Payload(), 2))
ZEROS = b"\0" * 2**20


def tensors(header: object, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def gguf(*tensors: bytes, pairs: tuple[bytes, ...] = (), data: bytes = b"\0" * 64, pad: bytes = b"\0") -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + b"".join(tensors)
    return head + pad * (-len(head) % 32) + data


def gguf_tensor(shape: list[int], kind: int = 0, offset: int = 0, name: bytes = b"a") -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return (
        struct.pack("<Q", len(name)) + name + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)
    )


def gguf_pair(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value


def network(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), *nodes],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.ones((2, 2), np.float32), "w")],
    )
    return helper.make_model(graph)


def outside(entries: bool = True) -> TensorProto:
    value = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    value.data_location = TensorProto.EXTERNAL
    if entries:
        value.external_data.add(key="location", value="../../../etc/passwd")
    return value


def in_a_branch() -> onnx.ModelProto:
    branch = helper.make_graph([], "branch", [], [], [outside()])
    return network(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))


def in_a_loop_of_a_function() -> onnx.ModelProto:
    inner = helper.make_graph([], "inner", [], [], [outside()])
    body = helper.make_graph([helper.make_node("Loop", ["n"], ["z"], body=inner)], "body", [], [])
    model = network()
    model.functions.add(name="f", domain="local").node.append(helper.make_node("Scan", ["n"], ["z"], body=body))
    return model


def in_a_sparse_tensor() -> onnx.ModelProto:
    model = network()
    model.graph.sparse_initializer.add(indices=outside(entries=False))
    return model


def as_a_constant() -> onnx.ModelProto:
    return network(helper.make_node("Constant", [], ["z"], value=outside()))


def lying_tensor() -> onnx.ModelProto:
    model = network()
    model.graph.initializer[0].dims[:] = [2**40, 2**40]
    return model


def hidden_field() -> bytes:
    """external_data as field 13 + 2^29: readers that keep 32 bits of a key take it for field 13."""
    entry = b"\x0a\x08location\x12\x0b/etc/passwd"
    key = (13 << 3 | 2) | 1 << 32
    varint = bytes(key >> shift & 0x7F | (0x80 if shift < 28 else 0) for shift in range(0, 35, 7))
    value = b"\x08\x01\x10\x01\x70\x00" + varint + bytes([len(entry)]) + entry
    graph = b"\x2a" + bytes([len(value)]) + value
    return network().SerializeToString() + b"\x3a" + bytes([len(graph)]) + graph


HEAD = "head.safetensors"
DEEP = 200_000

CONTENTS = [
    # What is listed, and what is there.
    Attack("no licence", edit('licence = "Apache-2.0"\n', ""), "expert.toml", '"licence" is missing'),
    Attack("another trunk", edit("trunk-a", "trunk-b"), "expert.toml", "fitted on trunk trunk-b, .*serves trunk-a"),
    Attack("version 0", edit("version = 2", "version = 0"), "expert.toml", '"version"'),
    Attack("a huge version", edit("version = 2", f"version = 0x{'f' * 5000}"), "expert.toml", "version"),
    Attack("a number of 5,000 digits", edit("memory_mb = 1", f"memory_mb = {'9' * 5000}"), "expert.toml", "TOML"),
    Attack("deep TOML arrays", edit('["no", "yes"]', "[" * 30_000 + "]" * 30_000), "expert.toml", "TOML"),
    Attack("escapes in a key", edit("[resources]", '"\\u001b[2J" = 1\n[resources]'), "expert.toml", "unknown key"),
    Attack("a key of 60 KB", edit("[resources]", f"{'k' * 60_000} = 1\n[resources]"), "expert.toml", "unknown key"),
    Attack("deep TOML keys",
           edit("[resources]", ".".join(["a"] * 30_000) + " = 1\n[resources]"), "expert.toml", "TOML"),
    Attack("deep TOML tables", edit("[files]", f"[{'.'.join(['a'] * 30_000)}]\n[files]"), "expert.toml", "TOML"),
    Attack("a huge manifest", edit("For tests.", "x" * 70_000), "expert.toml", "65,536 bytes"),
    Attack("a manifest that is a program", put("expert.toml", b"\x7fELF" + b"\0" * 60), "expert.toml", "ELF"),
    # Pickles under other names. The protocols are below.
    Attack("torch as weights", put(HEAD, TORCH), HEAD, "zip archive"),
    Attack("torch as a network", put("net.onnx", TORCH), "net.onnx", "zip archive"),
    Attack("torch as rows", put("rows.jsonl", TORCH), "rows.jsonl", "zip archive"),
    Attack("torch by its name", put("model.pt", TORCH), "model.pt", "may not be in a bundle"),
    Attack("torch as .bin", put("pytorch_model.bin", TORCH), "pytorch_model.bin", "may not be in a bundle"),
    Attack("an empty .pkl", put("a.pkl", b""), "a.pkl", "may not be in a bundle"),
    Attack("torch behind weights", put(HEAD, SOUND[HEAD] + TORCH), HEAD, "zip archive is hidden"),
    Attack("torch behind weights, and a bit", put(HEAD, SOUND[HEAD] + TORCH + b"\n"), HEAD, "zip archive is hidden"),
    Attack(
        "torch as a tensor",
        put(HEAD, tensors({"a": tensor(0, len(TORCH), [len(TORCH)], "U8")}, TORCH)),
        HEAD,
        "zip archive is hidden",
    ),
    Attack("a pickle behind a network", put("net.onnx", network().SerializeToString() + pickle.dumps(Payload(), 4)),
           "net.onnx", "no ONNX model|not an ONNX model|cut short"),
    Attack("a pickle in a folder", put("more/notes.txt", pickle.dumps(Payload(), 0)), "notes.txt", "pickle"),
    Attack("a NumPy array", put("notes.txt", b"\x93NUMPY\x01\0"), "notes.txt", "NumPy"),
    # Bombs.
    Attack("gzip as text", put("notes.txt", gzip.compress(ZEROS)), "notes.txt", "gzip"),
    Attack("gzip as weights", put(HEAD, gzip.compress(ZEROS)), HEAD, "gzip"),
    Attack("gzip as rows", put("rows.jsonl", gzip.compress(ZEROS)), "rows.jsonl", "gzip"),
    Attack("bzip2 as JSON", put("page.json", bz2.compress(ZEROS)), "page.json", "bzip2"),
    Attack("xz as a table", put("table.csv", lzma.compress(ZEROS)), "table.csv", "xz"),
    Attack("a zip as a grammar", put("answer.gbnf", zipped("a", ZEROS)), "answer.gbnf", "zip archive"),
    Attack("raw deflate", put("notes.txt", zlib.compress(ZEROS)), "notes.txt", "NUL|UTF-8|control"),
    Attack("deep JSON", put("page.json", b"[" * DEEP + b"]" * DEEP), "page.json", "not valid JSON"),
    Attack("deep JSON in a row", put("rows.jsonl", b"[" * DEEP + b"]" * DEEP), "rows.jsonl line 1", "JSON"),
    Attack("a JSON number of 100,000 digits", put("page.json", b"9" * 100_000), "page.json", "not valid JSON"),
    Attack("a JSON number beyond any float", put("page.json", b"[1e999999]"), "page.json", "not valid JSON"),
    Attack("a million JSON values", put("page.json", b"[" + b"[]," * 700_000 + b"1]"), "page.json", "values"),
    Attack("a row of a megabyte",
           put("rows.jsonl", b'{"a": "' + b"x" * 2**20 + b'"}\n'), "rows.jsonl line 1", "letters"),
    Attack("sparse zeros",
           lambda folder: os.truncate(folder / "CARD.md", 17 * 2**20), "CARD.md", "16,777,216 are allowed"),
    Attack("escapes for a terminal", put("CARD.md", b"# mark\n\x1b]0;own\x07\n"), "CARD.md", "control character"),
    Attack("C1 escapes for a terminal", put("CARD.md", "# mark \x9b2J\n".encode()), "CARD.md", "control character"),
    # safetensors.
    Attack("an overlap",
           put(HEAD, tensors({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, b"\0" * 12)), HEAD, "overlap"),
    Attack("a gap", put(HEAD, tensors({"a": tensor(4, 8, [1])}, b"\0" * 8)), HEAD, "gap"),
    Attack("beyond the end", put(HEAD, tensors({"a": tensor(0, 2**40, [2**38])}, b"\0" * 8)), HEAD, "tensors end at"),
    Attack("trailing bytes", put(HEAD, SOUND[HEAD] + b"#!/bin/sh"), HEAD, "9 trailing bytes"),
    Attack("a header of 2^62 bytes", put(HEAD, struct.pack("<Q", 2**62) + b"{}"), HEAD, "header claims"),
    Attack("a header of -1 bytes", put(HEAD, b"\xff" * 8 + b"{}"), HEAD, "header claims"),
    Attack("a header of 9 MB", put(HEAD, tensors(b"{" + b" " * 9 * 2**20 + b"}")), HEAD, "header has"),
    Attack("a name twice", put(HEAD, tensors(b'{"a":{},"a":{}}')), HEAD, "stands twice"),
    Attack("a shape beyond 64 bits",
           put(HEAD, tensors({"a": tensor(0, 4, [2**62, 2**62, 4])}, b"\0" * 4)), HEAD, "fill"),
    Attack("that shape and a 0", put(HEAD, tensors({"a": tensor(0, 0, [2**62, 2**62, 0])})), HEAD, "fill"),
    Attack("negative offsets", put(HEAD, tensors({"a": tensor(-4, 0, [1])})), HEAD, "from 0 up"),
    Attack("a name of 64 KB", put(HEAD, tensors({"\x1b" * 65_536: tensor(0, 4, [2])}, b"\0" * 4)), HEAD, "fill"),
    Attack("a number of 5,000 digits in it", put(HEAD, tensors(b'{"a":' + b"9" * 5000 + b"}")), HEAD, "not valid JSON"),
    # GGUF.
    Attack("beyond its end", put("m.gguf", gguf(gguf_tensor([17]))), "m.gguf", "ends at byte"),
    Attack("an extent that overflows", put("m.gguf", gguf(gguf_tensor([2**62, 2**62]))), "m.gguf", "ends at byte"),
    Attack("two in one place",
           put("m.gguf", gguf(gguf_tensor([16]), gguf_tensor([16], name=b"b"))), "m.gguf", "overlaps"),
    Attack("two of one name", put("m.gguf", gguf(gguf_tensor([8]), gguf_tensor([8], offset=32))), "m.gguf", "one name"),
    Attack("too many tensors", put("m.gguf", b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0)), "m.gguf", "header claims"),
    Attack("fewer than claimed", put("m.gguf", b"GGUF" + struct.pack("<IQQ", 3, 9, 0)), "m.gguf", "cut short"),
    Attack("a string of 2^60 bytes",
           put("m.gguf", gguf(pairs=(struct.pack("<Q", 2**60),))), "m.gguf", "header runs past"),
    Attack(
        "an array of 2^60 strings",
        put("m.gguf", gguf(pairs=(gguf_pair(b"a", 9, struct.pack("<IQ", 8, 2**60)),))),
        "m.gguf",
        "cut short|header runs past",
    ),
    Attack(
        "a payload behind it", put("m.gguf", gguf(gguf_tensor([16])) + b"#!/bin/sh\n" * 9), "m.gguf", "trailing bytes"
    ),
    Attack("a payload as padding", put("m.gguf", gguf(gguf_tensor([16]), pad=b"!")), "m.gguf", "not zeros"),
    Attack("no tensor, a payload", put("m.gguf", gguf(data=b"#!/bin/sh")), "m.gguf", "trailing bytes"),
    Attack(
        "a payload within a huge alignment",
        put("m.gguf", gguf(pairs=(gguf_pair(b"general.alignment", 4, struct.pack("<I", 2**31)),))),
        "m.gguf",
        "general.alignment",
    ),
    Attack(
        "a key twice",
        put("m.gguf", gguf(pairs=(gguf_pair(b"k", 4, b"\1\0\0\0"), gguf_pair(b"k", 4, b"\2\0\0\0")))),
        "m.gguf",
        "stands twice",
    ),
    # ONNX.
    Attack("data outside, in a branch", put("n.onnx", in_a_branch().SerializeToString()), "n.onnx", "external_data"),
    Attack("data outside, in a loop",
           put("n.onnx", in_a_loop_of_a_function().SerializeToString()), "n.onnx", "external_data"),
    Attack("data outside, sparse", put("n.onnx", in_a_sparse_tensor().SerializeToString()), "n.onnx", "external_data"),
    Attack("data outside, a constant", put("n.onnx", as_a_constant().SerializeToString()), "n.onnx", "external_data"),
    Attack("data outside, the field in disguise", put("n.onnx", hidden_field()), "n.onnx", "field number"),
    Attack("a tensor that lies", put("n.onnx", lying_tensor().SerializeToString()), "n.onnx", "bytes of data"),
    Attack("a payload behind a network", put("n.onnx", network().SerializeToString() + b"#!/bin/sh"), "n.onnx", "ONNX"),
]  # fmt: skip


@ROADS
@pytest.mark.parametrize("attack", CONTENTS, ids=lambda attack: attack.name)
def test_hostile_contents_are_refused(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle], attack: Attack
) -> None:
    attack.make(folder)
    if b"\n" in (folder / "expert.toml").read_bytes():
        seal_blindly(folder)
    refused(store, lambda: road(store, folder), attack.file, attack.rule)


@ROADS
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", [HEAD, "net.onnx", "model.gguf", "rows.jsonl", "page.json", "notes.txt"])
def test_a_pickle_is_refused_under_any_name_and_of_any_protocol(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle], name: str, protocol: int
) -> None:
    put(name, pickle.dumps([Payload(), {"a": (1, 2.0)}], protocol))(folder)
    seal_blindly(folder)
    refused(
        store, lambda: road(store, folder), name, "pickle" if Path(name).suffix in {".jsonl", ".json", ".txt"} else ""
    )


# --- Names -----------------------------------------------------------------------------------------------------------

# Name and rule; those in the second list no file system holds.
NAMES = [
    ("a\\b.txt", "backslash"),
    ("..\\..\\b.txt", "backslash"),
    ("．．.txt", "look-alike"),
    ("a／b.txt", "look-alike"),
    ("a\u2024\u2024.txt", "look-alike"),
    ("ｅxpert.toml", "look-alike"),
    ("\u202etxt.daolyap.txt", "ASCII"),
    ("a\u200b.txt", "ASCII"),
    ("СARD.md", "ASCII"),
    (unicodedata.normalize("NFC", "cafe\u0301.txt"), "ASCII"),
    (unicodedata.normalize("NFD", "caf\u00e9.txt"), "look-alike"),
    ("a\u2215b.txt", "ASCII"),
    ("C:.txt", "absolute"),
    (".bashrc.txt", "begins with"),
    ("-rf.txt", "begins with"),
    ("a b.txt", "letters, digits"),
    ("a\nb.txt", "letters, digits"),
    ("a\x1b[2J.txt", "letters, digits"),
    ("a\udcff.txt", "ASCII"),
    ("x" * 200 + "/" + "y" * 200 + "/" + "z" * 200 + "/" + "u" * 200 + "/" + "v" * 200 + "/" + "w" * 200, "1,024"),
]
IMPOSSIBLE = [
    ("..", "straight down"),
    ("../mark.txt", "straight down"),
    ("a/../../mark.txt", "straight down"),
    ("./mark.txt", "straight down"),
    ("a//mark.txt", "straight down"),
    ("/etc/mark.txt", "absolute"),
    ("a\0.txt", "NUL"),
    ("expert.toml\0.txt", "NUL"),
    ("", "no name"),
    ("x" * 65_536, "1,024"),
    ("../" * 21_845, "1,024"),
    ("x" * 300 + ".txt", "255"),
]


def shortest(names: list[tuple[str, str]]) -> list[str]:
    return [ascii(name)[1:30] for name, _ in names]


@pytest.mark.parametrize(("name", "rule"), NAMES, ids=shortest(NAMES))
def test_a_hostile_name_in_a_folder_is_refused(store: Store, folder: Path, name: str, rule: str) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("x")
    refused(store, lambda: store.admit(folder), "mark: ", f"{rule}|nested")


@pytest.mark.parametrize(("name", "rule"), NAMES + IMPOSSIBLE, ids=shortest(NAMES + IMPOSSIBLE))
def test_a_hostile_name_in_an_upload_is_refused_before_its_first_byte(
    store: Store, tmp_path: Path, name: str, rule: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with store.receive() as upload:
        refused(store, lambda: upload.begin(name, 1), "", rule)
    assert sorted(tmp_path.rglob("*")) == before


@ROADS
@pytest.mark.parametrize(
    ("name", "rule"), [pair for pair in NAMES + IMPOSSIBLE if len(pair[0]) < 1000 and "\udcff" not in pair[0]]
)
def test_a_hostile_name_that_the_manifest_lists_is_refused(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle], name: str, rule: str
) -> None:
    with (folder / "expert.toml").open("a") as file:
        file.write(f'{json.dumps(name)} = "{"0" * 64}"\n')
    refused(store, lambda: road(store, folder), "mark 2: ", rule)


@ROADS
def test_names_that_differ_in_case_alone_are_refused(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle]
) -> None:
    (folder / "card.md").write_text("another")
    seal_blindly(folder)
    refused(store, lambda: road(store, folder), "card.md", "case of its letters|taken")


@ROADS
def test_folders_that_differ_in_case_alone_are_refused(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle]
) -> None:
    put("more/a.txt", b"a")(folder)
    put("More/b.txt", b"b")(folder)
    seal_blindly(folder)
    refused(store, lambda: road(store, folder), "ore/", "is taken by a folder")


# --- What is no file of its own --------------------------------------------------------------------------------------


def link(folder: Path) -> None:
    (folder / "more.txt").symlink_to("/etc/hostname")


def dangling_link(folder: Path) -> None:
    (folder / "more.txt").symlink_to("nowhere.txt")


def link_within(folder: Path) -> None:
    (folder / "more.txt").symlink_to("CARD.md")


def linked_weights(folder: Path) -> None:
    (folder / HEAD).rename(folder.parent / "aside")
    (folder / HEAD).symlink_to(folder.parent / "aside")


def linked_manifest(folder: Path) -> None:
    (folder / "expert.toml").rename(folder.parent / "aside")
    (folder / "expert.toml").symlink_to(folder.parent / "aside")


def linked_folder(folder: Path) -> None:
    (folder / "more").symlink_to("/etc")


def hard_link(folder: Path) -> None:
    os.link(folder / HEAD, folder.parent / "mine")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "more.txt")


def listening_socket(folder: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(folder)  # The path of a socket is short.
        listener.bind("more.txt")
        os.fchdir(here)
    os.close(here)


def device(folder: Path) -> None:
    try:
        os.mknod(folder / "more.txt", 0o20600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    ("make", "file", "rule"),
    [
        (link, "more.txt", "symbolic link"),
        (dangling_link, "more.txt", "symbolic link"),
        (link_within, "more.txt", "symbolic link"),
        (linked_weights, HEAD, "symbolic link"),
        (linked_manifest, "expert.toml", "symbolic link"),
        (linked_folder, "more", "symbolic link"),
        (hard_link, HEAD, "hard link"),
        (pipe, "more.txt", "not a plain file"),
        (listening_socket, "more.txt", "not a plain file"),
        (device, "more.txt", "not a plain file"),
    ],
)
def test_links_and_devices_are_refused(store: Store, folder: Path, make: Make, file: str, rule: str) -> None:
    make(folder)
    refused(store, lambda: store.admit(folder), file, rule)


# --- Versions and hashes ---------------------------------------------------------------------------------------------


@ROADS
@pytest.mark.parametrize("name", sorted(SOUND))
def test_other_bytes_than_the_manifest_promises_are_refused(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle], name: str
) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-3] ^= 1
    (folder / name).write_bytes(data)
    refused(store, lambda: road(store, folder), f"mark 2: {name}", "sha256 is")


@ROADS
@pytest.mark.parametrize(
    ("version", "rule"),
    [("1", "does not rise, 2 is here already"), ("2", "other bytes under a version that is here already")],
)
def test_a_version_that_does_not_rise_is_refused(
    store: Store, folder: Path, road: Callable[[Store, Path], Bundle], version: str, rule: str
) -> None:
    road(store, folder)
    edit("version = 2", f"version = {version}")(folder)
    put("CARD.md", b"# another\n")(folder)
    seal_blindly(folder)
    refused(store, lambda: road(store, folder), f"mark {version}: ", rule)


# --- What changes while it is read -----------------------------------------------------------------------------------


class Meddler(Disk):
    """Somebody who does `act` to the given folder when the copy of one file begins, or is half done."""

    def __init__(self, folder: Path, act: Make, half: bool) -> None:
        self._folder = folder
        self._act = act
        self._half = half

    def create(self, path: Path) -> BinaryIO:
        file = super().create(path)
        if path.name != HEAD:
            return file
        if self._half:
            return cast("BinaryIO", _Meddled(file, lambda: self._act(self._folder)))
        self._act(self._folder)
        return file


class _Meddled:
    def __init__(self, file: BinaryIO, act: Callable[[], None]) -> None:
        self._file = file
        self._act: Callable[[], None] | None = act

    def write(self, data: bytes) -> int:
        if self._act is not None:
            self._act()
        self._act = None
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()


BIG = np.zeros(2**20, np.uint8)


def grow(folder: Path) -> None:
    with (folder / HEAD).open("ab") as file:
        file.write(b"more")


def shrink(folder: Path) -> None:
    os.truncate(folder / HEAD, 2**20 // 2)


def vanish(folder: Path) -> None:
    (folder / HEAD).unlink()


def become(make: Callable[[Path], object]) -> Make:
    def act(folder: Path) -> None:
        (folder / HEAD).unlink()
        make(folder / HEAD)

    return act


def overwrite(folder: Path) -> None:
    with (folder / HEAD).open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"evil")


@pytest.mark.parametrize(
    ("act", "half", "rule"),
    [
        (grow, False, "changed while"),
        (grow, True, "changed while"),
        (shrink, False, "changed while"),
        (shrink, True, "changed while"),
        (vanish, False, "changed while"),
        (become(lambda path: path.symlink_to("/etc/hostname")), False, "changed while"),
        (become(os.mkfifo), False, "changed while"),
        (become(Path.mkdir), False, "changed while"),
        (become(lambda path: path.hardlink_to(path.parent / "CARD.md")), False, "changed while"),
        (overwrite, False, "sha256 is"),
        (overwrite, True, "sha256 is"),
    ],
)
def test_a_file_that_changes_while_it_is_copied_is_refused(
    tmp_path: Path, folder: Path, act: Make, half: bool, rule: str
) -> None:
    put(HEAD, save({"weights": BIG}))(folder)
    seal_blindly(folder)
    store = Store.open(tmp_path / "state", disk=Meddler(folder, act, half))
    refused(store, lambda: store.admit(folder), f"mark 2: {HEAD}", rule)
    store.close()


def test_a_folder_that_becomes_a_link_while_it_is_copied_is_not_followed(tmp_path: Path, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / HEAD).rename(folder / "deep" / HEAD)
    shutil.copytree(folder / "deep", tmp_path / "elsewhere")
    seal_blindly(folder)

    def swap(given: Path) -> None:
        shutil.rmtree(given / "deep")
        (given / "deep").symlink_to(tmp_path / "elsewhere")

    store = Store.open(tmp_path / "state", disk=Meddler(folder, swap, half=False))
    refused(store, lambda: store.admit(folder), f"deep/{HEAD}", "changed while")
    store.close()


def test_what_changes_after_it_was_copied_is_of_no_account(tmp_path: Path, folder: Path) -> None:
    def spoil(given: Path) -> None:
        put("CARD.md", b"evil")(given)

    store = Store.open(tmp_path / "state", disk=Meddler(folder, spoil, half=False))
    assert store.admit(folder).card() == SOUND["CARD.md"].decode()
    store.close()


@pytest.mark.parametrize("sent", [0, 1, 2**20])
def test_an_upload_that_ends_early_or_late_is_refused(store: Store, sent: int) -> None:
    with store.receive() as upload:
        upload.begin("notes.txt", 2)
        if sent > 2:
            with pytest.raises(BundleError, match=r"notes\.txt: more than the 2 bytes"):
                upload.write(b"x" * sent)
        else:
            upload.write(b"x" * sent)
            with pytest.raises(BundleError, match=r"notes\.txt: .* of the 2 announced bytes are missing"):
                upload.finish()


# --- One byte --------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*sorted(SOUND), "expert.toml", "expert.toml"]),
    place=st.floats(0, 1, exclude_max=True),
    change=st.sampled_from(["flip", "remove", "add"]),
    byte=st.integers(0, 255),
)
def test_one_byte_anywhere_makes_another_bundle_or_none(
    tmp_path_factory: pytest.TempPathFactory, store: Store, name: str, place: float, change: str, byte: int
) -> None:
    folder = sound(tmp_path_factory.mktemp("given") / "mark")
    data = bytearray((folder / name).read_bytes())
    index = int(place * len(data))
    if change == "add":
        data.insert(index, byte)
    elif change == "remove":
        del data[index]
    else:
        data[index] ^= byte or 1
    (folder / name).write_bytes(data)
    try:
        bundle = store.admit(folder)
    except (BundleError, StoreError):
        assert os.listdir(store.layout.incoming) == []
        return
    assert name == "expert.toml"
    for path, expected in bundle.manifest.files.items():
        assert hashlib.sha256(bundle.file(path).read_bytes()).hexdigest() == expected
        assert bundle.file(path).read_bytes() == SOUND[path]
    store.remove(bundle.manifest.name)


FORMATS = {
    **SOUND,
    "m.gguf": gguf(
        gguf_tensor([16]), pairs=(gguf_pair(b"k", 9, struct.pack("<IQ", 8, 1) + struct.pack("<Q", 1) + b"v"),)
    ),
    "n.onnx": network(
        helper.make_node("Constant", [], ["z"], value=numpy_helper.from_array(np.ones(2)))
    ).SerializeToString(),
    "page.json": b'{"a": [1, 2.5, "x"], "b": {"c": null}}',
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(FORMATS)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=9)), min_size=1, max_size=4),
)
def test_sealed_damage_of_any_format_is_refused_in_words_or_admitted(
    tmp_path_factory: pytest.TempPathFactory, store: Store, name: str, changes: list[tuple[float, bytes]]
) -> None:
    folder = sound(tmp_path_factory.mktemp("given") / "mark")
    data = FORMATS[name]
    for place, piece in changes:
        index = int(place * len(data))
        data = data[:index] + piece + data[index + len(piece) // 2 :]
    (folder / name).write_bytes(data)
    seal_blindly(folder)
    told, bundle = "", None
    try:
        bundle = store.admit(folder)
    except BundleError as error:
        told = str(error)
    if bundle is None:
        assert name in told
        assert told.isprintable()
        return
    assert bundle.file(name).read_bytes() == data
    store.remove(bundle.manifest.name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.sampled_from(["parameters", "resources", "files"]), line=st.text(max_size=40), depth=st.integers(0, 9000)
)
def test_whatever_the_manifest_says_is_refused_in_words_or_admitted(
    tmp_path_factory: pytest.TempPathFactory, store: Store, table: str, line: str, depth: int
) -> None:
    folder = sound(tmp_path_factory.mktemp("given") / "mark")
    text = (folder / "expert.toml").read_text()
    deep = ".".join(["a"] * depth) + " = 1" if depth > 20 else line
    (folder / "expert.toml").write_bytes(
        text.replace(f"[{table}]\n", f"[{table}]\n{deep}\n", 1).encode("utf-8", "surrogatepass")
    )
    try:
        bundle = store.admit(folder)
    except (BundleError, StoreError):
        return
    store.remove(bundle.manifest.name)


def test_the_limits_of_a_store_hold_on_both_roads(tmp_path: Path, folder: Path) -> None:
    for number, limits in enumerate((Limits(max_files=3), Limits(max_bundle_bytes=300), Limits(max_file_bytes=60))):
        store = Store.open(tmp_path / f"state-{number}", limits=limits)
        for road in (by_folder, by_upload):
            refused(store, lambda road=road, store=store: road(store, folder), "", "at most|more than")  # type: ignore[misc]
        store.close()
