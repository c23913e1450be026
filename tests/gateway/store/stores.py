"""A real store in a directory, a clock that is set by hand, and orders brought into every state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cosem_objects.sts_token import Token, TokenClass
from gateway.events import Judged, SendStarted
from gateway.key_source import KeySource
from gateway.orders import Change, Order, OrderedToken, OrderKind, OrderState
from gateway.readback import NO_ACCOUNT
from gateway.store.records import AddResult, LaneClaim, MeterRecord, NewEvent, NextHead, Step
from gateway.store.sqlite.opening import open_store
from gateway.store.sqlite.store import SqliteStore
from gateway.verdict import Credited, Outcome, Reading, Verdict

KEY_TEXT = bytes(range(32)).hex()
"""The key-encryption key of these tests, and of the kept old files."""
SOURCE = KeySource(Path("no such file"), KEY_TEXT)
BEGIN = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.time = BEGIN

    def __call__(self) -> datetime:
        return self.time

    def move(self, **by: float) -> datetime:
        self.time += timedelta(**by)
        return self.time


@asynccontextmanager
async def opened(directory: Path, clock: Clock, source: KeySource = SOURCE) -> AsyncIterator[SqliteStore]:
    """As the service opens it."""
    store = await open_store(directory, source, clock)
    try:
        yield store
    finally:
        await store.close()


async def put_meter(store: SqliteStore, meter_id: str, link: str | None = None) -> None:
    endpoint = f"tcp://{meter_id}:4059"
    record = MeterRecord(id=meter_id, link=link or endpoint, settings={"endpoint": endpoint}, secrets={"ek": "00"})
    await store.meters.put(record, who="tests")


def order_of(order_id: str, meter: str, number: int, kind: OrderKind = OrderKind.CREDIT, **more: datetime) -> Order:
    token_class = TokenClass.CREDIT if kind is OrderKind.CREDIT else TokenClass.NON_METER_SPECIFIC_MANAGEMENT
    return Order(id=order_id, meter=meter, tokens=(OrderedToken(Token.from_block(token_class, number), kind),), **more)


async def add(store: SqliteStore, order: Order, body: bytes = b"{}") -> AddResult:
    return (await store.orders.add([(order, body)], who="tests"))[0]


async def claim(store: SqliteStore, order_id: str) -> tuple[LaneClaim, int]:
    """The lane of an order's meter, and the order's number."""
    record = await store.orders.get(order_id)
    assert record is not None
    held = await store.lanes.claim_meter(record.meter)
    assert held is not None
    return held, record.number


async def begin_send(store: SqliteStore, order: Order) -> tuple[LaneClaim, int]:
    held, number = await claim(store, order.id)
    started = SendStarted(order.tokens[0].token, 1, Reading(None, None, None, None), NO_ACCOUNT)
    event = NewEvent(name="order.sending", details={"text": "sending"}, position=0)
    await store.lanes.begin_send(held, number, 0, started, [event])
    return held, number


async def send_and(store: SqliteStore, order: Order, change: Change, *, event: str, reason: str | None = None) -> None:
    """Send it, and let this become of it."""
    held, number = await begin_send(store, order)
    outcome, credited = {
        Change.ACCEPT: (Outcome.ACCEPTED, Credited.YES),
        Change.REJECT: (Outcome.REJECTED, Credited.NO),
    }.get(change, (Outcome.IN_DOUBT, Credited.UNKNOWN))
    judged = Judged(order.tokens[0].token, Verdict(outcome, credited, reason))
    step = Step(
        change=change,
        outcomes=[(0, judged)],
        reason=reason,
        due_at=store.database.now() + timedelta(hours=1) if change in (Change.DOUBT, Change.PEND) else None,
        events=[NewEvent(name=event, details={"text": event})],
    )
    await store.lanes.step(held, number, step, NextHead.LEAVE)


async def read_back(store: SqliteStore, order_id: str) -> None:
    """An order in doubt: its meter begins to be read."""
    held, number = await claim(store, order_id)
    await store.lanes.step(held, number, Step(change=Change.RECONCILE), NextHead.STAY)


async def order_in(store: SqliteStore, clock: Clock, state: OrderState, number: int, order_id: str) -> None:
    """A new order of a new meter, brought into this state."""
    meter, now = f"meter-{number}", clock()
    await put_meter(store, meter)
    more: dict[str, datetime] = {}
    if state is OrderState.WAITING:
        more["not_before"] = now + timedelta(days=30)
    if state is OrderState.EXPIRED:
        more["expires_at"] = now + timedelta(seconds=1)
    order = order_of(order_id, meter, number, **more)
    await add(store, order)
    match state:
        case OrderState.SENDING:
            await begin_send(store, order)
        case OrderState.PENDING:
            await send_and(store, order, Change.PEND, event="order.pending")
        case OrderState.IN_DOUBT | OrderState.RECONCILING:
            await send_and(store, order, Change.DOUBT, event="order.in_doubt", reason="no-answer")
            if state is OrderState.RECONCILING:
                await read_back(store, order_id)
        case OrderState.HELD:
            await send_and(store, order, Change.HOLD, event="order.held", reason="config")
        case OrderState.ACCEPTED:
            await send_and(store, order, Change.ACCEPT, event="order.accepted")
        case OrderState.REJECTED:
            await send_and(store, order, Change.REJECT, event="order.rejected", reason="used")
        case OrderState.EXPIRED:
            clock.move(seconds=2)
            await store.lanes.expire()
        case OrderState.CANCELLED:
            await store.orders.cancel(order_id, who="tests")
    record = await store.orders.get(order_id)
    assert record is not None
    assert record.state is state
