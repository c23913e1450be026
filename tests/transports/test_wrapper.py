from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transports.vectors import Vector, vectors
from transports.wrapper import WrapperReceiver, wrap

VECTORS = vectors("wrapper").values()

messages = st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=300)), max_size=5
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_published_messages_are_read_and_written_alike(vector: Vector) -> None:
    ((source, destination, apdu),) = WrapperReceiver().receive(vector.wire)
    assert source == vector.expect["source_wport"], vector.source
    assert destination == vector.expect["destination_wport"]
    assert len(apdu) == vector.expect["length"]
    assert wrap(source, destination, apdu) == vector.wire


def test_the_vectors_are_there() -> None:
    assert [vector.id for vector in VECTORS] == ["wrap-01", "wrap-02"]


@given(messages, st.data())
def test_cutting_the_stream_anywhere_changes_nothing(sent: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(wrap(*message) for message in sent)
    receiver = WrapperReceiver()
    received: list[tuple[int, int, bytes]] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        received += receiver.receive(stream[:cut])
        stream = stream[cut:]
    assert received == sent
    assert receiver.failure is None
    assert not receiver.inside_message


@given(messages, st.binary(max_size=60), st.data())
def test_what_stands_before_the_first_error_is_delivered_however_the_stream_is_cut(
    sent: list[tuple[int, int, bytes]], noise: bytes, data: st.DataObject
) -> None:
    stream = b"".join(wrap(*message) for message in sent) + noise
    whole = WrapperReceiver()
    at_once = whole.receive(stream)
    pieces = WrapperReceiver()
    cut = data.draw(st.integers(0, len(stream)))
    in_two = pieces.receive(stream[:cut]) + pieces.receive(stream[cut:])
    assert at_once[: len(sent)] == sent
    assert at_once == in_two
    assert str(whole.failure) == str(pieces.failure)


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_any_bytes_are_messages_or_a_failure_and_never_kept_without_limit(pieces: list[bytes]) -> None:
    receiver = WrapperReceiver(apdu_size_max=200)
    for piece in pieces:
        receiver.receive(piece)
        assert len(receiver._partial) < 208


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("0002 0001 0001 0001 00", "begins with 0001, not 0002"),
        ("0100 0001 0001 0001 00", "begins with 0001, not 0100"),
        ("7EA0 0802 2321 93BD 64", "not 7EA0"),
        ("0001 0001 0001 0065", "an APDU of 101 bytes was announced; at most 100"),
    ],
)
def test_a_header_that_cannot_be_ends_the_stream(header: str, words: str) -> None:
    receiver = WrapperReceiver(apdu_size_max=100)
    assert receiver.receive(bytes.fromhex(header)) == []
    assert receiver.failure is not None
    assert words in str(receiver.failure)
    assert receiver.receive(wrap(1, 1, b"x")) == []


def test_an_empty_message_is_passed_over() -> None:
    assert WrapperReceiver().receive(bytes.fromhex("0001000100010000") + wrap(1, 16, b"x")) == [(1, 16, b"x")]


@pytest.mark.parametrize("size", [0, 65_536])
def test_an_apdu_whose_length_the_header_cannot_say_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 65535 bytes, not {size}"):
        wrap(1, 1, bytes(size))


def test_the_longest_apdu_passes_byte_by_byte() -> None:
    receiver = WrapperReceiver()
    apdu = bytes(range(256)) * 255 + bytes(255)
    received = [message for byte in wrap(16, 1, apdu) for message in receiver.receive(bytes((byte,)))]
    assert received == [(16, 1, apdu)]
