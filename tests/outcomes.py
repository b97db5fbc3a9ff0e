"""Reads out of an outcome what tests look at, and fails where it is of another kind."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from expertd.experts.errors import QueryError
from expertd.experts.values import Abstention, Action, Answer, Outcome, Structured


def done(outcome: Outcome) -> tuple[str, dict[str, Any], str]:
    """The action's name, its slots, and the text."""
    assert isinstance(outcome, Answer), outcome
    assert isinstance(outcome.result, Action), outcome
    return outcome.result.name, dict(outcome.result.slots), outcome.text


def told_data(outcome: Outcome) -> dict[str, Any]:
    """The data, and the text as `text`."""
    assert isinstance(outcome, Answer), outcome
    assert isinstance(outcome.result, Structured), outcome
    return {**outcome.result.data, "text": outcome.text}


def abstention_code(outcome: Outcome) -> str:
    assert isinstance(outcome, Abstention), outcome
    return outcome.code


def asked_back(outcome: Outcome) -> str:
    """What is asked."""
    assert isinstance(outcome, Abstention), outcome
    assert outcome.code == "needs_input", outcome
    return outcome.reason


async def outcome_or_refusal(answering: Awaitable[Outcome]) -> Outcome | QueryError:
    try:
        outcome = await answering
    except QueryError as error:
        return error
    assert isinstance(outcome, (Abstention, Answer)), outcome
    return outcome
