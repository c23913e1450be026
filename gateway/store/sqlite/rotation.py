"""Another key-encryption key for a data directory, so that being killed at any moment loses nothing.

1. The new key is on disk, in the file that was named. The old one is in use.
2. One transaction seals every data key a second time, by the new key. Either key opens the database from here on.
3. The new key takes the place of the old one in the file that the service reads, in one step. If the service has its
   key from the environment, a person does this.
4. What the old key sealed is removed. If this does not happen here, it does at the first start with the new key.

Run again after being killed, it goes on where it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.key_source import KeySource, make_key_file, read_key_file, replace_key_file
from gateway.store.sqlite.backup import held
from gateway.store.sqlite.data_keys import confirm, has_keys, needed, open_keys, reseal
from gateway.store.sqlite.files import database_in, open_existing, transaction
from gateway.store.store import StoreError
from gateway.vault import KeyEncryptionKey


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done."""

    was_in_use: bool
    """The new key was in its place already; there was little or nothing to do."""
    kept: Path | None = None
    """Where the old key is kept; None if the environment holds it."""


def _nothing(_step: str) -> None:
    pass


def rotate(
    data_dir: Path, source: KeySource, new_file: Path, at: datetime, at_step: Callable[[str], None] = _nothing
) -> Rotation:
    """``new_file`` holds the new key, or it is made there. Raises ``StoreError`` (also while a service works there),
    ``VaultError``."""
    with held(data_dir), open_existing(database_in(data_dir)) as connection:
        if not has_keys(connection):
            raise StoreError(f"{data_dir}: no service was ever started here, so there is no key to change")
        old = needed(source)
        open_keys(connection, old, source.place)
        new = read_key_file(new_file) or make_key_file(new_file, KeyEncryptionKey.new())
        at_step("new key made")
        if new == old:
            _shut_out_older(connection, new, source)
            return Rotation(was_in_use=True)
        with transaction(connection):
            reseal(connection, old, new, at)
        at_step("sealed by both")
        if source.text is not None:
            return Rotation(was_in_use=False)
        kept = replace_key_file(source.file, old, new)
        at_step("new key in place")
        _shut_out_older(connection, new, source)
        at_step("old key shut out")
        return Rotation(was_in_use=False, kept=kept)


def _shut_out_older(connection: sqlite3.Connection, key: KeyEncryptionKey, source: KeySource) -> None:
    with transaction(connection):
        open_keys(connection, key, source.place)
        confirm(connection, key)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the old sealings stand in the log, too
