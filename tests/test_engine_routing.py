"""The engine between the router and whoever answers: several requests in one, other languages, explanations.

The router, the experts and the titan are in memory and keep to the seams of the real ones; the real ones meet in
test_journeys.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf import json_format

from expertd.daemon.assistant import answer as answer_message
from expertd.daemon.assistant import decision as decision_message
from expertd.daemon.config import LimitsConfig
from expertd.daemon.course import OverloadedError, Silent
from expertd.daemon.engine import Engine
from expertd.daemon.explanation import explanation, others
from expertd.daemon.reply import Reply, Routed
from expertd.daemon.request import Ask, in_context
from expertd.daemon.traces import Trace
from expertd.experts.errors import ExpertError, QueryError, UnavailableError
from expertd.experts.values import Abstention, Action, Answer, Document, Earlier, Outcome, Query, Structured
from expertd.experts.view import View
from expertd.router.decision import Alternative, Decision, Explanation, Neighbour, Signal, TierReport
from expertd.v1 import assistant_pb2 as pb

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BOTH = "set a timer for 10 minutes and tell me what 18% of 2450 is"


def routed(expert: str, intent: str = "do", confidence: float = 0.95) -> Decision:
    return Decision("routed", expert, intent, confidence, "encoder", (), f"{expert} {intent}")


NOBODY = Decision("titan", "clock", "time", 0.1, "encoder", (), "no expert fits: 5% in scope, 20% needed")
CLOSE = Decision("clarify", "timers", "create", 0.5, "encoder", (Alternative("clock", "time", 0.4),), "close")
GERMAN = Decision("titan", "", "", 0.0, "static", (), "written in German; the experts here speak English", (), "de")


class Router:
    """Decides by the first word that it knows of a text; tells which texts it was asked about, by which view."""

    def __init__(self, **decisions: Decision) -> None:
        self.decisions = decisions
        self.asked: list[str] = []
        self.indexes: list[Any] = []

    async def decide(self, index: Any, text: str) -> Decision:
        self.asked.append(text)
        self.indexes.append(index)
        return next((made for word, made in self.decisions.items() if word in text), NOBODY)

    async def explain(self, index: Any, text: str) -> Explanation:
        return explained(await self.decide(index, text))


class Experts:
    """A fleet whose experts are functions of the query; a function may return, raise or be a list of deltas."""

    def __init__(self, **answers: Callable[[Query], Outcome]) -> None:
        self.answers = answers
        self.queries: list[tuple[str, Query]] = []
        self.number = 1
        self.leases = 0

    @property
    def view(self) -> View[Any]:
        manifest = SimpleNamespace(summary="Does one thing.")
        bundle = SimpleNamespace(manifest=manifest)
        slots = {name: SimpleNamespace(bundle=bundle, servable=None) for name in ("timers", "clock")}
        return View(self.number, f"index {self.number}", slots)  # type: ignore[arg-type]

    async def answer(
        self, name: str, query: Query, emit: Any, leased: Callable[[Any], None] = lambda slot: None
    ) -> tuple[Any, Outcome]:
        self.leases += 1
        slot = SimpleNamespace(name=name, version=3, servable=None)
        leased(slot)
        return slot, await self._answer(name, query, emit)

    async def _answer(self, name: str, query: Query, emit: Any) -> Outcome:
        self.queries.append((name, query))
        self.number += 1  # the view is replaced while the request is on its way
        outcome = self.answers[name](query)
        if isinstance(outcome, Answer):
            for word in outcome.text.split(" ")[:1]:
                await emit(word)
        return outcome


class Titan:
    def __init__(self, outcome: Outcome | UnavailableError) -> None:
        self.outcome = outcome
        self.queries: list[Query] = []

    async def answer(self, query: Query, emit: Any) -> Outcome:
        self.queries.append(query)
        if isinstance(self.outcome, UnavailableError):
            raise self.outcome
        return self.outcome


class Heard(Silent):
    def __init__(self) -> None:
        self.decided_on: list[Routed] = []
        self.deltas: list[str] = []

    async def decided(self, routed: Routed) -> None:
        assert not self.deltas, "the decision comes first"
        self.decided_on.append(routed)

    async def delta(self, text: str) -> None:
        self.deltas.append(text)


class Bench:
    """An engine and everything around it."""

    def __init__(self, router: Router, experts: Experts, titan: Titan | None = None) -> None:
        self.router, self.experts = router, experts
        self.titan = titan or Titan(UnavailableError("no API key; set OPENAI_API_KEY", reason="TITAN_NO_KEY"))
        self.traces: list[Trace] = []
        self.heard = Heard()
        self.engine = Engine(
            fleet=experts,  # type: ignore[arg-type]
            router=router,
            titan=self.titan,
            traces=SimpleNamespace(record=self.traces.append),  # type: ignore[arg-type]
            clock=lambda: NOW,
            limits=LimitsConfig(max_in_flight=1),
        )

    async def ask(self, text: str, **fields: Any) -> Reply:
        return await self.engine.ask(request(text, **fields), self.heard)


def request(text: str, **fields: Any) -> Ask:
    return Ask(text=text, zone=ZoneInfo("UTC"), locale="en", **fields)


def timer(query: Query) -> Answer:
    return Answer("Timer set for 10 minutes.", Action("timer.created", {"text": query.text}))


def sum_of(query: Query) -> Answer:
    return Answer("441", Structured({"value": 441}))


def too_late(query: Query) -> Outcome:
    raise QueryError("that time has passed; give a later one", reason="TIME_IN_PAST")


def a_bench(titan: Titan | None = None, **answers: Callable[[Query], Outcome]) -> Bench:
    router = Router(timer=routed("timers", "create", 0.9), what=routed("calculator", "compute", 0.8))
    return Bench(router, Experts(**({"timers": timer, "calculator": sum_of} | answers)), titan)


# --- In parts --------------------------------------------------------------------------------------------------------


async def test_each_part_is_answered_once_and_in_order() -> None:
    bench = a_bench()
    reply = await bench.ask(BOTH)
    assert reply.text == "Timer set for 10 minutes.\n441"
    assert [(part.expert, part.version, part.outcome) for part in reply.parts] == [
        ("timers", 3, "answered"),
        ("calculator", 3, "answered"),
    ]
    assert [(name, query.text) for name, query in bench.experts.queries] == [
        ("timers", "set a timer for 10 minutes"),
        ("calculator", "tell me what 18% of 2450 is"),
    ]
    assert bench.experts.leases == 2
    assert (reply.outcome, reply.result, reply.expert) == ("answered", None, "")


async def test_the_decision_tells_the_parts_and_how_sure_the_least_sure_is() -> None:
    routed_parts = await a_bench().engine.route(request(BOTH))
    message = decision_message(routed_parts)
    assert message.verdict == pb.Decision.VERDICT_COMPOUND
    assert [(part.text, part.decision.expert) for part in message.parts] == [
        ("set a timer for 10 minutes", "timers"),
        ("tell me what 18% of 2450 is", "calculator"),
    ]
    assert (message.confidence, message.expert, message.tier) == (0.8, "", pb.Decision.TIER_UNSPECIFIED)
    assert json_format.Parse(json_format.MessageToJson(message), pb.Decision()) == message


async def test_one_view_decides_on_the_whole_and_on_every_part() -> None:
    bench = a_bench()
    reply = await bench.ask(BOTH)
    assert set(bench.router.indexes) == {"index 1"}
    assert [part.routed.view for part in reply.parts] == [1, 1]


async def test_what_is_told_as_it_happens_is_the_whole_text() -> None:
    bench = a_bench()
    reply = await bench.ask(BOTH)
    assert [item.verdict for item in bench.heard.decided_on] == ["compound"]
    assert "".join(bench.heard.deltas) == reply.text
    assert len(bench.heard.deltas) > 2


async def test_a_request_that_the_router_takes_as_one_stays_whole() -> None:
    bench = Bench(Router(remind=routed("timers", "create")), Experts(timers=timer))
    reply = await bench.ask("remind me to buy bread and butter")
    assert (reply.parts, bench.router.asked) == ((), ["remind me to buy bread and butter"])
    assert len(bench.experts.queries) == 1


async def test_parts_that_belong_together_are_routed_again_as_one() -> None:
    """Two neighbours for the titan stay together: half a question is none."""
    bench = Bench(
        Router(timer=routed("timers", "create", 0.99)),
        Experts(timers=timer),
        Titan(Answer("They traded.", Structured({}))),
    )
    text = "set a timer for 5 minutes. Explain the Hanseatic League. Describe the city of Luebeck."
    reply = await bench.ask(text)
    assert [part.expert for part in reply.parts] == ["timers", "titan"]
    together = reply.parts[1].routed.instruction
    assert "Hanseatic" in together
    assert "Luebeck" in together
    assert bench.router.asked[-1] == together


async def test_a_later_part_sees_what_came_before_it() -> None:
    bench = Bench(
        Router(summarise=routed("text", "summarise"), translate=routed("words", "translate")),
        Experts(text=lambda query: Answer("Short.", Structured({})), words=lambda query: Answer("x", Structured({}))),
    )
    document = Document("A long story.")
    await bench.ask("summarise this and then translate it", document=document, session="s")
    (_, first), (_, second) = bench.experts.queries
    assert (first.earlier, first.reference, first.antecedent) == ((), "", -1)
    assert second.earlier == (Earlier("summarise this", "text", "summarise", Answer("Short.", Structured({}))),)
    assert (second.reference, second.antecedent) == ("it", 0)
    assert first.document is second.document is document
    assert first.session == second.session == "s"


async def test_the_titan_reads_what_came_before_its_part() -> None:
    titan = Titan(Answer("It is Lima.", Structured({})))
    bench = a_bench(titan)
    bench.router.decisions = {"timer": routed("timers", "create", 0.99)}
    reply = await bench.ask("set a timer for 5 minutes. Explain the Hanseatic League.")
    assert reply.parts[1].expert == "titan"
    (query,) = titan.queries
    for told in ("set a timer for 5 minutes", "Timer set for 10 minutes.", "Explain the Hanseatic League"):
        assert told in query.text


def test_a_query_that_stands_alone_is_told_as_it_is() -> None:
    query = Query("double it", NOW, ZoneInfo("UTC"))
    assert in_context(query) is query


def test_what_a_word_points_back_to_is_named() -> None:
    parts = (
        Earlier("what is 18% of 2450", "calculator", "compute", Answer("441", Structured({}))),
        Earlier("call Ana", "phone", "call", None),
    )
    query = Query("double it", NOW, ZoneInfo("UTC"), earlier=parts, reference="it", antecedent=0)
    told = in_context(query).text
    assert '"it" points back to part 1' in told
    assert "Answer: 441" in told
    assert "Answer: none" in told


async def test_every_part_leaves_a_trace_and_so_does_the_whole() -> None:
    bench = a_bench()
    reply = await bench.ask(BOTH, session="s", app="a")
    by_id = {trace.id: trace for trace in bench.traces}
    assert len(by_id) == 3
    whole = by_id[reply.trace_id]
    assert (whole.verdict, whole.outcome, whole.expert, whole.answered_by) == ("compound", "answered", "", "")
    for part, expert in zip(reply.parts, ("timers", "calculator"), strict=True):
        trace = by_id[part.trace_id]
        assert (trace.verdict, trace.expert, trace.answered_by, trace.version) == ("routed", expert, expert, 3)
        assert (trace.session, trace.app, trace.text) == ("s", "a", part.routed.instruction)
        assert reply.trace_id in trace.reason


async def test_times_add_up() -> None:
    reply = await a_bench().ask(BOTH)
    assert reply.answer_s == pytest.approx(sum(part.answer_s for part in reply.parts))
    assert reply.routed.took_s >= sum(part.routed.took_s for part in reply.parts)
    assert reply.total_s >= sum(part.total_s for part in reply.parts)


# --- A part that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "outcomes"),
    [({"timers": too_late}, ["failed", "answered"]), ({"calculator": too_late}, ["answered", "failed"])],
)
async def test_a_part_that_fails_leaves_the_others_alone(answers: dict[str, Any], outcomes: list[str]) -> None:
    bench = a_bench(**answers)
    reply = await bench.ask(BOTH)
    assert [part.outcome for part in reply.parts] == outcomes
    assert reply.outcome == "answered"
    failed = reply.parts[outcomes.index("failed")]
    assert failed.reason == "TIME_IN_PAST"
    assert "that time has passed" in failed.text
    assert reply.text.splitlines()[outcomes.index("failed")] == failed.text
    assert {trace.outcome for trace in bench.traces} == {"answered", "invalid_argument"}
    message = answer_message(reply)
    assert message.parts[outcomes.index("failed")].outcome == pb.Answer.OUTCOME_FAILED
    assert json_format.Parse(json_format.MessageToJson(message), pb.Answer()) == message


async def test_a_part_for_a_titan_that_is_not_there_fails_alone() -> None:
    bench = a_bench()
    bench.router.decisions = {"timer": routed("timers", "create", 0.99)}
    reply = await bench.ask("set a timer for 5 minutes. Explain the Hanseatic League.")
    assert [(part.outcome, part.reason) for part in reply.parts] == [("answered", ""), ("failed", "TITAN_NO_KEY")]
    assert "OPENAI_API_KEY" in reply.text.splitlines()[1]
    assert reply.parts[1].expert == "titan"


async def test_a_later_part_knows_that_the_one_before_it_failed() -> None:
    bench = a_bench(timers=too_late)
    await bench.ask(BOTH)
    assert bench.experts.queries[1][1].earlier[0].answer is None


async def test_where_every_part_fails_so_does_the_call() -> None:
    bench = a_bench(timers=too_late, calculator=too_late)
    with pytest.raises(QueryError) as caught:
        await bench.ask(BOTH)
    assert caught.value.reason == "TIME_IN_PAST"
    assert str(caught.value).count("that time has passed") == 2
    assert [trace.outcome for trace in bench.traces] == ["invalid_argument"] * 3


async def test_where_parts_fail_for_different_reasons_the_request_is_not_at_fault() -> None:
    def gone(query: Query) -> Outcome:
        raise UnavailableError("its worker died", reason="WORKER_DIED", retryable=True)

    bench = a_bench(timers=too_late, calculator=gone)
    with pytest.raises(UnavailableError) as caught:
        await bench.ask(BOTH)
    assert (caught.value.reason, caught.value.retryable) == ("WORKER_DIED", False)


async def test_a_bug_in_a_part_is_not_told_as_an_answer() -> None:
    def broken(query: Query) -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await a_bench(calculator=broken).ask(BOTH)


async def test_the_call_asks_back_only_if_every_answer_does() -> None:
    def which(query: Query) -> Outcome:
        return Abstention("For when?", "needs_input")

    assert (await a_bench(timers=which, calculator=which).ask(BOTH)).outcome == "clarify"
    assert (await a_bench(timers=which).ask(BOTH)).outcome == "answered"
    assert (await a_bench(timers=which, calculator=too_late).ask(BOTH)).outcome == "clarify"


async def test_a_part_that_two_experts_claim_asks_back_and_the_other_is_answered() -> None:
    bench = a_bench()
    bench.router.decisions["timer"] = CLOSE
    reply = await bench.ask(BOTH)
    assert [part.outcome for part in reply.parts] == ["clarify", "answered"]
    assert reply.text.splitlines()[0].startswith("Did you mean timers")


async def test_what_a_part_told_before_it_broke_off_is_told_anew() -> None:
    bench = a_bench()

    async def breaks(name: str, query: Query, emit: Any) -> Outcome:
        await emit("Timer s")
        raise UnavailableError("its worker died", reason="WORKER_DIED", retryable=True)

    bench.experts._answer = breaks  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        await bench.ask(BOTH)
    assert "".join(bench.heard.deltas).startswith('Timer s\n"set a timer for 10 minutes" was not answered')


async def test_parts_count_as_one_request_in_flight() -> None:
    bench = a_bench()
    release = asyncio.Event()

    async def waits(name: str, query: Query, emit: Any) -> Outcome:
        await release.wait()
        return sum_of(query)

    bench.experts._answer = waits  # type: ignore[method-assign]
    first = asyncio.create_task(bench.ask(BOTH))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await bench.ask(BOTH)
    release.set()
    assert (await first).outcome == "answered"
    await asyncio.wait_for(bench.engine.drained(), 1)


# --- What is never taken apart ---------------------------------------------------------------------------------------


async def test_what_is_about_a_text_of_its_own_stays_whole() -> None:
    bench = Bench(Router(spam=routed("spam", "check")), Experts(spam=sum_of))
    reply = await bench.ask("is this spam: set a timer for 10 minutes and tell me what 18% of 2450 is")
    assert reply.parts == ()
    assert bench.router.asked == ["is this spam"]


# --- Another language ------------------------------------------------------------------------------------------------


async def test_a_request_in_another_language_is_the_titans_and_says_so() -> None:
    titan = Titan(Answer("Berlin.", Structured({})))
    bench = Bench(Router(Hauptstadt=GERMAN), Experts(), titan)
    reply = await bench.ask("Was ist die Hauptstadt von Deutschland, und also dann auch von Peru?")
    assert (reply.expert, reply.parts) == ("titan", ())
    message = decision_message(reply.routed)
    assert (message.language, message.verdict) == ("de", pb.Decision.VERDICT_TITAN)
    assert message.reason == "written in German; the experts here speak English"
    assert bench.traces[0].reason == "language de"
    assert len(bench.router.asked) == 1


@pytest.mark.parametrize(("local_only", "reason"), [(False, "TITAN_NO_KEY"), (True, "LOCAL_ONLY")])
async def test_without_a_titan_the_error_names_the_language_and_what_is_served(local_only: bool, reason: str) -> None:
    bench = Bench(Router(Hauptstadt=GERMAN), Experts())
    with pytest.raises(UnavailableError) as caught:
        await bench.ask("Was ist die Hauptstadt von Deutschland?", local_only=local_only)
    assert caught.value.reason == reason
    assert "written in German; the experts here speak English" in str(caught.value)


# --- Explanations ----------------------------------------------------------------------------------------------------


def explained(decision: Decision, **changes: Any) -> Explanation:
    candidates = tuple(
        Alternative(expert, intent, confidence)
        for expert, intent, confidence in (
            ("timers", "create", 0.91),
            ("timers", "list", 0.03),
            ("clock", "time", 0.02),
            ("clock", "date", 0.01),
            ("spam", "check", 0.005),
        )
    )
    fields: dict[str, Any] = {
        "decision": decision,
        "tiers": (
            TierReport("exact", True, False, 0.0, 1.0, 0.0, (), "never seen"),
            TierReport("static", True, False, 0.6, 0.9, 0.8, candidates[2:4], "not sure enough"),
            TierReport("encoder", True, True, 0.91, 0.2, 0.97, candidates, "sure enough"),
        ),
        "neighbours": (Neighbour("timers", "create", "start a timer", 0.83),),
        "signals": (Signal("energy of the experts", 4.2, 3.1),),
        "in_scope": 0.97,
        "least_in_scope": 0.2,
        "rival": 0.03,
        "clarify_from": 0.25,
        "language": "en",
        "language_probability": 0.99,
        "english": 0.99,
    }
    return Explanation(**(fields | changes))


def test_every_other_expert_is_told_once_with_what_it_lacked() -> None:
    found = others(explained(routed("timers", "create", 0.91)))
    assert [(item.expert, item.intent) for item, _ in found] == [("clock", "time"), ("spam", "check")]
    assert found[0][1] == "2 % against 91 %; asking back needs 25 % among experts"


def test_where_the_titan_is_asked_the_closest_expert_is_told_too() -> None:
    nearest = Decision("titan", "timers", "create", 0.1, "encoder", (), "no expert fits")
    found = others(explained(nearest, in_scope=0.15))
    assert (found[0][0].expert, found[0][1]) == ("timers", "no expert fits: 15 % in scope, 20 % needed")


def test_what_is_nearly_nothing_is_not_told_as_nothing() -> None:
    candidates = (Alternative("timers", "create", 0.999), Alternative("spam", "check", 0.0001))
    tiers = (TierReport("encoder", True, True, 0.999, 0.2, 1.0, candidates, ""),)
    ((_, why),) = others(explained(routed("timers", "create", 0.999), tiers=tiers))
    assert why.startswith("under 1 % against over 99 %")


def test_the_tier_that_answered_is_the_one_whose_candidates_count() -> None:
    tiers = explained(NOBODY).tiers
    static = TierReport("static", True, True, 0.95, 0.9, 0.99, tiers[1].candidates, "sure")
    made = explained(routed("clock", "time", 0.95), tiers=(tiers[0], static))
    assert others(made) == []


@pytest.mark.parametrize(
    ("decision", "changes", "why"),
    [
        (NOBODY, {"in_scope": 0.05}, "no expert fits: 5 % in scope, 20 % needed"),
        (GERMAN, {}, "written in German"),
        (CLOSE, {}, "close to timers: the caller is asked back"),
    ],
)
def test_why_not_says_what_decided(decision: Decision, changes: dict[str, Any], why: str) -> None:
    found = {item.expert: told for item, told in others(explained(decision, **changes))}
    assert why in found["timers" if decision.expert != "timers" else "clock"]


def test_an_explanation_survives_the_wire_and_json() -> None:
    message = explanation("set a timer", explained(routed("timers", "create", 0.91)))
    assert [item.asked for item in message.tiers] == [True] * 3
    assert message.neighbours[0].sentence == "start a timer"
    assert message.signals[0].weight == 3.1
    assert message.language.code == "en"
    assert json_format.Parse(json_format.MessageToJson(message), pb.Explanation()) == message
    assert pb.Explanation.FromString(message.SerializeToString()) == message


async def test_an_explanation_covers_the_whole_and_every_part_and_has_no_effect() -> None:
    bench = a_bench()
    found, explanations = await bench.engine.explain(request(BOTH))
    assert [step.part.text for step in found.parts] == ["set a timer for 10 minutes", "tell me what 18% of 2450 is"]
    assert set(explanations) == {BOTH, *(step.part.text for step in found.parts)}
    assert (bench.experts.queries, bench.traces) == ([], [])


async def test_a_text_that_is_empty_is_neither_routed_nor_explained() -> None:
    for call in (a_bench().engine.route, a_bench().engine.explain):
        with pytest.raises(ExpertError):
            await call(request("  "))
