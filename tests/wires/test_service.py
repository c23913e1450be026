"""The real service, with its store, over wires that break: each order is driven to its end, and what is said of it is
what the meter's ledger says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

import pytest

from gateway.consequence import RetryRules
from gateway.meter_body import MeterBody
from gateway.meters import Meter
from gateway.orders import OrderState
from gateway.schedule import Backoff
from gateway.service import Service, ServiceOptions
from gateway.store.records import OrderRecord
from gateway.verdict import Credited
from tests.gateway.test_delivery import KEYS, ONE
from tests.gateway.test_service import HeadEnd, head_end
from tests.wires.breakage import NEVER_BROKEN, all_at_once, settle_down
from tests.wires.inbound_wires import INBOUND_STRIKES, INBOUND_WIRES
from tests.wires.mqtt_wires import MQTT_STRIKES, MQTT_WIRES
from tests.wires.point import ALL_POINTS, ENTER, NAMES, Moment, Point, Watch, watched
from tests.wires.serial_wires import SERIAL_STRIKES, SERIAL_WIRES
from tests.wires.stand import HDLC, IMPATIENT, Stand, Strike, Wire
from tests.wires.tcp_wires import TCP_STRIKES, TCP_WIRES

WAITS = Backoff(first_seconds=0.02, longest_seconds=0.05)
OPTIONS = ServiceOptions(rules=RetryRules(backoff=WAITS, doubt_backoff=WAITS))
POINTS = (
    Point(NAMES.index("connect"), Moment.BEFORE),
    Point(NAMES.index("third pass of HLS"), Moment.UNANSWERED),
    *(point for point in ALL_POINTS if point.step == ENTER),
    Point(NAMES.index("reading back"), Moment.LOST),
    Point(NAMES.index("RLRQ"), Moment.BEFORE),
)
"""In each run; all of them in the long one."""
BREAKAGES = [
    pytest.param(wires[name], strike, id=f"{name} {strike.name}")
    for name, wires, strikes in (
        ("tcp", TCP_WIRES, TCP_STRIKES[-1:]),
        ("hdlc+tcp", TCP_WIRES, TCP_STRIKES[:1]),
        ("serial", SERIAL_WIRES, SERIAL_STRIKES[:2]),
        ("inbound", INBOUND_WIRES, INBOUND_STRIKES[1:2]),
        ("mqtt", MQTT_WIRES, MQTT_STRIKES[:3]),
    )
    for strike in strikes
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meters of the registry, with the time-outs of these tests."""
    usual = MeterBody.meter

    def meter(body: MeterBody) -> Meter:
        return replace(usual(body), profile=IMPATIENT, hdlc=HDLC)

    monkeypatch.setattr(MeterBody, "meter", meter)


@pytest.mark.parametrize(("wire", "strike"), BREAKAGES)
async def test_the_service_brings_every_order_to_its_end(wire: Wire, strike: Strike, tmp_path: Path) -> None:
    assert await served_at_all(wire, strike, POINTS, tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize(("wire", "strike"), BREAKAGES)
async def test_the_service_brings_every_order_to_its_end_at_each_point(
    wire: Wire, strike: Strike, tmp_path: Path
) -> None:
    assert await served_at_all(wire, strike, ALL_POINTS, tmp_path) == []


async def served_at_all(wire: Wire, strike: Strike, points: tuple[Point, ...], folder: Path) -> list[str]:
    named = [(str(point), point) for point in points]
    return await all_at_once(named, partial(serve_at, wire, strike), folder)


async def serve_at(wire: Wire, strike: Strike, point: Point, path: Path) -> list[str]:
    watch = strike.watch(point)
    await asyncio.to_thread(path.mkdir)
    async with wire(watch, path) as stand, head_end(path, OPTIONS) as head:
        strike.aim(watch, stand)
        await know(head, stand, watch)
        await head.order("order", ONE)
        await head.start()
        try:
            order = await head.until("order")
            found = troubles(order, stand)
        finally:
            await head.stop()  # the good-bye to the meter is a step, too
        await settle_down(stand, watch)
        found += [] if watch.is_struck else [NEVER_BROKEN]
    return found + troubles(order, stand)


async def know(head: HeadEnd, stand: Stand, watch: Watch) -> None:
    """The service knows the meter, and comes to it under the watch."""
    head.service = Service(
        head.store, OPTIONS, now=lambda: datetime.now(UTC), rng=Random(1), connect=watched(stand.connect, watch)
    )
    await head.know(str(stand.endpoint), physical=stand.known.physical, security=KEYS)


def troubles(order: OrderRecord, stand: Stand) -> list[str]:
    """A healthy meter behind a broken wire gets its token, once, and nothing else is said."""
    (token,) = order.tokens
    times_credited = stand.times_credited(ONE)
    if (order.state, token.credited, times_credited) == (OrderState.ACCEPTED, Credited.YES, 1):
        return []
    return [f"{order.state} ({order.reason}), credited {token.credited}, {times_credited} times in the ledger"]
