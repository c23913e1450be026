"""HDLC connections, the part that both sides share: settings, negotiation, numbers, segments (IEC 62056-46).

How to think about it. The client (primary station) speaks, the server (secondary) answers: every frame of the client
carries the poll bit, every answer the final bit, and nobody speaks out of turn. With a window of one frame, which is
all that we negotiate, an I frame stays *unacknowledged* until a frame with the next N(R) comes back:

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

Pure: no clock here. ``hdlc_client.py`` and ``hdlc_server.py`` add the two roles, ``hdlc_link.py`` brings time and wire.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

from transports.channel import ChannelGarbled
from transports.hdlc_frame import Frame, HdlcAddress, information_control, ready_control

INFO_MAX_DEFAULT = 128  # what counts when SNRM or UA do not say (IEC 62056-46, HDLC parameter negotiation)
INFO_MAX_LIMIT = 2030
INFO_MAX_FLOOR = 8  # guess: nobody needs less; keeps the LLC header inside the first segment
WINDOW = 1

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
    window_tx: int = WINDOW
    window_rx: int = WINDOW

    @classmethod
    def decode(cls, information: bytes) -> Parameters:
        """The information field of SNRM or UA; what is missing has its default. Raises ``ChannelGarbled``."""
        if not information:
            return cls()
        # Format identifier 81, group identifier 80 (parameter negotiation), length of the group.
        if information[:2] != b"\x81\x80" or len(information) < 3 or len(information) < 3 + information[2]:
            raise ChannelGarbled("the information field of SNRM or UA is no list of parameters")
        values = {5: INFO_MAX_DEFAULT, 6: INFO_MAX_DEFAULT, 7: WINDOW, 8: WINDOW}
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

    reply: Frame | None = None
    apdu: bytes | None = None


class HdlcConnection:
    """Numbers, segments and reassembly between two addresses: what client and server do alike."""

    def __init__(self, own: HdlcAddress, peer: HdlcAddress, settings: HdlcSettings, llc: bytes) -> None:
        self.repeats = 0
        """I frames sent again."""
        self.ignored = 0
        """Frames that had no meaning here: repeated, out of turn, of an unknown kind."""
        self.parameters = Parameters()
        self.own = own
        self.peer = peer
        self._settings = settings
        self._llc = llc
        self._send_number = 0  # V(S): of the segment that is under way, or comes next
        self._receive_number = 0  # V(R): what we expect next
        self._to_send: deque[tuple[bytes, bool]] = deque()  # the first is the one under way; True: more follow
        self._unacknowledged = False
        self._gathered = bytearray()

    def _frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> Frame:
        return Frame(self.peer, self.own, control, information, segmented)

    def _ready(self) -> Frame:
        return self._frame(ready_control(self._receive_number))

    def _put(self, apdu: bytes) -> None:
        """Cut an APDU into segments."""
        whole = self._llc + apdu
        size = self.parameters.info_max_tx
        for start in range(0, len(whole), size):
            self._to_send.append((whole[start : start + size], start + size < len(whole)))

    def _segment(self) -> Frame:
        """The first segment that is not acknowledged, for the first time or again."""
        if self._unacknowledged:
            self.repeats += 1
        self._unacknowledged = True
        information, more = self._to_send[0]
        control = information_control(self._send_number, self._receive_number)
        return self._frame(control, information, segmented=more)

    def _acknowledge(self, receive_number: int) -> bool:
        """Note the other side's N(R). True: it took the segment that was under way."""
        if not self._unacknowledged or receive_number != (self._send_number + 1) % 8:
            return False
        self._send_number = receive_number
        self._unacknowledged = False
        self._to_send.popleft()
        return True

    def _gather(self, frame: Frame) -> bytes | None:
        """Take the expected I frame; the APDU if this was its last segment. Raises ``ChannelGarbled``."""
        self._receive_number = (self._receive_number + 1) % 8
        self._gathered += frame.information
        if len(self._gathered) > self._settings.apdu_size_max + len(self._llc):
            raise ChannelGarbled(f"an APDU in segments grew beyond {self._settings.apdu_size_max} bytes")
        if frame.segmented:
            return None
        whole = bytes(self._gathered)
        self._gathered.clear()
        # Some stacks use the request's header in both directions; nothing else depends on it.
        if not whole.startswith((LLC_REQUEST, LLC_RESPONSE)) or len(whole) == len(self._llc):
            raise ChannelGarbled(f"an APDU on HDLC begins with E6E600 or E6E700, not {whole[:3].hex().upper() or 'so'}")
        return whole[len(self._llc) :]

    def _ignore(self) -> None:
        self.ignored += 1
