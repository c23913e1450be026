"""The STS check sum: CRC-16 with the polynomial x^16 + x^15 + x^2 + 1, its two octets swapped.

It covers the class and the upper 48 bits of the clear block, as seven octets. Currency tokens use CRC_C, which adds
one octet after them: a meter that has never heard of currency tokens sees a wrong CRC there, and that is intended
(IEC 62055-41:2018; confirmed by the compliance tokens of STS531-1-07, CTSA20 to CTSA23).

Such a sum is linear: each octet of a block contributes to it by XOR, whatever the others are. So the sum of a block
is that of the class and six zeros, and a look-up for each of the six octets.
"""

from __future__ import annotations

from enum import Enum

_POLYNOMIAL = 0xA001  # x^16 + x^15 + x^2 + 1 for bits that come least significant first


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


class CrcRule(Enum):
    """Which check sum a token type uses; the value is what is appended to the seven octets."""

    CRC = b""
    CRC_C = b"\x01"

    def __init__(self, appended: bytes) -> None:
        zeros = bytes(6)
        nothing = crc_field(bytes([0]) + zeros + appended)
        self.of_class = tuple(crc_field(bytes([token_class]) + zeros + appended) for token_class in range(4))
        """The sum for each class when all 48 bits are zero."""
        self.contributions = tuple(
            tuple(
                nothing ^ crc_field(bytes([0]) + zeros[:place] + bytes([octet]) + zeros[place + 1 :] + appended)
                for octet in range(256)
            )
            for place in range(6)
        )
        """What each value of each of the six octets changes in it, most significant octet first."""


def token_crc(token_class: int, upper_bits: int, rule: CrcRule) -> int:
    """The CRC of a clear block, given the class and the 48 bits above the CRC."""
    t0, t1, t2, t3, t4, t5 = rule.contributions
    b0, b1, b2, b3, b4, b5 = upper_bits.to_bytes(6, "big")
    return rule.of_class[token_class] ^ t0[b0] ^ t1[b1] ^ t2[b2] ^ t3[b3] ^ t4[b4] ^ t5[b5]
