"""Octets that know where they come from.

An APDU may have come in HDLC segments, in blocks, and under a cipher; a person still wants to find each field in what
was captured. (Deciphering keeps places: under AES-GCM each octet of text has one octet of ciphertext.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence


class Source:
    """``octets``, and for each of them its offset in the input."""

    __slots__ = ("_offsets", "_starts", "octets")

    def __init__(self, octets: bytes, offset: int = 0, pieces: Sequence[tuple[int, int]] = ()) -> None:
        """``pieces``: where each begins in ``octets`` (the first at 0), and in the input; none = all at ``offset``."""
        self.octets = octets
        self._starts = [start for start, _ in pieces] or [0]
        self._offsets = [begin for _, begin in pieces] or [offset]

    @property
    def pieces(self) -> list[tuple[int, int]]:
        return list(zip(self._starts, self._offsets, strict=True))

    @classmethod
    def joined(cls, parts: Iterable[Source]) -> Source:
        """The parts one after the other."""
        octets, pieces = bytearray(), []
        for part in parts:
            if part.octets:
                pieces += [(len(octets) + start, offset) for start, offset in part.pieces]
                octets += part.octets
        return cls(bytes(octets), 0, pieces)

    def offset(self, position: int) -> int:
        """Where the octet at ``position`` stands in the input; the end is just behind the last octet."""
        piece = bisect_right(self._starts, max(0, position)) - 1
        if position and position == len(self.octets) and self._starts[piece] == position:
            piece -= 1
        return self._offsets[piece] + position - self._starts[piece]

    def cut(self, start: int, end: int) -> Source:
        """The octets from ``start`` up to ``end``."""
        inside = [(begin - start, offset) for begin, offset in self.pieces if start < begin < end]
        return Source(self.octets[start:end], 0, [(0, self.offset(start)), *inside])

    def replaced(self, octets: bytes) -> Source:
        """Other octets in the same places, such as the plain ones for the ciphered."""
        return Source(octets, 0, self.pieces)

    def __len__(self) -> int:
        return len(self.octets)

    def __repr__(self) -> str:
        return f"<Source of {len(self.octets)} octets>"
