"""A meter on a broker: requests come in on its ``rq`` topic, answers go where each request says.

Who asks is known by the response topic, and has a line of its own, as a TCP client has a connection.

Dropped without an answer: retained requests, those after their deadline, those whose correlation data was among the
last 32 (QoS 1 may repeat; a repeated ciphered request would trip the invocation counter), and those that say not, or
not properly, where the answer goes.
"""

from __future__ import annotations

import time
from collections import Counter
from enum import StrEnum

from transports.calling import Calling
from transports.channel import (
    Address,
    ApduChannel,
    ChannelClosed,
    ChannelError,
    Listener,
    NotSentError,
)
from transports.conversations import Conversations
from transports.endpoint import Endpoint
from transports.mqtt.line import FRAMINGS
from transports.mqtt.message import Message
from transports.mqtt.meter_connection import MeterConnection, Now
from transports.mqtt.meter_line import MeterLine, Route
from transports.mqtt.topics import (
    DEADLINE,
    is_response_topic,
    is_wpdu,
    parse_deadline,
    parse_request_3,
)
from transports.wire_settings import MqttPayload
from transports.wrapper import wrap

REMEMBERED = 32
"""Correlation data of this many requests."""
CORRELATION_SIZE_MAX = 64
LINES_MAX = 64
"""Workers that one meter speaks to; the one that was silent longest makes room."""


class Drop(StrEnum):
    """Why a request was dropped."""

    RETAINED = "retained"
    EXPIRED = "expired"
    REPEATED = "repeated"
    UNADDRESSED = "unaddressed"
    GARBLED = "garbled"
    TOO_MANY = "too many"


class MeterOnBroker:
    """One meter: its lines, and what it remembers."""

    def __init__(
        self, endpoint: Endpoint, conversations: Conversations, calling: Calling, *, now: Now = time.time
    ) -> None:
        """Raises ``EndpointError`` for what is no meter on a broker."""
        self.broker = MeterConnection(endpoint, calling, self._on_request, self._end, now=now)
        self.topics = self.broker.topics
        self.dropped: Counter[Drop] = Counter()
        self.conversations = conversations
        self._calling = calling
        self._lines: dict[str, MeterLine] = {}
        self._remembered: dict[bytes, None] = {}

    def push(self, apdu: bytes, address: Address) -> None:
        """Say something unasked. Raises ``NotSentError``."""
        try:
            message = wrap(address.server_sap, address.client_sap, apdu)
        except ValueError as error:
            raise NotSentError(str(error)) from None
        self.broker.say(self.topics.push, message)

    def _on_request(self, message: Message) -> None:
        why = self._take(message, self.broker.now())
        if why is not None:
            self.dropped[why] += 1

    def _end(self, error: ChannelError) -> None:
        """All conversations are over."""
        for line in tuple(self._lines.values()):
            line.end(error)

    def _forget(self, line: MeterLine) -> None:
        if self._lines.get(line.key) is line:
            del self._lines[line.key]

    def _take(self, message: Message, now: float) -> Drop | None:
        if message.retain:
            return Drop.RETAINED
        topics = self.topics
        if message.topic == topics.request:
            answer_topic = key = message.response_topic
            correlation, deadline = message.correlation, _deadline(message)
        else:
            request = parse_request_3(topics, message.topic)
            if request is None:
                return Drop.UNADDRESSED
            correlation, deadline = request.correlation, request.deadline
            key, answer_topic = topics.response(request.worker), topics.response_3(request.worker, request.hex_id)
        if not is_response_topic(topics, key) or not 0 < len(correlation) <= CORRELATION_SIZE_MAX:
            return Drop.UNADDRESSED
        if deadline is not None and now > deadline:
            return Drop.EXPIRED
        if correlation in self._remembered:
            return Drop.REPEATED
        if self.broker.payload is MqttPayload.WRAPPER and not is_wpdu(message.payload):
            return Drop.GARBLED
        self._remember(correlation)
        return None if self._line(key).asked(Route(answer_topic, correlation), message.payload) else Drop.TOO_MANY

    def _remember(self, correlation: bytes) -> None:
        self._remembered[correlation] = None
        if len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    def _line(self, key: str) -> MeterLine:
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= LINES_MAX:
                oldest = min(self._lines.values(), key=lambda one: one.used)
                oldest.end(ChannelClosed(f"{LINES_MAX} others ask as well"))
            line = self._lines[key] = MeterLine(self.broker, key, self._forget)
            self._serve(line)
        return line

    def _serve(self, line: MeterLine) -> None:
        """Begin the line's framing."""
        framing = FRAMINGS[self.broker.payload]
        is_wrapper = self.broker.payload is MqttPayload.WRAPPER
        conversations = _WrapperConversations(self, line) if is_wrapper else self.conversations
        stream = self._calling.prepared(line, framing, is_meter=True)
        framing.server(stream, conversations, self._calling.hdlc)


def _deadline(message: Message) -> int | None:
    for name, text in message.user:
        if name == DEADLINE:
            return parse_deadline(text)
    return None


class _WrapperConversations(Conversations):
    """Conversations on the wrapper, which know what they answer."""

    def __init__(self, meter: MeterOnBroker, line: MeterLine) -> None:
        self.accept = meter.conversations.accept
        self._meter = meter
        self._line = line

    def begin(self, channel: ApduChannel) -> None:
        self._line.serve(channel.address)
        self._meter.conversations.begin(_WrapperChannel(channel, self._meter, self._line))


class _WrapperChannel(ApduChannel):
    """An answer goes where the request that was received last says, however many came after it; what is said unasked
    goes to the ``push`` topic."""

    def __init__(self, inner: ApduChannel, meter: MeterOnBroker, line: MeterLine) -> None:
        self.address = inner.address
        self._inner = inner
        self._meter = meter
        self._line = line
        self._route = Route("", b"")

    async def open(self, timeout_seconds: float) -> None:
        await self._inner.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        self._line.answer_to(self._route)
        await self._inner.send(apdu)

    async def send_unasked(self, apdu: bytes) -> None:
        self._meter.push(apdu, self.address)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        apdu = await self._inner.receive(timeout_seconds)
        self._route = self._line.answer_next(self.address)
        return apdu

    async def close(self) -> None:
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()


class MqttMeterListener(Listener):
    """One meter, from ``start`` to ``close``."""

    def __init__(
        self, endpoint: Endpoint, conversations: Conversations, calling: Calling, *, now: Now = time.time
    ) -> None:
        self.url = str(endpoint)
        self.meter = MeterOnBroker(endpoint, conversations, calling, now=now)

    async def start(self) -> None:
        """Raises ``EndpointError`` with the reason why there is no connection."""
        await self.meter.broker.start()

    def push(self, apdu: bytes, address: Address) -> None:
        """Say something unasked, outside of any conversation. Raises ``NotSentError``."""
        self.meter.push(apdu, address)

    async def close(self) -> None:
        await self.meter.broker.close()
        await self.meter.conversations.close()


async def listen_mqtt(endpoint: Endpoint, conversations: Conversations, calling: Calling) -> Listener:
    """Be a meter on a broker. Raises ``EndpointError``."""
    listener = MqttMeterListener(endpoint, conversations, calling)
    await listener.start()
    return listener
