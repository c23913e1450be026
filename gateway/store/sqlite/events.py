"""The story of all orders in SQLite: only ever appended to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from gateway.store.records import EventRecord, NewEvent
from gateway.store.sqlite.database import Bell, Database, WriteConnection
from gateway.store.sqlite.times import moment
from gateway.store.sqlite.webhooks import queue_webhooks
from gateway.store.store import Events

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_SELECT = """
    SELECT event.number, orders.id, meter.id, event.at, event.name, event.position, event.details
    FROM event JOIN orders ON orders.number = event.order_number JOIN meter ON meter.number = orders.meter
"""


class SqliteEvents(Events):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, number: int, *, limit: int = 500, order: str | None = None) -> Sequence[EventRecord]:
        if order is not None:
            return await self._database.read(lambda connection: events_of(connection, order, number, limit))
        query = f"{_SELECT} WHERE event.number > ? ORDER BY event.number LIMIT ?"
        return await self._database.read(
            lambda connection: [_record(row) for row in connection.execute(query, (number, limit))]
        )

    async def last_number(self) -> int:
        def read(connection: sqlite3.Connection) -> int:
            # Not the highest that is still there: a purge must not let a number be given out again.
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
            return 0 if row is None else int(row[0])

        return await self._database.read(read)


def append(connection: WriteConnection, order_number: int, at: int, event: NewEvent) -> None:
    """One line, and what webhooks are to be told of it, in the transaction of what happened."""
    values = (order_number, at, event.name, event.position, to_json(event.details))
    written = connection.execute(
        "INSERT INTO event (order_number, at, name, position, details) VALUES (?, ?, ?, ?, ?)", values
    )
    if connection.told_names is None:
        names = connection.execute("SELECT DISTINCT name FROM webhook_event")
        connection.told_names = frozenset(name for (name,) in names)
    if event.name in connection.told_names:
        assert written.lastrowid is not None
        queue_webhooks(connection, written.lastrowid, event.name, at)
    connection.bells.add(Bell.EVENTS)


def append_all(connection: WriteConnection, order_number: int, at: int, events: Iterable[NewEvent]) -> None:
    for event in events:
        append(connection, order_number, at, event)


def events_of(connection: sqlite3.Connection, order_id: str, after: int = 0, limit: int = -1) -> Sequence[EventRecord]:
    """One order's story, oldest first; a negative limit is none."""
    query = f"{_SELECT} WHERE orders.id = ? AND event.number > ? ORDER BY event.number LIMIT ?"
    return [_record(row) for row in connection.execute(query, (order_id, after, limit))]


def to_json(value: object) -> str:
    return _ENCODER.encode(value)


def _record(row: tuple[int, str, str, int, str, int | None, str]) -> EventRecord:
    number, order, meter, at, name, position, details = row
    return EventRecord(
        number=number,
        order=order,
        meter=meter,
        at=moment(at),
        name=name,
        position=position,
        details=json.loads(details),
    )
