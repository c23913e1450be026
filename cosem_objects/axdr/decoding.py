"""From octets to values. What was received is believed only as far as its octets go."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import TypeAlias

from cosem_objects.axdr.values import EMPTY, FIXED, CompactArray, Data, DataType, TypeDescription
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader

VALUES_MAX = 250_000
"""Values inside others in one message: a year of quarter-hours, six columns wide. Many million fit in what a meter may
send in blocks; reading those would take all memory, and minutes."""
DEPTH_MAX = 16
"""Nesting that is believed. guess: real objects stay below 6; settled by the first meter that nests deeper."""
EMPTY_RATIO_MAX = 4
"""Values without octets that a compact-array may stand for, per octet: a few octets must not fill the memory."""


def decode(octets: bytes) -> Data:
    """One value that fills ``octets``. Raises ``RemoteProtocolError``."""
    reader = OctetReader(octets, "COSEM data")
    data = read(reader)
    reader.finish()
    return data


def read(reader: OctetReader, depth: int = 0) -> Data:
    """The next value: tag and contents. Raises ``RemoteProtocolError``."""
    read_contents = _READERS.get(reader.octet())
    if read_contents is None:
        raise _no_type(reader)
    return read_contents(reader, depth)


_ReadContents: TypeAlias = Callable[[OctetReader, int], Data]
"""Reads the contents after a tag, so many values deep."""


def _no_type(reader: OctetReader) -> RemoteProtocolError:
    reader.position -= 1
    return RemoteProtocolError(f"{reader.what}: {reader.octet()} at offset {reader.position - 1} is no COSEM data type")


def _fixed_reader(data_type: DataType, layout: struct.Struct) -> _ReadContents:
    def read_fixed(reader: OctetReader, _depth: int) -> Data:
        return Data(data_type, reader.unpack(layout)[0])

    return read_fixed


def _read_boolean(reader: OctetReader, _depth: int) -> Data:
    return Data(DataType.BOOLEAN, reader.flag())


def _empty_reader(data_type: DataType) -> _ReadContents:
    return lambda _reader, _depth: Data(data_type, None)


def _elements_reader(data_type: DataType) -> _ReadContents:
    def read_elements(reader: OctetReader, depth: int) -> Data:
        _check_depth(reader, depth)
        # Each element takes at least its tag, so the count can only be as large as what was received.
        return Data(data_type, tuple([read(reader, depth + 1) for _ in range(_element_count(reader))]))

    return read_elements


def _read_octet_string(reader: OctetReader, _depth: int) -> Data:
    return Data(_OCTET_STRING, reader.string())


def _read_bit_string(reader: OctetReader, _depth: int) -> Data:
    return Data(_BIT_STRING, _read_bits(reader))


def _text_reader(data_type: DataType, encoding: str) -> _ReadContents:
    def read_text(reader: OctetReader, _depth: int) -> Data:
        try:
            return Data(data_type, reader.string().decode(encoding))
        except UnicodeDecodeError:
            raise RemoteProtocolError(f"{reader.what}: a {data_type.standard_name} that is no {encoding}") from None

    return read_text


def _element_count(reader: OctetReader) -> int:
    count = reader.length()
    if count > reader.remaining:
        raise RemoteProtocolError(f"{reader.what}: {count} elements announced, {reader.remaining} octets are left")
    count_values(reader, count)
    return count


def count_values(reader: OctetReader, count: int) -> None:
    """So many values more will be read. Raises ``RemoteProtocolError`` when that is too much for one message."""
    reader.values += count
    if reader.values > VALUES_MAX:
        raise RemoteProtocolError(f"{reader.what}: more than {VALUES_MAX} values")


def _check_depth(reader: OctetReader, depth: int) -> None:
    if depth >= DEPTH_MAX:
        raise RemoteProtocolError(f"{reader.what}: nested deeper than {DEPTH_MAX}")


def _read_bits(reader: OctetReader) -> str:
    count = reader.length()  # bits, not octets
    octets = reader.take((count + 7) // 8)
    return f"{int.from_bytes(octets, 'big'):0{len(octets) * 8}b}"[:count] if count else ""


def _read_compact_array(reader: OctetReader, depth: int) -> Data:
    description = _read_description(reader, depth)
    contents = OctetReader(reader.string(), reader.what)
    contents.values = reader.values
    if contents.remaining:
        if description.size_min == 0:
            raise RemoteProtocolError(f"{reader.what}: a compact-array of elements without octets")
        if contents.remaining < description.size_min:
            raise RemoteProtocolError(f"{reader.what}: a compact-array too short for one element")
        if description.empty_count > EMPTY_RATIO_MAX * description.size_min:
            raise RemoteProtocolError(f"{reader.what}: a compact-array with too many values without octets")
    elements = []
    while contents.remaining:
        count_values(contents, 1)
        elements.append(_read_described(contents, description, depth + 1))
    reader.values = contents.values
    return Data(DataType.COMPACT_ARRAY, CompactArray(description, tuple(elements)))


def _read_description(reader: OctetReader, depth: int) -> TypeDescription:
    tag = reader.octet()
    if tag not in _READERS:
        raise _no_type(reader)
    data_type = DataType(tag)
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
        count_values(reader, len(inside))
    elif description.type is DataType.ARRAY:
        inside = repeat(description.elements[0], description.count)
        count_values(reader, description.count)
    else:
        return _READERS[description.type](reader, depth)
    return Data(description.type, tuple(_read_described(reader, what, depth + 1) for what in inside))


_OCTET_STRING, _BIT_STRING = DataType.OCTET_STRING, DataType.BIT_STRING
_READERS: dict[int, _ReadContents] = {
    **{data_type: _fixed_reader(data_type, layout) for data_type, layout in FIXED.items()},
    **{data_type: _empty_reader(data_type) for data_type in EMPTY},
    **{data_type: _elements_reader(data_type) for data_type in (DataType.ARRAY, DataType.STRUCTURE)},
    # A visible-string is ASCII by the standard; real meters put other octets there, and none may be lost.
    DataType.VISIBLE_STRING: _text_reader(DataType.VISIBLE_STRING, "latin-1"),
    DataType.UTF8_STRING: _text_reader(DataType.UTF8_STRING, "utf-8"),
    DataType.BOOLEAN: _read_boolean,
    DataType.BIT_STRING: _read_bit_string,
    DataType.OCTET_STRING: _read_octet_string,
    DataType.COMPACT_ARRAY: _read_compact_array,
}
"""What follows each tag."""
