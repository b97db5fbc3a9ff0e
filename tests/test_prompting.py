"""What a text model is told: what requests say of length, language and fields, and when they are asked back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.experts.bundle import open_bundle
from expertd.experts.errors import QueryError
from expertd.experts.kinds.extraction import fields, schema_of
from expertd.experts.kinds.json_schema import take
from expertd.experts.kinds.prompting import Brief, brief, length, read_parameters, set_apart
from expertd.experts.kinds.translation import LANGUAGES, wish
from expertd.experts.values import Abstention, Document, Query

SHIPPED = Path(__file__).resolve().parent.parent / "experts" / "bundles"
TEXT = Document("The parcel came on Monday.")


def query(text: str, **given_with: Any) -> Query:
    return Query(text, datetime(2026, 3, 2, 9, tzinfo=UTC), ZoneInfo("UTC"), **given_with)


def told(expert: str, asked: Query) -> Brief | Abstention:
    """What the shipped expert's model is told."""
    bundle = open_bundle(SHIPPED / expert)
    parameters = read_parameters(bundle.manifest.parameters, bundle.path, bundle=expert)
    return brief(parameters, asked, name="tiny", max_tokens=512)


def system(expert: str, asked: Query) -> str:
    found = told(expert, asked)
    assert isinstance(found, Brief)
    assert "{" not in found.system or found.schema is not None
    return found.system


# --- Length ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "said"),
    [
        ("summarise this in one sentence", "Write exactly 1 sentence."),
        ("in three sentences please", "Write exactly 3 sentences."),
        ("three bullets on this", 'Give exactly 3 points, each on a line of its own after "- ".'),
        ("the five most important points", 'Give exactly 5 points, each on a line of its own after "- ".'),
        ("a couple of short sentences", "Write exactly 2 sentences."),
        ("in 50 words", "Use at most 50 words."),
        ("a 2-line summary", "Write exactly 2 lines."),
        ("as bullet points", 'Give the points as a list, each on a line of its own after "- ".'),
        ("tl;dr", "Write one or two short sentences."),
        ("the gist of it", "Write one or two short sentences."),
        ("in detail please", "Go into detail."),
        ("summarise this", ""),
        ("in 0 sentences", ""),
        ("summarise chapter 7", ""),
    ],
)
def test_what_a_request_says_of_the_length_is_read(instruction: str, said: str) -> None:
    assert length(instruction) == said


def test_a_length_reaches_the_model_and_without_one_the_usual_does() -> None:
    assert "Write exactly 1 sentence." in system("summarise", query("in one sentence", document=TEXT))
    assert "Write three to five sentences." in system("summarise", query("sum it up", document=TEXT))
    assert "Use at most 20 words." in system("rewrite", query("in 20 words", intent="shorten", document=TEXT))


def test_numbers_of_the_text_itself_say_nothing_of_the_length() -> None:
    found = system("summarise", query("summarise this", payload="He said it in five sentences. " * 20))
    assert "Write three to five sentences." in found


# --- Languages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "languages", "words"),
    [
        ("translate this into French", ("French",), ""),
        ("translate", (), ""),
        ("auf deutsch bitte", ("German",), ""),
        ("how do you say good morning in spanish", ("Spanish",), "good morning"),
        ('what is "in english please" in dutch', ("Dutch",), "in english please"),
        ("what's the italian word for squirrel", ("Italian",), "squirrel"),
        ("how do the finns say cheers in finnish", ("Finnish",), "cheers"),
        ("what would a norwegian say for bless you", ("Norwegian",), "bless you"),
        ("translate good night and sleep well into turkish", ("Turkish",), "good night and sleep well"),
        ("into french, german and polish please", ("French", "German", "Polish"), ""),
        ("this is in norwegian, what does it say in english", ("English",), ""),
        ("it came in czech, translate it", (), ""),
        ("from russian to english", ("English",), ""),
        ("in brazilian portuguese", ("Portuguese",), ""),
        ("put this into mandarin", ("Chinese",), ""),
        ("polish version of my letter", ("Polish",), ""),
    ],
)
def test_a_wish_for_a_translation_is_read(request_: str, languages: tuple[str, ...], words: str) -> None:
    found = wish(request_)
    assert (found.languages, found.unknown, found.words) == (languages, "", words)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ("translate this into klingon", "klingon"),
        ("put this into Old Norse please", "Old Norse"),
        ("how do you say hello in elvish", "elvish"),
        ("translate this to my language", "my language"),
    ],
)
def test_an_unknown_language_is_asked_back(request_: str, named: str) -> None:
    outcome = told("translate", query(request_, document=TEXT))
    assert isinstance(outcome, Abstention)
    assert outcome.code == "needs_input"
    assert named in outcome.reason
    assert "French" in outcome.reason


def test_the_language_reaches_the_model_and_without_one_it_is_english() -> None:
    assert "into Swedish." in system("translate", query("in swedish", document=TEXT))
    assert "into French and German." in system("translate", query("in french and german", document=TEXT))
    assert "into English." in system("translate", query("translate this", document=TEXT))


def test_words_in_the_request_itself_are_what_is_translated() -> None:
    found = told("translate", query("how do you say good morning in spanish", intent="say"))
    assert isinstance(found, Brief)
    assert (found.instruction, found.subject) == ("", "good morning")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_known_by_its_name(language: str) -> None:
    assert wish(f"translate this into {language.lower()}").languages == (language,)


@settings(deadline=None)
@given(st.text(max_size=300) | st.text("intoranslegm \n:'\"", max_size=3000))
def test_whatever_is_asked_it_is_read(text: str) -> None:
    found = wish(text)
    assert set(found.languages) <= set(LANGUAGES)
    length(text)
    take(schema_of(fields(text)))


@pytest.mark.parametrize("text", ["put to " * 4000, "translate into in to " * 1500, "say is in " * 3000, '"' * 30_000])
def test_long_nonsense_is_read_soon(text: str) -> None:
    assert len(text) > 20_000
    assert wish(text).words
    assert fields(text) == {}


# --- Fields ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ("extract name, date and total from this invoice", {"name": False, "date": False, "total": False}),
        ("extract the names and dates from this", {"names": True, "dates": True}),
        ("give me the sender, the amount and the due date", {"sender": False, "amount": False, "due date": False}),
        ("pull every price out of this menu", {"price": True}),
        ("as json with the keys title, author & year", {"title": False, "author": False, "year": False}),
        ("which companies does this name", {"companies": True}),
        ("name and birthday, from this card", {"name": False, "birthday": False}),
        ("split this address into street, postcode and city", {"street": False, "postcode": False, "city": False}),
        ("find the address and the status", {"address": False, "status": False}),
        ("turn this into json", {}),
        ("extract the data from this table", {}),
        ("extract everything", {}),
        ("", {}),
    ],
)
def test_the_fields_that_a_request_names_are_found(request_: str, named: dict[str, bool]) -> None:
    assert fields(request_) == named


def test_named_fields_become_a_schema_in_which_nothing_need_be_invented() -> None:
    found = told("extract", query("extract the due date and all amounts from this", document=TEXT))
    assert isinstance(found, Brief)
    assert found.schema is not None
    assert found.schema.problem('{"due_date": null, "amounts": []}') == ""
    assert found.schema.problem('{"due_date": "4 May", "amounts": ["3.50"]}') == ""
    assert found.schema.text in found.system


def test_without_named_fields_names_dates_and_amounts_are_wanted() -> None:
    assert list(json.loads(json.dumps(schema_of({})))["properties"]) == ["names", "dates", "amounts"]


def test_the_schema_of_the_request_goes_before_the_fields_that_it_names() -> None:
    wanted = {"properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    found = told("extract", query("extract the name", document=TEXT, schema=wanted))
    assert isinstance(found, Brief)
    assert found.schema is not None
    assert found.schema.schema == wanted


# --- Texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expert", ["summarise", "rewrite", "title", "extract", "translate"])
def test_a_request_that_points_at_a_text_that_is_not_there_is_asked_back(expert: str) -> None:
    """Of the sentences that bring people here."""
    asks: dict[str, list[str]] = {}
    for intent, sentences in open_bundle(SHIPPED / expert).intents():
        for sentence in sentences:
            if ":" in sentence or intent == "say" or '"' in sentence:
                continue
            if isinstance(told(expert, query(sentence, intent=intent)), Brief):
                asks.setdefault(intent, []).append(sentence)
    # "translate hello everybody and welcome into romanian" has its words with it.
    assert sum(map(len, asks.values())) <= 2, asks


def test_several_documents_are_read_one_after_the_other() -> None:
    asked = query("sum these up", document=Document("One."), further=(Document("Two."), Document("Three.")))
    assert set_apart(asked) == ("sum these up", "One.\n\nTwo.\n\nThree.")


def test_an_unknown_intent_is_refused_with_those_there_are() -> None:
    with pytest.raises(QueryError, match="there are correct, rephrase, shorten, tone") as caught:
        told("rewrite", query("rewrite this", intent="sing", document=TEXT))
    assert caught.value.reason == "UNKNOWN_INTENT"


@pytest.mark.parametrize("expert", ["summarise", "rewrite", "title", "extract", "translate", "chat"])
def test_every_shipped_intent_has_a_prompt_and_every_prompt_an_intent(expert: str) -> None:
    bundle = open_bundle(SHIPPED / expert)
    assert {intent.name for intent in bundle.intents()} == set(bundle.manifest.parameters["prompts"])
