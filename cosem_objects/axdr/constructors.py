"""The constructors: one for each type that our objects write."""

from __future__ import annotations

from cosem_objects.axdr.values import Data, DataType

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
