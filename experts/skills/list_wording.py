"""What is said about lists and their items, and the slots that go with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..values import Json
from .list_store import Entry, Found, List

MAX_SHOWN = 30


def told_slots(home: List | None, entries: Sequence[Entry]) -> dict[str, Json]:
    return {
        "list": home.name if home else "",
        "count": len(entries),
        "items": [entry.slots() for entry in entries[:MAX_SHOWN]],
    }


def enumerate_entries(entries: Sequence[Entry]) -> str:
    texts = [entry.text for entry in entries[:12]] + [f"{len(entries) - 12} more"] * (len(entries) > 12)
    return ", ".join(texts[:-1]) + f" and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def listing(entries: Sequence[Entry], names: Sequence[str] = ()) -> str:
    lines = [
        f"{place}. {entry.text}{' (done)' * (entry.done is not None)}{f' ({names[place - 1]} list)' if names else ''}"
        for place, entry in enumerate(entries[:MAX_SHOWN], 1)
    ]
    return "\n".join(lines + [f"… and {len(entries) - MAX_SHOWN} more"] * (len(entries) > MAX_SHOWN))


def told_missing(found: Found, home: List | None) -> str:
    if not found.missing:
        return ""
    return f" Not on the {home.title if home else 'list'}: {', '.join(str(each) for each in found.missing)}."


def is_or_are(entries: Sequence[Entry]) -> str:
    return "is" if len(entries) == 1 and not re.search(r"[^s]s$", entries[0].text) else "are"


def count_items(count: int) -> str:
    return f"{count} item{'s' * (count != 1)}"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
