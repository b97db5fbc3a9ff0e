"""Trains the topic expert: `python -m expertd.distill.topic`. By the recipe of `expertd.distill.classifier`.

Requests of CLINC150 and Banking77 teach the topics that they have; sentences out of a grammar of our own teach them
all. Of the grammar whole templates are held out to choose by. What is measured: CLINC150's test rows, and
sentences that we wrote for it (`topic_test.toml`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from expertd.experts.kinds.linear import Grams

from . import datasets, written
from .classifier import command
from .recipe import Recipe
from .rows import Row, Splits, part_of

# Intents of CLINC150 by topic; the rest have none of these.
INTENTS = {
    "money": "freeze_account routing pin_change bill_due pay_bill account_blocked interest_rate min_payment "
    "bill_balance transfer order_checks balance spending_history transactions report_fraud "
    "replacement_card_duration expiration_date damaged_card improve_credit_score report_lost_card "
    "card_declined credit_limit_change apr redeem_rewards credit_limit rewards_balance application_status "
    "credit_score new_card international_fees taxes income payday rollover_401k w2 direct_deposit "
    "exchange_rate",
    "food": "food_last confirm_reservation how_busy ingredients_list calories nutrition_info recipe "
    "restaurant_reviews restaurant_reservation meal_suggestion restaurant_suggestion cancel_reservation "
    "ingredient_substitution cook_time accept_reservations",
    "travel": "plug_type flight_status international_visa travel_suggestion travel_alert lost_luggage book_flight "
    "book_hotel carry_on car_rental directions",
    "work": "pto_request_status meeting_schedule pto_balance pto_request schedule_meeting pto_used",
    "home": "smart_home",
    "car": "oil_change_when oil_change_how tire_pressure schedule_maintenance gas mpg last_maintenance gas_type "
    "tire_change jump_start traffic",
    "technology": "sync_device find_phone",
    "entertainment": "what_song play_music update_playlist next_song tell_joke",
    "shopping": "order_status order shopping_list shopping_list_update",
    "weather": "weather",
}
# How many sentences of each topic the grammar makes at most, and how many in a hundred rows of Banking77 are read.
SENTENCES, BANKING_SHARE = 800, 0.1
# Every so many-th template of the grammar is held out.
HELD_OUT = 6

RECIPE = Recipe(
    name="topic",
    summary="Tells what a text is about: money, food, travel, work, health, sport, politics and seven more.",
    labels=(
        *("money", "food", "travel", "work", "home", "car", "health"),
        *("sport", "technology", "entertainment", "family", "shopping", "weather", "politics"),
    ),
    phrases={
        "money": "This is about money ({percent} sure).",
        "food": "This is about food and drink ({percent} sure).",
        "travel": "This is about travel ({percent} sure).",
        "work": "This is about work ({percent} sure).",
        "home": "This is about home and garden ({percent} sure).",
        "car": "This is about cars and driving ({percent} sure).",
        "health": "This is about health ({percent} sure).",
        "sport": "This is about sport ({percent} sure).",
        "technology": "This is about technology ({percent} sure).",
        "entertainment": "This is about music, films, books or games ({percent} sure).",
        "family": "This is about family ({percent} sure).",
        "shopping": "This is about shopping ({percent} sure).",
        "weather": "This is about the weather ({percent} sure).",
        "politics": "This is about politics ({percent} sure).",
    },
    needs_input="Which text? Give it after a colon, or as a file.",
    licence="CC-BY-3.0 AND CC-BY-4.0",
    grams=Grams(shortest=1, longest=5, bits=15, lower=True),
    strengths=(10.0,),
    wanted_accuracy=0.98,
    most_abstained=0.1,
    does="""
Tells which of fourteen everyday topics a text is about.
""",
    data="""
- CLINC150 (Larson et al., 2019), CC BY 3.0: requests of the intents that belong to a topic; its own training,
  validation and test rows.
- Banking77 (Casanueva et al., 2020), CC BY 4.0: a tenth of its training rows, as money.
- Sentences out of a grammar of our own, `distill/grammars/topic.toml`; every sixth of its templates was held out and is
  validation.
- 112 sentences of ours that were written for measuring alone, `distill/topic_test.toml`, eight of each topic; they were
  read twice, before and after the grammar was given more words, and CLINC150's test rows with them.

The weights are CC BY 3.0 and CC BY 4.0, after the two sets. No sentence of either is in this bundle.
""",
    limits="""
- English; one topic a text. A text that is about none of the fourteen (grammar, philosophy, small talk) has no right
  answer here: it abstains on many of these, not on all.
- Health, sport, family and politics were learnt from our grammar alone, and 112 sentences are a small test: the second
  column of the table is right to a few points only.
- Where topics meet (a business trip, a hospital bill) the stronger one wins, with a lower probability.
""",
)


def read(data: Path) -> Splits:
    """Requests, and sentences of the grammar, by topic."""
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in _requests(data):
        parts[row.group].append(row._replace(group=""))
    for label in RECIPE.labels:
        parts["train"] += written.in_turn("topic", label, SENTENCES, "train", HELD_OUT)
        parts["validation"] += written.in_turn("topic", label, SENTENCES, "validation", HELD_OUT)
    own = tomllib.loads(Path(__file__).with_name("topic_test.toml").read_text("utf-8"))
    ours = [Row(text, label) for label, texts in own.items() for text in texts]
    tests = {"CLINC150, test rows with a topic": parts["test"], "sentences of ours": ours}
    return Splits(parts["train"], parts["validation"], tests)


def _requests(data: Path) -> Iterator[Row]:
    """group: the part of the data."""
    topics = {intent: topic for topic, intents in INTENTS.items() for intent in intents.split()}
    named = {"train": "train", "val": "validation", "test": "test"}
    for row in datasets.rows(data / "clinc150" / "data_full.jsonl.gz"):
        if row["split"] in named and row["intent"] in topics:
            yield Row(row["text"], topics[row["intent"]], group=named[row["split"]])
    for row in datasets.rows(data / "banking77" / "train.jsonl"):
        if part_of(row["text"], read=BANKING_SHARE, left=1 - BANKING_SHARE) == "read":
            yield Row(row["text"], "money", group="train")


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
