"""The people of a service's town: callers, operators, and who minds the links. They ask until they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.dispatcher import MeterBusy, MeterUnreached
from gateway.orders import IllegalChange, Order, OrderState
from gateway.store.records import (
    Added,
    AddResult,
    Conflict,
    Known,
    OrderFilter,
    OrderRecord,
    Resolution,
    ResolveCredited,
)
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import NoSuchOrder, StoreError
from tests.scenarios.killable import Down
from tests.scenarios.service_plan import LinkChange, OrderPlan

if TYPE_CHECKING:
    from tests.scenarios.service_town import Town

T = TypeVar("T")

_AGAIN_SECONDS = 7.0
_LOOKED_AFTER = OrderFilter(states=(OrderState.HELD, OrderState.IN_DOUBT))


async def until_heard(town: Town, what: Callable[[SqliteStore], Coroutine[Any, Any, T]]) -> T:
    """Ask again and again, as who must have an answer does."""
    while True:
        try:
            return await town.head_end.call(what)
        except (Down, StoreError):
            await asyncio.sleep(_AGAIN_SECONDS)


async def wait_until(town: Town, at: float) -> None:
    await asyncio.sleep(max(0.0, at - town.loop.time()))


class Caller:
    """Hands one order in, and does with it what its plan says."""

    def __init__(self, town: Town, plan: OrderPlan) -> None:
        self._town = town
        self._plan = plan

    async def live(self) -> None:
        town, plan = self._town, self._plan
        await wait_until(town, plan.at)
        self._expect(await post(town, plan.order, plan.body), Added, Known)
        for seconds in plan.again:
            await asyncio.sleep(seconds)
            self._expect(await post(town, plan.order, plan.body), Known)
        if town.plan.restore_at is None:
            await self._be_wrong()
        if plan.cancel_after is not None:
            await asyncio.sleep(plan.cancel_after)
            await self._cancel()

    async def _be_wrong(self) -> None:
        """What must be refused."""
        town, plan = self._town, self._plan
        if plan.other_body:
            self._expect(await post(town, plan.order, b"another body"), Conflict)
        if plan.second_order:
            second = replace(plan.order, id=f"{plan.order.id}-again", tokens=plan.order.tokens[:1])
            self._expect(await post(town, second, b"a second order"), Conflict)

    def _expect(self, answer: AddResult, *kinds: type[AddResult]) -> None:
        restored = self._town.head_end.was_restored.is_set() and isinstance(answer, Added)
        if not isinstance(answer, kinds) and not restored:
            self._town.checker.violate(f"{self._plan.order.id} was answered with {answer}")

    async def _cancel(self) -> None:
        town, order = self._town, self._plan.order.id
        town.tell(f"  caller cancels {order}")
        try:
            record = await until_heard(town, lambda store: store.orders.cancel(order, who="caller"))
        except IllegalChange as error:
            town.tell(f"  caller hears: {error}")
        except NoSuchOrder:
            if not town.head_end.was_restored.is_set():
                town.checker.violate(f"{order} cannot be cancelled: it is not there")
        else:
            if record.state is not OrderState.CANCELLED:
                town.checker.violate(f"{order} was cancelled, and is {record.state}")


async def post(town: Town, order: Order, body: bytes) -> AddResult:
    """Until it is answered."""
    (answer,) = await until_heard(town, lambda store: store.orders.add([(order, body)], who="caller"))
    town.tell(f"  caller posts {order.id}: {type(answer).__name__}")
    if isinstance(answer, Added | Known):
        town.checker.acknowledged(answer.order_id)
    return answer


async def post_again(town: Town) -> None:
    """After a restore, some callers miss their orders, and hand them in again."""
    if town.plan.restore_at is None:
        return
    await town.head_end.was_restored.wait()
    rng = Random(town.plan.rng_seed + 2)
    for planned in town.plan.orders:
        if planned.order.id in town.checker.lost and rng.random() < 0.5:
            await post(town, planned.order, planned.body)


class Operator:
    """Looks after what is held or in doubt. He reads the meter's ledger, and tells the truth by it."""

    def __init__(self, town: Town, rng: Random, seconds: float) -> None:
        self._town = town
        self._rng = rng
        self._seconds = seconds

    async def live(self) -> None:
        town = self._town
        while town.is_busy:
            await asyncio.sleep(self._seconds)
            for record in await until_heard(town, lambda store: store.orders.list(_LOOKED_AFTER)):
                if self._rng.random() < 0.5:
                    await self._decide(record)

    async def _decide(self, record: OrderRecord) -> None:
        town = self._town
        try:
            if record.state is OrderState.IN_DOUBT or self._rng.random() < 0.2:
                town.tell(f"  operator lets {record.id} be read again")
                await town.head_end.call(lambda store: store.orders.reconcile(record.id, who="operator"))
            elif (word := self._word(record)) is not None:
                town.tell(f"  operator resolves {record.id}: {word}")
                resolution = Resolution(credited=word, note="by the ledger")
                await town.head_end.call(lambda store: store.orders.resolve(record.id, resolution, who="operator"))
        except (Down, StoreError, IllegalChange, NoSuchOrder) as error:
            town.tell(f"  operator hears: {error!r}")

    def _word(self, record: OrderRecord) -> ResolveCredited | None:
        """None while something may still be on its way to the meter: then nobody can read the truth there."""
        town = self._town
        if self._rng.random() < 0.4:
            return ResolveCredited.RETRY
        if not town.street.houses[record.meter].is_idle:
            return None
        order = town.checker.orders[record.id]
        position = next(number for number in range(len(order.tokens)) if not town.checker.is_settled(record.id, number))
        times = town.checker.ledgers[record.meter].times_credited(order.tokens[position].token)
        return ResolveCredited.YES if times else ResolveCredited.NO


async def keep_limits(town: Town) -> None:
    """Gives links their limits; in the end none is paused. After a restore they are given again."""
    last: dict[str, LinkChange] = {}
    for change in town.plan.links:
        if change.at:
            await wait_until(town, change.at)
            await _put(town, change)
        last[change.record.id] = change
    await wait_until(town, town.plan.busy_seconds)
    for change in last.values():
        await _put(town, LinkChange(at=0.0, record=replace(change.record, paused=False)))


async def _put(town: Town, change: LinkChange) -> None:
    record = change.record
    town.tell(f"  {record} is wanted")
    town.checker.links.asked(record)
    await until_heard(town, lambda store: store.links.put(record, who="operator"))
    town.checker.links.answered(record, town.loop.time())


async def read_back(town: Town, at: float, meter: str) -> None:
    """Somebody wants to know what a meter says about itself."""
    await wait_until(town, at)
    service = town.head_end.service
    if service is None:
        return
    try:
        await town.head_end.call(lambda _store: service.readback(meter))
        town.tell(f"  {meter} is read back")
    except (Down, StoreError, MeterBusy, MeterUnreached) as error:
        town.tell(f"  {meter} is not read back: {error!r}")
