"""The gRPC server on its Unix socket: services, health, reflection. Knows nothing of what they do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from expertd.v1 import assistant_pb2, assistant_pb2_grpc, fleet_pb2, fleet_pb2_grpc

from .status import StatusInterceptor

ASSISTANT = assistant_pb2.DESCRIPTOR.services_by_name["Assistant"].full_name
FLEET = fleet_pb2.DESCRIPTOR.services_by_name["Fleet"].full_name


class Server:
    """Serves from `start` to `stop`. Health is told per service and per expert ("expertd.expert.<name>")."""

    def __init__(self, socket: Path, *, max_message_bytes: int) -> None:
        self._socket = socket
        self._server = grpc.aio.server(
            interceptors=[StatusInterceptor()],
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # A client that hangs without closing is noticed, and its streams end.
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health = health.aio.HealthServicer()
        self._reports: set[asyncio.Task[None]] = set()

    async def start(self, assistant: assistant_pb2_grpc.AssistantServicer, fleet: fleet_pb2_grpc.FleetServicer) -> None:
        """Listens; whoever may enter the socket's folder may connect. Raises: OSError: the socket cannot be bound."""
        assistant_pb2_grpc.add_AssistantServicer_to_server(assistant, self._server)
        fleet_pb2_grpc.add_FleetServicer_to_server(fleet, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (ASSISTANT, FLEET, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        try:
            self._server.add_insecure_port(f"unix:{self._socket}")
        except RuntimeError as error:
            raise OSError(f"{self._socket}: cannot listen there: {error}") from error
        # Its folder says who may come in: the owner alone, or the group too where a unit made it so.
        self._socket.chmod(0o660 if self._socket.parent.stat().st_mode & 0o010 else 0o600)
        await self._server.start()
        for service in ("", ASSISTANT, FLEET):
            await self.report(service, serving=True)

    async def report(self, service: str, *, serving: bool) -> None:
        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set(service, state)

    def report_expert(self, name: str, *, serving: bool) -> None:
        """Returns at once; watchers are told in a moment."""
        task = asyncio.get_running_loop().create_task(self.report(f"expertd.expert.{name}", serving=serving))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def stop(self, grace_s: float) -> None:
        """Takes no new calls, and lets those in flight finish for that long."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
