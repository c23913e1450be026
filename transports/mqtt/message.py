"""What goes to and comes from an MQTT broker, whatever client library is between: messages, filters, reasons. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

PACKET_SIZE_MAX = 1 << 17
"""The longest APDU in a wrapper has 65,543 octets; topic and properties add some hundred."""

NO_MATCHING_SUBSCRIBERS = 0x10
REFUSED = 0x80
"""Reason codes from here on mean: no."""

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
"""The return codes of 3.1.1 (3.2.2.3), as reason codes. MQTT 5 has no reasons with these numbers."""


def reason_name(reason: int) -> str:
    reason = _CONNACK_3.get(reason, reason)
    return f"{REASONS.get(reason, 'reason')} (0x{reason:02X})"


class Message(NamedTuple):
    """What is published, by us always with QoS 1. The properties go nowhere in 3.1.1."""

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

    def __repr__(self) -> str:  # the payload may hold a token
        return f"<Message of {len(self.payload)} bytes to {self.topic}>"

    @property
    def size(self) -> int:
        """At most so many octets in a packet."""
        texts = (self.topic, self.content_type, self.response_topic, *(text for pair in self.user for text in pair))
        return 32 + len(self.payload) + len(self.correlation) + sum(3 + len(text.encode()) for text in texts)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the broker says to a message."""

    reason: int


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """What is subscribed to, with QoS 1."""

    text: str
    wants_retained: bool = False
    """Messages kept by the broker from before."""
