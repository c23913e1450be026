"""From values to octets."""

from __future__ import annotations

import struct
from collections.abc import Callable

from cosem_objects.axdr.values import FIXED, CompactArray, Data, DataType, TypeDescription
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.octets import encode_length, with_length


def encode(data: Data) -> bytes:
    """Tag and contents. Raises ``LocalProtocolError`` when the value does not fit its type."""
    return _TAGS[data.type] + encode_contents(data)


def encode_contents(data: Data) -> bytes:
    """Contents without the tag, as inside a compact-array."""
    try:
        return _ENCODERS[data.type](data)
    except (struct.error, TypeError, AttributeError, ValueError, OverflowError, RemoteProtocolError):
        # Without the cause, which would repeat the value: it may be a secret.
        kind = type(data.value).__name__
        raise LocalProtocolError(f"this {kind} is not a value of {data.type.standard_name}") from None


def _encode_fixed(data: Data) -> bytes:
    layout = FIXED[data.type]
    if isinstance(data.value, bytes) and len(data.value) != layout.size:
        raise ValueError("wrong number of octets")
    return layout.pack(data.value)


def _encode_bits(data: Data) -> bytes:
    bits = data.bits
    if not bits:
        return b"\x00"
    if set(bits) - {"0", "1"}:
        raise ValueError("only 0 and 1")
    octets = int(bits, 2) << (-len(bits) % 8)
    return encode_length(len(bits)) + octets.to_bytes((len(bits) + 7) // 8, "big")


def _encode_text(data: Data) -> bytes:
    encoding = "latin-1" if data.type is DataType.VISIBLE_STRING else "utf-8"
    return with_length(data.text.encode(encoding))


def _encode_elements(data: Data) -> bytes:
    return encode_length(len(data.elements)) + b"".join(map(encode, data.elements))


def _encode_compact_array(data: Data) -> bytes:
    if not isinstance(data.value, CompactArray):
        raise TypeError("a CompactArray")
    contents = b"".join(_encode_described(element, data.value.description) for element in data.value.elements)
    return _encode_description(data.value.description) + with_length(contents)


def _encode_described(data: Data, description: TypeDescription) -> bytes:
    if data.type is not description.type:
        raise ValueError("an element is not of the described type")
    if description.type is DataType.STRUCTURE:
        inside = zip(data.elements, description.elements, strict=True)
    elif description.type is DataType.ARRAY:
        if len(data.elements) != description.count:
            raise ValueError("an array is not of the described length")
        inside = zip(data.elements, description.elements * description.count, strict=True)
    else:
        return encode_contents(data)
    return b"".join(_encode_described(element, what) for element, what in inside)


def _encode_description(description: TypeDescription) -> bytes:
    inside = b"".join(map(_encode_description, description.elements))
    if description.type is DataType.STRUCTURE:
        return bytes((description.type,)) + encode_length(len(description.elements)) + inside
    if description.type is DataType.ARRAY:
        return bytes((description.type,)) + description.count.to_bytes(2, "big") + inside
    return bytes((description.type,))


def _encode_nothing(data: Data) -> bytes:
    if data.value is not None:
        raise ValueError("no value")
    return b""


_TAGS = {data_type: bytes((data_type,)) for data_type in DataType}
_ENCODERS: dict[DataType, Callable[[Data], bytes]] = {
    **dict.fromkeys(FIXED, _encode_fixed),
    DataType.NULL_DATA: _encode_nothing,
    DataType.DONT_CARE: _encode_nothing,
    DataType.ARRAY: _encode_elements,
    DataType.STRUCTURE: _encode_elements,
    DataType.BIT_STRING: _encode_bits,
    DataType.OCTET_STRING: lambda data: with_length(data.octets),
    DataType.VISIBLE_STRING: _encode_text,
    DataType.UTF8_STRING: _encode_text,
    DataType.COMPACT_ARRAY: _encode_compact_array,
}
