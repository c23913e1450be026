"""Places on a link are taken by orders and by readbacks; none of them is taken twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from gateway.dispatcher import MeterBusy
from gateway.orders import OrderState
from gateway.store.records import LaneClaim, LinkRecord
from gateway.store.store import StoreFull
from tests.gateway.test_delivery import credit, meter_at
from tests.gateway.test_service import CONFIG, head_end

ORDERS = 40


async def test_readbacks_and_orders_never_take_the_same_place_on_a_link(tmp_path: Path) -> None:
    async with meter_at() as place, meter_at() as other, meter_at() as third, head_end(tmp_path) as head:
        for url, name in ((place.url, "m"), (other.url, "other"), (third.url, "third")):
            await head.know(url, name, link="line")
        await head.store.links.put(LinkRecord(id="line", concurrency=1), who="test")
        await head.start()

        async def read(meter: str) -> None:
            while True:
                with suppress(MeterBusy):
                    await head.service.readback(meter)

        readers = [asyncio.create_task(read(meter)) for meter in ("other", "third")]
        stories = []
        for number in range(ORDERS):
            await head.order(f"order-{number}", credit(CONFIG, tid=6_000_000 + number))
            assert (await head.until(f"order-{number}")).state is OrderState.ACCEPTED
            stories.append(await head.story(f"order-{number}"))
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        assert [story for story in stories if "order.postponed" in story] == []


async def test_a_lane_that_was_read_goes_back_as_soon_as_the_store_can_write_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with meter_at() as place, head_end(tmp_path) as head:
        await head.know(place.url)
        await head.start()
        release, failures = head.store.lanes.release, [StoreFull("there is no room")] * 2

        async def fail_first(claim: LaneClaim, *, not_before: datetime | None = None) -> None:
            if failures:
                raise failures.pop()
            await release(claim, not_before=not_before)

        monkeypatch.setattr(head.store.lanes, "release", fail_first)
        await head.service.readback("m")
        await head.order("after", credit(CONFIG))
        assert (await head.until("after")).state is OrderState.ACCEPTED
