"""The store of a service, opened: its directory, its file, and the keys that its secrets are under."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.first_start import make_data_dir
from gateway.metrics import Metrics
from gateway.settings_checks import key_source
from gateway.settings_sections import Settings
from gateway.store.sqlite.data_keys import count_use, unlock
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import StoreError
from gateway.vault import Vault, VaultError

logger = logging.getLogger(__name__)

_KEY_USE_SECONDS = 600.0


class StartError(Exception):
    """The service cannot be started; one line says why."""


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A store, and the vault that it seals secrets with."""

    store: SqliteStore
    vault: Vault
    now: Callable[[], datetime]

    async def count_key_use(self) -> None:
        """Write down now and then how often the data key was used, and take a new one in time. Until cancelled."""
        vault = self.vault
        while True:
            await asyncio.sleep(_KEY_USE_SECONDS)
            records, at = vault.sealed_since_last_look(), self.now()
            try:
                keys = await self.store.database.write(lambda connection: count_use(connection, vault, records, at))  # noqa: B023 - awaited here
            except StoreError as error:
                logger.warning("the use of the data key cannot be written: %s", error)
                continue
            if keys is not None:
                vault.unlock(vault.key_encryption_key, keys)


class CommitTimer:
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


async def open_store(
    settings: Settings, environment: Mapping[str, str], now: Callable[[], datetime], *, at_commit: Callable[[str], None]
) -> OpenedStore:
    """Makes what the first start has to make. Raises ``StartError``; then nothing is left open."""
    data_dir, vault = Path(settings.service.data_dir), Vault()
    try:
        make_data_dir(data_dir)
    except OSError as error:
        raise StartError(f"{data_dir}: the data directory cannot be made ({error.strerror})") from error
    try:
        store = await SqliteStore.open(data_dir, vault, now, at_commit=at_commit)
    except StoreError as error:
        raise StartError(str(error)) from error
    try:
        source, at = key_source(settings, environment), now()
        await store.database.write(lambda connection: unlock(connection, vault, source, at))
    except (StoreError, VaultError, OSError) as error:
        await store.close()
        raise StartError(str(error)) from error
    return OpenedStore(store, vault, now)
