"""A lane's place in the queue, as its meter's open orders want it, within a transaction.

An order that *goes first* stands in front of all others of its meter, and nothing else is sent before it is settled:
one that is under way, then those in doubt, because the meter shows its last token only, then one of which a part was
delivered, because nothing may come between the parts. A lane is due when its head is, and found under the best rank of
what is due by then.

A meter may have thousands of open orders. What goes first stands in two indexes of its own, and the head is the first
one due on the way along ``orders_open``; only a lane that is placed anew looks at all of its orders.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from gateway.store.sqlite.changes import ORDER_COLUMNS, OrderRow, order_row
from gateway.store.sqlite.database import Bell, WriteConnection

# Each as its index has it, word for word: else SQLite does not see that the index holds all that is asked for.
_UNDER_WAY = "(state = 'sending' OR state = 'pending' OR state = 'reconciling')"
_BEGUN = "(state = 'in_doubt' OR maybe_delivered AND (state = 'queued' OR state = 'waiting'))"
_OPEN = "closed_at IS NULL AND due_at IS NOT NULL"

_IN_UNDER_WAY = f"orders INDEXED BY orders_under_way WHERE meter = ?1 AND {_UNDER_WAY}"
_IN_BEGUN = f"orders INDEXED BY orders_begun WHERE meter = ?1 AND {_BEGUN}"
_IN_OPEN = f"orders INDEXED BY orders_open WHERE meter = ?1 AND {_OPEN}"

_HEAD = f"""
    SELECT {ORDER_COLUMNS} FROM orders WHERE due_at <= ?2 AND number = coalesce(
        (SELECT number FROM {_IN_UNDER_WAY}),
        (SELECT number FROM {_IN_BEGUN}
            ORDER BY state = 'in_doubt' DESC, due_at, rank, number LIMIT 1),
        (SELECT number FROM {_IN_OPEN} AND due_at <= ?2 ORDER BY rank, number LIMIT 1)
    )
"""  # noqa: S608 - constants of ours
_QUEUE = f"""
    SELECT coalesce(
        (SELECT due_at FROM {_IN_UNDER_WAY}),
        (SELECT min(due_at) FROM {_IN_BEGUN} AND state = 'in_doubt'),
        (SELECT min(due_at) FROM {_IN_BEGUN}),
        (SELECT min(due_at) FROM {_IN_OPEN})
    ), owner, backs_off_until FROM lane WHERE meter = ?1
"""  # noqa: S608 - constants of ours
_RANK = f"SELECT rank FROM {_IN_OPEN} AND due_at <= ?2 ORDER BY rank, number LIMIT 1"  # noqa: S608 - constants of ours
_HURRY = f"""
    UPDATE orders SET due_at = ?2 WHERE due_at > ?2
        AND number IN (SELECT number FROM {_IN_UNDER_WAY} UNION ALL SELECT number FROM {_IN_BEGUN})
"""  # noqa: S608 - constants of ours
_LATE = f"""
    SELECT lane.meter FROM lane JOIN (
        SELECT meter, coalesce(
            min(due_at) FILTER (WHERE {_UNDER_WAY}), min(due_at) FILTER (WHERE state = 'in_doubt'),
            min(due_at) FILTER (WHERE maybe_delivered), min(due_at)
        ) AS due_at
        FROM orders INDEXED BY orders_open WHERE meter > ? AND meter <= ? AND {_OPEN} GROUP BY meter
    ) AS head ON head.meter = lane.meter
    WHERE lane.owner IS NULL
        AND (lane.due_at IS NULL OR lane.due_at > max(head.due_at, ifnull(lane.backs_off_until, 0)))
"""  # noqa: S608 - constants of ours

STANDING_COLUMNS = f"""
    lane.owner, lane.rank, lane.due_at, lane.backs_off_until,
    EXISTS (SELECT 1 FROM orders INDEXED BY orders_under_way WHERE orders.meter = lane.meter AND {_UNDER_WAY})
        OR EXISTS (SELECT 1 FROM orders INDEXED BY orders_begun WHERE orders.meter = lane.meter AND {_BEGUN})
"""  # noqa: S608 - constants of ours
"""As ``Standing`` wants them."""


class Standing(NamedTuple):
    """How a lane stands in the queue."""

    owner: str | None
    rank: int
    due_at: int | None
    backs_off_until: int | None
    has_first: int
    """Whether one of its orders goes first."""


class Queue(NamedTuple):
    """What the open orders of a meter want, those aside that are held, and how its lane stands."""

    due_at: int | None
    """When the first one may have its turn."""
    owner: str | None
    backs_off_until: int | None


def head(connection: sqlite3.Connection, meter: int, now: int) -> OrderRow | None:
    """The order of this meter that is due now, if one is and none stands in its way."""
    row = connection.execute(_HEAD, (meter, now)).fetchone()
    return None if row is None else order_row(row)


def line_up(connection: WriteConnection, meter: int, lane: Standing, *, rank: int, due_at: int, now: int) -> None:
    """A new order stands behind those that are there: from ``now`` or later on it wants its turn. As ``wake``, but
    without a look at the others where that is not needed."""
    if lane.has_first or (lane.backs_off_until or 0) > due_at:
        wake(connection, meter, due_at, now)
        return
    if lane.owner is not None:
        return
    if lane.due_at is not None:
        lane_due_at = max(lane.due_at, now)
        if due_at > lane_due_at or (due_at == lane_due_at and rank >= lane.rank):
            return
        if due_at == lane_due_at:
            due_at = lane.due_at
    connection.execute("UPDATE lane SET rank = ?, due_at = ? WHERE meter = ?", (rank, due_at, meter))
    connection.bells.add(Bell.WORK)


def give_back(connection: WriteConnection, meter: int, now: int, backs_off_until: int | None = None) -> None:
    """Nobody holds the lane any more. It is due again when its orders are, or later."""
    queue = _queue(connection, meter)
    until = queue.backs_off_until if backs_off_until is None else backs_off_until
    rank, due_at = _place(connection, meter, queue.due_at, until, now)
    connection.execute(
        "UPDATE lane SET owner = NULL, rank = ?, due_at = ?, backs_off_until = ? WHERE meter = ?",
        (rank, due_at, until, meter),
    )
    connection.bells.add(Bell.WORK)


def refresh(connection: WriteConnection, meter: int, now: int) -> None:
    """Put a free lane where its orders want it; one that is held comes to that when it is given back."""
    queue = _queue(connection, meter)
    if queue.owner is None:
        rank, due_at = _place(connection, meter, queue.due_at, queue.backs_off_until, now)
        connection.execute("UPDATE lane SET rank = ?, due_at = ? WHERE meter = ?", (rank, due_at, meter))
        connection.bells.add(Bell.WORK)


def wake(connection: WriteConnection, meter: int, due_at: int, now: int) -> None:
    """Something new is worth a try at ``due_at``, though the meter was out of reach lately: what goes first is due by
    then, too."""
    connection.execute(_HURRY, (meter, due_at))
    connection.execute(
        "UPDATE lane SET backs_off_until = NULL WHERE meter = ? AND backs_off_until > ?", (meter, due_at)
    )
    refresh(connection, meter, now)


def late_lanes(connection: sqlite3.Connection, after: int, last: int) -> list[int]:
    """Of the meters behind ``after``, up to ``last``: those whose lanes are free, and due later than they should be."""
    return [meter for (meter,) in connection.execute(_LATE, (after, last))]


def _queue(connection: sqlite3.Connection, meter: int) -> Queue:
    return Queue(*connection.execute(_QUEUE, (meter,)).fetchone())


def _place(
    connection: sqlite3.Connection, meter: int, due_at: int | None, backs_off_until: int | None, now: int
) -> tuple[int, int | None]:
    """Rank and time."""
    if due_at is None:
        return 0, None
    due_at = max(due_at, backs_off_until or 0)
    (rank,) = connection.execute(_RANK, (meter, max(now, due_at))).fetchone()
    return rank, due_at
