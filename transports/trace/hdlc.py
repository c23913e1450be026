"""HdlcObserver: hears a link with HDLC frames, and puts the segments of APDUs together as both stations do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from transports.channel import ChannelGarbled
from transports.hdlc.connection import LLC_REQUEST, LLC_RESPONSE, Parameters
from transports.hdlc.frame import Frame, HdlcAddress, Kind
from transports.hdlc.receiver import FrameReceiver
from transports.trace.observer import CONVERSATIONS_MAX, Held, Observer
from transports.trace.trace import Direction, Layer, LinkName, Trace

# As the default of HdlcSettings: after such a pause the rest of a frame is not expected any more.
INTER_OCTET_SECONDS = 2.0

_LLC_SIZE = len(LLC_REQUEST)
_FRMR_SIZE_MAX = 5
_BEGIN_ANEW = (Kind.SNRM, Kind.DISC, Kind.DM)
_NUMBERED = (Kind.RR, Kind.RNR, Kind.REJ)

Pair = tuple[HdlcAddress, HdlcAddress]
"""Client and server."""


@dataclass(slots=True, eq=False, repr=False)
class _Segment:
    """A part of an APDU, and the frames that brought it: more than one if it was sent again."""

    information: bytes
    frames: list[tuple[Frame, Held]] = field(default_factory=list)
    shown: bytes | None = None
    """What may be seen of it, once that is known."""

    def add(self, frame: Frame, event: Held) -> None:
        self.frames.append((frame, event))
        event.is_complete = False
        if self.shown is not None:
            self.complete(self.shown)

    def complete(self, shown: bytes) -> None:
        self.shown = shown
        for frame, event in self.frames:
            event.octets = replace(frame, information=shown).encode()
            event.is_complete = True
        self.frames.clear()


@dataclass(slots=True, eq=False)
class _Flow:
    """The segments of one conversation in one direction."""

    expected: int | None = None
    """N(S); ``None``: whatever comes first."""
    pending: list[_Segment] = field(default_factory=list)
    recent: dict[int, _Segment] = field(default_factory=dict)
    """The last segments by N(S), by which one that is sent again is known."""

    def abandon(self, hidden: Callable[[bytes], bytes]) -> None:
        """The rest of an APDU will not come."""
        for segment in self.pending:
            segment.complete(hidden(segment.information))
        self.pending.clear()
        self.expected = None


class HdlcObserver(Observer):
    """Frames between any number of stations."""

    def __init__(self, link: LinkName, trace: Trace) -> None:
        super().__init__(link, trace)
        self._receivers = {direction: FrameReceiver() for direction in Direction}
        self._heard_at: dict[Direction, datetime] = {}
        self._flows: dict[tuple[Pair, Direction], _Flow] = {}

    def find_frames(self, direction: Direction, data: bytes, time: datetime) -> None:
        receiver = self._receivers[direction]
        dropped = receiver.dropped
        frames: list[Frame] = []
        pause = time - self._heard_at.get(direction, time)
        if receiver.inside_frame and pause > timedelta(seconds=INTER_OCTET_SECONDS):
            frames += receiver.resynchronise()
        self._heard_at[direction] = time
        frames += receiver.receive(data)
        if receiver.dropped > dropped:
            self.note(direction, time, f"broken frames: {receiver.dropped - dropped}")
        for frame in frames:
            self._see(direction, frame, time)

    def give_up(self) -> None:
        for flow in self._flows.values():
            flow.abandon(self.hidden)

    def _see(self, direction: Direction, frame: Frame, time: datetime) -> None:
        is_from_client = self.is_from_client(direction)
        pair = (frame.source, frame.destination) if is_from_client else (frame.destination, frame.source)
        details = {"framing": "hdlc", **_names(pair), **_details(frame)}
        event = Held(time, Layer.FRAME, direction, details, size=len(frame.information))
        self.put(event)
        if frame.kind in _BEGIN_ANEW:
            self._begin_anew(pair)
        if frame.kind is Kind.INFORMATION:
            self._see_segment(pair, frame, event)
        elif frame.kind is Kind.UI and not frame.segmented:
            segment = _Segment(frame.information)
            segment.add(frame, event)
            self._see_whole(pair, [segment], event)
        else:
            shown = frame.information if _is_open(frame) else self.hidden(frame.information)
            event.octets = replace(frame, information=shown).encode()

    def _begin_anew(self, pair: Pair) -> None:
        for direction in Direction:
            flow = self._flows.pop((pair, direction), None)
            if flow is not None:
                flow.abandon(self.hidden)
        self.forget(pair)

    def _see_segment(self, pair: Pair, frame: Frame, event: Held) -> None:
        flow = self._flow(pair, event.direction)
        number = frame.send_number
        if flow.expected not in (None, number):
            self._see_unexpected(pair, flow.recent.get(number), frame, event)
            return
        segment = flow.recent[number] = _Segment(frame.information)
        segment.add(frame, event)
        flow.pending.append(segment)
        flow.expected = (number + 1) % 8
        if not frame.segmented:
            segments, flow.pending = flow.pending, []
            self._see_whole(pair, segments, event)

    def _see_unexpected(self, pair: Pair, segment: _Segment | None, frame: Frame, event: Held) -> None:
        """It was sent again, or one before it was lost: then a question was missed, or its answer."""
        if segment is not None and segment.information == frame.information:
            event.details["repeated"] = True
            segment.add(frame, event)
        else:
            event.details["out_of_order"] = True
            event.octets = replace(frame, information=self.hidden(frame.information)).encode()
            self.forget(pair)

    def _see_whole(self, pair: Pair, segments: list[_Segment], last: Held) -> None:
        whole = b"".join(segment.information for segment in segments)
        if whole.startswith((LLC_REQUEST, LLC_RESPONSE)) and len(whole) > _LLC_SIZE:
            shown = whole[:_LLC_SIZE] + self.show(pair, last, whole[_LLC_SIZE:], _names(pair))
        else:
            shown = self.hidden(whole)
        for segment in segments:
            size = len(segment.information)
            segment.complete(shown[:size])
            shown = shown[size:]

    def _flow(self, pair: Pair, direction: Direction) -> _Flow:
        if len(self._flows) >= 2 * CONVERSATIONS_MAX:
            self.give_up()
            self._flows.clear()
        return self._flows.setdefault((pair, direction), _Flow())


def _is_open(frame: Frame) -> bool:
    """A frame that has no room for a part of an APDU: without information, or with what belongs there."""
    information = frame.information
    if frame.kind is Kind.FRMR:
        return len(information) <= _FRMR_SIZE_MAX
    try:
        Parameters.decode(information)
    except ChannelGarbled:
        return False
    return not information or len(information) == 3 + information[2]


def _names(pair: Pair) -> dict[str, object]:
    client, server = pair
    names: dict[str, object] = {"client_sap": client.logical, "server_sap": server.logical}
    return names if server.physical is None else {**names, "physical": server.physical}


def _details(frame: Frame) -> dict[str, object]:
    details: dict[str, object] = {"kind": frame.kind.value}
    if frame.kind is Kind.INFORMATION:
        details |= {"send_number": frame.send_number, "receive_number": frame.receive_number}
    elif frame.kind in _NUMBERED:
        details["receive_number"] = frame.receive_number
    elif frame.kind is Kind.UNKNOWN:
        details["control"] = frame.control
    return {**details, "final": frame.final, "segmented": frame.segmented, "size": len(frame.information)}
