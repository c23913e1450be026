"""The wire carries so many bytes in one direction, and breaks: between frames, and in the middle of any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.test_delivery import ONE
from tests.wires.breakage import all_at_once, troubles
from tests.wires.head_end import settle
from tests.wires.inbound_wires import INBOUND_WIRES
from tests.wires.mqtt_wires import MQTT_CUT_WIRES
from tests.wires.point import Watch
from tests.wires.serial_wires import SERIAL_WIRES
from tests.wires.stand import Wire
from tests.wires.tcp_wires import TCP_WIRES

PLACES = 12
"""In each direction, spread evenly over all bytes of a delivery."""
MORE_PLACES = 300
LAST_BYTES = 16
"""Signatures in a TLS handshake differ in length, so the last bytes may be too many for the next delivery."""

WIRES: dict[str, Wire] = {**TCP_WIRES, "serial": SERIAL_WIRES["serial"], **INBOUND_WIRES, **MQTT_CUT_WIRES}


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", WIRES)
async def test_a_wire_that_breaks_after_any_byte_costs_no_money_and_no_truth(
    name: str, direction: str, tmp_path: Path
) -> None:
    assert await broken_everywhere(WIRES[name], direction, PLACES, tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", WIRES)
async def test_a_wire_that_breaks_after_any_byte_of_many_costs_no_money_and_no_truth(
    name: str, direction: str, tmp_path: Path
) -> None:
    assert await broken_everywhere(WIRES[name], direction, MORE_PLACES, tmp_path) == []


async def broken_everywhere(wire: Wire, direction: str, places: int, folder: Path) -> list[str]:
    watch = Watch()
    async with wire(watch, folder / "whole") as stand:
        before = stand.carried.bytes[direction]
        await settle(stand, ONE)
        total = stand.carried.bytes[direction] - before
    step = max(1, total // places)
    return await all_at_once(
        [(f"{direction}, {size} bytes of {total}", size) for size in range(0, total - LAST_BYTES, step)],
        lambda size, own: break_after(wire, direction, size, own),
        folder,
    )


async def break_after(wire: Wire, direction: str, size: int, folder: Path) -> list[str]:
    watch = Watch()
    async with wire(watch, folder) as stand:
        stand.carried.breaks_after[direction] = stand.carried.bytes[direction] + size
        settled = await settle(stand, ONE)
        watch.is_struck = not stand.carried.breaks_after
    return troubles(settled, stand, watch)
