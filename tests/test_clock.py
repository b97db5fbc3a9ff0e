"""The clock: here, elsewhere, and from one zone to another."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from expertd.experts.skills import places
from expertd.experts.skills.clock import Clock
from expertd.experts.values import Abstention, Answer, Outcome, Query, Structured

BERLIN = ZoneInfo("Europe/Berlin")
# A Monday, in winter.
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=BERLIN)
SUMMER = datetime(2026, 7, 1, 12, 0, tzinfo=BERLIN)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


async def ask(clock: Clock, text: str, intent: str = "", now: datetime = NOW) -> Outcome:
    return await clock.answer(Query(text, now, BERLIN, intent=intent))


async def told(clock: Clock, text: str, intent: str = "", now: datetime = NOW) -> dict[str, Any]:
    outcome = await ask(clock, text, intent, now)
    assert isinstance(outcome, Answer), outcome
    assert isinstance(outcome.result, Structured)
    return {**outcome.result.data, "text": outcome.text}


async def test_the_time_here(clock: Clock) -> None:
    found = await told(clock, "what time is it?")
    assert found["text"] == "It is 09:00 on Monday 2 March 2026."
    assert (found["time"], found["zone"]) == ("2026-03-02T09:00:00+01:00", "Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("what time is it in Tokyo", "2026-03-02T17:00:00+09:00"),
        ("what time is it in new york right now", "2026-03-02T03:00:00-05:00"),
        ("tokyo time", "2026-03-02T17:00:00+09:00"),
        ("current time in são paulo", "2026-03-02T05:00:00-03:00"),
        ("time in Europe/Oslo", "2026-03-02T09:00:00+01:00"),
        ("what time is it in america/argentina/buenos_aires", "2026-03-02T05:00:00-03:00"),
        ("what's the time in LA", "2026-03-02T00:00:00-08:00"),
        ("what time is it in EST", "2026-03-02T03:00:00-05:00"),
        ("what time is it in UTC+5:30", "2026-03-02T13:30:00+05:30"),
        ("what time is it in delhi, india", "2026-03-02T13:30:00+05:30"),
        ("what time is it in longyearbyen", "2026-03-02T09:00:00+01:00"),
        ("time in kathmandu", "2026-03-02T13:45:00+05:45"),
        ("what time will it be in three hours", "2026-03-02T12:00:00+01:00"),
        ("what time was it 20 minutes ago", "2026-03-02T08:40:00+01:00"),
        ("what time will it be in Tokyo in 2 hours", "2026-03-02T19:00:00+09:00"),
    ],
)
async def test_the_time_elsewhere_and_elsewhen(clock: Clock, text: str, time: str) -> None:
    assert (await told(clock, text))["time"] == time


async def test_summer_time_is_followed(clock: Clock) -> None:
    assert (await told(clock, "what time is it in london", now=SUMMER))["time"] == "2026-07-01T11:00:00+01:00"
    assert (await told(clock, "what time is it in phoenix", now=SUMMER))["time"] == "2026-07-01T03:00:00-07:00"
    assert (await told(clock, "is it daylight saving time in london", now=SUMMER))["daylight_saving"] is True


async def test_several_places_in_one_question(clock: Clock) -> None:
    found = await told(clock, "time in zurich and dubai")
    assert [place["place"] for place in found["places"]] == ["Zurich", "Dubai"]
    assert found["text"] == "It is 09:00 in Zurich, 12:00 in Dubai."


async def test_a_country_of_many_zones_says_whose_time_it_is(clock: Clock) -> None:
    found = await told(clock, "what time is it in brazil")
    assert found["place"] == "Brasília"
    assert "several time zones" in found["text"]


@pytest.mark.parametrize(
    ("text", "told_text"),
    [
        ("when it is 5pm in London what time is it in New York", "17:00 in London is 12:00 in New York."),
        ("what time is it in Tokyo when it's 5pm in London", "17:00 in London is 02:00 the next day in Tokyo."),
        ("what's 5pm London time in Tokyo", "17:00 in London is 02:00 the next day in Tokyo."),
        ("9:30 tokyo in berlin", "09:30 in Tokyo is 01:30 in Berlin."),
        ("convert 3pm EST to CET", "15:00 in EST is 21:00 in CET."),
        ("if it's noon here, what time is it in Sydney", "12:00 here is 22:00 in Sydney."),
        ("what's 8 am new york time for me", "08:00 in New York is 14:00 here."),
        ("half past six in madrid is what time in lima", "18:30 in Madrid is 12:30 in Lima."),
        ("convert 14:00 utc to pacific time", "14:00 in UTC is 06:00 in Pacific time."),
        ("convert 2 am in Berlin to Honolulu time", "02:00 in Berlin is 15:00 the day before in Honolulu."),
    ],
)
async def test_from_one_zone_to_another(clock: Clock, text: str, told_text: str) -> None:
    assert (await told(clock, text))["text"] == told_text


async def test_conversion_weeks_apart_uses_the_offsets_of_that_day(clock: Clock) -> None:
    """From 8 to 29 March New York is on summer time already and London is not: four hours, not five."""
    found = await told(clock, "what is 5pm in London in New York", now=datetime(2026, 3, 16, 9, 0, tzinfo=BERLIN))
    assert found["time"] == "2026-03-16T13:00-04:00"


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("what's the time difference between Berlin and Tokyo", -480),
        ("how many hours ahead is Sydney", 600),
        ("how far behind is LA", -540),
        ("time difference to mumbai", 270),
        ("how many hours are between Paris and Madrid", 0),
    ],
)
async def test_differences(clock: Clock, text: str, minutes: int) -> None:
    assert (await told(clock, text))["minutes"] == minutes


async def test_zones(clock: Clock) -> None:
    assert (await told(clock, "what timezone is Paris in"))["zone"] == "Europe/Paris"
    assert (await told(clock, "utc offset of India"))["offset_minutes"] == 330
    assert (await told(clock, "what's my time zone"))["zone"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("what's the date", "2026-03-02"),
        ("what day is it", "2026-03-02"),
        ("what day is tomorrow", "2026-03-03"),
        ("what was the date yesterday", "2026-03-01"),
        ("whats todays date", "2026-03-02"),
        ("what's the date in Tokyo tomorrow", "2026-03-03"),
    ],
)
async def test_dates(clock: Clock, text: str, date: str) -> None:
    assert (await told(clock, text))["date"] == date


async def test_the_date_may_differ_elsewhere(clock: Clock) -> None:
    late = datetime(2026, 3, 2, 23, 0, tzinfo=BERLIN)
    assert (await told(clock, "what's the date in Auckland", now=late))["date"] == "2026-03-03"
    assert (await told(clock, "what week is it"))["text"] == "It is week 10 of 2026 (ISO)."


@pytest.mark.parametrize(
    "text",
    [
        "set a timer for 5 minutes",
        "what time does the film start",
        "how long until christmas",
        "what time is sunset",
        "tell me a joke",
        "wake me at 7 in Tokyo",
        "remind me what day it is",
        "",
    ],
)
async def test_what_asks_for_no_time_is_not_ours(clock: Clock, text: str) -> None:
    outcome = await ask(clock, text)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "not_mine"


async def test_a_place_that_it_does_not_know_is_named(clock: Clock) -> None:
    outcome = await ask(clock, "what time is it in narnia", "time")
    assert isinstance(outcome, Abstention)
    assert outcome.code == "unsure"
    assert "narnia" in outcome.reason


def test_every_place_of_the_table_has_a_zone_that_exists() -> None:
    known = available_timezones()
    assert set(places._ZONES) <= known
    assert {zone for _, zone in places._WIDE.values()} <= known
    assert set(places._NAMED.values()) <= known
    names = [name.strip() for text in places._ZONES.values() for name in text.split(",")]
    assert len(names) == len(set(names)) > 400
    for name in names:
        (place,) = places.find_places(f"what time is it in {name}")
        assert getattr(place.zone, "key", None) == places._table()[name], name


@pytest.mark.parametrize("text", ["what time is it on Mars", "what time is it on the moon", "time on the titanic"])
async def test_a_place_off_the_map_gets_no_time_of_here(clock: Clock, text: str) -> None:
    outcome = await ask(clock, text, "time")
    assert isinstance(outcome, Abstention)
    assert "is no place whose clock is known" in outcome.reason


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("days between 1 may and 3 june", "date"),
        ("is it a weekend", "date"),
        ("when do the clocks change", "zone"),
        ("when do the clocks go back", "time"),
        ("sleeps until friday", "date"),
        ("is the party on friday", "date"),
        ("what weekday does christmas fall on this year", "date"),
        ("which dates make up week 40", "date"),
        ("what is the hundredth day of the year", "date"),
        ("what day is 24 december", "date"),
        ("which weekday was 20 july 1969", "date"),
        ("is the 5th of may a monday", "date"),
        ("what weekday is the 5th", "time"),
        ("what date will it be in 5 days", "date"),
        ("what date is next friday", "time"),
        ("weeks until easter", "time"),
        ("when is thanksgiving in canada", "date"),
        ("does 2032 have 53 weeks", "date"),
        ("what day is thursday", "date"),
    ],
)
async def test_what_it_cannot_reckon_is_not_answered_with_a_date(clock: Clock, text: str, intent: str) -> None:
    outcome = await ask(clock, text, intent)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "not_mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("is it monday", "Yes. Today is Monday 2 March 2026."),
        ("is it friday today?", "No. Today is Monday 2 March 2026."),
        ("is tomorrow tuesday", "Yes. Tomorrow is Tuesday 3 March 2026."),
        ("is it already tuesday in Sydney", "No. Today in Sydney is Monday 2 March 2026."),
    ],
)
async def test_a_question_of_the_weekday_gets_yes_or_no(clock: Clock, text: str, said: str) -> None:
    found = await told(clock, text)
    assert (found["text"], found["holds"]) == (said, said.startswith("Yes"))
