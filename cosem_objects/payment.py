"""The prepayment neighbours of the Token gateway: Account (111), Credit (112), IEC 62055-41 attributes (116).
Charge (113) has a file of its own, ``charge.py``.

Facts: IEC 62056-6-2, clauses 4.6.2 to 4.6.6. Amounts on the wire are int32 in units of 10^scale of the account's
currency; here they become exact ``Decimal``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode

ACCOUNT_CLASS_ID = 111
CREDIT_CLASS_ID = 112
STS_CLASS_ID = 116
DEFAULT_ACCOUNT_OBIS = ObisCode.parse("0-0:19.0.0.255")
DEFAULT_CREDIT_OBIS = ObisCode.parse("0-0:19.10.0.255")
DEFAULT_STS_OBIS = ObisCode.parse("0-0:19.60.0.255")


class AccountAttribute(IntEnum):
    LOGICAL_NAME = 1
    MODE_AND_STATUS = 2
    CURRENT_CREDIT_IN_USE = 3
    CURRENT_CREDIT_STATUS = 4
    AVAILABLE_CREDIT = 5
    AMOUNT_TO_CLEAR = 6
    CLEARANCE_THRESHOLD = 7
    AGGREGATED_DEBT = 8
    CREDIT_REFERENCE_LIST = 9
    CHARGE_REFERENCE_LIST = 10
    CREDIT_CHARGE_CONFIGURATION = 11
    TOKEN_GATEWAY_CONFIGURATION = 12
    ACTIVATION_TIME = 13
    CLOSURE_TIME = 14
    CURRENCY = 15
    LOW_CREDIT_THRESHOLD = 16
    NEXT_CREDIT_AVAILABLE_THRESHOLD = 17
    MAX_PROVISION = 18
    MAX_PROVISION_PERIOD = 19


class CreditAttribute(IntEnum):
    LOGICAL_NAME = 1
    CURRENT_CREDIT_AMOUNT = 2
    TYPE = 3
    PRIORITY = 4
    WARNING_THRESHOLD = 5
    LIMIT = 6
    CONFIGURATION = 7
    STATUS = 8
    PRESET_CREDIT_AMOUNT = 9
    CREDIT_AVAILABLE_THRESHOLD = 10
    PERIOD = 11


class StsAttribute(IntEnum):
    """Class 116. Attributes 6 to 10 change only by key-change tokens."""

    LOGICAL_NAME = 1
    METER_PAN = 2
    COMMODITY = 3
    TOKEN_CARRIER_TYPES = 4
    ENCRYPTION_ALGORITHM = 5
    SUPPLY_GROUP_CODE = 6
    TARIFF_INDEX = 7
    KEY_REVISION_NUMBER = 8
    KEY_TYPE = 9
    KEY_EXPIRY_NUMBER = 10
    NO_OF_KCT_SUPPORTED = 11
    STS_CERTIFICATE_NO = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAttributes:
    """Attributes 5 to 10 of class 116: the decoder key that a meter works under, without the key. None = not said."""

    encryption_algorithm: int | None = None
    supply_group_code: int | None = None
    tariff_index: int | None = None
    key_revision_number: int | None = None
    key_type: int | None = None
    key_expiry_number: int | None = None

    @property
    def words(self) -> str:
        """Those that are said: ``SGC 123456, TI 01, KRN 2``."""
        named = ((form, getattr(self, name)) for name, form in _KEY_WORDS.items())
        return ", ".join(form.format(value) for form, value in named if value is not None) or "nothing"


KEY_ATTRIBUTES: Mapping[str, StsAttribute] = {
    "encryption_algorithm": StsAttribute.ENCRYPTION_ALGORITHM,
    "supply_group_code": StsAttribute.SUPPLY_GROUP_CODE,
    "tariff_index": StsAttribute.TARIFF_INDEX,
    "key_revision_number": StsAttribute.KEY_REVISION_NUMBER,
    "key_type": StsAttribute.KEY_TYPE,
    "key_expiry_number": StsAttribute.KEY_EXPIRY_NUMBER,
}
"""Where each member of ``KeyAttributes`` stands."""
_KEY_WORDS = {
    "encryption_algorithm": "EA {:02d}",
    "supply_group_code": "SGC {:06d}",
    "tariff_index": "TI {:02d}",
    "key_revision_number": "KRN {}",
    "key_type": "KT {}",
    "key_expiry_number": "KEN {}",
}


class PaymentMode(IntEnum):
    CREDIT = 1
    PREPAYMENT = 2


class AccountStatus(IntEnum):
    NEW = 1
    ACTIVE = 2
    CLOSED = 3


class CreditType(IntEnum):
    """Attribute 3 of the Credit."""

    TOKEN_CREDIT = 0
    RESERVED_CREDIT = 1
    EMERGENCY_CREDIT = 2
    TIME_BASED_CREDIT = 3
    CONSUMPTION_BASED_CREDIT = 4


class CreditStatus(IntEnum):
    """Attribute 8 of the Credit."""

    ENABLED = 0
    SELECTABLE = 1
    SELECTED = 2
    IN_USE = 3
    EXHAUSTED = 4


class CurrencyUnit(IntEnum):
    TIME = 0
    CONSUMPTION = 1
    MONETARY = 2


@dataclass(frozen=True, slots=True)
class Currency:
    """Attribute 15 of the Account: what its numbers are in. Real value = raw x 10^scale ``name``."""

    name: str
    scale: int
    unit: CurrencyUnit

    @classmethod
    def from_data(cls, data: Data) -> Currency:
        name, scale, unit = data.structure(3)
        if not -128 <= scale.integer <= 127:
            raise RemoteProtocolError(f"currency scale {scale.integer}: expected an int8")
        try:
            return cls(name.text.strip(), scale.integer, CurrencyUnit(unit.integer))
        except ValueError:
            raise RemoteProtocolError(f"currency unit {unit.integer}: expected 0, 1 or 2") from None

    def to_data(self) -> Data:
        return axdr.structure(axdr.utf8_string(self.name), axdr.integer(self.scale), axdr.enum(self.unit))

    def amount(self, raw: int) -> Decimal:
        """The real value of a number of this account, exact."""
        return Decimal(raw).scaleb(self.scale)


@dataclass(frozen=True, slots=True)
class AccountModeAndStatus:
    """Attribute 2 of the Account."""

    payment_mode: int
    account_status: int

    @classmethod
    def from_data(cls, data: Data) -> AccountModeAndStatus:
        mode, status = data.structure(2)
        return cls(mode.integer, status.integer)

    def to_data(self) -> Data:
        return axdr.structure(axdr.enum(self.payment_mode), axdr.enum(self.account_status))


CREDIT_STATUS_FLAGS = (
    "in_credit",
    "low_credit",
    "next_credit_enabled",
    "next_credit_selectable",
    "next_credit_selected",
    "selectable_credit_in_use",
    "out_of_credit",
    "reserved",
)
"""Attribute 4 of the Account, first bit on the wire first."""


def credit_status_bits(flags: frozenset[str]) -> str:
    return "".join("1" if flag in flags else "0" for flag in CREDIT_STATUS_FLAGS)


def credit_status_flags(bits: str) -> frozenset[str]:
    return frozenset(flag for bit, flag in zip(bits, CREDIT_STATUS_FLAGS, strict=False) if bit == "1")


def meter_pan_from_data(data: Data) -> str:
    """The 18 digits of the MeterPAN from attribute 2 of class 116: {IIN u32, DRN u64, check digit u8}.

    An IIN of 600727 goes with an 11-digit DRN, IIN 0000 with one of 13 digits (IEC 62055-41, MeterPAN).
    """
    iin, drn, check = (element.integer for element in data.structure(3))
    drn_size = 11 if iin else 13
    if not (0 <= iin < 10**6 and 0 <= drn < 10**drn_size and 0 <= check <= 9):
        raise RemoteProtocolError("the meter_pan is not made of 18 digits")
    return f"{iin:0{17 - drn_size}d}{drn:0{drn_size}d}{check}"


def meter_pan_to_data(pan: str) -> Data:
    iin_size = 4 if pan.startswith("0000") else 6
    return axdr.structure(
        axdr.double_long_unsigned(int(pan[:iin_size])),
        axdr.long64_unsigned(int(pan[iin_size:17])),
        axdr.unsigned(int(pan[17])),
    )
