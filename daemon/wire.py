"""Between the contract's messages and the experts' values. Knows both, and nothing of how either is used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from google.protobuf import struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from expertd.experts.errors import QueryError
from expertd.experts.values import (
    Abstention,
    Action,
    Answer,
    Document,
    Forecast,
    Label,
    Outcome,
    Query,
    Result,
    Series,
    Structured,
    Text,
)
from expertd.v1 import assistant_pb2, worker_pb2


def timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def duration(span: timedelta | float) -> Duration:
    """span: a timedelta, or seconds."""
    message = Duration()
    message.FromNanoseconds(round((span.total_seconds() if isinstance(span, timedelta) else span) * 1e9))
    return message


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """values: JSON values. Numbers that JSON does not have (NaN, infinities) become null."""
    message = struct_pb2.Struct()
    message.update({key: _finite(value) for key, value in values.items()})
    return message


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


# --- Input -----------------------------------------------------------------------------------------------------------


def series_from_proto(message: assistant_pb2.Series) -> Series:
    """Raises: QueryError when the step is not positive."""
    step = message.step.ToTimedelta() if message.HasField("step") else None
    if step is not None and step <= timedelta(0):
        raise QueryError(
            f"series: a step of {step.total_seconds():g} s; a step is longer than nothing",
            reason="BAD_STEP",
            field="input.series.step",
        )
    return Series(
        values=np.array(message.values, dtype=np.float64),
        start=moment(message.start) if message.HasField("start") else None,
        step=step,
        name=message.name,
    )


def series_to_proto(series: Series) -> assistant_pb2.Series:
    return assistant_pb2.Series(
        values=series.values.tolist(),
        start=None if series.start is None else timestamp(series.start),
        step=None if series.step is None else duration(series.step),
        name=series.name,
    )


def document_from_proto(message: assistant_pb2.Document) -> Document:
    return Document(text=message.text, name=message.name, media_type=message.media_type or "text/plain")


def document_to_proto(document: Document) -> assistant_pb2.Document:
    return assistant_pb2.Document(text=document.text, name=document.name, media_type=document.media_type)


# --- Answers ---------------------------------------------------------------------------------------------------------


def answer_to_proto(answer: Answer) -> assistant_pb2.Answer:
    """The text, the outcome and the typed result; who answered, and how long it took, is the engine's to add."""
    message = assistant_pb2.Answer(text=answer.text, outcome=assistant_pb2.Answer.OUTCOME_ANSWERED)
    match answer.result:
        case Action(name, slots):
            message.action.name = name
            message.action.slots.CopyFrom(struct(slots))
        case Label(label, probability, probabilities):
            message.label.label = label
            message.label.probability = probability
            message.label.probabilities.update(probabilities)
        case Forecast() as forecast:
            message.forecast.CopyFrom(
                assistant_pb2.Forecast(
                    levels=forecast.levels,
                    quantiles=[assistant_pb2.Forecast.Quantile(values=row) for row in forecast.quantiles.tolist()],
                    start=None if forecast.start is None else timestamp(forecast.start),
                    step=None if forecast.step is None else duration(forecast.step),
                    method=forecast.method,
                    season=forecast.season,
                )
            )
        case Text() as text:
            message.generated.CopyFrom(
                assistant_pb2.Text(
                    text=text.text,
                    finish=text.finish,
                    model=text.model,
                    prompt_tokens=text.prompt_tokens,
                    generated_tokens=text.generated_tokens,
                )
            )
        case Structured(data):
            message.structured.CopyFrom(struct(data))
    return message


def answer_from_proto(message: assistant_pb2.Answer) -> Answer:
    """Raises: ValueError when no result is set."""
    return Answer(text=message.text, result=_result_from_proto(message))


def _result_from_proto(message: assistant_pb2.Answer) -> Result:
    match message.WhichOneof("result"):
        case "action":
            return Action(message.action.name, MessageToDict(message.action.slots))
        case "label":
            return Label(message.label.label, message.label.probability, dict(message.label.probabilities))
        case "forecast":
            forecast = message.forecast
            return Forecast(
                levels=tuple(forecast.levels),
                quantiles=np.array([row.values for row in forecast.quantiles], dtype=np.float64),
                method=forecast.method,
                season=forecast.season,
                start=moment(forecast.start) if forecast.HasField("start") else None,
                step=forecast.step.ToTimedelta() if forecast.HasField("step") else None,
            )
        case "generated":
            text = message.generated
            return Text(text.text, text.finish, text.model, text.prompt_tokens, text.generated_tokens)
        case "structured":
            return Structured(MessageToDict(message.structured))
        case _:
            raise ValueError("an answer without a result: set one of action, label, forecast, generated, structured")


# --- Workers ---------------------------------------------------------------------------------------------------------


def query_to_worker(query: Query, *, vector: bool = False) -> worker_pb2.WorkerAnswerRequest:
    """vector: whether the trunk's vector goes along; most workers have no use for it."""
    return worker_pb2.WorkerAnswerRequest(
        input=assistant_pb2.Input(
            text=query.text,
            series=None if query.series is None else series_to_proto(query.series),
            document=None if query.document is None else document_to_proto(query.document),
            further_documents=map(document_to_proto, query.further),
            schema="" if query.schema is None else json.dumps(query.schema),
        ),
        intent=query.intent,
        payload=query.payload or "",
        now=timestamp(query.now),
        time_zone=query.zone.key,
        locale=query.locale,
        session=query.session,
        rehearsal=query.rehearsal,
        vector=query.vector.astype("<f4").tobytes() if vector and query.vector is not None else b"",
    )


def query_from_worker(request: worker_pb2.WorkerAnswerRequest) -> Query:
    """Raises: QueryError when the series, or the vector, is not one."""
    if len(request.vector) % 4:
        raise QueryError(
            f"vector: {len(request.vector)} bytes; it is float32 numbers, of 4 bytes each",
            reason="BAD_VECTOR",
            field="vector",
        )
    zone = ZoneInfo(request.time_zone or "UTC")
    return Query(
        text=request.input.text,
        now=moment(request.now).astimezone(zone),
        zone=zone,
        intent=request.intent,
        payload=request.payload or None,
        series=series_from_proto(request.input.series) if request.input.HasField("series") else None,
        document=document_from_proto(request.input.document) if request.input.HasField("document") else None,
        further=tuple(map(document_from_proto, request.input.further_documents)),
        schema=json.loads(request.input.schema) if request.input.schema else None,
        locale=request.locale or "en",
        session=request.session,
        vector=np.frombuffer(request.vector, "<f4") if request.vector else None,
        rehearsal=request.rehearsal,
    )


def outcome_to_worker(outcome: Outcome) -> worker_pb2.WorkerAnswerResponse:
    if isinstance(outcome, Abstention):
        return worker_pb2.WorkerAnswerResponse(
            abstention=worker_pb2.WorkerAnswerResponse.Abstention(code=outcome.code, reason=outcome.reason)
        )
    return worker_pb2.WorkerAnswerResponse(answer=answer_to_proto(outcome))


def outcome_from_worker(response: worker_pb2.WorkerAnswerResponse) -> Outcome:
    """The last part of a worker's stream.

    Raises: ValueError when it is neither an answer nor an abstention; a worker is outside code, so its word is checked.
    """
    match response.WhichOneof("part"):
        case "answer":
            return answer_from_proto(response.answer)
        case "abstention":
            code = response.abstention.code
            if code == "not_mine":
                return Abstention(response.abstention.reason, "not_mine")
            if code == "needs_input":
                return Abstention(response.abstention.reason, "needs_input")
            return Abstention(response.abstention.reason, "unsure")
        case part:
            raise ValueError(f"a worker's stream ended with {part}; it ends with an answer or an abstention")
