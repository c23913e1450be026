"""Retention in SQLite: orders that ended long ago are removed with their story, a few at a time.

What stays: the digests of tokens that work once, so that none is ever taken twice, and two digests of each order, of
its id and of its body. The id is never another order's: the same order handed in again years later is known, and any
other order under this id is refused. About 50 octets for each removed order, for ever.
"""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import datetime
from functools import partial

from gateway.store.sqlite.database import Database
from gateway.store.sqlite.times import micros

_AT_A_TIME = 20
"""Orders in one transaction: all others wait meanwhile. Measured with a million orders: some 120 us for each."""
_DIGEST_OCTETS = 16


async def purge_in_steps(database: Database, closed_before: datetime, limit: int) -> int:
    """As ``Store.purge``, with room for other writers between its steps."""
    removed = 0
    while removed < limit:
        wanted = min(_AT_A_TIME, limit - removed)
        step = await database.write(partial(purge, closed_before=closed_before, limit=wanted))
        removed += step
        if step < wanted:
            break
    return removed


def purge(connection: sqlite3.Connection, closed_before: datetime, limit: int) -> int:
    """Remove up to ``limit`` orders, the oldest first. Within a transaction."""
    old = connection.execute(
        "SELECT number, id, body_digest FROM orders WHERE closed_at < ? ORDER BY closed_at LIMIT ?",
        (micros(closed_before), limit),
    ).fetchall()
    connection.executemany(
        "INSERT INTO removed_order (id_digest, body_digest) VALUES (?, ?)",
        [(removed_id(order_id), body_digest) for _, order_id, body_digest in old],
    )
    numbers = [(number,) for number, _, _ in old]
    for statement in (
        "DELETE FROM webhook_delivery WHERE event IN (SELECT number FROM event WHERE order_number = ?)",
        "DELETE FROM event WHERE order_number = ?",
        "DELETE FROM outcome WHERE order_number = ?",
        "DELETE FROM token WHERE order_number = ?",
        "DELETE FROM orders WHERE number = ?",
    ):
        connection.executemany(statement, numbers)
    return len(old)


def removed_id(order_id: str) -> bytes:
    """What stays of the id of an order that is removed."""
    return hashlib.sha256(order_id.encode()).digest()[:_DIGEST_OCTETS]
