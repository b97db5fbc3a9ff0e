"""Trains the spam expert from SMS and mail, and writes two sealed bundles.

    python -m expertd.distill.spam [--trunk DIR] [--data DIR] [--choices-only]

By the common recipe (`classifier`). Version 1, `experts/bundles/spam`, is fitted on the training rows; version 2,
`bundles/spam-2`, is the same, refitted on training and validation rows. Short texts (SMS, a line of chat) and long ones
(mail) are different trades, and have a set of weights each.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from expertd.experts.bundle import GOLDEN, INTENTS
from expertd.experts.errors import BundleError
from expertd.experts.kinds.linear import Grams
from expertd.router.encoder import Encoder, TrunkError

from . import datasets
from .classifier import BUNDLES, ROOT, make
from .recipe import Recipe
from .rows import DataError, Row, Splits, digest

FIRST = BUNDLES / "spam"
SECOND = ROOT / "bundles" / "spam-2"

RECIPE = Recipe(
    name="spam",
    summary="Tells whether a message or mail is spam.",
    labels=("ham", "spam"),
    needs_input="Which message? Give it after a colon, or as a file.",
    licence="CC-BY-4.0",
    phrases={
        "ham": "This does not look like spam ({percent} sure).",
        "spam": "This looks like spam ({percent} sure).",
    },
    does="""
Tells whether a message or a mail is spam. Give it the message after a colon ("is this spam: …") or as a file.
""",
    data="""
- SMS Spam Collection (Almeida and Hidalgo, UCI), CC BY 4.0, in a deduplicated split of 4,100 / 513 / 513 messages.
- SpamAssassin public corpus, in the parsed form of stdlib-js (database PDDL 1.0): mails split by a hash of the subject
  without "Re:", list names and digits, 70 / 10 / 20 %, so that no thread and no campaign stands on both sides.

The weights are CC BY 4.0, after the SMS collection. No message of either set is in this bundle.
""",
    limits="""
- English. The SMS are of the years before 2012, mostly British and Singaporean; the mails of 2002 and 2003, ham from
  technical mailing lists. Newer kinds of spam look different.
- Of the SMS that their collectors call spam, one in fourteen is missed when it is not in the fit, among them jokes,
  remarks about spam and lines without context: fitted on four fifths of the training and validation rows and asked
  about the fifth, F1 is 0.96, and no choice of features or threshold raised it. The test, with 62 rows of spam, is too
  small to tell 0.96 from 0.99. Its rows were read four times, each time for a figure alone: for the first fit, for its
  calibration, for a recipe that was given up, and for this one.
- Mail of another kind than it was fitted on is judged less well: fitted on SMS alone, AUROC on all mail was 0.73. It
  was never measured on a corpus of mail from elsewhere.
- It reads the first 4,096 visible characters (HTML as its reader sees it) and, through the vector, the first 256
  tokens. It neither follows links nor looks at headers, senders or attachments: give it the text, not the raw source.
- Spam is not fraud: a personal, well written phishing message may pass as ham. Automatic messages that people do want
  (one-time codes, bookings) are rare in the data and may be taken for spam.
""",
    grams=Grams(shortest=1, longest=5, bits=17, characters=4_096),
    markup=True,
    short_characters=320,
    english=False,
    strengths=(30.0, 200.0),
    folds=4,
    wanted_accuracy=0.995,
    most_abstained=0.01,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m expertd.distill.spam", description="Trains the spam expert.")
    state = Path(os.environ.get("XDG_STATE_HOME", "~/.local/state")).expanduser() / "expertd" / "trunk"
    parser.add_argument("--trunk", type=Path, default=state, help="folder of the trunk (%(default)s)")
    parser.add_argument("--data", type=Path, default=datasets.folder(), help="folder of the data sets (%(default)s)")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "distill", help="kept vectors (%(default)s)")
    parser.add_argument("--choices-only", action="store_true", help="stop before the test rows are read")
    options = parser.parse_args(arguments)
    try:
        encoder, splits = Encoder.open(options.trunk, threads=os.cpu_count() or 1), read(options.data)
        make(RECIPE, splits, encoder, FIRST, options.cache, choices_only=options.choices_only)
        if not options.choices_only:
            SECOND.mkdir(parents=True, exist_ok=True)
            for name in (INTENTS, GOLDEN):
                shutil.copyfile(FIRST / name, SECOND / name)
            make(replace(RECIPE, version=2, refit=True), splits, encoder, SECOND, options.cache)
    except (OSError, DataError, BundleError, TrunkError) as error:
        sys.stderr.write(f"spam: {error}\n")
        return 1
    return 0


def read(data: Path) -> Splits:
    """SMS and mail as they are split."""
    sms: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    mail: dict[str, list[Row]] = {"train": [], "val": [], "test": []}
    for part, rows in sms.items():
        for row in datasets.rows(data / "sms_spam" / f"dedup_{part}.jsonl"):
            rows.append(Row(row["text"], "spam" if row["label"] in (1, "1", "spam") else "ham"))
    for row in datasets.rows(data / "spamassassin" / "spamassassin.jsonl.gz"):
        subject = row["subject"]
        text = mail_text(subject, row["body"])
        if text.strip():
            mail[split_of(subject)].append(Row(text, row["label"], group=plain_subject(subject)))
    tests = {"SMS": sms["test"], "mail": mail["test"]}
    return Splits([*sms["train"], *mail["train"]], [*sms["val"], *mail["val"]], tests)


def plain_subject(subject: str) -> str:
    """The letters of a subject, without "Re:", list names and digits: the same for a thread, and for a campaign."""
    return re.sub(r"[^a-z]+", "", re.sub(r"^(\s*(\[[^\]]*\]|(re|fwd?|aw)\s*:))+", "", subject.lower()))


def split_of(subject: str) -> str:
    """70 % train, 10 % val, 20 % test, by the plain subject.

    The answers in a thread and the copies of a campaign stay on one side, or the test would be of memory.
    """
    place = digest(plain_subject(subject))[0] / 256
    return "train" if place < 0.7 else "val" if place < 0.8 else "test"


def mail_text(subject: str, body: str) -> str:
    """Every other mail without its subject: people paste both the whole and the body alone."""
    if digest(body)[0] % 2:
        return body
    return f"Subject: {subject}\n\n{body}"


if __name__ == "__main__":
    raise SystemExit(main())
