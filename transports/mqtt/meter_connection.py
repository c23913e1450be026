"""MeterConnection: a meter's connection to a broker, which comes back by itself.

Its last will says that the meter is offline.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from transports.calling import Calling
from transports.channel import ChannelClosed, ChannelError, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.mqtt.client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt.coming_back import MqttReturn
from transports.mqtt.line import CONTENT_TYPES
from transports.mqtt.message import REFUSED, Acknowledgement, Message, TopicFilter, reason_name
from transports.mqtt.presence import OFFLINE, Presence
from transports.mqtt.topics import MeterTopics
from transports.tls import context_to_call

_log = logging.getLogger(__name__)

RECEIVE_MAXIMUM = 16
"""Small: a meter has one request at a time from each worker."""

Now = Callable[[], float]
"""Unix seconds."""


class MeterConnection:
    """Lets one meter be asked over a broker, and says whether it is there."""

    def __init__(
        self,
        endpoint: Endpoint,
        calling: Calling,
        on_request: Callable[[Message], None],
        on_lost: Callable[[ChannelError], None],
        *,
        now: Now = time.time,
    ) -> None:
        """``on_request`` hears what comes to ``rq`` or below it, ``on_lost`` why all conversations are over. Raises
        ``EndpointError`` for what is no meter on a broker."""
        self.name = endpoint.authority
        self.payload = calling.wires.mqtt.payload
        self.topics = MeterTopics.of(calling.wires.mqtt.topic_root, endpoint.path)
        self.now = now
        self._endpoint = endpoint
        self._calling = calling
        self._on_request = on_request
        self._on_lost = on_lost
        self._client: MqttClient | None = None
        self._return = MqttReturn(self.topics.name, self._open, random.random)
        self._was_refused = False

    async def start(self) -> None:
        """Connect for the first time. Raises ``EndpointError`` with the reason why there is no connection."""
        try:
            await self._open()
        except ChannelError as error:
            await self.close()
            raise EndpointError(str(error)) from error

    async def close(self) -> None:
        """Say that the meter is gone, and go. Never raises."""
        await self._return.close()
        self._on_lost(ChannelClosed("closed on this side"))
        client = self._client
        if client is None:
            return
        try:
            await self._say_state(client, OFFLINE)
        except ChannelError as error:
            _log.debug("%s: %s", self.name, error)
        await client.close()

    def hang_up(self) -> None:
        """Fall silent without a word: the broker publishes the last will."""
        if self._client is not None:
            self._client.hang_up()

    def say(self, topic: str, payload: bytes, correlation: bytes = b"") -> None:
        """Raises ``NotSentError``."""
        if self._client is None:
            raise NotSentError(f"no connection to the broker {self.name}")
        message = Message(topic, payload, correlation=correlation, content_type=CONTENT_TYPES[self.payload])
        self._client.publish(message, self._on_acknowledged)

    @property
    def congested(self) -> bool:
        return self._client is not None and self._client.congested

    async def drain(self) -> None:
        if self._client is not None:
            await self._client.drain()

    async def _open(self) -> None:
        """Connect, and let the meter be heard. Raises ``ChannelError``, ``EndpointError``."""
        mqtt, topics = self._calling.wires.mqtt, self.topics
        will = Message(topics.state, OFFLINE.encode(), retain=True)
        login = BrokerLogin.of(mqtt, mqtt.client_id or topics.meter, will=will, receive_maximum=RECEIVE_MAXIMUM)
        context = context_to_call(self._endpoint, self._calling.wires.tls)
        timeout_seconds = self._calling.connect_timeout_seconds
        client = await connect_broker(
            self._endpoint, login, context, timeout_seconds, on_message=self._on_request, on_closed=self._on_closed
        )
        self._client = client
        try:
            await self._announce(client)
        except BaseException:
            client.hang_up()
            raise

    async def _announce(self, client: MqttClient) -> None:
        """Subscribe to the requests, then say that the meter is there. Raises ``ChannelError``."""
        request = self.topics.request
        granted = await client.subscribe([TopicFilter(request), TopicFilter(f"{request}/+/+/+")])
        if min(granted) >= REFUSED:
            raise ChannelClosed(f"the broker does not let {self.topics.name} be asked: {reason_name(granted[0])}")
        since = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="seconds")
        await self._say_state(client, Presence(online=True, since=since))

    async def _say_state(self, client: MqttClient, presence: Presence) -> None:
        """And wait until the broker has it. Raises ``ChannelError``."""
        client.publish(Message(self.topics.state, presence.encode(), retain=True), self._on_acknowledged)
        await client.acknowledged()

    def _on_acknowledged(self, said: Acknowledgement) -> None:
        reason = said.reason
        if reason >= REFUSED and not self._was_refused:
            self._was_refused = True
            _log.warning("%s: the broker %s refused a message: %s", self.topics.name, self.name, reason_name(reason))

    def _on_closed(self, error: ChannelError) -> None:
        self._on_lost(error)
        self._return.lost(error)
