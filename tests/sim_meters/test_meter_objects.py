"""What the meter's objects say: types as in the Blue Book, values that are true, and every kind of no."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from cosem_objects import axdr, payment
from cosem_objects.axdr import Data, DataType
from cosem_objects.clock import CosemDateTime
from cosem_objects.disconnect_control import ControlState
from cosem_objects.dlms.apdu import ActionResult, Conformance, DataAccessResult
from cosem_objects.dlms.client import Associated, ClientAssociation
from cosem_objects.dlms.refusals import AssociationRefused, ServiceRefused
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from cosem_objects.payment import AccountModeAndStatus, Currency, CurrencyUnit
from cosem_objects.profile import MeterProfile
from sim_meters.account import AccountUnit
from sim_meters.debt import DebtRecovery
from sim_meters.meter_config import SIM_PROFILE, MeterConfig, lab_config
from tests.sim_meters.meter_client import (
    CLIENT_TITLE,
    HLS,
    NOW,
    Client,
    Clock,
    a_meter,
    associate,
    client_of,
    credit,
    link_to,
)

OPEN_TIME = axdr.octet_string(bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF"))
CREDIT_REF = axdr.octet_string(bytes.fromhex("0000130A00FF"))
ZERO = axdr.double_long(0)

NEW_METER: dict[tuple[int, str], dict[int, Data]] = {
    (1, "0-0:42.0.0.255"): {
        1: axdr.octet_string(bytes.fromhex("00002A0000FF")),
        2: axdr.octet_string(b"SIM00000000000"),
    },
    (1, "0-0:43.1.0.255"): {2: axdr.double_long_unsigned(0)},
    (7, "1-0:99.15.0.255"): {
        2: axdr.array(),
        3: axdr.array(
            *(
                axdr.structure(
                    axdr.long_unsigned(class_id),
                    axdr.octet_string(bytes.fromhex(name)),
                    axdr.integer(attribute),
                    axdr.long_unsigned(element),
                )
                for class_id, name, attribute, element in [
                    (8, "0000010000FF", 2, 0),
                    (115, "0000132800FF", 5, 0),
                    (115, "0000132800FF", 6, 1),
                    (111, "0000130000FF", 5, 0),
                ]
            )
        ),
        4: axdr.double_long_unsigned(0),
        5: axdr.enum(1),
        6: axdr.structure(
            axdr.long_unsigned(8),
            axdr.octet_string(bytes.fromhex("0000010000FF")),
            axdr.integer(2),
            axdr.long_unsigned(0),
        ),
        7: axdr.double_long_unsigned(0),
        8: axdr.double_long_unsigned(1000),
    },
    (8, "0-0:1.0.0.255"): {
        2: axdr.octet_string(bytes.fromhex("07EA0B15060C1E0F19000000")),  # 2026-11-21, Saturday, 12:30:15.25
        3: axdr.long(0),
        4: axdr.unsigned(0),
        5: OPEN_TIME,
        6: OPEN_TIME,
        7: axdr.integer(0),
        8: axdr.boolean(False),
        9: axdr.enum(1),
    },
    (15, "0-0:40.0.0.255"): {
        3: axdr.structure(axdr.integer(1), axdr.long_unsigned(1)),
        4: axdr.octet_string(bytes.fromhex("60857405080101")),
        5: axdr.structure(
            axdr.bit_string("001000000001111000011101"),
            axdr.long_unsigned(0xFFFF),
            axdr.long_unsigned(0xFFFF),
            axdr.unsigned(6),
            axdr.integer(0),
            axdr.octet_string(b""),
        ),
        6: axdr.octet_string(bytes.fromhex("60857405080200")),
        8: axdr.enum(2),
        9: axdr.octet_string(bytes.fromhex("00002B0000FF")),
    },
    (40, "0-0:25.9.0.255"): {
        2: axdr.array(
            *(
                axdr.structure(
                    axdr.long_unsigned(class_id),
                    axdr.octet_string(bytes.fromhex(name)),
                    axdr.integer(attribute),
                    axdr.long_unsigned(0),
                )
                for class_id, name, attribute in [
                    (115, "0000132800FF", 2),
                    (115, "0000132800FF", 3),
                    (115, "0000132800FF", 6),
                    (111, "0000130000FF", 5),
                ]
            )
        ),
        3: axdr.structure(axdr.enum(0), axdr.octet_string(b""), axdr.enum(0)),
        4: axdr.array(),
        5: axdr.long_unsigned(0),
        6: axdr.unsigned(0),
        7: axdr.long_unsigned(0),
    },
    (64, "0-0:43.0.0.255"): {
        2: axdr.enum(0),
        3: axdr.enum(0),
        4: axdr.octet_string(b""),
        5: axdr.octet_string(b"SIM\x00\x00\x00\x00\x01"),
        6: axdr.array(),
    },
    (70, "0-0:96.3.10.255"): {2: axdr.boolean(False), 3: axdr.enum(0), 4: axdr.enum(6)},
    (71, "0-0:17.0.0.255"): {
        2: axdr.structure(
            axdr.long_unsigned(3), axdr.octet_string(bytes.fromhex("0100010700FF")), axdr.integer(2)
        ),  # active power
        3: axdr.double_long_unsigned(0xFFFFFFFF),  # no limit yet
        4: axdr.double_long_unsigned(0xFFFFFFFF),
        5: axdr.double_long_unsigned(0xFFFFFFFF),
        6: axdr.double_long_unsigned(0),
        7: axdr.double_long_unsigned(0),
        8: axdr.structure(axdr.long_unsigned(0), OPEN_TIME, axdr.double_long_unsigned(0)),
        9: axdr.array(),
        10: axdr.boolean(False),
        11: axdr.structure(*[axdr.structure(axdr.octet_string(bytes(6)), axdr.long_unsigned(0))] * 2),
    },
    (111, "0-0:19.0.0.255"): {
        2: axdr.structure(axdr.enum(2), axdr.enum(2)),
        3: axdr.unsigned(0),
        4: axdr.bit_string("00000010"),
        5: ZERO,
        6: ZERO,
        7: ZERO,
        8: ZERO,
        9: axdr.array(CREDIT_REF),
        10: axdr.array(),
        11: axdr.array(),
        12: axdr.array(axdr.structure(CREDIT_REF, axdr.unsigned(100))),
        13: axdr.octet_string(bytes.fromhex("07DE01010300000000000000")),  # 2014-01-01, the base date
        14: OPEN_TIME,
        15: axdr.structure(axdr.utf8_string("kWh"), axdr.integer(-1), axdr.enum(1)),
        16: ZERO,
        17: ZERO,
        18: axdr.long_unsigned(0),
        19: ZERO,
    },
    (112, "0-0:19.10.0.255"): {
        2: ZERO,
        3: axdr.enum(0),
        4: axdr.unsigned(1),
        5: ZERO,
        6: ZERO,
        7: axdr.bit_string("00001"),
        8: axdr.enum(4),
        9: ZERO,
        10: ZERO,
        11: OPEN_TIME,
    },
    (115, "0-0:19.40.0.255"): {
        2: axdr.octet_string(b""),
        3: OPEN_TIME,
        4: axdr.array(),
        5: axdr.enum(0),
        6: axdr.structure(axdr.enum(0), axdr.bit_string("")),
    },
    (116, "0-0:19.60.0.255"): {
        2: axdr.structure(axdr.double_long_unsigned(600727), axdr.long64_unsigned(0), axdr.unsigned(9)),
        3: axdr.visible_string("ELECTRICITY"),
        4: axdr.array(axdr.unsigned(2), axdr.unsigned(8)),
        5: axdr.unsigned(7),
        6: axdr.double_long_unsigned(201457),
        7: axdr.unsigned(1),
        8: axdr.unsigned(1),
        9: axdr.unsigned(2),
        10: axdr.unsigned(255),
        11: axdr.unsigned(3),
        12: axdr.visible_string(""),
    },
}


@pytest.mark.parametrize(
    ("class_id", "obis", "attribute", "expected"),
    [(*place, attribute, data) for place, row in NEW_METER.items() for attribute, data in row.items()],
)
async def test_a_new_meter_says(class_id: int, obis: str, attribute: int, expected: Data) -> None:
    async with client_of(a_meter()) as client:
        assert await client.get(class_id, obis, attribute) == expected


async def test_the_object_list_is_the_truth() -> None:
    """What it says can be read can be read, and nothing else; the same for methods."""
    async with client_of(a_meter()) as client:
        listed = (await client.value(15, "0-0:40.0.0.255", 2)).elements
        assert {(row.elements[0].integer, str(ObisCode(row.elements[2].octets))) for row in listed} == set(NEW_METER)
        for row in listed:
            class_id, version, obis, rights = row.structure(4)
            assert version == axdr.unsigned(1 if class_id.integer in (7, 15, 64) else 0)
            place = ObisCode(obis.octets)
            attributes, methods = rights.structure(2)
            modes = {entry.elements[0].integer: entry.elements[1] for entry in attributes.elements}
            for entry in attributes.elements:
                is_log = (class_id.integer, entry.elements[0].integer) == (7, 2)
                both_selectors = axdr.array(axdr.integer(1), axdr.integer(2))
                assert entry.elements[2] == (both_selectors if is_log else axdr.NULL)
            for attribute in range(1, 25):
                result = await client.get(class_id.integer, place, attribute)
                if attribute not in modes:
                    assert result == DataAccessResult.OBJECT_UNDEFINED
                elif modes[attribute] == axdr.enum(0):
                    assert result == DataAccessResult.READ_WRITE_DENIED
                else:
                    assert modes[attribute] == axdr.enum(1)
                    assert isinstance(result, Data)
            for entry in methods.elements:
                if entry.elements[1] == axdr.enum(0):
                    answer = await client.act(class_id.integer, str(place), entry.elements[0].integer, axdr.integer(0))
                    assert answer.result == ActionResult.READ_WRITE_DENIED
            listed_methods = [entry.elements[0].integer for entry in methods.elements]
            unknown = await client.act(class_id.integer, str(place), max(listed_methods, default=0) + 1, None)
            assert unknown.result == ActionResult.OBJECT_UNDEFINED


@pytest.mark.parametrize(
    ("class_id", "obis", "attribute", "expected"),
    [
        (115, "0-0:19.41.0.255", 2, DataAccessResult.OBJECT_UNDEFINED),
        (3, "0-0:19.40.0.255", 2, DataAccessResult.OBJECT_CLASS_INCONSISTENT),
        (115, "0-0:19.40.0.255", 7, DataAccessResult.OBJECT_UNDEFINED),
        (115, "0-0:19.40.0.255", -1, DataAccessResult.OBJECT_UNDEFINED),
        (115, "0-0:19.40.0.255", 0, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED),
        (15, "0-0:40.0.0.255", 7, DataAccessResult.READ_WRITE_DENIED),
    ],
)
async def test_a_get_is_refused(class_id: int, obis: str, attribute: int, expected: DataAccessResult) -> None:
    async with client_of(a_meter()) as client:
        assert await client.get(class_id, obis, attribute) == expected


async def test_a_part_of_an_attribute_is_refused_and_the_association_goes_on() -> None:
    async with client_of(a_meter()) as client:
        part = (2, axdr.structure(axdr.integer(1)))
        assert await client.get(15, "0-0:40.0.0.255", 2, part) == DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
        assert await client.balance() == 0


@pytest.mark.parametrize(
    ("class_id", "obis", "attribute", "expected"),
    [
        (115, "0-0:19.40.0.255", 2, DataAccessResult.READ_WRITE_DENIED),
        (115, "0-0:19.40.0.255", 1, DataAccessResult.READ_WRITE_DENIED),
        (112, "0-0:19.10.0.255", 2, DataAccessResult.READ_WRITE_DENIED),
        (8, "0-0:1.0.0.255", 2, DataAccessResult.READ_WRITE_DENIED),
        (8, "0-0:1.0.0.255", 10, DataAccessResult.OBJECT_UNDEFINED),
        (8, "0-0:1.0.0.255", 0, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED),
        (8, "0-0:1.0.1.255", 2, DataAccessResult.OBJECT_UNDEFINED),
        (1, "0-0:1.0.0.255", 2, DataAccessResult.OBJECT_CLASS_INCONSISTENT),
    ],
)
async def test_nothing_can_be_set(class_id: int, obis: str, attribute: int, expected: DataAccessResult) -> None:
    meter = a_meter()
    async with client_of(meter) as client:
        assert await client.set(class_id, obis, attribute, axdr.double_long(1_000_000)) == expected
        assert await client.balance() == 0
    assert meter.ledger.records == []


@pytest.mark.parametrize("method", [1, 2, 3])
async def test_no_balance_moves_without_sts(method: int) -> None:
    async with client_of(a_meter()) as client:
        answer = await client.act(112, "0-0:19.10.0.255", method, axdr.double_long(1_000_000))
        assert answer.result == ActionResult.READ_WRITE_DENIED
        assert await client.balance() == 0


@pytest.mark.parametrize(
    ("class_id", "obis", "method", "expected"),
    [
        (115, "0-0:19.41.0.255", 1, ActionResult.OBJECT_UNDEFINED),
        (111, "0-0:19.40.0.255", 1, ActionResult.OBJECT_CLASS_INCONSISTENT),
        (115, "0-0:19.40.0.255", 2, ActionResult.OBJECT_UNDEFINED),
        (15, "0-0:40.0.0.255", 1, ActionResult.READ_WRITE_DENIED),
    ],
)
async def test_an_action_is_refused(class_id: int, obis: str, method: int, expected: ActionResult) -> None:
    async with client_of(a_meter()) as client:
        assert (await client.act(class_id, obis, method, axdr.octet_string(bytes(20)))).result == expected


# Who may ask.


async def test_the_public_client_reads_name_and_counter_and_nothing_else() -> None:
    meter = a_meter(replace(lab_config(), security=HLS))
    async with client_of(meter, client_sap=16) as client:
        assert await client.get(1, "0-0:42.0.0.255", 2) == axdr.octet_string(b"SIM00000000000")
        assert await client.get(1, "0-0:43.1.0.255", 2) == axdr.double_long_unsigned(0)
        listed = (await client.value(15, "0-0:40.0.0.255", 2)).elements
        assert [row.elements[0].integer for row in listed] == [1, 1, 15]
        assert await client.get(15, "0-0:40.0.0.255", 6) == axdr.octet_string(bytes.fromhex("60857405080200"))
        assert await client.get(15, "0-0:40.0.0.255", 9) == axdr.octet_string(bytes(6))
        assert (await client.value(15, "0-0:40.0.0.255", 3)).elements[0] == axdr.integer(16)
        for class_id, obis in NEW_METER:
            if class_id not in (1, 15):
                assert await client.get(class_id, obis, 2) == DataAccessResult.READ_WRITE_DENIED
                assert await client.set(class_id, obis, 2, ZERO) == DataAccessResult.READ_WRITE_DENIED
        assert await client.set(1, "0-0:43.1.0.255", 2, ZERO) == DataAccessResult.READ_WRITE_DENIED
        assert await client.get(1, "0-0:44.1.0.255", 2) == DataAccessResult.OBJECT_UNDEFINED
        assert await client.enter(credit(meter.config)) == ActionResult.READ_WRITE_DENIED
    assert meter.ledger.entries == []


async def test_a_client_that_nobody_knows_is_refused() -> None:
    meter = a_meter()
    async with link_to(meter) as link:
        with pytest.raises(AssociationRefused) as refusal:
            await associate(link.channel(client_sap=2))
        assert not refusal.value.transient
        stranger = link.channel(client_sap=3)
        await stranger.send(bytes.fromhex("C001C1000100002A0000FF0200"))
        assert await stranger.receive(5) == bytes.fromhex("D80101")


async def test_nothing_is_answered_without_an_association() -> None:
    async with link_to(a_meter()) as link:
        channel = link.channel()
        await channel.send(bytes.fromhex("C001C1000100002A0000FF0200"))
        assert await channel.receive(5) == bytes.fromhex("D80101")


async def test_another_logical_device_stays_silent() -> None:
    meter = a_meter(replace(lab_config(), server_sap=17))
    async with link_to(meter) as link:
        assert not meter.config.is_for_us(link.channel(server_sap=1).address)
        client = await associate(link.channel(server_sap=17))
        assert await client.value(15, "0-0:40.0.0.255", 3) == axdr.structure(axdr.integer(1), axdr.long_unsigned(17))


async def test_the_management_client_may_have_another_sap() -> None:
    async with client_of(a_meter(replace(lab_config(), client_sap=32)), client_sap=32) as client:
        assert (await client.value(15, "0-0:40.0.0.255", 3)).elements[0] == axdr.integer(32)


async def test_the_current_association_shows_its_security() -> None:
    async with client_of(a_meter(replace(lab_config(), security=HLS))) as client:
        assert await client.get(15, "0-0:40.0.0.255", 4) == axdr.octet_string(bytes.fromhex("60857405080103"))
        assert await client.get(15, "0-0:40.0.0.255", 6) == axdr.octet_string(bytes.fromhex("60857405080205"))


@pytest.mark.parametrize(
    ("security", "offered", "shown"),
    [
        (SecuritySettings(), Conformance.GET | Conformance.ACTION, "000000000000000000010001"),
        (SecuritySettings(), Conformance.GET | Conformance.READ, "000000000000000000010000"),
        (HLS, Conformance.GET, "000000000000000000010000"),
    ],
)
async def test_the_current_association_shows_what_was_agreed(
    security: SecuritySettings, offered: Conformance, shown: str
) -> None:
    profile = replace(SIM_PROFILE, pdu_size_max=500)
    meter = a_meter(replace(lab_config(), profile=profile, security=security))
    settings = replace(security, client_system_title=bytes.fromhex(CLIENT_TITLE))
    async with link_to(meter) as link:
        channel = link.channel()
        association = ClientAssociation(
            settings, InvocationCounters(), b"a client's chance", pdu_size_max=700, offered=offered
        )
        await channel.open(5)
        await channel.send(association.associate())
        while not isinstance(event := association.receive(await channel.receive(5)), Associated):
            assert isinstance(event, bytes)
            await channel.send(event)
        agreed = (await Client(channel, association).value(15, "0-0:40.0.0.255", 5)).elements
    assert agreed[:3] == (axdr.bit_string(shown), axdr.long_unsigned(500), axdr.long_unsigned(700))


async def test_an_unknown_service_is_refused_and_the_association_goes_on() -> None:
    async with client_of(a_meter()) as client:
        await client.channel.send(bytes.fromhex("D901"))  # ACCESS, which was not agreed
        assert await client.channel.receive(5) == bytes.fromhex("D80202")
        assert await client.balance() == 0


# The clock.


async def test_the_clock_tells_local_time_with_its_deviation() -> None:
    paris = timezone(timedelta(hours=1))
    meter = a_meter(clock=Clock(datetime(2026, 11, 21, 13, 30, 15, tzinfo=paris)))
    async with client_of(meter) as client:
        shown = CosemDateTime.from_octets((await client.value(8, "0-0:1.0.0.255", 2)).octets)
        assert (shown.hour, shown.deviation) == (13, -60)
        assert shown.to_datetime() == datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC)
        assert await client.get(8, "0-0:1.0.0.255", 3) == axdr.long(-60)


# What a profile changes.


async def test_a_profile_moves_objects_and_leaves_others_out() -> None:
    profile = MeterProfile.parse(
        {
            "gateway_obis": "0-1:19.41.0.255",
            "account_obis": "",
            "sts_obis": "0-0:19.61.0.255",
            "disconnect_control_obis": "",
            "device_name_obis": "",
            "counter_obis": "0-0:43.1.1.255",
            "association_obis": "0-0:40.0.1.255",
        }
    )
    async with client_of(a_meter(replace(lab_config(), profile=profile))) as client:
        listed = (await client.value(15, "0-0:40.0.0.255", 2)).elements
        places = {str(ObisCode(row.elements[2].octets)) for row in listed}
        assert places == {
            "0-1:19.41.0.255",
            "0-0:19.61.0.255",
            "0-0:43.1.1.255",
            "0-0:1.0.0.255",
            "0-0:17.0.0.255",
            "0-0:40.0.0.255",
            "0-0:40.0.1.255",
            "0-0:43.0.0.255",
            "0-0:25.9.0.255",
        }
        assert await client.get(111, "0-0:19.0.0.255", 5) == DataAccessResult.OBJECT_UNDEFINED
        assert isinstance(await client.get(116, "0-0:19.61.0.255", 2), Data)


def test_two_objects_in_one_place_are_refused() -> None:
    profile = MeterProfile.parse({"sts_obis": "0-0:19.40.0.255"})
    with pytest.raises(SettingError, match=r"two objects at 0-0:19\.40\.0\.255"):
        a_meter(replace(lab_config(), profile=profile))


@pytest.mark.parametrize(
    ("readback", "shown"),
    [
        ("same", "digits"),
        ("ascii20", "digits"),
        ("bcd10", "bcd"),
        ("hidden", ""),
    ],
)
async def test_attribute_2_shows_the_token_as_the_profile_says(readback: str, shown: str) -> None:
    config = replace(lab_config(), profile=MeterProfile.parse({"token_readback": readback}))
    token = credit(config)
    expected = {"digits": token.digits.encode(), "bcd": bytes.fromhex(token.digits), "": b""}[shown]
    async with client_of(a_meter(config)) as client:
        assert await client.enter(token) == 0
        assert await client.gateway(2) == axdr.octet_string(expected)


async def test_octets_that_are_no_token_are_shown_as_they_came() -> None:
    config = replace(lab_config(), profile=MeterProfile.parse({"token_readback": "bcd10"}))
    async with client_of(a_meter(config)) as client:
        assert await client.enter(b"no token") == 0
        assert await client.gateway(2) == axdr.octet_string(b"no token")


async def test_a_meter_may_have_its_own_words() -> None:
    """Status codes, delivery method and the sign of the deviation, as some makers have them."""
    profile = MeterProfile.parse({"status_map": {"33": 3}, "remote_delivery_methods": [1], "deviation_sign": -1})
    config = replace(lab_config(), profile=profile)
    meter = a_meter(config, clock=Clock(NOW.astimezone(timezone(timedelta(hours=2)))))
    async with client_of(meter) as client:
        assert await client.enter(credit(config)) == 0
        assert (await client.status()).code == 33
        assert await client.gateway(5) == axdr.enum(1)
        time = CosemDateTime.from_octets((await client.gateway(3)).octets)
        assert time.deviation == 120
        assert time.to_datetime(deviation_sign=-1) == NOW.replace(microsecond=0)
        assert time.hundredths == 25
        assert await client.get(8, "0-0:1.0.0.255", 3) == axdr.long(120)


# Account, switch and identity as numbers move.


async def test_the_account_reads_well_in_the_meaning_layer() -> None:
    config = replace(lab_config(), unit=AccountUnit.parse("ZAR"))
    meter = a_meter(config)
    async with client_of(meter) as client:
        assert await client.enter(credit(config, units=16_384 + 10 * 1234)) == 0
        currency = Currency.from_data(await client.value(111, "0-0:19.0.0.255", 15))
        assert currency == Currency("ZAR", -2, CurrencyUnit.MONETARY)
        assert meter.state.balance_units == 28_724
        assert currency.amount(await client.balance()) == Decimal("0.28")
        assert await client.value(112, "0-0:19.10.0.255", 2) == axdr.double_long(28)
        assert (await client.value(112, "0-0:19.10.0.255", 8)).integer == 3
        mode = AccountModeAndStatus.from_data(await client.value(111, "0-0:19.0.0.255", 2))
        assert (mode.payment_mode, mode.account_status) == (2, 2)
        flags = payment.credit_status_flags((await client.value(111, "0-0:19.0.0.255", 4)).bits)
        assert flags == {"in_credit"}


async def test_class_116_names_the_meter() -> None:
    for config in (lab_config(), lab_config(7)):
        async with client_of(a_meter(config)) as client:
            data = await client.value(116, "0-0:19.60.0.255", 2)
            assert data.elements[0].type is DataType.DOUBLE_LONG_UNSIGNED
            assert payment.meter_pan_from_data(data) == config.pan.digits
    assert lab_config(7).pan != lab_config().pan


async def switch_of(config: MeterConfig, *orders: str) -> list[ControlState]:
    """The switch after each of: a token (credit), remote_disconnect (open), remote_reconnect (close)."""
    meter, states = a_meter(config), []
    async with client_of(meter) as client:
        for number, order in enumerate(orders):
            if order == "credit":
                assert await client.enter(credit(config, tid=6_000_000 + number)) == 0
            else:
                answer = await client.act(70, "0-0:96.3.10.255", 1 if order == "open" else 2, axdr.integer(0))
                assert answer.result == 0
            state = ControlState((await client.value(70, "0-0:96.3.10.255", 3)).integer)
            output = (await client.value(70, "0-0:96.3.10.255", 2)).boolean
            assert output is (state is ControlState.CONNECTED)
            states.append(state)
    return states


OFF, ON, READY = ControlState.DISCONNECTED, ControlState.CONNECTED, ControlState.READY_FOR_RECONNECTION


@pytest.mark.parametrize(
    ("mode", "orders", "expected"),
    [
        (6, "credit open credit close", [ON, OFF, OFF, ON]),
        (6, "close credit open close", [READY, ON, OFF, ON]),
        (4, "credit close", [ON, ON]),
        (1, "credit open close", [READY, OFF, READY]),
        (3, "close credit", [READY, READY]),
        (0, "credit", [ON]),
    ],
)
async def test_the_switch(mode: int, orders: str, expected: list[ControlState]) -> None:
    assert await switch_of(replace(lab_config(), control_mode=mode), *orders.split()) == expected


async def test_a_deduction_that_empties_the_account_opens_the_switch() -> None:
    config = replace(lab_config(), unit=AccountUnit.parse("ZAR"))
    meter = a_meter(config)
    meter.key_in(credit(config, units=1000, tid=10))
    assert meter.state.switch.state is ON
    meter.key_in(credit(config, units=-1000, tid=11))
    assert (meter.state.balance_units, meter.state.switch.state) == (0, READY)
    meter.key_in(credit(config, units=-3, tid=12))
    async with client_of(meter) as client:
        assert await client.balance() == -1  # -0.00003 shown towards minus infinity
        assert (await client.value(111, "0-0:19.0.0.255", 4)).bits == "00000010"
    meter.key_in(credit(config, units=1000, tid=13))
    assert meter.state.switch.state is ON


async def test_the_switch_takes_no_other_parameter_and_mode_0_no_order() -> None:
    async with client_of(a_meter()) as client:
        for wrong in (None, axdr.octet_string(b"\x00"), axdr.unsigned(0)):
            assert (await client.act(70, "0-0:96.3.10.255", 1, wrong)).result == ActionResult.TYPE_UNMATCHED
    async with client_of(a_meter(replace(lab_config(), control_mode=0))) as client:
        answer = await client.act(70, "0-0:96.3.10.255", 1, axdr.integer(0))
        assert answer.result == ActionResult.READ_WRITE_DENIED
        assert (await client.value(70, "0-0:96.3.10.255", 3)).integer == ON


# What cannot be configured.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client_sap": 16}, "16"),
        ({"client_sap": 0}, "client-sap"),
        ({"server_sap": 0}, "server-sap"),
        ({"control_mode": 8}, "control mode"),
        ({"status_delay_seconds": -1.0}, "status delay"),
        ({"status_delay_seconds": float("nan")}, "status delay"),
        ({"master_key": bytes(15)}, "master key"),
        ({"debt": DebtRecovery(1, 1), "profile": MeterProfile(account_obis=None)}, "a profile with an account"),
        ({"security": SecuritySettings(ek=HLS.ek, ak=HLS.ak, mechanism=HLS.mechanism)}, "system-title"),
    ],
)
def test_a_configuration_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        replace(lab_config(), **changes)  # type: ignore[arg-type]


async def test_a_client_with_the_wrong_security_is_refused() -> None:
    async with link_to(a_meter(replace(lab_config(), security=HLS))) as link:
        with pytest.raises(AssociationRefused):
            await associate(link.channel())
        wrong = replace(HLS, client_system_title=bytes(8), ek=bytes(16))
        with pytest.raises((AssociationRefused, ServiceRefused)):
            await associate(link.channel(), wrong)


def test_the_profile_of_the_simulator_is_the_one_it_starts_with() -> None:
    assert SIM_PROFILE.data_value_map.value == "onehot16"
