"""What the contract's messages look like to people: numbers with units, bars, rows of tables.

Pure: messages in, text out. Knows no terminal, no wire, no command.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from expertd.v1 import assistant_pb2 as assistant

# --- Units -----------------------------------------------------------------------------------------------------------


def size(count: int) -> str:
    """1536 → "1.5 kB"; 0 → ""."""
    if count <= 0:
        return ""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 99.5 or unit == "B" else f"{value:.1f} {unit}"


def span(duration: Duration) -> str:
    """Two digits that matter: "85 µs", "2.1 ms", "3.4 s", "2 h 05 min"; nothing: ""."""
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds <= 0:
        return ""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if (value := seconds * factor) >= 1 or unit == "µs":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def moment(stamp: Timestamp) -> datetime | None:
    """In the machine's zone; None when the stamp is none that a calendar has."""
    try:
        return stamp.ToDatetime(tzinfo=UTC).astimezone()
    except (ValueError, OverflowError):
        return None


def clock(stamp: Timestamp) -> str:
    local = moment(stamp)
    return "" if local is None or not stamp.seconds else local.strftime("%Y-%m-%d %H:%M:%S")


def stamp(start: datetime, offset: timedelta) -> str:
    """A step's time, in the machine's zone."""
    try:
        return (start + offset).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError):
        return "?"


def percent(share: float) -> str:
    """Never rounded up to certainty, nor down to impossibility."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{min(100 * share, 99.9 if share < 1 else 100):.3g} %"


def number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def word(enum: Any, value: int) -> str:
    """STATE_SERVING → "serving". enum: the generated enum's wrapper."""
    try:
        name = str(enum.Name(value))
    except ValueError:
        return str(value)  # a newer daemon knows more
    return name.split("_", 1)[1].lower().replace("_", " ")


# --- Answers ---------------------------------------------------------------------------------------------------------


def footer(answer: assistant.Answer) -> str:
    """Who answered, how it was decided, how sure, how long, and the trace to give feedback on."""
    decision = answer.decision
    who = f"{answer.expert} {answer.version}" if answer.version else answer.expert
    tier = word(assistant.Decision.Tier, decision.tier) if decision.tier else ""
    verdict = word(assistant.Decision.Verdict, decision.verdict) if decision.verdict else ""
    how = tier if decision.verdict == assistant.Decision.VERDICT_ROUTED else verdict
    sure = percent(decision.confidence) if decision.confidence and how != "invoked" else ""
    failed = f"failed {answer.reason}".rstrip() if answer.outcome == assistant.Answer.OUTCOME_FAILED else ""
    parts = (who, how if how != who else "", sure, failed, span(answer.timings.total))
    return " · ".join([part for part in parts if part] + ([f"trace {answer.trace_id}"] if answer.trace_id else []))


def decision_lines(decision: assistant.Decision) -> Iterator[str]:
    """One line; of a compound request, one for each part, with what it points back to."""
    if not decision.parts:
        yield decision_line(decision)
    for number, part in enumerate(decision.parts, start=1):
        back = f' ("{part.reference}": from {part.antecedent + 1})' if part.HasField("antecedent") else ""
        yield f"{number}. {part.text}{back}: {decision_line(part.decision)}"


def decision_line(decision: assistant.Decision) -> str:
    if decision.verdict == assistant.Decision.VERDICT_TITAN:
        if decision.language:
            return f"titan ({decision.reason})"
        best = f"; closest: {decision.expert} {percent(decision.confidence)}" if decision.expert else ""
        return f"titan (no expert fits{best})"
    tier = word(assistant.Decision.Tier, decision.tier) if decision.tier else ""
    line = " ".join(part for part in (decision.expert, decision.intent, percent(decision.confidence)) if part)
    clarify = "; close to another" if decision.verdict == assistant.Decision.VERDICT_CLARIFY else ""
    return f"{line} ({tier}{clarify})" if tier or clarify else line


def decision_rows(decision: assistant.Decision) -> list[tuple[str, str]]:
    rows = [
        ("verdict", word(assistant.Decision.Verdict, decision.verdict)),
        ("closest" if decision.verdict == assistant.Decision.VERDICT_TITAN else "expert", decision.expert),
        ("intent", decision.intent),
        ("sure", "" if decision.language else percent(decision.confidence)),
        ("tier", word(assistant.Decision.Tier, decision.tier) if decision.tier else ""),
        ("reason", decision.reason),
        ("routed text", decision.instruction),
        ("view", str(decision.view)),
    ]
    return [(name, value) for name, value in rows if value]


Table = tuple[tuple[str, ...], list[list[str]], frozenset[str]]


def language_row(told: assistant.Explanation) -> list[tuple[str, str]]:
    language = told.language
    if not language.code:
        return []
    english = "" if language.code == "en" else f", English {percent(language.english)}"
    return [("language", f"{language.code} {percent(language.probability)}{english}")]


def explanation_tables(decision: assistant.Decision, told: assistant.Explanation) -> Iterator[Table]:
    """Titles, rows, and the columns of numbers: the tiers, what they compared, what it came to, and the others."""
    yield (
        ("tier", "asked", "answered", "sure", "in scope", "needed", "why"),
        [_tier_row(tier) for tier in told.tiers],
        frozenset({"sure", "in scope", "needed"}),
    )
    yield (
        ("nearest sentence", "expert", "intent", "cosine"),
        [[near.sentence, near.expert, near.intent, f"{near.similarity:.2f}"] for near in told.neighbours],
        frozenset({"cosine"}),
    )
    yield (
        ("signal of being in scope", "value", "log odds"),
        [[signal.name, f"{signal.value:.2f}", f"{signal.weight:+.2f}"] for signal in told.signals],
        frozenset({"value", "log odds"}),
    )
    yield ("threshold", "here", "at", "so"), _threshold_rows(decision, told), frozenset({"here", "at"})
    # A daemon that explains nothing still offers alternatives.
    others = [[item.expert, item.intent, percent(item.confidence), item.why] for item in told.others] or [
        [item.expert, item.intent, percent(item.confidence), ""] for item in decision.alternatives
    ]
    yield ("why not", "intent", "sure", "because"), others, frozenset({"sure"})


def _tier_row(tier: assistant.Explanation.Tier) -> list[str]:
    """The exact tier weighs nothing: it has seen the sentence or it has not."""
    exact = tier.tier == assistant.Decision.TIER_EXACT
    what = "in scope" if tier.tier == assistant.Decision.TIER_ENCODER else "sure"
    return [
        word(assistant.Decision.Tier, tier.tier),
        "yes" if tier.asked else "no",
        "yes" if tier.answered else "no",
        percent(tier.confidence) if tier.confidence else "",
        percent(tier.in_scope) if tier.in_scope and not exact else "",
        "seen before" if exact else f"{percent(tier.needed)} {what}",
        tier.note,
    ]


def _threshold_rows(decision: assistant.Decision, told: assistant.Explanation) -> list[list[str]]:
    if not told.tiers:
        return []
    inside = told.in_scope >= told.least_in_scope
    close = told.rival >= told.clarify_from
    language = decision.language != ""
    return [
        [
            "an expert can answer",
            percent(told.in_scope),
            percent(told.least_in_scope),
            "not asked: the language" if language else "an expert" if inside else "the titan",
        ],
        [
            "share of the second expert",
            percent(told.rival),
            percent(told.clarify_from),
            "not asked" if language or not inside else "ask back" if close else "no question",
        ],
    ]


def bar(share: float, width: int, unicode: bool) -> str:
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    full, empty = ("█", "░") if unicode else ("#", "-")
    return (full * round(share * width)).ljust(width, empty)


def label_lines(label: assistant.Label, unicode: bool) -> Iterator[str]:
    """The label first, then the four likeliest others."""
    others = sorted(label.probabilities.items(), key=lambda item: (-item[1], item[0]))
    shown = [(label.label, label.probability), *[item for item in others if item[0] != label.label][:4]]
    width = max(len(name) for name, _ in shown)
    for name, share in shown:
        yield f"{name.ljust(width)}  {bar(share, 24, unicode)}  {percent(share)}"


def forecast_rows(forecast: assistant.Forecast) -> tuple[list[str], list[list[str]]]:
    """Titles and one row per step ahead: its time or number, and its quantiles."""
    start = moment(forecast.start) if forecast.HasField("start") and forecast.HasField("step") else None
    step = forecast.step.ToTimedelta()
    columns = [list(quantile.values) for quantile in forecast.quantiles]
    rows = [
        [f"+{index + 1}" if start is None else stamp(start, step * index), *(f"{value:.6g}" for value in values)]
        for index, values in enumerate(zip(*columns, strict=False))
    ]
    return ["step" if start is None else "time", *(f"{level:g}" for level in forecast.levels[: len(columns)])], rows


# --- Events -------------------------------------------------------------------------------------------------------


def event_line(event: assistant.EventsResponse) -> str:
    kind = event.WhichOneof("event")
    when = clock(event.time)
    if kind == "fired":
        fired = event.fired
        name = f" {fired.name}" if fired.name else ""
        late = f" ({span(fired.late)} late)" if fired.late.seconds > 5 else ""
        return f"{when}  {fired.kind}{name} fired{late}" + (f": {fired.text}" if fired.text else "")
    if kind == "expert_changed":
        change = event.expert_changed
        why = change.reason.removeprefix(f"{change.expert} {change.version}: ")  # the line begins with it already
        reason = f": {why}" if why else ""
        return f"{when}  {change.expert} {change.version} {change.state.lower()}{reason}"
    return f"{when}  listening" if kind == "subscribed" else f"{when}  {kind or 'something this version does not know'}"
