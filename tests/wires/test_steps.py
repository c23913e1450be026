"""The wire breaks at every step of a delivery, and the order ends truthfully all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.verdict import Outcome
from tests.gateway.test_delivery import ONE
from tests.wires.breakage import break_at_all
from tests.wires.head_end import settle
from tests.wires.inbound_wires import INBOUND_STRIKES, INBOUND_WIRES
from tests.wires.mqtt_wires import BROKER_STRIKES, MQTT_STRIKES, MQTT_WIRES
from tests.wires.point import ALL_POINTS, MANAGEMENT_POINTS, STEPS, Point, Watch
from tests.wires.serial_wires import SERIAL_STRIKES, SERIAL_WIRES
from tests.wires.stand import Strike, Wire
from tests.wires.tcp_wires import TCP_STRIKES, TCP_WIRES

FAMILIES: tuple[tuple[dict[str, Wire], tuple[Strike, ...]], ...] = (
    (TCP_WIRES, TCP_STRIKES),
    (SERIAL_WIRES, SERIAL_STRIKES),
    (INBOUND_WIRES, INBOUND_STRIKES),
    (MQTT_WIRES, MQTT_STRIKES),
)
WIRES = {name: wire for wires, _ in FAMILIES for name, wire in wires.items()}
BREAKAGES = {
    f"{name}: {strike.name}": (wire, strike)
    for wires, strikes in FAMILIES
    for name, wire in wires.items()
    for strike in strikes
}
"""Each wire, broken in each way."""
AT_EACH_STEP = {
    "tcp": TCP_STRIKES[:1],
    "hdlc+tcp": TCP_STRIKES[:1],
    "serial": SERIAL_STRIKES[:1],
    "inbound": INBOUND_STRIKES[1:2],
    "mqtt": MQTT_STRIKES[:1],
}
"""Wire -> strikes in each run. The long one has all of them on all wires, at every step."""
AT_STEPS_WITH_THE_TOKEN = {
    "tcp": TCP_STRIKES[1:],
    "tcps": (TCP_STRIKES[0], TCP_STRIKES[-1]),
    "hdlc+tcp": (TCP_STRIKES[3], TCP_STRIKES[-1]),
    "serial": SERIAL_STRIKES[1:],
    "inbound": (INBOUND_STRIKES[0], *INBOUND_STRIKES[2:]),
    "inbound with HDLC": INBOUND_STRIKES[1:2],
    "mqtt": MQTT_STRIKES[1:],
    "mqtt 3.1.1": BROKER_STRIKES[:1],
    "mqtt with HDLC": BROKER_STRIKES[:1],
    "mqtt, persistent broker": BROKER_STRIKES[:1],
}
"""The same, in the association in which the token is entered."""
CASES = [
    pytest.param(WIRES[name], strike, points, id=f"{name}: {strike.name}")
    for table, points in ((AT_EACH_STEP, ALL_POINTS), (AT_STEPS_WITH_THE_TOKEN, MANAGEMENT_POINTS))
    for name, strikes in table.items()
    for strike in strikes
]


@pytest.mark.parametrize("name", WIRES)
async def test_a_delivery_that_nobody_disturbs_has_these_steps(name: str, tmp_path: Path) -> None:
    watch = Watch()
    async with WIRES[name](watch, tmp_path / "case") as stand:
        settled = await settle(stand, ONE)
        assert stand.times_credited(ONE) == 1
    assert [judged.verdict.outcome for judged in settled.verdicts] == [Outcome.ACCEPTED]
    assert watch.kinds == [kind for _, kind in STEPS]
    assert settled.untruths == []


@pytest.mark.parametrize(("wire", "strike", "points"), CASES)
async def test_a_wire_that_breaks_at_any_step_costs_no_money_and_no_truth(
    wire: Wire, strike: Strike, points: tuple[Point, ...], tmp_path: Path
) -> None:
    assert await break_at_all(wire, strike, points, tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", BREAKAGES)
async def test_every_wire_breaks_in_every_way_at_every_step(name: str, tmp_path: Path) -> None:
    assert await break_at_all(*BREAKAGES[name], ALL_POINTS, tmp_path) == []
