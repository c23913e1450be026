"""Lanes in SQLite: claims, fences, and each step of an order while its lane is held."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from gateway import timeline
from gateway.events import SendStarted
from gateway.orders import FINAL_STATES, UNSENT_STATES, Change, IllegalChange, OrderState, after
from gateway.store.records import Claimed, LaneClaim, NewEvent, NextHead, OrderWork, Quota, Step
from gateway.store.sqlite.changes import ORDER_COLUMNS, OrderRow, change_order, order_by_number, order_row
from gateway.store.sqlite.claims import Claiming, take_head, take_lane
from gateway.store.sqlite.database import Database, WriteConnection
from gateway.store.sqlite.events import append, append_all
from gateway.store.sqlite.lane_rows import give_back, late_lanes, refresh
from gateway.store.sqlite.order_counts import count_moved
from gateway.store.sqlite.recovery import recover
from gateway.store.sqlite.rows import order_work
from gateway.store.sqlite.sealed import seal_before
from gateway.store.sqlite.times import micros, micros_or_none, moment_or_none
from gateway.store.store import LaneLost, Lanes

_HELD_ORDER = f"""
    SELECT {ORDER_COLUMNS}
    FROM orders JOIN lane ON lane.meter = orders.meter JOIN meter ON meter.number = orders.meter
    WHERE orders.number = ? AND meter.id = ? AND lane.fence = ? AND lane.owner IS NOT NULL
"""  # noqa: S608 - constants of ours
_SEND = """
    UPDATE orders SET state = 'sending', reason = NULL, maybe_delivered = 1, due_at = ?1, changed_at = ?1,
        sent_position = ?2 WHERE number = ?3
"""
_OTHER_DOUBT = "SELECT 1 FROM orders INDEXED BY orders_begun WHERE meter = ? AND state = 'in_doubt'"
# What stood there after an earlier try, such as "not credited: out of reach", is no longer true.
_TRIED = """
    UPDATE token SET tries = ?, before = ?, verdict = NULL, credited = 'unknown', status_code = NULL, reason = NULL,
        evidence = NULL, details = NULL
    WHERE order_number = ? AND position = ?
"""
# The next token changes what the meter shows: what it showed before an older one that is held proves nothing any more.
_OUTDATED = """
    UPDATE token SET before = NULL
    WHERE before IS NOT NULL AND order_number IN (
        SELECT number FROM orders INDEXED BY orders_held_by_meter WHERE meter = ?1 AND state = 'held' AND number <> ?2)
"""
_EXPIRED = """
    SELECT number FROM orders
    WHERE closed_at IS NULL AND expires_at IS NOT NULL AND expires_at <= ? AND (state = 'queued' OR state = 'waiting')
    LIMIT ?
"""
# The same section in two orders, as of a set that is handed in again, mixes with itself without harm.
_OTHER_SET = """
    SELECT max(other.changed_at)
    FROM orders AS this JOIN orders AS other ON other.meter = this.meter AND other.number <> this.number
    WHERE this.number = ?1 AND other.state <> 'accepted' AND (
        SELECT count(*) FROM token AS section
        WHERE section.order_number = other.number AND section.kind = 'key_change' AND section.tries > 0
            AND NOT EXISTS (
                SELECT 1 FROM outcome
                WHERE outcome.order_number = section.order_number AND outcome.position = section.position
                    AND outcome.verdict = 'accepted')
            AND section.last_digits NOT IN (SELECT last_digits FROM token WHERE order_number = ?1)
    ) > (other.state = 'rejected')
"""
_STANDS_STILL = (*FINAL_STATES, OrderState.HELD)
_EXPIRE_MAX = 500
"""Orders that expire in one transaction."""
_REPAIR_METERS = 20_000
"""Meters whose lanes are looked at in one reading."""


class SqliteLanes(Lanes):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def recover(self) -> int:
        now = micros(self._database.now())
        return await self._database.write(lambda connection: recover(connection, now))

    async def claim(self, quotas: Sequence[Quota], *, limit: int, ranks: Sequence[int]) -> Claimed:
        now = micros(self._database.now())
        vault = self._database.vault

        def write(connection: WriteConnection) -> Claimed:
            return Claiming(connection, vault, now, ranks).claim(quotas, limit)

        return await self._database.write(write)

    async def claim_meter(self, meter_id: str) -> LaneClaim | None:
        def write(connection: WriteConnection) -> LaneClaim | None:
            return _claim_meter(connection, meter_id)

        return await self._database.write(write)

    async def begin_send(
        self, claim: LaneClaim, order: int, position: int, started: SendStarted, events: Sequence[NewEvent]
    ) -> None:
        now, vault = micros(self._database.now()), self._database.vault

        def write(connection: WriteConnection) -> None:
            row = _held_order(connection, claim, order)
            after(row.state, Change.SEND, maybe_delivered=row.maybe_delivered)
            is_first = row.state not in UNSENT_STATES or row.maybe_delivered
            if not is_first and connection.execute(_OTHER_DOUBT, (row.meter,)).fetchone():
                # Somebody let another order of this meter be read again meanwhile: that one goes first.
                raise IllegalChange(row.state, Change.SEND, maybe_delivered=row.maybe_delivered)
            before = seal_before(vault, started.before, started.account, row.id, position)
            connection.execute(_TRIED, (started.tries, before, order, position))
            connection.execute(_SEND, (now, position, order))
            connection.execute(_OUTDATED, (row.meter, order))
            count_moved(connection.counts, (row.state, row.reason), (OrderState.SENDING, None))
            append_all(connection, order, now, events)

        await self._database.write(write)

    async def other_set_at(self, order: int) -> datetime | None:
        found = await self._database.read(lambda connection: connection.execute(_OTHER_SET, (order,)).fetchone()[0])
        return moment_or_none(found)

    async def step(self, claim: LaneClaim, order: int, step: Step, then: NextHead) -> OrderWork | None:
        if step.change is Change.SEND:
            raise ValueError("an intent is written by begin_send")
        now, vault = micros(self._database.now()), self._database.vault
        due_at = micros_or_none(step.due_at)

        def write(connection: WriteConnection) -> OrderWork | None:
            row = change_order(
                connection,
                _held_order(connection, claim, order),
                step.change,
                now,
                reason=step.reason,
                due_at=due_at,
                outcomes=step.outcomes,
            )
            append_all(connection, order, now, step.events)
            if then is NextHead.STAY and row.state is OrderState.IN_DOUBT:
                row = change_order(connection, row, Change.RECONCILE, now, reason=row.reason)
            if then is NextHead.STAY and row.state not in _STANDS_STILL:
                return order_work(connection, vault, row, claim.meter)
            following = None if then is NextHead.LEAVE else take_head(connection, row.meter, now)
            if following is not None:
                return order_work(connection, vault, following, claim.meter)
            give_back(connection, row.meter, now, due_at if then is NextHead.LEAVE else None)
            return None

        return await self._database.write(write)

    async def release(self, claim: LaneClaim, *, not_before: datetime | None = None) -> None:
        now, until = micros(self._database.now()), micros_or_none(not_before)

        def write(connection: WriteConnection) -> None:
            found = connection.execute(
                "SELECT lane.meter FROM lane JOIN meter ON meter.number = lane.meter "
                "WHERE meter.id = ? AND lane.fence = ? AND lane.owner IS NOT NULL",
                (claim.meter, claim.fence),
            ).fetchone()
            if found is not None:
                give_back(connection, found[0], now, until)

        await self._database.write(write)

    async def expire(self) -> int:
        count = 0
        while True:
            now = micros(self._database.now())
            done = await self._database.write(partial(_expire, now=now))
            count += done
            if done < _EXPIRE_MAX:
                return count

    async def repair(self) -> int:
        mended = 0
        for first in range(0, await self._database.read(_last_meter), _REPAIR_METERS):
            late = await self._database.read(partial(late_lanes, after=first, last=first + _REPAIR_METERS))
            if late:
                now = micros(self._database.now())
                mended += await self._database.write(partial(_repair, meters=late, now=now))
        return mended


def _held_order(connection: sqlite3.Connection, claim: LaneClaim, order: int) -> OrderRow:
    row = connection.execute(_HELD_ORDER, (order, claim.meter, claim.fence)).fetchone()
    if row is None:
        raise LaneLost(f"the lane of meter {claim.meter} is somebody else's by now")
    return order_row(row)


def _claim_meter(connection: WriteConnection, meter_id: str) -> LaneClaim | None:
    found = connection.execute(
        "SELECT lane.meter, lane.owner, lane.fence, meter.version, meter.link FROM lane "
        "JOIN meter ON meter.number = lane.meter WHERE meter.id = ? AND meter.removed_at IS NULL",
        (meter_id,),
    ).fetchone()
    if found is None:
        raise LookupError(f"there is no meter {meter_id}")
    meter, owner, fence, version, link = found
    if owner is not None:
        return None
    take_lane(connection, meter)
    return LaneClaim(meter=meter_id, meter_version=version, link=link, fence=fence + 1, work=None)


def _expire(connection: WriteConnection, now: int) -> int:
    """Of what is over. What is in doubt is not looked at: the lane's holder reads the meter once more."""
    numbers = [number for (number,) in connection.execute(_EXPIRED, (now, _EXPIRE_MAX))]
    meters = set()
    for number in numbers:
        order = order_by_number(connection, number)
        change = Change.HOLD if order.maybe_delivered else Change.EXPIRE
        change_order(connection, order, change, now, reason="expired")
        event = timeline.order_held_expired() if order.maybe_delivered else timeline.order_expired()
        append(connection, number, now, event)
        meters.add(order.meter)
    for meter in meters:
        refresh(connection, meter, now)
    return len(numbers)


def _last_meter(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT ifnull(max(meter), 0) FROM lane").fetchone()
    return int(last)


def _repair(connection: WriteConnection, meters: Sequence[int], now: int) -> int:
    """Looked at again, since what was read may be over by now."""
    late = [meter for meter in meters if late_lanes(connection, meter - 1, meter)]
    for meter in late:
        refresh(connection, meter, now)
    return len(late)
