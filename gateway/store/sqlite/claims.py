"""Which lanes are next: by priority, within what each link has free, the longest due first; within a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gateway import timeline
from gateway.orders import UNSETTLED_STATES, Change
from gateway.store.records import Claimed, LaneClaim, Quota
from gateway.store.sqlite.changes import OrderRow, change_order
from gateway.store.sqlite.database import VaultLike, WriteConnection
from gateway.store.sqlite.events import append
from gateway.store.sqlite.lane_rows import head, refresh
from gateway.store.sqlite.rows import order_work
from gateway.store.sqlite.times import moment
from gateway.vault import VaultError

_OWNER = "service"
"""One process works on this file; who it is says the lock of its directory."""

_READY = """
    SELECT lane.meter, lane.fence, meter.id, meter.version, meter.link
    FROM lane JOIN meter ON meter.number = lane.meter
    WHERE lane.link IS ? AND lane.rank = ? AND lane.owner IS NULL AND lane.due_at IS NOT NULL AND lane.due_at <= ?
    ORDER BY lane.due_at LIMIT ?
"""
_NEXT_DUE = """
    SELECT min(due_at) FROM lane WHERE link IS ? AND rank = ? AND owner IS NULL AND due_at IS NOT NULL
"""


def take_lane(connection: WriteConnection, meter: int) -> None:
    connection.execute("UPDATE lane SET owner = ?, fence = fence + 1 WHERE meter = ?", (_OWNER, meter))


def take_head(connection: WriteConnection, meter: int, now: int) -> OrderRow | None:
    """The order that has its turn in a lane that is held; one in doubt begins to be read back."""
    order = head(connection, meter, now)
    if order is None or order.state not in UNSETTLED_STATES:
        return order
    append(connection, order.number, now, timeline.reconciling())
    return change_order(connection, order, Change.RECONCILE, now, reason=order.reason)


class Claiming:
    """One claim. One use."""

    def __init__(self, connection: WriteConnection, vault: VaultLike, now: int, ranks: Sequence[int]) -> None:
        self._connection = connection
        self._vault = vault
        self._now = now
        self._ranks = ranks

    def claim(self, quotas: Sequence[Quota], limit: int) -> Claimed:
        free = {quota.link: quota.free for quota in quotas}
        claims: list[LaneClaim] = []
        for rank in self._ranks:
            for link, places in free.items():
                wanted = min(places, limit - len(claims))
                if wanted > 0:
                    taken = self._take(link, rank, wanted)
                    free[link] = places - len(taken)
                    claims += taken
        return Claimed(tuple(claims), {link: self._next_due(link) for link in free})

    def _take(self, link: str | None, rank: int, places: int) -> list[LaneClaim]:
        rows = self._connection.execute(_READY, (link, rank, self._now, places)).fetchall()
        claims = []
        for meter, fence, meter_id, version, link_name in rows:
            order = take_head(self._connection, meter, self._now)
            if order is None:
                refresh(self._connection, meter, self._now)
                continue
            try:
                work = order_work(self._connection, self._vault, order, meter_id)
            except VaultError as error:  # one damaged record must not stop all others
                change_order(self._connection, order, Change.HOLD, self._now, reason="internal-error")
                append(self._connection, order.number, self._now, timeline.held("internal-error", str(error)))
                refresh(self._connection, meter, self._now)
                continue
            take_lane(self._connection, meter)
            claims.append(LaneClaim(meter=meter_id, meter_version=version, link=link_name, fence=fence + 1, work=work))
        return claims

    def _next_due(self, link: str | None) -> datetime | None:
        """At once if there is more than was taken."""
        dues = [self._connection.execute(_NEXT_DUE, (link, rank)).fetchone()[0] for rank in self._ranks]
        due = min((due for due in dues if due is not None), default=None)
        return None if due is None else moment(max(due, self._now))
