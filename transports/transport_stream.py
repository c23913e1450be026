"""TransportStream: a byte stream on a transport of the event loop, whatever that transport is: a socket, TLS, a device.

``asyncio.Protocol`` and not ``asyncio.StreamReader``: bytes go from the system straight into the framing, without a
buffer and a task in between.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Generic, TypeVar

from transports.channel import ChannelClosed, ChannelError, NotSentError, again
from transports.stream import UNSENT_BYTES_MAX, ByteStream, Congestion, OnBytes, OnClosed

TransportT = TypeVar("TransportT", bound=asyncio.Transport)


class TransportStream(asyncio.Protocol, ByteStream, Generic[TransportT]):
    """What is the same for all of them: writing with a limit, and the end, which is told once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._transport: TransportT | None = None
        self._on_bytes: OnBytes | None = None
        self._on_closed: OnClosed | None = None
        self._congestion = Congestion()
        self._lost: ChannelError | None = None
        self._closing = False

    @abstractmethod
    def _words_of_loss(self, error: Exception | None) -> str:
        """Why the other side, or the wire, ended it."""

    @abstractmethod
    def _wake_closers(self) -> None:
        """It has ended: whoever waits for that goes on."""

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = ChannelClosed("closed on this side" if self._closing else self._words_of_loss(error))
        self._congestion.end()
        self._wake_closers()
        # Stream and link know each other. Parted here, both go when they are let go, and leave the garbage collector
        # nothing to find: at thousands of short connections a second it would take a tenth of the time.
        on_closed, self._on_bytes, self._on_closed, self._transport = self._on_closed, None, None, None
        if on_closed is not None:
            on_closed(self._lost)

    def pause_writing(self) -> None:
        self._congestion.begin()

    def resume_writing(self) -> None:
        self._congestion.end()

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise NotSentError(f"the connection to {self.name} was already closed")
        transport.write(data)
        if self._congestion.on and transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            transport.abort()

    @property
    def congested(self) -> bool:
        return self._congestion.on

    async def drain(self) -> None:
        if self._congestion.on and self._lost is None:
            await self._congestion.wait(self.name)
        if self._lost is not None:
            raise again(self._lost)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._closing = True
            self._transport.abort()
