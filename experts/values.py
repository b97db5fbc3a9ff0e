"""What goes into an expert and what comes out. Frozen values; no wire, no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


# --- What goes in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Series:
    """Evenly spaced numbers, oldest first. values: float64 (n,), n ≥ 1, NaN marks a gap, no infinities."""

    values: FloatArray
    start: datetime | None = None
    step: timedelta | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    name: str = ""
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Earlier:
    """A part of the same request that came before, and what became of it.

    text: as routed. expert: who took it; "titan" for the large model. answer: None where it was not answered.
    """

    text: str
    expert: str
    intent: str
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Query:
    """One request to one expert.

    text: as typed. payload: what the request is about, where it was set apart from the instruction
    ("is this spam: …" → "…"). further: documents beside the first. schema: JSON Schema that the answer has to keep.
    intent: as the router decided; "" when the expert was named. now: aware.
    vector: float32 (384,), unit length, the trunk's encoding of `subject`, for servables that ask for it.
    rehearsal: answer as usual, but let nothing take effect (golden examples, shadowing).
    earlier: where the request is a part of a compound one, the parts before it, in order. reference: the word in `text`
    that points back to one of them ("it"), "" if none; antecedent: that one's index in `earlier`, -1: none.
    """

    text: str
    now: datetime
    zone: ZoneInfo
    intent: str = ""
    payload: str | None = None
    series: Series | None = None
    document: Document | None = None
    further: tuple[Document, ...] = ()
    schema: Mapping[str, Json] | None = None
    locale: str = "en"
    session: str = ""
    vector: FloatArray | None = None
    rehearsal: bool = False
    earlier: tuple[Earlier, ...] = ()
    reference: str = ""
    antecedent: int = -1

    @property
    def documents(self) -> tuple[Document, ...]:
        """All that came with the request, in order."""
        return self.further if self.document is None else (self.document, *self.further)

    @property
    def subject(self) -> str:
        """The text that the request is about: the document, else the payload, else the request itself."""
        if self.document is not None:
            return self.document.text
        return self.payload if self.payload is not None else self.text


# --- What comes out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """Something took effect. name: "timer.created"; slots: JSON values, times as ISO 8601."""

    name: str
    slots: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Label:
    """probability: calibrated, of `label`; probabilities: of every label, sum 1."""

    label: str
    probability: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Forecast:
    """levels: (q,), rising, in 0…1; quantiles: (q, horizon), never crossing; start: time of the first step ahead."""

    levels: tuple[float, ...]
    quantiles: FloatArray
    method: str
    season: int = 0
    start: datetime | None = None
    step: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """finish: "stop", "length" or "cancelled"."""

    text: str
    finish: str = "stop"
    model: str = ""
    prompt_tokens: int = 0
    generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Structured:
    """Anything else, as JSON values."""

    data: Mapping[str, Json]


Result = Action | Label | Forecast | Text | Structured


@dataclass(frozen=True, slots=True)
class Answer:
    """text: for people; result: for programs."""

    text: str
    result: Result

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values: `type` (in lower case), `text` and the result's own fields."""
        fields = {item.name: getattr(self.result, item.name) for item in dataclasses.fields(self.result)}
        return {"type": type(self.result).__name__.lower(), **_plain(fields), "text": self.text}


@dataclass(frozen=True, slots=True)
class Abstention:
    """The expert does not answer, and says why.

    code: "not_mine" and "unsure" send the request on to the titan; "needs_input" asks back with `reason` as the text.
    """

    reason: str
    code: Literal["not_mine", "unsure", "needs_input"] = "unsure"


Outcome = Answer | Abstention


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value
