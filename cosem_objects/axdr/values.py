"""COSEM data as values: types, ``Data`` and the compact-array."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from cosem_objects.errors import RemoteProtocolError


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


EMPTY = (DataType.NULL_DATA, DataType.DONT_CARE)

# Types of fixed size: how struct reads them. A BCD is one octet, taken as it is.
FIXED: dict[DataType, struct.Struct] = {
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
        if self.type in FIXED:
            return FIXED[self.type].size
        return 0 if self.type in EMPTY else 1

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
