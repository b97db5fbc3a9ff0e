"""The broker: everybody hears everything in order, nobody waits for the slow."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from expertd.daemon.events import Broker, Event, ExpertChangedEvent, FiredEvent, SlowSubscriberError, Subscription


def changed(version: int) -> ExpertChangedEvent:
    return ExpertChangedEvent(expert="spam", version=version, state="SERVING")


def versions(events: list[Event]) -> list[int]:
    return [event.version for event in events if isinstance(event, ExpertChangedEvent)]


async def take(subscription: Subscription, count: int) -> list[Event]:
    return [await anext(subscription) for _ in range(count)]


async def test_every_subscriber_hears_every_event_in_order() -> None:
    broker = Broker()
    async with broker.subscribe() as one, broker.subscribe() as two:
        for version in range(5):
            broker.publish(changed(version))
        assert versions(await take(one, 5)) == versions(await take(two, 5)) == [0, 1, 2, 3, 4]


async def test_nothing_is_missed_from_entering_on_and_nothing_is_heard_from_before() -> None:
    broker = Broker()
    broker.publish(changed(1))
    async with broker.subscribe() as subscription:
        broker.publish(changed(2))
        assert versions(await take(subscription, 1)) == [2]
    broker.publish(changed(3))
    assert broker.subscribers == 0


async def test_a_waiting_subscriber_is_woken_from_another_thread() -> None:
    broker = Broker(capacity=10_000)
    async with broker.subscribe() as subscription:
        waiting = asyncio.create_task(take(subscription, 4_000))
        await asyncio.sleep(0)
        threads = [threading.Thread(target=lambda: [broker.publish(changed(n)) for n in range(1_000)]) for _ in "1234"]
        for thread in threads:
            thread.start()
        heard = versions(await waiting)
        for thread in threads:
            thread.join()
    assert sorted(heard) == sorted(list(range(1_000)) * 4)


async def test_a_slow_subscriber_is_dropped_with_an_error_and_the_others_hear_on() -> None:
    broker = Broker(capacity=3)
    async with broker.subscribe() as slow, broker.subscribe() as quick:
        for version in range(5):
            broker.publish(changed(version))
            assert versions(await take(quick, 1)) == [version]
        assert broker.subscribers == 1
        assert versions(await take(slow, 3)) == [0, 1, 2]
        with pytest.raises(SlowSubscriberError, match="more than 3 events behind"):
            await anext(slow)


async def test_closing_ends_the_iterations_after_what_was_queued() -> None:
    broker = Broker()
    async with broker.subscribe() as subscription:
        broker.publish(changed(1))
        waiting = asyncio.create_task(_all(subscription))
        broker.close()
        assert versions(await waiting) == [1]
    async with broker.subscribe() as late:
        assert await _all(late) == []
    broker.close()


async def test_a_cancelled_wait_loses_no_event() -> None:
    broker = Broker()
    async with broker.subscribe() as subscription:
        waiting = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        broker.publish(changed(7))
        assert versions(await take(subscription, 1)) == [7]


def test_publishing_survives_a_subscriber_whose_loop_is_gone() -> None:
    broker = Broker()
    subscription = broker.subscribe()
    asyncio.run(subscription.__aenter__())
    broker.publish(changed(1))
    broker.close()


def test_events_carry_the_time_at_which_they_happened() -> None:
    due = datetime(2026, 3, 2, 9, tzinfo=UTC)
    before = datetime.now(UTC)
    event = FiredEvent(id="1", kind="timer", name="tea", text="Tea", due=due, late=timedelta(seconds=2))
    assert before <= event.time <= datetime.now(UTC)


async def _all(subscription: Subscription) -> list[Event]:
    return [event async for event in subscription]
