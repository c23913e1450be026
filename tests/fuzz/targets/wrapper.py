"""The wrapper: one stream whole and in pieces. The first octets of an input say where to cut, and the size limit."""

from __future__ import annotations

from tests.fuzz.properties import Choices, assert_harmless
from tests.vectors import dlms_vectors
from transports.wrapper import HEADER, Message, WrapperReceiver, wrap

SIZE_MAX = 600


def seeds() -> list[bytes]:
    messages = [vector.octets for vector in dlms_vectors().values() if vector.layer == "wrapper"]
    streams = [
        *messages,
        b"".join(messages),
        messages[0] + wrap(1, 1, b"\xc0") + b"\0\2\0\1",
        bytes.fromhex("0001" * 4),
    ]
    empty = HEADER.pack(1, 1, 16, 0)
    return [bytes((cut, 1, 100, 255)) + stream for cut in (3, 9) for stream in (*streams, empty + messages[0])]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    step, size_max = choices.octet() + 1, choices.number()
    first_cut = choices.octet()
    stream = choices.rest()
    whole = WrapperReceiver(size_max)
    messages = whole.receive(stream)
    assert messages_fit(messages, stream, size_max)
    pieces = WrapperReceiver(size_max)
    received = pieces.receive(stream[:first_cut])
    for start in range(first_cut, len(stream), step):
        received += pieces.receive(stream[start : start + step])
        assert len(pieces._partial) < HEADER.size + size_max
    assert received == messages
    assert str(pieces.failure) == str(whole.failure)
    assert pieces.inside_message == whole.inside_message
    if whole.failure is not None:
        assert_harmless(whole.failure)
        assert whole.receive(wrap(1, 1, b"\xc0")) == []


def messages_fit(messages: list[Message], stream: bytes, size_max: int) -> bool:
    """All of them stand in the stream, in order, and none is too long."""
    at = 0
    for message in messages:
        wrapped = wrap(*message)
        at = stream.find(wrapped, at)
        if at < 0 or len(message[2]) > size_max:
            return False
        at += len(wrapped)
    return True
