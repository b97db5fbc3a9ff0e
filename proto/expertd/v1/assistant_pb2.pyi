import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AskRequest(_message.Message):
    __slots__ = ("input", "context")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    input: Input
    context: Context
    def __init__(self, input: _Optional[_Union[Input, _Mapping]] = ..., context: _Optional[_Union[Context, _Mapping]] = ...) -> None: ...

class InvokeRequest(_message.Message):
    __slots__ = ("expert", "input", "context", "intent")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    expert: str
    input: Input
    context: Context
    intent: str
    def __init__(self, expert: _Optional[str] = ..., input: _Optional[_Union[Input, _Mapping]] = ..., context: _Optional[_Union[Context, _Mapping]] = ..., intent: _Optional[str] = ...) -> None: ...

class RouteRequest(_message.Message):
    __slots__ = ("text", "explain")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    text: str
    explain: bool
    def __init__(self, text: _Optional[str] = ..., explain: _Optional[bool] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("text", "series", "document", "further_documents", "schema")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    FURTHER_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    text: str
    series: Series
    document: Document
    further_documents: _containers.RepeatedCompositeFieldContainer[Document]
    schema: str
    def __init__(self, text: _Optional[str] = ..., series: _Optional[_Union[Series, _Mapping]] = ..., document: _Optional[_Union[Document, _Mapping]] = ..., further_documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., schema: _Optional[str] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("values", "start", "step", "name")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    start: _timestamp_pb2.Timestamp
    step: _duration_pb2.Duration
    name: str
    def __init__(self, values: _Optional[_Iterable[float]] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("name", "media_type", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    media_type: str
    text: str
    def __init__(self, name: _Optional[str] = ..., media_type: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Context(_message.Message):
    __slots__ = ("session", "app", "time_zone", "locale", "local_only", "priority")
    class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PRIORITY_UNSPECIFIED: _ClassVar[Context.Priority]
        PRIORITY_INTERACTIVE: _ClassVar[Context.Priority]
        PRIORITY_BACKGROUND: _ClassVar[Context.Priority]
    PRIORITY_UNSPECIFIED: Context.Priority
    PRIORITY_INTERACTIVE: Context.Priority
    PRIORITY_BACKGROUND: Context.Priority
    SESSION_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    session: str
    app: str
    time_zone: str
    locale: str
    local_only: bool
    priority: Context.Priority
    def __init__(self, session: _Optional[str] = ..., app: _Optional[str] = ..., time_zone: _Optional[str] = ..., locale: _Optional[str] = ..., local_only: _Optional[bool] = ..., priority: _Optional[_Union[Context.Priority, str]] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class InvokeResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class RouteResponse(_message.Message):
    __slots__ = ("decision", "explanation")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    explanation: Explanation
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class AskStreamResponse(_message.Message):
    __slots__ = ("decision", "delta", "answer")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    delta: str
    answer: Answer
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., delta: _Optional[str] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("text", "outcome", "decision", "expert", "version", "trace_id", "timings", "action", "label", "forecast", "generated", "structured", "parts", "reason")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[Answer.Outcome]
        OUTCOME_ANSWERED: _ClassVar[Answer.Outcome]
        OUTCOME_CLARIFY: _ClassVar[Answer.Outcome]
        OUTCOME_FAILED: _ClassVar[Answer.Outcome]
    OUTCOME_UNSPECIFIED: Answer.Outcome
    OUTCOME_ANSWERED: Answer.Outcome
    OUTCOME_CLARIFY: Answer.Outcome
    OUTCOME_FAILED: Answer.Outcome
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FORECAST_FIELD_NUMBER: _ClassVar[int]
    GENERATED_FIELD_NUMBER: _ClassVar[int]
    STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    text: str
    outcome: Answer.Outcome
    decision: Decision
    expert: str
    version: int
    trace_id: str
    timings: Timings
    action: Action
    label: Label
    forecast: Forecast
    generated: Text
    structured: _struct_pb2.Struct
    parts: _containers.RepeatedCompositeFieldContainer[Answer]
    reason: str
    def __init__(self, text: _Optional[str] = ..., outcome: _Optional[_Union[Answer.Outcome, str]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., expert: _Optional[str] = ..., version: _Optional[int] = ..., trace_id: _Optional[str] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., action: _Optional[_Union[Action, _Mapping]] = ..., label: _Optional[_Union[Label, _Mapping]] = ..., forecast: _Optional[_Union[Forecast, _Mapping]] = ..., generated: _Optional[_Union[Text, _Mapping]] = ..., structured: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ..., reason: _Optional[str] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("name", "slots")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    slots: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., slots: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("label", "probability", "probabilities")
    class ProbabilitiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    probabilities: _containers.ScalarMap[str, float]
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ..., probabilities: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Forecast(_message.Message):
    __slots__ = ("levels", "quantiles", "start", "step", "method", "season")
    class Quantile(_message.Message):
        __slots__ = ("values",)
        VALUES_FIELD_NUMBER: _ClassVar[int]
        values: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    QUANTILES_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SEASON_FIELD_NUMBER: _ClassVar[int]
    levels: _containers.RepeatedScalarFieldContainer[float]
    quantiles: _containers.RepeatedCompositeFieldContainer[Forecast.Quantile]
    start: _timestamp_pb2.Timestamp
    step: _duration_pb2.Duration
    method: str
    season: int
    def __init__(self, levels: _Optional[_Iterable[float]] = ..., quantiles: _Optional[_Iterable[_Union[Forecast.Quantile, _Mapping]]] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., method: _Optional[str] = ..., season: _Optional[int] = ...) -> None: ...

class Text(_message.Message):
    __slots__ = ("text", "finish", "model", "prompt_tokens", "generated_tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    finish: str
    model: str
    prompt_tokens: int
    generated_tokens: int
    def __init__(self, text: _Optional[str] = ..., finish: _Optional[str] = ..., model: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("verdict", "expert", "intent", "confidence", "tier", "alternatives", "reason", "view", "instruction", "language", "parts")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[Decision.Verdict]
        VERDICT_ROUTED: _ClassVar[Decision.Verdict]
        VERDICT_CLARIFY: _ClassVar[Decision.Verdict]
        VERDICT_TITAN: _ClassVar[Decision.Verdict]
        VERDICT_INVOKED: _ClassVar[Decision.Verdict]
        VERDICT_COMPOUND: _ClassVar[Decision.Verdict]
    VERDICT_UNSPECIFIED: Decision.Verdict
    VERDICT_ROUTED: Decision.Verdict
    VERDICT_CLARIFY: Decision.Verdict
    VERDICT_TITAN: Decision.Verdict
    VERDICT_INVOKED: Decision.Verdict
    VERDICT_COMPOUND: Decision.Verdict
    class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TIER_UNSPECIFIED: _ClassVar[Decision.Tier]
        TIER_EXACT: _ClassVar[Decision.Tier]
        TIER_STATIC: _ClassVar[Decision.Tier]
        TIER_ENCODER: _ClassVar[Decision.Tier]
    TIER_UNSPECIFIED: Decision.Tier
    TIER_EXACT: Decision.Tier
    TIER_STATIC: Decision.Tier
    TIER_ENCODER: Decision.Tier
    class Alternative(_message.Message):
        __slots__ = ("expert", "intent", "confidence")
        EXPERT_FIELD_NUMBER: _ClassVar[int]
        INTENT_FIELD_NUMBER: _ClassVar[int]
        CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
        expert: str
        intent: str
        confidence: float
        def __init__(self, expert: _Optional[str] = ..., intent: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...
    class Part(_message.Message):
        __slots__ = ("text", "reference", "antecedent", "decision")
        TEXT_FIELD_NUMBER: _ClassVar[int]
        REFERENCE_FIELD_NUMBER: _ClassVar[int]
        ANTECEDENT_FIELD_NUMBER: _ClassVar[int]
        DECISION_FIELD_NUMBER: _ClassVar[int]
        text: str
        reference: str
        antecedent: int
        decision: Decision
        def __init__(self, text: _Optional[str] = ..., reference: _Optional[str] = ..., antecedent: _Optional[int] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    verdict: Decision.Verdict
    expert: str
    intent: str
    confidence: float
    tier: Decision.Tier
    alternatives: _containers.RepeatedCompositeFieldContainer[Decision.Alternative]
    reason: str
    view: int
    instruction: str
    language: str
    parts: _containers.RepeatedCompositeFieldContainer[Decision.Part]
    def __init__(self, verdict: _Optional[_Union[Decision.Verdict, str]] = ..., expert: _Optional[str] = ..., intent: _Optional[str] = ..., confidence: _Optional[float] = ..., tier: _Optional[_Union[Decision.Tier, str]] = ..., alternatives: _Optional[_Iterable[_Union[Decision.Alternative, _Mapping]]] = ..., reason: _Optional[str] = ..., view: _Optional[int] = ..., instruction: _Optional[str] = ..., language: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Decision.Part, _Mapping]]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("text", "tiers", "neighbours", "signals", "in_scope", "least_in_scope", "rival", "clarify_from", "language", "others", "parts")
    class Tier(_message.Message):
        __slots__ = ("tier", "asked", "answered", "confidence", "needed", "in_scope", "candidates", "note")
        TIER_FIELD_NUMBER: _ClassVar[int]
        ASKED_FIELD_NUMBER: _ClassVar[int]
        ANSWERED_FIELD_NUMBER: _ClassVar[int]
        CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
        NEEDED_FIELD_NUMBER: _ClassVar[int]
        IN_SCOPE_FIELD_NUMBER: _ClassVar[int]
        CANDIDATES_FIELD_NUMBER: _ClassVar[int]
        NOTE_FIELD_NUMBER: _ClassVar[int]
        tier: Decision.Tier
        asked: bool
        answered: bool
        confidence: float
        needed: float
        in_scope: float
        candidates: _containers.RepeatedCompositeFieldContainer[Decision.Alternative]
        note: str
        def __init__(self, tier: _Optional[_Union[Decision.Tier, str]] = ..., asked: _Optional[bool] = ..., answered: _Optional[bool] = ..., confidence: _Optional[float] = ..., needed: _Optional[float] = ..., in_scope: _Optional[float] = ..., candidates: _Optional[_Iterable[_Union[Decision.Alternative, _Mapping]]] = ..., note: _Optional[str] = ...) -> None: ...
    class Neighbour(_message.Message):
        __slots__ = ("expert", "intent", "sentence", "similarity")
        EXPERT_FIELD_NUMBER: _ClassVar[int]
        INTENT_FIELD_NUMBER: _ClassVar[int]
        SENTENCE_FIELD_NUMBER: _ClassVar[int]
        SIMILARITY_FIELD_NUMBER: _ClassVar[int]
        expert: str
        intent: str
        sentence: str
        similarity: float
        def __init__(self, expert: _Optional[str] = ..., intent: _Optional[str] = ..., sentence: _Optional[str] = ..., similarity: _Optional[float] = ...) -> None: ...
    class Signal(_message.Message):
        __slots__ = ("name", "value", "weight")
        NAME_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        WEIGHT_FIELD_NUMBER: _ClassVar[int]
        name: str
        value: float
        weight: float
        def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., weight: _Optional[float] = ...) -> None: ...
    class Language(_message.Message):
        __slots__ = ("code", "probability", "english")
        CODE_FIELD_NUMBER: _ClassVar[int]
        PROBABILITY_FIELD_NUMBER: _ClassVar[int]
        ENGLISH_FIELD_NUMBER: _ClassVar[int]
        code: str
        probability: float
        english: float
        def __init__(self, code: _Optional[str] = ..., probability: _Optional[float] = ..., english: _Optional[float] = ...) -> None: ...
    class Rejected(_message.Message):
        __slots__ = ("expert", "intent", "confidence", "why")
        EXPERT_FIELD_NUMBER: _ClassVar[int]
        INTENT_FIELD_NUMBER: _ClassVar[int]
        CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
        WHY_FIELD_NUMBER: _ClassVar[int]
        expert: str
        intent: str
        confidence: float
        why: str
        def __init__(self, expert: _Optional[str] = ..., intent: _Optional[str] = ..., confidence: _Optional[float] = ..., why: _Optional[str] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    IN_SCOPE_FIELD_NUMBER: _ClassVar[int]
    LEAST_IN_SCOPE_FIELD_NUMBER: _ClassVar[int]
    RIVAL_FIELD_NUMBER: _ClassVar[int]
    CLARIFY_FROM_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tiers: _containers.RepeatedCompositeFieldContainer[Explanation.Tier]
    neighbours: _containers.RepeatedCompositeFieldContainer[Explanation.Neighbour]
    signals: _containers.RepeatedCompositeFieldContainer[Explanation.Signal]
    in_scope: float
    least_in_scope: float
    rival: float
    clarify_from: float
    language: Explanation.Language
    others: _containers.RepeatedCompositeFieldContainer[Explanation.Rejected]
    parts: _containers.RepeatedCompositeFieldContainer[Explanation]
    def __init__(self, text: _Optional[str] = ..., tiers: _Optional[_Iterable[_Union[Explanation.Tier, _Mapping]]] = ..., neighbours: _Optional[_Iterable[_Union[Explanation.Neighbour, _Mapping]]] = ..., signals: _Optional[_Iterable[_Union[Explanation.Signal, _Mapping]]] = ..., in_scope: _Optional[float] = ..., least_in_scope: _Optional[float] = ..., rival: _Optional[float] = ..., clarify_from: _Optional[float] = ..., language: _Optional[_Union[Explanation.Language, _Mapping]] = ..., others: _Optional[_Iterable[_Union[Explanation.Rejected, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("total", "route", "answer")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    total: _duration_pb2.Duration
    route: _duration_pb2.Duration
    answer: _duration_pb2.Duration
    def __init__(self, total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., route: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., answer: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class EventsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EventsResponse(_message.Message):
    __slots__ = ("time", "fired", "expert_changed", "subscribed")
    class Subscribed(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    TIME_FIELD_NUMBER: _ClassVar[int]
    FIRED_FIELD_NUMBER: _ClassVar[int]
    EXPERT_CHANGED_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    fired: Fired
    expert_changed: ExpertChanged
    subscribed: EventsResponse.Subscribed
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fired: _Optional[_Union[Fired, _Mapping]] = ..., expert_changed: _Optional[_Union[ExpertChanged, _Mapping]] = ..., subscribed: _Optional[_Union[EventsResponse.Subscribed, _Mapping]] = ...) -> None: ...

class Fired(_message.Message):
    __slots__ = ("id", "kind", "name", "text", "due", "late")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    name: str
    text: str
    due: _timestamp_pb2.Timestamp
    late: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., text: _Optional[str] = ..., due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., late: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExpertChanged(_message.Message):
    __slots__ = ("expert", "version", "state", "reason")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    expert: str
    version: int
    state: str
    reason: str
    def __init__(self, expert: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class FeedbackRequest(_message.Message):
    __slots__ = ("trace_id", "verdict", "correction")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[FeedbackRequest.Verdict]
        VERDICT_GOOD: _ClassVar[FeedbackRequest.Verdict]
        VERDICT_BAD: _ClassVar[FeedbackRequest.Verdict]
    VERDICT_UNSPECIFIED: FeedbackRequest.Verdict
    VERDICT_GOOD: FeedbackRequest.Verdict
    VERDICT_BAD: FeedbackRequest.Verdict
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    trace_id: str
    verdict: FeedbackRequest.Verdict
    correction: str
    def __init__(self, trace_id: _Optional[str] = ..., verdict: _Optional[_Union[FeedbackRequest.Verdict, str]] = ..., correction: _Optional[str] = ...) -> None: ...

class FeedbackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EchoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EchoResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
