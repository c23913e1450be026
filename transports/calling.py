"""Calling: all that is said to whoever opens a wire, on either side, beside the endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from transports.framing import Framing
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.stream import ByteStream, StreamFilter
from transports.trace.stream import TracedStream
from transports.trace.trace import Trace
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

# guess: a GPRS modem that answers at all answers within this; profiles of real networks would settle it.
CONNECT_TIMEOUT_SECONDS = 10.0


def as_it_is(stream: ByteStream) -> ByteStream:
    """Nothing between the wire and its framing."""
    return stream


@dataclass(frozen=True, slots=True)
class Calling:
    """The same for all links that one call opens, or one listener accepts."""

    hdlc: HdlcSettings = HDLC_DEFAULTS
    wires: WireSettings = WIRE_DEFAULTS
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    through: StreamFilter = as_it_is
    """Something between the wire and its framing, such as ``FaultyStream``."""
    trace: Trace | None = field(default=None, repr=False)
    """Sees what is on the wire itself."""

    def prepared(self, stream: ByteStream, framing: Framing, *, is_meter: bool) -> ByteStream:
        """The stream for its framing: with the trace next to the wire, and what is to be put between the two."""
        if self.trace is not None:
            traced = TracedStream(stream)
            traced.listen(self.trace, framing.observer, is_meter=is_meter)
            stream = traced
        return self.through(stream)
