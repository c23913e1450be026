"""gurux-dlms (GPL-2, in this process only) as a contender, each lane in a thread with a blocking socket.

    python -m benchmarks.gurux_client < JOB      with the interpreter of the peers' environment

Connect, AARQ, HLS passes 3 and 4, GET of attribute 2, ACTION ``enter``, GET of attribute 2, RLRQ, (DISC,) close: as the
package comes, which does not compare the tags of what it deciphers. Only its printing is silenced.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from gurux_dlms import GXReplyData
from gurux_dlms.enums import Authentication, Conformance, DataType, InterfaceType, RequestTypes, Security
from gurux_dlms.objects import GXDLMSTokenGateway
from gurux_dlms.secure import GXDLMSSecureClient

from benchmarks.measure import HOST, Job, Sale, read_job, run_threads

GATEWAY_CLASS, GATEWAY_OBIS = 115, "0.0.19.40.0.255"
TIMEOUT_SECONDS = 30
MECHANISMS = {"none": 0, "lls": 1, "hls-gmac": 5}

vars(sys.modules["gurux_dlms.GXDLMSChippering"])["print"] = lambda *_: None


class Association:
    """One connection, one association."""

    def __init__(self, job: Job, sale: Sale) -> None:
        self._hdlc = job.wire.startswith("hdlc")
        self._ciphered = job.security == "hls-gmac"
        self._client = self._make_client(job, sale)
        self._socket = socket.create_connection((HOST, sale.port), TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def _make_client(self, job: Job, sale: Sale) -> Any:
        client = GXDLMSSecureClient(
            True,
            1,
            1,
            Authentication(MECHANISMS[job.security]),
            job.secrets.get("password"),
            InterfaceType.HDLC if self._hdlc else InterfaceType.WRAPPER,
        )
        client.serverAddressSize = 1
        client.proposedConformance &= ~Conformance.GENERAL_PROTECTION
        if self._ciphered:
            client.ciphering.security = Security.AUTHENTICATION_ENCRYPTION
            client.ciphering.systemTitle = bytearray.fromhex(job.secrets["client_system_title"])
            client.ciphering.blockCipherKey = bytearray.fromhex(job.secrets["ek"])
            client.ciphering.authenticationKey = bytearray.fromhex(job.secrets["ak"])
            client.ciphering.invocationCounter = sale.counter
        return client

    def deliver(self, token: bytes) -> None:
        try:
            self._associate()
            self._read_token()
            gateway = GXDLMSTokenGateway(GATEWAY_OBIS)
            reply = self._exchange(self._client.method(gateway, 1, bytearray(token), DataType.OCTET_STRING))
            assert reply.error == 0, f"enter is answered with {reply.error}"
            assert token in self._read_token(), "the meter does not show the token"
            self._exchange(self._client.releaseRequest())
            if self._hdlc:
                self._exchange(self._client.disconnectRequest(force=True))
        finally:
            self._socket.close()

    def _associate(self) -> None:
        client = self._client
        if snrm := client.snrmRequest():
            client.parseUAResponse(self._exchange(snrm).data)
        client.parseAareResponse(self._exchange(client.aarqRequest()).data)
        if self._ciphered:
            reply = self._exchange(client.getApplicationAssociationRequest())
            client.parseApplicationAssociationResponse(reply.data)  # raises when f(CtoS) is wrong

    def _read_token(self) -> bytes:
        reply = self._exchange(self._client._read(GATEWAY_OBIS, GATEWAY_CLASS, 2))  # noqa: SLF001 - no public name
        return bytes(reply.data.array())

    def _exchange(self, frames: Any) -> Any:
        reply = GXReplyData()
        for frame in frames if isinstance(frames, list) else [frames]:
            reply.clear()
            self._ask(frame, reply)
        while reply.isMoreData():
            self._ask(self._client.receiverReady(RequestTypes(reply.moreData)), reply)
        return reply

    def _ask(self, frame: Any, reply: Any) -> None:
        self._socket.sendall(bytes(frame))
        assert self._client.getData(bytearray(self._frame()), reply), "Gurux does not accept the frame"

    def _frame(self) -> bytes:
        """The next whole frame: its length stands in it."""
        while True:
            octets = self._socket.recv(4096)
            assert octets, "the meter closed the connection"
            self._buffer += octets
            if len(self._buffer) < 8:
                continue
            first = 2 if self._hdlc else 8
            field, mask = (self._buffer[1:3], 0x7FF) if self._hdlc else (self._buffer[6:8], 0xFFFF)
            size = first + (int.from_bytes(field, "big") & mask)
            if len(self._buffer) >= size:
                frame = bytes(self._buffer[:size])
                del self._buffer[:size]
                return frame


def main() -> None:
    job = read_job()
    run_threads(job, lambda sale: Association(job, sale).deliver(sale.token))


if __name__ == "__main__":
    main()
