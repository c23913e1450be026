"""Counters of a process: from blocks on disk, never one twice, whatever ends the process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cosem_objects.dlms.security import COUNTER_MAX, InvocationCounters
from cosem_objects.errors import LocalProtocolError
from gateway.counters import LEFT_MIN, CounterBook
from gateway.meter_body import MeterBody
from gateway.meters import Meter
from gateway.session import connect
from tests.gateway.stores import METER, Clock, open_store, open_vault

KEYS = {"mechanism": "hls-gmac", "ek": "00" * 16, "ak": "11" * 16, "invocation_counter": 100}
BODY = MeterBody(endpoint="tcp://127.0.0.1:9", security=KEYS)


def test_what_is_not_reserved_cannot_be_taken() -> None:
    counters = InvocationCounters(5, reserved=6)
    assert [counters.take(), counters.take()] == [5, 6]
    with pytest.raises(LocalProtocolError, match="no invocation counter is reserved"):
        counters.take()
    counters.refill(range(9, 11))
    assert (counters.take(), counters.left) == (9, 1)
    counters.refill(range(0))
    assert counters.left == 1


def test_after_the_last_the_key_is_used_up() -> None:
    counters = InvocationCounters(COUNTER_MAX)
    counters.take()
    with pytest.raises(LocalProtocolError, match="used up"):
        counters.take()


async def test_a_new_process_begins_where_no_other_can_have_been(tmp_path: Path) -> None:
    vault, used = open_vault(), list[int]()
    for _ in range(3):  # each time as after a crash: nobody says what was left of the block
        async with open_store(tmp_path, Clock().now, vault) as store:
            book = CounterBook(store.counters, block_size=500)
            meter = BODY.meter()
            keeper = book.keeper(METER, meter, connect)
            counters = await keeper.open()
            for _ in range(700):
                await keeper.ensure(counters)
                assert counters.left >= LEFT_MIN
                used.append(counters.take())
            assert await keeper.open() is counters
    assert used[0] == 100
    assert used == sorted(set(used))


async def test_each_key_and_each_title_of_ours_has_counters_of_its_own(tmp_path: Path) -> None:
    async with open_store(tmp_path, Clock().now, open_vault()) as store:
        book = CounterBook(store.counters)

        async def first(meter: Meter) -> int:
            return (await book.keeper(METER, meter, connect).open()).take()

        meter = BODY.meter()
        other_key = replace(meter, security=replace(meter.security, ek=b"2" * 16))
        other_title = replace(meter, security=replace(meter.security, client_system_title=b"STSGATE2"))
        assert [await first(meter), await first(other_key), await first(other_title)] == [100, 100, 100]
        assert await first(meter) == 101


async def test_what_the_meter_came_to_is_kept_when_the_process_ends(tmp_path: Path) -> None:
    vault, meter = open_vault(), BODY.meter()
    async with open_store(tmp_path, Clock().now, vault) as store:
        book = CounterBook(store.counters)
        counters = await book.keeper(METER, meter, connect).open()
        counters.accept(4711)
        await book.save()
    async with open_store(tmp_path, Clock().now, vault) as store:
        assert (await CounterBook(store.counters).keeper(METER, meter, connect).open()).last_received == 4711


async def test_without_keys_nothing_is_counted(tmp_path: Path) -> None:
    async with open_store(tmp_path, Clock().now, open_vault()) as store:
        plain = MeterBody(endpoint="tcp://127.0.0.1:9").meter()
        keeper = CounterBook(store.counters).keeper(METER, plain, connect)
        counters = await keeper.open()
        await keeper.ensure(counters)
        assert counters.take() == 1


async def test_a_readback_at_work_does_not_disturb_the_saving(tmp_path: Path) -> None:
    async with open_store(tmp_path, Clock().now, open_vault()) as store:
        book = CounterBook(store.counters)
        meter = BODY.meter()
        for name in ("first", "second"):
            await book.counters(name, meter, connect)
        # It moves to the end of those that were used lately, while the first of them is being written.
        _, counters = await asyncio.gather(book.save(), book.counters("first", meter, connect))
        assert counters.left >= LEFT_MIN
