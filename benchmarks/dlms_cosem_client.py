"""dlms-cosem 25.1.0 (Business Source License 1.1, in this process only) as a contender, over asyncio streams.

    python -m benchmarks.dlms_cosem_client < JOB      with the interpreter of the peers' environment

Connect, AARQ, HLS passes 3 and 4, GET of attribute 2, ACTION ``enter``, GET of attribute 2, RLRQ, (DISC,) close. Every
ciphered APDU is general-glo, the only form that it knows; it has no decoder for token_status, so attribute 2 is read.
Its log is filtered down to nothing. On HDLC it is fed up to each 7E, without which it waits for ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import structlog
from dlms_cosem import cosem, enumerations
from dlms_cosem import state as dlms_state
from dlms_cosem.connection import DlmsConnection
from dlms_cosem.dlms_data import OctetStringData
from dlms_cosem.hdlc import frames
from dlms_cosem.hdlc import state as hdlc_state
from dlms_cosem.hdlc.address import HdlcAddress
from dlms_cosem.hdlc.connection import HdlcConnection
from dlms_cosem.protocol import xdlms
from dlms_cosem.protocol.wrappers import WrapperHeader, WrapperProtocolDataUnit
from dlms_cosem.protocol.xdlms.conformance import Conformance
from dlms_cosem.security import (
    HighLevelSecurityGmacAuthentication,
    LowLevelSecurityAuthentication,
    NoSecurityAuthentication,
)

from benchmarks.measure import HOST, Job, Sale, read_job, run_async

GATEWAY_CLASS = enumerations.CosemInterface.TOKEN_GATEWAY
GATEWAY_OBIS = cosem.Obis(0, 0, 19, 40, 0, 255)
ASSOCIATION_OBIS = cosem.Obis(0, 0, 40, 0, 0, 255)
TIMEOUT_SECONDS = 30
LLC_COMMAND, LLC_RESPONSE = b"\xe6\xe6\x00", b"\xe6\xe7\x00"


class WrapperWire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def connect(self) -> None:
        """The wrapper has no such step."""

    async def exchange(self, apdu: bytes) -> bytes:
        self._writer.write(WrapperProtocolDataUnit(apdu, WrapperHeader(1, 1, len(apdu))).to_bytes())
        header = await self._reader.readexactly(8)
        return await self._reader.readexactly(WrapperHeader.from_bytes(header).length)

    async def disconnect(self) -> None:
        """Nor this one."""


class HdlcWire:
    """All APDUs of a delivery fit into one frame each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._client, self._server = HdlcAddress(1, None, "client"), HdlcAddress(1, None, "server")
        self._hdlc = HdlcConnection(self._client, self._server)

    async def connect(self) -> None:
        await self._ask(frames.SetNormalResponseModeFrame(self._server, self._client))

    async def exchange(self, apdu: bytes) -> bytes:
        request = frames.InformationFrame(
            self._server,
            self._client,
            LLC_COMMAND + apdu,
            send_sequence_number=self._hdlc.server_ssn,
            receive_sequence_number=self._hdlc.server_rsn,
        )
        answer = bytes((await self._ask(request)).payload)
        assert answer.startswith(LLC_RESPONSE), "no LLC header"
        return answer[3:]

    async def disconnect(self) -> None:
        await self._ask(frames.DisconnectFrame(self._server, self._client))

    async def _ask(self, frame: Any) -> Any:
        self._writer.write(self._hdlc.send(frame))
        event = hdlc_state.NEED_DATA
        while event is hdlc_state.NEED_DATA:
            self._hdlc.receive_data(await self._reader.readuntil(b"\x7e"))
            event = self._hdlc.next_event()
        return event


class Association:
    def __init__(self, job: Job, sale: Sale, wire: WrapperWire | HdlcWire) -> None:
        self._ciphered = job.security == "hls-gmac"
        self._wire = wire
        keys = {
            name: bytes.fromhex(job.secrets[name]) for name in ("client_system_title", "ek", "ak") if self._ciphered
        }
        self._dlms = DlmsConnection(
            authentication=_authentication(job),
            client_system_title=keys.get("client_system_title"),
            global_encryption_key=keys.get("ek"),
            global_authentication_key=keys.get("ak"),
            client_invocation_counter=sale.counter if self._ciphered else 0,
            meter_invocation_counter=-1,
            conformance=Conformance(general_protection=self._ciphered, get=True, set=True, action=True),
        )

    async def deliver(self, token: bytes) -> None:
        await self._wire.connect()
        aare = await self._ask(self._dlms.get_aarq())
        assert aare.result == enumerations.AssociationResult.ACCEPTED, f"refused: {aare.result_source_diagnostics!r}"
        if self._ciphered:
            answer = self._dlms.authentication.hls_generate_reply_data(self._dlms)
            await self._action(enumerations.CosemInterface.ASSOCIATION_LN, ASSOCIATION_OBIS, answer)
        assert self._dlms.state.current_state is dlms_state.READY, "the association does not stand"
        await self._read_token()
        entered = await self._action(GATEWAY_CLASS, GATEWAY_OBIS, token)
        assert entered.status == enumerations.ActionResultStatus.SUCCESS, f"enter is answered with {entered.status}"
        assert token in await self._read_token(), "the meter does not show the token"
        await self._ask(self._dlms.get_rlrq())
        await self._wire.disconnect()

    async def _action(self, class_id: Any, obis: Any, octets: bytes) -> Any:
        data = OctetStringData(octets).to_bytes()
        return await self._ask(xdlms.ActionRequestNormal(cosem.CosemMethod(class_id, obis, 1), data))

    async def _read_token(self) -> bytes:
        attribute = cosem.CosemAttribute(GATEWAY_CLASS, GATEWAY_OBIS, 2)
        return bytes((await self._ask(xdlms.GetRequestNormal(attribute))).data)

    async def _ask(self, request: Any) -> Any:
        self._dlms.receive_data(await self._wire.exchange(self._dlms.send(request)))
        return self._dlms.next_event()


def _authentication(job: Job) -> Any:
    if job.security == "hls-gmac":
        return HighLevelSecurityGmacAuthentication(challenge_length=16)
    if job.security == "lls":
        return LowLevelSecurityAuthentication(job.secrets["password"].encode())
    return NoSecurityAuthentication()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    job = read_job()
    wire = HdlcWire if job.wire.startswith("hdlc") else WrapperWire

    async def deliver(sale: Sale) -> None:
        reader, writer = await asyncio.open_connection(HOST, sale.port)
        try:
            await Association(job, sale, wire(reader, writer)).deliver(sale.token)
        finally:
            writer.close()
            await writer.wait_closed()

    run_async(job, deliver)


if __name__ == "__main__":
    main()
