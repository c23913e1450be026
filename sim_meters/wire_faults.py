"""WireFaults: one answer broken on its way to the wire, below the framing.

The meter decides that an answer is to be broken, and its bytes pass here in the same turn of the event loop; so one
``WireFaults`` serves all meters behind a listener. ``listen(..., through=wire.filter)`` puts it into every connection.
Answers that do not pass a byte stream, or wait in HDLC for their turn to speak, stay whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sim_meters.faults import Fault
from transports.stream import ByteStream, PassingStream

WIRE_FAULTS = (Fault.BAD_FCS, Fault.HALF_FRAME, Fault.DUPLICATE_FRAME)

_FLAG = 0x7E  # around HDLC frames (IEC 62056-46)
_FCS_LAST = -2  # the last octet of the check sequence stands before the flag


class WireFaults:
    """What becomes of the next bytes."""

    def __init__(self) -> None:
        self._next: Fault | None = None
        self._is_used = False

    @property
    def is_used(self) -> bool:
        """Whether it stands in any connection: elsewhere nothing can be broken."""
        return self._is_used

    def filter(self, stream: ByteStream) -> ByteStream:
        """Put it into a connection: a ``StreamFilter``."""
        self._is_used = True
        return _BrokenStream(stream, self)

    @contextmanager
    def breaking(self, fault: Fault | None) -> Iterator[None]:
        """The first bytes that are written now are broken so."""
        self._next = fault
        try:
            yield
        finally:
            self._next = None

    def take(self) -> Fault | None:
        """What is to become of these bytes; of the next ones, nothing."""
        fault, self._next = self._next, None
        return fault


class _BrokenStream(PassingStream):
    def __init__(self, inner: ByteStream, faults: WireFaults) -> None:
        super().__init__(inner)
        self._faults = faults

    def write(self, data: bytes) -> None:
        is_hdlc = data[:1] == bytes((_FLAG,))
        match self._faults.take():
            case Fault.BAD_FCS:
                self._inner.write(_with_wrong_fcs(data) if is_hdlc else _with_wrong_version(data))
            case Fault.HALF_FRAME if is_hdlc:
                self._inner.write(data[: len(data) // 2])
            case Fault.HALF_FRAME:
                # What came next would be taken for the other half: a meter whose modem failed is cut off.
                self._inner.write(data[: len(data) // 2])
                self._inner.hang_up()
            case Fault.DUPLICATE_FRAME:
                self._inner.write(data)
                self._inner.write(data)  # a message of its own, where there are messages below
            case _:
                self._inner.write(data)


def _with_wrong_fcs(data: bytes) -> bytes:
    """One bit of the check sequence turned over, but none that would make a flag of it."""
    broken = bytearray(data)
    broken[_FCS_LAST] ^= 0x02 if broken[_FCS_LAST] ^ 0x01 == _FLAG else 0x01
    return bytes(broken)


def _with_wrong_version(data: bytes) -> bytes:
    """The wrapper has no check sequence: its header begins with version 1 (IEC 62056-47)."""
    return data[:1] + bytes((data[1] ^ 0x80,)) + data[2:]
