"""What tests of the experts on series share: series that are refused, and the shipped golden examples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from expertd.experts import golden
from expertd.experts.bundle import open_bundle
from expertd.experts.kinds.forecast import load
from tests.listeners import ignore
from tests.outcomes import outcome_or_refusal

# For a test of `values` and `reason`.
each_refused_series = pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "SERIES_EMPTY"),
        ([1.0, 2.0], "SERIES_TOO_SHORT"),
        ([math.nan] * 9, "SERIES_ALL_GAPS"),
        ([1.0, math.inf, 2.0, 3.0], "SERIES_NOT_FINITE"),
        ([1.0] * 100_001, "SERIES_TOO_LONG"),
    ],
)


async def check_golden_examples(name: str) -> None:
    """Of the shipped bundle of this name."""
    bundle = open_bundle(Path(__file__).parent.parent / "experts" / "bundles" / name)
    servable = await load(bundle, None)  # type: ignore[arg-type]
    for row in bundle.golden():
        outcome = await outcome_or_refusal(servable.answer(golden.to_query(row), ignore))
        difference = golden.check(outcome, row.expect)
        assert difference is None, difference
