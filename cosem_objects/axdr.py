"""COSEM data and its bytes: the A-XDR coding of the ``Data`` type (IEC 62056-6-2 clause 4.1.5, IEC 61334-6).

How to think about it: a value on the wire is a tag and its contents. ``Data`` keeps both, because the tag matters
when a value is written (a meter refuses an integer where it wants an unsigned). The Python value under each tag:

=============================  ==========================================================
array, structure               tuple of Data
compact-array                  CompactArray (type description and tuple of Data)
boolean                        bool
bit-string                     str of '0' and '1', first character = first bit on the wire
octet-string                   bytes
visible-string, utf8-string    str
all integers, bcd, enum        int
float32, float64               float
date-time, date, time          bytes (12, 5, 4), see ``clock.py``
null-data, don't-care          None
=============================  ==========================================================
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import repeat
from typing import TypeAlias

from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.octets import OctetReader, encode_length, with_length

DEPTH_MAX = 16
"""Nesting that is believed. guess: real objects stay below 6; settled by the first meter that nests deeper."""
EMPTY_RATIO_MAX = 4
"""Values without octets that a compact-array may stand for, per octet: a few octets must not fill the memory."""


class DataType(IntEnum):
    """Tags of the ``Data`` CHOICE."""

    NULL_DATA = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DELTA_INTEGER = 28
    DELTA_LONG = 29
    DELTA_DOUBLE_LONG = 30
    DELTA_UNSIGNED = 31
    DELTA_LONG_UNSIGNED = 32
    DELTA_DOUBLE_LONG_UNSIGNED = 33
    DONT_CARE = 255

    @property
    def standard_name(self) -> str:
        return "don't-care" if self is DataType.DONT_CARE else self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """What the elements of a compact-array are: a tag, and for structures and arrays what is inside."""

    type: DataType
    elements: tuple[TypeDescription, ...] = ()
    count: int = 0
    """Number of elements of an array (whose ``elements`` hold one description)."""

    @property
    def size_min(self) -> int:
        """Octets that one value takes at least; 0 would let a few octets stand for any number of values."""
        if self.type is DataType.STRUCTURE:
            return sum(element.size_min for element in self.elements)
        if self.type is DataType.ARRAY:
            return self.count * self.elements[0].size_min
        if self.type in _FIXED:
            return _FIXED[self.type].size
        return 0 if self.type in _EMPTY else 1

    @property
    def empty_count(self) -> int:
        """Values inside one value that take no octets, and so could be announced in any number."""
        if self.type is DataType.ARRAY:
            inside = self.count * self.elements[0].empty_count
        else:
            inside = sum(element.empty_count for element in self.elements)
        return inside + (self.size_min == 0)


@dataclass(frozen=True, slots=True)
class CompactArray:
    """An array whose elements share one type description, written once."""

    description: TypeDescription
    elements: tuple[Data, ...]


Value: TypeAlias = "bool | int | float | str | bytes | tuple[Data, ...] | CompactArray | None"


@dataclass(frozen=True, slots=True, repr=False)
class Data:
    """One COSEM value with its tag."""

    type: DataType
    value: Value

    def __repr__(self) -> str:
        return f"<{self.type.standard_name} {_shown(self)}>"

    # The typed readers: what a decoder of an attribute expects, or a clear error about what came instead.

    @property
    def integer(self) -> int:
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self.value
        raise self._unexpected("a whole number")

    @property
    def octets(self) -> bytes:
        if isinstance(self.value, bytes):
            return self.value
        raise self._unexpected("an octet-string")

    @property
    def bits(self) -> str:
        if self.type is DataType.BIT_STRING and isinstance(self.value, str):
            return self.value
        raise self._unexpected("a bit-string")

    @property
    def boolean(self) -> bool:
        if isinstance(self.value, bool):
            return self.value
        raise self._unexpected("a boolean")

    @property
    def text(self) -> str:
        """Text, however the meter typed it: visible-, utf8- or octet-string."""
        if self.type in (DataType.VISIBLE_STRING, DataType.UTF8_STRING) and isinstance(self.value, str):
            return self.value
        if self.type is DataType.OCTET_STRING and isinstance(self.value, bytes):
            return self.value.decode("ascii", "replace")
        raise self._unexpected("text")

    @property
    def elements(self) -> tuple[Data, ...]:
        if isinstance(self.value, tuple):
            return self.value
        if isinstance(self.value, CompactArray):
            return self.value.elements
        raise self._unexpected("an array or structure")

    def structure(self, size: int) -> tuple[Data, ...]:
        """The elements of a structure of at least ``size``; further ones are ignored, as newer versions add them."""
        elements = self.elements
        if len(elements) < size:
            raise RemoteProtocolError(f"a structure of {size} was expected, one of {len(elements)} received")
        return elements[:size]

    def _unexpected(self, expected: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"{expected} was expected, {self.type.standard_name} received")


def _shown(data: Data) -> str:
    """Strings by their length only: a token, key or password may stand in any of them."""
    value = data.value
    if isinstance(value, bytes):
        return f"of {len(value)} octets"
    if isinstance(value, str) and (data.type is not DataType.BIT_STRING or value.strip("01")):
        return f"of {len(value)} characters"
    if isinstance(value, CompactArray):
        value = value.elements
    return repr(value)


# The constructors: one for each type that our objects write.

NULL = Data(DataType.NULL_DATA, None)


def array(*elements: Data) -> Data:
    return Data(DataType.ARRAY, elements)


def structure(*elements: Data) -> Data:
    return Data(DataType.STRUCTURE, elements)


def boolean(value: bool) -> Data:
    return Data(DataType.BOOLEAN, value)


def bit_string(bits: str) -> Data:
    return Data(DataType.BIT_STRING, bits)


def octet_string(octets: bytes) -> Data:
    return Data(DataType.OCTET_STRING, octets)


def visible_string(text: str) -> Data:
    return Data(DataType.VISIBLE_STRING, text)


def utf8_string(text: str) -> Data:
    return Data(DataType.UTF8_STRING, text)


def integer(value: int) -> Data:
    return Data(DataType.INTEGER, value)


def long(value: int) -> Data:
    return Data(DataType.LONG, value)


def double_long(value: int) -> Data:
    return Data(DataType.DOUBLE_LONG, value)


def unsigned(value: int) -> Data:
    return Data(DataType.UNSIGNED, value)


def long_unsigned(value: int) -> Data:
    return Data(DataType.LONG_UNSIGNED, value)


def double_long_unsigned(value: int) -> Data:
    return Data(DataType.DOUBLE_LONG_UNSIGNED, value)


def long64_unsigned(value: int) -> Data:
    return Data(DataType.LONG64_UNSIGNED, value)


def enum(value: int) -> Data:
    return Data(DataType.ENUM, value)


_EMPTY = (DataType.NULL_DATA, DataType.DONT_CARE)

# Types of fixed size: how struct reads them. A BCD is one octet, taken as it is.
_FIXED: dict[DataType, struct.Struct] = {
    DataType.BOOLEAN: struct.Struct(">B"),
    DataType.DOUBLE_LONG: struct.Struct(">i"),
    DataType.DOUBLE_LONG_UNSIGNED: struct.Struct(">I"),
    DataType.BCD: struct.Struct(">B"),
    DataType.INTEGER: struct.Struct(">b"),
    DataType.LONG: struct.Struct(">h"),
    DataType.UNSIGNED: struct.Struct(">B"),
    DataType.LONG_UNSIGNED: struct.Struct(">H"),
    DataType.LONG64: struct.Struct(">q"),
    DataType.LONG64_UNSIGNED: struct.Struct(">Q"),
    DataType.ENUM: struct.Struct(">B"),
    DataType.FLOAT32: struct.Struct(">f"),
    DataType.FLOAT64: struct.Struct(">d"),
    DataType.DATE_TIME: struct.Struct("12s"),
    DataType.DATE: struct.Struct("5s"),
    DataType.TIME: struct.Struct("4s"),
    DataType.DELTA_INTEGER: struct.Struct(">b"),
    DataType.DELTA_LONG: struct.Struct(">h"),
    DataType.DELTA_DOUBLE_LONG: struct.Struct(">i"),
    DataType.DELTA_UNSIGNED: struct.Struct(">B"),
    DataType.DELTA_LONG_UNSIGNED: struct.Struct(">H"),
    DataType.DELTA_DOUBLE_LONG_UNSIGNED: struct.Struct(">I"),
}


def encode(data: Data) -> bytes:
    """Tag and contents. Raises ``LocalProtocolError`` when the value does not fit its type."""
    return bytes((data.type,)) + encode_contents(data)


def encode_contents(data: Data) -> bytes:
    """Contents without the tag, as inside a compact-array."""
    try:
        return _encoder(data.type)(data)
    except (struct.error, TypeError, AttributeError, ValueError, OverflowError, RemoteProtocolError):
        # Without the cause, which would repeat the value: it may be a secret.
        kind = type(data.value).__name__
        raise LocalProtocolError(f"this {kind} is not a value of {data.type.standard_name}") from None


def _encoder(data_type: DataType) -> Callable[[Data], bytes]:
    if data_type in _FIXED:
        return _encode_fixed
    return _ENCODERS[data_type]


def _encode_fixed(data: Data) -> bytes:
    layout = _FIXED[data.type]
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


_ENCODERS: dict[DataType, Callable[[Data], bytes]] = {
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


def decode(octets: bytes) -> Data:
    """One value that fills ``octets``. Raises ``RemoteProtocolError``."""
    reader = OctetReader(octets, "COSEM data")
    data = read(reader)
    reader.finish()
    return data


def read(reader: OctetReader, depth: int = 0) -> Data:
    """The next value: tag and contents. Raises ``RemoteProtocolError``."""
    return _read_contents(reader, _read_type(reader), depth)


def _read_type(reader: OctetReader) -> DataType:
    tag = reader.octet()
    try:
        return DataType(tag)
    except ValueError:
        raise RemoteProtocolError(
            f"{reader.what}: {tag} at offset {reader.position - 1} is no COSEM data type"
        ) from None


def _read_contents(reader: OctetReader, data_type: DataType, depth: int) -> Data:
    layout = _FIXED.get(data_type)
    if layout is not None:
        (value,) = layout.unpack(reader.take(layout.size))
        return Data(data_type, bool(value) if data_type is DataType.BOOLEAN else value)
    if data_type in _EMPTY:
        return Data(data_type, None)
    if data_type is DataType.BIT_STRING:
        return Data(data_type, _read_bits(reader))
    if data_type in (DataType.ARRAY, DataType.STRUCTURE):
        _check_depth(reader, depth)
        # Each element takes at least its tag, so the count can only be as large as what was received.
        return Data(data_type, tuple(read(reader, depth + 1) for _ in range(_element_count(reader))))
    if data_type is DataType.COMPACT_ARRAY:
        return Data(data_type, _read_compact_array(reader, depth))
    octets = reader.take(reader.length())
    if data_type is DataType.OCTET_STRING:
        return Data(data_type, octets)
    return Data(data_type, _decode_text(octets, data_type, reader.what))


def _decode_text(octets: bytes, data_type: DataType, what: str) -> str:
    try:
        # A visible-string is ASCII by the standard; real meters put other octets there, and none may be lost.
        return octets.decode("latin-1" if data_type is DataType.VISIBLE_STRING else "utf-8")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"{what}: a {data_type.standard_name} that is no {error.encoding}") from None


def _element_count(reader: OctetReader) -> int:
    count = reader.length()
    if count > reader.remaining:
        raise RemoteProtocolError(f"{reader.what}: {count} elements announced, {reader.remaining} octets are left")
    return count


def _check_depth(reader: OctetReader, depth: int) -> None:
    if depth >= DEPTH_MAX:
        raise RemoteProtocolError(f"{reader.what}: nested deeper than {DEPTH_MAX}")


def _read_bits(reader: OctetReader) -> str:
    count = reader.length()  # bits, not octets
    octets = reader.take((count + 7) // 8)
    return f"{int.from_bytes(octets, 'big'):0{len(octets) * 8}b}"[:count] if count else ""


def _read_compact_array(reader: OctetReader, depth: int) -> CompactArray:
    description = _read_description(reader, depth)
    contents = OctetReader(reader.take(reader.length()), reader.what)
    if contents.remaining:
        if description.size_min == 0:
            raise RemoteProtocolError(f"{reader.what}: a compact-array of elements without octets")
        if contents.remaining < description.size_min:
            raise RemoteProtocolError(f"{reader.what}: a compact-array too short for one element")
        if description.empty_count > EMPTY_RATIO_MAX * description.size_min:
            raise RemoteProtocolError(f"{reader.what}: a compact-array with too many values without octets")
    elements = []
    while contents.remaining:
        elements.append(_read_described(contents, description, depth + 1))
    return CompactArray(description, tuple(elements))


def _read_description(reader: OctetReader, depth: int) -> TypeDescription:
    data_type = _read_type(reader)
    if data_type is DataType.COMPACT_ARRAY:
        raise RemoteProtocolError(f"{reader.what}: a compact-array inside a compact-array")
    if data_type is DataType.STRUCTURE:
        _check_depth(reader, depth)
        inside = tuple(_read_description(reader, depth + 1) for _ in range(_element_count(reader)))
        return TypeDescription(data_type, inside)
    if data_type is DataType.ARRAY:
        _check_depth(reader, depth)
        count = reader.unsigned(2)
        return TypeDescription(data_type, (_read_description(reader, depth + 1),), count)
    return TypeDescription(data_type)


def _read_described(reader: OctetReader, description: TypeDescription, depth: int) -> Data:
    inside: Iterable[TypeDescription]
    if description.type is DataType.STRUCTURE:
        inside = description.elements
    elif description.type is DataType.ARRAY:
        inside = repeat(description.elements[0], description.count)
    else:
        return _read_contents(reader, description.type, depth)
    return Data(description.type, tuple(_read_described(reader, what, depth + 1) for what in inside))
