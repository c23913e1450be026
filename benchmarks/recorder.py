"""What goes over a link, kept as exchanges: the bytes of a request, and the bytes of its reply."""

from __future__ import annotations

from gateway.meters import Meter
from transports.channel import Link
from transports.registry import open_link
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

Recording = list[list[str]]
"""Pairs of request and reply, in hex."""


class Recorder:
    """Keeps what goes over one link, as exchanges."""

    def __init__(self) -> None:
        self._exchanges: list[tuple[bytearray, bytearray]] = []

    async def connect(self, meter: Meter) -> Link:
        return await open_link(meter.endpoint, hdlc=meter.hdlc, through=lambda stream: _Recorded(stream, self))

    def wrote(self, data: bytes) -> None:
        if not self._exchanges or self._exchanges[-1][1]:
            self._exchanges.append((bytearray(), bytearray()))
        self._exchanges[-1][0].extend(data)

    def read(self, data: bytes) -> None:
        self._exchanges[-1][1].extend(data)

    def exchanges(self) -> Recording:
        return [[request.hex(), reply.hex()] for request, reply in self._exchanges]


class _Recorded(PassingStream):
    """A stream that tells a recorder."""

    def __init__(self, stream: ByteStream, recorder: Recorder) -> None:
        super().__init__(stream)
        self._recorder = recorder

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def heard(data: bytes) -> None:
            self._recorder.read(data)
            on_bytes(data)

        self._inner.start(heard, on_closed)

    def write(self, data: bytes) -> None:
        self._recorder.wrote(data)
        self._inner.write(data)
