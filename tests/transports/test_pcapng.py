"""pcapng, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from transports.trace.pcapng import (
    COMMENT_SIZE_MAX,
    PAYLOAD_SIZE_MAX,
    datagram,
    enhanced_packet,
    interface_description,
    section_header,
)

CLIENT, METER = (bytes((192, 0, 2, 1)), 49153), (bytes((192, 0, 2, 2)), 4059)
NOON = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)

# Made by hand after the draft's figures.
SECTION_HEADER = (
    "0A0D0D0A 2C000000"  # block type, total length 44
    "4D3C2B1A 0100 0000 FFFFFFFFFFFFFFFF"  # byte-order magic, version 1.0, section length not known
    "0400 0700 73747367617465 00"  # shb_userappl "stsgate", padded
    "00000000 2C000000"  # end of options, total length
)
INTERFACE = (
    "01000000 20000000"  # block type, total length 32
    "6500 0000 00000000"  # link type 101, reserved, no snapshot length
    "0200 0400 6C696E6B"  # if_name "link"
    "00000000 20000000"
)
PACKET = (
    "06000000 44000000"  # block type, total length 68
    "00000000 {high} {low}"  # interface 0, time
    "05000000 05000000"  # captured, original length
    "0102030405 000000"  # the packet, padded
    "0100 0900 E28692203137206F6B 000000"  # opt_comment "→ 17 ok", padded
    "0200 0400 02000000"  # epb_flags: outbound
    "00000000 44000000"
)


def test_a_section_header() -> None:
    assert section_header("stsgate") == bytes.fromhex(SECTION_HEADER)


def test_an_interface() -> None:
    assert interface_description("link") == bytes.fromhex(INTERFACE)


def test_a_packet() -> None:
    microseconds = 1_795_262_400_250_000  # date -d "2026-11-21 12:00 UTC" +%s
    high, low = (half.to_bytes(4, "little").hex() for half in divmod(microseconds, 1 << 32))
    expected = bytes.fromhex(PACKET.format(high=high, low=low))
    assert enhanced_packet(0, NOON, bytes(range(1, 6)), "→ 17 ok", is_outbound=True) == expected
    inbound = enhanced_packet(0, NOON, bytes(range(1, 6)), "→ 17 ok", is_outbound=False)
    assert inbound == expected.replace(bytes.fromhex("0200040002000000"), bytes.fromhex("0200040001000000"))


def test_a_long_comment_is_cut_between_characters() -> None:
    block = enhanced_packet(0, NOON, b"", "→" * COMMENT_SIZE_MAX, is_outbound=True)
    size = int.from_bytes(block[30:32], "little")
    assert COMMENT_SIZE_MAX - 3 < size <= COMMENT_SIZE_MAX
    assert set(block[32 : 32 + size].decode()) == {"→"}


def words_sum(octets: bytes) -> int:
    """RFC 1071, word by word as the RFC tells it."""
    total = 0
    for start in range(0, len(octets), 2):
        total += int.from_bytes(octets[start : start + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("payload", [b"", b"\x7e", b"\xff\xff", bytes(range(256)), b"\0" * 7], ids=len)
def test_both_check_sums_of_a_datagram_fit(payload: bytes) -> None:
    packet = datagram(CLIENT, METER, payload)
    header, udp = packet[:20], packet[20:]
    assert int.from_bytes(header[2:4], "big") == len(packet)
    assert words_sum(header) == 0xFFFF
    assert words_sum(header[12:20] + b"\0\x11" + len(udp).to_bytes(2, "big") + udp) == 0xFFFF
    assert udp[:6].hex() == f"c0010fdb{len(payload) + 8:04x}"
    assert udp[8:] == payload


def test_a_check_sum_of_zero_is_written_as_all_ones() -> None:
    """RFC 768: zero would say that there is none."""
    payload = datagram(CLIENT, METER, bytes(2))[26:28]
    packet = datagram(CLIENT, METER, payload)
    assert packet[26:28] == b"\xff\xff"
    udp = packet[20:]
    assert words_sum(packet[12:20] + b"\0\x11" + len(udp).to_bytes(2, "big") + udp) == 0xFFFF


def test_a_frame_longer_than_any_datagram_is_cut() -> None:
    packet = datagram(METER, CLIENT, bytes(PAYLOAD_SIZE_MAX + 1))
    assert int.from_bytes(packet[2:4], "big") == len(packet) == 0xFFFF
