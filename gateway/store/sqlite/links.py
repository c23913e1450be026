"""Links in SQLite. A link is there when a meter names it, or when it has limits; lanes of links that only one meter
names, and nobody limits, are kept without a link, so that a claim need not look at each of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from gateway.store.records import LinkRecord
from gateway.store.sqlite.audit import audit_in
from gateway.store.sqlite.database import Bell, Database, WriteConnection
from gateway.store.sqlite.times import micros
from gateway.store.store import Links

_METERS = "(SELECT count(*) FROM meter WHERE meter.link = name.id AND meter.removed_at IS NULL)"
_SELECT = f"""
    SELECT name.id, concurrency, rate_per_second, burst, paused, {_METERS}, link.id IS NOT NULL
    FROM name LEFT JOIN link ON link.id = name.id
"""  # noqa: S608 - constants of ours
_PUT = """
    INSERT INTO link (id, concurrency, rate_per_second, burst, paused) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (id) DO UPDATE SET concurrency = ?2, rate_per_second = ?3, burst = ?4, paused = ?5
"""


class SqliteLinks(Links):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, link: LinkRecord, *, who: str) -> bool:
        at = micros(self._database.now())

        def write(connection: WriteConnection) -> bool:
            known = connection.execute("SELECT 1 FROM link WHERE id = ?", (link.id,)).fetchone()
            limits = (link.concurrency, link.rate_per_second, link.burst, int(link.paused))
            connection.execute(_PUT, (link.id, *limits))
            settle_link(connection, link.id, None)
            connection.bells |= {Bell.WORK, Bell.LINKS}
            details = dict(zip(("concurrency", "rate_per_second", "burst", "paused"), limits, strict=True))
            audit_in(connection, at, who, "link.put", link.id, {**details, "paused": link.paused})
            return known is None

        return await self._database.write(write)

    async def get(self, link_id: str) -> LinkRecord | None:
        def read(connection: sqlite3.Connection) -> LinkRecord | None:
            row = connection.execute(f"WITH name(id) AS (VALUES (?)) {_SELECT}", (link_id,)).fetchone()
            record = _record(row)
            return record if record.is_configured or record.meters else None

        return await self._database.read(read)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[LinkRecord]:
        names = """
            SELECT id FROM (
                SELECT * FROM (SELECT id FROM link WHERE id > ?1 ORDER BY id LIMIT ?2)
                UNION
                SELECT * FROM (SELECT DISTINCT link FROM meter WHERE removed_at IS NULL AND link > ?1
                    ORDER BY link LIMIT ?2)
            ) ORDER BY id LIMIT ?2
        """
        return await self._several(names, (after, limit))

    async def shared(self) -> Sequence[LinkRecord]:
        return await self._several("SELECT id FROM link UNION SELECT link FROM lane WHERE link IS NOT NULL", ())

    async def remove(self, link_id: str, *, who: str) -> bool:
        at = micros(self._database.now())

        def write(connection: WriteConnection) -> bool:
            if connection.execute("DELETE FROM link WHERE id = ?", (link_id,)).rowcount == 0:
                return False
            settle_link(connection, link_id, None)
            connection.bells |= {Bell.WORK, Bell.LINKS}
            audit_in(connection, at, who, "link.remove", link_id, {})
            return True

        return await self._database.write(write)

    async def _several(self, names: str, values: tuple[object, ...]) -> Sequence[LinkRecord]:
        query = f"WITH name(id) AS ({names}) {_SELECT} ORDER BY name.id"

        def read(connection: sqlite3.Connection) -> Sequence[LinkRecord]:
            return [_record(row) for row in connection.execute(query, values)]

        return await self._database.read(read)


def settle_link(connection: WriteConnection, link_id: str, new_meter: int | None) -> None:
    """After limits or meters of this link changed: write into its lanes whether it is shared.

    That can change only while two meters or less name it: with more of them it is shared already, and only the lane of
    ``new_meter`` does not say so yet."""
    meters = [
        meter
        for (meter,) in connection.execute(
            "SELECT number FROM meter WHERE link = ? AND removed_at IS NULL LIMIT 3", (link_id,)
        )
    ]
    is_limited = connection.execute("SELECT 1 FROM link WHERE id = ?", (link_id,)).fetchone() is not None
    in_lane = link_id if is_limited or len(meters) > 1 else None
    if len(meters) > 2:
        meters = [] if new_meter is None else [new_meter]
    changed = connection.executemany(
        "UPDATE lane SET link = ?1 WHERE meter = ?2 AND link IS NOT ?1", [(in_lane, meter) for meter in meters]
    ).rowcount
    if changed > 0:
        connection.bells |= {Bell.WORK, Bell.LINKS}


def _record(row: tuple[Any, ...]) -> LinkRecord:
    link_id, concurrency, rate, burst, paused, meters, is_configured = row
    return LinkRecord(
        id=link_id,
        concurrency=concurrency,
        rate_per_second=rate,
        burst=1 if burst is None else burst,
        paused=bool(paused),
        meters=meters,
        is_configured=bool(is_configured),
    )
