"""Trains the urgency expert: how soon must somebody act on a message?

    python -m expertd.distill.urgency [--trunk DIR] [--data DIR]

Its labels are learnt from our grammar alone. Real messages and comments keep it from crying wolf: nobody has labelled
them, but emergencies are rare among them.
"""

from __future__ import annotations

from pathlib import Path

from expertd.experts.kinds.linear import Grams

from . import written
from .classifier import command
from .recipe import Recipe
from .rows import Row, Splits

RECIPE = Recipe(
    name="urgency",
    summary="Tells how urgent a message is.",
    labels=("low", "normal", "high"),
    needs_input="Which message? Give it after a colon, or as a file.",
    licence="CC-BY-4.0",
    phrases={
        "low": "This can wait ({percent} sure).",
        "normal": "This wants an answer in the next days ({percent} sure).",
        "high": "This is urgent: somebody must act now ({percent} sure).",
    },
    does="""\
Tells how soon somebody must act on a message: `high`, now or within hours, or there is harm or loss; `normal`, in the
coming days; `low`, whenever, or never: news, thanks, chat. Give the message after a colon ("is this urgent: …") or as a
file.""",
    data="""\
- A grammar of ours (`distill/grammars/urgency.toml`), expanded to messages with slips of the finger. Every fourth
  template and filler is kept for validation.
- SMS Spam Collection (Almeida and Hidalgo, UCI, CC BY 4.0), private messages: unlabelled, counted as half `low` and
  half `normal`.
- GoEmotions (Demszky et al., 2020, Apache 2.0), comments from a forum, counted as `low`.

The weights are CC BY 4.0, after the SMS collection. No row of either set is in this bundle. The hand-written test is
ours; grammar and test are by the same hand, and though neither copies the other, a stranger's messages are harder.""",
    limits="""\
- English. It judges the words alone: it knows neither the sender nor the date, so "by Friday" is `normal` even on a
  Friday.
- Urgency that is made up ("act now, sale ends tonight") reads like urgency that is not. See the experts `spam` and
  `phishing`.
- What it learnt comes from a grammar: calm reports of terrible things, irony and jargon are beyond it.""",
    grams=Grams(shortest=1, longest=5, bits=16, lower=False),
    strengths=(0.3, 1.0, 3.0),
    wanted_accuracy=0.95,
    most_abstained=0.12,
)


def read(data: Path) -> Splits:
    """Raises: OSError where a set is not there."""
    messages, comments = written.messages(data), written.comments(data)
    train = written.from_grammar("urgency", RECIPE.labels, 2_500, "train")
    for label in ("low", "normal"):
        train += written.labelled(messages["train"], label, 1_500, weight=0.3)
    train += written.labelled(comments["train"], "low", 1_200, weight=0.5)
    validation = written.from_grammar("urgency", RECIPE.labels, 500, "validation")
    validation += written.labelled(comments["validation"], "low", 150)
    calm = [Row(text, "low") for text in written.chosen(comments["test"], 1_000)]
    return Splits(train, validation, {"written by hand": written.held_out("urgency"), "forum comments": calm})


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
