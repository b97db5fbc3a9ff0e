"""What happens meanwhile: a broker hands events to everybody who listens.

Any thread publishes and never waits; each subscriber has a queue of its own, and one that falls behind by more than
its queue holds is dropped with an error instead of slowing the others. Knows nothing of the wire.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredEvent:
    """A timer, an alarm or a reminder went off.

    kind: "timer", "alarm" or "reminder". due: when it was to go off, aware. late: how long after that it did.
    """

    id: str
    kind: str
    name: str
    text: str
    due: datetime
    late: timedelta
    time: datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertChangedEvent:
    """A version of an expert reached a state. state: as in the contract, "SERVING"."""

    expert: str
    version: int
    state: str
    reason: str = ""
    time: datetime = field(default_factory=_now)


Event = FiredEvent | ExpertChangedEvent


class SlowSubscriberError(Exception):
    """The subscriber read too slowly; it has seen everything up to here, and must subscribe anew."""


class Subscription:
    """One listener: from `async with` on it misses nothing, and `async for` tells it every event in order.

    The iteration ends when the broker closes. Raises: SlowSubscriberError, after the events that were still queued.
    """

    def __init__(self, broker: Broker, capacity: int) -> None:
        self._broker = broker
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._lock = threading.Lock()
        self._ended = False
        self._overflowed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Subscription:
        self._loop = asyncio.get_running_loop()
        self._broker._join(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker._leave(self)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while True:
            # Cleared before looking, so that an event that comes in between wakes the wait below.
            self._woken.clear()
            with self._lock:
                if self._queue:
                    return self._queue.popleft()
                if self._overflowed:
                    raise SlowSubscriberError(
                        f"this subscriber fell more than {self._capacity} events behind and was dropped; "
                        "subscribe again, and read faster"
                    )
                if self._ended:
                    raise StopAsyncIteration
            await self._woken.wait()

    def _offer(self, event: Event) -> bool:
        """Queues the event; False: the queue is full, and the subscriber hears no more."""
        with self._lock:
            if len(self._queue) >= self._capacity:
                self._overflowed = True
            else:
                self._queue.append(event)
            overflowed = self._overflowed
        self._wake()
        return not overflowed

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        self._wake()

    def _wake(self) -> None:
        assert self._loop is not None, "a subscription joins inside `async with`"  # noqa: S101
        # A loop that closed meanwhile has nobody waiting.
        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._woken.set)
            except RuntimeError:
                return


class Broker:
    """Hands each published event to every subscriber. capacity: events that one subscriber may lag behind."""

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._closed = False

    def publish(self, event: Event) -> None:
        """Tells every subscriber; from any thread, without waiting, in one order for all."""
        with self._lock:
            self._subscriptions = [each for each in self._subscriptions if each._offer(event)]

    def subscribe(self) -> Subscription:
        """A listener, to be entered with `async with`."""
        return Subscription(self, self._capacity)

    @property
    def subscribers(self) -> int:
        with self._lock:
            return len(self._subscriptions)

    def close(self) -> None:
        """Ends every iteration, now and from now on. May be called twice."""
        with self._lock:
            self._closed = True
            ended, self._subscriptions = self._subscriptions, []
        for each in ended:
            each._end()

    def _join(self, subscription: Subscription) -> None:
        with self._lock:
            if not self._closed:
                self._subscriptions.append(subscription)
                return
        subscription._end()

    def _leave(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
