"""What the pii expert is fitted on: presidio-research's rows, its templates and ours filled with names, and what people
wrote with names put in.

Templates are split by a hash: none stands on two sides. The same sentences for the same seed.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from expertd.experts.tagging.sequence import tokens

from . import datasets
from .pii_fillers import Fillers, sections, words
from .span_measure import Marked

# presidio-research's names of types → ours.
PRESIDIO = {
    "AGE": "age", "CREDIT_CARD": "credit-card", "DATE_TIME": "date", "DOMAIN_NAME": "url", "EMAIL_ADDRESS": "email",
    "GPE": "place", "IBAN_CODE": "iban", "IP_ADDRESS": "ip", "NRP": "nationality", "ORGANIZATION": "organisation",
    "PERSON": "person", "PHONE_NUMBER": "phone", "STREET_ADDRESS": "address", "TITLE": "title",
    "US_DRIVER_LICENSE": "driver-licence", "US_SSN": "us-ssn", "ZIP_CODE": "postcode",
}  # fmt: skip
# … → the slot of pii_fillers.py that makes one.
_SLOTS = {
    "AGE": "age", "CREDIT_CARD": "card", "DATE_TIME": "date", "DOMAIN_NAME": "url", "EMAIL_ADDRESS": "email",
    "GPE": "place", "IBAN_CODE": "iban", "IP_ADDRESS": "ip", "NRP": "nationality", "ORGANIZATION": "org",
    "PERSON": "person", "PHONE_NUMBER": "phone", "STREET_ADDRESS": "address", "US_DRIVER_LICENSE": "licence",
    "US_SSN": "ssn", "ZIP_CODE": "postcode",
}  # fmt: skip

SEED = 7


@dataclass(frozen=True)
class Amounts:
    """What is made. refilled, own, without: sentences of each of presidio's templates, of ours, and of ours that name
    nobody; requests: of CLINC150 that name nobody; borrowed: sentences of each of the other sets; swapped: the share of
    ordinary words that become others, in half of all sentences."""

    refilled: int = 10
    own: int = 24
    without: int = 8
    requests: int = 2_000
    borrowed: int = 3_000
    swapped: float = 0.15


class Row(NamedTuple):
    marked: Marked
    template: str
    template_id: int


def read_rows(path: Path) -> list[Row]:
    """presidio-research's rows, types by our names."""
    return [
        Row(
            Marked(
                row["text"],
                tuple(sorted((span["start"], span["end"], PRESIDIO[span["type"]]) for span in row["spans"])),
            ),
            row["template"],
            row["template_id"],
        )
        for row in datasets.rows(path)
    ]


def split_of(template_id: int) -> str:
    """60 % train, 15 % validation, 25 % test, by template: a sentence with another name in it is the same sentence."""
    place = hashlib.sha256(f"template {template_id}".encode()).digest()[0] / 256
    return "train" if place < 0.6 else "validation" if place < 0.75 else "test"


def ordinary_requests(data: Path, most: int) -> list[Marked]:
    """Training requests of CLINC150 in which no word is one of our names, of a day or a month, or has a digit."""
    names = {
        part
        for section in ("given", "surname", "town", "country", "nationality", "firm", "ordinary")
        for name in words()[section]
        for part in re.findall(r"\w+", name.lower())
    } - {
        "the",
        "of",
        "and",
        "a",
        "in",
        "is",
        "yes",
        "no",
        "what",
        "when",
        "where",
        "why",
        "how",
        "who",
        "which",
        "please",
    }
    texts = [
        row["text"]
        for row in datasets.rows(data / "clinc150" / "data_full.jsonl.gz")
        if row["split"] in ("train", "oos_train") and names.isdisjoint(row["text"].split())
    ]
    texts = sorted({text for text in texts if not re.search(r"\d", text)})
    chance = random.Random(SEED)  # noqa: S311 (no secret)
    chance.shuffle(texts)
    return [Marked(_styled(text, chance), ()) for text in texts[:most]]


_BORROWED = {"given": "given", "firm": "org", "town": "place", "country": "place", "nationality": "nationality"}


def borrowed(data: Path, usual: Sequence[str], count: int) -> list[str]:
    """Templates out of what people wrote: GoEmotions, which has [NAME] and [RELIGION] where those stood, GSM8K and
    CLINC150, our own names of people, places and firms made slots. A sentence with any other word that may be a name is
    left out."""
    chance = random.Random(SEED)  # noqa: S311 (no secret)
    names, lexicon = words(), set(usual)
    # "March", "Reading" and the like are more often words than names.
    slots = {
        name: slot for section, slot in _BORROWED.items() for name in names[section] if name.lower() not in lexicon
    }
    place = _any_of(slot for slot in slots if slots[slot] == "place")
    everything = _any_of(slots)
    kept: dict[str, list[str]] = {"names": [], "others": [], "gsm8k": [], "clinc150": []}
    for row in datasets.rows(data / "goemotions" / "train.jsonl.gz"):
        text = re.sub(r"\[NAME\](?: \[NAME\])+", "{person}", row["text"]).replace("[RELIGION]", "{nationality}")
        text = re.sub(r"\[NAME\]", lambda _: chance.choice(("{given}", "{given}", "{surname}", "{person}")), text)
        text = everything.sub(lambda match: f"{{{slots[match[0]]}}}", text)
        if "[" not in text and not re.search(r"\d", text) and _is_plain(text, lexicon):
            kept["others" if re.search(r"\{(?:place|org|nationality)\}", text) else "names"].append(text)
    for row in datasets.rows(data / "gsm8k" / "train.jsonl.gz"):
        for sentence in re.split(r"(?<=[.?!])\s+", row["question"]):
            text = everything.sub(lambda match: f"{{{slots[match[0]]}}}", sentence)
            if _is_plain(text, lexicon) and not re.search(r"\b(?:age|aged|old|older|year|years)\b", text):
                kept["gsm8k"].append(text)
    lowered = _any_of(name.lower() for name in (*names["town"], *names["country"]) if place.fullmatch(name))
    for row in datasets.rows(data / "clinc150" / "data_full.jsonl.gz"):
        if row["split"] == "train" and not re.search(r"\d", row["text"]):
            text = lowered.sub("{place}", row["text"])
            if "{place}" in text:
                kept["clinc150"].append(text)
    chosen: list[str] = []
    for texts in kept.values():
        chance.shuffle(texts)
        slotted = [text for text in texts if "{" in text][:count]
        chosen += [*slotted, *[text for text in texts if "{" not in text][: count // 4]]
    return chosen


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(map(re.escape, names), key=lambda name: (-len(name), name))
    return re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)")


def _is_plain(text: str, usual: set[str]) -> bool:
    """Whether every capital but those of slots begins an ordinary word."""
    rest = re.sub(r"\{[a-z]+\}", "", text)
    capitals = re.findall(r"[^\W\d_]*[A-Z][^\W\d_]*(?:['’][a-z]+)?", rest)
    return "{" not in rest and len(text) < 300 and all(word.lower() in usual or word == "I" for word in capitals)


def _styled(text: str, chance: random.Random) -> str:
    """As it is, or as others would write it: a capital ahead, every word with one, shouted."""
    roll = chance.random()
    if roll < 0.35:
        return text[:1].upper() + text[1:] + chance.choice((".", "?", "", "!"))
    return text.title() if roll < 0.45 else text.upper() if roll < 0.53 else text


def ordinary_words(data: Path) -> tuple[list[str], list[str]]:
    """(usual, rare) words that GSM8K, GoEmotions and the SMS collection (its training rows) mostly write in lower case,
    rising; usual: more than twice."""
    texts = [row["question"] for row in datasets.rows(data / "gsm8k" / "train.jsonl.gz")]
    texts += [row["text"] for row in datasets.rows(data / "goemotions" / "train.jsonl.gz")]
    texts += [row["text"] for row in datasets.rows(data / "sms_spam" / "dedup_train.jsonl")]
    seen, lower = Counter[str](), Counter[str]()
    for text in texts:
        for word in re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text):
            seen[word.lower()] += 1
            lower[word] += word.islower()
    mostly = [word for word, count in sorted(seen.items()) if lower[word] >= 0.6 * count]
    return [word for word in mostly if lower[word] > 2], [word for word in mostly if lower[word] <= 2]


def training(
    rows: Sequence[Row], data: Path, ordinary: tuple[Sequence[str], Sequence[str]], amounts: Amounts
) -> list[Marked]:
    """The rows, their templates filled anew, our own sentences, what is borrowed, and requests; ordinary words
    swapped for others now and then, so that no sentence is learned by heart. ordinary: usual and rare words."""
    fillers = Fillers(words(), random.Random(SEED))  # noqa: S311 (no secret)
    made = [row.marked for row in rows] * 2
    for template in sorted({row.template for row in rows}):
        plain = re.sub(r"\{\{TITLE\}\} \{\{PERSON", "{title} {{PERSON", template).replace("{{TITLE}}", "{job}")
        plain = re.sub(r"\{\{STREET_ADDRESS\}\}(?= [sS]t)", "{street}", plain)
        plain = re.sub(r"\{\{([A-Z_]+)\}\}", lambda match: f"{{{_SLOTS[match[1]]}}}", plain)
        # Where an address comes in pieces, only the rows know which.
        count = 2 if plain == template or re.search(r"\{address\}\W+\{address\}", plain) else amounts.refilled
        made += [fillers.fill(plain) for _ in range(count)]
    own = sections("pii_sentences.txt")
    for section, count in (("with", amounts.own), ("without", amounts.without)):
        for template in own[section]:
            for _ in range(count):
                one = fillers.fill(template.replace("\\n", "\n"))
                # Few people write names in lower case, and everything else too: but some do.
                made.append(Marked(one.text.lower(), one.spans) if _lowers(one.text, fillers.chance) else one)
    made += [fillers.fill(template) for template in borrowed(data, ordinary[0], amounts.borrowed)]
    made += ordinary_requests(data, amounts.requests)
    usual, rare = ordinary
    known, others = set(usual), [*usual, *rare]
    return [_swapped(each, known, others, amounts.swapped, fillers.chance) for each in made]


def _swapped(marked: Marked, known: set[str], others: Sequence[str], share: float, chance: random.Random) -> Marked:
    """With a share of the ordinary words outside of spans another one; in every second sentence none."""
    text, spans = marked
    if chance.random() < 0.5:
        return marked
    parts: list[str] = []
    moved = []
    done = length = 0
    for start, end, type_ in (*spans, (len(text), len(text), "")):

        def other(match: re.Match[str]) -> str:
            return chance.choice(others) if match[0] in known and chance.random() < share else match[0]

        parts.append(re.sub(r"(?<!\w)[a-z]{3,}(?!\w)", other, text[done:start]))
        length += len(parts[-1])
        moved.append((length, length + end - start, type_))
        parts.append(text[start:end])
        length += end - start
        done = end
    return Marked("".join(parts), tuple(moved[:-1]))


def _lowers(text: str, chance: random.Random) -> bool:
    return chance.random() < 0.04 and len(text.lower()) == len(text)


def name_lists() -> dict[str, str]:
    """Word → which of our lists have it: given names, surnames, towns, countries, nationalities; capital: a part."""
    found: dict[str, set[str]] = {}
    sections_of = {"given": "g", "surname": "s", "town": "t", "country": "c", "nationality": "n"}
    names = words()
    for section, letter in sections_of.items():
        for name in names[section]:
            parts = [word.text.lower() for word in tokens(name) if word.text[0].isalpha()]
            for part in parts:
                if len(part) > 2:
                    found.setdefault(part, set()).add(letter if len(parts) == 1 else letter.upper())
    return {word: "".join(sorted(letters)) for word, letters in found.items()}
