"""Who leaves memory when room is needed: pure functions of what is held. Knows no files, no clock, no event loop.

The policy is LNC-R (Scheuermann, Shim and Vingralek, 1996), least normalised cost replacement: an expert is worth the
seconds that loading it again would take, times how often it is asked for, per byte that it holds; whoever is worth
least goes first. How often is estimated from the last use alone, as one over its age, so that among equals the least
recently used goes. GreedyDual-Size and Landlord (Cao and Irani, 1997; Young, 1998) weigh the same three things, but age
by what was evicted since: with a few evictions a day, an expert that takes long to load can stay for days unused,
and the account would have to be kept across restarts.

What goes must be whole experts that free enough together, for the least loss: the minimum knapsack problem. Taking
them by worth alone may give up a text model for the room of a spam filter; the greedy heuristic of Gens and Levner, as
analysed by Csirik, Frenk, Labbé and Zhang (1991), weighs every way to end the greedy choice, and never loses more than
twice the least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import UnavailableError

_RECENT_S = 1.0


@dataclass(frozen=True, slots=True)
class Resident:
    """One loaded version of an expert, or one that is being loaded (not idle, with what it will take).

    bytes: at least 0. idle: nobody leases it, and nobody works on it. last_used: monotonic seconds; when it was loaded,
    until it is used. reload_s: what loading it again costs, as declared or last measured; at least 0.
    """

    expert: str
    bytes: int
    idle: bool
    pinned: bool
    last_used: float
    reload_s: float


@dataclass(frozen=True, slots=True)
class Shedding:
    """When to unload because the machine runs short.

    mild_share: of time in which somebody waited for memory; from here on one expert at a time leaves, so that the next
    look tells whether it was enough. severe_share: from here on all that may. rest_s: whoever was used since stays
    while the pressure is mild: it would be loaded again at once. worth_bytes: below this, unloading relieves nobody.
    """

    mild_share: float = 0.1
    severe_share: float = 0.5
    rest_s: float = 10.0
    worth_bytes: int = 8_000_000


USUAL = Shedding()


def default_budget(total_ram_bytes: int) -> int:
    """Bytes that loaded experts may take together: half of what the machine (or the limit of our group) has.

    The other half is the desktop's, and the page cache's, without which whatever is loaded again comes from the disk.
    """
    return total_ram_bytes // 2


def room_for(
    needed: int, budget: int, residents: Sequence[Resident], now: float, *, wanted: str = ""
) -> tuple[str, ...]:
    """Whom to unload, in this order, so that `needed` bytes more fit into `budget` bytes; () if they fit as it is.

    Never one that is busy or pinned, nor `wanted` itself, for which the room is: its present version serves until the
    new one does. None of them could stay: without any one of them the rest would not suffice.

    Raises: UnavailableError (NO_MEMORY) naming what would have to go; retryable where waiting for busy ones suffices.
    """
    short = sum(item.bytes for item in residents) + needed - budget
    if short <= 0:
        return ()
    free = [item for item in residents if item.idle and not item.pinned and item.bytes > 0 and item.expert != wanted]
    if sum(item.bytes for item in free) < short:
        raise _no_room(needed, budget, residents, free, wanted)
    return tuple(item.expert for item in _least_loss(short, free, now))


def shed(pressure: float, residents: Sequence[Resident], now: float, rules: Shedding = USUAL) -> tuple[str, ...]:
    """Whom to unload, largest first, because the machine itself runs short, whatever the budget says.

    pressure: share of time in which somebody waited for memory, 0 to 1; below 0 (unknown) nobody leaves.
    """
    if pressure < rules.mild_share:
        return ()
    severe = pressure >= rules.severe_share
    leaving = [
        item
        for item in residents
        if item.idle
        and not item.pinned
        and item.bytes >= rules.worth_bytes
        and (severe or now - item.last_used >= rules.rest_s)
    ]
    leaving.sort(key=lambda item: (-item.bytes, item.last_used, item.expert))
    return tuple(item.expert for item in (leaving if severe else leaving[:1]))


def _loss(item: Resident, now: float) -> float:
    """Seconds of loading per second from now on, if this one is unloaded."""
    return item.reload_s / max(now - item.last_used, _RECENT_S)


def _least_loss(short: int, free: Sequence[Resident], now: float) -> list[Resident]:
    """Of those that together hold at least `short` bytes: enough of them, least worth first."""
    by_worth = sorted(free, key=lambda item: (_loss(item, now) / item.bytes, item.last_used, item.expert))
    first: list[Resident] = []
    held = 0
    best: list[Resident] = []
    least = math.inf
    for item in by_worth:
        if held + item.bytes < short:
            first.append(item)
            held += item.bytes
            continue
        # With this one the choice is complete; one of the later ones may complete it for less.
        enough = _spared(short, [*first, item], now)
        loss = sum(_loss(item, now) for item in enough)
        if loss < least:
            best, least = enough, loss
    return best


def _spared(short: int, chosen: Sequence[Resident], now: float) -> list[Resident]:
    """The same without those that turned out unnecessary; the greatest loss is spared first."""
    spare = sum(item.bytes for item in chosen) - short
    kept = list(chosen)
    for item in sorted(chosen, key=lambda item: _loss(item, now), reverse=True):
        if item.bytes <= spare:
            spare -= item.bytes
            kept.remove(item)
    return kept


def _no_room(
    needed: int, budget: int, residents: Sequence[Resident], free: Sequence[Resident], wanted: str
) -> UnavailableError:
    held = sum(item.bytes for item in residents)
    freed = sum(item.bytes for item in free)
    own = sum(item.bytes for item in residents if item.expert == wanted)
    pinned = [item for item in residents if item.pinned and item.expert != wanted]
    busy = [item for item in residents if not item.idle and not item.pinned and item.expert != wanted]
    missing = held - freed + needed - budget
    ways: list[str] = []
    if unpin := _fewest(missing, pinned):
        ways.append(f"unpin {_names(unpin)}")
    wait = _fewest(missing, busy)
    if wait:
        ways.append(_waiting(wait))
    if not ways and (both := _fewest(missing, [*pinned, *busy])):
        ways.append(
            f"unpin {_names([item for item in both if item.pinned])} and "
            + _waiting([item for item in both if not item.pinned])
        )
    ways.append(f"raise [memory] budget_mb to {math.ceil((held - freed + needed) / 1e6)}")
    taken = f"{_size(held)} are held"
    if own:
        taken += f" ({_size(own)} by its present version, which serves until the new one does)"
    return UnavailableError(
        f"no room for {wanted or 'another expert'}: it needs {_size(needed)}; "
        f"of the budget of {_size(budget)} {taken}, "
        f"and unloading all that is idle and not pinned frees {_size(freed)}; {', or '.join(ways)}",
        reason="NO_MEMORY",
        retryable=bool(wait),
    )


def _fewest(short: int, items: Sequence[Resident]) -> list[Resident]:
    """Enough of them for `short` bytes, as few and then as small as possible; none if all together do not suffice."""
    chosen: list[Resident] = []
    left = sorted(items, key=lambda item: (item.bytes, item.expert))
    while left:
        last = next((item for item in left if item.bytes >= short), None)
        if last is not None:
            return [*chosen, last]
        chosen.append(left.pop())
        short -= chosen[-1].bytes
    return []


def _waiting(items: Sequence[Resident]) -> str:
    return f"wait until {_names(items)} {'is' if len(items) == 1 else 'are'} idle"


def _names(items: Sequence[Resident]) -> str:
    texts = [f"{item.expert} ({_size(item.bytes)})" for item in items]
    return " and ".join(([", ".join(texts[:-1])] if texts[:-1] else []) + texts[-1:])


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.{0 if size >= 1e7 else 1}f} MB"
