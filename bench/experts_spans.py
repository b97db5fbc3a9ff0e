"""How well an expert finds spans: `python -m bench.experts spans --expert pii --data F.jsonl`.

Rows are {text, spans: [{start, end, type}]}; types by presidio's names or by our own, offsets in code points. Without
--data, pii is measured on the test templates of presidio-research's sentences, which it was never fitted on, and
secrets on rows that are made at random (`bench.secret_rows`). A span is found exactly where both ends and the type are
right; "overlap": where it shares at least half with its match; "touch": where it shares anything at all.

Beside presidio-analyzer (its spaCy model where one is installed in its environment, else its patterns alone) for pii,
and detect-secrets for secrets, on the same rows. presidio knows one type for all places: both are compared on places
and addresses as one type, neighbours joined, and without the types that presidio has none for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from expertd.distill import pii_rows
from expertd.distill.span_measure import Piece, joined, measure
from expertd.experts.bundle import open_bundle
from expertd.experts.errors import BundleError
from expertd.experts.kinds.tagger import open_finder

from . import secret_rows
from .peers import installed
from .report import ROOT, Row, data_folder, print_table, read_rows

PEERS = ("presidio-analyzer", "detect-secrets")
# Names of types in other data sets, in capitals, → ours; what is not here keeps its own name, in lower case.
NAMES = {
    **pii_rows.PRESIDIO,
    **dict.fromkeys(
        ("PER", "NAME", "FIRST_NAME", "LAST_NAME", "FIRSTNAME", "LASTNAME", "MIDDLENAME", "STAFF"), "person"
    ),
    **dict.fromkeys(
        ("ORG", "COMPANY", "COMPANYNAME", "COMPANY_NAME", "VENDOR", "HOSP", "ORGANISATION"), "organisation"
    ),
    **dict.fromkeys(("LOC", "LOCATION", "CITY", "COUNTRY", "STATE", "COUNTY", "FACILITY"), "place"),
    **dict.fromkeys(("ADDRESS", "STREET", "BUILDINGNUMBER", "SECONDARYADDRESS"), "address"),
    **dict.fromkeys(("DATE", "TIME", "BIRTHDAY", "DOB", "DATE_OF_BIRTH", "BIRTH-DATE", "BIRTH_DATE"), "date"),
    **dict.fromkeys(("PHONE", "PHONENUMBER", "TELEPHONE", "US_PHONE_NUMBER"), "phone"),
    **dict.fromkeys(("EMAIL",), "email"),
    **dict.fromkeys(("DOMAIN", "URL", "WEBSITE"), "url"),
    **dict.fromkeys(("IBAN",), "iban"),
    **dict.fromkeys(("CREDITCARD", "CREDITCARDNUMBER", "CREDIT_CARD_NUMBER", "CREDIT-CARD"), "credit-card"),
    **dict.fromkeys(("SSN",), "us-ssn"),
    **dict.fromkeys(("IP", "IPV4", "IPV6"), "ip"),
    **dict.fromkeys(("NATIONALITY", "NORP"), "nationality"),
    **dict.fromkeys(("PREFIX", "JOB", "JOBTITLE"), "title"),
    **dict.fromkeys(("ZIP", "ZIPCODE", "POSTCODE"), "postcode"),
    "MAC_ADDRESS": "mac-address",
    "CRYPTO": "wallet",
}
# What presidio's default recognisers and model find, as one vocabulary.
_SHARED = {
    **dict.fromkeys(("address", "place", "postcode"), "location"),
    **dict.fromkeys(("person", "organisation", "date", "phone", "email", "url", "iban", "credit-card", "us-ssn", "ip")),
    **dict.fromkeys(("nationality", "driver-licence", "wallet", "passport", "mac-address")),
}
_TOLD = {
    "spans": "spans",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "f2": "F2",
    "overlap_f1": "F1 overlap",
    "overlap_f2": "F2 overlap",
    "touch_precision": "touch precision",
    "touch_recall": "touch recall",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("spans", help="spans of named types: rows {text, spans: [{start, end, type}]}")
    command.add_argument("--expert", default="pii", help="a shipped expert of kind tagger (%(default)s)")
    command.add_argument("--data", type=Path, nargs="+")
    command.add_argument("--no-peers", action="store_true")
    command.add_argument("--wrong", action="store_true", help="print every row that is not found exactly")
    command.set_defaults(run=run, name="spans")


def run(chosen: argparse.Namespace) -> Row:
    """Raises: SystemExit for an expert that finds no spans."""
    folder = ROOT / "experts" / "bundles" / chosen.expert
    try:
        bundle = open_bundle(folder)
    except BundleError as error:
        raise SystemExit(f"{error}") from None
    if bundle.manifest.kind != "tagger":
        raise SystemExit(f"{chosen.expert} is of kind {bundle.manifest.kind}; spans come from kind tagger")
    texts, wanted = _rows(chosen)
    _, finder, resident_bytes = open_finder(bundle)
    finder.spans(texts[0])
    found: list[list[Piece]] = []
    seconds = []
    for text in texts:
        began = time.perf_counter()
        spans = finder.spans(text)
        seconds.append(time.perf_counter() - began)
        found.append([(span.start, span.end, _named(span.type)) for span in spans])
    if chosen.wrong:
        _print_wrong(texts, wanted, found)
    figures: Row = {
        "rows": len(texts),
        "by_type": measure(zip(wanted, found, strict=True)),
        "p50_ms": statistics.median(seconds) * 1e3,
        "p95_ms": sorted(seconds)[int(0.95 * len(seconds))] * 1e3,
        "disk_bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "resident_bytes": resident_bytes,
    }
    _print(f"{chosen.expert}, {len(texts)} rows", figures["by_type"])
    print(f"p50 {figures['p50_ms']:.3f} ms, p95 {figures['p95_ms']:.3f} ms, {figures['disk_bytes']:,} bytes on disk")
    if not chosen.no_peers:
        figures |= _beside(chosen.expert, texts, wanted, found)
    chosen.name = f"spans {chosen.expert}"
    return figures


def _rows(chosen: argparse.Namespace) -> tuple[list[str], list[list[Piece]]]:
    if chosen.data:
        rows = [row for path in chosen.data for row in read_rows(path)]
    elif chosen.expert == "secrets":
        rows = secret_rows.rows()
    else:
        path = data_folder() / "pii_presidio" / "synth_v2.jsonl"
        rows = [row for row in read_rows(path) if pii_rows.split_of(row["template_id"]) == "test"]
    wanted = [
        sorted((span["start"], span["end"], _named(span.get("type") or span["entity_type"])) for span in row["spans"])
        for row in rows
    ]
    return [row["text"] for row in rows], wanted


def _named(type_: str) -> str:
    return NAMES.get(type_.upper(), type_.lower().replace("_", "-"))


# --- The peer --------------------------------------------------------------------------------------------------------


def _beside(expert: str, texts: Sequence[str], wanted: Sequence[list[Piece]], found: Sequence[list[Piece]]) -> Row:
    """Both on what the peer can find."""
    task = "secrets" if expert == "secrets" else "pii"
    try:
        python = installed("spans", PEERS)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"the peer is left out: {error}")
        return {}
    script = str(Path(__file__).with_name("spans_peers.py"))
    request = json.dumps({"task": task, "texts": list(texts)})
    done = subprocess.run([str(python), script], input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"the peer is left out: {done.stderr[-400:]}")
        return {}
    answer = json.loads(done.stdout)
    theirs = [[(start, end, _named(type_)) for start, end, type_ in spans] for spans in answer["found"]]

    def alike(spans: Iterable[list[Piece]]) -> list[list[Piece]]:
        if task == "secrets":
            return [[(start, end, "secret") for start, end, _ in some] for some in spans]
        shared = [
            [(start, end, _SHARED[type_] or type_) for start, end, type_ in some if type_ in _SHARED] for some in spans
        ]
        return [joined(text, some) for text, some in zip(texts, shared, strict=True)]

    gold = alike(wanted)
    figures = {
        "ours_alike": measure(zip(gold, alike(found), strict=True)),
        "peer": measure(zip(gold, alike(theirs), strict=True)),
        "peer_is": answer["told"],
        "peer_p50_ms": statistics.median(answer["seconds"]) * 1e3,
    }
    _print(f"{expert}, types that both know, neighbours joined", figures["ours_alike"])
    _print(f"{answer['told']}, the same rows", figures["peer"])
    print(f"p50 {figures['peer_p50_ms']:.3f} ms")
    return figures


def _print(title: str, figures: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}")
    print_table(
        ["", *_TOLD.values()],
        [
            [name, *(f"{rates[key]:.3f}" if key != "spans" else int(rates[key]) for key in _TOLD)]
            for name, rates in figures.items()
        ],
    )


def _print_wrong(texts: Sequence[str], wanted: Sequence[list[Piece]], found: Sequence[list[Piece]]) -> None:
    for text, one, other in zip(texts, wanted, found, strict=True):
        missed, extra = set(one) - set(other), set(other) - set(one)
        if missed or extra:
            print(repr(text[:300]))
            print(f"    missed {[(text[start:end], type_) for start, end, type_ in sorted(missed)]}")
            print(f"    wrong  {[(text[start:end], type_) for start, end, type_ in sorted(extra)]}")
