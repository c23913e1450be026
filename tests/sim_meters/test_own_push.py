"""Messages that a meter sends by itself when a token was executed or rejected, and what may go wrong with them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu import DataNotification, GetResponse
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.security import Cipher
from cosem_objects.dlms.settings import SecuritySettings
from sim_meters.behaviour import Behaviour
from sim_meters.fault_order import FaultOrder
from sim_meters.ledger import Ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, PushTo
from tests.scenarios.virtual_clock import run_in_virtual_time
from tests.sim_meters.lab_house import FRAMINGS, SECURITIES, house, secured, tokens_of, words
from tests.sim_meters.meter_client import CLIENT_TITLE, Clock, associate, client_of
from tests.sim_meters.test_meter_push import BALANCE

ACCEPTED = "accepted, credited yes"
TITLE = bytes.fromhex("53494D0000000001")


def opened(octets: bytes, security: SecuritySettings) -> tuple[DataNotification, int]:
    """A message as whoever has the keys reads it, and its invocation counter."""
    ciphered = CipheredApdu.parse(octets)
    assert ciphered.title == TITLE
    cipher = Cipher(security.ek, security.ak)
    plain = cipher.open(ciphered.control, ciphered.title, ciphered.counter, ciphered.sealed)
    notification = xdlms.decode(plain)
    assert isinstance(notification, DataNotification)
    return notification, ciphered.counter


def status_in(notification: DataNotification) -> int:
    return notification.body.elements[2].elements[0].integer


@pytest.mark.parametrize("wire", FRAMINGS)
@pytest.mark.parametrize("security", SECURITIES.values(), ids=SECURITIES)
@pytest.mark.parametrize("delay_seconds", [0.0, 7.0])
def test_a_delivery_is_not_disturbed_by_messages_in_between(
    wire: str, security: SecuritySettings, delay_seconds: float
) -> None:
    config = secured(security, push_to=PushTo.CLIENT, status_delay_seconds=delay_seconds)

    async def play() -> None:
        async with house(config=config, wire=wire) as one:
            judged = await one.deliver(*tokens_of(config, 2))
            assert [words(each) for each in judged] == [ACCEPTED] * 2

    run_in_virtual_time(play())


@pytest.mark.parametrize("security", SECURITIES.values(), ids=SECURITIES)
@pytest.mark.parametrize("delay_seconds", [0.0, 7.0])
def test_the_client_that_is_there_hears_of_a_token_when_it_is_settled(
    security: SecuritySettings, delay_seconds: float
) -> None:
    config = secured(security, push_to=PushTo.CLIENT, status_delay_seconds=delay_seconds)

    async def play() -> None:
        async with house(config=config) as one:
            own = replace(security, client_system_title=bytes.fromhex(CLIENT_TITLE)) if security.ek else security
            client = await associate((await one.connect()).channel(1, 1), own)
            assert await client.enter(tokens_of(config)[0]) == 0
            loop = asyncio.get_running_loop()
            before = loop.time()
            octets = await client.channel.receive(60)
            assert loop.time() - before == pytest.approx(delay_seconds, abs=0.1)
            asked = client.association.request(BALANCE)
            notification = client.association.receive(octets)
            assert isinstance(notification, DataNotification)
            assert status_in(notification) == 3
            assert octets[0] == (0xDB if security.ek else 0x0F), "general-glo, or in clear"
            await client.channel.send(asked)
            assert isinstance(client.association.receive(await client.channel.receive(60)), GetResponse)

    run_in_virtual_time(play())


def pushing(config: MeterConfig, *orders: str, ledger: Ledger | None = None) -> tuple[SimMeter, list[bytes]]:
    behaviour = Behaviour(map(FaultOrder.parse, orders))
    meter = SimMeter(config, ledger, clock=Clock(), behaviour=behaviour)
    said: list[bytes] = []
    meter.on_push = said.append
    return meter, said


async def soon() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_on_the_wire_it_says_so_under_its_title_and_with_counters_that_rise_over_restarts() -> None:
    config = secured(SECURITIES["hls-gmac"], push_to=PushTo.WIRE)
    (first, second), ledger = tokens_of(config, 2), Ledger()
    meter, said = pushing(config, ledger=ledger)
    for token in (first, first):
        meter.key_in(token)
        await soon()
    again, more = pushing(config, ledger=ledger)
    again.key_in(second)
    await soon()
    read = [opened(octets, config.security) for octets in (*said, *more)]
    assert [status_in(notification) for notification, _ in read] == [3, 6, 3]
    counters = [counter for _, counter in read]
    assert counters == sorted(set(counters)), "no nonce twice"
    assert read[2][0].body.elements[0] == axdr.octet_string(second.digits.encode())


async def test_in_clear_it_says_the_same() -> None:
    config = secured(SECURITIES["none"], push_to=PushTo.WIRE)
    meter, said = pushing(config)
    async with client_of(meter) as client:
        await client.enter(tokens_of(config)[0])
        (message,) = said
        notification = xdlms.decode(message)
        assert isinstance(notification, DataNotification)
        assert status_in(notification) == 3
    assert xdlms.decode(meter.message()) == replace(notification, long_invoke=2), "also when it calls in"


@pytest.mark.parametrize(
    ("orders", "messages"),
    [((), 1), (("mute:1@push",), 0), (("duplicate-answer:1@push",), 2)],
    ids=["well", "mute", "twice"],
)
async def test_messages_get_lost_or_come_twice_on_order(orders: tuple[str, ...], messages: int) -> None:
    config = secured(SECURITIES["none"], push_to=PushTo.WIRE)
    meter, said = pushing(config, *orders)
    meter.key_in(tokens_of(config)[0])
    await soon()
    assert len(said) == messages
    assert len(set(said)) <= 1, "the same message"
    assert len(meter.behaviour.strikes) == len(orders)


async def test_a_message_comes_late_and_one_is_garbled() -> None:
    config = secured(SECURITIES["none"], push_to=PushTo.WIRE)
    meter, said = pushing(config, "delay=60:1@push", "garbled-answer:1@push")
    clock = meter.steady_clock
    assert isinstance(clock, Clock)
    meter.key_in(tokens_of(config)[0])
    await soon()
    clock.move(59)
    assert said == []
    clock.move(1)
    (message,) = said
    right = replace(xdlms.decode(meter.message()), long_invoke=1)  # type: ignore[type-var]
    assert message != right.encode()
    assert len(message) == len(right.encode())


async def test_nobody_hears_of_a_meter_that_is_offline_or_keeps_its_mouth_shut() -> None:
    for push_to, online in ((PushTo.WIRE, False), (PushTo.NOBODY, True), (PushTo.CLIENT, True)):
        config = secured(SECURITIES["none"], push_to=push_to)
        meter, said = pushing(config)
        if not online:
            meter.go_offline()
        meter.key_in(tokens_of(config)[0])
        await soon()
        assert said == []


def test_a_duplicate_of_a_message_reaches_a_client_twice() -> None:
    config = secured(SECURITIES["none"], push_to=PushTo.CLIENT)

    async def play() -> None:
        async with house("duplicate-answer:1@push", config=config) as one:
            client = await associate((await one.connect()).channel(1, 1))
            await client.enter(tokens_of(config)[0])
            first, second = [await client.channel.receive(10) for _ in range(2)]
            assert first == second

    run_in_virtual_time(play())
