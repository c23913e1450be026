"""FrameStream: HDLC frames on a byte stream, with the one time-out that framing needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from transports.channel import ChannelError, NotSentError
from transports.hdlc.connection import HdlcSettings
from transports.hdlc.frame import Frame
from transports.hdlc.receiver import FrameReceiver
from transports.stream import ByteStream


class FrameStream:
    """Frames on a byte stream; drops a frame that stops in the middle."""

    def __init__(
        self,
        stream: ByteStream,
        settings: HdlcSettings,
        on_frame: Callable[[Frame], None],
        on_closed: Callable[[ChannelError], None],
    ) -> None:
        self.stream = stream
        self._receiver = FrameReceiver()
        self.inter_octet_seconds = settings.inter_octet_timeout_seconds
        """A frame that stops in the middle for so long is dropped."""
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._timer: asyncio.TimerHandle | None = None
        stream.start(self._on_bytes, self._on_end)

    @property
    def dropped(self) -> int:
        """Broken frames so far."""
        return self._receiver.dropped

    def write(self, *frames: Frame) -> None:
        """All in one piece; nothing, if there is none. Raises ``NotSentError``."""
        if frames:
            self.stream.write(b"".join([frame.encode() for frame in frames]))

    def reply(self, *frames: Frame) -> None:
        """Like ``write``; if the stream has just closed, ``on_closed`` says so soon."""
        if frames:
            with suppress(NotSentError):
                self.write(*frames)

    def resynchronise(self) -> None:
        """The rest of what has begun will not come."""
        self._stop_timer()
        for frame in self._receiver.resynchronise():
            self._on_frame(frame)

    def _on_bytes(self, data: bytes) -> None:
        self._stop_timer()
        for frame in self._receiver.receive(data):
            self._on_frame(frame)
        if self._receiver.inside_frame:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.inter_octet_seconds, self.resynchronise)

    def _on_end(self, error: ChannelError) -> None:
        self._stop_timer()
        # Link and stream know each other; parted here, they need no garbage collector.
        on_closed, self._on_frame, self._on_closed = self._on_closed, _nobody, _nobody
        on_closed(error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nobody(_what: object) -> None:
    """What still arrives after the end is for nobody."""
