"""What metrics show is what is in the store, however it came there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from gateway.orders import FINAL_STATES, OrderState, Priority
from gateway.store.records import OrderFilter
from tests.gateway.store.stores import BEGIN, Clock, add, claim, opened, order_in, order_of, put_meter, read_back


async def test_orders_are_counted_by_state_and_reason_while_they_live_and_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        for number, state in enumerate((*OrderState, OrderState.ACCEPTED), 1):
            await order_in(store, clock, state, number, f"order-{number}")
        records = await store.orders.list(OrderFilter())
        expected = Counter(
            (record.state, None if record.state in FINAL_STATES else record.reason) for record in records
        )
        assert (await store.figures()).orders == expected
        assert expected[OrderState.HELD, "config"] == 1
    async with opened(tmp_path, clock) as store:
        assert (await store.figures()).orders == expected


async def test_the_oldest_doubt_keeps_its_age_through_rounds_of_reading_back(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        assert (await store.figures()).oldest_doubt_at is None
        await order_in(store, clock, OrderState.IN_DOUBT, 1, "first")
        clock.move(hours=2)
        await read_back(store, "first")
        await order_in(store, clock, OrderState.IN_DOUBT, 2, "second")
        assert (await store.figures()).oldest_doubt_at == BEGIN


async def test_the_oldest_due_lane_is_found_on_shared_links_and_on_others(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        assert (await store.figures()).oldest_due_at is None
        for meter, link in (("alone", "one"), ("a-1", "a"), ("a-2", "a"), ("b-1", "b"), ("b-2", "b")):
            await put_meter(store, meter, link)
        ages = {"b-2": 1, "a-1": 2, "alone": 3, "a-2": 4, "b-1": 5}
        for number, (meter, hours) in enumerate(ages.items(), 1):
            priority = Priority.CAMPAIGN if meter == "a-1" else Priority.CREDIT
            due_at = BEGIN + timedelta(hours=hours)
            await add(store, replace(order_of(meter, meter, number, not_before=due_at), priority=priority))
        for meter, hours in ages.items():
            assert (await store.figures()).oldest_due_at == BEGIN + timedelta(hours=hours)
            await claim(store, meter)
        assert (await store.figures()).oldest_due_at is None


async def test_counters_near_their_end_are_counted(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.counters.reserve("meter", "young", at_least=0xC000_0000 - 10, size=10)
        assert (await store.figures()).counters_near_end == 0
        await store.counters.reserve("meter", "old", at_least=0xC000_0000, size=1)
        assert (await store.figures()).counters_near_end == 1


async def test_the_size_of_the_file_holds_what_is_still_in_its_log(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        path = store.database.path
        log = path.with_name(f"{path.name}-wal")
        assert log.stat().st_size > 0
        assert (await store.figures()).file_octets == path.stat().st_size + log.stat().st_size
