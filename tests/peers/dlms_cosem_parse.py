"""What dlms-cosem (25.1.0, Business Source License 1.1, in this process only) makes of bytes, and bytes it makes.

    printf 'get-request C001C1…\nwrapper 0001…\n' | dlms_cosem_parse.py parse '{"ek": "…", "ak": "…"}'
    dlms_cosem_parse.py emit '{}'

`parse` reads lines of `kind hex` and prints one JSON line each, in the same order: `{"kind", "ok": true, "fields"}` or
`{"kind", "ok": false, "error"}`. `emit` prints `{"kind", "hex", "fields"}` for sample APDUs and frames. Fields have
the same names and plain JSON values in both modes, octets as hex; `KINDS` lists the kinds. Two kinds take more:

* `general-glo` with `ek` and `ak` in the options is also deciphered: field `plain`.
* `gmac` is SC || IC || tag (HLS f(challenge)); options `ek`, `ak`, `system_title` and `challenge`: field `valid`.

What dlms-cosem does not know, or codes wrongly, and is therefore left out of `emit` (numbers: the project's notes):
bit-strings (1), boolean, utf8-string, date-time, float in data; lengths above 127 (5, 6); get-response-normal (11, it
cannot be written); an exception-response with a counter (12); data-notification with a time (a presence octet where
the standard has a length); confirmed-service-error for anything but initiate; authenticated-only APDUs (10);
selective access by entry; glo- and ded-service APDUs, general-ded (7). HDLC frames are parsed as the client that
the library is: UA, I, RR and UI from a server; DISC from a client.
"""

import json
import sys

from dlms_cosem import cosem, dlms_data, enumerations, security, utils
from dlms_cosem.hdlc import frames
from dlms_cosem.hdlc.address import HdlcAddress
from dlms_cosem.protocol import acse, xdlms
from dlms_cosem.protocol.wrappers import WrapperHeader, WrapperProtocolDataUnit
from dlms_cosem.protocol.xdlms.conformance import Conformance
from peer_wire import ServerAddress, limit_each, limit_lifetime, limit_memory, say, to_json

TITLES = {"client": bytes.fromhex("4D4D4D0000000001"), "meter": bytes.fromhex("4D4D4D0000BC614E")}
EK = bytes.fromhex("000102030405060708090A0B0C0D0E0F")
AK = bytes.fromhex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF")


def address_to_bytes(self):
    """Bug 4, as in dlms_cosem_client.py."""
    if self.address_type == "client":
        return bytes([self.logical_address << 1 | 1])
    size = 4 if self.extended_addressing else 1 if self.physical_address is None else 2
    return ServerAddress(self.logical_address, self.physical_address, size).octets()


HdlcAddress.to_bytes = address_to_bytes

conformance_from_bytes = Conformance.from_bytes


def conformance_from_three_or_four(octets):
    """`InitiateRequest.from_bytes` hands over three octets, of which the first, with general protection, is dropped."""
    return conformance_from_bytes(octets if len(octets) == 4 else b"\x00" + octets)


Conformance.from_bytes = conformance_from_three_or_four


# --- the library's objects as plain fields ---


def _title(octets):
    return None if octets is None else bytes(octets).hex()


def _user_information(information):
    return None if information is None else describe(information.content)


def _initiate_request(apdu):
    return {
        "dedicated_key": _title(apdu.dedicated_key),
        "response_allowed": bool(apdu.response_allowed),
        "quality_of_service": apdu.proposed_quality_of_service or None,
        "dlms_version": apdu.proposed_dlms_version_number,
        "conformance": apdu.proposed_conformance.to_bytes()[1:].hex(),
        "pdu_size_max": apdu.client_max_receive_pdu_size,
    }


def _initiate_response(apdu):
    return {
        "quality_of_service": apdu.negotiated_quality_of_service or None,
        "dlms_version": apdu.negotiated_dlms_version_number,
        "conformance": apdu.negotiated_conformance.to_bytes()[1:].hex(),
        "pdu_size_max": apdu.server_max_receive_pdu_size,
    }


def _ciphered(apdu):
    return {
        "security_control": apdu.security_control.to_bytes()[0],
        "invocation_counter": apdu.invocation_counter,
        "ciphered": bytes(apdu.ciphered_text).hex(),
    }


def _aarq(apdu):
    return {
        "context": apdu.application_context_name.context_id,
        "system_title": _title(apdu.system_title),
        "mechanism": int(apdu.authentication or 0),
        "authentication": _title(apdu.authentication_value),
        "user_information": _user_information(apdu.user_information),
    }


def _aare(apdu):
    diagnostic = apdu.result_source_diagnostics
    return {
        "context": apdu.application_context_name.context_id,
        "result": int(apdu.result),
        "diagnostic": int(diagnostic),
        "provider": isinstance(diagnostic, enumerations.AcseServiceProviderDiagnostics),
        "system_title": _title(apdu.system_title),
        "mechanism": None if apdu.authentication is None else int(apdu.authentication),
        "authentication": _title(apdu.authentication_value),
        "user_information": _user_information(apdu.user_information),
    }


def _release(apdu):
    reason = None if apdu.reason is None else int(apdu.reason)
    return {"reason": reason, "user_information": _user_information(apdu.user_information)}


def _invoke(apdu):
    return {"invoke": apdu.invoke_id_and_priority.to_bytes()[0]}


def _attribute(attribute):
    instance = attribute.instance.to_bytes().hex()
    return {"class_id": int(attribute.interface), "obis": instance, "attribute": attribute.attribute}


def _selection(selection):
    return None if selection is None else bytes(selection.to_bytes()).hex()


def _get_request(apdu):
    return {
        **_invoke(apdu),
        **_attribute(apdu.cosem_attribute),
        "selection": _selection(apdu.access_selection),
    }


def _get_list(apdu):
    items = [
        {**_attribute(item.attribute), "selection": _selection(item.access_selection)}
        for item in apdu.cosem_attributes_with_selection
    ]
    return {**_invoke(apdu), "attributes": items}


def _get_list_response(apdu):
    results = [
        {"error": int(item)} if isinstance(item, enumerations.DataAccessResult) else {"data": item.to_bytes().hex()}
        for item in apdu.response_data
    ]
    return {**_invoke(apdu), "results": results}


def _block(apdu, last):
    error = getattr(apdu, "error", None)
    return {
        **_invoke(apdu),
        "last": last,
        "block_number": apdu.block_number,
        "data": None if error is not None else apdu.data.hex(),
        "error": None if error is None else int(error),
    }


def _set_request(apdu):
    return {
        **_invoke(apdu),
        **_attribute(apdu.cosem_attribute),
        "selection": _selection(apdu.access_selection),
        "data": apdu.data.hex(),
    }


def _action_request(apdu):
    method = apdu.cosem_method
    return {
        **_invoke(apdu),
        "class_id": int(method.interface),
        "obis": method.instance.to_bytes().hex(),
        "method": method.method,
        "data": None if apdu.data is None else bytes(apdu.data).hex(),
    }


def _action_response(apdu):
    data, error = getattr(apdu, "data", None), getattr(apdu, "error", None)
    return {
        **_invoke(apdu),
        "result": int(apdu.status),
        "returned": None if data is None else bytes(data).hex(),
        "error": None if error is None else int(error),
    }


def _general_glo(apdu):
    return {"system_title": _title(apdu.system_title), **_ciphered(apdu)}


def _frame(frame):
    return {
        "destination": frame.destination_address.to_bytes().hex(),
        "source": frame.source_address.to_bytes().hex(),
        "control": frame.get_control_field().to_bytes()[0],
        "information": bytes(frame.information).hex(),
        "segmented": frame.segmented,
    }


def _wrapper(unit):
    header = unit.wrapper_header
    return {"source": header.source_wport, "destination": header.destination_wport, "apdu": bytes(unit.data).hex()}


DESCRIPTIONS = {
    acse.ApplicationAssociationRequest: _aarq,
    acse.ApplicationAssociationResponse: _aare,
    acse.ReleaseRequest: _release,
    acse.ReleaseResponse: _release,
    xdlms.InitiateRequest: _initiate_request,
    xdlms.InitiateResponse: _initiate_response,
    xdlms.GlobalCipherInitiateRequest: _ciphered,
    xdlms.GlobalCipherInitiateResponse: _ciphered,
    xdlms.GeneralGlobalCipher: _general_glo,
    xdlms.GetRequestNormal: _get_request,
    xdlms.GetRequestNext: lambda apdu: {**_invoke(apdu), "block_number": apdu.block_number},
    xdlms.GetRequestWithList: _get_list,
    xdlms.GetResponseNormal: lambda apdu: {**_invoke(apdu), "data": apdu.data.hex(), "error": None},
    xdlms.GetResponseNormalWithError: lambda apdu: {**_invoke(apdu), "data": None, "error": int(apdu.error)},
    xdlms.GetResponseWithBlock: lambda apdu: _block(apdu, last=False),
    xdlms.GetResponseLastBlock: lambda apdu: _block(apdu, last=True),
    xdlms.GetResponseLastBlockWithError: lambda apdu: _block(apdu, last=True),
    xdlms.GetResponseWithList: _get_list_response,
    xdlms.SetRequestNormal: _set_request,
    xdlms.SetResponseNormal: lambda apdu: {**_invoke(apdu), "result": int(apdu.result)},
    xdlms.ActionRequestNormal: _action_request,
    xdlms.ActionResponseNormal: _action_response,
    xdlms.ActionResponseNormalWithData: _action_response,
    xdlms.ActionResponseNormalWithError: _action_response,
    xdlms.ExceptionResponse: lambda apdu: {
        "state_error": int(apdu.state_error),
        "service_error": int(apdu.service_error),
        "invocation_counter": apdu.invocation_counter_data,
    },
    xdlms.ConfirmedServiceError: lambda apdu: {"error": type(apdu.error).__name__, "value": int(apdu.error)},
    xdlms.DataNotification: lambda apdu: {
        "long_invoke": int.from_bytes(apdu.long_invoke_id_and_priority.to_bytes(), "big"),
        "time": apdu.date_time,
        "body": apdu.body.hex(),
    },
    frames.SetNormalResponseModeFrame: _frame,
    frames.UnNumberedAcknowledgmentFrame: _frame,
    frames.InformationFrame: _frame,
    frames.ReceiveReadyFrame: _frame,
    frames.DisconnectFrame: _frame,
    frames.UnnumberedInformationFrame: _frame,
    WrapperProtocolDataUnit: _wrapper,
}


def describe(thing):
    return DESCRIPTIONS[type(thing)](thing)


# --- parse ---

KINDS = {
    "aarq": acse.ApplicationAssociationRequest,
    "aare": acse.ApplicationAssociationResponse,
    "rlrq": acse.ReleaseRequest,
    "rlre": acse.ReleaseResponse,
    "initiate-request": xdlms.InitiateRequest,
    "initiate-response": xdlms.InitiateResponse,
    "glo-initiate-request": xdlms.GlobalCipherInitiateRequest,
    "glo-initiate-response": xdlms.GlobalCipherInitiateResponse,
    "general-glo": xdlms.GeneralGlobalCipher,
    "get-request": xdlms.GetRequestFactory,
    "get-response": xdlms.GetResponseFactory,
    "set-request": xdlms.SetRequestFactory,
    "set-response": xdlms.SetResponseFactory,
    "action-request": xdlms.ActionRequestFactory,
    "action-response": xdlms.ActionResponseFactory,
    "exception-response": xdlms.ExceptionResponse,
    "confirmed-service-error": xdlms.ConfirmedServiceError,
    "data-notification": xdlms.DataNotification,
    "hdlc-ua": frames.UnNumberedAcknowledgmentFrame,
    "hdlc-i": frames.InformationFrame,
    "hdlc-rr": frames.ReceiveReadyFrame,
    "hdlc-ui": frames.UnnumberedInformationFrame,
    "hdlc-disc": frames.DisconnectFrame,
    "wrapper": WrapperProtocolDataUnit,
}


def parse(kind, octets, options):
    if kind == "data":
        return {"value": plain_value(utils.parse_as_dlms_data(octets))}
    if kind == "gmac":
        return {"valid": _gmac_is_valid(octets, options)}
    fields = describe(KINDS[kind].from_bytes(octets))
    if kind == "general-glo" and "ek" in options:
        apdu = xdlms.GeneralGlobalCipher.from_bytes(octets)
        fields["plain"] = apdu.to_plain_apdu(bytes.fromhex(options["ek"]), bytes.fromhex(options["ak"])).hex()
    return fields


def plain_value(value):
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    return bytes(value).hex() if isinstance(value, (bytes, bytearray)) else value


def _gmac_is_valid(octets, options):
    challenge, title = bytes.fromhex(options["challenge"]), bytes.fromhex(options["system_title"])
    return _gmac(title, int.from_bytes(octets[1:5], "big"), challenge, options["ek"], options["ak"]) == octets


def _gmac(title, counter, challenge, ek, ak):
    control = security.SecurityControlField(0, authenticated=True, encrypted=False)
    tag = security.gmac(control, title, counter, bytes.fromhex(ek), bytes.fromhex(ak), challenge)
    return control.to_bytes() + counter.to_bytes(4, "big") + tag


def write_again(kind, octets):
    """What the library writes for the thing that it has just read."""
    if kind == "gmac":
        return {}
    try:
        if kind == "data":
            kind_of_data = dlms_data.DlmsDataFactory.get_data_class(octets[0])
            if kind_of_data in {dlms_data.DataArray, dlms_data.DataStructure}:
                return {}  # read into plain values, which no longer say of what type they were
            return {"again": bytes(kind_of_data(utils.parse_as_dlms_data(octets)).to_bytes()).hex()}
        return {"again": bytes(KINDS[kind].from_bytes(octets).to_bytes()).hex()}
    except Exception as error:
        return {"again": None, "again_error": f"{type(error).__name__}: {error}"[:200]}


def parse_lines(options):
    for line in sys.stdin:
        kind, _, octets = line.strip().partition(" ")
        try:
            with limit_each(0.1):
                answer = {"kind": kind, "ok": True, "fields": parse(kind, bytes.fromhex(octets), options)}
                answer |= write_again(kind, bytes.fromhex(octets))
                said = json.dumps(answer, default=to_json)  # a time that it has read may be one that cannot be shown
        except Exception as error:
            said = json.dumps({"kind": kind, "ok": False, "error": f"{type(error).__name__}: {error}"[:300]})
        say(said)


# --- emit ---

GATEWAY_OBIS = cosem.Obis(0, 0, 19, 40, 0, 255)
INVOKES = [xdlms.InvokeIdAndPriority(1, True, True), xdlms.InvokeIdAndPriority(15, False, False)]
INVOKES += [xdlms.InvokeIdAndPriority(0, True, False)]
CONFORMANCES = [
    Conformance(get=True, set=True, action=True, selective_access=True, multiple_references=True),
    Conformance(general_protection=True, get=True, action=True, block_transfer_with_get_or_read=True),
    Conformance(**dict.fromkeys(Conformance.conformance_bit_position, True)),
]


def samples():
    yield from data_samples()
    yield from initiate_samples()
    yield from acse_samples()
    yield from service_samples()
    yield from error_samples()
    yield from ciphered_samples()
    yield from frame_samples()


def data_samples():
    values = [
        dlms_data.DoubleLongData(-2147483648),
        dlms_data.DoubleLongUnsignedData(4294967295),
        dlms_data.OctetStringData(b"48643202781314010686"),
        dlms_data.OctetStringData(b""),
        dlms_data.VisibleStringData("ELECTRICITY"),
        dlms_data.IntegerData(-128),
        dlms_data.LongData(-32768),
        dlms_data.UnsignedIntegerData(255),
        dlms_data.UnsignedLongData(65535),
        dlms_data.Long64Data(-(2**63)),
        dlms_data.UnsignedLong64Data(2**64 - 1),
        dlms_data.EnumData(8),
    ]
    nested = dlms_data.DataStructure([dlms_data.EnumData(3), dlms_data.DataArray(values[:3]), values[5]])
    for value in [*values, dlms_data.DataArray(values), nested, dlms_data.DataArray([])]:
        yield "data", value.to_bytes(), {"value": plain_value(value.to_python())}


def initiate_requests():
    for number, conformance in enumerate(CONFORMANCES):
        key = bytes(range(16)) if number else None
        yield xdlms.InitiateRequest(conformance, None, (65535, 1200, 0)[number], dedicated_key=key)


def initiate_responses():
    for number, conformance in enumerate(CONFORMANCES):
        yield xdlms.InitiateResponse(conformance, (65535, 500, 0)[number])


def initiate_samples():
    for apdu in initiate_requests():
        yield "initiate-request", apdu.to_bytes(), describe(apdu)
    for apdu in initiate_responses():
        yield "initiate-response", apdu.to_bytes(), describe(apdu)


def seal(side, counter, plain):
    control = security.SecurityControlField(0, authenticated=True, encrypted=True)
    return control, counter, security.encrypt(control, TITLES[side], counter, EK, plain, AK)


def acse_samples():
    mechanisms = enumerations.AuthenticationMechanism
    challenge = bytes(range(100, 116))
    for request in initiate_requests():
        yield from _aarq_samples(request, mechanisms, challenge)
    for response in initiate_responses():
        yield from _aare_samples(response, mechanisms, challenge)
    for request in [*initiate_requests(), None]:
        for reason in enumerations.ReleaseRequestReason:
            apdu = acse.ReleaseRequest(reason, request and acse.UserInformation(request))
            yield "rlrq", apdu.to_bytes(), describe(apdu)
    for response in [*initiate_responses(), None]:
        for reason in enumerations.ReleaseResponseReason:
            apdu = acse.ReleaseResponse(reason, response and acse.UserInformation(response))
            yield "rlre", apdu.to_bytes(), describe(apdu)


def _aarq_samples(request, mechanisms, challenge):
    ciphered = xdlms.GlobalCipherInitiateRequest(*seal("client", 0x01234567, request.to_bytes()))
    for mechanism, value in ((None, None), (mechanisms.LLS, b"12345678"), (mechanisms.HLS_GMAC, challenge)):
        for content in (request, ciphered):
            apdu = acse.ApplicationAssociationRequest(
                acse.UserInformation(content),
                system_title=TITLES["client"] if content is ciphered or mechanism == mechanisms.HLS_GMAC else None,
                authentication=mechanism,
                authentication_value=value,
                ciphered=content is ciphered,
            )
            yield "aarq", apdu.to_bytes(), describe(apdu)


def _aare_samples(response, mechanisms, challenge):
    user, provider = enumerations.AcseServiceUserDiagnostics, enumerations.AcseServiceProviderDiagnostics
    results = enumerations.AssociationResult
    ciphered = xdlms.GlobalCipherInitiateResponse(*seal("meter", 7, response.to_bytes()))
    refusal = xdlms.ConfirmedServiceError(enumerations.InitiateError.INCOMPATIBLE_CONFORMANCE)
    for result, diagnostic, mechanism, content in (
        (results.ACCEPTED, user.NULL, None, response),
        (results.ACCEPTED, user.NULL, None, ciphered),
        (results.ACCEPTED, user.AUTHENTICATION_REQUIRED, mechanisms.HLS_GMAC, ciphered),
        (results.REJECTED_PERMANENT, user.AUTHENTICATION_FAILED, None, response),
        (results.REJECTED_PERMANENT, user.NO_REASON_GIVEN, None, refusal),
        (results.REJECTED_TRANSIENT, provider.NO_COMMON_ACSE_VERSION, None, None),
    ):
        apdu = acse.ApplicationAssociationResponse(
            result,
            diagnostic,
            ciphered=content is ciphered,
            authentication=mechanism,
            system_title=TITLES["meter"] if content is ciphered else None,
            authentication_value=challenge if mechanism else None,
            user_information=content and acse.UserInformation(content),
        )
        yield "aare", apdu.to_bytes(), describe(apdu)


def service_samples():
    interface = enumerations.CosemInterface.TOKEN_GATEWAY
    token = dlms_data.OctetStringData(b"48643202781314010686").to_bytes()
    status, errors = enumerations.ActionResultStatus, enumerations.DataAccessResult
    for invoke in INVOKES:
        for attribute in (1, 6, 127):
            wanted = cosem.CosemAttribute(interface, GATEWAY_OBIS, attribute)
            yield _sample("get-request", xdlms.GetRequestNormal(wanted, invoke))
            yield _sample("set-request", xdlms.SetRequestNormal(wanted, token, None, invoke))
        items = [cosem.CosemAttributeWithSelection(wanted, None) for _ in range(3)]
        yield _sample("get-request", xdlms.GetRequestWithList(items, invoke))
        yield _sample("get-request", xdlms.GetRequestNext(0x01020304, invoke))
        yield _sample("get-response", xdlms.GetResponseWithBlock(bytes(200), 1, invoke))
        yield _sample("get-response", xdlms.GetResponseLastBlock(b"\x01\x02", 2, invoke))
        yield _sample("get-response", xdlms.GetResponseLastBlockWithError(errors.LONG_GET_ABORTED, 3, invoke))
        mixed = [dlms_data.OctetStringData(b"123"), errors.OBJECT_UNDEFINED, dlms_data.EnumData(3)]
        yield _sample("get-response", xdlms.GetResponseWithList(mixed, invoke))
        for error in errors:
            yield _sample("set-response", xdlms.SetResponseNormal(error, invoke))
            if error:
                yield _sample("get-response", xdlms.GetResponseNormalWithError(error, invoke))
        method = cosem.CosemMethod(interface, GATEWAY_OBIS, 1)
        for parameter in (token, None):
            yield _sample("action-request", xdlms.ActionRequestNormal(method, parameter, invoke))
        for result in status:
            yield _sample("action-response", xdlms.ActionResponseNormal(result, invoke))
        yield _sample("action-response", xdlms.ActionResponseNormalWithData(status.SUCCESS, token, invoke))
        yield _sample(
            "action-response", xdlms.ActionResponseNormalWithError(status.SUCCESS, errors.OTHER_REASON, invoke)
        )


def error_samples():
    for state in enumerations.StateException:
        for service in enumerations.ServiceException:
            if service != enumerations.ServiceException.INVOCATION_COUNTER_ERROR:
                yield _sample("exception-response", xdlms.ExceptionResponse(state, service))
    for error in enumerations.InitiateError:
        yield _sample("confirmed-service-error", xdlms.ConfirmedServiceError(error))
    for error in enumerations.ServiceError:
        yield _sample("confirmed-service-error", xdlms.ConfirmedServiceError(error))
    invoke = xdlms.data_notification.LongInvokeIdAndPriority(0x0A0B0C, prioritized=True, confirmed=True)
    yield _sample("data-notification", xdlms.DataNotification(invoke, None, dlms_data.EnumData(3).to_bytes()))


def ciphered_samples():
    """`keys` says under what; `plain` what is inside."""
    keys = {"ek": EK.hex(), "ak": AK.hex()}
    plains = [octets for kind, octets, _ in service_samples() if kind in {"get-request", "action-response"}][:6]
    for side, title in TITLES.items():
        for number, plain in enumerate(plains):
            counter = (1, 0x7E7E7E7E, 2**32 - 1)[number % 3]
            apdu = xdlms.GeneralGlobalCipher(title, *seal(side, counter, plain))
            yield "general-glo", apdu.to_bytes(), {**describe(apdu), "plain": plain.hex(), "keys": keys}
        challenge = bytes(range(32))
        answer = _gmac(title, 5, challenge, keys["ek"], keys["ak"])
        yield "gmac", answer, {"valid": True, "system_title": title.hex(), "challenge": challenge.hex(), "keys": keys}


def frame_samples():
    client = HdlcAddress(16, None, "client")
    servers = [
        HdlcAddress(1, None, "server"),
        HdlcAddress(1, 17, "server"),
        HdlcAddress(1, 0, "server"),
        HdlcAddress(1, 17, "server", extended_addressing=True),
        HdlcAddress(128, 8192, "server", extended_addressing=True),
    ]
    for server in servers:
        for pair in ((server, client), (client, server)):
            yield _sample("hdlc-snrm", frames.SetNormalResponseModeFrame(*pair))
            yield _sample("hdlc-disc", frames.DisconnectFrame(*pair))
            yield _sample("hdlc-ua", frames.UnNumberedAcknowledgmentFrame(*pair))
            parameters = bytes.fromhex("818014050180060180070400000001080400000001")
            yield _sample("hdlc-ua", frames.UnNumberedAcknowledgmentFrame(*pair, parameters))
            yield _sample("hdlc-ui", frames.UnnumberedInformationFrame(*pair, b"\xe6\xe7\x00\x0f"))
            for number in range(8):
                yield _sample("hdlc-rr", frames.ReceiveReadyFrame(*pair, receive_sequence_number=number))
            for number, size in enumerate((1, 3, 40, 126, 128, 240, 250, 1024)):
                content = bytes(0x7E - (index & 1) for index in range(size))
                numbers = {"send_sequence_number": number, "receive_sequence_number": 7 - number}
                segmented = number % 2 == 1
                yield _sample("hdlc-i", frames.InformationFrame(*pair, content, segmented, True, **numbers))
    for source, destination, size in ((1, 1, 8), (16, 1, 0), (1, 16, 300), (65535, 127, 2000)):
        unit = WrapperProtocolDataUnit(bytes(size), WrapperHeader(source, destination, size))
        yield "wrapper", unit.to_bytes(), describe(unit)


def _sample(kind, thing):
    return kind, thing.to_bytes(), describe(thing)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in {"parse", "emit"}:
        sys.stderr.write(f"usage: {sys.argv[0]} parse|emit '{{JSON options}}'\nkinds: {', '.join(KINDS)}, data, gmac\n")
        raise SystemExit(2)
    limit_lifetime(300 if sys.argv[1] == "parse" else 60)
    limit_memory(2**30)
    options = json.loads(sys.argv[2])
    if sys.argv[1] == "parse":
        parse_lines(options)
        return
    for kind, octets, fields in samples():
        say(json.dumps({"kind": kind, "hex": bytes(octets).hex(), "fields": fields}, default=to_json))


main()
