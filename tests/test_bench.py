"""What the benches' figures rest on: requests that differ, replies that are told right from mixed, callers."""

# ruff: noqa: N802, the contract names its methods so

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from bench.callers import ECHO, Reply, answered, closed_loop, open_loop, process
from bench.live import Edit, had, mixed
from bench.sentences import sentences
from expertd.v1 import assistant_pb2 as pb
from expertd.v1 import assistant_pb2_grpc

TIDES, TIME = ("clock", "tides"), ("clock", "time")
# The tides come between views 3 and 4, and go between 7 and 9: whether view 8 has them, nobody can say.
EDITS = (Edit(TIDES, True, 3, 4), Edit(TIDES, False, 7, 9))


def reply(view: int, named: tuple[str, str], text: str = "when is high tide") -> Reply:
    return Reply(text, 0.0, 0.001, view=view, expert=named[0], intent=named[1])


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[Path]:
    """A server that routes everything to its own words, and refuses "no"."""

    class Service(assistant_pb2_grpc.AssistantServicer):
        async def Echo(self, request: pb.EchoRequest, context: Any) -> pb.EchoResponse:
            return pb.EchoResponse()

        async def Route(self, request: pb.RouteRequest, context: Any) -> pb.RouteResponse:
            if request.text == "no":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "refused")
            return pb.RouteResponse(decision=pb.Decision(expert=request.text, tier=pb.Decision.TIER_STATIC, view=7))

    server, path = grpc.aio.server(), tmp_path / "s"
    assistant_pb2_grpc.add_AssistantServicer_to_server(Service(), server)  # type: ignore[abstract]
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    yield path
    await server.stop(None)


async def run(call: Any, *arguments: Any) -> Any:
    with process() as pool:
        return await asyncio.wrap_future(pool.submit(call, *arguments))


def test_requests_differ_and_are_the_same_for_the_same_seed() -> None:
    made = sentences(3000)
    assert len({text.casefold() for text in made}) == 3000
    assert made == sentences(3000)
    assert made[:100] != sentences(100, seed=1)
    assert not any("{" in text or "}" in text or text != text.strip() for text in made)


def test_a_grammar_that_runs_dry_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.sentences.SLOTS", {"plain": "what time is it; what day is it", "odd": "well, {plain}"})
    with pytest.raises(ValueError, match="gave 4 different requests of 5"):
        sentences(5)


@pytest.mark.parametrize(
    ("view", "expected"),
    [(1, False), (3, False), (4, True), (7, True), (8, None), (9, False), (12, False)],
)
def test_an_intent_is_there_from_the_view_after_it_came_to_the_view_before_it_went(
    view: int, expected: bool | None
) -> None:
    assert had(EDITS, TIDES, view) is expected


def test_a_reply_is_mixed_when_it_names_what_its_view_did_not_have_or_overlooks_what_it_had() -> None:
    def problem(view: int, named: tuple[str, str]) -> str:
        return mixed(reply(view, named), EDITS, frozenset({TIME}), {"when is high tide": TIDES})

    assert not any(problem(view, TIDES) for view in (4, 7, 8))
    assert not any(problem(view, TIME) for view in (3, 8, 9))
    assert "did not have" in problem(3, TIDES)
    assert "did not have" in problem(9, TIDES)
    assert "yet ('clock', 'time') answered" in problem(5, TIME)
    assert "did not have" in problem(5, ("clock", "never heard of"))


async def test_many_callers_share_a_block_and_a_failure_is_a_reply(socket: Path) -> None:
    ((echoes, took), (routes, _)) = await run(closed_loop, socket, [[ECHO] * 20, ["a", "no", "b", "c"]], 3)
    assert len(echoes) == 20
    assert all(not item.failure and 0 < item.seconds <= took for item in echoes)
    assert sorted((item.text, item.expert, item.view, item.failure) for item in routes) == [
        ("a", "a", 7, ""),
        ("b", "b", 7, ""),
        ("c", "c", 7, ""),
        ("no", "", 0, "UNAVAILABLE"),
    ]
    assert answered(echoes) == echoes
    with pytest.raises(SystemExit, match="'no': UNAVAILABLE"):
        answered(routes)


async def test_in_open_loop_each_request_leaves_at_its_turn(socket: Path) -> None:
    begin = time.perf_counter() + 1
    replies = await run(open_loop, socket, ["a", "b", "c"], 50, begin)
    assert [item.text for item in replies] == ["a", "b", "c"]
    assert all(item.sent >= begin + number / 50 for number, item in enumerate(replies))
