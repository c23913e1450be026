"""Observers: they hear both directions of a link and make events of it. One for each framing.

Bytes in, events out; no clock here, times come with the bytes. Events leave in the order of what happened. A frame
that holds a part of an APDU can be shown only when the APDU is whole, because nobody can tell before where its secrets
are; it, and all that comes after it, is held back until then, or until it is clear that the rest will not come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from transports.trace.trace import Describe, Description, Direction, Layer, LinkName, Mask, Trace, TraceEvent

MASK = b"*"
CONVERSATIONS_MAX = 256
"""Conversations of one link whose questions are remembered."""
HELD_BYTES_MAX = 1 << 18
"""Of frames that wait for the rest of their APDU, and of events behind them: some of the longest APDUs."""
_EVENT_WEIGHT = 256


@dataclass(slots=True, eq=False, repr=False)
class Held:
    """An event that is not complete yet. ``octets`` is what may be shown, once that is known."""

    time: datetime
    layer: Layer
    direction: Direction
    details: dict[str, object]
    octets: bytes | None = field(default=None, repr=False)
    description: Description | None = None
    is_complete: bool = True
    size: int = 0
    """Octets that it keeps while it waits."""

    @property
    def weight(self) -> int:
        return self.size + _EVENT_WEIGHT


@dataclass(slots=True, eq=False, repr=False)
class Conversation:
    """What is known about one client and one server on a link."""

    mask: Mask | None
    describe: Describe | None


class Observer(ABC):
    """Hears one link."""

    def __init__(self, link: LinkName, trace: Trace) -> None:
        self._link = link
        self._knowledge = trace.knowledge
        self._tell = trace.tell
        self._conversations: dict[Hashable, Conversation] = {}
        self._queue: deque[Held] = deque()
        self._queued_size = 0

    def hear(self, direction: Direction, data: bytes, time: datetime) -> None:
        """Some bytes have passed."""
        octets = data if self._knowledge.shows_secrets else None
        self.put(Held(time, Layer.BYTES, direction, {"size": len(data)}, octets))
        self.find_frames(direction, data, time)
        if self._queued_size > HELD_BYTES_MAX:
            self.give_up()
        self._flush()

    def end(self) -> None:
        """Nothing more will pass."""
        self.give_up()
        self._flush()

    @abstractmethod
    def find_frames(self, direction: Direction, data: bytes, time: datetime) -> None:
        """Put what was found in these bytes and those before."""

    @abstractmethod
    def give_up(self) -> None:
        """Complete the events that wait for the rest of an APDU: it will not come."""

    def put(self, event: Held) -> None:
        self._queue.append(event)
        self._queued_size += event.weight

    def note(self, direction: Direction, time: datetime, text: str) -> None:
        self.put(Held(time, Layer.NOTE, direction, {"note": text}))

    def is_from_client(self, direction: Direction) -> bool:
        return (direction is Direction.SENT) is not self._link.is_meter

    def show(self, key: Hashable, last_frame: Held, apdu: bytes, names: Mapping[str, object]) -> bytes:
        """Put the events of a whole APDU that ends with this frame; what may be shown of it."""
        conversation = self._conversation(key)
        masked = apdu if conversation.mask is None else conversation.mask(apdu)
        time, direction = last_frame.time, last_frame.direction
        sender = "client" if self.is_from_client(direction) else "server"
        name = self._knowledge.name(apdu)
        description = None if conversation.describe is None else conversation.describe(apdu, masked, sender)
        last_frame.details["apdu"] = name
        last_frame.description = description
        self.put(Held(time, Layer.APDU, direction, {**names, "apdu": name, "size": len(apdu)}, masked, description))
        if description is not None:
            self.put(Held(time, Layer.VALUE, direction, {**names, "apdu": name}, None, description))
        return masked

    def hidden(self, octets: bytes) -> bytes:
        """Octets that belong to no whole APDU."""
        return octets if self._knowledge.shows_secrets else MASK * len(octets)

    def forget(self, key: Hashable) -> None:
        """The conversation begins anew."""
        self._conversations.pop(key, None)

    def _conversation(self, key: Hashable) -> Conversation:
        if key not in self._conversations:
            if len(self._conversations) >= CONVERSATIONS_MAX:
                self._conversations.clear()
            new_mask, new_describe = self._knowledge.new_mask, self._knowledge.new_describe
            self._conversations[key] = Conversation(
                None if new_mask is None else new_mask(), None if new_describe is None else new_describe()
            )
        return self._conversations[key]

    def _flush(self) -> None:
        queue = self._queue
        while queue and queue[0].is_complete:
            held = queue.popleft()
            self._queued_size -= held.weight
            self._tell(
                TraceEvent(
                    held.time, self._link, held.layer, held.direction, held.octets, held.details, held.description
                )
            )
