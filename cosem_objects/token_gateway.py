"""Class 115, Token gateway: how a token gets into a meter and how the meter says what it did with it.

IEC 62056-6-2 (Blue Book Ed. 14 and later). Attributes 2 to 6 describe the *last* token only, whoever entered it:
there is no history, and status 0 is also what an object shows that never saw a token. So nothing here says whether
a status is about *our* token; that is decided in ``gateway.verdict``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import RemoteProtocolError, TokenFormatError
from cosem_objects.obis import ObisCode
from cosem_objects.sts_token import Token

CLASS_ID = 115
DEFAULT_OBIS = ObisCode.parse("0-0:19.40.0.255")

METHOD_ENTER = 1


class Attribute(IntEnum):
    LOGICAL_NAME = 1
    TOKEN = 2
    TOKEN_TIME = 3
    TOKEN_DESCRIPTION = 4
    TOKEN_DELIVERY_METHOD = 5
    TOKEN_STATUS = 6


class DeliveryMethod(IntEnum):
    """Attribute 5: how the last token arrived."""

    REMOTE = 0
    LOCAL = 1
    MANUAL = 2


class StatusCode(IntEnum):
    """token_status.status_code. Only 3 is a success; 0, 1, 2 and 8 are stages on the way."""

    FORMAT_OK = 0
    AUTHENTICATION_OK = 1
    VALIDATION_OK = 2
    EXECUTION_OK = 3
    FORMAT_FAILURE = 4
    AUTHENTICATION_FAILURE = 5
    VALIDATION_FAILURE = 6
    EXECUTION_FAILURE = 7
    RECEIVED = 8

    @property
    def words(self) -> str:
        return _STATUS_WORDS[self]


_STATUS_WORDS = {
    StatusCode.FORMAT_OK: "format OK, not yet executed",
    StatusCode.AUTHENTICATION_OK: "authentication OK, not yet executed",
    StatusCode.VALIDATION_OK: "validation OK, not yet executed",
    StatusCode.EXECUTION_OK: "executed",
    StatusCode.FORMAT_FAILURE: "format failure",
    StatusCode.AUTHENTICATION_FAILURE: "authentication failure",
    StatusCode.VALIDATION_FAILURE: "validation failure",
    StatusCode.EXECUTION_FAILURE: "execution failure",
    StatusCode.RECEIVED: "received, not yet processed",
}

FAILURES = frozenset(
    {
        StatusCode.FORMAT_FAILURE,
        StatusCode.AUTHENTICATION_FAILURE,
        StatusCode.VALIDATION_FAILURE,
        StatusCode.EXECUTION_FAILURE,
    }
)


STAGES = frozenset(StatusCode) - FAILURES - {StatusCode.EXECUTION_OK}
"""The meter is still at work on the token."""


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """Attribute 6. ``code`` is kept as the meter sent it, known or not; ``data_value`` as its bits."""

    code: int
    data_value: str = ""

    @classmethod
    def from_data(cls, data: Data) -> TokenStatus:
        """Read the structure, or a bare code as some meters send it. Raises ``RemoteProtocolError``."""
        if isinstance(data.value, int):
            return cls(data.integer)
        code, data_value = data.structure(2)
        return cls(code.integer, "" if data_value.value is None else data_value.bits)

    def to_data(self) -> Data:
        return axdr.structure(axdr.enum(self.code), axdr.bit_string(self.data_value))

    @property
    def words(self) -> str:
        try:
            return StatusCode(self.code).words
        except ValueError:
            return f"unknown status {self.code}"


class StsResult(StrEnum):
    """What the STS checks of a meter can say beyond accept (IEC 62055-41 clause 7.1), in the words of a verdict."""

    CRC = "crc"
    MANUFACTURER_CODE = "manufacturer-code"
    OLD = "old"
    USED = "used"
    KEY_EXPIRED = "key-expired"
    DEFAULT_KEY = "default-key"
    OVERFLOW = "overflow"
    KEY_TYPE = "key-type"
    FORMAT = "field-format"
    RANGE = "range"
    FUNCTION = "function"


class DataValueMap(StrEnum):
    """What a meter model means by ``data_value``; the standard leaves it open."""

    RAW = "raw"
    """Kept, never interpreted: what real meters get unless their maker's document is at hand."""
    ONEHOT16 = "onehot16"
    """16 bits, one for each result: our simulated meters."""
    ORDINAL8 = "ordinal8"
    """8 bits, the number in the token result register."""
    NONE = "none"

    def result(self, data_value: str) -> StsResult | None:
        """The STS result that these bits prove, or None."""
        if self is DataValueMap.ONEHOT16 and len(data_value) >= len(_ONEHOT16):
            shown = [result for bit, result in zip(data_value, _ONEHOT16, strict=False) if bit == "1"]
            return shown[0] if len(shown) == 1 else None
        if self is DataValueMap.ORDINAL8 and len(data_value) >= 8:
            return _ORDINAL8.get(int(data_value[:8], 2))
        return None

    def section(self, data_value: str) -> int | None:
        """Which section of a key-change set these bits call stored, 1 to 4; ``None`` if they do not."""
        if self is not DataValueMap.ONEHOT16 or len(data_value) < 16 or data_value.count("1") != 1:
            return None
        place = data_value.index("1") - _FIRST_SECTION_BIT
        return place + 1 if 0 <= place < 4 else None


# Bit 0 is the first bit on the wire. Bits 11 to 14 say which section of a key-change set was stored; bit 15 is for the
# lock-out.
_ONEHOT16 = tuple(StsResult)
_FIRST_SECTION_BIT = 11
# Numbers of the token result register (Conlog BEC62 manual); no second source.
_ORDINAL8 = {
    4: StsResult.OVERFLOW,
    5: StsResult.KEY_TYPE,
    6: StsResult.FORMAT,
    7: StsResult.RANGE,
    8: StsResult.FUNCTION,
    9: StsResult.OLD,
    10: StsResult.USED,
    11: StsResult.KEY_EXPIRED,
    12: StsResult.DEFAULT_KEY,
    13: StsResult.CRC,
    14: StsResult.MANUFACTURER_CODE,
}


def onehot16(result: StsResult | None, *, section: int | None = None) -> str:
    """The 16 bits that say ``result``, or which section of a key-change set (1 to 4) was stored; all zero on plain
    accept."""
    bits = ["1" if candidate is result else "0" for candidate in _ONEHOT16] + ["0"] * 5
    if section is not None:
        bits[_FIRST_SECTION_BIT + section - 1] = "1"
    return "".join(bits)


class TokenEncoding(StrEnum):
    """How the 20 digits become the octet-string of ``enter``. The standard does not say; a profile does."""

    ASCII20 = "ascii20"
    """20 octets, the digits as ASCII."""
    BCD10 = "bcd10"
    """10 octets, two digits each, high nibble first."""
    DIGITS20 = "digits20"
    """20 octets of value 0 to 9."""
    BINARY9 = "binary9"
    """9 octets, the 66-bit number big-endian, top 6 bits zero."""

    def to_octets(self, token: Token) -> bytes:
        return _ENCODE[self](token)

    def from_octets(self, octets: bytes) -> Token:
        """The token in these octets. Raises ``TokenFormatError``."""
        try:
            return _DECODE[self](octets)
        except (ValueError, RemoteProtocolError) as error:
            raise TokenFormatError(f"{len(octets)} octets that are no token as {self.value}") from error


_ENCODE: dict[TokenEncoding, Callable[[Token], bytes]] = {
    TokenEncoding.ASCII20: lambda token: token.digits.encode(),
    TokenEncoding.BCD10: lambda token: bytes.fromhex(token.digits),
    TokenEncoding.DIGITS20: lambda token: bytes(map(int, token.digits)),
    TokenEncoding.BINARY9: lambda token: token.number.to_bytes(9, "big"),
}


def _decode_digits(octets: bytes) -> Token:
    return Token.parse("".join(map(str, octets)) if len(octets) == 20 and max(octets) < 10 else "")


def _decode_binary(octets: bytes) -> Token:
    if len(octets) != 9:
        raise TokenFormatError("9 octets")
    return Token(int.from_bytes(octets, "big"))


_DECODE: dict[TokenEncoding, Callable[[bytes], Token]] = {
    TokenEncoding.ASCII20: lambda octets: Token.parse(octets.decode("ascii") if len(octets) == 20 else ""),
    TokenEncoding.BCD10: lambda octets: Token.parse(octets.hex()),
    TokenEncoding.DIGITS20: _decode_digits,
    TokenEncoding.BINARY9: _decode_binary,
}
