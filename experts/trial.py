"""A new version on trial beside the one that it is to replace: what both did, and whether the new one is worse.

Three stages, each an instance of `Trial`: SHADOW compares answers that nobody sees; CANARY answers a share of sessions;
SERVING answers all, and its predecessor is still at hand. Every rule is one test: would a version as good as the
baseline have been that bad by chance? It is asked after each request, so that the answer must be hardly ever (1 in
5,000), and a regression shows after a handful of requests. Exact binomial tail (Clopper & Pearson, 1934). No I/O, no
clock, no event loop.
"""

from __future__ import annotations

import math
import random
import statistics
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .plan import State
from .values import Action, Answer, Forecast, Label, Outcome, Structured

# A version no worse than its baseline passes for worse once in so many tests.
CHANCE = 1 / 5_000
# What is not held against a candidate, whatever the baseline did: one request in so many may go wrong.
LEAST_ERROR_RATE = 0.01
LEAST_ABSTENTION_RATE = 0.05
LEAST_DISLIKE_RATE = 0.05
# A better version says something else now and then; that is why it was made.
DISAGREEMENT_RATE = 0.3
# A request is slow beyond so many times what the baseline's last ones took, and a few ms that are the machine's own
# doing; where the baseline answers no more, the machine may since have got other things to do.
SLOW_TIMES, SLOW_SPARE_S = 3.0, 0.005
SLOW_TIMES_ALONE, SLOW_SPARE_ALONE_S = 10.0, 0.05
SLOW_RATE = 0.1
LAST = 20
# A version on trial that answers nothing for so long is taken for stuck.
PATIENCE_TIMES = 20.0
LEAST_PATIENCE_S = 1.0
# More than was declared, on top of the measurement's own error.
MEMORY_TIMES = 1.5
MEMORY_SPARE_BYTES = 4_000_000
MOST_DEATHS = 3


@dataclass(slots=True)
class Tally:
    """What one version did. latencies_s: of its last answers."""

    requests: int = 0
    errors: int = 0
    abstentions: int = 0
    disliked: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=256))

    def note(self, took_s: float, *, failed: bool = False, abstained: bool = False) -> None:
        self.requests += 1
        self.errors += failed
        self.abstentions += abstained
        if not failed:
            self.latencies_s.append(took_s)

    @property
    def p50_s(self) -> float:
        return statistics.median(self.latencies_s) if self.latencies_s else 0.0

    @property
    def slowest_of_last_s(self) -> float:
        return max(list(self.latencies_s)[-LAST:], default=0.0)

    @property
    def p95_s(self) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0

    def frozen(self) -> Tally:
        """As it is now."""
        return Tally(self.requests, self.errors, self.abstentions, self.disliked, deque(self.latencies_s, maxlen=256))


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """needed: so many requests end the trial well; agreed: of a shadow's, those where both answered alike."""

    stage: State
    requests: int
    needed: int
    agreed: int
    candidate: Tally
    baseline: Tally


class Trial:
    """One stage of one version.

    baseline: what the version it is compared with did, or does meanwhile. declared_s, declared_bytes: what the bundle
    says that an answer takes, and what the version takes in memory.
    """

    def __init__(
        self,
        stage: State,
        needed: int,
        baseline: Tally,
        *,
        share: float = 0.0,
        declared_s: float = 0.0,
        declared_bytes: int = 0,
    ) -> None:
        self.stage = stage
        self.needed = needed
        self.candidate = Tally()
        self.baseline = baseline
        self.share = share
        self.agreed = 0
        self._slow = 0
        self._declared_s = declared_s
        self._declared_bytes = declared_bytes

    @property
    def passed(self) -> bool:
        return self.candidate.requests >= self.needed

    @property
    def status(self) -> TrialStatus:
        return TrialStatus(
            self.stage,
            self.candidate.requests,
            self.needed,
            self.agreed,
            self.candidate.frozen(),
            self.baseline.frozen(),
        )

    @property
    def patience_s(self) -> float:
        """How long it may take over one request."""
        return max(LEAST_PATIENCE_S, PATIENCE_TIMES * max(self._declared_s, self.baseline.p95_s))

    @property
    def _slow_from_s(self) -> float:
        if self.stage is State.SERVING:
            return SLOW_TIMES_ALONE * max(self._declared_s, self.baseline.p95_s) + SLOW_SPARE_ALONE_S
        return SLOW_TIMES * max(self._declared_s, self.baseline.slowest_of_last_s) + SLOW_SPARE_S

    def takes(self, expert: str, version: int, session: str) -> bool:
        """Whether a canary answers this session: the same one always, and each version other ones."""
        if self.stage is not State.CANARY:
            return False
        if not session:
            return random.random() < self.share  # noqa: S311  (a share, not a secret)
        return zlib.crc32(f"{expert}/{version}/{session}".encode()) / 2**32 < self.share

    def note(self, took_s: float, *, failed: bool = False, abstained: bool = False) -> None:
        """A request of the candidate's ended."""
        self.candidate.note(took_s, failed=failed, abstained=abstained)
        self._slow += took_s > self._slow_from_s

    def compare(self, served: Outcome, shadow: Outcome) -> None:
        """A shadow's outcome beside the one that was served."""
        self.agreed += alike(served, shadow)

    def problem(self, resident_bytes: int = 0, deaths: int = 0) -> str | None:
        """Why the candidate is worse, in words; None: there is no reason to say so.

        resident_bytes: what it takes now. deaths: how often its process died since the trial began.
        """
        mine, base = self.candidate, self.baseline
        seen = mine.requests
        if deaths >= MOST_DEATHS:
            return f"its process died {deaths} times on trial"
        if self._declared_bytes and resident_bytes > MEMORY_TIMES * self._declared_bytes + MEMORY_SPARE_BYTES:
            return f"it takes {resident_bytes / 1e6:,.0f} MB, {self._declared_bytes / 1e6:,.0f} MB were declared"
        for count, what, rate in (
            (mine.errors, "failed", max(LEAST_ERROR_RATE, _rate(base.errors, base.requests))),
            (mine.abstentions, "were not answered", max(LEAST_ABSTENTION_RATE, _rate(base.abstentions, base.requests))),
            (mine.disliked, "were called bad", max(LEAST_DISLIKE_RATE, _rate(base.disliked, base.requests))),
        ):
            if unlikely(count, seen, rate):
                return f"{count} of {seen} requests {what}, {rate:.0%} were to be expected"
        if unlikely(self._slow, seen, SLOW_RATE):
            return (
                f"{self._slow} of {seen} requests were slow: {1000 * mine.p50_s:.3g} ms p50, the version before takes "
                f"{1000 * base.p50_s:.3g} ms"
            )
        compared = seen - mine.errors
        if self.stage is State.SHADOW and unlikely(compared - self.agreed, compared, DISAGREEMENT_RATE):
            return f"{compared - self.agreed} of {compared} answers differ from the serving version's"
        return None


def unlikely(count: int, trials: int, rate: float) -> bool:
    """Whether `count` or more of `trials` would happen by chance, each with probability `rate`, less than `CHANCE`."""
    if count <= rate * trials:
        return False
    tail = 0.0
    for number in range(count, trials + 1):
        term = math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(number + 1)
            - math.lgamma(trials - number + 1)
            + number * math.log(rate)
            + (trials - number) * math.log1p(-rate)
        )
        tail += term
        if tail >= CHANCE or term < CHANCE * 1e-6:
            break
    return tail < CHANCE


def alike(one: Outcome, other: Outcome) -> bool:
    """Whether two versions said the same: the same label, action or data; a forecast within a tenth of its spread.

    Two texts that were both written count as the same: which is better is not for a comparison of letters to say.
    """
    if not (isinstance(one, Answer) and isinstance(other, Answer)):
        return type(one) is type(other)
    match one.result, other.result:
        case Label(label=first), Label(label=second):
            return first == second
        case Action() as first, Action() as second:
            return first.name == second.name and _plain(first.slots) == _plain(second.slots)
        case Structured(data=first), Structured(data=second):
            return _plain(first) == _plain(second)
        case Forecast(quantiles=first), Forecast(quantiles=second):
            spread = float(np.ptp(first)) or 1.0
            return first.shape == second.shape and bool(np.abs(first - second).mean() <= 0.1 * spread)
        case first, second:
            return type(first) is type(second)


def _rate(count: int, requests: int) -> float:
    """A little pessimistic of what was seen seldom; at most a half, so that a bad baseline excuses not everything."""
    return min(0.5, (count + 1) / (requests + 10))


def _plain(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what differs between any two runs: identifiers."""
    return {key: value for key, value in values.items() if key != "id"}
