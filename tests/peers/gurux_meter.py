"""A meter made of Gurux' server classes (gurux-dlms 1.0.203, GPL-2, in this process only).

    gurux_meter.py '{"port": 0, "framing": "hdlc", "security": "hls-gmac", "ek": "…", "ak": "…",
                     "accepted": {"48643202781314010686": 256}}'

All options and their defaults: `gurux_meter.py --help`. Prints `listening PORT` (not JSON) when ready, then JSON
lines: `connected`, `associated`, `asked` (a request, such as `get-3`: service and type), `enter` (the meter's own
truth: octets, digits, status, balance), `kept`, `refused`, `released`, `disconnected`. Ends by itself after
`lifetime_seconds`, or when standard input is closed if `until_stdin_closes` is set.

Two associations: client 16 without any security (device name 0-0:42.0.0.255 and counter 0-0:43.1.0.255 only), and
`client_sap` with what the options say. `ciphered` means that `ek` is given; then nothing plain is accepted.

What Gurux does: HDLC frames and sequence numbers, wrapper, parsing AARQ and InitiateRequest, deciphering and
ciphering (dedicated keys, too), HLS GMAC, GET (normal, with list, with blocks) with the encoding of every attribute,
SET, blocks of ACTION responses, COSEM data.

What it cannot do in 1.0.203, and we do in its place (the server half is a machine translation that never ran):

* `GXDLMSSecureServer` sets `settings.ciphering`, everything else reads `settings.cipher`.
* SNRM: `handleSnrmRequest` uses an HDLC object that is None. Parameters are negotiated here.
* AARE: `generateAARE` calls `setUInt8()` without a value and counts lengths wrongly. Written here around Gurux'
  context name and InitiateResponse; the latter's counter was not advanced (the next APDU would reuse the nonce).
* ACTION: `handleMethodRequest` makes a list of something that is not iterable; HLS pass 3 converts bytes with
  int(). Parsed here, answered through `getLNPdu`. `enter` of class 115 does not exist there at all.
* glo-requests: `handleGloDedRequest` passes its arguments one place to the left. The response handler serves.
* GET with list: an object that is not there, or may not be read, is answered with one octet, no choice before it.
  Left as it is, and mended with `mend_lists`.
* SET: names that do not exist on the way. In blocks: the first one is not kept, the answers have a status and a
  length too many; the blocks are joined and answered here, Gurux takes the whole. SET with list is never answered.
* ACTION requests in blocks: not there. The blocks are joined here, Gurux reads the value.
* The dedicated key would be used from HLS pass 3 on with general ciphering; here, from the end of the association on.
* RLRQ: `GXByteBuffer.set` with its arguments swapped.
* Requests cut into HDLC segments are parsed too early; frames are collected first and parsed when whole.
* GET is served before any association once the HDLC link stands, and plain GET in a ciphered association. Refused
  here with an exception-response; replayed counters also (D8 01 06 and the counter expected).
* `GXBitString` goes out with a bit count rounded up to 8; the status' data_value is handed over as text, which
  Gurux counts rightly.
* The server keeps no invocation counter over associations; kept here.
* A client that proposes max PDU size 0 (no limit) is refused by Gurux ("PDU size too short"). Left as it is.
"""

import datetime
import socket
import sys
import threading
import time
import traceback

import peer_wire
from gurux_dlms import (
    GXCiphering,
    GXDateTime,
    GXDLMSException,
    GXReplyData,
    GXUInt8,
    GXUInt32,
    GXUInt64,
    ValueEventArgs,
)
from gurux_dlms._GXAPDU import _GXAPDU
from gurux_dlms.ConnectionState import ConnectionState
from gurux_dlms.enums import (
    AccessMode,
    AssociationResult,
    Authentication,
    Command,
    Conformance,
    DataType,
    ErrorCode,
    InterfaceType,
    ObjectType,
    RequestTypes,
    Security,
    SourceDiagnostic,
)
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.GXDLMSLNCommandHandler import GXDLMSLNCommandHandler
from gurux_dlms.GXDLMSLNParameters import GXDLMSLNParameters
from gurux_dlms.GXDLMSLongTransaction import GXDLMSLongTransaction
from gurux_dlms.GXDLMSSettings import GXDLMSSettings
from gurux_dlms.GXSecure import GXSecure
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from gurux_dlms.objects import (
    GXDLMSAccount,
    GXDLMSAssociationLogicalName,
    GXDLMSClock,
    GXDLMSCredit,
    GXDLMSData,
    GXDLMSObject,
    GXDLMSTokenGateway,
)
from gurux_dlms.objects.enums import TokenDelivery
from gurux_dlms.secure import GXDLMSSecureServer
from gurux_fixes import SECURITY, check_tags, conformance_octets
from peer_wire import (
    COUNTER,
    DEVICE_NAME,
    PUBLIC_CLIENT_SAP,
    STS,
    PeerError,
    ServerAddress,
    cut_hdlc,
    cut_wrapper,
    decode_token,
    emit,
    limit_lifetime,
    read_options,
    run,
)

DEFAULTS = {
    "port": 0,
    "framing": "wrapper",  # or hdlc
    "client_sap": 1,
    "server_sap": 1,
    "physical": None,
    "hdlc_info_max": 128,
    "security": "none",  # or lls, hls-gmac, hls-sha256 (whose secret is the password)
    "protection": "both",  # or auth, enc: the one that is taken and given
    "answers": "asked",  # ciphered answers in the form asked; or general-glo, service-glo, or gurux (as the library)
    "password": None,
    "ek": None,
    "ak": None,
    "system_title": "4758580000000001",
    "last_client_counter": 100,
    "own_counter": 1000,
    "max_pdu": 65535,
    "conformance_without": [],  # names of Gurux' Conformance, e.g. ["MULTIPLE_REFERENCES"]
    "accepted": {},  # digits -> raw amount added to the available credit
    "available_credit": 0,
    "currency": {"name": "kWh", "scale": -1, "unit": 1},
    "account": True,
    "class_116": True,
    "pan": "600727000000000009",
    "sgc": 123456,
    "tariff_index": 1,
    "key_revision_number": 1,
    "key_type": 2,
    "data_values": {"3": "", "4": "", "5": "1000000000000000", "6": "0001000000000000"},
    "action_result": 0,  # what enter answers when it took the octets
    "mend_lists": False,  # True: write errors in a list as the standard says; else as Gurux does, one octet
    "kept": None,  # hex: octet-string in 0-0:96.1.0.255, replaced by SET and by its method 1, which returns the old
    "return_data": None,  # hex of COSEM data that enter returns, e.g. 00
    "hang_up_before_enter": 0,  # close the connection, so many times, when a token arrives: before it is booked
    "hang_up_after_enter": 0,  # … or after it is booked, instead of the reply
    "chunk": 0,  # cut what is sent into pieces of so many bytes
    "lifetime_seconds": 120,
    "until_stdin_closes": False,
    "trace": False,
}

EXCEPTION_NOT_ALLOWED = bytes([0xD8, 1, 1])
EXCEPTION_NOT_SUPPORTED = bytes([0xD8, 2, 2])
DISC, SNRM, UA, DM = 0x53, 0x93, 0x73, 0x1F
SERVICES = {Command.GET_REQUEST: "get", Command.SET_REQUEST: "set", Command.METHOD_REQUEST: "action"}


class HangUp(Exception):
    """Close the connection now, without a reply."""


class CounterError(PeerError):
    """An invocation counter that is not above the last one."""


# --- objects ---


class Counter(GXDLMSData):
    """0-0:43.1.0.255: the last counter seen from the client."""

    def __init__(self, meter):
        super().__init__(COUNTER[1])
        self._meter = meter
        self.setDataType(2, DataType.UINT32)

    def getValue(self, settings, e):  # noqa: N802 - Gurux' name
        return self._meter.client_counter if e.index == 2 else super().getValue(settings, e)


class StsAttributes(GXDLMSObject):
    """Class 116: Gurux for Python knows its number only."""

    def __init__(self, options):
        super().__init__(ObjectType.IEC_6205541_ATTRIBUTES, STS[1], 0)
        pan = options.pan
        # Issuer (6 digits), decoder reference number (11), check digit, in the types of Gurux' .NET object.
        meter_pan = [GXUInt32(int(pan[:6])), GXUInt64(int(pan[6:-1])), GXUInt8(int(pan[-1]))]
        self._values = {
            2: (DataType.STRUCTURE, meter_pan),
            3: (DataType.STRING, "ELECTRICITY"),
            4: (DataType.ARRAY, []),
            5: (DataType.UINT8, 7),
            6: (DataType.UINT32, options.sgc),
            7: (DataType.UINT8, options.tariff_index),
            8: (DataType.UINT8, options.key_revision_number),
            9: (DataType.UINT8, options.key_type),
            10: (DataType.UINT8, 255),
            11: (DataType.UINT8, 4),
            12: (DataType.STRING, "none"),
        }

    def getAttributeCount(self):  # noqa: N802
        return 12

    def getMethodCount(self):  # noqa: N802
        return 0

    def getDataType(self, index):  # noqa: N802
        return DataType.OCTET_STRING if index == 1 else self._values[index][0]

    def getValue(self, settings, e):  # noqa: N802
        if e.index == 1:
            return _GXCommon.logicalNameToBytes(self.logicalName)
        if e.index not in self._values:
            e.error = ErrorCode.READ_WRITE_DENIED
            return None
        return self._values[e.index][1]


class Kept(GXDLMSData):
    """0-0:96.1.0.255: an octet-string of any length, to be written and taken in blocks."""

    def __init__(self, octets):
        super().__init__("0.0.96.1.0.255")
        self.setDataType(2, DataType.OCTET_STRING)
        self.value = octets

    def setValue(self, settings, e):  # noqa: N802
        self.replace(e.value, "set")

    def replace(self, octets, service):
        old, self.value = self.value, bytes(octets)
        emit("kept", service=service, octets=self.value.hex())
        return bytes(old)


class Refused:
    """Stands in a GET with list for what has no value: Gurux writes an error there as one octet, without the choice.

    It writes `error` first and the octets of the value behind it: the choice data-access-result, and the result.
    """

    def __init__(self, result):
        self._result = result

    def getAttributeCount(self):  # noqa: N802
        return 127

    def getValue(self, _settings, e):  # noqa: N802
        e.error, e.byteArray = ErrorCode.HARDWARE_FAULT, True  # 1, as the choice is
        return bytes([self._result])


class Meter:
    """What outlives a connection: token gateway, account, counters."""

    def __init__(self, options):
        self.options = options
        self.client_counter = options.last_client_counter
        self.own_counter = options.own_counter
        self.lock = threading.Lock()
        self._used = set()
        self.gateway = GXDLMSTokenGateway()
        self.gateway.deliveryMethod = TokenDelivery.LOCAL
        self.gateway.token, self.gateway.dataValue = b"", ""
        name = GXDLMSData(DEVICE_NAME[1])
        name.setDataType(2, DataType.OCTET_STRING)
        name.value = b"GXX" + options.system_title.encode("ascii")[3:]
        self.public_objects = [GXDLMSAssociationLogicalName(), name, Counter(self)]
        self.objects = [*self.public_objects, GXDLMSClock(), self.gateway]
        self.kept = None if options.kept is None else Kept(bytes.fromhex(options.kept))
        if self.kept:
            self.objects.append(self.kept)
        self.account = None
        if options.account:
            self.account = _account(options)
            self.objects += [self.account, GXDLMSCredit("0.0.19.10.0.255")]
        if options.class_116:
            self.objects.append(StsAttributes(options))

    def enter(self, octets, client_sap):
        """Method 1 of the token gateway; returns (action-result, raw return data or None)."""
        self._hang_up_perhaps("hang_up_before_enter")
        digits = decode_token(octets)
        if digits is None:
            status = 4
        elif digits not in self.options.accepted:
            status = 5
        else:
            status = 6 if digits in self._used else 3
        if status == 3:
            self._used.add(digits)
            if self.account:
                self.account.availableCredit += self.options.accepted[digits]
        gateway = self.gateway
        gateway.token = bytes(octets)
        gateway.time = GXDateTime(datetime.datetime.now(datetime.UTC))
        gateway.deliveryMethod = TokenDelivery.REMOTE
        gateway.statusCode = status
        gateway.dataValue = self.options.data_values.get(str(status), "")
        credit = self.account.availableCredit if self.account else None
        emit("enter", octets=octets.hex(), digits=digits, status=status, available_credit=credit, client=client_sap)
        self._hang_up_perhaps("hang_up_after_enter")
        returned = self.options.return_data
        return self.options.action_result, bytes.fromhex(returned) if returned else None

    def _hang_up_perhaps(self, order):
        left = getattr(self.options, order)
        if left:
            setattr(self.options, order, left - 1)
            emit("hung_up", order=order)
            raise HangUp


def _account(options):
    account = GXDLMSAccount()
    account.paymentMode = 2
    account.accountStatus = 2
    account.availableCredit = options.available_credit
    account.currency.name = options.currency["name"]
    account.currency.scale = options.currency["scale"]
    account.currency.unit = options.currency["unit"]
    account.creditReferences = ["0.0.19.10.0.255"]
    return account


# --- one connection ---


class KeptCiphering(GXCiphering):
    """Gurux sets its own counter back to 0 with each AARQ; a counter may only rise."""

    def reset(self):
        self.security = Security.NONE


class Session(GXDLMSSecureServer):
    """The server's side of one connection. Gurux' names, where Gurux calls."""

    def __init__(self, meter):
        options = meter.options
        self._hdlc = options.framing == "hdlc"
        super().__init__(True, InterfaceType.HDLC if self._hdlc else InterfaceType.WRAPPER)
        self._meter = meter
        self._options = options
        settings = self.settings
        settings.cipher = KeptCiphering(bytearray(options.octets("system_title")))
        if options.ciphered:
            settings.cipher.blockCipherKey = bytearray(options.octets("ek"))
            settings.cipher.authenticationKey = bytearray(options.octets("ak"))
        for name in options.conformance_without:
            settings.proposedConformance &= ~Conformance[name]
        settings.maxServerPDUSize = options.max_pdu
        self.transaction = None
        self._blocks = self._method = self._dedicated_key = None
        self._last_block = 0
        self._negotiated = settings.proposedConformance
        for item in meter.objects:
            self.items.append(item)
        self._association = self.items.findByLN(ObjectType.ASSOCIATION_LOGICAL_NAME, "0.0.40.0.0.255")
        self._association.objectList = meter.objects
        self._mends_list = False
        self.initialized = True  # initialize() would only drop class 116 again

    # Hooks and bookkeeping that Gurux' handlers call.

    def isTarget(self, _server_address, _client_address):  # noqa: N802
        return True

    def onValidateAuthentication(self, authentication, password):  # noqa: N802
        options = self._options
        public = self.settings.clientAddress == PUBLIC_CLIENT_SAP
        if not public and self.settings.clientAddress != options.client_sap:
            return SourceDiagnostic.NO_REASON_GIVEN
        expected = SECURITY["none" if public else options.security]
        if authentication != expected:
            return (
                SourceDiagnostic.AUTHENTICATION_FAILURE if authentication else SourceDiagnostic.AUTHENTICATION_REQUIRED
            )
        if (options.ciphered and not public) != self.settings.cipher.isCiphered():
            return SourceDiagnostic.NOT_SUPPORTED
        if expected == SECURITY["lls"] and bytes(password or b"") != (options.password or "").encode():
            return SourceDiagnostic.AUTHENTICATION_FAILURE
        return SourceDiagnostic.NONE

    def onFindObject(self, _object_type, _sn, _ln):  # noqa: N802
        return Refused(ErrorCode.UNDEFINED_OBJECT) if self._mends_list else None

    def onGetAttributeAccess(self, e):  # noqa: N802
        access = self._access(e)
        if access == AccessMode.NO_ACCESS and self._mends_list:
            e.target = Refused(ErrorCode.READ_WRITE_DENIED)
            return AccessMode.READ
        return access

    def _access(self, e):
        if isinstance(e.target, Refused):
            return AccessMode.READ
        if self.settings.clientAddress == PUBLIC_CLIENT_SAP and e.target not in self._meter.public_objects:
            return AccessMode.NO_ACCESS
        if e.target is self._meter.kept and e.index == 2:
            return AccessMode.READ_WRITE
        return AccessMode.READ if 1 <= e.index <= e.target.getAttributeCount() else AccessMode.NO_ACCESS

    def onGetMethodAccess(self, e):  # noqa: N802
        return int(e.target is self._meter.gateway and e.index == 1)

    def notifyRead(self, *_):  # noqa: N802
        pass

    onPreRead = onPostRead = onPreWrite = onPostWrite = onInvalidConnection = notifyRead  # noqa: N815

    def getTransaction(self):  # noqa: N802
        return self.transaction

    def setTransaction(self, value):  # noqa: N802
        self.transaction = value

    # Frames.

    def handle(self, frame):
        """Answer one whole frame: a frame to send, or None."""
        return self._handle_hdlc(frame) if self._hdlc else self._handle_wrapper(frame)

    def _handle_wrapper(self, frame):
        settings = self.settings
        source, target = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        if target != self._options.server_sap:
            raise PeerError(f"a message for server {target}; I am {self._options.server_sap}")
        settings.clientAddress, settings.serverAddress = source, target
        self._answer(frame[8:])
        return GXDLMS.getWrapperFrame(settings, Command.NONE, self.replyData)

    def _handle_hdlc(self, frame):
        settings, info = self.settings, self.info
        size = next(n for n in (1, 2, 4) if frame[2 + n] & 1)
        own = ServerAddress.choose(self._options.server_sap, self._options.physical, size)
        if frame[3 : 3 + size] != own.octets():
            emit("refused", why="HDLC address of another meter", frame=frame.hex())
            return None
        settings.serverAddressSize = size
        buffer = GXByteBuffer(bytearray(frame))
        control = GXDLMS.getHdlcData(True, settings, buffer, info, None)
        if not info.complete:
            emit("refused", why="frame out of sequence", frame=frame.hex())
            return None
        GXDLMS.getDataFromFrame(buffer, info, True)
        if control == SNRM:
            return self._accept_link(frame[3 + size + 1 + 1 + 2 : -3])
        if control == DISC:
            reply = UA if settings.connected & ConnectionState.HDLC else DM
            settings.connected = ConnectionState.NONE
            info.clear()
            self.replyData.clear()
            return GXDLMS.getHdlcFrame(settings, reply, self.replyData)
        if control & 3 == 1:  # RR: the next segment of the reply
            info.clear()
            if not self.replyData:
                return GXDLMS.getHdlcFrame(settings, settings.getReceiverReady(), None)
            return GXDLMS.getHdlcFrame(settings, settings.getNextSend(False), self.replyData)
        if info.moreData & RequestTypes.FRAME:
            return GXDLMS.getHdlcFrame(settings, settings.getReceiverReady(), None)
        apdu = bytes(info.data.array())
        info.clear()
        self._answer(apdu)
        return GXDLMS.getHdlcFrame(settings, 0, self.replyData)

    def _accept_link(self, parameters):
        """SNRM: the smaller information field of both sides, window 1 (Gurux parses the parameters)."""
        hdlc, limit = self.settings.hdlc, self._options.hdlc_info_max
        hdlc.maxInfoTX = hdlc.maxInfoRX = 128
        if parameters:
            GXDLMS.parseSnrmUaResponse(GXByteBuffer(bytearray(parameters)), hdlc)
        transmit, receive = min(hdlc.maxInfoTX, limit), min(hdlc.maxInfoRX, limit)
        hdlc.windowSizeTX = hdlc.windowSizeRX = 1
        self.info.clear()
        self.replyData.clear()
        self.settings.connected = ConnectionState.HDLC
        answer = GXByteBuffer(bytearray(b"\x81\x80\x00"))
        for identifier, value in ((5, transmit), (6, receive)):
            answer.setUInt8(identifier)
            GXDLMS.appendHdlcParameter(answer, value)
        answer.set(bytes([7, 4, 0, 0, 0, 1, 8, 4, 0, 0, 0, 1]))
        answer.setUInt8(len(answer) - 3, 2)
        hdlc.maxInfoTX = hdlc.maxInfoRX = 128  # Gurux would cut the UA itself into segments
        frame = GXDLMS.getHdlcFrame(self.settings, UA, answer)
        hdlc.maxInfoTX, hdlc.maxInfoRX = transmit, receive
        return frame

    # APDUs.

    def _answer(self, apdu):
        """Leave the whole answer, with the LLC header on HDLC, in replyData."""
        self.replyData.clear()
        settings = self.settings
        settings.cipher.invocationCounter = self._meter.own_counter
        if self._options.trace:
            sys.stderr.write(f"APDU > {apdu.hex()}\n")
        try:
            self._dispatch(apdu)
        except CounterError as error:
            emit("refused", why=str(error))
            expected = (self._meter.client_counter + 1).to_bytes(4, "big")
            self._reply_raw(bytes([0xD8, 1, 6]) + expected)
        if self._options.trace:
            sys.stderr.write(f"APDU < {bytes(self.replyData.array()).hex()}\n")
        self._meter.own_counter = settings.cipher.invocationCounter
        if self._dedicated_key and settings.connected & ConnectionState.DLMS:
            settings.cipher.dedicatedKey, self._dedicated_key = self._dedicated_key, None

    def _dispatch(self, apdu):
        tag = apdu[0]
        if tag == Command.AARQ:
            return self._associate(apdu)
        request = GXReplyData()
        request.data.set(apdu)
        GXDLMS.getPdu(self.settings, request)
        ciphered = tag not in {0x62, 0xC0, 0xC1, 0xC3}
        self._choose_form(tag)
        command, data = request.command, request.data
        if command == Command.RELEASE_REQUEST:
            return self._release(apdu)
        hls = self._association.associationStatus == 1 and command == Command.METHOD_REQUEST
        if not (hls or self.settings.connected & ConnectionState.DLMS):
            emit("refused", why="no association", apdu=apdu.hex())
            return self._reply_raw(EXCEPTION_NOT_ALLOWED)
        if self.settings.cipher.isCiphered() and not ciphered:
            emit("refused", why="plain APDU in a ciphered association", apdu=apdu.hex())
            return self._reply_raw(EXCEPTION_NOT_ALLOWED)
        emit("asked", request=f"{SERVICES.get(command, int(command))}-{data.array()[data.position]}")
        if command == Command.GET_REQUEST:
            self._mends_list = data.array()[data.position] == 3 and self._options.mend_lists
            return GXDLMSLNCommandHandler.handleGetRequest(self.settings, self, data, self.replyData, None)
        if command == Command.METHOD_REQUEST:
            return self._action(data)
        if command == Command.SET_REQUEST:
            return self._set(data)
        emit("refused", why="a service this meter does not have", apdu=apdu.hex())
        return self._reply_raw(EXCEPTION_NOT_SUPPORTED)

    def _choose_form(self, tag):
        """Steer Gurux' choice between general-glo and service-specific ciphering (it looks at three settings)."""
        settings, answers = self.settings, self._options.answers
        if answers == "gurux":
            settings.negotiatedConformance = self._negotiated
            settings.preEstablishedSystemTitle = None
            return
        asked_in_general = tag in {Command.GENERAL_GLO_CIPHERING, Command.GENERAL_DED_CIPHERING}
        general = asked_in_general if answers == "asked" else answers == "general-glo"
        settings.preEstablishedSystemTitle = settings.sourceSystemTitle if general else None
        if general:
            settings.proposedConformance |= Conformance.GENERAL_PROTECTION
            settings.negotiatedConformance |= Conformance.GENERAL_PROTECTION
        else:
            settings.negotiatedConformance &= ~Conformance.GENERAL_PROTECTION

    def _reply_raw(self, apdu):
        self.replyData.clear()
        self.replyData.set(apdu)
        if self._hdlc:
            GXDLMS.addLLCBytes(self.settings, self.replyData)

    def _associate(self, apdu):
        """AARQ to AARE. Gurux parses and deciphers; the AARE around its InitiateResponse is ours."""
        settings = self.settings
        settings.authentication = Authentication.NONE
        settings.password = settings.ctoSChallenge = settings.stoCChallenge = None
        settings.connected &= ~ConnectionState.DLMS
        settings.cipher.reset()
        self._association.associationStatus = 0
        result, diagnostic = AssociationResult.ACCEPTED, SourceDiagnostic.NONE
        try:
            diagnostic = _GXAPDU.parsePDU(settings, settings.cipher, GXByteBuffer(bytearray(apdu)), None)
            self._dedicated_key, settings.cipher.dedicatedKey = settings.cipher.dedicatedKey, None
            if settings.maxPduSize < 64 or not settings.negotiatedConformance:
                raise GXDLMSException(AssociationResult.PERMANENT_REJECTED, SourceDiagnostic.NO_REASON_GIVEN)
            settings.maxPduSize = min(settings.maxPduSize, self._options.max_pdu)
            self._negotiated = settings.negotiatedConformance
            diagnostic = self.onValidateAuthentication(settings.authentication, settings.password)
        except GXDLMSException as error:
            result, diagnostic = error.result, error.diagnostic
        if diagnostic != SourceDiagnostic.NONE:
            result = AssociationResult.PERMANENT_REJECTED
        elif settings.authentication > Authentication.LOW:
            settings.stoCChallenge = bytes(GXSecure.generateChallenge())
            self._association.associationStatus = 1
            diagnostic = SourceDiagnostic.AUTHENTICATION_REQUIRED
        else:
            self._associated()
        if result != AssociationResult.ACCEPTED:
            emit("refused", why=f"association: diagnostic {int(diagnostic)}", client=settings.clientAddress)
        self._reply_raw(self._aare(result, diagnostic))

    def _associated(self):
        settings = self.settings
        settings.connected |= ConnectionState.DLMS
        self._association.associationStatus = 2
        title = settings.sourceSystemTitle
        emit(
            "associated",
            client=settings.clientAddress,
            mechanism=int(settings.authentication),
            ciphered=settings.cipher.isCiphered(),
            dedicated=bool(self._dedicated_key),
            client_system_title=bytes(title).hex() if title else None,
            conformance=conformance_octets(self._negotiated),
            max_pdu=settings.maxPduSize,
        )

    def _aare(self, result, diagnostic):
        settings, cipher = self.settings, self.settings.cipher
        context = GXByteBuffer()
        _GXAPDU.generateApplicationContextName(settings, context, cipher)
        parts = bytes(context.array())
        parts += bytes([0xA2, 3, 2, 1, int(result), 0xA3, 5, 0xA1, 3, 2, 1, int(diagnostic)])
        if settings.authentication > Authentication.LOW or cipher.isCiphered():
            parts += _ber(0xA4, _ber(4, bytes(cipher.systemTitle)))
        if settings.stoCChallenge:
            mechanism = bytes.fromhex("608574050802") + bytes([settings.authentication])
            parts += bytes.fromhex("88020780") + _ber(0x89, mechanism)
            parts += _ber(0xAA, _ber(0x80, settings.stoCChallenge))
        if result == AssociationResult.ACCEPTED:
            parts += _ber(0xBE, _ber(4, self._initiate_response()))
        return _ber(0x61, parts)

    def _initiate_response(self):
        cipher = self.settings.cipher
        answer = bytes(_GXAPDU.getUserInformation(self.settings, cipher))
        if cipher.isCiphered():
            cipher.invocationCounter += 1
        return answer

    def _release(self, apdu):
        reason = bytes.fromhex("800100")
        if apdu[5:6] == b"\xbe":  # with user-information, so the answer carries it, too
            reason += _ber(0xBE, _ber(4, self._initiate_response()))
        self.settings.connected &= ~ConnectionState.DLMS
        self._association.associationStatus = 0
        emit("released", client=self.settings.clientAddress)
        self._reply_raw(_ber(0x63, reason))

    def _set(self, data):
        """SET: blocks are joined here, Gurux takes them as one normal request; the answers to blocks are ours."""
        settings, handler = self.settings, GXDLMSLNCommandHandler
        kind, invoke_id = data.array()[data.position : data.position + 2]
        if kind not in {1, 2, 3}:
            emit("refused", why=f"SET of type {kind}")
            return self._reply_raw(EXCEPTION_NOT_SUPPORTED)
        if kind == 1:
            return handler.handleSetRequest(settings, self, data, self.replyData, None)
        data.position += 2
        parameters = GXDLMSLNParameters(settings, invoke_id, Command.SET_RESPONSE, 1, None, None, 0)
        if kind == 2:
            self._blocks, self._last_block = GXByteBuffer(), 0
            self._blocks.set(data, data.position, 10)  # the descriptor, and that nothing is selected
        is_last, number = self._take_block(data, self._blocks)
        if not is_last:
            return self._reply(parameters, bytes([0xC5, 2, invoke_id]) + number)
        handler.handleSetRequestNormal(settings, self, self._blocks, 1, parameters, None)
        self._blocks = None
        return self._reply(parameters, bytes([0xC5, 3, invoke_id, int(parameters.status)]) + number)

    def _take_block(self, data, joined):
        """Put a DataBlock-SA behind those before; whether it is the last, and its number as octets."""
        is_last, number, size = data.getUInt8(), data.getUInt32(), _GXCommon.getObjectCount(data)
        if size != data.available():
            raise PeerError(f"a block of {size} octets has {data.available()}")
        if number != self._last_block + 1:
            raise PeerError(f"block {number} after block {self._last_block}")
        self._last_block = number
        joined.set(data)
        return is_last, number.to_bytes(4, "big")

    def _reply(self, parameters, apdu):
        """An answer that Gurux ciphers but does not write."""
        self._reply_raw(GXDLMS.cipher0(parameters, apdu) if self.settings.cipher.isCiphered() else apdu)

    def _action(self, data):
        settings = self.settings
        kind, invoke_id = data.getUInt8(), data.getUInt8()
        settings.updateInvokeId(invoke_id)
        if kind not in {1, 2, 4, 6} or (kind in {2, 6} and self._blocks is None):
            emit("refused", why=f"ACTION of type {kind}")
            return self._reply_raw(EXCEPTION_NOT_SUPPORTED)
        if kind == 2:
            return self._next_block(invoke_id, data.getUInt32())
        if kind != 6:
            class_id = data.getUInt16()
            name = bytearray(6)
            data.get(name)
            self._method = (class_id, _GXCommon.toLogicalName(name), data.getUInt8())
            self._blocks, self._last_block = GXByteBuffer(), 0
        if kind == 1:
            return self._answer_action(invoke_id, data if data.getUInt8() else None)
        is_last, number = self._take_block(data, self._blocks)
        if is_last:
            return self._answer_action(invoke_id, self._blocks)
        parameters = GXDLMSLNParameters(settings, invoke_id, Command.METHOD_RESPONSE, 4, None, None, 0)
        return self._reply(parameters, bytes([0xC7, 4, invoke_id]) + number)

    def _answer_action(self, invoke_id, data):
        """Do what was asked with the whole of the data; leave what does not fit for _next_block."""
        settings, info = self.settings, _GXDataInfo()
        parameter = _GXCommon.getData(settings, data, info) if data else None
        self._blocks = None
        if settings.connected & ConnectionState.DLMS:
            result, returned = self._invoke(*self._method, info, parameter)
        elif self._method == (15, "0.0.40.0.0.255", 1):
            result, returned = self._reply_to_hls(parameter)
        else:
            self._reply_raw(EXCEPTION_NOT_ALLOWED)
            return
        answer = GXByteBuffer()
        answer.set(b"\x00" if returned is None else b"\x01\x00" + returned)
        settings.resetBlockIndex()
        parameters = GXDLMSLNParameters(settings, invoke_id, Command.METHOD_RESPONSE, 1, None, answer, result)
        GXDLMS.getLNPdu(parameters, self.replyData)
        if answer.available():
            self._blocks = answer

    def _next_block(self, invoke_id, number):
        """The next block of a long answer, which Gurux cuts."""
        settings, answer = self.settings, self._blocks
        if number != settings.blockIndex:
            raise PeerError(f"the block after {number} is asked for; {settings.blockIndex} was the last")
        settings.increaseBlockIndex()
        parameters = GXDLMSLNParameters(settings, invoke_id, Command.METHOD_RESPONSE, 2, None, answer, 0xFF)
        parameters.multipleBlocks = True
        GXDLMS.getLNPdu(parameters, self.replyData)
        if not answer.available():
            self._blocks = None

    def _invoke(self, class_id, obis, method, info, parameter):
        public = self.settings.clientAddress == PUBLIC_CLIENT_SAP
        target = self.items.findByLN(ObjectType(class_id), obis)
        if target is None:
            return ErrorCode.UNDEFINED_OBJECT, None
        if not public and target is self._meter.kept and method == 1 and info.type_ == DataType.OCTET_STRING:
            old = GXByteBuffer()
            _GXCommon.setData(self.settings, old, DataType.OCTET_STRING, target.replace(parameter, "action"))
            return ErrorCode.OK, bytes(old.array())
        if public or target is not self._meter.gateway or method != 1:
            return ErrorCode.READ_WRITE_DENIED, None
        if info.type_ != DataType.OCTET_STRING:
            return ErrorCode.UNMATCHED_TYPE, None
        return self._meter.enter(bytes(parameter), self.settings.clientAddress)

    def _reply_to_hls(self, parameter):
        settings, cipher = self.settings, self.settings.cipher
        own, peer = bytes(cipher.systemTitle), bytes(settings.sourceSystemTitle)
        asked, given = bytes(settings.ctoSChallenge), bytes(settings.stoCChallenge)
        counter, expected_secret, secret = 0, peer, own
        if self._options.security == "hls-sha256":  # put together as Gurux' client does
            shared = (self._options.password or "").encode()
            expected_secret, secret = shared + peer + own + given + asked, shared + own + peer + asked + given
        else:
            counter = int.from_bytes(bytes(parameter)[1:5], "big")
        expected = GXSecure.secure(settings, cipher, counter, given, expected_secret)
        if bytes(expected) != bytes(parameter):
            emit("refused", why="wrong HLS reply", client=settings.clientAddress)
            return ErrorCode.OTHER_REASON, None
        answer = bytes(GXSecure.secure(settings, cipher, cipher.invocationCounter, asked, secret))
        if self._options.security != "hls-sha256":
            cipher.invocationCounter += 1
        if self._options.answers != "gurux":
            self._associated()
            return ErrorCode.OK, bytes([9, len(answer)]) + answer
        # Gurux marks the association after its answer is coded: pass 4 goes out service-specific.
        threading.current_thread().after_reply = self._associated
        return ErrorCode.OK, bytes([9, len(answer)]) + answer


def _ber(tag, content):
    size = bytes([len(content)]) if len(content) < 0x80 else bytes([0x81, len(content)])
    return bytes([tag]) + size + content


# --- the socket ---


class Connection(threading.Thread):
    """Serves one client in a thread of its own: a left-over connection must not block the next."""

    def __init__(self, meter, link):
        super().__init__(daemon=True)
        self._meter = meter
        self._link = link
        self.after_reply = None

    def run(self):
        options = self._meter.options
        session, buffer = Session(self._meter), bytearray()
        cut = cut_hdlc if options.framing == "hdlc" else cut_wrapper
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link.settimeout(options.lifetime_seconds)
        emit("connected")
        try:
            while octets := self._link.recv(4096):
                buffer += octets
                while frame := cut(buffer):
                    with self._meter.lock:
                        reply = session.handle(frame)
                        if self.after_reply:
                            self.after_reply = self.after_reply()
                    if reply:
                        self._send(bytes(reply), options.chunk)
        except HangUp:
            pass
        except OSError as error:
            emit("broken", reason=str(error))
        except Exception as error:
            traceback.print_exc()
            emit("error", reason=f"{type(error).__name__}: {error}")
        finally:
            self._link.close()
            emit("disconnected")

    def _send(self, octets, chunk):
        step = chunk or len(octets)
        for start in range(0, len(octets), step):
            self._link.sendall(octets[start : start + step])
            if chunk:
                time.sleep(0.0005)  # so that pieces travel alone; nothing waits for it


def refuse_old_counters(meter):
    def on_received(_system_title, counter):
        if counter <= meter.client_counter:
            raise CounterError(f"client counter {counter}, last seen {meter.client_counter}")
        meter.client_counter = counter

    return on_received


def end_with_stdin():
    sys.stdin.read()
    emit("stopped")
    sys.exit(0)


def main():
    options = read_options(DEFAULTS)
    limit_lifetime(options.lifetime_seconds)
    meter = Meter(options)
    check_tags(refuse_old_counters(meter), options.protection)
    GXDLMS.handleGloDedRequest = staticmethod(
        lambda settings, data: GXDLMS.handleGloDedResponse(settings, data, data.data.position - 1)
    )
    # Misspelt or missing there: the object list, and GET with blocks.
    ValueEventArgs.isSkipMaxPduSize = True
    GXDLMSSettings.gbtWndowSize = 1
    GXDLMSLongTransaction.setData = lambda transaction, data: setattr(transaction, "data", data)
    # The same with SET, and with ACTION responses in blocks.
    GXDLMSLNParameters.isMultipleBlocks = lambda parameters: parameters.multipleBlocks
    GXDLMSLNParameters.setStatus = lambda parameters, status: setattr(parameters, "status", status)
    GXDLMSLNParameters.RequestType = property(lambda parameters: parameters.requestType)
    ValueEventArgs.__iter__ = lambda value: iter([value])
    listener = socket.create_server(("127.0.0.1", options.port))
    peer_wire.say(f"listening {listener.getsockname()[1]}")

    def accept():
        while True:
            Connection(meter, listener.accept()[0]).start()

    if not options.until_stdin_closes:
        return accept()
    threading.Thread(target=accept, daemon=True).start()
    return end_with_stdin()


run(main)
