"""From the fleet's values to the contract's messages for operators. Knows both, and asks nobody anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from expertd.experts.fleet import ExpertStatus, MemoryStatus, VersionStatus
from expertd.experts.plan import State
from expertd.experts.policy import Policy
from expertd.experts.trial import Tally, TrialStatus
from expertd.v1 import fleet_pb2 as pb

from .traces import Trace
from .wire import duration, timestamp

STATES: Mapping[State, pb.State] = {state: getattr(pb, f"STATE_{state.name}") for state in State}
# A reason that holds a whole output of some expert is for its file in quarantine.
MAX_REASON_CHARS = 1000


def expert(
    status: ExpertStatus, availability: pb.Availability, intents: tuple[str, ...], disk_bytes: Mapping[int, int]
) -> pb.Expert:
    """disk_bytes: version → what it takes there."""
    manifest, undone = status.bundle.manifest, status.undone
    return pb.Expert(
        name=status.name,
        summary=manifest.summary,
        kind=manifest.kind,
        licence=manifest.licence,
        serving_version=status.serving or 0,
        availability=availability,
        reason="" if status.absence is None else clipped(str(status.absence)),
        pinned=status.pinned,
        resident_bytes=status.resident_bytes,
        requests=status.usage.requests,
        in_flight=status.usage.in_flight,
        p50=duration(status.usage.p50_s),
        versions=[version(each, disk_bytes.get(each.version, 0)) for each in status.versions],
        intents=intents,
        worker_pid=status.worker_pid,
        policy=policy(status.policy),
        undone=None
        if undone is None
        else pb.Expert.Undone(version=undone.version, reason=clipped(undone.reason), time=timestamp(undone.time)),
    )


def version(status: VersionStatus, disk_bytes: int) -> pb.Version:
    return pb.Version(
        version=status.version,
        state=STATES[status.state],
        reason=clipped(status.reason),
        changed=timestamp(status.changed),
        disk_bytes=disk_bytes,
        resident_bytes=status.resident_bytes,
        trial=None if status.trial is None else trial(status.trial),
        examination=status.examination,
    )


def trial(status: TrialStatus) -> pb.Trial:
    return pb.Trial(
        stage=STATES[status.stage],
        requests=status.requests,
        needed=status.needed,
        candidate=tally(status.candidate),
        baseline=tally(status.baseline),
        agreed=status.agreed,
    )


def trials(message: pb.Expert) -> list[pb.Trial]:
    """Those that go on."""
    return [version.trial for version in message.versions if version.HasField("trial")]


def tally(value: Tally) -> pb.Trial.Tally:
    return pb.Trial.Tally(
        requests=value.requests,
        errors=value.errors,
        abstentions=value.abstentions,
        disliked=value.disliked,
        p50=duration(value.p50_s),
    )


def policy(value: Policy) -> pb.Policy:
    return pb.Policy(
        shadow_requests=value.shadow_requests,
        canary_share=value.canary_share,
        canary_requests=value.canary_requests,
        margin=value.margin,
    )


def policy_from_proto(message: pb.Policy) -> Policy:
    """Whether the expert is pinned is none of its fields."""
    return Policy(
        shadow_requests=message.shadow_requests,
        canary_share=message.canary_share,
        canary_requests=message.canary_requests,
        margin=message.margin,
    )


def memory(status: MemoryStatus) -> pb.Memory:
    return pb.Memory(
        budget_bytes=status.budget_bytes,
        experts_bytes=status.experts_bytes,
        daemon_bytes=status.daemon_bytes,
        pressure=status.pressure,
    )


def trace(value: Trace) -> pb.Trace:
    return pb.Trace(
        id=value.id,
        time=timestamp(value.time),
        app=value.app,
        session=value.session,
        verdict=value.verdict,
        expert=value.expert,
        version=value.version,
        intent=value.intent,
        confidence=value.confidence,
        tier=value.tier,
        outcome=value.outcome,
        reason=value.reason,
        route=duration(timedelta(seconds=value.route_s)),
        answer=duration(timedelta(seconds=value.answer_s)),
        total=duration(timedelta(seconds=value.total_s)),
        text=value.text,
        feedback=value.feedback,
        answered_by=value.answered_by,
    )


def clipped(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON_CHARS else f"{reason[:MAX_REASON_CHARS]}…"
