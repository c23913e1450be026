"""Frames out of a file that ``--trace`` wrote: JSON lines, or pcapng. For ``stsgate dlms decode``. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cosem_objects.errors import SettingError
from transports.trace.pcapng import DLMS_PORT

_SECTION_HEADER = b"\x0a\x0d\x0d\x0a"
_ENHANCED_PACKET = 6
_PACKET_HEAD_SIZE = 20
_IP_AND_UDP_SIZE = 28
"""Of the headers before a frame; the file has no others."""


def traced_frames(raw: bytes) -> bytes | None:
    """All frames of a trace one after the other, link by link; None if ``raw`` is no trace.

    Raises ``SettingError`` for a trace that is damaged, or not of ours.
    """
    if raw.startswith(_SECTION_HEADER):
        frames = _of_pcapng(raw)
    elif raw.lstrip().startswith(b"{"):
        frames = _of_json_lines(raw)
    else:
        return None
    # Two links may have the same addresses, and are two conversations all the same.
    return b"".join(octets for _, octets in sorted(frames, key=lambda frame: frame[0]))


def _of_json_lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Number of the link, and the octets of each frame. A last line without its end is one that is still written."""
    lines = raw.split(b"\n")[: None if raw.endswith(b"}") else -1]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            if event["layer"] == "frame":
                yield int(event["link"]), bytes.fromhex(event["hex"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SettingError(f"file: line {number} is not one of a trace (JSON lines of --trace)") from None


def _of_pcapng(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The client's port, which stands for the link, and the octets of each frame."""
    position = 0
    while position + 12 <= len(raw):
        kind, size = (int.from_bytes(raw[at : at + 4], "little") for at in (position, position + 4))
        body = raw[position + 8 : position + size - 4]
        position += size
        if size < 12 or size % 4 or position > len(raw):
            raise SettingError(f"file: the pcapng is damaged, or not of --trace (block that ends at {position})")
        if kind == _ENHANCED_PACKET:
            captured = int.from_bytes(body[12:16], "little")
            packet = body[_PACKET_HEAD_SIZE : _PACKET_HEAD_SIZE + captured]
            ports = [int.from_bytes(packet[at : at + 2], "big") for at in (20, 22)]
            if packet[:1] != b"\x45" or DLMS_PORT not in ports:
                raise SettingError("file: the pcapng is not of --trace (its packets are UDP, port 4059 on one side)")
            yield max(ports), packet[_IP_AND_UDP_SIZE:]
