"""xDLMS APDUs: the services GET, SET, ACTION, the notifications, and the two ways of saying no.

IEC 62056-5-3 (Green Book clause 9.5, ASN.1 of the COSEM application layer). Each class knows its bytes both ways:
``encode()`` and ``decode(apdu)`` below. Only the *normal* forms are here; block transfer and lists come with the
hardened core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar, TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.octets import OctetReader, with_length


class ActionResult(IntEnum):
    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250


class DataAccessResult(IntEnum):
    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


class Conformance(IntFlag):
    """The services that a side offers. Bit 0 of the standard is the first of 24 on the wire."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    ATTRIBUTE0_SUPPORTED_WITH_SET = 1 << 15
    PRIORITY_MGMT_SUPPORTED = 1 << 14
    ATTRIBUTE0_SUPPORTED_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0


@dataclass(frozen=True, slots=True)
class AttributeDescriptor:
    class_id: int
    obis: ObisCode
    attribute: int

    def encode(self) -> bytes:
        return _encode_descriptor(self.class_id, self.obis, self.attribute)

    def __str__(self) -> str:
        return f"class {self.class_id} {self.obis} attribute {self.attribute}"


@dataclass(frozen=True, slots=True)
class MethodDescriptor:
    class_id: int
    obis: ObisCode
    method: int

    def encode(self) -> bytes:
        return _encode_descriptor(self.class_id, self.obis, self.method)

    def __str__(self) -> str:
        return f"class {self.class_id} {self.obis} method {self.method}"


def _encode_descriptor(class_id: int, obis: ObisCode, member: int) -> bytes:
    return class_id.to_bytes(2, "big") + obis.octets + member.to_bytes(1, "big", signed=True)


def _read_descriptor(reader: OctetReader) -> tuple[int, ObisCode, int]:
    return reader.unsigned(2), ObisCode.from_octets(reader.take(6)), int.from_bytes(reader.take(1), "big", signed=True)


DLMS_VERSION = 6
"""The only one there is."""

INVOKE_DEFAULT = 0xC1
"""invoke-id-and-priority: id 1 in bits 0..3, bit 6 confirmed, bit 7 high priority."""


@dataclass(frozen=True, slots=True)
class GetRequest:
    """GET-request-normal. ``selection`` is (selector, parameters) of selective access."""

    TAG: ClassVar[int] = 0xC0
    attribute: AttributeDescriptor
    selection: tuple[int, Data] | None = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 1, self.invoke)) + self.attribute.encode() + _encode_selection(self.selection)


@dataclass(frozen=True, slots=True)
class GetResponse:
    """GET-response-normal: the value, or why there is none."""

    TAG: ClassVar[int] = 0xC4
    result: Data | int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 1, self.invoke)) + _encode_get_result(self.result)


@dataclass(frozen=True, slots=True)
class SetRequest:
    """SET-request-normal."""

    TAG: ClassVar[int] = 0xC1
    attribute: AttributeDescriptor
    data: Data
    selection: tuple[int, Data] | None = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        head = bytes((self.TAG, 1, self.invoke)) + self.attribute.encode()
        return head + _encode_selection(self.selection) + axdr.encode(self.data)


@dataclass(frozen=True, slots=True)
class SetResponse:
    """SET-response-normal; ``result`` is a data-access-result."""

    TAG: ClassVar[int] = 0xC5
    result: int
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        return bytes((self.TAG, 1, self.invoke, self.result))


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
class ActionResponse:
    """ACTION-response-normal. ``returned`` is the return value, a data-access-result, or nothing."""

    TAG: ClassVar[int] = 0xC7
    result: int
    returned: Data | int | None = None
    invoke: int = INVOKE_DEFAULT

    def encode(self) -> bytes:
        returned = b"\x00" if self.returned is None else b"\x01" + _encode_get_result(self.returned)
        return bytes((self.TAG, 1, self.invoke, self.result)) + returned


class StateError(IntEnum):
    SERVICE_NOT_ALLOWED = 1
    SERVICE_UNKNOWN = 2


class ServiceError(IntEnum):
    OPERATION_NOT_POSSIBLE = 1
    SERVICE_NOT_SUPPORTED = 2
    OTHER_REASON = 3
    PDU_TOO_LONG = 4
    DECIPHERING_ERROR = 5
    INVOCATION_COUNTER_ERROR = 6


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """The other side could not take the request at all. Never authenticated: a hint, not a proof."""

    TAG: ClassVar[int] = 0xD8
    state_error: int
    service_error: int
    invocation_counter: int | None = None
    """The counter that was expected, with ``INVOCATION_COUNTER_ERROR``."""

    def encode(self) -> bytes:
        head = bytes((self.TAG, self.state_error, self.service_error))
        return head if self.invocation_counter is None else head + self.invocation_counter.to_bytes(4, "big")

    def __str__(self) -> str:
        counter = "" if self.invocation_counter is None else f", expected counter {self.invocation_counter}"
        return f"{spell(StateError, self.state_error)}, {spell(ServiceError, self.service_error)}{counter}"


@dataclass(frozen=True, slots=True)
class ConfirmedServiceError:
    """``service`` (1 initiateError, 5 read, 6 write) with the kind of error and its value."""

    TAG: ClassVar[int] = 0x0E
    service: int
    kind: int
    value: int

    def encode(self) -> bytes:
        return bytes((self.TAG, self.service, self.kind, self.value))

    def __str__(self) -> str:
        if self.service == 1 and self.kind == 6:
            return f"initiate error: {_INITIATE_ERRORS.get(self.value, f'value {self.value}')}"
        return f"service {self.service}, error kind {self.kind}, value {self.value}"


_INITIATE_ERRORS = {
    0: "other",
    1: "DLMS version too low",
    2: "incompatible conformance",
    3: "PDU size too short",
    4: "refused by the VDE handler",
}


@dataclass(frozen=True, slots=True)
class DataNotification:
    """Sent by a meter unasked. ``date_time`` is 12 octets or empty."""

    TAG: ClassVar[int] = 0x0F
    long_invoke: int
    date_time: bytes
    body: Data

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + self.long_invoke.to_bytes(4, "big")
        return head + with_length(self.date_time) + axdr.encode(self.body)


@dataclass(frozen=True, slots=True)
class EventNotification:
    """Sent by a meter unasked: one attribute and its value."""

    TAG: ClassVar[int] = 0xC2
    attribute: AttributeDescriptor
    value: Data
    time: bytes | None = None

    def encode(self) -> bytes:
        time = b"\x00" if self.time is None else b"\x01" + with_length(self.time)
        return bytes((self.TAG,)) + time + self.attribute.encode() + axdr.encode(self.value)


@dataclass(frozen=True, slots=True, repr=False)
class InitiateRequest:
    """The xDLMS part of an AARQ."""

    TAG: ClassVar[int] = 0x01
    conformance: Conformance
    pdu_size_max: int
    """The largest APDU that the client can receive; 0 = no limit."""
    dedicated_key: bytes | None = None
    response_allowed: bool = True
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION

    def encode(self) -> bytes:
        key = b"\x00" if self.dedicated_key is None else b"\x01" + with_length(self.dedicated_key)
        allowed = b"\x00" if self.response_allowed else b"\x01\x00"
        quality = b"\x00" if self.quality_of_service is None else bytes((1, self.quality_of_service))
        head = bytes((self.TAG,)) + key + allowed + quality + bytes((self.dlms_version,))
        return head + encode_conformance(self.conformance) + self.pdu_size_max.to_bytes(2, "big")

    def __repr__(self) -> str:  # the dedicated key is a secret
        key = "" if self.dedicated_key is None else ", with dedicated key"
        return f"<InitiateRequest {self.conformance!r}, PDU {self.pdu_size_max}{key}>"


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """The xDLMS part of an AARE."""

    TAG: ClassVar[int] = 0x08
    conformance: Conformance
    pdu_size_max: int
    """The largest APDU that the server can receive; 0 = no limit."""
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION
    vaa_name: int = 7
    """7 = logical name referencing."""

    def encode(self) -> bytes:
        quality = b"\x00" if self.quality_of_service is None else bytes((1, self.quality_of_service))
        head = bytes((self.TAG,)) + quality + bytes((self.dlms_version,)) + encode_conformance(self.conformance)
        return head + self.pdu_size_max.to_bytes(2, "big") + self.vaa_name.to_bytes(2, "big")


def encode_conformance(conformance: Conformance) -> bytes:
    """Tag APPLICATION 31, length, no unused bits, 24 bits."""
    return b"\x5f\x1f\x04\x00" + conformance.to_bytes(3, "big")


def read_conformance(reader: OctetReader) -> Conformance:
    if reader.octet() != 0x5F:
        raise RemoteProtocolError(f"{reader.what}: no conformance block at offset {reader.position - 1}")
    if reader.peek() == 0x1F:  # older stacks leave the second tag octet out
        reader.octet()
    if reader.take(2) != b"\x04\x00":
        raise RemoteProtocolError(f"{reader.what}: a conformance block has 24 bits")
    return Conformance(reader.unsigned(3))


Request: TypeAlias = GetRequest | SetRequest | ActionRequest
Response: TypeAlias = GetResponse | SetResponse | ActionResponse
Notification: TypeAlias = DataNotification | EventNotification
Apdu: TypeAlias = (
    Request | Response | Notification | ExceptionResponse | ConfirmedServiceError | InitiateRequest | InitiateResponse
)


def decode(apdu: bytes) -> Apdu:
    """One plain (deciphered) xDLMS APDU. Raises ``RemoteProtocolError``."""
    if not apdu:
        raise RemoteProtocolError("an empty APDU")
    decoder = _DECODERS.get(apdu[0])
    if decoder is None:
        raise RemoteProtocolError(f"an APDU of unknown tag {apdu[0]:02X}")
    name, read = decoder
    reader = OctetReader(apdu, name)
    reader.octet()
    decoded = read(reader)
    reader.finish()
    return decoded


def is_apdu(octets: bytes) -> bool:
    """Whether these octets are a whole APDU of a service."""
    try:
        decode(octets)
    except RemoteProtocolError:
        return False
    return True


def _only_normal(reader: OctetReader) -> int:
    """The choice octet must say *normal*; returns invoke-id-and-priority."""
    choice = reader.octet()
    if choice != 1:
        raise UnsupportedServiceError(f"{reader.what}: choice {choice} is not supported, only normal (1)")
    return reader.octet()


class UnsupportedServiceError(RemoteProtocolError):
    """A well-known service that this core does not offer (block transfer, lists)."""


def _read_get_request(reader: OctetReader) -> GetRequest:
    invoke = _only_normal(reader)
    return GetRequest(AttributeDescriptor(*_read_descriptor(reader)), _read_selection(reader), invoke)


def _read_set_request(reader: OctetReader) -> SetRequest:
    invoke = _only_normal(reader)
    attribute, selection = AttributeDescriptor(*_read_descriptor(reader)), _read_selection(reader)
    return SetRequest(attribute, axdr.read(reader), selection, invoke)


def _read_action_request(reader: OctetReader) -> ActionRequest:
    invoke = _only_normal(reader)
    method = MethodDescriptor(*_read_descriptor(reader))
    return ActionRequest(method, axdr.read(reader) if reader.flag() else None, invoke)


def _read_get_response(reader: OctetReader) -> GetResponse:
    invoke = _only_normal(reader)
    return GetResponse(_read_get_result(reader), invoke)


def _read_set_response(reader: OctetReader) -> SetResponse:
    invoke = _only_normal(reader)
    return SetResponse(reader.octet(), invoke)


def _read_action_response(reader: OctetReader) -> ActionResponse:
    invoke = _only_normal(reader)
    result = reader.octet()
    if not reader.remaining:  # some meters leave the optional part out altogether
        return ActionResponse(result, None, invoke)
    return ActionResponse(result, _read_get_result(reader) if reader.flag() else None, invoke)


def _encode_selection(selection: tuple[int, Data] | None) -> bytes:
    if selection is None:
        return b"\x00"
    selector, parameters = selection
    return bytes((1, selector)) + axdr.encode(parameters)


def _read_selection(reader: OctetReader) -> tuple[int, Data] | None:
    return (reader.octet(), axdr.read(reader)) if reader.flag() else None


def _encode_get_result(result: Data | int) -> bytes:
    return b"\x00" + axdr.encode(result) if isinstance(result, Data) else bytes((1, result))


def _read_get_result(reader: OctetReader) -> Data | int:
    choice = reader.octet()
    if choice > 1:
        raise RemoteProtocolError(f"{reader.what}: result choice {choice}, expected data (0) or an error (1)")
    return reader.octet() if choice else axdr.read(reader)


def _read_exception(reader: OctetReader) -> ExceptionResponse:
    state, service = reader.octet(), reader.octet()
    counter = reader.unsigned(4) if service == ServiceError.INVOCATION_COUNTER_ERROR and reader.remaining else None
    return ExceptionResponse(state, service, counter)


def _read_confirmed_service_error(reader: OctetReader) -> ConfirmedServiceError:
    return ConfirmedServiceError(reader.octet(), reader.octet(), reader.octet())


def _read_data_notification(reader: OctetReader) -> DataNotification:
    return DataNotification(reader.unsigned(4), reader.take(reader.length()), axdr.read(reader))


def _read_event_notification(reader: OctetReader) -> EventNotification:
    time = reader.take(reader.length()) if reader.flag() else None
    return EventNotification(AttributeDescriptor(*_read_descriptor(reader)), axdr.read(reader), time)


def _read_initiate_request(reader: OctetReader) -> InitiateRequest:
    key = reader.take(reader.length()) if reader.flag() else None
    allowed = not reader.flag() or reader.flag()  # DEFAULT TRUE: a presence octet, then the value
    quality = reader.octet() if reader.flag() else None
    version, conformance = reader.octet(), read_conformance(reader)
    return InitiateRequest(conformance, reader.unsigned(2), key, allowed, quality, version)


def _read_initiate_response(reader: OctetReader) -> InitiateResponse:
    quality = reader.octet() if reader.flag() else None
    version, conformance = reader.octet(), read_conformance(reader)
    return InitiateResponse(conformance, reader.unsigned(2), quality, version, reader.unsigned(2))


_DECODERS: dict[int, tuple[str, Callable[[OctetReader], Apdu]]] = {
    GetRequest.TAG: ("get-request", _read_get_request),
    GetResponse.TAG: ("get-response", _read_get_response),
    SetRequest.TAG: ("set-request", _read_set_request),
    SetResponse.TAG: ("set-response", _read_set_response),
    ActionRequest.TAG: ("action-request", _read_action_request),
    ActionResponse.TAG: ("action-response", _read_action_response),
    ExceptionResponse.TAG: ("exception-response", _read_exception),
    ConfirmedServiceError.TAG: ("confirmed-service-error", _read_confirmed_service_error),
    DataNotification.TAG: ("data-notification", _read_data_notification),
    EventNotification.TAG: ("event-notification-request", _read_event_notification),
    InitiateRequest.TAG: ("initiate-request", _read_initiate_request),
    InitiateResponse.TAG: ("initiate-response", _read_initiate_response),
}
