"""Retention: what ended long ago goes, what is open or young stays, and no token or id is ever taken twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.orders import FINAL_STATES, OPEN_STATES, OrderKind, OrderState
from gateway.store.records import Added, Conflict, Known, OrderFilter, WebhookRecord
from gateway.store.sqlite.store import FILE_NAME, SqliteStore
from tests.gateway.store.stores import Clock, add, opened, order_in, order_of


async def states(store: SqliteStore) -> set[OrderState]:
    return {record.state for record in await store.orders.list(OrderFilter())}


async def test_only_orders_that_ended_before_the_time_are_removed(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        for number, state in enumerate(OrderState, 1):
            await order_in(store, clock, state, number, f"old-{number}")
        border = clock.move(days=1)
        clock.move(days=1)
        await order_in(store, clock, OrderState.ACCEPTED, 100, "young")
        before = (await store.figures()).orders
        assert await store.purge(closed_before=border, limit=100) == len(FINAL_STATES)
        assert await states(store) == {*OPEN_STATES, OrderState.ACCEPTED}
        assert await store.orders.get("young") is not None
        assert await store.purge(closed_before=border, limit=100) == 0
        assert (await store.figures()).orders == before


async def test_a_limit_is_kept_and_the_rest_goes_the_next_time(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        for number in range(1, 6):
            await order_in(store, clock, OrderState.CANCELLED, number, f"order-{number}")
        border = clock.move(days=1)
        assert await store.purge(closed_before=border, limit=3) == 3
        assert [record.id for record in await store.orders.list(OrderFilter())] == ["order-5", "order-4"]
        assert await store.purge(closed_before=border, limit=3) == 2


async def test_nothing_of_a_removed_order_is_left_but_digests_and_its_name_beside_its_tokens(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        hook = WebhookRecord(id="erp", url="https://erp.example/", secret="hush", events=())
        await store.webhooks.put(hook, who="admin")
        await order_in(store, clock, OrderState.ACCEPTED, 1, "order-1")
        last = await store.events.last_number()
        assert await store.purge(closed_before=clock.move(days=1), limit=10) == 1
        assert await store.orders.get("order-1") is None
        assert await store.orders.timeline("order-1") == []
        assert await store.webhooks.due(limit=10) == ([], None)
        assert (await store.figures()).webhooks_waiting == 0
        assert await store.events.last_number() == last
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        for table in ("orders", "token", "outcome", "event", "webhook_delivery"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608 - a constant
        assert connection.execute("SELECT count(*) FROM removed_order").fetchone() == (1,)


async def test_a_token_of_a_removed_order_is_never_taken_again(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await order_in(store, clock, OrderState.ACCEPTED, 1, "order-1")
        await store.purge(closed_before=clock.move(days=1), limit=10)
        result = await add(store, order_of("order-2", "meter-1", 1))
        assert isinstance(result, Conflict)
        assert (result.field, result.other) == ("tokens[0]", "order-1")


@pytest.mark.parametrize("kind", [OrderKind.CREDIT, OrderKind.TEST])
async def test_a_removed_order_is_known_when_it_comes_again_and_its_id_is_no_other_orders(
    tmp_path: Path, kind: OrderKind
) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await order_in(store, clock, OrderState.CANCELLED, 1, "another")
        order = order_of("order-1", "meter-1", 2, kind)
        assert await add(store, order, b"body") == Added("order-1")
        await store.orders.cancel("order-1", who="tests")
        assert await store.purge(closed_before=clock.move(days=1), limit=10) == 2
        assert await add(store, order, b"body") == Known("order-1")
        result = await add(store, order_of("order-1", "meter-1", 3, kind), b"another body")
        assert isinstance(result, Conflict)
        assert result.field == "id"
        assert await add(store, replace(order_of("order-3", "meter-1", 3, kind)), b"body") == Added("order-3")


@pytest.mark.parametrize("statement", ["UPDATE removed_order SET body_digest = x'00'", "DELETE FROM removed_order"])
async def test_what_was_removed_stays_known(tmp_path: Path, statement: str) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await order_in(store, clock, OrderState.CANCELLED, 1, "order-1")
        await store.purge(closed_before=clock.move(days=1), limit=10)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
