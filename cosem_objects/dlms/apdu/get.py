"""GET: one attribute, several with a list, and long answers in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from cosem_objects.dlms.apdu.descriptors import (
    INVOKE_DEFAULT,
    AttributeDescriptor,
    Result,
    Selection,
    encode_result,
    encode_selection,
    read_attribute,
    read_count,
    read_result,
    read_selection,
)
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader, encode_length, with_length


@dataclass(frozen=True, slots=True)
class GetRequest:
    """GET-request-normal. ``selection`` is (selector, parameters) of selective access."""

    TAG: ClassVar[int] = 0xC0
    attribute: AttributeDescriptor
    selection: Selection = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 1, self.invoke)) + self.attribute.encode() + encode_selection(self.selection)


@dataclass(frozen=True, slots=True)
class GetRequestNext:
    """GET-request-next: the block ``number`` has come, the one after it may."""

    TAG: ClassVar[int] = 0xC0
    number: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 2, self.invoke)) + self.number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class GetRequestWithList:
    """GET-request-with-list: several attributes at once, each with its selection."""

    TAG: ClassVar[int] = 0xC0
    attributes: tuple[tuple[AttributeDescriptor, Selection], ...]
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        wanted = [attribute.encode() + encode_selection(selection) for attribute, selection in self.attributes]
        return bytes((self.TAG, 3, self.invoke)) + encode_length(len(wanted)) + b"".join(wanted)


@dataclass(frozen=True, slots=True)
class GetResponse:
    """GET-response-normal: the value, or why there is none."""

    TAG: ClassVar[int] = 0xC4
    result: Result
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 1, self.invoke)) + encode_result(self.result)


@dataclass(frozen=True, slots=True, repr=False)
class GetResponseWithDataBlock:
    """GET-response-with-datablock: a piece of the value's octets, or a data-access-result that ends the transfer.

    The value is that of a normal answer (``Data``), or the list of results that a request with list would have got.
    """

    TAG: ClassVar[int] = 0xC4
    number: int
    result: bytes | int
    is_last: bool = False
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        head = bytes((self.TAG, 2, self.invoke, self.is_last)) + self.number.to_bytes(4, "big")
        return head + (bytes((1, self.result)) if isinstance(self.result, int) else b"\x00" + with_length(self.result))

    def __repr__(self) -> str:  # the octets may be those of a token
        what = f"error {self.result}" if isinstance(self.result, int) else f"{len(self.result)} octets"
        return f"<GetResponseWithDataBlock {self.number}, {what}{', last' if self.is_last else ''}>"


@dataclass(frozen=True, slots=True)
class GetResponseWithList:
    """GET-response-with-list: one result for each attribute asked for, in that order."""

    TAG: ClassVar[int] = 0xC4
    results: tuple[Result, ...]
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 3, self.invoke)) + encode_results(self.results)


def encode_results(results: tuple[Result, ...]) -> bytes:
    """The list of results as it stands in an answer with list, and in the blocks of one that is long."""
    return encode_length(len(results)) + b"".join(map(encode_result, results))


def read_results(reader: OctetReader) -> tuple[Result, ...]:
    return tuple([read_result(reader) for _ in range(read_count(reader))])


GetRequestForm: TypeAlias = GetRequest | GetRequestNext | GetRequestWithList
GetResponseForm: TypeAlias = GetResponse | GetResponseWithDataBlock | GetResponseWithList


def read_get_request(reader: OctetReader) -> GetRequestForm:
    choice, invoke = reader.take(2)
    match choice:
        case 1:
            return GetRequest(read_attribute(reader), read_selection(reader), invoke)
        case 2:
            return GetRequestNext(reader.unsigned(4), invoke)
        case 3:
            wanted = [(read_attribute(reader), read_selection(reader)) for _ in range(read_count(reader))]
            return GetRequestWithList(tuple(wanted), invoke)
    raise RemoteProtocolError(f"{reader.what}: choice {choice}, expected normal (1), next (2) or with-list (3)")


def read_get_response(reader: OctetReader) -> GetResponseForm:
    choice, invoke = reader.take(2)
    match choice:
        case 1:
            return GetResponse(read_result(reader), invoke)
        case 2:
            is_last, number, failed = reader.flag(), reader.unsigned(4), reader.octet()
            if failed > 1:
                raise RemoteProtocolError(f"{reader.what}: block choice {failed}, expected octets (0) or an error (1)")
            return GetResponseWithDataBlock(number, reader.octet() if failed else reader.string(), is_last, invoke)
        case 3:
            return GetResponseWithList(read_results(reader), invoke)
    raise RemoteProtocolError(f"{reader.what}: choice {choice}, expected normal (1), with-datablock (2), with-list (3)")
