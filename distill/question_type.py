"""Trains the question-type expert: what kind of answer does a question want?

    python -m expertd.distill.question_type [--trunk DIR] [--data DIR]

Beside our grammar it learns from sets whose questions are of one type by their making (yes-no, how many), and from
requests to an assistant whose first words leave no doubt.
"""

from __future__ import annotations

import re
from pathlib import Path

from expertd.experts.kinds.linear import Grams

from . import written
from .classifier import command
from .recipe import Recipe
from .rows import Row, Splits

RECIPE = Recipe(
    name="question-type",
    summary="Tells what kind of answer a question wants.",
    labels=("yes-no", "who", "when", "where", "what", "how-to", "why", "how-many", "choice", "opinion", "none"),
    needs_input="Which question? Give it after a colon, or as a file.",
    licence="CC-BY-3.0",
    phrases={
        "yes-no": "A question for yes or no ({percent} sure).",
        "who": "It asks who ({percent} sure).",
        "when": "It asks when ({percent} sure).",
        "where": "It asks where ({percent} sure).",
        "what": "It asks what something is ({percent} sure).",
        "how-to": "It asks how to do something ({percent} sure).",
        "why": "It asks why ({percent} sure).",
        "how-many": "It asks for a number ({percent} sure).",
        "choice": "It offers a choice ({percent} sure).",
        "opinion": "It asks for an opinion or advice ({percent} sure).",
        "none": "This is no question ({percent} sure).",
    },
    does="""\
Tells what kind of answer a question wants: yes or no, a person (`who`), a time, a place, a thing or a definition
(`what`), instructions (`how-to`), a reason (`why`), a number (`how-many`), one of several things that are offered
(`choice`), a judgement or advice (`opinion`); or that it is no question (`none`; a command is none). What counts is the
answer that is wanted: "what year was it built" is `when`, "should I stay or go" is `choice`.""",
    data="""\
- A grammar of ours (`distill/grammars/question-type.toml`). Every fourth template and filler is kept for validation.
- StrategyQA (Geva et al., 2021, MIT): yes-no by its making; GSM8K (Cobbe et al., 2021, MIT): every problem asks for a
  number. The tests named so are their own parts.
- CLINC150 (Larson et al., 2019, CC BY 3.0): requests whose first words leave no doubt ("how do i", "why"), labelled by
  them; GoEmotions (Demszky et al., 2020, Apache 2.0): comments without a question, as `none`.

The weights are CC BY 3.0, after CLINC150. No row of these sets is in this bundle. The hand-written test is ours;
grammar and test are by the same hand, and though neither copies the other, a stranger's questions are harder.""",
    limits="""\
- English. One question at a time: of several it sees a mixture, most of the first.
- "Can you open the window?" is a command in the form of a question; it is mostly taken for `none`, and a real question
  about ability in the same form may be so too.
- `what`, `opinion` and `choice` overlap ("which film should I see?"); there it is least sure.""",
    grams=Grams(shortest=1, longest=6, bits=16, lower=True),
    strengths=(1.0, 3.0, 10.0),
    wanted_accuracy=0.95,
    most_abstained=0.12,
)

# First words that leave no doubt, in requests to an assistant.
_SURE = {
    "how-to": r"how (?:do|can|would|should) (?:i|you|we) (?!feel|like|think|know)",
    "how-many": r"how (?:many|much|long|far|old|tall|big)\b|what(?:'s| is) the (?:price|cost|population|distance)",
    "why": r"(?:why|how come)\b",
    "who": r"(?:who|whose|who's)\b",
    "where": r"(?:where|where's)\b",
    "when": r"(?:when (?:is|are|was|does|do|did|will|should|can)|what time|what day)\b",
    "yes-no": r"(?:is|are|was|do|does|did|has|have|will) (?!.*\bor\b)(?!.*\b(?:think|recommend)\b)",
    "what": r"what(?:'s| is| are| does)\b(?!.*\b(?:time|price|cost|population|distance|name|address|location|date|day|"
    r"number|balance|age|best|think|way|deadline|opinion|limit|rate|score|total|birthday|weather|temperature|long|much|many|should|"
    r"apr|left|traffic|favorite)\b)",
    "none": r"(?:set|play|turn|remind|add|remove|cancel|send|call|text|delete|change|book|schedule|order|pay|"
    r"transfer|make|start|stop|pause|increase|lower|raise|mute|thank|thanks|i|i'm|my|no|yes|ok|hello|hi|"
    r"good)\b(?!.*\b(?:what|when|where|"
    r"who|why|how|which|if|whether|wondering|know)\b)",
}  # fmt: skip
_ASKS = re.compile(
    r"\?|^\W*(?:who|what|when|where|why|how|which|is|are|do|does|did|can|could|would|should|will|has|have|any)\b",
    re.IGNORECASE,
)


def read(data: Path) -> Splits:
    """Raises: OSError where a set is not there."""
    sets = {"requests": written.requests(data), "comments": written.comments(data)}
    yes_no, problems = written.yes_no(data), written.problems(data)
    parts: dict[str, list[Row]] = {}
    for part, count in (("train", 900), ("validation", 120)):
        share = 1.0 if part == "train" else 0.15
        rows = written.from_grammar("question-type", RECIPE.labels, count, "train" if part == "train" else "validation")
        rows += written.labelled(yes_no[part], "yes-no", int(1_000 * share), 0.5)
        rows += written.labelled([asked(text) for text in problems[part]], "how-many", int(800 * share), 0.5)
        rows += written.labelled(problems[part], "how-many", int(300 * share), 0.5)
        for label, pattern in _SURE.items():
            sure = [text for text in sets["requests"][part] if re.match(pattern, text)]
            rows += written.labelled(sure, label, int(400 * share), 0.7)
        told = [text for text in sets["comments"][part] if not _ASKS.search(text)]
        rows += written.labelled(told, "none", int(700 * share), 0.7)
        parts[part] = rows
    tests = {
        "written by hand": written.held_out("question-type"),
        "StrategyQA": [Row(text, "yes-no") for text in yes_no["test"]],
        "GSM8K": [Row(asked(text), "how-many") for text in written.chosen(problems["test"], 500)],
    }
    return Splits(parts["train"], parts["validation"], tests)


def asked(problem: str) -> str:
    """The question of a problem: its last sentence that ends in a question mark; the whole where there is none."""
    found = re.findall(r"[^.?!]*\?", problem)
    return found[-1].strip() if found and len(found[-1].split()) > 2 else problem


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
