"""xDLMS APDUs: the services GET, SET and ACTION, notifications, and the ways of saying no.

IEC 62056-5-3 (Green Book clause 9.5, ASN.1 of the COSEM application layer). One file for each service. Each class
knows its bytes both ways: ``encode()``, and ``decode(apdu)`` for all of them. Blocks are APDUs of their own here; who
puts them together is the association.
"""

from cosem_objects.dlms.apdu.action import (
    ActionRequest,
    ActionRequestNextPblock,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponse,
    ActionResponseNextPblock,
    ActionResponseWithList,
    ActionResponseWithPblock,
    Outcome,
)
from cosem_objects.dlms.apdu.blocks import (
    DataBlock,
    GeneralBlockTransfer,
)
from cosem_objects.dlms.apdu.decoder import (
    TAG_NAMES,
    Apdu,
    Notification,
    Request,
    Response,
    ServiceApdu,
    UnknownTagError,
    decode,
    is_apdu,
)
from cosem_objects.dlms.apdu.descriptors import (
    INVOKE_DEFAULT,
    AttributeDescriptor,
    MethodDescriptor,
    Result,
    Selection,
)
from cosem_objects.dlms.apdu.get import (
    GetRequest,
    GetRequestNext,
    GetRequestWithList,
    GetResponse,
    GetResponseWithDataBlock,
    GetResponseWithList,
)
from cosem_objects.dlms.apdu.initiate import (
    DLMS_VERSION,
    Conformance,
    InitiateRequest,
    InitiateResponse,
    encode_conformance,
    read_conformance,
)
from cosem_objects.dlms.apdu.notification import (
    DataNotification,
    EventNotification,
)
from cosem_objects.dlms.apdu.prefix import NetworkAddress, PrefixedRequest, PrefixedResponse
from cosem_objects.dlms.apdu.refusal import (
    ConfirmedServiceError,
    ExceptionResponse,
)
from cosem_objects.dlms.apdu.results import (
    ActionResult,
    DataAccessResult,
    ServiceError,
    StateError,
)
from cosem_objects.dlms.apdu.set import (
    SetRequest,
    SetRequestWithDataBlock,
    SetRequestWithFirstDataBlock,
    SetRequestWithList,
    SetRequestWithListAndFirstDataBlock,
    SetResponse,
    SetResponseDataBlock,
    SetResponseLastDataBlock,
    SetResponseLastDataBlockWithList,
    SetResponseWithList,
)

__all__ = [
    "DLMS_VERSION",
    "INVOKE_DEFAULT",
    "TAG_NAMES",
    "ActionRequest",
    "ActionRequestNextPblock",
    "ActionRequestWithFirstPblock",
    "ActionRequestWithList",
    "ActionRequestWithListAndFirstPblock",
    "ActionRequestWithPblock",
    "ActionResponse",
    "ActionResponseNextPblock",
    "ActionResponseWithList",
    "ActionResponseWithPblock",
    "ActionResult",
    "Apdu",
    "AttributeDescriptor",
    "ConfirmedServiceError",
    "Conformance",
    "DataAccessResult",
    "DataBlock",
    "DataNotification",
    "EventNotification",
    "ExceptionResponse",
    "GeneralBlockTransfer",
    "GetRequest",
    "GetRequestNext",
    "GetRequestWithList",
    "GetResponse",
    "GetResponseWithDataBlock",
    "GetResponseWithList",
    "InitiateRequest",
    "InitiateResponse",
    "MethodDescriptor",
    "NetworkAddress",
    "Notification",
    "Outcome",
    "PrefixedRequest",
    "PrefixedResponse",
    "Request",
    "Response",
    "Result",
    "Selection",
    "ServiceApdu",
    "ServiceError",
    "SetRequest",
    "SetRequestWithDataBlock",
    "SetRequestWithFirstDataBlock",
    "SetRequestWithList",
    "SetRequestWithListAndFirstDataBlock",
    "SetResponse",
    "SetResponseDataBlock",
    "SetResponseLastDataBlock",
    "SetResponseLastDataBlockWithList",
    "SetResponseWithList",
    "StateError",
    "UnknownTagError",
    "decode",
    "encode_conformance",
    "is_apdu",
    "read_conformance",
]
