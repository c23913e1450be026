"""Key check values: two people can compare their keys by them without showing a key.

guess: the two rules are from one source and have no published example; a vending system that shows check values of
known keys would settle it.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

RULES_OF_ONE_SOURCE = "rule from one source, unproven"

_DES_KEY_BYTES = 8
_CHECK_BYTES = 3


def key_check_value(key: bytes) -> str:
    """Six hex digits. For 8 bytes: of eight zero bytes encrypted by DES; for 16 and 20: of SHA-256(01 || key)."""
    if len(key) != _DES_KEY_BYTES:
        return hashlib.sha256(b"\x01" + key).digest()[:_CHECK_BYTES].hex()
    # Triple DES with three equal keys is single DES, and ECB of one block is the bare cipher.
    des = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305
    return des.update(bytes(_DES_KEY_BYTES))[:_CHECK_BYTES].hex()
