"""A concentrator with a meter behind it: takes off and puts on the prefix that names the meter."""

from __future__ import annotations

from cosem_objects.dlms.apdu import (
    ExceptionResponse,
    NetworkAddress,
    PrefixedRequest,
    PrefixedResponse,
    ServiceError,
    StateError,
    decode,
)
from cosem_objects.errors import RemoteProtocolError

UNREACHABLE = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE).encode()
"""What the concentrator itself answers: there is no such meter."""


class Concentrator:
    """In front of the one meter at ``meter``."""

    def __init__(self, meter: NetworkAddress) -> None:
        self._meter = meter

    def take_off(self, octets: bytes) -> bytes | None:
        """The APDU for the meter; None if it is not for this one."""
        try:
            request = decode(octets)
        except RemoteProtocolError:
            return None
        if not isinstance(request, PrefixedRequest) or request.address != self._meter:
            return None
        return request.apdu

    def put_on(self, apdu: bytes) -> bytes:
        """What the meter says, on its way to the client."""
        return PrefixedResponse(self._meter.network_id, self._meter.physical, apdu).encode()
