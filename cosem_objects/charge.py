"""Class 113, Charge: what a meter takes from the customer's credit: for consumption, for time, or out of each payment.

IEC 62056-6-2 (Blue Book clause 4.6.4). For a token the third kind matters: a payment-event-based charge keeps a part
of every credit token as the repayment of a debt, so the balance rises by less than the token is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode

CLASS_ID = 113
DEFAULT_OBIS = ObisCode.parse("0-0:19.20.0.255")

PROPORTION_WHOLE = 10_000
"""Attribute 13 that stands for the whole payment. guess: hundredths of a per cent, as its largest value is 10000; a
meter that collects a known part would settle it."""

_NO_OBIS = ObisCode(bytes(6))


class Attribute(IntEnum):
    LOGICAL_NAME = 1
    TOTAL_AMOUNT_PAID = 2
    CHARGE_TYPE = 3
    PRIORITY = 4
    UNIT_CHARGE_ACTIVE = 5
    UNIT_CHARGE_PASSIVE = 6
    UNIT_CHARGE_ACTIVATION_TIME = 7
    PERIOD = 8
    CHARGE_CONFIGURATION = 9
    LAST_COLLECTION_TIME = 10
    LAST_COLLECTION_AMOUNT = 11
    TOTAL_AMOUNT_REMAINING = 12
    PROPORTION = 13


class Method(IntEnum):
    UPDATE_UNIT_CHARGE = 1
    ACTIVATE_PASSIVE_UNIT_CHARGE = 2
    COLLECT = 3
    UPDATE_TOTAL_AMOUNT_REMAINING = 4
    SET_TOTAL_AMOUNT_REMAINING = 5


class ChargeType(IntEnum):
    """Attribute 3: when the charge is collected."""

    CONSUMPTION_BASED = 0
    TIME_BASED = 1
    PAYMENT_EVENT_BASED = 2


CONFIGURATION_FLAGS = ("percentage_based_collection", "continuous_collection")
"""Attribute 9, first bit on the wire first."""


def configuration_bits(flags: frozenset[str]) -> str:
    return "".join("1" if flag in flags else "0" for flag in CONFIGURATION_FLAGS)


def configuration_flags(bits: str) -> frozenset[str]:
    return frozenset(flag for bit, flag in zip(bits, CONFIGURATION_FLAGS, strict=False) if bit == "1")


@dataclass(frozen=True, slots=True)
class ChargeTableElement:
    """The price under one index: a tariff, a week and day, a step; what it names is the meter's own."""

    index: bytes = field(repr=False)
    charge_per_unit: int


@dataclass(frozen=True, slots=True)
class UnitCharge:
    """Attributes 5 and 6: what one unit of a commodity costs.

    Price = ``charge_per_unit`` x 10^``price_scale`` for 10^``commodity_scale`` units of the attribute referred to. A
    payment-event-based charge measures no commodity: it refers to class 0 and has no prices.
    """

    commodity_scale: int = 0
    price_scale: int = 0
    commodity_class_id: int = 0
    commodity_obis: ObisCode = _NO_OBIS
    commodity_attribute: int = 0
    table: tuple[ChargeTableElement, ...] = ()

    @classmethod
    def from_data(cls, data: Data) -> UnitCharge:
        """Raises ``RemoteProtocolError``."""
        scaling, commodity, table = data.structure(3)
        commodity_scale, price_scale = (element.integer for element in scaling.structure(2))
        class_id, logical_name, attribute = commodity.structure(3)
        return cls(
            commodity_scale,
            price_scale,
            class_id.integer,
            ObisCode.from_octets(logical_name.octets),
            attribute.integer,
            tuple(_read_table_element(element) for element in table.elements),
        )

    def to_data(self) -> Data:
        return axdr.structure(
            axdr.structure(axdr.integer(self.commodity_scale), axdr.integer(self.price_scale)),
            axdr.structure(
                axdr.long_unsigned(self.commodity_class_id),
                axdr.octet_string(self.commodity_obis.octets),
                axdr.integer(self.commodity_attribute),
            ),
            axdr.array(
                *(
                    axdr.structure(axdr.octet_string(element.index), axdr.long(element.charge_per_unit))
                    for element in self.table
                )
            ),
        )


def _read_table_element(data: Data) -> ChargeTableElement:
    index, charge_per_unit = data.structure(2)
    return ChargeTableElement(index.octets, charge_per_unit.integer)


def proportion_from_data(data: Data) -> int:
    """Attribute 13, in parts of ``PROPORTION_WHOLE``. Raises ``RemoteProtocolError``."""
    if not 0 <= data.integer <= PROPORTION_WHOLE:
        raise RemoteProtocolError(f"proportion {data.integer}: expected 0 to {PROPORTION_WHOLE}")
    return data.integer
