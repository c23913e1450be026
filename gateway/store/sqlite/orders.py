"""Orders in SQLite, as callers and operators see them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from gateway import timeline
from gateway.orders import Change, IllegalChange, Order, OrderState
from gateway.shown import printable
from gateway.store.records import (
    AddResult,
    Details,
    EventRecord,
    OrderFilter,
    OrderRecord,
    Resolution,
    ResolveCredited,
)
from gateway.store.sqlite.audit import audit_in
from gateway.store.sqlite.changes import (
    OrderRow,
    change_order,
    find_order,
    first_was_tried,
    head_positions,
    open_positions,
    write_word,
)
from gateway.store.sqlite.database import Database, WriteConnection
from gateway.store.sqlite.events import append, events_of
from gateway.store.sqlite.intake import Intake
from gateway.store.sqlite.lane_rows import refresh, wake
from gateway.store.sqlite.listing import list_orders
from gateway.store.sqlite.rows import order_by_id
from gateway.store.sqlite.times import micros
from gateway.store.store import NoSuchOrder, Orders


class SqliteOrders(Orders):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, orders: Sequence[tuple[Order, bytes]], *, who: str) -> Sequence[AddResult]:
        now, vault = micros(self._database.now()), self._database.vault

        def write(connection: WriteConnection) -> Sequence[AddResult]:
            intake = Intake(connection, vault, now, who)
            return [intake.take(order, body) for order, body in orders]

        return await self._database.write(write, size=len(orders))

    async def get(self, order_id: str) -> OrderRecord | None:
        return await self._database.read(lambda connection: order_by_id(connection, order_id))

    async def list(
        self, order_filter: OrderFilter, *, before: int | None = None, limit: int = 100
    ) -> Sequence[OrderRecord]:
        return await self._database.read(lambda connection: list_orders(connection, order_filter, before, limit))

    async def timeline(self, order_id: str) -> Sequence[EventRecord]:
        return await self._database.read(lambda connection: events_of(connection, order_id))

    async def cancel(self, order_id: str, *, who: str) -> OrderRecord:
        def change(connection: WriteConnection, order: OrderRow, now: int) -> Details | None:
            if order.state is OrderState.CANCELLED:
                return None
            change_order(connection, order, Change.CANCEL, now, reason=None)
            append(connection, order.number, now, timeline.order_cancelled(who))
            refresh(connection, order.meter, now)
            return {}

        return await self._operate(order_id, who, "order.cancel", change)

    async def reconcile(self, order_id: str, *, who: str) -> OrderRecord:
        def change(connection: WriteConnection, order: OrderRow, now: int) -> Details:
            change_order(connection, order, _again(connection, order), now, reason=order.reason)
            append(connection, order.number, now, timeline.reconcile_requested(who))
            wake(connection, order.meter, now, now)
            return {}

        return await self._operate(order_id, who, "order.reconcile", change)

    async def resolve(self, order_id: str, resolution: Resolution, *, who: str) -> OrderRecord:
        def change(connection: WriteConnection, order: OrderRow, now: int) -> Details:
            _resolve(connection, order, resolution, who, now)
            wake(connection, order.meter, now, now)
            return {"credited": resolution.credited.value, "note": printable(resolution.note)}

        return await self._operate(order_id, who, "order.resolve", change)

    async def _operate(
        self,
        order_id: str,
        who: str,
        action: str,
        change: Callable[[WriteConnection, OrderRow, int], Details | None],
    ) -> OrderRecord:
        """What a person does to one order, with its line in the audit unless nothing came of it."""
        at = micros(self._database.now())

        def write(connection: WriteConnection) -> OrderRecord:
            order = find_order(connection, order_id)
            if order is None:
                raise NoSuchOrder(f"there is no order {order_id}")
            details = change(connection, order, at)
            if details is not None:
                audit_in(connection, at, who, action, order_id, details)
            return _record(connection, order_id)

        return await self._database.write(write)


def _record(connection: sqlite3.Connection, order_id: str) -> OrderRecord:
    record = order_by_id(connection, order_id)
    assert record is not None
    return record


def _again(connection: WriteConnection, order: OrderRow) -> Change:
    """A held order, of which what has its turn was never sent, is tried: there is nothing to read back."""
    if order.state is not OrderState.HELD or first_was_tried(connection, order.number):
        return Change.READ_AGAIN
    return Change.CONTINUE if order.maybe_delivered else Change.RETRY


def _resolve(connection: WriteConnection, order: OrderRow, resolution: Resolution, who: str, now: int) -> None:
    """``yes`` and ``no`` are about the first token that is open, or the key-change set that it begins; what follows in
    the order then has its turn, or is not tried."""
    turn = head_positions(connection, order.number)
    if resolution.credited is ResolveCredited.RETRY:
        change = _again(connection, order)
        last = timeline.reconcile_requested(who) if change is Change.READ_AGAIN else timeline.order_retried(who)
    elif resolution.credited is ResolveCredited.NO:
        change, last = Change.REJECT, timeline.order_rejected_by(who)
    elif len(open_positions(connection, order.number)) > len(turn):
        change, last = Change.CONTINUE, timeline.token_accepted_by(who, turn[-1])
    else:
        change, last = Change.ACCEPT, timeline.order_accepted_by(who)
    if order.state is not OrderState.HELD:
        raise IllegalChange(order.state, change, maybe_delivered=order.maybe_delivered)
    if resolution.credited is not ResolveCredited.RETRY:
        write_word(connection, order.number, resolution, now)
    reason = "operator" if change in (Change.ACCEPT, Change.REJECT) else None
    change_order(connection, order, change, now, reason=reason)
    for event in (timeline.order_resolved(resolution, who), last):
        append(connection, order.number, now, event)
