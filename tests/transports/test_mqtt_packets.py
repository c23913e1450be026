"""MQTT packets: bytes that other programs wrote, and streams in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.channel import ChannelGarbled
from transports.mqtt_packets import (
    PACKET_SIZE_MAX,
    Acknowledgement,
    Alive,
    Connack,
    Disconnected,
    Message,
    TopicFilter,
    encode_connect,
    encode_disconnect,
    encode_ping,
    encode_puback,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
    reason_name,
)
from transports.mqtt_receiver import PacketReceiver

WILL = Message("dlms/v1/lab/m1/state", b'{"online":false}', retain=True)

# Recorded from mosquitto_pub and mosquitto_sub 2.0.11, which were told the same.
CONNECT_5 = (
    "104b00044d51545405ee001e08210010270002000000027731000014646c6d732f76312f6c61622f6d312f737461746500107b226f6e6c69"
    "6e65223a66616c73657d00046761746500036c6162"
)
CONNECT_3 = (
    "103600044d515454042e001e000277310014646c6d732f76312f6c61622f6d312f737461746500107b226f6e6c696e65223a66616c73657d"
)
SUBSCRIBE_3 = "821c00010011646c6d732f76312f6c61622f6d312f7271010003612f6201"
PUBLISH_3 = "331b0014646c6d732f76312f6c61622f6d312f73746174650001616263"

# Recorded from mosquitto 2.0.11 as a broker; the message was published with mosquitto_pub.
FROM_A_BROKER_5 = {
    "200900000622000a210014": Connack(0, receive_maximum=20),
    "900400010001": Acknowledgement(1, (1,)),
    "4003000710": Acknowledgement(7, (0x10,)),
    "d000": Alive(),
    "20020001": Connack(0x84),
    (
        "327b0011646c6d732f76312f6c61622f6d312f7271000162080014646c6d732f76312f6c61622f6d312f72732f7731090010303132333435"
        "363738396162636465660300196170706c69636174696f6e2f766e642e646c6d732e77706475260008646561646c696e65000a3137303030"
        "3030303030020000001e616263"
    ): Message(
        "dlms/v1/lab/m1/rq",
        b"abc",
        expiry_seconds=30,
        content_type="application/vnd.dlms.wpdu",
        response_topic="dlms/v1/lab/m1/rs/w1",
        correlation=b"0123456789abcdef",
        user=(("deadline", "1700000000"),),
        packet_id=1,
    ),
}
FROM_A_BROKER_3 = {
    "20020000": Connack(0),
    "20020005": Connack(0x87),
    "9003000101": Acknowledgement(1, (1,)),
    "40020007": Acknowledgement(7, (0,)),
    "b0020008": Acknowledgement(8, ()),
    "32180011646c6d732f76312f6c61622f6d312f72710001616263": Message("dlms/v1/lab/m1/rq", b"abc", packet_id=1),
}


def test_what_another_client_writes_is_what_we_write() -> None:
    login = {"keep_alive_seconds": 30, "will": WILL}
    connect_5 = encode_connect("w1", is_5=True, username="gate", password="lab", receive_maximum=16, **login)  # type: ignore[arg-type]
    assert connect_5.hex() == CONNECT_5
    assert encode_connect("w1", is_5=False, **login).hex() == CONNECT_3  # type: ignore[arg-type]
    filters = [TopicFilter("dlms/v1/lab/m1/rq"), TopicFilter("a/b")]
    assert encode_subscribe(1, filters, is_5=False).hex() == SUBSCRIBE_3
    assert encode_publish(WILL._replace(payload=b"abc"), 1, is_5=False).hex() == PUBLISH_3
    assert (encode_ping(), encode_disconnect(), encode_puback(258)) == (b"\xc0\0", b"\xe0\0", b"\x40\x02\x01\x02")


@pytest.mark.parametrize(
    ("octets", "is_5", "packet"),
    [(octets, True, packet) for octets, packet in FROM_A_BROKER_5.items()]
    + [(octets, False, packet) for octets, packet in FROM_A_BROKER_3.items()],
)
def test_what_a_broker_writes_is_understood_in_pieces_of_any_size(octets: str, is_5: bool, packet: object) -> None:
    stream = bytes.fromhex(octets)
    for size in range(1, len(stream) + 1):
        receiver = PacketReceiver(is_5=is_5)
        received = [
            one for start in range(0, len(stream), size) for one in receiver.receive(stream[start : start + size])
        ]
        assert received == [packet]
        assert receiver.failure is None


def test_options_of_a_subscription_keep_old_messages_away() -> None:
    # Retain handling 2 (bits 5 and 4), retain as published (bit 3), QoS 1: MQTT 5.0, 3.8.3.1.
    packet = encode_subscribe(1, [TopicFilter("a"), TopicFilter("b", wants_retained=True)], is_5=True)
    assert packet == bytes.fromhex("820b 0001 00 0001 61 29 0001 62 01")
    assert encode_unsubscribe(2, ["a"], is_5=True) == bytes.fromhex("a206 0002 00 0001 61")
    assert encode_unsubscribe(2, ["a"], is_5=False) == bytes.fromhex("a205 0002 0001 61")


# MQTT 3.1.1, table 2.4: the edges of the remaining length. A PUBLISH to "t" of 3.1.1 has 5 octets before its payload.
@pytest.mark.parametrize(
    ("size", "length"), [(127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (65_543, "878004")]
)
def test_long_packets_are_measured_as_the_standard_measures(size: int, length: str) -> None:
    octets = encode_publish(Message("t", bytes(size - 5)), 1, is_5=False)
    assert octets[: 1 + len(length) // 2].hex() == "32" + length
    assert len(octets) == 1 + len(length) // 2 + size
    assert PacketReceiver(is_5=False).receive(octets) == [Message("t", bytes(size - 5), packet_id=1)]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="+#\0"), max_size=30)
MESSAGES = st.builds(
    Message,
    topic=TEXT.filter(bool),
    payload=st.binary(max_size=200),
    qos=st.integers(0, 1),
    retain=st.booleans(),
    expiry_seconds=st.none() | st.integers(0, 2**32 - 1),
    content_type=TEXT,
    response_topic=TEXT,
    correlation=st.binary(max_size=40),
    user=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
)


@given(st.lists(MESSAGES, max_size=4), st.data())
def test_cutting_a_stream_anywhere_changes_nothing(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(encode_publish(message, 7, is_5=True) for message in messages)
    cut = data.draw(st.integers(0, len(stream)))
    receiver = PacketReceiver(is_5=True)
    received = receiver.receive(stream[:cut]) + receiver.receive(stream[cut:])
    assert received == [message._replace(packet_id=7 if message.qos else 0) for message in messages]


@pytest.mark.parametrize(
    ("octets", "is_5", "why"),
    [
        ("34 04 0001 61 0001", True, "QoS 2"),
        ("32 05 0001 61 0000", True, "packet identifier 0"),
        ("30 03 0001 2b", False, "proper topic"),
        ("30 03 0001 ff", False, "no text"),
        ("30 02 0009", False, "longer than its packet"),
        ("32 03 0001 61", False, "ends too early"),
        ("10 00", True, "type 0x10"),
        ("f0 00", False, "type 0xF0"),
        ("e0 00", False, "3.1.1"),
        ("30 ff ff ff ff", True, "more than four"),
        ("30 ff ff ff 7f", True, "268435455 bytes was announced"),
        ("30 06 0001 61 7f 00 00", True, "properties that are longer"),
        ("30 06 0001 61 02 63 00", True, "nobody knows"),
        ("30 08 0001 61 04 0101 0101", True, "twice"),
        ("30 09 0001 61 01 02 0000001e", True, "longer than the properties"),
        ("20 01 00", True, "ends too early"),
    ],
)
def test_what_is_no_mqtt_ends_the_stream_and_says_why(octets: str, is_5: bool, why: str) -> None:
    receiver = PacketReceiver(is_5=is_5)
    assert receiver.receive(b"\xd0\0" + bytes.fromhex(octets)) == [Alive()]
    assert isinstance(receiver.failure, ChannelGarbled)
    assert pytest.raises(ChannelGarbled, match=why).matches(receiver.failure)
    assert receiver.receive(b"\xd0\0") == []


def test_a_length_alone_reserves_nothing() -> None:
    receiver = PacketReceiver(is_5=True, size_max=PACKET_SIZE_MAX)
    assert receiver.receive(bytes.fromhex("30 80 80 08")) == []
    assert receiver.failure is None
    assert len(receiver._partial) == 4


def test_a_broker_says_in_words_why_it_goes() -> None:
    (packet,) = PacketReceiver(is_5=True).receive(bytes.fromhex("e0 07 8b 05 1f 0002 6f6b"))
    assert packet == Disconnected(0x8B, "ok")
    assert PacketReceiver(is_5=True).receive(bytes.fromhex("e000")) == [Disconnected(0)]
    assert (reason_name(0x87), reason_name(0xF1)) == ("not authorized (0x87)", "reason (0xF1)")


def test_what_is_in_a_message_is_not_shown() -> None:
    assert "secret" not in repr(Message("a/b", b"secret"))


def test_strings_that_mqtt_cannot_carry_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 65535 octets, not 65536"):
        encode_publish(Message("t" * 65_536, b""), 1, is_5=True)
