"""Many routes: 150, 1,000 and 10,000 of them, with ten sentences each, asked in turns in the same run.

    python -m bench.scale [--routes N ...] [--turns N] [--trunk DIR]

The sentences come from a grammar of everyday requests, below. Encoding all of them takes minutes, once: features are
kept under build/bench. Timed is what a decision takes beside the encoder: the static tier's glance and the encoder
tier's decision.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from expertd.router.background import Background
from expertd.router.decision import Intent
from expertd.router.encoder import DIMENSIONS, FEATURES
from expertd.router.head import log_sum_exp
from expertd.router.index import RouteIndex

from .report import OUT, open_encoder, percentiles, report, trunk_folder

# Sentences of a route: ten to learn from, one to ask.
SAID = 11
# Turns before the clock counts.
WARMING = 50

# Ten fields of ten actions, ten things and ten settings: 10,000 routes, each a meaning of its own, each part in two
# or three wordings. "a|b": say either.
FIELDS: tuple[tuple[str, str, str], ...] = (
    (
        "turn on|switch on|power up; turn off|switch off|shut down; turn down|lower|reduce; turn up|raise|increase;"
        "check on|tell me the state of|see how it goes with; set a timer for|put a timer on;"
        "lock the settings of|keep anyone from changing; clean|wipe down|dust; repair|mend|have someone fix;"
        "tell me the power use of|say how much electricity goes into",
        "the lamp|the light|the lights; the heater|the radiator|the heating; the fan|the ventilator;"
        "the television|the tv|the telly; the blinds|the shutters|the window blinds; the speaker|the loudspeaker;"
        "the humidifier|the air humidifier; the camera|the security camera; the air purifier|the air cleaner;"
        "the coffee machine|the espresso maker",
        "in the kitchen|in our kitchen; in the bedroom|where I sleep; in the garage|out in the garage;"
        "in the nursery|in the baby's room; in the cellar|in the basement|down in the cellar; in the attic|in the loft;"
        "in the hallway|in the corridor; in the office|in my study; on the terrace|on the patio;"
        "in the guest room|in the spare room",
    ),
    (
        "send|pass on; read out|read me|read aloud; delete|erase|throw away; forward|send on; archive|file away;"
        "print|put on paper; translate|put into another language; sum up|summarise|give me the gist of;"
        "mark as urgent|flag as important; find|search for|look up",
        "the message|the text|the text message; the email|the mail; the photo|the picture|the snapshot;"
        "the voice note|the voice memo; the invitation|the invite; the invoice|the bill; the contract|the agreement;"
        "the slides|the slide deck; the meeting notes|the minutes; the video clip|the recording",
        "from my mother|that mum sent; from my boss|that my boss wrote; from the landlord|that our landlord sent;"
        "from the school|that the school sent; from my lawyer|that the lawyer wrote; from the bank|that my bank sent;"
        "from the neighbour|that the people next door sent; from my sister|that my sister wrote;"
        "from the doctor|that the surgery sent; from the football club|that the team sent",
    ),
    (
        "book|reserve; cancel|call off; move|reschedule|change the date of;"
        " tell me the price of|say how much I pay for;"
        "compare offers for|find the cheapest deal for; check in for|do the check-in for;"
        "claim a refund for|get my money back for; upgrade|get a better class for; add luggage to|add a suitcase to;"
        "share the details of|send round the details of",
        "a flight|a plane ticket; a train ride|a train ticket; a hotel room|a room in a hotel; a hire car|a rental car;"
        "a ferry crossing|a place on the ferry; a coach trip|a seat on the coach; a city tour|a guided tour;"
        "a holiday flat|a holiday apartment; a camping pitch|a spot on the campsite; a museum pass|museum tickets",
        "in Lisbon|for my trip to Lisbon; in Oslo|for my stay in Oslo; in Naples|for the days in Naples;"
        "in Kyoto|for our journey to Kyoto; in Toronto|for my visit to Toronto; in Nairobi|for the trip to Nairobi;"
        "in Prague|for the weekend in Prague; in Lima|for our tour of Lima; in Dublin|for the Dublin trip;"
        "in Sydney|for the flight down to Sydney",
    ),
    (
        "play|put on; pause|stop for a moment; skip|jump over; repeat|play again; download|save offline;"
        "buy|purchase; rate|give stars to; recommend something like|suggest something close to;"
        "add to my favourites|like and keep; tell me about|give me some background on",
        "an album|a record; a podcast|a podcast episode; a film|a movie; an audiobook|a spoken book;"
        "a radio play|an audio drama; a series|a tv show; a concert|a live show; a playlist|a mix of tracks;"
        "a quiz|a trivia game; a documentary|a factual film",
        "about jazz|with a lot of jazz; about space travel|on rockets and astronauts; for small children|for toddlers;"
        "about the sea|on oceans and sailing; about football|on the game of football;"
        " about cooking|on food and cooking;"
        "about ancient Rome|on the Romans; with crime and detectives|about a murder case; about dinosaurs|on dinosaurs;"
        "for falling asleep|to fall asleep to",
    ),
    (
        "order|buy me; put on the shopping list|add to the groceries; tell me a recipe with|say how to cook;"
        "count the calories of|say how many calories are in; say how long I can keep|tell me the shelf life of;"
        "find a shop with|say where I can get; tell me the price of|say what I pay for; freeze|put in the freezer;"
        "swap out|find a substitute for; warn me of allergens in|check for allergens in",
        "bread|a loaf of bread; cheese|a piece of cheese; chicken|chicken breast;"
        " rice|a bag of rice; soup|a pot of soup;"
        "salad|a bowl of salad; cake|a slice of cake; pasta|noodles; fish|a fillet of fish; beans|a tin of beans",
        "without gluten|gluten free; for a vegan|made without animal products; for a birthday|for a birthday party;"
        "for two people|for the two of us; for a picnic|to take on a picnic; for the dog|that the dog may have;"
        "from the market|from the farmers' market; with little salt|low in salt;"
        "for breakfast|for the morning meal; in bulk|in a large amount",
    ),
    (
        "pay|settle; split|share the cost of; dispute|contest|object to; predict|forecast|estimate next month's;"
        "show|list; set a limit on|cap; get a receipt for|send me the receipt for; tax deduct|claim on my taxes;"
        "delay|put off paying; pay in instalments|spread out the payment of",
        "the rent|the monthly rent; the electricity bill|the power bill; the insurance|the insurance premium;"
        "the phone bill|the mobile bill; the loan|the loan repayment; the subscription|the membership fee;"
        "the fine|the penalty; the tuition|the school fees; the donation|the gift to charity;"
        " the repairs|the repair bill",
        "of my flat|for the flat I live in; of the shop|for the little shop; of my parents|for mum and dad;"
        "of the car|for my car; of the boat|for the sailing boat; of my daughter|for our daughter;"
        "of the band|for the band I play in; of the allotment|for the garden plot; of the company|for the firm;"
        "of the holiday house|for the cabin",
    ),
    (
        "remind me of|do not let me forget; put in the calendar|make an entry for; find a free hour for|find time for;"
        "take me off the list for|sign me out of; sign me up for|enrol me in;"
        " tell the others about|let everybody know of;"
        "say when I last had|tell me the date of my last; find directions to|show me the way to;"
        "ask for a substitute at|find somebody to take my place at; make notes for|prepare notes for",
        "the dentist|the dental appointment; the yoga class|the yoga lesson; the parents' evening|the school meeting;"
        "the job interview|the interview; the choir practice|the choir rehearsal; the haircut|the hairdresser;"
        "the eye test|the optician; the driving lesson|the driving class;"
        " the vaccination|the jab; the book club|the reading group",
        "on Monday|this Monday; on Tuesday|this coming Tuesday; on Wednesday|in the middle of the week;"
        "on Thursday|this Thursday; on Friday|before the weekend on Friday; on Saturday|this Saturday;"
        "on Sunday|this Sunday; at Christmas|around Christmas; in the summer holidays|during the summer break;"
        "on my birthday|the day I turn a year older",
    ),
    (
        "plant|put in; water|give water to; prune|cut back|trim; fertilise|feed; harvest|pick;"
        "protect from frost|cover against the cold; get rid of pests on|fight the insects on;"
        " repot|move to a bigger pot;"
        "sell|offer for sale; identify|tell me the name of",
        "the roses|the rose bushes; the tomatoes|the tomato plants; the herbs|the basil and the parsley;"
        "the apple tree|the little apple tree; the hedge|the row of bushes;"
        " the lawn|the grass; the strawberries|the strawberry patch;"
        "the tulips|the tulip bulbs; the cactus|the cacti; the vine|the grapes",
        "by the fence|along the fence; in the greenhouse|under glass; on the balcony|up on the balcony;"
        "behind the shed|at the back of the shed; near the pond|next to the pond;"
        " at grandma's|in my grandmother's garden;"
        "at the school garden|in the garden of the school; in the front yard|in front of the house;"
        "on the roof|up on the roof garden; in the raised bed|in the high wooden bed",
    ),
    (
        "install|set up; update|get the newest version of; uninstall|remove; back up|make a copy of;"
        "restart|start again; speed up|make faster; encrypt|protect with a password; debug|find the error in;"
        "export|write out; share access to|let a colleague into",
        "the database|the data store; the web site|the home page; the spreadsheet|the table of numbers;"
        "the mail server|the email server; the editor|the text editor; the game|the video game;"
        "the printer driver|the driver of the printer; the calendar app|the calendar program;"
        " the firewall|the network filter;"
        "the chat bot|the bot",
        "on my laptop|on the laptop; on the phone|on my mobile; on the tablet|on my tablet;"
        "on the work computer|on the machine at work; in the cloud|on the cloud host; on the router|on the wifi box;"
        "on the old desktop|on that old tower; on the watch|on my smart watch;"
        " on the test system|in the test environment;"
        "on the kids' computer|on the children's machine",
    ),
    (
        "explain|help me understand; test me on|quiz me about; find a course on|look for lessons in;"
        "draw a diagram of|sketch; tell me who discovered|say who first worked on;"
        " give an example of|show me a case of;"
        "correct my essay on|check my homework about; write a summary of|write up in short;"
        " make flash cards for|make study cards on;"
        "list books on|name some books about",
        "photosynthesis|how plants make sugar; gravity|why things fall;"
        " inflation|rising prices; the heart|how the heart pumps;"
        "volcanoes|how volcanoes erupt; fractions|parts of a whole number; genes|how traits are inherited;"
        "magnetism|how magnets work; the water cycle|how rain comes about; probability|the odds of an event",
        "for a beginner|for someone who knows nothing; for my exam|for the final exam;"
        " in Spanish|in the Spanish language;"
        "with a poem|in verse; for a ten year old|for a child of ten; in one sentence|in a single line;"
        "for engineers|with all the formulas; for a talk|for a speech I give;"
        " with everyday things|with things from home;"
        "for the blind|without any pictures",
    ),
)
FRAMES = (
    "{}", "please {}", "{} please", "can you {}", "could you {} for me", "i want you to {}", "i need you to {}",
    "would you {}", "hey, {}", "{} now", "{} when you can", "be so kind and {}", "i would like you to {}", "{}, thanks",
    "your next job: {}", "it would help me if you {}", "go ahead and {}",
    "quickly {}", "will you {} today", "let us {}",
)  # fmt: skip


def _wordings(parts: str) -> list[list[str]]:
    return [[wording.strip() for wording in part.split("|")] for part in parts.split(";")]


def routes() -> list[tuple[str, list[str]]]:
    """10,000 routes in an order in which each beginning is a fair sample: a name, and 11 sentences, all different."""
    random = np.random.default_rng(0)
    made: list[tuple[str, list[str]]] = []
    for actions, things, settings in (tuple(map(_wordings, field)) for field in FIELDS):
        for action in actions:
            for thing in things:
                for setting in settings:
                    said: dict[str, None] = {}
                    while len(said) < SAID:
                        words = " ".join(part[random.integers(len(part))] for part in (action, thing, setting))
                        said[FRAMES[random.integers(len(FRAMES))].format(words)] = None
                    made.append((" ".join((action[0], thing[0], setting[0])), list(said)))
    return [made[place] for place in random.permutation(len(made))]


@dataclass(frozen=True, slots=True)
class Built:
    """One size: its index, and what is asked of it. asked: float32 (n, 1536); truth: the route of each row."""

    index: RouteIndex
    asked: npt.NDArray[np.float32]
    truth: list[str]
    figures: dict[str, float]


def encoded(trunk: Path, count: int) -> npt.NDArray[np.float16]:
    """Features of the sentences of the first `count` routes, float16 (count, 11, 1536), kept between runs."""
    encoder = open_encoder(trunk, threads=os.cpu_count() or 1)
    made = routes()
    digest = hashlib.sha256("\n".join(said for _, sentences in made for said in sentences).encode()).hexdigest()
    path = OUT / f"scale-{digest[:12]}-{encoder.id[:12]}.npy"
    done = np.load(path, mmap_mode="r") if path.is_file() else np.zeros((0, SAID, FEATURES), np.float16)
    if len(done) >= count:
        return np.asarray(done[:count])
    print(f"encoding {(count - len(done)) * SAID:,} sentences", flush=True)
    parts = [np.asarray(done)]
    for first in range(len(done), count, 500):
        part = made[first : min(first + 500, count)]
        features = encoder.features([said for _, sentences in part for said in sentences])
        parts.append(features.reshape(len(part), SAID, FEATURES).astype(np.float16))
    everything = np.concatenate(parts)
    OUT.mkdir(parents=True, exist_ok=True)
    np.save(path, everything)
    return everything


def resident_mb(path: Path) -> float:
    """What a process grows by that loads the index: in one of its own, where nothing that was freed is used again."""
    code = (
        "import sys, psutil; from pathlib import Path; from expertd.router.index import RouteIndex as Index;"
        "process = psutil.Process(); before = process.memory_info().rss; index = Index.load(Path(sys.argv[1]));"
        "print(process.memory_info().rss - before)"
    )
    asked = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    return int(asked.stdout) / 1e6


def build(features: npt.NDArray[np.float16], count: int) -> Built:
    """The index of the first `count` routes, each an expert of its own, on 10 sentences; the eleventh is asked."""
    chosen = routes()[:count]
    intents = [Intent(name, "ask", tuple(sentences[:-1])) for name, sentences in chosen]
    taught = features[:count, :-1].reshape(-1, FEATURES).astype(np.float32)
    began = time.perf_counter()
    fitted = RouteIndex.fit(intents, taught, Background.load())
    took = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        fitted.save(path)
        began = time.perf_counter()
        index = RouteIndex.load(path)
        figures = {
            "fit_s": round(took, 1),
            "load_s": round(time.perf_counter() - began, 2),
            "resident_mb": round(resident_mb(path), 1),
            "file_mb": round(path.stat().st_size / 1e6, 1),
        }
    asked = features[:count, -1].astype(np.float32)
    return Built(index, asked, [name for name, _ in chosen], figures)


def measure(sizes: dict[int, Built], turns: int) -> dict[str, float]:
    """Each turn asks every size once, so that what else the machine does hits all alike."""
    spent: dict[tuple[int, str], list[float]] = {(count, what): [] for count in sizes for what in ("decide", "glance")}
    random = np.random.default_rng(1)
    for turn in range(turns + WARMING):
        for count, built in sizes.items():
            row = built.asked[random.integers(len(built.asked))]
            for what in ("decide", "glance"):
                began = time.perf_counter()
                built.index.glance(row[: 2 * DIMENSIONS]) if what == "glance" else built.index.decide(row)
                if turn >= WARMING:
                    spent[count, what].append(time.perf_counter() - began)
    figures: dict[str, float] = {}
    for (count, what), seconds in spent.items():
        figures |= {f"routes_{count}_{what}_{name}": value for name, value in percentiles(seconds).items()}
    both = {count: np.add(spent[count, "decide"], spent[count, "glance"]) for count in sizes}
    least = min(sizes)
    for count in sizes:
        figures |= {f"routes_{count}_both_{name}": value for name, value in percentiles(both[count].tolist()).items()}
        if count > least:
            for quantile in (50, 99):
                more = np.percentile(both[count], quantile) - np.percentile(both[least], quantile)
                figures[f"routes_{count}_more_than_{least}_p{quantile}_ms"] = round(float(more) * 1e3, 3)
    return figures


def judge(built: Built, most: int = 2000) -> dict[str, float]:
    """Right routes, and whether the tiers agree with the whole product."""
    rows = np.random.default_rng(2).permutation(len(built.asked))[:most]
    told = [built.index.decide(built.asked[row]) for row in rows]
    right = np.array([decision.expert == built.truth[row] for decision, row in zip(told, rows, strict=True)])
    sent_away = np.array([decision.verdict == "titan" for decision in told])
    figures = {"top1_acc": round(float(right.mean()), 4), "sent_away": round(float(sent_away.mean()), 4)}
    for name, tier in (("static", built.index.fitted.static), ("encoder", built.index.fitted.encoder)):
        same, apart = [], []
        for row in rows:
            point = tier.read(built.asked[row, : 2 * DIMENSIONS] if name == "static" else built.asked[row])
            whole = (tier.head @ point + tier.offset)[:-1]
            scored = tier.score(point)
            same.append(int(scored.numbers[scored.shares.argmax()]) == int(whole.argmax()))
            apart.append(abs(scored.energy - float(log_sum_exp(whole))))
        figures[f"{name}_agreement"] = round(float(np.mean(same)), 5)
        figures[f"{name}_energy_off_max"] = round(float(np.max(apart)), 4)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, nargs="+", default=[150, 1000, 10000], metavar="N", help="at most 10000")
    parser.add_argument("--turns", type=int, default=3000, help="requests timed at each size")
    parser.add_argument("--trunk", type=Path, default=trunk_folder(), metavar="DIR", help="where trunks are kept")
    options = parser.parse_args()
    counts = sorted(set(options.routes))
    if not 1 <= counts[0] <= counts[-1] <= 10_000:
        raise SystemExit("--routes: from 1 to 10000 each; the grammar has no more")
    features = encoded(options.trunk, counts[-1])
    figures: dict[str, float] = {}
    sizes: dict[int, Built] = {}
    for count in counts:
        print(f"fitting {count:,} routes on {count * (SAID - 1):,} sentences", flush=True)
        sizes[count] = build(features, count)
        found = sizes[count].figures | judge(sizes[count])
        figures |= {f"routes_{count}_{name}": value for name, value in found.items()}
    figures |= measure(sizes, options.turns)
    report(
        "scale",
        figures,
        notes=(
            "10 sentences per route from a grammar, each route an expert of its own; an eleventh sentence is asked",
            "both: glance, then decide, as for a request that the static tier leaves to the encoder; no encoding",
            "agreement: the tier's best intent against that of the whole float32 product",
        ),
    )


if __name__ == "__main__":
    main()
