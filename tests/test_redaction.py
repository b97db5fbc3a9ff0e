"""What stays on this machine when the titan is asked, and how it comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.daemon.redaction import KEPT, Redaction, Shown
from expertd.experts.tagging.registry import RECOGNISERS
from expertd.experts.values import Answer, Document, Query, Series, Structured, Text

# Numbers and keys of nobody: examples of their issuers, or with a checksum that was worked out here.
CARD, IBAN, MAIL, PHONE = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "ann@example.org", "+44 20 7946 0958"
KEY = "AKIAIOSFODNN7EXAMPLQ"


def query(text: str, **fields: Any) -> Query:
    return Query(text, datetime(2026, 3, 2, 9, tzinfo=UTC), ZoneInfo("UTC"), **fields)


def hidden(asked: Query) -> tuple[Redaction, Query]:
    redaction = asyncio.run(Redaction.of(asked))
    return redaction, redaction.hide(asked)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (f"write to {MAIL} about the rent", "write to [EMAIL-1] about the rent"),
        (f"is the card {CARD} from Spain", "is the card [CREDIT-CARD-1] from Spain"),
        (f"to which bank does {IBAN} belong", "to which bank does [IBAN-1] belong"),
        (f"call me on {PHONE}, or write to {MAIL}", "call me on [PHONE-1], or write to [EMAIL-1]"),
        (f"{MAIL} or bob@example.org, or {MAIL}", "[EMAIL-1] or [EMAIL-2], or [EMAIL-1]"),
        (f"what does [EMAIL-1] mean? I am {MAIL}", "what does [EMAIL-1] mean? I am [EMAIL-2]"),
        ("the wifi password is bluefin88", "the wifi password is [PASSWORD-1]"),
        (
            "the wifi password is bluefin88. Is bluefin88 safe?",
            "the wifi password is [PASSWORD-1]. Is [PASSWORD-1] safe?",
        ),
    ],
)
def test_what_identifies_somebody_or_opens_something_stays_here(text: str, sent: str) -> None:
    redaction, asked = hidden(query(text))
    assert asked.text == sent
    assert redaction.show(sent) == text


@pytest.mark.parametrize(
    "text",
    [
        "explain the politics of the Hanseatic League",
        "who was Ada Lovelace, born on 10 December 1815 in London",
        "what is 18% of 2450, and 1,234,567 divided by 89",
        "how do I get from 221B Baker Street to the British Museum",
        "what changed between version 3.11.7 and 3.12.0",
        "",
    ],
)
def test_questions_about_the_world_go_out_as_they_are(text: str) -> None:
    redaction, asked = hidden(query(text))
    assert asked.text == text
    assert not redaction.values


def test_every_part_of_a_request_is_looked_through() -> None:
    asked = query(
        f"answer {MAIL}",
        payload=f"the mail of {MAIL}",
        document=Document(f"From: {MAIL}\nMy card is {CARD}.", f"to {MAIL}"),
        further=(Document(f"The key is {KEY}", "keys.txt"),),
        series=Series(np.array([1.0]), name=f"visits of {MAIL}"),
        schema={"properties": {"to": {"enum": [MAIL, 7, None]}, CARD: {}}},
    )
    redaction, sent = hidden(asked)
    told = repr(sent)
    for value in (MAIL, CARD, KEY):
        assert value not in told
    assert set(redaction.values.values()) == {MAIL, CARD, KEY}
    assert sent.document == Document("From: [EMAIL-1]\nMy card is [CREDIT-CARD-1].", "to [EMAIL-1]")
    assert sent.schema == {"properties": {"to": {"enum": ["[EMAIL-1]", 7, None]}, "[CREDIT-CARD-1]": {}}}
    assert sent.series is not None
    assert sent.series.values is asked.series.values  # type: ignore[union-attr]
    assert replace(sent, text=asked.text).now == asked.now


def test_a_long_document_is_looked_through_whole() -> None:
    filler = "It rained on the fields and on the road to town. " * 4_000
    _, sent = hidden(query("summarise", document=Document(f"{filler}Write to {MAIL}. {filler}{CARD}")))
    assert sent.document is not None
    assert MAIL not in sent.document.text
    assert sent.document.text.endswith("[CREDIT-CARD-1]")


@pytest.mark.parametrize("value", [MAIL, IBAN, CARD, KEY])
def test_a_value_that_touches_words_of_another_script_stays_here(value: str) -> None:
    text = f"这是{value}，谢谢"
    redaction, asked = hidden(query(f"{text} and {value}."))
    assert value not in asked.text
    assert redaction.show(asked.text) == f"{text} and {value}."


def test_thousands_of_values_are_hidden_in_little_time() -> None:
    addresses = [f"person{number}@example.org" for number in range(5_000)]
    redaction, sent = hidden(query("who are they", document=Document("\n".join(addresses))))
    assert sent.document is not None
    assert "@" not in sent.document.text
    assert redaction.show(sent.document.text) == "\n".join(addresses)


@pytest.mark.parametrize("type_", sorted({each.type for name in KEPT for each in RECOGNISERS[name]}))
async def test_a_name_of_any_type_is_known_again_letter_by_letter(type_: str) -> None:
    redaction, heard = Redaction({f"[{type_.upper()}-12]": "it"}), []

    async def emit(piece: str) -> None:
        heard.append(piece)

    shown = Shown(redaction, emit)
    for letter in f"so [{type_.upper()}-12] is":
        await shown(letter)
    await shown.end()
    assert "".join(heard) == "so it is"


def test_an_answer_has_the_values_again_and_other_results_stay() -> None:
    redaction = Redaction({"[EMAIL-1]": MAIL})
    told = redaction.shown(Answer("To [EMAIL-1], not [EMAIL-2]", Text("To [EMAIL-1], not [EMAIL-2]", model="large")))
    assert told == Answer(f"To {MAIL}, not [EMAIL-2]", Text(f"To {MAIL}, not [EMAIL-2]", model="large"))
    structured = Answer("[EMAIL-1]", Structured({"n": 1}))
    assert redaction.shown(structured) == Answer(MAIL, Structured({"n": 1}))


@given(st.lists(st.integers(0, 60), max_size=8), st.sampled_from(["[EMAIL-1]", "[[EMAIL-1]]", "[EMAIL-1", "a [x] b ["]))
def test_pieces_cut_anywhere_give_the_same_words(cuts: list[int], name: str) -> None:
    redaction = Redaction({"[EMAIL-1]": MAIL})
    text = f"Dear {name}, [EMAIL-1][EMAIL-12] [note] {name}"
    heard: list[str] = []

    async def emit(piece: str) -> None:
        assert piece
        heard.append(piece)

    async def tell() -> None:
        shown = Shown(redaction, emit)
        places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
        for start, end in pairwise(places):
            await shown(text[start:end])
        await shown.end()

    asyncio.run(tell())
    assert "".join(heard) == redaction.show(text)


async def test_nothing_is_held_back_where_nothing_was_hidden() -> None:
    heard: list[str] = []

    async def emit(piece: str) -> None:
        heard.append(piece)

    shown = Shown(Redaction({}), emit)
    for piece in ("see [1", "] and [EMAIL-1]"):
        await shown(piece)
    assert heard == ["see [1", "] and [EMAIL-1]"]
