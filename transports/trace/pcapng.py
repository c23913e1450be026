"""pcapng: the file format that Wireshark opens (IETF draft "PCAP Next Generation Capture File Format").

    section header | interface description | enhanced packet | enhanced packet | interface description | …

Wireshark knows DLMS by its port: 4059 (IANA), on UDP and on TCP, with the wrapper, HDLC, or a bare APDU in a packet,
told apart by the first octet. So each frame of ours stands in a UDP datagram of its own, whatever wire it really came
over: no packet has to be put together from others, and none is taken for lost. Addresses are those that RFC 5737 keeps
for documentation; nobody has them.

Numbers of the file are little-endian, those of the datagrams big-endian. Pure: values in, bytes out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

DLMS_PORT = 4059
LINKTYPE_RAW = 101
"""Packets begin with an IP header."""
COMMENT_SIZE_MAX = 32_000
"""In octets; the format allows 65,535."""
PAYLOAD_SIZE_MAX = 65_507
"""Of a UDP datagram on IPv4 (65,535 less 20 and 8). A longer frame is shown up to here."""

_SECTION_HEADER, _INTERFACE_DESCRIPTION, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_SIZE_UNKNOWN = b"\xff" * 8
_COMMENT, _INTERFACE_NAME, _PACKET_FLAGS, _APPLICATION = 1, 2, 2, 4
_INBOUND, _OUTBOUND = 1, 2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_IPV4_HEADER_SIZE, _UDP_HEADER_SIZE = 20, 8
_UDP = 17
_TIME_TO_LIVE = 64


def section_header(application: str) -> bytes:
    """The first block. ``application``: who writes."""
    body = _number(_BYTE_ORDER, 4) + _number(1, 2) + _number(0, 2) + _SIZE_UNKNOWN
    return _block(_SECTION_HEADER, body + _options((_APPLICATION, application.encode())))


def interface_description(name: str) -> bytes:
    """Interfaces are numbered in the order of these blocks, from 0. Times of their packets are in microseconds."""
    body = _number(LINKTYPE_RAW, 2) + _number(0, 2) + _number(0, 4)
    return _block(_INTERFACE_DESCRIPTION, body + _options((_INTERFACE_NAME, name.encode())))


def enhanced_packet(interface: int, time: datetime, packet: bytes, comment: str, *, is_outbound: bool) -> bytes:
    """One packet, with a comment that stands above its decoding."""
    microseconds = (time - _EPOCH) // _MICROSECOND
    head = _number(interface, 4) + _number(microseconds >> 32, 4) + _number(microseconds & 0xFFFF_FFFF, 4)
    sizes = _number(len(packet), 4) * 2
    flags = _number(_OUTBOUND if is_outbound else _INBOUND, 4)
    text = comment.encode()[:COMMENT_SIZE_MAX].decode("utf-8", "ignore").encode()
    options = _options((_COMMENT, text), (_PACKET_FLAGS, flags))
    return _block(_ENHANCED_PACKET, head + sizes + _padded(packet) + options)


def datagram(source: tuple[bytes, int], destination: tuple[bytes, int], payload: bytes) -> bytes:
    """A UDP datagram on IPv4 (RFC 768, RFC 791). Source and destination: address of four octets, port."""
    payload = payload[:PAYLOAD_SIZE_MAX]
    udp_size = _UDP_HEADER_SIZE + len(payload)
    (source_address, source_port), (destination_address, destination_port) = source, destination
    ports = source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big") + udp_size.to_bytes(2, "big")
    pseudo_header = source_address + destination_address + bytes((0, _UDP)) + udp_size.to_bytes(2, "big")
    # 0 would say "no check sum"; all ones is the same number in this arithmetic.
    udp_sum = _check_sum(pseudo_header + ports + b"\0\0" + payload) or 0xFFFF
    ip_size = _IPV4_HEADER_SIZE + udp_size
    first = bytes((0x45, 0)) + ip_size.to_bytes(2, "big") + b"\0\0\x40\0" + bytes((_TIME_TO_LIVE, _UDP))
    addresses = source_address + destination_address
    ip_sum = _check_sum(first + b"\0\0" + addresses)
    return first + ip_sum.to_bytes(2, "big") + addresses + ports + udp_sum.to_bytes(2, "big") + payload


def _check_sum(octets: bytes) -> int:
    """The Internet check sum (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    # All 16-bit words of a number are its digits to the base 2**16, and their sum with carry is the rest by 2**16 - 1.
    total = int.from_bytes(octets, "big") % 0xFFFF
    return 0xFFFF - total if total else 0


def _block(kind: int, body: bytes) -> bytes:
    size = _number(len(body) + 12, 4)
    return _number(kind, 4) + size + body + size


def _options(*options: tuple[int, bytes]) -> bytes:
    encoded = b"".join(_number(code, 2) + _number(len(value), 2) + _padded(value) for code, value in options if value)
    return encoded + bytes(4) if encoded else b""


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")
