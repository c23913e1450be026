"""The debt: every credit token pays its part, exactly, and the head-end's verdict is none of its business."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists

from cosem_objects import axdr, charge
from cosem_objects.axdr import Data
from cosem_objects.charge import PROPORTION_WHOLE, UnitCharge
from cosem_objects.dlms.apdu import ActionResult, DataAccessResult
from cosem_objects.errors import SettingError
from sim_meters.account import AccountUnit
from sim_meters.debt import DebtRecovery
from sim_meters.ledger import FileLedger, Ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.results import TokenResult
from tests.sim_meters.meter_client import Clock, a_meter, client_of, credit

CHARGE = "0-0:19.20.0.255"
CREDIT_REF = axdr.octet_string(bytes.fromhex("0000130A00FF"))
CHARGE_REF = axdr.octet_string(bytes.fromhex("0000131400FF"))


def owing(units: int, proportion: int, config: MeterConfig | None = None) -> MeterConfig:
    return replace(config or lab_config(), debt=DebtRecovery(units, proportion))


async def read(config: MeterConfig, *amounts: int) -> dict[int, Data]:
    """All attributes of the Charge after these tokens, entered by a client."""
    async with client_of(a_meter(config)) as client:
        for number, units in enumerate(amounts):
            assert await client.enter(credit(config, units, 6_000_000 + number)) == 0
            assert (await client.status()).code == 3
        return {attribute: await client.value(113, CHARGE, attribute) for attribute in charge.Attribute}


async def test_a_meter_without_a_debt_has_no_charge() -> None:
    async with client_of(a_meter()) as client:
        assert await client.get(113, CHARGE, 2) == DataAccessResult.OBJECT_UNDEFINED


async def test_a_new_charge_says() -> None:
    no_time = axdr.octet_string(bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF"))
    assert await read(owing(1000, 2500)) == {
        1: CHARGE_REF,
        2: axdr.double_long(0),
        3: axdr.enum(2),
        4: axdr.unsigned(1),
        5: UnitCharge().to_data(),
        6: UnitCharge().to_data(),
        7: no_time,
        8: axdr.double_long_unsigned(0),
        9: axdr.bit_string("10"),
        10: no_time,
        11: axdr.double_long(0),
        12: axdr.double_long(1000),
        13: axdr.long_unsigned(2500),
    }


async def test_a_quarter_of_every_token_pays_the_debt_until_there_is_none() -> None:
    said = await read(owing(100, 2500), 256)  # 25.6 kWh, of which 6.4
    assert [said[attribute].integer for attribute in (2, 11, 12)] == [64, 64, 36]
    assert said[10].octets[:8] == bytes.fromhex("07EA0B15060C1E0F")
    said = await read(owing(100, 2500), 256, 256)
    assert [said[attribute].integer for attribute in (2, 11, 12)] == [100, 36, 0]
    said = await read(owing(100, 2500), 256, 256, 256)
    assert [said[attribute].integer for attribute in (2, 11, 12)] == [100, 36, 0]


async def test_the_account_shows_the_debt_and_the_balance_without_what_was_kept() -> None:
    config = owing(100, 2500)
    async with client_of(a_meter(config)) as client:
        assert await client.value(111, "0-0:19.0.0.255", 8) == axdr.double_long(100)
        assert await client.enter(credit(config, 256)) == 0
        assert await client.value(111, "0-0:19.0.0.255", 8) == axdr.double_long(36)
        assert await client.value(111, "0-0:19.0.0.255", 10) == axdr.array(CHARGE_REF)
        assert await client.value(111, "0-0:19.0.0.255", 11) == axdr.array(
            axdr.structure(CREDIT_REF, CHARGE_REF, axdr.bit_string("111"))
        )
        assert await client.balance() == 256 - 64


async def test_nobody_moves_a_debt_but_tokens() -> None:
    async with client_of(a_meter(owing(100, 2500))) as client:
        for method in charge.Method:
            answer = await client.act(113, CHARGE, method, axdr.double_long(0))
            assert answer.result == ActionResult.READ_WRITE_DENIED
        assert await client.set(113, CHARGE, 12, axdr.double_long(0)) == DataAccessResult.READ_WRITE_DENIED
        assert await client.value(113, CHARGE, 12) == axdr.double_long(100)


@given(
    lists(integers(-(10**9), 10**9).filter(bool), min_size=1, max_size=8),
    integers(0, 10**9),
    integers(0, PROPORTION_WHOLE),
)
def test_nothing_is_lost_and_nobody_pays_more_than_his_part(amounts: list[int], owed: int, proportion: int) -> None:
    config = owing(owed, proportion, replace(lab_config(), unit=AccountUnit.parse("KES:-2")))
    meter = SimMeter(config, Ledger(), clock=Clock())
    for number, amount in enumerate(amounts):
        assert meter.key_in(credit(config, amount, 10 + number)) is TokenResult.ACCEPT
        (*_, entry) = meter.ledger.entries
        assert entry.units is not None
        assert 0 <= entry.collected <= max(0, Fraction(entry.units * proportion, PROPORTION_WHOLE))
        is_whole_part = entry.collected + 1 > Fraction(entry.units * proportion, PROPORTION_WHOLE)
        assert is_whole_part or entry.units < 0 or meter.debt_units == 0
    collected = sum(entry.collected for entry in meter.ledger.entries)
    assert meter.debt_units == owed - collected >= 0
    assert meter.state.balance_units + collected == sum(entry.units or 0 for entry in meter.ledger.entries)
    assert meter.state.balance_units == meter.ledger.units_credited
    assert SimMeter(config, meter.ledger, clock=Clock()).state == meter.state


async def test_a_part_of_a_cent_is_owed_until_it_is_paid() -> None:
    config = owing(1, 1, replace(lab_config(), unit=AccountUnit.parse("ZAR")))
    said = await read(config, 9_999)
    assert [said[attribute].integer for attribute in (2, 12)] == [0, 1], "too small to pay anything back"
    said = await read(config, 10_000)
    assert [said[attribute].integer for attribute in (2, 12)] == [0, 0]


def test_balance_and_debt_outlive_the_process(tmp_path: Path) -> None:
    config, path = owing(100, 2500), tmp_path / "ledger"
    for number in range(3):
        meter = SimMeter(config, FileLedger(path, config.ledger_identity), clock=Clock())
        meter.key_in(credit(config, 256, 6_000_000 + number))
        meter.close()
    again = SimMeter(config, FileLedger(path, config.ledger_identity), clock=Clock())
    assert (again.state.balance_units, again.debt_units) == (3 * 256 - 100, 0)
    again.close()


def test_a_token_overflows_by_what_it_adds_and_not_by_what_it_is_worth() -> None:
    unit = AccountUnit.kwh(-4)  # up to 214748 kWh can be shown
    config = owing(2_000_000, 8000, replace(lab_config(), unit=unit))
    big = 2_400_000
    assert not unit.fits(big)
    meter = SimMeter(config, Ledger(), clock=Clock())
    assert meter.key_in(credit(config, big)) is TokenResult.ACCEPT
    assert unit.fits(meter.state.balance_units)
    assert SimMeter(owing(0, 8000, config), clock=Clock()).key_in(credit(config, big)) is TokenResult.OVERFLOW_ERROR


async def test_the_largest_debt_is_the_largest_that_can_be_shown() -> None:
    config = replace(lab_config(), unit=AccountUnit.kwh(-2))
    assert (await read(owing(214_748_364, 1, config)))[12] == axdr.double_long(2_147_483_640)
    with pytest.raises(SettingError, match="cannot be shown in 32 bits"):
        owing(214_748_365, 1, config)


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("100:25", 1, DebtRecovery(1000, 2500)),
        ("49.90:12.5", 5, DebtRecovery(4_990_000, 1250)),
        ("0.99:0.01", 1, DebtRecovery(9, 1)),
        ("0:100", 1, DebtRecovery(0, 10_000)),
    ],
)
def test_a_debt_is_an_amount_and_a_per_cent(text: str, decimals: int, expected: DebtRecovery) -> None:
    assert DebtRecovery.parse(text, decimals) == expected


@pytest.mark.parametrize(
    "text", ["", "100", "100:", ":25", "100:25:1", "1e3:25", "100:101", "-1:25", "1:-1", "1:0.001"]
)
def test_what_is_no_debt_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="debt"):
        DebtRecovery.parse(text, 1)


@pytest.mark.parametrize(("owed", "proportion"), [(-1, 0), (0, -1), (0, 10_001)])
def test_no_debt(owed: int, proportion: int) -> None:
    with pytest.raises(SettingError, match="debt"):
        DebtRecovery(owed, proportion)
