"""MQTT control packets, as a client writes and reads them (OASIS MQTT 5.0, and 3.1.1 which lacks the properties).

    type and flags 1 | remaining length 1-4 | variable header | payload        big-endian; strings: length 2, UTF-8

Pure: bytes in, packets out. Only QoS 0 and 1, which is all that this project uses. A stream that breaks the rules
cannot be read any further: the connection is closed (MQTT 5.0, 4.13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

from transports.channel import ChannelGarbled

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 0x82, 0x90, 0xA2, 0xB0
PINGREQ, PINGRESP, DISCONNECT = 0xC0, 0xD0, 0xE0

PACKET_SIZE_MAX = 1 << 17
"""The longest APDU in a wrapper has 65,543 octets; topic and properties add some hundred."""
PACKET_ID_MAX = 0xFFFF
STRING_SIZE_MAX = 0xFFFF

# Property identifiers (MQTT 5.0, 2.2.2.2) that mean something to us.
MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA = 2, 3, 8, 9
SERVER_KEEP_ALIVE, REASON_STRING, RECEIVE_MAXIMUM, MAXIMUM_QOS = 19, 31, 33, 36
USER_PROPERTY, MAXIMUM_PACKET_SIZE = 38, 39

NO_MATCHING_SUBSCRIBERS = 0x10
REFUSED = 0x80
"""Reason codes from here on mean: no."""

_U16 = Struct(">H")
_U32 = Struct(">I")

# How each property's value is written: an octet, u16, u32, variable number, string, binary, or a pair of strings.
_FORMS = {
    **dict.fromkeys((1, 23, 25, 36, 37, 40, 41, 42), "octet"),
    **dict.fromkeys((19, 33, 34, 35), "u16"),
    **dict.fromkeys((2, 17, 24, 39), "u32"),
    11: "number",
    **dict.fromkeys((3, 8, 18, 21, 26, 28, 31), "string"),
    **dict.fromkeys((9, 22), "binary"),
    38: "pair",
}

REASONS = {
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported",
    0xA2: "wildcard subscriptions not supported",
}
"""What a refusal means (MQTT 5.0, 2.4)."""
_CONNACK_3 = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""The return codes of 3.1.1 (3.2.2.3), as reason codes."""


def reason_name(reason: int) -> str:
    return f"{REASONS.get(reason, 'reason')} (0x{reason:02X})"


class Message(NamedTuple):
    """A PUBLISH packet. The properties go nowhere in 3.1.1."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_seconds: int | None = None
    """After so long the broker forgets it."""
    content_type: str = ""
    response_topic: str = ""
    correlation: bytes = b""
    user: tuple[tuple[str, str], ...] = ()
    """User properties."""
    packet_id: int = 0
    """Of a message that was received with QoS 1."""

    def __repr__(self) -> str:  # the payload may hold a token
        return f"<Message of {len(self.payload)} bytes to {self.topic}>"


@dataclass(frozen=True, slots=True)
class Connack:
    reason: int
    receive_maximum: int = 0xFFFF
    packet_size_max: int | None = None
    server_keep_alive_seconds: int | None = None
    qos_max: int = 2


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """PUBACK, SUBACK or UNSUBACK."""

    packet_id: int
    reasons: tuple[int, ...]
    text: str = ""
    """The broker's own words, if it has any."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    reason: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Alive:
    """PINGRESP."""


Packet = Message | Connack | Acknowledgement | Disconnected | Alive


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """What is subscribed to, with QoS 1."""

    text: str
    wants_retained: bool = False
    """Messages kept by the broker from before. Where they are unwanted, 5.0 does not send them, and marks those that
    their publisher meant to be kept; in 3.1.1 they come, marked."""


# Writing.


def encode_connect(
    client_id: str,
    *,
    is_5: bool,
    keep_alive_seconds: int,
    username: str = "",
    password: str = "",
    will: Message | None = None,
    receive_maximum: int = 0xFFFF,
) -> bytes:
    """CONNECT with a clean start and a session that ends with the connection. Raises ``ValueError``."""
    flags = 0x02
    properties = b"\x21" + _U16.pack(receive_maximum) + b"\x27" + _U32.pack(PACKET_SIZE_MAX)
    payload = _string(client_id)
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        payload += (b"\0" if is_5 else b"") + _string(will.topic) + _binary(will.payload)
    if username:
        flags |= 0x80
        payload += _string(username)
    if password:
        flags |= 0x40
        payload += _string(password)
    head = _string("MQTT") + bytes((5 if is_5 else 4, flags)) + _U16.pack(keep_alive_seconds)
    return _packet(CONNECT, head + (_sized(properties) if is_5 else b"") + payload)


def encode_publish(message: Message, packet_id: int, *, is_5: bool) -> bytes:
    """PUBLISH. Raises ``ValueError`` for strings that are too long."""
    body = _string(message.topic)
    if message.qos:
        body += _U16.pack(packet_id)
    if is_5:
        body += _publish_properties(message)
    return _packet(PUBLISH | message.qos << 1 | message.retain, body + message.payload)


def _publish_properties(message: Message) -> bytes:
    properties = b""
    if message.expiry_seconds is not None:
        properties += b"\x02" + _U32.pack(message.expiry_seconds)
    if message.content_type:
        properties += b"\x03" + _string(message.content_type)
    if message.response_topic:
        properties += b"\x08" + _string(message.response_topic)
    if message.correlation:
        properties += b"\x09" + _binary(message.correlation)
    for name, value in message.user:
        properties += b"\x26" + _string(name) + _string(value)
    return _sized(properties)


def encode_puback(packet_id: int) -> bytes:
    return b"\x40\x02" + _U16.pack(packet_id)


def encode_subscribe(packet_id: int, filters: Sequence[TopicFilter], *, is_5: bool) -> bytes:
    """SUBSCRIBE with QoS 1. Raises ``ValueError``."""
    body = _U16.pack(packet_id) + (b"\0" if is_5 else b"")
    for one in filters:
        # Bits 5..4 retain handling (2: none at all), bit 3 retain as published (MQTT 5.0, 3.8.3.1).
        options = 0x01 if one.wants_retained or not is_5 else 0x01 | 0x08 | 0x20
        body += _string(one.text) + bytes((options,))
    return _packet(SUBSCRIBE, body)


def encode_unsubscribe(packet_id: int, filters: Sequence[str], *, is_5: bool) -> bytes:
    """UNSUBSCRIBE. Raises ``ValueError``."""
    return _packet(
        UNSUBSCRIBE, _U16.pack(packet_id) + (b"\0" if is_5 else b"") + b"".join([_string(one) for one in filters])
    )


def encode_ping() -> bytes:
    return b"\xc0\0"


def encode_disconnect() -> bytes:
    """Normal: the broker throws the last will away."""
    return b"\xe0\0"


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _number(len(body)) + body


def _number(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    octets = bytearray()
    while value:
        octets.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
    return bytes(octets)


def _sized(octets: bytes) -> bytes:
    return _number(len(octets)) + octets


def _binary(octets: bytes) -> bytes:
    if len(octets) > STRING_SIZE_MAX:
        raise ValueError(f"a string of MQTT has at most {STRING_SIZE_MAX} octets, not {len(octets)}")
    return _U16.pack(len(octets)) + octets


def _string(text: str) -> bytes:
    return _binary(text.encode())


# Reading.


class PacketReceiver:
    """Finds the packets in a stream that arrives in pieces of any size."""

    def __init__(self, *, is_5: bool, size_max: int = PACKET_SIZE_MAX) -> None:
        self._is_5 = is_5
        self._size_max = size_max
        self._partial = b""
        self.failure: ChannelGarbled | None = None
        """Set when the stream can no longer be read: packets before that place are good, nothing after it is."""

    def receive(self, data: bytes) -> list[Packet]:
        """The packets that are complete now. Look at ``failure`` after it; once set, nothing more is returned."""
        if self.failure is not None:
            return []
        if self._partial:
            data = self._partial + data
        packets: list[Packet] = []
        start = 0
        try:
            while (bounds := self._bounds(data, start)) is not None:
                first = data[start]
                packets.append(self._decode(first, data[bounds[0] : bounds[1]]))
                start = bounds[1]
        except (_Malformed, struct_error, IndexError, UnicodeDecodeError) as error:
            what = str(error) if isinstance(error, _Malformed) else "a packet that ends too early, or no text where due"
            self.failure = ChannelGarbled(f"what arrived is not MQTT: {what}")
            self._partial = b""
            return packets
        self._partial = data[start:]
        return packets

    def _bounds(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Where the body of the next packet begins and ends; ``None`` while it is not whole."""
        size = shift = 0
        for at in range(start + 1, min(start + 5, len(data))):
            octet = data[at]
            size |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                if size > self._size_max:
                    raise _Malformed(f"a packet of {size} bytes was announced; at most {self._size_max} are accepted")
                end = at + 1 + size
                return (at + 1, end) if end <= len(data) else None
        if len(data) - start >= 5:
            raise _Malformed("a length of more than four octets")
        return None

    def _decode(self, first: int, body: bytes) -> Packet:
        if first & 0xF0 == PUBLISH:
            return self._publish(first, body)
        decode = _DECODERS.get(first)
        if decode is None:
            raise _Malformed(f"a packet of type 0x{first:02X}, which a broker does not send to this client")
        return decode(body, self._is_5)

    def _publish(self, first: int, body: bytes) -> Message:
        qos = first >> 1 & 3
        if qos > 1:
            raise _Malformed(f"a message with QoS {qos}, where at most 1 was asked for")
        topic, at = _take_string(body, 0)
        if not topic or "\0" in topic or "+" in topic or "#" in topic:
            raise _Malformed("a message without a proper topic")
        packet_id = 0
        if qos:
            (packet_id,) = _U16.unpack_from(body, at)
            at += 2
            if not packet_id:
                raise _Malformed("a message with packet identifier 0")
        if not self._is_5:
            return Message(topic, body[at:], qos, bool(first & 1), packet_id=packet_id)
        properties, at = _take_properties(body, at)
        return Message(
            topic,
            body[at:],
            qos,
            bool(first & 1),
            properties.get(MESSAGE_EXPIRY),
            properties.get(CONTENT_TYPE, ""),
            properties.get(RESPONSE_TOPIC, ""),
            properties.get(CORRELATION_DATA, b""),
            properties.get(USER_PROPERTY, ()),
            packet_id,
        )


class _Malformed(Exception):
    """The rest of the stream means nothing."""


def _connack(body: bytes, is_5: bool) -> Connack:
    reason = body[1]
    if not is_5:
        return Connack(_CONNACK_3.get(reason, REFUSED) if reason else 0)
    # A broker that knows only 3.1.1 answers with its own form, without properties.
    properties = _take_properties(body, 2)[0] if len(body) > 2 else {}
    if 0 < reason < REFUSED:
        reason = _CONNACK_3.get(reason, REFUSED)
    return Connack(
        reason,
        properties.get(RECEIVE_MAXIMUM, 0xFFFF) or 1,
        properties.get(MAXIMUM_PACKET_SIZE),
        properties.get(SERVER_KEEP_ALIVE),
        properties.get(MAXIMUM_QOS, 2),
    )


def _puback(body: bytes, is_5: bool) -> Acknowledgement:
    (packet_id,) = _U16.unpack_from(body)
    # Reason code and properties may be left out when all is well (MQTT 5.0, 3.4.2.1).
    reason = body[2] if is_5 and len(body) > 2 else 0
    text = _take_properties(body, 3)[0].get(REASON_STRING, "") if is_5 and len(body) > 3 else ""
    return Acknowledgement(packet_id, (reason,), text)


def _suback(body: bytes, is_5: bool) -> Acknowledgement:
    (packet_id,) = _U16.unpack_from(body)
    properties, at = _take_properties(body, 2) if is_5 else ({}, 2)
    return Acknowledgement(packet_id, tuple(body[at:]), properties.get(REASON_STRING, ""))


def _disconnect(body: bytes, is_5: bool) -> Disconnected:
    if not is_5:
        raise _Malformed("a DISCONNECT, which a 3.1.1 broker does not send")
    text = _take_properties(body, 1)[0].get(REASON_STRING, "") if len(body) > 1 else ""
    return Disconnected(body[0] if body else 0, text)


def _pingresp(body: bytes, is_5: bool) -> Alive:
    return Alive()


_DECODERS: dict[int, Callable[[bytes, bool], Packet]] = {
    CONNACK: _connack,
    PUBACK: _puback,
    SUBACK: _suback,
    UNSUBACK: _suback,
    PINGRESP: _pingresp,
    DISCONNECT: _disconnect,
}


def _take_string(body: bytes, at: int) -> tuple[str, int]:
    octets, at = _take_binary(body, at)
    return octets.decode(), at


def _take_binary(body: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _U16.unpack_from(body, at)
    end = at + 2 + size
    if end > len(body):
        raise _Malformed("a string that is longer than its packet")
    return body[at + 2 : end], end


def _take_number(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in (0, 7, 14, 21):
        octet = body[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
    raise _Malformed("a number of more than four octets")


def _take_properties(body: bytes, at: int) -> tuple[dict[int, Any], int]:
    size, at = _take_number(body, at)
    end = at + size
    if end > len(body):
        raise _Malformed("properties that are longer than their packet")
    properties: dict[int, Any] = {}
    while at < end:
        identifier = body[at]
        value, at = _take_property(_FORMS.get(identifier), body, at + 1)
        if identifier == USER_PROPERTY:
            value = (*properties.get(USER_PROPERTY, ()), value)
        elif identifier in properties:
            raise _Malformed(f"property {identifier} twice")
        properties[identifier] = value
    if at != end:
        raise _Malformed("a property that is longer than the properties")
    return properties, end


def _take_property(form: str | None, body: bytes, at: int) -> tuple[Any, int]:
    match form:
        case "string":
            return _take_string(body, at)
        case "binary":
            return _take_binary(body, at)
        case "u32":
            return _U32.unpack_from(body, at)[0], at + 4
        case "u16":
            return _U16.unpack_from(body, at)[0], at + 2
        case "octet":
            return body[at], at + 1
        case "number":
            return _take_number(body, at)
        case "pair":
            name, at = _take_string(body, at)
            text, at = _take_string(body, at)
            return (name, text), at
        case _:
            raise _Malformed("a property that nobody knows")
