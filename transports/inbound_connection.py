"""One connection that a meter opened, once it is known who calls: what stands between socket and framing, and what is
leased to those who speak to the meter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from transports.channel import ApduChannel, ChannelClosed, ChannelError, Link, NotSentError, OnStray
from transports.endpoint import Endpoint, EndpointError
from transports.framing import HDLC, WRAPPER
from transports.hdlc import HdlcSettings
from transports.hdlc_link import HdlcLink
from transports.inbound_first import KeepAliveFilter
from transports.shared_link import SharedLink
from transports.stream import ByteStream, OnBytes, OnClosed
from transports.trace import Trace
from transports.trace_stream import StreamListener, TracedStream
from transports.wrapper_link import WrapperLink


class CalledInStream(ByteStream):
    """A caller's stream from the end of its first words on: without its keep-alives, and with the time of what was
    heard last."""

    def __init__(
        self,
        inner: ByteStream,
        rest: bytes,
        *,
        keep_alives: KeepAliveFilter | None,
        keep_alive_answer: bytes,
        on_ended: Callable[[], None],
    ) -> None:
        self.name = inner.name
        self.heard_at = asyncio.get_running_loop().time()
        self._inner = inner
        self._rest = rest
        self._keep_alives = keep_alives
        self._keep_alive_answer = keep_alive_answer
        self._on_ended = on_ended

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        clock = asyncio.get_running_loop().time

        def arrived(data: bytes) -> None:
            self.heard_at = clock()
            if self._keep_alives is not None:
                data, count = self._keep_alives.receive(data)
                self._answer(count)
            if data:
                on_bytes(data)

        def closed(error: ChannelError) -> None:
            on_closed(error)
            self._on_ended()

        rest, self._rest = self._rest, b""
        if rest:
            arrived(rest)
        self._inner.start(arrived, closed)

    def _answer(self, count: int) -> None:
        if count and self._keep_alive_answer and not self._inner.congested:
            with suppress(NotSentError):
                self._inner.write(self._keep_alive_answer * count)

    def write(self, data: bytes) -> None:
        self._inner.write(data)

    @property
    def congested(self) -> bool:
        return self._inner.congested

    async def drain(self) -> None:
        await self._inner.drain()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    async def close(self) -> None:
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()


class CalledInLink(SharedLink):
    """The connection of one meter, leased to one association after the other."""

    def __init__(self, title: bytes, stream: CalledInStream, hdlc: HdlcSettings | None, on_stray: OnStray) -> None:
        """``hdlc``: how the meter is spoken to on HDLC; ``None`` = the wrapper."""
        self.title = title
        self.leases = 0
        """How many speak over it now."""
        self._stream = stream
        self._traced = TracedStream(stream)
        self._framing = WRAPPER if hdlc is None else HDLC
        self._wire: WrapperLink | HdlcLink
        if hdlc is None:
            self._wire = WrapperLink(self._traced, on_stray=on_stray)
        else:
            self._wire = HdlcLink(self._traced, hdlc, on_stray)

    def __str__(self) -> str:
        """As endpoints name it."""
        return str(Endpoint("inbound", system_title=self.title))

    @property
    def name(self) -> str:
        """Who is at the other end, for messages."""
        return self._stream.name

    @property
    def heard_at(self) -> float:
        """When anything came last, on the loop's clock."""
        return self._stream.heard_at

    @property
    def ended(self) -> ChannelError | None:
        return self._wire.ended

    def lease(self, endpoint: Endpoint, hdlc: HdlcSettings, trace: Trace | None) -> Link:
        listener = None
        if trace is not None:
            listener = self._traced.listen(trace, self._framing.observer, is_meter=False)
        return _Lease(self, hdlc, listener)

    def channel(self, hdlc: HdlcSettings, client_sap: int, server_sap: int, physical: int | None) -> ApduChannel:
        """As a lease gives it. Raises ``EndpointError``."""
        if isinstance(self._wire, HdlcLink):
            return self._wire.channel_with(hdlc, client_sap, server_sap, physical)
        return self._wire.channel(client_sap, server_sap, physical)

    def cut(self, why: str) -> None:
        """Hang up at once. Whoever speaks over it hears why; what he sent before may have arrived."""
        self._wire.end(ChannelClosed(why))
        self._traced.hang_up()

    async def close(self) -> None:
        await self._wire.close()


class _Lease(Link):
    """One association's view of a meter's connection."""

    def __init__(self, link: CalledInLink, hdlc: HdlcSettings, listener: StreamListener | None) -> None:
        self._link = link
        self._hdlc = hdlc
        self._listener = listener
        self._channels: list[ApduChannel] = []
        self._given_back = False
        link.leases += 1

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        if self._given_back:
            raise EndpointError("the link was given back")
        channel = self._link.channel(self._hdlc, client_sap, server_sap, physical)
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        if self._given_back:
            return
        self._given_back = True
        try:
            for channel in self._channels:
                await channel.close()
        finally:
            self._link.leases -= 1
            if self._listener is not None:
                self._listener.end("given back")
