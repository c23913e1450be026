"""The process of ``stsgate serve``: a store, the engine, the API, webhooks and metrics, put together, run and ended.

Crash-only: every part runs in a task that is not supposed to end. When one does, all of them are stopped, and the
process ends with what went wrong, to be started again by its supervisor. What was being done stands in the store.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from cosem_objects.errors import SettingError
from gateway import __version__
from gateway.api.app import create_app
from gateway.api.parts import ApiParts
from gateway.http_address import join_http_address, split_http_address
from gateway.service import Service
from gateway.serving.first_start import KEY_VARIABLE, ensure_admin_key
from gateway.serving.gauges import Gauges
from gateway.serving.health import DispatcherState, Health, LoopLag
from gateway.serving.listening import bind, listening
from gateway.serving.logs import configure_logs
from gateway.serving.metrics import Metrics
from gateway.serving.metrics_http import counting
from gateway.serving.opened_store import StartError, keep_store_up, opened_store
from gateway.serving.reload import differences, reloaded
from gateway.serving.supervisor import Supervisor
from gateway.serving.unasked import Unasked
from gateway.session import connect_through
from gateway.settings.checks import tls_context
from gateway.settings.loading import SettingsInvalid
from gateway.settings.parts import api_limits, service_options, webhook_options, webhook_targets, wire_settings
from gateway.settings.sections import Settings
from gateway.shown import without_secrets
from gateway.store.store import InUse, Store, StoreError
from gateway.webhooks.post import WebhookPoster
from gateway.webhooks.sender import WebhookSender
from transports.calling_in.called_in import CalledInMeters
from transports.endpoint import EndpointError
from transports.link_pool import LinkPool, nobody_called

logger = logging.getLogger(__name__)


class PartEnded(Exception):
    """A part of the service ended that must not: the process cannot go on."""


class Server:
    """One run of the service. ``stop``, ``reload`` are for signals."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        *,
        load: Callable[[], Settings],
        now: Callable[[], datetime],
        rng: Random,
    ) -> None:
        """``load`` reads the settings again."""
        self._settings = settings
        self._environment = environment
        self._load = load
        self._now = now
        self._rng = rng
        self._supervisor = Supervisor(environment)
        self._called_in = CalledInMeters()
        self._wires = wire_settings(settings)
        self._pool = LinkPool(
            self._wires,
            called_in=self._called_in.shared_link if settings.inbound.listen else nobody_called,
            linger_seconds=settings.links.linger_seconds,
        )
        self._metrics = Metrics(__version__)
        self._lag = LoopLag()
        self._stop = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        self._reload = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """Let meters that are being spoken to come to a point, then end; asked twice: end at once."""
        (self._stop_at_once if self._stop.is_set() else self._stop).set()

    def reload(self) -> None:
        """Read the settings again."""
        self._reload.set()

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Until it is stopped; ``on_ready`` is told the URL. Raises ``StartError``, ``PartEnded``."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._pool.close)
            store = await stack.enter_async_context(
                opened_store(self._settings, self._environment, self._now, self._metrics)
            )
            self._assemble(store)
            stack.push_async_callback(self._cancel_tasks)
            await self._admin_key(store)
            sockets = await self._bind(stack)
            self._engine = self._start(self._service.run(), "engine")
            await self._until_working()
            url = await self._listen(stack, store, sockets)
            await self._hear(stack)
            for part, name in (
                (self._sender.run(), "webhooks"),
                (self._gauges.watch(self._service.dispatcher), "figures"),
                (self._lag.watch(), "event loop's watch"),
                (self._supervisor.watch(), "supervisor's watch"),
                (self._reload_when_asked(), "reload"),
                (keep_store_up(store), "store's upkeep"),
                (self._unasked.hints.run(), "hints"),
            ):
                self._start(part, name)
            on_ready(url)
            self._supervisor.tell("READY=1")
            await self._until_stopped()

    # The parts.

    def _assemble(self, store: Store) -> None:
        settings = self._settings
        self._gauges = Gauges(self._metrics, store, settings=lambda: self._settings, now=self._now, rng=self._rng)
        self._service = Service(
            store,
            service_options(settings),
            now=self._now,
            rng=self._rng,
            connect=connect_through(self._pool),
            on_settled=self._gauges.judged,
            on_mended=self._metrics.lanes_repaired,
        )
        self._unasked = Unasked(settings, self._wires, store.meters, self._metrics)
        self._sender = WebhookSender(
            store,
            webhook_options(settings),
            WebhookPoster(
                webhook_targets(settings),
                timeout_seconds=settings.webhooks.timeout_seconds,
                connections_max=settings.webhooks.in_flight_max,
            ),
            now=self._now,
            rng=self._rng,
            on_attempt=self._gauges.webhook_called,
        )
        self._health = Health(
            store,
            Path(settings.service.data_dir),
            settings.health,
            dispatcher=self._dispatcher_state,
            now=self._now,
            lag=self._lag,
        )

    async def _admin_key(self, store: Store) -> None:
        data_dir = Path(self._settings.service.data_dir)
        try:
            path = await ensure_admin_key(store.access, data_dir, self._environment, self._now)
        except (StoreError, OSError) as error:
            raise StartError(f"no first API key can be made: {error}") from error
        except InUse:
            raise StartError(f"{KEY_VARIABLE}: this key was revoked; choose another, or unset the variable") from None
        if path is not None:
            logger.warning("first start: the admin API key is in %s", path)

    async def _bind(self, stack: AsyncExitStack) -> list[socket.socket]:
        address = self._settings.service.http
        try:
            sockets = await bind(*split_http_address(address))
        except OSError as error:
            raise StartError(f"{address}: cannot listen there ({error.strerror or error})") from error
        for taken in sockets:
            stack.callback(taken.close)
        return sockets

    async def _listen(self, stack: AsyncExitStack, store: Store, sockets: Sequence[socket.socket]) -> str:
        settings = self._settings
        app = create_app(
            ApiParts(
                store=store,
                limits=api_limits(settings),
                now=self._now,
                readback=self._service.readback,
                metrics=self._metrics.render,
                health=self._healthz,
                ready=self._readyz,
                version=__version__,
                metrics_open=settings.metrics.open,
                webhook_targets=webhook_targets(settings),
                order_trace=self._service.traces.of if settings.trace.orders_kept else None,
                link_limit=self._service.effective_concurrency,
            )
        )
        app.middlewares.insert(0, counting(self._metrics))
        tls = tls_context(settings) if settings.service.tls_certificate else None
        try:
            await stack.enter_async_context(listening(app, sockets, tls))
        except OSError as error:  # somebody else took the port, and was quicker
            raise StartError(f"{settings.service.http}: cannot listen there ({error.strerror or error})") from error
        host, _ = split_http_address(settings.service.http)
        port = sockets[0].getsockname()[1]
        return f"{'https' if tls else 'http'}://{join_http_address(host, port)}"

    async def _hear(self, stack: AsyncExitStack) -> None:
        try:
            await self._unasked.open(stack, self._called_in)
        except (EndpointError, SettingError) as error:
            raise StartError(str(error)) from error

    def _start(self, part: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(part, name=name)
        self._tasks.append(task)
        return task

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # From the start to the end.

    async def _until_working(self) -> None:
        """Before the API opens, the engine has freed what a crash left."""
        working = asyncio.create_task(self._service.is_working.wait())
        try:
            await asyncio.wait((working, self._engine), return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
        if self._engine.done():
            raise _ended(self._engine)

    async def _until_stopped(self) -> None:
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((stop, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        for task in self._tasks:
            if task.done():
                raise _ended(task)
        await self._drain()

    async def _drain(self) -> None:
        self._supervisor.tell("STOPPING=1")
        in_flight = self._service.dispatcher.in_flight
        seconds = self._settings.service.drain_seconds
        logger.info("stopping: %d meters are being spoken to, at most %g s more", in_flight, seconds)
        self._service.drain()
        at_once = asyncio.create_task(self._stop_at_once.wait())
        closing = asyncio.create_task(self._sender.close())
        try:
            await asyncio.wait((at_once, self._engine), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            left = self._service.dispatcher.in_flight
            await asyncio.wait((at_once, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            at_once.cancel()
            closing.cancel()
        if self._engine.done() and self._engine.exception() is not None:
            raise _ended(self._engine)
        if left:
            logger.warning("stopped: %d meters were cut off; they are read first at the next start", left)
        else:
            logger.info("stopped")

    # Settings that change.

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                wanted = await asyncio.to_thread(self._load)
            except SettingsInvalid as error:
                for problem in error.problems:
                    logger.error("settings stay as they are: %s", problem)
                continue
            self._change(wanted)

    def _change(self, wanted: Settings) -> None:
        found = list(differences(self._settings, wanted))
        for difference in found:
            if difference.can_change:
                logger.info("changed: %s", difference)
            else:
                logger.warning("needs a restart: %s", difference)
        if not found:
            logger.info("settings read again: nothing is different")
        self._settings = settings = reloaded(self._settings, wanted)
        configure_logs(settings.log.level, settings.log.format)
        self._service.reload(service_options(settings))
        self._health.limits = settings.health

    # What is shown.

    async def _healthz(self) -> Mapping[str, Any]:
        return self._health.alive().to_json()

    async def _readyz(self) -> Mapping[str, Any]:
        return (await self._health.ready()).to_json()

    def _dispatcher_state(self) -> DispatcherState:
        dispatcher = self._service.dispatcher
        return DispatcherState(
            is_running=not self._engine.done(),
            is_draining=dispatcher.is_draining,
            claimed_at=dispatcher.last_claim_at,
        )


def _ended(task: asyncio.Task[None]) -> PartEnded:
    """What there is to say of a part that ended. A failing store says by itself what is wrong; a bug leaves its trace
    in the log."""
    error: BaseException | None = None if task.cancelled() else task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return PartEnded(f"{task.get_name()} ended")
    if not isinstance(error, StoreError):
        logger.critical("%s failed", task.get_name(), exc_info=error)
    return PartEnded(without_secrets(f"{task.get_name()} failed: {type(error).__name__}: {error}"))
