"""The start: what a stop, a crash or a restore left behind; within one transaction."""

from __future__ import annotations

from gateway import timeline
from gateway.orders import Change, OrderState
from gateway.store.sqlite.changes import change_order, order_by_number
from gateway.store.sqlite.counters import jump_ahead
from gateway.store.sqlite.database import WriteConnection
from gateway.store.sqlite.events import append
from gateway.store.sqlite.lane_rows import refresh
from gateway.store.sqlite.restored import restored_at

_UNDER_WAY = "SELECT number FROM orders WHERE state = 'sending' OR state = 'pending' OR state = 'reconciling'"
_FREE = "UPDATE lane SET owner = NULL, fence = fence + 1 WHERE owner IS NOT NULL RETURNING meter"
# What was done since the backup is not known: each token without an outcome may have been sent, and settled, whatever
# was known of it then. But what was not to be sent before a time that is still to come was not.
_MAY_HAVE_HAPPENED = "closed_at IS NULL AND (maybe_delivered OR ifnull(not_before, 0) <= ?1)"
_MARK_TOKENS = f"""
    UPDATE token SET tries = max(tries, 1), before = NULL, verdict = NULL, credited = 'unknown', status_code = NULL,
        reason = NULL, evidence = NULL, details = NULL
    WHERE order_number IN (SELECT number FROM orders WHERE {_MAY_HAVE_HAPPENED})
        AND NOT EXISTS (SELECT 1 FROM outcome
            WHERE outcome.order_number = token.order_number AND outcome.position = token.position)
"""  # noqa: S608 - constants of ours
_MARK_HELD = f"""
    UPDATE orders SET maybe_delivered = 1, changed_at = ?1
    WHERE state = 'held' AND NOT maybe_delivered AND {_MAY_HAVE_HAPPENED}
"""  # noqa: S608 - constants of ours
# Numbers of events that were told since the backup are not used again: who heard of them would take the new ones for
# repetitions.
_BEGIN_EVENTS = """
    INSERT INTO sqlite_sequence (name, seq) SELECT 'event', 0
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'event')
"""
_EVENTS_JUMP = 1_000_000_000
_COUNT = f"""
    SELECT state, ifnull(reason, ''), count(*) FROM orders WHERE {_MAY_HAVE_HAPPENED} AND due_at IS NOT NULL
    GROUP BY 1, 2
"""  # noqa: S608 - constants of ours
_RESTORE = f"""
    UPDATE orders SET state = 'in_doubt', reason = 'restored', maybe_delivered = 1, changed_at = ?1,
        due_at = max(?1, ifnull(not_before, ?1))
    WHERE {_MAY_HAVE_HAPPENED} AND due_at IS NOT NULL RETURNING number, meter
"""  # noqa: S608 - constants of ours


def recover(connection: WriteConnection, now: int) -> int:
    """As ``Lanes.recover``."""
    meters = {meter for (meter,) in connection.execute(_FREE).fetchall()}
    if restored_at(connection) is not None:
        changed = _restore(connection, now)
        jump_ahead(connection)
        connection.execute("DELETE FROM setting WHERE key = 'restored'")
    else:
        changed = _doubt(connection, now)
    for meter in meters | {meter for _, meter in changed}:
        connection.execute("UPDATE lane SET backs_off_until = NULL WHERE meter = ?", (meter,))
        refresh(connection, meter, now)
    return len(changed)


def _doubt(connection: WriteConnection, now: int) -> list[tuple[int, int]]:
    changed = []
    for (number,) in connection.execute(_UNDER_WAY).fetchall():
        order = order_by_number(connection, number)
        # No round of reading back: nobody has read anything.
        change_order(connection, order._replace(doubts=order.doubts - 1), Change.DOUBT, now, reason="restart")
        append(connection, number, now, timeline.found_after_restart())
        changed.append((number, order.meter))
    return changed


def _restore(connection: WriteConnection, now: int) -> list[tuple[int, int]]:
    connection.execute(_BEGIN_EVENTS)
    connection.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'", (_EVENTS_JUMP,))
    connection.execute(_MARK_TOKENS, (now,))
    connection.execute(_MARK_HELD, (now,))
    for state, reason, orders in connection.execute(_COUNT, (now,)).fetchall():
        connection.counts[OrderState(state), reason] -= orders
    changed: list[tuple[int, int]] = connection.execute(_RESTORE, (now,)).fetchall()
    connection.counts[OrderState.IN_DOUBT, "restored"] += len(changed)
    for number, _ in changed:
        append(connection, number, now, timeline.order_restored())
    return changed
