"""What a candidate must show before it may serve, with real bundles and servables in the tests' hands."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.experts import gate
from expertd.experts.bundle import Bundle, open_bundle, seal
from expertd.experts.errors import BundleError, QueryError, StoreError, UnavailableError
from expertd.experts.gate import Comparison, Report, examine
from expertd.experts.golden import Golden
from expertd.experts.kinds import forecast, linear, skill, tagger
from expertd.experts.servable import Emit, Encode, Host
from expertd.experts.values import Abstention, Answer, Outcome, Query, Structured

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted([*(ROOT / "experts" / "bundles").iterdir(), *(ROOT / "bundles").iterdir()])

# Text → what is answered, returned or raised.
Behaviour = Callable[[Query], Outcome | Exception]


def echo(query: Query) -> Outcome:
    return Answer(query.text, Structured({}))


@dataclass
class Puppet:
    """Behaves as told. works: what it does before each answer; asked: every text that it heard."""

    behaviour: Behaviour = echo
    works: Callable[[], Awaitable[None]] | None = None
    resident: int = 1000
    pid: int = 0
    needs_vector: bool = False
    asked: list[str] = field(default_factory=list)
    vectors: list[Any] = field(default_factory=list)

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        assert query.rehearsal
        self.asked.append(query.text)
        self.vectors.append(query.vector)
        if self.works is not None:
            await self.works()
        outcome = self.behaviour(query)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def resident_bytes(self) -> int:
        return self.resident

    def worker_pid(self) -> int:
        return self.pid

    async def close(self) -> None:
        """Nothing to let go of."""


def row(text: str, expect: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"query": {"text": text}, "expect": expect or {"text": text}}


def rows(count: int, prefix: str = "example") -> list[Golden]:
    return msgspec.convert([row(f"{prefix} {number}") for number in range(count)], list[Golden])


BundleMaker = Callable[..., Bundle]


@pytest.fixture
def bundle_of(make_bundle: Callable[..., Path]) -> BundleMaker:
    """A sealed bundle "echo 2" with these golden examples, and, if any, these held-out ones."""

    def make(
        *golden: dict[str, Any], held_out: Sequence[dict[str, Any]] = (), declared: tuple[float, float] = (1.0, 1.0)
    ) -> Bundle:
        folder = make_bundle(version=2, golden=golden or [row("hello")])
        if held_out:
            (folder / "heldout.jsonl").write_text("".join(json.dumps(item) + "\n" for item in held_out))
        manifest = folder / "expert.toml"
        memory_mb, latency_ms = declared
        text = manifest.read_text().replace("memory_mb = 1.0", f"memory_mb = {memory_mb}")
        manifest.write_text(text.replace("latency_ms = 1.0", f"latency_ms = {latency_ms}"))
        return seal(folder)

    return make


async def encode(sentences: Sequence[str]) -> Any:
    return np.full((len(sentences), 384), len(sentences[0]), np.float32)


async def examined(candidate: Puppet, bundle: Bundle, **changed: Any) -> Report:
    usual: dict[str, Any] = {"baseline": None, "held_out": (), "encode": encode, "margin": 0.05}
    return await examine(candidate, bundle, **{**usual, **changed})


async def refused(candidate: Puppet, bundle: Bundle, *words: str, **changed: Any) -> str:
    with pytest.raises(BundleError) as error:
        await examined(candidate, bundle, **changed)
    for word in ("echo 2: ", *words):
        assert word in str(error.value)
    return str(error.value)


def wrong_on(*texts: str) -> Behaviour:
    return lambda query: Answer("?" if query.text in texts else query.text, Structured({}))


def numbered(*numbers: int) -> Behaviour:
    return wrong_on(*(f"example {number}" for number in numbers))


# --- Golden examples -------------------------------------------------------------------------------------------------


async def test_who_answers_every_example_passes_and_is_told_of(bundle_of: BundleMaker) -> None:
    report = await examined(Puppet(), bundle_of(row("hello"), row("bye")))
    assert (report.golden, report.held_out, report.resident_bytes) == (2, None, 1000)
    assert report.latency_ms is not None


async def test_a_wrong_answer_is_refused_with_its_line(bundle_of: BundleMaker) -> None:
    told = await refused(Puppet(wrong_on("hello")), bundle_of(row("hello")))
    assert told == "echo 2: golden.jsonl line 1 ('hello'): text: '?' where 'hello' was expected"


async def test_every_example_counts(bundle_of: BundleMaker) -> None:
    await refused(Puppet(wrong_on("bye")), bundle_of(row("hello"), row("bye")), "golden.jsonl line 2 ('bye')")


async def test_a_crash_of_the_code_is_refused(bundle_of: BundleMaker) -> None:
    await refused(Puppet(lambda _: ValueError("no")), bundle_of(), "line 1 ('hello'): failed with ValueError (no)")


async def test_refusals_and_abstentions_that_are_expected_pass(bundle_of: BundleMaker) -> None:
    def behaviour(query: Query) -> Outcome | Exception:
        if query.text == "nonsense":
            return QueryError("no", reason="NONSENSE")
        return Abstention("which?", "needs_input")

    bundle = bundle_of(row("nonsense", {"refuses": "NONSENSE"}), row("it", {"abstains": True, "code": "needs_input"}))
    assert (await examined(Puppet(behaviour), bundle)).golden == 2


async def test_where_every_example_is_a_refusal_latency_is_not_known(bundle_of: BundleMaker) -> None:
    report = await examined(
        Puppet(lambda _: QueryError("no", reason="NONSENSE")), bundle_of(row("nonsense", {"refuses": "NONSENSE"}))
    )
    assert report.latency_ms is None
    assert str(report) == "1 golden example; 1 kB"


async def test_an_answer_that_does_not_stay_right_is_refused(bundle_of: BundleMaker) -> None:
    candidate = Puppet(lambda query: Answer("hello" if len(candidate.asked) < 5 else "?", Structured({})))
    await refused(candidate, bundle_of(), "golden.jsonl line 1 ('hello'): text: '?'")


@pytest.mark.parametrize("reason", ["WORKER_DIED", "WORKER_FAILED", "WORKER_STUCK", "WORKER_CRASH_LOOP"])
async def test_a_worker_that_dies_over_an_example_is_refused(bundle_of: BundleMaker, reason: str) -> None:
    candidate = Puppet(lambda _: UnavailableError("it died", reason=reason))
    await refused(candidate, bundle_of(), "golden.jsonl line 1 ('hello'): it died")


@pytest.mark.parametrize(
    "trouble", [UnavailableError("full", reason="NO_MEMORY"), UnavailableError("?", reason="NO_MODEL"), StoreError("")]
)
async def test_the_machines_trouble_is_not_held_against_the_bundle(bundle_of: BundleMaker, trouble: Exception) -> None:
    with pytest.raises(type(trouble)) as error:
        await examined(Puppet(lambda _: trouble), bundle_of())
    assert error.value is trouble


async def test_a_servable_that_reads_vectors_gets_that_of_each_sentence(bundle_of: BundleMaker) -> None:
    candidate = Puppet(needs_vector=True)
    await examined(candidate, bundle_of(row("hello"), row("by")))
    assert {
        (text, vector.shape, vector[0]) for text, vector in zip(candidate.asked, candidate.vectors, strict=True)
    } == {
        ("hello", (384,), 5),
        ("by", (384,), 2),
    }


async def test_a_bundle_of_another_host_needs_no_examples(tmp_path: Path) -> None:
    (tmp_path / "expert.toml").write_text(
        'name = "far"\nversion = 1\nkind = "remote"\nsummary = "Elsewhere."\nlicence = "Apache-2.0"\n\n'
        "[resources]\nmemory_mb = 0\nlatency_ms = 100\n"
    )
    (tmp_path / "CARD.md").write_text("# far\n")
    (tmp_path / "intents.jsonl").write_text('{"intent": "ask", "text": "ask the far one"}\n')
    (tmp_path / "golden.jsonl").write_text("")
    candidate = Puppet(resident=0)
    assert str(await examined(candidate, seal(tmp_path))) == "0 golden examples; 0 kB"
    assert candidate.asked == []


# --- Held-out examples -----------------------------------------------------------------------------------------------


async def test_a_worse_candidate_is_refused_with_both_shares(bundle_of: BundleMaker) -> None:
    told = await refused(
        Puppet(numbered(*range(20))), bundle_of(), "raise the expert's margin", baseline=Puppet(), held_out=rows(100)
    )
    assert "held-out 80.0 % right of 100, the serving version 100.0 %: with 95 % confidence it may be 26.6" in told


async def test_a_candidate_that_is_worse_within_the_margin_passes(bundle_of: BundleMaker) -> None:
    bundle = bundle_of()
    report = await examined(Puppet(numbered(1)), bundle, baseline=Puppet(numbered(2)), held_out=rows(100))
    assert report.held_out == Comparison(rows=100, right=99, baseline=99, lost=1)
    await refused(Puppet(numbered(1)), bundle, baseline=Puppet(numbered(2)), held_out=rows(100), margin=0.02)


async def test_a_candidate_that_errs_exactly_as_the_serving_version_passes(bundle_of: BundleMaker) -> None:
    same = Puppet(numbered(*range(7))), Puppet(numbered(*range(7)))
    report = await examined(same[0], bundle_of(), baseline=same[1], held_out=rows(8), margin=0.0)
    assert report.held_out == Comparison(rows=8, right=1, baseline=1)


async def test_without_a_serving_version_the_share_is_only_told(bundle_of: BundleMaker) -> None:
    report = await examined(Puppet(numbered(*range(9))), bundle_of(), held_out=rows(10))
    assert report.held_out == Comparison(rows=10, right=1)
    assert "; held-out 10.0 % right of 10; " in str(report)


async def test_the_bundles_own_examples_and_the_machines_count_alike(bundle_of: BundleMaker) -> None:
    bundle = bundle_of(held_out=[row(f"own {number}") for number in range(30)])
    candidate, baseline = Puppet(wrong_on("own 7", "example 3")), Puppet()
    report = await examined(candidate, bundle, baseline=baseline, held_out=rows(20), margin=0.2)
    assert report.held_out == Comparison(rows=50, right=48, baseline=50, lost=2)
    assert sorted(baseline.asked) == sorted([f"own {n}" for n in range(30)] + [f"example {n}" for n in range(20)])


async def test_of_very_many_examples_an_even_sample_is_used_each_once(bundle_of: BundleMaker) -> None:
    baseline = Puppet()
    report = await examined(Puppet(), bundle_of(), baseline=baseline, held_out=rows(3000))
    assert report.held_out is not None
    assert report.held_out.rows == len(set(baseline.asked)) == 2000
    numbers = sorted(int(text.split()[1]) for text in baseline.asked)
    assert max(np.diff(numbers)) <= 3
    # And so is any beginning of it, wherever time runs out.
    beginning = sorted(int(text.split()[1]) for text in baseline.asked[:100])
    assert max(np.diff([0, *beginning, 3000])) < 120


async def test_a_serving_version_that_fails_is_wrong_there(bundle_of: BundleMaker) -> None:
    def fails(query: Query) -> Outcome | Exception:
        return ValueError("no") if query.text == "example 1" else UnavailableError("died", reason="WORKER_DIED")

    report = await examined(Puppet(), bundle_of(), baseline=Puppet(fails), held_out=rows(3))
    assert report.held_out == Comparison(rows=3, right=3, baseline=0)


async def test_what_the_serving_version_has_no_time_for_is_not_compared(bundle_of: BundleMaker) -> None:
    def busy(query: Query) -> Outcome | Exception:
        return UnavailableError("busy", reason="WORKER_BUSY") if query.text == "example 1" else echo(query)

    report = await examined(Puppet(), bundle_of(), baseline=Puppet(busy), held_out=rows(3))
    assert report.held_out == Comparison(rows=2, right=2, baseline=2)


async def test_a_candidate_that_fails_on_a_held_out_example_is_wrong_there(bundle_of: BundleMaker) -> None:
    def fails(query: Query) -> Outcome | Exception:
        return ValueError("no") if query.text == "example 1" else echo(query)

    report = await examined(Puppet(fails), bundle_of(), held_out=rows(3))
    assert report.held_out == Comparison(rows=3, right=2)


async def test_a_worker_that_dies_over_a_held_out_example_is_refused(bundle_of: BundleMaker) -> None:
    def dies(query: Query) -> Outcome | Exception:
        return UnavailableError("it died", reason="WORKER_DIED") if query.text == "example 1" else echo(query)

    await refused(Puppet(dies), bundle_of(), "held-out example ('example 1'): it died", held_out=rows(3))


async def test_live_requests_get_their_turn_between_examples(bundle_of: BundleMaker) -> None:
    turns = 0

    async def live() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(live())
    candidate, baseline = Puppet(), Puppet()
    await examined(candidate, bundle_of(), baseline=baseline, held_out=rows(200))
    task.cancel()
    assert turns > len(candidate.asked) + len(baseline.asked) > 400


shares = st.integers(1, 500).flatmap(
    lambda count: st.tuples(st.just(count), st.integers(0, count), st.integers(0, count))
)


def comparison(count: int, lost: int, gained: int) -> Comparison:
    """Of `count` examples on which the two differ in so many; the rest both have right."""
    return Comparison(rows=count, right=count - lost, baseline=count - gained, lost=lost)


@given(shares, st.floats(0, 1))
def test_identical_behaviour_passes_with_any_margin(share: tuple[int, int, int], margin: float) -> None:
    count, right, _ = share
    same = Comparison(rows=count, right=right, baseline=right, lost=0)
    assert same.non_inferior(margin)
    assert same.lower_bound == same.difference == 0


@given(shares.filter(lambda share: sum(share[1:]) <= share[0]), st.floats(0, 1))
def test_who_passes_is_within_the_margin_on_the_rows_themselves(share: tuple[int, int, int], margin: float) -> None:
    compared = comparison(*share)
    assert -1 <= compared.lower_bound <= compared.difference
    if compared.non_inferior(margin):
        assert compared.difference >= -margin


@given(shares.filter(lambda share: sum(share[1:]) < share[0] and share[1] > 0), st.floats(0, 0.5))
def test_to_lose_an_example_more_never_helps(share: tuple[int, int, int], margin: float) -> None:
    count, lost, gained = share
    if comparison(count, lost + 1, gained).non_inferior(margin):
        assert comparison(count, lost, gained).non_inferior(margin)


@given(shares.filter(lambda share: 0 < sum(share[1:]) <= share[0]))
def test_the_interval_is_as_wide_whichever_of_the_two_is_the_candidate(share: tuple[int, int, int]) -> None:
    count, lost, gained = share
    one, other = comparison(count, lost, gained), comparison(count, gained, lost)
    assert one.difference == -other.difference
    if min(one.lower_bound, other.lower_bound) > -1:
        assert one.difference - one.lower_bound == pytest.approx(other.difference - other.lower_bound)


@given(st.integers(1000, 2000), st.floats(0.01, 0.4), st.floats(0, 0.1))
def test_on_many_rows_what_is_clearly_worse_is_refused_and_what_is_clearly_not_passes(
    count: int, margin: float, differing: float
) -> None:
    gained = round(differing * count)
    assert not comparison(count, gained + round(margin * count) + 1, gained).non_inferior(margin)
    assert comparison(count, gained, gained).non_inferior(2.33 * (2 * differing / count) ** 0.5 + 0.01)


# --- Latency ---------------------------------------------------------------------------------------------------------


def sleeping(seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


async def test_a_slow_candidate_is_refused_with_what_was_measured(bundle_of: BundleMaker) -> None:
    told = await refused(
        Puppet(works=sleeping(0.05)), bundle_of(), "expert.toml: latency_ms is 1, and an answer takes "
    )
    assert "more than 2 times that" in told


async def test_who_declares_what_an_answer_takes_may_take_it(bundle_of: BundleMaker) -> None:
    report = await examined(Puppet(works=sleeping(0.05)), bundle_of(declared=(1.0, 200.0)))
    assert report.latency_ms is not None
    assert report.latency_ms >= 50


async def test_abstentions_do_not_make_a_slow_candidate_quick(bundle_of: BundleMaker) -> None:
    async def works() -> None:
        if candidate.asked[-1] == "hello":
            await asyncio.sleep(0.05)

    def behaviour(query: Query) -> Outcome:
        return echo(query) if query.text == "hello" else Abstention("?")

    candidate = Puppet(behaviour, works)
    examples = [row(f"what {number}", {"abstains": True}) for number in range(30)]
    await refused(candidate, bundle_of(row("hello"), *examples), "latency_ms")


async def test_a_stall_of_the_machine_is_waited_out(bundle_of: BundleMaker) -> None:
    async def works() -> None:
        if len(candidate.asked) < 15:
            await asyncio.sleep(0.02)

    candidate = Puppet(works=works)
    assert (await examined(candidate, bundle_of())).golden == 1


async def test_the_time_of_the_trunk_is_not_the_candidates(bundle_of: BundleMaker) -> None:
    async def slowly(sentences: Sequence[str]) -> Any:
        await asyncio.sleep(0.05)
        return await encode(sentences)

    examples = [row(f"hello {number}") for number in range(10)]
    assert (await examined(Puppet(needs_vector=True), bundle_of(*examples), encode=slowly)).golden == 10


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_HANGS_S", 0.2)


async def test_a_candidate_that_hangs_is_cancelled_and_refused(bundle_of: BundleMaker) -> None:
    cancelled = 0

    async def hang() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1

    candidate = Puppet(works=hang)
    await refused(candidate, bundle_of(), "golden.jsonl line 1 ('hello'): twice no answer within 1 s", "hanging")
    assert cancelled == len(candidate.asked) == 2


@pytest.mark.usefixtures("impatient")
async def test_one_answer_that_does_not_come_may_be_the_machines_fault(bundle_of: BundleMaker) -> None:
    async def works() -> None:
        if len(candidate.asked) == 3:
            await asyncio.Event().wait()

    candidate = Puppet(works=works)
    assert (await examined(candidate, bundle_of())).golden == 1


@pytest.mark.usefixtures("impatient")
async def test_a_candidate_that_hangs_over_a_held_out_example_is_refused(bundle_of: BundleMaker) -> None:
    async def works() -> None:
        if candidate.asked[-1] == "example 1":
            await asyncio.Event().wait()

    candidate = Puppet(works=works)
    await refused(candidate, bundle_of(), "held-out example ('example 1'): twice no answer within", held_out=rows(3))


@pytest.mark.usefixtures("impatient")
async def test_a_candidate_that_holds_the_event_loop_is_measured_and_refused(bundle_of: BundleMaker) -> None:
    async def block() -> None:
        time.sleep(0.3)  # noqa: ASYNC251

    await refused(Puppet(works=block), bundle_of(), "no answer within 0.2 s")


async def test_an_examination_that_is_called_off_ends(bundle_of: BundleMaker) -> None:
    candidate = Puppet(works=lambda: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await examined(candidate, bundle_of())


# --- Memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resident", "passes"), [(0, True), (2_000_000, True), (2_200_000, False)])
async def test_memory_is_held_to_what_is_declared(bundle_of: BundleMaker, resident: int, passes: bool) -> None:
    if passes:
        assert (await examined(Puppet(resident=resident), bundle_of())).resident_bytes == resident
    else:
        await refused(Puppet(resident=resident), bundle_of(), "memory_mb is 1, and it holds 2.2 MB", "declare")


async def test_a_candidate_that_grows_with_every_answer_is_refused(bundle_of: BundleMaker) -> None:
    candidate = Puppet()
    told = await refused(candidate, bundle_of(), "grew by 6.4 MB", grown=lambda: 100_000 * len(candidate.asked))
    assert f"over {len(candidate.asked)} answers" in told


async def test_what_is_taken_once_is_no_leak(bundle_of: BundleMaker) -> None:
    candidate = Puppet(resident=10_000_000)
    bundle = bundle_of(declared=(10.0, 1.0))
    await examined(candidate, bundle, grown=lambda: 50_000_000 + 1_900_000 * (len(candidate.asked) > 1))


async def test_a_worker_that_keeps_what_it_is_asked_is_refused(bundle_of: BundleMaker) -> None:
    kept: list[mmap.mmap] = []

    def keeps(query: Query) -> Outcome:
        # Not from the heap, where there may be room that was somebody's before.
        kept.append(mmap.mmap(-1, 200_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        kept[-1].write(os.urandom(200_000))
        return echo(query)

    # This process stands for the worker's.
    await refused(Puppet(keeps, pid=os.getpid()), bundle_of(), "it may keep nothing of a request")


@pytest.fixture
def idle_process() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


async def test_a_worker_that_does_not_grow_passes(bundle_of: BundleMaker, idle_process: int) -> None:
    candidate = Puppet(pid=idle_process)
    assert (await examined(candidate, bundle_of())).golden == 1
    assert len(candidate.asked) > 60


async def test_a_worker_that_was_killed_is_examined_anew_and_refused_the_second_time(
    bundle_of: BundleMaker, idle_process: int
) -> None:
    bundle = bundle_of(row("hello"), row("bye"))

    async def killed(times: int) -> Puppet:
        def behaviour(query: Query) -> Outcome:
            if query.text == "bye" and candidate.asked.count("bye") <= times:
                candidate.pid = 10_000_000 + len(candidate.asked)
            return echo(query)

        candidate = Puppet(behaviour, pid=idle_process)
        await examined(candidate, bundle)
        return candidate

    once = await killed(1)
    assert once.asked.count("hello") > 60
    with pytest.raises(BundleError, match="echo 2: its worker died each of two times"):
        await killed(10_000)


# --- What it tells, and whom it lets through -------------------------------------------------------------------------


def test_a_report_reads_as_one_line() -> None:
    report = Report(17, Comparison(rows=200, right=192, baseline=191, lost=2), 0.0812, 312_000)
    assert str(report) == (
        "17 golden examples; held-out 96.0 % right of 200, the serving version 95.5 %; 0.081 ms; 0.3 MB"
    )


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
async def test_every_shipped_bundle_passes_beside_itself(folder: Path, host: Host, encode: Encode) -> None:
    loaders = {"linear": linear.load, "skill": skill.load, "forecast": forecast.load, "tagger": tagger.load}
    bundle = open_bundle(folder)
    if bundle.manifest.kind not in loaders:
        pytest.skip("it needs a model of gigabytes")
    load: Any = loaders[bundle.manifest.kind]
    candidate, baseline = await load(bundle, host), await load(bundle, host)
    golden = bundle.golden()
    report = await examine(candidate, bundle, baseline=baseline, held_out=golden, encode=encode, margin=0.0)
    assert report.golden == len(golden)
    # Some bring held-out rows of their own, which not all need be right.
    assert report.held_out is not None
    assert report.held_out.rows >= len(golden)
    assert (report.held_out.right, report.held_out.lost) == (report.held_out.baseline, 0)
