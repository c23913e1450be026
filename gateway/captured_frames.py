"""HDLC frames out of a capture: good ones as nodes, with the APDUs whose segments they carry; what is between them as
problems. Pure.

Other than the receiver of a link, which skips what is no frame, this one has all octets at once and says of each what
it is, or why it is nothing. Both directions may stand in one capture, and frames that were sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cosem_objects.dlms.describe import Context, Node, Source, describe_apdu
from transports.channel import ChannelGarbled
from transports.hdlc.connection import LLC_REQUEST, LLC_RESPONSE, Parameters
from transports.hdlc.frame import (
    FLAG,
    FRAME_TYPE,
    LENGTH_MASK,
    LENGTH_MIN,
    POLL,
    SEGMENTED,
    Frame,
    HdlcAddress,
    Kind,
    check_sum,
    decode_address,
)

_LLC_SIZE = 3
_COMMANDS, _ANSWERS = (Kind.SNRM, Kind.DISC), (Kind.UA, Kind.DM, Kind.FRMR)
_SUPERVISORY = (Kind.RR, Kind.RNR, Kind.REJ)


@dataclass(frozen=True, slots=True, repr=False)
class CapturedFrame:
    """A frame, and where it stands."""

    frame: Frame
    start: int
    """Of the format field, behind the opening flag."""
    end: int
    """Of the closing flag, which may open the next frame."""

    @property
    def information(self) -> Source:
        octets = self.frame.information
        return Source(octets, self.end - 2 - len(octets))

    def __repr__(self) -> str:
        return f"<CapturedFrame {self.frame.kind.value}, {self.start} to {self.end}>"


def frame_at(octets: bytes, start: int) -> CapturedFrame | str:
    """The frame whose format field begins at ``start``, or in words why there is none."""
    if octets[start] & 0xF0 != FRAME_TYPE >> 8:
        return f"format field {octets[start]:02X}, expected A0 to AF"
    if start + 2 > len(octets):
        return "cut short: the frame ends within its format field"
    layout = int.from_bytes(octets[start : start + 2], "big")
    length = layout & LENGTH_MASK
    end = start + length
    if length < LENGTH_MIN:
        return f"length {length}, a frame has at least {LENGTH_MIN} octets between its flags"
    if end >= len(octets):
        return f"cut short: length {length}, but only {len(octets) - start} octets are there"
    if octets[end] != FLAG:
        return f"length {length}, but no flag 7E stands at offset {end}"
    body, fcs = octets[start : end - 2], octets[end - 2 : end]
    if check_sum(body) != fcs:
        return f"FCS {fcs.hex().upper()}, expected {check_sum(body).hex().upper()}"
    try:
        return CapturedFrame(_frame(body, segmented=bool(layout & SEGMENTED)), start, end)
    except ChannelGarbled as error:
        return str(error)


def _frame(body: bytes, *, segmented: bool) -> Frame:
    """A frame whose FCS is right. Raises ``ChannelGarbled``."""
    source_at = _after_address(body, 2)
    control_at = _after_address(body, source_at)
    head = control_at + 1
    if head > len(body):
        raise ChannelGarbled("the frame ends before its control field")
    information = body[head + 2 :] if len(body) > head else b""
    if len(body) > head and check_sum(body[:head]) != body[head : head + 2]:
        expected = check_sum(body[:head]).hex().upper()
        raise ChannelGarbled(f"HCS {body[head : head + 2].hex().upper()}, expected {expected}")
    destination, source = decode_address(body[2:source_at]), decode_address(body[source_at:control_at])
    return Frame(destination, source, body[control_at], information, segmented)


def _after_address(body: bytes, at: int) -> int:
    return next((index + 1 for index in range(at, min(at + 4, len(body))) if body[index] & 1), at + 4)


def find_frame(octets: bytes, start: int) -> int | None:
    """Where the next good frame has its opening flag, from ``start`` on."""
    at = octets.find(FLAG, start)
    while at >= 0:
        if at + 1 < len(octets) and isinstance(frame_at(octets, at + 1), CapturedFrame):
            return at
        at = octets.find(FLAG, at + 1)
    return None


def describe_gap(octets: bytes, start: int, end: int) -> Node:
    """Octets that are no frame, and why: they may be one that was damaged, and hold what nobody should read."""
    inside = start
    while inside < end and octets[inside] == FLAG:
        inside += 1
    begins = octets[start] == FLAG and inside < end
    reason = frame_at(octets, inside) if begins else ""
    what = f"damaged HDLC frame: {reason}" if isinstance(reason, str) and reason else "no HDLC frame begins here"
    words = f"{what}; {end - start} octets are skipped"
    return Node("error", words, start, end - start, is_problem=True)


@dataclass(slots=True, repr=False)
class _Direction:
    """What one side has sent so far."""

    last: tuple[int, bytes] | None = None
    """N(S) and information of its last I frame."""
    parts: list[Source] = field(default_factory=list)
    skips: bool = False
    """The beginning of the APDU is missing: up to its last segment nothing can be read."""

    def begin(self) -> None:
        self.last, self.skips = None, False
        self.parts.clear()


class CapturedConversation:
    """All frames between two addresses, in the order in which they were captured."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._directions: dict[str, _Direction] = {"client": _Direction(), "server": _Direction()}
        self._client: HdlcAddress | None = None
        self._last_sender = "server"

    def describe(self, captured: CapturedFrame) -> Node:
        """One frame as a node."""
        frame = captured.frame
        sender = self._sender(frame)
        notes: list[Node] = []
        words = self._head(frame, sender)
        if frame.kind is Kind.INFORMATION:
            words += self._take(captured, sender, notes)
        elif frame.kind is Kind.UI:
            notes.append(self._apdu(captured.information, sender))
        elif frame.kind in (Kind.SNRM, Kind.UA):
            if frame.kind is Kind.SNRM:
                for direction in self._directions.values():
                    direction.begin()
            notes += _parameters(captured)
        elif frame.information:
            words += f", {len(frame.information)} octets of information"
        size = captured.end - captured.start + 2
        return Node(f"HDLC {frame.kind.value}", words, captured.start - 1, size, children=tuple(notes))

    def _sender(self, frame: Frame) -> str:
        """``client`` or ``server``: as far as it can be told."""
        sender = self._sender_by_form(frame)
        if sender and frame.source != frame.destination:
            self._client = frame.source if sender == "client" else frame.destination
        elif not sender and self._client is not None:
            sender = "client" if frame.source == self._client else "server"
        elif not sender:  # both addresses are the same, or nothing told yet: both sides speak in turn
            sender = "client" if self._last_sender == "server" else "server"
        self._last_sender = sender
        return sender

    def _sender_by_form(self, frame: Frame) -> str:
        if frame.kind in _COMMANDS or frame.destination.size > 1:
            return "client"
        if frame.kind in _ANSWERS or frame.source.size > 1:
            return "server"
        if frame.information.startswith(LLC_REQUEST):
            return "client"
        return "server" if frame.information.startswith(LLC_RESPONSE) else ""

    def _head(self, frame: Frame, sender: str) -> str:
        receiver = "server" if sender == "client" else "client"
        words = f"{sender} {_address(frame.source)} -> {receiver} {_address(frame.destination)}"
        if frame.kind is Kind.UNKNOWN:
            words += f", control {frame.control:02X}"
        if frame.kind is Kind.INFORMATION:
            words += f", N(S) {frame.send_number}"
        if frame.kind is Kind.INFORMATION or frame.kind in _SUPERVISORY:
            words += f", N(R) {frame.receive_number}"
        if frame.control & POLL:
            words += ", poll" if sender == "client" else ", final"
        return words

    def _take(self, captured: CapturedFrame, sender: str, notes: list[Node]) -> str:
        """One I frame: a segment of an APDU, perhaps its last."""
        frame, direction = captured.frame, self._directions[sender]
        this = frame.send_number, frame.information
        if direction.last == this:
            return ", sent again"
        if direction.last is not None and frame.send_number != (direction.last[0] + 1) % 8:
            words = f"N(S) {frame.send_number} after {direction.last[0]}: frames between them are missing"
            notes.append(_problem(words, captured.start - 1))
            direction.parts.clear()
        direction.last = this
        if not direction.parts and not direction.skips:
            direction.skips = not frame.information.startswith((LLC_REQUEST, LLC_RESPONSE))
            if direction.skips:
                words = "an APDU begins with the LLC header E6E600 or E6E700: the beginning of this one is missing"
                notes.append(_problem(words, captured.information.offset(0)))
        if not direction.skips:
            direction.parts.append(captured.information)
        return self._finish(captured, sender, notes)

    def _finish(self, captured: CapturedFrame, sender: str, notes: list[Node]) -> str:
        direction = self._directions[sender]
        size = len(captured.frame.information)
        if captured.frame.segmented:
            return f", segment of {size} octets, more follow"
        count, whole = len(direction.parts), Source.joined(direction.parts)
        direction.parts.clear()
        if direction.skips:
            direction.skips = False
            return f", last segment of {size} octets"
        notes.append(self._apdu(whole, sender))
        return f", last of {count} segments" if count > 1 else ""

    def _apdu(self, whole: Source, sender: str) -> Node:
        # Some meters push without the LLC header.
        begins = _LLC_SIZE if whole.octets.startswith((LLC_REQUEST, LLC_RESPONSE)) else 0
        return describe_apdu(whole.cut(begins, len(whole)), self._context, sender)


def _problem(words: str, offset: int) -> Node:
    return Node("error", words, offset, is_problem=True)


def _address(address: HdlcAddress) -> str:
    return str(address.logical) if address.physical is None else f"{address.logical}/{address.physical}"


def _parameters(captured: CapturedFrame) -> list[Node]:
    offset = captured.information.offset(0)
    try:
        agreed = Parameters.decode(captured.frame.information)
    except ChannelGarbled as error:
        return [_problem(str(error), offset)]
    if not captured.frame.information:
        return []
    rows: tuple[tuple[str, int, str], ...] = (
        ("max-information-field-length-transmit", agreed.info_max_tx, " octets"),
        ("max-information-field-length-receive", agreed.info_max_rx, " octets"),
        ("window-size-transmit", agreed.window_tx, ""),
        ("window-size-receive", agreed.window_rx, ""),
    )
    return [Node(name, f"{value}{unit}", offset) for name, value, unit in rows]
