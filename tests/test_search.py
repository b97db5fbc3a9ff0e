"""The skill `search`: what is looked for, where it is, and when it says that nothing is there."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.experts.skills.search import MOST_ENCODED, THRESHOLD, Index, Search, topic
from expertd.experts.skills.words import content_stems
from expertd.experts.values import Abstention, Answer, Document, Outcome
from tests.outcomes import abstention_code
from tests.text_skills import encode, encode_into, query

RULES = (
    "House rules\n\nBicycles\n\nBicycles are kept in the cellar. The key hangs beside the door.\n\nRubbish\n\n"
    "Paper and glass are collected on Thursday. The bins stand in the yard.\n\nParties\n\n"
    "Tell the neighbours before a party. Music is turned down at eleven.\n"
)
MENU = "Soup of the day costs four euros. It holds no nuts. The apple cake is made with butter. Coffee is from Peru."


async def ask(text: str, *documents: Document, intent: str = "find", payload: str | None = None) -> Outcome:
    first = documents[0] if documents else None
    return await Search(encode).answer(
        query(text, intent=intent, document=first, further=documents[1:], payload=payload)
    )


def passages(outcome: Outcome) -> list[dict[str, Any]]:
    assert isinstance(outcome, Answer), outcome
    found: list[dict[str, Any]] = outcome.to_json()["data"]["passages"]
    scores = [each["score"] for each in found]
    assert scores == sorted(scores, reverse=True)
    assert all(THRESHOLD <= score <= 1 for score in scores)
    return found


async def test_the_passage_is_found_with_its_place_and_its_heading() -> None:
    best = passages(await ask("find the passage about rubbish", Document(RULES)))[0]
    assert best["text"] == "Rubbish Paper and glass are collected on Thursday. The bins stand in the yard."
    assert " ".join(RULES[best["start"] : best["end"]].split()) == best["text"]
    assert best["document"] == 0
    assert "name" not in best


async def test_the_right_one_of_several_documents_is_named() -> None:
    outcome = await ask("which of these mentions butter", Document(RULES, "rules.txt"), Document(MENU, "menu.txt"))
    best = passages(outcome)[0]
    assert (best["document"], best["name"]) == (1, "menu.txt")
    assert isinstance(outcome, Answer)
    assert outcome.text.startswith("menu.txt: ")


async def test_nothing_is_shown_where_nothing_is_about_it() -> None:
    outcome = await ask("find the part about elephants", Document(RULES))
    assert abstention_code(outcome) == "unsure"
    assert isinstance(outcome, Abstention)
    assert "elephants" in outcome.reason


async def test_no_two_passages_share_a_sentence() -> None:
    text = " ".join(f"The red boat number {number} lies in the harbour." for number in range(40))
    found = passages(await ask("every mention of the red boat", Document(text)))
    assert len(found) > 3
    spans = sorted((each["start"], each["end"]) for each in found)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


async def test_as_many_passages_as_were_asked_for() -> None:
    text = "\n\n".join(f"Boat {number}\n\nThe red boat number {number} lies in the harbour." for number in range(9))
    assert len(passages(await ask("top 5 passages about the red boat", Document(text)))) == 5
    assert len(passages(await ask("find the red boat", Document(text)))) == 3


async def test_the_text_may_stand_in_the_request_itself() -> None:
    routed = await ask(f"find the key: {RULES}", payload=RULES)
    named = await Search(encode).answer(
        query(f"find the part about the key\n{RULES}", payload=f"find the part about the key\n{RULES}")
    )
    assert passages(routed)[0]["text"] == passages(named)[0]["text"]
    assert "key" in passages(routed)[0]["text"]


async def test_without_a_document_or_a_topic_it_asks_back() -> None:
    assert abstention_code(await ask("find where it talks about the deposit")) == "needs_input"
    assert abstention_code(await ask("search this document", Document(RULES))) == "needs_input"
    quoted = await ask('search the contract for "notice period ends"', payload="notice period ends")
    assert isinstance(quoted, Abstention)
    assert "which document" in quoted.reason
    assert abstention_code(await ask("find the key", Document("  "))) == "needs_input"
    assert abstention_code(await ask("find the key", Document("*** ---"))) == "unsure"


@pytest.mark.parametrize("text", ["search my notes for soup", "set a timer", "google the weather", "find my list"])
async def test_what_others_search_is_sent_on(text: str) -> None:
    assert abstention_code(await ask(text, intent="")) == "not_mine"


async def test_a_second_question_about_a_document_encodes_the_question_alone() -> None:
    seen: list[str] = []
    skill = Search(encode_into(seen))
    await skill.answer(query("find the key", intent="find", document=Document(RULES)))
    seen.clear()
    await skill.answer(query("find the music", intent="find", document=Document(RULES)))
    assert seen == ["the music"]


async def test_of_a_long_document_only_some_passages_are_encoded_and_the_right_one_is_found() -> None:
    seen: list[str] = []
    lines = [
        f"On day {number} the ship sailed on through grey and quiet weather without any event."
        for number in range(4_000)
    ]
    lines[2_717] = "The cook found a stowaway behind the flour barrels."
    outcome = await Search(encode_into(seen)).answer(
        query("where does it mention the stowaway", intent="find", document=Document(" ".join(lines)))
    )
    assert "stowaway" in passages(outcome)[0]["text"]
    assert len(seen) <= MOST_ENCODED + 1


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("find where it talks about the deposit", "the deposit"),
        ("what does the contract say about pets", "pets"),
        ("search these for refund policy", "refund policy"),
        ("search these for: refund policy", "refund policy"),
        ("search this for “refund policy”", "refund policy"),
        ("which of these mentions butter", "butter"),
        ("could you please find the bit about the dog in this letter?", "the dog"),
        ("does it mention side effects anywhere", "side effects"),
        ("where in this report do they discuss risks", "risks"),
        ("how long is the guarantee", "how long is the guarantee"),
        ("Does butter contain milk?", "Does butter contain milk"),
        ("refund policy", "refund policy"),
        ("search this", ""),
        ("find the part", ""),
        ("???", ""),
    ],
)
def test_what_is_looked_for_is_told_from_how_it_is_asked(instruction: str, expected: str) -> None:
    assert topic(instruction) == expected


@pytest.mark.parametrize(
    "text", ["the text " * 5_000, "search " * 5_000, "in the " * 5_000, "((((" * 10_000, "hey " * 9_000]
)
def test_no_wording_takes_long_to_read(text: str) -> None:
    assert len(topic(text)) <= 500


@pytest.mark.parametrize(
    "text",
    ["x" * 200_000, "a. " * 5_000, "明日七時に。" * 2_000, "\n" * 50_000 + "boat", "#\n" * 20_000, "a@b" * 30_000],
)
async def test_huge_and_odd_documents_are_met_calmly(text: str) -> None:
    assert isinstance(await ask("find the boat", Document(text)), (Answer, Abstention))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet=st.sampled_from(list("ab cd.\n-")), max_size=120), max_size=4))
def test_every_sentence_is_in_some_passage_and_every_score_is_finite(texts: list[str]) -> None:
    index = Index(texts)
    for number, text in enumerate(texts):
        joined = " ".join(passage.text for passage in index.passages if passage.document == number)
        assert all(stem in content_stems(joined) for stem in content_stems(" ".join(text.split())))
    scores, coverage = index.bm25(["ab", "cd", "zz"])
    assert np.isfinite(scores).all()
    assert ((coverage >= 0) & (coverage <= 1 + 1e-9)).all()
