"""The prefix by which one device forwards APDUs for others: a meter behind a concentrator.

    E6 | network id | length | physical device address | APDU        towards the meter
    E7 | network id | length | physical device address | APDU        back

The address is that of the meter in both directions; the APDU inside is what the meter itself would get or give,
ciphered or not. (DLMS UA Green Book, gateway protocol; that the address of a response is the meter's is how known
stacks do it.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosem_objects.errors import SettingError
from cosem_objects.octets import OctetReader, with_length

_ADDRESS_SIZE_MAX = 64  # guess: serial numbers as text are the longest in use


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """Which device, in which network of the one that forwards. Written ``0:0102``: network id, address in hex."""

    network_id: int
    physical: bytes

    @classmethod
    def parse(cls, text: str) -> NetworkAddress:
        """Raises ``SettingError``."""
        network, colon, address = text.partition(":")
        try:
            physical = bytes.fromhex(address)
        except ValueError:
            physical = b""
        is_network = network.isascii() and network.isdigit() and len(network) <= 3 and int(network) <= 0xFF
        if not colon or not is_network or not 1 <= len(physical) <= _ADDRESS_SIZE_MAX:
            raise SettingError(
                f"behind {text[:40]!r}: expected NETWORK:ADDRESS, a number up to 255 and 1 to 64 octets in hex, "
                "such as 0:0102"
            )
        return cls(int(network), physical)

    def plus(self, count: int) -> NetworkAddress:
        """The ``count``-th address after this one. Raises ``SettingError`` if there are no more of this length."""
        number = int.from_bytes(self.physical, "big") + count
        try:
            return NetworkAddress(self.network_id, number.to_bytes(len(self.physical), "big"))
        except OverflowError:
            raise SettingError(f"behind: there is no {count}-th address after {self}") from None

    def __str__(self) -> str:
        return f"{self.network_id}:{self.physical.hex().upper()}"


@dataclass(frozen=True, slots=True, repr=False)
class PrefixedRequest:
    """An APDU for a device behind the one that gets it."""

    TAG: ClassVar[int] = 0xE6
    network_id: int
    physical_address: bytes
    apdu: bytes

    @property
    def address(self) -> NetworkAddress:
        return NetworkAddress(self.network_id, self.physical_address)

    def encode(self) -> bytes:
        return bytes((self.TAG, self.network_id)) + with_length(self.physical_address) + self.apdu

    def __repr__(self) -> str:  # the APDU may hold secrets
        return f"<PrefixedRequest to {self.address}, {len(self.apdu)} octets>"


@dataclass(frozen=True, slots=True, repr=False)
class PrefixedResponse:
    """An APDU of a device behind the one that gives it."""

    TAG: ClassVar[int] = 0xE7
    network_id: int
    physical_address: bytes
    apdu: bytes

    @property
    def address(self) -> NetworkAddress:
        return NetworkAddress(self.network_id, self.physical_address)

    def encode(self) -> bytes:
        return bytes((self.TAG, self.network_id)) + with_length(self.physical_address) + self.apdu

    def __repr__(self) -> str:
        return f"<PrefixedResponse from {self.address}, {len(self.apdu)} octets>"


def read_prefixed_request(reader: OctetReader) -> PrefixedRequest:
    return PrefixedRequest(reader.octet(), reader.string(), reader.rest())


def read_prefixed_response(reader: OctetReader) -> PrefixedResponse:
    return PrefixedResponse(reader.octet(), reader.string(), reader.rest())
