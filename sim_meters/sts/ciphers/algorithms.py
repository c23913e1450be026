"""The table of encryption algorithms: one row per EA code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cosem_objects.errors import SettingError
from sim_meters.sts.ciphers.misty1 import Misty1
from sim_meters.sts.ciphers.sta import Sta


class BlockCipher(Protocol):
    """A 64-bit block cipher under one key."""

    def encrypt(self, block: int) -> int:
        """The encrypted block."""

    def decrypt(self, block: int) -> int:
        """The clear block."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One encryption algorithm; ``cipher`` takes the decoder key as a big-endian number."""

    ea: int
    name: str
    key_bytes: int
    cipher: Callable[[int], BlockCipher]


ALGORITHMS = {
    7: Algorithm(7, "STA", key_bytes=8, cipher=Sta),
    11: Algorithm(11, "MISTY1", key_bytes=16, cipher=Misty1),
}

NOT_OFFERED = {
    9: "EA09 (DEA) was withdrawn in edition 3 of IEC 62055-41, and no published token under it exists",
}


def algorithm_of(ea: int) -> Algorithm:
    """The row of an EA code. Raises ``SettingError`` saying why a known code is not offered."""
    if ea in ALGORITHMS:
        return ALGORITHMS[ea]
    raise SettingError(f"ea: expected 07 or 11; {NOT_OFFERED.get(ea, f'EA{ea:02d} is no encryption algorithm of STS')}")
