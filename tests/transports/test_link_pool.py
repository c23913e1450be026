"""Links that several meters share: opened once, leased, closed when unused, opened again when broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.transports.wires import echo, free_port, listen_somewhere
from transports.calling import Calling
from transports.channel import Address, ApduChannel, ChannelClosed, ChannelTimeout, Link, NotSentError
from transports.conversations import Conversations
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HdlcSettings
from transports.hdlc.server_link import HdlcServerLink
from transports.link_pool import LinkPool
from transports.registry import TRANSPORTS
from transports.shared_link import SharedLink
from transports.stream import ByteStream
from transports.tcp import TcpListener
from transports.trace.trace import Knowledge, Ring, Trace

SECONDS = 10.0
SETTINGS = HdlcSettings(address_bytes=2, response_timeout_seconds=0.2, retries=1)
METERS = (17, 18, 19)


class DeviceServer:
    """A serial device server with some meters on its line; it tells how it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.under_way = 0
        self.most_under_way = 0
        self.heard: list[int | None] = []
        self.streams: list[ByteStream] = []
        self._conversations = Conversations(self._serve, lambda address: address.physical in METERS)
        self._listener = TcpListener(self._conversations, self._called)
        self.endpoint = Endpoint("hdlc+tcp", "127.0.0.1", 0)

    async def start(self, port: int = 0) -> None:
        await self._listener.start(Endpoint("hdlc+tcp", "127.0.0.1", port or free_port()))
        self.endpoint = Endpoint.parse(self._listener.url)

    async def close(self) -> None:
        await self._listener.close()

    def _called(self, stream: ByteStream) -> Link:
        self.calls += 1
        self.streams.append(stream)
        return HdlcServerLink(stream, self._conversations, SETTINGS)

    async def _serve(self, channel: ApduChannel) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            while True:
                apdu = await channel.receive(None)
                self.heard.append(channel.address.physical)
                await channel.send(apdu[::-1])
        finally:
            self.under_way -= 1


@asynccontextmanager
async def device_server() -> AsyncIterator[DeviceServer]:
    server = DeviceServer()
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def pool_of_links(**settings: float) -> AsyncIterator[LinkPool]:
    pool = LinkPool(**settings)  # type: ignore[arg-type]
    try:
        yield pool
    finally:
        await pool.close()


async def say(pool: LinkPool, endpoint: Endpoint, physical: int, apdu: bytes = b"abc", times: int = 1) -> None:
    async with (
        await pool.open_link(endpoint, hdlc=SETTINGS) as link,
        link.channel(1, 1, physical) as channel,
    ):
        await channel.open(SECONDS)
        for _ in range(times):
            await channel.send(apdu)
            assert await channel.receive(SECONDS) == apdu[::-1]


async def test_meters_behind_one_socket_are_one_link() -> None:
    async with device_server() as server, pool_of_links() as pool:
        for physical in METERS:
            await say(pool, server.endpoint, physical)
        async with asyncio.TaskGroup() as group:
            for physical in METERS:
                group.create_task(say(pool, server.endpoint, physical, times=5))
        assert server.calls == 1
        assert server.most_under_way == len(METERS)


async def test_who_comes_while_the_line_is_being_opened_waits_for_it() -> None:
    async with device_server() as server, pool_of_links() as pool:
        links = await asyncio.gather(*(pool.open_link(server.endpoint, hdlc=SETTINGS) for _ in range(20)))
        assert server.calls == 1
        for link in links:
            await link.close()


async def test_meters_on_one_line_have_their_turns_in_turn() -> None:
    async with device_server() as server, pool_of_links() as pool:
        async with asyncio.TaskGroup() as group:
            for physical in METERS:
                group.create_task(say(pool, server.endpoint, physical, times=10))
        # None of them was finished before another one had begun.
        firsts = [server.heard.index(physical) for physical in METERS]
        lasts = [len(server.heard) - 1 - server.heard[::-1].index(physical) for physical in METERS]
        assert max(firsts) < min(lasts)


async def test_a_dead_address_does_not_keep_the_line_from_the_others() -> None:
    async with device_server() as server, pool_of_links() as pool:
        async with asyncio.TaskGroup() as group:
            dead = group.create_task(_unanswered(pool, server.endpoint, 99))
            for physical in METERS:
                group.create_task(say(pool, server.endpoint, physical, times=3))
        assert dead.result()
        assert server.calls == 1


async def _unanswered(pool: LinkPool, endpoint: Endpoint, physical: int) -> bool:
    async with await pool.open_link(endpoint, hdlc=SETTINGS) as link, link.channel(1, 1, physical) as channel:
        with pytest.raises(ChannelTimeout):
            await channel.open(SECONDS)
    return True


async def test_a_broken_line_is_opened_again_for_the_next_one() -> None:
    async with device_server() as server, pool_of_links() as pool:
        async with (
            await pool.open_link(server.endpoint, hdlc=SETTINGS) as link,
            link.channel(1, 1, METERS[0]) as channel,
        ):
            await channel.open(SECONDS)
            server.streams[0].hang_up()
            await channel.send(b"abc")
            with pytest.raises(ChannelClosed):
                await channel.receive(SECONDS)
        await say(pool, server.endpoint, METERS[1])
        assert server.calls == 2


async def test_a_line_that_is_not_there_is_not_sent_and_may_come_later() -> None:
    port = free_port()
    async with pool_of_links() as pool:
        with pytest.raises(NotSentError, match="Connection refused"):
            await pool.open_link(Endpoint("hdlc+tcp", "127.0.0.1", port), hdlc=SETTINGS)
        server = DeviceServer()
        await server.start(port)
        await say(pool, server.endpoint, METERS[0])
        await server.close()


async def test_who_waits_while_a_line_cannot_be_opened_does_not_try_it_again_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand orders for a broker that is not there would each take ten seconds, and all places meanwhile."""
    tries, go_on = [0], asyncio.Event()

    async def share(_endpoint: Endpoint, _calling: Calling) -> SharedLink:
        tries[0] += 1
        await go_on.wait()
        raise NotSentError("nobody is there")

    monkeypatch.setitem(TRANSPORTS, "hdlc+tcp", replace(TRANSPORTS["hdlc+tcp"], share=share))
    async with pool_of_links(linger_seconds=0) as pool:
        endpoint = Endpoint("hdlc+tcp", "127.0.0.1", 4059)
        opening = [asyncio.ensure_future(pool.open_link(endpoint)) for _ in range(20)]
        await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(*opening, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["nobody is there"] * 20
        assert tries == [1]
        with pytest.raises(NotSentError):  # who comes later does
            await pool.open_link(endpoint)
        assert tries == [2]


async def test_who_waits_behind_one_that_was_cancelled_tries_himself() -> None:
    async with device_server() as server, pool_of_links() as pool:
        first, second = (asyncio.ensure_future(pool.open_link(server.endpoint, hdlc=SETTINGS)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await (await second).close()
        assert first.cancelled()


async def test_a_pool_that_is_closed_opens_nothing_for_those_who_wait_or_come() -> None:
    async with device_server() as server:
        pool = LinkPool()
        opening = [asyncio.ensure_future(pool.open_link(server.endpoint, hdlc=SETTINGS)) for _ in range(3)]
        await asyncio.sleep(0)
        await pool.close()
        outcomes = await asyncio.gather(*opening, return_exceptions=True)
        with pytest.raises(NotSentError):
            await pool.open_link(server.endpoint, hdlc=SETTINGS)
        assert server.calls <= 1
        assert sum(isinstance(outcome, NotSentError) for outcome in outcomes) >= 2
        await asyncio.gather(*(outcome.close() for outcome in outcomes if isinstance(outcome, Link)))


async def test_a_line_that_nobody_uses_is_closed() -> None:
    async with device_server() as server, pool_of_links(linger_seconds=0.0) as pool:
        await say(pool, server.endpoint, METERS[0])
        async with asyncio.timeout(SECONDS):
            while not _is_closed(server.streams[0]):  # noqa: ASYNC110 - some turns of the loop, and no time
                await asyncio.sleep(0)
        await say(pool, server.endpoint, METERS[0])
        assert server.calls == 2


def _is_closed(stream: ByteStream) -> bool:
    try:
        stream.write(b"")
    except NotSentError:
        return True
    return False


async def test_giving_a_link_back_ends_its_channels_and_no_others() -> None:
    async with device_server() as server, pool_of_links() as pool:
        one = await pool.open_link(server.endpoint, hdlc=SETTINGS)
        two = await pool.open_link(server.endpoint, hdlc=SETTINGS)
        channels = [link.channel(1, 1, physical) for link, physical in ((one, 17), (two, 18))]
        for channel in channels:
            await channel.open(SECONDS)
        await one.close()
        await one.close()
        with pytest.raises(NotSentError):
            await channels[0].send(b"abc")
        with pytest.raises(EndpointError, match="given back"):
            one.channel(1, 1, 19)
        await channels[1].send(b"abc")
        assert await channels[1].receive(SECONDS) == b"cba"
        await two.close()


@pytest.mark.parametrize("steps", [1, 2, 10])
async def test_giving_a_link_back_that_is_cancelled_ends_all_of_its_channels(steps: int) -> None:
    async with device_server() as server, pool_of_links() as pool:
        link = await pool.open_link(server.endpoint, hdlc=SETTINGS)
        for client_sap in (1, 16):
            await link.channel(client_sap, 1, METERS[0]).open(SECONDS)
        for stream in server.streams:
            stream.pause_reading()  # nobody answers DISC
        closing = asyncio.ensure_future(link.close())
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        for stream in server.streams:
            stream.resume_reading()
        async with await pool.open_link(server.endpoint, hdlc=SETTINGS) as again:
            for client_sap in (1, 16):
                assert again.channel(client_sap, 1, METERS[0]).address.client_sap == client_sap


async def test_a_pool_that_is_closed_ends_all_links() -> None:
    async with device_server() as server:
        pool = LinkPool()
        link = await pool.open_link(server.endpoint, hdlc=SETTINGS)
        channel = link.channel(1, 1, METERS[0])
        await channel.open(SECONDS)
        await pool.close()
        with pytest.raises(NotSentError):
            await channel.send(b"abc")
        await link.close()


async def test_each_association_over_the_wrapper_has_a_connection_of_its_own() -> None:
    met: list[Address] = []

    async def meet(channel: ApduChannel) -> None:
        met.append(channel.address)
        await echo(channel)

    async with await listen_somewhere("tcp", meet) as listener, pool_of_links() as pool:
        endpoint = Endpoint.parse(listener.url)
        for _ in range(2):
            async with await pool.open_link(endpoint) as link, link.channel() as channel:
                await channel.send(b"abc")
                assert await channel.receive(SECONDS) == b"cba"
    assert len(met) == 2


async def test_a_trace_of_one_lease_hears_its_own_time_on_the_line() -> None:
    ring = Ring()
    trace = Trace(Knowledge(None), lambda: datetime.now(UTC), [ring])
    async with device_server() as server, pool_of_links() as pool:
        await say(pool, server.endpoint, 17, b"before")
        async with (
            await pool.open_link(server.endpoint, hdlc=SETTINGS, trace=trace) as link,
            link.channel(1, 1, 18) as channel,
        ):
            await channel.open(SECONDS)
            await channel.send(b"traced")
            await channel.receive(SECONDS)
        await say(pool, server.endpoint, 19, b"after")
    told = "\n".join(ring.lines())
    assert b"traced".hex() in told.lower()
    assert b"before".hex() not in told.lower()
    assert b"after".hex() not in told.lower()
    assert "given back" in told


async def test_nobody_listens_for_meters_that_call_in() -> None:
    async with pool_of_links() as pool:
        with pytest.raises(NotSentError, match="nobody listens"):
            await pool.open_link(Endpoint.parse("inbound:4D4D4D0000BC614E"))
