"""Exchanges that are cut in the middle of an answer to ``enter``: the token has left, and nobody may say otherwise."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResponseWithPblock,
    AttributeDescriptor,
    DataBlock,
    GeneralBlockTransfer,
    GetRequest,
    GetResponseWithList,
    Response,
)
from cosem_objects.dlms.security import COUNTER_MAX
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.obis import ObisCode
from cosem_objects.profile import HiddenTokenProof, TokenReadback
from gateway.delivery import Delivery
from tests.gateway.test_delivery import HLS, ONE, QUICK, TWO, Notes, Place, meter_at, secured
from transports.endpoint import Endpoint
from transports.hdlc.frame import DM, Kind
from transports.hdlc.receiver import FrameReceiver

HEADER = struct.Struct(">HHHH")
NOISE = b"\xff" * 16
HALF_AN_ANSWER = GeneralBlockTransfer(1, 0, b"x").encode()
GLO_ACTION_REQUEST, GLO_ACTION_RESPONSE = 0xCB, 0xCF

OnAnswer = Callable[[bytes], bytes | None]
"""What the client gets instead of the rest of the connection, in one piece; None = the APDU as it is."""


class InTheMiddle:
    """Somebody on the wire, between stsgate and the meter: forwards, and changes an answer once."""

    def __init__(self, place: Place, on_answer: OnAnswer, on_request: Callable[[bytes], bytes] = bytes) -> None:
        self._port = int(place.url.rsplit(":", 1)[1])
        self._on_answer, self._on_request = on_answer, on_request
        self.served: list[asyncio.Task[None]] = []

    async def listen(self) -> tuple[asyncio.Server, str]:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.served.append(asyncio.ensure_future(self._serve(reader, writer)))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return server, f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meter_reader, meter_writer = await asyncio.open_connection("127.0.0.1", self._port)

        async def forward() -> None:
            while message := await _message(reader):
                meter_writer.write(_wrap(message[0], self._on_request(message[1])))
            meter_writer.close()

        async def back() -> None:
            while message := await _message(meter_reader):
                changed = self._on_answer(message[1])
                writer.write(_wrap(message[0], message[1]) if changed is None else changed)
                if changed is not None and changed.endswith(NOISE):
                    break
            writer.close()

        await asyncio.gather(forward(), back())
        await _closed(writer, meter_writer)


async def _closed(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    try:
        header = await reader.readexactly(HEADER.size)
        return header, await reader.readexactly(HEADER.unpack(header)[3])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _wrap(header: bytes, apdu: bytes) -> bytes:
    return header[:6] + len(apdu).to_bytes(2, "big") + apdu


async def delivered(place: Place, middle: InTheMiddle, *tokens: object, **known: object) -> list[str]:
    server, url = await middle.listen()
    async with server:
        notes = Notes({})
        meter = replace(place.knows(), endpoint=Endpoint.parse(url), **known)  # type: ignore[arg-type]
        await Delivery(meter, notes.record).run(list(tokens))  # type: ignore[arg-type]
        await asyncio.gather(*middle.served)
    return notes.words


def once(condition: Callable[[bytes], bool], answer: Callable[[bytes], bytes]) -> OnAnswer:
    done = False

    def on_answer(apdu: bytes) -> bytes | None:
        nonlocal done
        if done or not condition(apdu):
            return None
        done = True
        return answer(apdu)

    return on_answer


def answers_enter_in_clear(apdu: bytes) -> bool:
    return apdu[0] == ActionResponse.TAG


def _with_header(apdu: bytes) -> bytes:
    return HEADER.pack(1, 1, 1, len(apdu)) + apdu


async def test_a_line_that_breaks_after_half_an_answer_to_enter_leaves_doubt_that_is_settled() -> None:
    def half(apdu: bytes) -> bytes:
        return _with_header(ActionResponseWithPblock(DataBlock(1, b"\0\0"), apdu[2]).encode()) + NOISE

    async with meter_at() as place:
        assert await delivered(place, InTheMiddle(place, once(answers_enter_in_clear, half)), ONE) == [
            "accepted, credited yes"
        ]
        assert place.times_credited(ONE) == 1


async def test_nobody_without_keys_makes_a_token_that_was_credited_count_as_never_sent() -> None:
    """General blocks are taken before anything in them is verified."""
    answers = iter(range(10))

    def answers_enter(apdu: bytes) -> bool:
        return apdu[0] == GLO_ACTION_RESPONSE and next(answers) == 1  # 0 is HLS pass 4

    middle = once(answers_enter, lambda _apdu: _with_header(HALF_AN_ANSWER) + NOISE)
    async with meter_at(secured(HLS)) as place:
        assert await delivered(place, InTheMiddle(place, middle), ONE) == ["accepted, credited yes"]
        assert place.times_credited(ONE) == 1


async def test_a_meter_that_seems_to_disconnect_in_the_middle_of_its_answer_has_the_token_all_the_same() -> None:
    async with meter_at(secured(HLS), wire="hdlc+tcp") as place:
        port = int(place.url.rsplit(":", 1)[1])
        served: list[asyncio.Task[None]] = []

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.ensure_future(_hdlc_in_the_middle(port, reader, writer)))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            url = f"hdlc+tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            notes = Notes({})
            await Delivery(place.knows(endpoint=Endpoint.parse(url)), notes.record).run([ONE])
            await asyncio.gather(*served)
        assert place.times_credited(ONE) == 1
    assert notes.words == ["accepted, credited yes"]


_FIRED: set[int] = set()


async def _hdlc_in_the_middle(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Instead of the answer to the second ciphered ACTION: half a general block transfer, and DM."""
    meter_reader, meter_writer = await asyncio.open_connection("127.0.0.1", port)
    to_meter, to_client, actions = FrameReceiver(), FrameReceiver(), 0

    async def forward() -> None:
        nonlocal actions
        while data := await reader.read(4096):
            actions += sum(
                frame.kind is Kind.INFORMATION and frame.information[3:4] == bytes((GLO_ACTION_REQUEST,))
                for frame in to_meter.receive(data)
            )
            meter_writer.write(data)
        meter_writer.close()

    async def back() -> None:
        while data := await meter_reader.read(4096):
            for frame in to_client.receive(data):
                if frame.kind is Kind.INFORMATION and actions == 2 and port not in _FIRED:
                    _FIRED.add(port)
                    half = dataclasses.replace(frame, information=b"\xe6\xe7\x00" + HALF_AN_ANSWER, segmented=False)
                    gone = dataclasses.replace(frame, control=DM, information=b"", segmented=False)
                    writer.write(half.encode() + gone.encode())
                else:
                    writer.write(frame.encode())
        writer.close()

    await asyncio.gather(forward(), back())
    await _closed(writer, meter_writer)


async def test_a_counter_that_ends_in_the_middle_of_the_answer_leaves_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last counter went out with the token; the block that the meter sends back needs one more."""
    respond = ServerAssociation.respond

    def in_blocks(self: ServerAssociation, response: Response) -> bytes:
        if not isinstance(response, ActionResponse):
            return respond(self, response)
        assert self._asked is not None
        half = ActionResponseWithPblock(DataBlock(1, b"\0\0"), self._asked.invoke)
        self._asked = None
        return self._seal(half.encode())

    monkeypatch.setattr(ServerAssociation, "respond", in_blocks)
    before_enter = 4  # InitiateRequest, f(StoC), the ACTION that carries it, GET with list
    async with meter_at(secured(HLS)) as place:
        notes = Notes({})
        await Delivery(place.knows(invocation_counter=COUNTER_MAX - before_enter), notes.record).run([ONE])
        assert place.times_credited(ONE) == 1
    assert notes.words == ["in_doubt (config), credited unknown"]


@pytest.mark.parametrize("is_hidden", [True, False])
async def test_a_time_that_could_not_be_read_before_is_no_changed_time(is_hidden: bool) -> None:
    """Attribute 3 is busy once, enter never arrives: the success that the meter shows is that of another token."""
    profile = replace(QUICK, poll_timeout_seconds=0.1)
    if is_hidden:
        profile = replace(profile, token_readback=TokenReadback.HIDDEN, hidden_token_proof=HiddenTokenProof.TIME)
    swallowed: list[int] = []
    readings = iter(range(1000))

    def on_request(apdu: bytes) -> bytes:
        if apdu[0] != ActionRequest.TAG:
            return apdu
        swallowed.append(apdu[2])
        harmless = AttributeDescriptor(1, ObisCode.parse("0-0:42.0.0.255"), 2)
        return GetRequest(harmless, invoke=apdu[2]).encode()

    def on_answer(apdu: bytes) -> bytes | None:
        if swallowed:
            return _with_header(ActionResponse(2, None, swallowed.pop()).encode())
        decoded = xdlms.decode(apdu) if apdu[0] == 0xC4 else None
        if not isinstance(decoded, GetResponseWithList):
            return None
        results = list(decoded.results)
        results[0] = 3 if is_hidden else results[0]
        results[1] = 2 if next(readings) == 0 else results[1]
        return _with_header(replace(decoded, results=tuple(results)).encode())

    async with meter_at() as place:
        notes = Notes({})
        await Delivery(place.knows(profile=QUICK), notes.record).run([ONE])
        words = await delivered(place, InTheMiddle(place, on_answer, on_request), TWO, profile=profile)
        assert place.times_credited(TWO) == 0
    assert "credited yes" not in words[-1]
