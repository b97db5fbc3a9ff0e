"""The policy of the fleet, alone: whatever happens in whatever order, an expert that served goes on serving."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from expertd.experts.plan import UNDER_WAY, Abandon, Load, Publish, Retire, Snapshot, State, VersionSnapshot, Warm, plan

EXPERTS = ("spam", "timers")


def version(instance: int, state: State, **more: object) -> VersionSnapshot:
    return replace(VersionSnapshot(instance, "spam", instance, state), **more)  # type: ignore[arg-type]


def test_an_aspired_version_is_loaded_then_warmed_then_published() -> None:
    aspired = {"spam": 1}
    assert plan(Snapshot((version(1, State.ASPIRED),), aspired)) == (Load(1),)
    assert plan(Snapshot((version(1, State.LOADING, busy=True),), aspired)) == ()
    assert plan(Snapshot((version(1, State.WARMING),), aspired)) == (Warm(1),)
    assert plan(Snapshot((version(1, State.WARMING, ready=True),), aspired)) == (Publish(frozenset({1}), frozenset()),)


def test_the_old_version_leaves_with_the_publication_that_serves_the_new_one() -> None:
    versions = (version(1, State.SERVING), version(2, State.WARMING, ready=True))
    assert plan(Snapshot(versions, {"spam": 2})) == (Publish(frozenset({2}), frozenset({1})),)


def test_nothing_is_published_while_another_view_is_being_built() -> None:
    versions = (version(1, State.SERVING), version(2, State.WARMING, ready=True))
    assert plan(Snapshot(versions, {"spam": 2}, publishing=True)) == ()


def test_a_version_that_nobody_wants_any_more_is_abandoned_when_nobody_works_on_it() -> None:
    versions = (version(1, State.SERVING), version(2, State.LOADING, busy=True), version(3, State.WARMING))
    assert plan(Snapshot(versions, {"spam": 1})) == (Abandon(3),)


def test_a_draining_version_retires_with_its_last_lease() -> None:
    assert plan(Snapshot((version(1, State.DRAINING, leases=1),), {})) == ()
    assert plan(Snapshot((version(1, State.DRAINING),), {})) == (Retire(1),)


def test_the_first_view_waits_for_the_quick_versions_and_not_for_the_slow_ones() -> None:
    ready = version(1, State.WARMING, ready=True)
    loading = replace(version(2, State.LOADING, busy=True), expert="timers")
    aspired = {"spam": 1, "timers": 2}
    assert plan(Snapshot((ready, loading), aspired)) == ()
    assert plan(Snapshot((ready, replace(loading, slow=True)), aspired)) == (Publish(frozenset({1}), frozenset()),)


class Interleavings(RuleBasedStateMachine):
    """Orders, results, failures and leases in any order; the executor is simulated as the fleet's task does it."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[int, VersionSnapshot] = {}
        self.aspired: dict[str, int] = {}
        self.publication: Publish | None = None
        self.ever_served: set[str] = set()
        self.instances = 0

    def carry_out(self) -> None:
        for action in plan(Snapshot(tuple(self.versions.values()), dict(self.aspired), self.publication is not None)):
            match action:
                case Load(number):
                    self.change(number, state=State.LOADING, busy=True)
                case Warm(number):
                    self.change(number, state=State.WARMING, busy=True)
                case Abandon(number):
                    del self.versions[number]
                case Retire(number):
                    assert self.versions[number].leases == 0, "a lease outlived its version"
                    del self.versions[number]
                case Publish():
                    assert self.publication is None
                    self.publication = action
                    for number in action.serve | action.withdraw:
                        self.change(number, busy=True)

    def change(self, number: int, **fields: object) -> None:
        self.versions[number] = replace(self.versions[number], **fields)  # type: ignore[arg-type]

    def under_way(self) -> list[VersionSnapshot]:
        return [item for item in self.versions.values() if item.state in UNDER_WAY]

    @rule(expert=st.sampled_from(EXPERTS))
    def order(self, expert: str) -> None:
        self.instances += 1
        self.versions[self.instances] = VersionSnapshot(self.instances, expert, self.instances, State.ASPIRED)
        self.aspired[expert] = self.instances
        self.carry_out()

    @precondition(lambda self: any(item.busy and not item.ready for item in self.under_way()))
    @rule(data=st.data(), fails=st.booleans())
    def work_ends(self, data: st.DataObject, fails: bool) -> None:
        number = data.draw(
            st.sampled_from([item.instance for item in self.under_way() if item.busy and not item.ready])
        )
        item = self.versions[number]
        if fails:
            del self.versions[number]
            if self.aspired.get(item.expert) == item.version:
                mine = [v for v in self.versions.values() if v.expert == item.expert]
                staying = [v for v in mine if v.state is State.SERVING or (v.ready and v.busy)]
                if staying:
                    self.aspired[item.expert] = staying[-1].version
                else:
                    del self.aspired[item.expert]
        elif item.state is State.LOADING:
            self.change(number, state=State.WARMING, busy=False)
        else:
            self.change(number, busy=False, ready=True)
        self.carry_out()

    @precondition(lambda self: self.publication is not None)
    @rule()
    def view_is_built(self) -> None:
        publication = self.publication
        assert publication is not None
        self.publication = None
        for number in publication.withdraw:
            self.change(number, state=State.DRAINING, busy=False)
        for number in publication.serve:
            self.change(number, state=State.SERVING, ready=False, busy=False)
            self.ever_served.add(self.versions[number].expert)
        self.carry_out()

    @precondition(lambda self: any(item.state is State.SERVING for item in self.versions.values()))
    @rule(data=st.data())
    def lease(self, data: st.DataObject) -> None:
        serving = [number for number, item in self.versions.items() if item.state is State.SERVING]
        number = data.draw(st.sampled_from(serving))
        self.change(number, leases=self.versions[number].leases + 1)

    @precondition(lambda self: any(item.leases for item in self.versions.values()))
    @rule(data=st.data())
    def lease_ends(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([n for n, item in self.versions.items() if item.leases]))
        self.change(number, leases=self.versions[number].leases - 1)
        self.carry_out()

    @invariant()
    def at_most_one_version_serves_and_never_none_once_one_did(self) -> None:
        for expert in EXPERTS:
            serving = [v for v in self.versions.values() if v.expert == expert and v.state is State.SERVING]
            assert len(serving) <= 1
            assert serving or expert not in self.ever_served

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """Whatever is under way is worked on, waits for a publication, or is about to be planned."""
        for item in self.versions.values():
            if item.state in UNDER_WAY and not item.busy and not item.ready:
                raise AssertionError(f"{item} waits for nobody")


Interleavings.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_any_interleaving_keeps_the_promises = Interleavings.TestCase
