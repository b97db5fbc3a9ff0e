"""Trains the sentiment expert: `python -m expertd.distill.sentiment`. By the recipe of `expertd.distill.classifier`.

Remarks of GoEmotions, their emotions grouped by their authors into good and bad ones, teach how people feel about each
other; opinions out of a grammar of our own teach how they judge films, meals, services and things.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expertd.experts.kinds.linear import Grams

from . import goemotions, written
from .classifier import command
from .recipe import Recipe
from .rows import Splits

# The grouping that GoEmotions' authors published; the ambiguous emotions are left out: realisation, surprise,
# curiosity and confusion.
POSITIVE = frozenset(
    {"admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love", "optimism"}
    | {"pride", "relief"}
)
NEGATIVE = frozenset(
    {"anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment", "fear", "grief", "nervousness"}
    | {"remorse", "sadness"}
)
# How many opinions of each label the grammar makes, and what each counts beside a remark.
OPINIONS, OPINION_WEIGHT = 3_000, 0.5

RECIPE = Recipe(
    name="sentiment",
    summary="Tells whether a text is positive, negative or neutral.",
    labels=("neutral", "positive", "negative"),
    phrases={
        "neutral": "This sounds neutral ({percent} sure).",
        "positive": "This sounds positive ({percent} sure).",
        "negative": "This sounds negative ({percent} sure).",
    },
    needs_input="Which text? Give it after a colon, or as a file.",
    licence="Apache-2.0",
    grams=Grams(shortest=1, longest=5, bits=16, lower=True),
    strengths=(1.0, 3.0),
    wanted_accuracy=0.85,
    most_abstained=0.1,
    does="""
Tells whether a text (a review, a message, a remark) speaks well of something, badly of it, or neither.
""",
    data="""
- GoEmotions (Demszky et al., 2020), Apache 2.0: remarks from Reddit, grouped into positive, negative and neutral as its
  authors published it, ambiguous emotions left out. Nine tenths of the published training rows were fitted on, the
  other tenth is validation, the published development rows are the test.
- Sentences out of a grammar of our own, `distill/grammars/sentiment.toml`: opinions on films, meals, services and
  things.

No remark of GoEmotions is in this bundle.
""",
    limits="""
- English. Neutral means that no feeling shows; a text that praises and blames in equal parts may be called either.
- It knows remarks better than criticism: on the 872 development rows of SST-2 (film reviews, none neutral; measured
  with, never fitted on) it chooses right between positive and negative on 73 %, and on 51 % where it may say neutral.
- Irony and understatement are mostly read literally. A review that retells a sad story may be called negative.
- One text, one label: it does not tell what is liked about a thing and what is not.
""",
)


def read(data: Path) -> Splits:
    """Remarks and opinions; the grammar's sentences are fitted on, never measured with."""
    splits = goemotions.splits(data, _sentiment)
    opinions = [row for label in RECIPE.labels for row in written.in_turn("sentiment", label, OPINIONS)]
    weighed = [row._replace(weight=OPINION_WEIGHT) for row in opinions]
    return Splits([*splits.train, *weighed], splits.validation, splits.tests)


def _sentiment(row: dict[str, Any]) -> str | None:
    """Where all emotions of a remark are of one group."""
    emotions = set(row["labels"])
    if emotions <= POSITIVE:
        return "positive"
    if emotions <= NEGATIVE:
        return "negative"
    return "neutral" if emotions == {"neutral"} else None


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
