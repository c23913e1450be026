"""The prepayment classes: Token gateway (115), Account (111), Credit (112), IEC 62055-41 attributes (116)."""

from __future__ import annotations

from datetime import UTC

from cosem_objects import axdr, charge, payment, token_gateway
from cosem_objects.axdr import Data, DataType
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.errors import TokenFormatError
from cosem_objects.obis import ObisCode
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
from sim_meters.sts.key_change import MeterKey
from sim_meters.sts.machine import CARRIERS

EMERGENCY_CREDIT_OBIS = ObisCode.parse("0-0:19.10.1.255")

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

# Class 111. This meter has a Credit for tokens and perhaps one for emergencies, and if there is a debt, one Charge.

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
    return axdr.unsigned(1 if _status_of_emergency(asked) is CreditStatus.IN_USE else 0)


_STATUS_FLAG_OF_EMERGENCY = {
    CreditStatus.SELECTABLE: "next_credit_selectable",
    CreditStatus.SELECTED: "next_credit_selected",
    CreditStatus.IN_USE: "selectable_credit_in_use",
}


def _current_credit_status(asked: Asked) -> Data:
    flags = {"in_credit" if asked.meter.state.balance_units > 0 else "out_of_credit"}
    flag = _STATUS_FLAG_OF_EMERGENCY.get(_status_of_emergency(asked))
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

# Class 112.


def _token_credit(asked: Asked) -> Data:
    """What tokens paid: the balance without emergency credit."""
    return axdr.double_long(asked.meter.config.unit.raw(asked.meter.state.credit_register))


def _credit_status(asked: Asked) -> Data:
    return axdr.enum(CreditStatus.IN_USE if asked.meter.state.credit_register > 0 else CreditStatus.EXHAUSTED)


CREDIT = InterfaceClass(
    payment.CREDIT_CLASS_ID,
    0,
    readers={
        CreditAttribute.CURRENT_CREDIT_AMOUNT: _token_credit,
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

# The other Credit: an advance that the customer takes, and that tokens pay back first.


def _advance(asked: Asked) -> Data:
    """What there is of it: these meters consume nothing, so all of it until it is paid back."""
    return axdr.double_long(asked.meter.config.unit.raw(asked.meter.state.emergency_owed_units))


def _preset(asked: Asked) -> Data:
    emergency = asked.meter.config.emergency
    return axdr.double_long(0 if emergency is None else asked.meter.config.unit.raw(emergency.preset_units))


def _status_of_emergency(asked: Asked) -> CreditStatus:
    emergency, state = asked.meter.config.emergency, asked.meter.state
    if state.emergency_owed_units > 0:
        # What tokens paid is used first.
        return CreditStatus.SELECTED if state.credit_register > 0 else CreditStatus.IN_USE
    can_be_taken = emergency is not None and emergency.can_be_taken(state.balance_units, 0)
    return CreditStatus.SELECTABLE if can_be_taken else CreditStatus.ENABLED


def _invoke_credit(asked: Asked, _parameters: Data | None) -> ActionResult:
    # The type of the parameter is not certain (unsigned in one stack), and it says nothing that is needed.
    return ActionResult.SUCCESS if asked.meter.take_emergency_credit() else ActionResult.TEMPORARY_FAILURE


EMERGENCY_CREDIT = InterfaceClass(
    payment.CREDIT_CLASS_ID,
    0,
    readers={
        **CREDIT.readers,
        CreditAttribute.CURRENT_CREDIT_AMOUNT: _advance,
        CreditAttribute.TYPE: constant(axdr.enum(CreditType.EMERGENCY_CREDIT)),
        CreditAttribute.PRIORITY: constant(axdr.unsigned(2)),
        CreditAttribute.CONFIGURATION: constant(axdr.bit_string("01100")),  # to be confirmed, to be paid back
        CreditAttribute.STATUS: lambda asked: axdr.enum(_status_of_emergency(asked)),
        CreditAttribute.PRESET_CREDIT_AMOUNT: _preset,
    },
    methods={1: not_allowed, 2: not_allowed, 3: _invoke_credit},
)

# Class 116.

_TOKEN_CARRIERS = axdr.array(*map(axdr.unsigned, CARRIERS))


def _key(asked: Asked) -> MeterKey:
    return asked.meter.state.machine.key


STS = InterfaceClass(
    payment.STS_CLASS_ID,
    0,
    readers={
        StsAttribute.METER_PAN: lambda asked: payment.meter_pan_to_data(asked.meter.config.pan.digits),
        StsAttribute.COMMODITY: lambda asked: axdr.visible_string(asked.meter.config.unit.commodity.value.upper()),
        StsAttribute.TOKEN_CARRIER_TYPES: constant(_TOKEN_CARRIERS),
        StsAttribute.ENCRYPTION_ALGORITHM: lambda asked: axdr.unsigned(_key(asked).decoder_key.ea),
        StsAttribute.SUPPLY_GROUP_CODE: lambda asked: axdr.double_long_unsigned(_key(asked).sgc),
        StsAttribute.TARIFF_INDEX: lambda asked: axdr.unsigned(_key(asked).ti),
        StsAttribute.KEY_REVISION_NUMBER: lambda asked: axdr.unsigned(_key(asked).krn),
        StsAttribute.KEY_TYPE: lambda asked: axdr.unsigned(_key(asked).kt),
        StsAttribute.KEY_EXPIRY_NUMBER: lambda asked: axdr.unsigned(_key(asked).ken),
        StsAttribute.NO_OF_KCT_SUPPORTED: lambda asked: axdr.unsigned(asked.meter.state.machine.sections_supported),
        StsAttribute.STS_CERTIFICATE_NO: constant(axdr.visible_string("")),  # not certified, and never will be
    },
    methods={},
)
