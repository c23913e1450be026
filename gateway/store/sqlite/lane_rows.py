"""A lane's place in the queue, computed from its meter's open orders, within a transaction.

An order that *goes first* stands in front of all others of its meter, and nothing else is sent before it is settled:
one that is under way or in doubt, because the meter shows its last token only, and one of which a part was delivered,
because nothing may come between the parts. A lane is due when its head is, and found under the best rank of what is due
by then.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gateway.orders import OrderState
from gateway.store.sqlite.database import Bell, WriteConnection

_GOES_FIRST = "(maybe_delivered OR state IN ('in_doubt', 'reconciling'))"
_OPEN = "meter = ? AND due_at IS NOT NULL"

_HEAD = f"""
    SELECT number, state, due_at FROM orders WHERE {_OPEN}
    ORDER BY state IN ('sending', 'pending', 'reconciling') DESC, state = 'in_doubt' DESC, maybe_delivered DESC,
        due_at > ?, rank, number
    LIMIT 1
"""
_DUE = f"""
    SELECT min(due_at) FILTER (WHERE {_GOES_FIRST}), min(due_at), min(rank), max(rank) FROM orders WHERE {_OPEN}
"""
_RANK = f"SELECT min(rank) FROM orders WHERE {_OPEN} AND due_at <= ?"
_HURRY = f"UPDATE orders SET due_at = ? WHERE {_OPEN} AND due_at > ? AND {_GOES_FIRST}"
LATE_LANES = f"""
    SELECT lane.meter FROM lane JOIN (
        SELECT meter, min(due_at) AS due_at, min(due_at) FILTER (WHERE {_GOES_FIRST}) AS first_due_at
        FROM orders WHERE meter > ? AND meter <= ? AND due_at IS NOT NULL GROUP BY meter
    ) AS head ON head.meter = lane.meter
    WHERE lane.owner IS NULL AND (
        lane.due_at IS NULL
        OR lane.due_at > max(ifnull(head.first_due_at, head.due_at), ifnull(lane.backs_off_until, 0))
    )
"""
"""Free lanes, in a range of meters, that are due later than they should be."""


@dataclass(frozen=True, slots=True)
class Head:
    """The order that has its turn."""

    number: int
    state: OrderState


def head(connection: sqlite3.Connection, meter: int, now: int) -> Head | None:
    """The order of this meter that is due now, if one is and none stands in its way."""
    row = connection.execute(_HEAD, (meter, now)).fetchone()
    if row is None or row[2] > now:
        return None
    return Head(row[0], OrderState(row[1]))


def give_back(connection: WriteConnection, meter: int, now: int, backs_off_until: int | None = None) -> None:
    """Nobody holds the lane any more. It is due again when its orders are, or later."""
    if backs_off_until is not None:
        connection.execute("UPDATE lane SET backs_off_until = ? WHERE meter = ?", (backs_off_until, meter))
    connection.execute("UPDATE lane SET owner = NULL WHERE meter = ?", (meter,))
    refresh(connection, meter, now)


def refresh(connection: WriteConnection, meter: int, now: int) -> None:
    """Put a free lane where its orders want it; one that is held comes to that when it is given back."""
    row = connection.execute("SELECT owner, backs_off_until FROM lane WHERE meter = ?", (meter,)).fetchone()
    if row is None or row[0] is not None:
        return
    first_due, any_due, rank, worst_rank = connection.execute(_DUE, (meter,)).fetchone()
    due_at = any_due if first_due is None else first_due
    if due_at is not None:
        due_at = max(due_at, row[1] or 0)
        if rank != worst_rank:
            (rank,) = connection.execute(_RANK, (meter, max(now, due_at))).fetchone()
    connection.execute("UPDATE lane SET rank = ?, due_at = ? WHERE meter = ?", (rank or 0, due_at, meter))
    connection.bells.add(Bell.WORK)


def wake(connection: WriteConnection, meter: int, due_at: int, now: int) -> None:
    """Something new is worth a try at ``due_at``, though the meter was out of reach lately: what goes first is due by
    then, too."""
    connection.execute(_HURRY, (due_at, meter, due_at))
    connection.execute(
        "UPDATE lane SET backs_off_until = NULL WHERE meter = ? AND backs_off_until > ?", (meter, due_at)
    )
    refresh(connection, meter, now)
