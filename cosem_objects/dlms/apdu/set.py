"""SET: one attribute, several with a list, and long values in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu.blocks import DataBlock, read_block
from cosem_objects.dlms.apdu.descriptors import (
    INVOKE_DEFAULT,
    AttributeDescriptor,
    Selection,
    encode_selection,
    read_attribute,
    read_count,
    read_selection,
)
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader, encode_length, with_length

Selected: TypeAlias = tuple[AttributeDescriptor, Selection]


@dataclass(frozen=True, slots=True)
class SetRequest:
    """SET-request-normal."""

    TAG: ClassVar[int] = 0xC1
    attribute: AttributeDescriptor
    data: Data
    selection: Selection = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        head = bytes((self.TAG, 1, self.invoke)) + self.attribute.encode()
        return head + encode_selection(self.selection) + axdr.encode(self.data)


@dataclass(frozen=True, slots=True)
class SetRequestWithFirstDataBlock:
    """SET-request-with-first-datablock: where the value goes, and the first octets of its encoding."""

    TAG: ClassVar[int] = 0xC1
    attribute: AttributeDescriptor
    block: DataBlock
    selection: Selection = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        head = bytes((self.TAG, 2, self.invoke)) + self.attribute.encode()
        return head + encode_selection(self.selection) + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetRequestWithDataBlock:
    """SET-request-with-datablock: a further piece."""

    TAG: ClassVar[int] = 0xC1
    block: DataBlock
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 3, self.invoke)) + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetRequestWithList:
    """SET-request-with-list: as many values as attributes."""

    TAG: ClassVar[int] = 0xC1
    attributes: tuple[Selected, ...]
    values: tuple[Data, ...]
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 4, self.invoke)) + _encode_attributes(self.attributes) + encode_values(self.values)


@dataclass(frozen=True, slots=True)
class SetRequestWithListAndFirstDataBlock:
    """SET-request-with-list-and-first-datablock: the blocks together hold the list of values."""

    TAG: ClassVar[int] = 0xC1
    attributes: tuple[Selected, ...]
    block: DataBlock
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 5, self.invoke)) + _encode_attributes(self.attributes) + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetResponse:
    """SET-response-normal; ``result`` is a data-access-result."""

    TAG: ClassVar[int] = 0xC5
    result: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 1, self.invoke, self.result))


@dataclass(frozen=True, slots=True)
class SetResponseDataBlock:
    """SET-response-datablock: the block ``number`` was taken, the next may come."""

    TAG: ClassVar[int] = 0xC5
    number: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 2, self.invoke)) + self.number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SetResponseLastDataBlock:
    """SET-response-last-datablock: what became of the whole value."""

    TAG: ClassVar[int] = 0xC5
    result: int
    number: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 3, self.invoke, self.result)) + self.number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SetResponseLastDataBlockWithList:
    """SET-response-last-datablock-with-list."""

    TAG: ClassVar[int] = 0xC5
    results: tuple[int, ...]
    number: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 4, self.invoke)) + with_length(bytes(self.results)) + self.number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SetResponseWithList:
    """SET-response-with-list: one data-access-result for each attribute."""

    TAG: ClassVar[int] = 0xC5
    results: tuple[int, ...]
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 5, self.invoke)) + with_length(bytes(self.results))


SetRequestForm: TypeAlias = (
    SetRequest
    | SetRequestWithFirstDataBlock
    | SetRequestWithDataBlock
    | SetRequestWithList
    | SetRequestWithListAndFirstDataBlock
)
SetResponseForm: TypeAlias = (
    SetResponse
    | SetResponseDataBlock
    | SetResponseLastDataBlock
    | SetResponseLastDataBlockWithList
    | SetResponseWithList
)


def encode_values(values: tuple[Data, ...]) -> bytes:
    """The list of values as it stands in a request with list, and in the blocks of one that is long."""
    return encode_length(len(values)) + b"".join(map(axdr.encode, values))


def read_values(reader: OctetReader, expected: int) -> tuple[Data, ...]:
    """The list of values for ``expected`` attributes or methods."""
    count = read_count(reader)
    if count != expected:
        raise RemoteProtocolError(f"{reader.what}: {count} values for {expected} attributes or methods")
    return tuple([axdr.read(reader) for _ in range(count)])


def _encode_attributes(attributes: tuple[Selected, ...]) -> bytes:
    encoded = [attribute.encode() + encode_selection(selection) for attribute, selection in attributes]
    return encode_length(len(encoded)) + b"".join(encoded)


def _read_attributes(reader: OctetReader) -> tuple[Selected, ...]:
    return tuple([(read_attribute(reader), read_selection(reader)) for _ in range(read_count(reader))])


def read_set_request(reader: OctetReader) -> SetRequestForm:
    choice, invoke = reader.take(2)
    match choice:
        case 1:
            attribute, selection = read_attribute(reader), read_selection(reader)
            return SetRequest(attribute, axdr.read(reader), selection, invoke)
        case 2:
            attribute, selection = read_attribute(reader), read_selection(reader)
            return SetRequestWithFirstDataBlock(attribute, read_block(reader), selection, invoke)
        case 3:
            return SetRequestWithDataBlock(read_block(reader), invoke)
        case 4:
            attributes = _read_attributes(reader)
            return SetRequestWithList(attributes, read_values(reader, len(attributes)), invoke)
        case 5:
            return SetRequestWithListAndFirstDataBlock(_read_attributes(reader), read_block(reader), invoke)
    raise RemoteProtocolError(f"{reader.what}: choice {choice}, expected 1 (normal) to 5")


def read_set_response(reader: OctetReader) -> SetResponseForm:
    choice, invoke = reader.take(2)
    match choice:
        case 1:
            return SetResponse(reader.octet(), invoke)
        case 2:
            return SetResponseDataBlock(reader.unsigned(4), invoke)
        case 3:
            return SetResponseLastDataBlock(reader.octet(), reader.unsigned(4), invoke)
        case 4:
            results = tuple(reader.string())
            return SetResponseLastDataBlockWithList(results, reader.unsigned(4), invoke)
        case 5:
            return SetResponseWithList(tuple(reader.string()), invoke)
    raise RemoteProtocolError(f"{reader.what}: choice {choice}, expected 1 (normal) to 5")
