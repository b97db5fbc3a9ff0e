"""The shortlist gives what the whole product gives; prototypes of many classes decide like a softmax head."""

from __future__ import annotations

from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from expertd.router import shortlist
from expertd.router.head import fit_prototypes, fit_softmax, log_sum_exp, softmax
from expertd.router.shortlist import Shortlist

Array = npt.NDArray[np.float32]


def whole(head: Array, offset: Array, x: Array) -> npt.NDArray[np.float64]:
    """Every logit, with twice the digits."""
    return np.asarray(head.astype(np.float64) @ x.astype(np.float64) + offset.astype(np.float64))


def rounding(head: Array, offset: Array, x: Array) -> float:
    """How far off a logit in single precision may be."""
    sizes = np.linalg.norm(head.astype(np.float64), axis=1) * np.linalg.norm(x.astype(np.float64)) + np.abs(offset)
    return float(1e-5 * sizes.max())


def like_routes(classes: int, width: int, seed: int) -> tuple[Array, Array, Array]:
    """A head whose classes differ mostly in few directions, an offset, and vectors near some of its rows."""
    random = np.random.default_rng(seed)
    fade = np.exp(-np.arange(width) / (width / 6)).astype(np.float32)
    head = random.standard_normal((classes, width), np.float32) * fade
    head *= 12 / np.linalg.norm(head, axis=1, keepdims=True)
    near = head[random.integers(classes, size=20)] / 12 + random.standard_normal((20, width), np.float32) * 0.02
    return head, random.standard_normal(classes).astype(np.float32), near


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, Array, Array, int]:
    classes, width = draw(st.integers(1, 700)), draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    head = random.standard_normal((classes, width)).astype(np.float32)
    match draw(st.sampled_from(["random", "few directions", "doubled", "nearly doubled", "uneven", "zeros", "ties"])):
        case "few directions":
            head *= np.exp(-np.arange(width) / 5).astype(np.float32)
        case "doubled":
            head = head[random.integers(max(classes // 3, 1), size=classes)]
        case "nearly doubled":
            head = head[random.integers(max(classes // 3, 1), size=classes)]
            head *= 1 + random.integers(-1, 2, size=head.shape).astype(np.float32) * np.float32(1e-7)
        case "uneven":
            head *= np.float32(10.0) ** random.integers(-8, 9, size=(classes, 1)).astype(np.float32)
        case "zeros":
            head[random.random(classes) < draw(st.sampled_from([0.5, 1.0]))] = 0
        case "ties":
            head = np.sign(head).astype(np.float32)
    x = random.standard_normal(width).astype(np.float32) * np.float32(draw(st.sampled_from([0.0, 1e-6, 1.0, 1e6])))
    offset = random.standard_normal(classes).astype(np.float32) * np.float32(draw(st.sampled_from([0, 1, 1e4])))
    return head, offset, x, draw(st.sampled_from([1, 2, 32, 1000]))


@settings(max_examples=150, deadline=None)
@given(problems())
@example((np.zeros((700, 3), np.float32), np.zeros(700, np.float32), np.ones(3, np.float32), 32))
def test_the_best_class_is_the_one_of_the_whole_product(problem: tuple[Array, Array, Array, int]) -> None:
    head, offset, x, keep = problem
    truth = whole(head, offset, x)
    # Few directions, so that bands and the rest play their part in small and quick examples too.
    with mock.patch.multiple(shortlist, COARSE=6, KNOWN=20):
        found = Shortlist.of(head, offset).logits(x, keep)
    slack = rounding(head, offset, x)
    # To single precision; among equals the lower number.
    assert found.numbers[0] == truth.astype(np.float32).argmax()
    assert np.abs(found.logits - truth[found.numbers]).max() <= slack
    assert np.all(np.diff(found.logits) <= 0)
    assert len(found.numbers) == len(set(found.numbers.tolist())) == min(keep, len(head))
    assert np.array_equal(found.scores[found.numbers], found.logits)


@pytest.mark.parametrize("width", [40, 300])
def test_the_other_classes_are_known_well_enough_for_the_sum(width: int) -> None:
    head, offset, points = like_routes(2000, width, 1)
    made = Shortlist.of(head, offset)
    for x in points:
        truth = log_sum_exp(head @ x + offset)
        assert made.logits(x).energy == pytest.approx(float(truth), rel=0.01)


def test_the_classes_after_the_best_are_mostly_the_next_best() -> None:
    head, offset, points = like_routes(2000, 300, 2)
    made = Shortlist.of(head, offset)
    shared = [len(set(made.logits(x, 8).numbers) & set(np.argsort(-(head @ x + offset))[:8])) for x in points]
    assert np.mean(shared) >= 7.5


def test_few_classes_are_looked_at_where_they_differ_in_few_directions() -> None:
    head, offset, points = like_routes(2000, 300, 3)

    class Counted(np.ndarray):  # type: ignore[type-arg]
        looked_at = 0

        def __getitem__(self, key: object) -> object:
            found = super().__getitem__(key)  # type: ignore[index]
            Counted.looked_at += len(found)
            return np.asarray(found)

        def __matmul__(self, other: object) -> object:
            Counted.looked_at += len(self)
            return np.asarray(self) @ other  # type: ignore[operator]

    made = Shortlist.of(head.view(Counted), offset)
    Counted.looked_at = 0
    for x in points:
        made.logits(x)
    assert Counted.looked_at < 0.1 * len(head) * len(points)


def test_a_class_that_only_the_last_directions_single_out_is_found() -> None:
    # Most classes differ along the first directions; one lies where neither the coarse logits nor the bands look.
    random = np.random.default_rng(4)
    head = np.zeros((2000, 400), np.float32)
    head[:, :300] = random.standard_normal((2000, 300))
    head[1234] = 0
    head[1234, 399] = 3
    x = np.zeros(400, np.float32)
    x[399] = 1
    assert Shortlist.of(head, np.zeros(2000, np.float32)).logits(x).numbers[0] == 1234


def test_a_mapped_head_and_half_precision_give_the_same(tmp_path: object) -> None:
    head, offset, points = like_routes(1000, 120, 5)
    half = head.astype(np.float16)
    np.save(f"{tmp_path}/head.npy", half)
    mapped = Shortlist.of(np.load(f"{tmp_path}/head.npy", mmap_mode="r"), offset)
    for x in points:
        best = mapped.logits(x)
        truth = whole(half.astype(np.float32), offset, x)
        assert best.numbers[0] == truth.argmax()
        assert best.logits[0] == pytest.approx(truth.max(), abs=1e-4)


def test_the_same_again_gives_the_same() -> None:
    head, offset, points = like_routes(1000, 120, 6)
    first, second = Shortlist.of(head, offset).logits(points[0]), Shortlist.of(head, offset).logits(points[0])
    assert np.array_equal(first.numbers, second.numbers)
    assert np.array_equal(first.scores, second.scores)


def test_a_changed_head_is_followed() -> None:
    head, offset, points = like_routes(1000, 120, 7)
    made = Shortlist.of(head[:900], offset[:900])
    # Rows 0-9 are gone, 10-899 stay, 900-999 are new and in between.
    source = np.concatenate([np.arange(10, 500), np.full(100, -1), np.arange(500, 900)])
    rows = np.concatenate([np.arange(10, 500), np.arange(900, 1000), np.arange(500, 900)])
    followed = made.follow(head[rows], offset[rows], source)
    for x in (*points, *(head[900:920] / 12)):
        assert followed.logits(x).numbers[0] == whole(head[rows], offset[rows], x).argmax()


@pytest.mark.parametrize(("classes", "offsets"), [(0, 0), (3, 2)])
def test_a_head_that_does_not_fit_its_offset_is_refused(classes: int, offsets: int) -> None:
    with pytest.raises(ValueError, match="one offset per class"):
        Shortlist.of(np.zeros((classes, 4), np.float32), np.zeros(offsets, np.float32))


# --- Prototypes ------------------------------------------------------------------------------------------------------


def asked(classes: int, each: int, width: int, seed: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Classes that share their ways of asking: unit rows around a middle per class, spread along common directions."""
    middles = np.random.default_rng(0).standard_normal((classes, width))
    ways = np.random.default_rng(1).standard_normal((5, width)) * 1.5
    random = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(classes), each)
    rows = middles[numbers] + random.standard_normal((len(numbers), 5)) @ ways
    rows += random.standard_normal(rows.shape) * 0.9
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), numbers


def accuracy(head: Array, offset: Array, rows: Array, numbers: npt.NDArray[np.int64]) -> float:
    return float(((rows @ head.T + offset).argmax(axis=1) == numbers).mean())


def test_prototypes_decide_as_well_as_a_softmax_head() -> None:
    rows, numbers = asked(60, 8, 48, 2)
    others, truth = asked(60, 20, 48, 3)
    ones = np.ones(len(rows))
    prototypes = accuracy(*fit_prototypes(rows, numbers, 60, ones, rivals=16), others, truth)
    regression = accuracy(*fit_softmax(rows, numbers, 60, ones, 15), others, truth)
    assert prototypes >= regression - 0.02
    assert prototypes > 0.8


def test_rounds_against_rivals_help() -> None:
    rows, numbers = asked(300, 10, 32, 4)
    others, truth = asked(300, 5, 32, 5)
    ones = np.ones(len(rows))
    started, finished = (accuracy(*fit_prototypes(rows, numbers, 300, ones, rounds=r), others, truth) for r in (0, 6))
    assert finished > started


def test_prototypes_do_not_depend_on_the_order_of_rows() -> None:
    rows, numbers = asked(20, 6, 24, 6)
    order = np.random.default_rng(7).permutation(len(rows))
    head, offset = fit_prototypes(rows, numbers, 20, np.ones(len(rows)))
    other_head, other_offset = fit_prototypes(rows[order], numbers[order], 20, np.ones(len(rows)))
    assert np.abs(head - other_head).max() < 0.05 * np.abs(head).max()
    assert np.abs(offset - other_offset).max() < 0.05 * np.abs(head).max()


def test_a_class_without_rows_never_wins() -> None:
    rows, numbers = asked(10, 8, 24, 8)
    there = numbers != 4
    head, offset = fit_prototypes(rows[there], numbers[there], 11, np.ones(there.sum()))
    chosen = (rows @ head.T + offset).argmax(axis=1)
    assert not np.isin(chosen, [4, 10]).any()
    assert np.isfinite(head).all()
    assert np.isfinite(offset).all()


def test_one_row_per_class_is_enough_to_start_with() -> None:
    rows, numbers = asked(12, 1, 40, 9)
    assert accuracy(*fit_prototypes(rows, numbers, 12, np.ones(12)), rows, numbers) == 1


def test_a_background_lets_what_belongs_to_no_class_go() -> None:
    rows, numbers = asked(40, 10, 48, 10)
    random = np.random.default_rng(11)

    def noise(count: int) -> Array:
        drawn = random.standard_normal((count, 48)).astype(np.float32)
        drawn[:, 0] += 3
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))

    weights = np.append(np.ones(len(rows)), np.full(600, 0.1))
    head, offset = fit_prototypes(
        np.vstack([rows, noise(600)]), np.append(numbers, np.full(600, 40)), 41, weights, rivals=8
    )
    near, truth = asked(40, 5, 48, 12)
    on_noise, on_near = (softmax(points @ head.T + offset)[:, 40] for points in (noise(300), near))
    assert np.median(on_noise) > 4 * np.median(on_near)
    assert accuracy(head, offset, near, truth) > 0.7


def test_prototypes_need_a_row_that_counts() -> None:
    with pytest.raises(ValueError, match="no row to fit prototypes to"):
        fit_prototypes(np.zeros((2, 4), np.float32), np.array([0, 1]), 2, np.zeros(2))
