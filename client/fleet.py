"""The operator's verbs of the client: which experts there are, what they hold, and how to change that.

It knows the contract and no terminal.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from expertd.v1 import fleet_pb2 as fleet

from .client import checked_text, cut_short
from .errors import FailedPreconditionError, InputError
from .wire import Wire

CHUNK_BYTES = 256 * 1024
# Loading a model, checking a hash or retrying a download may be silent for a while, but not for this long.
PATIENCE_S = 120.0


class Fleet:
    """The operator's verbs: which experts there are, and how to change that. From `Client.fleet`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self) -> Sequence[fleet.Expert]:
        return self.overview().experts

    def overview(self) -> fleet.ListExpertsResponse:
        """Every expert, and what they take in memory beside what they may."""
        return self._wire.unary(self._wire.fleet.ListExperts, fleet.ListExpertsRequest())

    def get(self, name: str) -> fleet.GetExpertResponse:
        """The expert and its card, in Markdown."""
        return self._wire.unary(self._wire.fleet.GetExpert, fleet.GetExpertRequest(name=name))

    def install(
        self, folder: Path | str, on_step: Callable[[fleet.InstallResponse], None] | None = None
    ) -> fleet.InstallResponse:
        """Uploads a bundle and waits until it serves, or is on trial (SHADOW, CANARY); gives the last step.

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
        """Serves a version that is in the store; one that is on trial is accepted by it."""
        request = fleet.PromoteRequest(name=name, version=version)
        return self._wire.unary(self._wire.fleet.Promote, request, PATIENCE_S).expert

    def rollback(self, name: str) -> fleet.Expert:
        """Gives up the version that is on trial; where none is, serves the version that served before this one."""
        return self._wire.unary(self._wire.fleet.Rollback, fleet.RollbackRequest(name=name), PATIENCE_S).expert

    def pin(self, name: str, pinned: bool = True) -> fleet.Expert:
        """A pinned expert is never unloaded to make room."""
        return self._wire.unary(self._wire.fleet.Pin, fleet.PinRequest(name=name, pinned=pinned)).expert

    def set_policy(self, name: str, policy: fleet.Policy | None) -> fleet.Expert:
        """How new versions of it come to serve. None: as when nobody had decided anything."""
        return self._wire.unary(self._wire.fleet.SetPolicy, fleet.SetPolicyRequest(name=name, policy=policy)).expert

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
