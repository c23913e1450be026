"""MeterLine: the meter's end of the line to one worker, as a ``ByteStream``.

Nobody says that a worker is gone, so a line ends when nothing was asked on it for a while, as HDLC and TCP have it with
their inactivity time-outs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from transports.channel import (
    Address,
    ChannelClosed,
    ChannelError,
    NotSentError,
)
from transports.mqtt.meter_connection import MeterConnection
from transports.stream import ByteStream, OnBytes, OnClosed
from transports.wire_settings import MqttPayload
from transports.wrapper import HEADER

IDLE_SECONDS = 120.0
"""The inactivity time-out of HDLC (IEC HDLC setup, class 23); TCP-UDP setup has 180 s."""


class Route(NamedTuple):
    """Where an answer goes, and which request it answers."""

    topic: str
    correlation: bytes


class MeterLine(ByteStream):
    """The meter's end of the line to one worker."""

    def __init__(self, broker: MeterConnection, key: str, on_end: Callable[[MeterLine], None]) -> None:
        """``key`` is the response topic of the worker. ``on_end`` hears once that the line is over."""
        self.name = f"{key.rpartition('/')[2]} by way of {broker.name}"
        self.key = key
        self.used = 0.0
        """When something was asked last, by the loop's clock."""
        self._broker = broker
        self._on_end = on_end
        self._on_bytes: OnBytes | None = None
        self._on_closed: OnClosed | None = None
        self._route = Route("", b"")
        self._routes: dict[tuple[int, int], deque[Route]] = {}
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(IDLE_SECONDS, self._look)

    @property
    def has_ended(self) -> bool:
        return self._timer is None

    def asked(self, route: Route, payload: bytes) -> bool:
        """A request; whether it was taken."""
        if self._paused or self._on_bytes is None:
            return False
        self.used = self._loop.time()
        if self._broker.payload is MqttPayload.HDLC:
            self._route = route  # frames have numbers of their own: which of them an answer belongs to is seen there
        else:
            _, client_sap, server_sap, _ = HEADER.unpack_from(payload)
            routes = self._routes.get((client_sap, server_sap))
            if routes is not None:
                routes.append(route)
            self._route = route
        self._on_bytes(payload)
        return True

    def serve(self, address: Address) -> None:
        """A conversation begins, with the request that is just coming in."""
        self._routes[address.client_sap, address.server_sap] = deque([self._route])

    def answer_next(self, address: Address) -> Route:
        """The next request of a conversation is looked at."""
        return self._routes[address.client_sap, address.server_sap].popleft()

    def answer_to(self, route: Route) -> None:
        """What is written now answers that request."""
        self._route = route

    # What the framing calls.

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed

    def write(self, data: bytes) -> None:
        if self.has_ended:
            raise NotSentError(f"the line to {self.name} was already closed")
        self._broker.say(self._route.topic, data, self._route.correlation)

    @property
    def congested(self) -> bool:
        return self._broker.congested

    async def drain(self) -> None:
        await self._broker.drain()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False

    async def close(self) -> None:
        self.end(ChannelClosed("closed on this side"))

    def hang_up(self) -> None:
        self._broker.hang_up()

    def end(self, error: ChannelError) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._on_end(self)
        on_closed, self._on_bytes, self._on_closed = self._on_closed, None, None
        if on_closed is not None:
            on_closed(error)

    def _look(self) -> None:
        left_seconds = self.used + IDLE_SECONDS - self._loop.time()
        if left_seconds > 0:
            self._timer = self._loop.call_later(left_seconds, self._look)
        else:
            self.end(ChannelClosed(f"nothing was asked for {IDLE_SECONDS:g} s"))
