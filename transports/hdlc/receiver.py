"""FrameReceiver: finds HDLC frames in a stream of bytes (IEC 62056-46).

The length in the format field rules: there is no byte stuffing, and 7E may stand anywhere inside a frame. One 7E may
close a frame and open the next. Pure: bytes in, frames out.
"""

from __future__ import annotations

from typing import NamedTuple

from transports.hdlc.frame import (
    FLAG,
    FRAME_TYPE,
    LENGTH_MASK,
    LENGTH_MIN,
    SEGMENTED,
    SUM_GOOD,
    Frame,
    decode_address,
    running_sum,
)


class FrameReceiver:
    """Finds frames in a stream that arrives in pieces of any size, with noise between and bit errors inside.

    A place where a frame could begin is either a frame, or not one, or cannot be told yet. The header check sum
    settles early whether the length can be believed, so that noise does not make the receiver wait for bytes that
    nobody will send. If bytes of a real frame were lost on the way, the owner of time calls ``resynchronise``.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """Frames begun and found broken: wrong check sum, no flag where the length says, cut short."""
        self._buffer = bytearray()
        self._needed = 0

    @property
    def inside_frame(self) -> bool:
        """Something has begun that may become a frame."""
        return len(self._buffer) > 1

    def receive(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Never fails: what is no frame is skipped."""
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._needed:
            return []
        frames: list[Frame] = []
        at = 0
        self._needed = 0
        while (at := buffer.find(FLAG, at)) >= 0:
            # Most frames end with the bytes that came in, and begin behind the last one's flag.
            if at + 1 == len(buffer):
                break
            if buffer[at + 1] == FLAG:
                at += 1
                continue
            found = _examine(buffer, at)
            if isinstance(found, _Found):
                frames.append(found.frame)
                at = found.end
            elif isinstance(found, _Broken):
                self.dropped += found.counts
                at = found.end
            else:
                self._needed = found.size
                break
        del buffer[: at if at >= 0 else len(buffer)]
        return frames

    def resynchronise(self) -> list[Frame]:
        """The rest of what has begun will not come: drop it, and return frames that stood behind its beginning."""
        frames: list[Frame] = []
        while self.inside_frame:
            del self._buffer[0]
            self._needed = 0
            self.dropped += 1
            frames += self.receive(b"")
        return frames


class _Found(NamedTuple):
    frame: Frame
    end: int
    """Where its closing flag stands, which may open the next frame."""


class _Broken(NamedTuple):
    end: int
    """From where on a frame may begin again."""
    counts: bool = False
    """It looked like a frame, and was not just noise."""


class _Incomplete(NamedTuple):
    size: int
    """How many bytes there must be, counted from the opening flag, before more can be told."""


class _Header(NamedTuple):
    source_at: int
    control_at: int
    end: int
    """Where the closing flag should stand."""
    segmented: bool


def _examine(buffer: bytearray, at: int) -> _Found | _Broken | _Incomplete:
    """Is there a frame whose opening flag stands at ``at``?"""
    header = _header(buffer, at)
    if not isinstance(header, _Header):
        return header
    source_at, control_at, end, segmented = header
    start, header_end, there = at + 1, control_at + 1, len(buffer)
    has_information = end != header_end + 2
    if has_information:
        if end < header_end + 4:
            return _Broken(start)
        if there < header_end + 2:
            return _Incomplete(header_end + 2 - at)
        if running_sum(buffer[start : header_end + 2]) != SUM_GOOD:
            return _Broken(start, counts=True)
    if there <= end:
        return _Incomplete(end + 1 - at)
    if buffer[end] != FLAG:
        return _Broken(start, counts=True)
    # Behind a good header it goes on from there.
    whole = running_sum(buffer[header_end + 2 : end], SUM_GOOD) if has_information else running_sum(buffer[start:end])
    if whole != SUM_GOOD:
        # With a good header the length is true, and what looks like a frame inside it is somebody's data.
        return _Broken(end if has_information else start, counts=True)
    frame = Frame(
        destination=decode_address(bytes(buffer[start + 2 : source_at])),
        source=decode_address(bytes(buffer[source_at:control_at])),
        control=buffer[control_at],
        information=bytes(buffer[header_end + 2 : end - 2]) if has_information else b"",
        segmented=segmented,
    )
    return _Found(frame, end)


def _header(buffer: bytearray, at: int) -> _Header | _Broken | _Incomplete:
    start, there = at + 1, len(buffer)
    if there > start and buffer[start] & 0xF0 != FRAME_TYPE >> 8:
        return _Broken(start)
    if there < start + 2:
        return _Incomplete(there - at + 1)
    layout = buffer[start] << 8 | buffer[start + 1]
    length = layout & LENGTH_MASK
    if length < LENGTH_MIN:
        return _Broken(start)
    source_at = _after_address(buffer, start + 2, there)
    control_at = _after_address(buffer, source_at, there) if source_at > 0 else source_at
    if control_at < 0:
        return _Broken(start)
    if not control_at or there <= control_at:
        return _Incomplete(there - at + 1)
    return _Header(source_at, control_at, start + length, bool(layout & SEGMENTED))


def _after_address(buffer: bytearray, at: int, there: int) -> int:
    """The index behind the address that begins at ``at``; 0: not all of it is there yet; -1: this is no address."""
    if there > at and buffer[at] & 1:
        return at + 1
    for end in range(at + 1, at + 5):
        if end > there:
            return 0
        if buffer[end - 1] & 1:
            return -1 if end == at + 3 else end
    return -1
