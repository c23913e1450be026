"""Meters on a broker: requests come in on a meter's ``rq`` topic, answers go where each request says.

``MqttMeterListener`` is one meter with a connection of its own, whose last will says that it is offline.
``MqttMeters`` is a bridge: one connection, and many meters behind it. The bridge has a name of its own, and its last
will speaks of the bridge alone: after its crash, what the broker keeps of its meters' states is old.

Who asks is known by the response topic, and has a line of its own, as a TCP client has a connection. Nobody says that a
client is gone, so a line ends when nothing was asked on it for a while (as HDLC's and TCP's inactivity time-outs do).

Dropped without an answer: retained requests, those after their deadline, those whose correlation data was among the
last 32 (QoS 1 may repeat; a repeated ciphered request would trip the invocation counter), and those that say not, or
not properly, where the answer goes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from transports.channel import ApduChannel, ChannelClosed, ChannelError, Link, Listener, NotSentError, OnChannel
from transports.conversations import Accept, Conversations, accept_all
from transports.endpoint import Endpoint, EndpointError
from transports.mqtt_client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt_link import CONTENT_TYPES, FRAMINGS
from transports.mqtt_packets import REFUSED, Acknowledgement, Message, TopicFilter, reason_name
from transports.mqtt_presence import OFFLINE, Presence
from transports.mqtt_return import MqttReturn
from transports.mqtt_topics import (
    DEADLINE,
    Place,
    is_response_topic,
    is_wpdu,
    parse_deadline,
    parse_request_3,
)
from transports.stream import ByteStream, OnBytes, OnClosed
from transports.tls import client_context
from transports.trace_stream import TracedStream
from transports.wire_settings import MqttPayload, MqttProtocol
from transports.wrapper import wrap

if TYPE_CHECKING:
    from transports.registry import Calling

_log = logging.getLogger(__name__)

REMEMBERED = 32
"""Correlation data of this many requests."""
CORRELATION_SIZE_MAX = 64
LINES_MAX = 64
"""Workers that one meter speaks to; the one that was silent longest makes room."""
IDLE_SECONDS = 120.0
"""The inactivity time-out of HDLC (IEC HDLC setup, class 23); TCP-UDP setup has 180 s."""
RECEIVE_MAXIMUM = 16
"""Small: a meter has one request at a time from each worker."""
REBOOT_SECONDS = 1.0
"""A meter behind a bridge that is cut off is back after this."""
STATES_AT_ONCE = 500

Now = Callable[[], float]


class Drop(StrEnum):
    """Why a request was dropped."""

    RETAINED = "retained"
    EXPIRED = "expired"
    REPEATED = "repeated"
    UNADDRESSED = "unaddressed"
    GARBLED = "garbled"
    TOO_MANY = "too many"


class MeterLine(ByteStream):
    """The meter's end of the line to one worker."""

    def __init__(self, meter: MeterOnBroker, key: str) -> None:
        self.name = f"{key.rpartition('/')[2]} by way of {meter.broker.name}"
        self.key = key
        self.used = 0.0
        """When something was asked last, by the loop's clock."""
        self._meter = meter
        self._on_bytes: OnBytes | None = None
        self._on_closed: OnClosed | None = None
        self._answer_topic = ""
        self._correlation = b""
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(IDLE_SECONDS, self._look)

    @property
    def has_ended(self) -> bool:
        return self._timer is None

    def asked(self, answer_topic: str, correlation: bytes, payload: bytes) -> bool:
        """A request; whether it was taken."""
        if self._paused or self._on_bytes is None:
            return False
        self.used = self._loop.time()
        self._answer_topic, self._correlation = answer_topic, correlation
        self._on_bytes(payload)
        return True

    # What the framing calls.

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed

    def write(self, data: bytes) -> None:
        if self.has_ended:
            raise NotSentError(f"the line to {self.name} was already closed")
        self._meter.broker.publish(self._meter.message(self._answer_topic, data, self._correlation))

    @property
    def congested(self) -> bool:
        return self._meter.broker.congested

    async def drain(self) -> None:
        await self._meter.broker.drain()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False

    async def close(self) -> None:
        self.end(ChannelClosed("closed on this side"))

    def hang_up(self) -> None:
        self._meter.hang_up()

    def end(self, error: ChannelError) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._meter.forget(self)
        on_closed, self._on_bytes, self._on_closed = self._on_closed, None, None
        if on_closed is not None:
            on_closed(error)

    def _look(self) -> None:
        left_seconds = self.used + IDLE_SECONDS - self._loop.time()
        if left_seconds > 0:
            self._timer = self._loop.call_later(left_seconds, self._look)
        else:
            self.end(ChannelClosed(f"nothing was asked for {IDLE_SECONDS:g} s"))


class MeterOnBroker:
    """One meter: its lines, and what it remembers."""

    def __init__(self, broker: BrokerConnection, place: Place, conversations: Conversations) -> None:
        self.broker = broker
        self.place = place
        self.dropped: Counter[Drop] = Counter()
        self.conversations = conversations
        self._lines: dict[str, MeterLine] = {}
        self._remembered: dict[bytes, None] = {}

    def on_request(self, message: Message, now: float) -> None:
        """A message to ``rq`` or below it."""
        why = self._take(message, now)
        if why is not None:
            self.dropped[why] += 1

    def message(self, topic: str, payload: bytes, correlation: bytes = b"") -> Message:
        return Message(
            topic, payload, correlation=correlation, content_type=CONTENT_TYPES[self.broker.wires.mqtt.payload]
        )

    def state(self, presence: Presence) -> Message:
        return Message(self.place.state, presence.encode(), retain=True)

    def end(self, error: ChannelError) -> None:
        """All conversations are over."""
        for line in tuple(self._lines.values()):
            line.end(error)

    def forget(self, line: MeterLine) -> None:
        if self._lines.get(line.key) is line:
            del self._lines[line.key]

    def hang_up(self) -> None:
        self.broker.cut(self)

    def _take(self, message: Message, now: float) -> Drop | None:
        if message.retain:
            return Drop.RETAINED
        place = self.place
        if message.topic == place.request:
            answer_topic = key = message.response_topic
            correlation, deadline = message.correlation, _deadline(message)
        else:
            request = parse_request_3(place, message.topic)
            if request is None:
                return Drop.UNADDRESSED
            correlation, deadline = request.correlation, request.deadline
            key, answer_topic = place.response(request.worker), place.response_3(request.worker, correlation)
        if not is_response_topic(place, key) or not 0 < len(correlation) <= CORRELATION_SIZE_MAX:
            return Drop.UNADDRESSED
        if deadline is not None and now > deadline:
            return Drop.EXPIRED
        if correlation in self._remembered:
            return Drop.REPEATED
        if self.broker.wires.mqtt.payload is MqttPayload.WRAPPER and not is_wpdu(message.payload):
            return Drop.GARBLED
        self._remember(correlation)
        return None if self._line(key).asked(answer_topic, correlation, message.payload) else Drop.TOO_MANY

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
            line = self._lines[key] = MeterLine(self, key)
            self.broker.serve(self, line)
        return line


def _deadline(message: Message) -> int | None:
    for name, text in message.user:
        if name == DEADLINE:
            return parse_deadline(text)
    return None


class _WithPush(Conversations):
    """Conversations on the wrapper: what a meter says unasked goes to its ``push`` topic."""

    def __init__(self, meter: MeterOnBroker) -> None:
        self.accept = meter.conversations.accept
        self._meter = meter

    def begin(self, channel: ApduChannel) -> None:
        self._meter.conversations.begin(_ChannelWithPush(channel, self._meter))


class _ChannelWithPush(ApduChannel):
    def __init__(self, inner: ApduChannel, meter: MeterOnBroker) -> None:
        self.address = inner.address
        self._inner = inner
        self._meter = meter

    async def open(self, timeout_seconds: float) -> None:
        await self._inner.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        await self._inner.send(apdu)

    async def send_unasked(self, apdu: bytes) -> None:
        publish_push(self._meter, self.address.server_sap, self.address.client_sap, apdu)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return await self._inner.receive(timeout_seconds)

    async def close(self) -> None:
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()


class BrokerConnection:
    """A connection to a broker that comes back by itself, and the meters behind it."""

    def __init__(
        self,
        endpoint: Endpoint,
        calling: Calling,
        own: Place,
        *,
        now: Now = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = endpoint.authority
        self.wires = calling.wires
        self.own = own
        """Whose last will it is."""
        self.meters: dict[str, MeterOnBroker] = {}
        self._endpoint = endpoint
        self._calling = calling
        self._framing = FRAMINGS[calling.wires.mqtt.payload]
        self._now = now
        self._client: MqttClient | None = None
        self._return = MqttReturn(own.name, self.open, chance)
        self._was_refused = False

    @property
    def is_connected(self) -> bool:
        return self._client is not None and self._client.ended is None

    async def open(self) -> None:
        """Connect, and let all meters be heard. Raises ``NotSentError``, ``EndpointError``."""
        mqtt = self.wires.mqtt
        login = BrokerLogin(
            mqtt.client_id or self.own.meter,
            mqtt.protocol is MqttProtocol.MQTT_5,
            mqtt.username,
            mqtt.password,
            mqtt.keep_alive_seconds,
            Message(self.own.state, OFFLINE.encode(), retain=True),
            RECEIVE_MAXIMUM,
        )
        context = client_context(self.wires.tls) if self._endpoint.scheme == "mqtts" else None
        timeout_seconds = self._calling.connect_timeout_seconds
        client = await connect_broker(
            self._endpoint, login, context, timeout_seconds, on_message=self._on_message, on_closed=self._on_closed
        )
        self._client = client
        try:
            await self.announce(tuple(self.meters.values()))
        except BaseException:
            client.hang_up()
            raise

    async def announce(self, meters: Sequence[MeterOnBroker]) -> None:
        """Subscribe to the requests of these meters, then say that they are there. Raises ``ChannelError``."""
        client = self._standing()
        filters = [TopicFilter(text) for meter in meters for text in _request_filters(meter.place)]
        granted = await client.subscribe(filters) if filters else ()
        for meter, first, second in zip(meters, granted[::2], granted[1::2], strict=True):
            if first >= REFUSED and second >= REFUSED:
                raise ChannelClosed(f"the broker does not let {meter.place.name} be asked: {reason_name(first)}")
        online = self._online()
        messages = [meter.state(online) for meter in meters]
        if self.own.base not in self.meters:
            messages.append(Message(self.own.state, online.encode(), retain=True))
        await self._publish_all(client, messages)

    async def close(self) -> None:
        """Say that all are gone, and go. Never raises."""
        await self._return.close()
        for meter in self.meters.values():
            meter.end(ChannelClosed("closed on this side"))
        client = self._client
        if client is None:
            return
        try:
            messages = [meter.state(OFFLINE) for meter in self.meters.values()]
            if self.own.base not in self.meters:
                messages.append(Message(self.own.state, OFFLINE.encode(), retain=True))
            await self._publish_all(client, messages)
        except ChannelError as error:
            _log.debug("%s: %s", self.name, error)
        await client.close()

    async def withdraw(self, meter: MeterOnBroker) -> None:
        """This meter is gone. Raises ``ChannelError``."""
        meter.end(ChannelClosed("closed on this side"))
        client = self._standing()
        client.publish(meter.state(OFFLINE))
        await client.unsubscribe(_request_filters(meter.place))

    def cut(self, meter: MeterOnBroker) -> None:
        """The meter falls silent without a word, and comes back after a moment."""
        if self.own.base in self.meters:
            if self._client is not None:
                self._client.hang_up()  # the broker publishes the last will
            return
        meter.end(ChannelClosed("closed on this side"))
        if self.is_connected:
            self.publish(meter.state(OFFLINE))
            asyncio.get_running_loop().call_later(REBOOT_SECONDS, self._is_back, meter)

    def publish(self, message: Message) -> None:
        """Raises ``NotSentError``."""
        self._standing().publish(message, self._on_acknowledged)

    @property
    def congested(self) -> bool:
        return self._client is not None and self._client.congested

    async def drain(self) -> None:
        await self._standing().drain()

    def serve(self, meter: MeterOnBroker, line: MeterLine) -> Link:
        """Begin a line's framing."""
        calling, stream = self._calling, line if self._calling.trace is None else TracedStream(line)
        if calling.trace is not None and isinstance(stream, TracedStream):
            stream.listen(calling.trace, self._framing.observer, is_meter=True)
        is_wrapper = self.wires.mqtt.payload is MqttPayload.WRAPPER
        conversations = _WithPush(meter) if is_wrapper else meter.conversations
        return self._framing.server(calling.through(stream), conversations, calling.hdlc)

    def _standing(self) -> MqttClient:
        if self._client is None:
            raise NotSentError(f"no connection to the broker {self.name}")
        return self._client

    async def _publish_all(self, client: MqttClient, messages: Sequence[Message]) -> None:
        """Some at a time, and each time until the broker has them."""
        for start in range(0, len(messages), STATES_AT_ONCE):
            for message in messages[start : start + STATES_AT_ONCE]:
                client.publish(message, self._on_acknowledged)
            await client.acknowledged()

    def _on_message(self, message: Message) -> None:
        base, found, rest = message.topic.partition("/rq")
        if not found or rest[:1] not in {"", "/"} or (meter := self.meters.get(base)) is None:
            meter = self._longest(message.topic)
        if meter is not None:
            meter.on_request(message, self._now())

    def _longest(self, topic: str) -> MeterOnBroker | None:
        """For names that themselves have ``/rq`` in them: root, site and meter are levels of known number."""
        levels = topic.split("/")
        return self.meters.get("/".join(levels[: self.own.base.count("/") + 1]))

    def _on_acknowledged(self, said: Acknowledgement) -> None:
        reason = said.reasons[0]
        if reason >= REFUSED and not self._was_refused:
            self._was_refused = True
            _log.warning("%s: the broker %s refused a message: %s", self.own.name, self.name, reason_name(reason))

    def _on_closed(self, error: ChannelError) -> None:
        for meter in self.meters.values():
            meter.end(error)
        self._return.lost(error)

    def _is_back(self, meter: MeterOnBroker) -> None:
        if self.is_connected and self.meters.get(meter.place.base) is meter:
            self.publish(meter.state(self._online()))

    def _online(self) -> Presence:
        return Presence(online=True, since=datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds"))


def _request_filters(place: Place) -> tuple[str, str]:
    return place.request, f"{place.request}/+/+/+"


class MqttMeterListener(Listener):
    """One meter with a connection of its own."""

    def __init__(
        self, endpoint: Endpoint, conversations: Conversations, calling: Calling, *, now: Now = time.time
    ) -> None:
        self.url = str(endpoint)
        place = Place.of(calling.wires.mqtt.topic_root, endpoint.path)
        self._broker = BrokerConnection(endpoint, calling, place, now=now)
        self.meter = self._broker.meters[place.base] = MeterOnBroker(self._broker, place, conversations)

    async def start(self) -> None:
        """Raises ``EndpointError`` with the reason why there is no connection."""
        await _begin(self._broker)

    async def push(self, apdu: bytes, client_sap: int = 1, server_sap: int = 1) -> None:
        """Say something unasked, outside of any conversation. Raises ``NotSentError``."""
        publish_push(self.meter, server_sap, client_sap, apdu)

    async def close(self) -> None:
        await self._broker.close()
        await self.meter.conversations.close()


class MqttMeters:
    """A bridge: ``add`` meters, before or after ``start``; ``close`` says that all are gone."""

    def __init__(self, endpoint: Endpoint, calling: Calling) -> None:
        """The endpoint names the bridge: ``mqtt://host:port/site/bridge``. Raises ``EndpointError``."""
        self._root = calling.wires.mqtt.topic_root
        self._broker = BrokerConnection(endpoint, calling, Place.of(self._root, endpoint.path))

    @property
    def is_connected(self) -> bool:
        return self._broker.is_connected

    async def start(self) -> None:
        """Raises ``EndpointError`` with the reason why there is no connection."""
        await _begin(self._broker)

    async def add(self, path: str, on_channel: OnChannel, accept: Accept = accept_all) -> MeterOnBroker:
        """Let ``site/meter`` be asked; now, or when the connection is back. Raises ``EndpointError``."""
        place = Place.of(self._root, path)
        if place.base in self._broker.meters or place == self._broker.own:
            raise EndpointError(f"{path} is on this broker already")
        meter = MeterOnBroker(self._broker, place, Conversations(on_channel, accept))
        self._broker.meters[place.base] = meter
        if self._broker.is_connected:
            with suppress(ChannelError):  # then it is announced when the connection is back
                await self._broker.announce((meter,))
        return meter

    async def remove(self, path: str) -> None:
        """It is gone, and says so."""
        meter = self._broker.meters.pop(Place.of(self._root, path).base, None)
        if meter is not None:
            with suppress(ChannelError):
                await self._broker.withdraw(meter)
            await meter.conversations.close()

    async def close(self) -> None:
        """Never raises."""
        meters = tuple(self._broker.meters.values())
        await self._broker.close()
        for meter in meters:
            await meter.conversations.close()


async def _begin(broker: BrokerConnection) -> None:
    try:
        await broker.open()
    except ChannelError as error:
        await broker.close()
        raise EndpointError(str(error)) from error


def publish_push(meter: MeterOnBroker, server_sap: int, client_sap: int, apdu: bytes) -> None:
    """Raises ``NotSentError``."""
    try:
        message = wrap(server_sap, client_sap, apdu)
    except ValueError as error:
        raise NotSentError(str(error)) from None
    meter.broker.publish(meter.message(meter.place.push, message))


async def listen_mqtt(endpoint: Endpoint, conversations: Conversations, calling: Calling) -> Listener:
    """Be a meter on a broker. Raises ``EndpointError``."""
    listener = MqttMeterListener(endpoint, conversations, calling)
    await listener.start()
    return listener
