"""SharedLink: a link that outlives one meter's association: an HDLC line, a broker client, a connection that came in.

``LinkPool`` opens each once and leases it to whoever speaks to a meter behind it. ``lease`` gives one meter's view of
it, which is an ordinary ``Link``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack

from transports.channel import ApduChannel, ChannelClosed, ChannelError, Link
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HdlcSettings
from transports.hdlc.link import HdlcLink
from transports.trace.hdlc import HdlcObserver
from transports.trace.stream import StreamListener, TracedStream
from transports.trace.trace import Trace

UNANSWERED_MAX = 3
"""Conversations in a row that end without a frame from anybody, the last good one counted: then the line is opened
anew. A device server that lost its power, or a NAT that forgot us, says nothing, and the socket stands for a quarter of
an hour."""


class SharedLink(ABC):
    """What several meters share."""

    @property
    @abstractmethod
    def ended(self) -> ChannelError | None:
        """Why nothing more can be said over it; ``None`` while it stands."""

    @abstractmethod
    def lease(self, endpoint: Endpoint, hdlc: HdlcSettings, trace: Trace | None) -> Link:
        """One meter's view of it. Closing that closes its channels, and leaves what is shared as it is."""

    @abstractmethod
    async def close(self) -> None:
        """Release the wire. Never raises, never waits long."""


class Lease(Link):
    """One user's view of what is shared."""

    def __init__(
        self,
        new_channel: Callable[[int, int, int | None], ApduChannel],
        listener: StreamListener | None,
        on_given_back: Callable[[bool], None] = lambda _was_used: None,
    ) -> None:
        """``new_channel`` takes what ``Link.channel`` takes. ``on_given_back`` hears once, after all channels are
        closed, whether there were any."""
        self._new_channel = new_channel
        self._listener = listener
        self._on_given_back = on_given_back
        self._channels: list[ApduChannel] = []
        self._is_given_back = False

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        if self._is_given_back:
            raise EndpointError("the link was given back")
        channel = self._new_channel(client_sap, server_sap, physical)
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        if self._is_given_back:
            return
        self._is_given_back = True
        try:
            async with AsyncExitStack() as closing:  # each of them, even if the wait for another one is cancelled
                for channel in self._channels:
                    closing.push_async_callback(channel.close)
        finally:
            self._on_given_back(bool(self._channels))
            if self._listener is not None:
                self._listener.end("given back")


class SharedHdlcLine(SharedLink):
    """One HDLC line: a serial line, or the socket of a serial device server."""

    def __init__(self, stream: TracedStream, line: HdlcLink) -> None:
        self._stream = stream
        self._line = line

    @property
    def ended(self) -> ChannelError | None:
        if self._line.ended is None and self._line.unanswered >= UNANSWERED_MAX:
            return ChannelClosed(f"nobody answered in {self._line.unanswered} conversations")
        return self._line.ended

    def lease(self, endpoint: Endpoint, hdlc: HdlcSettings, trace: Trace | None) -> Link:
        listener = None if trace is None else self._stream.listen(trace, HdlcObserver, is_meter=False)
        return Lease(lambda *address: self._line.channel_with(hdlc, *address), listener, self._given_back)

    async def close(self) -> None:
        await self._line.close()

    def _given_back(self, was_used: bool) -> None:
        if was_used:
            self._line.unanswered += 1
