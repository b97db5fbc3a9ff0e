"""Lists on a real database, with an encoder that knows a few synonyms in the trunk's place."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.experts.errors import StoreError
from expertd.experts.skills import lists
from expertd.experts.skills.list_items import split_items
from expertd.experts.skills.list_naming import find_list, list_name
from expertd.experts.skills.list_request import read_request
from expertd.experts.skills.lists import Lists
from expertd.experts.skills.meaning import content_words
from expertd.experts.values import FloatArray
from tests.ledger_skills import Speaker, fill_disk
from tests.outcomes import abstention_code, asked_back, done

# By their stems.
SYNONYMS = {"cooker": "stov"}


async def encode(texts: Sequence[str]) -> FloatArray:
    """A vector per word, the same for synonyms."""
    vectors = np.zeros((len(texts), 384), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in content_words(text) or ("nothing",):
            vectors[row, zlib.crc32(SYNONYMS.get(word, word).encode()) % 379] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Person(Speaker[Lists]):
    def __init__(self, database: Path) -> None:
        super().__init__(database, Lists, encode)

    async def on(self, name: str) -> list[str]:
        _, slots, _ = done(await self.says(f"show the {name} list", session="looking"))
        return [item["text"] + " (done)" * item["done"] for item in slots["items"]]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path / "expertd.db")


@pytest.fixture
async def shopper(person: Person) -> Person:
    await person.says("add eggs, milk and two loaves of bread to the shopping list")
    await person.says("add tent and stove to the packing list")
    await person.says("what's on my shopping list")
    return person


# --- Items -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("eggs, milk and two loaves of bread", ["eggs", "milk", "bread"]),
        ("salt and pepper", ["salt", "pepper"]),
        ("mac and cheese, fish and chips", ["mac and cheese", "fish and chips"]),
        ("red and green apples and pears", ["red and green apples", "pears"]),
        ('"bread and butter" and jam', ["bread and butter", "jam"]),
        ("- milk\n- eggs\n2. bread", ["milk", "eggs", "bread"]),
        ("egg, Eggs", ["egg"]),
        ("", []),
        (" , and ,", ["and"]),
    ],
)
def test_a_sentence_falls_into_items(said: str, names: list[str]) -> None:
    assert [item.name for item in split_items(said)] == names


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("call mum and dad and book a table", ["call mum and dad", "book a table"]),
        ("buy milk, eggs and bread, call dave", ["buy milk, eggs and bread", "call dave"]),
        ("taxes, dentist and fix bike", ["taxes", "dentist", "fix bike"]),
        ("call 3 people", ["call 3 people"]),
    ],
)
def test_tasks_part_only_before_another_verb(said: str, names: list[str]) -> None:
    assert [item.name for item in split_items(said, tasks=True)] == names


@pytest.mark.parametrize(
    ("said", "name", "quantity", "unit"),
    [
        ("two loaves of bread", "bread", 2, "loaves"),
        ("a dozen eggs", "eggs", 12, None),
        ("half a kilo of flour", "flour", 0.5, "kilo"),
        ("two and a half litres of milk", "milk", 2.5, "litres"),
        ("500g flour", "flour", 500, "g"),
        ("1,5 kg potatoes", "potatoes", 1.5, "kg"),
        ("milk x2", "milk", 2, None),
        ("3 lemons", "lemons", 3, None),
        ("a pint of milk", "milk", 1, "pint"),
        ("some cheese", "cheese", None, None),
        ("2 percent milk", "2 percent milk", None, None),
        ("7 up", "7 up", None, None),
    ],
)
def test_quantities_are_kept(said: str, name: str, quantity: float | None, unit: str | None) -> None:
    (item,) = split_items(said)
    assert (item.name, item.quantity, item.unit) == (name, quantity, unit)


@given(st.text(max_size=80))
def test_items_of_any_text_are_not_empty_and_differ(text: str) -> None:
    for tasks in (False, True):
        items = split_items(text, tasks=tasks)
        assert all(item.name and item.text for item in items)
        assert len({item.key for item in items}) == len(items)


# --- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("My To Do List", "to-do"),
        ("my todos", "to-do"),
        ("the list", ""),
        ("things to pack", "packing"),
        ("groceries", "grocery"),
        ("christmas presents", "christmas presents"),
    ],
)
def test_one_list_has_one_name(words: str, name: str) -> None:
    assert list_name(words) == name


def test_a_list_is_known_by_what_means_the_same_and_by_a_near_spelling() -> None:
    assert find_list("grocery", ["shopping", "packing"]) == "shopping"
    assert find_list("grocery", ["shopping", "grocery"]) == "grocery"
    assert find_list("shoping", ["shopping"]) is None or find_list("shoping", ["shopping"]) == "shopping"
    assert find_list("packin", ["packing"]) == "packing"
    assert find_list("party", ["packing"]) is None


# --- Adding and showing -----------------------------------------------------------------------------------------------


async def test_what_is_added_is_there_after_a_restart_in_its_order(shopper: Person) -> None:
    shopper.skill = shopper.another()
    assert await shopper.on("shopping") == ["eggs", "milk", "two loaves of bread"]
    name, slots, text = done(await shopper.says("what's on my shopping list"))
    assert (name, slots["open"]) == ("list.shown", 3)
    assert text == "Shopping list, 3 items:\n1. eggs\n2. milk\n3. two loaves of bread"


async def test_what_is_there_already_is_not_added_twice(shopper: Person) -> None:
    _, slots, text = done(await shopper.says("add egg and butter to the shopping list"))
    assert [item["text"] for item in slots["items"]] == ["butter"]
    assert text == "Butter is on the shopping list. Eggs are on the shopping list already."
    await shopper.says("add a dozen eggs to the shopping list")
    assert await shopper.on("shopping") == ["a dozen eggs", "milk", "two loaves of bread", "butter"]


async def test_what_was_ticked_off_is_open_again_when_it_is_added_again(shopper: Person) -> None:
    await shopper.says("tick off milk", "tick")
    await shopper.says("add milk to the shopping list")
    assert await shopper.on("shopping") == ["eggs", "milk", "two loaves of bread"]


@pytest.mark.parametrize(
    ("said", "list_", "items"),
    [
        ("put call the bank on my to do list", "to-do", ["call the bank"]),
        ("shopping list: add tomatoes", "shopping", ["tomatoes"]),
        ("we're out of coffee, put it on the list", "shopping", ["coffee"]),
        ("i need to buy onions, add them to the groceries", "shopping", ["onions"]),
        ("new task: renew the permit", "to-do", ["renew the permit"]),
        ("add the murakami to my reading list please", "reading", ["murakami"]),
    ],
)
async def test_items_go_on_the_list_that_is_named(shopper: Person, said: str, list_: str, items: list[str]) -> None:
    _, slots, _ = done(await shopper.says(said))
    assert (slots["list"], [item["item"] for item in slots["items"]]) == (list_, items)


async def test_without_a_name_the_list_of_the_conversation_counts(person: Person) -> None:
    assert done(await person.says("add milk", "add"))[1]["list"] == "shopping"
    assert done(await person.says("add call mum", "add", session="b"))[1]["list"] == "shopping"
    await person.says("create a party list")
    assert done(await person.says("add candles", "add"))[1]["list"] == "party"
    assert done(await person.says("add call dad", "add", session="c"))[1]["list"] == "to-do"
    assert done(await person.says("add jam", "add", session="d"))[1]["list"] == "shopping"


async def test_lists_are_created_and_shown(person: Person) -> None:
    assert done(await person.says("what lists do i have"))[2] == "You have no lists."
    name, slots, _ = done(
        await person.says("create a list for the camping trip with tent, stove and matches"),
    )
    assert (name, slots["list"], slots["count"]) == ("list.created", "camping trip", 3)
    assert "already" in asked_back(await person.says("create a camping trip list"))
    assert done(await person.says("show all my lists"))[1]["lists"] == [{"list": "camping trip", "count": 3, "open": 3}]
    assert done(await person.says("what's on my wish list"))[2] == "There is no wish list yet."
    assert "called" in asked_back(await person.says("open a new list", "create"))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("is milk on my shopping list", True),
        ("do i still need eggs", True),
        ("did i put coffee on the list", False),
        ("is there a cooker on my packing list", True),
        ("which list is the tent on", True),
    ],
)
async def test_whether_something_is_on_a_list(shopper: Person, said: str, found: bool) -> None:
    name, slots, text = done(await shopper.says(said, "check"))
    assert (name, slots["found"]) == ("list.checked", found)
    assert text.startswith("Yes" if found else "No")


# --- Ticking off, removing, moving ------------------------------------------------------------------------------------


async def test_items_are_ticked_off_and_on(shopper: Person) -> None:
    _, slots, text = done(await shopper.says("mark milk and egg and jam as bought", "tick"))
    assert [item["item"] for item in slots["items"]] == ["milk", "eggs"]
    assert text == "Milk and eggs are ticked off. Not on the shopping list: jam."
    assert await shopper.on("shopping") == ["two loaves of bread", "eggs (done)", "milk (done)"]
    done(await shopper.says("untick the milk", "tick"))
    assert await shopper.on("shopping") == ["milk", "two loaves of bread", "eggs (done)"]
    assert done(await shopper.says("remove everything i've ticked off on the shopping list"))[1]["count"] == 1
    assert await shopper.on("shopping") == ["milk", "two loaves of bread"]


async def test_what_is_removed_comes_back_in_its_place(shopper: Person) -> None:
    before = await shopper.on("shopping")
    name, _, text = done(await shopper.says("take the milk off my shopping list"))
    assert (name, text) == ("list.item_removed", "Milk is off the shopping list.")
    await shopper.says("add jam to the packing list")
    done(await shopper.says("put back what you removed from the list"))
    assert await shopper.on("shopping") == before


async def test_an_item_is_found_by_meaning_where_no_word_fits(shopper: Person) -> None:
    assert done(await shopper.says("remove the cooker from the packing list"))[1]["items"][0]["item"] == "stove"
    assert "zebra" in asked_back(await shopper.says("remove the zebra from the packing list"))


async def test_where_two_fit_it_asks_which(shopper: Person) -> None:
    await shopper.says("add red peppers and green peppers to the shopping list")
    question = asked_back(await shopper.says("remove the peppers from the shopping list"))
    assert question == "Which one shall I remove?\n1. red peppers\n2. green peppers"
    assert done(await shopper.says("the second one"))[1]["items"][0]["text"] == "green peppers"


async def test_numbers_mean_the_lines_of_the_last_listing_of_the_session(shopper: Person) -> None:
    await shopper.says("show the packing list", session="another")
    assert done(await shopper.says("remove the second one"))[1]["items"][0]["item"] == "milk"
    assert done(await shopper.says("remove number three", "remove"))[1]["items"][0]["item"] == "bread"
    assert done(await shopper.says("tick off the last item on the packing list"))[1]["items"][0]["item"] == "stove"


async def test_items_are_moved_to_another_list_and_within_one(shopper: Person) -> None:
    await shopper.says("add milk to the packing list")
    done(await shopper.says("move milk and eggs from the shopping list to the packing list"))
    assert await shopper.on("shopping") == ["two loaves of bread"]
    assert await shopper.on("packing") == ["tent", "stove", "milk", "eggs"]
    done(await shopper.says("move eggs to the top of the packing list"))
    assert (await shopper.on("packing"))[0] == "eggs"
    done(await shopper.says("undo"))
    done(await shopper.says("undo"))
    assert await shopper.on("shopping") == ["eggs", "milk", "two loaves of bread"]


async def test_items_and_lists_are_changed(shopper: Person) -> None:
    done(await shopper.says("change milk to oat milk on my shopping list"))
    done(await shopper.says("set the eggs on my shopping list to a dozen"))
    assert await shopper.on("shopping") == ["a dozen eggs", "oat milk", "two loaves of bread"]
    done(await shopper.says("rename the packing list to summer trip"))
    assert await shopper.on("summer trip") == ["tent", "stove"]
    assert "already" in asked_back(await shopper.says("rename the summer trip list to shopping"))


# --- Clearing ---------------------------------------------------------------------------------------------------------


async def test_a_list_goes_only_when_it_is_said_twice_or_plainly(shopper: Person) -> None:
    assert 'Say "clear everything on the shopping list"' in asked_back(await shopper.says("clear my shopping list"))
    assert len(await shopper.on("shopping")) == 3
    assert done(await shopper.says("yes"))[1]["count"] == 3
    assert await shopper.on("shopping") == []
    assert "with 2 items" in asked_back(await shopper.says("delete the packing list"))
    assert done(await shopper.says("delete the whole packing list"))[0] == "list.deleted"
    done(await shopper.says("bring back the list i deleted"))
    assert await shopper.on("packing") == ["tent", "stove"]


async def test_all_lists_go_and_come_back(shopper: Person) -> None:
    done(await shopper.says("delete all my lists"))
    assert done(await shopper.says("what lists do i have"))[1]["count"] == 0
    assert "2 lists are back" in done(await shopper.says("undo"))[2]
    assert await shopper.on("shopping") == ["eggs", "milk", "two loaves of bread"]


@pytest.mark.parametrize(
    "said", ["remove everything except milk from the shopping list", "clear the shopping list except for the eggs"]
)
async def test_an_exception_is_never_passed_over(shopper: Person, said: str) -> None:
    asked_back(await shopper.says(said))
    assert len(await shopper.on("shopping")) == 3


# --- The database -----------------------------------------------------------------------------------------------------


async def test_two_adds_at_a_time_lose_nothing(person: Person) -> None:
    await person.says_at_once([f"add thing{at} to the shopping list" for at in range(20)])
    assert sorted(await person.on("shopping")) == sorted(f"thing{at}" for at in range(20))


async def test_a_rehearsal_changes_nothing(shopper: Person) -> None:
    before = shopper.dump()
    for said in (
        "add jam to the shopping list",
        "create a party list",
        "tick off the milk on the shopping list",
        "remove milk from the shopping list",
        "move milk to the packing list",
        "delete all my lists",
        "show the shopping list",
        "undo that on my list",
    ):
        done(await shopper.says(said, rehearsal=True))
    assert shopper.dump() == before


async def test_a_full_disk_is_told_and_changes_nothing(shopper: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch)
    shopper.skill = shopper.another()
    many = ", ".join(f"a thing with a very long name number {number}" for number in range(80))
    with pytest.raises(StoreError, match=r"database or disk is full.*nothing was changed"):
        await shopper.says(f"add {many} to the shopping list")
    monkeypatch.undo()
    assert len(await shopper.on("shopping")) == 3


async def test_a_full_list_takes_no_more(shopper: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_ITEMS", 4)
    with pytest.raises(StoreError, match="4 items are on it"):
        await shopper.says("add jam and honey to the shopping list")
    assert len(await shopper.on("shopping")) == 3


# --- What is none of ours ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "the second one",
        "undo",
        "add milk",
        "add 2 and 3",
        "list the files in this folder",
        "list my timers",
        "give me a list of countries in europe",
        "sort this list",
        "reverse a linked list in python",
        "remind me to buy milk",
        "einkaufsliste zeigen",
        "x" * 50_000,
    ],
)
async def test_what_asks_for_no_list_is_not_ours(person: Person, text: str) -> None:
    assert abstention_code(await person.says(text)) == "not_mine"


async def test_an_item_is_only_ever_a_value(person: Person) -> None:
    await person.says('add "x\'); DROP TABLE users; --" to the shopping list')
    assert await person.on("shopping") == ["x'); DROP TABLE users; --"]


def test_the_routers_word_decides_where_the_sentence_does_not() -> None:
    assert read_request("add milk") is None
    request = read_request("add milk", "add")
    assert request is not None
    assert (request.verb, request.items) == ("add", "milk")
