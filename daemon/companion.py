"""The companion's process: the only one with network access. It asks the titan, and downloads models.

    python -m expertd.daemon.companion --socket PATH [--base-url URL --model NAME …]

What is not given on the command line comes from the configuration, as it is when the companion runs as a service of its
own. The API key is never given there: it is read from its file or its variable for each call, and appears in no log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, BinaryIO

import grpc
import httpx2
import openai

from expertd.experts.errors import ExpertError, QueryError, StoreError, UnavailableError
from expertd.experts.values import Answer as ExpertAnswer
from expertd.experts.values import Query, Text
from expertd.v1 import worker_pb2, worker_pb2_grpc

from . import wire
from .endpoint import NO_KEY, Endpoint
from .worker import harden, refuse, serve

log = logging.getLogger("companion")

_MARGIN_S = 0.1  # of a deadline, for the way back
_MOST_SERIES_VALUES = 500  # of a series, the newest
_PIECE_BYTES = 2**20
_REPORT_EVERY_S = 0.2
_MOST_FRUITLESS = 5  # attempts in a row
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0

Context = grpc.aio.ServicerContext[Any, Any]


# --- Asking the titan ------------------------------------------------------------------------------------------------


class TitanService(worker_pb2_grpc.WorkerServicer):
    """Answers with the large model. Calls run side by side; cancelling one closes its HTTP stream."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # The key is put in per call; the client keeps the connections.
        self._client = openai.AsyncOpenAI(
            api_key=NO_KEY, base_url=endpoint.base_url, max_retries=endpoint.max_retries, organization="", project=""
        )

    async def Answer(  # type: ignore[override]
        self, request: worker_pb2.WorkerAnswerRequest, context: Context
    ) -> None:
        try:
            query = wire.query_from_worker(request)
            answer = await self._answer(query, context)
            await context.write(wire.outcome_to_worker(answer))
        except ExpertError as error:
            await refuse(context, error)

    async def _answer(self, query: Query, context: Context) -> ExpertAnswer:
        key = self._endpoint.api_key()
        remaining_s = context.time_remaining()
        said: list[str] = []
        finish, model, prompt_tokens, generated_tokens = "", self._endpoint.model, 0, 0
        try:
            async with asyncio.timeout(None if remaining_s is None else max(0.0, remaining_s - _MARGIN_S)):
                stream = await self._client.with_options(api_key=key).chat.completions.create(
                    model=model, messages=_messages(query), stream=True, stream_options={"include_usage": True}
                )
                async with stream:
                    async for chunk in stream:
                        model = str(chunk.model or model)
                        if chunk.usage is not None:
                            prompt_tokens = int(chunk.usage.prompt_tokens)
                            generated_tokens = int(chunk.usage.completion_tokens)
                        for choice in chunk.choices:
                            if choice.delta.content:
                                said.append(choice.delta.content)
                                await context.write(worker_pb2.WorkerAnswerResponse(delta=choice.delta.content))
                            if choice.finish_reason:
                                finish = "length" if choice.finish_reason == "length" else "stop"
        except TimeoutError:
            raise UnavailableError(
                f"the titan ({self._endpoint.model}) did not finish in time; raise [titan] timeout_s or the request's "
                "deadline",
                reason="TITAN_DEADLINE",
                retryable=True,
            ) from None
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._meaning(error, key) from error
        except (ValueError, TypeError, AttributeError) as error:
            # The client checks no chunk: what is no JSON, or of another shape, comes out as one of these.
            raise UnavailableError(
                f"the titan at {self._endpoint.base_url} sent something that is not the protocol "
                f"({type(error).__name__}); correct [titan] base_url",
                reason="TITAN_REFUSED",
            ) from error
        if not finish:
            raise UnavailableError(
                f"the titan at {self._endpoint.base_url} broke off {'in mid-answer' if said else 'without a word'}",
                reason="TITAN_UNREACHABLE",
                retryable=True,
            )
        text = "".join(said)
        return ExpertAnswer(text, Text(text, finish, model, prompt_tokens, generated_tokens))

    def _meaning(self, error: Exception, key: str) -> ExpertError:
        where = f"the titan at {self._endpoint.base_url}"
        told = str(error).replace(key, "…")[:500]
        match error:
            case openai.APITimeoutError() | httpx2.TimeoutException():
                return UnavailableError(f"{where} does not answer in time", reason="TITAN_DEADLINE", retryable=True)
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return UnavailableError(
                    f"{where} refuses the API key ({told}); correct {self._endpoint.api_key_env} or [titan] "
                    "api_key_file",
                    reason="TITAN_REFUSED",
                )
            case openai.NotFoundError():
                return UnavailableError(
                    f"{where} has no model {self._endpoint.model!r}, or is no such endpoint ({told}); correct [titan] "
                    "model and base_url",
                    reason="TITAN_REFUSED",
                )
            case openai.RateLimitError():
                return UnavailableError(
                    f"{where} says that its limit or the account's quota is reached ({told}); wait, or raise it there",
                    reason="TITAN_RATE_LIMITED",
                )
            case openai.BadRequestError() | openai.UnprocessableEntityError():
                return QueryError(f"{where} cannot take this request ({told}); shorten it", reason="TITAN_BAD_REQUEST")
            case openai.APIStatusError():
                return UnavailableError(
                    f"{where} failed ({error.status_code}): {told}; try again later",
                    reason="TITAN_UNREACHABLE",
                )
            case _:
                return UnavailableError(
                    f"{where} cannot be reached ({told}); check the network and [titan] base_url",
                    reason="TITAN_UNREACHABLE",
                )


def _messages(query: Query) -> Any:
    """What the titan is told: when and where it is asked, then the request and what it is about."""
    system = (
        "You answer requests to an assistant on the user's own computer. Answer the request itself, briefly and "
        "plainly; say so when you do not know. You cannot act on the computer. "
        "What stands in square brackets with a number, such as [EMAIL-1], is a value that you are not shown; repeat it "
        "as it stands. "
        f"It is {query.now:%A, %d %B %Y, %H:%M} ({query.zone.key}); the user's language is {query.locale}."
    )
    request = [query.text] if query.text else []
    request += [f"{document.name or 'The document'}:\n\n{document.text}" for document in query.documents]
    if query.schema is not None:
        request.append(f"Answer with JSON alone that keeps this JSON Schema: {json.dumps(query.schema)}")
    if query.document is None and query.payload and query.payload not in query.text:
        request.append(query.payload)
    if query.series is not None:
        values = ", ".join(f"{value:.6g}" for value in query.series.values[-_MOST_SERIES_VALUES:])
        request.append(f"{query.series.name or 'The series'}, oldest first: {values}")
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(request)}]


# --- Downloading -----------------------------------------------------------------------------------------------------


class PullService(worker_pb2_grpc.CompanionServicer):
    """Downloads one file per call, and tells how far it is some times a second."""

    async def Pull(  # type: ignore[override]
        self, request: worker_pb2.PullRequest, context: Context
    ) -> None:
        download = Download(
            request.url,
            Path(request.path),
            sha256=request.sha256,
            size_bytes=request.size_bytes,
            stall_timeout_s=request.stall_timeout.ToTimedelta().total_seconds() or 60.0,
        )
        reported_at = float("-inf")
        try:
            async with contextlib.aclosing(download.run()) as progress:
                async for present in progress:
                    if present == request.size_bytes or time.monotonic() - reported_at > _REPORT_EVERY_S:
                        reported_at = time.monotonic()
                        await context.write(
                            worker_pb2.PullResponse(present_bytes=present, size_bytes=request.size_bytes)
                        )
        except ExpertError as error:
            await refuse(context, error)


class Download:
    """One file, of known size and hash, on its way to `path`. What is in "<path>.part" already is gone on from."""

    def __init__(self, url: str, path: Path, *, sha256: str, size_bytes: int, stall_timeout_s: float) -> None:
        self._url = url
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._stall_timeout_s = stall_timeout_s
        self._present = 0
        self._hash = hashlib.sha256()

    async def run(self) -> AsyncGenerator[int, None]:
        """Tells the bytes so far; at the end the file is at `path`, whole and checked.

        Raises: UnavailableError (PULL_REFUSED, PULL_UNREACHABLE: what came stays for the next time; PULL_WRONG_FILE),
        StoreError when it cannot be written; nothing is left then.
        """
        try:
            with await asyncio.to_thread(self._open) as file:
                yield self._present
                async with contextlib.aclosing(self._fetch(file)) as progress:
                    async for present in progress:
                        yield present
                await asyncio.to_thread(self._finish, file)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._part.unlink()
            raise StoreError(f"{self._path}: cannot be written: {error.strerror}; make room and pull again") from error

    async def _fetch(self, file: BinaryIO) -> AsyncGenerator[int, None]:
        """Attempts, each going on where the last one ended, until all is there."""
        timeout = httpx2.Timeout(self._stall_timeout_s)
        fruitless, heard = 0, False
        async with httpx2.AsyncClient(follow_redirects=True, timeout=timeout) as client:
            while self._present < self._size_bytes:
                before = self._present
                problem = "the connection ended early"
                try:
                    async with contextlib.aclosing(self._attempt(client, file)) as progress:
                        async for present in progress:
                            heard = True
                            yield present
                except (httpx2.HTTPError, httpx2.StreamError) as error:
                    problem = str(error) or type(error).__name__
                if self._present == self._size_bytes:
                    return
                fruitless = 0 if self._present > before else fruitless + 1
                # Who never answered is asked twice; who did is given longer to come back.
                if fruitless > (_MOST_FRUITLESS if heard else 1):
                    raise UnavailableError(
                        f"{self._url}: {problem}; {self._present:,} of {self._size_bytes:,} bytes are here. Check the "
                        "network and pull again: it goes on from there",
                        reason="PULL_UNREACHABLE",
                        retryable=True,
                    )
                log.info("%s: %s at byte %d; going on", self._url, problem, self._present)
                await asyncio.sleep(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**fruitless))

    async def _attempt(self, client: httpx2.AsyncClient, file: BinaryIO) -> AsyncGenerator[int, None]:
        headers = {"Accept-Encoding": "identity"}
        if self._present:
            headers["Range"] = f"bytes={self._present}-"
        async with client.stream("GET", self._url, headers=headers) as response:
            status = response.status_code
            if status in (408, 429) or status >= 500:
                response.raise_for_status()
            if status == 416:
                # What is here is no beginning of what is there.
                self._restart(file)
                return
            if status not in (200, 206):
                raise UnavailableError(
                    f"{self._url}: refused with status {status}; check the model's name and [models] hub, or download "
                    "the file elsewhere and run `expertctl models adopt FILE`",
                    reason="PULL_REFUSED",
                )
            told = response.headers.get("Content-Range", "")
            if self._present and not (status == 206 and told.startswith(f"bytes {self._present}-")):
                # The server sends all of it, or something else: what was here is of no use.
                self._restart(file)
                if status == 206:
                    return
            async for data in response.aiter_bytes():
                if self._present + len(data) > self._size_bytes:
                    raise self._wrong(f"more than the {self._size_bytes:,} bytes that the bundle says")
                await asyncio.to_thread(self._take, file, data)
                yield self._present

    # On disk; each in a thread.

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open(self._part, "a+b")  # noqa: SIM115, the caller's `with` closes it
        file.seek(0)
        while data := file.read(_PIECE_BYTES):
            self._hash.update(data)
            self._present += len(data)
        if self._present > self._size_bytes:
            self._restart(file)
        free = os.statvfs(self._path.parent)
        missing, room = self._size_bytes - self._present, free.f_bavail * free.f_frsize
        if missing > room:
            file.close()
            raise StoreError(
                f"{self._path}: {missing:,} more bytes do not fit, {room:,} are free; make room and pull again"
            )
        return file

    def _restart(self, file: BinaryIO) -> None:
        file.truncate(0)
        self._present, self._hash = 0, hashlib.sha256()

    def _take(self, file: BinaryIO, data: bytes) -> None:
        file.write(data)
        self._hash.update(data)
        self._present += len(data)

    def _finish(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        if (digest := self._hash.hexdigest()) != self._sha256:
            raise self._wrong(f"its sha256 is {digest}, the bundle says {self._sha256}")
        os.replace(self._part, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _wrong(self, what: str) -> UnavailableError:
        self._part.unlink(missing_ok=True)
        return UnavailableError(f"{self._url}: {what}; it was not kept", reason="PULL_WRONG_FILE")


# --- The process -----------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(prog="expertd-companion", description="Asks the titan, and downloads models.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--config", type=Path, help="the configuration file, for what is not given here")
    parser.add_argument("--base-url")
    parser.add_argument("--model")
    parser.add_argument("--api-key-env", help="the name of the variable that holds the API key")
    parser.add_argument("--api-key-file", type=Path)
    parser.add_argument("--max-retries", type=int)
    parser.add_argument("--parent", type=int, default=0, help="the process to die with; 0: none")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    for noisy in ("httpx2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    harden(arguments.parent)
    services = TitanService(_endpoint(arguments)), PullService()

    def add(server: grpc.aio.Server) -> None:
        worker_pb2_grpc.add_WorkerServicer_to_server(services[0], server)
        worker_pb2_grpc.add_CompanionServicer_to_server(services[1], server)

    asyncio.run(serve(arguments.socket, add))


def _endpoint(arguments: argparse.Namespace) -> Endpoint:
    if arguments.base_url is None:
        from .config import load

        titan = load(arguments.config, os.environ).titan
        key_file = None if titan.api_key_file == Path() else titan.api_key_file
        return Endpoint(titan.base_url, titan.model, titan.api_key_env, key_file, titan.max_retries)
    return Endpoint(
        arguments.base_url,
        arguments.model,
        arguments.api_key_env,
        arguments.api_key_file,
        arguments.max_retries,
    )


if __name__ == "__main__":
    main()
