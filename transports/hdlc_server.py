"""The server's half of an HDLC connection: answers when it is asked. Pure; see ``hdlc.py`` for how to think about it.

A server has no time-outs and no choice of its own; it holds a *turn* from the moment a frame of the client comes in
until it has answered. What happens with a frame follows from three questions: is it the I frame that is expected
next, the last one repeated, or a poll? And does an answer stand ready, partly sent or not?
"""

from __future__ import annotations

from transports.channel import NotSentError
from transports.hdlc import LLC_RESPONSE, HdlcConnection, HdlcSettings, Parameters, Reaction
from transports.hdlc_frame import UA, Frame, HdlcAddress, Kind

# More than this is not kept for a client that asks on without fetching its answers.
UNFETCHED_BYTES_MAX = 1 << 18


class HdlcServerConnection(HdlcConnection):
    """One connection with one client, from its SNRM on. SNRM, DISC and DM are above it, in the link."""

    def __init__(self, own: HdlcAddress, peer: HdlcAddress, settings: HdlcSettings, proposal: bytes) -> None:
        """``proposal``: the information of the SNRM. Raises ``ChannelGarbled``."""
        super().__init__(own, peer, settings, LLC_RESPONSE)
        offer = Parameters(settings.info_max, settings.info_max)
        self.parameters = offer.agreed_with(Parameters.decode(proposal))
        self.untouched = True
        """Nothing was said since SNRM: the same SNRM again is a repetition, not a new conversation."""
        self._turn = False
        self._asked = False  # a request was handed over, and no answer has come back yet

    def accept(self) -> Frame:
        """UA, with what was agreed."""
        return self._frame(UA, self.parameters.encode())

    def send(self, apdu: bytes) -> Frame | None:
        """An answer. ``None``: it waits until the client asks for it. Raises ``NotSentError``."""
        if not 0 < len(apdu) <= self._settings.apdu_size_max:
            raise NotSentError(f"an APDU has 1 to {self._settings.apdu_size_max} bytes, not {len(apdu)}")
        if len(self._to_send) * self.parameters.info_max_tx > UNFETCHED_BYTES_MAX:
            raise NotSentError("the client has not fetched the answers before this one")
        self.untouched = False
        self._asked = False
        self._put(apdu)
        if not self._turn or self._unacknowledged:
            return None
        self._turn = False
        return self._segment()

    def receive(self, frame: Frame) -> Reaction | None:
        """Take a frame from our client; ``None`` if it changed nothing. Raises ``ChannelGarbled``."""
        match frame.kind:
            case Kind.INFORMATION:
                reaction = self._on_information(frame)
            case Kind.RR | Kind.REJ:
                reaction = self._on_ready(frame)
            case Kind.RNR:
                # The client has no room: nothing but an acknowledgement may go out.
                self._acknowledge(frame.receive_number)
                reaction = Reaction(self._ready())
            case _:  # UI: a later issue; the others are not for a client to say, or not for here
                reaction = None
        if reaction is None:
            self._ignore()
            return None
        self.untouched = False
        self._turn = reaction.reply is None
        return reaction

    def _on_information(self, frame: Frame) -> Reaction | None:
        expected = frame.send_number == self._receive_number
        if not expected and frame.send_number != (self._receive_number - 1) % 8:
            return None
        self._acknowledge(frame.receive_number)
        if not expected:
            return self._on_repeated()
        apdu = self._gather(frame)
        if apdu is None:
            return Reaction(self._ready())
        self._asked = True
        # Something still to be fetched goes first. Else the turn is kept until the answer is there.
        return Reaction(self._segment() if self._to_send else None, apdu)

    def _on_repeated(self) -> Reaction:
        if self._to_send:
            return Reaction(self._segment())
        if self._asked and not self._gathered:
            # An RR now would be right as well, but foreign clients take it for an empty answer. The answer itself
            # will acknowledge.
            return Reaction()
        return Reaction(self._ready())

    def _on_ready(self, frame: Frame) -> Reaction | None:
        self._acknowledge(frame.receive_number)
        if frame.receive_number != self._send_number:
            return None
        return Reaction(self._segment() if self._to_send else self._ready())
