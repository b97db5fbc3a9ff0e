"""What an operator reads of the fleet: experts, versions on trial, policies, memory, models, traces.

Pure: messages in, words and cells out. Knows no terminal, no wire, no command.
"""

from __future__ import annotations

from collections.abc import Sequence

from expertd.v1 import fleet_pb2 as fleet

from .render import clock, percent, size, span, word

PS_TITLES = ("expert", "version", "state", "kind", "available", "memory", "requests", "p50", "in flight", "reason")
VERSION_TITLES = ("version", "state", "since", "memory", "disk", "reason")
TRIAL_TITLES = ("on trial", "requests", "errors", "abstentions", "disliked", "p50", "agreed")
NUMBERS = frozenset(
    {"version", "memory", "requests", "p50", "in flight", "size", "disk", "sure", "total"}
    | {"errors", "abstentions", "disliked", "agreed"}
)

_ON_TRIAL = frozenset({fleet.STATE_SHADOW, fleet.STATE_CANARY})
_UNDER_WAY = _ON_TRIAL | {fleet.STATE_ASPIRED, fleet.STATE_LOADING, fleet.STATE_WARMING}


# --- Which version, and how it stands --------------------------------------------------------------------------------


def shown_version(expert: fleet.Expert) -> fleet.Version | None:
    """The version that serves, else the one on its way there, else the newest."""
    versions = sorted(expert.versions, key=lambda version: version.version)
    serving = [version for version in versions if version.version == expert.serving_version]
    under_way = [version for version in versions if version.state in _UNDER_WAY]
    return next(iter([*serving, *under_way[-1:], *versions[-1:]]), None)


def candidate(expert: fleet.Expert) -> fleet.Version | None:
    """The version that is on its way beside the one that serves."""
    shown = shown_version(expert)
    coming = [version for version in expert.versions if version.state in _UNDER_WAY and version != shown]
    return max(coming, key=lambda version: version.version, default=None)


def on_trial(expert: fleet.Expert) -> fleet.Version | None:
    """The version that has not been accepted yet: in shadow, or a canary."""
    return next((version for version in expert.versions if version.state in _ON_TRIAL), None)


def version_state(version: fleet.Version) -> str:
    """As "canary 12/50", "serving (on probation)"; without a trial, the state's word."""
    state = word(fleet.State, version.state)
    if not version.HasField("trial"):
        return state
    if version.state == fleet.STATE_SERVING:
        return f"{state} (on probation)"
    return f"{state} {version.trial.requests}/{version.trial.needed}"


def expert_state(expert: fleet.Expert) -> tuple[str, str]:
    """Version and state: of the one that serves, else of the one that comes closest."""
    shown = shown_version(expert)
    if shown is None:
        return (str(expert.serving_version), "serving") if expert.serving_version else ("", "")
    return str(shown.version), version_state(shown)


def undone(expert: fleet.Expert) -> str:
    """As "5 undone on probation: 7 of 9 requests failed", "5 failed: golden.jsonl line 3 …".

    Nothing where a newer version serves, or is on its way there.
    """
    if not expert.HasField("undone"):
        return ""
    number = expert.undone.version
    newer = max((version.version for version in expert.versions if version.state in _UNDER_WAY), default=0)
    if number <= max(newer, expert.serving_version):
        return ""
    return _failed(expert, number, expert.undone.reason)


def reason(expert: fleet.Expert) -> tuple[str, bool]:
    """Why it does not serve, or what went wrong last; and whether that is over: another version serves."""
    if expert.reason:
        return expert.reason, False
    if past := undone(expert):
        return past, bool(expert.serving_version)
    newest = max(expert.versions, key=lambda version: version.version, default=fleet.Version())
    if newest.state == fleet.STATE_FAILED and newest.version > expert.serving_version and newest.reason:
        return _failed(expert, newest.version, newest.reason), bool(expert.serving_version)
    shown = shown_version(expert)
    return ("" if shown is None else _short(expert, shown.version, shown.reason)), False


def _failed(expert: fleet.Expert, version: int, why: str) -> str:
    told = _short(expert, version, why)
    # One that served, or was on trial, is undone; its reason begins so. Any other never came that far.
    return f"{version} {told}" if told.startswith("undone") else f"{version} failed: {told}".removesuffix(": ")


def _short(expert: fleet.Expert, version: int, text: str) -> str:
    """Without the name and the number that stand before it already."""
    return text.removeprefix(f"{expert.name} {version}: ")


# --- Experts ---------------------------------------------------------------------------------------------------------


def ps_rows(expert: fleet.Expert) -> list[list[str]]:
    """One row; a version on its way to serving has a second one beneath."""
    version, state = expert_state(expert)
    shown, coming = shown_version(expert), candidate(expert)
    # What a second row takes is not told twice.
    own = shown.resident_bytes if shown is not None and coming is not None else 0
    rows = [
        [
            f"{expert.name} (pinned)" if expert.pinned else expert.name,
            version,
            state,
            expert.kind,
            word(fleet.Availability, expert.availability),
            size(own or expert.resident_bytes),
            str(expert.requests),
            span(expert.p50),
            str(expert.in_flight),
            reason(expert)[0],
        ]
    ]
    if coming is not None:
        tally = coming.trial.candidate
        requests = str(coming.trial.requests) if coming.HasField("trial") else ""
        told = _short(expert, coming.version, coming.reason)
        cells = [size(coming.resident_bytes), requests, span(tally.p50), "", told]
        rows.append([expert.name, str(coming.version), version_state(coming), "", "", *cells])
    return rows


def memory_line(memory: fleet.Memory) -> str:
    """As "experts 12.0 MB of 12.0 GB; daemon 121 MB; memory pressure none"."""
    taken, daemon = size(memory.experts_bytes) or "nothing", size(memory.daemon_bytes) or "unknown"
    return f"experts {taken} of {size(memory.budget_bytes)}; daemon {daemon}; memory pressure {_pressure(memory)}"


def _pressure(memory: fleet.Memory) -> str:
    if memory.pressure < 0:
        return "unknown"
    return percent(memory.pressure) if memory.pressure >= 0.001 else "none"


def expert_rows(expert: fleet.Expert) -> list[tuple[str, str]]:
    rows = [
        ("expert", expert.name),
        ("summary", expert.summary),
        ("serves", _serves(expert)),
        ("kind", expert.kind),
        ("licence", expert.licence),
        ("available", word(fleet.Availability, expert.availability)),
        ("reason", expert.reason),
        ("pinned", "yes" if expert.pinned else ""),
        ("memory", size(expert.resident_bytes)),
        ("requests", f"{expert.requests} ({expert.in_flight} in flight)"),
        ("p50", span(expert.p50)),
        ("worker", f"process {expert.worker_pid}" if expert.worker_pid else ""),
        ("policy", policy_line(expert.policy) if expert.HasField("policy") else ""),
        ("undone", _undone_row(expert)),
        ("intents", ", ".join(expert.intents)),
    ]
    return [(name, value) for name, value in rows if value]


def _serves(expert: fleet.Expert) -> str:
    version, state = expert_state(expert)
    if expert.serving_version:
        return f"version {version}" if state == "serving" else f"version {version}, on probation"
    return f"nothing; version {version} is {state}" if version else "nothing"


def _undone_row(expert: fleet.Expert) -> str:
    if not expert.HasField("undone"):
        return ""
    past = expert.undone
    when = f", {clock(past.time)}" if clock(past.time) else ""
    return f"version {past.version}{when}: {_short(expert, past.version, past.reason)}".removesuffix(": ")


def version_row(expert: fleet.Expert, version: fleet.Version) -> list[str]:
    return [
        str(version.version),
        version_state(version),
        clock(version.changed),
        size(version.resident_bytes),
        size(version.disk_bytes),
        _short(expert, version.version, version.reason),
    ]


def trial_rows(expert: fleet.Expert, version: fleet.Version) -> list[list[str]]:
    """The version on trial, and the one that it is compared with."""
    trial = version.trial
    agreed = f"{trial.agreed} of {trial.requests}" if trial.stage == fleet.STATE_SHADOW else ""
    # On probation it serves itself: it is compared with the one before.
    before = "the one before" if version.version == expert.serving_version else str(expert.serving_version)
    stage = "on probation" if trial.stage == fleet.STATE_SERVING else word(fleet.State, trial.stage)
    return [
        [f"{version.version} ({stage})", *_tally_cells(trial.candidate), agreed],
        [f"{before} (baseline)", *_tally_cells(trial.baseline), ""],
    ]


def _tally_cells(tally: fleet.Trial.Tally) -> list[str]:
    def share(count: int) -> str:
        return f"{count} ({percent(count / tally.requests)})" if count and tally.requests else str(count)

    counts = [share(count) for count in (tally.errors, tally.abstentions, tally.disliked)]
    return [str(tally.requests), *counts, span(tally.p50)]


def trial_line(version: fleet.Version) -> str:
    """How far it has come, and how it ends."""
    trial = version.trial
    if version.state == fleet.STATE_SERVING:
        return f"version {version.version} serves on probation: {trial.requests} of {trial.needed} requests"
    how = "in shadow" if trial.stage == fleet.STATE_SHADOW else "as a canary"
    return f"version {version.version} is on trial {how}: {trial.requests} of {trial.needed} requests"


def policy_line(policy: fleet.Policy) -> str:
    """The road of a new version once it has passed its examination."""
    steps = []
    if policy.shadow_requests:
        steps.append(f"shadow for {_requests(policy.shadow_requests)}")
    if policy.canary_share:
        share = percent(policy.canary_share)
        steps.append(f"canary with {share} of sessions for {_requests(policy.canary_requests)}")
    road = ", then ".join([*steps, "serves"]) if steps else "serves at once"
    return f"{road}; margin {percent(policy.margin)}"


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def watch_line(change: fleet.WatchResponse) -> str:
    """As "spam 5 serving, 6 canary 12/50"; behind it what keeps it from serving, or what was undone."""
    expert = change.expert
    if change.removed:
        return f"{expert.name} removed"
    coming = candidate(expert)
    versions = [" ".join(part for part in expert_state(expert) if part)]
    if coming is not None:
        versions.append(f"{coming.version} {version_state(coming)}")
    availability = word(fleet.Availability, expert.availability)
    told = (expert.name, ", ".join(versions), "" if availability == "ready" else availability)
    why = reason(expert)[0]
    return " ".join(part for part in told if part) + (f": {why}" if why else "")


def below(experts: Sequence[fleet.Expert]) -> list[tuple[str, bool]]:
    """The reasons as lines of their own, as a table on a terminal has no room for sentences; and which are over."""
    lines = []
    for expert in experts:
        why, over = reason(expert)
        if why:
            lines.append((why if why.startswith(f"{expert.name} ") else f"{expert.name}: {why}", over))
        coming = candidate(expert)
        if coming is not None and coming.reason:
            lines.append((f"{expert.name} {coming.version}: {_short(expert, coming.version, coming.reason)}", False))
    return lines


# --- Models and traces -----------------------------------------------------------------------------------------------


def model_row(model: fleet.Model) -> list[str]:
    present = f"{100 * model.present_bytes // model.size_bytes} %" if model.size_bytes and model.present_bytes else ""
    state = word(fleet.Availability, model.availability)
    return [
        model.name,
        f"{state} {present}" if present and model.availability != fleet.AVAILABILITY_READY else state,
        size(model.size_bytes),
        model.licence,
        ", ".join(model.experts),
        f"{model.repository}/{model.file}".strip("/"),
    ]


def trace_row(trace: fleet.Trace) -> list[str]:
    who = f"{trace.expert} {trace.version}" if trace.version else trace.expert
    if trace.verdict == "titan":
        who = "titan"  # the expert is merely the one that came closest
    return [
        trace.id,
        clock(trace.time),
        who,
        trace.intent,
        trace.tier or trace.verdict,
        percent(trace.confidence) if trace.confidence else "",
        trace.outcome,
        span(trace.total),
        trace.feedback,
        trace.text or trace.reason,
    ]
