"""The store of a running service: opened, measured, kept up, and closed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from gateway.serving.metrics import Metrics
from gateway.settings.checks import key_source
from gateway.settings.sections import Settings
from gateway.store.sqlite.opening import open_store
from gateway.store.sqlite.store import SqliteStore
from gateway.store.sqlite.upkeep import keep_up
from gateway.store.store import StoreBroken, StoreError
from gateway.vault import VaultError

logger = logging.getLogger(__name__)

_KEEP_UP_SECONDS = 60.0


class StartError(Exception):
    """The service cannot be started; one line says why."""


@asynccontextmanager
async def opened_store(
    settings: Settings, environment: Mapping[str, str], now: Callable[[], datetime], metrics: Metrics
) -> AsyncIterator[SqliteStore]:
    """Makes what the first start has to make. Raises ``StartError``; then nothing is left open."""
    timer = _CommitTimer(metrics)
    try:
        source = key_source(settings, environment)
        store = await open_store(Path(settings.service.data_dir), source, now, at_commit=timer)
    except (StoreError, VaultError) as error:
        raise StartError(str(error)) from error
    timer.count = lambda: store.database.works
    try:
        yield store
        await _keep_up(store)
    finally:
        await store.close()


async def keep_store_up(store: SqliteStore) -> None:
    """What the store writes about itself every so often. Until it is cancelled."""
    while True:
        await asyncio.sleep(_KEEP_UP_SECONDS)
        await _keep_up(store)


async def _keep_up(store: SqliteStore) -> None:
    try:
        await keep_up(store.database)
    except StoreBroken:
        raise
    except StoreError as error:
        logger.error("the store cannot be kept up: %s", error)


class _CommitTimer:
    """Measures each commit: the store calls it before and after, in its writer's thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._started = 0.0
        self._counted = 0
        self.count: Callable[[], int] = lambda: 0
        """How many writes were committed since the store was opened."""

    def __call__(self, moment: str) -> None:
        if moment == "before-commit":
            self._started = time.perf_counter()
            return
        count = self.count()
        self._metrics.batch_committed(count - self._counted, time.perf_counter() - self._started)
        self._counted = count
