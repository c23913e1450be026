"""Answers that an MQTT client publishes twice, through a real broker: nobody is credited twice, or told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.delivery import Delivery
from gateway.events import Event, SendStarted
from gateway.meters import Meter
from sim_meters.behaviour import Behaviour
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE
from sim_meters.wire_faults import WireFaults
from tests.mosquitto import Mosquitto
from tests.sim_meters.lab_house import SECURITIES, secured, tokens_of, words
from transports.endpoint import Endpoint
from transports.registry import listen


@pytest.mark.parametrize("security", SECURITIES.values(), ids=SECURITIES)
@pytest.mark.parametrize("fault", [Fault.DUPLICATE_ANSWER, Fault.DUPLICATE_FRAME])
async def test_a_delivery_over_a_broker_survives_answers_that_come_twice(
    tmp_path: Path, fault: Fault, security: object
) -> None:
    config = secured(security)  # type: ignore[arg-type]
    wire = WireFaults()
    meter = SimMeter(config, behaviour=Behaviour([FaultOrder(fault)]), wire=wire)
    events: list[Event] = []

    async def record(event: Event) -> None:
        events.append(event)

    tokens = tokens_of(config, 2)
    with Mosquitto(tmp_path) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/{config.device_name}")
        async with await listen(endpoint, meter.serve, accept=config.is_for_us, through=wire.filter):
            known = Meter(endpoint=endpoint, profile=SIM_PROFILE, security=config.security)
            judged = await Delivery(known, record).run(tokens)
    meter.close()
    assert [words(one) for one in judged] == ["accepted, credited yes"] * 2
    assert sum(isinstance(event, SendStarted) for event in events) == 2
    assert [meter.ledger.times_credited(token) for token in tokens] == [1, 1]
    assert meter.behaviour.strikes[fault] >= 6
