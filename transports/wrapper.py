"""The wrapper: eight bytes in front of an APDU on TCP (IEC 62056-47, today 62056-9-7; DLMS UA Green Book).

    version 0001 | source wPort | destination wPort | length of the APDU | APDU        four big-endian 16-bit words

Pure: bytes in, messages out. The header carries no check sum; a wrong version is all that can be noticed, and means
that the two sides no longer agree where messages begin. There is no way back from that, so the link is closed.
"""

from __future__ import annotations

from struct import Struct

from transports.channel import ChannelGarbled

VERSION = 0x0001
SAP_MAX = 0xFFFF
APDU_SIZE_MAX = 0xFFFF

HEADER = Struct(">HHHH")

Message = tuple[int, int, bytes]
"""Source wPort, destination wPort, APDU."""


def wrap(source: int, destination: int, apdu: bytes) -> bytes:
    """One message for the wire. Raises ``ValueError`` for an APDU that the header's length cannot name."""
    size = len(apdu)
    if not 0 < size <= APDU_SIZE_MAX:
        raise ValueError(f"a wrapped APDU has 1 to {APDU_SIZE_MAX} bytes, not {size}")
    return HEADER.pack(VERSION, source, destination, size) + apdu


class WrapperReceiver:
    """Finds the messages in a stream that arrives in pieces of any size.

    Keeps at most one incomplete message, and only bytes that really came: a length alone reserves nothing.
    """

    def __init__(self, apdu_size_max: int = APDU_SIZE_MAX) -> None:
        self._apdu_size_max = apdu_size_max
        self._partial = bytearray()
        self.failure: ChannelGarbled | None = None
        """Set when the stream can no longer be read: messages before that place are good, nothing after it is."""

    @property
    def inside_message(self) -> bool:
        """Part of a message has come, and the rest has not."""
        return bool(self._partial)

    def receive(self, data: bytes) -> list[Message]:
        """The messages that are complete now. Look at ``failure`` after it; once set, nothing more is returned."""
        if self.failure is not None:
            return []
        partial = self._partial
        if not partial and len(data) > HEADER.size:
            version, source, destination, size = HEADER.unpack_from(data)
            if size == len(data) - HEADER.size and version == VERSION and size <= self._apdu_size_max:
                return [(source, destination, data[HEADER.size :])]  # one whole message: nearly always
        rest: bytes | bytearray = data
        if partial:
            partial += data
            rest = partial
        messages: list[Message] = []
        start, end = 0, len(rest)
        while end - start >= HEADER.size:
            version, source, destination, size = HEADER.unpack_from(rest, start)
            if version != VERSION or size > self._apdu_size_max:
                self.failure = self._describe(version, size)
                partial.clear()
                return messages
            after = start + HEADER.size + size
            if after > end:
                break
            if size:  # an empty message asks and answers nothing; some modems use it to stay awake
                messages.append((source, destination, bytes(rest[start + HEADER.size : after])))
            start = after
        if rest is partial:
            del partial[:start]
        elif start < end:
            partial += data[start:]
        return messages

    def _describe(self, version: int, size: int) -> ChannelGarbled:
        if version != VERSION:
            return ChannelGarbled(f"a wrapper header begins with 0001, not {version:04X}")
        return ChannelGarbled(f"an APDU of {size} bytes was announced; at most {self._apdu_size_max} are accepted")
