"""How well spans are found: precision, recall, F1 and F2, exact, by overlap and by touch. Knows no expert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple


class Marked(NamedTuple):
    """(start, end, type) of each span, in the order of the text."""

    text: str
    spans: tuple[Piece, ...]


Piece = tuple[int, int, str]
Found = Callable[[str], Sequence[Piece]]


def shares_half(one: Piece, other: Piece) -> bool:
    """Whether what both cover is at least half of what either does (intersection over union)."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return common * 2 >= max(one[1], other[1]) - min(one[0], other[0])


def touches(one: Piece, other: Piece) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])


def joined(text: str, spans: Iterable[Piece]) -> list[Piece]:
    """Neighbours of one type with nothing but blanks, commas and line ends between them as one: where an address ends
    and the next begins is a matter of taste."""
    result: list[Piece] = []
    for start, end, type_ in sorted(spans):
        last = result[-1] if result else None
        if last and last[2] == type_ and not text[last[1] : start].strip(" ,\n\t"):
            result[-1] = (last[0], max(end, last[1]), type_)
        else:
            result.append((start, end, type_))
    return result


_WAYS: Mapping[str, Callable[[Piece, Piece], bool]] = {
    "exact": lambda one, other: one[:2] == other[:2],
    "overlap": shares_half,
    "touch": touches,
}


def measure(pairs: Iterable[tuple[Sequence[Piece], Sequence[Piece]]]) -> dict[str, dict[str, float]]:
    """(wanted, found) of each text → by type, and "all" over all spans: how many, and of each way of matching
    precision, recall, F1 and F2 (recall counts four times as much). Of "all", a span matches one of its own type
    alone."""
    tallies: dict[str, Counter[str]] = {}
    for wanted, found in pairs:
        for type_ in {span[2] for span in (*wanted, *found)}:
            one, other = ([span for span in some if span[2] == type_] for some in (wanted, found))
            for name in ("all", type_):
                tally = tallies.setdefault(name, Counter())
                tally["wanted"] += len(one)
                tally["found"] += len(other)
                for way, match in _WAYS.items():
                    tally[f"{way} recalled"] += sum(any(match(each, that) for that in other) for each in one)
                    tally[f"{way} right"] += sum(any(match(each, that) for that in one) for each in other)
    ranked = sorted(tallies.items(), key=lambda item: (item[0] != "all", -item[1]["wanted"]))
    return {name: _rates(tally) for name, tally in ranked}


def _rates(tally: Counter[str]) -> dict[str, float]:
    rates: dict[str, float] = {"spans": tally["wanted"], "found": tally["found"]}
    for way in _WAYS:
        precision = tally[f"{way} right"] / max(tally["found"], 1)
        recall = tally[f"{way} recalled"] / max(tally["wanted"], 1)
        prefix = "" if way == "exact" else f"{way}_"
        rates |= {
            f"{prefix}precision": precision,
            f"{prefix}recall": recall,
            f"{prefix}f1": 2 * precision * recall / max(precision + recall, 1e-9),
            f"{prefix}f2": 5 * precision * recall / max(4 * precision + recall, 1e-9),
        }
    return {name: round(rate, 4) for name, rate in rates.items()}
