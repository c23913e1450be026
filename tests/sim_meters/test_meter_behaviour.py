"""Scripted misbehaviour: what is booked, what is answered, and how often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosem_objects import axdr
from cosem_objects.dlms.refusals import AssociationRefused
from cosem_objects.errors import SettingError
from sim_meters.behaviour import Behaviour
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault, Phase
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from tests.sim_meters.meter_client import HLS, Clock, a_meter, client_of, credit, enter_request
from transports.channel import ChannelClosed, ChannelTimeout

CONFIG = lab_config()
TOKEN = credit(CONFIG)


def misbehaving(*orders: str) -> SimMeter:
    return a_meter(CONFIG, behaviour=Behaviour(map(FaultOrder.parse, orders), 1))


@pytest.mark.parametrize(("name", "booked"), [("hang-up-before-enter", 0), ("hang-up-after-enter", 1)])
async def test_it_hangs_up_instead_of_an_answer(name: str, booked: int) -> None:
    meter = misbehaving(f"{name}:1")
    async with client_of(meter) as client:
        assert await client.balance() == 0
        with pytest.raises(ChannelClosed):
            await client.enter(TOKEN)
    assert meter.ledger.times_credited(TOKEN) == booked
    async with client_of(meter) as client:
        assert await client.balance() == 256 * booked
        assert await client.enter(TOKEN) == 0
        assert (await client.status()).code == (6 if booked else 3)
    assert meter.ledger.times_credited(TOKEN) == 1


async def test_it_drops_the_answer_and_goes_on() -> None:
    meter = misbehaving("drop-answer-after-enter:1")
    async with client_of(meter) as client:
        await client.channel.send(client.association.request(enter_request(TOKEN)))
        with pytest.raises(ChannelTimeout):
            await client.channel.receive(0.05)
    assert meter.ledger.times_credited(TOKEN) == 1
    async with client_of(meter) as client:
        assert await client.gateway(2) == axdr.octet_string(TOKEN.digits.encode())
        assert (await client.status()).code == 3


async def test_the_status_of_the_token_before_stays() -> None:
    meter = misbehaving("stale-status:1")
    async with client_of(meter) as client:
        before = [await client.gateway(attribute) for attribute in range(2, 7)]
        assert await client.enter(TOKEN) == 0
        assert [await client.gateway(attribute) for attribute in range(2, 7)] == before
        assert await client.balance() == 256, "booked all the same"
        assert await client.enter(TOKEN) == 0
        assert (await client.status()).code == 6
    again = SimMeter(CONFIG, meter.ledger, clock=Clock())
    assert again.state == meter.state


async def test_a_stale_status_hides_a_pending_token_too() -> None:
    clock = Clock()
    meter = SimMeter(
        replace(CONFIG, status_delay_seconds=5.0), clock=clock, behaviour=Behaviour([FaultOrder(Fault.STALE_STATUS)])
    )
    async with client_of(meter) as client:
        assert await client.enter(TOKEN) == 0
        assert await client.gateway(2) == axdr.octet_string(b"")
        clock.move(5)
        assert await client.gateway(2) == axdr.octet_string(b"")
        assert await client.balance() == 256


async def test_it_refuses_an_association_as_busy_and_lets_the_public_client_in() -> None:
    meter = misbehaving("refuse-association:2")
    for _ in range(2):
        with pytest.raises(AssociationRefused) as refusal:
            async with client_of(meter):
                pass
        assert refusal.value.transient
        async with client_of(meter, client_sap=16) as public:
            await public.value(1, "0-0:43.1.0.255", 2)
    async with client_of(meter) as client:
        assert await client.balance() == 0


async def test_a_refusal_of_a_secured_meter_is_understood() -> None:
    orders = [FaultOrder(Fault.REFUSE_ASSOCIATION, count=1)]
    meter = a_meter(replace(CONFIG, security=HLS), behaviour=Behaviour(orders))
    with pytest.raises(AssociationRefused) as refusal:
        async with client_of(meter):
            pass
    assert refusal.value.transient
    async with client_of(meter) as client:
        assert await client.balance() == 0


async def test_without_a_count_it_is_always() -> None:
    meter = misbehaving("hang-up-after-enter")
    for _ in range(3):
        async with client_of(meter) as client:
            with pytest.raises(ChannelClosed):
                await client.enter(TOKEN)
    assert len(meter.ledger.entries) == 3


async def test_a_hang_up_leaves_other_links_alone() -> None:
    meter = misbehaving("hang-up-after-enter:1")
    async with client_of(meter) as other, client_of(meter) as client:
        with pytest.raises(ChannelClosed):
            await client.enter(TOKEN)
        assert await other.balance() == 256


def test_a_share_of_the_time_comes_from_the_seed() -> None:
    def story(seed: int) -> list[bool]:
        behaviour = Behaviour([FaultOrder.parse("hang-up-after-enter:25%")], seed)
        return [behaviour.happens(Fault.HANG_UP_AFTER_ENTER, Phase.ENTER, Clock().now) is not None for _ in range(400)]

    assert story(1) == story(1) != story(2)
    assert 60 < sum(story(1)) < 140
    assert not any(Behaviour().happens(fault, phase, Clock().now) for fault in Fault for phase in Phase)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stale-status", FaultOrder(Fault.STALE_STATUS)),
        ("stale-status:3", FaultOrder(Fault.STALE_STATUS, count=3)),
        ("stale-status:0", FaultOrder(Fault.STALE_STATUS, count=0)),
        ("stale-status:100%", FaultOrder(Fault.STALE_STATUS)),
        ("refuse-association:5%", FaultOrder(Fault.REFUSE_ASSOCIATION, chance_percent=5)),
    ],
)
def test_an_order(text: str, expected: FaultOrder) -> None:
    assert FaultOrder.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "asleep", "stale-status:", "stale-status:x", "stale-status:-1", "stale-status:101%"]
)
def test_no_order(text: str) -> None:
    with pytest.raises(SettingError, match="expected"):
        FaultOrder.parse(text)
