"""Requests as people make them, out of a grammar: as many as a bench needs, no two alike, the same for the same seed.

Most are plain ("what time is it in Oslo"), as most requests are; the rest say the same in a roundabout way, or want
what no shipped expert does. Knows no router: which tier answers one is for the bench to find out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

# Slot → what may stand there, parted by "; "; a `{slot}` in it is filled in turn.
SLOTS = {
    "plain": (
        "set a timer for {span}; set a {n} minute timer; start a timer for {span} please; {n} minute timer for"
        " {dish}; set a timer of {span} for {dish}; wake me at {hour}; set an alarm for {hour}; set an alarm for"
        " {hour} on {day}; remind me to {chore} at {hour}; remind me in {span} to {chore}; remind me on {day} to"
        " {chore}; cancel my {hour} alarm; cancel the timer for {dish}; how long is left on the timer for {dish}; what"
        " time is it in {city}; what's the time in {city} right now; what day is {date}; when it is {hour} here what"
        " time is it in {city}; time difference between {city} and {city}; what is {n} times {n}; what's {n}% of {n}0;"
        " {n} plus {n}; how much is {n} divided by {n}; square root of {n}{n}; what is {n} minus {n} plus {n}; add"
        " {n}, {n} and {n}; how much memory is {program} using; how much disk space is left on {place}; is {program}"
        " running; which process uses the most {resource}; how warm is the cpu after {span}; how long has the computer"
        " been up; forecast the next {n} hours; predict {measure} for the next {n} days; are there any outliers in"
        " {measure}; is this message from {person} spam; check the mail about {offer} for spam; does {offer} sound"
        " like spam; summarise the {text} in {n} words; make the {text} about {dish} shorter; write a note to {person}"
        " about {dish}; turn the {text} from {person} into bullet points; rewrite the {text} for {person} politely"
    ),
    "odd": (
        "{excuse}, so {plain}; {excuse} and I could do with a nudge in {span}; {plain}, {afterthought}; {span} for"
        " {dish}, keep an eye on the clock for me would you; don't let me forget that I have to {chore} by {hour}; if"
        " I call {person} in {city} at {hour}, will I get them out of bed; is it too late to ring {person} in {city};"
        " the bill came to {n}{n} and there were {n} of us, what does each of us owe; {person} owes me a third of"
        " {n}{n}; the fan of this thing has been howling for {span}, what is it up to; something is eating my"
        " {resource} again; going by {measure}, will I run short before {date}; {measure} looks off since {day}, or am"
        " I seeing things; {person} from {city} promises me {offer}, too good to be true; say what {person} wants in"
        " that {text}, briefly; {person} needs to hear it gently, find better words for the {text}; does {city} have a"
        " decent {venue}; who won race {n} in {city}; book a {venue} in {city} for {n} on {day}; which {venue} does"
        " {person} like; how do I get from {city} to {city} by {date}; what should I cook for {person} with {dish} and"
        " {dish}; why do people in {city} {chore} on {day}; {program} starts by itself at {hour}, should that worry me"
    ),
    "excuse": (
        "{person} is coming over in {span}; I put {dish} in the oven; my hands are full of {dish}; I just got to"
        " {city}; we are on the train to {city}; it's been a long {day}; I am off to {chore}; {person} asked me twice"
        " already; the meeting with {person} is moved to {hour}; I keep losing track"
    ),
    "afterthought": (
        "otherwise {person} will never forgive me; before I {chore}; as you did on {day}; and be quick about it; if"
        " that is not too much to ask; {person} would like to know; we leave for {city} soon after; I always forget"
    ),
    "span": (
        "{n} minutes; {n} seconds; an hour and {n} minutes; {n} and a half minutes; {n} hours; half an hour and {n}"
        " seconds"
    ),
    "n": "; ".join(map(str, range(2, 100))),
    "hour": "{h}; {h}:15; {h}:30; {h}:45; {h} am; {h} pm; half past {h}; a quarter to {h}; {h} o'clock",
    "h": "; ".join(map(str, range(1, 13))),
    "day": "Monday; Tuesday; Wednesday; Thursday; Friday; Saturday; Sunday",
    "date": "the {d}th of {month}; {month} {d}; next {day}; the last {day} of {month}",
    "d": "; ".join(map(str, range(4, 20))),
    "month": "January; February; March; April; May; June; July; August; September; October; November; December",
    "city": (
        "Oslo; Lisbon; Nairobi; Lima; Osaka; Toronto; Dublin; Prague; Hanoi; Perth; Chicago; Cairo; Madrid; Seoul;"
        " Warsaw; Denver; Jakarta; Athens; Bogota; Helsinki; Mumbai; Vienna; Havana; Kyiv; Auckland; Tunis; Boston;"
        " Rome"
    ),
    "dish": (
        "the pasta; the rice; the roast; the eggs; the lasagne; the bread; the tea; the lentils; the soup; the cake;"
        " the potatoes; the pizza; the beans; the quiche; the curry; the biscuits; the stew; the dumplings"
    ),
    "chore": (
        "water the plants; take the bins out; feed the cat; call the dentist; pay the rent; hang up the washing;"
        " charge the bike; post the letter; pick up the parcel; lock the shed; defrost the freezer; walk the dog;"
        " clean the filter; back up the photos; iron a shirt; return the drill; book the van; stretch"
    ),
    "person": (
        "Amara; Joost; Priya; Tomasz; Ines; Kwame; Leila; Henrik; Mei; Oscar; Fatima; Ruben; Sofia; Dmitri; Nora;"
        " Hugo; Yuki; Clara; my sister; my landlord; our neighbour; the plumber; my aunt; the new colleague"
    ),
    "program": (
        "the browser; the mail client; the editor; the compiler; the music player; the photo app; the backup; the game"
    ),
    "place": "the main disk; the backup drive; the home partition; the memory card; the server; the second disk",
    "resource": "memory; cpu; disk; bandwidth; battery; swap",
    "measure": (
        "the water use; our sales; the server load; the room temperature; the visitor count; the power bill; the"
        " traffic; the orders per day; the queue length; the rainfall; the humidity; the fuel price"
    ),
    "offer": (
        "a free cruise; {n} thousand in cash; a loan at {n} percent; a parcel fee of {n} pounds; a prize draw in"
        " {city}; a job that pays {n} an hour; an unpaid toll of {n} dollars; cheap watches; a refund of {n}0 euros"
    ),
    "text": "mail; letter; report; minutes; article; complaint; draft; contract; review; speech",
    "venue": "bakery; hotel; swimming pool; bike shop; museum; barber; noodle bar; car park; concert hall; campsite",
}
# How many in a hundred are plain.
PLAIN = 60


def sentences(count: int, seed: int = 0) -> list[str]:
    """So many, all different whatever their case. Raises: ValueError when the grammar has not so many."""
    found: dict[str, str] = {}
    for text in _stream(random.Random(seed), 20 * count + 1000):
        found.setdefault(text.casefold(), text)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"the grammar gave {len(found)} different requests of {count}; ask for fewer or widen its slots")


def _stream(chance: random.Random, tries: int) -> Iterator[str]:
    choices = {slot: [choice.strip() for choice in text.split(";")] for slot, text in SLOTS.items()}

    def filled(slot: str) -> str:
        return re.sub(r"{(\w+)}", lambda match: filled(match[1]), chance.choice(choices[slot]))

    for _ in range(tries):
        yield filled("plain" if chance.randrange(100) < PLAIN else "odd")
