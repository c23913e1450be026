"""HDLC connections, the part that both sides share: settings, negotiation, numbers, segments (IEC 62056-46).

How to think about it. The client (primary station) speaks, the server (secondary) answers, and nobody speaks out of
turn (normal response mode): the poll bit of the client hands the turn over, the final bit of the server hands it
back. What is said in one turn is a *run*: one frame, or as many I frames as the window holds, and only the last one
carries the bit. A run does not go beyond the end of an APDU. An I frame stays *unacknowledged* until a frame with a
higher N(R) comes back. With a window of one frame, which is the default, every frame is a run:

    client                              server
    SNRM                        ->
                                <-      UA               numbers begin at 0, sizes are agreed
    I  N(S)=0 N(R)=0  S=1       ->                       first segment of a request, with the LLC header
                                <-      RR N(R)=1        "go on"
    I  N(S)=1 N(R)=0  S=0       ->                       last segment
                                <-      I  N(S)=0 N(R)=2 S=1    first segment of the answer acknowledges
    RR N(R)=1                   ->                       "go on"
                                <-      I  N(S)=1 N(R)=2 S=0    last segment: the exchange is over
    DISC                        ->
                                <-      UA

A frame that got lost is sent again by the client, with the same numbers, after the response time-out; the server
knows a repeated frame by its N(S), does not take it for new, and gives its answer again. So each APDU is handed over
once, in order, or the connection ends with an error.

With a window of three, and a hole in a run:

    I  N(S)=0 N(R)=0  S=1       ->
    I  N(S)=1 N(R)=0  S=1       -> lost
    I  N(S)=2 N(R)=0  S=1  P    ->                       not the expected one: dropped. But it polls:
                                <-      RR N(R)=1  F     "1 is what I expect"
    I  N(S)=1 N(R)=0  S=1       ->                       go back there, again as far as the window reaches
    I  N(S)=2 N(R)=0  S=1       ->
    I  N(S)=3 N(R)=0  S=0  P    ->
                                <-      I  N(S)=0 N(R)=4 S=1
                                <-      I  N(S)=1 N(R)=4 S=0  F

When does the client believe that a final frame is the answer to its last poll, and not an old one that was slow, or
doubled by the line? When this turn has *brought something new*: an acknowledgement, or an expected segment. Then it
goes on at once. A turn that brought nothing new is left to the time-out, and after that the client asks with RR how
far the server is. (To act on every final frame would be answered twice for each doubled one, from there on.) So a
loss at the beginning of a run costs a time-out, any other one costs nothing but the frames themselves. REJ says what
RR says here: the profile has no use for it, but it is understood.

RNR is an RR of a station whose inbox is full: it acknowledges, but takes no I frame. The client asks again after a
pause; a server that hears RNR sends no I frame until it hears RR.

UI frames stand beside all this: one frame, one APDU, no number, no acknowledgement, no repetition. They carry what a
server says unasked (EventNotification, DataNotification). A secondary station speaks when it is polled and not
before, so they wait for the server's next turn and go out ahead of its answer; a meter that is alone at its end of a
line that carries both directions at once may be allowed not to wait (``HdlcSettings.unasked_at_once``).

Pure: no clock here. ``hdlc_client.py`` and ``hdlc_server.py`` add the two roles, ``hdlc_link.py`` brings time and wire.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

from transports.channel import ChannelGarbled, NotSentError
from transports.hdlc.frame import UI, Frame, HdlcAddress, Kind, information_control, ready_control

INFO_MAX_DEFAULT = 128  # what counts when SNRM or UA do not say (IEC 62056-46, HDLC parameter negotiation)
INFO_MAX_LIMIT = 2030
INFO_MAX_FLOOR = 8  # guess: nobody needs less; keeps the LLC header inside the first segment
WINDOW_DEFAULT = 1
WINDOW_LIMIT = 7  # numbers go to 7: with eight frames under way, all taken and none taken would look alike

# The LLC header stands once, at the beginning of an APDU's first segment (IEC 62056-46, LLC sublayer).
LLC_REQUEST = b"\xe6\xe6\x00"
LLC_RESPONSE = b"\xe6\xe7\x00"


ADDRESS_BYTES: dict[str, Literal["auto", 1, 2, 4]] = {"auto": "auto", "1": 1, "2": 2, "4": 4}
"""Lengths of the server's address, as they are written in options."""


@dataclass(frozen=True, slots=True)
class HdlcSettings:
    """How to speak HDLC with one kind of meter. Raises ``ValueError`` for what cannot be."""

    address_bytes: Literal["auto", 1, 2, 4] = "auto"
    """Length of the server's address; ``auto`` takes the shortest that fits."""
    info_max: int = INFO_MAX_DEFAULT
    """Longest information field that we offer, both ways; the smaller of both sides' offers counts."""
    window_max: int = WINDOW_DEFAULT
    """How many I frames may be under way before an acknowledgement, as we offer it, both ways; the smaller counts."""
    unasked_at_once: bool = False
    """A server's UI frames do not wait until the client polls: only where no other station shares the line."""
    response_timeout_seconds: float = 5.0
    """How long the client waits before it sends a frame again: 3 to 5 s, behind a radio up to 30 s."""
    retries: int = 3
    """How often the client sends a frame again before it gives up."""
    # guess: the next two would be settled by traces of slow meters and of terminal servers.
    poll_interval_seconds: float = 0.5
    """Pause before the client asks a server again that said it was busy."""
    inter_octet_timeout_seconds: float = 2.0
    """A frame that stops in the middle for so long is dropped. (On a serial line the standard's default is 25 ms.)"""
    apdu_size_max: int = 65_535
    """Longest APDU, put together from segments."""

    def __post_init__(self) -> None:
        if self.address_bytes not in {"auto", 1, 2, 4}:
            raise ValueError(f"the HDLC address has auto, 1, 2 or 4 bytes, not {self.address_bytes!r}")
        if not INFO_MAX_FLOOR <= self.info_max <= INFO_MAX_LIMIT:
            raise ValueError(f"the HDLC info_max is {INFO_MAX_FLOOR} to {INFO_MAX_LIMIT}, not {self.info_max}")
        if not 1 <= self.window_max <= WINDOW_LIMIT:
            raise ValueError(f"the HDLC window_max is 1 to {WINDOW_LIMIT}, not {self.window_max}")
        if self.retries < 0:
            raise ValueError(f"the HDLC retries are 0 or more, not {self.retries}")
        if min(self.response_timeout_seconds, self.poll_interval_seconds, self.inter_octet_timeout_seconds) <= 0:
            raise ValueError("the HDLC time-outs are longer than 0 s")

    def server_address(self, sap: int, physical: int | None) -> HdlcAddress:
        """Raises ``ValueError`` if the address does not fit the length."""
        return HdlcAddress.server(sap, physical, None if self.address_bytes == "auto" else self.address_bytes)


HDLC_DEFAULTS = HdlcSettings()


@dataclass(frozen=True, slots=True)
class Parameters:
    """What SNRM and UA negotiate; "tx" and "rx" are meant from the sender's side."""

    info_max_tx: int = INFO_MAX_DEFAULT
    info_max_rx: int = INFO_MAX_DEFAULT
    window_tx: int = WINDOW_DEFAULT
    window_rx: int = WINDOW_DEFAULT

    @classmethod
    def offered(cls, settings: HdlcSettings) -> Parameters:
        """What we propose, before the other side was heard."""
        return cls(settings.info_max, settings.info_max, settings.window_max, settings.window_max)

    @classmethod
    def decode(cls, information: bytes) -> Parameters:
        """The information field of SNRM or UA; what is missing has its default. Raises ``ChannelGarbled``."""
        if not information:
            return cls()
        # Format identifier 81, group identifier 80 (parameter negotiation), length of the group.
        if information[:2] != b"\x81\x80" or len(information) < 3 or len(information) < 3 + information[2]:
            raise ChannelGarbled("the information field of SNRM or UA is no list of parameters")
        values = {5: INFO_MAX_DEFAULT, 6: INFO_MAX_DEFAULT, 7: WINDOW_DEFAULT, 8: WINDOW_DEFAULT}
        group = information[3 : 3 + information[2]]
        while group:
            size = group[1] if len(group) > 1 else 0
            if not 1 <= size <= 4 or len(group) < 2 + size:
                raise ChannelGarbled("a parameter of SNRM or UA is cut short")
            values[group[0]] = int.from_bytes(group[2 : 2 + size], "big")
            group = group[2 + size :]
        if not all(values[name] for name in (5, 6, 7, 8)):
            raise ChannelGarbled("a parameter of SNRM or UA is 0")
        return cls(values[5], values[6], values[7], values[8])

    def encode(self) -> bytes:
        """All four, sizes in one byte where they fit, windows in four, as in the standard's example."""
        group = b""
        for name, info_max in ((5, self.info_max_tx), (6, self.info_max_rx)):
            size = 1 if info_max <= 0xFF else 2
            group += bytes((name, size)) + info_max.to_bytes(size, "big")
        for name, window in ((7, self.window_tx), (8, self.window_rx)):
            group += bytes((name, 4)) + window.to_bytes(4, "big")
        return bytes((0x81, 0x80, len(group))) + group

    def agreed_with(self, other: Parameters) -> Parameters:
        """Ours, after hearing the other side's: the smaller counts, and one's tx is the other's rx."""
        return Parameters(
            min(self.info_max_tx, other.info_max_rx),
            min(self.info_max_rx, other.info_max_tx),
            min(self.window_tx, other.window_rx),
            min(self.window_rx, other.window_tx),
        )


class Reaction(NamedTuple):
    """What a frame of the other side leads to. ``None`` in its place means: the frame changed nothing."""

    frames: tuple[Frame, ...] = ()
    """To be sent now, in this order."""
    apdu: bytes | None = None


class HdlcConnection:
    """Numbers, windows, segments and reassembly between two addresses: what client and server do alike."""

    def __init__(self, own: HdlcAddress, peer: HdlcAddress, settings: HdlcSettings, llc: bytes) -> None:
        self.repeats = 0
        """I frames sent again."""
        self.ignored = 0
        """Frames that had no meaning here: repeated, out of turn, of an unknown kind."""
        self.has_room = True
        """Set by the owner of the inbox. Without room we say RNR, and a UI frame is dropped."""
        self.settings = settings
        """Time-outs may change: how fast a serial line is, is known when it was agreed on."""
        self.parameters = Parameters()
        self.own = own
        self.peer = peer
        self._llc = llc
        self._send_number = 0  # N(S) of the first segment that waits in _to_send
        self._receive_number = 0  # V(R): what we expect next
        self._to_send: deque[tuple[bytes, bool]] = deque()  # not yet acknowledged; True: more follow
        self._sent = 0  # so many of them, from the first on, were sent at least once
        self._gathered = bytearray()

    def _frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> Frame:
        return Frame(self.peer, self.own, control, information, segmented)

    def _ready(self) -> Frame:
        return self._frame(ready_control(self._receive_number, ready=self.has_room))

    def _check_size(self, apdu: bytes) -> None:
        if not 0 < len(apdu) <= self.settings.apdu_size_max:
            raise NotSentError(f"an APDU has 1 to {self.settings.apdu_size_max} bytes, not {len(apdu)}")

    def _put(self, apdu: bytes) -> None:
        """Cut an APDU into segments."""
        whole = self._llc + apdu
        size = self.parameters.info_max_tx
        for start in range(0, len(whole), size):
            self._to_send.append((whole[start : start + size], start + size < len(whole)))

    def _run(self) -> tuple[Frame, ...]:
        """The segments from the first that is not acknowledged on, for the first time or again, in one turn."""
        frames: list[Frame] = []
        last = self.parameters.window_tx - 1
        for place, (information, more) in enumerate(self._to_send):
            final = place == last or not more
            control = information_control((self._send_number + place) % 8, self._receive_number, final=final)
            frames.append(self._frame(control, information, segmented=more))
            if final:
                break
        self.repeats += min(self._sent, len(frames))
        self._sent = max(self._sent, len(frames))
        return tuple(frames)

    def _acknowledge(self, receive_number: int) -> bool:
        """Note the other side's N(R). True: it took segments that it had not taken before."""
        taken = (receive_number - self._send_number) % 8
        if not 0 < taken <= self._sent:
            return False
        self._send_number = receive_number
        self._sent -= taken
        for _ in range(taken):
            self._to_send.popleft()
        return True

    def _ends_turn(self, frame: Frame) -> bool:
        """It is our turn after this frame. Without a window every frame is a turn, whatever its P/F bit says."""
        return frame.final or self.parameters.window_rx == 1

    def _gather(self, frame: Frame) -> bytes | None:
        """Take the expected I frame; the APDU if this was its last segment. Raises ``ChannelGarbled``."""
        self._receive_number = (self._receive_number + 1) % 8
        self._gathered += frame.information
        if len(self._gathered) > self.settings.apdu_size_max + len(self._llc):
            raise ChannelGarbled(f"an APDU in segments grew beyond {self.settings.apdu_size_max} bytes")
        if frame.segmented:
            return None
        whole = bytes(self._gathered)
        self._gathered.clear()
        if not _begins_with_llc(whole):
            raise ChannelGarbled(f"an APDU on HDLC begins with E6E600 or E6E700, not {whole[:3].hex().upper() or 'so'}")
        return whole[len(self._llc) :]

    def _unasked_frame(self, apdu: bytes) -> Frame:
        """UI. Raises ``NotSentError``: what is said unasked has to fit into one frame."""
        self._check_size(apdu)
        size_max = self.parameters.info_max_tx - len(self._llc)
        if len(apdu) > size_max:
            raise NotSentError(
                f"an APDU in a UI frame has at most {size_max} bytes on this connection, not {len(apdu)}"
            )
        return self._frame(UI, self._llc + apdu)

    def unasked(self, frame: Frame) -> bytes | None:
        """The APDU in a UI frame, connected or not; ``None`` if there is none, or no room for it. Changes nothing."""
        apdu = apdu_of_unasked(frame) if self.has_room else None
        if apdu is None:
            self._ignore()
        return apdu

    def _ignore(self) -> None:
        self.ignored += 1


def apdu_of_unasked(frame: Frame) -> bytes | None:
    """The APDU in a UI frame, if there is one."""
    if frame.kind is not Kind.UI or frame.segmented or not _begins_with_llc(frame.information):
        return None
    return frame.information[len(LLC_REQUEST) :]


def _begins_with_llc(whole: bytes) -> bool:
    """Some stacks use the request's header in both directions; nothing else depends on it."""
    return whole.startswith((LLC_REQUEST, LLC_RESPONSE)) and len(whole) > len(LLC_REQUEST)
