"""Any sequence of what callers, operators, time and a lane's holder may do: no order is ever forgotten on a lane.

The same machine runs on every store. It knows who holds which lane; the store must agree, and at the end, when all
lanes are free and time has passed, whatever is open must be found and finished.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.orders import FINAL_STATES, TRANSITIONS, UNSETTLED_STATES, Change, IllegalChange, OrderState, Priority
from gateway.store.records import LaneClaim, LinkRecord, NextHead, OrderFilter, OrderWork, Resolution, ResolveCredited
from gateway.store.sqlite.store import SqliteStore
from gateway.store.sqlite.times import micros
from gateway.store.store import LaneLost
from tests.contract.stores import KINDS, Place, a_step, add, an_order, claim_all, credit, put_meters, send

T = TypeVar("T")
C, S = Change, OrderState

METERS = ("m1", "m2", "m3")
LINKS = (None, "l1")
STEPS = [change for change in Change if change not in (C.SEND, C.RETRY, C.READ_AGAIN, C.RESTORE, C.CANCEL)]
WAITS = st.integers(-5, 100)

_FREE_LANES = "SELECT meter, rank, due_at, backs_off_until FROM lane WHERE owner IS NULL"
_WAITING = "SELECT state, maybe_delivered, rank, due_at FROM orders WHERE due_at IS NOT NULL"
_COUNTS = "SELECT state, reason, orders FROM order_count WHERE orders <> 0 ORDER BY 1, 2"
_COUNTED = """
    SELECT state, iif(closed_at IS NULL, ifnull(reason, ''), ''), count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2
"""


class Waiting(NamedTuple):
    """An open order that nobody has to decide about."""

    state: str
    maybe_delivered: int
    rank: int
    due_at: int


def _turn(waiting: list[Waiting]) -> int:
    """When the head of these is due: one under way, else of those in doubt, of those begun, of all."""
    for is_first in (
        lambda order: order.state in {"sending", "pending", "reconciling"},
        lambda order: order.state == "in_doubt",
        lambda order: order.maybe_delivered,
        lambda _order: True,
    ):
        if found := [order.due_at for order in waiting if is_first(order)]:
            return min(found)
    raise AssertionError("nothing is waiting")


def _best_rank(waiting: list[Waiting], at: int) -> int:
    return min(order.rank for order in waiting if order.due_at <= at)


class Life(RuleBasedStateMachine):
    """Three meters; two of them may come to share a link."""

    kind = KINDS[0]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.place = Place(self.kind, Path(self.folder.name))
        self.context = self.place.opened()
        self.store: SqliteStore = self.do(self.context.__aenter__())
        self.do(put_meters(self.store, *METERS))
        self.held: dict[str, tuple[LaneClaim, OrderWork | None]] = {}
        self.lost: list[tuple[LaneClaim, OrderWork | None]] = []
        self.fences: dict[str, int] = {}
        self.count = 0
        self.closed: dict[str, object] = {}

    def do(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(_awaited(work))

    # Callers and operators.

    @rule(
        meter=st.sampled_from(METERS),
        priority=st.sampled_from(Priority),
        parts=st.integers(1, 3),
        not_before=st.none() | WAITS,
        expires=st.none() | st.integers(1, 300),
    )
    def add(self, meter: str, priority: Priority, parts: int, not_before: int | None, expires: int | None) -> None:
        self.count += 1
        later = self.place.clock.later
        order = an_order(
            f"o{self.count}",
            meter,
            tokens=[credit((self.count * 4 + part) << 30) for part in range(parts)],
            priority=priority,
            not_before=None if not_before is None else later(not_before),
            expires_at=None if expires is None else later(expires),
        )
        self.do(add(self.store, order))

    @precondition(lambda self: self.count)
    @rule(data=st.data(), what=st.sampled_from(["cancel", "reconcile", *ResolveCredited]))
    def operate(self, data: st.DataObject, what: str) -> None:
        order_id = f"o{data.draw(st.integers(1, self.count))}"
        orders = self.store.orders
        with suppress(IllegalChange):
            if isinstance(what, ResolveCredited):
                self.do(orders.resolve(order_id, Resolution(credited=what, note="x"), who="ann"))
            else:
                self.do(getattr(orders, what)(order_id, who="ann"))

    @rule(meter=st.sampled_from(METERS))
    def see(self, meter: str) -> None:
        self.do(self.store.meters.seen(meter))

    @rule(meter=st.sampled_from(METERS), link=st.sampled_from(["l1", None]))
    def move_meter(self, meter: str, link: str | None) -> None:
        self.do(put_meters(self.store, meter, link=link))

    @rule(limited=st.booleans())
    def limit(self, limited: bool) -> None:
        links = self.store.links
        self.do(links.put(LinkRecord(id="l1", concurrency=1), who="a") if limited else links.remove("l1", who="a"))

    # Time.

    @rule(seconds=st.integers(1, 120))
    def wait(self, seconds: int) -> None:
        self.place.clock.move(seconds)

    @rule()
    def expire(self) -> None:
        self.do(self.store.lanes.expire())

    @rule(restored=st.booleans())
    def start_again(self, restored: bool) -> None:
        if restored:
            mark = "INSERT INTO setting (key, value) VALUES ('restored', '0')"
            self.do(self.store.database.write(lambda connection: connection.execute(mark)))
        self.do(self.store.lanes.recover())
        self.lost += self.held.values()
        self.held.clear()

    # The holders of lanes.

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        for claim in self.do(claim_all(self.store, *LINKS, limit=limit)).claims:
            self._hold(claim, claim.work)

    @rule(meter=st.sampled_from(METERS))
    def claim_meter(self, meter: str) -> None:
        claim = self.do(self.store.lanes.claim_meter(meter))
        assert (claim is None) == (meter in self.held)
        if claim is not None:
            self._hold(claim, None)

    def _hold(self, claim: LaneClaim, work: OrderWork | None) -> None:
        assert claim.meter not in self.held, "two holders"
        assert claim.fence > self.fences.get(claim.meter, 0), "the fence did not grow"
        self.fences[claim.meter] = claim.fence
        self.held[claim.meter] = (claim, work)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), then=st.sampled_from(NextHead), wait=WAITS)
    def work(self, data: st.DataObject, then: NextHead, wait: int) -> None:
        meter = data.draw(st.sampled_from(sorted(self.held)))
        claim, work = self.held[meter]
        if work is None:
            self.do(self.store.lanes.release(claim))
            del self.held[meter]
            return
        state = self._state(work.id)
        sends = (state, C.SEND) in TRANSITIONS and state is not S.SENDING
        if sends and data.draw(st.booleans()):
            self.do(send(self.store, claim, work))
            return
        changes = [change for change in STEPS if (state, change) in TRANSITIONS]
        if C.CONTINUE in changes and len(work.tokens) < 2:
            changes.remove(C.CONTINUE)
        if C.ACCEPT in changes and len(work.tokens) > 1:
            changes.remove(C.ACCEPT)
        if not changes:
            self._give_back(meter)
            return
        step = a_step(work, data.draw(st.sampled_from(changes)), due_at=self.place.clock.later(wait))
        try:
            following = self.do(self.store.lanes.step(claim, work.number, step, then))
        except IllegalChange:
            self._give_back(meter)  # it was changed under our hands
            return
        if following is None:
            assert then is not NextHead.STAY or self._state(work.id) in (*FINAL_STATES, S.HELD)
            del self.held[meter]
        else:
            assert following.meter == meter
            self.held[meter] = (claim, following)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), wait=st.none() | WAITS)
    def release(self, data: st.DataObject, wait: int | None) -> None:
        self._give_back(data.draw(st.sampled_from(sorted(self.held))), wait)

    def _give_back(self, meter: str, wait: int | None = None) -> None:
        claim, _ = self.held.pop(meter)
        later = None if wait is None else self.place.clock.later(wait)
        self.do(self.store.lanes.release(claim, not_before=later))
        self.lost.append((claim, _))

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def write_without_the_lane(self, data: st.DataObject) -> None:
        claim, work = data.draw(st.sampled_from(self.lost))
        if work is not None:
            with pytest.raises(LaneLost):
                self.do(self.store.lanes.step(claim, work.number, a_step(work, C.HOLD), NextHead.NEXT))
            with pytest.raises(LaneLost):
                self.do(send(self.store, claim, work))

    # What must always hold.

    @invariant()
    def no_lane_is_later_than_its_orders(self) -> None:
        assert self.do(self.store.lanes.repair()) == 0

    @invariant()
    def a_free_lane_stands_where_its_orders_want_it(self) -> None:
        """Its rank is at least as good as that of what was due when the lane was: more may have come due since."""
        now = micros(self.place.clock.now())
        for meter, rank, due_at, backs_off_until in self.rows(_FREE_LANES):
            waiting = [Waiting(*row) for row in self.rows(f"{_WAITING} AND meter = {meter}")]
            if not waiting:
                assert due_at is None
                continue
            assert due_at == max(_turn(waiting), backs_off_until or 0)
            assert _best_rank(waiting, max(now, due_at)) <= rank <= _best_rank(waiting, due_at)

    @invariant()
    def orders_are_counted_as_they_are(self) -> None:
        assert self.rows(_COUNTED) == self.rows(_COUNTS)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.do(self.store.database.read(lambda connection: connection.execute(query).fetchall()))

    @invariant()
    def a_meter_has_one_order_under_way_and_what_is_closed_stays_as_it_is(self) -> None:
        records = self.do(self.store.orders.list(OrderFilter(), limit=1000))
        for meter in METERS:
            own = [record.state for record in records if record.meter == meter]
            assert sum(state in UNSETTLED_STATES and state is not S.IN_DOUBT for state in own) <= 1
        for record in records:
            if record.state in FINAL_STATES:
                assert self.closed.setdefault(record.id, record) == record
            assert record.due_at is not None or record.state in (*FINAL_STATES, S.HELD)

    def teardown(self) -> None:
        try:
            self._finish_all()
        finally:
            self.do(self.context.__aexit__(None, None, None))
            self.loop.close()
            self.folder.cleanup()

    def _finish_all(self) -> None:
        for meter in sorted(self.held):
            self._give_back(meter)
        self.place.clock.move(1000)
        for _ in range(4 * self.count + 1):
            claimed = self.do(claim_all(self.store, *LINKS))
            for claim in claimed.claims:
                assert claim.work is not None
                self._finish(claim, claim.work)
            if not claimed.claims:
                assert all(due is None for due in claimed.next_due.values())
                break
        left = [record.state for record in self.do(self.store.orders.list(OrderFilter(), limit=1000))]
        assert set(left) <= {*FINAL_STATES, S.HELD}, "an order was forgotten"

    def _finish(self, claim: LaneClaim, first: OrderWork) -> None:
        work: OrderWork | None = first
        while work is not None:
            if (work.state, C.ACCEPT) not in TRANSITIONS:
                self.do(send(self.store, claim, work))
            change = C.CONTINUE if len(work.tokens) > 1 else C.ACCEPT
            work = self.do(self.store.lanes.step(claim, work.number, a_step(work, change), NextHead.NEXT))

    def _state(self, order_id: str) -> OrderState:
        record = self.do(self.store.orders.get(order_id))
        assert record is not None
        return record.state


async def _awaited(work: Awaitable[T]) -> T:
    return await work


@pytest.mark.parametrize("kind", KINDS)
def test_no_order_is_ever_forgotten(kind: str) -> None:
    machine = type("Life", (Life,), {"kind": kind})
    examples = 60 if kind == "sqlite inline" else 10
    case = machine.TestCase()
    case.settings = settings(max_examples=examples, stateful_step_count=40, deadline=None)
    case.runTest()
    assert machine.kind == kind
