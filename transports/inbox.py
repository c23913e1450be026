"""Inbox: what has arrived for one conversation and was not asked for yet."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from transports.channel import ChannelError, ChannelTimeout, again
from transports.stream import ByteStream

# Meter and head-end speak in turns, so one APDU is usual; beyond a few the sender is told to wait.
INBOX_APDUS_MAX = 8


class Inbox:
    """A short queue of APDUs with one reader, and the reason why no more will come.

    APDUs that came before the end are still handed out. A reader that is cancelled loses none.
    """

    __slots__ = ("_alarm", "_apdus", "_deadline", "_loop", "_paused", "_rings_at", "_stream", "_waiter", "ended")

    def __init__(self, stream: ByteStream | None = None) -> None:
        self.ended: ChannelError | None = None
        """Why no more will come."""
        self._apdus: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = inf
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at = inf
        self._stream = stream
        self._paused = False

    def put(self, apdu: bytes) -> None:
        self._apdus.append(apdu)
        if len(self._apdus) >= INBOX_APDUS_MAX and self._stream is not None and not self._paused:
            self._paused = True
            self._stream.pause_reading()
        self._wake()

    def end(self, error: ChannelError) -> None:
        """Nothing more will come. The first reason stays."""
        if self.ended is None:
            self.ended = error
            self._let_the_stream_go_on()
            self._stop_alarm()
            self._wake()

    async def get(self, timeout_seconds: float | None) -> bytes:
        """The next APDU. Raises ``ChannelTimeout``, or the reason of the end."""
        if self._waiter is not None:
            raise RuntimeError("two tasks receive on one channel")
        if not self._apdus and self.ended is None:
            waiter = self._waiter = self._loop.create_future()
            self._set_alarm(timeout_seconds)
            try:
                await waiter
            finally:
                self._waiter = None
        if self._apdus:
            apdu = self._apdus.popleft()
            if self._paused:
                self._let_the_stream_go_on()
            return apdu
        if self.ended is not None:
            raise again(self.ended)
        raise ChannelTimeout(f"nothing arrived within {timeout_seconds:g} s")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_alarm(self, timeout_seconds: float | None) -> None:
        # Nearly every answer comes in time, and setting and cancelling a timer for each one is the dearest part of
        # waiting. So the alarm is left to stand from one wait to the next, and looks at the deadline when it rings.
        if timeout_seconds is None:
            self._deadline = inf
            return
        self._deadline = self._loop.time() + timeout_seconds
        if self._deadline < self._rings_at:
            self._stop_alarm()
            self._rings_at = self._deadline
            self._alarm = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._alarm, self._rings_at = None, inf
        if self._waiter is None or self._deadline == inf:
            return
        left_seconds = self._deadline - self._loop.time()
        if left_seconds > 0:
            self._set_alarm(left_seconds)
        else:
            self._wake()

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm, self._rings_at = None, inf

    def _let_the_stream_go_on(self) -> None:
        if self._paused and self._stream is not None:
            self._paused = False
            self._stream.resume_reading()
