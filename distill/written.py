"""Rows of data that we wrote: sentences from our grammars, and the hand-written test sets that lie in the bundles.

And the everyday texts of public sets beside them, which are no attack, no fraud and no emergency. Knows the sets by
name, and no expert.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from expertd.experts.bundle import HELD_OUT

from . import datasets, phrases
from .classifier import BUNDLES
from .phrases import Part
from .rows import Row, digest, part_of
from .spam import mail_text, split_of

T = TypeVar("T")

# How a public set is cut that brings no parts itself.
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def from_grammar(name: str, starts: Sequence[str], count: int, part: Part) -> list[Row]:
    """Up to `count` sentences of each start rule, labelled with its name, as they may be typed.

    Those of one template are one group.
    """
    grammar = phrases.read(name)
    rows = []
    for start in starts:
        chance = random.Random(f"{name} {start} {part}")  # noqa: S311  no secret
        for text, template in grammar.phrases(start, count, part, seed=1):
            rows.append(Row(phrases.typed(text, chance), start, group=template))
    return rows


def in_turn(name: str, label: str, count: int, part: Part = "train", one_in: int = 0) -> list[Row]:
    """Up to `count` sentences of one rule, labelled with its name, each of its templates as often as any other.

    one_in: every so many-th template is held out for validation, which has so many times fewer rows.
    """
    if part == "validation":
        count //= max(one_in, 1)
    return [Row(text, label) for text in phrases.read(name).in_turn(label, count, part, one_in)]


def held_out(name: str) -> list[Row]:
    """The test set of a bundle that was written by hand: payload and expected label. Raises: OSError, ValueError."""
    path = BUNDLES / name / HELD_OUT
    queries = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return [Row(row["query"]["payload"], row["expect"]["label"]) for row in queries]


def chosen(items: Sequence[T], count: int, seed: int = 1) -> list[T]:
    """At most `count` of them, the same ones every time, in their order."""
    if len(items) <= count:
        return list(items)
    places = random.Random(seed).sample(range(len(items)), count)  # noqa: S311  no secret
    return [items[place] for place in sorted(places)]


# --- Everyday texts --------------------------------------------------------------------------------------------------

# Each: part → texts. Parts are "train", "validation" and, where the set is cut so, "test".
Parts = dict[str, list[str]]


def requests(data: Path) -> Parts:
    """What people ask an assistant (CLINC150), all intents."""
    parts: Parts = {"train": [], "validation": [], "test": []}
    names = {"train": "train", "val": "validation", "test": "test"}
    for row in datasets.rows(data / "clinc150" / "data_full.jsonl.gz"):
        if row["split"] in names:
            parts[names[row["split"]]].append(row["text"])
    return parts


def messages(data: Path) -> Parts:
    """Private messages (SMS Spam Collection, ham)."""
    names = {"train": "train", "validation": "val", "test": "test"}
    paths = {part: data / "sms_spam" / f"dedup_{name}.jsonl" for part, name in names.items()}
    return {
        part: [row["text"] for row in datasets.rows(path) if row["label"] not in (1, "1", "spam")]
        for part, path in paths.items()
    }


def mails(data: Path, wanted: str = "ham") -> Parts:
    """Mails (SpamAssassin), threads undivided, cut as for the spam expert."""
    parts: Parts = {"train": [], "validation": [], "test": []}
    names = {"train": "train", "val": "validation", "test": "test"}
    for row in datasets.rows(data / "spamassassin" / "spamassassin.jsonl.gz"):
        if (row["label"] == "spam") == (wanted == "spam"):
            text = mail_text(row["subject"], row["body"])
            if text.strip():
                parts[names[split_of(row["subject"])]].append(text)
    return parts


def comments(data: Path) -> Parts:
    """Comments from a forum (GoEmotions)."""
    parts: Parts = {"train": [], "validation": []}
    for row in datasets.rows(data / "goemotions" / "train.jsonl.gz"):
        parts[part_of(row["text"], train=0.85, validation=0.15)].append(row["text"])
    return {**parts, "test": [row["text"] for row in datasets.rows(data / "goemotions" / "dev.jsonl")]}


def tasks(data: Path) -> Parts:
    """Tasks for an assistant that people thought up (Self-Instruct), with the text that they are about."""
    parts: Parts = {"train": [], "validation": [], "test": []}
    for row in datasets.rows(data / "self_instruct" / "seed_tasks.jsonl"):
        about = "".join(f"\n{each.get('input', '')}" for each in row.get("instances", [])[:1])
        text = f"{row['instruction']}{about}".strip()
        place = digest(row["instruction"])[0] / 256
        parts["train" if place < 0.5 else "validation" if place < 0.65 else "test"].append(text)
    return parts


def problems(data: Path) -> Parts:
    """Sums told as little stories (GSM8K); all ask for a number."""
    return _cut(data / "gsm8k" / "train.jsonl.gz")


def yes_no(data: Path) -> Parts:
    """Questions to be answered with yes or no (StrategyQA)."""
    return _cut(data / "strategyqa" / "train.jsonl")


def _cut(path: Path) -> Parts:
    parts: Parts = {"train": [], "validation": [], "test": []}
    for row in datasets.rows(path):
        parts[part_of(row["question"], **SHARES)].append(row["question"])
    return parts


def labelled(texts: Sequence[str], label: str, count: int, weight: float = 1.0) -> Iterator[Row]:
    """At most `count` of the texts, as rows."""
    return (Row(text, label, weight, text) for text in chosen(texts, count))
