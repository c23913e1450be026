"""The schema and its versions: forward only, each step in one transaction, each step once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from importlib import resources
from pathlib import Path

from gateway.store.sqlite.failures import store_error
from gateway.store.store import StoreBroken, StoreError

APPLICATION_ID = int.from_bytes(b"STSg")
"""PRAGMA application_id: tells our files from other programs'."""
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


@cache
def _migrations() -> Mapping[int, str]:
    """The SQL that leads to each version."""
    found = {}
    for file in (resources.files("gateway.store.sqlite") / "migrations").iterdir():
        name = _FILE_NAME.fullmatch(file.name)
        if name:
            found[int(name[1])] = file.read_text(encoding="utf-8")
    return dict(sorted(found.items()))


def newest_version() -> int:
    """The schema that this program works with."""
    return max(_migrations())


def migrate(path: Path) -> tuple[int, int]:
    """Bring the file to the newest schema, or make it; the versions before and after. Once more does nothing.

    Raises ``StoreBroken`` for a file that is newer or not ours, else ``StoreError``. Whoever calls this holds the lock
    of the directory.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30.0)) as connection:
            before = version_of(connection, path)
            for version, script in _migrations().items():
                if version > before:
                    _apply(connection, version, script)
            return before, newest_version()
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The schema of an open file; 0 = empty. Raises ``StoreBroken``."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (tables or version or application):
        raise StoreBroken(f"{path}: this SQLite file belongs to another program; choose another data directory")
    if version > newest_version():
        raise StoreBroken(
            f"{path}: its schema is {version}, this program knows up to {newest_version()}; run a newer stsgate"
        )
    return int(version)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raises ``StoreError`` if the file is not of the newest schema."""
    version = version_of(connection, path)
    if version != newest_version():
        raise StoreError(f"{path}: its schema is {version}, {newest_version()} is needed; run stsgate migrate")


def _apply(connection: sqlite3.Connection, version: int, script: str) -> None:
    """One step. A script ends what is open before it begins, so the transaction stands inside it."""
    steps = f"BEGIN EXCLUSIVE;\n{script}\nPRAGMA user_version = {version};\n"
    try:
        connection.executescript(f"{steps}PRAGMA application_id = {APPLICATION_ID};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
