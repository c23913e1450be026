"""Class 113, Charge: the debt that every credit token pays a part of. Only a meter with a debt has it."""

from __future__ import annotations

from cosem_objects import axdr, charge
from cosem_objects.axdr import Data
from cosem_objects.charge import Attribute, ChargeType, Method, UnitCharge
from sim_meters.asked import Asked, InterfaceClass, constant, date_time, not_allowed

_NO_PRICES = constant(UnitCharge().to_data())


def owed(asked: Asked) -> Data:
    """What is still to be paid. Rounded up where it is shown: a debt shown as 0 is paid."""
    return axdr.double_long(-asked.meter.config.unit.raw(-asked.meter.debt_units))


def _paid(asked: Asked) -> Data:
    return axdr.double_long(asked.meter.config.unit.raw(asked.meter.state.collected_units))


def _last_collection_time(asked: Asked) -> Data:
    last = asked.meter.state.last_collection
    return date_time(asked, None if last is None else last.time)


def _last_collection_amount(asked: Asked) -> Data:
    last = asked.meter.state.last_collection
    return axdr.double_long(0 if last is None else asked.meter.config.unit.raw(last.collected))


def _proportion(asked: Asked) -> Data:
    debt = asked.meter.config.debt
    return axdr.long_unsigned(0 if debt is None else debt.proportion)


CHARGE = InterfaceClass(
    charge.CLASS_ID,
    0,
    readers={
        Attribute.TOTAL_AMOUNT_PAID: _paid,
        Attribute.CHARGE_TYPE: constant(axdr.enum(ChargeType.PAYMENT_EVENT_BASED)),
        Attribute.PRIORITY: constant(axdr.unsigned(1)),
        Attribute.UNIT_CHARGE_ACTIVE: _NO_PRICES,
        Attribute.UNIT_CHARGE_PASSIVE: _NO_PRICES,
        Attribute.UNIT_CHARGE_ACTIVATION_TIME: lambda asked: date_time(asked, None),
        Attribute.PERIOD: constant(axdr.double_long_unsigned(0)),
        Attribute.CHARGE_CONFIGURATION: constant(
            axdr.bit_string(charge.configuration_bits(frozenset({"percentage_based_collection"})))
        ),
        Attribute.LAST_COLLECTION_TIME: _last_collection_time,
        Attribute.LAST_COLLECTION_AMOUNT: _last_collection_amount,
        Attribute.TOTAL_AMOUNT_REMAINING: owed,
        Attribute.PROPORTION: _proportion,
    },
    methods=dict.fromkeys(Method, not_allowed),  # debt is set where the meter is made, and moves by tokens alone
)
