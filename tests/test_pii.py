"""The pii expert: names and numbers of many countries, what is nobody's, and what is left of a text without them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.experts.bundle import open_bundle
from expertd.experts.golden import check, to_query
from expertd.experts.kinds.tagger import Finder, TaggerServable, load, open_finder
from expertd.experts.servable import Host
from expertd.experts.tagging.contact import is_luhn
from expertd.experts.values import Answer, Document, Query, Structured

FOLDER = Path(__file__).resolve().parent.parent / "experts" / "bundles" / "pii"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def finder() -> Finder:
    return open_finder(open_bundle(FOLDER))[1]


@pytest.fixture
async def servable(host: Host) -> TaggerServable:
    return await load(open_bundle(FOLDER), host)


def found(finder: Finder, text: str, *types: str) -> list[str]:
    """The texts of the spans of these types; without types, of all."""
    return [text[span.start : span.end] for span in finder.spans(text) if not types or span.type in types]


async def silent(text: str) -> None:
    raise AssertionError("it answers whole")


async def test_golden_examples_pass(servable: TaggerServable) -> None:
    for example in open_bundle(FOLDER).golden():
        assert check(await servable.answer(to_query(example), silent), example.expect) is None, example.query_fields


def test_the_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000


# --- Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ("pay with 4111 1111 1111 1111 please", "credit-card", "4111 1111 1111 1111"),
        ("amex 378282246310005", "credit-card", "378282246310005"),
        ("card no 6304000000000000", "credit-card", "6304000000000000"),
        ("to DE89370400440532013000 today", "iban", "DE89370400440532013000"),
        ("IBAN: GB82 WEST 1234 5698 7654 32.", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("my ssn is 512-44-9087", "us-ssn", "512-44-9087"),
        ("social security number 512449087", "us-ssn", "512449087"),
        ("NI number AB 12 34 56 C", "national-id", "AB 12 34 56 C"),
        ("DNI 12345678Z", "national-id", "12345678Z"),
        ("PESEL 44051401359", "national-id", "44051401359"),
        ("passport number 533380006", "passport", "533380006"),
        ("driver's license number is F162823540116", "driver-licence", "F162823540116"),
        ("number plate B-XY 1234", "licence-plate", "B-XY 1234"),
        ("send it to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "wallet", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "wallet", "0x52908400098527886E0F7030069857D2E4169EE7"),
        ("host 81.2.69.142 is down", "ip", "81.2.69.142"),
        ("from 2001:db8:85a3::8a2e:370:7334", "ip", "2001:db8:85a3::8a2e:370:7334"),
        ("mac 3c:22:fb:0a:9e:41", "mac-address", "3c:22:fb:0a:9e:41"),
        ("see https://example.org/a?b=c.", "url", "https://example.org/a?b=c"),
        ("see www.example.org, or", "url", "www.example.org"),
        ("jo.smith+x@mail.example.co.uk!", "email", "jo.smith+x@mail.example.co.uk"),
        ("jo (at) example (dot) org", "email", "jo (at) example (dot) org"),
        ("date of birth: 12/03/1984", "birth-date", "12/03/1984"),
        ("born on March 12, 1984 in", "birth-date", "March 12, 1984"),
        ("a 45-year-old man", "age", "45"),
    ],
)
def test_numbers_and_addresses_of_machines(finder: Finder, text: str, type_: str, value: str) -> None:
    assert found(finder, text, type_) == [value]


@pytest.mark.parametrize(
    "number",
    ["+49 30 901820", "+1 415-555-0132", "(415) 555-0132", "415-555-0132", "+44 20 7946 0958", "020 7946 0958",
     "06 12 34 56 78", "+33 6 12 34 56 78", "+91 98765 43210", "0176 5550123", "+46 (0)8 123 456 78",
     "001-415-555-0132", "415.555.0132 x12"],
)  # fmt: skip
def test_phones_of_many_writings(finder: Finder, number: str) -> None:
    assert found(finder, f"please call {number} today", "phone") == [number]


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112 has shipped",
        "DE00370400440532013000",
        "release 1.2.3 of 2.10",
        "std::vector<int> a::b",
        "at 12:30:45 sharp",
        "main.py and script.sh",
        "localhost 127.0.0.1",
        "room 12345 on floor 7",
        "sha 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "the ratio was 3/4",
        "the report is due tomorrow",
        "set a timer for ten minutes",
        "what is the weather like",
        "ADD MILK TO THE SHOPPING LIST",
        "Happy birthday to you!",
        "Click Save As and choose a folder.",
        "😀😀😀",
    ],
)
def test_what_is_nobodys_stays(finder: Finder, text: str) -> None:
    assert found(finder, text) == []


@pytest.mark.parametrize("text", ["from 1990-1995 it was closed", "on 2026-03-02 11:34:35"])
def test_other_numbers_are_no_phones(finder: Finder, text: str) -> None:
    assert found(finder, text, "phone", "credit-card", "us-ssn") == []


@given(st.integers(0, 10**15 - 1))
def test_one_digit_in_ten_passes_the_check_of_cards(body: int) -> None:
    assert sum(is_luhn(f"{body:015}{digit}") for digit in range(10)) == 1


# --- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ("My name is Miriam Okafor.", "person", "Miriam Okafor"),
        ("Hi Tomasz, are you coming tonight?", "person", "Tomasz"),
        ("I met Oluwaseun Adeyemi yesterday.", "person", "Oluwaseun Adeyemi"),
        ("Regards,\nKrisztina Bodnár", "person", "Krisztina Bodnár"),
        ("I live in Lisbon.", "place", "Lisbon"),
        ("We moved here from Estonia.", "place", "Estonia"),
        ("Please send it to 14 Mill Lane.", "address", "14 Mill Lane"),
        ("I work for Nordlys Energi.", "organisation", "Nordlys Energi"),
        ("Dear Mrs. Haddad,", "title", "Mrs."),
    ],
)
def test_names_are_learned_not_listed(finder: Finder, text: str, type_: str, value: str) -> None:
    assert found(finder, text, type_) == [value]


def test_unseen_characters_and_other_directions_do_not_hide_a_name(finder: Finder) -> None:
    text = "\u202bMy name is Miri\u200bam Okafor.\u202c"
    assert found(finder, text, "person") == ["Miri\u200bam Okafor"]


# --- Answers ---------------------------------------------------------------------------------------------------------


async def ask(servable: TaggerServable, text: str, intent: str, payload: str) -> Answer:
    outcome = await servable.answer(Query(text, NOW, ZoneInfo("UTC"), intent=intent, payload=payload), silent)
    assert isinstance(outcome, Answer)
    return outcome


async def test_redacting_leaves_the_rest_of_a_letter(servable: TaggerServable) -> None:
    letter = "Please call +49 30 901820 or write to ana@example.org.\nThe card is 4111 1111 1111 1111."
    answer = await ask(servable, "redact this", "redact", letter)
    assert answer.text == "Please call [PHONE] or write to [EMAIL].\nThe card is [CREDIT-CARD]."


async def test_the_sentence_for_people_is_masked(servable: TaggerServable) -> None:
    answer = await ask(servable, "any pii", "find", "card 4111 1111 1111 1111")
    assert answer.text == "1 piece of personal data: card number …1111."


async def test_a_long_document_is_read_to_its_end(servable: TaggerServable) -> None:
    text = "Nothing to see here, move on please.\n" * 5_000 + "Write to ana@example.org.\n"
    query = Query("redact this", NOW, ZoneInfo("UTC"), intent="redact", document=Document(text))
    answer = await servable.answer(query, silent)
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, Structured)
    assert answer.text.endswith("Write to [EMAIL].\n")


@pytest.mark.parametrize(
    "text", ["?", "\x00", "a" * 5_000, "中文没有空格的一句话", "ana@", "@" * 300, "(" * 300, "\ud800 lone"]
)
async def test_odd_texts_are_answered(servable: TaggerServable, text: str) -> None:
    await ask(servable, "any pii", "find", text)
