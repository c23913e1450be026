"""The client's half of an HDLC connection: asks, repeats, polls. Pure; see ``hdlc.py`` for how to think about it.

The client is in one STATE, and every frame that comes in means one EVENT, found by looking at its kind and numbers.
``TRANSITIONS`` names the states that may follow. An event that has no row changes nothing: on a bad line, repeated
and late frames are daily life, and it is the time-out that gets a conversation going again, never a stray frame.
(Answering a repeated acknowledgement with a repeated segment would double every frame from there on.)

A time-out repeats the last frame, if it stood alone. After a run of several the client first asks with RR how much of
it arrived, and sends only the rest again. Tries are counted from the last step forward, so that neither a silent
server nor one that takes nothing holds the client for ever.
"""

from __future__ import annotations

from enum import Enum

from transports.channel import ChannelClosed, ChannelGarbled, ChannelTimeout, NotSentError
from transports.hdlc.connection import LLC_REQUEST, HdlcConnection, HdlcSettings, Parameters, Reaction
from transports.hdlc.frame import DISC, SNRM, Frame, HdlcAddress, Kind

# guess: five minutes of "not yet" at the default pause; no meter is known that thinks longer.
POLLS_MAX = 600


class State(Enum):
    __hash__ = object.__hash__  # each is there once; Enum's own hash is a call into Python for every frame

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"  # SNRM is out
    READY = "ready"  # nothing is under way
    SENDING = "sending"  # a run of the request is out and not acknowledged
    CHECKING = "asking how much arrived"  # a run was not answered: we poll
    BLOCKED = "blocked"  # the server is not ready for the next segments: we poll
    POLLING = "polling"  # the server has the whole request, but no answer yet: we poll
    RECEIVING = "receiving"  # a segment of the answer is here, more are asked for
    DISCONNECTING = "disconnecting"  # DISC is out
    FAILED = "failed"  # given up; the server may still think that it is connected
    ENDED = "ended"


class Event(Enum):
    __hash__ = object.__hash__

    # what we do
    CONNECT = "connect"
    SEND = "send"
    ASK_HOW_FAR = "ask how much of a run arrived"
    GIVE_UP = "give up"
    DISCONNECT = "disconnect"
    # what the server does
    ACCEPTED = "UA"
    NOT_CONNECTED = "DM"
    FRAME_REJECTED = "FRMR"
    GO_ON = "took segments, ready for the next"
    TAKEN = "took the last segment"
    NOT_READY = "not ready for a segment"
    STILL_BUSY = "no answer yet"
    SEGMENT = "segment of the answer"
    HOLE = "segment of the answer behind one that got lost"
    ANSWER = "last segment of the answer"


_S, _E = State, Event

TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.DISCONNECTED, _E.CONNECT): _S.CONNECTING,
    (_S.CONNECTING, _E.ACCEPTED): _S.READY,
    (_S.READY, _E.SEND): _S.SENDING,
    (_S.SENDING, _E.GO_ON): _S.SENDING,
    (_S.SENDING, _E.TAKEN): _S.POLLING,
    (_S.SENDING, _E.NOT_READY): _S.BLOCKED,
    (_S.SENDING, _E.ASK_HOW_FAR): _S.CHECKING,
    (_S.SENDING, _E.SEGMENT): _S.RECEIVING,
    (_S.SENDING, _E.HOLE): _S.RECEIVING,
    (_S.SENDING, _E.ANSWER): _S.READY,
    (_S.POLLING, _E.STILL_BUSY): _S.POLLING,
    (_S.POLLING, _E.SEGMENT): _S.RECEIVING,
    (_S.POLLING, _E.ANSWER): _S.READY,
    (_S.RECEIVING, _E.SEGMENT): _S.RECEIVING,
    (_S.RECEIVING, _E.HOLE): _S.RECEIVING,
    (_S.RECEIVING, _E.STILL_BUSY): _S.RECEIVING,
    (_S.RECEIVING, _E.ANSWER): _S.READY,
    (_S.DISCONNECTING, _E.ACCEPTED): _S.ENDED,
    (_S.DISCONNECTING, _E.GIVE_UP): _S.ENDED,
    (_S.FAILED, _E.DISCONNECT): _S.DISCONNECTING,
}
for _state in (_S.BLOCKED, _S.CHECKING):
    TRANSITIONS[_state, _E.GO_ON] = _S.SENDING
    TRANSITIONS[_state, _E.TAKEN] = _S.POLLING
    TRANSITIONS[_state, _E.NOT_READY] = _S.BLOCKED
    TRANSITIONS[_state, _E.SEGMENT] = _S.RECEIVING
    TRANSITIONS[_state, _E.HOLE] = _S.RECEIVING
    TRANSITIONS[_state, _E.ANSWER] = _S.READY
_REQUESTING = frozenset({_S.SENDING, _S.BLOCKED, _S.CHECKING, _S.POLLING})
_EXCHANGING = _REQUESTING | {_S.RECEIVING}
_ASKING = _EXCHANGING | {_S.CONNECTING}
_AWAITING = _ASKING | {_S.DISCONNECTING}
for _state in (*_ASKING, _S.READY):
    TRANSITIONS[_state, _E.DISCONNECT] = _S.DISCONNECTING
    TRANSITIONS[_state, _E.GIVE_UP] = _S.FAILED
    TRANSITIONS[_state, _E.FRAME_REJECTED] = _S.FAILED
for _state in (*_ASKING, _S.READY, _S.DISCONNECTING):
    TRANSITIONS[_state, _E.NOT_CONNECTED] = _S.ENDED


class HdlcClientConnection(HdlcConnection):
    """One connection to one server address. After every call, look at ``wait_seconds``."""

    def __init__(self, own: HdlcAddress, peer: HdlcAddress, settings: HdlcSettings) -> None:
        super().__init__(own, peer, settings, LLC_REQUEST)
        self.state = State.DISCONNECTED
        self._offer = Parameters.offered(settings)
        self._last: Frame | None = None  # what a time-out repeats
        self._tries = 0
        self._polls = 0
        self._news = False  # since we spoke last, something new has come
        self._pausing = False

    # What we do.

    def connect(self) -> Frame:
        """SNRM. Raises ``NotSentError`` if it is not the time for it."""
        self._act(Event.CONNECT)
        # Without parameters the defaults count, and some meters know no others.
        return self._say(self._frame(SNRM, b"" if self._offer == Parameters() else self._offer.encode()))

    def send(self, apdu: bytes) -> tuple[Frame, ...]:
        """The first run of a request. Raises ``NotSentError``: not connected, or an exchange is not over."""
        self._check_size(apdu)
        self._act(Event.SEND)
        self._put(apdu)
        self._polls = 0
        return self._say_run()

    def send_unasked(self, apdu: bytes) -> Frame:
        """A UI frame, which nobody answers. Raises ``NotSentError``: too long, or not between two exchanges."""
        frame = self._unasked_frame(apdu)
        if self.state is not State.READY:
            raise NotSentError(f"cannot send unasked on an HDLC connection that is {self.state.value}")
        return frame

    def disconnect(self) -> Frame | None:
        """DISC, if the server may think that it is connected."""
        if (self.state, Event.DISCONNECT) not in TRANSITIONS:
            return None
        self._act(Event.DISCONNECT)
        return self._say(self._frame(DISC))

    def give_up(self) -> None:
        """Nobody waits for the answer any more. Numbers may now differ on both sides: only DISC is left."""
        if (self.state, Event.GIVE_UP) in TRANSITIONS:
            self._act(Event.GIVE_UP)

    @property
    def asking(self) -> bool:
        """It is the server's turn to speak."""
        return self.state in _ASKING

    @property
    def wait_seconds(self) -> float | None:
        """After how long without a frame that matters ``on_timeout`` is due; ``None``: nothing is awaited."""
        if self.state not in _AWAITING:
            return None
        return self.settings.poll_interval_seconds if self._pausing else self.settings.response_timeout_seconds

    def on_timeout(self) -> Frame:
        """The frame to send now. Raises ``ChannelTimeout`` when it was repeated often enough."""
        if self._pausing:
            self._polls += 1
            if self._polls > POLLS_MAX:
                who = "this side" if self.state is State.RECEIVING else "the meter"
                self.give_up()
                raise ChannelTimeout(f"{who} was busy {POLLS_MAX} times")
            return self._say(self._ready())
        self._tries += 1
        if self._last is None or self._tries > self.settings.retries:
            waited_for = self.state.value
            self.give_up()
            raise ChannelTimeout(
                f"no answer while {waited_for}, asked {self._tries} times, "
                f"{self.settings.response_timeout_seconds:g} s each"
            )
        if self.state is State.SENDING and self._sent > 1:
            self._act(Event.ASK_HOW_FAR)
            self._last = self._ready()
        elif self._last.kind is Kind.INFORMATION:
            self.repeats += 1
        self._news = False
        return self._last

    # What the server does.

    def receive(self, frame: Frame) -> Reaction | None:
        """Take a frame from our server; ``None`` if it changed nothing.

        Raises ``ChannelClosed`` (DM, FRMR) or ``ChannelGarbled``; the connection is over then.
        """
        event = self._event(frame)
        following = None if event is None else TRANSITIONS.get((self.state, event))
        if event is None or following is None:
            self._ignore()
            return None
        before, self.state = self.state, following
        try:
            return self._follow(frame, event, before)
        except ChannelGarbled:
            self.state = State.FAILED
            raise

    def _event(self, frame: Frame) -> Event | None:
        """What a frame means just now. Changes nothing but V(S), when it acknowledges."""
        match frame.kind:
            case Kind.INFORMATION:
                return self._event_of_information(frame)
            case Kind.RR | Kind.RNR | Kind.REJ:
                return self._event_of_ready(frame)
            case Kind.UA:
                return Event.ACCEPTED
            case Kind.DM:
                return Event.NOT_CONNECTED
            case Kind.FRMR:
                return Event.FRAME_REJECTED
            case _:  # SNRM and DISC are not for a server to say; UI changes nothing, see ``unasked``
                return None

    def _event_of_ready(self, frame: Frame) -> Event | None:
        if self.state is State.RECEIVING:
            # What a server says to our RNR.
            return Event.STILL_BUSY if self._last is not None and self._last.kind is Kind.RNR else None
        if self.state not in _REQUESTING:
            return None
        newly = self._acknowledge(frame.receive_number)
        if frame.receive_number != self._send_number:
            return None
        if not self._to_send:
            return Event.TAKEN if newly else Event.STILL_BUSY
        self._news |= newly
        if not self._ends_turn(frame):
            return None
        if frame.kind is Kind.RNR:
            return Event.NOT_READY
        # An RR that acknowledges nothing is an old one repeated, unless we asked for it.
        return Event.GO_ON if self._news or self.state is not State.SENDING else None

    def _event_of_information(self, frame: Frame) -> Event | None:
        if self.state not in _EXCHANGING:
            return None
        if (frame.receive_number - self._send_number) % 8 != len(self._to_send) or self._sent < len(self._to_send):
            return None  # an answer before the question was out
        if frame.send_number == self._receive_number:
            self._acknowledge(frame.receive_number)
            return Event.SEGMENT if frame.segmented else Event.ANSWER
        if self.parameters.window_rx == 1:
            return None  # repeated
        if self._acknowledge(frame.receive_number):
            return Event.HOLE
        return Event.HOLE if self._news and frame.final else None

    def _follow(self, frame: Frame, event: Event, before: State) -> Reaction:
        match event:
            case Event.ANSWER:
                return Reaction(apdu=self._gather(frame))
            case Event.ACCEPTED if before is State.CONNECTING:
                self.parameters = self._offer.agreed_with(Parameters.decode(frame.information))
            case Event.NOT_CONNECTED if before is State.CONNECTING:
                raise ChannelClosed("the meter refused to connect (DM)")
            case Event.NOT_CONNECTED if before is not State.DISCONNECTING:
                raise ChannelClosed("the meter says that it is not connected (DM)")
            case Event.FRAME_REJECTED:
                raise ChannelClosed(f"the meter rejected a frame (FRMR {frame.information[:5].hex()})")
            case Event.GO_ON:
                return Reaction(self._say_run(anew=before is State.CHECKING and not self._news))
            case Event.TAKEN | Event.NOT_READY | Event.STILL_BUSY:
                self._pausing = True
            case Event.SEGMENT:
                self._gather(frame)
                return self._go_on_when_it_is_our_turn(frame)
            case Event.HOLE:
                return self._go_on_when_it_is_our_turn(frame)
            case _:
                pass
        return Reaction()

    def _go_on_when_it_is_our_turn(self, frame: Frame) -> Reaction:
        go_on = self._say(self._ready())  # else it is what a time-out says
        if self._ends_turn(frame):
            return Reaction((go_on,))
        self._news = True
        return Reaction()

    def _act(self, event: Event) -> None:
        """Our own steps; the one place that refuses an illegal one."""
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise NotSentError(f"cannot {event.value} on an HDLC connection that is {self.state.value}")
        self.state = following

    def _say(self, frame: Frame) -> Frame:
        self._last = frame
        self._tries = 0
        self._pausing = False
        self._news = False
        return frame

    def _say_run(self, *, anew: bool = False) -> tuple[Frame, ...]:
        """``anew``: nothing of the run before was taken; that counts as a try."""
        frames, tries = self._run(), self._tries
        self._say(frames[-1])
        if anew:
            self._tries = tries
        return frames
