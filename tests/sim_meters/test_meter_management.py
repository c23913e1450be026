"""Management and test tokens: limits, registers, tamper, control values, displays; and the keypad that locks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosem_objects import axdr
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenStatus
from sim_meters.account import AccountUnit
from sim_meters.clock import drifting
from sim_meters.emergency import EmergencyCredit
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE, lab_config
from sim_meters.sts.machine.machine_settings import LockOutScope, MachineSettings
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import clear_token, encode
from sim_meters.sts.tokens.coding import FLAG_INDEX
from sim_meters.sts.tokens.key_change import key_change_set
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import (
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    EXTENDED_READ,
    EXTENDED_SET,
    MAXIMUM_POWER_LIMIT,
    PHASE_UNBALANCE_LIMIT,
    TEST_2,
    TEST_4,
)
from tests.sim_meters.meter_client import Client, Clock, a_meter, client_of, credit
from tests.sim_meters.meter_tokens import SWITCH, a_key, display_token, managing, raw_managing

LAB = lab_config()
KEY = LAB.decoder_key
OK = TokenStatus(3, "0" * 16)
RANGE, FUNCTION, USED, OLD = (
    TokenStatus(code, "".join("1" if bit == place else "0" for place in range(16)))
    for code, bit in ((7, 9), (7, 10), (6, 3), (6, 2))
)


async def entered(client: Client, token: Token) -> TokenStatus:
    assert await client.enter(token) == ActionResult.SUCCESS
    return await client.status()


async def shown(client: Client) -> str:
    """Attribute 4: what a display shows."""
    (text,) = (await client.gateway(4)).elements
    return text.octets.decode()


async def is_closed(client: Client) -> bool:
    return (await client.value(70, SWITCH, 2)).boolean


# Limits and control values.


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (MAXIMUM_POWER_LIMIT, "power-limit", "power limit"),
        (PHASE_UNBALANCE_LIMIT, "phase-unbalance-limit", "phase unbalance limit"),
    ],
)
async def test_a_limit_is_set_shown_and_replaced(kind: TokenKind, name: str, words: str) -> None:
    async with client_of(a_meter()) as client:
        for tid, watts, text in ((10, None, "none"), (11, 1000, "1000 W"), (12, 16_385, "16394 W"), (13, 0, "0 W")):
            if watts is not None:
                assert await entered(client, managing(KEY, kind, watts, tid)) == OK
                assert await shown(client) == f"{kind.name}, {text}"
            assert await entered(client, display_token(name)) == OK
            assert await shown(client) == f"{words} {text}"


async def test_every_token_with_a_tid_works_once_whatever_it_is() -> None:
    """One store for all of class 0 and class 2."""
    kinds = (MAXIMUM_POWER_LIMIT, CLEAR_CREDIT, CLEAR_TAMPER, PHASE_UNBALANCE_LIMIT, EXTENDED_SET)
    for kind in kinds:
        async with client_of(a_meter()) as client:
            assert await entered(client, managing(KEY, kind)) == OK
            for again in (*(managing(KEY, other) for other in kinds), credit(LAB)):
                assert await entered(client, again) == USED
            assert await client.balance() == 0


async def test_a_refused_token_is_not_used_up() -> None:
    async with client_of(a_meter()) as client:
        assert await entered(client, managing(KEY, EXTENDED_SET, 5 << 10)) == FUNCTION
        assert await entered(client, raw_managing(KEY, CLEAR_TAMPER, 1)) == RANGE
        assert await entered(client, managing(KEY, CLEAR_CREDIT, 9)) == RANGE
        assert await entered(client, credit(LAB)) == OK


async def test_control_values_are_kept_and_read() -> None:
    settings = MachineSettings(control_indexes=frozenset({0, 7, 63}))
    read = {
        index: encode(clear_token(EXTENDED_READ, {"control": index << 30, "mfr_code": 0})) for index in (0, 7, 8, 63)
    }
    async with client_of(a_meter(replace(LAB, sts_settings=settings))) as client:
        assert (await entered(client, read[0]), await shown(client)) == (OK, "index 0 = not set")
        assert (await entered(client, read[63]), await shown(client)) == (OK, "no flag set")
        for tid, value in enumerate((123, 7 << 10 | 1023, FLAG_INDEX << 10 | 511 << 1 | 1, FLAG_INDEX << 10, 45), 10):
            assert await entered(client, managing(KEY, EXTENDED_SET, value, tid)) == OK
        assert (await entered(client, read[0]), await shown(client)) == (OK, "index 0 = 45")
        assert (await entered(client, read[7]), await shown(client)) == (OK, "index 7 = 1023")
        assert (await entered(client, read[63]), await shown(client)) == (OK, "flag 0 = 0; flag 511 = 1")
        assert await entered(client, read[8]) == FUNCTION


# Registers.


REGISTERS = {
    "its own": (0, OK, 0),
    "all": (0xFFFF, OK, 0),
    "of water": (1, FUNCTION, 256),
    "of time in money": (7, FUNCTION, 256),
    "the eighth": (8, RANGE, 256),
    "next to all": (0xFFFE, RANGE, 256),
}


@pytest.mark.parametrize("name", REGISTERS)
async def test_a_register_is_cleared_and_the_switch_follows(name: str) -> None:
    register, status, left = REGISTERS[name]
    meter = a_meter()
    async with client_of(meter) as client:
        assert await client.enter(credit(LAB)) == 0
        assert await is_closed(client)
        assert await entered(client, managing(KEY, CLEAR_CREDIT, register, 6_000_001)) == status
        assert await client.balance() == left
        assert (await client.value(112, "0-0:19.10.0.255", 2)).integer == left
        assert await is_closed(client) is (left > 0)
        assert await entered(client, credit(LAB, 100, 6_000_002)) == OK
        assert (await client.balance(), await is_closed(client)) == (left + 100, True)
    assert meter.ledger.units_credited == left + 100


@pytest.mark.parametrize("register", [0, 0xFFFF])
async def test_clearing_takes_what_was_paid_and_not_the_advance(register: int) -> None:
    config = replace(LAB, emergency=EmergencyCredit(50))
    meter = a_meter(config)
    async with client_of(meter) as client:
        assert meter.take_emergency_credit()
        assert await client.enter(credit(config, 30)) == 0
        assert await entered(client, managing(KEY, CLEAR_CREDIT, register, 6_000_001)) == OK
        assert (await client.balance(), meter.state.emergency_owed_units) == (20, 20)
        assert meter.state.credit_register == 0
        assert await is_closed(client), "the rest of the advance is there"
        assert await entered(client, credit(config, 100, 6_000_002)) == OK
        assert (await client.balance(), meter.state.emergency_owed_units) == (100, 0)
    assert [entry.units for entry in meter.ledger.entries] == [30, -30, 100]


async def test_clearing_forgives_what_money_tokens_took_too_much() -> None:
    config = replace(LAB, unit=AccountUnit.parse("ZAR:-5"))
    meter = a_meter(config)
    async with client_of(meter) as client:
        assert await entered(client, credit(config, -500)) == OK
        assert await client.balance() == -500
        assert await entered(client, managing(KEY, CLEAR_CREDIT, 4, 6_000_001)) == OK
        assert (await client.balance(), await is_closed(client)) == (0, False)
        assert await entered(client, managing(KEY, CLEAR_CREDIT, 4, 6_000_002)) == OK
        assert await client.balance() == 0


# Tamper.


async def test_an_opened_cover_opens_the_switch_and_only_its_token_closes_it() -> None:
    meter = a_meter(replace(LAB, emergency=EmergencyCredit(50)))
    async with client_of(meter) as client:
        assert await client.enter(credit(LAB)) == 0
        meter.open_cover()
        assert not await is_closed(client)
        assert (await entered(client, display_token("tamper")), await shown(client)) == (OK, "tamper yes")
        assert await entered(client, credit(LAB, 100, 6_000_001)) == OK
        answer = await client.act(70, SWITCH, 2, axdr.integer(0))
        assert answer.result == ActionResult.SUCCESS
        assert not await is_closed(client), "neither credit nor an order of a client"
        assert await entered(client, raw_managing(KEY, CLEAR_TAMPER, 1, 6_000_002)) == RANGE
        assert not await is_closed(client)
        assert await entered(client, managing(KEY, CLEAR_TAMPER, 0, 6_000_002)) == OK
        assert (await is_closed(client), await client.balance()) == (True, 356)
        assert (await entered(client, display_token("tamper")), await shown(client)) == (OK, "tamper no")


async def test_without_credit_or_against_an_order_it_stays_open() -> None:
    meter = a_meter()
    async with client_of(meter) as client:
        meter.open_cover()
        assert await entered(client, managing(KEY, CLEAR_TAMPER, 0, 10)) == OK
        assert not await is_closed(client), "there is no credit"
        assert await entered(client, credit(LAB, 256, 11)) == OK
        assert await is_closed(client)
        assert (await client.act(70, SWITCH, 1, axdr.integer(0))).result == ActionResult.SUCCESS
        meter.open_cover()
        assert await entered(client, managing(KEY, CLEAR_TAMPER, 0, 12)) == OK
        assert not await is_closed(client), "a client ordered it open"


# Tests and displays.


async def test_a_test_token_shows_and_changes_nothing() -> None:
    meter = a_meter()
    names = ("load-switch", "krn", "ti", "ea", "kct", "sgc", "ken", "drn", "display")
    async with client_of(meter) as client:
        before = meter.state
        for _ in range(2):
            assert await entered(client, display_token(*names)) == OK
            assert await shown(client) == (
                "load switch disconnected; display good; KRN 1 KT 2; TI 01; EA 07; KCT 3; SGC 201457; KEN 255; "
                f"DRN {LAB.pan.drn}"
            )
        same = replace(meter.state, last=before.last, shown=before.shown)
        assert same == before
    assert not any(entry.units or entry.tid for entry in meter.ledger.entries)


async def test_one_token_asks_for_everything() -> None:
    async with client_of(a_meter()) as client:
        for kind, bits in ((TEST_2, 36), (TEST_4, 28)):
            everything = encode(clear_token(kind, {"control": (1 << bits) - 1, "mfr_code": 0}))
            assert await entered(client, everything) == OK
            lines = (await shown(client)).split("; ")
            assert len(lines) == len(set(lines)) == 16


async def test_tests_of_another_maker_or_of_nothing_are_refused() -> None:
    async with client_of(a_meter()) as client:
        assert await entered(client, display_token("krn", code=77)) == TokenStatus(5, "01" + "0" * 14)
        for names in (("water-meter-factor",), ("tariff-rate",), ()):
            assert await entered(client, display_token(*names)) == FUNCTION
        assert await entered(client, display_token("krn", "tariff-rate")) == OK
        assert await shown(client) == "KRN 1 KT 2"


# The keypad locks.


def wrong(number: int) -> Token:
    """Twenty digits of class 0 that are nobody's."""
    return credit(lab_config(1), 1, 1000 + number)


def locked_seconds(meter: SimMeter, clock: Clock) -> float:
    """How long the keypad turns a good token away."""
    waited = 0.0
    while meter.state.machine.is_locked(None, meter.now(), is_keypad=True):
        clock.move(1)
        waited += 1
    return waited


def test_the_delay_doubles_with_each_wrong_entry_up_to_its_limit() -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    waits = []
    for number in range(12):
        clock.move(1)
        assert meter.key_in(wrong(number)) is TokenResult.CRC_ERROR
        waits.append(locked_seconds(meter, clock))
    assert waits == [0, 0, 10, 20, 40, 80, 160, 320, 640, 1280, 1280, 1280]


def test_while_it_is_locked_only_test_tokens_are_taken_and_nothing_is_written() -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    for number in range(3):
        meter.key_in(wrong(number))
    records = len(meter.ledger.records)
    for token in (credit(LAB), managing(KEY, CLEAR_TAMPER), key_change_set(KEY, a_key("next"), rollover=False)[0]):
        assert meter.key_in(token) is TokenResult.LOCKOUT
    assert len(meter.ledger.records) == records
    assert meter.key_in(display_token("krn")) is TokenResult.ACCEPT
    assert meter.key_in(credit(LAB)) is TokenResult.LOCKOUT, "a test token does not unlock it"
    clock.move(11)
    assert meter.key_in(credit(LAB)) is TokenResult.ACCEPT
    for number in range(2):
        assert meter.key_in(wrong(number)) is TokenResult.CRC_ERROR
    assert meter.key_in(credit(LAB)) is TokenResult.USED_ERROR, "counted anew: not locked yet"


@pytest.mark.parametrize("token", [key_change_set(KEY, a_key("next"), rollover=False)[1], credit(LAB)])
def test_a_token_that_is_taken_or_a_power_failure_begins_the_count_anew(token: Token) -> None:
    meter = a_meter()
    for number in range(2):
        meter.key_in(wrong(number))
    meter.key_in(token)
    for number in range(2):
        meter.key_in(wrong(number))
    assert not meter.state.machine.is_locked(None, meter.now(), is_keypad=True)
    meter.key_in(wrong(2))
    assert meter.state.machine.is_locked(None, meter.now(), is_keypad=True)
    meter.reboot()
    assert meter.key_in(wrong(3)) is TokenResult.CRC_ERROR


async def test_a_locked_keypad_does_not_lock_the_wire() -> None:
    meter = a_meter()
    async with client_of(meter) as client:
        for number in range(4):
            meter.key_in(wrong(number))
            assert (await entered(client, wrong(number))).code == 5
        assert meter.key_in(credit(LAB)) is TokenResult.LOCKOUT
        assert await entered(client, credit(LAB)) == OK


async def test_a_meter_that_locks_the_wire_too_leaves_the_gateway_as_it_was() -> None:
    settings = MachineSettings(lock_out=LockOutScope.ALL, lock_out_after=2)
    clock = Clock()
    meter = a_meter(replace(LAB, sts_settings=settings), clock=clock)
    async with client_of(meter) as client:
        assert (await entered(client, wrong(0))).code == 5
        assert await client.enter(b"no token") == 0
        assert (await client.status()).code == 4
        before = [await client.gateway(number) for number in range(2, 7)]
        for octets in (credit(LAB), b"no token"):
            assert await client.enter(octets) == ActionResult.TEMPORARY_FAILURE
            assert [await client.gateway(number) for number in range(2, 7)] == before
        assert await entered(client, display_token("krn")) == OK
        clock.move(11)
        assert await entered(client, credit(LAB)) == OK


async def test_a_meter_that_never_locks() -> None:
    meter = a_meter(replace(LAB, sts_settings=MachineSettings(lock_out=LockOutScope.OFF)))
    for number in range(20):
        assert meter.key_in(wrong(number)) is TokenResult.CRC_ERROR
    assert meter.key_in(credit(LAB)) is TokenResult.ACCEPT


async def test_a_model_that_shows_remote_entries_as_manual_is_locked_with_its_keypad() -> None:
    """And answers so, instead of falling over its own result."""
    config = replace(LAB, profile=replace(SIM_PROFILE, remote_delivery_methods=(2,)))
    async with client_of(a_meter(config)) as client:
        for number in range(3):
            assert (await entered(client, wrong(number))).code == 5
        assert await client.enter(credit(config)) == ActionResult.TEMPORARY_FAILURE


def test_a_clock_that_goes_back_keeps_the_keypad_locked_and_breaks_nothing() -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    for number in range(3):
        meter.key_in(wrong(number))
    meter.clock = drifting(clock, seconds=-3600)
    assert meter.key_in(credit(LAB)) is TokenResult.LOCKOUT
    meter.clock = drifting(clock, seconds=11)
    assert meter.key_in(credit(LAB)) is TokenResult.ACCEPT
