"""WrapperObserver: hears a link with the wrapper."""

from __future__ import annotations

from datetime import datetime

from transports.trace.observer import Held, Observer
from transports.trace.trace import Direction, Layer, LinkName, Trace
from transports.wrapper import WrapperReceiver, wrap


class WrapperObserver(Observer):
    """Every message is a frame, and holds a whole APDU."""

    def __init__(self, link: LinkName, trace: Trace) -> None:
        super().__init__(link, trace)
        self._receivers = {direction: WrapperReceiver() for direction in Direction}

    def find_frames(self, direction: Direction, data: bytes, time: datetime) -> None:
        receiver = self._receivers[direction]
        was_lost = receiver.failure is not None
        for source, destination, apdu in receiver.receive(data):
            is_from_client = self.is_from_client(direction)
            client, server = (source, destination) if is_from_client else (destination, source)
            names = {"client_sap": client, "server_sap": server}
            frame = Held(time, Layer.FRAME, direction, {"framing": "wrapper", **names, "size": len(apdu) + 8})
            self.put(frame)
            frame.octets = wrap(source, destination, self.show((client, server), frame, apdu, names))
        if receiver.failure is not None and not was_lost:
            self.note(direction, time, f"no longer understood: {receiver.failure}")

    def give_up(self) -> None:
        """No event waits: a message is seen when it is whole."""
