"""Stores under contract, a clock that stands until it is moved, and what the tests say of meters and orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cosem_objects.payment import Currency, CurrencyUnit
from cosem_objects.sts_token import Token, TokenClass
from cosem_objects.token_gateway import TokenStatus
from gateway.events import Judged, SendStarted
from gateway.orders import Change, Order, OrderedToken, OrderKind, OrderState, Priority
from gateway.readback import AccountReading
from gateway.store.records import (
    Added,
    Claimed,
    LaneClaim,
    MeterRecord,
    NewEvent,
    NextHead,
    OrderRecord,
    OrderWork,
    Quota,
    Step,
)
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import Store
from gateway.vault import DATA, DIGEST, DataKey, KeyEncryptionKey, Vault
from gateway.verdict import Credited, Outcome, Reading, Verdict

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RANKS = tuple(priority.rank for priority in Priority)
KINDS = ("sqlite", "sqlite inline")
"""Every store that there is."""


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def later(self, seconds: float) -> datetime:
        return self.time + timedelta(seconds=seconds)

    def move(self, seconds: float) -> None:
        self.time = self.later(seconds)


def a_vault() -> Vault:
    """The same keys for all, so that one process can open what another one sealed."""
    vault = Vault()
    keys = {0: DataKey(0, DIGEST, START, bytes(32)), 1: DataKey(1, DATA, START, bytes(range(32)))}
    vault.unlock(KeyEncryptionKey.new(), keys)
    return vault


@dataclass
class Place:
    """Where a store is, so that it can be opened again."""

    kind: str
    directory: Path
    clock: Clock = field(default_factory=Clock)
    vault: Vault = field(default_factory=a_vault)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[SqliteStore]:
        store = await SqliteStore.open(self.directory, self.vault, self.clock.now, inline=self.kind.endswith("inline"))
        try:
            yield store
        finally:
            await store.close()


# What is put in.


def credit(number: int) -> OrderedToken:
    """The class stands in bits 28 and 27 of the token's number."""
    return OrderedToken(Token.from_block(TokenClass.CREDIT, number), OrderKind.CREDIT)


def an_order(
    order_id: str,
    meter: str = "m1",
    *,
    tokens: Sequence[OrderedToken] | None = None,
    priority: Priority = Priority.CREDIT,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
) -> Order:
    chosen = (credit(int.from_bytes(order_id.encode()[-6:]) << 2),) if tokens is None else tuple(tokens)
    return Order(
        id=order_id, meter=meter, tokens=chosen, priority=priority, not_before=not_before, expires_at=expires_at
    )


async def put_meters(store: Store, *meter_ids: str, link: str | None = None) -> None:
    """Each on a link of its own unless ``link`` is given."""
    for meter_id in meter_ids:
        record = MeterRecord(id=meter_id, link=link or f"tcp://{meter_id}:4059", settings={"endpoint": "tcp://x:1"})
        await store.meters.put(record, who="tests")


async def add(store: Store, *orders: Order) -> None:
    results = await store.orders.add([(order, order.id.encode()) for order in orders], who="tests")
    assert list(results) == [Added(order.id) for order in orders]


# What a lane's holder does.


async def claim_all(store: Store, *links: str | None, free: int = 100, limit: int = 1000) -> Claimed:
    return await store.lanes.claim([Quota(link, free) for link in links or (None,)], limit=limit, ranks=RANKS)


async def claim_one(store: Store, link: str | None = None) -> tuple[LaneClaim, OrderWork]:
    (claim,) = (await claim_all(store, link)).claims
    assert claim.work is not None
    return claim, claim.work


BEFORE = Reading(b"\x01" * 20, b"\x07\xea\x0b\x15\xff\x0c\x00\x00\x00\x80\x00\x00", 0, TokenStatus(3, "0" * 16))
ACCOUNT = AccountReading(Currency("kWh", -2, CurrencyUnit.CONSUMPTION), 1234)


async def send(store: Store, claim: LaneClaim, work: OrderWork) -> None:
    token = work.tokens[0]
    started = SendStarted(token.token, token.tries + 1, BEFORE, ACCOUNT)
    event = NewEvent(name="order.sending", details={"text": "sending"}, position=token.position)
    await store.lanes.begin_send(claim, work.number, token.position, started, [event])


_VERDICTS = {
    Change.ACCEPT: (Outcome.ACCEPTED, Credited.YES),
    Change.CONTINUE: (Outcome.ACCEPTED, Credited.YES),
    Change.REJECT: (Outcome.REJECTED, Credited.NO),
    Change.HOLD: (Outcome.HELD, Credited.UNKNOWN),
    Change.DOUBT: (Outcome.IN_DOUBT, Credited.UNKNOWN),
    Change.POSTPONE: (Outcome.UNREACHED, Credited.NO),
    Change.TAKE_BACK: (Outcome.UNREACHED, Credited.NO),
}


def a_step(work: OrderWork, change: Change, *, due_at: datetime | None = None, reason: str | None = None) -> Step:
    """With the verdict that goes with it, on the first open token."""
    outcomes: list[tuple[int, Judged]] = []
    if change in _VERDICTS:
        token = work.tokens[0]
        verdict = Verdict(*_VERDICTS[change], reason, row="5")
        outcomes = [(token.position, Judged(token.token, verdict, TokenStatus(6, "01"), elapsed_seconds=0.25))]
    event = NewEvent(name=f"test.{change.value}", details={"text": change.value})
    return Step(change=change, outcomes=outcomes, reason=reason, due_at=due_at, events=[event])


async def step(
    store: Store,
    claim: LaneClaim,
    work: OrderWork,
    change: Change,
    then: NextHead = NextHead.NEXT,
    *,
    due_at: datetime | None = None,
    reason: str | None = None,
) -> OrderWork | None:
    return await store.lanes.step(claim, work.number, a_step(work, change, due_at=due_at, reason=reason), then)


async def deliver(store: Store, order_id: str, change: Change, *, reason: str | None = None) -> None:
    """Send the one order that is due, and let this become of it."""
    claim, work = await claim_one(store)
    assert work.id == order_id
    await send(store, claim, work)
    await step(store, claim, work, change, reason=reason)


async def record_of(store: Store, order_id: str) -> OrderRecord:
    record = await store.orders.get(order_id)
    assert record is not None
    return record


async def state_of(store: Store, order_id: str) -> OrderState:
    return (await record_of(store, order_id)).state
