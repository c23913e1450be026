"""Lists of orders, newest first. Each state is looked for in the index that has few enough rows of others."""

from __future__ import annotations

import sqlite3
from heapq import merge
from itertools import islice

from gateway.orders import FINAL_STATES, OrderState
from gateway.store.records import OrderFilter, OrderRecord
from gateway.store.sqlite.rows import SELECT_ORDER, order_record

_NEWEST = 2**63 - 1


def list_orders(
    connection: sqlite3.Connection, order_filter: OrderFilter, before: int | None, limit: int
) -> list[OrderRecord]:
    """Up to ``limit`` orders whose numbers are below ``before``."""
    states = order_filter.states
    conditions = [""] if states is None else [_condition(state) for state in dict.fromkeys(states)]
    values: list[object] = [_NEWEST if before is None else before]
    narrower = ""
    if order_filter.meter is not None:
        narrower += " AND orders.meter = (SELECT number FROM meter WHERE id = ?)"
        values.append(order_filter.meter)
    if order_filter.reason is not None:
        narrower += " AND orders.reason = ?"
        values.append(order_filter.reason)
    found = [
        connection.execute(
            f"{SELECT_ORDER} WHERE orders.number < ?{narrower}{condition} ORDER BY orders.number DESC LIMIT ?",
            (*values, limit),
        ).fetchall()
        for condition in conditions
    ]
    rows = islice(merge(*found, key=lambda row: row[0], reverse=True), limit)
    return [order_record(connection, row) for row in rows]


def _condition(state: OrderState) -> str:
    """Written out, not bound: only so does SQLite see that a partial index holds all that is asked for."""
    if state is OrderState.ACCEPTED:
        more = ""
    elif state in FINAL_STATES:
        more = f" AND orders.closed_at IS NOT NULL AND orders.state <> '{OrderState.ACCEPTED.value}'"
    else:
        more = " AND orders.closed_at IS NULL"
    return f" AND orders.state = '{state.value}'{more}"
