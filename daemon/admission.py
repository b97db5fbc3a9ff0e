"""Who is let in, and when: few requests run here at once, the others wait in line, one line per app, or are refused.

    arrives → bounds → waits its turn → holds a place here ⇄ elsewhere (a worker, the titan: the place is free)

The event loop does one thing at a time, so what matters is the order in which it takes requests up. Three ranks:

    light        interactive, of an app that rests between its requests, as one does behind which somebody sits
    crowding     interactive, of an app that asks again the moment it is answered, or that nobody has seen rest yet
    background   what its caller declared to be that

A light request goes first. In the ranks below, the app goes first that has had the least (start-time fair queueing:
Goyal, Vin and Cheng, 1996), by the time for which its requests held a place; within an app, the first come. Of
`TURNS` + 1 requests in a row the last is of a lower rank where one waits, so that none starves.

An order alone is not enough: a request is known here only when the loop has read it from its socket, and where the next
of a crowd is taken up at once, that is late, several times per request. So in a flood, while a light app is about,
what crowds is given `crowd_share` of the loop's time and no more: after each the loop stays free for a moment, though
others wait (for what seems idleness and is not: anticipatory scheduling, Iyer and Druschel, 2001). And where the loop
has no rest, nothing is started now and then until all that stand before the door are in: gRPC takes them in first come,
first served, one for each that is answered, so that a crowd before the door would stay there, with everybody else
behind it. Where few wait there is no flood, and nobody is held back for anybody's sake.

An app is who it says it is: the socket tells callers apart by their user alone. Names cost nothing, hence a new one
crowds until it was seen to rest, and where all places in line are taken, the longest line gives one up (longest queue
drop: Suter et al., 1998). Knows no wire, no router and no expert.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, NoReturn, Self

from .config import LimitsConfig
from .course import OverloadedError

Priority = Literal["interactive", "background"]
Clock = Callable[[], float]

LIGHT, CROWDING, BACKGROUND = range(3)

# So many in a row may pass a lower rank by.
TURNS = 16
# An app's presence is the share of the time in which it has a request here, over about so long. Above the threshold it
# crowds: an app asked ten times a second and answered in 5 ms is at a twentieth; one with many calls open, at one.
PRESENCE_S = 1.0
PRESENT = 0.5
# Nor does a person ask for more at once.
AT_ONCE = 8
# So many in line are a flood; or so many that came since the loop was last looked at, if it has had no rest meanwhile:
# of a flood before the door few are in line. And for so long after it was last seen.
FLOOD = 32
FLOOD_S = 1.0
# For so long after its last request a light app is about.
ABOUT_S = 5.0
# So often, at most, it is looked for which share of the time the loop had nothing to do. If that is less than this,
# nothing is started until no request has arrived for `CALM_S`, or for the longest breath; unless a light app is about,
# so that what crowds is held back, and what passes for light took less than this share.
LOOK_S = 0.5
AT_REST = 0.1
LIGHT_SHARE = 0.25
CALM_S = 0.005
LONGEST_BREATH_S = 2.0
# What a call costs the loop beside the time in which it holds a place: it is read, decoded, encoded, written.
CALL_S = 0.0005
# No pause is longer: what holds a place for long is at work in a thread, and the loop is free meanwhile.
LONGEST_PAUSE_S = 0.02
# Refusing costs a third of answering, and who is refused asks again at once: of an app's refusals one leaves in so many
# seconds, the others are held back, none longer than this.
REFUSAL_S = 0.1
LONGEST_REFUSAL_S = 10.0
# Apps that are remembered; beyond, those with the fewest requests are forgotten.
KNOWN_APPS = 1024


class Admission:
    """Lets requests in. For one event loop; every method is called on it.

    clock: seconds. busy: for how many of them the loop has had something to do.
    """

    def __init__(self, limits: LimitsConfig, clock: Clock = time.monotonic, busy: Clock | None = None) -> None:
        self._limits = limits
        self._places = limits.concurrent
        self._clock = clock
        self._apps: dict[str, _App] = {}
        # Those with somebody in line.
        self._lines: dict[str, _App] = {}
        # Light app → until when it is about.
        self._about: dict[str, float] = {}
        self._in_flight = 0
        self._running = [0, 0, 0]
        self._passed = [0, 0, 0]
        self._virtual = 0.0
        self._crowd_from = 0.0
        self._flood_until = 0.0
        self._busy = busy or thread_busy_s
        self._look(clock())
        # When it will have been calm for long enough; 0.0: nothing waits for that.
        self._calm_at = 0.0
        self._calm_latest = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None

    def admit(self, app: str, priority: Priority = "interactive") -> Place:
        """A place to enter: `async with admission.admit(app) as place`.

        app: as the caller names itself; "" is one too.

        Entering raises: OverloadedError, late if the app was refused just before; TimeoutError after the default
        deadline. Who is cancelled in line, or with the place just given, leaves nothing behind.
        """
        return Place(self, app, priority)

    async def drained(self) -> None:
        """Returns when no request is in flight."""
        while self._in_flight:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    # --- What places call --------------------------------------------------------------------------------------------

    def _enter(self, place: Place) -> Awaitable[None] | None:
        """Lets it in at once, or gives what is to be awaited."""
        now = self._clock()
        app = self._apps.get(place.name) or self._newcomer(place.name, now)
        rank = app.arrives(place.priority, now)
        if rank == LIGHT:
            self._about[app.name] = now + ABOUT_S
        elif rank == CROWDING:
            self._about.pop(app.name, None)
        self._came += 1
        if sum(each.waiting for each in self._lines.values()) >= FLOOD:
            self._flood_until = now + FLOOD_S
        if self._calm_at:
            self._calm_at = min(now + CALM_S, self._calm_latest)
        elif now - self._looked > LOOK_S:
            if self._restless(now):
                if self._came >= FLOOD:
                    self._flood_until = now + FLOOD_S
                # What passes for light may be a flood whose apps are here for a moment each, and at the door for long.
                if now < self._flood_until and (not self._about or self._light_s > LIGHT_SHARE * (now - self._looked)):
                    self._calm_at, self._calm_latest = now + CALM_S, now + LONGEST_BREATH_S
            self._look(now)
        if why := self._full(app, rank):
            app.leaves(place.priority, now)
            return self._refuse(app, why)
        if app.active == 0:
            app.tag = max(app.tag, self._virtual)
        app.active += 1
        self._in_flight += 1
        place.app = app
        if not self._lines and self._open(rank, now):
            self._give(place, rank, now)
            return None
        return self._wait(place, app, now)

    async def _wait(self, place: Place, app: _App, now: float) -> None:
        line = app.lines[place.priority == "background"]
        line.append(place)
        self._lines[app.name] = app
        place.turn = asyncio.get_running_loop().create_future()
        self._serve(now)
        try:
            async with asyncio.timeout(self._limits.default_deadline_s):
                given = await place.turn
        except BaseException:
            if place.rank is None and place in line:
                line.remove(place)
            self._leave(place)
            raise
        place.waited_s = self._clock() - now
        if not given:
            self._leave(place)
            await self._refuse(app, f"{self._told_in_flight()}, and this one was the last in the longest line")

    def _leave(self, place: Place) -> None:
        app, now = place.app, self._clock()
        if app is None:
            raise AssertionError("a place is left that was never entered")
        self._free(place, now)
        self._gone(place, app, now)

    def _free(self, place: Place, now: float) -> None:
        """The place, not the request, ends: its time is charged to the app."""
        app, rank = place.app, place.rank
        if app is None or rank is None:
            return
        place.rank = None
        held = now - place.since
        self._running[rank] -= 1
        app.charge(held, place.charged)
        if rank == LIGHT:
            self._light_s += held + CALL_S
        else:
            pause = (held + CALL_S) * (1 / self._limits.crowd_share - 1)
            self._crowd_from = now + min(pause, LONGEST_PAUSE_S)

    def _return(self, place: Place) -> None:
        """Back from elsewhere, without waiting: what is left to do is little."""
        if place.app is not None:
            self._give(place, place.app.arrives(place.priority, self._clock()), self._clock())

    def _gone(self, place: Place, app: _App, now: float) -> None:
        app.leaves(place.priority, now)
        app.ends(now)
        if not app.waiting:
            self._lines.pop(app.name, None)
        self._in_flight -= 1
        if self._in_flight == 0 and self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        self._serve(now)

    # --- Whose turn it is --------------------------------------------------------------------------------------------

    def _serve(self, now: float) -> None:
        """Gives places while there are some; sees to it that this is looked at again when the pause is over."""
        if not self._lines:
            return
        while self._lines:
            chosen = self._choose(now)
            if chosen is None:
                break
            app, rank = chosen
            place = app.lines[rank == BACKGROUND].popleft()
            if not app.waiting:
                del self._lines[app.name]
            if place.turn is not None and not place.turn.done():  # else it is cancelled, and about to go
                self._give(place, rank, now)
                place.turn.set_result(True)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        when = self._calm_at or self._crowd_from
        if self._lines and now < when:
            self._alarm = asyncio.get_running_loop().call_later(when - now, self._again)

    def _again(self) -> None:
        self._alarm = None
        self._serve(self._clock())

    def _choose(self, now: float) -> tuple[_App, int] | None:
        """The app whose turn it is, and the rank of the request that it has first in line."""
        first: list[_App | None] = [None, None, None]
        for app in self._lines.values():
            for rank in app.ranks(now):
                best = first[rank]
                if best is None or app.tag < best.tag:
                    first[rank] = app
        overdue = [rank for rank in (BACKGROUND, CROWDING) if self._passed[rank] >= TURNS]
        for rank in (*overdue, LIGHT, CROWDING, BACKGROUND):
            found = first[rank]
            if found is None:
                continue
            if self._open(rank, now) or (rank in overdue and not self._calm_at and sum(self._running) < self._places):
                for lower in range(rank + 1, 3):
                    self._passed[lower] += first[lower] is not None
                self._passed[rank] = 0
                return found, rank
        return None

    def _open(self, rank: int, now: float) -> bool:
        """Whether one of this rank may run now. One place is kept for light ones."""
        if self._calm_at:
            if now < self._calm_at:
                return False
            self._calm_at = 0.0
            self._look(now)
        light, crowding, background = self._running
        running = light + crowding + background
        if rank == LIGHT:
            return running < self._places
        if now < self._flood_until and self._about and self._light_about(now):
            return running == 0 and now >= self._crowd_from
        return running < max(self._places - 1, 1)

    def _restless(self, now: float) -> bool:
        """Whether the loop has had no rest since it was last looked at."""
        return self._busy() - self._busy_s > (1 - AT_REST) * (now - self._looked)

    def _look(self, now: float) -> None:
        self._looked, self._busy_s, self._light_s, self._came = now, self._busy(), 0.0, 0

    def _light_about(self, now: float) -> bool:
        for name, until in list(self._about.items()):
            if until <= now:
                del self._about[name]
        return bool(self._about)

    def _give(self, place: Place, rank: int, now: float) -> None:
        app = place.app
        if app is None:
            raise AssertionError("a place is given to nobody")
        self._virtual = max(self._virtual, app.tag)
        app.tag += app.cost_s
        place.rank, place.since, place.charged = rank, now, app.cost_s
        self._running[rank] += 1

    # --- Bounds ------------------------------------------------------------------------------------------------------

    def _full(self, app: _App, rank: int) -> str:
        """Why the app's next request cannot be let in; "" if it can, and room is made for it where there was none.

        An app with nothing in flight is let in up to twice the bound: requests that are at work elsewhere for minutes
        fill it, and cannot be put out.
        """
        if app.active >= self._limits.max_in_flight_per_app:
            return f"{app.active} of its requests are in flight, as many as [limits] max_in_flight_per_app allows"
        most = self._limits.max_in_flight
        if self._in_flight < most or self._put_out(app, rank) or (app.active == 0 and self._in_flight < 2 * most):
            return ""
        return self._told_in_flight()

    def _told_in_flight(self) -> str:
        return f"{self._in_flight} requests are in flight, as many as [limits] max_in_flight allows"

    def _put_out(self, newcomer: _App, rank: int) -> bool:
        """Puts the last of the longest line out, where that is fair: the line stays longer than the newcomer's would
        be, or what is put out is of a lower rank."""
        longest = max(self._lines.values(), key=lambda app: app.waiting, default=None)
        if longest is None:
            return False
        lowest = max(longest.ranks(self._clock()))
        if longest.waiting <= newcomer.waiting + 1 and lowest <= rank:
            return False
        place = longest.lines[lowest == BACKGROUND].pop()
        if not longest.waiting:
            del self._lines[longest.name]
        if place.turn is not None and not place.turn.done():
            place.turn.set_result(False)
        return True

    async def _refuse(self, app: _App, why: str) -> NoReturn:
        """Raises: OverloadedError, in a while if it is one of many."""
        now = self._clock()
        leaves = min(max(now, app.refusal_from), now + LONGEST_REFUSAL_S)
        app.refusal_from = leaves + REFUSAL_S
        after = app.drain_s()
        if leaves > now:
            await asyncio.sleep(leaves - now)
        who = f"of {app.name}" if app.name else "of callers that name no app"
        raise OverloadedError(f"{who}: {why}; send fewer at a time, or try again in {after:.1f} s", after)

    def _newcomer(self, name: str, now: float) -> _App:
        if len(self._apps) >= KNOWN_APPS:
            known = sorted(self._apps.values(), key=lambda app: (app.active > 0, app.requests, app.seen))
            for app in known[: KNOWN_APPS // 2]:
                if app.active == 0:
                    del self._apps[app.name]
        app = self._apps[name] = _App(name, now)
        return app


def thread_busy_s() -> float:
    """How long this thread has had something to do: it ran, or waited for a processor. Where the kernel does not tell
    of waiting (Linux does), it ran."""
    try:
        ran, waited, _ = Path("/proc/thread-self/schedstat").read_bytes().split()
    except (OSError, ValueError):
        return time.thread_time()
    return (int(ran) + int(waited)) / 1e9


class Place:
    """One request's way through: entered, left, and lent while the request is at work elsewhere."""

    __slots__ = ("_admission", "app", "away", "charged", "name", "priority", "rank", "since", "turn", "waited_s")

    def __init__(self, admission: Admission, name: str, priority: Priority) -> None:
        self._admission = admission
        self.name = name
        self.priority: Priority = priority
        self.app: _App | None = None
        # How long it stood in line.
        self.waited_s = 0.0
        self.since = self.charged = 0.0
        # None: it holds no place here, for it waits or is elsewhere.
        self.rank: int | None = None
        # Set when it is given a place, or, to False, put out of the line.
        self.turn: asyncio.Future[bool] | None = None
        self.away = 0

    async def __aenter__(self) -> Self:
        waiting = self._admission._enter(self)
        if waiting is not None:
            await waiting
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission._leave(self)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What runs within waits for a worker, a load or the titan: the place is another's until it is back."""
        admission = self._admission
        self.away += 1
        if self.away == 1 and self.app is not None:
            now = admission._clock()
            admission._free(self, now)
            self.app.leaves(self.priority, now)
            admission._serve(now)
        try:
            yield
        finally:
            self.away -= 1
            if self.away == 0:
                admission._return(self)


@dataclass(slots=True)
class _App:
    """What is known of an app.

    presence: see `PRESENCE_S`; as of `seen`. here: its interactive requests that wait or hold a place. active: all of
    its in flight. tag: its next request's virtual start, in seconds of places held. cost_s: what one of its requests
    holds a place for. interval_s: between two of its requests that end.
    """

    name: str
    seen: float
    presence: float = 1.0
    here: int = 0
    active: int = 0
    requests: int = 0
    tag: float = 0.0
    cost_s: float = 0.001
    interval_s: float = 0.01
    ended: float = 0.0
    refusal_from: float = 0.0
    # Interactive, background.
    lines: tuple[deque[Place], deque[Place]] = field(default_factory=lambda: (deque(), deque()))

    @property
    def waiting(self) -> int:
        return len(self.lines[0]) + len(self.lines[1])

    def arrives(self, priority: Priority, now: float) -> int:
        """One more request is here; returns its rank."""
        self.requests += 1
        if priority == "background":
            return BACKGROUND
        self._look(now)
        self.here += 1
        return self._rank

    def leaves(self, priority: Priority, now: float) -> None:
        if priority == "interactive":
            self._look(now)
            self.here -= 1

    def ranks(self, now: float) -> Iterator[int]:
        """Of the first in each of its lines."""
        if self.lines[0]:
            self._look(now)
            yield self._rank
        if self.lines[1]:
            yield BACKGROUND

    def charge(self, held_s: float, charged_s: float) -> None:
        """A request of its has held a place for so long, of which `charged_s` was charged when it began."""
        self.tag += held_s - charged_s
        self.cost_s += (held_s - self.cost_s) / 8

    def ends(self, now: float) -> None:
        """One request fewer is in flight."""
        self.active -= 1
        if self.ended:
            self.interval_s += (now - self.ended - self.interval_s) / 8
        self.ended = now if self.active else 0.0

    def drain_s(self) -> float:
        """When those in flight now will have ended, going by how fast they did of late."""
        return min(max(self.active * self.interval_s, 0.1), 60.0)

    @property
    def _rank(self) -> int:
        return LIGHT if self.presence < PRESENT and self.here <= AT_ONCE else CROWDING

    def _look(self, now: float) -> None:
        kept = math.exp((self.seen - now) / PRESENCE_S)
        self.presence = self.presence * kept + (1.0 - kept if self.here else 0.0)
        self.seen = now
