"""MqttWatch: hears what meters of a broker say unasked: pushes, and whether they are there.

It has a connection of its own, which comes back by itself. With a group, several head-ends share what is said: each
push goes to one of them, and each state to all.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Self

from transports.channel import ChannelClosed, ChannelError
from transports.endpoint import Endpoint
from transports.mqtt.client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt.coming_back import MqttReturn
from transports.mqtt.message import REFUSED, Message, TopicFilter, reason_name
from transports.mqtt.presence import parse_presence
from transports.mqtt.topics import is_wpdu, parse_unasked, unasked_filter
from transports.tls import context_to_call
from transports.wire_settings import WIRE_DEFAULTS, WireSettings
from transports.wrapper import HEADER

CONNECT_TIMEOUT_SECONDS = 10.0
SHARED_GROUP = "gw"

OnPush = Callable[[str, str, bytes], None]
"""Site, meter, APDU: a hint, neither verified nor unique. Must not raise."""
OnPresence = Callable[[str, str, bool], None]
"""Site, meter, whether it is online. Must not raise."""


class MqttWatch:
    """Watches one broker from ``start`` to ``close``."""

    def __init__(
        self,
        endpoint: Endpoint,
        on_push: OnPush,
        on_presence: OnPresence,
        *,
        wires: WireSettings = WIRE_DEFAULTS,
        shared_group: str = SHARED_GROUP,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Of the endpoint only scheme, host and port count. An empty group: all pushes come here. What the broker keeps
        of states comes at once."""
        self.dropped = 0
        """Messages that say nothing: retained pushes, payloads that nobody can read."""
        self._endpoint = endpoint
        self._on_push = on_push
        self._on_presence = on_presence
        self._wires = wires
        self._group = shared_group
        self._was_hung_up_on = False
        """When the group was asked for: next time it is not."""
        self._client: MqttClient | None = None
        self._return = MqttReturn(f"the watch at {endpoint.authority}", self._open, chance)

    @property
    def is_connected(self) -> bool:
        return self._client is not None and self._client.ended is None

    async def start(self) -> None:
        """Connect; a broker that is not there is tried again and again. Raises ``EndpointError``."""
        try:
            await self._open()
        except ChannelError as error:
            self._return.lost(error)

    async def close(self) -> None:
        """Never raises."""
        await self._return.close()
        if self._client is not None:
            await self._client.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        mqtt = self._wires.mqtt
        # Not the configured client identifier: that one speaks to meters at the same time.
        login = BrokerLogin.of(mqtt, f"{mqtt.client_id or 'watch'}-{secrets.token_hex(6)}")
        context = context_to_call(self._endpoint, self._wires.tls)
        client = await connect_broker(
            self._endpoint,
            login,
            context,
            CONNECT_TIMEOUT_SECONDS,
            on_message=self._on_message,
            on_closed=self._return.lost,
        )
        try:
            await self._subscribe(client)
        except BaseException:
            client.hang_up()
            raise
        self._client = client

    async def _subscribe(self, client: MqttClient) -> None:
        root = self._wires.mqtt.topic_root
        groups = ("",) if self._was_hung_up_on else tuple(dict.fromkeys((self._group, "")))
        for group in groups:  # a broker that shares nothing refuses, or hangs up (MQTT 5.0, 3.8.3.1 and 4.13)
            self._was_hung_up_on = bool(group)
            filters = [
                TopicFilter(unasked_filter(root, "push", group)),
                # Never shared: a group is not sent what the broker keeps, and a meter that came back to a restarted
                # broker before us would stay unseen.
                TopicFilter(unasked_filter(root, "state", ""), wants_retained=True),
            ]
            granted = await client.subscribe(filters)
            self._was_hung_up_on = False
            if all(reason < REFUSED for reason in granted):
                return
        raise ChannelClosed(f"the broker does not let us hear pushes and states: {reason_name(max(granted))}")

    def _on_message(self, message: Message) -> None:
        unasked = parse_unasked(self._wires.mqtt.topic_root, message.topic)
        if unasked is None:
            self.dropped += 1
            return
        site, meter, kind = unasked
        if kind == "state":
            presence = parse_presence(message.payload)
            if presence is None:
                self.dropped += 1
            else:
                self._on_presence(site, meter, presence.online)
        elif message.retain or not is_wpdu(message.payload):
            self.dropped += 1
        else:
            self._on_push(site, meter, message.payload[HEADER.size :])
