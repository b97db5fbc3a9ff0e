"""The titan as the daemon sees it: a companion process that has the network, and the patience with it.

The daemon itself opens no connection. The companion is started when it is first needed, or runs as a service of its own
on a configured socket.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration

from expertd.experts.bundle import BaseModel
from expertd.experts.errors import UnavailableError
from expertd.experts.models import Models
from expertd.experts.servable import Emit
from expertd.experts.values import Outcome, Query
from expertd.v1 import worker_pb2, worker_pb2_grpc

from . import wire
from .endpoint import Endpoint
from .peers import Child, Distant, Patience, Peer, ask_peer, refusal_of
from .redaction import Redaction, Shown

# What HTTP clients go by, beside the key.
_NETWORK_ENVIRONMENT = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CREDENTIALS_DIRECTORY"),
)
# Failures that say something of the next attempt.
_TELLING = {"TITAN_UNREACHABLE", "TITAN_DEADLINE", "TITAN_RATE_LIMITED"}


@dataclass(frozen=True, slots=True)
class TitanSettings:
    """runtime_dir: where the companion's socket goes. socket: of a companion that runs by itself; None: start one.

    redact: what identifies somebody or opens something stays here, see `redaction`.

    After `most_failures` in a row the titan is left alone for `pause_s`, and requests are told so at once.
    """

    runtime_dir: Path
    enabled: bool = True
    base_url: str = "https://api.openai.com/v1"
    model: str = "gpt-4o-mini"
    api_key_env: str = "OPENAI_API_KEY"
    api_key_file: Path | None = None
    timeout_s: float = 60.0
    max_retries: int = 2
    redact: bool = True
    socket: Path | None = None
    hub: str = "https://huggingface.co"
    stall_timeout_s: float = 60.0
    most_failures: int = 3
    pause_s: float = 30.0
    patience: Patience = field(default_factory=Patience)

    def endpoint(self) -> Endpoint:
        return Endpoint(self.base_url, self.model, self.api_key_env, self.api_key_file, self.max_retries)


class Titan:
    """Asks the large model, and has models downloaded."""

    def __init__(self, settings: TitanSettings) -> None:
        self._settings = settings
        self._peer: Peer | None = None
        self._starting = asyncio.Lock()
        self._failures = 0
        self._last_failure: UnavailableError | None = None
        self._closed_until = float("-inf")

    def problem(self) -> str:
        """Why it cannot be asked, with the way out, as far as can be told without asking; "" when it can."""
        if not self._settings.enabled:
            return str(_off())
        if self._settings.socket is None:
            try:
                self._settings.endpoint().api_key()
            except UnavailableError as error:
                return str(error)
        if self._last_failure is not None:
            return str(self._last_failure)
        return ""

    async def answer(self, query: Query, emit: Emit) -> Outcome:
        """Raises: QueryError when the endpoint cannot take the request; UnavailableError with the reason TITAN_OFF,
        TITAN_NO_KEY, TITAN_UNREACHABLE, TITAN_REFUSED, TITAN_RATE_LIMITED or TITAN_DEADLINE, and the way out.
        """
        if not self._settings.enabled:
            raise _off()
        self._check_breaker()
        kept = await Redaction.of(query) if self._settings.redact else Redaction({})
        told = Shown(kept, emit)
        try:
            outcome = await self._ask(wire.query_to_worker(kept.hide(query)), told)
        except UnavailableError as error:
            self._count(error)
            raise
        self._failures, self._last_failure = 0, None
        await told.end()
        return kept.shown(outcome)

    async def pull(self, model: BaseModel, models: Models) -> AsyncIterator[int]:
        """Downloads a model and takes it in, telling the bytes so far.

        Raises: UnavailableError (PULL_REFUSED, PULL_UNREACHABLE, PULL_WRONG_FILE), StoreError, BundleError.
        """
        settings = self._settings
        request = worker_pb2.PullRequest(
            url=f"{settings.hub.rstrip('/')}/{model.repository}/resolve/{model.revision}/{model.file}",
            sha256=model.sha256,
            size_bytes=model.size_bytes,
            path=str(models.destination(model)),
            stall_timeout=Duration(seconds=max(1, round(settings.stall_timeout_s))),
        )
        companion = await self._companion()
        line = await companion.line()
        call = worker_pb2_grpc.CompanionStub(line.channel).Pull(request)
        try:
            async for response in call:
                yield response.present_bytes
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
            if refusal is not None:
                raise refusal from None
            what = await companion.death(line) or error.details()
            raise UnavailableError(
                f"{model.name}: {companion.name} broke off ({what}); pull again: it goes on from there",
                reason="PULL_UNREACHABLE",
                retryable=True,
            ) from error
        finally:
            call.cancel()
        await asyncio.to_thread(models.admit, model)

    async def close(self) -> None:
        if self._peer is not None:
            await self._peer.close()

    # --- The companion -----------------------------------------------------------------------------------------------

    async def _ask(self, request: worker_pb2.WorkerAnswerRequest, emit: Emit) -> Outcome:
        timeout_s = self._settings.timeout_s
        if self._settings.socket is None:
            # Without a key there is nothing for a companion to do.
            self._settings.endpoint().api_key()
        try:
            return await ask_peer(await self._companion(), request, emit, timeout_s=timeout_s)
        except TimeoutError:
            raise UnavailableError(
                f"the titan ({self._settings.model}) did not answer in {timeout_s:g} s; raise [titan] timeout_s",
                reason="TITAN_DEADLINE",
                retryable=True,
            ) from None
        except UnavailableError as error:
            if error.reason.startswith("TITAN_"):
                raise
            way_out = "; start its service, or leave [titan] socket out" if self._settings.socket is not None else ""
            raise UnavailableError(
                f"{error}{way_out}", reason="TITAN_UNREACHABLE", retryable=error.retryable
            ) from error

    async def _companion(self) -> Peer:
        """The companion, started now if it is not. Raises: UnavailableError when it cannot be."""
        async with self._starting:
            if self._peer is None and self._settings.socket is not None:
                name = f"the titan's companion on {self._settings.socket}"
                self._peer = Distant(name, self._settings.socket)
            elif self._peer is None:
                child = self._child()
                await child.start()
                self._peer = child
            return self._peer

    def _child(self) -> Child:
        settings = self._settings
        command = [sys.executable, "-m", "expertd.daemon.companion"]
        command += ["--base-url", settings.base_url, "--model", settings.model]
        command += ["--max-retries", str(settings.max_retries), "--api-key-env", settings.api_key_env]
        if settings.api_key_file is not None:
            command += ["--api-key-file", str(settings.api_key_file)]
        passed = (*_NETWORK_ENVIRONMENT, settings.api_key_env)
        return Child(
            "the titan's companion",
            command,
            settings.runtime_dir / "workers" / "titan",
            settings.patience,
            {name: os.environ[name] for name in passed if name in os.environ},
        )

    # --- The circuit breaker -----------------------------------------------------------------------------------------

    def _check_breaker(self) -> None:
        left_s = self._closed_until - time.monotonic()
        if left_s > 0 and self._last_failure is not None:
            raise UnavailableError(
                f"{self._last_failure} (after {self._failures} failures in a row it is tried again in {left_s:.0f} s)",
                reason=self._last_failure.reason,
            )

    def _count(self, error: UnavailableError) -> None:
        """One attempt is let through after each pause; it alone decides about the next."""
        self._last_failure = error
        if error.reason not in _TELLING:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self._settings.most_failures:
            self._closed_until = time.monotonic() + self._settings.pause_s


def _off() -> UnavailableError:
    return UnavailableError("the titan is switched off; set [titan] enabled = true to use it", reason="TITAN_OFF")
