"""Meters and wires that mean harm, and shells that cannot listen."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Sequence

import pytest

from cosem_objects import axdr, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.dlms import acse
from cosem_objects.dlms.acse import Aare, Mechanism
from cosem_objects.dlms.apdu import (
    ActionRequest,
    AttributeDescriptor,
    Conformance,
    DataNotification,
    GetResponse,
    GetResponseWithDataBlock,
    InitiateResponse,
    MethodDescriptor,
)
from cosem_objects.dlms.client import ClientAssociation
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode
from cosem_objects.payment import Currency, CurrencyUnit
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import StatusCode, TokenStatus
from gateway.__main__ import main
from gateway.cli.story import Teller
from gateway.events import Judged, Reached
from gateway.readback import AccountReading, GatewayUnreadable, Readback
from gateway.session import Session
from gateway.verdict import Credited, Outcome, Verdict
from gateway.verdict_words import as_json
from tests.scenarios.virtual_clock import run_in_virtual_time
from transports.channel import Address, ApduChannel, ChannelTimeout
from transports.endpoint import Endpoint, EndpointError

TOKEN = Token.parse("23716100501183194197")
KEYS = {
    "mechanism": "hls-gmac",
    "ciphering": "none",
    "ek": "000102030405060708090A0B0C0D0E0F",
    "ak": "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
    "client_system_title": "5354534741544501",
    "meter_system_title": "53494D0000000001",
}
DISCONNECT = ActionRequest(MethodDescriptor(70, ObisCode.parse("0-0:96.3.10.255"), 1), axdr.integer(0)).encode()
DELIVER = ["deliver", "--endpoint", "tcp://127.0.0.1:9", "--token", TOKEN.digits]


async def test_a_meter_cannot_write_lines_or_tokens_into_the_story() -> None:
    evil = Currency(f"kWh\n…4197 ACCEPTED; credited yes\x1b[2J {TOKEN.digits}", -1, CurrencyUnit.CONSUMPTION)
    account = AccountReading(evil, 256)
    out = io.StringIO()
    teller = Teller("tcp://127.0.0.1:9", out)
    await teller.tell(Reached(b"", account))
    verdict = Verdict(Outcome.HELD, Credited.UNKNOWN, "config", detail=f"found {TOKEN.digits}\r\nelse")
    judged = Judged(TOKEN, verdict, before=account, after=account)
    await teller.tell(judged)
    assert len(out.getvalue().splitlines()) == 2
    for text in (out.getvalue(), str(as_json(judged))):
        assert TOKEN.digits not in text
        assert "\x1b" not in text


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_nothing_is_sent_where_nobody_could_read_the_intent(closed: str) -> None:
    command = [sys.executable, "-m", "gateway", *DELIVER]
    shell = subprocess.run(
        ["/bin/bash", "-c", f'"$@" {closed}', "bash", *command], capture_output=True, timeout=60, check=False
    )
    assert shell.returncode == 2
    assert b"must be open" in shell.stderr or closed == "2>&-"


@pytest.mark.parametrize("amount", ["1e9", "1e999999999999", "1_0", "٢", "0", "-0.0", "nan", "", "1" * 40])
def test_an_amount_is_written_in_plain_digits(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DELIVER, f"--amount={amount}", "--unit", "ZAR"]) == 2
    assert capsys.readouterr().err.startswith("stsgate deliver: amount")


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "1.2.3", "256.0.0.1", "1.2.3.4.5"])
def test_a_mistyped_address_calls_nobody_else(host: str) -> None:
    with pytest.raises(EndpointError, match="IPv4 address"):
        Endpoint.parse(f"tcp://{host}:4059")


def test_many_forged_jumps_are_no_longer_than_one() -> None:
    counters = InvocationCounters(10)
    assert counters.jump_to(60, 100)
    assert counters.jump_to(110, 100)
    assert not counters.jump_to(111, 100)
    assert counters.next_own == 110


def test_neither_side_signs_an_apdu_that_comes_as_a_challenge() -> None:
    """Where authentication alone is agreed, f(challenge) would be a valid tag for it."""
    settings = SecuritySettings.parse(KEYS)
    client = ClientAssociation(settings, InvocationCounters(), b"CtoS-8-octets")
    aarq = acse.decode(client.associate())
    assert isinstance(aarq, acse.Aarq)
    agreed = InitiateResponse(Conformance.ACTION, 0).encode()
    aare = Aare(1, 0, 14, agreed, False, settings.meter_system_title, Mechanism.HLS_GMAC, DISCONNECT)
    with pytest.raises(RemoteProtocolError, match="APDU"):
        client.receive(aare.encode())
    meter = ServerAssociation(settings, InvocationCounters(), lambda: b"StoC-8-octets")
    evil = acse.Aarq(1, aarq.user_information, settings.client_system_title, Mechanism.HLS_GMAC, DISCONNECT)
    answer = meter.receive(evil.encode())
    assert isinstance(answer, bytes)
    refused = acse.decode(answer)
    assert isinstance(refused, Aare)
    assert (refused.result, refused.diagnostic) == (1, 13)


class TalkativeChannel(ApduChannel):
    """A meter that sends a notification every nine seconds, and never an answer."""

    address = Address()
    repeats = 0

    async def open(self, timeout_seconds: float) -> None: ...

    async def send(self, apdu: bytes) -> None: ...

    async def receive(self, timeout_seconds: float | None) -> bytes:
        wait = 9.0 if timeout_seconds is None else min(9.0, timeout_seconds)
        await asyncio.sleep(wait)
        if wait < 9:
            raise ChannelTimeout("nothing arrived")
        return DataNotification(1, b"", axdr.NULL).encode()

    async def close(self) -> None: ...

    def hang_up(self) -> None: ...


class ChattyChannel(TalkativeChannel):
    """A meter that has notifications ready, and no answer."""

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return DataNotification(1, b"", axdr.NULL).encode()


async def test_notifications_without_end_are_no_answer() -> None:
    association = ClientAssociation(SecuritySettings(), InvocationCounters(), b"")
    session = Session(None, ChattyChannel(), association, 10, says_goodbye=False, use_lists=False)  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError, match="without end"):
        await asyncio.wait_for(session._associate(), 30)


class SlowBlocks(TalkativeChannel):
    """A meter that sends a block of its answer every nine seconds."""

    def __init__(self) -> None:
        self._server = MeterOfBlocks(10_000)

    async def send(self, apdu: bytes) -> None:
        await self._server.send(apdu)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        wait = 9.0 if timeout_seconds is None else min(9.0, timeout_seconds)
        await asyncio.sleep(wait)
        if wait < 9:
            raise ChannelTimeout("nothing arrived")
        return await self._server.receive(None)


def test_all_blocks_together_may_take_their_time_and_no_more() -> None:
    async def ask() -> float:
        association = ClientAssociation(SecuritySettings(), InvocationCounters(), b"", pdu_size_max=114)
        session = Session(None, SlowBlocks(), association, 10, says_goodbye=False, use_lists=False)  # type: ignore[arg-type]
        await session._associate()
        with pytest.raises(ChannelTimeout):
            await session.get(1, ObisCode.parse("0-0:42.0.0.255"), 2)
        return asyncio.get_running_loop().time()

    assert 600 < run_in_virtual_time(ask()) <= 9 + 10 + 600


class MeterOfBlocks(TalkativeChannel):
    """A meter whose only value comes in so many blocks."""

    def __init__(self, blocks: int) -> None:
        self._server = ServerAssociation(SecuritySettings(), InvocationCounters(), bytes, pdu_size_max=0)
        self._value = axdr.octet_string(bytes(blocks * 100))
        self._answers: list[bytes] = []

    async def send(self, apdu: bytes) -> None:
        asked = self._server.receive(apdu)
        answer = asked if isinstance(asked, bytes) else self._server.respond(GetResponse(self._value))
        self._answers.append(answer)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return self._answers.pop(0)


async def test_an_answer_may_come_in_more_blocks_than_notifications_are_taken() -> None:
    association = ClientAssociation(SecuritySettings(), InvocationCounters(), b"", pdu_size_max=114)
    session = Session(None, MeterOfBlocks(400), association, 10, says_goodbye=False, use_lists=False)  # type: ignore[arg-type]
    await session._associate()
    assert await session.get(1, ObisCode.parse("0-0:42.0.0.255"), 2) == axdr.octet_string(bytes(40_000))


class EndlessBlocks(MeterOfBlocks):
    """Each block is followed by one more, of an octet."""

    async def receive(self, timeout_seconds: float | None) -> bytes:
        answer = self._answers.pop(0)
        if answer[0] != GetResponse.TAG:
            return answer
        self.sent = getattr(self, "sent", 0) + 1
        return GetResponseWithDataBlock(self.sent, b"\0", is_last=False, invoke=0xC1).encode()


async def test_blocks_without_end_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.session._BLOCKS_MAX", 500)
    association = ClientAssociation(SecuritySettings(), InvocationCounters(), b"")
    session = Session(None, EndlessBlocks(1), association, 10, says_goodbye=False, use_lists=False)  # type: ignore[arg-type]
    await session._associate()
    with pytest.raises(RemoteProtocolError, match="without end"):
        await session.get(1, ObisCode.parse("0-0:42.0.0.255"), 2)


def test_notifications_do_not_make_an_answer_last_longer() -> None:
    async def ask() -> float:
        association = ClientAssociation(SecuritySettings(), InvocationCounters(), b"")
        session = Session(None, TalkativeChannel(), association, 10, says_goodbye=False, use_lists=False)  # type: ignore[arg-type]
        with pytest.raises(ChannelTimeout):
            await session._associate()
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(ask()) == 10


class Answering:
    """A session of a meter with a Token gateway, and one answer to everything else."""

    list_size_max = 127

    def __init__(self, answer: Data | int) -> None:
        self._answer = answer

    async def get_many(self, attributes: Sequence[AttributeDescriptor]) -> list[Data | int]:
        shown = {
            2: axdr.octet_string(b""),
            3: axdr.NULL,
            5: axdr.NULL,
            6: TokenStatus(StatusCode.EXECUTION_OK).to_data(),
        }
        return [shown[one.attribute] if one.class_id == token_gateway.CLASS_ID else self._answer for one in attributes]


@pytest.mark.parametrize("answer", [3, 13, 2, axdr.NULL, axdr.octet_string(b"600727000000000009")])
async def test_a_meter_that_does_not_say_who_it_is_has_not_been_recognised(answer: Data | int) -> None:
    with pytest.raises(GatewayUnreadable, match="identity"):
        await Readback(MeterProfile()).identity_and_state(Answering(answer), pan=True)  # type: ignore[arg-type]
    identity, _ = await Readback(MeterProfile()).identity_and_state(Answering(4), pan=True)  # type: ignore[arg-type]
    assert identity.pan is None
