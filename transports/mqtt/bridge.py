"""MqttMeters: one connection to a broker, and many meters behind it, as a concentrator has.

The bridge has a name of its own, and its last will speaks of the bridge alone: after its crash, what the broker keeps
of its meters' states is old.
"""

from __future__ import annotations

from contextlib import suppress

from transports.calling import Calling
from transports.channel import ChannelError, OnChannel
from transports.conversations import Accept, Conversations, accept_all
from transports.endpoint import Endpoint, EndpointError
from transports.mqtt.meter import MeterOnBroker
from transports.mqtt.meter_broker import BrokerConnection
from transports.mqtt.topics import Place


class MqttMeters:
    """A bridge: ``add`` meters, before or after ``start``; ``close`` says that all are gone."""

    def __init__(self, endpoint: Endpoint, calling: Calling) -> None:
        """The endpoint names the bridge: ``mqtt://host:port/site/bridge``. Raises ``EndpointError``."""
        self._root = calling.wires.mqtt.topic_root
        self._broker = BrokerConnection(endpoint, calling, Place.of(self._root, endpoint.path))

    async def start(self) -> None:
        """Raises ``EndpointError`` with the reason why there is no connection."""
        await self._broker.start()

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
