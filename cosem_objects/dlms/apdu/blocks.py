"""Pieces of what is too long for one APDU: the data blocks of the services, and general block transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosem_objects.errors import LocalProtocolError
from cosem_objects.octets import OctetReader, with_length


@dataclass(frozen=True, slots=True, repr=False)
class DataBlock:
    """DataBlock-SA: one numbered piece, the first with number 1, of a SET or of an ACTION in either direction."""

    number: int
    octets: bytes
    is_last: bool = False

    def encode(self) -> bytes:
        return bytes((self.is_last,)) + self.number.to_bytes(4, "big") + with_length(self.octets)

    def __repr__(self) -> str:  # the octets may be those of a token or key
        return f"<DataBlock {self.number}, {len(self.octets)} octets{', last' if self.is_last else ''}>"


def read_block(reader: OctetReader) -> DataBlock:
    is_last, number = reader.flag(), reader.unsigned(4)
    return DataBlock(number, reader.string(), is_last)


_LAST = 0x80
_STREAMING = 0x40
WINDOW_MAX = 0x3F
BLOCK_NUMBER_MAX = 0xFFFF


@dataclass(frozen=True, slots=True, repr=False)
class GeneralBlockTransfer:
    """One block of any APDU (ciphered or not), with an acknowledgement of the other side's blocks."""

    TAG: ClassVar[int] = 0xE0
    number: int
    acknowledged: int
    """The last block of the other side that came in order; 0 before the first."""
    octets: bytes
    is_last: bool = False
    is_streaming: bool = False
    """More blocks follow without waiting for an acknowledgement."""
    window: int = 1
    """How many blocks the sender of this one takes in a row; 0 = none at present."""

    def encode(self) -> bytes:
        if not 0 <= self.window <= WINDOW_MAX:
            raise LocalProtocolError(f"a window of {self.window} blocks: 0 to {WINDOW_MAX}")
        control = self.is_last * _LAST | self.is_streaming * _STREAMING | self.window
        numbers = self.number.to_bytes(2, "big") + self.acknowledged.to_bytes(2, "big")
        return bytes((self.TAG, control)) + numbers + with_length(self.octets)

    def __repr__(self) -> str:
        last = ", last" if self.is_last else ""
        return (
            f"<GeneralBlockTransfer {self.number}, acknowledges {self.acknowledged}, {len(self.octets)} octets{last}>"
        )


def read_general_block_transfer(reader: OctetReader) -> GeneralBlockTransfer:
    control, number, acknowledged = reader.octet(), reader.unsigned(2), reader.unsigned(2)
    return GeneralBlockTransfer(
        number,
        acknowledged,
        reader.string(),
        bool(control & _LAST),
        bool(control & _STREAMING),
        control & WINDOW_MAX,
    )
