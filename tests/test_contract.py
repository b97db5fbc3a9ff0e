"""The contract: the committed stubs are what the .proto files say, and those keep to the conventions."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto

from expertd.v1 import assistant_pb2, fleet_pb2, worker_pb2

PROTO = Path(__file__).parent.parent / "proto"
FILES: list[FileDescriptor] = [module.DESCRIPTOR for module in (assistant_pb2, fleet_pb2, worker_pb2)]


def messages() -> Iterator[Descriptor]:
    waiting = [message for file in FILES for message in file.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        yield message
        waiting += message.nested_types


def enums() -> Iterator[EnumDescriptor]:
    for file in FILES:
        yield from file.enum_types_by_name.values()
    for message in messages():
        yield from message.enum_types


def services() -> Iterator[ServiceDescriptor]:
    for file in FILES:
        yield from file.services_by_name.values()


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", PROTO / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_stubs_are_what_the_contract_says(generate: ModuleType, tmp_path: Path) -> None:
    generate.generate(tmp_path)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    committed = {
        path.relative_to(PROTO): path.read_bytes()
        for path in PROTO.rglob("*_pb2*.py*")
        if path.suffix in {".py", ".pyi"}
    }
    assert sorted(fresh) == sorted(committed)
    assert [str(path) for path in fresh if fresh[path] != committed[path]] == [], "generate them anew: make proto"


def test_every_contract_is_looked_at() -> None:
    assert sorted(file.name for file in FILES) == sorted(
        str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto")
    )
    assert {file.package for file in FILES} == {"expertd.v1"}


@pytest.mark.parametrize("enum", list(enums()), ids=lambda enum: enum.full_name)
def test_every_enum_begins_with_unspecified_and_carries_its_name(enum: EnumDescriptor) -> None:
    prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in enum.name).strip("_").upper()
    names = {value.number: value.name for value in enum.values}
    assert names[0] == f"{prefix}_UNSPECIFIED"
    assert [name for name in names.values() if not name.startswith(f"{prefix}_")] == []
    assert sorted(names) == list(range(len(names)))


@pytest.mark.parametrize("message", list(messages()), ids=lambda message: message.full_name)
def test_no_field_number_is_forgotten(message: Descriptor) -> None:
    """A number that was in use once is `reserved`: apps that still send it would be misread by its successor."""
    described = DescriptorProto()
    message.CopyToProto(described)
    numbers = [field.number for field in message.fields]
    numbers += [number for span in described.reserved_range for number in range(span.start, span.end)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("service", list(services()), ids=lambda service: service.full_name)
def test_every_call_has_a_request_and_a_response_of_its_own(service: ServiceDescriptor) -> None:
    for method in service.methods:
        prefix = "Worker" if service.name == "Worker" else ""
        # A call that only tells the same as it happens takes the same request.
        assert method.input_type.name == f"{prefix}{method.name.removesuffix('Stream')}Request"
        assert method.output_type.name == f"{prefix}{method.name}Response"


@pytest.mark.parametrize("message", list(messages()), ids=lambda message: message.full_name)
def test_times_are_timestamps_and_spans_are_durations(message: Descriptor) -> None:
    """No unit is left to guess: a bare number is a count, a share, bytes or a process's number."""
    suspicious = ("_ms", "_s", "_seconds", "_time", "timeout", "_at")
    numbers = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_DOUBLE}
    assert [
        field.name for field in message.fields if field.cpp_type in numbers and field.name.endswith(suspicious)
    ] == []
