"""How many orders there are in each state, kept beside them, so that nobody has to count a million. Open orders by
reason, too; closed ones since the beginning, whether they are still here or not.

Who has written a change of an order counts it on the connection; what a transaction counted is written once, at its
end.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TypeAlias

from gateway.orders import FINAL_STATES, OrderState

Counts: TypeAlias = Counter[tuple[OrderState, str]]
"""By state and reason; '' = none."""

_ADD = """
    INSERT INTO order_count (state, reason, orders) VALUES (?, ?, ?)
    ON CONFLICT (state, reason) DO UPDATE SET orders = orders + excluded.orders
"""


def count_moved(counts: Counts, before: tuple[OrderState, str | None], after: tuple[OrderState, str | None]) -> None:
    """An open order that was in the one state is in the other now."""
    counts[before[0], before[1] or ""] -= 1
    counts[after[0], "" if after[0] in FINAL_STATES else after[1] or ""] += 1


def write_counts(connection: sqlite3.Connection, counts: Counts) -> None:
    """At the end of the transaction that made them."""
    connection.executemany(
        _ADD, [(state.value, reason, orders) for (state, reason), orders in counts.items() if orders]
    )
