"""Chance: what is asked for, its bounds, and that nothing comes up more often than it should."""

from __future__ import annotations

import math
import random
import re
import secrets
import uuid
from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.experts.errors import QueryError
from expertd.experts.skills.chance import COLOURS, RANKS, SUITS, Chance
from expertd.experts.values import Abstention, Answer, Document, Query, Structured

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=BERLIN)


async def drawn(text: str, intent: str = "", seed: int = 1, **more: Any) -> dict[str, Any]:
    outcome = await Chance(random.Random(seed)).answer(Query(text, NOW, BERLIN, intent=intent, **more))
    assert isinstance(outcome, Answer), outcome
    assert isinstance(outcome.result, Structured)
    return dict(outcome.result.data)


def test_the_source_is_the_operating_systems() -> None:
    assert isinstance(Chance()._source, secrets.SystemRandom)


async def test_the_same_source_draws_the_same() -> None:
    assert await drawn("shuffle ann, bob, cleo, dan", seed=3) == await drawn("shuffle ann, bob, cleo, dan", seed=3)


# --- Games -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"), [("flip a coin", 1), ("flip three coins", 3), ("flip a coin ten times", 10)]
)
async def test_coins_are_counted(text: str, count: int) -> None:
    data = await drawn(text)
    assert len(data["results"]) == count
    assert set(data["results"]) <= {"heads", "tails"}


async def test_a_coin_is_fair() -> None:
    data = await drawn("flip 1000 coins")
    assert 430 < data["heads"] < 570


@pytest.mark.parametrize(
    ("text", "dice", "bonus"),
    [
        ("roll a die", ["1d6"], 0),
        ("roll two dice", ["2d6"], 0),
        ("roll 3d6+2", ["3d6"], 2),
        ("roll a d20 minus 1", ["1d20"], -1),
        ("2d6 + 1d8 + 3", ["2d6", "1d8"], 3),
        ("roll four eight sided dice", ["4d8"], 0),
        ("roll with advantage", ["2d20kh1"], 0),
        ("roll a d20 with disadvantage plus 5", ["2d20kl1"], 5),
        ("4d6 drop the lowest", ["4d6kh3"], 0),
        ("4d6kh3", ["4d6kh3"], 0),
        ("roll d%", ["1d100"], 0),
    ],
)
async def test_dice_are_read_in_words_and_in_notation(text: str, dice: list[str], bonus: int) -> None:
    data = await drawn(text, "dice")
    assert [group["dice"] for group in data["groups"]] == dice
    assert data["bonus"] == bonus
    assert data["result"] == sum(sum(group["kept"]) for group in data["groups"]) + bonus


@given(st.integers(1, 50), st.integers(2, 100), st.integers(0, 99))
async def test_every_roll_lies_on_the_die(count: int, sides: int, seed: int) -> None:
    (group,) = (await drawn(f"roll {count}d{sides}", seed=seed))["groups"]
    assert len(group["rolls"]) == count
    assert all(1 <= roll <= sides for roll in group["rolls"])


async def test_each_face_of_a_die_comes_up_as_often() -> None:
    (group,) = (await drawn("roll 1000 dice"))["groups"]
    counts = Counter(group["rolls"])
    assert set(counts) == set(range(1, 7))
    # Chi-squared with five degrees of freedom: above 20.5 once in a thousand times; the source is fixed.
    assert sum((count - 1000 / 6) ** 2 / (1000 / 6) for count in counts.values()) < 20.5


async def test_cards_are_drawn_without_putting_them_back() -> None:
    cards = (await drawn("draw 52 cards"))["results"]
    assert len(set(cards)) == 52
    assert set(cards) == {f"{rank} of {suit}" for rank in RANKS for suit in SUITS}
    assert len((await drawn("deal me a hand of seven"))["results"]) == 7


# --- Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("random number", 1, 100),
        ("pick a number between 1 and 10", 1, 10),
        ("a number from five to fifteen", 5, 15),
        ("number between ten and 3 please", 3, 10),
        ("random number between -5 and 5", -5, 5),
        ("random number below ten", 1, 9),
        ("random number up to ten", 1, 10),
        ("random four digit number", 1000, 9999),
        ("random number between 1 and two hundred and five", 1, 205),
    ],
)
async def test_numbers_lie_between_both_bounds(text: str, low: int, high: int) -> None:
    data = await drawn(text, "number")
    assert (data["from"], data["to"]) == (low, high)
    assert isinstance(data["result"], int)
    assert low <= data["result"] <= high


async def test_both_bounds_are_included() -> None:
    seen = {(await drawn("number between 1 and 3", "number", seed))["result"] for seed in range(60)}
    assert seen == {1, 2, 3}


async def test_even_odd_different_and_decimal_numbers() -> None:
    assert all(n % 2 == 0 for n in (await drawn("give me 30 random even numbers below 50"))["results"])
    assert all(
        n % 2 == 1 and 10 <= n <= 30 for n in (await drawn("20 random odd numbers between 10 and 30"))["results"]
    )
    assert sorted((await drawn("generate 5 different numbers from 1 to 5"))["results"]) == [1, 2, 3, 4, 5]
    result = (await drawn("random number between 0 and 1"))["result"]
    assert 0 < result < 1


# --- Choices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("pick tea or coffee", ["tea", "coffee"]),
        ("choose between the bus and the train for me", ["the bus", "the train"]),
        ("help me choose: beach, lake or mountains", ["beach", "lake", "mountains"]),
        ("draw a name from ines, jonas, mia", ["ines", "jonas", "mia"]),
        ("who should do the dishes, tom or sara", ["tom", "sara"]),
        ("pick one:\n- soup\n- salad", ["soup", "salad"]),
        ("should i stay in or go out", ["stay in", "go out"]),
        ("you choose, stay in or go out", ["stay in", "go out"]),
    ],
)
async def test_the_options_are_what_is_named(text: str, options: list[str]) -> None:
    data = await drawn(text, "pick")
    assert data["options"] == options
    assert data["result"] in options


async def test_some_of_several_are_different() -> None:
    data = await drawn("choose 2 of ann, bob and cleo")
    assert len(set(data["results"])) == 2
    with pytest.raises(QueryError, match="4 of 3"):
        await drawn("choose 4 of ann, bob and cleo")


async def test_the_lines_of_a_document_are_options() -> None:
    data = await drawn("pick one of these", "pick", document=Document("red wine\nwhite wine\nwater, still"))
    assert data["options"] == ["red wine", "white wine", "water, still"]


async def test_an_order_holds_everything_once() -> None:
    assert sorted((await drawn("shuffle ann, bob and cleo"))["results"]) == ["ann", "bob", "cleo"]
    teams = (await drawn("split ann, bob, cleo, dan and eve into two teams"))["results"]
    assert sorted(len(team) for team in teams) == [2, 3]
    assert sorted(name for team in teams for name in team) == ["ann", "bob", "cleo", "dan", "eve"]


async def test_letters_colours_and_decisions() -> None:
    assert (await drawn("choose a letter from a to c"))["result"] in "ABC"
    assert (await drawn("random vowel"))["result"] in "AEIOU"
    colour = (await drawn("random colour"))["result"]
    assert COLOURS[colour["name"]] == colour["hex"]
    assert re.fullmatch("#[0-9a-f]{6}", (await drawn("random hex colour"))["result"]["hex"])
    assert (await drawn("yes or no"))["result"] in ("yes", "no")


# --- For locks -------------------------------------------------------------------------------------------------------


@given(st.integers(8, 64), st.integers(0, 99))
async def test_a_password_has_its_length_and_every_kind_of_sign(length: int, seed: int) -> None:
    data = await drawn(f"generate a password with {length} characters", seed=seed)
    word = data["result"]
    assert len(word) == length
    assert re.search(r"[a-zA-Z]", word)
    assert re.search(r"[2-9]", word)
    assert re.search(r"[^a-zA-Z0-9]", word)
    assert not set(word) & set("lIO01")


async def test_the_strength_is_that_of_all_passwords_that_there_can_be() -> None:
    data = await drawn("generate a password with 8 characters")
    # Fewer than all words of 69 signs, since each kind must be there; more than a quarter of them.
    assert 8 * math.log2(69) - 2 < data["bits"] < 8 * math.log2(69)
    assert (await drawn("generate a 6 digit pin"))["bits"] == pytest.approx(math.log2(10**6), abs=0.05)
    assert (await drawn("password without symbols", "secret"))["result"].isalnum()


async def test_pins_uuids_keys_and_passphrases() -> None:
    assert re.fullmatch(r"\d{6}", (await drawn("6 digit pin", "secret"))["result"])
    assert uuid.UUID((await drawn("new uuid"))["result"]).version == 4
    assert re.fullmatch("[0-9a-f]{32}", (await drawn("random hex key"))["result"])
    words = (await drawn("a passphrase of six words", "secret"))["result"].split("-")
    assert len(words) == 6
    assert len(set((await drawn("generate three passwords"))["results"])) == 3


# --- Bounds and what is none of ours ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "roll 1000000000 dice",
        "roll 2d99999999999999",
        "roll 0d6",
        "roll a d1",
        "flip 100000 coins",
        "draw 53 cards",
        "generate a password with 4 characters",
        "generate a password with 100000 characters",
        "random number between 1 and 10000000000000000000000",
        "give me 5 different numbers from 1 to 3",
        "split ann and bob into three teams",
    ],
)
async def test_what_is_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        await drawn(text)
    assert caught.value.reason == "OUT_OF_RANGE"


@pytest.mark.parametrize("text", ["pick one for me", "shuffle these", "choose between tea"])
async def test_nothing_to_choose_among_is_asked_for(text: str) -> None:
    outcome = await Chance().answer(Query(text, NOW, BERLIN, intent="pick"))
    assert isinstance(outcome, Abstention)
    assert outcome.code == "needs_input"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "what is the capital of france",
        "is this password safe",
        "i forgot my password",
        "write a cover letter",
        "add milk and eggs to the shopping list",
        "how many people die from flu",
        "what number is my bus",
        "wirf eine münze",
        "the credit card was declined",
        "note that the pin is 4711",
        "( " * 20_000,
    ],
)
async def test_what_leaves_nothing_to_chance_is_not_ours(text: str) -> None:
    outcome = await Chance().answer(Query(text, NOW, BERLIN))
    assert isinstance(outcome, Abstention)
    assert outcome.code == "not_mine"
