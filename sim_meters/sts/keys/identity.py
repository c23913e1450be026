"""Who a meter is: the 18 digits of the MeterPAN (IEC 62055-41; check digits by ISO/IEC 7812, "Luhn").

| manufacturer code | IIN           | DRN                                           | PAN check digit |
|---|---|---|---|
| 2 digits          | 600727 (6)    | code 2 + serial 8 + check digit 1 = 11 digits | 1               |
| 4 digits          | 0000 (4)      | code 4 + serial 8 + check digit 1 = 13 digits | 1               |
"""

from __future__ import annotations

from dataclasses import dataclass

from cosem_objects.errors import SettingError

_IIN_OF_TWO_DIGIT_CODES = "600727"
_IIN_OF_FOUR_DIGIT_CODES = "0000"
_SERIAL_LIMIT = 10**8


def luhn_digit(digits: str) -> str:
    """The check digit that belongs after these digits."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


def luhn_valid(digits: str) -> bool:
    """Whether this is decimal digits, the last of which is the check digit of those before it."""
    return digits.isascii() and digits.isdigit() and luhn_digit(digits[:-1]) == digits[-1]


@dataclass(frozen=True, slots=True)
class MeterPan:
    """A MeterPAN whose form and both check digits are right."""

    digits: str

    def __post_init__(self) -> None:
        digits = self.digits
        if len(digits) != 18 or not (digits.isascii() and digits.isdigit()):
            raise SettingError(f"pan: expected 18 digits (IIN, DRN, check digit); got {digits!r}")
        if not digits.startswith((_IIN_OF_TWO_DIGIT_CODES, _IIN_OF_FOUR_DIGIT_CODES)):
            raise SettingError(f"pan: expected the IIN 600727 or 0000 at the start; got {digits}")
        for name, checked in (("DRN", self.drn), ("PAN", digits)):
            if not luhn_valid(checked):
                expected = luhn_digit(checked[:-1])
                raise SettingError(f"pan: the {name} check digit of {checked} should be {expected}")

    @classmethod
    def parse(cls, text: str) -> MeterPan:
        """Read 18 digits; spaces and hyphens between them do not count. Raises ``SettingError``."""
        return cls(text.replace(" ", "").replace("-", ""))

    @property
    def iin(self) -> str:
        """The issuer identification number: 600727, or 0000 for four-digit manufacturer codes."""
        return next(iin for iin in (_IIN_OF_TWO_DIGIT_CODES, _IIN_OF_FOUR_DIGIT_CODES) if self.digits.startswith(iin))

    @property
    def drn(self) -> str:
        """The decoder reference number, the meter number a customer knows: 11 or 13 digits."""
        return self.digits[len(self.iin) : -1]

    @property
    def manufacturer_code(self) -> str:
        """Two or four digits."""
        return self.drn[:-9]

    @property
    def serial(self) -> int:
        """The manufacturer's running number, eight digits of the DRN."""
        return int(self.drn[-9:-1])

    @property
    def block(self) -> bytes:
        """The PANBlock for decoder keys: the 16 lowest digits of IIN and DRN, two to an octet.

        That is 5 + 11 digits or 3 + 13, so in both forms everything but the first digit and the check digit.
        """
        return bytes.fromhex(self.digits[1:17])

    def plus(self, count: int) -> MeterPan:
        """The PAN whose serial is ``count`` higher, with the check digits that belong to it."""
        serial = self.serial + count
        if not 0 <= serial < _SERIAL_LIMIT:
            raise SettingError(f"pan: no PAN {count} after {self.digits}, serials have eight digits")
        drn = f"{self.manufacturer_code}{serial:08d}"
        drn += luhn_digit(drn)
        return MeterPan(self.iin + drn + luhn_digit(self.iin + drn))
