"""What the store writes about itself: at the start, every so often, and at the end."""

from __future__ import annotations

import sqlite3

from gateway.key_source import KeySource
from gateway.store.sqlite.data_keys import DataKeys, count_use, unlock
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.restored import next_generation, start_generation, write_generation
from gateway.vault import Vault


async def start(database: Database, vault: Vault, source: KeySource) -> None:
    """Before anything else is done: see whether this is a copy of the past, and unlock the vault.

    Raises ``StoreError``, ``VaultError``; then nothing was changed.
    """
    at, directory = database.now(), database.path.parent

    def write(connection: sqlite3.Connection) -> int:
        generation = start_generation(connection, directory, at)
        unlock(connection, vault, source, at)
        return generation

    write_generation(directory, await database.write(write))


async def keep_up(database: Database) -> None:
    """Every minute or so, and at the end: so that a copy that is put back is seen to be behind, and that data keys are
    changed in time. Raises ``StoreError``."""
    write_generation(database.path.parent, await database.write(next_generation))
    if isinstance(database.vault, Vault):
        await _count_use(database, database.vault)


async def _count_use(database: Database, vault: Vault) -> None:
    at, records = database.now(), vault.uncounted()

    def write(connection: sqlite3.Connection) -> DataKeys | None:
        return count_use(connection, vault, records, at)

    keys = await database.write(write)
    vault.counted(records)
    if keys is not None:
        vault.unlock(vault.key_encryption_key, keys)  # it is on disk now; before, a lost commit would have lost the key
