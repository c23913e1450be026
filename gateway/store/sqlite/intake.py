"""Orders that are handed in: each is taken whole or not at all, and the same one again is known; within a transaction.

All questions are asked before anything of an order is written.
"""

from __future__ import annotations

from gateway import timeline
from gateway.orders import Order, OrderState
from gateway.store.records import Added, AddResult, Conflict, Known
from gateway.store.sqlite.database import VaultLike, WriteConnection
from gateway.store.sqlite.events import append, to_json
from gateway.store.sqlite.lane_rows import STANDING_COLUMNS, Standing, line_up
from gateway.store.sqlite.purge import removed_id
from gateway.store.sqlite.sealed import seal_token, token_digest
from gateway.store.sqlite.times import micros, micros_or_none

_ASK = f"""
    SELECT ifnull(
        (SELECT body_digest FROM orders WHERE id = ?1),
        (SELECT body_digest FROM removed_order WHERE id_digest = ?2)
    ), lane.meter, {STANDING_COLUMNS}
    FROM (SELECT 1) LEFT JOIN meter ON meter.id = ?3 AND meter.removed_at IS NULL
        LEFT JOIN lane ON lane.meter = meter.number
"""  # noqa: S608 - constants of ours
_INSERT = """
    INSERT INTO orders
        (id, meter, rank, state, created_at, changed_at, due_at, not_before, expires_at, body_digest, key, new_key)
    VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
"""
_INSERT_PART = """
    INSERT INTO token (order_number, position, sealed, last_digits, kind, amount, unit) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_SEEN = "SELECT order_id FROM token_seen WHERE meter = ? AND digest = ?"
_INSERT_SEEN = "INSERT INTO token_seen (meter, digest, order_id) VALUES (?, ?, ?)"


class Intake:
    """Takes orders, one after the other, in one transaction."""

    def __init__(self, connection: WriteConnection, vault: VaultLike, now: int, who: str) -> None:
        self._connection = connection
        self._vault = vault
        self._now = now
        self._who = who

    def take(self, order: Order, body: bytes) -> AddResult:
        """``body`` is the caller's, in canonical form. What becomes of this order; others are not touched by it."""
        body_digest = self._vault.digest("order-body", body)
        values = (order.id, removed_id(order.id), order.meter)
        known, meter, *standing = self._connection.execute(_ASK, values).fetchone()
        if known is not None:
            if known == body_digest:
                return Known(order.id)
            return Conflict(order.id, "id", "an order with this id is there already, with another body", order.id)
        if meter is None:
            return Conflict(order.id, "meter", f"there is no meter {order.meter}")
        digests = {
            position: token_digest(self._vault, ordered.token)
            for position, ordered in enumerate(order.tokens)
            if ordered.works_once
        }
        for position, digest in digests.items():
            other = self._connection.execute(_SEEN, (meter, digest)).fetchone()
            if other is not None:
                message = f"token {order.tokens[position].token.masked} belongs to order {other[0]} of this meter"
                return Conflict(order.id, f"tokens[{position}]", message, other[0])
        due_at = self._now if order.not_before is None else max(self._now, micros(order.not_before))
        self._write(order, meter, body_digest, due_at)
        self._connection.executemany(_INSERT_SEEN, [(meter, digest, order.id) for digest in digests.values()])
        rank = order.priority.rank
        line_up(self._connection, meter, Standing(*standing), rank=rank, due_at=due_at, now=self._now)
        return Added(order.id)

    def _write(self, order: Order, meter: int, body_digest: bytes, due_at: int) -> None:
        state = OrderState.QUEUED if due_at <= self._now else OrderState.WAITING
        inserted = self._connection.execute(
            _INSERT,
            (
                order.id,
                meter,
                order.priority.rank,
                state.value,
                self._now,
                due_at,
                micros_or_none(order.not_before),
                micros_or_none(order.expires_at),
                body_digest,
                None if order.key is None else to_json(order.key),
                None if order.new_key is None else to_json(order.new_key),
            ),
        )
        self._connection.counts[state, ""] += 1
        number = inserted.lastrowid
        assert number is not None
        self._connection.executemany(
            _INSERT_PART,
            [
                (
                    number,
                    position,
                    seal_token(self._vault, ordered.token, order.id, position),
                    ordered.token.digits[-4:],
                    ordered.kind.value,
                    None if ordered.amount is None else str(ordered.amount.value),
                    None if ordered.amount is None else ordered.amount.unit,
                )
                for position, ordered in enumerate(order.tokens)
            ],
        )
        append(self._connection, number, self._now, timeline.order_created(order, self._who))
