"""What metrics and health show, counted in SQLite. Nothing here walks over orders: the counts are kept
(``order_counts``), and the oldest of a kind is the first in an index."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway.orders import PRIORITY_OF_RANK, OrderState
from gateway.store.records import Figures
from gateway.store.sqlite.times import moment_or_none

_NEAR_END = 0xC000_0000
"""Three quarters of a counter's range; the index ``counter_near_end`` holds those above it."""

# Lanes that are free, by (link, rank, due_at): a few steps in the index for each link that has any, instead of one for
# each lane. A link is NULL where nobody shares it: the recursion ends on NULL, and looks there, too. Named, because the
# planner likes a smaller index better, which has to look into the table for each lane.
_OLDEST_DUE = f"""
WITH RECURSIVE
    shared (link) AS (
        SELECT min(link) FROM lane INDEXED BY lane_ready WHERE owner IS NULL AND due_at IS NOT NULL
        UNION ALL
        SELECT (
            SELECT min(link) FROM lane INDEXED BY lane_ready
            WHERE owner IS NULL AND due_at IS NOT NULL AND link > shared.link
        ) FROM shared WHERE shared.link IS NOT NULL
    ),
    ranks (rank) AS (VALUES {", ".join(f"({rank})" for rank in PRIORITY_OF_RANK)})
SELECT min((
    SELECT min(due_at) FROM lane INDEXED BY lane_ready
    WHERE owner IS NULL AND due_at IS NOT NULL AND link IS shared.link AND rank = ranks.rank
)) FROM shared, ranks
"""  # noqa: S608 - whole numbers of ours


def figures(connection: sqlite3.Connection, path: Path) -> Figures:
    """``path`` is the database's; its size counts with what is not yet moved into it from its log."""
    waiting, dead = connection.execute("SELECT ifnull(sum(waiting), 0), ifnull(sum(dead), 0) FROM webhook").fetchone()
    (near_end,) = connection.execute("SELECT count(*) FROM counter WHERE next_own > ?", (_NEAR_END,)).fetchone()
    (doubt,) = connection.execute("SELECT min(since) FROM doubt").fetchone()
    (due,) = connection.execute(_OLDEST_DUE).fetchone()
    return Figures(
        orders=_orders(connection),
        oldest_doubt_at=moment_or_none(doubt),
        oldest_due_at=moment_or_none(due),
        webhooks_waiting=waiting,
        webhooks_dead=dead,
        counters_near_end=near_end,
        file_octets=_octets(path) + _octets(path.with_name(f"{path.name}-wal")),
    )


def _orders(connection: sqlite3.Connection) -> Mapping[tuple[OrderState, str | None], int]:
    rows = connection.execute("SELECT state, reason, orders FROM order_count WHERE orders > 0")
    return {(OrderState(state), reason or None): orders for state, reason, orders in rows}


def _octets(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
