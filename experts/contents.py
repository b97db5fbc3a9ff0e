"""What a bundle's files may be called, and what they may hold: data of a few known formats, never code.

A name is refused by its letters, a file by its bytes: its ending says what it must be, and its bytes must agree. The
module knows no manifest; its errors begin with the file's name.
"""

from __future__ import annotations

import pickletools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .errors import BundleError
from .weights import check_gguf, check_onnx, check_safetensors

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024
# Of one JSON text: as Python values each takes some sixty bytes, however few it has in the file.
MAX_JSON_VALUES = 1_000_000

_WEIGHTS = {".safetensors": check_safetensors, ".gguf": check_gguf, ".onnx": check_onnx}
_TEXT = (".toml", ".jsonl", ".json", ".md", ".txt", ".csv", ".gbnf")
_ENDINGS = (*_WEIGHTS, *_TEXT)

# What the first bytes of a file give away.
_MAGIC = (
    (b"\x7fELF", "a program (ELF)"),
    (b"#!", "a script"),
    (b"MZ", "a program (PE)"),
    (b"\xfe\xed\xfa", "a program (Mach-O)"),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a program (Mach-O or Java)"),
    (b"\0asm", "a program (WebAssembly)"),
    (b"PK\x03\x04", "a zip archive (a PyTorch file is one, and holds a pickle)"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"BZh", "compressed (bzip2)"),
    (b"\xfd7zXZ\0", "compressed (xz)"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstandard)"),
    (b"\x04\x22\x4d\x18", "compressed (lz4)"),
    (b"\x1f\x9d", "compressed (compress)"),
    (b"LZIP", "compressed (lzip)"),
    (b"7z\xbc\xaf\x27\x1c", "an archive (7z)"),
    (b"Rar!\x1a\x07", "an archive (rar)"),
    (b"!<arch>\n", "an archive (ar)"),
    (b"\x93NUMPY", "a NumPy array (which may hold a pickle)"),
    (b"\x89HDF\r\n", "an HDF5 file"),
)
# Of these a text may begin with the letters; they count where the bytes are no text.
_LETTERS = (b"MZ", b"BZh", b"LZIP")

# A page of text needs the tab and the ends of lines; with others it may rewrite what a terminal shows.
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")

# Nested keys take a TOML reader time by the square of their depth.
_DEEP_KEY = re.compile(rb"""(?:\.[ \t]*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*){32}""")

# Opcodes that import or call something.
_CALLING = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "EXT1", "EXT2", "EXT4"}


def check_path(path: str) -> None:
    """A file's path within its bundle: plain ASCII names, joined by "/", that go nowhere else.

    Raises: BundleError, with the path written so that nothing in it can deceive a terminal.
    """

    def refuse(rule: str) -> BundleError:
        shown = path if len(path) <= 80 else f"{path[:77]}…"
        return BundleError(f"{ascii(shown)[1:-1]}: {rule}")

    if not path:
        raise refuse("a file has no name")
    encoded = path.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_PATH_BYTES:
        raise refuse(f"the path has {len(encoded):,} bytes; at most {MAX_PATH_BYTES:,} are allowed")
    if "\0" in path:
        raise refuse("the name holds a NUL")
    if "\\" in path:
        raise refuse('the name holds a backslash; folders are parted by "/"')
    if path.startswith("/") or path[1:2] == ":":
        raise refuse("the path is absolute; paths begin at the bundle's folder")
    if unicodedata.normalize("NFKC", path) != path:
        raise refuse("the name holds look-alike letters (it changes under NFKC); use plain ASCII")
    if not path.isascii():
        raise refuse("the name holds letters beyond ASCII, which may look like others; use plain ASCII")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise refuse(f'the path has the part "{part}"; it must lead straight down')
        if len(part) > MAX_NAME_BYTES:
            raise refuse(f"a name has {len(part):,} bytes; at most {MAX_NAME_BYTES} are allowed")
        if part[0] in ".-":
            raise refuse(f'the name begins with "{part[0]}"; begin with a letter or a digit')
        if not part.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise refuse("names hold letters, digits, dot, dash and underscore only")


def check_ending(path: str) -> None:
    """Raises: BundleError where a bundle has no use for such files."""
    if Path(path).suffix not in _ENDINGS:
        raise BundleError(f"{path}: files of this kind may not be in a bundle; it holds data: {', '.join(_ENDINGS)}")


def check_content(path: Path, max_text_bytes: int) -> None:
    """The bytes must be what the ending says, and nothing else besides.

    Raises: BundleError.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(512)
        file.seek(max(0, size - 65_557))
        tail = file.read()
    _check_disguise(path.name, head, tail)
    if check := _WEIGHTS.get(path.suffix):
        check(path)
        return
    if size > max_text_bytes:
        raise BundleError(f"{path.name}: {size:,} bytes of text; at most {max_text_bytes:,} are allowed")
    _check_text(path.name, path.read_bytes())


def _check_disguise(name: str, head: bytes, tail: bytes) -> None:
    """Refuses a file that some program would take for something else, whatever it is called."""
    for magic, told in _MAGIC:
        if head.startswith(magic) and not (magic in _LETTERS and _is_text(head)):
            raise BundleError(f"{name}: the file is {told}; a bundle holds data only, uncompressed")
    if head[257:262] == b"ustar":
        raise BundleError(f"{name}: the file is a tar archive; a bundle holds data only, uncompressed")
    if _ends_in_zip(tail):
        raise BundleError(f"{name}: a zip archive is hidden at the end of the file")
    # Protocol 2 and later; the tensors' formats cannot begin so: it would be a header of more than a terabyte.
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        raise BundleError(f"{name}: the file is a pickle, which runs code when it is loaded; use safetensors")


def _ends_in_zip(tail: bytes) -> bool:
    """A zip is found from its end, so that one may hide behind anything: its last record, and the index before it."""
    position = tail.rfind(b"PK\x05\x06")
    while position >= 0:
        index = position - int.from_bytes(tail[position + 12 : position + 16], "little")
        comment = int.from_bytes(tail[position + 20 : position + 22], "little")
        if tail[max(0, index) :].startswith(b"PK\x01\x02") or comment == len(tail) - position - 22:
            return True
        position = tail.rfind(b"PK\x05\x06", 0, position)
    return False


def _is_text(data: bytes) -> bool:
    try:
        data[:-4].decode("utf-8")  # The last letter may be cut in two.
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _check_text(name: str, data: bytes) -> None:
    if _is_pickle(data):
        raise BundleError(f"{name}: the file is a pickle, which runs code when it is loaded; write plain text")
    if b"\0" in data:
        raise BundleError(f"{name}: the file holds a NUL; text files hold text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{name}: byte {error.start:,} is not UTF-8; text files hold UTF-8") from None
    if control := _CONTROL.search(data):
        raise BundleError(
            f"{name}: byte {control.start():,} is the control character {control[0]!r}; text files hold text"
        )
    if name.endswith(".toml"):
        check_toml(data, name)
    if name.endswith(".json"):
        decode_json(text, name)


def check_toml(data: bytes, name: str) -> None:
    """Raises: BundleError for TOML that is better not given to a reader."""
    if _DEEP_KEY.search(data):
        raise BundleError(f"{name}: not valid TOML here: a key of more than 32 parts")


def decode_json(text: str, name: str) -> Any:
    """Raises: BundleError where `text` is not JSON; `name` begins it."""
    values = text.count(",") + text.count("[") + text.count("{")
    if values > MAX_JSON_VALUES:
        raise BundleError(f"{name}: some {values:,} values; at most {MAX_JSON_VALUES:,} are read")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleError(f"{name}: not valid JSON ({error})") from None


def _is_pickle(data: bytes) -> bool:
    """Whether unpickling `data` would come to its end, and either call something or use all of it.

    Protocols 0 and 1 are made of letters: a page that begins with "N. B." is a pickle of None to the unpickler, and
    harmless. Nothing is unpickled here; the opcodes are read and their effect on the stack's height is followed.
    """
    height, calls = 0, False
    marks: list[int] = []
    for count, (opcode, position) in enumerate(_opcodes(data)):
        if count == 100_000:
            return True  # No text goes on like that.
        before = [item.name for item in opcode.stack_before]
        if "mark" in before:
            if not marks:
                return False
            height = marks.pop()
            before = before[: before.index("mark")]
        if len(before) > height:
            return False
        calls = calls or opcode.name in _CALLING
        if opcode.name == "STOP":
            return calls or not data[position + 1 :].strip()
        height -= len(before)
        if opcode.name == "MARK":
            marks.append(height)
        else:
            height += len(opcode.stack_after)
    return False


def _opcodes(data: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, int]]:
    try:
        for opcode, _, position in pickletools.genops(data):
            yield opcode, position or 0
    except Exception:
        # Whatever a malformed argument makes pickletools raise: these bytes are no pickle.
        return
