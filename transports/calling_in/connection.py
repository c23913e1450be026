"""One connection that a meter opened, once it is known who calls: what stands between socket and framing, and what is
leased to those who speak to the meter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from transports.calling_in.first_words import KeepAliveFilter
from transports.channel import ApduChannel, ChannelClosed, ChannelError, Link, NotSentError, OnStray
from transports.endpoint import Endpoint
from transports.framing import HDLC, WRAPPER
from transports.hdlc.connection import HdlcSettings
from transports.hdlc.link import HdlcLink
from transports.shared_link import Lease, SharedLink
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream
from transports.trace.stream import TracedStream
from transports.trace.trace import Trace
from transports.wrapper_link import WrapperLink


class CalledInStream(PassingStream):
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
        super().__init__(inner)
        self.heard_at = asyncio.get_running_loop().time()
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
        wire = self._wire

        def new_channel(client_sap: int, server_sap: int, physical: int | None) -> ApduChannel:
            if isinstance(wire, HdlcLink):
                return wire.channel_with(hdlc, client_sap, server_sap, physical)
            return wire.channel(client_sap, server_sap, physical)

        listener = None if trace is None else self._traced.listen(trace, self._framing.observer, is_meter=False)
        self.leases += 1
        return Lease(new_channel, listener, self._given_back)

    def cut(self, why: str) -> None:
        """Hang up at once. Whoever speaks over it hears why; what he sent before may have arrived."""
        self._wire.end(ChannelClosed(why))
        self._traced.hang_up()

    async def close(self) -> None:
        await self._wire.close()

    def _given_back(self, _was_used: bool) -> None:
        self.leases -= 1
