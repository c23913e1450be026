"""Server-sent events, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import data, integers, lists, sampled_from, text

from gateway.client.event_stream import EVENT_SIZE_MAX, EventStreamReceiver, EventTooLong, SentEvent

# The first four are the examples of the standard (WHATWG HTML, 9.2.6), word for word where they have words.
STREAMS: list[tuple[str, bytes, list[SentEvent]]] = [
    (
        "one event of two lines",
        b"data: YHOO\ndata: +2\ndata: 10\n\n",
        [SentEvent("", "message", "YHOO\n+2\n10")],
    ),
    (
        "a comment, an id that is taken back, and an end that is missing",
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [SentEvent("1", "message", "first event"), SentEvent("", "message", "second event")],
    ),
    ("empty data", b"data\n\ndata\ndata\n\ndata:", [SentEvent("", "message", ""), SentEvent("", "message", "\n")]),
    ("one blank", b"data:test\n\ndata: test\n\n", [SentEvent("", "message", "test")] * 2),
    ("as ours are", b'id: 7\nevent: order.held\ndata: {"a":1}\n\n', [SentEvent("7", "order.held", '{"a":1}')]),
    (
        "the id stays",
        b"id: 7\ndata: a\n\ndata: b\n\n",
        [SentEvent("7", "message", "a"), SentEvent("7", "message", "b")],
    ),
    (
        "lines that end otherwise",
        b"data: a\r\n\r\ndata: b\r\rdata: c\n\n",
        [SentEvent("", "message", x) for x in "abc"],
    ),
    ("two lines with CR LF", b"data: a\r\ndata: b\r\n\r\n", [SentEvent("", "message", "a\nb")]),
    ("a name without data", b"event: a\n\ndata: b\n\n", [SentEvent("", "message", "b")]),
    ("unknown fields", b"retry: 2000\nfoo: bar\n\ndata: b\n\n", [SentEvent("", "message", "b")]),
    ("an id with a NUL in it", b"id: 1\x002\ndata: b\n\n", [SentEvent("", "message", "b")]),
]


@pytest.mark.parametrize(("octets", "events"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_a_stream_is_read_whole_and_octet_by_octet(octets: bytes, events: list[SentEvent]) -> None:
    assert EventStreamReceiver().receive(octets) == events
    receiver = EventStreamReceiver()
    assert [event for octet in octets for event in receiver.receive(bytes([octet]))] == events


LINE_ENDS = ["\n", "\r\n", "\r"]


@given(lists(text("ab:\u20ac ", max_size=8), min_size=1, max_size=6), sampled_from(LINE_ENDS), data())
def test_cutting_the_stream_anywhere_changes_nothing(texts: list[str], end: str, draw: data) -> None:
    octets = "".join(f"data: {one}{end}{end}" for one in texts).encode()
    cut = draw.draw(integers(0, len(octets)))
    receiver = EventStreamReceiver()
    events = receiver.receive(octets[:cut]) + receiver.receive(octets[cut:])
    assert [event.data for event in events] == texts


def _receive_over_and_over(piece: bytes) -> None:
    receiver = EventStreamReceiver()
    for _ in range(EVENT_SIZE_MAX // len(piece) + 2):
        receiver.receive(piece)


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 65_529 + b"\n", b"x" * 65_536], ids=["lines", "one line"])
def test_an_event_without_end_is_given_up(piece: bytes) -> None:
    with pytest.raises(EventTooLong):
        _receive_over_and_over(piece)


def test_many_events_are_not_too_long() -> None:
    receiver = EventStreamReceiver()
    event = b"data: " + b"x" * 1000 + b"\n\n"
    assert sum(len(receiver.receive(event)) for _ in range(2000)) == 2000
