"""What a meter says unasked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosem_objects import axdr
from cosem_objects.axdr import Data, DataType
from cosem_objects.clock import DATE_TIME_SIZE
from cosem_objects.dlms.apdu.descriptors import AttributeDescriptor, read_attribute
from cosem_objects.octets import OctetReader, with_length


@dataclass(frozen=True, slots=True)
class DataNotification:
    """Values that a push setup names. ``date_time`` is 12 octets or empty."""

    TAG: ClassVar[int] = 0x0F
    long_invoke: int
    date_time: bytes
    body: Data

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + self.long_invoke.to_bytes(4, "big")
        return head + with_length(self.date_time) + axdr.encode(self.body)


@dataclass(frozen=True, slots=True)
class EventNotification:
    """One attribute and its value, because something happened."""

    TAG: ClassVar[int] = 0xC2
    attribute: AttributeDescriptor
    value: Data
    time: bytes | None = None

    def encode(self) -> bytes:
        time = b"\x00" if self.time is None else b"\x01" + with_length(self.time)
        return bytes((self.TAG,)) + time + self.attribute.encode() + axdr.encode(self.value)


def read_data_notification(reader: OctetReader) -> DataNotification:
    return DataNotification(reader.unsigned(4), read_date_time(reader), axdr.read(reader))


def read_date_time(reader: OctetReader) -> bytes:
    """An octet-string of 0 or 12 octets. Some meters write it as COSEM data, with the tag 09 before the length."""
    size = reader.length()
    if size == DataType.OCTET_STRING and reader.peek() in (0, DATE_TIME_SIZE):
        size = reader.length()
    return reader.take(size)


def read_event_notification(reader: OctetReader) -> EventNotification:
    time = reader.string() if reader.flag() else None
    return EventNotification(read_attribute(reader), axdr.read(reader), time)
