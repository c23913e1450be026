"""MqttBrokerLink: one connection to a broker, and over it conversations with all meters of that broker.

How to think about it: what a meter and a head-end say to each other over their two topics is a line (``MqttLine``), and
serves the framings as a socket does. Above it the wrapper's link is given turns, because a meter gets one request at a
time (``MqttChannel``). What all lines share is the connection (``HeadEndConnection``). Here is which line a message is
for.

What counts as not sent: only what was refused before it was written: no connection, a meter whose retained state says
that it is offline, no place at the broker. What the broker says afterwards, in PUBACK, ends the conversation, but is
never a proof that nothing arrived: brokers stand in front of brokers.
"""

from __future__ import annotations

from collections.abc import Callable

from transports.calling import Calling
from transports.channel import ChannelClosed, ChannelError, Link
from transports.endpoint import Endpoint
from transports.hdlc.connection import HdlcSettings
from transports.mqtt.channel import MqttMeterLink, SharedMeter
from transports.mqtt.head_end_connection import HeadEndConnection
from transports.mqtt.line import FRAMINGS, MqttLine
from transports.mqtt.message import Message
from transports.mqtt.topics import MeterTopics, is_wpdu, parse_response_3, parse_unasked
from transports.shared_link import SharedLink
from transports.stream import ByteStream
from transports.trace.stream import TracedStream
from transports.trace.trace import Trace
from transports.wire_settings import MqttPayload, MqttProtocol, WireSettings


class MqttBrokerLink(SharedLink):
    """One connection to a broker. Made by ``share_mqtt``."""

    def __init__(self, endpoint: Endpoint, wires: WireSettings) -> None:
        self.strays = 0
        """Messages that answer nothing: late, repeated, retained, or somebody else's."""
        self._settings = wires.mqtt
        self._connection = HeadEndConnection(endpoint, wires, self._on_message, self._on_lost)
        self._framing = FRAMINGS[wires.mqtt.payload]
        self._meters: dict[str, SharedMeter] = {}

    async def open(self, timeout_seconds: float, only: MeterTopics | None = None) -> None:
        """Connect, and be ready for answers: of all meters, or of one. Raises ``NotSentError``, ``EndpointError``."""
        await self._connection.open(timeout_seconds, only)

    @property
    def ended(self) -> ChannelError | None:
        return self._connection.ended

    def lease(self, endpoint: Endpoint, hdlc: HdlcSettings, trace: Trace | None) -> Link:
        """Raises ``EndpointError`` for what is no meter on a broker."""
        topics = MeterTopics.of(self._settings.topic_root, endpoint.path)
        meter = self._meters.get(topics.base)
        if meter is None:
            meter = self._begin(topics, lambda stream: self._framing.client(stream, hdlc))
        meter.line.patience_seconds = hdlc.response_timeout_seconds
        listener = None if trace is None else meter.stream.listen(trace, self._framing.observer, is_meter=False)
        return MqttMeterLink(self._connection, meter, listener)

    def alone(self, calling: Calling, topics: MeterTopics) -> Link:
        """The link to one meter; closing it closes this one."""
        meter = self._begin(topics, lambda stream: self._framing.client(calling.through(stream), calling.hdlc))
        meter.line.patience_seconds = calling.hdlc.response_timeout_seconds
        trace = calling.trace
        listener = None if trace is None else meter.stream.listen(trace, self._framing.observer, is_meter=False)
        return MqttMeterLink(self._connection, meter, listener, is_alone=True)

    async def close(self) -> None:
        await self._connection.close()

    def _begin(self, topics: MeterTopics, make_link: Callable[[ByteStream], Link]) -> SharedMeter:
        line = MqttLine(self._connection, topics, self._forget)
        stream = TracedStream(line)
        meter = self._meters[topics.base] = SharedMeter(line, stream, make_link(stream))
        if self.ended is not None:
            line.end(self.ended)
        return meter

    def _forget(self, line: MqttLine) -> None:
        """The line is over."""
        meter = self._meters.get(line.topics.base)
        if meter is not None and meter.line is line:
            del self._meters[line.topics.base]

    def _on_message(self, message: Message) -> None:
        topic, correlation = message.topic, message.correlation
        if self._settings.protocol is MqttProtocol.MQTT_3:
            topic, correlation = parse_response_3(topic)
        base, _, worker = topic.rpartition("/rs/")
        if worker == self._connection.worker:
            meter = self._meters.get(base)
            if meter is None or message.retain or not meter.line.answered(correlation, message.payload):
                self.strays += 1
            return
        unasked = parse_unasked(self._settings.topic_root, message.topic)
        if unasked is None:
            self.strays += 1
            return
        base = message.topic.removesuffix(f"/{unasked[2]}")
        meter = self._meters.get(base)
        if unasked[2] == "state":
            presence = self._connection.heard_state(base, message.payload)
            if presence is not None and not presence.online and meter is not None:
                meter.line.end(ChannelClosed(f"{meter.line.name} went offline"))
        elif message.retain or not self._is_payload(message.payload):
            self.strays += 1
        elif meter is not None:
            meter.line.pushed(message.payload)

    def _is_payload(self, payload: bytes) -> bool:
        return self._settings.payload is MqttPayload.HDLC or is_wpdu(payload)

    def _on_lost(self, error: ChannelError) -> None:
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
    topics = MeterTopics.of(calling.wires.mqtt.topic_root, endpoint.path)
    await broker.open(calling.connect_timeout_seconds, topics)
    return broker.alone(calling, topics)
