"""Deliver tokens to a meter with dlms-cosem (25.1.0, Business Source License 1.1, in this process only).

    dlms_cosem_client.py '{"port": 4059, "framing": "hdlc", "security": "hls-gmac", "ek": "…", "ak": "…",
                           "tokens": ["48643202781314010686"]}'

Options, output and exit codes are those of gurux_client.py (`--help` lists them); `ciphering` can only be
general-glo, `protection` both, `release` is `plain`, `ciphered` or `none`, `read_list` reads attributes 2, 3 and 5.

How dlms-cosem goes about it, which a meter has to bear:

* Every ciphered APDU is general-glo, the HLS ACTION included.
* The GMAC of HLS pass 3 and the APDU around it use the *same* invocation counter.
* SNRM has no parameters; the information field is 128 octets for ever. A smaller one that the meter demands in
  its UA, or that the options ask for, is obeyed by our segmentation.
* With `release` `ciphered` (its own way) RLRQ carries an InitiateRequest, also where nothing is ciphered.
* invoke-id 0 or 1, never counted on.

Worked around here (numbers are those of the list in the project's notes on libraries):

* 1: bit-strings cannot be decoded, so attribute values are decoded by peer_wire.decode_data from the raw octets,
  and attribute 6 is left out of a GET with list.
* 2, 13: an exception-response to ACTION leaves the connection object unusable: reported, and the end.
* 3: an HDLC frame with 7E inside is "need more data" although it is whole: frames are cut by their length, and
  `next_event` is asked again for each 7E.
* 4: zero octets of HDLC addresses are dropped (wrong meter!): `HdlcAddress.to_bytes` is replaced.
* 5, 6: lengths above 127 are miscoded: challenge of 16 octets.
* 8: the meter's counter may start at 0: ours to know starts at -1.
* 15: the invoke-id of the reply is checked here.
"""

import datetime
import logging

import structlog
from dlms_cosem import cosem, enumerations
from dlms_cosem import state as dlms_state
from dlms_cosem.connection import DlmsConnection
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.dlms_data import OctetStringData
from dlms_cosem.hdlc import frames
from dlms_cosem.hdlc import state as hdlc_state
from dlms_cosem.hdlc.address import HdlcAddress
from dlms_cosem.hdlc.connection import HdlcConnection
from dlms_cosem.protocol import acse, xdlms
from dlms_cosem.protocol.wrappers import WrapperHeader, WrapperProtocolDataUnit
from dlms_cosem.protocol.xdlms.conformance import Conformance
from dlms_cosem.security import (
    HighLevelSecurityGmacAuthentication,
    LowLevelSecurityAuthentication,
    NoSecurityAuthentication,
)
from peer_wire import (
    COUNTER,
    GATEWAY,
    PUBLIC_CLIENT_SAP,
    Line,
    PeerError,
    ServerAddress,
    client_defaults,
    decode_data,
    emit,
    limit_lifetime,
    read_and_enter,
    read_options,
    run,
)

LLC_COMMAND, LLC_RESPONSE = b"\xe6\xe6\x00", b"\xe6\xe7\x00"


def address_to_bytes(self):
    """Bug 4: keep the zero octets, and as many octets as the address was given."""
    if self.address_type == "client":
        return bytes([self.logical_address << 1 | 1])
    size = 4 if self.extended_addressing else 1 if self.physical_address is None else 2
    return ServerAddress(self.logical_address, self.physical_address, size).octets()


HdlcAddress.to_bytes = address_to_bytes


class WrapperTransport:
    def __init__(self, line, client_sap, server):
        self._line = line
        self._ports = (client_sap, server.logical)

    def connect(self):
        pass

    def exchange(self, apdu):
        header = WrapperHeader(*self._ports, len(apdu))
        self._line.send(WrapperProtocolDataUnit(apdu, header).to_bytes())
        return bytes(WrapperProtocolDataUnit.from_bytes(self._line.receive()).data)

    def disconnect(self):
        pass


class HdlcTransport:
    """HdlcConnection with the segmentation that its TODO leaves to the caller."""

    def __init__(self, line, client_sap, server, info_max):
        self._line = line
        self._client = HdlcAddress(client_sap, None, "client")
        physical = server.physical if server.size > 1 else None
        if server.size > 1 and physical is None:
            physical = 0
        self._server = HdlcAddress(server.logical, physical, "server", extended_addressing=server.size == 4)
        self._hdlc = HdlcConnection(self._client, self._server)
        self._info_max = info_max

    def connect(self):
        self._send(frames.SetNormalResponseModeFrame(self._server, self._client))
        accepted = self._receive()
        self._info_max = min(self._info_max, _receive_limit(accepted.information))

    def exchange(self, apdu):
        content = LLC_COMMAND + apdu
        parts = [content[start : start + self._info_max] for start in range(0, len(content), self._info_max)]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            self._send(self._information(part, segmented=not last))
            reply = self._receive()
            if not last and not isinstance(reply, frames.ReceiveReadyFrame):
                raise PeerError(f"expected RR between segments, got {type(reply).__name__}")
        answer = bytearray()
        while True:
            if not isinstance(reply, frames.InformationFrame):
                raise PeerError(f"expected an I frame, got {type(reply).__name__}")
            answer += reply.payload
            if not reply.segmented:
                break
            ready = frames.ReceiveReadyFrame(self._server, self._client, receive_sequence_number=self._hdlc.server_rsn)
            self._send(ready)
            reply = self._receive()
        if answer[:3] != LLC_RESPONSE:
            raise PeerError(f"no LLC header in {answer.hex()}")
        return bytes(answer[3:])

    def disconnect(self):
        self._send(frames.DisconnectFrame(self._server, self._client))
        self._receive()

    def _information(self, payload, segmented):
        return frames.InformationFrame(
            self._server,
            self._client,
            payload,
            segmented=segmented,
            send_sequence_number=self._hdlc.server_ssn,
            receive_sequence_number=self._hdlc.server_rsn,
        )

    def _send(self, frame):
        self._line.send(self._hdlc.send(frame))

    def _receive(self):
        octets = self._line.receive()
        self._hdlc.receive_data(octets)
        for _ in range(octets.count(0x7E)):  # bug 3
            event = self._hdlc.next_event()
            if event is not hdlc_state.NEED_DATA:
                return event
        raise PeerError(f"dlms-cosem does not accept the frame {octets.hex()}")


def _receive_limit(parameters):
    """Maximum information field that the meter receives, from the parameters of its UA (default 128)."""
    position, limit = 3, 128
    while position + 2 <= len(parameters):
        identifier, size = parameters[position], parameters[position + 1]
        value = int.from_bytes(parameters[position + 2 : position + 2 + size], "big")
        if identifier == 6:
            limit = value
        position += 2 + size
    return limit


class Association:
    def __init__(self, options, client_sap, security, ciphered):
        self._options = options
        server = ServerAddress.choose(options.server_sap, options.physical, options.address_bytes)
        self._line = Line(options, client_sap, server)
        if self._line.hdlc:
            self._transport = HdlcTransport(self._line, client_sap, server, options.hdlc_info_max)
        else:
            self._transport = WrapperTransport(self._line, client_sap, server)
        self._dlms = DlmsConnection(
            authentication=_authentication(security, options.password),
            client_system_title=options.octets("system_title"),
            global_encryption_key=options.octets("ek") if ciphered else None,
            global_authentication_key=options.octets("ak") if ciphered else None,
            client_invocation_counter=options.invocation_counter if ciphered else 0,
            meter_invocation_counter=-1,  # bug 8
            max_pdu_size=options.max_pdu,
            conformance=Conformance(
                general_protection=ciphered,
                priority_management_supported=True,
                block_transfer_with_get_or_read=True,
                multiple_references=True,
                get=True,
                set=True,
                selective_access=True,
                action=True,
            ),
        )
        self._security = security
        self.blocks = 0

    def __enter__(self):
        try:
            self._transport.connect()
            self._associate()
        except BaseException:
            self._line.close()
            raise
        return self

    def __exit__(self, kind, _error, _traceback):
        try:
            if kind is None:
                self._release()
        finally:
            self._line.close()

    def _associate(self):
        aare = self._ask(self._dlms.get_aarq())
        if not isinstance(aare, acse.ApplicationAssociationResponse):
            raise PeerError(f"instead of AARE: {aare}")
        if aare.result != enumerations.AssociationResult.ACCEPTED:
            raise PeerError(f"association refused: {aare.result!r}, {aare.result_source_diagnostics!r}")
        challenged = self._dlms.state.current_state is dlms_state.SHOULD_SEND_HLS_SEVER_CHALLENGE_RESULT
        if challenged != (self._security == "hls-gmac"):
            raise PeerError("the meter asks for another security than agreed")
        if challenged:
            self._prove()
        self._aare = aare

    def _prove(self):
        """HLS passes 3 and 4; `next_event` verifies f(CtoS) and then only is READY."""
        reply = OctetStringData(self._dlms.authentication.hls_generate_reply_data(self._dlms)).to_bytes()
        answer = self._ask(self._method(enumerations.CosemInterface.ASSOCIATION_LN, "0.0.40.0.0.255", 1, reply))
        if self._dlms.state.current_state is not dlms_state.READY:
            raise PeerError(f"HLS failed: {answer}")

    def _release(self):
        if self._options.release != "none":
            request = self._dlms.get_rlrq()
            if self._options.release == "plain":
                request.user_information = None
            answer = self._ask(request)
            emit("released", reason=answer.reason)
        self._transport.disconnect()

    def _ask(self, request):
        sent = getattr(request, "invoke_id_and_priority", None)
        self._dlms.receive_data(self._transport.exchange(self._dlms.send(request)))
        try:
            answer = self._dlms.next_event()
        except KeyError as error:  # bug 7
            raise PeerError(f"dlms-cosem has no class for what the meter sent: {error}") from error
        received = getattr(answer, "invoke_id_and_priority", None)
        if sent and received and sent.invoke_id != received.invoke_id:
            raise PeerError(f"asked with invoke-id {sent.invoke_id}, answered with {received.invoke_id}")
        if isinstance(answer, xdlms.ExceptionResponse):
            raise PeerError(f"exception-response: {answer}")
        return answer

    @staticmethod
    def _method(class_id, obis, method, data):
        instance = cosem.Obis(*(int(part) for part in obis.split(".")))
        return xdlms.ActionRequestNormal(cosem.CosemMethod(class_id, instance, method), data)

    @staticmethod
    def _attribute(class_id, obis, attribute):
        return cosem.CosemAttribute(class_id, cosem.Obis(*(int(part) for part in obis.split("."))), attribute)

    def get(self, class_id, obis, attribute, selection=None):
        request = xdlms.GetRequestNormal(self._attribute(class_id, obis, attribute), access_selection=selection)
        answer = self._ask(request)
        blocks = b""
        while isinstance(answer, xdlms.GetResponseWithBlock):
            blocks += answer.data
            self.blocks += 1
            answer = self._ask(xdlms.GetRequestNext(answer.block_number, answer.invoke_id_and_priority))
        if isinstance(answer, (xdlms.GetResponseNormalWithError, xdlms.GetResponseLastBlockWithError)):
            return "error", answer.error
        return "data", blocks + answer.data

    def get_token_gateway_as_list(self):
        if not self._dlms.conformance.multiple_references:
            return None
        wanted = [
            cosem.CosemAttributeWithSelection(self._attribute(*GATEWAY, attribute), None) for attribute in (2, 3, 5)
        ]
        answer = self._ask(xdlms.GetRequestWithList(wanted))
        return [item.to_python() if hasattr(item, "to_python") else int(item) for item in answer.response_data]

    def get_log(self, obis, first, last):
        """Entries of a Profile generic between two moments of its clock; dlms-cosem cannot write entry numbers."""
        moments = [datetime.datetime.fromisoformat(text) for text in (first, last)]
        clock = CaptureObject(self._attribute(enumerations.CosemInterface.CLOCK, "0.0.1.0.0.255", 2))
        kind, raw = self.get(7, obis, 2, RangeDescriptor(clock, *moments))
        if kind == "error":
            raise PeerError(f"the log cannot be read: {raw}")
        return decode_data(raw)

    def get_objects(self):
        kind, raw = self.get(15, "0.0.40.0.0.255", 2)
        if kind == "error":
            raise PeerError(f"the object list cannot be read: {raw}")
        return [item[:3] for item in decode_data(raw)]

    def enter(self, octets):
        answer = self._ask(self._method(*GATEWAY, 1, OctetStringData(octets).to_bytes()))
        if isinstance(answer, xdlms.ActionResponseNormalWithData):
            return answer.status, bytes(answer.data).hex()
        if isinstance(answer, xdlms.ActionResponseNormalWithError):
            return answer.status, f"data-access-result {int(answer.error)}"
        return answer.status, None

    def describe(self):
        title = self._dlms.meter_system_title
        return {
            "meter_system_title": title.hex() if title else None,
            "conformance": self._dlms.conformance.to_bytes()[1:].hex(),
            "max_pdu": self._dlms.max_pdu_size,
            "hdlc_info": None,
        }


def _authentication(security, password):
    if security == "hls-gmac":
        return HighLevelSecurityGmacAuthentication(challenge_length=16)  # bugs 5 and 6
    if security == "lls":
        return LowLevelSecurityAuthentication(password.encode())
    return NoSecurityAuthentication()


def read_counter(options):
    with Association(options, PUBLIC_CLIENT_SAP, "none", ciphered=False) as public:
        kind, answer = public.get(*COUNTER, 2)
    if kind == "error":
        raise PeerError(f"client 16 may not read the counter: {answer}")
    value = decode_data(answer)
    emit("counter", value=value)
    return value + 1


def main():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    options = read_options(client_defaults())
    if options.ciphered and options.ciphering != "general-glo":
        raise PeerError("dlms-cosem ciphers as general-glo only")
    if options.protection != "both":
        raise PeerError("dlms-cosem authenticates and encrypts, whatever it is told")
    limit_lifetime(options.lifetime_seconds)
    if options.ciphered and options.invocation_counter == "read":
        options.invocation_counter = read_counter(options)
    with Association(options, options.client_sap, options.security, options.ciphered) as association:
        description = association.describe()
        emit("associated", **description)
        expected = options.meter_system_title
        if expected and description["meter_system_title"] != expected.lower():
            raise PeerError(f"the meter calls itself {description['meter_system_title']}, expected {expected}")
        if options.read_objects:
            emit("objects", objects=association.get_objects())
        summary = read_and_enter(association.get, association.enter, options)
        if options.read_list:
            emit("list", values=association.get_token_gateway_as_list())
        if options.read_log:
            emit("log", entries=association.get_log(*options.read_log))
    emit("done", **summary, blocks=association.blocks)


run(main)
