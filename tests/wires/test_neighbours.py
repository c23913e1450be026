"""Two meters on one link, each with its own token under way: whatever becomes of the link, each gets its own, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sim_meters.meter_config import lab_config
from tests.gateway.test_delivery import ONE, credit
from tests.wires.breakage import all_at_once, settle_down, troubles
from tests.wires.head_end import settle
from tests.wires.mqtt_wires import MQTT_STRIKES, SETTINGS, MqttStand
from tests.wires.point import MANAGEMENT_POINTS, Moment, Point
from tests.wires.serial_wires import SERIAL_STRIKES
from tests.wires.stand import Neighbour, Stand, Strike, Wire
from tests.wires.tcp_wires import TCP_STRIKES
from tests.wires.test_steps import WIRES
from transports.wire_settings import WireSettings

POINTS = tuple(point for point in MANAGEMENT_POINTS if point.moment in (Moment.LOST, Moment.UNANSWERED))
ITS_TOKEN = credit(lab_config(1))
BREAKAGES = [
    pytest.param(WIRES[name], strike, id=f"{name}: {strike.name}")
    for name, strikes in (
        ("hdlc+tcp", TCP_STRIKES[:1]),
        ("serial", SERIAL_STRIKES[:2]),
        ("mqtt", (MQTT_STRIKES[0], MQTT_STRIKES[-2])),
    )
    for strike in strikes
]


@asynccontextmanager
async def neighbour_of(stand: Stand) -> AsyncIterator[Neighbour]:
    neighbour = Neighbour(stand)
    if isinstance(stand, MqttStand):
        neighbour.endpoint = replace(stand.endpoint, path="site/neighbour")
        async with await stand.listen(neighbour, WireSettings(mqtt=SETTINGS)):
            yield neighbour
    else:
        yield neighbour


@pytest.mark.parametrize(("wire", "strike"), BREAKAGES)
async def test_a_link_that_breaks_under_two_meters_costs_neither_money_nor_truth(
    wire: Wire, strike: Strike, tmp_path: Path
) -> None:
    points = [(str(point), point) for point in POINTS]
    assert await all_at_once(points, partial(break_under_both, wire, strike), tmp_path) == []


async def break_under_both(wire: Wire, strike: Strike, point: Point, path: Path) -> list[str]:
    watch = strike.watch(point)
    async with wire(watch, path) as stand, neighbour_of(stand) as neighbour:
        strike.aim(watch, stand)
        settling = asyncio.create_task(settle(neighbour, ITS_TOKEN))
        one = await settle(stand, ONE)
        await settle_down(stand, watch)
        other = await settling
    neighbour.watch.is_struck = True
    return troubles(one, stand, watch) + [
        f"the neighbour: {trouble}" for trouble in troubles(other, neighbour, neighbour.watch, ITS_TOKEN)
    ]
