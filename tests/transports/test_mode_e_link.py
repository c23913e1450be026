"""Mode E between a client and meters of all kinds, in virtual time: what is said when, and at which speed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from tests.transports.wires import echo, in_virtual_time
from transports.channel import ApduChannel, ChannelClosed, ChannelError, ChannelTimeout, NotSentError
from transports.conversations import Conversations
from transports.endpoint import Endpoint
from transports.hdlc.connection import HDLC_DEFAULTS
from transports.hdlc.frame import UA, Frame, HdlcAddress
from transports.hdlc.link import HdlcLink
from transports.memory_stream import MemoryStream, stream_pair
from transports.serial.format import SerialFormat
from transports.serial.hdlc import LineUse, ModeEServerLink, SerialLink
from transports.serial.mode_e import SIGN_ON, acknowledgement
from transports.serial.mode_e_stream import INACTIVITY_SECONDS, SignedOnStream, SigningOnStream, identification
from transports.serial.paced_stream import PacedStream
from transports.serial.simulated_line import PERFECT_LINE
from transports.stream import ByteStream

SECONDS = 30.0
ENDPOINT = Endpoint("serial", path="/dev/ttyX", mode="e")
LGZ = b"/LGZ5\\2ZMD3104407.B24\r\n"


class Device(PacedStream):
    """The client's device: remembers how it was used."""

    def __init__(self, inner: ByteStream) -> None:
        super().__init__(inner, SIGN_ON, PERFECT_LINE, Random(1), paced=False)
        self.name = "/dev/ttyX"
        self.switches: list[SerialFormat] = []
        self.switched_at = 0.0
        self.written: list[bytes] = []

    async def switch(self, line: SerialFormat) -> None:
        await super().switch(line)
        self.switches.append(line)
        self.switched_at = seconds()

    def write(self, data: bytes) -> None:
        self.written.append(data)
        super().write(data)


def client_link(stream: ByteStream, endpoint: Endpoint = ENDPOINT) -> tuple[SerialLink, Device]:
    device = Device(stream)
    hdlc = replace(HDLC_DEFAULTS, response_timeout_seconds=1.0, retries=0)
    return SerialLink(SigningOnStream(device, device), device, LineUse.of(endpoint), hdlc), device


class Meter:
    """The meter's side, at the pace of the line."""

    def __init__(
        self,
        stream: ByteStream,
        baud: int = 9600,
        device_address: str = "",
        serve: Callable[[ApduChannel], Awaitable[None]] = echo,
    ) -> None:
        self.line = PacedStream(stream, SIGN_ON, PERFECT_LINE, Random(1), paced=True)
        self.conversations = Conversations(serve)
        signed_on = SignedOnStream(self.line, self.line, identification(baud), device_address)
        self.link = ModeEServerLink(signed_on, self.conversations, HDLC_DEFAULTS)

    async def close(self) -> None:
        await self.link.close()
        await self.conversations.close()


async def ask(channel: ApduChannel) -> bytes:
    await channel.send(b"abc")
    return await channel.receive(SECONDS)


async def associate(link: HdlcLink, client_sap: int = 1) -> None:
    async with link.channel(client_sap) as channel:
        await channel.open(SECONDS)
        assert await ask(channel) == b"cba"


def seconds() -> float:
    return asyncio.get_running_loop().time()


# Our meter.


@pytest.mark.parametrize(
    ("meters", "wanted", "agreed"),
    [(9600, None, 9600), (9600, 2400, 2400), (9600, 115_200, 9600), (19_200, None, 19_200), (300, 9600, 300)],
)
def test_the_highest_speed_that_both_sides_can_is_agreed_on(meters: int, wanted: int | None, agreed: int) -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end, meters)
        link, device = client_link(client_end, replace(ENDPOINT, baud=wanted))
        async with link:
            await associate(link)
            assert device.switches == [SIGN_ON, SerialFormat(agreed)]
            assert device.written[:2] == [b"/?!\r\n", acknowledgement(agreed)]
        await meter.close()

    in_virtual_time(story)


def test_signing_on_takes_what_300_baud_take_and_the_pause_before_the_new_speed() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end)
        link, device = client_link(client_end)
        async with link:
            await associate(link)
            octets = len(b"/?!\r\n" + b"/SIM5\\2SIMULATED\r\n" + 2 * acknowledgement(9600))
            assert device.switched_at == pytest.approx(octets / 30 + 0.25, abs=0.02)
        await meter.close()

    in_virtual_time(story)


def test_each_association_signs_on_anew_and_two_at_a_time_sign_on_once() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end)
        link, device = client_link(client_end)
        async with link:
            await associate(link, 16)
            await associate(link, 1)
            assert device.switches.count(SIGN_ON) == 2
            async with link.channel(1) as first, link.channel(16) as second:
                await first.open(SECONDS)
                await second.open(SECONDS)
                assert await ask(first) == await ask(second) == b"cba"
            assert device.switches.count(SIGN_ON) == 3
        await meter.close()

    in_virtual_time(story)


def test_who_waited_for_the_line_signs_on_after_the_one_before_has_disconnected() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end)
        link, device = client_link(client_end)
        async with link:
            first, second = link.channel(16), link.channel(1)
            await first.open(SECONDS)
            closing = asyncio.ensure_future(first.close())
            await asyncio.sleep(0)  # DISC is out, and the line is taken
            await second.open(SECONDS)
            assert await ask(second) == b"cba"
            await closing
            await second.close()
            assert device.switches.count(SIGN_ON) == 2
        await meter.close()

    in_virtual_time(story)


def test_after_long_silence_a_meter_waits_for_the_next_sign_on() -> None:
    ended: list[str] = []

    async def serve(channel: ApduChannel) -> None:
        try:
            await echo(channel)
        except ChannelError as error:
            ended.append(str(error))

    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end, serve=serve)
        link, _ = client_link(client_end)
        async with link:
            async with link.channel(1) as channel:
                await channel.open(SECONDS)
                await ask(channel)
                for _ in range(3):  # not silent long enough
                    await asyncio.sleep(INACTIVITY_SECONDS * 0.75)
                    await ask(channel)
                await asyncio.sleep(INACTIVITY_SECONDS + 1)
                assert ended == ["the client fell silent"]
                await channel.send(b"abc")
                with pytest.raises(ChannelTimeout):
                    await channel.receive(SECONDS)
            await associate(link)
        await meter.close()

    in_virtual_time(story)


def test_who_does_not_sign_on_is_not_heard() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end)
        link, _ = client_link(client_end, replace(ENDPOINT, mode="hdlc"))
        async with link, link.channel() as channel:
            with pytest.raises(ChannelTimeout):
                await channel.open(SECONDS)
        await meter.close()

    in_virtual_time(story)


@pytest.mark.parametrize(("asked", "answers"), [("123", True), (None, True), ("124", False)])
def test_a_meter_with_an_address_answers_when_it_is_meant(asked: str | None, answers: bool) -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end, device_address="123")
        link, _ = client_link(client_end, replace(ENDPOINT, device_address=asked))
        async with link:
            if answers:
                await associate(link)
            else:
                with pytest.raises(NotSentError, match="no answer"):
                    await associate(link)
        await meter.close()

    in_virtual_time(story)


# Other people's meters.

Step = tuple[bytes, bytes | None]
"""What a meter waits for, and what it says then; ``None``: it hangs up."""

_UA = Frame(HdlcAddress.client(1), HdlcAddress.server(1, None), UA).encode()


class Scripted:
    """A meter that knows some lines by heart."""

    def __init__(self, stream: MemoryStream, steps: Sequence[Step]) -> None:
        self._stream = stream
        self._steps = list(steps)
        self._heard = bytearray()
        stream.start(self._on_bytes, lambda _error: None)

    def _on_bytes(self, data: bytes) -> None:
        self._heard += data
        while self._steps and self._steps[0][0] in self._heard:
            _, answer = self._steps.pop(0)
            self._heard.clear()
            if answer is None:
                self._stream.hang_up()
            else:
                self._stream.write(answer)


def with_even_parity(octets: bytes) -> bytes:
    return bytes(octet | (octet.bit_count() % 2) << 7 for octet in octets)


ACK = acknowledgement(9600)
SNRM_BEGINS = b"\x7e\xa0"

GOOD_METERS: dict[str, list[Step]] = {
    "a meter as in the standard": [(b"/?!\r\n", LGZ), (ACK, ACK), (SNRM_BEGINS, _UA)],
    "does not repeat the acknowledgement": [(b"/?!\r\n", LGZ), (ACK, b""), (SNRM_BEGINS, _UA)],
    "parity bits left in the octets": [
        (b"/?!\r\n", with_even_parity(LGZ)),
        (ACK, with_even_parity(ACK)),
        (SNRM_BEGINS, _UA),
    ],
    "noise before all": [(b"/?!\r\n", b"\xff\x00\r\n/" + LGZ), (ACK, b"\x80" + ACK), (SNRM_BEGINS, b"\xff" + _UA)],
    "wakes up with the first request": [(b"/?!\r\n", b""), (b"/?!\r\n", LGZ), (ACK, ACK), (SNRM_BEGINS, _UA)],
    "is misheard once": [(b"/?!\r\n", b"/LGZ5ZMD\r\n"), (b"/?!\r\n", LGZ), (ACK, ACK), (SNRM_BEGINS, _UA)],
}


@pytest.mark.parametrize("name", GOOD_METERS)
def test_a_meter_with_its_own_habits_is_signed_on_to(name: str) -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        Scripted(meter_end, GOOD_METERS[name])
        link, device = client_link(client_end)
        async with link, link.channel() as channel:
            await channel.open(SECONDS)
            assert device.switches[-1] == SerialFormat(9600)

    in_virtual_time(story)


BAD_METERS: list[tuple[list[Step], str]] = [
    ([], r"cannot sign on at /dev/ttyX: no answer to the request message \(mode E\)"),
    ([(b"/?!\r\n", b"/LGZ5ZMD\r\n")] * 2, r"the meter \(LGZ\) offers mode C only, not mode E"),
    ([(b"/?!\r\n", b"nonsense\r\n")] * 2, "no answer to the request message"),
    ([(b"/?!\r\n", None)], "cannot sign on at /dev/ttyX: the other side closed"),
    ([(b"/?!\r\n", LGZ), (ACK, None)], "cannot sign on at /dev/ttyX: the other side closed"),
]


@pytest.mark.parametrize(("steps", "words"), BAD_METERS)
def test_where_nobody_signs_on_nothing_was_sent(steps: list[Step], words: str) -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        Scripted(meter_end, steps)
        link, device = client_link(client_end)
        async with link, link.channel() as channel:
            with pytest.raises(NotSentError, match=words):
                await channel.open(SECONDS)
            assert not any(SNRM_BEGINS in data for data in device.written)

    in_virtual_time(story)


def test_a_meter_that_agrees_and_then_says_nothing_is_a_time_out() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        Scripted(meter_end, [(b"/?!\r\n", LGZ), (ACK, ACK)])
        link, _ = client_link(client_end)
        async with link, link.channel() as channel:
            with pytest.raises(ChannelTimeout):
                await channel.open(SECONDS)

    in_virtual_time(story)


def test_who_runs_out_of_patience_may_try_again() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        Scripted(meter_end, [(b"/?!\r\n", b""), (b"/?!\r\n", LGZ), (ACK, ACK), (SNRM_BEGINS, _UA)])
        link, _ = client_link(client_end)
        async with link:
            async with link.channel() as channel:
                with pytest.raises(ChannelTimeout, match="within 1 s"):
                    await channel.open(1.0)
            async with link.channel() as channel:
                await channel.open(SECONDS)

    in_virtual_time(story)


def test_a_channel_that_is_closed_while_it_signs_on_leaves_the_line_usable() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end)
        link, device = client_link(client_end)
        async with link:
            channel = link.channel(16)
            opening = asyncio.ensure_future(channel.open(SECONDS))
            await asyncio.sleep(0.1)
            await channel.close()
            with pytest.raises((NotSentError, ChannelClosed)):
                await opening
            assert not any(SNRM_BEGINS in data for data in device.written)
            await asyncio.sleep(INACTIVITY_SECONDS + 1)  # the meter had agreed with nobody
            await associate(link)
        await meter.close()

    in_virtual_time(story)


def test_the_answer_of_a_slow_meter_is_waited_for_as_long_as_the_agreed_speed_needs() -> None:
    async def story() -> None:
        client_end, meter_end = stream_pair()
        meter = Meter(meter_end, 300)
        link, _ = client_link(client_end)
        async with link, link.channel() as channel:
            await channel.open(SECONDS)
            await channel.send(bytes(100))
            assert await channel.receive(60) == bytes(100)
            assert channel.repeats == 0
            assert seconds() > 2 * 100 / 30
        await meter.close()

    in_virtual_time(story)
