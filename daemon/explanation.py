"""The router's account of one decision as the contract's message, with a word on every expert that was not chosen."""

from __future__ import annotations

from expertd.router.decision import Alternative, Explanation
from expertd.v1 import assistant_pb2 as pb

TIERS = {"exact": pb.Decision.TIER_EXACT, "static": pb.Decision.TIER_STATIC, "encoder": pb.Decision.TIER_ENCODER}
_MOST_OTHERS = 5


def explanation(text: str, made: Explanation) -> pb.Explanation:
    """text: what was routed."""
    message = pb.Explanation(
        text=text,
        in_scope=made.in_scope,
        least_in_scope=made.least_in_scope,
        rival=made.rival,
        clarify_from=made.clarify_from,
        language=pb.Explanation.Language(
            code=made.language, probability=made.language_probability, english=made.english
        ),
    )
    for tier in made.tiers:
        told = message.tiers.add(
            tier=TIERS[tier.tier],
            asked=tier.asked,
            answered=tier.answered,
            confidence=tier.confidence,
            needed=tier.needed,
            in_scope=tier.in_scope,
            note=tier.note,
        )
        for item in tier.candidates:
            told.candidates.add(expert=item.expert, intent=item.intent, confidence=item.confidence)
    for near in made.neighbours:
        message.neighbours.add(
            expert=near.expert, intent=near.intent, sentence=near.sentence, similarity=near.similarity
        )
    for signal in made.signals:
        message.signals.add(name=signal.name, value=signal.value, weight=signal.weight)
    for item, why in others(made):
        message.others.add(expert=item.expert, intent=item.intent, confidence=item.confidence, why=why)
    return message


def others(made: Explanation) -> list[tuple[Alternative, str]]:
    """The likeliest intent of each of the five likeliest experts that were not chosen, and why.

    Where the titan was, the closest expert is among them.
    """
    chosen = "" if made.decision.verdict == "titan" else made.decision.expert
    # The tier that decided knows best; one that recalls the decision has weighed nobody, and the last one always has.
    weighed = [tier for tier in made.tiers if tier.candidates]
    deciding = next((tier for tier in weighed if tier.answered and tier.asked), weighed[-1] if weighed else None)
    if deciding is None:
        return []
    best: dict[str, Alternative] = {}
    for item in sorted(deciding.candidates, key=lambda item: -item.confidence):
        if item.expert != chosen:
            best.setdefault(item.expert, item)
    return [(item, _why_not(item, made, deciding.in_scope)) for item in list(best.values())[:_MOST_OTHERS]]


def _why_not(item: Alternative, made: Explanation, in_scope: float) -> str:
    decision = made.decision
    if decision.language:
        return decision.reason
    if decision.verdict == "titan":
        return f"no expert fits: {_percent(made.in_scope)} in scope, {_percent(made.least_in_scope)} needed"
    if decision.verdict == "clarify" and item.expert in {other.expert for other in decision.alternatives}:
        return f"close to {decision.expert}: the caller is asked back"
    against = f"{_percent(item.confidence)} against {_percent(decision.confidence)}"
    if item.confidence < made.clarify_from * in_scope:
        return f"{against}; asking back needs {_percent(made.clarify_from)} among experts"
    return against


def _percent(share: float) -> str:
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"
