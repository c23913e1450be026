"""Class 111, Account. It has a Credit for tokens and perhaps one for emergencies, and if there is a debt, a Charge."""

from __future__ import annotations

from datetime import UTC

from cosem_objects import axdr, charge, payment
from cosem_objects.axdr import Data
from cosem_objects.payment import AccountAttribute, AccountModeAndStatus, AccountStatus, CreditStatus, PaymentMode
from sim_meters.asked import Asked, InterfaceClass, constant, date_time, not_allowed
from sim_meters.charge_object import owed
from sim_meters.credit_objects import EMERGENCY_CREDIT_OBIS, status_of_emergency

_NOTHING = constant(axdr.double_long(0))
_CREDIT_REFERENCE = axdr.octet_string(payment.DEFAULT_CREDIT_OBIS.octets)
_EMERGENCY_REFERENCE = axdr.octet_string(EMERGENCY_CREDIT_OBIS.octets)
_CHARGE_REFERENCE = axdr.octet_string(charge.DEFAULT_OBIS.octets)
_COLLECTED_ALWAYS = axdr.bit_string("111")
"""Also while disconnected, while load-limited, and in friendly-credit time: whenever a token is paid in."""


def _balance(asked: Asked) -> Data:
    return axdr.double_long(asked.meter.config.unit.raw(asked.meter.state.balance_units))


def _current_credit_in_use(asked: Asked) -> Data:
    # guess: counted from 0 along attribute 9; a real meter with two Credit objects would settle it.
    return axdr.unsigned(1 if status_of_emergency(asked) is CreditStatus.IN_USE else 0)


_STATUS_FLAG_OF_EMERGENCY = {
    CreditStatus.SELECTABLE: "next_credit_selectable",
    CreditStatus.SELECTED: "next_credit_selected",
    CreditStatus.IN_USE: "selectable_credit_in_use",
}


def _current_credit_status(asked: Asked) -> Data:
    flags = {"in_credit" if asked.meter.state.balance_units > 0 else "out_of_credit"}
    flag = _STATUS_FLAG_OF_EMERGENCY.get(status_of_emergency(asked))
    return axdr.bit_string(payment.credit_status_bits(frozenset(flags if flag is None else {*flags, flag})))


def _charge_reference_list(asked: Asked) -> Data:
    return axdr.array() if asked.meter.config.debt is None else axdr.array(_CHARGE_REFERENCE)


def _credit_charge_configuration(asked: Asked) -> Data:
    if asked.meter.config.debt is None:
        return axdr.array()
    return axdr.array(axdr.structure(_CREDIT_REFERENCE, _CHARGE_REFERENCE, _COLLECTED_ALWAYS))


def _amount_to_clear(asked: Asked) -> Data:
    # guess: positive, as an amount; the Blue Book's clause on Account, attribute 6, would settle its sign.
    # Rounded up where it is shown, as every debt is.
    return axdr.double_long(-asked.meter.config.unit.raw(-asked.meter.state.emergency_owed_units))


def _credit_reference_list(asked: Asked) -> Data:
    has_emergency = asked.meter.config.emergency is not None
    return axdr.array(_CREDIT_REFERENCE, *([_EMERGENCY_REFERENCE] if has_emergency else []))


def _activation_time(asked: Asked) -> Data:
    config = asked.meter.config
    return date_time(asked, (config.manufactured or config.key.base_date.moment(0)).replace(tzinfo=UTC))


def _currency(asked: Asked) -> Data:
    return asked.meter.config.unit.currency.to_data()


ACCOUNT = InterfaceClass(
    payment.ACCOUNT_CLASS_ID,
    0,
    readers={
        AccountAttribute.MODE_AND_STATUS: constant(
            AccountModeAndStatus(PaymentMode.PREPAYMENT, AccountStatus.ACTIVE).to_data()
        ),
        AccountAttribute.CURRENT_CREDIT_IN_USE: _current_credit_in_use,
        AccountAttribute.CURRENT_CREDIT_STATUS: _current_credit_status,
        AccountAttribute.AVAILABLE_CREDIT: _balance,
        AccountAttribute.AMOUNT_TO_CLEAR: _amount_to_clear,
        AccountAttribute.CLEARANCE_THRESHOLD: _NOTHING,
        AccountAttribute.AGGREGATED_DEBT: owed,
        AccountAttribute.CREDIT_REFERENCE_LIST: _credit_reference_list,
        AccountAttribute.CHARGE_REFERENCE_LIST: _charge_reference_list,
        AccountAttribute.CREDIT_CHARGE_CONFIGURATION: _credit_charge_configuration,
        AccountAttribute.TOKEN_GATEWAY_CONFIGURATION: constant(
            axdr.array(axdr.structure(_CREDIT_REFERENCE, axdr.unsigned(100)))
        ),
        AccountAttribute.ACTIVATION_TIME: _activation_time,
        AccountAttribute.CLOSURE_TIME: lambda asked: date_time(asked, None),
        AccountAttribute.CURRENCY: _currency,
        AccountAttribute.LOW_CREDIT_THRESHOLD: _NOTHING,
        AccountAttribute.NEXT_CREDIT_AVAILABLE_THRESHOLD: _NOTHING,
        AccountAttribute.MAX_PROVISION: constant(axdr.long_unsigned(0)),
        AccountAttribute.MAX_PROVISION_PERIOD: _NOTHING,
    },
    methods=dict.fromkeys((1, 2, 3), not_allowed),  # activate, close and reset the account
)
