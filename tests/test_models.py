"""The base models on disk: what is taken in, what is refused, and that a failure leaves nothing behind."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.gguf_files import write_chain_model
from expertd.experts.bundle import BaseModel
from expertd.experts.errors import BundleError, StoreError
from expertd.experts.models import Models


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_chain_model(tmp_path_factory.mktemp("gguf") / "chain.gguf").read_bytes()


def named(data: bytes, name: str = "tiny") -> BaseModel:
    return BaseModel(
        name=name,
        repository="somebody/tiny",
        revision="1" * 40,
        file="tiny.gguf",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        licence="Apache-2.0",
    )


def adopt(models: Models, model: BaseModel, data: bytes, announced: int | None = None) -> Path:
    with models.adoption(model, len(data) if announced is None else announced) as adoption:
        for start in range(0, len(data), 70_000):
            adoption.write(data[start : start + 70_000])
        return adoption.finish()


def files(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


@contextmanager
def at_most(size_bytes: int) -> Iterator[None]:
    """Writing beyond it fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_model_that_was_never_taken_in_is_not_there(tmp_path: Path, gguf: bytes) -> None:
    models = Models.open(tmp_path / "models")
    assert models.path(named(gguf)) is None
    assert models.present_bytes(named(gguf)) == 0


def test_an_adopted_model_is_there_and_still_there_after_a_restart(tmp_path: Path, gguf: bytes) -> None:
    models = Models.open(tmp_path)
    path = adopt(models, named(gguf), gguf)
    assert path.read_bytes() == gguf
    for reader in (models, Models.open(tmp_path)):
        assert reader.path(named(gguf)) == path
        assert reader.present_bytes(named(gguf)) == len(gguf)


def test_any_sound_file_serves_under_the_name_that_the_user_gives_it(tmp_path: Path, gguf: bytes) -> None:
    wanted = named(b"the file that the bundle means")
    path = adopt(Models.open(tmp_path), wanted, gguf)
    assert path.name == f"{hashlib.sha256(gguf).hexdigest()}.gguf"
    assert Models.open(tmp_path).path(wanted) == path
    assert Models.open(tmp_path).path(named(b"another", name="another")) is None


def test_what_the_user_hands_over_goes_before_what_the_bundle_names(tmp_path: Path, gguf: bytes) -> None:
    models = Models.open(tmp_path)
    own = write_chain_model(tmp_path / "own.gguf", ("My", "own.")).read_bytes()
    adopt(models, named(gguf), gguf)
    path = adopt(models, named(gguf), own)
    assert models.path(named(gguf)) == path
    path.unlink()
    assert models.path(named(gguf)) == models.destination(named(gguf))


def test_an_adopted_file_never_passes_for_the_one_that_the_bundle_names(tmp_path: Path, gguf: bytes) -> None:
    models, wanted = Models.open(tmp_path), named(b"the file that the bundle means")
    adopt(models, wanted, gguf)
    present = models.find(wanted)
    assert present is not None
    digest = hashlib.sha256(gguf).hexdigest()
    assert (present.adopted, present.size_bytes, present.sha256) == (True, len(gguf), digest)
    assert present.title == f"tiny (adopted, {digest[:8]})"
    assert not models.has_named(wanted)


def test_adopting_the_very_file_that_the_bundle_names_is_as_good_as_a_download(tmp_path: Path, gguf: bytes) -> None:
    models = Models.open(tmp_path)
    adopt(models, named(gguf), gguf)
    present = models.find(named(gguf))
    assert present is not None
    assert (present.adopted, present.title) == (False, "tiny")
    assert models.has_named(named(gguf))


def test_a_download_goes_before_what_was_adopted_earlier(tmp_path: Path, gguf: bytes) -> None:
    models, model = Models.open(tmp_path), named(gguf)
    own = write_chain_model(tmp_path / "own.gguf", ("My", "own.")).read_bytes()
    adopted = adopt(models, model, own)
    models.destination(model).write_bytes(gguf)
    assert models.path(model) == adopted
    models.admit(model)
    for reader in (models, Models.open(tmp_path)):
        assert reader.path(model) == models.destination(model)


def test_a_file_that_was_cut_short_does_not_count_as_there(tmp_path: Path, gguf: bytes) -> None:
    models, model = Models.open(tmp_path), named(gguf)
    own = write_chain_model(tmp_path / "own.gguf", ("My", "own.")).read_bytes()
    pinned, adopted = adopt(models, model, gguf), adopt(models, model, own)
    adopted.write_bytes(own[:-1])
    assert models.path(model) == pinned
    pinned.write_bytes(gguf[:-1])
    assert models.path(model) is None
    assert models.present_bytes(model) == 0
    assert not models.has_named(model)


def test_a_file_that_is_no_gguf_leaves_nothing(tmp_path: Path) -> None:
    models = Models.open(tmp_path)
    with pytest.raises(BundleError, match=r"^tiny: not a GGUF file"):
        adopt(models, named(b"notes"), b"notes of mine, and no model at all")
    assert files(tmp_path) == set()


def test_a_gguf_whose_tensors_lie_leaves_nothing(tmp_path: Path, gguf: bytes) -> None:
    with pytest.raises(BundleError, match="tensor"):
        adopt(Models.open(tmp_path), named(gguf), gguf[:-1000])
    assert files(tmp_path) == set()


@pytest.mark.parametrize(("announced", "rule"), [(-1, "more than"), (1, "arrived")])
def test_a_file_of_another_size_than_announced_leaves_nothing(
    tmp_path: Path, gguf: bytes, announced: int, rule: str
) -> None:
    models = Models.open(tmp_path)
    with pytest.raises(StoreError, match=rule):
        adopt(models, named(gguf), gguf, announced=len(gguf) + announced)
    assert files(tmp_path) == set()


def test_a_file_that_never_fits_is_refused_before_it_comes(tmp_path: Path, gguf: bytes) -> None:
    with pytest.raises(StoreError, match="do not fit"):
        Models.open(tmp_path).adoption(named(gguf), 2**60)
    assert files(tmp_path) == set()


def test_a_disk_that_runs_full_leaves_nothing_and_what_was_there_serves_on(tmp_path: Path, gguf: bytes) -> None:
    models = Models.open(tmp_path)
    before = adopt(models, named(gguf), gguf)
    own = write_chain_model(tmp_path / "own.gguf", ("My", "own.")).read_bytes()
    (tmp_path / "own.gguf").unlink()
    there = files(tmp_path)
    with at_most(100_000), pytest.raises(StoreError, match="make room"):
        adopt(models, named(gguf), own)
    assert files(tmp_path) == there
    assert models.path(named(gguf)) == before


def test_an_adoption_that_was_interrupted_is_swept_up_at_the_next_start(tmp_path: Path, gguf: bytes) -> None:
    adoption = Models.open(tmp_path).adoption(named(gguf), len(gguf))
    adoption.write(gguf[:1000])
    assert len(files(tmp_path)) == 1
    Models.open(tmp_path)
    assert files(tmp_path) == set()


def test_a_download_counts_from_its_first_byte_and_serves_once_it_is_admitted(tmp_path: Path, gguf: bytes) -> None:
    models, model = Models.open(tmp_path), named(gguf)
    models.part(model).write_bytes(gguf[:1234])
    assert models.path(model) is None
    assert models.present_bytes(model) == 1234
    models.part(model).rename(models.destination(model))
    models.destination(model).write_bytes(gguf)
    assert models.admit(model) == models.path(model)


def test_a_download_that_is_no_sound_gguf_is_not_kept(tmp_path: Path) -> None:
    models, model = Models.open(tmp_path), named(b"notes")
    models.destination(model).write_bytes(b"notes")
    with pytest.raises(BundleError, match="GGUF"):
        models.admit(model)
    assert models.path(model) is None


def test_a_damaged_index_loses_names_but_no_files(tmp_path: Path, gguf: bytes) -> None:
    path = adopt(Models.open(tmp_path), named(gguf), gguf)
    (tmp_path / "models.json").write_text('{"tiny": {"sha')
    assert Models.open(tmp_path).path(named(gguf)) == path


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(StoreError, match="models"):
        Models.open(tmp_path / "models")
