"""Vending keys, decoder keys, and how the first make the second (IEC 62055-41, DKGA02 and DKGA04).

Keys never appear in a ``repr``, a log or an error: those who must show one ask for ``octets``.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from cosem_objects.errors import SettingError
from sim_meters.sts.ciphers.algorithms import BlockCipher, algorithm_of
from sim_meters.sts.keys.key_attributes import KeyAttributes, KeyType

_VENDING_KEY_BYTES = {2: 8, 4: 20}
_CIPHERS_MAX = 256
_HMACS_MAX = 16


@dataclass(frozen=True, slots=True)
class VendingKey:
    """A supply group's secret: 8 bytes for DKGA02 (set to odd parity), 20 bytes for DKGA04."""

    octets: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.octets) not in _VENDING_KEY_BYTES.values():
            raise SettingError(f"vending key: expected 8 bytes (DKGA02) or 20 (DKGA04); got {len(self.octets)}")
        if len(self.octets) == 8:
            # DES ignores the parity bits, the XOR in DKGA02 does not. guess: a key is meant with odd parity, as all
            # published ones are; a token made under a key of wrong parity would settle it.
            object.__setattr__(self, "octets", bytes(_odd_parity(octet) for octet in self.octets))

    @classmethod
    def parse(cls, text: str, dkga: int) -> VendingKey:
        """Read hex digits of the length this DKGA needs. Raises ``SettingError``, which never shows the key."""
        return cls(_parse_hex("vending key", text, _VENDING_KEY_BYTES[dkga], f"DKGA{dkga:02d}"))


@dataclass(frozen=True, slots=True)
class DecoderKey:
    """The key in one meter, for one encryption algorithm."""

    octets: bytes = field(repr=False)
    ea: int = 7

    def __post_init__(self) -> None:
        expected = algorithm_of(self.ea).key_bytes
        if len(self.octets) != expected:
            raise SettingError(f"decoder key: expected {expected} bytes (EA{self.ea:02d}); got {len(self.octets)}")

    @classmethod
    def parse(cls, text: str, ea: int = 7) -> DecoderKey:
        """Read hex digits of the length this EA needs. Raises ``SettingError``, which never shows the key."""
        return cls(_parse_hex("decoder key", text, algorithm_of(ea).key_bytes, f"EA{ea:02d}"), ea)

    @property
    def digest(self) -> bytes:
        """What stands for the key where only equality counts."""
        return hashlib.sha256(self.octets).digest()[:8]

    @property
    def cipher(self) -> BlockCipher:
        """The algorithm under this key, made ready. That of the keys used last is kept, and not that of each key: it
        is larger than all the rest of a simulated meter."""
        return _cipher_of(self.octets, self.ea)


@lru_cache(maxsize=_CIPHERS_MAX)
def _cipher_of(key: bytes, ea: int) -> BlockCipher:
    return algorithm_of(ea).cipher(int.from_bytes(key, "big"))


def derive_decoder_key(vending_key: VendingKey, attributes: KeyAttributes) -> DecoderKey:
    """Generate a meter's key. Raises ``SettingError`` when the attributes do not allow it."""
    dkga = attributes.dkga
    if len(vending_key.octets) != _VENDING_KEY_BYTES[dkga]:
        raise SettingError(
            f"vending key: expected {_VENDING_KEY_BYTES[dkga]} bytes (DKGA{dkga:02d}); got {len(vending_key.octets)}"
        )
    if attributes.kt is KeyType.INITIALISATION:
        raise SettingError("kt: an initialisation key (KT 0) is the manufacturer's own, no vending key makes it")
    octets = _dkga02(vending_key, attributes) if dkga == 2 else _dkga04(vending_key, attributes)
    return DecoderKey(octets, attributes.ea)


def _dkga02(vending_key: VendingKey, attributes: KeyAttributes) -> bytes:
    """Single DES of PANBlock XOR CONTROLBlock, XOR what went in, XOR the vending key."""
    control = bytes.fromhex(f"{attributes.kt:d}{attributes.sgc:06d}{attributes.ti:02d}{attributes.krn:d}FFFFFF")
    # A common key is the same for all meters: the DRN counts as zeros (edition 3: and the IIN as 600727, always).
    common = attributes.kt is KeyType.COMMON
    pan_block = bytes.fromhex("0072700000000000") if common else attributes.pan.block
    data = _xor(pan_block, control)
    # Triple DES with three equal keys is single DES; ECB of one block is the bare cipher that STS asks for.
    des = Cipher(TripleDES(vending_key.octets * 3), modes.ECB()).encryptor()  # noqa: S305
    return _xor(_xor(des.update(data) + des.finalize(), data), vending_key.octets)


def _dkga04(vending_key: VendingKey, attributes: KeyAttributes) -> bytes:
    if attributes.kt is KeyType.COMMON:
        raise SettingError("kt: a common key (KT 3) is offered with DKGA02 only; no published example with DKGA04")
    before, after = dkga04_message(attributes)
    message = before + attributes.pan.digits.encode("ascii") + after
    return HmacSha256.under(vending_key).digest(message)[: algorithm_of(attributes.ea).key_bytes]


def dkga04_message(attributes: KeyAttributes) -> tuple[bytes, bytes]:
    """Label and context in the manner of NIST SP 800-108, as it stands before and after the meter's PAN.

    Each field has its length before it, label and context the number of their fields; last comes the length in bits.
    """
    ea, key_bits = attributes.ea, 8 * algorithm_of(attributes.ea).key_bytes
    label = b"\4\x0204\2%02d\2%02d\2%02d" % (attributes.base_date % 100, ea, attributes.ti)
    context = b"\4\6%06d\1%d\1%d\x12" % (attributes.sgc, attributes.kt, attributes.krn)
    return label + b"\0" + context, key_bits.to_bytes(4, "big")


class HmacSha256:
    """HMAC (RFC 2104) with SHA-256 under one key: what hashing the key does is done once, for all messages."""

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in padded))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in padded))

    @classmethod
    def under(cls, vending_key: VendingKey) -> HmacSha256:
        """Of the vending keys used last it is kept."""
        return _hmac_of(vending_key.octets)

    def digest(self, message: bytes) -> bytes:
        """All 32 octets."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


_hmac_of = lru_cache(maxsize=_HMACS_MAX)(HmacSha256)


def _odd_parity(octet: int) -> int:
    return (octet & 0xFE) | ((octet >> 1).bit_count() + 1) & 1


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _parse_hex(name: str, text: str, expected: int, reason: str) -> bytes:
    digits = "".join(text.split())
    wanted = f"{name}: expected {2 * expected} hex digits ({expected} bytes, {reason})"
    if not set(digits) <= set(string.hexdigits):
        raise SettingError(f"{wanted}; other characters were given")
    if len(digits) != 2 * expected:
        raise SettingError(f"{wanted}; got {len(digits)}")
    return bytes.fromhex(digits)
