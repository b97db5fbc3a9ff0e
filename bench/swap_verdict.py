"""What a run of swaps shows: promises kept, latencies of bystanders and of the swapped, what became of bad candidates.

Works on what was seen: the calls, the daemon's events, the swaps. Knows no daemon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .candidates import Expert, Fault, said_by
from .traffic import Heard

# What happens within so many seconds of an event may have happened on either side of it.
BLUR_S = 0.005
# An answer that takes this much longer than one ought to is a bad one.
TOO_LONG_S = 0.25
# After a swap, calls of its expert count as near it for so long.
NEAR_S = 0.25

# A version may be in memory twice, when it serves again before its earlier life has ended; RETIRED tells of that end.
REACHABLE, LEAVING = {"SERVING", "CANARY"}, {"DRAINING", "FAILED"}
OUT = LEAVING | {"RETIRED"}
FATES = ("refused by the gate", "undone in shadow", "undone in canary", "undone after promotion", "stayed")
Version = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Change:
    moment: float
    expert: str
    version: int
    state: str
    reason: str


@dataclass(slots=True)
class Swap:
    """One install, from the call to the end of its trial, or of a bad one to its end. error: why it was refused or
    undone; stayed: it was bad or its trial did not end, and the bench took it back."""

    expert: Expert
    fault: Fault | None
    version: int = 0
    began: float = 0.0
    ended: float = 0.0
    error: str = ""
    stayed: bool = False

    def overlaps(self, start: float, end: float) -> bool:
        return self.began <= end and start <= self.ended


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the daemon, MB. pss counts a part of what it shares with other processes, and so depends on them; own is what
    it shares with none. workers: the PSS of its children."""

    pss: float
    own: float
    workers: float


@dataclass(slots=True)
class Run:
    """All that was seen."""

    experts: Sequence[Expert]
    heard: list[Heard] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    serving: dict[str, int] = field(default_factory=dict)
    begin: float = 0.0
    burst_s: float = 0.0
    memory: list[Memory] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# --- Judging ---------------------------------------------------------------------------------------------------------


def judge(seen: Run) -> tuple[dict[str, Any], list[str]]:
    spans = reachable(seen.changes, seen.serving, seen.begin)
    bad = {(swap.expert.name, swap.version): swap for swap in seen.swaps if swap.fault is not None}
    figures: dict[str, Any] = {
        "experts": len(seen.experts),
        "swaps": len(seen.swaps),
        "calls": len(seen.heard),
        **_kept_promises(seen, spans, bad),
        **_latencies(seen),
        **_costs(seen),
        **_bad_candidates(seen, spans, bad),
    }
    return figures, [*seen.notes, *_notes(seen, bad)]


def reachable(changes: Iterable[Change], serving: dict[str, int], begin: float) -> dict[Version, list[list[float]]]:
    """Version → (from, to) of every time in which it may answer. serving: what serves at `begin`."""
    return _spans(changes, REACHABLE, LEAVING, {(name, number): [[begin, np.inf]] for name, number in serving.items()})


def in_reserve(changes: Iterable[Change]) -> dict[Version, list[list[float]]]:
    """Version → (from, to) of every time in which it has left service and is still in memory."""
    return _spans(changes, {"DRAINING"}, {"RETIRED", "SERVING"}, {})


def _spans(
    changes: Iterable[Change], opening: Set[str], closing: Set[str], spans: dict[Version, list[list[float]]]
) -> dict[Version, list[list[float]]]:
    for change in changes:
        mine = spans.setdefault((change.expert, change.version), [])
        is_open = bool(mine) and mine[-1][1] == np.inf
        if change.state in opening and not is_open:
            mine.append([change.moment, np.inf])
        elif change.state in closing and is_open:
            mine[-1][1] = change.moment
    return spans


def _within(heard: Heard, spans: dict[Version, list[list[float]]]) -> bool:
    """Whether the answer's version was in one of its spans at any moment of the call."""
    mine = spans.get((heard.expert, heard.version), [])
    return any(start - BLUR_S <= heard.ended and heard.due <= end + BLUR_S for start, end in mine)


def _kept_promises(seen: Run, spans: dict[Version, list[list[float]]], bad: dict[Version, Swap]) -> dict[str, Any]:
    failed = [heard for heard in seen.heard if heard.failure]
    by_bad = [heard for heard in failed if _on_trial(heard, spans, bad)]
    answered = [heard for heard in seen.heard if heard.version]
    astray = [heard for heard in answered if not _within(heard, spans)]
    reserve = in_reserve(seen.changes)
    stood_in = [h for h in astray if (h.expert, h.version) not in bad and _within(h, reserve)]
    mixed = [h for h in answered if " v" in h.said[:20] and not h.said.startswith(said_by(h.expert, h.version))]
    wrong = [heard for heard in answered if heard.wrong and (heard.expert, heard.version) not in bad]
    seen.notes += [f"failed: {count} × {told[:160]}" for told, count in Counter(_told(failed, by_bad)).most_common(8)]
    return {
        "failed": len(failed) - len(by_bad),
        "failed_by_bad_candidates": len(by_bad),
        "unpromoted_answers": len(astray) - len(stood_in),
        "answers_of_a_predecessor_in_reserve": len(stood_in),
        "mixed_answers": len(mixed),
        "wrong_answers_of_sound_versions": len(wrong),
    }


def _told(failed: Sequence[Heard], by_bad: Sequence[Heard]) -> Iterator[str]:
    """Of each failure who asked whom, and what was said; numbers left out, so that like ones count together."""
    excused = set(map(id, by_bad))
    for heard in failed:
        who = "a bad candidate's" if id(heard) in excused else "nobody's fault but ours"
        yield f"{who}: {''.join(letter for letter in heard.failure if not letter.isdigit())}"


def _on_trial(heard: Heard, spans: dict[Version, list[list[float]]], bad: dict[Version, Swap]) -> bool:
    """Whether a bad version of that expert could have been asked."""
    return any(
        start <= heard.ended and heard.due <= end + BLUR_S
        for version in bad
        if version[0] == heard.asked
        for start, end in spans.get(version, [])
    )


def _latencies(seen: Run) -> dict[str, Any]:
    text = {expert.name for expert in seen.experts if expert.kind == "gguf"}
    swaps: dict[str, list[Swap]] = {}
    for swap in seen.swaps:
        if swap.began:
            swaps.setdefault(swap.expert.name, []).append(swap)
    latest = np.array([[swap.began, swap.ended] for swap in seen.swaps if swap.began])
    others: dict[str, list[Heard]] = {"quiet": [], "swaps": []}
    for block in seen.blocks:
        for heard in seen.heard:
            if heard.failure or heard.asked in text or not block.start <= heard.due <= block.end:
                continue
            if block.kind == "quiet":
                busy = (
                    bool(((latest[:, 0] <= heard.ended) & (heard.due <= latest[:, 1])).any()) if len(latest) else False
                )
            else:
                busy = any(swap.overlaps(heard.due - NEAR_S, heard.ended) for swap in swaps.get(heard.asked, ()))
            if not busy:
                others[block.kind].append(heard)
    figures: dict[str, Any] = {}
    for name, verbs in (("", ("invoke", "ask", "stream")), ("_streams", ("stream",))):
        taken = {kind: [h.seconds for h in heard if h.verb in verbs] for kind, heard in others.items()}
        marks = {kind: np.percentile(np.array(times) * 1e3, [50, 99, 99.9]) for kind, times in taken.items() if times}
        if len(marks) == 2:
            for place, mark in enumerate(("p50", "p99", "p999")):
                figures[f"{mark}_ms_quiet{name}"] = round(float(marks["quiet"][place]), 2)
                figures[f"{mark}_ratio_others{name}"] = round(float(marks["swaps"][place] / marks["quiet"][place]), 3)
    return figures | _stalls(seen, others["quiet"], swaps)


def _stalls(seen: Run, quiet: Sequence[Heard], swaps: dict[str, list[Swap]]) -> dict[str, Any]:
    """How much longer than the usual answer of that expert the slowest one near each sound swap took; and in spans of
    the same length of quiet blocks, which is what the machine does by itself."""
    by_expert: dict[str, list[Heard]] = {}
    for heard in seen.heard:
        if not heard.failure:
            by_expert.setdefault(heard.asked, []).append(heard)
    usual = {name: float(np.median([h.seconds for h in quiet if h.asked == name] or [0.0])) for name in by_expert}
    found: list[float] = []
    for name, mine in swaps.items():
        calls = by_expert.get(name, [])
        due, seconds = np.array([h.due for h in calls]), np.array([h.seconds for h in calls])
        for swap in mine:
            if swap.fault is None and not swap.error and usual.get(name):
                near = seconds[(due >= swap.began - 0.05) & (due <= swap.ended + NEAR_S)]
                if len(near):
                    found.append((float(near.max()) - usual[name]) * 1e3)
    if not found:
        return {}
    length_s = float(np.median([s.ended - s.began for mine in swaps.values() for s in mine if not s.error])) + NEAR_S
    spans: dict[tuple[str, int], float] = {}
    for heard in quiet:
        place = (heard.asked, int(heard.due / length_s))
        spans[place] = max(spans.get(place, 0.0), heard.seconds - usual[heard.asked])
    still = np.array(list(spans.values()) or [0.0]) * 1e3
    figures = {"stall_ms_same": max(found), "stall_ms_same_p99": np.percentile(found, 99)}
    figures |= {"stall_ms_same_p50": np.median(found), "stall_ms_quiet": still.max()}
    figures |= {"stall_ms_quiet_p99": np.percentile(still, 99), "stall_ms_quiet_p50": np.median(still)}
    return {name: round(float(value), 1) for name, value in figures.items()}


def _costs(seen: Run) -> dict[str, Any]:
    first, last = seen.memory[0], seen.memory[-1]
    figures: dict[str, Any] = {
        "rss_growth": round(last.pss / first.pss - 1, 4),
        "own_growth": round(last.own / first.own - 1, 4),
        "pss_mb_before": round(first.pss, 1),
        "pss_mb_after": round(last.pss, 1),
        "workers_pss_mb_before": round(first.workers, 1),
        "workers_pss_mb_after": round(last.workers, 1),
        "swaps_per_s": round(1 / seen.burst_s, 1),
    }
    tried = {(change.expert, change.version) for change in seen.changes if change.state in ("SHADOW", "CANARY")}
    sound = [swap for swap in seen.swaps if swap.fault is None and not swap.error and not swap.stayed]
    for kind in ("linear", "onnx", "worker", "gguf"):
        mine = [s for s in sound if s.expert.kind == kind and (s.expert.name, s.version) not in tried]
        if mine:
            p50, p95 = np.percentile([(swap.ended - swap.began) * 1e3 for swap in mine], [50, 95])
            figures |= {f"swap_p50_ms_{kind}": round(float(p50), 1), f"swap_p95_ms_{kind}": round(float(p95), 1)}
    if on_trial := [swap.ended - swap.began for swap in sound if (swap.expert.name, swap.version) in tried]:
        figures["swap_with_trial_p50_s"] = round(float(np.median(on_trial)), 2)
    return figures


def _bad_candidates(seen: Run, spans: dict[Version, list[list[float]]], bad: dict[Version, Swap]) -> dict[str, Any]:
    reached = {version for version in bad if spans.get(version)}
    served, took = 0, []
    for version, swap in bad.items():
        answers = [heard for heard in seen.heard if (heard.expert, heard.version) == version]
        if swap.stayed:
            served += len(answers)
        elif version in reached:
            end = spans[version][-1][1]
            served += sum(heard.due > end + BLUR_S for heard in answers)
            if (first := _first_harm(seen.heard, spans[version], version)) is not None:
                took.append(max(end - first, 0.0))
    fates = Counter(fate(swap, seen.changes) for swap in bad.values())
    return {
        "bad_candidates": len(bad),
        **{f"bad_{told.replace(' ', '_')}": fates[told] for told in FATES},
        "bad_served": served,
        "rollback_p95_s": round(float(np.percentile(took, 95)), 3) if took else None,
        "rollback_p50_s": round(float(np.median(took)), 3) if took else None,
        "good_refused": sum(bool(swap.error or swap.stayed) for swap in seen.swaps if swap.fault is None),
    }


def fate(swap: Swap, changes: Iterable[Change]) -> str:
    """What became of a candidate that did not come to stay, or did: one of FATES."""
    if swap.stayed:
        return "stayed"
    states = {change.state for change in changes if (change.expert, change.version) == (swap.expert.name, swap.version)}
    reached = {"SERVING": "undone after promotion", "CANARY": "undone in canary", "SHADOW": "undone in shadow"}
    return next((told for state, told in reached.items() if state in states), "refused by the gate")


def _first_harm(heard: Sequence[Heard], spans: Sequence[Sequence[float]], version: Version) -> float | None:
    """When the first caller had reason to complain: a wrong or late answer of that version, or a call that failed."""
    moments = []
    for call in heard:
        if call.asked != version[0] or not any(start <= call.ended and call.due <= end for start, end in spans):
            continue
        if call.seconds > TOO_LONG_S and (call.failure or call.version == version[1]):
            moments.append(max(call.due, spans[0][0]) + TOO_LONG_S)
        elif call.failure or (call.version == version[1] and call.wrong):
            moments.append(call.ended)
    return min(moments, default=None)


def _notes(seen: Run, bad: dict[Version, Swap]) -> Iterator[str]:
    outcomes: dict[str, Counter[str]] = {}
    for swap in bad.values():
        outcomes.setdefault(f"{swap.fault} ({swap.expert.kind})", Counter())[fate(swap, seen.changes)] += 1
    yield f"the daemon's PSS before, and after each block, MB: {', '.join(f'{each.pss:.0f}' for each in seen.memory)}"
    for told, counted in sorted(outcomes.items()):
        yield f"bad candidate, {told}: " + ", ".join(f"{count} {outcome}" for outcome, count in counted.items())
    sound = [swap for swap in seen.swaps if swap.fault is None and (swap.error or swap.stayed)]
    reasons = {(change.expert, change.version): change.reason for change in seen.changes if change.reason}
    refused = Counter(
        f"{s.expert.kind}: {reasons.get((s.expert.name, s.version), s.error or 'its trial did not end')[:200]}"
        for s in sound
    )
    for told, count in refused.most_common(5):
        yield f"a sound version was refused: {count} × {told}"
    yield (
        "failed: calls that got an error, but those of an expert while a bad candidate of it was in canary or serving, "
        "which are counted as failed_by_bad_candidates: of a failed call nobody says which version it was"
    )
    yield (
        "unpromoted: the answer's version was neither in canary nor serving, by the daemon's own events, at any moment "
        f"of the call (± {BLUR_S * 1e3:g} ms); a predecessor in reserve has served, and stands in for a successor on "
        "probation that fails; mixed: the answer's words are another version's"
    )
    yield (
        "others: experts that are not being swapped, nor were within the last quarter of a second, without the text "
        "models, whose answers take fifty times longer; quiet: calls during which no swap was under way at all"
    )
    yield (
        "stall_ms_same: slowest answer of the swapped expert from 50 ms before its swap to 250 ms after it, less its "
        "usual one; stall_ms_quiet: the same of as long spans without any swap: what the machine does by itself"
    )
    yield (
        "rollback: from the first wrong, late or failed call of a bad version until the daemon says that it is out; a "
        f"call is late {TOO_LONG_S:g} s after it was due"
    )
    yield (
        "swap: from the call of Install until the version serves, of experts without a trial; swaps_per_s: installs "
        "of a small expert, back to back and without load; rss_growth: of the daemon's PSS, "
        "which other processes that share its libraries change; own_growth: of the memory that it shares with none"
    )
