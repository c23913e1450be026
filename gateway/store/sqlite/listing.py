"""Lists of orders, newest first. Each state is looked for in the index that has few enough rows of others."""

from __future__ import annotations

import sqlite3
from heapq import merge
from itertools import islice

from gateway.orders import FINAL_STATES, OrderState
from gateway.store.records import OrderFilter, OrderRecord
from gateway.store.sqlite.rows import SELECT_ORDER, order_record

_NEWEST = 2**63 - 1
_DUE_STATES = tuple(state for state in OrderState if state not in (*FINAL_STATES, OrderState.HELD))


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
    due = " AND orders.due_at IS NOT NULL" if state in _DUE_STATES else ""
    return f" AND orders.state = '{state.value}'{due}"
