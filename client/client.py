"""The daemon, as an app calls it: few verbs, blocking, safe to share between threads.

It knows the contract and no terminal. `aio` has the same verbs for coroutines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from expertd.v1 import assistant_pb2 as assistant

from .errors import InputError, UnavailableError
from .series import series_message
from .wire import Wire, default_socket

if TYPE_CHECKING:
    from .fleet import Fleet

MAX_DOCUMENT_CHARACTERS = 1_000_000


class About(TypedDict, total=False):
    """What may go with a request.

    series: evenly spaced numbers, oldest first, NaN for a gap. document: the text itself, or the path of a UTF-8 file;
    several for an expert that looks through them. schema: JSON Schema that the answer has to keep, JSON or a mapping.
    session: requests of one conversation share it. time_zone: IANA name; locale: BCP 47; without them, the machine's.
    local_only: this request never leaves the machine. priority: "background" where nobody waits for the answer; without
    it requests are interactive, and go first.
    """

    series: assistant.Series | Iterable[float]
    document: assistant.Document | str | Path | Sequence[assistant.Document | str | Path]
    schema: str | Mapping[str, Any]
    session: str
    time_zone: str
    locale: str
    local_only: bool
    priority: Literal["interactive", "background"]


class Client:
    """A connection to the daemon; it opens with the first call.

    socket: where the daemon listens; None: `default_socket()`. timeout_s: for each call but `events` and `watch`.
    app: name of the calling program, kept with its requests.

    Every method raises ExpertdError; `errors` draws the tree.
    """

    def __init__(self, socket: Path | str | None = None, timeout_s: float = 30.0, *, app: str = "") -> None:
        self._wire = Wire(default_socket() if socket is None else Path(socket), timeout_s)
        self._app = app

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it the calls under way. Later calls are refused."""
        self._wire.close()

    @property
    def socket(self) -> Path:
        return self._wire.socket

    @cached_property
    def fleet(self) -> Fleet:
        """The operator's verbs."""
        # An app that asks needs none of them.
        from .fleet import Fleet

        return Fleet(self._wire)

    def ask(
        self,
        text: str = "",
        *,
        on_delta: Callable[[str], None] | None = None,
        timeout_s: float | None = None,
        **about: Unpack[About],
    ) -> assistant.Answer:
        """The answer of whoever fits best. on_delta: gets pieces of text while the answer is being made."""
        if on_delta is None:
            request = ask_request(text, self._app, about)
            return self._wire.unary(self._wire.assistant.Ask, request, timeout_s).answer
        answer = assistant.Answer()
        # To the end, beyond the answer: leaving early would call off what the daemon still has to note down.
        for part in self.stream(text, timeout_s=timeout_s, **about):
            if isinstance(part, str):
                on_delta(part)
            elif isinstance(part, assistant.Answer):
                answer = part
        return answer

    def stream(
        self, text: str = "", *, timeout_s: float | None = None, **about: Unpack[About]
    ) -> Iterator[assistant.Decision | str | assistant.Answer]:
        """The decision first, then pieces of text, then the whole answer. Leaving the iterator calls the work off."""
        parts = self._wire.stream(
            self._wire.assistant.AskStream,
            ask_request(text, self._app, about),
            timeout_s=self._wire.timeout_s if timeout_s is None else timeout_s,
        )
        return _parts_of(parts)

    def invoke(
        self,
        expert: str,
        text: str = "",
        *,
        intent: str = "",
        timeout_s: float | None = None,
        **about: Unpack[About],
    ) -> assistant.Answer:
        """The answer of a named expert, without routing."""
        request = invoke_request(expert, text, intent, self._app, about)
        return self._wire.unary(self._wire.assistant.Invoke, request, timeout_s).answer

    def route(self, text: str) -> assistant.Decision:
        """Who would answer, and why. Nothing takes effect."""
        request = assistant.RouteRequest(text=checked_text(text))
        return self._wire.unary(self._wire.assistant.Route, request).decision

    def explain(self, text: str) -> assistant.RouteResponse:
        """The same, with all that the decision rests on. A daemon that is too old for it leaves the explanation out."""
        request = assistant.RouteRequest(text=checked_text(text), explain=True)
        return self._wire.unary(self._wire.assistant.Route, request)

    def events(self) -> Iterator[assistant.EventsResponse]:
        """What happens from now on. `subscribed` comes first: from there on nothing is missed."""
        return self._wire.stream(self._wire.assistant.Events, assistant.EventsRequest(), first_s=self._wire.timeout_s)

    def feedback(self, trace_id: str, good: bool, correction: str = "") -> None:
        """A verdict on an earlier answer. correction: the answer or the expert that would have been right."""
        self._wire.unary(self._wire.assistant.Feedback, feedback_request(trace_id, good, correction))

    def echo(self) -> None:
        """Does nothing but go there and back."""
        self._wire.unary(self._wire.assistant.Echo, assistant.EchoRequest())


# --- What is sent (shared with `aio`) --------------------------------------------------------------------------------


def ask_request(text: str, app: str, about: About) -> assistant.AskRequest:
    """Raises: InputError."""
    return assistant.AskRequest(input=_input(text, about), context=_context(app, about))


def invoke_request(expert: str, text: str, intent: str, app: str, about: About) -> assistant.InvokeRequest:
    """Raises: InputError."""
    return assistant.InvokeRequest(
        expert=expert, input=_input(text, about), context=_context(app, about), intent=intent
    )


def feedback_request(trace_id: str, good: bool, correction: str) -> assistant.FeedbackRequest:
    verdict = assistant.FeedbackRequest.VERDICT_GOOD if good else assistant.FeedbackRequest.VERDICT_BAD
    return assistant.FeedbackRequest(trace_id=trace_id, verdict=verdict, correction=checked_text(correction))


def cut_short() -> UnavailableError:
    return UnavailableError("the daemon ended the call before it had answered; try again", reason="CUT_SHORT")


def checked_text(text: str, what: str = "the text") -> str:
    """Raises: InputError when it cannot be written as UTF-8, the encoding of the wire."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} is not valid UTF-8 at character {error.start}", reason="NOT_UTF8") from None
    return text


def part_of(message: assistant.AskStreamResponse) -> assistant.Decision | str | assistant.Answer:
    if message.HasField("answer"):
        return message.answer
    return message.decision if message.HasField("decision") else message.delta


def _parts_of(
    messages: Iterator[assistant.AskStreamResponse],
) -> Iterator[assistant.Decision | str | assistant.Answer]:
    answered = False
    for message in messages:
        part = part_of(message)
        yield part
        answered = isinstance(part, assistant.Answer)
    if not answered:
        raise cut_short()


def _input(text: str, about: About) -> assistant.Input:
    series, given = about.get("series"), about.get("document", ())
    documents = [given] if isinstance(given, assistant.Document | str | Path) else given
    messages = [document_message(document) for document in documents]
    return assistant.Input(
        text=checked_text(text),
        series=None if series is None else series_message(series),
        document=messages[0] if messages else None,
        further_documents=messages[1:],
        schema=_schema(about.get("schema", "")),
    )


def _schema(schema: str | Mapping[str, Any]) -> str:
    """Raises: InputError."""
    try:
        return checked_text(schema if isinstance(schema, str) else json.dumps(schema), "the schema")
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the schema is no JSON: {error}; give mappings, lists, strings and numbers") from None


def _context(app: str, about: About) -> assistant.Context:
    return assistant.Context(
        app=app,
        session=about.get("session", ""),
        time_zone=about.get("time_zone", ""),
        locale=about.get("locale", ""),
        local_only=about.get("local_only", False),
        priority=_priority(about.get("priority")),
    )


def _priority(name: str | None) -> assistant.Context.Priority:
    """Raises: InputError."""
    match name:
        case None:
            return assistant.Context.PRIORITY_UNSPECIFIED
        case "interactive":
            return assistant.Context.PRIORITY_INTERACTIVE
        case "background":
            return assistant.Context.PRIORITY_BACKGROUND
    raise InputError(f'priority {name!r}: must be "interactive" or "background"')


def document_message(document: assistant.Document | str | Path) -> assistant.Document:
    """Raises: InputError when it is not UTF-8 text, or too long."""
    if isinstance(document, assistant.Document):
        return document
    if isinstance(document, str):
        return document_from_bytes(checked_text(document, "the document").encode(), "")
    try:
        with document.open("rb") as file:
            # No character takes more than four bytes: what is longer is refused unread.
            return document_from_bytes(file.read(4 * MAX_DOCUMENT_CHARACTERS + 1), document.name)
    except OSError as error:
        raise InputError(f"{document} cannot be read: {error.strerror}") from None


def document_from_bytes(data: bytes, name: str) -> assistant.Document:
    """Raises: InputError when it is not UTF-8 text, or too long."""
    label = name or "the document"
    if len(data) > 4 * MAX_DOCUMENT_CHARACTERS:
        raise InputError(f"{label} is longer than {MAX_DOCUMENT_CHARACTERS:,} characters; give a part of it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{label} is not UTF-8 text at byte {error.start}; only plain text is read: convert it first",
            reason="NOT_UTF8",
        ) from None
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise InputError(f"{label} has {len(text):,} characters; at most {MAX_DOCUMENT_CHARACTERS:,} are read")
    markdown = name.lower().endswith((".md", ".markdown"))
    return assistant.Document(name=name, media_type="text/markdown" if markdown else "text/plain", text=text)
