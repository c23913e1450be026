"""One suite that every transport must pass, seen from the client and from the meter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from tests.certificates import lab_tls
from tests.transports.brokers import listen_on_mqtt, listen_on_mqtts
from tests.transports.inbound_wires import CalledListener
from tests.transports.lines import listen_on_pty, listen_on_serial
from tests.transports.wires import SmallPieces, echo, listen_somewhere, mute
from transports.channel import (
    Address,
    ApduChannel,
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    Link,
    Listener,
    NotSentError,
    OnChannel,
)
from transports.conversations import accept_all
from transports.endpoint import Endpoint
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.loopback import LoopbackListener
from transports.registry import TRANSPORTS, open_link
from transports.stream import StreamFilter
from transports.wire_settings import MqttPayload, MqttProtocol, MqttSettings, WireSettings

Accept = Callable[[Address], bool]

SECONDS = 10.0  # a limit, never a measure


@dataclass(frozen=True)
class Wire:
    """One row: a transport with its settings."""

    name: str
    scheme: str
    physical: int | None = None
    hdlc: HdlcSettings = HDLC_DEFAULTS
    through: StreamFilter = lambda stream: stream
    wires: Callable[[], WireSettings] = WireSettings
    called_in_over: str = ""
    """The meter opens the connection."""
    speaks_hdlc: bool = False
    url_options: str = ""
    callers: int = 20
    """How many may call at once. A line has one end for a client."""
    hears_in_seconds: float = 0.1
    """A meter that is there answers in less."""
    parts_unseen: bool = False
    """Nobody is told that the other side ended a conversation: who asks hears nothing, who is asked stops waiting."""

    async def listen(self, on_channel: OnChannel, accept: Accept = accept_all) -> Listener:
        if self.scheme == "loopback":
            return LoopbackListener(on_channel, accept)
        options: dict[str, Any] = {"hdlc": self.hdlc, "through": self.through, "wires": self.wires()}
        if self.called_in_over:
            return await CalledListener.start(
                on_channel, accept=accept, scheme=self.called_in_over, speaks_hdlc=self.speaks_hdlc, **options
            )
        if self.scheme in _LISTEN_ON:
            return await _LISTEN_ON[self.scheme](on_channel, self.url_options, accept=accept, **options)
        return await listen_somewhere(self.scheme, on_channel, accept=accept, **options)

    async def open_link(self, listener: Listener) -> Link:
        if isinstance(listener, LoopbackListener):
            return listener.open_link()
        if isinstance(listener, CalledListener):
            return await listener.open_link()
        endpoint = Endpoint.parse(listener.url)
        return await open_link(endpoint, hdlc=self.hdlc, through=self.through, wires=self.wires())

    def channel(self, link: Link, client_sap: int = 1, server_sap: int = 1) -> ApduChannel:
        return link.channel(client_sap, server_sap, self.physical)

    def impatient(self, retries: int = 100) -> Wire:
        """Where a test needs the response time-out to come."""
        return replace(self, hdlc=replace(self.hdlc, response_timeout_seconds=0.05, retries=retries))

    @asynccontextmanager
    async def conversation(self, on_channel: OnChannel = echo) -> AsyncIterator[tuple[Listener, Link, ApduChannel]]:
        async with (
            await self.listen(on_channel) as listener,
            await self.open_link(listener) as link,
            self.channel(link) as channel,
        ):
            await channel.open(SECONDS)
            yield listener, link, channel


_LISTEN_ON: dict[str, Callable[..., Awaitable[Listener]]] = {
    "pty": listen_on_pty,
    "serial": listen_on_serial,
    "mqtt": listen_on_mqtt,
    "mqtts": listen_on_mqtts,
}


def _over_mqtt(
    protocol: MqttProtocol = MqttProtocol.MQTT_5, payload: MqttPayload = MqttPayload.WRAPPER
) -> WireSettings:
    return WireSettings(mqtt=MqttSettings(protocol=protocol, payload=payload))


ADDRESSES: list[tuple[Literal[1, 2, 4], int | None]] = [(1, None), (2, 17), (4, 1234)]

WIRES = [
    Wire("loopback", "loopback"),
    Wire("tcp", "tcp"),
    Wire("tcp in small pieces", "tcp", through=SmallPieces),
    Wire("tcps", "tcps", wires=lambda: WireSettings(lab_tls())),
    Wire("inbound", "inbound", called_in_over="tcp"),
    Wire("inbound in small pieces", "inbound", through=SmallPieces, called_in_over="tcp"),
    Wire("inbound tcps", "inbound", wires=lambda: WireSettings(lab_tls()), called_in_over="tcps"),
    Wire("inbound hdlc", "inbound", 17, HdlcSettings(info_max=40), called_in_over="tcp", speaks_hdlc=True),
    *(
        Wire(f"hdlc+tcp, {size} address bytes, info {info_max}", "hdlc+tcp", physical, HdlcSettings(size, info_max))
        for size, physical in ADDRESSES
        for info_max in (40, 128)
    ),
    Wire("hdlc+tcp, longest frames", "hdlc+tcp", 17, HdlcSettings(info_max=2030)),
    *(
        Wire(f"hdlc+tcp, window {window_max}", "hdlc+tcp", 17, HdlcSettings(info_max=40, window_max=window_max))
        for window_max in (2, 7)
    ),
    Wire("hdlc+tcp in small pieces", "hdlc+tcp", 17, HdlcSettings(info_max=40), SmallPieces),
    Wire("pty, one of many on the line", "pty", 1234, HdlcSettings(4, info_max=40), SmallPieces, callers=1),
    Wire("pty, at a pace", "pty", 17, HdlcSettings(info_max=2030), url_options="?baud=921600", callers=1),
    Wire("pty, mode E", "pty", url_options="?mode=e", callers=1, hears_in_seconds=1.0),
    Wire("serial", "serial", 17, callers=1),
    Wire("mqtt", "mqtt", wires=_over_mqtt, parts_unseen=True),
    Wire("mqtt in small pieces", "mqtt", through=SmallPieces, wires=_over_mqtt, parts_unseen=True),
    Wire("mqtt 3.1.1", "mqtt", wires=lambda: _over_mqtt(MqttProtocol.MQTT_3), parts_unseen=True),
    Wire("mqtt, hdlc frames", "mqtt", 17, wires=lambda: _over_mqtt(payload=MqttPayload.HDLC)),
    Wire("mqtts", "mqtts", wires=lambda: WireSettings(lab_tls()), parts_unseen=True),
]


pytestmark = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


@pytest.fixture(autouse=True)
def every_transport_has_its_row() -> None:
    assert set(TRANSPORTS) <= {wire.scheme for wire in WIRES}


async def ask(channel: ApduChannel, apdu: bytes) -> bytes:
    await channel.send(apdu)
    return await channel.receive(SECONDS)


async def test_apdus_of_any_size_arrive_whole(wire: Wire) -> None:
    async with wire.conversation() as (_, _, channel):
        for size in (1, 2, 36, 37, 38, 77, 78, 124, 125, 126, 128, 253, 254, 1000, 2026, 2027, 2030, 5000):
            apdu = bytes(number * 7 % 251 for number in range(size))
            assert await ask(channel, apdu) == apdu[::-1]
        assert channel.repeats == 0


async def test_apdus_full_of_flags_and_headers_arrive_whole(wire: Wire) -> None:
    async with wire.conversation() as (_, _, channel):
        for apdu in (b"\x7e" * 300, b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e" * 30, b"\x00\x01\x00\x01" * 60):
            assert await ask(channel, apdu) == apdu[::-1]


async def test_both_ends_know_who_talks_to_whom(wire: Wire) -> None:
    met: list[Address] = []

    async def meet(channel: ApduChannel) -> None:
        met.append(channel.address)
        await channel.open(SECONDS)  # a meter may say so too; nothing happens
        await echo(channel)

    async with wire.conversation(meet) as (_, link, channel):
        await ask(channel, b"abc")
        async with wire.channel(link, 100, 16) as other:
            await other.open(SECONDS)
            await ask(other, b"abc")
            assert met == [channel.address, other.address]
    assert met == [Address(1, 1, wire.physical), Address(100, 16, wire.physical)]


async def test_the_public_client_and_then_the_management_client_on_one_link(wire: Wire) -> None:
    async with await wire.listen(echo) as listener, await wire.open_link(listener) as link:
        for client_sap in (16, 1, 16):
            async with wire.channel(link, client_sap) as channel:
                await channel.open(SECONDS)
                assert await ask(channel, b"abc") == b"cba"


async def test_two_conversations_in_turns_on_one_link(wire: Wire) -> None:
    async with wire.conversation() as (_, link, first), wire.channel(link, 16) as second:
        await second.open(SECONDS)
        for number in range(20):
            apdu = bytes([number, number + 1]) * 40
            assert await ask(first, apdu) == apdu[::-1]
            assert await ask(second, apdu[1:]) == apdu[:0:-1]


async def test_many_links_at_once(wire: Wire) -> None:
    async def talk(listener: Listener, number: int) -> None:
        async with await wire.open_link(listener) as link, wire.channel(link) as channel:
            await channel.open(SECONDS)
            for turn in range(5):
                assert await ask(channel, bytes([number, turn])) == bytes([turn, number])

    async with await wire.listen(echo) as listener, asyncio.TaskGroup() as group:
        for number in range(wire.callers):
            group.create_task(talk(listener, number))


async def test_no_answer_in_time(wire: Wire) -> None:
    async with wire.conversation(mute) as (_, _, channel):
        await channel.send(b"abc")
        with pytest.raises(ChannelTimeout):
            await channel.receive(0.02)


async def test_waiting_without_having_asked_ends_in_time_and_harms_nothing(wire: Wire) -> None:
    async with wire.conversation() as (_, _, channel):
        with pytest.raises(ChannelTimeout):
            await channel.receive(0.01)
        assert await ask(channel, b"abc") == b"cba"


async def test_a_meter_that_ends_the_conversation(wire: Wire) -> None:
    async def once(channel: ApduChannel) -> None:
        await channel.receive(None)

    async with wire.impatient().conversation(once) as (_, _, channel):
        await channel.send(b"abc")
        if wire.parts_unseen:
            with pytest.raises(ChannelTimeout):
                await channel.receive(wire.hears_in_seconds)
            await channel.send(b"more")  # which begins another conversation
            return
        with pytest.raises(ChannelClosed):
            await channel.receive(SECONDS)
        with pytest.raises(NotSentError):
            await channel.send(b"more")


async def test_a_meter_that_cuts_the_wire(wire: Wire) -> None:
    async def pull_the_plug(channel: ApduChannel) -> None:
        await channel.receive(None)
        channel.hang_up()

    async with wire.conversation(pull_the_plug) as (_, _, channel):
        await channel.send(b"abc")
        with pytest.raises(ChannelClosed):
            await channel.receive(SECONDS)
        with pytest.raises(NotSentError):
            await channel.send(b"more")


@pytest.fixture
def soon_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter on a broker, which sees no client go, gives up those that are silent."""
    monkeypatch.setattr("transports.mqtt.meter_line.IDLE_SECONDS", 0.2)


@pytest.mark.usefixtures("soon_missed")
async def test_a_client_that_cuts_the_wire(wire: Wire) -> None:
    ended: asyncio.Queue[ChannelError] = asyncio.Queue()

    async def serve(channel: ApduChannel) -> None:
        try:
            await echo(channel)
        except ChannelError as error:
            ended.put_nowait(error)

    async with wire.conversation(serve) as (_, _, channel):
        await ask(channel, b"abc")
        channel.hang_up()
        assert isinstance(await asyncio.wait_for(ended.get(), SECONDS), ChannelClosed)


@pytest.mark.usefixtures("soon_missed")
async def test_a_client_that_closes_its_link_ends_the_meters_conversation(wire: Wire) -> None:
    ended: asyncio.Queue[ChannelError] = asyncio.Queue()

    async def serve(channel: ApduChannel) -> None:
        try:
            await echo(channel)
        except ChannelError as error:
            with pytest.raises(NotSentError):
                await channel.send(b"too late")
            ended.put_nowait(error)

    async with await wire.listen(serve) as listener:
        async with await wire.open_link(listener) as link:
            channel = wire.channel(link)
            await channel.open(SECONDS)
            await ask(channel, b"abc")
        assert isinstance(await asyncio.wait_for(ended.get(), SECONDS), ChannelClosed)
        with pytest.raises(NotSentError):
            await channel.send(b"more")
        with pytest.raises(ChannelClosed):
            await channel.receive(SECONDS)


async def test_a_closed_channel_stays_closed(wire: Wire) -> None:
    async with wire.conversation() as (_, link, channel):
        await channel.close()
        await channel.close()
        with pytest.raises(NotSentError):
            await channel.send(b"abc")
        with pytest.raises(NotSentError):
            await channel.open(SECONDS)
        with pytest.raises(ChannelClosed):
            await channel.receive(SECONDS)
        # The link lives on, and the addresses are free again.
        async with wire.channel(link) as another:
            await another.open(SECONDS)
            assert await ask(another, b"abc") == b"cba"
        await link.close()
        await link.close()


async def test_closing_wakes_the_one_who_waits(wire: Wire) -> None:
    async with wire.conversation(mute) as (_, _, channel):
        await channel.send(b"abc")
        receiving = asyncio.ensure_future(channel.receive(None))
        await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(ChannelClosed):
            await receiving


async def test_being_cancelled_while_waiting_leaves_everything_closable(wire: Wire) -> None:
    async with wire.conversation(mute) as (_, link, channel):
        await channel.send(b"abc")
        receiving = asyncio.ensure_future(channel.receive(None))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await channel.close()
        async with wire.channel(link, 16) as other:
            await other.open(SECONDS)


async def test_a_listener_that_closes_ends_all_conversations(wire: Wire) -> None:
    ended: list[ChannelError] = []

    async def serve(channel: ApduChannel) -> None:
        try:
            await echo(channel)
        except ChannelError as error:
            ended.append(error)

    async with wire.conversation(serve) as (listener, link, channel), wire.channel(link, 16) as other:
        await other.open(SECONDS)
        await ask(channel, b"abc")
        await ask(other, b"abc")
        receiving = asyncio.ensure_future(channel.receive(SECONDS))
        await listener.close()
        assert [type(error) for error in ended] == [ChannelClosed] * 2
        with pytest.raises(ChannelClosed):
            await receiving
        await listener.close()


async def test_an_address_that_is_not_accepted_stays_silent(wire: Wire) -> None:
    wire = wire.impatient(retries=1)
    served: list[Address] = []

    async def serve(channel: ApduChannel) -> None:
        served.append(channel.address)
        await echo(channel)

    async def try_it(channel: ApduChannel) -> None:
        await channel.open(wire.hears_in_seconds)
        await channel.send(b"abc")
        await channel.receive(0.1)

    async with (
        await wire.listen(serve, lambda address: address.client_sap == 1) as listener,
        await wire.open_link(listener) as link,
    ):
        async with wire.channel(link, 16) as refused:
            with pytest.raises(ChannelTimeout):
                await try_it(refused)
        async with wire.channel(link, 1) as accepted:
            await accepted.open(SECONDS)
            assert await ask(accepted, b"abc") == b"cba"
    assert [address.client_sap for address in served] == [1]


async def test_what_a_meter_says_unasked_comes_with_its_next_answer_at_the_latest(wire: Wire) -> None:
    async def push(channel: ApduChannel) -> None:
        while True:
            apdu = await channel.receive(None)
            await channel.send_unasked(b"push")
            await channel.send(apdu[::-1])

    async with wire.conversation(push) as (_, _, channel):
        for _ in range(3):
            assert await ask(channel, b"abc") == b"push"
            assert await channel.receive(SECONDS) == b"cba"


@pytest.mark.parametrize("size", [0, 65_536])
async def test_an_apdu_of_impossible_size_is_not_sent(wire: Wire, size: int) -> None:
    async with wire.conversation() as (_, _, channel):
        with pytest.raises(NotSentError, match=f"1 to 65535 bytes, not {size}"):
            await channel.send(bytes(size))
        assert await ask(channel, b"abc") == b"cba"


async def test_the_longest_apdu_arrives_whole(wire: Wire) -> None:
    async with wire.conversation() as (_, _, channel):
        apdu = bytes(number % 251 for number in range(65_535))
        assert await ask(channel, apdu) == apdu[::-1]
