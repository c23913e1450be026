"""Changes of an order and its tokens, within a transaction. ``gateway.orders.after`` decides what may follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from gateway.events import Judged
from gateway.orders import FINAL_STATES, Change, OrderKind, OrderState, after
from gateway.shown import printable
from gateway.store.records import Resolution, ResolveCredited
from gateway.store.sqlite.database import WriteConnection
from gateway.store.sqlite.events import to_json
from gateway.store.sqlite.order_counts import count_moved
from gateway.verdict import Credited, Outcome
from gateway.verdict_words import as_json

ORDER_COLUMNS = """
    orders.number, orders.id, orders.meter, orders.state, orders.reason, orders.maybe_delivered, orders.rank,
    orders.attempts, orders.doubts, orders.not_before, orders.expires_at, orders.sent_position
"""
"""As ``order_row`` wants them."""
_SELECT = f"SELECT {ORDER_COLUMNS} FROM orders"  # noqa: S608 - constants of ours
_UPDATE = """
    UPDATE orders SET state = ?, reason = ?, maybe_delivered = ?, due_at = ?, attempts = ?, doubts = ?, changed_at = ?
    WHERE number = ?
"""
_CLOSE = """
    UPDATE orders SET state = ?1, reason = ?2, due_at = NULL, changed_at = ?3, closed_at = ?3 WHERE number = ?4
"""
_INSERT_OUTCOME = """
    INSERT INTO outcome (verdict, credited, status_code, reason, evidence, details, order_number, position, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_AS_THINGS_STAND = """
    UPDATE token SET verdict = ?, credited = ?, status_code = ?, reason = ?, evidence = ?, details = ?
    WHERE order_number = ? AND position = ?
"""
# Of a token that was tried it cannot be said that it was not credited.
_SETTLE_REST = """
    INSERT INTO outcome (order_number, position, at, verdict, credited, reason)
    SELECT order_number, position, ?2, iif(tries, 'in_doubt', 'unreached'), iif(tries, 'unknown', 'no'), ?3
    FROM token WHERE order_number = ?1
        AND position NOT IN (SELECT position FROM outcome WHERE order_number = ?1)
"""
_TAKE_BACK = """
    UPDATE token SET tries = tries - 1, before = NULL WHERE order_number = ? AND position = ? AND tries > 0
"""
_MAY_HAVE_BEEN_DELIVERED = """
    SELECT EXISTS (SELECT 1 FROM token WHERE order_number = ?1 AND tries > 0)
        OR EXISTS (SELECT 1 FROM outcome WHERE order_number = ?1 AND verdict = 'accepted')
"""
_SETTLES = (Change.ACCEPT, Change.REJECT, Change.CONTINUE)
_REASON_OF_REST = {Change.REJECT: "not-tried", Change.EXPIRE: "expired", Change.CANCEL: "cancelled"}
_BEGINS_ANEW = (Change.CONTINUE, Change.READ_AGAIN, Change.RETRY)
"""What was counted is about something that is over."""


class OrderRow(NamedTuple):
    """An order as its row is, for a change of it."""

    number: int
    id: str
    meter: int
    state: OrderState
    reason: str | None
    maybe_delivered: bool
    rank: int
    attempts: int
    doubts: int
    not_before: int | None
    expires_at: int | None
    sent_position: int | None


def order_row(row: tuple[Any, ...]) -> OrderRow:
    number, order_id, meter, state, reason, mark, *rest = row
    return OrderRow(number, order_id, meter, OrderState(state), reason, bool(mark), *rest)


def order_by_number(connection: sqlite3.Connection, number: int) -> OrderRow:
    return order_row(connection.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchone())


def find_order(connection: sqlite3.Connection, order_id: str) -> OrderRow | None:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (order_id,)).fetchone()
    return None if row is None else order_row(row)


def change_order(
    connection: WriteConnection,
    order: OrderRow,
    change: Change,
    now: int,
    *,
    reason: str | None = None,
    due_at: int | None = None,
    outcomes: Sequence[tuple[int, Judged]] = (),
) -> OrderRow:
    """Make the change, with what it means for the tokens; the order as it is then. Due at once unless ``due_at`` says
    otherwise. Raises ``IllegalChange``."""
    state = after(order.state, change, maybe_delivered=order.maybe_delivered)
    write_outcomes(connection, order.number, outcomes, now, is_final=change in _SETTLES)
    if change in _REASON_OF_REST:
        connection.execute(_SETTLE_REST, (order.number, now, _REASON_OF_REST[change]))
    if state in FINAL_STATES:
        connection.execute(_CLOSE, (state.value, reason, now, order.number))
        count_moved(connection.counts, (order.state, order.reason), (state, reason))
        return order._replace(state=state, reason=reason)
    mark = order.maybe_delivered
    if change is Change.TAKE_BACK:
        connection.execute(_TAKE_BACK, (order.number, order.sent_position))
        mark = bool(connection.execute(_MAY_HAVE_BEEN_DELIVERED, (order.number,)).fetchone()[0])
    due = None if state is OrderState.HELD else now if due_at is None else due_at
    attempts = 0 if change in _BEGINS_ANEW else order.attempts + (change is Change.POSTPONE)
    doubts = 0 if change in _BEGINS_ANEW else order.doubts + (change is Change.DOUBT)
    connection.execute(_UPDATE, (state.value, reason, int(mark), due, attempts, doubts, now, order.number))
    count_moved(connection.counts, (order.state, order.reason), (state, reason))
    changed = order._replace(state=state, reason=reason, maybe_delivered=mark, attempts=attempts, doubts=doubts)
    if change is Change.CONTINUE and first_was_tried(connection, order.number):
        # After a restore any part may have been delivered: it is read back before it is sent.
        return change_order(connection, changed, Change.RESTORE, now, reason="restored")
    return changed


def write_outcomes(
    connection: WriteConnection, number: int, outcomes: Sequence[tuple[int, Judged]], now: int, *, is_final: bool
) -> None:
    """Final ones are rows of their own, once; others stand on the token, as things are."""
    for position, judged in outcomes:
        verdict = judged.verdict
        values = (
            verdict.outcome.value,
            verdict.credited.value,
            None if judged.status is None else judged.status.code,
            verdict.reason,
            verdict.evidence,
            _details(judged),
            number,
            position,
        )
        if is_final:
            connection.execute(_INSERT_OUTCOME, (*values, now))
        else:
            connection.execute(_AS_THINGS_STAND, values)


def write_word(connection: WriteConnection, number: int, resolution: Resolution, now: int) -> None:
    """The outcome of what has its turn, on the word of an operator."""
    is_credited = resolution.credited is ResolveCredited.YES
    outcome, credited = (Outcome.ACCEPTED, Credited.YES) if is_credited else (Outcome.REJECTED, Credited.NO)
    for position in head_positions(connection, number):
        values = (outcome.value, credited.value, None, None, "operator", _note(resolution), number, position, now)
        connection.execute(_INSERT_OUTCOME, values)


def _note(resolution: Resolution) -> str:
    return to_json({"detail": printable(resolution.note)})


def first_was_tried(connection: sqlite3.Connection, number: int) -> bool:
    """Whether the token that has its turn may have been delivered."""
    row = connection.execute(
        "SELECT tries FROM token LEFT JOIN outcome USING (order_number, position) "
        "WHERE order_number = ? AND outcome.at IS NULL ORDER BY position LIMIT 1",
        (number,),
    ).fetchone()
    return row is not None and row[0] > 0


def head_positions(connection: sqlite3.Connection, number: int) -> list[int]:
    """What has its turn: the first open token, or all sections of the key-change set that it begins."""
    opened = _open_tokens(connection, number)
    set_size = len(list(takewhile(lambda token: token[1] == OrderKind.KEY_CHANGE, opened)))
    return [position for position, _ in opened[: max(set_size, 1)]]


def open_positions(connection: sqlite3.Connection, number: int) -> list[int]:
    """Tokens without an outcome, in their sequence."""
    return [position for position, _ in _open_tokens(connection, number)]


def _open_tokens(connection: sqlite3.Connection, number: int) -> list[tuple[int, str]]:
    return connection.execute(
        "SELECT position, kind FROM token LEFT JOIN outcome USING (order_number, position) "
        "WHERE order_number = ? AND outcome.at IS NULL ORDER BY position",
        (number,),
    ).fetchall()


_SHOWN = ("detail", "row", "data_value", "balance_before", "balance_after", "unit", "token_time", "elapsed_ms")


def _details(judged: Judged) -> str:
    """What is known; the rest has columns."""
    values = as_json(judged)
    return to_json({name: values[name] for name in _SHOWN if values[name] not in (None, "")})
