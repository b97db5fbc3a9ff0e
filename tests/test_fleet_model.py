"""The fleet itself under any interleaving of orders, failures, requests, evictions and crashes: its promises hold.

at most one version of an expert serves, and never none once one did (unless the operator had it unloaded)
no answer from a version that was neither on trial nor promoted, none from one that is closed
a lease never outlives its servable
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from expertd.experts.bundle import seal
from expertd.experts.errors import ExpertError, UnavailableError
from expertd.experts.plan import ON_TRIAL, State
from expertd.experts.policy import Policy
from expertd.experts.values import Outcome, Query
from tests.fleet_house import House

EXPERTS = ("ant", "bee")
POLICIES = (Policy(), Policy(canary_share=0.5, canary_requests=3), Policy(shadow_requests=2))
REACHABLE = {*ON_TRIAL, State.SERVING}


class Fates(RuleBasedStateMachine):
    """Each rule gives the loop a few turns and no more, so that what is under way stays under way."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.house = self.run(self.begin())
        self.newest = dict.fromkeys(EXPERTS, 0)
        self.ever_served: set[str] = set()
        self.unloaded: set[str] = set()
        self.requests: list[asyncio.Task[None]] = []
        self.orders: list[asyncio.Task[Any]] = []
        self.wrong: list[str] = []

    async def begin(self) -> House:
        house = House(self.folder, probation_requests=4, refit_after_s=0.01)
        await house.fleet.start([])
        return house

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        async def end() -> None:
            self.house.gate.set()
            self.house.loading.set()
            stuck = (await asyncio.wait([*self.orders, *self.requests], timeout=8))[1] if self.orders else ()
            assert not stuck, f"{[task.get_stack() for task in stuck]}\n{self.house.told}"
            await self.house.fleet.close()

        self.run(end())
        self.house.store.close()
        assert not self.wrong, self.wrong
        assert all(echo.closed for echo in self.house.made), "a servable was forgotten"
        self.runner.close()
        shutil.rmtree(self.folder)

    def bundle(self, name: str, version: int, *, wrong: bool, breaks: bool) -> Path:
        folder = self.folder / "bundles" / f"{name}-{version}"
        folder.mkdir(parents=True)
        parameters = f"says = {json.dumps('nonsense')}\n" * wrong + "breaks = true\n" * breaks
        (folder / "expert.toml").write_text(
            f'name = "{name}"\nversion = {version}\nkind = "skill"\nsummary = "Repeats."\nlicence = "Apache-2.0"\n'
            f'[resources]\nmemory_mb = 1.0\nlatency_ms = 50.0\n[skill]\nname = "echo"\n[parameters]\n{parameters}'
        )
        (folder / "CARD.md").write_text("# For tests\n")
        (folder / "intents.jsonl").write_text(json.dumps({"intent": "repeat", "text": f"say {name}"}) + "\n")
        (folder / "golden.jsonl").write_text('{"query": {"text": "hello"}, "expect": {"text": "hello"}}\n')
        seal(folder)
        return folder

    # --- What may happen ---------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(EXPERTS),
        policy=st.sampled_from(POLICIES),
        fate=st.sampled_from(["good", "good", "good", "wrong", "breaks"]),
    )
    def install(self, name: str, policy: Policy, fate: str) -> None:
        self.newest[name] += 1
        folder = self.bundle(name, self.newest[name], wrong=fate == "wrong", breaks=fate == "breaks")

        async def order() -> None:
            if name in self.house.fleet.view.slots:
                await self.house.fleet.set_policy(name, policy)
            await self.house.fleet.install(self.house.store.admit(folder))

        self.give(order())

    @rule(name=st.sampled_from(EXPERTS), order=st.sampled_from(["rollback", "unload", "promote", "present"]))
    def order(self, name: str, order: str) -> None:
        fleet = self.house.fleet
        if name not in fleet.view.slots:
            return
        if order == "unload":
            self.unloaded.add(name)
            self.give(fleet.unload(name))
        elif order == "rollback":
            self.give(fleet.rollback(name))
        elif order == "present":
            self.give(fleet.present(name))
        elif versions := self.house.store.versions(name):
            self.give(fleet.promote(name, versions[0]))

    @rule(name=st.sampled_from(EXPERTS), count=st.integers(1, 4))
    def ask(self, name: str, count: int) -> None:
        for _ in range(count):
            self.requests.append(self.runner.get_loop().create_task(self.request(name)))
        self.turn()

    async def request(self, name: str) -> None:
        try:
            slot, _ = await self.house.fleet.answer(name, self.query(), _nobody)
        except ExpertError:
            return
        except AssertionError as error:  # the servable's own: asked after it was closed
            self.wrong.append(str(error))
            return
        told = {status.state for status in self.house.told if (status.expert, status.version) == (name, slot.version)}
        if not told & REACHABLE:
            self.wrong.append(f"{name} {slot.version} answered and was never promoted: {told}")

    @staticmethod
    def query() -> Query:
        from datetime import UTC, datetime
        from zoneinfo import ZoneInfo

        return Query("hello", datetime(2026, 3, 2, tzinfo=UTC), ZoneInfo("UTC"))

    @rule(back=st.integers(1, 4))
    def a_version_goes_bad(self, back: int) -> None:
        if len(self.house.made) >= back:
            self.house.made[-back].misbehave = fails

    @rule(flows=st.booleans())
    def requests_stall_or_flow(self, flows: bool) -> None:
        (self.house.gate.set if flows else self.house.gate.clear)()
        self.turn()

    @rule(flows=st.booleans())
    def loading_stalls_or_flows(self, flows: bool) -> None:
        (self.house.loading.set if flows else self.house.loading.clear)()
        self.turn()

    @rule()
    def time_passes(self) -> None:
        self.run(asyncio.sleep(0.03))

    def give(self, order: Any) -> None:
        task = self.runner.get_loop().create_task(order)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.orders.append(task)
        self.turn()

    def turn(self) -> None:
        self.run(asyncio.sleep(0.005))

    # --- What must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_version_serves_and_never_none_once_one_did(self) -> None:
        fleet = self.house.fleet
        for name in EXPERTS:
            slot = fleet.view.slots.get(name)
            serving = [v for v in fleet.status(name).versions if v.state is State.SERVING] if slot else []
            assert len(serving) <= 1
            if slot is not None and slot.absence is None:
                assert not slot.closed
                assert [version.version for version in serving] == [slot.version]
                self.ever_served.add(name)
            elif name in self.ever_served:
                assert name in self.unloaded, "it served, and nobody had it unloaded"

    @invariant()
    def no_lease_outlives_its_servable(self) -> None:
        slots = self.house.fleet.view.slots.values()
        for slot in (*slots, *(each.challenger for each in slots if each.challenger is not None)):
            if slot.leases and slot.servable is not None:
                assert not slot.servable.closed  # type: ignore[attr-defined]

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert not self.wrong, self.wrong


async def fails(_: Query) -> Outcome:
    raise UnavailableError("out of order", reason="BROKEN")


async def _nobody(_: str) -> None:
    pass


Fates.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
test_any_fate_keeps_the_promises = Fates.TestCase
