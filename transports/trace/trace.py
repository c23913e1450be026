"""Trace: what goes over links, for people who want to see it: bytes, frames, APDUs and values.

How to think about it: a ``TracedStream`` stands between a wire and its framing and lets everything pass. Beside it an
``Observer`` listens to both directions with receivers of its own, as somebody would who had clamped a probe to the
wire, and makes events of what it hears. A ``Trace`` gives these events to its sinks: a ring in memory, files.

Secrets: nothing that was on the wire gets into an event as it was, unless the trace was made to show secrets. Every
whole APDU is masked by what was handed in (``Knowledge.new_mask``), and every frame is made anew around the masked
APDU. What is not part of a whole APDU is masked altogether; of single bytes only the number is told.

A trace never disturbs what it watches: it changes nothing, and if something in it fails it ends, with one line in the
log. Where no trace is wanted, nothing of this stands in the way.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

_log = logging.getLogger(__name__)

RING_EVENTS_MAX = 2_000
RING_BYTES_MAX = 1 << 20


class Direction(StrEnum):
    """Seen from this side of the link."""

    SENT = "sent"
    RECEIVED = "received"


class Layer(StrEnum):
    BYTES = "bytes"
    """A piece of the stream, as it was written or as it arrived."""
    FRAME = "frame"
    """A wrapper message or an HDLC frame."""
    APDU = "apdu"
    VALUE = "value"
    """What an APDU says."""
    NOTE = "note"
    """What happened to the link, and what could not be understood."""


class Description(Protocol):
    """What an APDU says, as a tree."""

    def to_json(self) -> Mapping[str, object]: ...

    def to_text(self) -> str: ...


Mask = Callable[[bytes], bytes]
"""An APDU with its secrets overwritten, in the same number of octets."""
Describe = Callable[[bytes, bytes, str], Description | None]
"""What an APDU says, or None. Gets the APDU as it was on the wire, as it is shown (masked), and who sent it, ``client``
or ``server``. What it tells is not masked again."""


def _tag(apdu: bytes) -> str:
    return f"tag {apdu[0]:02X}"


@dataclass(frozen=True, slots=True, repr=False)
class Knowledge:
    """What a trace has to be told about APDUs, which ``transports`` does not understand. A mask and a describer belong
    to one conversation each: they are called with every APDU of it, in order."""

    new_mask: Callable[[], Mask] | None
    """``None``: secrets are shown."""
    new_describe: Callable[[], Describe] | None = None
    name: Callable[[bytes], str] = _tag
    """What kind of APDU it is: ``get-request``."""

    @property
    def shows_secrets(self) -> bool:
        return self.new_mask is None


@dataclass(frozen=True, slots=True)
class LinkName:
    """A link in a trace: its number there, counted from 1, and who is at the other end."""

    number: int
    peer: str
    is_meter: bool
    """We are the meter's side of it."""


@dataclass(frozen=True, slots=True, repr=False)
class TraceEvent:
    """One thing that happened. ``octets`` are masked already."""

    time: datetime
    link: LinkName
    layer: Layer
    direction: Direction | None = None
    octets: bytes | None = field(default=None, repr=False)
    details: Mapping[str, object] = field(default_factory=dict)
    description: Description | None = None
    """Of the APDU that ends with this frame, or is this one."""

    def to_line(self) -> str:
        """One line of JSON."""
        told: dict[str, object] = {
            "time": self.time.isoformat(timespec="microseconds"),
            "link": self.link.number,
            "peer": self.link.peer,
            "layer": self.layer.value,
        }
        if self.direction is not None:
            told["direction"] = self.direction.value
        told |= self.details
        if self.octets is not None:
            told["hex"] = self.octets.hex().upper()
        if self.layer is Layer.VALUE and self.description is not None:
            told["value"] = self.description.to_json()
        return json.dumps(told, separators=(",", ":"), default=str)

    def __repr__(self) -> str:
        return f"<TraceEvent {self.layer} {self.direction or ''}>"


class Sink(ABC):
    """Where events go. May raise ``OSError`` or ``ValueError``: then it gets no more of them."""

    name = "trace"

    @abstractmethod
    def take(self, event: TraceEvent, line: str) -> None:
        """``line`` is the event as JSON."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more will come. May be called twice."""


class Ring(Sink):
    """The last events, as lines of JSON: at most so many, of at most so many bytes together."""

    name = "ring"

    def __init__(self, events_max: int = RING_EVENTS_MAX, bytes_max: int = RING_BYTES_MAX) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._lines: deque[str] = deque()
        self._size = 0
        self.forgotten = 0
        """Events that had to make room, or were longer than the whole ring."""

    def take(self, event: TraceEvent, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)  # ASCII: a character is a byte
        while self._size > self._bytes_max or len(self._lines) > self._events_max:
            self._size -= len(self._lines.popleft())
            self.forgotten += 1

    def close(self) -> None:
        """What is in the ring stays there."""

    def lines(self) -> tuple[str, ...]:
        """The oldest first."""
        return tuple(self._lines)


class Trace:
    """The events of any number of links. All methods belong to one event loop; none of them raises."""

    def __init__(self, knowledge: Knowledge, now: Callable[[], datetime], sinks: Sequence[Sink]) -> None:
        self.knowledge = knowledge
        self.now = now
        """The time, with its zone."""
        self._sinks = list(sinks)
        self._links = 0

    def link(self, peer: str, *, is_meter: bool) -> LinkName:
        """Name one more link."""
        self._links += 1
        return LinkName(self._links, peer, is_meter)

    def tell(self, event: TraceEvent) -> None:
        if not self._sinks:
            return
        line = event.to_line()
        for sink in tuple(self._sinks):
            try:
                sink.take(event, line)
            except (OSError, ValueError) as error:  # ValueError: a file that somebody closed
                self._sinks.remove(sink)
                reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
                _log.warning("the trace to %s ends here: %s", sink.name, reason)
                sink.close()

    def close(self) -> None:
        """All files are complete after this. May be called twice."""
        for sink in self._sinks:
            sink.close()
        self._sinks.clear()
