"""LineStream: a byte stream whose speed can be changed; and the echo of a line, taken away again."""

from __future__ import annotations

from abc import abstractmethod

from transports.channel import ChannelError
from transports.serial.format import SerialFormat
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

# An echo that did not come for so long a text is not waited for any more.
_UNHEARD_OCTETS_MAX = 8192


class LineStream(ByteStream):
    """A serial line, real or simulated."""

    line: SerialFormat
    """How octets are put on it just now."""

    @abstractmethod
    async def switch(self, line: SerialFormat) -> None:
        """Go on in another way when what was written has left. Raises ``ChannelClosed``."""


class WithoutEcho(PassingStream, LineStream):
    """Takes away what a line gives back of what we write.

    Octets that differ from what was written are no echo, or one that collided with somebody: then all of it is handed
    on, and the framing above finds out that it is garbled. So a line that has no echo after all works as well.
    """

    def __init__(self, inner: LineStream) -> None:
        super().__init__(inner)
        self._line = inner
        self._unheard = bytearray()  # written, and not yet come back
        self._matching = 0  # so many of them have come back, as they should

    @property
    def line(self) -> SerialFormat:  # type: ignore[override]
        return self._line.line

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            heard = self._without_echo(data)
            if heard:
                on_bytes(heard)

        def closed(error: ChannelError) -> None:
            self._unheard.clear()
            on_closed(error)

        self._inner.start(arrived, closed)

    def write(self, data: bytes) -> None:
        self._inner.write(data)
        self._unheard += data
        if len(self._unheard) > _UNHEARD_OCTETS_MAX:
            self._forget()

    async def switch(self, line: SerialFormat) -> None:
        await self._line.switch(line)
        self._forget()

    def _without_echo(self, data: bytes) -> bytes:
        """What is left of ``data`` for us."""
        if not self._unheard:
            return data
        size = min(len(data), len(self._unheard) - self._matching)
        if data[:size] == self._unheard[self._matching : self._matching + size]:
            self._matching += size
            if self._matching == len(self._unheard):
                self._forget()
            return data[size:]
        heard = bytes(self._unheard[: self._matching]) + data
        self._forget()
        return heard

    def _forget(self) -> None:
        self._unheard.clear()
        self._matching = 0
