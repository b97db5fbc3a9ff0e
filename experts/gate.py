"""The gate: the examination that a candidate passes before it may serve.

    golden examples   every one is answered as expected
    held-out ones     no fewer are right than with the version that serves, but for a margin
    latency           of a usual answer, as the manifest declares; an answer that takes far longer hangs
    memory            as the manifest declares, and no more of it after many answers than after the first

It works beside live requests, and after each step leaves the event loop, the trunk and the serving version to them.
Knows no fleet: what becomes of a version that passes, or does not, is for whoever asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .bundle import GOLDEN, MANIFEST, Bundle
from .errors import BundleError, StoreError, UnavailableError
from .golden import Golden, check, to_query
from .servable import Encode, Servable
from .values import Answer, Outcome, Query

# Machines differ, and this one has other work: what is declared may be exceeded by so much.
LATENCY_SLACK = 2.0
MEMORY_SLACK = 1.1
_SPARE_BYTES = 1_000_000
# Between the first pass and the last answer: more growth than this share, and than the spare bytes, is a leak.
_GROWTH = 0.2

# An answer that takes longer than both of these hangs.
_HANGS_S = 1.0
_HANGS_TIMES = 20

# How many answers are timed, and how many must leave no trace in memory; fewer of a slow version, once so much time has
# gone over their repetition.
_TIMED = 9
_TIMED_AT_LEAST = 3
_ENDURED = 64
_REPEATED_S = 1.0

_HELD_OUT_ROWS = 2_000
_HELD_OUT_S = 20.0

# Reasons of an UnavailableError that are the version's own fault; all others are the machine's.
_WORKER_FAULTS = frozenset({"WORKER_DIED", "WORKER_FAILED", "WORKER_STUCK", "WORKER_CRASH_LOOP"})

_Z95 = 1.6449  # the 95th percentile of the normal distribution


# --- What an examination found ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate and the version that serves, on the same held-out examples.

    rows: how many, 1 or more. right: by the candidate; baseline: by the version that serves, None where none does.
    lost: examples that the version that serves has right and the candidate has wrong.
    """

    rows: int
    right: int
    baseline: int | None = None
    lost: int = 0

    @property
    def difference(self) -> float:
        """The candidate's share of right answers less the serving version's; 0 where none serves."""
        return 0.0 if self.baseline is None else (self.right - self.baseline) / self.rows

    @property
    def lower_bound(self) -> float:
        """Of `difference`, with 95 % confidence, one-sided.

        Only the examples count on which the two differ (McNemar, 1947); Wald's bound for paired shares, as in tests of
        non-inferiority (Liu et al., 2002).
        """
        if self.baseline is None:
            return 0.0
        gained = self.right - self.baseline + self.lost
        variance = (gained + self.lost - (gained - self.lost) ** 2 / self.rows) / self.rows**2
        return max(-1.0, self.difference - _Z95 * math.sqrt(variance))

    def non_inferior(self, margin: float) -> bool:
        """Whether the candidate's share is shown to be lower by `margin` at most, as it is where nothing is lost."""
        return self.lost == 0 or self.lower_bound >= -margin

    def __str__(self) -> str:
        told = f"held-out {100 * self.right / self.rows:.1f} % right of {self.rows}"
        if self.baseline is None:
            return told
        return f"{told}, the serving version {100 * self.baseline / self.rows:.1f} %"


@dataclass(frozen=True, slots=True)
class Report:
    """Of a candidate that passed. golden: examples passed; latency_ms: lower quartile, None where nothing was timed."""

    golden: int
    held_out: Comparison | None
    latency_ms: float | None
    resident_bytes: int

    def __str__(self) -> str:
        parts = [f"{self.golden} golden example{'' if self.golden == 1 else 's'}"]
        if self.held_out is not None:
            parts.append(str(self.held_out))
        if self.latency_ms is not None:
            parts.append(_milliseconds(self.latency_ms))
        parts.append(_size(self.resident_bytes))
        return "; ".join(parts)


# --- The examination -------------------------------------------------------------------------------------------------


async def examine(
    candidate: Servable,
    bundle: Bundle,
    *,
    baseline: Servable | None,
    held_out: Sequence[Golden],
    encode: Encode,
    margin: float,
    grown: Callable[[], int] | None = None,
    polite: bool = True,
) -> Report:
    """Examines a candidate that nobody else asks meanwhile.

    baseline: the version that serves. held_out: this machine's own examples, beside those of the bundle. margin: by how
    much the share of right answers to them may be lower. grown: reads how much memory the candidate takes, in bytes,
    from wherever it counts, in a thread; without it, only a worker is looked at for growth. polite: there are live
    requests to leave time to.

    Raises: BundleError naming the bundle, the rule, what was measured and the way out; what `encode` raises, StoreError
    and UnavailableError where it is the machine that is at fault: the bundle may be examined again.
    """
    for _ in range(2):
        worker = candidate.worker_pid()
        measure = functools.partial(_anonymous_bytes, worker) if grown is None and worker else grown
        report = await _examine(
            candidate,
            bundle,
            baseline=baseline,
            held_out=held_out,
            encode=encode,
            margin=margin,
            grown=measure,
            polite=polite,
        )
        if candidate.worker_pid() == worker:
            return report
        # Whoever killed it once may have been anybody.
    raise BundleError(f"{bundle}: its worker died each of two times that it was examined; the log says more")


async def _examine(
    candidate: Servable,
    bundle: Bundle,
    *,
    baseline: Servable | None,
    held_out: Sequence[Golden],
    encode: Encode,
    margin: float,
    grown: Callable[[], int] | None,
    polite: bool,
) -> Report:
    """As `examine`, once."""
    declared = bundle.manifest.resources
    examination = _Examination(candidate, bundle, encode, polite)

    passed = await examination.pass_golden()
    before = 0 if grown is None else await asyncio.to_thread(grown)
    await examination.repeat(endure=grown is not None)

    latency_ms = examination.latency_ms
    if latency_ms is not None and examination.slow:
        raise BundleError(
            f"{bundle}: {MANIFEST}: latency_ms is {declared.latency_ms:g}, and an answer takes "
            f"{_milliseconds(latency_ms)}, more than {LATENCY_SLACK:g} times that; make it faster, or declare what it "
            "takes"
        )

    compared = await examination.compare(baseline, held_out)
    if compared is not None and not compared.non_inferior(margin):
        raise BundleError(
            f"{bundle}: {compared}: with 95 % confidence it may be {-100 * compared.lower_bound:.1f} points worse, and "
            f"{100 * margin:g} are allowed; train it further, bring more held-out examples, or raise the expert's "
            "margin"
        )

    resident = await asyncio.to_thread(candidate.resident_bytes)
    if resident > declared.memory_mb * 1e6 * MEMORY_SLACK + _SPARE_BYTES:
        raise BundleError(
            f"{bundle}: {MANIFEST}: memory_mb is {declared.memory_mb:g}, and it holds {_size(resident)}, more "
            f"than {MEMORY_SLACK:g} times that; make it smaller, or declare what it takes"
        )
    if grown is not None:
        growth = await asyncio.to_thread(grown) - before
        if growth > max(_SPARE_BYTES, _GROWTH * resident):
            raise BundleError(
                f"{bundle}: it grew by {_size(growth)} over {examination.answers} answers; it may keep nothing "
                "of a request that is answered"
            )
    return Report(passed, compared, latency_ms, resident)


@dataclass(slots=True)
class _Example:
    """told: where it stands, for errors. times_s: how long each answer took; answered: with more than an abstention."""

    told: str
    golden: Golden
    query: Query
    answered: bool = False
    times_s: list[float] = field(default_factory=list)


class _Examination:
    """One candidate under examination. answers: how many it gave so far."""

    def __init__(self, candidate: Servable, bundle: Bundle, encode: Encode, polite: bool) -> None:
        self._candidate = candidate
        self._bundle = bundle
        self._encode = encode
        self._limit_s = max(_HANGS_S, _HANGS_TIMES * bundle.manifest.resources.latency_ms / 1000)
        self._pace = _Pace(2.0 if polite else 0.0)
        # Whether to tell what it takes from what it waits, which costs more than a small answer.
        self._exact = False
        self._effort_s = 0.0  # the last answer's time, less what was waited for a processor
        # The golden examples that were answered, or abstained from: an expected refusal says nothing of latency.
        self._timed: list[_Example] = []
        self.answers = 0

    async def pass_golden(self) -> int:
        """Each example once; returns how many there are. Raises: BundleError naming the example and what differed."""
        rows = await asyncio.to_thread(self._bundle.golden)
        for number, golden in enumerate(rows, 1):
            query = await self._query(golden, self._candidate.needs_vector)
            example = _Example(f"{GOLDEN} line {number} ({query.text[:60]!r})", golden, query)
            outcome = await self._pass(example)
            if isinstance(outcome, Exception):
                continue
            example.answered = isinstance(outcome, Answer)
            self._timed.append(example)
        # To abstain may be quicker than to answer.
        self._timed = [example for example in self._timed if example.answered] or self._timed
        for first in self._timed[:1]:
            first.times_s.clear()  # It warmed up.
        return len(rows)

    async def repeat(self, *, endure: bool) -> None:
        """The timed examples again, until enough is known of latency and, with `endure`, of growth.

        Raises: BundleError: one that passed does not any more.
        """
        if not self._timed:
            return
        timed = sum(len(example.times_s) for example in self._timed)
        began = time.perf_counter()
        for count, example in enumerate(itertools.cycle(self._timed)):
            over = time.perf_counter() - began > _REPEATED_S
            # Before a version is called slow, a stall of the machine is waited out.
            known = timed >= (_TIMED_AT_LEAST if over else _TIMED) and (over or not self.slow)
            endured = over or not endure or count >= _ENDURED
            if known and endured and (self._exact or not self.slow):
                return
            if known and endured:
                # It may be the machine that is slow: once more, told apart.
                self._exact, timed, began = True, 0, time.perf_counter()
                for each in self._timed:
                    each.times_s.clear()
            await self._pass(example)
            timed += 1

    @property
    def latency_ms(self) -> float | None:
        """The lower quartile of the timed answers: what else this process did meanwhile only ever slows one down."""
        times = sorted(took for example in self._timed for took in example.times_s)
        return 1000 * times[len(times) // 4] if times else None

    @property
    def slow(self) -> bool:
        return (self.latency_ms or 0.0) > self._bundle.manifest.resources.latency_ms * LATENCY_SLACK

    async def compare(self, baseline: Servable | None, local: Sequence[Golden]) -> Comparison | None:
        """Both versions on held-out examples; None without any.

        Raises: BundleError: the candidate hangs, or its worker dies.
        """
        rows = [*local, *await asyncio.to_thread(self._bundle.held_out, _HELD_OUT_ROWS)]
        needs_vector = self._candidate.needs_vector or (baseline is not None and baseline.needs_vector)
        compared = right = baseline_right = lost = 0
        began = time.perf_counter()
        for place in _spread(len(rows)):
            if compared == _HELD_OUT_ROWS or time.perf_counter() - began > _HELD_OUT_S:
                break
            golden = rows[place]
            query = await self._query(golden, needs_vector)
            was_right = False
            if baseline is not None:
                outcome, _ = await self._ask(baseline, query)
                if isinstance(outcome, UnavailableError) and outcome.reason not in _WORKER_FAULTS:
                    continue  # It has live requests to answer: nothing is known of how it would answer this one.
                was_right = check(outcome, golden.expect) is None
            outcome = await self._answer(query, f"held-out example ({query.text[:60]!r})")
            is_right = check(outcome, golden.expect) is None
            compared += 1
            right += is_right
            baseline_right += was_right
            lost += was_right and not is_right
        if not compared:
            return None
        return Comparison(compared, right, None if baseline is None else baseline_right, lost)

    async def _pass(self, example: _Example) -> Outcome | Exception:
        """Asks and times one golden example. Raises: BundleError: what differs from what was expected."""
        outcome = await self._answer(example.query, example.told)
        problem = check(outcome, example.golden.expect)
        if problem is not None:
            raise BundleError(f"{self._bundle}: {example.told}: {problem}")
        example.times_s.append(self._effort_s)
        return outcome

    async def _answer(self, query: Query, told: str) -> Outcome | Exception:
        """What the candidate answered or raised.

        Raises: BundleError where it hangs or its worker dies; UnavailableError, StoreError: the machine's trouble.
        """
        outcome, took_s = await self._ask(self._candidate, query)
        if took_s >= self._limit_s:
            # The machine may have stalled: that does not happen twice in a row.
            outcome, took_s = await self._ask(self._candidate, query)
        self.answers += 1
        if took_s >= self._limit_s:
            declared_ms = self._bundle.manifest.resources.latency_ms
            raise BundleError(
                f"{self._bundle}: {told}: twice no answer within {self._limit_s:g} s; with the {declared_ms:g} ms that "
                f"{MANIFEST} declares as latency_ms, more than that is taken for hanging"
            )
        if isinstance(outcome, UnavailableError):
            if outcome.reason in _WORKER_FAULTS:
                raise BundleError(f"{self._bundle}: {told}: {outcome}") from outcome
            raise outcome
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    async def _ask(self, servable: Servable, query: Query) -> tuple[Outcome | Exception, float]:
        """What it answered or raised, and the seconds that it took: at most the limit, if it lets itself be stopped."""
        outcome: Outcome | Exception
        worker = servable.worker_pid()
        before = _scheduled_s(worker) if self._exact else None
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._limit_s):
                outcome = await servable.answer(query, _discard)
        except Exception as error:
            outcome = error
        took_s = time.perf_counter() - began
        self._effort_s = took_s
        if before is not None:
            # What else runs on this machine is not the candidate's doing; the work that was done is.
            worked, waited = (after - then for after, then in zip(_scheduled_s(worker), before, strict=True))
            self._effort_s = min(took_s, max(took_s - waited, worked))
        await self._pace.rest(took_s)
        return outcome, took_s

    async def _query(self, golden: Golden, needs_vector: bool) -> Query:
        query = to_query(golden)
        if not needs_vector:
            return query
        began = time.perf_counter()
        (vector,) = await self._encode([query.subject])
        await self._pace.rest(time.perf_counter() - began)
        return replace(query, vector=vector)


class _Pace:
    """Leaves so many times the time that is taken to live requests, in rests that are worth it and never long."""

    _SHORTEST_S = 0.001  # as finely as the event loop sleeps
    _LONGEST_S = 0.05

    def __init__(self, times: float) -> None:
        self._times = times
        self._owed_s = 0.0

    async def rest(self, took_s: float) -> None:
        self._owed_s += self._times * took_s
        if self._owed_s < self._SHORTEST_S:
            await asyncio.sleep(0)
            return
        owed_s, self._owed_s = min(self._owed_s, self._LONGEST_S), 0.0
        await asyncio.sleep(owed_s)


def _spread(count: int) -> Iterator[int]:
    """0 … count - 1, each once, in an order of which any beginning lies evenly among them: golden-ratio steps."""
    step = max(1, round(0.618 * count))
    while math.gcd(step, count) > 1:
        step += 1
    return (place * step % count for place in range(count))


def _scheduled_s(worker: int) -> tuple[float, float]:
    """Seconds that the threads of this process, and of the worker if there is one, ran, and that they were ready to run
    and waited for a processor."""
    ran = waited = 0
    for process in filter(None, (os.getpid(), worker)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for thread in os.scandir(f"/proc/{process}/task"):
                fields = (Path(thread.path) / "schedstat").read_text("ascii").split()
                ran += int(fields[0])
                waited += int(fields[1])
    return ran / 1e9, waited / 1e9


def _anonymous_bytes(pid: int) -> int:
    """What a process holds of its own, in memory or swapped out; 0: it is gone.

    Files that it maps come in as they are read, and its proportional share of what it has in common with others grows
    when one of them ends: neither is a leak.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "VmSwap:")))


def _milliseconds(value: float) -> str:
    return f"{value:.2g} ms" if value < 10 else f"{value:,.0f} ms"


def _size(value: float) -> str:
    return f"{value / 1e3:.0f} kB" if value < 1e5 else f"{value / 1e6:,.1f} MB"


async def _discard(_delta: str) -> None:
    pass
