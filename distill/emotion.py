"""Trains the emotion expert: `python -m expertd.distill.emotion`. By the recipe of `expertd.distill.classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expertd.experts.kinds.linear import Grams

from . import goemotions
from .classifier import command
from .recipe import Recipe
from .rows import Splits

RECIPE = Recipe(
    name="emotion",
    summary="Tells which emotion a text shows: joy, sadness, anger, fear, disgust, surprise or none.",
    labels=("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise"),
    phrases={
        "neutral": "This shows no strong emotion ({percent} sure).",
        "joy": "This sounds joyful or warm ({percent} sure).",
        "sadness": "This sounds sad ({percent} sure).",
        "anger": "This sounds angry ({percent} sure).",
        "fear": "This sounds afraid ({percent} sure).",
        "disgust": "This sounds disgusted ({percent} sure).",
        "surprise": "This sounds surprised or puzzled ({percent} sure).",
    },
    needs_input="Which text? Give it after a colon, or as a file.",
    licence="Apache-2.0",
    grams=Grams(shortest=1, longest=5, bits=16, lower=True),
    strengths=(1.0, 3.0),
    wanted_accuracy=0.75,
    most_abstained=0.1,
    does="""
Tells which of Ekman's six basic emotions a text shows, or that it shows none. Joy stands for all warm ones (thanks,
love, amusement, pride), surprise also for doubt and curiosity.
""",
    data="""
GoEmotions (Demszky et al., 2020), Apache 2.0: remarks from Reddit, of which those with one emotion in Ekman's grouping
are read. Nine tenths of the published training rows were fitted on, the other tenth is validation; the published
development rows are the test. No remark of it is in this bundle.
""",
    limits="""
- English, written by Reddit's users before 2019. Which emotion a line shows is in the eye of its reader, and readers
  differ: take the probabilities as they are, and a label with a low one as a hint.
- Fear and disgust are rare in the data (1 % each) and are often taken for anger or sadness.
- One text, one emotion: mixed feelings come out as the stronger one, with a low probability. Irony is read literally.
- Emoji alone are no text for it.
""",
)


def read(data: Path) -> Splits:
    """Remarks that show one emotion of Ekman's."""
    return goemotions.splits(data, _emotion)


def _emotion(row: dict[str, Any]) -> str | None:
    return str(row["ekman"][0]) if len(row["ekman"]) == 1 else None


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
