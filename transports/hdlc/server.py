"""The server's half of an HDLC connection: answers when it is asked. Pure; see ``hdlc.py`` for how to think about it.

A server has no time-outs and no choice of its own; it holds a *turn* from the moment a frame of the client hands it
over until it has answered. What happens with a frame follows from four questions: is it the I frame that is expected
next, and is there room for it? Does it hand over the turn? And does an answer stand ready, partly sent or not?
"""

from __future__ import annotations

from collections import deque

from transports.channel import NotSentError
from transports.hdlc.connection import LLC_RESPONSE, HdlcConnection, HdlcSettings, Parameters, Reaction
from transports.hdlc.frame import UA, Frame, HdlcAddress, Kind

# More than this is not kept for a client that asks on without fetching its answers.
UNFETCHED_BYTES_MAX = 1 << 18
UNASKED_MAX = 8
"""So many UI frames wait for a client to poll."""


class HdlcServerConnection(HdlcConnection):
    """One connection with one client, from its SNRM on. SNRM, DISC and DM are above it, in the link."""

    def __init__(self, own: HdlcAddress, peer: HdlcAddress, settings: HdlcSettings, proposal: bytes) -> None:
        """``proposal``: the information of the SNRM. Raises ``ChannelGarbled``."""
        super().__init__(own, peer, settings, LLC_RESPONSE)
        self.parameters = Parameters.offered(settings).agreed_with(Parameters.decode(proposal))
        self.untouched = True
        """Nothing was said since SNRM: the same SNRM again is a repetition, not a new conversation."""
        self._turn = False
        self._asked = False  # a request was handed over, and no answer has come back yet
        self._unasked: deque[Frame] = deque()

    def accept(self) -> Frame:
        """UA, with what was agreed."""
        return self._frame(UA, self.parameters.encode())

    def send(self, apdu: bytes) -> tuple[Frame, ...]:
        """An answer. Nothing: it waits until the client asks for it. Raises ``NotSentError``."""
        self._check_size(apdu)
        if len(self._to_send) * self.parameters.info_max_tx > UNFETCHED_BYTES_MAX:
            raise NotSentError("the client has not fetched the answers before this one")
        self.untouched = False
        self._asked = False
        self._put(apdu)
        if not self._turn or self._sent:
            return ()
        self._turn = False
        return self._run()

    def send_unasked(self, apdu: bytes) -> tuple[Frame, ...]:
        """A UI frame, at once or ahead of what the client hears next. Raises ``NotSentError``: no room for it."""
        frame = self._unasked_frame(apdu)
        if len(self._unasked) >= UNASKED_MAX:
            raise NotSentError(f"{UNASKED_MAX} notifications wait already for the client to poll")
        self._unasked.append(frame)
        return self._take_unasked() if self._turn or self.settings.unasked_at_once else ()

    def receive(self, frame: Frame) -> Reaction | None:
        """Take a frame from our client; ``None`` if it changed nothing. Raises ``ChannelGarbled``."""
        match frame.kind:
            case Kind.INFORMATION:
                reaction = self._on_information(frame)
            case Kind.RR | Kind.REJ | Kind.RNR:
                reaction = self._on_ready(frame)
            case Kind.UI:
                apdu = self.unasked(frame)
                return None if apdu is None else Reaction(apdu=apdu)
            case _:  # the others are not for a client to say, or not for here
                reaction = None
        if reaction is None:
            self._ignore()
            return None
        self.untouched = False
        if not self._ends_turn(frame):
            self._turn = False
            return reaction
        self._turn = not reaction.frames
        return reaction._replace(frames=self._take_unasked() + reaction.frames) if self._unasked else reaction

    def _on_information(self, frame: Frame) -> Reaction | None:
        ahead, window = (frame.send_number - self._receive_number) % 8, self.parameters.window_rx
        if window <= ahead < 8 - window:
            return None  # neither of this run nor of the one before
        self._acknowledge(frame.receive_number)
        taken = ahead == 0 and self.has_room
        apdu = self._gather(frame) if taken else None
        if apdu is not None:
            self._asked = True
        if not self._ends_turn(frame):
            return Reaction(apdu=apdu)
        if apdu is not None:
            # Something still to be fetched goes first. Else the turn is kept until the answer is there.
            return Reaction(self._run() if self._to_send else (), apdu)
        if taken:
            return Reaction((self._ready(),))
        return self._on_refused(repeated=ahead != 0)

    def _on_refused(self, *, repeated: bool) -> Reaction:
        """A run ended with an I frame that was not taken: repeated, behind a hole, or there is no room for it."""
        if self._to_send:
            return Reaction(self._run())
        if repeated and self._asked and not self._gathered:
            # An RR now would be right as well, but foreign clients take it for an empty answer. The answer itself
            # will acknowledge.
            return Reaction()
        return Reaction((self._ready(),))

    def _on_ready(self, frame: Frame) -> Reaction | None:
        self._acknowledge(frame.receive_number)
        if frame.kind is Kind.RNR:
            # The client has no room: nothing but an acknowledgement may go out.
            return Reaction((self._ready(),))
        if frame.receive_number != self._send_number:
            return None
        return Reaction(self._run() if self._to_send else (self._ready(),))

    def _take_unasked(self) -> tuple[Frame, ...]:
        frames = tuple(self._unasked)
        self._unasked.clear()
        return frames
