"""Finding HDLC frames in a stream: noise, and frames with right check sums, cut into pieces in two ways."""

from __future__ import annotations

from tests.fuzz.properties import Choices, assert_harmless
from tests.vectors import dlms_vectors
from transports.channel import ChannelGarbled
from transports.hdlc.frame import LENGTH_MASK, Frame, HdlcAddress
from transports.hdlc.receiver import FrameReceiver

SIZE_MAX = 400
STEPS_MAX = 40
ADDRESSES = (
    HdlcAddress(1),
    HdlcAddress(16),
    HdlcAddress(1, 17, 2),
    HdlcAddress(1, 17, 4),
    HdlcAddress(0x3FFF, 0x3FFF, 4),
)


def seeds() -> list[bytes]:
    frames = [
        vector.octets for vector in dlms_vectors().values() if vector.layer == "hdlc" and vector.octets[:1] == b"\x7e"
    ]
    raw = [bytes((cut, 5, 0, len(frame))) + frame for frame in frames for cut in (0, 6)]
    several = bytes((2, 4)) + b"".join(bytes((0, len(frame))) + frame for frame in frames)
    made = [bytes((0, 9, 1, 0x12, 0x10, 1, 5)) + b"\xe6\xe6\x00\xc0\x7e" + bytes((2, 0x21, 0x93, 0, 0, 0, 3, 1))]
    return [*raw, several, *made]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    step, first_cut = choices.octet() + 1, choices.octet()
    stream = made_of(choices)
    whole, pieces = FrameReceiver(), FrameReceiver()
    frames = whole.receive(stream)
    received = pieces.receive(stream[:first_cut])
    for start in range(first_cut, len(stream), step):
        received += pieces.receive(stream[start : start + step])
        assert len(pieces._buffer) <= LENGTH_MASK + 2 + step
    assert received == frames, "it matters where the stream is cut"
    assert (pieces.dropped, pieces.inside_frame) == (whole.dropped, whole.inside_frame)
    for frame in frames:
        assert frame.encode() in stream
        assert FrameReceiver().receive(frame.encode()) == [frame]
        assert_readable(frame)
    whole.resynchronise()
    assert not whole.inside_frame
    read_address(stream[:4])


def made_of(choices: Choices) -> bytes:
    """Noise, whole frames and damaged ones."""
    stream = b""
    for _ in range(STEPS_MAX):
        if not choices:
            break
        kind = choices.octet() % 3
        if kind == 0:
            stream += choices.piece()
            continue
        which, control, segmented = choices.octet(), choices.octet(), bool(choices.octet() & 1)
        destination, source = ADDRESSES[which % 5], ADDRESSES[(which >> 4) % 5]
        frame = Frame(destination, source, control, choices.piece(), segmented).encode()
        stream += frame if kind == 1 else choices.damage(frame)
    return stream


def assert_readable(frame: Frame) -> None:
    assert repr(frame)
    assert frame.kind.value
    assert 0 <= frame.send_number <= 7
    assert 0 <= frame.receive_number <= 7
    assert frame.final in {True, False}


def read_address(octets: bytes) -> None:
    try:
        address = HdlcAddress.decode(octets)
    except ChannelGarbled as error:
        assert_harmless(error)
    else:
        assert address.encode() == octets
