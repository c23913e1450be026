"""Webhooks in the store: who is told of what, in which sequence, and what is left when a receiver stays away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.orders import OrderState
from gateway.store.records import WebhookDelivery, WebhookRecord
from gateway.store.sqlite.store import FILE_NAME, SqliteStore
from tests.gateway.store.stores import BEGIN, Clock, add, opened, order_in, order_of, put_meter

HOOK = WebhookRecord(id="erp", url="https://erp.example/hook", secret="hush, nobody may know", events=())
EVERY = replace(HOOK, id="every", events=("order.created",))


async def due(store: SqliteStore, limit: int = 100) -> list[WebhookDelivery]:
    return list((await store.webhooks.due(limit=limit))[0])


async def created(store: SqliteStore, count: int, first: int = 1) -> None:
    """Events of the name ``order.created``."""
    await put_meter(store, "meter")
    for number in range(first, first + count):
        await add(store, order_of(f"order-{number}", "meter", number))


async def test_a_webhook_comes_back_as_it_was_put(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        assert await store.webhooks.put(HOOK, who="admin")
        assert not await store.webhooks.put(replace(HOOK, url="https://new.example/"), who="admin")
        expected = replace(HOOK, url="https://new.example/", created_at=BEGIN)
        assert await store.webhooks.get("erp") == expected
        assert await store.webhooks.list() == [expected]
        assert await store.webhooks.get("nobody") is None


async def test_its_secret_is_sealed_on_disk_and_kept_when_none_is_given(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.webhooks.put(HOOK, who="admin")
        await store.webhooks.put(replace(HOOK, secret="", is_active=False), who="admin")
        found = await store.webhooks.get("erp")
        assert found is not None
        assert (found.secret, found.is_active) == (HOOK.secret, False)
        with pytest.raises(ValueError, match="a new one needs a secret"):
            await store.webhooks.put(replace(HOOK, id="other", secret=""), who="admin")
        assert all(HOOK.secret not in str(line.details) for line in await store.audit.list())
    assert HOOK.secret.encode() not in (tmp_path / FILE_NAME).read_bytes()


async def test_one_that_names_no_events_is_told_of_what_ends_or_holds_an_order(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.webhooks.put(HOOK, who="admin")
        ends = (OrderState.ACCEPTED, OrderState.REJECTED, OrderState.HELD, OrderState.EXPIRED, OrderState.CANCELLED)
        for number, state in enumerate((*ends, OrderState.PENDING), 1):
            await order_in(store, clock, state, number, f"order-{number}")
        told = [(delivery.event.name, delivery.event.order) for delivery in await due(store)]
        assert told == [(f"order.{state.value}", f"order-{number}") for number, state in enumerate(ends, 1)]


async def test_a_delivery_carries_the_whole_event(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.webhooks.put(EVERY, who="admin")
        await created(store, 1)
        assert [delivery.event for delivery in await due(store)] == list(await store.orders.timeline("order-1"))


async def test_what_one_does_not_want_or_cannot_hear_is_not_kept_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.webhooks.put(replace(EVERY, is_active=False), who="admin")
        await store.webhooks.put(HOOK, who="admin")
        await created(store, 1)
        assert await due(store) == []
        await store.webhooks.put(EVERY, who="admin")
        await created(store, 1, first=2)
        assert [delivery.event.order for delivery in await due(store)] == ["order-2"]


async def test_what_waits_for_one_that_is_switched_off_is_told_when_it_is_on_again(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.webhooks.put(EVERY, who="admin")
        await created(store, 1)
        await store.webhooks.put(replace(EVERY, is_active=False), who="admin")
        assert await store.webhooks.due(limit=10) == ([], None)
        await store.webhooks.put(EVERY, who="admin")
        assert len(await due(store)) == 1


async def test_what_was_delivered_is_gone_and_what_failed_comes_again_later(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.webhooks.put(EVERY, who="admin")
        await created(store, 3)
        first, second, third = await due(store)
        await store.webhooks.delivered([first.number, third.number])
        later = clock() + timedelta(minutes=5)
        await store.webhooks.failed(second.number, error="503 " + "x" * 1000, due_at=later)
        assert await store.webhooks.due(limit=10) == ([], later)
        clock.move(minutes=5)
        (again,) = await due(store)
        assert (again.number, again.attempts, again.due_at) == (second.number, 1, later)
        assert again.last_error is not None
        assert len(again.last_error) == 500


async def test_dead_deliveries_wait_for_a_person_who_replays_them(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.webhooks.put(EVERY, who="admin")
        await store.webhooks.put(replace(EVERY, id="other"), who="admin")
        await created(store, 2)
        for delivery in await due(store):
            await store.webhooks.failed(delivery.number, error="gone", due_at=None)
        assert await store.webhooks.due(limit=10) == ([], None)
        dead = await store.webhooks.dead("every")
        assert [(delivery.event.order, delivery.is_dead) for delivery in dead] == [("order-1", True), ("order-2", True)]
        assert len(await store.webhooks.dead("every", limit=1)) == 1
        assert await store.webhooks.replay("every", who="admin") == 2
        assert [(delivery.webhook, delivery.attempts) for delivery in await due(store)] == [("every", 0)] * 2
        assert len(await store.webhooks.dead("other")) == 2
        assert await store.webhooks.replay("every", who="admin") == 0


async def test_waiting_and_dead_deliveries_are_counted_without_being_walked_over(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.webhooks.put(EVERY, who="admin")
        await created(store, 3)
        first, second, _ = await due(store)
        await store.webhooks.delivered([first.number])
        await store.webhooks.failed(second.number, error="gone", due_at=None)
        found = await store.webhooks.get("every")
        assert found is not None
        assert (found.waiting, found.dead) == (1, 1)
        counted = await store.figures()
        assert (counted.webhooks_waiting, counted.webhooks_dead) == (1, 1)
        await store.webhooks.replay("every", who="admin")
        assert ((await store.webhooks.list())[0].waiting, (await store.figures()).webhooks_dead) == (2, 0)


async def test_one_with_a_long_queue_does_not_stop_the_others(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.webhooks.put(EVERY, who="admin")
        await created(store, 20)
        await store.webhooks.put(replace(EVERY, id="other"), who="admin")
        await created(store, 2, first=21)
        told = [delivery.webhook for delivery in await due(store, limit=4)]
        assert told.count("every") == told.count("other") == 2


async def test_a_removed_webhook_takes_its_deliveries_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.webhooks.put(EVERY, who="admin")
        await created(store, 2)
        assert await store.webhooks.remove("every", who="admin")
        assert not await store.webhooks.remove("every", who="admin")
        await created(store, 1, first=3)
        assert await due(store) == []
        assert (await store.figures()).webhooks_waiting == 0
        assert [line.action for line in await store.audit.list()][1:3] == ["webhook.remove", "meter.put"]
