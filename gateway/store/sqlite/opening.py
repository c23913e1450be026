"""The way into a data directory for a service: all that has to be right before the first order is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from gateway.key_source import KeySource
from gateway.store.sqlite.store import FILE_NAME, SqliteStore
from gateway.store.sqlite.upkeep import start
from gateway.store.store import StoreFull
from gateway.vault import Vault


def _nothing(_moment: str) -> None:
    """Nobody measures."""


async def open_store(
    directory: Path, source: KeySource, now: Callable[[], datetime], *, at_commit: Callable[[str], None] = _nothing
) -> SqliteStore:
    """Lock the directory, make it and the key at the first start, bring the database up to date, unlock the vault.

    Raises ``StoreError``, ``VaultError``; then nothing is left open.
    """
    _make(directory)
    vault = Vault()
    store = await SqliteStore.open(directory, vault, now, at_commit=at_commit)
    try:
        await start(store.database, vault, source)
    except BaseException:
        await store.close()
        raise
    return store


def _make(directory: Path) -> None:
    """What only the owner may read: SQLite gives its log the rights of the database."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(directory / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreFull(f"{directory}: {error.strerror}") from error
