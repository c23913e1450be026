"""What, beside the vending key, makes a decoder key: whose it is, of which group, tariff, revision, type and date."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cosem_objects.errors import SettingError
from sim_meters.sts.ciphers.algorithms import algorithm_of
from sim_meters.sts.keys.identity import MeterPan
from sim_meters.sts.tid import BaseDate

_DKGA_NOT_OFFERED = {
    1: "DKGA01 is for a fixed list of legacy meters, and no published example of it exists",
    3: "DKGA03 was withdrawn in edition 3 of IEC 62055-41, and no published example of it exists",
}


class KeyType(IntEnum):
    """KT: what a decoder key is for (IEC 62055-41)."""

    INITIALISATION = 0
    DEFAULT = 1
    UNIQUE = 2
    COMMON = 3


@dataclass(frozen=True, slots=True)
class KeyAttributes:
    """The inputs of decoder key generation. Raises ``SettingError`` naming the one that is out of range."""

    pan: MeterPan
    sgc: int
    """Supply group code, six decimal digits."""
    ti: int = 1
    """Tariff index, two decimal digits."""
    krn: int = 1
    """Key revision number, 1 to 9."""
    kt: KeyType = KeyType.UNIQUE
    base_date: BaseDate = BaseDate.BASE_2014
    ea: int = 7
    """Encryption algorithm, a key of ``ALGORITHMS``."""
    dkga: int = 4
    """Decoder key generation algorithm, 2 or 4."""

    def __post_init__(self) -> None:
        _check("sgc", self.sgc, 0, 999_999)
        _check("ti", self.ti, 0, 99)
        _check("krn", self.krn, 1, 9)
        algorithm_of(self.ea)
        if self.dkga not in (2, 4):
            why = _DKGA_NOT_OFFERED.get(self.dkga, f"DKGA{self.dkga:02d} is no key generation algorithm of STS")
            raise SettingError(f"dkga: expected 02 or 04; {why}")
        if self.ea == 11 and self.dkga != 4:
            raise SettingError("dkga: expected 04; keys of 128 bits (EA11) are not made with DKGA02")

    @classmethod
    def parse(
        cls,
        pan: str,
        sgc: str,
        *,
        ti: str = "01",
        krn: str = "1",
        kt: str = "2",
        base_date: str = "2014",
        ea: str = "07",
        dkga: str = "04",
    ) -> KeyAttributes:
        """Read every attribute from its digits, as options and files give them. Raises ``SettingError``."""
        if len(sgc) != 6:  # a leading zero lost on the way would name another supply group
            raise SettingError(f"sgc: expected six digits; got {sgc!r}")
        return cls(
            pan=MeterPan.parse(pan),
            sgc=parse_digits("sgc", sgc),
            ti=parse_digits("ti", ti),
            krn=parse_digits("krn", krn),
            kt=parse_key_type(kt),
            base_date=BaseDate.parse(base_date),
            ea=parse_digits("ea", ea),
            dkga=parse_digits("dkga", dkga),
        )


def parse_key_type(text: str) -> KeyType:
    """Read one digit, 0 to 3. Raises ``SettingError``."""
    return KeyType(_check("kt", parse_digits("kt", text), 0, 3))


def parse_digits(name: str, text: str) -> int:
    """Read a whole number from plain digits. Raises ``SettingError`` with the name."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise SettingError(f"{name}: expected decimal digits; got {text!r}")
    return int(text)


def _check(name: str, number: int, low: int, high: int) -> int:
    if not low <= number <= high:
        raise SettingError(f"{name}: expected {low} to {high}; got {number}")
    return number
