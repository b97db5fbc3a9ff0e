"""Trains the pii expert's tagger and writes its sealed bundle.

    python -m expertd.distill.pii [--data DIR]

What is chosen is chosen on the validation templates, the shipped weights are then fitted on training and validation
ones, and the test templates are read for the figures in the card alone. Sentences and examples in the bundle are ours
and lie there already; weights, manifest and card are written anew, the same bytes every time on one machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from expertd.experts.bundle import MANIFEST, seal
from expertd.experts.kinds.tagger import WEIGHTS, Finder
from expertd.experts.tagging.registry import RECOGNISERS
from expertd.experts.tagging.sequence import Lexicon, SequenceTagger, Vocabulary

from . import datasets
from .pii_rows import Amounts, name_lists, ordinary_words, read_rows, split_of, training
from .span_measure import Marked, measure
from .tagging import Recipe, fit

HOME = Path(__file__).resolve().parents[1] / "experts" / "bundles" / "pii"
LEARNED = (*("person", "organisation", "place", "address", "title", "nationality", "age", "date", "phone", "postcode"),)
FOUND = (
    *("age", "bank-account", "credit-card", "date", "driver-licence", "email", "iban", "ip", "licence-plate"),
    *("mac-address", "national-id", "passport", "phone", "postcode", "url", "us-ssn", "wallet"),
)
THRESHOLD = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m expertd.distill.pii", description="Trains the pii expert.")
    parser.add_argument("--data", type=Path, default=datasets.folder(), help="folder of the data sets (%(default)s)")
    parser.add_argument("--choices-only", action="store_true", help="stop before the test rows are read")
    options = parser.parse_args(arguments)

    rows = read_rows(options.data / "pii_presidio" / "synth_v2.jsonl")
    parts = {
        part: [row for row in rows if split_of(row.template_id) == part] for part in ("train", "validation", "test")
    }
    ordinary = ordinary_words(options.data)
    vocabulary = Vocabulary(Lexicon.of(ordinary[0]), name_lists())

    def fitted(*names: str) -> SequenceTagger:
        texts = training([row for name in names for row in parts[name]], options.data, ordinary, Amounts())
        return fit(texts, LEARNED, finder(None, 0.0), vocabulary, Recipe(), told=_progress)

    chosen = fitted("train")
    _tell("validation", measured(finder(chosen), [row.marked for row in parts["validation"]]))
    if options.choices_only:
        return 0
    shipped = fitted("train", "validation")
    figures = measured(finder(shipped), [row.marked for row in parts["test"]])
    _tell("test", figures)
    _write(shipped, figures, {part: len(some) for part, some in parts.items()})
    return 0


# --- Measuring -------------------------------------------------------------------------------------------------------


def finder(tagger: SequenceTagger | None, threshold: float = THRESHOLD) -> Finder:
    """As the bundle is served; without a tagger the recognisers alone."""
    return Finder([each for name in FOUND for each in RECOGNISERS[name]], tagger, threshold)


def measured(found_by: Finder, texts: Sequence[Marked]) -> dict[str, dict[str, float]]:
    """By type and in "all"; a date of birth is a date here, as it is in the data."""
    return measure(
        (
            marked.spans,
            [(span.start, span.end, span.type.replace("birth-date", "date")) for span in found_by.spans(marked.text)],
        )
        for marked in texts
    )


def _tell(part: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    for name, rates in figures.items():
        sys.stdout.write(f"{part} {name}: {json.dumps(rates)}\n")


def _progress(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- Writing ---------------------------------------------------------------------------------------------------------


def _write(tagger: SequenceTagger, figures: Mapping[str, Mapping[str, float]], rows: Mapping[str, int]) -> None:
    from safetensors.numpy import save_file

    tensors: dict[str, npt.NDArray[Any]] = {
        "common": tagger.vocabulary.common.bits,
        "emissions": tagger.emissions,
        "names": tagger.vocabulary.names_tensor(),
        "scale": tagger.scale,
        "start": tagger.start,
        "transitions": tagger.transitions,
    }
    save_file(tensors, HOME / WEIGHTS)
    (HOME / WEIGHTS).chmod(0o644)  # others may read it, as the rest
    (HOME / MANIFEST).write_text(_manifest(tagger.outside), "utf-8")
    (HOME / "CARD.md").write_text(_card(figures, rows), "utf-8")
    seal(HOME)


_NAMES = {
    "bank-account": "account number",
    "credit-card": "card number",
    "date": "date",
    "driver-licence": "driving licence",
    "iban": "IBAN",
    "ip": "IP address",
    "mac-address": "hardware address",
    "national-id": "national number",
    "passport": "passport number",
    "phone": "phone number",
    "birth-date": "date of birth",
    "email": "e-mail address",
    "licence-plate": "number plate",
    "url": "web address",
    "us-ssn": "social security number",
}
_ASKED = {
    "address": ["address", "addresses", "street", "streets"],
    "birth-date": ["birthday", "birthdays", "birth", "dates"],
    "credit-card": ["card", "cards", "credit"],
    "date": ["date", "dates"],
    "email": ["email", "emails", "e-mail", "e-mails", "mail", "mails"],
    "iban": ["iban", "ibans", "account", "accounts"],
    "ip": ["ip", "ips"],
    "organisation": ["company", "companies", "organisation", "organisations", "organization", "organizations", "firms"],
    "person": ["name", "names", "person", "persons", "people"],
    "phone": ["phone", "phones", "telephone", "number", "numbers"],
    "place": ["place", "places", "city", "cities", "town", "towns", "country", "countries"],
    "url": ["url", "urls", "link", "links", "website", "websites"],
    "us-ssn": ["ssn", "ssns", "security"],
}


def _manifest(outside: float) -> str:
    names = "\n".join(f"{type_} = {json.dumps(name)}" for type_, name in sorted(_NAMES.items()))
    asked = "\n".join(f"{type_} = {json.dumps(some)}" for type_, some in sorted(_ASKED.items()))
    return f"""\
name = "pii"
version = 1
kind = "tagger"
summary = "Finds personal data in a text (names, addresses, numbers) and redacts it."
licence = "MIT AND CC-BY-3.0 AND CC-BY-4.0 AND Apache-2.0"
threshold = {THRESHOLD}

[resources]
memory_mb = 3
latency_ms = 2

[parameters]
needs_input = "Which text? Give it after a colon, or as a file."
recognisers = {json.dumps(FOUND)}
learned = {json.dumps(LEARNED)}
outside = {outside}

[parameters.nouns]
one = "piece of personal data"
many = "pieces of personal data"
none = "personal data"

[parameters.names]
{names}

[parameters.asked]
{asked}
"""


def _card(figures: Mapping[str, Mapping[str, float]], rows: Mapping[str, int]) -> str:
    table = "\n".join(
        f"| {name} | {int(rates['spans'])} | {rates['precision']:.3f} | {rates['recall']:.3f} | {rates['f1']:.3f} | "
        f"{rates['overlap_f1']:.3f} |"
        for name, rates in figures.items()
        if rates["spans"]
    )
    return f"""\
# pii, version 1

Finds personal data in a text and gives the text back without it. Give it the text after a colon ("redact this: …") or
as a file; asked without one, it asks back. The answer lists spans (start and end in Unicode code points, type, text,
score) and the text with [TYPE] in their place. "Only" restricts it: "redact only the phone numbers". The sentence for
people counts what was found and shows it masked.

Types: {", ".join(sorted({*LEARNED, *FOUND, "birth-date"}))}.

## How it was made

Recognisers (patterns with checksums and with words that must stand near: Luhn, IBAN modulo 97, base58check, bech32, the
Spanish, Dutch and Polish state numbers, E.164) beside a linear-chain conditional random field (Lafferty et al., 2001)
over hashed features of words, their form, their neighbours and what a recogniser takes them for; 2^{Recipe().bits}
bins, int8. It brings our lists of names and a list of ordinary words (a
Bloom filter), which names are not among; a third of the sentences it was fitted on were read as if no list had their
names. Of overlapping spans the one proved by a checksum stands, then the learned one, then the one that looks like it;
then the longer. `python -m expertd.distill.pii` makes it anew, the same bytes on the same machine.

## Data and licence

- presidio-research, synth_dataset_v2 (Microsoft), MIT: {rows["train"]} rows to train, {rows["validation"]} to choose,
  {rows["test"]} to measure, split by template: no template stands on two sides. The templates of the training side are
  filled anew with names of our own lists as well.
- Sentences of ours with slots (pii_sentences.txt) and names of many cultures (pii_words.txt), as often made up from
  their syllables.
- GoEmotions (Apache 2.0), where it has [NAME], GSM8K (MIT) and CLINC150 (CC BY 3.0), where they have a name of
  our lists: other names are put there. Requests of CLINC150 that name nobody, as negatives.
- GoEmotions, GSM8K and the SMS collection (CC BY 4.0), for which words are ordinary.

No row of these sets is in this bundle.

## Measured

On the test templates; exact: both ends and the type right; overlap: F1 where a span and its match share at least half
of what either covers. They were read three times: before and after made-up addresses lost their towns, and after spans
grew to whole words; nothing was chosen by them. Where an address is in pieces (number, street, flat), the data has a
span for each, and joined ones count as wrong.

| type | spans | precision | recall | F1 exact | F1 overlap |
|---|---|---|---|---|---|
{table}

presidio-analyzer with its default model (spaCy en_core_web_lg) has, by its makers' own notebook, token by token over
all 1,500 rows of the same set, F2 0.60 and recall 0.55 over all types it knows (people F2 0.83, places 0.25, phones
0.63). `python -m bench.experts spans --expert pii` measures both on the same rows, presidio without a language model
where none can be had.

## Limits

- English text; names of many languages in it. Names in lower case, and first names that are ordinary words ("Will",
  "May"), are often missed. It does not know who is famous: an author is a person like any other.
- Firms and jobs are the weakest: a firm whose name could be a person's is often taken for one, or missed. Amounts
  written with blanks ("10 000 000") may be taken for telephone numbers.
- Without a word beside it ("phone", "card", "account"), a bare run of digits is rarely taken for anything.
- Addresses are found as their writers set them, in one piece or several.
- Redaction by any model misses some: read the text once more before it goes out.
"""


if __name__ == "__main__":
    raise SystemExit(main())
