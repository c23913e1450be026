"""PacedStream: makes a line without a wire as slow, and as bad, as a real one; on the meter's side.

There is one line, and one octet on it at a time, whoever sends it: so there is one clock, which says until when the
line is taken. What the client wrote is heard when its time on the line is over; what the meter writes reaches the
client in small groups, each when its last octet is there. The times are counted from the beginning of a frame and not
from group to group, so that late timers do not add up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random

from transports.channel import ChannelError, NotSentError
from transports.serial.format import SerialFormat
from transports.serial.line_stream import LineStream
from transports.serial.simulated_line import SimulatedLine
from transports.stream import CLOSE_TIMEOUT_SECONDS, UNSENT_BYTES_MAX, ByteStream, OnBytes, OnClosed, PassingStream

# As much as drivers hand on at once: at 9600 baud five octets. On fast lines, fewer timers.
_GROUP_SECONDS = 0.005

# Timers come a little early or late; what is due within this is done now.
_CLOCK_SECONDS = 0.0005


class PacedStream(PassingStream, LineStream):
    """A stream at the speed of a line; or, not ``paced``, one that is only as bad as a line."""

    def __init__(
        self, inner: ByteStream, line: SerialFormat, simulated: SimulatedLine, rng: Random, *, paced: bool
    ) -> None:
        super().__init__(inner)
        self.line = line
        self._simulated = simulated
        self._rng = rng
        self._paced = paced
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0
        self._due: deque[tuple[float, bytes, Callable[[bytes], None]]] = deque()
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._ended = False

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            if self._simulated.echo:
                self._put_in_groups(data, self._send)
            else:
                self._take(len(data))
            self._put(data, on_bytes)

        def closed(error: ChannelError) -> None:
            self._stop()
            on_closed(error)

        self._inner.start(arrived, closed)

    def write(self, data: bytes) -> None:
        if self._ended:
            raise NotSentError(f"the line {self.name} was already closed")
        # Both chances are drawn every time, so that changing the rate does not shuffle what follows.
        is_noisy = self._rng.random() < self._simulated.noise
        noise = self._rng.randbytes(self._rng.randint(1, self._simulated.noise_octets_max))
        self._put_in_groups(noise + data if is_noisy else data, self._send)

    async def switch(self, line: SerialFormat) -> None:
        """What was written before keeps its time: it was worked out then."""
        self.line = line

    async def close(self) -> None:
        if self._due and not self._ended:
            self._empty = self._loop.create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await self._empty
        self._stop()
        await self._inner.close()

    def hang_up(self) -> None:
        self._stop()
        self._inner.hang_up()

    def _send(self, data: bytes) -> None:
        with suppress(NotSentError):  # nobody is there to hear it
            self._inner.write(data)

    def _put_in_groups(self, data: bytes, deliver: Callable[[bytes], None]) -> None:
        size = max(1, int(_GROUP_SECONDS / self.line.octet_seconds)) if self._paced else len(data)
        for start in range(0, len(data), size):
            group = data[start : start + size]
            self._take(len(group))
            self._put(group, deliver)
            self._free_at += self._simulated.gap_seconds

    def _take(self, octets: int) -> None:
        """The line is taken for so many octets more."""
        octet_seconds = self.line.octet_seconds if self._paced else 0.0
        self._free_at = max(self._free_at, self._loop.time()) + octets * octet_seconds

    def _put(self, data: bytes, deliver: Callable[[bytes], None]) -> None:
        """Deliver when the line is free again."""
        self._due.append((self._free_at, data, deliver))
        self._size += len(data)
        if self._size > UNSENT_BYTES_MAX:
            self.hang_up()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._free_at, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        now = self._loop.time() + _CLOCK_SECONDS
        while self._due and self._due[0][0] <= now:
            _, data, deliver = self._due.popleft()
            self._size -= len(data)
            deliver(data)
        if self._ended:
            return
        if self._due and self._timer is None:
            self._timer = self._loop.call_at(self._due[0][0], self._deliver)
        if not self._due and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _stop(self) -> None:
        self._ended = True
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)
