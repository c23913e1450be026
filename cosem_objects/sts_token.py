"""The STS token as a number: 20 decimal digits, 66 bits, and the class that can be read without a key.

The class travels in two bits that trade places with bits 28 and 27 of the 64-bit block (IEC 62055-41, "insertion
and transposition of class bits"). That transposition needs no key, so it stands here; what the block means needs
the decoder key and is the business of ``sim_meters.sts`` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cosem_objects.errors import TokenFormatError

_NUMBER_LIMIT = 1 << 66
_CLASS_BITS = 0b11 << 27


class TokenClass(IntEnum):
    """The four token classes of IEC 62055-41."""

    CREDIT = 0
    NON_METER_SPECIFIC_MANAGEMENT = 1
    METER_SPECIFIC_MANAGEMENT = 2
    RESERVED = 3


@dataclass(frozen=True, slots=True)
class Token:
    """One STS token: a 66-bit number, printed for the customer as 20 digits."""

    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < _NUMBER_LIMIT:
            raise TokenFormatError("a token fits in 66 bits (at most 7378 6976 2948 3820 6463)")

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read 20 digits; spaces and hyphens between them do not count. Raises ``TokenFormatError``."""
        digits = text.replace(" ", "").replace("-", "")
        if not (digits.isascii() and digits.isdigit()):
            raise TokenFormatError("a token is 20 decimal digits; other characters were given")
        if len(digits) != 20:
            raise TokenFormatError(f"a token is 20 decimal digits; {len(digits)} were given")
        return cls(int(digits))

    @classmethod
    def from_block(cls, token_class: TokenClass, block: int) -> Token:
        """Join a 64-bit block (encrypted for classes 0 and 2) with its class."""
        if not 0 <= block < 1 << 64:
            raise TokenFormatError("a block of a token has 64 bits")
        displaced = block >> 27 & 0b11
        return cls(displaced << 64 | block & ~_CLASS_BITS | token_class << 27)

    @property
    def block(self) -> int:
        """The 64-bit block without the class: bits 65 and 64 go back to 28 and 27."""
        return self.number & ((1 << 64) - 1) & ~_CLASS_BITS | self.number >> 64 << 27

    @property
    def token_class(self) -> TokenClass:
        """Bits 28..27, readable without keys."""
        return TokenClass(self.number >> 27 & 0b11)

    @property
    def digits(self) -> str:
        """The whole token. It is money: never for a log, an error or a URL."""
        return str(self.number).zfill(20)

    @property
    def masked(self) -> str:
        """What may be shown anywhere: the last four digits."""
        return f"…{self.number % 10_000:04d}"

    def __repr__(self) -> str:
        return f"<Token {self.masked}>"

    __str__ = __repr__
