"""Which attributes of which classes a readback shows, and how each is said.

In JSON an attribute has the name that the standard gives it; in words the same with blanks, unless a label is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cosem_objects import (
    association_ln,
    charge,
    disconnect_control,
    payment,
    profile_generic,
    push_setup,
    security_setup,
    token_gateway,
)
from cosem_objects.charge import Attribute as ChargeAttribute
from cosem_objects.disconnect_control import Attribute as ControlAttribute
from cosem_objects.interface_classes import INTERFACE_CLASSES, describe_class
from cosem_objects.payment import AccountAttribute, CreditAttribute, StsAttribute
from cosem_objects.security_setup import Attribute as SecurityAttribute
from gateway.reading import account_values, association_values
from gateway.reading import report_values as say
from gateway.reading.report_values import Meaning


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute of a section."""

    attribute: int
    name: str
    label: str
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class SectionKind:
    """What is shown of one kind of object."""

    name: str
    """In JSON."""
    class_id: int
    rows: tuple[Row, ...]

    @property
    def heading(self) -> str:
        """For people."""
        relay = " (relay)" if self.class_id == disconnect_control.CLASS_ID else ""
        return f"{describe_class(self.class_id)}{relay}"


def _kind(name: str, class_id: int, rows: Sequence[tuple[int, Meaning] | tuple[int, Meaning, str]]) -> SectionKind:
    names = INTERFACE_CLASSES[class_id].attributes
    made = []
    for attribute, meaning, *label in rows:
        standard = names[attribute]
        made.append(Row(attribute, standard, label[0] if label else standard.replace("_", " "), meaning))
    return SectionKind(name, class_id, tuple(made))


CLOCK = _kind("clock", profile_generic.CLOCK_CLASS_ID, [(2, say.date_time)])

TOKEN_GATEWAY = _kind(
    "token_gateway",
    token_gateway.CLASS_ID,
    [],  # its five attributes are told together, see ``last_token``
)

_KEY_TYPES = ("initialisation", "default", "unique", "common")
"""IEC 62055-41: DITK, DDTK, DUTK, DCTK."""

STS = _kind(
    "sts",
    payment.STS_CLASS_ID,
    [
        (StsAttribute.COMMODITY, say.text),
        (StsAttribute.TOKEN_CARRIER_TYPES, say.numbers),
        (StsAttribute.ENCRYPTION_ALGORITHM, say.digits(2)),
        (StsAttribute.SUPPLY_GROUP_CODE, say.digits(6)),
        (StsAttribute.TARIFF_INDEX, say.digits(2)),
        (StsAttribute.KEY_REVISION_NUMBER, say.number),
        (StsAttribute.KEY_TYPE, say.numbered(_KEY_TYPES)),
        (StsAttribute.KEY_EXPIRY_NUMBER, say.number),
        (StsAttribute.NO_OF_KCT_SUPPORTED, say.number, "key-change tokens supported"),
        (StsAttribute.STS_CERTIFICATE_NO, say.text, "STS certificate"),
    ],
)

_ACCOUNT = payment.ACCOUNT_CLASS_ID
ACCOUNT = _kind(
    "account",
    _ACCOUNT,
    [
        (AccountAttribute.MODE_AND_STATUS, account_values.mode_and_status, "mode and status"),
        (AccountAttribute.CURRENCY, account_values.currency),
        (AccountAttribute.AVAILABLE_CREDIT, say.amount),
        (AccountAttribute.CURRENT_CREDIT_STATUS, say.bits(_ACCOUNT, 4), "credit status"),
        (AccountAttribute.CURRENT_CREDIT_IN_USE, say.number),
        (AccountAttribute.AMOUNT_TO_CLEAR, say.amount),
        (AccountAttribute.CLEARANCE_THRESHOLD, say.amount),
        (AccountAttribute.AGGREGATED_DEBT, say.amount),
        (AccountAttribute.LOW_CREDIT_THRESHOLD, say.amount),
        (AccountAttribute.NEXT_CREDIT_AVAILABLE_THRESHOLD, say.amount, "next credit threshold"),
        (AccountAttribute.CREDIT_REFERENCE_LIST, say.references, "credits"),
        (AccountAttribute.CHARGE_REFERENCE_LIST, say.references, "charges"),
        (AccountAttribute.CREDIT_CHARGE_CONFIGURATION, account_values.charges_paid, "charges are paid"),
        (
            AccountAttribute.TOKEN_GATEWAY_CONFIGURATION,
            account_values.token_shares,
            "tokens are paid in",
        ),
        (AccountAttribute.ACTIVATION_TIME, say.date_time, "activated"),
        (AccountAttribute.CLOSURE_TIME, say.date_time, "closed"),
        (AccountAttribute.MAX_PROVISION, say.number),
        (AccountAttribute.MAX_PROVISION_PERIOD, say.seconds),
    ],
)

_CREDIT = payment.CREDIT_CLASS_ID
CREDIT = _kind(
    "credits",
    _CREDIT,
    [
        (CreditAttribute.CURRENT_CREDIT_AMOUNT, say.amount),
        (CreditAttribute.TYPE, say.enum(_CREDIT, CreditAttribute.TYPE)),
        (CreditAttribute.STATUS, say.enum(_CREDIT, CreditAttribute.STATUS)),
        (CreditAttribute.PRIORITY, say.number),
        (CreditAttribute.WARNING_THRESHOLD, say.amount),
        (CreditAttribute.LIMIT, say.amount),
        (CreditAttribute.CONFIGURATION, say.bits(_CREDIT, CreditAttribute.CONFIGURATION)),
        (CreditAttribute.PRESET_CREDIT_AMOUNT, say.amount),
        (CreditAttribute.CREDIT_AVAILABLE_THRESHOLD, say.amount),
        (CreditAttribute.PERIOD, say.date_time),
    ],
)

_CHARGE = charge.CLASS_ID
CHARGE = _kind(
    "charges",
    _CHARGE,
    [
        (ChargeAttribute.TOTAL_AMOUNT_REMAINING, say.amount),
        (ChargeAttribute.TOTAL_AMOUNT_PAID, say.amount),
        (ChargeAttribute.CHARGE_TYPE, say.enum(_CHARGE, ChargeAttribute.CHARGE_TYPE)),
        (ChargeAttribute.PRIORITY, say.number),
        (ChargeAttribute.PROPORTION, account_values.proportion),
        (ChargeAttribute.CHARGE_CONFIGURATION, say.bits(_CHARGE, ChargeAttribute.CHARGE_CONFIGURATION)),
        (ChargeAttribute.LAST_COLLECTION_TIME, say.date_time),
        (ChargeAttribute.LAST_COLLECTION_AMOUNT, say.amount),
        (ChargeAttribute.UNIT_CHARGE_ACTIVE, account_values.unit_charge),
        (ChargeAttribute.UNIT_CHARGE_PASSIVE, account_values.unit_charge),
        (ChargeAttribute.UNIT_CHARGE_ACTIVATION_TIME, say.date_time),
        (ChargeAttribute.PERIOD, say.seconds),
    ],
)

_CONTROL = disconnect_control.CLASS_ID
DISCONNECT_CONTROL = _kind(
    "disconnect_control",
    _CONTROL,
    [
        (ControlAttribute.CONTROL_STATE, say.enum(_CONTROL, ControlAttribute.CONTROL_STATE)),
        (ControlAttribute.OUTPUT_STATE, say.connected),
        (ControlAttribute.CONTROL_MODE, say.number),
    ],
)

_ASSOCIATION = association_ln.Attribute
ASSOCIATION = _kind(
    "association",
    association_ln.CLASS_ID,
    [
        (_ASSOCIATION.ASSOCIATED_PARTNERS_ID, association_values.partners, "between"),
        (_ASSOCIATION.ASSOCIATION_STATUS, say.enum(association_ln.CLASS_ID, _ASSOCIATION.ASSOCIATION_STATUS), "status"),
        (_ASSOCIATION.APPLICATION_CONTEXT_NAME, association_values.application_context, "application context"),
        (_ASSOCIATION.AUTHENTICATION_MECHANISM_NAME, association_values.mechanism, "authentication"),
        (_ASSOCIATION.XDLMS_CONTEXT_INFO, association_values.context_info, "services"),
        (_ASSOCIATION.SECURITY_SETUP_REFERENCE, say.reference, "security setup"),
    ],
)

SECURITY_SETUP = _kind(
    "security_setup",
    security_setup.CLASS_ID,
    [
        (SecurityAttribute.SECURITY_POLICY, association_values.security_policy, "policy"),
        (
            SecurityAttribute.SECURITY_SUITE,
            say.code(security_setup.CLASS_ID, SecurityAttribute.SECURITY_SUITE),
            "suite",
        ),
        (SecurityAttribute.CLIENT_SYSTEM_TITLE, say.title),
        (SecurityAttribute.SERVER_SYSTEM_TITLE, say.title),
    ],
)

PUSH_SETUP = _kind(
    "push_setup",
    push_setup.CLASS_ID,
    [
        (push_setup.Attribute.PUSH_OBJECT_LIST, association_values.push_objects, "sends"),
        (push_setup.Attribute.SEND_DESTINATION_AND_METHOD, association_values.push_destination, "how"),
        (push_setup.Attribute.RANDOMISATION_START_INTERVAL, say.seconds, "starts within"),
        (push_setup.Attribute.NUMBER_OF_RETRIES, say.number, "retries"),
        (push_setup.Attribute.REPETITION_DELAY, say.seconds, "between retries"),
    ],
)
