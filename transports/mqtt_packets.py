"""MQTT control packets, as a client writes and reads them (OASIS MQTT 5.0, and 3.1.1 which lacks the properties).

    type and flags 1 | remaining length 1-4 | variable header | payload        big-endian; strings: length 2, UTF-8

Pure. Only QoS 0 and 1, which is all that this project uses. How packets are read: ``mqtt_receiver``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

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
