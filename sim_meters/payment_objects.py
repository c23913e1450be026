"""The prepayment classes: Token gateway (115), Account (111), Credit (112), IEC 62055-41 attributes (116)."""

from __future__ import annotations

from datetime import UTC

from cosem_objects import axdr, charge, payment, token_gateway
from cosem_objects.axdr import Data, DataType
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.errors import TokenFormatError
from cosem_objects.payment import (
    AccountAttribute,
    AccountModeAndStatus,
    AccountStatus,
    CreditAttribute,
    CreditStatus,
    CreditType,
    PaymentMode,
    StsAttribute,
)
from cosem_objects.profile import TokenReadback
from cosem_objects.token_gateway import DeliveryMethod, StatusCode, TokenEncoding, TokenStatus
from sim_meters.asked import Asked, InterfaceClass, constant, date_time, not_allowed
from sim_meters.charge_object import owed

# Class 115.


def _token(asked: Asked) -> Data:
    shown, profile = asked.meter.shown, asked.meter.config.profile
    if shown is None or profile.token_readback is TokenReadback.HIDDEN:
        return axdr.octet_string(b"")
    if profile.token_readback is TokenReadback.SAME:
        return axdr.octet_string(shown.octets)
    try:
        token = profile.token_encoding.from_octets(shown.octets)
    except TokenFormatError:
        return axdr.octet_string(shown.octets)
    return axdr.octet_string(TokenEncoding(profile.token_readback.value).to_octets(token))


def _token_time(asked: Asked) -> Data:
    shown = asked.meter.shown
    return date_time(asked, None if shown is None else shown.time)


def _token_description(asked: Asked) -> Data:
    shown = asked.meter.shown
    if shown is None or not shown.description:
        return axdr.array()
    return axdr.array(axdr.octet_string(shown.description.encode()))


def _token_delivery_method(asked: Asked) -> Data:
    shown = asked.meter.shown
    return axdr.enum(DeliveryMethod.REMOTE if shown is None else shown.delivery)


def _token_status(asked: Asked) -> Data:
    shown = asked.meter.shown
    if shown is None:
        return TokenStatus(StatusCode.FORMAT_OK).to_data()  # 0 is also what a meter shows that never saw a token
    own_codes = {standard: own for own, standard in asked.meter.config.profile.status_map.items()}
    return TokenStatus(own_codes.get(shown.status.code, shown.status.code), shown.status.data_value).to_data()


def _enter(asked: Asked, parameters: Data | None) -> ActionResult:
    if parameters is None or parameters.type is not DataType.OCTET_STRING:
        return ActionResult.TYPE_UNMATCHED  # as a real meter answered (Gurux forum, thread 18934)
    return asked.meter.enter(parameters.octets)


TOKEN_GATEWAY = InterfaceClass(
    token_gateway.CLASS_ID,
    0,
    readers={
        token_gateway.Attribute.TOKEN: _token,
        token_gateway.Attribute.TOKEN_TIME: _token_time,
        token_gateway.Attribute.TOKEN_DESCRIPTION: _token_description,
        token_gateway.Attribute.TOKEN_DELIVERY_METHOD: _token_delivery_method,
        token_gateway.Attribute.TOKEN_STATUS: _token_status,
    },
    methods={token_gateway.METHOD_ENTER: _enter},
)

# Class 111. This meter has one Credit, and if there is a debt, one Charge.

_NOTHING = constant(axdr.double_long(0))
_CREDIT_REFERENCE = axdr.octet_string(payment.DEFAULT_CREDIT_OBIS.octets)
_CHARGE_REFERENCE = axdr.octet_string(charge.DEFAULT_OBIS.octets)
_COLLECTED_ALWAYS = axdr.bit_string("111")
"""Also while disconnected, while load-limited, and in friendly-credit time: whenever a token is paid in."""


def _balance(asked: Asked) -> Data:
    return axdr.double_long(asked.meter.config.unit.raw(asked.meter.state.balance_units))


def _current_credit_status(asked: Asked) -> Data:
    flag = "in_credit" if asked.meter.state.balance_units > 0 else "out_of_credit"
    return axdr.bit_string(payment.credit_status_bits(frozenset({flag})))


def _charge_reference_list(asked: Asked) -> Data:
    return axdr.array() if asked.meter.config.debt is None else axdr.array(_CHARGE_REFERENCE)


def _credit_charge_configuration(asked: Asked) -> Data:
    if asked.meter.config.debt is None:
        return axdr.array()
    return axdr.array(axdr.structure(_CREDIT_REFERENCE, _CHARGE_REFERENCE, _COLLECTED_ALWAYS))


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
        # guess: counted from 0; a meter with two Credit objects would settle it.
        AccountAttribute.CURRENT_CREDIT_IN_USE: constant(axdr.unsigned(0)),
        AccountAttribute.CURRENT_CREDIT_STATUS: _current_credit_status,
        AccountAttribute.AVAILABLE_CREDIT: _balance,
        AccountAttribute.AMOUNT_TO_CLEAR: _NOTHING,
        AccountAttribute.CLEARANCE_THRESHOLD: _NOTHING,
        AccountAttribute.AGGREGATED_DEBT: owed,
        AccountAttribute.CREDIT_REFERENCE_LIST: constant(axdr.array(_CREDIT_REFERENCE)),
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

# Class 112.


def _credit_status(asked: Asked) -> Data:
    return axdr.enum(CreditStatus.IN_USE if asked.meter.state.balance_units > 0 else CreditStatus.EXHAUSTED)


CREDIT = InterfaceClass(
    payment.CREDIT_CLASS_ID,
    0,
    readers={
        CreditAttribute.CURRENT_CREDIT_AMOUNT: _balance,
        CreditAttribute.TYPE: constant(axdr.enum(CreditType.TOKEN_CREDIT)),
        CreditAttribute.PRIORITY: constant(axdr.unsigned(1)),
        CreditAttribute.WARNING_THRESHOLD: _NOTHING,
        CreditAttribute.LIMIT: _NOTHING,
        CreditAttribute.CONFIGURATION: constant(axdr.bit_string("00001")),  # bit 4: it may receive token amounts
        CreditAttribute.STATUS: _credit_status,
        CreditAttribute.PRESET_CREDIT_AMOUNT: _NOTHING,
        CreditAttribute.CREDIT_AVAILABLE_THRESHOLD: _NOTHING,
        CreditAttribute.PERIOD: lambda asked: date_time(asked, None),
    },
    # update_amount and set_amount_to_value would move money without an STS check; invoke_credit has nothing to invoke.
    methods=dict.fromkeys((1, 2, 3), not_allowed),
)

# Class 116.

# Carriers: 02 is the keypad; guess: 08 is DLMS/COSEM, whose number only edition 3 of IEC 62055-41 states.
_TOKEN_CARRIERS = axdr.array(axdr.unsigned(2), axdr.unsigned(8))

STS = InterfaceClass(
    payment.STS_CLASS_ID,
    0,
    readers={
        StsAttribute.METER_PAN: lambda asked: payment.meter_pan_to_data(asked.meter.config.pan.digits),
        StsAttribute.COMMODITY: lambda asked: axdr.visible_string(asked.meter.config.unit.kind.commodity.value.upper()),
        StsAttribute.TOKEN_CARRIER_TYPES: constant(_TOKEN_CARRIERS),
        StsAttribute.ENCRYPTION_ALGORITHM: lambda asked: axdr.unsigned(asked.meter.config.key.ea),
        StsAttribute.SUPPLY_GROUP_CODE: lambda asked: axdr.double_long_unsigned(asked.meter.config.key.sgc),
        StsAttribute.TARIFF_INDEX: lambda asked: axdr.unsigned(asked.meter.config.key.ti),
        StsAttribute.KEY_REVISION_NUMBER: lambda asked: axdr.unsigned(asked.meter.config.key.krn),
        StsAttribute.KEY_TYPE: lambda asked: axdr.unsigned(asked.meter.config.key.kt),
        StsAttribute.KEY_EXPIRY_NUMBER: lambda asked: axdr.unsigned(asked.meter.state.machine.ken),
        StsAttribute.NO_OF_KCT_SUPPORTED: constant(axdr.unsigned(0)),  # class 2 tokens are not covered yet
        StsAttribute.STS_CERTIFICATE_NO: constant(axdr.visible_string("")),  # not certified, and never will be
    },
    methods={},
)
