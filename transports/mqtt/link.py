"""MqttBrokerLink: one connection to a broker, and over it conversations with all meters of that broker.

How to think about it: what a meter and a head-end say to each other over their two topics is a line (``MqttLine``), and
serves the framings as a socket does. Above it the wrapper's link is given turns, because a meter gets one request at a
time (``MqttChannel``). Here is what all lines share: the connection, whose answers are told apart, and presence.

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

from transports.calling import Calling
from transports.channel import (
    ChannelClosed,
    ChannelError,
    Link,
    NotSentError,
)
from transports.endpoint import Endpoint
from transports.hdlc.connection import HdlcSettings
from transports.mqtt.channel import MqttMeterLink, SharedMeter
from transports.mqtt.client import BrokerLogin, MqttClient, Publication, connect_broker
from transports.mqtt.line import FRAMINGS, MqttLine
from transports.mqtt.message import REFUSED, Acknowledgement, Message, TopicFilter, reason_name
from transports.mqtt.presence import Presence, parse_presence
from transports.mqtt.topics import (
    Place,
    is_wpdu,
    parse_response_3,
    place_of_unasked,
    responses_filter,
)
from transports.shared_link import SharedLink
from transports.stream import ByteStream
from transports.tls import context_to_call
from transports.trace.stream import TracedStream
from transports.trace.trace import Trace
from transports.wire_settings import MqttPayload, MqttProtocol, MqttSettings, WireSettings

WATCHED_MAX = 100_000
"""Meters of one broker whose states we subscribe to; further ones are tried without being known."""

Now = Callable[[], float]
"""Unix seconds."""


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
        self._meters: dict[str, SharedMeter] = {}
        self._presence: dict[str, Presence] = {}
        self._watched: dict[str, asyncio.Future[None]] = {}

    async def open(self, timeout_seconds: float, only: Place | None = None) -> None:
        """Connect, and be ready for answers: of all meters, or of one. Raises ``NotSentError``, ``EndpointError``."""
        settings = self.settings
        is_5 = settings.protocol is MqttProtocol.MQTT_5
        login = BrokerLogin.of(settings, settings.client_id or self.worker)
        context = context_to_call(self._endpoint, self._wires.tls)
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
        except BaseException:
            client.hang_up()
            raise
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
        if watched is None and len(self._watched) >= WATCHED_MAX:
            return
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

    def _begin(self, place: Place, make_link: Callable[[ByteStream], Link]) -> SharedMeter:
        line = MqttLine(self, place)
        stream = TracedStream(line)
        meter = self._meters[place.base] = SharedMeter(line, stream, make_link(stream))
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
