"""Compound requests: what is split and where, what stays one, what points back, what the router has to say about it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expertd.router.compound import LONGEST_CHARACTERS, MOST_PARTS, Part, candidates, judge, split
from expertd.router.decision import Decision

# A request, and its parts as they should be routed.
SPLIT: list[tuple[str, list[str]]] = [
    (
        "set a timer for ten minutes and tell me whether this mail is spam",
        ["set a timer for ten minutes", "tell me whether this mail is spam"],
    ),
    ("turn off the radio and what time is it", ["turn off the radio", "what time is it"]),
    ("Play the new album. Dim the lamps.", ["Play the new album", "Dim the lamps"]),
    ("What's on my calendar? Also, set an alarm for 6.", ["What's on my calendar", "set an alarm for 6"]),
    ("how hot is the cpu; after that show me the disk", ["how hot is the cpu", "show me the disk"]),
    ("lock the door, then start the dishwasher", ["lock the door", "start the dishwasher"]),
    ("add milk and eggs to the list and turn on the porch light", None),  # type: ignore[list-item]
    ("what is 12 times 9 and 4 and how far is the moon", ["what is 12 times 9 and 4", "how far is the moon"]),
    ("please close the blinds, and please read me the news", ["close the blinds", "read me the news"]),
    ("remind me to call mum and what's the time in Lima", ["remind me to call mum", "what's the time in Lima"]),
    ("remind me to call mum and tell me the weather", ["remind me to call mum", "tell me the weather"]),
    ("wake me at 7 and tell me the time in Berlin", ["wake me at 7", "tell me the time in Berlin"]),
    ("wake me at 7 and remind me to pack at 8", ["wake me at 7", "remind me to pack at 8"]),
    ("I want to hear some jazz and can you order a pizza", ["I want to hear some jazz", "can you order a pizza"]),
    ("tell me what time it is and then flip a coin", ["tell me what time it is", "flip a coin"]),
    ("is the washing machine done? defrost the chicken", ["is the washing machine done", "defrost the chicken"]),
    ("who wrote this song and turn the volume down", ["who wrote this song", "turn the volume down"]),
    ("do i need a coat today and when does the bus leave", ["do i need a coat today", "when does the bus leave"]),
    ("translate this to French and send it to Bob", ["translate this to French", "send it to Bob"]),
    ("stop the music. call my sister", ["stop the music", "call my sister"]),
    ("play jazz, dim the lights and set a timer", ["play jazz", "dim the lights", "set a timer"]),
    (
        "first set a timer, then check my mail for spam, and finally tell me a joke",
        ["set a timer", "check my mail for spam", "tell me a joke"],
    ),
    ("- water the roses\n- feed the cat\n- empty the bin", ["water the roses", "feed the cat", "empty the bin"]),
    ("1. water the roses\n2. feed the cat", ["water the roses", "feed the cat"]),
    ("open the gate. oh, and what's for lunch?", ["open the gate", "what's for lunch?"]),
    ("how do i descale the kettle & show me my notes", ["how do i descale the kettle", "show me my notes"]),
    ("set the alarm to 7:30 and how late is it", ["set the alarm to 7:30", "how late is it"]),
    ("let's play chess and book me a taxi", ["let's play chess", "book me a taxi"]),
    ('text Tom "come and eat" and start the timer', ['text Tom "come and eat"', "start the timer"]),
    ("close the blinds, please; after that what is the time", ["close the blinds", "what is the time"]),
    ("is Dr. Brown in today? cancel my visit", ["is Dr. Brown in today", "cancel my visit"]),
    ("what's the difference between tea and coffee and boil the water", None),  # type: ignore[list-item]
    # The second verb, noun or unit is the first one's.
    ("set a timer for 5 minutes and another for 10", ["set a timer for 5 minutes", "set a timer for 10 minutes"]),
    ("set a timer for 5 minutes and one more for 2 hours", ["set a timer for 5 minutes", "set a timer for 2 hours"]),
    ("set a timer for 5 minutes and an alarm for 7", ["set a timer for 5 minutes", "set an alarm for 7"]),
    ("turn on the lamp and off the heater", ["turn on the lamp", "turn off the heater"]),
    ("book a table for two and a taxi for 8", ["book a table for two", "book a taxi for 8"]),
    (
        "set a timer for 5 minutes and another for 10 or so, and show me the cpu load",
        ["set a timer for 5 minutes", "set a timer for 10 or so", "show me the cpu load"],
    ),
]
SPLIT = [(text, parts if parts is not None else text.rsplit(" and ", 1)) for text, parts in SPLIT]

WHOLE = [
    "",
    "and",
    "set a timer",
    "remind me to buy bread and butter",
    "remind me to buy bread and call my sister",
    "remind me at 5 to feed the cat and then walk the dog",
    "set a reminder to wash the car and mow the lawn",
    "set an alarm for 7 and 8",
    "what's 5 and 7 together",
    "add 17 and 45",
    "what is the sum of 4, 8 and 12",
    "tell me a joke and make it short",
    "write a poem about rain and call it drops",
    "find my credit score and read it to me",
    "wake me at 7 and tell me to take my pills",
    "set an alarm for 6 and remind me to stretch",
    "turn on the lamp and the heater",
    "turn the lamp and the radio off",
    "tell me the time in Berlin and in Mumbai",
    "what's the difference between tea and coffee",
    "is it cheaper to fly or drive and why",
    "text Paul and ask him when he is home",
    "call the plumber and tell him that the tap leaks and the sink is full",
    "message Eva that I'm late and bring the keys",
    "if it rains, close the windows and bring in the washing",
    "when I get home, turn on the lights and play some music",
    "do I have bread on my list, if not add it",
    "go ahead and call the bank",
    "can you find and play my favourite song",
    "do me a favour and open the door",
    "try and find my phone",
    "have a look at this message and say whether it is junk",
    "look at my car and tell me why the light is on",
    'translate "open the door and close the window" into Italian',
    "translate open the door and close the window into Italian",
    "how do you say come in and sit down in German",
    "is this spam: you have won. call now and claim your prize",
    "note: buy milk, call Tom and then post the letter",
    "I lost my card, block it",
    "I'm out of flour, put some on the list",
    "My flight was cancelled. Can I get my money back?",
    "my meeting is at 10 am in Oslo, what time is that here",
    "I need a new passport, how do I get one",
    "it was a mistake, can you help me with that",
    "hey, what's up",
    "hello. how are you?",
    "what's the weather, please? thank you!",
    "so far, how many days off have I taken",
    "at 9 tomorrow, ring the bell",
    "take 50 euros from savings and put it in checking",
    "play salt and pepper by the cooks",
    "show me the order and the check number",
    "roll a die and tell me the result",
    "terminate and close my account",
    "remove ham from the list and add cheese",
    "set a reminder, pay the rent on Monday",
    "flip a coin and tell me how it lands",
    "I just moved and need a new doctor",
    "I need a table at nine and at ten, is there one free",
    "both the lamp and turn signals are broken",
    "check the inbox and let me know",
    "what does hit and run mean",
    "meet Mr. Brown at 9 a.m. tomorrow",
]

# A request, and per part the word that points back and where to.
POINTING: list[tuple[str, list[tuple[str, int]]]] = [
    ("summarise this mail and then send it to Bob", [("", -1), ("it", 0)]),
    ("find a recipe for soup. print it", [("", -1), ("it", 0)]),
    ("how big is the file and can you open it", [("", -1), ("it", 0)]),
    ("book a table in Rome and how far is it to get there", [("", -1), ("there", 0)]),
    ("show me flights to Oslo, then lock the car and what's the weather there", [("", -1), ("", -1), ("there", 0)]),
    ("call my sister. then play some jazz. also send her the photo", [("", -1), ("", -1), ("her", 0)]),
    ("take a screenshot and then save that", [("", -1), ("that", 0)]),
    ("set an alarm for 7 and cancel the one for 8", [("", -1), ("one", 0)]),
    ("find two flights. what time is it? book the first one", [("", -1), ("", -1), ("one", 0)]),
    ("show me my notes and delete them", [("", -1), ("them", 0)]),
    ("summarise the report, then translate it, and then print it", [("", -1), ("it", 0), ("it", 1)]),
    # These point nowhere.
    ("play some jazz and what time is it", [("", -1), ("", -1)]),
    ("close the windows and is it going to rain", [("", -1), ("", -1)]),
    ("open my mail and is there a bank nearby", [("", -1), ("", -1)]),
    ("set a timer and tell me whether that mail is spam", [("", -1), ("", -1)]),
    ("dim the lamp and show me the book if it is there", [("", -1), ("", -1)]),
]


def texts(parts: tuple[Part, ...]) -> list[str]:
    return [part.text for part in parts]


@pytest.mark.parametrize(("text", "parts"), SPLIT, ids=[text for text, _ in SPLIT])
def test_several_requests_are_told_apart_in_their_order(text: str, parts: list[str]) -> None:
    assert texts(candidates(text)) == parts


@pytest.mark.parametrize("text", WHOLE)
def test_one_request_stays_one(text: str) -> None:
    assert candidates(text) == ()


@pytest.mark.parametrize(("text", "pointing"), POINTING, ids=[text for text, _ in POINTING])
def test_what_points_back_is_named_with_where_it_points(text: str, pointing: list[tuple[str, int]]) -> None:
    assert [(part.reference, part.antecedent) for part in candidates(text)] == pointing


def test_a_carried_verb_is_marked_and_its_part_lies_where_it_was_said() -> None:
    text = "set a timer for 5 minutes and another for 10"
    first, second = candidates(text)
    assert not first.carried
    assert second.carried
    assert text[second.start : second.end] == "another for 10"


def test_a_long_text_and_a_long_list_are_left_whole() -> None:
    pair = "play some jazz. close the door. "
    assert len(candidates(pair)) == 2
    assert candidates(pair + "x" * LONGEST_CHARACTERS) == ()
    assert len(candidates("lock the car. " * MOST_PARTS)) == MOST_PARTS
    assert candidates("lock the car. " * (MOST_PARTS + 1)) == ()


# --- The router's word -----------------------------------------------------------------------------------------------


def decision(expert: str, confidence: float, intent: str = "do") -> Decision:
    """expert "": the titan's."""
    verdict = "routed" if expert else "titan"
    return Decision(verdict, expert or "timers", intent, confidence, "encoder", (), "")  # type: ignore[arg-type]


def judged(text: str, *decisions: Decision, whole: Decision | None = None) -> list[str]:
    return texts(judge(text, whole or decision("", 0.1), candidates(text), decisions))


TIMER_AND_MAIL = "set a timer for ten minutes and tell me whether this mail is spam"


def test_two_sure_experts_make_two_requests() -> None:
    told = judged(TIMER_AND_MAIL, decision("timers", 0.9), decision("spam", 0.9), whole=decision("timers", 0.97))
    assert told == ["set a timer for ten minutes", "tell me whether this mail is spam"]


def test_two_parts_for_the_titan_stay_together() -> None:
    assert judged(TIMER_AND_MAIL, decision("", 0.1), decision("", 0.1)) == [TIMER_AND_MAIL]


def test_one_part_for_the_titan_is_split_off_only_from_a_sure_expert() -> None:
    assert len(judged(TIMER_AND_MAIL, decision("timers", 0.9), decision("", 0.1))) == 2
    assert len(judged(TIMER_AND_MAIL, decision("timers", 0.2), decision("", 0.1))) == 1


def test_parts_of_one_ability_stay_together_unless_each_says_all() -> None:
    shared, full = "dim the lights and turn off the radio", "set a timer for 5 minutes and set a timer for 9 minutes"
    assert judged(shared, decision("home", 0.9), decision("home", 0.9)) == [shared]
    assert len(judged(full, decision("timers", 0.9), decision("timers", 0.9))) == 2
    assert len(judged(shared, decision("home", 0.9, "light"), decision("home", 0.9, "sound"))) == 2


def test_an_unsure_part_of_a_sure_whole_only_adds_to_it() -> None:
    text = "show me the reminders and read the late ones"
    parts = decision("timers", 0.95), decision("text", 0.2)
    assert judged(text, *parts, whole=decision("timers", 0.95)) == [text]
    assert len(judged(text, *parts, whole=decision("timers", 0.5))) == 2


def test_a_weak_form_needs_a_sure_router() -> None:
    text = "timer for ten minutes. weather in Oslo"
    assert len(judged(text, decision("timers", 0.9), decision("weather", 0.9))) == 2
    assert len(judged(text, decision("timers", 0.9), decision("weather", 0.2))) == 1


def test_of_three_segments_two_may_be_one_request() -> None:
    text = "Set a timer for 5 minutes. What's the plot of Hamlet? And who wrote it?"
    assert len(candidates(text)) == 3
    parts = judge(
        text,
        decision("", 0.1),
        candidates(text),
        [decision("timers", 0.9), decision("", 0.0), decision("", 0.0)],
    )
    assert texts(parts) == ["Set a timer for 5 minutes", "What's the plot of Hamlet? And who wrote it?"]
    assert [(part.reference, part.antecedent) for part in parts] == [("", -1), ("", -1)]


def test_what_is_merged_reads_as_it_was_written() -> None:
    text = "set a timer for 5 minutes and another for 10, and show me the cpu load"
    parts = candidates(text)
    told = judge(text, decision("", 0.1), parts, [decision("", 0.1), decision("", 0.1), decision("system", 0.9)])
    assert texts(told) == ["set a timer for 5 minutes and another for 10", "show me the cpu load"]
    assert not any(part.carried for part in told)


def test_a_decision_is_needed_for_each_part() -> None:
    with pytest.raises(ValueError, match="1 decisions for 2 parts"):
        judge(TIMER_AND_MAIL, decision("", 0.1), candidates(TIMER_AND_MAIL), [decision("timers", 0.9)])


def test_a_request_that_is_one_asks_the_router_nothing() -> None:
    def never(text: str) -> Decision:
        raise AssertionError(text)

    (whole,) = split("remind me to buy bread and butter", never)
    assert whole == Part("remind me to buy bread and butter", end=33)


# --- Laws ------------------------------------------------------------------------------------------------------------

WORDS = [
    *("and", "then", "also", "after that", "please", "it", "there", "another", "one", "a", "the", "for", "to", "if"),
    *("set", "play", "call", "tell", "me", "what", "is", "time", "timer", "lamp", "Rome", "10", "minutes", "remind"),
    *(",", ".", "?", ";", ":", "\n", '"', "&", "(", ")", "…", "'", "i", "want", "can", "you", "turn", "on", "off"),
]
anything = st.one_of(st.text(max_size=120), st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))


@given(anything)
def test_any_text_gives_parts_whose_words_occur_in_it_in_order(text: str) -> None:
    parts = candidates(text)
    assert len(parts) != 1
    assert len(parts) <= MOST_PARTS
    end = 0
    for number, part in enumerate(parts):
        assert part.text
        assert end <= part.start < part.end <= len(text)
        assert part.carried or part.text in text[part.start : part.end]
        assert -1 <= part.antecedent < number
        assert (part.antecedent >= 0) == bool(part.reference)
        assert part.reference in part.text
        end = part.end


@given(anything, st.lists(st.tuples(st.sampled_from(["", "timers", "text"]), st.floats(0, 1)), min_size=6, max_size=6))
def test_the_parts_that_stand_cover_the_same_words(text: str, told: list[tuple[str, float]]) -> None:
    offered = candidates(text)
    whole, *each = [decision(expert, confidence) for expert, confidence in told]
    standing = judge(text, whole, offered, each[: len(offered)])
    assert 1 <= len(standing) <= max(len(offered), 1)
    if len(standing) == 1:
        assert standing[0].text == text
    else:
        assert {part.start for part in standing} <= {part.start for part in offered}
        assert standing[-1].end == offered[-1].end


@given(st.lists(st.sampled_from([word for word in WORDS if re.fullmatch(r"\w+", word)]), max_size=30))
def test_without_a_connective_or_a_mark_there_is_one_request(words: list[str]) -> None:
    text = " ".join(word for word in words if word not in {"and", "then", "also"})
    assert candidates(text) == ()
