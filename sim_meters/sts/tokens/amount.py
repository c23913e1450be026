"""How an amount gets into a token: a decimal mantissa and exponent, always rounded in the customer's favour.

An exponent e and a 14-bit mantissa m stand for ``10^e * m + 2^14 * (1 + 10 + ... + 10^(e-1))`` units, so that each
exponent starts where the one before it ends. Unit tokens have two bits of exponent beside the mantissa (the 16-bit
amount field); currency tokens have five and a sign, of which four bits, "S&E", sit where other tokens keep RND.

Everything is whole numbers: currency goes to 1.8e34 units, far beyond what a float holds exactly.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from cosem_objects.errors import SettingError

_MANTISSA_BITS = 14
_MANTISSA_MAX = (1 << _MANTISSA_BITS) - 1
_PLAIN_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})", re.ASCII)


def _value(exponent: int, mantissa: int) -> int:
    step: int = 10**exponent
    return step * mantissa + ((step - 1) // 9 << _MANTISSA_BITS)


_EXPONENT_MAX = 31
_STEPS = tuple(10**exponent for exponent in range(_EXPONENT_MAX + 1))
_OFFSETS = tuple(_value(exponent, 0) for exponent in range(_EXPONENT_MAX + 1))
"""Where each exponent starts."""
AMOUNT16_MAX = _value(3, _MANTISSA_MAX)
CURRENCY_MAX = _value(_EXPONENT_MAX, _MANTISSA_MAX)


def _round_up(units: int, exponent_max: int) -> tuple[int, int]:
    """Exponent and mantissa of the smallest representable value that is not below ``units``."""
    for exponent in range(exponent_max + 1):
        mantissa = -((_OFFSETS[exponent] - units) // _STEPS[exponent])
        if mantissa <= _MANTISSA_MAX:
            return exponent, mantissa
    raise SettingError(f"amount: at most {_value(exponent_max, _MANTISSA_MAX)} units fit in a token; got {units}")


def _round_down(units: int, exponent_max: int) -> tuple[int, int]:
    """Exponent and mantissa of the largest representable value that is not above ``units``."""
    exponent = bisect_right(_OFFSETS, units, hi=exponent_max + 1) - 1
    return exponent, (units - _OFFSETS[exponent]) // _STEPS[exponent]


def encode_amount16(units: int) -> int:
    """The 16-bit amount field: two bits of exponent, 14 of mantissa. Raises ``SettingError`` out of range."""
    if 0 <= units <= _MANTISSA_MAX:
        return units  # exponent 0: what most people buy
    if units < 0:
        raise SettingError(f"amount: expected no negative units; got {units}")
    exponent, mantissa = _round_up(units, exponent_max=3)
    return exponent << _MANTISSA_BITS | mantissa


def decode_amount16(field: int) -> int:
    """The units in an amount field."""
    return _value(field >> _MANTISSA_BITS, field & _MANTISSA_MAX)


@dataclass(frozen=True, slots=True)
class CurrencyAmount:
    """An amount of money as a token carries it: a sign, five bits of exponent, 14 of mantissa."""

    negative: bool
    exponent: int
    mantissa: int

    @classmethod
    def encode(cls, units: int) -> CurrencyAmount:
        """Credit rounds up, a deduction rounds towards zero (STS531-1-07, CTSA20). ``SettingError`` out of range."""
        if abs(units) > CURRENCY_MAX:
            raise SettingError(f"amount: between -{CURRENCY_MAX} and {CURRENCY_MAX} units fit in a token; got {units}")
        rounded = (
            _round_down(-units, exponent_max=_EXPONENT_MAX)
            if units < 0
            else _round_up(units, exponent_max=_EXPONENT_MAX)
        )
        return cls(units < 0, *rounded)

    @classmethod
    def decode(cls, se_nibble: int, field: int) -> CurrencyAmount:
        """Join the S&E nibble (sign, upper exponent bits) and the 16-bit field (lower exponent bits, mantissa)."""
        exponent = (se_nibble & 0b111) << 2 | field >> _MANTISSA_BITS
        return cls(bool(se_nibble & 0b1000), exponent, field & _MANTISSA_MAX)

    @property
    def se_nibble(self) -> int:
        """The sign and the upper three bits of the exponent."""
        return self.negative << 3 | self.exponent >> 2

    @property
    def field(self) -> int:
        """The lower two bits of the exponent, and the mantissa."""
        return (self.exponent & 0b11) << _MANTISSA_BITS | self.mantissa

    @property
    def units(self) -> int:
        """The amount in units of 1e-5 of the base currency."""
        magnitude = _value(self.exponent, self.mantissa)
        return -magnitude if self.negative else magnitude


def parse_amount(text: str) -> Decimal:
    """Read a plain decimal number such as ``25.6`` (no exponent, no grouping). Raises ``SettingError``."""
    if not _PLAIN_NUMBER.fullmatch(text):
        raise SettingError(f"amount: expected a decimal number such as 25.6; got {text!r}")
    return Decimal(text)


def units_for(amount: Decimal, decimals: int) -> int:
    """The units of 10^-decimals that cover an amount: a finer amount gains the customer the rest of the unit."""
    units_each: int = 10**decimals
    return math.ceil(Fraction(amount) * units_each)


def amount_of(units: int, decimals: int) -> Decimal:
    """The exact amount of so many units of 10^-decimals (arithmetic on ``Decimal`` would round to 28 digits)."""
    return Decimal(f"{units}E-{decimals}")
