"""How well quantities are read, value and unit, beside other readers: `python -m bench.experts units`.

Without --data: duckling's examples (quantity, distance, volume, temperature) and Recognizers-Text's dimensions and
temperatures, the half of them that nothing here was tuned on; --validation: the other half, by a hash of the text. A
row is right where all its quantities are found, and nothing else but durations, which both collections have elsewhere.
Units are compared by what they stand for, so that names do not matter; both collections are American, and so is the
locale. Peers live in build/peers-units: pint reads whole texts alone, quantulum3 any.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expertd.experts.skills.measure_numbers import OutOfRangeError
from expertd.experts.skills.measure_units import Unit, pieces_of, units_at
from expertd.experts.skills.measures import find_quantities

from .peers import installed
from .report import Row, data_folder, print_table, read_rows

REGION = "US"
PEERS = ("pint", "quantulum3")
DIMENSIONS = ("quantity", "distance", "volume", "temperature")
# A number and the name of its unit; the lower end of a range before it.
Found = list[tuple[float | None, float, str]]


def add(commands: Any) -> None:
    command = commands.add_parser("units", help="quantities: rows {text, quantities: [{value, unit}]}")
    command.add_argument("--data", type=Path, nargs="+")
    command.add_argument("--validation", action="store_true", help="the half of the rows that may be looked at")
    command.add_argument("--wrong", action="store_true", help="print every row that is read otherwise than expected")
    command.add_argument("--no-peers", action="store_true")
    command.set_defaults(run=_units, name="units")


@dataclass
class _Tally:
    right: Counter[str]
    wrong: list[tuple[Row, Found]]
    seconds: list[float]


def _units(chosen: argparse.Namespace) -> Row:
    if chosen.data:
        rows = [row | {"source": path.stem} for path in chosen.data for row in read_rows(path)]
    else:
        rows = [row for row in _shared_rows() if _is_validation(row["text"]) == chosen.validation]
    tallies = {"units": _judge(rows, *_ours(rows))}
    if not chosen.no_peers:
        tallies |= {name: _judge(rows, *answers) for name, answers in _peers(rows).items()}
    totals = Counter(row["source"] for row in rows)
    sources = [*totals, "all"]
    shares = {
        name: {
            source: (tally.right.total() if source == "all" else tally.right[source])
            / (len(rows) if source == "all" else totals[source])
            for source in sources
        }
        for name, tally in tallies.items()
    }
    print_table(
        ["", *tallies, "rows"],
        [
            *[
                [source, *[f"{100 * shares[name][source]:.1f} %" for name in tallies], totals[source] or len(rows)]
                for source in sources
            ],
            ["p50 ms", *[f"{statistics.median(tally.seconds) * 1e3:.3f}" for tally in tallies.values()], ""],
        ],
    )
    if chosen.wrong:
        for row, found in tallies["units"].wrong:
            print(f"{row['text']!r}\n    expected {row['quantities']}\n    read as  {found}")
    return {
        name: {"rows": len(rows), "right": shares[name], "p50_ms": statistics.median(tally.seconds) * 1e3}
        for name, tally in tallies.items()
    }


# --- Rows -------------------------------------------------------------------------------------------------------------


def _shared_rows() -> list[Row]:
    folder = data_folder()
    rows = []
    for row in read_rows(folder / "duckling_time" / "other_dimensions_en.jsonl"):
        if row["dimension"] in DIMENSIONS and row["section"] == "main":
            _, unit, rest = row["expected_expr"].split(" ", 2)
            numbers = re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", rest.partition("Just")[0])
            quantities = [{"value": float(number), "unit": unit} for number in numbers]
            rows.append({"source": "duckling", "text": row["text"], "quantities": quantities})
    for name in ("Dimension", "Temperature"):
        for row in read_rows(folder / "recognizers_text" / f"numberwithunit_{name}Model.jsonl"):
            read = [result["Resolution"] for result in row["results"]]
            # A unit without a number is no quantity.
            quantities = [{"value": float(each["value"]), "unit": each["unit"]} for each in read if each["value"]]
            rows.append({"source": f"recognizers {name.lower()}", "text": row["input"], "quantities": quantities})
    return rows


def _is_validation(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] < 128


# --- Judgement --------------------------------------------------------------------------------------------------------

# Names of the two collections and of the peers that are not in the table.
_ALIASES = {
    "f": "fahrenheit", "c": "celsius", "k": "kelvin", "pound-mass": "pound", "degree angle": "degree",
    "metric ton": "tonne", "count": "", "dimensionless": "", "fluid ounce": "US fluid ounce",
    "force pound": "pound-force",
}  # fmt: skip
_TIME = (0, 0, 1, 0, 0, 0)
# A bare word of the collections that stands for any of these.
_ANY = {"ton": ("US ton", "long ton", "tonne"), "ounce": ("ounce", "US fluid ounce"), "dram": ("dram",)}


def _judge(rows: Sequence[Row], answers: Sequence[Found], seconds: Sequence[float]) -> _Tally:
    tally = _Tally(Counter(), [], list(seconds))
    for row, found in zip(rows, answers, strict=True):
        wanted = [_sizes(each["value"], each["unit"]) for each in row["quantities"]]
        read = [
            [*_sizes(value, unit), *(_sizes(low, unit) if low is not None else [])]
            for low, value, unit in found
            if _sizes(value, unit)
        ]
        if not any(size[1] == _TIME for sizes in wanted for size in sizes):
            read = [sizes for sizes in read if sizes[0][1] != _TIME]
        all_found = all(any(_same(sizes, other) for other in read) for sizes in wanted)
        none_more = all(any(_same(sizes, other) for sizes in wanted) for other in read)
        if all_found and none_more and all(wanted):
            tally.right[row["source"]] += 1
        else:
            tally.wrong.append((row, found))
    return tally


def _sizes(value: float, name: str) -> list[tuple[float, tuple[int, ...]]]:
    """What a quantity comes to in SI units, with its dimension; several where the unit's name leaves that open."""
    name = name.replace("_", " ").lower()
    sizes = []
    for each in _ANY.get(name, (_ALIASES.get(name, name),)):
        pieces = pieces_of(each)
        found = units_at(pieces, 0, REGION) if pieces else None
        if found is not None and found[0] == len(pieces):
            unit: Unit = found[1][0]
            sizes.append(((value + float(unit.offset)) * float(unit.factor), unit.dimension))
    return sizes


def _same(one: Sequence[tuple[float, tuple[int, ...]]], other: Sequence[tuple[float, tuple[int, ...]]]) -> bool:
    return any(a[1] == b[1] and math.isclose(a[0], b[0], rel_tol=1e-6, abs_tol=1e-12) for a in one for b in other)


# --- Readers ----------------------------------------------------------------------------------------------------------


def _ours(rows: Sequence[Row]) -> tuple[list[Found], list[float]]:
    find_quantities("1 km", REGION)  # the lexicon is built once
    answers, seconds = [], []
    for row in rows:
        began = time.perf_counter()
        try:
            quantities = find_quantities(row["text"], REGION)[0]
        except OutOfRangeError:
            quantities = []
        seconds.append(time.perf_counter() - began)
        answers.append(
            [
                (None if each.low is None else float(each.low), float(each.value), each.units[0].name)
                for each in quantities
            ]
        )
    return answers, seconds


_SCRIPT = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
import pint
from quantulum3 import parser

registry = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)

def by_pint(text):
    found = registry.parse_expression(text.replace("°", "degree"))
    return [(float(found.magnitude), str(found.units))] if hasattr(found, "units") else []

def by_quantulum(text):
    return [(float(each.value), each.unit.name) for each in parser.parse(text)]

answers = {}
texts = json.load(sys.stdin)
for name, read in (("pint", by_pint), ("quantulum3", by_quantulum)):
    found, seconds = [], []
    for text in ["1 km", *texts]:
        began = time.perf_counter()
        try:
            found.append(read(text))
        except Exception:
            found.append([])
        seconds.append(time.perf_counter() - began)
    answers[name] = [found[1:], seconds[1:]]
json.dump(answers, sys.stdout)
"""


def _peers(rows: Sequence[Row]) -> dict[str, tuple[list[Found], list[float]]]:
    """By name; {} where they cannot be installed."""
    try:
        python = installed("units", PEERS)
        done = subprocess.run(
            [str(python), "-c", _SCRIPT], input=json.dumps([row["text"] for row in rows]), capture_output=True,
            text=True, check=True, timeout=1800,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        print(f"peers are left out: {getattr(error, 'stderr', '') or error}")
        return {}
    return {
        name: ([[(None, value, unit) for value, unit in found] for found in answers], seconds)
        for name, (answers, seconds) in json.loads(done.stdout).items()
    }
