"""What the engine decides and says, one request or several in one. Frozen values; no wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from expertd.experts.errors import ExpertError, QueryError, UnavailableError
from expertd.experts.values import Result
from expertd.router.compound import Part
from expertd.router.decision import Decision


@dataclass(frozen=True, slots=True)
class Routed:
    """The decision on one request. decision: None where the caller named the expert. instruction: what was routed.

    parts: of a compound request, in order. The decision is then the router's word on the whole, which was not followed.
    """

    view: int
    expert: str
    intent: str
    instruction: str
    decision: Decision | None = None
    took_s: float = 0.0
    parts: tuple[RoutedPart, ...] = ()

    @property
    def verdict(self) -> Literal["routed", "clarify", "titan", "invoked", "compound"]:
        if self.parts:
            return "compound"
        return "invoked" if self.decision is None else self.decision.verdict

    @property
    def tier(self) -> Literal["", "exact", "static", "encoder"]:
        return "" if self.decision is None or self.parts else self.decision.tier

    @property
    def confidence(self) -> float:
        """Probability that expert and intent are right; of a compound request, the least of those for experts."""
        if self.parts:
            sure = [step.routed.confidence for step in self.parts if step.routed.verdict != "titan"]
            return min(sure, default=0.0)
        return 1.0 if self.decision is None else self.decision.confidence


@dataclass(frozen=True, slots=True)
class RoutedPart:
    part: Part
    routed: Routed


@dataclass(frozen=True, slots=True)
class Reply:
    """outcome "clarify": `text` asks back, and there is no result; "failed": a part's `text` and `reason` say why.

    parts: of a compound request, in order; the text is theirs, the result too.
    """

    text: str
    outcome: Literal["answered", "clarify", "failed"]
    routed: Routed
    expert: str
    version: int
    trace_id: str
    total_s: float
    answer_s: float
    result: Result | None = None
    reason: str = ""
    parts: tuple[Reply, ...] = ()


def all_failed(replies: Sequence[Reply], errors: Sequence[ExpertError]) -> ExpertError:
    """One error for all the parts of a request: the request is at fault only where it is in every part."""
    told = "; ".join(reply.text for reply in replies)
    first = next((error for error in errors if not isinstance(error, QueryError)), errors[0])
    if isinstance(first, QueryError):
        return QueryError(told, reason=first.reason, field=first.field)
    retryable = all(isinstance(error, UnavailableError) and error.retryable for error in errors)
    return UnavailableError(told, reason=getattr(first, "reason", ""), retryable=retryable)
