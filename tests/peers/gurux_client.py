"""Deliver tokens to a meter with Gurux' client classes (gurux-dlms 1.0.203, GPL-2, in this process only).

    gurux_client.py '{"port": 4059, "framing": "hdlc", "security": "hls-gmac", "ek": "…", "ak": "…",
                      "password": null, "tokens": ["48643202781314010686"]}'

All options and their defaults: `gurux_client.py --help`. Prints JSON lines: `counter`, `associated`, `attribute`
(class 115 attributes 2 to 6, 111 attributes 5 and 15, class 116), `entered`, `objects`, `list`, `log`, `released`,
`transferred`, `done` (a summary, with the number of blocks asked for and the most frames that came in a row), or
`failed` and exit code 1.

How Gurux goes about it, which a meter has to bear:

* `general-glo` means: general protection is proposed and used once the association stands. The HLS reply
  (pass 3) is still sent service-specific (CB), because the library looks at its own state first.
* `service-glo`: general protection is not proposed at all.
* `service-ded` and `general-ded`: the same under a dedicated key, from the end of the association on; passes 3 and 4
  and the InitiateRequests are under the global key. One counter serves both keys.
* The GMAC of pass 3 takes one invocation counter and the APDU around it the next.
* RLRQ is bare (62 03 80 01 00) unless `release` is `ciphered`.

Worked around here: tags and counters are verified (gurux_fixes.py), and so are the addresses of each reply
(peer_wire.Line). The reserved size of an address is passed on by hand. Rows of HDLC frames are counted (gurux_fixes.py)
and handed over whole.
"""

import os

from gurux_dlms import GXReplyData
from gurux_dlms.enums import Authentication, Conformance, DataType, InterfaceType, RequestTypes
from gurux_dlms.objects import GXDLMSProfileGeneric, GXDLMSSecuritySetup, GXDLMSTokenGateway
from gurux_dlms.objects.enums import GlobalKeyType
from gurux_dlms.secure import GXDLMSSecureClient
from gurux_fixes import PROTECTION, SECURITY, check_tags, conformance_octets, count_rows
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


class Association:
    """One connection and association, as a context manager: connect, SNRM, AARQ, HLS; then RLRQ, DISC, close."""

    def __init__(self, options, client_sap, security, ciphered):
        self._options = options
        self._security = security
        server = ServerAddress.choose(options.server_sap, options.physical, options.address_bytes)
        hdlc = options.framing == "hdlc"
        self._client = client = GXDLMSSecureClient(
            True,
            client_sap,
            options.server_sap,
            Authentication(SECURITY[security]),
            options.password if security in {"lls", "hls-sha256"} else None,
            InterfaceType.HDLC if hdlc else InterfaceType.WRAPPER,
        )
        if hdlc and server.size > 1:
            client.serverAddress = client.getServerAddress(server.logical, server.physical or 0, server.size)
        if hdlc:
            client.serverAddressSize = server.size
            client.hdlcSettings.maxInfoTX = client.hdlcSettings.maxInfoRX = options.hdlc_info_max
            client.hdlcSettings.windowSizeTX = client.hdlcSettings.windowSizeRX = options.hdlc_window
        client.maxReceivePDUSize = options.max_pdu
        general = options.ciphering.startswith("general-")
        if not (ciphered and general):
            client.proposedConformance &= ~Conformance.GENERAL_PROTECTION
        if ciphered:
            client.ciphering.security = PROTECTION[options.protection]
            client.ciphering.systemTitle = bytearray(options.octets("system_title"))
            client.ciphering.blockCipherKey = bytearray(options.octets("ek"))
            client.ciphering.authenticationKey = bytearray(options.octets("ak"))
            client.ciphering.invocationCounter = options.invocation_counter
            if options.ciphering.endswith("-ded"):
                client.ciphering.dedicatedKey = bytearray(os.urandom(16))
        client.useProtectedRelease = options.release == "ciphered"
        self._line = Line(options, client_sap, server)
        self.blocks = self.in_a_row = 0

    def __enter__(self):
        try:
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
        client = self._client
        if snrm := client.snrmRequest():
            client.parseUAResponse(self.exchange(snrm).data)
        client.parseAareResponse(self.exchange(client.aarqRequest()).data)
        if self._security.startswith("hls-"):
            if not client.getIsAuthenticationRequired():
                raise PeerError("the meter did not ask for HLS passes 3 and 4")
            reply = self.exchange(client.getApplicationAssociationRequest())
            if reply.error:
                raise PeerError(f"the meter refused our HLS reply with {reply.error}")
            client.parseApplicationAssociationResponse(reply.data)  # raises when f(CtoS) is wrong
        elif client.getIsAuthenticationRequired():
            raise PeerError("the meter asks for HLS, which was not offered")

    def _release(self):
        client = self._client
        if self._options.release != "none":
            reply = self.exchange(client.releaseRequest())
            emit("released", command=int(reply.command))
        if self._line.hdlc:
            self.exchange(client.disconnectRequest(force=True))

    def exchange(self, frames):
        """Send a request's frames one by one and collect the whole reply, segments and blocks."""
        reply = GXReplyData()
        for frame in frames if isinstance(frames, list) else [frames]:
            reply.clear()
            self._ask(frame, reply)
        while reply.isMoreData():
            self.blocks += bool(reply.moreData & RequestTypes.DATABLOCK and not reply.moreData & RequestTypes.FRAME)
            self._ask(self._client.receiverReady(RequestTypes(reply.moreData)), reply)
        return reply

    def _ask(self, frame, reply):
        self._line.send(frame)
        row = [self._line.receive()]
        while self._line.hdlc and not is_final(row[-1]):
            row.append(self._line.receive())
        self.in_a_row = max(self.in_a_row, len(row))
        received = b"".join(row)  # Gurux wants the whole row at once
        if not self._client.getData(bytearray(received), reply):
            raise PeerError(f"Gurux does not accept the frame {received.hex()}")

    def get(self, class_id, obis, attribute):
        reply = self.exchange(self._client._read(obis, class_id, attribute))
        if reply.error:
            return "error", reply.error
        return "data", bytes(reply.data.array())

    def get_token_gateway_as_list(self):
        if not self._client.negotiatedConformance & Conformance.MULTIPLE_REFERENCES:
            return None
        target = GXDLMSTokenGateway(GATEWAY[1])
        values = []
        for frames in self._client.readList([(target, attribute) for attribute in (2, 3, 5, 6)]):
            values += self.exchange(frames).value
        return values

    def get_log(self, obis, first, last):
        """Entries of a Profile generic, by their numbers."""
        reply = self.exchange(self._client.readRowsByEntry(GXDLMSProfileGeneric(obis), first, last - first + 1))
        if reply.error:
            raise PeerError(f"the log cannot be read: {reply.error}")
        return decode_data(bytes(reply.data.array()))

    def transfer_keys(self, master_key, keys):
        """Class 64, method 2: [key id, key in hex]; wrapped by Gurux."""
        wrapped = [(GlobalKeyType(number), bytearray.fromhex(key)) for number, key in keys]
        setup = GXDLMSSecuritySetup("0.0.43.0.0.255")
        frames = setup.globalKeyTransfer(self._client, bytearray.fromhex(master_key), wrapped)
        return self.exchange(frames).error, len(frames)

    def get_objects(self):
        kind, answer = self.get(15, "0.0.40.0.0.255", 2)  # getObjectsRequest() is the first frame only
        if kind == "error":
            raise PeerError(f"the object list cannot be read: {answer}")
        return [item[:3] for item in decode_data(answer)]

    def enter(self, octets):
        gateway = GXDLMSTokenGateway(GATEWAY[1])
        reply = self.exchange(self._client.method(gateway, 1, bytearray(octets), DataType.OCTET_STRING))
        return reply.error, bytes(reply.data.array()).hex() or None

    def describe(self):
        settings = self._client.settings
        title = settings.sourceSystemTitle
        return {
            "meter_system_title": bytes(title).hex() if title else None,
            "conformance": conformance_octets(settings.negotiatedConformance),
            "max_pdu": settings.maxPduSize,
            "hdlc_info": [settings.hdlc.maxInfoTX, settings.hdlc.maxInfoRX] if self._line.hdlc else None,
        }


def is_final(frame):
    """Whether this HDLC frame ends a row of frames: its poll/final bit."""
    size = next(n for n in (1, 2, 4) if frame[3 + n] & 1)
    return bool(frame[4 + size] & 0x10)


class Counters:
    """The meter's invocation counter must rise with each APDU (it is part of the nonce)."""

    def __init__(self):
        self._last = -1

    def __call__(self, system_title, invocation_counter):
        if invocation_counter <= self._last:
            raise PeerError(f"the meter {system_title.hex()} used counter {invocation_counter} after {self._last}")
        self._last = invocation_counter


def read_counter(options):
    with Association(options, PUBLIC_CLIENT_SAP, "none", ciphered=False) as public:
        kind, answer = public.get(*COUNTER, 2)
    if kind == "error":
        raise PeerError(f"client 16 may not read the counter: {answer}")
    value = decode_data(answer)
    emit("counter", value=value)
    return value + 1


def main():
    options = read_options(client_defaults())
    limit_lifetime(options.lifetime_seconds)
    check_tags(Counters(), options.protection)
    count_rows()
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
        if options.transfer_keys:
            result, messages = association.transfer_keys(options.master_key, options.transfer_keys)
            emit("transferred", result=result, messages=messages)
    emit("done", **summary, blocks=association.blocks, in_a_row=association.in_a_row)


run(main)
