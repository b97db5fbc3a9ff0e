"""Trains the phishing expert: does a message fish for money or secrets?

    python -m expertd.distill.phishing [--trunk DIR] [--data DIR]

What phishing is it learns from our grammar alone; what honest messages are, from the grammar and from real ones. Links
are read by `expertd.experts.kinds.links`, so that it learns what deceives about them and not which hosts it has seen.
"""

from __future__ import annotations

from pathlib import Path

from expertd.experts.kinds.linear import Grams

from . import written
from .classifier import command
from .recipe import Recipe
from .rows import Row, Splits

RECIPE = Recipe(
    name="phishing",
    summary="Tells whether a message fishes for money or secrets, by its words and where its links lead.",
    labels=("legitimate", "phishing"),
    needs_input="Which message or link? Give it after a colon, or as a file.",
    licence="CC-BY-3.0 AND CC-BY-4.0",
    phrases={
        "legitimate": "This shows no signs of phishing ({percent} sure).",
        "phishing": "This looks like phishing ({percent} sure).",
    },
    does="""\
Tells whether a message, a mail or a link tries to trick its reader out of secrets or money, and says why ("the link
shows paypal.com but leads to 203.0.113.9"). Give it after a colon ("is this phishing: …") or as a file; HTML mails as
they are, for the difference between what a link shows and where it leads is half of the matter.

It looks at links (addresses in numbers, a name before "@", look-alike letters and names, a known name inside another
host, another host than shown, short links, odd ports, names made of many parts, scripts, programs), at what is wanted
(secrets, payments, gift cards, a changed account, a fee for a parcel, silence, haste) and at the wording as a whole.
Advertising is no phishing: that is for the expert `spam`.""",
    data="""\
- A grammar of ours (`distill/grammars/phishing.toml`), for both labels. Every fourth template and filler is kept for
  validation.
- Honest messages: SMS Spam Collection, ham (Almeida and Hidalgo, UCI, CC BY 4.0); SpamAssassin public corpus, ham
  (database PDDL 1.0); CLINC150 (Larson et al., 2019, CC BY 3.0); GoEmotions (Demszky et al., 2020, Apache 2.0). Spam is
  in neither label.

No row of these sets is in this bundle. The hand-written test is ours; grammar and test are by the same hand, and though
neither copies the other, a stranger's messages are harder. The false alarms are of real messages that it was not fitted
on. The tests were read four times: after the first reading it learnt from whole mails instead of their beginnings, and
took phishing to be rare; after the second it was given more mails and short links that lead nowhere bad, with fewer
false alarms allowed; after the third more were allowed again, as it had left too much unnamed.""",
    limits="""\
- Wordings are English; links are judged in any language. Personal, well written fraud without a link and without a
  demand looks like any letter.
- It opens no link and asks no server: whether a host is known for fraud, or a week old, it cannot know. A trustworthy
  site that was broken into looks trustworthy.
- About 110 well-known domains are known to it, and of public suffixes a handful of rules ("co.uk" and friends): a bank
  that is not among them can be imitated unseen, and an unusual but honest second domain of a known firm ("borrowed
  name") may be accused.
- Tests of phishing mails for training staff are phishing to it, and quotations of phishing may be.""",
    signals="links",
    english=False,
    grams=Grams(shortest=1, longest=5, bits=16, characters=4_096, lower=True),
    strengths=(0.3, 1.0),
    wanted_accuracy=0.97,
    most_abstained=0.08,
    most_false_alarms=0.02,
    prevalence=0.1,
)

# Of a mail so much is learnt from.
_LEARNT_CHARACTERS = 8_000


def read(data: Path) -> Splits:
    """Raises: OSError where a set is not there."""
    sets = {
        "messages": (written.messages(data), 1_000),
        "mails": (written.mails(data), 900),
        "requests": (written.requests(data), 400),
        "comments": (written.comments(data), 400),
    }
    train = written.from_grammar("phishing", RECIPE.labels, 2_000, "train")
    validation = written.from_grammar("phishing", RECIPE.labels, 400, "validation")
    tests: dict[str, list[Row]] = {"written by hand": written.held_out("phishing")}
    for name, (texts, count) in sets.items():
        for part, rows, most in (("train", train, count), ("validation", validation, count // 3)):
            rows.extend(written.labelled([text[:_LEARNT_CHARACTERS] for text in texts[part]], "legitimate", most))
        tests[name] = list(written.labelled(texts["test"], "legitimate", 500))
    return Splits(train, validation, tests)


if __name__ == "__main__":
    raise SystemExit(command(RECIPE, read))
