"""General block transfer: any APDU, ciphered or not, in numbered blocks with acknowledgements (IEC 62056-5-3, 7.3.13).

Each block says how far the other side's blocks have arrived. Numbers count everything that one side says in one
exchange, blocks without octets too, which only acknowledge:

    client                                        server
    block 1, acknowledges 0, octets         ->
                                            <-    block 1, acknowledges 1
    block 2, acknowledges 1, octets, last   ->
                                            <-    block 2, acknowledges 2, octets
    block 3, acknowledges 2                 ->
                                            <-    block 3, acknowledges 3, octets, last

We send one block at a time, whatever window the other side offers, and take several in a row from those that stream.
On a wire that loses nothing a block is never sent twice; one that is asked for again is, a few times. Of a window
in which one got lost, we take what came before it, and ask for the rest when the window is over.

Stacks differ in what an acknowledging block is numbered and whether it says "last", so of a block without octets
only the acknowledgement counts here, unless it ends what the other side was saying.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cosem_objects.dlms.apdu import GeneralBlockTransfer
from cosem_objects.dlms.apdu.blocks import BLOCK_NUMBER_MAX
from cosem_objects.dlms.block_transfer import LENGTH_OCTETS, TRANSFER_SIZE_MAX
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError

WINDOW = 16
"""Blocks that we take in a row."""
_HEADER_SIZE = 7
"""Of a block without octets, their length included."""
_REPEATS_MAX = 3
"""Blocks in a row that bring nothing new, and are answered all the same."""


@dataclass(frozen=True, slots=True, repr=False)
class Whole:
    """All blocks have come: the APDU that they carried."""

    octets: bytes


class GeneralTransfer:
    """One side of one exchange after the other. ``is_asked``: the side that answers, for which the first block of
    another request ends what was under way."""

    def __init__(self, *, is_asked: bool = False) -> None:
        self._is_asked = is_asked
        self.repeats = 0
        """Blocks with octets that were sent again: the other side may have the whole APDU twice."""
        self._begin()

    def _begin(self) -> None:
        self._to_send: deque[bytes] = deque()
        self._has_sent = False
        self._last_sent: GeneralBlockTransfer | None = None
        self._number = 0
        self._received = 0
        self._received_octets = 0
        """Number of the last block that had octets."""
        self._first_octets = b""
        self._gathered = bytearray()
        self._is_whole = False
        self._repeats = 0

    @property
    def is_in_use(self) -> bool:
        """Whether blocks have gone or come in this exchange."""
        return bool(self._number or self._received)

    def send(self, octets: bytes, room: int) -> bytes:
        """The first block of an APDU. ``room``: octets that one block may have. Raises ``LocalProtocolError``."""
        size = room - _HEADER_SIZE - LENGTH_OCTETS
        if size < 1:
            raise LocalProtocolError("the other side's PDU size leaves no room for a block")
        if len(octets) > size * (BLOCK_NUMBER_MAX - self._number):
            raise LocalProtocolError(f"an APDU of {len(octets)} octets in blocks of {size} has too many of them")
        self._has_sent = True
        self._to_send = deque(octets[start : start + size] for start in range(0, len(octets), size))
        return self._send_next()

    def receive(self, block: GeneralBlockTransfer) -> bytes | Whole | None:
        """What follows from a block: one to be sent, the whole APDU, or nothing yet. Raises ``RemoteProtocolError``."""
        if block.number == 1 and block.octets and self._begins_anew(block):
            self._begin()
        is_next = block.number in (self._received + 1, self._received_octets + 1)
        if block.octets or (self._gathered and block.is_last and is_next):
            return self._gather(block, is_next=is_next)
        return self._acknowledge(block)

    def _begins_anew(self, block: GeneralBlockTransfer) -> bool:
        """Whether a first block is that of another APDU, and not once more that of the one which is coming in."""
        is_another = self._received_octets > 0 and block.octets != self._first_octets
        return is_another or self._is_whole or (self._is_asked and self._has_sent)

    def _acknowledge(self, block: GeneralBlockTransfer) -> bytes | None:
        """The other side says only how far our blocks have arrived."""
        if self._to_send and block.acknowledged == self._number:
            self._received, self._repeats = max(self._received, block.number), 0
            return self._send_next()
        if self._last_sent is None:
            raise RemoteProtocolError("an acknowledgement of blocks that were never sent")
        self._count_repeat("does not take our blocks")
        return None if block.acknowledged == self._number else self._say_again(self._last_sent)

    def _gather(self, block: GeneralBlockTransfer, *, is_next: bool) -> bytes | Whole | None:
        if not is_next:
            return None if block.is_streaming and not block.is_last else self._ask_again()
        if self._to_send:
            raise RemoteProtocolError("the other side sends general blocks before it took all of ours")
        if len(self._gathered) + len(block.octets) > TRANSFER_SIZE_MAX:
            raise RemoteProtocolError(f"blocks of more than {TRANSFER_SIZE_MAX} octets together")
        if block.number == 1:
            self._first_octets = block.octets
        self._received = self._received_octets = block.number
        self._repeats = 0
        self._gathered += block.octets
        if block.is_last:
            whole, self._is_whole = Whole(bytes(self._gathered)), True
            self._gathered.clear()
            return whole
        return None if block.is_streaming else self._say(b"", is_last=True)

    def _send_next(self) -> bytes:
        octets = self._to_send.popleft()
        return self._say(octets, is_last=not self._to_send)

    def _say(self, octets: bytes, *, is_last: bool) -> bytes:
        self._number += 1
        if self._number > BLOCK_NUMBER_MAX:
            raise RemoteProtocolError("a general block transfer without end")
        self._last_sent = GeneralBlockTransfer(
            self._number, self._received, octets, is_last, is_streaming=False, window=WINDOW
        )
        return self._last_sent.encode()

    def _ask_again(self) -> bytes:
        """Not the block that comes next: say again how far they have arrived, or what we have said to them all."""
        self._count_repeat("does not send the block that comes next")
        if self._is_whole and self._last_sent is not None:
            return self._say_again(self._last_sent)
        return self._say(b"", is_last=True)

    def _say_again(self, block: GeneralBlockTransfer) -> bytes:
        self.repeats += bool(block.octets)
        return block.encode()

    def _count_repeat(self, what: str) -> None:
        self._repeats += 1
        if self._repeats > _REPEATS_MAX:
            raise RemoteProtocolError(f"in general block transfer the other side {what}")
