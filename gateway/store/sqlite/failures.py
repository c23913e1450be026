"""What SQLite's errors mean for the head-end. Messages name the file and what to do, never a value."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.store.store import StoreBroken, StoreError, StoreFull

_NO_ROOM = {
    sqlite3.SQLITE_FULL: "there is no room; it goes on when there is",
    sqlite3.SQLITE_READONLY: "the file is read-only; it goes on when it can be written",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; look at the disk",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; look at its permissions and those of its directory",
    sqlite3.SQLITE_PERM: "the file cannot be opened; look at its permissions",
}
_BROKEN = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged; stop, and restore the last backup",
    sqlite3.SQLITE_NOTADB: "this is no SQLite file; restore the last backup, or choose another data directory",
}
_PRIMARY = 0xFF
"""An extended error code holds the primary one in its low octet (sqlite.org/rescode.html)."""


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else is writing."""
    return _code(error) == sqlite3.SQLITE_BUSY


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """The error to raise in its place."""
    code = _code(error)
    if code in _NO_ROOM:
        return StoreFull(f"{path}: {_NO_ROOM[code]}")
    if code in _BROKEN:
        return StoreBroken(f"{path}: {_BROKEN[code]}")
    return StoreError(f"{path}: {error}")


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & _PRIMARY
