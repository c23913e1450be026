"""Whether the database is a copy of the past. Then everything since is unknown: what was sent, and which counters.

``stsgate backup`` marks the copy that it makes. A raw copy of the file that somebody puts back bears no mark, but is
recognised: the database and a small file beside it hold the same number, the *generation*, which grows at every start,
at every end and every so often in between, first in the database and then in the file. A database that is behind its
file is a copy of the past. A snapshot of the whole directory takes both back; whoever puts one in place says so, with
``stsgate restore --in-place``.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from pathlib import Path

from gateway.key_source import fsync_directory, write_durably
from gateway.store.sqlite.times import micros, moment
from gateway.store.store import StoreBroken, StoreFull

_FILE_NAME = "generation"
_RESTORED = "restored"
_GENERATION = "generation"


def mark_restored(connection: sqlite3.Connection, at: datetime) -> None:
    """Of what time this copy is. An earlier mark that nobody has acted upon stays. In a transaction."""
    connection.execute("INSERT OR IGNORE INTO setting (key, value) VALUES (?, ?)", (_RESTORED, str(micros(at))))


def restored_at(connection: sqlite3.Connection) -> datetime | None:
    """The time of the copy that this database is, until ``recovery.recover`` has acted upon it."""
    value = _setting(connection, _RESTORED)
    return None if value is None else moment(int(value))


def start_generation(connection: sqlite3.Connection, directory: Path, at: datetime) -> int:
    """At the start, in a transaction, before anything is done: marks the database if it is behind the file. The new
    number, for ``write_generation`` after the commit. Raises ``StoreBroken``, ``StoreFull`` for the file."""
    beside = read_generation(directory)
    if _generation(connection) < beside:
        mark_restored(connection, at)
    return _advance(connection, beside)


def next_generation(connection: sqlite3.Connection) -> int:
    """Every so often and at the end, in a transaction; the new number, for ``write_generation`` after the commit."""
    return _advance(connection, 0)


def read_generation(directory: Path) -> int:
    """0 if there is none yet. Raises ``StoreBroken``, ``StoreFull``."""
    path = directory / _FILE_NAME
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise StoreFull(f"{path} cannot be read: {error}") from error
    if not (text.isdigit() and len(text) < 19):
        raise StoreBroken(f"{path}: expected a number; if it was damaged, run stsgate restore --in-place and remove it")
    return int(text)


def write_generation(directory: Path, number: int) -> None:
    """In one step, on disk when this returns. Raises ``StoreFull``."""
    path = directory / _FILE_NAME
    partial = path.with_name(f"{_FILE_NAME}.{os.getpid()}.new")
    try:
        partial.unlink(missing_ok=True)
        write_durably(partial, f"{number}\n".encode())
        partial.replace(path)
        fsync_directory(directory)
    except OSError as error:
        raise StoreFull(f"{path} cannot be written: {error.strerror}") from error


def _advance(connection: sqlite3.Connection, at_least: int) -> int:
    number = max(_generation(connection), at_least) + 1
    connection.execute(
        "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
        (_GENERATION, str(number)),
    )
    return number


def _generation(connection: sqlite3.Connection) -> int:
    return int(_setting(connection, _GENERATION) or 0)


def _setting(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])
