"""Server-sent events, read from octets (WHATWG HTML, 9.2.6). Pure."""

from __future__ import annotations

from dataclasses import dataclass

EVENT_SIZE_MAX = 1 << 20
"""Octets of one event. guess: an event of ours has less than 4 kB."""


class EventTooLong(ValueError):
    """What is sent is no stream of events, or not ours."""


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One event, as it was sent."""

    id: str
    name: str
    data: str


class EventStreamReceiver:
    """Is handed octets as they come, and gives the events that are whole. One that is cut off is no event."""

    def __init__(self) -> None:
        self._octets = b""
        self._is_after_return = False
        self._id = ""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def receive(self, octets: bytes) -> list[SentEvent]:
        """Raises ``EventTooLong``."""
        if not octets:
            return []
        if self._is_after_return:  # the rest of a CR LF that was cut in two
            octets = octets.removeprefix(b"\n")
        self._is_after_return = octets.endswith(b"\r")
        *lines, self._octets = _split(self._octets + octets)
        events = []
        for line in lines:
            self._size += len(line)
            if line:
                self._take(line.decode("utf-8", "replace"))
            elif (event := self._finish()) is not None:
                events.append(event)
        if self._size + len(self._octets) > EVENT_SIZE_MAX:
            raise EventTooLong(f"an event of more than {EVENT_SIZE_MAX} octets")
        return events

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _finish(self) -> SentEvent | None:
        event = SentEvent(self._id, self._name or "message", "\n".join(self._data)) if self._data else None
        self._name, self._data, self._size = "", [], 0
        return event


def _split(octets: bytes) -> list[bytes]:
    """Lines end with CR LF, LF or CR; the last part is not ended yet."""
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
