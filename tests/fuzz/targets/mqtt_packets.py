"""MQTT packets of a broker: one stream whole and in pieces, in both versions of the protocol."""

from __future__ import annotations

from tests.fuzz.properties import Choices, assert_harmless
from transports.mqtt_packets import Message, Packet, encode_publish
from transports.mqtt_receiver import PacketReceiver

SIZE_MAX = 600


def seeds() -> list[bytes]:
    message = Message(
        "dlms/v1/lab/m1/rs/w1",
        b"\0\1\0\1\0\x10\0\3abc",
        expiry_seconds=30,
        content_type="application/vnd.dlms.wpdu",
        response_topic="dlms/v1/lab/m1/rs/w1",
        correlation=bytes(16),
        user=(("deadline", "1700000000"),),
    )
    packets = [
        bytes.fromhex("200900000622000a210014"),
        bytes.fromhex("900400010001"),
        bytes.fromhex("4003000710"),
        bytes.fromhex("e0078b051f00026f6b"),
        b"\xd0\0",
    ]
    streams = [*packets, b"".join(packets), *(encode_publish(message, 7, is_5=is_5) for is_5 in (True, False))]
    return [bytes((version, step, 9)) + stream for version in (0, 1) for step in (0, 6) for stream in streams]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    is_5, step, first_cut = bool(choices.octet() & 1), choices.octet() + 1, choices.octet()
    stream = choices.rest()
    whole = PacketReceiver(is_5=is_5, size_max=400)
    packets = whole.receive(stream)
    pieces = PacketReceiver(is_5=is_5, size_max=400)
    received = pieces.receive(stream[:first_cut])
    for start in range(first_cut, len(stream), step):
        received += pieces.receive(stream[start : start + step])
        assert len(pieces._partial) <= 400 + 5
    assert received == packets
    assert str(pieces.failure) == str(whole.failure)
    if whole.failure is not None:
        assert_harmless(whole.failure)
        assert whole.receive(b"\xd0\0") == []
    for packet in packets:
        check(packet, is_5=is_5)


def check(packet: Packet, *, is_5: bool) -> None:
    """A message that was understood is written and understood again."""
    if isinstance(packet, Message):
        again = encode_publish(packet, packet.packet_id, is_5=is_5)
        assert PacketReceiver(is_5=is_5).receive(again) == [packet]
