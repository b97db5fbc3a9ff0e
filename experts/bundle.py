"""A bundle: one version of an expert, sealed in a folder. Data only, never code; every file named by its hash.

    expert.toml     the manifest, the table [files] last
    intents.jsonl   the sentences that the expert owns
    golden.jsonl    queries with the answers that a sound version gives
    heldout.jsonl   optional: more of the same, never trained on; by them a version is compared with the one that serves
    CARD.md         what it does, its data and licence, how good it is, where it ends
    and its weights: *.safetensors, *.gguf, *.onnx

Nothing is believed: `open_bundle` reads every file, and only a folder that keeps every rule becomes a `Bundle`. This
module knows no store, and loads nothing.

    python -m expertd.experts.bundle seal FOLDER…      writes the hashes
    python -m expertd.experts.bundle verify FOLDER…    says whether each is sound
"""

from __future__ import annotations

import difflib
import hashlib
import math
import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from .contents import check_content, check_ending, check_path, decode_json
from .errors import BundleError
from .golden import Golden

MANIFEST = "expert.toml"
INTENTS = "intents.jsonl"
GOLDEN = "golden.jsonl"
HELD_OUT = "heldout.jsonl"
CARD = "CARD.md"

_NAME = r"^[a-z][a-z0-9-]{0,31}$"
_SHA256 = r"^[0-9a-f]{64}$"
# The letters of an SPDX expression: "Apache-2.0", "MIT AND CC-BY-4.0", "LicenseRef-scancode-public-domain".
_SPDX = r"^[A-Za-z0-9(][A-Za-z0-9.+() -]{0,199}$"

Name = Annotated[str, msgspec.Meta(pattern=_NAME)]
Sha256 = Annotated[str, msgspec.Meta(pattern=_SHA256)]
Licence = Annotated[str, msgspec.Meta(pattern=_SPDX)]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a bundle may be. max_links: a second name of a file is a way to change it behind our back."""

    max_bundle_bytes: int = 8 * 2**30
    max_file_bytes: int = 8 * 2**30
    max_text_file_bytes: int = 16 * 2**20
    max_manifest_bytes: int = 64 * 2**10
    max_row_bytes: int = 2**20
    max_files: int = 256
    max_intent_rows: int = 50_000
    max_golden_rows: int = 1_000
    max_held_out_rows: int = 20_000
    max_links: int = 1


# --- The manifest ----------------------------------------------------------------------------------------------------


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one loaded version takes, as its maker estimates it; the gate holds it to memory and latency.

    memory_mb: millions of bytes. latency_ms: of a usual answer. reload_s: how dear it is to load it again, in seconds:
    what is dear is unloaded last.
    """

    memory_mb: float
    latency_ms: float
    reload_s: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.memory_mb < math.inf and 0 < self.latency_ms < math.inf and 0 <= self.reload_s < math.inf):
            raise ValueError("memory_mb, latency_ms and reload_s are finite numbers from 0 up, latency_ms above 0")


class Skill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reviewed code, in this project, that serves the bundle."""

    name: Name


class BaseModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model too large to be in the bundle, named by its hash. repository, revision, file: where it is published."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    repository: str
    revision: str
    file: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]
    sha256: Sha256
    size_bytes: Annotated[int, msgspec.Meta(gt=0)]
    licence: Licence


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """expert.toml. trunk: id of the sentence encoder that the weights were fitted on; threshold: abstain below it."""

    name: Name
    version: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    kind: Literal["linear", "tagger", "onnx", "gguf", "forecast", "skill", "remote"]
    summary: Annotated[str, msgspec.Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
    licence: Licence
    resources: Resources
    trunk: str | None = None
    threshold: float | None = None
    skill: Skill | None = None
    model: BaseModel | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    files: dict[str, Sha256] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f'"threshold" is {self.threshold}; it is a probability from 0 to 1')


# --- The bundle ------------------------------------------------------------------------------------------------------


class Intent(NamedTuple):
    name: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Bundle:
    """A folder that kept every rule when it was opened."""

    path: Path
    manifest: Manifest

    def intents(self) -> tuple[Intent, ...]:
        """The sentences that this expert owns, by intent, in the order of the file."""
        return self._parsed_intents

    @cached_property
    def _parsed_intents(self) -> tuple[Intent, ...]:
        return _intents(self.file(INTENTS).read_text("utf-8"), Limits())

    # Examples are read anew each time: a version that serves has no more use for them.

    def golden(self) -> tuple[Golden, ...]:
        """The examples that every sound version passes."""
        return tuple(row for _, row in _examples(self.file(GOLDEN).read_text("utf-8"), GOLDEN, Limits()))

    def held_out(self, at_most: int | None = None) -> tuple[Golden, ...]:
        """The rows of heldout.jsonl, () without one; where there are more than `at_most`, so many, evenly chosen."""
        if HELD_OUT not in self.manifest.files:
            return ()
        lines = self.file(HELD_OUT).read_text("utf-8").removesuffix("\n").split("\n")
        if at_most is not None and at_most < len(lines):
            lines = [lines[place * len(lines) // at_most] for place in range(at_most)]
        return tuple(row for _, row in _examples("\n".join(lines), HELD_OUT, Limits()))

    def card(self) -> str:
        return self.file(CARD).read_text("utf-8")

    def file(self, name: str) -> Path:
        """Where a file of this bundle lies.

        Raises: BundleError where the manifest lists no such file.
        """
        if name not in self.manifest.files:
            raise BundleError(f"{self}: {name}: not in the bundle; it has {', '.join(self.manifest.files)}")
        return self.path / name

    @cached_property
    def digest(self) -> str:
        """sha256 of the manifest, and through the hashes in it of everything: equal means the same bytes throughout."""
        return hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest()

    @cached_property
    def disk_bytes(self) -> int:
        return sum((self.path / name).stat().st_size for name in (MANIFEST, *self.manifest.files))

    def __str__(self) -> str:
        return f"{self.manifest.name} {self.manifest.version}"


def open_bundle(folder: Path, limits: Limits | None = None, *, trunk_id: str | None = None) -> Bundle:
    """Verifies everything in `folder`. trunk_id: the trunk that serves here; a bundle fitted on another is refused.

    Raises: BundleError naming the bundle, the file and the rule.
    """
    limits = limits or Limits()
    sizes = _named(folder.name, survey, folder, limits)
    manifest = _named(folder.name, _read_manifest, folder, limits)
    _named(f"{manifest.name} {manifest.version}", _verify, folder, manifest, sizes, limits)
    if trunk_id is not None and manifest.trunk is not None and manifest.trunk != trunk_id:
        raise BundleError(
            f"{manifest.name} {manifest.version}: {MANIFEST}: fitted on trunk {manifest.trunk}, this machine serves "
            f"{trunk_id}; install a version fitted on that"
        )
    return Bundle(folder, manifest)


def seal(folder: Path, limits: Limits | None = None) -> Bundle:
    """Writes the table [files] of expert.toml, the last one, and verifies the outcome.

    Raises: BundleError; the manifest is then as it was before.
    """
    limits = limits or Limits()
    sizes = _named(folder.name, survey, folder, limits)
    if MANIFEST not in sizes:
        raise BundleError(f"{folder.name}: {MANIFEST}: missing; every bundle has one")
    path = folder / MANIFEST
    before = path.read_bytes()
    text = before.decode("utf-8", "replace")
    kept, table, after = text.partition("\n[files]")
    if re.search(r"^\s*\[", after.partition("\n")[2] if table else "", re.MULTILINE):
        raise BundleError(f"{folder.name}: {MANIFEST}: [files] must be the last table")
    lines = [f'"{name}" = "{_sha256(folder / name)}"' for name in sorted(sizes) if name != MANIFEST]
    _replace(path, "\n".join([kept.rstrip(), "", "[files]", *lines, ""]).encode())
    try:
        return open_bundle(folder, limits)
    except BundleError:
        _replace(path, before)
        raise


def survey(folder: Path, limits: Limits) -> dict[str, int]:
    """Path → bytes of every file in `folder`, none of them opened: names, kinds and sizes only.

    Raises: BundleError for names that lead elsewhere, links, devices and sizes over the limits.
    """
    sizes: dict[str, int] = {}
    lowered: dict[str, str] = {}
    for path, entry in _walk(folder):
        check_path(path)
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise BundleError(f"{path}: a symbolic link; a bundle holds its files itself")
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path}: not a plain file (a device, a pipe or a socket)")
        if status.st_nlink > limits.max_links:
            raise BundleError(
                f"{path}: a hard link; a file that has another name elsewhere can change. Copy the folder"
            )
        if path != MANIFEST:
            check_ending(path)
        if status.st_size > limits.max_file_bytes:
            raise BundleError(f"{path}: {status.st_size:,} bytes; at most {limits.max_file_bytes:,} are allowed")
        if other := lowered.get(path.lower()):
            raise BundleError(f"{path}: differs from {other} in the case of its letters only")
        lowered[path.lower()] = path
        sizes[path] = status.st_size
        if len(sizes) > limits.max_files:
            raise BundleError(f"{path}: one file too many; at most {limits.max_files} are allowed")
    if sum(sizes.values()) > limits.max_bundle_bytes:
        raise BundleError(f"{sum(sizes.values()):,} bytes in all; at most {limits.max_bundle_bytes:,} are allowed")
    return sizes


def main(arguments: list[str]) -> int:
    """The command line; the exit status."""
    verbs = {"seal": seal, "verify": open_bundle}
    if len(arguments) < 2 or arguments[0] not in verbs:
        sys.stderr.write("usage: python -m expertd.experts.bundle seal|verify FOLDER…\n")
        return 2
    failed = 0
    for folder in arguments[1:]:
        try:
            bundle = verbs[arguments[0]](Path(folder).resolve())
        except BundleError as error:
            sys.stderr.write(f"{error}\n")
            failed += 1
        else:
            sys.stdout.write(f"{bundle}: sound, {bundle.disk_bytes:,} bytes, sha256 {bundle.digest}\n")
    return 1 if failed else 0


# --- Reading and checking --------------------------------------------------------------------------------------------

_Result = TypeVar("_Result")


def _named(bundle: str, step: Any, *arguments: Any) -> Any:
    """Runs one step; its refusals, and files that cannot be read, come out with the bundle's name before them."""
    try:
        return step(*arguments)
    except BundleError as error:
        raise BundleError(f"{bundle}: {error}") from None
    except OSError as error:
        raise BundleError(f"{bundle}: {error.filename or ''}: cannot be read ({error.strerror})") from error


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path within the bundle, entry) of everything below, links not followed."""
    if prefix.count("/") > 4:
        raise BundleError(f"{prefix}: folders are nested more than four deep")
    with os.scandir(folder / prefix) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = prefix + entry.name
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder, f"{path}/")


def _read_manifest(folder: Path, limits: Limits) -> Manifest:
    path = folder / MANIFEST
    if not path.exists():
        raise BundleError(f"{MANIFEST}: missing; every bundle has one")
    if path.stat().st_size > limits.max_manifest_bytes:
        raise BundleError(f"{MANIFEST}: more than {limits.max_manifest_bytes:,} bytes")
    check_content(path, limits.max_manifest_bytes)
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST}: not valid TOML ({error})") from None
    _check_keys(table, Manifest, "")
    try:
        return msgspec.convert(table, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"{MANIFEST}: {_told(str(error))}") from None


def _check_keys(table: Mapping[str, Any], struct: type[msgspec.Struct], where: str) -> None:
    """An unknown key is refused with the nearest known one; a missing one with what it is for."""
    known = {field.name: field for field in msgspec.structs.fields(struct)}
    for key, value in table.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, 1, 0.5)
            hint = f'did you mean "{nearest[0]}"?' if nearest else f"known are {', '.join(known)}"
            raise BundleError(f'{MANIFEST}: unknown key "{where}{key}"; {hint}')
        inner = _STRUCTS.get(key)
        if inner is not None and struct is Manifest and isinstance(value, dict):
            _check_keys(value, inner, f"{key}.")
    for key, field in known.items():
        if field.required and key not in table:
            raise BundleError(f'{MANIFEST}: "{where}{key}" is missing; {_MISSING.get(key, "every manifest has it")}')


_STRUCTS: dict[str, type[msgspec.Struct]] = {"resources": Resources, "skill": Skill, "model": BaseModel}
_MISSING = {
    "licence": "name the licence of data and weights as SPDX writes it (Apache-2.0)",
    "resources": "estimate memory_mb and latency_ms",
    "version": "a whole number from 1 up, higher than any before it",
}
_PATTERNS = {
    _NAME: "it is lower-case letters, digits and dashes, 32 at most, a letter first",
    _SHA256: "it is a sha256: 64 digits from 0 to f",
    _SPDX: "it is a licence as SPDX writes it (Apache-2.0)",
}


def _told(message: str) -> str:
    """msgspec's message in words: "Expected `int` >= 1 - at `$.version`" → `"version": Expected `int` >= 1`."""
    what, _, where = message.partition(" - at ")
    for pattern, told in _PATTERNS.items():
        if repr(pattern) in what:
            what = told
    key = where.strip("`").removeprefix("$").removeprefix(".").replace("[...]", "")
    return f'"{key}": {what}' if key else what


def _verify(folder: Path, manifest: Manifest, sizes: Mapping[str, int], limits: Limits) -> None:
    _check_kind(manifest)
    for path in manifest.files:
        check_path(path)
        if path not in sizes:
            raise BundleError(f"{path}: missing, though {MANIFEST} lists it under [files]")
    for path, told in ((CARD, "what it does, its data and how good it is"), (INTENTS, "the sentences it owns")):
        if not sizes.get(path):
            raise BundleError(f"{path}: missing or empty; every bundle says {told}")
    if GOLDEN not in sizes:
        raise BundleError(f"{GOLDEN}: missing; every bundle brings the examples that it is examined with")
    for path in sizes:
        if path not in manifest.files and path != MANIFEST:
            raise BundleError(f"{path}: not listed under [files] of {MANIFEST}; seal the bundle")
    for path, expected in manifest.files.items():
        if (actual := _sha256(folder / path)) != expected:
            raise BundleError(f"{path}: its sha256 is {actual}, {MANIFEST} says {expected}: changed or damaged")
        check_content(folder / path, limits.max_text_file_bytes)
    for path in manifest.files:
        if path.endswith(".jsonl"):
            for _ in _rows((folder / path).read_text("utf-8"), path, limits.max_row_bytes):
                pass
    intents = _intents((folder / INTENTS).read_text("utf-8"), limits)
    if not intents and manifest.kind != "remote":
        raise BundleError(f"{INTENTS}: no sentence; no request would ever come this way")
    golden = _count_examples(folder / GOLDEN, limits.max_golden_rows, limits)
    if not golden and manifest.kind not in ("gguf", "remote"):
        raise BundleError(f"{GOLDEN}: no example; a version that nothing examines may not serve")
    if HELD_OUT in manifest.files and not _count_examples(folder / HELD_OUT, limits.max_held_out_rows, limits):
        raise BundleError(f"{HELD_OUT}: no example; leave the file out, or give it rows like those of {GOLDEN}")


def _check_kind(manifest: Manifest) -> None:
    """What one kind needs and another has no use for."""
    if manifest.kind == "linear" and not manifest.trunk:
        raise BundleError(f'{MANIFEST}: "trunk" is missing; a linear expert names the trunk that it was fitted on')
    if manifest.kind == "skill" and manifest.skill is None:
        raise BundleError(f"{MANIFEST}: the table [skill] is missing; a skill names its code")
    if manifest.kind != "skill" and manifest.skill is not None:
        raise BundleError(f"{MANIFEST}: [skill] in a bundle of kind {manifest.kind}; only a skill runs code")
    weighty = any(path.endswith(".gguf") for path in manifest.files)
    if manifest.kind == "gguf" and manifest.model is None and not weighty:
        raise BundleError(f"{MANIFEST}: neither a table [model] nor a .gguf file; a text expert needs a model")


def _rows(text: str, name: str, max_row_bytes: int) -> Iterator[tuple[int, Any]]:
    """(line number, value) of each line; a blank last line is no row."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        if len(line) > max_row_bytes:
            raise BundleError(f"{name} line {number}: {len(line):,} letters; at most {max_row_bytes:,} are allowed")
        if not line.strip():
            raise BundleError(f"{name} line {number}: empty; every line is one JSON object")
        yield number, decode_json(line, f"{name} line {number}")


class _IntentRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    intent: str
    text: str


_Row = TypeVar("_Row", _IntentRow, Golden)


def _convert(value: Any, row: type[_Row], where: str) -> _Row:
    try:
        return msgspec.convert(value, row)
    except msgspec.ValidationError as error:
        raise BundleError(f"{where}: {_told(str(error))}") from None


def _intents(text: str, limits: Limits) -> tuple[Intent, ...]:
    sentences: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    for number, value in _rows(text, INTENTS, limits.max_row_bytes):
        where = f"{INTENTS} line {number}"
        if number > limits.max_intent_rows:
            raise BundleError(f"{where}: one row too many; at most {limits.max_intent_rows:,} are allowed")
        row = _convert(value, _IntentRow, where)
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", row.intent):
            raise BundleError(f'{where}: "intent" is {row.intent!r}; it is lower-case letters, digits, - and _')
        if not row.text.strip():
            raise BundleError(f'{where}: "text" is empty; every intent row needs a sentence')
        if len(row.text) > 1000 or any(ord(letter) < 32 for letter in row.text):
            raise BundleError(f'{where}: "text" is one line of at most 1,000 letters')
        if row.text in first:
            raise BundleError(f"{where}: the same sentence stands in line {first[row.text]}; once is enough")
        first[row.text] = number
        sentences.setdefault(row.intent, []).append(row.text)
    return tuple(Intent(name, tuple(rows)) for name, rows in sentences.items())


def _examples(text: str, name: str, limits: Limits) -> Iterator[tuple[int, Golden]]:
    """(line number, row) of each line of golden.jsonl or heldout.jsonl."""
    for number, value in _rows(text, name, limits.max_row_bytes):
        yield number, _convert(value, Golden, f"{name} line {number}")


def _count_examples(path: Path, at_most: int, limits: Limits) -> int:
    """How many there are, each of them sound."""
    number = 0
    for number, _ in _examples(path.read_text("utf-8"), path.name, limits):
        if number > at_most:
            raise BundleError(f"{path.name} line {number}: one row too many; at most {at_most:,} are allowed")
    return number


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, data: bytes) -> None:
    """Old or new, never half: written beside, then renamed."""
    beside = path.with_name(f"{path.name}.sealing")
    beside.write_bytes(data)
    os.replace(beside, path)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
