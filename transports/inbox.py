"""Inbox: what has arrived for one conversation and was not asked for yet."""

from __future__ import annotations

import asyncio
from collections import deque

from transports.channel import ChannelError, ChannelTimeout, again
from transports.stream import ByteStream

# Meter and head-end speak in turns, so one APDU is usual; beyond a few the sender is told to wait.
INBOX_APDUS_MAX = 8


class Inbox:
    """A short queue of APDUs with one reader, and the reason why no more will come.

    APDUs that came before the end are still handed out. A reader that is cancelled loses none.
    """

    __slots__ = ("_apdus", "_end", "_loop", "_paused", "_stream", "_waiter")

    def __init__(self, stream: ByteStream | None = None) -> None:
        self._apdus: deque[bytes] = deque()
        self._end: ChannelError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._paused = False

    @property
    def ended(self) -> ChannelError | None:
        return self._end

    def put(self, apdu: bytes) -> None:
        self._apdus.append(apdu)
        if len(self._apdus) >= INBOX_APDUS_MAX and self._stream is not None and not self._paused:
            self._paused = True
            self._stream.pause_reading()
        self._wake()

    def end(self, error: ChannelError) -> None:
        """Nothing more will come. The first reason stays."""
        if self._end is None:
            self._end = error
            self._let_the_stream_go_on()
            self._wake()

    async def get(self, timeout_seconds: float | None) -> bytes:
        """The next APDU. Raises ``ChannelTimeout``, or the reason of the end."""
        if self._waiter is not None:
            raise RuntimeError("two tasks receive on one channel")
        if not self._apdus and self._end is None:
            await self._wait(timeout_seconds)
        if self._apdus:
            apdu = self._apdus.popleft()
            self._let_the_stream_go_on()
            return apdu
        if self._end is not None:
            raise again(self._end)
        raise ChannelTimeout(f"nothing arrived within {timeout_seconds:g} s")

    async def _wait(self, timeout_seconds: float | None) -> None:
        # A bare timer: asyncio.timeout() costs several times as much, and this is every answer's way.
        waiter = self._waiter = self._loop.create_future()
        timer = None if timeout_seconds is None else self._loop.call_later(timeout_seconds, self._wake)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _let_the_stream_go_on(self) -> None:
        if self._paused and self._stream is not None:
            self._paused = False
            self._stream.resume_reading()
