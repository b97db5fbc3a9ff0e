"""The log: text for people on a terminal, one JSON object per line for everything else.

Requests' own words never get into it. Fields that would carry them are left out, and of an error only its type and
where it rose are written, since its message may quote what somebody said; at level "debug" the message too.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

# What every record has; anything else was given by `extra` and is a field of the event.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What a request carries, by the names that this program has for it.
_WORDS = frozenset({"text", "payload", "document", "prompt", "correction", "instruction"})
_OURS = "expertd"


def set_up_logging(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:  # noqa: A002
    """Sends all logging to the stream; repeated calls replace one another.

    level: "debug", "info", "warning" or "error", for this program; libraries are heard from "warning" on. format:
    "text", "json", or "auto": text on a terminal. stream: None means standard error.
    """
    stream = sys.stderr if stream is None else stream
    as_text = format == "text" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    with_messages = level == "debug"
    handler.setFormatter(TextFormatter(with_messages) if as_text else JsonFormatter(with_messages))
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    # `python -m` runs a module under the name __main__.
    for name in (_OURS, "__main__"):
        logging.getLogger(name).setLevel(level.upper())
    # A log that cannot be written (a closed pipe) is no reason to fail, nor to print why.
    logging.raiseExceptions = False
    logging.captureWarnings(True)


class TextFormatter(logging.Formatter):
    """`10:23:01 warning fleet: spam 3 failed`, the error below it."""

    def __init__(self, with_messages: bool = False) -> None:
        super().__init__()
        self._with_messages = with_messages

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created)
        name = record.name.removeprefix(f"{_OURS}.").rpartition(".")[2]
        fields = "".join(f" {key}={value}" for key, value in _fields(record))
        lines = [f"{moment:%H:%M:%S} {record.levelname.lower():<7} {name}: {record.getMessage()}{fields}"]
        lines += [f"    {line}" for line in _error(record, self._with_messages)]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One object: time, level, logger, pid, message, the event's fields, and error, a list of lines."""

    def __init__(self, with_messages: bool = False) -> None:
        super().__init__()
        self._with_messages = with_messages

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        event |= {key: value for key, value in _fields(record) if key not in event}
        if error := list(_error(record, self._with_messages)):
            event["error"] = error
        return json.dumps(event, ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    for key, value in vars(record).items():
        if key not in _STANDARD and key not in _WORDS:
            yield key, value


def _error(record: logging.LogRecord, with_message: bool) -> Iterator[str]:
    """What rose and where, innermost last; then what it rose from."""
    error = record.exc_info[1] if record.exc_info else None
    heading = ""
    while error is not None:
        yield heading + type(error).__qualname__ + (f": {error}" if with_message else "")
        for frame in traceback.extract_tb(error.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        heading = "from "
