"""What a trace shows of links, and that it leaves them alone."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem_objects.dlms.describe import Keys
from cosem_objects.dlms.masking import Masker, TraceDescriber, apdu_name
from tests.cosem_objects.secret_conversations import PARTS, Said, conversations, remains
from tests.transports.wires import SmallPieces, echo, listen_somewhere
from transports.channel import ChannelClosed, NotSentError
from transports.endpoint import Endpoint
from transports.framing import HDLC, WRAPPER
from transports.hdlc.connection import LLC_REQUEST, LLC_RESPONSE, HdlcSettings, Parameters
from transports.hdlc.frame import SNRM, UA, Frame, HdlcAddress, information_control, ready_control
from transports.memory_stream import stream_pair
from transports.registry import open_link
from transports.stream import ByteStream, OnBytes, OnClosed
from transports.trace.files import JsonLines, Pcapng, StandardError, TraceTargetError, open_trace
from transports.trace.hdlc import HdlcObserver
from transports.trace.observer import HELD_BYTES_MAX, Observer
from transports.trace.stream import TracedStream
from transports.trace.trace import Direction, Knowledge, Layer, LinkName, Ring, Sink, Trace, TraceEvent
from transports.trace.wrapper import WrapperObserver
from transports.wrapper import wrap

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CLIENT, METER = HdlcAddress.client(1), HdlcAddress.server(1, 17)
GET = bytes.fromhex("C001C100080000010000FF0200")
ENTER = bytes.fromhex("C301C100730000132800FF0101090A48643202781314010686")
TOKEN = ENTER[-10:]


MASKED = Knowledge(lambda: Masker().mask, lambda: TraceDescriber(Keys()).describe, apdu_name)
OPEN = Knowledge(None, None, apdu_name)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


def ring_trace(knowledge: Knowledge = MASKED, *more: Sink) -> tuple[Trace, Ring]:
    ring = Ring(10_000, 1 << 24)
    return Trace(knowledge, Clock(), [ring, *more]), ring


def events(ring: Ring, *layers: str) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in ring.lines()]
    return [event for event in told if not layers or event["layer"] in layers]


class Probe:
    """An observer, fed by hand. We are the client."""

    def __init__(self, observer: type[Observer], knowledge: Knowledge = MASKED, *more: Sink) -> None:
        self.trace, self.ring = ring_trace(knowledge, *more)
        self.observer = observer(LinkName(1, "meter", is_meter=False), self.trace)

    def hear(self, direction: Direction, *pieces: bytes) -> None:
        for piece in pieces:
            self.observer.hear(direction, piece, self.trace.now())

    def sent(self, *pieces: bytes) -> None:
        self.hear(Direction.SENT, *pieces)

    def received(self, *pieces: bytes) -> None:
        self.hear(Direction.RECEIVED, *pieces)

    def end(self) -> None:
        self.observer.end()

    def told(self, *layers: str) -> list[dict[str, Any]]:
        return events(self.ring, *layers)


def information(is_client: bool, number: int, octets: bytes, *, more: bool = False, receive_number: int = 0) -> bytes:
    ends = (METER, CLIENT) if is_client else (CLIENT, METER)
    return Frame(*ends, information_control(number % 8, receive_number % 8), octets, more).encode()


def segments(is_client: bool, first: int, apdu: bytes, size: int) -> list[bytes]:
    whole = (LLC_REQUEST if is_client else LLC_RESPONSE) + apdu
    starts = range(0, len(whole), size)
    return [
        information(is_client, first + place, whole[start : start + size], more=start + size < len(whole))
        for place, start in enumerate(starts)
    ]


# The wrapper.


def test_a_message_is_told_as_bytes_frame_apdu_and_value() -> None:
    probe = Probe(WrapperObserver)
    probe.sent(wrap(16, 1, ENTER))
    told = probe.told()
    assert [event["layer"] for event in told] == ["bytes", "frame", "apdu", "value"]
    shown = ENTER[:-10] + b"*" * 10
    piece, frame, apdu, value = told
    common = {"time": "2026-11-21T12:00:00.000001+00:00", "link": 1, "peer": "meter", "direction": "sent"}
    saps = {"client_sap": 16, "server_sap": 1, "apdu": "action-request"}
    assert piece == {**common, "layer": "bytes", "size": len(ENTER) + 8}
    frame_hex = wrap(16, 1, shown).hex().upper()
    assert frame == {**common, **saps, "layer": "frame", "framing": "wrapper", "size": len(ENTER) + 8, "hex": frame_hex}
    assert apdu == {**common, **saps, "layer": "apdu", "size": len(ENTER), "hex": shown.hex().upper()}
    assert value.pop("value")["name"].startswith("action-request")
    assert value == {**common, **saps, "layer": "value"}


def test_secrets_are_shown_on_demand() -> None:
    probe = Probe(WrapperObserver, OPEN)
    probe.sent(wrap(16, 1, ENTER)[:9], wrap(16, 1, ENTER)[9:])
    told = probe.told()
    assert [event["layer"] for event in told] == ["bytes", "bytes", "frame", "apdu"]
    assert "".join(event["hex"] for event in told[:2]) == told[2]["hex"] == wrap(16, 1, ENTER).hex().upper()


@pytest.mark.parametrize("is_meter", [False, True])
def test_the_client_is_known_on_both_sides_and_in_both_directions(is_meter: bool) -> None:
    trace, ring = ring_trace()
    observer = WrapperObserver(LinkName(1, "peer", is_meter=is_meter), trace)
    asked, answered = list(Direction)[:: -1 if is_meter else 1]
    observer.hear(asked, wrap(16, 1, GET), NOON)
    observer.hear(answered, wrap(1, 16, GET), NOON)
    assert [(frame["client_sap"], frame["server_sap"]) for frame in events(ring, "frame")] == [(16, 1)] * 2


def test_a_stream_that_is_no_longer_understood_is_told_once() -> None:
    probe = Probe(WrapperObserver)
    probe.received(TOKEN * 2, TOKEN)
    assert [event["layer"] for event in probe.told()] == ["bytes", "note", "bytes"]
    assert "no longer understood" in probe.told("note")[0]["note"]


# HDLC.


def test_segments_are_shown_when_their_apdu_is_whole_and_in_order() -> None:
    probe = Probe(HdlcObserver)
    parts = segments(True, 0, ENTER, 12)
    ready = Frame(CLIENT, METER, ready_control(1)).encode()
    probe.sent(parts[0])
    probe.received(ready)
    assert [event["layer"] for event in probe.told()] == ["bytes"]
    probe.sent(parts[1], parts[2])
    frames = probe.told("frame")
    assert [event["kind"] for event in frames] == ["I", "RR", "I", "I"]
    assert [event["time"] for event in probe.told()] == sorted(event["time"] for event in probe.told())
    assert [frame.get("send_number") for frame in frames] == [0, None, 1, 2]
    shown = b"".join(segments(True, 0, ENTER[:-10] + b"*" * 10, 12))
    assert "".join(frames[place]["hex"] for place in (0, 2, 3)) == shown.hex().upper()
    assert [frame.get("apdu") for frame in frames] == [None, None, None, "action-request"]
    assert frames[0]["physical"] == 17


def test_a_segment_that_is_sent_again_is_shown_as_the_first_time() -> None:
    probe = Probe(HdlcObserver)
    one, two = segments(True, 0, ENTER, 24)
    probe.sent(one, one, two, two, one)
    frames = probe.told("frame")
    shown_one, shown_two = segments(True, 0, ENTER[:-10] + b"*" * 10, 24)
    assert [bytes.fromhex(frame["hex"]) for frame in frames] == [shown_one, shown_one, shown_two, shown_two, shown_one]
    assert [frame.get("repeated", False) for frame in frames] == [False, True, False, True, True]
    assert len(probe.told("apdu")) == 1


def test_what_comes_out_of_order_is_hidden() -> None:
    probe = Probe(HdlcObserver)
    probe.sent(information(True, 0, LLC_REQUEST + GET), information(True, 4, LLC_REQUEST + GET))
    first, second = probe.told("frame")
    assert second["out_of_order"] is True
    assert second["hex"] == information(True, 4, b"*" * 16).hex().upper()
    assert "out_of_order" not in first


def test_after_a_frame_that_was_not_heard_an_answer_is_one_to_something_unknown() -> None:
    probe = Probe(HdlcObserver)
    probe.sent(information(True, 0, LLC_REQUEST + GET), information(True, 2, LLC_REQUEST + GET))
    probe.received(information(False, 0, LLC_RESPONSE + bytes.fromhex("C401C10009034F4B21")))
    assert probe.told("apdu")[-1]["hex"] == "C401C10009032A2A2A"


@pytest.mark.parametrize("how", ["end", "SNRM", "too much"])
def test_an_apdu_that_stays_incomplete_is_hidden(how: str) -> None:
    probe = Probe(HdlcObserver)
    first = segments(True, 0, GET * 3, 24)[0]
    probe.sent(first)
    match how:
        case "end":
            probe.end()
        case "SNRM":
            probe.sent(Frame(METER, CLIENT, SNRM).encode())
        case _:
            for _ in range(HELD_BYTES_MAX // 256):
                probe.received(Frame(CLIENT, METER, ready_control(1)).encode())
    assert probe.told("frame")[0]["hex"] == information(True, 0, b"*" * 24, more=True).hex().upper()


def test_the_parameters_of_a_connection_are_shown() -> None:
    probe = Probe(HdlcObserver)
    frame = Frame(CLIENT, METER, UA, Parameters(64, 64).encode())
    odd = Frame(CLIENT, METER, UA, Parameters(64, 64).encode() + TOKEN)
    probe.received(frame.encode(), odd.encode())
    assert [
        event["hex"] == one.encode().hex().upper() for event, one in zip(probe.told("frame"), (frame, odd), strict=True)
    ] == [
        True,
        False,
    ]


def test_an_answer_after_a_new_connection_is_one_to_something_unknown() -> None:
    answer = bytes.fromhex("C401C10009034F4B21")
    probe = Probe(HdlcObserver)
    for begin in (b"", Frame(METER, CLIENT, SNRM).encode()):
        probe.sent(information(True, 0, LLC_REQUEST + GET), begin)
        probe.received(information(False, 0, LLC_RESPONSE + answer))
        probe.sent(Frame(METER, CLIENT, SNRM).encode())
    shown = [event["hex"] for event in probe.told("apdu") if event["direction"] == "received"]
    assert shown == [answer.hex().upper(), "C401C10009032A2A2A"]


def test_noise_and_broken_frames_are_told_by_number() -> None:
    probe = Probe(HdlcObserver)
    broken = bytearray(information(True, 0, LLC_REQUEST + ENTER))
    broken[-5] ^= 4
    probe.sent(TOKEN, bytes(broken))
    assert [event["layer"] for event in probe.told()] == ["bytes", "bytes", "note"]
    assert probe.told("note")[0]["note"] == "broken frames: 1"


def test_after_a_pause_the_rest_of_a_frame_is_not_expected() -> None:
    probe = Probe(HdlcObserver)
    begun = information(True, 0, LLC_REQUEST + bytes(100))[:20]
    frame = information(True, 0, LLC_REQUEST + GET)
    probe.sent(begun, frame)
    assert probe.told("frame") == []
    probe.observer.hear(Direction.SENT, frame, NOON + timedelta(seconds=3))
    frames = probe.told("frame")
    assert [event["hex"] for event in frames] == [frame.hex().upper()] * 2
    assert [event.get("repeated", False) for event in frames] == [False, True]


# Secrets.


class Kept(Sink):
    """Everything that a sink could write."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []

    def take(self, event: TraceEvent, line: str) -> None:
        text = "" if event.description is None else event.description.to_text()
        self.shown += [line.encode(), event.octets or b"", text.encode(), repr(event).encode()]

    def close(self) -> None: ...


def on_hdlc(said: Sequence[Said], size: int, repeats: Iterable[int]) -> list[tuple[Direction, bytes]]:
    """The frames of a conversation; those numbered in ``repeats`` are sent twice."""
    frames: list[tuple[Direction, bytes]] = []
    numbers = {True: 0, False: 0}
    for is_client, apdu in said:
        for part in segments(is_client, numbers[is_client], apdu, size):
            frames += [(Direction.SENT if is_client else Direction.RECEIVED, part)] * (
                2 if len(frames) in repeats else 1
            )
            numbers[is_client] += 1
    return frames


@settings(max_examples=60)
@given(conversations, st.data())
@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
def test_no_trace_shows_a_secret_whatever_becomes_of_the_bytes(
    framing: str, said: list[Said], data: st.DataObject
) -> None:
    """Cut anywhere, in segments of 32 octets, sent again, and on HDLC with broken frames and lost ones."""
    kept, lines, packets = Kept(), io.StringIO(), io.BytesIO()
    trace = Trace(MASKED, Clock(), [kept, JsonLines(lines, "", closes=False), Pcapng(packets, "", closes=False)])
    new_observer = (WRAPPER if framing == "wrapper" else HDLC).observer
    observer = new_observer(LinkName(1, "meter", is_meter=False), trace)
    places = st.sets(st.integers(0, 3 * len(said)), max_size=4)
    if framing == "wrapper":
        frames = [(Direction.SENT if up else Direction.RECEIVED, wrap(1, 1, apdu)) for up, apdu in said]
    else:
        frames = on_hdlc(said, data.draw(st.sampled_from((32, 8, 128))), data.draw(places))
    broken = data.draw(places) if framing == "hdlc" else set()
    lost = data.draw(places) if framing == "hdlc" else set()
    for number, (direction, frame) in enumerate(frames):
        octets = bytearray(frame)
        if number in broken:
            octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        cut = data.draw(st.integers(0, len(octets)))
        for piece in (bytes(octets[:cut]), bytes(octets[cut:])):
            if number not in lost:
                observer.hear(direction, piece, trace.now())
    observer.end()
    trace.close()
    for shown in (*kept.shown, lines.getvalue().encode(), packets.getvalue()):
        assert not remains(shown)


def test_the_search_would_find_a_secret_in_each_output(tmp_path: Path) -> None:
    targets = [tmp_path / "a.jsonl", tmp_path / "a.pcapng"]
    trace = open_trace([str(target) for target in targets], OPEN, now=Clock())
    WrapperObserver(LinkName(1, "meter", is_meter=False), trace).hear(Direction.SENT, wrap(1, 1, ENTER), NOON)
    trace.close()
    assert TOKEN[:6] in PARTS
    assert all(remains(target.read_bytes()) for target in targets)


# Ring and files.


def event(text: str) -> TraceEvent:
    return TraceEvent(NOON, LinkName(1, "meter", is_meter=False), Layer.NOTE, details={"note": text})


def test_a_ring_keeps_the_last_events_within_both_limits() -> None:
    few, small = Ring(events_max=3), Ring(bytes_max=100)
    for number in range(10):
        line = f"{number}" * 30
        few.take(event(""), line)
        small.take(event(""), line)
    assert [line[0] for line in few.lines()] == ["7", "8", "9"]
    assert [line[0] for line in small.lines()] == ["7", "8", "9"]
    assert few.forgotten == small.forgotten == 7
    small.take(event(""), "x" * 101)
    assert small.lines() == ()


def test_a_full_disk_ends_its_file_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = tmp_path / "good.jsonl"
    full = JsonLines(Path("/dev/full").open("w", encoding="ascii"), "full.jsonl")  # noqa: SIM115 - the trace closes it
    trace = open_trace([str(good)], MASKED, now=Clock(), more=[full])
    for number in range(3):
        trace.tell(event(f"{number}"))
    trace.close()
    trace.close()
    assert len(good.read_text().splitlines()) == 3
    (record,) = caplog.records
    assert "No space left" in record.getMessage()
    assert "full.jsonl" in record.getMessage()


def test_who_stops_reading_standard_error_ends_the_trace_there_and_stops_nothing() -> None:
    reader, writer = os.pipe()
    try:
        sink = StandardError(writer)
        trace = Trace(MASKED, Clock(), [sink])
        trace.tell(event("first"))
        trace.tell(event("x" * 200_000))
        trace.tell(event("never"))
        told = os.read(reader, 1 << 20)
        trace.tell(event("never either"))
        trace.close()
        trace.close()
        told += os.read(reader, 1 << 20)
    finally:
        os.close(reader)
        os.close(writer)
    lines = told.decode().splitlines()
    assert json.loads(lines[0])["note"] == "first"
    assert "never" not in told.decode()
    assert lines[-1] == "the trace to standard error ended early: nobody read it, 3 events are lost"


def test_standard_error_is_written_in_order_and_whole_while_somebody_reads(capfd: pytest.CaptureFixture[str]) -> None:
    trace = open_trace(["-"], MASKED, now=Clock())
    for number in range(3):
        trace.tell(event(f"{number}" * 30_000))
    trace.close()
    notes = [json.loads(line)["note"] for line in capfd.readouterr().err.splitlines()]
    assert notes == [f"{number}" * 30_000 for number in range(3)]


def test_standard_error_is_a_target_and_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    trace = open_trace(["-"], MASKED, now=Clock())
    trace.tell(event("hello"))
    trace.close()
    told = json.loads(capsys.readouterr().err)
    assert told == {
        "time": "2026-11-21T12:00:00.000000+00:00",
        "link": 1,
        "peer": "meter",
        "layer": "note",
        "note": "hello",
    }


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("pipe.jsonl", "cannot write .*pipe.jsonl: it is no regular file"),
        ("pipe.pcapng", "cannot write .*pipe.pcapng: it is no regular file"),
        ("a.txt", "expected FILE.jsonl"),
        ("", "expected FILE"),
        ("nowhere/a.jsonl", "No such file"),
        ("a.pcap", "expected"),
    ],
)
def test_a_target_that_cannot_be_is_refused(tmp_path: Path, target: str, words: str) -> None:
    good = tmp_path / "good.pcapng"
    for pipe in ("pipe.jsonl", "pipe.pcapng"):
        os.mkfifo(tmp_path / pipe)
    with pytest.raises(TraceTargetError, match=words):
        open_trace([str(good), str(tmp_path / target) if target else ""], MASKED)
    assert good.exists()


def test_a_trace_is_for_its_owner_only(tmp_path: Path) -> None:
    target = tmp_path / "a.jsonl"
    open_trace([str(target)], MASKED).close()
    assert target.stat().st_mode & 0o777 == 0o600


# Streams.


class Tap(SmallPieces):
    """Passes everything on as it is, and keeps it."""

    def __init__(self, inner: ByteStream, arrived: bytearray, written: bytearray) -> None:
        super().__init__(inner)
        self._arrived = arrived
        self._written = written

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            self._arrived += data
            on_bytes(data)

        self._inner.start(arrived, on_closed)

    def write(self, data: bytes) -> None:
        self._written += data
        super().write(data)


async def talk(scheme: str, trace: Trace | None) -> tuple[bytearray, bytearray, list[bytes]]:
    """What arrived at the meter, what it wrote, and what the client got: over real sockets, long APDUs among them."""
    arrived, written, answers = bytearray(), bytearray(), []
    apdus = (GET, ENTER, bytes(range(256)) * 8)
    hdlc = HdlcSettings(info_max=32)
    async with (
        await listen_somewhere(
            scheme, echo, through=lambda stream: Tap(stream, arrived, written), trace=trace, hdlc=hdlc
        ) as listener,
        await open_link(Endpoint.parse(listener.url), trace=trace, hdlc=hdlc) as link,
    ):
        channel = link.channel(1, 1)
        await channel.open(5)
        for apdu in apdus:
            await channel.send(apdu)
            answers.append(await channel.receive(5))
        await channel.close()
    assert answers == [apdu[::-1] for apdu in apdus]
    return arrived, written, answers


@pytest.mark.parametrize("scheme", ["tcp", "hdlc+tcp"])
async def test_a_traced_link_carries_the_same_bytes(scheme: str) -> None:
    trace, ring = ring_trace()
    assert await talk(scheme, trace) == await talk(scheme, None)
    apdus = events(ring, "apdu")
    assert [event["size"] for event in apdus if event["link"] == 2] == [13, 13, 25, 25, 2048, 2048]
    assert {event["link"] for event in events(ring)} == {1, 2}  # both ends of one connection
    notes = [event["note"] for event in events(ring, "note")]
    assert notes[:2] == ["link opened"] * 2
    assert sorted(note[:11] for note in notes[2:]) == ["link closed"] * 2


class Clumsy(WrapperObserver):
    """An observer that is wrong."""

    def hear(self, direction: Direction, data: bytes, time: datetime) -> None:
        raise IndexError(data.hex())


async def test_a_mistake_in_the_trace_ends_the_trace_alone(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = stream_pair()
    trace, ring = ring_trace()
    stream = TracedStream(ours)
    stream.listen(trace, Clumsy, is_meter=False)
    arrived = asyncio.get_running_loop().create_future()
    stream.start(lambda _data: None, lambda _error: None)
    theirs.start(arrived.set_result, lambda _error: None)
    with caplog.at_level(logging.WARNING):
        stream.write(TOKEN)
        stream.write(TOKEN)
    assert await arrived == TOKEN * 2
    await stream.close()
    (record,) = caplog.records
    assert record.getMessage() == "the trace of server ends here: IndexError"
    assert [event["note"] for event in events(ring)] == ["link opened"]


async def test_the_end_of_a_link_is_told_with_its_reason() -> None:
    ours, theirs = stream_pair()
    trace, ring = ring_trace()
    ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    stream = TracedStream(ours)
    stream.listen(trace, HdlcObserver, is_meter=False)
    stream.start(lambda _data: None, ended.set_result)
    stream.write(segments(True, 0, ENTER, 12)[0])
    theirs.hang_up()
    assert isinstance(await ended, ChannelClosed)
    stream.hang_up()
    await stream.close()
    assert [event["layer"] for event in events(ring)] == ["note", "bytes", "frame", "note"]
    assert events(ring)[-1]["note"] == "link closed: the other side closed the connection"


async def test_what_was_not_sent_is_not_told() -> None:
    ours, _theirs = stream_pair()
    trace, ring = ring_trace()
    stream = TracedStream(ours)
    stream.listen(trace, WrapperObserver, is_meter=False)
    stream.start(lambda _data: None, lambda _error: None)
    ours.hang_up()
    with pytest.raises(NotSentError):
        stream.write(wrap(1, 1, GET))
    assert [event["layer"] for event in events(ring)] == ["note"]
