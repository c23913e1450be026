"""The two ways in which a server says that it could not take an APDU at all. Neither is ever authenticated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosem_objects.dlms.apdu.results import ServiceError, StateError
from cosem_objects.names import spell
from cosem_objects.octets import OctetReader


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


def read_exception_response(reader: OctetReader) -> ExceptionResponse:
    state, service = reader.octet(), reader.octet()
    counter = reader.unsigned(4) if service == ServiceError.INVOCATION_COUNTER_ERROR and reader.remaining else None
    return ExceptionResponse(state, service, counter)


def read_confirmed_service_error(reader: OctetReader) -> ConfirmedServiceError:
    return ConfirmedServiceError(reader.octet(), reader.octet(), reader.octet())
