"""Trains the toxicity expert: `python -m expertd.distill.toxicity`. By the recipe of `expertd.distill.classifier`.

Tweets that people called hateful or offensive are toxic. They are loud and few of their sisters are harmless, so that
alone they would teach that everything is toxic: requests to assistants, friendly remarks and sentences out of a grammar
of our own (insults without slurs; identity terms, and harmless killing of processes) stand beside them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expertd.experts.kinds.linear import Grams

from . import datasets, goemotions, written
from .classifier import command
from .phrases import Part
from .recipe import Recipe
from .rows import Row, Splits, part_of
from .sentiment import POSITIVE

# How many sentences of each label the grammar makes; how many in a hundred remarks and requests are read.
SENTENCES, REMARKS, REQUESTS = 2_500, 0.15, 0.25
# Every so many-th template of the grammar is held out.
HELD_OUT = 5
# The part of `toxicity_test.toml` that is toxic.
INSULTS = "insults and threats"

RECIPE = Recipe(
    name="toxicity",
    summary="Tells whether a text is toxic: insulting, hateful or threatening.",
    labels=("fine", "toxic"),
    phrases={
        "fine": "Nothing toxic in this ({percent} sure).",
        "toxic": "This is toxic: insulting, hateful or threatening ({percent} sure).",
    },
    needs_input="Which text? Give it after a colon, or as a file.",
    licence="MIT AND Apache-2.0 AND CC-BY-3.0",
    grams=Grams(shortest=1, longest=5, bits=17, lower=True),
    strengths=(10.0,),
    wanted_accuracy=0.98,
    most_abstained=0.05,
    does="""
Tells whether a text insults, threatens or shows hate, so that it may be hidden, held back or looked at by a person.
""",
    data="""
- Hate Speech and Offensive Language (Davidson et al., 2017), MIT: tweets that people called hateful or offensive are
  toxic, the others fine; cut by hash, 80 / 10 / 10 %.
- GoEmotions (Demszky et al., 2020), Apache 2.0: one in seven of its friendly and neutral remarks, taken for fine.
- CLINC150 (Larson et al., 2019), CC BY 3.0: a quarter of its requests to an assistant, taken for fine.
- Sentences out of a grammar of our own, `distill/grammars/toxicity.toml`: insults and threats without slurs; identity
  terms in harmless sentences, and what only sounds violent ("kill the process"). Every fifth template was held out and
  is validation.
- 70 sentences of ours that were written for measuring alone, `distill/toxicity_test.toml`; they and the other tests
  were read twice, before and after the grammar was given more words.

No text of the three sets is in this bundle.
""",
    limits="""
- English. It does not see who says it to whom: friends' banter, quotations and reclaimed words may be called toxic,
  polite contempt and insinuation are mostly missed.
- The tweets were chosen by a list of rude words, and people who labelled them called African American English
  offensive more often than it is (Sap et al., 2019). What that leaves here is measured above on harmless sentences of
  ours, in that English and with identity terms: where the accuracy is below 1, harmless ones were called toxic. The
  samples are small. A person should decide before anybody is banned.
- The threshold leaves out what is in doubt; choose a higher probability where a wrong accusation is worse.
""",
)


def read(data: Path) -> Splits:
    """Tweets, remarks, requests and written sentences; tests of each by itself."""
    parts: dict[str, dict[str, list[Row]]] = {"train": {}, "validation": {}, "test": {}}
    for source, part, row in (*_tweets(data), *_remarks(data), *_requests(data), *_written()):
        parts[part].setdefault(source, []).append(row)
    joined = {part: [row for rows in parts[part].values() for row in rows] for part in ("train", "validation")}
    own = tomllib.loads(Path(__file__).with_name("toxicity_test.toml").read_text("utf-8"))
    ours = {name: [Row(text, "toxic" if name == INSULTS else "fine") for text in texts] for name, texts in own.items()}
    return Splits(joined["train"], joined["validation"], parts["test"] | ours)


Placed = tuple[str, str, Row]


def _tweets(data: Path) -> Iterator[Placed]:
    for row in datasets.rows(data / "hatespeech_davidson" / "tweets.jsonl.gz"):
        label = "fine" if row["label"] == "neither" else "toxic"
        part = part_of(row["text"], train=0.8, validation=0.1, test=0.1)
        yield "tweets", part, Row(row["text"], label)


def _remarks(data: Path) -> Iterator[Placed]:
    """Friendly and neutral remarks: few of them are toxic, and nobody said which."""

    def friendly(row: dict[str, Any]) -> str | None:
        return "fine" if set(row["labels"]) <= POSITIVE | {"neutral"} else None

    splits = goemotions.splits(data, friendly)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.tests[goemotions.TEST]}
    for part, rows in parts.items():
        for row in rows:
            if part_of(row.text[::-1], read=REMARKS, left=1 - REMARKS) == "read":
                yield "friendly remarks", part, row


def _requests(data: Path) -> Iterator[Placed]:
    named = {"train": "train", "val": "validation", "test": "test"}
    for row in datasets.rows(data / "clinc150" / "data_full.jsonl.gz"):
        if row["split"] in named and part_of(row["text"][::-1], read=REQUESTS, left=1 - REQUESTS) == "read":
            yield "requests", named[row["split"]], Row(row["text"], "fine")


def _written() -> Iterator[Placed]:
    parts: tuple[Part, ...] = ("train", "validation")
    for label in ("toxic", "fine"):
        for part in parts:
            for row in written.in_turn("toxicity", label, SENTENCES, part, HELD_OUT):
                yield "written", part, row


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
