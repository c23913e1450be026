"""Emergency credit, and the debt beside it: the balance moves by less than the token, exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, one_of

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import ActionResult, DataAccessResult
from cosem_objects.errors import SettingError
from cosem_objects.payment import credit_status_flags
from cosem_objects.token_gateway import TokenStatus
from sim_meters.account import AccountUnit
from sim_meters.debt import DebtRecovery
from sim_meters.emergency import EmergencyCredit
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import credit_token
from tests.sim_meters.meter_client import Client, Clock, a_meter, client_of, credit
from tests.sim_meters.meter_tokens import ACCOUNT, CREDIT, EMERGENCY, SWITCH, attribute, on_file, reopened

CREDIT_REF = axdr.octet_string(bytes.fromhex("0000130A00FF"))
EMERGENCY_REF = axdr.octet_string(bytes.fromhex("0000130A01FF"))
ENABLED, SELECTABLE, SELECTED, IN_USE, EXHAUSTED = range(5)


def lending(units: int = 50, config: MeterConfig | None = None, debt: DebtRecovery | None = None) -> MeterConfig:
    return replace(config or lab_config(), emergency=EmergencyCredit(units), debt=debt)


async def invoke(client: Client, parameter: Data | None = None) -> int:
    return (await client.act(112, EMERGENCY, 3, parameter)).result


async def amounts(client: Client) -> tuple[int, int, int, int]:
    """Of the account what there is and what is owed, and both Credits' amounts."""
    places = ((111, ACCOUNT, 5), (111, ACCOUNT, 6), (112, CREDIT, 2), (112, EMERGENCY, 2))
    return tuple([(await client.value(*place)).integer for place in places])  # type: ignore[return-value]


async def credit_statuses(client: Client) -> tuple[int, int]:
    own, advance = [(await client.value(112, obis, 8)).integer for obis in (CREDIT, EMERGENCY)]
    return own, advance


async def account_flags(client: Client) -> tuple[int, set[str]]:
    in_use = (await client.value(111, ACCOUNT, 3)).integer
    return in_use, set(credit_status_flags((await client.value(111, ACCOUNT, 4)).bits))


async def test_a_meter_that_lends_nothing_has_no_object_for_it() -> None:
    async with client_of(a_meter()) as client:
        assert await client.get(112, EMERGENCY, 2) == DataAccessResult.OBJECT_UNDEFINED
        assert await invoke(client) != ActionResult.SUCCESS
        assert await client.value(111, ACCOUNT, 9) == axdr.array(CREDIT_REF)


async def test_the_credit_for_emergencies_says() -> None:
    async with client_of(a_meter(lending())) as client:
        said = {number: await client.value(112, EMERGENCY, number) for number in (1, 2, 3, 4, 7, 8, 9)}
        assert said == {
            1: EMERGENCY_REF,
            2: axdr.double_long(0),
            3: axdr.enum(2),
            4: axdr.unsigned(2),
            7: axdr.bit_string("01100"),
            8: axdr.enum(SELECTABLE),
            9: axdr.double_long(50),
        }
        assert await client.value(111, ACCOUNT, 9) == axdr.array(CREDIT_REF, EMERGENCY_REF)
        for method in (1, 2):
            answer = await client.act(112, EMERGENCY, method, axdr.double_long(1))
            assert answer.result == ActionResult.READ_WRITE_DENIED
        assert await amounts(client) == (0, 0, 0, 0)


async def test_an_advance_is_taken_once_and_paid_back_first() -> None:
    config = lending(50)
    async with client_of(a_meter(config)) as client:
        assert await account_flags(client) == (0, {"out_of_credit", "next_credit_selectable"})
        assert await invoke(client, axdr.unsigned(0)) == ActionResult.SUCCESS
        assert await amounts(client) == (50, 50, 0, 50)
        assert await credit_statuses(client) == (EXHAUSTED, IN_USE)
        assert await account_flags(client) == (1, {"in_credit", "selectable_credit_in_use"})
        assert (await client.value(70, SWITCH, 2)).boolean is True
        assert await invoke(client) == ActionResult.TEMPORARY_FAILURE, "only one at a time"
        assert await amounts(client) == (50, 50, 0, 50)
        assert await client.enter(credit(config, 30)) == 0
        assert await client.status() == TokenStatus(3, "0" * 16)
        assert await amounts(client) == (50, 20, 30, 20), "all of it paid back: the balance did not move"
        assert await credit_statuses(client) == (IN_USE, SELECTED)
        assert await account_flags(client) == (0, {"in_credit", "next_credit_selected"})
        assert await client.enter(credit(config, 256, 6_000_001)) == 0
        assert await amounts(client) == (50 + 256 - 20, 0, 286, 0)
        assert await credit_statuses(client) == (IN_USE, ENABLED)
        assert await account_flags(client) == (0, {"in_credit"})
        assert await invoke(client) == ActionResult.TEMPORARY_FAILURE, "there is credit"


async def test_no_advance_as_long_as_there_is_credit() -> None:
    config = lending()
    meter = a_meter(config)
    async with client_of(meter) as client:
        assert await client.enter(credit(config, 1)) == 0
        assert await credit_statuses(client) == (IN_USE, ENABLED)
        assert await invoke(client) == ActionResult.TEMPORARY_FAILURE
        assert await amounts(client) == (1, 0, 1, 0)
    assert len(meter.ledger.records) == 1


async def test_first_the_advance_then_the_debt_and_the_rest_is_the_customers() -> None:
    """25.6 kWh: 5.0 pay the advance, a quarter of the other 20.6, rounded down, the debt."""
    config = lending(50, debt=DebtRecovery(1000, 2500))
    meter = a_meter(config)
    async with client_of(meter) as client:
        assert await invoke(client) == 0
        assert await client.enter(credit(config, 256)) == 0
        assert await amounts(client) == (50 + 256 - 50 - 51, 0, 205, 0)
        assert await client.value(113, "0-0:19.20.0.255", 2) == axdr.double_long(51)
        assert await client.value(113, "0-0:19.20.0.255", 12) == axdr.double_long(949)
        assert await client.value(111, ACCOUNT, 8) == axdr.double_long(949)
    (entry,) = meter.ledger.entries
    assert (entry.units, entry.repaid, entry.collected, entry.balance_change) == (256, 50, 51, 155)


async def test_what_is_owed_is_rounded_up_where_it_is_shown() -> None:
    config = lending(1, replace(lab_config(), unit=AccountUnit.parse("ZAR")))  # 1e-5, in an account of cents
    async with client_of(a_meter(config)) as client:
        assert await invoke(client) == 0
        assert await client.value(111, ACCOUNT, 6) == axdr.double_long(1)
        assert await client.balance() == 0


def test_an_overflow_with_a_repayment_does_not_consume_the_token() -> None:
    """A token of 1818.524 kWh fits because a part of it goes elsewhere; the next one does not, and is still good."""
    unit = AccountUnit.kwh(-4)
    big, room = 1_818_524, ((1 << 31) - 1) // 1000
    config = lending(50, replace(lab_config(), unit=unit))
    meter = a_meter(config)
    assert meter.take_emergency_credit()
    assert meter.key_in(credit(config, big)) is TokenResult.ACCEPT
    assert meter.state.balance_units == big
    second = credit(config, big, 6_000_001)
    assert not unit.fits(2 * big)
    assert room > big
    before = meter.state
    for _ in range(2):
        assert meter.key_in(second) is TokenResult.OVERFLOW_ERROR
        assert (meter.state.balance_units, meter.state.emergency_owed_units) == (before.balance_units, 0)
        assert meter.state.machine.tids == before.machine.tids
    assert meter.ledger.times_credited(second) == 0


@pytest.mark.parametrize(("units", "result"), [(8, TokenResult.ACCEPT), (9, TokenResult.OVERFLOW_ERROR)])
def test_a_token_fits_by_what_is_left_of_it(units: int, result: TokenResult) -> None:
    """Up to the last unit: 2147483 can be shown, and of 9 units 50 less owed would be one too many."""
    unit = AccountUnit.kwh(-4)
    config = replace(lab_config(), unit=unit, debt=DebtRecovery(1, 10_000))
    meter = a_meter(config)
    meter.key_in(credit(config, 1_818_524, 10))  # one of it pays the debt
    left = 2_147_483 - meter.state.balance_units - 8
    tid = 11
    while left:
        amount = min(left, 16_383)
        assert meter.key_in(credit(config, amount, tid)) is TokenResult.ACCEPT
        left, tid = left - amount, tid + 1
    assert meter.key_in(credit(config, units, 5000)) is result
    assert meter.state.balance_units == 2_147_483 - (0 if result is TokenResult.ACCEPT else 8)


async def test_money_taken_back_from_who_owes_an_advance_stays_within_what_can_be_shown() -> None:
    """The register of the tokens is lower than the balance, and is shown too."""
    config = lending(50, replace(lab_config(), unit=AccountUnit.parse("ZAR:-5")))
    meter = a_meter(config)
    lowest = -(1 << 31)
    # 1782042624 can be carried exactly, the rest of 2^31 in steps.
    assert meter.key_in(credit(config, -1_782_042_624, 10)) is TokenResult.ACCEPT
    tid = 11
    while (room := lowest - meter.state.balance_units) < 0:
        assert meter.key_in(credit(config, room, tid)) is TokenResult.ACCEPT
        tid += 1
    async with client_of(meter) as client:
        assert await invoke(client) == 0
        assert await client.enter(credit(config, -1, 5000)) == 0
        assert await client.status() == TokenStatus(7, "0" * 6 + "1" + "0" * 9)
        assert await amounts(client) == (lowest + 50, 50, lowest, 50)
        assert await client.enter(credit(config, 1, 5000)) == 0
        assert await amounts(client) == (lowest + 50, 49, lowest + 1, 49)


TAKE = None
EVENTS = lists(one_of(integers(-20_000, 20_000).filter(bool), booleans().map(lambda _: TAKE)), max_size=12)


@given(EVENTS, integers(1, 16_383), integers(0, 30_000), integers(0, 10_000))
def test_nothing_is_lost_between_tokens_advances_and_the_debt(
    events: list[int | None], advance: int, owed: int, proportion: int
) -> None:
    money = replace(lab_config(), unit=AccountUnit.parse("ZAR:-5"))
    meter = a_meter(lending(advance, money, DebtRecovery(owed, proportion)))
    paid = taken = 0
    for number, event in enumerate(events):
        before = meter.state.balance_units
        if event is None:
            may_take = before <= 0 and meter.state.emergency_owed_units == 0
            assert meter.take_emergency_credit() == may_take
            taken += advance * may_take
            continue
        units = credit_token(meter.config.unit.kind, event, 10 + number).units
        assert meter.key_in(credit(meter.config, event, 10 + number)) is TokenResult.ACCEPT
        paid += units
        moved = meter.state.balance_units - before
        assert min(units, 0) <= moved <= units
    state = meter.state
    repaid = sum(entry.repaid for entry in meter.ledger.entries)
    assert state.balance_units == paid + taken - repaid - state.collected_units
    assert state.emergency_owed_units == taken - repaid >= 0
    assert 0 <= state.collected_units <= owed
    assert state.balance_units == meter.ledger.units_credited
    assert state.credit_register == state.balance_units - state.emergency_owed_units
    assert SimMeter(meter.config, meter.ledger, clock=Clock()).state.balance_units == state.balance_units


async def test_the_token_log_counts_an_advance() -> None:
    config = lending(50)
    async with client_of(a_meter(config)) as client:
        assert await invoke(client) == 0
        assert await client.enter(credit(config, 80)) == 0
        (row,) = (await client.value(7, "1-0:99.15.0.255", 2)).elements
        assert row.structure(4)[3] == axdr.double_long(80)


def test_an_advance_outlives_the_power(tmp_path: Path) -> None:
    config = lending(50)
    meter = on_file(config, tmp_path / "ledger", Clock())
    assert meter.take_emergency_credit()
    meter.key_in(credit(config, 30))
    again = reopened(meter)
    assert again.state == meter.state
    assert not again.take_emergency_credit()
    assert attribute(again, 111, ACCOUNT, 6) == axdr.double_long(20)
    again.close()


@pytest.mark.parametrize(
    ("text", "decimals", "units"), [("5", 1, 50), ("0.1", 1, 1), ("0.19", 1, 1), ("7.5", 5, 750_000)]
)
def test_an_advance_is_an_amount(text: str, decimals: int, units: int) -> None:
    assert EmergencyCredit.parse(text, decimals) == EmergencyCredit(units)


@pytest.mark.parametrize("text", ["", "-5", "0", "0.05", "5 kWh", "1e3"])
def test_no_advance(text: str) -> None:
    with pytest.raises(SettingError, match="emergency credit: "):
        EmergencyCredit.parse(text, 1)


def test_an_advance_needs_an_account_that_can_show_it() -> None:
    config = lab_config()
    with pytest.raises(SettingError, match="expected a profile with an account"):
        lending(50, replace(config, profile=replace(config.profile, account_obis=None)))
    with pytest.raises(SettingError, match="cannot be shown in 32 bits"):
        lending(2_147_484, replace(config, unit=AccountUnit.kwh(-4)))
    assert lending(2_147_483, replace(config, unit=AccountUnit.kwh(-4))).emergency == EmergencyCredit(2_147_483)
