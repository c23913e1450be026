"""Class 113: prices, flags and proportion, as the Blue Book types them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, builds, integers, lists, sampled_from, sets

from cosem_objects import axdr, charge
from cosem_objects.axdr import Data
from cosem_objects.charge import ChargeTableElement, UnitCharge, proportion_from_data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode
from tests.cosem_objects.strategies import data_objects

UNIT_CHARGES = builds(
    UnitCharge,
    commodity_scale=integers(-128, 127),
    price_scale=integers(-128, 127),
    commodity_class_id=integers(0, 0xFFFF),
    commodity_obis=builds(ObisCode, binary(min_size=6, max_size=6)),
    commodity_attribute=integers(-128, 127),
    table=lists(builds(ChargeTableElement, binary(max_size=4), integers(-(1 << 15), (1 << 15) - 1))).map(tuple),
)


def test_a_unit_charge_octet_by_octet() -> None:
    """Made by hand from the type: 0.0125 of the currency for each kWh of import, in one tariff."""
    unit_charge = UnitCharge(3, -4, 3, ObisCode.parse("1-0:1.8.0.255"), 2, (ChargeTableElement(b"\x01", 125),))
    assert axdr.encode(unit_charge.to_data()) == bytes.fromhex(
        "020302020F030FFC020312000309060100010800FF0F020101020209010110007D"
    )


@given(UNIT_CHARGES)
def test_a_unit_charge_is_read_as_it_was_written(unit_charge: UnitCharge) -> None:
    assert UnitCharge.from_data(axdr.decode(axdr.encode(unit_charge.to_data()))) == unit_charge


@given(data_objects)
def test_no_unit_charge_is_the_senders_fault(data: Data) -> None:
    try:
        found = UnitCharge.from_data(data)
    except RemoteProtocolError:
        return
    assert isinstance(found, UnitCharge)


@given(sets(sampled_from(charge.CONFIGURATION_FLAGS)).map(frozenset))
def test_the_first_flag_is_the_first_bit(flags: frozenset[str]) -> None:
    bits = charge.configuration_bits(flags)
    assert bits[0] == ("1" if "percentage_based_collection" in flags else "0")
    assert charge.configuration_flags(bits) == flags
    assert charge.configuration_flags(bits + "000000") == flags, "as stacks write it that know only whole octets"


@pytest.mark.parametrize("proportion", [0, 2500, 10_000])
def test_a_proportion_is_a_part_of_ten_thousand(proportion: int) -> None:
    assert proportion_from_data(axdr.long_unsigned(proportion)) == proportion


@pytest.mark.parametrize("data", [axdr.long_unsigned(10_001), axdr.long(-1), axdr.octet_string(b"")])
def test_more_than_the_whole_is_no_proportion(data: Data) -> None:
    with pytest.raises(RemoteProtocolError):
        proportion_from_data(data)
