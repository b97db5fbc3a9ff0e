"""The log: for people on a terminal, for programs elsewhere, and never with a request's words."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from expertd.daemon.logs import set_up_logging

SECRET = "call aunt Philomena"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("expertd")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    yield
    root.handlers[:], level, our_level, logging.raiseExceptions = before
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.captureWarnings(False)


def failed() -> Exception:
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise RuntimeError(f"no number: {SECRET}") from error
    except RuntimeError as error:
        return error


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_programs_get_one_object_per_line() -> None:
    stream = io.StringIO()
    set_up_logging("info", "auto", stream)
    log = logging.getLogger("expertd.experts.fleet")
    log.info("%s %d: %s", "spam", 3, "SERVING\nsince now", extra={"expert": "spam"})
    log.error("broken", exc_info=failed())
    first, second = events(stream)
    assert first["message"] == "spam 3: SERVING\nsince now"
    assert (first["level"], first["logger"], first["expert"]) == ("info", "expertd.experts.fleet", "spam")
    assert second["error"][0] == "RuntimeError"
    assert any("from ValueError" in line for line in second["error"])
    assert any("in failed" in line for line in second["error"])


def test_people_get_lines_to_read() -> None:
    stream = Terminal()
    set_up_logging("info", "auto", stream)
    logging.getLogger("expertd.experts.fleet").warning("spam %d failed", 3, extra={"expert": "spam"})
    assert stream.getvalue()[8:] == " warning fleet: spam 3 failed expert=spam\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_requests_words_do_not_get_into_the_log(stream: io.StringIO) -> None:
    set_up_logging("info", "auto", stream)
    extra = {"text": SECRET, "payload": SECRET, "document": SECRET}
    logging.getLogger("expertd.daemon.status").error("failed", extra=extra, exc_info=failed())
    assert "Philomena" not in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()


def test_at_level_debug_errors_say_more() -> None:
    stream = io.StringIO()
    set_up_logging("debug", "text", stream)
    logging.getLogger("expertd.daemon.status").error("failed", exc_info=failed())
    assert "RuntimeError: no number" in stream.getvalue()


def test_libraries_are_heard_only_when_something_is_wrong() -> None:
    stream = io.StringIO()
    set_up_logging("debug", "json", stream)
    for name in ("apscheduler.scheduler", "expertd.daemon.main"):
        logging.getLogger(name).info("said by %s", name)
        logging.getLogger(name).warning("warned by %s", name)
    assert [event["message"] for event in events(stream)] == [
        "warned by apscheduler.scheduler",
        "said by expertd.daemon.main",
        "warned by expertd.daemon.main",
    ]


def test_setting_up_again_replaces_what_was() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up_logging("info", "json", first)
    set_up_logging("error", "json", second)
    logging.getLogger("expertd").warning("quiet")
    logging.getLogger("expertd").error("loud")
    assert first.getvalue() == ""
    assert [event["message"] for event in events(second)] == ["loud"]


def test_a_log_that_cannot_be_written_is_no_reason_to_fail(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    stream.close()
    logging.getLogger("expertd").error("unheard")
    assert capsys.readouterr().err == ""
