"""BrokerConnection: a meter's, or a bridge's, connection to a broker, which comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transports.calling import Calling
from transports.channel import ChannelClosed, ChannelError, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.mqtt.client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt.coming_back import MqttReturn
from transports.mqtt.message import REFUSED, Acknowledgement, Message, TopicFilter, reason_name
from transports.mqtt.presence import OFFLINE, Presence
from transports.mqtt.topics import Place
from transports.tls import context_to_call

if TYPE_CHECKING:
    from transports.mqtt.meter import MeterOnBroker

_log = logging.getLogger(__name__)

RECEIVE_MAXIMUM = 16
"""Small: a meter has one request at a time from each worker."""
REBOOT_SECONDS = 1.0
"""A meter behind a bridge that is cut off is back after this."""
STATES_AT_ONCE = 500

Now = Callable[[], float]
"""Unix seconds."""


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
        self.calling = calling
        self._now = now
        self._client: MqttClient | None = None
        self._return = MqttReturn(own.name, self.open, chance)
        self._was_refused = False

    @property
    def is_connected(self) -> bool:
        return self._client is not None and self._client.ended is None

    async def start(self) -> None:
        """Connect for the first time. Raises ``EndpointError`` with the reason why there is no connection."""
        try:
            await self.open()
        except ChannelError as error:
            await self.close()
            raise EndpointError(str(error)) from error

    async def open(self) -> None:
        """Connect, and let all meters be heard. Raises ``NotSentError``, ``EndpointError``."""
        mqtt = self.wires.mqtt
        will = Message(self.own.state, OFFLINE.encode(), retain=True)
        login = BrokerLogin.of(mqtt, mqtt.client_id or self.own.meter, will=will, receive_maximum=RECEIVE_MAXIMUM)
        context = context_to_call(self._endpoint, self.wires.tls)
        timeout_seconds = self.calling.connect_timeout_seconds
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
        reason = said.reason
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
