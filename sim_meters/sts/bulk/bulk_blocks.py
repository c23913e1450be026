"""What stands in the clear blocks of many tokens, their check sums, and their digits: arrays instead of numbers.

What each step means, ``amount``, ``token_kind``, ``crc`` and ``sts_token`` say.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sim_meters.sts.tokens.amount import CurrencyAmount
from sim_meters.sts.tokens.crc import CrcRule
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import TOKEN_KINDS

Blocks = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Classes = NDArray[np.uint8]
Digits = NDArray[np.bytes_]
"""20 octets each, of dtype ``S20``."""

INT64_MAX = (1 << 63) - 1

_U = np.uint64
_MANTISSA_BITS = 14


# Fields


def packed(kind: TokenKind, values: dict[str, Numbers]) -> Blocks:
    """The 48 bits above the CRC: ``TokenKind.pack`` for many."""
    raw = {**values, kind.value.name: _raw_amounts(values[kind.value.name], is_currency=kind.is_currency)}
    upper = np.full(len(values["tid"]), kind.subclass << 44, np.uint64)
    for field in kind.layout:
        left = raw[field.name].astype(np.uint64)
        for high, low in reversed(field.spans):
            bits = high - low + 1
            upper |= (left & _U((1 << bits) - 1)) << _U(low - 16)
            left = left >> _U(bits)
    return upper


class _Exponents:
    """Of each exponent the amount it begins at, the one it ends at, and the step, as long as 63 bits hold them."""

    def __init__(self, exponent_max: int) -> None:
        exponents = range(exponent_max + 1)
        ends = [CurrencyAmount(False, exponent, (1 << _MANTISSA_BITS) - 1).units for exponent in exponents]
        self.begins = np.array([CurrencyAmount(False, exponent, 0).units for exponent in exponents], np.int64)
        self.ends = np.array([min(end, INT64_MAX) for end in ends], np.int64)
        self.steps = np.array([10**exponent for exponent in exponents], np.int64)

    def rounded_up(self, units: Numbers) -> Numbers:
        """Exponent and mantissa, joined, of the smallest amounts that are not below these."""
        exponents = np.searchsorted(self.ends, units)
        mantissas = -((self.begins[exponents] - units) // self.steps[exponents])
        raw: Numbers = exponents << _MANTISSA_BITS | mantissas
        return raw

    def rounded_down(self, units: Numbers) -> Numbers:
        """Exponent and mantissa, joined, of the largest amounts that are not above these."""
        exponents = np.searchsorted(self.begins, units, side="right") - 1
        mantissas = (units - self.begins[exponents]) // self.steps[exponents]
        raw: Numbers = exponents << _MANTISSA_BITS | mantissas
        return raw


_OF_UNITS, _OF_MONEY = _Exponents(3), _Exponents(15)


def _raw_amounts(units: Numbers, *, is_currency: bool) -> Numbers:
    """``UnitAmount.raw`` and ``MoneyAmount.raw`` for many: always rounded in the customer's favour."""
    if not is_currency:
        return _OF_UNITS.rounded_up(units)
    deducted = np.maximum(-units, 0)
    return np.where(units < 0, _OF_MONEY.rounded_down(deducted) | 1 << 19, _OF_MONEY.rounded_up(np.maximum(units, 0)))


# The check sum


@cache
def _crc_tables(rule: CrcRule) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    return np.array(rule.of_class, np.uint16), np.array(rule.contributions, np.uint16)


def crc_fields(classes: Classes, upper: Blocks, rule: CrcRule) -> NDArray[np.uint16]:
    """``token_crc`` for many."""
    of_class, contributions = _crc_tables(rule)
    octets = upper.astype("<u8", copy=False).view(np.uint8)
    crc = of_class[classes]
    for place in range(6):
        crc ^= contributions[place].take(octets[5 - place :: 8])
    return crc


@cache
def uses_crc_c() -> NDArray[np.bool_]:
    """By class and subclass."""
    uses_it = np.zeros((4, 16), np.bool_)
    for kind in TOKEN_KINDS:
        uses_it[kind.token_class, kind.subclass] = kind.crc_rule is CrcRule.CRC_C
    return uses_it


# Digits

_CLASS_BITS = _U(0b11 << 27)
_POWERS = np.array([10**place for place in reversed(range(10))], np.uint64)
_FOUR_DIGITS = np.array([f"{number:04d}" for number in range(10_000)], "S4")


def digits_of(classes: Classes, blocks: Blocks) -> Digits:
    """``Token.from_block(...).digits`` for many."""
    low = blocks & ~_CLASS_BITS | classes.astype(np.uint64) << _U(27)
    high = blocks >> _U(27) & _U(0b11)
    # 2^64 is this many times 10^8, and a rest: so the 66 bits divide as two numbers of 64 do.
    times, rest = divmod(1 << 64, 10**8)
    lower = low % _U(10**8) + high * _U(rest)
    upper = low // _U(10**8) + high * _U(times) + lower // _U(10**8)
    lower %= _U(10**8)
    fours = np.empty((len(blocks), 5), "S4")
    for place in range(4, -1, -1):
        number = lower if place > 2 else upper
        fours[:, place] = _FOUR_DIGITS.take((number % _U(10_000)).astype(np.int64))
        number //= _U(10_000)
    return fours.view("S20").reshape(-1)


def read_numbers(digits: Digits) -> tuple[Classes, Blocks, NDArray[np.bool_]]:
    """Classes and blocks of ``Token.parse`` for many, and which of them are tokens; the others mean nothing."""
    values = (digits.view(np.uint8).reshape(-1, 20) - np.uint8(ord("0"))).astype(np.uint64)
    upper, lower = values[:, :10] @ _POWERS, values[:, 10:] @ _POWERS
    # number = 10^10 * upper + lower, and 10^10 is 5^10 shifted left by 10: so nothing but the sum can overflow.
    shifted = upper * _U(5**10)
    low = (shifted << _U(10)) + lower
    high = (shifted >> _U(54)) + (low < lower)
    is_token = (values < 10).all(axis=1) & (high < 4)
    return (low >> _U(27) & _U(0b11)).astype(np.uint8), low & ~_CLASS_BITS | (high & _U(0b11)) << _U(27), is_token
