"""Who is let in, and when: the law of the lines on a clock of the test's own, and a flood against a real daemon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from expertd.client import Client
from expertd.client.errors import ExhaustedError, InputError
from expertd.daemon import admission as module
from expertd.daemon.admission import Admission, Priority
from expertd.daemon.config import LimitsConfig
from expertd.daemon.course import OverloadedError
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc


class Hall:
    """An admission on a clock that stands still until it is moved; notes who was let in, in order."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        # For so many seconds the loop has had something to do.
        self.busy = 0.0
        self.admission = Admission(LimitsConfig(**limits), clock=lambda: self.now, busy=lambda: self.busy)
        self.entered: list[str] = []
        self.refused: list[str] = []
        self.inside: dict[str, list[asyncio.Event]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, app: str, priority: Priority = "interactive") -> asyncio.Task[None]:
        """One request that stays inside until it is told to leave."""

        async def request() -> None:
            try:
                async with self.admission.admit(app, priority):
                    self.entered.append(app)
                    leave = asyncio.Event()
                    self.inside.setdefault(app, []).append(leave)
                    await leave.wait()
            except OverloadedError as error:
                self.refused.append(str(error))

        task = asyncio.create_task(request())
        self.tasks.append(task)
        await settle()
        return task

    async def leave(self, app: str, took_s: float = 0.001) -> None:
        """The request of the app that came in first leaves."""
        self.now += took_s
        self.inside[app].pop(0).set()
        await settle()

    async def rest(self, app: str) -> None:
        """The app asks once and then is quiet for a while, so that it is known as one that rests."""
        await self.ask(app)
        await self.leave(app)
        self.entered.clear()
        self.now += 20.0

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.admission._again()
        await settle()

    async def through(self, took_s: float = 0.001) -> list[str]:
        """Everybody leaves as soon as he is in, one by one; returns who was let in, in order."""
        while any(self.inside.values()):
            app = next(app for app in self.entered if self.inside.get(app))
            await self.leave(app, took_s)
            await self.pass_time(1.0)
        return self.entered


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def hall(**limits: Any) -> Hall:
    return Hall(**({"concurrent": 1} | limits))


# --- Order -----------------------------------------------------------------------------------------------------------


async def test_within_an_app_the_first_come_is_first_served() -> None:
    bench = hall()
    order: list[int] = []

    async def request(number: int) -> None:
        async with bench.admission.admit("mail"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(request(number) for number in range(20)))
    assert order == list(range(20))


async def test_a_long_line_of_one_app_does_not_hold_up_another() -> None:
    bench = hall()
    for _ in range(20):
        await bench.ask("mail")
    await bench.ask("notes")
    assert (await bench.through()).index("notes") <= 2


async def test_an_app_whose_requests_take_long_has_fewer_of_them_served() -> None:
    bench = hall()
    for _ in range(30):
        await bench.ask("slow")
        await bench.ask("fast")
    served: Counter[str] = Counter()
    while served.total() < 20:
        app = next(app for app, inside in bench.inside.items() if inside)
        served[app] += 1
        await bench.leave(app, 0.008 if app == "slow" else 0.001)
    assert served["fast"] >= 3 * served["slow"] > 0
    await bench.through()


async def test_interactive_requests_go_before_background_ones() -> None:
    bench = hall()
    await bench.ask("first")
    for _ in range(5):
        await bench.ask("batch", "background")
    for _ in range(5):
        await bench.ask("mail")
    assert (await bench.through())[1:6] == ["mail"] * 5


async def test_background_requests_do_not_starve() -> None:
    bench = hall()
    await bench.ask("first")
    await bench.ask("batch", "background")
    for _ in range(60):
        await bench.ask("mail")
    assert "batch" in (await bench.through())[: module.TURNS + 2]


async def test_an_app_that_rests_goes_before_those_that_do_not() -> None:
    bench = hall()
    await bench.rest("desk")
    await bench.ask("first")
    for app in ("a", "b", "c"):
        await bench.ask(app)
    await bench.ask("desk")
    assert (await bench.through())[1] == "desk"


async def test_where_few_wait_nobody_is_held_back() -> None:
    bench = hall(concurrent=4, crowd_share=0.25)
    await bench.rest("desk")
    await bench.ask("desk")
    await bench.leave("desk")
    bench.busy += 1.0
    bench.now += 1.0
    for _ in range(20):
        await bench.ask("crowd")
    for _ in range(20):
        await bench.leave("crowd", 0.002)
    assert bench.entered == ["desk"] + ["crowd"] * 20, "no time has passed but that of the requests themselves"


async def test_a_flood_leaves_the_loop_free_for_a_moment_while_an_app_that_rests_is_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FLOOD", 0)
    bench = hall(concurrent=4, crowd_share=0.25)
    await bench.rest("desk")
    await bench.ask("desk")
    await bench.leave("desk")
    await bench.ask("crowd")
    await bench.ask("crowd")
    await bench.leave("crowd", 0.002)
    assert bench.entered == ["desk", "crowd"]
    await bench.pass_time(0.002)
    assert bench.entered == ["desk", "crowd"], "it had a quarter of the time"
    await bench.pass_time(0.006)
    assert bench.entered == ["desk", "crowd", "crowd"]
    await bench.through()


async def test_a_flood_before_the_door_is_known_by_how_many_come_in_a_second() -> None:
    bench = hall(concurrent=4, crowd_share=0.25)
    for app in ("desk", *(f"crowd-{number}" for number in range(10))):
        await bench.rest(app)
    await bench.ask("desk")
    await bench.leave("desk")
    # Of those at the door one is taken in after the other, so that none is here for long, and nobody waits in line.
    for turn in range(1200):
        bench.busy += 0.001
        await bench.ask(f"crowd-{turn % 10}")
        if not any(bench.inside.values()):
            break
        await bench.leave(f"crowd-{turn % 10}", 0.001)
    else:
        pytest.fail("they are taken in as fast as they come, and the desk waits behind them at the door")
    for number in range(20):
        await bench.ask(f"crowd-{number % 10}")
    assert not any(bench.inside.values()), "first all that stand there are let in to the line"
    await bench.pass_time(module.CALM_S)
    assert any(bench.inside.values())
    await bench.through()


async def test_a_crowd_that_is_alone_is_not_held_back() -> None:
    bench = hall(concurrent=4)
    for _ in range(4):
        await bench.ask("crowd")
    await bench.leave("crowd")
    assert bench.entered == ["crowd"] * 4
    await bench.through()


async def test_one_place_is_kept_for_apps_that_rest() -> None:
    bench = hall(concurrent=2)
    await bench.rest("desk")
    for _ in range(3):
        await bench.ask("crowd")
    await bench.ask("desk")
    assert bench.entered == ["crowd", "desk"]
    await bench.through()


async def test_where_a_flood_leaves_no_rest_all_are_let_in_to_the_line_before_one_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FLOOD", 0)
    bench = hall(concurrent=4)
    bench.busy += 1.0
    bench.now += 1.0
    for _ in range(20):
        await bench.ask("crowd")
        bench.now += 0.001
    assert bench.entered == []
    await bench.pass_time(module.CALM_S)
    assert bench.entered
    await bench.through()


async def test_a_loop_that_has_rest_starts_what_comes_at_once() -> None:
    bench = hall(concurrent=4)
    bench.busy += 0.5
    bench.now += 1.0
    await bench.ask("crowd")
    assert bench.entered == ["crowd"]
    await bench.through()


# --- Bounds ----------------------------------------------------------------------------------------------------------


async def test_an_app_beyond_its_bound_is_refused_and_told_the_way_out() -> None:
    bench = hall(max_in_flight_per_app=3)
    for _ in range(4):
        await bench.ask("mail")
    (said,) = bench.refused
    assert all(part in said for part in ("mail", "3 of its requests", "max_in_flight_per_app", "try again in"))
    await bench.ask("notes")
    assert len(bench.refused) == 1
    await bench.through()


async def test_of_many_refusals_all_but_the_first_are_held_back() -> None:
    bench = hall(max_in_flight_per_app=1)
    for _ in range(4):
        await bench.ask("mail")
    assert len(bench.refused) == 1
    await bench.through()
    for task in bench.tasks:
        task.cancel()


async def test_where_all_places_are_taken_the_longest_line_gives_up_its_last() -> None:
    bench = hall(max_in_flight=6)
    for _ in range(6):
        await bench.ask("mail")
    await bench.ask("notes")
    assert ["mail" in said and "longest line" in said for said in bench.refused] == [True]
    assert Counter(await bench.through()) == {"mail": 5, "notes": 1}


async def test_an_app_with_nothing_in_flight_is_let_in_beside_a_crowd_that_is_at_work_elsewhere() -> None:
    bench = hall(concurrent=3, max_in_flight=2)
    async with bench.admission.admit("text") as first, bench.admission.admit("text") as second:
        with first.elsewhere(), second.elsewhere():
            await bench.ask("text")
            assert len(bench.refused) == 1
            await bench.ask("desk")
            assert bench.entered == ["desk"]
            await bench.through()


async def test_names_without_end_are_forgotten_and_known_apps_kept() -> None:
    bench = hall()
    for _ in range(3):
        await bench.rest("desk")
    for number in range(2 * module.KNOWN_APPS):
        async with bench.admission.admit(f"name {number}"):
            pass
    assert len(bench.admission._apps) <= module.KNOWN_APPS
    assert "desk" in bench.admission._apps


# --- Nothing is left behind ------------------------------------------------------------------------------------------


async def test_who_is_cancelled_in_line_leaves_nothing_behind() -> None:
    bench = hall()
    await bench.ask("mail")
    waiting = await bench.ask("mail")
    await bench.ask("notes")
    waiting.cancel()
    await settle()
    assert await bench.through() == ["mail", "notes"]
    await asyncio.wait_for(bench.admission.drained(), 1)


async def test_who_is_cancelled_with_the_place_just_given_gives_it_back() -> None:
    bench = hall()
    await bench.ask("mail")
    waiting = await bench.ask("mail")
    bench.inside["mail"].pop(0).set()
    for _ in range(8):
        if not bench.admission._lines:
            break
        await asyncio.sleep(0)
    assert bench.entered == ["mail"], "it has a place, and does not know it yet"
    waiting.cancel()
    await settle()
    await bench.ask("notes")
    assert bench.entered[-1] == "notes"
    await bench.through()
    await asyncio.wait_for(bench.admission.drained(), 1)


async def test_who_waits_longer_than_the_deadline_is_told_so() -> None:
    bench = hall(default_deadline_s=0.01)
    await bench.ask("mail")
    with pytest.raises(TimeoutError):
        async with bench.admission.admit("mail"):
            pass
    await bench.through()
    await asyncio.wait_for(bench.admission.drained(), 1)


async def test_a_request_at_work_elsewhere_lends_its_place() -> None:
    bench = hall()
    async with bench.admission.admit("text") as place:
        await bench.ask("mail")
        assert bench.entered == []
        with place.elsewhere():
            await settle()
            assert bench.entered == ["mail"]
            await bench.leave("mail")
        await bench.ask("mail")
        assert bench.entered == ["mail"], "it has its place again"
    await bench.pass_time(1.0)
    await bench.through()
    await asyncio.wait_for(bench.admission.drained(), 1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_no_place_is_lost_and_no_bound_broken(data: st.DataObject) -> None:
    """Requests come, leave, are called off, go elsewhere and come back in any order."""

    async def story() -> None:
        most = {"concurrent": 2, "max_in_flight": 6, "max_in_flight_per_app": 4}
        bench = hall(**most)
        asked: list[asyncio.Task[None]] = []
        for _ in range(data.draw(st.integers(5, 40))):
            step = data.draw(st.sampled_from(["ask", "ask", "ask", "leave", "cancel", "wait"]))
            if step == "ask":
                app = data.draw(st.sampled_from(["a", "b", "c"]))
                asked.append(await bench.ask(app, data.draw(st.sampled_from(["interactive", "background"]))))
            elif step == "leave" and (apps := [app for app, inside in bench.inside.items() if inside]):
                await bench.leave(data.draw(st.sampled_from(apps)), data.draw(st.floats(0.0, 0.1)))
            elif step == "cancel" and asked:
                data.draw(st.sampled_from(asked)).cancel()
                await settle()
            elif step == "wait":
                await bench.pass_time(data.draw(st.floats(0.0, 10.0)))
            running = sum(bench.admission._running)
            assert 0 <= running <= most["concurrent"]
            assert bench.admission._in_flight <= 2 * most["max_in_flight"]
            assert all(app.active <= most["max_in_flight_per_app"] for app in bench.admission._apps.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.wait_for(bench.admission.drained(), 1)
        assert bench.admission._running == [0, 0, 0]
        assert not bench.admission._lines
        assert all(app.active == app.here == app.waiting == 0 for app in bench.admission._apps.values())

    asyncio.run(story())


# --- With a daemon ---------------------------------------------------------------------------------------------------


def test_a_client_refuses_a_priority_that_there_is_none() -> None:
    with Client("/nowhere/expertd.sock") as client, pytest.raises(InputError, match='"interactive" or "background"'):
        client.ask("what time is it", priority="urgent")  # type: ignore[arg-type]


def test_a_flooding_app_is_refused_and_another_is_answered(start_daemon: Callable[..., Any]) -> None:
    daemon = start_daemon("[limits]\nmax_in_flight_per_app = 4\n")
    refusals: list[Any] = []
    over = threading.Event()
    with grpc.insecure_channel(f"unix:{daemon.socket}") as channel, Client(daemon.socket, app="desk") as desk:
        stub = assistant_pb2_grpc.AssistantStub(channel)

        def flood(number: int) -> None:
            count = 0
            while not over.is_set():
                count += 1
                # Long enough to be read in a thread: what is answered at once is never in flight with another.
                text = f"is this spam: {'call us now to claim your holiday ' * 20} {number} {count}"
                try:
                    stub.Ask(pb.AskRequest(input=pb.Input(text=text), context=pb.Context(app="flood")), timeout=20)
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                        refusals.append(error)

        threads = [threading.Thread(target=flood, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        try:
            answers = [desk.ask(f"what is {number} plus 7").text for number in range(30)]
            background = desk.ask("what is 12 times 12", priority="background").text
            deadline = time.monotonic() + 20
            while not refusals and time.monotonic() < deadline:
                assert desk.ask("what is 6 times 7").text
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert all(str(number + 7) in answer for number, answer in enumerate(answers))
    assert "144" in background
    assert refusals
    for refused in refusals:
        assert "of flood" in refused.details()
        raw = next(value for key, value in refused.trailing_metadata() if key == "grpc-status-details-bin")
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status_pb2.Status.FromString(raw).details)
        assert retry.retry_delay.ToTimedelta().total_seconds() > 0
    with Client(daemon.socket, app="flood") as flood_again:
        try:
            flood_again.ask("what is 3 times 3")
        except ExhaustedError:
            pytest.fail("the flood is over")
