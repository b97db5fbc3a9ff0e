"""The daemon's process: startup → serve → shutdown. Introduces the rooms to each other; decides nothing else.

A first SIGTERM or SIGINT drains: no new calls, those in flight finish within the grace. A second one forces.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from tzlocal import get_localzone

from expertd.experts.bundle import Bundle
from expertd.experts.edits import Edits
from expertd.experts.errors import StoreError
from expertd.experts.fleet import Fleet, VersionStatus
from expertd.experts.fleet import Limits as FleetLimits
from expertd.experts.kinds import forecast, linear, skill, tagger
from expertd.experts.memory import default_budget
from expertd.experts.models import Models
from expertd.experts.schedule import Scheduler
from expertd.experts.servable import Host
from expertd.experts.skills import timers
from expertd.experts.store import Store
from expertd.router.encoder import Encoder, TrunkError, is_prepared, pinned
from expertd.router.index import RouteIndex
from expertd.router.language import Recogniser

from .assistant import AssistantService
from .checks import Checks
from .config import UNSET, Config, ConfigError, dump, load
from .drop_in import DropIn
from .engine import Engine
from .events import Broker, ExpertChangedEvent, FiredEvent
from .intents import Intents
from .logs import set_up_logging
from .notify import Desktop, Supervisor
from .nursery import Nursery
from .operations import FleetService
from .peers import Patience
from .pressure import Pressure, memory_limit, own_pss
from .routing import Indexer, Trunk
from .server import Server
from .shipped import SHIPPED, Shipped
from .singleton import AlreadyRunningError, SocketLock
from .titan import Titan, TitanSettings
from .traces import Traces
from .workers import WorkerSettings, gguf_loader, onnx_loader

log = logging.getLogger("expertd.daemon.main")

# systemd's own numbers for "configuration" and "temporary" trouble (sysexits.h).
EXIT_CONFIG = 78
EXIT_UNAVAILABLE = 69
EXIT_ALREADY_RUNNING = 75
# M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h.
_MALLOC = {-8: 2, -3: 131_072, -1: 131_072}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the daemon in the foreground; returns the process's exit status."""
    gc.disable()
    _bound_malloc()
    # Neither must a thread (that verifies a bundle) hold up the event loop for longer than a request takes, nor a busy
    # loop starve the thread: each poll of the loop lets go of the interpreter and starts the wait for it anew.
    sys.setswitchinterval(0.0001)
    # Whatever is written, reminders among it, is for its owner alone.
    os.umask(0o077)
    started = time.time()
    options = _parser().parse_args(arguments)
    try:
        config = load(options.config, os.environ)
        if options.print_config:
            sys.stdout.write(dump(config))
            return 0
        set_up_logging(config.log_level, config.log_format)
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with SocketLock.acquire(config.socket):
            _prepare_trunk(config)
            return asyncio.run(_run(config, started))
    except ConfigError as error:
        _complain(error)
        return EXIT_CONFIG
    except AlreadyRunningError as error:
        _complain(error)
        return EXIT_ALREADY_RUNNING
    except (OSError, StoreError, TrunkError, subprocess.CalledProcessError) as error:
        _complain(error)
        return EXIT_UNAVAILABLE


def _bound_malloc() -> None:
    """Has glibc give memory back: with an arena per thread and thresholds that rise with use, it keeps a third more."""
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        for parameter, value in _MALLOC.items():
            libc.mallopt(parameter, value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="expertd", description="Hosts small expert models and routes requests to them."
    )
    parser.add_argument("--config", type=Path, help="the configuration file")
    parser.add_argument("--print-config", action="store_true", help="print the effective configuration and end")
    return parser


def _complain(error: Exception) -> None:
    sys.stderr.write(f"expertd: {error}\n")


def _prepare_trunk(config: Config) -> None:
    """Makes the trunk, in a process of its own, where there is none, or one of another release.

    Raises: CalledProcessError.
    """
    if is_prepared(config.trunk_root):
        return
    command = [sys.executable, "-m", "expertd.distill.trunk", "--out", str(config.trunk_root)]
    if config.trunk.folder != UNSET:
        command += ["--folder", str(config.trunk.folder)]
    subprocess.run([*command, "--hub", config.trunk.hub], check=True)


async def _run(config: Config, began: float) -> int:
    """startup → serve → shutdown. began: when the process did, seconds since the epoch."""
    stop = _signals()
    supervisor = Supervisor(os.environ)
    async with AsyncExitStack() as house:
        starting = asyncio.create_task(_start(config, house, datetime.fromtimestamp(began, UTC)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            log.info("stopped before it was ready")
            return 0
        server, engine, events = starting.result()
        # What is here now stays: the collector need not look through it again, at the start or amid a request.
        gc.freeze()
        # Every collection stops the loop, with a thousand requests in flight for 30 ms: seldom, and with little to do,
        # since hardly anything here goes in circles.
        gc.set_threshold(50_000, 10, 10)
        gc.enable()
        log.info("ready on %s after %.2f s", config.socket, time.time() - began)
        supervisor.ready(f"ready on {config.socket}")
        if sys.stdout.isatty():
            sys.stdout.write('Ready. In another terminal: .venv/bin/expertctl ask "what is 18% of 2450"\n')
        watchdog = asyncio.create_task(supervisor.keep_alive())
        await asyncio.to_thread(timers.warm)
        await stop.wait()
        log.info("stopping: no new calls; those in flight have %g s", config.shutdown.grace_s)
        supervisor.stopping()
        # Listeners would listen for ever: their streams end now, and only real work is waited for.
        events.close()
        await server.stop(config.shutdown.grace_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await engine.drained()
        watchdog.cancel()
    log.info("stopped")
    return 0


async def _start(config: Config, house: AsyncExitStack, started: datetime) -> tuple[Server, Engine, Broker]:
    """Opens everything, inside out; `house` closes it again in the opposite order.

    Raises: OSError, StoreError, TrunkError when something that the daemon cannot do without is missing.
    """
    # The two slow ones side by side: the encoder reads 23 MB while the store checks its bundles.
    opening = asyncio.create_task(asyncio.to_thread(Encoder.open, config.trunk_root))
    traces = Traces.open(
        config.database,
        keep_text=config.traces.keep_text,
        keep_days=config.traces.keep_days,
        max_rows=config.traces.max_rows,
        enabled=config.traces.enabled,
    )
    house.callback(traces.close)
    events = Broker()
    house.callback(events.close)
    store = await asyncio.to_thread(Store.open, config.state_dir, trunk_id=pinned().id)
    house.callback(store.close)
    for repair in store.repairs:
        log.warning("store: %s", repair)
    models = Models.open(config.models_root)
    scheduler = Scheduler(config.database)
    desktop = Desktop(os.environ)
    house.push_async_callback(desktop.close)
    titan = Titan(_titan_settings(config))
    house.push_async_callback(titan.close)

    trunk = Trunk(await opening, Recogniser.load())
    house.callback(trunk.close)
    edits = await asyncio.to_thread(Edits.open, config.state_dir / "edits")
    indexer = Indexer(trunk.encoder, edits, config.state_dir / "cache", reject_in_scope=config.router.reject_in_scope)
    server = Server(config.socket, max_message_bytes=config.limits.max_message_bytes)

    def observe(status: VersionStatus) -> None:
        slot = fleet.view.slots.get(status.expert)
        server.report_expert(status.expert, serving=slot is not None and slot.absence is None)
        events.publish(
            ExpertChangedEvent(
                expert=status.expert, version=status.version, state=str(status.state), reason=status.reason
            )
        )

    nursery = Nursery()
    house.push_async_callback(nursery.close)
    workers = _worker_settings(config)
    pressure = Pressure()
    fleet: Fleet[RouteIndex] = Fleet(
        store,
        Host(config.state_dir, config.database, scheduler, _now, trunk.encode),
        loaders={
            "forecast": forecast.load,
            "gguf": gguf_loader(workers, models, nursery),
            "linear": linear.load,
            "onnx": onnx_loader(workers, nursery),
            "skill": skill.load,
            "tagger": tagger.load,
        },
        slow=_loads_slowly,
        encode=trunk.encode,
        encode_aside=trunk.encode_aside,
        reindex=indexer.index,
        adapt=indexer.adapt,
        empty=RouteIndex.empty(),
        edits=edits,
        observe=observe,
        machine=lambda: (own_pss(), pressure.average()),
        limits=FleetLimits(
            keep_versions=config.experts.keep_versions,
            budget_bytes=config.memory.budget_mb * 10**6 or default_budget(memory_limit()),
        ),
    )
    timers.subscribe(scheduler, partial(_announce, events, desktop if config.notifications.desktop else None))
    await scheduler.start()
    house.push_async_callback(scheduler.stop)
    house.push_async_callback(fleet.close)
    shipped = Shipped(store, _folders(config), config.state_dir)
    await fleet.start(await asyncio.to_thread(shipped.bundles))

    engine = Engine(
        fleet=fleet,
        router=trunk,
        titan=titan,
        traces=traces,
        clock=_now,
        limits=config.limits,
    )
    checks = Checks(
        config=config,
        fleet=fleet,
        traces=traces,
        trunk_id=trunk.encoder.id,
        titan=titan.problem,
        missing=shipped.missing,
        started=started,
    )
    await server.start(
        AssistantService(engine, events, traces, zone=_zone(config), locale=config.locale),
        FleetService(
            fleet=fleet,
            store=store,
            shipped=shipped,
            models=models,
            titan=titan,
            traces=traces,
            events=events,
            intents=Intents(fleet, edits, indexer),
            check=checks.status,
        ),
    )
    house.push_async_callback(server.stop, 0)
    relief = asyncio.create_task(pressure.watch(fleet.shed, threshold=config.memory.pressure), name="pressure")
    house.callback(relief.cancel)
    if config.experts.drop_in != UNSET:
        drop_in = DropIn(config.experts.drop_in, store, fleet.install, unwanted=shipped.is_removed)
        watching = asyncio.create_task(drop_in.watch(), name="drop-in")
        house.callback(watching.cancel)
    return server, engine, events


async def _announce(events: Broker, desktop: Desktop | None, fired: timers.Fired) -> None:
    """Tells whoever listens, and shows it on the desktop."""
    events.publish(
        FiredEvent(id=fired.id, kind=fired.kind, name=fired.name, text=fired.text, due=fired.due, late=fired.late)
    )
    if desktop is not None:
        await desktop.notify(
            fired.kind.capitalize(), fired.text, urgent=fired.kind == "alarm", sound="alarm-clock-elapsed"
        )


def _folders(config: Config) -> tuple[Path, ...]:
    """Where bundles are taken in from."""
    return (SHIPPED,) if config.experts.drop_in == UNSET else (SHIPPED, config.experts.drop_in)


def _titan_settings(config: Config) -> TitanSettings:
    titan = config.titan
    return TitanSettings(
        runtime_dir=config.runtime_dir,
        enabled=titan.enabled,
        base_url=titan.base_url,
        model=titan.model,
        api_key_env=titan.api_key_env,
        api_key_file=None if titan.api_key_file == UNSET else titan.api_key_file,
        timeout_s=titan.timeout_s,
        max_retries=titan.max_retries,
        redact=titan.redact,
        socket=None if titan.socket == UNSET else titan.socket,
        hub=config.models.hub,
    )


def _worker_settings(config: Config) -> WorkerSettings:
    text = config.text
    return WorkerSettings(
        runtime_dir=config.runtime_dir,
        threads=text.threads,
        context_tokens=text.context_tokens,
        max_tokens=text.max_tokens,
        patience=Patience(start_timeout_s=text.start_timeout_s),
    )


def _loads_slowly(bundle: Bundle) -> bool:
    """No start waits for a process that has to begin first."""
    manifest = bundle.manifest
    return manifest.kind == "gguf" or (manifest.kind == "onnx" and manifest.parameters.get("process") == "worker")


def _now() -> datetime:
    return datetime.now(UTC)


def _zone(config: Config) -> Callable[[], ZoneInfo]:
    """The configured zone, else the machine's."""
    if config.time_zone:
        fixed = ZoneInfo(config.time_zone)
        return lambda: fixed
    return get_localzone


def _signals() -> asyncio.Event:
    """Set by the first SIGTERM, SIGINT or SIGHUP; the second ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


if __name__ == "__main__":
    sys.exit(main())
