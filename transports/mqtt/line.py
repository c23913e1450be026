"""MqttLine: the head-end's end of what is said with one meter over its two topics, as a ``ByteStream``.

One write is one message, so the framings that serve sockets serve here, too.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from math import ceil

from transports.channel import (
    ChannelClosed,
    ChannelError,
    ChannelGarbled,
    NotSentError,
)
from transports.framing import HDLC, WRAPPER, Framing
from transports.mqtt.client import Publication
from transports.mqtt.head_end_connection import HeadEndConnection
from transports.mqtt.message import NO_MATCHING_SUBSCRIBERS, REFUSED, Acknowledgement, Message, reason_name
from transports.mqtt.topics import (
    CONTENT_TYPE,
    CONTENT_TYPE_HDLC,
    CORRELATION_SIZE,
    DEADLINE,
    MeterTopics,
    is_wpdu,
)
from transports.stream import ByteStream, OnBytes, OnClosed
from transports.wire_settings import MqttPayload, MqttProtocol

FRAMINGS: dict[MqttPayload, Framing] = {MqttPayload.WRAPPER: WRAPPER, MqttPayload.HDLC: HDLC}
CONTENT_TYPES = {MqttPayload.WRAPPER: CONTENT_TYPE, MqttPayload.HDLC: CONTENT_TYPE_HDLC}


class MqttLine(ByteStream):
    """The head-end's end of the line to one meter. Each ``write`` is a request of its own."""

    def __init__(self, broker: HeadEndConnection, topics: MeterTopics, on_end: Callable[[MqttLine], None]) -> None:
        """``on_end`` hears once that the line is over."""
        self.name = f"{topics.name} at {broker.name}"
        self.topics = topics
        self.patience_seconds = broker.settings.reply_timeout_seconds
        """How long whoever asks waits for an answer."""
        self.has_heard = False
        """The meter has answered on this line."""
        self._broker = broker
        self._on_end = on_end
        self._settings = broker.settings
        self._response_topic = topics.response(broker.worker)
        self._correlation = b""
        self._last_answer = b""
        self._under_way: deque[Publication] = deque()
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
        while self._under_way:
            self._under_way.popleft().cancel()

    # What the framing calls.

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed

    def write(self, data: bytes) -> None:
        if self._ended:
            raise NotSentError(f"the line to {self.name} was already closed")
        if self._settings.payload is MqttPayload.WRAPPER:
            self.give_up()  # of HDLC, all frames have to go
        correlation = secrets.token_bytes(CORRELATION_SIZE)
        self._under_way.append(self._broker.publish(self._request(correlation, data), self._acknowledged))
        self._correlation, self._last_answer = correlation, b""

    def _request(self, correlation: bytes, data: bytes) -> Message:
        settings = self._settings
        deadline = ceil(self._broker.now() + settings.reply_timeout_seconds)
        if settings.protocol is MqttProtocol.MQTT_3:
            return Message(self.topics.request_3(self._broker.worker, correlation, deadline), data)
        return Message(
            self.topics.request,
            data,
            expiry_seconds=ceil(min(self.patience_seconds, settings.reply_timeout_seconds)),
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

    def answered(self, correlation: bytes, payload: bytes) -> bool:
        """A message came to our response topic; whether it answers something."""
        if self._ended or self._on_bytes is None:
            return False
        if self._settings.payload is MqttPayload.HDLC:
            pass  # one may come by itself (a segment); frames have numbers and check sums of their own
        elif not self._correlation or not secrets.compare_digest(correlation, self._correlation):
            return False  # late, or somebody else's
        elif payload == self._last_answer:
            return False  # repeated; another one is a block that was not asked for by itself
        elif not is_wpdu(payload):
            self.end(ChannelGarbled(f"the answer of {self.name} is no wrapper message"))
            return True
        self._last_answer = payload
        self.has_heard = True
        self._on_bytes(payload)
        return True

    def pushed(self, payload: bytes) -> None:
        """The meter said something unasked, and is ours alone."""
        if self._on_bytes is not None and not self._ended:
            self._on_bytes(payload)

    def end(self, error: ChannelError) -> None:
        if self._ended:
            return
        self._ended = True
        self.give_up()
        self._on_end(self)
        on_closed, self._on_bytes, self._on_closed = self._on_closed, None, None
        if on_closed is not None:
            on_closed(error)

    def _acknowledged(self, said: Acknowledgement) -> None:
        """What the broker did with the oldest request under way: it answers in their order (MQTT 5.0, 4.6)."""
        self._under_way.popleft()
        reason = said.reason
        if reason >= REFUSED:
            self.end(ChannelClosed(f"the broker refused a request to {self.name}: {reason_name(reason)}"))
        elif reason == NO_MATCHING_SUBSCRIBERS and not self.has_heard:
            # Later in a conversation this is not believed: it may be a broker that does not know its neighbours, and
            # to wait for the answer costs nothing but time.
            self.end(ChannelClosed(f"nobody listens for requests to {self.name}"))
