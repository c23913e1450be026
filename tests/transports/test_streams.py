"""Byte streams: TCP, memory, and what faults do to them."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tests.transports.wires import echo, free_port, in_virtual_time, listen_somewhere
from transports.channel import ChannelClosed, ChannelError, ChannelTimeout, NotSentError
from transports.endpoint import Endpoint
from transports.faults import NO_FAULTS, Faults, FaultyStream, Strike
from transports.memory_stream import stream_pair
from transports.registry import open_link
from transports.stream import UNSENT_BYTES_MAX, ByteStream
from transports.tcp import TcpStream, connect


class Ear:
    """Listens at one end of a stream."""

    def __init__(self, stream: ByteStream) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[ChannelError] = []
        self._news = asyncio.Event()
        stream.start(self._on_bytes, self._on_closed)

    @property
    def heard(self) -> bytes:
        return b"".join(self.pieces)

    def _on_bytes(self, data: bytes) -> None:
        self.pieces.append(data)
        self._news.set()

    def _on_closed(self, error: ChannelError) -> None:
        self.ends.append(error)
        self._news.set()

    async def hear(self, size: int) -> bytes:
        async with asyncio.timeout(60):
            while len(self.heard) < size:
                self._news.clear()
                await self._news.wait()
        return self.heard

    async def end(self) -> ChannelError:
        async with asyncio.timeout(60):
            while not self.ends:
                self._news.clear()
                await self._news.wait()
        return self.ends[0]


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    made: asyncio.Future[TcpStream] = asyncio.get_running_loop().create_future()
    port = free_port()
    server = await asyncio.get_running_loop().create_server(
        lambda: TcpStream(on_made=made.set_result), "127.0.0.1", port
    )
    client = await connect(Endpoint("tcp", "127.0.0.1", port), 5)
    accepted = await made
    try:
        yield client, accepted
    finally:
        await client.close()
        await accepted.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def memory_pair() -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    yield stream_pair()


@asynccontextmanager
async def faultless_pair() -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    one, other = stream_pair()
    yield FaultyStream(one, NO_FAULTS, random.Random(1)), other


MakePair = Callable[[], AbstractAsyncContextManager[tuple[ByteStream, ByteStream]]]

pairs = pytest.mark.parametrize("pair", [tcp_pair, memory_pair, faultless_pair])


@pairs
async def test_bytes_arrive_in_order_both_ways(pair: MakePair) -> None:
    async with pair() as (one, other):
        first, second = Ear(one), Ear(other)
        for number in range(50):
            one.write(bytes([number]) * number)
            other.write(bytes([255 - number]))
        assert await second.hear(1225) == b"".join(bytes([number]) * number for number in range(50))
        assert await first.hear(50) == bytes(range(255, 205, -1))


@pairs
async def test_both_ends_are_told_once_that_it_is_over(pair: MakePair) -> None:
    async with pair() as (one, other):
        first, second = Ear(one), Ear(other)
        one.write(b"last words")
        await one.close()
        await one.close()
        assert "closed the connection" in str(await second.end())
        assert second.heard == b"last words"
        assert str(await first.end()) == "closed on this side"
        await other.close()
        assert len(first.ends) == len(second.ends) == 1
        for stream in (one, other):
            with pytest.raises(NotSentError, match="already closed"):
                stream.write(b"more")


@pairs
async def test_hanging_up_tells_both_ends(pair: MakePair) -> None:
    async with pair() as (one, other):
        first, second = Ear(one), Ear(other)
        one.hang_up()
        assert isinstance(await first.end(), ChannelClosed)
        assert isinstance(await second.end(), ChannelClosed)
        with pytest.raises(NotSentError):
            one.write(b"more")


@pairs
async def test_a_writer_waits_for_a_reader_that_does_not_read(pair: MakePair) -> None:
    async with pair() as (one, other):
        Ear(one)
        ear = Ear(other)
        other.pause_reading()
        written = 0
        while not one.congested:
            one.write(bytes(50_000))
            written += 50_000
            await asyncio.sleep(0)
        draining = asyncio.ensure_future(one.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        other.resume_reading()
        await asyncio.wait_for(draining, 60)
        await ear.hear(written)


@pairs
async def test_a_peer_that_never_reads_does_not_fill_the_memory(pair: MakePair) -> None:
    async with pair() as (one, other):
        first, _ = Ear(one), Ear(other)
        other.pause_reading()
        with pytest.raises(NotSentError):  # noqa: PT012
            for _ in range(2000):
                one.write(bytes(UNSENT_BYTES_MAX // 20))
                await asyncio.sleep(0)
        assert isinstance(await first.end(), ChannelClosed)
        other.resume_reading()


@pairs
async def test_a_writer_that_waits_is_told_of_the_end(pair: MakePair) -> None:
    async with pair() as (one, other):
        Ear(one)
        Ear(other)
        other.pause_reading()
        while not one.congested:
            one.write(bytes(50_000))
            await asyncio.sleep(0)
        draining = asyncio.ensure_future(one.drain())
        await asyncio.sleep(0)
        one.hang_up()
        with pytest.raises(ChannelClosed):
            await asyncio.wait_for(draining, 60)


def test_waiting_to_write_has_a_limit() -> None:
    async def story() -> None:
        one, _ = stream_pair()
        one.write(bytes(100_000))
        with pytest.raises(ChannelTimeout, match="server took no bytes for 30 s"):
            await one.drain()

    in_virtual_time(story)


async def test_a_meter_that_speaks_before_we_listen_is_heard() -> None:
    async with tcp_pair() as (client, server):
        server.write(b"early")
        while not client._early:  # noqa: ASYNC110 - nobody is told of it, that is the point
            await asyncio.sleep(0)
        assert await Ear(client).hear(5) == b"early"


async def test_an_end_before_we_listen_is_told() -> None:
    async with tcp_pair() as (client, server):
        await server.close()
        while client._lost is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert "closed the connection" in str(await Ear(client).end())


async def test_small_messages_do_not_wait_for_each_other() -> None:
    async with tcp_pair() as (client, server):
        for stream in (client, server):
            assert stream._transport is not None
            sock = stream._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_uvloop_carries_a_conversation_too() -> None:
    async def story() -> None:
        async with (
            await listen_somewhere("tcp", echo) as listener,
            await open_link(Endpoint.parse(listener.url)) as link,
            link.channel() as channel,
        ):
            assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
            await channel.send(b"abc")
            assert await channel.receive(5) == b"cba"
            stream = link._stream  # type: ignore[attr-defined]
            assert stream._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    uvloop.run(story())


# Faults.


@given(st.binary(min_size=1, max_size=100), st.integers(0, 2**32))
def test_what_a_strike_leaves(data: bytes, seed: int) -> None:
    def strike(**rates: float) -> Strike:
        return Faults(**rates).strike(data, random.Random(seed))

    assert strike() == Strike((data,))
    assert strike(lose=1) == Strike()
    assert strike(hang_up=1) == Strike(hang_up=True)
    assert strike(repeat=1) == Strike((data, data))
    assert b"".join(strike(split=1).pieces) == data
    assert b"".join(strike(split=1, repeat=1).pieces) == data * 2
    assert 0 <= strike(delay=1, delay_seconds_max=3).delay_seconds <= 3
    cut = strike(cut=1)
    assert cut.hang_up
    assert data.startswith(cut.pieces[0])
    assert len(cut.pieces[0]) < len(data)
    (flipped,) = strike(flip=1).pieces
    difference = int.from_bytes(flipped, "big") ^ int.from_bytes(data, "big")
    assert difference.bit_count() == 1


def test_rates_are_probabilities() -> None:
    with pytest.raises(ValueError, match="'lose' happens with a probability from 0 to 1"):
        Faults(lose=1.5)
    with pytest.raises(ValueError, match="'delay_seconds_max'"):
        Faults(delay_seconds_max=-1)


def test_one_seed_is_one_story() -> None:
    faults = Faults(lose=0.2, flip=0.2, repeat=0.2, split=0.2, delay=0.3)

    def story(seed: int) -> list[Strike]:
        rng = random.Random(seed)
        return [faults.strike(bytes(20), rng) for _ in range(50)]

    assert story(7) == story(7)
    assert story(7) != story(8)


def test_delayed_bytes_are_not_overtaken_and_time_is_handed_in() -> None:
    async def story() -> None:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.sleep(seconds)

        one, other = stream_pair()
        ear = Ear(other)
        faulty = FaultyStream(one, Faults(delay=0.5, delay_seconds_max=100), random.Random(3), sleep=sleep)
        Ear(faulty)
        for number in range(20):
            faulty.write(bytes([number]))
        assert faulty.congested
        await faulty.drain()
        assert await ear.hear(20) == bytes(range(20))
        assert asyncio.get_running_loop().time() == pytest.approx(sum(slept))
        assert sum(slept) > 100
        await faulty.close()

    in_virtual_time(story)


@pytest.mark.parametrize("direction", ["faults", "incoming"])
def test_faults_work_in_both_directions(direction: str) -> None:
    async def story() -> None:
        one, other = stream_pair()
        bad, good = Faults(repeat=1), NO_FAULTS
        faults, incoming = (bad, good) if direction == "faults" else (good, bad)
        faulty = FaultyStream(one, faults, random.Random(1), incoming=incoming)
        ours, theirs = Ear(faulty), Ear(other)
        faulty.write(b"to")
        other.write(b"fro")
        if direction == "faults":
            assert await theirs.hear(4) == b"toto"
            assert await ours.hear(3) == b"fro"
        else:
            assert await theirs.hear(2) == b"to"
            assert await ours.hear(6) == b"frofro"
        await faulty.close()

    in_virtual_time(story)


@pytest.mark.parametrize("faults", [Faults(hang_up=1), Faults(cut=1)])
def test_a_fault_that_hangs_up_is_heard_at_both_ends(faults: Faults) -> None:
    async def story() -> None:
        one, other = stream_pair()
        faulty = FaultyStream(one, faults, random.Random(5))
        ours, theirs = Ear(faulty), Ear(other)
        faulty.write(bytes(100))
        assert isinstance(await theirs.end(), ChannelClosed)
        assert isinstance(await ours.end(), ChannelClosed)
        assert len(theirs.heard) < 100
        with pytest.raises(NotSentError):
            faulty.write(b"more")
        await faulty.close()

    in_virtual_time(story)


def test_what_waits_is_delivered_before_the_end_is_told() -> None:
    async def story() -> None:
        one, other = stream_pair()
        slow = Faults(delay=1, delay_seconds_max=10)
        faulty = FaultyStream(one, NO_FAULTS, random.Random(1), incoming=slow)
        ear = Ear(faulty)
        other.write(b"late")
        other.hang_up()
        assert isinstance(await ear.end(), ChannelClosed)
        assert ear.heard == b"late"

    in_virtual_time(story)


def test_a_slow_wire_is_bounded_as_well() -> None:
    async def story() -> None:
        one, _ = stream_pair()
        faulty = FaultyStream(one, Faults(delay=1, delay_seconds_max=1000), random.Random(1))
        ear = Ear(faulty)
        with pytest.raises(NotSentError):  # noqa: PT012
            for _ in range(100):
                faulty.write(bytes(UNSENT_BYTES_MAX // 20))
        assert isinstance(await ear.end(), ChannelClosed)

    in_virtual_time(story)
