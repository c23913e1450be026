"""Where the database is, and how commands open it that work beside the service or in its place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gateway.store.sqlite.failures import store_error
from gateway.store.sqlite.migrations import version_of
from gateway.store.sqlite.store import FILE_NAME
from gateway.store.store import StoreError

_BUSY_SECONDS = 30.0
_MARKED_FROM = 2
"""The first schema that has a place for the mark of a restored copy."""


def database_in(data_dir: Path) -> Path:
    """The database of a data directory. Raises ``StoreError`` if there is none."""
    path = data_dir / FILE_NAME
    if not path.is_file():
        raise StoreError(f"{data_dir} holds no {FILE_NAME}: is this the service's data directory?")
    return path


@contextmanager
def open_existing(path: Path) -> Iterator[sqlite3.Connection]:
    """A database of ours that is there, with statements that commit by themselves. Raises ``StoreError``."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
        )
        with closing(connection):
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            version = version_of(connection, path)
            if version < _MARKED_FROM:
                raise StoreError(f"{path}: its schema is {version}; run stsgate migrate first")
            yield connection
    except sqlite3.Error as error:
        raise store_error(error, path) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
