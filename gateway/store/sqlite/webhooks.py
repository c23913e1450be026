"""Webhooks in SQLite. What is to be told is a row for each event and webhook, written with the event itself."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from gateway.store.records import EventRecord, WebhookDelivery, WebhookRecord
from gateway.store.sqlite.audit import audit_in
from gateway.store.sqlite.database import Database, VaultLike
from gateway.store.sqlite.times import micros, micros_or_none, moment, moment_or_none
from gateway.store.store import Webhooks
from gateway.timeline import FINAL_OR_HELD

_ERROR_CHARACTERS_MAX = 500

_WEBHOOK = "SELECT id, url, secret, events, is_active, created_at, waiting, dead FROM webhook"
_DELIVERY = """
SELECT webhook_delivery.number, webhook, webhook_delivery.attempts, webhook_delivery.due_at, is_dead, last_error,
    event.number, orders.id, meter.id, event.at, event.name, event.position, event.details
FROM webhook_delivery
JOIN event ON event.number = webhook_delivery.event
JOIN orders ON orders.number = event.order_number
JOIN meter ON meter.number = orders.meter
WHERE webhook = ? AND is_dead = ?
"""

_OLDEST_FIRST = "ORDER BY webhook_delivery.due_at, webhook_delivery.number LIMIT ?"


def queue_webhooks(connection: sqlite3.Connection, event_number: int, name: str, at: int) -> None:
    """Who wants this event will be told, from ``at`` (microseconds) on: within the event's transaction. Without
    webhooks this is one look in an index."""
    connection.execute(
        "INSERT INTO webhook_delivery (webhook, event, due_at) SELECT webhook, ?, ? FROM webhook_event WHERE name = ?",
        (event_number, at, name),
    )


class SqliteWebhooks(Webhooks):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, webhook: WebhookRecord, *, who: str) -> bool:
        at = micros(self._database.now())

        def write(connection: sqlite3.Connection) -> bool:
            is_new = _put(connection, self._database.vault, webhook, at)
            # The rest of a URL may be the receiver's secret.
            shown = {
                "host": urlsplit(webhook.url).netloc,
                "events": list(webhook.events),
                "is_active": webhook.is_active,
            }
            audit_in(connection, at, who, "webhook.put", webhook.id, {**shown, "is_new": is_new})
            return is_new

        return await self._database.write(write)

    async def get(self, webhook_id: str) -> WebhookRecord | None:
        def read(connection: sqlite3.Connection) -> WebhookRecord | None:
            row = connection.execute(f"{_WEBHOOK} WHERE id = ?", (webhook_id,)).fetchone()
            return None if row is None else _webhook(row, self._database.vault)

        return await self._database.read(read)

    async def list(self) -> Sequence[WebhookRecord]:
        def read(connection: sqlite3.Connection) -> Sequence[WebhookRecord]:
            return [_webhook(row, self._database.vault) for row in connection.execute(f"{_WEBHOOK} ORDER BY id")]

        return await self._database.read(read)

    async def remove(self, webhook_id: str, *, who: str) -> bool:
        at = micros(self._database.now())

        def write(connection: sqlite3.Connection) -> bool:
            # Its deliveries first: removed through the foreign key, each would change the row that is going.
            connection.execute("DELETE FROM webhook_delivery WHERE webhook = ?", (webhook_id,))
            if connection.execute("DELETE FROM webhook WHERE id = ?", (webhook_id,)).rowcount == 0:
                return False
            audit_in(connection, at, who, "webhook.remove", webhook_id, {})
            return True

        return await self._database.write(write)

    async def due(self, *, limit: int) -> tuple[Sequence[WebhookDelivery], datetime | None]:
        """Each active webhook has its share of ``limit``, so that one with a long queue does not stop the others."""
        now = micros(self._database.now())
        return await self._database.read(lambda connection: _due(connection, now, limit))

    async def delivered(self, numbers: Sequence[int]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            rows = [(number,) for number in numbers]
            connection.executemany("DELETE FROM webhook_delivery WHERE number = ?", rows)

        await self._database.write(write)

    async def failed(self, number: int, *, error: str, due_at: datetime | None) -> None:
        shown = error[:_ERROR_CHARACTERS_MAX]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE webhook_delivery SET attempts = attempts + 1, last_error = ?, is_dead = ?, "
                "due_at = ifnull(?, due_at) WHERE number = ?",
                (shown, due_at is None, micros_or_none(due_at), number),
            )

        await self._database.write(write)

    async def dead(self, webhook_id: str, *, limit: int = 100) -> Sequence[WebhookDelivery]:
        def read(connection: sqlite3.Connection) -> Sequence[WebhookDelivery]:
            query = f"{_DELIVERY} {_OLDEST_FIRST}"
            return [_delivery(row) for row in connection.execute(query, (webhook_id, True, limit))]

        return await self._database.read(read)

    async def replay(self, webhook_id: str, *, who: str) -> int:
        at = micros(self._database.now())

        def write(connection: sqlite3.Connection) -> int:
            replayed = connection.execute(
                "UPDATE webhook_delivery SET is_dead = 0, attempts = 0, due_at = ? WHERE webhook = ? AND is_dead = 1",
                (at, webhook_id),
            ).rowcount
            audit_in(connection, at, who, "webhook.replay", webhook_id, {"deliveries": replayed})
            return replayed

        return await self._database.write(write)


def _put(connection: sqlite3.Connection, vault: VaultLike, webhook: WebhookRecord, at: int) -> bool:
    """An empty secret leaves that of an existing webhook as it is."""
    sealed = vault.seal(webhook.secret.encode(), _identity(webhook.id)) if webhook.secret else None
    values = (webhook.url, json.dumps(webhook.events), webhook.is_active)
    changed = connection.execute(
        "UPDATE webhook SET url = ?, events = ?, is_active = ?, secret = ifnull(?, secret) WHERE id = ?",
        (*values, sealed, webhook.id),
    ).rowcount
    if not changed:
        if sealed is None:
            raise ValueError(f"webhook {webhook.id}: a new one needs a secret")
        connection.execute(
            "INSERT INTO webhook (url, events, is_active, secret, id, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            (*values, sealed, webhook.id, at),
        )
    connection.execute("DELETE FROM webhook_event WHERE webhook = ?", (webhook.id,))
    if webhook.is_active:
        connection.executemany(
            "INSERT OR IGNORE INTO webhook_event (name, webhook) VALUES (?, ?)",
            [(name, webhook.id) for name in webhook.events or FINAL_OR_HELD],
        )
    return not changed


def _due(connection: sqlite3.Connection, now: int, limit: int) -> tuple[Sequence[WebhookDelivery], datetime | None]:
    active = [webhook_id for (webhook_id,) in connection.execute("SELECT id FROM webhook WHERE is_active = 1")]
    found: list[WebhookDelivery] = []
    later: list[int] = []
    share = max(1, limit // max(1, len(active)))
    for webhook_id in active:
        query = f"{_DELIVERY} AND webhook_delivery.due_at <= ? {_OLDEST_FIRST}"
        found += map(_delivery, connection.execute(query, (webhook_id, False, now, share)))
        (next_due,) = connection.execute(
            "SELECT min(due_at) FROM webhook_delivery WHERE webhook = ? AND is_dead = 0 AND due_at > ?",
            (webhook_id, now),
        ).fetchone()
        later += [] if next_due is None else [next_due]
    found.sort(key=lambda delivery: (delivery.due_at, delivery.number))
    return found[:limit], moment_or_none(min(later, default=None))


def _identity(webhook_id: str) -> str:
    return f"webhook:{webhook_id}"


def _webhook(row: tuple[str, str, bytes, str, int, int, int, int], vault: VaultLike) -> WebhookRecord:
    webhook_id, url, sealed, events, is_active, created_at, waiting, dead = row
    return WebhookRecord(
        id=webhook_id,
        url=url,
        secret=vault.open(sealed, _identity(webhook_id)).decode(),
        events=tuple(json.loads(events)),
        is_active=bool(is_active),
        created_at=moment(created_at),
        waiting=waiting,
        dead=dead,
    )


def _delivery(
    row: tuple[int, str, int, int, int, str | None, int, str, str, int, str, int | None, str],
) -> WebhookDelivery:
    number, webhook, attempts, due_at, is_dead, last_error, event, order, meter, at, name, position, details = row
    return WebhookDelivery(
        number=number,
        webhook=webhook,
        event=EventRecord(
            number=event,
            order=order,
            meter=meter,
            at=moment(at),
            name=name,
            position=position,
            details=json.loads(details),
        ),
        attempts=attempts,
        due_at=moment(due_at),
        is_dead=bool(is_dead),
        last_error=last_error,
    )
