"""SharedLink: a link that outlives one meter's association: an HDLC line, a broker client, a connection that came in.

``LinkPool`` opens each once and leases it to whoever speaks to a meter behind it. ``lease`` gives one meter's view of
it, which is an ordinary ``Link``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from transports.channel import ApduChannel, ChannelClosed, ChannelError, Link
from transports.endpoint import Endpoint
from transports.hdlc import HdlcSettings
from transports.hdlc_link import HdlcLink
from transports.trace import Trace
from transports.trace_hdlc import HdlcObserver
from transports.trace_stream import StreamListener, TracedStream

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
        return _LineLease(self._line, hdlc, listener)

    async def close(self) -> None:
        await self._line.close()


class _LineLease(Link):
    def __init__(self, line: HdlcLink, hdlc: HdlcSettings, listener: StreamListener | None) -> None:
        self._line = line
        self._hdlc = hdlc
        self._listener = listener
        self._channels: list[ApduChannel] = []

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        channel = self._line.channel_with(self._hdlc, client_sap, server_sap, physical)
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        channels, self._channels = self._channels, []
        for channel in channels:
            await channel.close()
        if channels:
            self._line.unanswered += 1
        if self._listener is not None:
            self._listener.end("given back")
