"""Requests in words over the whole shipped fleet: routed right, the right action, the right slots.

    python -m bench.experts command [--data F.jsonl] [--wrong]

Rows {text, expert, action, slots}: `expert` null where no expert can help, and the request should go to the titan;
`action` and `slots` may be left out. A daemon of the bench's own answers, in a house that is thrown away: timers are
really set. An action is right if it is the answer's ("timer.created"), its topic or the intent that was routed to;
slots are right if the answer holds each of them with its value (numbers to a millionth, times as moments).

Without --data: rows of CLINC150, whose sentences nobody here wrote. An intent of its that one of our experts is for
must reach that expert; one that none is for, and what is out of its own scope, must be sent away. Those that could be
said to be either (small talk, yes and no, currencies without a date) are left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from expertd.client import Client, ExpertdError
from expertd.v1 import assistant_pb2 as pb

from .house import house
from .report import Row, data_folder, print_table, read_rows

# What our experts are for. None: nobody here is.
CLINC_EXPERTS: dict[str, tuple[str, ...] | None] = {
    "timer": ("timers",), "alarm": ("timers",), "reminder": ("timers",), "reminder_update": ("timers",),
    "time": ("clock",), "timezone": ("clock",), "date": ("clock", "dates"), "next_holiday": ("dates",),
    "calculator": ("calculator",), "measurement_conversion": ("units",),
    "flip_coin": ("random",), "roll_dice": ("random",),
    "todo_list": ("lists",), "todo_list_update": ("lists",),
    "shopping_list": ("lists",), "shopping_list_update": ("lists",), "translate": ("translate",),
    **dict.fromkeys((
        "weather", "traffic", "directions", "distance", "current_location", "play_music", "next_song", "what_song",
        "update_playlist", "smart_home", "make_call", "text", "find_phone", "sync_device", "share_location",
        "book_flight", "book_hotel", "flight_status", "car_rental", "lost_luggage", "uber", "travel_suggestion",
        "restaurant_reservation", "restaurant_reviews", "restaurant_suggestion", "recipe", "ingredients_list",
        "meal_suggestion", "nutrition_info", "calories", "balance", "transfer", "pay_bill", "transactions",
        "report_fraud", "freeze_account", "pin_change", "credit_score", "interest_rate", "order_checks", "taxes",
        "income", "pto_balance", "pto_request", "payday", "direct_deposit", "insurance", "w2", "gas", "oil_change_how",
        "tire_pressure", "jump_start", "schedule_maintenance", "order", "order_status", "international_visa",
        "travel_alert", "vaccines", "plug_type", "change_volume", "whisper_mode", "oos",
    )),
}  # fmt: skip


def add(commands: Any) -> None:
    command = commands.add_parser("command", help="the whole fleet: rows {text, expert, action, slots}")
    command.add_argument("--data", type=Path, nargs="+", help="JSON lines; without it, CLINC150")
    command.add_argument("--split", default="test", choices=("val", "test"), help="of CLINC150  [%(default)s]")
    command.add_argument("--wrong", action="store_true", help="print every row that is not answered as expected")
    command.set_defaults(run=run, name="command")


@dataclass
class Tally:
    """rows: in scope, by their first expert. right: of them. kept: of what is out of scope. where: it went wrong."""

    rows: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    away: int = 0
    clarified: int = 0
    outside: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    actions: list[bool] = field(default_factory=list)
    slots: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def run(options: argparse.Namespace) -> Row:
    rows = [row for path in options.data for row in read_rows(path)] if options.data else clinc(options.split)
    tally = Tally()
    with house() as built:
        built.start()
        built.first_answer("what is 18% of 2450")
        with Client(built.socket, app="bench") as client:
            for number, row in enumerate(rows):
                wrong = judge(client, row, tally, f"row-{number}")
                if wrong and options.wrong:
                    print(f"{row['text']!r}\n    {wrong}")
    return told(tally)


def clinc(split: str) -> list[Row]:
    splits = {split, f"oos_{split}"}
    with gzip.open(data_folder() / "clinc150" / "data_full.jsonl.gz", "rt", encoding="utf-8") as file:
        return [
            {"text": row["text"], "expert": CLINC_EXPERTS[row["intent"]]}
            for row in map(json.loads, file)
            if row["split"] in splits and row["intent"] in CLINC_EXPERTS
        ]


def judge(client: Client, row: Row, tally: Tally, session: str) -> str:
    """What is wrong, in words; "" if nothing is."""
    wanted = owners(row.get("expert"))
    began = time.perf_counter()
    decision = client.route(row["text"])
    tally.seconds.append(time.perf_counter() - began)
    found = routes(decision)
    if not wanted:
        tally.outside += 1
        if found:
            tally.kept[found[0]] += 1
        return f"kept by {', '.join(found)}, and none can help" if found else ""
    tally.rows[wanted[0]] += 1
    if not found or not all(name in wanted for name in found):
        tally.away += decision.verdict == pb.Decision.VERDICT_TITAN
        tally.clarified += decision.verdict == pb.Decision.VERDICT_CLARIFY
        return f"{' or '.join(wanted)}, but routed to {', '.join(found) or pb.Decision.Verdict.Name(decision.verdict)}"
    tally.right[wanted[0]] += 1
    if "action" not in row and "slots" not in row:
        return ""
    return _answered(client, row, decision, tally, session)


def _answered(client: Client, row: Row, decision: pb.Decision, tally: Tally, session: str) -> str:
    try:
        answer = client.ask(row["text"], session=session, local_only=True)
        actions, slots = outcome(answer)
    except ExpertdError as error:
        actions, slots = set(), {"error": str(error)}
    actions.add(plain(decision.intent))
    wrong = []
    if row.get("action") is not None:
        right = plain(row["action"]) in actions
        tally.actions.append(right)
        if not right:
            wrong.append(f"action {row['action']}, but {', '.join(sorted(actions))}")
    if row.get("slots") is not None:
        missing = {name: value for name, value in row["slots"].items() if not same(value, slots.get(name))}
        tally.slots.append(not missing)
        if missing:
            wrong.append(f"slots {missing}, but {slots}")
    return "; ".join(wrong)


def owners(expert: Any) -> tuple[str, ...]:
    """The experts that a row may go to; none: it should be sent away."""
    if isinstance(expert, str):
        expert = (expert,)
    return tuple(name for name in expert or () if name not in {"", "titan", "none"})


def routes(decision: pb.Decision) -> list[str]:
    """The experts that a request goes to; none where it is sent away, or asked back."""
    decisions = [part.decision for part in decision.parts] or [decision]
    return [each.expert for each in decisions if each.verdict == pb.Decision.VERDICT_ROUTED]


def outcome(answer: pb.Answer) -> tuple[set[str], dict[str, Any]]:
    """(what was done, by the names that it goes by; what was found out)."""
    match answer.WhichOneof("result"):
        case "action":
            return {plain(answer.action.name)}, MessageToDict(answer.action.slots)
        case "structured":
            data = MessageToDict(answer.structured)
            names = {plain(data[key]) for key in ("action", "topic", "intent") if isinstance(data.get(key), str)}
            return names, data
        case "label":
            return {plain(answer.label.label)}, {"label": answer.label.label}
        case _:
            return set(), {}


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold())


def same(expected: Any, found: Any) -> bool:
    """Numbers to a millionth, times as moments, words in any case; of a mapping what is expected."""
    if isinstance(expected, bool) or isinstance(found, bool) or expected is None or found is None:
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return math.isclose(expected, found, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(same(value, found.get(name)) for name, value in expected.items())
    if isinstance(expected, str) and isinstance(found, str):
        return expected.casefold() == found.casefold() or _same_moment(expected, found)
    if isinstance(expected, Iterable) and isinstance(found, Iterable) and not isinstance(expected, str):
        one, other = list(expected), list(found)
        return len(one) == len(other) and all(map(same, one, other))
    return False


def _same_moment(expected: str, found: str) -> bool:
    try:
        one, other = datetime.fromisoformat(expected), datetime.fromisoformat(found)
    except ValueError:
        return False
    # A time that names no zone is compared as the clock on the wall shows it.
    if one.tzinfo is None or other.tzinfo is None:
        return one.replace(tzinfo=None) == other.replace(tzinfo=None)
    return one == other


def told(tally: Tally) -> Row:
    inside = sum(tally.rows.values())
    print_table(
        ["expert", "rows", "routed right", "wrongly kept"],
        [
            [name, tally.rows[name], share(tally.right[name], tally.rows[name]), tally.kept[name]]
            for name in sorted({*tally.rows, *tally.kept})
        ],
    )
    figures: Row = {
        "rows": inside,
        "routed_right": ratio(sum(tally.right.values()), inside),
        "sent_away": ratio(tally.away, inside),
        "asked_back": ratio(tally.clarified, inside),
        "outside_rows": tally.outside,
        "wrongly_kept": ratio(sum(tally.kept.values()), tally.outside),
        "by_expert": {name: ratio(tally.right[name], count) for name, count in sorted(tally.rows.items())},
        "kept_by": dict(tally.kept.most_common()),
        "route_p50_ms": round(1e3 * statistics.median(tally.seconds), 2) if tally.seconds else None,
    }
    for name, found in (("action_right", tally.actions), ("slots_right", tally.slots)):
        if found:
            figures[name] = ratio(sum(found), len(found))
    return figures


def ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
