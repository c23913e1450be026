"""Vending keys, decoder keys, and how the first make the second (IEC 62055-41, DKGA02 and DKGA04).

Keys never appear in a ``repr``, a log or an error: those who must show one ask for ``octets``.
"""

from __future__ import annotations

import hashlib
import hmac
import string
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from cosem_objects.errors import SettingError
from sim_meters.sts.algorithms import BlockCipher, algorithm_of
from sim_meters.sts.key_attributes import KeyAttributes, KeyType

_VENDING_KEY_BYTES = {2: 8, 4: 20}
_CIPHERS_MAX = 256


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
    """The first octets of HMAC-SHA-256 over label and context, in the manner of NIST SP 800-108."""
    if attributes.kt is KeyType.COMMON:
        raise SettingError("kt: a common key (KT 3) is offered with DKGA02 only; no published example with DKGA04")
    key_bytes = algorithm_of(attributes.ea).key_bytes
    label = ("04", attributes.base_date.code, f"{attributes.ea:02d}", f"{attributes.ti:02d}")
    context = (f"{attributes.sgc:06d}", f"{attributes.kt:d}", f"{attributes.krn:d}", attributes.pan.digits)
    message = _counted(label) + b"\x00" + _counted(context) + (8 * key_bytes).to_bytes(4, "big")
    return hmac.digest(vending_key.octets, message, hashlib.sha256)[:key_bytes]


def _counted(fields: tuple[str, ...]) -> bytes:
    """The number of fields, then each with its length before it."""
    return bytes([len(fields)]) + b"".join(bytes([len(text)]) + text.encode("ascii") for text in fields)


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
