"""MemoryStream: a byte stream in memory, for tests and for both ends in one process."""

from __future__ import annotations

import asyncio

from transports.channel import ChannelClosed, ChannelError, NotSentError, again
from transports.stream import UNSENT_BYTES_MAX, ByteStream, Congestion, OnBytes, OnClosed

# Like a socket's buffer: from here on the writer has to wait for the reader.
CONGESTED_AT = 65_536


class MemoryStream(ByteStream):
    """One end of a pair. What is written arrives at the other end in one of the loop's next turns."""

    def __init__(self, name: str, incoming: _Pipe, outgoing: _Pipe) -> None:
        self.name = name
        self._incoming = incoming
        self._outgoing = outgoing

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._incoming.start(on_bytes, on_closed)

    def write(self, data: bytes) -> None:
        if self._outgoing.ended is not None:
            raise NotSentError(f"the connection to {self.name} was already closed")
        if not self._outgoing.put(data):
            self.hang_up()

    @property
    def congested(self) -> bool:
        return self._outgoing.congestion.on

    async def drain(self) -> None:
        if self._outgoing.congestion.on and self._outgoing.ended is None:
            await self._outgoing.congestion.wait(self.name)
        if self._outgoing.ended is not None:
            raise again(self._outgoing.ended)

    def pause_reading(self) -> None:
        self._incoming.pause(paused=True)

    def resume_reading(self) -> None:
        self._incoming.pause(paused=False)

    async def close(self) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        # What was written stands at the other end already and is delivered; what came in is not wanted any more.
        self._incoming.drop()
        self._incoming.end(ChannelClosed("closed on this side"))
        self._outgoing.end(ChannelClosed("the other side closed the connection"))


def stream_pair() -> tuple[MemoryStream, MemoryStream]:
    """Two connected ends: the client's, the server's."""
    up, down = _Pipe(), _Pipe()
    return MemoryStream("server", down, up), MemoryStream("client", up, down)


class _Pipe:
    """One direction."""

    def __init__(self) -> None:
        self.congestion = Congestion()
        self.ended: ChannelError | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._end_told = False
        self._on_bytes: OnBytes | None = None
        self._on_closed: OnClosed | None = None

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed
        self._wake()

    def put(self, data: bytes) -> bool:
        """False: the reader has left too much lying about."""
        if self._size + len(data) > UNSENT_BYTES_MAX:
            return False
        self._pieces.append(bytes(data))
        self._size += len(data)
        if self._size > CONGESTED_AT:
            self.congestion.begin()
        self._wake()
        return True

    def pause(self, *, paused: bool) -> None:
        self._paused = paused
        self._wake()

    def drop(self) -> None:
        self._pieces.clear()
        self._size = 0

    def end(self, error: ChannelError) -> None:
        if self.ended is None:
            self.ended = error
            self.congestion.end()
            self._wake()

    def _wake(self) -> None:
        # Never from inside the writer's call: he has not finished his thought.
        if self._on_bytes is not None:
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        if self._on_bytes is None or self._on_closed is None or self._paused:
            return
        if self._pieces:
            data = b"".join(self._pieces)
            self.drop()
            self.congestion.end()
            self._on_bytes(data)
        if self.ended is not None and not self._paused and not self._end_told:
            self._end_told = True
            self._on_closed(self.ended)
