"""MqttClient: one connection to a broker, from CONNECT to its end. It never reconnects, and never sends twice.

Why not a library: see docs/mqtt.md. What counts here is to know exactly what has left and what has not, and to be told
what the broker thinks of it (reason codes in PUBACK). A session lives as long as its connection, so there is nothing to
be sent again: a request that was not answered before the connection broke is in doubt, and whoever asked finds out
what became of it.

Like ``TcpStream``, it is an ``asyncio.Protocol``: packets go from the socket straight to ``on_message``. What is
written in one turn of the loop leaves in one piece.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from transports.channel import ChannelClosed, ChannelError, NotSentError, again
from transports.endpoint import Endpoint
from transports.mqtt_packets import (
    PACKET_ID_MAX,
    Acknowledgement,
    Alive,
    Connack,
    Disconnected,
    Message,
    Packet,
    TopicFilter,
    encode_connect,
    encode_disconnect,
    encode_ping,
    encode_puback,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
    reason_name,
)
from transports.mqtt_receiver import PacketReceiver
from transports.stream import CLOSE_TIMEOUT_SECONDS, UNSENT_BYTES_MAX, Congestion
from transports.tcp import reason_of

SUBSCRIBE_TIMEOUT_SECONDS = 10.0
UNACKNOWLEDGED_MAX = 10_000
"""Messages under way, where the broker names no smaller number (receive maximum)."""
WAITING_MAX = 10_000
"""Messages that wait because the broker takes no more before it has acknowledged some."""
FILTERS_MAX = 100
"""In one SUBSCRIBE, so that no packet becomes too long."""

OnMessage = Callable[[Message], None]
OnClosed = Callable[[ChannelError], None]
OnAcknowledged = Callable[[Acknowledgement], None]


def _nothing(_what: object) -> None:
    """For what nobody wants to know."""


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    """Who we are to a broker."""

    client_id: str
    is_5: bool = True
    username: str = ""
    password: str = field(default="", repr=False)
    keep_alive_seconds: int = 30
    will: Message | None = None
    receive_maximum: int = 0xFFFF
    """How many messages the broker may send us before we acknowledge one."""


class Publication:
    """A message with QoS 1 on its way to the broker."""

    __slots__ = ("_on_acknowledged", "is_cancelled", "message")

    def __init__(self, message: Message, on_acknowledged: OnAcknowledged) -> None:
        self.message = message
        self.is_cancelled = False
        self._on_acknowledged = on_acknowledged

    def cancel(self) -> None:
        """If it still waits it never leaves; and nobody wants to know any more what became of it."""
        self.is_cancelled = True
        self._on_acknowledged = _nothing

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        self._on_acknowledged(acknowledgement)


class MqttClient(asyncio.Protocol):
    """One connection. Made by ``connect_broker``."""

    def __init__(self, name: str, login: BrokerLogin, on_message: OnMessage) -> None:
        """Raises ``NotSentError`` for a login that MQTT cannot carry."""
        self.name = name
        self.is_5 = login.is_5
        self.ended: ChannelError | None = None
        """Why nothing more will come or go."""
        self._keep_alive_seconds = login.keep_alive_seconds
        self._hello = _hello(login)
        self._on_message = on_message
        self._on_closed: OnClosed = _nothing
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._receiver = PacketReceiver(is_5=login.is_5)
        self._connack: asyncio.Future[Connack] = self._loop.create_future()
        self._limits = Connack(0)
        self._window = 1
        self._congestion = Congestion()
        self._out: list[bytes] = []
        self._last_id = 0
        self._unacknowledged: dict[int, Publication] = {}
        self._waiting: deque[Publication] = deque()
        self._asked: dict[int, asyncio.Future[Acknowledgement]] = {}
        self._drained: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._keeper: asyncio.TimerHandle | None = None
        self._heard = True

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        for packet in self._receiver.receive(data):
            if isinstance(packet, Message):
                if packet.qos:
                    # Before it is looked at: a message that we fell over would only come again.
                    self._write(encode_puback(packet.packet_id))
                if self.ended is None:
                    self._on_message(packet)
            else:
                self._on_packet(packet)
        if self._receiver.failure is not None:
            self._end(self._receiver.failure)

    def connection_lost(self, error: Exception | None) -> None:
        reason = "closed the connection" if error is None else f"was lost: {reason_of(error)}"
        self._end(ChannelClosed(f"the broker {self.name} {reason}"))
        self._transport = None
        self._congestion.end()
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        self._congestion.begin()

    def resume_writing(self) -> None:
        self._congestion.end()

    # What links call.

    async def connected(self, on_closed: OnClosed) -> None:
        """Wait for the broker's word; from then on ``on_closed`` is called at the end. Raises ``NotSentError``."""
        connack = await self._connack
        if connack.reason:
            raise NotSentError(f"the broker {self.name} refused us: {reason_name(connack.reason)}")
        if connack.qos_max < 1:
            raise NotSentError(f"the broker {self.name} offers QoS 0 only, and QoS 1 is needed")
        if self.ended is not None:
            raise NotSentError(str(self.ended))
        self._limits = connack
        self._window = min(connack.receive_maximum, UNACKNOWLEDGED_MAX)
        self._on_closed = on_closed
        keep_alive = connack.server_keep_alive_seconds
        self._keep_alive(self._keep_alive_seconds if keep_alive is None else keep_alive)

    @property
    def congested(self) -> bool:
        return self._congestion.on

    async def drain(self) -> None:
        """Wait until no longer congested. Raises ``ChannelClosed``, or ``ChannelTimeout`` after 30 s."""
        if self._congestion.on and self.ended is None:
            await self._congestion.wait(self.name)
        if self.ended is not None:
            raise again(self.ended)

    def publish(self, message: Message, on_acknowledged: OnAcknowledged = _nothing) -> Publication:
        """Send with QoS 1, now or when the broker takes more. Raises ``NotSentError``.

        ``on_acknowledged`` is told what the broker says. At the end of the connection nothing is told, and what still
        waited is forgotten.
        """
        if self.ended is not None:
            raise NotSentError(f"no connection to the broker: {self.ended}")
        publication = Publication(message, on_acknowledged)
        # Nearly always there is room; then it is written here and now, and a bad one is refused here and now.
        if not self._waiting and len(self._unacknowledged) < self._window:
            self._publish(publication)
        elif len(self._waiting) >= WAITING_MAX:
            raise NotSentError(f"{WAITING_MAX} messages wait for the broker {self.name} already")
        else:
            self._encode(message, 0)
            self._waiting.append(publication)
        return publication

    async def subscribe(self, filters: Sequence[TopicFilter]) -> tuple[int, ...]:
        """Subscribe; the broker's answer for each: from 0x80 on refused. Raises ``ChannelError``."""
        reasons: tuple[int, ...] = ()
        for start in range(0, len(filters), FILTERS_MAX):
            some = filters[start : start + FILTERS_MAX]
            packet_id = self._next_id()
            answer = await self._ask(packet_id, encode_subscribe(packet_id, some, is_5=self.is_5))
            if len(answer.reasons) != len(some):
                raise ChannelClosed(f"the broker {self.name} answered a SUBSCRIBE of {len(some)} with something else")
            reasons += answer.reasons
        return reasons

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Raises ``ChannelError``."""
        packet_id = self._next_id()
        await self._ask(packet_id, encode_unsubscribe(packet_id, filters, is_5=self.is_5))

    async def acknowledged(self) -> None:
        """Wait until the broker has acknowledged all that was published. Raises ``ChannelClosed``."""
        if self._unacknowledged or self._waiting:
            try:
                async with asyncio.timeout(SUBSCRIBE_TIMEOUT_SECONDS):
                    await asyncio.shield(self._all_acknowledged())
            except TimeoutError:
                raise ChannelClosed(f"the broker {self.name} acknowledges nothing") from None
        if self.ended is not None:
            raise again(self.ended)

    async def close(self) -> None:
        """Wait until the broker has acknowledged everything, then say DISCONNECT. Never raises, never waits longer
        than 2 s."""
        transport = self._transport
        if transport is None:
            return
        if self._unacknowledged or self._waiting:
            await _within(CLOSE_TIMEOUT_SECONDS, self._all_acknowledged(), transport)
        if self.ended is None:
            self._write(encode_disconnect())
            self._flush()
        self._end(ChannelClosed("closed on this side"))
        await _within(CLOSE_TIMEOUT_SECONDS, self._gone, transport)
        if self._transport is not None:
            self._transport.abort()
            await self._gone

    def hang_up(self) -> None:
        """End at once and without a word: the broker publishes our last will."""
        if self._transport is not None:
            self._end(ChannelClosed("closed on this side"))
            self._transport.abort()

    # Within.

    def _on_packet(self, packet: Packet) -> None:
        match packet:
            case Acknowledgement():
                self._on_acknowledgement(packet)
            case Connack():
                if self._connack.done():
                    self._end(ChannelClosed(f"the broker {self.name} sent a second CONNACK"))
                else:
                    self._connack.set_result(packet)
            case Disconnected():
                said = packet.text or reason_name(packet.reason)
                self._end(ChannelClosed(f"the broker {self.name} ended the connection: {said}"))
            case Alive():
                pass  # heard: that is all

    def _on_acknowledgement(self, packet: Acknowledgement) -> None:
        publication = self._unacknowledged.pop(packet.packet_id, None)
        if publication is None:
            asked = self._asked.pop(packet.packet_id, None)
            if asked is not None and not asked.done():
                asked.set_result(packet)
            return
        self._send_waiting()
        publication.acknowledge(packet)
        if self._drained is not None and not self._unacknowledged:
            self._drained.set_result(None)
            self._drained = None

    def _all_acknowledged(self) -> asyncio.Future[None]:
        if self._drained is None or self._drained.cancelled():
            self._drained = self._loop.create_future()
        return self._drained

    def _send_waiting(self) -> None:
        waiting = self._waiting
        while waiting and len(self._unacknowledged) < self._window:
            publication = waiting.popleft()
            if not publication.is_cancelled:
                self._publish(publication)

    def _publish(self, publication: Publication) -> None:
        packet_id = self._next_id()
        octets = self._encode(publication.message, packet_id)
        self._unacknowledged[packet_id] = publication
        self._write(octets)

    def _encode(self, message: Message, packet_id: int) -> bytes:
        try:
            octets = encode_publish(message, packet_id, is_5=self.is_5)
        except ValueError as error:
            raise NotSentError(str(error)) from None
        size_max = self._limits.packet_size_max
        if size_max is not None and len(octets) > size_max:
            raise NotSentError(f"the broker {self.name} takes packets of {size_max} bytes, not of {len(octets)}")
        return octets

    async def _ask(self, packet_id: int, octets: bytes) -> Acknowledgement:
        if self.ended is not None:
            raise again(self.ended)
        future: asyncio.Future[Acknowledgement] = self._loop.create_future()
        self._asked[packet_id] = future
        self._write(octets)
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_SECONDS):
                return await future
        except TimeoutError:
            error = ChannelClosed(f"the broker {self.name} did not answer within {SUBSCRIBE_TIMEOUT_SECONDS:g} s")
            self._end(error)
            raise again(error) from None
        finally:
            self._asked.pop(packet_id, None)

    def _next_id(self) -> int:
        if len(self._unacknowledged) + len(self._asked) >= PACKET_ID_MAX:
            raise NotSentError(f"the broker {self.name} has acknowledged nothing for {PACKET_ID_MAX} messages")
        while True:
            self._last_id = self._last_id % PACKET_ID_MAX + 1
            if self._last_id not in self._unacknowledged and self._last_id not in self._asked:
                return self._last_id

    def _write(self, octets: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(octets)

    def _flush(self) -> None:
        out, self._out = self._out, []
        transport = self._transport
        if not out or transport is None or transport.is_closing():
            return
        transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self._congestion.on and transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self._end(ChannelClosed(f"the broker {self.name} takes no more bytes"))
            transport.abort()

    def _keep_alive(self, seconds: float) -> None:
        if seconds > 0 and self.ended is None:
            self._keeper = self._loop.call_later(seconds / 2, self._ask_whether_alive, seconds)

    def _ask_whether_alive(self, seconds: float) -> None:
        if not self._heard:
            self._end(ChannelClosed(f"the broker {self.name} was silent for {seconds / 2:g} s"))
            if self._transport is not None:
                self._transport.abort()
            return
        self._heard = False
        self._write(encode_ping())
        self._keep_alive(seconds)

    def _end(self, error: ChannelError) -> None:
        if self.ended is not None:
            return
        self.ended = error
        if self._keeper is not None:
            self._keeper.cancel()
        if not self._connack.done():
            self._connack.set_exception(NotSentError(str(error)))
            self._connack.exception()  # perhaps nobody waits for it any more
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(again(error))
        self._unacknowledged.clear()
        self._waiting.clear()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
            self._drained = None
        self._congestion.end()
        if self._transport is not None:
            self._transport.close()
        on_closed, self._on_message, self._on_closed = self._on_closed, _nothing, _nothing
        on_closed(error)


def _hello(login: BrokerLogin) -> bytes:
    try:
        return encode_connect(
            login.client_id,
            is_5=login.is_5,
            keep_alive_seconds=login.keep_alive_seconds,
            username=login.username,
            password=login.password,
            will=login.will,
            receive_maximum=login.receive_maximum,
        )
    except ValueError as error:
        raise NotSentError(f"nobody can log in at a broker like that: {error}") from None


async def connect_broker(
    endpoint: Endpoint,
    login: BrokerLogin,
    context: ssl.SSLContext | None,
    timeout_seconds: float,
    *,
    on_message: OnMessage,
    on_closed: OnClosed,
) -> MqttClient:
    """Raises ``NotSentError``; ``on_closed`` is not called then."""
    loop = asyncio.get_running_loop()
    name = endpoint.authority
    client = MqttClient(name, login, on_message)
    try:
        async with asyncio.timeout(timeout_seconds):
            await loop.create_connection(lambda: client, endpoint.host, endpoint.port, ssl=context)
            await client.connected(on_closed)
    except BaseException as error:
        client.hang_up()
        if isinstance(error, TimeoutError) and not error.errno:
            reason = f"no connection within {timeout_seconds:g} s"
            raise NotSentError(f"cannot connect to the broker {name}: {reason}") from error
        if isinstance(error, OSError):
            raise NotSentError(f"cannot connect to the broker {name}: {reason_of(error)}") from error
        raise
    return client


async def _within(seconds: float, future: asyncio.Future[None], transport: asyncio.Transport) -> None:
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.shield(future)
    except asyncio.CancelledError:
        transport.abort()
        raise
