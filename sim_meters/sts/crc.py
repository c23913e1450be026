"""The STS check sum: CRC-16 with the polynomial x^16 + x^15 + x^2 + 1, its two octets swapped.

It covers the class and the upper 48 bits of the clear block, as seven octets. Currency tokens use CRC_C, which adds
one octet after them: a meter that has never heard of currency tokens sees a wrong CRC there, and that is intended
(IEC 62055-41:2018; confirmed by the compliance tokens of STS531-1-07, CTSA20 to CTSA23).
"""

from __future__ import annotations

from enum import Enum

_POLYNOMIAL = 0xA001  # x^16 + x^15 + x^2 + 1 for bits that come least significant first


class CrcRule(Enum):
    """Which check sum a token type uses; the value is what is appended to the seven octets."""

    CRC = b""
    CRC_C = b"\x01"


def _remainder(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ (_POLYNOMIAL if octet & 1 else 0)
    return octet


_REMAINDERS = tuple(_remainder(octet) for octet in range(256))


def crc_field(octets: bytes) -> int:
    """The 16 bits as they stand in a token, for any octets."""
    crc = 0xFFFF
    for octet in octets:
        crc = crc >> 8 ^ _REMAINDERS[(crc ^ octet) & 0xFF]
    return crc >> 8 | (crc & 0xFF) << 8


def token_crc(token_class: int, upper_bits: int, rule: CrcRule) -> int:
    """The CRC of a clear block, given the class and the 48 bits above the CRC."""
    return crc_field(bytes([token_class]) + upper_bits.to_bytes(6, "big") + rule.value)
