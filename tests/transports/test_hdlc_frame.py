from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.transports.vectors import vectors
from transports.channel import ChannelGarbled
from transports.hdlc.frame import SEGMENTED, SUM_GOOD, Frame, HdlcAddress, Kind, check_sum, pair, running_sum
from transports.hdlc.receiver import FrameReceiver

VECTORS = vectors("hdlc")
CLIENT = HdlcAddress.client(16)
SERVER = HdlcAddress.server(1, 17)


def single(wire: bytes) -> Frame:
    (frame,) = FrameReceiver().receive(wire)
    return frame


servers = st.builds(
    lambda size, sap, physical: (
        HdlcAddress(sap, physical or None, size)
        if size == 4
        else HdlcAddress(sap & 0x7F, (physical & 0x7F) or None if size == 2 else None, size)
    ),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 0x3FFF),
    st.integers(0, 0x3FFF),
)
frames = st.builds(
    Frame,
    destination=st.builds(HdlcAddress, st.integers(0, 0x7F)),
    source=servers,
    control=st.integers(0, 255),
    # Many flags and frame type bytes: what a careless receiver would stumble over.
    information=st.lists(st.sampled_from([0x7E, 0xA0, 0xA8, 0x07, 0x03, 0xE6, 0x00]), max_size=60).map(bytes)
    | st.binary(max_size=200),
    segmented=st.booleans(),
)


# The vectors, each with its source in tests/vectors/dlms_vectors.json.


def test_all_vectors_of_the_layer_are_used_here() -> None:
    assert list(VECTORS) == ["hdlc-01", "hdlc-02", "hdlc-04", "hdlc-06", "hdlc-08", "hdlc-10"]


def test_snrm_vector() -> None:
    vector = VECTORS["hdlc-01"]
    frame = single(vector.wire)
    assert (frame.destination.logical, frame.destination.physical) == tuple(vector.expect["dest"]), vector.source
    assert frame.source.logical == vector.expect["src"]
    assert frame.control == int(vector.expect["control"], 16)
    assert frame.kind is Kind.SNRM
    assert Frame(SERVER, CLIENT, 0x93).encode() == vector.wire


def test_ua_vector() -> None:
    vector = VECTORS["hdlc-02"]
    frame = single(vector.wire)
    assert frame.destination.logical == vector.expect["dest"], vector.source
    assert (frame.source.logical, frame.source.physical) == tuple(vector.expect["src"])
    assert frame.kind is Kind.UA
    assert Frame(CLIENT, SERVER, 0x73, frame.information).encode() == vector.wire


def test_information_frame_vector() -> None:
    vector = VECTORS["hdlc-04"]
    frame = single(vector.wire)
    assert frame.kind is Kind.INFORMATION
    assert (frame.send_number, frame.receive_number) == (vector.expect["ns"], vector.expect["nr"]), vector.source
    assert bool(frame.control & 0x10) is vector.expect["final"]
    assert frame.information.startswith(bytes.fromhex("E6E60060"))
    assert Frame(SERVER, CLIENT, 0x10, frame.information).encode() == vector.wire


def test_format_field_vector() -> None:
    vector = VECTORS["hdlc-06"]
    length = vector.expect["length"]
    information = bytes(length - 2 - 1 - 1 - 1 - 2 - 2)
    frame = Frame(HdlcAddress(1), HdlcAddress(1), 0x10, information)
    assert frame.encode()[1:3] == vector.wire, vector.source
    segmented = Frame(HdlcAddress(1), HdlcAddress(1), 0x10, information, segmented=True)
    assert int.from_bytes(segmented.encode()[1:3], "big") == int.from_bytes(vector.wire, "big") | SEGMENTED
    assert single(segmented.encode()) == segmented


def test_frame_check_sum_vector() -> None:
    vector = VECTORS["hdlc-08"]
    assert check_sum(vector.wire) == bytes.fromhex(vector.expect["fcs"]), vector.source


def test_check_value_of_the_catalogue() -> None:
    # CRC-16/IBM-SDLC of "123456789" is 906E in the CRC catalogue of G. Cook; low byte first on the wire.
    assert check_sum(b"123456789") == bytes.fromhex("6E90")


def test_address_vectors() -> None:
    vector = VECTORS["hdlc-10"]
    for role, value, expected in vector.expect["encode"]:
        wire = bytes.fromhex(expected)
        address = HdlcAddress.client(value) if role == "client" else HdlcAddress.server(*value)
        assert address.encode() == wire, vector.source
        assert HdlcAddress.decode(wire) == address


# Addresses.


@pytest.mark.parametrize(
    ("sap", "physical", "address_bytes", "wire"),
    [
        (1, None, None, "03"),
        (1, None, 1, "03"),
        (1, 17, None, "0223"),
        (1, 17, 4, "00020023"),
        (1, None, 2, "0201"),
        (1, None, 4, "00020001"),
        (127, 127, None, "FEFF"),
        # Another stack drops zero bytes here, and so asks logical 1, physical 17: another meter.
        (128, 17, None, "02000023"),
        (1, 128, None, "00020201"),
        (128, None, None, "02000001"),
        (0x3FFF, 0x3FFF, None, "FEFEFEFF"),
    ],
)
def test_server_addresses_are_as_short_as_they_can_be_and_keep_their_zero_bytes(
    sap: int, physical: int | None, address_bytes: int | None, wire: str
) -> None:
    address = HdlcAddress.server(sap, physical, address_bytes)
    assert address.encode() == bytes.fromhex(wire)
    back = HdlcAddress.decode(bytes.fromhex(wire))
    assert (back.logical, back.physical, back.size) == (sap, physical, len(wire) // 2)


@pytest.mark.parametrize(
    ("sap", "physical", "address_bytes", "words"),
    [
        (128, None, 1, "server SAP in 1 bytes is 0 to 127"),
        (1, 17, 1, "no physical part"),
        (128, 17, 2, "server SAP in 2 bytes is 0 to 127"),
        (1, 128, 2, "physical address in 2 bytes"),
        (0x4000, None, None, "0 to 16383"),
        (1, 0x4000, None, "0 to 16383"),
        (-1, None, None, "0 to 127"),
        (1, -1, None, "0 to 127"),
        (1, 1, 3, "1, 2 or 4 bytes, not 3"),
    ],
)
def test_addresses_that_do_not_fit_are_refused(
    sap: int, physical: int | None, address_bytes: int | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        HdlcAddress.server(sap, physical, address_bytes)


def test_a_client_address_is_one_byte() -> None:
    with pytest.raises(ValueError, match="0 to 127, not 128"):
        HdlcAddress.client(128)


def test_one_station_written_in_two_lengths_is_one_station() -> None:
    assert HdlcAddress.decode(b"\x03") == HdlcAddress.decode(b"\x02\x01") == HdlcAddress.decode(bytes([0, 2, 0, 1]))
    assert HdlcAddress.decode(b"\x03") != HdlcAddress.decode(b"\x02\x03")


@given(st.binary(max_size=6))
def test_any_bytes_are_an_address_or_garbled(wire: bytes) -> None:
    try:
        address = HdlcAddress.decode(wire)
    except ChannelGarbled:
        return
    assert address.encode() == wire


# Frames in a stream.


@given(frames)
def test_a_frame_survives_the_wire(frame: Frame) -> None:
    found = single(frame.encode())
    assert found == frame
    assert (found.destination.size, found.source.size) == (frame.destination.size, frame.source.size)


def test_a_frame_longer_than_its_format_field_can_say_is_refused() -> None:
    Frame(SERVER, CLIENT, 0x10, bytes(2030)).encode()
    with pytest.raises(ValueError, match="at most 2047 bytes"):
        Frame(SERVER, CLIENT, 0x10, bytes(2040)).encode()


@given(st.lists(frames, max_size=5), st.data())
def test_cutting_the_stream_anywhere_changes_nothing(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(frame.encode() for frame in sent)
    receiver = FrameReceiver()
    received: list[Frame] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        received += receiver.receive(stream[:cut])
        stream = stream[cut:]
    assert received == sent
    assert receiver.dropped == 0
    assert not receiver.inside_frame


@given(st.lists(frames, min_size=1, max_size=5))
def test_one_flag_may_close_a_frame_and_open_the_next(sent: list[Frame]) -> None:
    stream = b"\x7e" + b"".join(frame.encode()[1:] for frame in sent)
    assert FrameReceiver().receive(stream) == sent
    spaced = b"\x7e\x7e\x7e".join(frame.encode()[1:-1] for frame in [sent[0], *sent])
    assert FrameReceiver().receive(b"\x7e" + spaced + b"\x7e") == [sent[0], *sent]


@given(st.lists(st.tuples(st.binary(max_size=30), frames), min_size=1, max_size=4), st.data())
def test_noise_between_frames_is_passed_over(parts: list[tuple[bytes, Frame]], data: st.DataObject) -> None:
    # Noise with a flag in it can swallow the frame behind it; that case stands below.
    assume(all(0x7E not in noise for noise, _ in parts))
    stream = b"".join(noise + frame.encode() for noise, frame in parts)
    cut = data.draw(st.integers(0, len(stream)))
    receiver = FrameReceiver()
    assert receiver.receive(stream[:cut]) + receiver.receive(stream[cut:]) == [frame for _, frame in parts]


@given(st.lists(st.sampled_from([0x7E, 0xA0, 0xA7, 0xAF, 0x03, 0x21, 0x10]), max_size=40).map(bytes), frames)
def test_noise_that_looks_like_a_frame_delays_the_real_one_at_most_until_the_time_out(
    noise: bytes, frame: Frame
) -> None:
    receiver = FrameReceiver()
    found = receiver.receive(noise + frame.encode())
    found += receiver.resynchronise()
    assert found == [frame]
    assert not receiver.inside_frame


@given(frames, st.data())
def test_a_frame_with_a_broken_bit_is_dropped_and_the_next_one_arrives(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(frame.encode())
    bit = data.draw(st.integers(0, len(wire) * 8 - 1))
    wire[bit // 8] ^= 1 << bit % 8
    last = Frame(CLIENT, SERVER, 0x73)
    receiver = FrameReceiver()
    found = receiver.receive(bytes(wire)) + receiver.receive(last.encode()) + receiver.resynchronise()
    assert found[-1] == last
    # With a flag broken, the rest may be a good frame between the neighbours' flags, or noise. Never another frame.
    assert found[:-1] in ([], [frame])


@given(st.lists(frames, min_size=1, max_size=3), st.data())
def test_lost_bytes_make_no_frame_of_other_parts_than_were_sent(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(frame.encode() for frame in sent)
    start = data.draw(st.integers(0, len(stream) - 1))
    stop = data.draw(st.integers(start + 1, min(len(stream), start + 40)))
    last = Frame(CLIENT, SERVER, 0x73)
    receiver = FrameReceiver()
    found = receiver.receive(stream[:start] + stream[stop:])
    found += receiver.resynchronise() + receiver.receive(last.encode()) + receiver.resynchronise()
    assert found[-1] == last
    # After a right HCS the sum stands where it always does, so the FCS says nothing about the header: when just the
    # bytes from one frame's information to the next one's are lost, header and information still fit each other.
    headers = iter((frame.destination, frame.source, frame.control, frame.segmented) for frame in sent)
    information = iter(frame.information for frame in sent)
    for frame in found[:-1]:
        assert (frame.destination, frame.source, frame.control, frame.segmented) in headers
        assert frame.information in information


@given(st.lists(st.binary(max_size=3000) | st.just(b"\x7e\xa7\xff\x03\x03" * 100), max_size=6))
def test_any_bytes_are_frames_or_noise_and_never_kept_without_limit(pieces: list[bytes]) -> None:
    receiver = FrameReceiver()
    for piece in pieces:
        receiver.receive(piece)
        assert len(receiver._buffer) <= 2049
    receiver.resynchronise()
    assert not receiver.inside_frame


def test_a_broken_frame_is_counted() -> None:
    receiver = FrameReceiver()
    wire = bytearray(VECTORS["hdlc-04"].wire)
    wire[-4] ^= 1
    assert receiver.receive(bytes(wire)) == []
    assert receiver.dropped == 1
    assert receiver.receive(VECTORS["hdlc-04"].wire) == [single(VECTORS["hdlc-04"].wire)]


def test_a_frame_inside_a_broken_frame_is_data_and_no_frame() -> None:
    inner = Frame(CLIENT, SERVER, 0x10, b"\xe6\xe7\x00wrong").encode()
    outer = bytearray(Frame(CLIENT, SERVER, 0x10, b"\xe6\xe7\x00" + inner + b"tail").encode())
    outer[-4] ^= 1
    assert FrameReceiver().receive(bytes(outer)) == []


def test_a_frame_that_does_not_end_with_a_flag_is_no_frame() -> None:
    wire = VECTORS["hdlc-01"].wire
    assert FrameReceiver().receive(wire[:-1] + b"\x00" + wire) == [single(wire)]


def test_a_false_beginning_is_seen_through_as_soon_as_its_header_is_there() -> None:
    # It claims 2047 bytes that nobody will send: waiting for them would never end.
    frame = single(VECTORS["hdlc-01"].wire)
    assert FrameReceiver().receive(b"\x7e\xa7\xff\x03\x21\x10\x00\x00" + VECTORS["hdlc-01"].wire) == [frame]


@pytest.mark.parametrize(
    ("control", "kind"),
    [
        (0x00, Kind.INFORMATION),
        (0x10, Kind.INFORMATION),
        (0xFE, Kind.INFORMATION),
        (0x11, Kind.RR),
        (0xE1, Kind.RR),
        (0x15, Kind.RNR),
        (0x19, Kind.REJ),
        (0x93, Kind.SNRM),
        (0x83, Kind.SNRM),
        (0x73, Kind.UA),
        (0x53, Kind.DISC),
        (0x1F, Kind.DM),
        (0x97, Kind.FRMR),
        (0x13, Kind.UI),
        (0x03, Kind.UI),
        (0xFF, Kind.UNKNOWN),
        (0x1D, Kind.UNKNOWN),
    ],
)
def test_control_bytes(control: int, kind: Kind) -> None:
    assert Frame(SERVER, CLIENT, control).kind is kind


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_running_sum_behind_a_right_check_sum_is_always_the_same(header: bytes, information: bytes) -> None:
    header += check_sum(header)
    assert running_sum(header) == SUM_GOOD
    assert running_sum(information + check_sum(header + information), SUM_GOOD) == SUM_GOOD


stations = st.builds(HdlcAddress, st.integers(0, 2), st.none() | st.integers(1, 2), st.sampled_from([1, 2, 4]))


@given(stations, stations, stations, stations)
def test_the_key_of_two_stations_is_the_same_when_the_stations_are(
    one: HdlcAddress, other: HdlcAddress, third: HdlcAddress, fourth: HdlcAddress
) -> None:
    assert (pair(one, other) == pair(third, fourth)) == ((one, other) == (third, fourth))
