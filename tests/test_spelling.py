"""Texts read as they were meant: what is mended, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.daemon.routing import Trunk
from expertd.router.background import Background
from expertd.router.decision import Intent
from expertd.router.encoder import Encoder
from expertd.router.index import RouteIndex
from expertd.router.language import Recogniser
from expertd.router.spelling import MOST_CHARACTERS, Lexicon, Speller, distance, is_word, undecorated

ROOT = Path(__file__).resolve().parent.parent

# In about the order of how often they are used, as a tokenizer's vocabulary has them.
VOCABULARY = tuple(
    word
    for line in (
        "the of and in to is a i for on me my you how do set what it at please tell an time ten minutes from call",
        "when move next week spam bank house money weather morning left over wake meeting again testing read",
        "translate sentence into",
    )
    for word in line.split()
)
RANKS = {word: 1996 + 40 * place for place, word in enumerate(VOCABULARY)}
OWN = (
    "set a timer for ten minutes",
    "start a timer for the pasta",
    "what is the balance of my account",
    "send money to my account",
    "how is the weather in the morning",
    "wake me at seven in the morning",
    "convert kilometres into miles",
    "play something by kraftwerk",
)
SPELLER = Speller(RANKS.get)
LEXICON = Lexicon(OWN)


def repaired(text: str) -> str:
    return SPELLER.repair(text, LEXICON)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("set a tmier for ten minutes", "set a timer for ten minutes"),
        ("what is teh balance of my acount", "what is the balance of my account"),
        ("how is the weathr in the mornning", "how is the weather in the morning"),
        ("Pleease set a timer", "please set a timer"),
        ("convert kilomtresh into miles", "convert kilometres into miles"),
        ("SET A TMIER FOR TEN MINUTES", "SET A TIMER FOR TEN MINUTES"),
    ],
)
def test_slips_of_the_keyboard_are_mended(text: str, meant: str) -> None:
    assert repaired(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("setatimerfortenminutes", "set a timer for ten minutes"),
        ("whatisthebalanceofmyaccount", "what is the balance of my account"),
        ("setatimerfor10minutes", "set a timer for 10 minutes"),
        ("setatimer for the pasta", "set a timer for the pasta"),
        ("se ta timer", "set a timer"),
    ],
)
def test_words_that_run_together_are_cut_where_the_experts_words_explain_them(text: str, meant: str) -> None:
    assert repaired(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("🙂 set a timer 🙏🏽🙏", "set a timer"),
        ("set a ti\u200bmer\ufe0f", "set a timer"),
        ("pleeeease set a timer!!!!", "please set a timer!"),
        ("set 🔥a🔥 timer", "set a timer"),
        ("🙂🙂", "🙂🙂"),
        ("", ""),
        ("what is 5 ➕ 3 √ 4 °", "what is 5 ➕ 3 √ 4 °"),
    ],
)
def test_decoration_is_dropped_unless_nothing_else_is_left(text: str, meant: str) -> None:
    assert repaired(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "call Timmer at ten",
        "play kraftwerk",
        "call wojciechowski",
        "tell me when translated sentences move",
        "read /home/tmier/acount.txt",
        "write to tmier@acount.example",
        "set timer_acount = 3",
        "set a café timer",
        "convert 5km at 7pm",
        "x9tmierq",
        "call the leftover bank",
    ],
)
def test_names_inflections_addresses_and_code_are_left_alone(text: str) -> None:
    assert repaired(text) == text


def test_a_plain_text_of_known_words_raises_no_suspicion() -> None:
    assert not SPELLER.suspects("Tell me the time, please. What is the weather in the morning?")
    assert SPELLER.suspects("tell me the tiem")


def test_without_experts_words_common_ones_are_meant() -> None:
    assert SPELLER.repair("tell me the weathr", Lexicon(())) == "tell me the weather"


def test_what_the_experts_say_decides_between_words_that_are_as_near() -> None:
    ranks = {"tires": 9000, "times": 2000, **RANKS}
    for own, meant in (("rotate my tires", "tires"), ("how many times", "times")):
        assert Speller(ranks.get).repair("tiies", Lexicon([own])) == meant


def test_a_known_word_of_repeated_letters_is_no_slip() -> None:
    assert Speller({"iii": 3500, "ii": 2500, **RANKS}.get).repair("set a tmier iii", LEXICON) == "set a timer iii"


def test_long_texts_and_those_without_a_known_word_are_not_spelled() -> None:
    book = "set a tmier " * (MOST_CHARACTERS // 12 + 1)
    assert repaired(book) == book
    strange = " ".join(f"tmier{'qxzj'[number % 4] * (2 + number)}" for number in range(30))
    assert repaired(strange) == undecorated(strange)


def test_inflections_are_told_from_slips() -> None:
    has = {"text", "spam", "translate"}.__contains__
    assert all(is_word(word, has) for word in ("texting", "texts", "spammer", "translated", "translators"))
    assert not any(is_word(word, has) for word in ("texxt", "spm", "ing", "translat"))


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [("timer", "timer", 0), ("tmier", "timer", 1), ("timr", "timer", 1), ("timeer", "timer", 1), ("", "ab", 2)],
)
def test_a_swap_of_neighbours_is_one_slip(one: str, other: str, slips: int) -> None:
    assert distance(one, other) == distance(other, one) == slips


@given(st.text(max_size=80) | st.lists(st.sampled_from([*VOCABULARY, "tmier", "10", "🙂", "Acount", "'s", "!!!"]), max_size=8).map("".join))  # fmt: skip  # noqa: E501
def test_whatever_comes_repairing_twice_is_repairing_once(text: str) -> None:
    assert repaired(repaired(text)) == repaired(text)


@given(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=12))
def test_known_words_are_never_changed(words: Sequence[str]) -> None:
    text = " ".join(words)
    assert repaired(text) is text


@given(st.sampled_from(OWN), st.data())
def test_the_experts_own_words_stay_whatever_stands_beside_them(sentence: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(sentence.split())))
    words = sentence.split()
    mended = repaired(" ".join([*words[:place], "qqqqzzzz", *words[place:]])).split()
    assert [word for word in mended if word in words] == words


async def test_the_daemon_routes_what_was_meant_and_says_so(trunk_root: Path) -> None:
    encoder = Encoder.open(trunk_root)
    kitchen = (
        "set a timer for ten minutes",
        "start a timer for the pasta",
        "put the egg timer on",
        "time my tea please",
    )
    bank = ("what is the balance of my account", "send money to my brother", "how much money is left", "pay the rent")
    intents = [Intent("timers", "start", kitchen), Intent("bank", "ask", bank)]
    index = RouteIndex.fit(intents, encoder.features([*kitchen, *bank]), Background.load())
    trunk = Trunk(encoder, Recogniser.load())
    plain, slipped = "start a timer for the pasta now", "🙂 start a tmier for the patsa now 🙏"
    meant = await trunk.decide(index, plain)
    mended = await trunk.decide(index, slipped)
    assert mended.reason == f'read as "{plain}": {meant.reason}'
    assert replace(mended, reason=meant.reason) == meant
    fresh = RouteIndex.fit(intents, encoder.features([*kitchen, *bank]), Background.load())
    explained = await trunk.explain(fresh, slipped)
    assert explained.decision == mended
    assert (await trunk.decide(index, slipped)).tier == "exact"
    trunk.close()


def test_the_shipped_sentences_are_read_as_they_stand(trunk_root: Path) -> None:
    paths = sorted((ROOT / "experts" / "bundles").glob("*/intents.jsonl"))
    own = [json.loads(line)["text"] for path in paths for line in path.read_text().splitlines()]
    speller, lexicon = Speller(Encoder.open(trunk_root).rank), Lexicon(own)
    assert own
    assert [text for text in own if speller.repair(text, lexicon) != text] == []
