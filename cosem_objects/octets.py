"""A cursor over received bytes that cannot run past its end.

Every decoder reads through this one class, so that a length is believed only when its bytes are there: nothing is
allocated by a number that somebody sent, and the only error is ``RemoteProtocolError``.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from cosem_objects.errors import RemoteProtocolError


class OctetReader:
    """Reads big-endian numbers and octets from ``octets``; ``what`` names them in errors."""

    __slots__ = ("_end", "_octets", "position", "values", "what")

    def __init__(self, octets: bytes, what: str, position: int = 0) -> None:
        self._octets = octets
        self._end = len(octets)
        self.position = position
        self.what = what
        self.values = 0
        """COSEM values inside others that were announced so far; who decodes them counts, and sets the limit."""

    @property
    def remaining(self) -> int:
        return self._end - self.position

    def take(self, count: int) -> bytes:
        """The next ``count`` octets."""
        start = self.position
        if count > self._end - start:
            raise RemoteProtocolError(
                f"{self.what}: {count} octets expected at offset {start}, {self._end - start} are left"
            )
        self.position = start + count
        return self._octets[start : start + count]

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def octet(self) -> int:
        start = self.position
        if start >= self._end:
            raise RemoteProtocolError(f"{self.what}: ends at offset {start} where one more octet was expected")
        self.position = start + 1
        return self._octets[start]

    def peek(self) -> int | None:
        """The next octet without taking it; None at the end."""
        return self._octets[self.position] if self.position < self._end else None

    def length(self) -> int:
        """A length in BER form (ISO/IEC 8825-1, 8.1.3), as A-XDR uses it too: short, or 81..84 and that many octets."""
        first = self.octet()
        if first < 0x80:
            return first
        size = first & 0x7F
        if not 1 <= size <= 4:
            raise RemoteProtocolError(f"{self.what}: length of {size} octets at offset {self.position - 1}")
        return self.unsigned(size)

    def string(self) -> bytes:
        """Octets with their length before them."""
        start = self.position
        if start < self._end:
            size = self._octets[start]
            after = start + 1 + size
            if size < 0x80 and after <= self._end:  # a short one, and whole: nearly always
                self.position = after
                return self._octets[start + 1 : after]
        return self.take(self.length())

    def element(self) -> tuple[int, bytes]:
        """One BER element with a tag of one octet: the tag, and the contents."""
        return self.octet(), self.string()

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """Values of fixed size, as ``layout`` has them."""
        start = self.position
        after = start + layout.size
        if after > self._end:
            self.take(layout.size)  # which says what is missing
        self.position = after
        return layout.unpack_from(self._octets, start)

    def rest(self) -> bytes:
        return self.take(self.remaining)

    def flag(self) -> bool:
        """An optional or boolean marker: 00, or anything else for true (IEC 61334-6 writes 01 or FF)."""
        return self.octet() != 0

    def finish(self) -> None:
        """Everything was read; trailing octets are an error."""
        if self.position < self._end:
            raise RemoteProtocolError(f"{self.what}: {self.remaining} octets too many at offset {self.position}")


def encode_length(length: int) -> bytes:
    """A length in BER form, as short as possible."""
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


_SHORT = [bytes((length,)) for length in range(0x80)]


def with_length(octets: bytes) -> bytes:
    size = len(octets)
    return (_SHORT[size] if size < 0x80 else encode_length(size)) + octets
