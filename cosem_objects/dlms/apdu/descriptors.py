"""What a service is asked of: an attribute or a method of an object, all of it or a selected part."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.obis import ObisCode
from cosem_objects.octets import OctetReader

INVOKE_DEFAULT = 0xC1
"""invoke-id-and-priority: id 1 in bits 0..3, bit 6 confirmed, bit 7 high priority."""

Selection: TypeAlias = tuple[int, Data] | None
"""Selective access: (selector, parameters), or nothing. What they mean is the class's affair."""

Result: TypeAlias = Data | int
"""Get-Data-Result: the value, or a data-access-result that says why there is none."""


@dataclass(frozen=True, slots=True)
class AttributeDescriptor:
    class_id: int
    obis: ObisCode
    attribute: int

    def encode(self) -> bytes:
        return _encode_member(self.class_id, self.obis, self.attribute)

    def __str__(self) -> str:
        return f"class {self.class_id} {self.obis} attribute {self.attribute}"


@dataclass(frozen=True, slots=True)
class MethodDescriptor:
    class_id: int
    obis: ObisCode
    method: int

    def encode(self) -> bytes:
        return _encode_member(self.class_id, self.obis, self.method)

    def __str__(self) -> str:
        return f"class {self.class_id} {self.obis} method {self.method}"


_MEMBER = struct.Struct(">H6sb")
"""class_id, instance_id, and the number of an attribute or method."""


def _encode_member(class_id: int, obis: ObisCode, member: int) -> bytes:
    try:
        return _MEMBER.pack(class_id, obis.octets, member)
    except struct.error:
        raise LocalProtocolError(
            f"class {class_id}, member {member}: classes are 0 to 65535, members -128 to 127"
        ) from None


def read_attribute(reader: OctetReader) -> AttributeDescriptor:
    return AttributeDescriptor(*_read_member(reader))


def read_method(reader: OctetReader) -> MethodDescriptor:
    return MethodDescriptor(*_read_member(reader))


def _read_member(reader: OctetReader) -> tuple[int, ObisCode, int]:
    class_id, instance_id, member = reader.unpack(_MEMBER)
    return class_id, ObisCode(instance_id), member


def encode_selection(selection: Selection) -> bytes:
    if selection is None:
        return b"\x00"
    selector, parameters = selection
    return bytes((1, selector)) + axdr.encode(parameters)


def read_selection(reader: OctetReader) -> Selection:
    return (reader.octet(), axdr.read(reader)) if reader.flag() else None


def encode_result(result: Result) -> bytes:
    return b"\x00" + axdr.encode(result) if isinstance(result, Data) else bytes((1, result))


def read_result(reader: OctetReader) -> Result:
    choice = reader.octet()
    if choice > 1:
        raise RemoteProtocolError(f"{reader.what}: result choice {choice}, expected data (0) or an error (1)")
    return reader.octet() if choice else axdr.read(reader)


def read_count(reader: OctetReader) -> int:
    """How many elements a list has. Each takes an octet at least, so the number can be believed that far."""
    count = reader.length()
    if count > reader.remaining:
        raise RemoteProtocolError(f"{reader.what}: {count} elements announced, {reader.remaining} octets are left")
    return count
