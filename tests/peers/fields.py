"""Our APDUs in the words of the peers: what each says about the same octets when both read them alike.

`describe` gives the plain fields of dlms_cosem_parse.py, `gurux_lines` the values in the order in which they stand in
the XML of Gurux' translator (gurux_codec.py).
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import CompactArray, Data, DataType
from cosem_objects.dlms import acse, apdu
from cosem_objects.octets import OctetReader
from transports.hdlc.frame import Frame

Fields: TypeAlias = dict[str, Any]

ERRORS = ["ApplicationReferenceError", "HardwareResourceError", "VdeStateError", "ServiceError", "DefinitionError"]
ERRORS += ["AccessError", "InitiateError", "LoadDataError", "DataScopeError"]  # by their number in the standard

# --- our objects as plain fields ---


def hexed(octets: bytes | None) -> str | None:
    return None if octets is None else octets.hex()


def attribute_fields(descriptor: apdu.AttributeDescriptor) -> Fields:
    return {"class_id": descriptor.class_id, "obis": descriptor.obis.octets.hex(), "attribute": descriptor.attribute}


def result_fields(result: Data | int | None, name: str) -> Fields:
    if isinstance(result, Data):
        return {name: axdr.encode(result).hex(), "error": None}
    return {name: None, "error": result}


def selection_fields(selection: tuple[int, Data] | None) -> str | None:
    return None if selection is None else bytes([selection[0]]).hex() + axdr.encode(selection[1]).hex()


DESCRIPTIONS: dict[type, Callable[[Any], Fields]] = {
    apdu.GetRequest: lambda it: {
        "invoke": it.invoke,
        **attribute_fields(it.attribute),
        "selection": selection_fields(it.selection),
    },
    apdu.GetRequestNext: lambda it: {"invoke": it.invoke, "block_number": it.number},
    apdu.GetRequestWithList: lambda it: {
        "invoke": it.invoke,
        "attributes": [
            {**attribute_fields(attribute), "selection": selection_fields(selection)}
            for attribute, selection in it.attributes
        ],
    },
    apdu.GetResponse: lambda it: {"invoke": it.invoke, **result_fields(it.result, "data")},
    apdu.GetResponseWithDataBlock: lambda it: {
        "invoke": it.invoke,
        "last": it.is_last,
        "block_number": it.number,
        "data": it.result.hex() if isinstance(it.result, bytes) else None,
        "error": it.result if isinstance(it.result, int) else None,
    },
    apdu.GetResponseWithList: lambda it: {
        "invoke": it.invoke,
        "results": [
            {"data": axdr.encode(one).hex()} if isinstance(one, Data) else {"error": one} for one in it.results
        ],
    },
    apdu.SetRequest: lambda it: {
        "invoke": it.invoke,
        **attribute_fields(it.attribute),
        "selection": selection_fields(it.selection),
        "data": axdr.encode(it.data).hex(),
    },
    apdu.SetResponse: lambda it: {"invoke": it.invoke, "result": it.result},
    apdu.ActionRequest: lambda it: {
        "invoke": it.invoke,
        "class_id": it.method.class_id,
        "obis": it.method.obis.octets.hex(),
        "method": it.method.method,
        "data": None if it.data is None else axdr.encode(it.data).hex(),
    },
    apdu.ActionResponse: lambda it: {
        "invoke": it.invoke,
        "result": it.result,
        **result_fields(it.returned, "returned"),
    },
    apdu.ExceptionResponse: lambda it: {
        "state_error": it.state_error,
        "service_error": it.service_error,
        "invocation_counter": it.invocation_counter,
    },
    apdu.ConfirmedServiceError: lambda it: {"error": ERRORS[it.kind], "value": it.value},
    apdu.DataNotification: lambda it: {
        "long_invoke": it.long_invoke,
        "time": str(moment(it.date_time)) if it.date_time else None,
        "body": axdr.encode(it.body).hex(),
    },
    apdu.InitiateRequest: lambda it: {
        "dedicated_key": hexed(it.dedicated_key),
        "response_allowed": it.response_allowed,
        "quality_of_service": it.quality_of_service,
        "dlms_version": it.dlms_version,
        "conformance": it.conformance.to_bytes(3, "big").hex(),
        "pdu_size_max": it.pdu_size_max,
    },
    apdu.InitiateResponse: lambda it: {
        "quality_of_service": it.quality_of_service,
        "dlms_version": it.dlms_version,
        "conformance": it.conformance.to_bytes(3, "big").hex(),
        "pdu_size_max": it.pdu_size_max,
    },
    acse.Aarq: lambda it: {
        "context": it.context,
        "system_title": hexed(it.calling_ap_title),
        "mechanism": it.mechanism,
        "authentication": hexed(it.authentication),
        "user_information": user_information(it.user_information),
    },
    acse.Aare: lambda it: {
        "context": it.context,
        "result": it.result,
        "diagnostic": it.diagnostic,
        "provider": it.provider_diagnostic,
        "system_title": hexed(it.responding_ap_title),
        "mechanism": it.mechanism,
        "authentication": hexed(it.authentication),
        "user_information": user_information(it.user_information),
    },
    acse.Rlrq: lambda it: {"reason": it.reason, "user_information": user_information(it.user_information)},
    acse.Rlre: lambda it: {"reason": it.reason, "user_information": user_information(it.user_information)},
    Frame: lambda it: {
        "destination": it.destination.encode().hex(),
        "source": it.source.encode().hex(),
        "control": it.control,
        "information": it.information.hex(),
        "segmented": it.segmented,
    },
}


def describe(thing: object) -> Fields:
    return DESCRIPTIONS[type(thing)](thing)


def user_information(octets: bytes | None) -> Fields | None:
    if octets is None:
        return None
    if octets[0] in {0x21, 0x28}:
        return ciphered_fields(octets[1:])
    return describe(apdu.decode(octets))


def ciphered_fields(after_tag: bytes) -> Fields:
    reader = OctetReader(after_tag, "ciphered")
    body = reader.take(reader.length())
    reader.finish()
    counter = int.from_bytes(body[1:5], "big")
    return {"security_control": body[0], "invocation_counter": counter, "ciphered": body[5:].hex()}


def moment(octets: bytes) -> datetime.datetime:
    """A date-time as dlms-cosem hands it out; the deviation counts from local time to UTC."""
    year, month, day, _weekday, hour, minute, second, hundredths, deviation, _status = struct.unpack(">H7BhB", octets)
    zone = datetime.timezone(datetime.timedelta(minutes=-deviation))
    return datetime.datetime(year, month, day, hour, minute, second, hundredths * 10_000, zone)


def plain_value(data: Data) -> Any:
    """COSEM data as dlms-cosem's `to_python` shows it."""
    if isinstance(data.value, tuple):
        return [plain_value(element) for element in data.value]
    if not isinstance(data.value, bytes) or data.type is DataType.OCTET_STRING or 0xFF in data.value[:8]:
        return data.value.hex() if isinstance(data.value, bytes) else data.value
    if data.type is DataType.DATE_TIME:
        return str(moment(data.value))
    if data.type is DataType.DATE:
        return str(datetime.date(*struct.unpack(">HBB", data.value[:4])))
    hour, minute, second, hundredths = data.value
    return str(datetime.time(hour, minute, second, hundredths * 10_000))


# --- the same in the words of Gurux' translator ---

ERROR_WORDS = {
    0: "Success",
    1: "HardwareFault",
    2: "TemporaryFailure",
    3: "ReadWriteDenied",
    4: "UndefinedObject",
    9: "InconsistentClass",
    11: "UnavailableObject",
    12: "UnmatchedType",
    13: "AccessViolated",
    14: "DataBlockUnavailable",
    15: "LongGetOrReadAborted",
    16: "NoLongGetOrReadInProgress",
    17: "LongSetOrWriteAborted",
    18: "NoLongSetOrWriteInProgress",
    19: "DataBlockNumberInvalid",
    250: "OtherReason",
}
"""Data-access-result; Gurux has no other words for action-result, where 15 and 16 speak of a long action."""
SERVICE_ERROR_WORDS = {
    3: ("Service", ["Other", "PduSize", "ServiceUnsupported"]),
    5: ("Access", ["Other", "ScopeOfAccessViolated", "ObjectAccessInvalid", "HardwareFault"]),
    6: (
        "Initiate",
        ["Other", "DlmsVersionTooLow", "IncompatibleConformance", "PduSizeTooShort", "RefusedByTheVDEHandler"],
    ),
}
CONFORMANCE_WORDS = {
    apdu.Conformance.GENERAL_PROTECTION: "GeneralProtection",
    apdu.Conformance.GENERAL_BLOCK_TRANSFER: "GeneralBlockTransfer",
    apdu.Conformance.ATTRIBUTE0_SUPPORTED_WITH_SET: "Attribute0SupportedWithSet",
    apdu.Conformance.PRIORITY_MGMT_SUPPORTED: "PriorityMgmtSupported",
    apdu.Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET: "Attribute0SupportedWithGet",
    apdu.Conformance.BLOCK_TRANSFER_WITH_GET: "BlockTransferWithGetOrRead",
    apdu.Conformance.BLOCK_TRANSFER_WITH_SET: "BlockTransferWithSetOrWrite",
    apdu.Conformance.BLOCK_TRANSFER_WITH_ACTION: "BlockTransferWithAction",
    apdu.Conformance.MULTIPLE_REFERENCES: "MultipleReferences",
    apdu.Conformance.DATA_NOTIFICATION: "DataNotification",
    apdu.Conformance.ACCESS: "Access",
    apdu.Conformance.GET: "Get",
    apdu.Conformance.SET: "Set",
    apdu.Conformance.SELECTIVE_ACCESS: "SelectiveAccess",
    apdu.Conformance.EVENT_NOTIFICATION: "EventNotification",
    apdu.Conformance.ACTION: "Action",
}
NUMBER_WORDS = {
    DataType.INTEGER: ("Int8", 2),
    DataType.LONG: ("Int16", 4),
    DataType.DOUBLE_LONG: ("Int32", 8),
    DataType.LONG64: ("Int64", 16),
    DataType.UNSIGNED: ("UInt8", 2),
    DataType.LONG_UNSIGNED: ("UInt16", 4),
    DataType.DOUBLE_LONG_UNSIGNED: ("UInt32", 8),
    DataType.LONG64_UNSIGNED: ("UInt64", 16),
    DataType.ENUM: ("Enum", 2),
    DataType.BCD: ("BCD", 2),
}
TEXT_WORDS = {DataType.VISIBLE_STRING: "String", DataType.UTF8_STRING: "StringUTF8", DataType.BIT_STRING: "BitString"}


def lines_of_data(data: Data) -> list[str]:
    value = data.value
    if data.type in NUMBER_WORDS:
        word, digits = NUMBER_WORDS[data.type]
        return [f"{word}={data.integer % 16**digits:0{digits}X}"]
    if isinstance(value, tuple):
        count = f"{'Array' if data.type is DataType.ARRAY else 'Structure'}#{len(value):02X}"
        return [count, *(line for element in value for line in lines_of_data(element))]
    if isinstance(value, CompactArray):
        return ["CompactArray", *(line for element in value.elements for line in lines_of_data(element))]
    if isinstance(value, bytes):
        return [f"{data.type.standard_name.title().replace('-', '')}={value.hex().upper()}"]
    if data.type in TEXT_WORDS:
        return [f"{TEXT_WORDS[data.type]}={value}"]
    if data.type is DataType.BOOLEAN:
        return [f"Boolean={value}"]
    if isinstance(value, float):
        layout = ">f" if data.type is DataType.FLOAT32 else ">d"
        return [f"Float{len(struct.pack(layout, value)) * 8}={struct.pack(layout, value).hex().upper()}"]
    return ["None" if data.type is DataType.NULL_DATA else data.type.standard_name]


def _invoke(thing: Any) -> str:
    return f"InvokeIdAndPriority={thing.invoke:02X}"


def _attribute(attribute: apdu.AttributeDescriptor) -> list[str]:
    return _member(attribute.class_id, attribute.obis.octets, f"AttributeId={attribute.attribute & 0xFF:02X}")


def _method(method: apdu.MethodDescriptor) -> list[str]:
    return _member(method.class_id, method.obis.octets, f"MethodId={method.method & 0xFF:02X}")


def _member(class_id: int, obis: bytes, member: str) -> list[str]:
    return [f"ClassId={class_id:04X}", f"InstanceId={obis.hex().upper()}", member]


def _selection(selection: apdu.Selection) -> list[str]:
    return [] if selection is None else [f"AccessSelector={selection[0]:02X}", *lines_of_data(selection[1])]


def _result(result: apdu.Result, word: str = "DataAccessError") -> list[str]:
    return lines_of_data(result) if isinstance(result, Data) else [f"{word}={ERROR_WORDS[result]}"]


def _block(block: apdu.DataBlock) -> list[str]:
    return [
        f"LastBlock={block.is_last:02X}",
        f"BlockNumber={block.number:08X}",
        f"RawData={block.octets.hex().upper()}",
    ]


def _get_block(it: apdu.GetResponseWithDataBlock) -> list[str]:
    if isinstance(it.result, bytes):
        content = f"RawData={it.result.hex().upper()}"
    else:
        content = f"DataAccessResult={ERROR_WORDS[it.result]}"
    return [_invoke(it), f"LastBlock={it.is_last:02X}", f"BlockNumber={it.number:08X}", content]


def _selected(attributes: Any) -> list[str]:
    listed = [line for attribute, selection in attributes for line in _attribute(attribute) + _selection(selection)]
    return [f"AttributeDescriptorList#{len(attributes):02X}", *listed]


def _list(word: str, things: Any, lines: Callable[[Any], list[str]]) -> list[str]:
    return [f"{word}#{len(things):02X}", *(line for thing in things for line in lines(thing))]


def _conformance(conformance: apdu.Conformance) -> list[str]:
    return [f"ConformanceBit={word}" for bit, word in CONFORMANCE_WORDS.items() if bit in conformance]


def _initiate_request(it: apdu.InitiateRequest) -> list[str]:
    key = [] if it.dedicated_key is None else [f"DedicatedKey={it.dedicated_key.hex().upper()}"]
    quality = [] if it.quality_of_service is None else [f"ProposedQualityOfService={it.quality_of_service}"]
    allowed = [] if it.response_allowed else ["ResponseAllowed=False"]
    version = f"ProposedDlmsVersionNumber={it.dlms_version:02X}"
    return [
        *key,
        *allowed,
        *quality,
        version,
        *_conformance(it.conformance),
        f"ProposedMaxPduSize={it.pdu_size_max:04X}",
    ]


def _initiate_response(it: apdu.InitiateResponse) -> list[str]:
    quality = [] if it.quality_of_service is None else [f"NegotiatedQualityOfService={it.quality_of_service:02X}"]
    version = f"NegotiatedDlmsVersionNumber={it.dlms_version:02X}"
    size = f"NegotiatedMaxPduSize={it.pdu_size_max:04X}"
    return [*quality, version, *_conformance(it.conformance), size, f"VaaName={it.vaa_name:04X}"]


def _action_response(it: apdu.ActionResponse) -> list[str]:
    returned = [] if it.returned is None else _result(it.returned)
    return [_invoke(it), f"Result={ERROR_WORDS[it.result]}", *returned]


def _exception(it: apdu.ExceptionResponse) -> list[str]:
    states = {1: "ServiceNotAllowed", 2: "ServiceUnknown"}
    services = {1: "OperationNotPossible", 2: "ServiceNotSupported", 3: "OtherReason", 4: "PduTooLong"}
    services |= {5: "DecipheringError", 6: "InvocationCounterError"}
    return [f"StateError={states[it.state_error]}", f"ServiceError={services[it.service_error]}"]


def _service_error(it: apdu.ConfirmedServiceError) -> list[str]:
    word, values = SERVICE_ERROR_WORDS[it.kind]
    return [f"Service={it.service:02X}", f"{word}={values[it.value]}"]


CONTEXT_WORDS = {1: "LN", 3: "LN_WITH_CIPHERING"}
MECHANISM_WORDS = {1: "Low", 5: "HighGmac", 6: "HighSha256"}
REASON_WORDS = {
    acse.Rlrq: {0: "Normal", 1: "Urgent", 30: "UserDefined"},
    acse.Rlre: {0: "Normal", 1: "NotFinished", 30: "UserDefined"},
}


def _information(octets: bytes | None) -> list[str]:
    return [] if octets is None else gurux_lines(apdu.decode(octets))[1]


def _acse_title(word: str, title: bytes | None) -> list[str]:
    return [] if title is None else [f"{word}={title.hex().upper()}"]


def _authentication(side: str, mechanism: int | None, value: bytes | None) -> list[str]:
    if not mechanism:
        return []
    requirement = {"Calling": "SenderACSERequirements", "Responding": "ResponderACSERequirement"}[side]
    shown = [] if value is None else [f"{side}Authentication={value.hex().upper()}"]
    return [f"{requirement}=1", f"MechanismName={MECHANISM_WORDS[mechanism]}", *shown]


def _aarq(it: acse.Aarq) -> list[str]:
    return [
        f"ApplicationContextName={CONTEXT_WORDS[it.context]}",
        *_acse_title("CallingAPTitle", it.calling_ap_title),
        *_authentication("Calling", it.mechanism, it.authentication),
        *_information(it.user_information),
    ]


def _aare(it: acse.Aare) -> list[str]:
    return [
        f"ApplicationContextName={CONTEXT_WORDS[it.context]}",
        f"AssociationResult={it.result:02X}",
        f"ACSEService{'Provider' if it.provider_diagnostic else 'User'}={it.diagnostic:02X}",
        *_acse_title("RespondingAPTitle", it.responding_ap_title),
        *_authentication("Responding", it.mechanism, it.authentication),
        *_information(it.user_information),
    ]


def _release(it: acse.Rlrq | acse.Rlre) -> list[str]:
    reason = [] if it.reason is None else [f"Reason={REASON_WORDS[type(it)][it.reason]}"]
    return [*reason, *_information(it.user_information)]


GURUX: dict[type, tuple[str, Callable[[Any], list[str]]]] = {
    apdu.GetRequest: (
        "GetRequest/GetRequestNormal",
        lambda it: [_invoke(it), *_attribute(it.attribute), *_selection(it.selection)],
    ),
    apdu.GetRequestNext: (
        "GetRequest/GetRequestForNextDataBlock",
        lambda it: [_invoke(it), f"BlockNumber={it.number:08X}"],
    ),
    apdu.GetRequestWithList: ("GetRequest/GetRequestWithList", lambda it: [_invoke(it), *_selected(it.attributes)]),
    apdu.GetResponse: ("GetResponse/GetResponseNormal", lambda it: [_invoke(it), *_result(it.result)]),
    apdu.GetResponseWithDataBlock: ("GetResponse/GetResponsewithDataBlock", _get_block),
    apdu.GetResponseWithList: (
        "GetResponse/GetResponseWithList",
        lambda it: [_invoke(it), *_list("Result", it.results, _result)],
    ),
    apdu.SetRequest: (
        "SetRequest/SetRequestNormal",
        lambda it: [_invoke(it), *_attribute(it.attribute), *_selection(it.selection), *lines_of_data(it.data)],
    ),
    apdu.SetRequestWithFirstDataBlock: (
        "SetRequest/SetRequestFirstDataBlock",
        lambda it: [_invoke(it), *_attribute(it.attribute), *_selection(it.selection), *_block(it.block)],
    ),
    apdu.SetRequestWithDataBlock: (
        "SetRequest/SetRequestWithDataBlock",
        lambda it: [_invoke(it), *_block(it.block)],
    ),
    apdu.SetRequestWithList: (
        "SetRequest/SetRequestWithList",
        lambda it: [_invoke(it), *_selected(it.attributes), *_list("ValueList", it.values, lines_of_data)],
    ),
    apdu.SetRequestWithListAndFirstDataBlock: (
        "SetRequest/SetRequestWithListAndFirstDataBlock",
        lambda it: [_invoke(it), *_selected(it.attributes), *_block(it.block)],
    ),
    apdu.SetResponse: ("SetResponse/SetResponseNormal", lambda it: [_invoke(it), *_result(it.result, "Result")]),
    apdu.SetResponseDataBlock: (
        "SetResponse/SetResponseDataBlock",
        lambda it: [_invoke(it), f"BlockNumber={it.number:08X}"],
    ),
    apdu.SetResponseLastDataBlock: (
        "SetResponse/SetResponseWithLastDataBlock",
        lambda it: [_invoke(it), *_result(it.result, "Result"), f"BlockNumber={it.number:08X}"],
    ),
    apdu.SetResponseLastDataBlockWithList: (
        "SetResponse/SetResponseLastDataBlockWithList",
        lambda it: [_invoke(it), *_list("Result", it.results, lambda one: _result(one, "DataAccessResult"))],
    ),
    apdu.SetResponseWithList: (
        "SetResponse/SetResponseWithList",
        lambda it: [
            _invoke(it),
            f"Result#{len(it.results)}",  # in decimals, where all others are hexadecimal
            *(line for one in it.results for line in _result(one, "DataAccessResult")),
        ],
    ),
    apdu.ActionRequest: (
        "ActionRequest/ActionRequestNormal",
        lambda it: [_invoke(it), *_method(it.method), *([] if it.data is None else lines_of_data(it.data))],
    ),
    apdu.ActionRequestNextPblock: (
        "ActionRequest/ActionRequestNextPBlock",
        lambda it: [_invoke(it), f"BlockNumber={it.number:08X}"],
    ),
    apdu.ActionRequestWithList: (
        "ActionRequest/ActionRequestWithList",
        lambda it: [
            _invoke(it),
            *_list("MethodDescriptorList", it.methods, _method),
            *_list("ValueList", it.values, lines_of_data),
        ],
    ),
    apdu.ActionRequestWithFirstPblock: (
        "ActionRequest/ActionRequestWithFirstPBlock",
        lambda it: [_invoke(it), *_method(it.method), *_block(it.block)],
    ),
    apdu.ActionRequestWithListAndFirstPblock: (
        "ActionRequest/ActionRequestWithListAndFirstPBlock",
        lambda it: [_invoke(it), *_list("MethodDescriptorList", it.methods, _method), *_block(it.block)],
    ),
    apdu.ActionRequestWithPblock: (
        "ActionRequest/ActionRequestWithPBlock",
        lambda it: [_invoke(it), *_block(it.block)],
    ),
    apdu.ActionResponse: ("ActionResponse/ActionResponseNormal", _action_response),
    apdu.ActionResponseWithPblock: (
        "ActionResponse/ActionResponseWithPBlock",
        lambda it: [_invoke(it), *_block(it.block)],
    ),
    apdu.ActionResponseWithList: (
        "ActionResponse/ActionResponseWithList",
        lambda it: [_invoke(it), f"Result#{len(it.outcomes):02X}"],
    ),
    apdu.ActionResponseNextPblock: (
        "ActionResponse/ActionResponseNextBlock",
        lambda it: [_invoke(it), f"BlockNumber={it.number:08X}"],
    ),
    apdu.ExceptionResponse: ("ExceptionResponse", _exception),
    apdu.ConfirmedServiceError: ("ConfirmedServiceError/ServiceError", _service_error),
    apdu.DataNotification: (
        "DataNotification/NotificationBody",
        lambda it: [
            f"LongInvokeIdAndPriority={it.long_invoke:08X}",
            f"DateTime={it.date_time.hex().upper()}",
            *lines_of_data(it.body),
        ],
    ),
    apdu.EventNotification: (
        "EventNotificationRequest/AttributeDescriptor",
        lambda it: [
            *([] if it.time is None else [f"Time={it.time.hex().upper()}"]),
            *_attribute(it.attribute),
            *lines_of_data(it.value),
        ],
    ),
    apdu.GeneralBlockTransfer: (
        "GeneralBlockTransfer",
        lambda it: [
            f"BlockControl={it.encode()[1]:02X}",
            f"BlockNumber={it.number:04X}",
            f"BlockNumberAck={it.acknowledged:04X}",
            f"BlockData={it.octets.hex().upper()}",
        ],
    ),
    apdu.InitiateRequest: ("InitiateRequest/ProposedConformance", _initiate_request),
    apdu.InitiateResponse: ("InitiateResponse/NegotiatedConformance", _initiate_response),
    acse.Aarq: ("AssociationRequest/InitiateRequest", _aarq),
    acse.Aare: ("AssociationResponse/ResultSourceDiagnostic", _aare),
    acse.Rlrq: ("ReleaseRequest", _release),
    acse.Rlre: ("ReleaseResponse", _release),
    apdu.PrefixedRequest: (
        "GatewayRequest/GetRequest",
        lambda it: [
            f"NetworkId={it.network_id}",
            f"PhysicalDeviceAddress={it.physical_address.hex().upper()}",
            *gurux_lines(apdu.decode(it.apdu))[1],
        ],
    ),
    apdu.PrefixedResponse: (
        "GatewayResponse/SetResponse",
        lambda it: [
            f"NetworkId={it.network_id}",
            f"PhysicalDeviceAddress={it.physical_address.hex().upper()}",
            *gurux_lines(apdu.decode(it.apdu))[1],
        ],
    ),
}


def gurux_lines(thing: Any) -> tuple[str, list[str]]:
    """The form, and the values."""
    form, lines = GURUX[type(thing)]
    if isinstance(thing, (acse.Rlrq, acse.Rlre)) and thing.user_information is not None:
        form += "/InitiateRequest" if isinstance(thing, acse.Rlrq) else "/InitiateResponse"
    return form, lines(thing)
