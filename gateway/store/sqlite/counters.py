"""Client invocation counters in SQLite. The database itself refuses one that goes back."""

from __future__ import annotations

import sqlite3

from gateway.store.sqlite.database import Database
from gateway.store.store import Counters

_USED_UP = 0xFFFF_FFFF + 1
"""The first number that is no counter any more: they have 32 bits, and none is used twice under one key."""
JUMP = 1_000_000
"""How far every counter jumps after a restore, unless the setting ``restore_jump`` says otherwise. guess: a thousand
blocks of the usual size, far more than a meter needs between two backups; an installation's figures would settle it."""
_JUMPED = "counters_jumped"
"""How far counters of keys that the database does not know begin above what is asked for: the sum of all jumps."""


class SqliteCounters(Counters):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, meter_id: str, key_name: str, *, at_least: int, size: int) -> range | None:
        if at_least < 0 or size < 1:
            raise ValueError(f"a block of {size} counters from {at_least} on: expected at least one, from 0 on")

        def write(connection: sqlite3.Connection) -> range | None:
            return reserve(connection, meter_id, key_name, at_least=at_least, size=size)

        return await self._database.write(write)

    async def received(self, meter_id: str, key_name: str, last: int) -> None:
        def write(connection: sqlite3.Connection) -> None:
            _ensure(connection, meter_id, key_name)
            connection.execute(
                "UPDATE counter SET last_received = ?1 WHERE meter = ?2 AND key_name = ?3 AND last_received < ?1",
                (last, meter_id, key_name),
            )

        await self._database.write(write)

    async def last_received(self, meter_id: str, key_name: str) -> int:
        def read(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "SELECT last_received FROM counter WHERE meter = ? AND key_name = ?", (meter_id, key_name)
            ).fetchone()
            return -1 if row is None else int(row[0])

        return await self._database.read(read)


def reserve(connection: sqlite3.Connection, meter_id: str, key_name: str, *, at_least: int, size: int) -> range | None:
    """As ``Counters.reserve``, within a transaction."""
    row = connection.execute(
        "SELECT next_own FROM counter WHERE meter = ? AND key_name = ?", (meter_id, key_name)
    ).fetchone()
    known = row[0] if row is not None else None
    if known is None:
        if at_least == 0:
            return None
        # It may have been used since the backup that this database once was: what nobody knows of any more.
        at_least += _setting(connection, _JUMPED) or 0
    first = min(max(known or 0, at_least), _USED_UP)
    last = min(first + size, _USED_UP)
    _ensure(connection, meter_id, key_name)
    connection.execute("UPDATE counter SET next_own = ? WHERE meter = ? AND key_name = ?", (last, meter_id, key_name))
    return range(first, last)


def jump_ahead(connection: sqlite3.Connection) -> int:
    """After a restore: what was reserved since the backup is not known, so every counter goes on far above it. One that
    has no room for that is used up. Within a transaction; returns how many jumped."""
    wanted = _setting(connection, "restore_jump")
    jump = JUMP if wanted is None else wanted
    connection.execute(
        "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
        (_JUMPED, str((_setting(connection, _JUMPED) or 0) + jump)),
    )
    return connection.execute(
        "UPDATE counter SET next_own = min(next_own + ?, ?) WHERE next_own IS NOT NULL", (jump, _USED_UP)
    ).rowcount


def _setting(connection: sqlite3.Connection, key: str) -> int | None:
    row = connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
    return None if row is None else int(row[0])


def _ensure(connection: sqlite3.Connection, meter_id: str, key_name: str) -> None:
    connection.execute(
        "INSERT INTO counter (meter, key_name) SELECT ?1, ?2 "
        "WHERE NOT EXISTS (SELECT 1 FROM counter WHERE meter = ?1 AND key_name = ?2)",
        (meter_id, key_name),
    )
