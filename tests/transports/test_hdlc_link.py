"""HDLC links against a bare wire on which the test speaks frame by frame, and against each other in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress

import pytest

from tests.transports.wires import echo, in_virtual_time, mute
from transports.channel import (
    Address,
    ApduChannel,
    ChannelClosed,
    ChannelError,
    ChannelGarbled,
    ChannelTimeout,
    NotSentError,
)
from transports.conversations import Conversations
from transports.endpoint import EndpointError
from transports.faults import Faults, FaultyStream
from transports.hdlc.connection import LLC_REQUEST, LLC_RESPONSE, HdlcSettings
from transports.hdlc.frame import DISC, DM, FRMR, SNRM, UA, Frame, HdlcAddress, Kind
from transports.hdlc.link import HdlcLink
from transports.hdlc.receiver import FrameReceiver
from transports.hdlc.server_link import HdlcServerLink
from transports.inbox import INBOX_APDUS_MAX
from transports.memory_stream import MemoryStream, stream_pair

METER = HdlcAddress.server(1, 17)


class RawHdlc:
    """The bare end of a line: frames out, frames in, no rules."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._receiver = FrameReceiver()
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        stream.start(self._on_bytes, lambda _error: None)

    def _on_bytes(self, data: bytes) -> None:
        for frame in self._receiver.receive(data):
            self._frames.put_nowait(frame)

    def say(self, control: int, information: bytes = b"", *, client: int = 1, meter: HdlcAddress = METER) -> None:
        raise NotImplementedError

    async def hear(self) -> Frame:
        return await asyncio.wait_for(self._frames.get(), 600)

    async def hear_nothing(self) -> None:
        """Let everything that is on the way arrive: nothing does."""
        for _ in range(20):
            await asyncio.sleep(0)
        assert self._frames.empty()


class RawMeter(RawHdlc):
    def say(self, control: int, information: bytes = b"", *, client: int = 1, meter: HdlcAddress = METER) -> None:
        self.stream.write(Frame(HdlcAddress.client(client), meter, control, information).encode())


class RawClient(RawHdlc):
    def say(self, control: int, information: bytes = b"", *, client: int = 1, meter: HdlcAddress = METER) -> None:
        self.stream.write(Frame(meter, HdlcAddress.client(client), control, information).encode())


async def opened(
    settings: HdlcSettings = HdlcSettings(),  # noqa: B008
) -> tuple[HdlcLink, ApduChannel, RawMeter]:
    ours, theirs = stream_pair()
    link, meter = HdlcLink(ours, settings), RawMeter(theirs)
    channel = link.channel(1, 1, 17)
    opening = asyncio.ensure_future(channel.open(100))
    assert (await meter.hear()).kind is Kind.SNRM
    meter.say(UA)
    await opening
    return link, channel, meter


async def closed(link: HdlcLink, meter: RawMeter) -> None:
    """Close politely, so that nobody waits."""
    closing = asyncio.ensure_future(link.close())
    while not closing.done():
        hearing = asyncio.ensure_future(meter.hear())
        await asyncio.wait((closing, hearing), return_when=asyncio.FIRST_COMPLETED)
        if hearing.done() and hearing.result().kind is Kind.DISC:
            meter.say(UA)
        hearing.cancel()
        await asyncio.wait((hearing,))


# The client's side.


def test_a_conversation_frame_by_frame() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        question = await meter.hear()
        assert (question.control, question.information) == (0x10, LLC_REQUEST + b"ask")
        assert (question.destination, question.destination.size) == (METER, 2)
        meter.say(0x30, LLC_RESPONSE + b"tell")
        assert await channel.receive(5) == b"tell"
        closing = asyncio.ensure_future(channel.close())
        assert (await meter.hear()).control == DISC
        assert not closing.done()
        meter.say(UA)
        await closing
        await link.close()
        assert asyncio.get_running_loop().time() == 0

    in_virtual_time(story)


def test_a_meter_that_is_silent_is_asked_four_times_and_then_given_up() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        with pytest.raises(ChannelTimeout, match="asked 4 times, 5 s each"):
            await channel.receive(None)
        assert asyncio.get_running_loop().time() == pytest.approx(20)
        assert channel.repeats == 3
        assert [(await meter.hear()).control for _ in range(4)] == [0x10] * 4
        with pytest.raises(NotSentError, match="the channel is closed"):
            await channel.send(b"again")
        await closed(link, meter)

    in_virtual_time(story)


def test_a_meter_that_was_asked_twice_may_have_heard_it_twice() -> None:
    async def story() -> None:
        link, channel, meter = await opened(HdlcSettings(response_timeout_seconds=1))
        await channel.send(b"ask")
        receiving = asyncio.ensure_future(channel.receive(60))
        assert [(await meter.hear()).control for _ in range(2)] == [0x10, 0x10]
        meter.say(0x30, LLC_RESPONSE + b"tell")
        meter.say(0x30, LLC_RESPONSE + b"tell")
        assert await receiving == b"tell"
        assert channel.repeats == 1
        with pytest.raises(ChannelTimeout):
            await channel.receive(3)  # idle: the second answer is not one
        await channel.send(b"next")  # and idle waiting has not ended the conversation
        assert (await meter.hear()).control == 0x32
        await closed(link, meter)

    in_virtual_time(story)


def test_the_limit_of_receive_counts_for_all_repetitions_together() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        with pytest.raises(ChannelTimeout, match="within 7 s"):
            await channel.receive(7)
        assert asyncio.get_running_loop().time() == pytest.approx(7)
        assert channel.repeats == 1
        # The numbers may differ now: this conversation is over, and another one finds the line free.
        with pytest.raises(NotSentError):
            await channel.send(b"again")
        other = link.channel(16, 1, 17)
        opening = asyncio.ensure_future(other.open(5))
        assert [(await meter.hear()).kind for _ in range(3)] == [Kind.INFORMATION] * 2 + [Kind.SNRM]
        meter.say(UA, client=16)
        await opening
        await closed_after_cancel(link)

    in_virtual_time(story)


async def closed_after_cancel(link: HdlcLink) -> None:
    """Close with nobody at the other end: takes its two seconds, not more."""
    before = asyncio.get_running_loop().time()
    await link.close()
    assert asyncio.get_running_loop().time() - before <= 5


def test_opening_a_meter_that_is_not_there() -> None:
    async def story() -> None:
        ours, theirs = stream_pair()
        link, meter = HdlcLink(ours), RawMeter(theirs)
        channel = link.channel(1, 1, 17)
        with pytest.raises(ChannelTimeout, match="no answer while connecting, asked 4 times"):
            await channel.open(60)
        other = link.channel(16, 1, 17)
        with pytest.raises(ChannelTimeout, match="did not connect within 3 s"):
            await other.open(3)
        assert [(await meter.hear()).source.logical for _ in range(5)] == [1, 1, 1, 1, 16]
        await closed_after_cancel(link)

    in_virtual_time(story)


def test_a_meter_that_refuses_to_connect() -> None:
    async def story() -> None:
        ours, theirs = stream_pair()
        link, meter = HdlcLink(ours), RawMeter(theirs)
        channel = link.channel(1, 1, 17)
        opening = asyncio.ensure_future(channel.open(60))
        await meter.hear()
        meter.say(DM)
        with pytest.raises(ChannelClosed, match="refused to connect"):
            await opening
        await link.close()
        await meter.hear_nothing()  # no DISC for what never was connected
        assert asyncio.get_running_loop().time() == 0

    in_virtual_time(story)


@pytest.mark.parametrize(
    ("control", "information", "error", "words"),
    [
        (DM, b"", ChannelClosed, "not connected"),
        (FRMR, bytes(3), ChannelClosed, "FRMR"),
        (0x30, b"no llc", ChannelGarbled, "E6E600"),
    ],
)
def test_answers_that_end_a_conversation(
    control: int, information: bytes, error: type[ChannelError], words: str
) -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        await meter.hear()
        meter.say(control, information)
        with pytest.raises(error, match=words):
            await channel.receive(60)
        with pytest.raises(NotSentError):
            await channel.send(b"more")
        assert asyncio.get_running_loop().time() == 0
        await closed(link, meter)

    in_virtual_time(story)


def test_frames_of_other_meters_and_for_other_clients_are_ignored() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        meter.say(0x30, LLC_RESPONSE + b"wrong", client=16)
        meter.say(0x30, LLC_RESPONSE + b"wrong", meter=HdlcAddress.server(1, 18))
        meter.say(0x30, LLC_RESPONSE + b"wrong", meter=HdlcAddress.server(2, 17))
        meter.say(DM, meter=HdlcAddress.server(1, None))
        meter.say(0x30, LLC_RESPONSE + b"tell")
        assert await channel.receive(5) == b"tell"
        assert link.strays == 4
        await closed(link, meter)

    in_virtual_time(story)


def test_noise_and_a_broken_frame_cost_one_repetition_and_never_a_dead_lock() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        answer = Frame(HdlcAddress.client(1), METER, 0x30, LLC_RESPONSE + b"tell ~~~ \x7e\xa0").encode()
        broken = bytearray(answer)
        broken[-5] ^= 0x04
        meter.stream.write(b"\xff\x00\x7e\xa0" + bytes(broken) + b"\x7e\xa8")
        receiving = asyncio.ensure_future(channel.receive(60))
        assert [(await meter.hear()).control for _ in range(2)] == [0x10, 0x10]
        meter.stream.write(answer)
        assert await receiving == b"tell ~~~ \x7e\xa0"
        assert link.frames.dropped >= 1
        await closed(link, meter)

    in_virtual_time(story)


def test_an_answer_behind_a_frame_that_was_cut_short_is_found_without_a_repetition() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        long_one = Frame(HdlcAddress.client(1), METER, 0x30, LLC_RESPONSE + bytes(100)).encode()
        answer = Frame(HdlcAddress.client(1), METER, 0x30, LLC_RESPONSE + b"tell").encode()
        meter.stream.write(long_one[:50])
        meter.stream.write(answer)
        assert await channel.receive(60) == b"tell"
        assert asyncio.get_running_loop().time() == pytest.approx(HdlcSettings().inter_octet_timeout_seconds)
        assert channel.repeats == 0
        await closed(link, meter)

    in_virtual_time(story)


def test_before_a_frame_is_repeated_what_has_come_is_looked_through_once_more() -> None:
    async def story() -> None:
        link, channel, meter = await opened(HdlcSettings(inter_octet_timeout_seconds=60, retries=0))
        await channel.send(b"ask")
        meter.stream.write(Frame(HdlcAddress.client(1), METER, 0x30, LLC_RESPONSE + bytes(100)).encode()[:50])
        meter.say(0x30, LLC_RESPONSE + b"tell")
        assert await channel.receive(60) == b"tell"
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        await closed(link, meter)

    in_virtual_time(story)


def test_a_meter_that_babbles_does_not_put_off_the_time_out() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        receiving = asyncio.ensure_future(channel.receive(None))
        while not receiving.done():
            meter.say(0x3E, LLC_RESPONSE + b"not what was asked")
            await asyncio.sleep(1)
        with pytest.raises(ChannelTimeout, match="asked 4 times"):
            await receiving
        assert asyncio.get_running_loop().time() == pytest.approx(20, abs=1)
        await closed_after_cancel(link)

    in_virtual_time(story)


def test_two_channels_share_the_line_one_exchange_at_a_time() -> None:
    async def story() -> None:
        link, first, meter = await opened()
        second = link.channel(16, 1, 17)
        opening = asyncio.ensure_future(second.open(60))
        assert (await meter.hear()).source.logical == 16
        meter.say(UA, client=16)
        await opening
        await first.send(b"one")
        sending = asyncio.ensure_future(second.send(b"two"))
        assert (await meter.hear()).source.logical == 1
        await meter.hear_nothing()
        assert not sending.done()
        meter.say(0x30, LLC_RESPONSE + b"eno")
        assert await first.receive(5) == b"eno"
        await sending
        assert (await meter.hear()).source.logical == 16
        meter.say(0x30, LLC_RESPONSE + b"owt", client=16)
        assert await second.receive(5) == b"owt"
        await closed(link, meter)

    in_virtual_time(story)


def test_a_line_in_use_for_too_long_means_that_nothing_was_sent() -> None:
    async def story() -> None:
        link, first, meter = await opened(HdlcSettings(retries=100))
        second = link.channel(16, 1, 17)
        await first.send(b"one")
        with pytest.raises(NotSentError, match="the line was in use for 60 s"):
            await second.open(100)
        await first.close()
        await closed(link, meter)

    in_virtual_time(story)


def test_sending_before_the_answer_is_there_is_refused_and_harms_nothing() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"one")
        with pytest.raises(NotSentError, match="cannot send on an HDLC connection that is sending"):
            await channel.send(b"two")
        meter.say(0x30, LLC_RESPONSE + b"eno")
        assert await channel.receive(5) == b"eno"
        await closed(link, meter)

    in_virtual_time(story)


def test_sending_before_opening_is_refused() -> None:
    async def story() -> None:
        ours, theirs = stream_pair()
        link, meter = HdlcLink(ours), RawMeter(theirs)
        with pytest.raises(NotSentError, match="cannot send on an HDLC connection that is disconnected"):
            await link.channel(1, 1, 17).send(b"ask")
        await meter.hear_nothing()
        await link.close()

    in_virtual_time(story)


def test_the_wire_ends_in_the_middle_of_an_exchange() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send(b"ask")
        receiving = asyncio.ensure_future(channel.receive(None))
        await meter.hear()
        meter.stream.hang_up()
        with pytest.raises(ChannelClosed, match="closed the connection"):
            await receiving
        with pytest.raises(NotSentError):
            await channel.send(b"more")
        await channel.close()
        await link.close()
        assert asyncio.get_running_loop().time() == 0

    in_virtual_time(story)


@pytest.mark.parametrize("waiting_for", ["the line", "UA", "an answer"])
def test_being_cancelled_leaves_the_line_to_others(waiting_for: str) -> None:
    async def story() -> None:
        link, first, meter = await opened()
        second = link.channel(16, 1, 17)
        if waiting_for == "an answer":
            await first.send(b"one")
            task: asyncio.Future[object] = asyncio.ensure_future(first.receive(None))
        elif waiting_for == "the line":
            await first.send(b"one")
            task = asyncio.ensure_future(second.open(60))
        else:
            task = asyncio.ensure_future(second.open(60))
        await meter.hear()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if waiting_for == "the line":
            meter.say(0x30, LLC_RESPONSE + b"eno")
            assert await first.receive(5) == b"eno"
        third = link.channel(2, 1, 17)
        opening = asyncio.ensure_future(third.open(60))
        assert (await meter.hear()).kind is Kind.SNRM
        meter.say(UA, client=2)
        await opening
        await closed_after_cancel(link)

    in_virtual_time(story)


def test_closing_while_opening_ends_the_opening() -> None:
    async def story() -> None:
        ours, theirs = stream_pair()
        link, meter = HdlcLink(ours), RawMeter(theirs)
        channel = link.channel(1, 1, 17)
        opening = asyncio.ensure_future(channel.open(60))
        await meter.hear()
        closing = asyncio.ensure_future(channel.close())
        with pytest.raises(ChannelClosed, match="closed on this side"):
            await opening
        assert (await meter.hear()).kind is Kind.DISC
        meter.say(DM)
        await closing
        await link.close()
        assert asyncio.get_running_loop().time() == 0

    in_virtual_time(story)


def test_closing_while_the_line_is_in_use_means_that_nothing_is_said() -> None:
    async def story() -> None:
        link, first, meter = await opened()
        second = link.channel(16, 1, 17)
        await first.send(b"one")
        opening = asyncio.ensure_future(second.open(60))
        await asyncio.sleep(0)
        await second.close()
        await meter.hear()
        meter.say(0x30, LLC_RESPONSE + b"eno")
        assert await first.receive(5) == b"eno"
        with pytest.raises(NotSentError, match="closed on this side"):
            await opening
        await meter.hear_nothing()
        await first.send(b"two")
        await closed(link, meter)

    in_virtual_time(story)


@pytest.mark.parametrize(
    ("saps", "settings", "words"),
    [
        ((128, 1, None), HdlcSettings(), "client SAP"),
        ((1, 1, 17), HdlcSettings(address_bytes=1), "no physical part"),
        ((1, 0x4000, None), HdlcSettings(), "0 to 16383"),
    ],
)
async def test_addresses_that_hdlc_cannot_carry_are_refused(
    saps: tuple[int, int, int | None], settings: HdlcSettings, words: str
) -> None:
    link = HdlcLink(stream_pair()[0], settings)
    with pytest.raises(EndpointError, match=words):
        link.channel(*saps)
    await link.close()


# The server's side.


class Meters:
    """A server link, what it served, and the bare client at the other end."""

    def __init__(self, handler: object = echo, settings: HdlcSettings = HdlcSettings()) -> None:  # noqa: B008
        ours, theirs = stream_pair()
        self.client = RawClient(ours)
        self.began: list[Address] = []
        self.ended: list[ChannelError] = []

        async def serve(channel: ApduChannel) -> None:
            self.began.append(channel.address)
            try:
                await handler(channel)  # type: ignore[operator]
            except ChannelError as error:
                self.ended.append(error)

        self.conversations = Conversations(serve, accept=lambda address: address.physical in {17, 18})
        self.link = HdlcServerLink(theirs, self.conversations, settings)

    async def connected(self) -> None:
        self.client.say(SNRM)
        assert (await self.client.hear()).kind is Kind.UA

    async def close(self) -> None:
        await self.link.close()
        await self.conversations.close()


def test_a_meter_is_connected_asked_and_disconnected() -> None:
    async def story() -> None:
        meters = Meters()
        client = meters.client
        await meters.connected()
        client.say(0x10, LLC_REQUEST + b"abc")
        answer = await client.hear()
        assert (answer.control, answer.information) == (0x30, LLC_RESPONSE + b"cba")
        assert (answer.source, answer.source.size) == (METER, 2)
        client.say(DISC)
        assert (await client.hear()).control == UA
        client.say(DISC)
        assert (await client.hear()).control == DM
        await meters.close()
        assert meters.began == [Address(1, 1, 17)]
        assert [str(error) for error in meters.ended] == ["the client disconnected"]

    in_virtual_time(story)


def test_the_answer_comes_from_the_address_that_was_asked_in_its_length() -> None:
    async def story() -> None:
        meters = Meters()
        long_address = HdlcAddress.server(1, 17, 4)
        meters.client.say(SNRM, meter=long_address)
        assert (await meters.client.hear()).source.size == 4
        await meters.close()

    in_virtual_time(story)


def test_who_is_not_connected_hears_dm() -> None:
    async def story() -> None:
        meters = Meters()
        for control in (0x10, 0x11, 0x15, DISC):
            meters.client.say(control, LLC_REQUEST + b"x" if control == 0x10 else b"")
            assert (await meters.client.hear()).control == DM
        meters.client.say(UA)
        meters.client.say(0x13, b"push")
        await meters.client.hear_nothing()
        await meters.close()

    in_virtual_time(story)


def test_frames_for_other_meters_and_for_all_stay_unanswered() -> None:
    async def story() -> None:
        meters = Meters()
        for meter in (
            HdlcAddress.server(1, 19),
            HdlcAddress.server(1, None),
            HdlcAddress.server(1, 0x7F),
            HdlcAddress.server(1, 0x3FFF),
            HdlcAddress.server(0x7F, 17),
        ):
            for control in (SNRM, DISC, 0x11):
                meters.client.say(control, meter=meter)
        await meters.client.hear_nothing()
        assert meters.began == []
        await meters.close()

    in_virtual_time(story)


def test_a_new_snrm_ends_the_old_conversation_and_begins_another() -> None:
    async def story() -> None:
        meters = Meters()
        for _ in range(2):
            await meters.connected()
            meters.client.say(0x10, LLC_REQUEST + b"abc")
            assert (await meters.client.hear()).control == 0x30
        assert meters.began == [Address(1, 1, 17)] * 2
        assert [str(error) for error in meters.ended] == ["the client connected anew"]
        await meters.close()

    in_virtual_time(story)


def test_an_snrm_repeated_because_its_ua_was_lost_is_the_same_conversation() -> None:
    async def story() -> None:
        meters = Meters()
        for _ in range(3):
            await meters.connected()
        meters.client.say(0x10, LLC_REQUEST + b"abc")
        assert (await meters.client.hear()).control == 0x30
        assert meters.began == [Address(1, 1, 17)]
        await meters.close()

    in_virtual_time(story)


def test_two_clients_and_two_meters_on_one_line() -> None:
    async def story() -> None:
        meters = Meters()
        pairs = [(client, HdlcAddress.server(1, physical)) for client in (1, 16) for physical in (17, 18)]
        for client, meter in pairs:
            meters.client.say(SNRM, client=client, meter=meter)
            await meters.client.hear()
        for client, meter in pairs:
            meters.client.say(0x10, LLC_REQUEST + bytes([client]) * 2, client=client, meter=meter)
            answer = await meters.client.hear()
            assert (answer.destination.logical, answer.source) == (client, meter)
            assert answer.information == LLC_RESPONSE + bytes([client]) * 2
        assert [(address.client_sap, address.physical) for address in meters.began] == [
            (1, 17), (1, 18), (16, 17), (16, 18),
        ]  # fmt: skip
        await meters.close()

    in_virtual_time(story)


def test_an_snrm_with_broken_parameters_is_not_answered() -> None:
    async def story() -> None:
        meters = Meters()
        meters.client.say(SNRM, b"\x81\x80\x12\x05")
        await meters.client.hear_nothing()
        await meters.connected()
        await meters.close()

    in_virtual_time(story)


def test_a_request_without_llc_header_ends_the_conversation() -> None:
    async def story() -> None:
        meters = Meters()
        await meters.connected()
        meters.client.say(0x10, b"abc")
        await meters.client.hear_nothing()
        meters.client.say(0x12, LLC_REQUEST + b"abc")
        assert (await meters.client.hear()).control == DM
        assert isinstance(meters.ended[0], ChannelGarbled)
        await meters.close()

    in_virtual_time(story)


def test_a_meter_that_closes_its_conversation_answers_dm_from_then_on() -> None:
    async def story() -> None:
        async def once(channel: ApduChannel) -> None:
            await channel.send((await channel.receive(None))[::-1])

        meters = Meters(once)
        await meters.connected()
        meters.client.say(0x10, LLC_REQUEST + b"abc")
        assert (await meters.client.hear()).control == 0x30
        await meters.client.hear_nothing()
        meters.client.say(0x32, LLC_REQUEST + b"abc")
        assert (await meters.client.hear()).control == DM
        await meters.close()

    in_virtual_time(story)


def test_a_slow_meter_is_polled_by_our_client_until_it_answers() -> None:
    async def story() -> None:
        async def slow(channel: ApduChannel) -> None:
            while True:
                apdu = await channel.receive(None)
                await asyncio.sleep(17)
                await channel.send(apdu[::-1])

        ours, theirs = stream_pair()
        conversations = Conversations(slow)
        server, link = HdlcServerLink(theirs, conversations), HdlcLink(ours)
        channel = link.channel()
        await channel.open(10)
        await channel.send(b"abc")
        assert await channel.receive(60) == b"cba"
        assert channel.repeats == 3  # at 5, 10 and 15 s; the meter took it once
        await link.close()
        await conversations.close()
        await server.close()

    in_virtual_time(story)


def test_a_client_that_stops_in_the_middle_of_a_frame_does_not_block_the_meter() -> None:
    async def story() -> None:
        meters = Meters()
        await meters.connected()
        question = Frame(METER, HdlcAddress.client(1), 0x10, LLC_REQUEST + b"abc" * 30).encode()
        meters.client.stream.write(question[:40])
        meters.client.say(0x11)  # shorter than what is missing
        await meters.client.hear_nothing()
        assert (await meters.client.hear()).control == 0x11
        await meters.close()

    in_virtual_time(story)


# Unasked, and without room.


def test_what_a_meter_says_unasked_is_received_like_any_apdu() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        meter.say(0x03, LLC_RESPONSE + b"idle")
        assert await channel.receive(5) == b"idle"
        await channel.send(b"ask")
        meter.say(0x13, LLC_RESPONSE + b"push")
        meter.say(0x30, LLC_RESPONSE + b"tell")
        assert [await channel.receive(5) for _ in range(2)] == [b"push", b"tell"]
        await channel.send(b"next")
        assert [(await meter.hear()).control for _ in range(2)] == [0x10, 0x32]
        await closed(link, meter)

    in_virtual_time(story)


def test_a_channel_that_is_never_opened_listens() -> None:
    async def story() -> None:
        ours, theirs = stream_pair()
        link, meter = HdlcLink(ours), RawMeter(theirs)
        channel = link.channel(1, 1, 17)
        meter.say(0x03, LLC_RESPONSE + b"push")
        meter.say(0x03, LLC_RESPONSE + b"push", client=16)
        assert await channel.receive(5) == b"push"
        assert link.strays == 1
        await link.close()
        await meter.hear_nothing()

    in_virtual_time(story)


def test_a_meter_that_pushes_without_end_does_not_put_off_the_time_out() -> None:
    async def story() -> None:
        link, channel, meter = await opened(HdlcSettings(retries=0))
        await channel.send(b"ask")

        async def push() -> None:
            while True:
                meter.say(0x03, LLC_RESPONSE + b"push")
                await asyncio.sleep(1)

        async def receive() -> None:
            while True:
                assert await channel.receive(None) == b"push"

        pushing = asyncio.ensure_future(push())
        with pytest.raises(ChannelTimeout, match="no answer while sending"):
            await receive()
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        pushing.cancel()
        await closed_after_cancel(link)

    in_virtual_time(story)


def test_a_client_that_does_not_read_is_not_let_ask() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        for _ in range(INBOX_APDUS_MAX):
            meter.say(0x03, LLC_RESPONSE + b"push")
        await meter.hear_nothing()
        with pytest.raises(NotSentError, match="8 APDUs wait to be received"):
            await channel.send(b"ask")
        assert await channel.receive(5) == b"push"
        await channel.send(b"ask")
        assert (await meter.hear()).control == 0x10
        await closed(link, meter)

    in_virtual_time(story)


def test_a_notification_of_the_client_goes_out_between_exchanges_and_is_not_answered() -> None:
    async def story() -> None:
        link, channel, meter = await opened()
        await channel.send_unasked(b"hint")
        frame = await meter.hear()
        assert (frame.control, frame.information) == (0x03, LLC_REQUEST + b"hint")
        await channel.send(b"ask")
        with pytest.raises(NotSentError, match="cannot send unasked"):
            await channel.send_unasked(b"hint")
        meter.say(0x30, LLC_RESPONSE + b"tell")
        assert await channel.receive(5) == b"tell"
        with pytest.raises(NotSentError, match="at most 125 bytes"):
            await channel.send_unasked(bytes(126))
        await closed(link, meter)

    in_virtual_time(story)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_meter_speaks_unasked_when_it_is_polled_or_at_once_if_it_is_alone(at_once: bool) -> None:
    async def story() -> None:
        async def push(channel: ApduChannel) -> None:
            await channel.send_unasked(b"push")
            await echo(channel)

        meters = Meters(push, HdlcSettings(unasked_at_once=at_once))
        await meters.connected()
        if not at_once:
            await meters.client.hear_nothing()
            meters.client.say(0x11)
        frame = await meters.client.hear()
        assert (frame.control, frame.information) == (0x03, LLC_RESPONSE + b"push")
        if not at_once:
            assert (await meters.client.hear()).control == 0x11
        meters.client.say(0x10, LLC_REQUEST + b"abc")
        assert (await meters.client.hear()).information == LLC_RESPONSE + b"cba"
        await meters.close()

    in_virtual_time(story)


def test_an_snrm_repeated_after_a_notification_was_put_down_keeps_the_notification() -> None:
    async def story() -> None:
        async def push(channel: ApduChannel) -> None:
            await channel.send_unasked(b"push")
            await mute(channel)

        meters = Meters(push)
        await meters.connected()
        await meters.client.hear_nothing()
        await meters.connected()
        meters.client.say(0x11)
        assert (await meters.client.hear()).information == LLC_RESPONSE + b"push"
        assert meters.began == [Address(1, 1, 17)]
        await meters.close()

    in_virtual_time(story)


def test_a_meter_that_does_not_read_says_rnr_and_holds_nobody_else() -> None:
    async def story() -> None:
        go_on = asyncio.Event()
        heard: list[bytes] = []

        async def late(channel: ApduChannel) -> None:
            if channel.address.client_sap == 1:
                await go_on.wait()
            while True:
                heard.append(await channel.receive(None))

        meters = Meters(late)
        client = meters.client
        await meters.connected()
        for number in range(INBOX_APDUS_MAX):
            client.say(number % 8 << 1 | 0x10, LLC_REQUEST + bytes([number]))
            client.say(0x11)  # takes the turn away
            assert (await client.hear()).kind is (Kind.RR if number + 1 < INBOX_APDUS_MAX else Kind.RNR)
        for _ in range(2):
            client.say(0x10, LLC_REQUEST + b"more")
            assert (await client.hear()).kind is Kind.RNR
        client.say(SNRM, client=16)
        assert (await client.hear()).control == UA
        go_on.set()
        await client.hear_nothing()
        client.say(0x11)
        assert (await client.hear()).kind is Kind.RR
        client.say(0x10, LLC_REQUEST + b"more")
        await client.hear_nothing()
        assert heard == [*(bytes([number]) for number in range(INBOX_APDUS_MAX)), b"more"]
        await meters.close()

    in_virtual_time(story)


def test_the_segments_of_a_run_leave_in_one_piece() -> None:
    async def story() -> None:
        pieces: list[int] = []

        class Counting(MemoryStream):
            def write(self, data: bytes) -> None:
                pieces.append(len(FrameReceiver().receive(data)))
                super().write(data)

        ours, theirs = stream_pair()
        counting = Counting(ours.name, ours._incoming, ours._outgoing)
        settings = HdlcSettings(info_max=10, window_max=5)
        conversations = Conversations(echo)
        server, link = HdlcServerLink(theirs, conversations, settings), HdlcLink(counting, settings)
        channel = link.channel()
        await channel.open(10)
        await channel.send(bytes(77))
        assert await channel.receive(5) == bytes(77)
        assert pieces == [1, 5, 3, 1]  # SNRM, eight segments in two runs, RR for the second run of the answer
        await link.close()
        await server.close()
        await conversations.close()

    in_virtual_time(story)


# Both sides on a bad line: 1 seed, 1 story.


class BadLine:
    """A client and a meter with faults between them, connected anew when the line breaks; the meter keeps a ledger."""

    # Two frames for a short exchange: about one exchange in five is hit.
    FAULTS = Faults(lose=0.03, flip=0.03, repeat=0.03, split=0.1, delay=0.05, delay_seconds_max=8, cut=0.002)

    def __init__(self, seed: int, info_max: int, window_max: int) -> None:
        self.ledger: list[bytes] = []
        self._rng = random.Random(seed)
        self._settings = HdlcSettings(info_max=info_max, window_max=window_max)
        self._conversations = Conversations(self._serve)

    async def call(self) -> tuple[HdlcLink, HdlcServerLink]:
        ours, theirs = (FaultyStream(stream, self.FAULTS, self._rng) for stream in stream_pair())
        return HdlcLink(ours, self._settings), HdlcServerLink(theirs, self._conversations, self._settings)

    async def close(self) -> None:
        await self._conversations.close()

    async def _serve(self, channel: ApduChannel) -> None:
        while True:
            apdu = await channel.receive(None)
            self.ledger.append(apdu)
            await channel.send(apdu[::-1] * 2)


@pytest.mark.parametrize(("info_max", "window_max"), [(20, 1), (128, 1), (20, 2), (12, 7)])
@pytest.mark.parametrize("seed", range(60))
def test_on_a_bad_line_every_apdu_arrives_once_or_the_conversation_ends(
    seed: int, info_max: int, window_max: int
) -> None:
    async def story() -> None:
        line = BadLine(seed, info_max, window_max)
        questions = deque(bytes([number]) * (1 + number * 7 % 90) for number in range(1, 40))
        sent: list[bytes] = []
        answered = 0
        while questions:
            client, server = await line.call()
            channel = client.channel(1, 1, 17)
            with suppress(ChannelError):
                await channel.open(60)
                while questions:
                    sent.append(questions.popleft())  # never sent again: it may have arrived
                    await channel.send(sent[-1])
                    assert await channel.receive(200) == sent[-1][::-1] * 2
                    answered += 1
            await client.close()
            await server.close()
        await line.close()
        rest = iter(sent)
        assert all(apdu in rest for apdu in line.ledger), f"seed {seed}"  # in order, none twice
        assert answered >= 30, f"seed {seed}"  # and bad lines do not stop the work

    in_virtual_time(story)


def test_a_mute_meter_holds_nobody_for_ever() -> None:
    async def story() -> None:
        ours, theirs = stream_pair()
        conversations = Conversations(mute)
        server, link = HdlcServerLink(theirs, conversations), HdlcLink(ours)
        channel = link.channel()
        await channel.open(10)
        await channel.send(b"abc")
        with pytest.raises(ChannelTimeout):
            await channel.receive(None)
        await link.close()
        await server.close()
        await conversations.close()

    in_virtual_time(story)
