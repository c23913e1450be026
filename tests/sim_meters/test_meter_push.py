"""Push: what a meter sends unasked is the last token, its time and status, and the balance, in that order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import (
    ActionResult,
    AttributeDescriptor,
    DataNotification,
    GetRequest,
    GetResponse,
)
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.obis import ObisCode
from cosem_objects.push_setup import PushObject, push_object_list_from_data
from sim_meters.meter_config import SIM_PROFILE, lab_config
from sim_meters.push_object import push_body, pushed_objects
from tests.sim_meters.meter_client import HLS, NONE, Client, a_meter, client_of, credit

PLACE = "0-0:25.9.0.255"
GENERAL = replace(HLS, ciphering=Ciphering.GENERAL_GLO)
TIME = bytes.fromhex("07EA0B15060C1E0F19000000")  # 2026-11-21, Saturday, 12:30:15.25
BALANCE = GetRequest(AttributeDescriptor(111, ObisCode.parse("0-0:19.0.0.255"), 5))


async def pushed(client: Client) -> tuple[int, DataNotification]:
    """Invoke ``push``: the first octet of the message, and what it says. The association goes on afterwards."""
    assert (await client.act(40, PLACE, 1, axdr.integer(0))).result == ActionResult.SUCCESS
    octets = await client.channel.receive(5)
    asked = client.association.request(BALANCE)  # a client takes messages while it waits for an answer
    notification = client.association.receive(octets)
    assert isinstance(notification, DataNotification)
    await client.channel.send(asked)
    assert isinstance(client.association.receive(await client.channel.receive(5)), GetResponse)
    return octets[0], notification


@pytest.mark.parametrize(
    ("security", "first"),
    [(NONE, 0x0F), (HLS, 0xDB), (GENERAL, 0xDB)],
    ids=["in clear", "service-glo has no form for it", "general-glo"],
)
async def test_a_client_that_asks_for_a_push_gets_it_after_the_answer(security: SecuritySettings, first: int) -> None:
    config = lab_config() if security is NONE else replace(lab_config(), security=security)
    token = credit(config)
    async with client_of(a_meter(config), counters=InvocationCounters()) as client:
        assert await client.enter(token) == 0
        octet, notification = await pushed(client)
        assert (await pushed(client))[1].long_invoke == 2
    assert octet == first
    assert (notification.long_invoke, notification.date_time) == (1, TIME)
    assert notification.body == axdr.structure(
        axdr.octet_string(token.digits.encode()),
        axdr.octet_string(TIME),
        axdr.structure(axdr.enum(3), axdr.bit_string("0" * 16)),
        axdr.double_long(256),
    )


async def test_the_values_come_in_the_order_of_the_list_that_the_meter_shows() -> None:
    async with client_of(a_meter()) as client:
        listed = push_object_list_from_data(await client.value(40, PLACE, 2))
        _, notification = await pushed(client)
        assert [await client.get(one.class_id, one.logical_name, one.attribute_index) for one in listed] == list(
            notification.body.elements
        )


@pytest.mark.parametrize("wrong", [None, axdr.unsigned(0), axdr.octet_string(b"\x00")])
async def test_another_parameter_pushes_nothing(wrong: Data | None) -> None:
    async with client_of(a_meter()) as client:
        assert (await client.act(40, PLACE, 1, wrong)).result == ActionResult.TYPE_UNMATCHED
        assert await client.balance() == 0


async def test_the_public_client_pushes_nothing() -> None:
    async with client_of(a_meter(), client_sap=16) as client:
        assert (await client.act(40, PLACE, 1, axdr.integer(0))).result == ActionResult.READ_WRITE_DENIED
        assert isinstance(await client.get(1, "0-0:42.0.0.255", 2), Data)


def test_what_cannot_be_read_is_left_empty_in_its_place() -> None:
    """So that the values after it are still found."""
    meter = a_meter()
    made = meter.association(1)
    assert made is not None
    name = ObisCode.parse("0-0:42.0.0.255")
    listed = (
        PushObject(1, name, 9),
        PushObject(3, ObisCode.parse("1-0:1.8.0.255"), 2),
        PushObject(15, ObisCode.parse("0-0:40.0.0.255"), 7),
        PushObject(1, name, 2),
    )
    body = push_body(meter, made[1], listed)
    assert body == axdr.structure(axdr.NULL, axdr.NULL, axdr.NULL, axdr.octet_string(b"SIM00000000000"))
    public = meter.association(16)
    assert public is not None
    assert push_body(meter, public[1], pushed_objects(SIM_PROFILE)) == axdr.structure(*[axdr.NULL] * 4)


def test_a_meter_without_an_account_pushes_the_token_alone() -> None:
    listed = pushed_objects(replace(SIM_PROFILE, account_obis=None))
    assert [(one.class_id, one.attribute_index) for one in listed] == [(115, 2), (115, 3), (115, 6)]
