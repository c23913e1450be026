"""From octets to an APDU, by its tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cosem_objects.dlms.apdu.action import (
    ActionRequest,
    ActionRequestForm,
    ActionRequestWithList,
    ActionResponse,
    ActionResponseForm,
    ActionResponseWithList,
    read_action_request,
    read_action_response,
)
from cosem_objects.dlms.apdu.blocks import GeneralBlockTransfer, read_general_block_transfer
from cosem_objects.dlms.apdu.get import (
    GetRequest,
    GetRequestForm,
    GetRequestWithList,
    GetResponse,
    GetResponseForm,
    GetResponseWithList,
    read_get_request,
    read_get_response,
)
from cosem_objects.dlms.apdu.initiate import (
    InitiateRequest,
    InitiateResponse,
    read_initiate_request,
    read_initiate_response,
)
from cosem_objects.dlms.apdu.notification import (
    DataNotification,
    EventNotification,
    read_data_notification,
    read_event_notification,
)
from cosem_objects.dlms.apdu.prefix import (
    PrefixedRequest,
    PrefixedResponse,
    read_prefixed_request,
    read_prefixed_response,
)
from cosem_objects.dlms.apdu.refusal import (
    ConfirmedServiceError,
    ExceptionResponse,
    read_confirmed_service_error,
    read_exception_response,
)
from cosem_objects.dlms.apdu.set import (
    SetRequest,
    SetRequestForm,
    SetRequestWithList,
    SetResponse,
    SetResponseForm,
    SetResponseWithList,
    read_set_request,
    read_set_response,
)
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader

Request: TypeAlias = (
    GetRequest | GetRequestWithList | SetRequest | SetRequestWithList | ActionRequest | ActionRequestWithList
)
"""What objects are asked: whole, however many blocks it came in."""
Response: TypeAlias = (
    GetResponse | GetResponseWithList | SetResponse | SetResponseWithList | ActionResponse | ActionResponseWithList
)
"""What objects answer: whole, however many blocks it goes out in."""
Notification: TypeAlias = DataNotification | EventNotification
ServiceApdu: TypeAlias = (
    GetRequestForm | GetResponseForm | SetRequestForm | SetResponseForm | ActionRequestForm | ActionResponseForm
)
Apdu: TypeAlias = (
    ServiceApdu
    | Notification
    | ExceptionResponse
    | ConfirmedServiceError
    | InitiateRequest
    | InitiateResponse
    | GeneralBlockTransfer
    | PrefixedRequest
    | PrefixedResponse
)

_READERS: dict[int, tuple[str, Callable[[OctetReader], Apdu]]] = {
    GetRequest.TAG: ("get-request", read_get_request),
    GetResponse.TAG: ("get-response", read_get_response),
    SetRequest.TAG: ("set-request", read_set_request),
    SetResponse.TAG: ("set-response", read_set_response),
    ActionRequest.TAG: ("action-request", read_action_request),
    ActionResponse.TAG: ("action-response", read_action_response),
    ExceptionResponse.TAG: ("exception-response", read_exception_response),
    ConfirmedServiceError.TAG: ("confirmed-service-error", read_confirmed_service_error),
    DataNotification.TAG: ("data-notification", read_data_notification),
    EventNotification.TAG: ("event-notification-request", read_event_notification),
    InitiateRequest.TAG: ("initiate-request", read_initiate_request),
    InitiateResponse.TAG: ("initiate-response", read_initiate_response),
    GeneralBlockTransfer.TAG: ("general-block-transfer", read_general_block_transfer),
    PrefixedRequest.TAG: ("gateway-request", read_prefixed_request),
    PrefixedResponse.TAG: ("gateway-response", read_prefixed_response),
}
TAG_NAMES = {tag: name for tag, (name, _) in _READERS.items()}
"""The standard's names of the plain xDLMS APDUs that are known here, by tag."""


class UnknownTagError(RemoteProtocolError):
    """An APDU of a kind that is not known here."""


def decode(apdu: bytes) -> Apdu:
    """One plain (deciphered) xDLMS APDU. Raises ``RemoteProtocolError``."""
    if not apdu:
        raise RemoteProtocolError("an empty APDU")
    known = _READERS.get(apdu[0])
    if known is None:
        raise UnknownTagError(f"an APDU of unknown tag {apdu[0]:02X}")
    name, read = known
    reader = OctetReader(apdu, name, 1)
    decoded = read(reader)
    reader.finish()
    return decoded


def is_apdu(octets: bytes) -> bool:
    """Whether these octets are a whole APDU of the kinds that stand under an authentication tag."""
    if not octets or octets[0] not in _READERS:
        return False
    try:
        decoded = decode(octets)
    except RemoteProtocolError:
        return False
    # These go around what is ciphered.
    return not isinstance(decoded, PrefixedRequest | PrefixedResponse | GeneralBlockTransfer)
