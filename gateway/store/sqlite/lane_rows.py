"""A lane's place in the queue, computed from its meter's open orders, within a transaction.

An order that *goes first* stands in front of all others of its meter, and nothing else is sent before it is settled:
one that is under way or in doubt, because the meter shows its last token only, and one of which a part was delivered,
because nothing may come between the parts. A lane is due when its head is, and found under the best rank of what is due
by then.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gateway.store.sqlite.changes import ORDER_COLUMNS, OrderRow, order_row
from gateway.store.sqlite.database import Bell, WriteConnection

_GOES_FIRST = "(maybe_delivered OR state = 'in_doubt' OR state = 'reconciling')"
# Left to itself, SQLite takes the index of all orders of the meter, with years of closed ones.
_ORDERS = "orders INDEXED BY orders_open"
_OPEN = "meter = ?1 AND closed_at IS NULL AND due_at IS NOT NULL"

_HEAD = f"""
    SELECT {ORDER_COLUMNS}, due_at FROM {_ORDERS} WHERE {_OPEN}
    ORDER BY state = 'sending' OR state = 'pending' OR state = 'reconciling' DESC, state = 'in_doubt' DESC,
        maybe_delivered DESC, due_at > ?2, rank, number
    LIMIT 1
"""  # noqa: S608 - constants of ours
_QUEUE = f"""
    SELECT min(due_at) FILTER (WHERE {_GOES_FIRST}), min(due_at), min(rank), max(rank),
        (SELECT owner FROM lane WHERE meter = ?1), (SELECT backs_off_until FROM lane WHERE meter = ?1)
    FROM {_ORDERS} WHERE {_OPEN}
"""  # noqa: S608 - constants of ours
_RANK = f"SELECT min(rank) FROM {_ORDERS} WHERE {_OPEN} AND due_at <= ?2"  # noqa: S608 - constants of ours
_HURRY = f"UPDATE {_ORDERS} SET due_at = ?2 WHERE {_OPEN} AND due_at > ?2 AND {_GOES_FIRST}"  # noqa: S608 - constants of ours
_LATE = f"""
    SELECT lane.meter FROM lane JOIN (
        SELECT meter, min(due_at) AS due_at, min(due_at) FILTER (WHERE {_GOES_FIRST}) AS first_due_at
        FROM {_ORDERS} WHERE meter > ? AND meter <= ? AND closed_at IS NULL AND due_at IS NOT NULL GROUP BY meter
    ) AS head ON head.meter = lane.meter
    WHERE lane.owner IS NULL AND (
        lane.due_at IS NULL
        OR lane.due_at > max(ifnull(head.first_due_at, head.due_at), ifnull(lane.backs_off_until, 0))
    )
"""  # noqa: S608 - constants of ours


@dataclass(frozen=True, slots=True)
class Queue:
    """The open orders of a meter, those that are held aside, and how its lane stands."""

    due_at: int | None
    """When the first one may have its turn."""
    best_rank: int | None
    worst_rank: int | None
    owner: str | None
    backs_off_until: int | None

    def is_due(self, now: int) -> bool:
        return self.due_at is not None and self.due_at <= now


def queue_of(connection: sqlite3.Connection, meter: int) -> Queue:
    first_due_at, any_due_at, *rest = connection.execute(_QUEUE, (meter,)).fetchone()
    return Queue(any_due_at if first_due_at is None else first_due_at, *rest)


def head(connection: sqlite3.Connection, meter: int, now: int) -> OrderRow | None:
    """The order of this meter that is due now, if one is and none stands in its way."""
    row = connection.execute(_HEAD, (meter, now)).fetchone()
    return None if row is None or row[-1] > now else order_row(row[:-1])


def give_back(
    connection: WriteConnection, meter: int, queue: Queue, now: int, backs_off_until: int | None = None
) -> None:
    """Nobody holds the lane any more. It is due again when its orders are, or later."""
    until = queue.backs_off_until if backs_off_until is None else backs_off_until
    rank, due_at = _place(connection, meter, queue, until, now)
    connection.execute(
        "UPDATE lane SET owner = NULL, rank = ?, due_at = ?, backs_off_until = ? WHERE meter = ?",
        (rank, due_at, until, meter),
    )
    connection.bells.add(Bell.WORK)


def refresh(connection: WriteConnection, meter: int, now: int) -> None:
    """Put a free lane where its orders want it; one that is held comes to that when it is given back."""
    queue = queue_of(connection, meter)
    if queue.owner is None:
        rank, due_at = _place(connection, meter, queue, queue.backs_off_until, now)
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


def _place(
    connection: sqlite3.Connection, meter: int, queue: Queue, backs_off_until: int | None, now: int
) -> tuple[int, int | None]:
    """Rank and time."""
    if queue.due_at is None:
        return 0, None
    due_at = max(queue.due_at, backs_off_until or 0)
    rank = queue.best_rank
    if rank != queue.worst_rank:
        (rank,) = connection.execute(_RANK, (meter, max(now, due_at))).fetchone()
    return rank or 0, due_at
