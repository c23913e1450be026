"""Meters for water, gas and time, in their own unit and in money: what they take, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosem_objects import axdr
from cosem_objects.errors import SettingError
from cosem_objects.token_gateway import DataValueMap, StsResult, TokenStatus
from sim_meters.account import AccountUnit
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.token_kind import Commodity, TokenKind
from sim_meters.sts.tokens.token_table import (
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    EXTENDED_SET,
    MAXIMUM_POWER_LIMIT,
    PHASE_UNBALANCE_LIMIT,
    TOKEN_KINDS,
)
from tests.sim_meters.meter_client import Clock, a_meter, client_of, credit
from tests.sim_meters.meter_tokens import ACCOUNT, STS, display_token, managing, on_file, reopened

FUNCTION_ERROR = TokenStatus(7, "0" * 10 + "1" + "0" * 5)
CREDITS = [kind for kind in TOKEN_KINDS if kind.commodity is not None]
ROWS = {
    "electricity": (AccountUnit.own(Commodity.ELECTRICITY), 0, "kWh", -1, 1, "25.6 kWh"),
    "water": (AccountUnit.own(Commodity.WATER), 1, "m3", -1, 1, "25.6 m3"),
    "gas": (AccountUnit.own(Commodity.GAS), 2, "m3", -1, 1, "25.6 m3"),
    "time": (AccountUnit.own(Commodity.TIME), 3, "min", -1, 0, "25.6 min"),
    "electricity in money": (AccountUnit.parse("ZAR:-5", "electricity"), 4, "ZAR", -5, 2, "0.00256 base currency"),
    "water in money": (AccountUnit.parse("KES:-5", "water"), 5, "KES", -5, 2, "0.00256 base currency"),
    "gas in money": (AccountUnit.parse("EUR:-5", "gas"), 6, "EUR", -5, 2, "0.00256 base currency"),
    "time in money": (AccountUnit.parse("USD:-5", "time"), 7, "USD", -5, 2, "0.00256 base currency"),
}


def config_of(name: str) -> MeterConfig:
    return replace(lab_config(), unit=ROWS[name][0])


@pytest.mark.parametrize("name", ROWS)
async def test_each_meter_says_what_it_sells_and_counts(name: str) -> None:
    _, subclass, currency, scale, unit, words = ROWS[name]
    config = config_of(name)
    async with client_of(a_meter(config)) as client:
        assert await client.value(111, ACCOUNT, 15) == axdr.structure(
            axdr.utf8_string(currency), axdr.integer(scale), axdr.enum(unit)
        )
        assert await client.value(116, STS, 3) == axdr.visible_string(name.split(maxsplit=1)[0].upper())
        assert await client.enter(credit(config)) == 0
        assert (await client.status()).code == 3
        assert await client.balance() == 256
        description = axdr.octet_string(f"{config.unit.kind.name}, {words}".encode())
        assert await client.gateway(4) == axdr.array(description)
    assert config.unit.kind.subclass == subclass


@pytest.mark.parametrize("name", ROWS)
async def test_each_meter_takes_its_own_credit_alone(name: str) -> None:
    config = config_of(name)
    meter = a_meter(config)
    async with client_of(meter) as client:
        for number, kind in enumerate(CREDITS):
            assert await client.enter(credit(config, 256, 6_000_000 + number, kind)) == 0
            shown = await client.status()
            if kind is config.unit.kind:
                assert shown == TokenStatus(3, "0" * 16)
            else:
                assert shown == FUNCTION_ERROR
                assert DataValueMap.ONEHOT16.result(shown.data_value) is StsResult.FUNCTION
        assert await client.balance() == 256
        # What it does not take it does not use up: the TIDs of the foreign ones are free.
        assert await client.enter(credit(config, 1, 6_000_000 + (config.unit.kind.subclass + 1) % 8)) == 0
        assert await client.balance() == 257


MANAGED: dict[str, tuple[TokenKind, int]] = {
    "power limit": (MAXIMUM_POWER_LIMIT, 1000),
    "phase unbalance": (PHASE_UNBALANCE_LIMIT, 10),
    "clear tamper": (CLEAR_TAMPER, 0),
    "extended set": (EXTENDED_SET, 7),
    "clear all": (CLEAR_CREDIT, 0xFFFF),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("managed", MANAGED)
async def test_watts_are_for_electricity_alone_and_the_rest_is_for_all(name: str, managed: str) -> None:
    kind, meaning = MANAGED[managed]
    config = config_of(name)
    meter = a_meter(config)
    is_taken = name.startswith("electricity") or managed not in ("power limit", "phase unbalance")
    async with client_of(meter) as client:
        assert await client.enter(managing(config.decoder_key, kind, meaning)) == 0
        assert await client.status() == (TokenStatus(3, "0" * 16) if is_taken else FUNCTION_ERROR)
    assert (meter.state.power_limit_watts, meter.state.unbalance_limit_watts) == (
        1000 if is_taken and kind is MAXIMUM_POWER_LIMIT else None,
        10 if is_taken and kind is PHASE_UNBALANCE_LIMIT else None,
    )


@pytest.mark.parametrize("name", ROWS)
def test_a_register_is_cleared_by_its_own_number(name: str) -> None:
    config = config_of(name)
    meter = a_meter(config)
    meter.key_in(credit(config))
    for register in range(8):
        result = meter.key_in(managing(config.decoder_key, CLEAR_CREDIT, register, 6_000_001 + register))
        own = config.unit.kind.subclass
        assert result is (TokenResult.ACCEPT if register == own else TokenResult.FUNCTION_ERROR)
        assert meter.state.balance_units == (0 if register >= own else 256)


@pytest.mark.parametrize("name", ["water in money", "gas in money"])
def test_money_may_be_taken_back_for_any_commodity(name: str) -> None:
    config = config_of(name)
    meter = a_meter(config)
    assert meter.key_in(credit(config, 5000)) is TokenResult.ACCEPT
    assert meter.key_in(credit(config, -7000, 6_000_001)) is TokenResult.ACCEPT
    assert meter.state.balance_units == -2000


def test_a_test_token_is_for_every_meter() -> None:
    token = display_token("krn")
    assert [a_meter(config_of(name)).key_in(token) for name in ROWS] == [TokenResult.ACCEPT] * len(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_the_balance_outlives_the_power(tmp_path: Path, name: str) -> None:
    config = config_of(name)
    meter = on_file(config, tmp_path / "ledger", Clock())
    meter.key_in(credit(config))
    again = reopened(meter)
    assert again.state == meter.state
    assert again.key_in(credit(config)) is TokenResult.USED_ERROR
    again.close()


def test_no_commodity() -> None:
    with pytest.raises(SettingError, match="commodity: expected one of electricity, water, gas, time; got 'heat'"):
        AccountUnit.parse(None, "heat")
