"""MqttBrokerLink: one connection to a broker, and over it conversations with all meters of that broker.

How to think about it: what a meter and a head-end say to each other over their two topics is a line, and
``MqttLine`` makes a ``ByteStream`` of it: one write is one message, so the framings that serve sockets serve here, too.
Above it the wrapper's link is given turns, because a meter gets one request at a time.

What counts as not sent: only what was refused before it was written: no connection, a meter whose retained state says
that it is offline, no place at the broker. What the broker says afterwards, in PUBACK, ends the conversation, but is
never a proof that nothing arrived: brokers stand in front of brokers.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from transports.channel import (
    Address,
    ApduChannel,
    ChannelClosed,
    ChannelError,
    ChannelGarbled,
    ChannelTimeout,
    Link,
    NotSentError,
)
from transports.endpoint import Endpoint
from transports.framing import HDLC, WRAPPER, Framing
from transports.hdlc import HdlcSettings
from transports.mqtt_client import BrokerLogin, MqttClient, Publication, connect_broker
from transports.mqtt_packets import NO_MATCHING_SUBSCRIBERS, REFUSED, Acknowledgement, Message, TopicFilter, reason_name
from transports.mqtt_presence import Presence, parse_presence
from transports.mqtt_topics import (
    CONTENT_TYPE,
    CONTENT_TYPE_HDLC,
    CORRELATION_SIZE,
    DEADLINE,
    Place,
    is_wpdu,
    parse_response_3,
    place_of_unasked,
    responses_filter,
)
from transports.shared_link import SharedLink
from transports.stream import ByteStream, OnBytes, OnClosed
from transports.tls import client_context
from transports.trace import Trace
from transports.trace_stream import StreamListener, TracedStream
from transports.wire_settings import MqttPayload, MqttProtocol, MqttSettings, WireSettings

if TYPE_CHECKING:
    from transports.registry import Calling

TURN_WAIT_SECONDS = 60.0
"""guess: a meter whose other users need longer is planned wrong; the dispatcher has one session per meter."""

FRAMINGS: dict[MqttPayload, Framing] = {MqttPayload.WRAPPER: WRAPPER, MqttPayload.HDLC: HDLC}
CONTENT_TYPES = {MqttPayload.WRAPPER: CONTENT_TYPE, MqttPayload.HDLC: CONTENT_TYPE_HDLC}

Now = Callable[[], float]
"""Unix seconds."""


class MqttLine(ByteStream):
    """The head-end's end of the line to one meter. Each ``write`` is a request of its own."""

    def __init__(self, broker: MqttBrokerLink, place: Place) -> None:
        self.name = f"{place.name} at {broker.name}"
        self.place = place
        self.has_heard = False
        """The meter has answered on this line."""
        self._broker = broker
        self._settings = broker.settings
        self._response_topic = place.response(broker.worker)
        self._correlation = b""
        self._last_answer = b""
        self._publication: Publication | None = None
        self._on_bytes: OnBytes | None = None
        self._on_closed: OnClosed | None = None
        self._ended = False

    @property
    def is_answered(self) -> bool:
        """No answer is waited for."""
        return not self._correlation or bool(self._last_answer)

    def give_up(self) -> None:
        """Nobody waits for the answer any more: if the request still waits it does not leave."""
        self._correlation = self._last_answer = b""
        if self._publication is not None:
            self._publication.cancel()
            self._publication = None

    # What the framing calls.

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed

    def write(self, data: bytes) -> None:
        if self._ended:
            raise NotSentError(f"the line to {self.name} was already closed")
        self.give_up()
        correlation = secrets.token_bytes(CORRELATION_SIZE)
        self._publication = self._broker.publish(self._request(correlation, data), self._acknowledged)
        self._correlation = correlation

    def _request(self, correlation: bytes, data: bytes) -> Message:
        settings = self._settings
        deadline = ceil(self._broker.now() + settings.reply_timeout_seconds)
        if settings.protocol is MqttProtocol.MQTT_3:
            return Message(self.place.request_3(self._broker.worker, correlation, deadline), data)
        return Message(
            self.place.request,
            data,
            expiry_seconds=ceil(settings.reply_timeout_seconds),
            content_type=CONTENT_TYPES[settings.payload],
            response_topic=self._response_topic,
            correlation=correlation,
            user=((DEADLINE, str(deadline)),),
        )

    @property
    def congested(self) -> bool:
        return self._broker.congested

    async def drain(self) -> None:
        await self._broker.drain()

    def pause_reading(self) -> None:
        """Nothing to do: there is one answer to each request, and no answer without."""

    def resume_reading(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        self.end(ChannelClosed("closed on this side"))

    def hang_up(self) -> None:
        """For all who share it: the connection to the broker."""
        self._broker.hang_up()

    # What the broker link calls.

    def answered(self, correlation: bytes, payload: bytes) -> None:
        """A message came to our response topic."""
        if self._ended or self._on_bytes is None:
            self._broker.strays += 1
            return
        if self._settings.payload is MqttPayload.HDLC:
            pass  # one may come by itself (a segment); frames have numbers and check sums of their own
        elif not self._correlation or not secrets.compare_digest(correlation, self._correlation):
            self._broker.strays += 1  # late, or somebody else's
            return
        elif payload == self._last_answer:
            self._broker.strays += 1  # repeated; another one is a block that was not asked for by itself
            return
        elif not is_wpdu(payload):
            self.end(ChannelGarbled(f"the answer of {self.name} is no wrapper message"))
            return
        self._last_answer = payload
        self.has_heard = True
        self._on_bytes(payload)

    def pushed(self, payload: bytes) -> None:
        """The meter said something unasked, and is ours alone."""
        if self._on_bytes is not None and not self._ended:
            self._on_bytes(payload)

    def end(self, error: ChannelError) -> None:
        if self._ended:
            return
        self._ended = True
        self.give_up()
        self._broker.forget(self)
        on_closed, self._on_bytes, self._on_closed = self._on_closed, None, None
        if on_closed is not None:
            on_closed(error)

    def _acknowledged(self, said: Acknowledgement) -> None:
        """What the broker did with the last request."""
        self._publication = None
        reason = said.reasons[0]
        if reason >= REFUSED:
            self.end(ChannelClosed(f"the broker refused a request to {self.name}: {reason_name(reason)}"))
        elif reason == NO_MATCHING_SUBSCRIBERS and not self.has_heard:
            # Later in a conversation this is not believed: it may be a broker that does not know its neighbours, and
            # to wait for the answer costs nothing but time.
            self.end(ChannelClosed(f"nobody listens for requests to {self.name}"))


@dataclass(slots=True, eq=False)
class _Meter:
    """What all who speak to one meter share."""

    line: MqttLine
    stream: TracedStream
    link: Link
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    leases: int = 0


class MqttBrokerLink(SharedLink):
    """One connection to a broker. Made by ``share_mqtt``."""

    def __init__(self, endpoint: Endpoint, wires: WireSettings, *, now: Now = time.time) -> None:
        self.name = endpoint.authority
        self.settings: MqttSettings = wires.mqtt
        self.worker = secrets.token_hex(8)
        self.strays = 0
        """Messages that answer nothing: late, repeated, retained, or somebody else's."""
        self.now = now
        self._endpoint = endpoint
        self._wires = wires
        self._framing = FRAMINGS[wires.mqtt.payload]
        self._client: MqttClient | None = None
        self._meters: dict[str, _Meter] = {}
        self._presence: dict[str, Presence] = {}
        self._watched: dict[str, asyncio.Future[None]] = {}

    async def open(self, timeout_seconds: float, only: Place | None = None) -> None:
        """Connect, and be ready for answers: of all meters, or of one. Raises ``NotSentError``, ``EndpointError``."""
        settings = self.settings
        is_5 = settings.protocol is MqttProtocol.MQTT_5
        login = BrokerLogin(
            settings.client_id or self.worker,
            is_5,
            settings.username,
            settings.password,
            settings.keep_alive_seconds,
        )
        context = client_context(self._wires.tls) if self._endpoint.scheme == "mqtts" else None
        client = await connect_broker(
            self._endpoint, login, context, timeout_seconds, on_message=self._on_message, on_closed=self._on_end
        )
        self._client = client
        answers = responses_filter(settings.topic_root, self.worker, is_5=is_5)
        filters = [TopicFilter(answers)]
        if only is not None:
            filters = [
                TopicFilter(only.response(self.worker) + ("" if is_5 else "/+")),
                TopicFilter(only.state, wants_retained=True),
                TopicFilter(only.push),
            ]
            self._watched[only.base] = asyncio.get_running_loop().create_future()
            self._watched[only.base].set_result(None)
        try:
            granted = await client.subscribe(filters)
        except ChannelError as error:
            await self.close()
            raise NotSentError(str(error)) from error
        if granted[0] >= REFUSED:
            await self.close()
            raise NotSentError(f"the broker {self.name} does not let us hear answers: {reason_name(granted[0])}")

    @property
    def ended(self) -> ChannelError | None:
        return None if self._client is None else self._client.ended

    def lease(self, endpoint: Endpoint, hdlc: HdlcSettings, trace: Trace | None) -> Link:
        """Raises ``EndpointError`` for what is no meter on a broker."""
        place = Place.of(self.settings.topic_root, endpoint.path)
        meter = self._meters.get(place.base)
        if meter is None:
            meter = self._begin(place, lambda stream: self._framing.client(stream, hdlc))
        listener = None if trace is None else meter.stream.listen(trace, self._framing.observer, is_meter=False)
        return MqttMeterLink(self, meter, listener)

    def alone(self, calling: Calling, place: Place) -> Link:
        """The link to one meter; closing it closes this one."""
        meter = self._begin(place, lambda stream: self._framing.client(calling.through(stream), calling.hdlc))
        trace = calling.trace
        listener = None if trace is None else meter.stream.listen(trace, self._framing.observer, is_meter=False)
        return MqttMeterLink(self, meter, listener, is_alone=True)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def hang_up(self) -> None:
        """Cut the connection for all."""
        if self._client is not None:
            self._client.hang_up()

    # What lines and channels call.

    def publish(self, message: Message, on_acknowledged: Callable[[Acknowledgement], None]) -> Publication:
        assert self._client is not None
        return self._client.publish(message, on_acknowledged)

    @property
    def congested(self) -> bool:
        return self._client is not None and self._client.congested

    async def drain(self) -> None:
        if self._client is not None:
            await self._client.drain()

    async def check_presence(self, place: Place) -> None:
        """Raises ``NotSentError`` if the meter is known to be offline."""
        watched = self._watched.get(place.base)
        if watched is None:
            watched = self._watched[place.base] = asyncio.ensure_future(self._watch(place))
        if not watched.done():
            await asyncio.shield(watched)
        presence = self._presence.get(place.base)
        if presence is not None and not presence.online:
            since = f" since {presence.since}" if presence.since else ""
            raise NotSentError(f"{place.name} is offline{since}, says its state at {self.name}")

    def forget(self, line: MqttLine) -> None:
        """The line is closed."""
        meter = self._meters.get(line.place.base)
        if meter is not None and meter.line is line:
            del self._meters[line.place.base]

    def _begin(self, place: Place, make_link: Callable[[ByteStream], Link]) -> _Meter:
        line = MqttLine(self, place)
        stream = TracedStream(line)
        meter = self._meters[place.base] = _Meter(line, stream, make_link(stream))
        if self.ended is not None:
            line.end(self.ended)
        return meter

    async def _watch(self, place: Place) -> None:
        # A broker sends what it keeps before, or right behind, its answer to the subscription. A state that we may not
        # see, or that comes later, leaves the meter unknown, and an unknown meter is tried.
        assert self._client is not None
        with suppress(ChannelError):
            await self._client.subscribe([TopicFilter(place.state, wants_retained=True)])

    def _on_message(self, message: Message) -> None:
        root = self.settings.topic_root
        topic, correlation = message.topic, message.correlation
        if self.settings.protocol is MqttProtocol.MQTT_3:
            topic, correlation = parse_response_3(topic)
        base, _, worker = topic.rpartition("/rs/")
        if worker == self.worker:
            meter = self._meters.get(base)
            if meter is None or message.retain:
                self.strays += 1
            else:
                meter.line.answered(correlation, message.payload)
            return
        unasked = place_of_unasked(root, message.topic)
        if unasked is None:
            self.strays += 1
            return
        base = message.topic.removesuffix(f"/{unasked[2]}")
        if unasked[2] == "state":
            self._on_state(base, message.payload)
        elif message.retain or not self._is_payload(message.payload):
            self.strays += 1
        elif (meter := self._meters.get(base)) is not None:
            meter.line.pushed(message.payload)

    def _on_state(self, base: str, payload: bytes) -> None:
        presence = parse_presence(payload)
        if presence is None:
            self._presence.pop(base, None)
            return
        self._presence[base] = presence
        meter = self._meters.get(base)
        if meter is not None and not presence.online:
            meter.line.end(ChannelClosed(f"{meter.line.name} went offline"))

    def _is_payload(self, payload: bytes) -> bool:
        return self.settings.payload is MqttPayload.HDLC or is_wpdu(payload)

    def _on_end(self, error: ChannelError) -> None:
        for meter in tuple(self._meters.values()):
            meter.line.end(error)


class MqttMeterLink(Link):
    """One user's view of the line to one meter."""

    def __init__(
        self, broker: MqttBrokerLink, meter: _Meter, listener: StreamListener | None, *, is_alone: bool = False
    ) -> None:
        self._broker = broker
        self._meter = meter
        self._listener = listener
        self._is_alone = is_alone
        self._channels: list[ApduChannel] = []
        self._closed = False
        meter.leases += 1

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        channel = MqttChannel(self._broker, self._meter, self._meter.link.channel(client_sap, server_sap, physical))
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for channel in self._channels:
            await channel.close()
        self._meter.leases -= 1
        if not self._meter.leases:
            await self._meter.link.close()
        if self._listener is not None:
            self._listener.end("given back")
        if self._is_alone:
            await self._broker.close()


class MqttChannel(ApduChannel):
    """A conversation of the framing, which begins only with a meter that is not known to be offline; on the wrapper it
    waits for its turn, because a meter gets one request at a time. (HDLC takes turns itself.)"""

    def __init__(self, broker: MqttBrokerLink, meter: _Meter, inner: ApduChannel) -> None:
        self.address: Address = inner.address
        self._broker = broker
        self._meter = meter
        self._inner = inner
        self._takes_turns = broker.settings.payload is MqttPayload.WRAPPER
        self._has_turn = False

    @property
    def repeats(self) -> int:
        return self._inner.repeats

    async def open(self, timeout_seconds: float) -> None:
        line = self._meter.line
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._broker.check_presence(line.place)
        except TimeoutError:
            raise ChannelTimeout(f"the broker {self._broker.name} did not answer in time") from None
        await self._inner.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        if self._takes_turns and not self._has_turn:
            await self._take_turn()
        try:
            await self._inner.send(apdu)
        finally:
            self._give_turn_back()  # if nothing was sent

    async def send_unasked(self, apdu: bytes) -> None:
        await self._inner.send_unasked(apdu)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        try:
            return await self._inner.receive(timeout_seconds)
        except BaseException:
            # Nobody waits for the answer any more: it would come late, and is dropped.
            if self._has_turn:
                self._meter.line.give_up()
            raise
        finally:
            self._give_turn_back()

    async def close(self) -> None:
        if self._has_turn:
            self._meter.line.give_up()
            self._give_turn_back()
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(TURN_WAIT_SECONDS):
                await self._meter.turn.acquire()
        except TimeoutError:
            raise NotSentError(f"{self._meter.line.name} was in use for {TURN_WAIT_SECONDS:g} s") from None
        self._has_turn = True

    def _give_turn_back(self) -> None:
        if self._has_turn and self._meter.line.is_answered:
            self._has_turn = False
            self._meter.turn.release()


async def share_mqtt(endpoint: Endpoint, calling: Calling) -> SharedLink:
    """Raises ``NotSentError``, ``EndpointError``."""
    broker = MqttBrokerLink(endpoint, calling.wires)
    await broker.open(calling.connect_timeout_seconds)
    return broker


async def open_mqtt(endpoint: Endpoint, calling: Calling) -> Link:
    """A connection to the broker for one meter alone. Raises like ``share_mqtt``."""
    broker = MqttBrokerLink(endpoint, calling.wires)
    place = Place.of(calling.wires.mqtt.topic_root, endpoint.path)
    await broker.open(calling.connect_timeout_seconds, place)
    return broker.alone(calling, place)
