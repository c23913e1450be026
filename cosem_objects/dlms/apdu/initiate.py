"""The xDLMS part of AARQ and AARE: what both sides offer each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar

from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader, with_length

DLMS_VERSION = 6
"""The only one there is."""


class Conformance(IntFlag):
    """The services that a side offers. Bit 0 of the standard is the first of 24 on the wire."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    ATTRIBUTE0_SUPPORTED_WITH_SET = 1 << 15
    PRIORITY_MGMT_SUPPORTED = 1 << 14
    ATTRIBUTE0_SUPPORTED_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0


@dataclass(frozen=True, slots=True, repr=False)
class InitiateRequest:
    """The xDLMS part of an AARQ."""

    TAG: ClassVar[int] = 0x01
    conformance: Conformance
    pdu_size_max: int
    """The largest APDU that the client can receive; 0 = no limit."""
    dedicated_key: bytes | None = None
    response_allowed: bool = True
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION

    def encode(self) -> bytes:
        key = b"\x00" if self.dedicated_key is None else b"\x01" + with_length(self.dedicated_key)
        allowed = b"\x00" if self.response_allowed else b"\x01\x00"
        quality = b"\x00" if self.quality_of_service is None else bytes((1, self.quality_of_service))
        head = bytes((self.TAG,)) + key + allowed + quality + bytes((self.dlms_version,))
        return head + encode_conformance(self.conformance) + self.pdu_size_max.to_bytes(2, "big")

    def __repr__(self) -> str:  # the dedicated key is a secret
        key = "" if self.dedicated_key is None else ", with dedicated key"
        return f"<InitiateRequest {self.conformance!r}, PDU {self.pdu_size_max}{key}>"


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """The xDLMS part of an AARE."""

    TAG: ClassVar[int] = 0x08
    conformance: Conformance
    pdu_size_max: int
    """The largest APDU that the server can receive; 0 = no limit."""
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION
    vaa_name: int = 7
    """7 = logical name referencing."""

    def encode(self) -> bytes:
        quality = b"\x00" if self.quality_of_service is None else bytes((1, self.quality_of_service))
        head = bytes((self.TAG,)) + quality + bytes((self.dlms_version,)) + encode_conformance(self.conformance)
        return head + self.pdu_size_max.to_bytes(2, "big") + self.vaa_name.to_bytes(2, "big")


def encode_conformance(conformance: Conformance) -> bytes:
    """Tag APPLICATION 31, length, no unused bits, 24 bits."""
    return b"\x5f\x1f\x04\x00" + conformance.to_bytes(3, "big")


def read_conformance(reader: OctetReader) -> Conformance:
    if reader.octet() != 0x5F:
        raise RemoteProtocolError(f"{reader.what}: no conformance block at offset {reader.position - 1}")
    if reader.peek() == 0x1F:  # older stacks leave the second tag octet out
        reader.octet()
    if reader.take(2) != b"\x04\x00":
        raise RemoteProtocolError(f"{reader.what}: a conformance block has 24 bits")
    return Conformance(reader.unsigned(3))


def read_initiate_request(reader: OctetReader) -> InitiateRequest:
    key = reader.string() if reader.flag() else None
    allowed = not reader.flag() or reader.flag()  # DEFAULT TRUE: a presence octet, then the value
    quality = reader.octet() if reader.flag() else None
    version, conformance = reader.octet(), read_conformance(reader)
    return InitiateRequest(conformance, reader.unsigned(2), key, allowed, quality, version)


def read_initiate_response(reader: OctetReader) -> InitiateResponse:
    quality = reader.octet() if reader.flag() else None
    version, conformance = reader.octet(), read_conformance(reader)
    return InitiateResponse(conformance, reader.unsigned(2), quality, version, reader.unsigned(2))
