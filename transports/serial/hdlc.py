"""HDLC on serial lines, both sides: a line that several meters share, each in its own way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from transports.channel import ApduChannel, ChannelClosed, Link, NotSentError
from transports.conversations import Conversations
from transports.endpoint import Endpoint
from transports.hdlc.client import HdlcClientConnection
from transports.hdlc.connection import HdlcSettings
from transports.hdlc.frame import Frame, Kind, Pair, pair
from transports.hdlc.link import HdlcChannel, HdlcLink
from transports.hdlc.server_link import HdlcServerLink
from transports.serial.format import BAUD_DEFAULT, Parity, SerialFormat, serial_hdlc
from transports.serial.line_stream import LineStream
from transports.serial.mode_e import SIGN_ON
from transports.serial.mode_e_stream import SignedOnStream, SigningOnStream
from transports.shared_link import Lease, SharedHdlcLine
from transports.trace.hdlc import HdlcObserver
from transports.trace.stream import TracedStream
from transports.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class LineUse:
    """How one meter wants its line."""

    line: SerialFormat
    """In HDLC; in mode E as fast as we accept."""
    mode_e: bool
    device_address: str
    baud_max: int | None
    """In mode E; ``None``: as fast as the meter can."""

    @classmethod
    def of(cls, endpoint: Endpoint) -> LineUse:
        line = SerialFormat(endpoint.baud or BAUD_DEFAULT, cast("Parity", endpoint.parity or "none"))
        return cls(line, endpoint.mode == "e", endpoint.device_address or "", endpoint.baud)

    @property
    def opening(self) -> SerialFormat:
        """How the line is opened."""
        return SIGN_ON if self.mode_e else self.line

    def __str__(self) -> str:
        return f"mode E{self.device_address and ', address '}{self.device_address}" if self.mode_e else str(self.line)


class SerialLink(HdlcLink):
    """The client's side of a line.

    Before a channel connects, and nobody else is connected, the line is made as that meter wants it: mode E begins
    anew with each association, because DISC brings meters back to 300 baud.
    """

    def __init__(self, stream: SigningOnStream, line: LineStream, use: LineUse, settings: HdlcSettings) -> None:
        super().__init__(stream, serial_hdlc(settings, use.opening))
        self._base = settings
        self._stream = stream
        self._line = line
        self._use = use
        self._uses: dict[Pair, LineUse] = {}
        self._preparing = asyncio.Lock()

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        return self.channel_for(self._use, self._base, client_sap, server_sap, physical)

    def channel_for(
        self, use: LineUse, settings: HdlcSettings, client_sap: int, server_sap: int, physical: int | None
    ) -> ApduChannel:
        """To a meter that wants the line in its own way. Raises like ``channel``."""
        channel = self.channel_with(settings, client_sap, server_sap, physical)
        self._uses[channel.key] = use
        return channel

    async def prepare(self, connection: HdlcClientConnection) -> None:
        key = pair(connection.own, connection.peer)
        use = self._uses.get(key, self._use)
        async with self._preparing:  # a channel that is closed just now lets the line go, but finishes this first
            if not any(channel.is_connected for channel in self._channels.values()):
                await self._make_ready(use)
                self._use = use
            elif use != self._use:
                raise NotSentError(f"the line {self._line.name} is in use with {self._use}, not with {use}")
            connection.settings = serial_hdlc(connection.settings, self._line.line)
            self.frames.inter_octet_seconds = connection.settings.inter_octet_timeout_seconds

    def forget(self, channel: HdlcChannel) -> None:
        super().forget(channel)
        self._uses.pop(channel.key, None)

    async def _make_ready(self, use: LineUse) -> None:
        if use.mode_e:
            await self._stream.sign_on(use.device_address, use.baud_max)
        elif self._line.line != use.line:
            try:
                await self._line.switch(use.line)
            except ChannelClosed as error:
                raise NotSentError(str(error)) from error


class SerialLine(SharedHdlcLine):
    """A line that several meters share, each in its own way."""

    def __init__(self, stream: TracedStream, link: SerialLink) -> None:
        super().__init__(stream, link)
        self._link = link

    def lease(self, endpoint: Endpoint, hdlc: HdlcSettings, trace: Trace | None) -> Link:
        listener = None if trace is None else self._stream.listen(trace, HdlcObserver, is_meter=False)
        use = LineUse.of(endpoint)
        return Lease(lambda *address: self._link.channel_for(use, hdlc, *address), listener)


class ModeEServerLink(HdlcServerLink):
    """The meter's side of a line with mode E: when the last conversation is over, the next client signs on anew."""

    def __init__(self, stream: SignedOnStream, conversations: Conversations, settings: HdlcSettings) -> None:
        self._stream = stream
        stream.on_silence = self._on_silence
        super().__init__(stream, conversations, settings)

    @property
    def agreed(self) -> SerialFormat | None:
        """How the line is now that a client has signed on, until it says something in HDLC."""
        return self._stream.agreed

    def _on_frame(self, frame: Frame) -> None:
        super()._on_frame(frame)
        if frame.kind is Kind.DISC and not self._channels:
            self._stream.start_over()

    def _on_silence(self) -> None:
        for channel in self._channels.values():
            channel.end(ChannelClosed("the client fell silent"))
        self._channels.clear()
