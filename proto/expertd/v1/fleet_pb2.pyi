import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    STATE_ASPIRED: _ClassVar[State]
    STATE_LOADING: _ClassVar[State]
    STATE_WARMING: _ClassVar[State]
    STATE_SHADOW: _ClassVar[State]
    STATE_CANARY: _ClassVar[State]
    STATE_SERVING: _ClassVar[State]
    STATE_DRAINING: _ClassVar[State]
    STATE_RETIRED: _ClassVar[State]
    STATE_FAILED: _ClassVar[State]

class Availability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AVAILABILITY_UNSPECIFIED: _ClassVar[Availability]
    AVAILABILITY_READY: _ClassVar[Availability]
    AVAILABILITY_DOWNLOADABLE: _ClassVar[Availability]
    AVAILABILITY_DOWNLOADING: _ClassVar[Availability]
    AVAILABILITY_UNAVAILABLE: _ClassVar[Availability]
STATE_UNSPECIFIED: State
STATE_ASPIRED: State
STATE_LOADING: State
STATE_WARMING: State
STATE_SHADOW: State
STATE_CANARY: State
STATE_SERVING: State
STATE_DRAINING: State
STATE_RETIRED: State
STATE_FAILED: State
AVAILABILITY_UNSPECIFIED: Availability
AVAILABILITY_READY: Availability
AVAILABILITY_DOWNLOADABLE: Availability
AVAILABILITY_DOWNLOADING: Availability
AVAILABILITY_UNAVAILABLE: Availability

class Expert(_message.Message):
    __slots__ = ("name", "summary", "kind", "licence", "serving_version", "availability", "reason", "pinned", "resident_bytes", "requests", "in_flight", "p50", "versions", "intents", "worker_pid", "policy", "undone")
    class Undone(_message.Message):
        __slots__ = ("version", "reason", "time")
        VERSION_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        TIME_FIELD_NUMBER: _ClassVar[int]
        version: int
        reason: str
        time: _timestamp_pb2.Timestamp
        def __init__(self, version: _Optional[int] = ..., reason: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    SERVING_VERSION_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    INTENTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_PID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    UNDONE_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    kind: str
    licence: str
    serving_version: int
    availability: Availability
    reason: str
    pinned: bool
    resident_bytes: int
    requests: int
    in_flight: int
    p50: _duration_pb2.Duration
    versions: _containers.RepeatedCompositeFieldContainer[Version]
    intents: _containers.RepeatedScalarFieldContainer[str]
    worker_pid: int
    policy: Policy
    undone: Expert.Undone
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., kind: _Optional[str] = ..., licence: _Optional[str] = ..., serving_version: _Optional[int] = ..., availability: _Optional[_Union[Availability, str]] = ..., reason: _Optional[str] = ..., pinned: _Optional[bool] = ..., resident_bytes: _Optional[int] = ..., requests: _Optional[int] = ..., in_flight: _Optional[int] = ..., p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ..., intents: _Optional[_Iterable[str]] = ..., worker_pid: _Optional[int] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ..., undone: _Optional[_Union[Expert.Undone, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("shadow_requests", "canary_share", "canary_requests", "margin")
    SHADOW_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CANARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    CANARY_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    shadow_requests: int
    canary_share: float
    canary_requests: int
    margin: float
    def __init__(self, shadow_requests: _Optional[int] = ..., canary_share: _Optional[float] = ..., canary_requests: _Optional[int] = ..., margin: _Optional[float] = ...) -> None: ...

class Trial(_message.Message):
    __slots__ = ("stage", "requests", "needed", "candidate", "baseline", "agreed")
    class Tally(_message.Message):
        __slots__ = ("requests", "errors", "abstentions", "disliked", "p50")
        REQUESTS_FIELD_NUMBER: _ClassVar[int]
        ERRORS_FIELD_NUMBER: _ClassVar[int]
        ABSTENTIONS_FIELD_NUMBER: _ClassVar[int]
        DISLIKED_FIELD_NUMBER: _ClassVar[int]
        P50_FIELD_NUMBER: _ClassVar[int]
        requests: int
        errors: int
        abstentions: int
        disliked: int
        p50: _duration_pb2.Duration
        def __init__(self, requests: _Optional[int] = ..., errors: _Optional[int] = ..., abstentions: _Optional[int] = ..., disliked: _Optional[int] = ..., p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    AGREED_FIELD_NUMBER: _ClassVar[int]
    stage: State
    requests: int
    needed: int
    candidate: Trial.Tally
    baseline: Trial.Tally
    agreed: int
    def __init__(self, stage: _Optional[_Union[State, str]] = ..., requests: _Optional[int] = ..., needed: _Optional[int] = ..., candidate: _Optional[_Union[Trial.Tally, _Mapping]] = ..., baseline: _Optional[_Union[Trial.Tally, _Mapping]] = ..., agreed: _Optional[int] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("version", "state", "reason", "changed", "disk_bytes", "resident_bytes", "trial", "examination")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    EXAMINATION_FIELD_NUMBER: _ClassVar[int]
    version: int
    state: State
    reason: str
    changed: _timestamp_pb2.Timestamp
    disk_bytes: int
    resident_bytes: int
    trial: Trial
    examination: str
    def __init__(self, version: _Optional[int] = ..., state: _Optional[_Union[State, str]] = ..., reason: _Optional[str] = ..., changed: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., disk_bytes: _Optional[int] = ..., resident_bytes: _Optional[int] = ..., trial: _Optional[_Union[Trial, _Mapping]] = ..., examination: _Optional[str] = ...) -> None: ...

class ListExpertsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListExpertsResponse(_message.Message):
    __slots__ = ("experts", "memory")
    EXPERTS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    experts: _containers.RepeatedCompositeFieldContainer[Expert]
    memory: Memory
    def __init__(self, experts: _Optional[_Iterable[_Union[Expert, _Mapping]]] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class Memory(_message.Message):
    __slots__ = ("budget_bytes", "experts_bytes", "daemon_bytes", "pressure")
    BUDGET_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXPERTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAEMON_BYTES_FIELD_NUMBER: _ClassVar[int]
    PRESSURE_FIELD_NUMBER: _ClassVar[int]
    budget_bytes: int
    experts_bytes: int
    daemon_bytes: int
    pressure: float
    def __init__(self, budget_bytes: _Optional[int] = ..., experts_bytes: _Optional[int] = ..., daemon_bytes: _Optional[int] = ..., pressure: _Optional[float] = ...) -> None: ...

class GetExpertRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetExpertResponse(_message.Message):
    __slots__ = ("expert", "card")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    expert: Expert
    card: str
    def __init__(self, expert: _Optional[_Union[Expert, _Mapping]] = ..., card: _Optional[str] = ...) -> None: ...

class InstallRequest(_message.Message):
    __slots__ = ("file", "data")
    class File(_message.Message):
        __slots__ = ("path", "size_bytes")
        PATH_FIELD_NUMBER: _ClassVar[int]
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        path: str
        size_bytes: int
        def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...
    FILE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    file: InstallRequest.File
    data: bytes
    def __init__(self, file: _Optional[_Union[InstallRequest.File, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class InstallResponse(_message.Message):
    __slots__ = ("expert", "version", "state", "message")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    expert: str
    version: int
    state: State
    message: str
    def __init__(self, expert: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[State, str]] = ..., message: _Optional[str] = ...) -> None: ...

class PromoteRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class PromoteResponse(_message.Message):
    __slots__ = ("expert",)
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    expert: Expert
    def __init__(self, expert: _Optional[_Union[Expert, _Mapping]] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RollbackResponse(_message.Message):
    __slots__ = ("expert",)
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    expert: Expert
    def __init__(self, expert: _Optional[_Union[Expert, _Mapping]] = ...) -> None: ...

class PinRequest(_message.Message):
    __slots__ = ("name", "pinned")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    name: str
    pinned: bool
    def __init__(self, name: _Optional[str] = ..., pinned: _Optional[bool] = ...) -> None: ...

class PinResponse(_message.Message):
    __slots__ = ("expert",)
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    expert: Expert
    def __init__(self, expert: _Optional[_Union[Expert, _Mapping]] = ...) -> None: ...

class SetPolicyRequest(_message.Message):
    __slots__ = ("name", "policy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    name: str
    policy: Policy
    def __init__(self, name: _Optional[str] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ...) -> None: ...

class SetPolicyResponse(_message.Message):
    __slots__ = ("expert",)
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    expert: Expert
    def __init__(self, expert: _Optional[_Union[Expert, _Mapping]] = ...) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UnloadResponse(_message.Message):
    __slots__ = ("expert",)
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    expert: Expert
    def __init__(self, expert: _Optional[_Union[Expert, _Mapping]] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Intent(_message.Message):
    __slots__ = ("name", "sentences", "origin", "refined")
    class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ORIGIN_UNSPECIFIED: _ClassVar[Intent.Origin]
        ORIGIN_BUNDLE: _ClassVar[Intent.Origin]
        ORIGIN_EDITED: _ClassVar[Intent.Origin]
        ORIGIN_ADDED: _ClassVar[Intent.Origin]
        ORIGIN_REMOVED: _ClassVar[Intent.Origin]
    ORIGIN_UNSPECIFIED: Intent.Origin
    ORIGIN_BUNDLE: Intent.Origin
    ORIGIN_EDITED: Intent.Origin
    ORIGIN_ADDED: Intent.Origin
    ORIGIN_REMOVED: Intent.Origin
    NAME_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    REFINED_FIELD_NUMBER: _ClassVar[int]
    name: str
    sentences: int
    origin: Intent.Origin
    refined: bool
    def __init__(self, name: _Optional[str] = ..., sentences: _Optional[int] = ..., origin: _Optional[_Union[Intent.Origin, str]] = ..., refined: _Optional[bool] = ...) -> None: ...

class ListIntentsRequest(_message.Message):
    __slots__ = ("expert",)
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    expert: str
    def __init__(self, expert: _Optional[str] = ...) -> None: ...

class ListIntentsResponse(_message.Message):
    __slots__ = ("intents",)
    INTENTS_FIELD_NUMBER: _ClassVar[int]
    intents: _containers.RepeatedCompositeFieldContainer[Intent]
    def __init__(self, intents: _Optional[_Iterable[_Union[Intent, _Mapping]]] = ...) -> None: ...

class PutIntentRequest(_message.Message):
    __slots__ = ("expert", "intent", "sentences", "append")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    expert: str
    intent: str
    sentences: _containers.RepeatedScalarFieldContainer[str]
    append: bool
    def __init__(self, expert: _Optional[str] = ..., intent: _Optional[str] = ..., sentences: _Optional[_Iterable[str]] = ..., append: _Optional[bool] = ...) -> None: ...

class PutIntentResponse(_message.Message):
    __slots__ = ("view", "encoding", "update")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    view: int
    encoding: _duration_pb2.Duration
    update: _duration_pb2.Duration
    def __init__(self, view: _Optional[int] = ..., encoding: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., update: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RemoveIntentRequest(_message.Message):
    __slots__ = ("expert", "intent")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    expert: str
    intent: str
    def __init__(self, expert: _Optional[str] = ..., intent: _Optional[str] = ...) -> None: ...

class RemoveIntentResponse(_message.Message):
    __slots__ = ("view",)
    VIEW_FIELD_NUMBER: _ClassVar[int]
    view: int
    def __init__(self, view: _Optional[int] = ...) -> None: ...

class ResetIntentsRequest(_message.Message):
    __slots__ = ("expert", "intent")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    expert: str
    intent: str
    def __init__(self, expert: _Optional[str] = ..., intent: _Optional[str] = ...) -> None: ...

class ResetIntentsResponse(_message.Message):
    __slots__ = ("view",)
    VIEW_FIELD_NUMBER: _ClassVar[int]
    view: int
    def __init__(self, view: _Optional[int] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("expert", "removed")
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    expert: Expert
    removed: bool
    def __init__(self, expert: _Optional[_Union[Expert, _Mapping]] = ..., removed: _Optional[bool] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "availability", "repository", "revision", "file", "sha256", "size_bytes", "licence", "present_bytes", "experts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    PRESENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXPERTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    availability: Availability
    repository: str
    revision: str
    file: str
    sha256: str
    size_bytes: int
    licence: str
    present_bytes: int
    experts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., availability: _Optional[_Union[Availability, str]] = ..., repository: _Optional[str] = ..., revision: _Optional[str] = ..., file: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., licence: _Optional[str] = ..., present_bytes: _Optional[int] = ..., experts: _Optional[_Iterable[str]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class PullModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PullModelResponse(_message.Message):
    __slots__ = ("model", "message")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    model: Model
    message: str
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...

class AdoptModelRequest(_message.Message):
    __slots__ = ("file", "data")
    class File(_message.Message):
        __slots__ = ("name", "file_name", "size_bytes")
        NAME_FIELD_NUMBER: _ClassVar[int]
        FILE_NAME_FIELD_NUMBER: _ClassVar[int]
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        name: str
        file_name: str
        size_bytes: int
        def __init__(self, name: _Optional[str] = ..., file_name: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...
    FILE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    file: AdoptModelRequest.File
    data: bytes
    def __init__(self, file: _Optional[_Union[AdoptModelRequest.File, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class AdoptModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class Trace(_message.Message):
    __slots__ = ("id", "time", "app", "session", "verdict", "expert", "version", "intent", "confidence", "tier", "outcome", "reason", "route", "answer", "total", "text", "feedback", "answered_by")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    id: str
    time: _timestamp_pb2.Timestamp
    app: str
    session: str
    verdict: str
    expert: str
    version: int
    intent: str
    confidence: float
    tier: str
    outcome: str
    reason: str
    route: _duration_pb2.Duration
    answer: _duration_pb2.Duration
    total: _duration_pb2.Duration
    text: str
    feedback: str
    answered_by: str
    def __init__(self, id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., app: _Optional[str] = ..., session: _Optional[str] = ..., verdict: _Optional[str] = ..., expert: _Optional[str] = ..., version: _Optional[int] = ..., intent: _Optional[str] = ..., confidence: _Optional[float] = ..., tier: _Optional[str] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., route: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., answer: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., text: _Optional[str] = ..., feedback: _Optional[str] = ..., answered_by: _Optional[str] = ...) -> None: ...

class ListTracesRequest(_message.Message):
    __slots__ = ("limit", "expert", "id")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    EXPERT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    limit: int
    expert: str
    id: str
    def __init__(self, limit: _Optional[int] = ..., expert: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class ListTracesResponse(_message.Message):
    __slots__ = ("traces",)
    TRACES_FIELD_NUMBER: _ClassVar[int]
    traces: _containers.RepeatedCompositeFieldContainer[Trace]
    def __init__(self, traces: _Optional[_Iterable[_Union[Trace, _Mapping]]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("checks", "version", "pid", "started")
    class Check(_message.Message):
        __slots__ = ("name", "level", "message", "remedy")
        class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            LEVEL_UNSPECIFIED: _ClassVar[GetStatusResponse.Check.Level]
            LEVEL_OK: _ClassVar[GetStatusResponse.Check.Level]
            LEVEL_NOTE: _ClassVar[GetStatusResponse.Check.Level]
            LEVEL_WARNING: _ClassVar[GetStatusResponse.Check.Level]
            LEVEL_ERROR: _ClassVar[GetStatusResponse.Check.Level]
        LEVEL_UNSPECIFIED: GetStatusResponse.Check.Level
        LEVEL_OK: GetStatusResponse.Check.Level
        LEVEL_NOTE: GetStatusResponse.Check.Level
        LEVEL_WARNING: GetStatusResponse.Check.Level
        LEVEL_ERROR: GetStatusResponse.Check.Level
        NAME_FIELD_NUMBER: _ClassVar[int]
        LEVEL_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        REMEDY_FIELD_NUMBER: _ClassVar[int]
        name: str
        level: GetStatusResponse.Check.Level
        message: str
        remedy: str
        def __init__(self, name: _Optional[str] = ..., level: _Optional[_Union[GetStatusResponse.Check.Level, str]] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[GetStatusResponse.Check]
    version: str
    pid: int
    started: _timestamp_pb2.Timestamp
    def __init__(self, checks: _Optional[_Iterable[_Union[GetStatusResponse.Check, _Mapping]]] = ..., version: _Optional[str] = ..., pid: _Optional[int] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
