"""The table of token types: which fields stand inside a token, and where. A new token type is one row.

Packing, opening, the commands, the vector check and the documentation all read ``TOKEN_KINDS``. The standard is IEC
62055-41:2018; the layouts of all rows are confirmed by compliance tokens of STS531-1 (tests/vectors/sts_vectors.json).
What a meter does with each type is the business of ``machine``.
"""

from __future__ import annotations

from cosem_objects.sts_token import TokenClass
from sim_meters.sts.tid import TID_MAX
from sim_meters.sts.tokens.coding import (
    BASE_CURRENCY,
    Coding,
    ControlIndex,
    ControlValue,
    Flags,
    MoneyAmount,
    Named,
    Padding,
    Secret,
    UnitAmount,
    Whole,
)
from sim_meters.sts.tokens.crc import CrcRule
from sim_meters.sts.tokens.token_kind import Commodity, Field, TokenKind

_EA_OF_LONG_KEYS = 11


def _bits(name: str, label: str, span: tuple[int, int], coding: Coding, option: str = "") -> Field:
    return Field(name, label, (span,), coding, option)


RND = _bits("rnd", "RND", (59, 56), Whole(15), "rnd")
TID = _bits("tid", "TID", (55, 32), Whole(TID_MAX), "tid")


def _value(name: str, label: str, coding: Coding, option: str = "") -> tuple[Field, ...]:
    return RND, TID, _bits(name, label, (31, 16), coding, option)


_AMOUNT = "transfer_amount_units"


def _units(unit: str) -> tuple[Field, ...]:
    return _value(_AMOUNT, "amount", UnitAmount(unit, 1), "amount")


# The sign and the upper bits of the exponent, "S&E", stand where other tokens have RND.
_MONEY = (TID, Field(_AMOUNT, "amount", ((59, 56), (31, 16)), MoneyAmount(BASE_CURRENCY, 5), "amount"))

# 4 to 7 are the currency registers. The numbers are in compliance tokens, their meaning in two public sources.
REGISTERS = {
    "electricity": 0,
    "water": 1,
    "gas": 2,
    "time": 3,
    "electricity-currency": 4,
    "water-currency": 5,
    "gas-currency": 6,
    "time-currency": 7,
    "all": 0xFFFF,
}

# guess: what bits 0x20 and above 0x200 ask for is from memory of the standard's table, the others are from one
# manufacturer's manual or firmware each; the table of class 1 in IEC 62055-41 would settle it.
TESTS = {
    "load-switch": 0x1,
    "display": 0x2,
    "cumulative-total": 0x4,
    "krn": 0x8,
    "ti": 0x10,
    "token-reader": 0x20,
    "power-limit": 0x40,
    "tamper": 0x80,
    "power": 0x100,
    "version": 0x200,
    "phase-unbalance-limit": 0x400,
    "water-meter-factor": 0x800,
    "tariff-rate": 0x1000,
    "ea": 0x2000,
    "kct": 0x4000,
    "sgc": 0x8000,
    "ken": 0x10000,
    "drn": 0x20000,
}
SUPPORTED_TESTS = sum(TESTS.values()) - TESTS["water-meter-factor"] - TESTS["tariff-rate"]
"""The bits that a simulated meter can do something for; the two others are reserved, and no token of theirs exists."""
# guess: the manufacturer code as a plain binary number (one source); all published tokens carry 0.
_TWO_DIGIT_CODE = Field("mfr_code", "manufacturer code", ((23, 16),), Whole(0xFF), "manufacturer-code", "0")
_FOUR_DIGIT_CODE = Field("mfr_code", "manufacturer code", ((31, 16),), Whole(0xFFFF), "manufacturer-code", "0")


def _test(high: int, low: int) -> Field:
    most = (1 << (high - low + 1)) - 1
    return _bits("control", "control", (high, low), Flags(most, TESTS, "all"), "control")


_CREDIT, _TEST, _MANAGEMENT = (
    TokenClass.CREDIT,
    TokenClass.NON_METER_SPECIFIC_MANAGEMENT,
    TokenClass.METER_SPECIFIC_MANAGEMENT,
)
_CRC_C = CrcRule.CRC_C
KEY_CHANGE = "key-change"


def _key_word(name: str, label: str) -> Field:
    return _bits(name, label, (47, 16), Secret(0xFFFFFFFF, 8))


SECTION_1 = TokenKind(
    _MANAGEMENT,
    3,
    "Set1stSectionDecoderKey",
    KEY_CHANGE,
    (
        _bits("ken_high", "KENHO", (59, 56), Whole(15)),
        _bits("krn", "KRN", (55, 52), Whole(9)),
        _bits("ro", "RO (rollover)", (51, 51), Whole(1)),
        _bits("three_kct", "3KCT", (50, 50), Whole(1)),
        _bits("kt", "KT", (49, 48), Whole(3)),
        _key_word("key_word", "NKHO"),
    ),
)
SECTION_2 = TokenKind(
    _MANAGEMENT,
    4,
    "Set2ndSectionDecoderKey",
    KEY_CHANGE,
    (
        _bits("ken_low", "KENLO", (59, 56), Whole(15)),
        _bits("ti", "TI", (55, 48), Whole(99)),
        _key_word("key_word", "NKLO"),
    ),
)
SECTION_3_OF_3 = TokenKind(
    _MANAGEMENT,
    8,
    "Set3rdSectionDecoderKey (SGC)",
    KEY_CHANGE,
    (_bits("sgc", "SGC", (59, 36), Whole(999_999)), _bits("pad", "padding", (35, 16), Padding())),
)
SECTION_3_OF_4 = TokenKind(
    _MANAGEMENT,
    8,
    "Set3rdSectionDecoderKey",
    KEY_CHANGE,
    (_bits("sgc_low", "SGCLO", (59, 48), Whole(0xFFF)), _key_word("key_word", "NKMO2")),
)
SECTION_4 = TokenKind(
    _MANAGEMENT,
    9,
    "Set4thSectionDecoderKey",
    KEY_CHANGE,
    (_bits("sgc_high", "SGCHO", (59, 48), Whole(0xFFF)), _key_word("key_word", "NKMO1")),
)

MAXIMUM_POWER_LIMIT = TokenKind(
    _MANAGEMENT,
    0,
    "SetMaximumPowerLimit",
    "power-limit",
    _value("mpl_watts", "maximum power limit", UnitAmount("W", 0), "watts"),
)
CLEAR_CREDIT = TokenKind(
    _MANAGEMENT,
    1,
    "ClearCredit",
    "clear-credit",
    _value("register", "register", Named(0xFFFF, REGISTERS), "register"),
)
CLEAR_TAMPER = TokenKind(_MANAGEMENT, 5, "ClearTamperCondition", "clear-tamper", _value("pad", "padding", Padding()))
PHASE_UNBALANCE_LIMIT = TokenKind(
    _MANAGEMENT,
    6,
    "SetMaximumPhasePowerUnbalanceLimit",
    "phase-unbalance",
    _value("mppul_watts", "phase power unbalance limit", UnitAmount("W", 0), "watts"),
)
EXTENDED_SET = TokenKind(
    _MANAGEMENT,
    10,
    "extended token set",
    "extended-set",
    _value("extended_value", "control value", ControlValue(), "control-value"),
)
TEST_2 = TokenKind(_TEST, 0, "InitiateMeterTest/Display (2-digit code)", "test", (_TWO_DIGIT_CODE, _test(59, 24)))
TEST_4 = TokenKind(_TEST, 1, "InitiateMeterTest/Display (4-digit code)", "test-4", (_FOUR_DIGIT_CODE, _test(59, 32)))
EXTENDED_READ = TokenKind(
    _TEST,
    2,
    "extended read",
    "extended-read",
    (_TWO_DIGIT_CODE, _bits("control", "control", (59, 24), ControlIndex(), "control")),
)

_ELECTRICITY, _WATER, _GAS, _TIME = Commodity
TOKEN_KINDS = (
    # IEC 62055-41: units of 0.1 kWh, 0.1 m3, 0.1 minute, and 1e-5 of the base currency.
    TokenKind(_CREDIT, 0, "electricity credit", "credit", _units("kWh"), _ELECTRICITY),
    TokenKind(_CREDIT, 1, "water credit", "credit", _units("m3"), _WATER),
    TokenKind(_CREDIT, 2, "gas credit", "credit", _units("m3"), _GAS),
    TokenKind(_CREDIT, 3, "time credit", "credit", _units("min"), _TIME),
    TokenKind(_CREDIT, 4, "electricity currency credit", "credit", _MONEY, _ELECTRICITY, _CRC_C),
    TokenKind(_CREDIT, 5, "water currency credit", "credit", _MONEY, _WATER, _CRC_C),
    TokenKind(_CREDIT, 6, "gas currency credit", "credit", _MONEY, _GAS, _CRC_C),
    TokenKind(_CREDIT, 7, "time currency credit", "credit", _MONEY, _TIME, _CRC_C),
    TEST_2,
    TEST_4,
    EXTENDED_READ,
    MAXIMUM_POWER_LIMIT,
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    PHASE_UNBALANCE_LIMIT,
    SECTION_1,
    SECTION_2,
    SECTION_3_OF_3,
    SECTION_3_OF_4,
    SECTION_4,
    EXTENDED_SET,
)
MANAGEMENT_KINDS = frozenset({CLEAR_CREDIT, CLEAR_TAMPER, EXTENDED_SET})
"""What every meter can be told."""
POWER_KINDS = frozenset({MAXIMUM_POWER_LIMIT, PHASE_UNBALANCE_LIMIT})
"""What only an electricity meter can be told."""
# Two rows share subclass 8; the longer one, which comes last, is what ``kind_of`` begins with.
_KIND_OF = {(kind.token_class, kind.subclass): kind for kind in TOKEN_KINDS}
RESERVED = {
    (_MANAGEMENT, 2): "SetTariffRate is obsolete",
    (_MANAGEMENT, 7): "SetWaterMeterFactor is reserved by the STS Association",
}
"""What two numbers that look free were meant for."""


def kind_of(token_class: TokenClass, subclass: int, *, upper: int = 0, ea: int = 7) -> TokenKind | None:
    """The row of a clear block; ``None`` for what is reserved. ``upper``: the 48 bits above the CRC.

    Two types share subclass 8. Under EA11 it is the third of four sections. Under EA07 it is that, too, if the bits
    that pad the third of three are not all zero; where they are, only the set it belongs to can tell.
    """
    kind = _KIND_OF.get((token_class, subclass))
    if kind is SECTION_3_OF_4 and ea != _EA_OF_LONG_KEYS and not SECTION_3_OF_3.value.read(upper):
        return SECTION_3_OF_3
    return kind


def credit_kind(commodity: Commodity, *, currency: bool) -> TokenKind:
    """The row for credit in a commodity, in its own unit or in currency."""
    return next(kind for kind in TOKEN_KINDS if kind.commodity is commodity and kind.is_currency is currency)
