"""What Gurux (gurux-dlms 1.0.203, GPL-2, in this process only) makes of bytes, and bytes it makes.

    printf 'pdu C001C1…\ndata 0204…\n' | gurux_codec.py '{"ek": "…", "ak": "…", …}'

Reads lines of `operation argument` (hex, or JSON for what begins with `make-`) and prints one JSON line each, in the
same order: `{"ok": true, …}` or `{"ok": false, "error"}`. Ends when standard input does.

* `pdu`: an APDU through GXDLMSTranslator. `form` is the second element of its XML, `lines` the values in it, one
  string each, in order: `Name=value`, `Name#quantity`, or `Name` where there is neither. `again` is the APDU that the
  translator makes of that XML (null with `again_error` where it cannot). The XML is not parsed as XML, because it is
  not always well-formed.
* `data`: COSEM data. `lines` as above; `again` is the value as Gurux' `setData` writes what its `getData` read.
* `open`: a ciphered APDU; options `title` (of its originator), `ek`, `ak`. `plain`, `security`, `counter`. Gurux
  computes the tag of APDUs with both protections and throws it away; it is compared here (gurux_fixes.py says more).
* `hdlc`: a frame as a client of `client` and `server` receives it: `data` (the information without LLC), `control`.
* `make-…`: what Gurux' client or server sends; see `MAKERS`.
"""

import json
import re
import sys

from gurux_dlms import AesGcmParameter, GXCiphering
from gurux_dlms.enums import Authentication, Command, Conformance, InterfaceType, RequestTypes, Security
from gurux_dlms.enums.ErrorCode import ErrorCode
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.GXDLMSLNParameters import GXDLMSLNParameters
from gurux_dlms.GXDLMSSettings import GXDLMSSettings
from gurux_dlms.GXDLMSTranslator import GXDLMSTranslator
from gurux_dlms.GXDLMSTranslatorStructure import GXDLMSTranslatorStructure
from gurux_dlms.GXSecure import GXSecure
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from gurux_dlms.secure import GXDLMSSecureClient
from gurux_fixes import PROTECTION, _tag
from peer_wire import PeerError, limit_each, limit_lifetime, limit_memory, say, to_json

LINE = re.compile(r'<([A-Za-z0-9_-]+)(?: (Value|Qty|Name)="([^"]*)")? ?(/?)>')
CONTAINERS = 2
"""The first elements of an APDU say its kind; they are `form`."""


def values_in(xml):
    lines = []
    for line in xml.splitlines():
        found = LINE.fullmatch(line.strip())
        if found is None:
            continue
        name, kind, value, empty = found.groups()
        if kind:
            lines.append(f"{name}#{value}" if kind == "Qty" else f"{name}={value}")
        elif empty:
            lines.append(name)
    return lines


def read_pdu(octets):
    xml = GXDLMSTranslator().pduToXml(GXByteBuffer(octets))
    opened = [found.group(1) for line in xml.splitlines() if (found := re.fullmatch(r"<([A-Za-z0-9]+)>", line.strip()))]
    answer = {"form": "/".join(opened[:CONTAINERS]), "lines": values_in(xml)}
    try:
        return {**answer, "again": bytes(GXDLMSTranslator().xmlToPdu(xml).array()).hex()}
    except Exception as error:
        return {**answer, "again": None, "again_error": f"{type(error).__name__}: {error}"[:200]}


def read_data(octets):
    settings, translator = GXDLMSSettings(False, None), GXDLMSTranslator()
    shown = _GXDataInfo()
    shown.xml = GXDLMSTranslatorStructure(translator.outputType, False, True, False, False, translator.tags)
    _GXCommon.getData(settings, GXByteBuffer(octets), shown)  # dataToXml has no settings, which times need
    answer = {"lines": values_in(str(shown.xml))}
    buffer, info = GXByteBuffer(octets), _GXDataInfo()
    value = _GXCommon.getData(settings, buffer, info)
    answer["left"] = buffer.available()
    try:
        written = GXByteBuffer()
        _GXCommon.setData(settings, written, info.type_, value)
        return {**answer, "again": bytes(written.array()).hex()}
    except Exception as error:
        return {**answer, "again": None, "again_error": f"{type(error).__name__}: {error}"[:200]}


def settings_with(options, server=False):
    settings = GXDLMSSettings(server, None)
    settings.cipher = GXCiphering(bytearray.fromhex(options["title"]))
    settings.cipher.blockCipherKey = bytearray.fromhex(options["ek"])
    settings.cipher.authenticationKey = bytearray.fromhex(options["ak"])
    return settings


def open_ciphered(octets, options):
    settings = settings_with(options)
    keys = (settings.cipher.systemTitle, settings.cipher.blockCipherKey, settings.cipher.authenticationKey)
    parameter = AesGcmParameter(0, *keys)
    parameter.settings = settings
    plain = bytes(GXCiphering.decrypt(settings, parameter, GXByteBuffer(octets)))
    if parameter.security == Security.AUTHENTICATION_ENCRYPTION and octets[-12:] != _tag(parameter, plain):
        raise PeerError("a wrong tag")
    return {
        "plain": plain.hex(),
        "security": int(parameter.security),
        "counter": parameter.invocationCounter,
        "title": bytes(parameter.systemTitle).hex(),
    }


# --- what Gurux sends ---


def client_with(wanted, options):
    client = GXDLMSSecureClient(True, 16, 1, Authentication.NONE, None, InterfaceType.PDU)
    client.settings.setInvokeID = None
    client.settings.invokeID = wanted.get("invoke", 0xC1) & 0x0F
    client.settings.negotiatedConformance = Conformance(0x1E1D) & ~Conformance.GENERAL_BLOCK_TRANSFER
    client.settings.maxPduSize = wanted.get("pdu", 65535)
    return client


def buffer_of(text):
    return GXByteBuffer(bytes.fromhex(text))


def hexed(messages):
    return {"pdus": [bytes(message).hex() for message in messages]}


def make_requests(wanted, options):
    """GET, SET and ACTION requests in all forms that Gurux' client sends, long ones in blocks."""
    settings = settings_with(options)
    settings.negotiatedConformance = Conformance.NONE
    settings.interfaceType = InterfaceType.PDU
    settings.maxPduSize = wanted.get("pdu", 65535)
    command = {"get": Command.GET_REQUEST, "set": Command.SET_REQUEST, "action": Command.METHOD_REQUEST}
    head = GXByteBuffer(bytes.fromhex(wanted["head"])) if wanted.get("head") is not None else None
    data = GXByteBuffer(bytes.fromhex(wanted["data"])) if wanted.get("data") is not None else None
    parameters = GXDLMSLNParameters(
        settings, wanted["invoke"], command[wanted["service"]], wanted["type"], head, data, 0xFF
    )
    return hexed(GXDLMS.getLnMessages(parameters))


def make_responses(wanted, options):
    settings = settings_with(options, server=True)
    settings.negotiatedConformance = Conformance.NONE
    settings.interfaceType = InterfaceType.PDU
    command = {"get": Command.GET_RESPONSE, "set": Command.SET_RESPONSE, "action": Command.METHOD_RESPONSE}
    data = GXByteBuffer(bytes.fromhex(wanted["data"])) if wanted.get("data") is not None else None
    parameters = GXDLMSLNParameters(
        settings,
        wanted["invoke"],
        command[wanted["service"]],
        wanted["type"],
        None,
        data,
        ErrorCode(wanted["status"]) if wanted["status"] in list(map(int, ErrorCode)) else wanted["status"],
    )
    reply = GXByteBuffer()
    GXDLMS.getLNPdu(parameters, reply)
    return hexed([reply.array()])


def make_sealed(wanted, options):
    settings = settings_with(options)
    plain = bytes.fromhex(wanted["plain"])
    tags = {
        "service-glo": GXDLMS.getGloMessage,
        "service-ded": GXDLMS.getDedMessage,
        "general-glo": lambda _: Command.GENERAL_GLO_CIPHERING,
        "general-ded": lambda _: Command.GENERAL_DED_CIPHERING,
    }
    parameter = AesGcmParameter(
        int(tags[wanted["form"]](plain[0])),
        settings.cipher.systemTitle,
        settings.cipher.blockCipherKey,
        settings.cipher.authenticationKey,
    )
    parameter.security = PROTECTION[wanted["protection"]]
    parameter.invocationCounter = wanted["counter"]
    return hexed([GXCiphering.encrypt(parameter, plain)])


def make_answer(wanted, options):
    """HLS f(challenge) of the side with `title` towards `peer`: GMAC (5) or SHA-256 (6)."""
    settings = settings_with({**options, "title": wanted["title"]})
    mechanism = Authentication(wanted["mechanism"])
    settings.authentication = mechanism
    asked, own = bytes.fromhex(wanted["asked"]), bytes.fromhex(wanted["own"])
    secret = settings.cipher.systemTitle
    if mechanism == Authentication.HIGH_SHA256:
        # Put together as parseApplicationAssociationResponse and getApplicationAssociationRequest do.
        secret = bytes.fromhex(wanted["secret"] + wanted["title"] + wanted["peer"]) + asked + own
    return hexed([GXSecure.secure(settings, settings.cipher, wanted["counter"], asked, secret)])


def make_frame(wanted, options):
    settings = GXDLMSSettings(wanted["from_server"], None)
    shift = {1: 0, 2: 7, 4: 14}[wanted["size"]]
    settings.clientAddress = wanted["client"]
    settings.serverAddress = wanted["logical"] << shift | (wanted["physical"] or 0)
    settings.serverAddressSize = wanted["size"]
    settings.hdlc.maxInfoTX = 2030
    information = GXByteBuffer(bytes.fromhex(wanted["information"])) if wanted["information"] else None
    return hexed([GXDLMS.getHdlcFrame(settings, wanted["control"], information)])


def make_wrapped(wanted, options):
    settings = GXDLMSSettings(False, None)
    settings.clientAddress, settings.serverAddress = wanted["source"], wanted["destination"]
    return hexed([GXDLMS.getWrapperFrame(settings, Command.NONE, GXByteBuffer(bytes.fromhex(wanted["apdu"])))])


def make_next(wanted, options):
    client = client_with(wanted, options)
    client.settings.blockIndex = wanted["block"]
    client.settings.command = Command.GET_REQUEST
    return hexed([client.receiverReady(RequestTypes.DATABLOCK)])


MAKERS = {
    "make-request": make_requests,
    "make-response": make_responses,
    "make-sealed": make_sealed,
    "make-answer": make_answer,
    "make-frame": make_frame,
    "make-wrapped": make_wrapped,
    "make-next": make_next,
}


def answer(operation, argument, options):
    if operation in MAKERS:
        return MAKERS[operation](json.loads(argument), options)
    octets = bytes.fromhex(argument)
    if operation == "open":
        return open_ciphered(octets, options)
    return {"pdu": read_pdu, "data": read_data}[operation](octets)


def main():
    limit_lifetime(300)
    limit_memory(2**30)
    options = json.loads(sys.argv[1])
    for line in sys.stdin:
        operation, _, argument = line.strip().partition(" ")
        try:
            with limit_each(0.1):
                said = {"ok": True, **answer(operation, argument, options)}
        except Exception as error:
            said = {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
        say(json.dumps(said, default=to_json))


main()
