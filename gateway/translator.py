"""From octets to words: what a captured message says. The engine of ``stsgate dlms decode``, and of whoever imports it.

    translate(octets, keys) -> Translation        a tree for each message, as text and as JSON

How to think about it: messages stand one after the other, and each says by its first octets what it is: 7E a frame of
HDLC, 0001 the wrapper, else a bare APDU. Frames and wrapper messages have addresses, so each pair of addresses is a
conversation with a memory of its own (``cosem_objects.dlms.describe.Context``); bare APDUs are one conversation.
Nothing is raised, whatever the octets: what cannot be read stands in the tree, with its offset. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from cosem_objects.dlms.describe import (
    TAGS,
    Context,
    Keys,
    Node,
    Place,
    Source,
    describe_apdu,
    describe_data,
    describe_next,
)
from cosem_objects.dlms.describe.node import Json
from gateway.captured_frames import CapturedConversation, CapturedFrame, describe_gap, find_frame, frame_at
from transports.hdlc.frame import FLAG, HdlcAddress
from transports.wrapper import HEADER, VERSION

_WRAPPER_BEGIN = VERSION.to_bytes(2, "big")
INPUT_SIZE_MAX = 1 << 20
"""Octets that are read. More is cut off, and said."""


class Form(StrEnum):
    """What the octets are taken for."""

    AUTO = "auto"
    """Each message is recognised by its first octets."""
    HDLC = "hdlc"
    WRAPPER = "wrapper"
    APDU = "apdu"
    DATA = "data"
    """COSEM values without an APDU around them; never guessed."""


@dataclass(frozen=True, slots=True)
class Translation:
    """All messages of one input."""

    messages: tuple[Node, ...]
    size: int
    """Octets of the input."""

    @property
    def problems(self) -> tuple[Node, ...]:
        """What could not be read, and where; empty if all is well."""
        return tuple(problem for message in self.messages for problem in message.problems())

    def to_text(self) -> str:
        """One line for each thing that was read: offset, name, value; an empty line between messages."""
        width = max(4, len(str(self.size)))
        return "\n\n".join(message.to_text(offset_width=width) for message in self.messages)

    def to_json(self) -> dict[str, Json]:
        """``octets``, ``messages``, ``errors``: described in docs/translator.md."""
        return {
            "octets": self.size,
            "messages": [message.to_json() for message in self.messages],
            "errors": [{"offset": problem.offset, "message": problem.value} for problem in self.problems],
        }


def translate(
    octets: bytes,
    keys: Keys | None = None,
    *,
    form: Form = Form.AUTO,
    place: Place | None = None,
    show_secrets: bool = False,
) -> Translation:
    """Read all messages in ``octets``. ``place`` names the value with ``Form.DATA``. Raises nothing."""
    translator = _Translator(octets[:INPUT_SIZE_MAX], keys or Keys(), place, show_secrets=show_secrets)
    messages = list(translator.messages(form))
    if not messages:
        messages.append(_problem("there is no message in these octets" if octets else "there are no octets to read", 0))
    if len(octets) > INPUT_SIZE_MAX:
        messages.append(_problem(f"only the first {INPUT_SIZE_MAX} octets were read", INPUT_SIZE_MAX))
    return Translation(tuple(messages), len(octets))


class _Translator:
    def __init__(self, octets: bytes, keys: Keys, place: Place | None, *, show_secrets: bool) -> None:
        self._octets = octets
        self._source = Source(octets)
        self._keys = keys
        self._place = place
        self._show_secrets = show_secrets
        self._position = 0
        self._bare = self._context()
        self._wrapped: dict[frozenset[int], Context] = {}
        self._frames: dict[frozenset[HdlcAddress], CapturedConversation] = {}

    def messages(self, form: Form) -> Iterator[Node]:
        """All messages up to the end, or to where nothing can be told any more."""
        while self._position < len(self._octets):
            match self._recognised() if form is Form.AUTO else form:
                case Form.HDLC:
                    yield from self._hdlc(until_end=form is Form.HDLC)
                case Form.WRAPPER:
                    yield self._wrapper()
                case Form.DATA:
                    yield self._data()
                case _:
                    yield self._apdu()

    def _recognised(self) -> Form:
        if self._octets[self._position] == FLAG:
            return Form.HDLC
        if self._octets.startswith(_WRAPPER_BEGIN, self._position):
            return Form.WRAPPER
        is_noise = self._octets[self._position] not in TAGS and find_frame(self._octets, self._position) is not None
        return Form.HDLC if is_noise else Form.APDU

    def _context(self) -> Context:
        return Context(self._keys, show_secrets=self._show_secrets)

    # Frames.

    def _hdlc(self, *, until_end: bool) -> Iterator[Node]:
        """Frames, and the gaps between them, as long as one follows."""
        octets = self._octets
        while self._position < len(octets):
            start = self._position + (octets[self._position] == FLAG)
            found = frame_at(octets, start) if start < len(octets) else ""
            if isinstance(found, CapturedFrame) and start > self._position:
                yield self._conversation(found).describe(found)
                self._position = found.end
                self._skip_closing_flag()
                continue
            following = find_frame(octets, self._position + 1)
            if not until_end and self._recognised() is not Form.HDLC:
                return
            end = len(octets) if following is None else following
            if octets[self._position : end].strip(b"\x7e"):
                yield describe_gap(octets, self._position, end)
            self._position = end

    def _skip_closing_flag(self) -> None:
        """The flag that closed a frame also opens the next, if that one has no flag of its own."""
        behind = self._position + 1
        opens = behind < len(self._octets) and isinstance(frame_at(self._octets, behind), CapturedFrame)
        if not opens:
            self._position = behind

    def _conversation(self, captured: CapturedFrame) -> CapturedConversation:
        pair = frozenset((captured.frame.source, captured.frame.destination))
        if pair not in self._frames:
            self._frames[pair] = CapturedConversation(self._context())
        return self._frames[pair]

    # The wrapper.

    def _wrapper(self) -> Node:
        start = self._position
        header = self._octets[start : start + HEADER.size]
        if len(header) < HEADER.size:
            return self._end(f"a wrapper header has {HEADER.size} octets, {len(header)} are there")
        version, source, destination, size = HEADER.unpack(header)
        if version != VERSION:
            return self._end(f"a wrapper header begins with 0001, not {version:04X}")
        apdu = Source(self._octets[start + HEADER.size : start + HEADER.size + size], start + HEADER.size)
        self._position = start + HEADER.size + len(apdu)
        context = self._wrapped.setdefault(frozenset((source, destination)), self._context())
        notes = [describe_apdu(apdu, context, "" if source == destination else str(source))] if apdu.octets else []
        if len(apdu) < size:
            notes.append(_problem(f"{size} octets announced, {len(apdu)} are there", self._position))
        words = f"wPort {source} -> wPort {destination}, " + (f"{size} octets" if size else "empty")
        return Node("wrapper", words, start, HEADER.size + len(apdu), children=tuple(notes))

    # What has no frame around it.

    def _apdu(self) -> Node:
        return self._read(*describe_next(self._source, self._bare, self._position))

    def _data(self) -> Node:
        return self._read(*describe_data(self._source, self._bare, self._place, self._position))

    def _read(self, node: Node, end: int | None) -> Node:
        """Without an end to go by, nothing behind an error can be read."""
        if end is not None:
            self._position = end
            return node
        behind, self._position = self._position + node.size, len(self._octets)
        if behind >= len(self._octets):
            return node
        rest = len(self._octets) - behind
        return replace(node, children=(*node.children, Node("not read", f"{rest} octets", behind, rest)))

    def _end(self, words: str) -> Node:
        problem = _problem(words, self._position)
        self._position = len(self._octets)
        return problem


def _problem(words: str, offset: int) -> Node:
    return Node("error", words, offset, is_problem=True)
