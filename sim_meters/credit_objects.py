"""Class 112, Credit: what tokens paid, and the advance that a customer may take in an emergency."""

from __future__ import annotations

from cosem_objects import axdr, payment
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.obis import ObisCode
from cosem_objects.payment import CreditAttribute, CreditStatus, CreditType
from sim_meters.asked import Asked, InterfaceClass, constant, date_time, not_allowed

EMERGENCY_CREDIT_OBIS = ObisCode.parse("0-0:19.10.1.255")
_NOTHING = constant(axdr.double_long(0))


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


def status_of_emergency(asked: Asked) -> CreditStatus:
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
        CreditAttribute.STATUS: lambda asked: axdr.enum(status_of_emergency(asked)),
        CreditAttribute.PRESET_CREDIT_AMOUNT: _preset,
    },
    methods={1: not_allowed, 2: not_allowed, 3: _invoke_credit},
)
