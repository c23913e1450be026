"""HdlcServerLink: the meters' side of an HDLC line.

Each SNRM from a new pair of addresses begins a conversation; DISC, a new SNRM or the end of the wire ends it.
Frames for addresses that are not ours stay unanswered, as on a line with many meters they must.
"""

from __future__ import annotations

from transports.channel import Address, ApduChannel, ChannelClosed, ChannelError, Link, NotSentError
from transports.conversations import CONVERSATIONS_MAX, Conversations
from transports.endpoint import EndpointError
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.hdlc.frame import DM, UA, Frame, Kind, Pair, pair
from transports.hdlc.frame_stream import FrameStream
from transports.hdlc.server import HdlcServerConnection
from transports.inbox import INBOX_APDUS_MAX, Inbox
from transports.stream import ByteStream


class HdlcServerLink(Link):
    """The meters' side of one line."""

    def __init__(
        self, stream: ByteStream, conversations: Conversations, settings: HdlcSettings = HDLC_DEFAULTS
    ) -> None:
        self._settings = settings
        self._conversations = conversations
        self._channels: dict[Pair, HdlcServerChannel] = {}
        self._ended = False
        self.frames = FrameStream(stream, settings, self._on_frame, self._end)

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        raise EndpointError("on HDLC only the client begins a conversation")

    async def close(self) -> None:
        self._end(ChannelClosed("closed on this side"))
        await self.frames.stream.close()

    def forget(self, channel: HdlcServerChannel) -> None:
        """The conversation is over on our side: what the client still says is answered with DM."""
        for key, known in tuple(self._channels.items()):
            if known is channel:
                del self._channels[key]

    def _on_frame(self, frame: Frame) -> None:
        key = pair(frame.source, frame.destination)
        channel = self._channels.get(key)
        if self._ended or frame.destination.is_everybody:
            return
        if channel is None and not self._conversations.accept(_address_of(frame)):
            return
        if frame.kind is Kind.SNRM:
            self._on_snrm(frame, channel)
        elif frame.kind is Kind.DISC:
            if channel is not None:
                del self._channels[key]
                channel.end(ChannelClosed("the client disconnected"))
            self._answer(frame, DM if channel is None else UA)
        elif channel is not None:
            channel.on_frame(frame)
        elif frame.kind in {Kind.INFORMATION, Kind.RR, Kind.RNR, Kind.REJ}:
            self._answer(frame, DM)

    def _on_snrm(self, frame: Frame, channel: HdlcServerChannel | None) -> None:
        try:
            connection = HdlcServerConnection(frame.destination, frame.source, self._settings, frame.information)
        except ChannelError:
            return  # parameters that nobody can read: the client will ask again, or say it better
        key = pair(frame.source, frame.destination)
        if channel is not None and channel.connection.untouched:
            # Our UA got lost. The conversation that waits for its first request is the same one.
            channel.connection.parameters = connection.parameters
        elif channel is None and len(self._channels) >= CONVERSATIONS_MAX:
            self._answer(frame, DM)
            return
        else:
            if channel is not None:
                channel.end(ChannelClosed("the client connected anew"))
            channel = HdlcServerChannel(self, connection, _address_of(frame))
            self._channels[key] = channel
            self._conversations.begin(channel)
        self.frames.reply(connection.accept())

    def _answer(self, frame: Frame, control: int) -> None:
        self.frames.reply(Frame(frame.source, frame.destination, control))

    def _end(self, error: ChannelError) -> None:
        self._ended = True
        for channel in self._channels.values():
            channel.end(error)
        self._channels.clear()


class HdlcServerChannel(ApduChannel):
    """A meter's conversation, from SNRM to DISC.

    When its inbox is full it says RNR, and takes no more. That is HDLC's own word for it, and holds this client alone:
    to stop reading, as on the wrapper, would hold all that share the line.
    """

    def __init__(self, link: HdlcServerLink, connection: HdlcServerConnection, address: Address) -> None:
        self.address = address
        self.connection = connection
        self._link = link
        self._inbox = Inbox()
        self._unread = 0

    @property
    def repeats(self) -> int:
        return self.connection.repeats

    async def open(self, timeout_seconds: float) -> None:
        self._check_open()

    async def send(self, apdu: bytes) -> None:
        self._check_open()
        await self._write(self.connection.send(apdu))

    async def send_unasked(self, apdu: bytes) -> None:
        self._check_open()
        await self._write(self.connection.send_unasked(apdu))

    async def _write(self, frames: tuple[Frame, ...]) -> None:
        self._link.frames.write(*frames)
        stream = self._link.frames.stream
        if stream.congested:
            await stream.drain()

    async def receive(self, timeout_seconds: float | None) -> bytes:
        apdu = await self._inbox.get(timeout_seconds)
        self._count_unread(-1)
        return apdu

    async def close(self) -> None:
        """Go into disconnected mode; a server has no frame to say so, the client hears DM when it asks again."""
        if self._inbox.ended is None:
            self.end(ChannelClosed("closed on this side"))
            self._link.forget(self)

    def hang_up(self) -> None:
        self._link.frames.stream.hang_up()

    def on_frame(self, frame: Frame) -> None:
        try:
            reaction = self.connection.receive(frame)
        except ChannelError as error:
            self.end(error)
            self._link.forget(self)
            return
        if reaction is None:
            return
        if reaction.apdu is not None:
            self._inbox.put(reaction.apdu)
            self._count_unread(+1)
        self._link.frames.reply(*reaction.frames)

    def end(self, error: ChannelError) -> None:
        self._inbox.end(error)

    def _count_unread(self, change: int) -> None:
        self._unread += change
        self.connection.has_room = self._unread < INBOX_APDUS_MAX

    def _check_open(self) -> None:
        if self._inbox.ended is not None:
            raise NotSentError(f"the channel is closed: {self._inbox.ended}")


def _address_of(frame: Frame) -> Address:
    return Address(frame.source.logical, frame.destination.logical, frame.destination.physical)
