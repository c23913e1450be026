"""HDLC frames: addresses, check sums, layout (IEC 62056-46; DLMS UA Green Book).

    7E | format 2 | destination | source | control 1 | HCS 2 | information | FCS 2 | 7E

Without information there is no HCS. How frames are found in a stream of bytes: ``hdlc_receiver.py``. Pure.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

from transports.channel import ChannelGarbled

FLAG = 0x7E

FRAME_TYPE = 0xA000  # bits 15..12 of the format field: frame format type 3
SEGMENTED = 0x0800
LENGTH_MASK = 0x07FF
LENGTH_MIN = 7  # format 2, two addresses of 1 byte, control 1, FCS 2

CLIENT_SAP_MAX = 0x7F
POLL = 0x10

# Both sums are CRC-16/X-25. The standard library's crc_hqx is the same polynomial 0x1021, but takes the bits of a
# byte in the other order; turning the bytes over before and after costs a tenth of a table loop in Python.
_BITS_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


SUM_BEGIN = 0xFFFF
SUM_GOOD = 0x1D0F
"""What the running sum has come to behind a right HCS or FCS, whatever stood before it (ISO/IEC 13239: residue)."""


def running_sum(data: bytes | bytearray, before: int = SUM_BEGIN) -> int:
    """Of bytes behind others whose running sum is known."""
    return crc_hqx(data.translate(_BITS_TURNED), before)


def check_sum(data: bytes | bytearray) -> bytes:
    """HCS or FCS as it stands on the wire, low byte first."""
    return (running_sum(data) ^ 0xFFFF).to_bytes(2, "big").translate(_BITS_TURNED)


@dataclass(frozen=True, slots=True)
class HdlcAddress:
    """A station: the client's SAP, or a server's logical and physical address.

    Each byte carries seven bits; bit 0 marks the last one. Two spellings of one station, ``03`` and ``0201``, are
    equal: ``size`` does not count, and the physical address 0, "no station", is ``None``.
    """

    logical: int
    physical: int | None = None
    size: int = field(default=1, compare=False)

    @classmethod
    def client(cls, sap: int) -> HdlcAddress:
        """Raises ``ValueError``: a client's address is always one byte."""
        if not 0 <= sap <= CLIENT_SAP_MAX:
            raise ValueError(f"the client SAP on HDLC is 0 to {CLIENT_SAP_MAX}, not {sap}")
        return cls(sap)

    @classmethod
    def server(cls, sap: int, physical: int | None, address_bytes: int | None = None) -> HdlcAddress:
        """The shortest form that fits, or the one asked for. Raises ``ValueError`` if it does not fit."""
        if address_bytes is None:
            longer = 2 if max(sap, physical or 0) <= 0x7F else 4
            address_bytes = 1 if physical is None and sap <= 0x7F else longer
        if address_bytes not in {1, 2, 4}:
            raise ValueError(f"a server address on HDLC has 1, 2 or 4 bytes, not {address_bytes}")
        if address_bytes == 1 and physical is not None:
            raise ValueError("a server address of 1 byte has no physical part: use 2 or 4 bytes")
        limit = 0x3FFF if address_bytes == 4 else 0x7F
        for name, value in (("server SAP", sap), ("physical address", physical or 0)):
            if not 0 <= value <= limit:
                raise ValueError(f"the {name} in {address_bytes} bytes is 0 to {limit}, not {value}")
        return cls(sap, physical or None, address_bytes)

    @classmethod
    def decode(cls, wire: bytes) -> HdlcAddress:
        """Raises ``ChannelGarbled``. Only the last byte may have bit 0 set; three bytes are no address."""
        if len(wire) not in {1, 2, 4} or not wire[-1] & 1 or any(byte & 1 for byte in wire[:-1]):
            raise ChannelGarbled(f"no HDLC address: {wire[:8].hex()}")
        parts = [byte >> 1 for byte in wire]
        if len(wire) == 1:
            return cls(parts[0])
        if len(wire) == 2:
            return cls(parts[0], parts[1] or None, 2)
        return cls(parts[0] << 7 | parts[1], (parts[2] << 7 | parts[3]) or None, 4)

    def encode(self) -> bytes:
        logical, physical = self.logical, self.physical or 0
        if self.size == 1:
            return bytes((logical << 1 | 1,))
        if self.size == 2:
            return bytes((logical << 1, physical << 1 | 1))
        return bytes(
            (logical >> 7 << 1, (logical & 0x7F) << 1, physical >> 7 << 1, (physical & 0x7F) << 1 | 1),
        )

    @property
    def is_everybody(self) -> bool:
        """All stations: a frame that nobody may answer, or all would speak at once."""
        everybody = 0x3FFF if self.size == 4 else 0x7F
        return everybody in (self.logical, self.physical)


Pair: TypeAlias = tuple[int, int | None, int, int | None]


def pair(one: HdlcAddress, other: HdlcAddress) -> Pair:
    """Two stations, as a key that is quicker to look up than the addresses themselves."""
    return one.logical, one.physical, other.logical, other.physical


# The same few addresses come with every frame; frozen values can be shared.
decode_address = lru_cache(maxsize=4096)(HdlcAddress.decode)
_encode_address = lru_cache(maxsize=4096)(lambda logical, physical, size: HdlcAddress(logical, physical, size).encode())


class Kind(Enum):
    """What the control byte says, without P/F bit and numbers."""

    __hash__ = object.__hash__  # each is there once; Enum's own hash is a call into Python for every frame

    INFORMATION = "I"
    RR = "RR"
    RNR = "RNR"
    REJ = "REJ"
    SNRM = "SNRM"
    UA = "UA"
    DISC = "DISC"
    DM = "DM"
    FRMR = "FRMR"
    UI = "UI"
    UNKNOWN = "?"


SNRM, UA, DISC, DM, FRMR = 0x93, 0x73, 0x53, 0x1F, 0x97  # as they are sent, with the P/F bit

UI = 0x03  # without it: whoever sends one unasked neither polls nor ends a turn

_SUPERVISORY = {0x01: Kind.RR, 0x05: Kind.RNR, 0x09: Kind.REJ}
_UNNUMBERED = {0x83: Kind.SNRM, 0x63: Kind.UA, 0x43: Kind.DISC, 0x0F: Kind.DM, 0x87: Kind.FRMR, 0x03: Kind.UI}


def information_control(send_number: int, receive_number: int, *, final: bool = True) -> int:
    """I. ``final``: with the P/F bit, as the last frame of a run has it."""
    return receive_number << 5 | (POLL if final else 0) | send_number << 1


def ready_control(receive_number: int, *, ready: bool = True) -> int:
    """RR or, not ready, RNR; always with the P/F bit."""
    return receive_number << 5 | POLL | (0x01 if ready else 0x05)


def _kind_of(control: int) -> Kind:
    if not control & 1:
        return Kind.INFORMATION
    if not control & 2:
        return _SUPERVISORY.get(control & 0x0F, Kind.UNKNOWN)
    return _UNNUMBERED.get(control & ~POLL, Kind.UNKNOWN)


_KINDS = tuple(map(_kind_of, range(256)))


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, check sums aside."""

    destination: HdlcAddress
    source: HdlcAddress
    control: int
    information: bytes = field(default=b"", repr=False)
    segmented: bool = False
    """More segments of the same APDU follow."""

    @property
    def kind(self) -> Kind:
        return _KINDS[self.control]

    @property
    def final(self) -> bool:
        """The P/F bit: the client's poll, the server's last word of a turn."""
        return self.control & POLL != 0

    @property
    def send_number(self) -> int:
        """N(S) of an I frame."""
        return self.control >> 1 & 7

    @property
    def receive_number(self) -> int:
        """N(R) of an I, RR, RNR or REJ frame: the number that its sender expects next."""
        return self.control >> 5

    def encode(self) -> bytes:
        """The frame with both flags. Raises ``ValueError`` if it is longer than the format field can say."""
        destination = _encode_address(self.destination.logical, self.destination.physical, self.destination.size)
        source = _encode_address(self.source.logical, self.source.physical, self.source.size)
        information = self.information
        length = 5 + len(destination) + len(source) + (len(information) + 2 if information else 0)
        if length > LENGTH_MASK:
            raise ValueError(f"an HDLC frame has at most {LENGTH_MASK} bytes, not {length}")
        layout = FRAME_TYPE | length | (SEGMENTED if self.segmented else 0)
        body = b"%b%b%b%c" % (layout.to_bytes(2, "big"), destination, source, self.control)
        if information:
            body += check_sum(body) + information
        return b"\x7e%b%b\x7e" % (body, check_sum(body))
