"""PacketReceiver: MQTT control packets as they come from a broker.

Pure: bytes in, packets out. A stream that breaks the rules cannot be read any further: the connection is closed (MQTT
5.0, 4.13).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as struct_error
from typing import Any

from transports.channel import ChannelGarbled
from transports.mqtt_packets import (
    CONNACK,
    CONTENT_TYPE,
    CORRELATION_DATA,
    DISCONNECT,
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    MESSAGE_EXPIRY,
    PACKET_SIZE_MAX,
    PINGRESP,
    PUBACK,
    PUBLISH,
    REASON_STRING,
    RECEIVE_MAXIMUM,
    REFUSED,
    RESPONSE_TOPIC,
    SERVER_KEEP_ALIVE,
    SUBACK,
    UNSUBACK,
    USER_PROPERTY,
    Acknowledgement,
    Alive,
    Connack,
    Disconnected,
    Message,
    Packet,
)

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

_CONNACK_3 = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""The return codes of 3.1.1 (3.2.2.3), as reason codes."""


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
