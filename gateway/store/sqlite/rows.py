"""Orders and tokens, from rows to values."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from typing import Any

from cosem_objects.sts_token import Token
from gateway.orders import PRIORITY_OF_RANK, Amount, OrderKind, OrderState
from gateway.store.records import Details, OrderRecord, OrderWork, TokenRecord, TokenWork
from gateway.store.sqlite.changes import OrderRow
from gateway.store.sqlite.database import VaultLike
from gateway.store.sqlite.sealed import open_before, open_token
from gateway.store.sqlite.times import moment, moment_or_none
from gateway.verdict import Credited, Outcome

ORDER_COLUMNS = """
    orders.number, orders.id, meter.id, orders.rank, orders.state, orders.reason, orders.maybe_delivered,
    orders.created_at, orders.changed_at, orders.due_at, orders.not_before, orders.expires_at,
    orders.attempts, orders.doubts, orders.key, orders.new_key
"""
SELECT_ORDER = f"SELECT {ORDER_COLUMNS} FROM orders JOIN meter ON meter.number = orders.meter"  # noqa: S608 - constants of ours

_SELECT_TOKENS = """
    SELECT token.position, token.last_digits, token.kind, token.amount, token.unit, token.tries,
        ifnull(outcome.verdict, token.verdict), ifnull(outcome.credited, token.credited),
        CASE WHEN outcome.at IS NULL THEN token.status_code ELSE outcome.status_code END,
        CASE WHEN outcome.at IS NULL THEN token.reason ELSE outcome.reason END,
        CASE WHEN outcome.at IS NULL THEN token.evidence ELSE outcome.evidence END,
        ifnull(outcome.details, token.details)
    FROM token LEFT JOIN outcome USING (order_number, position)
    WHERE token.order_number = ? ORDER BY token.position
"""
_SELECT_OPEN_TOKENS = """
    SELECT token.position, token.sealed, token.kind, token.amount, token.unit, token.tries, token.before
    FROM token LEFT JOIN outcome USING (order_number, position)
    WHERE token.order_number = ? AND outcome.at IS NULL ORDER BY token.position
"""
_SELECT_BESIDE = """
    SELECT orders.id, token.position, token.sealed
    FROM orders INDEXED BY orders_begun JOIN token ON token.order_number = orders.number
        LEFT JOIN outcome USING (order_number, position)
    WHERE orders.meter = ? AND orders.state = 'in_doubt' AND orders.number <> ? AND outcome.at IS NULL
"""


def order_record(connection: sqlite3.Connection, row: tuple[Any, ...]) -> OrderRecord:
    """From a row of ``SELECT_ORDER``; reads its tokens."""
    tokens = tuple(map(_token_record, connection.execute(_SELECT_TOKENS, (row[0],))))
    return OrderRecord(
        number=row[0],
        id=row[1],
        meter=row[2],
        priority=PRIORITY_OF_RANK[row[3]],
        state=OrderState(row[4]),
        reason=row[5],
        maybe_delivered=bool(row[6]),
        created_at=moment(row[7]),
        changed_at=moment(row[8]),
        due_at=moment_or_none(row[9]),
        not_before=moment_or_none(row[10]),
        expires_at=moment_or_none(row[11]),
        attempts=row[12],
        doubts=row[13],
        key=None if row[14] is None else json.loads(row[14]),
        new_key=None if row[15] is None else json.loads(row[15]),
        tokens=tokens,
    )


def order_by_id(connection: sqlite3.Connection, order_id: str) -> OrderRecord | None:
    row = connection.execute(f"{SELECT_ORDER} WHERE orders.id = ?", (order_id,)).fetchone()
    return None if row is None else order_record(connection, row)


def order_work(connection: sqlite3.Connection, vault: VaultLike, order: OrderRow, meter_id: str) -> OrderWork:
    """What a lane's holder needs of an open order, its tokens opened."""
    tokens = connection.execute(_SELECT_OPEN_TOKENS, (order.number,)).fetchall()
    opened = tuple(_token_work(vault, order.id, row) for row in tokens)
    changes_key = any(token.kind is OrderKind.KEY_CHANGE for token in opened)
    return OrderWork(
        number=order.number,
        id=order.id,
        meter=meter_id,
        state=order.state,
        maybe_delivered=order.maybe_delivered,
        priority=PRIORITY_OF_RANK[order.rank],
        tokens=opened,
        attempts=order.attempts,
        doubts=order.doubts,
        not_before=moment_or_none(order.not_before),
        expires_at=moment_or_none(order.expires_at),
        beside=_beside(connection, vault, order) if order.maybe_delivered else (),
        new_key=_new_key(connection, order.number) if changes_key else None,
    )


def _new_key(connection: sqlite3.Connection, number: int) -> Details | None:
    (text,) = connection.execute("SELECT new_key FROM orders WHERE number = ?", (number,)).fetchone()
    new_key: Details | None = None if text is None else json.loads(text)
    return new_key


def _beside(connection: sqlite3.Connection, vault: VaultLike, order: OrderRow) -> tuple[Token, ...]:
    rows = connection.execute(_SELECT_BESIDE, (order.meter, order.number)).fetchall()
    return tuple(open_token(vault, sealed, order_id, position) for order_id, position, sealed in rows)


def _token_work(vault: VaultLike, order_id: str, row: tuple[Any, ...]) -> TokenWork:
    position, sealed, kind, amount, unit, tries, sealed_before = row
    before, account_before = open_before(vault, sealed_before, order_id, position)
    return TokenWork(
        position=position,
        token=open_token(vault, sealed, order_id, position),
        kind=OrderKind(kind),
        amount=_amount(amount, unit),
        tries=tries,
        before=before,
        account_before=account_before,
    )


def _token_record(row: tuple[Any, ...]) -> TokenRecord:
    position, last_digits, kind, amount, unit, tries, verdict, credited, status_code, reason, evidence, details = row
    return TokenRecord(
        position=position,
        masked=f"…{last_digits}",
        kind=OrderKind(kind),
        amount=_amount(amount, unit),
        tries=tries,
        verdict=None if verdict is None else Outcome(verdict),
        credited=None if credited is None else Credited(credited),
        status_code=status_code,
        reason=reason,
        evidence=evidence,
        details={} if details is None else json.loads(details),
    )


def _amount(value: str | None, unit: str | None) -> Amount | None:
    return None if value is None or unit is None else Amount(Decimal(value), unit)
