"""A bundle keeps every rule or is refused, with the file and the rule named."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from expertd.experts.bundle import Limits, main, open_bundle, seal
from expertd.experts.contents import check_path
from expertd.experts.errors import BundleError
from expertd.experts.weights import check_gguf, check_onnx, check_safetensors

MANIFEST = """\
name = "spam"
version = 3
kind = "linear"
summary = "Tells junk from mail."
licence = "Apache-2.0"
trunk = "trunk-a"
threshold = 0.8

[resources]
memory_mb = 2
latency_ms = 1.5

[parameters]
labels = ["ham", "spam"]
"""
INTENTS = '{"intent": "check", "text": "is this junk"}\n{"intent": "check", "text": "junk or not?"}\n'
GOLDEN = '{"query": {"text": "is this junk"}, "expect": {"abstains": true, "code": "needs_input"}}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "expert.toml").write_text(MANIFEST)
    (path / "intents.jsonl").write_text(INTENTS)
    (path / "golden.jsonl").write_text(GOLDEN)
    (path / "CARD.md").write_text("# spam\n\nN. B. this is a card.\n")
    save_file({"weights": np.arange(6, dtype=np.float16)}, path / "head.safetensors")
    seal(path)
    return path


def refused(folder: Path, *words: str, limits: Limits | None = None) -> None:
    """Sealing and opening both refuse the folder, and their text holds each of the words."""
    with pytest.raises(BundleError) as error:
        seal(folder, limits)
    for word in words:
        assert word in str(error.value)
    with pytest.raises(BundleError):
        open_bundle(folder, limits)


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "expert.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


# --- A sound bundle --------------------------------------------------------------------------------------------------


def test_a_sealed_bundle_opens_and_tells_what_it_holds(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert (bundle.manifest.name, bundle.manifest.version, bundle.manifest.kind) == ("spam", 3, "linear")
    assert bundle.manifest.parameters == {"labels": ["ham", "spam"]}
    assert bundle.intents() == (("check", ("is this junk", "junk or not?")),)
    assert bundle.golden()[0].expect == {"abstains": True, "code": "needs_input"}
    assert bundle.card().startswith("# spam")
    assert bundle.file("head.safetensors").is_file()
    assert bundle.disk_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert str(bundle) == "spam 3"


def test_a_file_that_is_not_in_the_bundle_is_not_handed_out(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"spam 3: \.\./secret: not in the bundle"):
        open_bundle(folder).file("../secret")


def test_the_digest_changes_with_any_byte_of_any_file(folder: Path) -> None:
    before = open_bundle(folder).digest
    assert seal(folder).digest == before
    (folder / "CARD.md").write_text("# another\n")
    assert seal(folder).digest != before


def test_sealing_again_writes_the_same_bytes(folder: Path) -> None:
    before = (folder / "expert.toml").read_bytes()
    seal(folder)
    assert (folder / "expert.toml").read_bytes() == before


def test_a_seal_that_fails_leaves_the_manifest_as_it_was(folder: Path) -> None:
    before = (folder / "expert.toml").read_bytes()
    (folder / "CARD.md").write_text("")
    refused(folder, "CARD.md: missing or empty")
    assert (folder / "expert.toml").read_bytes() == before


def test_files_may_lie_in_folders(folder: Path) -> None:
    (folder / "grammar").mkdir()
    (folder / "grammar" / "answer.gbnf").write_text('root ::= "yes" | "no"\n')
    assert seal(folder).file("grammar/answer.gbnf").is_file()


def test_the_command_line_seals_and_verifies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seal", str(folder)]) == 0
    assert main(["verify", str(folder)]) == 0
    assert "spam 3: sound" in capsys.readouterr().out
    (folder / "CARD.md").write_text("changed")
    assert main(["verify", str(folder), str(folder)]) == 1
    assert "CARD.md" in capsys.readouterr().err
    assert main(["open", str(folder)]) == 2


# --- The manifest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('licence = "Apache-2.0"\n', "", ["licence", "missing"]),
        ('licence = "Apache-2.0"', 'licence = ""', ["licence", "SPDX"]),
        ("licence", "license", ['unknown key "license"', 'did you mean "licence"']),
        ("memory_mb", "memory_md", ['"resources.memory_md"', "memory_mb"]),
        ('name = "spam"', 'name = "Spam!"', ['"name"', "lower-case"]),
        ('name = "spam"', 'name = "../spam"', ['"name"', "lower-case"]),
        ("version = 3", "version = 0", ['"version"', ">= 1"]),
        ("version = 3", "version = -1", ['"version"', ">= 1"]),
        ("version = 3", 'version = "3"', ['"version"', "int"]),
        ("version = 3", "version = 3.0", ['"version"', "int"]),
        ("version = 3\n", "", ["version", "missing"]),
        ('kind = "linear"', 'kind = "code"', ['"kind"']),
        ("threshold = 0.8", "threshold = 1.5", ["threshold", "from 0 to 1"]),
        ("threshold = 0.8", "threshold = nan", ["threshold", "from 0 to 1"]),
        ("memory_mb = 2", "memory_mb = inf", ["resources", "finite"]),
        ("memory_mb = 2", "memory_mb = 2\nreload_s = -1", ["resources", "reload_s"]),
        ('trunk = "trunk-a"\n', "", ["trunk", "missing"]),
        ('kind = "linear"', 'kind = "skill"', ["[skill]", "missing"]),
        ("[parameters]", '[skill]\nname = "timers"\n[parameters]', ["[skill]", "only a skill"]),
        ('kind = "linear"', 'kind = "gguf"', ["[model]"]),
        ('name = "spam"', "name = spam", ["TOML"]),
        ('name = "spam"', f"name = {'[' * 5000}", ["TOML"]),
        ('summary = "Tells junk from mail."', f'summary = "{"x" * 70_000}"', ["65,536 bytes"]),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(folder: Path, old: str, new: str, words: list[str]) -> None:
    edit(folder, old, new)
    refused(folder, "expert.toml", *words)


def test_a_folder_without_a_manifest_is_no_bundle(folder: Path) -> None:
    (folder / "expert.toml").unlink()
    refused(folder, "bundle: expert.toml: missing")


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        open_bundle(tmp_path / "nowhere")


def test_a_bundle_of_another_trunk_is_refused(folder: Path) -> None:
    open_bundle(folder, trunk_id="trunk-a")
    with pytest.raises(BundleError, match=r"spam 3: expert\.toml: fitted on trunk trunk-a.*trunk-b"):
        open_bundle(folder, trunk_id="trunk-b")


# --- The files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CARD.md", "intents.jsonl", "golden.jsonl", "head.safetensors"])
def test_one_changed_byte_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"spam 3: {name}: its sha256"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["CARD.md", "intents.jsonl", "golden.jsonl", "head.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"spam 3: {name}: missing"):
        open_bundle(folder)


def test_a_file_that_the_manifest_does_not_list_is_refused(folder: Path) -> None:
    (folder / "notes.txt").write_text("extra")
    with pytest.raises(BundleError, match=r"notes\.txt: not listed"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\\\b.txt", "a\\u0000.txt", "a//b.txt"])
def test_a_listed_path_that_leads_elsewhere_is_refused_before_it_is_opened(folder: Path, name: str) -> None:
    with (folder / "expert.toml").open("a") as file:
        file.write(f'"{name}" = "{"0" * 64}"\n')
    with pytest.raises(BundleError, match=r"spam 3"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", "no name"),
        ("..", "straight down"),
        ("a/../b.txt", "straight down"),
        ("./a.txt", "straight down"),
        ("/etc/passwd", "absolute"),
        ("C:/a.txt", "absolute"),
        ("a\\b.txt", "backslash"),
        ("a\0.txt", "NUL"),
        ("a\n.txt", "letters, digits"),
        ("\u202etxt.a", "ASCII"),
        ("ｅxpert.toml", "look-alike"),
        ("a\u2024\u2024/b", "look-alike"),
        ("еxpert.toml", "ASCII"),
        (".hidden", "begins with"),
        ("-rf.txt", "begins with"),
        ("a b.txt", "letters, digits"),
        ("x" * 256, "255"),
        ("/".join(["x" * 200] * 6), "1,024"),
        ("x" * 65_536, "1,024"),
        ("\ud800.txt", "ASCII"),
    ],
)
def test_a_name_that_could_deceive_is_refused(path: str, rule: str) -> None:
    with pytest.raises(BundleError, match=rule) as error:
        check_path(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


@given(st.text(max_size=60))
def test_an_accepted_path_never_leaves_its_folder(path: str) -> None:
    try:
        check_path(path)
    except BundleError:
        return
    assert os.path.normpath(f"/root/{path}") == f"/root/{path}"
    assert path.isascii()
    assert path.isprintable()


def test_links_and_devices_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    entry = folder / "extra.txt"
    entry.symlink_to(tmp_path / "outside.txt")
    refused(folder, "extra.txt", "symbolic link")
    entry.unlink()
    os.link(tmp_path / "outside.txt", entry)
    refused(folder, "extra.txt", "hard link")
    entry.unlink()
    os.mkfifo(entry)
    refused(folder, "extra.txt", "not a plain file")
    entry.unlink()
    (folder / "inner").symlink_to(tmp_path)
    refused(folder, "inner", "symbolic link")


def test_a_manifest_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "expert.toml").rename(tmp_path / "elsewhere.toml")
    (folder / "expert.toml").symlink_to(tmp_path / "elsewhere.toml")
    refused(folder, "expert.toml", "symbolic link")


def test_every_limit_holds(folder: Path) -> None:
    refused(folder, "at most 10 ", limits=Limits(max_bundle_bytes=10))
    refused(folder, "at most 20 ", limits=Limits(max_file_bytes=20))
    refused(folder, "at most 2 ", limits=Limits(max_files=2))
    refused(folder, "more than 30 bytes", limits=Limits(max_manifest_bytes=30))
    refused(folder, "at most 5 ", limits=Limits(max_text_file_bytes=5))
    refused(folder, "line 1", "at most 9 ", limits=Limits(max_row_bytes=9))
    refused(folder, "intents.jsonl line 2", limits=Limits(max_intent_rows=1))
    refused(folder, "golden.jsonl line 1", limits=Limits(max_golden_rows=0))
    (folder / "heldout.jsonl").write_text(GOLDEN * 3)
    refused(folder, "heldout.jsonl line 3", "at most 2 ", limits=Limits(max_held_out_rows=2))


def test_a_bomb_of_zeros_is_measured_and_not_read(folder: Path) -> None:
    with (folder / "zeros.txt").open("wb") as file:
        file.truncate(2**40)
    refused(folder, "zeros.txt", "1,099,511,627,776 bytes")


def test_names_that_differ_in_case_alone_are_refused(folder: Path) -> None:
    (folder / "notes.txt").write_text("a")
    (folder / "Notes.txt").write_text("b")
    refused(folder, "case")


# --- Never code ------------------------------------------------------------------------------------------------------


class Payload:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.getcwd, ()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["weights.safetensors", "notes.txt", "more.md", "table.csv", "model.gguf", "net.onnx"])
def test_a_pickle_is_refused_under_any_name(folder: Path, name: str, protocol: int) -> None:
    (folder / name).write_bytes(pickle.dumps([Payload(), {"a": (1, 2.0)}], protocol))
    refused(folder, name)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [{"a": [1, (2, 3)]}, [Payload()], Payload(), {1, 2}, list(range(3000))])
def test_a_pickle_among_texts_is_called_one(folder: Path, value: object, protocol: int) -> None:
    (folder / "notes.txt").write_bytes(pickle.dumps(value, protocol))
    refused(folder, "notes.txt", "pickle")


def test_a_pickle_that_calls_something_is_found_before_other_text(folder: Path) -> None:
    (folder / "notes.txt").write_bytes(b"cos\nsystem\n(S'true'\ntR. and then plain words")
    refused(folder, "notes.txt", "pickle")


def test_a_pickle_in_a_zip_is_refused(folder: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload()))
    for name in ("weights.safetensors", "notes.txt"):
        (folder / name).write_bytes(packed.getvalue())
        refused(folder, name, "zip")
        (folder / name).unlink()
    (folder / "notes.txt").write_bytes(b"a page of text\n" + packed.getvalue())
    refused(folder, "notes.txt", "zip archive is hidden")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("run.py", b"print(1)\n"),
        ("lib.so", b"\x7fELF"),
        ("weights.pt", b"\0"),
        ("weights.npy", b"\x93NUMPY"),
        ("run", b"echo"),
        ("run.txt", b"#!/bin/sh\nexit\n"),
        ("lib.txt", b"\x7fELF\2\1\1\0"),
        ("tool.txt", b"MZ\x90\0\3\0\0\0"),
        ("page.txt", gzip.compress(b"a" * 100_000)),
        ("page.json", b'{"a": '),
        ("page.json", b"[" * 100_000),
        ("page.txt", b"caf\xe9 ol\xe9 au lait\n"),
        ("page.txt", b"a\0b"),
        ("rows.jsonl", b'{"a": 1}\n\n{"a": 2}\n'),
        ("rows.jsonl", b"{'a': 1}\n"),
    ],
)
def test_code_archives_and_broken_texts_are_refused(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    refused(folder, name)


def test_a_tar_is_refused(folder: Path) -> None:
    with tarfile.open(folder / "page.txt", "w") as archive:
        archive.add(folder / "CARD.md")
    refused(folder, "page.txt", "tar")


def test_a_text_may_begin_with_letters_that_a_program_begins_with(folder: Path) -> None:
    (folder / "CARD.md").write_text("MZ is a car plate of Mainz.\n")
    seal(folder)


# --- Sentences and examples ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"intent": "check", "text": " "}', ['"text" is empty', "needs a sentence"]),
        ('{"intent": "check"}', ["text"]),
        ('{"intent": "Check It", "text": "a"}', ['"intent"']),
        ('{"intent": "check", "text": "a", "more": 1}', ["more"]),
        ('{"intent": "check", "text": 5}', ["text"]),
        ('{"intent": "check", "text": "is this junk"}', ["line 1", "once is enough"]),
        ('["check", "a"]', []),
        ("{", ["JSON"]),
        ("[" * 100_000, ["JSON"]),
        ("", []),
    ],
)
def test_a_bad_intent_row_is_refused_with_its_line(folder: Path, row: str, words: list[str]) -> None:
    (folder / "intents.jsonl").write_text(INTENTS + row + "\n")
    refused(folder, "spam 3: intents.jsonl line 3", *words)


@pytest.mark.parametrize(
    "row",
    [
        '{"query": {"text": "a"}, "expect": {}}',
        '{"query": {"text": ""}, "expect": {"abstains": true}}',
        '{"query": {"text": "a", "now": "2026-03-02T09:00:00"}, "expect": {"abstains": true}}',
        '{"query": {"text": "a", "now": "monday"}, "expect": {"abstains": true}}',
        '{"query": {"text": "a", "zone": "Europe/Atlantis"}, "expect": {"abstains": true}}',
        '{"query": {"text": "a", "zone": "../../etc/passwd"}, "expect": {"abstains": true}}',
        '{"query": {"text": "a", "colour": 1}, "expect": {"abstains": true}}',
        '{"query": {"text": "a", "series": []}, "expect": {"type": "forecast"}}',
        '{"query": {"text": "a"}, "expect": {"type": "novel"}}',
        '{"query": {"text": "a"}, "expect": {"abstains": false}}',
        '{"query": {"text": "a"}, "expect": {"refuses": 3}}',
        '{"query": {"text": "a"}, "expect": {"text": "x", "tolerance": -1}}',
        '{"query": {"text": "a"}, "expect": {"tolerance": 1}}',
    ],
)
def test_a_bad_golden_row_is_refused_with_its_line(folder: Path, row: str) -> None:
    (folder / "golden.jsonl").write_text(GOLDEN + row + "\n")
    refused(folder, "spam 3: golden.jsonl line 2")


def test_a_bundle_without_examples_may_not_serve(folder: Path) -> None:
    (folder / "golden.jsonl").write_text("")
    refused(folder, "golden.jsonl: no example")


def test_a_bundle_may_hold_examples_out(folder: Path) -> None:
    assert open_bundle(folder).held_out() == ()
    row = '{"query": {"text": "junk %d \u2028?"}, "expect": {"type": "label"}}\n'
    (folder / "heldout.jsonl").write_text("".join(row % number for number in range(50)))
    bundle = seal(folder)
    assert [example.query_fields.text for example in bundle.held_out()] == [f"junk {n} \u2028?" for n in range(50)]
    assert len(bundle.held_out(50)) == 50
    assert [example.query_fields.text[:7] for example in bundle.held_out(4)] == [
        "junk 0 ",
        "junk 12",
        "junk 25",
        "junk 37",
    ]


def test_a_bundle_keeps_no_examples_in_memory(folder: Path) -> None:
    (folder / "heldout.jsonl").write_text(GOLDEN)
    bundle = seal(folder)
    assert bundle.golden()[0] is not bundle.golden()[0]
    assert bundle.held_out()[0] is not bundle.held_out()[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no example", "leave the file out"]),
        (GOLDEN + '{"query": {"text": "a"}, "expect": {}}\n', ["line 2", "expect"]),
        (GOLDEN + "{", ["line 2", "JSON"]),
        (GOLDEN + "\n" + GOLDEN, ["line 2", "empty"]),
    ],
)
def test_held_out_examples_keep_the_rules_of_golden_ones(folder: Path, text: str, words: list[str]) -> None:
    (folder / "heldout.jsonl").write_text(text)
    refused(folder, "spam 3: heldout.jsonl", *words)


def test_held_out_examples_that_were_changed_are_found(folder: Path) -> None:
    (folder / "heldout.jsonl").write_text(GOLDEN)
    seal(folder)
    (folder / "heldout.jsonl").write_text(GOLDEN + GOLDEN)
    with pytest.raises(BundleError, match=r"spam 3: heldout\.jsonl: its sha256"):
        open_bundle(folder)


# --- Weights ---------------------------------------------------------------------------------------------------------


def tensors(header: object, data: bytes) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def tensor(begin: int, end: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def test_sound_safetensors_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.ones(0, np.int8), "c": np.ones(5, np.float16)}, path)
    check_safetensors(path)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "cut short"),
        (b"\1\0", "cut short"),
        (struct.pack("<Q", 2**62) + b"{}", "the header claims"),
        (struct.pack("<Q", 200) + b"{}", "the header claims"),
        (tensors(b"[]", b""), "not a JSON object"),
        (tensors(b"{" + b" " * 9, b""), "not valid JSON"),
        (tensors(b'{"a":' + b"[" * 50_000, b""), "not valid JSON"),
        (tensors({"a": tensor(0, 8)}, b"\0" * 4), "the tensors end"),
        (tensors({"a": tensor(0, 8)}, b"\0" * 9), "trailing"),
        (tensors({}, b"\0"), "trailing"),
        (tensors({"a": tensor(4, 8)}, b"\0" * 8), "gap or an overlap"),
        (tensors({"a": tensor(0, 8), "b": tensor(4, 12)}, b"\0" * 12), "gap or an overlap"),
        (tensors({"a": tensor(0, 8, [3])}, b"\0" * 8), "does not fill"),
        (tensors({"a": tensor(0, 8, [-1, -2])}, b"\0" * 8), "from 0 up"),
        (tensors({"a": tensor(0, 8, [2**62, 2**62])}, b"\0" * 8), "does not fill"),
        (tensors({"a": tensor(0, 8, [True, 2])}, b"\0" * 8), "from 0 up"),
        (tensors({"a": tensor(0, 8, [2], "OBJECT")}, b"\0" * 8), "unknown dtype"),
        (tensors({"a": {**tensor(0, 8), "load": "os.system"}}, b"\0" * 8), "nothing else"),
        (tensors(b'{"a":1,"a":2}', b""), "stands twice"),
        (tensors({"__metadata__": {"a": 1}}, b""), "__metadata__"),
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path: Path, data: bytes, rule: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rule) as error:
        check_safetensors(path)
    assert str(error.value).startswith("a.safetensors: ")


@pytest.fixture
def text_model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.name", "tiny")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "c"])
    writer.add_array("tokenizer.ggml.scores", [0.0, 1.0, 2.0])
    writer.add_tensor("one", np.zeros((3, 5), np.float32))
    writer.add_tensor("two", np.zeros(7, np.float16))
    writer.add_tensor("three", np.zeros((2, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_sound_gguf_passes(text_model: Path) -> None:
    check_gguf(text_model)


@pytest.mark.parametrize("cut", [1, 3, 20, 60, 200, -100])
def test_a_gguf_that_is_cut_short_is_refused(text_model: Path, cut: int) -> None:
    data = text_model.read_bytes()
    text_model.write_bytes(data[:cut])
    with pytest.raises(BundleError, match=r"model\.gguf"):
        check_gguf(text_model)


def test_a_gguf_with_a_trailing_payload_is_refused(text_model: Path) -> None:
    text_model.write_bytes(text_model.read_bytes() + b"x" * 64)
    with pytest.raises(BundleError, match="trailing"):
        check_gguf(text_model)


def gguf_file(tensor: bytes, data: bytes = b"\0" * 64, tensors: int = 1, pairs: bytes = b"", count: int = 0) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, count) + pairs + tensor
    return head + b"\0" * (-len(head) % 32) + data


def gguf_tensor(shape: list[int], kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return struct.pack("<Q", 1) + b"a" + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (gguf_file(gguf_tensor([17])), "ends at byte"),
        (gguf_file(gguf_tensor([2**62, 2**62])), "ends at byte"),
        (gguf_file(gguf_tensor([16], offset=2**63)), "belong to no tensor"),
        (gguf_file(gguf_tensor([16], offset=8)), "no multiple of 32"),
        (gguf_file(gguf_tensor([16], kind=99)), "unknown type"),
        (gguf_file(gguf_tensor([16], kind=8)), "block of 32"),
        (gguf_file(gguf_tensor([16]) * 2, tensors=2), "overlaps"),
        (gguf_file(gguf_tensor([1] * 9)), "dimensions"),
        (gguf_file(b"", tensors=2**40), "claims"),
        (gguf_file(b"", tensors=0), "trailing"),
        (gguf_file(b"", pairs=struct.pack("<Q", 2**60), count=1), "header runs past"),
        (gguf_file(b"", pairs=struct.pack("<Q1sI", 1, b"a", 77), count=1), "metadata type"),
        (
            gguf_file(b"", pairs=struct.pack("<Q1sIIQ", 1, b"a", 9, 9, 2**60), count=1),
            "cut short|header|unknown|nested",
        ),
        (gguf_file(b"", pairs=struct.pack("<Q1sIIQ", 1, b"a", 9, 0, 2**60), count=1), "header runs past"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9"),
        (b"GGML" + b"\0" * 60, "not a GGUF"),
    ],
)
def test_a_gguf_that_lies_is_refused(tmp_path: Path, data: bytes, rule: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rule):
        check_gguf(path)


def network(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), *nodes],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [weights],
    )
    return helper.make_model(graph)


def outside() -> TensorProto:
    value = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="../../etc/passwd")
    return value


def test_a_sound_network_passes(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(network(), path)
    check_onnx(path)


def test_external_data_is_found_wherever_a_tensor_may_stand(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    models = [network() for _ in range(6)]
    models[0].graph.initializer.append(outside())
    models[1].graph.node[0].attribute.add(name="value", t=outside())
    models[2].graph.node[0].attribute.add(name="body").g.initializer.append(outside())
    models[3].graph.sparse_initializer.add(values=outside())
    models[4].functions.add(name="f").node.add(op_type="Constant").attribute.add(name="value", t=outside())
    models[5].training_info.add().initialization.node.add(op_type="Constant").attribute.add(tensors=[outside()])
    for model in models:
        path.write_bytes(model.SerializeToString())
        with pytest.raises(BundleError, match=r"net\.onnx: .*external_data"):
            check_onnx(path)


def test_a_network_that_loads_a_compiled_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(network(helper.make_node("EPContext", [], ["z"], domain="com.microsoft")).SerializeToString())
    with pytest.raises(BundleError, match="EPContext"):
        check_onnx(path)


@pytest.mark.parametrize("damage", [b"#!/bin/sh\n", b"\xfa\x07\x03abc", b"\0\0", b"\x3a\xff\xff\xff\x7f"])
def test_a_network_with_something_behind_it_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(network().SerializeToString() + damage)
    with pytest.raises(BundleError, match=r"net\.onnx"):
        check_onnx(path)


def test_a_network_that_is_cut_short_or_empty_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for data in (network().SerializeToString()[:-3], b"", b"plain words that are no network"):
        path.write_bytes(data)
        with pytest.raises(BundleError, match=r"net\.onnx"):
            check_onnx(path)


@given(data=st.binary(max_size=300), head=st.sampled_from([b"", b"GGUF\3\0\0\0", b"\x3a", b"\x08\0\0\0\0\0\0\0{}"]))
def test_arbitrary_bytes_are_refused_in_words_or_sound(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for check, name in ((check_safetensors, "a.safetensors"), (check_gguf, "a.gguf"), (check_onnx, "a.onnx")):
        (folder / name).write_bytes(head + data)
        with contextlib.suppress(BundleError):  # Any other error fails the test.
            check(folder / name)
