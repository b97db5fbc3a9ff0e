"""The skill `extract-summary`, and how texts are taken apart into sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.experts.skills.encodings import Encodings
from expertd.experts.skills.extract_summary import MOST_ENCODED, ExtractSummary
from expertd.experts.skills.sentences import MAX_CHARACTERS, split
from expertd.experts.values import Abstention, Answer, Document, Outcome
from tests.outcomes import abstention_code
from tests.text_skills import encode, encode_into, query

TEXT = (
    "The library opens a new reading room in June. The reading room of the library has eighty seats. It rained a lot. "
    "The seats of the reading room can be booked online. Tea is free. The library pays for the new room with a gift."
)


async def ask(text: str, payload: str | None = TEXT, intent: str = "select", **fields: Any) -> Outcome:
    return await ExtractSummary(encode).answer(query(text, payload=payload, intent=intent, **fields))


async def picked(text: str, payload: str | None = TEXT, intent: str = "select", **fields: Any) -> list[dict[str, Any]]:
    outcome = await ask(text, payload, intent, **fields)
    assert isinstance(outcome, Answer), outcome
    found: list[dict[str, Any]] = outcome.to_json()["data"]["sentences"]
    texts = [each["text"] for each in found]
    assert outcome.text in (" ".join(texts), "\n".join(f"• {text}" for text in texts))
    return found


# --- The skill --------------------------------------------------------------------------------------------------------


async def test_sentences_are_word_for_word_at_their_places_and_in_order() -> None:
    found = await picked("three key sentences")
    assert len(found) == 3
    assert [TEXT[each["start"] : each["end"]] for each in found] == [each["text"] for each in found]
    assert [each["start"] for each in found] == sorted(each["start"] for each in found)
    assert max(each["score"] for each in found) == 1
    assert not {"It rained a lot.", "Tea is free."} & {each["text"] for each in found}


@pytest.mark.parametrize(
    ("instruction", "count"),
    [
        ("in two sentences", 2),
        ("4 highlights", 4),
        ("which single sentence says it all", 1),
        ("quote the most important sentence", 1),
        ("cut this to 50 %", 3),
        ("keep a third of it", 2),
        ("two thirds please", 4),
        ("twenty percent", 2),
        ("key sentences", 2),
        ("900 sentences", 6),
        ("shorten to 100%", 6),
    ],
)
async def test_as_many_as_were_asked_for(instruction: str, count: int) -> None:
    assert len(await picked(instruction)) == count


async def test_bullet_points_stand_on_lines_of_their_own() -> None:
    outcome = await ask("three bullet points")
    assert isinstance(outcome, Answer)
    assert [line[:2] for line in outcome.text.splitlines()] == ["• "] * 3


async def test_a_mail_is_quoted_without_its_greeting_its_signature_and_what_it_answers() -> None:
    mail = (
        "Dear Eva,\n\nthe boat is repaired. We can fetch the boat on Sunday.\n\nBest regards,\nOla\n-- \nOla Nord, "
        "harbour office\n\nOn 2 May Eva wrote:\n> Where is the boat? Is the boat repaired?\n"
    )
    texts = [each["text"] for each in await picked("ten sentences", mail)]
    assert texts == ["the boat is repaired.", "We can fetch the boat on Sunday."]


async def test_several_documents_are_told_apart() -> None:
    documents = (
        Document("The mill burned down. Nobody was hurt."),
        Document("The mill will be built anew. It rains today."),
    )
    found = await picked("4 sentences", None, document=documents[0], further=documents[1:])
    assert [each["document"] for each in found] == [0, 0, 1, 1]


async def test_only_so_many_sentences_are_encoded_and_none_twice() -> None:
    seen: list[str] = []
    skill = ExtractSummary(encode_into(seen))
    text = " ".join(f"The harbour has {number} boats and the town has {number} bells." for number in range(3_000))
    for _ in range(2):
        await skill.answer(query("three sentences", payload=text, intent="select"))
    assert len(seen) == len(set(seen)) <= MOST_ENCODED


async def test_encodings_forget_what_was_used_longest_ago() -> None:
    asked: list[str] = []
    encodings = Encodings(encode_into(asked), most=2)
    await encodings.of(["one boat", "two cats"])
    await encodings.of(["one boat", "red door"])
    asked.clear()
    vectors = await encodings.of(["one boat", "two cats", "one boat"])
    assert asked == ["two cats"]
    assert np.array_equal(vectors[0], vectors[2])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    assert (await encodings.of([])).shape == (0,)


async def test_an_instruction_alone_asks_back_and_another_wish_is_sent_on() -> None:
    for outcome in (await ask("key sentences", None), await ask("highlights please", None, intent="")):
        assert abstention_code(outcome) == "needs_input"
    assert abstention_code(await ask("what time is it in Lima", None, intent="")) == "not_mine"


@pytest.mark.parametrize("text", ["***", "...", "🙂", "-- \n--"])
async def test_a_text_without_sentences_is_an_abstention(text: str) -> None:
    assert abstention_code(await ask("key sentences", text)) == "unsure"


@pytest.mark.parametrize(
    "text", ["x" * 200_000, "((((" * 50_000, "a. " * 5_000, "明日七時に。" * 5_000, '"' * 100_000 + "boat"]
)
async def test_huge_and_odd_texts_are_met_calmly(text: str) -> None:
    assert isinstance(await ask("two sentences", text), (Answer, Abstention))


# --- Sentences --------------------------------------------------------------------------------------------------------


def texts(text: str, *, own: bool = False) -> list[str]:
    return [sentence.text for sentence in split(text, own=own)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Brown met Prof. J. Smith at 5 p.m. on Monday.", "They talked, e.g. about tea."],
        ["The train left at 5 p.m. sharp.", "We were late."],
        ["She lives in the U.S. now.", "He does not."],
        ["It costs 3.50 at example.com today.", "Really?", "Yes!"],
        ['He said "I know. It is late." and left.', "Nobody waited."],
        ["He left (see page 4. It is short.) at noon.", "Go on."],
        ["Wait… what?", "No."],
        ["i went home.", "it was late.", "i slept."],
        ["Er kam am 3. März.", "Dann ging er z.B. ins Kino."],
        ["今日は雨です。", "明日は？", "晴れ！"],
        ["Acme Inc. bought it.", "The price is secret."],
    ],
)
def test_sentences_end_where_a_reader_ends_them(sentences: list[str]) -> None:
    joined = ("" if sentences[0].startswith("今") else " ").join(sentences)
    assert texts(joined) == sentences


def test_wrapped_lines_go_on_and_lines_that_ended_early_do_not() -> None:
    wrapped = (
        "The harbour master wrote a long letter to all of the\nowners of boats in the old harbour. Nobody\nread it."
    )
    assert texts(wrapped) == [
        "The harbour master wrote a long letter to all of the owners of boats in the old harbour.",
        "Nobody read it.",
    ]
    assert texts("Mill Lane 8\nBerlin\nGermany is where this address with a long last line is") == [
        "Mill Lane 8",
        "Berlin",
        "Germany is where this address with a long last line is",
    ]


def test_headings_and_items_are_known_as_such() -> None:
    kinds = [
        (each.kind, each.text)
        for each in split("# Plan\nWe build.\n\n2. Costs\n\nThings to buy:\n- nails\n* glue. Two tubes.\n")
    ]
    assert kinds == [
        ("heading", "Plan"),
        ("prose", "We build."),
        ("heading", "Costs"),
        ("prose", "Things to buy:"),
        ("item", "nails"),
        ("item", "glue."),
        ("item", "Two tubes."),
    ]


def test_a_mail_of_nothing_but_quotations_is_read_whole() -> None:
    assert texts("> Where is the key?\n> Under the mat.", own=True) == ["Where is the key?", "Under the mat."]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("aB 1.!?\"'()>-\n\t:*#。_")), max_size=200), st.booleans())
def test_sentences_lie_in_order_inside_the_text(text: str, own: bool) -> None:
    end = 0
    for sentence in split(text, own=own):
        assert end <= sentence.start < sentence.end <= len(text)
        assert sentence.text
        assert len(sentence.text) <= MAX_CHARACTERS
        end = sentence.end
