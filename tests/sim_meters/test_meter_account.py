"""The account's arithmetic: exact below, cut off only where it is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from

from cosem_objects.errors import SettingError
from cosem_objects.payment import CurrencyUnit
from sim_meters.account import AccountUnit
from sim_meters.ledger import Ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import credit_token
from tests.sim_meters.meter_client import Clock, credit

UNITS = [AccountUnit.kwh(scale) for scale in range(-4, 4)] + [AccountUnit.money("ZAR", scale) for scale in range(-9, 3)]
INT32 = range(-(1 << 31), 1 << 31)


@given(sampled_from(UNITS), integers(-(10**12), 10**12))
def test_what_is_shown_is_the_exact_amount_rounded_down(unit: AccountUnit, units: int) -> None:
    exact = Fraction(units, 10**unit.kind.decimals)
    assert unit.raw(units) == math.floor(exact / Fraction(10) ** unit.currency.scale)
    assert unit.currency.amount(unit.raw(units)) <= Decimal(units).scaleb(-unit.kind.decimals)
    assert unit.fits(units) == (unit.raw(units) in INT32)


@given(lists(integers(1, 18_201_624), min_size=1, max_size=12), sampled_from(UNITS[:8]))
def test_the_balance_is_the_sum_of_what_the_tokens_say(amounts: list[int], unit: AccountUnit) -> None:
    config = replace(lab_config(), unit=unit)
    meter, ledger = SimMeter(config, Ledger(), clock=Clock()), 0
    for number, amount in enumerate(amounts):
        said = credit_token(unit.kind, amount, 10 + number, 5).units
        result = meter.key_in(credit(config, amount, 10 + number))
        assert (result is TokenResult.ACCEPT) == unit.fits(ledger + said)
        ledger += said if result is TokenResult.ACCEPT else 0
        assert meter.state.balance_units == meter.ledger.units_credited == ledger
    again = SimMeter(config, meter.ledger, clock=Clock())
    assert again.state == meter.state


@given(lists(integers(-(10**9), 10**9).filter(bool), min_size=1, max_size=12))
def test_money_may_be_taken_back(amounts: list[int]) -> None:
    config = replace(lab_config(), unit=AccountUnit.parse("KES:-2"))
    meter, expected = SimMeter(config, clock=Clock()), 0
    for number, amount in enumerate(amounts):
        expected += credit_token(config.unit.kind, amount, 10 + number).units
        assert meter.key_in(credit(config, amount, 10 + number)) is TokenResult.ACCEPT
    assert meter.state.balance_units == expected


def test_a_kwh_account_shows_every_token_unit() -> None:
    unit = AccountUnit.kwh()
    assert (unit.currency.name, unit.currency.scale, unit.currency.unit) == ("kWh", -1, CurrencyUnit.CONSUMPTION)
    assert (unit.raw(256), unit.words(256)) == (256, "25.6 kWh")
    # cosem.md 2.6: 25.6 kWh at scale -3
    assert AccountUnit.kwh(-3).raw(256) == 25_600


@pytest.mark.parametrize(
    ("text", "name", "scale"), [("ZAR", "ZAR", -2), ("ZAR:-5", "ZAR", -5), ("XAF:0", "XAF", 0), ("ZWL:3", "ZWL", 3)]
)
def test_an_account_in_money(text: str, name: str, scale: int) -> None:
    unit = AccountUnit.parse(text)
    assert (unit.currency.name, unit.currency.scale, unit.currency.unit) == (name, scale, CurrencyUnit.MONETARY)
    assert unit.kind.subclass == 4


@pytest.mark.parametrize("text", ["", "zar", "ZA", "ZARR", "ZAR:", "ZAR:-10", "ZAR:x", "kWh", "ZAR -2", "ÄÖÜ"])
def test_no_account(text: str) -> None:
    with pytest.raises(SettingError, match="currency: expected"):
        AccountUnit.parse(text)
