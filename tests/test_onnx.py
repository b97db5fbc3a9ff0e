"""The onnx kind serves networks of known sizes, refuses what does not fit, and survives what is put to it."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bench.onnx_files import save, write_bundle, write_network
from expertd.experts.bundle import Bundle, open_bundle, seal
from expertd.experts.errors import BundleError, QueryError, UnavailableError
from expertd.experts.kinds.onnx import MODEL, OnnxModel, OnnxServable, apart, load, read_parameters
from expertd.experts.servable import Host
from expertd.experts.values import Abstention, Answer, Document, Label, Outcome, Query, Series, Structured

VECTOR = np.full(384, 384**-0.5, np.float32)
LABELS = ("low", "middle", "high")


async def nobody(text: str) -> None:
    raise AssertionError(text)


def query(text: str = "what a day", **named: Any) -> Query:
    fields = {"text": text, "now": datetime(2026, 3, 2, tzinfo=UTC), "zone": ZoneInfo("UTC"), "vector": VECTOR}
    return Query(**{**fields, **named})


def series(*values: float) -> Series:
    return Series(np.array(values, np.float64))


async def served(folder: Path, **made: Any) -> OnnxServable:
    return await load(write_bundle(folder / "probe", **made), cast(Host, None))


def resealed(bundle: Bundle, **parameters: Any) -> Bundle:
    """The bundle with some words of its manifest changed."""
    path = bundle.path / "expert.toml"
    text = path.read_text()
    for old, new in parameters.items():
        assert f"{old} = " in text
        lines = [f"{old} = {new}" if line.startswith(f"{old} = ") else line for line in text.split("\n")]
        text = "\n".join(lines)
    path.write_text(text)
    return seal(bundle.path)


def label(outcome: Outcome) -> Label:
    assert isinstance(outcome, Answer)
    assert isinstance(outcome.result, Label)
    return outcome.result


def values(outcome: Outcome) -> list[float]:
    assert isinstance(outcome, Answer)
    assert isinstance(outcome.result, Structured)
    return cast(list[float], outcome.result.data["values"])


def tiny(
    path: Path,
    nodes: list[onnx.NodeProto] | None = None,
    weights: dict[str, Any] | None = None,
    *,
    given: tuple[int, list[Any]] = (TensorProto.INT64, [1, "n"]),
    gives: tuple[tuple[int, list[Any]], ...] = ((TensorProto.FLOAT, [1, "m"]),),
    **more: Any,
) -> Path:
    """A network "x" → "y" (and "y1"…) that gives its bytes as numbers, unless told otherwise."""
    nodes = nodes or [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]
    outputs = [
        helper.make_tensor_value_info("y" if n == 0 else f"y{n}", dtype, shape)
        for n, (dtype, shape) in enumerate(gives)
    ]
    return save(path, nodes, weights or {}, helper.make_tensor_value_info("x", *given), outputs, **more)


def echoing(path: Path, **changed: Any) -> OnnxModel:
    parameters = {"input": "bytes", "output": "values", "needs_input": "Of what?", **changed}
    return OnnxModel(path, read_parameters(parameters, bundle="echo 1"), name="echo 1")


def replaced(bundle: Bundle, **made: Any) -> Bundle:
    """The bundle around another network."""
    tiny(bundle.path / MODEL, **made)
    return seal(bundle.path)


# --- Answers ---------------------------------------------------------------------------------------------------------


async def test_it_answers_with_the_label_that_the_network_gives(tmp_path: Path) -> None:
    probe = await served(tmp_path, parameters={"temperature": 2.0})
    assert probe.needs_vector
    model = onnx.load(tmp_path / "probe" / MODEL)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    hidden = np.maximum(VECTOR @ arrays["first"] + arrays["first_bias"], 0)
    powers = np.exp((hidden @ arrays["last"] + arrays["last_bias"]) / 2)
    found = label(await probe.answer(query(), nobody))
    assert list(found.probabilities) == list(LABELS)
    assert list(found.probabilities.values()) == pytest.approx((powers / powers.sum()).tolist(), rel=1e-4)
    assert found.label == LABELS[int(powers.argmax())]


async def test_its_phrases_are_data_and_below_the_threshold_it_abstains(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "probe", parameters={"temperature": 1000.0})
    sure = await load(bundle, cast(Host, None))
    found = label(await sure.answer(query(), nobody))
    text = (bundle.path / "expert.toml").read_text()
    phrases = f'[parameters.phrases]\n{found.label} = "It is ({{percent}}) {{0.__class__}}"\n\n[files]'
    (bundle.path / "expert.toml").write_text(text.replace("[files]", phrases))
    outcome = await (await load(seal(bundle.path), cast(Host, None))).answer(query(), nobody)
    assert isinstance(outcome, Answer)
    assert outcome.text.startswith("It is (3")
    assert outcome.text.endswith(") {0.__class__}")
    (bundle.path / "expert.toml").write_text(text.replace("[resources]", "threshold = 0.9\n[resources]"))
    outcome = await (await load(seal(bundle.path), cast(Host, None))).answer(query(), nobody)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "unsure"
    assert "90 %" in outcome.reason


@pytest.mark.parametrize("temperature", [1e-300, 1e300])
async def test_any_temperature_gives_probabilities(tmp_path: Path, temperature: float) -> None:
    probe = await served(tmp_path, parameters={"temperature": temperature})
    assert sum(label(await probe.answer(query(), nobody)).probabilities.values()) == pytest.approx(1)


async def test_a_network_of_bytes_reads_the_text_as_utf8(tmp_path: Path) -> None:
    model = echoing(tiny(tmp_path / "echo.onnx"), max_bytes=6)
    assert values(model.answer(query("añb"))) == [97, 195, 177, 98]
    assert values(model.answer(query("abcdefgh"))) == [97, 98, 99, 100, 101, 102]
    assert values(model.answer(query("x", document=Document("y")))) == [121]
    assert values(model.answer(query("\ud800\0"))) == [63, 0]


async def test_a_network_of_a_series_reads_its_last_values(tmp_path: Path) -> None:
    path = tiny(
        tmp_path / "echo.onnx", [helper.make_node("Identity", ["x"], ["y"])], given=(TensorProto.FLOAT, [1, "n"])
    )
    model = echoing(path, input="series", max_values=3)
    assert values(model.answer(query(series=series(1, 2, 3, 4)))) == [2, 3, 4]
    assert model.answer(query()) == Abstention("Of what?", "needs_input")
    assert model.answer(query(series=series())) == Abstention("Of what?", "needs_input")
    for odd in (np.nan, np.inf, 1e300):
        with pytest.raises(QueryError, match="gaps") as error:
            model.answer(query(series=series(1, odd)))
        assert error.value.reason == "SERIES_HAS_GAPS"


async def test_many_values_are_told_in_short_and_given_in_full(tmp_path: Path) -> None:
    outcome = echoing(tiny(tmp_path / "echo.onnx")).answer(query("abcdefghij"))
    assert isinstance(outcome, Answer)
    assert outcome.text == "97, 98, 99, 100, 101, 102, 103, 104, … (10 values)"
    assert len(values(outcome)) == 10


@pytest.mark.parametrize("given", ["vector", "bytes"])
@pytest.mark.parametrize(
    "asked", [{"intent": "look"}, {"payload": " \n"}, {"document": Document("")}, {"text": ""}, {"text": " "}]
)
async def test_it_asks_back_when_there_is_nothing_to_judge(tmp_path: Path, given: Any, asked: dict[str, Any]) -> None:
    probe = await served(tmp_path, given=given)
    assert await probe.answer(query(**asked), nobody) == Abstention("Of what?", "needs_input")


async def test_a_million_bytes_are_answered_like_the_first_of_them(tmp_path: Path) -> None:
    probe = await served(tmp_path, given="bytes", width=16)
    million = await probe.answer(query("abc " * 250_000), nobody)
    assert label(million) == label(await probe.answer(query(("abc " * 250_000)[:1024]), nobody))


async def test_without_the_trunks_vector_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vector"):
        await (await served(tmp_path)).answer(query(vector=None), nobody)


@pytest.mark.parametrize("given", ["vector", "bytes", "series"])
async def test_many_answers_at_once_do_not_disturb_each_other(tmp_path: Path, given: Any) -> None:
    probe = await served(tmp_path, given=given, labels=())
    asked = [query(f"number {n}", series=series(n, 1, n), vector=np.roll(VECTOR, n) * n) for n in range(1, 9)]
    alone = [values(await probe.answer(one, nobody)) for one in asked]
    together = await asyncio.gather(*(probe.answer(one, nobody) for one in asked for _ in range(4)))
    assert [values(outcome) for outcome in together] == [value for value in alone for _ in range(4)]


async def test_slow_networks_leave_the_event_loop(tmp_path: Path) -> None:
    probe = await served(tmp_path, given="bytes")
    names: list[str] = []
    answer = probe._model.answer

    def seen(*given: Any, **named: Any) -> Outcome:
        names.append(threading.current_thread().name)
        return answer(*given, **named)

    probe._model.answer = seen  # type: ignore[method-assign]
    main = threading.current_thread().name
    for pace, expected in ((1e-9, True), (1.0, False)):
        probe._model._pace_s = pace
        names.clear()
        await probe.answer(query(), nobody)
        assert (names == [main]) is expected


async def test_it_says_how_much_memory_it_holds_and_closes(tmp_path: Path) -> None:
    probe = await served(tmp_path)
    assert (tmp_path / "probe" / MODEL).stat().st_size < probe.resident_bytes() < 2**20
    assert probe.worker_pid() == 0
    await probe.close()
    with pytest.raises(UnavailableError, match="closed"):
        await probe.answer(query(), nobody)


def endless(path: Path) -> Path:
    """A network whose answer takes a hundred thousand million steps."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes"]),
            helper.make_node("Sin", ["before"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, "n"]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1, "n"]),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Loop", ["times", "yes", "f"], ["y"], body=body),
    ]
    return tiny(path, nodes, {"times": np.array(10**11), "yes": np.array(True)})


def test_an_answer_that_nobody_waits_for_ends_early(tmp_path: Path) -> None:
    model = echoing(endless(tmp_path / "endless.onnx"))
    began = time.monotonic()
    with pytest.raises(UnavailableError) as error:
        model.answer(query(), cancelled=lambda: time.monotonic() - began > 0.1)
    assert error.value.reason == "CANCELLED"


# --- Loading ---------------------------------------------------------------------------------------------------------

FLOAT, INT64, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        ({"given": (FLOAT, [1, "n"])}, r"input 'x' is tensor\(float\)"),
        ({"given": (INT64, [1, 64])}, r"input 'x' has the shape \[1, 64\]"),
        ({"given": (INT64, ["n"]), "gives": ((FLOAT, ["n"]),)}, "input 'x' has the shape"),
        ({"given": (INT64, [2, "n"]), "gives": ((FLOAT, [2, "n"]),)}, "input 'x' has the shape"),
        ({"gives": ((INT64, [1, "n"]),), "nodes": [helper.make_node("Neg", ["x"], ["y"])]}, r"output 'y' is tensor\(i"),
        (
            {
                "gives": ((FLOAT, [1, "n"]), (FLOAT, [1, "n"])),
                "nodes": [helper.make_node("Cast", ["x"], [name], to=FLOAT) for name in ("y", "y1")],
            },
            "2 outputs",
        ),
        ({"gives": ()}, "model.onnx"),
        ({"nodes": [helper.make_node("Nonsense", ["x"], ["y"])]}, "Nonsense"),
        (
            {
                "nodes": [helper.make_node("Spy", ["x"], ["y"], domain="org.example")],
                "opset_imports": [helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)],
            },
            "domain 'org.example'",
        ),
        ({"nodes": [helper.make_node("Cast", ["z"], ["y"], to=FLOAT)]}, "onnxruntime refuses it"),
    ],
)
async def test_a_network_that_does_not_fit_is_refused(tmp_path: Path, made: dict[str, Any], rule: str) -> None:
    bundle = replaced(write_bundle(tmp_path / "probe", given="bytes", labels=()), **made)
    with pytest.raises(BundleError, match=rule) as error:
        await load(bundle, cast(Host, None))
    assert str(error.value).startswith("probe 1: model.onnx: ")


async def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "probe")
    model = onnx.load(bundle.path / MODEL)
    for tensor in model.graph.initializer:
        if tensor.name == "last_bias":
            tensor.CopyFrom(numpy_helper.from_array(np.array([0, np.nan, 0], np.float32), "last_bias"))
    onnx.save(model, bundle.path / MODEL)
    with pytest.raises(BundleError, match=r"probe 1: model\.onnx: gave a number that is not finite"):
        await load(seal(bundle.path), cast(Host, None))


async def test_numbers_that_stop_being_finite_are_an_error_and_no_answer(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["f"]), helper.make_node("Exp", ["f"], ["y"])]
    model = echoing(tiny(tmp_path / "exp.onnx", nodes, given=(FLOAT, [1, "n"])), input="series")
    assert values(model.answer(query(series=series(0)))) == [1]
    with pytest.raises(UnavailableError, match="not finite") as error:
        model.answer(query(series=series(0, 1000)))
    assert error.value.reason == "BAD_OUTPUT"


@pytest.mark.parametrize("declared", [3, "k"])
async def test_a_label_too_few_is_refused_whether_the_file_says_so_or_not(tmp_path: Path, declared: Any) -> None:
    bundle = write_bundle(tmp_path / "probe")
    model = onnx.load(bundle.path / MODEL)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("scores", FLOAT, [1, declared]))
    onnx.save(model, bundle.path / MODEL)
    bundle = resealed(bundle, labels='["low", "high"]')
    with pytest.raises(BundleError, match=r"shape \['?1'?, 3\]|3 logits for 2 labels"):
        await load(bundle, cast(Host, None))


async def test_a_network_that_fails_says_so_and_goes_on_serving(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["table", "x"], ["rows"]), helper.make_node("Identity", ["rows"], ["y"])]
    model = echoing(tiny(tmp_path / "short.onnx", nodes, {"table": np.arange(100, dtype=np.float32)}))
    with pytest.raises(UnavailableError) as error:
        model.answer(query("zebra"))
    assert error.value.reason == "MODEL_FAILED"
    assert values(model.answer(query("a"))) == [97]


def test_weights_in_another_file_are_refused_when_the_bundle_is_opened(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "probe")
    model = onnx.load(bundle.path / MODEL)
    onnx.save(model, bundle.path / MODEL, save_as_external_data=True, location="weights.txt", size_threshold=0)
    with pytest.raises(BundleError, match=r"model\.onnx: .*external_data"):
        seal(bundle.path)


@pytest.mark.parametrize(
    "changed",
    [
        {"input": '"picture"'},
        {"output": '"prose"'},
        {"output": '"values"'},
        {"labels": '["low"]'},
        {"labels": '["low", "low", "high"]'},
        {"needs_input": "3"},
        {"input": '"bytes"\nmax_bytes = 0'},
        {"input": '"vector"\nprocess = "thread"'},
        {"input": '"vector"\nmax_byte = 100'},
        {"input": '"vector"\ntemperature = 0.0'},
    ],
)
async def test_parameters_that_make_no_sense_are_refused(tmp_path: Path, changed: dict[str, str]) -> None:
    bundle = resealed(write_bundle(tmp_path / "probe"), **changed)
    with pytest.raises(BundleError, match=r"probe 1: expert\.toml: \[parameters\]"):
        await load(bundle, cast(Host, None))
    with pytest.raises(BundleError, match=r"probe 1: expert\.toml: \[parameters\]"):
        apart(bundle)


async def test_who_reads_the_trunks_vector_names_the_trunk(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "probe")
    nameless = dataclasses.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, trunk=None))
    with pytest.raises(BundleError, match='"trunk" is missing'):
        await load(nameless, cast(Host, None))


# --- Which process ---------------------------------------------------------------------------------------------------


def test_small_networks_stay_and_large_ones_want_a_process(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "probe", given="bytes")
    assert not apart(bundle)
    assert apart(resealed(bundle, input='"bytes"\nprocess = "worker"'))
    large = write_bundle(tmp_path / "large", width=25_000)
    assert apart(large)
    assert not apart(resealed(large, input='"vector"\nprocess = "daemon"'))


async def test_operators_without_bounds_never_run_in_the_daemon(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "probe", given="bytes", labels=())
    endless(bundle.path / MODEL)
    bundle = seal(bundle.path)
    assert apart(bundle)
    with pytest.raises(BundleError, match="worker"):
        await load(bundle, cast(Host, None))
    with pytest.raises(BundleError, match="operator Loop"):
        apart(resealed(bundle, input='"bytes"\nprocess = "daemon"'))


async def test_a_network_that_would_fill_the_memory_fails_alone(tmp_path: Path) -> None:
    """Joined to itself 40 times: a million million numbers of one."""
    names = ["f", *(f"f{n}" for n in range(40))]
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=FLOAT),
        *(helper.make_node("Concat", [a, a], [b], axis=1) for a, b in itertools.pairwise(names)),
        helper.make_node("ReduceMean", [names[-1]], ["y"], axes=[1]),
    ]
    other = await served(tmp_path, given="bytes")
    bundle = write_bundle(tmp_path / "bomb", "bomb", given="bytes", labels=())
    with pytest.raises(BundleError, match="Concat"):
        await load(replaced(bundle, nodes=nodes), cast(Host, None))
    assert isinstance(await other.answer(query(), nobody), Answer)


def test_an_operator_hidden_in_a_branch_is_seen(tmp_path: Path) -> None:
    big = helper.make_graph(
        [helper.make_node("Expand", ["f", "shape"], ["grown"])],
        "big",
        [],
        [helper.make_tensor_value_info("grown", FLOAT, None)],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=FLOAT),
        helper.make_node("If", ["yes"], ["y"], then_branch=big, else_branch=big),
    ]
    bundle = write_bundle(tmp_path / "probe", given="bytes", labels=())
    weights = {"yes": np.array(True), "shape": np.array([1, 10**12])}
    assert apart(replaced(bundle, nodes=nodes, weights=weights))


# --- The maker -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["vector", "bytes", "series"])
def test_the_same_seed_makes_the_same_file(tmp_path: Path, given: Any) -> None:
    paths = [write_network(tmp_path / f"{n}.onnx", given, seed=seed) for n, seed in enumerate((1, 1, 2))]
    one, same, other = (path.read_bytes() for path in paths)
    assert one == same != other


@pytest.mark.parametrize("given", ["vector", "bytes", "series"])
def test_what_is_made_is_a_sound_bundle(tmp_path: Path, given: Any) -> None:
    write_bundle(tmp_path / "probe", "probe", 4, given=given)
    assert str(open_bundle(tmp_path / "probe")) == "probe 4"
