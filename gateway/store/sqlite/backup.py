"""Copies of the database: made while the service runs, and put back while it does not.

A copy is one file, checked, and marked as a copy: the service that starts on it first takes every open order for maybe
delivered, and lets the invocation counters jump. The key-encryption key is never in it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.key_source import KeySource, fsync_directory
from gateway.store.sqlite.data_keys import has_keys, needed, open_keys
from gateway.store.sqlite.files import database_in, open_existing, transaction
from gateway.store.sqlite.lock import DirectoryLock
from gateway.store.sqlite.restored import mark_restored
from gateway.store.sqlite.store import FILE_NAME
from gateway.store.store import StoreBroken, StoreError, StoreFull
from gateway.vault import VaultError

_BUSY_ROUNDS_MAX = 300
_BUSY_ROUND_SECONDS = 0.1
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """A copy that was put in place."""

    database: Path
    octets: int
    kept: Path | None
    """Where the database is that was there before."""


def back_up(data_dir: Path, destination: Path, at: datetime) -> int:
    """Write a copy that holds all that was committed when this began; its size in octets. Nothing is ever overwritten.
    Raises ``StoreError``."""
    source = database_in(data_dir)
    if os.path.lexists(destination):
        raise StoreError(f"{destination} is there already; name a file that is not")
    with _file_errors(destination), _partial(destination) as partial:
        with open_existing(source) as original:
            _copy(original, partial, source)
        _finish(partial, at)
        os.link(partial, destination)  # unlike a rename, this never replaces anything
        fsync_directory(destination.parent)
        return destination.stat().st_size


def put_back(data_dir: Path, copy: Path, source: KeySource, at: datetime) -> Restored:
    """Put a copy in the database's place, which is kept under another name. Raises ``StoreError`` while a service works
    there, and ``VaultError`` if the key-encryption key is not the copy's; then nothing was changed."""
    if not copy.is_file():
        raise StoreError(f"{copy}: there is no such file")
    with _file_errors(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = data_dir / FILE_NAME
    with held(data_dir), _file_errors(database), _partial(database) as partial:
        shutil.copyfile(copy, partial)
        _finish(partial, at)
        _check_key(partial, source)
        kept = _keep(database, at) if database.exists() else None
        partial.replace(database)
        fsync_directory(data_dir)
        return Restored(database, database.stat().st_size, kept)


def mark_in_place(data_dir: Path, at: datetime) -> None:
    """The database that is there is an old one, such as from a snapshot of the machine. Raises ``StoreError``."""
    with held(data_dir), open_existing(database_in(data_dir)) as connection, transaction(connection):
        mark_restored(connection, at)


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """No service works in this directory meanwhile. Raises ``StoreError`` if one does."""
    lock = DirectoryLock(data_dir)
    lock.take()
    try:
        yield
    finally:
        lock.free()


def _check_key(copy: Path, source: KeySource) -> None:
    with open_existing(copy) as connection:
        try:
            if has_keys(connection):
                open_keys(connection, needed(source), source.place)
        except VaultError as error:
            raise VaultError(f"{error}; put the key from the time of the copy in its place first") from None


def _copy(original: sqlite3.Connection, partial: Path, source: Path) -> None:
    """All pages in one step: a snapshot beside which the service goes on writing. In several steps, each commit in
    between would begin the copy anew (sqlite.org/backup.html)."""
    target = sqlite3.connect(partial, isolation_level=None)
    try:
        original.backup(target, pages=-1, progress=_patience(source), sleep=_BUSY_ROUND_SECONDS)
    finally:
        target.close()


def _patience(source: Path) -> Callable[[int, int, int], None]:
    """Called after each try; without it, a database that stays locked would be waited for without end."""
    rounds = 0

    def count(status: int, _remaining: int, _total: int) -> None:
        nonlocal rounds
        rounds += status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        if rounds > _BUSY_ROUNDS_MAX:
            raise StoreError(f"{source} stays locked by another program")

    return count


def _finish(partial: Path, at: datetime) -> None:
    """Make it one file without a log beside it, look whether it is sound, mark it, and bring it to the disk."""
    with open_existing(partial) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok" or connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreBroken(f"the copy is damaged, so it is not used ({verdict.splitlines()[-1]})")
        with transaction(connection):
            mark_restored(connection, at)
    descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep(database: Path, at: datetime) -> Path:
    """Give the old database a second name, and take away its log: SQLite would play it into whatever has this name.

    Its log is moved into it first. If the file is too damaged for that, what is left of the log is kept beside it.
    """
    kept = database.with_name(f"{database.name}.before-restore-{at:%Y%m%dT%H%M%S.%fZ}")
    with suppress(StoreError), open_existing(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            Path(f"{database}{suffix}").rename(f"{kept}{suffix}")
    os.link(database, kept)
    fsync_directory(database.parent)
    return kept


@contextmanager
def _partial(wanted: Path) -> Iterator[Path]:
    """A file of another name, which only its owner may read; it is gone afterwards."""
    partial = wanted.with_name(f"{wanted.name}.{os.getpid()}.partial")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield partial
    finally:
        for suffix in ("", *_BESIDE):
            Path(f"{partial}{suffix}").unlink(missing_ok=True)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """What the file system refuses is said in one line."""
    try:
        yield
    except OSError as error:
        raise StoreFull(f"{error.filename2 or error.filename or path}: {error.strerror}") from error
