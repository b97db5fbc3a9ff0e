"""Trains the prompt-attack expert: does a document command the assistant that reads it?

    python -m expertd.distill.prompt_attack [--trunk DIR] [--data DIR]

Attacks come from our grammar: whole ones, and orders that are hidden in real documents, in the open or in one of the
usual disguises. The same documents without an order are harmless, so that it is the order which is learnt.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from pathlib import Path

from expertd.experts.kinds.linear import Grams

from . import phrases, written
from .classifier import command
from .phrases import Part
from .recipe import Recipe
from .rows import Row, Splits

RECIPE = Recipe(
    name="prompt-attack",
    summary="Tells whether a text tries to command the assistant that reads it.",
    labels=("harmless", "attack"),
    needs_input="Which text? Give it after a colon, or as a file.",
    licence="CC-BY-3.0 AND CC-BY-4.0",
    phrases={
        "harmless": "This does not try to command an assistant ({percent} sure).",
        "attack": "This tries to command the assistant that reads it ({percent} sure).",
    },
    does="""\
Tells whether a document, a message or the output of a tool tries to command the assistant that reads it ("prompt
injection"): to set its instructions aside, to hand out its prompt or its user's data, to play somebody without rules,
to trust forged system messages and calls of tools. It says why. Give the text after a colon ("is this a prompt
injection: …") or as a file, raw: markup and invisible letters are part of the evidence.

Before it judges it brings to light what is hidden: letters without width, the invisible tag block, full-width forms,
spaced-out letters, unseen HTML, and payloads in base64, hex or percent signs.""",
    data="""\
- A grammar of ours (`distill/grammars/prompt-attack.toml`), for both labels. Every fourth template and filler is kept
  for validation.
- Harmless texts, with and without an order hidden in them: SpamAssassin public corpus, ham (database PDDL 1.0); SMS
  Spam Collection, ham (Almeida and Hidalgo, UCI, CC BY 4.0); CLINC150 (Larson et al., 2019, CC BY 3.0); GoEmotions
  (Demszky et al., 2020, Apache 2.0); tasks of Self-Instruct (Wang et al., 2022, Apache 2.0); GSM8K (Cobbe et al., 2021,
  MIT).

No row of these sets is in this bundle. The hand-written test is ours; grammar and test are by the same hand, and though
neither copies the other, a stranger's attacks are harder. The false alarms are of real texts that it was not fitted on.
The tests were read twice: after the first reading the threshold was loosened, as it had left too many attacks
unnamed.""",
    limits="""\
- It is a filter, not a wall: whoever knows it can word an order that passes. An assistant must treat data as data all
  the same, and ask its user before it acts.
- What a *user* may not ask for (how to build a weapon) is another matter: here it is harmless.
- English, with a few of the commonest wordings in other languages. Attacks spread over several documents, in pictures
  or in poems are beyond it.
- Texts that quote attacks, as articles and rules against them do, are taken for attacks more often than others.
- It reads the first 32,768 characters; of a long text the n-grams read the passages that could be commands, the vector
  only the first 256 tokens.""",
    signals="injection",
    english=False,
    grams=Grams(shortest=1, longest=6, bits=16, characters=2_048, lower=True),
    strengths=(3.0,),
    wanted_accuracy=0.97,
    most_abstained=0.08,
    most_false_alarms=0.03,
    prevalence=0.2,
)

# Of a document so much is learnt from.
_LEARNT_CHARACTERS = 8_000


def read(data: Path) -> Splits:
    """Raises: OSError where a set is not there."""
    sets = {
        "mails": (written.mails(data), 600),
        "messages": (written.messages(data), 400),
        "requests": (written.requests(data), 600),
        "comments": (written.comments(data), 500),
        "tasks": (written.tasks(data), 90),
        "problems": (written.problems(data), 200),
    }
    train = written.from_grammar("prompt-attack", ["attack", "harmless"], 1_900, "train")
    validation = written.from_grammar("prompt-attack", ["attack", "harmless"], 400, "validation")
    tests: dict[str, list[Row]] = {"written by hand": written.held_out("prompt-attack")}
    pairs: tuple[tuple[Part, list[Row], int, int], ...] = (
        ("train", train, 1_200, 1),
        ("validation", validation, 250, 4),
    )
    for part, rows, count, share in pairs:
        documents: list[str] = []
        for sets_parts, most in sets.values():
            texts = [text[:_LEARNT_CHARACTERS] for text in sets_parts[part]]
            rows.extend(written.labelled(texts, "harmless", most // share))
            documents += written.chosen(texts, 200, seed=2)
        rows.extend(_hidden(documents, count, part))
    for name in ("mails", "messages", "requests", "comments", "tasks"):
        tests[name] = list(written.labelled(sets[name][0]["test"], "harmless", 500))
    return Splits(train, validation, tests)


def _hidden(documents: Sequence[str], count: int, part: Part) -> list[Row]:
    """`count` documents with an order in them: at the beginning, in the middle, at the end; open or in disguise."""
    chance = random.Random(f"hidden {part}")  # noqa: S311  no secret
    orders = phrases.read("prompt-attack").phrases("order", count, part, seed=2)
    rows = []
    for text, template in orders:
        lines = chance.choice(documents).splitlines() or [""]
        lines.insert(chance.choice([0, len(lines), chance.randint(0, len(lines))]), disguised(text, chance))
        rows.append(Row("\n".join(lines).strip(), "attack", group=template))
    return rows


def disguised(order: str, chance: random.Random) -> str:
    """An order as it is put into documents; most stand there in the open."""
    kind = chance.random()
    if kind < 0.6:
        return order
    if kind < 0.7:
        return f"<!-- {order.replace('--', '-')} -->"
    if kind < 0.8:
        style = chance.choice(["display:none", "font-size:0", "color:#fff", "visibility:hidden", "opacity:0"])
        return f'<span style="{style}">{order}</span>'
    if kind < 0.86:
        return "".join(sign + ("\u200b" if chance.random() < 0.3 else "") for sign in order)
    if kind < 0.9:
        return base64.b64encode(order.encode()).decode()
    if kind < 0.93:
        return "".join(chr(0xE0000 + ord(sign)) for sign in order if " " <= sign <= "~")
    if kind < 0.96:
        return " ".join(order)
    return "".join(f"%{byte:02x}" for byte in order.encode())


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
