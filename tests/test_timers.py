"""Timers, alarms and reminders on a real scheduler and a real database."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from expertd.experts.errors import QueryError, StoreError
from expertd.experts.schedule import Scheduler
from expertd.experts.skills.timer_items import Item
from expertd.experts.skills.timers import Fired, Timers, subscribe
from expertd.experts.values import Abstention, Outcome, Query
from tests.outcomes import asked_back, done

BERLIN = ZoneInfo("Europe/Berlin")
# A Monday.
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=BERLIN)


class Person:
    """Says sentences to the skill: at a fixed time in rehearsal, in the present for real."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.skill = Timers(scheduler)

    async def says(self, text: str, intent: str = "") -> Outcome:
        return await self.skill.answer(Query(text, datetime.now(BERLIN), BERLIN, intent=intent))

    async def would_say(self, text: str, intent: str = "", now: datetime = NOW) -> Outcome:
        return await self.skill.answer(Query(text, now, BERLIN, intent=intent, rehearsal=True))


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Person]:
    scheduler = Scheduler(tmp_path / "expertd.db")
    await scheduler.start()
    yield Person(scheduler)
    await scheduler.stop()


# --- Creating --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "slots"),
    [
        ("wake me at 7:30 tomorrow", "alarm.created", {"due": "2026-03-03T07:30:00+01:00"}),
        ("wake me at 7:30", "alarm.created", {"due": "2026-03-03T07:30:00+01:00"}),
        ("wake me at 10", "alarm.created", {"due": "2026-03-02T10:00:00+01:00"}),
        ("wake me up at half past five", "alarm.created", {"due": "2026-03-03T05:30:00+01:00"}),
        ("set an alarm for 7 tomorrow morning", "alarm.created", {"due": "2026-03-03T07:00:00+01:00"}),
        ("alarm 0715", "alarm.created", {"due": "2026-03-03T07:15:00+01:00"}),
        ("set alarm for 5pm", "alarm.created", {"due": "2026-03-02T17:00:00+01:00"}),
        ("wake me in an hour", "alarm.created", {"due": "2026-03-02T10:00:00+01:00"}),
        ("set an alarm for 6am for the gym", "alarm.created", {"due": "2026-03-03T06:00:00+01:00", "name": "gym"}),
        ("set a timer for ten minutes called pasta", "timer.created", {"seconds": 600.0, "name": "pasta"}),
        ("start a pasta timer for 8 minutes", "timer.created", {"seconds": 480.0, "name": "pasta"}),
        ("set a 20 minute timer for the eggs", "timer.created", {"seconds": 1200.0, "name": "eggs"}),
        ("timer 5 min pls", "timer.created", {"seconds": 300.0, "name": ""}),
        ("set a timer for an hour and a half", "timer.created", {"seconds": 5400.0}),
        (
            "remind me to call mum on friday at 5",
            "reminder.created",
            {"due": "2026-03-06T17:00:00+01:00", "text": "call mum"},
        ),
        (
            "remind me tomorrow, please, to call mum at 5",
            "reminder.created",
            {"due": "2026-03-03T17:00:00+01:00", "text": "call mum"},
        ),
        (
            "remind me to cancel the gym membership tomorrow at 10",
            "reminder.created",
            {"due": "2026-03-03T10:00:00+01:00", "text": "cancel the gym membership"},
        ),
        (
            "remind me in half an hour to check the oven",
            "reminder.created",
            {"due": "2026-03-02T09:30:00+01:00", "text": "check the oven"},
        ),
        (
            "remind me to pay the fine by friday",
            "reminder.created",
            {"due": "2026-03-06T09:00:00+01:00", "text": "pay the fine"},
        ),
    ],
)
async def test_what_people_say_becomes_what_they_mean(
    person: Person, text: str, name: str, slots: dict[str, Any]
) -> None:
    action, found, _ = done(await person.would_say(text))
    assert (action, {key: found[key] for key in slots}) == (name, slots)


async def test_an_answer_tells_day_date_and_how_long_it_is_until_then(person: Person) -> None:
    evening = datetime(2026, 3, 2, 17, 18, tzinfo=BERLIN)
    _, _, text = done(await person.would_say("wake me at 7:30 tomorrow", now=evening))
    assert text == "Alarm set for 07:30 tomorrow (Tuesday 3 March), in 14 h 12 min."


async def test_every_weekday_at_8_repeats_on_weekdays(person: Person) -> None:
    action, slots, text = done(await person.would_say("every weekday at 8", "create"))
    assert action == "alarm.created"
    assert slots["recurrence"] == {"frequency": "weekly", "weekdays": [0, 1, 2, 3, 4], "hour": 8}
    assert "every weekday at 08:00, first at 08:00 tomorrow" in text
    friday = datetime(2026, 3, 6, 9, 0, tzinfo=BERLIN)
    _, slots, _ = done(await person.would_say("alarm every weekday at 8", now=friday))
    assert slots["due"] == "2026-03-09T08:00:00+01:00"


async def test_two_alarms_in_one_sentence_are_two_alarms(person: Person) -> None:
    _, slots, _ = done(await person.says("set alarms for 6 and 7"))
    assert [item["due"][11:16] for item in slots["all"]] == ["06:00", "07:00"]
    assert len(person.scheduler.jobs("timers")) == 2


@pytest.mark.parametrize(
    "text", ["remind me at 8am today to run", "remind me yesterday at 5 to run", "remind me yesterday"]
)
async def test_a_time_in_the_past_is_refused_with_the_way_out(person: Person, text: str) -> None:
    with pytest.raises(QueryError, match=r"tomorrow at|to come") as caught:
        await person.would_say(text)
    assert caught.value.reason == "TIME_IN_PAST"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("set an alarm for 9am", "2026-03-03T09:00:00+01:00"),
        ("set an alarm for 9 in the morning", "2026-03-03T09:00:00+01:00"),
        ("wake me at nine", "2026-03-03T09:00:00+01:00"),
        ("remind me at 9:20 am to run", "2026-03-03T09:20:00+01:00"),
        ("set an alarm for 10am", "2026-03-02T10:00:00+01:00"),
    ],
)
async def test_in_the_hour_that_is_named_the_next_day_is_meant(person: Person, text: str, due: str) -> None:
    assert done(await person.would_say(text, now=NOW.replace(minute=20, second=5)))[1]["due"] == due
    with pytest.raises(QueryError, match="to come"):
        await person.would_say("set an alarm for 9am today", now=NOW.replace(minute=20))


async def test_31_february_is_refused(person: Person) -> None:
    with pytest.raises(QueryError, match="31 February") as caught:
        await person.would_say("set an alarm for 31 february at 8")
    assert caught.value.reason == "NO_SUCH_DATE"


async def test_an_hour_that_daylight_saving_skips_is_moved_and_the_answer_says_so(person: Person) -> None:
    _, slots, text = done(await person.would_say("set an alarm for 2:30 on 29 march"))
    assert slots["due"] == "2026-03-29T03:30:00+02:00"
    assert "02:30 does not exist" in text


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("set a timer", "how long"),
        ("set an alarm", "what time"),
        ("remind me to buy milk", "When shall I remind you"),
        ("wake me tomorrow", "At what time"),
        ("wake me every morning", "At what time"),
        ("set a timer for 0 minutes", "how long"),
    ],
)
async def test_what_is_missing_is_asked_for(person: Person, text: str, question: str) -> None:
    assert question in asked_back(await person.would_say(text))


@pytest.mark.parametrize("intent", ["", "create"])
@pytest.mark.parametrize(
    "text", ["what's the capital of france", "tell me a joke", "play some music", "set the table for two"]
)
async def test_what_is_no_timer_is_not_ours(person: Person, text: str, intent: str) -> None:
    outcome = await person.would_say(text, intent)
    assert isinstance(outcome, Abstention)
    assert outcome.code == "not_mine"


async def test_a_rehearsal_changes_nothing(person: Person) -> None:
    await person.says("set a pasta timer for 10 minutes")
    before = person.scheduler.jobs("timers")
    for text in ("set a timer for 5 minutes", "cancel all timers", "pause the timer", "add 5 minutes to the timer"):
        await person.skill.answer(Query(text, datetime.now(BERLIN), BERLIN, rehearsal=True))
    assert person.scheduler.jobs("timers") == before


async def test_a_full_disk_is_said_and_nothing_is_set(person: Person) -> None:
    connection = person.scheduler._journal._connection
    assert connection is not None
    await person.scheduler._write(lambda: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreError, match="nothing was changed"):
        await person.says("set a timer for 5 minutes")
    assert person.scheduler.jobs("timers") == []


# --- Listing, choosing, cancelling -----------------------------------------------------------------------------------


async def test_a_list_names_everything_of_the_kind_that_was_asked_for(person: Person) -> None:
    await person.says("set a pasta timer for 10 minutes")
    await person.says("set a timer for 3 hours")
    await person.says("remind me to call the dentist tomorrow at 15:00")
    name, slots, text = done(await person.says("what timers do I have"))
    assert (name, slots["count"]) == ("timers.listed", 2)
    assert "pasta timer, 10 min left" in text
    assert "dentist" not in text
    assert done(await person.says("show all my timers and reminders"))[1]["count"] == 3
    assert done(await person.says("do I have any alarms"))[2] == "You have no alarms."
    assert done(await person.says("what reminders do I have tomorrow"))[1]["count"] == 1


async def test_one_is_cancelled_by_name_by_length_by_time_or_as_the_only_one(person: Person) -> None:
    for text in (
        "set a pasta timer for 10 minutes",
        "set a timer for 3 hours",
        "set a bread timer for an hour",
        "set an alarm for 6:45",
        "set an alarm for 8:30",
    ):
        await person.says(text)
    for text, title in (
        ("cancel the pasta timer", "The pasta timer"),
        ("cancel the three hour timer", "The 3 h timer"),
        ("stop my timer", "The bread timer"),
        ("delete my 6:45 alarm", "The 06:45 alarm"),
    ):
        name, _, said = done(await person.says(text))
        assert name.endswith(".cancelled")
        assert said == f"{title} is cancelled."
    assert len(person.scheduler.jobs("timers")) == 1


async def test_an_ambiguous_cancel_lists_them_and_cancels_none(person: Person) -> None:
    await person.says("set a pasta timer for 10 minutes")
    await person.says("set a bread timer for 20 minutes")
    question = asked_back(await person.says("cancel the timer"))
    assert "the pasta timer or the bread timer" in question
    assert 'no timer called "soup"' in asked_back(await person.says("cancel the soup timer"))
    assert len(person.scheduler.jobs("timers")) == 2
    assert done(await person.says("cancel both timers"))[1]["count"] == 2
    assert person.scheduler.jobs("timers") == []
    assert "no timer to cancel" in asked_back(await person.says("cancel the timer"))


async def test_cancelling_all_alarms_leaves_the_timers(person: Person) -> None:
    await person.says("set a timer for 10 minutes")
    await person.says("set alarms for 6 and 7")
    assert done(await person.says("delete all alarms"))[1]["count"] == 2
    assert [job.payload["kind"] for job in person.scheduler.jobs("timers")] == ["timer"]


async def test_a_repeating_alarm_is_left_out_once_for_a_day_and_cancelled_without_one(person: Person) -> None:
    await person.says("wake me every day at 6:40")
    (before,) = person.scheduler.jobs("timers")
    assert before.due is not None
    # Before 6:40 in Berlin the next one is today's.
    day = before.due.astimezone(BERLIN).date()
    word = "today" if day == datetime.now(BERLIN).date() else "tomorrow"
    name, _, _ = done(await person.says(f"don't wake me {word}"))
    assert name == "alarm.skipped"
    (after,) = person.scheduler.jobs("timers")
    assert after.due is not None
    assert after.rule == before.rule
    assert after.due.astimezone(BERLIN).date() == day + timedelta(days=1)
    assert done(await person.says("cancel my alarm"))[0] == "alarm.cancelled"


# --- While they run --------------------------------------------------------------------------------------------------


async def test_a_paused_timer_keeps_what_is_left_and_runs_on(person: Person) -> None:
    await person.says("set a pasta timer for 10 minutes")
    assert done(await person.says("pause the pasta timer"))[2] == "The pasta timer is paused with 10 min left."
    assert person.scheduler.jobs("timers")[0].due is None
    assert "paused with 10 min left" in done(await person.says("how long is left on the pasta timer"))[2]
    name, slots, _ = done(await person.says("resume the timer"))
    assert name == "timer.resumed"
    left = datetime.fromisoformat(slots["due"]) - datetime.now(BERLIN)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)


async def test_a_timer_is_made_longer_and_shorter_but_not_past(person: Person) -> None:
    await person.says("set a pasta timer for 10 minutes")
    assert done(await person.says("add 5 minutes to the pasta timer"))[1]["seconds"] == 900
    assert done(await person.says("make the pasta timer 2 minutes shorter"))[1]["seconds"] == 780
    with pytest.raises(QueryError) as caught:
        await person.says("take an hour off the timer")
    assert caught.value.reason == "TIME_IN_PAST"
    left = done(await person.says("how much time is left"))[1]["left_s"]
    assert 770 < left <= 780


async def test_an_alarm_is_moved_and_keeps_repeating(person: Person) -> None:
    await person.says("wake me every weekday at 6:45")
    name, slots, text = done(await person.says("move the 6:45 alarm to 7:15"))
    assert name == "alarm.changed"
    assert slots["recurrence"] == {"frequency": "weekly", "weekdays": [0, 1, 2, 3, 4], "hour": 7, "minute": 15}
    assert "every weekday at 07:15" in text
    (job,) = person.scheduler.jobs("timers")
    assert job.due is not None
    assert (job.due.astimezone(BERLIN).hour, job.due.astimezone(BERLIN).minute) == (7, 15)


async def test_a_reminder_that_is_moved_to_another_day_keeps_its_time_of_day(person: Person) -> None:
    await person.says("remind me to call the dentist tomorrow at 15:20")
    _, slots, _ = done(await person.says("move my dentist reminder to friday"))
    due = datetime.fromisoformat(slots["due"])
    assert (due.weekday(), due.hour, due.minute) == (4, 15, 20)


# --- Going off -------------------------------------------------------------------------------------------------------


async def test_what_goes_off_is_published_and_can_be_snoozed(person: Person) -> None:
    heard: asyncio.Queue[Fired] = asyncio.Queue()
    subscribe(person.scheduler, heard.put)
    assert "Nothing has gone off" in asked_back(await person.says("snooze"))
    await person.says("set a pasta timer for 1 second")
    fired = await asyncio.wait_for(heard.get(), 20)
    assert (fired.kind, fired.name, fired.text) == ("timer", "pasta", "Pasta timer is up")
    assert fired.due.utcoffset() == datetime.now(BERLIN).utcoffset()
    assert person.scheduler.jobs("timers") == []
    name, slots, text = done(await person.says("snooze for 5 minutes"))
    assert (name, slots["name"]) == ("timer.snoozed", "pasta")
    assert text.endswith("for 5 min.")
    assert [job.payload["name"] for job in person.scheduler.jobs("timers")] == ["pasta"]


async def test_a_reminder_that_was_missed_says_how_late_it_is(tmp_path: Path) -> None:
    database = tmp_path / "expertd.db"
    scheduler = Scheduler(database)
    await scheduler.start()
    await Person(scheduler).says("remind me to call mum in 10 minutes")
    await scheduler.stop()
    connection = sqlite3.connect(database)
    due = datetime.now(UTC) - timedelta(hours=2, minutes=5)
    connection.execute("UPDATE schedule_jobs SET due = ?", (due.isoformat(timespec="microseconds"),))
    connection.commit()
    connection.close()

    heard: asyncio.Queue[Fired] = asyncio.Queue()
    scheduler = Scheduler(database)
    subscribe(scheduler, heard.put)
    await scheduler.start()
    fired = await asyncio.wait_for(heard.get(), 20)
    await scheduler.stop()
    assert fired.text.startswith("call mum (2 h 5 min late, due at ")
    assert timedelta(hours=2, minutes=4) < fired.late < timedelta(hours=2, minutes=6)
    assert heard.empty()


# --- What must not happen ---------------------------------------------------------------------------------------------


def titles(person: Person) -> list[str]:
    return [Item(job).title for job in person.scheduler.jobs("timers")]


@pytest.mark.parametrize(
    ("set_before", "text", "said"),
    [
        ("wake me at 07:45", "delete my 6:30 alarm", "There is no alarm at 06:30; there is the 07:45 alarm."),
        ("set an alarm for 7am", "cancel my 7pm alarm", "There is no alarm at 19:00; there is the 07:00 alarm."),
        (
            "remind me at 9 tomorrow to water the plants for mum",
            "cancel the reminder to call mum",
            'There is no such reminder. There is the reminder "water the plants for mum".',
        ),
        (
            "set a 20 minute timer",
            "cancel the 10 minute timer",
            "There is no timer of 10 min; there is the 20 min timer.",
        ),
        (
            "set a 20 minute timer",
            "pause the 10 minute timer",
            "There is no timer of 10 min; there is the 20 min timer.",
        ),
        (
            "set a 20 minute timer",
            "how long is left on the 10 minute timer",
            "There is no timer of 10 min; there is the 20 min timer.",
        ),
        ("wake me at 07:45", "move my 6:30 alarm to 9", "There is no alarm at 06:30; there is the 07:45 alarm."),
    ],
)
async def test_a_time_that_nothing_has_touches_nothing(person: Person, set_before: str, text: str, said: str) -> None:
    await person.says(set_before)
    before = person.scheduler.jobs("timers")
    assert asked_back(await person.says(text)) == said
    assert person.scheduler.jobs("timers") == before


@pytest.mark.parametrize("text", ["cancel the timer", "cancel my 20 minute timer", "pause the timer for 5 minutes"])
async def test_the_only_one_is_meant_where_nothing_else_is_named(person: Person, text: str) -> None:
    await person.says("set a 20 minute timer")
    done(await person.says(text))


async def test_a_part_of_the_day_does_not_stand_against_the_only_alarm(person: Person) -> None:
    await person.says("set an alarm for 8am")
    assert done(await person.says("cancel my morning alarm"))[0] == "alarm.cancelled"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cancel all my alarms except the 8 o'clock one", ["the 08:00 alarm", "the pasta timer"]),
        (
            "cancel all alarms but the 8am one and the 9am one",
            ["the 08:00 alarm", "the 09:00 alarm", "the pasta timer"],
        ),
        ("cancel everything apart from the alarms", ["the 07:00 alarm", "the 08:00 alarm", "the 09:00 alarm"]),
        ("cancel everything other than the pasta timer", ["the pasta timer"]),
    ],
)
async def test_what_is_excepted_stays(person: Person, text: str, left: list[str]) -> None:
    for hour in (7, 8, 9):
        await person.says(f"set an alarm for {hour}am")
    await person.says("set a pasta timer for 10 minutes")
    done(await person.says(text))
    assert sorted(titles(person)) == left


async def test_an_exception_that_is_not_known_is_asked_for(person: Person) -> None:
    await person.says("set an alarm for 7am")
    await person.says("set an alarm for 8am")
    question = asked_back(await person.says("cancel all alarms except the one for the gym"))
    assert question.startswith("Which one shall stay: ")
    assert len(titles(person)) == 2


@pytest.mark.parametrize(("text", "seconds"), [("timer 3 seconds", 3), ("timer 2 hours", 7200), ("timer 10m5s", 605)])
async def test_a_length_without_a_word_of_change_makes_a_new_timer(person: Person, text: str, seconds: float) -> None:
    await person.says("set a 20 minute timer")
    name, slots, _ = done(await person.would_say(text, intent="extend"))
    assert (name, slots["seconds"]) == ("timer.created", seconds)
    assert done(await person.would_say("another five minutes on the timer", intent="extend"))[0] == "timer.extended"


@pytest.mark.parametrize("intent", ["", "create"])
@pytest.mark.parametrize(
    "text",
    ["never wake me at 7", "don't set a timer", "please don't set a timer for 5 minutes", "don't remind me at 8"],
)
async def test_what_is_forbidden_is_not_set(person: Person, text: str, intent: str) -> None:
    asked_back(await person.says(text, intent=intent))
    assert titles(person) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("set a timer for -5 minutes", "minus 5 min is before now"),
        ("set a timer for minus 5 minutes", "minus 5 min is before now"),
        ("set a timer for 400 years", "1 year at most"),
        ("remind me in 30 years to retire", "10 years ahead at most"),
        ("remind me every second", "once a minute at most"),
        ("remind me every 30 seconds to blink", "once a minute at most"),
    ],
)
async def test_lengths_beyond_sense_are_refused_with_the_limit(person: Person, text: str, names: str) -> None:
    with pytest.raises(QueryError, match=names) as refused:
        await person.would_say(text)
    assert refused.value.reason == "OUT_OF_RANGE"


@pytest.mark.parametrize("text", ["set 2 timers, 3 and 5 minutes", "timers for three and five minutes"])
async def test_a_unit_that_is_said_once_counts_for_both(person: Person, text: str) -> None:
    _, slots, _ = done(await person.would_say(text))
    assert [each["seconds"] for each in slots["all"]] == [180, 300]


async def test_items_of_one_name_are_told_apart_by_when_they_are_due(person: Person) -> None:
    await person.says("set a tea timer for 5 minutes")
    await person.says("set a tea timer for 30 minutes")
    question = asked_back(await person.says("cancel the tea timer"))
    found = re.fullmatch(r"Which one shall I cancel: the tea timer \((\S+)\) or the tea timer \((\S+)\)\?", question)
    assert found is not None, question
    assert found[1] != found[2]


@pytest.mark.parametrize(
    "text",
    [
        "remind me every day until friday at 8 to take the pill",
        "remind me every day for two weeks at 8 to take the pill",
        "until june wake me every monday at 7",
    ],
)
async def test_a_repetition_that_ends_is_asked_about(person: Person, text: str) -> None:
    assert "ends by itself" in asked_back(await person.says(text))
    assert titles(person) == []


async def test_a_task_with_a_week_in_it_is_no_end(person: Person) -> None:
    name, slots, _ = done(await person.would_say("remind me every monday at 8 to shop for the week"))
    assert (name, slots["text"]) == ("reminder.created", "shop for the week")


async def test_only_the_next_of_a_repeating_alarm_can_be_left_out(person: Person) -> None:
    await person.says("set an alarm for 7am every day")
    before = person.scheduler.jobs("timers")
    day = f"{datetime.now(BERLIN) + timedelta(days=3):%A}".lower()
    assert "can only be left out the next time" in asked_back(await person.says(f"don't wake me on {day}"))
    assert person.scheduler.jobs("timers") == before


async def test_one_is_listed_by_its_name(person: Person) -> None:
    await person.says("set a pasta timer for 10 minutes")
    await person.says("set a timer for 20 minutes called laundry")
    assert [item["name"] for item in done(await person.says("show the laundry timer"))[1]["items"]] == ["laundry"]
    assert done(await person.says("what timers do i have"))[1]["count"] == 2
    assert done(await person.says("show the rice timer"))[1]["count"] == 2


# --- Days that are left out, and days by which something is called ----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "weekdays", "first"),
    [
        ("wake me every day at 7 except weekends", [0, 1, 2, 3, 4], "2026-03-03T07:00:00+01:00"),
        ("wake me every day except on sundays at 7", [0, 1, 2, 3, 4, 5], "2026-03-03T07:00:00+01:00"),
        ("every day but saturday and sunday at 7 wake me up", [0, 1, 2, 3, 4], "2026-03-03T07:00:00+01:00"),
        ("set a daily alarm for 6:30, not on tuesdays", [0, 2, 3, 4, 5, 6], "2026-03-04T06:30:00+01:00"),
        ("alarm at 7 on all days except friday", [0, 1, 2, 3, 5, 6], "2026-03-03T07:00:00+01:00"),
        ("alarm every weekday at 8 apart from tuesday and friday", [0, 2, 3], "2026-03-04T08:00:00+01:00"),
        ("set an alarm every day at 7, just not on fridays", [0, 1, 2, 3, 5, 6], "2026-03-03T07:00:00+01:00"),
        ("alarm at 6 every morning with sundays off", [0, 1, 2, 3, 4, 5], "2026-03-03T06:00:00+01:00"),
        ("set a weekly alarm for monday at 8", [0], "2026-03-09T08:00:00+01:00"),
    ],
)
async def test_weekdays_are_left_out_of_what_repeats(
    person: Person, text: str, weekdays: list[int], first: str
) -> None:
    name, slots, _ = done(await person.would_say(text))
    assert (name, slots["recurrence"]["weekdays"], slots["due"]) == ("alarm.created", weekdays, first)
    assert not slots["name"]


async def test_an_exception_is_no_part_of_a_reminders_task_unless_it_says_no_time(person: Person) -> None:
    _, slots, _ = done(await person.would_say("remind me every day at 9 to water the plants unless it's a weekend"))
    assert (slots["text"], slots["recurrence"]["weekdays"]) == ("water the plants", [0, 1, 2, 3, 4])
    _, slots, _ = done(await person.would_say("remind me every day at 8 to feed everyone except bob"))
    assert (slots["text"], slots["recurrence"]) == ("feed everyone except bob", {"frequency": "daily", "hour": 8})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wake me every day at 7 except on holidays", "Only weekdays can be left out"),
        ("wake me every day at 7 unless i'm on leave", "Only weekdays can be left out"),
        ("remind me every day at 8 to stretch except tomorrow", "Only weekdays can be left out"),
        ("remind me every 2 hours to drink, not at weekends", "Only weekdays can be left out"),
        ("alarm every saturday at 9 except saturdays", "No day would be left"),
    ],
)
async def test_an_exception_that_cannot_be_kept_is_never_passed_over(person: Person, text: str, said: str) -> None:
    assert said in asked_back(await person.says(text))
    assert not person.scheduler.jobs("timers")


async def test_a_weekday_that_is_ruled_out_is_not_the_day_that_is_meant(person: Person) -> None:
    _, slots, _ = done(await person.would_say("wake me at 7 tomorrow, not friday"))
    assert (slots["due"], slots["recurrence"]) == ("2026-03-03T07:00:00+01:00", None)


async def test_a_repeating_alarm_is_singled_out_by_its_days(person: Person) -> None:
    await person.says("wake me every weekday at 7")
    await person.says("wake me every weekend at 9")
    await person.says("wake me every day at 12")
    name, slots, _ = done(await person.says("cancel the weekday alarm"))
    assert (name, slots["due"][11:16]) == ("alarm.cancelled", "07:00")
    _, slots, _ = done(await person.says("cancel my weekend alarm"))
    assert slots["due"][11:16] == "09:00"
    _, slots, _ = done(await person.says("cancel my daily alarm"))
    assert slots["due"][11:16] == "12:00"


async def test_one_is_singled_out_by_its_length_also_where_another_length_is_added(person: Person) -> None:
    await person.says("set a timer for 10 minutes")
    await person.says("set a timer for 20 minutes")
    _, slots, _ = done(await person.says("add 5 minutes to my 10 minute timer"))
    assert slots["seconds"] == 900.0
    assert done(await person.says("give the 20 minute timer 5 more minutes"))[1]["seconds"] == 1500.0
    assert "of 7 min" in asked_back(await person.says("add 5 minutes to my 7 minute timer"))


# --- Leaving out, pausing and cancelling ------------------------------------------------------------------------------


async def test_the_next_of_a_repeating_alarm_is_skipped_and_one_that_does_not_repeat_is_cancelled(
    person: Person,
) -> None:
    await person.says("wake me every day at 7")
    (job,) = person.scheduler.jobs("timers")
    assert job.due is not None
    name, slots, _ = done(await person.says("skip the next alarm"))
    (skipped,) = person.scheduler.jobs("timers")
    assert (name, slots["id"]) == ("alarm.skipped", job.id)
    assert skipped.due is not None
    assert timedelta(hours=22) < skipped.due - job.due < timedelta(hours=26)
    await person.says("cancel the alarm")
    await person.says("set a timer for 10 minutes")
    assert done(await person.says("skip the timer"))[0] == "timer.cancelled"


async def test_tomorrows_alarm_is_skipped(person: Person) -> None:
    now = datetime.now(BERLIN)
    # Past for today, so that the next one is tomorrow's.
    past = max(now - timedelta(minutes=30), now.replace(hour=0, minute=0))
    await person.says(f"wake me every day at {past:%H:%M}")
    (job,) = person.scheduler.jobs("timers")
    name, _, _ = done(await person.says("skip tomorrow's alarm"))
    (skipped,) = person.scheduler.jobs("timers")
    assert name == "alarm.skipped"
    assert job.due is not None
    assert skipped.due is not None
    assert skipped.due > job.due


async def test_all_timers_are_paused_and_run_on(person: Person) -> None:
    for said in ("set a timer for 10 minutes", "set a pasta timer for 8 minutes", "wake me at 7"):
        await person.says(said)
    name, slots, _ = done(await person.says("pause all timers"))
    assert (name, slots["count"]) == ("timer.paused", 2)
    assert [job.due is None for job in person.scheduler.jobs("timers")] == [False, True, True]
    name, slots, _ = done(await person.says("resume all"))
    assert (name, slots["count"]) == ("timer.resumed", 2)
    assert all(job.due is not None for job in person.scheduler.jobs("timers"))


@pytest.mark.parametrize("text", ["cancel everything", "cancel all", "please cancel all of them"])
async def test_everything_is_cancelled_where_timers_are_asked_directly(person: Person, text: str) -> None:
    await person.says("set a timer for 10 minutes")
    await person.says("wake me at 7")
    assert done(await person.says(text))[1]["count"] == 2
    assert not person.scheduler.jobs("timers")


async def test_a_rehearsed_change_changes_nothing(person: Person) -> None:
    await person.says("set a timer for 10 minutes")
    await person.says("wake me every day at 7")
    before = person.scheduler.jobs("timers")
    now = datetime.now(BERLIN)
    for said in ("skip the next alarm", "pause all", "rename the timer to eggs", "cancel everything"):
        done(await person.would_say(said, now=now))
    assert person.scheduler.jobs("timers") == before


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("don't wake me on weekends", [[0, 1, 2, 3, 4], [1]]),
        ("turn off my morning alarm on fridays and saturdays", [[0, 1, 2, 3, 6], [1]]),
        ("cancel all alarms on tuesdays", None),
    ],
)
async def test_weekdays_are_taken_out_of_a_repeating_alarm(
    person: Person, text: str, left: list[list[int]] | None
) -> None:
    await person.says("wake me every day at 7")
    await person.says("set an alarm every tuesday at 5pm")
    outcome = await person.says(text)
    if left is None:  # both go off then, and one of them on other days too
        assert "Which one" in asked_back(outcome)
        left = [[], [1]]
    else:
        assert done(outcome)[0] == "alarm.changed"
    rules = [job.rule.recurrence for job in person.scheduler.jobs("timers") if job.rule is not None]
    assert sorted(list(rule.weekdays) for rule in rules) == sorted(left)


async def test_an_alarm_of_no_other_days_is_cancelled(person: Person) -> None:
    await person.says("set an alarm every tuesday at 5pm")
    await person.says("set a timer for 10 minutes")
    assert done(await person.says("don't wake me on tuesdays any more"))[0] == "alarm.cancelled"
    assert [job.payload["kind"] for job in person.scheduler.jobs("timers")] == ["timer"]


async def test_the_next_one_that_is_skipped_comes_again(person: Person) -> None:
    await person.says("wake me every day at 7")
    await person.says("set a timer for 10 seconds")
    assert done(await person.says("skip the next one"))[0] == "alarm.skipped"
    assert len(person.scheduler.jobs("timers")) == 2


# --- Snoozing and renaming --------------------------------------------------------------------------------------------


async def test_snoozing_again_moves_the_one_that_is_snoozed(person: Person) -> None:
    await person.says("set a timer for 1 second")
    for _ in range(100):
        if person.scheduler.fired("timers"):
            break
        await asyncio.sleep(0.05)
    first = done(await person.says("snooze"))[1]
    again = done(await person.says("snooze for 20 minutes"))[1]
    (job,) = person.scheduler.jobs("timers")
    assert first["id"] == again["id"] == job.id
    assert again["due"] > first["due"]


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        ("rename the pasta timer to eggs", "name", "eggs"),
        ("change the name of the pasta timer to spaghetti", "name", "spaghetti"),
        ("call the pasta timer rice please", "name", "rice"),
        ("rename the reminder to call mum to call dad", "text", "call dad"),
    ],
)
async def test_what_is_set_gets_another_name(person: Person, text: str, place: str, name: str) -> None:
    await person.says("set a pasta timer for 10 minutes")
    await person.says("set a tea timer for 3 minutes")
    await person.says("remind me tomorrow at 9 to call mum")
    action, slots, _ = done(await person.says(text))
    assert (action.split(".")[1], slots[place]) == ("renamed", name)
    assert name in [Item(job).payload.name or Item(job).payload.text for job in person.scheduler.jobs("timers")]


async def test_a_rename_without_a_name_asks_for_it(person: Person) -> None:
    await person.says("set a pasta timer for 10 minutes")
    assert asked_back(await person.says("rename the pasta timer")) == "What shall it be called?"
