"""HdlcLink: the client's side of an HDLC line; time, wire and turns for the pure core.

Its channels share one line that carries one exchange at a time: whoever sends holds the line until the answer is
there, or given up.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf

from transports.channel import (
    Address,
    ApduChannel,
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    Link,
    NotSentError,
    OnStray,
    again,
)
from transports.endpoint import EndpointError
from transports.hdlc.client import HdlcClientConnection, State
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings, apdu_of_unasked
from transports.hdlc.frame import Frame, HdlcAddress, Kind, Pair, pair
from transports.hdlc.frame_stream import FrameStream
from transports.inbox import INBOX_APDUS_MAX, Inbox
from transports.stream import ByteStream

# guess: a line whose other users need longer is planned wrong; the dispatcher above has one session per line.
LINE_WAIT_SECONDS = 60.0
# A meter that does not answer DISC ends the connection by itself (inactivity time-out, 120 s by default).
DISCONNECT_WAIT_SECONDS = 2.0


class HdlcLink(Link):
    """The client's side of one line."""

    def __init__(
        self, stream: ByteStream, settings: HdlcSettings = HDLC_DEFAULTS, on_stray: OnStray | None = None
    ) -> None:
        """``on_stray``: what is said unasked to a channel that there is not."""
        self.strays = 0
        """Frames from servers or for clients that have no channel here, UI frames among them."""
        self.unanswered = 0
        """For who leases the line: conversations that ended since a frame came last."""
        self.line = asyncio.Lock()
        self.ended: ChannelError | None = None
        self._settings = settings
        self._on_stray = on_stray
        self._channels: dict[Pair, HdlcChannel] = {}
        self.frames = FrameStream(stream, settings, self._on_frame, self.end)

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        return self.channel_with(self._settings, client_sap, server_sap, physical)

    def channel_with(
        self, settings: HdlcSettings, client_sap: int = 1, server_sap: int = 1, physical: int | None = None
    ) -> HdlcChannel:
        """Like ``channel``, to a meter that wants to be spoken to in its own way."""
        try:
            own, peer = HdlcAddress.client(client_sap), settings.server_address(server_sap, physical)
        except ValueError as error:
            raise EndpointError(str(error)) from None
        if pair(own, peer) in self._channels:
            raise EndpointError(f"there is already an open channel from client {client_sap} to server {server_sap}")
        connection = HdlcClientConnection(own, peer, settings)
        channel = HdlcChannel(self, connection, Address(client_sap, server_sap, peer.physical))
        if self.ended is None:
            self._channels[channel.key] = channel
        else:
            channel.end(self.ended)
        return channel

    async def close(self) -> None:
        try:
            if self.ended is None:
                # All at once: they take turns on the line, and share the short time that is allowed for it.
                await asyncio.gather(*(channel.close() for channel in tuple(self._channels.values())))
        finally:  # who is cancelled gives the wire back all the same
            self.end(ChannelClosed("closed on this side"))
            await self.frames.stream.close()

    async def prepare(self, connection: HdlcClientConnection) -> None:
        """The line is taken, and SNRM comes next: do what the line needs before. Raises ``ChannelError``."""

    def forget(self, channel: HdlcChannel) -> None:
        """The channel is closed: its addresses are free again."""
        if self._channels.get(channel.key) is channel:
            del self._channels[channel.key]

    def _on_frame(self, frame: Frame) -> None:
        self.unanswered = 0
        channel = self._channels.get(pair(frame.destination, frame.source))
        if channel is None:
            self.strays += 1
            apdu = apdu_of_unasked(frame)
            if apdu is not None and self._on_stray is not None:
                self._on_stray(frame.source.logical, apdu)
        else:
            channel.on_frame(frame)

    def end(self, error: ChannelError) -> None:
        """Nothing more can be said over it; its channels are told why. The first reason stays."""
        self.ended = self.ended or error
        for channel in tuple(self._channels.values()):
            channel.end(error)


class HdlcChannel(ApduChannel):
    """A client's conversation: SNRM, exchanges in turn, DISC.

    ``send`` returns when the first frame is out; acknowledgements, further segments, repetitions and polls follow by
    themselves, and what goes wrong with them is raised by ``receive``. A ``receive`` that times out, or is cancelled,
    while an answer is due ends the conversation: the numbers of both sides may differ from then on.

    What a meter says unasked (UI frames) comes out of ``receive`` as well, before ``open`` too: a channel that is
    never opened only listens. While ``INBOX_APDUS_MAX`` APDUs wait to be received, UI frames are dropped, and the meter
    is told with RNR to hold the rest of a long answer back.
    """

    def __init__(self, link: HdlcLink, connection: HdlcClientConnection, address: Address) -> None:
        self.address = address
        self.key = pair(connection.own, connection.peer)
        self._link = link
        self._connection = connection
        self._inbox = Inbox()
        self._unread = 0
        self._loop = asyncio.get_running_loop()
        self._deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._holds_line = False
        self._settled: asyncio.Future[None] | None = None  # open() and close() wait for the server's word
        self._closed = False

    @property
    def repeats(self) -> int:
        return self._connection.repeats

    @property
    def is_connected(self) -> bool:
        """The server may think so: SNRM was said, and no DISC was answered or given up."""
        return self._connection.state not in {State.DISCONNECTED, State.ENDED}

    async def open(self, timeout_seconds: float) -> None:
        self._check_open()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._take_line()
                self._check_open()  # it may have been closed while the line was in use
                await self._link.prepare(self._connection)
                self._check_open()
                await self._say_and_settle(self._connection.connect())
        except TimeoutError:
            self._fail(ChannelTimeout(f"the meter did not connect within {timeout_seconds:g} s"))
        except asyncio.CancelledError:
            self._fail(ChannelClosed("given up while connecting"))
            raise
        finally:
            self._step()
        if self._connection.state is not State.READY:
            raise again(self._inbox.ended or ChannelClosed("closed while connecting"))

    async def send(self, apdu: bytes) -> None:
        if self._connection.state is State.READY:
            await self._take_line()
        frames = self._link.frames
        try:
            self._check_open()
            if not self._connection.has_room:
                raise NotSentError(f"{INBOX_APDUS_MAX} APDUs wait to be received before more is asked")
            frames.write(*self._connection.send(apdu))
        finally:
            self._step()
        if frames.stream.congested:
            await frames.stream.drain()

    async def send_unasked(self, apdu: bytes) -> None:
        if self._connection.state is State.READY:
            await self._take_line()
        frames = self._link.frames
        try:
            self._check_open()
            frames.write(self._connection.send_unasked(apdu))
        finally:
            self._step()
        if frames.stream.congested:
            await frames.stream.drain()

    async def receive(self, timeout_seconds: float | None) -> bytes:
        try:
            apdu = await self._inbox.get(timeout_seconds)
        except ChannelTimeout as error:
            if self._connection.asking:
                self._fail(error)
            raise
        except asyncio.CancelledError:
            if self._connection.asking:
                self._fail(ChannelClosed("given up while an answer was due"))
            raise
        self._count_unread(-1)
        return apdu

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._inbox.end(ChannelClosed("closed on this side"))
        self._settle()  # whoever is in open() just now
        try:
            with suppress(TimeoutError, ChannelError):
                async with asyncio.timeout(DISCONNECT_WAIT_SECONDS):
                    await self._disconnect()
        finally:
            self._connection.give_up()
            self._step()
            self._let_line_go()
            self._link.forget(self)

    def hang_up(self) -> None:
        self._link.frames.stream.hang_up()

    def on_frame(self, frame: Frame) -> None:
        """Called by the link with each frame between our two addresses."""
        if frame.kind is Kind.UI:  # beside all exchanges, and no reason to wait longer for an answer
            self._put(self._connection.unasked(frame))
            return
        try:
            reaction = self._connection.receive(frame)
        except ChannelError as error:
            self._fail(error)
            return
        if reaction is None:
            return
        self._put(reaction.apdu)
        self._link.frames.reply(*reaction.frames)
        self._step()

    def end(self, error: ChannelError) -> None:
        """The wire is gone."""
        self._fail(error)

    async def _disconnect(self) -> None:
        if self._link.ended is not None or self._connection.state is State.DISCONNECTED:
            return
        if not self._holds_line:
            await self._take_line()
        frame = self._connection.disconnect()
        if frame is not None:
            await self._say_and_settle(frame)

    async def _say_and_settle(self, frame: Frame) -> None:
        """Say SNRM or DISC and wait until the connection has reached what it was meant for, or failed."""
        settled = self._settled = self._loop.create_future()
        self._link.frames.write(frame)
        self._step()
        try:
            await settled
        finally:
            if self._settled is settled:  # else close() waits for its own word by now
                self._settled = None

    def _step(self) -> None:
        """After anything that happened: set the deadline anew, give the line away when the exchange is over."""
        wait_seconds = self._connection.wait_seconds
        if wait_seconds is not None:
            self._deadline = self._loop.time() + wait_seconds
            # Nearly every frame comes in time, so the timer is left to stand, and looks at the deadline when it rings.
            if self._timer is None or self._timer.when() > self._deadline:
                self._stop_timer()
                self._timer = self._loop.call_at(self._deadline, self._on_timer)
            return
        self._deadline = inf
        if self._connection.state is not State.READY:
            self._stop_timer()
        self._let_line_go()
        self._settle()

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _on_timer(self) -> None:
        self._timer = None
        deadline = self._deadline
        if self._loop.time() < deadline:
            if deadline < inf:
                self._timer = self._loop.call_at(deadline, self._on_timer)
            return
        # Perhaps the answer is there, behind the beginning of a frame that never came to its end.
        self._link.frames.resynchronise()
        if self._deadline != deadline:
            return
        try:
            self._link.frames.reply(self._connection.on_timeout())
        except ChannelTimeout as error:
            self._fail(error)
            return
        self._step()

    def _fail(self, error: ChannelError) -> None:
        self._connection.give_up()
        self._inbox.end(error)
        self._step()

    def _put(self, apdu: bytes | None) -> None:
        if apdu is not None and self._inbox.ended is None:
            self._inbox.put(apdu)
            self._count_unread(+1)

    def _count_unread(self, change: int) -> None:
        self._unread += change
        self._connection.has_room = self._unread < INBOX_APDUS_MAX

    def _check_open(self) -> None:
        if self._inbox.ended is not None:
            raise NotSentError(f"the channel is closed: {self._inbox.ended}")

    async def _take_line(self) -> None:
        line = self._link.line
        if line.locked():
            try:
                async with asyncio.timeout(LINE_WAIT_SECONDS):
                    await line.acquire()
            except TimeoutError:
                raise NotSentError(f"the line was in use for {LINE_WAIT_SECONDS:g} s") from None
        else:
            await line.acquire()
        self._holds_line = True

    def _let_line_go(self) -> None:
        if self._holds_line:
            self._holds_line = False
            self._link.line.release()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
