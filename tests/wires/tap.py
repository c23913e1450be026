"""A tap on the meter's end of a byte stream: it can lose what passes, and break the stream after so many bytes."""

from __future__ import annotations

from collections.abc import Callable

from transports.channel import ChannelError
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

Piece = Callable[[str, int, bytes], bytes]
"""Direction, a number counted from 0, and what was written at once; gives what becomes of it."""


class Carried:
    """Counts what a wire carries, and knows when it breaks. ``up`` is to the meter, ``down`` from it."""

    def __init__(self) -> None:
        self.bytes = {"up": 0, "down": 0}
        """So far, as are the pieces."""
        self.pieces = {"up": 0, "down": 0}
        self.change: Piece = lambda _direction, _number, data: data
        self.breaks_after: dict[str, int] = {}
        """Direction -> bytes after which the wire breaks, once."""

    def pass_on(self, direction: str, data: bytes) -> tuple[bytes, bool]:
        """What of these bytes gets through, and whether the wire breaks then."""
        number = self.pieces[direction]
        self.pieces[direction] += 1
        data = self.change(direction, number, data)
        most = self.breaks_after.get(direction)
        left = len(data) if most is None else most - self.bytes[direction]
        breaks = left < len(data)
        if breaks:
            data = data[:left]
            self.breaks_after.clear()
        self.bytes[direction] += len(data)
        return data, breaks


class Tap:
    """One for all streams of a meter's listener; ``through=tap.filter``."""

    def __init__(self) -> None:
        self.carried = Carried()
        self.is_silent = False
        """Nothing passes, either way."""
        self.noise: Callable[[], bytes] = bytes
        """Gives what is heard on the line before anything that comes to the meter."""
        self._streams: list[_TappedStream] = []

    def filter(self, stream: ByteStream) -> ByteStream:
        tapped = _TappedStream(stream, self)
        self._streams.append(tapped)
        return tapped

    def pull_the_plug(self) -> None:
        """The meter's end of the wire is gone."""
        for stream in tuple(self._streams):
            stream.hang_up()

    def forget(self, stream: _TappedStream) -> None:
        """It has ended."""
        if stream in self._streams:
            self._streams.remove(stream)


class _TappedStream(PassingStream):
    def __init__(self, inner: ByteStream, tap: Tap) -> None:
        super().__init__(inner)
        self._tap = tap

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            if self._tap.is_silent:
                return
            data, breaks = self._tap.carried.pass_on("up", self._tap.noise() + data)
            if data:
                on_bytes(data)
            if breaks:
                self.hang_up()

        def closed(error: ChannelError) -> None:
            self._tap.forget(self)
            on_closed(error)

        self._inner.start(arrived, closed)

    def write(self, data: bytes) -> None:
        if self._tap.is_silent:
            return
        data, breaks = self._tap.carried.pass_on("down", data)
        if data:
            self._inner.write(data)
        if breaks:
            self.hang_up()

    async def close(self) -> None:
        self._tap.forget(self)
        await self._inner.close()

    def hang_up(self) -> None:
        self._tap.forget(self)
        self._inner.hang_up()
