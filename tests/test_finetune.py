"""Fine-tuning: intents told apart better than before, in a trunk of its own, the same again for the same seed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.distill import finetune, trunk
from expertd.distill.finetune import Example, Recipe, RowError
from expertd.distill.network import Network
from expertd.router.encoder import Encoder, TrunkSpec, pinned

Vectors = npt.NDArray[np.float32]

NOWHERE = "http://127.0.0.1:9"
# Much the same words on both sides: only their order and a few others tell the intents apart.
EXAMPLES = [
    Example(text, intent)
    for intent, texts in {
        "water the plants": (
            "give the ferns in the hall a drink",
            "the ferns in the hall look dry, do something",
            "pour some water on the basil",
            "my basil needs water today",
        ),
        "count the plants": (
            "how many ferns are in the hall",
            "tell me the number of ferns we keep",
            "is there more than one basil",
            "add up every basil that we own",
        ),
        "oos": ("who painted the night watch", "my train was late again"),
    }.items()
    for text in texts
]
FOILS = ("a poem about the sea", "what is the tallest bridge of all", "he never came back from the harbour")
QUICK = Recipe(epochs=6, batch=8, foils=2, members=2, rate=1e-4, averaged=0.2)


@dataclass(frozen=True)
class Made:
    folder: Path
    trunk_id: str
    tuned: dict[str, Vectors]
    said: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("tuned") / "garden"
    said: list[str] = []
    tuned = finetune.train(EXAMPLES, FOILS, QUICK, valid=EXAMPLES[:2], hub=NOWHERE, say=said.append)
    spec = finetune.export(folder, tuned, 1.0, hub=NOWHERE, say=said.append)
    return Made(folder, spec.id, tuned, said)


@pytest.fixture(scope="module")
def source() -> tuple[dict[str, Vectors], Path]:
    from safetensors.numpy import load_file

    weights, tokenizer = trunk.find(pinned(), None, NOWHERE, lambda line: None)
    return load_file(weights), tokenizer


def separation(vectors: Vectors) -> float:
    """Mean cosine within an intent, less that between intents."""
    intents = np.array([row.intent for row in EXAMPLES if row.intent != "oos"])
    same = intents[:, None] == intents
    cosines = vectors @ vectors.T
    return float(cosines[same & ~np.eye(len(same), dtype=bool)].mean() - cosines[~same].mean())


def inside() -> list[str]:
    return [row.text for row in EXAMPLES if row.intent != "oos"]


def test_a_tuned_trunk_opens_under_an_id_of_its_own(made: Made) -> None:
    encoder = Encoder.open(made.folder)
    assert encoder.id == made.trunk_id != pinned().id
    vectors = encoder.encode([*inside(), "entirely new words about umbrellas", ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_intents_lie_further_apart_than_before(made: Made, trunk_root: Path) -> None:
    before, after = (separation(Encoder.open(folder).encode(inside())) for folder in (trunk_root, made.folder))
    assert after > before + 0.2


def test_foils_stay_further_from_the_intents_than_their_own_sentences(made: Made) -> None:
    encoder = Encoder.open(made.folder)
    own, foils = encoder.encode(inside()), encoder.encode(FOILS)
    within = np.sort(own @ own.T, axis=1)[:, -2]
    assert (foils @ own.T).max() < within.min()


def test_validation_is_told(made: Made) -> None:
    assert any(line.startswith("validation: 1.0000 of 2") for line in made.said)


def test_every_part_of_the_loss_falls_with_training(source: tuple[dict[str, Vectors], Path]) -> None:
    first, last = (
        [float(value) for value in line.partition("foils: ")[2].split(", ")]
        for line in (told(source, epochs=0.1), told(source, epochs=12))
    )
    assert len(first) == len(last) == 3
    assert all(after < before for before, after in zip(first, last, strict=True))


def told(source: tuple[dict[str, Vectors], Path], epochs: float) -> str:
    """The last report of a training whose reports cover one step each."""
    from tokenizers import Tokenizer

    said: list[str] = []
    recipe = Recipe(epochs=epochs, batch=8, foils=2, members=1, rate=1e-4, averaged=0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "STEPS_BETWEEN_REPORTS", 1)
        finetune.tune(source[0], Tokenizer.from_file(str(source[1])), EXAMPLES, FOILS, recipe, say=said.append)
    return [line for line in said if line.startswith("step")][-1]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    source: tuple[dict[str, Vectors], Path],
) -> None:
    from tokenizers import Tokenizer

    def weights(seed: int) -> dict[str, Vectors]:
        recipe = Recipe(epochs=2, batch=4, foils=2, members=1, seed=seed)
        tokenizer = Tokenizer.from_file(str(source[1]))
        return finetune.tune(source[0], tokenizer, EXAMPLES, FOILS, recipe, say=lambda line: None)

    first, again, other = weights(5), weights(5), weights(6)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_training_leaves_torchs_own_state_alone(source: tuple[dict[str, Vectors], Path]) -> None:
    import torch
    from tokenizers import Tokenizer

    before, threads = torch.get_rng_state(), torch.get_num_threads()
    finetune.tune(
        source[0],
        Tokenizer.from_file(str(source[1])),
        EXAMPLES,
        (),
        Recipe(epochs=0.1, batch=4),
        say=lambda line: None,
    )
    assert torch.equal(before, torch.get_rng_state())
    assert threads == torch.get_num_threads()


def test_the_network_in_torch_computes_what_the_trunk_computes(
    source: tuple[dict[str, Vectors], Path], trunk_root: Path
) -> None:
    encoder = Encoder.open(trunk_root)
    network = Network(source[0], range(100), dropout=0.0)
    from tokenizers import Tokenizer

    ids = [Tokenizer.from_file(str(source[1])).encode(text).ids for text in inside()]
    ids = [[token for token in row if token] for row in ids]
    assert (network.encode(ids, batch=3).numpy() * encoder.encode(inside())).sum(axis=1).min() > 0.98


def test_untouched_weights_come_back_as_they_were(source: tuple[dict[str, Vectors], Path]) -> None:
    weights = Network(source[0], [5, 7], dropout=0.1).weights()
    for name in weights:
        np.testing.assert_array_equal(weights[name], source[0][name])
    assert {name for name in source[0] if name.startswith("encoder.")} <= set(weights)


@given(share=st.floats(0, 1))
def test_a_blend_lies_between_its_ends(share: float) -> None:
    one, other = {"w": np.array([0.0, 2.0], np.float32)}, {"w": np.array([1.0, -2.0], np.float32)}
    mixed = finetune.mixed([one, other], [1 - share, share])["w"]
    np.testing.assert_allclose(mixed, [share, 2 - 4 * share], atol=1e-6)
    assert mixed.dtype == np.float32


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[TrunkSpec, Mapping[str, Vectors]]]:
    """What would have been written, by the name of the folder: one real export is slow enough."""
    seen: dict[str, tuple[TrunkSpec, Mapping[str, Vectors]]] = {}

    def export(spec: TrunkSpec, weights: Mapping[str, Vectors], tokenizer: Path, home: Path, say: object) -> None:
        seen[home.name] = spec, weights

    monkeypatch.setattr(trunk, "export", export)
    return seen


def test_a_blend_of_nothing_is_the_pinned_trunk(
    made: Made,
    source: tuple[dict[str, Vectors], Path],
    exported: dict[str, tuple[TrunkSpec, Mapping[str, Vectors]]],
) -> None:
    finetune.export(Path("same"), made.tuned, 0.0, hub=NOWHERE, say=lambda line: None)
    _, weights = exported["same"]
    for name in made.tuned:
        np.testing.assert_array_equal(weights[name], source[0][name])


def test_the_command_trains_keeps_the_weights_and_exports_them_again(
    tmp_path: Path, exported: dict[str, tuple[TrunkSpec, Mapping[str, Vectors]]]
) -> None:
    rows = written(tmp_path / "rows.jsonl", *({"text": row.text, "intent": row.intent} for row in EXAMPLES))
    kept = ["--weights", str(tmp_path / "kept" / "tuned.safetensors"), "--hub", NOWHERE]
    quick = ["--epochs", "0.2", "--members", "1", "--valid", str(rows)]
    assert finetune.main(["--train", str(rows), "--out", str(tmp_path / "first"), *quick, *kept]) == 0
    assert finetune.main(["--out", str(tmp_path / "second"), *kept]) == 0
    assert finetune.main(["--out", str(tmp_path / "third"), "--blend", "0.9", *kept]) == 0
    first, second, third = (exported[name][0].id for name in ("first", "second", "third"))
    assert first == second
    assert len({first, third, pinned().id}) == 3


# --- Rows ------------------------------------------------------------------------------------------------------------


def written(path: Path, *rows: object) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_are_read_plain_or_gzipped(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, {"text": "one", "intent": "a"}, "", {"text": "two", "intent": "b"})
    assert finetune.read(path) == [Example("one", "a"), Example("two", "b")]


def test_a_file_with_splits_gives_one_of_them_with_its_foils(tmp_path: Path) -> None:
    path = written(
        tmp_path / "rows.jsonl",
        {"split": "train", "text": "one", "intent": "a"},
        {"split": "oos_train", "text": "two", "intent": "oos"},
        {"split": "val", "text": "three", "intent": "a"},
        {"split": "test", "text": "four", "intent": "a"},
    )
    assert finetune.read(path, "train") == [Example("one", "a"), Example("two", "oos")]
    assert finetune.read(path, "val") == [Example("three", "a")]
    with pytest.raises(RowError, match='no row of the split "training"'):
        finetune.read(path, "training")
    with pytest.raises(RowError, match='line 1: the file has a "split" column'):
        finetune.read(path)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ({"text": "", "intent": "a"}, '"text" is missing or empty'),
        ({"text": "  ", "intent": "a"}, '"text" is missing or empty'),
        ({"text": 3, "intent": "a"}, '"text" is missing or empty'),
        ({"text": "one"}, '"intent" is missing or empty'),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(tmp_path: Path, row: object, rule: str) -> None:
    path = written(tmp_path / "mine.jsonl", {"text": "fine", "intent": "a"}, row)
    with pytest.raises(RowError, match=rf"mine\.jsonl line 2: {rule}"):
        finetune.read(path)


def test_the_command_says_what_is_wrong_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "mine.jsonl", {"text": "fine", "intent": "a"}, {"text": "also", "intent": "a"})
    out = tmp_path / "out"
    assert finetune.main(["--train", str(path), "--out", str(out), "--hub", NOWHERE]) == 1
    assert "1 intent among 2 rows" in capsys.readouterr().err
    assert not out.exists()
