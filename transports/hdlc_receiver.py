"""FrameReceiver: finds HDLC frames in a stream of bytes (IEC 62056-46).

The length in the format field rules: there is no byte stuffing, and 7E may stand anywhere inside a frame. One 7E may
close a frame and open the next. Pure: bytes in, frames out.
"""

from __future__ import annotations

from dataclasses import dataclass

from transports.hdlc_frame import (
    FLAG,
    FRAME_TYPE,
    LENGTH_MASK,
    LENGTH_MIN,
    SEGMENTED,
    Frame,
    check_sum,
    decode_address,
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


@dataclass(frozen=True, slots=True)
class _Found:
    frame: Frame
    end: int
    """Where its closing flag stands, which may open the next frame."""


@dataclass(frozen=True, slots=True)
class _Broken:
    end: int
    """From where on a frame may begin again."""
    counts: bool = False
    """It looked like a frame, and was not just noise."""


@dataclass(frozen=True, slots=True)
class _Incomplete:
    size: int
    """How many bytes there must be, counted from the opening flag, before more can be told."""


@dataclass(frozen=True, slots=True)
class _Header:
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
    start, end, header_end = at + 1, header.end, header.control_at + 1
    has_information = end != header_end + 2
    if has_information:
        if end < header_end + 4:
            return _Broken(start)
        if len(buffer) < header_end + 2:
            return _Incomplete(header_end + 2 - at)
        if check_sum(buffer[start:header_end]) != buffer[header_end : header_end + 2]:
            return _Broken(start, counts=True)
    if len(buffer) <= end:
        return _Incomplete(end + 1 - at)
    if buffer[end] != FLAG:
        return _Broken(start, counts=True)
    if check_sum(buffer[start : end - 2]) != buffer[end - 2 : end]:
        # With a good header the length is true, and what looks like a frame inside it is somebody's data.
        return _Broken(end if has_information else start, counts=True)
    frame = Frame(
        destination=decode_address(bytes(buffer[start + 2 : header.source_at])),
        source=decode_address(bytes(buffer[header.source_at : header.control_at])),
        control=buffer[header.control_at],
        information=bytes(buffer[header_end + 2 : end - 2]) if has_information else b"",
        segmented=header.segmented,
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
    source_at = _after_address(buffer, start + 2)
    control_at = _after_address(buffer, source_at) if source_at > 0 else source_at
    if control_at < 0:
        return _Broken(start)
    if not control_at or there <= control_at:
        return _Incomplete(there - at + 1)
    return _Header(source_at, control_at, start + length, bool(layout & SEGMENTED))


def _after_address(buffer: bytearray, at: int) -> int:
    """The index behind the address that begins at ``at``; 0: not all of it is there yet; -1: this is no address."""
    for size in (1, 2, 3, 4):
        if at + size > len(buffer):
            return 0
        if buffer[at + size - 1] & 1:
            return -1 if size == 3 else at + size
    return -1
