"""The Limiter shows what a SetMaximumPowerLimit token did, in electricity meters and in no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosem_objects import axdr, limiter
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.interface_classes import INTERFACE_CLASSES
from cosem_objects.sts_token import Token
from sim_meters.account import AccountUnit
from sim_meters.ledger import FileLedger
from sim_meters.limiter_object import LIMITER
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.tokens.clear_token import clear_token, encode
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import MAXIMUM_POWER_LIMIT
from tests.sim_meters.meter_client import Client, Clock, a_meter, client_of

LIMITER_OBIS = "0-0:17.0.0.255"


def limit_token(watts: int, tid: int = 6_000_000) -> Token:
    value = MAXIMUM_POWER_LIMIT.value
    fields = {"tid": tid, "rnd": 5, value.name: value.coding.raw(watts)}
    return encode(clear_token(MAXIMUM_POWER_LIMIT, fields), lab_config().decoder_key)


async def thresholds(client: Client) -> list[Data]:
    """The active, normal and emergency ones."""
    return [await client.value(limiter.CLASS_ID, LIMITER_OBIS, attribute) for attribute in (3, 4, 5)]


async def test_a_power_limit_is_shown_once_a_token_sets_it() -> None:
    none = axdr.double_long_unsigned(0xFFFFFFFF)
    async with client_of(a_meter()) as client:
        assert await thresholds(client) == [none, none, none]
        for number, watts in enumerate((1000, 0, 18_201_624)):
            assert await client.enter(limit_token(watts, 6_000_000 + number)) == 0
            assert (await client.status()).code == 3
            set_to = axdr.double_long_unsigned(watts)
            assert await thresholds(client) == [set_to, set_to, none]


async def test_the_limit_outlasts_a_power_failure(tmp_path: Path) -> None:
    config, path = lab_config(), tmp_path / "ledger"
    meter = SimMeter(config, FileLedger(path, config.ledger_identity), clock=Clock())
    meter.key_in(limit_token(1000))
    meter.close()
    again = SimMeter(config, FileLedger(path, config.ledger_identity), clock=Clock())
    async with client_of(again) as client:
        assert (await thresholds(client))[0] == axdr.double_long_unsigned(1000)
    again.close()


@pytest.mark.parametrize("commodity", Commodity, ids=lambda commodity: commodity.value)
@pytest.mark.parametrize("currency", [None, "ZAR"])
async def test_only_electricity_meters_have_one(commodity: Commodity, currency: str | None) -> None:
    config: MeterConfig = replace(lab_config(), unit=AccountUnit.parse(currency, commodity.value))
    async with client_of(a_meter(config)) as client:
        found = await client.get(limiter.CLASS_ID, LIMITER_OBIS, 3)
        assert (found == DataAccessResult.OBJECT_UNDEFINED) is (commodity is not Commodity.ELECTRICITY)


def test_its_attributes_are_those_of_the_class() -> None:
    names = {attribute.value: attribute.name.lower() for attribute in limiter.Attribute}
    assert names == INTERFACE_CLASSES[limiter.CLASS_ID].attributes
    assert {1, *LIMITER.readers} == set(names)
