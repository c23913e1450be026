"""HeadEndConnection: a head-end's connection to a broker, and which meters are known to be there."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from transports.channel import ChannelError, NotSentError
from transports.endpoint import Endpoint
from transports.mqtt.client import BrokerLogin, MqttClient, Publication, connect_broker
from transports.mqtt.message import REFUSED, Acknowledgement, Message, TopicFilter, reason_name
from transports.mqtt.presence import Presence, parse_presence
from transports.mqtt.topics import MeterTopics, responses_filter
from transports.tls import context_to_call
from transports.wire_settings import MqttProtocol, MqttSettings, WireSettings

WATCHED_MAX = 100_000
"""Meters of one broker whose states we subscribe to; further ones are tried without being known."""

Now = Callable[[], float]
"""Unix seconds."""


class HeadEndConnection:
    """What all who speak to meters over one broker share."""

    def __init__(
        self,
        endpoint: Endpoint,
        wires: WireSettings,
        on_message: Callable[[Message], None],
        on_lost: Callable[[ChannelError], None],
        *,
        now: Now = time.time,
    ) -> None:
        self.name = endpoint.authority
        self.settings: MqttSettings = wires.mqtt
        self.worker = secrets.token_hex(8)
        self.now = now
        self._endpoint = endpoint
        self._wires = wires
        self._on_message = on_message
        self._on_lost = on_lost
        self._client: MqttClient | None = None
        self._presence: dict[str, Presence] = {}
        self._watched: dict[str, asyncio.Future[None]] = {}

    async def open(self, timeout_seconds: float, only: MeterTopics | None = None) -> None:
        """Connect, and be ready for answers: of all meters, or of one. Raises ``NotSentError``, ``EndpointError``."""
        settings = self.settings
        is_5 = settings.protocol is MqttProtocol.MQTT_5
        login = BrokerLogin.of(settings, settings.client_id or self.worker)
        context = context_to_call(self._endpoint, self._wires.tls)
        client = await connect_broker(
            self._endpoint, login, context, timeout_seconds, on_message=self._on_message, on_closed=self._on_lost
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

    async def close(self) -> None:
        """Never raises."""
        if self._client is not None:
            await self._client.close()

    def hang_up(self) -> None:
        """Cut it for all."""
        if self._client is not None:
            self._client.hang_up()

    def publish(self, message: Message, on_acknowledged: Callable[[Acknowledgement], None]) -> Publication:
        """Raises ``NotSentError``."""
        assert self._client is not None
        return self._client.publish(message, on_acknowledged)

    @property
    def congested(self) -> bool:
        return self._client is not None and self._client.congested

    async def drain(self) -> None:
        if self._client is not None:
            await self._client.drain()

    def heard_state(self, base: str, payload: bytes) -> Presence | None:
        """What a meter says of itself; ``None`` if nothing is known of it any more."""
        presence = parse_presence(payload)
        if presence is None:
            self._presence.pop(base, None)
        else:
            self._presence[base] = presence
        return presence

    async def check_presence(self, topics: MeterTopics) -> None:
        """Raises ``NotSentError`` if the meter is known to be offline."""
        watched = self._watched.get(topics.base)
        if watched is None and len(self._watched) >= WATCHED_MAX:
            return
        if watched is None:
            watched = self._watched[topics.base] = asyncio.ensure_future(self._watch(topics))
        if not watched.done():
            await asyncio.shield(watched)
        presence = self._presence.get(topics.base)
        if presence is not None and not presence.online:
            since = f" since {presence.since}" if presence.since else ""
            raise NotSentError(f"{topics.name} is offline{since}, says its state at {self.name}")

    async def _watch(self, topics: MeterTopics) -> None:
        # A broker sends what it keeps before, or right behind, its answer to the subscription. A state that we may not
        # see, or that comes later, leaves the meter unknown, and an unknown meter is tried.
        assert self._client is not None
        with suppress(ChannelError):
            await self._client.subscribe([TopicFilter(topics.state, wants_retained=True)])
