from __future__ import annotations

import asyncio

import pytest

from tests.transports.wires import echo
from transports.channel import Address, ApduChannel, ChannelClosed, ChannelGarbled, ChannelTimeout, NotSentError
from transports.conversations import Conversations
from transports.endpoint import EndpointError
from transports.inbox import INBOX_APDUS_MAX
from transports.memory_stream import MemoryStream, stream_pair
from transports.wrapper import wrap
from transports.wrapper_link import WrapperLink


class Raw:
    """The bare end of a stream: what arrived, and how it ended."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.heard = bytearray()
        self.ended = asyncio.Event()
        self._arrived = asyncio.Event()
        stream.start(self._on_bytes, lambda _error: self.ended.set())

    def _on_bytes(self, data: bytes) -> None:
        self.heard += data
        self._arrived.set()

    async def hear(self, size: int) -> bytes:
        """Wait for so many bytes, and take them."""
        while len(self.heard) < size:
            self._arrived.clear()
            await asyncio.wait_for(self._arrived.wait(), 5)
        taken = bytes(self.heard[:size])
        del self.heard[:size]
        return taken


async def test_what_stands_on_the_wire() -> None:
    ours, theirs = stream_pair()
    link, meter = WrapperLink(ours), Raw(theirs)
    channel = link.channel(client_sap=16, server_sap=17)
    await channel.send(b"ask")
    # The same words as vector wrap-01: version, source 16, destination 17, length.
    assert await meter.hear(11) == bytes.fromhex("0001 0010 0011 0003") + b"ask"
    meter.stream.write(bytes.fromhex("0001 0011 0010 0004") + b"tell")
    assert await channel.receive(5) == b"tell"
    await link.close()


async def test_answers_find_their_channel_and_strays_are_counted() -> None:
    ours, theirs = stream_pair()
    link = WrapperLink(ours)
    public, management = link.channel(16), link.channel(1)
    theirs.write(wrap(1, 1, b"for 1") + wrap(1, 16, b"for 16") + wrap(1, 2, b"for 2") + wrap(2, 16, b"from 2"))
    assert await public.receive(5) == b"for 16"
    assert await management.receive(5) == b"for 1"
    assert link.strays == 2
    await link.close()


async def test_a_wrong_version_ends_the_link_after_what_was_good() -> None:
    ours, theirs = stream_pair()
    link, meter = WrapperLink(ours), Raw(theirs)
    channel = link.channel()
    theirs.write(wrap(1, 1, b"good") + b"HTTP/1.1 400 Bad Request")
    assert await channel.receive(5) == b"good"
    with pytest.raises(ChannelGarbled, match="begins with 0001, not 4854"):
        await channel.receive(5)
    with pytest.raises(NotSentError):
        await channel.send(b"more")
    await asyncio.wait_for(meter.ended.wait(), 5)
    await link.close()


async def test_a_connection_that_ends_inside_an_apdu_says_so() -> None:
    ours, theirs = stream_pair()
    link = WrapperLink(ours)
    channel = link.channel()
    theirs.write(wrap(1, 1, b"cut off")[:-1])
    await theirs.close()
    with pytest.raises(ChannelClosed, match="in the middle of an APDU"):
        await channel.receive(5)
    await link.close()


async def test_an_apdu_that_arrived_before_the_end_is_still_received() -> None:
    ours, theirs = stream_pair()
    link = WrapperLink(ours)
    channel = link.channel()
    theirs.write(wrap(1, 1, b"last words"))
    await theirs.close()
    assert await channel.receive(5) == b"last words"
    for _ in range(2):
        with pytest.raises(ChannelClosed, match="closed the connection"):
            await channel.receive(5)
    await link.close()


async def test_a_late_answer_is_handed_to_the_next_receive() -> None:
    # Nothing on the wire says which question an answer belongs to; invoke-ids above do.
    ours, theirs = stream_pair()
    link = WrapperLink(ours)
    channel = link.channel()
    with pytest.raises(ChannelTimeout, match=r"within 0\.01 s"):
        await channel.receive(0.01)
    theirs.write(wrap(1, 1, b"late"))
    assert await channel.receive(5) == b"late"
    await link.close()


async def test_a_flood_that_nobody_reads_is_held_back_at_the_wire() -> None:
    ours, theirs = stream_pair()
    link, _ = WrapperLink(ours), Raw(theirs)
    channel = link.channel()
    theirs.start(lambda _data: None, lambda _error: None)
    for number in range(INBOX_APDUS_MAX):
        theirs.write(wrap(1, 1, bytes([number])))
    assert await channel.receive(5) == b"\0"
    for number in range(INBOX_APDUS_MAX, 100):
        theirs.write(wrap(1, 1, bytes([number]) + bytes(1000)))
        await asyncio.sleep(0)
    assert theirs.congested  # the writer is told, and what he wrote stays on the wire
    assert [(await channel.receive(5))[0] for _ in range(99)] == list(range(1, 100))
    await theirs.drain()
    await link.close()


async def test_an_open_channels_addresses_are_taken_until_it_is_closed() -> None:
    ours, _ = stream_pair()
    link = WrapperLink(ours)
    channel = link.channel(16, 1)
    with pytest.raises(EndpointError, match="already an open channel from client 16 to server 1"):
        link.channel(16, 1)
    await channel.close()
    await link.channel(16, 1).close()
    await link.close()


@pytest.mark.parametrize(
    ("saps", "words"),
    [((1, 1, 17), "no physical addresses"), ((65_536, 1, None), "not 65536 and 1"), ((1, -1, None), "not 1 and -1")],
)
async def test_addresses_that_the_wrapper_cannot_carry_are_refused(
    saps: tuple[int, int, int | None], words: str
) -> None:
    link = WrapperLink(stream_pair()[0])
    with pytest.raises(EndpointError, match=words):
        link.channel(*saps)
    await link.close()


async def test_a_server_tells_its_meters_apart_by_wport() -> None:
    ours, theirs = stream_pair()
    heard: list[Address] = []

    async def serve(channel: ApduChannel) -> None:
        heard.append(channel.address)
        await echo(channel)

    conversations = Conversations(serve, accept=lambda address: address.server_sap < 3)
    server, client = WrapperLink(theirs, conversations), WrapperLink(ours)
    channels = [client.channel(1, server_sap) for server_sap in (1, 2, 3)]
    for channel in channels:
        await channel.send(b"abc")
    assert [await channel.receive(5) for channel in channels[:2]] == [b"cba", b"cba"]
    assert heard == [Address(1, 1), Address(1, 2)]
    assert server.strays == 1
    await client.close()
    await conversations.close()
    await server.close()


async def test_a_link_that_is_closed_makes_only_closed_channels() -> None:
    link = WrapperLink(stream_pair()[0])
    await link.close()
    channel = link.channel()
    with pytest.raises(NotSentError):
        await channel.open(1)
    with pytest.raises(NotSentError):
        await channel.send(b"x")
    with pytest.raises(ChannelClosed):
        await channel.receive(1)
