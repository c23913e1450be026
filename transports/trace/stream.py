"""TracedStream: lets everything pass, and observers hear it, for as long as they like."""

from __future__ import annotations

import logging
from collections.abc import Callable

from transports.channel import ChannelError
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream
from transports.trace.observer import Observer
from transports.trace.trace import Direction, Layer, LinkName, Trace, TraceEvent

_log = logging.getLogger(__name__)

NewObserver = Callable[[LinkName, Trace], Observer]


class TracedStream(PassingStream):
    """A stream that can be listened to."""

    def __init__(self, inner: ByteStream) -> None:
        super().__init__(inner)
        self._listeners: list[StreamListener] = []

    def listen(self, trace: Trace, new_observer: NewObserver, *, is_meter: bool) -> StreamListener:
        """Tell this trace what passes, from now until its ``end`` or the stream's."""
        listener = StreamListener(self.name, trace, new_observer, is_meter=is_meter)
        # A new list each time: somebody may be hearing just now.
        self._listeners = [one for one in self._listeners if not one.has_ended] + [listener]
        return listener

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            for listener in self._listeners:
                listener.hear(Direction.RECEIVED, data)
            on_bytes(data)

        def closed(error: ChannelError) -> None:
            self._end(str(error))
            on_closed(error)

        self._inner.start(arrived, closed)

    def write(self, data: bytes) -> None:
        self._inner.write(data)
        for listener in self._listeners:
            listener.hear(Direction.SENT, data)

    async def close(self) -> None:
        await self._inner.close()
        self._end("closed on this side")

    def hang_up(self) -> None:
        self._inner.hang_up()
        self._end("closed on this side")

    def _end(self, why: str) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.end(why)


class StreamListener:
    """One trace's ear at a stream."""

    def __init__(self, name: str, trace: Trace, new_observer: NewObserver, *, is_meter: bool) -> None:
        self._name = name
        self._trace = trace
        self._link = trace.link(name, is_meter=is_meter)
        self._observer: Observer | None = new_observer(self._link, trace)
        self._note("link opened")

    @property
    def has_ended(self) -> bool:
        return self._observer is None

    def hear(self, direction: Direction, data: bytes) -> None:
        if self._observer is not None:
            self._safely(lambda observer: observer.hear(direction, bytes(data), self._trace.now()))

    def end(self, why: str) -> None:
        """Nothing more is heard. May be called twice."""
        if self._observer is not None:
            self._safely(lambda observer: observer.end())
            self._observer = None
            self._note(f"link closed: {why}")

    def _safely(self, act: Callable[[Observer], None]) -> None:
        assert self._observer is not None
        try:
            act(self._observer)
        except Exception as error:
            self._observer = None
            # Not the error itself: its text may repeat what was on the wire.
            _log.warning("the trace of %s ends here: %s", self._name, type(error).__name__)

    def _note(self, text: str) -> None:
        self._trace.tell(TraceEvent(self._trace.now(), self._link, Layer.NOTE, details={"note": text}))
