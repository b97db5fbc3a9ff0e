"""The skill `keywords`: what it names, in how many words, and what it refuses to name; and the words of a text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.experts.skills.keywords import MAX_WORDS, Keywords, candidates
from expertd.experts.skills.words import content_stems, function_words, stem
from expertd.experts.values import Abstention, Answer, Document, Outcome
from tests.outcomes import abstention_code
from tests.text_skills import encode, query

BRIDGE = (
    "The old bridge over the Wenna was closed on Monday. Engineers had found cracks in the steel beams of the bridge. "
    "The steel beams will be replaced in spring. Until then a ferry crosses the Wenna every ten minutes."
)


async def ask(text: str, payload: str | None = BRIDGE, intent: str = "list", **fields: Any) -> Outcome:
    return await Keywords(encode).answer(query(text, payload=payload, intent=intent, **fields))


async def phrases(text: str, payload: str | None = BRIDGE, intent: str = "list", **fields: Any) -> list[str]:
    outcome = await ask(text, payload, intent, **fields)
    assert isinstance(outcome, Answer), outcome
    found: Any = outcome.to_json()["data"]["keywords"]
    scores = [each["score"] for each in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert outcome.text == ", ".join(each["phrase"] for each in found)
    return [each["phrase"] for each in found]


async def test_what_a_text_keeps_coming_back_to_is_among_the_first() -> None:
    found = " ".join(await phrases("five keywords"))
    assert "bridge" in found
    assert "steel beams" in found
    assert "Monday" not in found
    assert "minutes" in " ".join(await phrases("twenty keywords"))


@pytest.mark.parametrize(
    ("instruction", "count"),
    [
        ("three keywords", 3),
        ("top 4 tags", 4),
        ("just one key term please", 1),
        ("give me the 2 most important words", 2),
        ("a few keywords", 3),
        ("0 keywords", 8),
    ],
)
async def test_as_many_as_were_asked_for(instruction: str, count: int) -> None:
    assert len(await phrases(instruction)) == min(count, len(await phrases("50 keywords")))


async def test_single_words_and_whole_phrases_on_demand() -> None:
    assert all(" " not in phrase for phrase in await phrases("single words only"))
    assert all(" " in phrase for phrase in await phrases("key phrases only"))


async def test_no_phrase_says_again_what_another_says() -> None:
    stems = [set(content_stems(phrase)) for phrase in await phrases("30 keywords")]
    assert not any(one < other for one in stems for other in stems)


async def test_quoted_replies_and_signatures_do_not_count() -> None:
    mail = (
        "Hello Ben,\n\nthe printer on the second floor is broken again.\n\nCheers,\nIda\n\n"
        "Ben wrote:\n> Is the aquarium clean?\n"
    )
    found = " ".join(await phrases("all keywords", mail))
    assert "printer" in found
    assert "aquarium" not in found
    assert "Ida" not in found


async def test_a_document_and_an_instruction_in_one_text_are_both_understood() -> None:
    from_document = await phrases("two keywords", None, document=Document(BRIDGE))
    assert len(from_document) == 2
    assert await phrases(f"two keywords: {BRIDGE}", None, intent="") == from_document
    assert await phrases(f"two keywords\n{BRIDGE}", f"two keywords\n{BRIDGE}", intent="") == from_document
    assert len(await phrases(BRIDGE, BRIDGE, intent="")) > 2


async def test_other_languages_lose_their_own_function_words() -> None:
    text = "Der Garten hinter dem Haus ist sehr groß. In dem Garten stehen die alten Apfelbäume und ein Brunnen."
    found = [word.lower() for phrase in await phrases("20 keywords", text) for word in phrase.split()]
    assert "garten" in found
    assert not {"der", "dem", "und", "ist", "die"} & set(found)


@pytest.mark.parametrize("text", ["", "   ", "1234 5678", "...", "🙂🙂", "and so it is", "https://example.org/a/b"])
async def test_a_text_without_content_words_is_an_abstention(text: str) -> None:
    assert abstention_code(await ask("keywords", text)) in ("unsure", "needs_input")


async def test_an_instruction_alone_asks_back_and_another_wish_is_sent_on() -> None:
    for outcome in (await ask("extract keywords", None), await ask("key words please", None, intent="")):
        assert abstention_code(outcome) == "needs_input"
    assert abstention_code(await ask("wake me at seven", None, intent="")) == "not_mine"


@pytest.mark.parametrize(
    "text", ["x" * 300_000, "word " * 60_000, "((((" * 50_000, "明日七時" * 5_000, "\n" * 100_000 + "boat"]
)
async def test_huge_and_odd_texts_are_met_calmly(text: str) -> None:
    assert isinstance(await ask("keywords", text), (Answer, Abstention))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_every_candidate_is_made_of_words_of_the_text(text: str) -> None:
    squeezed = " ".join(text.split())
    for candidate in candidates(text):
        assert 1 <= len(candidate.stems) <= MAX_WORDS
        assert candidate.weight > 0
        assert all(word in squeezed for word in candidate.phrase.split())


@pytest.mark.parametrize(
    ("word", "expected"),
    [("beams", "beam"), ("cities", "city"), ("boxes", "box"), ("glass", "glass"), ("bus", "bus"), ("this", "this")],
)
def test_plurals_share_a_stem_with_their_singulars(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_the_language_is_told_by_its_function_words() -> None:
    assert "und" in function_words(["das", "haus", "und", "der", "garten"])
    assert "the" in function_words([])
