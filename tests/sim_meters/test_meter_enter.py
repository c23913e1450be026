"""What becomes of a token: the table of results row by row, and what the Token gateway shows of each."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token, TokenClass
from cosem_objects.token_gateway import DataValueMap, DeliveryMethod, StsResult, TokenEncoding, TokenStatus
from sim_meters.account import AccountUnit
from sim_meters.clock import drifting
from sim_meters.ledger import Ledger, Record
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE, MeterConfig, lab_config
from sim_meters.outcomes import token_status
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import credit_kind
from tests.sim_meters.meter_client import NOW, Clock, a_meter, client_of, credit

KWH_METER = lab_config()
MONEY_METER = replace(lab_config(), unit=AccountUnit.parse("ZAR:-5"))
DEFAULT_KEY_METER = replace(lab_config(), key=replace(lab_config().key, kt=KeyType.DEFAULT))
YOUNG_METER = replace(lab_config(), manufactured=datetime(2026, 1, 1))
WATER = credit_kind(Commodity.WATER, currency=False)


def mistyped(token: Token) -> Token:
    """The same token with another last digit, and of the same class."""
    return next(
        other for other in (Token(token.number ^ bit) for bit in (1, 2, 4)) if other.token_class is token.token_class
    )


def full(meter: SimMeter) -> None:
    """Fill the account up to where no token of 1000 units fits any more."""
    tid = 1000
    while meter.config.unit.fits(meter.state.balance_units + 1000):
        room = (1 << 31) - 1 - meter.state.balance_units
        units = 18_201_624 if room > 18_201_624 else min(room, 16_383)
        assert meter.key_in(credit(meter.config, units=units, tid=tid)) is TokenResult.ACCEPT
        tid += 1


GOOD = credit(KWH_METER)
ROWS = {
    "accepted": (KWH_METER, GOOD, 3, None),
    "a mistyped digit": (KWH_METER, mistyped(GOOD), 5, StsResult.CRC),
    "another meter's token": (KWH_METER, credit(lab_config(1)), 5, StsResult.CRC),
    "older than the meter": (YOUNG_METER, credit(YOUNG_METER, tid=6_000_000), 6, StsResult.OLD),
    "under a default key": (DEFAULT_KEY_METER, credit(DEFAULT_KEY_METER), 6, StsResult.DEFAULT_KEY),
    "water in an electricity meter": (KWH_METER, credit(KWH_METER, kind=WATER), 7, StsResult.FUNCTION),
    "money in a kWh meter": (KWH_METER, credit(KWH_METER, kind=MONEY_METER.unit.kind), 7, StsResult.FUNCTION),
    "kWh in a money meter": (MONEY_METER, credit(MONEY_METER, kind=KWH_METER.unit.kind), 7, StsResult.FUNCTION),
    "money in a money meter": (MONEY_METER, credit(MONEY_METER), 3, None),
    "a reserved class": (KWH_METER, Token.from_block(TokenClass.RESERVED, 7), 7, StsResult.FUNCTION),
}


@pytest.mark.parametrize("name", ROWS)
async def test_the_table_of_results(name: str) -> None:
    config, token, status, result = ROWS[name]
    meter = a_meter(config)
    async with client_of(meter) as client:
        assert await client.enter(token) == ActionResult.SUCCESS
        assert await client.gateway(2) == axdr.octet_string(token.digits.encode())
        shown = await client.status()
        assert shown.code == status
        assert len(shown.data_value) == 16
        assert DataValueMap.ONEHOT16.result(shown.data_value) is result
        assert shown.data_value.count("1") == (result is not None)
        assert await client.gateway(5) == axdr.enum(0)
        assert await client.balance() == (256 if status == 3 else 0)
        assert (await client.value(70, "0-0:96.3.10.255", 2)).boolean is (status == 3)
    assert meter.ledger.times_credited(token) == (status == 3)
    assert meter.ledger.units_credited == meter.state.balance_units


async def test_a_token_works_once() -> None:
    meter = a_meter()
    async with client_of(meter) as client:
        for status, result in ((3, None), (6, StsResult.USED), (6, StsResult.USED)):
            assert await client.enter(GOOD) == 0
            shown = await client.status()
            assert (shown.code, DataValueMap.ONEHOT16.result(shown.data_value)) == (status, result)
            assert await client.balance() == 256
    assert meter.ledger.times_credited(GOOD) == 1
    assert [entry.status.code for entry in meter.ledger.entries] == [3, 6, 6]


async def test_tokens_may_come_in_any_order_within_the_window() -> None:
    config, units = KWH_METER, (100, 20, 3)
    async with client_of(a_meter()) as client:
        for number, amount in zip((3, 1, 2), units, strict=True):
            assert await client.enter(credit(config, amount, 6_000_000 + number)) == 0
        assert await client.balance() == 123


async def test_an_overflow_leaves_the_token_whole() -> None:
    meter = a_meter()
    full(meter)
    token, before = credit(KWH_METER, units=2000, tid=7_000_000), meter.state.balance_units
    async with client_of(meter) as client:
        assert await client.enter(token) == 0
        shown = await client.status()
        assert (shown.code, DataValueMap.ONEHOT16.result(shown.data_value)) == (7, StsResult.OVERFLOW)
        assert await client.balance() == before
        again = await client.enter(token)
        assert (again, (await client.status()).code) == (0, 7), "not used: it was not consumed"
    assert meter.ledger.times_credited(token) == 0


async def test_money_overflows_by_what_the_account_can_show() -> None:
    """At scale -5 an int32 holds 21 474.83647 (cosem.md 2.6)."""
    meter = a_meter(MONEY_METER)
    assert meter.key_in(credit(MONEY_METER, units=2_000_000_000, tid=10)) is TokenResult.ACCEPT
    assert meter.key_in(credit(MONEY_METER, units=2_000_000_000, tid=11)) is TokenResult.OVERFLOW_ERROR
    coarse = a_meter(replace(lab_config(), unit=AccountUnit.parse("ZAR:-2")))
    for tid in (10, 11):
        assert coarse.key_in(credit(coarse.config, units=2_000_000_000, tid=tid)) is TokenResult.ACCEPT


@pytest.mark.parametrize("encoding", list(TokenEncoding))
async def test_every_encoding_of_the_digits(encoding: TokenEncoding) -> None:
    config = replace(lab_config(), profile=replace(SIM_PROFILE, token_encoding=encoding))
    token = credit(config)
    async with client_of(a_meter(config)) as client:
        assert await client.enter(encoding.to_octets(token)) == 0
        assert (await client.status()).code == 3
        assert await client.gateway(2) == axdr.octet_string(encoding.to_octets(token))


NO_TOKENS = {
    "empty": b"",
    "19 digits": b"1" * 19,
    "21 digits": b"1" * 21,
    "letters": b"1234567890123456789x",
    "more than 66 bits": b"9" * 20,
    "another encoding": bytes.fromhex(GOOD.digits),
    "long": bytes(1000),
}


@pytest.mark.parametrize("name", NO_TOKENS)
async def test_octets_that_are_no_token(name: str) -> None:
    octets = NO_TOKENS[name]
    meter = a_meter()
    async with client_of(meter) as client:
        assert await client.enter(octets) == ActionResult.SUCCESS
        assert await client.gateway(2) == axdr.octet_string(octets)
        assert await client.status() == TokenStatus(4, "0" * 16)
        assert await client.gateway(4) == axdr.array()
        assert await client.balance() == 0


@pytest.mark.parametrize(
    "parameter",
    [None, axdr.visible_string(GOOD.digits), axdr.utf8_string(GOOD.digits), axdr.unsigned(1), axdr.NULL],
)
async def test_a_parameter_that_is_no_octet_string_is_not_even_received(parameter: Data | None) -> None:
    meter = a_meter()
    async with client_of(meter) as client:
        answer = await client.act(115, "0-0:19.40.0.255", 1, parameter)
        assert (answer.result, answer.returned) == (ActionResult.TYPE_UNMATCHED, None)
        assert await client.gateway(2) == axdr.octet_string(b"")
        assert await client.status() == TokenStatus(0)
    assert meter.ledger.entries == []


async def test_published_tokens_are_credited() -> None:
    """STS531-1 compliance values, as other implementations publish them, that are tokens of the lab meter."""
    file = Path(__file__).parents[1] / "vectors" / "sts_vectors.json"
    vectors = json.loads(file.read_text(encoding="utf-8"))["vectors"]
    config = lab_config()
    ours = [
        vector
        for vector in vectors
        if vector.get("decoder_key_hex") == config.decoder_key.octets.hex()
        and (vector["token_class"], vector["token_subclass"]) == (0, 0)
        and vector["fields"]["transfer_amount_units"] < 1 << 14  # larger ones are rounded up in the token
    ]
    assert len(ours) >= 5
    for vector in ours:
        meter = a_meter(config)
        async with client_of(meter) as client:
            assert await client.enter(Token.parse(vector["token"])) == 0
            assert (await client.status()).code == 3, vector["id"]
            assert await client.balance() == vector["fields"]["transfer_amount_units"], vector["id"]


@pytest.mark.parametrize(
    ("data_value_map", "accepted", "used", "no_token"),
    [
        ("onehot16", "0" * 16, "0001" + "0" * 12, "0" * 16),
        ("ordinal8", "00000001", "00001010", "00000110"),
        ("raw", "", "", ""),
        ("none", "", "", ""),
    ],
)
async def test_data_value_as_the_profile_says(data_value_map: str, accepted: str, used: str, no_token: str) -> None:
    config = replace(lab_config(), profile=MeterProfile.parse({"data_value_map": data_value_map}))
    async with client_of(a_meter(config)) as client:
        for octets, expected in ((GOOD, accepted), (GOOD, used), (b"?", no_token)):
            assert await client.enter(octets) == 0
            assert (await client.status()).data_value == expected


def test_every_sts_result_has_its_status() -> None:
    by_status = {
        3: {"ACCEPT", *(f"{number}_KEY_CHANGE_SECTION" for number in ("FIRST", "SECOND", "THIRD", "FOURTH"))},
        5: {"CRC_ERROR", "MFR_CODE_ERROR"},
        6: {"OLD_ERROR", "USED_ERROR", "KEY_EXPIRED_ERROR", "DDTK_ERROR"},
        7: {"OVERFLOW_ERROR", "KEY_TYPE_ERROR", "FORMAT_ERROR", "RANGE_ERROR", "FUNCTION_ERROR"},
    }
    shown = {result: status for status, results in by_status.items() for result in results}
    for result in TokenResult:
        if result in (TokenResult.LOCKOUT, TokenResult.NOT_READY):
            continue
        for data_value_map in DataValueMap:
            status = token_status(result, data_value_map)
            assert status.code == shown[result.name]
            proven = data_value_map.result(status.data_value)
            readable = data_value_map in (DataValueMap.ONEHOT16, DataValueMap.ORDINAL8)
            assert (proven is not None) == (readable and status.code != 3)


# Time, description, delivery method.


async def test_two_entries_never_show_the_same_time() -> None:
    meter, times = a_meter(), []
    async with client_of(meter) as client:
        for _ in range(3):
            await client.enter(GOOD)
            times.append(CosemDateTime.from_octets((await client.gateway(3)).octets))
    assert [time.hundredths for time in times] == [25, 26, 27]
    assert len({time.to_octets() for time in times}) == 3


async def test_the_time_stays_monotonic_when_the_clock_goes_back() -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    meter.key_in(GOOD)
    meter.clock = drifting(clock, seconds=-3600)
    meter.key_in(GOOD)
    first, second = (entry.time for entry in meter.ledger.entries)
    assert second > first


async def test_the_description_says_what_was_bought() -> None:
    async with client_of(a_meter()) as client:
        await client.enter(GOOD)
        assert await client.gateway(4) == axdr.array(axdr.octet_string(b"electricity credit, 25.6 kWh"))


async def test_a_customer_at_the_keypad() -> None:
    meter = a_meter()
    async with client_of(meter) as client:
        assert meter.key_in(GOOD) is TokenResult.ACCEPT
        assert await client.gateway(2) == axdr.octet_string(GOOD.digits.encode())
        assert await client.gateway(5) == axdr.enum(DeliveryMethod.MANUAL)
        assert (await client.status()).code == 3
        assert meter.key_in(GOOD) is TokenResult.USED_ERROR
        assert await client.enter(GOOD) == 0
        assert await client.gateway(5) == axdr.enum(DeliveryMethod.REMOTE)
        assert await client.balance() == 256


async def test_a_log_line_for_each_token_and_never_its_digits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(a_meter()) as client:
        await client.enter(GOOD)
        await client.enter(GOOD.digits[:19].encode())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("sim_meters")]
    assert len(lines) == 2
    assert lines[0] == (
        f"SIM00000000000: token {GOOD.masked} (remote): status 3, accepted; balance 25.6 kWh, switch connected"
    )
    assert "status 4" in lines[1]
    assert not any(GOOD.digits[:-4] in line or GOOD.digits[:19] in line for line in caplog.messages)


# A meter that takes its time.


def delayed(seconds: float = 30.0) -> tuple[SimMeter, Clock]:
    clock = Clock()
    return a_meter(replace(lab_config(), status_delay_seconds=seconds), clock=clock), clock


async def test_a_delayed_token_is_received_first_and_worked_on_later() -> None:
    meter, clock = delayed()
    async with client_of(meter) as client:
        assert await client.enter(GOOD) == 0
        clock.move(29.99)
        assert await client.status() == TokenStatus(8)
        assert await client.gateway(2) == axdr.octet_string(GOOD.digits.encode())
        assert await client.gateway(4) == axdr.array()
        assert await client.balance() == 0
        assert meter.ledger.entries == []
        clock.move(0.01)
        assert (await client.status()).code == 3
        assert await client.balance() == 256
        received = CosemDateTime.from_octets((await client.gateway(3)).octets)
        assert received.to_datetime() == NOW.replace(microsecond=0), "the time is that of the receipt"


async def test_while_one_token_is_pending_no_other_is_taken() -> None:
    meter, clock = delayed()
    other = credit(KWH_METER, tid=6_000_001)
    async with client_of(meter) as client:
        assert await client.enter(GOOD) == 0
        before = [await client.gateway(attribute) for attribute in range(1, 7)]
        clock.move(10)
        assert await client.enter(other) == ActionResult.TEMPORARY_FAILURE
        assert meter.key_in(other) is TokenResult.NOT_READY
        assert [await client.gateway(attribute) for attribute in range(1, 7)] == before
        clock.move(20)
        assert await client.enter(other) == 0
        assert await client.status() == TokenStatus(8)
        assert await client.balance() == 256
        clock.move(30)
        assert await client.balance() == 512


class WatchedLedger(Ledger):
    """Tells when something is booked."""

    def __init__(self) -> None:
        super().__init__()
        self.booked = asyncio.Event()

    def append(self, record: Record) -> None:
        super().append(record)
        self.booked.set()


async def test_a_pending_token_is_worked_on_though_nobody_asks() -> None:
    """With clocks that run: the event loop wakes the meter."""
    ledger = WatchedLedger()
    meter = SimMeter(replace(lab_config(), status_delay_seconds=0.05), ledger)
    async with client_of(meter) as client:
        await client.enter(GOOD)
        async with asyncio.timeout(20):
            await ledger.booked.wait()
    assert meter.ledger.times_credited(GOOD) == 1


async def test_a_meter_that_restarts_before_its_work_has_never_seen_the_token() -> None:
    meter, clock = delayed()
    first = credit(KWH_METER, tid=6_000_001)
    meter.key_in(first)
    async with client_of(meter) as client:
        assert await client.enter(GOOD) == 0
        assert await client.status() == TokenStatus(8)
    meter.close()
    clock.move(3600)
    again = SimMeter(meter.config, meter.ledger, clock=clock)
    async with client_of(again) as client:
        assert await client.gateway(2) == axdr.octet_string(first.digits.encode())
        assert (await client.status()).code == 3
        assert await client.balance() == 256
        assert await client.enter(GOOD) == 0
        clock.move(30)
        assert await client.balance() == 512


async def test_two_clients_at_once() -> None:
    """Both enter the same token on connections of their own: one credit, one "used"."""
    meter = a_meter()
    async with client_of(meter) as one, client_of(meter) as other:
        assert list(await asyncio.gather(one.enter(GOOD), other.enter(GOOD))) == [0, 0]
        assert await one.balance() == 256
        assert await one.status() == await other.status()
    assert sorted(entry.status.code for entry in meter.ledger.entries) == [3, 6]


def test_a_meter_of_another_pan_has_another_key() -> None:
    configs: list[MeterConfig] = [lab_config(number) for number in range(3)]
    assert len({config.decoder_key.octets for config in configs}) == 3
    assert len({config.security.meter_system_title for config in configs}) == 3
    assert [config.device_name for config in configs] == ["SIM00000000000", "SIM00000000018", "SIM00000000026"]
