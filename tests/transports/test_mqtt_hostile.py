"""Brokers that break the rules, stand still, or hang up at the wrong moment: the end is always heard of, soon, and
nothing is left behind."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.transports.brokers import SECONDS, new_place
from tests.transports.wires import free_port
from transports.channel import ChannelClosed, ChannelError, NotSentError
from transports.endpoint import Endpoint
from transports.link_pool import LinkPool
from transports.mqtt.client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt.message import Message, TopicFilter
from transports.mqtt.watch import MqttWatch
from transports.wrapper import wrap

WELCOME = bytes.fromhex("2003000000")

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeBroker:
    """Welcomes its caller, then does what the test wants, then only hears."""

    def __init__(self, talk: Talk, welcome: bytes) -> None:
        self.endpoint = Endpoint("mqtt", "127.0.0.1", free_port(), "lab/m1")
        self.hung_up = asyncio.Event()
        """The caller has."""
        self._talk = talk
        self._welcome = welcome
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await reader.read(1000)
            writer.write(self._welcome)
            await self._talk(reader, writer)
            while await reader.read(1000):
                pass
        except ConnectionError:
            pass
        finally:
            self.hung_up.set()
            writer.close()

    async def end(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SECONDS)


@asynccontextmanager
async def broker_that(talk: Talk, welcome: bytes = WELCOME) -> AsyncIterator[FakeBroker]:
    broker = FakeBroker(talk, welcome)
    async with await asyncio.start_server(broker.serve, broker.endpoint.host, broker.endpoint.port):
        yield broker
        await broker.end()


def saying(*octets: bytes) -> Talk:
    """When something is said to it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        for some in octets:
            writer.write(some)
            await writer.drain()

    return talk


@asynccontextmanager
async def client_of(
    endpoint: Endpoint, keep_alive_seconds: int = 30
) -> AsyncIterator[tuple[MqttClient, asyncio.Future[ChannelError]]]:
    """And its end: twice would be an error."""
    ended: asyncio.Future[ChannelError] = asyncio.get_running_loop().create_future()
    login = BrokerLogin("hostile-test", keep_alive_seconds=keep_alive_seconds)
    client = await connect_broker(endpoint, login, None, SECONDS, on_message=lambda _: None, on_closed=ended.set_result)
    try:
        yield client, ended
    finally:
        client.hang_up()
        await client.gone()


LONG = b"\x30\xff\xff\xff\x7f"
"""A PUBLISH of 256 MiB begins."""


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([b"\x30\xff\xff\xff\xff\xff\x01" + bytes(100)], id="a length of five octets"),
        pytest.param([LONG, bytes(1000)], id="a packet longer than we take"),
        pytest.param([WELCOME, b"\xd0\x00" + LONG], id="a long packet behind a good one"),
        pytest.param([bytes.fromhex("e0028b00")], id="a good-bye"),
    ],
)
async def test_a_broker_that_ends_it_or_breaks_the_rules_is_hung_up_on_at_once(said: list[bytes]) -> None:
    async with broker_that(saying(*said)) as broker, client_of(broker.endpoint) as (client, ended):
        client.publish(Message("x", b"abc"))
        await asyncio.wait_for(broker.hung_up.wait(), SECONDS)
        await asyncio.wait_for(ended, SECONDS)
        with pytest.raises(NotSentError):
            client.publish(Message("x", b"y"))


@pytest.mark.parametrize("keep_alive_of_broker", [b"", b"\x13\xff\xff"])
async def test_a_broker_that_takes_nothing_is_given_up_whatever_is_unsent(keep_alive_of_broker: bytes) -> None:
    still = asyncio.Event()

    async def stand_still(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await still.wait()
        writer.transport.abort()

    body = b"\0\0" + bytes((len(keep_alive_of_broker),)) + keep_alive_of_broker
    welcome = b"\x20" + bytes((len(body),)) + body
    async with broker_that(stand_still, welcome) as broker:
        async with client_of(broker.endpoint, keep_alive_seconds=1) as (client, ended):
            for _ in range(200):
                client.publish(Message("x", bytes(60_000)))
            assert isinstance(await asyncio.wait_for(ended, SECONDS), ChannelClosed)
            assert client.ended is not None
        still.set()


async def test_no_more_is_kept_for_a_broker_that_does_not_read_than_can_be_borne() -> None:
    still = asyncio.Event()

    async def stand_still(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await still.wait()
        writer.transport.abort()

    async with broker_that(stand_still) as broker:
        async with client_of(broker.endpoint) as (client, ended):
            for _ in range(400):
                client.publish(Message("x", bytes(60_000)))
            assert isinstance(await asyncio.wait_for(ended, SECONDS), ChannelClosed)
        still.set()


async def test_a_broker_that_hangs_up_before_it_is_spoken_to_means_not_sent_at_once() -> None:
    """With a reset: the end may come in the same turn of the loop as the connection."""

    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = writer.get_extra_info("socket")
        taken.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER: close means reset
        writer.transport.abort()

    endpoint = Endpoint("mqtt", "127.0.0.1", free_port(), "lab/m1")
    async with await asyncio.start_server(reset, endpoint.host, endpoint.port):
        for _ in range(20):
            with pytest.raises(NotSentError):
                async with asyncio.timeout(SECONDS), client_of(endpoint):
                    pass


async def test_who_is_cancelled_while_the_broker_is_subscribed_to_leaves_no_connection() -> None:
    subscribing = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        subscribing.set()

    async with broker_that(hear) as broker:
        pool = LinkPool()
        opening = asyncio.ensure_future(pool.open_link(broker.endpoint))
        await asyncio.wait_for(subscribing.wait(), SECONDS)
        opening.cancel()
        await asyncio.wait_for(broker.hung_up.wait(), SECONDS)
        with pytest.raises(asyncio.CancelledError):
            await opening
        await pool.close()


async def test_a_broker_that_takes_no_message_at_all_is_taken_to_take_one() -> None:
    """A receive maximum of 0 is an error of the broker's (MQTT 5.0, 3.2.2.3.3); nothing would ever leave."""
    arrived = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        assert b"abc" in await reader.read(1000)
        arrived.set()

    async with (
        broker_that(hear, bytes.fromhex("2006000003210000")) as broker,
        client_of(broker.endpoint) as (client, _),
    ):
        client.publish(Message("x", b"abc"))
        await asyncio.wait_for(arrived.wait(), SECONDS)


async def test_a_watch_hears_a_broker_that_hangs_up_on_whoever_wants_to_share() -> None:
    """With reason 0x9E, shared subscriptions not supported: then all is heard, unshared."""
    wanted: list[bytes] = []
    heard = asyncio.Event()

    async def share_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subscribe = await reader.read(1000)
        wanted.append(subscribe)
        if b"$share" in subscribe:
            writer.write(bytes.fromhex("e0029e00"))
            return
        writer.write(b"\x90\x05" + subscribe[2:4] + b"\x00\x01\x01")
        push = b"dlms/v1/lab/m1/push"
        body = b"\x00" + bytes((len(push),)) + push + b"\x00" + wrap(1, 1, b"\x0f")
        writer.write(b"\x30" + bytes((len(body),)) + body)

    def on_push(_site: str, _meter: str, _apdu: bytes) -> None:
        heard.set()

    async with broker_that(share_nothing) as broker:
        watch = MqttWatch(broker.endpoint, on_push, lambda _site, _meter, _online: None, chance=lambda: 0.0)
        async with watch:
            await asyncio.wait_for(heard.wait(), SECONDS)
        assert [b"$share" in one for one in wanted] == [True, False]


async def test_what_was_subscribed_to_is_not_gathered() -> None:
    """gmqtt looks through all of it at each answer: a hundred thousand meters would cost ten milliseconds each."""
    async with client_of(new_place()) as (client, _):
        for number in range(3):
            await client.subscribe([TopicFilter(f"lab/{number}/state")])
        assert client._client.subscriptions == []
