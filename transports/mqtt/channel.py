"""What users of a broker link hold: the view of one meter, and conversations with it, in turns."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from transports.channel import (
    Address,
    ApduChannel,
    ChannelTimeout,
    Link,
    NotSentError,
)
from transports.mqtt.head_end_connection import HeadEndConnection
from transports.mqtt.line import MqttLine
from transports.trace.stream import StreamListener, TracedStream
from transports.wire_settings import MqttPayload

TURN_WAIT_SECONDS = 60.0
"""guess: a meter whose other users need longer is planned wrong; the dispatcher has one session per meter."""


@dataclass(slots=True, eq=False)
class SharedMeter:
    """What all who speak to one meter share."""

    line: MqttLine
    stream: TracedStream
    link: Link
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    leases: int = 0


class MqttMeterLink(Link):
    """One user's view of the line to one meter."""

    def __init__(
        self, broker: HeadEndConnection, meter: SharedMeter, listener: StreamListener | None, *, is_alone: bool = False
    ) -> None:
        self._broker = broker
        self._meter = meter
        self._listener = listener
        self._is_alone = is_alone
        self._channels: list[ApduChannel] = []
        self._closed = False
        meter.leases += 1

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        channel = MqttChannel(self._broker, self._meter, self._meter.link.channel(client_sap, server_sap, physical))
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        async with AsyncExitStack() as closing:  # each of them, even if the wait for another one is cancelled
            closing.push_async_callback(self._give_back)
            for channel in self._channels:
                closing.push_async_callback(channel.close)

    async def _give_back(self) -> None:
        self._meter.leases -= 1
        if not self._meter.leases:
            await self._meter.link.close()
        if self._listener is not None:
            self._listener.end("given back")
        if self._is_alone:
            await self._broker.close()


class MqttChannel(ApduChannel):
    """A conversation of the framing, which begins only with a meter that is not known to be offline; on the wrapper it
    waits for its turn, because a meter gets one request at a time. (HDLC takes turns itself.)"""

    def __init__(self, broker: HeadEndConnection, meter: SharedMeter, inner: ApduChannel) -> None:
        self.address: Address = inner.address
        self._broker = broker
        self._meter = meter
        self._inner = inner
        self._takes_turns = broker.settings.payload is MqttPayload.WRAPPER
        self._has_turn = False

    @property
    def repeats(self) -> int:
        return self._inner.repeats

    async def open(self, timeout_seconds: float) -> None:
        line = self._meter.line
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._broker.check_presence(line.topics)
        except TimeoutError:
            raise ChannelTimeout(f"the broker {self._broker.name} did not answer in time") from None
        await self._inner.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        if self._takes_turns and not self._has_turn:
            await self._take_turn()
        try:
            await self._inner.send(apdu)
        finally:
            self._give_turn_back()  # if nothing was sent

    async def send_unasked(self, apdu: bytes) -> None:
        await self._inner.send_unasked(apdu)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        try:
            return await self._inner.receive(timeout_seconds)
        except BaseException:
            # Nobody waits for the answer any more: it would come late, and is dropped.
            if self._has_turn:
                self._meter.line.give_up()
            raise
        finally:
            self._give_turn_back()

    async def close(self) -> None:
        if self._has_turn:
            self._meter.line.give_up()
            self._give_turn_back()
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(TURN_WAIT_SECONDS):
                await self._meter.turn.acquire()
        except TimeoutError:
            raise NotSentError(f"{self._meter.line.name} was in use for {TURN_WAIT_SECONDS:g} s") from None
        self._has_turn = True

    def _give_turn_back(self) -> None:
        if self._has_turn and self._meter.line.is_answered:
            self._has_turn = False
            self._meter.turn.release()
