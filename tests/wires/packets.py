"""MQTT messages on their way through a proxy: looked at, repeated, held back, forged."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from tests.wires.proxy import Change

PUBLISH = 3
DUP, RETAIN = 0x08, 0x01
"""In the first octet of a PUBLISH (MQTT 5.0, 3.3.1)."""

_STATE = b"site/meter/state"
_CORRELATION_SIZE = 16
_CORRELATION = b"\x09\x00\x10"
"""The property, and how long it is here (MQTT 5.0, 3.3.2.3.6)."""

OnPublish = Callable[[int, bytes], bytes]
"""The number of a message, counted from 0 over all connections, and its packet; gives what is sent on instead."""


class Gate:
    """Every message that passes in one direction of a proxy goes through ``on_publish``; but those that tell of
    presence."""

    def __init__(self, on_publish: OnPublish) -> None:
        self.passed = 0
        self._on_publish = on_publish

    def new_change(self) -> Change:
        """For one more connection."""
        partial = b""

        def change(data: bytes) -> bytes:
            nonlocal partial
            partial += data
            changed = bytearray()
            while (end := _packet_end(partial)) is not None:
                changed += self._packet(partial[:end])
                partial = partial[end:]
            return bytes(changed)

        return change

    def _packet(self, packet: bytes) -> bytes:
        if packet[0] >> 4 != PUBLISH or _STATE in packet:
            return packet
        number, self.passed = self.passed, self.passed + 1
        return self._on_publish(number, packet)


def _packet_end(data: bytes) -> int | None:
    """Where the first packet ends; ``None`` while it is not whole."""
    size = shift = 0
    for at in range(1, min(5, len(data))):
        size |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:
            end = at + 1 + size
            return end if end <= len(data) else None
    return None


def twice(_number: int, packet: bytes) -> bytes:
    """As a sender that saw no acknowledgement."""
    return packet + with_flag(packet, DUP)


def with_flag(packet: bytes, flag: int) -> bytes:
    return bytes((packet[0] | flag,)) + packet[1:]


def as_another(packet: bytes) -> bytes:
    """The same message with other correlation data."""
    at = packet.index(_CORRELATION) + len(_CORRELATION)
    return packet[:at] + secrets.token_bytes(_CORRELATION_SIZE) + packet[at + _CORRELATION_SIZE :]


def deadline_of(packet: bytes) -> int:
    """Of a request, in Unix seconds: the user property."""
    found = re.search(rb"deadline..([0-9]+)", packet, re.DOTALL)
    assert found is not None
    return int(found[1])


class HeldBack:
    """One message comes later: together with the ``later``-th after it, before or behind it."""

    def __init__(self, number: int, later: int, *, behind: bool) -> None:
        self.packet = b""
        self.is_over = False
        self._number = number
        self._later = later
        self._behind = behind

    def __call__(self, number: int, packet: bytes) -> bytes:
        if number == self._number:
            self.packet = packet
            return b""
        if number == self._number + self._later:
            self.is_over = True
            return packet + self.packet if self._behind else self.packet + packet
        return packet
