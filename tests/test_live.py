"""A new intent from one sentence: it takes what is like that, and little else."""

from __future__ import annotations

from pathlib import Path

import pytest

from expertd.experts.bundle import open_bundle
from expertd.router.background import Background
from expertd.router.encoder import Encoder
from expertd.router.index import Intent, RouteIndex

SHIPPED = Path(__file__).resolve().parent.parent / "experts" / "bundles"
UNRELATED = (
    "order a taxi", "who painted this", "buy some milk", "is the museum open", "play a song", "walk the dog",
    "how old is the moon", "my phone is broken", "book a table", "turn left here", "paint the fence", "banana",
    "set a tmier for 20 mintues", "whats teh time rn", "fix my grammar please", "give this article a title",
    "remind me to pay the gas bill tomorrow", "turn off the lights in the kitchen", "two thirds of ninety",
    "12 times 14",
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder(trunk_root: Path) -> Encoder:
    return Encoder.open(trunk_root)


@pytest.fixture(scope="module")
def shipped(encoder: Encoder) -> RouteIndex:
    bundles = [open_bundle(folder) for folder in sorted(SHIPPED.iterdir())]
    intents = [Intent(bundle.manifest.name, *intent) for bundle in bundles for intent in bundle.intents()]
    features = encoder.features([text for intent in intents for text in intent.sentences])
    return RouteIndex.fit(intents, features, Background.load())


@pytest.mark.parametrize("sentence", ["z", "another new one", "split the bill four ways"])
def test_one_sentence_claims_little_that_is_not_like_it(encoder: Encoder, shipped: RouteIndex, sentence: str) -> None:
    features = encoder.features([sentence, f"{sentence} please", *UNRELATED])
    index = shipped.with_intent(Intent("garden", "new", (sentence,)), features[:1])
    assert index.decide(features[1], f"{sentence} please").intent == "new"
    found = {text: index.decide(row, text) for text, row in zip(UNRELATED, features[2:], strict=True)}
    assert sum(made.verdict == "routed" and made.intent == "new" for made in found.values()) <= 2, found
