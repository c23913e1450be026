"""ByteStream: an unbroken run of bytes in both directions, below any framing.

A socket, a serial line and a pipe in memory are byte streams; ``WrapperLink`` and ``HdlcLink``
make APDUs of what they carry. Bytes are *pushed*: the stream calls ``on_bytes`` as they come in, and the protocol
cores, which never wait, turn them into APDUs at once. So no reading task stands between a socket and the one who
waits for an answer, and one link serves any number of conversations.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from transports.channel import ChannelError, ChannelTimeout

OnBytes = Callable[[bytes], None]
OnClosed = Callable[[ChannelError], None]

# guess: a peer that takes nothing for so long is gone; a slow radio would settle it.
WRITE_TIMEOUT_SECONDS = 30.0
CLOSE_TIMEOUT_SECONDS = 1.0

# More than this is never kept for a peer that does not read: the stream is then closed.
UNSENT_BYTES_MAX = 1 << 20


class ByteStream(ABC):
    """One run of bytes each way. All methods belong to one event loop."""

    name: str = "stream"
    """Who is at the other end, for messages."""

    @abstractmethod
    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        """From now on call ``on_bytes`` with what arrives and, once, ``on_closed`` at the end."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Hand bytes over to be sent, now or soon. Raises ``NotSentError`` if the stream is already closed."""

    @property
    @abstractmethod
    def congested(self) -> bool:
        """So much waits to be sent that the writer has to ``drain``."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until no longer congested. Raises ``ChannelClosed``, or ``ChannelTimeout`` after 30 s."""

    @abstractmethod
    def pause_reading(self) -> None:
        """No ``on_bytes`` until ``resume_reading`` (one that is on its way may still come)."""

    @abstractmethod
    def resume_reading(self) -> None:
        """The opposite of ``pause_reading``."""

    @abstractmethod
    async def close(self) -> None:
        """Send what was written, then end. Never raises, never waits longer than 1 s; may be called twice."""

    @abstractmethod
    def hang_up(self) -> None:
        """End at once; what was not sent yet is lost."""


StreamFilter = Callable[[ByteStream], ByteStream]
"""Something to put between a stream and its framing: faults, a trace."""


class PassingStream(ByteStream):
    """Stands above another stream and lets everything pass; its children say what they do differently."""

    def __init__(self, inner: ByteStream) -> None:
        self.name = inner.name
        self._inner = inner

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._inner.start(on_bytes, on_closed)

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


class Congestion:
    """The waiting room of a stream's writers."""

    def __init__(self) -> None:
        self.on = False
        self._waiters: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        self.on = True

    def end(self) -> None:
        """Let all writers go on; those of a stream that was closed meanwhile find out by themselves."""
        self.on = False
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, name: str) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                await waiter
        except TimeoutError:
            raise ChannelTimeout(f"{name} took no bytes for {WRITE_TIMEOUT_SECONDS:g} s") from None
        finally:
            self._waiters.discard(waiter)
