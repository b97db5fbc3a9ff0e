"""The daemon, as an app calls it: few verbs, blocking, safe to share between threads.

It knows the contract and no terminal. `aio` has the same verbs for coroutines.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack

from expertd.v1 import assistant_pb2 as assistant
from expertd.v1 import fleet_pb2 as fleet

from .errors import FailedPreconditionError, InputError, UnavailableError
from .series import series_message
from .wire import Wire, default_socket

CHUNK_BYTES = 256 * 1024
MAX_DOCUMENT_CHARACTERS = 1_000_000
# Loading a model, checking a hash or retrying a download may be silent for a while, but not for this long.
PATIENCE_S = 120.0


class About(TypedDict, total=False):
    """What may go with a request.

    series: evenly spaced numbers, oldest first, NaN for a gap. document: the text itself, or the path of a UTF-8 file.
    session: requests of one conversation share it. time_zone: IANA name; locale: BCP 47; without them, the machine's.
    local_only: this request never leaves the machine.
    """

    series: assistant.Series | Iterable[float]
    document: assistant.Document | str | Path
    session: str
    time_zone: str
    locale: str
    local_only: bool


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


class Fleet:
    """The operator's verbs: which experts there are, and how to change that. From `Client.fleet`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self) -> Sequence[fleet.Expert]:
        return self._wire.unary(self._wire.fleet.ListExperts, fleet.ListExpertsRequest()).experts

    def get(self, name: str) -> fleet.GetExpertResponse:
        """The expert and its card, in Markdown."""
        return self._wire.unary(self._wire.fleet.GetExpert, fleet.GetExpertRequest(name=name))

    def install(
        self, folder: Path | str, on_step: Callable[[fleet.InstallResponse], None] | None = None
    ) -> fleet.InstallResponse:
        """Uploads a bundle and waits until it serves; gives the last step.

        Raises: InputError when the folder is not a bundle; FailedPreconditionError when the bundle failed its
        examination, and the version before it goes on serving.
        """
        parts = _bundle_parts(Path(folder))
        last: fleet.InstallResponse | None = None
        for step in self._wire.exchange(self._wire.fleet.Install, parts, patience_s=PATIENCE_S):
            last = step
            if on_step is not None:
                on_step(step)
        if last is None:
            raise cut_short()
        if last.state == fleet.STATE_FAILED:
            raise FailedPreconditionError(last.message or f"{last.expert} {last.version} failed", reason="FAILED")
        return last

    def promote(self, name: str, version: int) -> fleet.Expert:
        """Serves a version that is in the store."""
        request = fleet.PromoteRequest(name=name, version=version)
        return self._wire.unary(self._wire.fleet.Promote, request, PATIENCE_S).expert

    def rollback(self, name: str) -> fleet.Expert:
        """Serves the version that served before this one."""
        return self._wire.unary(self._wire.fleet.Rollback, fleet.RollbackRequest(name=name), PATIENCE_S).expert

    def pin(self, name: str, pinned: bool = True) -> fleet.Expert:
        """A pinned expert is never unloaded to make room."""
        return self._wire.unary(self._wire.fleet.Pin, fleet.PinRequest(name=name, pinned=pinned)).expert

    def unload(self, name: str) -> fleet.Expert:
        """Frees its memory; the next request for it loads it again."""
        return self._wire.unary(self._wire.fleet.Unload, fleet.UnloadRequest(name=name)).expert

    def remove(self, name: str) -> None:
        """Stops serving it and deletes it from the store."""
        self._wire.unary(self._wire.fleet.Remove, fleet.RemoveRequest(name=name))

    def intents(self, expert: str) -> Sequence[fleet.Intent]:
        """What the expert is asked for, and what was changed of that here."""
        return self._wire.unary(self._wire.fleet.ListIntents, fleet.ListIntentsRequest(expert=expert)).intents

    def put_intent(
        self, expert: str, intent: str, sentences: Iterable[str], *, append: bool = False
    ) -> fleet.PutIntentResponse:
        """Has requests like these sentences go to the expert's intent, a new one if it has none of the name.

        append: beside the sentences that it has, else instead of them. When this returns, requests see it.
        """
        checked = [checked_text(sentence, f"sentence {number}") for number, sentence in enumerate(sentences, 1)]
        request = fleet.PutIntentRequest(
            expert=checked_text(expert), intent=checked_text(intent), sentences=checked, append=append
        )
        return self._wire.unary(self._wire.fleet.PutIntent, request)

    def remove_intent(self, expert: str, intent: str) -> int:
        """Takes the intent away; gives the number of the first view without it."""
        request = fleet.RemoveIntentRequest(expert=expert, intent=intent)
        return self._wire.unary(self._wire.fleet.RemoveIntent, request).view

    def reset_intents(self, expert: str, intent: str = "") -> int:
        """Brings back what the bundle says. intent: "": all of the expert's."""
        request = fleet.ResetIntentsRequest(expert=expert, intent=intent)
        return self._wire.unary(self._wire.fleet.ResetIntents, request).view

    def watch(self) -> Iterator[fleet.WatchResponse]:
        """Every expert as it is now, then each change."""
        return self._wire.stream(self._wire.fleet.Watch, fleet.WatchRequest())

    def models(self) -> Sequence[fleet.Model]:
        """The large text models that experts of kind gguf are built on."""
        return self._wire.unary(self._wire.fleet.ListModels, fleet.ListModelsRequest()).models

    def pull(self, name: str, on_progress: Callable[[fleet.PullModelResponse], None] | None = None) -> fleet.Model:
        """Downloads a model that an installed bundle names. What an interrupted pull left is used by the next."""
        last: fleet.PullModelResponse | None = None
        request = fleet.PullModelRequest(name=name)
        for last in self._wire.stream(self._wire.fleet.PullModel, request, patience_s=PATIENCE_S):
            if on_progress is not None:
                on_progress(last)
        if last is None:
            raise cut_short()
        return last.model

    def adopt(
        self, file: Path | str, name: str = "", on_progress: Callable[[int, int], None] | None = None
    ) -> fleet.Model:
        """Gives the daemon a GGUF file that is here.

        name: the model it is to be; "": found by its hash. on_progress: gets bytes sent, bytes in all, from another
        thread.
        """
        parts = _model_parts(Path(file), name, on_progress)
        return self._wire.upload(self._wire.fleet.AdoptModel, parts, patience_s=PATIENCE_S).model

    def traces(self, *, limit: int = 0, expert: str = "", trace_id: str = "") -> Sequence[fleet.Trace]:
        """Recorded requests, newest first. limit: 0 leaves it to the daemon."""
        request = fleet.ListTracesRequest(limit=limit, expert=expert, id=trace_id)
        return self._wire.unary(self._wire.fleet.ListTraces, request).traces

    def status(self) -> fleet.GetStatusResponse:
        """What the daemon finds when it examines itself."""
        return self._wire.unary(self._wire.fleet.GetStatus, fleet.GetStatusRequest())


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
    series, document = about.get("series"), about.get("document")
    return assistant.Input(
        text=checked_text(text),
        series=None if series is None else series_message(series),
        document=None if document is None else document_message(document),
    )


def _context(app: str, about: About) -> assistant.Context:
    return assistant.Context(
        app=app,
        session=about.get("session", ""),
        time_zone=about.get("time_zone", ""),
        locale=about.get("locale", ""),
        local_only=about.get("local_only", False),
    )


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


def _bundle_parts(folder: Path) -> Iterator[fleet.InstallRequest]:
    """The bundle as messages, its manifest first. What is wrong with the folder is told before anything is sent."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a bundle is a folder with an expert.toml")
    if not (folder / "expert.toml").is_file():
        raise InputError(f"{folder} holds no expert.toml: it is not a bundle")
    files = []
    for path in sorted(folder.rglob("*"), key=lambda path: (path.name != "expert.toml", path)):
        if path.is_symlink():
            raise InputError(f"{path} is a link; a bundle holds plain files alone")
        if path.is_file():
            files.append((path, path.relative_to(folder).as_posix()))
        elif not path.is_dir():
            raise InputError(f"{path} is not a plain file; a bundle holds plain files alone")
    return _file_parts(files)


def _file_parts(files: Sequence[tuple[Path, str]]) -> Iterator[fleet.InstallRequest]:
    for path, name in files:
        yield fleet.InstallRequest(file=fleet.InstallRequest.File(path=name, size_bytes=path.stat().st_size))
        for chunk in _chunks(path):
            yield fleet.InstallRequest(data=chunk)


def _model_parts(
    path: Path, name: str, on_progress: Callable[[int, int], None] | None
) -> Iterator[fleet.AdoptModelRequest]:
    try:
        # Asked first: opening a pipe would wait for its writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is not a regular file; a model is one GGUF file")
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if magic != b"GGUF":
        raise InputError(f"{path} is not a GGUF file: it does not begin with GGUF")
    return _adopt_parts(path, name, on_progress)


def _adopt_parts(
    path: Path, name: str, on_progress: Callable[[int, int], None] | None
) -> Iterator[fleet.AdoptModelRequest]:
    size, sent = path.stat().st_size, 0
    yield fleet.AdoptModelRequest(file=fleet.AdoptModelRequest.File(name=name, file_name=path.name, size_bytes=size))
    for chunk in _chunks(path):
        yield fleet.AdoptModelRequest(data=chunk)
        sent += len(chunk)
        if on_progress is not None:
            on_progress(sent, size)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
