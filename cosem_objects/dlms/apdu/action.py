"""ACTION: one method, several with a list, and long parameters or return values in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu.blocks import DataBlock, read_block
from cosem_objects.dlms.apdu.descriptors import (
    INVOKE_DEFAULT,
    MethodDescriptor,
    Result,
    encode_result,
    read_count,
    read_method,
    read_result,
)
from cosem_objects.dlms.apdu.set import encode_values, read_values
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader, encode_length

Outcome: TypeAlias = tuple[int, Result | None]
"""An action-result, and the return value, a data-access-result in its place, or nothing."""


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """ACTION-request-normal."""

    TAG: ClassVar[int] = 0xC3
    method: MethodDescriptor
    data: Data | None = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        parameters = b"\x00" if self.data is None else b"\x01" + axdr.encode(self.data)
        return bytes((self.TAG, 1, self.invoke)) + self.method.encode() + parameters


@dataclass(frozen=True, slots=True)
class ActionRequestNextPblock:
    """ACTION-request-next-pblock: the block ``number`` of the return value has come."""

    TAG: ClassVar[int] = 0xC3
    number: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 2, self.invoke)) + self.number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class ActionRequestWithList:
    """ACTION-request-with-list: as many parameters as methods; null-data where a method takes none."""

    TAG: ClassVar[int] = 0xC3
    methods: tuple[MethodDescriptor, ...]
    values: tuple[Data, ...]
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 3, self.invoke)) + _encode_methods(self.methods) + encode_values(self.values)


@dataclass(frozen=True, slots=True)
class ActionRequestWithFirstPblock:
    """ACTION-request-with-first-pblock: the method, and the first octets of its encoded parameters."""

    TAG: ClassVar[int] = 0xC3
    method: MethodDescriptor
    block: DataBlock
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 4, self.invoke)) + self.method.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestWithListAndFirstPblock:
    """ACTION-request-with-list-and-first-pblock: the blocks together hold the list of parameters."""

    TAG: ClassVar[int] = 0xC3
    methods: tuple[MethodDescriptor, ...]
    block: DataBlock
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 5, self.invoke)) + _encode_methods(self.methods) + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestWithPblock:
    """ACTION-request-with-pblock: a further piece."""

    TAG: ClassVar[int] = 0xC3
    block: DataBlock
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 6, self.invoke)) + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionResponse:
    """ACTION-response-normal. ``returned`` is the return value, a data-access-result, or nothing."""

    TAG: ClassVar[int] = 0xC7
    result: int
    returned: Result | None = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 1, self.invoke)) + encode_outcome((self.result, self.returned))


@dataclass(frozen=True, slots=True)
class ActionResponseWithPblock:
    """ACTION-response-with-pblock: a piece of the answer."""

    TAG: ClassVar[int] = 0xC7
    block: DataBlock
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 2, self.invoke)) + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseWithList:
    """ACTION-response-with-list: one outcome for each method, in order."""

    TAG: ClassVar[int] = 0xC7
    outcomes: tuple[Outcome, ...]
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 3, self.invoke)) + encode_outcomes(self.outcomes)


@dataclass(frozen=True, slots=True)
class ActionResponseNextPblock:
    """ACTION-response-next-pblock: the block ``number`` of the parameters was taken, the next may come."""

    TAG: ClassVar[int] = 0xC7
    number: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 4, self.invoke)) + self.number.to_bytes(4, "big")


ActionRequestForm: TypeAlias = (
    ActionRequest
    | ActionRequestNextPblock
    | ActionRequestWithList
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
    | ActionRequestWithPblock
)
ActionResponseForm: TypeAlias = (
    ActionResponse | ActionResponseWithPblock | ActionResponseWithList | ActionResponseNextPblock
)


def encode_outcome(outcome: Outcome) -> bytes:
    """Action-Response-With-Optional-Data: result, presence of a return value, return value."""
    result, returned = outcome
    return bytes((result,)) + (b"\x00" if returned is None else b"\x01" + encode_result(returned))


def read_outcome(reader: OctetReader) -> Outcome:
    result = reader.octet()
    if not reader.remaining:  # some meters leave the optional part out altogether
        return result, None
    return result, read_result(reader) if reader.flag() else None


def encode_outcomes(outcomes: tuple[Outcome, ...]) -> bytes:
    return encode_length(len(outcomes)) + b"".join(map(encode_outcome, outcomes))


def read_outcomes(reader: OctetReader) -> tuple[Outcome, ...]:
    return tuple([read_outcome(reader) for _ in range(read_count(reader))])


def _encode_methods(methods: tuple[MethodDescriptor, ...]) -> bytes:
    return encode_length(len(methods)) + b"".join(method.encode() for method in methods)


def _read_methods(reader: OctetReader) -> tuple[MethodDescriptor, ...]:
    return tuple([read_method(reader) for _ in range(read_count(reader))])


def read_action_request(reader: OctetReader) -> ActionRequestForm:
    choice, invoke = reader.take(2)
    match choice:
        case 1:
            method = read_method(reader)
            return ActionRequest(method, axdr.read(reader) if reader.flag() else None, invoke)
        case 2:
            return ActionRequestNextPblock(reader.unsigned(4), invoke)
        case 3:
            methods = _read_methods(reader)
            return ActionRequestWithList(methods, read_values(reader, len(methods)), invoke)
        case 4:
            return ActionRequestWithFirstPblock(read_method(reader), read_block(reader), invoke)
        case 5:
            return ActionRequestWithListAndFirstPblock(_read_methods(reader), read_block(reader), invoke)
        case 6:
            return ActionRequestWithPblock(read_block(reader), invoke)
    raise RemoteProtocolError(f"{reader.what}: choice {choice}, expected 1 (normal) to 6")


def read_action_response(reader: OctetReader) -> ActionResponseForm:
    choice, invoke = reader.take(2)
    match choice:
        case 1:
            result, returned = read_outcome(reader)
            return ActionResponse(result, returned, invoke)
        case 2:
            return ActionResponseWithPblock(read_block(reader), invoke)
        case 3:
            return ActionResponseWithList(read_outcomes(reader), invoke)
        case 4:
            return ActionResponseNextPblock(reader.unsigned(4), invoke)
    raise RemoteProtocolError(f"{reader.what}: choice {choice}, expected 1 (normal) to 4")
