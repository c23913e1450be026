"""The registry in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway.store.records import MeterRecord
from gateway.store.sqlite.audit import audit_in
from gateway.store.sqlite.database import Database, VaultLike, WriteConnection
from gateway.store.sqlite.events import to_json
from gateway.store.sqlite.lane_rows import wake
from gateway.store.sqlite.links import settle_link
from gateway.store.sqlite.sealed import open_secrets, seal_secrets
from gateway.store.sqlite.times import micros, moment, moment_or_none
from gateway.store.store import InUse, Meters

_SELECT = "SELECT id, link, settings, version, created_at, changed_at, last_seen_at, secrets FROM meter"
# Each as its index has it, word for word.
_FIND = f"""
    {_SELECT} WHERE number IN (
        SELECT number FROM meter INDEXED BY meter_by_endpoint
        WHERE removed_at IS NULL AND json_extract(settings, '$.endpoint') = ?1
        UNION
        SELECT number FROM meter INDEXED BY meter_by_system_title
        WHERE removed_at IS NULL AND upper(json_extract(settings, '$.security.meter_system_title')) = ?2
    ) ORDER BY id LIMIT ?3
"""  # noqa: S608 - constants of ours
_PUT = """
    INSERT INTO meter (id, link, settings, secrets, created_at, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
    ON CONFLICT (id) DO UPDATE SET link = ?2, settings = ?3, secrets = ?4, changed_at = ?5, version = version + 1,
        created_at = iif(removed_at IS NULL, created_at, ?5), removed_at = NULL
    RETURNING number
"""
# It may be another device now: what the old one showed before a try proves nothing about this one.
_OUTDATED = """
    UPDATE token SET before = NULL
    WHERE before IS NOT NULL
        AND order_number IN (SELECT number FROM orders INDEXED BY orders_open WHERE meter = ? AND closed_at IS NULL)
"""
_REACHABLE = """
    UPDATE orders INDEXED BY orders_open SET due_at = max(?1, ifnull(not_before, ?1))
    WHERE meter = ?2 AND closed_at IS NULL AND due_at > max(?1, ifnull(not_before, ?1))
        AND (state = 'waiting' OR state = 'in_doubt')
"""


class SqliteMeters(Meters):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, meter: MeterRecord, *, who: str) -> bool:
        at, vault = micros(self._database.now()), self._database.vault

        def write(connection: WriteConnection) -> bool:
            is_new = _put(connection, vault, meter, at)
            shown = {"link": meter.link, "secrets": sorted(meter.secrets)}
            audit_in(connection, at, who, "meter.put", meter.id, shown)
            return is_new

        return await self._database.write(write)

    async def get(self, meter_id: str) -> MeterRecord | None:
        vault = self._database.vault

        def read(connection: sqlite3.Connection) -> MeterRecord | None:
            row = connection.execute(f"{_SELECT} WHERE id = ? AND removed_at IS NULL", (meter_id,)).fetchone()
            return None if row is None else _record(row[:-1], open_secrets(vault, row[-1], meter_id))

        return await self._database.read(read)

    async def list(self, *, after: str = "", limit: int = 100, link: str | None = None) -> Sequence[MeterRecord]:
        on_link = "" if link is None else "AND link = ?"
        query = f"{_SELECT} WHERE removed_at IS NULL AND id > ? {on_link} ORDER BY id LIMIT ?"
        values = (after, limit) if link is None else (after, link, limit)

        def read(connection: sqlite3.Connection) -> Sequence[MeterRecord]:
            return [_record(row[:-1], {}) for row in connection.execute(query, values)]

        return await self._database.read(read)

    async def find(self, *, endpoint: str = "", system_title: bytes = b"", limit: int = 100) -> Sequence[MeterRecord]:
        values = (endpoint or None, system_title.hex().upper() or None, limit)

        def read(connection: sqlite3.Connection) -> Sequence[MeterRecord]:
            return [_record(row[:-1], {}) for row in connection.execute(_FIND, values)]

        return await self._database.read(read)

    async def remove(self, meter_id: str, *, who: str) -> bool:
        at = micros(self._database.now())

        def write(connection: WriteConnection) -> bool:
            if not _remove(connection, meter_id, at, seal_secrets(self._database.vault, {}, meter_id)):
                return False
            audit_in(connection, at, who, "meter.remove", meter_id, {})
            return True

        return await self._database.write(write)

    async def seen(self, meter_id: str) -> int:
        now = micros(self._database.now())

        def write(connection: WriteConnection) -> int:
            found = connection.execute(
                "UPDATE meter SET last_seen_at = ? WHERE id = ? AND removed_at IS NULL RETURNING number",
                (now, meter_id),
            ).fetchone()
            if found is None:
                return 0
            count = connection.execute(_REACHABLE, (now, found[0])).rowcount
            wake(connection, found[0], now, now)
            return count

        return await self._database.write(write)


def _put(connection: WriteConnection, vault: VaultLike, meter: MeterRecord, now: int) -> bool:
    known = connection.execute("SELECT link, secrets, removed_at FROM meter WHERE id = ?", (meter.id,)).fetchone()
    is_new = known is None or known[2] is not None
    secrets = {**({} if known is None else open_secrets(vault, known[1], meter.id)), **meter.secrets}
    sealed = seal_secrets(vault, {name: value for name, value in secrets.items() if value}, meter.id)
    (number,) = connection.execute(_PUT, (meter.id, meter.link, to_json(meter.settings), sealed, now)).fetchone()
    connection.execute(
        "INSERT INTO lane (meter) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM lane WHERE meter = ?1)", (number,)
    )
    connection.execute(_OUTDATED, (number,))
    settle_link(connection, meter.link, number)
    if known is not None and known[0] != meter.link:
        settle_link(connection, known[0], None)
    return is_new


def _remove(connection: WriteConnection, meter_id: str, now: int, no_secrets: bytes) -> bool:
    known = connection.execute(
        "SELECT number, link FROM meter WHERE id = ? AND removed_at IS NULL", (meter_id,)
    ).fetchone()
    if known is None:
        return False
    number, link = known
    (open_orders,) = connection.execute(
        "SELECT count(*) FROM orders INDEXED BY orders_open WHERE meter = ? AND closed_at IS NULL", (number,)
    ).fetchone()
    if open_orders:
        raise InUse(f"meter {meter_id} has {open_orders} open order{'s' if open_orders > 1 else ''}")
    connection.execute(
        "UPDATE meter SET removed_at = ?, changed_at = ?, settings = '{}', secrets = ?, version = version + 1 "
        "WHERE number = ?",
        (now, now, no_secrets, number),
    )
    connection.execute(
        "UPDATE lane SET link = NULL, due_at = NULL, owner = NULL, fence = fence + 1 WHERE meter = ?", (number,)
    )
    settle_link(connection, link, None)
    return True


def _record(row: tuple[Any, ...], secrets: dict[str, str]) -> MeterRecord:
    meter_id, link, settings, version, created_at, changed_at, last_seen_at = row
    return MeterRecord(
        id=meter_id,
        link=link,
        settings=json.loads(settings),
        secrets=secrets,
        version=version,
        created_at=moment(created_at),
        changed_at=moment(changed_at),
        last_seen_at=moment_or_none(last_seen_at),
    )
