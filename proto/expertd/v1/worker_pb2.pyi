import datetime

from expertd.v1 import assistant_pb2 as _assistant_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerAnswerRequest(_message.Message):
    __slots__ = ("input", "intent", "payload", "now", "time_zone", "locale", "session", "rehearsal", "vector")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REHEARSAL_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    input: _assistant_pb2.Input
    intent: str
    payload: str
    now: _timestamp_pb2.Timestamp
    time_zone: str
    locale: str
    session: str
    rehearsal: bool
    vector: bytes
    def __init__(self, input: _Optional[_Union[_assistant_pb2.Input, _Mapping]] = ..., intent: _Optional[str] = ..., payload: _Optional[str] = ..., now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_zone: _Optional[str] = ..., locale: _Optional[str] = ..., session: _Optional[str] = ..., rehearsal: _Optional[bool] = ..., vector: _Optional[bytes] = ...) -> None: ...

class WorkerAnswerResponse(_message.Message):
    __slots__ = ("delta", "answer", "abstention")
    class Abstention(_message.Message):
        __slots__ = ("code", "reason")
        CODE_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        code: str
        reason: str
        def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
    DELTA_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ABSTENTION_FIELD_NUMBER: _ClassVar[int]
    delta: str
    answer: _assistant_pb2.Answer
    abstention: WorkerAnswerResponse.Abstention
    def __init__(self, delta: _Optional[str] = ..., answer: _Optional[_Union[_assistant_pb2.Answer, _Mapping]] = ..., abstention: _Optional[_Union[WorkerAnswerResponse.Abstention, _Mapping]] = ...) -> None: ...

class PullRequest(_message.Message):
    __slots__ = ("url", "sha256", "size_bytes", "path", "stall_timeout")
    URL_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STALL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    url: str
    sha256: str
    size_bytes: int
    path: str
    stall_timeout: _duration_pb2.Duration
    def __init__(self, url: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., path: _Optional[str] = ..., stall_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PullResponse(_message.Message):
    __slots__ = ("present_bytes", "size_bytes")
    PRESENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    present_bytes: int
    size_bytes: int
    def __init__(self, present_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...
